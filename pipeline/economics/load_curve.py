"""The load-duration curve: hours in order of their demand, and what lies above so many replicas."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

from pipeline.economics.exact import Exact, not_negative, whole_count

MOST_ENUMERATED_REPLICAS = 100_000


@dataclass(frozen=True)
class LoadCurve:
    """Hourly demand in whole quanta of 1/scale, ascending, with the running sums that answer in O(log hours)."""

    quanta: list[int]
    running_sums: list[int]
    capacity_quanta: int
    scale: int

    def most_replicas(self, maximum_replicas: int | None = None) -> int:
        """The declared maximum, else the count that serves every hour. ValueError above 100,000 without a maximum."""
        if maximum_replicas is not None:
            return whole_count(maximum_replicas, "maximum_replicas")
        serving_every_hour = -(-self.quanta[-1] // self.capacity_quanta)
        if serving_every_hour > MOST_ENUMERATED_REPLICAS:
            raise ValueError(
                f"The busiest hour needs {serving_every_hour} replicas: check that hourly_demand and "
                "capacity_per_replica_hour are in the same unit, or pass maximum_replicas."
            )
        return serving_every_hour

    @property
    def demand(self) -> Fraction:
        """Of all hours together, in its unit."""
        return Fraction(self.running_sums[-1], self.scale)

    def overflow_hours(self, replicas: int) -> int:
        """Hours in which some demand lies above so many replicas."""
        return len(self.quanta) - bisect_right(self.quanta, replicas * self.capacity_quanta)

    def overflow(self, replicas: int) -> Fraction:
        """sum_h max(0, x_h - n c), in the unit of the demand."""
        hours = self.overflow_hours(replicas)
        above = self.running_sums[-1] - self.running_sums[len(self.quanta) - hours]
        return Fraction(above - hours * replicas * self.capacity_quanta, self.scale)


def load_curve(hourly_demand: Sequence[Exact], capacity: Fraction) -> LoadCurve:
    """Of one figure for each hour, and what a replica takes in an hour. ValueError for no hour or a negative one."""
    if not hourly_demand:
        raise ValueError("There are no hours of demand: pass one figure for each observed hour of the horizon.")
    # A whole number is as exact as a fraction, and there may be a year of hours.
    demands = [
        demand if type(demand) is int and demand >= 0 else not_negative(demand, f"hourly_demand[{hour}]")
        for hour, demand in enumerate(hourly_demand)
    ]
    scale = math.lcm(capacity.denominator, *{demand.denominator for demand in demands})
    quanta = sorted(demand.numerator * (scale // demand.denominator) for demand in demands)
    return LoadCurve(
        quanta=quanta,
        running_sums=list(accumulate(quanta, initial=0)),
        capacity_quanta=capacity.numerator * (scale // capacity.denominator),
        scale=scale,
    )
