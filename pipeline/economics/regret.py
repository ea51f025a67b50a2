"""The regret meter: move once waiting has cost as much as moving would have.

M_t = max(0, M_{t-1} + what the announced side cost that day - what the other would have); at alpha times the one-off
the side changes and the meter begins anew. With alpha 1 it is ski rental: while the sign of the difference holds, what
was paid is at most twice what somebody who knew the future would have paid, and the overshoot of one day. Sources:
economics.md 10; Karlin, Manasse, Rudolph and Sleator, Algorithmica 3 (1988), for the bound of ski rental."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction

from pipeline.economics.breakeven import Side
from pipeline.economics.exact import Exact, money_text, not_negative, positive


@dataclass(frozen=True, kw_only=True)
class RegretRule:
    """Change sides when the meter reaches `alpha` x `one_off`, the cost of a migration, in money of the days."""

    one_off: Exact
    alpha: Exact = 1

    def __post_init__(self) -> None:
        positive(self.one_off, "one_off")
        positive(self.alpha, "alpha")

    @property
    def threshold(self) -> Fraction:
        return Fraction(self.alpha) * Fraction(self.one_off)


@dataclass(frozen=True, kw_only=True)
class CostDay:
    """One day of one workload: what all of it costs on the API and on GPUs of one's own; None where it is not known."""

    day: date
    api_cost: Exact | None
    self_host_cost: Exact | None
    is_settled: bool


@dataclass(frozen=True, kw_only=True)
class RegretState:
    """Where the meter stands after a day: all that the next day needs."""

    side: Side = "api"
    meter: Fraction = Fraction(0)
    last_fired_on: date | None = None
    last_day: date | None = None


@dataclass(frozen=True, kw_only=True)
class RegretDay:
    """What one day concluded. is_fired: the announced side changed; is_frozen: a gap or an unsettled day."""

    day: date
    state: RegretState
    is_fired: bool
    is_frozen: bool
    reason: str


def regret_states(
    days: Iterable[CostDay], *, rule: RegretRule, start: RegretState | None = None
) -> tuple[RegretDay, ...]:
    """Fold the days, in order, into one conclusion each; in two parts as in one.

    A gap, an unsettled day or a date that is missing leaves the meter as it is and never fires. Raises ValueError when
    a day does not come after the one before it, or a cost is below zero."""
    return tuple(_fold(days, start or RegretState(), rule))


def _fold(days: Iterable[CostDay], state: RegretState, rule: RegretRule) -> Iterator[RegretDay]:
    for found in days:
        if state.last_day is not None and found.day <= state.last_day:
            raise ValueError(
                f"{found.day} comes after {state.last_day} in the fold: pass each day once, in order of its date."
            )
        concluded = _conclude(found, replace(state, last_day=found.day), rule)
        state = concluded.state
        yield concluded


def _conclude(found: CostDay, state: RegretState, rule: RegretRule) -> RegretDay:
    if not found.is_settled:
        return _quiet(found.day, state, f"Frozen, not settled yet: the meter stays at {money_text(state.meter)}.", True)
    if found.api_cost is None or found.self_host_cost is None:
        return _quiet(
            found.day, state, f"Frozen, a cost is not known: the meter stays at {money_text(state.meter)}.", True
        )
    api = not_negative(found.api_cost, f"api_cost of {found.day}")
    own = not_negative(found.self_host_cost, f"self_host_cost of {found.day}")
    lost = api - own if state.side == "api" else own - api
    meter = max(Fraction(0), state.meter + lost)
    other: Side = "self_host" if state.side == "api" else "api"
    if meter < rule.threshold:
        of = f"{money_text(meter)} of the {money_text(rule.threshold)} of moving"
        said = f"Staying on the {state.side} side has cost {of}."
        return _quiet(found.day, replace(state, meter=meter), said, False)
    return RegretDay(
        day=found.day,
        state=RegretState(side=other, last_fired_on=found.day, last_day=found.day),
        is_fired=True,
        is_frozen=False,
        reason=f"Staying on the {state.side} side has cost {money_text(meter)}, as much as the "
        f"{money_text(rule.threshold)} of moving: to {other}.",
    )


def _quiet(day: date, state: RegretState, reason: str, is_frozen: bool) -> RegretDay:
    return RegretDay(day=day, state=state, is_fired=False, is_frozen=is_frozen, reason=reason)
