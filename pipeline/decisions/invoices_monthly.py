"""Node `fct_invoices_monthly`: every invoice of a month beside its lines, adjustments and total.

One row per billing month, issuer, account, currency and invoice, in the bill's currency. Of a closed month the rows are
those of its close, whatever came since: that shows as rows of status `late` in the month in which it is due.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from pipeline.build.closing_tables import SCHEMAS as CLOSING
from pipeline.economics.closing import LATE, Adjustment, Invoice, Lines, Total, exact_sum, invoices_of

INPUTS = (
    "closing_adjustments",
    "closing_invoices",
    "closing_months",
    "closing_totals",
    "config_sources",
    "int_billed_lines_daily",
    "int_closed_month_changes",
    "stg_invoice_csv__totals",
)
READS: Mapping[str, str] = {
    "config_sources": "select distinct source, account, role from config_sources where is_filtered or role = 'control'",
    "int_billed_lines_daily": """
        select
            source, account, issuer, billing_currency, invoice_id, min(period_date) as period_date,
            cast(sum(in_scope_cost) as decimal(38, 18)) as in_scope_cost,
            cast(sum(out_of_scope_cost) as decimal(38, 18)) as out_of_scope_cost,
            cast(sum(line_count) as bigint) as line_count,
            cast(sum(charged_line_count) as bigint) as charged_line_count
        from int_billed_lines_daily
        group by
            source, account, issuer, billing_currency, invoice_id,
            case when source != 'invoice_csv' then date_trunc('month', period_date) end""",
    "int_closed_month_changes": """
        select
            billing_month_date, issuer, account, billing_currency, due_month_date,
            cast(sum(difference_cost) as decimal(38, 18)) as difference_cost, count(*) as day_count
        from int_closed_month_changes
        group by billing_month_date, issuer, account, billing_currency, due_month_date""",
    "stg_invoice_csv__totals": """
        select
            account, invoice_id, billing_currency, cast(sum(payable_cost) as decimal(38, 18)) as payable_cost,
            min(period_start_date) as period_start_date
        from stg_invoice_csv__totals
        group by account, invoice_id, billing_currency""",
}
SCHEMA: Mapping[str, pl.DataType] = {
    **CLOSING["closing_invoices"],
    "closed_at": pl.Datetime("us"),
    "closed_snapshot_id": pl.String(),
}

Row = Mapping[str, Any]
_INVOICES = "invoice_csv"


def build(frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """lines in scope + out of scope + adjustments + residual = invoice, exactly; an unknown total has no residual."""
    closed = {row["billing_month_date"]: row for row in frames["closing_months"].to_dicts()}
    declared = _Declared(frames["config_sources"].to_dicts())
    billed = frames["int_billed_lines_daily"].to_dicts()
    months = _invoice_months(billed)
    lines = [_lines(row, months, declared) for row in billed]
    totals = [
        *_stated_totals(frames["stg_invoice_csv__totals"].to_dicts(), months, declared),
        *(_entered_total(row) for row in frames["closing_totals"].to_dicts()),
    ]
    adjustments = [_adjustment(row) for row in frames["closing_adjustments"].to_dicts()]
    found = invoices_of(
        [one for one in lines if one.month not in closed],
        _one_each(one for one in totals if one.month not in closed),
        [one for one in adjustments if one.month not in closed],
    )
    rows = [
        *(_as_closed(row, closed[row["billing_month_date"]]) for row in frames["closing_invoices"].to_dicts()),
        *(_row(invoice) for invoice in found),
        *(_late(row) for row in frames["int_closed_month_changes"].to_dicts()),
    ]
    keys = ("billing_month_date", "issuer", "billing_currency", "invoice_id", "account", "restated_month_date")
    rows.sort(key=lambda row: [str(row[key] or "") for key in keys])
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


class _Declared:
    """What breakeven.yaml says of the sources of bills that are filtered or controls."""

    def __init__(self, rows: Iterable[Row]) -> None:
        rows = list(rows)
        self.filtered = {(row["source"], row["account"]) for row in rows if row["role"] != "control"}
        self.controls = {row["account"] for row in rows if row["source"] == _INVOICES and row["role"] == "control"}


def _invoice_months(billed: Sequence[Row]) -> dict[tuple[str, str], date]:
    """(account, invoice) of invoices by lines -> the month in which its first line's period begins."""
    first: dict[tuple[str, str], date] = {}
    for row in billed:
        if row["source"] == _INVOICES:
            key = row["account"], row["invoice_id"]
            first[key] = min(first.get(key, date.max), row["period_date"])
    return {key: day.replace(day=1) for key, day in first.items()}


def _lines(row: Row, months: Mapping[tuple[str, str], date], declared: _Declared) -> Lines:
    month: date = row["period_date"].replace(day=1)
    if row["source"] == _INVOICES:
        month = months[row["account"], row["invoice_id"]]
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


def _stated_totals(rows: Iterable[Row], months: Mapping[tuple[str, str], date], declared: _Declared) -> Iterable[Total]:
    """Totals that invoices by lines state of themselves. Such an invoice is of its account, which is its issuer."""
    for row in rows:
        if row["account"] not in declared.controls:
            yield Total(
                month=months.get((row["account"], row["invoice_id"]), row["period_start_date"].replace(day=1)),
                issuer=row["account"],
                account=row["account"],
                currency=row["billing_currency"],
                invoice_id=row["invoice_id"],
                amount=row["payable_cost"],
                basis="export",
            )


def _entered_total(row: Row) -> Total:
    return Total(
        month=row["billing_month_date"],
        issuer=row["issuer"],
        account=row["account"],
        currency=row["billing_currency"],
        invoice_id=row["invoice_id"],
        amount=row["invoice_cost"],
        basis="entered",
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
