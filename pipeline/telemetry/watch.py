"""Keeps one sampler process running, and says of the time it did not sample that and why. It never waits for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from pipeline.formats.spool import Event, Gap, Gpu, MigSlice, Record, Sample
from pipeline.telemetry.child import Child, own_process, start
from pipeline.telemetry.clock import Instant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_Read = Gpu | MigSlice | Sample | Gap | Event
_RECORDS: dict[str, type[_Read]] = {kind.record: kind for kind in (Gpu, MigSlice, Sample, Gap, Event)}
_KILL_MS = 2_000
_GAP_MS = 60_000
_FIRST_WAIT_MS, _LONGEST_WAIT_MS = 1_000, 300_000
# Each one that cannot be killed holds a driver call for ever: more of them heal nothing.
_MOST_ABANDONED = 3
_CHUNK_BYTES = 65_536


Spawn = Callable[[frozenset[str]], Child]
Write = Callable[[Record, Instant], None]
Say = Callable[[str], None]
# GPU UUID -> its compute processes: PID -> bytes held of its memory, null where the driver does not say; and of GPUs in
# MIG, PID -> the GPU instances that it is on.
Processes = Callable[[dict[str, dict[int, int | None]], dict[str, dict[int, tuple[int, ...]]]], None]


def spawn_sampler(*, cadence_ms: int) -> Spawn:
    """Starts sampler processes of this cadence; each is told the GPUs that were seen before it."""

    def spawn(known: frozenset[str]) -> Child:
        settings = json.dumps({"cadence_ms": cadence_ms, "known": sorted(known)})
        return start(own_process("pipeline.telemetry.sampling", settings), is_piped=True)

    return spawn


class SamplerWatch:
    """Starts a sampler, takes its readings, and replaces it where it ends, is silent for `patience_ms` or cannot ask
    its driver; after waits that double up to five minutes.
    """

    def __init__(
        self,
        spawn: Spawn,
        *,
        patience_ms: int,
        write: Write,
        say: Say,
        now: Instant,
        processes: Processes = lambda *_: None,
    ) -> None:
        self._spawn = spawn
        self._processes = processes
        self._patience_ms = patience_ms
        self._write = write
        self._say = say
        self._child: Child | None = None
        self._abandoned: list[Child] = []
        self._buffer = b""
        self._heard_ms = now.mono_ms
        self._killed_ms: int | None = None
        self._start_ms = now.mono_ms
        self._wait_ms = _FIRST_WAIT_MS
        self._covered = now
        self._reason: str | None = None
        self._known: set[str] = set()

    @property
    def descriptor(self) -> int | None:
        """What to wait on for its next readings."""
        return None if self._child is None else self._child.stdout

    def receive(self, now: Instant) -> None:
        """Take what the sampler has written. Call it when `descriptor` is readable."""
        if self._child is None or self.descriptor is None:
            return
        chunk = os.read(self.descriptor, _CHUNK_BYTES)
        if not chunk:
            self._ended(now)
            return
        if self._killed_ms is not None:
            return  # said before it was killed, of time that a gap speaks for
        self._heard_ms = now.mono_ms
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        for line in lines:
            try:
                self._take(json.loads(line), now)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                self._killed_ms = now.mono_ms
                self._child.kill()
                reason = f"something other than readings came from the sampler (process {self._child.pid})"
                self._gap(f"{reason}: it was killed", now)
                return

    def step(self, now: Instant) -> None:
        """What the time alone brings: a start, the end of patience, a gap that goes on."""
        self._abandoned = [child for child in self._abandoned if child.poll() is None]
        child = self._child
        if child is None:
            if now.mono_ms >= self._start_ms and len(self._abandoned) < _MOST_ABANDONED:
                self._start(now)
        elif self._killed_ms is not None:
            if now.mono_ms - self._killed_ms > _KILL_MS and child.poll() is None:
                self._abandoned.append(child)
                reason = f"the driver hangs: the sampler (process {child.pid}) cannot be killed and is abandoned"
                self._failed(reason, now)
        elif now.mono_ms - self._heard_ms > self._patience_ms:
            silent_s = (now.mono_ms - self._heard_ms) // 1000
            self._killed_ms = now.mono_ms
            child.kill()
            self._gap(f"the driver did not answer for {silent_s} s: the sampler (process {child.pid}) was killed", now)
        if self._reason is not None and now.mono_ms - self._covered.mono_ms >= _GAP_MS:
            self._gap(self._reason, now)

    def stop(self, now: Instant) -> None:
        """End the sampler; what is not known up to now is said."""
        if self._reason is not None:
            self._gap(self._reason, now)
        if self._child is not None:
            self._child.kill()
            self._let_go()

    def _start(self, now: Instant) -> None:
        try:
            self._child = self._spawn(frozenset(self._known))
        except OSError as error:
            self._failed(f"no sampler process could be started: {error.strerror}", now)
            return
        self._buffer, self._killed_ms, self._heard_ms = b"", None, now.mono_ms

    def _take(self, message: dict[str, Any], now: Instant) -> None:
        if "failed" in message:
            self._gap(message["failed"], now)
            return
        if "processes" in message:
            instances = {
                str(uuid): {int(pid): tuple(map(int, found)) for pid, found in pids.items()}
                for uuid, pids in message["instances"].items()
            }
            self._processes({str(uuid): _held(pids) for uuid, pids in message["processes"].items()}, instances)
            return
        if "record" not in message:
            return
        record = _RECORDS[message["record"]](**message["fields"])
        instant = Instant(message["at_ms"], message["mono_ms"])
        if isinstance(record, Gpu):
            self._known.add(record.gpu_uuid)
        if not isinstance(record, (Sample, Gap)):
            self._write(record, instant)
            return
        if self._reason is not None:
            began = instant.earlier(record.interval_ms)
            if began.mono_ms > self._covered.mono_ms:
                self._gap(self._reason, began)
            self._say("breakeven agent: GPUs are sampled again")
            self._reason = None
        self._wait_ms = _FIRST_WAIT_MS
        self._covered = instant
        self._write(record, instant)

    def _ended(self, now: Instant) -> None:
        if self._child is None:
            return
        code = self._child.poll()
        if code is None and self._killed_ms is None:
            self._child.kill()  # it closed its output and goes on
        self._failed(self._reason or f"the sampler ended (exit code {code})", now)

    def _failed(self, reason: str, now: Instant) -> None:
        """Give up this process; another one is started after the wait."""
        self._gap(reason, now)
        self._let_go()
        self._start_ms = now.mono_ms + self._wait_ms
        self._wait_ms = min(self._wait_ms * 2, _LONGEST_WAIT_MS)

    def _let_go(self) -> None:
        child, self._child, self._killed_ms = self._child, None, None
        if child is None:
            return
        child.close()
        if child.poll() is None and child not in self._abandoned:
            self._abandoned.append(child)  # reaped as soon as it is gone

    def _gap(self, reason: str, now: Instant) -> None:
        if reason != self._reason:
            self._say(f"breakeven agent: GPUs are not sampled: {reason}")
        self._reason = reason
        if now.mono_ms > self._covered.mono_ms:
            self._write(Gap(interval_ms=now.mono_ms - self._covered.mono_ms, reason=reason), now)
            self._covered = now


def _held(processes: list[list[int | None]]) -> dict[int, int | None]:
    """PID -> bytes. ValueError, TypeError where it is something else."""
    return {int(pid or 0): None if held is None else int(held) for pid, held in processes}
