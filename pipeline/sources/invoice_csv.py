"""Any GPU provider's invoice as CSV, by a declared column mapping.

Settings (in breakeven.yaml):
  columns        our name -> the header in their file. Required: amount, and period_start or date. Known: invoice_id,
                 description, charge_kind, resource_id, gpu_count, quantity, unit, unit_price, amount, currency,
                 period_start, period_end, date (a line of one day), issued_on.
  currency       where no column says it
  timezone       of times without an offset (default UTC); date_format: strptime, where dates are not ISO
  period_end     exclusive (default) or inclusive: whether a date in period_end is the last day or the day after it
  charge_kind    their text -> gpu_instance | storage | network | support | tax | credit | discount | other;
                 the key "" is for lines that say nothing
  total_row      {column: header, equals: text}: the row that states the invoice's total, kept apart as a control
  decimal "."    delimiter ","    thousands (none)
  last_line_end  required (default) or optional: some exports end without one, and so does a file that was cut
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import PurePath
from typing import Any
from zoneinfo import ZoneInfo

from pipeline.errors import QuarantineError
from pipeline.formats.values import BLANKS, CsvFile, csv_header, decimal_text, read_csv
from pipeline.landing.dataset import Dataset, Frames, Settings
from pipeline.landing.times import DAY
from pipeline.sources.gpu_bill import (
    CHARGE_KINDS,
    DATASET,
    LINE_TEXTS,
    LINES,
    TOO_LARGE,
    TOO_MANY_GPUS,
    TOTALS,
    Line,
    Total,
    check_length,
    check_size,
    iso,
    kind_of,
    lines_frame,
    totals_frame,
)
from pipeline.sources.source import Fetched, Payload, Source

NAME = "invoice_csv"

_MAPPED = ("invoice_id", *LINE_TEXTS, "amount", "currency", "period_start", "period_end", "date", "issued_on")
_SETTINGS = (
    "columns",
    "currency",
    "timezone",
    "date_format",
    "period_end",
    "charge_kind",
    "total_row",
    "decimal",
    "delimiter",
    "thousands",
    "last_line_end",
    "invoice_id",
)

Period = tuple[datetime, datetime]


def recognise(name: str, head: bytes) -> str | None:
    """Any delimited text with a header: only the declared mapping says what its columns are."""
    widths = [len(csv_header(head, delimiter=delimiter)) for delimiter in (",", ";", "\t", "|")]
    is_json = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
    return DATASET if max(widths) >= 2 and not is_json else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped invoice. Where no column or setting names it, its file name does: dropping that name again replaces."""
    declared = {key: value for key, value in settings.items() if key in _SETTINGS}
    columns = declared.get("columns")
    if "invoice_id" not in declared and not (isinstance(columns, Mapping) and "invoice_id" in columns):
        declared["invoice_id"] = PurePath(name).stem
    payloads = (Payload(name=name, content=content, media_type="text/csv"),)
    try:
        lines = parse(content, declared)[LINES.name]
    except QuarantineError:
        return Fetched(dataset=DATASET, payloads=payloads, settings=declared)
    if lines.is_empty():
        return Fetched(dataset=DATASET, payloads=payloads, settings=declared)
    return Fetched(
        dataset=DATASET,
        payloads=payloads,
        from_at=min(map(datetime.fromisoformat, lines["period_start"].to_list())),
        to_at=max(map(datetime.fromisoformat, lines["period_end"].to_list())),
        settings=declared,
    )


def parse(content: bytes, settings: Settings) -> Frames:
    """Every line of the file under our column names, its period in UTC; total rows apart."""
    layout = _layout(settings)
    file = read_csv(content, delimiter=layout.delimiter, last_line_end_required=layout.last_line_end_required)
    _check_header(layout, file)
    lines: list[Line] = []
    totals: list[tuple[int, dict[str, str]]] = []
    periods: dict[str, list[Period]] = {}
    for number, record in file.records():
        if layout.is_total(record):
            totals.append((number, record))
            continue
        where = f"row {number}"
        invoice_id = layout.cell(record, "invoice_id") or layout.invoice_id
        if not invoice_id:
            raise QuarantineError(f"{where}: no invoice_id. Map its column, or set invoice_id.")
        start, stop = layout.period(record, where=where)
        periods.setdefault(invoice_id, []).append((start, stop))
        lines.append(
            Line(
                bucket=invoice_id,
                invoice_id=invoice_id,
                number=number,
                start=start,
                stop=stop,
                description=layout.cell(record, "description"),
                charge_kind=layout.charge_kind(record),
                resource_id=layout.cell(record, "resource_id"),
                gpu_count=layout.number(record, "gpu_count", where=where, below=TOO_MANY_GPUS),
                quantity=layout.number(record, "quantity", where=where, below=TOO_LARGE),
                unit=layout.cell(record, "unit"),
                unit_price=layout.number(record, "unit_price", where=where, below=TOO_LARGE),
                amount=layout.amount(record, where=where),
                currency=layout.currency(record, where=where),
                others=layout.unknown(record),
            )
        )
    return {
        LINES.name: lines_frame(lines),
        TOTALS.name: totals_frame(_totals(layout, totals, periods)),
    }


@dataclass(frozen=True)
class _Layout:
    """The declared mapping, checked."""

    columns: Mapping[str, str]
    kinds: Mapping[str, str]
    zone: ZoneInfo
    declared_currency: str | None
    date_format: str | None
    end_is_inclusive: bool
    total_column: str | None
    total_text: str | None
    decimal: str
    thousands: str | None
    delimiter: str
    last_line_end_required: bool
    invoice_id: str | None
    mapped_headers: frozenset[str] = field(default_factory=frozenset)

    def cell(self, record: Mapping[str, str], name: str) -> str | None:
        """The text under our name; None when unmapped or blank."""
        header = self.columns.get(name)
        return (record[header].strip(BLANKS) or None) if header is not None else None

    def is_total(self, record: Mapping[str, str]) -> bool:
        return self.total_column is not None and record[self.total_column].strip() == self.total_text

    def number(self, record: Mapping[str, str], name: str, *, where: str, below: int | None = None) -> str | None:
        """Decimal text, or None where the cell is blank. `below`: what it and its negative are below on any invoice."""
        text = self.cell(record, name)
        if text is None:
            return None
        if self.thousands and self.thousands in text:
            if re.fullmatch(rf"[+-]?\d{{1,3}}(?:{re.escape(self.thousands)}\d{{3}})+(?!\d).*", text, re.ASCII) is None:
                raise QuarantineError(f"{where}: {self.columns[name]} is {text!r}, not grouped in thousands.")
            text = text.replace(self.thousands, "")
        if self.decimal != ".":
            if "." in text:
                raise QuarantineError(
                    f"{where}: {self.columns[name]} is {text!r}, but decimal is declared as {self.decimal!r}. "
                    "If the point separates thousands, say so in thousands."
                )
            text = text.replace(self.decimal, ".")
        said = decimal_text(text, name=self.columns[name], where=where)
        return said if below is None else check_size(said, name=self.columns[name], where=where, below=below)

    def amount(self, record: Mapping[str, str], *, where: str) -> str:
        amount = self.number(record, "amount", where=where)
        if amount is None:
            raise QuarantineError(f"{where}: {self.columns['amount']} is blank. A line without an amount is not 0.")
        return amount

    def currency(self, record: Mapping[str, str], *, where: str) -> str:
        currency = self.cell(record, "currency") or self.declared_currency
        if currency is None or not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
            raise QuarantineError(f"{where}: the currency is {currency!r}, not a code of three letters. Set currency.")
        return currency

    def charge_kind(self, record: Mapping[str, str]) -> str:
        """Our kind of a line. An unknown kind, and a GPU line that names no resource, is `other`."""
        theirs = self.cell(record, "charge_kind") or ""
        kind = self.kinds.get(theirs) or (theirs if theirs in CHARGE_KINDS else "other")
        return kind_of(kind, resource_id=self.cell(record, "resource_id"))

    def period(self, record: Mapping[str, str], *, where: str) -> Period:
        """The line's period in UTC, end exclusive."""
        if "date" in self.columns:
            start = self._moment(record, "date", where=where, day_after=False)
            stop = self._moment(record, "date", where=where, day_after=True)
        else:
            start = self._moment(record, "period_start", where=where, day_after=False)
            end = "period_end" if "period_end" in self.columns else "period_start"
            inclusive = self.end_is_inclusive or end == "period_start"
            stop = self._moment(record, end, where=where, day_after=inclusive)
        if not start < stop:
            raise QuarantineError(
                f"{where}: the period {iso(start)} to {iso(stop)} is empty. "
                "If period_end names the last day, set period_end: inclusive."
            )
        check_length(start, stop, where=where)
        return start, stop

    def _moment(self, record: Mapping[str, str], name: str, *, where: str, day_after: bool) -> datetime:
        """An instant in UTC; a date alone is its first moment in the invoice's zone, or the next day's."""
        text = self.cell(record, name)
        moment = None if text is None else _read_moment(text, self.date_format)
        if moment is None:
            shown = "as ISO 8601" if self.date_format is None else f"as {self.date_format}"
            raise QuarantineError(f"{where}: {self.columns[name]} is {text!r}, not a date {shown}.")
        try:
            if not isinstance(moment, datetime):
                moment = datetime.combine(moment + DAY if day_after else moment, time.min)
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
            local = moment.replace(tzinfo=self.zone)
            utc = local.astimezone(UTC)
        except OverflowError:
            raise QuarantineError(f"{where}: {self.columns[name]} is {text!r}, beyond the calendar.") from None
        if utc.astimezone(self.zone).replace(tzinfo=None) != moment:
            raise QuarantineError(
                f"{where}: {self.columns[name]} is {text!r}, an hour that {self.zone.key} skipped. Set timezone."
            )
        return utc

    def unknown(self, record: Mapping[str, str]) -> dict[str, object]:
        """Columns without a place, and the vendor's own word for the kind where ours differs."""
        kept: dict[str, object] = {
            header: value for header, value in record.items() if header not in self.mapped_headers
        }
        theirs = self.cell(record, "charge_kind")
        if theirs is not None and theirs != self.charge_kind(record):
            kept[self.columns["charge_kind"]] = theirs
        return kept


def _read_moment(text: str, date_format: str | None) -> datetime | date | None:
    try:
        if date_format is None:
            return datetime.fromisoformat(text) if ":" in text or "T" in text else date.fromisoformat(text)
        moment = datetime.strptime(text, date_format)  # noqa: DTZ007 - its zone is the declared one
    except ValueError:
        return None
    has_time = any(f"%{letter}" in date_format for letter in "HIMScXfsT")
    return moment if has_time else moment.date()


def _totals(
    layout: _Layout, rows: list[tuple[int, dict[str, str]]], periods: Mapping[str, list[Period]]
) -> list[Total]:
    """One control total an invoice, over the period of its lines."""
    totals: dict[str, Total] = {}
    for number, record in rows:
        where = f"row {number}"
        invoice_id = layout.cell(record, "invoice_id") or layout.invoice_id
        if invoice_id is None and len(periods) == 1:
            invoice_id = next(iter(periods))
        if invoice_id is None or invoice_id not in periods:
            raise QuarantineError(f"{where}: a total for invoice {invoice_id!r}, of which the file has no line.")
        if invoice_id in totals:
            raise QuarantineError(f"{where}: a second total for invoice {invoice_id!r}. Check total_row.")
        start = min(start for start, _ in periods[invoice_id])
        stop = max(stop for _, stop in periods[invoice_id])
        totals[invoice_id] = Total(
            bucket=invoice_id,
            invoice_id=invoice_id,
            amount=layout.amount(record, where=where),
            currency=layout.currency(record, where=where),
            start=start,
            stop=stop,
            issued_on=layout.cell(record, "issued_on"),
            others=layout.unknown(record),
        )
    return list(totals.values())


def _layout(settings: Settings) -> _Layout:
    """The settings as a layout. Raises QuarantineError naming the setting that cannot be so."""
    columns = _mapping(settings, "columns")
    for name in columns:
        if name not in _MAPPED:
            raise QuarantineError(f"settings.columns.{name}: no such column of ours. Known: {', '.join(_MAPPED)}.")
    if "amount" not in columns or not ("date" in columns or "period_start" in columns):
        raise QuarantineError("settings.columns: map at least amount, and period_start or date, to their headers.")
    kinds = _mapping(settings, "charge_kind")
    for theirs, ours in kinds.items():
        if ours not in CHARGE_KINDS:
            raise QuarantineError(
                f"settings.charge_kind: {theirs!r} is mapped to {ours!r}. Known: {', '.join(CHARGE_KINDS)}."
            )
    zone_name = _text(settings, "timezone") or "UTC"
    try:
        zone = ZoneInfo(zone_name)
    except (KeyError, ValueError, OSError):
        raise QuarantineError(f"settings.timezone is {zone_name!r}. Name an IANA zone, as America/New_York.") from None
    total = _mapping(settings, "total_row")
    if total and set(total) != {"column", "equals"}:
        raise QuarantineError("settings.total_row: it has exactly `column` and `equals`.")
    decimal = _choice(settings, "decimal", (".", ","))
    thousands = _text(settings, "thousands")
    if thousands == decimal:
        raise QuarantineError(f"settings.thousands is {thousands!r}, the same as decimal.")
    delimiter = _text(settings, "delimiter") or ","
    if len(delimiter) != 1:
        raise QuarantineError(f"settings.delimiter is {delimiter!r}. It is one character.")
    return _Layout(
        columns=columns,
        kinds=kinds,
        zone=zone,
        declared_currency=_text(settings, "currency"),
        date_format=_text(settings, "date_format"),
        end_is_inclusive=_choice(settings, "period_end", ("exclusive", "inclusive")) == "inclusive",
        total_column=total.get("column"),
        total_text=total.get("equals"),
        decimal=decimal,
        thousands=thousands,
        delimiter=delimiter,
        last_line_end_required=_choice(settings, "last_line_end", ("required", "optional")) == "required",
        invoice_id=_text(settings, "invoice_id"),
        mapped_headers=frozenset(columns.values()),
    )


def _check_header(layout: _Layout, file: CsvFile) -> None:
    needed = [*layout.columns.values(), *([layout.total_column] if layout.total_column else [])]
    absent = [header for header in needed if header not in file.header]
    if absent:
        raise QuarantineError(
            f"row 1: no column {', '.join(map(repr, absent))}, which settings map. "
            f"The file has: {', '.join(map(repr, file.header))}."
        )


def _mapping(settings: Settings, name: str) -> dict[str, str]:
    value = settings.get(name) or {}
    if not isinstance(value, Mapping) or not all(
        isinstance(key, str) and isinstance(item, str) for key, item in value.items()
    ):
        raise QuarantineError(f"settings.{name} is {value!r}. It maps text to text.")
    return dict(value)


def _text(settings: Settings, name: str) -> str | None:
    value = settings.get(name)
    if value is not None and not isinstance(value, str):
        raise QuarantineError(f"settings.{name} is {value!r}, not text.")
    return value or None


def _choice(settings: Settings, name: str, known: tuple[str, ...]) -> str:
    value = _text(settings, name) or known[0]
    if value not in known:
        raise QuarantineError(f"settings.{name} is {value!r}. It is {' or '.join(map(repr, known))}.")
    return value


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            name=DATASET,
            mode="replace",
            bucket="invoice",
            measure="billed",
            tables=(LINES, TOTALS),
            parse=parse,
        ),
    ),
    recognise=recognise,
    drop=drop,
)
