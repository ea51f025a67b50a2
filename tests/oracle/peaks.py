"""Peaks inside the hour, as far as the demo shows any: its engines are read too rarely for a minute to be seen.

`tests/models/test_demand_peaks.py` recounts minutes that can be seen.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from tests.oracle.engines import Interval
from tests.oracle.landed import Project
from tests.oracle.rules import allowance, deployment
from tests.oracle.served import ServedHour
from tests.oracle.spool import HOUR_MS

Rows = dict[tuple[Any, ...], dict[str, Any]]

_WEEK = timedelta(days=7)
_WINDOW = timedelta(days=28)


def peak_rows(found: list[Interval], hours: Mapping[ServedHour, list[int]], *, days: list[date]) -> Rows:
    """fct_demand_peaks_weekly: hours that were served, none of them seen by the minute. ValueError if one was."""
    _refuse_minutes(found)
    served: dict[tuple[date, str, str], set[datetime]] = defaultdict(set)
    for hour, (tokens, _) in hours.items():
        sunday = hour.hour_at.date() + timedelta(days=6 - hour.hour_at.weekday())
        if hour.deployment_id is not None and tokens and sunday in days:
            served[sunday, hour.deployment_id, hour.workload].add(hour.hour_at)
    return {
        key: {
            "week_from_date": key[0] - timedelta(days=6),
            "served_hours_count": len(known),
            "minute_hours_count": 0,
            "queued_hours_count": 0,
            "busy_hours_count": 0,
            **dict.fromkeys(
                (
                    "longest_gap_milliseconds",
                    "work_method",
                    "p99_minute_to_hour_ppm",
                    "mean_replica_count",
                    "overflow_within_hours_ppm",
                )
            ),
        }
        for key, known in served.items()
    }


def _refuse_minutes(found: list[Interval]) -> None:
    watched: dict[tuple[Any, ...], int] = defaultdict(int)
    for one in found:
        if one.is_timed and one.to_ms - one.from_ms <= 75_000:
            for hour in range(one.from_ms // HOUR_MS, (one.to_ms - 1) // HOUR_MS + 1):
                inside = min(one.to_ms, (hour + 1) * HOUR_MS) - max(one.from_ms, hour * HOUR_MS)
                watched[one.scrape.host, one.scrape.target, one.scrape.served_name, hour] += inside
    seen = [key for key, milliseconds in watched.items() if milliseconds >= HOUR_MS // 2]
    if seen:
        raise ValueError(f"{seen[0]} was read by the minute: the oracle does not recount minutes")


def allowance_rows(project: Project, tables: Mapping[str, Rows], *, days: list[date]) -> Rows:
    """fct_peak_allowances_daily, without its sentences: declared or assumed, since nothing was measured."""
    settled = {
        key[0]
        for key, row in tables["fct_day_status_daily"].items()
        if row["status"] == "settled" and not row["blocked_count"]
    }
    rows: Rows = {}
    for day in days:
        for workload in project.config["workloads"]:
            name = workload["deployment"]
            declared = None if name is None else deployment(project, name)["capacity"]
            if declared is None:
                continue
            weeks = [
                key
                for key in tables["fct_demand_peaks_weekly"]
                if key[1:] == (name, workload["workload"])
                and day - _WINDOW < key[0] <= day
                and all(key[0] - timedelta(days=back) in settled for back in range(_WEEK.days))
            ]
            sunday = max(weeks, default=None)
            week = {} if sunday is None else tables["fct_demand_peaks_weekly"][sunday]
            rows[day, workload["workload"]] = {
                "deployment_id": name,
                "peak_allowance_ratio": allowance(declared),
                "peak_allowance_basis": "assumed" if declared["peak_allowance"] is None else "declared",
                "measured_allowance_ratio": None,
                "week_from_date": week.get("week_from_date"),
                "week_served_hours_count": week.get("served_hours_count"),
                "week_minute_hours_count": week.get("minute_hours_count"),
                "p99_minute_to_hour_ppm": None,
                "overflow_within_hours_ppm": None,
            }
    return rows
