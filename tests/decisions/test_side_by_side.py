"""Many workloads on several cores: the same results, in the same order, and no process is left."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.decisions.side_by_side import side_by_side
from pipeline.economics.breakeven_interval import breakeven_interval
from tests.economics.test_breakeven_interval import workload


def who_doubles(number: int, place: str) -> tuple[int, int]:
    Path(place, str(os.getpid())).touch()
    return os.getpid(), 2 * number


def waits(number: int, place: str) -> int:
    Path(place, str(os.getpid())).touch()
    time.sleep(60)
    return number


def refuses(number: int) -> int:
    if number == 7:
        raise ValueError("seven is refused")
    return number


def ends_its_process(number: int, own: int) -> int:
    if os.getpid() != own:
        os._exit(1)
    return number


def test_results_come_in_the_order_of_their_arguments_from_processes_that_end(tmp_path):
    found = side_by_side(who_doubles, [(number, str(tmp_path)) for number in range(40)], fewest=40, cores=2)
    assert [double for _, double in found] == [2 * number for number in range(40)]
    processes = {process for process, _ in found}
    assert os.getpid() not in processes
    assert processes == {int(path.name) for path in tmp_path.iterdir()}
    assert not multiprocessing.active_children()
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


@pytest.mark.parametrize(("count", "cores"), [(39, 2), (40, 1)])
def test_few_arguments_and_one_core_begin_no_process(tmp_path, count, cores):
    found = side_by_side(who_doubles, [(number, str(tmp_path)) for number in range(count)], fewest=40, cores=cores)
    assert found == [(os.getpid(), 2 * number) for number in range(count)]


def test_what_the_function_raises_is_raised():
    with pytest.raises(ValueError, match="seven is refused"):
        side_by_side(refuses, [(number,) for number in range(10)], fewest=2, cores=2)


def test_where_a_process_is_lost_this_one_does_all():
    own = os.getpid()
    assert side_by_side(ends_its_process, [(number, own) for number in range(10)], fewest=2, cores=2) == [*range(10)]


def test_processes_end_with_the_one_that_asked_them(tmp_path):
    """Killed, it tells them nothing."""
    script = (
        "from pathlib import Path; import time; from tests.decisions.test_side_by_side import waits; "
        "from pipeline.decisions.side_by_side import side_by_side; "
        f"side_by_side(waits, [(number, {str(tmp_path)!r}) for number in range(2)], fewest=1, cores=2)"
    )
    asking = subprocess.Popen([sys.executable, "-c", script])
    try:
        until = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        processes = [int(path.name) for path in tmp_path.iterdir()]
    finally:
        asking.kill()
        asking.wait()
    assert len(processes) == 2
    until = time.monotonic() + 20
    while any(Path(f"/proc/{process}").exists() for process in processes) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [process for process in processes if Path(f"/proc/{process}").exists()]


def test_an_interval_is_the_same_wherever_it_is_drawn():
    asked = [workload(seed) for seed in range(6)]
    assert side_by_side(breakeven_interval, asked, fewest=6, cores=2) == [breakeven_interval(*each) for each in asked]
