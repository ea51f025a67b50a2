"""The node of forecasts over a year of made-up days, beside a second route written out with the standard library."""

import math
from datetime import date, timedelta
from itertools import combinations
from random import Random
from statistics import median
from typing import Any

import polars as pl
import pytest

from pipeline.decisions import demand_forecasts

LAST = date(2026, 10, 31)
FIRST = LAST - timedelta(days=299)
BREAKEVEN = 1_500_000.0
Demand = dict[date, int]


def year(seed: int = 4) -> Demand:
    """Growing by two percent a week, noisy, half as much on weekends."""
    drawn = Random(seed)
    return {
        FIRST + timedelta(days=day): int(
            400_000 * math.exp(0.02 * day / 7 + drawn.gauss(0, 0.1)) * (0.5 if day % 7 > 4 else 1.2)
        )
        for day in range(300)
    }


def built(
    demand: Demand,
    *,
    unsettled: set[date] = frozenset(),  # type: ignore[assignment]
    ratio: float | None = 0.9,
    breakeven: float | None = BREAKEVEN,
    crossings: int | None = 1,
) -> dict[str, Any]:
    days = [FIRST + timedelta(days=day) for day in range(330)]
    frames = {
        "this_partition": pl.DataFrame({"from_date": [date(2026, 10, 1)], "to_date": [date(2026, 11, 1)]}),
        "fct_day_status_daily": pl.DataFrame(
            {
                "usage_date": days,
                "status": ["open" if day in unsettled else "settled" for day in days],
                "blocked_count": [0] * len(days),
            }
        ),
        "fct_demand_daily": pl.DataFrame(
            {"usage_date": [*demand], "workload": ["chat"] * len(demand), "tokens": [*demand.values()]},
            schema={"usage_date": pl.Date(), "workload": pl.String(), "tokens": pl.Int64()},
        ),
        "fct_verdicts_daily": pl.DataFrame(
            {
                "usage_date": [LAST, LAST + timedelta(days=1)],
                "workload": ["chat", "chat"],
                "status": ["decided", "decided"],
                "demand_ratio": [ratio, 1.0],
                "breakeven_first_tokens_per_day": [breakeven, 1.0],
                "breakeven_crossing_count": [crossings, 1],
            },
            schema_overrides={
                "demand_ratio": pl.Float64(),
                "breakeven_first_tokens_per_day": pl.Float64(),
                "breakeven_crossing_count": pl.Int64(),
            },
        ),
    }
    (row,) = demand_forecasts.build(frames).to_dicts()
    return row


def half_slope(weeks: list[int]) -> float:
    logs = [math.log(total) for total in weeks[-26:]]
    return (
        median((b - a) / (j - i) for (i, a), (j, b) in combinations(enumerate(logs), 2)) / 2 if len(logs) >= 12 else 0.0
    )


def second_route(demand: Demand) -> dict[str, Any]:
    """Everything known: whole weeks back from the last day."""
    values = [demand[FIRST + timedelta(days=day)] for day in range(300)]
    weeks = [sum(values[6 + 7 * week : 13 + 7 * week]) for week in range(42)]
    level, slope = sum(values[-28:]) / 28, half_slope(weeks)
    errors = []
    for origin in range(4, 39):
        grown = [math.exp(half_slope(weeks[:origin]) * ahead) for ahead in (1, 2, 3, 4)]
        errors.append(math.log(sum(weeks[origin : origin + 4]) / (sum(weeks[origin - 4 : origin]) / 4 * sum(grown))))
    errors.sort()

    def path(error: float, ahead: int) -> float:
        return level * math.exp(slope / 7 * ahead + error * max(1.0, ahead / 28) ** 0.5)

    def crosses(error: float) -> date | None:
        return next((LAST + timedelta(days=ahead) for ahead in range(1, 181) if path(error, ahead) >= BREAKEVEN), None)

    low, middle, high = (errors[math.ceil(len(errors) * percent / 100) - 1] for percent in (5, 50, 95))
    soon = [on for error in errors if (on := crosses(error)) is not None and on <= LAST + timedelta(days=30)]
    return {
        "level_tokens_per_day": level,
        "growth_per_week_ratio": slope,
        "trend_weeks_count": 26,
        "origin_count": 35,
        "demand_in_30_days_p05_tokens_per_day": path(low, 30),
        "demand_in_30_days_p50_tokens_per_day": path(middle, 30),
        "demand_in_30_days_p95_tokens_per_day": path(high, 30),
        "p05_crosses_on_date": crosses(low),
        "p50_crosses_on_date": crosses(middle),
        "p95_crosses_on_date": crosses(high),
        "crosses_within_30_days_probability_ratio": len(soon) / len(errors),
    }


@pytest.mark.parametrize("seed", range(6))
def test_a_second_route_finds_the_same_forecast(seed: int) -> None:
    told, expected = built(year(seed)), second_route(year(seed))
    for name, value in expected.items():
        assert told[name] == (pytest.approx(value, rel=1e-8) if isinstance(value, float) else value), name
    assert (told["usage_date"], told["status"], told["crosses_to"]) == (LAST, "known", "self_host")


def test_watched_is_what_is_as_likely_as_not_to_cross_within_a_month() -> None:
    watched = {seed: built(year(seed)) for seed in range(6)}
    for row in watched.values():
        assert row["is_watch"] == (row["crosses_within_30_days_probability_ratio"] >= 0.5)
    near = built(year(), breakeven=year()[LAST] * 1.01)
    far = built(year(), breakeven=year()[LAST] * 9.0)
    assert (near["is_watch"], far["is_watch"]) == (True, False)


def test_above_the_break_even_the_fall_below_the_break_even_is_what_is_watched_for() -> None:
    row = built(year(), ratio=1.0, breakeven=1_000.0)
    assert (row["crosses_to"], row["p50_crosses_on_date"], row["is_watch"]) == ("api", None, False)
    assert built(year(), ratio=1.0, breakeven=9e9)["is_watch"]


def test_a_gap_in_the_last_week_freezes_the_watch_and_says_so() -> None:
    row = built(year(), ratio=None, breakeven=1.0)
    assert (row["status"], row["is_watch"], row["p50_crosses_on_date"]) == ("frozen", None, None)
    assert "one of the last seven days is not settled" in row["reason"]


def test_without_a_break_even_there_is_nothing_to_watch_for() -> None:
    none, unknown = built(year(), breakeven=None, crossings=0), built(year(), breakeven=None, crossings=None)
    assert (none["status"], none["is_watch"]) == ("no_crossing", False)
    assert (unknown["status"], unknown["is_watch"]) == ("unknown", None)
    assert none["level_tokens_per_day"] == unknown["level_tokens_per_day"] == built(year())["level_tokens_per_day"]


def test_an_unsettled_day_is_not_known_and_a_settled_day_without_a_row_had_none() -> None:
    demand = year()
    gap = LAST - timedelta(days=3)
    unsettled = built(demand, unsettled={gap})
    known = [count for day, count in demand.items() if day > LAST - timedelta(days=28) and day != gap]
    assert unsettled["level_tokens_per_day"] == pytest.approx(sum(known) / 27, rel=1e-8)
    assert unsettled["trend_weeks_count"] == 0
    silent = built({day: count for day, count in demand.items() if day != gap})
    assert silent["level_tokens_per_day"] == pytest.approx(sum(known) / 28, rel=1e-8)


def test_later_days_change_nothing() -> None:
    later = {LAST + timedelta(days=day): 10**9 for day in range(1, 20)}
    assert built({**year(), **later}) == built(year())
