"""Text to exact values: decimals, counts, instants, CSV rows and JSON, each refused with its reason and place."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from pipeline.errors import QuarantineError

# DECIMAL(38,18) holds 20 digits before the point and 18 after it.
_WHOLE_DIGITS = 20
FRACTION_DIGITS = 18
# More than any spelling has: a caller that rounds takes them all.
_ANY_FRACTION_DIGITS = 10_000
# More than all providers together serve in a day: what is larger is no count, and its sums could not be held.
_LARGEST_COUNT = 10**15
# In any currency: no line of a bill and no day of one is for as much; sums over years of what is below can be held.
TOO_MUCH_MONEY = 10**15
# Unix seconds of the year 2200: what is larger are milliseconds.
_LARGEST_UNIX_SECONDS = 7_258_118_400

_DECIMAL = re.compile(r"[+-]?(?:\d{1,60}(?:\.\d{0,60})?|\.\d{1,60})(?:[eE][+-]?\d{1,4})?", re.ASCII)
_PLAIN = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)", re.ASCII)
# What may stand around a number in a cell. Not all that `str.strip` takes: a control character is where a digit was.
BLANKS = " \t\r\n\u00a0"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_QUANTUM = Decimal(1).scaleb(-FRACTION_DIGITS)
# Wide enough for every spelling that `_DECIMAL` matches within 20 digits before the point.
_ROUNDING = Context(prec=_WHOLE_DIGITS + FRACTION_DIGITS + 1, rounding=ROUND_HALF_EVEN)


class JsonNumber(str):
    """A JSON number with a point or an exponent, kept as it was spelled: a float would already have rounded it."""

    __slots__ = ()


def decimal_text(value: object, *, name: str, where: str, fraction_digits: int = FRACTION_DIGITS) -> str:
    """`value` as decimal text in the vendor's spelling (an exponent is written out), exact in DECIMAL(38,18).

    Raises QuarantineError, naming `where`, for anything that is not a number or needs more than `fraction_digits`.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise QuarantineError(f"{where}: {name} is {_shown(value)}, not a decimal number.")
    text = str(value).strip(BLANKS)
    if _DECIMAL.fullmatch(text) is None:
        raise QuarantineError(f"{where}: {name} is {_shown(value)}, not a decimal number.")
    number = Decimal(text)
    if number and (number.adjusted() >= _WHOLE_DIGITS or _fraction_digits(number) > fraction_digits):
        raise QuarantineError(
            f"{where}: {name} is {_shown(value)}, which cannot be held exactly: at most {_WHOLE_DIGITS} digits before "
            f"and {fraction_digits} after the point."
        )
    if _PLAIN.fullmatch(text):
        return text
    return format(number, "f") if number else "0"


def nearest_decimal_text(value: object, *, name: str, where: str) -> str:
    """`value` as decimal text; what is finer than 10^-18 is rounded to it, half to even.

    For amounts that a vendor holds as binary floats: 0.0000033 comes as 3.3000000000000003e-06, whose last digits are
    no money. The caller keeps the spelling where rounding changed it.
    """
    text = decimal_text(value, name=name, where=where, fraction_digits=_ANY_FRACTION_DIGITS)
    number = Decimal(text)
    if _fraction_digits(number) <= FRACTION_DIGITS:
        return text
    return format(number.quantize(_QUANTUM, context=_ROUNDING), "f")


def count(value: object, *, name: str, where: str) -> int | None:
    """`value` as a count; None stays None, because missing is not zero. A fraction, a sign or text is refused."""
    if value is None:
        return None
    if isinstance(value, JsonNumber):
        number = Decimal(decimal_text(value, name=name, where=where))
        value = int(number) if number == number.to_integral_value() else value
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST_COUNT:
        raise QuarantineError(f"{where}: {name} is {_shown(value)}, not a count.")
    return value


def text_or_none(value: object, *, name: str, where: str) -> str | None:
    """A text field. null stays null: it is a value (default workspace, Console key)."""
    if value is None or (isinstance(value, str) and not isinstance(value, JsonNumber)):
        return value
    raise QuarantineError(f"{where}: {name} is {_shown(value)}, not text.")


def iso_date(value: object, *, name: str, where: str) -> date:
    """A calendar date spelled YYYY-MM-DD and nothing else."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise QuarantineError(f"{where}: {name} is {_shown(value)}, not a date YYYY-MM-DD.")


def instant(value: object, *, name: str, where: str) -> datetime:
    """An RFC 3339 instant with its offset, as UTC."""
    if isinstance(value, str) and "T" in value:
        try:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise QuarantineError(
        f"{where}: {name} is {_shown(value)}, not an instant with an offset, as 2026-06-18T00:00:00Z."
    )


def unix_instant(value: object, *, name: str, where: str) -> datetime:
    """Whole Unix seconds, as UTC."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST_UNIX_SECONDS:
        return datetime.fromtimestamp(value, tz=UTC)
    raise QuarantineError(f"{where}: {name} is {_shown(value)}, not Unix seconds, as 1788220800.")


def exact_json(content: bytes) -> Any:
    """One JSON document; numbers with a point are JsonNumber. NaN, a key given twice and a cut text are refused."""
    try:
        return _loads(_utf8(content))
    except json.JSONDecodeError as error:
        raise _not_json(error) from None


def json_documents(content: bytes) -> list[Any]:
    """The documents of a file that holds one, an array of them, or one a line."""
    text = _utf8(content)
    try:
        document = _loads(text)
    except json.JSONDecodeError as error:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) < 2:
            raise _not_json(error) from None
        documents = []
        for number, line in enumerate(lines, start=1):
            try:
                documents.append(_loads(line))
            except json.JSONDecodeError as line_error:
                raise _not_json(line_error, line=number) from None
        return documents
    return document if isinstance(document, list) else [document]


def canonical_json(value: object) -> str:
    """JSON with sorted keys and numbers in the spelling they arrived in."""
    if isinstance(value, JsonNumber):
        return str(value)
    if isinstance(value, Mapping):
        members = (f"{json.dumps(str(key), ensure_ascii=False)}: {canonical_json(value[key])}" for key in sorted(value))
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(canonical_json(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def other_columns(fields: Mapping[str, object]) -> str | None:
    """What a row carries beyond the declared columns, or None."""
    return canonical_json(fields) if fields else None


@dataclass(frozen=True)
class CsvFile:
    """A CSV as text. `rows`: (row number in the file, the header being row 1; values, as many as the header has)."""

    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    def records(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Each row as header -> text."""
        for number, values in self.rows:
            yield number, dict(zip(self.header, values, strict=True))


def read_csv(content: bytes, *, delimiter: str = ",", last_line_end_required: bool = True) -> CsvFile:
    """Every cell as text: UTF-8 with or without a byte order mark, LF or CRLF.

    Refused, because the file may be cut: a row with fewer or more cells than the header, an open quote, and a last
    row without a line end (its last cell may be half of a number). A cut exactly between two rows cannot be seen.
    """
    text = _utf8(content)
    if not text.strip():
        raise QuarantineError("The file is empty. Export it again.")
    try:
        records = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise QuarantineError(f"Not a readable CSV ({error}). The file may be cut: export it again.") from None
    header = tuple(records[0])
    if not header:
        raise QuarantineError("row 1 is blank where the header should be. Export the file again.")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise QuarantineError(f"row 1: the header names {', '.join(map(repr, repeated))} more than once.")
    rows = []
    for number, values in enumerate(records[1:], start=2):
        if not values:
            continue
        if len(values) != len(header):
            raise QuarantineError(
                f"row {number}: {len(values)} cells where the header has {len(header)}. "
                "The file may be cut: export it again."
            )
        rows.append((number, tuple(values)))
    if last_line_end_required and not text.endswith(("\n", "\r")):
        raise QuarantineError(
            f"row {len(records)}: the last row has no line end, so its last cell may be cut. "
            "Export the file again; if it is whole, add the line end."
        )
    return CsvFile(header=header, rows=tuple(rows))


def csv_header(head: bytes, *, delimiter: str = ",") -> tuple[str, ...]:
    """The header of a CSV from its first bytes; () when they are not text."""
    line = head.removeprefix(b"\xef\xbb\xbf").splitlines()[:1]
    try:
        return tuple(next(csv.reader([line[0].decode("utf-8")], delimiter=delimiter), ())) if line else ()
    except (UnicodeDecodeError, csv.Error):
        return ()


def _fraction_digits(number: Decimal) -> int:
    """Digits after the point that carry value: trailing zeros do not."""
    _, digits, exponent = number.as_tuple()
    significant = "".join(map(str, digits)).rstrip("0")
    return -(int(exponent) + len(digits) - len(significant))


def _utf8(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise QuarantineError(
            f"byte {error.start} is not UTF-8. The file may be cut or in another encoding: export it again as UTF-8."
        ) from None


def _loads(text: str) -> Any:
    try:
        document = json.loads(
            text, parse_float=JsonNumber, parse_constant=_refuse_constant, object_pairs_hook=_without_repeated_keys
        )
        if "\\ud" in text or "\\uD" in text:
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise QuarantineError("The JSON is nested deeper than any export is.") from None
    except UnicodeEncodeError:
        raise QuarantineError("The JSON holds half of a surrogate pair, which is not text.") from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        raise QuarantineError(f"The JSON holds a number that cannot be read ({error}).") from None
    return document


def _not_json(error: json.JSONDecodeError, *, line: int | None = None) -> QuarantineError:
    place = f"line {line or error.lineno}, column {error.colno}"
    return QuarantineError(f"Not complete JSON at {place} ({error.msg}). The file may be cut: fetch it again.")


def _refuse_constant(name: str) -> object:
    raise QuarantineError(f"The JSON holds {name}, which is not a number.")


def _without_repeated_keys(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = sorted({key for key in keys if keys.count(key) > 1})
        raise QuarantineError(f"The JSON gives the key {repeated[0]!r} twice in one object.")
    return members


def _shown(value: object) -> str:
    if value is None:
        return "missing"
    shown = repr(str(value)) if isinstance(value, JsonNumber) else repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
