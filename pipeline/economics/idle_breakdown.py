"""What the ready time of a pool bought: useful work, headroom, a reserve for failures, too much, or nothing at all.

Source: economics.md 6. Of an interval with R ready, W its work and R* what is needed for it: Z = R where there is no
demand for longer than the pool takes to come back; else U = min(R, W), N = clamp(R*, U, R), V = min(R - N, reserve),
X = R - N - V and H = N - U. U + H + V + X + Z = R, always. Where the work, or what a replica does, is not known, the
interval stays in one piece.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby

from pipeline.economics.exact import Exact, not_negative, positive, whole_count

Time = int | Fraction

USEFUL = "useful"
HEADROOM = "headroom"
FAILOVER_RESERVE = "failover_reserve"
OVER_PROVISIONED = "over_provisioned"
SCALE_TO_ZERO = "scale_to_zero"
USEFUL_OR_HEADROOM = "useful_or_headroom"
PARTS = (USEFUL, HEADROOM, FAILOVER_RESERVE, OVER_PROVISIONED, SCALE_TO_ZERO, USEFUL_OR_HEADROOM)


@dataclass(frozen=True, kw_only=True)
class PoolHour:
    """An hour of a pool: `ready`, for how long its replicas were loaded or serving, and `work`, what they did, both in
    replica-seconds, or any one unit. work None: nobody knows, which is not none.
    """

    ready: Time
    work: Time | None


@dataclass(frozen=True, kw_only=True)
class PoolRule:
    """What holds for a pool, in the unit of its hours.

    replica_hour: what one replica is ready for in an hour.
    work_per_replica_hour: what it may be asked for of that (u_max of it); None where no throughput is known.
    hours_to_come_back: without demand for longer than this it could have been off; None where nobody has said it.
    """

    replica_hour: Time
    work_per_replica_hour: Time | None
    minimum_replicas: int
    spare_replicas: int
    hours_to_come_back: Exact | None


def idle_breakdown(hours: Sequence[PoolHour], rule: PoolRule) -> list[dict[str, Time]]:
    """Each hour's ready time by part, those that have any; the parts of an hour sum to it, exactly.

    `hours`: one after the other, each an hour long. Whole numbers stay whole. Raises ValueError for what is negative.
    """
    whole = positive(rule.replica_hour, "replica_hour")
    reserve = whole_count(rule.spare_replicas, "spare_replicas") * rule.replica_hour
    least = whole_count(rule.minimum_replicas, "minimum_replicas")
    per_replica = rule.work_per_replica_hour
    if per_replica is not None and not 0 < per_replica <= whole:
        raise ValueError(f"work_per_replica_hour is {per_replica}: pass what of {whole} may be asked for, above zero.")
    found: list[dict[str, Time]] = []
    for hour, is_off in zip(hours, _could_be_off(hours, rule.hours_to_come_back), strict=True):
        not_negative(hour.ready, "ready")
        if is_off:
            parts: dict[str, Time] = {SCALE_TO_ZERO: hour.ready}
        elif hour.work is None or per_replica is None:
            parts = {USEFUL_OR_HEADROOM: hour.ready}
        else:
            not_negative(hour.work, "work")
            asked = max(least, math.ceil(Fraction(hour.work) / Fraction(per_replica))) * rule.replica_hour
            parts = _split(hour.ready, hour.work, needed=asked, reserve=reserve)
        found.append({name: part for name, part in parts.items() if part})
    return found


def _split(ready: Time, work: Time, *, needed: Time, reserve: Time) -> dict[str, Time]:
    useful = _least(ready, work)
    kept = _least(needed if needed > useful else useful, ready)
    failover = _least(ready - kept, reserve)
    return {
        USEFUL: useful,
        HEADROOM: kept - useful,
        FAILOVER_RESERVE: failover,
        OVER_PROVISIONED: ready - kept - failover,
    }


def _least(one: Time, other: Time) -> Time:
    return one if one <= other else other


def _could_be_off(hours: Sequence[PoolHour], hours_to_come_back: Exact | None) -> list[bool]:
    """Of each hour, whether it is of a run without demand that is longer than coming back takes."""
    if hours_to_come_back is None:
        return [False] * len(hours)
    longest = not_negative(hours_to_come_back, "hours_to_come_back")
    told: list[bool] = []
    for is_quiet, run in groupby(hours, key=lambda hour: hour.work == 0):
        length = sum(1 for _ in run)
        told += [is_quiet and length > longest] * length
    return told
