"""Bulk exports as frames, without a Python loop over rows: CSV and Parquet to text, exact decimals, instants in UTC."""

import io
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import duckdb
import polars as pl

from pipeline.errors import QuarantineError
from pipeline.formats.values import BLANKS, TOO_MUCH_MONEY, csv_header, read_csv

# `decimal`: money. `quantity`: of whatever unit, so it may be larger than any amount of money is.
Kind = Literal["text", "decimal", "quantity", "instant"]

_NUMBERS = ("decimal", "quantity")
MONEY = pl.Decimal(38, 18)
_INSTANT = pl.Datetime("us")
_PARQUET = b"PAR1"
_GZIP = b"\x1f\x8b"
_HEAD_BYTES = 65_536
# Bills pack to a tenth or a thirtieth; a small file may be all of one line.
_MOST_RATIO = 100
_LEAST_LIMIT_BYTES = 256 * 1024**2
# A line of a bill has a cost of its own: no export packs more of them than it has bytes, unless it is small.
_MOST_ROWS_OF_A_SMALL_FILE = 1_000_000
_WHOLE_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
NULLS = ("", "NULL", "null")

_PLAIN = r"^-?[0-9]{1,20}(?:\.[0-9]{0,18})?$"
_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?$"
_NUMBER_PARTS = r"^[+-]?(?<whole>[0-9]*)(?:\.(?<fraction>[0-9]*))?(?:[eE](?<exponent>[+-]?[0-9]{1,3}))?$"
_WHOLE_DIGITS = 20
_FRACTION_DIGITS = 18
# A day of a hundred terabytes is a tenth of it in byte-seconds. Sums of what is below it can be told from too large.
_TOO_LARGE_A_QUANTITY = 10**19
# A double never needs more to be told from its neighbours: longer numbers are no double's spelling.
_DOUBLE_DIGITS = 17

_MOMENT = "%Y-%m-%d %H:%M:%S%.f"
_ZERO_OFFSET = r"(?:Z| ?UTC|[+-]00:?00)$"
_OFFSET = r"[+-][0-9]{2}:?[0-9]{2}$"
_FIRST_YEAR, _LAST_YEAR = 1970, 2199


@dataclass(frozen=True)
class Bulk:
    """A file's columns under its own headers: String, Decimal(38, 18) or Datetime("us", UTC) as their kind says.

    Empty text and the words NULL and null are null. `rounded`: header -> how the file spells the amounts that reach
    beyond 10^-18 and were rounded there (only a double's spelling may; a longer number is refused), and the quantities
    that are too large to be held, which are null; null elsewhere.
    """

    frame: pl.DataFrame
    rounded: Mapping[str, pl.Series]


def bulk_header(head: bytes) -> tuple[str, ...] | None:
    """The header of a CSV, packed or not, from its first bytes; () for Parquet, which names its columns at its end.

    None when it is neither.
    """
    if head.startswith(_PARQUET):
        return ()
    if head.startswith(_GZIP):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, _HEAD_BYTES)
        except zlib.error:
            return None
    return csv_header(head) or None


def read_bulk(
    content: bytes,
    *,
    kind_of: Callable[[str], Kind],
    date_format: str | None = None,
    last_line_end_required: bool = True,
) -> Bulk:
    """The file's rows in their order. `date_format`: strptime, where instants are not ISO 8601.

    An instant without an offset is in UTC. Raises QuarantineError naming the row (the header is row 1) and the value.
    """
    if content.startswith(_PARQUET):
        columns, doubles = _parquet_columns(content, kind_of)
    else:
        columns, doubles = _csv_columns(content, last_line_end_required=last_line_end_required), {}
    rounded: dict[str, pl.Series] = {}
    for name, column in columns.items():
        kind = kind_of(name)
        text = doubles.get(name, column)
        if kind in _NUMBERS:
            amounts, spelled = (
                exact_decimals(text, kind=kind) if text.dtype == pl.String() else _held(text, text, kind=kind)
            )
            columns[name] = column.fill_null(amounts) if name in doubles else amounts
            if spelled is not None:
                rounded[name] = spelled
        elif kind == "instant" and column.dtype == pl.String():
            columns[name] = utc_instants(column, date_format=date_format)
        elif kind == "instant":
            _check_years(columns[name])
    return Bulk(frame=pl.DataFrame(list(columns.values())), rounded=rounded)


def exact_decimals(text: pl.Series, *, kind: Kind = "decimal") -> tuple[pl.Series, pl.Series | None]:
    """Decimal text as Decimal(38, 18), and the spelling of those that are not held as they are (None: all are).

    Exponents are written out. Raises QuarantineError for what is no number, or does not fit: money. A quantity that
    does not fit is null, so that its line still counts.
    """
    odd = text.filter(~text.str.contains(_PLAIN))
    if odd.is_empty():
        return _held(text.cast(MONEY), text, kind=kind)
    text = text.str.strip_chars(BLANKS)
    _refuse(text, ~text.str.contains(_NUMBER), "not a decimal number")
    parts = text.str.extract_groups(_NUMBER_PARTS).struct.unnest()
    exponent = parts["exponent"].str.strip_prefix("+").cast(pl.Int64).fill_null(0)
    whole, fraction = parts["whole"].fill_null(""), parts["fraction"].fill_null("")
    digits = whole + fraction
    significant = digits.str.strip_chars_start("0").str.len_bytes().cast(pl.Int64)
    # Where the first digit that counts stands before the point, and the last one after it.
    before = significant - fraction.str.len_bytes().cast(pl.Int64) + exponent
    after = (
        digits.str.strip_chars_end("0").str.len_bytes().cast(pl.Int64) - whole.str.len_bytes().cast(pl.Int64) - exponent
    )
    # What says nothing has no digits either.
    is_zero = (significant == 0) & text.is_not_null()
    is_long = (after > _FRACTION_DIGITS) & ~is_zero
    is_double = digits.str.strip_chars("0").str.len_bytes() <= _DOUBLE_DIGITS
    is_large = (before > _WHOLE_DIGITS) & ~is_zero
    _refuse(
        text,
        (is_large & (kind == "decimal")) | (is_long & ~is_double),
        f"which cannot be held exactly: at most {_WHOLE_DIGITS} digits before and {_FRACTION_DIGITS} after the point",
    )
    spelled = pl.select(pl.when(is_long | is_large).then(text)).to_series().alias(text.name)
    written = pl.select(
        pl.when(is_zero).then(pl.lit("0")).when(~is_large.fill_null(value=False)).then(text)
    ).to_series()
    return _held(written.alias(text.name).cast(MONEY), text, kind=kind, spelled=spelled)


def _held(
    values: pl.Series, text: pl.Series, *, kind: Kind, spelled: pl.Series | None = None
) -> tuple[pl.Series, pl.Series | None]:
    """Values of which sums can be held, and how the others are spelled. Too much money is refused."""
    most = TOO_MUCH_MONEY if kind == "decimal" else _TOO_LARGE_A_QUANTITY
    is_beyond = (values.abs() >= pl.Series([Decimal(most)], dtype=MONEY)).fill_null(value=False)
    if is_beyond.any():
        if kind == "decimal":
            _refuse(text, is_beyond, "more than any line of a bill is for")
        told = text.cast(pl.String).set(~is_beyond, None)
        spelled = told if spelled is None else spelled.fill_null(told)
        values = values.set(is_beyond, None)
    return values, None if spelled is None or spelled.null_count() == len(spelled) else spelled


def utc_instants(text: pl.Series, *, date_format: str | None = None) -> pl.Series:
    """ISO 8601 text (a date, minutes, seconds or parts of them; an offset, Z, UTC or nothing) as UTC instants."""
    if date_format is not None:
        moments = text.str.strip_chars().str.to_datetime(date_format, strict=False, time_unit="us", time_zone="UTC")
    else:
        local = text.str.strip_chars().str.replace(_ZERO_OFFSET, "").str.replace("T", " ", literal=True)
        moments = _read(_whole_moment(local), _MOMENT)
        if (moments.is_null() & text.is_not_null()).any():
            offset = local.str.extract(f"({_OFFSET})")
            shifted = _whole_moment(local.str.replace(_OFFSET, "")) + offset.str.replace(":", "", literal=True)
            moments = moments.fill_null(_read(shifted, f"{_MOMENT}%z"))
    shown = "an ISO 8601 instant" if date_format is None else f"a moment as {date_format}"
    _refuse(text, moments.is_null() & text.is_not_null(), f"not {shown}")
    instants = moments.dt.replace_time_zone(None).alias(text.name)
    _check_years(instants)
    return instants


def _whole_moment(text: pl.Series) -> pl.Series:
    """A date, or a time without seconds, with what it leaves out."""
    length = text.str.len_bytes()
    ends = pl.when(length == 10).then(pl.lit(" 00:00:00")).when(length == 16).then(pl.lit(":00")).otherwise(pl.lit(""))
    return pl.select(text + ends).to_series()


def _read(text: pl.Series, date_format: str) -> pl.Series:
    return text.str.to_datetime(date_format, strict=False, time_unit="us", time_zone="UTC")


def _check_years(moments: pl.Series) -> None:
    years = moments.dt.year()
    _refuse(moments, (years < _FIRST_YEAR) | (years > _LAST_YEAR), "beyond the calendar of any bill")


def _refuse(values: pl.Series, is_bad: pl.Series, why: str) -> None:
    """QuarantineError for the first row of which this is so."""
    row = is_bad.fill_null(value=False).arg_max() if is_bad.any() else None
    if row is not None:
        shown = values.cast(pl.String)[row]
        shown = repr(shown) if len(shown) <= 80 else f"{shown[:77]!r}..."
        raise QuarantineError(f"row {row + 2}: {values.name} is {shown}, {why}.")


def _csv_columns(content: bytes, *, last_line_end_required: bool) -> dict[str, pl.Series]:
    """Every column as text. A cut file is refused wherever the cut can be seen."""
    if content.startswith(_GZIP):
        # Its checksum says that nothing was cut.
        content, last_line_end_required = unpacked(content), False
    header = csv_header(content[:_HEAD_BYTES])
    if content.partition(b"\n")[0].count(b'"') % 2:
        # The reader would take the rows below it for the rest of a name, and hand over none.
        raise QuarantineError("row 1: a quotation mark in the header that does not close. Export the file again.")
    # What is wrong with these the reader of small files says, with the row.
    if not header or len(set(header)) != len(header) or (last_line_end_required and not content.endswith(b"\n")):
        read_csv(content, last_line_end_required=last_line_end_required)
        raise QuarantineError("row 1: no header of comma-separated names. Export the file again as CSV.")
    try:
        frame = pl.read_csv(
            content, infer_schema=False, empty_string_is_null=False, extra_columns="raise", new_columns=list(header)
        )
    except pl.exceptions.PolarsError as error:
        read_csv(content, last_line_end_required=last_line_end_required)
        raise QuarantineError(f"Not a readable CSV ({str(error).splitlines()[0]}). Export the file again.") from None
    return {column.name: _with_nulls(column) for column in _without_blank_lines(content, frame)}


def _without_blank_lines(content: bytes, frame: pl.DataFrame) -> pl.DataFrame:
    """The rows that say something. Refuses the file where another row has fewer cells than the header.

    Every comma stands between two cells or inside one; a line without a cell is short of all of its commas.
    """
    between = frame.width - 1
    inside = frame.select(pl.all().str.count_matches(",", literal=True).sum()).sum_horizontal()[0]
    # A header without an end is all there is.
    header = content.count(b",", 0, content.find(b"\n") + 1 or len(content))
    missing = header + frame.height * between + inside - content.count(b",")
    if not missing and between:
        return frame
    is_blank = frame.select(pl.all_horizontal(pl.all() == "")).to_series()
    if between and (missing % between or missing // between > is_blank.sum()):
        read_csv(content, last_line_end_required=False)
        raise QuarantineError("A row has fewer cells than the header. The file may be cut: export it again.")
    return frame.filter(~is_blank)


def _with_nulls(text: pl.Series) -> pl.Series:
    """The export's ways of saying nothing, as null."""
    return pl.select(pl.when(~text.is_in(NULLS)).then(text)).to_series().alias(text.name)


def unpacked(content: bytes) -> bytes:
    """What a gzip holds, all its members. Raises QuarantineError where it was cut, or holds what no export is."""
    most = max(_LEAST_LIMIT_BYTES, _MOST_RATIO * len(content))
    parts: list[bytes] = []
    rest = content
    while rest:
        member = zlib.decompressobj(wbits=31)
        try:
            parts.append(member.decompress(rest, most + 1))
        except zlib.error as error:
            raise QuarantineError(f"Not a readable gzip ({error}). The file may be cut: export it again.") from None
        most -= len(parts[-1])
        if most < 0:
            raise QuarantineError(
                f"The gzip of {len(content):,} bytes unpacks to more than {_MOST_RATIO} times that, which no export "
                "does. Export it again, or drop it unpacked."
            )
        if not member.eof:
            raise QuarantineError("Not a readable gzip (it has no end). The file may be cut: export it again.")
        # Between members, and after the last, zeros are padding.
        rest = member.unused_data.lstrip(b"\0")
    return b"".join(parts)


def is_parquet(file: Path) -> bool:
    """Whether a file begins as Parquet does."""
    with file.open("rb") as content:
        return content.read(len(_PARQUET)) == _PARQUET


def refuse_rows_beyond_bytes(parquet: bytes | Path) -> None:
    """QuarantineError for Parquet of more rows than bytes, and than a million: a few bytes may say billions of them."""
    size_bytes = parquet.stat().st_size if isinstance(parquet, Path) else len(parquet)
    source = parquet if isinstance(parquet, Path) else io.BytesIO(parquet)
    try:
        rows: int = pl.scan_parquet(source, glob=False).select(pl.len()).collect().item()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        # Whoever reads it says what is wrong.
        return
    if rows > max(_MOST_ROWS_OF_A_SMALL_FILE, size_bytes):
        raise QuarantineError(
            f"A Parquet file of {size_bytes:,} bytes says that it holds {rows:,} rows: more than "
            f"{_MOST_ROWS_OF_A_SMALL_FILE:,}, and more than it has bytes, which no export does. Export it again."
        )


def _parquet_columns(
    content: bytes, kind_of: Callable[[str], Kind]
) -> tuple[dict[str, pl.Series], dict[str, pl.Series]]:
    """Every column, typed where its kind and its own type allow, else as text; beside it, as text, the doubles among
    the decimals that the fast way does not hold exactly.
    """
    refuse_rows_beyond_bytes(content)
    with TemporaryDirectory() as folder, duckdb.connect() as connection:
        file = Path(folder) / "export.parquet"
        file.write_bytes(content)
        connection.execute("set timezone = 'UTC'")
        try:
            relation = connection.read_parquet(str(file))
            columns = list(zip(relation.columns, map(str, relation.types), strict=True))
            doubles = [name for name, theirs in columns if theirs == "DOUBLE" and kind_of(name) in _NUMBERS]
            values = [_parquet_value(_quoted(name), theirs, kind_of(name)) for name, theirs in columns]
            values += [_slow_double(_quoted(name)) for name in doubles]
            frame = pl.DataFrame(relation.project(", ".join(f"{value} as c{at}" for at, value in enumerate(values))))
        except (duckdb.Error, UnicodeDecodeError) as error:
            # The engine hands over names of columns as they are, which in a damaged file may be no text.
            reason = str(error).splitlines()[0].replace(f"'{file}'", "it").replace(str(file), "it")
            raise QuarantineError(f"Not a readable Parquet file ({reason}). Export it again.") from None
    names = [name for name, _ in columns]
    read = [column.alias(name) for column, name in zip(frame, [*names, *doubles], strict=True)]
    said = [_with_nulls(column) if column.dtype == pl.String() else column for column in read]
    return dict(zip(names, said, strict=False)), dict(zip(doubles, said[len(names) :], strict=True))


def _parquet_value(column: str, theirs: str, kind: Kind) -> str:
    """The expression that hands over a column of their type."""
    if kind == "instant" and (theirs.startswith("TIMESTAMP") or theirs == "DATE"):
        return f"cast({column} as timestamp)"
    if kind in _NUMBERS and theirs == "DOUBLE":
        return f"case when {_is_fast_double(column)} then cast({_fast_double(column)} as decimal(38, 18)) end"
    if kind in _NUMBERS and _fits(theirs):
        return f"cast({column} as decimal(38, 18))"
    if theirs.startswith(("STRUCT", "MAP", "UNION")) or theirs.endswith("]"):
        return f"cast(to_json({column}) as varchar)"
    return f"cast({column} as varchar)"


def _fits(theirs: str) -> bool:
    """Whether every value of their type is exact in DECIMAL(38,18)."""
    decimal = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", theirs)
    if decimal is None:
        return theirs in _WHOLE_NUMBERS
    width, scale = int(decimal[1]), int(decimal[2])
    return scale <= _FRACTION_DIGITS and width - scale <= _WHOLE_DIGITS


def _fast_double(column: str) -> str:
    return f"try_cast({column} as decimal(28, 10))"


def _is_fast_double(column: str) -> str:
    """Whether ten digits after the point are all of a double. The engine multiplies by 10^10 in doubles, which is exact
    to the last unit only while the product is well below 2^53 (886470.6717 became 886470.6716999999, duckdb 1.5.5).
    """
    return f"abs({column}) < 100000 and cast({_fast_double(column)} as double) = {column}"


def _slow_double(column: str) -> str:
    """The shortest text that reads as this double, where the fast way would not be exact."""
    return f"case when not coalesce({_is_fast_double(column)}, false) then cast({column} as varchar) end"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
