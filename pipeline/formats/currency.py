"""How money is written: in its currency's minor units, named by its symbol where it has its own, else by its code."""

from babel.numbers import get_currency_precision, get_currency_symbol

from pipeline.formats.writing import Number, fixed

_LOCALE = "en_US"
_MINUS = ("-", "\u2212")


def unit(currency: str) -> str:
    """What stands for one unit of it: `$`, `€`, `CA$`, `CHF`."""
    return str(get_currency_symbol(currency, locale=_LOCALE))


def money(amount: Number, currency: str, *, most_decimals: int = 0) -> str:
    """An amount with its currency: `$4,987.90`; with up to `most_decimals`, where they are not zero: `$0.0375`."""
    return priced(in_minor_units(amount, currency, most_decimals=most_decimals), currency)


def in_minor_units(amount: Number, currency: str, *, most_decimals: int = 0) -> str:
    """The figure alone, for a column whose head names the currency."""
    minor = get_currency_precision(currency)
    return fixed(amount, max(minor, most_decimals), least_decimals=minor)


def priced(figure: str, currency: str) -> str:
    """A written figure with its currency: `$4,987.90`, `−€0.50`, `12.00 CHF`, `<0.01 USD`."""
    sign, digits = (figure[:1], figure[1:]) if figure.startswith(_MINUS) else ("", figure)
    symbol = unit(currency)
    if symbol == currency or not digits[:1].isdigit():
        return f"{figure} {currency}"
    return f"{sign}{symbol}{digits}"


def minor_digits(currency: str) -> int:
    """How many places its minor unit has: 2 of USD, 0 of JPY."""
    return int(get_currency_precision(currency))
