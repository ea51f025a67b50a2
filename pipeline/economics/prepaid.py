"""A prepaid account, day by day: what it held, what came in, what was used of it, and for how long the rest lasts.

    opening + purchases + grants - usage - expiries - refunds + unexplained = closing

holds of every day of which opening, usage and closing are known, and a day opens with what the one before closed with.
What the provider shows at the end of a day is the closing balance, and what it is apart from the sum is unexplained on
that day: named, and carried no further. A day whose usage nobody knows has no sum: the balance is unknown from there
until one is stated again. A receipt says what was paid for a purchase, with tax and fees: it is no part of the balance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

HISTORY_DAYS = 28
LEAST_DAYS = 7


@dataclass(frozen=True, kw_only=True)
class Movements:
    """What moved on one day, in the account's currency; each but `stated` at least 0, but that a correction may make
    usage less. `usage`: what was billed, None where the day is not settled. `stated`: the balance at the day's end;
    `is_disputed`: it is stated in two ways, so that nobody knows it, whatever the sum says.
    """

    purchases: Fraction = Fraction(0)
    grants: Fraction = Fraction(0)
    expiries: Fraction = Fraction(0)
    refunds: Fraction = Fraction(0)
    usage: Fraction | None = None
    stated: Fraction | None = None
    is_disputed: bool = False


@dataclass(frozen=True, kw_only=True)
class Balance:
    """An account on one day. `known_from`: the first day from which on every closing balance is known, to this one.

    `daily_usage`: the mean of the days known among the last 28, where there are 7. `runway_days`: whole days after this
    one for which that much can be used; None where the balance or the mean is unknown, or nothing is used.
    """

    day: date
    opening: Fraction | None
    movements: Movements
    unexplained: Fraction | None
    closing: Fraction | None
    known_from: date | None
    daily_usage: Fraction | None
    runway_days: int | None


def balances(days: Sequence[tuple[date, Movements]]) -> list[Balance]:
    """The account on each of these days, which follow each other without a gap. Before the first nothing is known."""
    found: list[Balance] = []
    opening: Fraction | None = None
    known_from: date | None = None
    for number, (day, moved) in enumerate(days):
        expected = _expected(opening, moved)
        closing = None if moved.is_disputed else expected if moved.stated is None else moved.stated
        known_from = None if closing is None else known_from or day
        recent = [moved for _, moved in days[max(number - HISTORY_DAYS + 1, 0) : number + 1]]
        daily = mean_usage(recent)
        found.append(
            Balance(
                day=day,
                opening=opening,
                movements=moved,
                unexplained=None if expected is None or closing is None else closing - expected,
                closing=closing,
                known_from=known_from,
                daily_usage=daily,
                runway_days=runway(closing, daily),
            )
        )
        opening = closing
    return found


def _expected(opening: Fraction | None, moved: Movements) -> Fraction | None:
    if opening is None or moved.usage is None:
        return None
    return opening + moved.purchases + moved.grants - moved.usage - moved.expiries - moved.refunds


def mean_usage(days: Sequence[Movements]) -> Fraction | None:
    """Usage a day over the days on which it is known; None where these are fewer than 7."""
    known = [moved.usage for moved in days if moved.usage is not None]
    return sum(known, Fraction(0)) / len(known) if len(known) >= LEAST_DAYS else None


def runway(balance: Fraction | None, daily_usage: Fraction | None) -> int | None:
    """Whole days that a balance lasts; 0 where it is used up. None where nobody knows, or nothing is used."""
    if balance is None or daily_usage is None or daily_usage <= 0:
        return None
    return max(int(balance // daily_usage), 0)
