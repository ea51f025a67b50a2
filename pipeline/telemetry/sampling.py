"""The sampler's own process: what it reads goes to standard output, a line each; it ends when standard input does.

A process of its own, because a call into a driver that hangs never returns, and because only a fresh process can load
the library of a driver that was upgraded. `python -m pipeline.telemetry.sampling '{"cadence_ms": 5000, "known": []}'`.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
from contextlib import suppress

from pipeline.formats.frozen import fields_of
from pipeline.telemetry.clock import Clock, steady_clock
from pipeline.telemetry.nvml import DriverError, load_nvml
from pipeline.telemetry.sampler import Reading, Sampler


def main() -> int:
    """0 where standard input or output ended, 3 where the driver cannot be asked, with the reason said."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the agent ends this process itself
    settings = json.loads(sys.argv[1])
    clock = steady_clock()
    try:
        _say({"beat": "starting"})
        nvml = load_nvml()
        _give_back_memory()
        sampler = Sampler(nvml, cadence_ms=settings["cadence_ms"], clock=clock, known=frozenset(settings["known"]))
        _sample(sampler, clock, cadence_ms=settings["cadence_ms"])
    except DriverError as error:
        _say({"failed": str(error)})
        return error.exit_code
    except BrokenPipeError:
        os.close(1)
    return 0


def _give_back_memory() -> None:
    """A `pynvml` that was compiled, since no byte code of it could be kept, leaves ten megabytes that libc holds."""
    with suppress(OSError, AttributeError):  # a libc without it
        ctypes.CDLL(None).malloc_trim(0)


def _sample(sampler: Sampler, clock: Clock, *, cadence_ms: int) -> None:
    due_ms = clock().mono_ms
    told: object = None
    while True:
        due_ms = max(due_ms + cadence_ms, clock().mono_ms)
        if select.select([0], [], [], (due_ms - clock().mono_ms) / 1000)[0]:
            return  # the agent is gone
        _say({"beat": "reading"})
        lines = [_line(reading) for reading in sampler.read()]
        _write("".join(lines))
        holders = {"processes": sampler.holders(), "instances": sampler.instances()}
        if holders != told:
            told = holders
            _write(json.dumps(holders) + "\n")


def _line(reading: Reading) -> str:
    moment = {"at_ms": reading.instant.at_ms, "mono_ms": reading.instant.mono_ms}
    return json.dumps({**moment, "record": reading.record.record, "fields": fields_of(reading.record)}) + "\n"


def _say(message: dict[str, str]) -> None:
    _write(json.dumps(message) + "\n")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
