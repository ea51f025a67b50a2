"""One input at a time: as it is the verdict itself, and each factor as if the days had been that way."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.breakeven_interval import Terms, WorkloadDays, breakeven_interval, point_of
from pipeline.economics.sensitivity import Factors, Sensitivity
from tests.economics.test_breakeven_interval import workload


def scaled(days: WorkloadDays, terms: Terms, name: str, factor: int) -> tuple[WorkloadDays, Terms]:
    """Days that were really that way, by whole multiples."""
    if name == "gpu_rate":
        return replace(days, gpu_cost=[factor * cost for cost in days.gpu_cost]), terms
    if name == "fixed_cost":
        return days, replace(terms, fixed_cost=factor * terms.fixed_cost)
    if name == "capacity":
        return days, replace(terms, capacity_units_per_replica_hour=factor * terms.capacity_units_per_replica_hour)
    if name == "api_price":
        dearer = [
            replace(
                of, billed_cost=[factor * cost for cost in of.billed_cost], price_per_token=factor * of.price_per_token
            )
            for of in days.classes
        ]
        return replace(days, classes=dearer), terms
    assert name == "traffic"
    busier = [
        replace(
            of,
            demand_tokens=[factor * count for count in of.demand_tokens],
            api_tokens=[factor * count for count in of.api_tokens],
            billed_cost=[factor * cost for cost in of.billed_cost],
            billed_tokens=[factor * count for count in of.billed_tokens],
        )
        for of in days.classes
    ]
    hours = [[factor * units for units in of_day] for of_day in days.hourly_units]
    return replace(days, classes=busier, hourly_units=hours), terms


@pytest.mark.parametrize("name", ["api_price", "gpu_rate", "capacity", "traffic", "fixed_cost"])
@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), factor=st.integers(1, 4), committed=st.sampled_from([0, 8_000_000]))
def test_a_factor_is_as_if_the_days_had_been_that_way(name: str, seed: int, factor: int, committed: int) -> None:
    days, terms = workload(seed, days=14, committed=committed)
    told = Sensitivity(days, terms, point_of(days, terms)).at(Factors(**{name: float(factor)}))
    other = point_of(*scaled(days, terms, name, factor))
    assert told.breakeven_tokens_per_day == pytest.approx(other.breakeven_tokens_per_day, rel=1e-9)
    assert told.best_replicas == other.best_replicas
    assert told.saving == pytest.approx(other.saving, rel=1e-9, abs=1e-3)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_at_the_break_even_overhead_the_api_and_the_best_count_cost_the_same(seed: int) -> None:
    days, terms = workload(seed, days=14)
    overhead = Sensitivity(days, terms, point_of(days, terms)).breakeven_fixed_cost()
    if overhead <= 1:
        assert point_of(days, replace(terms, fixed_cost=Fraction(1))).best_replicas == 0
        return
    below, above = (
        replace(terms, fixed_cost=Fraction(overhead) * share) for share in (Fraction(99, 100), 1 + 1 / Fraction(100))
    )
    assert point_of(days, below).best_replicas > 0
    assert point_of(days, above).best_replicas == 0


def test_without_any_traffic_the_best_is_no_replica_and_the_break_even_stays() -> None:
    days, terms = workload(3)
    sensitivity = Sensitivity(days, terms, point_of(days, terms))
    none = sensitivity.at(Factors(traffic=0.0))
    assert none.best_replicas == 0
    assert none.breakeven_tokens_per_day == sensitivity.at().breakeven_tokens_per_day


def test_a_tornado_sets_each_input_to_its_own_spread() -> None:
    days, terms = workload(3, is_seen=True)
    sensitivity = Sensitivity(days, terms, point_of(days, terms))
    interval = breakeven_interval(days, terms, resamples=200)
    bars = sensitivity.tornado(interval)
    rates = interval.gpu_hour_rate
    assert rates.low < rates.high
    assert bars["gpu_rate"].low == sensitivity.at(Factors(gpu_rate=rates.low / interval.point.gpu_hour_rate))
    assert bars["gpu_rate"].low.breakeven_tokens_per_day < bars["gpu_rate"].high.breakeven_tokens_per_day
    assert bars["api_price"].low.breakeven_tokens_per_day > bars["api_price"].high.breakeven_tokens_per_day
    assert set(bars) == {"api_price", "gpu_rate", "capacity", "traffic"}
    assert all(bar.swing == abs(bar.high.saving - bar.low.saving) for bar in bars.values())
