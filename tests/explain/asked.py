"""The questions of `explain`, asked of tables made by hand."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import polars as pl

from pipeline.paths import sql_root


class Asked:
    """Stands for the evidence of a snapshot: `sql/explain` over these tables, kept as Parquet in a folder."""

    def __init__(self, frames: Mapping[str, pl.DataFrame], folder: Path) -> None:
        self.snapshot = SimpleNamespace(snapshot_id="by hand")
        self._connection = duckdb.connect()
        for name, frame in frames.items():
            frame.write_parquet(folder / f"{name}.parquet")
            self._connection.execute(f"create or replace view {name} as from '{folder / name}.parquet'")

    def ask(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        text = (sql_root() / "explain" / f"{name}.sql").read_text(encoding="utf-8")
        return self.select(text, {key: value for key, value in parameters.items() if f"${key}" in text})

    def select(self, text: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        relation = self._connection.sql(text, params=dict(parameters or {}) or None)
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
