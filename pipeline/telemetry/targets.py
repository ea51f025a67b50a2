"""Engines that the agent scrapes: each in a thread, so that one that answers slowly delays nothing else."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from pipeline.formats.engine_names import engines_of
from pipeline.formats.frozen import Frozen
from pipeline.formats.spool import Record, Scrape
from pipeline.telemetry.clock import Clock, Instant
from pipeline.telemetry.holding import Holding
from pipeline.telemetry.scrape import ScrapeError, metrics_url, scrape, shown_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_MOST_SECONDS = 10.0
# An interval of more than this is a pause of the host: the scrape speaks for no more of it.
_LATE_SCRAPES = 3
# Who an engine says it is is asked again after so many scrapes, and after each that failed: it may be a new process.
# Until it answers, its model has the name it had: a second name would make a second series of the same counters.
_SCRAPES_AN_IDENTITY = 240
_LONGEST_NAME = 200
# Where each engine tells its version, and where its model; those that are not here name it in their metrics.
# vLLM api_server.py /version · SGLang http_server.py /get_server_info · TGI router /info · TensorRT-LLM
# openai_server.py /version · llama.cpp tools/server README /props; /v1/models is the OpenAI API's.
_VERSION_AT = {
    "vllm": ("/version", "version"),
    "sglang": ("/get_server_info", "version"),
    "tgi": ("/info", "version"),
    "trtllm": ("/version", "version"),
    "llamacpp": ("/props", "build_info"),
}
_NAMES_NO_MODEL = frozenset({"tgi", "llamacpp"})

Deliver = Callable[[Record, Instant], None]
Held = Callable[[str, str], Holding | None]


class Target(Frozen):
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
    target: Target,
    *,
    cadence_ms: int,
    clock: Clock,
    deliver: Deliver,
    stopped: threading.Event,
    held: Held = lambda *_: None,
) -> threading.Thread:
    """Scrape one engine on a cadence until `stopped`; each answer, or the reason for none, is delivered.

    `held`: the GPUs of a replica at an address, null where nobody says them.
    """

    asked = _Asked(target, cadence_ms=cadence_ms, clock=clock, held=held)

    def run() -> None:
        last_ms: int | None = None
        while not stopped.is_set():
            began = clock()
            elapsed_ms = cadence_ms if last_ms is None else began.mono_ms - last_ms
            last_ms = began.mono_ms
            interval_ms = elapsed_ms if elapsed_ms <= _LATE_SCRAPES * cadence_ms else cadence_ms
            deliver(asked.scrape(interval_ms=interval_ms, began=began), began)
            stopped.wait(max(began.mono_ms + cadence_ms - clock().mono_ms, 0) / 1000)

    thread = threading.Thread(target=run, name=f"scrape {target.replica_id}", daemon=True)
    thread.start()
    return thread


class _Identity(Frozen):
    """What an engine says of itself beside its metrics. Null = not told."""

    engine: str | None = None
    version: str | None = None
    served_model: str | None = None


class _Asked:
    """One target, and who answered there last."""

    def __init__(self, target: Target, *, cadence_ms: int, clock: Clock, held: Held) -> None:
        self._target = target
        self._held = held
        self._seconds = min(_MOST_SECONDS, cadence_ms / 1000)
        self._clock = clock
        self._identity = _Identity()
        self._known_for = 0
        # As it was last told: by which engine, and which model.
        self._told: tuple[str | None, str | None] = (None, None)

    def scrape(self, *, interval_ms: int, began: Instant) -> Scrape:
        body: str | None = None
        error: str | None = None
        http_status: int | None = 200
        try:
            body = scrape(self._target.url, seconds=self._seconds)
        except ScrapeError as failed:
            error, http_status = str(failed), failed.http_status
        duration_ms = self._clock().mono_ms - began.mono_ms
        self._identify(body)
        holding = self._held(self._target.replica_id, self._target.url)
        return Scrape(
            interval_ms=interval_ms,
            target=shown_url(self._target.url),
            replica_id=self._target.replica_id,
            engine=self._identity.engine,
            engine_version=self._identity.version,
            served_model=self._identity.served_model,
            gpu_uuids=None if holding is None else holding.gpu_uuids,
            gpu_shares_ppm=None if holding is None else holding.shares_ppm,
            gpu_memory_bytes=None if holding is None else holding.memory_bytes,
            gpu_method=None if holding is None else holding.method,
            http_status=http_status,
            duration_ms=duration_ms,
            error=error,
            body=body,
        )

    def _identify(self, body: str | None) -> None:
        engine = None if body is None else next(iter(engines_of(body)), None)
        if engine is None:
            self._identity, self._known_for = _Identity(), 0
            return
        self._known_for -= 1
        if self._known_for > 0 and engine == self._identity.engine:
            return
        path, field = _VERSION_AT.get(engine, ("", ""))
        version = _json_of(self._target.url, path, seconds=self._seconds).get(field) if path else None
        names = _models(self._target.url, seconds=self._seconds) if engine in _NAMES_NO_MODEL else []
        is_told = bool(names) or engine not in _NAMES_NO_MODEL
        if is_told or engine != self._told[0]:
            # Of several it is not known whose tokens these are.
            self._told = (engine, _said(names[0]) if len(names) == 1 else None)
        self._known_for = _SCRAPES_AN_IDENTITY if is_told else 0
        self._identity = _Identity(engine, _said(version), self._told[1])


def model_named_at(url: str, *, seconds: float) -> str | None:
    """The one model that an engine at this address lists; null where it lists none, or several."""
    names = _models(url, seconds=seconds)
    return _said(names[0]) if len(names) == 1 else None


def _models(address: str, *, seconds: float) -> list[object]:
    """The models that it lists; none where it does not answer."""
    listed = _json_of(address, "/v1/models", seconds=seconds).get("data")
    return [one.get("id") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _json_of(address: str, path: str, *, seconds: float) -> dict[str, Any]:
    """A JSON object at another path of the same server; empty where it has none."""
    url = urlsplit(address)._replace(path=path, query="", fragment="").geturl()
    try:
        found = json.loads(scrape(url, seconds=seconds))
    except (ScrapeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _said(value: object) -> str | None:
    """A name in one line, as it is kept in every scrape. Half a surrogate pair could not be written at all."""
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_NAME:
        return None
    return value if value.isprintable() else None
