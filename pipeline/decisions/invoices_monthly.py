"""Node `fct_invoices_monthly`: every invoice of a month beside its lines, adjustments and total.

One row per billing month, issuer, account, currency and invoice, in the bill's currency. Of a closed month the rows are
those of its close, whatever came since: that shows as rows of status `late` in the month in which it is due; an invoice
that came with its total, as that invoice.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from pipeline.build.closing_tables import SCHEMAS as CLOSING
from pipeline.decisions.aws_totals import (
    ENTERED_BASIS,
    EXPORT_BASIS,
    Named,
    known_at_close,
    months_naming,
    totals_of_aws,
)
from pipeline.economics.closing import (
    LATE,
    LATE_INVOICE,
    RESIDUAL,
    Adjustment,
    Invoice,
    Lines,
    Total,
    exact_sum,
    invoices_of,
)

INPUTS = (
    "closing_adjustments",
    "closing_invoices",
    "closing_months",
    "closing_totals",
    "config_sources",
    "int_billed_lines_daily",
    "int_closed_month_changes",
    "stg_aws_invoices__totals",
    "stg_gpu_bills__totals",
)
READS: Mapping[str, str] = {
    "config_sources": "select distinct source, account, role from config_sources where is_filtered or role = 'control'",
    "int_billed_lines_daily": """
        select
            source, account, issuer, billing_currency, invoice_id, is_by_lines, min(period_date) as period_date,
            cast(sum(in_scope_cost) as decimal(38, 18)) as in_scope_cost,
            cast(sum(out_of_scope_cost) as decimal(38, 18)) as out_of_scope_cost,
            cast(sum(line_count) as bigint) as line_count,
            cast(sum(charged_line_count) as bigint) as charged_line_count
        from int_billed_lines_daily
        group by
            source, account, issuer, billing_currency, invoice_id, is_by_lines,
            case when not is_by_lines then date_trunc('month', period_date) end""",
    "int_closed_month_changes": """
        select
            billing_month_date, issuer, account, billing_currency, due_month_date,
            cast(sum(difference_cost) as decimal(38, 18)) as difference_cost, count(*) as day_count
        from int_closed_month_changes
        group by billing_month_date, issuer, account, billing_currency, due_month_date""",
    "stg_aws_invoices__totals": """
        select
            account, invoice_id, billing_currency, invoice_issuer, payable_cost, usage_date as billing_month_date,
            issued_on_date
        from stg_aws_invoices__totals""",
    "stg_gpu_bills__totals": """
        select
            source, account, invoice_id, billing_currency, cast(sum(payable_cost) as decimal(38, 18)) as payable_cost,
            min(period_start_date) as period_start_date
        from stg_gpu_bills__totals
        group by source, account, invoice_id, billing_currency""",
}
SCHEMA: Mapping[str, pl.DataType] = {
    **CLOSING["closing_invoices"],
    "closed_at": pl.Datetime("us"),
    "closed_snapshot_id": pl.String(),
}

Row = Mapping[str, Any]
_NO_LINE_NAMES_ONE = "lines_name_none"


def build(frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """lines in scope + out of scope + adjustments + residual = invoice, exactly; an unknown total has no residual."""
    closed = _Closed(frames["closing_months"].to_dicts(), frames["closing_invoices"].to_dicts())
    declared = _Declared(frames["config_sources"].to_dicts())
    billed = frames["int_billed_lines_daily"].to_dicts()
    months = _invoice_months(billed)
    lines = [_lines(row, months, declared) for row in billed]
    of_aws = list(totals_of_aws(frames["stg_aws_invoices__totals"].to_dicts(), billed, lines))
    totals = [
        *_stated_totals(frames["stg_gpu_bills__totals"].to_dicts(), months, declared),
        *(total for total, _ in of_aws),
        *(_entered_total(row) for row in frames["closing_totals"].to_dicts()),
    ]
    adjustments = [_adjustment(row) for row in frames["closing_adjustments"].to_dicts()]
    open_totals = _one_each(one for one in totals if not closed.has(one))
    known = known_at_close(of_aws, lines, closed)
    unknown = [one for one in totals if _named(one) not in known]
    late = {_named(one): one for one in _late_invoices(unknown, lines, closed)}
    found = invoices_of(
        [one for one in lines if not closed.has(one)],
        [one for one in open_totals if _named(one) not in late],
        [one for one in adjustments if not closed.has(one) and _named(one) not in late],
    )
    rows = [
        *closed.invoices,
        *(_row(invoice) for invoice in found),
        *(one.row(open_totals, adjustments) for one in late.values()),
        *_late_rows(frames["int_closed_month_changes"].to_dicts(), late.values()),
    ]
    keys = ("billing_month_date", "issuer", "billing_currency", "invoice_id", "account", "restated_month_date")
    rows.sort(key=lambda row: [str(row[key] or "") for key in keys])
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


@dataclass(frozen=True)
class _Booked:
    """What closes have booked of an invoice. is_entered: a person said its total, which its export changes not."""

    total: Decimal = Decimal(0)
    in_scope: Decimal = Decimal(0)
    out_of_scope: Decimal = Decimal(0)
    is_entered: bool = False


@dataclass(frozen=True)
class _LateInvoice:
    """An invoice of a closed month, as far as no close has booked it. due: the month in which it shows. is_nameless: no
    line of its month says which invoice it is on, so that none can ever be found of it.
    """

    total: Total
    lines: Lines
    month: date
    is_nameless: bool

    def row(self, totals: Iterable[Total], adjustments: Iterable[Adjustment]) -> dict[str, Any]:
        """With what was entered of it in the month in which it shows."""
        entered = next((one for one in totals if _named(one) == _named(self)), None)
        total = self.total if entered is None else _beside(replace(entered, account=self.total.account), self.total)
        own = [one for one in adjustments if _named(one) == _named(self)]
        (invoice,) = invoices_of([self.lines], [total], own)
        if self.is_nameless and invoice.status == RESIDUAL:
            invoice = replace(invoice, status=LATE_INVOICE, residual_name=_NO_LINE_NAMES_ONE)
        return {**_row(invoice), "account": self.total.account, "restated_month_date": self.month}


def _named(one: Total | Adjustment | _LateInvoice) -> Named:
    of = one.total if isinstance(one, _LateInvoice) else one
    return of.month, of.issuer, of.currency, of.invoice_id


class _Closed:
    """What is closed, by month and issuer, and the invoices of it as they were closed."""

    def __init__(self, months: Iterable[Row], invoices: Iterable[Row]) -> None:
        self._by = {(row["billing_month_date"], row["issuer"]): row for row in months}
        self.invoices = [_as_closed(row, self._of(row["billing_month_date"], row["issuer"])) for row in invoices]

    def has(self, one: Lines | Total | Adjustment) -> bool:
        return self.is_closed(one.month, one.issuer)

    def is_closed(self, month: date, issuer: str) -> bool:
        return (month, issuer) in self._by or (month, None) in self._by

    def closed_on(self, month: date, issuer: str) -> date:
        """The day on which it was closed."""
        day: date = self._of(month, issuer)["closed_at"].date()
        return day

    def entered(self, month: date, issuer: str, currency: str, *, but: set[str]) -> list[Decimal]:
        """What people entered for invoices of a closed month, beside those of these numbers."""
        return [
            row["invoice_cost"]
            for row in self.invoices
            if (row["billing_month_date"], row["issuer"], row["billing_currency"]) == (month, issuer, currency)
            and row["total_basis"] == ENTERED_BASIS
            and row["restated_month_date"] is None
            and but.isdisjoint(row["invoice_id"].split(" + "))
        ]

    def _of(self, month: date, issuer: str) -> Row:
        return self._by.get((month, issuer)) or self._by[month, None]

    def first_open(self, month: date, issuer: str) -> date:
        """The first month after this one that is open for the issuer: where what came since is due."""
        while True:
            month = (month + timedelta(days=32)).replace(day=1)
            if not self.is_closed(month, issuer):
                return month


class _Declared:
    """What breakeven.yaml says of the sources of bills that are filtered or controls."""

    def __init__(self, rows: Iterable[Row]) -> None:
        rows = list(rows)
        self.filtered = {(row["source"], row["account"]) for row in rows if row["role"] != "control"}
        self.controls = {(row["source"], row["account"]) for row in rows if row["role"] == "control"}


_InvoiceMonths = Mapping[tuple[str, str, str], date]


def _invoice_months(billed: Sequence[Row]) -> _InvoiceMonths:
    """(source, account, invoice) of invoices by lines -> the month in which its first line's period begins."""
    first: dict[tuple[str, str, str], date] = {}
    for row in billed:
        if row["is_by_lines"]:
            key = row["source"], row["account"], row["invoice_id"]
            first[key] = min(first.get(key, date.max), row["period_date"])
    return {key: day.replace(day=1) for key, day in first.items()}


def _lines(row: Row, months: _InvoiceMonths, declared: _Declared) -> Lines:
    month: date = row["period_date"].replace(day=1)
    if row["is_by_lines"]:
        month = months[row["source"], row["account"], row["invoice_id"]]
    return Lines(
        month=month,
        issuer=row["issuer"],
        account=row["account"],
        currency=row["billing_currency"],
        invoice_id=row["invoice_id"],
        in_scope=row["in_scope_cost"],
        out_of_scope=row["out_of_scope_cost"],
        line_count=row["line_count"],
        charged_count=row["charged_line_count"],
        is_filtered=(row["source"], row["account"]) in declared.filtered,
    )


def _stated_totals(rows: Iterable[Row], months: _InvoiceMonths, declared: _Declared) -> Iterable[Total]:
    """Totals that invoices by lines state of themselves. Such an invoice is of its account, which is its issuer."""
    for row in rows:
        named = row["source"], row["account"], row["invoice_id"]
        if named[:2] not in declared.controls:
            yield Total(
                month=months.get(named, row["period_start_date"].replace(day=1)),
                issuer=row["account"],
                account=row["account"],
                currency=row["billing_currency"],
                invoice_id=row["invoice_id"],
                amount=row["payable_cost"],
                basis=EXPORT_BASIS,
            )


def _entered_total(row: Row) -> Total:
    return Total(
        month=row["billing_month_date"],
        issuer=row["issuer"],
        account=row["account"],
        currency=row["billing_currency"],
        invoice_id=row["invoice_id"],
        amount=row["invoice_cost"],
        basis=ENTERED_BASIS,
        other_amount=row["previous_cost"],
    )


def _one_each(totals: Iterable[Total]) -> list[Total]:
    """One total an invoice: what was entered, with what the export states where that is another amount."""
    found: dict[tuple[date, str, str, str], Total] = {}
    for total in totals:
        key = total.month, total.issuer, total.currency, total.invoice_id
        stated = found.get(key)
        if stated is not None and stated.amount != total.amount:
            total = _beside(total, stated)
        found[key] = total
    return list(found.values())


def _beside(entered: Total, stated: Total) -> Total:
    return Total(**{**vars(entered), "other_amount": stated.amount})


def _adjustment(row: Row) -> Adjustment:
    return Adjustment(
        month=row["billing_month_date"],
        issuer=row["issuer"],
        currency=row["billing_currency"],
        invoice_id=row["invoice_id"],
        amount=row["adjustment_cost"],
    )


def _row(invoice: Invoice) -> dict[str, Any]:
    return {
        "billing_month_date": invoice.month,
        "issuer": invoice.issuer,
        "account": invoice.account,
        "billing_currency": invoice.currency,
        "invoice_id": invoice.invoice_id,
        "restated_month_date": None,
        "invoice_count": invoice.invoice_count,
        "line_count": invoice.line_count,
        "in_scope_cost": invoice.in_scope,
        "out_of_scope_cost": invoice.out_of_scope,
        "adjustments_cost": invoice.adjustments,
        "invoice_cost": invoice.total,
        "residual_cost": invoice.residual,
        "residual_name": invoice.residual_name,
        "status": invoice.status,
        "total_basis": invoice.total_basis,
        "other_total_cost": invoice.other_total,
        "closed_at": None,
        "closed_snapshot_id": None,
    }


def _as_closed(row: Row, month: Row) -> dict[str, Any]:
    return {**row, "closed_at": month["closed_at"], "closed_snapshot_id": month["snapshot_id"]}


def _late_invoices(totals: Iterable[Total], lines: Sequence[Lines], closed: _Closed) -> Iterable[_LateInvoice]:
    """Invoices of closed months that state a total which no close has booked: what both it and its lines come to beyond
    what was booked of them. Invoices by lines and AWS state totals by themselves.
    """
    said: dict[Named, list[Lines]] = defaultdict(list)
    for line in lines:
        if closed.has(line) and line.invoice_id is not None:
            said[line.month, line.issuer, line.currency, line.invoice_id].append(line)
    booked = _booked(closed.invoices)
    naming = months_naming(lines)
    nameless = {(line.month, line.issuer, line.currency) for line in lines} - naming
    for total in totals:
        name = _named(total)
        before = booked.get(name, _Booked())
        more = exact_sum((total.amount, before.total.copy_negate()))
        if total.basis != EXPORT_BASIS or not closed.has(total) or before.is_entered or more == 0:
            continue
        due, its = closed.first_open(total.month, total.issuer), said[name]
        lines_of_it = Lines(
            month=due,
            issuer=total.issuer,
            # Of a total that is no account's, no line is known.
            account=total.account or "",
            currency=total.currency,
            invoice_id=total.invoice_id,
            in_scope=exact_sum((*(line.in_scope for line in its), before.in_scope.copy_negate())),
            out_of_scope=exact_sum((*(line.out_of_scope for line in its), before.out_of_scope.copy_negate())),
            line_count=sum(line.line_count for line in its),
            charged_count=sum(line.charged_count for line in its),
            is_filtered=any(line.is_filtered for line in its),
        )
        yield _LateInvoice(
            total=replace(total, month=due, amount=more),
            lines=lines_of_it,
            month=total.month,
            is_nameless=(total.month, total.issuer, total.currency) in nameless,
        )


def _booked(rows: Iterable[Row]) -> dict[Named, _Booked]:
    """By the month that an invoice is of, whichever months have closed it and what came of it later."""
    found: dict[Named, _Booked] = {}
    for row in rows:
        ids = [] if row["invoice_id"] is None else row["invoice_id"].split(" + ")
        for invoice_id in ids:
            name = (
                row["restated_month_date"] or row["billing_month_date"],
                row["issuer"],
                row["billing_currency"],
                invoice_id,
            )
            before = found.get(name, _Booked())
            # Of several that only together have lines, somebody entered each.
            is_entered = before.is_entered or row["total_basis"] == ENTERED_BASIS or len(ids) > 1
            total = Decimal(0) if row["invoice_cost"] is None else row["invoice_cost"]
            found[name] = _Booked(
                total=exact_sum((before.total, total)),
                in_scope=exact_sum((before.in_scope, row["in_scope_cost"])),
                out_of_scope=exact_sum((before.out_of_scope, row["out_of_scope_cost"])),
                is_entered=is_entered,
            )
    return found


def _late_rows(changes: Iterable[Row], invoices: Iterable[_LateInvoice]) -> Iterable[dict[str, Any]]:
    """What closed months were restated by beside the lines of late invoices, which stand on these."""
    on_invoices: dict[tuple[date, str, str, str], list[Decimal]] = defaultdict(list)
    for one in invoices:
        lines = one.lines
        on_invoices[one.month, lines.issuer, lines.account, lines.currency] += [lines.in_scope, lines.out_of_scope]
    for row in changes:
        key = row["billing_month_date"], row["issuer"], row["account"], row["billing_currency"]
        on_them = exact_sum(on_invoices.get(key, ()))
        difference = exact_sum((row["difference_cost"], on_them.copy_negate()))
        if key not in on_invoices or difference:
            yield _late({**row, "difference_cost": difference})


def _late(row: Row) -> dict[str, Any]:
    """What a closed month was restated by: an adjustment of the month in which it is due, on no known invoice."""
    nothing = exact_sum(())
    return {
        **dict.fromkeys(SCHEMA),
        "billing_month_date": row["due_month_date"],
        "issuer": row["issuer"],
        "account": row["account"],
        "billing_currency": row["billing_currency"],
        "restated_month_date": row["billing_month_date"],
        "invoice_count": 0,
        "line_count": row["day_count"],
        "in_scope_cost": nothing,
        "out_of_scope_cost": nothing,
        "adjustments_cost": row["difference_cost"],
        "status": LATE,
    }
