"""What the sampler reads off a driver, through the real ctypes path: the library is a stub that the tests compile."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.telemetry.clock import Instant, steady_clock
from pipeline.telemetry.gpm import Activity, Slice, weighted
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
        "mig_slice_count": None,
        "vbios_version": "96.00.74.00.01",
        "ecc_uncorrected_count": None,
        "remapped_rows_count": None,
        "row_remapping": None,
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
        "tensor_active_ppm": None,
        "dram_active_ppm": None,
        "clocks_event_reasons": 4,
        "compute_process_count": 1,
        "mig_held_ppm": None,
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
    code = "import sys; sys.path.insert(0, sys.argv[1]); from pipeline.telemetry.nvml import load_nvml; load_nvml()"
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


# --- GPM, MIG, what a GPU reports -------------------------------------------------------------------------------------


def worked(prefix: str, *, ms: int, sm: int = 0, tensor: int = 0, dram: int = 0) -> dict[str, object]:
    """The counters of a GPU (`gpu0`) or an instance (`gpu0.gi3`) that has worked so many of `ms`."""
    return {
        f"{prefix}.gpm_ms": ms,
        f"{prefix}.gpm_sm": sm,
        f"{prefix}.gpm_tensor": tensor,
        f"{prefix}.gpm_dram": dram,
    }


def activity(sample: dict[str, Any]) -> tuple[int | None, ...]:
    return tuple(sample[f"{name}_active_ppm"] for name in ("sm", "tensor", "dram"))


def test_gpm_is_the_mean_of_each_whole_interval(stub: Stub, reads_of: ReadsOf) -> None:
    """What was before the first interval is in none, and what is in one is not in the next."""
    stub.set({"gpu0.gpm": 1, **worked("gpu0", ms=1_000, sm=900)})
    reads = reads_of(stub)
    stub.set(worked("gpu0", ms=6_000, sm=2_150, tensor=500, dram=1))
    assert activity(reads.sample()) == (250_000, 100_000, 200)
    stub.set(worked("gpu0", ms=11_000, sm=2_150, tensor=500, dram=5_001))
    assert activity(reads.sample()) == (0, 0, 1_000_000)


def test_the_least_activity_is_not_rounded_to_none(stub: Stub, reads_of: ReadsOf) -> None:
    stub.set({"gpu0.gpm": 1, **worked("gpu0", ms=1)})
    reads = reads_of(stub)
    stub.set(worked("gpu0", ms=100_000_001, sm=1))
    assert reads.sample()["sm_active_ppm"] == 1


def test_the_drivers_buffer_is_left_alone_where_gpm_tells_of_the_whole_interval(stub: Stub, reads_of: ReadsOf) -> None:
    """Reading it costs 3 ms of CPU on an H200, eight GPUs of it half of what an agent may take."""
    full = {"gpu0.samples": 50, "gpu0.sample": 80, "gpu0.busy_samples": 25, "gpu0.util": 7}
    stub.set({"gpu0.gpm": 1, "gpu0.now_us": 100_000_000, **full, **worked("gpu0", ms=1_000)})
    reads = reads_of(stub)
    stub.set({"gpu0.now_us": 105_000_000, **worked("gpu0", ms=6_000, sm=1_250)})
    sample = reads.sample()
    assert (sample["util_gpu_pct"], sample["sm_active_ppm"], sample["samples_lost"]) == (7, 250_000, None)
    stub.set({"gpu0.now_us": 110_000_000, "rc.nvmlGpmSampleGet": 13, **worked("gpu0", ms=11_000)})
    assert reads.sample()["util_gpu_pct"] == 7  # refused now, so that the buffer is read again from here on
    stub.set({"gpu0.now_us": 115_000_000})
    assert reads.sample()["util_gpu_pct"] == 7  # what it held until now is of no interval of this sample
    stub.set({"gpu0.now_us": 120_000_000})
    assert (reads.sample()["util_gpu_pct"], reads.sample()["sm_active_ppm"]) == (40, None)


def test_a_gpm_that_answers_without_a_figure_is_no_reason_to_leave_the_buffer(stub: Stub, reads_of: ReadsOf) -> None:
    """More than all of an interval is no figure. The driver's last period alone would vouch for ten seconds."""
    full = {"gpu0.samples": 50, "gpu0.sample": 80, "gpu0.busy_samples": 25, "gpu0.util": 0}
    stub.set({"gpu0.gpm": 1, "gpu0.now_us": 100_000_000, **full, **worked("gpu0", ms=1_000)})
    reads = reads_of(stub)
    samples = []
    for number in range(1, 4):
        absurd = worked("gpu0", ms=1_000 + 5_000 * number, sm=20_000 * number)
        stub.set({"gpu0.now_us": 100_000_000 + 5_000_000 * number, **absurd})
        samples.append(reads.sample())
    assert {sample["sm_active_ppm"] for sample in samples} == {None}
    assert samples[-1]["util_gpu_pct"] == 40


def test_the_energy_counter_is_read_once_a_minute(stub: Stub, reads_of: ReadsOf) -> None:
    """It loses nothing meanwhile, and a call takes 4 ms of CPU on an H200."""
    stub.set({"gpu0.energy": 5_000, "gpu0.power": 412_000})
    reads = reads_of(stub)
    samples = [reads.sample(after_ms=15_000) for _ in range(6)]
    assert [sample["energy_millijoules"] for sample in samples] == [5_000, None, None, None, 5_000, None]
    assert {sample["power_milliwatts"] for sample in samples} == {412_000}


@pytest.mark.parametrize(
    "refused",
    [{"gpu0.gpm": 0}, {"rc.nvmlGpmSampleGet": 3}, {"rc.nvmlGpmSampleAlloc": 13}, {"rc.nvmlGpmMetricsGet": 13}],
)
def test_without_gpm_activity_is_null_for_ever_and_the_rest_is_read(
    stub: Stub, reads_of: ReadsOf, refused: dict[str, object]
) -> None:
    stub.set({**BUSY, "gpu0.gpm": 1, **refused, **worked("gpu0", ms=1_000)})
    reads = reads_of(stub)
    found = []
    for step in (2_000, 3_000):
        stub.set({**worked("gpu0", ms=step, sm=step), **({} if step == 2_000 else dict.fromkeys(refused, None))})
        found.append(reads.sample())
    assert [activity(sample) for sample in found] == [(None, None, None)] * 2
    assert [sample["util_gpu_pct"] for sample in found] == [37, 37]


def test_a_driver_that_once_does_not_say_whether_there_is_gpm_is_asked_again(stub: Stub, reads_of: ReadsOf) -> None:
    stub.set({"gpu0.gpm": 1, "rc.nvmlGpmQueryDeviceSupport": 10, **worked("gpu0", ms=1_000)})
    reads = reads_of(stub)
    assert activity(reads.sample()) == (None, None, None)
    stub.set({"rc.nvmlGpmQueryDeviceSupport": None})
    reads.sample()
    stub.set(worked("gpu0", ms=6_000, sm=1_250))
    assert reads.sample()["sm_active_ppm"] == 250_000


def test_an_interval_in_which_the_gpu_was_lost_or_the_sampler_paused_has_no_mean(stub: Stub, reads_of: ReadsOf) -> None:
    """A mean over more than the sample's own interval would be of a time that the sample does not speak for."""
    stub.set({"gpu0.gpm": 1, **worked("gpu0", ms=1_000)})
    reads = reads_of(stub)
    stub.set({"gpu0.rc": 15})
    assert reads.sample()["health"] == "gpu_is_lost"
    stub.set({"gpu0.rc": None, **worked("gpu0", ms=11_000, sm=5_000)})
    assert activity(reads.sample()) == (None, None, None)
    stub.set(worked("gpu0", ms=711_000, sm=600_000))
    assert activity(reads.sample(after_ms=700_000)) == (None, None, None)
    stub.set(worked("gpu0", ms=716_000, sm=601_000))
    assert reads.sample()["sm_active_ppm"] == 200_000


SLICES = {"gpu0.gpm": 1, "gpu0.mig": 1, "gpu0.slice0": "3 4 64 40320", "gpu0.slice2": "5 2 32 20096"}


def test_a_mig_layout_is_recorded_with_each_slices_part_and_again_when_it_changes(
    stub: Stub, reads_of: ReadsOf
) -> None:
    stub.set(SLICES)
    reads = reads_of(stub)
    gpu, *slices, sample = reads.read()
    assert (gpu["mig_mode"], gpu["mig_slice_count"], sample["record"]) == ("enabled", 2, "sample")
    assert [{name: one[name] for name in one if name != "at_ms"} for one in slices] == [
        {
            "record": "mig_slice",
            "gpu_uuid": UUIDS[0],
            "slice_uuid": f"MIG-00000000-0000-0000-{place:04d}-000000000000",
            "gpu_instance_id": number,
            "slice_count": count,
            "of_slice_count": 7,
            "multiprocessor_count": 16 * count,
            "memory_bytes": memory * 1024**2,
        }
        for place, number, count, memory in ((0, 3, 4, 40_320), (2, 5, 2, 20_096))
    ]
    assert [reading["record"] for reading in reads.read()] == ["sample"]
    stub.set({"gpu0.slice0": None})
    later = [reading for _ in range(4) for reading in reads.read(after_ms=15_000)]
    assert [reading["record"] for reading in later if reading["record"] != "sample"] == ["gpu", "mig_slice"]
    assert next(reading for reading in later if reading["record"] == "gpu")["mig_slice_count"] == 1


def test_a_gpu_that_is_described_anew_still_has_its_slices(stub: Stub, reads_of: ReadsOf) -> None:
    """Whoever reads them takes the slices after a GPU for all that it has now: see `Holdings.learn`."""
    stub.set({**SLICES, "gpu0.ecc": 0})
    reads = reads_of(stub)
    before = reads.read()
    stub.set({"gpu0.ecc": 7})
    later = reads.read(after_ms=60_000)
    assert [reading["record"] for reading in later if reading["record"] != "gap"] == [
        reading["record"] for reading in before
    ]
    assert [one["slice_uuid"] for one in later if one["record"] == "mig_slice"] == [
        one["slice_uuid"] for one in before if one["record"] == "mig_slice"
    ]


def test_a_slice_that_is_made_anew_under_the_same_number_has_no_mean_with_the_one_before(
    stub: Stub, reads_of: ReadsOf
) -> None:
    only = {"gpu0.slice0": None, "gpu0.slice2": "5 2 32 20096"}
    stub.set({**SLICES, **only, **worked("gpu0.gi5", ms=1_000)})
    reads = reads_of(stub)
    stub.set({"gpu0.slice0": "3 4 64 40320", "gpu0.slice2": None})
    for _ in range(4):
        reads.read(after_ms=15_000)  # the layout is looked at once a minute
    stub.set({**only, **worked("gpu0.gi5", ms=2_000, sm=500)})
    later = [reads.sample(after_ms=15_000)["sm_active_ppm"] for _ in range(4)]
    assert later == [None] * 4
    stub.set(worked("gpu0.gi5", ms=3_000, sm=1_500))
    assert reads.sample()["sm_active_ppm"] == -(-1_000_000 * 2 // 7)


def test_activity_under_mig_is_that_of_the_slices_by_their_size(stub: Stub, reads_of: ReadsOf) -> None:
    stub.set({**SLICES, **worked("gpu0.gi3", ms=1_000), **worked("gpu0.gi5", ms=1_000)})
    reads = reads_of(stub)
    stub.set({**worked("gpu0.gi3", ms=2_000, sm=500), **worked("gpu0.gi5", ms=2_000, sm=1_000)})
    assert reads.sample()["sm_active_ppm"] == -(-(500_000 * 4 + 1_000_000 * 2) // 7)


@pytest.mark.parametrize(
    "unknown",
    [
        {"rc.nvmlGpmMigSampleGet": 3},  # an A100, or a driver that does not let this user
        {"rc.nvmlDeviceGetAttributes_v2": 13},
        {"rc.nvmlDeviceGetMigDeviceHandleByIndex": 4},
        {"gpu0.gpm": 0},
        {"gpu0.slice0": None, "gpu0.slice2": None},
    ],
)
def test_where_one_slices_activity_is_not_known_the_gpus_is_unknown_and_never_idle(
    stub: Stub, reads_of: ReadsOf, unknown: dict[str, object]
) -> None:
    """B19: some drivers say 0 of a GPU in MIG."""
    counters = ("gpu0", "gpu0.gi3", "gpu0.gi5")
    stub.set({**SLICES, **{name: one for of in counters for name, one in worked(of, ms=1_000).items()}, **unknown})
    reads = reads_of(stub)
    stub.set({name: one for of in counters for name, one in worked(of, ms=2_000).items()})
    sample = reads.sample()
    assert (*activity(sample), sample["util_gpu_pct"], sample["compute_process_count"]) == (None,) * 5


ON = {"gpu0.gpm": 0, "gpu0.gi3.memory": 40_000_000, "gpu0.gi5.memory": 0}
FOUR_OF_SEVEN, TWO_OF_SEVEN = 571_428, 285_714


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, 0),
        ({"gpu0.processes": 1, "gpu0.process0.gi": 3}, FOUR_OF_SEVEN),
        ({"gpu0.processes": 1, "gpu0.process0.gi": 5}, TWO_OF_SEVEN),
        ({"gpu0.processes": 3, **{f"gpu0.process{at}.gi": gi for at, gi in enumerate((3, 3, 5))}}, 857_142),
        # Of another PID namespace: nobody is seen on it, and its memory is in use.
        ({"gpu0.processes": 1, "gpu0.process0.gi": 5, "gpu0.gi3.memory": 20_000_000_000}, 857_142),
        # It is not told on which one, or on one that is not there.
        ({"gpu0.processes": 1}, None),
        ({"gpu0.processes": 2, "gpu0.process0.gi": 3, "gpu0.process1.gi": 4}, None),
        # Nobody sees the other processes, nor what memory their slices use.
        ({"gpu0.processes": 1, "gpu0.process0.gi": 5, "gpu0.rc.slice_memory": 3}, None),
        ({"gpu0.processes": 2, "gpu0.process0.gi": 5, "gpu0.process1.gi": 3, "gpu0.rc.slice_memory": 3}, 857_142),
        ({"rc.nvmlDeviceGetComputeRunningProcesses_v3": 4, "rc.nvmlDeviceGetComputeRunningProcesses_v2": 4}, None),
        ({"rc.nvmlDeviceGetAttributes_v2": 13}, None),
        ({"gpu0.mig": 0, "gpu0.processes": 1}, None),
    ],
)
def test_a_gpu_in_mig_is_held_as_far_as_its_slices_are_that_something_is_on(
    stub: Stub, reads_of: ReadsOf, told: dict[str, object], expected: int | None
) -> None:
    stub.set({**SLICES, **ON, "gpu0.memory": 45_000_000_000, **told})
    sample = reads_of(stub).sample()
    assert sample["mig_held_ppm"] == expected
    assert sample["memory_used_bytes"] == 45_000_000_000  # a call that a slice refuses is not refused of its GPU


def test_a_slice_that_works_is_held_before_its_processes_are_counted_again(stub: Stub, reads_of: ReadsOf) -> None:
    stub.set({**SLICES, **worked("gpu0.gi3", ms=1_000), **worked("gpu0.gi5", ms=1_000)})
    reads = reads_of(stub)
    stub.set({**worked("gpu0.gi3", ms=2_000), **worked("gpu0.gi5", ms=2_000, sm=500)})
    assert reads.sample()["mig_held_ppm"] == TWO_OF_SEVEN
    stub.set({**worked("gpu0.gi3", ms=3_000), **worked("gpu0.gi5", ms=3_000, sm=500)})
    assert reads.sample()["mig_held_ppm"] == 0
    stub.set({"gpu0.rc": 15})
    assert reads.sample()["mig_held_ppm"] is None
    stub.set({"gpu0.rc": None})
    assert reads.sample()["mig_held_ppm"] is None  # until they are counted again


def test_memory_errors_and_rows_out_of_use_are_told_when_they_change(stub: Stub, reads_of: ReadsOf) -> None:
    stub.set({"gpu0.ecc": 0, "gpu0.rows": 0})
    reads = reads_of(stub)
    told = ("ecc_uncorrected_count", "remapped_rows_count", "row_remapping")
    gpus = [reads.read()[0]]
    stub.set({"gpu0.ecc": 2, "gpu0.rows": 1, "gpu0.rows_pending": 1})
    gpus += [reading for _ in range(4) for reading in reads.read(after_ms=15_000) if reading["record"] == "gpu"]
    stub.set({"rc.nvmlDeviceGetRemappedRows": 6, "gpu0.rows_failed": 1})  # not there this time
    gpus += [reading for _ in range(4) for reading in reads.read(after_ms=15_000) if reading["record"] == "gpu"]
    assert [tuple(gpu[name] for name in told) for gpu in gpus] == [(0, 0, "none"), (2, 1, "pending")]


def test_an_xid_error_is_recorded_once_and_none_of_before_the_agent(stub: Stub, reads_of: ReadsOf) -> None:
    stub.set({"count": 2, "xid": "7 0 13"})
    reads = reads_of(stub)
    reads.read()
    assert [reading["record"] for reading in reads.read()] == ["sample", "sample"]
    stub.set({"xid": "8 1 79", "gpu1.rc": 15})  # it fell off its bus, and answers nothing any more
    event, *others = reads.read()
    assert {name: event[name] for name in ("record", "gpu_uuid", "kind", "code", "reason")} == {
        "record": "event",
        "gpu_uuid": UUIDS[1],
        "kind": "xid",
        "code": 79,
        "reason": "XID 79",
    }
    assert [reading["record"] for reading in (*others, *reads.read())] == ["sample"] * 4


def test_a_driver_without_events_is_sampled_without_them(stub: Stub, reads_of: ReadsOf) -> None:
    stub.set({"rc.nvmlEventSetCreate": 3, **BUSY})
    assert reads_of(stub).sample()["util_gpu_pct"] == 37


parts = st.lists(st.integers(1, 4), min_size=1, max_size=7).filter(lambda counts: sum(counts) <= 7)


@given(st.data(), parts)
def test_the_activity_of_a_gpu_in_mig_is_within_what_its_slices_can_do(data: st.DataObject, counts: list[int]) -> None:
    """Never above the part of the GPU that is sliced, never 0 while a slice worked, unknown with any unknown one."""
    slices = [Slice(f"MIG-{number}", number, count, 7, 16 * count, 1) for number, count in enumerate(counts)]
    told = [data.draw(st.none() | st.integers(0, 1_000_000)) for _ in slices]
    found = weighted(list(zip(slices, map(Activity, told), strict=True))).sm_ppm
    if None in told:
        assert found is None
        return
    known = [activity or 0 for activity in told]
    assert found is not None
    assert found <= -(-1_000_000 * sum(counts) // 7)
    assert (found == 0) == (not any(known))
    assert abs(found - sum(count * part for count, part in zip(counts, known, strict=True)) / 7) < 1


def test_a_pynvml_that_looks_for_a_library_finds_it_although_the_search_is_not_imported_before() -> None:
    code = (
        "import sys\n"
        "from pipeline.telemetry.nvml import load_nvml\n"
        "nvml = load_nvml()\n"
        "print('ctypes.util' in sys.modules, nvml.find_library('c'), 'ctypes.util' in sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, found, after = ran.stdout.split()
    assert (before, found.startswith("libc"), after) == ("False", True, "True")
