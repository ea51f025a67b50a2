"""Text from data as a message may hold it: inert however it is read, cut to Slack's limits; amounts and counts."""

import re
from collections.abc import Mapping
from decimal import Decimal

from pipeline.formats import currency as currencies
from pipeline.formats.writing import Number, fixed, one_line


def quantity(value: Decimal | int | float) -> str:
    """A count in words of three digits: 66.7M. Below a million all digits are shown."""
    number = Decimal(str(value))
    for power, suffix in ((12, "T"), (9, "B"), (6, "M")):
        scaled = number / Decimal(10**power)
        if abs(scaled) >= 1:
            decimals = max(0, 2 - len(str(int(abs(scaled)))) + 1)
            return f"{scaled:,.{decimals}f}{suffix}"
    return fixed(number, 0)


def money(amount: Number | None, currency: str, *, most_decimals: int = 0) -> str:
    """An amount as a sentence says it; `most_decimals`: as many of them as are not zero."""
    return "unknown" if amount is None else currencies.money(amount, currency, most_decimals=most_decimals)


def inert(text: str, limit: int) -> str:
    """Text from data on one line, without characters that hide or reorder what is read; cut to `limit` characters."""
    line = one_line(text)
    return line if utf16_units(line) <= limit else _cut(line, limit)


# Look-alikes, because Slack has no escape for its formatting characters (only & < > have one).
_LOOK_ALIKES: Mapping[str, str] = {"*": "∗", "_": "ˍ", "~": "∼", "`": "ˋ"}
_FORMATTING = re.compile(r"(?<![^\W_])[*_~]|[*_~](?![^\W_])|`|[*~]")
_EMOJI = re.compile(r":(?=[A-Za-z0-9_+'-]+:)")
_ENTITY = re.compile(r"&(?=#?\w+;)")
_MENTION = re.compile(r"(?<!\w)@(?=\w)")


def mrkdwn(text: str, limit: int) -> str:
    """Text that Slack shows as written inside mrkdwn: no mention, link, emoji, bold; at most `limit` after escaping."""
    return _escaped(_without_formatting(text), limit)


def code(text: str, limit: int) -> str:
    """Text for inside a code span, where only a backtick and & < > mean something."""
    return _escaped(text.replace("`", _LOOK_ALIKES["`"]), limit)


def _escaped(literal: str, limit: int) -> str:
    pieces: list[str] = []
    used = 0
    for index, character in enumerate(literal):
        piece = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(character, character)
        length = utf16_units(piece)
        is_last = index == len(literal) - 1
        if used + length > limit - (0 if is_last else 1):
            return "".join(pieces) + "…"
        pieces.append(piece)
        used += length
    return "".join(pieces)


def plain_text(text: str, limit: int) -> str:
    """Text for a plain_text object, inert however it is read: angle brackets become quotation marks."""
    literal = _ENTITY.sub("＆", _without_formatting(text)).translate({ord("<"): "‹", ord(">"): "›"})
    return literal if utf16_units(literal) <= limit else _cut(literal, limit)


def _without_formatting(text: str) -> str:
    text = _FORMATTING.sub(lambda found: _LOOK_ALIKES[found.group()], text)
    text = _EMOJI.sub("꞉", text)
    return _MENTION.sub("＠", text)


def utf16_units(text: str) -> int:
    """UTF-16 units, the larger of the ways in which Slack may count."""
    return sum(2 if ord(character) > 0xFFFF else 1 for character in text)


def cut(text: str, limit: int) -> str:
    """At most `limit` UTF-16 units; what is cut ends with an ellipsis."""
    return text if utf16_units(text) <= limit else _cut(text, limit)


def _cut(text: str, limit: int) -> str:
    used = 0
    for index, character in enumerate(text):
        used += utf16_units(character)
        if used > limit - 1:
            return text[:index] + "…"
    return text
