"""What the sampler reads off a driver, through the real ctypes path: the library is a stub that the tests compile."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.telemetry.clock import Instant, steady_clock
from tests.telemetry.conftest import ReadsOf
from tests.telemetry.stub import UUIDS, Stub, compiled

BUSY = {"gpu0.util": 37, "gpu0.mem_util": 12, "gpu0.memory": 8_000_000_000, "gpu0.processes": 1, "gpu0.energy": 5_000}


def test_a_sample_says_what_the_driver_said(stub: Stub, reads_of: ReadsOf) -> None:
    stub.set({**BUSY, "gpu0.power": 412_000, "gpu0.reasons": 4})
    gpu, sample = reads_of(stub).read()
    assert gpu == {
        "record": "gpu",
        "at_ms": 1_800_000_005_000,
        "gpu_uuid": UUIDS[0],
        "pci_bus_id": "00000000:01:00.0",
        "gpu_index": 0,
        "name": "NVIDIA H100 80GB HBM3",
        "memory_total_bytes": 85_520_809_984,
        "driver_version": "615.71.05",
        "mig_mode": None,
    }
    assert sample == {
        "record": "sample",
        "at_ms": 1_800_000_005_000,
        "interval_ms": 5000,
        "gpu_uuid": UUIDS[0],
        "util_gpu_pct": 37,
        "util_memory_pct": 12,
        "memory_used_bytes": 8_000_000_000,
        "energy_millijoules": 5_000,
        "power_milliwatts": 412_000,
        "sm_active_ppm": None,
        "clocks_event_reasons": 4,
        "compute_process_count": 1,
        "health": "ok",
        "samples_lost": None,
    }


def test_utilization_is_the_mean_of_the_whole_interval_and_not_its_last_moment(stub: Stub, reads_of: ReadsOf) -> None:
    stub.set({"gpu0.util": 0, "gpu0.samples": 50, "gpu0.now_us": 100_000_000})
    reads = reads_of(stub)
    stub.set({"gpu0.sample": 80, "gpu0.busy_samples": 25, "gpu0.now_us": 105_000_000})
    sample = reads.sample()
    assert (sample["util_gpu_pct"], sample["samples_lost"]) == (40, 0)


def test_one_kernel_in_an_idle_interval_is_not_rounded_away(stub: Stub, reads_of: ReadsOf) -> None:
    """Only a utilization of exactly 0 is evidence of idleness."""
    stub.set({"gpu0.samples": 50, "gpu0.now_us": 100_000_000})
    reads = reads_of(stub)
    stub.set({"gpu0.sample": 3, "gpu0.busy_samples": 1, "gpu0.now_us": 105_000_000})
    assert reads.sample()["util_gpu_pct"] == 1


def test_a_buffer_dry_at_idle_is_read_from_the_last_period_instead(stub: Stub, reads_of: ReadsOf) -> None:
    stub.set({"gpu0.samples": 50, "gpu0.now_us": 100_000_000, "gpu0.util": 90})
    reads = reads_of(stub)
    stub.set({"gpu0.util": 0})  # no sample newer than the last one read: NOT_FOUND
    assert reads.sample()["util_gpu_pct"] == 0


def test_a_hole_in_the_drivers_samples_is_not_counted_as_none_lost(stub: Stub, reads_of: ReadsOf) -> None:
    stub.set({"gpu0.samples": 20, "gpu0.now_us": 100_000_000})
    reads = reads_of(stub)
    stub.set({"gpu0.now_us": 105_000_000})
    assert reads.sample()["samples_lost"] is None


@pytest.mark.parametrize("code", [3, 13])
def test_what_a_driver_never_says_is_null_for_ever_and_not_zero(stub: Stub, reads_of: ReadsOf, code: int) -> None:
    """B19: a reading that is not supported must never look like an idle GPU."""
    functions = ("UtilizationRates", "Samples", "MemoryInfo_v2", "PowerUsage", "TotalEnergyConsumption")
    refused = {f"rc.nvmlDeviceGet{name}": code for name in functions}
    stub.set({**BUSY, **refused})
    reads = reads_of(stub)
    first = reads.sample()
    stub.set(dict.fromkeys(refused))
    assert reads.sample() == {**first, "at_ms": first["at_ms"] + 5000}  # not asked again
    readings = ("util_gpu_pct", "util_memory_pct", "memory_used_bytes", "power_milliwatts", "energy_millijoules")
    assert {first[name] for name in readings} == {None}


def test_a_reading_that_is_not_there_this_time_is_null_this_time(stub: Stub, reads_of: ReadsOf) -> None:
    stub.set({**BUSY, "rc.nvmlDeviceGetPowerUsage": 6})
    reads = reads_of(stub)
    assert reads.sample()["power_milliwatts"] is None
    stub.set({"rc.nvmlDeviceGetPowerUsage": None})
    assert reads.sample()["power_milliwatts"] == 70_000


def test_an_old_driver_names_its_clock_reasons_otherwise(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, reads_of: ReadsOf
) -> None:
    old = Stub(tmp_path, compiled(tmp_path_factory.mktemp("old"), "-DOLD_DRIVER"))
    assert reads_of(old).sample()["clocks_event_reasons"] == 0x1001


@pytest.mark.parametrize(("code", "health"), [(15, "gpu_is_lost"), (16, "reset_required"), (999, "unknown_error")])
def test_a_gpu_that_fails_is_recorded_so_while_the_others_go_on(
    stub: Stub, reads_of: ReadsOf, code: int, health: str
) -> None:
    stub.set({"count": 2, "gpu1.util": 55})
    reads = reads_of(stub)
    reads.read()
    stub.set({"gpu0.rc": code})
    lost, other = reads.read()
    assert (lost["gpu_uuid"], lost["health"], lost["interval_ms"]) == (UUIDS[0], health, 5000)
    assert {lost[name] for name in ("util_gpu_pct", "memory_used_bytes", "compute_process_count")} == {None}
    assert (other["health"], other["util_gpu_pct"]) == ("ok", 55)
    stub.set({"gpu0.rc": None})
    assert [sample["health"] for sample in reads.read()] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("code", "fix"),
    [(18, "Reload the kernel module"), (9, "modprobe nvidia"), (1, "started again"), (12, "LD_LIBRARY_PATH")],
)
def test_a_driver_that_cannot_be_asked_says_what_to_do(stub: Stub, reads_of: ReadsOf, code: int, fix: str) -> None:
    reads = reads_of(stub)
    stub.set({"rc.nvmlDeviceGetUtilizationRates": code})
    said = reads.answer()
    assert fix in said
    assert f"NVML error {code}" in said


def test_a_host_without_a_driver_says_so(stub: Stub, reads_of: ReadsOf, tmp_path: Path) -> None:
    assert "libnvidia-ml.so.1 is not found" in reads_of(Stub(tmp_path, tmp_path / "nowhere")).said
    stub.set({"rc.nvmlInitWithFlags": 9})
    assert "modprobe nvidia" in reads_of(stub).said


def test_under_mig_activity_is_unknown_and_never_idle(stub: Stub, reads_of: ReadsOf) -> None:
    """B19: some drivers answer 0 for the whole GPU, and processes beside an unknown activity would read as idle."""
    stub.set({**BUSY, "gpu0.util": 0, "gpu0.mig": 1})
    reads = reads_of(stub)
    gpu, sample = reads.read()
    assert gpu["mig_mode"] == "enabled"
    assert {sample[name] for name in ("util_gpu_pct", "util_memory_pct", "compute_process_count")} == {None}
    assert (sample["memory_used_bytes"], sample["energy_millijoules"]) == (8_000_000_000, 5_000)
    stub.set({"gpu0.mig": 0})
    later = [reads.sample(after_ms=15_000)["util_gpu_pct"] for _ in range(4)]  # the layout is looked at once a minute
    assert later == [None, None, None, 0]


def test_processes_beside_an_unknown_activity_prove_nothing(stub: Stub, reads_of: ReadsOf) -> None:
    stub.set({**BUSY, "rc.nvmlDeviceGetUtilizationRates": 3, "rc.nvmlDeviceGetSamples": 3})
    assert reads_of(stub).sample()["compute_process_count"] is None


def test_no_process_beside_gigabytes_in_use_is_another_namespace_and_not_an_empty_gpu(
    stub: Stub, reads_of: ReadsOf
) -> None:
    stub.set({"gpu0.memory": 70_000_000_000, "gpu0.processes": 0})
    reads = reads_of(stub)
    assert reads.sample()["compute_process_count"] is None
    stub.set({"gpu0.memory": 0})
    assert reads.sample()["compute_process_count"] == 0


def test_processes_are_counted_once_a_minute(stub: Stub, reads_of: ReadsOf) -> None:
    """The call takes milliseconds and holds the driver's lock."""
    stub.set(BUSY)
    reads = reads_of(stub)
    counts = [reads.sample()["compute_process_count"]]
    stub.set({"gpu0.processes": 3})
    counts += [reads.sample()["compute_process_count"] for _ in range(12)]
    assert counts == [1] * 12 + [3]


def test_a_description_is_written_again_only_when_it_changed(stub: Stub, reads_of: ReadsOf) -> None:
    reads = reads_of(stub)
    assert [reading["record"] for reading in reads.read()] == ["gpu", "sample"]
    assert [reading["record"] for reading in reads.read()] == ["sample"]
    stub.set({"driver_version": "620.10"})
    later = [reads.read(after_ms=15_000) for _ in range(4)]
    assert [[reading["record"] for reading in found] for found in later] == [["sample"]] * 3 + [["gpu", "sample"]]


def test_a_container_that_lost_its_devices_records_each_gpu_as_it_answers(stub: Stub, reads_of: ReadsOf) -> None:
    reads = reads_of(stub)
    reads.read()
    stub.set({"gpu0.rc": 999, "rc.nvmlSystemGetDriverVersion": 999})
    assert [reads.sample(after_ms=15_000)["health"] for _ in range(4)] == ["unknown_error"] * 4
    stub.set({"gpu0.rc": None})
    assert [reading["record"] for reading in reads.read()] == ["sample"]  # and its driver version is what it was


def test_a_pause_of_the_sampler_is_a_gap_and_no_long_sample(stub: Stub, reads_of: ReadsOf) -> None:
    reads = reads_of(stub)
    gap, _, sample = reads.read(after_ms=600_000)
    assert (gap["record"], gap["interval_ms"], gap["reason"]) == ("gap", 595_000, "the sampler did not run")
    assert sample["interval_ms"] == 5000
    assert gap["at_ms"] == sample["at_ms"] - 5000


def test_a_package_that_hides_nvidia_ml_py_is_refused_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "pynvml").mkdir()
    (tmp_path / "pynvml" / "__init__.py").write_text("class NVMLError(Exception): ...\n")
    code = "import sys; sys.path.insert(0, sys.argv[1]); from pipeline.telemetry.sampler import load_nvml; load_nvml()"
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "pip uninstall -y pynvml && pip install --force-reinstall nvidia-ml-py" in ran.stderr


def test_a_clock_that_is_set_moves_time_once_and_intervals_neither_overlap_nor_leave_holes() -> None:
    walls = iter([1_000_000, 1_005_003, 1_010_001, 1_905_000, 1_910_000])
    monos = iter([0, 5_000, 10_000, 15_000, 20_000])
    now = steady_clock(lambda: next(walls), lambda: next(monos))
    assert [now() for _ in range(4)] == [
        Instant(1_005_000, 5_000),
        Instant(1_010_000, 10_000),
        Instant(1_905_000, 15_000),
        Instant(1_910_000, 20_000),
    ]
