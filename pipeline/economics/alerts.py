"""When to speak: on which day traffic has really moved to the other side of the break-even.

A pure fold over days, with hysteresis, a dwell and a cooldown: a raw daily crossing of noisy traffic would fire
every week (economics.md 10 has the simulated counts).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from pipeline.economics.breakeven import Side
from pipeline.economics.exact import Exact, not_negative, whole_count


@dataclass(frozen=True, kw_only=True)
class AlertRule:
    """Enter self-host at `enter_ratio` or above, leave at `exit_ratio` or below, after `dwell_days` such days.

    A change is announced at the earliest `cooldown_days` calendar days after the last one. The defaults are those
    whose false alarms economics.md 10 states; scale-down uses a dwell of 14.
    """

    enter_ratio: Exact = Decimal("1.10")
    exit_ratio: Exact = Decimal("0.90")
    dwell_days: int = 7
    cooldown_days: int = 14

    def __post_init__(self) -> None:
        whole_count(self.cooldown_days, "cooldown_days")
        if whole_count(self.dwell_days, "dwell_days") == 0:
            raise ValueError("dwell_days is 0: pass 1 or more, the days on the other side before a change is said.")
        enter, leave = not_negative(self.enter_ratio, "enter_ratio"), not_negative(self.exit_ratio, "exit_ratio")
        if leave >= enter:
            raise ValueError(
                f"exit_ratio is {self.exit_ratio} and enter_ratio {self.enter_ratio}: pass an exit below the entry, "
                "or the side would be both at once."
            )


DEFAULT_ALERT_RULE = AlertRule()


@dataclass(frozen=True, kw_only=True)
class DemandDay:
    """One day of one workload: trailing 7-day mean demand / first crossing volume of the same length of time.

    `ratio` is None when it is unknown (a gap). `has_crossing` False says that there is no break-even volume to
    divide by; the ratio is then None too. Days that are not settled are not decided on (house.md law 10).
    """

    day: date
    ratio: Exact | None
    is_settled: bool
    has_crossing: bool = True


@dataclass(frozen=True, kw_only=True)
class AlertState:
    """Where the fold stands after a day: all that the next day needs.

    side: the announced side of the break-even that traffic is on, `api` below it and `self_host` above.
    run_days: settled days in a row, frozen days skipped, on the other side's far threshold.
    dwell_completed_on: the day the run reached the dwell, while the cooldown still delays the announcement.
    """

    side: Side = "api"
    run_days: int = 0
    dwell_completed_on: date | None = None
    last_fired_on: date | None = None
    last_day: date | None = None


@dataclass(frozen=True, kw_only=True)
class AlertDay:
    """What one day concluded.

    is_fired: the announced side changed today; `state.side` is the new one and its run counter is back to 0.
    dwell_completed_on: the day the dwell completed, on a fired day and while a cooldown delays; the case's date.
    is_frozen: a gap or an unsettled day; the state is yesterday's. reason: the day in a sentence.
    """

    day: date
    state: AlertState
    is_fired: bool
    is_frozen: bool
    dwell_completed_on: date | None
    reason: str


def alert_states(
    days: Iterable[DemandDay], *, start: AlertState | None = None, rule: AlertRule = DEFAULT_ALERT_RULE
) -> tuple[AlertDay, ...]:
    """Fold the days, in order, into one conclusion each.

    `start` is the state of the day before (the last `AlertDay.state`); None begins on side `api`, so a workload
    that is self-hosted already begins with `AlertState(side="self_host")`. Folding in two parts equals folding
    once; a day that will be folded again when it settles needs the state from before it.

    A ratio of exactly 1.10 enters and of exactly 0.90 leaves; a ratio short of them ends a run. A gap, an
    unsettled day, or a date that is missing altogether freezes side and run and never fires; only the cooldown
    runs on by the calendar. Without a crossing nothing fires and the run ends.

    Raises ValueError when a day does not come after the one before it, or a ratio is negative.
    Source: economics.md 10.
    """
    return tuple(_fold(days, start or AlertState(), rule))


def _fold(days: Iterable[DemandDay], state: AlertState, rule: AlertRule) -> Iterator[AlertDay]:
    for demand in days:
        if state.last_day is not None and demand.day <= state.last_day:
            raise ValueError(
                f"{demand.day} comes after {state.last_day} in the fold: pass each day once, in order of its date."
            )
        concluded = _conclude(demand, replace(state, last_day=demand.day), rule)
        state = concluded.state
        yield concluded


def _conclude(demand: DemandDay, state: AlertState, rule: AlertRule) -> AlertDay:
    if not demand.is_settled:
        return _frozen(state, demand.day, "not settled yet")
    if not demand.has_crossing:
        return _quiet(
            replace(state, run_days=0, dwell_completed_on=None),
            demand.day,
            "There is no break-even volume, so there is nothing to cross: no alert can fire.",
        )
    if demand.ratio is None:
        return _frozen(state, demand.day, "no demand ratio")
    not_negative(demand.ratio, f"ratio of {demand.day}")
    if not _is_on_the_other_side(demand.ratio, state.side, rule):
        ended = replace(state, run_days=0, dwell_completed_on=None)
        return _quiet(ended, demand.day, f"Ratio {_shown(demand.ratio)} stays on the {state.side} side.")
    return _counted(demand.day, demand.ratio, replace(state, run_days=state.run_days + 1), rule)


def _is_on_the_other_side(ratio: Exact, side: Side, rule: AlertRule) -> bool:
    return ratio >= rule.enter_ratio if side == "api" else ratio <= rule.exit_ratio


def _counted(day: date, ratio: Exact, state: AlertState, rule: AlertRule) -> AlertDay:
    other_side: Side = "self_host" if state.side == "api" else "api"
    if state.run_days < rule.dwell_days:
        return _quiet(
            state, day, f"Ratio {_shown(ratio)}: day {state.run_days} of {rule.dwell_days} towards {other_side}."
        )
    completed_on = state.dwell_completed_on or day
    if _is_cooling_down(day, state.last_fired_on, rule):
        return _quiet(
            replace(state, dwell_completed_on=completed_on),
            day,
            f"Ratio {_shown(ratio)}: {other_side} since {completed_on}, said no earlier than {rule.cooldown_days} days "
            f"after the last change on {state.last_fired_on}.",
        )
    return AlertDay(
        day=day,
        state=AlertState(side=other_side, last_fired_on=day, last_day=day),
        is_fired=True,
        is_frozen=False,
        dwell_completed_on=completed_on,
        reason=f"Ratio {_shown(ratio)}: {state.run_days} days towards {other_side}; the dwell of {rule.dwell_days} "
        f"completed on {completed_on}.",
    )


def _shown(ratio: Exact) -> str:
    return f"{float(ratio):.3f}"


def _is_cooling_down(day: date, last_fired_on: date | None, rule: AlertRule) -> bool:
    return last_fired_on is not None and (day - last_fired_on).days < rule.cooldown_days


def _quiet(state: AlertState, day: date, reason: str) -> AlertDay:
    return AlertDay(
        day=day,
        state=state,
        is_fired=False,
        is_frozen=False,
        dwell_completed_on=state.dwell_completed_on,
        reason=reason,
    )


def _frozen(state: AlertState, day: date, why: str) -> AlertDay:
    return replace(
        _quiet(state, day, f"Frozen, {why}: stays {state.side} with a run of {state.run_days} days."),
        is_frozen=True,
    )
