"""Whether money is worth a person's attention: at least the larger of an amount and a share of what is spent anyway.

What is said is taken back only below half of that, so that what moves about the floor is not said again and again.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from pipeline.economics.exact import Exact, exact_fraction, not_negative


@dataclass(frozen=True, kw_only=True)
class Floor:
    """`absolute`: an amount a month, in the currency of what is asked. `share`: of what it is a part of, 0 to 1."""

    absolute: Exact = Decimal(0)
    share: Exact = Decimal(0)

    def __post_init__(self) -> None:
        not_negative(self.absolute, "absolute")
        if not_negative(self.share, "share") > 1:
            raise ValueError(f"share is {self.share}: pass a part of 1, like 0.05.")

    def amount(self, whole: Exact | None) -> Fraction:
        """What has to be reached. `whole`: what it is a part of; None, or a credit, leaves the amount alone."""
        part = Fraction(0) if whole is None else max(exact_fraction(whole, "whole"), Fraction(0)) * Fraction(self.share)
        return max(Fraction(self.absolute), part)

    def is_reached(self, money: Exact, *, whole: Exact | None) -> bool:
        """Worth a message."""
        return exact_fraction(money, "money") >= self.amount(whole)

    def is_left(self, money: Exact, *, whole: Exact | None) -> bool:
        """No longer worth the message that there was: less than half of it, or nothing at all."""
        exact = exact_fraction(money, "money")
        return exact <= 0 if self.amount(whole) == 0 else exact < self.amount(whole) / 2


NO_FLOOR = Floor()
