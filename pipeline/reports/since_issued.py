"""What a month's report says otherwise than the one that was issued before: figure by figure, in words.

The report that was issued is made again from its own snapshot, which is kept because the report cites it, so that both
are told by this release and only figures differ: after an upgrade, by what it works out otherwise. That it is the same
report is said where its bytes are those that were issued.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from pipeline.decisions.graph import kept_snapshot
from pipeline.errors import BuildError
from pipeline.landing.landing import REPORT_EVENT
from pipeline.landing.project import Project
from pipeline.landing.records import Event, digest
from pipeline.reports import figures
from pipeline.reports.monthly import Made, page_of
from pipeline.reports.page import COMMITTED_UNTIL, Page
from pipeline.reports.sheets import MEASURE, NOT_PROVEN, RECEIPT, ROW_KIND, Sheet, Value, sheets_of

# Facts of the snapshot itself and words; what laws, receipts and measures say of a row is no figure of it.
_ABOUT = "about"
_NO_FIGURES = frozenset({ROW_KIND, NOT_PROVEN, MEASURE, RECEIPT, COMMITTED_UNTIL})


@dataclass(frozen=True)
class Difference:
    """One figure of both reports, or a row that one of them has not. row: its cells that are no figures."""

    table: str
    row: str
    column: str
    was: Value
    now: Value

    def in_words(self) -> str:
        """`API spend, billed · main: Billed (USD) was 12.50, is 13.00`"""
        of = " · ".join(part for part in (self.table, self.row) if part)
        if not self.column:
            return f"{of}: {self.now}"
        return f"{of}: {self.column} was {_shown(self.was)}, is {_shown(self.now)}"


def last_issued(project: Project, month: str) -> Event | None:
    """The page that was issued last of a month; None where none was."""
    issued = [
        one
        for one in project.landing.events(REPORT_EVENT)
        if one.subject == month and one.body.keys() == {"snapshot_id", "sha256"}
    ]
    return max(issued, key=lambda one: (one.at, one.event_id), default=None)


def differences(before: Page, after: Page) -> list[Difference]:
    """Figures that are not the same, in the order of the later report; rows that only one of them has, once each."""
    olds = {sheet.name: sheet for sheet in sheets_of(before)}
    news = sheets_of(after)
    found = [
        one for sheet in news if sheet.name != _ABOUT for one in _of_table(olds.get(sheet.name), sheet, sheet.caption)
    ]
    gone = olds.keys() - {sheet.name for sheet in news}
    return [*found, *(one for name in sorted(gone) for one in _of_table(olds[name], None, olds[name].caption))]


def _of_table(old: Sheet | None, new: Sheet | None, caption: str) -> Iterator[Difference]:
    was, now = _rows(old), _rows(new)
    for key in [*now, *(key for key in was if key not in now)]:
        row = ", ".join(str(cell) for cell in key[0] if cell is not None)
        if key not in was or key not in now:
            yield Difference(caption, row, "", None, "is new" if key in now else "is gone")
            continue
        for column in now[key]:
            if column in was[key] and was[key][column] != now[key][column]:
                yield Difference(caption, row, column, was[key][column], now[key][column])


_Key = tuple[tuple[Value, ...], int]


def _rows(sheet: Sheet | None) -> dict[_Key, dict[str, Value]]:
    """The cells that name a row, and which of those named alike it is -> its figures by the head of their column."""
    if sheet is None:
        return {}
    seen: Counter[tuple[Value, ...]] = Counter()
    rows: dict[_Key, dict[str, Value]] = {}
    for cells in sheet.rows:
        pairs = list(zip(sheet.columns, cells, strict=True))
        name = tuple(cell for column, cell in pairs if column.kind != "number" and column.title not in _NO_FIGURES)
        seen[name] += 1
        rows[name, seen[name]] = {column.head: cell for column, cell in pairs if column.kind == "number"}
    return rows


def since_issued(project: Project, made: Made, issued: Event, *, most: int) -> Iterator[str]:
    """What to tell beside a report that was made anew. `issued`: the one of before; `most`: figures that are shown."""
    day = figures.day(issued.at.date())
    before_id = issued.body["snapshot_id"]
    page = next((path for path in made.paths if path.suffix == ".html"), None)
    if page is not None and digest(page.read_bytes()) == issued.body["sha256"]:
        yield f"The same, to the byte, as issued on {day}."
        return
    if before_id == made.snapshot.snapshot_id:
        if page is not None:
            yield f"Of the same snapshot as the report of {day}: its figures are those, its words are this release's."
        return
    try:
        kept = kept_snapshot(project, before_id)
        found = differences(page_of(project, kept, first_day=date.fromisoformat(f"{made.month}-01")), made.page)
    except BuildError as error:
        yield f"Not compared with the report of {day}: {error}"
        return
    told = f"the report of {day} (snapshot {before_id}, release {kept.release})"
    if not found:
        yield f"No figure is another than in {told}."
        return
    yield f"{figures.counted(len(found), 'figure or row', 'figures or rows')} not as in {told}:"
    yield from (f"  {one.in_words()}" for one in found[:most])
    if len(found) > most:
        yield f"  and {len(found) - most:,} more."


def _shown(value: Value) -> str:
    if value is None:
        return "unknown"
    if not isinstance(value, Decimal):
        return str(value)
    text = format(value, "f")
    return text.rstrip("0").removesuffix(".") if "." in text else text
