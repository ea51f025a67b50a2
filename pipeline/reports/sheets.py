"""A report's tables as sheets of values: what a spreadsheet, a CSV or a Parquet file is given in place of text."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from pipeline.reports.figures import UNKNOWN, Written
from pipeline.reports.page import Card, Column, Page, Table, Tiles
from pipeline.reports.words import inert

Value = Decimal | date | str | None
Kind = Literal["number", "date", "text"]

# What a row is, beside its cells, which laws are broken where its figures come from, and its receipt.
ROW_KIND, NOT_PROVEN, MEASURE, RECEIPT = "Row", "Not proven", "Measure", "Receipt"
_DECIMALS = re.compile(r"\.([0-9]+)")


@dataclass(frozen=True)
class SheetColumn:
    """`decimals`: how many places the report writes. Numbers themselves are not rounded."""

    title: str
    unit: str
    kind: Kind
    decimals: int = 0

    @property
    def head(self) -> str:
        """`Billed (USD)`."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass(frozen=True)
class Sheet:
    """One table. A cell of a number or of a date may hold a word: `unknown` and `undefined` are no numbers, and None
    neither.
    """

    name: str
    caption: str
    note: str
    columns: tuple[SheetColumn, ...]
    rows: tuple[tuple[Value, ...], ...]


def sheets_of(page: Page) -> list[Sheet]:
    """What the report says first, where it comes from, then every table of it, empty ones too, in their order."""
    found = [_about(page)]
    for section in page.sections:
        for block in section.blocks:
            if isinstance(block, Table):
                found.append(_sheet(block))
            elif isinstance(block, Tiles):
                found.append(_tiles(block))
    cards = [block for section in page.sections for block in section.blocks if isinstance(block, Card)]
    if cards:
        found.append(_cards(cards))
    return [_named_apart(sheet, found[:place]) for place, sheet in enumerate(found)]


def _named_apart(sheet: Sheet, before: Sequence[Sheet]) -> Sheet:
    same = sum(one.name == sheet.name for one in before)
    name = f"{sheet.name}_{same + 1}" if same else sheet.name
    return Sheet(name, sheet.caption, sheet.note, sheet.columns, sheet.rows)


def _sheet(table: Table) -> Sheet:
    kinds = any(row.kind != "line" for row in table.rows)
    proven = any(row.refused for row in table.rows)
    receipts = any(row.receipt for row in table.rows)
    columns = [_column(column, [row.cells[place] for row in table.rows]) for place, column in enumerate(table.columns)]
    if kinds:
        columns.append(SheetColumn(ROW_KIND, "", "text"))
    if proven:
        columns.append(SheetColumn(NOT_PROVEN, "", "text"))
    if receipts:
        columns.append(SheetColumn(RECEIPT, "", "text"))
    rows = tuple(
        (
            *(_value(cell, column) for cell, column in zip(row.cells, columns, strict=False)),
            *((row.kind,) if kinds else ()),
            *((", ".join(row.refused) or None,) if proven else ()),
            *((row.receipt or None,) if receipts else ()),
        )
        for row in table.rows
    )
    name = table.name or re.sub("[^a-z0-9]+", "_", table.caption.lower()).strip("_")[:28]
    return Sheet(name, table.caption, table.note if table.rows else table.empty, _heads_apart(columns), rows)


def _heads_apart(columns: Sequence[SheetColumn]) -> tuple[SheetColumn, ...]:
    """A file's columns are known by their heads: a second one of the same head is counted."""
    heads: dict[str, int] = {}
    apart = []
    for column in columns:
        heads[column.head] = heads.get(column.head, 0) + 1
        number = heads[column.head]
        title = column.title if number == 1 else f"{column.title} {number}"
        apart.append(SheetColumn(title, column.unit, column.kind, column.decimals))
    return tuple(apart)


def _column(column: Column, cells: Sequence[str]) -> SheetColumn:
    values = [cell.value for cell in cells if isinstance(cell, Written)]
    if column.is_number:
        written = [cell for cell in cells if isinstance(cell, Written)]
        places = [len(found.group(1)) for cell in written if (found := _DECIMALS.search(cell))]
        return SheetColumn(column.title, column.unit, "number", max(places, default=0))
    is_of_dates = any(isinstance(value, date) for value in values)
    return SheetColumn(column.title, column.unit, "date" if is_of_dates else "text")


def _value(cell: str, column: SheetColumn) -> Value:
    """What a cell stands for: its number or day where the column is of such, else its words; None for a dash."""
    if isinstance(cell, Written) and column.kind != "text":
        return cell.value
    return None if cell in ("", UNKNOWN) else str(inert(str(cell)))


def _about(page: Page) -> Sheet:
    rows = [
        ("Company", page.company),
        ("Month", page.month),
        ("Period", page.period),
        ("Days", page.state),
        *(("Warning", warning) for warning in page.warnings),
        *((fact.title, fact.text) for fact in page.facts),
        ("Made again by", page.reproduce),
        *((section.title, section.says) for section in page.sections),
    ]
    columns = (SheetColumn("What", "", "text"), SheetColumn("Is", "", "text"))
    return Sheet(
        "about", "What this is", "", columns, tuple((str(inert(what)), str(inert(said))) for what, said in rows)
    )


def _tiles(tiles: Tiles) -> Sheet:
    columns = (
        SheetColumn("What", "", "text"),
        SheetColumn("Figure", "", "number", 2),
        SheetColumn("Unit", "", "text"),
        SheetColumn(MEASURE, "", "text"),
        SheetColumn("Detail", "", "text"),
        SheetColumn(NOT_PROVEN, "", "text"),
        SheetColumn(RECEIPT, "", "text"),
    )
    rows = tuple(
        (
            str(inert(tile.title)),
            _value(tile.figure, columns[1]),
            str(inert(tile.unit)) or None,
            str(inert(tile.measure)) or None,
            str(inert(tile.detail)) or None,
            ", ".join(tile.refused) or None,
            tile.receipt or None,
        )
        for tile in tiles.tiles
    )
    return Sheet("headline", "Headline", "", columns, rows)


def _cards(cards: Sequence[Card]) -> Sheet:
    columns = tuple(SheetColumn(title, "", "text") for title in ("Workload", "What", "Is", NOT_PROVEN, RECEIPT))
    return Sheet(
        "workloads", "Each workload, in words", "", columns, tuple(row for card in cards for row in _facts(card))
    )


def _facts(card: Card) -> Iterator[tuple[Value, ...]]:
    refused = ", ".join(card.refused) or None
    for what, said in (("Why", card.lead), *((fact.title, fact.text) for fact in card.facts)):
        yield (str(inert(card.title)), str(inert(what)), str(inert(said)), refused, card.receipt or None)
