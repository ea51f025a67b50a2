"""How the report writes figures: one way for each unit, exact rounding, no locale; what is unknown is a dash."""

from datetime import date, datetime
from decimal import Decimal

from pipeline.formats import currency as currencies
from pipeline.formats import writing
from pipeline.formats.writing import Number
from pipeline.reports.words import inert

UNKNOWN = "—"
NAME_LIMIT = 200
TEXT_LIMIT = 600
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


class Written(str):
    """A figure or a day as it is read, with what it stands for: what a spreadsheet is given in its place."""

    value: Decimal | date | None

    def __new__(cls, text: str, value: Number | date | None) -> "Written":
        made = super().__new__(cls, text)
        made.value = value if value is None or isinstance(value, date) else Decimal(str(value))
        return made


def fixed(value: Number | None, decimals: int) -> str:
    """Rounded half to even. What is not zero is never written as zero."""
    return Written(UNKNOWN, None) if value is None else Written(writing.fixed(value, decimals), value)


def money(amount: Number | None, currency: str) -> str:
    """An amount in the currency's minor units, the currency being in the column's head."""
    return Written(UNKNOWN, None) if amount is None else Written(currencies.in_minor_units(amount, currency), amount)


def priced(amount: Number | None, currency: str) -> str:
    """An amount with its currency, for a sentence."""
    return "an unknown amount" if amount is None else currencies.money(amount, currency)


def exact(amount: Decimal | None) -> str:
    """All digits that say something, at least two."""
    if amount is None:
        return "unknown"
    text = format(amount, ",f")
    whole, _, digits = text.partition(".")
    return Written(f"{whole}.{digits.rstrip('0').ljust(2, '0')}".replace("-", "−"), amount)


def per_mtok(price: Number | None) -> str:
    """Money per million tokens, four decimals."""
    return fixed(price, 4)


def hours(value: Number | None) -> str:
    """GPU-hours, two decimals."""
    return fixed(value, 2)


def millions(count: Number | None) -> str:
    """A count in millions, two decimals."""
    return UNKNOWN if count is None else fixed(Decimal(str(count)) / 1_000_000, 2)


def count(value: int | None) -> str:
    return Written(UNKNOWN, None) if value is None else Written(f"{value:,}", value)


def ratio(value: Number | None) -> str:
    return fixed(value, 2)


def percent(part: Number | None, whole: Number | None) -> str:
    """One decimal; unknown where there is no whole."""
    if part is None or not whole:
        return UNKNOWN
    return f"{fixed(Decimal(str(part)) * 100 / Decimal(str(whole)), 1)}%"


def day(value: date | None) -> str:
    if value is None:
        return Written(UNKNOWN, None)
    return Written(f"{value.day} {_MONTHS[value.month - 1][:3]} {value.year}", value)


def left_over(kind: str, since: date) -> str:
    """What a line of the question `leftovers` is, and what to do about one that only a declaration keeps alive."""
    if kind == "no_longer_billed":
        return f"no longer on the bill since {day(since)}: give it a `to`"
    return {"billed_never_seen": "billed, never seen", "seen_never_billed": "seen, never billed"}.get(kind, kind)


def month_name(value: date) -> str:
    return f"{_MONTHS[value.month - 1]} {value.year}"


def moment(value: datetime) -> str:
    """To the second, in UTC."""
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """`1 day`, `2 days`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def visible(text: object, limit: int = NAME_LIMIT) -> str:
    """Text from data on one line: no formula, and no character that hides or reorders what is read (U+FFFD instead)."""
    line = str(inert(writing.one_line(str(text))))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def name(text: object | None, otherwise: str = UNKNOWN) -> str:
    """A name from data, or what stands for none."""
    return otherwise if text is None else visible(text)
