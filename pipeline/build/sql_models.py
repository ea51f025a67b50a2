"""SQL models: load them, read their headers, find their order and lineage."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Literal

from pipeline.build.files import written_once
from pipeline.errors import BuildError

PartitionBy = Literal["day", "month", "none"]

_HEADER = re.compile(r"^-- (?P<key>partition|lookback|date|days|rows of): (?P<value>.+?)\s*$", re.MULTILINE)
_LOOKBACK = re.compile(r"^(?P<input>[a-z0-9_]+) (?P<days>\d+) days?$")


@dataclass(frozen=True)
class SqlModel:
    """One SELECT = one table. `inputs` are the tables it reads; `lookback` days of an input before the partition.

    `days_of`: the input whose days alone have partitions, where another reaches back further; None: those of all.
    `days_are_apart`: each row is made of rows of its own day, and of the lookback before it, alone: one query may make
    several days, and of a month only the days whose rows changed.
    `rows_of`: inputs without whose rows, in the days that are read, there is no row. Where they have none nothing runs.
    """

    name: str
    sql: str
    partition_by: PartitionBy
    inputs: tuple[str, ...]
    lookback: Mapping[str, int] = field(default_factory=dict)
    date_column: str = "usage_date"
    folder: str = ""
    days_of: str | None = None
    days_are_apart: bool = False
    rows_of: tuple[str, ...] = ()

    @property
    def code_hash(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load_models(root: Path, *, prefix: str = "", cache: Path | None = None) -> list[SqlModel]:
    """Every `.sql` file below `root`. Raises BuildError naming the file and what its header lacks."""
    models = [_load(path, prefix=prefix, cache=cache) for path in sorted(root.rglob("*.sql"))]
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise BuildError(f"Two SQL models are called {name}. Rename one of the files.")
    return models


def load_needed(root: Path, targets: Iterable[str], *, cache: Path | None = None) -> list[SqlModel]:
    """The models below `root` that some tables need, and no other: what is asked for is read, not the whole graph."""
    paths = {path.stem: path for path in root.rglob("*.sql")}
    needed: dict[str, SqlModel] = {}
    waiting = list(targets)
    while waiting:
        name = waiting.pop()
        if name in paths and name not in needed:
            needed[name] = _load(paths[name], prefix="", cache=cache)
            waiting.extend(needed[name].inputs)
    return list(needed.values())


def _load(path: Path, *, prefix: str, cache: Path | None) -> SqlModel:
    sql = path.read_text(encoding="utf-8")
    header: dict[str, list[str]] = {}
    for match in _HEADER.finditer(sql):
        header.setdefault(match["key"], []).append(match["value"])
    partition, _, days = header.get("partition", ["missing"])[0].partition(", ")
    if partition not in ("day", "month", "none"):
        raise BuildError(f"{path.name}: the header says partition {partition!r}. It must be day, month or none.")
    if days and (days != "days apart" or partition == "none"):
        raise BuildError(f"{path.name}: the header says `{partition}, {days}`. Days and months can be `, days apart`.")
    inputs = _tables_read(sql, cache=cache, name=path.name)
    days_of = header["days"][0] if "days" in header else None
    if days_of is not None and days_of not in inputs:
        raise BuildError(f"{path.name}: the header says `-- days: {days_of}`, which it does not read. Name an input.")
    rows_of = tuple(name for line in header.get("rows of", []) for name in line.split(", "))
    for name in rows_of:
        if name not in inputs:
            raise BuildError(
                f"{path.name}: the header says `-- rows of: {name}`, which it does not read. Name an input."
            )
    return SqlModel(
        name=prefix + path.stem,
        sql=sql,
        partition_by=partition,  # type: ignore[arg-type]  # checked above
        inputs=inputs,
        days_of=days_of,
        days_are_apart=bool(days),
        rows_of=rows_of,
        lookback=dict(_lookback(path.name, line) for line in header.get("lookback", [])),
        date_column=header.get("date", ["usage_date"])[0],
        folder=path.parent.name,
    )


def _lookback(name: str, line: str) -> tuple[str, int]:
    match = _LOOKBACK.match(line)
    if match is None:
        raise BuildError(f"{name}: cannot read `-- lookback: {line}`. Write `-- lookback: <input> <n> days`.")
    return match["input"], int(match["days"])


def _tables_read(sql: str, *, cache: Path | None, name: str) -> tuple[str, ...]:
    """Tables a SELECT reads, without its own CTEs; from the cache by the SQL's hash where it is known."""
    remembered = cache / "lineage" / f"{hashlib.sha256(sql.encode()).hexdigest()}.json" if cache else None
    if remembered is not None and remembered.exists():
        return tuple(json.loads(remembered.read_bytes()))
    tables = _parse_tables(sql, name)
    if remembered is not None:
        with written_once(remembered) as aside:
            aside.write_text(json.dumps(tables))
    return tables


@lru_cache(maxsize=512)
def _parse_tables(sql: str, name: str) -> tuple[str, ...]:
    import sqlglot
    from sqlglot import exp

    try:
        statements = sqlglot.parse(sql, read="duckdb")
    except sqlglot.errors.ParseError as error:
        raise BuildError(f"{name} does not parse: {str(error).splitlines()[0]}") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise BuildError(f"{name} must be exactly one SELECT.")
    query = statements[0]
    own = {cte.alias_or_name for cte in query.find_all(exp.CTE)}
    read = {table.name for table in query.find_all(exp.Table) if isinstance(table.this, exp.Identifier)}
    return tuple(sorted(read - own - {"this_partition"}))


def in_order(nodes: Mapping[str, Sequence[str]], known: Iterable[str]) -> list[str]:
    """Names of nodes, each after what it reads. Raises BuildError on an unknown input or a cycle."""
    available = set(known) | set(nodes)
    for name, inputs in nodes.items():
        for table in inputs:
            if table not in available:
                raise BuildError(f"{name} reads {table}, which no source, seed or model provides.")
    try:
        order = TopologicalSorter(
            {name: [i for i in inputs if i in nodes] for name, inputs in nodes.items()}
        ).static_order()
        return list(order)
    except CycleError as error:
        raise BuildError(f"The models read each other in a circle: {' -> '.join(error.args[1])}.") from None
