"""What would fit on capacity that is already paid for, and what that avoids at the API.

What is due under a commitment whatever moves is not avoided, and what a bill is above it is avoided once: by the
workloads of the bill together, the one that goes first taking of it first.

Order of advice: fill idle capacity that is paid for, then release what nothing needs, then switch, then buy
(economics.md 10). Filling and releasing want the same replicas, so each count is tried, and a tie releases fewer.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

from pipeline.economics.exact import Exact, exact_sum, not_negative, not_negative_ratio, positive, whole_count
from pipeline.economics.scale_down import LoadHour


@dataclass(frozen=True, kw_only=True)
class Movable:
    """Traffic that is on an API and may move: its hours, work as it would be on a replica, and its API price a unit.

    scope: the commitment that its bill is under with others; None where all that moves is avoided (economics.md 1).
    """

    name: str
    hours: Sequence[LoadHour]
    price_per_unit: Exact
    scope: str | None = None


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What fits of one workload over all the hours. Tokens in proportion to the work of their hour, rounded down.

    moved_cost: the work at its API price.
    avoided_cost: what the API bill falls by when it moves after those that go before it: of its scope's headroom what
        these leave, at most.
    """

    name: str
    tokens: int
    work: Fraction
    moved_cost: Fraction
    avoided_cost: Fraction
    hours: int


@dataclass(frozen=True, kw_only=True)
class HourFilled:
    """One hour: what is left of the replicas, and the tokens that fit by workload. `room` None: nobody watched it."""

    room: Fraction | None
    tokens: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class IdleFill:
    """`filled`: by workload in the order given. `hours`: in order of time."""

    filled: tuple[Filled, ...]
    hours: tuple[HourFilled, ...]

    @property
    def avoided_cost(self) -> Fraction:
        """What all of it costs at the API."""
        return sum((found.avoided_cost for found in self.filled), Fraction(0))


def idle_fill(
    *,
    served: Sequence[Exact | None],
    movable: Sequence[Movable],
    replicas: int,
    spare_replicas: int,
    capacity_per_replica_hour: Exact,
    headroom: Mapping[str, Exact] | None = None,
) -> IdleFill:
    """What fits, hour by hour, beside what the replicas serve already; the dearest work of an hour goes first.

    Dearest is what avoids most for a unit were all of it to move after the dearer ones of its scope, so that what is
    committed anyway comes last; equal ones in the order of their names. `headroom`: by scope, what its bill over these
    hours is above what is due whatever moves; all of a scope avoid no more than that. One order for all hours is a
    heuristic under a headroom, not the best split: where little fits, a workload whose first units are the dearest may
    stand behind one of a lower price, since its mean counts its committed units too. Then more could be avoided, and
    never less than is said. Without a headroom it is the best.
    `served` is the work of each hour on the replicas, None where nobody watched: that is not idle, and nothing fits
    there. The room of an hour is (replicas - spare) c - served. All work is in one unit. Raises ValueError for a
    negative number, a capacity of 0, hours that are not as many, or a scope without headroom. Source: economics.md 0.4,
    1, 4 and 10.
    """
    capacity = positive(capacity_per_replica_hour, "capacity_per_replica_hour")
    ready = max(0, whole_count(replicas, "replicas") - whole_count(spare_replicas, "spare_replicas"))
    ranked = _ranked(movable, headroom or {})
    for found in movable:
        if len(found.hours) != len(served):
            raise ValueError(
                f"{found.name} has {len(found.hours)} hours and the replicas {len(served)}: pass the same hours."
            )
    loads = [None if load is None else not_negative_ratio(load, f"served[{hour}]") for hour, load in enumerate(served)]
    works = {one.name: [not_negative_ratio(hour.work, f"work of {one.name}") for hour in one.hours] for one in movable}
    # Whole numbers of one small part of a unit from here on: there are hundreds of hours, and counts to try.
    most = (ready * capacity).as_integer_ratio()
    parts = math.lcm(*{ratio[1] for ratio in chain([most], loads, *works.values()) if ratio is not None})

    def in_parts(ratio: tuple[int, int]) -> int:
        return ratio[0] * (parts // ratio[1])

    rooms = [None if load is None else max(in_parts(most) - in_parts(load), 0) for load in loads]
    of_hours = {name: [in_parts(work) for work in works[name]] for name in ranked}
    fits = _fits(rooms, of_hours)
    tokens = [
        {
            one.name: one.hours[hour].tokens * fitting[one.name] // of_hours[one.name][hour]
            for one in movable
            if fitting.get(one.name)
        }
        for hour, fitting in enumerate(fits)
    ]
    return IdleFill(
        filled=_filled(movable, ranked, headroom or {}, fits, tokens, parts=parts),
        hours=tuple(
            HourFilled(room=None if room is None else Fraction(room, parts), tokens=found)
            for room, found in zip(rooms, tokens, strict=True)
        ),
    )


def _fits(rooms: Sequence[int | None], work: Mapping[str, Sequence[int]]) -> list[dict[str, int]]:
    """What fits of each hour, of the first named first. None: nobody watched, and nothing fits."""
    fits: list[dict[str, int]] = []
    for hour, room in enumerate(rooms):
        left, fitting = room or 0, {}
        for name, of_hours in work.items():
            fitting[name] = min(of_hours[hour], left)
            left -= fitting[name]
        fits.append(fitting)
    return fits


def _ranked(movable: Sequence[Movable], headroom: Mapping[str, Exact]) -> list[str]:
    """Names, the one that goes first first: by what a unit of their work avoids were all of it to move."""
    left = _Left(headroom)
    found: list[tuple[str, Fraction]] = []
    by_price = sorted(movable, key=lambda one: (-not_negative(one.price_per_unit, f"price of {one.name}"), one.name))
    for one in by_price:
        work = exact_sum(hour.work.as_integer_ratio() for hour in one.hours)
        avoided = left.take(one, work * Fraction(one.price_per_unit))
        found.append((one.name, avoided / work if work else Fraction(0)))
    return [name for name, _ in sorted(found, key=lambda one: (-one[1], one[0]))]


class _Left:
    """What of each scope's headroom those that went before have left."""

    def __init__(self, headroom: Mapping[str, Exact]) -> None:
        self._by_scope = {name: not_negative(money, f"headroom of {name}") for name, money in headroom.items()}

    def take(self, found: Movable, moved: Fraction) -> Fraction:
        if found.scope is None:
            return moved
        if found.scope not in self._by_scope:
            raise ValueError(f"{found.name} is under {found.scope!r}, of which no headroom is given: pass it, or none.")
        taken = min(moved, self._by_scope[found.scope])
        self._by_scope[found.scope] -= taken
        return taken


def _filled(
    movable: Sequence[Movable],
    ranked: Sequence[str],
    headroom: Mapping[str, Exact],
    fits: Sequence[Mapping[str, int]],
    tokens: Sequence[Mapping[str, int]],
    *,
    parts: int,
) -> tuple[Filled, ...]:
    by_name, left, filled = {one.name: one for one in movable}, _Left(headroom), {}
    for name in ranked:
        work = Fraction(sum(fitting[name] for fitting in fits), parts)
        moved = work * Fraction(by_name[name].price_per_unit)
        filled[name] = Filled(
            name=name,
            tokens=sum(found.get(name, 0) for found in tokens),
            work=work,
            moved_cost=moved,
            avoided_cost=left.take(by_name[name], moved),
            hours=sum(name in found for found in tokens),
        )
    return tuple(filled[one.name] for one in movable)


def release_beside_filling(
    *, avoided_cost_by_released: Sequence[Exact], replica_cost: Exact
) -> tuple[int, tuple[Fraction, ...]]:
    """How many to release where the rest is filled, and what each count from 0 on would save in all.

    `avoided_cost_by_released[k]` is what filling avoids with k replicas released, `replica_cost` a replica's rent over
    the same hours. The count that saves most; a tie releases fewer. Raises ValueError for no count.
    Source: economics.md 10, "fill idle capacity that is already paid for, then release what nothing needs".
    """
    if not avoided_cost_by_released:
        raise ValueError("There is no count to compare: pass what filling avoids with 0 released, at least.")
    rent = not_negative(replica_cost, "replica_cost")
    savings = tuple(
        count * rent + not_negative(avoided, f"avoided cost with {count} released")
        for count, avoided in enumerate(avoided_cost_by_released)
    )
    return max(range(len(savings)), key=lambda count: (savings[count], -count)), savings
