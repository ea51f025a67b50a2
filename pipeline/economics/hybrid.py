"""The best mix: a base of replicas, and the API for what lies above it. Source: economics.md 4."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from pipeline.economics.exact import Exact, not_negative, positive, to_decimal
from pipeline.economics.load_curve import LoadCurve, load_curve
from pipeline.economics.marginal import MarginalReplica, SelfHostCosts, best_count, why_no_more
from pipeline.economics.quantiles import replicas_needed


@dataclass(frozen=True, kw_only=True)
class HybridAlternative:
    """What so many replicas would cost over the horizon, the API taking what lies above their capacity.

    self_host_cost: replicas x replica cost + (with at least one) the fixed cost. Units are those of the demand.
    api_overflow_cost: the overflow at its price, and no less than what is committed to the API.
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
    api_commitment: Exact = 0,
) -> HybridPlan:
    """The replica count 0..N with the lowest C(n) = n R + [n > 0] F + max(K, p sum_h max(0, x_h - n c)).

    `hourly_demand` has one figure for each hour of the horizon, in any one unit (tokens, replica-seconds of work);
    `capacity_per_replica_hour` is in that unit and `price_per_unit` is the avoidable API price of it.
    `replica_cost` and `fixed_cost` are money over the whole horizon. `headroom_ratio`, `minimum_replicas`,
    `spare_replicas` and `quantile` size the all-self-hosted plan only. `api_commitment` is K, what is due to the API
    over the horizon however little is used (economics.md 1): the API cost of a count is never below it. An unobserved
    hour is left out by the caller together with its share of the costs, never passed as 0.

    Every count is enumerated, because volume discounts and the fixed cost break convexity; the rule "replica n+1
    pays iff p sum_h min(c, max(0, x_h - n c)) > R" explains the answer. O((hours + N) log hours).

    Raises ValueError for no hours, a negative number, a capacity of 0, or more than 100,000 replicas without a
    stated maximum. Source: economics.md 4, and 7 for the all-self-hosted size.
    """
    curve = load_curve(hourly_demand, positive(capacity_per_replica_hour, "capacity_per_replica_hour"))
    costs = SelfHostCosts.of(replica_cost=replica_cost, fixed_cost=fixed_cost)
    price = not_negative(price_per_unit, "price_per_unit")
    committed = not_negative(api_commitment, "api_commitment")

    def api(count: int) -> Fraction:
        return max(committed, price * curve.overflow(count))

    counts = range(curve.most_replicas(maximum_replicas) + 1)
    totals = [costs.total(count) + api(count) for count in counts]
    best = best_count(totals)
    needed = replicas_needed(
        hourly_work=hourly_demand,
        capacity_per_replica_hour=capacity_per_replica_hour,
        headroom_ratio=headroom_ratio,
        minimum_replicas=minimum_replicas,
        spare_replicas=spare_replicas,
        quantile=quantile,
    )
    alternatives = tuple(_alternative(curve, costs, api(count), count) for count in counts)
    return HybridPlan(
        alternatives=alternatives,
        best=alternatives[best],
        all_api=alternatives[0],
        all_self_hosted=_alternative(curve, costs, api(needed), needed),
        next_replica=why_no_more(api, costs, totals, best),
    )


def _alternative(curve: LoadCurve, costs: SelfHostCosts, api: Fraction, replicas: int) -> HybridAlternative:
    overflow, self_host = curve.overflow(replicas), costs.total(replicas)
    return HybridAlternative(
        replicas=replicas,
        self_host_cost=to_decimal(self_host),
        api_overflow_cost=to_decimal(api),
        total_cost=to_decimal(self_host + api),
        served_units=to_decimal(curve.demand - overflow),
        overflow_units=to_decimal(overflow),
        overflow_hours=curve.overflow_hours(replicas),
    )
