"""One thing at a time: what a verdict would say with one of its inputs another, all else as it was.

For the tornado each input is set to its own 5 and 95% (economics.md 8); for exchange rates and overheads to what is
asked. The factors are of the days as they were, so a factor of 1 is the verdict itself.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate

from pipeline.economics.breakeven_interval import (
    HOURS_PER_DAY,
    NEVER,
    BreakevenInterval,
    Point,
    Quantiles,
    Terms,
    WorkloadDays,
    first_crossing,
    saved,
)


@dataclass(frozen=True, kw_only=True)
class Factors:
    """By how much each input is another. `fixed_cost` multiplies the overheads, `traffic` every hour's work."""

    api_price: float = 1.0
    gpu_rate: float = 1.0
    capacity: float = 1.0
    traffic: float = 1.0
    fixed_cost: float = 1.0


AS_IT_IS = Factors()


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What it comes to. breakeven: tokens a day, `inf` is never. Money over the days, in quanta.

    saving: the way it is done now less the verdict's own count. best_replicas: the cheapest count of this scenario.
    """

    breakeven_tokens_per_day: float
    best_replicas: int
    saving: float


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar of the tornado: what is left of an input's 5% and of its 95%."""

    low: Scenario
    high: Scenario

    @property
    def swing(self) -> float:
        return abs(self.high.saving - self.low.saving)


@dataclass
class Sensitivity:
    """The days of one workload, made ready once for any number of scenarios. point: `point_of` of the same days."""

    days: WorkloadDays
    terms: Terms
    point: Point
    _ascending: list[int] = field(init=False)
    _running: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._ascending = sorted(units for hours in self.days.hourly_units for units in hours)
        self._running = list(accumulate(self._ascending, initial=0))

    def at(self, factors: Factors = AS_IT_IS) -> Scenario:
        """The verdict under these factors. O(replicas x log hours)."""
        costs = self._costs(factors)
        best = min(range(len(costs)), key=lambda count: (costs[count], count))
        return Scenario(
            breakeven_tokens_per_day=self._crossing(factors),
            best_replicas=best,
            saving=saved(self._current(factors), self._cost(self.terms.replicas, factors)),
        )

    def breakeven_fixed_cost(self, factors: Factors = AS_IT_IS) -> float:
        """The overheads over the days at which the best count of one or more just costs what the API alone does.

        Below zero where even without overheads it costs more.
        """
        without = Factors(**{**vars(factors), "fixed_cost": 0.0})
        costs = self._costs(without)
        return costs[0] - min(costs[1:], default=self._cost(1, without))

    def tornado(self, interval: BreakevenInterval) -> dict[str, Bar]:
        """Each input at the 5 and 95% of its own resamples."""
        point = self.point

        def bar(name: str, spread: Quantiles, value: float) -> Bar:
            low, high = (
                self.at(Factors(**{name: found / value if value else 1.0})) for found in (spread.low, spread.high)
            )
            return Bar(low=low, high=high)

        return {
            "api_price": bar("api_price", interval.api_price_per_token, point.api_price_per_token),
            "gpu_rate": bar("gpu_rate", interval.gpu_hour_rate, point.gpu_hour_rate),
            "capacity": bar(
                "capacity", interval.capacity_tokens_per_replica_hour, point.capacity_tokens_per_replica_hour
            ),
            "traffic": bar("traffic", interval.tokens_per_day, point.tokens_per_day),
        }

    @property
    def _rent(self) -> float:
        return self.point.gpu_hour_rate * self.terms.gpus_per_replica * HOURS_PER_DAY * self.days.days

    def _current(self, factors: Factors) -> float:
        """API tokens scale with their price and with traffic; a bill for GPUs with its rate alone."""
        point = self.point
        has_own = any(self.days.own_tokens)
        fixed = float(self.terms.fixed_cost) if has_own else 0.0
        committed = float(self.terms.committed)
        gpu = point.current_cost - max(committed, point.current_api_cost) - fixed
        api = max(committed, point.current_api_cost * factors.api_price * factors.traffic)
        return api + gpu * factors.gpu_rate + fixed * factors.fixed_cost

    def _crossing(self, factors: Factors) -> float:
        point, days = self.point, self.days.days
        rent = self._rent * factors.gpu_rate
        crossing = first_crossing(
            price=point.api_price_per_token * factors.api_price,
            capacity=point.capacity_tokens_per_replica_hour * factors.capacity * HOURS_PER_DAY * days,
            rent=rent,
            overhead=(
                float(self.terms.fixed_cost) * factors.fixed_cost
                + float(self.terms.committed)
                + self.terms.spare_replicas * rent
            ),
            minimum_replicas=max(1, self.terms.minimum_replicas),
        )
        return crossing / days if crossing < NEVER else NEVER

    def _costs(self, factors: Factors) -> list[float]:
        most = math.ceil(self._ascending[-1] * factors.traffic / self._room(factors))
        return [self._cost(count, factors) for count in range(most + 1)]

    def _cost(self, replicas: int, factors: Factors) -> float:
        point, units = self.point, self._running[-1]
        edge = replicas * self._room(factors)
        below = bisect_right(self._ascending, edge / factors.traffic) if factors.traffic else len(self._ascending)
        above = (units - self._running[below]) * factors.traffic - (len(self._ascending) - below) * edge
        overflow = above * (point.api_only_cost / units if units else 0.0) * factors.api_price
        fixed = float(self.terms.fixed_cost) * factors.fixed_cost if replicas else 0.0
        api = max(float(self.terms.committed), overflow)
        return replicas * self._rent * factors.gpu_rate + fixed + api

    def _room(self, factors: Factors) -> float:
        return float(self.terms.capacity_units_per_replica_hour) * factors.capacity
