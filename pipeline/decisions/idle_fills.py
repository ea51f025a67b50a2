"""Node `fct_idle_fill_daily`: what of the traffic on an API would fit on replicas that are paid for and stand idle.

A workload may move to the deployment that breakeven.yaml names for it, unless it is pinned to the API. Hour by hour, of
the settled days of the last seven, beside what the replicas served in it; an hour that nobody watched takes nothing.
Of a workload moves what `movable_share` says, and takes `tokens_per_api_token` times the work of its API tokens.
What the bills under one commitment are above it is avoided once: by its workloads together, those of a deployment whose
name comes first going first, and of a deployment's the dearest.
Formulas: economics.md sections 0.4, 1, 4 and 10, computed in `pipeline.economics.idle_fill`.
"""

import math
from calendar import monthrange
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.decisions.capacities import declared_capacity
from pipeline.decisions.commitment_scopes import Scope, scopes_by_workload
from pipeline.decisions.loads import READ_SERVED, HourlyTokens, demand_by_workload, served_by_deployment, summed
from pipeline.decisions.window import READS as VERDICT_READS
from pipeline.decisions.window import Row, Window, status_row, valid_on, window_on
from pipeline.economics.exact import money_text, to_places
from pipeline.economics.idle_fill import Filled, IdleFill, Movable, idle_fill, release_beside_filling
from pipeline.economics.prices import avoidable
from pipeline.economics.scale_down import LoadHour
from pipeline.economics.work import Capacity, Provenance, WorkScale, replica_hour_work_seconds, work_scale

WINDOW_DAYS = 7
_MTOK = 1_000_000
_PLACES = 18
_DATED = ("fct_day_status_daily", "fct_demand_daily", "fct_demand_hourly", "int_self_host_tokens_hourly")
INPUTS = (
    "config_deployments",
    "config_workloads",
    "fct_commitment_scopes_daily",
    "fct_scale_downs_daily",
    "fct_verdicts_daily",
    *_DATED,
)
LOOKBACK = dict.fromkeys(_DATED, WINDOW_DAYS - 1)
READS: Mapping[str, str] = {
    "fct_day_status_daily": VERDICT_READS["fct_day_status_daily"],
    # Of tokens whose hour nobody says there are more than by the hour.
    "fct_demand_daily": """
        select usage_date, workload, cast(sum(tokens) as bigint) as tokens
        from fct_demand_daily
        where lane = 'api' and workload is not null
        group by usage_date, workload""",
    "fct_demand_hourly": """
        select usage_date, workload, usage_hour_at, token_class, cast(sum(tokens) as bigint) as tokens
        from fct_demand_hourly
        where lane = 'api'
        group by usage_date, workload, usage_hour_at, token_class""",
    "fct_scale_downs_daily": """
        select
            usage_date, deployment_id, status, reason, replica_count, replica_rc_per_hour, capacity_basis,
            capacity_source, capacity_tokens_per_replica_hour, safe_release_replica_count
        from fct_scale_downs_daily""",
    "fct_verdicts_daily": """
        select usage_date, workload, api_price_rc_per_mtok
        from fct_verdicts_daily
        where api_price_rc_per_mtok is not null""",
    "int_self_host_tokens_hourly": READ_SERVED,
}


def _demand(frame: pl.DataFrame) -> dict[str, HourlyTokens]:
    return demand_by_workload(frame.select("workload", "usage_hour_at", "token_class", "tokens"))


def _summed(frame: pl.DataFrame) -> dict[str, int]:
    """By workload."""
    return dict(frame.select("workload", "tokens").iter_rows())


def _prices(frame: pl.DataFrame) -> dict[str, Fraction]:
    """Of a token at the workload's own mix, by workload, of one day."""
    return {row["workload"]: Fraction(row["api_price_rc_per_mtok"]) / _MTOK for row in frame.to_dicts()}


PREPARE = {
    "config_deployments": pl.DataFrame.to_dicts,
    "config_workloads": pl.DataFrame.to_dicts,
    "fct_commitment_scopes_daily": scopes_by_workload,
    "fct_day_status_daily": status_row,
    "fct_demand_daily": _summed,
    "fct_demand_hourly": _demand,
    "fct_scale_downs_daily": pl.DataFrame.to_dicts,
    "fct_verdicts_daily": _prices,
    "int_self_host_tokens_hourly": served_by_deployment,
}

_MONEY = pl.Decimal(38, 18)
SCHEMA: Mapping[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "deployment_id": pl.String(),
    "workload": pl.String(),
    "status": pl.String(),
    "reason": pl.String(),
    "window_from_date": pl.Date(),
    "window_days_count": pl.Int64(),
    "watched_hours": pl.Int64(),
    "unobserved_hours": pl.Int64(),
    "replica_count": pl.Int64(),
    "spare_replica_count": pl.Int64(),
    "capacity_basis": pl.String(),
    "capacity_replica_seconds_per_hour": _MONEY,
    "api_tokens": pl.Int64(),
    "movable_share_ratio": _MONEY,
    "tokens_per_api_token": _MONEY,
    "movable_tokens": pl.Int64(),
    "api_replica_seconds": _MONEY,
    "api_price_rc_per_replica_second": _MONEY,
    "commitment": pl.String(),
    "api_committed_cost_rc": _MONEY,
    "api_headroom_cost_rc": _MONEY,
    "fit_hours": pl.Int64(),
    "fit_tokens": pl.Int64(),
    "fit_replica_seconds": _MONEY,
    "fit_tokens_per_day": pl.Float64(),
    "avoided_cost_rc": _MONEY,
    "avoided_rc_per_month": _MONEY,
    "avoided_alone_cost_rc": _MONEY,
    "avoided_under_commitment_cost_rc": _MONEY,
    "release_beside_replica_count": pl.Int64(),
    "fit_beside_release_tokens": pl.Int64(),
}


def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
    """One row per workload that may move to a deployment of the partition's day and has traffic on an API.

    movable_tokens: of the API's, those that may move; api_replica_seconds: the work they would be on a replica.
    avoided_cost_rc: of what its commitment's bills are above what is due, what those before it leave; without one all
    that fits. avoided_alone_cost_rc: were it alone to move; avoided_under_commitment_cost_rc: of all of its commitment.
    """
    day: date = inputs["this_partition"]["from_date"][0]
    window = window_on(inputs["fct_day_status_daily"], day)
    paid = {row["deployment_id"]: row for row in inputs["fct_scale_downs_daily"].get(day, ())}
    prices = inputs["fct_verdicts_daily"].get(day, {})
    demand = inputs["fct_demand_hourly"]
    workloads = sorted(valid_on(day, inputs["config_workloads"]), key=lambda row: str(row["workload"]))
    asked: list[_Asked] = []
    for deployment in sorted(valid_on(day, inputs["config_deployments"]), key=lambda row: str(row["deployment_id"])):
        name = str(deployment["deployment_id"])
        asking = [
            _Asking.of(
                workload,
                [demand.get(found, {}).get(workload["workload"], _NOTHING) for found in window.settled],
                sum(inputs["fct_demand_daily"].get(found, {}).get(workload["workload"], 0) for found in window.settled),
            )
            for workload in workloads
            if workload["deployment_id"] == name
        ]
        served = [inputs["int_self_host_tokens_hourly"].get(found, {}).get(name) for found in window.settled]
        with_traffic = [one for one in asking if one.api_tokens]
        asked.append(_asked(deployment, window, with_traffic, served, paid.get(name), prices))
    moving = [found.moving for found in asked if found.moving is not None]
    bills = _Bills.of(inputs["fct_commitment_scopes_daily"].get(day, {}), moving, days=len(window.settled))
    rows = [row for found in asked for row in _rows(found, window, bills)]
    return pl.DataFrame(bills.with_joint(rows), schema=dict(SCHEMA), orient="row")


_NOTHING = HourlyTokens(hours=({},) * 24, by_workload=Counter())


@dataclass(frozen=True)
class _Asking:
    """A workload that names the deployment, and its traffic on an API on the settled days: by the hour, and in all.

    `days`: what of it may move, of each class of each hour as many whole tokens as the share that is declared.
    """

    workload: Row
    api_tokens: int
    days: Sequence[HourlyTokens]
    all_tokens: int

    @classmethod
    def of(cls, workload: Row, days: Sequence[HourlyTokens], all_tokens: int) -> "_Asking":
        share = workload["movable_share_ratio"]
        moving = days if share is None else [_share_of(day, Fraction(share)) for day in days]
        return cls(workload, sum(summed(days).values()), moving, all_tokens)

    @property
    def name(self) -> str:
        return str(self.workload["workload"])

    @property
    def mix(self) -> dict[str, int]:
        return summed(self.days)

    @property
    def tokens(self) -> int:
        return sum(self.mix.values())

    @property
    def staying_tokens(self) -> int:
        """Those that may not move, and those whose hour nobody says, so that none of them is seen to fit."""
        return max(0, self.all_tokens - self.tokens)

    @property
    def own_per_api_token(self) -> Fraction:
        return Fraction(self.workload["tokens_per_api_token"] or 1)

    @property
    def has_quality(self) -> bool:
        """Whether it is declared how much of it own GPUs could serve, or how many tokens they need for it."""
        return self.workload["movable_share_ratio"] is not None or self.workload["tokens_per_api_token"] is not None


def _share_of(day: HourlyTokens, share: Fraction) -> HourlyTokens:
    hours = [
        None if tokens is None else {name: math.floor(count * share) for name, count in tokens.items()}
        for tokens in day.hours
    ]
    return HourlyTokens(hours=hours, by_workload=day.by_workload)


@dataclass(frozen=True)
class _Asked:
    """One deployment: the rows of all workloads that name it as far as they are known, and those that may move."""

    rows: Sequence[dict[str, Any]]
    asking: Sequence[_Asking]
    moving: "_Moving | None"


def _asked(
    deployment: Row,
    window: Window,
    asking: Sequence[_Asking],
    served: Sequence[HourlyTokens | None],
    paid: Row | None,
    prices: Mapping[str, Fraction],
) -> _Asked:
    common: dict[str, Any] = dict.fromkeys(SCHEMA) | {
        "usage_date": window.day,
        "deployment_id": deployment["deployment_id"],
        "window_from_date": min(window.settled, default=None),
        "window_days_count": len(window.settled),
        "spare_replica_count": int(deployment["spare_replicas"]),
    }
    why_not = _why_nothing_can(window, paid)
    capacity = None if why_not or paid is None else _capacity(deployment, paid)
    if paid is None or capacity is None:
        unknown = [common | _about(one) | {"status": "unknown", "reason": why_not} for one in asking]
        return _Asked(unknown, asking, None)
    common |= {"replica_count": paid["replica_count"], "capacity_basis": capacity.provenance.kind}
    rows = [common | _about(one) for one in asking]
    moving = []
    for row, one in zip(rows, asking, strict=True):
        refused = _why_it_cannot(one, capacity, deployment, served, prices)
        if refused is None:
            moving.append(one)
        else:
            row |= {"status": refused[0], "reason": refused[1]}
    found = _Moving.of(deployment, served, moving, capacity, paid, prices) if moving else None
    return _Asked(rows, asking, found)


def _rows(asked: _Asked, window: Window, bills: "_Bills") -> list[dict[str, Any]]:
    """All workloads that name one deployment: what one of them fills, another cannot."""
    if asked.moving is None:
        return list(asked.rows)
    filling = _Filling.of(asked.moving, bills)
    rows = [
        row if row["status"] is not None else row | filling.of_workload(one, window, bills)
        for row, one in zip(asked.rows, asked.asking, strict=True)
    ]
    bills.take(filling.filled)
    return rows


def _about(one: _Asking) -> dict[str, Any]:
    return {
        "workload": one.name,
        "api_tokens": one.api_tokens,
        "movable_share_ratio": one.workload["movable_share_ratio"],
        "tokens_per_api_token": one.workload["tokens_per_api_token"],
        "movable_tokens": one.tokens,
    }


def _why_nothing_can(window: Window, paid: Row | None) -> str | None:
    if window.status_of_day != "settled":
        return f"{window.day} is {window.status_of_day}, not settled"
    if paid is None or not paid["replica_count"] or paid["capacity_basis"] is None:
        return "what is paid for, or what a replica sustains, is unknown" if paid is None else str(paid["reason"])
    return None


def _capacity(deployment: Row, paid: Row) -> Capacity:
    """As the day's release has it: declared, else its best hour, "at least"."""
    declared = declared_capacity(deployment)
    if declared is not None:
        return declared
    return Capacity(
        maximum_utilization_ratio=1,
        blended_tokens_per_second=Fraction(paid["capacity_tokens_per_replica_hour"]) / 3600,
        provenance=Provenance(kind="at_least", stated_on=paid["usage_date"], source=paid["capacity_source"]),
    )


def _why_it_cannot(
    one: _Asking,
    capacity: Capacity,
    deployment: Row,
    served: Sequence[HourlyTokens | None],
    prices: Mapping[str, Fraction],
) -> tuple[str, str] | None:
    """(status, reason) of a workload that does not move; None of one that may."""
    if one.workload["pinned_to"] == "api":
        return "pinned", f"pinned to the api: {one.workload['pin_reason']}"
    if one.name not in prices:
        return "unknown", "it has no API price, so what moving it avoids is unknown"
    if prices[one.name] < 0:
        return "unknown", "its API cost is below zero: credits exceed what was billed"
    if one.has_quality and any(day is not None and day.by_workload[one.name] for day in served):
        why = "it is served by own GPUs too: what of the rest may move, and at how many tokens, is not known"
        return "unknown", why
    if not one.tokens:
        return "nothing_fits", f"of {one.api_tokens:,} tokens on the API none may move, at the share that is declared"
    rates = capacity.tokens_per_second_by_class
    lacking = [] if rates is None else [name for name in one.mix if name not in rates]
    if lacking:
        return "unknown", f"{deployment['deployment_id']} declares no throughput for {', '.join(lacking)}"
    return None


@dataclass(frozen=True)
class _Moving:
    """The workloads of one deployment that may move, in its work. `prices`: of a unit of it at the API.

    `staying`: what their tokens come to at the API that may not move, or whose hour nobody says.
    """

    scale: WorkScale
    per_hour: Fraction
    spare: int
    paid: Row
    load: Sequence[LoadHour | None]
    hours: Mapping[str, Sequence[LoadHour]]
    work: Mapping[str, Fraction]
    prices: Mapping[str, Fraction]
    staying: Mapping[str, Fraction]

    @classmethod
    def of(
        cls,
        deployment: Row,
        served: Sequence[HourlyTokens | None],
        moving: Sequence[_Asking],
        capacity: Capacity,
        paid: Row,
        prices: Mapping[str, Fraction],
    ) -> "_Moving":
        classes = {name for one in moving for name in one.mix} | set(summed([day for day in served if day is not None]))
        scale = work_scale(classes=classes, capacity=capacity)
        work = {one.name: scale.units([one.mix])[0] * one.own_per_api_token for one in moving}
        return cls(
            scale=scale,
            per_hour=Fraction(replica_hour_work_seconds(capacity)),
            spare=int(deployment["spare_replicas"]),
            paid=paid,
            load=[hour for day in served for hour in ((None,) * 24 if day is None else day.load(scale))],
            hours={one.name: [hour for day in one.days for hour in _hours(day, scale, one)] for one in moving},
            work=work,
            prices={one.name: prices[one.name] * one.tokens / work[one.name] for one in moving},
            staying={one.name: prices[one.name] * one.staying_tokens for one in moving},
        )

    def cost(self, name: str) -> Fraction:
        """What all of a workload's tokens whose hour is known come to at the API."""
        return self.prices[name] * self.work[name]


class _Bills:
    """By commitment: what is due whatever moves, what the bills are above it, and what of that is left."""

    def __init__(
        self, scopes: Mapping[str, Scope], committed: Mapping[str, Fraction], headroom: Mapping[str, Fraction]
    ):
        self.scopes = scopes
        self.committed = committed
        self.headroom = headroom
        self.taken = dict.fromkeys(headroom, Fraction(0))

    @classmethod
    def of(cls, scopes: Mapping[str, Scope], moving: Sequence[_Moving], *, days: int) -> "_Bills":
        """`scopes`: by workload."""
        costs = {name: found.cost(name) for found in moving for name in found.work}
        under = {scope.name: scope for name, scope in scopes.items() if name in costs}
        theirs = {found: [name for name in costs if name in scope.tokens_per_day] for found, scope in under.items()}
        staying = {name: cost for found in moving for name, cost in found.staying.items()}
        committed = {
            name: scope.committed_beside(
                theirs[name], staying_per_day=sum((staying[one] for one in theirs[name]), Fraction(0)) / days
            )
            * days
            for name, scope in under.items()
        }
        headroom = {
            name: avoidable(floor=due, others=0, moved=sum((costs[one] for one in theirs[name]), Fraction(0)))
            for name, due in committed.items()
        }
        return cls({name: scopes[name] for name in costs if name in scopes}, committed, headroom)

    def scope_of(self, workload: str) -> str | None:
        scope = self.scopes.get(workload)
        return None if scope is None else scope.name

    def take(self, fill: IdleFill) -> None:
        """What one deployment's workloads avoid, as it is held, the next one's cannot."""
        for found in fill.filled:
            scope = self.scope_of(found.name)
            if scope is not None:
                self.taken[scope] += Fraction(_held(found.avoided_cost))

    @property
    def left(self) -> dict[str, Fraction]:
        return {name: max(Fraction(0), headroom - self.taken[name]) for name, headroom in self.headroom.items()}

    def with_joint(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows with what all of a commitment avoid together."""
        return [
            row | {"avoided_under_commitment_cost_rc": _held(self.taken[row["commitment"]])}
            if row["commitment"]
            else row
            for row in rows
        ]


@dataclass(frozen=True)
class _Filling:
    """What fits of the workloads of one deployment, with all of its replicas and with those left beside a release."""

    moving: _Moving
    filled: IdleFill
    released: int
    beside: IdleFill

    @classmethod
    def of(cls, moving: _Moving, bills: _Bills) -> "_Filling":
        movable = [
            Movable(name=name, hours=hours, price_per_unit=moving.prices[name], scope=bills.scope_of(name))
            for name, hours in moving.hours.items()
        ]
        fills = [
            idle_fill(
                served=[None if hour is None else hour.work for hour in moving.load],
                movable=movable,
                replicas=moving.paid["replica_count"] - count,
                spare_replicas=moving.spare,
                capacity_per_replica_hour=moving.per_hour * moving.scale.units_per_replica_second,
                headroom=bills.left,
            )
            for count in range(_releasable(moving.paid) + 1)
        ]
        rent, released = moving.paid["replica_rc_per_hour"], 0
        if rent is not None:
            released, _ = release_beside_filling(
                avoided_cost_by_released=[fill.avoided_cost for fill in fills],
                replica_cost=Fraction(rent) * len(moving.load),
            )
        return cls(moving, fills[0], released, fills[released])

    def of_workload(self, one: _Asking, window: Window, bills: _Bills) -> dict[str, Any]:
        [found] = [filled for filled in self.filled.filled if filled.name == one.name]
        [beside] = [filled for filled in self.beside.filled if filled.name == one.name]
        units, days = self.moving.scale.units_per_replica_second, len(window.settled)
        watched = sum(hour.room is not None for hour in self.filled.hours)
        per_month = found.avoided_cost / days * monthrange(window.day.year, window.day.month)[1]
        scope = bills.scope_of(one.name)
        alone = found.moved_cost if scope is None else min(found.moved_cost, bills.headroom[scope])
        return {
            "status": "fits" if found.tokens else "nothing_fits",
            "reason": self._said(one, found, watched, beside.tokens) + _shared(found, alone, scope, bills),
            "watched_hours": watched,
            "unobserved_hours": len(self.filled.hours) - watched,
            "capacity_replica_seconds_per_hour": _held(self.moving.per_hour),
            "api_replica_seconds": _held(self.moving.work[one.name] / units),
            "api_price_rc_per_replica_second": _held(self.moving.prices[one.name] * units),
            "commitment": scope,
            "api_committed_cost_rc": _held(Fraction(0) if scope is None else bills.committed[scope]),
            "api_headroom_cost_rc": None if scope is None else _held(bills.headroom[scope]),
            "fit_hours": found.hours,
            "fit_tokens": found.tokens,
            "fit_replica_seconds": _held(found.work / units),
            "fit_tokens_per_day": found.tokens / days,
            "avoided_cost_rc": _held(found.avoided_cost),
            "avoided_rc_per_month": _held(per_month),
            "avoided_alone_cost_rc": _held(alone),
            "release_beside_replica_count": self.released,
            "fit_beside_release_tokens": beside.tokens,
        }

    def _said(self, one: _Asking, found: Filled, watched: int, beside: int) -> str:
        some = "" if one.tokens == one.api_tokens else f" {one.tokens:,} may move and"
        own = "" if one.own_per_api_token == 1 else f", each as {one.workload['tokens_per_api_token']:f} own ones"
        said = (
            f"Of {one.api_tokens:,} tokens on the API{some} {found.tokens:,} fit{own}, in {found.hours} of {watched} "
            "watched hours."
        )
        if self.released:
            said += f" With {self.released} released {beside:,} still do, and all together saves most."
        return said


def _shared(found: Filled, alone: Fraction, scope: str | None, bills: _Bills) -> str:
    """What of it is not avoided, and why."""
    if scope is None or found.avoided_cost == found.moved_cost:
        return ""
    said = f" The bills under the commitment to {scope} are {money_text(bills.headroom[scope])} above what is due"
    if alone == found.avoided_cost:
        return f"{said}: of {money_text(found.moved_cost)} that fits, no more is avoided."
    return (
        f"{said}, which is avoided once: what goes before leaves {money_text(found.avoided_cost)} of it; alone it "
        f"would avoid {money_text(alone)}."
    )


def _releasable(paid: Row) -> int:
    """What may go at all: nothing where the release was refused."""
    return int(paid["safe_release_replica_count"] or 0) if paid["status"] == "release" else 0


def _hours(day: HourlyTokens, scale: WorkScale, one: _Asking) -> list[LoadHour]:
    hours = [hour if hour is not None else LoadHour(work=0, tokens=0) for hour in day.load(scale)]
    times = one.own_per_api_token
    if times == 1:
        return hours
    return [LoadHour(work=Fraction(hour.work) * times, tokens=hour.tokens) for hour in hours]


def _held(value: Fraction) -> Decimal:
    """Half to even at the last place that the marts hold."""
    return to_places(value, _PLACES)
