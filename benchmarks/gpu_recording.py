"""What an agent records of a real GPU: idle, loaded and idle, under light load, saturated; kept with its machine.

On a GPU host, in a checkout with `make setup` done (torch beside it, for the load):

    .venv/bin/python -m benchmarks.gpu_recording --to tests/recorded/h100

Six minutes. The agent runs as on any host; the load is `benchmarks.gpu_load`, or a command of your own that heeds the
same lines (`--load`). The folder then holds the spool files, `machine.json` (what it was recorded on),
`phases.json` (when each phase was, what state it has to read as, and what the agent took of a core and of memory) and
`calls.json` (how long each call into the driver took). UUIDs, the boot and the host's name are replaced.
"""

import argparse
import gzip
import json
import os
import platform
import re
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from benchmarks.agent import alone_mb, cpu_seconds, resident_mb
from pipeline.formats.spool import read_spool

HOST, REPLICA = "recorded", "load-0"
# In this order, each with the state that it has to read as.
PHASES: Mapping[str, str] = {
    "bare_idle": "unallocated",
    "loaded_idle": "loaded_idle",
    "light": "serving",
    "saturated": "serving",
}
_UUID = re.compile(rb"(GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_READY_SECONDS = 600
_STOP_SECONDS = 60
_CALLS_READINGS = 20
_AGENT = [sys.executable, "-c", "from pipeline.cli import main; main()", "agent"]


class RecordingError(Exception):
    """Nothing can be recorded here. The message says why."""


@dataclass
class Recording:
    """What was recorded. `missing`: why the phases under load are not there; null where they are."""

    phases: list[dict[str, Any]] = field(default_factory=list)
    missing: str | None = None


def main() -> int:
    asked = _arguments()
    if asked.calls:
        json.dump(_calls(), sys.stdout)
        return 0
    load = shlex.split(asked.load) if asked.load else [sys.executable, "-m", "benchmarks.gpu_load", "{port}"]
    try:
        done = record(asked.to, load=load, seconds=asked.seconds, every=asked.every)
    except RecordingError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    sys.stdout.write(f"wrote {asked.to}: {', '.join(phase['phase'] for phase in done.phases)}\n")
    if done.missing is not None:
        sys.stdout.write(
            f"Only the idle GPU was recorded. Missing: {done.missing}. Install it beside this checkout, or name a load "
            "of your own: --load COMMAND, which reads loaded_idle, light and saturated from its input, a line each.\n"
        )
        return 1
    return 0


def record(
    folder: Path,
    *,
    load: Sequence[str],
    seconds: float,
    every: float,
    environment: Mapping[str, str] | None = None,
) -> Recording:
    """Run the agent through the phases and write the folder, which must not be there yet.

    `load`: its command; `{port}` stands for where the agent reads its counters. RecordingError.
    """
    if folder.exists():
        raise RecordingError(f"{folder} is there already: a recording is never written over. Name another folder.")
    environment = {**os.environ, **(environment or {})}
    port = _free_port()
    with tempfile.TemporaryDirectory() as scratch:
        spool = Path(scratch) / "spool"
        calls = _asked_calls(environment)
        agent = _started_agent(spool, port, every=every, environment=environment)
        try:
            done = _through_phases(agent, load=load, port=port, seconds=seconds, environment=environment)
        finally:
            _end(agent)
        shipped = Path(scratch) / "shipped"
        ship = [*_AGENT, "ship", "--spool", str(spool), "--to", str(shipped), "--host", HOST]
        subprocess.run(ship, env=dict(environment), check=True, stdout=subprocess.DEVNULL)
        contents = [gzip.decompress(path.read_bytes()) for path in sorted(shipped.rglob("*.gz"))]
        _write(folder, contents, done, calls, load=load, every=every, environment=environment)
    return done


# --- phases ----------------------------------------------------------------------------------------------------------


def _started_agent(
    spool: Path, port: int, *, every: float, environment: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    options = ["--spool", str(spool), "--host", HOST, "--every", str(every), "--scrape-every", str(max(every, 0.1))]
    options += ["--engine", f"{REPLICA}=http://127.0.0.1:{port}", "--gpus", f"{REPLICA}=0", "--no-ask-provider"]
    agent = subprocess.Popen([*_AGENT, "run", *options], env=dict(environment), stderr=subprocess.DEVNULL)
    try:
        _await(
            lambda: _has_sample(spool), agent, what="the agent sampled no GPU: what does `breakeven agent check` say?"
        )
    except RecordingError:
        _end(agent)
        raise
    return agent


def _through_phases(
    agent: "subprocess.Popen[bytes]",
    *,
    load: Sequence[str],
    port: int,
    seconds: float,
    environment: Mapping[str, str],
) -> Recording:
    done = Recording([_phase("bare_idle", agent, seconds)])
    command = [part.replace("{port}", str(port)) for part in load]
    loading = subprocess.Popen(command, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert loading.stdin is not None
    assert loading.stdout is not None
    try:
        said = loading.stdout.readline().strip()
        if said != "ready":
            # It is kept with the recording, which is of no machine: the command, with its paths, is not in it.
            done.missing = said.removeprefix("missing: ") or "a load: its command said nothing and ended"
            return done
        for phase in list(PHASES)[1:]:
            _tell(loading.stdin, phase)
            done.phases.append(_phase(phase, agent, seconds))
    finally:
        with suppress(OSError):
            loading.stdin.close()
        _end(loading, is_told=True)
    return done


def _tell(pipe: IO[str], phase: str) -> None:
    try:
        pipe.write(f"{phase}\n")
        pipe.flush()
    except BrokenPipeError:
        raise RecordingError(f"Nothing is recorded: the load ended before {phase}. What did it print?") from None


def _phase(phase: str, agent: "subprocess.Popen[bytes]", seconds: float) -> dict[str, Any]:
    """One phase, and what the agent and its sampler took of it."""
    began, cpu, from_at = time.monotonic(), cpu_seconds(agent.pid), datetime.now(UTC)
    time.sleep(seconds)
    if agent.poll() is not None:
        raise RecordingError(f"the agent ended during {phase} (exit code {agent.returncode})")
    return {
        "phase": phase,
        "from": from_at.isoformat(timespec="milliseconds"),
        "to": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "expected_state": PHASES[phase],
        "agent_percent_of_one_core": round(100 * (cpu_seconds(agent.pid) - cpu) / (time.monotonic() - began), 3),
        "agent_resident_mb": round(resident_mb(agent.pid), 1),
        "agent_alone_resident_mb": round(alone_mb(agent.pid), 1),
    }


def _await(is_there: Callable[[], bool], process: "subprocess.Popen[bytes]", *, what: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS / 10
    while not is_there():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RecordingError(f"Nothing is recorded: {what}")
        time.sleep(0.05)


def _has_sample(spool: Path) -> bool:
    with suppress(FileNotFoundError):  # closed meanwhile
        return any(b'"record":"sample"' in path.read_bytes() for path in spool.glob("*.spool.*"))
    return False


def _end(process: "subprocess.Popen[Any]", *, is_told: bool = False) -> None:
    if not is_told:
        process.terminate()
    try:
        process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- calls into the driver -------------------------------------------------------------------------------------------


class _Timed:
    """The driver's module, of which every call is timed."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self.took: dict[str, list[tuple[int, int]]] = defaultdict(list)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._nvml, name)
        if not name.startswith("nvml") or not callable(found):
            return found

        def timed(*arguments: Any) -> Any:
            began, cpu = time.perf_counter_ns(), time.thread_time_ns()
            try:
                return found(*arguments)
            finally:
                self.took[name].append((time.perf_counter_ns() - began, time.thread_time_ns() - cpu))

        return timed


def _calls() -> dict[str, dict[str, float]]:
    """Every call of twenty readings: how often, how long and how much of a core in microseconds. Under `reading`: what
    all of a reading but the first, which is the slow one, takes of a core; under `library` what it holds of memory.
    """
    from pipeline.telemetry.clock import steady_clock
    from pipeline.telemetry.nvml import load_nvml
    from pipeline.telemetry.sampler import Sampler

    timed = _Timed(load_nvml())
    before = alone_mb(os.getpid())
    sampler = Sampler(timed, cadence_ms=100, clock=steady_clock())
    library_mb = alone_mb(os.getpid()) - before
    readings = []
    for _ in range(_CALLS_READINGS):
        time.sleep(0.1)
        cpu = time.thread_time_ns()
        sampler.read()
        readings.append(time.thread_time_ns() - cpu)
    calls: dict[str, dict[str, float]] = {
        name: {
            "count": len(took),
            "median_microseconds": round(statistics.median(wall for wall, _ in took) / 1000, 1),
            "longest_microseconds": round(max(wall for wall, _ in took) / 1000, 1),
            "median_cpu_microseconds": round(statistics.median(cpu for _, cpu in took) / 1000, 1),
        }
        for name, took in sorted(timed.took.items())
    }
    return calls | {
        "reading": {
            "count": len(readings),
            "first_cpu_microseconds": round(readings[0] / 1000, 1),
            "mean_cpu_microseconds": round(statistics.mean(readings[1:]) / 1000, 1),
        },
        "library": {"resident_mb": round(library_mb, 1)},
    }


def _asked_calls(environment: Mapping[str, str]) -> dict[str, Any]:
    """In a process of its own, as the driver's library is loaded once and for all."""
    asked = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_recording", "--calls"],
        env=dict(environment),
        capture_output=True,
        text=True,
    )
    if asked.returncode:
        raise RecordingError(f"Nothing is recorded: {(asked.stderr.strip().splitlines() or ['the driver fails'])[-1]}")
    found: dict[str, Any] = json.loads(asked.stdout)
    return found


# --- the folder ------------------------------------------------------------------------------------------------------


def _write(
    folder: Path,
    contents: Sequence[bytes],
    done: Recording,
    calls: Mapping[str, Any],
    *,
    load: Sequence[str],
    every: float,
    environment: Mapping[str, str],
) -> None:
    masked = _masked(contents)
    records = [record for content in masked for record in read_spool(content).records]
    gpus = {record.fields["gpu_uuid"]: record.fields for record in records if record.fields["record"] == "gpu"}
    told = ("gpu_index", "name", "memory_total_bytes", "driver_version", "vbios_version", "mig_mode")
    machine = {
        "recorded_on": datetime.now(UTC).date().isoformat(),
        "gpus": [{name: gpu.get(name) for name in told} for gpu in gpus.values()],
        "cpu": _cpu(),
        "cpu_count": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()} {platform.release()}",
        "python": platform.python_version(),
        "torch": _version("torch"),
        "nvidia_ml_py": _version("nvidia-ml-py"),
        "agent": records[0].header["agent_version"],
        "every_seconds": every,
        "load": "benchmarks.gpu_load" if "benchmarks.gpu_load" in load else "a declared command",
        "missing": done.missing,
    }
    folder.mkdir(parents=True)
    for number, content in enumerate(masked):
        (folder / f"{HOST}-{number}.spool.jsonl.gz").write_bytes(gzip.compress(content, mtime=0))
    for name, said in (("machine", machine), ("phases", done.phases), ("calls", calls)):
        (folder / f"{name}.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def _masked(contents: Sequence[bytes]) -> list[bytes]:
    """The same records of no machine: UUIDs numbered as they come, and another boot."""
    uuids: dict[bytes, bytes] = {}

    def numbered(found: re.Match[bytes]) -> bytes:
        kind = found[1]
        return uuids.setdefault(found[0], b"%s-00000000-0000-4000-8000-%012d" % (kind, len(uuids)))

    boots = {record.header["boot_id"].encode() for content in contents for record in read_spool(content).records[:1]}
    masked = []
    for content in contents:
        for boot in boots:
            content = content.replace(b'"boot_id":"%s"' % boot, b'"boot_id":"00000000-0000-4000-8000-000000000001"')
        masked.append(_UUID.sub(numbered, content))
    return masked


def _cpu() -> str | None:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_recording", description=__doc__)
    parser.add_argument("--to", type=Path, default=Path("tests/recorded/gpu"), help="a folder that is not there yet")
    parser.add_argument("--seconds", type=float, default=80, help="how long each of the four phases is")
    parser.add_argument("--every", type=float, default=1, help="the agent's cadence, in seconds")
    parser.add_argument("--load", default=None, metavar="COMMAND", help="in the stead of benchmarks.gpu_load; {port}")
    parser.add_argument("--calls", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
