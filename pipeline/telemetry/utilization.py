"""How busy a GPU was since it was last asked, as its driver counts: where GPM does not tell of the whole interval."""

from __future__ import annotations

from pipeline.telemetry.device import Calls, Device
from pipeline.telemetry.gpm import ALLOC, GET, METRICS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def utilization(calls: Calls, device: Device) -> tuple[int | None, int | None, int | None]:
    """Utilization of GPU and memory in %, and how many of the driver's samples were lost before they were read. All
    null under MIG, where no call says it of the whole GPU and some drivers say 0.

    A mean above 0 is never rounded to 0: only its zero is evidence. The buffer, 3 ms of CPU on an H200, is left
    alone where GPM tells of the whole interval: there utilization is the driver's last period.
    """
    if device.is_mig:
        return None, None, None
    rates = calls.ask(device, "nvmlDeviceGetUtilizationRates", device.handle)
    util_memory_pct = None if rates is None else _percent(rates.memory)
    samples, lost = ([], None) if _is_told_by_gpm(device) else _buffered(calls, device)
    if samples:
        return _percent(-(-sum(samples) // len(samples))), util_memory_pct, lost
    # At idle the driver stops filling its buffer: not a sign that it is dead.
    return None if rates is None else _percent(rates.gpu), util_memory_pct, None


def _is_told_by_gpm(device: Device) -> bool:
    """Whether GPM answers here, and did so of the interval before this one."""
    is_refused = not device.refused.keys().isdisjoint((ALLOC, GET, METRICS))
    if not device.brackets.is_supported or is_refused or not device.is_told_by_gpm:
        return False
    device.last_sample_us = None
    return True


def _buffered(calls: Calls, device: Device) -> tuple[list[int], int | None]:
    kind = calls.nvml.NVML_GPU_UTILIZATION_SAMPLES
    last_us = device.last_sample_us
    device.last_sample_us = last_us or 0
    answer = calls.ask(device, "nvmlDeviceGetSamples", device.handle, kind, device.last_sample_us)
    if answer is None:
        return [], None
    value_type, samples = answer
    fresh = sorted(
        (int(sample.timeStamp), _value(calls.nvml, value_type, sample.sampleValue))
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
