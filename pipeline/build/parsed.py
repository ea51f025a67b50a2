"""The first node of the build: every landed object as typed Parquet, keyed by its bytes and the code that reads it."""

import json
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from pipeline.build.closure import closure_hash
from pipeline.build.files import written_once
from pipeline.build.known import KnownObjects
from pipeline.build.object_index import (
    ParsedTable,
    Part,
    Stated,
    Stream,
    check_columns,
    index_in_place,
    index_parquet,
    no_home,
    object_key,
)
from pipeline.errors import QuarantineError
from pipeline.landing.dataset import UNFORESEEN, Dataset, Frames, Table
from pipeline.landing.landing import Landing
from pipeline.landing.records import LandedObject, digest
from pipeline.landing.shared import SharedFiles

_PARSED_FORMAT = "breakeven.parsed/2"
# Below this, starting worker processes costs more than it saves.
_WORTH_WORKERS_BYTES = 8 * 1024**2
# An object that is read in place is named so by its source, and lies beside its index under this name.
_PARQUET = ".parquet"
_OBJECT_FILE = f"object{_PARQUET}"
_INDEX_FILE = "parsed.json"
_PARSED_FOLDER = "parsed"
_IN_PLACE_TOGETHER = 2
_LONGEST_REASON = 200


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
    read = _read_in_place([item for item in unread if _may_be_read_in_place(item)], landing)
    others = [item for item in unread if item.folder not in read]
    read |= dict(zip((item.folder for item in others), _parse_side_by_side(others, landing), strict=True))
    return [read[item.folder] for item in unread]


def _may_be_read_in_place(item: Unread) -> bool:
    return item.dataset.in_place is not None and item.landed.name.endswith(_PARQUET)


def _read_in_place(unread: Sequence[Unread], landing: Landing) -> dict[Path, ParsedObject]:
    """By folder, those that can be. None of them is ever in memory as a whole, however large.

    To check an object's bytes takes one core about as long as to add it up takes all: two at a time keep them busy.
    """
    with ThreadPoolExecutor(_IN_PLACE_TOGETHER, thread_name_prefix="read in place") as pool:
        found = zip(unread, pool.map(partial(_parse_in_place, landing=landing), unread), strict=True)
        return {item.folder: parsed for item, parsed in found if parsed is not None}


def _parse_in_place(unread: Unread, landing: Landing) -> ParsedObject | None:
    """Look through one object where it lies. None for one that has to be parsed."""
    file = unread.folder / _OBJECT_FILE
    with written_once(file) as aside:
        landing.put_object(unread.landed, aside)
        try:
            parsed = ParsedObject(sha256=unread.landed.sha256, tables=_tables_in_place(unread, aside, place=file))
        except QuarantineError as error:
            parsed = ParsedObject(sha256=unread.landed.sha256, error=str(error))
        if not parsed.tables:
            aside.unlink()
    if not parsed.tables and parsed.error is None:
        return None
    announce(unread.folder, parsed)
    return parsed


def _tables_in_place(unread: Unread, file: Path, *, place: Path) -> dict[str, ParsedTable]:
    """None of them where the reader says that the object has to be parsed."""
    dataset = unread.dataset
    in_place = (dataset.in_place(file, unread.settings) if dataset.in_place is not None else None) or {}
    return {
        table.name: index_in_place(file, dataset, table, in_place[table.name], landed=unread.landed, place=place)
        for table in (dataset.tables if in_place else ())
    }


def _parse_side_by_side(unread: Sequence[Unread], landing: Landing) -> list[ParsedObject]:
    size_bytes = sum(item.landed.size_bytes for item in unread)
    workers = min(os.cpu_count() or 1, len(unread))
    if workers < 2 or size_bytes < _WORTH_WORKERS_BYTES:
        return [parse_object(item, landing.read_object(item.landed)) for item in unread]
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=begin_worker) as pool:
            return _parsed_by(pool, unread, landing, most_waiting=2 * workers)
    except BrokenProcessPool:
        # Workers cannot start from a script without a main guard, or when memory is short: one core does it too.
        return [parse_object(item, landing.read_object(item.landed)) for item in unread]


def _parsed_by(pool: Executor, unread: Sequence[Unread], landing: Landing, *, most_waiting: int) -> list[ParsedObject]:
    """In their order. No more objects are in memory than keep the workers busy, and none waits for a slow one."""
    begun: list[Future[ParsedObject]] = []
    waiting: set[Future[ParsedObject]] = set()
    for item in unread:
        if len(waiting) == most_waiting:
            waiting = wait_for(waiting, return_when=FIRST_COMPLETED).not_done
        begun.append(pool.submit(parse_object, item, landing.read_object(item.landed)))
        waiting.add(begun[-1])
    return [future.result() for future in begun]


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


def parse_object(unread: Unread, content: bytes) -> ParsedObject:
    """Read one object. What cannot be read is quarantined under this reader, and re-offered to a changed one."""
    dataset = unread.dataset
    try:
        frames = _frames(dataset, content, unread.settings)
        _check_frames(frames, dataset)
        tables = {table.name: _write_table(unread.folder, table, frames[table.name]) for table in dataset.tables}
    except QuarantineError as error:
        parsed = ParsedObject(sha256=unread.landed.sha256, error=str(error))
    else:
        parsed = ParsedObject(sha256=unread.landed.sha256, tables=tables)
    announce(unread.folder, parsed)
    return parsed


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


def announce(folder: Path, parsed: ParsedObject) -> None:
    """Say that an object has been read: its tables lie in the folder, whole."""
    with written_once(folder / _INDEX_FILE) as aside:
        aside.write_text(json.dumps(_index_json(parsed)))


def _check_frames(frames: Mapping[str, pl.DataFrame], dataset: Dataset) -> None:
    """A reader must keep its own declaration; else every figure after it would be a guess."""
    for table in dataset.tables:
        frame = frames[table.name]
        check_columns(frame, dataset, table)
        if frame["usage_date"].null_count() or frame["bucket"].null_count():
            raise no_home(dataset, table)


def _write_table(folder: Path, table: Table, frame: pl.DataFrame) -> ParsedTable:
    file = folder / f"{table.name}.parquet"
    with written_once(file) as aside:
        frame.write_parquet(aside, compression="zstd", compression_level=1)
    return index_parquet(file, table)


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
            object_key=None if table["columns"] is None else object_key(landed),
        )
        for name, table in index["tables"].items()
    }
    return ParsedObject(sha256=landed.sha256, tables=tables, error=index["error"])
