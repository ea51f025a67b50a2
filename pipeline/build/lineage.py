"""Which columns a column is made from, as sqlglot reads the SQL; kept by hash, since parsing is slow."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.build.files import written_once
from pipeline.build.relations import Columns
from pipeline.build.sql_models import SqlModel
from pipeline.landing.records import digest

_LINEAGE_FORMAT = "breakeven.column_lineage/1"
_PARTITION = {"from_date": "DATE", "to_date": "DATE"}

# column -> (table, column) pairs it is made from, sorted
ColumnSources = Mapping[str, tuple[tuple[str, str], ...]]


def column_lineage(
    model: SqlModel, columns: Columns, *, inputs: Mapping[str, Columns], cache: Path | None
) -> ColumnSources:
    """For each of `columns` of a model, the columns of its input tables that its values are made from.

    `inputs`: columns of the input tables, as far as they are known (needed where the SQL says `*`). A constant is made
    from nothing. What sqlglot cannot trace is left out: this is for looking, no figure depends on it.
    """
    known = {table: dict(inputs[table]) for table in model.inputs if table in inputs}
    key = digest([_LINEAGE_FORMAT, model.code_hash, [name for name, _ in columns], known])
    remembered = cache / "lineage" / "columns" / f"{key}.json" if cache else None
    if remembered is not None and remembered.exists():
        found = json.loads(remembered.read_bytes())
    else:
        found = _traced(model.sql, [name for name, _ in columns], {**known, "this_partition": _PARTITION})
        if remembered is not None:
            with written_once(remembered) as aside:
                aside.write_text(json.dumps(found))
    return {column: tuple((table, name) for table, name in sources) for column, sources in found.items()}


def _traced(sql: str, columns: list[str], schema: dict[str, object]) -> dict[str, list[list[str]]]:
    import sqlglot
    from sqlglot.lineage import lineage
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import build_scope

    try:
        query = qualify(
            sqlglot.parse_one(sql, read="duckdb"),
            dialect="duckdb",
            schema=schema,
            validate_qualify_columns=False,
            identify=False,
        )
        scope = build_scope(query)
    except sqlglot.errors.SqlglotError:
        return {}
    found: dict[str, list[list[str]]] = {}
    for column in columns:
        try:
            node = lineage(column, query, schema={}, scope=scope, dialect="duckdb", copy=False, trim_selects=False)
        except (sqlglot.errors.SqlglotError, ValueError):
            continue
        found[column] = _leaves(node)
    return found


def _leaves(node: Any) -> list[list[str]]:
    """The columns of tables at the ends of sqlglot's tree."""
    from sqlglot import exp

    ends = {
        (leaf.expression.name, leaf.name.rpartition(".")[2])
        for leaf in node.walk()
        if isinstance(leaf.expression, exp.Table)
    }
    return [[table, column] for table, column in sorted(ends) if table != "this_partition" and column != "*"]
