"""Text to exact values, at the edges that the sources' own tests do not reach."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import QuarantineError
from pipeline.formats.values import JsonNumber, canonical_json, decimal_text, exact_json, instant, iso_date, read_csv


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**19), max_value=10**19, places=18))
def test_a_decimal_that_fits_keeps_its_value_and_has_no_exponent(number: Decimal) -> None:
    for spelled in (str(number), format(number, "f"), f"{number:E}"):
        text = decimal_text(spelled, name="amount", where="row 1")
        assert Decimal(text) == number
        assert "E" not in text.upper()


@pytest.mark.parametrize("text", ["1e400", "1e999", "1" * 61, "1E-19", "0x10", "1_000", "--1", "1.2.3", ".", "e5", "٣"])
def test_a_number_that_is_none_or_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(QuarantineError, match="row 1: amount is"):
        decimal_text(text, name="amount", where="row 1")


def test_trailing_zeros_do_not_count_as_digits() -> None:
    """A vendor that prints 25 decimals of zeros states an exact amount all the same."""
    assert decimal_text("5." + "0" * 25, name="amount", where="row 1") == "5." + "0" * 25
    assert decimal_text("-0.00", name="amount", where="row 1") == "-0.00"
    assert decimal_text("0e-999", name="amount", where="row 1") == "0"


def test_json_numbers_keep_their_spelling_there_and_back() -> None:
    text = '{"a": 0.10, "b": [1E-7, 12345678901234567890123, "0.10"], "c": {"d": null}}'
    document = exact_json(text.encode())
    assert isinstance(document["a"], JsonNumber)
    assert canonical_json(document) == text


def test_a_long_hostile_value_is_shown_in_part() -> None:
    with pytest.raises(QuarantineError) as raised:
        decimal_text("x" * 10_000, name="amount", where="row 1")
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("text", ["20260701", "2026-7-1", "2026-W01-1", "2026-07-01T00:00:00Z", "0000-01-01", ""])
def test_only_one_spelling_of_a_date_is_read(text: str) -> None:
    with pytest.raises(QuarantineError):
        iso_date(text, name="date", where="row 1")


@pytest.mark.parametrize("text", ["2026-07-01T00:00:00", "2026-07-01", "now", "0001-01-01T00:00:00+23:00", None, 5])
def test_an_instant_without_an_offset_is_refused(text: object) -> None:
    with pytest.raises(QuarantineError):
        instant(text, name="at", where="row 1")


def test_rows_are_numbered_as_a_spreadsheet_numbers_them() -> None:
    file = read_csv(b'a,b\n1,"two\nlines"\n\n3,4\n')
    assert [number for number, _ in file.rows] == [2, 4]
    with pytest.raises(QuarantineError, match="row 1 is blank"):
        read_csv(b"\na,b\n1,2\n")
