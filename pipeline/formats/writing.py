"""How a figure and a text are written wherever a person reads them: exact rounding, no locale, nothing hidden."""

import unicodedata
from decimal import ROUND_HALF_EVEN, Decimal

Number = Decimal | int | float

_LINE_BREAKS = "\t\n\r\v\f\x85\u2028\u2029"
_HIDING = ("Cc", "Cf", "Cs", "Co", "Cn")


def fixed(value: Number, decimals: int, *, least_decimals: int | None = None) -> str:
    """Rounded half to even to `decimals`, of which zeros at the end may go down to `least_decimals`.

    What is not zero is never written as zero.
    """
    exact = Decimal(str(value))
    step = Decimal(1).scaleb(-decimals)
    rounded = exact.quantize(step, rounding=ROUND_HALF_EVEN)
    if rounded == 0 and exact != 0:
        return f"<{step:f}" if exact > 0 else f">−{step:f}"
    text = f"{abs(rounded):,f}"
    for _ in range(decimals - (decimals if least_decimals is None else least_decimals)):
        text = text.removesuffix("0")
    return f"−{text.removesuffix('.')}" if rounded < 0 else text.removesuffix(".")


def printable(text: str) -> str:
    """Text from data as a terminal may be given it: what would steer it, or turn the line around, is spelled out."""
    return "".join(
        character if character.isprintable() or character == "\n" else character.encode("unicode_escape").decode()
        for character in text
    )


def one_line(text: str) -> str:
    """Text from data on one line: line breaks and tabs become spaces; control, direction and invisible characters,
    which could hide or reorder what is read, become U+FFFD.
    """
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in _LINE_BREAKS:
        return " "
    return "\ufffd" if unicodedata.category(character) in _HIDING else character
