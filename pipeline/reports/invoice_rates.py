"""A month's invoices in the reporting currency: each at one rate, which is dated and says whose it is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.build.closing_tables import Closing, EnteredRate, InvoiceName
from pipeline.economics.accrual import rounded_once
from pipeline.economics.closing import exact_sum
from pipeline.economics.invoice_conversion import converted_once, is_inverted, stated_rate
from pipeline.formats.currency import minor_digits
from pipeline.reports.closing import exact_money, next_month
from pipeline.reports.figures import counted

Row = Mapping[str, Any]
ISSUER, AWS, PUBLISHED, PROVISIONAL = "issuer", "aws", "published", "provisional"
# What the parts of an invoice are called; they sum to its total.
PARTS = ("in_scope_cost", "out_of_scope_cost", "adjustments_cost", "residual_cost")
# Whose a rate is.
WHOSE = {
    ISSUER: "the issuer's own",
    AWS: "AWS's own",
    PUBLISHED: "published, the last of the month",
    PROVISIONAL: "provisional: the last that is published, the month is not over",
}


@dataclass(frozen=True)
class Converted:
    """An invoice in the reporting currency. rate: of one unit of its own; rate_date: the day that the rate is of."""

    issuer: str
    invoice_id: str
    currency: str
    reporting_currency: str
    rate: Fraction
    rate_date: date
    rate_source: str
    total: Decimal
    parts: Mapping[str, Decimal]
    # What its lines are where each day has its own day's rate, as the cost tables have them; None where a day has none.
    by_day: Decimal | None = None

    @property
    def lines(self) -> Decimal:
        """What its lines come to at its own rate."""
        return exact_sum(self.parts[name] for name in PARTS[:2])

    @property
    def of_rates(self) -> Decimal | None:
        """What the two differ by: by_day + of_rates + adjustments + residual = total."""
        return None if self.by_day is None else exact_sum((self.lines, self.by_day.copy_negate()))

    def in_words(self) -> str:
        """`INV-1 of acme: €17,825.20 at 0.864 of 2026-10-31 (the issuer's own).`"""
        return (
            f"{self.invoice_id} of {self.issuer}: {exact_money(self.total, self.reporting_currency)} at "
            f"{float(self.rate):.8g} of {self.rate_date} ({WHOSE[self.rate_source]})."
        )

    def body(self) -> dict[str, Any]:
        """What a close keeps of it."""
        return {
            "issuer": self.issuer,
            "invoice_id": self.invoice_id,
            "billing_currency": self.currency,
            "reporting_currency": self.reporting_currency,
            "rate": str(self.rate),
            "rate_date": self.rate_date.isoformat(),
            "rate_source": self.rate_source,
            "total": format(self.total, "f"),
            "by_day": None if self.by_day is None else format(self.by_day, "f"),
            **{name: format(amount, "f") for name, amount in self.parts.items()},
        }


def month_conversions(
    ask: Callable[..., pl.DataFrame],
    closing: Closing,
    *,
    month: date,
    reporting_currency: str,
    is_over: bool,
    is_meant: Callable[[str], bool] = lambda issuer: True,
) -> tuple[list[Converted], list[str]]:
    """A month's invoices in another currency than the reporting one, in that: as their close kept them, or as they
    would be closed now; and in words what has no rate. `ask`: of a snapshot's questions; `is_meant`: whether an
    issuer's are.
    """
    days = {"from_date": month, "to_date": next_month(month)}
    rows = [row for row in ask("close_invoices", **days).to_dicts() if is_meant(row["issuer"])]
    before = [
        kept(said)
        for (of, _), close in sorted(closing.closes.items(), key=lambda one: (one[0][0], one[0][1] or ""))
        for said in (close.conversions if of == month else ())
        if said["reporting_currency"] == reporting_currency and is_meant(said["issuer"])
    ]
    entered = {
        name: one
        for name, one in closing.rates.items()
        if name.month == month and is_meant(name.issuer) and closing.close_of(month, name.issuer) is None
    }
    if not entered and all(row["billing_currency"] == reporting_currency for row in rows):
        return before, []
    found, lacking = converted_invoices(
        [row for row in rows if closing.close_of(month, row["issuer"]) is None],
        reporting_currency=reporting_currency,
        entered=entered,
        stated=ask("close_issuer_rates").to_dicts(),
        published=ask("close_rates", **days).to_dicts(),
        is_over=is_over,
        days=ask("ledger_days", reporting_currency=reporting_currency, **days).to_dicts(),
    )
    return [*before, *found], lacking


def kept(said: Mapping[str, Any]) -> Converted:
    """What a close keeps of an invoice. Earlier releases kept no sum by day."""
    by_day = said.get("by_day")
    return Converted(
        issuer=said["issuer"],
        invoice_id=said["invoice_id"],
        currency=said["billing_currency"],
        reporting_currency=said["reporting_currency"],
        rate=Fraction(said["rate"]),
        rate_date=date.fromisoformat(said["rate_date"]),
        rate_source=said["rate_source"],
        total=Decimal(said["total"]),
        parts={name: Decimal(said[name]) for name in PARTS},
        by_day=None if by_day is None else Decimal(by_day),
    )


def rates_in_words(found: Sequence[Converted]) -> str | None:
    """`Rates: marts by day €17,164.67, ledger at the invoices' rates €17,825.20, difference €660.53.` None where no
    invoice is in another currency. An invoice of which a day has no rate is in none of the three.
    """
    known = [(one.by_day, one.lines, one.of_rates) for one in found if one.by_day is not None]
    left = len(found) - len(known)
    if not found:
        return None
    if not known:
        return "Rates: no invoice in another currency has a rate on each of its days, so the marts have no sum of them."
    currency = found[0].reporting_currency
    by_day, lines, of_rates = (exact_money(exact_sum(map(_known, one)), currency) for one in zip(*known, strict=True))
    more = f" {counted(left, 'invoice')} more {'has' if left == 1 else 'have'} days without a rate." if left else ""
    return f"Rates: marts by day {by_day}, ledger at the invoices' rates {lines}, difference {of_rates}.{more}"


def _known(amount: Decimal | None) -> Decimal:
    assert amount is not None
    return amount


@dataclass(frozen=True)
class _Rate:
    """Of the reporting currency for one unit of an invoice's; source: whose it is.

    exact: what one unit came to, where the issuer says what is paid: the rate that it states is written short.
    """

    rate: Fraction
    day: date
    source: str
    exact: Fraction | None = None


def converted_invoices(
    invoices: Iterable[Row],
    *,
    reporting_currency: str,
    entered: Mapping[InvoiceName, EnteredRate],
    stated: Sequence[Row],
    published: Sequence[Row],
    is_over: bool,
    days: Sequence[Row] = (),
) -> tuple[list[Converted], list[str]]:
    """The invoices whose totals are known and in another currency; and in words those without a rate, and rates without
    an invoice. `entered`: those of these invoices' month.

    A rate that somebody entered goes before the one that AWS states with its total (`stated`: rows of
    `close_issuer_rates`), and that before the published one (`published`: the last of the month by currency). A missing
    rate leaves that invoice unconverted, and no other. `days`: rows of `ledger_days`.
    """
    by_currency = {
        row["currency"]: _Rate(
            Fraction(row["multiplier"], row["divisor"]), row["rate_date"], PUBLISHED if is_over else PROVISIONAL
        )
        for row in published
        if row["reporting_currency"] == reporting_currency and row["rate_date"] is not None
    }
    found, lacking = [], []
    unused = dict(entered)
    for row in invoices:
        currency = row["billing_currency"]
        if row["invoice_cost"] is None or row["invoice_id"] is None or currency == reporting_currency:
            continue
        name = InvoiceName(row["billing_month_date"], row["issuer"], currency, row["invoice_id"])
        own = entered.get(name)
        if own is not None and own.reporting_currency == reporting_currency:
            rate: _Rate | None = _Rate(Fraction(own.rate), own.rate_date, ISSUER)
            del unused[name]
        else:
            rate, doubt = _of_aws(row, stated, reporting_currency)
            lacking += [doubt] if doubt else []
            rate = rate or by_currency.get(currency)
        if rate is None:
            lacking.append(
                f"{row['invoice_id']} of {row['issuer']}: no rate from {currency} to {reporting_currency} is published."
                " `breakeven close rate` enters the invoice's own."
            )
            continue
        found.append(_converted(row, rate, reporting_currency, days))
    lacking += [
        f"The rate of {format(one.rate, 'f')} {one.reporting_currency} that was entered for {name.invoice_id} of "
        f"{name.issuer} converts nothing: no invoice of that name has a total in {name.currency} that becomes "
        f"{reporting_currency}."
        for name, one in sorted(unused.items())
    ]
    return found, lacking


def _converted(row: Row, rate: _Rate, reporting_currency: str, days: Sequence[Row]) -> Converted:
    digits = minor_digits(reporting_currency)
    units = converted_once([Fraction(row[part]) for part in PARTS], rate=rate.exact or rate.rate, digits=digits)
    return Converted(
        issuer=row["issuer"],
        invoice_id=row["invoice_id"],
        currency=row["billing_currency"],
        reporting_currency=reporting_currency,
        rate=rate.rate,
        rate_date=rate.day,
        rate_source=rate.source,
        total=Decimal(sum(units)).scaleb(-digits),
        parts={name: Decimal(one).scaleb(-digits) for name, one in zip(PARTS, units, strict=True)},
        by_day=_by_day(row, days, digits=digits),
    )


def _by_day(row: Row, days: Iterable[Row], *, digits: int) -> Decimal | None:
    """An invoice's lines at the rate of each one's day, rounded once. None where a day has no rate, or where the days
    that are known are not all of its lines: of an invoice by lines some are to come, of a late one some are booked.
    """
    its = [
        one
        for one in days
        if (one["issuer"], one["billing_currency"]) == (row["issuer"], row["billing_currency"])
        and row["account"] in (None, one["account"])
    ]
    named = [one for one in its if one["invoice_id"] == row["invoice_id"]]
    lines = named or [one for one in its if one["invoice_id"] is None]
    if exact_sum(one["cost"] for one in lines) != exact_sum((row["in_scope_cost"], row["out_of_scope_cost"])):
        return None
    if any(one["multiplier"] is None for one in lines):
        return None
    amounts = (Fraction(one["cost"]) * one["multiplier"] / one["divisor"] for one in lines)
    (units,) = rounded_once([sum(amounts, Fraction(0))], digits=digits)
    return Decimal(units).scaleb(-digits)


def _of_aws(row: Row, stated: Sequence[Row], reporting_currency: str) -> tuple[_Rate | None, str | None]:
    """The rate that AWS states of an invoice, where its total is that invoice's and the reporting currency is what is
    paid: what AWS says is paid is what it comes to. And in words why a rate that it states is not used. Several
    invoices that are one row have one rate or none.
    """
    ids = row["invoice_id"].split(" + ")
    its = {
        one["invoice_id"]: one
        for one in stated
        if one["invoice_id"] in ids and one["billing_currency"] == row["billing_currency"]
    }
    totals = {row["invoice_cost"], row["other_total_cost"]}
    if its.keys() != set(ids) or exact_sum(one["payable_cost"] for one in its.values()) not in totals:
        # Another issuer's invoice of the same number, or not all of these.
        return None, None
    if any(one["payment_currency"] != reporting_currency for one in its.values()):
        return None, None
    rates = {_verified(one) for one in its.values()}
    days = [one["issued_on_date"] for one in its.values()]
    if None in rates or len(rates) != 1 or None in days:
        said = ", ".join(sorted({format(one["issuer_fx_rate"].normalize(), "f") for one in its.values()}))
        return None, (
            f"{row['invoice_id']} of {row['issuer']}: AWS states a rate of {said}, which is not what it converted its "
            "total at, or not of one day; it is not used. `breakeven close rate` enters the invoice's own."
        )
    (rate,) = rates
    if rate is None:
        return None, None
    # Of several, which may be credits of one another, no one quotient is the rate.
    whole = [Fraction(one["payment_cost"]) / Fraction(one["payable_cost"]) for one in its.values()]
    return _Rate(rate, max(days), AWS, exact=whole[0] if len(whole) == 1 else None), None


def _verified(one: Row) -> Fraction | None:
    of = {one["exchange_from_currency"], one["exchange_to_currency"]} - {None}
    if one["payable_cost"] is None or one["payment_cost"] is None:
        return None
    if not of <= {one["billing_currency"], one["payment_currency"]}:
        return None
    return stated_rate(
        Fraction(one["issuer_fx_rate"]),
        amount=Fraction(one["payable_cost"]),
        paid=Fraction(one["payment_cost"]),
        digits=minor_digits(one["payment_currency"]),
    )


def why_inverted(rate: Decimal, published: Sequence[Row], *, currency: str, reporting_currency: str) -> str | None:
    """In words, with both figures, that a rate was read the other way round; None where it was not, or none is known.

    `published`: the rows of the question `published_rate` for the day that the rate is of.
    """
    for row in published:
        known = Fraction(row["multiplier"], row["divisor"])
        if is_inverted(Fraction(rate), published=known):
            return (
                f"{format(rate, 'f')} is not what is published of {row['rate_date']}: one {currency} is "
                f"{float(known):.6g} {reporting_currency}, and one {reporting_currency} is {float(1 / known):.6g} "
                f"{currency}. --rate is of {reporting_currency} for one {currency}. If it is meant as it is, say "
                "--insist."
            )
    return None
