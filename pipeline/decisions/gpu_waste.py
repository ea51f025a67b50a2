"""Node `fct_gpu_waste_daily`: the GPU bill line by line, with the ready time of each pool split into what it bought.

A pool is a deployment. What its engines were serving or loaded for is split, hour by hour, into useful work, headroom,
a declared reserve, too many replicas and what could have been off: economics.md 6, computed in
`pipeline.economics.idle_breakdown`. Each day's money of these states follows its hours, to the last quantum; all other
states, and lines of the bill that are no GPU's, stay what they are: together they are the bill. Beside what each line
cost stands what of it could come back as cash, and until when its GPUs are committed.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.decisions.capacities import declared_capacity, why_impossible
from pipeline.decisions.gpu_cash import READ_FREE, READ_TIMES, Resources, bills_of, money, quanta
from pipeline.decisions.gpu_types import gpu_types
from pipeline.decisions.loads import HOURS_PER_DAY, READ_SERVED, HourlyTokens, served_by_deployment
from pipeline.decisions.window import Row, Rows, valid_on
from pipeline.economics.cash_recoverable import whole_unit_time
from pipeline.economics.idle_breakdown import (
    OVER_PROVISIONED,
    PARTS,
    SCALE_TO_ZERO,
    USEFUL_OR_HEADROOM,
    PoolHour,
    PoolRule,
    Time,
    idle_breakdown,
)
from pipeline.economics.roofline import GpuType
from pipeline.economics.split import split_exactly
from pipeline.economics.work import Capacity, WorkScale, replica_hour_work_seconds, work_scale

_HOUR_MS = 3_600_000
_COSTS, _HOURS, _ENGINES = "fct_gpu_costs_daily", "int_gpu_states_hourly", "int_engine_deployments_daily"
_SERVED, _TIMES, _FREE = "int_self_host_tokens_hourly", "int_gpu_resource_time_daily", "fct_idle_runs_daily"
_UNDATED = ("config_deployments", "config_rents", "gpu_types")
INPUTS = (*_UNDATED, _COSTS, _HOURS, _ENGINES, _SERVED, _TIMES, _FREE)
READS: Mapping[str, str] = {
    # Only a line whose every part has a price has one.
    _COSTS: """
        select
            usage_date, issuer, account, resource_id, deployment_id,
            case when state in ('serving', 'loaded_idle') then 'ready' else state end as line,
            cost_measure, billing_currency,
            cast(sum(gpu_milliseconds) as bigint) as gpu_milliseconds,
            case when count(*) = count(realized_cost) then cast(sum(realized_cost) as decimal(38, 18)) end
                as realized_cost,
            case when count(*) = count(realized_cost_rc) then cast(sum(realized_cost_rc) as decimal(38, 18)) end
                as realized_cost_rc
        from fct_gpu_costs_daily
        group by all""",
    _HOURS: """
        select usage_date, usage_hour_at, host, target, cast(sum(gpu_milliseconds) as bigint) as ready_milliseconds
        from int_gpu_states_hourly
        where state in ('serving', 'loaded_idle')
        group by usage_date, usage_hour_at, host, target""",
    _ENGINES: """
        select
            usage_date, host, target,
            case when count(distinct deployment_id) = 1 then min(deployment_id) end as deployment_id
        from int_engine_deployments_daily
        group by usage_date, host, target""",
    _SERVED: READ_SERVED,
    _TIMES: READ_TIMES,
    _FREE: READ_FREE,
}
PREPARE: Mapping[str, Any] = {
    **dict.fromkeys((*_UNDATED, _COSTS, _HOURS, _ENGINES, _TIMES, _FREE), pl.DataFrame.to_dicts),
    _SERVED: served_by_deployment,
}
_MONEY = pl.Decimal(38, 18)
SCHEMA: Mapping[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "issuer": pl.String(),
    "account": pl.String(),
    "deployment_id": pl.String(),
    "line": pl.String(),
    "cost_measure": pl.String(),
    "billing_currency": pl.String(),
    "gpu_milliseconds": pl.Int64(),
    "realized_cost": _MONEY,
    "realized_cost_rc": _MONEY,
    "cash_recoverable_cost": _MONEY,
    "cash_recoverable_cost_rc": _MONEY,
    "committed_until_date": pl.Date(),
    "reason": pl.String(),
}
_AMOUNTS = ("realized_cost", "realized_cost_rc")


def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
    """One row per issuer, account, deployment, line, measure and currency of the partition's day.

    `line`: a part of a pool's ready time, or the state or kind of all else that is billed.
    `cash_recoverable_cost`: what a bill would fall by if the line's whole billing units had been given back; 0 where
    nothing could be, None where nobody knows.
    `committed_until_date`: the latest day to which one of its GPUs is committed; None: none is.
    `reason`: why a pool's ready time stays in one piece.
    """
    day: date = inputs["this_partition"]["from_date"][0]
    bills = bills_of(inputs[_COSTS].get(day, ()))
    resources = Resources(inputs[_TIMES].get(day, ()), inputs[_FREE].get(day, ()), bills)
    pools = _Pools(day, inputs, resources)
    rows: list[dict[str, Any]] = []
    for bill in bills:
        if bill.whole["line"] == "ready":
            pool = pools.of(bill.whole["deployment_id"])
            lines, shares = list(_split(bill.whole, pool)), pool.whole_shares
        else:
            lines, shares = [dict(bill.whole) | {"reason": None}], {}
        rows.extend(line | resources.figures(bill, line, shares.get(line["line"])) for line in lines)
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


@dataclass(frozen=True)
class _Pool:
    """A deployment's ready time of a day by part, in GPU-milliseconds, and why it is not told apart where it is not.

    `whole_shares`: of parts that could be given back, how much of their time whole billing units are; None: unknown.
    """

    weights: Mapping[str, int]
    reason: str | None
    whole_shares: Mapping[str, Fraction | None] = field(default_factory=dict)


class _Pools:
    """The deployments of one day, each split once."""

    def __init__(self, day: date, inputs: Mapping[str, Any], resources: Resources) -> None:
        self._day = day
        self._inputs = inputs
        self._resources = resources
        self._declared = {row["deployment_id"]: row for row in valid_on(day, inputs["config_deployments"])}
        self._rents = {row["deployment_id"]: row for row in valid_on(day, inputs["config_rents"])}
        self._ready = _ready_by_deployment(inputs[_HOURS].get(day, ()), inputs[_ENGINES].get(day, ()))
        self._found: dict[str | None, _Pool] = {}

    def of(self, name: str | None) -> _Pool:
        if name not in self._found:
            self._found[name] = self._pool(name)
        return self._found[name]

    def _pool(self, name: str | None) -> _Pool:
        deployment = None if name is None else self._declared.get(name)
        if name is None or deployment is None:
            return _Pool({USEFUL_OR_HEADROOM: 1}, "of no declared deployment")
        ready = self._ready.get(name)
        if ready is None:
            return _Pool({USEFUL_OR_HEADROOM: 1}, "no hour of its engines alone is known")
        served = self._inputs[_SERVED].get(self._day, {}).get(name)
        capacity = declared_capacity(deployment)
        types = gpu_types(self._inputs["gpu_types"]) if deployment["gpu_type"] is not None else {}
        reason = _why_unknown(capacity, deployment, served, types)
        weights, whole_shares = _weights(
            deployment,
            self._rents.get(name),
            ready,
            served,
            None if reason else capacity,
            self._resources.largest(name),
        )
        if reason is None and USEFUL_OR_HEADROOM in weights:
            reason = "of some hours nobody counted the tokens"
        return _Pool(weights, reason if USEFUL_OR_HEADROOM in weights else None, whole_shares)


def _ready_by_deployment(hours: Rows, engines: Rows) -> dict[str, list[int]]:
    """GPU-milliseconds in which its engines were loaded or serving, of each hour of the day."""
    owners = {(row["host"], row["target"]): row["deployment_id"] for row in engines}
    ready: dict[str, list[int]] = defaultdict(lambda: [0] * HOURS_PER_DAY)
    for row in hours:
        owner = owners.get((row["host"], row["target"]))
        if owner is not None:
            ready[owner][row["usage_hour_at"].hour] += row["ready_milliseconds"]
    return ready


def _why_unknown(
    capacity: Capacity | None, deployment: Row, served: HourlyTokens | None, types: Mapping[str, GpuType]
) -> str | None:
    """A best hour seen is no capacity: what a replica could have done beyond it is what is asked."""
    if capacity is None:
        return "no capacity of it is declared or measured"
    mix = {} if served is None else served.by_class
    return why_impossible(capacity, deployment=deployment, mix=mix, types=types)


def _weights(
    deployment: Row,
    rent: Row | None,
    ready: Sequence[int],
    served: HourlyTokens | None,
    capacity: Capacity | None,
    largest_resource: int | None,
) -> tuple[dict[str, int], dict[str, Fraction | None]]:
    """The day's ready time by part, in whole GPU-milliseconds; and of parts that are too much, the share of their time
    that whole billing units are. `largest_resource`: GPUs that are billed as one; None where nobody says how many.
    """
    tokens = (None,) * HOURS_PER_DAY if served is None else served.hours
    gpus = int(deployment["gpus_per_replica"])
    scale, per_hour = WorkScale((), 1), None
    if capacity is not None:
        scale = work_scale(classes=frozenset() if served is None else served.classes, capacity=capacity)
        per_hour = Fraction(replica_hour_work_seconds(capacity)) * 1000 * gpus * scale.units_per_replica_second
    # In GPU-milliseconds times the units of a replica-second: all of it in whole numbers.
    units = scale.units_per_replica_second
    hours = [
        PoolHour(ready=of_hour * units, work=_work(counted, scale if capacity is not None else None, gpus))
        for of_hour, counted in zip(ready, tokens, strict=True)
    ]
    minutes = None if rent is None else rent["warm_up_minutes"]
    rule = PoolRule(
        replica_hour=_HOUR_MS * gpus * units,
        work_per_replica_hour=per_hour,
        minimum_replicas=int(deployment["minimum_replicas"]),
        spare_replicas=int(deployment["spare_replicas"]),
        hours_to_come_back=None if minutes is None else Fraction(minutes, 60),
    )
    found = idle_breakdown(hours, rule)
    totals: dict[str, int] = defaultdict(int)
    for parts in found:
        for name, part in parts.items():
            totals[name] += int(part)
    unit = None if largest_resource is None else _HOUR_MS * units * max(gpus, largest_resource)
    shares = {
        name: None if unit is None else _whole_share([parts.get(name, 0) for parts in found], unit)
        for name in (OVER_PROVISIONED, SCALE_TO_ZERO)
        if totals[name]
    }
    return _in_whole(totals, units) or {USEFUL_OR_HEADROOM: 1}, shares


def _whole_share(hours: Sequence[Time], unit: int) -> Fraction:
    return Fraction(sum(whole_unit_time(time, unit) for time in hours)) / Fraction(sum(hours))


def _work(tokens: Mapping[str, int] | None, scale: WorkScale | None, gpus: int) -> int | None:
    """None where nobody counted; without a capacity all that is known is whether there was any."""
    if tokens is None:
        return None
    if not any(tokens.values()):
        return 0
    return None if scale is None else scale.units([tokens])[0] * 1000 * gpus


def _in_whole(parts: Mapping[str, int], units: int) -> dict[str, int]:
    """Parts in units of which `units` make one; the whole ones left over go to the largest remainders."""
    whole = {name: part // units for name, part in parts.items()}
    left = sum(parts.values()) // units - sum(whole.values())
    for name in sorted(parts, key=lambda name: (-(parts[name] % units), PARTS.index(name)))[:left]:
        whole[name] += 1
    return {name: part for name, part in whole.items() if part}


def _split(bill: Row, pool: _Pool) -> Iterator[dict[str, Any]]:
    """What one bill has of a pool's ready time, by part."""
    names = sorted(pool.weights)
    weights = [pool.weights[name] for name in names]
    times = split_exactly(bill["gpu_milliseconds"], weights, names)
    amounts = {column: _money_split(bill[column], weights, names) for column in _AMOUNTS}
    for place, name in enumerate(names):
        yield dict(bill) | {
            "line": name,
            "gpu_milliseconds": times[place],
            **{column: amounts[column][place] for column in _AMOUNTS},
            "reason": pool.reason if name == USEFUL_OR_HEADROOM else None,
        }


def _money_split(cost: Decimal | None, weights: Sequence[int], names: Sequence[str]) -> Sequence[Decimal | None]:
    if cost is None:
        return [None] * len(names)
    return [money(part) for part in split_exactly(quanta(cost) or 0, weights, names)]
