"""Which GPUs an engine runs on: as declared, as the kubelet says, where its processes compute; else unknown."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.formats.spool import Gpu, MigSlice, Record
from pipeline.telemetry.clock import Instant
from pipeline.telemetry.holding import Holding, Holdings
from pipeline.telemetry.podresources import PodGpus

URL = "http://127.0.0.1:8000/metrics"


def gpu(number: int) -> Gpu:
    return Gpu(gpu_uuid=f"GPU-{number}", gpu_index=number)


def mig_slice(uuid: str, *, of: int, instance: int, count: int) -> MigSlice:
    return MigSlice(
        gpu_uuid=f"GPU-{of}",
        slice_uuid=uuid,
        gpu_instance_id=instance,
        slice_count=count,
        of_slice_count=7,
        multiprocessor_count=16 * count,
        memory_bytes=1,
    )


def holdings(
    records: Iterable[Record] = (),
    *,
    declared: Mapping[str, Sequence[str]] | None = None,
    pods: Sequence[PodGpus] | None = None,
    proc: Path = Path("/nowhere"),
) -> Holdings:
    found = Holdings(
        declared=declared or {},
        pods=None if pods is None else lambda: pods,
        clock=lambda: Instant(0, 1_000_000),
        proc=proc,
    )
    for record in records:
        found.learn(record)
    return found


def test_declared_gpus_are_named_by_uuid_or_by_their_index_on_this_host() -> None:
    found = holdings([gpu(0), gpu(1)], declared={"chat-0": ["1", "GPU-9"]}).of("chat-0", URL)
    assert found == Holding(("GPU-1", "GPU-9"), (1_000_000, 1_000_000), "declared")
    assert holdings(declared={"chat-0": ["1"]}).of("chat-0", URL) is None  # not before the driver has listed it


def test_a_pod_is_known_by_its_name_and_with_its_namespace() -> None:
    pods = [
        PodGpus("llm", "chat-0", ("GPU-2", "GPU-1")),
        PodGpus("a", "twin", ("GPU-3",)),
        PodGpus("b", "twin", ("GPU-4",)),
    ]
    known = holdings(pods=pods)
    expected = Holding(("GPU-1", "GPU-2"), (1_000_000, 1_000_000), "pod_resources")
    assert known.of("chat-0", URL) == known.of("llm/chat-0", URL) == expected
    assert known.of("twin", URL) is None  # of two pods of a name it is not known which
    assert known.of("b/twin", URL) == Holding(("GPU-4",), (1_000_000,), "pod_resources")


def test_a_kubelet_that_does_not_answer_makes_gpus_unknown_and_not_none() -> None:
    def fails() -> Iterable[PodGpus]:
        raise OSError("no list of pods")

    known = Holdings(declared={}, pods=fails, clock=lambda: Instant(0, 0))
    assert known.of("chat-0", URL) is None


def test_a_slice_is_its_part_of_its_gpu_and_two_compute_instances_of_one_are_not_counted_twice() -> None:
    slices = [
        mig_slice("MIG-1", of=0, instance=3, count=3),
        mig_slice("MIG-2", of=0, instance=3, count=3),
        mig_slice("MIG-3", of=0, instance=5, count=2),
    ]
    pods = [PodGpus("llm", "both", ("MIG-1", "MIG-2")), PodGpus("llm", "two", ("MIG-1", "MIG-3", "GPU-1"))]
    known = holdings([gpu(0), *slices], pods=[*pods, PodGpus("llm", "gone", ("MIG-9",))])
    assert known.of("both", URL) == Holding(("GPU-0",), (428_571,), "pod_resources")
    assert known.of("two", URL) == Holding(("GPU-0", "GPU-1"), (428_571 + 285_714, 1_000_000), "pod_resources")
    assert known.of("gone", URL) is None
    known.learn(gpu(0))  # the layout is told anew, and the slices are gone
    assert known.of("both", URL) is None


@given(st.lists(st.integers(1, 7), min_size=1, max_size=7).filter(lambda counts: sum(counts) <= 7), st.data())
def test_pods_on_slices_of_one_gpu_never_hold_more_than_all_of_it(counts: list[int], data: st.DataObject) -> None:
    """However the slices are given to pods, and however often one is there."""
    slices = [mig_slice(f"MIG-{place}", of=0, instance=place, count=count) for place, count in enumerate(counts)]
    owners = [data.draw(st.integers(0, 2)) for _ in slices]
    pods = [
        PodGpus(
            "llm", f"pod-{owner}", tuple(one.slice_uuid for one, of in zip(slices, owners, strict=True) if of == owner)
        )
        for owner in range(3)
    ]
    known = holdings([gpu(0), *slices], pods=pods)
    held = [known.of(f"pod-{owner}", URL) for owner in range(3)]
    total = sum(one.shares_ppm[0] for one in held if one is not None)
    assert 1_000_000 * sum(counts) // 7 - len(counts) < total <= 1_000_000


def proc_of(folder: Path, processes: Mapping[int, int], *, listener: int, port: int) -> Path:
    """A /proc of processes (PID -> who started it), of which one listens."""
    (folder / "net").mkdir()
    (folder / "net" / "tcp").write_text(
        f"  sl  local_address rem_address   st\n   0: 00000000:{port:04X} 00000000:0000 0A 0:0 0:0 0 0 0 777 1\n"
        f"   1: 0100007F:1F41 00000000:0000 01 0:0 0:0 0 0 0 778 1\n"
    )
    for pid, parent in processes.items():
        (folder / str(pid) / "fd").mkdir(parents=True)
        (folder / str(pid) / "stat").write_text(f"{pid} (a (name) of it) S {parent} {pid} {pid} 0 -1\n")
    os.symlink("socket:[777]", folder / str(listener) / "fd" / "3")
    return folder


@pytest.mark.parametrize(
    ("pids", "expected", "memory"),
    [
        ({"GPU-0": {12: 7}, "GPU-1": {13: 5}}, ("GPU-0", "GPU-1"), (7, 5)),  # workers of the engine
        ({"GPU-0": {10: 3, 11: 4}, "GPU-1": {99: 9}}, ("GPU-0",), (7,)),  # itself, and a process of another
        ({"GPU-0": {10: 3, 11: None}}, ("GPU-0",), None),  # of a part nobody says the memory
        ({"GPU-0": {99: 1}}, None, None),
        ({"GPU-0": {4_242: 1}}, None, None),  # of another PID namespace
        ({}, None, None),
    ],
)
def test_an_engine_on_this_host_is_on_the_gpus_where_it_or_what_it_started_computes(
    tmp_path: Path,
    pids: Mapping[str, Mapping[int, int | None]],
    expected: tuple[str, ...] | None,
    memory: tuple[int, ...] | None,
) -> None:
    processes = {10: 1, 11: 10, 12: 11, 13: 10, 99: 1}
    known = holdings(proc=proc_of(tmp_path, processes, listener=10, port=8000))
    known.processes(pids, {})
    found = known.of("chat-0", URL)
    assert (found and found.gpu_uuids) == expected
    assert (found and found.method) == (expected and "compute_pids")
    assert (found and found.memory_bytes) == memory
    assert known.of("chat-0", "http://10.0.0.5:8000/metrics") is None  # another host's processes are not seen here
    assert known.of("chat-0", "http://127.0.0.1:8001/metrics") is None


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ({10: [3], 11: [3]}, 428_571),  # its workers are on the slice that it is on
        ({10: [3], 11: [5]}, 714_285),
        ({10: [3, 5], 11: [3]}, 714_285),
        ({10: [3]}, 1_000_000),  # of one of them nobody says on which
        ({10: [3], 11: [4]}, 1_000_000),  # nor on one that the layout has not
        ({}, 1_000_000),
    ],
)
def test_an_engine_on_slices_has_their_parts_where_the_driver_says_on_which_its_processes_are(
    tmp_path: Path, instances: Mapping[int, Sequence[int]], expected: int
) -> None:
    slices = [mig_slice("MIG-1", of=0, instance=3, count=3), mig_slice("MIG-2", of=0, instance=5, count=2)]
    known = holdings([gpu(0), *slices], proc=proc_of(tmp_path, {10: 1, 11: 10, 99: 1}, listener=10, port=8000))
    known.processes({"GPU-0": {10: 7, 11: 5, 99: 1}}, {"GPU-0": {**instances, 99: [5]}})
    assert known.of("chat-0", URL) == Holding(("GPU-0",), (expected,), "compute_pids", (12,))
