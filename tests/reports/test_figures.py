"""Figures are written exactly, the same everywhere, and the unknown is not zero."""

from datetime import date
from decimal import Decimal

import pytest

from pipeline.reports import figures


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        (Decimal("1234567.125"), "USD", "1,234,567.12"),
        (Decimal("1234567.135"), "USD", "1,234,567.14"),
        (Decimal("-95"), "USD", "−95.00"),
        (Decimal("0"), "USD", "0.00"),
        (Decimal("-0.00"), "USD", "0.00"),
        (Decimal("1234.5"), "JPY", "1,234"),
        (None, "USD", "—"),
    ],
)
def test_money_is_rounded_half_even_in_the_currency_s_minor_units(amount, currency, written):
    assert figures.money(amount, currency) == written


@pytest.mark.parametrize(("amount", "written"), [(Decimal("0.004"), "<0.01"), (Decimal("-0.004"), ">−0.01")])
def test_what_is_not_zero_is_never_written_as_zero(amount, written):
    """B7"""
    assert figures.money(amount, "USD") == written


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        (Decimal("12.5"), "USD", "$12.50"),
        (Decimal("-12.5"), "USD", "−$12.50"),
        (Decimal("0.001"), "USD", "<0.01 USD"),
        (Decimal("12.5"), "EUR", "€12.50"),
        (None, "USD", "an unknown amount"),
    ],
)
def test_an_amount_in_a_sentence_names_its_currency(amount, currency, written):
    assert figures.priced(amount, currency) == written


def test_a_share_of_nothing_is_unknown():
    """B14"""
    assert figures.percent(0.0, 0.0) == "—"
    assert figures.percent(1, None) == "—"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-cmd|x", "@SUM(A1)", "\t=1+1"])
def test_a_name_cannot_begin_a_formula(text):
    assert figures.visible(text)[:1] not in "=+-@\t"


def test_characters_that_hide_or_reorder_are_made_visible():
    assert figures.visible("a\u202eb\u200bc\x00d\ne") == "a\ufffdb\ufffdc\ufffdd e"


def test_a_long_name_is_cut_and_says_so():
    assert figures.visible("x" * 1000) == "x" * (figures.NAME_LIMIT - 1) + "…"


def test_dates_are_written_without_a_locale():
    assert figures.day(date(2026, 3, 9)) == "9 Mar 2026"
    assert figures.month_name(date(2026, 10, 1)) == "October 2026"
