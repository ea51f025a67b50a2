"""Which traffic moves: several classes of requests on the same replicas, some of which may wait (economics.md 4).

Of what a replica can take, the class goes first whose replica-second displaces most at the API. That is the optimum of
the linear programme "serve y[h, class] <= x[h, class], sum of y[h] <= n c, most money displaced", hour by hour. Where
classes may wait, what can be served of all that go before one, and with it, are two such optima; their difference is
what it gets (the sets of work that can be served within their deadlines are a matroid, so taking the dearest first is
best). So deferrable work fills the valleys before a replica is counted for it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from pipeline.economics.deferrable import Waiting, most_served
from pipeline.economics.exact import Exact, not_negative, positive, to_decimal, whole_count
from pipeline.economics.load_curve import LoadCurve, load_curve
from pipeline.economics.marginal import MarginalReplica, SelfHostCosts, best_count, why_no_more


@dataclass(frozen=True, kw_only=True)
class RequestClass:
    """Requests that are alike.

    hourly_work: what they ask of a replica in each hour of the horizon, in one unit for all classes (replica-seconds).
    price_per_unit: the avoidable API price of one unit of that work.
    deadline_hours: how long it may wait: 0 is served in the hour in which it comes or goes to the API, 24 (a batch of
        the APIs) in that hour or one of the next 24. What still waits when the horizon ends goes to the API.
    """

    name: str
    hourly_work: Sequence[Exact]
    price_per_unit: Exact
    deadline_hours: int = 0


@dataclass(frozen=True, kw_only=True)
class ServedClass:
    """What replicas serve of a class over the horizon, and what is left of it to the API."""

    name: str
    served_units: Decimal
    overflow_units: Decimal
    api_cost: Decimal


@dataclass(frozen=True, kw_only=True)
class ClassAlternative:
    """What so many replicas would cost over the horizon. `classes`: the one that moves first comes first.

    api_cost: of all that is left to the API, and no less than what is committed to it.
    """

    replicas: int
    self_host_cost: Decimal
    api_cost: Decimal
    total_cost: Decimal
    classes: tuple[ServedClass, ...]


@dataclass(frozen=True, kw_only=True)
class ClassPlan:
    """Every count 0..N, the best one (a tie takes fewer replicas), and why it is not one more."""

    alternatives: tuple[ClassAlternative, ...]
    best: ClassAlternative
    next_replica: MarginalReplica


def hybrid_of_classes(
    *,
    classes: Sequence[RequestClass],
    capacity_per_replica_hour: Exact,
    replica_cost: Exact,
    fixed_cost: Exact,
    maximum_replicas: int | None = None,
    api_commitment: Exact = 0,
) -> ClassPlan:
    """The replica count 0..N with the lowest cost, and what of each class moves.

    `capacity_per_replica_hour` is in the unit of the work; `replica_cost` and `fixed_cost` are money over the horizon.
    `api_commitment`: what is due for all classes together however little is left to the API (economics.md 1).
    Classes of one price move in the order of their names. Every count up to the one that serves all is enumerated, in
    O(classes (hours + N) log hours), and in O(classes N hours log hours) where some may wait.

    Raises ValueError for no class, a name given twice, classes of unequally many hours, a negative number, a capacity
    of 0, or more than 100,000 replicas without a stated maximum. Source: economics.md 4.
    """
    capacity = positive(capacity_per_replica_hour, "capacity_per_replica_hour")
    costs = SelfHostCosts.of(replica_cost=replica_cost, fixed_cost=fixed_cost)
    layers, committed = _Layers.of(classes, capacity), not_negative(api_commitment, "api_commitment")

    def api(count: int) -> Fraction:
        return max(committed, layers.api_cost(count))

    totals: list[Fraction] = []
    for count in range(layers.most_replicas(maximum_replicas) + 1):
        totals.append(costs.total(count) + api(count))
        if maximum_replicas is None and layers.serves_all(count):
            break
    best = best_count(totals)
    alternatives = tuple(_alternative(layers, costs, api(count), count) for count in range(len(totals)))
    return ClassPlan(
        alternatives=alternatives,
        best=alternatives[best],
        next_replica=why_no_more(api, costs, totals, best),
    )


@dataclass(frozen=True)
class _Layers:
    """Classes in the order in which they move.

    curves: the load of all up to each of them together, were each served in its hour; waiting: the same in whole units,
    `capacity_units` an hour, class by class; None where no class may wait.
    """

    names: Sequence[str]
    prices: Sequence[Fraction]
    work: Sequence[Fraction]
    curves: Sequence[LoadCurve]
    waiting: Sequence[Waiting] | None
    capacity_units: int
    scale: int
    _served: dict[int, list[Fraction]] = field(default_factory=dict)

    @classmethod
    def of(cls, classes: Sequence[RequestClass], capacity: Fraction) -> "_Layers":
        if not classes:
            raise ValueError("There is no class of requests: pass at least one.")
        names = [found.name for found in classes]
        if len(set(names)) < len(names):
            raise ValueError(f"The classes are named {names}: give each a name of its own.")
        hours = {found.name: len(found.hourly_work) for found in classes}
        if len(set(hours.values())) > 1:
            raise ValueError(f"Hours by class are {hours}: pass one figure for each hour of one horizon.")
        prices = {found.name: not_negative(found.price_per_unit, f"price of {found.name}") for found in classes}
        ordered = sorted(classes, key=lambda found: (-prices[found.name], found.name))
        work = [[_not_negative(hour, found.name) for hour in found.hourly_work] for found in ordered]
        deadlines = [whole_count(found.deadline_hours, f"deadline_hours of {found.name}") for found in ordered]
        curves: list[LoadCurve] = []
        joined: list[int | Fraction] = [0] * len(work[0])
        for own in work:
            joined = [before + hour for before, hour in zip(joined, own, strict=True)]
            curves.append(load_curve(joined, capacity))
        scale = math.lcm(capacity.denominator, *{hour.denominator for own in work for hour in own})
        waiting = [
            Waiting([int(hour * scale) for hour in own], deadline)
            for own, deadline in zip(work, deadlines, strict=True)
        ]
        return cls(
            names=[found.name for found in ordered],
            prices=[prices[found.name] for found in ordered],
            work=[Fraction(sum(own)) for own in work],
            curves=curves,
            waiting=waiting if any(deadlines) else None,
            capacity_units=int(capacity * scale),
            scale=scale,
        )

    def most_replicas(self, maximum_replicas: int | None) -> int:
        return self.curves[-1].most_replicas(maximum_replicas)

    def serves_all(self, replicas: int) -> bool:
        return sum(self.served(replicas), Fraction(0)) == sum(self.work, Fraction(0))

    def served(self, replicas: int) -> list[Fraction]:
        """Of each class: the most that all classes up to it can get less the most that those before it can."""
        if replicas not in self._served:
            upto = [Fraction(0), *(self._most(upto, replicas) for upto in range(1, len(self.names) + 1))]
            self._served[replicas] = [after - before for before, after in pairwise(upto)]
        return self._served[replicas]

    def _most(self, upto: int, replicas: int) -> Fraction:
        if self.waiting is None:
            curve = self.curves[upto - 1]
            return curve.demand - curve.overflow(replicas)
        units = most_served(self.waiting[:upto], capacity_per_hour=replicas * self.capacity_units)
        return Fraction(units, self.scale)

    def api_cost(self, replicas: int) -> Fraction:
        served = self.served(replicas)
        return sum(
            (price * (work - found) for price, work, found in zip(self.prices, self.work, served, strict=True)),
            Fraction(0),
        )


def _not_negative(hour: Exact, name: str) -> int | Fraction:
    """A whole number stays one: most are, and they add up fast."""
    return hour if type(hour) is int and hour >= 0 else not_negative(hour, f"hourly_work of {name}")


def _alternative(layers: _Layers, costs: SelfHostCosts, api: Fraction, replicas: int) -> ClassAlternative:
    self_host = costs.total(replicas)
    rows = zip(layers.names, layers.prices, layers.work, layers.served(replicas), strict=True)
    return ClassAlternative(
        replicas=replicas,
        self_host_cost=to_decimal(self_host),
        api_cost=to_decimal(api),
        total_cost=to_decimal(self_host + api),
        classes=tuple(
            ServedClass(
                name=name,
                served_units=to_decimal(served),
                overflow_units=to_decimal(work - served),
                api_cost=to_decimal(price * (work - served)),
            )
            for name, price, work, served in rows
        ),
    )
