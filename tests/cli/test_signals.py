"""Ctrl-C in the middle of a query, and TERM while workers parse."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import duckdb
import pytest

from pipeline.cli import group, main

_PARSING = """\
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pipeline.build.parsed import begin_worker

def parse(folder):
    open(f"{folder}/{os.getpid()}", "w").close()
    time.sleep(0.5)

if __name__ == "__main__":
    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=begin_worker) as pool:
        for _ in range(200):
            pool.submit(parse, os.environ["FOLDER"])
"""


def wait_until(is_so: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


def runs(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("error", [RuntimeError("Query interrupted"), duckdb.InterruptException("Interrupted!")])
def test_ctrl_c_within_a_query_says_that_it_stopped_and_shows_no_traceback(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the two ways that DuckDB says it."""
    with patch.object(group, "main", side_effect=error), pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "breakeven: stopped. What was landed stays; run again to go on.\n"


def test_workers_of_a_run_that_was_killed_end_with_it(tmp_path: Path) -> None:
    script = tmp_path / "parsing.py"
    script.write_text(_PARSING)
    at = tmp_path / "workers"
    at.mkdir()
    process = subprocess.Popen([sys.executable, script], env={**os.environ, "FOLDER": str(at)})
    try:
        wait_until(lambda: len(list(at.iterdir())) == 2)
    finally:
        process.terminate()
        process.wait(timeout=30)
    workers = [int(path.name) for path in at.iterdir()]
    try:
        wait_until(lambda: not any(map(runs, workers)), seconds=20)
    finally:
        for worker in filter(runs, workers):
            os.kill(worker, signal.SIGKILL)
