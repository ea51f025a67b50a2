"""The GPU bill line by line: a pool's ready time cut at its work, at what that needs and at what is kept beside it."""

import math
from collections import defaultdict
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

from tests.oracle.engines import Claim
from tests.oracle.gpu_time import pieces
from tests.oracle.landed import Project
from tests.oracle.money import money, split
from tests.oracle.rules import allowance, deployment_of_engine, in_force
from tests.oracle.served import ServedHour
from tests.oracle.spool import HOUR_MS, Spool, day_of

Rows = dict[tuple[Any, ...], dict[str, Any]]
_READY = ("serving", "loaded_idle")
_IN_ONE_PIECE = "useful_or_headroom"


def waste_rows(
    project: Project,
    spool: Spool,
    claims: dict[tuple[str, str], list[Claim]],
    engine_names: set[tuple[date, str, str, str]],
    served: dict[ServedHour, list[int]],
    costs: Rows,
) -> Rows:
    """fct_gpu_waste_daily, without its sentences, of fct_gpu_costs_daily. Nothing of the demo may be switched off."""
    if any(one.get("rent") for one in project.config["deployments"]):
        raise ValueError("a declared rent: tests/decisions/test_gpu_waste.py has those")
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
    for (day, issuer, account, name, _, measure, currency), whole in pooled.items():
        parts = _day(project, name, day, ready, tokens)
        times = split(whole["gpu_milliseconds"], parts)
        amounts = {
            column: None if whole[column] is None else split(int(whole[column] * 10**18), parts)
            for column in ("realized_cost", "realized_cost_rc")
        }
        for line in parts:
            rows[day, issuer, account, name, line, measure, currency] = {
                "gpu_milliseconds": times[line],
                **{column: None if found is None else money(found[line]) for column, found in amounts.items()},
            }
    return rows


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
) -> dict[str, int]:
    """Line -> GPU-milliseconds of the day, whole ones, in the order of their names."""
    declared = [one for one in in_force(project.config["deployments"], day) if one["deployment"] == name]
    hours = [datetime(day.year, day.month, day.day, hour, tzinfo=UTC) for hour in range(24)]
    if not declared or name is None or not any(ready.get((name, at)) for at in hours):
        return {_IN_ONE_PIECE: 1}
    exact: dict[str, Fraction] = defaultdict(Fraction)
    for at in hours:
        for line, milliseconds in _hour(declared[0], ready.get((name, at), 0), tokens.get((name, at))).items():
            exact[line] += milliseconds
    lines = ("useful", "headroom", "failover_reserve", "over_provisioned", _IN_ONE_PIECE)
    whole = {line: math.floor(exact[line]) for line in lines}
    left = int(sum(exact.values())) - sum(whole.values())
    for line in sorted(lines, key=lambda line: whole[line] - exact[line])[:left]:
        whole[line] += 1
    return {line: whole[line] for line in sorted(lines) if whole[line]}


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
