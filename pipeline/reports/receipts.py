"""Receipts: by which every row, tile and card of a report is known, and `explain receipt` answers for its figures."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

from pipeline.errors import BreakevenError
from pipeline.explain.evidence import Evidence, NothingToExplainError
from pipeline.explain.explanation import Equality, Explanation, Rows
from pipeline.explain.traced import Traced, explained, sums
from pipeline.landing.records import digest
from pipeline.paths import sql_root
from pipeline.reports.figures import Written
from pipeline.reports.page import Block, Card, Column, Page, Row, Section, Table, Tiles
from pipeline.reports.sections.statement import Owned

_DIGITS = 10
_RECEIPT = re.compile(r"([0-9a-f]{16})-([0-9]{4}-(?:0[1-9]|1[0-2]))-(?:of([0-9a-f]{8})-)?([0-9a-f]{10})")
_MEASURES = ("billed", "effective", "accrued", "list")
# A currency's code, alone or with what it is per.
_MONEY = re.compile(r"[A-Z]{3}( a month| per 1M tokens)?|in its( own)? currency")


@dataclass(frozen=True)
class Name:
    """A receipt taken apart: the snapshot it is of, the month, whose statement (None: the whole), and which row."""

    snapshot_id: str
    first_day: date
    of: str | None
    number: str


@dataclass(frozen=True)
class Reading:
    """One figure: what it is of, as it is read, its unit, its measure, and its value where it is a number or a day."""

    title: str
    text: str
    unit: str
    measure: str
    value: Decimal | date | None


@dataclass(frozen=True)
class Receipted:
    """What a receipt is of: where it stands, its names, its figures, and how it is explained."""

    receipt: str
    section: Section
    table: str
    names: tuple[str, ...]
    readings: tuple[Reading, ...]
    refused: tuple[str, ...]
    traced: Traced | None


def parsed(receipt: str) -> Name:
    """Raises BreakevenError for what is no receipt."""
    found = _RECEIPT.fullmatch(receipt.strip().lower())
    if found is None:
        raise BreakevenError(
            f"{receipt!r} is no receipt. One is like 0123456789abcdef-2026-10-0123456789, beside each row of a report."
        )
    return Name(found[1], date.fromisoformat(f"{found[2]}-01"), found[3], found[4])


def owner_mark(owned: Owned | None) -> str | None:
    """What stands for an owner in the receipts of a statement."""
    return None if owned is None else digest([owned.by, owned.name])[:8]


def with_receipts(page: Page, *, snapshot_id: str, first_day: date, of: str | None = None) -> Page:
    """The page with a receipt at every row, tile and card. The same page of the same snapshot, the same receipts.

    `of`: the `owner_mark` of whose statement it is.
    """
    seen: dict[str, int] = {}
    begin = f"{snapshot_id}-{first_day:%Y-%m}-" + ("" if of is None else f"of{of}-")

    def named(*said: str) -> str:
        # What is there twice under the same names is told apart by its place.
        key = digest(list(said))
        seen[key] = seen.get(key, 0) + 1
        number = digest([*said, str(seen[key])])[:_DIGITS]
        return f"{begin}{number}"

    sections = [
        replace(section, blocks=tuple(_receipted(block, section, named) for block in section.blocks))
        for section in page.sections
    ]
    return replace(page, sections=tuple(sections), receipts_begin=begin)


def _receipted(block: Block, section: Section, named: Callable[..., str]) -> Block:
    if isinstance(block, Table):
        return replace(
            block,
            rows=tuple(
                replace(row, receipt=named(section.anchor, block.name, row.kind, *_names(block.columns, row)))
                for row in block.rows
            ),
        )
    if isinstance(block, Tiles):
        tiles = tuple(replace(tile, receipt=named(section.anchor, "tile", tile.title)) for tile in block.tiles)
        return replace(block, tiles=tiles)
    if isinstance(block, Card):
        return replace(block, receipt=named(section.anchor, "card", block.title))
    return block


def _names(columns: Sequence[Column], row: Row) -> list[str]:
    """The cells that say what the row is of."""
    return [
        str(cell)
        for cell, column in zip(row.cells, columns, strict=True)
        if not column.is_number and not column.is_prose
    ]


def all_receipted(page: Page) -> Iterator[Receipted]:
    """Everything on the page that has a receipt, in its order."""
    for section in page.sections:
        for block in section.blocks:
            if isinstance(block, Table):
                for row in block.rows:
                    names = tuple(name for name in _names(block.columns, row) if name)
                    readings = tuple(_readings(block, row))
                    yield Receipted(row.receipt, section, block.caption, names, readings, row.refused, row.traced)
            elif isinstance(block, Tiles):
                for tile in block.tiles:
                    reading = Reading(tile.title, str(tile.figure), tile.unit, tile.measure, _value(tile.figure))
                    yield Receipted(
                        tile.receipt, section, section.title, (tile.title,), (reading,), tile.refused, tile.traced
                    )
            elif isinstance(block, Card):
                facts = tuple(Reading(fact.title, fact.text, "", "", _value(fact.text)) for fact in block.facts)
                yield Receipted(
                    block.receipt, section, section.title, (block.title,), facts, block.refused, block.traced
                )


def receipted(page: Page, receipt: str) -> Receipted:
    """What the receipt is of. Raises BreakevenError where this page has no such row."""
    found = next((one for one in all_receipted(page) if one.receipt == receipt.strip().lower()), None)
    if found is None:
        raise BreakevenError(
            f"The report of {page.month} from this snapshot has no row {receipt}. Another release of breakeven may "
            f"have written it; the report is made again by: {page.reproduce}"
        )
    return found


def measure_of(table: Table, column: Column, row: Row) -> str:
    """What the money of a cell is: as its column says, by its head or for itself, else as a cell of the row says."""
    if column.measure:
        return column.measure
    words = re.findall("[a-z]+", column.title.lower())
    named = [measure for measure in _MEASURES if measure in words]
    if named:
        return named[0]
    said = [cell for cell, one in zip(row.cells, table.columns, strict=True) if one.title == "Measure" and cell]
    return str(said[0]) if said else ""


def is_money(column: Column) -> bool:
    return column.is_number and _MONEY.fullmatch(column.unit) is not None


def _readings(table: Table, row: Row) -> Iterator[Reading]:
    for cell, column in zip(row.cells, table.columns, strict=True):
        if column.is_number and cell:
            measure = measure_of(table, column, row) if is_money(column) else ""
            yield Reading(column.title, str(cell), column.unit, measure, _value(cell))


def _value(text: str) -> Decimal | date | None:
    return text.value if isinstance(text, Written) else None


def _comes_back(reading: Reading, sums: Mapping[str, Decimal | Fraction]) -> tuple[Fraction, Fraction] | None:
    """The figure as the report has it and as its rows add up to; None where these rows say nothing of it."""
    if not isinstance(reading.value, Decimal):
        return None
    if reading.unit in ("h", "GPU-hours"):
        name = "gpu_hours"
    elif reading.title == "Tokens":
        name = "tokens"
    else:
        name = reading.measure
    if name not in sums:
        return None
    # Hours are the one figure that a question answers in floating point.
    places = 6 if name == "gpu_hours" else 18
    return round(Fraction(reading.value), places), round(Fraction(sums[name]), places)


def explained_receipt(evidence: Evidence, *, page: Page, found: Receipted) -> Explanation:
    """The figures of a receipt, what they were asked of the snapshot by, and, where rows can be followed, down to what
    landed: each figure that is a sum of rows is added up again.
    """
    figures = Rows.of(
        f"{found.table}: {' · '.join(found.names)}" if found.names else found.table,
        [
            {
                "figure": reading.title,
                "reads": reading.text,
                "unit": reading.unit or None,
                "measure": reading.measure or None,
                "exactly": reading.value,
            }
            for reading in found.readings
        ],
    )
    asked = Rows.of(
        "What the section was answered by",
        [
            {"question": f"sql/reports/{name}.sql", "reads": ", ".join(_tables_of(evidence, name))}
            for name in found.section.questions
        ],
    )
    said = (
        f"{found.section.title}: {found.section.says}",
        page.state,
        *(f"Not proven: {law} is broken where these figures come from." for law in found.refused),
    )
    title = f"Receipt {found.receipt}: {page.month}, {found.section.title}"
    again = f"The page that has it is made again, byte for byte, by: {page.reproduce}"
    alone = Explanation(title, evidence.snapshot.snapshot_id, said, (figures,), (asked,), (), (), (again,))
    if found.traced is None:
        return alone
    try:
        below = explained(evidence, found.traced)
    except NothingToExplainError as error:
        # An invoice that somebody entered has no lines of its own to follow.
        return replace(alone, outside_check=(str(error), again))
    of_rows = sums(evidence, found.traced)
    equalities = [
        Equality(f"the report's {reading.title} = its rows added up", *both)
        for reading in found.readings
        if (both := _comes_back(reading, of_rows)) is not None
    ]
    return replace(
        below,
        title=title,
        formula=(*said, f"Below: {below.title}.", *below.formula),
        figures=(figures, *below.figures),
        inputs=(asked, *below.inputs),
        equalities=(*equalities, *below.equalities),
    )


def _tables_of(evidence: Evidence, question: str) -> list[str]:
    text = (sql_root() / "reports" / f"{question}.sql").read_text(encoding="utf-8")
    words = set(re.findall(r"[a-z0-9_]+", text))
    return sorted(name for name in evidence.snapshot.nodes if name in words)
