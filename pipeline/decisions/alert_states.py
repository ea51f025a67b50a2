"""Node `fct_alert_states_daily`: on which side of its break-even each workload's traffic is, day by day."""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.decisions.window import valid_on
from pipeline.economics.alerts import AlertRule, AlertState, DemandDay, alert_states
from pipeline.economics.breakeven import Side
from pipeline.economics.regret import CostDay, RegretRule, RegretState, regret_states

INPUTS = ("config_company", "config_deployments", "int_demand_ratios_daily")
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
    company = frames["config_company"]
    meter, rule = _meter(company), _rule(company)
    deployments = frames["config_deployments"].to_dicts()
    rows: list[dict[str, Any]] = []
    for _, verdicts in sorted(frames["int_demand_ratios_daily"].partition_by("workload", as_dict=True).items()):
        days = verdicts.sort("usage_date").to_dicts()
        rows.extend(_fold(days, rule) if meter is None else _metered(days, meter, deployments))
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def _meter(company: pl.DataFrame) -> RegretRule | None:
    """The regret meter, where one is declared in the stead of the hysteresis."""
    newest = company.filter(pl.col("valid_to_date").is_null()).to_dicts()
    if not newest or newest[0]["regret_one_off_cost"] is None:
        return None
    return RegretRule(one_off=newest[0]["regret_one_off_cost"], alpha=newest[0]["regret_alpha"])


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


def _first_side(days: Sequence[Mapping[str, Any]]) -> Side:
    """A workload that starts out self-hosted starts on that side: being there is no news."""
    lanes = [day["current_lane"] for day in days if day["current_lane"] is not None]
    return "self_host" if lanes and lanes[0] == "self_host" else "api"


def _metered(
    days: list[dict[str, Any]], rule: RegretRule, deployments: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Days of a run are those with something on the meter; it has no other count."""
    told = regret_states(
        [_cost_day(day, deployments) for day in days], start=RegretState(side=_first_side(days)), rule=rule
    )
    run = 0
    rows = []
    for verdict, day in zip(days, told, strict=True):
        run = 0 if not day.state.meter else run if day.is_frozen else run + 1
        rows.append(
            {
                "usage_date": day.day,
                "workload": verdict["workload"],
                "state": day.state.side,
                "run_days_count": run,
                "is_fired": day.is_fired,
                "is_frozen": day.is_frozen,
                "reason": day.reason,
            }
        )
    return rows


def _cost_day(verdict: Mapping[str, Any], deployments: Sequence[Mapping[str, Any]]) -> CostDay:
    """A day at its 7-day mean: on the API, and all of it on replicas of one's own (economics.md 2 and 10)."""
    day = verdict["usage_date"]
    settled = verdict["status"] != "not_settled"
    needed = ("demand_tokens_per_day", "api_price_rc_per_mtok", "capacity_tokens_per_replica_hour", "replica_cost_rc")
    declared = [row for row in valid_on(day, deployments) if row["deployment_id"] == verdict["deployment_id"]]
    if not declared or any(verdict[name] is None for name in needed):
        return CostDay(day=day, api_cost=None, self_host_cost=None, is_settled=settled)
    tokens = Fraction(repr(verdict["demand_tokens_per_day"]))
    room = Fraction(repr(verdict["capacity_tokens_per_replica_hour"])) * 24
    count = max(1, int(declared[0]["minimum_replicas"]), math.ceil(tokens / room)) + int(declared[0]["spare_replicas"])
    own = Fraction(verdict["fixed_cost_rc"]) + count * Fraction(verdict["replica_cost_rc"])
    # What of a commitment the rest leaves unused is due on either side.
    committed = Fraction(verdict["api_committed_cost_rc"] or 0) / verdict["window_days_count"]
    return CostDay(
        day=day,
        api_cost=max(committed, tokens * Fraction(verdict["api_price_rc_per_mtok"]) / 1_000_000),
        self_host_cost=committed + own / verdict["window_days_count"],
        is_settled=settled,
    )


def _fold(days: list[dict[str, Any]], rule: AlertRule) -> list[dict[str, Any]]:
    start = AlertState(side=_first_side(days))
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
