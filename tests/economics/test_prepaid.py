"""A prepaid account: whatever moves, opening and movements are the closing balance; what nobody knows stays unknown."""

from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.prepaid import HISTORY_DAYS, LEAST_DAYS, Balance, Movements, balances, mean_usage, runway

FIRST = date(2026, 11, 1)
CENTS = st.integers(0, 10**9).map(lambda cents: Fraction(cents, 100))
MAYBE = st.none() | CENTS
MOVED = st.builds(
    Movements,
    purchases=CENTS,
    grants=CENTS,
    expiries=CENTS,
    refunds=CENTS,
    usage=MAYBE,
    stated=st.none() | st.integers(-(10**6), 10**9).map(lambda cents: Fraction(cents, 100)),
)


def told(*moved: Movements) -> list[Balance]:
    return balances([(FIRST + timedelta(days=number), one) for number, one in enumerate(moved)])


def used(usage: int | None = None, *, stated: int | None = None, **flows: int) -> Movements:
    return Movements(
        usage=None if usage is None else Fraction(usage),
        stated=None if stated is None else Fraction(stated),
        **{name: Fraction(amount) for name, amount in flows.items()},
    )


@settings(max_examples=80, deadline=None)
@given(moved=st.lists(MOVED, max_size=12))
def test_opening_and_what_moved_is_the_closing_balance_of_every_day_that_is_known(moved: list[Movements]) -> None:
    """Nothing is lost between two days, nothing is smoothed, and what the provider shows is what it closes with."""
    days = told(*moved)
    assert len(days) == len(moved)
    for before, after in pairwise(days):
        assert after.opening == before.closing
    for day in days:
        parts = day.movements
        if day.opening is not None and day.closing is not None and parts.usage is not None:
            assert day.unexplained is not None
            came = parts.purchases + parts.grants
            went = parts.usage + parts.expiries + parts.refunds
            assert day.opening + came - went + day.unexplained == day.closing
        else:
            assert day.unexplained is None
        if parts.stated is not None:
            assert day.closing == parts.stated
        elif day.unexplained is not None:
            assert day.unexplained == 0
        else:
            assert day.closing is None
        assert (day.known_from is None) == (day.closing is None)


@settings(max_examples=40, deadline=None)
@given(moved=st.lists(MOVED, max_size=10))
def test_known_from_is_the_first_day_of_an_unbroken_run(moved: list[Movements]) -> None:
    days = told(*moved)
    for number, day in enumerate(days):
        run = 0
        while run <= number and days[number - run].closing is not None:
            run += 1
        assert day.known_from == (days[number - run + 1].day if run else None)


def test_before_a_balance_is_stated_nothing_is_known_and_after_a_gap_nothing_again() -> None:
    days = told(used(3, purchases=100), used(3, stated=50), used(4), used(None), used(4), used(4, stated=30), used(1))
    assert [day.closing for day in days] == [None, 50, 46, None, None, 30, 29]
    assert [day.unexplained for day in days] == [None, None, 0, None, None, None, 0]


def test_what_the_provider_shows_otherwise_is_named_once_and_carried_no_further() -> None:
    days = told(used(0, stated=100), used(10, stated=85), used(10))
    assert [day.unexplained for day in days] == [None, -5, 0]
    assert days[-1].closing == 75


def test_every_movement_goes_its_own_way() -> None:
    (_, day) = told(used(stated=100), used(7, purchases=50, grants=5, expiries=2, refunds=10))
    assert day.closing == 100 + 50 + 5 - 7 - 2 - 10


def test_it_lasts_as_many_whole_days_as_the_mean_of_those_known() -> None:
    """By hand: 20 a day on seven days, 143 left: seven days and a bit. An unknown day is not one of nothing."""
    days = told(used(stated=283), *[used(20)] * LEAST_DAYS)
    assert (days[-1].closing, days[-1].daily_usage, days[-1].runway_days) == (143, 20, 7)
    assert days[-2].runway_days is None
    days = told(*[used(20)] * LEAST_DAYS, used(None, stated=100))
    assert (days[-1].daily_usage, days[-1].runway_days) == (20, 5)


def test_only_the_last_weeks_say_how_much_is_used() -> None:
    days = told(*[used(1000)] * 5, *[used(10)] * (HISTORY_DAYS - 1), used(10, stated=95))
    assert (days[-1].daily_usage, days[-1].runway_days) == (10, 9)


@pytest.mark.parametrize(
    ("balance", "daily", "expected"),
    [(None, 1, None), (10, None, None), (10, 0, None), (10, -1, None), (0, 3, 0), (-5, 3, 0), (10, 3, 3)],
)
def test_a_runway_is_unknown_endless_or_a_number(balance: int | None, daily: int | None, expected: int | None) -> None:
    assert runway(*(None if one is None else Fraction(one) for one in (balance, daily))) == expected


def test_a_mean_needs_a_week() -> None:
    assert mean_usage([used(1)] * (LEAST_DAYS - 1)) is None
    assert mean_usage([used(1)] * LEAST_DAYS) == 1
