"""A workload's history as days to replay, and what each way to decide would have made of it.

A day costs what its own verdict knew: the price, the rate and the capacity of the 28 days up to it, and its own hours.
An hour's tokens are taken at the mix of those days. What a bill restated later is in them; when a day was known is not.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pipeline.config.whole import Config
from pipeline.economics.alerts import AlertRule
from pipeline.economics.backtest import (
    Backtest,
    Policy,
    ReplayDay,
    backtest,
    default_policies,
    known_after,
    regret_meter,
    spend_above,
    spend_above_own,
    tokens_above,
)
from pipeline.economics.breakeven import Side
from pipeline.economics.regret import RegretRule
from pipeline.errors import BreakevenError
from pipeline.paths import models_root
from pipeline.reports.questions import Questions

_MTOK = 1_000_000
_DOLLARS = "USD"


@dataclass(frozen=True, kw_only=True)
class RuleOfThumb:
    """A published rule, as the seed `rules_of_thumb` states it."""

    rule: str
    kind: str
    threshold: Decimal
    quote: str
    source: str
    read_on: date

    @property
    def policy(self) -> Policy:
        if self.kind == "api_spend_per_month":
            return spend_above(self.threshold)
        if self.kind == "tokens_per_month":
            return tokens_above(self.threshold)
        assert self.kind == "api_spend_over_own_cost"
        return spend_above_own(self.threshold)


def shipped_rules() -> list[RuleOfThumb]:
    """The rules that this release ships."""
    with (models_root() / "seeds" / "rules_of_thumb.csv").open(newline="", encoding="utf-8") as handle:
        return [
            RuleOfThumb(
                rule=row["rule"],
                kind=row["kind"],
                threshold=Decimal(row["threshold"]),
                quote=row["quote"],
                source=row["source"],
                read_on=date.fromisoformat(row["read_on_date"]),
            )
            for row in csv.DictReader(handle)
        ]


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """One workload's backtest. left_out: rules in dollars, where the money is in another currency."""

    workload: str
    days: Sequence[ReplayDay]
    start: Side
    told: Backtest
    left_out: Sequence[str]


def replayed(
    questions: Questions, config: Config, *, workload: str | None, one_off: Decimal, alpha: Decimal, settle_days: int
) -> list[Replayed]:
    """Each workload that has decided days, or the one asked for. BreakevenError where there is none to replay."""
    by_workload: dict[str, list[Mapping[str, Any]]] = {}
    for row in questions.ask("backtest_days").to_dicts():
        by_workload.setdefault(row["workload"], []).append(row)
    if workload is not None and workload not in by_workload:
        known = ", ".join(sorted(by_workload)) or "none"
        raise BreakevenError(
            f"No day of {workload!r} has a verdict with a replica count to replay. There are: {known}."
        )
    rule = AlertRule(
        enter_ratio=config.alerts.enter_ratio,
        exit_ratio=config.alerts.exit_ratio,
        dwell_days=config.alerts.dwell_days,
        cooldown_days=config.alerts.cooldown_days,
    )
    asked = by_workload if workload is None else {workload: by_workload[workload]}
    return [
        _replayed(name, rows, rule, config, one_off=one_off, alpha=alpha, settle_days=settle_days)
        for name, rows in asked.items()
    ]


def _replayed(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    rule: AlertRule,
    config: Config,
    *,
    one_off: Decimal,
    alpha: Decimal,
    settle_days: int,
) -> Replayed:
    days = replay_days(rows, settle_days=settle_days)
    start: Side = "self_host" if rows[0]["current_lane"] == "self_host" else "api"
    rules = shipped_rules()
    is_in_dollars = config.reporting_currency == _DOLLARS
    usable = [found for found in rules if is_in_dollars or found.kind != "api_spend_per_month"]
    policies = default_policies(rule, one_off=one_off, alpha=alpha, start=start)
    meter = config.alerts.regret_meter
    if meter is not None:
        policies["configured: regret meter"] = regret_meter(
            RegretRule(one_off=meter.one_off, alpha=meter.alpha), start=start
        )
        policies["hysteresis"] = policies.pop("configured: hysteresis")
    policies |= {f"rule of thumb: {found.rule}": found.policy for found in usable}
    return Replayed(
        workload=name,
        days=days,
        start=start,
        told=backtest(days, policies, one_off=one_off, start=start),
        left_out=[found.rule for found in rules if found not in usable],
    )


def replay_days(rows: Iterable[Mapping[str, Any]], *, settle_days: int) -> list[ReplayDay]:
    """Rows of the question `backtest_days` of one workload, in order of their days. All have as many counts as the
    busiest hour of any of them needs."""
    found = [(row, _costs(row)) for row in rows]
    most = max(costs.most_replicas for _, costs in found)
    return [
        ReplayDay(
            day=row["usage_date"],
            known_on=known_after(row["usage_date"], settle_days=settle_days),
            tokens=sum(costs.hours),
            costs=tuple(costs.of(replicas) for replicas in range(max(most, 1) + 1)),
            ratio=None if row["demand_ratio"] is None else Fraction(str(row["demand_ratio"])),
        )
        for row, costs in found
    ]


@dataclass(frozen=True)
class _Costs:
    """One day, in money of the day. committed: what of it is due to the API whatever moves."""

    hours: Sequence[int]
    price_per_token: Fraction
    rent: Fraction
    fixed: Fraction
    capacity: Fraction
    committed: Fraction

    @property
    def most_replicas(self) -> int:
        return -(-max(self.hours, default=0) // self.capacity)

    def of(self, replicas: int) -> Fraction:
        room = replicas * self.capacity
        above = sum((max(Fraction(0), tokens - room) for tokens in self.hours), Fraction(0))
        return (
            replicas * self.rent + (self.fixed if replicas else 0) + max(self.committed, self.price_per_token * above)
        )


def _costs(row: Mapping[str, Any]) -> _Costs:
    days = row["window_days_count"]
    return _Costs(
        hours=row["hourly_tokens"] or (),
        price_per_token=max(Fraction(0), Fraction(row["api_price_rc_per_mtok"]) / _MTOK),
        rent=Fraction(row["replica_cost_rc"]) / days,
        fixed=Fraction(row["fixed_cost_rc"]) / days,
        capacity=Fraction(str(row["capacity_tokens_per_replica_hour"])),
        committed=Fraction(row["api_committed_cost_rc"] or 0) / days,
    )


def table_rows(found: Replayed) -> list[dict[str, Any]]:
    """The clairvoyant first, then every policy, the cheapest first: money in the reporting currency."""
    best = found.told.best
    rows: list[dict[str, Any]] = [
        {
            "policy": "clairvoyant",
            "cost_rc": float(best.cost),
            "above_best_rc": 0.0,
            "above_best_ratio": 0.0,
            "change_count": best.changes,
            "false_alert_count": 0,
            "median_delay_days": None,
            "missed_count": 0,
        }
    ]
    for verdict in sorted(found.told.verdicts, key=lambda verdict: (verdict.replay.cost, verdict.name)):
        rows.append(
            {
                "policy": verdict.name,
                "cost_rc": float(verdict.replay.cost),
                "above_best_rc": float(verdict.above_best),
                "above_best_ratio": float(verdict.above_best / best.cost) if best.cost else None,
                "change_count": verdict.replay.changes,
                "false_alert_count": verdict.false_alerts,
                "median_delay_days": verdict.median_delay,
                "missed_count": verdict.missed,
            }
        )
    return rows
