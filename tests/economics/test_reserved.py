"""Reserved, on demand and API: against every plan of small cases, hour by hour."""

import itertools
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.hybrid import optimal_hybrid
from pipeline.economics.reserved import ReservedPlan, reserved_hybrid

small = st.integers(0, 60).map(lambda tenths: Decimal(tenths) / 10)
capacities = st.integers(10, 30).map(lambda tenths: Decimal(tenths) / 10)


def plan(hours: list[Decimal], **changes: object) -> ReservedPlan:
    given_: dict[str, object] = {
        "capacity_per_replica_hour": 10,
        "reserved_cost": 10,
        "on_demand_cost_per_hour": 6,
        "fixed_cost": 0,
        "price_per_unit": 1,
    }
    return reserved_hybrid(hourly_demand=hours, **(given_ | changes))  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(
    hours=st.lists(small, min_size=1, max_size=3),
    capacity=capacities,
    reserved=small,
    on_demand=small,
    fixed=small,
    price=small,
    maximum=st.one_of(st.none(), st.integers(0, 3)),
)
def test_the_best_plan_is_the_cheapest_of_all_plans(
    hours: list[Decimal],
    capacity: Decimal,
    reserved: Decimal,
    on_demand: Decimal,
    fixed: Decimal,
    price: Decimal,
    maximum: int | None,
) -> None:
    found = plan(
        hours,
        capacity_per_replica_hour=capacity,
        reserved_cost=reserved,
        on_demand_cost_per_hour=on_demand,
        fixed_cost=fixed,
        price_per_unit=price,
        maximum_replicas=maximum,
    )
    most = len(found.alternatives) - 1

    def cost(kept: int, taken: tuple[int, ...]) -> Fraction:
        left = sum(max(Decimal(0), x - (kept + n) * capacity) for x, n in zip(hours, taken, strict=True))
        whole = kept * reserved + sum(taken) * on_demand + (fixed if kept or sum(taken) else 0) + price * left
        return Fraction(whole)

    every = {
        kept: [cost(kept, taken) for taken in itertools.product(range(most - kept + 1), repeat=len(hours))]
        for kept in range(most + 1)
    }
    assert Fraction(found.best.total_cost) == min(min(costs) for costs in every.values())
    for kept, alternative in enumerate(found.alternatives):
        # With the fixed cost paid or not: none at all is `all_api`.
        assert Fraction(alternative.total_cost) == min(every[kept]) or (kept == 0 and alternative.on_demand_hours)
    by_hour = found.on_demand_by_hour
    assert Fraction(found.best.total_cost) == cost(found.best.reserved_replicas, by_hour)
    assert found.best.on_demand_hours == sum(by_hour)


@settings(max_examples=150, deadline=None)
@given(hours=st.lists(small, min_size=1, max_size=12), capacity=capacities, reserved=small, on_demand=small)
def test_a_layer_is_reserved_exactly_where_it_would_cost_more_unreserved(
    hours: list[Decimal], capacity: Decimal, reserved: Decimal, on_demand: Decimal
) -> None:
    found = plan(hours, capacity_per_replica_hour=capacity, reserved_cost=reserved, on_demand_cost_per_hour=on_demand)
    for layer in found.layers:
        displaced = [min(capacity, max(Decimal(0), x - (layer.layer - 1) * capacity)) for x in hours]
        assert layer.unreserved_cost == sum(min(on_demand, cost) for cost in displaced)
        assert layer.is_reserved == (layer.unreserved_cost > reserved)


@settings(max_examples=100, deadline=None)
@given(hours=st.lists(small, min_size=1, max_size=12), capacity=capacities, reserved=small, fixed=small)
def test_without_on_demand_it_is_the_plain_hybrid(
    hours: list[Decimal], capacity: Decimal, reserved: Decimal, fixed: Decimal
) -> None:
    """An hour on demand that costs more than the whole API is never taken."""
    found = plan(
        hours,
        capacity_per_replica_hour=capacity,
        reserved_cost=reserved,
        fixed_cost=fixed,
        on_demand_cost_per_hour=1000,
    )
    plain = optimal_hybrid(
        hourly_demand=hours,
        capacity_per_replica_hour=capacity,
        replica_cost=reserved,
        fixed_cost=fixed,
        price_per_unit=1,
        headroom_ratio=0,
    )
    assert [a.total_cost for a in found.alternatives] == [a.total_cost for a in plain.alternatives]
    assert (found.best.total_cost, found.best.reserved_replicas) == (plain.best.total_cost, plain.best.replicas)


def test_the_base_is_reserved_the_daily_peak_is_on_demand_and_a_spike_goes_to_the_api() -> None:
    """Layer 1 lies in all four hours: 4 x min(6, 10) = 24 unreserved, over 10. Layer 2 has 10 and 3: 6 + 3 = 9."""
    found = plan([Decimal(10), Decimal(20), Decimal(13), Decimal(10)])
    assert (found.best.reserved_replicas, found.on_demand_by_hour) == (1, (0, 1, 0, 0))
    assert (found.best.reserved_cost, found.best.on_demand_cost, found.best.api_cost) == (10, 6, 3)
    assert found.explanation == (
        "Layer 2 would cost 9.00 on demand or on the API, whichever is less in each hour, against 10.00 reserved."
    )


def test_a_fixed_cost_that_no_plan_earns_keeps_everything_on_the_api() -> None:
    found = plan([Decimal(10)] * 2, fixed_cost=11)
    assert (found.best, found.best.total_cost, found.on_demand_by_hour) == (found.all_api, 20, (0, 0))
    assert found.explanation == (
        "The best plan with replicas, 1 reserved and 0 replica-hours on demand, would cost 21.00, fixed cost of 11.00 "
        "included; the API alone costs 20.00."
    )


@pytest.mark.parametrize("name", ["reserved_cost", "on_demand_cost_per_hour", "fixed_cost", "price_per_unit"])
def test_a_negative_cost_is_refused_naming_it(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        plan([Decimal(1)], **{name: -1})
