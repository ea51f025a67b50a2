"""The GPU bill line by line: a pool's ready time cut at its work, at what that needs and at what is kept beside it; and
what of each line could come back as cash.
"""

import math
from collections import defaultdict
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

from tests.oracle.engines import Claim
from tests.oracle.gpu_bills import GpuFigures
from tests.oracle.gpu_time import pieces
from tests.oracle.landed import Project
from tests.oracle.money import money, split
from tests.oracle.rules import allowance, deployment_of_engine, in_force
from tests.oracle.served import ServedHour
from tests.oracle.spool import HOUR_MS, Spool, day_of

Rows = dict[tuple[Any, ...], dict[str, Any]]
_READY = ("serving", "loaded_idle")
_IN_ONE_PIECE = "useful_or_headroom"
_TOO_MUCH = "over_provisioned"
_KEPT = (
    "useful", "headroom", "failover_reserve", "starting", "held_other", "tax", "credit", "overhead", "per_use",
)  # fmt: skip


def waste_rows(
    project: Project,
    spool: Spool,
    claims: dict[tuple[str, str], list[Claim]],
    engine_names: set[tuple[date, str, str, str]],
    served: dict[ServedHour, list[int]],
    gpu: GpuFigures,
    idle_runs: Rows,
) -> Rows:
    """fct_gpu_waste_daily, without its sentences, of fct_gpu_costs_daily and fct_idle_runs_daily.

    Nothing of the demo may be switched off, and none of its resources is under a commitment.
    """
    if any(one.get("rent") for one in project.config["deployments"]):
        raise ValueError("a declared rent: tests/decisions/test_gpu_waste.py has those")
    if any(one.get("committed_until") for one in project.config["gpu_resources"]):
        raise ValueError("a commitment: tests/decisions/test_gpu_waste.py has those")
    costs = gpu.costs
    units = _largest_held(gpu)
    ready = _ready(project, spool, claims, engine_names)
    tokens: dict[tuple[str, datetime], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for hour, (count, _) in served.items():
        if hour.deployment_id is not None:
            tokens[hour.deployment_id, hour.hour_at][hour.token_class] += count
    rows: Rows = {}
    pooled: dict[tuple[Any, ...], dict[str, Any]] = {}
    for (day, issuer, account, _, name, state, measure, currency), row in costs.items():
        key = (day, issuer, account, name, state, measure, currency)
        _add(pooled if state in _READY else rows, (*key[:4], "ready", *key[5:]) if state in _READY else key, row)
    nobodys = _held_by_nobody(gpu, idle_runs)
    for (day, issuer, _, name, line, measure, _), row in rows.items():
        own = nobodys.get((day, issuer, measure, name)) if line == "unallocated" else None
        row |= _cash(row, line, measure, Fraction(0) if line == "unallocated" and own is None else own)
    for (day, issuer, account, name, _, measure, currency), whole in pooled.items():
        parts, whole_part = _day(project, name, day, ready, tokens, units.get((day, name)))
        times = split(whole["gpu_milliseconds"], parts)
        amounts = {
            column: None if whole[column] is None else split(int(whole[column] * 10**18), parts)
            for column in ("realized_cost", "realized_cost_rc")
        }
        for line in parts:
            row = {
                "gpu_milliseconds": times[line],
                **{column: None if found is None else money(found[line]) for column, found in amounts.items()},
            }
            back = None if row["realized_cost"] is None or whole_part is None else row["realized_cost"] * whole_part
            row |= _cash(row, line, measure, back if line == _TOO_MUCH else None)
            rows[day, issuer, account, name, line, measure, currency] = row
    return rows


def _largest_held(gpu: GpuFigures) -> dict[tuple[date, str | None], int | None]:
    """(day, deployment) -> GPUs of the largest resource on which it was ready; None where one does not say its GPUs."""
    held: dict[tuple[date, str | None], list[int | None]] = defaultdict(list)
    for day, issuer, _, resource_id, name, state, _, _ in gpu.costs:
        if state in _READY:
            held[day, name].append(gpu.gpu_counts[day, issuer, resource_id])
    return {
        key: None if None in counts else max(count for count in counts if count is not None)
        for key, counts in held.items()
    }


def _held_by_nobody(gpu: GpuFigures, idle_runs: Rows) -> dict[tuple[date, str, str, str | None], Fraction | None]:
    """(day, issuer, measure, deployment) -> what whole resources that nobody held cost."""
    runs = {
        (day, host, uuid, from_at): (
            (day, row["issuer"], row["resource_id"]),
            row["of_which_unallocated_resource_milliseconds"],
            row["gpu_milliseconds"] - row["of_which_loaded_milliseconds"],
        )
        for (day, host, uuid, from_at, _, _), row in idle_runs.items()
    }
    whole: dict[tuple[date, str, str], int] = defaultdict(int)
    watched: dict[tuple[date, str, str], int] = defaultdict(int)
    for resource, of_whole, free in runs.values():
        whole[resource] += of_whole
        watched[resource] += free
    billed: dict[tuple[date, str, str], int] = defaultdict(int)
    for (day, issuer, _, resource_id, _, state, _, _), cost in gpu.costs.items():
        if state == "unallocated":
            billed[day, issuer, resource_id] += cost["gpu_milliseconds"] or 0
    found: dict[tuple[date, str, str, str | None], Fraction | None] = {}
    for (day, issuer, _, resource_id, name, state, measure, _), cost in gpu.costs.items():
        if state != "unallocated":
            continue
        at, key = (day, issuer, resource_id), (day, issuer, measure, name)
        if cost["realized_cost"] is None or gpu.gpu_counts[at] is None:
            found[key] = None
            continue
        time = max(billed[at], watched[at])
        own = cost["realized_cost"] * Fraction(whole[at], time) if time else Fraction(0)
        before = found.get(key, Fraction(0))
        found[key] = None if before is None else before + own
    return found


def _cash(row: dict[str, Any], line: str, measure: str, back: Fraction | None) -> dict[str, Any]:
    """`back`: what could come back of a line of which something could, before it is cut to whole quanta."""
    cost, cost_rc = row["realized_cost"], row["realized_cost_rc"]
    nothing: dict[str, Any] = {"committed_until_date": None}
    if measure == "effective" or line in _KEPT or (cost is not None and cost <= 0) or back == 0:
        return nothing | {"cash_recoverable_cost": Fraction(0), "cash_recoverable_cost_rc": Fraction(0)}
    if cost is None or back is None:
        return nothing | {"cash_recoverable_cost": None, "cash_recoverable_cost_rc": None}
    cash = money(math.floor(back * 10**18))
    return nothing | {
        "cash_recoverable_cost": cash,
        "cash_recoverable_cost_rc": None if cost_rc is None else money(math.floor(cost_rc * cash / cost * 10**18)),
    }


def _add(rows: Rows, key: tuple[Any, ...], cost: dict[str, Any]) -> None:
    row = rows.setdefault(
        key, {"gpu_milliseconds": None, "realized_cost": Fraction(0), "realized_cost_rc": Fraction(0)}
    )
    if cost["gpu_milliseconds"] is not None:
        row["gpu_milliseconds"] = (row["gpu_milliseconds"] or 0) + cost["gpu_milliseconds"]
    for column in ("realized_cost", "realized_cost_rc"):
        is_known = row[column] is not None and cost[column] is not None
        row[column] = row[column] + cost[column] if is_known else None


def _ready(
    project: Project,
    spool: Spool,
    claims: dict[tuple[str, str], list[Claim]],
    engine_names: set[tuple[date, str, str, str]],
) -> dict[tuple[str, datetime], int]:
    """(deployment, hour) -> GPU-milliseconds in which an engine of it was loaded or serving."""
    owners: dict[tuple[date, str, str], set[str | None]] = defaultdict(set)
    for day, host, target, name in engine_names:
        owners[day, host, target].add(deployment_of_engine(project, host=host, served_name=name, day=day))
    ready: dict[tuple[str, datetime], int] = defaultdict(int)
    for place, runs in spool.runs.items():
        for from_ms, to_ms, target, state in pieces(runs, claims.get((place.host, place.gpu_uuid), [])):
            if state not in _READY or target is None:
                continue
            for hour in range(from_ms // HOUR_MS, (to_ms - 1) // HOUR_MS + 1):
                found = owners[day_of(hour * HOUR_MS), place.host, target] - {None}
                if len(found) == 1:
                    part = min(to_ms, (hour + 1) * HOUR_MS) - max(from_ms, hour * HOUR_MS)
                    ready[next(iter(found)) or "", datetime.fromtimestamp(hour * 3600, tz=UTC)] += part
    return ready


def _day(
    project: Project,
    name: str | None,
    day: date,
    ready: dict[tuple[str, datetime], int],
    tokens: dict[tuple[str, datetime], dict[str, int]],
    largest_held: int | None,
) -> tuple[dict[str, int], Fraction | None]:
    """Line -> GPU-milliseconds of the day, whole ones, in the order of their names; and of what is too much, the part
    that whole replicas and whole resources are.
    """
    declared = [one for one in in_force(project.config["deployments"], day) if one["deployment"] == name]
    hours = [datetime(day.year, day.month, day.day, hour, tzinfo=UTC) for hour in range(24)]
    if not declared or name is None or not any(ready.get((name, at)) for at in hours):
        return {_IN_ONE_PIECE: 1}, None
    whole_units = Fraction(0)
    exact: dict[str, Fraction] = defaultdict(Fraction)
    for at in hours:
        for line, milliseconds in _hour(declared[0], ready.get((name, at), 0), tokens.get((name, at))).items():
            exact[line] += milliseconds
            if line == _TOO_MUCH and largest_held is not None:
                whole_units += _whole(milliseconds, HOUR_MS * max(declared[0]["gpus_per_replica"], largest_held))
    lines = ("useful", "headroom", "failover_reserve", "over_provisioned", _IN_ONE_PIECE)
    whole = {line: math.floor(exact[line]) for line in lines}
    left = int(sum(exact.values())) - sum(whole.values())
    for line in sorted(lines, key=lambda line: whole[line] - exact[line])[:left]:
        whole[line] += 1
    too_much = exact[_TOO_MUCH]
    return (
        {line: whole[line] for line in sorted(lines) if whole[line]},
        None if largest_held is None or not too_much else whole_units / too_much,
    )


def _whole(time: Fraction, unit: int) -> Fraction:
    """Units taken off one after the other, as long as nearly a whole one is left."""
    left = time
    while left and 100 * left >= 95 * unit:
        left -= min(left, Fraction(unit))
    return time - left


def _hour(declared: dict[str, Any], ready: int, tokens: dict[str, int] | None) -> dict[str, Fraction]:
    """The stretch from 0 to `ready`, cut at the work, at the end of the replicas it needs, and of those kept beside."""
    capacity = declared["capacity"]
    if not capacity or tokens is None:
        return {_IN_ONE_PIECE: Fraction(ready)}
    prefill = Fraction(capacity["prefill_tokens_per_second"])
    rates = {
        "input_uncached": prefill,
        "input_cache_read": Fraction(capacity["cached_tokens_per_second"]),
        "output": Fraction(capacity["decode_tokens_per_second"]),
    }
    seconds = sum((count / rates[name] for name, count in tokens.items()), Fraction(0))
    replica = declared["gpus_per_replica"] * HOUR_MS
    asked = math.ceil(seconds / (3600 * allowance(capacity)))
    worked = seconds * 1000 * declared["gpus_per_replica"]
    needed = max(worked, Fraction(max(declared["minimum_replicas"], asked) * replica))
    cuts = [Fraction(0), worked, needed, needed + declared["spare_replicas"] * replica]
    ends = [min(cut, Fraction(ready)) for cut in cuts] + [Fraction(ready)]
    lines = ("useful", "headroom", "failover_reserve", "over_provisioned")
    return {line: end - start for line, start, end in zip(lines, ends, ends[1:], strict=False)}
