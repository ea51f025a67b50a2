"""What each deployment served and what was paid for it, day by day: what its release and its filling are decided on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import polars as pl

from pipeline.economics.scale_down import LoadHour
from pipeline.economics.work import WorkScale

HOURS_PER_DAY = 24
QUANTA = 10**18
DAY_MILLISECONDS = 86_400_000

READ_SERVED = """
    select
        usage_date, usage_hour_at, deployment_id, workload, token_class, cast(sum(tokens) as bigint) as tokens
    from int_self_host_tokens_hourly
    where deployment_id is not null
    group by usage_date, usage_hour_at, deployment_id, workload, token_class"""
READ_PAID = """
    select
        usage_date, deployment_id,
        cast(sum(gpu_milliseconds) as bigint) as gpu_milliseconds,
        cast(coalesce(sum(gpu_milliseconds) filter (where state = 'unobserved'), 0) as bigint)
            as unobserved_milliseconds,
        cast(sum(realized_cost_rc) as decimal(38, 18)) as realized_cost_rc,
        count(*) filter (where realized_cost_rc is null) as unpriced_count
    from fct_gpu_costs_daily
    where deployment_id is not null and gpu_milliseconds > 0
    group by usage_date, deployment_id"""

Tokens = Mapping[str, int]


@dataclass(frozen=True)
class HourlyTokens:
    """Tokens by class in each hour of one day. None: an hour that nobody watched."""

    hours: Sequence[Tokens | None]
    by_workload: Counter[str]
    _load: dict[WorkScale, tuple[LoadHour | None, ...]] = field(default_factory=dict, compare=False)

    @property
    def classes(self) -> frozenset[str]:
        """Of which there are tokens."""
        return frozenset(name for tokens in self.hours if tokens for name, count in tokens.items() if count)

    @cached_property
    def by_class(self) -> Counter[str]:
        """Tokens of all its hours, worked out once for all partitions that read the day."""
        total: Counter[str] = Counter()
        for tokens in self.hours:
            total.update(tokens or {})
        return total

    def load(self, scale: WorkScale) -> tuple[LoadHour | None, ...]:
        """Work in units of a scale, and tokens, worked out once for all partitions that use the scale."""
        if scale not in self._load:
            self._load[scale] = tuple(
                None if tokens is None else LoadHour(work=scale.units([tokens])[0], tokens=sum(tokens.values()))
                for tokens in self.hours
            )
        return self._load[scale]


@dataclass(frozen=True)
class Paid:
    """GPU time and money of one deployment on one day; `cost` None where part of it has no price or no rate."""

    milliseconds: int
    unobserved_milliseconds: int
    cost: Fraction | None


def served_by_deployment(frame: pl.DataFrame) -> dict[str, HourlyTokens]:
    """Of one day, as `READ_SERVED` reads it. An hour without a row was not watched; a row of 0 tokens was."""
    columns = ("deployment_id", "workload", "usage_hour_at", "token_class", "tokens")
    return _by_name(frame.select(columns).iter_rows(), unseen=None)


def demand_by_workload(frame: pl.DataFrame) -> dict[str, HourlyTokens]:
    """Of one day, rows of workload, usage_hour_at, token_class, tokens. An hour without a row had no demand."""
    rows = ((name, name, *rest) for name, *rest in frame.iter_rows() if name is not None)
    return _by_name(rows, unseen={})


def paid_by_deployment(frame: pl.DataFrame) -> dict[str, Paid]:
    """Of one day, as `READ_PAID` reads it."""
    return {
        row["deployment_id"]: Paid(
            milliseconds=row["gpu_milliseconds"],
            unobserved_milliseconds=row["unobserved_milliseconds"],
            cost=None if row["unpriced_count"] else Fraction(row["realized_cost_rc"]),
        )
        for row in frame.to_dicts()
    }


def _by_name(rows: Any, *, unseen: Tokens | None) -> dict[str, HourlyTokens]:
    hours: dict[str, list[dict[str, int] | None]] = {}
    workloads: dict[str, Counter[str]] = {}
    for name, workload, hour_at, token_class, tokens in rows:
        of_day = hours.setdefault(name, [None if unseen is None else {} for _ in range(HOURS_PER_DAY)])
        hour = of_day[hour_at.hour]
        if hour is None:
            hour = of_day[hour_at.hour] = {}
        hour[token_class] = hour.get(token_class, 0) + (tokens or 0)
        workloads.setdefault(name, Counter())[workload] += tokens or 0
    return {name: HourlyTokens(hours=of_day, by_workload=workloads[name]) for name, of_day in hours.items()}


def summed(days: Sequence[HourlyTokens]) -> dict[str, int]:
    """Tokens by class of all their hours, classes without any left out."""
    total: Counter[str] = Counter()
    for found in days:
        total.update(found.by_class)
    return {name: count for name, count in sorted(total.items()) if count}
