"""Whether a month's budget holds: what its settled days cost, and what its other days are taken to cost.

A day of the month that is not settled (to come, under way, provisional, missing) is taken to cost the mean of the same
weekday over the settled days among the 28 that end with the newest settled one. What is provisional is no part of it,
and stands beside it. Nothing is smoothed and no trend is drawn: four weeks are what a week's shape needs, and the rule
can be repeated by hand. Amounts are exact; what has none leaves the forecast unknown.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Literal

HISTORY_DAYS = 28
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Status = Literal["within", "at_risk", "over", "unknown"]


@dataclass(frozen=True, kw_only=True)
class DaySpend:
    """What one day cost, in whole quanta of one currency.

    known: the sum of the charges that have an amount. unknown_count: charges that have none, of which
    unknown_credit_count would lower the sum.
    """

    known: int = 0
    unknown_count: int = 0
    unknown_credit_count: int = 0

    def __add__(self, other: "DaySpend") -> "DaySpend":
        return DaySpend(
            known=self.known + other.known,
            unknown_count=self.unknown_count + other.unknown_count,
            unknown_credit_count=self.unknown_credit_count + other.unknown_credit_count,
        )


NOTHING = DaySpend()


@dataclass(frozen=True, kw_only=True)
class MonthSpend:
    """A month so far and to its end, in quanta.

    settled, unsettled: what its settled days, and all others, cost. forecast: the whole month; None where `why` says
    why. history: the settled days that the means of weekdays are over, oldest first; none where no day was estimated.
    """

    days_count: int
    settled_days_count: int
    settled: DaySpend
    unsettled: DaySpend
    forecast: Fraction | None
    history: tuple[date, ...] = ()
    why: str | None = None


def days_of_month(first_day: date) -> list[date]:
    """Every day of the month that begins on `first_day`."""
    following = (first_day + timedelta(days=31)).replace(day=1)
    return [first_day + timedelta(days=offset) for offset in range((following - first_day).days)]


def month_spend(*, first_day: date, spend: Mapping[date, DaySpend], settled: Collection[date]) -> MonthSpend:
    """The month that begins on `first_day`, from what each day cost. A settled day without an entry cost nothing.

    `settled` and `spend` hold the days before the month too, as far as the means of weekdays reach back; days after it
    are not looked at.
    """
    days = days_of_month(first_day)
    others = [day for day in days if day not in settled]
    of_settled = _total([spend.get(day, NOTHING) for day in days if day in settled])
    forecast, history, why = _forecast(of_settled, others, days[-1], spend, settled)
    return MonthSpend(
        days_count=len(days),
        settled_days_count=len(days) - len(others),
        settled=of_settled,
        unsettled=_total([spend.get(day, NOTHING) for day in others]),
        forecast=forecast,
        history=history,
        why=why,
    )


def budget_status(*, budget: Fraction | None, month: MonthSpend) -> Status:
    """`over`: settled days alone cost more, whatever else is unknown, unless that could be a credit. `at_risk`: the
    forecast is more. `budget` is in quanta; None is one whose currency has no rate.
    """
    if budget is None:
        return "unknown"
    if month.settled.known > budget and not month.settled.unknown_credit_count:
        return "over"
    if month.forecast is None:
        return "unknown"
    return "within" if month.forecast <= budget else "at_risk"


def _total(days: Sequence[DaySpend]) -> DaySpend:
    return sum(days, start=NOTHING)


def _forecast(
    of_settled: DaySpend,
    others: Sequence[date],
    last_day: date,
    spend: Mapping[date, DaySpend],
    settled: Collection[date],
) -> tuple[Fraction | None, tuple[date, ...], str | None]:
    if of_settled.unknown_count:
        return (
            None,
            (),
            f"{_charges(of_settled.unknown_count)} of settled days {_have(of_settled.unknown_count)} no amount",
        )
    if not others:
        return Fraction(of_settled.known), (), None
    newest = max((day for day in settled if day <= last_day), default=None)
    if newest is None:
        return None, (), "no day is settled to go on from"
    back = (newest - timedelta(days=offset) for offset in reversed(range(HISTORY_DAYS)))
    history = tuple(day for day in back if day in settled)
    unknown = _total([spend.get(day, NOTHING) for day in history]).unknown_count
    if unknown:
        return None, (), f"{_charges(unknown)} of the {HISTORY_DAYS} days to {newest} {_have(unknown)} no amount"
    total = Fraction(of_settled.known)
    for weekday in sorted({day.weekday() for day in others}):
        same = [spend.get(day, NOTHING).known for day in history if day.weekday() == weekday]
        if not same:
            return None, (), f"no {_WEEKDAYS[weekday]} of the {HISTORY_DAYS} days to {newest} is settled"
        total += Fraction(sum(same) * sum(day.weekday() == weekday for day in others), len(same))
    return total, history, None


def _charges(count: int) -> str:
    return f"{count} charge{'' if count == 1 else 's'}"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
