"""Node `fct_verdicts_daily`: for each workload and day, what its own traffic says about API, self-hosting or both.

Reads settled days only. The window is the last 28 days up to the day, of which the settled ones count; hours are
those of the settled days, and an hour of a settled day that nothing metered had no demand. Formulas: economics.md
sections 1 to 4; they are computed in `pipeline.economics`, this module only fetches their inputs from the marts.
"""

from calendar import monthrange
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.decisions import verdict_conditions
from pipeline.decisions.api_side import ApiPrice, api_price, unconverted_in
from pipeline.decisions.capacities import declared_capacity, why_impossible
from pipeline.decisions.gpu_types import gpu_types
from pipeline.decisions.verdict_conditions import Known
from pipeline.decisions.window import (
    QUANTA,
    RATIO_DAYS,
    Evidence,
    Problem,
    Row,
    Rows,
    Served,
    Window,
    evidence_on,
    valid_on,
)
from pipeline.economics.breakeven import BreakevenVolumes, Staircase, breakeven_volumes
from pipeline.economics.daily_demand import DailyPlans, plans_of_days
from pipeline.economics.exact import money_text, to_places
from pipeline.economics.hybrid import HybridAlternative, HybridPlan
from pipeline.economics.rent import gpu_rent
from pipeline.economics.work import (
    Capacity,
    ObservedHour,
    at_least_capacity,
    hourly_work_replica_seconds,
    replica_hour_work_seconds,
    tokens_per_replica_hour,
    work_scale,
)

# Of the hourly p99, for the all-self-hosted alternative (economics.md section 7).
_HEADROOM_RATIO = Decimal("0.20")
_MTOK = 1_000_000
_PLACES = 18

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
    "api_price_without_cache_rc_per_mtok": _MONEY,
    "api_committed_cost_rc": _MONEY,
    "deployment_id": pl.String(),
    "gpu_hour_rate_rc": _MONEY,
    "gpu_rate_basis": pl.String(),
    "capacity_basis": pl.String(),
    "capacity_source": pl.String(),
    "capacity_tokens_per_replica_hour": pl.Float64(),
    "fixed_cost_rc": _MONEY,
    "api_only_cost_rc": _MONEY,
    "api_only_without_cache_cost_rc": _MONEY,
    "all_self_host_cost_rc": _MONEY,
    "all_self_host_replica_count": pl.Int64(),
    "best_cost_rc": _MONEY,
    "best_cost_least_rc": _MONEY,
    "best_cost_most_rc": _MONEY,
    "best_replica_count": pl.Int64(),
    "best_without_cache_replica_count": pl.Int64(),
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
    "peak_tokens_per_second": _MONEY,
    "roofline_tokens_per_second": _MONEY,
    **dict.fromkeys(verdict_conditions.COLUMNS.values(), _MONEY),
}


@dataclass(frozen=True)
class _Rate:
    """What a GPU-hour of a deployment really cost over the window."""

    per_gpu_hour: Fraction
    basis: str
    provisioned_replicas: Fraction
    cost_per_day: Fraction


def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
    """One row per workload that is declared on the partition's day. `inputs`: as `PREPARE` made them."""
    day: date = inputs["this_partition"]["from_date"][0]
    evidence = evidence_on(day, inputs)
    deployments = {row["deployment_id"]: row for row in valid_on(day, inputs["config_deployments"])}
    rows = [
        verdict_of(workload, deployments.get(workload["deployment_id"]), evidence)
        for workload in sorted(valid_on(day, inputs["config_workloads"]), key=lambda row: str(row["workload"]))
    ]
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def verdict_of(workload: Row, deployment: Row | None, evidence: Evidence) -> dict[str, Any]:
    """One row of the node. `workload`, `deployment`: rows of config_workloads and config_deployments of the day."""
    row = _verdict(workload, _as_filled(workload, deployment, evidence), evidence)
    if workload["pinned_to"] is not None and row["status"] not in ("pinned", "not_settled"):
        row["reason"] = f"{_pin(workload)}; what that costs is not known: {row['reason']}"
    return _as_held(row)


@dataclass(frozen=True, kw_only=True)
class Work:
    """Demand in whole units of work: of each hour that is known, and of each day that is known as a sum."""

    hours: Sequence[int]
    days: Sequence[int]
    capacity_per_replica_hour: Fraction
    price_per_unit: Fraction


@dataclass(frozen=True, kw_only=True)
class Grounds:
    """What the replica counts of a verdict were weighed with. Money over the window, in the reporting currency."""

    demand: Mapping[str, int]
    price: ApiPrice
    capacity: Capacity
    replica_cost: Decimal
    fixed_cost: Decimal
    work: Work
    plans: DailyPlans


def grounds_of(workload: Row, deployment: Row | None, evidence: Evidence) -> Grounds | str:
    """The grounds of a workload's verdict; why there are none where something of them is unknown."""
    name = str(workload["workload"])
    deployment = _as_filled(workload, deployment, evidence)
    demand = _tokens_by_class(evidence.daily.get(name, ()))
    price, price_problem = api_price(workload, demand, evidence)
    rate, rate_problem = _gpu_rate(deployment, evidence)
    capacity, capacity_problem = _capacity(deployment, demand, evidence, rate)
    fixed, fixed_problem = _fixed_cost(deployment, evidence)
    found = (_demand_problem(demand), price_problem, rate_problem, capacity_problem, fixed_problem)
    problems = [problem.text for problem in found if problem]
    if problems or price is None or rate is None or capacity is None or deployment is None or fixed is None:
        return "; ".join(problems)
    gpus = int(deployment["gpus_per_replica"])
    rent = _decimal(gpu_rent(gpu_hour_rate=rate.per_gpu_hour, gpus=gpus, hours=evidence.window.hours))
    held = _decimal(fixed)
    plans = _plans(name, deployment, demand, price, capacity, replica_cost=rent, fixed=held, evidence=evidence)
    return Grounds(
        demand=demand,
        price=price,
        capacity=capacity,
        replica_cost=rent,
        fixed_cost=held,
        work=_work(name, demand, price, capacity, evidence),
        plans=plans,
    )


def _as_filled(workload: Row, deployment: Row | None, evidence: Evidence) -> Row | None:
    """The deployment with the share of its hours that this workload's peaks leave to be filled."""
    if deployment is None:
        return None
    allowance = evidence.peak_allowances.get(str(workload["workload"]), deployment["peak_allowance"])
    return {**deployment, "peak_allowance": allowance}


def _verdict(workload: Row, deployment: Row | None, evidence: Evidence) -> dict[str, Any]:
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
        return row | {"status": "not_settled", "reason": window.why_not_settled}
    demand = _tokens_by_class(evidence.daily.get(name, ()))
    row["current_lane"] = _current_lane(evidence, name)
    row["demand_tokens_per_day"] = _mean_of_week(evidence.daily.get(name, ()), window)
    price, price_problem = api_price(workload, demand, evidence)
    if price is not None and demand:
        row["api_price_rc_per_mtok"] = _decimal(price.of(demand) / sum(demand.values()) * _MTOK)
        row["api_price_basis"], row["api_committed_cost_rc"] = price.basis, _decimal(price.committed)
        missing_cache = price.missing_cache()
        if missing_cache is not None:
            per_token = missing_cache.of(demand) / sum(demand.values())
            row["api_price_without_cache_rc_per_mtok"] = _decimal(per_token * _MTOK)
    rate, rate_problem = _gpu_rate(deployment, evidence)
    if rate is not None:
        row["gpu_hour_rate_rc"], row["gpu_rate_basis"] = _decimal(rate.per_gpu_hour), rate.basis
        row["current_replica_count"] = float(rate.provisioned_replicas)
    capacity, capacity_problem = _capacity(deployment, demand, evidence, rate)
    if capacity is not None:
        row["capacity_basis"], row["capacity_source"] = capacity.provenance.kind, capacity.provenance.source
    if not demand and evidence.api_costs.get(name):
        reason = "billed by the day without token counts: no volume, no hours, no replica count"
        return row | {"status": "no_hourly_evidence", "reason": reason}
    fixed, fixed_problem = _fixed_cost(deployment, evidence)
    found = (_demand_problem(demand), price_problem, rate_problem, capacity_problem, fixed_problem)
    problems = [problem for problem in found if problem]
    if problems or price is None or rate is None or capacity is None or deployment is None or fixed is None:
        return row | _undecided(workload, deployment, demand, price, rate, capacity, fixed, problems, evidence)
    return row | _economics(workload, deployment, demand, price, rate, capacity, _decimal(fixed), evidence)


def _undecided(
    workload: Row,
    deployment: Row | None,
    demand: Mapping[str, int],
    price: ApiPrice | None,
    rate: _Rate | None,
    capacity: Capacity | None,
    fixed: Fraction | None,
    problems: Sequence[Problem],
    evidence: Evidence,
) -> dict[str, Any]:
    """Prices; and what would have to be true, where all that is missing is what nobody has measured or declared."""
    why = "; ".join(problem.text for problem in problems)
    if price is None or not demand or not all(problem.is_open for problem in problems):
        return {"status": "prices_only", "reason": why}
    if price.of(demand) < 0:
        return {"status": "prices_only", "reason": f"{why}; its API cost is below zero: credits exceed what was billed"}
    name = str(workload["workload"])
    if deployment is None:
        known = verdict_conditions.of_candidate(evidence.candidates.get(name), demand, evidence)
        if isinstance(known, str):
            return {"status": "prices_only", "reason": f"{why}; {known}"}
    else:
        known = _of_deployment(deployment, demand, rate, capacity, fixed)
    solved = verdict_conditions.solved(name, api_cost=price.avoidable(demand), known=known, evidence=evidence)
    return solved | {"status": "conditions", "reason": f"{why}. {solved['reason']}"}


def _of_deployment(
    deployment: Row, demand: Mapping[str, int], rate: _Rate | None, capacity: Capacity | None, fixed: Fraction | None
) -> Known:
    """What is known of a deployment that lacks a rate or a capacity. A task takes it as many tokens as the API."""
    gpus, full = int(deployment["gpus_per_replica"]), Fraction(1)
    throughput = None
    if capacity is not None:
        full = Fraction(capacity.maximum_utilization_ratio)
        per_hour = Fraction(tokens_per_replica_hour(mix=demand, capacity=capacity))
        throughput = per_hour / Fraction(replica_hour_work_seconds(capacity))
    return Known(
        gpu_hour_rate=None if rate is None else rate.per_gpu_hour,
        gpus_per_replica=gpus,
        tokens_per_second=throughput,
        self_tokens_per_api_token=1,
        fixed_cost=fixed,
        maximum_utilization_ratio=full,
        replica=f"replica of {deployment['deployment_id']} ({gpus} GPU{'s' if gpus > 1 else ''})",
    )


def _economics(
    workload: Row,
    deployment: Row,
    demand: Mapping[str, int],
    price: ApiPrice,
    rate: _Rate,
    capacity: Capacity,
    fixed: Decimal,
    evidence: Evidence,
) -> dict[str, Any]:
    """Break-even volumes, and the best replica count where the hours are known."""
    window, name = evidence.window, str(workload["workload"])
    days = len(window.settled)
    per_hour = tokens_per_replica_hour(mix=demand, capacity=capacity)
    gpus = int(deployment["gpus_per_replica"])
    replica_cost = _decimal(gpu_rent(gpu_hour_rate=rate.per_gpu_hour, gpus=gpus, hours=window.hours))
    volumes = breakeven_volumes(
        Staircase(
            price_per_token=price.of(demand) / sum(demand.values()),
            capacity_tokens=per_hour * window.hours,
            replica_cost=replica_cost,
            # What is committed stays due, and what is bought goes against it.
            fixed_cost=Fraction(fixed) + price.committed,
            api_commitment=price.committed,
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
        "api_only_cost_rc": _decimal(price.due(demand)),
    }
    missing_cache = price.missing_cache()
    if missing_cache is not None:
        row["api_only_without_cache_cost_rc"] = _decimal(missing_cache.due(demand))
    plans = _plans(name, deployment, demand, price, capacity, replica_cost=replica_cost, fixed=fixed, evidence=evidence)
    current = _current(name, deployment, price, rate, fixed, evidence)
    row |= _of_plans(plans)
    if plans.replicas is None:
        return row | {"status": "no_hourly_evidence", "reason": _why_no_count(plans)}
    advice = _advice(workload, plans, volumes, current, evidence)
    if missing_cache is None:
        return row | advice
    others = _plans(
        name, deployment, demand, missing_cache, capacity, replica_cost=replica_cost, fixed=fixed, evidence=evidence
    )
    row["best_without_cache_replica_count"] = others.replicas
    return row | advice | _bracketed(workload, plans, others, advice, current)


def _plans(
    name: str,
    deployment: Row,
    demand: Mapping[str, int],
    price: ApiPrice,
    capacity: Capacity,
    *,
    replica_cost: Decimal,
    fixed: Decimal,
    evidence: Evidence,
) -> DailyPlans:
    """The replica count 0..N, in replica-seconds of work; a unit of work avoids the API price of this mix.

    Where all hours are known both plans are one.
    """
    work = _work(name, demand, price, capacity, evidence)
    return plans_of_days(
        known_hours=work.hours,
        day_units=work.days,
        capacity_per_replica_hour=work.capacity_per_replica_hour,
        replica_cost=replica_cost,
        fixed_cost=fixed,
        price_per_unit=work.price_per_unit,
        headroom_ratio=_HEADROOM_RATIO,
        minimum_replicas=max(1, int(deployment["minimum_replicas"])),
        spare_replicas=int(deployment["spare_replicas"]),
        api_commitment=price.committed,
    )


def _work(name: str, demand: Mapping[str, int], price: ApiPrice, capacity: Capacity, evidence: Evidence) -> Work:
    hours, days = evidence.demand_of(name)
    classes = frozenset().union(*(day.classes for day in hours), *days)
    scale = work_scale(classes=classes, capacity=capacity)
    (demand_seconds,) = hourly_work_replica_seconds(hours=[demand], capacity=capacity)
    return Work(
        hours=[units for day in hours for units in day.work(scale)],
        days=scale.units(days),
        capacity_per_replica_hour=Fraction(replica_hour_work_seconds(capacity)) * scale.units_per_replica_second,
        price_per_unit=price.of(demand) / (demand_seconds * scale.units_per_replica_second),
    )


def _of_plans(plans: DailyPlans) -> dict[str, Any]:
    """What both spreads of a day agree on, and the bounds of what they do not."""
    flat, peaked = plans.flattest, plans.most_peaked

    def agreed(of: Callable[[HybridPlan], Any]) -> Any:
        return of(flat) if of(flat) == of(peaked) else None

    is_bounded = flat.best.total_cost != peaked.best.total_cost
    return {
        "all_self_host_cost_rc": agreed(lambda plan: plan.all_self_hosted.total_cost),
        "all_self_host_replica_count": agreed(lambda plan: plan.all_self_hosted.replicas),
        "best_cost_rc": agreed(lambda plan: plan.best.total_cost),
        "best_cost_least_rc": flat.best.total_cost if is_bounded else None,
        "best_cost_most_rc": peaked.best.total_cost if is_bounded else None,
        "best_replica_count": plans.replicas,
        "next_replica_displaces_rc": agreed(lambda plan: plan.next_replica.displaced_api_cost),
        "overflow_hours": agreed(lambda plan: plan.best.overflow_hours),
    }


def _why_no_count(plans: DailyPlans) -> str:
    flat, peaked = plans.flattest.best, plans.most_peaked.best
    return (
        "demand is known by the day only, and the best count depends on its hours: were all hours of a day alike, "
        f"{flat.replicas} replicas for {money_text(Fraction(flat.total_cost))} would be best; were all of a day in one "
        f"hour, {peaked.replicas} for {money_text(Fraction(peaked.total_cost))}"
    )


def _bracketed(
    workload: Row, plans: DailyPlans, others: DailyPlans, advice: Mapping[str, Any], current: "_Current"
) -> dict[str, Any]:
    """A comparator is listed, not billed: advice that turns with how often its cache would be hit is none."""
    if workload["pinned_to"] is not None or others.replicas is None or plans.replicas is None:
        return {}
    if _recommendation(others.replicas, current) == advice["recommendation"]:
        return {}
    reason = (
        f"it depends on how often the API's cache would be hit: as often as the own one, {plans.replicas} replicas are "
        f"best; never, {others.replicas}. {advice['reason']}"
    )
    return {"status": "bracketed", "recommendation": None, "reason": reason}


@dataclass(frozen=True)
class _Current:
    """How it is done today: lane, whole replicas there are, and what this workload costs that way over the window."""

    lane: str | None
    replicas: int
    cost: Fraction


def _current(name: str, deployment: Row, price: ApiPrice, rate: _Rate, fixed: Decimal, evidence: Evidence) -> _Current:
    """API tokens at their price, plus this workload's share, by tokens, of the deployment's whole bill."""
    api = _tokens_by_class([row for row in evidence.daily.get(name, ()) if row["lane"] == "api"])
    served = evidence.served.get(deployment["deployment_id"], Served()).by_workload
    own, everyone = served[name], served.total()
    share = Fraction(own, everyone) if everyone else Fraction(0)
    cost = price.due(api) + share * rate.cost_per_day * len(evidence.window.settled) + (Fraction(fixed) if own else 0)
    return _Current(lane=_current_lane(evidence, name), replicas=round(rate.provisioned_replicas), cost=cost)


def _advice(
    workload: Row, plans: DailyPlans, volumes: BreakevenVolumes, current: _Current, evidence: Evidence
) -> dict[str, Any]:
    """What to do, and what it saves a month. A pinned workload gets the cost of its pin, not advice."""
    least, most = (_saving(current, plan, evidence) for plan in (plans.most_peaked, plans.flattest))
    why = " ".join(text for text in (_why_no_more(plans, least, most), volumes.reason) if text)
    row = {
        "current_cost_rc": _decimal(current.cost),
        "saving_rc_per_month": _decimal(least) if least == most else None,
        "reason": why,
    }
    if workload["pinned_to"] is not None:
        reason = f"{_pin(workload)}. {_cost_of_pin(workload, plans)} {why}"
        return row | {"status": "pinned", "recommendation": None, "reason": reason}
    assert plans.replicas is not None
    return row | {"status": "decided", "recommendation": _recommendation(plans.replicas, current)}


def _pin(workload: Row) -> str:
    return f"pinned to {workload['pinned_to']}: {workload['pin_reason']}"


def _cost_of_pin(workload: Row, plans: DailyPlans) -> str:
    """What the lane it is pinned to costs more than the best mix over the window, as the columns beside it say."""
    least, most = sorted(
        Fraction(_pinned_plan(workload, plan).total_cost) - Fraction(plan.best.total_cost)
        for plan in (plans.flattest, plans.most_peaked)
    )
    if most == 0:
        return "The pin costs nothing: no mix is cheaper."
    amount = money_text(least) if least == most else f"{money_text(least)} to {money_text(most)}"
    pinned = _pinned_plan(workload, plans.flattest)
    lane = "the API alone" if workload["pinned_to"] == "api" else f"own GPUs alone ({_counted(pinned.replicas)})"
    return f"The pin costs {amount} over the window: {lane} against the best mix, of {_counted(plans.replicas or 0)}."


def _pinned_plan(workload: Row, plan: HybridPlan) -> HybridAlternative:
    return plan.all_api if workload["pinned_to"] == "api" else plan.all_self_hosted


def _counted(replicas: int) -> str:
    return f"{replicas} replica" if replicas == 1 else f"{replicas} replicas"


def _saving(current: _Current, plan: HybridPlan, evidence: Evidence) -> Fraction:
    """A month's."""
    saved = (current.cost - Fraction(plan.best.total_cost)) / len(evidence.window.settled)
    return saved * _days_in_month(evidence.window.day)


def _why_no_more(plans: DailyPlans, least: Fraction, most: Fraction) -> str:
    if plans.flattest == plans.most_peaked:
        return plans.flattest.next_replica.explanation
    saved = "" if least == most else f" It saves {money_text(least)} to {money_text(most)} a month."
    return f"Known by the day only: {plans.replicas} replicas are best however a day's tokens lie in its hours.{saved}"


def _recommendation(best: int, current: _Current) -> str:
    return advised(best, lane=current.lane, replicas=current.replicas)


def advised(best: int, *, lane: str | None, replicas: int) -> str:
    """Fill what is paid for, then release what nothing needs, then switch, then buy (economics.md section 10).

    `lane`, `replicas`: where the traffic is now, and how many whole replicas are paid for.
    """
    if best == 0:
        return "stay" if lane == "api" else "switch_to_api"
    if lane != "self_host":
        return "fill" if 0 < best <= replicas else "switch_to_self_host"
    return "release" if best < replicas else "stay"


def _tokens_by_class(rows: Rows) -> dict[str, int]:
    tokens: dict[str, int] = {}
    for row in rows:
        if row["tokens"] is not None:
            tokens[row["token_class"]] = tokens.get(row["token_class"], 0) + int(row["tokens"])
    return {name: count for name, count in sorted(tokens.items()) if count}


def _demand_problem(demand: Mapping[str, int]) -> Problem | None:
    return None if demand else Problem("no tokens were metered in the window: demand is unknown, not zero")


def _mean_of_week(rows: Rows, window: Window) -> float | None:
    """Mean tokens a day over the last seven days; None when one of them is not settled."""
    if not window.has_full_week or not rows:
        return None
    return sum(row["tokens"] or 0 for row in rows if row["usage_date"] >= window.week_from) / RATIO_DAYS


def _current_lane(evidence: Evidence, name: str) -> str | None:
    """Where the last week's tokens went."""
    first = evidence.window.week_from
    lanes = {row["lane"] for row in evidence.daily.get(name, ()) if row["usage_date"] >= first and row["tokens"]}
    billed = (row for row in evidence.api_costs.get(name, ()) if row["usage_date"] >= first)
    if any(row["tokens"] or row["billed_cost_quanta"] or row["unconverted_currency"] for row in billed):
        lanes.add("api")
    return None if not lanes else "both" if len(lanes) == 2 else str(lanes.pop())


def _gpu_rate(deployment: Row | None, evidence: Evidence) -> tuple[_Rate | None, Problem | None]:
    """The deployment's GPU money over its GPU-hours, all states: what the bill says an hour of it costs."""
    if deployment is None:
        return None, Problem("no deployment is declared for it", is_open=True)
    name = str(deployment["deployment_id"])
    rows = [row for row in evidence.gpu_costs.get(name, ()) if row["gpu_milliseconds"]]
    if not rows:
        return None, Problem(f"no GPU cost of {name} in the window", is_open=True)
    unconverted = unconverted_in(rows, evidence)
    if unconverted is not None:
        return None, Problem(f"the GPU cost of {name} is not converted: {unconverted}")
    if any(row["realized_cost_quanta"] is None for row in rows):
        return None, Problem(f"part of the GPU cost of {name} is unpriced")
    milliseconds = sum(row["gpu_milliseconds"] for row in rows)
    cost = Fraction(sum(row["realized_cost_quanta"] for row in rows), QUANTA)
    today = sum(row["gpu_milliseconds"] for row in rows if row["usage_date"] == evidence.window.day)
    per_day = Fraction(86_400_000 * int(deployment["gpus_per_replica"]))
    return _Rate(
        per_gpu_hour=cost * 3_600_000 / milliseconds,
        basis="+".join(sorted({str(row["cost_measure"]) for row in rows})),
        provisioned_replicas=today / per_day,
        cost_per_day=cost / len(evidence.window.settled),
    ), None


def _capacity(
    deployment: Row | None, demand: Mapping[str, int], evidence: Evidence, rate: _Rate | None
) -> tuple[Capacity | None, Problem | None]:
    """Declared with a date and a source, else the best hour that was ever observed, said as "at least".

    What its hardware cannot do is no capacity, whoever says so: neither is it replaced by another one.
    """
    if deployment is None:
        return None, None
    capacity, problem = _stated_capacity(deployment, evidence, rate)
    if capacity is None:
        return None, problem
    impossible = why_impossible(capacity, deployment=deployment, mix=demand, types=gpu_types(evidence.gpu_types))
    return (capacity, None) if impossible is None else (None, Problem(impossible, is_open=True))


def _stated_capacity(deployment: Row, evidence: Evidence, rate: _Rate | None) -> tuple[Capacity | None, Problem | None]:
    declared = declared_capacity(deployment)
    if declared is not None:
        return declared, None
    return _observed_capacity(deployment, evidence, rate)


def _observed_capacity(
    deployment: Row, evidence: Evidence, rate: _Rate | None
) -> tuple[Capacity | None, Problem | None]:
    name = str(deployment["deployment_id"])
    replicas = replicas_by_day(deployment, evidence)
    hours = [
        ObservedHour(hour_at=hour, served_tokens=tokens, replica_hours=replicas[hour.date()])
        for hour, tokens in evidence.served.get(name, Served()).by_hour.items()
        if tokens and hour.date() in replicas
    ]
    if rate is None or not rate.provisioned_replicas or not hours:
        return None, Problem(f"no capacity is declared for {name} and no hour of it was observed", is_open=True)
    return at_least_capacity(hours), None


def replicas_by_day(deployment: Row, evidence: Evidence) -> dict[date, Fraction]:
    """How many replicas of it were paid for on each day of the window, days without any left out."""
    milliseconds: Counter[date] = Counter()
    for row in evidence.gpu_costs.get(str(deployment["deployment_id"]), ()):
        milliseconds[row["usage_date"]] += row["gpu_milliseconds"] or 0
    of_a_day = 86_400_000 * int(deployment["gpus_per_replica"])
    return {day: Fraction(paid, of_a_day) for day, paid in milliseconds.items() if paid > 0}


def _fixed_cost(deployment: Row | None, evidence: Evidence) -> tuple[Fraction | None, Problem | None]:
    """Itemised overheads over the window: this deployment's own, and those declared for none in particular.

    A month's amount is spread evenly over that month's own days, each at its own rate.
    """
    monthly: dict[str, Fraction] = {}
    for row in evidence.overheads:
        if deployment is not None and row["deployment_id"] in (None, deployment["deployment_id"]):
            monthly[row["currency"]] = monthly.get(row["currency"], Fraction(0)) + Fraction(row["monthly_cost"])
    settled, rates, fixed = evidence.window.settled, evidence.rates, Fraction(0)
    for currency, amount in monthly.items():
        if rates.is_reporting(currency):
            days_of_length = Counter(_days_in_month(day) for day in settled)
            fixed += sum((amount * days / length for length, days in days_of_length.items()), Fraction(0))
            continue
        at_rate = {day: rates.on(day, currency) for day in settled}
        missing = [day for day, rate in at_rate.items() if rate is None]
        if missing and amount:
            return None, Problem(f"overheads are not converted: {rates.lacking(currency, missing)}")
        fixed += sum((amount * rate / _days_in_month(day) for day, rate in at_rate.items() if rate), Fraction(0))
    return fixed, None


def _days_in_month(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def _decimal(value: Fraction) -> Decimal:
    """Half to even at the last place that the marts hold."""
    return to_places(value, _PLACES)


def _as_held(row: dict[str, Any]) -> dict[str, Any]:
    """Decimals with exactly as many digits as their column holds."""
    return {name: _decimal(Fraction(value)) if isinstance(value, Decimal) else value for name, value in row.items()}
