"""Replaying history: what each way to decide would have cost, knowing each day only what was known that day.

Every policy sees the days in their order and says after each of them which side it is on. It acts on a day by what it
said after the newest day that was known by then, and takes the replica count that was best over the 28 known days
before: so policies differ in when they move, never in how well they size. The clairvoyant knows all days and pays as
little as can be. Source: economics.md 10 (as-of, no look-ahead), issue of the backtest."""

import itertools
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from statistics import median

from pipeline.economics.alerts import AlertRule, AlertState, DemandDay, alert_states
from pipeline.economics.breakeven import Side
from pipeline.economics.exact import Exact, not_negative, positive
from pipeline.economics.regret import CostDay, RegretRule, RegretState, regret_states

SIZING_DAYS = 28
MONTH_DAYS = 30
# An alert was false when the side it called for was not the cheaper one over this many days after it.
JUDGED_DAYS = 30


@dataclass(frozen=True, kw_only=True)
class ReplayDay:
    """One day of one workload. Money in one currency.

    known_on: the first day on which a decision could know this one. costs: the day's bill with 0, 1, 2, ... replicas,
    the API taking what lies above them; `costs[0]` is the API alone. ratio: 7-day mean demand over the first
    break-even, as that day said it; None where there was none."""

    day: date
    known_on: date
    tokens: int
    costs: tuple[Fraction, ...]
    ratio: Fraction | None

    @property
    def own_cost(self) -> Fraction:
        """The cheapest of one or more replicas."""
        return min(self.costs[1:])


# After each day: the side it says, knowing that day and those before it.
Policy = Callable[[Sequence[ReplayDay]], Sequence[Side]]


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What one policy did. replicas: on each day; changes: how often the side changed, each costing the one-off."""

    replicas: tuple[int, ...]
    cost: Fraction
    changes: int


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One policy beside the clairvoyant. delays: days from each change of the clairvoyant's side until the policy was
    on that side too; a change it never made before the next one is missed."""

    name: str
    replay: Replay
    above_best: Fraction
    false_alerts: int
    delays: tuple[int, ...]
    missed: int

    @property
    def median_delay(self) -> float | None:
        return float(median(self.delays)) if self.delays else None


@dataclass(frozen=True, kw_only=True)
class Backtest:
    best: Replay
    verdicts: tuple[Verdict, ...]


def backtest(
    days: Sequence[ReplayDay], policies: Mapping[str, Policy], *, one_off: Exact, start: Side = "api"
) -> Backtest:
    """Every policy over the same days. `one_off`: what each change of side costs. `start`: the side of the first day.

    O(days x replicas) beyond the policies themselves. Raises ValueError for no days, for days out of order, for a day
    that was known before it was over, or where some days have other replica counts than others.
    """
    _refuse_disorder(days)
    change = not_negative(one_off, "one_off")
    sizes = _sizes(days)
    best = _clairvoyant(days, change, start)
    verdicts = []
    for name, policy in policies.items():
        replay = _replayed(days, _acted(days, policy(days), start), sizes, change, start)
        delays, missed = _delays(best, replay, start)
        verdicts.append(
            Verdict(
                name=name,
                replay=replay,
                above_best=replay.cost - best.cost,
                false_alerts=_false_alerts(days, replay, start),
                delays=delays,
                missed=missed,
            )
        )
    return Backtest(best=best, verdicts=tuple(verdicts))


def always(side: Side) -> Policy:
    return lambda days: [side] * len(days)


def hysteresis(rule: AlertRule, *, start: Side = "api") -> Policy:
    """The configured default: the fold that decides cases."""

    def policy(days: Sequence[ReplayDay]) -> Sequence[Side]:
        told = alert_states(
            (
                DemandDay(day=found.day, ratio=found.ratio, is_settled=True, has_crossing=found.ratio is not None)
                for found in days
            ),
            start=AlertState(side=start),
            rule=rule,
        )
        return [day.state.side for day in told]

    return policy


def regret_meter(rule: RegretRule, *, start: Side = "api") -> Policy:
    """The configurable option: waiting has cost as much as moving."""

    def policy(days: Sequence[ReplayDay]) -> Sequence[Side]:
        told = regret_states(
            (
                CostDay(day=found.day, api_cost=found.costs[0], self_host_cost=found.own_cost, is_settled=True)
                for found in days
            ),
            rule=rule,
            start=RegretState(side=start),
        )
        return [day.state.side for day in told]

    return policy


def spend_above(threshold: Exact) -> Policy:
    """Own GPUs while the API spend of the last 30 days would be at the threshold or above: a published kind of rule."""
    return _above(positive(threshold, "threshold"), lambda found: found.costs[0])


def tokens_above(threshold: Exact) -> Policy:
    """Own GPUs while the tokens of the last 30 days are at the threshold or above."""
    return _above(positive(threshold, "threshold"), lambda found: Fraction(found.tokens))


def spend_above_own(factor: Exact) -> Policy:
    """Own GPUs while 30 days of the API cost more than `factor` times 30 days of them."""
    times = positive(factor, "factor")

    def policy(days: Sequence[ReplayDay]) -> Sequence[Side]:
        api, own = _month_sums(days, lambda found: found.costs[0]), _month_sums(days, lambda found: found.own_cost)
        return ["self_host" if a > times * o else "api" for a, o in zip(api, own, strict=True)]

    return policy


def _above(threshold: Fraction, value: Callable[[ReplayDay], Fraction]) -> Policy:
    def policy(days: Sequence[ReplayDay]) -> Sequence[Side]:
        return ["self_host" if total >= threshold else "api" for total in _month_sums(days, value)]

    return policy


def _month_sums(days: Sequence[ReplayDay], value: Callable[[ReplayDay], Fraction]) -> list[Fraction]:
    """Of the last 30 days up to each day; where there are fewer, as if the rest had been like them."""
    values = [value(found) for found in days]
    sums = []
    for last in range(1, len(values) + 1):
        seen = values[max(0, last - MONTH_DAYS) : last]
        sums.append(sum(seen, Fraction(0)) * MONTH_DAYS / len(seen))
    return sums


def _refuse_disorder(days: Sequence[ReplayDay]) -> None:
    if not days:
        raise ValueError("There are no days to replay: pass at least one.")
    for before, after in itertools.pairwise(days):
        if after.day <= before.day or after.known_on < before.known_on:
            raise ValueError(
                f"{after.day} comes after {before.day}: pass each day once, in order of day and knowledge."
            )
    for found in days:
        if found.known_on <= found.day:
            raise ValueError(f"{found.day} is known on {found.known_on}: a day is known when it is over, not before.")
        if len(found.costs) != len(days[0].costs) or len(found.costs) < 2:
            raise ValueError(
                f"{found.day} has {len(found.costs)} costs: pass the same counts, 0 and more, for each day."
            )


def _known_before(days: Sequence[ReplayDay]) -> list[int]:
    """For each day, how many of the days were known on it: decisions of a day rest on those alone."""
    known = [found.known_on for found in days]
    return [bisect_right(known, found.day) for found in days]


def _acted(days: Sequence[ReplayDay], said: Sequence[Side], start: Side) -> list[Side]:
    return [said[known - 1] if known else start for known in _known_before(days)]


def _sizes(days: Sequence[ReplayDay]) -> list[int]:
    """The cheapest count of one or more over the last 28 days known on each day; one while nothing is known."""
    counts = range(1, len(days[0].costs))
    sizes = []
    for known in _known_before(days):
        seen = days[max(0, known - SIZING_DAYS) : known]
        totals = {count: sum((found.costs[count] for found in seen), Fraction(0)) for count in counts}
        sizes.append(min(counts, key=lambda count: (totals[count], count)))
    return sizes


def _replayed(
    days: Sequence[ReplayDay], sides: Sequence[Side], sizes: Sequence[int], change: Fraction, start: Side
) -> Replay:
    replicas = tuple(size if side == "self_host" else 0 for side, size in zip(sides, sizes, strict=True))
    return _costed(days, replicas, change, start)


def _costed(days: Sequence[ReplayDay], replicas: tuple[int, ...], change: Fraction, start: Side) -> Replay:
    changes = len(_changes(replicas, start))
    cost = sum((found.costs[count] for found, count in zip(days, replicas, strict=True)), Fraction(0))
    return Replay(replicas=replicas, cost=cost + changes * change, changes=changes)


def _changes(replicas: Sequence[int], start: Side) -> list[int]:
    """The days, by their index, on which the side is another than the day before."""
    own = [start == "self_host", *(count > 0 for count in replicas)]
    return [day for day in range(len(replicas)) if own[day + 1] != own[day]]


def _clairvoyant(days: Sequence[ReplayDay], change: Fraction, start: Side) -> Replay:
    """The cheapest path of counts, each change of side paid: a dynamic programme over the two sides."""
    best: dict[bool, tuple[Fraction, tuple[int, ...]]] = {start == "self_host": (Fraction(0), ())}
    for found in days:
        own_count = min(range(1, len(found.costs)), key=lambda count: (found.costs[count], count))
        step = {False: (found.costs[0], 0), True: (found.costs[own_count], own_count)}
        following: dict[bool, tuple[Fraction, tuple[int, ...]]] = {}
        for side, (cost, count) in step.items():
            # A tie stays where it is, and with fewer replicas.
            total, _, came = min(
                (paid + (change if side != before else 0), side != before, before) for before, (paid, _) in best.items()
            )
            following[side] = (total + cost, (*best[came][1], count))
        best = following
    _, _, replicas = min((cost, own, path) for own, (cost, path) in best.items())
    return _costed(days, replicas, change, start)


def _false_alerts(days: Sequence[ReplayDay], replay: Replay, start: Side) -> int:
    """Changes to a side that was not the cheaper one over the days judged; of the last days, over what is left."""
    false = 0
    for changed in _changes(replay.replicas, start):
        after = days[changed : changed + JUDGED_DAYS]
        api = sum((found.costs[0] for found in after), Fraction(0))
        count = replay.replicas[changed]
        own = sum((found.costs[count] if count else found.own_cost for found in after), Fraction(0))
        false += (own >= api) if count else (api >= own)
    return false


def _delays(best: Replay, replay: Replay, start: Side) -> tuple[tuple[int, ...], int]:
    """From each change of the clairvoyant's side until its next one."""
    own, changed = [count > 0 for count in best.replicas], _changes(best.replicas, start)
    delays, missed = [], 0
    for number, day in enumerate(changed):
        end = changed[number + 1] if number + 1 < len(changed) else len(own)
        reached = next((later for later in range(day, end) if (replay.replicas[later] > 0) == own[day]), None)
        if reached is None:
            missed += 1
        else:
            delays.append(reached - day)
    return tuple(delays), missed


def known_after(day: date, *, settle_days: int) -> date:
    """The first day on which a day is known that settles so many days after it is over."""
    return day + timedelta(days=1 + settle_days)


def default_policies(
    rule: AlertRule, *, one_off: Exact, alpha: Exact = Decimal(1), start: Side = "api"
) -> dict[str, Policy]:
    """What every backtest has: the configured rule, the meter where moving costs anything, and to do nothing."""
    policies: dict[str, Policy] = {"configured: hysteresis": hysteresis(rule, start=start)}
    if one_off > 0:
        policies["regret meter"] = regret_meter(RegretRule(one_off=one_off, alpha=alpha), start=start)
    return policies | {"always the API": always("api"), "always own GPUs": always("self_host")}
