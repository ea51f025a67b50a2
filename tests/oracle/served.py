"""Tokens that our own engines served, by deployment and workload."""

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tests.oracle.engines import HourTokens
from tests.oracle.landed import Project
from tests.oracle.rules import deployment, deployment_of_engine, served_owner
from tests.oracle.spool import HOUR_MS, day_of

Rows = dict[tuple[Any, ...], dict[str, Any]]


class ServedHour(NamedTuple):
    """Whose tokens an hour's are. Ordered as fct_demand_hourly's hour, without a lane."""

    hour_at: datetime
    deployment_id: str | None
    workload: str
    model: str
    token_class: str


def served_hours(project: Project, tokens: dict[HourTokens, list[int]]) -> dict[ServedHour, list[int]]:
    """[tokens, of which untimed] by hour, deployment, workload, model and class."""
    hours: dict[ServedHour, list[int]] = defaultdict(lambda: [0, 0])
    for cell, (count, untimed) in tokens.items():
        day = day_of(cell.hour * HOUR_MS)
        found = deployment_of_engine(project, host=cell.host, served_name=cell.served_name, day=day)
        model = cell.served_name if found is None else deployment(project, found)["model"]
        owner = served_owner(project, served_name=cell.served_name, deployment=found, model=model)
        hour_at = datetime.fromtimestamp(cell.hour * 3600, tz=UTC)
        sums = hours[ServedHour(hour_at, found, owner.workload, model, cell.token_class)]
        sums[0] += count
        sums[1] += untimed
    return hours


def served_days(hours: dict[ServedHour, list[int]]) -> Rows:
    """fct_self_host_tokens_daily."""
    rows: Rows = {}
    for hour, (count, untimed) in hours.items():
        key = (hour.hour_at.date(), hour.deployment_id, hour.workload, hour.model, hour.token_class)
        row = rows.setdefault(key, {"tokens": 0, "of_which_untimed_tokens": 0})
        row["tokens"] += count
        row["of_which_untimed_tokens"] += untimed
    return rows


def served_demand(hours: dict[ServedHour, list[int]]) -> tuple[Rows, Rows]:
    """The self-hosted half of fct_demand_hourly and fct_demand_daily."""
    hourly: Rows = {}
    daily: Rows = {}
    for hour, (count, _) in hours.items():
        served = (hour.workload, "self_host", hour.model, hour.token_class)
        by_hour = hourly.setdefault((hour.hour_at.date(), hour.hour_at, *served), {"tokens": 0, "shape_from": "meter"})
        by_hour["tokens"] += count
        by_day = daily.setdefault((hour.hour_at.date(), *served), {"tokens": 0, "evidence": "hourly"})
        by_day["tokens"] += count
    return hourly, daily
