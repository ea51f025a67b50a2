"""Sheets as XLSX, CSV and Parquet: same release and same snapshot, same bytes. Text is never a formula or a link."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Context, Decimal
from typing import Any

import polars as pl

from pipeline.landing.records import digest
from pipeline.reports.sheets import Sheet, SheetColumn, Value

_STORED = pl.Decimal(38, 18)
_PLACES = Decimal("1e-18")
_EXACT = Context(prec=60)
# A spreadsheet's numbers are doubles: these digits of one are what it was given.
_SHOWN = Context(prec=15)
# What Excel can hold: a sheet's name, a cell's text, and a width that a screen has room for.
_MOST_NAME, _MOST_TEXT, _MOST_WIDTH, _LEAST_WIDTH = 31, 32_767, 60, 9
_WORDS = ", in words"


def as_xlsx(sheets: Sequence[Sheet], *, title: str, as_of: datetime) -> bytes:
    """A workbook of a sheet a table: heads frozen, units in them, numbers and days as such.

    A spreadsheet holds 15 digits of a number; CSV and Parquet hold all.
    """
    import xlsxwriter

    target = io.BytesIO()
    inert = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(target, {"in_memory": True, **inert}) as book:
        book.set_properties({"title": title, "created": as_of.replace(tzinfo=None), "author": "breakeven"})
        looks = _Looks(book)
        for sheet in sheets:
            _write_sheet(book.add_worksheet(sheet.name[:_MOST_NAME]), sheet, looks)
    return target.getvalue()


class _Looks:
    """Formats of a workbook, each made once."""

    def __init__(self, book: Any) -> None:
        self._book = book
        self.head = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bottom": 1})
        self.number_head = book.add_format(
            {"bold": True, "text_wrap": True, "valign": "top", "align": "right", "bottom": 1}
        )
        self.text = book.add_format({"valign": "top"})
        self.prose = book.add_format({"valign": "top", "text_wrap": True})
        self.day = book.add_format({"num_format": "yyyy-mm-dd", "valign": "top", "align": "left"})
        self._numbers: dict[str, Any] = {}

    def number(self, column: SheetColumn) -> Any:
        """As many places as the report writes; a currency's code in front of what is in one."""
        digits = f"#,##0{'.' + '0' * column.decimals if column.decimals else ''}"
        shape = f"[${column.unit}] {digits}" if _is_currency(column.unit) else digits
        if shape not in self._numbers:
            self._numbers[shape] = self._book.add_format({"num_format": shape, "valign": "top"})
        return self._numbers[shape]


def _is_currency(unit: str) -> bool:
    return len(unit) == 3 and unit.isascii() and unit.isupper()


def _write_sheet(page: Any, sheet: Sheet, looks: _Looks) -> None:
    for place, column in enumerate(sheet.columns):
        head = column.title if not column.unit else f"{column.title}\n{column.unit}"
        page.write_string(0, place, head, looks.number_head if column.kind == "number" else looks.head)
        width = _width(column, [row[place] for row in sheet.rows])
        page.set_column(place, place, width)
    for number, row in enumerate(sheet.rows, start=1):
        for place, (value, column) in enumerate(zip(row, sheet.columns, strict=True)):
            _write_cell(page, number, place, value, column, looks)
    page.freeze_panes(1, 1)
    if sheet.rows:
        page.autofilter(0, 0, len(sheet.rows), len(sheet.columns) - 1)
    elif sheet.note:
        page.write_string(1, 0, sheet.note[:_MOST_TEXT], looks.text)
    page.set_landscape()
    page.fit_to_pages(1, 0)
    page.repeat_rows(0)
    page.set_header(f"&L{sheet.caption.replace('&', '&&')[:200]}&R&P / &N")


def _write_cell(page: Any, row: int, place: int, value: Value, column: SheetColumn, looks: _Looks) -> None:
    if value is None:
        return
    if isinstance(value, Decimal):
        page.write_number(row, place, _SHOWN.plus(value).normalize(), looks.number(column))
    elif isinstance(value, date):
        page.write_datetime(row, place, datetime(value.year, value.month, value.day), looks.day)  # noqa: DTZ001
    else:
        page.write_string(row, place, value[:_MOST_TEXT], looks.prose if len(value) > _MOST_WIDTH else looks.text)


def _width(column: SheetColumn, values: Sequence[Value]) -> int:
    shown = (
        len(f"{value:,.{column.decimals}f}") + 5 if isinstance(value, Decimal) else len(str(value or ""))
        for value in values
    )
    longest = max([*shown, len(column.title), len(column.unit)], default=0)
    return max(_LEAST_WIDTH, min(_MOST_WIDTH, longest + 2))


def as_csv(sheet: Sheet) -> bytes:
    """UTF-8, a head with units, numbers with all their digits, days as 2026-10-01, an empty cell for no value."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow([column.head for column in sheet.columns])
    writer.writerows([[_plain(value) for value in row] for row in sheet.rows])
    return target.getvalue().encode()


def _plain(value: Value) -> str:
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return "" if value is None else str(value)


def as_parquet(sheet: Sheet) -> bytes:
    """Numbers as DECIMAL(38,18), days as DATE. Words in a column of numbers or days stand in one beside it."""
    target = io.BytesIO()
    columns: dict[str, pl.Series] = {}
    for place, column in enumerate(sheet.columns):
        values = [row[place] for row in sheet.rows]
        if column.kind == "text":
            columns[column.head] = pl.Series(values, dtype=pl.String)
            continue
        kept = [value if not isinstance(value, str) else None for value in values]
        numbers = [_stored(value) if isinstance(value, Decimal) else value for value in kept]
        columns[column.head] = pl.Series(numbers, dtype=_STORED if column.kind == "number" else pl.Date())
        words = [value if isinstance(value, str) else None for value in values]
        if any(words):
            columns[column.head + _WORDS] = pl.Series(words, dtype=pl.String)
    pl.DataFrame(columns).write_parquet(target, compression="zstd", statistics=False)
    return target.getvalue()


def _stored(value: Decimal) -> Decimal:
    return value.quantize(_PLACES, context=_EXACT)


def folder_of(sheets: Sequence[Sheet], suffix: str, *, facts: Mapping[str, str]) -> dict[str, bytes]:
    """Files of a folder by name: a table each, and `manifest.json`, the last, which says what each one is."""
    write = {"csv": as_csv, "parquet": as_parquet}[suffix]
    files = {f"{sheet.name}.{suffix}": write(sheet) for sheet in sheets}
    tables = [
        {
            "name": sheet.name,
            "title": sheet.caption,
            "note": sheet.note,
            "file": f"{sheet.name}.{suffix}",
            "sha256": digest(files[f"{sheet.name}.{suffix}"]),
            "row_count": len(sheet.rows),
            "columns": [{"name": column.head, "unit": column.unit, "type": column.kind} for column in sheet.columns],
        }
        for sheet in sheets
    ]
    said = json.dumps({**facts, "tables": tables}, indent=1, ensure_ascii=False)
    return {**files, "manifest.json": f"{said}\n".encode()}
