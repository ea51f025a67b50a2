"""Exact numbers at the border of the economics: Decimal, int or Fraction in, Fraction inside, Decimal out."""

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction

Exact = Decimal | int | Fraction

# 60 significant digits: 22 more than DECIMAL(38,18) holds, so storing a result is the only rounding that shows.
_RESULT_CONTEXT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_BITS = 64


def exact_fraction(value: Exact, name: str) -> Fraction:
    """The number as a Fraction, without loss.

    Raises ValueError for a float (it is not the number that was written), a bool, NaN and infinity.
    """
    if isinstance(value, bool) or not isinstance(value, Decimal | int | Fraction):
        raise ValueError(
            f"{name} is {value!r}, a {type(value).__name__}: pass a Decimal, an int or a Fraction, which are exact."
        )
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError(f"{name} is {value}: pass a finite number, or leave the case out when it is unknown.")
    return Fraction(value)


def not_negative(value: Exact, name: str) -> Fraction:
    """The number as a Fraction; ValueError when it is below zero."""
    fraction = exact_fraction(value, name)
    if fraction < 0:
        raise ValueError(f"{name} is {value}, below zero: pass zero or more.")
    return fraction


def not_negative_ratio(value: Exact, name: str) -> tuple[int, int]:
    """The number as (numerator, denominator); ValueError when it is below zero. Of a whole number this is fast."""
    if type(value) is int and value >= 0:
        return value, 1
    return not_negative(value, name).as_integer_ratio()


def positive(value: Exact, name: str) -> Fraction:
    """The number as a Fraction; ValueError when it is zero or below."""
    fraction = exact_fraction(value, name)
    if fraction <= 0:
        raise ValueError(f"{name} is {value}, not above zero: pass a number above zero.")
    return fraction


def exact_sum(terms: Iterable[tuple[int, int]]) -> Fraction:
    """The sum of quotients (numerator, denominator): those of one denominator as whole numbers, which is far faster."""
    by_denominator: Counter[int] = Counter()
    for numerator, denominator in terms:
        by_denominator[denominator] += numerator
    return sum((Fraction(numerator, denominator) for denominator, numerator in by_denominator.items()), Fraction(0))


def rounded_sum(terms: Sequence[tuple[int, int]]) -> int:
    """The sum of quotients (numerator, denominator), rounded half to even.

    As `round(exact_sum(terms))`, whose denominators multiply where no two are alike: each quotient is rounded down at
    64 binary digits, and only where that leaves two answers is the sum worked out.
    """
    least = sum((numerator << _BITS) // denominator for numerator, denominator in terms)
    said = {round(Fraction(least + error, 1 << _BITS)) for error in (0, len(terms))}
    return said.pop() if len(said) == 1 else round(exact_sum(terms))


def whole_count(value: int, name: str) -> int:
    """The count itself; ValueError when it is not a whole number of zero or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} is {value!r}: pass a whole number of zero or more.")
    return value


def to_decimal(value: Fraction) -> Decimal:
    """The Fraction as a Decimal: exact when 60 digits can say it, else rounded half to even there."""
    return quotient(value.numerator, value.denominator)


def quotient(numerator: int, denominator: int) -> Decimal:
    """`to_decimal` of a quotient that need not be in its lowest terms."""
    return _RESULT_CONTEXT.divide(Decimal(numerator), Decimal(denominator))


def to_places(value: Fraction, places: int) -> Decimal:
    """The Fraction rounded once, half to even, to so many decimal places."""
    # round() of a Fraction is half to even and exact, so there is no double rounding on the way to Decimal.
    digits = Decimal(round(value * 10**places))
    return digits.scaleb(-places, Context(prec=max(60, len(digits.as_tuple().digits))))


def money_text(amount: Fraction) -> str:
    """Money for a sentence, two places and no currency: 1,500.00."""
    return f"{to_places(amount, 2):,.2f}"
