"""A month's close in words: which invoices tie, which do not and by what, and of which nobody states a total."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, localcontext
from typing import Any

from pipeline.build.closing_tables import Closing
from pipeline.economics import closing as economics
from pipeline.economics.closing import LATE, LATE_INVOICE, NOTHING_BILLED, TIES_TO_EXPORT, exact_sum, is_within
from pipeline.formats import currency as currencies
from pipeline.reports import figures

Row = Mapping[str, Any]

TIES = "ties"
OFF = "does not tie"
UNKNOWN = "no invoice total known"
EXPORT = "ties to export, not invoice"
NOTHING = "nothing billed"
RESTATED = "restates a closed month"
# What holds up a close comes first: a group is told by the first that any of its invoices is.
_WORST_FIRST = (OFF, UNKNOWN, EXPORT, TIES, RESTATED, NOTHING)
_RESIDUALS = {
    "none": "",
    "rounding": "rounding",
    "unexplained": "unexplained",
    "no_line_of_it": "no line of it",
    "outside_the_export": "outside the export",
    "lines_name_none": "lines name no invoice",
}
_MOST_DIGITS = 18
_PRECISION = 80


@dataclass(frozen=True)
class Tolerances:
    """What an invoice may be off by, in its currency's unit: `of_all`, or what is said of a currency."""

    of_all: Decimal = economics.TOLERANCE
    by_currency: Mapping[str, Decimal] | None = None

    def of(self, currency: str) -> Decimal:
        return (self.by_currency or {}).get(currency, self.of_all)

    def as_text(self) -> dict[str, str]:
        return {name: format(value, "f") for name, value in {"": self.of_all, **(self.by_currency or {})}.items()}


def is_late(row: Row) -> bool:
    """Whether it is of a closed month, and no invoice of this one: it holds nothing up."""
    return row["status"] in (LATE, LATE_INVOICE)


def state_of(row: Row, tolerances: Tolerances) -> str:
    """What an invoice is, within the tolerance."""
    if is_late(row):
        return RESTATED
    if row["status"] == TIES_TO_EXPORT:
        return EXPORT
    if row["residual_cost"] is None:
        return NOTHING if row["status"] == NOTHING_BILLED else UNKNOWN
    tolerance = tolerances.of(row["billing_currency"])
    within = is_within(row["residual_cost"], tolerance=tolerance, invoice_count=row["invoice_count"])
    return TIES if within else OFF


@dataclass(frozen=True)
class Group:
    """One issuer's invoices of a month in one currency. state: of the worst of them."""

    issuer: str
    currency: str
    state: str
    rows: Sequence[Row]

    @property
    def holds_up(self) -> bool:
        return self.state in (OFF, UNKNOWN)

    def of(self, state: str, tolerances: Tolerances) -> list[Row]:
        return [row for row in self.rows if state_of(row, tolerances) == state]

    def in_words(self) -> str:
        """`anthropic, USD: ties. 1 invoice: total $15.78 = $15.00 in scope + ...`"""
        invoices = [row for row in self.rows if not is_late(row)]
        parts = [f"{self.issuer}, {self.currency}: {self.state}."]
        if invoices:
            parts.append(self._sum_of(invoices))
        parts += [late_in_words(row) for row in self.rows if is_late(row)]
        return " ".join(parts)

    def _sum_of(self, invoices: Sequence[Row]) -> str:
        lines = (
            exact_sum(row["in_scope_cost"] for row in invoices),
            exact_sum(row["out_of_scope_cost"] for row in invoices),
        )
        adjusted = exact_sum(row["adjustments_cost"] for row in invoices)
        said = (
            f"{self._money(lines[0])} in scope + {self._money(lines[1])} out of scope + "
            f"{self._money(adjusted)} adjustments"
        )
        totals = [row["invoice_cost"] for row in invoices]
        count = sum(row["invoice_count"] for row in invoices)
        if None in totals:
            known = [total for total in totals if total is not None]
            more = f", {self._money(exact_sum(known))} of them known" if known else ""
            return f"Lines come to {said}; of {len(invoices)} not every total is known{more}."
        residuals = [row["residual_cost"] for row in invoices]
        names = sorted({_RESIDUALS.get(row["residual_name"], "") for row in invoices} - {""})
        named = f" ({', '.join(names)})" if names else ""
        return (
            f"{figures.counted(count, 'invoice')}: {self._money(exact_sum(totals))} = {said} + "
            f"{self._money(exact_sum(residuals))} residual{named}."
        )

    def _money(self, amount: Decimal) -> str:
        return exact_money(amount, self.currency)


def groups_of(rows: Iterable[Row], tolerances: Tolerances) -> list[Group]:
    """By issuer and currency, in order."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["issuer"], row["billing_currency"]), []).append(row)
    return [
        Group(issuer, currency, min((state_of(row, tolerances) for row in of), key=_WORST_FIRST.index), of)
        for (issuer, currency), of in sorted(found.items())
    ]


def invoice_in_words(row: Row) -> str:
    """`INV-1 of main: $100.00 entered, lines $90.00, adjustments $5.00: $5.00 unexplained`"""
    currency = row["billing_currency"]
    name = row["invoice_id"] or "lines on no invoice that is known"
    if row["restated_month_date"] is not None:
        name += f" (of {row['restated_month_date']:%Y-%m}, which is closed)"
    of = f" of {row['account']}" if row["account"] is not None else ""
    lines = exact_sum((row["in_scope_cost"], row["out_of_scope_cost"]))
    said = f"{figures.counted(row['line_count'], 'line')} {exact_money(lines, currency)}"
    if row["adjustments_cost"]:
        said += f", adjustments {exact_money(row['adjustments_cost'], currency)}"
    if row["invoice_cost"] is None:
        return f"{name}{of}: {said}; {UNKNOWN}"
    other = (
        "" if row["other_total_cost"] is None else f" (also stated: {exact_money(row['other_total_cost'], currency)})"
    )
    basis = "entered" if row["total_basis"] == "entered" else "stated by its export"
    residual = exact_money(row["residual_cost"], currency)
    named = _RESIDUALS.get(row["residual_name"], "") or "residual"
    return f"{name}{of}: {exact_money(row['invoice_cost'], currency)} {basis}{other}, {said}: {residual} {named}"


def late_in_words(row: Row) -> str:
    """What of a closed month shows in this one."""
    if row["status"] == LATE_INVOICE:
        total = exact_money(row["invoice_cost"], row["billing_currency"])
        return (
            f"Of {row['restated_month_date']:%Y-%m}, which is closed: invoice {row['invoice_id']} of {total} came "
            "since, and no line of that month names the invoice that it is on."
        )
    amount = exact_money(row["adjustments_cost"], row["billing_currency"])
    days = figures.counted(row["line_count"], "day")
    return f"Of {row['restated_month_date']:%Y-%m}, which is closed: {amount} on {days} of {row['account']}."


def exact_money(amount: Decimal, currency: str) -> str:
    """With every digit that is not zero: what ties must be seen to."""
    return currencies.priced(exact_figure(amount, currency), currency)


def exact_figure(amount: Decimal, currency: str) -> str:
    """The figure alone, for a column whose head names the currency."""
    with localcontext() as context:
        context.prec = _PRECISION
        return currencies.in_minor_units(amount, currency, most_decimals=_MOST_DIGITS)


def runs_of(days: Sequence[date]) -> str:
    """`2026-10-03, 2026-10-07 to 2026-10-09`"""
    runs: list[list[date]] = []
    for day in sorted(days):
        if runs and (day - runs[-1][-1]).days == 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def closed_in_words(closing: Closing, *, now: datetime) -> str | None:
    """`Closed: 2026-10 (on 5 Nov 2026, snapshot 1f…), 2 months in all.` None where nobody closes months here."""
    if not closing.closes:
        if not closing.totals and not closing.adjustments:
            return None
        return "No month is closed yet: breakeven close --month YYYY-MM."
    alone = _closed_alone(closing)
    if not closing.months:
        return f"No month is closed yet but {alone}: breakeven close --month YYYY-MM."
    last = closing.months[max(closing.months)]
    open_months = [month for month in _months(last.month, now.date()) if month not in closing.months]
    waiting = f" Over and not closed: {', '.join(f'{month:%Y-%m}' for month in open_months)}." if open_months else ""
    return (
        f"Closed to {last.month:%Y-%m} (on {figures.day(last.at.date())}, snapshot {last.snapshot_id}), "
        f"{figures.counted(len(closing.months), 'month')} in all.{waiting}" + (f" Alone: {alone}." if alone else "")
    )


def _closed_alone(closing: Closing) -> str:
    """`2026-11 of anthropic`: closed, where its month is not."""
    return ", ".join(
        f"{month:%Y-%m} of {issuer}"
        for month, issuer in sorted((month, issuer) for month, issuer in closing.closes if issuer is not None)
        if month not in closing.months
    )


def _months(first: date, until: date) -> list[date]:
    """Months from `first` on that are over."""
    months = []
    while (following := next_month(first)) <= until:
        months.append(first)
        first = following
    return months


def next_month(month: date) -> date:
    """The first day of the month after."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)
