"""The screening curve against every capacity that could be the best."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.economics.screening import screening


@given(
    hours=st.lists(st.integers(0, 40), min_size=1, max_size=30),
    rent=st.integers(0, 60),
    capacity=st.integers(1, 9),
    price=st.fractions(0, 4, max_denominator=5),
)
def test_no_other_capacity_costs_less_than_the_base_load(
    hours: list[int], rent: int, capacity: int, price: Fraction
) -> None:
    """(R / c) y + p sum max(0, x - y) is piecewise linear: its least lies at a load, or at none."""

    def cost(load: int | Fraction) -> Fraction:
        return Fraction(rent, capacity) * load + price * sum(max(Fraction(0), x - Fraction(load)) for x in hours)

    found = screening(hourly_demand=hours, replica_cost=rent, capacity_per_replica_hour=capacity, price_per_unit=price)
    assert found.duration == tuple(sorted(hours, reverse=True))
    base = Fraction(found.base_load)
    assert cost(base) == min(cost(load) for load in [0, *hours])
    if found.hours_that_pay is None:
        assert price == 0
        return
    assert found.hours_that_pay * capacity * price == rent
    # What is built is used for as long as pays, and what is not, is not.
    assert base == 0 or sum(x >= base for x in hours) >= found.hours_that_pay
    assert sum(x > base for x in hours) < max(1, found.hours_that_pay)


def test_what_is_no_capacity_or_no_load_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity_per_replica_hour"):
        screening(hourly_demand=[1], replica_cost=1, capacity_per_replica_hour=0, price_per_unit=1)
    with pytest.raises(ValueError, match=r"hourly_demand\[0\]"):
        screening(hourly_demand=[-1], replica_cost=1, capacity_per_replica_hour=1, price_per_unit=1)
