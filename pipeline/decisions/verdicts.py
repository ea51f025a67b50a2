"""Node `fct_verdicts_daily`: for each workload and day, what its own traffic says about API, self-hosting or both.

Reads settled days only. The window is the last 28 days up to the day, of which the settled ones count; hours are
those of the settled days, and an hour of a settled day that nothing metered had no demand. Formulas: economics.md
sections 1 to 4; they are computed in `pipeline.economics`, this module only fetches their inputs from the marts.
"""

import math
from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.economics.breakeven import BreakevenVolumes, Staircase, breakeven_volumes
from pipeline.economics.hybrid import HybridPlan, optimal_hybrid
from pipeline.economics.work import (
    Capacity,
    ObservedHour,
    Provenance,
    at_least_capacity,
    hourly_work_replica_seconds,
    replica_hour_work_seconds,
    tokens_per_replica_hour,
)

WINDOW_DAYS = 28
_RATIO_DAYS = 7
_HOURS_PER_DAY = 24
# Of the hourly p99, for the all-self-hosted alternative (economics.md section 7).
_HEADROOM_RATIO = Decimal("0.20")
_MTOK = 1_000_000

INPUTS = (
    "config_deployments",
    "config_overheads",
    "config_workloads",
    "fct_api_costs_daily",
    "fct_day_status_daily",
    "fct_demand_daily",
    "fct_demand_hourly",
    "fct_gpu_costs_daily",
    "int_self_host_tokens_hourly",
    "list_prices",
)
LOOKBACK = dict.fromkeys(
    (
        "fct_api_costs_daily",
        "fct_day_status_daily",
        "fct_demand_daily",
        "fct_demand_hourly",
        "fct_gpu_costs_daily",
        "int_self_host_tokens_hourly",
    ),
    WINDOW_DAYS - 1,
)
# What a verdict reads of the wide marts, added up within a day so that a window of them is short. Amounts of opposite
# sign, and unknown ones, stay apart: what adds up to nothing has still happened, and what is unknown stays unknown.
READS: Mapping[str, str] = {
    "fct_api_costs_daily": """
        select
            usage_date, workload, token_class,
            cast(sum(tokens) as bigint) as tokens,
            cast(sum(billed_cost_rc) as decimal(38, 18)) as billed_cost_rc
        from fct_api_costs_daily
        group by usage_date, workload, token_class, sign(tokens), sign(billed_cost_rc)""",
    "fct_demand_hourly": """
        select usage_date, usage_hour_at, workload, token_class, cast(sum(tokens) as bigint) as tokens
        from fct_demand_hourly
        group by usage_date, usage_hour_at, workload, token_class""",
    "fct_gpu_costs_daily": """
        select
            usage_date, deployment_id, cost_measure,
            cast(sum(gpu_milliseconds) as bigint) as gpu_milliseconds,
            cast(sum(realized_cost_rc) as decimal(38, 18)) as realized_cost_rc
        from fct_gpu_costs_daily
        group by usage_date, deployment_id, cost_measure, sign(gpu_milliseconds), sign(realized_cost_rc)""",
    "int_self_host_tokens_hourly": """
        select usage_date, usage_hour_at, deployment_id, workload, cast(sum(tokens) as bigint) as tokens
        from int_self_host_tokens_hourly
        group by usage_date, usage_hour_at, deployment_id, workload""",
}
_MONEY = pl.Decimal(38, 18)
SCHEMA: Mapping[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "workload": pl.String(),
    "team": pl.String(),
    "status": pl.String(),
    "reason": pl.String(),
    "window_from_date": pl.Date(),
    "window_days_count": pl.Int64(),
    "demand_tokens_per_day": pl.Float64(),
    "api_price_rc_per_mtok": _MONEY,
    "api_price_basis": pl.String(),
    "deployment_id": pl.String(),
    "gpu_hour_rate_rc": _MONEY,
    "gpu_rate_basis": pl.String(),
    "capacity_basis": pl.String(),
    "capacity_source": pl.String(),
    "capacity_tokens_per_replica_hour": pl.Float64(),
    "fixed_cost_rc": _MONEY,
    "api_only_cost_rc": _MONEY,
    "all_self_host_cost_rc": _MONEY,
    "all_self_host_replica_count": pl.Int64(),
    "best_cost_rc": _MONEY,
    "best_replica_count": pl.Int64(),
    "next_replica_displaces_rc": _MONEY,
    "replica_cost_rc": _MONEY,
    "overflow_hours": pl.Int64(),
    "breakeven_first_tokens_per_day": pl.Float64(),
    "breakeven_stable_tokens_per_day": pl.Float64(),
    "breakeven_crossing_count": pl.Int64(),
    "full_replica_margin_rc": _MONEY,
    "breakeven_utilization_ratio": pl.Float64(),
    "demand_ratio": pl.Float64(),
    "current_lane": pl.String(),
    "current_replica_count": pl.Float64(),
    "current_cost_rc": _MONEY,
    "recommendation": pl.String(),
    "saving_rc_per_month": _MONEY,
}

Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class _Window:
    """The settled days that a verdict on `day` may read."""

    day: date
    settled: tuple[date, ...]
    status_of_day: str

    @property
    def hours(self) -> int:
        return _HOURS_PER_DAY * len(self.settled)

    @property
    def has_full_week(self) -> bool:
        """Whether each of the last seven days is settled: else there is no 7-day mean."""
        return all(self.day - timedelta(days=back) in self.settled for back in range(_RATIO_DAYS))


# Start of the hour, token class, tokens. Plain tuples: a verdict reads tens of thousands of them.
_HourOfClass = tuple[datetime, str, int | None]


@dataclass(frozen=True)
class _Evidence:
    """The marts' rows of the settled days, by what they are about."""

    window: _Window
    hourly: Mapping[str, Sequence[_HourOfClass]]
    daily: Mapping[str, Rows]
    api_costs: Mapping[str, Rows]
    gpu_costs: Mapping[str, Rows]
    served_hourly: Mapping[str, Rows]
    list_prices: Rows
    overheads: Rows


@dataclass(frozen=True)
class _ApiPrice:
    """The avoidable price of each class at this workload's own mix, per token, and who says so."""

    by_class: Mapping[str, Fraction]
    basis: str

    def of(self, tokens: Mapping[str, int]) -> Fraction:
        return sum((self.by_class[name] * count for name, count in tokens.items()), start=Fraction(0))


@dataclass(frozen=True)
class _Rate:
    """What a GPU-hour of a deployment really cost over the window."""

    per_gpu_hour: Fraction
    basis: str
    provisioned_replicas: Fraction
    cost_per_day: Fraction


def build(frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """One row per workload that is declared on the partition's day."""
    day: date = frames["this_partition"]["from_date"][0]
    evidence = _evidence(frames, _window(frames["fct_day_status_daily"], day))
    deployments = {row["deployment_id"]: row for row in _valid(frames["config_deployments"], day)}
    rows = [
        _as_held(_verdict(workload, deployments.get(workload["deployment_id"]), evidence))
        for workload in sorted(_valid(frames["config_workloads"], day), key=lambda row: str(row["workload"]))
    ]
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def _window(statuses: pl.DataFrame, day: date) -> _Window:
    usable = {row["usage_date"]: row for row in statuses.to_dicts()}
    settled = sorted(
        found
        for found, row in usable.items()
        if row["status"] == "settled" and not row["blocked_count"] and found > day - timedelta(days=WINDOW_DAYS)
    )
    today = usable.get(day)
    status = "missing" if today is None else "blocked" if today["blocked_count"] else str(today["status"])
    return _Window(day=day, settled=tuple(settled), status_of_day=status)


def _evidence(frames: Mapping[str, pl.DataFrame], window: _Window) -> _Evidence:
    settled = set(window.settled)

    def grouped(name: str, by: str, *columns: str) -> Mapping[str, Rows]:
        names = ("usage_date", *columns)
        rows: dict[str, list[dict[str, Any]]] = {}
        for group, *values in zip(*(frames[name][column].to_list() for column in (by, *names)), strict=True):
            if group is not None and values[0] in settled:
                rows.setdefault(str(group), []).append(dict(zip(names, values, strict=True)))
        return rows

    hourly: dict[str, list[_HourOfClass]] = {}
    demand = frames["fct_demand_hourly"]
    columns = ("usage_date", "workload", "usage_hour_at", "token_class", "tokens")
    for day, workload, hour_at, token_class, tokens in zip(*(demand[name].to_list() for name in columns), strict=True):
        if workload is not None and day in settled:
            hourly.setdefault(workload, []).append((hour_at, token_class, tokens))
    return _Evidence(
        window=window,
        hourly=hourly,
        daily=grouped("fct_demand_daily", "workload", "lane", "token_class", "tokens", "evidence"),
        api_costs=grouped("fct_api_costs_daily", "workload", "token_class", "tokens", "billed_cost_rc"),
        gpu_costs=grouped(
            "fct_gpu_costs_daily", "deployment_id", "cost_measure", "gpu_milliseconds", "realized_cost_rc"
        ),
        served_hourly=grouped("int_self_host_tokens_hourly", "deployment_id", "workload", "usage_hour_at", "tokens"),
        list_prices=_valid(frames["list_prices"], window.day),
        overheads=_valid(frames["config_overheads"], window.day),
    )


def _valid(frame: pl.DataFrame, day: date) -> Rows:
    """Rows whose [valid_from, valid_to) holds the day; an open end is NULL."""
    return frame.filter(
        (pl.col("valid_from_date").is_null() | (pl.col("valid_from_date") <= day))
        & (pl.col("valid_to_date").is_null() | (pl.col("valid_to_date") > day))
    ).to_dicts()


def _verdict(workload: Mapping[str, Any], deployment: Mapping[str, Any] | None, evidence: _Evidence) -> dict[str, Any]:
    """One workload, one day: as much of the answer as the evidence carries, and why not more."""
    window = evidence.window
    name = str(workload["workload"])
    row: dict[str, Any] = dict.fromkeys(SCHEMA)
    row |= {
        "usage_date": window.day,
        "workload": name,
        "team": workload["team"],
        "deployment_id": workload["deployment_id"],
        "window_from_date": min(window.settled, default=None),
        "window_days_count": len(window.settled),
    }
    if window.status_of_day != "settled":
        return row | {"status": "not_settled", "reason": f"{window.day} is {window.status_of_day}, not settled"}
    demand = _tokens_by_class(evidence.daily.get(name, ()))
    row["current_lane"] = _current_lane(evidence, name)
    row["demand_tokens_per_day"] = _mean_of_week(evidence.daily.get(name, ()), window)
    price, price_problem = _api_price(workload, demand, evidence)
    if price is not None and demand:
        row["api_price_rc_per_mtok"] = _decimal(price.of(demand) / sum(demand.values()) * _MTOK)
        row["api_price_basis"] = price.basis
    rate, rate_problem = _gpu_rate(deployment, evidence)
    if rate is not None:
        row["gpu_hour_rate_rc"], row["gpu_rate_basis"] = _decimal(rate.per_gpu_hour), rate.basis
        row["current_replica_count"] = float(rate.provisioned_replicas)
    capacity, capacity_problem = _capacity(deployment, evidence, rate)
    if capacity is not None:
        row["capacity_basis"], row["capacity_source"] = capacity.provenance.kind, capacity.provenance.source
    if not demand and evidence.api_costs.get(name):
        reason = "billed by the day without token counts: no volume, no hours, no replica count"
        return row | {"status": "no_hourly_evidence", "reason": reason}
    problems = [text for text in (_demand_problem(demand), price_problem, rate_problem, capacity_problem) if text]
    if problems or price is None or rate is None or capacity is None or deployment is None:
        return row | {"status": "prices_only", "reason": "; ".join(problems)}
    return row | _economics(workload, deployment, demand, price, rate, capacity, evidence)


def _economics(
    workload: Mapping[str, Any],
    deployment: Mapping[str, Any],
    demand: Mapping[str, int],
    price: _ApiPrice,
    rate: _Rate,
    capacity: Capacity,
    evidence: _Evidence,
) -> dict[str, Any]:
    """Break-even volumes, and the best replica count where the hours are known."""
    window, name = evidence.window, str(workload["workload"])
    days = len(window.settled)
    per_hour = tokens_per_replica_hour(mix=demand, capacity=capacity)
    replica_cost = _decimal(rate.per_gpu_hour * int(deployment["gpus_per_replica"]) * window.hours)
    fixed = _decimal(_fixed_cost(deployment, evidence))
    volumes = breakeven_volumes(
        Staircase(
            price_per_token=price.of(demand) / sum(demand.values()),
            capacity_tokens=per_hour * window.hours,
            replica_cost=replica_cost,
            fixed_cost=fixed,
            spare_replicas=int(deployment["spare_replicas"]),
            minimum_replicas=max(1, int(deployment["minimum_replicas"])),
        )
    )
    week = _mean_of_week(evidence.daily.get(name, ()), window)
    first_per_day = None if volumes.first is None else float(volumes.first) / days
    row: dict[str, Any] = {
        "capacity_tokens_per_replica_hour": float(per_hour),
        "fixed_cost_rc": fixed,
        "replica_cost_rc": replica_cost,
        "breakeven_first_tokens_per_day": first_per_day,
        "breakeven_stable_tokens_per_day": None if volumes.stable_from is None else float(volumes.stable_from) / days,
        "breakeven_crossing_count": len(volumes.crossings),
        "full_replica_margin_rc": volumes.full_replica_margin,
        "breakeven_utilization_ratio": (
            None if volumes.breakeven_utilization is None else float(volumes.breakeven_utilization)
        ),
        "demand_ratio": week / first_per_day if week is not None and first_per_day else None,
        "api_only_cost_rc": _decimal(price.of(demand)),
    }
    if any(found["evidence"] != "hourly" for found in evidence.daily.get(name, ())):
        return row | {"status": "no_hourly_evidence", "reason": "demand is known by the day only: no replica count"}
    plan = _plan(
        name, deployment, demand, price, capacity, replica_cost=replica_cost, fixed_cost=fixed, evidence=evidence
    )
    row |= {
        "all_self_host_cost_rc": plan.all_self_hosted.total_cost,
        "all_self_host_replica_count": plan.all_self_hosted.replicas,
        "best_cost_rc": plan.best.total_cost,
        "best_replica_count": plan.best.replicas,
        "next_replica_displaces_rc": plan.next_replica.displaced_api_cost,
        "overflow_hours": plan.best.overflow_hours,
    }
    return row | _advice(workload, plan, volumes, _current(name, deployment, price, rate, fixed, evidence), evidence)


def _plan(
    name: str,
    deployment: Mapping[str, Any],
    demand: Mapping[str, int],
    price: _ApiPrice,
    capacity: Capacity,
    *,
    replica_cost: Decimal,
    fixed_cost: Decimal,
    evidence: _Evidence,
) -> HybridPlan:
    """The replica count 0..N, in replica-seconds of work; a unit of work avoids the API price of this mix."""
    hours = _hourly_tokens(evidence.hourly.get(name, ()), evidence.window)
    work = hourly_work_replica_seconds(hours=hours, capacity=capacity)
    # In the largest unit of which every hour holds a whole number: integers sort and add much faster than fractions.
    per_second = math.lcm(*(seconds.denominator for seconds in work))
    return optimal_hybrid(
        hourly_demand=[seconds.numerator * (per_second // seconds.denominator) for seconds in work],
        capacity_per_replica_hour=Fraction(replica_hour_work_seconds(capacity)) * per_second,
        replica_cost=replica_cost,
        fixed_cost=fixed_cost,
        price_per_unit=price.of(demand)
        / (hourly_work_replica_seconds(hours=[demand], capacity=capacity)[0] * per_second),
        headroom_ratio=_HEADROOM_RATIO,
        minimum_replicas=max(1, int(deployment["minimum_replicas"])),
        spare_replicas=int(deployment["spare_replicas"]),
    )


@dataclass(frozen=True)
class _Current:
    """How it is done today: lane, whole replicas there are, and what this workload costs that way over the window."""

    lane: str | None
    replicas: int
    cost: Fraction


def _current(
    name: str, deployment: Mapping[str, Any], price: _ApiPrice, rate: _Rate, fixed: Decimal, evidence: _Evidence
) -> _Current:
    """API tokens at their price, plus this workload's share, by tokens, of the deployment's whole bill."""
    api = _tokens_by_class([row for row in evidence.daily.get(name, ()) if row["lane"] == "api"])
    served = evidence.served_hourly.get(str(deployment["deployment_id"]), ())
    own = sum(int(row["tokens"] or 0) for row in served if row["workload"] == name)
    everyone = sum(int(row["tokens"] or 0) for row in served)
    share = Fraction(own, everyone) if everyone else Fraction(0)
    cost = price.of(api) + share * rate.cost_per_day * len(evidence.window.settled) + (Fraction(fixed) if own else 0)
    return _Current(lane=_current_lane(evidence, name), replicas=round(rate.provisioned_replicas), cost=cost)


def _advice(
    workload: Mapping[str, Any], plan: HybridPlan, volumes: BreakevenVolumes, current: _Current, evidence: _Evidence
) -> dict[str, Any]:
    """What to do, and what it saves a month. A pinned workload gets the cost of its pin, not advice."""
    saving = (current.cost - Fraction(plan.best.total_cost)) / len(evidence.window.settled)
    why = " ".join(text for text in (plan.next_replica.explanation, volumes.reason) if text)
    row = {
        "current_cost_rc": _decimal(current.cost),
        "saving_rc_per_month": _decimal(saving * _days_in_month(evidence.window.day)),
        "reason": why,
    }
    if workload["pinned_to"] is not None:
        reason = f"pinned to {workload['pinned_to']}: {workload['pin_reason']}. {why}"
        return row | {"status": "pinned", "recommendation": None, "reason": reason}
    return row | {"status": "decided", "recommendation": _recommendation(plan.best.replicas, current)}


def _recommendation(best: int, current: _Current) -> str:
    """Fill what is paid for, then release what nothing needs, then switch, then buy (economics.md section 10)."""
    if best == 0:
        return "stay" if current.lane == "api" else "switch_to_api"
    if current.lane != "self_host":
        return "fill" if 0 < best <= current.replicas else "switch_to_self_host"
    return "release" if best < current.replicas else "stay"


def _tokens_by_class(rows: Rows) -> dict[str, int]:
    tokens: dict[str, int] = {}
    for row in rows:
        if row["tokens"] is not None:
            tokens[row["token_class"]] = tokens.get(row["token_class"], 0) + int(row["tokens"])
    return {name: count for name, count in sorted(tokens.items()) if count}


def _demand_problem(demand: Mapping[str, int]) -> str | None:
    return None if demand else "no tokens were metered in the window: demand is unknown, not zero"


def _mean_of_week(rows: Rows, window: _Window) -> float | None:
    """Mean tokens a day over the last seven days; None when one of them is not settled."""
    if not window.has_full_week or not rows:
        return None
    first = window.day - timedelta(days=_RATIO_DAYS)
    return sum(int(row["tokens"] or 0) for row in rows if row["usage_date"] > first) / _RATIO_DAYS


def _current_lane(evidence: _Evidence, name: str) -> str | None:
    """Where the last week's tokens went."""
    first = evidence.window.day - timedelta(days=_RATIO_DAYS)
    rows = [*evidence.daily.get(name, ()), *({**row, "lane": "api"} for row in evidence.api_costs.get(name, ()))]
    lanes = {row["lane"] for row in rows if row["usage_date"] > first and (row["tokens"] or row.get("billed_cost_rc"))}
    return None if not lanes else "both" if len(lanes) == 2 else str(lanes.pop())


def _api_price(
    workload: Mapping[str, Any], demand: Mapping[str, int], evidence: _Evidence
) -> tuple[_ApiPrice | None, str | None]:
    """Realized where this workload was billed for the class, else the list price of its declared API model."""
    realized = _realized_prices(evidence.api_costs.get(str(workload["workload"]), ()))
    listed = {
        row["token_class"]: Fraction(row["list_cost_per_mtok"]) / _MTOK
        for row in evidence.list_prices
        if row["model"] == workload["api_model"] and row["mode"] == "standard" and row["context_window"] == "0-200k"
    }
    prices = {name: realized.get(name, listed.get(name)) for name in demand}
    missing = sorted(name for name, price in prices.items() if price is None)
    if missing:
        model = workload["api_model"] or "no api_model"
        return None, f"no API price for {', '.join(missing)} ({model} declared)"
    bases = {"realized" if name in realized else "list" for name in demand}
    known = {name: price for name, price in prices.items() if price is not None}
    return _ApiPrice(by_class=known, basis="+".join(sorted(bases, reverse=True)) or "none"), None


def _realized_prices(rows: Rows) -> dict[str, Fraction]:
    """Billed cost over tokens, per class, over rows that carry both."""
    costs: dict[str, Fraction] = {}
    tokens: dict[str, int] = {}
    for row in rows:
        if row["billed_cost_rc"] is None or not row["tokens"] or row["token_class"] is None:
            continue
        costs[row["token_class"]] = costs.get(row["token_class"], Fraction(0)) + Fraction(row["billed_cost_rc"])
        tokens[row["token_class"]] = tokens.get(row["token_class"], 0) + int(row["tokens"])
    return {name: cost / tokens[name] for name, cost in costs.items()}


def _gpu_rate(deployment: Mapping[str, Any] | None, evidence: _Evidence) -> tuple[_Rate | None, str | None]:
    """The deployment's GPU money over its GPU-hours, all states: what the bill says an hour of it costs."""
    if deployment is None:
        return None, "no deployment is declared for it"
    name = str(deployment["deployment_id"])
    rows = [row for row in evidence.gpu_costs.get(name, ()) if row["gpu_milliseconds"]]
    if not rows:
        return None, f"no GPU cost of {name} in the window"
    if any(row["realized_cost_rc"] is None for row in rows):
        return None, f"part of the GPU cost of {name} is unpriced or unconverted"
    milliseconds = sum(int(row["gpu_milliseconds"]) for row in rows)
    cost = sum((Fraction(row["realized_cost_rc"]) for row in rows), Fraction(0))
    last = evidence.window.day
    today = sum(int(row["gpu_milliseconds"]) for row in rows if row["usage_date"] == last)
    per_day = Fraction(86_400_000 * int(deployment["gpus_per_replica"]))
    return _Rate(
        per_gpu_hour=cost * 3_600_000 / milliseconds,
        basis="+".join(sorted({str(row["cost_measure"]) for row in rows})),
        provisioned_replicas=today / per_day,
        cost_per_day=cost / len(evidence.window.settled),
    ), None


def _capacity(
    deployment: Mapping[str, Any] | None, evidence: _Evidence, rate: _Rate | None
) -> tuple[Capacity | None, str | None]:
    """Declared with a date and a source, else the best hour that was ever observed, said as "at least"."""
    if deployment is None:
        return None, None
    prefill, decode = deployment["prefill_tokens_per_second"], deployment["decode_tokens_per_second"]
    if prefill is not None and decode is not None:
        cached = deployment["cached_tokens_per_second"] or prefill
        return Capacity(
            maximum_utilization_ratio=deployment["peak_allowance"],
            provenance=Provenance(
                kind="declared", stated_on=deployment["measured_on"], source=deployment["capacity_source"]
            ),
            tokens_per_second_by_class={
                "input_uncached": prefill,
                "input_cache_write_5m": prefill,
                "input_cache_write_1h": prefill,
                "input_cache_read": cached,
                "output": decode,
            },
        ), None
    return _observed_capacity(deployment, evidence, rate)


def _observed_capacity(
    deployment: Mapping[str, Any], evidence: _Evidence, rate: _Rate | None
) -> tuple[Capacity | None, str | None]:
    name = str(deployment["deployment_id"])
    per_hour: dict[datetime, int] = {}
    for row in evidence.served_hourly.get(name, ()):
        per_hour[row["usage_hour_at"]] = per_hour.get(row["usage_hour_at"], 0) + int(row["tokens"] or 0)
    if rate is None or not rate.provisioned_replicas or not any(per_hour.values()):
        return None, f"no capacity is declared for {name} and no hour of it was observed"
    hours = [
        ObservedHour(hour_at=hour, served_tokens=tokens, replica_hours=rate.provisioned_replicas)
        for hour, tokens in per_hour.items()
    ]
    return at_least_capacity(hours), None


def _fixed_cost(deployment: Mapping[str, Any], evidence: _Evidence) -> Fraction:
    """Itemised overheads over the window: this deployment's own, and those declared for none in particular.

    A month's amount is spread evenly over that month's own days.
    """
    monthly = sum(
        (
            Fraction(row["monthly_cost"])
            for row in evidence.overheads
            if row["deployment_id"] in (None, deployment["deployment_id"])
        ),
        Fraction(0),
    )
    return sum((monthly / _days_in_month(day) for day in evidence.window.settled), Fraction(0))


def _days_in_month(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def _decimal(value: Fraction) -> Decimal:
    """18 digits after the point, half to even: what the marts hold."""
    quanta = round(value * 10**18)
    return Decimal((1 if quanta < 0 else 0, tuple(map(int, str(abs(quanta)))), -18))


def _as_held(row: dict[str, Any]) -> dict[str, Any]:
    """Decimals with exactly as many digits as their column holds."""
    return {name: _decimal(Fraction(value)) if isinstance(value, Decimal) else value for name, value in row.items()}


def _hourly_tokens(rows: Sequence[_HourOfClass], window: _Window) -> list[dict[str, int]]:
    """Tokens by class of every hour of the settled days; an hour without a row had none."""
    hours: dict[datetime, dict[str, int]] = {}
    for hour_at, token_class, count in rows:
        tokens = hours.setdefault(hour_at, {})
        tokens[token_class] = tokens.get(token_class, 0) + int(count or 0)
    starts = (datetime(day.year, day.month, day.day) for day in window.settled)  # noqa: DTZ001 - marts hold UTC
    nothing: dict[str, int] = {}
    return [hours.get(start + timedelta(hours=hour), nothing) for start in starts for hour in range(_HOURS_PER_DAY)]
