"""Two routes to one table: every row of either must be the other's, and every column said twice must agree."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

Row = Mapping[str, Any]
_RELATIVE = Fraction(1, 10**12)


def differences(
    *,
    published: Iterable[Row],
    expected: Mapping[tuple[Any, ...], Row],
    grain: tuple[str, ...],
    is_derived: bool = False,
    shown: int = 8,
) -> list[str]:
    """The first differences in words; none when the tables say the same.

    `expected` is keyed by grain. Decimals, integers, dates and texts must be equal; a float agrees to 1e-12 of an
    exact number, and so does a decimal where `is_derived`: a price or a plan is a quotient, rounded to what its column
    holds, not money on a ledger. A published column that `expected` does not state is not compared.
    """
    rows: dict[tuple[Any, ...], Row] = {}
    found: list[str] = []
    for row in published:
        key = tuple(_plain(row[name]) for name in grain)
        if key in rows:
            found.append(f"published twice: {_shown(key)}")
        rows[key] = row
    found += [f"published, not expected: {_shown(key)}" for key in _ordered(rows.keys() - expected.keys())]
    found += [f"expected, not published: {_shown(key)}" for key in _ordered(expected.keys() - rows.keys())]
    for key in _ordered(rows.keys() & expected.keys()):
        for name, value in expected[key].items():
            if name not in rows[key]:
                found.append(f"no column {name}")
            elif not agrees(rows[key][name], value, is_derived=is_derived):
                said = f"published {_text(rows[key][name])}, expected {_text(value)}"
                found.append(f"{_shown(key)} {name}: {said}")
    more = [f"... and {len(found) - shown} more"] if len(found) > shown else []
    return found[:shown] + more


def agrees(published: Any, expected: Any, *, is_derived: bool = False) -> bool:
    """Whether a published value is the expected one, by the kind of number it is."""
    if published is None or expected is None:
        return published is None and expected is None
    if isinstance(published, float) or (is_derived and isinstance(published, Decimal)):
        exact = Fraction(expected)
        return abs(Fraction(published) - exact) <= _RELATIVE * abs(exact)
    return bool(_plain(published) == _plain(expected))


def _plain(value: Any) -> Any:
    """A value that is equal however it was typed."""
    if isinstance(value, Decimal):
        return Fraction(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value


def _ordered(keys: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(keys, key=lambda key: [str(part) for part in key])


def _shown(key: tuple[Any, ...]) -> str:
    return " ".join("-" if part is None else str(part) for part in key)


def _text(value: Any) -> str:
    """A fraction with its first 18 digits, so that one quantum shows; three points where there are more."""
    if not isinstance(value, Fraction):
        return str(value)
    whole, rest = divmod(abs(value) * 10**18, 1)
    digits = f"{whole // 10**18}.{whole % 10**18:018d}"
    return f"{'-' if value < 0 else ''}{digits}{'...' if rest else ''}"
