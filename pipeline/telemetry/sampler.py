"""The GPUs of this host, asked in turn: a sample each, and what is new about them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import suppress

from pipeline.formats.frozen import Frozen
from pipeline.formats.spool import Event, Gap, Gpu, MigSlice, Sample
from pipeline.telemetry import mig
from pipeline.telemetry.clock import Clock, Instant
from pipeline.telemetry.device import NOT_SUPPORTED, Calls, Device, GpuError, maybe_text, whole
from pipeline.telemetry.gpm import GET, SUPPORT, Activity, Gpm
from pipeline.telemetry.nvml import raise_driver, text
from pipeline.telemetry.once_a_minute import HELD_BYTES, read_mig, read_slowly
from pipeline.telemetry.utilization import utilization

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SLOW_MS = 60_000
# Events that are taken in one reading; a GPU that says more of them than this says nothing new.
_MOST_EVENTS = 64
# A tick this much later than its cadence was not one interval but a pause, of which the readings say nothing.
_LATE_TICKS = 3


class Reading(Frozen):
    """A record, and the moment its interval ends."""

    record: Gpu | MigSlice | Sample | Gap | Event
    instant: Instant


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
        self._calls = Calls(nvml)
        self._clock = clock
        self._cadence_ms = cadence_ms
        self._driver_version: str | None = None
        self._missing: dict[str, str] = {}
        self._slow_at_ms: int | None = None
        self._gpm = Gpm(nvml)
        self._calls.asked("nvmlInit", nvml.nvmlInit)
        self._devices = list(self._found())
        self._events = self._registered()
        for uuid in known - {device.uuid for device in self._devices}:
            self._missing.setdefault(uuid, "the driver no longer lists this GPU")
        self._before = clock()
        for device in self._devices:
            try:
                read_mig(self._calls, device)
                utilization(self._calls, device)  # what the buffer holds from before the first interval
                self._gpm_activity(device, is_whole=False)  # and where the first interval of GPM begins
            except GpuError:
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
            return text(self._nvml.nvmlSystemGetDriverVersion())
        except self._nvml.NVMLError as error:
            raise_driver(error)
            return self._driver_version

    # --- which GPUs there are ----------------------------------------------------------------------------------------

    def _found(self) -> Iterator[Device]:
        nvml = self._nvml
        for index in range(self._calls.asked("nvmlDeviceGetCount", nvml.nvmlDeviceGetCount)):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                uuid = text(nvml.nvmlDeviceGetUUID(handle))
            except nvml.NVMLError as error:
                raise_driver(error)
                continue  # a GPU without its UUID is nobody's; the agent misses the UUID it knew
            device = Device(handle, uuid, index)
            try:
                device.name = maybe_text(self._calls.ask(device, "nvmlDeviceGetName", handle))
                pci = self._calls.ask(device, "nvmlDeviceGetPciInfo", handle)
            except GpuError:
                pci = None
            device.pci_bus_id = None if pci is None else text(pci.busId)
            yield device

    def _described(self, device: Device, *, memory_total_bytes: int | None = None) -> Gpu:
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
        self, device: Device, interval_ms: int, *, is_slow_due: bool, is_late: bool
    ) -> Iterator[Gpu | MigSlice | Sample]:
        try:
            if is_slow_due:
                read_slowly(self._calls, device)
            memory = self._calls.ask(device, "nvmlDeviceGetMemoryInfo", device.handle, self._nvml.nvmlMemory_v2)
            util_gpu_pct, util_memory_pct, samples_lost = utilization(self._calls, device)
            gpm = self._gpm_activity(device, is_whole=not is_late)
            device.is_told_by_gpm = is_late or gpm.sm_ppm is not None
            sample = Sample(
                interval_ms=interval_ms,
                gpu_uuid=device.uuid,
                util_gpu_pct=util_gpu_pct,
                util_memory_pct=util_memory_pct,
                memory_used_bytes=None if memory is None else int(memory.used),
                energy_millijoules=self._energy(device) if is_slow_due else None,
                power_milliwatts=whole(self._calls.ask(device, "nvmlDeviceGetPowerUsage", device.handle)),
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
        except GpuError as error:
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

    def _gpm_activity(self, device: Device, *, is_whole: bool) -> Activity:
        if device.is_mig and device.slices is None:
            return Activity()

        def ask(name: str, *arguments: Any) -> Any:
            return self._calls.ask(device, name, *arguments)

        found = self._gpm.activity(ask, device.handle, device.brackets, device.slices, is_whole=is_whole)
        if device.brackets.is_supported is False or SUPPORT in device.refused:
            device.refused.setdefault(GET, NOT_SUPPORTED)
        return found

    def _energy(self, device: Device) -> int | None:
        """Once a minute: the counter loses nothing meanwhile, and reading it takes 4 ms of CPU on an H200."""
        return whole(self._calls.ask(device, "nvmlDeviceGetTotalEnergyConsumption", device.handle))

    def _clocks_event_reasons(self, device: Device) -> int | None:
        found = self._calls.ask(device, "nvmlDeviceGetCurrentClocksEventReasons", device.handle)
        if found is None and "nvmlDeviceGetCurrentClocksEventReasons" in device.refused:
            found = self._calls.ask(
                device, "nvmlDeviceGetCurrentClocksThrottleReasons", device.handle
            )  # its name before 535
        return whole(found)

    # --- events ------------------------------------------------------------------------------------------------------

    def _registered(self) -> Any:
        """The set of events that every GPU that can reports its XID errors to; null where the driver has none."""
        nvml = self._nvml
        try:
            events = nvml.nvmlEventSetCreate()
        except nvml.NVMLError as error:
            raise_driver(error)
            return None
        for device in self._devices:
            with suppress(GpuError):
                self._calls.ask(
                    device, "nvmlDeviceRegisterEvents", device.handle, nvml.nvmlEventTypeXidCriticalError, events
                )
        return events

    def _said(self) -> Iterator[Event]:
        """XID errors since the last reading. It does not wait for one."""
        nvml = self._nvml
        for _ in range(_MOST_EVENTS if self._events is not None else 0):
            try:
                event = nvml.nvmlEventSetWait_v2(self._events, 0)
            except nvml.NVMLError as error:
                raise_driver(error)
                return  # none is there
            # Not asked of the driver: a GPU that fell off its bus (XID 79) answers nothing any more.
            uuids = {_address(device.handle): device.uuid for device in self._devices}
            uuid = uuids.get(_address(event.device), "unknown")
            yield Event(gpu_uuid=uuid, kind="xid", code=int(event.eventData), reason=f"XID {int(event.eventData)}")


def _believed(device: Device, memory: Any, *, is_active_known: bool) -> int | None:
    """The count of compute processes, as far as it proves something.

    Processes beside an activity nobody knows would read as idle; none beside gigabytes in use are another PID
    namespace's, which this one cannot see.
    """
    count = None if device.pids is None else len(device.pids)
    if count is None or device.is_mig or (count > 0 and not is_active_known):
        return None
    return None if count == 0 and (memory is None or memory.used > HELD_BYTES) else count


def _mig_held_ppm(device: Device) -> int | None:
    """With the slices whose SMs have worked since their processes were looked at."""
    if device.held_instances is None or device.slices is None:
        return None
    return mig.held_ppm(device.slices, device.held_instances | device.brackets.busy)


def _address(handle: Any) -> int | None:
    """Of what a handle points to: two handles of one GPU are equal in this alone."""
    return ctypes.cast(handle, ctypes.c_void_p).value
