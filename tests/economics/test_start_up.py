"""Start-up and scale to zero: against every path of replica counts of small cases."""

import itertools
import random
import time
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.start_up import StartUpPlan, scaling_to_zero_pays, start_up_plan

small = st.integers(0, 60).map(lambda tenths: Decimal(tenths) / 10)


def plan(hours: list[Decimal], **changes: object) -> StartUpPlan:
    terms: dict[str, object] = {
        "capacity_per_replica_hour": 10,
        "replica_cost_per_hour": 3,
        "start_cost": 2,
        "warm_up_share_of_hour": Decimal("0.1"),
        "fixed_cost": 0,
        "price_per_unit": 1,
    }
    return start_up_plan(hourly_demand=hours, **(terms | changes))  # type: ignore[arg-type]


def cost_of(
    path: tuple[int, ...],
    hours: list[Decimal],
    *,
    capacity: Decimal,
    rent: Decimal,
    start: Decimal,
    warm_up: Decimal,
    fixed: Decimal,
    price: Decimal,
    before: int,
) -> Decimal:
    total, last = fixed if any(path) else Decimal(0), before
    for demand, count in zip(hours, path, strict=True):
        started = max(0, count - last)
        total += count * rent + started * start
        total += price * max(Decimal(0), demand - (count - started) * capacity - started * capacity * (1 - warm_up))
        last = count
    return total


@settings(max_examples=300, deadline=None)
@given(
    hours=st.lists(small, min_size=1, max_size=4),
    capacity=st.integers(10, 40).map(lambda tenths: Decimal(tenths) / 10),
    rent=small,
    start=small,
    warm_up=st.sampled_from([Decimal(0), Decimal("0.1"), Decimal("0.5"), Decimal(1)]),
    fixed=small,
    price=small,
    before=st.integers(0, 4),
    maximum=st.integers(0, 4),
)
def test_the_path_costs_least_of_all_paths(
    hours: list[Decimal],
    capacity: Decimal,
    rent: Decimal,
    start: Decimal,
    warm_up: Decimal,
    fixed: Decimal,
    price: Decimal,
    before: int,
    maximum: int,
) -> None:
    found = plan(
        hours,
        capacity_per_replica_hour=capacity,
        replica_cost_per_hour=rent,
        start_cost=start,
        warm_up_share_of_hour=warm_up,
        fixed_cost=fixed,
        price_per_unit=price,
        maximum_replicas=maximum,
        running_before=before,
    )

    def cost(path: tuple[int, ...]) -> Decimal:
        terms = {"capacity": capacity, "rent": rent, "start": start, "warm_up": warm_up, "fixed": fixed}
        return cost_of(path, hours, price=price, before=before, **terms)

    every = {path: cost(path) for path in itertools.product(range(maximum + 1), repeat=len(hours))}
    assert found.total_cost == min(every.values()) == every[found.replicas_by_hour]
    parts = (found.rent, found.start_cost, found.fixed_cost, found.api_cost)
    assert sum(parts) == found.total_cost
    constants = {count: every[(count,) * len(hours)] for count in range(maximum + 1)}
    assert found.always_on_cost == min(constants.values()) == constants[found.always_on_replicas]


@settings(max_examples=60, deadline=None)
@given(hours=st.lists(small, min_size=1, max_size=3), start=small, rent=small)
def test_no_more_replicas_than_it_looks_at_would_be_of_use(hours: list[Decimal], start: Decimal, rent: Decimal) -> None:
    terms = {"capacity_per_replica_hour": 2, "start_cost": start, "replica_cost_per_hour": rent}
    bounded = plan(hours, warm_up_share_of_hour=Decimal("0.5"), **terms)
    assert (
        bounded.total_cost == plan(hours, warm_up_share_of_hour=Decimal("0.5"), maximum_replicas=12, **terms).total_cost
    )


@settings(max_examples=200, deadline=None)
@given(gap=st.integers(1, 4), rent=small, start=small, warm_up=st.sampled_from([Decimal(0), Decimal("0.5")]))
def test_a_gap_is_left_at_zero_exactly_where_the_rule_says_so(
    gap: int, rent: Decimal, start: Decimal, warm_up: Decimal
) -> None:
    """Two full hours around a gap, and an API so dear that both are served: only the gap is in question."""
    dear = 1000
    hours = [Decimal(2), *[Decimal(0)] * gap, Decimal(2)]
    found = plan(
        hours,
        capacity_per_replica_hour=2,
        replica_cost_per_hour=rent,
        start_cost=start,
        warm_up_share_of_hour=warm_up,
        price_per_unit=dear,
        running_before=1,
        maximum_replicas=1,
    )
    lost = dear * 2 * warm_up
    pays = scaling_to_zero_pays(
        idle_gap_hours=gap, replicas=1, replica_cost_per_hour=rent, start_cost=start, warm_up_api_cost=lost
    )
    assert (not any(found.replicas_by_hour[1:-1])) == pays or gap * rent == start + lost
    for idle in found.gaps:
        # Warmed up within the gap, it loses nothing and idles an hour longer.
        assert (idle.hours, idle.warm_up_api_cost) in ((gap, lost), (gap - 1, 0))
        assert (idle.replicas, idle.rent_saved, idle.start_cost) == (1, idle.hours * rent, start)


def test_a_night_is_worth_a_start_and_a_lunch_break_is_not() -> None:
    """A replica-hour costs 3; a start costs 3 and 1 of API: one idle hour saves 3, two save 6."""
    hours = [Decimal(x) for x in (10, 0, 10, 0, 0, 10)]
    found = plan(hours, start_cost=3, running_before=1)
    assert found.replicas_by_hour == (1, 1, 1, 0, 0, 1)
    assert (found.rent, found.start_cost, found.api_cost, found.total_cost) == (12, 3, 1, 16)
    assert (found.always_on_replicas, found.always_on_cost) == (1, 18)
    assert found.explanation == (
        "16.00 against 18.00 of 1 replica that runs all the time; of 1 gap at zero the longest, 2 hours, saves 6.00 of "
        "rent for 3.00 of starts and 1.00 on the API while they warm up."
    )


def test_a_year_of_hours_is_planned_in_seconds() -> None:
    chance = random.Random(3)
    hours = [Decimal(chance.randrange(0, 2000)) / 10 for _ in range(8760)]
    started = time.process_time()
    found = plan(hours, warm_up_share_of_hour=Decimal("0.25"))
    took = time.process_time() - started
    assert found.total_cost <= found.always_on_cost
    assert Fraction(found.rent) == 3 * sum(found.replicas_by_hour)
    assert took < 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warm_up_share_of_hour": Decimal("1.1")}, "warm_up_share_of_hour"),
        ({"start_cost": -1}, "start_cost"),
        ({"running_before": -1}, "running_before"),
        ({"capacity_per_replica_hour": Decimal("0.0000001")}, "same unit"),
    ],
)
def test_what_cannot_be_planned_is_refused_naming_it(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan([Decimal(10)], **changes)


def test_no_hours_are_no_plan() -> None:
    with pytest.raises(ValueError, match="no hours"):
        plan([])
