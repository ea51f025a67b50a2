"""The shape of every explanation, whatever it is about."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

Value = Decimal | Fraction | int


@dataclass(frozen=True)
class Rows:
    """A small table. `columns` name their units; values are as exact as they are held."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    @classmethod
    def of(cls, title: str, records: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> "Rows":
        """From records that all have the same fields; columns in which no record says anything are left out."""
        names = tuple(columns if columns is not None else (records[0] if records else ()))
        if columns is None:
            names = tuple(name for name in names if any(record[name] is not None for record in records))
        return cls(title, names, tuple(tuple(record[name] for name in names) for record in records))


@dataclass(frozen=True)
class Equality:
    """Two ways to the same number. They are compared exactly; a tolerance is stated in the claim where there is one."""

    claim: str
    left: Value
    right: Value

    @property
    def holds(self) -> bool:
        return self.left == self.right


@dataclass(frozen=True)
class Explanation:
    """One figure, explained. Everything a reader needs to recompute it, and where to look outside of breakeven."""

    title: str
    snapshot_id: str
    formula: tuple[str, ...]
    figures: tuple[Rows, ...]
    inputs: tuple[Rows, ...]
    objects: tuple[Rows, ...]
    equalities: tuple[Equality, ...]
    outside_check: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every equality does."""
        return all(equality.holds for equality in self.equalities)


def exact_text(value: object) -> str:
    """A number with all its digits and no exponent; a fraction that does not end in 30 digits is rounded there."""
    if isinstance(value, Fraction):
        if value.denominator == 1:
            return str(value.numerator)
        scaled = round(value * 10**30)
        value = Decimal((1 if scaled < 0 else 0, tuple(map(int, str(abs(scaled)))), -30))
    if isinstance(value, Decimal):
        text = format(value, "f")
        whole, point, digits = text.partition(".")
        digits = digits.rstrip("0")
        return f"{whole}.{digits.ljust(2, '0')}" if point else whole
    return str(value)


def inert(text: str) -> str:
    """Text from data cannot steer a terminal: control and direction characters are spelled out."""
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in ("Cc", "Cf") else character
        for character in text
    )


def dollars(value: Decimal | Fraction, currency: str) -> str:
    """Money as a console prints it: two places, half up."""
    cents = int(abs(Fraction(value)) * 100 + Fraction(1, 2))
    sign = "-" if value < 0 else ""
    return f"{sign}{cents // 100:,}.{cents % 100:02d} {currency}"


def total(values: Sequence[Decimal | None]) -> Decimal | None:
    """Their exact sum; None when one of them is unknown, or when there is none."""
    if not values or any(value is None for value in values):
        return None
    return from_quanta(sum(quanta(value) for value in values if value is not None))


_PLACES = 18


def quanta(value: Decimal) -> int:
    """Money as whole units of 10^-18. ValueError when it has more digits than that."""
    scaled = Fraction(value) * 10**_PLACES
    if scaled.denominator != 1:
        raise ValueError(f"{value} has more than {_PLACES} digits after the point.")
    return int(scaled)


def from_quanta(count: int) -> Decimal:
    """The money that so many units of 10^-18 are."""
    return Decimal((1 if count < 0 else 0, tuple(map(int, str(abs(count)))), -_PLACES))
