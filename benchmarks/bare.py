"""The other side of the ratio: DuckDB alone, one connection, the same SQL in the same order on the same Parquet."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from benchmarks.measure import Took, took
from pipeline.build.relations import Relation, partition_range, quoted
from pipeline.build.snapshot import Snapshot
from pipeline.build.sql_models import SqlModel, in_order


@dataclass
class Bare:
    """What DuckDB alone made, still open, and the CPU seconds that each SQL model took it."""

    connection: duckdb.DuckDBPyConnection
    cpu_seconds: Mapping[str, float]
    took: Took


def build_bare(
    models: Mapping[str, SqlModel], *, given: Mapping[str, Relation], snapshot: Snapshot, threads: int
) -> Bare:
    """Every SQL model as one in-memory table over the whole range: no partitions, no keys, no files written.

    `given`: landing, configuration, calendar and seeds as the runner was given them. What Python nodes made comes
    from `snapshot`: their time is in neither side.
    """
    connection = duckdb.connect(config={"threads": threads})
    connection.execute("set timezone = 'UTC'")
    connection.execute("set preserve_insertion_order = false")
    days = [day for relation in given.values() if relation.is_dated for day in relation.days()]
    first, last = partition_range(min(days).isoformat()), partition_range(max(days).isoformat())
    connection.execute(
        f"create view this_partition as select date '{first.from_date}' as from_date, date '{last.to_date}' as to_date"
    )
    python_nodes = {name: node for name, node in snapshot.nodes.items() if name not in models}
    for name, relation in {**given, **python_nodes}.items():
        connection.execute(f"create view {quoted(name)} as {relation.sql(None)}")
    cpu_seconds: dict[str, float] = {}
    with took() as all_of_it:
        for name in in_order({name: model.inputs for name, model in models.items()}, [*given, *python_nodes]):
            started = time.process_time()
            connection.execute(f"create table {quoted(name)} as {models[name].sql}")
            cpu_seconds[name] = time.process_time() - started
    return Bare(connection=connection, cpu_seconds=cpu_seconds, took=all_of_it)
