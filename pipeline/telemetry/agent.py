"""The agent of a GPU host: samples its GPUs, scrapes its engines, spools both and has closed files shipped.

One loop that waits for its sampler, its scrapes and a signal; nothing in it can block for long. A base install is
enough: what ships is a process of its own. `breakeven agent run` reads its options and becomes this process, which has
no command line to keep in memory: `python -m pipeline.telemetry.agent SETTINGS`.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from pipeline import __version__
from pipeline.errors import BreakevenError
from pipeline.formats.frozen import Frozen, fields_of
from pipeline.formats.spool import Header, Record
from pipeline.telemetry.child import Child, own_process, start
from pipeline.telemetry.clock import Clock, Instant, steady_clock
from pipeline.telemetry.holding import Holdings
from pipeline.telemetry.instance import Resource, provider_resource
from pipeline.telemetry.own_metrics import MetricsServer, Told
from pipeline.telemetry.podresources import SOCKET, pod_gpus
from pipeline.telemetry.spool import Limits, SpoolWriter, closed_files, locked
from pipeline.telemetry.watch import SamplerWatch, Say, spawn_sampler

_TURN_SECONDS = 1.0
_SHIP_MS = 5 * 60_000
_LONGEST_SHIPPING_MS = 15 * 60_000


class Settings(Frozen, kw_only=True):
    """What an agent does. `engines`: `[REPLICA=]URL` each; `ship_to`: a folder or s3://bucket/prefix.

    `asks_provider`: for its resource id, where none is told. `gpus`: replica -> UUIDs or indices. `pod_resources`: the
    kubelet's socket, asked where it is there.
    """

    spool: str
    host: str
    provider_resource_id: str | None = None
    asks_provider: bool = True
    cadence_ms: int = 5_000
    patience_ms: int = 30_000
    engines: tuple[str, ...] = ()
    gpus: Mapping[str, tuple[str, ...]] = {}  # never changed
    pod_resources: str = SOCKET
    scrape_ms: int = 15_000
    ship_to: str | None = None
    metrics_port: int | None = None
    limits: Limits = Limits()


def agent_command(settings: Settings) -> list[str]:
    """The process that does it."""
    return own_process("pipeline.telemetry.agent", json.dumps(fields_of(settings), default=fields_of))


def settings_from(text: str) -> Settings:
    """What `agent_command` was given."""
    told = json.loads(text)
    told["gpus"] = {replica: tuple(gpus) for replica, gpus in told["gpus"].items()}
    told["engines"], told["limits"] = tuple(told["engines"]), Limits(**told["limits"])
    return Settings(**told)


def this_host() -> str:
    return socket.gethostname()


def boot_id() -> str:
    """Which boot of the host this is: the kernel's own id where it gives one."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "unknown"


def run(settings: Settings, *, say: Say) -> None:
    """Run until SIGTERM or SIGINT.

    SpoolError where the folder cannot be used, MetricsError where the port cannot; ValueError for an engine's address.
    """
    clock = steady_clock()
    with locked(settings.spool), _signals() as woken:
        _Agent(settings, clock=clock, say=say, woken=woken).run()


class _Agent:
    def __init__(self, settings: Settings, *, clock: Clock, say: Say, woken: int) -> None:
        resource = _resource(settings)
        now = clock()
        header = Header(
            host=settings.host,
            boot_id=boot_id(),
            agent_start_id=os.urandom(16).hex(),
            agent_version=__version__,
            provider_resource_id=None if resource is None else resource.resource_id,
            resource_told_by=None if resource is None else resource.told_by,
        )
        self._settings = settings
        self._clock = clock
        self._say = say
        self._told = Told(host=settings.host, version=__version__, spool=settings.spool, started=now)
        self._metrics: MetricsServer | None = None
        if settings.metrics_port is not None:
            self._metrics = MetricsServer(settings.metrics_port, lambda: self._told.exposition(clock()))
        self._writer = SpoolWriter(settings.spool, header, settings.limits, now=now, written=self._told.recorded)
        has_kubelet = os.path.exists(settings.pod_resources)
        self._holdings = Holdings(
            declared=settings.gpus,
            pods=partial(pod_gpus, settings.pod_resources) if has_kubelet else None,
            clock=clock,
        )
        self._watch = SamplerWatch(
            spawn_sampler(cadence_ms=settings.cadence_ms),
            patience_ms=max(settings.patience_ms, 3 * settings.cadence_ms),
            write=self._read,
            say=say,
            now=now,
            processes=self._holdings.processes,
        )
        self._scraped: deque[tuple[Record, Instant]] = deque()
        self._stopped = threading.Event()
        self._woken = woken
        self._shipper: Child | None = None
        self._ship_ms = now.mono_ms
        self._said_error: str | None = None

    def run(self) -> None:
        self._start_scraping()
        try:
            while not self._turn():
                pass
        finally:
            self._stopped.set()
            self._take_scraped()
            self._watch.stop(self._clock())
            self._writer.close()
            if self._metrics is not None:
                self._metrics.close()
            if self._shipper is not None:
                self._shipper.kill()  # what it was doing is done again

    def _read(self, record: Record, at: Instant) -> None:
        self._holdings.learn(record)
        self._writer.write(record, at)

    def _turn(self) -> bool:
        """Wait for whatever comes first, and deal with it. True once a signal asked to stop."""
        descriptor = self._watch.descriptor
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            if descriptor is not None:
                selector.register(descriptor, selectors.EVENT_READ)
            ready = {key.fd for key, _ in selector.select(_TURN_SECONDS)}
        now = self._clock()
        if self._woken in ready:
            return True
        if descriptor in ready:
            self._watch.receive(now)
        self._take_scraped()
        self._watch.step(now)
        self._writer.maintain(now)
        self._ship(now)
        if self._writer.last_error not in (None, self._said_error):
            self._say(f"breakeven agent: {self._writer.last_error}")
        self._said_error = self._writer.last_error
        return False

    def _start_scraping(self) -> None:
        if not self._settings.engines:
            return
        # Imported only here: an agent without engines does without it.
        from pipeline.telemetry.targets import parse_target, start_scraping

        for text in self._settings.engines:
            start_scraping(
                parse_target(text, host=self._settings.host),
                cadence_ms=self._settings.scrape_ms,
                clock=self._clock,
                deliver=lambda record, at: self._scraped.append((record, at)),
                stopped=self._stopped,
                held=self._holdings.of,
            )

    def _take_scraped(self) -> None:
        while self._scraped:
            self._writer.write(*self._scraped.popleft())

    def _ship(self, now: Instant) -> None:
        if self._settings.ship_to is None:
            return
        if self._shipper is not None:
            code = self._shipper.poll()
            if code is not None:
                self._told.shipped(code)
                self._shipper = None
            elif now.mono_ms - self._ship_ms > _LONGEST_SHIPPING_MS:
                self._shipper.kill()
            return
        if now.mono_ms >= self._ship_ms and closed_files(self._settings.spool):
            what = (self._settings.spool, self._settings.ship_to, self._settings.host)
            command = own_process("pipeline.telemetry.ship", *what)
            self._ship_ms = now.mono_ms + _SHIP_MS
            try:
                self._shipper = start(command, is_piped=False)
            except OSError as error:
                self._say(f"breakeven agent: no process to ship with could be started: {error.strerror}")


def _resource(settings: Settings) -> Resource | None:
    if settings.provider_resource_id is not None:
        return Resource(settings.provider_resource_id, "declared")
    return provider_resource(os.environ) if settings.asks_provider else None


@contextmanager
def _signals() -> Iterator[int]:
    """A descriptor that becomes readable once SIGTERM or SIGINT came."""
    reads, writes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before_fd = signal.set_wakeup_fd(writes)
    before: dict[signal.Signals, Callable[..., object] | int | None] = {
        number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield reads
    finally:
        signal.set_wakeup_fd(before_fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reads)
        os.close(writes)


def main() -> int:
    """0 after SIGTERM or SIGINT; else what went wrong is said, and its exit code."""

    def say(text: str) -> None:
        from pipeline.formats.writing import printable  # rarely needed, and a megabyte

        sys.stderr.write(f"{printable(text)}\n")

    try:
        run(settings_from(sys.argv[1]), say=say)
    except BreakevenError as error:
        say(f"breakeven: {error}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
