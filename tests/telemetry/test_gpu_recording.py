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


def _built(folder: Path, project: Path) -> Answers:
    small = SmallProject(project, [source(SPOOL, "fleet")])
    for path in folder.glob("*.spool.jsonl.gz"):
        small.drop(SPOOL, "fleet", path.name, path.read_bytes())
    return small.run(now=datetime.fromisoformat(_phases(folder)[-1]["to"]) + timedelta(days=1))


def _phases(folder: Path) -> list[dict[str, Any]]:
    phases: list[dict[str, Any]] = json.loads((folder / "phases.json").read_text())
    return phases


def _states(folder: Path, project: Path) -> dict[str, dict[str, float]]:
    """phase -> state -> its part of the phase, as the tables have it."""
    answers = _built(folder, project)
    return {phase["phase"]: _state_of(answers, phase) for phase in _phases(folder)}


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


@pytest.fixture(
    scope="module", params=sorted(path.parent for path in RECORDED.glob("*/phases.json")), ids=lambda at: at.name
)
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answers]:
    """What was recorded of a real GPU, and the tables of it."""
    return request.param, _built(request.param, tmp_path_factory.mktemp("real") / "project")


def test_a_real_gpu_reads_as_the_states_that_it_went_through(real: tuple[Path, Answers]) -> None:
    """Loaded and idle, light, saturated: as declared. Light load read more often than it works is idle in between."""
    place, answers = real
    found = {phase["phase"]: _state_of(answers, phase) for phase in _phases(place)}
    assert found["loaded_idle"]["loaded_idle"] > 0.9
    assert found["saturated"]["serving"] > 0.9
    (said,) = (phase for phase in _phases(place) if phase["phase"] == "light")
    light = [
        sample
        for sample in _samples(place)
        if datetime.fromisoformat(said["from"]) <= sample["from"] <= sample["to"] <= datetime.fromisoformat(said["to"])
    ]
    worked = sum(sample["interval_ms"] for sample in light if sample["sm_active_ppm"] > 0)
    part = worked / sum(sample["interval_ms"] for sample in light)
    assert found["light"]["serving"] == pytest.approx(part, abs=0.1)
    assert sum(found["light"].values()) == pytest.approx(1, abs=0.01)
    assert (part == 1) == (_every_seconds(place) >= 5)  # a batch in two and a half seconds


def test_a_real_gpu_that_nothing_holds_is_unallocated_though_an_engine_is_declared(real: tuple[Path, Answers]) -> None:
    """What is neither bare idle nor under the load is its start. Nothing else is called starting."""
    place, answers = real
    hours = answers.rows("select state, sum(gpu_milliseconds) as ms from int_gpu_states_hourly group by state")
    found = {row["state"]: row["ms"] for row in hours}
    phases = {phase["phase"]: phase for phase in _phases(place)}
    edges = [(phases["bare_idle"], "from"), (phases["bare_idle"], "to"), (phases["loaded_idle"], "from")]
    began, ended, loaded = (datetime.fromisoformat(phase[edge]) for phase, edge in edges)
    tick_ms = 1000 * _every_seconds(place)
    assert found.pop("unallocated") >= (ended - began) / timedelta(milliseconds=1) - tick_ms
    assert found.pop("starting") <= (loaded - ended) / timedelta(milliseconds=1) + tick_ms
    assert set(found) == {"loaded_idle", "serving"}


def test_the_power_of_a_real_gpu_is_the_energy_that_its_counter_says(real: tuple[Path, Answers]) -> None:
    """A steady minute: readings of power, summed over time, against the driver's own counter."""
    place, _ = real
    idle = [sample for sample in _samples(place) if sample["memory_used_bytes"] == 0]
    first, *_, last = [sample for sample in idle if sample["energy_millijoules"] is not None]
    between = [sample for sample in idle if first["to"] < sample["to"] <= last["to"]]
    microjoules = sum(sample["power_milliwatts"] * sample["interval_ms"] for sample in between)
    assert last["to"] - first["to"] >= timedelta(seconds=59)
    counted_microjoules = 1000 * (last["energy_millijoules"] - first["energy_millijoules"])
    assert microjoules == pytest.approx(counted_microjoules, rel=0.01)


def _every_seconds(folder: Path) -> float:
    every: float = json.loads((folder / "machine.json").read_text())["every_seconds"]
    return every


def _samples(folder: Path) -> list[dict[str, Any]]:
    """Every sample as it was recorded, with the edges of its interval."""
    lines = [
        json.loads(line)
        for path in sorted(folder.glob("*.spool.jsonl.gz"))
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    samples = [line for line in lines if line["record"] == "sample"]
    for sample in samples:
        sample["to"] = datetime.fromisoformat(sample["at"])
        sample["from"] = sample["to"] - timedelta(milliseconds=sample["interval_ms"])
    return samples
