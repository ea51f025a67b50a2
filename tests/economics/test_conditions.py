"""Thresholds against enumeration: at each one self-hosting pays, one quantum beyond it does not."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.conditions import PLACES, Case, Conditions, Quantity, Threshold, assuming, conditions, pays
from pipeline.economics.exact import to_places
from pipeline.economics.hybrid import optimal_hybrid

MOST_REPLICAS = 400


def tenths(low: int, high: int) -> st.SearchStrategy[Decimal]:
    return st.integers(low, high).map(lambda value: Decimal(value) / 10)


def maybe(values: st.SearchStrategy[Decimal]) -> st.SearchStrategy[Decimal | None]:
    return st.one_of(st.none(), values)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    hours = draw(st.lists(st.integers(0, 40_000), min_size=1, max_size=24).filter(any))
    return Case(
        hourly_tokens=hours,
        api_cost=draw(tenths(0, 4000)),
        months=draw(st.sampled_from([Fraction(1, 30), Fraction(28, 31), Fraction(1)])),
        gpu_hour_rate=draw(maybe(tenths(0, 60))),
        gpus_per_replica=draw(st.one_of(st.none(), st.integers(1, 4))),
        tokens_per_second=draw(maybe(tenths(1, 120))),
        self_tokens_per_api_token=draw(maybe(tenths(1, 30))),
        engineering_hours_per_month=draw(maybe(tenths(0, 50))),
        engineering_hour_rate=draw(maybe(tenths(0, 900))),
        fixed_cost_per_month=draw(maybe(tenths(0, 2000))),
        maximum_utilization_ratio=draw(st.sampled_from([Decimal(1), Decimal("0.85")])),
        roofline_tokens_per_second=draw(maybe(tenths(5, 300))),
    )


def enumerated_saving(case: Case) -> Fraction:
    """The best count's saving, replica by replica and hour by hour, with what is unknown at its best."""
    throughput = case.tokens_per_second or case.roofline_tokens_per_second
    per_hour = None
    if throughput is not None:
        kappa = Fraction(case.self_tokens_per_api_token or 1)
        per_hour = Fraction(throughput) * 3600 * Fraction(case.maximum_utilization_ratio) / kappa
    rent = Fraction(case.gpu_hour_rate or 0) * (case.gpus_per_replica or 1) * len(case.hourly_tokens)
    hours_paid = Fraction(case.engineering_hours_per_month or 0) * Fraction(case.engineering_hour_rate or 0)
    fixed = (Fraction(case.fixed_cost_per_month or 0) + hours_paid) * Fraction(case.months)
    price = Fraction(case.api_cost) / sum(case.hourly_tokens)
    best = None
    for count in range(1, MOST_REPLICAS):
        room = None if per_hour is None else count * per_hour
        above = sum((max(Fraction(0), tokens - room) for tokens in case.hourly_tokens if room is not None), Fraction(0))
        saving = Fraction(case.api_cost) - price * above - count * rent - fixed
        best = saving if best is None else max(best, saving)
        if above == 0:
            break
    assert best is not None
    return best


def quantum(quantity: Quantity) -> Decimal:
    return Decimal(1).scaleb(-PLACES[quantity])


def beyond(threshold: Threshold) -> Decimal:
    """One quantum to the side that does not pay."""
    assert threshold.value is not None
    step = quantum(threshold.quantity)
    return threshold.value - step if threshold.sense == "at_least" else threshold.value + step


def set_to(case: Case, quantity: Quantity, value: Decimal) -> Case:
    if quantity == "gpus_per_replica":
        return replace(case, gpus_per_replica=int(value))
    return assuming(case, **{quantity: value})


@settings(max_examples=300, deadline=None)
@given(cases())
def test_at_each_threshold_it_pays_and_one_quantum_beyond_it_does_not(case: Case) -> None:
    for threshold in conditions(case).thresholds:
        if threshold.value is None or threshold.kind == "impossible":
            continue
        assert enumerated_saving(set_to(case, threshold.quantity, threshold.value)) >= 0, threshold
        worse = beyond(threshold)
        if worse > 0 or (worse == 0 and threshold.quantity not in ("tokens_per_second", "self_tokens_per_api_token")):
            assert enumerated_saving(set_to(case, threshold.quantity, worse)) < 0, threshold


@settings(max_examples=300, deadline=None)
@given(cases())
def test_the_exact_border_pays_and_rounding_never_leaves_the_side_that_pays(case: Case) -> None:
    for threshold in conditions(case).thresholds:
        if threshold.exact is None or threshold.value is None or threshold.quantity == "gpus_per_replica":
            continue
        assert abs(Fraction(threshold.value) - threshold.exact) < Fraction(quantum(threshold.quantity))
        if threshold.kind != "impossible":
            at_border = assuming(case, **{threshold.quantity: threshold.exact})
            assert conditions(at_border).saving_per_month >= 0
            assert enumerated_saving(at_border) >= 0


@settings(max_examples=200, deadline=None)
@given(cases(), tenths(1, 200))
def test_an_impossible_quantity_pays_at_no_value(case: Case, tried: Decimal) -> None:
    for threshold in conditions(case).thresholds:
        value = Decimal(int(tried) + 1) if threshold.quantity == "gpus_per_replica" else tried
        if threshold.kind == "impossible" and (threshold.ceiling is None or value <= threshold.ceiling):
            assert enumerated_saving(set_to(case, threshold.quantity, value)) < 0, threshold
        if threshold.kind == "no_limit" and threshold.quantity in ("tokens_per_second", "gpus_per_replica"):
            assert enumerated_saving(set_to(case, threshold.quantity, value)) >= 0, threshold


@settings(max_examples=200, deadline=None)
@given(cases())
def test_what_is_declared_is_met_or_missed_as_the_verdict_says(case: Case) -> None:
    found = conditions(case)
    saving = enumerated_saving(case)
    assert found.saving_per_month == to_places(saving / Fraction(case.months), 18)
    is_above_ceiling = (
        case.tokens_per_second is not None
        and case.roofline_tokens_per_second is not None
        and case.tokens_per_second > case.roofline_tokens_per_second
    )
    assert (found.pays is False) == (saving < 0 or is_above_ceiling)
    stated = [threshold for threshold in found.thresholds if threshold.stated is not None]
    for threshold in stated:
        if threshold.ceiling is None:
            assert (threshold.kind in ("met", "no_limit")) == (saving >= 0), threshold


@settings(max_examples=100, deadline=None)
@given(cases())
def test_the_verdict_is_the_hybrids(case: Case) -> None:
    """The same rule as the best mix of `optimal_hybrid`, a tie counting for self-hosting."""
    known = replace(
        case,
        gpu_hour_rate=case.gpu_hour_rate or 1,
        gpus_per_replica=case.gpus_per_replica or 1,
        tokens_per_second=case.tokens_per_second or 1,
        self_tokens_per_api_token=case.self_tokens_per_api_token or 1,
        engineering_hours_per_month=case.engineering_hours_per_month or 0,
        fixed_cost_per_month=case.fixed_cost_per_month or 0,
        roofline_tokens_per_second=None,
    )
    assert known.unknown == ()
    assert known.tokens_per_second is not None
    assert known.self_tokens_per_api_token is not None
    hours = Fraction(known.engineering_hours_per_month or 0) * Fraction(known.engineering_hour_rate or 0)
    plan = optimal_hybrid(
        hourly_demand=known.hourly_tokens,
        capacity_per_replica_hour=Fraction(known.tokens_per_second)
        * 3600
        * Fraction(known.maximum_utilization_ratio)
        / Fraction(known.self_tokens_per_api_token),
        replica_cost=Fraction(known.gpu_hour_rate or 0) * (known.gpus_per_replica or 1) * len(known.hourly_tokens),
        fixed_cost=(Fraction(known.fixed_cost_per_month or 0) + hours) * Fraction(known.months),
        price_per_unit=Fraction(known.api_cost) / sum(known.hourly_tokens),
        headroom_ratio=0,
    )
    cheapest = min(found.total_cost for found in plan.alternatives[1:])
    assert pays(known) == (cheapest <= plan.all_api.total_cost)
    if plan.best.replicas:
        assert conditions(known).replica_count == plan.best.replicas


FLAT = Case(hourly_tokens=[3_600_000] * 720, api_cost=5184, months=1)


def found_of(case: Case) -> Conditions:
    return conditions(case)


def test_a_flat_day_by_hand() -> None:
    """2,592M tokens at 2.00 per 1M; two GPUs at 2.50 cost 3,600 a month, so 0.694 of the traffic pays the rent."""
    found = found_of(replace(FLAT, gpu_hour_rate=Decimal("2.5"), gpus_per_replica=2, fixed_cost_per_month=0))
    throughput = found.of("tokens_per_second")
    assert throughput is not None
    assert (throughput.kind, throughput.exact) == ("open", Fraction(1000 * 3600, 5184))
    assert throughput.value == Decimal("694.445")
    assert found.unknown == ("tokens_per_second", "self_tokens_per_api_token")
    rate = found.of("gpu_hour_rate")
    assert rate is not None
    assert (rate.kind, rate.value) == ("met", Decimal("3.6"))


def test_with_nothing_known_a_replica_that_serves_all_of_it_is_priced() -> None:
    found = found_of(FLAT)
    assert found.peak_tokens_per_second == 1000
    assert found.pays is None
    replica = found.of("replica_hour_cost")
    assert replica is not None
    assert (replica.kind, replica.value) == ("open", Decimal("7.2"))
    throughput = found.of("tokens_per_second")
    assert throughput is not None
    assert throughput.kind == "no_limit"


def test_more_than_the_roofline_is_impossible_and_says_how_much_it_would_take() -> None:
    known = replace(FLAT, gpu_hour_rate=Decimal("2.5"), gpus_per_replica=2, fixed_cost_per_month=0)
    found = found_of(replace(known, roofline_tokens_per_second=600))
    throughput = found.of("tokens_per_second")
    assert throughput is not None
    assert (throughput.kind, throughput.value, throughput.ceiling) == ("impossible", Decimal("694.445"), 600)
    assert found.pays is False


def test_a_declared_throughput_above_the_roofline_never_pays() -> None:
    known = replace(FLAT, gpu_hour_rate=1, gpus_per_replica=1, fixed_cost_per_month=0, tokens_per_second=80_000)
    assert found_of(known).pays is None
    assert found_of(replace(known, roofline_tokens_per_second=Decimal("9176.47"))).pays is False


def test_a_gpu_that_costs_more_than_the_api_pays_at_no_throughput() -> None:
    found = found_of(replace(FLAT, gpu_hour_rate=Decimal("7.21"), gpus_per_replica=1))
    throughput = found.of("tokens_per_second")
    assert throughput is not None
    assert (throughput.kind, throughput.value) == ("impossible", None)
    assert found.pays is False


def test_what_is_unknown_is_never_decided_for() -> None:
    with pytest.raises(ValueError, match="tokens_per_second"):
        pays(FLAT)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"hourly_tokens": [0, 0]}, "no tokens in any hour"),
        ({"hourly_tokens": [1.5]}, "whole number"),
        ({"months": 0}, "months"),
        ({"gpu_hour_rate": 2.69}, "float"),
        ({"maximum_utilization_ratio": Decimal("1.01")}, "at most 1"),
        ({"self_tokens_per_api_token": 0}, "above zero"),
        ({"gpus_per_replica": 0}, "gpus_per_replica"),
    ],
)
def test_what_is_no_case_is_refused_with_its_value(changed: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(FLAT, **changed)  # type: ignore[arg-type]
