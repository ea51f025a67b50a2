"""An amount names its currency the same way everywhere."""

import pytest

from pipeline.formats.currency import priced, unit


@pytest.mark.parametrize(
    ("figure", "currency", "expected"),
    [
        ("4,987.90", "USD", "$4,987.90"),
        ("4,987.90", "EUR", "€4,987.90"),
        ("-0.50", "GBP", "-£0.50"),
        ("\u22120.50", "EUR", "\u2212€0.50"),
        ("1,234", "JPY", "¥1,234"),
        ("12.00", "CAD", "CA$12.00"),
        ("12.00", "CHF", "12.00 CHF"),
        ("-12.00", "CHF", "-12.00 CHF"),
        ("<0.01", "USD", "<0.01 USD"),
        (">\u22120.01", "EUR", ">\u22120.01 EUR"),
        ("12.00", "XTS", "12.00 XTS"),
        ("12.00", "of no stated currency", "12.00 of no stated currency"),
    ],
)
def test_an_amount_has_its_own_currencys_symbol_or_code(figure: str, currency: str, expected: str) -> None:
    """B23: a dollar sign is on dollars alone; other dollars say whose they are."""
    assert priced(figure, currency) == expected


def test_a_column_head_names_the_unit() -> None:
    assert [unit(currency) for currency in ("USD", "EUR", "CAD", "CHF")] == ["$", "€", "CA$", "CHF"]
