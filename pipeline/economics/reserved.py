"""Reserved replicas, on-demand replicas by the hour, and the API for what is left. Source: economics.md 4.

The demand is cut into layers of one replica each: layer j holds what lies between j - 1 and j replicas. In an hour an
on-demand replica takes a layer where it costs less than the API of what lies in it; a layer is reserved where what its
hours would cost without a reservation exceeds the reservation.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate

from pipeline.economics.exact import Exact, money_text, not_negative, positive, to_decimal
from pipeline.economics.load_curve import load_curve


@dataclass(frozen=True, kw_only=True)
class ReservedAlternative:
    """What so many reserved replicas would cost over the horizon, the rest on demand or on the API, hour by hour.

    on_demand_hours: replica-hours. self_host_cost: reserved, on demand and, with at least one replica, the fixed cost.
    """

    reserved_replicas: int
    reserved_cost: Decimal
    on_demand_hours: int
    on_demand_cost: Decimal
    fixed_cost: Decimal
    api_cost: Decimal
    total_cost: Decimal


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One replica's worth of demand. `unreserved_cost`: the hourly sum of min(on demand, displaced API)."""

    layer: int
    unreserved_cost: Decimal
    is_reserved: bool


@dataclass(frozen=True, kw_only=True)
class ReservedPlan:
    """Every count of reserved replicas, the best plan, and the layer that decided.

    alternatives: 0..N reserved; each with on-demand replicas where they cost less than the API.
    best: the lowest total of them and of `all_api`; a tie takes the API, then fewer reserved replicas.
    on_demand_by_hour: replicas on demand in each hour of the best plan.
    layers: with what each would cost unreserved over the horizon. `explanation`: the first that is not reserved.
    """

    alternatives: tuple[ReservedAlternative, ...]
    all_api: ReservedAlternative
    best: ReservedAlternative
    on_demand_by_hour: tuple[int, ...]
    layers: tuple[Layer, ...]
    explanation: str


def reserved_hybrid(
    *,
    hourly_demand: Sequence[Exact],
    capacity_per_replica_hour: Exact,
    reserved_cost: Exact,
    on_demand_cost_per_hour: Exact,
    fixed_cost: Exact,
    price_per_unit: Exact,
    maximum_replicas: int | None = None,
) -> ReservedPlan:
    """How many replicas to reserve for the whole horizon, and in which hours to add one on demand.

    `hourly_demand` is as `optimal_hybrid` takes it. `reserved_cost` is one reserved replica's money over the horizon,
    paid whether it works or not; `on_demand_cost_per_hour` is one replica-hour's, paid only for the hours taken (whole
    hours: an hour that is begun is paid). `maximum_replicas` caps reserved and on demand together. O(hours + N).

    In an hour a tie takes the API; over the horizon it takes fewer reserved replicas. Raises ValueError as
    `optimal_hybrid` does. Source: economics.md 4: layer j is reserved iff the hourly sum of min(on demand, displaced
    API) exceeds the reserved cost.
    """
    capacity = positive(capacity_per_replica_hour, "capacity_per_replica_hour")
    most = load_curve(hourly_demand, capacity).most_replicas(maximum_replicas)
    rates = _Rates(
        reserved=not_negative(reserved_cost, "reserved_cost"),
        on_demand=not_negative(on_demand_cost_per_hour, "on_demand_cost_per_hour"),
        fixed=not_negative(fixed_cost, "fixed_cost"),
        price=not_negative(price_per_unit, "price_per_unit"),
        capacity=capacity,
    )
    hours = [Fraction(hour) for hour in hourly_demand]
    worth = [min(rates.on_demand_of(hour), most) for hour in hours]
    unreserved = rates.unreserved(hours, layers=most)
    above = rates.price * sum((max(Fraction(0), hour - most * capacity) for hour in hours), Fraction(0))
    on_demand_hours = _running(Counter(worth), most)
    left = list(accumulate(reversed(unreserved), initial=Fraction(0)))[::-1]
    plans = [
        rates.cost(reserved=count, on_demand_hours=on_demand_hours[count], unreserved=left[count], above=above)
        for count in range(most + 1)
    ]
    all_api = rates.all_api(hours)
    by_cost = [all_api, *plans]
    best = min(range(len(by_cost)), key=lambda index: (by_cost[index].total, index))
    alternatives = tuple(plan.published() for plan in plans)
    return ReservedPlan(
        alternatives=alternatives,
        all_api=all_api.published(),
        best=by_cost[best].published(),
        on_demand_by_hour=tuple(max(0, count - (best - 1)) for count in worth) if best else (0,) * len(hours),
        layers=tuple(
            Layer(layer=layer + 1, unreserved_cost=to_decimal(cost), is_reserved=layer < best - 1)
            for layer, cost in enumerate(unreserved)
        ),
        explanation=_why(rates, unreserved, by_cost, best),
    )


@dataclass(frozen=True)
class _Cost:
    reserved: int
    reserved_cost: Fraction
    on_demand_hours: int
    on_demand_cost: Fraction
    fixed: Fraction
    api: Fraction

    @property
    def total(self) -> Fraction:
        return self.reserved_cost + self.on_demand_cost + self.fixed + self.api

    def published(self) -> ReservedAlternative:
        return ReservedAlternative(
            reserved_replicas=self.reserved,
            reserved_cost=to_decimal(self.reserved_cost),
            on_demand_hours=self.on_demand_hours,
            on_demand_cost=to_decimal(self.on_demand_cost),
            fixed_cost=to_decimal(self.fixed),
            api_cost=to_decimal(self.api),
            total_cost=to_decimal(self.total),
        )


@dataclass(frozen=True)
class _Rates:
    reserved: Fraction
    on_demand: Fraction
    fixed: Fraction
    price: Fraction
    capacity: Fraction

    def on_demand_of(self, hour: Fraction) -> int:
        """On-demand replicas that an hour is worth: higher layers hold less, so these are the lowest."""
        full, rest = divmod(hour, self.capacity)
        if self.price * self.capacity <= self.on_demand:
            return 0
        return full + (self.price * rest > self.on_demand)

    def unreserved(self, hours: Sequence[Fraction], *, layers: int) -> list[Fraction]:
        """The hourly sum of min(on demand, displaced API) of each layer."""
        filled = [0] * (layers + 1)
        partly = [Fraction(0)] * (layers + 1)
        for hour in hours:
            full, rest = divmod(hour, self.capacity)
            filled[min(full, layers)] += 1
            if full < layers:
                partly[full] += min(self.on_demand, self.price * rest)
        reaching = list(accumulate(reversed(filled)))[::-1]
        whole = min(self.on_demand, self.price * self.capacity)
        return [reaching[layer + 1] * whole + partly[layer] for layer in range(layers)]

    def cost(self, *, reserved: int, on_demand_hours: int, unreserved: Fraction, above: Fraction) -> _Cost:
        """`unreserved`: of the layers not reserved, on demand or on the API; `above`: what no replica may take."""
        on_demand_cost = on_demand_hours * self.on_demand
        return _Cost(
            reserved=reserved,
            reserved_cost=reserved * self.reserved,
            on_demand_hours=on_demand_hours,
            on_demand_cost=on_demand_cost,
            fixed=self.fixed if reserved or on_demand_hours else Fraction(0),
            api=unreserved - on_demand_cost + above,
        )

    def all_api(self, hours: Sequence[Fraction]) -> _Cost:
        nothing = Fraction(0)
        return _Cost(0, nothing, 0, nothing, nothing, self.price * sum(hours, nothing))


def _running(worth: Counter[int], most: int) -> list[int]:
    """sum_h max(0, replicas worth having in it - r) for each r up to the most."""
    hours, hours_above = 0, 0
    sums = []
    for reserved in range(most, -1, -1):
        hours += hours_above
        sums.append(hours)
        hours_above += worth[reserved]
    return sums[::-1]


def _why(rates: _Rates, unreserved: Sequence[Fraction], by_cost: Sequence[_Cost], best: int) -> str:
    if best == 0 and len(by_cost) > 1:
        other = min(by_cost[1:], key=lambda found: (found.total, found.reserved))
        if other.reserved or other.on_demand_hours:
            return (
                f"The best plan with replicas, {other.reserved} reserved and {other.on_demand_hours} replica-hours on "
                f"demand, would cost {money_text(other.total)}, fixed cost of {money_text(other.fixed)} included; the "
                f"API alone costs {money_text(by_cost[0].total)}."
            )
    reserved = max(best - 1, 0)
    if reserved == len(unreserved):
        return f"All {reserved} layers are reserved: there is no further one."
    return (
        f"Layer {reserved + 1} would cost {money_text(unreserved[reserved])} on demand or on the API, whichever is "
        f"less in each hour, against {money_text(rates.reserved)} reserved."
    )
