"""Moments on both clocks of a host: when it was, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable

from pipeline.formats.frozen import Frozen

_MOST_DRIFT_MS = 500


class Instant(Frozen):
    """Wall clock (ms since 1970, UTC) and monotonic clock (ms since boot, the same in every process) of one moment."""

    at_ms: int
    mono_ms: int

    def earlier(self, milliseconds: int) -> Instant:
        return Instant(self.at_ms - milliseconds, self.mono_ms - milliseconds)


Clock = Callable[[], Instant]


def steady_clock(
    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    mono_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
) -> Clock:
    """Instants whose wall clock advances as the monotonic one, so that intervals neither overlap nor leave holes.

    Set anew where the two are half a second apart: the clock was set, or the host slept.
    """
    offset = wall_ms() - mono_ms()

    def now() -> Instant:
        nonlocal offset
        mono = mono_ms()
        offset_now = wall_ms() - mono
        if abs(offset_now - offset) > _MOST_DRIFT_MS:
            offset = offset_now
        return Instant(mono + offset, mono)

    return now
