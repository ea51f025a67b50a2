"""Dagster's SQLite event log for one short-lived process: one connection a shard instead of one a statement."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sql import create_engine
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData
from sqlalchemy import text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import StaticPool


class HeldSqliteEventLog(SqliteEventLogStorage):
    """The same files, read and written as before. Only for `breakeven run`: a server must not hold every run open.

    A connection a statement costs 9 ms, with compiling it and the checkpoint on closing: 1,000 of them were half of a
    run (2026-11-21). Losing the last events in a power cut loses history of Dagster's, no figure of ours.
    """

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "HeldSqliteEventLog":
        return cls(inst_data=inst_data, base_dir=config_value["base_dir"])

    def has_table(self, table_name: str) -> bool:
        return self._once(("table", table_name), lambda: super(HeldSqliteEventLog, self).has_table(table_name))

    def has_secondary_index(self, name: str) -> bool:
        return self._once(("index", name), lambda: super(HeldSqliteEventLog, self).has_secondary_index(name))

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        ask = super()._has_asset_key_col_on_connection
        return self._once(("column", column_name), lambda: ask(conn, column_name))

    def _once(self, question: tuple[str, str], ask: Callable[[], bool]) -> bool:
        """What a schema has, it keeps: asked of the file before every event, it was a tenth of a run (2026-11-29)."""
        held: set[tuple[str, str]] = self.__dict__.setdefault("_has", set())
        if question not in held and ask():
            held.add(question)
        return question in held

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            held: dict[str, Engine] = self.__dict__.setdefault("_held", {})
            if shard not in held:
                held[shard] = self._opened(shard)
            with held[shard].connect() as connection, connection.begin():
                yield connection

    def _opened(self, shard: str) -> Engine:
        engine = create_engine(
            self.conn_string_for_shard(shard),
            poolclass=StaticPool,
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        )
        self._initdb(engine)
        with engine.connect() as connection:
            connection.execute(text("pragma synchronous = normal"))
        return engine

    def dispose(self) -> None:
        for engine in self.__dict__.get("_held", {}).values():
            engine.dispose()
        super().dispose()
