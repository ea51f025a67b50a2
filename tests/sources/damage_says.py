"""What a text says by itself, as `csv` and `json` read it, and Parquet as another engine than the readers' does; and an
export as it should be, with what its reader makes of it.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.landing.dataset import Frames, Settings

Says = Callable[[bytes], Decimal]
Parse = Callable[[bytes, Settings], Frames]

# A text that says money at 10^-18 may be rounded there, line by line.
TOLERANCE = Decimal("1e-15")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


class UnsaidError(Exception):
    """The text does not say an amount where one has to stand: nobody may read one there."""


class AmbiguousError(Exception):
    """The text can be read in several ways (quotes that do not close, pages of Parquet that another engine refuses)."""


class MisreadError(Exception):
    """A damaged file was read as something that its text does not say, or ended the reader."""


def number(text: Any) -> Decimal:
    if not isinstance(text, str) or _NUMBER.fullmatch(text.strip(" \t\r\n\u00a0")) is None:
        raise UnsaidError(repr(text))
    return Decimal(text.strip())


def total(amounts: Iterator[Decimal]) -> Decimal:
    with localcontext() as context:
        context.prec = 2_000
        return sum(amounts, Decimal(0))


# --- what a text says, by itself --------------------------------------------------------------------------------------


def records(content: bytes) -> Iterator[dict[str, Any]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnsaidError(str(error)) from None
    if re.search(r"\r(?!\n)", text) is not None:
        raise AmbiguousError("a carriage return that some take for the end of a line")
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise AmbiguousError(str(error)) from None
    if not rows:
        raise UnsaidError("nothing")
    header = [_plain(name) for name in rows[0]]
    if len({*header}) < len(header):
        raise AmbiguousError("two columns of one name, blanks and marks aside")
    for row in rows[1:]:
        if any(row):
            yield dict(zip(header, row, strict=False))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def csv_says(
    column: str,
    *,
    optional: bool = False,
    may_lack: bool = False,
    leaves_out: Callable[[Mapping[str, str]], bool] | None = None,
) -> Says:
    """The sum of a column. optional: an empty cell says nothing; may_lack: nor does an export without the column."""
    says_nothing = {*([""] if optional else []), *([None] if may_lack else [])}

    def says(content: bytes) -> Decimal:
        kept = (row for row in records(content) if leaves_out is None or not leaves_out(row))
        cells = (row.get(_plain(column)) for row in kept)
        return total(number(cell) for cell in cells if cell not in says_nothing)

    return says


def json_of(text: str) -> Any:
    try:
        return json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise UnsaidError(str(error)) from None


def text_of(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnsaidError(str(error)) from None


def json_says(*path: str) -> Says:
    """The sum of what stands at a path; `*` is every item of a list, `?` before a name says that it may be missing."""

    def found(value: Any, rest: Sequence[str]) -> Iterator[Decimal]:
        if not rest:
            yield number(value)
            return
        name, *after = rest
        if name == "*":
            if not isinstance(value, list):
                raise UnsaidError("no list")
            for item in value:
                yield from found(item, after)
        elif isinstance(value, dict):
            optional = name.startswith("?")
            inner = value.get(name.removeprefix("?"))
            if not (optional and inner is None):
                yield from found(inner, after)
        else:
            raise UnsaidError("no object")

    def says(content: bytes) -> Decimal:
        return total(found(json_of(text_of(content)), path))

    return says


def dollars_say(content: bytes) -> Decimal:
    """A column of `$1,234.56` and `-$5.00`."""
    return total(number(re.sub(r"^(-?)\$", r"\1", row["usd"].strip()).replace(",", "")) for row in records(content))


def google_says(content: bytes) -> Decimal:
    """Lines of JSON: cost and credits."""

    def amounts() -> Iterator[Decimal]:
        for line in text_of(content).split("\n"):
            if line.strip():
                row = json_of(line)
                if not isinstance(row, dict):
                    raise UnsaidError("no object")
                yield number(row.get("cost"))
                for credit in row.get("credits") or ():
                    if not isinstance(credit, dict):
                        raise UnsaidError("no credit")
                    yield number(credit.get("amount"))

    return total(amounts())


def money_says(content: bytes) -> Decimal:
    """Units and billionths of each row; what JSON leaves out of an amount is 0."""

    def amounts() -> Iterator[Decimal]:
        for row in json_of(text_of(content)).get("rows", ()):
            money = row["subtotal"]
            yield number(str(money.get("units", "0"))) + number(money.get("nanos", "0")).scaleb(-9)

    try:
        return total(amounts())
    except (AttributeError, TypeError, KeyError) as error:
        raise UnsaidError(str(error)) from None


def mistral_says(content: bytes) -> Decimal:
    """What was used, whoever paid. Of a damaged price or name nothing is said here."""
    try:
        models = json_of(text_of(content))["completion"]["models"]
        lanes = [lane for model in models.values() for lane in model.values()]
        return total(number(entry["value"]) for lane in lanes for entry in lane or ())
    except (AttributeError, TypeError, KeyError) as error:
        raise UnsaidError(str(error)) from None


def google_csv_says(content: bytes) -> Decimal:
    def amounts() -> Iterator[Decimal]:
        for row in records(content):
            yield number(row.get("cost"))
            for credit in json_of(row.get("credits") or "[]") or ():
                yield number(credit.get("amount") if isinstance(credit, dict) else None)

    return total(amounts())


def google_table_says(content: bytes) -> Decimal:
    at = content.find(b"\n", content.lower().find(b"currency"))
    headers = list(re.finditer(rb"^.*SKU description.*Unrounded cost.*$", content, re.MULTILINE | re.IGNORECASE))
    if at < 0 or not headers:
        raise UnsaidError("no header")
    if len(headers) > 1:
        raise AmbiguousError("two headers: what is above the second is above the table")
    return csv_says("Unrounded cost ($)")(content[headers[0].start() :])


def activity_says(content: bytes) -> Decimal:
    """What each day's providers, or the day beyond them, come to. Sums of floats differ by less than is told here."""
    said = json_of(text_of(content))
    found = []
    for result in said["results"]:
        whole = number(result["metrics"].get("spend"))
        parts = [number(one["metrics"].get("spend")) for one in result["breakdown"].get("providers", {}).values()]
        left = whole - sum(parts, Decimal(0))
        found += [*parts, *([left] if abs(left) > Decimal("1e-9") * max(1, len(parts)) else [])]
    return total(iter(found))


def parquet_says(column: str) -> Says:
    """As another engine reads it: doubles as the shortest decimals that read as them."""

    def says(content: bytes) -> Decimal:
        try:
            values = pl.read_parquet(io.BytesIO(content), columns=[column])[column].drop_nulls().to_list()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise AmbiguousError(str(error)) from None
        return total(number(repr(value)) for value in values)

    return says


# --- what a reader makes of it ----------------------------------------------------------------------------------------


def column_read(table: str, column: str) -> Callable[[Frames], Decimal]:
    def read(frames: Frames) -> Decimal:
        values = frames[table][column].drop_nulls().cast(pl.String)
        return total(Decimal(value) for value in values)

    return read


@dataclass(frozen=True)
class Format:
    """An export as it should be, its reader, what the reader makes of it and what its text says.

    `pack`: what is around the text when it lands (gzip, ZIP): damage is done inside and outside. `dataset`: of its
    source; None: the first.
    """

    text: bytes
    parse: Parse
    settings: Mapping[str, Any]
    read: Callable[[Frames], Decimal]
    says: Says
    pack: Callable[[bytes], bytes] = bytes
    is_text: bool = True
    dataset: str | None = None

    def check(self, content: bytes) -> bool:
        """Whether it was read. MisreadError where it was, and not as what it says, or where another error came."""
        try:
            frames = self.parse(content, self.settings)
        except QuarantineError:
            return False
        except (Exception, pl.exceptions.PanicException) as error:
            raise MisreadError(f"{type(error).__name__}: {error}") from error
        found = self.read(frames)
        try:
            expected = self.says(content if self.pack is bytes else self.text)
        except AmbiguousError:
            return True
        except UnsaidError as error:
            raise MisreadError(f"read as {found}, and its text says no amount: {error}") from error
        if abs(found - expected) > TOLERANCE:
            raise MisreadError(f"read as {found}, and its text says {expected}")
        return True


def charges(column: str = "billed_cost") -> Callable[[Frames], Decimal]:
    return column_read("charges", column)


def lines(column: str = "amount") -> Callable[[Frames], Decimal]:
    return column_read("lines", column)
