"""Node `fct_demand_forecasts_daily`: when each workload's traffic will be on the other side of its break-even.

The newest settled day of each month, as the intervals. Which side traffic is on is told by its mean of seven days.
Reads settled days only: where one of the last seven is not settled (what freezes the alert state too) nothing is
watched. Formulas: `pipeline.economics.forecast` (economics.md 9, 10)."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import polars as pl

from pipeline.economics.forecast import (
    FEWEST_ORIGINS,
    WATCH_DAYS,
    CrossingForecast,
    Forecast,
    crossing,
    forecast,
    is_watched,
    volume_quantiles,
)

_DATED = ("fct_day_status_daily", "fct_demand_daily")
# Not the alert states: they are one fold of all history, so that a new day would make every month anew.
INPUTS = ("fct_day_status_daily", "fct_demand_daily", "fct_verdicts_daily")
HISTORY_DAYS = 400
LOOKBACK = dict.fromkeys(_DATED, HISTORY_DAYS)
READS: Mapping[str, str] = {
    "fct_day_status_daily": "select usage_date, status, blocked_count from fct_day_status_daily",
    "fct_demand_daily": """
        select usage_date, workload, cast(sum(tokens) as bigint) as tokens
        from fct_demand_daily
        group by usage_date, workload""",
    "fct_verdicts_daily": """
        select
            usage_date, workload, status, demand_ratio, breakeven_first_tokens_per_day, breakeven_crossing_count
        from fct_verdicts_daily""",
}
SCHEMA: Mapping[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "workload": pl.String(),
    "status": pl.String(),
    "reason": pl.String(),
    "level_tokens_per_day": pl.Float64(),
    "growth_per_week_ratio": pl.Float64(),
    "trend_weeks_count": pl.Int64(),
    "origin_count": pl.Int64(),
    "demand_in_30_days_p05_tokens_per_day": pl.Float64(),
    "demand_in_30_days_p50_tokens_per_day": pl.Float64(),
    "demand_in_30_days_p95_tokens_per_day": pl.Float64(),
    "breakeven_tokens_per_day": pl.Float64(),
    "crosses_to": pl.String(),
    "p05_crosses_on_date": pl.Date(),
    "p50_crosses_on_date": pl.Date(),
    "p95_crosses_on_date": pl.Date(),
    "crosses_within_30_days_probability_ratio": pl.Float64(),
    "is_watch": pl.Boolean(),
}


def build(frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """One row per workload that has a verdict on the newest settled day of the partition's month."""
    this = frames["this_partition"].row(0, named=True)
    verdicts = frames["fct_verdicts_daily"].filter(
        pl.col("usage_date").is_between(this["from_date"], this["to_date"], closed="left")
        & (pl.col("status") != "not_settled")
    )
    day = verdicts["usage_date"].max()
    rows: list[dict[str, Any]] = []
    if isinstance(day, date):
        settled = _settled(frames["fct_day_status_daily"])
        demand = _demand(frames["fct_demand_daily"], day)
        for verdict in verdicts.filter(pl.col("usage_date") == day).sort("workload").to_dicts():
            name = verdict["workload"]
            rows.append(dict.fromkeys(SCHEMA) | _row(verdict, demand.get(name, {}), settled))
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def _settled(statuses: pl.DataFrame) -> set[date]:
    return set(statuses.filter((pl.col("status") == "settled") & (pl.col("blocked_count") == 0))["usage_date"])


def _demand(frame: pl.DataFrame, until: date) -> dict[str, dict[date, int]]:
    """Tokens by workload and day, up to and with a day."""
    found: dict[str, dict[date, int]] = defaultdict(dict)
    for day, workload, tokens in frame.select("usage_date", "workload", "tokens").iter_rows():
        if day <= until and workload is not None:
            found[workload][day] = tokens or 0
    return found


def _row(verdict: Mapping[str, Any], demand: Mapping[date, int], settled: set[date]) -> dict[str, Any]:
    day = verdict["usage_date"]
    row: dict[str, Any] = {"usage_date": day, "workload": verdict["workload"]}
    found = forecast(_series(demand, settled, day), last_day=day)
    if found is None:
        return row | {"status": "unknown", "reason": "no settled day of the last 28 has demand: there is no level"}
    row |= _of_forecast(found)
    volume = verdict["breakeven_first_tokens_per_day"]
    if volume is None:
        is_decided = verdict["breakeven_crossing_count"] is not None
        why = "there is no break-even volume to cross" if is_decided else "its break-even is not known"
        status, is_watch = ("no_crossing", False) if is_decided else ("unknown", None)
        return row | {"status": status, "reason": why, "is_watch": is_watch}
    ratio = verdict["demand_ratio"]
    if ratio is None:
        why = "one of the last seven days is not settled: on which side demand is now is not known"
        return row | {"status": "frozen", "reason": why, "breakeven_tokens_per_day": volume}
    return row | _of_crossing(found, volume, upwards=ratio < 1)


def _series(demand: Mapping[date, int], settled: set[date], day: date) -> list[int | None]:
    """A figure a day since the first one known. A settled day without a row had none; any other day is not known."""
    if not demand:
        return []
    first = min(demand)
    days = (first + timedelta(days=offset) for offset in range((day - first).days + 1))
    return [demand.get(found, 0) if found in settled else None for found in days]


def _of_forecast(found: Forecast) -> dict[str, Any]:
    spread = volume_quantiles(found, days_ahead=WATCH_DAYS)
    middle = found.at(WATCH_DAYS, 0.0)
    low, middle, high = (None, middle, None) if spread is None else spread
    return {
        "level_tokens_per_day": _digits(found.level),
        "growth_per_week_ratio": _digits(found.growth_per_day * 7),
        "trend_weeks_count": found.trend_weeks,
        "origin_count": len(found.errors),
        "demand_in_30_days_p05_tokens_per_day": _digits(low),
        "demand_in_30_days_p50_tokens_per_day": _digits(middle),
        "demand_in_30_days_p95_tokens_per_day": _digits(high),
    }


def _of_crossing(found: Forecast, volume: float, *, upwards: bool) -> dict[str, Any]:
    told: CrossingForecast = crossing(found, volume, upwards=upwards)
    short = None
    if not found.has_interval:
        short = (
            f"an interval needs {FEWEST_ORIGINS} earlier weeks to have been wrong in, and there are {len(found.errors)}"
        )
    return {
        "status": "known",
        "reason": short,
        "breakeven_tokens_per_day": volume,
        "crosses_to": "self_host" if upwards else "api",
        "p05_crosses_on_date": told.low_on,
        "p50_crosses_on_date": told.middle_on,
        "p95_crosses_on_date": told.high_on,
        "crosses_within_30_days_probability_ratio": told.probability_soon,
        "is_watch": is_watched(found, told),
    }


def _digits(value: float | None) -> float | None:
    """Nine significant digits: logarithms differ behind them from one machine to another."""
    return None if value is None else float(f"{value:.9g}")
