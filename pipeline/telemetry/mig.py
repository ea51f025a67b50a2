"""Which slices of a GPU in MIG something is on: what its driver says of processes and memory, by GPU instance.

Of a GPU in MIG the driver lists the processes of all instances to who may see them, each with its instance: nvml.h,
nvmlDeviceGetComputeRunningProcesses_v3 and nvmlProcessInfo_t.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pipeline.formats.spool import WHOLE_PPM, MigSlice, mig_part_ppm
from pipeline.telemetry.gpm import Slice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def held_instances(
    processes: Iterable[Any] | None, memory_bytes: Mapping[int, int | None], *, held_bytes: int
) -> frozenset[int] | None:
    """GPU instances that a compute process is on, or more than `held_bytes` in use by one that is not seen from here.

    Null where the driver does not say of a process on which one it is, or of one without any what memory is in use.
    `memory_bytes`: of each instance that there is, null where that is not told.
    """
    if processes is None:
        return None
    found = {int(process.gpuInstanceId) for process in processes}
    for instance, used_bytes in memory_bytes.items():
        if used_bytes is not None and used_bytes > held_bytes:
            found.add(instance)
        elif used_bytes is None and instance not in found:
            return None
    return frozenset(found) if found <= set(memory_bytes) else None


def held_ppm(slices: Sequence[Slice], instances: Iterable[int]) -> int:
    """The part of their GPU that the slices on these instances are."""
    held = set(instances)
    parts = {one.gpu_instance_id: mig_part_ppm(one.slice_count, one.of_slice_count) for one in slices}
    return min(sum(part for instance, part in parts.items() if instance in held), WHOLE_PPM)


def instances_of_pids(processes: Iterable[Any]) -> dict[int, tuple[int, ...]]:
    found: dict[int, set[int]] = {}
    for process in processes:
        found.setdefault(int(process.pid), set()).add(int(process.gpuInstanceId))
    return {pid: tuple(sorted(instances)) for pid, instances in found.items()}


def slice_record(gpu_uuid: str, found: Slice) -> MigSlice:
    return MigSlice(
        gpu_uuid=gpu_uuid,
        slice_uuid=found.uuid,
        gpu_instance_id=found.gpu_instance_id,
        slice_count=found.slice_count,
        of_slice_count=found.of_slice_count,
        multiprocessor_count=found.multiprocessor_count,
        memory_bytes=found.memory_bytes,
    )
