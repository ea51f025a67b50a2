"""What bills would fall by if what a line of the GPU bill paid for had been given back: its cash-recoverable part.

Source: economics.md 6: whole billing units only, and none while committed. A billing unit is what can be given back
alone: a replica, or the largest resource that is billed as one, whichever is larger. Of owned GPUs nothing comes back.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from pipeline.economics.exact import not_negative, positive
from pipeline.economics.idle_breakdown import (
    FAILOVER_RESERVE,
    HEADROOM,
    OVER_PROVISIONED,
    SCALE_TO_ZERO,
    USEFUL,
    Time,
)

UNALLOCATED = "unallocated"
# Nobody watches every second of an hour: as much of a unit is all of it, as an hour of an idle run is.
_ALMOST_ALL = Fraction(95, 100)
_BY_UNITS = frozenset({OVER_PROVISIONED, SCALE_TO_ZERO, UNALLOCATED})
# What is needed, what serves or holds a GPU for something else, and what is no GPU's time at all.
_NOT_GIVEN_BACK = frozenset(
    {
        *(USEFUL, HEADROOM, FAILOVER_RESERVE, "starting", "held_other", "training"),
        *("tax", "credit", "overhead", "per_use"),
    }
)


@dataclass(frozen=True, kw_only=True)
class HeldPart:
    """What a line has of one resource.

    cost: whole quanta or a fraction of them; None where it has no price.
    share: the part of its time, 0 to 1, that is of whole billing units; None where nobody knows.
    is_bound: committed on that day, or owned.
    """

    cost: int | Fraction | None
    share: Fraction | None
    is_bound: bool


def whole_unit_time(time: Time, unit: Time) -> Time:
    """Of an hour's `time`, how much is of whole units, both in GPU-time; at least 95% of a unit is one.

    Never more than `time`. Raises ValueError for a unit that is not above zero and for time below it.
    """
    positive(unit, "unit")
    not_negative(time, "time")
    whole, rest = divmod(time, unit)
    count = whole + (1 if rest >= _ALMOST_ALL * unit else 0)
    return min(time, count * unit)


def share_given_back(line: str, whole_share: Fraction | None) -> Fraction | None:
    """The share of a line's time that could be given back: none of what is needed, the whole units of what is not.

    None of what is `useful_or_headroom`, unobserved, not present, unhealthy or in conflict: whether any of it could be
    is not known. Tax, credits, overhead and what is billed by use are no GPU's time: given back with none.
    """
    if line in _NOT_GIVEN_BACK:
        return Fraction(0)
    return whole_share if line in _BY_UNITS else None


def cash_recoverable(parts: Sequence[HeldPart]) -> int | None:
    """Whole quanta of a line's cost that could come back as cash: at least 0 and no more than the parts' sum.

    0 where it is known that nothing could; None where something could and it is not known how much. Raises ValueError
    for a share outside 0 to 1.
    """
    found = Fraction(0)
    is_known = True
    for part in parts:
        if part.share is not None and not 0 <= part.share <= 1:
            raise ValueError(f"share is {part.share}: pass 0 to 1.")
        if part.is_bound or part.share == 0 or (part.cost is not None and part.cost <= 0):
            continue
        if part.cost is None or part.share is None:
            is_known = False
        else:
            found += part.cost * part.share
    if not is_known:
        return None
    if not found:
        return 0
    costs = [part.cost for part in parts if part.cost is not None]
    if len(costs) < len(parts):
        return None
    return max(0, math.floor(min(found, Fraction(sum(costs)))))
