"""Whether an hour's use is far above what the same hour of the week was: a guard, on counters, before any bill.

    level = median of the same hour of the four weeks before, those that are known, at least three

An hour fires at `multiple` times its level and at least `floor` above it. It reads usage at list prices, which no
decision does, and so feeds none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

WEEKS = 4
LEAST_WEEKS = 3


@dataclass(frozen=True, kw_only=True)
class Burst:
    """An hour that fires; money at list prices. `level`: what the same hour of the week was."""

    hour: datetime
    cost: Fraction
    level: Fraction


def burst(hour: datetime, costs: Mapping[datetime, Fraction], *, multiple: Fraction, floor: Fraction) -> Burst | None:
    """The hour where it fires. costs: of each hour that is known; one without use that is known holds 0."""
    cost = costs.get(hour)
    before = sorted(
        costs[one] for one in (hour - timedelta(weeks=back) for back in range(1, WEEKS + 1)) if one in costs
    )
    if cost is None or len(before) < LEAST_WEEKS:
        return None
    half = len(before) // 2
    level = before[half] if len(before) % 2 else (before[half - 1] + before[half]) / 2
    is_far = cost >= multiple * level and cost - level >= floor
    return Burst(hour=hour, cost=cost, level=level) if is_far else None
