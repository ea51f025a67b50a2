"""Fourteen real days of a fleet's request rates, at several sizes: how many replicas, what the others cost, who decides
well.

The rates are measured; how many tokens a request has, prices and capacity are supposed, and said here.
"""

import csv
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.economics.alerts import AlertRule
from pipeline.economics.backtest import ReplayDay, Verdict, backtest, default_policies, known_after
from pipeline.economics.breakeven import Staircase, breakeven_volumes
from pipeline.economics.hybrid import HybridPlan, optimal_hybrid
from pipeline.reports.backtest import shipped_rules

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "traffic" / "servegen_m_small"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/data/traffic/servegen_m_small is not here")

FIRST = date(2026, 3, 2)
DAYS = 14
# Supposed: 1,500 tokens a request, 1.20 USD a million; a replica of two GPUs at 2.69 an hour each, serving 24M tokens
# an hour; overheads of 40 USD a day.
TOKENS_A_REQUEST = 1_500
PRICE = Fraction(12, 10) / 10**6
RENT = Fraction(538, 100)
CAPACITY = 24_000_000
OVERHEADS_A_DAY = Fraction(40)
# Of the whole fleet, which has millions of requests an hour.
SIZES = (Fraction(1, 2000), Fraction(1, 300), Fraction(1, 100), Fraction(1, 20))


@pytest.fixture(scope="module")
def hourly_requests() -> list[Fraction]:
    """Requests of all clients in each of 336 hours: rates of windows of 600 s, added up."""
    hours = [0.0] * (24 * DAYS)
    for path in sorted(FOLDER.glob("*.csv")):
        with path.open(newline="") as file:
            for start, rate, *_ in csv.reader(file):
                hour = int(float(start) // 3600)
                if hour < len(hours):
                    hours[hour] += float(rate) * 600
    return [Fraction(round(count)) for count in hours]


def tokens_of(requests: Sequence[Fraction], size: Fraction) -> list[int]:
    return [int(count * TOKENS_A_REQUEST * size) for count in requests]


def planned(tokens: Sequence[int]) -> HybridPlan:
    return optimal_hybrid(
        hourly_demand=list(tokens),
        capacity_per_replica_hour=CAPACITY,
        replica_cost=RENT * len(tokens),
        fixed_cost=OVERHEADS_A_DAY * DAYS,
        price_per_unit=PRICE,
        headroom_ratio=Decimal("0.2"),
    )


def test_the_days_are_real_days(hourly_requests: list[Fraction]) -> None:
    assert len(list(FOLDER.glob("*.csv"))) >= 40
    days = [sum(hourly_requests[24 * day : 24 * day + 24]) for day in range(DAYS)]
    assert all(days)
    assert max(hourly_requests) > 1.5 * sum(hourly_requests) / len(hourly_requests)


@pytest.mark.parametrize("size", SIZES)
def test_the_best_count_is_that_of_all_counts_and_the_next_replica_says_why(
    hourly_requests: list[Fraction], size: Fraction
) -> None:
    tokens = tokens_of(hourly_requests, size)
    plan = planned(tokens)

    def cost(count: int) -> Fraction:
        above = sum(max(0, hour - count * CAPACITY) for hour in tokens)
        return count * RENT * len(tokens) + (OVERHEADS_A_DAY * DAYS if count else 0) + PRICE * above

    counts = range(-(-max(tokens) // CAPACITY) + 1)
    assert plan.best.replicas == min(counts, key=lambda count: (cost(count), count))
    for alternative in plan.alternatives:
        assert Fraction(alternative.total_cost) == pytest.approx(cost(alternative.replicas))
    following = plan.next_replica
    saved = sum(min(CAPACITY, max(0, hour - plan.best.replicas * CAPACITY)) for hour in tokens) * PRICE
    if following.kind == "rent":
        assert float(following.displaced_api_cost) == pytest.approx(float(saved))
        assert saved <= RENT * len(tokens)
        assert f"Replica {plan.best.replicas + 1} would displace" in following.explanation


def test_small_traffic_stays_and_great_traffic_takes_several_replicas(hourly_requests: list[Fraction]) -> None:
    counts = [planned(tokens_of(hourly_requests, size)).best.replicas for size in SIZES]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] >= 2


def replayed(tokens: Sequence[int]) -> list[ReplayDay]:
    """Each day with its own hours; the break-even of the supposed prices, the trailing mean of up to seven days."""
    most = -(-max(tokens) // CAPACITY)
    first = breakeven_volumes(
        Staircase(
            price_per_token=PRICE,
            capacity_tokens=CAPACITY * 24,
            replica_cost=RENT * 24,
            fixed_cost=OVERHEADS_A_DAY,
        )
    ).first
    daily = [sum(tokens[24 * day : 24 * day + 24]) for day in range(DAYS)]
    days = []
    for day in range(DAYS):
        hours, week = tokens[24 * day : 24 * day + 24], daily[max(0, day - 6) : day + 1]
        costs = tuple(
            count * RENT * 24
            + (OVERHEADS_A_DAY if count else 0)
            + PRICE * sum(max(0, hour - count * CAPACITY) for hour in hours)
            for count in range(most + 1)
        )
        mean = Fraction(sum(week), len(week))
        on = FIRST + timedelta(days=day)
        days.append(
            ReplayDay(
                day=on,
                known_on=known_after(on, settle_days=1),
                tokens=daily[day],
                costs=costs,
                ratio=None if first is None else mean / Fraction(first),
            )
        )
    return days


def told(hourly_requests: list[Fraction], size: Fraction) -> dict[str, Verdict]:
    rule = AlertRule(dwell_days=3, cooldown_days=3)
    policies = default_policies(rule, one_off=100) | {found.rule: found.policy for found in shipped_rules()}
    tested = backtest(replayed(tokens_of(hourly_requests, size)), policies, one_off=100)
    assert all(verdict.above_best >= 0 for verdict in tested.verdicts)
    return {verdict.name: verdict for verdict in tested.verdicts}


@pytest.mark.parametrize("size", SIZES)
def test_the_configured_rule_never_ends_with_the_worst(hourly_requests: list[Fraction], size: Fraction) -> None:
    found = told(hourly_requests, size)
    worst = max(verdict.replay.cost for verdict in found.values())
    assert found["configured: hysteresis"].replay.cost < worst
    assert found["configured: hysteresis"].false_alerts == 0


def test_a_rule_of_thumb_is_right_at_one_size_and_dear_at_another(hourly_requests: list[Fraction]) -> None:
    """A threshold that knows nothing of one's own rates moves too soon here and never there."""
    small, middle = told(hourly_requests, SIZES[0]), told(hourly_requests, SIZES[1])
    assert small["spend 2000 a month"].false_alerts == 1
    assert small["spend 2000 a month"].replay.cost > Fraction(3, 2) * small["configured: hysteresis"].replay.cost
    assert small["spend 20000 a month"].above_best == 0
    assert middle["spend 20000 a month"].missed == 1
    assert middle["spend 20000 a month"].replay.cost > Fraction(3, 2) * middle["configured: hysteresis"].replay.cost
    assert middle["spend 2000 a month"].above_best < middle["configured: hysteresis"].above_best
