"""A load of no GPU: it heeds the lines of `benchmarks.gpu_load` and has the stub's GPU say what a driver would."""

import os
import sys
import time
from pathlib import Path

from benchmarks.gpu_load import run
from tests.telemetry.stub import Stub

LOADED = {"gpu0.memory": 60_000_000_000, "gpu0.processes": 1, "gpu0.pid": os.getpid(), "gpu0.held": 59_000_000_000}
UTIL = {"loaded_idle": 0, "light": 20, "saturated": 99}


def batch() -> tuple[int, int]:
    time.sleep(0.01)
    return 512, 1


if __name__ == "__main__":
    stub = Stub(Path(sys.argv[2]), Path(sys.argv[2]))
    run(int(sys.argv[1]), batch, lines=sys.stdin, changed=lambda phase: stub.set({**LOADED, "gpu0.util": UTIL[phase]}))
