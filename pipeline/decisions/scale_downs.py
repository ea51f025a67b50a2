"""Node `fct_scale_downs_daily`: for each deployment and day, how many of its replicas may go, and why not more.

Reads the settled days of the last 28 up to the day, as verdicts do; the work of an hour is what the deployment served
in it, of all workloads. Formulas: economics.md section 7, computed in `pipeline.economics.scale_down`.
"""

from calendar import monthrange
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import polars as pl

from pipeline.decisions.capacities import declared_capacity, why_impossible
from pipeline.decisions.gpu_types import gpu_types
from pipeline.decisions.loads import (
    DAY_MILLISECONDS,
    READ_PAID,
    READ_SERVED,
    HourlyTokens,
    Paid,
    paid_by_deployment,
    served_by_deployment,
    summed,
)
from pipeline.decisions.window import READS as VERDICT_READS
from pipeline.decisions.window import WINDOW_DAYS, Row, Window, status_row, valid_on, window_on
from pipeline.economics.exact import to_places
from pipeline.economics.roofline import GpuType
from pipeline.economics.scale_down import Kept, LoadDay, ScaleDown, scale_down
from pipeline.economics.work import Capacity, ObservedHour, at_least_capacity, replica_hour_work_seconds, work_scale

HEADROOM_RATIO = Decimal("0.20")
# Of a replica-day: a quarter of an hour that a bill's clock or a restart may lack.
_WHOLE_WITHIN = Fraction(1, 96)
_MTOK = 1_000_000
_PLACES = 18
_DATED = ("fct_day_status_daily", "fct_gpu_costs_daily", "int_self_host_tokens_hourly")
INPUTS = ("config_deployments", "fct_verdicts_daily", "gpu_types", *_DATED)
LOOKBACK = dict.fromkeys(_DATED, WINDOW_DAYS - 1)
READ_PRICES = "select usage_date, workload, api_price_rc_per_mtok from fct_verdicts_daily"
READS: Mapping[str, str] = {
    "fct_day_status_daily": VERDICT_READS["fct_day_status_daily"],
    "fct_gpu_costs_daily": READ_PAID,
    "fct_verdicts_daily": READ_PRICES,
    "int_self_host_tokens_hourly": READ_SERVED,
}


def prices_by_workload(frame: pl.DataFrame) -> dict[str, Fraction]:
    """Of one day: the avoidable API price of a token of each workload that has one, at its own mix."""
    return {
        row["workload"]: Fraction(row["api_price_rc_per_mtok"]) / _MTOK
        for row in frame.to_dicts()
        if row["api_price_rc_per_mtok"] is not None
    }


PREPARE = {
    "config_deployments": pl.DataFrame.to_dicts,
    "gpu_types": pl.DataFrame.to_dicts,
    "fct_day_status_daily": status_row,
    "fct_gpu_costs_daily": paid_by_deployment,
    "fct_verdicts_daily": prices_by_workload,
    "int_self_host_tokens_hourly": served_by_deployment,
}

_MONEY = pl.Decimal(38, 18)
SCHEMA: Mapping[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "deployment_id": pl.String(),
    "status": pl.String(),
    "reason": pl.String(),
    "window_from_date": pl.Date(),
    "window_days_count": pl.Int64(),
    "observed_hours": pl.Int64(),
    "unobserved_hours": pl.Int64(),
    "unobserved_gpu_ratio": pl.Float64(),
    "replica_count": pl.Int64(),
    "replica_rc_per_hour": _MONEY,
    "replica_rc_per_month": _MONEY,
    "capacity_basis": pl.String(),
    "capacity_source": pl.String(),
    "capacity_tokens_per_replica_hour": _MONEY,
    "capacity_replica_seconds_per_hour": _MONEY,
    "peak_work_replica_seconds": _MONEY,
    "needed_replica_count": pl.Int64(),
    "safe_release_replica_count": pl.Int64(),
    "safe_overflow_hours": pl.Int64(),
    "safe_overflow_tokens": pl.Int64(),
    "safe_saving_rc_per_month": _MONEY,
    "api_price_rc_per_replica_second": _MONEY,
    "economic_release_replica_count": pl.Int64(),
    "economic_overflow_hours": pl.Int64(),
    "economic_overflow_tokens": pl.Int64(),
    "economic_overflow_rc_per_month": _MONEY,
    "economic_saving_rc_per_month": _MONEY,
    "backtest_days_count": pl.Int64(),
    "backtest_replica_count": pl.Int64(),
    "backtest_hours": pl.Int64(),
    "backtest_overflow_hours": pl.Int64(),
    "backtest_overflow_tokens": pl.Int64(),
    "quiet_hour_at": pl.Datetime("us"),
}


def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
    """One row per deployment that is declared on the partition's day. `inputs`: as `PREPARE` made them."""
    day: date = inputs["this_partition"]["from_date"][0]
    window = window_on(inputs["fct_day_status_daily"], day)
    types = gpu_types(inputs["gpu_types"])
    prices = inputs["fct_verdicts_daily"].get(day, {})
    rows = [
        _row(deployment, window, _evidence(str(deployment["deployment_id"]), window, inputs), types, prices)
        for deployment in sorted(
            valid_on(day, inputs["config_deployments"]), key=lambda found: str(found["deployment_id"])
        )
    ]
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


@dataclass(frozen=True)
class _Evidence:
    """Of one deployment: the settled days on which it was paid for or served, and since when it is what it is."""

    days: Sequence[date]
    served: Sequence[HourlyTokens]
    paid: Sequence[Paid | None]
    changed_on: date | None

    @property
    def rent_per_gpu_hour(self) -> Fraction | None:
        found = [paid for paid in self.paid if paid is not None]
        milliseconds = sum(paid.milliseconds for paid in found)
        costs = [paid.cost for paid in found if paid.cost is not None]
        if len(costs) < len(found) or not milliseconds:
            return None
        return sum(costs, Fraction(0)) * 3_600_000 / milliseconds

    @property
    def unobserved_ratio(self) -> Fraction:
        found = [paid for paid in self.paid if paid is not None]
        milliseconds = sum(paid.milliseconds for paid in found)
        return (
            Fraction(sum(paid.unobserved_milliseconds for paid in found), milliseconds) if milliseconds else Fraction(0)
        )


_UNWATCHED = HourlyTokens(hours=(None,) * 24, by_workload=Counter())


def _evidence(name: str, window: Window, inputs: Mapping[str, Any]) -> _Evidence:
    changed_on = _changed_on(name, window.day, inputs["config_deployments"])
    served, paid = inputs["int_self_host_tokens_hourly"], inputs["fct_gpu_costs_daily"]
    days = [
        day
        for day in window.settled
        if (name in served.get(day, {}) or name in paid.get(day, {})) and (changed_on is None or day >= changed_on)
    ]
    return _Evidence(
        days=days,
        served=[served.get(day, {}).get(name, _UNWATCHED) for day in days],
        paid=[paid.get(day, {}).get(name) for day in days],
        changed_on=changed_on,
    )


def _changed_on(name: str, day: date, deployments: Sequence[Row]) -> date | None:
    """The day on which it last became another model, or another number of GPUs a replica; None where it never did."""
    rows = [row for row in deployments if row["deployment_id"] == name]
    known = sorted(
        (row for row in rows if row["valid_from_date"] is None or row["valid_from_date"] <= day),
        key=lambda row: row["valid_from_date"] or date.min,
    )
    changed = None
    for before, after in pairwise(known):
        if (before["model"], before["gpus_per_replica"]) != (after["model"], after["gpus_per_replica"]):
            changed = after["valid_from_date"]
    return changed


def _row(
    deployment: Row,
    window: Window,
    evidence: _Evidence,
    types: Mapping[str, GpuType],
    prices: Mapping[str, Fraction],
) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(SCHEMA)
    row |= {
        "usage_date": window.day,
        "deployment_id": deployment["deployment_id"],
        "window_from_date": min(evidence.days, default=None),
        "window_days_count": len(evidence.days),
    }
    if window.status_of_day != "settled":
        return row | {"status": "not_settled", "reason": window.why_not_settled}
    gpus = int(deployment["gpus_per_replica"])
    today = evidence.paid[-1] if evidence.days and evidence.days[-1] == window.day else None
    if today is None:
        return row | {"status": "refused", "reason": f"no GPU time of it was paid for on {window.day}"}
    have = _whole_replicas(today, gpus)
    rate = evidence.rent_per_gpu_hour
    rent = None if rate is None else rate * gpus
    month = None if rent is None else rent * 24 * _days_in_month(window.day)
    row |= {"replica_count": have, "replica_rc_per_hour": _held(rent), "replica_rc_per_month": _held(month)}
    if have is None:
        paid = to_places(_replicas(today, gpus), 2)
        reason = (
            f"{paid} replicas' time was paid for on {window.day}: how many there are now is not told by a part of it"
        )
        return row | {"status": "refused", "reason": reason}
    mix = summed(evidence.served)
    capacity = declared_capacity(deployment) or _best_hour(evidence, gpus)
    if capacity is None:
        return row | {
            "status": "refused",
            "reason": "no capacity is declared, and it served nothing on a day of the window that was paid for whole",
        }
    impossible = why_impossible(capacity, deployment=deployment, mix=mix, types=types)
    if impossible is not None:
        return row | {"status": "refused", "reason": impossible}
    return row | _answer(deployment, window, evidence, capacity, mix, have=have, rent=rent, prices=prices)


def _replicas(paid: Paid, gpus: int) -> Fraction:
    return Fraction(paid.milliseconds, DAY_MILLISECONDS * gpus)


def _whole_replicas(paid: Paid, gpus: int) -> int | None:
    """How many replicas were there all day; None where the time of a day is not that of whole ones."""
    replicas = _replicas(paid, gpus)
    return round(replicas) if round(replicas) and abs(replicas - round(replicas)) <= _WHOLE_WITHIN else None


def _best_hour(evidence: _Evidence, gpus: int) -> Capacity | None:
    """The most that a replica served in an hour of the window: of as many replicas as were paid for on that day.

    A day that was paid for in part does not say how many served in which of its hours, so it is left out; where the day
    before or after had more, they may have been there for some of its hours, and it is put to theirs.
    """
    whole = [None if paid is None else _whole_replicas(paid, gpus) for paid in evidence.paid]
    most = [max(count or 0 for count in whole[max(0, day - 1) : day + 2]) for day in range(len(whole))]
    hours = [
        ObservedHour(
            hour_at=datetime.combine(day, time(hour)), served_tokens=sum(tokens.values()), replica_hours=replicas
        )
        for day, found, own, replicas in zip(evidence.days, evidence.served, whole, most, strict=True)
        if own is not None
        for hour, tokens in enumerate(found.hours)
        if tokens and any(tokens.values())
    ]
    return at_least_capacity(hours) if hours else None


def _answer(
    deployment: Row,
    window: Window,
    evidence: _Evidence,
    capacity: Capacity,
    mix: Mapping[str, int],
    *,
    have: int,
    rent: Fraction | None,
    prices: Mapping[str, Fraction],
) -> dict[str, Any]:
    scale = work_scale(classes=mix, capacity=capacity)
    units = scale.units_per_replica_second
    per_hour = Fraction(replica_hour_work_seconds(capacity))
    price, unpriced = _price_per_unit(evidence, mix, prices, work=scale.units([mix])[0])
    found = scale_down(
        days=[
            LoadDay(day=day, hours=served.load(scale))
            for day, served in zip(evidence.days, evidence.served, strict=True)
        ],
        replicas=have,
        capacity_per_replica_hour=per_hour * units,
        capacity_is_at_least=capacity.provenance.kind == "at_least",
        headroom_ratio=HEADROOM_RATIO,
        replica_cost_per_hour=rent,
        price_per_unit=price,
        unobserved_gpu_ratio=evidence.unobserved_ratio,
        minimum_replicas=int(deployment["minimum_replicas"]),
        spare_replicas=int(deployment["spare_replicas"]),
        changed_on=evidence.changed_on,
        work_per_replica_second=units,
    )
    return {
        "status": _status(found, capacity),
        "reason": _reason(found, rent, unpriced),
        "observed_hours": found.observed_hours,
        "unobserved_hours": found.unobserved_hours,
        "unobserved_gpu_ratio": float(evidence.unobserved_ratio),
        "capacity_basis": capacity.provenance.kind,
        "capacity_source": capacity.provenance.source,
        "capacity_tokens_per_replica_hour": (
            None
            if capacity.blended_tokens_per_second is None
            else _held(Fraction(capacity.blended_tokens_per_second) * per_hour)
        ),
        "capacity_replica_seconds_per_hour": _held(per_hour),
        "peak_work_replica_seconds": None if found.peak_work is None else _held(Fraction(found.peak_work) / units),
        "needed_replica_count": found.needed,
        "api_price_rc_per_replica_second": None if price is None else _held(price * units),
        **_of_safe(found.safe, rent, window.day),
        **_of_economic(found.economic, rent, window.day, days=len(evidence.days)),
        **_of_backtest(found),
        "quiet_hour_at": None if found.quiet_hour is None else datetime.combine(window.day, time(found.quiet_hour)),
    }


def _price_per_unit(
    evidence: _Evidence, mix: Mapping[str, int], prices: Mapping[str, Fraction], *, work: int
) -> tuple[Fraction | None, str]:
    """What the API would take for a unit of the work that was served: each workload's tokens at its own price."""
    served: Counter[str] = Counter()
    for found in evidence.served:
        served.update(found.by_workload)
    lacking = sorted(name for name, tokens in served.items() if tokens and name not in prices)
    if lacking:
        return None, f"No API price of {', '.join(lacking)}, so what an overflow would cost is unknown."
    if not work:
        return None, ""
    return sum((prices[name] * tokens for name, tokens in served.items() if tokens), Fraction(0)) / work, ""


def _status(found: ScaleDown, capacity: Capacity) -> str:
    """What a capacity of "at least" needs is "at most": more than there is of it says nothing."""
    if found.refusals or found.needed is None or found.safe is None:
        return "refused"
    if found.needed > found.safe.replicas and capacity.provenance.kind == "declared":
        return "short"
    return "release" if found.safe.released else "keep"


def _reason(found: ScaleDown, rent: Fraction | None, unpriced: str) -> str:
    said = [f"Nothing is offered: {'; '.join(found.refusals)}."] if found.refusals else []
    said.append(found.explanation)
    if rent is None:
        said.append("Part of its GPU cost has no price, so what a release saves is unknown.")
    return " ".join([*said, unpriced]).strip()


def _of_safe(kept: Kept | None, rent: Fraction | None, day: date) -> dict[str, Any]:
    if kept is None:
        return {}
    return {
        "safe_release_replica_count": kept.released,
        "safe_overflow_hours": kept.overflow_hours,
        "safe_overflow_tokens": kept.overflow_tokens,
        "safe_saving_rc_per_month": None if rent is None else _held(kept.released * rent * 24 * _days_in_month(day)),
    }


def _of_economic(kept: Kept | None, rent: Fraction | None, day: date, *, days: int) -> dict[str, Any]:
    if kept is None or rent is None or kept.overflow_cost is None:
        return {}
    month = _days_in_month(day)
    overflow = Fraction(kept.overflow_cost) / days * month
    return {
        "economic_release_replica_count": kept.released,
        "economic_overflow_hours": kept.overflow_hours,
        "economic_overflow_tokens": kept.overflow_tokens,
        "economic_overflow_rc_per_month": _held(overflow),
        "economic_saving_rc_per_month": _held(kept.released * rent * 24 * month - overflow),
    }


def _of_backtest(found: ScaleDown) -> dict[str, Any]:
    if found.backtest is None:
        return {}
    return {
        "backtest_days_count": found.backtest.trained_days,
        "backtest_replica_count": found.backtest.replicas,
        "backtest_hours": found.backtest.hours,
        "backtest_overflow_hours": found.backtest.overflow_hours,
        "backtest_overflow_tokens": found.backtest.overflow_tokens,
    }


def _days_in_month(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def _held(value: Fraction | None) -> Decimal | None:
    """Half to even at the last place that the marts hold."""
    return None if value is None else to_places(value, _PLACES)
