"""The report as a reader meets it: its tables as rows of text, its elements, its ids."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "hr", "img", "input", "link"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: "Element | None" = None
    children: list["Element"] = field(default_factory=list)
    pieces: list["str | Element"] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(
            "".join(piece if isinstance(piece, str) else f" {piece.text} " for piece in self.pieces).split()
        )

    def every(self, *tags: str) -> list["Element"]:
        found = [self] if self.tag in tags else []
        return found + [element for child in self.children for element in child.every(*tags)]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("root", {})
        self.open = self.root
        self.unclosed: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {key: value or "" for key, value in attrs}, self.open)
        self.open.children.append(element)
        self.open.pieces.append(element)
        if tag not in VOID:
            self.open = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open.tag != tag:
            self.unclosed.append(f"</{tag}> inside <{self.open.tag}>")
            return
        assert self.open.parent is not None
        self.open = self.open.parent

    def handle_data(self, data: str) -> None:
        self.open.pieces.append(data)


def read(html: str) -> Element:
    """The document. Raises AssertionError where a tag is not closed in order."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.unclosed == []
    assert reader.open is reader.root
    return reader.root


def section(page: Element, anchor: str) -> Element:
    return next(found for found in page.every("section") if found.attributes.get("id") == anchor)


def table(page: Element, caption: str) -> list[dict[str, str]]:
    """The rows of the table with this caption, by the head of their columns."""
    for found in page.every("table"):
        if found.every("caption")[0].text == caption:
            heads = [head.text for head in found.every("thead")[0].every("th")]
            return [
                dict(zip(heads, [cell.text for cell in row.children], strict=True))
                for row in found.every("tbody")[0].every("tr")
            ]
    raise AssertionError(f"no table {caption!r}: {[found.every('caption')[0].text for found in page.every('table')]}")
