"""One GPU of this host, and how it is asked.

A call that the driver does not know is asked once and is null for ever, never 0. A reading that is not there this time
is null this time. Meaning and units of each call: https://docs.nvidia.com/deploy/nvml-api/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.formats.spool import Gpu
from pipeline.telemetry.gpm import Brackets, Slice
from pipeline.telemetry.nvml import DriverError, raise_driver, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# nvml.h, nvmlReturn_t.
_NOT_SUPPORTED, _NO_PERMISSION, _FUNCTION_NOT_FOUND = 3, 4, 13
_GPU_IS_LOST, _RESET_REQUIRED, _UNKNOWN = 15, 16, 999
NOT_SUPPORTED = "not supported"
_NEVER: Mapping[int, str] = {
    _NOT_SUPPORTED: NOT_SUPPORTED,
    _NO_PERMISSION: "not permitted",
    _FUNCTION_NOT_FOUND: "unknown to this driver",
}
# What the GPU, not the call, answers; in the words of a sample's `health`.
_HEALTH: Mapping[int, str] = {
    _GPU_IS_LOST: "gpu_is_lost",
    _RESET_REQUIRED: "reset_required",
    _UNKNOWN: "unknown_error",
}


class GpuError(Exception):
    """The GPU answers that it is not well. The argument is the `health` of its samples."""


class Device:
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


class Calls:
    """Calls of the library. DriverError from any of them means that this process is over: see `Sampler`."""

    def __init__(self, nvml: Any) -> None:
        self.nvml = nvml

    def ask(self, device: Device, name: str, *arguments: Any, of: str = "") -> Any:
        """One call of one GPU, or of a part of it. None where it gives nothing, now or ever; GpuError where the GPU is
        not well.
        """
        asked = f"{name} of {of}" if of else name
        if asked in device.refused:
            return None
        try:
            return getattr(self.nvml, name)(*arguments)
        except self.nvml.NVMLError as error:
            raise_driver(error)
            if error.value in _HEALTH:
                raise GpuError(_HEALTH[error.value]) from None
            if error.value in _NEVER:
                device.refused[asked] = _NEVER[error.value]
            return None

    def asked(self, name: str, call: Callable[[], Any]) -> Any:
        """One call that speaks for the whole host. DriverError where it fails."""
        try:
            return call()
        except self.nvml.NVMLError as error:
            raise_driver(error)
            raise DriverError(
                f"{name} answers: {error} (NVML error {error.value}). See what `nvidia-smi` says."
            ) from None


def whole(value: Any) -> int | None:
    return None if value is None else int(value)


def maybe_text(value: Any) -> str | None:
    return None if value is None else text(value)
