"""Figures and texts are written one way, whoever shows them: a report, an alert, a terminal."""

import unicodedata
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pipeline
from pipeline.alerts import text as alert_text
from pipeline.formats.currency import in_minor_units, money
from pipeline.formats.writing import fixed, one_line
from pipeline.reports import figures, words


@pytest.mark.parametrize(
    ("value", "decimals", "least", "written"),
    [
        (Decimal("1234567.125"), 2, None, "1,234,567.12"),
        (Decimal("1234567.135"), 2, None, "1,234,567.14"),
        (Decimal("-0.0"), 2, None, "0.00"),
        (Decimal("-95"), 2, None, "−95.00"),
        (Decimal("0.004"), 2, None, "<0.01"),
        (Decimal("-0.004"), 2, None, ">−0.01"),
        (Decimal("0.0375"), 4, 2, "0.0375"),
        (Decimal("3.105"), 4, 2, "3.105"),
        (Decimal("3.1"), 4, 2, "3.10"),
        (Decimal("1200"), 4, 0, "1,200"),
        (Decimal("0.00001"), 4, 2, "<0.0001"),
        (0.1 + 0.2, 2, None, "0.30"),
    ],
)
def test_a_figure_is_rounded_half_to_even_and_never_to_nothing(
    value: Decimal, decimals: int, least: int | None, written: str
) -> None:
    """B7: what is not zero is never written as zero, nor zero with a sign."""
    assert fixed(value, decimals, least_decimals=least) == written


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        (Decimal("1234.5"), "JPY", "¥1,234"),
        (Decimal("1.2345"), "KWD", "1.234 KWD"),
        (Decimal("-12.5"), "USD", "−$12.50"),
        (Decimal("0.001"), "EUR", "<0.01 EUR"),
    ],
)
def test_an_amount_has_the_minor_units_of_its_currency(amount: Decimal, currency: str, written: str) -> None:
    """B23"""
    assert money(amount, currency) == written


@given(st.decimals(-(10**12), 10**12, places=6), st.sampled_from(["USD", "EUR", "JPY", "CHF"]))
def test_an_amount_is_the_same_in_a_report_an_alert_and_a_terminal(amount: Decimal, currency: str) -> None:
    written = money(amount, currency)
    assert (
        alert_text.money(amount, currency)
        == figures.priced(amount, currency)
        == words.money(amount, currency)
        == written
    )
    assert figures.money(amount, currency) == in_minor_units(amount, currency)


@given(st.text(max_size=60))
def test_a_text_is_one_line_that_hides_nothing_and_is_as_long_as_it_was(text: str) -> None:
    line = one_line(text)
    assert len(line) == len(text)
    assert len(line.splitlines()) <= 1
    assert not {unicodedata.category(character) for character in line} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert alert_text.inert(text, 10_000) == line
    assert figures.visible(text, 10_000).removeprefix("'") == line.removeprefix("'")


def test_alerts_and_reports_round_and_clean_nothing_by_themselves() -> None:
    """Two copies would drift, and the alert would say another figure than the report."""
    root = Path(pipeline.__file__).parent
    sources = {
        path: path.read_text(encoding="utf-8") for name in ("alerts", "reports") for path in (root / name).rglob("*.py")
    }
    for word in ("ROUND_HALF_EVEN", "unicodedata", "babel"):
        assert [path.name for path, text in sources.items() if word in text] == []
