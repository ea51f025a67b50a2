"""How many replicas may go: what the busy hours need, what the API would take over, and what last week says of it.

Source: economics.md 7. Safe release keeps the p99 hour and headroom on the own replicas; economic release goes down to
the count where one replica less would cost more at the API than its rent. Capacity that nobody measured is the best
hour seen, so what is needed is then "at most".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from pipeline.economics.exact import (
    Exact,
    exact_fraction,
    exact_sum,
    money_text,
    not_negative,
    positive,
    rounded_sum,
    to_decimal,
    to_places,
    whole_count,
)
from pipeline.economics.quantiles import nearest_rank

FEWEST_DAYS = 14
FEWEST_OF_EACH_WEEKDAY = 2
HELD_OUT_DAYS = 7
MOST_UNOBSERVED = Fraction(5, 100)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, kw_only=True)
class LoadHour:
    """What a deployment served in an hour: work in replica-seconds (or any one unit), and the tokens that it was."""

    work: Exact
    tokens: int


@dataclass(frozen=True, kw_only=True)
class LoadDay:
    """The hours of one day in order of time. None: nobody watched, which is neither idle nor busy."""

    day: date
    hours: tuple[LoadHour | None, ...]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """So many replicas over the window. What lies above their whole capacity would have gone to the API, or waited.

    saved_cost: the rent of those released over the window; None where there is no rate. overflow_cost: what the API
    would have taken for what lies above; None where it has no price.
    """

    replicas: int
    released: int
    overflow_hours: int
    overflow_work: Decimal
    overflow_tokens: int
    saved_cost: Decimal | None
    overflow_cost: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Backtest:
    """What the rule would have kept a week before the end, and how that week went. `trained_days`: what it saw then.

    holds: no more hours of the week lay above the kept replicas than the quantile leaves out.
    """

    trained_days: int
    replicas: int
    hours: int
    overflow_hours: int
    overflow_work: Decimal
    overflow_tokens: int
    holds: bool


@dataclass(frozen=True, kw_only=True)
class ScaleDown:
    """The answer, with what it was made of.

    refusals: why nothing is offered; empty where it is. The figures that could be had are there all the same.
    observed_hours, unobserved_hours: of the window's days that were read.
    peak_work, peak_rank: the quantile hour's work, and its place among the observed hours in order of work.
    needed: by the rule; `at most` where the capacity is "at least". None without an observed hour.
    safe: with the needed replicas kept. economic: with the cheapest count kept, at least one and the declared minimum;
        None where the API has no price or a replica no rate.
    quiet_hour: where the capacity is "at least", the hour of the day (0-23) with the least work on average over its
        days, in which to drain one replica and look.
    """

    refusals: tuple[str, ...]
    days: int
    observed_hours: int
    unobserved_hours: int
    peak_work: Decimal | None
    peak_rank: int | None
    needed: int | None
    safe: Kept | None
    economic: Kept | None
    backtest: Backtest | None
    quiet_hour: int | None
    explanation: str


def scale_down(
    *,
    days: Sequence[LoadDay],
    replicas: int,
    capacity_per_replica_hour: Exact,
    capacity_is_at_least: bool,
    headroom_ratio: Exact,
    replica_cost_per_hour: Exact | None,
    price_per_unit: Exact | None,
    unobserved_gpu_ratio: Exact,
    minimum_replicas: int = 1,
    spare_replicas: int = 0,
    changed_on: date | None = None,
    quantile: Exact = Decimal("0.99"),
    work_per_replica_second: Exact = 1,
) -> ScaleDown:
    """What may be released of `replicas` that are paid for, from days in order of their date.

    `capacity_per_replica_hour` is in the unit of the hours' work; `capacity_is_at_least` says that nobody measured it.
    `replica_cost_per_hour` is None where there is no rate, `price_per_unit`, the avoidable API price of a unit of that
    work, None where it has none. `unobserved_gpu_ratio` is the share of the paid GPU time of these days that nobody
    watched. `changed_on`: the day on which the deployment last became another one (model, GPUs a replica); days before
    it are not read. `work_per_replica_second`: units of work in a replica-second, for the explanation alone.

    needed = max(minimum, ceil(Q(hourly work) / ((1 - headroom) c))) + spare, the quantile by nearest rank. Refused
    below 14 days, with fewer than two of a weekday, above 5% unobserved, and where the held-out week went over what the
    rule would have kept. Raises ValueError for numbers out of their range or days out of order. Source: economics.md 7.
    """
    for earlier, later in pairwise(days):
        if later.day <= earlier.day:
            raise ValueError(f"{later.day} comes after {earlier.day}: pass each day once, in order of its date.")
    rule = _Rule(
        capacity=positive(capacity_per_replica_hour, "capacity_per_replica_hour"),
        free=_headroom(headroom_ratio),
        minimum=max(1, whole_count(minimum_replicas, "minimum_replicas")),
        spare=whole_count(spare_replicas, "spare_replicas"),
        quantile=exact_fraction(quantile, "quantile"),
    )
    have = whole_count(replicas, "replicas")
    rent = None if replica_cost_per_hour is None else not_negative(replica_cost_per_hour, "replica_cost_per_hour")
    price = None if price_per_unit is None else not_negative(price_per_unit, "price_per_unit")
    unobserved = not_negative(unobserved_gpu_ratio, "unobserved_gpu_ratio")
    read = [found for found in days if changed_on is None or found.day >= changed_on]
    seen = _busiest_first(read)
    all_hours = sum(len(found.hours) for found in read)
    refusals = _too_little(read, changed_on)
    if not seen:
        return _nothing_seen(refusals, len(read), all_hours)
    refusals += _unwatched(Fraction(all_hours - len(seen), all_hours), unobserved)
    size = rule.size(seen)
    backtest = _backtest(rule, read)
    if backtest is not None and not backtest.holds:
        refusals += (
            f"a week before the end the rule would have kept {backtest.replicas}, and {backtest.overflow_hours} of the "
            f"{backtest.hours} hours since lay above that: demand is moving",
        )

    def kept(count: int) -> Kept:
        return rule.kept(seen, count, have=have, rent=rent, price=price, hours=all_hours)

    quiet_hour = _quiet_hour(read) if capacity_is_at_least else None
    safe = kept(min(have, size.needed))
    economic = None
    if price is not None and rent is not None and have:
        counts = range(min(have, rule.minimum), have + 1)
        economic = min((kept(count) for count in counts), key=lambda found: (_net_cost(found), found.replicas))
    return ScaleDown(
        refusals=refusals,
        days=len(read),
        observed_hours=len(seen),
        unobserved_hours=all_hours - len(seen),
        peak_work=to_decimal(size.peak),
        peak_rank=size.rank,
        needed=size.needed,
        safe=safe,
        economic=economic,
        backtest=backtest,
        quiet_hour=quiet_hour,
        explanation=_said(size, safe, economic, backtest, len(seen), quiet_hour, work_per_replica_second),
    )


@dataclass(frozen=True)
class _Size:
    peak: Fraction
    rank: int
    needed: int


@dataclass(frozen=True)
class _Rule:
    capacity: Fraction
    free: Fraction
    minimum: int
    spare: int
    quantile: Fraction

    def size(self, hours: Sequence[LoadHour]) -> _Size:
        peak = Fraction(nearest_rank([hour.work for hour in hours], self.quantile))
        carrying = math.ceil(not_negative(peak, "work at the quantile") / (self.free * self.capacity))
        rank = math.ceil(self.quantile * len(hours))
        return _Size(peak, rank, max(self.minimum, carrying) + self.spare)

    def above(self, hours: Sequence[LoadHour], count: int) -> tuple[int, Fraction, int]:
        """Of hours, the busiest first: those above so many replicas, the work above them, and the tokens of it."""
        limit, parts = (count * self.capacity).as_integer_ratio()
        over: list[tuple[int, int, int, int]] = []
        for hour in hours:
            work, of_work = hour.work.as_integer_ratio()
            above = work * parts - limit * of_work
            if above <= 0:
                break
            over.append((above, work, of_work, hour.tokens))
        tokens = rounded_sum([(count * above, work * parts) for above, work, _, count in over])
        return len(over), exact_sum((above, of_work * parts) for above, _, of_work, _ in over), tokens

    def kept(
        self,
        seen: Sequence[LoadHour],
        count: int,
        *,
        have: int,
        rent: Fraction | None,
        price: Fraction | None,
        hours: int,
    ) -> Kept:
        over, work, tokens = self.above(seen, count)
        return Kept(
            replicas=count,
            released=have - count,
            overflow_hours=over,
            overflow_work=to_decimal(work),
            overflow_tokens=tokens,
            saved_cost=None if rent is None else to_decimal((have - count) * rent * hours),
            overflow_cost=None if price is None else to_decimal(price * work),
        )


def _headroom(headroom_ratio: Exact) -> Fraction:
    headroom = not_negative(headroom_ratio, "headroom_ratio")
    if headroom >= 1:
        raise ValueError(f"headroom_ratio is {headroom_ratio}: it leaves no capacity, pass a share below 1.")
    return 1 - headroom


def _net_cost(found: Kept) -> Decimal:
    assert found.overflow_cost is not None
    assert found.saved_cost is not None
    return found.overflow_cost - found.saved_cost


def _too_little(days: Sequence[LoadDay], changed_on: date | None) -> tuple[str, ...]:
    since = "" if changed_on is None else f" since the deployment changed on {changed_on}"
    if len(days) < FEWEST_DAYS:
        return (f"{len(days)} days{since}, of at least {FEWEST_DAYS}",)
    counts = [sum(found.day.weekday() == weekday for found in days) for weekday in range(7)]
    few = [
        f"{counts[day]} {name}{'' if counts[day] == 1 else 's'}"
        for day, name in enumerate(_WEEKDAYS)
        if counts[day] < FEWEST_OF_EACH_WEEKDAY
    ]
    return (f"{', '.join(few)}{since}, of at least {FEWEST_OF_EACH_WEEKDAY} of each weekday",) if few else ()


def _unwatched(hours: Fraction, gpu_time: Fraction) -> tuple[str, ...]:
    said = [
        f"{to_places(share * 100, 1)}% of the {what} unobserved, of at most 5%"
        for share, what in ((hours, "hours"), (gpu_time, "GPU time"))
        if share > MOST_UNOBSERVED
    ]
    return tuple(said)


def _backtest(rule: _Rule, days: Sequence[LoadDay]) -> Backtest | None:
    """None where nothing was seen before the last week, or in it."""
    held_out_from = days[-1].day - timedelta(days=HELD_OUT_DAYS - 1)
    before = [found for found in days if found.day < held_out_from]
    trained, week = _busiest_first(before), _busiest_first(days[len(before) :])
    if not trained or not week:
        return None
    needed = rule.size(trained).needed
    over, work, tokens = rule.above(week, needed)
    return Backtest(
        trained_days=len(before),
        replicas=needed,
        hours=len(week),
        overflow_hours=over,
        overflow_work=to_decimal(work),
        overflow_tokens=tokens,
        holds=over <= (1 - rule.quantile) * len(week),
    )


def _busiest_first(days: Sequence[LoadDay]) -> list[LoadHour]:
    """The hours that somebody watched."""
    seen = [hour for found in days for hour in found.hours if hour is not None]
    return sorted(seen, key=lambda hour: hour.work, reverse=True)


def _quiet_hour(days: Sequence[LoadDay]) -> int | None:
    """Of the hours of a day the one with the least work on average over the days on which it was watched."""
    work: dict[int, list[Fraction]] = {}
    for found in days:
        for hour, load in enumerate(found.hours):
            if load is not None:
                work.setdefault(hour, []).append(Fraction(load.work))
    means = {hour: sum(loads, Fraction(0)) / len(loads) for hour, loads in work.items()}
    return min(means, key=lambda hour: (means[hour], hour), default=None)


def _nothing_seen(refusals: tuple[str, ...], days: int, hours: int) -> ScaleDown:
    return ScaleDown(
        refusals=(*refusals, "no hour of it was observed"),
        days=days,
        observed_hours=0,
        unobserved_hours=hours,
        peak_work=None,
        peak_rank=None,
        needed=None,
        safe=None,
        economic=None,
        backtest=None,
        quiet_hour=None,
        explanation="What is needed is unknown.",
    )


def _said(
    size: _Size,
    safe: Kept,
    economic: Kept | None,
    backtest: Backtest | None,
    hours: int,
    quiet_hour: int | None,
    work_per_replica_second: Exact,
) -> str:
    at_most = "" if quiet_hour is None else "at most "
    have = safe.replicas + safe.released
    seconds = size.peak / positive(work_per_replica_second, "work_per_replica_second")
    said = [
        f"Hour {size.rank} of {hours} by work asks for {to_places(seconds, 1)} replica-seconds: "
        f"{at_most}{size.needed} replica{'' if size.needed == 1 else 's'} needed, {have} paid for.",
        f"With {safe.replicas}, {safe.overflow_hours} hours and {safe.overflow_tokens:,} tokens lay above them.",
    ]
    if economic is not None and economic.replicas < safe.replicas:
        said.append(
            f"With {economic.replicas} it would be {economic.overflow_hours} hours and {economic.overflow_tokens:,} "
            f"tokens, {money_text(Fraction(economic.overflow_cost or 0))} at the API for "
            f"{money_text(Fraction(economic.saved_cost or 0))} of rent."
        )
    if backtest is not None:
        said.append(
            f"A week before, from {backtest.trained_days} days, it would have kept {backtest.replicas}: "
            f"{backtest.overflow_hours} of the {backtest.hours} hours since lay above."
        )
    if quiet_hour is not None:
        said.append(
            "Nobody measured what a replica sustains, so its capacity is at least the best hour seen: drain one "
            f"replica at {quiet_hour:02d}:00 UTC, the quietest hour, and see whether the others carry it."
        )
    return " ".join(said)
