"""What each GPU of this host says through the driver's own library (NVML). The only import of pynvml.

A call that the driver does not know is asked once and is null for ever, never 0. A reading that is not there this time
is null this time. Meaning and units of each call: https://docs.nvidia.com/deploy/nvml-api/.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import ModuleType

from pipeline.errors import BreakevenError
from pipeline.formats.frozen import Frozen
from pipeline.formats.spool import Event, Gap, Gpu, MigSlice, Sample
from pipeline.telemetry import mig
from pipeline.telemetry.clock import Clock, Instant
from pipeline.telemetry.gpm import ALLOC, GET, METRICS, SUPPORT, Activity, Brackets, Gpm, Slice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# nvml.h, nvmlReturn_t.
_UNINITIALIZED, _NOT_SUPPORTED, _NO_PERMISSION, _DRIVER_NOT_LOADED = 1, 3, 4, 9
_LIBRARY_NOT_FOUND, _FUNCTION_NOT_FOUND, _GPU_IS_LOST, _RESET_REQUIRED = 12, 13, 15, 16
_LIB_RM_VERSION_MISMATCH, _UNKNOWN = 18, 999
_NEVER: Mapping[int, str] = {
    _NOT_SUPPORTED: "not supported",
    _NO_PERMISSION: "not permitted",
    _FUNCTION_NOT_FOUND: "unknown to this driver",
}
# What the GPU, not the call, answers; in the words of a sample's `health`.
_HEALTH: Mapping[int, str] = {
    _GPU_IS_LOST: "gpu_is_lost",
    _RESET_REQUIRED: "reset_required",
    _UNKNOWN: "unknown_error",
}
_DRIVER: Mapping[int, str] = {
    _UNINITIALIZED: "The driver's library lost its connection. The sampler is started again.",
    _DRIVER_NOT_LOADED: "The NVIDIA kernel driver is not loaded. Load it (`modprobe nvidia`), then see `nvidia-smi`.",
    _LIBRARY_NOT_FOUND: (
        "libnvidia-ml.so.1 is not found. Install the NVIDIA driver; in a container give it the driver capability "
        "`utility` (NVIDIA_DRIVER_CAPABILITIES), or put the library's folder into LD_LIBRARY_PATH."
    ),
    _LIB_RM_VERSION_MISMATCH: (
        "The driver was upgraded and its library and its kernel module are of two versions. Reload the kernel module "
        "or restart this host; in a container restart the container. The sampler is started anew until then."
    ),
}
# A driver that holds so much memory for nobody is not known: a count of 0 beside it is of another PID namespace.
_HELD_BYTES = 2 * 1024**3
# More than any GPU has: what a driver prints that does not know.
_MOST_MEMORY_BYTES = 2**50
_SLOW_MS = 60_000
# Events that are taken in one reading; a GPU that says more of them than this says nothing new.
_MOST_EVENTS = 64
# A tick this much later than its cadence was not one interval but a pause, of which the readings say nothing.
_LATE_TICKS = 3


class DriverError(BreakevenError):
    """The driver cannot be asked at all. The message says why and what to do."""

    exit_code = 3


class _GpuError(Exception):
    """The GPU answers that it is not well. The argument is the `health` of its samples."""


class Reading(Frozen):
    """A record, and the moment its interval ends."""

    record: Gpu | MigSlice | Sample | Gap | Event
    instant: Instant


class _Device:
    """One GPU as it was found, with what its driver has refused for ever (call -> why)."""

    def __init__(self, handle: Any, uuid: str, index: int) -> None:
        self.handle = handle
        self.uuid = uuid
        self.index = index
        self.pci_bus_id: str | None = None
        self.name: str | None = None
        self.is_mig: bool | None = None
        self.refused: dict[str, str] = {}
        self.last_sample_us: int | None = None  # null: what the driver's buffer holds is of no interval of ours
        self.is_told_by_gpm = True  # as far as anybody knows
        self.pids: tuple[tuple[int, int | None], ...] | None = None  # with the bytes that each holds
        self.described: Gpu | None = None
        self.slices: tuple[Slice, ...] | None = None  # of a GPU in MIG, where its layout is known
        self.told_slices: tuple[Slice, ...] | None = None
        self.instances_of_pids: dict[int, tuple[int, ...]] = {}  # of MIG: on which GPU instances each process is
        self.instance_memory_bytes: dict[int, int | None] = {}  # in use of each GPU instance of MIG
        self.held_instances: frozenset[int] | None = None  # of MIG, when they were last looked at
        self.brackets = Brackets()
        self.condition: dict[str, Any] = {}


def load_nvml() -> Any:
    """The module of nvidia-ml-py. DriverError where an older package of the same name hides it, or none is there."""
    try:
        with _lazy_find_library():
            import pynvml as nvml
    except ImportError:
        raise DriverError("The Python module pynvml is missing: pip install nvidia-ml-py") from None
    if hasattr(nvml, "__path__") or not hasattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons"):
        raise DriverError(
            f"{nvml.__file__} is an old package that hides the module of nvidia-ml-py. Remove it and put the module "
            "back: pip uninstall -y pynvml && pip install --force-reinstall nvidia-ml-py"
        )
    return nvml


@contextmanager
def _lazy_find_library() -> Iterator[None]:
    """Meanwhile who imports `ctypes.util` gets a function that imports it once it is called.

    pynvml imports it and calls nothing of it; it brings subprocess, tempfile and compression, 1.4 MB of a sampler.
    """
    name = "ctypes.util"
    if name in sys.modules:
        yield
        return
    stand_in = ModuleType(name)
    stand_in.find_library = _find_library  # type: ignore[attr-defined]
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        del sys.modules[name]


def _find_library(name: str) -> str | None:
    from ctypes.util import find_library

    return find_library(name)


def gpu_names() -> tuple[str, ...]:
    """The name of each GPU of this host; none where no driver can be asked."""
    try:
        nvml = load_nvml()
        nvml.nvmlInit()
    except DriverError:
        return ()
    except nvml.NVMLError:
        return ()
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return tuple(_text(nvml.nvmlDeviceGetName(handle)) for handle in handles)
    except nvml.NVMLError:
        return ()
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


class Sampler:
    """The GPUs of this host, asked in turn. `known`: UUIDs seen before on this boot, missed where they are gone.

    DriverError from any method means that the process must be started anew: the library is never unloaded, and after
    a driver upgrade only a fresh one fits (NVML error 18).
    """

    def __init__(
        self,
        nvml: Any,
        *,
        cadence_ms: int,
        clock: Clock,
        known: frozenset[str] = frozenset(),
    ) -> None:
        self._nvml = nvml
        self._clock = clock
        self._cadence_ms = cadence_ms
        self._driver_version: str | None = None
        self._missing: dict[str, str] = {}
        self._slow_at_ms: int | None = None
        self._gpm = Gpm(nvml)
        self._asked("nvmlInit", nvml.nvmlInit)
        self._devices = list(self._found())
        self._events = self._registered()
        for uuid in known - {device.uuid for device in self._devices}:
            self._missing.setdefault(uuid, "the driver no longer lists this GPU")
        self._before = clock()
        for device in self._devices:
            try:
                self._read_mig(device)
                self._activity(device)  # what the buffer holds from before the first interval
                self._gpm_activity(device, is_whole=False)  # and where the first interval of GPM begins
            except _GpuError:
                continue

    def read(self) -> list[Reading]:
        """What every GPU did since the last call: a sample each, and its description where that is new."""
        began = self._clock()
        elapsed_ms = began.mono_ms - self._before.mono_ms
        readings = [Reading(event, began) for event in self._said()]
        is_late = elapsed_ms > _LATE_TICKS * self._cadence_ms
        if is_late:
            pause_ms = elapsed_ms - self._cadence_ms
            pause = Gap(interval_ms=pause_ms, reason="the sampler did not run")
            readings.append(Reading(pause, began.earlier(self._cadence_ms)))
            elapsed_ms = self._cadence_ms
        is_slow_due = self._slow_at_ms is None or began.mono_ms - self._slow_at_ms >= _SLOW_MS
        if is_slow_due:
            self._slow_at_ms = began.mono_ms
            self._driver_version = self._version()
        for device in self._devices:
            found = self._read_one(device, elapsed_ms, is_slow_due=is_slow_due, is_late=is_late)
            readings.extend(
                Reading(record, began) for record in found if not isinstance(record, Sample) or elapsed_ms > 0
            )
        for uuid, reason in self._missing.items():
            readings.append(Reading(Gap(interval_ms=elapsed_ms, gpu_uuid=uuid, reason=reason), began))
        self._before = began
        return readings

    def capabilities(self) -> list[tuple[Gpu, Mapping[str, str], bool]]:
        """Of each GPU after a `read`: what it is, the calls its driver refuses for ever, whether it is in MIG."""
        return [(self._described(device), dict(device.refused), device.is_mig is True) for device in self._devices]

    def holders(self) -> Mapping[str, tuple[tuple[int, int | None], ...]]:
        """GPU UUID -> PIDs of compute processes when they were last looked at, each with the bytes of the GPU's memory
        that it held, null where the driver does not say; without GPUs that do not tell them."""
        return {device.uuid: device.pids for device in self._devices if device.pids is not None}

    def instances(self) -> Mapping[str, Mapping[int, tuple[int, ...]]]:
        """GPU UUID -> PID -> the GPU instances of MIG that the process is on; without GPUs that are not in MIG."""
        return {device.uuid: device.instances_of_pids for device in self._devices if device.instances_of_pids}

    def _version(self) -> str | None:
        """The driver's version; as it was where this call alone fails, since each GPU says for itself how it is."""
        try:
            return _text(self._nvml.nvmlSystemGetDriverVersion())
        except self._nvml.NVMLError as error:
            self._raise_driver(error)
            return self._driver_version

    # --- which GPUs there are ----------------------------------------------------------------------------------------

    def _found(self) -> Iterator[_Device]:
        nvml = self._nvml
        for index in range(self._asked("nvmlDeviceGetCount", nvml.nvmlDeviceGetCount)):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                uuid = _text(nvml.nvmlDeviceGetUUID(handle))
            except nvml.NVMLError as error:
                self._raise_driver(error)
                continue  # a GPU without its UUID is nobody's; the agent misses the UUID it knew
            device = _Device(handle, uuid, index)
            try:
                device.name = _maybe_text(self._ask(device, "nvmlDeviceGetName", handle))
                pci = self._ask(device, "nvmlDeviceGetPciInfo", handle)
            except _GpuError:
                pci = None
            device.pci_bus_id = None if pci is None else _text(pci.busId)
            yield device

    def _described(self, device: _Device, *, memory_total_bytes: int | None = None) -> Gpu:
        before = device.described
        return Gpu(
            gpu_uuid=device.uuid,
            pci_bus_id=device.pci_bus_id,
            gpu_index=device.index,
            name=device.name,
            memory_total_bytes=memory_total_bytes or (before.memory_total_bytes if before else None),
            driver_version=self._driver_version,
            mig_mode=None if device.is_mig is None else ("enabled" if device.is_mig else "disabled"),
            mig_slice_count=None if device.slices is None else len(device.slices),
            **device.condition,
        )

    # --- one GPU -----------------------------------------------------------------------------------------------------

    def _read_one(
        self, device: _Device, interval_ms: int, *, is_slow_due: bool, is_late: bool
    ) -> Iterator[Gpu | MigSlice | Sample]:
        try:
            if is_slow_due:
                self._read_slowly(device)
            memory = self._ask(device, "nvmlDeviceGetMemoryInfo", device.handle, self._nvml.nvmlMemory_v2)
            util_gpu_pct, util_memory_pct, samples_lost = self._activity(device)
            gpm = self._gpm_activity(device, is_whole=not is_late)
            device.is_told_by_gpm = is_late or gpm.sm_ppm is not None
            sample = Sample(
                interval_ms=interval_ms,
                gpu_uuid=device.uuid,
                util_gpu_pct=util_gpu_pct,
                util_memory_pct=util_memory_pct,
                memory_used_bytes=None if memory is None else int(memory.used),
                energy_millijoules=self._energy(device) if is_slow_due else None,
                power_milliwatts=_whole(self._ask(device, "nvmlDeviceGetPowerUsage", device.handle)),
                sm_active_ppm=gpm.sm_ppm,
                tensor_active_ppm=gpm.tensor_ppm,
                dram_active_ppm=gpm.dram_ppm,
                clocks_event_reasons=self._clocks_event_reasons(device),
                compute_process_count=_believed(
                    device, memory, is_active_known=util_gpu_pct is not None or gpm.sm_ppm is not None
                ),
                mig_held_ppm=_mig_held_ppm(device),
                health="ok",
                samples_lost=samples_lost,
            )
        except _GpuError as error:
            device.pids = device.held_instances = None
            device.instances_of_pids = {}
            device.brackets.taken.clear()  # what the GPU did while it was not well is in no interval
            yield Sample(interval_ms=interval_ms, gpu_uuid=device.uuid, health=str(error))
            return
        described = self._described(device, memory_total_bytes=None if memory is None else int(memory.total))
        if described != device.described:
            device.described, device.told_slices = described, None  # what it had is told with what it is
            yield described
        if device.slices is not None and device.slices != device.told_slices:
            yield from (mig.slice_record(device.uuid, one) for one in device.slices)
        device.told_slices = device.slices
        yield sample

    def _read_mig(self, device: _Device) -> None:
        mode = self._ask(device, "nvmlDeviceGetMigMode", device.handle)
        is_mig = device.is_mig if mode is None else mode[0] == 1
        if device.is_mig is not None and is_mig != device.is_mig:
            device.refused.clear()  # the GPU was repartitioned: what it refuses is asked again
            device.brackets = Brackets()
        device.is_mig = is_mig
        device.slices = self._mig_slices(device) if is_mig else None

    def _mig_slices(self, device: _Device) -> tuple[Slice, ...] | None:
        """The slices of a GPU in MIG, as its driver lists them; null where it does not tell one of them whole."""
        most = self._ask(device, "nvmlDeviceGetMaxMigDeviceCount", device.handle)
        listing = "nvmlDeviceGetMigDeviceHandleByIndex"
        slices: list[Slice] = []
        device.instance_memory_bytes = {}
        for place in range(most or 0):
            handle = self._ask(device, listing, device.handle, place)
            if handle is None:
                continue  # no slice has this number
            uuid = self._ask(device, "nvmlDeviceGetUUID", handle)
            number = self._ask(device, "nvmlDeviceGetGpuInstanceId", handle)
            found = self._ask(device, "nvmlDeviceGetAttributes_v2", handle)
            if uuid is None or number is None or found is None:
                return None
            memory = self._ask(device, "nvmlDeviceGetMemoryInfo", handle, self._nvml.nvmlMemory_v2, of="a slice")
            device.instance_memory_bytes[int(number)] = None if memory is None else int(memory.used)
            slices.append(
                Slice(
                    uuid=_text(uuid),
                    gpu_instance_id=int(number),
                    slice_count=int(found.gpuInstanceSliceCount),
                    of_slice_count=int(most),
                    multiprocessor_count=int(found.multiprocessorCount),
                    memory_bytes=int(found.memorySizeMB) * 1024**2,
                )
            )
        return None if most is None or listing in device.refused else tuple(slices)

    def _gpm_activity(self, device: _Device, *, is_whole: bool) -> Activity:
        if device.is_mig and device.slices is None:
            return Activity()

        def ask(name: str, *arguments: Any) -> Any:
            return self._ask(device, name, *arguments)

        found = self._gpm.activity(ask, device.handle, device.brackets, device.slices, is_whole=is_whole)
        if device.brackets.is_supported is False or SUPPORT in device.refused:
            device.refused.setdefault(GET, _NEVER[_NOT_SUPPORTED])
        return found

    def _read_slowly(self, device: _Device) -> None:
        self._read_mig(device)
        self._read_condition(device)
        # Not by its unversioned name, which raises an exception of another family on a driver before 510.
        processes = self._ask(device, "nvmlDeviceGetComputeRunningProcesses_v3", device.handle)
        if processes is None and "nvmlDeviceGetComputeRunningProcesses_v3" in device.refused:
            processes = self._ask(device, "nvmlDeviceGetComputeRunningProcesses_v2", device.handle)
        device.instances_of_pids = mig.instances_of_pids(processes or ()) if device.is_mig else {}
        device.held_instances = None
        if device.slices is not None:
            memory_bytes = device.instance_memory_bytes
            device.held_instances = mig.held_instances(processes, memory_bytes, held_bytes=_HELD_BYTES)
        if processes is None:
            device.pids = None
            return
        held: dict[int, int | None] = {}
        for process in processes:  # under MIG one may be there once for each of its slices
            pid, memory = int(process.pid), _memory_of(process)
            before = held.get(pid, 0)
            held[pid] = None if memory is None or before is None else before + memory
        device.pids = tuple(sorted(held.items()))

    def _read_condition(self, device: _Device) -> None:
        """Firmware, memory errors and rows taken out of use. What is not told this time stays as it was told last."""
        nvml = self._nvml
        uncorrected = (nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_AGGREGATE_ECC)
        vbios = _maybe_text(self._ask(device, "nvmlDeviceGetVbiosVersion", device.handle))
        errors = _whole(self._ask(device, "nvmlDeviceGetTotalEccErrors", device.handle, *uncorrected))
        rows = self._ask(device, "nvmlDeviceGetRemappedRows", device.handle)
        told = {"vbios_version": vbios, "ecc_uncorrected_count": errors}
        if rows is not None:
            told["remapped_rows_count"] = int(rows[0]) + int(rows[1])
            told["row_remapping"] = (
                "failed" if rows[3] else "pending" if rows[2] else "done" if any(rows[:2]) else "none"
            )
        device.condition.update({name: value for name, value in told.items() if value is not None})

    def _activity(self, device: _Device) -> tuple[int | None, int | None, int | None]:
        """Utilization of GPU and memory in %, and how many of the driver's samples were lost before they were read. All
        null under MIG, where no call says it of the whole GPU and some drivers say 0.

        A mean above 0 is never rounded to 0: only its zero is evidence. The buffer, 3 ms of CPU on an H200, is left
        alone where GPM tells of the whole interval: there utilization is the driver's last period.
        """
        if device.is_mig:
            return None, None, None
        rates = self._ask(device, "nvmlDeviceGetUtilizationRates", device.handle)
        util_memory_pct = None if rates is None else _percent(rates.memory)
        samples, lost = ([], None) if self._is_told_by_gpm(device) else self._buffered(device)
        if samples:
            return _percent(-(-sum(samples) // len(samples))), util_memory_pct, lost
        # At idle the driver stops filling its buffer: not a sign that it is dead.
        return None if rates is None else _percent(rates.gpu), util_memory_pct, None

    def _is_told_by_gpm(self, device: _Device) -> bool:
        """Whether GPM answers here, and did so of the interval before this one."""
        is_refused = not device.refused.keys().isdisjoint((ALLOC, GET, METRICS))
        if not device.brackets.is_supported or is_refused or not device.is_told_by_gpm:
            return False
        device.last_sample_us = None
        return True

    def _buffered(self, device: _Device) -> tuple[list[int], int | None]:
        kind = self._nvml.NVML_GPU_UTILIZATION_SAMPLES
        last_us = device.last_sample_us
        device.last_sample_us = last_us or 0
        answer = self._ask(device, "nvmlDeviceGetSamples", device.handle, kind, device.last_sample_us)
        if answer is None:
            return [], None
        value_type, samples = answer
        fresh = sorted(
            (int(sample.timeStamp), _value(self._nvml, value_type, sample.sampleValue))
            for sample in samples
            if sample.timeStamp > device.last_sample_us
        )
        fresh = [(at_us, value) for at_us, value in fresh if 0 <= value <= 100]
        if not fresh:
            return [], None
        device.last_sample_us = fresh[-1][0]
        if last_us is None:
            return [], None
        return [value for _, value in fresh], _none_lost(fresh, last_us=last_us)

    def _energy(self, device: _Device) -> int | None:
        """Once a minute: the counter loses nothing meanwhile, and reading it takes 4 ms of CPU on an H200."""
        return _whole(self._ask(device, "nvmlDeviceGetTotalEnergyConsumption", device.handle))

    def _clocks_event_reasons(self, device: _Device) -> int | None:
        found = self._ask(device, "nvmlDeviceGetCurrentClocksEventReasons", device.handle)
        if found is None and "nvmlDeviceGetCurrentClocksEventReasons" in device.refused:
            found = self._ask(device, "nvmlDeviceGetCurrentClocksThrottleReasons", device.handle)  # its name before 535
        return _whole(found)

    # --- events ------------------------------------------------------------------------------------------------------

    def _registered(self) -> Any:
        """The set of events that every GPU that can reports its XID errors to; null where the driver has none."""
        nvml = self._nvml
        try:
            events = nvml.nvmlEventSetCreate()
        except nvml.NVMLError as error:
            self._raise_driver(error)
            return None
        for device in self._devices:
            with suppress(_GpuError):
                self._ask(device, "nvmlDeviceRegisterEvents", device.handle, nvml.nvmlEventTypeXidCriticalError, events)
        return events

    def _said(self) -> Iterator[Event]:
        """XID errors since the last reading. It does not wait for one."""
        nvml = self._nvml
        for _ in range(_MOST_EVENTS if self._events is not None else 0):
            try:
                event = nvml.nvmlEventSetWait_v2(self._events, 0)
            except nvml.NVMLError as error:
                self._raise_driver(error)
                return  # none is there
            # Not asked of the driver: a GPU that fell off its bus (XID 79) answers nothing any more.
            uuids = {_address(device.handle): device.uuid for device in self._devices}
            uuid = uuids.get(_address(event.device), "unknown")
            yield Event(gpu_uuid=uuid, kind="xid", code=int(event.eventData), reason=f"XID {int(event.eventData)}")

    # --- calls -------------------------------------------------------------------------------------------------------

    def _ask(self, device: _Device, name: str, *arguments: Any, of: str = "") -> Any:
        """One call of one GPU, or of a part of it. None where it gives nothing, now or ever; _GpuError where the GPU is
        not well.
        """
        asked = f"{name} of {of}" if of else name
        if asked in device.refused:
            return None
        try:
            return getattr(self._nvml, name)(*arguments)
        except self._nvml.NVMLError as error:
            self._raise_driver(error)
            if error.value in _HEALTH:
                raise _GpuError(_HEALTH[error.value]) from None
            if error.value in _NEVER:
                device.refused[asked] = _NEVER[error.value]
            return None

    def _asked(self, name: str, call: Callable[[], Any]) -> Any:
        """One call that speaks for the whole host. DriverError where it fails."""
        try:
            return call()
        except self._nvml.NVMLError as error:
            self._raise_driver(error)
            raise DriverError(
                f"{name} answers: {error} (NVML error {error.value}). See what `nvidia-smi` says."
            ) from None

    def _raise_driver(self, error: Any) -> None:
        if error.value in _DRIVER:
            raise DriverError(f"{_DRIVER[error.value]} (NVML error {error.value})") from None


def _believed(device: _Device, memory: Any, *, is_active_known: bool) -> int | None:
    """The count of compute processes, as far as it proves something.

    Processes beside an activity nobody knows would read as idle; none beside gigabytes in use are another PID
    namespace's, which this one cannot see.
    """
    count = None if device.pids is None else len(device.pids)
    if count is None or device.is_mig or (count > 0 and not is_active_known):
        return None
    return None if count == 0 and (memory is None or memory.used > _HELD_BYTES) else count


def _mig_held_ppm(device: _Device) -> int | None:
    """With the slices whose SMs have worked since their processes were looked at."""
    if device.held_instances is None or device.slices is None:
        return None
    return mig.held_ppm(device.slices, device.held_instances | device.brackets.busy)


def _memory_of(process: Any) -> int | None:
    """Bytes that a process holds; null where the driver does not say, as to a container that is not its own."""
    held = process.usedGpuMemory
    return None if held is None or not 0 <= held <= _MOST_MEMORY_BYTES else int(held)


def _address(handle: Any) -> int | None:
    """Of what a handle points to: two handles of one GPU are equal in this alone."""
    return ctypes.cast(handle, ctypes.c_void_p).value


def _none_lost(fresh: list[tuple[int, int]], *, last_us: int) -> int | None:
    """0 where the driver's samples follow the last one read; null where a hole may be loss or a buffer dry at idle."""
    if len(fresh) < 2:
        return None
    period_us = max((fresh[-1][0] - fresh[0][0]) // (len(fresh) - 1), 1)
    return 0 if fresh[0][0] - last_us <= 2 * period_us else None


def _value(nvml: Any, value_type: int, value: Any) -> int:
    names = {
        nvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
        nvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
        nvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
        nvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
    }
    return int(getattr(value, names[value_type])) if value_type in names else -1


def _percent(value: Any) -> int | None:
    return int(value) if 0 <= value <= 100 else None


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _maybe_text(value: Any) -> str | None:
    return None if value is None else _text(value)
