"""Work in replica-seconds: what a mix of token classes asks of one replica."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

from pipeline.economics.exact import Exact, exact_fraction, not_negative, positive, to_decimal, whole_count

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Who says so.

    kind `declared`: the team measured or promised it. kind `at_least`: the best hour seen so far; the replica
    may be able to do more, so a verdict that rests on it is printed with "at least".
    """

    kind: Literal["declared", "at_least"]
    stated_on: date
    source: str

    def __post_init__(self) -> None:
        if not self.source.strip():
            raise ValueError(f"This {self.kind} capacity of {self.stated_on} names no source: say where it comes from.")


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What one replica serves within its SLO: tokens per second by class, or one blended rate.

    Exactly one of the two rates is given. `maximum_utilization_ratio` (u_max, in (0, 1]) is the share of an hour
    that may be filled before peaks inside the hour break the SLO. None of them has a default: a throughput is
    the team's own or it is missing. Source: economics.md 2.
    """

    maximum_utilization_ratio: Exact
    provenance: Provenance
    tokens_per_second_by_class: Mapping[str, Exact] | None = None
    blended_tokens_per_second: Exact | None = None

    def __post_init__(self) -> None:
        utilization = exact_fraction(self.maximum_utilization_ratio, "maximum_utilization_ratio")
        if not 0 < utilization <= 1:
            raise ValueError(
                f"maximum_utilization_ratio is {self.maximum_utilization_ratio}: pass a share above 0, at most 1."
            )
        if (self.tokens_per_second_by_class is None) == (self.blended_tokens_per_second is None):
            raise ValueError(
                f"tokens_per_second_by_class is {self.tokens_per_second_by_class} and blended_tokens_per_second is "
                f"{self.blended_tokens_per_second}: give exactly one of them."
            )
        if self.blended_tokens_per_second is not None:
            positive(self.blended_tokens_per_second, "blended_tokens_per_second")
        if self.tokens_per_second_by_class is not None:
            for name, rate in self.tokens_per_second_by_class.items():
                positive(rate, f"tokens_per_second of {name}")
            frozen = MappingProxyType(dict(self.tokens_per_second_by_class))
            object.__setattr__(self, "tokens_per_second_by_class", frozen)


def work_replica_seconds(*, tokens_by_class: Mapping[str, int], capacity: Capacity) -> Decimal:
    """The seconds one replica needs for these tokens: sum over classes of tokens / (tokens per second).

    Raises ValueError for negative tokens, and for a class that has tokens but no throughput: its work is
    unknown, not 0. Source: economics.md 2, `w = n_prefill/R_p + n_cached/R_c + n_decode/R_d`.
    """
    counts = {name: Fraction(whole_count(count, f"tokens of {name}")) for name, count in tokens_by_class.items()}
    return to_decimal(_replica_seconds(counts, capacity))


def replica_hour_work_seconds(capacity: Capacity) -> Decimal:
    """The replica-seconds of work one replica-hour can take: 3600 u_max. Source: economics.md 2."""
    return to_decimal(_replica_hour_seconds(capacity))


def tokens_per_replica_hour(*, mix: Mapping[str, Exact], capacity: Capacity) -> Decimal:
    """The tokens of this mix that one replica serves in an hour: 3600 u_max x (tokens / their replica-seconds).

    `mix` is tokens or shares by class; only the proportions matter. Raises ValueError when the mix is empty or
    sums to 0, and for a class with a share but no throughput. Source: economics.md 2, capacity of a replica-hour.
    """
    shares = {name: not_negative(share, f"share of {name}") for name, share in mix.items()}
    if sum(shares.values()) == 0:
        raise ValueError(f"The mix {dict(mix)} holds no tokens: pass the classes that the traffic is made of.")
    per_second = sum(shares.values(), Fraction(0)) / _replica_seconds(shares, capacity)
    return to_decimal(per_second * _replica_hour_seconds(capacity))


def _replica_hour_seconds(capacity: Capacity) -> Fraction:
    return SECONDS_PER_HOUR * exact_fraction(capacity.maximum_utilization_ratio, "maximum_utilization_ratio")


def _replica_seconds(counts: Mapping[str, Fraction], capacity: Capacity) -> Fraction:
    if capacity.blended_tokens_per_second is not None:
        return sum(counts.values(), Fraction(0)) / Fraction(capacity.blended_tokens_per_second)
    rates = capacity.tokens_per_second_by_class or {}
    unrated = sorted(name for name, count in counts.items() if count > 0 and name not in rates)
    if unrated:
        raise ValueError(
            f"No throughput for {', '.join(unrated)}; {capacity.provenance.source} states "
            f"{', '.join(sorted(rates)) or 'none'}: declare tokens per second for each class that is served."
        )
    return sum((count / Fraction(rates[name]) for name, count in counts.items() if count > 0), Fraction(0))


@dataclass(frozen=True, kw_only=True)
class ObservedHour:
    """One hour of one deployment: tokens served, and the replica-hours that were up to serve them."""

    hour_at: datetime
    served_tokens: int
    replica_hours: Exact


def at_least_capacity(hours: Sequence[ObservedHour]) -> Capacity:
    """The capacity nobody declared: the best tokens per replica-hour seen, labelled `at_least`.

    Ties take the earliest hour. u_max is 1 because an hour's mean already holds the peaks inside it. Raises
    ValueError when no hour has both tokens and replica-hours. Source: economics.md 7, "none seen: say at least".
    """
    usable = [hour for hour in hours if hour.served_tokens > 0 and hour.replica_hours > 0]
    if not usable:
        raise ValueError(
            f"None of the {len(hours)} observed hours has both served tokens and replica-hours: "
            "declare a capacity, or wait for an hour of traffic."
        )
    best = min(usable, key=lambda hour: (-_tokens_per_replica_hour_seen(hour), hour.hour_at))
    return Capacity(
        maximum_utilization_ratio=1,
        blended_tokens_per_second=_tokens_per_replica_hour_seen(best) / SECONDS_PER_HOUR,
        provenance=Provenance(
            kind="at_least",
            stated_on=best.hour_at.date(),
            source=f"best observed hour, {best.hour_at:%Y-%m-%dT%H:%M}: {best.served_tokens} tokens "
            f"on {best.replica_hours} replica-hours",
        ),
    )


def _tokens_per_replica_hour_seen(hour: ObservedHour) -> Fraction:
    return Fraction(hour.served_tokens) / exact_fraction(hour.replica_hours, "replica_hours")


@dataclass(frozen=True)
class WorkScale:
    """Work in whole units, so small that a token of each class is a whole number of them: exact, and fast to add up.

    units_per_token: (token class, units) pairs. units_per_replica_second: how many a replica-second is.
    """

    units_per_token: tuple[tuple[str, int], ...]
    units_per_replica_second: int

    def units(self, hours: Sequence[Mapping[str, int]]) -> list[int]:
        """The work of each hour. `hours`: tokens by class; a class without tokens need not be in the scale."""
        per_token = dict(self.units_per_token)
        return [
            sum(per_token[name] * whole_count(count, f"tokens of {name}") for name, count in tokens.items() if count)
            for tokens in hours
        ]


def work_scale(*, classes: Iterable[str], capacity: Capacity) -> WorkScale:
    """The scale of these token classes on a replica. Raises ValueError for a class without throughput."""
    seconds = {name: _replica_seconds({name: Fraction(1)}, capacity) for name in sorted(set(classes))}
    per_second = math.lcm(1, *(share.denominator for share in seconds.values()))
    return WorkScale(
        units_per_token=tuple((name, int(share * per_second)) for name, share in seconds.items()),
        units_per_replica_second=per_second,
    )


def hourly_work_replica_seconds(*, hours: Sequence[Mapping[str, int]], capacity: Capacity) -> list[Fraction]:
    """`work_replica_seconds` of many hours at once, unrounded: an hour that is the capacity stays equal to it.

    `hours`: tokens by class, one mapping an hour. Raises ValueError as `work_replica_seconds` does.
    """
    classes = {name for tokens in hours for name, count in tokens.items() if count}
    scale = work_scale(classes=classes, capacity=capacity)
    return [Fraction(units, scale.units_per_replica_second) for units in scale.units(hours)]
