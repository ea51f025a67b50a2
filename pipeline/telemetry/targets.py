"""Engines that the agent scrapes: each in a thread, so that one that answers slowly delays nothing else."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from pipeline.formats.spool import Record, Scrape
from pipeline.telemetry.clock import Clock, Instant
from pipeline.telemetry.scrape import ScrapeError, metrics_url, scrape, shown_url

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_MOST_SECONDS = 10.0
# An interval of more than this is a pause of the host: the scrape speaks for no more of it.
_LATE_SCRAPES = 3

Deliver = Callable[[Record, Instant], None]


@dataclass(frozen=True)
class Target:
    """One engine: whose replica it is, and the address of its metrics (which may hold a password)."""

    replica_id: str
    url: str


def parse_target(text: str, *, host: str) -> Target:
    """`[REPLICA=]URL`. Without a name a replica is its host and port; loopback's is this host's.

    ValueError says what is wrong.
    """
    name, separator, rest = text.partition("=")
    is_named = bool(separator) and "://" not in name
    url = metrics_url(rest if is_named else text)
    if is_named and not name.strip():
        raise ValueError(f"{shown_url(text)!r} names no replica before the `=`.")
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    where = host if parts.hostname in _LOOPBACK else parts.hostname
    return Target(name.strip() if is_named else f"{where}:{port}", url)


def start_scraping(
    target: Target, *, cadence_ms: int, clock: Clock, deliver: Deliver, stopped: threading.Event
) -> threading.Thread:
    """Scrape one engine on a cadence until `stopped`; each answer, or the reason for none, is delivered."""

    def run() -> None:
        last_ms: int | None = None
        while not stopped.is_set():
            began = clock()
            elapsed_ms = cadence_ms if last_ms is None else began.mono_ms - last_ms
            last_ms = began.mono_ms
            interval_ms = elapsed_ms if elapsed_ms <= _LATE_SCRAPES * cadence_ms else cadence_ms
            deliver(*_asked(target, interval_ms=interval_ms, cadence_ms=cadence_ms, began=began, clock=clock))
            stopped.wait(max(began.mono_ms + cadence_ms - clock().mono_ms, 0) / 1000)

    thread = threading.Thread(target=run, name=f"scrape {target.replica_id}", daemon=True)
    thread.start()
    return thread


def _asked(
    target: Target, *, interval_ms: int, cadence_ms: int, began: Instant, clock: Clock
) -> tuple[Scrape, Instant]:
    body: str | None = None
    error: str | None = None
    http_status: int | None = 200
    try:
        body = scrape(target.url, seconds=min(_MOST_SECONDS, cadence_ms / 1000))
    except ScrapeError as failed:
        error, http_status = str(failed), failed.http_status
    found = Scrape(
        interval_ms=interval_ms,
        target=shown_url(target.url),
        replica_id=target.replica_id,
        http_status=http_status,
        duration_ms=clock().mono_ms - began.mono_ms,
        error=error,
        body=body,
    )
    return found, began
