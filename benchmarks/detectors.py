"""How often each way to notice a crossing speaks for nothing, and how late it speaks: years simulated with known truth.

    python -m benchmarks.bench --only detectors --years 1000

Demand is a ratio of the break-even, times a weekday, times a noise that lasts: what speaks below 1.00 is a false alert,
what speaks above is as late as it is. The hysteresis and the meter are the product's own folds.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from itertools import accumulate
from random import Random
from statistics import median

from benchmarks.results import Figures
from pipeline.economics.alerts import DemandDay, alert_states
from pipeline.economics.regret import CostDay, RegretRule, regret_states

DAYS = 365
WEEK = 7
FIRST = date(2026, 1, 1)
QUIET_RATIOS = (0.85, 0.95, 1.00)
CROSSED_RATIOS = (1.15, 1.30)
# The week before a crossing.
BEFORE = 0.85
# Working days carry more than weekends (their mean is 1), and half of what a day is off by is off the next day too.
WEEKDAYS = (1.06, 1.06, 1.06, 1.06, 1.06, 0.85, 0.85)
NOISE = 0.22
LASTS = 0.5
# A migration costs what thirty days at the break-even do.
ONE_OFF_DAYS = 30
_PPM = 10**6


@dataclass(frozen=True)
class Year:
    """Daily demand over the break-even in millionths, and its trailing 7-day sums; the first looks back a week."""

    daily: Sequence[int]
    weekly_sums: Sequence[int]


def simulated(ratio: float, *, seed: int, days: int = DAYS, before: float | None = None) -> Year:
    """One year around `ratio`; the week before it around `before`, where that is another."""
    drawn, level = Random(seed), 0.0
    found: list[int] = []
    step = NOISE * math.sqrt(1 - LASTS**2)
    for day in range(-WEEK, days):
        level = LASTS * level + drawn.gauss(0.0, step)
        mean = ratio if day >= 0 or before is None else before
        found.append(round(mean * WEEKDAYS[day % WEEK] * math.exp(level - NOISE**2 / 2) * _PPM))
    running = [0, *accumulate(found)]
    sums = [running[day + 1] - running[day + 1 - WEEK] for day in range(WEEK, len(found))]
    return Year(daily=found[WEEK:], weekly_sums=sums)


def crossings(values: Sequence[int], edge: int) -> list[int]:
    """The days on which a series comes from below the edge to it or above."""
    return [day for day, value in enumerate(values) if value >= edge and (day == 0 or values[day - 1] < edge)]


def raw(year: Year) -> list[int]:
    return crossings(year.daily, _PPM)


def weekly_mean(year: Year) -> list[int]:
    return crossings(year.weekly_sums, WEEK * _PPM)


def hysteresis(year: Year) -> list[int]:
    """The product's default, on the 7-day mean."""
    days = alert_states(
        DemandDay(day=FIRST + timedelta(days=day), ratio=Fraction(total, WEEK * _PPM), is_settled=True)
        for day, total in enumerate(year.weekly_sums)
    )
    return [number for number, day in enumerate(days) if day.is_fired and day.state.side == "self_host"]


def regret_meter(year: Year) -> list[int]:
    """Alpha 1: the API costs what is asked for, own GPUs what the break-even's volume would."""
    days = regret_states(
        (
            CostDay(day=FIRST + timedelta(days=day), api_cost=ratio, self_host_cost=_PPM, is_settled=True)
            for day, ratio in enumerate(year.daily)
        ),
        rule=RegretRule(one_off=ONE_OFF_DAYS * _PPM),
    )
    return [number for number, day in enumerate(days) if day.is_fired and day.state.side == "self_host"]


DETECTORS: dict[str, Callable[[Year], list[int]]] = {
    "raw crossing": raw,
    "7-day mean": weekly_mean,
    "default hysteresis": hysteresis,
    "regret meter": regret_meter,
}


def table(years: int) -> dict[str, Figures]:
    """For each detector: false alerts a year at each ratio that has not crossed, median days until it speaks of one
    that has, the day of the step being the first. A year in which it says nothing is as late as a year."""
    figures: dict[str, dict[str, object]] = {name: {"years_a_cell": years} for name in DETECTORS}
    for ratio in QUIET_RATIOS:
        found = [simulated(ratio, seed=seed) for seed in range(years)]
        for name, detector in DETECTORS.items():
            alerts = sum(len(detector(year)) for year in found) / years
            figures[name][f"false_alerts_a_year_at_{ratio:.2f}"] = alerts
    for ratio in CROSSED_RATIOS:
        found = [simulated(ratio, seed=seed, before=BEFORE) for seed in range(years)]
        for name, detector in DETECTORS.items():
            fired = [detector(year) for year in found]
            delay = float(median(days[0] + 1 if days else DAYS for days in fired))
            figures[name][f"median_delay_days_at_{ratio:.2f}"] = delay
    return {f"detector_{name.replace(' ', '_').replace('-', '_')}": found for name, found in figures.items()}
