"""A driver's library of the tests' own: compiled from nvml_stub.c, found by LD_LIBRARY_PATH, changed while in use."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

_SOURCE = Path(__file__).with_name("nvml_stub.c")
UUIDS = tuple(f"GPU-00000000-0000-0000-0000-{index:012d}" for index in range(64))

# Reads once for each line of stdin, at the moment it names, and prints what was read.
_READS = """
import json, sys
from pipeline.formats.frozen import fields_of
from pipeline.telemetry.nvml import DriverError, load_nvml
from pipeline.telemetry.sampler import Sampler
from pipeline.telemetry.clock import Instant
times = [1_800_000_000_000, 1_000]
clock = lambda: Instant(*times)
try:
    gpus = Sampler(load_nvml(), cadence_ms=5000, clock=clock)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        times = [time + int(line) for time in times]
        print(json.dumps([{"record": reading.record.record, "at_ms": reading.instant.at_ms, **fields_of(reading.record)}
            for reading in gpus.read()]), flush=True)
except DriverError as error:
    print(json.dumps(str(error)), flush=True)
"""


class Stub:
    """One state of the stub's GPUs. `set` merges lines into the state file, `None` takes one out."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.library = library
        self._path = folder / "nvml_state"
        self._state: dict[str, object] = {}
        self.set({})

    def set(self, lines: Mapping[str, object]) -> None:
        self._state.update(lines)
        kept = [f"{key} {value}\n" for key, value in self._state.items() if value is not None]
        aside = self._path.with_suffix(".new")
        aside.write_text("".join(kept))
        os.replace(aside, self._path)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "BREAKEVEN_ASK_PROVIDER": "0",
            "LD_LIBRARY_PATH": str(self.library),
            "NVML_STUB_STATE": str(self._path),
        }


class Reads:
    """A sampler in a process of its own, over the stub."""

    def __init__(self, stub: Stub) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _READS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=stub.environment,
        )
        self.said = self._line()

    def read(self, *, after_ms: int = 5000) -> list[dict[str, Any]]:
        found = self.answer(after_ms=after_ms)
        assert isinstance(found, list), found
        return found

    def answer(self, *, after_ms: int = 5000) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{after_ms}\n")
        self._process.stdin.flush()
        return self._line()

    def sample(self, *, after_ms: int = 5000) -> dict[str, Any]:
        """The one sample of the one GPU."""
        (found,) = [reading for reading in self.read(after_ms=after_ms) if reading["record"] == "sample"]
        return found

    def close(self) -> None:
        self._process.communicate(timeout=20)

    def _line(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


def compiled(folder: Path, *flags: str) -> Path:
    """The folder of the compiled stub. Skips where this machine has no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler (cc, gcc, clang) on this machine: the stub of libnvidia-ml.so.1 cannot be built")
    library = folder / "libnvidia-ml.so.1"
    options = ["-shared", "-fPIC", "-Wall", "-Werror", "-Wl,-soname,libnvidia-ml.so.1", *flags]
    subprocess.run([compiler, *options, "-o", str(library), str(_SOURCE)], check=True)
    return folder
