"""Hybrids against enumeration hour by hour, replica by replica."""

import random
import time
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.hybrid import HybridPlan, optimal_hybrid

tenths = st.integers(0, 200).map(lambda value: Decimal(value) / 10)
hours = st.lists(tenths, min_size=1, max_size=30)
capacities = st.integers(5, 60).map(lambda value: Decimal(value) / 10)


def brute_overflow(demand: list[Decimal], capacity: Decimal, replicas: int) -> Decimal:
    return sum((max(Decimal(0), hour - replicas * capacity) for hour in demand), Decimal(0))


def brute_total(
    demand: list[Decimal], capacity: Decimal, rent: Decimal, fixed: Decimal, price: Decimal, replicas: int
) -> Decimal:
    self_host = replicas * rent + (fixed if replicas else 0)
    return self_host + price * brute_overflow(demand, capacity, replicas)


def plan(
    demand: list[Decimal],
    *,
    capacity: Decimal = Decimal(10),
    rent: Decimal = Decimal(0),
    fixed: Decimal = Decimal(0),
    price: Decimal = Decimal(1),
    maximum: int | None = None,
) -> HybridPlan:
    return optimal_hybrid(
        hourly_demand=demand,
        capacity_per_replica_hour=capacity,
        replica_cost=rent,
        fixed_cost=fixed,
        price_per_unit=price,
        headroom_ratio=Decimal("0.2"),
        maximum_replicas=maximum,
    )


@settings(max_examples=300, deadline=None)
@given(
    demand=hours,
    capacity=capacities,
    rent=tenths,
    fixed=tenths,
    price=st.integers(0, 30).map(lambda value: Decimal(value) / 10),
    maximum=st.one_of(st.none(), st.integers(0, 12)),
)
def test_every_alternative_and_the_best_equal_full_enumeration(
    demand: list[Decimal], capacity: Decimal, rent: Decimal, fixed: Decimal, price: Decimal, maximum: int | None
) -> None:
    result = plan(demand, capacity=capacity, rent=rent, fixed=fixed, price=price, maximum=maximum)
    totals = []
    for replicas, alternative in enumerate(result.alternatives):
        overflow = brute_overflow(demand, capacity, replicas)
        total = brute_total(demand, capacity, rent, fixed, price, replicas)
        totals.append(total)
        assert alternative.replicas == replicas
        assert alternative.self_host_cost == replicas * rent + (fixed if replicas else 0)
        assert alternative.api_overflow_cost == price * overflow
        assert alternative.total_cost == total
        assert alternative.overflow_units == overflow
        assert alternative.served_units == sum(demand) - overflow
        assert alternative.overflow_hours == sum(hour > replicas * capacity for hour in demand)
    assert result.best.replicas == totals.index(min(totals))  # the first of equals: fewer replicas
    assert result.all_api == result.alternatives[0]
    if maximum is not None:
        assert len(result.alternatives) == maximum + 1
    else:
        assert result.alternatives[-1].overflow_units == 0
        assert len(result.alternatives) == 1 or result.alternatives[-2].overflow_units > 0


@settings(max_examples=300, deadline=None)
@given(demand=hours, capacity=capacities, rent=tenths, fixed=tenths, maximum=st.one_of(st.none(), st.integers(0, 3)))
def test_the_explanation_is_true(
    demand: list[Decimal], capacity: Decimal, rent: Decimal, fixed: Decimal, maximum: int | None
) -> None:
    result = plan(demand, capacity=capacity, rent=rent, fixed=fixed, maximum=maximum)
    best, reason = result.best.replicas, result.next_replica
    displaced = brute_overflow(demand, capacity, best) - brute_overflow(demand, capacity, reason.replicas)
    added = (reason.replicas - best) * rent + (fixed if best == 0 else 0)
    assert reason.displaced_api_cost == displaced
    if reason.kind == "rent":
        assert (reason.replicas, reason.added_cost) == (best + 1, rent)
        assert displaced <= rent
        # The rule as economics.md 4 writes it.
        assert displaced == sum(min(capacity, max(Decimal(0), hour - best * capacity)) for hour in demand)
    elif reason.kind == "maximum":
        assert (reason.replicas, reason.added_cost, best) == (best + 1, added, maximum)
        assert displaced > added
    else:
        assert (best, reason.added_cost) == (0, added)
        assert rent < brute_overflow(demand, capacity, 0) - brute_overflow(demand, capacity, 1)
        assert displaced <= added


def test_the_base_is_one_replica_when_the_second_serves_only_a_peak() -> None:
    """Three hours of 10 and one of 40, 10 a replica-hour at 15, price 1: 70, 45, 50, 55, 60."""
    result = plan([Decimal(10), Decimal(10), Decimal(10), Decimal(40)], rent=Decimal(15))
    assert [alternative.total_cost for alternative in result.alternatives] == [70, 45, 50, 55, 60]
    assert result.best.replicas == 1
    assert result.next_replica.explanation == "Replica 2 would displace 10.00 of API cost for 15.00 of rent."


def test_a_tie_takes_fewer_replicas() -> None:
    result = plan([Decimal(10)], rent=Decimal(10))
    assert [alternative.total_cost for alternative in result.alternatives] == [10, 10]
    assert (result.best.replicas, result.next_replica.kind) == (0, "rent")


def test_a_fixed_cost_alone_can_keep_everything_on_the_api() -> None:
    result = plan([Decimal(20)], rent=Decimal(4), fixed=Decimal(13))
    assert result.best.replicas == 0
    assert (result.next_replica.kind, result.next_replica.replicas) == ("fixed_cost", 2)
    assert result.next_replica.explanation == (
        "The best count, 2, would displace 20.00 of API cost for 8.00 of rent and 13.00 of fixed cost."
    )


def test_a_maximum_of_none_does_not_claim_that_an_unpaid_fixed_cost_would_pay() -> None:
    result = plan([Decimal(20)], rent=Decimal(4), fixed=Decimal(13), maximum=0)
    assert (result.next_replica.kind, result.next_replica.replicas) == ("fixed_cost", 1)


def test_a_maximum_that_forbids_a_paying_replica_is_named() -> None:
    result = plan([Decimal(30)] * 2, rent=Decimal(5), maximum=1)
    assert (result.best.replicas, result.next_replica.kind) == (1, "maximum")
    assert result.next_replica.explanation.endswith("but the declared maximum is 1.")


def test_all_self_hosted_is_sized_to_the_quantile_hour_and_prices_what_it_leaves() -> None:
    """200 hours, two of them at 100: p99 is the 198th smallest, 30; 30 / (0.8 x 10) needs 4 replicas."""
    result = plan([Decimal(30)] * 198 + [Decimal(100)] * 2, rent=Decimal(100), fixed=Decimal(7), maximum=2)
    plan_for_all = result.all_self_hosted
    assert (plan_for_all.replicas, plan_for_all.overflow_hours) == (4, 2)
    assert plan_for_all.self_host_cost == 407
    assert plan_for_all.overflow_units == 120
    assert plan_for_all.total_cost == 527


@pytest.mark.parametrize(
    ("sizing", "replicas"),
    [({}, 1), ({"minimum_replicas": 3}, 3), ({"spare_replicas": 2}, 3), ({"quantile": 1}, 5)],
)
def test_all_self_hosted_takes_the_declared_minimum_spare_and_quantile(sizing: dict[str, int], replicas: int) -> None:
    result = optimal_hybrid(
        hourly_demand=[10] * 99 + [50],
        capacity_per_replica_hour=10,
        replica_cost=1,
        fixed_cost=0,
        price_per_unit=1,
        headroom_ratio=0,
        **sizing,
    )
    assert result.all_self_hosted.replicas == replicas


def test_an_hour_that_exactly_fills_the_replicas_does_not_overflow() -> None:
    result = plan([Decimal(20)], rent=Decimal(1))
    assert [alternative.overflow_hours for alternative in result.alternatives] == [1, 1, 0]


def test_no_demand_needs_no_replica() -> None:
    result = plan([Decimal(0)] * 3, rent=Decimal(1))
    assert len(result.alternatives) == 1
    assert result.best.total_cost == 0


def test_a_year_of_hours_and_two_hundred_replicas_take_well_under_a_second() -> None:
    chance = random.Random(7)
    demand = [Decimal(chance.randrange(0, 2_000_000)) / 100 for _ in range(8760)]
    started = time.process_time()
    result = plan(demand, capacity=Decimal("100.01"), rent=Decimal(400_000))
    took = time.process_time() - started
    assert len(result.alternatives) == 201  # 0 to 200
    # Checked against the plain sum, so that quick is also right.
    count = result.best.replicas
    plain = sum(max(Fraction(0), Fraction(hour) - count * Fraction("100.01")) for hour in demand)
    assert Fraction(result.best.overflow_units) == plain
    assert 0 < count < 200
    assert took < 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hourly_demand": []}, "no hours of demand"),
        ({"hourly_demand": [Decimal(1), Decimal(-1)]}, r"hourly_demand\[1\] is -1"),
        ({"hourly_demand": [1, -1]}, r"hourly_demand\[1\] is -1"),
        ({"hourly_demand": [1, True]}, r"hourly_demand\[1\] is True"),
        ({"capacity_per_replica_hour": 0}, "capacity_per_replica_hour"),
        ({"replica_cost": -1}, "replica_cost"),
        ({"fixed_cost": -1}, "fixed_cost"),
        ({"price_per_unit": 0.5}, "price_per_unit"),
        ({"headroom_ratio": 1}, "headroom_ratio"),
        ({"maximum_replicas": -1}, "maximum_replicas"),
        ({"hourly_demand": [10**9]}, "same unit"),
    ],
)
def test_a_hybrid_refuses_what_it_cannot_answer_naming_it(changes: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {
        "hourly_demand": [Decimal(1)],
        "capacity_per_replica_hour": 1,
        "replica_cost": 1,
        "fixed_cost": 1,
        "price_per_unit": 1,
        "headroom_ratio": 0,
    }
    with pytest.raises(ValueError, match=message):
        optimal_hybrid(**(arguments | changes))  # type: ignore[arg-type]
