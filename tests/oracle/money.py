"""Exact money: whole quanta of 10^-18, and the one way to split them."""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact
from fractions import Fraction
from typing import Any

QUANTA = 10**18
_EXACT = Context(prec=100, traps=[Inexact])


def quanta(text: str) -> int:
    """A decimal text as whole quanta; Inexact where it is finer than a quantum."""
    return int(_EXACT.quantize(_EXACT.scaleb(Decimal(text), 18), Decimal(1)))


def nearest_quanta(text: str) -> int:
    """A vendor's binary float as whole quanta: what is finer is no money."""
    return int(Decimal(text).scaleb(18).to_integral_value(rounding=ROUND_HALF_EVEN))


def money(amount: int) -> Fraction:
    """Quanta as an exact amount."""
    return Fraction(amount, QUANTA)


def split(total: int, weights: Mapping[Any, int]) -> dict[Any, int]:
    """Whole units of `total` by weight: the floor of each share, then one more to the largest remainders.

    Equal remainders: the first in the order of `weights`. A negative total is split as its opposite.
    """
    whole = sum(weights.values())
    if whole <= 0:
        raise ValueError(f"nothing to split {total} by: the weights sum to {whole}")
    size = abs(total)
    shares = {name: size * weight // whole for name, weight in weights.items()}
    by_remainder = sorted(weights, key=lambda name: -(size * weights[name] % whole))
    for name in by_remainder[: size - sum(shares.values())]:
        shares[name] += 1
    return shares if total >= 0 else {name: -share for name, share in shares.items()}
