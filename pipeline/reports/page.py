"""What a report is made of: sections of sentences, tables and charts. Text here is plain; only a chart is markup."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.explain.traced import Traced

# The head of a column that says until when what a row is of is paid for.
COMMITTED_UNTIL = "Committed until"


@dataclass(frozen=True)
class Column:
    """A table's column. `unit` stands in its head, so that cells are numbers only. `is_prose`: cells hold sentences.

    `measure`: what its money is (billed, effective, accrued, list, saved, ...) where neither its head nor a cell of
    the row says so.
    """

    title: str
    unit: str = ""
    is_number: bool = False
    is_prose: bool = False
    measure: str = ""


@dataclass(frozen=True)
class Row:
    """`cells` in the order of the columns, the first one naming the row; `swatch` is its colour in the chart.

    `refused`: laws broken where this row's figures come from. `kind`: line, total, or part (of the line above).
    `traced`: what `explain` follows to landed rows. `receipt`: by which `explain receipt` knows its figures.
    """

    cells: tuple[str, ...]
    refused: tuple[str, ...] = ()
    kind: str = "line"
    swatch: str = ""
    traced: Traced | None = None
    receipt: str = ""


@dataclass(frozen=True)
class Table:
    """`name` is that of its file and its sheet, which stay when a caption is worded anew."""

    block: ClassVar[str] = "table"
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    empty: str = "Nothing in this month."
    note: str = ""
    name: str = ""


@dataclass(frozen=True)
class Legend:
    """One entry of a chart's key."""

    label: str
    swatch: str


@dataclass(frozen=True)
class Figure:
    """A chart. `svg` was made by `charts`, which escapes whatever text it shows."""

    block: ClassVar[str] = "figure"
    svg: Markup
    caption: str
    legend: tuple[Legend, ...] = ()


@dataclass(frozen=True)
class Note:
    block: ClassVar[str] = "note"
    text: str
    is_warning: bool = False


@dataclass(frozen=True)
class Tile:
    """One figure of the headline with its unit and who says so."""

    title: str
    figure: str
    unit: str
    detail: str = ""
    refused: tuple[str, ...] = ()
    measure: str = ""
    traced: Traced | None = None
    receipt: str = ""


@dataclass(frozen=True)
class Tiles:
    block: ClassVar[str] = "tiles"
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Fact:
    title: str
    text: str


@dataclass(frozen=True)
class Card:
    """One workload: what to do, why, and the figures behind it."""

    block: ClassVar[str] = "card"
    anchor: str
    title: str
    lead: str
    facts: tuple[Fact, ...]
    figures: tuple[Figure, ...] = ()
    refused: tuple[str, ...] = ()
    traced: Traced | None = None
    receipt: str = ""


Block = Table | Figure | Note | Tiles | Card


@dataclass(frozen=True)
class Section:
    """`says`: one plain sentence of what is so. `questions`: the files of `sql/reports/` that it was answered by."""

    anchor: str
    title: str
    says: str
    blocks: Sequence[Block] = ()
    questions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """`receipts_begin`: what all receipts of it have in common, before the number of a row. `is_settled`: the month is
    over and every day of it settled. `is_final`: it is closed.
    """

    company: str
    month: str
    period: str
    state: str
    sections: Sequence[Section]
    facts: Sequence[Fact]
    reproduce: str
    warnings: Sequence[str] = field(default_factory=tuple)
    receipts_begin: str = ""
    is_settled: bool = False
    is_final: bool = False


def render(page: Page) -> str:
    """The page as one HTML text that asks nothing of the network and runs nothing."""
    environment = Environment(
        loader=PackageLoader("pipeline.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    facts: Mapping[str, object] = {"page": page}
    return environment.get_template("monthly.html.j2").render(facts)
