"""Demand that is known by the day only: what holds however a day's tokens were spread over its hours.

Every cost `C(n) = n R + [n > 0] F + p sum_h max(0, x_h - n c)` (economics.md 4) lies between that of the flattest
spread and that of the most peaked one, because `sum_h min(x_h, y)` is concave in the hours. The best *count* does not:
days may be spread differently, and hours filled to just what two replicas serve pay a second one that neither extreme
pays. So a count is given only where it is best for every spread, which is decided pair by pair.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pipeline.economics.exact import Exact, not_negative, positive, whole_count
from pipeline.economics.hybrid import HybridPlan, optimal_hybrid

HOURS_PER_DAY = 24


@dataclass(frozen=True, kw_only=True)
class DailyPlans:
    """What the flattest and the most peaked spread say, and the count that every spread agrees on.

    flattest.best.total_cost is the least the best mix can cost, most_peaked.best.total_cost the most.
    replicas: the best count whatever the spread; None where it depends on it.
    """

    flattest: HybridPlan
    most_peaked: HybridPlan
    replicas: int | None


def flattest(units: int, *, hours: int = HOURS_PER_DAY) -> list[int]:
    """A day's units spread as evenly as whole units can be."""
    share, rest = divmod(whole_count(units, "units of a day"), hours)
    return [share + 1] * rest + [share] * (hours - rest)


def most_peaked(units: int, *, hours: int = HOURS_PER_DAY) -> list[int]:
    """A day's units all in one hour: nothing that a day's sum says forbids it."""
    return [whole_count(units, "units of a day"), *[0] * (hours - 1)]


def plans_of_days(
    *,
    known_hours: Sequence[int],
    day_units: Sequence[int],
    capacity_per_replica_hour: Exact,
    replica_cost: Exact,
    fixed_cost: Exact,
    price_per_unit: Exact,
    headroom_ratio: Exact,
    minimum_replicas: int = 1,
    spare_replicas: int = 0,
    hours_per_day: int = HOURS_PER_DAY,
    api_commitment: Exact = 0,
) -> DailyPlans:
    """The best mix as far as days without hours carry it.

    `known_hours` has one figure for each hour of the days whose hours are known, `day_units` one for each other day;
    both in whole units of work, which a spread may divide. The rest is as `optimal_hybrid` takes it, and it raises
    ValueError as that does. O(days x N) beyond two hybrids.
    """

    def plan(hours: Sequence[Exact]) -> HybridPlan:
        return optimal_hybrid(
            hourly_demand=[*known_hours, *hours],
            capacity_per_replica_hour=capacity_per_replica_hour,
            replica_cost=replica_cost,
            fixed_cost=fixed_cost,
            price_per_unit=price_per_unit,
            headroom_ratio=headroom_ratio,
            minimum_replicas=minimum_replicas,
            spare_replicas=spare_replicas,
            api_commitment=api_commitment,
        )

    if not day_units:
        known = plan([])
        return DailyPlans(flattest=known, most_peaked=known, replicas=known.best.replicas)
    flat = plan([Fraction(units, hours_per_day) for units in day_units for _ in range(hours_per_day)])
    peaked = plan([hour for units in day_units for hour in most_peaked(units, hours=hours_per_day)])
    spreads = _Spreads(
        known=known_hours,
        days=day_units,
        hours=hours_per_day,
        capacity=positive(capacity_per_replica_hour, "capacity_per_replica_hour"),
        price=not_negative(price_per_unit, "price_per_unit"),
        rent=not_negative(replica_cost, "replica_cost"),
        fixed=not_negative(fixed_cost, "fixed_cost"),
        commitment=not_negative(api_commitment, "api_commitment"),
    )
    count = flat.best.replicas
    is_certain = count == peaked.best.replicas and all(
        spreads.is_always_better(count, than=m) for m in spreads.rivals()
    )
    return DailyPlans(flattest=flat, most_peaked=peaked, replicas=count if is_certain else None)


@dataclass(frozen=True, kw_only=True)
class _Spreads:
    """Every spread of each day's units over its hours."""

    known: Sequence[int]
    days: Sequence[int]
    hours: int
    capacity: Fraction
    price: Fraction
    rent: Fraction
    fixed: Fraction
    commitment: Fraction

    def rivals(self) -> Iterator[int]:
        """Counts up to the one that serves everything, were it all in one hour."""
        yield from range(math.ceil(max([0, *self.known, *self.days]) / self.capacity) + 1)

    def is_always_better(self, count: int, *, than: int) -> bool:
        """Whether `count` costs less than another count in every spread; as much is enough against a greater one."""
        if than == count:
            return True
        if than > count:
            return self.price * self._band(count, than, most=True) <= self._self_host(than) - self._self_host(count)
        # Of the least that is displaced, what lies below the commitment is due anyway.
        saved = self.price * self._band(than, count, most=False)
        if self.commitment:
            saved -= max(Fraction(0), self.commitment - self.price * self._least_above(count))
        return saved > self._self_host(count) - self._self_host(than)

    def _least_above(self, count: int) -> Fraction:
        """What lies above `count` replicas at least over all spreads: that of the flattest."""
        low = count * self.capacity
        known = sum((max(Fraction(hour) - low, Fraction(0)) for hour in self.known), Fraction(0))
        return known + sum((max(Fraction(units) - self.hours * low, Fraction(0)) for units in self.days), Fraction(0))

    def _self_host(self, count: int) -> Fraction:
        return count * self.rent + (self.fixed if count else 0)

    def _band(self, fewer: int, more: int, *, most: bool) -> Fraction:
        """What `more` replicas serve beyond `fewer`, at most or at least over all spreads."""
        low, high = fewer * self.capacity, more * self.capacity
        known = sum((min(max(Fraction(hour) - low, Fraction(0)), high - low) for hour in self.known), Fraction(0))
        of_day = self._most_of_day if most else self._least_of_day
        return known + sum((of_day(Fraction(units), low, high) for units in self.days), Fraction(0))

    def _most_of_day(self, units: Fraction, low: Fraction, high: Fraction) -> Fraction:
        """Hours filled to the upper edge one after the other waste least below the lower one."""
        full = min(self.hours, math.floor(units / high))
        rest = units - full * high if full < self.hours else Fraction(0)
        return full * (high - low) + max(Fraction(0), rest - low)

    def _least_of_day(self, units: Fraction, low: Fraction, high: Fraction) -> Fraction:
        """All hours filled to the lower edge, what is left in one of them: above the upper edge it adds nothing."""
        return min(max(units - self.hours * low, Fraction(0)), high - low)
