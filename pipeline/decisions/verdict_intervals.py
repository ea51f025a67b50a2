"""Node `fct_verdict_intervals_daily`: how sure each month's newest verdict is, and what of it moves it most.

The newest settled day of each month, which is the day that `verdict` and the monthly report speak of: a thousand
resamples of every day of history would be read by nobody. The inputs are those of the verdict, which it reads from the
same marts by the same functions; formulas are in `pipeline.economics` (economics.md 8).
"""

from calendar import monthrange
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.decisions import verdicts, window
from pipeline.decisions.api_side import declared_prices, realized_prices
from pipeline.decisions.side_by_side import side_by_side
from pipeline.decisions.supposing import Supposed, WhatIfError, with_supposed
from pipeline.decisions.verdicts import Grounds
from pipeline.decisions.window import QUANTA, Evidence, Row, Rows, Served, evidence_on, valid_on
from pipeline.economics.breakeven_interval import (
    LEAST_PROBABILITY,
    NEVER,
    BreakevenInterval,
    ClassDays,
    Quantiles,
    Terms,
    WorkloadDays,
    breakeven_interval,
)
from pipeline.economics.resampling import BLOCK_DAYS, FEWEST_BLOCKS
from pipeline.economics.sensitivity import Factors, Scenario, Sensitivity
from pipeline.economics.work import replica_hour_work_seconds, work_scale

_VERDICTS, _TUNED = "fct_verdicts_daily", "fct_tuned_models_daily"
INPUTS = (*window.INPUTS, _TUNED, _VERDICTS)
LOOKBACK = window.LOOKBACK
PREPARE = window.PREPARE
_FX_SHIFT = 0.05
_MTOK = 1_000_000
# A workload takes about ten milliseconds, another process half a second to begin (2026-11-29).
_FEWEST_SIDE_BY_SIDE = 200
READS: Mapping[str, str] = {
    **window.READS,
    _TUNED: "select usage_date, workload, status, recommendation, training_one_off_rc from fct_tuned_models_daily",
    _VERDICTS: """
        select usage_date, workload, status, recommendation, best_replica_count, all_self_host_replica_count
        from fct_verdicts_daily""",
}

TORNADO_INPUTS = ("api_price", "gpu_rate", "capacity", "traffic")


def _spread(name: str, unit: str) -> dict[str, pl.DataType]:
    return {f"{name}_{share}_{unit}": pl.Float64() for share in ("p05", "p50", "p95")}


SCHEMA: Mapping[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "workload": pl.String(),
    "status": pl.String(),
    "reason": pl.String(),
    "days_count": pl.Int64(),
    "resample_count": pl.Int64(),
    "advised_replica_count": pl.Int64(),
    "breakeven_tokens_per_day": pl.Float64(),
    **_spread("breakeven", "tokens_per_day"),
    "no_breakeven_probability_ratio": pl.Float64(),
    "exceeded_probability_ratio": pl.Float64(),
    "self_host_probability_ratio": pl.Float64(),
    "saving_probability_ratio": pl.Float64(),
    "saving_rc_per_month": pl.Float64(),
    **_spread("saving", "rc_per_month"),
    "saving_p20_rc_per_month": pl.Float64(),
    "best_p05_replica_count": pl.Int64(),
    "best_p50_replica_count": pl.Int64(),
    "best_p95_replica_count": pl.Int64(),
    **_spread("demand", "tokens_per_day"),
    **_spread("api_price", "rc_per_mtok"),
    **_spread("gpu_rate", "rc_per_gpu_hour"),
    **_spread("capacity", "tokens_per_replica_hour"),
    **{
        f"{what}_at_{name}_{share}_{unit}": pl.Float64()
        for name in TORNADO_INPUTS
        for what, unit in (("breakeven", "tokens_per_day"), ("saving", "rc_per_month"))
        for share in ("p05", "p95")
    },
    "foreign_currencies": pl.String(),
    **{
        f"{what}_at_fx_{side}_{unit}": kind
        for side in ("less", "more")
        for what, unit, kind in (
            ("breakeven", "tokens_per_day", pl.Float64()),
            ("best", "replica_count", pl.Int64()),
            ("saving", "rc_per_month", pl.Float64()),
        )
    },
    "overheads_rc_per_month": pl.Float64(),
    "breakeven_overheads_rc_per_month": pl.Float64(),
    "breakeven_without_overheads_tokens_per_day": pl.Float64(),
    "best_without_overheads_replica_count": pl.Int64(),
    "is_sure": pl.Boolean(),
    "migration_one_off_rc": pl.Decimal(38, 18),
    "migration_payback_months": pl.Int64(),
    "training_one_off_rc": pl.Decimal(38, 18),
    "pays_back_probability_ratio": pl.Float64(),
    "movable_share_ratio": pl.Decimal(38, 18),
    "tokens_per_api_token": pl.Decimal(38, 18),
    "quality_status": pl.String(),
    "quality_reason": pl.String(),
    "quality_recommendation": pl.String(),
    "quality_best_replica_count": pl.Int64(),
    "quality_breakeven_tokens_per_day": pl.Float64(),
    "quality_saving_rc_per_month": pl.Decimal(38, 18),
    "pinned_to": pl.String(),
    "pinned_replica_count": pl.Int64(),
    "pin_cost_rc_per_month": pl.Float64(),
    **_spread("pin_cost", "rc_per_month"),
    "pin_cost_probability_ratio": pl.Float64(),
}


_Inputs = tuple[Grounds, WorkloadDays, Terms]


@dataclass(frozen=True)
class _Asked:
    """One workload on the day, what its verdict said, and the marts made ready by day.

    tuned: its row of `fct_tuned_models_daily`, where it has one.
    """

    workload: Row
    deployment: Row | None
    verdict: Row
    evidence: Evidence
    prepared: Mapping[str, Any]
    tuned: Row | None = None


def build(frames: Mapping[str, Any]) -> pl.DataFrame:
    """One row per workload that is declared on the newest settled day of the partition's month."""
    this = frames["this_partition"].row(0, named=True)
    said = frames[_VERDICTS].filter(
        pl.col("usage_date").is_between(this["from_date"], this["to_date"], closed="left")
        & (pl.col("status") != "not_settled")
    )
    day = said["usage_date"].max()
    rows: list[dict[str, Any]] = []
    if isinstance(day, date):
        prepared = window.until(frames, day)
        evidence = evidence_on(day, prepared)
        deployments = {row["deployment_id"]: row for row in valid_on(day, prepared["config_deployments"])}
        workloads = {row["workload"]: row for row in valid_on(day, prepared["config_workloads"])}
        tuned = {row["workload"]: row for row in frames[_TUNED].filter(pl.col("usage_date") == day).to_dicts()}
        every = [
            _Asked(
                workload,
                deployments.get(workload["deployment_id"]),
                verdict,
                evidence,
                prepared,
                tuned.get(workload["workload"]),
            )
            for verdict in said.filter(pl.col("usage_date") == day).sort("workload").to_dicts()
            for workload in (workloads[verdict["workload"]],)
        ]
        rows = [dict.fromkeys(SCHEMA) | row for row in _rows(every)]
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def _rows(every: Sequence[_Asked]) -> list[dict[str, Any]]:
    inputs = [_inputs(asked) for asked in every]
    drawn = [(days, terms) for found in inputs if not isinstance(found, str) for _, days, terms in (found,)]
    intervals = iter(side_by_side(breakeven_interval, drawn, fewest=_FEWEST_SIDE_BY_SIDE))
    return [
        _row(asked, found, None if isinstance(found, str) else next(intervals))
        for asked, found in zip(every, inputs, strict=True)
    ]


def _row(asked: _Asked, inputs: _Inputs | str, interval: BreakevenInterval | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "usage_date": asked.evidence.window.day,
        "workload": asked.workload["workload"],
        "days_count": len(asked.evidence.window.settled),
        "pinned_to": asked.workload["pinned_to"],
    }
    quality = _with_quality(asked)
    row |= quality
    if isinstance(inputs, str) or interval is None:
        return row | {"status": "unknown", "reason": inputs}
    found, days, terms = inputs
    sensitivity = Sensitivity(days, terms, interval.point)
    return (
        row
        | {"status": "known", "advised_replica_count": terms.replicas, "resample_count": interval.resamples}
        | _of_interval(interval, asked)
        | _of_tornado(interval, sensitivity, asked)
        | _of_exchange_rates(found, sensitivity, asked)
        | _of_overheads(sensitivity, terms, asked)
        | _of_pin(interval, terms, asked)
        | {"is_sure": _is_sure(interval, terms, asked, quality)}
    )


def _with_quality(asked: _Asked) -> dict[str, Any]:
    """The verdict once more, of the share that may move and with as many own tokens as a task takes (economics.md 2).

    Nothing where neither is declared.
    """
    share, tokens = asked.workload["movable_share_ratio"], asked.workload["tokens_per_api_token"]
    if share is None and tokens is None:
        return {}
    said = {"movable_share_ratio": share, "tokens_per_api_token": tokens}
    supposed = Supposed(
        movable_share=None if share is None else Fraction(share),
        self_tokens_per_api_token=None if tokens is None else Fraction(tokens),
    )
    try:
        found = verdicts.verdict_of(*with_supposed(asked.workload, asked.deployment, asked.evidence, supposed))
    except WhatIfError as error:
        return said | {"quality_status": "unknown", "quality_reason": str(error)}
    return said | {
        "quality_status": found["status"],
        "quality_reason": found["reason"],
        "quality_recommendation": found["recommendation"],
        "quality_best_replica_count": found["best_replica_count"],
        "quality_breakeven_tokens_per_day": found["breakeven_first_tokens_per_day"],
        "quality_saving_rc_per_month": found["saving_rc_per_month"],
    }


def _inputs(asked: _Asked) -> _Inputs | str:
    """The verdict's inputs day by day; or why there is no interval."""
    name, evidence = str(asked.workload["workload"]), asked.evidence
    if asked.verdict["best_replica_count"] is None:
        return f"its verdict has no replica count ({asked.verdict['status']}): there is nothing to be sure of"
    settled = evidence.window.settled
    if len(settled) < FEWEST_BLOCKS * BLOCK_DAYS:
        return f"{len(settled)} settled days: two blocks of {BLOCK_DAYS} are the least that can be drawn again"
    found = verdicts.grounds_of(asked.workload, asked.deployment, evidence)
    hours, sums = evidence.demand_of(name)
    if sums:
        return f"{len(sums)} of its days are known as sums only: their hours cannot be drawn again"
    if isinstance(found, str):
        return found
    assert asked.deployment is not None
    scale = work_scale(classes=frozenset().union(*(day.classes for day in hours)), capacity=found.capacity)
    per_hour = Fraction(replica_hour_work_seconds(found.capacity)) * scale.units_per_replica_second
    served = _served(asked)
    gpu = _by_day(evidence.gpu_costs.get(str(asked.deployment["deployment_id"]), ()))
    days = WorkloadDays(
        classes=_classes(name, found, evidence),
        hourly_units=[day.work(scale) for day in hours],
        gpu_cost=[
            sum(row["realized_cost_quanta"] for row in gpu.get(day, ()) if row["gpu_milliseconds"]) for day in settled
        ],
        gpu_milliseconds=[sum(row["gpu_milliseconds"] or 0 for row in gpu.get(day, ())) for day in settled],
        own_tokens=[of_day.by_workload[name] for of_day in served],
        everyone_tokens=[of_day.by_workload.total() for of_day in served],
        best_hour_tokens=_best_hours(asked, served) if found.capacity.provenance.kind == "at_least" else None,
    )
    terms = Terms(
        capacity_units_per_replica_hour=per_hour,
        gpus_per_replica=int(asked.deployment["gpus_per_replica"]),
        fixed_cost=Fraction(found.fixed_cost) * QUANTA,
        committed=found.price.committed * QUANTA,
        replicas=asked.verdict["best_replica_count"],
        minimum_replicas=max(1, int(asked.deployment["minimum_replicas"])),
        spare_replicas=int(asked.deployment["spare_replicas"]),
        pinned_replicas=_pinned_replicas(asked),
        needed_saving=_needed_saving(asked),
    )
    return found, days, terms


def _pinned_replicas(asked: _Asked) -> int | None:
    """The API has none; own GPUs as many as carry the p99 hour with headroom, as the verdict counts them."""
    if asked.workload["pinned_to"] is None:
        return None
    count: int | None = 0 if asked.workload["pinned_to"] == "api" else asked.verdict["all_self_host_replica_count"]
    return count


def _served(asked: _Asked) -> list[Served]:
    """What its deployment served on each day."""
    assert asked.deployment is not None
    name, by_day = asked.deployment["deployment_id"], asked.prepared["int_self_host_tokens_hourly"]
    return [by_day.get(day, {}).get(name) or Served() for day in asked.evidence.window.settled]


def _best_hours(asked: _Asked, served: Sequence[Served]) -> list[Fraction]:
    """The most that a replica served in an hour of each day; none on a day that was not paid for."""
    assert asked.deployment is not None
    replicas = verdicts.replicas_by_day(asked.deployment, asked.evidence)
    return [
        max(of_day.by_hour.values(), default=0) / replicas[day] if day in replicas else Fraction(0)
        for day, of_day in zip(asked.evidence.window.settled, served, strict=True)
    ]


def _by_day(rows: Rows) -> dict[date, list[Row]]:
    found: dict[date, list[Row]] = {}
    for row in rows:
        found.setdefault(row["usage_date"], []).append(row)
    return found


def _classes(name: str, found: Grounds, evidence: Evidence) -> list[ClassDays]:
    demand: Counter[tuple[date, str]] = Counter()
    on_api: Counter[tuple[date, str]] = Counter()
    cost: Counter[tuple[date, str]] = Counter()
    billed: Counter[tuple[date, str]] = Counter()
    for row in evidence.daily.get(name, ()):
        key = (row["usage_date"], row["token_class"])
        demand[key] += row["tokens"] or 0
        on_api[key] += (row["tokens"] or 0) if row["lane"] == "api" else 0
    for day, rows in _by_day(evidence.api_costs.get(name, ())).items():
        # At the price of the verdict's day, as the verdict counts it; to the whole quantum.
        for token_class, realized in realized_prices(rows, evidence).items():
            cost[day, token_class] += round(realized.now * QUANTA)
            billed[day, token_class] += realized.tokens

    def by_day(of: Counter[tuple[date, str]], token_class: str) -> Sequence[int]:
        return [of[day, token_class] for day in evidence.window.settled]

    return [
        ClassDays(
            demand_tokens=by_day(demand, token_class),
            api_tokens=by_day(on_api, token_class),
            billed_cost=by_day(cost, token_class),
            billed_tokens=by_day(billed, token_class),
            price_per_token=found.price.by_class[token_class] * QUANTA,
        )
        for token_class in found.demand
    ]


@dataclass(frozen=True)
class _Month:
    """From quanta over the window's days to money of the verdict's month."""

    days: int
    days_in_month: int

    @classmethod
    def of(cls, asked: _Asked) -> "_Month":
        day = asked.evidence.window.day
        return cls(len(asked.evidence.window.settled), monthrange(day.year, day.month)[1])

    def money(self, quanta: float) -> float:
        return _digits(quanta / QUANTA / self.days * self.days_in_month)


def _digits(value: float) -> float:
    """Twelve significant digits: what lies behind them depends on how a machine rounds, not on the days."""
    return float(f"{value:.12g}")


def _volume(tokens: float) -> float | None:
    """Of a break-even: None is never."""
    return None if tokens == NEVER else _digits(tokens)


def _spread_of(name: str, unit: str, found: Quantiles, factor: float = 1.0) -> dict[str, float | None]:
    shares = {"p05": found.low, "p50": found.middle, "p95": found.high}
    return {f"{name}_{share}_{unit}": _volume(value * factor) for share, value in shares.items()}


def _of_migration(interval: BreakevenInterval, asked: _Asked) -> dict[str, Any]:
    """What moving costs once, and how likely that is paid back in time; nothing where nothing moves or is declared."""
    if not _moves(asked.verdict) or asked.workload["migration_one_off_cost"] is None:
        return {}
    return {
        "migration_one_off_rc": asked.workload["migration_one_off_cost"],
        "migration_payback_months": asked.workload["migration_payback_months"],
        "training_one_off_rc": _training(asked),
        "pays_back_probability_ratio": interval.probability_pays_back,
    }


def _moves(verdict: Row) -> bool:
    """Whether the advice takes traffic from one lane to the other."""
    return verdict["recommendation"] in ("fill", "switch_to_api", "switch_to_self_host")


def _training(asked: _Asked) -> Any:
    """What a move to own GPUs costs once beside what is declared: as much as the last tuning did on the API. None too
    where more of that was given back than billed.
    """
    if asked.tuned is None or asked.verdict["recommendation"] not in ("fill", "switch_to_self_host"):
        return None
    training = asked.tuned["training_one_off_rc"]
    return None if training is None or training < 0 else training


def _needed_saving(asked: _Asked) -> Fraction:
    """Of the window's days, in quanta: the one-offs spread over the months in which they have to come back."""
    one_off = asked.workload["migration_one_off_cost"]
    if not _moves(asked.verdict) or one_off is None:
        return Fraction(0)
    month = _Month.of(asked)
    limit_days = month.days_in_month * int(asked.workload["migration_payback_months"])
    return (Fraction(one_off) + Fraction(_training(asked) or 0)) * QUANTA * month.days / limit_days


def _of_interval(interval: BreakevenInterval, asked: _Asked) -> dict[str, Any]:
    month, mtok = _Month.of(asked), _MTOK / QUANTA
    saving, best = interval.saving, interval.best_replicas
    return {
        "breakeven_tokens_per_day": _volume(interval.point.breakeven_tokens_per_day),
        **_spread_of("breakeven", "tokens_per_day", interval.breakeven),
        "no_breakeven_probability_ratio": interval.probability_never,
        "exceeded_probability_ratio": interval.probability_exceeded,
        "self_host_probability_ratio": interval.probability_self_host,
        "saving_probability_ratio": interval.probability_saving,
        "saving_rc_per_month": month.money(interval.point.saving),
        "saving_p05_rc_per_month": month.money(saving.low),
        "saving_p50_rc_per_month": month.money(saving.middle),
        "saving_p95_rc_per_month": month.money(saving.high),
        "saving_p20_rc_per_month": month.money(interval.saving_cautious),
        "best_p05_replica_count": int(best.low),
        "best_p50_replica_count": int(best.middle),
        "best_p95_replica_count": int(best.high),
        **_spread_of("demand", "tokens_per_day", interval.tokens_per_day),
        **_spread_of("api_price", "rc_per_mtok", interval.api_price_per_token, mtok),
        **_spread_of("gpu_rate", "rc_per_gpu_hour", interval.gpu_hour_rate, 1 / QUANTA),
        **_spread_of("capacity", "tokens_per_replica_hour", interval.capacity_tokens_per_replica_hour),
        **_of_migration(interval, asked),
    }


def _is_sure(interval: BreakevenInterval, terms: Terms, asked: _Asked, quality: Mapping[str, Any]) -> bool | None:
    """A change has to save in four of five resamples, and at the 20% quantile to pay back what it costs once within the
    limit declared; to stay, its side has to be as likely. What is declared of quality must not turn it, nor be beyond
    deciding; nor what a tuned model's hosting costs.
    """
    verdict = asked.verdict
    if verdict["recommendation"] is None:
        return None
    if quality and quality.get("quality_recommendation") != verdict["recommendation"]:
        return False
    if asked.tuned is not None and asked.tuned["recommendation"] != verdict["recommendation"]:
        return False
    if verdict["recommendation"] != "stay":
        cautious = interval.saving_cautious
        return interval.probability_saving >= LEAST_PROBABILITY and cautious > 0 and cautious >= terms.needed_saving
    stays_on_own = verdict["best_replica_count"] > 0
    return (interval.probability_self_host if stays_on_own else 1 - interval.probability_self_host) >= LEAST_PROBABILITY


def _of_tornado(interval: BreakevenInterval, sensitivity: Sensitivity, asked: _Asked) -> dict[str, Any]:
    month, row = _Month.of(asked), {}
    for name, bar in sensitivity.tornado(interval).items():
        for share, scenario in (("p05", bar.low), ("p95", bar.high)):
            row[f"breakeven_at_{name}_{share}_tokens_per_day"] = _volume(scenario.breakeven_tokens_per_day)
            row[f"saving_at_{name}_{share}_rc_per_month"] = month.money(scenario.saving)
    return row


def _of_exchange_rates(found: Grounds, sensitivity: Sensitivity, asked: _Asked) -> dict[str, Any]:
    """Every foreign currency worth 5% less or more at once; nothing where all of a verdict is in the reporting one."""
    parts = _money_by_currency(found, asked)
    own = asked.evidence.reporting_currency
    foreign = sorted({currency for money in parts.values() for currency in money if currency != own})
    if not foreign:
        return {}
    shares = {
        part: float(sum((money[name] for name in foreign if name in money), Fraction(0)) / sum(money.values()))
        for part, money in parts.items()
        if sum(money.values())
    }
    month, row = _Month.of(asked), {"foreign_currencies": ", ".join(foreign)}
    for side, shift in (("less", -_FX_SHIFT), ("more", _FX_SHIFT)):
        scenario = sensitivity.at(Factors(**{part: 1 + shift * share for part, share in shares.items()}))
        row |= _of_scenario(f"fx_{side}", scenario, month)
    return row


def _money_by_currency(found: Grounds, asked: _Asked) -> dict[str, dict[str, Fraction]]:
    """How much of the API's price, of the GPUs' rate and of the overheads is in which currency, in the reporting
    one."""
    evidence, day = asked.evidence, asked.evidence.window.day
    assert asked.deployment is not None
    deployment_id = str(asked.deployment["deployment_id"])
    billed = [
        row
        for row in evidence.api_costs.get(str(asked.workload["workload"]), ())
        if row["billed_cost_quanta"] and row["tokens"] and row["token_class"] in found.demand
    ]
    api: dict[str, Fraction] = {}
    for token_class, tokens in found.demand.items():
        worth = found.price.by_class[token_class] * tokens * QUANTA
        own: Counter[str] = Counter()
        for row in billed:
            if row["token_class"] == token_class:
                own[row["billing_currency"]] += row["billed_cost_quanta"]
        for currency, money in own.items():
            _add(api, currency, worth * money / own.total())
        if not own:
            _add(api, _listed_in(asked), worth)
    gpu: dict[str, Fraction] = {}
    for row in evidence.gpu_costs.get(deployment_id, ()):
        if row["gpu_milliseconds"]:
            _add(gpu, row["billing_currency"], Fraction(row["realized_cost_quanta"]))
    overheads: dict[str, Fraction] = {}
    for row in evidence.overheads:
        rate = evidence.rates.on(day, row["currency"])
        if row["deployment_id"] in (None, deployment_id) and rate is not None:
            _add(overheads, row["currency"], Fraction(row["monthly_cost"]) * rate)
    return {"api_price": api, "gpu_rate": gpu, "fixed_cost": overheads}


def _add(money: dict[str, Fraction], currency: str, amount: Fraction) -> None:
    money[currency] = money.get(currency, Fraction(0)) + amount


def _listed_in(asked: _Asked) -> str:
    """The currency of the price that stands in for a class that was never billed."""
    stated = (price.currency for price in declared_prices(asked.workload, asked.evidence))
    return next(stated, asked.evidence.reporting_currency)


def _of_scenario(name: str, scenario: Scenario, month: _Month) -> dict[str, Any]:
    return {
        f"breakeven_at_{name}_tokens_per_day": _volume(scenario.breakeven_tokens_per_day),
        f"best_at_{name}_replica_count": scenario.best_replicas,
        f"saving_at_{name}_rc_per_month": month.money(scenario.saving),
    }


def _of_overheads(sensitivity: Sensitivity, terms: Terms, asked: _Asked) -> dict[str, Any]:
    """Engineering and the like at nothing, as declared, and where it turns the verdict."""
    month, without = _Month.of(asked), sensitivity.at(Factors(fixed_cost=0.0))
    return {
        "overheads_rc_per_month": month.money(float(terms.fixed_cost)),
        "breakeven_overheads_rc_per_month": month.money(sensitivity.breakeven_fixed_cost()),
        "breakeven_without_overheads_tokens_per_day": _volume(without.breakeven_tokens_per_day),
        "best_without_overheads_replica_count": without.best_replicas,
    }


def _of_pin(interval: BreakevenInterval, terms: Terms, asked: _Asked) -> dict[str, Any]:
    """What the lane that it is pinned to costs more than the best mix."""
    month, cost, point = _Month.of(asked), interval.pin_cost, interval.point.pin_cost
    if cost is None or point is None:
        return {}
    return {
        "pinned_replica_count": terms.pinned_replicas,
        "pin_cost_rc_per_month": month.money(point),
        "pin_cost_p05_rc_per_month": month.money(cost.low),
        "pin_cost_p50_rc_per_month": month.money(cost.middle),
        "pin_cost_p95_rc_per_month": month.money(cost.high),
        "pin_cost_probability_ratio": interval.probability_pin_costs,
    }
