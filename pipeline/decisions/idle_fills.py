"""Node `fct_idle_fill_daily`: what of the traffic on an API would fit on replicas that are paid for and stand idle.

A workload may move to the deployment that breakeven.yaml names for it, unless it is pinned to the API. Hour by hour, of
the settled days of the last seven, beside what the replicas served in it; an hour that nobody watched takes nothing.
Formulas: economics.md sections 0.4, 4 and 10, computed in `pipeline.economics.idle_fill`.
"""

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
from pipeline.decisions.loads import READ_SERVED, HourlyTokens, demand_by_workload, served_by_deployment, summed
from pipeline.decisions.window import READS as VERDICT_READS
from pipeline.decisions.window import Row, Window, status_row, valid_on, window_on
from pipeline.economics.exact import to_places
from pipeline.economics.idle_fill import IdleFill, Movable, idle_fill, release_beside_filling
from pipeline.economics.scale_down import LoadHour
from pipeline.economics.work import Capacity, Provenance, WorkScale, replica_hour_work_seconds, work_scale

WINDOW_DAYS = 7
_MTOK = 1_000_000
_PLACES = 18
_DATED = ("fct_day_status_daily", "fct_demand_hourly", "int_self_host_tokens_hourly")
INPUTS = ("config_deployments", "config_workloads", "fct_scale_downs_daily", "fct_verdicts_daily", *_DATED)
LOOKBACK = dict.fromkeys(_DATED, WINDOW_DAYS - 1)
READS: Mapping[str, str] = {
    "fct_day_status_daily": VERDICT_READS["fct_day_status_daily"],
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
        select usage_date, workload, window_days_count, api_price_rc_per_mtok, api_committed_cost_rc
        from fct_verdicts_daily
        where api_price_rc_per_mtok is not null""",
    "int_self_host_tokens_hourly": READ_SERVED,
}


def _demand(frame: pl.DataFrame) -> dict[str, HourlyTokens]:
    return demand_by_workload(frame.select("workload", "usage_hour_at", "token_class", "tokens"))


@dataclass(frozen=True)
class _ApiPrice:
    """The price of a token at the workload's own mix, and what is due a day whatever moves."""

    per_token: Fraction
    committed_per_day: Fraction


def _prices(frame: pl.DataFrame) -> dict[str, _ApiPrice]:
    """By workload, of one day."""
    return {
        row["workload"]: _ApiPrice(
            per_token=Fraction(row["api_price_rc_per_mtok"]) / _MTOK,
            committed_per_day=Fraction(row["api_committed_cost_rc"]) / row["window_days_count"],
        )
        for row in frame.to_dicts()
    }


PREPARE = {
    "config_deployments": pl.DataFrame.to_dicts,
    "config_workloads": pl.DataFrame.to_dicts,
    "fct_day_status_daily": status_row,
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
    "api_replica_seconds": _MONEY,
    "api_price_rc_per_replica_second": _MONEY,
    "api_committed_cost_rc": _MONEY,
    "fit_hours": pl.Int64(),
    "fit_tokens": pl.Int64(),
    "fit_replica_seconds": _MONEY,
    "fit_tokens_per_day": pl.Float64(),
    "avoided_cost_rc": _MONEY,
    "avoided_rc_per_month": _MONEY,
    "release_beside_replica_count": pl.Int64(),
    "fit_beside_release_tokens": pl.Int64(),
}


def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
    """One row per workload that may move to a deployment of the partition's day and has traffic on an API."""
    day: date = inputs["this_partition"]["from_date"][0]
    window = window_on(inputs["fct_day_status_daily"], day)
    paid = {row["deployment_id"]: row for row in inputs["fct_scale_downs_daily"].get(day, ())}
    prices = inputs["fct_verdicts_daily"].get(day, {})
    demand = inputs["fct_demand_hourly"]
    workloads = sorted(valid_on(day, inputs["config_workloads"]), key=lambda row: str(row["workload"]))
    rows: list[dict[str, Any]] = []
    for deployment in sorted(valid_on(day, inputs["config_deployments"]), key=lambda row: str(row["deployment_id"])):
        name = str(deployment["deployment_id"])
        asking = [
            _Asking(workload, [demand.get(found, {}).get(workload["workload"], _NOTHING) for found in window.settled])
            for workload in workloads
            if workload["deployment_id"] == name
        ]
        served = [inputs["int_self_host_tokens_hourly"].get(found, {}).get(name) for found in window.settled]
        rows.extend(_rows(deployment, window, [one for one in asking if one.tokens], served, paid.get(name), prices))
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


_NOTHING = HourlyTokens(hours=({},) * 24, by_workload=Counter())


@dataclass(frozen=True)
class _Asking:
    """A workload that names the deployment, and its traffic on an API on the settled days."""

    workload: Row
    days: Sequence[HourlyTokens]

    @property
    def name(self) -> str:
        return str(self.workload["workload"])

    @property
    def mix(self) -> dict[str, int]:
        return summed(self.days)

    @property
    def tokens(self) -> int:
        return sum(self.mix.values())


def _rows(
    deployment: Row,
    window: Window,
    asking: Sequence[_Asking],
    served: Sequence[HourlyTokens | None],
    paid: Row | None,
    prices: Mapping[str, _ApiPrice],
) -> list[dict[str, Any]]:
    """All workloads that name one deployment: what one of them fills, another cannot."""
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
        return [common | _about(one) | {"status": "unknown", "reason": why_not} for one in asking]
    common |= {"replica_count": paid["replica_count"], "capacity_basis": capacity.provenance.kind}
    rows = [common | _about(one) for one in asking]
    refusals = [_why_it_cannot(one, capacity, deployment, prices) for one in asking]
    moving = [one for one, refused in zip(asking, refusals, strict=True) if refused is None]
    found = _Filling.of(deployment, served, moving, capacity, paid, prices) if moving else None
    for row, one, refused in zip(rows, asking, refusals, strict=True):
        if refused is not None:
            row |= {"status": refused[0], "reason": refused[1]}
        elif found is not None:
            row |= found.of_workload(one, window)
    return rows


def _about(one: _Asking) -> dict[str, Any]:
    return {"workload": one.name, "api_tokens": one.tokens}


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
    one: _Asking, capacity: Capacity, deployment: Row, prices: Mapping[str, _ApiPrice]
) -> tuple[str, str] | None:
    """(status, reason) of a workload that does not move; None of one that may."""
    if one.workload["pinned_to"] == "api":
        return "pinned", f"pinned to the api: {one.workload['pin_reason']}"
    if one.name not in prices:
        return "unknown", "it has no API price, so what moving it avoids is unknown"
    if prices[one.name].per_token < 0:
        return "unknown", "its API cost is below zero: credits exceed what was billed"
    rates = capacity.tokens_per_second_by_class
    lacking = [] if rates is None else [name for name in one.mix if name not in rates]
    if lacking:
        return "unknown", f"{deployment['deployment_id']} declares no throughput for {', '.join(lacking)}"
    return None


@dataclass(frozen=True)
class _Filling:
    """What fits of the workloads of one deployment, with all of its replicas and with those left beside a release."""

    scale: WorkScale
    per_hour: Fraction
    prices: Mapping[str, Fraction]
    committed: Mapping[str, Fraction]
    work: Mapping[str, int]
    filled: IdleFill
    released: int
    beside: IdleFill

    @classmethod
    def of(
        cls,
        deployment: Row,
        served: Sequence[HourlyTokens | None],
        moving: Sequence[_Asking],
        capacity: Capacity,
        paid: Row,
        prices: Mapping[str, _ApiPrice],
    ) -> "_Filling":
        classes = {name for one in moving for name in one.mix} | set(summed([day for day in served if day is not None]))
        scale = work_scale(classes=classes, capacity=capacity)
        per_hour = Fraction(replica_hour_work_seconds(capacity))
        work = {one.name: scale.units([one.mix])[0] for one in moving}
        unit_prices = {one.name: prices[one.name].per_token * one.tokens / work[one.name] for one in moving}
        committed = {one.name: prices[one.name].committed_per_day * len(served) for one in moving}
        load = [hour for day in served for hour in ((None,) * 24 if day is None else day.load(scale))]
        movable = [
            Movable(
                name=one.name,
                hours=[hour for day in one.days for hour in _hours(day, scale)],
                price_per_unit=unit_prices[one.name],
                committed_cost=committed[one.name],
            )
            for one in moving
        ]
        fills = [
            idle_fill(
                served=[None if hour is None else hour.work for hour in load],
                movable=movable,
                replicas=paid["replica_count"] - count,
                spare_replicas=int(deployment["spare_replicas"]),
                capacity_per_replica_hour=per_hour * scale.units_per_replica_second,
            )
            for count in range(_releasable(paid) + 1)
        ]
        rent = paid["replica_rc_per_hour"]
        released = 0
        if rent is not None:
            released, _ = release_beside_filling(
                avoided_cost_by_released=[fill.avoided_cost for fill in fills],
                replica_cost=Fraction(rent) * len(load),
            )
        return cls(scale, per_hour, unit_prices, committed, work, fills[0], released, fills[released])

    def of_workload(self, one: _Asking, window: Window) -> dict[str, Any]:
        [found] = [filled for filled in self.filled.filled if filled.name == one.name]
        [beside] = [filled for filled in self.beside.filled if filled.name == one.name]
        units, days = self.scale.units_per_replica_second, len(window.settled)
        watched = sum(hour.room is not None for hour in self.filled.hours)
        per_month = found.avoided_cost / days * monthrange(window.day.year, window.day.month)[1]
        return {
            "status": "fits" if found.tokens else "nothing_fits",
            "reason": self._said(one, found.tokens, found.hours, watched, beside.tokens),
            "watched_hours": watched,
            "unobserved_hours": len(self.filled.hours) - watched,
            "capacity_replica_seconds_per_hour": _held(self.per_hour),
            "api_replica_seconds": _held(Fraction(self.work[one.name], units)),
            "api_price_rc_per_replica_second": _held(self.prices[one.name] * units),
            "api_committed_cost_rc": _held(self.committed[one.name]),
            "fit_hours": found.hours,
            "fit_tokens": found.tokens,
            "fit_replica_seconds": _held(found.work / units),
            "fit_tokens_per_day": found.tokens / days,
            "avoided_cost_rc": _held(found.avoided_cost),
            "avoided_rc_per_month": _held(per_month),
            "release_beside_replica_count": self.released,
            "fit_beside_release_tokens": beside.tokens,
        }

    def _said(self, one: _Asking, tokens: int, hours: int, watched: int, beside: int) -> str:
        said = f"Of {one.tokens:,} tokens on the API {tokens:,} fit, in {hours} of {watched} watched hours."
        if self.released:
            said += f" With {self.released} released {beside:,} still do, and all together saves most."
        return said


def _releasable(paid: Row) -> int:
    """What may go at all: nothing where the release was refused."""
    return int(paid["safe_release_replica_count"] or 0) if paid["status"] == "release" else 0


def _hours(day: HourlyTokens, scale: WorkScale) -> list[LoadHour]:
    return [hour if hour is not None else LoadHour(work=0, tokens=0) for hour in day.load(scale)]


def _held(value: Fraction) -> Decimal:
    """Half to even at the last place that the marts hold."""
    return to_places(value, _PLACES)
