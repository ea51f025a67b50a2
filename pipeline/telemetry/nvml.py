"""The driver's library (NVML): loaded, and what it says where it cannot be asked. The only import of pynvml."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import ModuleType

from pipeline.errors import BreakevenError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# nvml.h, nvmlReturn_t.
_UNINITIALIZED, _DRIVER_NOT_LOADED, _LIBRARY_NOT_FOUND, _LIB_RM_VERSION_MISMATCH = 1, 9, 12, 18
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


class DriverError(BreakevenError):
    """The driver cannot be asked at all. The message says why and what to do."""

    exit_code = 3


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
        return tuple(text(nvml.nvmlDeviceGetName(handle)) for handle in handles)
    except nvml.NVMLError:
        return ()
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def raise_driver(error: Any) -> None:
    """DriverError where an error of NVML speaks for the whole driver."""
    if error.value in _DRIVER:
        raise DriverError(f"{_DRIVER[error.value]} (NVML error {error.value})") from None


def text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
