"""The month's close: each invoice's total beside lines and adjustments, and what closed months were restated by."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from pipeline.economics.closing import LATE, exact_sum
from pipeline.explain.traced import Named
from pipeline.reports import figures
from pipeline.reports.closing import EXPORT, OFF, TIES, UNKNOWN, Tolerances, exact_figure, is_late, state_of
from pipeline.reports.invoice_rates import WHOSE, Converted, month_conversions, rates_in_words
from pipeline.reports.page import Column, Row, Section, Table
from pipeline.reports.sections.month import MOST_LINES, Answer, Month, how_many_more, in_words

_TOLERANCES = Tolerances()


def close(month: Month) -> Section:
    """What `breakeven close` says of the month, with the tolerance that it has where none is given."""
    rows = month.ask("close_invoices")
    invoices = [row for row in rows if not is_late(row)]
    late = [row for row in rows if is_late(row)]
    since = month.ask("close_restated")
    table = Table(
        name="close_invoices",
        caption="Invoices of the month: in scope + out of scope + adjustments + residual = total",
        columns=(
            Column("Issuer"),
            Column("Invoice"),
            Column("Result"),
            Column("Account"),
            Column("Currency"),
            Column("In scope", "in its currency", is_number=True, measure="billed"),
            Column("Out of scope", "in its currency", is_number=True, measure="billed"),
            Column("Adjustments", "in its currency", is_number=True, measure="billed"),
            Column("Residual", "in its currency", is_number=True, measure="billed"),
            Column("Total", "in its currency", is_number=True, measure="billed"),
        ),
        rows=tuple(
            Row(
                (
                    figures.name(row["issuer"]),
                    figures.name(row["invoice_id"]),
                    state_of(row, _TOLERANCES),
                    figures.name(row["account"]),
                    figures.name(row["billing_currency"]),
                    *(_figure(row, name) for name in ("in_scope_cost", "out_of_scope_cost", "adjustments_cost")),
                    _figure(row, "residual_cost"),
                    _figure(row, "invoice_cost"),
                ),
                refused=month.proof.of_money(account=row["account"]) if row["account"] is not None else (),
                traced=None if row["invoice_id"] is None else Named(subject="invoice", name=row["invoice_id"]),
            )
            for row in invoices[:MOST_LINES]
        ),
        empty="No bill of this month has come.",
        note=how_many_more(invoices),
    )
    tables = [table, *_rates(month), *_accruals(month)]
    if late:
        tables.append(_late(late))
    if since:
        tables.append(_since(since))
    return Section("close", "Close", _sentence(invoices, late), tuple(tables))


def _rates(month: Month) -> list[Table]:
    """Invoices in other currencies in the reporting one, and what their days come to in the other tables of the report:
    each day at its own rate, where the ledger has one rate an invoice.
    """
    found, _ = month_conversions(
        month.asks.ask,
        month.closing,
        month=month.from_date,
        reporting_currency=month.currency,
        is_over=month.is_over,
    )
    line = rates_in_words(found)
    if line is None:
        return []
    known = [one for one in found if one.by_day is not None]
    table = Table(
        name="close_rates",
        caption="Invoices in other currencies: days at their own rates + rates = lines at the invoice's rate; + "
        "adjustments and residual = total",
        columns=(
            Column("Issuer"),
            Column("Invoice"),
            Column("Rate"),
            Column("Days at their own rates", month.currency, is_number=True, measure="billed"),
            Column("Rates", month.currency, is_number=True, measure="billed"),
            Column("Lines at its rate", month.currency, is_number=True, measure="billed"),
            Column("Adjustments and residual", month.currency, is_number=True, measure="billed"),
            Column("Total", month.currency, is_number=True, measure="billed"),
        ),
        rows=(
            *(
                Row(
                    (
                        figures.name(one.issuer),
                        figures.name(one.invoice_id),
                        f"{float(one.rate):.8g} of {one.rate_date}, {WHOSE[one.rate_source]}",
                        *(_in_cents(amount, month.currency) for amount in _amounts(one)),
                    )
                )
                for one in found[:MOST_LINES]
            ),
            Row(
                (
                    "Sum" if len(known) == len(found) else "Sum of those that are known whole",
                    "",
                    "",
                    *(_in_cents(_sum(column), month.currency) for column in zip(*map(_amounts, known), strict=True)),
                )
                if known
                else ("Sum", "", "", *(figures.UNKNOWN for _ in range(5))),
                kind="total",
            ),
        ),
        note=f"{line} {how_many_more(found)}".strip(),
    )
    return [table]


def _amounts(one: Converted) -> tuple[Decimal | None, ...]:
    beside = exact_sum((one.total, one.lines.copy_negate()))
    return one.by_day, one.of_rates, one.lines, beside, one.total


def _sum(amounts: Sequence[Decimal | None]) -> Decimal:
    return exact_sum(amount for amount in amounts if amount is not None)


def _in_cents(amount: Decimal | None, currency: str) -> str:
    return figures.UNKNOWN if amount is None else figures.Written(exact_figure(amount, currency), amount)


def _accruals(month: Month) -> list[Table]:
    """What was agreed for days that no bill covers: it leaves when the bill comes."""
    accrued = [line for line in month.ask("spend_gpu") if line["cost_measure"] == "accrued"]
    if not accrued:
        return []
    unknown = any(line["realized_cost_rc"] is None for line in accrued)
    known = [line["realized_cost_rc"] for line in accrued if line["realized_cost_rc"] is not None]
    table = Table(
        name="accruals",
        caption="Accrued: agreed, and on no bill yet",
        columns=(
            Column("Issuer"),
            Column("Account"),
            Column("GPU-hours", "h", is_number=True),
            Column("Accrued", month.currency, is_number=True),
        ),
        rows=(
            *(
                Row(
                    (
                        figures.name(line["issuer"]),
                        figures.name(line["account"]),
                        figures.hours(line["gpu_hours"]),
                        "unknown" if line["realized_cost_rc"] is None else month.money(line["realized_cost_rc"]),
                    ),
                    refused=month.proof.of_money(lane="self_host", issuer=line["issuer"], account=line["account"]),
                )
                for line in accrued
            ),
            Row(
                ("Sum of what is known" if unknown else "Sum", "", "", month.money(sum(known)) if known else "unknown"),
                kind="total",
                refused=month.proof.of_money(lane="self_host"),
            ),
        ),
        note="API bills are not accrued: what is metered and not billed yet has no cost here; `breakeven accrue` has "
        "it at its price.",
    )
    return [table]


def _late(rows: Sequence[Answer]) -> Table:
    return Table(
        name="close_adjustments",
        caption="Adjustments of months that are closed, due in this one",
        columns=(
            Column("Closed month"),
            Column("Issuer"),
            Column("Account"),
            Column("Currency"),
            Column("Days", is_number=True),
            Column("Adjustment", "in its currency", is_number=True, measure="billed"),
        ),
        rows=tuple(_adjustment(row, row["restated_month_date"]) for row in rows[:MOST_LINES]),
        note=how_many_more(rows),
    )


def _since(rows: Sequence[Answer]) -> Table:
    return Table(
        name="close_restated",
        caption="What this month was restated by since it was closed",
        columns=(
            Column("Shows in"),
            Column("Issuer"),
            Column("Account"),
            Column("Currency"),
            Column("Days", is_number=True),
            Column("Adjustment", "in its currency", is_number=True, measure="billed"),
        ),
        rows=tuple(_adjustment(row, row["billing_month_date"]) for row in rows[:MOST_LINES]),
        note=how_many_more(rows),
    )


def _adjustment(row: Answer, month: date) -> Row:
    return Row(
        (
            figures.month_name(month),
            figures.name(row["issuer"]),
            figures.name(row["account"]),
            figures.name(row["billing_currency"]),
            # A late invoice comes to its total; a restatement is of days.
            *(
                (figures.count(row["line_count"]), _figure(row, "adjustments_cost"))
                if row["status"] == LATE
                else (f"invoice {row['invoice_id']}", _figure(row, "invoice_cost"))
            ),
        )
    )


def _figure(row: Answer, name: str) -> str:
    if row[name] is None:
        return figures.UNKNOWN
    return figures.Written(exact_figure(row[name], row["billing_currency"]), row[name])


def _sentence(invoices: Sequence[Answer], late: Sequence[Answer]) -> str:
    closed = sorted({(row["closed_at"], row["closed_snapshot_id"]) for row in invoices if row["closed_at"] is not None})
    if closed and all(row["closed_at"] is not None for row in invoices):
        said = in_words([f"on {figures.day(at.date())} from snapshot {snapshot_id}" for at, snapshot_id in closed])
        return (
            f"Closed {said}: these are the figures of then, and what came since shows in the first month after it that "
            "is open."
        )
    if not invoices:
        return "Not closed: no bill of this month has come."
    states = [state_of(row, _TOLERANCES) for row in invoices]
    counted = (
        (states.count(TIES), "ties", "tie"),
        (states.count(OFF), "does not tie", "do not tie"),
        (states.count(UNKNOWN), "has no total that is known", "have no total that is known"),
        (states.count(EXPORT), "ties to its export, not to the invoice", "tie to their exports, not to the invoices"),
    )
    parts = [f"{number} {one if number == 1 else many}" for number, one, many in counted if number]
    more = f" {figures.counted(len(late), 'adjustment')} of closed months came." if late else ""
    issuers = sorted({str(row["issuer"]) for row in invoices if row["closed_at"] is not None})
    alone = f" Closed: {in_words(list(map(figures.name, issuers)))}." if issuers else ""
    of = figures.counted(len(invoices), "invoice")
    return f"Not closed.{alone} Of {of} {in_words(parts) or 'none bills anything'}.{more}"
