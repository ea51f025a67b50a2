"""The first node of the build: every landed object as typed Parquet, keyed by its bytes and the code that reads it."""

import functools
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from pipeline.build.closure import closure_hash
from pipeline.build.files import written_once
from pipeline.build.known import KnownObjects
from pipeline.errors import QuarantineError
from pipeline.formats.values import TOO_MUCH_MONEY
from pipeline.landing.dataset import UNFORESEEN, Dataset, Frames, InPlace, Money, Table
from pipeline.landing.landing import Landing
from pipeline.landing.records import LandedObject, digest
from pipeline.landing.shared import SharedFiles

_PARSED_FORMAT = "breakeven.parsed/2"
_EXACTLY = "at most 20 digits before and 18 after the point"
# Before, nobody billed tokens or GPUs by the hour, and every day from it on would be built: a clock at zero says 1970.
# In 9999 a month has none after it.
_FIRST_YEAR, _LAST_YEAR = 2015, 2199
# Below this, starting worker processes costs more than it saves.
_WORTH_WORKERS_BYTES = 8 * 1024**2
# An object that is read in place lies beside its index under this name.
_OBJECT_FILE = "object.parquet"
_INDEX_FILE = "parsed.json"
_PARSED_FOLDER = "parsed"
# Of an object that is read in place, days of no more rows than this are known by what these say.
_FEW_ROWS = 10_000
_LONGEST_REASON = 200


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


@dataclass(frozen=True)
class ParsedObject:
    """One object, read. `error` says why it is quarantined; then it has no tables."""

    sha256: str
    tables: Mapping[str, ParsedTable] = field(default_factory=dict)
    error: str | None = None

    def rows_per_bucket(self) -> dict[str, int]:
        rows: dict[str, int] = {}
        for table in self.tables.values():
            for part in table.parts:
                rows[part.bucket] = rows.get(part.bucket, 0) + part.rows
        return rows


def parsed_key(landed: LandedObject, dataset: Dataset, settings: Mapping[str, Any]) -> str:
    """Changes with the bytes, the reader's code, the declared schema or the delivery's declared settings."""
    return digest([landed.sha256, reader_key(dataset, settings)])


def reader_key(dataset: Dataset, settings: Mapping[str, Any]) -> str:
    """The same for all objects that are read alike."""
    code = closure_hash(dataset.parse.__module__)
    declared = [dataset.source, dataset.name, dataset.schema_version, dataset.declared_tables]
    return digest([declared, code, dict(settings), duckdb.__version__])


@dataclass(frozen=True)
class Unread:
    """One object that this reader has not read yet."""

    landed: LandedObject
    dataset: Dataset
    settings: Mapping[str, Any]
    folder: Path


def remembered_object(
    landed: LandedObject,
    *,
    dataset: Dataset,
    settings: Mapping[str, Any],
    cache: Path,
    whole: bool = False,
    reader: str | None = None,
    known: KnownObjects | None = None,
) -> ParsedObject | Unread:
    """What this reader found in an object before, or the work that is left to do.

    `whole`: only where its tables lie here too; else they may still have to be fetched (see `shared_objects`).
    `reader`: its `reader_key`, where that has been worked out. `known`: saves opening the index of what it knows.
    """
    key = digest([landed.sha256, reader or reader_key(dataset, settings)])
    folder = f"{cache}/{_PARSED_FOLDER}/{landed.sha256[:2]}/{landed.sha256}/{key}"
    announced = f"{folder}/{_INDEX_FILE}"
    found = None
    if os.path.exists(announced):
        name = f"{landed.sha256}/{key}"
        index = None if known is None else known.index_of(name)
        found = _of_index(index, folder, landed) if index is not None else None
        if found is None:
            found = _read_index(Path(announced), landed)
            if found is not None and known is not None:
                known.add(name, _index_json(found))
    if whole and found is not None and not all(table.file.exists() for table in found.tables.values()):
        os.unlink(announced)
        found = None
    return found or Unread(landed=landed, dataset=dataset, settings=settings, folder=Path(folder))


def parsed_folder(cache: Path, sha256: str) -> Path:
    """Where all that was ever read from an object lies, whatever the reader."""
    return cache / _PARSED_FOLDER / sha256[:2] / sha256


def shared_objects(unread: Sequence[Unread], shared: SharedFiles) -> dict[Path, ParsedObject]:
    """By folder, what other machines have found in these objects. Tables are fetched when something reads them."""
    announced = [item.folder / _INDEX_FILE for item in unread]
    found: dict[Path, ParsedObject] = {}
    for item, file, content in zip(unread, announced, shared.read(list(map(shared.key_of, announced))), strict=True):
        if content is None:
            continue
        with written_once(file) as aside:
            aside.write_bytes(content)
        known = _read_index(file, item.landed)
        if known is not None:
            found[item.folder] = known
    return found


def share_object(item: Unread, parsed: ParsedObject, shared: SharedFiles) -> None:
    """Offer what was found in an object, its index last. What is read in place lies in landing for all to see."""
    files = [table.file for table in parsed.tables.values() if table.object_key is None]
    shared.offer([*files, item.folder / _INDEX_FILE])


def parse_objects(unread: Sequence[Unread], *, landing: Landing) -> list[ParsedObject]:
    """Read objects, with all cores when there is much to read. Same order as asked."""
    # An object read in place goes through an engine that uses all cores itself; one is in memory at a time.
    read = {
        item.folder: parse_object(item, landing.read_object(item.landed), lies_at=landing.file_of(item.landed))
        for item in unread
        if item.dataset.in_place is not None
    }
    others = [item for item in unread if item.folder not in read]
    read |= dict(zip((item.folder for item in others), _parse_side_by_side(others, landing), strict=True))
    return [read[item.folder] for item in unread]


def _parse_side_by_side(unread: Sequence[Unread], landing: Landing) -> list[ParsedObject]:
    size_bytes = sum(item.landed.size_bytes for item in unread)
    workers = min(os.cpu_count() or 1, len(unread))
    if workers < 2 or size_bytes < _WORTH_WORKERS_BYTES:
        return [parse_object(item, landing.read_object(item.landed)) for item in unread]
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=begin_worker) as pool:
            waiting = [pool.submit(parse_object, item, landing.read_object(item.landed)) for item in unread]
            return [future.result() for future in waiting]
    except BrokenProcessPool:
        # Workers cannot start from a script without a main guard, or when memory is short: one core does it too.
        return [parse_object(item, landing.read_object(item.landed)) for item in unread]


def begin_worker() -> None:
    """A worker is one core's worth: frame libraries must not start a thread pool each. It ends with who started it."""
    os.environ["POLARS_MAX_THREADS"] = "1"
    threading.Thread(target=_end_with_parent, name="end with parent", daemon=True).start()


def _end_with_parent() -> None:
    # A killed run tells its workers nothing, and they hold both ends of the queue that they would wait at for ever.
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def parse_object(unread: Unread, content: bytes, *, lies_at: Path | None = None) -> ParsedObject:
    """Read one object. What cannot be read is quarantined under this reader, and re-offered to a changed one.

    `lies_at`: a file that holds the same bytes and never changes, where there is one.
    """
    try:
        tables = _tables(unread, content, lies_at)
    except QuarantineError as error:
        parsed = ParsedObject(sha256=unread.landed.sha256, error=str(error))
    else:
        parsed = ParsedObject(sha256=unread.landed.sha256, tables=tables)
    announce(unread.folder, parsed)
    return parsed


def _tables(unread: Unread, content: bytes, lies_at: Path | None) -> dict[str, ParsedTable]:
    dataset = unread.dataset
    in_place = dataset.in_place(content, unread.settings) if dataset.in_place is not None else None
    if in_place is None:
        frames = _frames(dataset, content, unread.settings)
        _check_frames(frames, dataset)
        return {table.name: _write_table(unread.folder, table, frames[table.name]) for table in dataset.tables}
    file = unread.folder / _OBJECT_FILE
    with written_once(file) as aside:
        _put_beside(content, lies_at, aside)
    return {
        table.name: index_in_place(file, dataset, table, in_place[table.name], landed=unread.landed)
        for table in dataset.tables
    }


def _frames(dataset: Dataset, content: bytes, settings: Mapping[str, Any]) -> Frames:
    """What the reader says. One file with a figure or a date that nothing can hold must not stop every build."""
    try:
        return dataset.parse(content, settings)
    except UNFORESEEN as error:
        said = str(error).partition("\n")[0][:_LONGEST_REASON]
        raise QuarantineError(
            f"{dataset.source}/{dataset.name}: it holds what its reader cannot take ({type(error).__name__}: {said}). "
            "Export it again; if it is so at its source, this is an error of breakeven's: report it."
        ) from None


def _put_beside(content: bytes, lies_at: Path | None, target: Path) -> None:
    """The object's bytes in the cache: linked where landing is on the same disk, so that it holds them once."""
    if lies_at is not None:
        with suppress(OSError):
            os.link(lies_at, target)
            return
    target.write_bytes(content)


def announce(folder: Path, parsed: ParsedObject) -> None:
    """Say that an object has been read: its tables lie in the folder, whole."""
    with written_once(folder / _INDEX_FILE) as aside:
        aside.write_text(json.dumps(_index_json(parsed)))


def _check_frames(frames: Mapping[str, pl.DataFrame], dataset: Dataset) -> None:
    """A reader must keep its own declaration; else every figure after it would be a guess."""
    for table in dataset.tables:
        frame = frames[table.name]
        _check_columns(frame, dataset, table)
        if frame["usage_date"].null_count() or frame["bucket"].null_count():
            raise _no_home(dataset, table)


def _no_home(dataset: Dataset, table: Table) -> QuarantineError:
    return QuarantineError(f"{dataset.source}/{table.name}: a row names no day or no bucket")


def _check_columns(frame: pl.DataFrame, dataset: Dataset, table: Table) -> None:
    if dict(frame.schema) != table.schema:
        raise QuarantineError(f"{dataset.source}/{table.name}: the reader's columns are not the declared ones")


def _write_table(folder: Path, table: Table, frame: pl.DataFrame) -> ParsedTable:
    file = folder / f"{table.name}.parquet"
    with written_once(file) as aside:
        frame.write_parquet(aside, compression="zstd", compression_level=1)
    return index_parquet(file, table)


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
    file: Path, dataset: Dataset, table: Table, in_place: InPlace, *, landed: LandedObject
) -> ParsedTable:
    """The same of an object that is read where it lies. QuarantineError where it holds what its reader refuses."""
    connection = _indexer(os.cpu_count() or 1).cursor()
    source = f"({rows_of([file], table, in_place.columns)})"
    try:
        # Of no rows first: the types are the expressions' own.
        _check_columns(pl.DataFrame(connection.sql(f"from {source} limit 0")), dataset, table)
        _check_refused(connection, file, in_place)
        sums = _sums_by_part(connection, source, table)
        if any(bucket is None or day is None for bucket, day in sums):
            raise _no_home(dataset, table)
        counts = [(bucket, day, part.rows) for (bucket, day), part in sums.items()]
        contents = _contents_in_place(connection, file, in_place, counts, landed.sha256)
    except duckdb.Error as error:
        reason = str(error).splitlines()[0].replace(str(file), "the file")
        raise QuarantineError(f"Not a readable Parquet file ({reason}). Export it again.") from None
    finally:
        connection.close()
    return ParsedTable(
        place=str(file),
        parts=tuple(
            Part(
                bucket=bucket, usage_date=day, rows=rows, content=contents[bucket, day], money=sums[bucket, day].charged
            )
            for bucket, day, rows in counts
        ),
        columns=in_place.columns,
        object_key=_object_key(landed),
    )


def _object_key(landed: LandedObject) -> str:
    """Below the state's root."""
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
    files: Sequence[Path], table: Table, columns: Mapping[str, str] | None, *, row_number: str | None = None
) -> str:
    """A SELECT of the table's columns from parsed files that are read alike; with each row's number in its file, from
    1, under a name of its own where one is given.
    """
    chosen = [_read_as(name, columns) for name in table.schema]
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
    total: int = 0
    mixed: int = 0
    stated: list[Stated] = field(default_factory=list)

    @property
    def charged(self) -> tuple[Stated, ...]:
        return tuple(sorted(self.stated, key=repr))


def _sums_by_part(
    connection: duckdb.DuckDBPyConnection, source: str, table: Table, *, hashed: str | None = None
) -> dict[tuple[str, date], _Sums]:
    """(bucket, day) -> its sums, `total` and `mixed` of the hashes where there is an expression for them. One scan."""
    hashes = "0, 0" if hashed is None else f"sum({hashed}::hugeint), bit_xor({hashed})"
    charges = "" if table.money is None else f", {_charge_columns(table, table.money)}"
    try:
        found = connection.execute(
            f"select bucket, usage_date, count(*), {hashes}{charges} from {source} group by all order by all"
        ).fetchall()
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        if table.money is None:
            raise
        raise QuarantineError(
            f"{table.name}: its amounts cannot be added up exactly, {_EXACTLY} ({str(error).splitlines()[0]})."
        ) from None
    parts: dict[tuple[str, date], _Sums] = {}
    for bucket, day, rows, total, mixed, *sums in found:
        _check_year(table, day)
        part = parts.setdefault((bucket, day), _Sums())
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


def _index_json(parsed: ParsedObject) -> dict[str, Any]:
    return {
        "format": _PARSED_FORMAT,
        "error": parsed.error,
        "tables": {
            name: {
                "parts": [
                    [
                        part.bucket,
                        part.usage_date.isoformat(),
                        part.rows,
                        part.content,
                        [[stated.currency, stated.quanta] for stated in part.money],
                    ]
                    for part in table.parts
                ],
                "streams": [[list(stream.values), stream.first, stream.last] for stream in table.streams],
                "columns": None if table.columns is None else dict(table.columns),
            }
            for name, table in parsed.tables.items()
        },
    }


def _read_index(announced: Path, landed: LandedObject) -> ParsedObject | None:
    """The index written before. None when it is of another format, or damaged: then the object is read again."""
    try:
        found = _of_index(json.loads(announced.read_bytes()), str(announced.parent), landed)
    except ValueError:
        found = None
    if found is None:
        announced.unlink()
    return found


def _of_index(index: Any, folder: str, landed: LandedObject) -> ParsedObject | None:
    try:
        return _indexed(index, folder, landed) if index["format"] == _PARSED_FORMAT else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _indexed(index: Mapping[str, Any], folder: str, landed: LandedObject) -> ParsedObject:
    tables = {
        name: ParsedTable(
            place=f"{folder}/{name}.parquet" if table["columns"] is None else f"{folder}/{_OBJECT_FILE}",
            parts=tuple(
                Part(bucket, date.fromisoformat(day), rows, content, tuple(Stated(*stated) for stated in money))
                for bucket, day, rows, content, money in table["parts"]
            ),
            streams=tuple(Stream(tuple(values), first, last) for values, first, last in table["streams"]),
            columns=table["columns"],
            object_key=None if table["columns"] is None else _object_key(landed),
        )
        for name, table in index["tables"].items()
    }
    return ParsedObject(sha256=landed.sha256, tables=tables, error=index["error"])
