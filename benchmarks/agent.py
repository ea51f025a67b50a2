"""What `breakeven agent run` takes of a host of 8 GPUs: CPU at its real cadence, memory over an hour of simulated time.

The driver is the tests' stub, which reads a file at each call: its time is in the figure, a real driver's is not.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.telemetry.stub import Stub, compiled

GPUS = 8
_HOUR_TICKS = 720


def measured_agent(
    folder: Path, *, cadence_seconds: float = 5.0, seconds: float = 60, ticks: int = _HOUR_TICKS
) -> dict[str, float]:
    """CPU of agent and sampler over so many real seconds; their resident memory early and after so many ticks."""
    folder.mkdir(parents=True, exist_ok=True)
    stub = Stub(folder, compiled(folder))
    stub.set({"count": GPUS, **{f"gpu{index}.util": 80 for index in range(GPUS)}})
    with _running(stub, folder / "real", every=cadence_seconds) as agent:
        _wait(folder / "real", ticks=1)
        began, cpu = time.monotonic(), cpu_seconds(agent)
        time.sleep(seconds)
        percent = 100 * (cpu_seconds(agent) - cpu) / (time.monotonic() - began)
    with _running(stub, folder / "hour", every=0.05) as agent:
        _wait(folder / "hour", ticks=ticks // 10)
        early, cpu, before = memory_mb(agent, "Rss"), cpu_seconds(agent), _samples(folder / "hour")
        _wait(folder / "hour", ticks=ticks)
        late, sampled = memory_mb(agent, "Rss"), _samples(folder / "hour") - before
        return {
            "gpus": GPUS,
            "cadence_seconds": cadence_seconds,
            "percent_of_one_core": percent,
            "cpu_milliseconds_of_one_sampling": 1000 * (cpu_seconds(agent) - cpu) * GPUS / sampled,
            "resident_mb_both_processes": late,
            "resident_mb_shared_counted_once": memory_mb(agent, "Pss"),
            "resident_mb_grown_over_an_hour": late - early,
        }


@contextmanager
def _running(stub: Stub, spool: Path, *, every: float) -> Iterator[int]:
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "agent", "run"]
    command += ["--spool", str(spool), "--every", str(every)]
    process = subprocess.Popen(command, env=stub.environment, stderr=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


def _processes(agent: int) -> list[Path]:
    """The agent and those it started."""
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    return [Path("/proc") / str(pid) for pid in (agent, *children)]


def cpu_seconds(agent: int) -> float:
    """Of the agent of this PID and of its sampler, since they began."""
    stats = (path for process in _processes(agent) for path in process.glob("task/*/schedstat"))
    return sum(int(path.read_text().split()[0]) for path in stats) / 1e9


def memory_mb(agent: int, kind: str, *, with_children: bool = True) -> float:
    """Of both; `kind`: Rss, or Pss, which counts what they share once."""
    processes = _processes(agent) if with_children else [Path("/proc") / str(agent)]
    lines = (line for process in processes for line in (process / "smaps_rollup").read_text().splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) * 1024 / 1e6


def _samples(spool: Path) -> int:
    return sum(path.read_bytes().count(b'"record":"sample"') for path in spool.glob("*.spool.*"))


def _wait(spool: Path, *, ticks: int, seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while _samples(spool) < ticks * GPUS:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{_samples(spool)} samples within {seconds} s, fewer than {ticks} ticks of {GPUS} GPUs")
        time.sleep(0.2)
