"""The best mix: a base of replicas, and the API for what lies above it. Source: economics.md 4."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from typing import Literal

from pipeline.economics.exact import Exact, money_text, not_negative, positive, to_decimal, whole_count
from pipeline.economics.quantiles import replicas_needed

MOST_ENUMERATED_REPLICAS = 100_000


@dataclass(frozen=True, kw_only=True)
class HybridAlternative:
    """What so many replicas would cost over the horizon, the API taking what lies above their capacity.

    self_host_cost: replicas x replica cost + (with at least one) the fixed cost. Units are those of the demand.
    overflow_hours: hours in which some demand lies above the capacity.
    """

    replicas: int
    self_host_cost: Decimal
    api_overflow_cost: Decimal
    total_cost: Decimal
    served_units: Decimal
    overflow_units: Decimal
    overflow_hours: int


@dataclass(frozen=True, kw_only=True)
class MarginalReplica:
    """Why no further replica is taken.

    kind `rent`: one more displaces no more API cost than its rent. kind `fixed_cost`: nothing is self-hosted
    because even the best count, `replicas`, does not earn its rent and the fixed cost together. kind `maximum`:
    one more would pay and the declared maximum forbids it. `displaced_api_cost` and `added_cost` are those of the
    step from the best alternative to `replicas`.
    """

    kind: Literal["rent", "fixed_cost", "maximum"]
    replicas: int
    displaced_api_cost: Decimal
    added_cost: Decimal
    explanation: str


@dataclass(frozen=True, kw_only=True)
class HybridPlan:
    """Every replica count, the best one, and the two plans people compare it with.

    alternatives: 0..N in order; N is the declared maximum, else the count that serves every hour.
    best: the lowest total cost; a tie takes fewer replicas.
    all_api: no replicas. all_self_hosted: the count that carries the quantile hour with headroom (economics.md 7).
        It may exceed the maximum. Its `overflow_units` are priced at the API, so that it serves the same demand
        as the others; `self_host_cost` alone is its bill if those units are turned away or wait.
    """

    alternatives: tuple[HybridAlternative, ...]
    best: HybridAlternative
    all_api: HybridAlternative
    all_self_hosted: HybridAlternative
    next_replica: MarginalReplica


def optimal_hybrid(
    *,
    hourly_demand: Sequence[Exact],
    capacity_per_replica_hour: Exact,
    replica_cost: Exact,
    fixed_cost: Exact,
    price_per_unit: Exact,
    headroom_ratio: Exact,
    maximum_replicas: int | None = None,
    minimum_replicas: int = 1,
    spare_replicas: int = 0,
    quantile: Exact = Decimal("0.99"),
) -> HybridPlan:
    """The replica count 0..N with the lowest C(n) = n R + [n > 0] F + p sum_h max(0, x_h - n c).

    `hourly_demand` has one figure for each hour of the horizon, in any one unit (tokens, replica-seconds of work);
    `capacity_per_replica_hour` is in that unit and `price_per_unit` is the avoidable API price of it.
    `replica_cost` and `fixed_cost` are money over the whole horizon. `headroom_ratio`, `minimum_replicas`,
    `spare_replicas` and `quantile` size the all-self-hosted plan only. An unobserved hour is left out by the
    caller together with its share of the costs, never passed as 0.

    Every count is enumerated, because volume discounts and the fixed cost break convexity; the rule "replica n+1
    pays iff p sum_h min(c, max(0, x_h - n c)) > R" explains the answer. O((hours + N) log hours).

    Raises ValueError for no hours, a negative number, a capacity of 0, or more than 100,000 replicas without a
    stated maximum. Source: economics.md 4, and 7 for the all-self-hosted size.
    """
    curve = _load_curve(hourly_demand, positive(capacity_per_replica_hour, "capacity_per_replica_hour"))
    costs = _Costs(
        rent=not_negative(replica_cost, "replica_cost"),
        fixed=not_negative(fixed_cost, "fixed_cost"),
        price=not_negative(price_per_unit, "price_per_unit"),
    )
    counts = range(_most_replicas(curve, maximum_replicas) + 1)
    totals = [costs.self_host(count) + costs.price * curve.overflow(count) for count in counts]
    best_count = min(counts, key=lambda count: (totals[count], count))
    needed = replicas_needed(
        hourly_work=hourly_demand,
        capacity_per_replica_hour=capacity_per_replica_hour,
        headroom_ratio=headroom_ratio,
        minimum_replicas=minimum_replicas,
        spare_replicas=spare_replicas,
        quantile=quantile,
    )
    alternatives = tuple(_alternative(curve, costs, count) for count in counts)
    return HybridPlan(
        alternatives=alternatives,
        best=alternatives[best_count],
        all_api=alternatives[0],
        all_self_hosted=_alternative(curve, costs, needed),
        next_replica=_why_no_more(curve, costs, totals, best_count),
    )


@dataclass(frozen=True)
class _Costs:
    rent: Fraction
    fixed: Fraction
    price: Fraction

    def self_host(self, replicas: int) -> Fraction:
        return replicas * self.rent + (self.fixed if replicas > 0 else 0)


@dataclass(frozen=True)
class _LoadCurve:
    """Hourly demand in whole quanta of 1/scale, ascending, with the running sums that answer in O(log hours)."""

    quanta: list[int]
    running_sums: list[int]
    capacity_quanta: int
    scale: int

    @property
    def demand(self) -> Fraction:
        return Fraction(self.running_sums[-1], self.scale)

    def overflow_hours(self, replicas: int) -> int:
        return len(self.quanta) - bisect_right(self.quanta, replicas * self.capacity_quanta)

    def overflow(self, replicas: int) -> Fraction:
        """sum_h max(0, x_h - n c), in the unit of the demand."""
        hours = self.overflow_hours(replicas)
        above = self.running_sums[-1] - self.running_sums[len(self.quanta) - hours]
        return Fraction(above - hours * replicas * self.capacity_quanta, self.scale)


def _load_curve(hourly_demand: Sequence[Exact], capacity: Fraction) -> _LoadCurve:
    if not hourly_demand:
        raise ValueError("There are no hours of demand: pass one figure for each observed hour of the horizon.")
    # A whole number is as exact as a fraction, and there may be a year of hours.
    demands = [
        demand if type(demand) is int and demand >= 0 else not_negative(demand, f"hourly_demand[{hour}]")
        for hour, demand in enumerate(hourly_demand)
    ]
    scale = math.lcm(capacity.denominator, *{demand.denominator for demand in demands})
    quanta = sorted(demand.numerator * (scale // demand.denominator) for demand in demands)
    return _LoadCurve(
        quanta=quanta,
        running_sums=list(accumulate(quanta, initial=0)),
        capacity_quanta=capacity.numerator * (scale // capacity.denominator),
        scale=scale,
    )


def _most_replicas(curve: _LoadCurve, maximum_replicas: int | None) -> int:
    if maximum_replicas is not None:
        return whole_count(maximum_replicas, "maximum_replicas")
    serving_every_hour = -(-curve.quanta[-1] // curve.capacity_quanta)
    if serving_every_hour > MOST_ENUMERATED_REPLICAS:
        raise ValueError(
            f"The busiest hour needs {serving_every_hour} replicas: check that hourly_demand and "
            "capacity_per_replica_hour are in the same unit, or pass maximum_replicas."
        )
    return serving_every_hour


def _alternative(curve: _LoadCurve, costs: _Costs, replicas: int) -> HybridAlternative:
    overflow = curve.overflow(replicas)
    self_host, api = costs.self_host(replicas), costs.price * overflow
    return HybridAlternative(
        replicas=replicas,
        self_host_cost=to_decimal(self_host),
        api_overflow_cost=to_decimal(api),
        total_cost=to_decimal(self_host + api),
        served_units=to_decimal(curve.demand - overflow),
        overflow_units=to_decimal(overflow),
        overflow_hours=curve.overflow_hours(replicas),
    )


def _displaced(curve: _LoadCurve, costs: _Costs, *, fewer: int, more: int) -> Fraction:
    """The API cost that going from `fewer` to `more` replicas displaces."""
    return costs.price * (curve.overflow(fewer) - curve.overflow(more))


def _why_no_more(curve: _LoadCurve, costs: _Costs, totals: Sequence[Fraction], best_count: int) -> MarginalReplica:
    displaced = _displaced(curve, costs, fewer=best_count, more=best_count + 1)
    added = costs.self_host(best_count + 1) - costs.self_host(best_count)
    if displaced <= costs.rent:
        return _not_worth_its_rent(displaced, costs.rent, best_count + 1)
    if best_count + 1 == len(totals) and displaced > added:
        return _forbidden_by_the_maximum(displaced, added, best_count)
    return _not_worth_the_fixed_cost(curve, costs, totals)


def _not_worth_its_rent(displaced: Fraction, rent: Fraction, replicas: int) -> MarginalReplica:
    return MarginalReplica(
        kind="rent",
        replicas=replicas,
        displaced_api_cost=to_decimal(displaced),
        added_cost=to_decimal(rent),
        explanation=f"Replica {replicas} would displace {money_text(displaced)} of API cost "
        f"for {money_text(rent)} of rent.",
    )


def _forbidden_by_the_maximum(displaced: Fraction, added: Fraction, maximum: int) -> MarginalReplica:
    return MarginalReplica(
        kind="maximum",
        replicas=maximum + 1,
        displaced_api_cost=to_decimal(displaced),
        added_cost=to_decimal(added),
        explanation=f"Replica {maximum + 1} would displace {money_text(displaced)} of API cost "
        f"for {money_text(added)}, but the declared maximum is {maximum}.",
    )


def _not_worth_the_fixed_cost(curve: _LoadCurve, costs: _Costs, totals: Sequence[Fraction]) -> MarginalReplica:
    """Without the fixed cost C is convex, so it alone can stop before a replica that earns its rent: at none."""
    count = min(range(1, len(totals)), key=lambda replicas: (totals[replicas], replicas), default=1)
    displaced, added = _displaced(curve, costs, fewer=0, more=count), costs.self_host(count)
    return MarginalReplica(
        kind="fixed_cost",
        replicas=count,
        displaced_api_cost=to_decimal(displaced),
        added_cost=to_decimal(added),
        explanation=f"The best count, {count}, would displace {money_text(displaced)} of API cost "
        f"for {money_text(count * costs.rent)} of rent and {money_text(costs.fixed)} of fixed cost.",
    )
