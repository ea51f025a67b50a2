"""For readers: `warehouse.duckdb` and Parquet, made new from a snapshot and swapped in by rename."""

import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from pipeline.build.files import swapped
from pipeline.build.relations import NodeRelation, literal, partition_of, quoted, read_parquet
from pipeline.build.snapshot import Snapshot

PUBLISHED_FOLDERS = ("marts", "decisions", "checks")
_MARKER = "snapshot.txt"
_WAREHOUSE_FORMAT = "breakeven.warehouse/2"
# What is deleted in place leaves holes in the file: now and then it is written whole.
_MOST_UPDATES_IN_PLACE = 100


def published_tables(snapshot: Snapshot) -> list[str]:
    """What readers get: the answers, not the way to them."""
    return sorted(name for name in snapshot.nodes if snapshot.folders.get(name) in PUBLISHED_FOLDERS)


def publish(snapshot: Snapshot, folder: Path) -> Path:
    """Bring the published files in step with a snapshot; nothing to do when they are. Returns the warehouse."""
    warehouse = folder / "warehouse.duckdb"
    marker = folder / _MARKER
    if warehouse.exists() and marker.exists() and marker.read_text() == snapshot.snapshot_id:
        return warehouse
    snapshot.bring(published_tables(snapshot))
    swapped(warehouse, lambda aside: _write_warehouse(snapshot, aside, before=warehouse))
    _link_parquet(snapshot, folder)
    swapped(marker, lambda aside: _write_marker(aside, snapshot.snapshot_id))
    return warehouse


def published_as(folder: Path) -> tuple[str | None, str]:
    """The snapshot that the published files hold; else None and why that cannot be said. Writes nothing."""
    try:
        snapshot_id = (folder / _MARKER).read_text()
    except (OSError, UnicodeDecodeError):
        return None, "nothing has been published yet"
    warehouse = folder / "warehouse.duckdb"
    if not warehouse.exists():
        return None, "warehouse.duckdb is gone"
    try:
        with closing(duckdb.connect(str(warehouse), read_only=True)) as connection:
            formats = {found for found, _ in connection.execute("select format, holds from publishing.held").fetchall()}
    except duckdb.Error as error:
        return None, f"warehouse.duckdb cannot be read ({type(error).__name__})"
    if formats != {_WAREHOUSE_FORMAT}:
        return None, f"warehouse.duckdb is in another format than this release writes ({_WAREHOUSE_FORMAT})"
    return snapshot_id, ""


def _write_marker(path: Path, snapshot_id: str) -> None:
    path.write_text(snapshot_id)


def _write_warehouse(snapshot: Snapshot, path: Path, *, before: Path) -> None:
    """The warehouse of a snapshot: the one before with what changed made new, else all of it."""
    if before.exists():
        shutil.copyfile(before, path)
        try:
            if _brought_up_to_date(snapshot, path):
                return
        except duckdb.Error:
            pass  # another release's, or damaged: nothing in it is needed
        path.unlink()
    with _opened(path) as connection:
        for name in published_tables(snapshot):
            connection.execute(f"create table {quoted(name)} as {snapshot.node(name).sql(None)}")
        _say_what_it_holds(connection, snapshot, updates=0)


@contextmanager
def _opened(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(str(path))
    try:
        connection.execute("set timezone = 'UTC'")
        yield connection
    finally:
        connection.close()


def _brought_up_to_date(snapshot: Snapshot, path: Path) -> bool:
    """Replace the days whose content changed. False where the file has grown old by being changed in place."""
    with _opened(path) as connection:
        held = _what_it_holds(connection)
        if held is None or held["updates"] >= _MOST_UPDATES_IN_PLACE:
            return False
        connection.execute("begin")
        tables: Mapping[str, Any] = held["tables"]
        published = published_tables(snapshot)
        for name in tables.keys() - set(published):
            connection.execute(f"drop table {quoted(name)}")
        for name in published:
            node = snapshot.node(name)
            if not _replace_days(connection, node, tables.get(name)):
                connection.execute(f"create or replace table {quoted(name)} as {node.sql(None)}")
        _say_what_it_holds(connection, snapshot, updates=held["updates"] + 1)
        connection.execute("commit")
    return True


def _replace_days(connection: duckdb.DuckDBPyConnection, node: NodeRelation, held: Any) -> bool:
    """Bring a table from what it holds to what the node says. False where the whole of it must be made anew.

    By the day, whatever the partitions: DuckDB writes again what was touched, and a month of hours is a long way.
    """
    wanted = _contents(node)
    if held == wanted:
        return True
    if held is None or held["columns"] != wanted["columns"] or not node.is_dated:
        return False
    before, after = held["says"], wanted["says"]
    changed = sorted(day for day in {*before, *after} if before.get(day) != after.get(day))
    dates = "(" + ", ".join(f"date {literal(day)}" for day in changed) + ")"
    column = quoted(node.date_column)
    if any(day in before for day in changed):
        connection.execute(f"delete from {quoted(node.name)} where {column} in {dates}")
    partitions = {partition_of(date.fromisoformat(day), node.partition_by) for day in changed if day in after}
    files = [file for partition, file in node.files(None) if partition in partitions]
    if files:
        rows = f"select * from {read_parquet(files)} where {column} in {dates}"
        connection.execute(f"insert into {quoted(node.name)} {rows}")
    return True


def _contents(node: NodeRelation) -> dict[str, Any]:
    """What a table of these rows holds: by day where it has days."""
    says = {day.isoformat(): said for part in node.parts.values() for day, said in part.by_day.items()}
    return {
        "columns": [[name, kind] for name, kind in node.columns],
        "says": says if node.is_dated else {"": node.content(None)},
    }


def _what_it_holds(connection: duckdb.DuckDBPyConnection) -> dict[str, Any] | None:
    rows = connection.execute("select format, holds from publishing.held").fetchall()
    if [found for found, _ in rows] != [_WAREHOUSE_FORMAT]:
        return None
    holds: dict[str, Any] = json.loads(rows[0][1])
    return holds


def _say_what_it_holds(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, *, updates: int) -> None:
    """Table `snapshot` is for readers; schema `publishing` tells the next publishing what it need not write again."""
    connection.execute(
        "create or replace table snapshot as select "
        f"{literal(snapshot.snapshot_id)} as snapshot_id, timestamp '{snapshot.as_of:%Y-%m-%d %H:%M:%S}' as as_of_at, "
        f"{literal(snapshot.release)} as release"
    )
    tables = {name: _contents(snapshot.node(name)) for name in published_tables(snapshot)}
    holds = json.dumps({"updates": updates, "tables": tables})
    connection.execute("create schema if not exists publishing")
    connection.execute(
        "create or replace table publishing.held as "
        f"select {literal(_WAREHOUSE_FORMAT)} as format, {literal(holds)} as holds"
    )


def _link_parquet(snapshot: Snapshot, folder: Path) -> None:
    """`parquet/<table>/<partition>.parquet`, in a folder of its own per snapshot, swapped in as one link."""
    target = folder / f"parquet-{snapshot.snapshot_id}"
    if not target.exists():
        aside = folder / f".parquet-{snapshot.snapshot_id}.{os.getpid()}"
        for name in published_tables(snapshot):
            table = aside / name
            table.mkdir(parents=True, exist_ok=True)
            for partition, file in snapshot.node(name).files(None):
                os.link(file, f"{table}/{partition}.parquet")
        aside.mkdir(parents=True, exist_ok=True)
        try:
            aside.rename(target)
        except OSError:
            shutil.rmtree(aside)
    swapped(folder / "parquet", lambda link: link.symlink_to(target.name))
    for stale in _others(folder, keep=target):
        shutil.rmtree(stale, ignore_errors=True)


def _others(folder: Path, *, keep: Path) -> Iterable[Path]:
    return [path for path in folder.glob("parquet-*") if path != keep]


def open_snapshot(snapshot: Snapshot, *, only: Collection[str] | None = None) -> duckdb.DuckDBPyConnection:
    """Every node of a snapshot, or `only` some, as a view of its own name, read from its immutable files."""
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    names = list(snapshot.nodes) if only is None else list(only)
    snapshot.bring(names)
    for name in names:
        connection.execute(f"create view {quoted(name)} as {snapshot.node(name).sql(None)}")
    return connection
