"""Break-even, exactly: at which volumes self-hosting starts and stops being the cheaper lane.

A break-even volume is a set, not a number: replicas come in whole steps, so the saving climbs along each stair
and falls at each edge. Source: economics.md 3.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Literal, NamedTuple

from pipeline.economics.exact import (
    Exact,
    money_text,
    not_negative,
    positive,
    quotient,
    to_decimal,
    to_places,
    whole_count,
)

Side = Literal["api", "self_host"]
CrossingKind = Literal["root", "jump"]
Direction = Literal["to_self_host", "to_api"]

# Fewer than this could cut before the climb that follows an API commitment; see `_stable_from`.
_FEWEST_LISTED_CROSSINGS = 4


@dataclass(frozen=True, kw_only=True)
class Staircase:
    """What both lanes cost over one horizon, as a function of the volume v in tokens served in it.

    A(v) = max(api_commitment, price_per_token v)
    S(v) = friction (fixed_cost + (n(v) + spare_replicas) replica_cost) + variable_cost_per_token v
    n(v) = max(minimum_replicas, ceil(v / capacity_tokens)); the edge v = n c still needs n.

    Money in one currency. `price_per_token` is the *avoidable* API price of the traffic that would move (not per
    1M); `capacity_tokens` and `replica_cost` are one replica's over the whole horizon; `friction` is 1 when
    `fixed_cost` is itemised. Raises ValueError for a negative number, a capacity or friction of 0, or a float.
    Source: economics.md 2 and 3.
    """

    price_per_token: Exact
    capacity_tokens: Exact
    replica_cost: Exact
    fixed_cost: Exact
    variable_cost_per_token: Exact = 0
    api_commitment: Exact = 0
    friction: Exact = 1
    spare_replicas: int = 0
    minimum_replicas: int = 1

    def __post_init__(self) -> None:
        _terms(self)

    def replicas(self, volume_tokens: Exact) -> int:
        """Serving replicas at this volume, the spare ones not counted."""
        return max(self.minimum_replicas, math.ceil(_volume(volume_tokens) / Fraction(self.capacity_tokens)))

    def api_cost(self, volume_tokens: Exact) -> Decimal:
        """A(v), money over the horizon."""
        return to_decimal(_terms(self).api_cost(_volume(volume_tokens)))

    def self_host_cost(self, volume_tokens: Exact) -> Decimal:
        """S(v), money over the horizon."""
        terms, volume = _terms(self), _volume(volume_tokens)
        return to_decimal(terms.stair_cost(self.replicas(volume_tokens)) + terms.variable * volume)


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """One change of the cheaper lane, at `volume` tokens.

    `root`: the two costs are equal there. `jump`: the next replica is due there; self-hosting is the cheaper lane
    at the volume itself and the API just above it. A volume of equal cost counts as self-host.
    """

    volume: Decimal
    kind: CrossingKind
    direction: Direction


@dataclass(frozen=True, kw_only=True)
class BreakevenVolumes:
    """Every break-even volume of a staircase, in tokens over its horizon, for volumes above 0.

    crossings: in the order of their volume. Two may share one volume: a root reached exactly at an edge holds at
        that volume alone, then the jump ends it.
    is_complete: False when the list was cut at `maximum_crossings`; `first` and `stable_from` stay exact.
    starts_self_host: self-hosting is the cheaper lane from the first token (a commitment above its cost).
    first: the least volume at which self-hosting is the cheaper lane; 0 when it starts so; None when never.
    stable_from: the volume from which it stays so, however much traffic grows; None when there is none.
    full_replica_margin: (price - variable) x capacity - friction x rent: what a full replica saves beyond its
        rent. At 0 or below, self-hosting never stays cheaper.
    breakeven_utilization: u*, the share of a replica's capacity that pays its rent; above 1 is impossible. None
        when a token costs as much to serve as it displaces: then no utilization pays.
    reason: why there is no stable break-even, or why there is nothing to cross; None when `stable_from` is a
        crossing.
    """

    crossings: tuple[Crossing, ...]
    is_complete: bool
    starts_self_host: bool
    first: Decimal | None
    stable_from: Decimal | None
    full_replica_margin: Decimal
    breakeven_utilization: Decimal | None
    reason: str | None


def breakeven_volumes(staircase: Staircase, *, maximum_crossings: int = 1000) -> BreakevenVolumes:
    """All the volumes at which the cheaper lane changes, and what they mean.

    Walks only stairs that can hold a crossing, so it is O(crossings); a margin close to 0 has very many, and the
    list is then cut at `maximum_crossings` (at least 4) and says so. With a positive margin m the last stair is
    known beforehand: stable from some v <= c (ceil(friction (F + (s + 1) R) / m) + 1).

    Raises ValueError when `maximum_crossings` is below 4. Source: economics.md 3.
    """
    if maximum_crossings < _FEWEST_LISTED_CROSSINGS:
        raise ValueError(f"maximum_crossings is {maximum_crossings}: pass {_FEWEST_LISTED_CROSSINGS} or more.")
    terms = _terms(staircase)
    steps = _steps(terms)
    found = list(islice(_changes(steps), maximum_crossings + 1))
    listed, is_complete = found[:maximum_crossings], len(found) <= maximum_crossings
    starts_self_host = _side_after_start(next(_segments(steps, steps.first_stair))) == "self_host"
    first = _first(listed, starts_self_host)
    stable_from = _stable_from(terms, listed, is_complete, starts_self_host)
    return BreakevenVolumes(
        crossings=tuple(
            Crossing(
                volume=quotient(change.numerator, change.denominator), kind=change.kind, direction=change.direction
            )
            for change in listed
        ),
        is_complete=is_complete,
        starts_self_host=starts_self_host,
        first=None if first is None else to_decimal(first),
        stable_from=None if stable_from is None else to_decimal(stable_from),
        full_replica_margin=to_decimal(terms.margin),
        breakeven_utilization=_utilization(terms),
        reason=_reason(terms, first, stable_from, bool(listed)),
    )


def breakeven_spend(
    *, self_host_cost: Exact, friction: Exact, self_tokens_per_api_token: Exact, movable_share: Exact
) -> Decimal:
    """The API spend above which self-hosting is the cheaper lane: friction x S x kappa / sigma.

    `self_host_cost` is S *before* friction, money over the horizon; `self_tokens_per_api_token` is kappa, the
    self-hosted tokens one API token's task takes; `movable_share` is sigma, in (0, 1]. Raises ValueError outside
    these ranges. Source: economics.md 3 (kappa and sigma: 2).
    """
    share = positive(movable_share, "movable_share")
    if share > 1:
        raise ValueError(f"movable_share is {movable_share}: it is a share of the traffic, pass at most 1.")
    cost = not_negative(self_host_cost, "self_host_cost") * positive(friction, "friction")
    return to_decimal(cost * positive(self_tokens_per_api_token, "self_tokens_per_api_token") / share)


@dataclass(frozen=True)
class _Terms:
    """A staircase in exact fractions; `rent` and `fixed` carry the friction."""

    price: Fraction
    variable: Fraction
    capacity: Fraction
    rent: Fraction
    fixed: Fraction
    commitment: Fraction
    spare: int
    minimum: int

    @property
    def first_stair(self) -> int:
        """The stair of the smallest volume above 0: one token already needs one replica."""
        return max(self.minimum, 1)

    @property
    def margin(self) -> Fraction:
        return (self.price - self.variable) * self.capacity - self.rent

    @property
    def overhead(self) -> Fraction:
        """What is paid whatever the stair: fixed cost and spare replicas."""
        return self.fixed + self.spare * self.rent

    def api_cost(self, volume: Fraction) -> Fraction:
        return max(self.commitment, self.price * volume)

    def stair_cost(self, replicas: int) -> Fraction:
        return self.overhead + replicas * self.rent


class _Change(NamedTuple):
    """A crossing at numerator / denominator tokens."""

    numerator: int
    denominator: int
    kind: CrossingKind
    direction: Direction

    @property
    def volume(self) -> Fraction:
        return Fraction(self.numerator, self.denominator)


class _Segment(NamedTuple):
    """A stretch (start, end] on which D is linear, in the whole quanta of `_Steps`, `start` and `saving` over `scale`.

    end None is infinity. `scale` is 1 but for the stretch that begins where the API bill leaves its commitment.
    """

    start: int
    end: int | None
    saving: int
    slope: int
    scale: int


@dataclass(frozen=True)
class _Steps:
    """The terms in whole quanta of money and of volume: a staircase of ten thousand stairs is walked in integers."""

    price: int
    variable: int
    capacity: int
    rent: int
    overhead: int
    commitment: int
    first_stair: int
    quanta_per_token: int

    @property
    def margin(self) -> int:
        return (self.price - self.variable) * self.capacity - self.rent


def _steps(terms: _Terms) -> _Steps:
    per_token = terms.capacity.denominator
    price, variable = terms.price / per_token, terms.variable / per_token
    money = (price, variable, terms.rent, terms.overhead, terms.commitment)
    scale = math.lcm(*(amount.denominator for amount in money))
    price_quanta, variable_quanta, rent, overhead, commitment = (int(amount * scale) for amount in money)
    return _Steps(
        price=price_quanta,
        variable=variable_quanta,
        capacity=int(terms.capacity * per_token),
        rent=rent,
        overhead=overhead,
        commitment=commitment,
        first_stair=terms.first_stair,
        quanta_per_token=per_token,
    )


def _terms(staircase: Staircase) -> _Terms:
    friction = positive(staircase.friction, "friction")
    return _Terms(
        price=not_negative(staircase.price_per_token, "price_per_token"),
        variable=not_negative(staircase.variable_cost_per_token, "variable_cost_per_token"),
        capacity=positive(staircase.capacity_tokens, "capacity_tokens"),
        rent=friction * not_negative(staircase.replica_cost, "replica_cost"),
        fixed=friction * not_negative(staircase.fixed_cost, "fixed_cost"),
        commitment=not_negative(staircase.api_commitment, "api_commitment"),
        spare=whole_count(staircase.spare_replicas, "spare_replicas"),
        minimum=whole_count(staircase.minimum_replicas, "minimum_replicas"),
    )


def _volume(volume_tokens: Exact) -> Fraction:
    return not_negative(volume_tokens, "volume_tokens")


def _changes(steps: _Steps) -> Iterator[_Change]:
    """The changes of side in order of volume, possibly without end (margin and overhead both 0)."""
    side: Side | None = None
    stair: int | None = steps.first_stair
    while stair is not None:
        for segment in _segments(steps, stair):
            after = _side_after_start(segment)
            if side is not None and after != side:
                # An edge: D is continuous where the commitment ends, and cannot be 0 and falling there.
                yield _Change(segment.start, segment.scale * steps.quanta_per_token, "jump", _towards(after))
            side = after
            root = _root_inside(segment)
            if root is not None:
                side = "api" if side == "self_host" else "self_host"
                yield _Change(root[0], root[1] * steps.quanta_per_token, "root", _towards(side))
        assert side is not None
        stair = _next_stair(steps, stair, side)


def _towards(side: Side) -> Direction:
    return "to_self_host" if side == "self_host" else "to_api"


def _segments(steps: _Steps, stair: int) -> Iterator[_Segment]:
    """A stair in one linear piece, or two where the API bill leaves its commitment inside it."""
    start = 0 if stair == steps.first_stair else (stair - 1) * steps.capacity
    end = None if steps.rent == 0 else stair * steps.capacity  # without rent there are no edges
    fixed, climb = steps.overhead + stair * steps.rent, steps.price - steps.variable
    price, commitment = steps.price, steps.commitment
    if price * start >= commitment:
        yield _Segment(start, end, climb * start - fixed, climb, 1)
        return
    flat = commitment - fixed - steps.variable * start
    if price == 0 or (end is not None and price * end <= commitment):
        yield _Segment(start, end, flat, -steps.variable, 1)
        return
    # The commitment ends at commitment / price.
    yield _Segment(start * price, commitment, flat * price, -steps.variable, price)
    yield _Segment(
        commitment,
        None if end is None else end * price,
        (commitment - fixed) * price - steps.variable * commitment,
        climb,
        price,
    )


def _side_after_start(segment: _Segment) -> Side:
    """The cheaper lane just above the segment's start; equality counts as self-host while it lasts."""
    if segment.saving == 0:
        return "self_host" if segment.slope >= 0 else "api"
    return "self_host" if segment.saving > 0 else "api"


def _root_inside(segment: _Segment) -> tuple[int, int] | None:
    """Where D changes side within (start, end], as a quotient; a climb that reaches 0 at the end counts, a fall not."""
    start, end, saving, slope, scale = segment
    if saving == 0 or slope == 0 or (saving > 0) == (slope > 0):
        return None
    numerator, denominator = start * abs(slope) + abs(saving), abs(slope)
    if end is not None and (numerator > end * denominator or (numerator == end * denominator and slope < 0)):
        return None
    return numerator, denominator * scale


def _next_stair(steps: _Steps, stair: int, side: Side) -> int | None:
    """The next stair that can hold a change, given the side at this stair's upper edge; None when none can."""
    if steps.rent == 0:
        return None
    kink_stair = None
    if steps.price:
        kink_stair = -(-steps.commitment // (steps.price * steps.capacity))
    if kink_stair is None or stair < kink_stair:
        return _next_stair_in_commitment(steps, stair, side, kink_stair)
    return _next_stair_on_climb(steps, stair, side)


def _next_stair_in_commitment(steps: _Steps, stair: int, side: Side, kink_stair: int | None) -> int | None:
    """D only falls until the commitment ends: the API stays ahead, or self-hosting loses once."""
    if side == "api":
        return kink_stair
    falls_by = steps.rent + steps.variable * steps.capacity
    last_ahead = (steps.commitment - steps.overhead) // falls_by
    # Up to there the commitment alone exceeds S, and A is never below it, so skipping the kink's stair is safe.
    return max(stair, last_ahead) + 1


def _next_stair_on_climb(steps: _Steps, stair: int, side: Side) -> int | None:
    """Beyond the commitment D at the edges is n m - overhead, which only a positive margin lifts."""
    margin = steps.margin
    if side == "self_host":
        falls_behind = stair * margin < steps.overhead + steps.rent
        return stair + 1 if falls_behind else None
    if margin <= 0:
        return None
    return max(stair + 1, -(-steps.overhead // margin))


def _first(listed: list[_Change], starts_self_host: bool) -> Fraction | None:
    if starts_self_host:
        return Fraction(0)
    return next((change.volume for change in listed if change.direction == "to_self_host"), None)


def _stable_from(terms: _Terms, listed: list[_Change], is_complete: bool, starts_self_host: bool) -> Fraction | None:
    if not is_complete:
        return _stable_from_margin(terms)
    if not listed:
        return Fraction(0) if starts_self_host else None
    return listed[-1].volume if listed[-1].direction == "to_self_host" else None


def _stable_from_margin(terms: _Terms) -> Fraction | None:
    """The root on the last stair that starts behind, for a list cut beyond the commitment's end."""
    if terms.margin <= 0:
        return None
    last_stair = math.ceil((terms.overhead + terms.rent) / terms.margin)
    return terms.stair_cost(last_stair) / (terms.price - terms.variable)


def _utilization(terms: _Terms) -> Decimal | None:
    saved_per_token = terms.price - terms.variable
    return None if saved_per_token <= 0 else to_decimal(terms.rent / (saved_per_token * terms.capacity))


def _reason(terms: _Terms, first: Fraction | None, stable_from: Fraction | None, has_crossing: bool) -> str | None:
    if stable_from is not None:
        return None if has_crossing else "No break-even to cross: self-hosting is the cheaper lane at every volume."
    when = "No break-even at any volume" if first is None else "Self-hosting is never the cheaper lane for good"
    return f"{when}: {_cause(terms)}"


def _cause(terms: _Terms) -> str:
    if terms.price <= terms.variable:
        return (
            f"1M tokens displace {money_text(terms.price * 10**6)} of API cost "
            f"and cost {money_text(terms.variable * 10**6)} to serve, before any rent."
        )
    displaced = money_text((terms.price - terms.variable) * terms.capacity)
    found = f"a completely full replica displaces {displaced} of API cost for {money_text(terms.rent)} of rent"
    if terms.margin == 0:
        return f"{found}."
    share = terms.rent / ((terms.price - terms.variable) * terms.capacity)
    return f"{found}: it would have to be {to_places(share * 100, 1)}% full, which is impossible."
