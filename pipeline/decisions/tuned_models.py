"""Node `fct_tuned_models_daily`: what a tuned model costs beside its tokens, and what that makes of its verdict.

Of each workload that is billed for hosting a tuned model, or was for training one: its newest verdict of a month once
more, where hosting is a fixed cost of the API's lane, due while anything of it is there; and when a move to own GPUs
pays back what tuning costs once, beside what `migration` says. That an own model costs as much to tune as the last one
did on the API is taken, and said. Formulas: `pipeline.economics.tuned_model` and `.payback` (economics.md 2 to 4).
"""

from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from itertools import repeat
from typing import Any

import polars as pl

from pipeline.decisions import verdicts, window
from pipeline.decisions.api_side import commitments_of
from pipeline.decisions.verdicts import Grounds
from pipeline.decisions.window import Evidence, Row, evidence_on, valid_on
from pipeline.economics.exact import money_text, to_places
from pipeline.economics.payback import OneOff, payback
from pipeline.economics.tuned_model import HostedPlan, first_breakeven_with_hosting, hybrid_with_hosting
from pipeline.economics.work import tokens_per_replica_hour

_CHARGES, _VERDICTS = "fct_api_other_charges_daily", "fct_verdicts_daily"
HISTORY_DAYS = 400
# A tuning is billed over some days; one that follows later is the next one.
TRAINING_DAYS = 28
_PAYBACK_MONTHS = 120
_PLACES = 18
INPUTS = (*window.INPUTS, _CHARGES, _VERDICTS)
LOOKBACK = {**window.LOOKBACK, _CHARGES: HISTORY_DAYS}
PREPARE = window.PREPARE
READS: Mapping[str, str] = {
    **window.READS,
    _CHARGES: """
        select usage_date, workload, other_kind, billing_currency, billed_cost_rc
        from fct_api_other_charges_daily
        where other_kind in ('fine_tune_training', 'tuned_model_hosting') and workload != 'unassigned'""",
    _VERDICTS: """
        select
            usage_date, workload, status, reason, recommendation, best_replica_count, current_lane,
            current_replica_count, current_cost_rc
        from fct_verdicts_daily""",
}
_MONEY = pl.Decimal(38, 18)
SCHEMA: Mapping[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "workload": pl.String(),
    "status": pl.String(),
    "reason": pl.String(),
    "hosting_cost_rc": _MONEY,
    "hosting_days_count": pl.Int64(),
    "training_one_off_rc": _MONEY,
    "training_from_date": pl.Date(),
    "training_to_date": pl.Date(),
    "verdict_recommendation": pl.String(),
    "verdict_replica_count": pl.Int64(),
    "recommendation": pl.String(),
    "best_replica_count": pl.Int64(),
    "best_cost_rc": _MONEY,
    "api_only_cost_rc": _MONEY,
    "current_cost_rc": _MONEY,
    "breakeven_first_tokens_per_day": pl.Float64(),
    "saving_rc_per_month": _MONEY,
    "move_one_off_rc": _MONEY,
    "payback_months": _MONEY,
}


@dataclass(frozen=True)
class _Charges:
    """Of one workload, in the reporting currency: hosting over the window's settled days, and the last training."""

    hosting: Fraction
    hosting_days: int
    training: Fraction
    training_days: Sequence[date]
    unconverted: Sequence[str]

    @classmethod
    def of(cls, rows: Sequence[Row], settled: Sequence[date]) -> "_Charges":
        hosting = [
            row for row in rows if row["other_kind"] == "tuned_model_hosting" and row["usage_date"] in set(settled)
        ]
        trained = [row for row in rows if row["other_kind"] == "fine_tune_training"]
        last = max((row["usage_date"] for row in trained), default=date.min)
        training = [row for row in trained if (last - row["usage_date"]).days < TRAINING_DAYS]
        return cls(
            hosting=_sum(hosting),
            hosting_days=len({row["usage_date"] for row in hosting}),
            training=_sum(training),
            training_days=sorted({row["usage_date"] for row in training}),
            unconverted=sorted(
                {row["billing_currency"] for row in (*hosting, *training) if row["billed_cost_rc"] is None}
            ),
        )

    @property
    def is_any(self) -> bool:
        return bool(self.hosting_days or self.training_days)


def _sum(rows: Sequence[Row]) -> Fraction:
    return sum((Fraction(row["billed_cost_rc"]) for row in rows if row["billed_cost_rc"] is not None), Fraction(0))


def build(frames: Mapping[str, Any]) -> pl.DataFrame:
    """One row per workload with such charges on the newest settled day of the partition's month.

    hosting_cost_rc, best_cost_rc, api_only_cost_rc, current_cost_rc: over the verdict's window. training_one_off_rc:
    that of the 28 days up to the last such charge, of at most 400 days. move_one_off_rc: it and the declared
    migration, where the advice is to move to own GPUs.
    """
    this = frames["this_partition"].row(0, named=True)
    charges = frames[_CHARGES]
    rows: list[dict[str, Any]] = []
    if charges.height:
        said = frames[_VERDICTS].filter(
            pl.col("usage_date").is_between(this["from_date"], this["to_date"], closed="left")
            & (pl.col("status") != "not_settled")
        )
        day = said["usage_date"].max()
        if isinstance(day, date):
            rows = _rows_of_day(day, said.filter(pl.col("usage_date") == day), charges, frames)
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def _rows_of_day(
    day: date, said: pl.DataFrame, charges: pl.DataFrame, frames: Mapping[str, Any]
) -> list[dict[str, Any]]:
    since = day - timedelta(days=HISTORY_DAYS)
    theirs = charges.filter(pl.col("usage_date").is_between(since, day)).to_dicts()
    named = {row["workload"] for row in theirs}
    asked = [verdict for verdict in said.sort("workload").to_dicts() if verdict["workload"] in named]
    if not asked:
        return []
    prepared = window.until(frames, day)
    evidence = evidence_on(day, prepared)
    deployments = {row["deployment_id"]: row for row in valid_on(day, prepared["config_deployments"])}
    workloads = {row["workload"]: row for row in valid_on(day, prepared["config_workloads"])}
    rows = []
    for verdict in asked:
        workload = workloads[verdict["workload"]]
        own = _Charges.of([row for row in theirs if row["workload"] == workload["workload"]], evidence.window.settled)
        if own.is_any:
            rows.append(row_of(workload, deployments.get(workload["deployment_id"]), verdict, own, evidence))
    return rows


def row_of(
    workload: Row, deployment: Row | None, verdict: Row, charges: _Charges, evidence: Evidence
) -> dict[str, Any]:
    """One row of the node: the charges, and the verdict with them as far as it can be decided."""
    row: dict[str, Any] = dict.fromkeys(SCHEMA) | {
        "usage_date": evidence.window.day,
        "workload": workload["workload"],
        "verdict_recommendation": verdict["recommendation"],
        "verdict_replica_count": verdict["best_replica_count"],
    }
    if charges.unconverted:
        named = ", ".join(charges.unconverted)
        return row | {"status": "unknown", "reason": f"what is billed for its tuned model in {named} is not converted"}
    row |= {
        "hosting_cost_rc": _held(charges.hosting) if charges.hosting_days else None,
        "hosting_days_count": charges.hosting_days,
        "training_one_off_rc": _held(charges.training) if charges.training_days else None,
        "training_from_date": min(charges.training_days, default=None),
        "training_to_date": max(charges.training_days, default=None),
    }
    grounds = verdicts.grounds_of(workload, deployment, evidence)
    why_not = _why_undecided(workload, verdict, charges, grounds, evidence)
    if why_not is not None or isinstance(grounds, str) or deployment is None:
        return row | {"status": "unknown", "reason": f"{_said_of_charges(charges)} {why_not}"}
    return row | _decided(workload, deployment, verdict, charges, grounds, evidence)


def _why_undecided(
    workload: Row, verdict: Row, charges: _Charges, grounds: Grounds | str, evidence: Evidence
) -> str | None:
    if isinstance(grounds, str):
        return f"Its verdict is not decided: {grounds}"
    if verdict["status"] not in ("decided", "pinned") or verdict["current_cost_rc"] is None:
        return f"Its verdict is not decided: {verdict['reason']}"
    given_back = [what for what, net in (("hosting", charges.hosting), ("training", charges.training)) if net < 0]
    if given_back:
        return f"More was given back for {' and '.join(given_back)} than billed: what it costs is not known."
    if grounds.work.days:
        return "Its hours are known by the day only: what a count leaves to the API, and so its hosting, is not."
    if charges.hosting_days and commitments_of(workload, evidence):
        return "It is under a commitment, which hosting goes against too: what of hosting is avoided is not told apart."
    return None


def _decided(
    workload: Row, deployment: Row, verdict: Row, charges: _Charges, grounds: Grounds, evidence: Evidence
) -> dict[str, Any]:
    days = len(evidence.window.settled)
    plan = hybrid_with_hosting(grounds.plans.flattest.alternatives, hosting=charges.hosting)
    per_hour = Fraction(tokens_per_replica_hour(mix=grounds.demand, capacity=grounds.capacity))
    first = first_breakeven_with_hosting(
        price_per_token=grounds.price.of(grounds.demand) / sum(grounds.demand.values()),
        capacity_tokens=per_hour * evidence.window.hours,
        replica_cost=grounds.replica_cost,
        fixed_cost=Fraction(grounds.fixed_cost) + grounds.price.committed,
        hosting=charges.hosting,
        spare_replicas=int(deployment["spare_replicas"]),
        minimum_replicas=int(deployment["minimum_replicas"]),
    )
    current = Fraction(verdict["current_cost_rc"]) + charges.hosting
    month = monthrange(evidence.window.day.year, evidence.window.day.month)[1]
    saving = (current - plan.best_cost) / days * month
    advised = None
    if workload["pinned_to"] is None:
        replicas = round(verdict["current_replica_count"])
        advised = verdicts.advised(plan.replicas, lane=verdict["current_lane"], replicas=replicas)
    row: dict[str, Any] = {
        "status": "decided" if workload["pinned_to"] is None else "pinned",
        "recommendation": advised,
        "best_replica_count": plan.replicas,
        "best_cost_rc": _held(plan.best_cost),
        "api_only_cost_rc": _held(plan.api_only_cost),
        "current_cost_rc": _held(current),
        "breakeven_first_tokens_per_day": None if first is None else float(first / days),
        "saving_rc_per_month": _held(saving),
    }
    row |= _paid_back(workload, advised, charges, saving)
    return row | {"reason": _said(verdict, charges, plan, row)}


def _paid_back(workload: Row, advised: str | None, charges: _Charges, saving: Fraction) -> dict[str, Any]:
    """When a move to own GPUs has returned what it costs once; nothing where nothing moves there or costs anything."""
    if advised not in ("fill", "switch_to_self_host") or not charges.training:
        return {}
    declared = workload["migration_one_off_cost"]
    one_offs = [OneOff(item="training", amount=charges.training)]
    if declared is not None:
        one_offs.append(OneOff(item="migration", amount=declared))
    found = payback(monthly_savings=repeat(saving, _PAYBACK_MONTHS), one_offs=one_offs)
    return {
        "move_one_off_rc": _held(Fraction(found.one_off)),
        "payback_months": None if found.months is None else _held(Fraction(found.months)),
    }


def _said_of_charges(charges: _Charges) -> str:
    said = []
    if charges.hosting_days:
        said.append(
            f"Hosting of its tuned model is {money_text(charges.hosting)} over the window, due while anything of it is "
            "on the API."
        )
    if charges.training_days:
        first, last = charges.training_days[0], charges.training_days[-1]
        when = f"on {first}" if first == last else f"from {first} to {last}"
        said.append(f"Training was {money_text(charges.training)} {when}, spent once.")
    return " ".join(said)


def _said(verdict: Row, charges: _Charges, plan: HostedPlan, row: Row) -> str:
    parts = [_said_of_charges(charges)]
    if charges.hosting_days:
        before, now = verdict["best_replica_count"], plan.replicas
        same = "as without it" if before == now else f"where without it {_counted(before)} would be"
        is_best = "is" if now == 1 else "are"
        parts.append(f"With it {_counted(now)} {is_best} best, {same}.")
    if row.get("move_one_off_rc") is not None:
        also = "" if Fraction(row["move_one_off_rc"]) == charges.training else " and the migration declared"
        months = row["payback_months"]
        when = f"in {months:.1f} months" if months is not None else f"not within {_PAYBACK_MONTHS} months"
        parts.append(
            f"An own model is taken to cost as much to tune: that{also}, {money_text(row['move_one_off_rc'])} in all, "
            f"is paid back {when}."
        )
    return " ".join(parts)


def _counted(replicas: int) -> str:
    return f"{replicas} replica" if replicas == 1 else f"{replicas} replicas"


def _held(value: Fraction) -> Any:
    return to_places(value, _PLACES)
