"""A month's invoices in the reporting currency: each at one rate, which is dated and says whose it is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pipeline.build.closing_tables import EnteredRate, InvoiceName
from pipeline.economics.invoice_conversion import converted_once
from pipeline.formats.currency import minor_digits
from pipeline.reports.closing import exact_money

Row = Mapping[str, Any]
ISSUER, PUBLISHED, PROVISIONAL = "issuer", "published", "provisional"
# What the parts of an invoice are called; they sum to its total.
PARTS = ("in_scope_cost", "out_of_scope_cost", "adjustments_cost", "residual_cost")
_WORDS = {
    ISSUER: "the issuer's own",
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

    def in_words(self) -> str:
        """`INV-1 of acme: €17,825.20 at 0.864 of 2026-10-31 (the issuer's own).`"""
        return (
            f"{self.invoice_id} of {self.issuer}: {exact_money(self.total, self.reporting_currency)} at "
            f"{float(self.rate):.8g} of {self.rate_date} ({_WORDS[self.rate_source]})."
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
            **{name: format(amount, "f") for name, amount in self.parts.items()},
        }


def converted_invoices(
    invoices: Iterable[Row],
    *,
    reporting_currency: str,
    entered: Mapping[InvoiceName, EnteredRate],
    published: Sequence[Row],
    is_over: bool,
) -> tuple[list[Converted], list[str]]:
    """The invoices whose totals are known and in another currency; and in words those without a rate, and rates without
    an invoice. `entered`: those of these invoices' month.

    The issuer's own rate goes before the one that is published (`published`: the last of the month by currency). A
    missing rate leaves that invoice unconverted, and no other.
    """
    by_currency = {row["currency"]: row for row in published if row["reporting_currency"] == reporting_currency}
    found, lacking = [], []
    unused = dict(entered)
    for row in invoices:
        currency = row["billing_currency"]
        if row["invoice_cost"] is None or row["invoice_id"] is None or currency == reporting_currency:
            continue
        name = InvoiceName(row["billing_month_date"], row["issuer"], currency, row["invoice_id"])
        own, known = entered.get(name), by_currency.get(currency)
        if own is not None and own.reporting_currency == reporting_currency:
            rate, day, source = Fraction(own.rate), own.rate_date, ISSUER
            del unused[name]
        elif known is not None and known["rate_date"] is not None:
            rate, day = Fraction(known["multiplier"], known["divisor"]), known["rate_date"]
            source = PUBLISHED if is_over else PROVISIONAL
        else:
            lacking.append(
                f"{row['invoice_id']} of {row['issuer']}: no rate from {currency} to {reporting_currency} is published."
                " `breakeven close rate` enters the invoice's own."
            )
            continue
        digits = minor_digits(reporting_currency)
        units = converted_once([Fraction(row[part]) for part in PARTS], rate=rate, digits=digits)
        amounts = [Decimal(one).scaleb(-digits) for one in units]
        total = Decimal(sum(units)).scaleb(-digits)
        found.append(
            Converted(
                row["issuer"], row["invoice_id"], currency, reporting_currency, rate, day, source, total,
                dict(zip(PARTS, amounts, strict=True)),
            )
        )  # fmt: skip
    lacking += [
        f"The rate of {format(one.rate, 'f')} {one.reporting_currency} that was entered for {name.invoice_id} of "
        f"{name.issuer} converts nothing: no invoice of that name has a total in {name.currency} that becomes "
        f"{reporting_currency}."
        for name, one in sorted(unused.items())
    ]
    return found, lacking
