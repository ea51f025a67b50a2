"""Node `fct_deployment_plans_daily`: how many replicas pay for all workloads of a deployment together, and who moves.

A verdict weighs each workload alone. Where several name one deployment they share its replicas: the one whose
replica-second costs most at the API goes first, hour by hour. And work that may wait (`may_wait_hours`, or what is all
bought in batch, for as long as a batch of the APIs may take) fills the valleys within its deadline before a replica is
counted for it. Nothing is said where neither is the case: the verdict
has said it. Formulas: economics.md section 4, computed in `pipeline.economics.request_classes`.
"""

from calendar import monthrange
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.decisions.capacities import declared_capacity
from pipeline.decisions.commitment_scopes import Scope, scopes_by_workload
from pipeline.decisions.window import HOURS_PER_DAY, WINDOW_DAYS, Row, Window, status_row, valid_on, window_on
from pipeline.decisions.window import READS as VERDICT_READS
from pipeline.economics.exact import money_text, to_places
from pipeline.economics.request_classes import ClassPlan, RequestClass, ServedClass, hybrid_of_classes
from pipeline.economics.work import Capacity, Provenance, WorkScale, replica_hour_work_seconds, work_scale

_MTOK = 1_000_000
_PLACES = 18
# What is promised of a batch by those who sell them (Anthropic's and OpenAI's Batch APIs: within 24 hours).
BATCH_WAIT_HOURS = 24
_WINDOWED = ("fct_api_costs_daily", "fct_day_status_daily", "fct_demand_daily", "fct_demand_hourly")
_OF_ITS_DAY = (
    "fct_commitment_scopes_daily",
    "fct_peak_allowances_daily",
    "fct_scale_downs_daily",
    "fct_verdicts_daily",
)
INPUTS = ("config_deployments", "config_workloads", *_OF_ITS_DAY, *_WINDOWED)
LOOKBACK = dict.fromkeys(_WINDOWED, WINDOW_DAYS - 1)
READS: Mapping[str, str] = {
    # Whether all that a workload bought on a day was bought in batch.
    "fct_api_costs_daily": """
        select usage_date, workload, count(*) filter (where price_mode is distinct from 'batch') = 0 as is_batch
        from fct_api_costs_daily
        where workload is not null and tokens > 0
        group by usage_date, workload""",
    "fct_day_status_daily": VERDICT_READS["fct_day_status_daily"],
    # Of which workloads a day is known as a sum only.
    "fct_demand_daily": """
        select distinct usage_date, workload from fct_demand_daily where evidence = 'daily' and tokens > 0""",
    # A day of a class in one row, which is read sooner than its hours one by one; an hour may come more than once.
    "fct_demand_hourly": """
        select
            usage_date, workload, token_class,
            list(cast(hour(usage_hour_at) as bigint)) as hours, list(cast(tokens as bigint)) as tokens
        from fct_demand_hourly
        where workload is not null and tokens > 0
        group by usage_date, workload, token_class""",
    "fct_peak_allowances_daily": VERDICT_READS["fct_peak_allowances_daily"],
    "fct_scale_downs_daily": """
        select usage_date, deployment_id, capacity_basis, capacity_source, capacity_tokens_per_replica_hour
        from fct_scale_downs_daily""",
    "fct_verdicts_daily": """
        select
            usage_date, workload, status, reason, window_days_count, api_price_rc_per_mtok, api_committed_cost_rc,
            replica_cost_rc, fixed_cost_rc, best_cost_rc, current_lane
        from fct_verdicts_daily""",
}


@dataclass(frozen=True)
class DayTokens:
    """Of one day and workload: the tokens of each class in each hour."""

    by_class: Mapping[str, Sequence[int]]
    _work: dict[WorkScale, list[int]] = field(default_factory=dict, compare=False)

    def work(self, scale: WorkScale) -> list[int]:
        """Of each hour in units of a scale, worked out once for all partitions that use the scale."""
        if scale not in self._work:
            per_token = dict(scale.units_per_token)
            work = [[per_token[name] * count for count in of_day] for name, of_day in self.by_class.items()]
            self._work[scale] = [sum(of_day[hour] for of_day in work) for hour in range(HOURS_PER_DAY)]
        return self._work[scale]


NOTHING = DayTokens(by_class={})


def _demand(frame: pl.DataFrame) -> dict[str, DayTokens]:
    """By workload."""
    found: dict[str, dict[str, Sequence[int]]] = {}
    for workload, token_class, *listed in frame.select("workload", "token_class", "hours", "tokens").iter_rows():
        of_day = [0] * HOURS_PER_DAY
        for hour, count in zip(*listed, strict=True):
            of_day[hour] += count
        found.setdefault(workload, {})[token_class] = of_day
    return {workload: DayTokens(by_class=by_class) for workload, by_class in found.items()}


def _names(frame: pl.DataFrame) -> frozenset[str]:
    return frozenset(frame["workload"])


def _batches(frame: pl.DataFrame) -> dict[str, bool]:
    """By workload."""
    return dict(frame.select("workload", "is_batch").iter_rows())


def _by_workload(frame: pl.DataFrame) -> dict[str, Row]:
    return {row["workload"]: row for row in frame.to_dicts()}


def _by_deployment(frame: pl.DataFrame) -> dict[str, Row]:
    return {row["deployment_id"]: row for row in frame.to_dicts()}


PREPARE = {
    "config_deployments": pl.DataFrame.to_dicts,
    "config_workloads": pl.DataFrame.to_dicts,
    "fct_api_costs_daily": _batches,
    "fct_commitment_scopes_daily": scopes_by_workload,
    "fct_day_status_daily": status_row,
    "fct_demand_daily": _names,
    "fct_demand_hourly": _demand,
    "fct_peak_allowances_daily": _by_workload,
    "fct_scale_downs_daily": _by_deployment,
    "fct_verdicts_daily": _by_workload,
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
    "may_wait_hours": pl.Int64(),
    "may_wait_basis": pl.String(),
    "order_number": pl.Int64(),
    "peak_allowance_ratio": _MONEY,
    "capacity_replica_seconds_per_hour": _MONEY,
    "api_price_rc_per_replica_second": _MONEY,
    "api_committed_cost_rc": _MONEY,
    "replica_cost_rc": _MONEY,
    "fixed_cost_rc": _MONEY,
    "demand_replica_seconds": _MONEY,
    "served_replica_seconds": _MONEY,
    "best_replica_count": pl.Int64(),
    "best_cost_rc": _MONEY,
    "api_only_cost_rc": _MONEY,
    "next_replica_displaces_rc": _MONEY,
    "without_waiting_replica_count": pl.Int64(),
    "without_waiting_cost_rc": _MONEY,
    "waiting_saves_rc_per_month": _MONEY,
}


def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
    """One row per workload of a deployment that several workloads name, or one whose work may wait.

    Money and work are over the window. served_replica_seconds: what the best count serves of the workload; the API
    takes the rest. without_waiting: the best count were all of it served in the hour in which it came. The hours are
    those of the settled days, one after the other.
    """
    day: date = inputs["this_partition"]["from_date"][0]
    workloads = sorted(valid_on(day, inputs["config_workloads"]), key=lambda row: str(row["workload"]))
    rows: list[dict[str, Any]] = []
    for deployment in sorted(valid_on(day, inputs["config_deployments"]), key=lambda row: str(row["deployment_id"])):
        window = window_on(inputs["fct_day_status_daily"], day)
        naming = [
            {**row, **_waiting(row, window, inputs)}
            for row in workloads
            if row["deployment_id"] == deployment["deployment_id"]
        ]
        if len(naming) > 1 or any(row["may_wait_hours"] for row in naming):
            rows.extend(_rows(deployment, naming, window, inputs))
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def _waiting(workload: Row, window: Window, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """How long its work may wait, and who says so: who declared it, or all of it being bought in batch on an API."""
    if workload["may_wait_hours"]:
        return {"may_wait_hours": workload["may_wait_hours"], "may_wait_basis": "declared"}
    name = workload["workload"]
    verdict = inputs["fct_verdicts_daily"].get(window.day, {}).get(name)
    if verdict is not None and verdict["current_lane"] == "api":
        bought = {inputs["fct_api_costs_daily"].get(day, {}).get(name) for day in window.settled} - {None}
        if bought == {True}:
            return {"may_wait_hours": BATCH_WAIT_HOURS, "may_wait_basis": "batch"}
    return {"may_wait_hours": None, "may_wait_basis": None}


def _rows(deployment: Row, naming: Sequence[Row], window: Window, inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        dict.fromkeys(SCHEMA)
        | {
            "usage_date": window.day,
            "deployment_id": deployment["deployment_id"],
            "workload": workload["workload"],
            "window_from_date": min(window.settled, default=None),
            "window_days_count": len(window.settled),
            "may_wait_hours": workload["may_wait_hours"],
            "may_wait_basis": workload["may_wait_basis"],
        }
        for workload in naming
    ]
    if window.status_of_day != "settled":
        return [row | {"status": "not_settled", "reason": window.why_not_settled} for row in rows]
    verdicts = inputs["fct_verdicts_daily"].get(window.day, {})
    demand = {
        row["workload"]: [
            inputs["fct_demand_hourly"].get(found, {}).get(row["workload"], NOTHING) for found in window.settled
        ]
        for row in rows
    }
    moving = []
    for row, workload in zip(rows, naming, strict=True):
        if workload["pinned_to"] is not None:
            why = f"pinned to {workload['pinned_to']}: {workload['pin_reason']}"
            row |= {"status": "pinned", "reason": f"It is left out: {why}."}
        elif not any(day.by_class for day in demand[row["workload"]]):
            row |= {"status": "no_traffic", "reason": "no tokens of it were metered in the window"}
        else:
            moving.append(row)
    if not moving:
        return rows
    why_not = why_unknown(moving, verdicts, window, inputs)
    if any(workload["pinned_to"] == "self_host" for workload in naming):
        why_not = "a workload of it is pinned to self_host, so how many replicas it has is no question of cost"
    capacity = None if why_not else shared_capacity(deployment, moving, window, inputs)
    if isinstance(capacity, str) or capacity is None:
        return [row if row["status"] else row | {"status": "unknown", "reason": why_not or capacity} for row in rows]
    scopes = inputs["fct_commitment_scopes_daily"].get(window.day, {})
    left_out = [str(row["workload"]) for row in rows if row["status"]]
    plan = _Plan.of(moving, capacity, verdicts, demand, scopes, window, left_out)
    if isinstance(plan, str):
        return [row if row["status"] else row | {"status": "unknown", "reason": plan} for row in rows]
    return [row if row["status"] else row | plan.of_workload(row["workload"], window) for row in rows]


def why_unknown(
    moving: Sequence[Row], verdicts: Mapping[str, Row], window: Window, inputs: Mapping[str, Any]
) -> str | None:
    """Why the workloads of a deployment cannot be weighed together; None where they can."""
    for row in moving:
        name = row["workload"]
        found = verdicts.get(name)
        if found is None or found["replica_cost_rc"] is None or found["api_price_rc_per_mtok"] is None:
            return f"{name} has no verdict to weigh it by: {'none that day' if found is None else found['reason']}"
        if found["status"] == "bracketed":
            return f"the verdict on {name} is bracketed: {found['reason']}"
        if found["api_price_rc_per_mtok"] < 0:
            return f"the API cost of {name} is below zero: credits exceed what was billed"
        if any(name in inputs["fct_demand_daily"].get(day, ()) for day in window.settled):
            return f"{name} is known by the day only, and such a plan is a matter of hours"
    return None


def shared_capacity(
    deployment: Row, moving: Sequence[Row], window: Window, inputs: Mapping[str, Any]
) -> Capacity | str:
    """As the verdicts have it; of each hour the least share that the peaks of any of the workloads leave."""
    allowances = inputs["fct_peak_allowances_daily"].get(window.day, {})
    shares = [allowances[row["workload"]]["peak_allowance_ratio"] for row in moving if row["workload"] in allowances]
    declared = declared_capacity(deployment if not shares else {**deployment, "peak_allowance": min(shares)})
    if declared is not None:
        return declared
    name = str(deployment["deployment_id"])
    seen = inputs["fct_scale_downs_daily"].get(window.day, {}).get(name)
    if seen is None or seen["capacity_tokens_per_replica_hour"] is None:
        return f"what a replica of {name} sustains is unknown"
    return Capacity(
        maximum_utilization_ratio=1,
        blended_tokens_per_second=Fraction(seen["capacity_tokens_per_replica_hour"]) / 3600,
        provenance=Provenance(kind="at_least", stated_on=window.day, source=seen["capacity_source"]),
    )


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The best count for all of them, with and without waiting, in units of the scale."""

    scale: WorkScale
    capacity: Capacity
    classes: Mapping[str, RequestClass]
    committed: Fraction
    replica_cost: Decimal
    fixed_cost: Decimal
    best: ClassPlan
    at_once: ClassPlan
    left_out: Sequence[str]
    in_batch: Sequence[str]

    @classmethod
    def of(
        cls,
        moving: Sequence[Row],
        capacity: Capacity,
        verdicts: Mapping[str, Row],
        demand: Mapping[str, Sequence[DayTokens]],
        scopes: Mapping[str, Scope],
        window: Window,
        left_out: Sequence[str],
    ) -> "_Plan | str":
        names = [row["workload"] for row in moving]
        for name in names:
            if name not in scopes and verdicts[name]["api_committed_cost_rc"]:
                return f"{name} would come under a commitment and is not billed under it yet: see its own verdict"
        under = {scopes[name].name if name in scopes else None for name in names}
        if len(under) > 1:
            return "not all of its workloads are billed under one commitment: what each avoids is in its own verdict"
        committed = (
            scopes[names[0]].committed_beside(names) * len(window.settled) if names[0] in scopes else Fraction(0)
        )
        mixes = {name: mix_of(demand[name]) for name in names}
        rates = capacity.tokens_per_second_by_class
        lacking = sorted({one for mix in mixes.values() for one in mix if rates is not None and one not in rates})
        if lacking:
            return f"no throughput is declared for {', '.join(lacking)}"
        scale = work_scale(classes={one for mix in mixes.values() for one in mix}, capacity=capacity)
        classes = {
            row["workload"]: RequestClass(
                name=row["workload"],
                hourly_work=[units for day in demand[row["workload"]] for units in day.work(scale)],
                price_per_unit=unit_price(verdicts[row["workload"]], mixes[row["workload"]], scale),
                deadline_hours=row["may_wait_hours"] or 0,
            )
            for row in moving
        }
        verdict = verdicts[names[0]]

        def plan(asking: Sequence[RequestClass]) -> ClassPlan:
            return hybrid_of_classes(
                classes=asking,
                capacity_per_replica_hour=Fraction(replica_hour_work_seconds(capacity))
                * scale.units_per_replica_second,
                replica_cost=verdict["replica_cost_rc"],
                fixed_cost=verdict["fixed_cost_rc"],
                api_commitment=committed,
            )

        best = at_once = plan([replace(one, deadline_hours=0) for one in classes.values()])
        if any(one.deadline_hours for one in classes.values()):
            best = plan(list(classes.values()))
        return cls(
            scale=scale,
            capacity=capacity,
            classes=classes,
            committed=committed,
            replica_cost=verdict["replica_cost_rc"],
            fixed_cost=verdict["fixed_cost_rc"],
            best=best,
            at_once=at_once,
            left_out=left_out,
            in_batch=[row["workload"] for row in moving if row["may_wait_basis"] == "batch"],
        )

    def of_workload(self, name: str, window: Window) -> dict[str, Any]:
        served = [one.name for one in self.best.best.classes]
        found, units = self.best.best.classes[served.index(name)], self.scale.units_per_replica_second
        best, at_once = Fraction(self.best.best.total_cost), Fraction(self.at_once.best.total_cost)
        per_month = (at_once - best) / len(window.settled) * monthrange(window.day.year, window.day.month)[1]
        return {
            "status": "decided",
            "reason": self._said(per_month),
            "order_number": served.index(name) + 1,
            "peak_allowance_ratio": self.capacity.maximum_utilization_ratio,
            "capacity_replica_seconds_per_hour": _held(Fraction(replica_hour_work_seconds(self.capacity))),
            "api_price_rc_per_replica_second": _held(Fraction(self.classes[name].price_per_unit) * units),
            "api_committed_cost_rc": _held(self.committed),
            "replica_cost_rc": self.replica_cost,
            "fixed_cost_rc": self.fixed_cost,
            "demand_replica_seconds": _held((Fraction(found.served_units) + Fraction(found.overflow_units)) / units),
            "served_replica_seconds": _held(Fraction(found.served_units) / units),
            "best_replica_count": self.best.best.replicas,
            "best_cost_rc": _held(best),
            "api_only_cost_rc": _held(Fraction(self.best.alternatives[0].total_cost)),
            "next_replica_displaces_rc": _held(Fraction(self.best.next_replica.displaced_api_cost)),
            "without_waiting_replica_count": self.at_once.best.replicas,
            "without_waiting_cost_rc": _held(at_once),
            "waiting_saves_rc_per_month": _held(per_month),
        }

    def _said(self, waiting_saves: Fraction) -> str:
        """For people: how many, who goes first, and what waiting changes."""
        best, names = self.best.best, ", ".join(self.classes)
        count = f"{best.replicas} replica{'' if best.replicas == 1 else 's'}"
        said = f"For {names}{' together' if len(self.classes) > 1 else ''} {count} are best. "
        said = said.replace("1 replica are", "1 replica is")
        if best.replicas and len(self.classes) > 1:
            said += f"What goes first, and how much of it is served: {', '.join(map(_share, best.classes))}. "
        if any(one.deadline_hours for one in self.classes.values()):
            without = self.at_once.best.replicas
            said += (
                f"With nothing waiting {without} would be, and {money_text(waiting_saves)} more a month. "
                if waiting_saves
                else "Waiting changes nothing. "
            )
        if self.in_batch:
            said += f"All of {', '.join(self.in_batch)} is bought in batch, and may wait {BATCH_WAIT_HOURS} hours. "
        said += self.best.next_replica.explanation
        return f"{said} Left out: {', '.join(self.left_out)}." if self.left_out else said


def _share(found: ServedClass) -> str:
    served, whole = Fraction(found.served_units), Fraction(found.served_units) + Fraction(found.overflow_units)
    return f"{found.name} {float(served / whole):.0%}"


def mix_of(days: Sequence[DayTokens]) -> dict[str, int]:
    """Tokens by class of all their hours."""
    total: Counter[str] = Counter()
    for day in days:
        total.update({name: sum(tokens) for name, tokens in day.by_class.items()})
    return dict(total)


def unit_price(verdict: Row, mix: Mapping[str, int], scale: WorkScale) -> Fraction:
    """Of a unit of work at the workload's own mix."""
    whole = Fraction(verdict["api_price_rc_per_mtok"]) / _MTOK * sum(mix.values())
    return whole / scale.units([mix])[0]


def _held(value: Fraction) -> Decimal:
    """Half to even at the last place that the marts hold."""
    return to_places(value, _PLACES)
