"""What of a GPU changes seldom: its slices, its condition, the processes on it."""

from __future__ import annotations

from pipeline.telemetry import mig
from pipeline.telemetry.device import Calls, Device, maybe_text, whole
from pipeline.telemetry.gpm import Brackets, Slice
from pipeline.telemetry.nvml import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# A driver that holds so much memory for nobody is not known: a count of 0 beside it is of another PID namespace.
HELD_BYTES = 2 * 1024**3
# More than any GPU has: what a driver prints that does not know.
_MOST_MEMORY_BYTES = 2**50


def read_slowly(calls: Calls, device: Device) -> None:
    """All of it, as the device holds it. GpuError where the GPU is not well."""
    read_mig(calls, device)
    _read_condition(calls, device)
    _read_processes(calls, device)


def read_mig(calls: Calls, device: Device) -> None:
    mode = calls.ask(device, "nvmlDeviceGetMigMode", device.handle)
    is_mig = device.is_mig if mode is None else mode[0] == 1
    if device.is_mig is not None and is_mig != device.is_mig:
        device.refused.clear()  # the GPU was repartitioned: what it refuses is asked again
        device.brackets = Brackets()
    device.is_mig = is_mig
    device.slices = _mig_slices(calls, device) if is_mig else None


def _mig_slices(calls: Calls, device: Device) -> tuple[Slice, ...] | None:
    """The slices of a GPU in MIG, as its driver lists them; null where it does not tell one of them whole."""
    most = calls.ask(device, "nvmlDeviceGetMaxMigDeviceCount", device.handle)
    listing = "nvmlDeviceGetMigDeviceHandleByIndex"
    slices: list[Slice] = []
    device.instance_memory_bytes = {}
    for place in range(most or 0):
        handle = calls.ask(device, listing, device.handle, place)
        if handle is None:
            continue  # no slice has this number
        uuid = calls.ask(device, "nvmlDeviceGetUUID", handle)
        number = calls.ask(device, "nvmlDeviceGetGpuInstanceId", handle)
        found = calls.ask(device, "nvmlDeviceGetAttributes_v2", handle)
        if uuid is None or number is None or found is None:
            return None
        memory = calls.ask(device, "nvmlDeviceGetMemoryInfo", handle, calls.nvml.nvmlMemory_v2, of="a slice")
        device.instance_memory_bytes[int(number)] = None if memory is None else int(memory.used)
        slices.append(
            Slice(
                uuid=text(uuid),
                gpu_instance_id=int(number),
                slice_count=int(found.gpuInstanceSliceCount),
                of_slice_count=int(most),
                multiprocessor_count=int(found.multiprocessorCount),
                memory_bytes=int(found.memorySizeMB) * 1024**2,
            )
        )
    return None if most is None or listing in device.refused else tuple(slices)


def _read_processes(calls: Calls, device: Device) -> None:
    """Which processes hold it, with their memory; of a GPU in MIG after its slices."""
    # Not by its unversioned name, which raises an exception of another family on a driver before 510.
    processes = calls.ask(device, "nvmlDeviceGetComputeRunningProcesses_v3", device.handle)
    if processes is None and "nvmlDeviceGetComputeRunningProcesses_v3" in device.refused:
        processes = calls.ask(device, "nvmlDeviceGetComputeRunningProcesses_v2", device.handle)
    device.instances_of_pids = mig.instances_of_pids(processes or ()) if device.is_mig else {}
    device.held_instances = None
    if device.slices is not None:
        memory_bytes = device.instance_memory_bytes
        device.held_instances = mig.held_instances(processes, memory_bytes, held_bytes=HELD_BYTES)
    if processes is None:
        device.pids = None
        return
    held: dict[int, int | None] = {}
    for process in processes:  # under MIG one may be there once for each of its slices
        pid, memory = int(process.pid), _memory_of(process)
        before = held.get(pid, 0)
        held[pid] = None if memory is None or before is None else before + memory
    device.pids = tuple(sorted(held.items()))


def _read_condition(calls: Calls, device: Device) -> None:
    """Firmware, memory errors and rows taken out of use. What is not told this time stays as it was told last."""
    nvml = calls.nvml
    uncorrected = (nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_AGGREGATE_ECC)
    vbios = maybe_text(calls.ask(device, "nvmlDeviceGetVbiosVersion", device.handle))
    errors = whole(calls.ask(device, "nvmlDeviceGetTotalEccErrors", device.handle, *uncorrected))
    rows = calls.ask(device, "nvmlDeviceGetRemappedRows", device.handle)
    told = {"vbios_version": vbios, "ecc_uncorrected_count": errors}
    if rows is not None:
        told["remapped_rows_count"] = int(rows[0]) + int(rows[1])
        told["row_remapping"] = "failed" if rows[3] else "pending" if rows[2] else "done" if any(rows[:2]) else "none"
    device.condition.update({name: value for name, value in told.items() if value is not None})


def _memory_of(process: Any) -> int | None:
    """Bytes that a process holds; null where the driver does not say, as to a container that is not its own."""
    held = process.usedGpuMemory
    return None if held is None or not 0 <= held <= _MOST_MEMORY_BYTES else int(held)
