"""Wall and CPU seconds of a step, of this process and of the processes it started and saw end."""

import os
import platform
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


@dataclass
class Took:
    """Filled when the step has ended."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0


@contextmanager
def took() -> Iterator[Took]:
    found = Took()
    wall, cpu = time.perf_counter(), _cpu_seconds()
    yield found
    found.wall_seconds, found.cpu_seconds = time.perf_counter() - wall, _cpu_seconds() - cpu


def _cpu_seconds() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def forget_peak_memory() -> None:
    """Let `peak_memory_gib` begin anew, where the system can."""
    with suppress(OSError):
        _CLEAR_REFS.write_text("5")


def peak_memory_gib() -> float:
    """The most memory this process has held since it began, or since its peak was forgotten."""
    try:
        peak = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return int(peak.split()[1]) / 1024**2


def machine() -> dict[str, str | int | float]:
    """What the figures were measured on. No names and no paths."""
    return {
        "cores": os.cpu_count() or 0,
        "memory_gib": _memory_gib(),
        "load_average_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{library: version(library) for library in ("duckdb", "polars", "dagster")},
    }


def _memory_gib() -> float:
    if not _MEMINFO.exists():
        return 0.0
    total = next(line for line in _MEMINFO.read_text().splitlines() if line.startswith("MemTotal"))
    return round(int(total.split()[1]) / 1024**2, 1)


def folder_gib(folder: Path) -> float:
    """Bytes of all files below a folder; a file linked twice counts once."""
    sizes = {(stat.st_dev, stat.st_ino): stat.st_size for path in folder.rglob("*") for stat in [path.lstat()]}
    return sum(sizes.values()) / 1024**3
