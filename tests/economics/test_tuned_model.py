"""Hosting of a tuned model: against every count taken apart, and volumes walked one by one."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.hybrid import optimal_hybrid
from pipeline.economics.tuned_model import first_breakeven_with_hosting, hybrid_with_hosting


@settings(max_examples=60)
@given(
    hours=st.lists(st.integers(0, 40), min_size=1, max_size=8),
    capacity=st.integers(1, 12),
    rent=st.integers(0, 60),
    fixed=st.integers(0, 60),
    price=st.integers(0, 9),
    hosting=st.integers(0, 400),
)
def test_the_best_count_is_that_of_all_counts_each_with_hosting_where_the_api_has_anything_left(
    hours: list[int], capacity: int, rent: int, fixed: int, price: int, hosting: int
) -> None:
    plan = optimal_hybrid(
        hourly_demand=hours,
        capacity_per_replica_hour=capacity,
        replica_cost=rent,
        fixed_cost=fixed,
        price_per_unit=price,
        headroom_ratio=0,
    )
    found = hybrid_with_hosting(plan.alternatives, hosting=hosting)
    costs = []
    for count in range(math.ceil(max(hours) / capacity) + 1):
        above = sum(max(0, hour - count * capacity) for hour in hours)
        is_on_api = above > 0 or count == 0
        costs.append(count * rent + (fixed if count else 0) + price * above + (hosting if is_on_api else 0))
    assert list(found.totals) == costs
    assert (found.replicas, found.best_cost) == (costs.index(min(costs)), min(costs))
    assert found.api_only_cost == costs[0]


@settings(max_examples=80)
@given(
    capacity=st.integers(1, 8),
    rent=st.integers(0, 30),
    fixed=st.integers(0, 40),
    price=st.integers(0, 6),
    hosting=st.integers(0, 90),
    spare=st.integers(0, 2),
    minimum=st.integers(1, 3),
)
def test_the_first_breakeven_is_the_first_volume_of_a_walk_at_which_own_replicas_cost_no_more(
    capacity: int, rent: int, fixed: int, price: int, hosting: int, spare: int, minimum: int
) -> None:
    found = first_breakeven_with_hosting(
        price_per_token=price,
        capacity_tokens=capacity,
        replica_cost=rent,
        fixed_cost=fixed,
        hosting=hosting,
        spare_replicas=spare,
        minimum_replicas=minimum,
    )

    def is_no_dearer(volume: Fraction) -> bool:
        replicas = max(minimum, math.ceil(volume / capacity)) + spare
        return fixed + replicas * rent <= hosting + price * volume

    # Both lines are straight between stairs, so that the step is fine enough where it divides where they may meet.
    step = Fraction(1, 2 * max(1, price))
    walked = (step * number for number in range(1, int(60 * capacity / step)))
    first = next((volume for volume in walked if is_no_dearer(volume)), None)
    if found is None:
        assert first is None
    elif found == 0:
        assert first == step
    elif found <= 60 * capacity - 1:
        assert first == found
    else:
        assert first is None


def test_without_hosting_it_is_the_first_breakeven_of_the_staircase() -> None:
    """1 + n per stair of 10 against 0.3 a token: 1 + 1 = 2 at 6.67 tokens."""
    terms = {"price_per_token": Fraction(3, 10), "capacity_tokens": 10, "replica_cost": 1, "fixed_cost": 1}
    assert first_breakeven_with_hosting(**terms, hosting=0) == Fraction(20, 3)
    assert first_breakeven_with_hosting(**terms, hosting=1) == Fraction(10, 3)
    assert first_breakeven_with_hosting(**terms, hosting=2) == 0


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="no alternative"):
        hybrid_with_hosting([], hosting=1)
    with pytest.raises(ValueError, match="hosting"):
        first_breakeven_with_hosting(price_per_token=1, capacity_tokens=1, replica_cost=1, fixed_cost=0, hosting=-1)
