"""Runs of whole idle hours of each GPU within a day, and what they cost."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Any

from tests.oracle.engines import Claim
from tests.oracle.gpu_bills import GpuFigures
from tests.oracle.gpu_time import pieces
from tests.oracle.landed import Project
from tests.oracle.money import money
from tests.oracle.rates import Rates
from tests.oracle.spool import HOUR_MS, GpuPlace, Spool, day_of

Rows = dict[tuple[Any, ...], dict[str, Any]]
_IDLE = ("loaded_idle", "unallocated")


def idle_run_rows(
    project: Project, spool: Spool, claims: dict[tuple[str, str], list[Claim]], gpu: GpuFigures, *, days: set[date]
) -> Rows:
    """fct_idle_runs_daily. No resource of the demo is under a commitment."""
    if any(resource.get("committed_until") for resource in project.config["gpu_resources"]):
        raise ValueError("a commitment: tests/models/test_idle_runs.py has those")
    if any(resource.get("scope", "serving") != "serving" for resource in project.config["gpu_resources"]):
        raise ValueError("a scope: tests/models/test_gpu_costs.py has those")
    rates = Rates(project)
    hours = _idle_hours(spool, claims, days=days)
    together: dict[tuple[str, str, int], int] = defaultdict(int)
    unheld: dict[tuple[str, str, int], int] = defaultdict(int)
    for (place, hour), (_, free) in hours.items():
        holder = gpu.held.get((day_of(hour * HOUR_MS), place))
        if holder is not None:
            together[holder.issuer, holder.resource_id, hour] += 1
            unheld[holder.issuer, holder.resource_id, hour] += 100 * free >= 95 * HOUR_MS
    watched: dict[tuple[date, GpuPlace], int] = defaultdict(int)
    for (place, hour), parts in hours.items():
        watched[day_of(hour * HOUR_MS), place] += sum(parts)
    rows: Rows = {}
    for place, run in _runs(hours):
        day = day_of(run[0] * HOUR_MS)
        holder = gpu.held.get((day, place))
        resource = None if holder is None else (holder.issuer, holder.resource_id)
        count = None if resource is None else gpu.gpu_counts.get((day, *resource))
        idle = sum(sum(hours[place, hour]) for hour in run)
        whole = sum(
            sum(hours[place, hour])
            for hour in run
            if resource is not None and count is not None and together[(*resource, hour)] >= count
        )
        nobodys = sum(
            hours[place, hour][1]
            for hour in run
            if resource is not None and count is not None and unheld[(*resource, hour)] >= count
        )
        row = {
            "to_at": _at(run[-1] + 1),
            "issuer": None if resource is None else resource[0],
            "resource_id": None if resource is None else resource[1],
            "gpu_milliseconds": idle,
            "of_which_loaded_milliseconds": sum(hours[place, hour][0] for hour in run),
            "of_which_whole_resource_milliseconds": whole,
            "of_which_unallocated_resource_milliseconds": nobodys,
            "committed_until_date": None,
        }
        costs = [] if resource is None else gpu.idle.get((day, *resource, place.gpu_uuid), [])
        for cost in costs:
            economic = cash = None
            if cost.quanta is not None:
                # All idle time that was watched costs no more than what idle time is billed.
                of_day = max(cost.milliseconds, watched[day, place])
                economic = money(cost.quanta * idle // of_day)
                spent = 0 if cost.cost_measure == "effective" else cost.quanta
                cash = money(spent * whole // of_day)
            rows[day, place.host, place.gpu_uuid, _at(run[0]), cost.cost_measure, cost.currency] = row | {
                "economic_cost": economic,
                "cash_recoverable_cost": cash,
                "economic_cost_rc": rates.convert(economic, cost.currency, day),
                "cash_recoverable_cost_rc": rates.convert(cash, cost.currency, day),
            }
        if not costs:
            nothing = ("economic_cost", "cash_recoverable_cost", "economic_cost_rc", "cash_recoverable_cost_rc")
            rows[day, place.host, place.gpu_uuid, _at(run[0]), None, None] = row | dict.fromkeys(nothing)
    return rows


def _idle_hours(
    spool: Spool, claims: dict[tuple[str, str], list[Claim]], *, days: set[date]
) -> dict[tuple[GpuPlace, int], tuple[int, int]]:
    """(GPU, hour) -> (loaded, free) milliseconds, of hours of which 95% were idle."""
    sums: dict[tuple[GpuPlace, int], list[int]] = defaultdict(lambda: [0, 0])
    for place, runs in spool.runs.items():
        for from_ms, to_ms, _, state in pieces(runs, claims.get((place.host, place.gpu_uuid), [])):
            for hour in range(from_ms // HOUR_MS, (to_ms - 1) // HOUR_MS + 1):
                if state in _IDLE:
                    part = min(to_ms, (hour + 1) * HOUR_MS) - max(from_ms, hour * HOUR_MS)
                    sums[place, hour][_IDLE.index(state)] += part
    return {
        (place, hour): (loaded, free)
        for (place, hour), (loaded, free) in sums.items()
        if 100 * (loaded + free) >= 95 * HOUR_MS and day_of(hour * HOUR_MS) in days
    }


def _runs(hours: dict[tuple[GpuPlace, int], tuple[int, int]]) -> Iterator[tuple[GpuPlace, list[int]]]:
    """Hours that follow each other on one day."""
    ordered = sorted(hours, key=lambda one: (one[0].host, one[0].gpu_uuid, one[1]))
    for place, of_place in groupby(ordered, key=lambda one: one[0]):
        found = enumerate(hour for _, hour in of_place)
        for _, run in groupby(found, key=lambda one: (one[1] - one[0], day_of(one[1] * HOUR_MS))):
            yield place, [hour for _, hour in run]


def _at(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * 3600, tz=UTC)
