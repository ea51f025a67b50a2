"""What would have to be true for self-hosting to pay: the threshold of each thing that nobody has measured or declared.

Self-hosting pays when some count n >= 1 of replicas, with the API for what lies above them, costs no more than the
API alone: `n R + F + p sum_h max(0, x_h - n c) <= p sum_h x_h` (economics.md 4; equality counts as self-host: 3, 11).
With `served(y) = sum_h min(x_h, y)` that is `p served(n c) >= n R + F`, which is solved for one quantity at a time.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from typing import Literal

from pipeline.economics.exact import Exact, exact_fraction, not_negative, positive, to_places, whole_count
from pipeline.economics.rent import engineering_cost, gpu_rent
from pipeline.economics.work import SECONDS_PER_HOUR

Quantity = Literal[
    "tokens_per_second",
    "self_tokens_per_api_token",
    "gpu_hour_rate",
    "gpus_per_replica",
    "replica_hour_cost",
    "engineering_hours_per_month",
    "fixed_cost_per_month",
]
# Decimal places of a threshold; one unit of the last one is its quantum.
PLACES: dict[Quantity, int] = {
    "tokens_per_second": 3,
    "self_tokens_per_api_token": 6,
    "gpu_hour_rate": 6,
    "gpus_per_replica": 0,
    "replica_hour_cost": 6,
    "engineering_hours_per_month": 3,
    "fixed_cost_per_month": 6,
}
Sense = Literal["at_least", "at_most"]
Kind = Literal["open", "met", "missed", "impossible", "no_limit"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One workload's demand and its avoidable API cost, and whatever is known of self-hosting it. None is unknown.

    hourly_tokens: tokens in each hour of the horizon, as the API counts them; an hour may be 0, none is left out.
    api_cost: what the API costs for all of them over the horizon, at its avoidable price.
    months: how many months the horizon is, for what is stated a month.
    tokens_per_second: what one replica sustains within its SLO at this mix, counted as it counts tokens itself.
    self_tokens_per_api_token: kappa, tokens it takes for a task that takes the API one (economics.md 2).
    fixed_cost_per_month: fixed costs other than engineering. None: nobody has said what there is.
    maximum_utilization_ratio: u_max, the share of an hour that may be filled (economics.md 2).
    roofline_tokens_per_second: what one replica cannot exceed at this mix, where GPU and model are known.

    Money in one currency. Raises ValueError for a float, a number out of its range, or no tokens at all.
    """

    hourly_tokens: Sequence[int]
    api_cost: Exact
    months: Exact
    gpu_hour_rate: Exact | None = None
    gpus_per_replica: int | None = None
    tokens_per_second: Exact | None = None
    self_tokens_per_api_token: Exact | None = None
    engineering_hours_per_month: Exact | None = None
    engineering_hour_rate: Exact | None = None
    fixed_cost_per_month: Exact | None = None
    maximum_utilization_ratio: Exact = 1
    roofline_tokens_per_second: Exact | None = None

    def __post_init__(self) -> None:
        for hour, tokens in enumerate(self.hourly_tokens):
            whole_count(tokens, f"hourly_tokens[{hour}]")
        if not any(self.hourly_tokens):
            raise ValueError("There are no tokens in any hour: nothing can pay, and nothing has a price per token.")
        not_negative(self.api_cost, "api_cost")
        positive(self.months, "months")
        share = positive(self.maximum_utilization_ratio, "maximum_utilization_ratio")
        if share > 1:
            raise ValueError(f"maximum_utilization_ratio is {self.maximum_utilization_ratio}: pass at most 1.")
        if self.gpus_per_replica is not None:
            positive(self.gpus_per_replica, "gpus_per_replica")
            whole_count(self.gpus_per_replica, "gpus_per_replica")
        for name in ("gpu_hour_rate", "engineering_hours_per_month", "engineering_hour_rate", "fixed_cost_per_month"):
            value = getattr(self, name)
            if value is not None:
                not_negative(value, name)
        for name in ("tokens_per_second", "self_tokens_per_api_token", "roofline_tokens_per_second"):
            value = getattr(self, name)
            if value is not None:
                positive(value, name)

    @property
    def unknown(self) -> tuple[Quantity, ...]:
        """What is neither measured nor declared, in the order in which conditions state it."""
        return tuple(quantity for quantity in PLACES if self._is_unknown(quantity))

    def _is_unknown(self, quantity: Quantity) -> bool:
        if quantity == "replica_hour_cost":
            return self.gpu_hour_rate is None and self.gpus_per_replica is None
        if quantity == "gpu_hour_rate":
            return self.gpu_hour_rate is None and self.gpus_per_replica is not None
        if quantity == "gpus_per_replica":
            return self.gpus_per_replica is None and self.gpu_hour_rate is not None
        if quantity == "engineering_hours_per_month":
            return self.engineering_hours_per_month is None and bool(self.engineering_hour_rate)
        if quantity == "fixed_cost_per_month":
            return self.fixed_cost_per_month is None
        return getattr(self, quantity) is None


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """One quantity's border between "pays" and "does not", everything else as `Conditions.held` says.

    sense: on which side of the border self-hosting pays; the border itself does.
    exact: the border. value: the same in whole quanta (`PLACES`), rounded to the side that pays, so that it pays at
        `value` and not one quantum beyond. Both None where there is no border.
    stated: what is declared of the quantity; None when it is unknown.
    ceiling: the roofline, of a throughput whose GPU and model are known.
    kind: `open` the quantity is unknown and decides; `met`, `missed` it is declared, on this side or the other;
        `impossible` no value of it pays, or only one above the ceiling; `no_limit` any value pays.
    """

    quantity: Quantity
    sense: Sense
    kind: Kind
    exact: Fraction | None
    value: Decimal | None
    stated: Exact | None
    ceiling: Exact | None = None


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What would have to be true, one threshold a quantity.

    Of several unknown quantities each threshold is *necessary*: it is solved with the others at their best (`held`),
    so missing one settles the answer, and meeting all of them does not. With one unknown it is exact both ways.
    pays: the verdict where it does not depend on what is unknown: True when nothing is unknown and self-hosting
        pays; False when it does not even with everything unknown at its best; None while it depends.
    replica_count, saving_per_month: of the best count with everything unknown at its best (negative: a loss).
    """

    thresholds: tuple[Threshold, ...]
    held: tuple[tuple[Quantity, Exact | None], ...]
    unknown: tuple[Quantity, ...]
    pays: bool | None
    replica_count: int
    saving_per_month: Decimal
    peak_tokens_per_second: Decimal

    def of(self, quantity: Quantity) -> Threshold | None:
        """The threshold of a quantity, or None where it has none of its own."""
        return next((found for found in self.thresholds if found.quantity == quantity), None)


def conditions(case: Case) -> Conditions:
    """Every threshold of a case, and the verdict where it stands already.

    What is unknown is held at its best while another quantity is solved: a throughput at its roofline, or without
    one as much as the busiest hour asks for; kappa at 1; a GPU-hour at 0; one GPU a replica; no fixed cost. None of
    these is a default: each says what cannot be helped, and `held` names it. O(hours log hours).
    Source: economics.md 3, 4 and 11.
    """
    terms = _terms(case)
    best = terms.best_count()
    saving = terms.saving(best)
    unknown = case.unknown
    is_beyond_help = saving < 0 or _beyond_the_roofline(case)
    return Conditions(
        thresholds=tuple(_thresholds(case, terms)),
        held=tuple((quantity, _held(case, quantity)) for quantity in unknown),
        unknown=unknown,
        pays=False if is_beyond_help else None if unknown else True,
        replica_count=best,
        saving_per_month=to_places(saving / exact_fraction(case.months, "months"), 18),
        peak_tokens_per_second=to_places(Fraction(max(case.hourly_tokens), SECONDS_PER_HOUR), 18),
    )


def pays(case: Case) -> bool:
    """Whether self-hosting pays. ValueError where something that decides is unknown: `conditions` then."""
    if case.unknown:
        raise ValueError(f"Unknown: {', '.join(case.unknown)}. Ask `conditions` what they would have to be.")
    terms = _terms(case)
    return terms.saving(terms.best_count()) >= 0


def assuming(case: Case, **known: Exact) -> Case:
    """The case with some quantities known. `replica_hour_cost` is one GPU a replica at that rate."""
    if "replica_hour_cost" in known:
        known = {**known, "gpu_hour_rate": known["replica_hour_cost"], "gpus_per_replica": 1}
        del known["replica_hour_cost"]
    return replace(case, **known)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Curve:
    """Hours ascending and their running sums: what a capacity of y tokens an hour serves of them."""

    hours: Sequence[int]
    sums: Sequence[int]

    def served(self, capacity: Fraction) -> Fraction:
        below = bisect_right(self.hours, capacity)
        return self.sums[below] + (len(self.hours) - below) * capacity

    def capacity_for(self, tokens: Fraction) -> Fraction:
        """The least capacity an hour that serves so many tokens, which are at most all of them."""
        low, high = 0, len(self.hours) - 1
        while low < high:
            middle = (low + high) // 2
            if self.served(Fraction(self.hours[middle])) >= tokens:
                high = middle
            else:
                low = middle + 1
        return (tokens - self.sums[low]) / (len(self.hours) - low)

    @property
    def total(self) -> int:
        return self.sums[-1]


@dataclass(frozen=True)
class _Terms:
    """A case over its horizon in exact fractions. `capacity` is API tokens an hour; None serves every hour alone."""

    curve: _Curve
    price: Fraction
    rent: Fraction
    fixed: Fraction
    capacity: Fraction | None

    def displaced(self, count: int) -> Fraction:
        """The API cost that so many replicas displace."""
        if self.capacity is None:
            return self.price * self.curve.total
        return self.price * self.curve.served(count * self.capacity)

    def saving(self, count: int) -> Fraction:
        return self.displaced(count) - count * self.rent - self.fixed

    def most_counts(self) -> int:
        """The count that serves every hour: more of them serve nothing more."""
        return 1 if self.capacity is None else max(1, math.ceil(self.curve.hours[-1] / self.capacity))

    def best_count(self) -> int:
        """The saving is concave in the count, so the first replica that does not pay for itself ends the search."""
        return _first(lambda n: self.displaced(n + 1) - self.displaced(n) <= self.rent, most=self.most_counts())

    def most_rent(self) -> Fraction:
        """max over n of (displaced(n) - F) / n: the rent at which the best count is even. Below 0: none is."""

        def each(count: int) -> Fraction:
            return (self.displaced(count) - self.fixed) / count

        return each(_first(lambda n: each(n + 1) <= each(n), most=self.most_counts()))

    def most_fixed(self) -> Fraction:
        """max over n of displaced(n) - n R."""
        count = self.best_count()
        return self.displaced(count) - count * self.rent

    def least_capacity(self) -> Fraction | None:
        """min over n of served^-1((n R + F) / p) / n, in API tokens an hour of one replica; None: none is enough.

        0 where a replica costs nothing: then any capacity is enough, with enough of them.
        """
        whole = self.price * self.curve.total
        if whole < self.rent + self.fixed:
            return None
        if self.price == 0 or self.rent == 0:
            return Fraction(0)

        def each(count: int) -> Fraction:
            return self.curve.capacity_for((count * self.rent + self.fixed) / self.price) / count

        # served^-1 is convex, so each(n) falls to its least and then rises.
        return each(_first(lambda n: each(n + 1) >= each(n), most=math.floor((whole - self.fixed) / self.rent)))


def _first(is_reached: Callable[[int], bool], *, most: int) -> int:
    """The first n in 1..most from which a condition on the step n -> n + 1 holds; it holds for good once it does."""
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        if is_reached(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _terms(case: Case) -> _Terms:
    """Everything unknown at its best: see `conditions`."""
    hours = sorted(case.hourly_tokens)
    curve = _Curve(hours=hours, sums=list(accumulate(hours, initial=0)))
    rent = gpu_rent(gpu_hour_rate=case.gpu_hour_rate or 0, gpus=case.gpus_per_replica or 1, hours=len(hours))
    fixed = (Fraction(case.fixed_cost_per_month or 0) + _engineering(case)) * exact_fraction(case.months, "months")
    throughput = case.tokens_per_second if case.tokens_per_second is not None else case.roofline_tokens_per_second
    return _Terms(
        curve=curve,
        price=Fraction(case.api_cost) / curve.total,
        rent=rent,
        fixed=fixed,
        capacity=None if throughput is None else Fraction(throughput) * _api_tokens_an_hour(case),
    )


def _engineering(case: Case) -> Fraction:
    """What engineering costs a month."""
    hours, rate = case.engineering_hours_per_month, case.engineering_hour_rate
    return engineering_cost(hours=hours or 0, hour_rate=rate or 0)


def _api_tokens_an_hour(case: Case) -> Fraction:
    """API tokens an hour of one replica that sustains one of its own tokens per second."""
    kappa = Fraction(1 if case.self_tokens_per_api_token is None else case.self_tokens_per_api_token)
    return SECONDS_PER_HOUR * exact_fraction(case.maximum_utilization_ratio, "maximum_utilization_ratio") / kappa


def _held(case: Case, quantity: Quantity) -> Exact | None:
    """At what an unknown quantity is held. None: a throughput that serves the busiest hour with one replica."""
    if quantity == "tokens_per_second":
        return case.roofline_tokens_per_second
    return 1 if quantity in ("self_tokens_per_api_token", "gpus_per_replica") else 0


def _thresholds(case: Case, terms: _Terms) -> Iterator[Threshold]:
    yield _throughput(case, terms)
    yield _kappa(case, terms)
    yield _rent(case, terms)
    yield from _fixed(case, terms)


def _throughput(case: Case, terms: _Terms) -> Threshold:
    capacity = terms.least_capacity()
    return _threshold(
        "tokens_per_second",
        "at_least",
        None if capacity is None else capacity / _api_tokens_an_hour(case),
        stated=case.tokens_per_second,
        ceiling=case.roofline_tokens_per_second,
        is_unlimited=capacity == 0,
    )


def _kappa(case: Case, terms: _Terms) -> Threshold:
    """Twice the tokens for a task is half the capacity, so kappa may be what the capacity is of the least one."""
    capacity = terms.least_capacity()
    kappa = Fraction(case.self_tokens_per_api_token or 1)
    return _threshold(
        "self_tokens_per_api_token",
        "at_most",
        None if not capacity or terms.capacity is None else kappa * terms.capacity / capacity,
        stated=case.self_tokens_per_api_token,
        is_unlimited=capacity is not None and (capacity == 0 or terms.capacity is None),
    )


def _rent(case: Case, terms: _Terms) -> Threshold:
    per_hour = terms.most_rent() / len(terms.curve.hours)
    if case.gpu_hour_rate is not None and case.gpus_per_replica is None:
        if case.gpu_hour_rate == 0:
            return _threshold("gpus_per_replica", "at_most", None, stated=None, is_unlimited=per_hour >= 0)
        return _threshold("gpus_per_replica", "at_most", per_hour / Fraction(case.gpu_hour_rate), stated=None)
    if case.gpus_per_replica is None:
        return _threshold("replica_hour_cost", "at_most", per_hour, stated=None)
    return _threshold("gpu_hour_rate", "at_most", per_hour / case.gpus_per_replica, stated=case.gpu_hour_rate)


def _fixed(case: Case, terms: _Terms) -> Iterator[Threshold]:
    """Engineering in hours where their rate is known; else all that is paid a month whatever the traffic, in money."""
    months = exact_fraction(case.months, "months")
    most = terms.most_fixed() / months
    yield _threshold("fixed_cost_per_month", "at_most", most - _engineering(case), stated=case.fixed_cost_per_month)
    if case.engineering_hour_rate:
        hours = (most - Fraction(case.fixed_cost_per_month or 0)) / Fraction(case.engineering_hour_rate)
        yield _threshold("engineering_hours_per_month", "at_most", hours, stated=case.engineering_hours_per_month)


def _threshold(
    quantity: Quantity,
    sense: Sense,
    border: Fraction | None,
    *,
    stated: Exact | None,
    ceiling: Exact | None = None,
    is_unlimited: bool = False,
) -> Threshold:
    """`border` None without `is_unlimited`: nothing pays. A quantity is above 0 or at least 0 as its kind allows."""
    value = None if border is None or is_unlimited else _whole_quanta(border, quantity, sense)
    if is_unlimited:
        kind: Kind = "no_limit"
        border = None
    elif border is None or value is None or value < _least(quantity) or _exceeds(border, ceiling):
        kind = "impossible"
    elif stated is None:
        kind = "open"
    else:
        is_met = Fraction(stated) >= border if sense == "at_least" else Fraction(stated) <= border
        kind = "met" if is_met else "missed"
    is_shown = kind != "impossible" or sense == "at_least"
    return Threshold(
        quantity=quantity,
        sense=sense,
        kind=kind,
        exact=border if is_shown else None,
        value=value if is_shown else None,
        stated=stated,
        ceiling=ceiling,
    )


def _exceeds(border: Fraction, ceiling: Exact | None) -> bool:
    return ceiling is not None and border > Fraction(ceiling)


def _least(quantity: Quantity) -> Decimal:
    """What a quantity can be at least: a replica has one GPU, and a task takes some tokens."""
    return Decimal(0) if PLACES[quantity] and quantity != "self_tokens_per_api_token" else _quantum(quantity)


def _quantum(quantity: Quantity) -> Decimal:
    return Decimal(1).scaleb(-PLACES[quantity])


def _whole_quanta(border: Fraction, quantity: Quantity, sense: Sense) -> Decimal:
    """The border in whole quanta, rounded to the side that pays."""
    scaled = border * 10 ** PLACES[quantity]
    quanta = math.ceil(scaled) if sense == "at_least" else math.floor(scaled)
    return Decimal(quanta).scaleb(-PLACES[quantity])


def _beyond_the_roofline(case: Case) -> bool:
    """Whether what is declared is more than the hardware can do: then nothing that follows from it is possible."""
    return (
        case.tokens_per_second is not None
        and case.roofline_tokens_per_second is not None
        and Fraction(case.tokens_per_second) > Fraction(case.roofline_tokens_per_second)
    )
