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
