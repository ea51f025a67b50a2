"""From the driver to a table: what the stub's GPUs did is what `int_gpu_hours` says, to the millisecond."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

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
