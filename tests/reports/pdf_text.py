"""The text of a PDF that typst wrote, page by page, in the order in which it is drawn: enough of the format."""

import re
import zlib

_OBJECT = re.compile(rb"(?:^|\n)(\d+) 0 obj\s(.*?)\sendobj", re.DOTALL)
_STREAM = re.compile(rb"stream\r?\n(.*)\r?\nendstream", re.DOTALL)
# Parentheses that match within a string need no backslash.
_STRING = rb"\((?:\\.|[^\\()])*\)"
for _ in range(4):
    _STRING = rb"\((?:\\.|[^\\()]|%b)*\)" % _STRING
_TOKEN = re.compile(
    rb"/(f\d+) [\d.]+ Tf|(\[(?:%b|[^\[\]()])*\]\s*TJ|%b\s*Tj)|/ActualText<FEFF([0-9A-F]*)>|(\bBT\b|\bEMC\b)"
    % (_STRING, _STRING),
    re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|(.))", re.DOTALL)
_NAMED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def pages(pdf: bytes) -> list[str]:
    """The text of each page; a line where a new piece of text begins."""
    objects = {int(number): body for number, body in _OBJECT.findall(pdf)}
    return [
        _text(_stream(objects[int(contents)]), _fonts(objects, body))
        for body in objects.values()
        if re.search(rb"/Type/Page\b(?!s)", body)
        for contents in re.findall(rb"/Contents (\d+) 0 R", body)
    ]


def squeezed(text: str) -> str:
    """Without spaces and without the places where a line may break: what is compared where lines wrap."""
    return re.sub(r"[\s\u200b\u00ad]+", "", text)


def _stream(body: bytes) -> bytes:
    found = _STREAM.search(body)
    assert found is not None
    return zlib.decompress(found[1]) if b"/FlateDecode" in body[: found.start()] else found[1]


def _fonts(objects: dict[int, bytes], page: bytes) -> dict[bytes, dict[int, str]]:
    found = re.search(rb"/Resources (\d+) 0 R", page)
    resources = objects[int(found[1])] if found else page
    return {
        name: _characters(_stream(objects[int(re.search(rb"/ToUnicode (\d+) 0 R", objects[int(font)])[1])]))
        for name, font in re.findall(rb"/(f\d+) (\d+) 0 R", resources)
    }


def _characters(cmap: bytes) -> dict[int, str]:
    found = {}
    for block in re.findall(rb"beginbfchar(.*?)endbfchar", cmap, re.DOTALL):
        for glyph, text in re.findall(rb"<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>", block):
            found[int(glyph, 16)] = bytes.fromhex(text.decode()).decode("utf-16-be")
    assert b"beginbfrange" not in cmap
    return found


def _text(content: bytes, fonts: dict[bytes, dict[int, str]]) -> str:
    pieces, font, said_already = [], {}, False
    for name, shown, actual, word in _TOKEN.findall(content):
        if name:
            font = fonts[name]
        elif actual:
            pieces.append(bytes.fromhex(actual.decode()).decode("utf-16-be"))
            said_already = True
        elif word == b"EMC":
            said_already = False
        elif word == b"BT":
            pieces.append("\n")
        elif not said_already:
            glyphs = b"".join(one[1:-1] for one in re.findall(_STRING, shown, re.DOTALL))
            codes = _ESCAPE.sub(lambda one: bytes([int(one[1], 8)]) if one[1] else _NAMED.get(one[2], one[2]), glyphs)
            pieces += [font.get(codes[at] << 8 | codes[at + 1], "\ufffd") for at in range(0, len(codes), 2)]
    return "".join(pieces)
