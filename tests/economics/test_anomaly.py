"""What is unusual: against its own weekday, robustly, whatever the currency; each series by itself."""

from datetime import date, timedelta
from fractions import Fraction
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.economics.anomaly import HISTORY_DAYS, LEAST_DAYS, unusual

DAY = date(2026, 11, 3)
AMOUNTS = st.lists(st.none() | st.integers(0, 10**21), min_size=57, max_size=57)
# What a weekday costs: weekends may be a fiftieth of a Tuesday, or nothing.
WEEK = st.lists(st.integers(0, 50).map(lambda part: part * 10**18), min_size=7, max_size=7)
NOISE = st.lists(st.integers(-90, 90), min_size=120, max_size=120)


def series(amounts, last=DAY):
    days = [last - timedelta(days=back) for back in reversed(range(len(amounts)))]
    return {day: amount for day, amount in zip(days, amounts, strict=True) if amount is not None}


def seasonal(week, noise, last=DAY):
    """A weekly pattern with noise of at most 9%, in thousandths."""
    days = [last - timedelta(days=back) for back in reversed(range(len(noise)))]
    return {day: week[day.weekday()] * (1000 + part) // 1000 for day, part in zip(days, noise, strict=True)}


def by_hand(day, amounts):
    """A second route: the formula as it is written, with the standard library's medians over Fractions."""
    history = {
        one: Fraction(amount)
        for one, amount in amounts.items()
        if day - timedelta(days=HISTORY_DAYS) <= one < day
    }  # fmt: skip
    same = [amount for one, amount in history.items() if one.weekday() == day.weekday()]
    if day not in amounts or len(history) < LEAST_DAYS or len(same) < 3:
        return None
    middles = {
        weekday: median([amount for one, amount in history.items() if one.weekday() == weekday])
        for weekday in {one.weekday() for one in history}
    }
    distances = [
        abs(amount - middles[one.weekday()]) / middles[one.weekday()]
        for one, amount in history.items()
        if middles[one.weekday()]
    ]
    spread = median(distances) if distances else 0
    expected = Fraction(median(same))
    usual = expected * max(Fraction(1, 5), 5 * Fraction(14826, 10_000) * spread)
    return amounts[day] - expected, usual


@given(AMOUNTS)
def test_the_rule_is_that_of_the_formula_written_out(amounts):
    amounts = series(amounts)
    found, hand = unusual(DAY, amounts), by_hand(DAY, amounts)
    if hand is None:
        assert found is None
        return
    above, usual = hand
    # The spread is held in millionths: at most that much of what is expected may be between the two.
    margin = Fraction(8, 10**6) * abs(amounts[DAY] - above)
    if found is None:
        assert abs(above) <= usual + margin
    else:
        assert found.above == above
        assert abs(found.usual - usual) <= margin
        assert abs(above) > usual - margin


@given(WEEK, NOISE)
def test_a_seasonal_series_with_small_noise_has_no_anomaly(week, noise):
    amounts = seasonal(week, noise)
    assert [day for day in amounts if unusual(day, amounts) is not None] == []


@given(WEEK, NOISE, st.integers(15, 40).map(lambda tenths: Fraction(tenths, 10)))
def test_a_step_is_seen_on_its_first_day_and_on_every_day_of_two_weeks(week, noise, factor):
    week = [max(amount, 10**18) for amount in week]
    noise = [part // 10 for part in noise]  # within 0.9%
    amounts = seasonal(week, noise)
    stepped = {
        day: int(amount * factor) if day > DAY - timedelta(days=14) else amount for day, amount in amounts.items()
    }
    seen = {day for day in stepped if unusual(day, stepped) is not None}
    assert seen == {DAY - timedelta(days=back) for back in range(14)}


@given(WEEK, NOISE)
def test_of_two_that_cancel_both_are_seen_though_their_sum_is_as_usual(week, noise):
    week = [max(amount, 10**18) for amount in week]
    amounts = seasonal(week, [part // 10 for part in noise])
    moved = amounts[DAY] // 2
    rising, falling = amounts | {DAY: amounts[DAY] + moved}, amounts | {DAY: amounts[DAY] - moved}
    together = {day: rising[day] + falling[day] for day in amounts}
    assert unusual(DAY, together) is None
    risen, fallen = unusual(DAY, rising), unusual(DAY, falling)
    assert risen.above > 0 > fallen.above


@given(WEEK, NOISE, st.integers(1, 60), st.integers(0, 3))
def test_a_holiday_poisons_no_other_day(week, noise, back, factor):
    """A day off, or a day of three times the spend, is unusual itself and makes no other day so."""
    amounts = seasonal(week, [part // 2 for part in noise])
    holiday = DAY - timedelta(days=back)
    amounts[holiday] = amounts[holiday] * factor
    assert {day for day in amounts if unusual(day, amounts) is not None} <= {holiday}


@given(AMOUNTS, st.integers(2, 10**6))
def test_in_another_currency_the_same_days_are_unusual(amounts, rate):
    amounts = series(amounts)
    one, other = unusual(DAY, amounts), unusual(DAY, {day: amount * rate for day, amount in amounts.items()})
    assert (one is None) == (other is None)
    if one is not None:
        assert (one.above * rate, one.usual * rate) == (other.above, other.usual)


def test_what_is_new_is_unusual_only_where_it_is_known_that_there_was_nothing():
    nothing = series([0] * 56 + [10**18])
    assert unusual(DAY, nothing).above == 10**18
    assert unusual(DAY, {DAY: 10**18}) is None
    assert unusual(DAY, series([0] * 27 + [10**18])) is None
    assert unusual(DAY, series([0] * 28 + [10**18])) is not None


@pytest.mark.parametrize("growth", [1.005, 1.01, 0.99])
def test_growth_of_some_percent_a_week_is_no_anomaly(growth):
    amounts = series([int(10**20 * growth**number) for number in range(150)])
    assert [day for day in amounts if unusual(day, amounts) is not None] == []
