"""Questions asked of a snapshot: each is one file below `sql/reports/`, asked alike by CLI, report and assets."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

import duckdb
import polars as pl

from pipeline.build.publish import open_snapshot
from pipeline.build.relations import DateRange, quoted
from pipeline.build.snapshot import Snapshot
from pipeline.errors import BuildError
from pipeline.paths import sql_root


class Questions:
    """Answers from one snapshot. Close it, or use it in a `with`.

    `from_date`: tables with days are asked from this day on only; a year of them is hundreds of files.
    """

    def __init__(self, snapshot: Snapshot, *, from_date: date | None = None) -> None:
        self.snapshot = snapshot
        self._days = None if from_date is None else DateRange(from_date, date.max)
        # A table of a year is many files, and what lies on S3 is fetched: opened when a question names it.
        self._unopened = {name.lower(): name for name in snapshot.nodes}
        self._connection: duckdb.DuckDBPyConnection = open_snapshot(snapshot, only=())

    def __enter__(self) -> "Questions":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def ask(self, name: str, **parameters: Any) -> pl.DataFrame:
        """The answer to `sql/reports/<name>.sql`; parameters it does not use are ignored.

        Raises BuildError where another release built the snapshot, without a table or a column that is asked for.
        """
        text = (sql_root() / "reports" / f"{name}.sql").read_text(encoding="utf-8")
        try:
            return self.select(text, {key: value for key, value in parameters.items() if f"${key}" in text})
        except (duckdb.CatalogException, duckdb.BinderException):
            raise BuildError(
                f"Snapshot {self.snapshot.snapshot_id} of {self.snapshot.as_of:%Y-%m-%d %H:%M} UTC lacks what this "
                f"release asks for ({name}): another one built it. Run: breakeven run"
            ) from None

    def select(self, text: str, parameters: Mapping[str, Any] | None = None) -> pl.DataFrame:
        """Any SELECT over the snapshot's tables."""
        self._open_named(text)
        return pl.DataFrame(self._connection.sql(text, params=dict(parameters or {}) or None))

    def _open_named(self, text: str) -> None:
        """Open the tables that a text names; all of them where it names none: it asks which there are."""
        words = set(re.findall(r"\w+", text.lower()))
        is_about_none = not any(name.lower() in words for name in self.snapshot.nodes)
        names = [name for word, name in self._unopened.items() if is_about_none or word in words]
        self.snapshot.bring(names)
        for name in names:
            self._connection.execute(f"create view {quoted(name)} as {self.snapshot.node(name).sql(self._days)}")
            del self._unopened[name.lower()]
