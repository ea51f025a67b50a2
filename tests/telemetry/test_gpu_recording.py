"""The recorder of a real GPU over the stub's: what it keeps reads as the states that it went through."""

import gzip
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu_recording import PHASES, Recording, RecordingError, record
from tests.pipeline.small_project import SPOOL, Answers, SmallProject, source
from tests.telemetry.stub import UUIDS, Stub

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "recorded"


@pytest.fixture(scope="module")
def kept(nvml_library: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recording]:
    folder = tmp_path_factory.mktemp("recording")
    stub = Stub(folder, nvml_library)
    load = [sys.executable, "-m", "tests.telemetry.stub_load", "{port}", str(folder)]
    return folder / "kept", record(folder / "kept", load=load, seconds=2.0, every=0.2, environment=stub.environment)


def _states(folder: Path, project: Path) -> dict[str, dict[str, float]]:
    """phase -> state -> its part of the phase, as the tables have it."""
    small = SmallProject(project, [source(SPOOL, "fleet")])
    for path in folder.glob("*.spool.jsonl.gz"):
        small.drop(SPOOL, "fleet", path.name, path.read_bytes())
    phases = json.loads((folder / "phases.json").read_text())
    answers = small.run(now=datetime.fromisoformat(phases[-1]["to"]) + timedelta(days=1))
    return {phase["phase"]: _state_of(answers, phase) for phase in phases}


def _state_of(answers: Answers, phase: dict[str, Any]) -> dict[str, float]:
    start, end = (datetime.fromisoformat(phase[edge]).astimezone(UTC).replace(tzinfo=None) for edge in ("from", "to"))
    found: dict[str, float] = {}
    for row in answers.rows("select state, from_at, to_at, share_ppm from int_gpu_shares_interval order by all"):
        covered = (min(row["to_at"], end) - max(row["from_at"], start)) / (end - start)
        if covered > 0:
            found[row["state"]] = found.get(row["state"], 0) + covered * row["share_ppm"] / 1_000_000
    return found


def test_every_phase_reads_as_the_state_that_it_was(kept: tuple[Path, Recording], tmp_path: Path) -> None:
    """Bare idle: no engine answers, and no process holds the GPU; then what the counters say. B18."""
    folder, done = kept
    assert (done.missing, [phase["phase"] for phase in done.phases]) == (None, list(PHASES))
    found = _states(folder, tmp_path / "project")
    assert "serving" not in found["bare_idle"]
    assert "loaded_idle" not in found["bare_idle"]
    for phase, state in list(PHASES.items())[1:]:
        assert found[phase].get(state, 0) > 0.6, (phase, found)


def test_a_recording_is_kept_with_its_machine_and_of_no_machine_in_particular(kept: tuple[Path, Recording]) -> None:
    folder, _ = kept
    machine = json.loads((folder / "machine.json").read_text())
    assert (machine["load"], machine["missing"], machine["every_seconds"]) == ("a declared command", None, 0.2)
    assert machine["gpus"][0]["name"]
    assert machine["cpu_count"] > 0
    calls = json.loads((folder / "calls.json").read_text())
    assert calls["nvmlDeviceGetMemoryInfo"]["count"] == 20
    (spool,) = folder.glob("*.spool.jsonl.gz")
    lines = [json.loads(line) for line in gzip.decompress(spool.read_bytes()).splitlines()]
    assert lines[0]["host"] == "recorded"
    assert lines[0]["boot_id"] == "00000000-0000-4000-8000-000000000001"
    uuids = {line["gpu_uuid"] for line in lines if line.get("gpu_uuid")}
    assert uuids == {"GPU-00000000-0000-4000-8000-000000000000"}
    assert UUIDS[0] not in uuids
    assert all(phase["agent_resident_mb"] > 0 for phase in json.loads((folder / "phases.json").read_text()))
    with pytest.raises(RecordingError, match="never written over"):
        record(folder, load=["true"], seconds=0.1, every=1)


def test_without_torch_or_a_gpu_of_its_the_idle_gpu_is_recorded_and_what_is_missing_is_said(
    stub: Stub, tmp_path: Path
) -> None:
    """The command of the documentation; exit code 1, and a note that names what to install."""
    command = [sys.executable, "-m", "benchmarks.gpu_recording", "--to", str(tmp_path / "kept")]
    ended = subprocess.run(
        [*command, "--seconds", "0.3", "--every", "0.1"], env=stub.environment, cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 1, ended.stderr
    assert "Missing: " in ended.stdout
    assert "--load COMMAND" in ended.stdout
    phases = json.loads((tmp_path / "kept" / "phases.json").read_text())
    assert [phase["phase"] for phase in phases] == ["bare_idle"]
    stub.set({"rc.nvmlInitWithFlags": 9})
    refused = subprocess.run(
        [*command[:-1], str(tmp_path / "none")], env=stub.environment, cwd=ROOT, capture_output=True, text=True
    )
    assert refused.returncode == 3
    assert "kernel driver is not loaded" in refused.stderr


def test_a_load_that_ends_says_so_and_its_command_is_in_no_recording(stub: Stub, tmp_path: Path) -> None:
    """Its command may hold paths and keys of this machine."""
    silent = ["sh", "-c", "exit 0; --key=secret"]
    done = record(tmp_path / "silent", load=silent, seconds=0.2, every=0.1, environment=stub.environment)
    assert done.missing == "a load: its command said nothing and ended"
    assert "secret" not in (tmp_path / "silent" / "machine.json").read_text()
    with pytest.raises(RecordingError, match=r"the load ended before (loaded_idle|light)"):
        record(
            tmp_path / "ended", load=["sh", "-c", "echo ready"], seconds=0.2, every=0.1, environment=stub.environment
        )
    assert not (tmp_path / "ended").exists()


def test_what_was_recorded_of_a_real_gpu_reads_as_the_states_that_it_went_through(tmp_path: Path) -> None:
    recordings = sorted(path.parent for path in RECORDED.glob("*/phases.json"))
    if not recordings:
        pytest.skip(f"nothing was recorded of a real GPU yet ({RECORDED.name}/): python -m benchmarks.gpu_recording")
    for place in recordings:
        for phase, found in _states(place, tmp_path / place.name).items():
            if PHASES[phase] != "unallocated":
                assert found.get(PHASES[phase], 0) > 0.9, (place.name, phase, found)
