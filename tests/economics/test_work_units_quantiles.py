"""Work, unit costs, quantiles, and the exact numbers under them."""

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.exact import to_decimal, to_places
from pipeline.economics.quantiles import nearest_rank, replicas_needed
from pipeline.economics.units import UnitCosts, cost_per_mtok, unit_costs
from pipeline.economics.work import (
    Capacity,
    ObservedHour,
    Provenance,
    at_least_capacity,
    hourly_work_replica_seconds,
    replica_hour_work_seconds,
    tokens_per_replica_hour,
    work_replica_seconds,
    work_scale,
)

DECLARED = Provenance(kind="declared", stated_on=date(2025, 11, 1), source="load test of 1 Nov")


def by_class(utilization: str = "1", **rates: int) -> Capacity:
    return Capacity(
        tokens_per_second_by_class=rates, maximum_utilization_ratio=Decimal(utilization), provenance=DECLARED
    )


def blended(rate: int, utilization: str = "1") -> Capacity:
    return Capacity(blended_tokens_per_second=rate, maximum_utilization_ratio=Decimal(utilization), provenance=DECLARED)


def test_work_is_the_sum_of_tokens_over_throughput() -> None:
    """9,000 / 3,000 + 40,000 / 80,000 + 1,000 / 500 = 3 + 0.5 + 2."""
    capacity = by_class(input_uncached=3000, input_cache_read=80000, output=500)
    tokens = {"input_uncached": 9000, "input_cache_read": 40000, "output": 1000}
    assert work_replica_seconds(tokens_by_class=tokens, capacity=capacity) == Decimal("5.5")


def test_work_of_a_blended_rate_is_all_tokens_over_it() -> None:
    work = work_replica_seconds(tokens_by_class={"input_uncached": 900, "output": 100}, capacity=blended(500))
    assert work == 2


def test_work_of_a_class_without_throughput_is_unknown_not_zero() -> None:
    with pytest.raises(ValueError, match=r"No throughput for output; load test of 1 Nov states input_uncached"):
        work_replica_seconds(tokens_by_class={"input_uncached": 1, "output": 1}, capacity=by_class(input_uncached=1))


def test_a_class_without_tokens_takes_no_work() -> None:
    tokens = {"input_uncached": 10, "output": 0}
    assert work_replica_seconds(tokens_by_class=tokens, capacity=by_class(input_uncached=10)) == 1


def test_a_replica_hour_takes_the_utilization_it_may_be_filled_to() -> None:
    assert replica_hour_work_seconds(blended(1, "0.75")) == 2700


def test_tokens_per_replica_hour_follow_the_mix_not_the_mean_of_the_rates() -> None:
    """90% at 3,000 and 10% at 500 tokens/s: 1 / (0.0003 + 0.0002) = 2,000 tokens/s, at 0.8 of 3,600 s."""
    capacity = by_class("0.8", input_uncached=3000, output=500)
    for mix in ({"input_uncached": Decimal("0.9"), "output": Decimal("0.1")}, {"input_uncached": 9, "output": 1}):
        assert tokens_per_replica_hour(mix=mix, capacity=capacity) == 5_760_000


@settings(max_examples=100, deadline=None)
@given(
    prefill=st.integers(0, 10**9),
    decode=st.integers(1, 10**9),
    rates=st.tuples(st.integers(1, 10**5), st.integers(1, 10**5)),
)
def test_a_replica_hour_of_tokens_is_a_replica_hour_of_work(prefill: int, decode: int, rates: tuple[int, int]) -> None:
    capacity = by_class("0.7", input_uncached=rates[0], output=rates[1])
    mix = {"input_uncached": prefill, "output": decode}
    hours = Fraction(prefill + decode) / Fraction(tokens_per_replica_hour(mix=mix, capacity=capacity))
    seconds = Fraction(work_replica_seconds(tokens_by_class=mix, capacity=capacity))
    assert abs(hours * 2520 - seconds) < Fraction(1, 10**30)


token_counts = st.dictionaries(st.sampled_from(["input_uncached", "output"]), st.integers(0, 10**9))


@settings(max_examples=100, deadline=None)
@given(hours=st.lists(token_counts, max_size=8), rates=st.tuples(st.integers(1, 10**5), st.integers(1, 10**5)))
def test_the_work_of_many_hours_is_the_work_of_each(hours: list[dict[str, int]], rates: tuple[int, int]) -> None:
    for capacity in (by_class(input_uncached=rates[0], output=rates[1]), blended(rates[0])):
        one_by_one = [work_replica_seconds(tokens_by_class=hour, capacity=capacity) for hour in hours]
        unrounded = hourly_work_replica_seconds(hours=hours, capacity=capacity)
        assert [to_decimal(work) for work in unrounded] == one_by_one


def test_one_hour_of_an_unrated_class_leaves_the_work_of_the_hours_unknown() -> None:
    with pytest.raises(ValueError, match="No throughput for output"):
        hourly_work_replica_seconds(hours=[{"input_uncached": 1}, {"output": 1}], capacity=by_class(input_uncached=1))


def test_an_hour_of_fewer_than_no_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="tokens of output is -1"):
        hourly_work_replica_seconds(hours=[{"output": 1}, {"output": -1}], capacity=by_class(output=1))


def test_work_is_a_whole_number_of_units_whatever_the_rates() -> None:
    """1/3 + 2/7 of a second are 7 + 6 of 21 units a second; an hour without tokens has none."""
    scale = work_scale(classes=["output", "input_uncached"], capacity=by_class(input_uncached=3, output=7))
    assert scale.units_per_replica_second == 21
    assert scale.units([{"input_uncached": 1, "output": 2}, {}, {"output": 0, "not rated": 0}]) == [13, 0, 0]


def test_a_mix_without_tokens_has_no_capacity() -> None:
    with pytest.raises(ValueError, match="holds no tokens"):
        tokens_per_replica_hour(mix={"output": 0}, capacity=by_class(output=1))


def test_a_capacity_keeps_its_own_copy_of_the_rates() -> None:
    rates = {"output": 500}
    capacity = Capacity(tokens_per_second_by_class=rates, maximum_utilization_ratio=1, provenance=DECLARED)
    rates["output"] = 1
    assert work_replica_seconds(tokens_by_class={"output": 500}, capacity=capacity) == 1


def test_a_capacity_is_one_rate_or_the_other() -> None:
    with pytest.raises(ValueError, match="give exactly one"):
        Capacity(maximum_utilization_ratio=1, provenance=DECLARED)
    with pytest.raises(ValueError, match="give exactly one"):
        Capacity(
            blended_tokens_per_second=1,
            tokens_per_second_by_class={"output": 1},
            maximum_utilization_ratio=1,
            provenance=DECLARED,
        )


@pytest.mark.parametrize("ratio", ["0", "1.01"])
def test_a_utilization_outside_zero_to_one_is_refused(ratio: str) -> None:
    with pytest.raises(ValueError, match="maximum_utilization_ratio"):
        blended(1, ratio)


def test_a_rate_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="tokens_per_second of output"):
        by_class(output=0)
    with pytest.raises(ValueError, match="blended_tokens_per_second"):
        blended(0)


def test_a_capacity_names_its_source() -> None:
    with pytest.raises(ValueError, match="names no source"):
        Provenance(kind="declared", stated_on=date(2025, 11, 1), source=" ")


def seen(hour: int, tokens: int, replica_hours: str) -> ObservedHour:
    return ObservedHour(
        hour_at=datetime(2025, 11, 1, hour, tzinfo=UTC), served_tokens=tokens, replica_hours=Decimal(replica_hours)
    )


def test_an_undeclared_capacity_is_at_least_the_best_hour_per_replica() -> None:
    """3.6M on one replica-hour beats 5M on two; an hour without replicas or tokens says nothing."""
    capacity = at_least_capacity(
        [seen(1, 5_000_000, "2"), seen(2, 3_600_000, "1"), seen(3, 9, "0"), seen(4, 0, "1"), seen(5, 3_600_000, "1")]
    )
    assert capacity.provenance.kind == "at_least"
    assert "2025-11-01T02:00" in capacity.provenance.source
    assert capacity.blended_tokens_per_second == 1000
    assert tokens_per_replica_hour(mix={"output": 1}, capacity=capacity) == 3_600_000


def test_without_an_hour_of_traffic_there_is_no_capacity_to_state() -> None:
    with pytest.raises(ValueError, match="None of the 1 observed hours"):
        at_least_capacity([seen(1, 0, "1")])


def test_the_three_unit_costs_differ_by_what_they_count() -> None:
    """$720 bill of which $180 was serving, no cost that grows with tokens, 90M tokens."""
    costs = unit_costs(bill_cost=720, serving_cost=180, variable_cost=0, served_tokens=90_000_000)
    assert costs == UnitCosts(full_per_mtok=Decimal(8), active_per_mtok=Decimal(2), marginal_per_mtok=Decimal(0))


def test_a_unit_cost_without_tokens_is_undefined_not_zero() -> None:
    """B14: an idle window has no cost a token."""
    costs = unit_costs(bill_cost=720, serving_cost=0, variable_cost=0, served_tokens=0)
    assert costs == UnitCosts(full_per_mtok=None, active_per_mtok=None, marginal_per_mtok=None)


def test_an_unknown_cost_stays_unknown() -> None:
    """B4: missing is not zero."""
    costs = unit_costs(bill_cost=1, serving_cost=None, variable_cost=None, served_tokens=1_000_000)
    assert costs.full_per_mtok == 1
    assert (costs.active_per_mtok, costs.marginal_per_mtok) == (None, None)


def test_a_unit_cost_is_rounded_once_half_to_even_at_eighteen_places() -> None:
    assert cost_per_mtok(cost=2, tokens=3_000_000) == Decimal("0.666666666666666667")
    half = Decimal("1e-18") / 2
    assert cost_per_mtok(cost=half, tokens=1_000_000) == 0
    assert cost_per_mtok(cost=3 * half, tokens=1_000_000) == Decimal("2e-18")
    assert str(cost_per_mtok(cost=1, tokens=1_000_000)) == "1.000000000000000000"


def test_a_credit_keeps_its_sign_in_the_unit_cost() -> None:
    assert cost_per_mtok(cost=Decimal("-0.5"), tokens=1_000_000) == Decimal("-0.5")


@pytest.mark.parametrize("tokens", [-1, 1.5, True])
def test_tokens_that_are_no_count_are_refused(tokens: int) -> None:
    with pytest.raises(ValueError, match="tokens is"):
        cost_per_mtok(cost=1, tokens=tokens)


def test_a_cost_given_as_a_float_is_refused() -> None:
    """B7: a float is not the number on the invoice."""
    with pytest.raises(ValueError, match=r"cost is 0\.1, a float"):
        cost_per_mtok(cost=0.1, tokens=1)  # type: ignore[arg-type]


def test_the_nearest_rank_is_an_observed_value() -> None:
    hundred = list(range(1, 101))
    assert [nearest_rank(hundred, Decimal(q)) for q in ("0.99", "0.991", "0.5", "0.001", "1")] == [99, 100, 50, 1, 100]
    assert nearest_rank([3, 1, 2], Decimal("0.34")) == 2


@settings(max_examples=200, deadline=None)
@given(values=st.lists(st.integers(-50, 50), min_size=1, max_size=40), percent=st.integers(1, 100))
def test_the_nearest_rank_is_the_least_value_that_covers_its_share(values: list[int], percent: int) -> None:
    rank = nearest_rank(values, Decimal(percent) / 100)
    assert 100 * sum(value <= rank for value in values) >= percent * len(values)
    assert 100 * sum(value < rank for value in values) < percent * len(values)


@pytest.mark.parametrize("quantile", ["0", "1.01", "-0.5"])
def test_a_quantile_outside_zero_to_one_is_refused(quantile: str) -> None:
    with pytest.raises(ValueError, match="quantile is"):
        nearest_rank([1], Decimal(quantile))


def test_no_values_have_no_quantile() -> None:
    with pytest.raises(ValueError, match="no values"):
        nearest_rank([], Decimal("0.5"))


@pytest.mark.parametrize(
    ("peak", "headroom", "minimum", "spare", "needed"),
    [
        (80, "0.2", 1, 0, 1),  # exactly full with its headroom kept
        (81, "0.2", 1, 0, 2),
        (81, "0", 1, 0, 1),
        (0, "0.2", 1, 0, 1),
        (0, "0.2", 0, 0, 0),
        (81, "0.2", 3, 2, 5),
    ],
)
def test_replicas_needed_keep_headroom_minimum_and_spare(
    peak: int, headroom: str, minimum: int, spare: int, needed: int
) -> None:
    count = replicas_needed(
        hourly_work=[peak] * 99 + [10_000],
        capacity_per_replica_hour=100,
        headroom_ratio=Decimal(headroom),
        minimum_replicas=minimum,
        spare_replicas=spare,
    )
    assert count == needed


def test_the_hundredth_hour_is_beyond_the_99th_percentile_and_the_quantile_can_be_raised() -> None:
    count = replicas_needed(hourly_work=[80] * 99 + [1000], capacity_per_replica_hour=100, headroom_ratio=0, quantile=1)
    assert count == 10


@pytest.mark.parametrize("headroom", ["1", "-0.1"])
def test_a_headroom_that_leaves_no_capacity_or_more_than_all_is_refused(headroom: str) -> None:
    with pytest.raises(ValueError, match="headroom_ratio is"):
        replicas_needed(hourly_work=[1], capacity_per_replica_hour=1, headroom_ratio=Decimal(headroom))


def test_a_number_leaves_as_the_decimal_it_is() -> None:
    assert str(to_decimal(Fraction(1, 8))) == "0.125"
    assert len(to_decimal(Fraction(1, 3)).as_tuple().digits) == 60


def test_rounding_to_places_keeps_numbers_longer_than_the_context() -> None:
    assert to_places(Fraction(10**70) + Fraction(1, 3), 2) == Decimal("1" + "0" * 70 + ".33")
