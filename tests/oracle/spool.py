"""What GPU hosts wrote: samples as runs of equal evidence, scrapes as counters, in one pass over the files."""

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from tests.oracle.landed import Project, moment

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
# A sample vouches for no more than this: an agent that slept has seen nothing.
LONGEST_MS = 900_000
_TWO_GIB = 2 * 1024**3

Run = tuple[int, int, str]  # [from_ms, to_ms) and what it proves: unhealthy, held or free


class GpuPlace(NamedTuple):
    host: str
    gpu_uuid: str
    boot_id: str
    provider_resource_id: str | None


class Scrape(NamedTuple):
    """One engine of one scrape, times in ms since the epoch (start: microseconds). A failed one has no figures."""

    host: str
    target: str
    at: int
    interval: int
    gpu_uuids: tuple[str, ...]
    is_valid: bool
    replica_id: str
    served_name: str
    rank: str
    started_at: int | None
    prompt: int
    cached: int | None
    generated: int
    requests: int | None
    running: int | None
    waiting: int | None
    gpu_method: str | None


@dataclass
class Spool:
    runs: dict[GpuPlace, list[Run]] = field(default_factory=lambda: defaultdict(list))
    inventory: dict[GpuPlace, list[int]] = field(default_factory=lambda: defaultdict(list))
    scrapes: list[Scrape] = field(default_factory=list)
    rows_by_day: dict[tuple[str, date], int] = field(default_factory=lambda: defaultdict(int))


def day_of(ms: int) -> date:
    return datetime.fromtimestamp(ms // DAY_MS * 86_400, tz=UTC).date()


def read_spool(project: Project) -> Spool:
    """Every record once, however often and in whatever order it was uploaded. A torn last line is dropped."""
    spool = Spool()
    seen: dict[str, set[int]] = defaultdict(set)
    known: set[tuple[str, str]] = set()
    for delivery in project.of("spool"):
        for object_id in delivery.object_ids:
            if (delivery.account, object_id) not in known:
                known.add((delivery.account, object_id))
                _read_file(spool, delivery.account, project.content(object_id), seen)
    spool.runs = {place: sorted(runs) for place, runs in spool.runs.items()}
    for runs in spool.runs.values():
        if any(first[1] > second[0] for first, second in pairwise(runs)):
            raise ValueError("two agents sampled one GPU at once: the oracle does not judge between them")
    return spool


def _read_file(spool: Spool, account: str, content: bytes, seen: dict[str, set[int]]) -> None:
    text = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    whole, _, torn = text.rpartition(b"\n")
    header: dict[str, Any] = {}
    places: dict[str, list[Run]] = {}
    rows_by_day: dict[int, int] = defaultdict(int)
    clock = _Clock()
    for record in json.loads(b"[" + whole.replace(b"\n", b",") + b"]"):
        kind = record["record"]
        if kind == "header":
            header, places = record, {}
            taken = seen[record["agent_start_id"]]
        if record["seq"] in taken:
            continue
        taken.add(record["seq"])
        at = clock.ms(record["at"])
        if kind == "sample":
            interval = record["interval_ms"]
            rows_by_day[(at - interval) // DAY_MS] += 1
            evidence = _evidence(record)
            if evidence is not None and interval > 0:
                runs = places.get(record["gpu_uuid"])
                if runs is None:
                    runs = places[record["gpu_uuid"]] = spool.runs[_place(header, record["gpu_uuid"])]
                _extend(runs, at - min(interval, LONGEST_MS), at, evidence)
        elif kind == "scrape":
            read = list(_scrape(header["host"], record, at))
            rows_by_day[(at - record["interval_ms"]) // DAY_MS] += len(read)
            spool.scrapes.extend(read)
        else:
            rows_by_day[at // DAY_MS] += 1
            if kind == "gpu":
                spool.inventory[_place(header, record["gpu_uuid"])].append(at)
    if torn.strip():
        # The torn line is reported on the day it names.
        found = re.search(rb'"at"\s*:\s*"([^"]+)"', torn)
        if found is None:
            raise ValueError("a torn line without its time: the oracle does not guess its day")
        rows_by_day[clock.ms(found[1].decode()) // DAY_MS] += 1
    for day_number, rows in rows_by_day.items():
        spool.rows_by_day[account, day_of(day_number * DAY_MS)] += rows


class _Clock:
    """Four GPUs write one time after another: the last one read is remembered."""

    def __init__(self) -> None:
        self._text = ""
        self._ms = 0

    def ms(self, text: str) -> int:
        if text != self._text:
            at = moment(text)
            self._text, self._ms = text, int(at.timestamp()) * 1000 + at.microsecond // 1000
        return self._ms


def _place(header: dict[str, Any], gpu_uuid: str) -> GpuPlace:
    return GpuPlace(header["host"], gpu_uuid, header["boot_id"], header.get("provider_resource_id"))


def _evidence(sample: dict[str, Any]) -> str | None:
    """What a sample proves of its GPU; None when nothing."""
    health = sample.get("health")
    if health != "ok":
        return None if health is None else "unhealthy"
    utilization, active = sample.get("util_gpu_pct"), sample.get("sm_active_ppm")
    memory, processes = sample.get("memory_used_bytes"), sample.get("compute_process_count")
    if utilization is None and active is None and processes is None:
        return None  # memory alone says neither busy nor idle
    has_process = processes > 0 if processes is not None else (memory or 0) > _TWO_GIB
    return "held" if has_process or (utilization or 0) > 0 or (active or 0) > 0 else "free"


def _extend(runs: list[Run], from_ms: int, to_ms: int, evidence: str) -> None:
    if runs and runs[-1][1] == from_ms and runs[-1][2] == evidence:
        runs[-1] = (runs[-1][0], to_ms, evidence)
    else:
        runs.append((from_ms, to_ms, evidence))


# --- scrapes ---------------------------------------------------------------------------------------------------------

_FAMILIES = {
    "vllm:prompt_tokens_total",
    "vllm:prompt_tokens_cached_total",
    "vllm:prompt_tokens_by_source_total",
    "vllm:generation_tokens_total",
    "vllm:request_success_total",
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
}
_STARTED = "process_start_time_seconds"
_SERIES_TEXT = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class _Series(NamedTuple):
    """Whose figure a line is. `part`: the label over which a family is split."""

    engine: tuple[str, str]
    family: str
    part: str


@lru_cache(maxsize=65_536)
def _series(text: str) -> _Series | None:
    """A line but its value; the same at every scrape. None for a figure that is not needed."""
    found = _SERIES_TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a series")
    if found[1] not in _FAMILIES:
        return None
    labels = dict(_LABEL.findall(found[2]))
    part = labels.get("source") or labels.get("finished_reason") or ""
    return _Series((labels["model_name"], labels["engine"]), found[1].removeprefix("vllm:"), part)


def _count(value: str) -> int:
    """A printed count, exactly: a float holds every whole number below 2^53."""
    found = float(value)
    exact = int(found) if abs(found) < 2**53 else int(Decimal(value))
    if exact != found and abs(found) < 2**53:
        raise ValueError(f"{value} is not a count")
    return exact


@lru_cache(maxsize=1024)
def _microseconds(seconds: str) -> int:
    return round(Decimal(seconds) * 1_000_000)


def _scrape(host: str, record: dict[str, Any], at: int) -> Iterator[Scrape]:
    body = record.get("body")
    gpu_uuids = tuple(sorted(set(record.get("gpu_uuids") or ())))
    said = (host, record["target"], at, record["interval_ms"], gpu_uuids)
    method = record.get("gpu_method")
    is_answered = record.get("error") is None and record.get("http_status") in (None, 200)
    engines = _engines(body) if is_answered and body is not None and body.endswith("\n") else {}
    for (served_name, rank), figures in sorted(engines.items()):
        started_at, prompt, cached, generated, requests, running, waiting = figures
        tokens = (prompt, cached, generated)
        queue = (requests, running, waiting)
        yield Scrape(*said, True, record["replica_id"], served_name, rank, started_at, *tokens, *queue, method)
    if not engines:
        yield Scrape(*said, False, record["replica_id"], "", "", None, 0, None, 0, None, None, None, method)


_Figures = tuple[int | None, int, int | None, int, int | None, int | None, int | None]  # the last seven of a Scrape


def _engines(body: str) -> dict[tuple[str, str], _Figures]:
    """(served name, rank) -> its counters. Nothing where an engine lacks either token counter."""
    started_at: int | None = None
    families: dict[tuple[str, str], dict[str, dict[str, int]]] = {}
    for line in body.split("\n"):
        if not line or line[0] == "#":
            continue
        text, _, value = line.rpartition(" ")
        if text == _STARTED:
            started_at = _microseconds(value)
            continue
        series = _series(text)
        if series is not None:
            families.setdefault(series.engine, {}).setdefault(series.family, {})[series.part] = _count(value)
    read: dict[tuple[str, str], _Figures] = {}
    for engine, found in families.items():
        if "prompt_tokens_total" not in found or "generation_tokens_total" not in found:
            return {}
        by_source = found.get("prompt_tokens_by_source_total", {})
        hits = [by_source[part] for part in ("local_cache_hit", "external_kv_transfer") if part in by_source]
        read[engine] = (
            started_at,
            found["prompt_tokens_total"][""],
            found.get("prompt_tokens_cached_total", {}).get("", sum(hits) if hits else None),
            found["generation_tokens_total"][""],
            sum(found["request_success_total"].values()) if "request_success_total" in found else None,
            found.get("num_requests_running", {}).get(""),
            found.get("num_requests_waiting", {}).get(""),
        )
    return read
