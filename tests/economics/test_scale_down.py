"""What may be released: against the rule written out again, hour by hour."""

import math
import random
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.scale_down import LoadDay, LoadHour, ScaleDown, scale_down

FIRST = date(2026, 10, 5)  # a Monday


def load(work: int | None) -> LoadHour | None:
    return None if work is None else LoadHour(work=work, tokens=work * 100)


def days_of(hours: Sequence[Sequence[int | None]], first: date = FIRST) -> list[LoadDay]:
    return [
        LoadDay(day=first + timedelta(days=number), hours=tuple(load(work) for work in of_day))
        for number, of_day in enumerate(hours)
    ]


def steady(days: int, *, peak: int = 70, rest: int = 10) -> list[list[int | None]]:
    """An hour at the peak each day, and 23 at the rest."""
    return [[peak, *[rest] * 23] for _ in range(days)]


def answer(days: Sequence[LoadDay], **changes: object) -> ScaleDown:
    terms: dict[str, object] = {
        "replicas": 5,
        "capacity_per_replica_hour": 50,
        "capacity_is_at_least": False,
        "headroom_ratio": Decimal("0.2"),
        "replica_cost_per_hour": Decimal("2.5"),
        "price_per_unit": Decimal("0.1"),
        "unobserved_gpu_ratio": 0,
    }
    return scale_down(days=days, **(terms | changes))  # type: ignore[arg-type]


def test_what_the_busy_hours_do_not_need_is_offered_with_what_it_saves() -> None:
    """672 hours, 28 of 70: hour 666 by work is one of them. 70 / (0.8 x 50) needs 2 of 5; 3 x 2.5 x 672 saved."""
    found = answer(days_of(steady(28)))
    assert (found.refusals, found.needed, found.peak_work, found.peak_rank) == ((), 2, 70, 666)
    assert found.safe is not None
    assert (found.safe.replicas, found.safe.released, found.safe.saved_cost) == (2, 3, 5040)
    assert (found.safe.overflow_hours, found.safe.overflow_tokens) == (0, 0)
    assert found.explanation == (
        "Hour 666 of 672 by work asks for 70.0 replica-seconds: 2 replicas needed, 5 paid for. "
        "With 2, 0 hours and 0 tokens lay above them. "
        "With 1 it would be 28 hours and 56,000 tokens, 56.00 at the API for 6,720.00 of rent. "
        "A week before, from 21 days, it would have kept 2: 0 of the 168 hours since lay above."
    )


def test_the_economic_release_goes_on_while_a_replica_costs_more_than_the_api_for_its_peaks() -> None:
    """One replica leaves 20 of 28 hours' 70 to the API: 28 x 20 x 0.1 = 56, against 672 x 2.5 = 1,680 of rent."""
    economic = answer(days_of(steady(28))).economic
    assert economic is not None
    assert (economic.replicas, economic.released, economic.overflow_hours, economic.overflow_work) == (1, 4, 28, 560)
    assert (economic.overflow_cost, economic.saved_cost, economic.overflow_tokens) == (56, 6720, 56_000)
    dear = answer(days_of(steady(28)), price_per_unit=5).economic
    assert dear is not None
    assert (dear.replicas, dear.overflow_cost) == (2, 0)


def test_without_an_api_price_only_the_safe_release_is_known() -> None:
    found = answer(days_of(steady(28)), price_per_unit=None)
    assert (found.economic, found.needed) == (None, 2)
    assert found.safe is not None
    assert found.safe.overflow_cost is None


def some_hours(seed: int) -> list[list[int | None]]:
    """14 to 22 days, busier or quieter, a few of their hours unwatched."""
    chance = random.Random(seed)
    busiest = chance.choice([30, 300])
    return [
        [None if chance.random() < 0.05 else chance.randrange(busiest) for _ in range(24)]
        for _ in range(chance.randrange(14, 23))
    ]


works = st.integers(0, 10**6).map(some_hours)


@settings(max_examples=60, deadline=None)
@given(
    hours=works,
    replicas=st.integers(0, 8),
    minimum=st.integers(0, 3),
    spare=st.integers(0, 2),
    price=st.sampled_from([Decimal("0.01"), Decimal("0.1"), Decimal(1)]),
)
def test_needed_kept_and_backtest_are_the_rule_written_out_again(
    hours: list[list[int | None]], replicas: int, minimum: int, spare: int, price: Decimal
) -> None:
    found = answer(
        days_of(hours), replicas=replicas, minimum_replicas=minimum, spare_replicas=spare, price_per_unit=price
    )

    def needed(of: list[list[int | None]]) -> int:
        seen = sorted(work for day in of for work in day if work is not None)
        peak = seen[math.ceil(Fraction(99, 100) * len(seen)) - 1]
        return max(1, minimum, math.ceil(Fraction(peak) / (Fraction(4, 5) * 50))) + spare

    seen = [work for day in hours for work in day if work is not None]
    if not seen:
        assert found.needed is None
        return
    assert found.needed == needed(hours)
    assert found.safe is not None
    kept = min(replicas, needed(hours))
    assert (found.safe.replicas, found.safe.released) == (kept, replicas - kept)
    assert found.safe.overflow_work == sum(max(0, work - 50 * kept) for work in seen)
    assert found.safe.overflow_hours == sum(work > 50 * kept for work in seen)
    if replicas:
        assert found.economic is not None
        costs = {
            count: count * Decimal("2.5") * 24 * len(hours) + price * sum(max(0, work - 50 * count) for work in seen)
            for count in range(min(replicas, max(1, minimum)), replicas + 1)
        }
        best = min(costs, key=lambda count: (costs[count], count))
        assert (found.economic.replicas, found.economic.released) == (best, replicas - best)
    week = [work for day in hours[-7:] for work in day if work is not None]
    if found.backtest is not None:
        then = needed(hours[:-7])
        over = sum(work > 50 * then for work in week)
        assert (found.backtest.replicas, found.backtest.hours, found.backtest.overflow_hours) == (then, len(week), over)
        assert found.backtest.holds == (100 * over <= len(week))
        assert found.backtest.holds or "demand is moving" in found.refusals[-1]


def test_a_week_that_went_over_what_the_rule_would_have_kept_refuses_the_release() -> None:
    """Three weeks of 10, then a week with two hours of 60: the rule would have kept 1, and 2 of 168 hours lay above."""
    hours = steady(28, peak=10)
    hours[-1][3] = hours[-2][3] = 60
    found = answer(days_of(hours))
    assert found.backtest is not None
    assert (found.backtest.replicas, found.backtest.overflow_hours, found.backtest.holds) == (1, 2, False)
    assert found.refusals == (
        "a week before the end the rule would have kept 1, and 2 of the 168 hours since lay above that: demand is "
        "moving",
    )
    hours[-1][3] = 10
    assert answer(days_of(hours)).refusals == ()


def test_fewer_than_fourteen_days_are_refused_and_fourteen_are_not() -> None:
    assert answer(days_of(steady(13))).refusals == ("13 days, of at least 14",)
    assert answer(days_of(steady(14))).refusals == ()


def test_a_weekday_seen_once_is_refused_by_its_name() -> None:
    days = [
        found for found in days_of(steady(21)) if found.day.weekday() != 5 or found.day == FIRST + timedelta(days=5)
    ]
    assert answer(days).refusals == ("1 Saturday, of at least 2 of each weekday",)


def test_hours_that_nobody_watched_are_left_out_of_the_quantile_and_refused_above_five_percent() -> None:
    """One hour a day of 24 is 4.2%, two are 8.3%; as zeros they would make the busy hour rarer."""
    hours = steady(28)
    for of_day in hours:
        of_day[5] = None
    found = answer(days_of(hours))
    assert (found.refusals, found.observed_hours, found.unobserved_hours, found.peak_rank) == ((), 644, 28, 638)
    for of_day in hours:
        of_day[6] = None
    assert answer(days_of(hours)).refusals == ("8.3% of the hours unobserved, of at most 5%",)


def test_gpu_time_that_nobody_watched_is_refused_above_five_percent() -> None:
    assert answer(days_of(steady(28)), unobserved_gpu_ratio=Decimal("0.05")).refusals == ()
    refused = answer(days_of(steady(28)), unobserved_gpu_ratio=Decimal("0.051")).refusals
    assert refused == ("5.1% of the GPU time unobserved, of at most 5%",)


def test_days_before_the_deployment_changed_are_not_read() -> None:
    """Before the change it was busier: the days since say what is needed, and too few of them say nothing."""
    hours = [*steady(14, peak=200), *steady(14)]
    found = answer(days_of(hours), changed_on=FIRST + timedelta(days=14))
    assert (found.refusals, found.days, found.needed) == ((), 14, 2)
    refused = answer(days_of(hours), changed_on=FIRST + timedelta(days=20)).refusals
    assert refused == ("8 days since the deployment changed on 2026-10-25, of at least 14",)


def test_a_capacity_that_nobody_measured_says_at_most_and_names_the_quiet_hour() -> None:
    hours = steady(28)
    for of_day in hours:
        of_day[3] = 2
    said = answer(days_of(hours), capacity_is_at_least=True).explanation
    assert "at most 2 replicas needed, 5 paid for" in said
    assert said.endswith("drain one replica at 03:00 UTC, the quietest hour, and see whether the others carry it.")
    assert "at most" not in answer(days_of(hours)).explanation


def test_nothing_is_released_where_more_is_needed_than_there_is() -> None:
    found = answer(days_of(steady(28, peak=400)), replicas=3)
    assert found.needed == 10
    assert found.safe is not None
    assert (found.safe.replicas, found.safe.released, found.safe.overflow_hours) == (3, 0, 28)


def test_a_deployment_that_nobody_watched_has_no_answer() -> None:
    found = answer(days_of([[None] * 24] * 14))
    assert (found.needed, found.safe, found.refusals) == (None, None, ("no hour of it was observed",))


def test_days_out_of_order_are_refused() -> None:
    days = days_of(steady(2))
    with pytest.raises(ValueError, match="2026-10-05 comes after 2026-10-06"):
        answer([days[1], days[0]])
    with pytest.raises(ValueError, match="headroom_ratio"):
        answer(days, headroom_ratio=1)
