"""How sure a break-even is: the same days drawn again, in blocks, everything of a day together.

What moves from day to day (traffic and its hours, its mix, what the API billed, what the GPUs cost, the best hour that
a capacity rests on) is drawn jointly; what is declared (rates within a service level, overheads, list prices) has no
days and stays. Statistics are floats; nothing here is money that has to add up. Source: economics.md 8.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from operator import add

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
    everyone_tokens: what it served of this workload. best_hour_tokens: of one of its replicas, where the
    capacity is the best hour seen; None where a capacity is declared.
    """

    classes: Sequence[ClassDays]
    hourly_units: Sequence[Sequence[int]]
    gpu_cost: Sequence[int]
    gpu_milliseconds: Sequence[int]
    own_tokens: Sequence[int]
    everyone_tokens: Sequence[int]
    best_hour_tokens: Sequence[Fraction] | Sequence[int] | None = None

    @property
    def days(self) -> int:
        return len(self.hourly_units)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is declared, and the replica count that the verdict takes.

    capacity_units_per_replica_hour: over all the days; where it is the best hour seen it moves as that moves.
    fixed_cost: over the days, in the quanta of the days' money. committed: what the API is paid over the days whatever
    moves; it stays as it is in every resample. replicas: of the advice. pinned_replicas: of the lane that the workload
    is pinned to, 0 for the API; None where it is not. needed_saving: what has to be saved over the days for a move to
    pay back what it costs once within its limit; 0 where it costs nothing.
    """

    capacity_units_per_replica_hour: Fraction
    gpus_per_replica: int
    fixed_cost: Fraction
    replicas: int
    minimum_replicas: int = 1
    spare_replicas: int = 0
    committed: Fraction = Fraction(0)
    pinned_replicas: int | None = None
    needed_saving: Fraction = Fraction(0)

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

    breakeven: the first crossing; `inf` is never. saving: the way it is done now less the advised count;
    current_api_cost: of the way it is done now, what the API bills. pin_cost: as in `BreakevenInterval`.
    """

    tokens_per_day: float
    api_price_per_token: float
    gpu_hour_rate: float
    capacity_tokens_per_replica_hour: float
    breakeven_tokens_per_day: float
    best_replicas: int
    api_only_cost: float
    current_cost: float
    current_api_cost: float
    advised_cost: float
    pin_cost: float | None = None

    @property
    def saving(self) -> float:
        return saved(self.current_cost, self.advised_cost)


@dataclass(frozen=True, kw_only=True)
class BreakevenInterval:
    """5/50/95% of what a verdict says, and how likely its halves are. Money over the days, in quanta.

    probability_never: of no break-even at any volume, which is `inf` inside the quantiles too. probability_self_host:
    that at least one replica is in the best mix. probability_saving: that the advised count costs less than the way it
    is done now; saving_cautious: the 20% quantile; probability_pays_back: that it saves what it has to.
    probability_exceeded: that the next 30 days' mean demand reaches the break-even, over all pairs of a path drawn from
    the same days and a break-even. pin_cost: what the lane that it is pinned to costs more than the advised count, and
    how likely that is more than nothing; None where it is not pinned.
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
    probability_pays_back: float = 1.0
    pin_cost: Quantiles | None = None
    probability_pin_costs: float | None = None


def breakeven_interval(
    days: WorkloadDays, terms: Terms, *, resamples: int = RESAMPLES, seed: int = SEED
) -> BreakevenInterval:
    """The interval of one workload. O(resamples x blocks x replicas): a year of hours and 200 replicas below 2 s.

    Raises ValueError below 14 days (two blocks), for days of unequal length, or where all days together have no work,
    no tokens or no GPU time to divide by."""
    draws = block_draws(days=days.days, resamples=resamples, seed=seed)
    found = _resampled(days, terms, draws)
    paths = block_draws(days=days.days, drawn_days=HORIZON_DAYS, resamples=resamples, seed=seed + 1)
    breakevens, savings = sorted(found.breakeven), sorted(found.savings)
    return BreakevenInterval(
        days=days.days,
        resamples=resamples,
        point=point_of(days, terms),
        breakeven=_quantiles(breakevens),
        saving=_quantiles(savings),
        saving_cautious=nearest_rank_of(savings, CAUTIOUS_QUANTILE),
        best_replicas=quantiles(found.best),
        tokens_per_day=quantiles([tokens / days.days for tokens in found.tokens]),
        api_price_per_token=quantiles(found.price_per_token),
        gpu_hour_rate=quantiles(found.rate),
        capacity_tokens_per_replica_hour=quantiles(found.capacity_tokens),
        probability_never=_share(volume == NEVER for volume in breakevens),
        probability_self_host=_share(count > 0 for count in found.best),
        probability_saving=_share(saving > 0 for saving in savings),
        probability_exceeded=pairs_reaching(
            [total / HORIZON_DAYS for total in paths.sums(_added(of.demand_tokens for of in days.classes))], breakevens
        ),
        probability_pays_back=_share(saving >= terms.needed_saving for saving in savings),
        pin_cost=None if found.pin_costs is None else quantiles(found.pin_costs),
        probability_pin_costs=None if found.pin_costs is None else _share(cost > 0 for cost in found.pin_costs),
    )


def point_of(days: WorkloadDays, terms: Terms) -> Point:
    """The days as they were: what the verdict itself says, by the same arithmetic as every resample."""
    found = _resampled(days, terms, Draws(days=days.days, block_days=days.days, last_days=days.days, picks=((0,),)))
    return Point(
        tokens_per_day=found.tokens[0] / days.days,
        api_price_per_token=found.price_per_token[0],
        gpu_hour_rate=found.rate[0],
        capacity_tokens_per_replica_hour=found.capacity_tokens[0],
        breakeven_tokens_per_day=found.breakeven[0],
        best_replicas=found.best[0],
        api_only_cost=found.api_only[0],
        current_cost=found.current[0],
        current_api_cost=found.api_part[0],
        advised_cost=found.advised[0],
        pin_cost=None if found.pin_costs is None else found.pin_costs[0],
    )


def saved(current: float, advised: float) -> float:
    """The one less the other. Two ways that cost the same to nine digits save nothing: the rest is how floats round."""
    saving = current - advised
    return saving if abs(saving) > 1e-9 * max(abs(current), abs(advised)) else 0.0


def nearest_rank_of(ascending: Sequence[float], quantile: float) -> float:
    """The ceil(q n)-th smallest of sorted values (economics.md 11)."""
    # 0.05 is not 5/100: a thousandth is exact enough to ask the rank of.
    rank = -(-round(quantile * 1000) * len(ascending) // 1000)
    return ascending[max(rank, 1) - 1]


def quantiles(values: Sequence[float]) -> Quantiles:
    """5, 50 and 95%."""
    return _quantiles(sorted(values))


def _quantiles(ascending: Sequence[float]) -> Quantiles:
    return Quantiles(*(nearest_rank_of(ascending, share) for share in (0.05, 0.5, 0.95)))


def pairs_reaching(volumes: Sequence[float], ascending_breakevens: Sequence[float]) -> float:
    """The share of all pairs (volume, break-even) in which the volume is at or above the break-even."""
    reached = sum(bisect_right(ascending_breakevens, volume) for volume in volumes)
    return reached / (len(volumes) * len(ascending_breakevens))


def _share(found: Iterable[bool]) -> float:
    flags = list(found)
    return sum(flags) / len(flags)


@dataclass(frozen=True, kw_only=True)
class _Resampled:
    """A figure for each resample, in columns. Names and units as in `Point`; `advised`: cost of the advised count."""

    tokens: list[int]
    price_per_token: list[float]
    rate: list[float]
    capacity_tokens: list[float]
    breakeven: list[float]
    best: list[int]
    api_only: list[float]
    api_part: list[float]
    current: list[float]
    advised: list[float]
    pinned: list[float] | None

    @property
    def savings(self) -> list[float]:
        return list(map(saved, self.current, self.advised))

    @property
    def pin_costs(self) -> list[float] | None:
        return None if self.pinned is None else list(map(saved, self.pinned, self.advised))


def _resampled(days: WorkloadDays, terms: Terms, draws: Draws) -> _Resampled:
    """Every resample. Sums are whole numbers, so the order of a resample's days never shows."""
    count, fixed, committed = days.days, float(terms.fixed_cost), float(terms.committed)
    hours, spare, minimum = HOURS_PER_DAY * count, terms.spare_replicas, max(1, terms.minimum_replicas)
    tokens = draws.sums(_added(of.demand_tokens for of in days.classes))
    units = draws.sums([sum(of_day) for of_day in days.hourly_units])
    api_only, api_part = _api_costs(days, draws)
    gpu_cost, rates = _gpu_costs(days, draws)
    shares = _own_shares(days, draws)
    capacities = _capacities(days, terms, draws)
    sizes = [float(capacities.distinct[kind]) for kind in capacities.kinds]
    rents = [rate * terms.gpus_per_replica * hours for rate in rates]
    price_of_all, per_unit_of_all = _over_all_days(days)
    prices = [cost / work if work else price_of_all for cost, work in zip(api_only, units, strict=True)]
    per_unit = [served / work if work else per_unit_of_all for served, work in zip(tokens, units, strict=True)]
    crossings = [
        first_crossing(
            price=price,
            capacity=size * hours,
            rent=rent,
            overhead=fixed + committed + spare * rent,
            minimum_replicas=minimum,
        )
        for price, size, rent in zip(prices, sizes, rents, strict=True)
    ]
    counts = _Counts(days, draws, capacities, prices=prices, rents=rents, fixed=fixed, committed=committed)
    return _Resampled(
        tokens=tokens,
        price_per_token=[price / each for price, each in zip(prices, per_unit, strict=True)],
        rate=rates,
        capacity_tokens=[size * each for size, each in zip(sizes, per_unit, strict=True)],
        breakeven=[
            volume * each / count if volume < NEVER else NEVER for volume, each in zip(crossings, per_unit, strict=True)
        ],
        best=counts.best(),
        api_only=api_only,
        api_part=api_part,
        current=[
            max(committed, part) + share * cost + (fixed if share else 0.0)
            for part, share, cost in zip(api_part, shares, gpu_cost, strict=True)
        ],
        advised=counts.costs(terms.replicas),
        pinned=None if terms.pinned_replicas is None else counts.costs(terms.pinned_replicas),
    )


def first_crossing(*, price: float, capacity: float, rent: float, overhead: float, minimum_replicas: int) -> float:
    """The least volume at which self-hosting is the cheaper lane, in closed form; `inf` where there is none.

    A(v) = price v against overhead + n rent on stair n. With the margin m = price x capacity - rent above 0 the first
    stair whose end is ahead is n = ceil(overhead / m), or the minimum, and the costs meet on it, at (overhead + n rent)
    / price. A margin of 0 or below has no crossing (economics.md 3). What is committed to the API is overhead: it stays
    due, and below it the API costs no more than that alone.
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
        demand = draws.sums(of.demand_tokens)
        prices = [float(of.price_per_token)] * len(demand)
        if any(of.billed_tokens):
            billed = zip(draws.sums(of.billed_cost), draws.sums(of.billed_tokens), prices, strict=True)
            prices = [cost / tokens if tokens else stand_in for cost, tokens, stand_in in billed]
        costs = [price * tokens for price, tokens in zip(prices, demand, strict=True)]
        api_only = list(map(add, api_only, costs))
        if any(of.api_tokens):
            on_api = draws.sums(of.api_tokens)
            api_part = [part + price * count for part, price, count in zip(api_part, prices, on_api, strict=True)]
    return api_only, api_part


def _over_all_days(days: WorkloadDays) -> tuple[float, float]:
    """Price and tokens of a unit of work over all days: what is known of a resample of days on which nothing was
    asked."""
    units = float(positive(sum(map(sum, days.hourly_units)), "work of all days"))
    tokens = float(positive(sum(sum(of.demand_tokens) for of in days.classes), "demand_tokens of all days"))
    cost = 0.0
    for of in days.classes:
        billed = sum(of.billed_tokens)
        price = sum(of.billed_cost) / billed if billed else float(of.price_per_token)
        cost += price * sum(of.demand_tokens)
    return cost / units, tokens / units


def _gpu_costs(days: WorkloadDays, draws: Draws) -> tuple[list[float], list[float]]:
    """The deployment's bill, and what a GPU-hour of it cost; where a resample has no GPU time, as over all days."""
    cost, milliseconds = draws.sums(days.gpu_cost), draws.sums(days.gpu_milliseconds)
    of_all = float(sum(days.gpu_cost) * 3_600_000 / positive(sum(days.gpu_milliseconds), "gpu_milliseconds"))
    rates = [money * 3_600_000 / ms if ms else of_all for money, ms in zip(cost, milliseconds, strict=True)]
    return [float(money) for money in cost], rates


def _own_shares(days: WorkloadDays, draws: Draws) -> list[float]:
    if not any(days.own_tokens):
        return [0.0] * len(draws.picks)
    own, everyone = draws.sums(days.own_tokens), draws.sums(days.everyone_tokens)
    return [tokens / served if served else 0.0 for tokens, served in zip(own, everyone, strict=True)]


@dataclass(frozen=True)
class _Capacities:
    """The capacities that occur, units per replica-hour, and which of them each resample has."""

    distinct: Sequence[Fraction]
    kinds: Sequence[int]


def _capacities(days: WorkloadDays, terms: Terms, draws: Draws) -> _Capacities:
    declared = terms.capacity_units_per_replica_hour
    if days.best_hour_tokens is None:
        return _Capacities([declared], [0] * len(draws.picks))
    most = positive(max(days.best_hour_tokens), "best_hour_tokens")
    largest = draws.largest(days.best_hour_tokens)
    kinds = {best: kind for kind, best in enumerate(sorted(set(largest)))}
    # Where a resample saw nothing served nothing is known of its capacity: that of all days stands.
    return _Capacities(
        [declared * best / most if best else declared for best in kinds], [kinds[best] for best in largest]
    )


@dataclass
class _Counts:
    """What each replica count costs in each resample. Resamples of one capacity share their table of overflow."""

    days: WorkloadDays
    draws: Draws
    capacities: _Capacities
    prices: Sequence[float]
    rents: Sequence[float]
    fixed: float
    committed: float
    _groups: list["_Overflow"] = field(init=False)

    def __post_init__(self) -> None:
        hours = [_Hours.of(found) for found in self.days.hourly_units]
        members: list[list[int]] = [[] for _ in self.capacities.distinct]
        for resample, kind in enumerate(self.capacities.kinds):
            members[kind].append(resample)
        self._groups = [
            _Overflow(hours, self.draws if len(members) == 1 else self.draws.only(found), capacity, found)
            for capacity, found in zip(self.capacities.distinct, members, strict=True)
        ]

    def costs(self, replicas: int) -> list[float]:
        """C(n) = n R + [n > 0] F + p x what lies above n replicas, and no less of that than is committed."""
        fixed, committed = self.fixed if replicas else 0.0, self.committed
        above = self._above(replicas)
        return [
            replicas * rent + fixed + max(committed, price * units)
            for rent, price, units in zip(self.rents, self.prices, above, strict=True)
        ]

    def best(self) -> list[int]:
        """The cheapest count of each resample; a tie takes fewer replicas (economics.md 4)."""
        most = max(overflow.most_replicas for overflow in self._groups)
        columns = zip(*(self.costs(replicas) for replicas in range(most + 1)), strict=True)
        return [costs.index(min(costs)) for costs in columns]

    def _above(self, replicas: int) -> list[float]:
        if len(self._groups) == 1:
            return self._groups[0].units(replicas)
        above = [0.0] * len(self.prices)
        for overflow in self._groups:
            for resample, units in zip(overflow.resamples, overflow.units(replicas), strict=True):
                above[resample] = units
        return above


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
        of_unit = edge.denominator
        return [above / of_unit for above in self.draws.sums(by_day)]
