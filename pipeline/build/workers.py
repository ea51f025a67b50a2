"""Partitions side by side: as many at a time as there are cores, each on a DuckDB connection of its own."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from typing import Generic, TypeVar

import duckdb

from pipeline.build.relations import literal

Result = TypeVar("Result")


_GIVEN_WAY = 5


def _give_way() -> None:
    """Whoever waits for this build, or prepares to tell of it, goes first: what is built is many small jobs, and on few
    cores they would keep one long one waiting. Linux has priorities of single threads.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _GIVEN_WAY)


class Workers(Generic[Result]):
    """A pool of threads for jobs that are given a connection. DuckDB works outside of Python's lock.

    Small queries are done soonest by one core each; a job that is the only one left gets them all. Leaving waits for
    the jobs that run, and drops those that wait.

    Together the connections may have the memory that DuckDB would let one have. Beyond it they write to `folder`.
    """

    def __init__(self, threads: int, *, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._threads = threads
        self._spill = TemporaryDirectory(prefix="spill-", dir=folder)
        self._connected = count()
        self._pool = ThreadPoolExecutor(max_workers=threads, initializer=_give_way)
        self._idle: SimpleQueue[duckdb.DuckDBPyConnection] = SimpleQueue()
        self._ended: SimpleQueue[tuple[str, Future[Result]]] = SimpleQueue()
        self._unfinished = 0

    def __enter__(self) -> "Workers[Result]":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        while not self._idle.empty():
            self._idle.get().close()
        self._spill.cleanup()

    @contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that nobody else is using."""
        try:
            connection = self._idle.get_nowait()
        except Empty:
            connection = self._connect()
        try:
            yield connection
        finally:
            self._idle.put(connection)

    def submit(self, name: str, job: Callable[[duckdb.DuckDBPyConnection], Result]) -> None:
        """Have a job run as soon as a core is free."""

        def run() -> Result:
            with self.connection() as connection:
                connection.execute(f"set threads = {max(1, self._threads // self._unfinished)}")
                return job(connection)

        self._unfinished += 1
        self._pool.submit(run).add_done_callback(lambda future: self._ended.put((name, future)))

    def next_result(self) -> tuple[str, Result]:
        """Wait for whichever job ends next: the name it was submitted under, and its result. Raises what it raised."""
        name, future = self._ended.get()
        self._unfinished -= 1
        return name, future.result()

    def _connect(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(config={"threads": 1})
        ((limit,),) = connection.execute("select current_setting('memory_limit')").fetchall()
        size, unit = str(limit).split()
        connection.execute(f"set memory_limit = '{float(size) / self._threads} {unit}'")
        # One each: two engines in one folder would write the same files.
        connection.execute(f"set temp_directory = {literal(f'{self._spill.name}/{next(self._connected)}')}")
        connection.execute("set timezone = 'UTC'")
        connection.execute("set preserve_insertion_order = false")
        return connection
