"""The runner: for each (node, partition) a key over exactly what it reads; if its file exists, nothing runs."""

import hashlib
import json
import os
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property, partial
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Literal, Protocol

import duckdb
import polars as pl

from pipeline.build.closure import closure_hash
from pipeline.build.files import written_once
from pipeline.build.relations import (
    NO_ROWS,
    Columns,
    DateRange,
    NodePart,
    NodeRelation,
    Relation,
    duckdb_type,
    empty_select,
    literal,
    partition_of,
    partition_ordinals,
    partition_range,
    quoted,
    read_parquet,
)
from pipeline.build.sql_models import PartitionBy, SqlModel, in_order
from pipeline.build.workers import Workers
from pipeline.errors import BreakevenError, BuildError
from pipeline.landing.records import canonical, digest
from pipeline.landing.shared import SharedFiles

ENGINE = f"duckdb {duckdb.__version__}"
_NODE_FORMAT = "breakeven.node/2"
_FEW_ROWS = 10_000
# One query for a week takes little more than one for a day, and not much memory; a year would take both.
_MOST_DAYS_TOGETHER = 7


@dataclass(frozen=True)
class PythonModel:
    """A node of the graph written in Python: frames in, frame out. Its code is its module's import closure.

    `reads`: for an input of which not everything is wanted, the SELECT over it that is read instead. It must yield the
    rows of a day from that day's rows alone, since it runs once over all days that are wanted.
    `prepare`: for an input, what is made of its rows before `build` sees them: once for all partitions of a build, of
    each day's rows where it has days (`build` is handed them by day, in order), else of all of them. What it makes must
    not be changed by `build`.
    """

    name: str
    build: Callable[[Mapping[str, Any]], pl.DataFrame]
    inputs: tuple[str, ...]
    schema: Mapping[str, pl.DataType]
    partition_by: PartitionBy = "none"
    lookback: Mapping[str, int] = field(default_factory=dict)
    reads: Mapping[str, str] = field(default_factory=dict)
    prepare: Mapping[str, Callable[[pl.DataFrame], Any]] = field(default_factory=dict)
    date_column: str = "usage_date"
    folder: str = "decisions"

    @cached_property
    def code_hash(self) -> str:
        schema = {name: str(kind) for name, kind in self.schema.items()}
        modules = {self.build.__module__, *(prepare.__module__ for prepare in self.prepare.values())}
        return digest([sorted(map(closure_hash, modules)), schema, dict(self.reads)])


Model = SqlModel | PythonModel
_Parts = Mapping[str, NodePart]


class Progress(Protocol):
    """Told of every node before it is looked at, so that long work shows where it is."""

    def __call__(self, *, node: str, done: int, total: int) -> None: ...


def silent(*, node: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


class TellBuilt(Protocol):
    """Told of every node that is there, after those that it reads: its folder, and which partitions had to run."""

    def __call__(self, node: NodeRelation, folder: str, ran: Sequence[str]) -> None: ...


def untold(node: NodeRelation, folder: str, ran: Sequence[str]) -> None:
    """Nobody wants to know before everything is there."""


@dataclass
class Built:
    """What a build yielded: every node as a relation, and which partitions really ran."""

    nodes: dict[str, NodeRelation]
    ran: dict[str, list[str]]


@dataclass
class Runner:
    """Builds a graph of models over given relations, into `cache`. `known`: parts of earlier snapshots, by key.

    `before`: nodes of the build before: of a month that changed, the days that stayed the same are taken from it.
    `shared`: from where files of known parts are fetched when they are read; `is_shared`: what runs is offered to it.
    """

    models: Sequence[Model]
    relations: Mapping[str, Relation]
    cache: Path
    known: Mapping[str, NodePart] = field(default_factory=dict)
    before: Mapping[str, NodeRelation] = field(default_factory=dict)
    progress: Progress = silent
    built: TellBuilt = untold
    threads: int | None = None
    shared: SharedFiles | None = None
    is_shared: bool = False

    def build(self) -> Built:
        """Bring every model up to date. Raises BuildError naming the model, the partition and DuckDB's own words.

        A model is looked at as soon as all that it reads is there; what misses of it then waits for a free core.
        """
        by_name = {model.name: model for model in self.models}
        order = in_order({model.name: model.inputs for model in self.models}, self.relations)
        waiting = TopologicalSorter({name: [i for i in by_name[name].inputs if i in by_name] for name in order})
        waiting.prepare()
        nodes: dict[str, NodeRelation] = {}
        ran: dict[str, list[str]] = {}
        under_way: dict[str, _UnderWay] = {}
        readings = _Readings(self.models)
        with Workers[_Parts](self.threads or os.cpu_count() or 1, folder=self.cache) as workers:
            while waiting.is_active():
                for name in waiting.get_ready():
                    self.progress(node=name, done=len(nodes), total=len(order))
                    readable = {**self.relations, **nodes}
                    inputs = {table: readable[table] for table in by_name[name].inputs}
                    under_way[name] = self._begin(workers, by_name[name], inputs, readings)
                complete = [name for name, node in under_way.items() if node.missing <= node.parts.keys()]
                for name in complete:
                    node = under_way.pop(name)
                    nodes[name], ran[name] = node.relation(self.cache, self.shared), sorted(node.missing)
                    self.built(nodes[name], node.model.folder, ran[name])
                    readings.done(node.model)
                    waiting.done(name)
                if not complete:
                    name, parts = workers.next_result()
                    under_way[name].parts.update(parts)
        # In the order of what reads what, however they ended.
        return Built(nodes={name: nodes[name] for name in order}, ran={name: ran[name] for name in order if ran[name]})

    def _begin(
        self, workers: Workers[_Parts], model: Model, inputs: Mapping[str, Relation], readings: "_Readings"
    ) -> "_UnderWay":
        """Find what is there of a model, and have the rest made."""
        columns = self._columns(workers, model, inputs)
        keys = _part_keys(model, inputs)
        found = {partition: self.known.get(key) or self._remembered(model.name, key) for partition, key in keys.items()}
        for partition in [partition for partition, part in found.items() if part is None]:
            if _has_no_rows(model, inputs, partition):
                found[partition] = _part(keys[partition], columns, {})
        missing = {partition: keys[partition] for partition, part in found.items() if part is None}
        if isinstance(model, SqlModel):
            for together in _run_together(model, missing):
                workers.submit(model.name, partial(self._run_sql, model, together, inputs, columns))
        elif missing:
            # Its partitions share what it reads, and it holds the interpreter: one job makes them all.
            workers.submit(model.name, partial(self._run_python, model, missing, inputs, columns, readings))
        parts = {partition: part for partition, part in found.items() if part is not None}
        return _UnderWay(model=model, columns=columns, missing=missing.keys(), parts=parts)

    def _columns(self, workers: Workers[_Parts], model: Model, inputs: Mapping[str, Relation]) -> Columns:
        """The types a model yields over empty typed inputs: a missing input is empty, not an error."""
        if isinstance(model, PythonModel):
            return tuple((name, duckdb_type(kind)) for name, kind in model.schema.items())
        key = digest([ENGINE, model.code_hash, [[name, inputs[name].columns] for name in model.inputs]])
        remembered = self.cache / "schemas" / f"{key}.json"
        if remembered.exists():
            return tuple((name, kind) for name, kind in json.loads(remembered.read_bytes()))
        with workers.connection() as connection:
            for name in model.inputs:
                empty = empty_select(inputs[name].columns)
                connection.execute(f"create or replace temp view {quoted(name)} as {empty}")
            _set_partition(connection, partition_range("2000-01-01"))
            try:
                rows = connection.execute(f"describe {model.sql}").fetchall()
            except duckdb.Error as error:
                raise BuildError(f"{model.name} does not build over empty inputs: {_own_words(error)}") from None
        columns = tuple((str(row[0]), str(row[1])) for row in rows)
        if model.partition_by != "none" and model.date_column not in dict(columns):
            raise BuildError(f"{model.name} is partitioned but has no column {model.date_column}.")
        _refuse_what_parquet_lacks(model, columns)
        with written_once(remembered) as aside:
            aside.write_text(json.dumps(columns))
        return columns

    def _remembered(self, name: str, key: str) -> NodePart | None:
        file = self.cache / "nodes" / name / f"{key}.json"
        try:
            record = json.loads(file.read_bytes())
            # In use again: a collection leaves alone what is young.
            os.utime(file)
            if record["rows"]:
                os.utime(self._file(name, key))
        except (FileNotFoundError, KeyError):
            return None
        return None if record.get("format") != _NODE_FORMAT else part_from_json(key, record)

    def _run_sql(
        self,
        model: SqlModel,
        keys: Mapping[str, str],
        inputs: Mapping[str, Relation],
        columns: Columns,
        connection: duckdb.DuckDBPyConnection,
    ) -> _Parts:
        """Run one partition of a SQL model, or several days in a row, and keep each result under its key."""
        day_keys = _keys_of_days(model, keys, inputs)
        window = DateRange(partition_range(min(keys)).from_date, partition_range(max(keys)).to_date)
        kept = self._kept_days(model.name, max(keys), day_keys)
        if kept is not None:
            window = kept.changed
        try:
            read = {name: inputs[name].sql(_days_read(model, inputs[name], window)) for name in model.inputs}
            connection.execute(f"create or replace temp table result as {_over(read, model.sql, window)}")
            found = _hashed(connection, model, columns, "result")
            if kept is not None:
                _refuse_outside(model, f"{_named(keys)} from {window.from_date}", window, found)
                found = {**kept.said, **found}
            parts = _parts(model, keys, columns, found)
            for partition, part in parts.items():
                if part.rows:
                    rows = _rows_to_keep(model, "result" if len(parts) == 1 else partition, kept)
                    with written_once(self._file(model.name, part.key)) as aside:
                        written = f"format parquet, compression {_compression(part.rows)}"
                        connection.execute(f"copy {rows} to {literal(str(aside))} ({written})")
        except duckdb.Error as error:
            raise BuildError(f"{model.name}, {_named(keys)}: {_own_words(error)}") from None
        finally:
            connection.execute("drop table if exists result")
        for part in parts.values():
            self._announce(model.name, part, day_keys)
        return parts

    def _kept_days(self, name: str, month: str, day_keys: Mapping[str, str]) -> "_Kept | None":
        """Of a month as it was made before, the days that say the same. None: it was not, or they cannot be had."""
        before = self.before.get(name)
        part = before.parts.get(month) if day_keys and before is not None else None
        if part is None:
            return None
        file = self._file(name, part.key)
        try:
            were: Mapping[str, str] = json.loads(file.with_suffix(".json").read_bytes())["day_keys"]
        except (FileNotFoundError, KeyError):
            return None
        changed = sorted(day for day, key in day_keys.items() if were.get(day) != key)
        if not changed or (part.rows and not file.exists()):
            return None
        window = DateRange(partition_range(changed[0]).from_date, partition_range(changed[-1]).to_date)
        said: _Said = {day: (_rows_said(hashed), hashed) for day, hashed in part.by_day.items() if day not in window}
        return _Kept(changed=window, said=said, file=file)

    def _run_python(
        self,
        model: PythonModel,
        keys: Mapping[str, str],
        inputs: Mapping[str, Relation],
        columns: Columns,
        readings: "_Readings",
        connection: duckdb.DuckDBPyConnection,
    ) -> _Parts:
        """Run the missing partitions of a Python model. Their rows are few, so they are hashed all at once."""
        try:
            frames = _Frames(model, inputs, list(keys), readings, connection)
            made = {partition: _made(model, partition, frames.of(partition)) for partition in keys}
            files = {partition: self._file(model.name, keys[partition]) for partition in keys if len(made[partition])}
            for partition, file in files.items():
                with written_once(file) as aside:
                    made[partition].write_parquet(aside, compression=_compression(len(made[partition])))
            rows = _typed_select(columns, read_parquet(list(files.values()))) if files else empty_select(columns)
            found = _hashed(connection, model, columns, f"({rows})")
        except duckdb.Error as error:
            raise BuildError(f"{model.name}: {_own_words(error)}") from None
        parts = _parts(model, keys, columns, found)
        for part in parts.values():
            self._announce(model.name, part)
        return parts

    def _file(self, name: str, key: str) -> Path:
        return self.cache / "nodes" / name / f"{key}.parquet"

    def _announce(self, name: str, part: NodePart, day_keys: Mapping[str, str] | None = None) -> None:
        """Say that a result is there, whole: its Parquet file, if it has rows, is linked into place."""
        record = {"format": _NODE_FORMAT, **part_to_json(part), **({"day_keys": day_keys} if day_keys else {})}
        with written_once(self.cache / "nodes" / name / f"{part.key}.json") as aside:
            aside.write_text(json.dumps(record))
        if self.shared is not None and self.is_shared and part.rows:
            # Nothing names it there yet: the snapshot will, when all of its files are there.
            self.shared.offer([self._file(name, part.key)])


@dataclass
class _UnderWay:
    """A model of which some partitions may still be missing. `parts`: those that are there."""

    model: Model
    columns: Columns
    missing: KeysView[str]
    parts: dict[str, NodePart]

    def relation(self, folder: Path, shared: SharedFiles | None) -> NodeRelation:
        return NodeRelation(
            name=self.model.name,
            columns=self.columns,
            partition_by=self.model.partition_by,
            date_column=self.model.date_column,
            parts=dict(sorted(self.parts.items())),
            folder=folder,
            shared=shared,
        )


# Day (None where the model has no days) -> rows, and a hash of what they say without order.
_Said = dict[date | None, tuple[int, str]]


def _compression(rows: int) -> Literal["snappy", "zstd"]:
    """zstd takes a millisecond to begin with, which most results are not worth: a year has thousands of small ones."""
    return "zstd" if rows > _FEW_ROWS else "snappy"


@dataclass(frozen=True)
class _Kept:
    """A month as it was made before: the file, what it says of the days that stay, and the range that is made anew."""

    changed: DateRange
    said: _Said
    file: Path


def _rows_to_keep(model: SqlModel, of: str, kept: _Kept | None) -> str:
    """What is written of `result`: all of it, one of its days, or all of it between the days that stay."""
    day = quoted(model.date_column)
    if kept is None or not kept.said:
        return of if of == "result" else f"(from result where {day} = date '{of}')"
    earlier = f"from {read_parquet([kept.file])} where {day}"
    first, end = kept.changed.from_date, kept.changed.to_date
    return f"({earlier} < date '{first}' union all from result union all {earlier} >= date '{end}')"


def _hashed(connection: duckdb.DuckDBPyConnection, model: Model, columns: Columns, table: str) -> _Said:
    hashed = f"hash({', '.join(quoted(name) for name, _ in columns)})"
    day = quoted(model.date_column) if model.partition_by != "none" else "cast(null as date)"
    rows = connection.execute(
        f"select {day}, count(*), sum({hashed}::hugeint), bit_xor({hashed}) from {table} group by 1 order by 1"
    ).fetchall()
    return {found: (count, f"{count}.{total:x}.{mixed:x}") for found, count, total, mixed in rows}


def _run_together(model: SqlModel, missing: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """Partitions, with their keys, that one query makes: days in a row where the model keeps its days apart."""
    together: dict[str, str] = {}
    for partition, key in sorted(missing.items()):
        begins = partition_range(partition).from_date
        is_next = together and begins == partition_range(max(together)).to_date
        is_of_days = model.partition_by == "day" and model.days_are_apart
        if together and not (is_of_days and is_next and len(together) < _MOST_DAYS_TOGETHER):
            yield together
            together = {}
        together[partition] = key
    if together:
        yield together


def _parts(model: Model, keys: Mapping[str, str], columns: Columns, found: _Said) -> _Parts:
    """What was found of each partition. BuildError where there are rows of none of them."""
    said: dict[str, _Said] = {partition: {} for partition in keys}
    for day, says in found.items():
        partition = (
            "all" if model.partition_by == "none" else "" if day is None else partition_of(day, model.partition_by)
        )
        if partition not in said:
            raise BuildError(f"{model.name}, {_named(keys)}: rows of {day} are outside it.")
        said[partition][day] = says
    return {partition: _part(key, columns, said[partition]) for partition, key in keys.items()}


def _named(keys: Mapping[str, str]) -> str:
    return f"partition {min(keys)}" if len(keys) == 1 else f"partitions {min(keys)} to {max(keys)}"


def _part(key: str, columns: Columns, found: _Said) -> NodePart:
    """Rows and content hash, by day where the model has days."""
    return NodePart(
        key=key,
        rows=sum(count for count, _ in found.values()),
        content=digest([columns, sorted((str(day), said) for day, (_, said) in found.items())]),
        by_day={day: said for day, (_, said) in found.items() if day is not None},
    )


def _refuse_what_parquet_lacks(model: Model, columns: Columns) -> None:
    """Parquet has no integers of 128 bits: DuckDB writes a HUGEINT as a DOUBLE, without a word."""
    lacking = [f"{name} ({kind})" for name, kind in columns if "HUGEINT" in kind]
    if lacking:
        raise BuildError(
            f"{model.name} yields {', '.join(lacking)}, which Parquet would round. A sum of BIGINT is one: cast it to "
            "BIGINT, or to DECIMAL(38, 0)."
        )


def _refuse_outside(model: Model, asked: str, window: DateRange, days: Iterable[date | None]) -> None:
    outside = [str(found) for found in days if found is None or found not in window]
    if outside:
        raise BuildError(f"{model.name}, {asked}: rows of {', '.join(outside[:3])} are outside it.")


class _Asked(Mapping[str, Any]):
    """Inputs by name, each found when it is asked for: a model without anything to decide reads little."""

    def __init__(self, found_by: Mapping[str, Callable[[], Any]]) -> None:
        self._found_by = found_by
        self._found: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._found:
            self._found[name] = self._found_by[name]()
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found_by)

    def __len__(self) -> int:
        return len(self._found_by)


class _Readings:
    """What the Python models of one build read. Where two ask alike it is read, and made ready, once for both.

    Kept as long as a model that asks for it is still to run. Who comes second may ask for fewer days.
    """

    def __init__(self, models: Iterable[Model]) -> None:
        self._left = Counter(asked for model in models if isinstance(model, PythonModel) for asked in _asked(model))
        self._kept: dict[_Asking, list[tuple[DateRange | None, _Cuts]]] = {}

    def of(
        self, model: PythonModel, relation: Relation, connection: duckdb.DuckDBPyConnection, days: DateRange | None
    ) -> "_Cuts":
        """An input of a model, of these days at least."""
        kept = self._kept.setdefault(_asking(model, relation.name), [])
        found = next((cuts for of_days, cuts in kept if _holds(of_days, days)), None)
        if found is None:
            found = _Cuts(*_read(model, relation, connection, days), model.prepare.get(relation.name))
            kept.append((days, found))
        return found

    def done(self, model: Model) -> None:
        """The model asks for nothing more."""
        for asked in _asked(model) if isinstance(model, PythonModel) else ():
            self._left[asked] -= 1
            if not self._left[asked]:
                self._kept.pop(asked, None)


# An input, how it is read, and what is made of it.
_Asking = tuple[str, str | None, Callable[[pl.DataFrame], Any] | None]


def _asking(model: PythonModel, name: str) -> _Asking:
    return name, model.reads.get(name), model.prepare.get(name)


def _asked(model: PythonModel) -> list[_Asking]:
    return [_asking(model, name) for name in model.inputs]


def _holds(kept: DateRange | None, wanted: DateRange | None) -> bool:
    if kept is None or wanted is None:
        return kept is wanted
    return kept.from_date <= wanted.from_date and wanted.to_date <= kept.to_date


def _read(
    model: PythonModel, relation: Relation, connection: duckdb.DuckDBPyConnection, days: DateRange | None
) -> tuple[pl.DataFrame, list[date]]:
    """Rows of an input in the order of their days, and the day of each."""
    connection.execute(f"create or replace temp view {quoted(relation.name)} as {relation.sql(days)}")
    frame = pl.DataFrame(connection.sql(model.reads.get(relation.name, f"select * from {quoted(relation.name)}")))
    if days is None or relation.date_column is None:
        return frame, []
    frame = frame.sort(relation.date_column)
    return frame, frame[relation.date_column].to_list()


class DaysOf(Mapping[date, Any]):
    """What was made of an input, by day. It is read when it is first looked at."""

    def __init__(self, found: Callable[[], Mapping[date, Any]], of: Callable[[DateRange], Mapping[date, Any]]) -> None:
        self._found = found
        self._of = of

    @cached_property
    def _by_day(self) -> Mapping[date, Any]:
        return self._found()

    def between(self, first: date, last: date) -> Mapping[date, Any]:
        """The days from `first` to `last`, and nothing read of any other."""
        return self._of(DateRange(first, last + timedelta(days=1)))

    def __getitem__(self, day: date) -> Any:
        return self._by_day[day]

    def __iter__(self) -> Iterator[date]:
        return iter(self._by_day)

    def __len__(self) -> int:
        return len(self._by_day)


class _Frames:
    """Inputs of a Python model: each is read once for all partitions that miss, and cut for each of them."""

    def __init__(
        self,
        model: PythonModel,
        inputs: Mapping[str, Relation],
        partitions: Sequence[str],
        readings: _Readings,
        connection: duckdb.DuckDBPyConnection,
    ) -> None:
        self._model = model
        self._inputs = inputs
        self._windows = [partition_range(partition) for partition in partitions]
        self._readings = readings
        self._connection = connection

    def of(self, partition: str) -> Mapping[str, Any]:
        """What a partition reads of each input, and `this_partition`. An input is read when it is first asked for."""
        window = partition_range(partition)
        this = pl.DataFrame({"from_date": [window.from_date], "to_date": [window.to_date]})
        asked = {name: partial(self._cut, relation, window) for name, relation in self._inputs.items()}
        return _Asked({**asked, "this_partition": lambda: this})

    def _cut(self, relation: Relation, window: DateRange) -> Any:
        wanted = _days_read(self._model, relation, window)
        if wanted is None or relation.name not in self._model.prepare:
            return self._whole(relation).of(wanted)
        return DaysOf(lambda: self._whole(relation).of(wanted), lambda days: self._of_days(relation, days).of(days))

    def _whole(self, relation: Relation) -> "_Cuts":
        """What any of the partitions reads of an input."""
        ranges = [_days_read(self._model, relation, window) for window in self._windows]
        dated = [days for days in ranges if days is not None]
        hull: DateRange | None = None
        if len(dated) == len(ranges):
            hull = DateRange(min(days.from_date for days in dated), max(days.to_date for days in dated))
        return self._of_days(relation, hull)

    def _of_days(self, relation: Relation, days: DateRange | None) -> "_Cuts":
        return self._readings.of(self._model, relation, self._connection, days)


class _Cuts:
    """One input of a Python model: its rows in the order of their days, or what the model makes of them."""

    def __init__(self, frame: pl.DataFrame, days: list[date], prepare: Callable[[pl.DataFrame], Any] | None) -> None:
        self._frame = frame
        self._days = days
        self._prepare = prepare
        self._prepared: dict[date | None, Any] = {}

    def of(self, wanted: DateRange | None) -> Any:
        if wanted is None:
            return self._frame if self._prepare is None else self._made(self._prepare, None, self._frame)
        first, end = bisect_left(self._days, wanted.from_date), bisect_left(self._days, wanted.to_date)
        if self._prepare is None:
            return self._frame.slice(first, end - first)
        by_day: dict[date, Any] = {}
        while first < end:
            day, following = self._days[first], bisect_right(self._days, self._days[first])
            by_day[day] = self._made(self._prepare, day, self._frame.slice(first, following - first))
            first = following
        return by_day

    def _made(self, prepare: Callable[[pl.DataFrame], Any], day: date | None, frame: pl.DataFrame) -> Any:
        if day not in self._prepared:
            self._prepared[day] = prepare(frame)
        return self._prepared[day]


def _made(model: PythonModel, partition: str, inputs: Mapping[str, Any]) -> pl.DataFrame:
    """The rows of one partition of a Python model. Raises BuildError where they are not what the model declares."""
    try:
        frame = model.build(inputs)
    except BreakevenError as error:
        raise BuildError(f"{model.name}: {error}") from error
    if dict(frame.schema) != dict(model.schema):
        raise BuildError(f"{model.name} returned columns {dict(frame.schema)}, declared {dict(model.schema)}.")
    if model.partition_by != "none":
        window = partition_range(partition)
        _refuse_outside(model, f"partition {partition}", window, frame[model.date_column].unique())
    return frame


def _rows_said(hashed: str) -> int:
    """The rows of a day, from what is kept of it."""
    return int(hashed.partition(".")[0])


def part_to_json(part: NodePart) -> dict[str, Any]:
    return {
        "rows": part.rows,
        "content": part.content,
        "by_day": {day.isoformat(): hashed for day, hashed in part.by_day.items()},
    }


def part_from_json(key: str, record: Mapping[str, Any]) -> NodePart:
    return NodePart(
        key=key,
        rows=record["rows"],
        content=record["content"],
        by_day={date.fromisoformat(day): hashed for day, hashed in record["by_day"].items()},
    )


def _typed_select(columns: Columns, table: str) -> str:
    typed = ", ".join(f"cast({quoted(name)} as {kind}) as {quoted(name)}" for name, kind in columns)
    return f"select {typed} from {table}"


def _over(tables: Mapping[str, str], sql: str, window: DateRange) -> str:
    """A model's SELECT over what its tables are. Not by views: DuckDB reads the footers of their files once more."""
    this = f"select date '{window.from_date}' as from_date, date '{window.to_date}' as to_date"
    named = {**tables, "this_partition": this}
    ctes = ", ".join(f"{quoted(name)} as not materialized ({select})" for name, select in named.items())
    return f"with {ctes} select * from (\n{sql}\n)"


def _set_partition(connection: duckdb.DuckDBPyConnection, window: DateRange) -> None:
    connection.execute(
        "create or replace temp view this_partition as "
        f"select date '{window.from_date}' as from_date, date '{window.to_date}' as to_date"
    )


def _partitions(model: Model, inputs: Mapping[str, Relation]) -> list[str]:
    """The partitions of a model: those of the days its dated inputs have, or the one that it names."""
    if model.partition_by == "none":
        return ["all"]
    named = model.days_of if isinstance(model, SqlModel) else None
    dated = [inputs[named]] if named is not None else [relation for relation in inputs.values() if relation.is_dated]
    days = {day for relation in dated for day in relation.days()}
    return sorted({partition_of(day, model.partition_by) for day in days})


def _days_read(model: Model, relation: Relation, window: DateRange) -> DateRange | None:
    if not relation.is_dated or model.partition_by == "none":
        return None
    back = timedelta(days=model.lookback.get(relation.name, 0))
    return DateRange(window.from_date - back, window.to_date)


def _has_no_rows(model: Model, inputs: Mapping[str, Relation], partition: str) -> bool:
    """Whether nothing need be run to know that: what its rows are made of has none."""
    if not isinstance(model, SqlModel) or not model.rows_of:
        return False
    window = partition_range(partition)
    made_of = [inputs[name] for name in model.rows_of]
    return all(relation.content(_days_read(model, relation, window)) == NO_ROWS for relation in made_of)


def _part_keys(model: Model, inputs: Mapping[str, Relation]) -> dict[str, str]:
    """Partition -> hash of all that its result is made of."""
    return _keys_of(_partitions(model, inputs), model, inputs)


def _keys_of_days(model: SqlModel, keys: Mapping[str, str], inputs: Mapping[str, Relation]) -> dict[str, str]:
    """Day -> hash of all that its rows are made of: of each day of a month, where a model keeps its days apart."""
    if model.partition_by != "month" or not model.days_are_apart:
        return {}
    days = partition_range(max(keys))
    dates = map(date.fromordinal, range(days.from_date.toordinal(), days.to_date.toordinal()))
    return _keys_of([day.isoformat() for day in dates], model, inputs)


def _keys_of(partitions: Sequence[str], model: Model, inputs: Mapping[str, Relation]) -> dict[str, str]:
    """What partitions share is hashed once."""
    columns = [[name, inputs[name].columns] for name in model.inputs]
    shared = hashlib.sha256(canonical([_NODE_FORMAT, ENGINE, model.name, model.code_hash, model.partition_by, columns]))
    keys: dict[str, str] = {}
    read = [_contents_read(model, inputs[name], partitions) for name in model.inputs]
    for partition, *contents in zip(partitions, *read, strict=True):
        own = shared.copy()
        # Neither holds a line break: one text, one meaning.
        own.update("\n".join(["", partition, *contents]).encode())
        keys[partition] = own.hexdigest()
    return keys


def _contents_read(model: Model, relation: Relation, partitions: Sequence[str]) -> list[str]:
    """What an input says to each of these partitions."""
    if not relation.is_dated or model.partition_by == "none":
        return [relation.content(None)] * len(partitions)
    back = model.lookback.get(relation.name, 0)
    return relation.contents([(first - back, end) for first, end in map(partition_ordinals, partitions)])


def _own_words(error: duckdb.Error) -> str:
    return " ".join(str(error).split())[:600]


def known_parts(nodes: Iterable[NodeRelation]) -> dict[str, NodePart]:
    """Parts of an earlier build by key, so that unchanged ones are not even looked up on disk.

    With a shared cache those whose files can be had: one that fetched not all of them may have been collected there.
    """
    known: dict[str, NodePart] = {}
    for node in nodes:
        shared = node.shared
        for partition, part in node.parts.items():
            if shared is None or not part.rows or shared.has(node.file_of(partition)):
                known[part.key] = part
    return known
