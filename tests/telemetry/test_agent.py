"""The agent as it runs on a host: real processes over the stub driver, read back as the pipeline reads it."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipeline.formats.frozen import fields_of
from pipeline.formats.spool import read_spool
from pipeline.telemetry import agent as running
from pipeline.telemetry.spool import Limits
from tests.telemetry.stub import UUIDS, Stub

CLI = [sys.executable, "-c", "from pipeline.cli import main; main()", "agent"]
BODY = """\
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="chat"} 100.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="chat"} 30.0
"""
# What neither the agent nor its sampler imports: all of it is memory of every GPU host, for as long as it runs.
HEAVY = {"polars", "duckdb", "boto3", "dagster", "rich", "pydantic", "yaml", "numpy", "babel", "click", "_ssl"}
HEAVY |= {"dataclasses", "inspect", "typing", "pathlib", "subprocess", "http", "email", "uuid", "queue"}
HEAVY |= {"random", "tempfile", "shutil", "bz2", "lzma", "logging", "asyncio", "decimal", "csv", "tokenize", "ast"}
HEAVY_PARTS = {"ctypes.util", "encodings.idna", "pipeline.formats.engine_table", "pipeline.formats.exposition"}


class Agent:
    """`breakeven agent run` on a spool folder, 20 times as fast as on a host."""

    def __init__(
        self, spool: Path, command: list[str], environment: Mapping[str, str], *, folder: Path | None = None
    ) -> None:
        self.spool = spool
        self.process = subprocess.Popen(
            command, env=environment, cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    @classmethod
    def of(cls, stub: Stub, spool: Path, *options: str) -> "Agent":
        command = [*CLI, "run", "--spool", str(spool), "--host", "node-1", "--every", "0.1", *options]
        return cls(spool, command, stub.environment)

    def records(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for path in sorted(path for path in self.spool.glob("*.spool.*")):
            content = path.read_bytes()
            if b"\n" in content:
                found += [dict(record.fields) for record in read_spool(content).records]
        return found

    def wait_for(self, is_there: Callable[[dict[str, Any]], bool], *, seconds: float = 60) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for record in self.records():
                if is_there(record):
                    return record
            time.sleep(0.05)
        raise AssertionError(f"not recorded within {seconds} s: {self.records()[-5:]}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[float, str]:
        """Seconds it took to end, and what it had said."""
        began = time.monotonic()
        self.process.send_signal(number)
        try:
            _, said = self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # and whatever it started
            raise
        return time.monotonic() - began, said


@pytest.fixture
def start(stub: Stub, tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    started: list[Agent] = []

    def begin(*options: str) -> Agent:
        started.append(Agent.of(stub, tmp_path / "spool", *options))
        return started[-1]

    yield begin
    for agent in started:
        if agent.process.poll() is None:
            agent.process.kill()
            agent.process.communicate(timeout=30)


def is_sample(record: dict[str, Any]) -> bool:
    return bool(record["record"] == "sample")


def test_sigterm_ends_it_within_a_second_and_closes_the_file(start: Callable[..., Agent]) -> None:
    agent = start("--resource-id", "i-1")
    agent.wait_for(is_sample)
    seconds, _ = agent.stop()
    assert seconds < 1 * max(1, os.getloadavg()[0])  # of a machine that has a core for it
    assert agent.process.returncode == 0
    assert list(agent.spool.glob("*.spool.open")) == []
    header, gpu, *others = agent.records()
    assert (header["host"], header["provider_resource_id"], header["seq"]) == ("node-1", "i-1", 0)
    assert (gpu["gpu_uuid"], others[0]["util_gpu_pct"]) == (UUIDS[0], 0)
    assert [record["seq"] for record in agent.records()] == list(range(2 + len(others)))


def test_a_lost_gpu_a_hang_and_a_driver_upgrade_are_recorded_while_it_runs(
    start: Callable[..., Agent], stub: Stub
) -> None:
    stub.set({"count": 2})
    agent = start("--patience", "1")
    agent.wait_for(is_sample)
    stub.set({"gpu1.rc": 15})
    lost = agent.wait_for(lambda record: is_sample(record) and record["health"] == "gpu_is_lost")
    assert lost["gpu_uuid"] == UUIDS[1]
    stub.set({"gpu1.rc": None, "rc.nvmlSystemGetDriverVersion": 18, "hang.nvmlDeviceGetPowerUsage": 1})
    hung = agent.wait_for(lambda record: record["record"] == "gap" and "did not answer" in record["reason"])
    assert hung["interval_ms"] >= 1_000
    stub.set({"hang.nvmlDeviceGetPowerUsage": None})
    agent.wait_for(lambda record: record["record"] == "gap" and "The driver was upgraded" in record["reason"])
    stub.set({"rc.nvmlSystemGetDriverVersion": None})
    upgraded = agent.records()[-1]["seq"]
    agent.wait_for(lambda record: is_sample(record) and record["seq"] > upgraded and record["health"] == "ok")
    _, said = agent.stop()
    assert re.findall("GPUs are (?:not )?sampled", said)[-1] == "GPUs are sampled"


def test_what_a_gpu_reports_and_how_it_fails_is_recorded_as_it_changes(start: Callable[..., Agent], stub: Stub) -> None:
    """RESET_REQUIRED, a device that a container lost, an XID error and GPM, each switched while it runs."""
    stub.set({"gpu0.gpm": 1, "gpu0.gpm_ms": 0, "gpu0.gpm_sm": 0})
    agent = start()
    agent.wait_for(is_sample)
    for code, health in ((16, "reset_required"), (999, "unknown_error"), (15, "gpu_is_lost")):
        stub.set({"gpu0.rc": code})
        agent.wait_for(lambda record, health=health: is_sample(record) and record["health"] == health)  # type: ignore[misc]
    stub.set({"gpu0.rc": None, "xid": "1 0 79"})
    event = agent.wait_for(lambda record: record["record"] == "event")
    assert (event["kind"], event["code"], event["gpu_uuid"]) == ("xid", 79, UUIDS[0])
    last = agent.records()[-1]["seq"]
    agent.wait_for(lambda record: is_sample(record) and record["health"] == "ok" and record["seq"] > last)
    stub.set({"gpu0.gpm_ms": 1_000, "gpu0.gpm_sm": 250})
    worked = agent.wait_for(lambda record: is_sample(record) and record["sm_active_ppm"] is not None)
    assert worked["sm_active_ppm"] == 250_000
    agent.stop()
    assert [record["record"] for record in agent.records()].count("event") == 1


def test_time_is_either_sampled_or_a_gap_and_never_both(start: Callable[..., Agent], stub: Stub) -> None:
    """Over a killed sampler and a killed agent: no time since the first sample is left out or told twice."""
    agent = start()
    agent.wait_for(is_sample)
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(agent.process.pid)], capture_output=True, text=True, check=True
    )
    os.kill(int(children.stdout.split()[0]), signal.SIGKILL)
    agent.wait_for(lambda record: record["record"] == "gap")
    before = agent.records()[-1]["seq"]
    agent.wait_for(lambda record: is_sample(record) and record["seq"] > before)
    agent.stop(signal.SIGKILL)
    last = agent.records()[-1]["seq"]
    agent = start()
    agent.wait_for(lambda record: record["record"] == "gap" and record["reason"].startswith("no agent ran"))
    agent.stop()
    records = agent.records()
    assert [record["seq"] for record in records][: last + 1] == list(range(last + 1))
    spans = sorted(
        (ends - record["interval_ms"], ends)
        for record in records[: last + 1]
        if record["record"] in ("sample", "gap")
        for ends in [record["mono_ms"]]
    )
    assert all(earlier[1] == later[0] for earlier, later in pairwise(spans)), spans


@contextmanager
def engine() -> Iterator[tuple[str, list[int]]]:
    """A vLLM that answers with the status that the list holds."""
    status = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = BODY.encode()
            self.send_response(status[0])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", status
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_engine_is_kept_with_its_body_or_with_why_there_is_none(start: Callable[..., Agent]) -> None:
    with engine() as (address, status):
        agent = start("--engine", f"chat-0=http://user:secret@{address}", "--scrape-every", "0.2")
        good = agent.wait_for(lambda record: record["record"] == "scrape" and record["body"] is not None)
        status[0] = 503
        bad = agent.wait_for(lambda record: record["record"] == "scrape" and record["error"] is not None)
        agent.stop()
    assert (good["body"], good["http_status"], good["replica_id"]) == (BODY, 200, "chat-0")
    assert (bad["body"], bad["http_status"]) == (None, 503)
    assert "it answers HTTP 503" in bad["error"]
    assert good["target"] == f"http://(hidden)@{address}/metrics"
    assert b"secret" not in b"".join(path.read_bytes() for path in agent.spool.glob("*.jsonl"))


def test_an_engine_is_recorded_with_the_gpus_on_which_its_own_process_computes(
    start: Callable[..., Agent], stub: Stub
) -> None:
    """The engine is a thread of this process; of two GPUs the driver lists it on the second one."""
    stub.set({"count": 2, "gpu0.processes": 1, "gpu0.pid": 1, "gpu1.processes": 1, "gpu1.pid": os.getpid()})
    stub.set({"gpu0.held": 5_000_000_000, "gpu1.held": 70_000_000_000})
    with engine() as (address, _):
        agent = start("--engine", f"http://{address}", "--scrape-every", "0.2")
        found = agent.wait_for(lambda record: record["record"] == "scrape" and record["gpu_uuids"] is not None)
        agent.stop()
    assert (found["gpu_uuids"], found["gpu_shares_ppm"], found["gpu_method"]) == (
        [UUIDS[1]],
        [1_000_000],
        "compute_pids",
    )
    assert found["gpu_memory_bytes"] == [70_000_000_000]


def test_an_engine_on_a_slice_is_recorded_with_its_part_and_the_gpu_is_held_as_far_as_that(
    start: Callable[..., Agent], stub: Stub
) -> None:
    """The engine is a thread of this process, which the driver lists on the slice of four; that of two is free."""
    stub.set({"gpu0.mig": 1, "gpu0.slice0": "3 4 64 40320", "gpu0.slice1": "5 2 32 20096", "gpu0.gpm": 1})
    stub.set({"gpu0.processes": 1, "gpu0.pid": os.getpid(), "gpu0.process0.gi": 3, "gpu0.held": 30_000_000_000})
    with engine() as (address, _):
        agent = start("--engine", f"http://{address}", "--scrape-every", "0.2")
        found = agent.wait_for(lambda record: record["record"] == "scrape" and record["gpu_uuids"] is not None)
        sample = agent.wait_for(is_sample)
        agent.stop()
    assert (found["gpu_uuids"], found["gpu_shares_ppm"], found["gpu_method"]) == (
        [UUIDS[0]],
        [571_428],
        "compute_pids",
    )
    assert (sample["mig_held_ppm"], sample["compute_process_count"]) == (571_428, None)


def test_asked_for_a_port_it_says_there_how_it_is_and_opens_none_otherwise(start: Callable[..., Agent]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    agent = start("--metrics", str(port))
    agent.wait_for(is_sample)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        said = answer.read().decode()
    agent.stop()
    samples = re.search(r'^breakeven_agent_records_total\{record="sample"\} (\d+)$', said, re.MULTILINE)
    assert samples is not None
    assert 1 <= int(samples[1]) <= sum(map(is_sample, agent.records()))
    assert 'breakeven_agent_gpus{health="ok"} 1\n' in said
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20)


def test_an_agent_imports_only_what_it_needs_and_nothing_of_the_folder_it_is_started_in(
    stub: Stub, tmp_path: Path
) -> None:
    """Neither what [all] has, which a GPU host lacks, nor a command line, TLS or what of Python takes much memory."""
    (tmp_path / "json.py").write_text("raise SystemExit('imported from the working folder')")
    options = ["--spool", str(tmp_path / "spool"), "--engine", "http://127.0.0.1:9", "--every", "0.1"]
    agent = Agent(
        tmp_path / "spool",
        [
            "sh",
            "-c",
            'exec "$@" 2> said',
            "sh",
            str(Path(sys.executable).with_name("breakeven")),
            "agent",
            "run",
            *options,
        ],
        {**stub.environment, "PYTHONPROFILEIMPORTTIME": "1"},
        folder=tmp_path,
    )
    agent.wait_for(lambda record: record["record"] == "sample")
    agent.stop()
    said = (tmp_path / "said").read_text()
    imported = [line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")]
    # Python begins anew with `encodings`: in the command, in the process it becomes, in the sampler.
    _, began, sampler = [at for at, name in enumerate(imported) if name == "encodings.aliases"]
    of_agent = imported[began:]
    assert "ctypes" in imported[sampler:]
    assert {"pipeline.telemetry.targets", "pynvml"} < set(of_agent)
    assert HEAVY & {name.partition(".")[0] for name in of_agent} == set()
    assert HEAVY_PARTS & set(of_agent) == set()


def test_check_says_what_this_driver_can_and_cannot_tell(stub: Stub) -> None:
    stub.set({"count": 3, "gpu0.rc.nvmlDeviceGetTotalEnergyConsumption": 3, "gpu1.mig": 1, "gpu2.rc": None})
    ran = subprocess.run([*CLI, "check"], env=stub.environment, capture_output=True, text=True, check=True)
    first, second, third, driver = ran.stdout.splitlines()
    unsupported = "not SM, tensor core and memory activity (not supported), energy (not supported)"
    assert first.endswith(f"power, processes, clock reasons; {unsupported}")
    assert "MIG is on" in second
    assert "activity where GPM tells that of every slice, else unknown and never called idle" in second
    assert "energy" in third
    assert driver == "driver 615.71.05"


def test_check_without_a_driver_says_what_to_do(stub: Stub) -> None:
    stub.set({"rc.nvmlInitWithFlags": 9})
    ran = subprocess.run([*CLI, "check"], env=stub.environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 3
    assert "modprobe nvidia" in ran.stderr


def test_an_engine_that_is_no_address_or_named_twice_or_not_at_all_is_refused_before_anything_runs(
    stub: Stub, tmp_path: Path
) -> None:
    for options, said in [
        (["--engine", "gpu-1:8000"], "is no address"),
        (["--engine", "a=http://h:1", "--engine", "a=http://h:2"], "a is there twice"),
        (["--engine", "chat-0=http://h:1", "--gpus", "chat-O=0"], "chat-O is no replica that is scraped (chat-0)"),
        (["--to", "gs://b"], "neither a folder nor s3://"),
    ]:
        command = [*CLI, "run", "--spool", str(tmp_path / "spool"), *options]
        ran = subprocess.run(command, env=stub.environment, capture_output=True, text=True, check=False, timeout=60)
        assert ran.returncode in (2, 3)
        assert said in ran.stderr
    assert not (tmp_path / "spool").exists()


def test_a_running_agent_ships_what_is_closed(start: Callable[..., Agent], tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    closed = tmp_path / "spool" / "20261101T000000Z-start-0000000000.spool.jsonl"
    closed.write_bytes(b"of an agent before it\n")
    agent = start("--to", str(tmp_path / "there"))
    deadline = time.monotonic() + 60
    while closed.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    agent.stop()
    (there,) = (tmp_path / "there" / "node-1").iterdir()
    assert there.name == f"{closed.name}.gz"


def test_what_the_agent_is_to_do_reaches_its_process_whole(tmp_path: Path) -> None:
    settings = running.Settings(
        spool=str(tmp_path / "spool"),
        host="node-1",
        provider_resource_id="i-1",
        asks_provider=False,
        cadence_ms=100,
        patience_ms=2_000,
        engines=("chat-0=http://127.0.0.1:8000", "http://127.0.0.1:8001"),
        gpus={"chat-0": ("0", "GPU-1")},
        pod_resources=str(tmp_path / "kubelet.sock"),
        scrape_ms=700,
        ship_to="s3://telemetry/spool",
        metrics_port=9_400,
        limits=Limits(close_after_ms=60_000, folder_bytes=64 * 1024**2),
    )
    plain = running.Settings(spool=str(tmp_path), host="node-1")
    assert all(getattr(settings, name) != getattr(plain, name) for name in list(fields_of(settings))[2:])
    assert running.settings_from(running.agent_command(settings)[-1]) == settings
