"""What a recommendation that was carried out has really saved: the tokens served since, at what a token cost before.

    realized = cost before / tokens before * tokens since - cost since

over whole settled days, carried to a month. It holds volume apart from price, and nothing else: a price that fell by
itself in the meantime is in it, and so is what another change to the same GPUs did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

from pipeline.economics.exact import Exact, exact_fraction, whole_count

# As many days as a verdict reads, before and after.
WINDOW_DAYS = 28
LEAST_DAYS = 7


@dataclass(frozen=True, kw_only=True)
class ServedDay:
    """One settled day of what a case is about. cost: None where a part of it is unknown."""

    day: date
    cost: Exact | None
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Score:
    """Money a month, in the days' currency. realized: None where `why` says why it is not known (yet)."""

    realized_per_month: Fraction | None
    days_count: int
    why: str | None = None


def realized_saving(days: Sequence[ServedDay], *, recommended_on: date, done_on: date, month_days: int = 30) -> Score:
    """The score of a case recommended from the data up to one day and done on another one.

    Before: the 28 days to `recommended_on`. Since: up to 28 days after `done_on`, which itself is neither. Of
    each at least 7 have to be known. Raises ValueError for negative tokens.
    """
    before = [one for one in days if recommended_on - timedelta(days=WINDOW_DAYS) < one.day <= recommended_on]
    since = [one for one in days if done_on < one.day <= done_on + timedelta(days=WINDOW_DAYS)]
    for name, of_time in (("before it was recommended", before), ("since it was done", since)):
        known = len(of_time)
        if known < LEAST_DAYS:
            return Score(
                realized_per_month=None, days_count=len(since), why=f"{known} of {LEAST_DAYS} days are settled {name}"
            )
        if any(one.cost is None for one in of_time):
            return Score(realized_per_month=None, days_count=len(since), why=f"a cost {name} is unknown")
    tokens_before = sum(whole_count(one.tokens, "tokens") for one in before)
    if tokens_before == 0:
        return Score(realized_per_month=None, days_count=len(since), why="nothing was served before it was recommended")
    tokens_since = sum(whole_count(one.tokens, "tokens") for one in since)
    price = _total(before) / tokens_before
    saved = price * tokens_since - _total(since)
    return Score(realized_per_month=saved * month_days / len(since), days_count=len(since))


def _total(days: Sequence[ServedDay]) -> Fraction:
    return sum((exact_fraction(one.cost, "cost") for one in days if one.cost is not None), Fraction(0))
