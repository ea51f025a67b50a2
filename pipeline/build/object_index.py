"""What a Parquet file of a table holds, by bucket and day: its rows, a hash of what they say, what they charge."""

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from pipeline.errors import QuarantineError
from pipeline.formats.values import TOO_MUCH_MONEY
from pipeline.landing.dataset import Dataset, InPlace, Money, Table
from pipeline.landing.records import LandedObject

_EXACTLY = "at most 20 digits before and 18 after the point"
# Before, nobody billed tokens or GPUs by the hour, and every day from it on would be built: a clock at zero says 1970.
# In 9999 a month has none after it.
_FIRST_YEAR, _LAST_YEAR = 2015, 2199
# Of an object that is read in place, days of no more rows than this are known by what these say.
_FEW_ROWS = 10_000
_IS_REFUSED = "is refused"


@dataclass(frozen=True)
class Stated:
    """What some rows charge in one currency, in whole quanta of 10^-18 of it."""

    currency: str | None
    quanta: int


@dataclass(frozen=True)
class Part:
    """The rows of one object that belong to one bucket and one day, a hash of what they say, and what they charge."""

    bucket: str
    usage_date: date
    rows: int
    content: str
    money: tuple[Stated, ...] = ()


@dataclass(frozen=True)
class Stream:
    """One run of a declared key inside an object: its leading values and the range of its last column."""

    values: tuple[str, ...]
    first: int
    last: int


@dataclass(frozen=True)
class ParsedTable:
    """One table of one object: where its Parquet lies (`place`, as text: thousands are never opened) and what is in it.

    `columns`: the expressions that its rows are read by where the file is the object itself (see InPlace), and
    `object_key`: where that lies in landing; None where the file holds the table's columns.
    """

    place: str
    parts: tuple[Part, ...]
    streams: tuple[Stream, ...] = ()
    columns: Mapping[str, str] | None = None
    object_key: str | None = None

    @property
    def file(self) -> Path:
        return Path(self.place)

    @functools.cached_property
    def by_bucket_and_day(self) -> dict[tuple[str, date], Part]:
        return {(part.bucket, part.usage_date): part for part in self.parts}


def no_home(dataset: Dataset, table: Table) -> QuarantineError:
    """Why a table is refused of which a row names no day or no bucket."""
    return QuarantineError(f"{dataset.source}/{table.name}: a row names no day or no bucket")


def check_columns(frame: pl.DataFrame, dataset: Dataset, table: Table) -> None:
    """QuarantineError unless the columns are those that the table declares, in order and type."""
    if dict(frame.schema) != table.schema:
        raise QuarantineError(f"{dataset.source}/{table.name}: the reader's columns are not the declared ones")


@functools.cache
def _indexer(threads: int = 1) -> duckdb.DuckDBPyConnection:
    """One engine a process: starting one takes longer than to index a small file."""
    connection = duckdb.connect(config={"threads": threads})
    connection.execute("set global timezone = 'UTC'")
    return connection


def index_parquet(file: Path, table: Table) -> ParsedTable:
    """What a parsed Parquet file contains, by bucket and day, and the ranges of its declared key.

    Raises QuarantineError where an amount, or a day's sum of them, cannot be held exactly.
    """
    connection = _indexer().cursor()
    source = _parquet([file])
    hashed = f"hash({', '.join(_quoted(column) for column in table.schema)})"
    parts = _sums_by_part(connection, source, table, hashed=hashed)
    streams: list[tuple[Any, ...]] = []
    if table.key and parts:
        *leading, last = (_quoted(column) for column in table.key)
        streams = connection.execute(
            f"select {', '.join([*leading, f'min({last})', f'max({last})'])} from {source} group by all order by all"
        ).fetchall()
    connection.close()
    return ParsedTable(
        place=str(file),
        parts=tuple(
            Part(
                bucket=bucket,
                usage_date=day,
                rows=part.rows,
                content=f"{part.rows}.{part.total:x}.{part.mixed:x}",
                money=part.charged,
            )
            for (bucket, day), part in parts.items()
        ),
        streams=tuple(
            Stream(values=tuple(map(str, values)), first=first, last=last) for *values, first, last in streams
        ),
    )


def index_in_place(
    file: Path, dataset: Dataset, table: Table, in_place: InPlace, *, landed: LandedObject, place: Path
) -> ParsedTable:
    """The same of an object that is read where it lies. QuarantineError where it holds what its reader refuses.

    `place`: where the file will lie when it is announced.
    """
    connection = _indexer(os.cpu_count() or 1).cursor()
    source = rows_of([file], table, in_place.columns)
    try:
        # Of no rows first: the types are the expressions' own.
        check_columns(pl.DataFrame(connection.sql(f"{source} limit 0")), dataset, table)
        sums = _sums_of_accepted(connection, file, table, in_place)
        if any(bucket is None or day is None for bucket, day in sums):
            raise no_home(dataset, table)
        counts = [(bucket, day, part.rows) for (bucket, day), part in sums.items()]
        contents = _contents_in_place(connection, file, in_place, counts, landed.sha256)
    except duckdb.Error as error:
        reason = str(error).splitlines()[0].replace(str(file), "the file")
        raise QuarantineError(f"Not a readable Parquet file ({reason}). Export it again.") from None
    finally:
        connection.close()
    return ParsedTable(
        place=str(place),
        parts=tuple(
            Part(
                bucket=bucket, usage_date=day, rows=rows, content=contents[bucket, day], money=sums[bucket, day].charged
            )
            for bucket, day, rows in counts
        ),
        columns=in_place.columns,
        object_key=object_key(landed),
    )


def object_key(landed: LandedObject) -> str:
    """Where an object that is read in place lies, below the state's root."""
    return f"landing/{landed.key}"


def _contents_in_place(
    connection: duckdb.DuckDBPyConnection,
    file: Path,
    in_place: InPlace,
    counts: Sequence[tuple[str, date, int]],
    sha256: str,
) -> dict[tuple[str, date], str]:
    """(bucket, day) -> what its rows say: hashed where they are few, else named by the object.

    To hash a bulk day costs more than it could save: with the next refresh some of it is other anyway. Not so the
    stragglers of another month, which would have that month added up again each time.
    """
    contents = {(bucket, day): f"{rows}.{sha256}" for bucket, day, rows in counts}
    few = [f"({_literal(bucket)}, date '{day}')" for bucket, day, rows in counts if rows <= _FEW_ROWS]
    if few:
        hashed = connection.execute(
            "select bucket, usage_date, count(*), sum(said::hugeint), bit_xor(said) from ("
            f"select {in_place.columns['bucket']} as bucket, {in_place.columns['usage_date']} as usage_date, "
            f"hash({', '.join(in_place.reads)}) as said from {_parquet([file])}) "
            f"where (bucket, usage_date) in ({', '.join(few)}) group by all"
        ).fetchall()
        contents |= {(bucket, day): f"{rows}.{total:x}.{mixed:x}" for bucket, day, rows, total, mixed in hashed}
    return contents


def _sums_of_accepted(
    connection: duckdb.DuckDBPyConnection, file: Path, table: Table, in_place: InPlace
) -> "dict[tuple[str, date], _Sums]":
    """(bucket, day) -> its sums. Whether its reader refuses a row is asked in the same scan; which row and why only
    then, before whatever else is wrong with the file.
    """
    is_refused = " or ".join(f"({condition})" for condition in in_place.refused.values()) or "false"
    rows = rows_of([file], table, in_place.columns, also={_IS_REFUSED: is_refused})
    try:
        sums = _sums_by_part(connection, f"({rows})", table, refused=_quoted(_IS_REFUSED))
    except (QuarantineError, duckdb.Error):
        _check_refused(connection, file, in_place)
        raise
    if any(part.refused for part in sums.values()):
        _check_refused(connection, file, in_place)
    return sums


def _check_refused(connection: duckdb.DuckDBPyConnection, file: Path, in_place: InPlace) -> None:
    firsts = ", ".join(f"min(case when {condition} then object_row end)" for condition in in_place.refused.values())
    if not firsts:
        return
    numbered = f"(select *, file_row_number + 1 as object_row from {_parquet([file], numbered=True)})"
    (found,) = connection.execute(f"select {firsts} from {numbered}").fetchall()
    for reason, row in zip(in_place.refused, found, strict=True):
        if row is not None:
            raise QuarantineError(f"row {row}: {reason}.")


def rows_of(
    files: Sequence[Path],
    table: Table,
    columns: Mapping[str, str] | None,
    *,
    row_number: str | None = None,
    also: Mapping[str, str] | None = None,
) -> str:
    """A SELECT of the table's columns from parsed files that are read alike; with each row's number in its file, from
    1, under a name of its own where one is given, and with what is `also` asked of the files' own columns.
    """
    chosen = [_read_as(name, columns) for name in table.schema]
    chosen += [f"{expression} as {_quoted(name)}" for name, expression in (also or {}).items()]
    if row_number is not None:
        chosen.append(f"file_row_number + 1 as {_quoted(row_number)}")
    return f"select {', '.join(chosen)} from {_parquet(files, numbered=row_number is not None)}"


def _read_as(name: str, columns: Mapping[str, str] | None) -> str:
    return _quoted(name) if columns is None else f"{columns[name]} as {_quoted(name)}"


def _parquet(files: Sequence[Path], *, numbered: bool = False) -> str:
    named = ", ".join(_literal(str(file)) for file in files)
    return f"read_parquet([{named}]{', file_row_number = true' if numbered else ''})"


@dataclass
class _Sums:
    """Of one bucket and day, over the currencies in which its rows are charged."""

    rows: int = 0
    refused: int = 0
    total: int = 0
    mixed: int = 0
    stated: list[Stated] = field(default_factory=list)

    @property
    def charged(self) -> tuple[Stated, ...]:
        return tuple(sorted(self.stated, key=repr))


def _sums_by_part(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    table: Table,
    *,
    hashed: str | None = None,
    refused: str = "false",
) -> dict[tuple[str, date], _Sums]:
    """(bucket, day) -> its sums, `total` and `mixed` of the hashes where there is an expression for them, and how many
    rows are `refused`. One scan.
    """
    hashes = "0, 0" if hashed is None else f"sum({hashed}::hugeint), bit_xor({hashed})"
    charges = "" if table.money is None else f", {_charge_columns(table, table.money)}"
    counts = f"count(*), count(case when {refused} then 1 end)"
    try:
        found = connection.execute(
            f"select bucket, usage_date, {counts}, {hashes}{charges} from {source} group by all order by all"
        ).fetchall()
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        if table.money is None:
            raise
        raise QuarantineError(
            f"{table.name}: its amounts cannot be added up exactly, {_EXACTLY} ({str(error).splitlines()[0]})."
        ) from None
    parts: dict[tuple[str, date], _Sums] = {}
    for bucket, day, rows, refused_rows, total, mixed, *sums in found:
        _check_year(table, day)
        part = parts.setdefault((bucket, day), _Sums())
        part.refused += refused_rows
        part.rows, part.total, part.mixed = part.rows + rows, part.total + total, part.mixed ^ mixed
        if table.money is not None:
            part.stated.extend(_stated(table, table.money, day, *sums))
    return parts


def _check_year(table: Table, day: date | None) -> None:
    if day is not None and not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise QuarantineError(
            f"{table.name}: a row is of {day}, and what counts is of {_FIRST_YEAR} to {_LAST_YEAR}. Export it again; "
            "if it is so at its source, ask the issuer."
        )


def _charge_columns(table: Table, money: Money) -> str:
    """The currency of the rows, two sums of their amounts that are exact, an amount that is in neither, and the largest
    where a sum of their kind does not tell it: of decimals their readers refuse what is too much.
    """
    amount = _quoted(money.amount)
    currency = _literal(money.currency) if money.currency is not None else _quoted(money.currency_column or "")
    if isinstance(table.schema[money.amount], pl.Decimal):
        return f"{currency}, null, sum(cast({amount} as decimal(38, 18))), null, null"
    # Text to a wide decimal is 200 times slower than to a narrow one, and rounds what it cannot hold.
    is_narrow = f"regexp_full_match({amount}, '-?[0-9]{{1,9}}([.][0-9]{{0,8}})?')"
    is_wide = f"regexp_full_match({amount}, '[+-]?[0-9]{{0,20}}([.][0-9]{{0,18}}0*)?')"
    narrow = f"case when {is_narrow} then cast({amount} as decimal(18, 8)) end"
    wide = f"case when not {is_narrow} and {is_wide} then cast({amount} as decimal(38, 18)) end"
    unfit = f"case when not {is_narrow} and not {is_wide} then {amount} end"
    return f"{currency}, sum({narrow}), sum({wide}), min({unfit}), max(abs({wide}))"


def _stated(
    table: Table,
    money: Money,
    day: date,
    currency: str | None,
    narrow: Decimal | None,
    wide: Decimal | None,
    unfit: str | None,
    largest: Decimal | None,
) -> Iterator[Stated]:
    """What rows of one currency charge; nothing where no row says an amount."""
    if narrow is None and wide is None and unfit is None:
        return
    quanta, rest = divmod(_quanta(narrow) + _quanta(wide), 10**money.decimal_places)
    if unfit is not None or rest:
        shown = f"{money.amount} {unfit!r}" if unfit is not None else f"the sum of {money.amount}"
        raise QuarantineError(f"{table.name}, {day}: {shown} cannot be held exactly: {_EXACTLY}.")
    most = max(abs(quanta), _quanta(largest) // 10**money.decimal_places)
    if most >= TOO_MUCH_MONEY * 10**18:
        raise QuarantineError(
            f"{table.name}, {day}: {money.amount} comes to {most // 10**18:,} {currency}, more than any bill says. "
            "Export it again; if it is so at its source, ask the issuer."
        )
    yield Stated(currency, quanta)


def _quanta(amount: Decimal | None) -> int:
    """Whole quanta of 10^-18. None, the sum of no rows, is none of them."""
    if amount is None:
        return 0
    sign, digits, exponent = amount.as_tuple()
    whole: int = int("".join(map(str, digits))) * 10 ** (18 + int(exponent))
    return -whole if sign else whole


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
