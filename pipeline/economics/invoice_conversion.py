"""An invoice in another currency: converted at its own rate, rounded once, and its parts share what that comes to.

Pure. Three parts of 10.02 at 0.864 are 25.97 together: rounded one by one they would be 25.98, which nobody paid.
"""

from collections.abc import Sequence
from fractions import Fraction

from pipeline.economics.accrual import rounded_once


def converted_once(parts: Sequence[Fraction], *, rate: Fraction, digits: int) -> list[int]:
    """Parts of one invoice in whole minor units (10^-digits) of the other currency, which sum to the rounded whole.

    `rate`: what one unit of the invoice's currency is in the other. Largest remainder, the earlier first. Raises
    ValueError for a rate that is not above zero: it would take the sign of what is owed.
    """
    if rate <= 0:
        raise ValueError(f"rate is {rate}: an amount has the same sign in every currency")
    return rounded_once([part * rate for part in parts], digits=digits)


# How far a rate that is written with four digits may be from the quotient of the two amounts that it is between.
_WRITTEN_SHORT = Fraction(1, 1000)
# Nearer than this to what is published a rate is some day's, whichever way round it is.
_SOME_DAYS = Fraction(1, 20)


def stated_rate(rate: Fraction, *, amount: Fraction, paid: Fraction, digits: int) -> Fraction | None:
    """What one unit of an invoice's currency is in the one it was paid in, as its issuer states the rate.

    An issuer may state it either way round; which way, the two amounts say: near 1 both are about right, and the nearer
    is meant. None where it is neither: a rate that is not theirs converts nothing. `digits`: minor units of what was
    paid.
    """
    if rate <= 0 or not amount or not paid:
        return None
    nearer = min(rate, 1 / rate, key=lambda one: abs(amount * one - paid))
    return nearer if _is_about(amount * nearer, paid, digits=digits) else None


def _is_about(converted: Fraction, paid: Fraction, *, digits: int) -> bool:
    return abs(converted - paid) <= abs(paid) * _WRITTEN_SHORT + Fraction(1, 10**digits)


def is_inverted(rate: Fraction, *, published: Fraction) -> bool:
    """Whether a rate is far from the published one and nearer to its reciprocal: it was read the other way round.

    Both are above zero; near and far as factors, so that either way round says the same.
    """
    off = _factor(rate, published)
    return off > 1 + _SOME_DAYS and _factor(rate, 1 / published) < off


def _factor(one: Fraction, other: Fraction) -> Fraction:
    """How many times the larger is the smaller."""
    return max(one / other, other / one)
