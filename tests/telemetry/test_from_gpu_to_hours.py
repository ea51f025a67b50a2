"""From the driver to a table: what the stub's GPUs did is what `int_gpu_hours` says, to the millisecond."""

import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from tests.pipeline.small_project import SPOOL, SmallProject, source
from tests.telemetry.stub import UUIDS, Stub
from tests.telemetry.test_agent import CLI, Agent, is_sample

ROOT = Path(__file__).parents[2]


def test_what_the_gpus_did_is_what_the_hours_say(stub: Stub, tmp_path: Path) -> None:
    """One GPU was busy, then idle, then lost; one is in MIG mode, of which nothing is known."""
    stub.set({"count": 2, "gpu0.util": 90, "gpu0.processes": 1, "gpu1.mig": 1, "gpu1.memory": 70_000_000_000})
    agent = Agent.of(stub, tmp_path / "spool", "--resource-id", "i-1", "--close-after", "0.05")
    phases: list[Callable[[dict[str, object]], bool]] = [
        lambda record: record["util_gpu_pct"] == 90,
        lambda record: record["util_gpu_pct"] == 0,
        lambda record: record["health"] == "gpu_is_lost",
    ]
    try:
        for change, is_seen in zip(({}, {"gpu0.util": 0}, {"gpu0.rc": 15}), phases, strict=True):
            stub.set(change)
            agent.wait_for(lambda record, is_seen=is_seen: is_sample(record) and is_seen(record))  # type: ignore[misc]
    finally:
        agent.stop()
    spans = [record for record in agent.records() if is_sample(record) and record["gpu_uuid"] == UUIDS[0]]
    observed = sum(record["interval_ms"] for record in spans)
    healthy = sum(record["interval_ms"] for record in spans if record["health"] == "ok")
    busy = sum(record["interval_ms"] for record in spans if record["util_gpu_pct"] == 90)
    assert 0 < busy < healthy < observed

    project = SmallProject(tmp_path / "project", [source(SPOOL, "fleet")])
    ship = [*CLI, "ship", "--spool", str(agent.spool), "--to", str(project.inbox(SPOOL, "fleet")), "--host", "node-1"]
    assert subprocess.run(ship, capture_output=True, text=True, check=True).stdout.endswith("0 were there already\n")
    now = datetime.now(UTC)
    hours = project.run(now=now).rows(
        "select gpu_uuid, host, provider_resource_id, sum(observed_milliseconds)::bigint as observed, "
        "sum(healthy_milliseconds)::bigint as healthy, sum(held_milliseconds)::bigint as held, "
        "sum(busy_milliseconds)::bigint as busy from int_gpu_hours group by all order by all"
    )
    assert hours == [
        {
            "gpu_uuid": UUIDS[0],
            "host": "node-1",
            "provider_resource_id": "i-1",
            "observed": observed,
            "healthy": healthy,
            "held": healthy,
            "busy": busy,
        }
    ]


def test_a_pod_that_is_replaced_ships_what_it_closed_last(stub: Stub, tmp_path: Path) -> None:
    """The DaemonSet's own shell script, with another folder and place."""
    shell = shutil.which("sh")
    if shell is None:
        pytest.skip("no sh on this machine")
    (template,) = yaml.safe_load_all((ROOT / "infra" / "k8s" / "agent.yaml").read_text())
    (container,) = template["spec"]["template"]["spec"]["containers"]
    (tmp_path / "breakeven").write_text(f'#!/bin/sh\nexec {CLI[0]} -c "{CLI[2]}" "$@"\n')
    (tmp_path / "breakeven").chmod(0o755)
    script = (
        container["args"][0].replace("/spool", str(tmp_path / "spool")).replace("agent run", "agent run --every 0.1")
    )
    environment = {**stub.environment, "PLACE": str(tmp_path / "there"), "BREAKEVEN_HOST": "node-1"}
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    pod = Agent(tmp_path / "spool", [shell, "-c", script], environment)
    pod.wait_for(is_sample)
    pod.stop()
    assert pod.process.returncode == 0
    assert len(list((tmp_path / "there" / "node-1").glob("*.spool.jsonl.gz"))) == 1
    assert list((tmp_path / "spool").glob("*.spool.*")) == []
