"""Tables for the metadata of an asset. Text from data starts no column, link, tag or emphasis."""

from base64 import b64encode
from collections.abc import Sequence

from pipeline.reports.figures import TEXT_LIMIT, visible

MOST_ROWS = 20
_SPECIAL = "\\|<>[]`*_~&#!$"


def plain_text(text: object) -> str:
    """One line that Markdown shows as it is."""
    return "".join(f"\\{character}" if character in _SPECIAL else character for character in visible(text, TEXT_LIMIT))


def markdown_image(svg: str, says: str) -> str:
    """A picture inside the text: nothing is fetched, and whoever does not see it reads what it says."""
    return f"![{plain_text(says)}](data:image/svg+xml;base64,{b64encode(svg.encode()).decode('ascii')})"


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[object]], *, numbers_from: int | None = None) -> str:
    """The first rows as a Markdown table; columns from `numbers_from` on are right-aligned."""
    edge = len(headers) if numbers_from is None else numbers_from
    lines = [
        _line(headers),
        "|" + "".join("---|" if number < edge else "---:|" for number in range(len(headers))),
        *(_line(row) for row in rows[:MOST_ROWS]),
    ]
    if len(rows) > MOST_ROWS:
        lines += ["", f"and {len(rows) - MOST_ROWS} more rows: `breakeven sql`"]
    return "\n".join(lines)


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(plain_text(cell) for cell in cells) + " |"
