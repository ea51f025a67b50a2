"""Replicas that come and go: start-up cost, warm-up, scale to zero. Source: economics.md 4.

A dynamic programme over replica counts, hour by hour. In the hour in which a replica starts it serves only the rest of
the hour, and starting costs what is stated; so scaling to zero pays exactly where the rent of an idle gap exceeds the
start and the API cost of the tokens that the warm-up does not serve.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from pipeline.economics.exact import Exact, money_text, not_negative, positive, to_decimal, whole_count
from pipeline.economics.load_curve import load_curve
from pipeline.economics.marginal import best_count

MOST_STEPS = 20_000_000


@dataclass(frozen=True, kw_only=True)
class IdleGap:
    """Hours in a row in which the best plan runs no replica, between two in which it runs some.

    rent_saved: what keeping the replicas that run again after it would have cost. start_cost, warm_up_api_cost: what
    starting them costs, and the API for what they do not serve while they warm up.
    """

    first_hour: int
    hours: int
    replicas: int
    rent_saved: Decimal
    start_cost: Decimal
    warm_up_api_cost: Decimal


@dataclass(frozen=True, kw_only=True)
class StartUpPlan:
    """The cheapest path of replica counts, and the cheapest constant one.

    replicas_by_hour: of the best path; a tie takes fewer replicas.
    rent, start_cost, api_cost, fixed_cost: its parts; `total_cost` their sum. started: replicas started in all.
    always_on_replicas, always_on_cost: the best count that never changes, started once. The path never costs more.
    gaps: where it scales to zero in between.
    """

    replicas_by_hour: tuple[int, ...]
    rent: Decimal
    started: int
    start_cost: Decimal
    fixed_cost: Decimal
    api_cost: Decimal
    total_cost: Decimal
    always_on_replicas: int
    always_on_cost: Decimal
    gaps: tuple[IdleGap, ...]
    explanation: str


def start_up_plan(
    *,
    hourly_demand: Sequence[Exact],
    capacity_per_replica_hour: Exact,
    replica_cost_per_hour: Exact,
    start_cost: Exact,
    warm_up_share_of_hour: Exact,
    fixed_cost: Exact,
    price_per_unit: Exact,
    maximum_replicas: int | None = None,
    running_before: int = 0,
) -> StartUpPlan:
    """How many replicas to run in each hour where a replica that starts costs money and serves late.

    `hourly_demand` is one figure an hour in order of time, none left out; what lies above the capacity goes to the API.
    `replica_cost_per_hour` is paid for every hour in which a replica runs, the hour of its start included. `start_cost`
    is money a start beyond that; `warm_up_share_of_hour`, in [0, 1], is the part of that hour in which it serves
    nothing. `fixed_cost` is paid with the first replica. `running_before`: replicas that run as the first hour begins.

    Every path of counts is covered, in O(hours x N). Raises ValueError for no hours, a number out of its range, or more
    than 20 million steps. Source: economics.md 4.
    """
    capacity = positive(capacity_per_replica_hour, "capacity_per_replica_hour")
    hours = [not_negative(hour, f"hourly_demand[{index}]") for index, hour in enumerate(hourly_demand)]
    if not hours:
        raise ValueError("There are no hours of demand: pass one figure for each hour of the horizon, in order.")
    warm_up = not_negative(warm_up_share_of_hour, "warm_up_share_of_hour")
    if warm_up > 1:
        raise ValueError(f"warm_up_share_of_hour is {warm_up_share_of_hour}: pass a share of at most 1.")
    most = (
        _most_replicas(hours, capacity, warm_up)
        if maximum_replicas is None
        else whole_count(maximum_replicas, "maximum_replicas")
    )
    before = whole_count(running_before, "running_before")
    if len(hours) * (max(most, before) + 1) > MOST_STEPS:
        raise ValueError(
            f"{len(hours)} hours of up to {max(most, before)} replicas are more than {MOST_STEPS} steps: check that "
            "hourly_demand and capacity_per_replica_hour are in the same unit, or pass a maximum_replicas."
        )
    problem = _Problem(
        hours=hours,
        capacity=capacity,
        warm_up=warm_up,
        rent=not_negative(replica_cost_per_hour, "replica_cost_per_hour"),
        start=not_negative(start_cost, "start_cost"),
        fixed=not_negative(fixed_cost, "fixed_cost"),
        price=not_negative(price_per_unit, "price_per_unit"),
        before=before,
    )
    return _published(problem, _best_path(problem, most), most)


def scaling_to_zero_pays(
    *,
    idle_gap_hours: Exact,
    replicas: int,
    replica_cost_per_hour: Exact,
    start_cost: Exact,
    warm_up_api_cost: Exact,
) -> bool:
    """Whether the rent of an idle gap exceeds the starts after it and the API cost of the warm-up's tokens.

    `start_cost` is one replica's; `warm_up_api_cost` that of all of them. Equality keeps them running: fewer changes.
    Source: economics.md 4.
    """
    count = whole_count(replicas, "replicas")
    rent = not_negative(idle_gap_hours, "idle_gap_hours") * count * not_negative(replica_cost_per_hour, "replica_cost")
    back = count * not_negative(start_cost, "start_cost") + not_negative(warm_up_api_cost, "warm_up_api_cost")
    return rent > back


@dataclass(frozen=True)
class _Problem:
    hours: Sequence[Fraction]
    capacity: Fraction
    warm_up: Fraction
    rent: Fraction
    start: Fraction
    fixed: Fraction
    price: Fraction
    before: int

    def api(self, hour: int, before: int, now: int) -> Fraction:
        """What is left to the API in an hour of `now` replicas of which at most `before` ran before."""
        ready = now * self.capacity - max(0, now - before) * self.warm_up * self.capacity
        return self.price * max(Fraction(0), self.hours[hour] - ready)

    def step(self, hour: int, before: int, now: int) -> Fraction:
        return now * self.rent + max(0, now - before) * self.start + self.api(hour, before, now)

    def cost(self, path: Sequence[int]) -> Fraction:
        """Of a whole path, the fixed cost included."""
        before, total = self.before, self.fixed if any(path) else Fraction(0)
        for hour, now in enumerate(path):
            total += self.step(hour, before, now)
            before = now
        return total

    def constant_costs(self, most: int) -> list[Fraction]:
        """Of each count that runs in every hour: all it costs, its start in the first one included."""
        curve = load_curve(self.hours, self.capacity)
        first = [self.step(0, self.before, count) - self.api(0, count, count) for count in range(most + 1)]
        return [
            first[count]
            + (len(self.hours) - 1) * count * self.rent
            + self.price * curve.overflow(count)
            + (self.fixed if count else 0)
            for count in range(most + 1)
        ]


def _most_replicas(hours: Sequence[Fraction], capacity: Fraction, warm_up: Fraction) -> int:
    """More than serve the busiest hour are of no use, unless more of them serve the hour in which they start."""
    useful = capacity if warm_up == 1 else capacity * (1 - warm_up)
    return math.ceil(max(hours) / useful)


def _best_path(problem: _Problem, most: int) -> tuple[int, ...]:
    """The path with the lowest cost; where the fixed cost makes it dearer than no replica at all, that."""
    quanta = _Quanta.of(problem)
    size = max(most, problem.before) + 1
    # What can be reached before the first hour is what runs then; beyond every sum is what cannot be.
    costs = [quanta.beyond] * size
    costs[problem.before] = 0
    choices: list[list[int]] = []
    for demand in quanta.hours:
        costs, chosen = quanta.next_costs(costs, demand, most)
        choices.append(chosen)
    last = min(range(most + 1), key=lambda count: (costs[count], count))
    path = [last]
    for chosen in reversed(choices[1:]):
        path.append(chosen[path[-1]])
    found = tuple(reversed(path))
    nothing = (0,) * len(problem.hours)
    return nothing if problem.cost(nothing) <= problem.cost(found) else found


@dataclass(frozen=True)
class _Quanta:
    """The problem in whole numbers: units of demand, and of money, so small that every product is whole."""

    hours: Sequence[int]
    full: int
    warming: int
    rent: int
    start: int
    price: int
    beyond: int

    @classmethod
    def of(cls, problem: _Problem) -> "_Quanta":
        warming = problem.capacity * problem.warm_up
        units = math.lcm(
            problem.capacity.denominator, warming.denominator, *{hour.denominator for hour in problem.hours}
        )
        price = problem.price / units
        money = math.lcm(price.denominator, problem.rent.denominator, problem.start.denominator)
        hours = [int(hour * units) for hour in problem.hours]
        costs = {
            "rent": int(problem.rent * money),
            "start": int(problem.start * money),
            "price": int(price * money),
        }
        return cls(
            hours=hours,
            full=int(problem.capacity * units),
            warming=int(warming * units),
            beyond=costs["price"] * sum(hours) + 1,
            **costs,
        )

    def next_costs(self, costs: Sequence[int], demand: int, most: int) -> tuple[list[int], list[int]]:
        """The least cost of each count after an hour, and from which count before it.

        Started from m < n, the hour lacks `max(0, demand - n full + (n - m) warming)`. As n grows, fewer m lack
        anything: those that do are the lowest, those that do not reach up to n, so each has a running least.
        """
        size = len(costs)
        kept = _least_from_above(costs)
        short = _least_from_below([cost - m * (self.start + self.price * self.warming) for m, cost in enumerate(costs)])
        found, chosen = [], []
        low = size
        ample: tuple[int, int] | None = None
        for n in range(most + 1):
            cost, source = kept[n] if n < size else (self.beyond, n)
            lacking = demand - n * self.full
            best = cost + self.price * max(0, lacking), source
            if n:
                enough = self._enough(lacking, n)
                # The ample counts are enough .. n - 1; both ends only ever move outward.
                reach = min(n - 1, size - 1)
                for m in (*range(min(low, reach + 1) - 1, enough - 1, -1), *([reach] if low <= reach else ())):
                    candidate = costs[m] - m * self.start, m
                    ample = candidate if ample is None else min(ample, candidate)
                low = min(low, enough) if enough <= reach else low
                if ample is not None:
                    best = min(best, (ample[0] + n * self.start, ample[1]))
                if enough > 0:
                    least, m = short[min(enough, n, size) - 1]
                    lack = self.price * (lacking + n * self.warming)
                    best = min(best, (least + n * self.start + lack, m))
            found.append(best[0] + n * self.rent)
            chosen.append(best[1])
        return found, chosen

    def _enough(self, lacking: int, n: int) -> int:
        """The least m from which nothing is lacking in an hour of n replicas: lacking + (n - m) warming <= 0."""
        if self.warming == 0:
            return 0 if lacking <= 0 else n
        return min(n, max(0, n + -(-lacking // self.warming)))


def _least_from_above(costs: Sequence[int]) -> list[tuple[int, int]]:
    """Of each count the least cost at it or above, and where; a tie takes the lower count."""
    found = [(costs[-1], len(costs) - 1)]
    for m in range(len(costs) - 2, -1, -1):
        found.append(min((costs[m], m), found[-1]))
    return found[::-1]


def _least_from_below(costs: Sequence[int]) -> list[tuple[int, int]]:
    found = [(costs[0], 0)]
    for m in range(1, len(costs)):
        found.append(min(found[-1], (costs[m], m)))
    return found


def _published(problem: _Problem, path: tuple[int, ...], most: int) -> StartUpPlan:
    before, started, api = problem.before, 0, Fraction(0)
    for hour, now in enumerate(path):
        started += max(0, now - before)
        api += problem.api(hour, before, now)
        before = now
    constants = problem.constant_costs(most)
    constant = best_count(constants)
    total, always_on = problem.cost(path), constants[constant]
    gaps = tuple(_gaps(problem, path))
    return StartUpPlan(
        replicas_by_hour=path,
        rent=to_decimal(sum(path) * problem.rent),
        started=started,
        start_cost=to_decimal(started * problem.start),
        fixed_cost=to_decimal(problem.fixed if any(path) else Fraction(0)),
        api_cost=to_decimal(api),
        total_cost=to_decimal(total),
        always_on_replicas=constant,
        always_on_cost=to_decimal(always_on),
        gaps=gaps,
        explanation=_said(gaps, constant, total, always_on),
    )


def _gaps(problem: _Problem, path: Sequence[int]) -> list[IdleGap]:
    found = []
    running = [hour for hour, count in enumerate(path) if count]
    for last, back in pairwise(running):
        hours = back - last - 1
        if hours:
            count = path[back]
            ready, warming = problem.api(back, count, count), problem.api(back, 0, count)
            found.append(
                IdleGap(
                    first_hour=last + 1,
                    hours=hours,
                    replicas=count,
                    rent_saved=to_decimal(hours * count * problem.rent),
                    start_cost=to_decimal(count * problem.start),
                    warm_up_api_cost=to_decimal(warming - ready),
                )
            )
    return found


def _said(gaps: Sequence[IdleGap], constant: int, total: Fraction, always_on: Fraction) -> str:
    run = "replica that runs" if constant == 1 else "replicas that run"
    against = f"{money_text(total)} against {money_text(always_on)} of {constant} {run} all the time"
    if not gaps:
        return f"{against}; no gap in between is worth a start."
    longest = max(gaps, key=lambda gap: (gap.hours, -gap.first_hour))
    count = f"{len(gaps)} gap{'' if len(gaps) == 1 else 's'} at zero"
    return (
        f"{against}; of {count} the longest, {longest.hours} hours, saves "
        f"{money_text(Fraction(longest.rent_saved))} of rent for {money_text(Fraction(longest.start_cost))} of starts "
        f"and {money_text(Fraction(longest.warm_up_api_cost))} on the API while they warm up."
    )
