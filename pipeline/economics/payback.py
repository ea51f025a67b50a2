"""Payback: when what is saved month by month has returned what was spent once. Source: economics.md 3."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import islice

from pipeline.economics.exact import Exact, exact_fraction, money_text, not_negative, to_decimal, to_places, whole_count


@dataclass(frozen=True, kw_only=True)
class OneOff:
    """An amount that is spent once. `is_in_self_host_cost`: hardware whose price the monthly cost amortises already."""

    item: str
    amount: Exact
    is_in_self_host_cost: bool = False


@dataclass(frozen=True, kw_only=True)
class PaybackMonth:
    """One month, counted from 1. `present_saving`: discounted; `cumulative` is the sum of these up to it."""

    month: int
    saving: Decimal
    present_saving: Decimal
    cumulative: Decimal


@dataclass(frozen=True, kw_only=True)
class Payback:
    """When the cumulative saving reaches the one-off.

    months: whole months and the share of the last one; 0 where nothing is spent once; None when it never does within
        the months given, and `explanation` says how far it came.
    one_off: what counts. left_out: items whose price the monthly cost has in it, which would count twice.
    path: each month up to the one that pays it back, or all of them.
    """

    months: Decimal | None
    one_off: Decimal
    left_out: tuple[str, ...]
    path: tuple[PaybackMonth, ...]
    explanation: str


def payback(
    *, monthly_savings: Iterable[Exact], one_offs: Sequence[OneOff], monthly_discount_rate: Exact = 0
) -> Payback:
    """The first month in which the cumulative saving reaches the one-off, linear inside that month.

    `monthly_savings` are those of month 1, 2, ... as far as anybody is willing to look, in the money of the one-offs; a
    month may lose. The saving of month k is discounted by (1 + rate)^k. Raises ValueError for a negative one-off, a
    rate of -1 or below, or no month at all. Source: economics.md 3.
    """
    rate = exact_fraction(monthly_discount_rate, "monthly_discount_rate")
    if rate <= -1:
        raise ValueError(f"monthly_discount_rate is {monthly_discount_rate}: pass a rate above -1, such as 0.01.")
    counted = [found for found in one_offs if not found.is_in_self_host_cost]
    one_off = sum((not_negative(found.amount, f"one-off {found.item}") for found in counted), Fraction(0))
    left_out = tuple(found.item for found in one_offs if found.is_in_self_host_cost)
    path: list[PaybackMonth] = []
    months = Fraction(0) if one_off == 0 else None
    cumulative = best = Fraction(0)
    for month, amount in enumerate(monthly_savings, start=1):
        saving = exact_fraction(amount, f"saving of month {month}")
        if months is not None:
            break
        present = saving / (1 + rate) ** month
        before, cumulative = cumulative, cumulative + present
        best = max(best, cumulative)
        path.append(
            PaybackMonth(
                month=month,
                saving=to_decimal(saving),
                present_saving=to_decimal(present),
                cumulative=to_decimal(cumulative),
            )
        )
        if cumulative >= one_off:
            months = month - 1 + (one_off - before) / present
            break
    if months is None and not path:
        raise ValueError("There is no month of savings: pass those of at least one.")
    return Payback(
        months=None if months is None else to_decimal(months),
        one_off=to_decimal(one_off),
        left_out=left_out,
        path=tuple(path),
        explanation=_said(months, one_off, best, len(path), left_out),
    )


def savings_with_falling_prices(
    *, api_cost: Exact, self_host_cost: Exact, monthly_price_fall: Exact, months: int
) -> list[Decimal]:
    """What each month saves where the API's price falls by a constant share a month and self-hosting costs the same.

    Month k saves `api_cost (1 - fall)^(k - 1) - self_host_cost`: the first month has today's price.
    `monthly_price_fall` is in [0, 1); a yearly fall g is `1 - (1 - g)^(1/12)` a month, rounded by whoever states it.
    Raises ValueError outside these ranges. Source: economics.md 3, "the saving series may fall with API prices".
    """
    fall = not_negative(monthly_price_fall, "monthly_price_fall")
    if fall >= 1:
        raise ValueError(f"monthly_price_fall is {monthly_price_fall}: pass a share below 1, such as 0.03.")
    api, own = not_negative(api_cost, "api_cost"), not_negative(self_host_cost, "self_host_cost")
    return [to_decimal(price - own) for price in islice(_falling(api, fall), whole_count(months, "months"))]


def _falling(price: Fraction, fall: Fraction) -> Iterator[Fraction]:
    while True:
        yield price
        price *= 1 - fall


def _said(months: Fraction | None, one_off: Fraction, best: Fraction, looked_at: int, left_out: Sequence[str]) -> str:
    aside = f" Without {', '.join(left_out)}: its price is in the monthly cost." if left_out else ""
    if one_off == 0:
        return f"Nothing is spent once, so there is nothing to pay back.{aside}"
    if months is None:
        return (
            f"Never within {looked_at} months: the cumulative saving comes to {money_text(best)} at most, of "
            f"{money_text(one_off)} spent once.{aside}"
        )
    return f"{money_text(one_off)} spent once is paid back after {to_places(months, 1)} months.{aside}"
