"""Where demand goes: its level, half of its trend, and how wrong that rule has been on the same series before.

Level: the mean of the last 28 days. Trend: half the Theil-Sen slope of the logs of the last 12 or more weekly sums;
below 12 weeks, or with a week of nothing, the level alone. Half, because a trend seen is a trend half gone (Gardner and
McKenzie, Management Science 31 (1985), on damping). The interval comes from the series' own errors: the rule is applied
at each earlier week, knowing that week's past alone, and its misses are what the path may miss by. Source:
economics.md 9.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pipeline.economics.breakeven_interval import nearest_rank_of

LEVEL_DAYS = 28
WEEK_DAYS = 7
FEWEST_TREND_WEEKS = 12
MOST_TREND_WEEKS = 26
DAMPING = 0.5
HORIZON_DAYS = 180
WATCH_DAYS = 30
# economics.md 10: a quiet line from here on; a case only when the state has changed.
LEAST_WATCH_PROBABILITY = 0.5
# The misses of fewer origins say nothing of 5 and 95%.
FEWEST_ORIGINS = 8
MOST_ORIGINS = 52
# A miss grows with how far ahead it is; it is measured over four weeks ahead, and weekly sums tell nothing finer.
ERROR_WEEKS = 4
QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A path of daily demand and its spread.

    level: tokens a day, mean of the last 28 days. growth_per_day: the damped slope of its log; 0 without a trend.
    trend_weeks: the weekly sums that the slope rests on; 0 for the level alone. errors: log(actual / said) over the
    four weeks after each earlier origin, ascending; fewer than 8 are no interval. first_day: the day after the last one
    known.
    """

    level: float
    growth_per_day: float
    trend_weeks: int
    errors: tuple[float, ...]
    first_day: date

    @property
    def has_interval(self) -> bool:
        return len(self.errors) >= FEWEST_ORIGINS

    def at(self, days_ahead: int, error: float) -> float:
        """Demand on a day of the path that misses by `error` over four weeks, and further out with the root of time."""
        stretched = error * math.sqrt(max(1.0, days_ahead / (ERROR_WEEKS * WEEK_DAYS)))
        return self.level * math.exp(self.growth_per_day * days_ahead + stretched)


@dataclass(frozen=True, kw_only=True)
class CrossingForecast:
    """When demand crosses a volume. None: not within 180 days, or, of the low and the high path, no interval.

    low_on, middle_on, high_on: the first days on which the 5, 50 and 95% paths are across. probability_soon: the share
    of paths, each missing by one of the series' own errors, that are across within 30 days; None without an interval.
    """

    low_on: date | None
    middle_on: date | None
    high_on: date | None
    probability_soon: float | None


def forecast(days: Sequence[int | None], *, last_day: date) -> Forecast | None:
    """The forecast after `last_day`, from one figure a day that ends on it; None is a day that is not known.

    A week counts only when all of its days are known; the level needs one known day of the last 28. None where that
    lacks, or where nothing was asked for: there is no level to go on from.
    """
    level = _level(days)
    if not level:
        return None
    weeks = _weekly_sums(days)
    slope, trend_weeks = _damped_slope_per_week(weeks)
    return Forecast(
        level=level,
        growth_per_day=slope / WEEK_DAYS,
        trend_weeks=trend_weeks,
        errors=tuple(sorted(_rolling_errors(weeks))),
        first_day=last_day + timedelta(days=1),
    )


def crossing(
    found: Forecast, volume: float, *, upwards: bool = True, horizon_days: int = HORIZON_DAYS
) -> CrossingForecast:
    """The first days on which the 5, 50 and 95% paths reach `volume`: at or above it, or else at or below it.

    A `volume` that is never (infinite) is reached by no path. Without an interval the path is the level and its trend.
    """

    def on(error: float) -> date | None:
        ahead = _first_day_at(found, volume, error, upwards, horizon_days)
        return None if ahead is None else found.first_day + timedelta(days=ahead - 1)

    if not found.has_interval:
        return CrossingForecast(low_on=None, middle_on=on(0.0), high_on=None, probability_soon=None)
    low, middle, high = (on(nearest_rank_of(found.errors, share)) for share in QUANTILES)
    soon = sum(_first_day_at(found, volume, error, upwards, WATCH_DAYS) is not None for error in found.errors)
    return CrossingForecast(low_on=low, middle_on=middle, high_on=high, probability_soon=soon / len(found.errors))


def is_watched(found: Forecast, told: CrossingForecast) -> bool:
    """The watch stage: as likely as not across within 30 days; without an interval, by the path itself."""
    if told.probability_soon is not None:
        return told.probability_soon >= LEAST_WATCH_PROBABILITY
    last = found.first_day + timedelta(days=WATCH_DAYS - 1)
    return told.middle_on is not None and told.middle_on <= last


def volume_quantiles(found: Forecast, *, days_ahead: int) -> tuple[float, float, float] | None:
    """5, 50 and 95% of demand on one day ahead; None without an interval."""
    if not found.has_interval:
        return None
    low, middle, high = (found.at(days_ahead, nearest_rank_of(found.errors, share)) for share in QUANTILES)
    return low, middle, high


def theil_sen(values: Sequence[float]) -> float:
    """The median of the slopes of all pairs of points, per step. Source: Sen, JASA 63 (1968).

    The mean of the two middle slopes where their count is even: a median, not a rank. Raises ValueError below two
    points.
    """
    slopes = sorted(
        (values[after] - values[before]) / (after - before)
        for before in range(len(values))
        for after in range(before + 1, len(values))
    )
    if not slopes:
        raise ValueError(f"There are {len(values)} points: pass at least two to take a slope of.")
    half = len(slopes) // 2
    return slopes[half] if len(slopes) % 2 else (slopes[half - 1] + slopes[half]) / 2


def _level(days: Sequence[int | None]) -> float | None:
    known = [count for count in days[-LEVEL_DAYS:] if count is not None]
    return sum(known) / len(known) if known else None


def _weekly_sums(days: Sequence[int | None]) -> list[int | None]:
    """Whole weeks counted back from the last day, oldest first; None where a day of one is not known."""
    first = len(days) % WEEK_DAYS
    weeks = []
    for start in range(first, len(days), WEEK_DAYS):
        known = [count for count in days[start : start + WEEK_DAYS] if count is not None]
        weeks.append(sum(known) if len(known) == WEEK_DAYS else None)
    return weeks


def _damped_slope_per_week(weeks: Sequence[int | None]) -> tuple[float, int]:
    """Of the weeks in a row up to the newest, at most half a year: (half the slope of their logs, how many)."""
    logs: list[float] = []
    for total in reversed(weeks[-MOST_TREND_WEEKS:]):
        if not total:
            break
        logs.append(math.log(total))
    if len(logs) < FEWEST_TREND_WEEKS:
        return 0.0, 0
    return DAMPING * theil_sen(logs[::-1]), len(logs)


def _rolling_errors(weeks: Sequence[int | None]) -> list[float]:
    """log(actual / said) of the four weeks after each origin that has four known weeks before and after it."""
    errors = []
    for origin in range(ERROR_WEEKS, len(weeks) - ERROR_WEEKS + 1):
        before, after = weeks[origin - ERROR_WEEKS : origin], weeks[origin : origin + ERROR_WEEKS]
        level, actual = _sum_of_known(before), _sum_of_known(after)
        if not level or not actual:
            continue
        slope, _ = _damped_slope_per_week(weeks[:origin])
        said = level / ERROR_WEEKS * math.fsum(math.exp(slope * ahead) for ahead in range(1, ERROR_WEEKS + 1))
        errors.append(math.log(actual / said))
    return errors[-MOST_ORIGINS:]


def _sum_of_known(weeks: Sequence[int | None]) -> int | None:
    known = [total for total in weeks if total is not None]
    return sum(known) if len(known) == len(weeks) else None


def _first_day_at(found: Forecast, volume: float, error: float, upwards: bool, horizon_days: int) -> int | None:
    """Paths are not monotonic where trend and spread pull apart, so each day is asked."""
    for ahead in range(1, horizon_days + 1):
        demand = found.at(ahead, error)
        if demand >= volume if upwards else demand <= volume:
            return ahead
    return None
