"""Jobs side by side: each on a connection of its own, within the memory that one engine would have."""

import threading
from pathlib import Path

import duckdb
import pytest

from pipeline.build.workers import Workers

_SECONDS = 20


def setting(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    return str(connection.execute(f"select current_setting('{name}')").fetchall()[0][0])


def gibibytes(text: str) -> float:
    size, unit = text.split()
    return float(size) * {"MiB": 1 / 1024, "GiB": 1, "TiB": 1024}[unit]


def test_jobs_run_at_the_same_time_and_each_result_says_whose_it_is(tmp_path: Path):
    meeting = threading.Barrier(2, timeout=_SECONDS)

    def meet(number: int):
        def job(connection: duckdb.DuckDBPyConnection) -> int:
            meeting.wait()
            return int(connection.execute(f"select {number}").fetchall()[0][0])

        return job

    with Workers[int](2, folder=tmp_path) as workers:
        workers.submit("one", meet(1))
        workers.submit("two", meet(2))
        assert dict([workers.next_result(), workers.next_result()]) == {"one": 1, "two": 2}


def test_connections_share_the_memory_of_one_and_no_folder(tmp_path: Path):
    with Workers[None](4, folder=tmp_path) as workers, workers.connection() as one, workers.connection() as two:
        assert setting(one, "temp_directory") != setting(two, "temp_directory")
        assert Path(setting(one, "temp_directory")).is_relative_to(tmp_path)
        whole = gibibytes(setting(duckdb.connect(), "memory_limit"))
        assert gibibytes(setting(one, "memory_limit")) == pytest.approx(whole / 4, rel=0.05)
    assert list(tmp_path.iterdir()) == []


def test_more_than_its_memory_goes_to_disk_and_is_gone_afterwards(tmp_path: Path):
    with Workers[None](1, folder=tmp_path) as workers, workers.connection() as connection:
        connection.execute("set memory_limit = '60MB'")
        connection.execute("create temp table many as select hash(range)::varchar as text from range(3000000)")
        assert list(tmp_path.rglob("*.tmp"))
        assert connection.execute("select count(*) from many").fetchall() == [(3_000_000,)]
    assert list(tmp_path.iterdir()) == []


def test_a_job_left_alone_gets_all_cores_and_two_share_them(tmp_path: Path):
    is_said = threading.Event()

    def cores(connection: duckdb.DuckDBPyConnection) -> str:
        found = setting(connection, "threads")
        is_said.set()
        return found

    def stay(connection: duckdb.DuckDBPyConnection) -> str:
        assert is_said.wait(_SECONDS)
        return "stayed"

    with Workers[str](4, folder=tmp_path) as workers:
        workers.submit("alone", cores)
        assert workers.next_result() == ("alone", "4")
        is_said.clear()
        workers.submit("another", stay)
        workers.submit("beside another", cores)
        assert dict([workers.next_result(), workers.next_result()])["beside another"] == "2"


def test_a_failure_is_raised_and_what_waits_never_starts(tmp_path: Path):
    begun: list[str] = []
    is_left = threading.Event()

    def fail(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("select error('planted fault')")

    def stay(connection: duckdb.DuckDBPyConnection) -> None:
        assert is_left.wait(_SECONDS)

    def begin(connection: duckdb.DuckDBPyConnection) -> None:
        begun.append("one that waited")

    with Workers[None](1, folder=tmp_path) as workers:
        workers.submit("fails", fail)
        with pytest.raises(duckdb.Error, match="planted fault"):
            workers.next_result()
        workers.submit("stays", stay)
        workers.submit("waits", begin)
        threading.Timer(0.2, is_left.set).start()
    assert begun == []
