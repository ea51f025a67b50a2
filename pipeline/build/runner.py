"""The runner: for each (node, partition) a key over exactly what it reads; if its file exists, nothing runs."""

import json
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import duckdb
import polars as pl

from pipeline.build.closure import closure_hash
from pipeline.build.files import written_once
from pipeline.build.relations import (
    Columns,
    DateRange,
    NodePart,
    NodeRelation,
    Relation,
    duckdb_type,
    empty_select,
    literal,
    partition_of,
    partition_range,
    quoted,
    read_parquet,
)
from pipeline.build.sql_models import PartitionBy, SqlModel, in_order
from pipeline.errors import BreakevenError, BuildError
from pipeline.landing.records import digest

ENGINE = f"duckdb {duckdb.__version__}"
_NODE_FORMAT = "breakeven.node/1"
# Fewer partitions than this are done sooner one after the other, each on all cores.
_WORTH_SIDE_BY_SIDE = 4


@dataclass(frozen=True)
class PythonModel:
    """A node of the graph written in Python: frames in, frame out. Its code is its module's import closure.

    `reads`: for an input of which not everything is wanted, the SELECT over it that is read instead. It must yield the
    rows of a day from that day's rows alone, since it runs once over all days that are wanted.
    """

    name: str
    build: Callable[[Mapping[str, pl.DataFrame]], pl.DataFrame]
    inputs: tuple[str, ...]
    schema: Mapping[str, pl.DataType]
    partition_by: PartitionBy = "none"
    lookback: Mapping[str, int] = field(default_factory=dict)
    reads: Mapping[str, str] = field(default_factory=dict)
    date_column: str = "usage_date"
    folder: str = "decisions"

    @property
    def code_hash(self) -> str:
        schema = {name: str(kind) for name, kind in self.schema.items()}
        return digest([closure_hash(self.build.__module__), schema, dict(self.reads)])


Model = SqlModel | PythonModel
_Run = Callable[[duckdb.DuckDBPyConnection, str], "NodePart"]


class Progress(Protocol):
    """Told of every node before it is looked at, so that long work shows where it is."""

    def __call__(self, *, node: str, done: int, total: int) -> None: ...


def silent(*, node: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass
class Built:
    """What a build yielded: every node as a relation, and which partitions really ran."""

    nodes: dict[str, NodeRelation]
    ran: dict[str, list[str]]


@dataclass
class Runner:
    """Builds a graph of models over given relations, into `cache`. `known`: parts of an earlier snapshot, by key."""

    models: Sequence[Model]
    relations: Mapping[str, Relation]
    cache: Path
    known: Mapping[str, NodePart] = field(default_factory=dict)
    progress: Progress = silent
    threads: int | None = None

    def build(self) -> Built:
        """Bring every model up to date. Raises BuildError naming the model, the partition and DuckDB's own words."""
        by_name = {model.name: model for model in self.models}
        order = in_order({model.name: model.inputs for model in self.models}, self.relations)
        readable: dict[str, Relation] = dict(self.relations)
        built = Built(nodes={}, ran={})
        with _Workers(self.threads or os.cpu_count() or 1) as workers:
            for done, name in enumerate(order):
                self.progress(node=name, done=done, total=len(order))
                model = by_name[name]
                inputs = {table: readable[table] for table in model.inputs}
                node, ran = self._build_model(workers, model, inputs)
                readable[name] = built.nodes[name] = node
                if ran:
                    built.ran[name] = ran
        return built

    def _build_model(
        self, workers: "_Workers", model: Model, inputs: Mapping[str, Relation]
    ) -> tuple[NodeRelation, list[str]]:
        columns = self._columns(workers.connection, model, inputs)
        keys = {partition: _part_key(model, partition, inputs) for partition in _partitions(model, inputs)}
        found = {partition: self.known.get(key) or self._remembered(model.name, key) for partition, key in keys.items()}
        missing = [partition for partition, part in found.items() if part is None]

        frames = _Frames(model, inputs, missing) if isinstance(model, PythonModel) else None

        def run(connection: duckdb.DuckDBPyConnection, partition: str) -> NodePart:
            return self._run(connection, model, partition, keys[partition], inputs, columns, frames)

        # Python models hold the interpreter; partitions of SQL models are independent and run side by side.
        run_all = workers.side_by_side if isinstance(model, SqlModel) else workers.one_by_one
        parts = {**found, **dict(zip(missing, run_all(run, missing), strict=True))}
        node = NodeRelation(
            name=model.name,
            columns=columns,
            partition_by=model.partition_by,
            date_column=model.date_column,
            parts={partition: part for partition, part in parts.items() if part is not None},
            folder=self.cache,
        )
        return node, missing

    def _columns(self, connection: duckdb.DuckDBPyConnection, model: Model, inputs: Mapping[str, Relation]) -> Columns:
        """The types a model yields over empty typed inputs: a missing input is empty, not an error."""
        if isinstance(model, PythonModel):
            return tuple((name, duckdb_type(kind)) for name, kind in model.schema.items())
        key = digest([ENGINE, model.code_hash, [[name, inputs[name].columns] for name in model.inputs]])
        remembered = self.cache / "schemas" / f"{key}.json"
        if remembered.exists():
            return tuple((name, kind) for name, kind in json.loads(remembered.read_bytes()))
        for name in model.inputs:
            connection.execute(f"create or replace temp view {quoted(name)} as {empty_select(inputs[name].columns)}")
        _set_partition(connection, partition_range("2000-01-01"))
        try:
            rows = connection.execute(f"describe {model.sql}").fetchall()
        except duckdb.Error as error:
            raise BuildError(f"{model.name} does not build over empty inputs: {_own_words(error)}") from None
        columns = tuple((str(row[0]), str(row[1])) for row in rows)
        if model.partition_by != "none" and model.date_column not in dict(columns):
            raise BuildError(f"{model.name} is partitioned but has no column {model.date_column}.")
        with written_once(remembered) as aside:
            aside.write_text(json.dumps(columns))
        return columns

    def _remembered(self, name: str, key: str) -> NodePart | None:
        file = self.cache / "nodes" / name / f"{key}.json"
        try:
            record = json.loads(file.read_bytes())
        except FileNotFoundError:
            return None
        return None if record.get("format") != _NODE_FORMAT else part_from_json(key, record)

    def _run(
        self,
        connection: duckdb.DuckDBPyConnection,
        model: Model,
        partition: str,
        key: str,
        inputs: Mapping[str, Relation],
        columns: Columns,
        frames: "_Frames | None",
    ) -> NodePart:
        """Run one partition of one model and keep its result under its key."""
        window = partition_range(partition)
        try:
            if isinstance(model, SqlModel):
                for name in model.inputs:
                    days = _days_read(model, inputs[name], window)
                    connection.execute(f"create or replace temp view {quoted(name)} as {inputs[name].sql(days)}")
                _set_partition(connection, window)
                connection.execute(f"create or replace temp table result as {model.sql}")
            elif frames is not None:
                _materialise(connection, model, frames.of(connection, window), columns)
            part = self._describe_result(connection, model, partition, key, columns)
            self._keep(connection, model.name, part)
        except duckdb.Error as error:
            raise BuildError(f"{model.name}, partition {partition}: {_own_words(error)}") from None
        finally:
            connection.execute("drop table if exists result")
        return part

    def _describe_result(
        self, connection: duckdb.DuckDBPyConnection, model: Model, partition: str, key: str, columns: Columns
    ) -> NodePart:
        """Rows and content hash, by day where the model has days. Rows outside the partition are refused."""
        hashed = f"hash({', '.join(quoted(name) for name, _ in columns)})"
        day = quoted(model.date_column) if model.partition_by != "none" else "cast(null as date)"
        rows = connection.execute(
            f"select {day}, count(*), sum({hashed}::hugeint), bit_xor({hashed}) from result group by 1 order by 1"
        ).fetchall()
        by_day = {found: f"{count}.{total:x}.{mixed:x}" for found, count, total, mixed in rows}
        if model.partition_by != "none":
            window = partition_range(partition)
            outside = [str(found) for found in by_day if found is None or found not in window]
            if outside:
                raise BuildError(
                    f"{model.name}, partition {partition}: rows of {', '.join(outside[:3])} are outside it."
                )
        content = digest([columns, sorted((str(found), hashed_day) for found, hashed_day in by_day.items())])
        return NodePart(
            key=key,
            rows=sum(count for _, count, _, _ in rows),
            content=content,
            by_day=by_day if model.partition_by != "none" else {},
        )

    def _keep(self, connection: duckdb.DuckDBPyConnection, name: str, part: NodePart) -> None:
        folder = self.cache / "nodes" / name
        if part.rows:
            with written_once(folder / f"{part.key}.parquet") as aside:
                connection.execute(f"copy result to {literal(str(aside))} (format parquet, compression zstd)")
        with written_once(folder / f"{part.key}.json") as aside:
            aside.write_text(json.dumps({"format": _NODE_FORMAT, **part_to_json(part)}))


class _Frames:
    """Inputs of a Python model: each is read once for all partitions that miss, and cut for each of them."""

    def __init__(self, model: PythonModel, inputs: Mapping[str, Relation], partitions: Sequence[str]) -> None:
        self._model = model
        self._inputs = inputs
        self._windows = [partition_range(partition) for partition in partitions]
        self._read: dict[str, tuple[pl.DataFrame, list[date]]] = {}

    def of(self, connection: duckdb.DuckDBPyConnection, window: DateRange) -> dict[str, pl.DataFrame]:
        """Each input's rows for one partition, and `this_partition`."""
        frames = {name: self._cut(connection, relation, window) for name, relation in self._inputs.items()}
        return {
            **frames,
            "this_partition": pl.DataFrame({"from_date": [window.from_date], "to_date": [window.to_date]}),
        }

    def _cut(self, connection: duckdb.DuckDBPyConnection, relation: Relation, window: DateRange) -> pl.DataFrame:
        if relation.name not in self._read:
            self._read[relation.name] = self._whole(connection, relation)
        frame, days = self._read[relation.name]
        wanted = _days_read(self._model, relation, window)
        if wanted is None:
            return frame
        first, end = bisect_left(days, wanted.from_date), bisect_left(days, wanted.to_date)
        return frame.slice(first, end - first)

    def _whole(self, connection: duckdb.DuckDBPyConnection, relation: Relation) -> tuple[pl.DataFrame, list[date]]:
        """What any of the partitions reads of an input, in the order of its days."""
        ranges = [_days_read(self._model, relation, window) for window in self._windows]
        dated = [days for days in ranges if days is not None]
        hull: DateRange | None = None
        if len(dated) == len(ranges):
            hull = DateRange(min(days.from_date for days in dated), max(days.to_date for days in dated))
        connection.execute(f"create or replace temp view {quoted(relation.name)} as {relation.sql(hull)}")
        wanted = self._model.reads.get(relation.name, f"select * from {quoted(relation.name)}")
        frame = pl.DataFrame(connection.sql(wanted))
        if hull is None or relation.date_column is None:
            return frame, []
        frame = frame.sort(relation.date_column)
        return frame, frame[relation.date_column].to_list()


def _materialise(
    connection: duckdb.DuckDBPyConnection, model: PythonModel, frames: Mapping[str, pl.DataFrame], columns: Columns
) -> None:
    """Let a Python model make its rows, and hand them to DuckDB as the table `result`."""
    try:
        frame = model.build(frames)
    except BreakevenError as error:
        raise BuildError(f"{model.name}: {error}") from error
    if dict(frame.schema) != dict(model.schema):
        raise BuildError(f"{model.name} returned columns {dict(frame.schema)}, declared {dict(model.schema)}.")
    # Through a file: handing a polars frame to DuckDB directly would need pyarrow.
    with TemporaryDirectory() as folder:
        file = Path(folder) / "result.parquet"
        frame.write_parquet(file)
        connection.execute(f"create or replace temp table result as {_typed_select(columns, read_parquet([file]))}")


class _Workers:
    """Connections to run partitions on: one that uses all cores, and one-core ones that run side by side."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self.connection = _connect(threads)
        self._narrow: SimpleQueue[duckdb.DuckDBPyConnection] = SimpleQueue()

    def __enter__(self) -> "_Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        while not self._narrow.empty():
            self._narrow.get().close()

    def one_by_one(self, run: _Run, partitions: Sequence[str]) -> list[NodePart]:
        return [run(self.connection, partition) for partition in partitions]

    def side_by_side(self, run: _Run, partitions: Sequence[str]) -> list[NodePart]:
        if self._threads < 2 or len(partitions) < _WORTH_SIDE_BY_SIDE:
            return self.one_by_one(run, partitions)
        while self._narrow.qsize() < self._threads:
            self._narrow.put(_connect(1))

        def on_a_narrow_one(partition: str) -> NodePart:
            connection = self._narrow.get()
            try:
                return run(connection, partition)
            finally:
                self._narrow.put(connection)

        with ThreadPoolExecutor(max_workers=self._threads) as pool:
            return list(pool.map(on_a_narrow_one, partitions))


def _connect(threads: int) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": threads})
    connection.execute("set timezone = 'UTC'")
    connection.execute("set preserve_insertion_order = false")
    return connection


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


def _set_partition(connection: duckdb.DuckDBPyConnection, window: DateRange) -> None:
    connection.execute(
        "create or replace temp view this_partition as "
        f"select date '{window.from_date}' as from_date, date '{window.to_date}' as to_date"
    )


def _partitions(model: Model, inputs: Mapping[str, Relation]) -> list[str]:
    """The partitions of a model: those of the days its dated inputs have."""
    if model.partition_by == "none":
        return ["all"]
    days = {day for relation in inputs.values() if relation.is_dated for day in relation.days()}
    return sorted({partition_of(day, model.partition_by) for day in days})


def _days_read(model: Model, relation: Relation, window: DateRange) -> DateRange | None:
    if not relation.is_dated or model.partition_by == "none":
        return None
    back = timedelta(days=model.lookback.get(relation.name, 0))
    return DateRange(window.from_date - back, window.to_date)


def _part_key(model: Model, partition: str, inputs: Mapping[str, Relation]) -> str:
    window = partition_range(partition)
    read = [
        [name, inputs[name].columns, inputs[name].content(_days_read(model, inputs[name], window))]
        for name in model.inputs
    ]
    return digest([_NODE_FORMAT, ENGINE, model.name, model.code_hash, model.partition_by, partition, read])


def _own_words(error: duckdb.Error) -> str:
    return " ".join(str(error).split())[:600]


def known_parts(nodes: Iterable[NodeRelation]) -> dict[str, NodePart]:
    """Parts of an earlier build by key, so that unchanged ones are not even looked up on disk."""
    return {part.key: part for node in nodes for part in node.parts.values()}
