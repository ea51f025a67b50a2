"""Any API's bill with its tokens, as CSV, by a declared column mapping: Together, Groq, xAI and whoever comes.

None of them documents an export of usage and cost (docs and public code looked through 2026-11-21; xAI's management API
again 2026-11-30: its clients disagree on the signs and totals of one answer), so nothing is guessed here:
breakeven.yaml says what each column of the file is, and the README has an example of each. A bill without tokens is
`focus` or `invoice_csv`.

Settings (in breakeven.yaml):
  provider       who serves the models, as groq: with a name of the price book its list prices stand beside the bill
  columns        our name -> the header in their file. Required: date and amount. Known: date, amount, currency, model,
                 api_key, project, service_tier, description; and how many tokens, in one of two ways:
                   a column a class   input (with all that is cached in it), or input_uncached; input_cache_read,
                                      input_cache_write_5m and the other classes of breakeven; output
                   a row a class      token_class, quantity and perhaps unit
  token_classes  for a row a class: their text -> a class of breakeven, `input`, or `other`. What is not listed is a
                 charge without tokens that keeps its name
  unit           what quantity counts: tokens (default), 1000_tokens or 1000000_tokens; units: {their text: one of
                 these} where a column says it. A row in a unit that is not listed has no known tokens; its cost counts
  currency       where no column says it
  amounts        units (default) or cents
  timezone       of times without an offset (default UTC); date_format: strptime, where dates are not ISO. A date alone
                 is the issuer's own day, and taken as it is
  delimiter ","  last_line_end: required (default) or optional

A row of one amount with tokens of several classes is split by their number (`pipeline.sources.api_bill`).

**One file is the whole account for the days it states**, from its first row to its last, or as the two dates in its
name say (the last day included): a later file replaces those days. Files that hold a project each are accounts each.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import PurePath
from typing import Any
from zoneinfo import ZoneInfo

from pipeline.config.vocabulary import TOKEN_CLASSES
from pipeline.errors import ConfigError, QuarantineError
from pipeline.formats.values import BLANKS, FRACTION_DIGITS, JsonNumber, count, decimal_text, read_csv
from pipeline.landing.dataset import Dataset, Frames, Settings
from pipeline.sources.api_bill import DATASET, LINES, Charge, frame_of, of_prompt
from pipeline.sources.dropped import dropped_days
from pipeline.sources.http import check_in_window
from pipeline.sources.openai_costs_api import amount_text
from pipeline.sources.source import Fetched, Source

NAME = "api_bill_csv"

_TEXTS = ("model", "api_key", "project", "service_tier", "description")
_WHOLE_INPUT = "input"
_COUNTS = (_WHOLE_INPUT, *sorted(TOKEN_CLASSES))
_BY_ROW = ("token_class", "quantity", "unit")
_KNOWN = ("date", "amount", "currency", *_TEXTS, *_BY_ROW, *_COUNTS)
_UNITS = {"tokens": 1, "1000_tokens": 1_000, "1000000_tokens": 1_000_000}
_NO_TOKENS = "other"
_PLACES = {"units": 0, "cents": 2}
_SETTINGS = (
    "provider", "columns", "token_classes", "unit", "units", "currency", "amounts", "timezone", "date_format",
    "delimiter", "last_line_end",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,62}", re.ASCII)
_RANGE = re.compile(r"(?<!\d)(\d{4}-\d{2}-\d{2})\D+(\d{4}-\d{2}-\d{2})(?!\d)", re.ASCII)


class _WrongSettingError(QuarantineError):
    """A setting that cannot be so. `key` is below `settings`."""

    def __init__(self, key: str, value: object, fix: str) -> None:
        super().__init__(f"settings.{key} is {value!r}. {fix}")
        self.key, self.value, self.fix = key, value, fix


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """The declared mapping, checked. `units`: their text -> tokens of one; None: every row is in `unit`."""

    provider: str
    columns: Mapping[str, str]
    token_classes: Mapping[str, str]
    unit: int
    units: Mapping[str, int] | None
    currency: str | None
    decimal_places: int
    zone: ZoneInfo
    date_format: str | None
    delimiter: str
    last_line_end_required: bool

    def cell(self, record: Mapping[str, str], name: str) -> str | None:
        """The text under our name; None when unmapped or blank."""
        header = self.columns.get(name)
        return (record[header].strip(BLANKS) or None) if header is not None else None


def recognise(name: str, head: bytes) -> str | None:
    """None: only the declared mapping says what a file is (`takes_any`)."""
    return None


def takes_any(settings: Settings) -> bool:
    """Every file of the inbox is a table of the declared columns."""
    return bool(settings.get("columns"))


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped file. Its window is the range in its name, or else from its first row's day to its last."""
    declared = {key: value for key, value in settings.items() if key in _SETTINGS}
    return dropped_days(
        dataset=DATASET,
        name=name,
        content=content,
        media_type="text/csv",
        days=lambda: days_in_name(PurePath(name).name) or _days_of(content, declared) or (),
        settings=declared,
        is_window=True,
    )


def parse(content: bytes, settings: Settings) -> Frames:
    """Every row as the lines of `api_bill`. Raises QuarantineError, naming the row, for one that cannot be read."""
    layout = _layout(settings)
    file = read_csv(content, delimiter=layout.delimiter, last_line_end_required=layout.last_line_end_required)
    absent = [header for header in layout.columns.values() if header not in file.header]
    if absent:
        raise QuarantineError(
            f"row 1: no column {', '.join(map(repr, absent))}, which settings.columns names. The file has "
            f"{', '.join(map(repr, file.header))}."
        )
    return {LINES.name: frame_of(_charges(file.records(), layout, settings))}


def _charges(
    records: Iterator[tuple[int, dict[str, str]]], layout: _Layout, settings: Settings
) -> Iterator[tuple[str, Charge]]:
    mapped = set(layout.columns.values())
    for number, record in records:
        where = f"row {number}"
        day = _day(layout, record, where=where)
        check_in_window(day, settings=settings, where=where)
        others: dict[str, object] = {name: text for name, text in record.items() if name not in mapped and text}
        counts = _counts_by_class(layout, record, where=where)
        description = layout.cell(record, "description")
        if "token_class" in layout.columns:
            counts, said = _counts_by_row(layout, record, where=where)
            others |= said
            description = description or (layout.cell(record, "token_class") if not counts else None)
        amount, spelled = _amount(layout, record, where=where)
        yield (
            where,
            Charge(
                day=day,
                provider=layout.provider,
                amount=amount,
                currency=_currency(layout, record, where=where),
                counts=counts,
                sub_account_id=layout.cell(record, "project"),
                api_key_id=layout.cell(record, "api_key"),
                model=layout.cell(record, "model"),
                # A file without tiers is of a provider, or a plan, that has one.
                service_tier=layout.cell(record, "service_tier") if "service_tier" in layout.columns else "standard",
                description=description,
                others=others | spelled,
            ),
        )


def _counts_by_class(layout: _Layout, record: Mapping[str, str], *, where: str) -> dict[str, int]:
    """Token class -> tokens of a row with a column a class. A blank cell is none of them."""
    stated = {
        name: int(count(JsonNumber(text), name=layout.columns[name], where=where) or 0)
        for name in _COUNTS
        if (text := layout.cell(record, name)) is not None
    }
    whole = stated.pop(_WHOLE_INPUT, None)
    if whole is None:
        return stated
    inside = {name: tokens for name, tokens in stated.items() if name.startswith("input_")}
    outside = {name: tokens for name, tokens in stated.items() if name not in inside}
    return {**of_prompt(whole, *inside.items()), **outside}


def _counts_by_row(
    layout: _Layout, record: Mapping[str, str], *, where: str
) -> tuple[dict[str, int], dict[str, object]]:
    """({class: tokens} of a row a class, what of it no column of ours holds). Unknown classes and units: no tokens."""
    theirs = layout.cell(record, "token_class") or ""
    ours = layout.token_classes.get(theirs, _NO_TOKENS)
    kept: dict[str, object] = {
        layout.columns[name]: text for name in _BY_ROW if (text := layout.cell(record, name)) is not None
    }
    quantity = layout.cell(record, "quantity")
    factor = layout.unit if layout.units is None else layout.units.get(layout.cell(record, "unit") or "")
    if ours == _NO_TOKENS or quantity is None or factor is None:
        return {}, kept
    tokens = Decimal(decimal_text(quantity, name=layout.columns["quantity"], where=where)) * factor
    # A correction's tokens are below zero, which no count is: its money counts, and the row keeps what it says.
    if tokens < 0:
        return {}, kept
    return {ours: int(tokens.to_integral_value(ROUND_HALF_EVEN))}, kept


def _amount(layout: _Layout, record: Mapping[str, str], *, where: str) -> tuple[str, dict[str, object]]:
    """(the amount in the currency's unit, its spelling where that says more than 10^-18 holds)."""
    header = layout.columns["amount"]
    text = layout.cell(record, "amount")
    if text is None:
        raise QuarantineError(f"{where}: {header} is blank. A row without an amount is not 0.")
    places = layout.decimal_places
    if not places:
        return amount_text(text, name=header, where=where)
    amount = decimal_text(text, name=header, where=where, fraction_digits=FRACTION_DIGITS - places)
    return format(Decimal(f"{amount}e-{places}"), "f"), {}


def _currency(layout: _Layout, record: Mapping[str, str], *, where: str) -> str:
    said = layout.cell(record, "currency") or layout.currency or ""
    if re.fullmatch(r"[A-Za-z]{3}", said, re.ASCII) is None:
        raise QuarantineError(f"{where}: the currency is {said!r}, not a code of three letters. Set currency.")
    return said.upper()


def _day(layout: _Layout, record: Mapping[str, str], *, where: str) -> date:
    """The UTC day of a moment; of a date alone, that date."""
    text = layout.cell(record, "date") or ""
    try:
        if layout.date_format is not None:
            moment: date = datetime.strptime(text, layout.date_format)  # noqa: DTZ007 - its zone is the declared one
            has_time = any(f"%{letter}" in layout.date_format for letter in "HIMScXfsT")
        else:
            has_time = ":" in text
            moment = datetime.fromisoformat(text) if has_time else date.fromisoformat(text)
        if not isinstance(moment, datetime):
            return moment
        if not has_time:
            return moment.date()
        return (moment if moment.tzinfo else moment.replace(tzinfo=layout.zone)).astimezone(UTC).date()
    except (ValueError, OverflowError):
        shown = "as ISO 8601" if layout.date_format is None else f"as {layout.date_format}"
        raise QuarantineError(f"{where}: {layout.columns['date']} is {text!r}, not a date {shown}.") from None


def days_in_name(name: str) -> tuple[date, date] | None:
    """(first day, last day) that a file's name states."""
    found = _RANGE.search(name)
    try:
        days = None if found is None else (date.fromisoformat(found[1]), date.fromisoformat(found[2]))
    except ValueError:
        return None
    return days if days is not None and days[0] <= days[1] else None


def _days_of(content: bytes, settings: Settings) -> tuple[date, date] | None:
    try:
        days = parse(content, settings)[LINES.name]["usage_date"].to_list()
    except QuarantineError:
        return None
    return (min(days), max(days)) if days else None


# --- settings --------------------------------------------------------------------------------------------------------


def check(settings: Mapping[str, Any], accounts: Collection[str]) -> None:
    """Raises ConfigError where what is declared cannot be so, whatever the files."""
    try:
        _layout(settings)
    except _WrongSettingError as error:
        raise ConfigError(key=f"settings.{error.key}", value=error.value, fix=error.fix) from None


def _layout(settings: Settings) -> _Layout:
    """The settings as a layout. Raises _WrongSettingError for the one that cannot be so."""
    provider = _text(settings, "provider") or ""
    if _NAME.fullmatch(provider) is None or provider != provider.lower():
        raise _WrongSettingError("provider", provider, "Say who serves the models, in lower case, as groq.")
    columns = _columns(settings)
    zone_name = _text(settings, "timezone") or "UTC"
    try:
        zone = ZoneInfo(zone_name)
    except (KeyError, ValueError, OSError):
        raise _WrongSettingError("timezone", zone_name, "Name an IANA zone, as America/New_York.") from None
    delimiter = _text(settings, "delimiter") or ","
    if len(delimiter) != 1:
        raise _WrongSettingError("delimiter", delimiter, "It is one character.")
    units = {theirs: _UNITS[_one_of(f"units.{theirs}", ours, tuple(_UNITS))]
             for theirs, ours in _mapping(settings, "units").items()}  # fmt: skip
    if ("unit" in columns) != bool(units):
        raise _WrongSettingError("units", units, "It says what the texts of columns.unit mean: give both, or neither.")
    return _Layout(
        provider=provider,
        columns=columns,
        token_classes=_token_classes(settings),
        unit=_UNITS[_one_of("unit", settings.get("unit"), tuple(_UNITS))],
        units=units or None,
        currency=_text(settings, "currency"),
        decimal_places=_PLACES[_one_of("amounts", settings.get("amounts"), tuple(_PLACES))],
        zone=zone,
        date_format=_text(settings, "date_format"),
        delimiter=delimiter,
        last_line_end_required=_one_of("last_line_end", settings.get("last_line_end"),
                                       ("required", "optional")) == "required",
    )  # fmt: skip


def _columns(settings: Settings) -> dict[str, str]:
    columns = _mapping(settings, "columns")
    for name, header in columns.items():
        if name not in _KNOWN:
            raise _WrongSettingError(f"columns.{name}", header, f"No such column of ours. Known: {', '.join(_KNOWN)}.")
        if list(columns.values()).count(header) > 1:
            raise _WrongSettingError(f"columns.{name}", header, "So is another one: a header is one column.")
    if absent := [name for name in ("date", "amount") if name not in columns]:
        raise _WrongSettingError("columns", columns, f"Map {' and '.join(absent)} to the file's header of it.")
    by_row = [name for name in _BY_ROW if name in columns]
    if by_row and {"token_class", "quantity"} - set(by_row):
        raise _WrongSettingError("columns", columns, "Where a row is a class, map both token_class and quantity.")
    if by_row and any(name in columns for name in _COUNTS):
        fix = "Either a row is a class (token_class, quantity), or a column is."
        raise _WrongSettingError("columns", columns, fix)
    if _WHOLE_INPUT in columns and "input_uncached" in columns:
        raise _WrongSettingError("columns.input", columns[_WHOLE_INPUT], "It holds input_uncached: map one of them.")
    return columns


def _token_classes(settings: Settings) -> dict[str, str]:
    classes = _mapping(settings, "token_classes")
    for theirs, ours in classes.items():
        _one_of(f"token_classes.{theirs}", ours, (*_COUNTS, _NO_TOKENS))
    return classes


def _mapping(settings: Settings, name: str) -> dict[str, str]:
    value = settings.get(name) or {}
    if not isinstance(value, Mapping) or not all(
        isinstance(key, str) and isinstance(item, str) and item for key, item in value.items()
    ):
        raise _WrongSettingError(name, value, "It maps text to text.")
    return dict(value)


def _text(settings: Settings, name: str) -> str | None:
    value = settings.get(name)
    if value is not None and not isinstance(value, str):
        raise _WrongSettingError(name, value, "It is text.")
    return value or None


def _one_of(name: str, value: object, known: tuple[str, ...]) -> str:
    """The value, by default the first known one."""
    if value is None:
        return known[0]
    if not isinstance(value, str) or value not in known:
        raise _WrongSettingError(name, value, f"It is one of {', '.join(known)}.")
    return value


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            name=DATASET,
            mode="replace",
            bucket="utc_day",
            measure="billed",
            tables=(LINES,),
            parse=parse,
        ),
    ),
    recognise=recognise,
    drop=drop,
    takes_any=takes_any,
    check=check,
)
