"""What the agent says of itself to a Prometheus on the same host: off unless asked for, and on loopback alone.

A socket and a thread: an HTTP server's modules are larger than all that is said here.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from pipeline.errors import BreakevenError
from pipeline.formats.spool import Gap, Gpu, Loss, Record, Sample, Scrape
from pipeline.telemetry.clock import Instant
from pipeline.telemetry.deadline import Deadline
from pipeline.telemetry.spool import closed_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike

_LOOPBACK = "127.0.0.1"
_CLIENT_SECONDS = 2.0
_MOST_BYTES = 8_192
# Labels and value of each series of a family.
_Samples = list[tuple[Mapping[str, str], float | int]]


class MetricsError(BreakevenError):
    """The port cannot be listened on. The message says which and why."""

    exit_code = 4


class Told:
    """What was recorded since the agent began, in counts. Told by one thread, read by another."""

    def __init__(self, *, host: str, version: str, spool: str | PathLike[str], started: Instant) -> None:
        self._info = {"host": host, "version": version}
        self._spool = spool
        self._started = started
        self._lock = threading.Lock()
        self._records: Counter[str] = Counter()
        self._failed_scrapes: Counter[str] = Counter()
        self._ships: Counter[str] = Counter()
        self._lost = 0
        self._unsampled_ms = 0
        self._health: dict[str, str] = {}
        self._sampled: Instant | None = None

    def recorded(self, record: Record, at: Instant) -> None:
        with self._lock:
            self._records[record.record] += 1
            if isinstance(record, Sample):
                self._health[record.gpu_uuid] = record.health or "unknown"
                self._sampled = at
            elif isinstance(record, Gpu):
                self._health.setdefault(record.gpu_uuid, "unknown")
            elif isinstance(record, Gap) and record.gpu_uuid is None:
                self._unsampled_ms += record.interval_ms
            elif isinstance(record, Gap):
                self._health[record.gpu_uuid or ""] = "missing"
            elif isinstance(record, Loss):
                self._lost += record.lost_records
            elif isinstance(record, Scrape) and record.error is not None:
                self._failed_scrapes[record.replica_id] += 1

    def shipped(self, exit_code: int) -> None:
        """A shipping process ended."""
        with self._lock:
            self._ships["ok" if exit_code == 0 else "failed"] += 1

    def exposition(self, now: Instant) -> str:
        """Prometheus text. What has not happened yet has no line rather than a 0 where 0 would be a reading."""
        with self._lock:
            families = list(self._families(now))
        lines: list[str] = []
        for name, kind, told, samples in families:
            lines += [f"# HELP {name} {told}", f"# TYPE {name} {kind}"]
            lines += [f"{name}{_labels(labels)} {value}" for labels, value in samples]
        return "\n".join(lines) + "\n"

    def _families(self, now: Instant) -> Iterator[tuple[str, str, str, _Samples]]:
        started = self._started.at_ms / 1000
        yield "breakeven_agent_info", "gauge", "The agent's release and host.", [(self._info, 1)]
        yield "process_start_time_seconds", "gauge", "When the agent began, since 1970.", [({}, started)]
        by_kind: _Samples = [({"record": kind}, count) for kind, count in sorted(self._records.items())]
        yield "breakeven_agent_records_total", "counter", "Records written to the spool, by kind.", by_kind
        yield "breakeven_agent_lost_records_total", "counter", "Records given up for want of disk.", [({}, self._lost)]
        unsampled = self._unsampled_ms / 1000
        yield "breakeven_agent_unsampled_seconds_total", "counter", "Time told as a gap of all GPUs.", [({}, unsampled)]
        health = Counter(self._health.values())
        by_health: _Samples = [({"health": state}, count) for state, count in sorted(health.items())]
        yield "breakeven_agent_gpus", "gauge", "GPUs by what was last read of them.", by_health
        if self._sampled is not None:
            age = max(now.mono_ms - self._sampled.mono_ms, 0) / 1000
            yield "breakeven_agent_last_sample_age_seconds", "gauge", "Since the last sample.", [({}, age)]
        failed: _Samples = [({"replica": replica}, count) for replica, count in sorted(self._failed_scrapes.items())]
        yield "breakeven_agent_failed_scrapes_total", "counter", "Scrapes of engines that failed.", failed
        ships: _Samples = [({"result": result}, count) for result, count in sorted(self._ships.items())]
        yield "breakeven_agent_shippings_total", "counter", "Shipping processes that ended.", ships
        waiting = closed_files(self._spool)
        yield "breakeven_agent_spool_files", "gauge", "Closed files not shipped yet.", [({}, len(waiting))]
        yield "breakeven_agent_spool_bytes", "gauge", "Their size.", [({}, sum(map(_size, waiting)))]


class MetricsServer:
    """Answers every request on a port of loopback with the same text; one after the other, none for long."""

    def __init__(self, port: int, exposition: Callable[[], str]) -> None:
        self._exposition = exposition
        try:
            self._socket = socket.create_server((_LOOPBACK, port))
        except OSError as error:
            raise MetricsError(f"{_LOOPBACK}:{port}: {error.strerror}. Give --metrics another port.") from None
        threading.Thread(target=self._serve, name="own metrics", daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # closed
            with connection, suppress(OSError):
                self._answer(connection, deadline=Deadline(_CLIENT_SECONDS))

    def _answer(self, connection: socket.socket, *, deadline: Deadline) -> None:
        request = b""
        while b"\r\n\r\n" not in request and len(request) < _MOST_BYTES:
            deadline.give(connection)
            chunk = connection.recv(4_096)
            if not chunk:
                return
            request += chunk
        method, _, rest = request.partition(b" ")
        is_known = method in (b"GET", b"HEAD") and rest.split(b" ", 1)[0].partition(b"?")[0] in (b"/metrics", b"/")
        body = self._exposition().encode() if is_known else b""
        head = f"HTTP/1.1 {'200 OK' if is_known else '404 Not Found'}\r\nContent-Type: text/plain; version=0.0.4\r\n"
        head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        deadline.give(connection)
        connection.sendall(head.encode() + (b"" if method == b"HEAD" else body))


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    said = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{said}}}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0  # shipped meanwhile
