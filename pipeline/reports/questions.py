"""Questions asked of a snapshot: each is one file below `sql/reports/`, asked alike by CLI, report and assets."""

from collections.abc import Mapping
from typing import Any

import duckdb
import polars as pl

from pipeline.build.publish import open_snapshot
from pipeline.build.snapshot import Snapshot
from pipeline.paths import sql_root


class Questions:
    """Answers from one snapshot. Close it, or use it in a `with`."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._connection: duckdb.DuckDBPyConnection = open_snapshot(snapshot)

    def __enter__(self) -> "Questions":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def ask(self, name: str, **parameters: Any) -> pl.DataFrame:
        """The answer to `sql/reports/<name>.sql`; parameters it does not use are ignored."""
        text = (sql_root() / "reports" / f"{name}.sql").read_text(encoding="utf-8")
        return self.select(text, {key: value for key, value in parameters.items() if f"${key}" in text})

    def select(self, text: str, parameters: Mapping[str, Any] | None = None) -> pl.DataFrame:
        """Any SELECT over the snapshot's tables."""
        return pl.DataFrame(self._connection.sql(text, params=dict(parameters or {}) or None))
