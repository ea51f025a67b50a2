"""The report as a PDF that prints: the same page, set by typst. Same release and same snapshot, same bytes.

What the page says goes in as data, which typst never reads as markup; the template is ours alone. Fonts are those that
typst brings, so that no machine's own change the bytes; what none of them can draw is written by its number: [U+4E2D].
"""

import dataclasses
import json
import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any
from xml.etree import ElementTree

from pipeline.reports.page import Block, Figure, Page, Table

# For reading aloud (ISO 14289): tagged, with a title, a language and words in the place of charts.
_STANDARD = "ua-1"
# A tag takes 400 bytes. A table beyond this is read by a program, from the workbook or the page.
_MOST_TAGGED_CELLS = 8_000
# Where a long name may go on in the next line: a hyphen is such a place already, but for one before a digit; others are
# made, after what separates its parts or else anywhere.
_LONG_WORD = re.compile(r"(?:[^\s-]|-(?=[0-9])){15,}")
# What some font may not have. A report with a character that none has would be refused as a whole.
_UNSURE = re.compile(r"[^ -~\u200b]")
_WIDER_THAN_A_LINE = re.compile(r"\S{101,}")
_PIECE = re.compile(r"[^_/.:@=+,-]{1,20}[_/.:@=+,-]*|[_/.:@=+,-]{1,20}")
_NOT_READ = ("svg", "swatch", "kind", "receipt")
_NOT_PRINTED = ("traced", "questions", "is_settled", "is_final")
_SVG = "{http://www.w3.org/2000/svg}"


def as_pdf(page: Page, *, snapshot_id: str, as_of: datetime) -> bytes:
    """A4 pages. `as_of`: the moment that the file calls its own. Tagged for reading aloud up to 8,000 cells."""
    import typst

    title = f"LLM costs, {page.month}: {page.company}"
    said = {
        **_said(page),
        "title": _drawn(title),
        "running": _said(f"{title}. Snapshot {snapshot_id}"),
        "explained": _command(f"breakeven explain receipt {page.receipts_begin}NUMBER"),
        "reproduce": _command(f"{page.reproduce} --format pdf"),
    }
    template = files("pipeline.reports").joinpath("templates/report.typ").read_bytes()
    # It takes files by name, which its own types do not know.
    compiled: Any = typst.compile
    made: bytes = compiled(
        {"main.typ": template, "page.json": json.dumps(said, ensure_ascii=False).encode()},
        format="pdf",
        ignore_system_fonts=True,
        font_paths=[],
        **({"pdf_standards": [_STANDARD]} if _cells(page) <= _MOST_TAGGED_CELLS else {"pdf_tags": False}),
        timestamp=int(as_of.timestamp()),
    )
    return made


def _command(text: str) -> str:
    """As it is, to be copied, but for a name that no line holds."""
    return _WIDER_THAN_A_LINE.sub(_with_breaks, _drawn(text))


def _drawn(text: str) -> str:
    # A tab is drawn or not by what stands beside it.
    spaced = re.sub(r"[\t\n\r]", " ", text)
    return _UNSURE.sub(lambda found: found[0] if _is_drawn(found[0]) else f"[U+{ord(found[0]):04X}]", spaced)


@cache
def _is_drawn(character: str) -> bool:
    """Whether one of typst's own fonts has it: fonts are asked by setting it."""
    import typst

    template = b'#set document(title: "c")\n#json("c.json")'
    compiled: Any = typst.compile
    try:
        compiled(
            {"main.typ": template, "c.json": json.dumps(character).encode()},
            format="pdf",
            ignore_system_fonts=True,
            font_paths=[],
            pdf_standards=[_STANDARD],
        )
    except typst.TypstError:
        return False
    return True


def _cells(page: Page) -> int:
    tables = (block for section in page.sections for block in section.blocks if isinstance(block, Table))
    return sum(len(table.columns) * len(table.rows) for table in tables)


def _said(of: Any, key: str = "") -> Any:
    """A page, and what it is made of, as JSON has it: by the names of its fields, a block with its kind. Words too long
    for a line may break; what is an image or a colour stays.
    """
    if dataclasses.is_dataclass(of):
        names = [field.name for field in dataclasses.fields(of) if field.name not in _NOT_PRINTED]
        said = {name: _said(getattr(of, name), name) for name in names}
        if isinstance(of, Figure):
            said["alt"] = _said_of(str(of.svg)) or of.caption
        return said | ({"block": of.block} if isinstance(of, Block) else {})
    if isinstance(of, str):
        # A chart has names in it too.
        return _drawn(str(of)) if key in _NOT_READ else _LONG_WORD.sub(_with_breaks, _drawn(of))
    return [_said(one, key) for one in of] if isinstance(of, Sequence) else of


def _with_breaks(word: re.Match[str]) -> str:
    return "\u200b".join(_PIECE.findall(word[0]))


def _said_of(svg: str) -> str:
    """What a chart says to whoever does not see it: its title and its description."""
    root = ElementTree.fromstring(svg)
    found = (root.findtext(f"{_SVG}{name}") or "" for name in ("title", "desc"))
    return ". ".join(text.strip().rstrip(".") for text in found if text.strip())
