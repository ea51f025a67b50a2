"""Node `fct_alert_states_daily`: on which side of its break-even each workload's traffic is, day by day."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import polars as pl

from pipeline.economics.alerts import AlertRule, AlertState, DemandDay, alert_states

INPUTS = ("config_company", "int_demand_ratios_daily")
SCHEMA: Mapping[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "workload": pl.String(),
    "state": pl.String(),
    "run_days_count": pl.Int64(),
    "is_fired": pl.Boolean(),
    "is_frozen": pl.Boolean(),
    "reason": pl.String(),
}


def build(frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The fold of every workload's days under the newest declared rule. One row per workload and day."""
    rule = _rule(frames["config_company"])
    rows: list[dict[str, Any]] = []
    for _, verdicts in sorted(frames["int_demand_ratios_daily"].partition_by("workload", as_dict=True).items()):
        days = verdicts.sort("usage_date").to_dicts()
        rows.extend(_fold(days, rule))
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def _rule(company: pl.DataFrame) -> AlertRule:
    newest = company.filter(pl.col("valid_to_date").is_null()).to_dicts()
    if not newest:
        return AlertRule()
    row = newest[0]
    return AlertRule(
        enter_ratio=row["enter_ratio"],
        exit_ratio=row["exit_ratio"],
        dwell_days=row["dwell_days"],
        cooldown_days=row["cooldown_days"],
    )


def _fold(days: list[dict[str, Any]], rule: AlertRule) -> list[dict[str, Any]]:
    """A workload that starts out self-hosted starts on that side: being there is no news."""
    lanes = [day["current_lane"] for day in days if day["current_lane"] is not None]
    start = AlertState(side="self_host" if lanes and lanes[0] == "self_host" else "api")
    concluded = alert_states([_demand_day(day) for day in days], start=start, rule=rule)
    return [
        {
            "usage_date": day.day,
            "workload": verdict["workload"],
            "state": day.state.side,
            "run_days_count": day.state.run_days,
            "is_fired": day.is_fired,
            "is_frozen": day.is_frozen,
            "reason": day.reason,
        }
        for verdict, day in zip(days, concluded, strict=True)
    ]


def _demand_day(verdict: Mapping[str, Any]) -> DemandDay:
    ratio = verdict["demand_ratio"]
    is_decided = verdict["breakeven_crossing_count"] is not None
    return DemandDay(
        day=verdict["usage_date"],
        ratio=None if ratio is None else Decimal(repr(ratio)),
        is_settled=verdict["status"] != "not_settled",
        has_crossing=not is_decided or verdict["breakeven_first_tokens_per_day"] is not None,
    )
