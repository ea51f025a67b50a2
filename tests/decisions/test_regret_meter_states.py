"""The alert states under a regret meter, where breakeven.yaml declares one: money decides, not a ratio."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from pipeline.build.config_tables.frames import SCHEMAS
from pipeline.config.file import parse_config
from pipeline.decisions import alert_states
from pipeline.errors import ConfigError

FIRST = date(2026, 10, 1)


def verdict(day: int, **changes: Any) -> dict[str, Any]:
    """1M tokens a day at 50 per million; a replica of 10 a day serves 2.4M of them, overheads 5 a day."""
    return {
        "usage_date": FIRST + timedelta(days=day),
        "workload": "chat",
        "status": "decided",
        "current_lane": "api",
        "demand_ratio": 3.0,
        "breakeven_crossing_count": 1,
        "breakeven_first_tokens_per_day": 300_000.0,
        "deployment_id": "llama",
        "window_days_count": 28,
        "demand_tokens_per_day": 1_000_000.0,
        "api_price_rc_per_mtok": Decimal(50),
        "api_committed_cost_rc": Decimal(0),
        "capacity_tokens_per_replica_hour": 100_000.0,
        "replica_cost_rc": Decimal(280),
        "fixed_cost_rc": Decimal(140),
    } | changes


def told(verdicts: list[dict[str, Any]], one_off: int | None = 100) -> list[dict[str, Any]]:
    company: dict[str, Any] = dict.fromkeys(SCHEMAS["config_company"])
    company |= {"enter_ratio": Decimal("1.1"), "exit_ratio": Decimal("0.9"), "dwell_days": 7, "cooldown_days": 14}
    if one_off is not None:
        company |= {"regret_one_off_cost": Decimal(one_off), "regret_alpha": Decimal(1)}
    deployment = dict.fromkeys(SCHEMAS["config_deployments"]) | {
        "deployment_id": "llama",
        "minimum_replicas": 1,
        "spare_replicas": 0,
    }
    frames = {
        "config_company": pl.DataFrame([company], schema=SCHEMAS["config_company"]),
        "config_deployments": pl.DataFrame([deployment], schema=SCHEMAS["config_deployments"]),
        "int_demand_ratios_daily": pl.DataFrame(verdicts, infer_schema_length=None),
    }
    return alert_states.build(frames).to_dicts()


def test_the_meter_counts_what_each_day_on_the_other_side_would_have_saved() -> None:
    """50 on the API, 10 and 5 of one's own: 35 a day, so 100 is reached on the third day."""
    rows = told([verdict(day) for day in range(5)])
    assert [row["is_fired"] for row in rows] == [False, False, True, False, False]
    assert [row["state"] for row in rows] == ["api", "api", "self_host", "self_host", "self_host"]
    assert "70.00 of the 100.00 of moving" in rows[1]["reason"]
    assert [row["run_days_count"] for row in rows] == [1, 2, 0, 0, 0]


def test_more_traffic_than_a_replica_holds_takes_the_next_one() -> None:
    """3M tokens a day: 150 on the API against two replicas and overheads, 25: 125 a day."""
    (row,) = told([verdict(0, demand_tokens_per_day=3_000_000.0)], one_off=126)
    assert (row["is_fired"], "125.00 of the 126.00" in row["reason"]) == (False, True)


def test_what_is_committed_is_due_on_either_side() -> None:
    """40 a day whatever moves: 50 on the API against 40 and 15, so staying costs no more than moving."""
    rows = told([verdict(day, api_committed_cost_rc=Decimal(40 * 28)) for day in range(5)])
    assert {row["state"] for row in rows} == {"api"}
    # Of 30, the API's 50 stand against 45: 5 a day.
    (row,) = told([verdict(0, api_committed_cost_rc=Decimal(30 * 28))])
    assert "5.00 of the 100.00" in row["reason"]


def test_a_day_without_a_cost_or_not_settled_freezes_the_meter() -> None:
    gap = verdict(1, demand_tokens_per_day=None, demand_ratio=None)
    unsettled = verdict(2, status="not_settled")
    rows = told([verdict(0), gap, unsettled, verdict(3)])
    assert [row["is_frozen"] for row in rows] == [False, True, True, False]
    assert "70.00 of the 100.00" in rows[3]["reason"]


def test_without_a_meter_the_ratio_decides() -> None:
    rows = told([verdict(day) for day in range(8)], one_off=None)
    assert [row["is_fired"] for row in rows] == [False] * 6 + [True, False]


def test_the_meter_is_declared_with_what_moving_costs() -> None:
    config = parse_config("company: Acme\nalerts: {regret_meter: {one_off: 5000}}\n")
    assert config.alerts.regret_meter is not None
    assert (config.alerts.regret_meter.one_off, config.alerts.regret_meter.alpha) == (5000, 1)
    with pytest.raises(ConfigError, match="one_off"):
        parse_config("company: Acme\nalerts: {regret_meter: {alpha: 1}}\n")
    with pytest.raises(ConfigError, match="one_off"):
        parse_config("company: Acme\nalerts: {regret_meter: {one_off: 0}}\n")
