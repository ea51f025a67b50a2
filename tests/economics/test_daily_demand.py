"""What a day's sum says of its hours, against every spread that there is."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.economics.daily_demand import DailyPlans, flattest, most_peaked, plans_of_days
from pipeline.economics.hybrid import HybridPlan, optimal_hybrid

HOURS = 4


def spreads(units: int, hours: int = HOURS) -> Iterator[tuple[int, ...]]:
    """Every way to spread so many units over the hours, the order of the hours aside."""

    def descending(left: int, slots: int, most: int) -> Iterator[tuple[int, ...]]:
        if slots == 1:
            if left <= most:
                yield (left,)
            return
        for first in range(min(left, most), -1, -1):
            for rest in descending(left - first, slots - 1, first):
                yield (first, *rest)

    return descending(units, hours, units)


def hybrid(hours: list[int], *, capacity: int, rent: Decimal, fixed: Decimal, price: Decimal) -> HybridPlan:
    return optimal_hybrid(
        hourly_demand=hours,
        capacity_per_replica_hour=capacity,
        replica_cost=rent,
        fixed_cost=fixed,
        price_per_unit=price,
        headroom_ratio=0,
    )


halves = st.integers(0, 24).map(lambda value: Decimal(value) / 2)


@settings(max_examples=120, deadline=None)
@given(
    days=st.lists(st.integers(0, 13), min_size=1, max_size=2),
    known=st.lists(st.integers(0, 9), max_size=3),
    capacity=st.integers(1, 4),
    rent=halves,
    fixed=st.one_of(st.just(Decimal(0)), halves),
    price=st.sampled_from([Decimal(1), Decimal("1.5")]),
)
@example(days=[11, 6], known=[3, 3, 8], capacity=1, rent=Decimal(4), fixed=Decimal(0), price=Decimal(1))
@example(days=[13, 4], known=[3, 3], capacity=2, rent=Decimal(5), fixed=Decimal(3), price=Decimal(1))
def test_bounds_and_certainty_are_those_of_every_spread(
    days: list[int], known: list[int], capacity: int, rent: Decimal, fixed: Decimal, price: Decimal
) -> None:
    """A count is given if and only if it is the best of every spread, and the bounds are the least and most of them.

    Spreads of whole units are enumerated; the flattest of all divides them.
    """
    found = plans_of_days(
        known_hours=known,
        day_units=days,
        capacity_per_replica_hour=capacity,
        replica_cost=rent,
        fixed_cost=fixed,
        price_per_unit=price,
        headroom_ratio=0,
        hours_per_day=HOURS,
    )
    every = [
        hybrid(
            [*known, *(hour for day in spread for hour in day)], capacity=capacity, rent=rent, fixed=fixed, price=price
        ).best
        for spread in product(*(spreads(units) for units in days))
    ]
    counts = {best.replicas for best in every}
    assert found.replicas == (counts.pop() if len(counts) == 1 else None)
    least = min(best.total_cost for best in every)
    assert found.flattest.best.total_cost <= least
    if all(units % HOURS == 0 for units in days):
        assert found.flattest.best.total_cost == least
    assert found.most_peaked.best.total_cost == max(best.total_cost for best in every)


@settings(max_examples=60, deadline=None)
@given(
    days=st.lists(st.integers(0, 9), min_size=1, max_size=2),
    capacity=st.integers(1, 3),
    rent=halves,
    fixed=halves,
    commitment=halves,
)
@example(days=[8], capacity=2, rent=Decimal(4), fixed=Decimal(0), commitment=Decimal(5))
def test_under_a_commitment_a_count_that_is_given_is_the_best_of_every_spread(
    days: list[int], capacity: int, rent: Decimal, fixed: Decimal, commitment: Decimal
) -> None:
    """What lies below the commitment is due anyway, so it pays no replica."""
    terms: dict[str, Any] = {
        "capacity_per_replica_hour": capacity,
        "replica_cost": rent,
        "fixed_cost": fixed,
        "price_per_unit": 1,
        "headroom_ratio": 0,
        "api_commitment": commitment,
    }
    found = plans_of_days(known_hours=[], day_units=days, hours_per_day=HOURS, **terms)
    if found.replicas is None:
        return
    for hours in product(*(spreads(units) for units in days)):
        plan = optimal_hybrid(hourly_demand=[hour for day in hours for hour in day], **terms)
        assert plan.best.replicas == found.replicas


def plans(day_units: list[int], *, capacity: int, rent: int) -> DailyPlans:
    return plans_of_days(
        known_hours=[],
        day_units=day_units,
        capacity_per_replica_hour=capacity,
        replica_cost=rent,
        fixed_cost=0,
        price_per_unit=1,
        headroom_ratio=0,
        hours_per_day=HOURS,
    )


def test_where_both_extremes_agree_a_spread_between_them_may_not() -> None:
    """17 units in hours of 8, 8, 1 and 0 fill a second replica of 4 twice; flat and in one peak it serves 1 and 4."""
    found = plans([4, 17], capacity=4, rent=7)
    assert (found.flattest.best.replicas, found.most_peaked.best.replicas, found.replicas) == (1, 1, None)
    between = hybrid([4, 0, 0, 0, 8, 8, 1, 0], capacity=4, rent=Decimal(7), fixed=Decimal(0), price=Decimal(1))
    assert between.best.replicas == 2


def test_too_little_for_any_replica_is_certain_and_a_unit_more_is_not() -> None:
    assert plans([30, 20], capacity=100, rent=50).replicas == 0
    assert plans([30, 21], capacity=100, rent=50).replicas == 1
    assert plans([30, 21], capacity=29, rent=50).replicas is None


def test_known_hours_alone_leave_nothing_open() -> None:
    found = plans_of_days(
        known_hours=[12] * 24,
        day_units=[],
        capacity_per_replica_hour=10,
        replica_cost=100,
        fixed_cost=0,
        price_per_unit=1,
        headroom_ratio=0,
    )
    assert found.replicas == found.flattest.best.replicas == 1


@given(st.integers(0, 10**12), st.integers(1, 24))
def test_a_spread_loses_nothing(units: int, hours: int) -> None:
    flat, peaked = flattest(units, hours=hours), most_peaked(units, hours=hours)
    assert sum(flat) == sum(peaked) == units
    assert len(flat) == len(peaked) == hours
    assert max(flat) - min(flat) <= 1


def test_a_day_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="units of a day"):
        flattest(-1)
