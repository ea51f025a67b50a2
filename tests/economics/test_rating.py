"""A bill beside what its usage comes to: five kinds of difference, told apart on series whose kind is known."""

from collections.abc import Sequence
from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.economics.rating import (
    AGREES,
    DIFFERS,
    DISCOUNT,
    DRIFT,
    DUPLICATE,
    MIN_DAYS,
    SURCHARGE,
    UNBILLED,
    UNMETERED,
    UNPRICED,
    RatedDay,
    Told,
    told,
)

FIRST = date(2026, 10, 1)
CENT = Fraction(1, 100)


def day(number: int, rated: Fraction, factor: Fraction | None, *, tokens: int | None = 1000) -> RatedDay:
    """A day whose bill is `factor` of its rating, rounded to a cent; None: it is not on the bill."""
    billed = None if factor is None else Fraction(round(rated * factor / CENT)) * CENT
    low, high = (Fraction(0), Fraction(0)) if billed is None else (billed - CENT / 2, billed + CENT / 2)
    return RatedDay(FIRST + timedelta(days=number), tokens, rated, billed, max(low, Fraction(0)), high)


def series(factors: Sequence[Fraction | float | int | None], rated: Fraction = Fraction(100)) -> list[Told]:
    """Usage that differs from day to day, so that no factor holds by chance."""
    return told(
        day(number, rated + 7 * number, None if factor is None else Fraction(factor).limit_denominator(10**4))
        for number, factor in enumerate(factors)
    )


def kinds(found: Sequence[Told]) -> list[str]:
    return [one.kind for one in found]


RATINGS = st.lists(st.integers(500, 10**6).map(lambda cents: cents * CENT + Fraction(1, 300)), min_size=6, max_size=20)


@given(RATINGS, st.sampled_from([Fraction(1), Fraction(9, 10), Fraction(3, 4), Fraction(13, 10)]))
def test_one_factor_is_a_discount_or_a_surcharge_whatever_was_used(ratings: list[Fraction], factor: Fraction) -> None:
    found = told(day(number, rated, factor) for number, rated in enumerate(ratings))
    # Where rounding to a cent hides a percent nobody could say.
    expected = {Fraction(1): AGREES}.get(factor, DISCOUNT if factor < 1 else SURCHARGE)
    assert set(kinds(found)) == {expected}
    assert all((one.over > 0) is (factor > 1) for one in found)
    for one, rated in zip(found, ratings, strict=True):
        assert abs(one.over - max(Fraction(0), rated * (factor - 1))) <= CENT


@given(RATINGS, st.data())
def test_days_that_were_rated_twice_are_told_from_all_others(ratings: list[Fraction], data: st.DataObject) -> None:
    """B24: and what they are above the price is a whole rating more."""
    twice = data.draw(st.sets(st.integers(1, len(ratings) - 2), max_size=max(0, (len(ratings) - 1) // 2 - 1)))
    times = data.draw(st.integers(2, 4))
    base = data.draw(st.sampled_from([Fraction(1), Fraction(4, 5)]))
    found = told(day(number, rated, base * (times if number in twice else 1)) for number, rated in enumerate(ratings))
    assert {number for number, one in enumerate(found) if one.kind == DUPLICATE} == twice
    assert all(one.times == times for number, one in enumerate(found) if number in twice)
    for number in twice:
        truth = ratings[number] * base * (times - 1)
        # Never more than it is; and less by no more than what rounding hides.
        assert truth - ratings[number] / 100 - CENT <= found[number].over <= truth


@given(RATINGS, st.integers(MIN_DAYS, 20), st.sampled_from([Fraction(6, 5), Fraction(9, 10), Fraction(2)]))
def test_a_price_that_moves_is_a_drift_from_that_day_on(ratings: list[Fraction], at: int, factor: Fraction) -> None:
    at = min(at, len(ratings) - MIN_DAYS)
    if at <= len(ratings) - at:
        at = len(ratings) - MIN_DAYS
    found = told(day(number, rated, factor if number >= at else Fraction(1)) for number, rated in enumerate(ratings))
    if at > len(ratings) - at:
        assert kinds(found) == [AGREES] * at + [DRIFT] * (len(ratings) - at)


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ([1, 1, 1, 1, 1], [AGREES] * 5),
        ([1, 1, 2, 1, 1], [AGREES, AGREES, DUPLICATE, AGREES, AGREES]),
        ([0.9, 0.9, 0.9, 1.8], [DISCOUNT, DISCOUNT, DISCOUNT, DUPLICATE]),
        ([1, 1, 1, 1, 1.02, 1.05, 1.09], [AGREES] * 4 + [DRIFT] * 3),
        ([1, 1, 1, 1, 1.3], [AGREES] * 4 + [DIFFERS]),
        ([1, None, 1, 1], [AGREES, UNBILLED, AGREES, AGREES]),
        # Twice the price on every day is a price, and no accident.
        ([2, 2, 2, 2], [SURCHARGE] * 4),
        # Of two factors that as many days allow, the price is the rule.
        ([0.5, 0.5, 0.5, 1, 1, 1], [DRIFT] * 3 + [AGREES] * 3),
        # Two days show no rule.
        ([0.9, 0.9], [DIFFERS, DIFFERS]),
        ([2, 2], [DUPLICATE, DUPLICATE]),
        # The price itself is not twice the half of it.
        ([0.5, 0.5, 0.5, 1, 0.5, 0.5], [DISCOUNT] * 3 + [DIFFERS] + [DISCOUNT] * 2),
    ],
)
def test_constructed_series_are_what_they_were_made_as(
    factors: Sequence[float | None], expected: Sequence[str]
) -> None:
    assert kinds(series(factors)) == list(expected)


def test_what_has_nothing_to_compare_is_said_and_is_no_claim() -> None:
    usual = [day(number, Fraction(50 + number), Fraction(1)) for number in range(4)]
    unmetered = RatedDay(FIRST + timedelta(days=4), None, None, Fraction(9), Fraction(9), Fraction(9))
    unpriced = RatedDay(FIRST + timedelta(days=5), 7, None, Fraction(9), Fraction(9), Fraction(9))
    nothing = RatedDay(FIRST + timedelta(days=6), 0, Fraction(0), Fraction(0), Fraction(0), Fraction(0))
    found = told([nothing, unpriced, unmetered, *usual])
    assert kinds(found) == [AGREES] * 4 + [UNMETERED, UNPRICED, AGREES]
    assert {one.over for one in found} == {Fraction(0)}
    assert told([]) == []


def test_a_discount_that_stops_is_told_and_is_no_claim() -> None:
    """Who was billed 90% for weeks pays what is agreed when it is all again: the price moved, and nothing is owed."""
    found = series([0.9] * 6 + [1, 1, 1])
    assert kinds(found) == [DISCOUNT] * 6 + [DRIFT] * 3
    assert {one.over for one in found} == {Fraction(0)}


@given(RATINGS, st.lists(st.integers(1, 100), min_size=20, max_size=20))
def test_a_bill_that_is_nowhere_above_the_price_is_no_claim(ratings: list[Fraction], percents: list[int]) -> None:
    """Whatever happened to a discount, on however many days, and whatever whole multiple of it the price is."""
    found = told(
        day(number, rated, Fraction(percent, 100))
        for number, (rated, percent) in enumerate(zip(ratings, percents, strict=False))
    )
    assert {one.over for one in found} == {Fraction(0)}


def test_a_double_rating_is_held_against_a_discount_only_where_that_is_the_rule() -> None:
    """Three days at half the price among seven that agree with nothing: the seven are not twice anything."""
    odd = [Fraction(101 + number, 100) for number in range(7)]
    assert all(one.over < Fraction(15) for one in series([0.5, 0.5, 0.5, *odd]))
    assert series([0.8] * 5 + [1.6])[-1].over > 75
