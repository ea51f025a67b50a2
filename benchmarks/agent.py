"""What `breakeven agent run` takes of a host of 8 GPUs and an engine: CPU at its real cadence, memory over an hour of
simulated time.

The driver is the tests' stub, which reads a file at each call: its time is in the figure, a real driver's is not. Of
memory it takes what the library of a real one did (tests/recorded/h200/calls.json), so that the whole can be read off.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.telemetry.stub import Stub, compiled

GPUS = 8
_HOUR_TICKS = 720
_RECORDED = Path(__file__).parent.parent / "tests" / "recorded" / "h200" / "calls.json"
_METRICS = b"""\
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="chat"} 100.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="chat"} 30.0
"""


def measured_agent(
    folder: Path, *, cadence_seconds: float = 5.0, seconds: float = 60, ticks: int = _HOUR_TICKS
) -> dict[str, float]:
    """CPU of agent and sampler over so many real seconds; their resident memory early and after so many ticks."""
    folder.mkdir(parents=True, exist_ok=True)
    library_mb = json.loads(_RECORDED.read_text())["library"]["resident_mb"]
    stub = Stub(folder, compiled(folder))
    busy = {f"gpu{index}.util": 80 for index in range(GPUS)}
    stub.set({"count": GPUS, "resident": round(library_mb * 1e6), **busy})
    with _engine() as engine:
        with _running(stub, folder / "real", engine=engine, every=cadence_seconds) as agent:
            _wait(folder / "real", ticks=1)
            began, cpu = time.monotonic(), cpu_seconds(agent)
            time.sleep(seconds)
            percent = 100 * (cpu_seconds(agent) - cpu) / (time.monotonic() - began)
        with _running(stub, folder / "compiled", engine=engine, every=0.05, keeps_byte_code=False) as agent:
            _wait(folder / "compiled", ticks=ticks // 10)
            compiling_mb = resident_mb(agent)
        with _running(stub, folder / "hour", engine=engine, every=0.05) as agent:
            _wait(folder / "hour", ticks=ticks // 10)
            early, cpu, before = resident_mb(agent), cpu_seconds(agent), _samples(folder / "hour")
            _wait(folder / "hour", ticks=ticks)
            late, sampled = resident_mb(agent), _samples(folder / "hour") - before
            return {
                "gpus": GPUS,
                "cadence_seconds": cadence_seconds,
                "percent_of_one_core": percent,
                "cpu_milliseconds_of_one_sampling": 1000 * (cpu_seconds(agent) - cpu) * GPUS / sampled,
                "resident_mb": late,
                "of_which_library_mb": library_mb,
                "resident_mb_where_no_byte_code_is_kept": compiling_mb,
                "resident_mb_grown_over_an_hour": late - early,
            }


@contextmanager
def _engine() -> Iterator[str]:
    """The address of an engine's counters."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(_METRICS)))
            self.end_headers()
            with suppress(OSError):  # an agent that was stopped meanwhile
                self.wfile.write(_METRICS)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


@contextmanager
def _running(stub: Stub, spool: Path, *, engine: str, every: float, keeps_byte_code: bool = True) -> Iterator[int]:
    """`keeps_byte_code`: as an installation has it; without, every start compiles what it imports."""
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "agent", "run"]
    command += [
        "--spool",
        str(spool),
        "--every",
        str(every),
        "--engine",
        engine,
        "--scrape-every",
        str(max(every, 0.1)),
    ]
    environment = {**stub.environment}
    if not keeps_byte_code:
        environment |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": str(spool.with_suffix(".none"))}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
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


def resident_mb(agent: int) -> float:
    """Of both, what they share (the interpreter) counted once, whatever else on the machine shares it too."""
    own = shared = 0
    for process in _processes(agent):
        of_one = {name: size for name, size in _memory(process) if name.startswith(("Private_", "Shared_"))}
        own += of_one["Private_Clean"] + of_one["Private_Dirty"]
        shared = max(shared, of_one["Shared_Clean"] + of_one["Shared_Dirty"])
    return (own + shared) / 1e6


def alone_mb(pid: int) -> float:
    """Of this process without those it started; its part of what is shared."""
    return next(size for name, size in _memory(Path("/proc") / str(pid)) if name == "Pss") / 1e6


def _memory(process: Path) -> Iterator[tuple[str, int]]:
    """Name and bytes."""
    for line in (process / "smaps_rollup").read_text().splitlines()[1:]:
        name, _, said = line.partition(":")
        yield name, int(said.split()[0]) * 1024


def _samples(spool: Path) -> int:
    return sum(path.read_bytes().count(b'"record":"sample"') for path in spool.glob("*.spool.*"))


def _wait(spool: Path, *, ticks: int, seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while _samples(spool) < ticks * GPUS:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{_samples(spool)} samples within {seconds} s, fewer than {ticks} ticks of {GPUS} GPUs")
        time.sleep(0.2)
