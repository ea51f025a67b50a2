"""Which rate an invoice is converted at: its issuer's own, else the month's last that is published, else none."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from pipeline.build.closing_tables import EnteredRate, InvoiceName
from pipeline.reports.invoice_rates import converted_invoices

OCTOBER = date(2026, 10, 1)


def invoice(invoice_id: str | None, total: str | None, currency: str = "USD") -> dict[str, Any]:
    known = Decimal(total or "0")
    return {
        "billing_month_date": OCTOBER, "issuer": "acme", "account": "a", "other_total_cost": None,
        "billing_currency": currency, "invoice_id": invoice_id,
        "invoice_cost": None if total is None else known, "in_scope_cost": known - 1, "out_of_scope_cost": Decimal(1),
        "adjustments_cost": Decimal(0), "residual_cost": None if total is None else Decimal(0),
    }  # fmt: skip


def published(currency: str, per_unit: tuple[int, int]) -> dict[str, Any]:
    return {
        "currency": currency, "reporting_currency": "EUR", "usage_date": date(2026, 10, 31),
        "rate_date": date(2026, 10, 30), "multiplier": per_unit[0], "divisor": per_unit[1],
    }  # fmt: skip


def test_the_issuers_rate_goes_before_the_published_one_and_a_missing_one_stops_nothing() -> None:
    """B23, law 3. 100.00 dollars at 0.8640 of the issuer's, 100.00 at 9/10, 1,000 yen at nothing that is known."""
    own = EnteredRate(
        InvoiceName(OCTOBER, "acme", "USD", "A"), Decimal("0.8640"), "EUR", date(2026, 11, 2),
        datetime(2026, 11, 3, tzinfo=UTC), "kim",
    )  # fmt: skip
    rows = [
        invoice("A", "100"), invoice("B", "100"), invoice("C", "1000", "JPY"), invoice("D", "5", "EUR"),
        invoice("E", None), invoice(None, "3"),
    ]  # fmt: skip
    about: dict[str, Any] = {"reporting_currency": "EUR", "entered": {own.name: own}, "stated": []}
    found, lacking = converted_invoices(rows, published=[published("USD", (9, 10))], is_over=True, **about)
    assert [(one.invoice_id, one.total, one.rate_date.day, one.rate_source) for one in found] == [
        ("A", Decimal("86.40"), 2, "issuer"),
        ("B", Decimal("90.00"), 30, "published"),
    ]
    assert all(sum(one.parts.values()) == one.total for one in found)
    assert lacking == [
        "C of acme: no rate from JPY to EUR is published. `breakeven close rate` enters the invoice's own."
    ]
    (own_rate, open_month), _ = converted_invoices(rows, published=[published("USD", (9, 10))], is_over=False, **about)
    assert (own_rate.rate_source, open_month.rate_source) == ("issuer", "provisional")
    # A rate to a currency that is no more reported in converts nothing.
    _, lacking = converted_invoices(
        rows, reporting_currency="GBP", entered=about["entered"], stated=[], published=[], is_over=True
    )
    assert [text.partition(":")[0] for text in lacking[:4]] == ["A of acme", "B of acme", "C of acme", "D of acme"]
    assert lacking[4:] == [
        "The rate of 0.8640 EUR that was entered for A of acme converts nothing: no invoice of that name has a total "
        "in USD that becomes GBP."
    ]


def test_a_rate_of_an_invoice_that_is_not_there_is_said() -> None:
    """A mistyped id would leave the invoice at the published rate, and nobody would know."""
    typed = EnteredRate(
        InvoiceName(OCTOBER, "acme", "USD", "a"), Decimal("0.8640"), "EUR", date(2026, 11, 2),
        datetime(2026, 11, 3, tzinfo=UTC), "kim",
    )  # fmt: skip
    (converted,), said = converted_invoices(
        [invoice("A", "100")], reporting_currency="EUR", entered={typed.name: typed}, stated=[],
        published=[published("USD", (9, 10))], is_over=True,
    )  # fmt: skip
    assert converted.rate_source == "published"
    assert [text.partition(":")[0] for text in said] == [
        "The rate of 0.8640 EUR that was entered for a of acme converts nothing"
    ]
