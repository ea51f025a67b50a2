"""Node `fct_rental_plans_daily`: what a workload would cost on GPUs rented otherwise than they are billed.

`rent` of a deployment in breakeven.yaml says what a GPU-hour costs on demand, reserved, and what a start takes. Then
two plans stand beside the verdict, whose own count they do not change: `reserved`, so many replicas bound for all of
the window, more on demand in single hours, the API for the rest; `start_stop`, replicas that come and go, down to none.
Formulas: economics.md section 4, computed in `pipeline.economics.reserved` and `pipeline.economics.start_up`.
"""

from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.decisions import deployment_plans, rates
from pipeline.decisions.deployment_plans import NOTHING, DayTokens, mix_of, shared_capacity, unit_price, why_unknown
from pipeline.decisions.window import Row, Window, valid_on, window_on
from pipeline.economics.exact import money_text, to_places
from pipeline.economics.reserved import reserved_hybrid
from pipeline.economics.start_up import start_up_plan
from pipeline.economics.work import Capacity, replica_hour_work_seconds, work_scale

_PLACES = 18
_FX = "int_fx_rates_daily"
INPUTS = (*(name for name in deployment_plans.INPUTS if name != "fct_commitment_scopes_daily"), "config_rents", _FX)
LOOKBACK = deployment_plans.LOOKBACK
READS: Mapping[str, str] = {
    **{name: text for name, text in deployment_plans.READS.items() if name in INPUTS},
    _FX: rates.READ,
}
PREPARE: Mapping[str, Any] = {
    **{name: found for name, found in deployment_plans.PREPARE.items() if name in INPUTS},
    "config_rents": pl.DataFrame.to_dicts,
    _FX: rates.rates_of_day,
}
_MONEY = pl.Decimal(38, 18)
SCHEMA: Mapping[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "workload": pl.String(),
    "deployment_id": pl.String(),
    "plan": pl.String(),
    "status": pl.String(),
    "reason": pl.String(),
    "window_from_date": pl.Date(),
    "window_days_count": pl.Int64(),
    "on_demand_replica_hour_rate_rc": _MONEY,
    "reserved_replica_hour_rate_rc": _MONEY,
    "reserved_replica_count": pl.Int64(),
    "on_demand_replica_hours": pl.Int64(),
    "replica_start_count": pl.Int64(),
    "idle_gap_count": pl.Int64(),
    "rent_cost_rc": _MONEY,
    "start_cost_rc": _MONEY,
    "fixed_cost_rc": _MONEY,
    "api_cost_rc": _MONEY,
    "total_cost_rc": _MONEY,
    "verdict_cost_rc": _MONEY,
    "saving_rc_per_month": _MONEY,
}


def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
    """One row per plan and workload of a deployment of which a `rent` is declared. Money is over the window.

    saving_rc_per_month: against the best of the verdict, at what its GPUs are billed.
    """
    day: date = inputs["this_partition"]["from_date"][0]
    rents = {row["deployment_id"]: row for row in valid_on(day, inputs["config_rents"])}
    rows: list[dict[str, Any]] = []
    if rents:
        deployments = {row["deployment_id"]: row for row in valid_on(day, inputs["config_deployments"])}
        window = window_on(inputs["fct_day_status_daily"], day)
        for workload in sorted(valid_on(day, inputs["config_workloads"]), key=lambda row: str(row["workload"])):
            name = workload["deployment_id"]
            if name in rents and name in deployments:
                rows.extend(_rows(workload, deployments[name], rents[name], window, inputs))
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def _rows(
    workload: Row, deployment: Row, rent: Row, window: Window, inputs: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    common: dict[str, Any] = dict.fromkeys(SCHEMA) | {
        "usage_date": window.day,
        "workload": workload["workload"],
        "deployment_id": deployment["deployment_id"],
        "window_from_date": min(window.settled, default=None),
        "window_days_count": len(window.settled),
    }
    plans = [
        name for name, said in (("reserved", "reserved_gpu_hour_rate"), ("start_stop", "warm_up_minutes"))
        if rent[said] is not None
    ]  # fmt: skip
    found = _grounds(common, workload, deployment, rent, window, inputs)
    for plan in plans:
        row = common | {"plan": plan}
        lacking = _between(window) if plan == "start_stop" else None
        if isinstance(found, str):
            status = "unknown" if window.status_of_day == "settled" else "not_settled"
            yield row | {"status": status, "reason": found}
        elif lacking is not None:
            yield row | {"status": "unknown", "reason": lacking}
        else:
            yield row | found.plan(plan, window)


def _between(window: Window) -> str | None:
    """Why replicas cannot be followed from hour to hour: a day between two settled ones is not. None where none is."""
    after = [day + timedelta(days=1) for day in window.settled[:-1]]
    lacking = [day for day, following in zip(after, window.settled[1:], strict=True) if day != following]
    if not lacking:
        return None
    return f"{lacking[0]} is not settled, and what starts and stops is followed from hour to hour without a gap"


def _grounds(
    common: Row, workload: Row, deployment: Row, rent: Row, window: Window, inputs: Mapping[str, Any]
) -> "_Grounds | str":
    """What the plans of a workload are made of; why there are none where something of it is unknown."""
    if window.status_of_day != "settled":
        return window.why_not_settled
    name = str(workload["workload"])
    if workload["pinned_to"] is not None:
        return f"pinned to {workload['pinned_to']}: {workload['pin_reason']}"
    demand = [inputs["fct_demand_hourly"].get(found, {}).get(name, NOTHING) for found in window.settled]
    if not any(day.by_class for day in demand):
        return "no tokens of it were metered in the window"
    verdicts = inputs["fct_verdicts_daily"].get(window.day, {})
    unknown = why_unknown([common], verdicts, window, inputs)
    if unknown is not None:
        return unknown
    if verdicts[name]["api_committed_cost_rc"]:
        return "its API traffic is under a commitment: whatif --offers compares rents beside one"
    of_day = inputs[_FX].get(window.day)
    unit = None if of_day is None else of_day.by_currency.get(rent["currency"])
    if unit is None:
        return f"the rent of {deployment['deployment_id']} is in {rent['currency']}, which has no rate on {window.day}"
    capacity = shared_capacity(deployment, [common], window, inputs)
    if isinstance(capacity, str):
        return capacity
    classes = capacity.tokens_per_second_by_class
    lacking = sorted(one for one in mix_of(demand) if classes is not None and one not in classes)
    if lacking:
        return f"no throughput is declared for {', '.join(lacking)}"
    return _Grounds(
        demand, capacity, verdicts[name], rent, per_gpu=unit * int(deployment["gpus_per_replica"]), unit=unit
    )


class _Grounds:
    """Demand in whole units of work, prices of a unit and of a replica-hour, in the reporting currency."""

    def __init__(
        self,
        demand: Sequence[DayTokens],
        capacity: Capacity,
        verdict: Row,
        rent: Row,
        *,
        per_gpu: Fraction,
        unit: Fraction,
    ) -> None:
        mix = mix_of(demand)
        scale = work_scale(classes=mix, capacity=capacity)
        self._hours = [units for day in demand for units in day.work(scale)]
        self._common: dict[str, Any] = {
            "capacity_per_replica_hour": Fraction(replica_hour_work_seconds(capacity)) * scale.units_per_replica_second,
            "fixed_cost": verdict["fixed_cost_rc"],
            "price_per_unit": unit_price(verdict, mix, scale),
        }
        self._verdict_cost = verdict["best_cost_rc"]
        self._on_demand = Fraction(rent["on_demand_gpu_hour_rate"]) * per_gpu
        reserved = rent["reserved_gpu_hour_rate"]
        self._reserved = None if reserved is None else Fraction(reserved) * per_gpu
        self._start = Fraction(rent["start_cost"]) * unit
        self._warm_up = None if rent["warm_up_minutes"] is None else Fraction(rent["warm_up_minutes"], 60)

    def plan(self, name: str, window: Window) -> dict[str, Any]:
        row = self._reserved_row() if name == "reserved" else self._start_stop_row()
        best, saving = self._verdict_cost, None
        if best is not None:
            month = monthrange(window.day.year, window.day.month)[1]
            saving = (Fraction(best) - row["total_cost_rc"]) / len(window.settled) * month
            row["reason"] += (
                f" It would save {money_text(saving)} a month beside the verdict's best."
                if saving > 0
                else " The verdict's best, at what its GPUs are billed, costs no more."
            )
        held = {key: _held(value) if isinstance(value, Fraction) else value for key, value in row.items()}
        return held | {
            "status": "decided",
            "on_demand_replica_hour_rate_rc": _held(self._on_demand),
            "verdict_cost_rc": best,
            "saving_rc_per_month": None if saving is None else _held(saving),
        }

    def _reserved_row(self) -> dict[str, Any]:
        assert self._reserved is not None
        plan = reserved_hybrid(
            hourly_demand=self._hours,
            reserved_cost=self._reserved * len(self._hours),
            on_demand_cost_per_hour=self._on_demand,
            **self._common,
        )
        best = plan.best
        return {
            "reason": f"{best.reserved_replicas} reserved and {best.on_demand_hours} replica-hours on demand are best. "
            f"{plan.explanation}",
            "reserved_replica_hour_rate_rc": self._reserved,
            "reserved_replica_count": best.reserved_replicas,
            "on_demand_replica_hours": best.on_demand_hours,
            "rent_cost_rc": Fraction(best.reserved_cost) + Fraction(best.on_demand_cost),
            "fixed_cost_rc": Fraction(best.fixed_cost),
            "api_cost_rc": Fraction(best.api_cost),
            "total_cost_rc": Fraction(best.total_cost),
        }

    def _start_stop_row(self) -> dict[str, Any]:
        assert self._warm_up is not None
        plan = start_up_plan(
            hourly_demand=self._hours,
            replica_cost_per_hour=self._on_demand,
            start_cost=self._start,
            warm_up_share_of_hour=self._warm_up,
            **self._common,
        )
        return {
            "reason": plan.explanation,
            "on_demand_replica_hours": sum(plan.replicas_by_hour),
            "replica_start_count": plan.started,
            "idle_gap_count": len(plan.gaps),
            "rent_cost_rc": Fraction(plan.rent),
            "start_cost_rc": Fraction(plan.start_cost),
            "fixed_cost_rc": Fraction(plan.fixed_cost),
            "api_cost_rc": Fraction(plan.api_cost),
            "total_cost_rc": Fraction(plan.total_cost),
        }


def _held(value: Fraction) -> Decimal:
    """Half to even at the last place that the marts hold."""
    return to_places(value, _PLACES)
