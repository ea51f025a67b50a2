"""How sure a break-even is: the same days drawn again, in blocks, everything of a day together.

What moves from day to day (traffic and its hours, its mix, what the API billed, what the GPUs cost, the best hour that
a capacity rests on) is drawn jointly; what is declared (rates within a service level, overheads, list prices) has no
days and stays. Statistics are floats; nothing here is money that has to add up. Source: economics.md 8.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate

from pipeline.economics.exact import positive
from pipeline.economics.resampling import RESAMPLES, SEED, Draws, block_draws

HOURS_PER_DAY = 24
HORIZON_DAYS = 30
# economics.md 8: recommend only if the saving is this likely, and this quantile of it pays the one-off back.
LEAST_PROBABILITY = 0.8
CAUTIOUS_QUANTILE = 0.2
NEVER = math.inf


@dataclass(frozen=True, kw_only=True)
class ClassDays:
    """One token class of a workload, a figure a day.

    demand_tokens: over both lanes; api_tokens: those of them that an API served. billed_cost: in any whole quanta, over
    billed_tokens. price_per_token: what stands in where a resample has none of it billed: the price of all the days, or
    a list price; in the same quanta.
    """

    demand_tokens: Sequence[int]
    api_tokens: Sequence[int]
    billed_cost: Sequence[int]
    billed_tokens: Sequence[int]
    price_per_token: Fraction


@dataclass(frozen=True, kw_only=True)
class WorkloadDays:
    """What a verdict rests on, a figure a day. Money in one kind of whole quanta, work in one kind of whole units.

    hourly_units: the work of each hour of each day. gpu_cost over gpu_milliseconds: of the deployment; own_tokens of
    everyone_tokens: what it served of this workload. best_hour_tokens: of the deployment, where its capacity is the
    best hour seen; None where a capacity is declared.
    """

    classes: Sequence[ClassDays]
    hourly_units: Sequence[Sequence[int]]
    gpu_cost: Sequence[int]
    gpu_milliseconds: Sequence[int]
    own_tokens: Sequence[int]
    everyone_tokens: Sequence[int]
    best_hour_tokens: Sequence[int] | None = None

    @property
    def days(self) -> int:
        return len(self.hourly_units)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is declared, and the replica count that the verdict takes.

    capacity_units_per_replica_hour: over all the days; where it is the best hour seen it moves as that moves.
    fixed_cost: over the days, in the quanta of the days' money. replicas: of the advice.
    """

    capacity_units_per_replica_hour: Fraction
    gpus_per_replica: int
    fixed_cost: Fraction
    replicas: int
    minimum_replicas: int = 1
    spare_replicas: int = 0

    def __post_init__(self) -> None:
        positive(self.capacity_units_per_replica_hour, "capacity_units_per_replica_hour")


@dataclass(frozen=True)
class Quantiles:
    """Nearest-rank quantiles: observed values, `inf` where that many resamples say never."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Point:
    """One resample, or the days as they were: volumes a day in tokens, money over the days in quanta.

    breakeven: the first crossing; `inf` is never. saving: the way it is done now less the advised count.
    """

    tokens_per_day: float
    api_price_per_token: float
    gpu_hour_rate: float
    capacity_tokens_per_replica_hour: float
    breakeven_tokens_per_day: float
    best_replicas: int
    api_only_cost: float
    current_cost: float
    advised_cost: float

    @property
    def saving(self) -> float:
        return self.current_cost - self.advised_cost


@dataclass(frozen=True, kw_only=True)
class BreakevenInterval:
    """5/50/95% of what a verdict says, and how likely its halves are. Money over the days, in quanta.

    probability_never: of no break-even at any volume, which is `inf` inside the quantiles too. probability_self_host:
    that at least one replica is in the best mix. probability_saving: that the advised count costs less than the way it
    is done now; saving_cautious: the 20% quantile. probability_exceeded: that the next 30 days' mean demand reaches the
    break-even, over all pairs of a path drawn from the same days and a break-even.
    """

    days: int
    resamples: int
    point: Point
    breakeven: Quantiles
    saving: Quantiles
    saving_cautious: float
    best_replicas: Quantiles
    tokens_per_day: Quantiles
    api_price_per_token: Quantiles
    gpu_hour_rate: Quantiles
    capacity_tokens_per_replica_hour: Quantiles
    probability_never: float
    probability_self_host: float
    probability_saving: float
    probability_exceeded: float


def breakeven_interval(
    days: WorkloadDays, terms: Terms, *, resamples: int = RESAMPLES, seed: int = SEED
) -> BreakevenInterval:
    """The interval of one workload. O(resamples x blocks x replicas): a year of hours and 200 replicas below 2 s.

    Raises ValueError below 14 days (two blocks), for days of unequal length, or where no work, no billed token or no
    GPU time is left to divide by.
    """
    draws = block_draws(days=days.days, resamples=resamples, seed=seed)
    points = _points(days, terms, draws)
    paths = block_draws(days=days.days, drawn_days=HORIZON_DAYS, resamples=resamples, seed=seed + 1)
    daily = [sum(found) for found in zip(*(of.demand_tokens for of in days.classes), strict=True)]
    breakevens = sorted(point.breakeven_tokens_per_day for point in points)
    return BreakevenInterval(
        days=days.days,
        resamples=resamples,
        point=point_of(days, terms),
        breakeven=quantiles(breakevens),
        saving=quantiles([point.saving for point in points]),
        saving_cautious=nearest_rank_of(sorted(point.saving for point in points), CAUTIOUS_QUANTILE),
        best_replicas=quantiles([float(point.best_replicas) for point in points]),
        tokens_per_day=quantiles([point.tokens_per_day for point in points]),
        api_price_per_token=quantiles([point.api_price_per_token for point in points]),
        gpu_hour_rate=quantiles([point.gpu_hour_rate for point in points]),
        capacity_tokens_per_replica_hour=quantiles([point.capacity_tokens_per_replica_hour for point in points]),
        probability_never=_share(point.breakeven_tokens_per_day == NEVER for point in points),
        probability_self_host=_share(point.best_replicas > 0 for point in points),
        probability_saving=_share(point.saving > 0 for point in points),
        probability_exceeded=pairs_reaching([total / HORIZON_DAYS for total in paths.sums(daily)], breakevens),
    )


def point_of(days: WorkloadDays, terms: Terms) -> Point:
    """The days as they were: what the verdict itself says, by the same arithmetic as every resample."""
    (point,) = _points(days, terms, _as_they_were(days.days))
    return point


def nearest_rank_of(ascending: Sequence[float], quantile: float) -> float:
    """The ceil(q n)-th smallest of sorted values (economics.md 11)."""
    # 0.05 is not 5/100: a thousandth is exact enough to ask the rank of.
    rank = -(-round(quantile * 1000) * len(ascending) // 1000)
    return ascending[max(rank, 1) - 1]


def quantiles(values: Sequence[float]) -> Quantiles:
    """5, 50 and 95%."""
    ascending = sorted(values)
    return Quantiles(*(nearest_rank_of(ascending, share) for share in (0.05, 0.5, 0.95)))


def pairs_reaching(volumes: Sequence[float], ascending_breakevens: Sequence[float]) -> float:
    """The share of all pairs (volume, break-even) in which the volume is at or above the break-even."""
    reached = sum(bisect_right(ascending_breakevens, volume) for volume in volumes)
    return reached / (len(volumes) * len(ascending_breakevens))


def _share(found: Iterable[bool]) -> float:
    flags = list(found)
    return sum(flags) / len(flags)


def _as_they_were(days: int) -> Draws:
    return Draws(days=days, block_days=days, last_days=days, picks=((0,),))


def _points(days: WorkloadDays, terms: Terms, draws: Draws) -> list[Point]:
    """Every resample. Sums are whole numbers, so the order of a resample's days never shows."""
    hours, fixed = HOURS_PER_DAY * days.days, float(terms.fixed_cost)
    tokens = draws.sums(_added(of.demand_tokens for of in days.classes))
    units = draws.sums([sum(of_day) for of_day in days.hourly_units])
    api_only, api_part = _api_costs(days, draws)
    gpu_cost, rate_per_hour = _gpu_costs(days, draws)
    shares = _own_shares(days, draws)
    capacities = _capacities(days, terms, draws)
    rents = [rate * terms.gpus_per_replica * hours for rate in rate_per_hour]
    prices = [cost / work if work else 0.0 for cost, work in zip(api_only, units, strict=True)]
    counts = _Counts(days, draws, capacities, prices=prices, rents=rents, fixed=fixed)
    best, advised = counts.best(), counts.costs(terms.replicas)
    points = []
    for i, work in enumerate(units):
        of_token = tokens[i] / work if work else 0.0
        crossing = first_crossing(
            price=prices[i],
            capacity=float(capacities[i]) * hours,
            rent=rents[i],
            overhead=fixed + terms.spare_replicas * rents[i],
            minimum_replicas=max(1, terms.minimum_replicas),
        )
        points.append(
            Point(
                tokens_per_day=tokens[i] / days.days,
                api_price_per_token=api_only[i] / tokens[i] if tokens[i] else 0.0,
                gpu_hour_rate=rate_per_hour[i],
                capacity_tokens_per_replica_hour=float(capacities[i]) * of_token,
                breakeven_tokens_per_day=crossing * of_token / days.days if crossing < NEVER else NEVER,
                best_replicas=best[i],
                api_only_cost=api_only[i],
                current_cost=api_part[i] + shares[i] * gpu_cost[i] + (fixed if shares[i] else 0.0),
                advised_cost=advised[i],
            )
        )
    return points


def first_crossing(*, price: float, capacity: float, rent: float, overhead: float, minimum_replicas: int) -> float:
    """The least volume at which self-hosting is the cheaper lane, in closed form; `inf` where there is none.

    A(v) = price v against overhead + n rent on stair n. With the margin m = price x capacity - rent above 0 the first
    stair whose end is ahead is n = ceil(overhead / m), or the minimum, and the costs meet on it, at (overhead + n rent)
    / price. Without a commitment a margin of 0 or below has no crossing (economics.md 3).
    """
    margin = price * capacity - rent
    if margin < 0 or price <= 0 or (margin == 0 and overhead > 0):
        return NEVER
    stair = minimum_replicas if margin == 0 else max(minimum_replicas, math.ceil(overhead / margin))
    return (overhead + stair * rent) / price


def _added(of_classes: Iterable[Sequence[int]]) -> list[int]:
    return [sum(found) for found in zip(*of_classes, strict=True)]


def _api_costs(days: WorkloadDays, draws: Draws) -> tuple[list[float], list[float]]:
    """What all of the demand would cost on the API at each resample's own prices, and what its API part does cost."""
    api_only, api_part = [0.0] * len(draws.picks), [0.0] * len(draws.picks)
    for of in days.classes:
        demand, on_api = draws.sums(of.demand_tokens), draws.sums(of.api_tokens)
        cost, billed = draws.sums(of.billed_cost), draws.sums(of.billed_tokens)
        stand_in = float(of.price_per_token)
        for i, tokens in enumerate(demand):
            price = cost[i] / billed[i] if billed[i] else stand_in
            api_only[i] += price * tokens
            api_part[i] += price * on_api[i]
    return api_only, api_part


def _gpu_costs(days: WorkloadDays, draws: Draws) -> tuple[list[float], list[float]]:
    """The deployment's bill, and what a GPU-hour of it cost; where a resample has no GPU time, as over all days."""
    cost, milliseconds = draws.sums(days.gpu_cost), draws.sums(days.gpu_milliseconds)
    of_all = sum(days.gpu_cost) * 3_600_000 / positive(sum(days.gpu_milliseconds), "gpu_milliseconds")
    rates = [float(money * 3_600_000 / ms if ms else of_all) for money, ms in zip(cost, milliseconds, strict=True)]
    return [float(money) for money in cost], rates


def _own_shares(days: WorkloadDays, draws: Draws) -> list[float]:
    if not any(days.own_tokens):
        return [0.0] * len(draws.picks)
    own, everyone = draws.sums(days.own_tokens), draws.sums(days.everyone_tokens)
    return [tokens / served if served else 0.0 for tokens, served in zip(own, everyone, strict=True)]


def _capacities(days: WorkloadDays, terms: Terms, draws: Draws) -> list[Fraction]:
    declared = terms.capacity_units_per_replica_hour
    if days.best_hour_tokens is None:
        return [declared] * len(draws.picks)
    most = positive(max(days.best_hour_tokens), "best_hour_tokens")
    # Where a resample saw nothing served nothing is known of its capacity: that of all days stands.
    return [declared * best / most if best else declared for best in draws.largest(days.best_hour_tokens)]


@dataclass
class _Counts:
    """What each replica count costs in each resample. Resamples of one capacity share their table of overflow."""

    days: WorkloadDays
    draws: Draws
    capacities: Sequence[Fraction]
    prices: Sequence[float]
    rents: Sequence[float]
    fixed: float
    _groups: Mapping[Fraction, "_Overflow"] = field(init=False)

    def __post_init__(self) -> None:
        hours = [_Hours.of(found) for found in self.days.hourly_units]
        members: dict[Fraction, list[int]] = {}
        for resample, capacity in enumerate(self.capacities):
            members.setdefault(capacity, []).append(resample)
        self._groups = {
            capacity: _Overflow(hours, self.draws.only(found), capacity, found) for capacity, found in members.items()
        }

    def costs(self, replicas: int) -> list[float]:
        """C(n) = n R + [n > 0] F + p x what lies above n replicas."""
        costs = [0.0] * len(self.capacities)
        for overflow in self._groups.values():
            for i, units in zip(overflow.resamples, overflow.units(replicas), strict=True):
                kept = replicas * self.rents[i] + (self.fixed if replicas else 0.0)
                costs[i] = kept + self.prices[i] * units
        return costs

    def best(self) -> list[int]:
        """The cheapest count of each resample; a tie takes fewer replicas (economics.md 4)."""
        most = max(overflow.most_replicas for overflow in self._groups.values())
        cheapest, best = self.costs(0), [0] * len(self.capacities)
        for replicas in range(1, most + 1):
            for i, cost in enumerate(self.costs(replicas)):
                if cost < cheapest[i]:
                    cheapest[i], best[i] = cost, replicas
        return best


@dataclass(frozen=True)
class _Hours:
    """The hours of a day, ascending, with their running sums."""

    ascending: list[int]
    running: list[int]

    @classmethod
    def of(cls, hours: Sequence[int]) -> "_Hours":
        ascending = sorted(hours)
        return cls(ascending, list(accumulate(ascending, initial=0)))

    def above(self, numerator: int, denominator: int) -> int:
        """sum over hours of max(0, hour - numerator / denominator), times the denominator."""
        below = bisect_left(self.ascending, -(-numerator // denominator))
        count = len(self.ascending) - below
        return (self.running[-1] - self.running[below]) * denominator - count * numerator


@dataclass
class _Overflow:
    """What lies above so many replicas of one capacity, in the resamples that have that capacity."""

    hours: Sequence[_Hours]
    draws: Draws
    capacity: Fraction
    resamples: Sequence[int]

    @property
    def most_replicas(self) -> int:
        return math.ceil(max(found.ascending[-1] for found in self.hours) / self.capacity)

    def units(self, replicas: int) -> list[float]:
        edge = replicas * self.capacity
        by_day = [found.above(edge.numerator, edge.denominator) for found in self.hours]
        if not any(by_day):
            return [0.0] * len(self.resamples)
        return [above / edge.denominator for above in self.draws.sums(by_day)]
