"""Node `fct_peak_allowances_daily`: how much of a replica-hour may be filled so that peaks inside the hour fit.

One row per workload and day that has a deployment with a declared or measured capacity; what counts is what the verdict
of the day takes. The sampled week is the one that `demand: sampled_week` names, from the day after its Sunday on; else
the newest whole one, Monday to Sunday, that ended in the verdict's 28 days. Each day of it is settled: a named week
that is not, or that was not served, is not replaced by another.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.decisions.window import WINDOW_DAYS, Row, valid_on
from pipeline.economics.exact import to_places
from pipeline.economics.peaks import PeakAllowance, SampledWeek, peak_allowance

_DAYS_PER_WEEK = 7
INPUTS = (
    "config_deployments",
    "config_workloads",
    "fct_day_status_daily",
    "fct_demand_daily",
    "fct_demand_peaks_weekly",
    "int_sampled_weeks",
)
LOOKBACK = {
    "fct_day_status_daily": WINDOW_DAYS - 1 + _DAYS_PER_WEEK - 1,
    "fct_demand_daily": WINDOW_DAYS - 1,
    "fct_demand_peaks_weekly": WINDOW_DAYS - 1,
}
# Of each workload and day only whether an API served any of it.
READS: Mapping[str, str] = {
    "fct_day_status_daily": """
        select usage_date from fct_day_status_daily where status = 'settled' and blocked_count = 0""",
    "fct_demand_daily": "select distinct usage_date, workload from fct_demand_daily where lane = 'api' and tokens > 0",
}
_RATIO = pl.Decimal(38, 18)
_PLACES = 18
SCHEMA: Mapping[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "workload": pl.String(),
    "deployment_id": pl.String(),
    "peak_allowance_ratio": _RATIO,
    "peak_allowance_basis": pl.String(),
    "measured_allowance_ratio": _RATIO,
    "week_from_date": pl.Date(),
    "week_served_hours_count": pl.Int64(),
    "week_minute_hours_count": pl.Int64(),
    "p99_minute_to_hour_ppm": pl.Int64(),
    "overflow_within_hours_ppm": pl.Int64(),
    "reason": pl.String(),
}
PREPARE = dict.fromkeys(INPUTS, pl.DataFrame.to_dicts)


def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
    """`inputs`: rows of what is configured, and of the dated ones by day, as `PREPARE` made them."""
    day: date = inputs["this_partition"]["from_date"][0]
    deployments = {row["deployment_id"]: row for row in valid_on(day, inputs["config_deployments"])}
    on_an_api = {row["workload"] for rows in inputs["fct_demand_daily"].values() for row in rows}
    settled = set(inputs["fct_day_status_daily"])
    weeks = {
        (row["deployment_id"], row["workload"]): row
        for sunday, rows in sorted(inputs["fct_demand_peaks_weekly"].items())
        if all(sunday - timedelta(days=back) in settled for back in range(_DAYS_PER_WEEK))
        for row in rows
    }
    named = {(row["deployment_id"], row["workload"], row["week_from_date"]): row for row in inputs["int_sampled_weeks"]}
    rows = []
    for workload in sorted(valid_on(day, inputs["config_workloads"]), key=lambda row: str(row["workload"])):
        deployment, name = deployments.get(workload["deployment_id"]), workload["workload"]
        if deployment is not None and deployment["peak_allowance"] is not None:
            monday = workload["sampled_week_from_date"]
            if is_named := monday is not None and monday + timedelta(days=_DAYS_PER_WEEK) <= day:
                week = named.get((deployment["deployment_id"], name, monday))
            else:
                week = weeks.get((deployment["deployment_id"], name))
            found = _row(deployment, week, is_all_self_hosted=name not in on_an_api, named=monday if is_named else None)
            rows.append({"usage_date": day, "workload": name} | found)
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def _row(deployment: Row, week: Row | None, *, is_all_self_hosted: bool, named: date | None) -> dict[str, Any]:
    sampled = None if week is None else _sampled(week)
    found = peak_allowance(
        declared=deployment["peak_allowance"] if deployment["is_peak_allowance_declared"] else None,
        assumed=deployment["peak_allowance"],
        week=sampled,
        is_all_self_hosted=is_all_self_hosted,
        named_week=named,
    )
    measured = None if sampled is None else sampled.measured_ratio
    return {
        "deployment_id": deployment["deployment_id"],
        **_counts(found),
        "measured_allowance_ratio": None if measured is None else _ratio(measured),
        "week_from_date": None if week is None else week["week_from_date"],
        "week_served_hours_count": None if week is None else week["served_hours_count"],
        "week_minute_hours_count": None if week is None else week["minute_hours_count"],
        "p99_minute_to_hour_ppm": None if week is None else week["p99_minute_to_hour_ppm"],
        "overflow_within_hours_ppm": None if week is None else week["overflow_within_hours_ppm"],
    }


def _counts(found: PeakAllowance) -> dict[str, Any]:
    return {
        "peak_allowance_ratio": _ratio(found.ratio),
        "peak_allowance_basis": found.basis,
        "reason": found.reason,
    }


def _sampled(week: Row) -> SampledWeek:
    return SampledWeek(
        p99_minute_to_hour_ppm=week["p99_minute_to_hour_ppm"],
        served_hours=week["served_hours_count"],
        minute_hours=week["minute_hours_count"],
        queued_hours=week["queued_hours_count"],
        busy_hours=week["busy_hours_count"],
        longest_gap_milliseconds=week["longest_gap_milliseconds"],
    )


def _ratio(value: Fraction) -> Decimal:
    """Half to even at the last place that the marts hold: what the verdict takes is what stands here."""
    return to_places(value, _PLACES)
