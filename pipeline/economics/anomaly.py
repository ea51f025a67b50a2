"""Whether a day's amount is unlike the days it is to be compared with: those of its own weekday, robustly.

    expected = median of the same weekday in the eight weeks before
    usual    = expected x max(5 x 1.4826 x median(|amount - expected of its weekday| / expected of its weekday), 20%)

over the days known of those weeks; a day is unusual when it is further than `usual` from what was expected. 1.4826
makes a median deviation of normal noise a standard deviation. Medians hold while fewer than half of their days are odd,
so that a holiday, or an anomaly that goes on for some weeks, moves neither; what goes on for longer is what is expected
then. Everything is a ratio of amounts: in another currency the same days are unusual. What is worth a person's
attention is a floor in money, which is the reader's (`pipeline.economics.worth_saying`).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

HISTORY_WEEKS = 8
HISTORY_DAYS = 7 * HISTORY_WEEKS
# Of fewer days, or of fewer of the same weekday, there is nothing to compare with.
LEAST_DAYS = 28
LEAST_OF_A_WEEKDAY = 3
LEAST_SHARE = Fraction(1, 5)
SPREADS = 5
_NORMAL = Fraction(14826, 10_000)
_PARTS = 10**6


@dataclass(frozen=True, kw_only=True)
class Unusual:
    """An amount further from `expected` than `usual`, all in the amounts' own unit; `days_count`: of its history."""

    amount: int
    expected: Fraction
    usual: Fraction
    days_count: int

    @property
    def above(self) -> Fraction:
        """By how much it is more than expected; below zero where it is less."""
        return self.amount - self.expected


def unusual(day: date, amounts: Mapping[date, int]) -> Unusual | None:
    """The day beside the eight weeks before it; None where it is not unusual, or too little is known.

    amounts: whole amounts of every day that is known, the day's own too. A day that is not among them is not known:
    who knows that nothing was spent says 0.
    """
    amount = amounts.get(day)
    if amount is None:
        return None
    same = [
        amounts[one]
        for one in (day - timedelta(days=7 * back) for back in range(1, HISTORY_WEEKS + 1))
        if one in amounts
    ]
    if len(same) < LEAST_OF_A_WEEKDAY:
        return None
    expected = median_twice(same)
    # Most days end here, before anything else of their weeks is read.
    if abs(2 * amount - expected) <= abs(expected) * LEAST_SHARE:
        return None
    history = {
        one: amounts[one]
        for one in (day - timedelta(days=back) for back in range(1, HISTORY_DAYS + 1))
        if one in amounts
    }
    if len(history) < LEAST_DAYS:
        return None
    usual = Fraction(abs(expected), 2) * max(LEAST_SHARE, SPREADS * _NORMAL * _spread(history))
    found = Unusual(amount=amount, expected=Fraction(expected, 2), usual=usual, days_count=len(history))
    return found if abs(found.above) > usual else None


def _spread(history: Mapping[date, int]) -> Fraction:
    """The median of how far days are from their weekday's own median, as a part of that, in millionths."""
    by_weekday: dict[int, list[int]] = defaultdict(list)
    for day, amount in history.items():
        by_weekday[day.weekday()].append(amount)
    distances = [
        abs(2 * amount - middle) * _PARTS // abs(middle)
        for of_weekday in by_weekday.values()
        if (middle := median_twice(of_weekday)) != 0
        for amount in of_weekday
    ]
    return Fraction(median_twice(distances), 2 * _PARTS) if distances else Fraction(0)


def median_twice(values: Sequence[int]) -> int:
    """Twice the median, which is whole. Raises IndexError where there is no value."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return 2 * ordered[half] if len(ordered) % 2 else ordered[half - 1] + ordered[half]
