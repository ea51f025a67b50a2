"""How values are written: exact for programs, inert for spreadsheets, plain for people."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any


def plain(value: object) -> Any:
    """A value that JSON and CSV can carry without losing a digit: decimals as text without exponent."""
    if isinstance(value, Decimal):
        # A sum of whole numbers comes as a decimal without places.
        return (
            int(value) if value == value.to_integral_value() and value.as_tuple().exponent == 0 else format(value, "f")
        )
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


_FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r")


def inert(value: object) -> object:
    """Text that a spreadsheet will not run as a formula."""
    if isinstance(value, str) and value.startswith(_FORMULA_BEGINS) and not _is_decimal(value):
        return "'" + value
    return value


def _is_decimal(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()


def shown(name: str, value: object) -> str:
    """A value as a person reads it; what is unknown is a dash, never a zero."""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and not name.endswith(("_year", "_id")):
        return f"{value:,}"
    if isinstance(value, Decimal):
        return f"{value:,.2f}" if name.endswith(("_rc", "_cost")) else format(value.normalize(), "f")
    if isinstance(value, float):
        return f"{value:,.4f}" if name.endswith(("_per_mtok", "_ratio")) else f"{value:,.2f}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    return str(value)


def money(amount: Decimal | float | None, currency: str) -> str:
    """An amount in the currency's own minor units: `$4,987.90`; a dash where it is unknown."""
    if amount is None:
        return "—"
    # Not above: what currencies are called is no part of a small installation, which has this module.
    from pipeline.formats import currency as currencies

    return currencies.money(amount, currency)


def per_mtok(price: float | None) -> str:
    """A price per million tokens with four digits after the point; undefined where nothing was served."""
    return "undefined" if price is None else f"{price:,.4f}"


def million(tokens: float | int | None) -> str:
    """Tokens in millions."""
    return "—" if tokens is None else f"{float(tokens) / 1e6:,.2f} M"


def ratio(value: float | None) -> str:
    return "—" if value is None else f"{value:.2f}"


def gpu_hours(milliseconds: int) -> str:
    """GPU-milliseconds as GPU-hours."""
    return f"{milliseconds / 3_600_000:,.1f}"
