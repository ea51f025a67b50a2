"""The first node of the build: every landed object as typed Parquet, keyed by its bytes and the code that reads it."""

import functools
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from pipeline.build.closure import closure_hash
from pipeline.build.files import written_once
from pipeline.errors import QuarantineError
from pipeline.landing.dataset import Dataset, Table
from pipeline.landing.landing import Landing
from pipeline.landing.records import LandedObject, digest

_PARSED_FORMAT = "breakeven.parsed/1"
# Below this, starting worker processes costs more than it saves.
_WORTH_WORKERS_BYTES = 8 * 1024**2


@dataclass(frozen=True)
class Part:
    """The rows of one object that belong to one bucket and one day, and a hash of what they say."""

    bucket: str
    usage_date: date
    rows: int
    content: str


@dataclass(frozen=True)
class Stream:
    """One run of a declared key inside an object: its leading values and the range of its last column."""

    values: tuple[str, ...]
    first: int
    last: int


@dataclass(frozen=True)
class ParsedTable:
    """One table of one object: where its Parquet lies and what is in it."""

    file: Path
    parts: tuple[Part, ...]
    streams: tuple[Stream, ...] = ()


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
    schema = {table.name: {name: str(kind) for name, kind in table.schema.items()} for table in dataset.tables}
    return digest(
        [
            landed.sha256,
            dataset.source,
            dataset.name,
            dataset.schema_version,
            schema,
            closure_hash(dataset.parse.__module__),
            dict(settings),
            duckdb.__version__,
        ]
    )


@dataclass(frozen=True)
class Unread:
    """One object that this reader has not read yet."""

    landed: LandedObject
    dataset: Dataset
    settings: Mapping[str, Any]
    folder: Path


def remembered_object(
    landed: LandedObject, *, dataset: Dataset, settings: Mapping[str, Any], cache: Path
) -> ParsedObject | Unread:
    """What this reader found in an object before, or the work that is left to do."""
    key = parsed_key(landed, dataset, settings)
    folder = cache / "parsed" / key[:2] / key
    announced = folder / "parsed.json"
    known = _read_index(announced, landed.sha256) if announced.exists() else None
    return known or Unread(landed=landed, dataset=dataset, settings=settings, folder=folder)


def parse_objects(unread: Sequence[Unread], *, landing: Landing) -> list[ParsedObject]:
    """Read objects, with all cores when there is much to read. Same order as asked."""
    size_bytes = sum(item.landed.size_bytes for item in unread)
    workers = min(os.cpu_count() or 1, len(unread))
    if workers < 2 or size_bytes < _WORTH_WORKERS_BYTES:
        return [parse_object(item, landing.read_object(item.landed)) for item in unread]
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
            waiting = [pool.submit(parse_object, item, landing.read_object(item.landed)) for item in unread]
            return [future.result() for future in waiting]
    except BrokenProcessPool:
        # Workers cannot start from a script without a main guard, or when memory is short: one core does it too.
        return [parse_object(item, landing.read_object(item.landed)) for item in unread]


def _one_thread() -> None:
    """A worker is one core's worth: frame libraries must not start a thread pool each."""
    os.environ["POLARS_MAX_THREADS"] = "1"


def parse_object(unread: Unread, content: bytes) -> ParsedObject:
    """Read one object. What cannot be read is quarantined under this reader, and re-offered to a changed one."""
    dataset = unread.dataset
    try:
        frames = dataset.parse(content, unread.settings)
        _check_frames(frames, dataset)
    except QuarantineError as error:
        parsed = ParsedObject(sha256=unread.landed.sha256, error=str(error))
    else:
        tables = {table.name: _write_table(unread.folder, table, frames[table.name]) for table in dataset.tables}
        parsed = ParsedObject(sha256=unread.landed.sha256, tables=tables)
    announce(unread.folder, parsed)
    return parsed


def announce(folder: Path, parsed: ParsedObject) -> None:
    """Say that an object has been read: its tables lie in the folder, whole."""
    with written_once(folder / "parsed.json") as aside:
        aside.write_text(json.dumps(_index_json(parsed)))


def _check_frames(frames: Mapping[str, pl.DataFrame], dataset: Dataset) -> None:
    """A reader must keep its own declaration; else every figure after it would be a guess."""
    for table in dataset.tables:
        frame = frames[table.name]
        if dict(frame.schema) != table.schema:
            raise QuarantineError(f"{dataset.source}/{table.name}: the reader's columns are not the declared ones")
        if frame["usage_date"].null_count() or frame["bucket"].null_count():
            raise QuarantineError(f"{dataset.source}/{table.name}: a row names no day or no bucket")


def _write_table(folder: Path, table: Table, frame: pl.DataFrame) -> ParsedTable:
    file = folder / f"{table.name}.parquet"
    with written_once(file) as aside:
        frame.write_parquet(aside, compression="zstd", compression_level=1)
    return index_parquet(file, table)


@functools.cache
def _indexer() -> duckdb.DuckDBPyConnection:
    """One engine a process: starting one takes longer than to index a small file."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("set global timezone = 'UTC'")
    return connection


def index_parquet(file: Path, table: Table) -> ParsedTable:
    """What a parsed Parquet file contains, by bucket and day, and the ranges of its declared key."""
    connection = _indexer().cursor()
    source = f"read_parquet({_literal(str(file))})"
    hashed = f"hash({', '.join(_quoted(column) for column in table.schema)})"
    parts = connection.execute(
        f"select bucket, usage_date, count(*), sum({hashed}::hugeint), bit_xor({hashed}) "
        f"from {source} group by all order by all"
    ).fetchall()
    streams: list[tuple[Any, ...]] = []
    if table.key and parts:
        *leading, last = (_quoted(column) for column in table.key)
        streams = connection.execute(
            f"select {', '.join([*leading, f'min({last})', f'max({last})'])} from {source} group by all order by all"
        ).fetchall()
    connection.close()
    return ParsedTable(
        file=file,
        parts=tuple(
            Part(bucket=bucket, usage_date=day, rows=rows, content=f"{rows}.{total:x}.{mixed:x}")
            for bucket, day, rows, total, mixed in parts
        ),
        streams=tuple(
            Stream(values=tuple(map(str, values)), first=first, last=last) for *values, first, last in streams
        ),
    )


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
                "parts": [[part.bucket, part.usage_date.isoformat(), part.rows, part.content] for part in table.parts],
                "streams": [[list(stream.values), stream.first, stream.last] for stream in table.streams],
            }
            for name, table in parsed.tables.items()
        },
    }


def _read_index(announced: Path, sha256: str) -> ParsedObject | None:
    """The index written before, or None when it is of another format: then the object is read again."""
    index = json.loads(announced.read_bytes())
    if index.get("format") != _PARSED_FORMAT:
        announced.unlink()
        return None
    tables = {
        name: ParsedTable(
            file=announced.parent / f"{name}.parquet",
            parts=tuple(
                Part(bucket, date.fromisoformat(day), rows, content) for bucket, day, rows, content in table["parts"]
            ),
            streams=tuple(Stream(tuple(values), first, last) for values, first, last in table["streams"]),
        )
        for name, table in index["tables"].items()
    }
    return ParsedObject(sha256=sha256, tables=tables, error=index["error"])
