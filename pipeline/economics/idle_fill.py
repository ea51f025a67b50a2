"""What would fit on capacity that is already paid for, and what that avoids at the API.

Order of advice: fill idle capacity that is paid for, then release what nothing needs, then switch, then buy
(economics.md 10). Filling and releasing want the same replicas, so each count is tried, and a tie releases fewer.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pipeline.economics.exact import Exact, not_negative, positive, whole_count
from pipeline.economics.request_classes import fill_hour
from pipeline.economics.scale_down import LoadHour


@dataclass(frozen=True, kw_only=True)
class Movable:
    """Traffic that is on an API and may move: its hours, work as it would be on a replica, and its API price a unit.

    committed_cost: what of it is due over these hours even if all of it moves (economics.md 1, avoidable).
    """

    name: str
    hours: Sequence[LoadHour]
    price_per_unit: Exact
    committed_cost: Exact = 0


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What fits of one workload over all the hours. Tokens in proportion to the work of their hour, rounded down.

    avoided_cost: what the API bill falls by: with P all of the workload's work at its price and K what is committed,
        max(K, P) - max(K, P - what fits).
    """

    name: str
    tokens: int
    work: Fraction
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
) -> IdleFill:
    """What fits, hour by hour, beside what the replicas serve already; the dearest work of an hour goes first.

    Dearest is what avoids most for a unit were all of it to move, so that what is committed anyway comes last.
    `served` is the work of each hour on the replicas, None where nobody watched: that is not idle, and nothing fits
    there. The room of an hour is (replicas - spare) c - served. All work is in one unit. Raises ValueError for a
    negative number, a capacity of 0, or hours that are not as many. Source: economics.md 0.4, 4 and 10.
    """
    capacity = positive(capacity_per_replica_hour, "capacity_per_replica_hour")
    ready = max(0, whole_count(replicas, "replicas") - whole_count(spare_replicas, "spare_replicas"))
    bills = {found.name: _Bill.of(found) for found in movable}
    dearest = {name: bill.avoidable_price for name, bill in bills.items()}
    for found in movable:
        if len(found.hours) != len(served):
            raise ValueError(
                f"{found.name} has {len(found.hours)} hours and the replicas {len(served)}: pass the same hours."
            )
    rooms = [
        None if load is None else max(ready * capacity - not_negative(load, f"served[{hour}]"), Fraction(0))
        for hour, load in enumerate(served)
    ]
    fits = [
        {}
        if room is None
        else fill_hour(work=[(one.name, one.hours[hour].work, dearest[one.name]) for one in movable], capacity=room)
        for hour, room in enumerate(rooms)
    ]
    tokens = [
        {one.name: _tokens(one.hours[hour], fitting[one.name]) for one in movable if fitting.get(one.name)}
        for hour, fitting in enumerate(fits)
    ]
    return IdleFill(
        filled=tuple(_filled(one.name, bills[one.name], fits, tokens) for one in movable),
        hours=tuple(HourFilled(room=room, tokens=found) for room, found in zip(rooms, tokens, strict=True)),
    )


@dataclass(frozen=True)
class _Bill:
    """All of a workload's work at its price, and what of it is due whatever moves."""

    price: Fraction
    work: Fraction
    committed: Fraction

    @classmethod
    def of(cls, found: Movable) -> "_Bill":
        return cls(
            price=not_negative(found.price_per_unit, f"price of {found.name}"),
            work=sum((Fraction(hour.work) for hour in found.hours), Fraction(0)),
            committed=not_negative(found.committed_cost, f"committed cost of {found.name}"),
        )

    def avoided(self, work: Fraction) -> Fraction:
        """What the bill falls by when so much of the work moves."""
        whole = self.price * self.work
        return max(self.committed, whole) - max(self.committed, whole - self.price * work)

    @property
    def avoidable_price(self) -> Fraction:
        return self.avoided(self.work) / self.work if self.work else Fraction(0)


def _tokens(whole: LoadHour, fitting: Fraction) -> int:
    return math.floor(whole.tokens * fitting / Fraction(whole.work))


def _filled(
    name: str, bill: _Bill, fits: Sequence[Mapping[str, Fraction]], tokens: Sequence[Mapping[str, int]]
) -> Filled:
    work = sum((fitting.get(name, Fraction(0)) for fitting in fits), Fraction(0))
    return Filled(
        name=name,
        tokens=sum(found.get(name, 0) for found in tokens),
        work=work,
        avoided_cost=bill.avoided(work),
        hours=sum(name in found for found in tokens),
    )


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
