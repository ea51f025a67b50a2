"""An invoice in another currency: one rounding, and parts that sum to it."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.economics.invoice_conversion import converted_once, is_inverted, stated_rate


@given(
    st.lists(st.fractions(-(10**6), 10**6, max_denominator=10**6), max_size=8),
    st.fractions(Fraction(1, 10**4), 10**4, max_denominator=10**8),
    st.sampled_from([0, 2, 3]),
)
def test_the_parts_are_the_whole_rounded_once(parts: list[Fraction], rate: Fraction, digits: int) -> None:
    found = converted_once(parts, rate=rate, digits=digits)
    assert sum(found) == round(sum(parts, Fraction(0)) * rate * 10**digits)
    assert all(abs(one - part * rate * 10**digits) < 1 for one, part in zip(found, parts, strict=True))


def test_an_invoice_is_converted_at_its_issuers_rate_once_and_then_split() -> None:
    """Case 18, B23: $20,631.02 at 0.8640 is 17,825.20, by 4:2:2 8,912.60, 4,456.30, 4,456.30; 3 x 10.02 is 25.97."""
    whole, rate = Fraction("20631.02"), Fraction("0.8640")
    assert converted_once([whole], rate=rate, digits=2) == [17_825_20]
    assert converted_once([whole * part / 8 for part in (4, 2, 2)], rate=rate, digits=2) == [
        8_912_60,
        4_456_30,
        4_456_30,
    ]
    assert sum(converted_once([Fraction("10.02")] * 3, rate=rate, digits=2)) == 25_97
    assert 3 * converted_once([Fraction("10.02")], rate=rate, digits=2)[0] == 25_98
    assert converted_once([Fraction("-10.02")], rate=rate, digits=2) == [-8_66]


def test_a_rate_of_nothing_converts_nothing() -> None:
    with pytest.raises(ValueError, match="same sign"):
        converted_once([Fraction(1)], rate=Fraction(0), digits=2)


_RATES = st.fractions(Fraction(1, 10**3), 10**3, max_denominator=10**6).filter(
    lambda rate: abs(rate - 1) > Fraction(1, 20)
)


@given(_RATES, st.integers(10**3, 10**9), st.booleans())
def test_which_way_round_a_stated_rate_is_the_two_amounts_say(rate: Fraction, cents: int, is_turned: bool) -> None:
    amount = Fraction(cents, 100)
    paid = Fraction(round(amount * rate * 100), 100)
    said = 1 / rate if is_turned else rate
    found = stated_rate(said, amount=amount, paid=paid, digits=2)
    assert found == stated_rate(said, amount=-amount, paid=-paid, digits=2)
    assert found in ({rate} if paid > 10 else {rate, 1 / rate, None})
    assert stated_rate(said, amount=-amount, paid=-paid, digits=2) == stated_rate(
        said, amount=amount, paid=paid, digits=2
    )


@given(st.integers(-499, 499).filter(bool), st.integers(10**6, 10**9), st.booleans())
def test_a_rate_near_one_is_taken_the_way_round_that_comes_nearer(off: int, cents: int, is_turned: bool) -> None:
    """$20,000.00 at 1.0004 are 20,008.00, and the other way round 19,992.00: within what four digits leave open."""
    rate, amount = 1 + Fraction(off, 10**4), Fraction(cents, 100)
    paid = Fraction(round(amount * rate * 100), 100)
    assert stated_rate(1 / rate if is_turned else rate, amount=amount, paid=paid, digits=2) == rate


@pytest.mark.parametrize(
    ("rate", "amount", "paid"), [("0.5", 100, 86), ("0.864", 100, 0), ("0.864", 0, 86), ("-1", 1, -1)]
)
def test_a_rate_that_is_not_that_of_the_amounts_is_none(rate: str, amount: int, paid: int) -> None:
    assert stated_rate(Fraction(rate), amount=Fraction(amount), paid=Fraction(paid), digits=2) is None


@given(_RATES.filter(lambda rate: abs(rate - 1) > Fraction(1, 9)), st.fractions(Fraction(98, 100), Fraction(102, 100)))
def test_a_rate_that_was_turned_round_is_told_from_a_day_that_moved(published: Fraction, moved: Fraction) -> None:
    """0.864 is published: 1.157 was read the other way round, 0.88 is another day's."""
    assert is_inverted(moved / published, published=published)
    assert not is_inverted(published * moved, published=published)


def test_a_rate_near_one_may_be_either() -> None:
    assert not is_inverted(Fraction("1.02"), published=Fraction("0.98"))
    assert is_inverted(Fraction("1.157"), published=Fraction("0.864"))
    assert not is_inverted(Fraction("86.4"), published=Fraction("86"))
