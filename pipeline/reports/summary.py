"""The report as a Markdown summary, for a channel: what each section says, what changed, and what to do."""

import re
from collections.abc import Iterable

from pipeline.reports.page import Page, Section, Table, Tiles

# Tables that a channel has room for, by name, and how many of their lines.
_SHOWN = ("changes", "budgets", "prepaid", "verdicts", "advice")
_MOST_LINES = 12
# What GitHub's Markdown would read in text from data: markup, mentions, addresses, and what makes a list or a rule of a
# line that begins with it.
_MARKUP = re.compile(r"[\\`*_\[\]<>#|~@$]|:(?=//)|(?<=www)\.|^(?:[-+=]|[0-9]+(?=[.)](?: |$)))", re.IGNORECASE)


def as_markdown(page: Page) -> str:
    """GitHub's Markdown. Text from data is escaped: it is no link, no markup, no mention."""
    lines = [f"# LLM costs, {_text(page.month)}: {_text(page.company)}", "", _text(page.period), "", _text(page.state)]
    for warning in page.warnings:
        lines += ["", f"> {_text(warning)}"]
    for section in page.sections:
        lines += ["", *_section(section)]
    lines += ["", f"Made again by {_code(page.reproduce)}"]
    lines += ["", ", ".join(f"{_text(fact.title)} {_text(fact.text)}" for fact in page.facts), ""]
    return "\n".join(lines)


def _section(section: Section) -> Iterable[str]:
    yield f"## {_text(section.title)}"
    yield ""
    yield _text(section.says)
    for block in section.blocks:
        if isinstance(block, Tiles):
            yield ""
            for tile in block.tiles:
                refused = f" (not proven: {', '.join(map(_text, tile.refused))})" if tile.refused else ""
                yield f"- {_text(tile.title)}: **{_text(tile.figure)} {_text(tile.unit)}**{refused}"
        elif isinstance(block, Table) and block.name in _SHOWN and block.rows:
            yield ""
            yield from _table(block)


def _table(table: Table) -> Iterable[str]:
    yield f"**{_text(table.caption)}**"
    yield ""
    heads = (f"{column.title} ({column.unit})" if column.unit else column.title for column in table.columns)
    yield _row(heads)
    yield _row_of(":--" if not column.is_number else "--:" for column in table.columns)
    lines = [row for row in table.rows if row.kind != "total"][:_MOST_LINES]
    ends = [row for row in table.rows if row.kind == "total"]
    for row in [row for row in table.rows if row in lines or row in ends]:
        name, *cells = row.cells
        yield _row((f"{name} (not proven)" if row.refused else name, *cells))
    left_out = len(table.rows) - len(lines) - len(ends)
    if left_out > 0:
        yield ""
        yield f"{left_out} more in the report."


def _row(cells: Iterable[str]) -> str:
    return _row_of(map(_text, cells))


def _row_of(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    """As a piece of code, which ends at as many backticks as it begins with: more than any run in it."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def _text(text: str) -> str:
    return _MARKUP.sub(lambda found: f"\\{found.group()}", " ".join(text.split()))
