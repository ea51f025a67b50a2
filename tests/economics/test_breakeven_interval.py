"""Intervals: every resample by the exact economics on the days it is made of, quantiles by definition, known truths."""

import math
from dataclasses import replace
from fractions import Fraction
from random import Random
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.breakeven import Staircase, breakeven_volumes
from pipeline.economics.breakeven_interval import (
    ClassDays,
    Terms,
    WorkloadDays,
    breakeven_interval,
    nearest_rank_of,
    pairs_reaching,
    point_of,
    saved,
)
from pipeline.economics.hybrid import optimal_hybrid
from pipeline.economics.resampling import Draws, block_draws

HOURS = 24
DRAWN = ([*range(13, 20), *range(6, 13)], [*range(7, 14), 3, 4])


def workload(
    seed: int, days: int = 28, *, is_seen: bool = False, mean_units: int = 900, committed: int = 0
) -> tuple[WorkloadDays, Terms]:
    """Two classes, one of them partly served by own GPUs and never billed."""
    of = Random(seed)
    hours = [[of.randrange(0, 2 * mean_units) for _ in range(HOURS)] for _ in range(days)]
    billed = [of.randrange(1, 10_000) for _ in range(days)]
    own = [of.randrange(0, 500) for _ in range(days)]
    return WorkloadDays(
        classes=(
            ClassDays(
                demand_tokens=billed,
                api_tokens=billed,
                billed_cost=[count * of.randrange(80, 120) for count in billed],
                billed_tokens=billed,
                price_per_token=Fraction(100),
            ),
            ClassDays(
                demand_tokens=own,
                api_tokens=[0] * days,
                billed_cost=[0] * days,
                billed_tokens=[0] * days,
                price_per_token=Fraction(300),
            ),
        ),
        hourly_units=hours,
        gpu_cost=[of.randrange(20_000, 30_000) for _ in range(days)],
        gpu_milliseconds=[2 * 86_400_000 for _ in range(days)],
        own_tokens=own,
        everyone_tokens=[tokens + of.randrange(1, 900) for tokens in own],
        best_hour_tokens=[of.randrange(900, 1000) for _ in range(days)] if is_seen else None,
    ), Terms(
        capacity_units_per_replica_hour=Fraction(2001, 2),
        gpus_per_replica=2,
        fixed_cost=Fraction(900_000),
        replicas=1,
        spare_replicas=1,
        committed=Fraction(committed),
    )


def days_drawn(days: WorkloadDays, picked: list[int]) -> WorkloadDays:
    """The days of a resample, one after the other, as if they had been observed."""

    def drawn(values):
        return [values[day] for day in picked]

    return WorkloadDays(
        classes=[
            ClassDays(
                demand_tokens=drawn(of.demand_tokens),
                api_tokens=drawn(of.api_tokens),
                billed_cost=drawn(of.billed_cost),
                billed_tokens=drawn(of.billed_tokens),
                price_per_token=of.price_per_token,
            )
            for of in days.classes
        ],
        hourly_units=drawn(days.hourly_units),
        gpu_cost=drawn(days.gpu_cost),
        gpu_milliseconds=drawn(days.gpu_milliseconds),
        own_tokens=drawn(days.own_tokens),
        everyone_tokens=drawn(days.everyone_tokens),
        best_hour_tokens=None if days.best_hour_tokens is None else drawn(days.best_hour_tokens),
    )


def exact(days: WorkloadDays, terms: Terms, capacity: Fraction) -> dict[str, float]:
    """The same by the functions that verdicts call, in fractions."""
    count, hours = len(days.hourly_units), HOURS * len(days.hourly_units)
    tokens = sum(sum(of.demand_tokens) for of in days.classes)
    units = sum(map(sum, days.hourly_units))
    prices = [
        Fraction(sum(of.billed_cost), sum(of.billed_tokens)) if sum(of.billed_tokens) else of.price_per_token
        for of in days.classes
    ]
    api = sum(price * sum(of.demand_tokens) for price, of in zip(prices, days.classes, strict=True))
    on_api = sum(price * sum(of.api_tokens) for price, of in zip(prices, days.classes, strict=True))
    rate = Fraction(sum(days.gpu_cost) * 3_600_000, sum(days.gpu_milliseconds))
    rent = rate * terms.gpus_per_replica * hours
    volumes = breakeven_volumes(
        Staircase(
            price_per_token=Fraction(api, units),
            capacity_tokens=capacity * hours,
            replica_cost=rent,
            fixed_cost=terms.fixed_cost + terms.committed,
            api_commitment=terms.committed,
            spare_replicas=terms.spare_replicas,
        )
    )
    plan = optimal_hybrid(
        hourly_demand=[units for of_day in days.hourly_units for units in of_day],
        capacity_per_replica_hour=capacity,
        replica_cost=rent,
        fixed_cost=terms.fixed_cost,
        price_per_unit=Fraction(api, units),
        headroom_ratio=0,
        api_commitment=terms.committed,
    )
    share = Fraction(sum(days.own_tokens), sum(days.everyone_tokens))
    current = (
        max(terms.committed, on_api) + share * sum(days.gpu_cost) + (terms.fixed_cost if sum(days.own_tokens) else 0)
    )
    advised = Fraction(plan.alternatives[terms.replicas].total_cost)
    pinned = terms.pinned_replicas or 0
    overflow = sum(max(0, units - pinned * capacity) for of_day in days.hourly_units for units in of_day)
    alone = pinned * rent + (terms.fixed_cost if pinned else 0) + max(terms.committed, Fraction(api, units) * overflow)
    return {
        "pin": float(alone - advised),
        "breakeven": math.inf if volumes.first is None else float(Fraction(volumes.first) * tokens / units / count),
        "best": plan.best.replicas,
        "saving": float(current - advised),
    }


@pytest.mark.parametrize("is_seen", [False, True])
@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), committed=st.sampled_from([0, 200_000, 8_000_000, 90_000_000]))
def test_the_days_as_they_were_give_what_the_exact_functions_give(is_seen: bool, seed: int, committed: int) -> None:
    days, terms = workload(seed, days=14, is_seen=is_seen, committed=committed)
    point = point_of(days, terms)
    found = exact(days, terms, terms.capacity_units_per_replica_hour)
    assert point.breakeven_tokens_per_day == pytest.approx(found["breakeven"], rel=1e-12)
    assert point.best_replicas == found["best"]
    assert point.saving == pytest.approx(found["saving"], rel=1e-9)
    assert point.pin_cost is None


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), pinned=st.integers(0, 3), committed=st.sampled_from([0, 8_000_000]))
def test_a_pin_costs_what_its_lane_costs_above_the_advised_count(seed: int, pinned: int, committed: int) -> None:
    days, terms = workload(seed, days=14, committed=committed)
    terms = replace(terms, pinned_replicas=pinned)
    found = exact(days, terms, terms.capacity_units_per_replica_hour)
    assert point_of(days, terms).pin_cost == pytest.approx(found["pin"], rel=1e-9, abs=1e-3)


@pytest.mark.parametrize("is_seen", [False, True])
def test_an_interval_is_the_quantiles_of_its_resamples_worked_out_one_by_one(is_seen: bool) -> None:
    """The second route: the drawn days laid out one after the other, decided exactly, sorted, and counted."""
    days, terms = workload(5, days=23, is_seen=is_seen)
    terms = replace(terms, pinned_replicas=0, needed_saving=Fraction(round(point_of(days, terms).saving)))
    resamples = 60
    interval = breakeven_interval(days, terms, resamples=resamples)
    draws = block_draws(days=23, resamples=resamples)
    found = []
    for resample in range(resamples):
        drawn = days_drawn(days, draws.days_of(resample))
        seen = 1 if days.best_hour_tokens is None else Fraction(max(drawn.best_hour_tokens), max(days.best_hour_tokens))
        found.append(exact(drawn, terms, terms.capacity_units_per_replica_hour * seen))

    def rank(name: str, share: Fraction) -> float:
        values = sorted(one[name] for one in found)
        return next(value for value in values if sum(other <= value for other in values) >= share * len(values))

    shares = (Fraction(5, 100), Fraction(50, 100), Fraction(95, 100))
    for name, told in (
        ("breakeven", interval.breakeven),
        ("best", interval.best_replicas),
        ("saving", interval.saving),
        ("pin", interval.pin_cost),
    ):
        assert (told.low, told.middle, told.high) == pytest.approx(tuple(rank(name, share) for share in shares))
    assert interval.saving_cautious == pytest.approx(rank("saving", Fraction(20, 100)))
    assert interval.probability_saving == sum(one["saving"] > 0 for one in found) / resamples
    assert interval.probability_self_host == sum(one["best"] > 0 for one in found) / resamples
    pays_back = sum(one["saving"] >= terms.needed_saving for one in found) / resamples
    assert interval.probability_pays_back == pays_back
    assert 0 < pays_back < 1, "of these days some do not"
    assert interval.probability_pin_costs == sum(one["pin"] > 0 for one in found) / resamples
    assert interval.breakeven.low < interval.breakeven.high


def test_never_is_infinity_inside_the_quantiles_and_a_probability_apart() -> None:
    days, terms = workload(5, days=28)
    cheap = point_of(days, terms)
    # A full replica just pays its rent over all days: in some resamples it does, in some it does not.
    dearer = cheap.api_price_per_token * cheap.capacity_tokens_per_replica_hour / (2 * cheap.gpu_hour_rate)
    dear = WorkloadDays(**{**vars(days), "gpu_cost": [int(cost * dearer) for cost in days.gpu_cost]})
    interval = breakeven_interval(dear, terms, resamples=400)
    assert 0.05 < interval.probability_never < 0.95
    assert interval.breakeven.low < math.inf == interval.breakeven.high
    out = WorkloadDays(**{**vars(days), "gpu_cost": [cost * 100 for cost in days.gpu_cost]})
    never = breakeven_interval(out, terms, resamples=50)
    assert (never.probability_never, never.probability_exceeded, never.breakeven.low) == (1.0, 0.0, math.inf)


def test_days_on_which_nothing_was_asked_take_price_and_mix_from_the_others() -> None:
    """Traffic of one day of 28: most resamples have none, and none of them says that it is free or impossible."""
    days, terms = workload(5)
    one = days_drawn(days, list(range(28)))
    quiet = [0] * 27
    asked = WorkloadDays(
        **{
            **vars(one),
            "classes": [
                ClassDays(
                    **{
                        **vars(of),
                        "demand_tokens": [*quiet, 700],
                        "api_tokens": [*quiet, 700],
                        "billed_cost": [*quiet, 70_000],
                        "billed_tokens": [*quiet, 700],
                    }
                )
                for of in days.classes
            ],
            "hourly_units": [*[[0] * HOURS] * 27, [900] * HOURS],
            "own_tokens": [0] * 28,
        }
    )
    interval = breakeven_interval(asked, terms, resamples=200)
    prices = interval.api_price_per_token
    assert prices.low == pytest.approx(100.0) == pytest.approx(prices.high)
    assert interval.breakeven.high == pytest.approx(interval.breakeven.low, rel=0.2)
    assert interval.tokens_per_day.low == 0.0
    assert interval.best_replicas.low == 0


def test_ways_that_cost_the_same_save_nothing_however_floats_round() -> None:
    assert saved(0.1 + 0.2, 0.3) == 0.0
    assert saved(100.0, 99.9) == pytest.approx(0.1)
    assert saved(1.0, 1.0 + 1e-6) < 0


def test_the_path_of_the_next_month_is_held_against_every_break_even() -> None:
    volumes, breakevens = [3.0, 5.0, 5.0], [1.0, 5.0, 9.0, math.inf]
    counted = sum(volume >= breakeven for volume in volumes for breakeven in breakevens)
    assert pairs_reaching(volumes, breakevens) == counted / 12


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.sampled_from([0.05, 0.2, 0.5, 0.95]))
def test_a_quantile_is_the_least_value_with_that_share_at_or_below_it(values: list[float], share: float) -> None:
    told = nearest_rank_of(sorted(values), share)
    exact_share = Fraction(str(share))
    assert told in values
    assert sum(value <= told for value in values) >= exact_share * len(values)
    assert sum(value < told for value in values) < exact_share * len(values)


def test_the_draws_are_the_same_on_every_machine() -> None:
    """Written down once: `random.Random` of this seed gives these days on every platform and version."""
    draws = block_draws(days=30, resamples=2)
    assert draws.days_of(0)[:14] == DRAWN[0]
    assert draws.days_of(1)[-9:] == DRAWN[1]
    assert len(draws.days_of(0)) == 30


@given(days=st.integers(14, 60), seed=st.integers(0, 99), drawn=st.integers(1, 60))
def test_sums_of_blocks_are_sums_of_the_days_they_are_made_of(days: int, seed: int, drawn: int) -> None:
    values = [Random(seed + day).randrange(10**20) for day in range(days)]
    draws = block_draws(days=days, drawn_days=drawn, resamples=3, seed=seed)
    picked = [draws.days_of(resample) for resample in range(3)]
    assert all(len(found) == drawn and min(found) >= 0 and max(found) < days for found in picked)
    assert draws.sums(values) == [sum(values[day] for day in found) for found in picked]
    assert draws.largest(values) == [max(values[day] for day in found) for found in picked]
    for found in picked:
        blocks = [found[start : start + 7] for start in range(0, drawn, 7)]
        assert all(block == list(range(block[0], block[0] + len(block))) for block in blocks)


def test_every_first_day_of_a_block_is_as_likely_as_the_next() -> None:
    draws = block_draws(days=28, resamples=11_000)
    counts = [0] * 22
    for picks in draws.picks:
        for pick in picks:
            counts[pick] += 1
    # 44,000 draws of 22: 2,000 each, with a standard deviation of 44.
    assert all(abs(count - 2000) < 220 for count in counts)


def test_less_than_two_blocks_is_no_interval() -> None:
    with pytest.raises(ValueError, match="There are 13 days: pass at least 14"):
        block_draws(days=13)
    with pytest.raises(ValueError, match="for 14 days"):
        Draws(days=14, block_days=7, last_days=7, picks=((0, 0),)).sums([1])


def covered(days: int, *, series: int) -> float:
    """How often the 90% interval holds the true break-even, of days whose mean and correlation are known."""
    hits = 0
    for number in range(series):
        of, level = Random(number), 0.0
        billed, tokens, hours = [], [], []
        for day in range(days):
            level = 0.5 * level + of.gauss(0.0, 0.08)
            weekly = 1.2 if day % 7 < 5 else 0.5
            count = int(1_000_000 * weekly * math.exp(level))
            tokens.append(count)
            billed.append(int(count * 100 * (1 + of.gauss(0.0, 0.1) + level)))
            hours.append([count // HOURS] * HOURS)
        one = ClassDays(
            demand_tokens=tokens,
            api_tokens=tokens,
            billed_cost=billed,
            billed_tokens=tokens,
            price_per_token=Fraction(1),
        )
        interval = breakeven_interval(
            WorkloadDays(
                classes=(one,),
                hourly_units=hours,
                gpu_cost=[24_000_000] * days,
                gpu_milliseconds=[86_400_000] * days,
                own_tokens=[0] * days,
                everyone_tokens=[0] * days,
            ),
            Terms(
                capacity_units_per_replica_hour=Fraction(10**6), gpus_per_replica=1, fixed_cost=Fraction(0), replicas=1
            ),
            resamples=150,
        )
        # E[price x tokens] / E[tokens] with level ~ N(0, v): 100 (1 + v), v = 0.08^2 / (1 - 0.5^2).
        true = 24_000_000 / (100 * (1 + 0.08**2 / 0.75))
        hits += interval.breakeven.low <= true <= interval.breakeven.high
    return hits / series


def test_an_interval_of_many_weeks_covers_the_truth_about_as_often_as_it_says() -> None:
    assert 0.80 <= covered(112, series=150) <= 0.97


def test_an_interval_of_four_weeks_covers_it_less_often_and_not_much_less() -> None:
    """22 blocks of 28 days overlap: known, and said in DECISIONS."""
    assert 0.65 <= covered(28, series=150) <= 0.95


def test_a_year_of_hours_and_200_replicas_takes_under_two_seconds() -> None:
    days, terms = workload(1, days=365, mean_units=100_000)
    before = process_time()
    interval = breakeven_interval(days, terms)
    assert process_time() - before < 2.0
    assert interval.resamples == 1000
    assert max(max(hours) for hours in days.hourly_units) / terms.capacity_units_per_replica_hour > 199
