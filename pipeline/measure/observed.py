"""How long a deployment's own requests were, as its engines counted it: from the scrapes that agents landed whole."""

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import QuarantineError
from pipeline.formats.exposition import ExpositionError
from pipeline.formats.histogram import PROMPT_LENGTHS, Histogram, read_request_lengths
from pipeline.formats.spool import split_spool
from pipeline.landing.landing import DamagedObjectError, Landing, RedactedError
from pipeline.measure.spread import FromHistograms

# So many requests tell a spread well enough; so many files are read for them at most.
_ENOUGH_REQUESTS = 20_000
_MOST_FILES = 200
_MARKS = (b'"record":"scrape"', b'"record": "scrape"', b'"record":"header"', b'"record": "header"')

Pair = tuple[Histogram, Histogram]


@dataclass(frozen=True, order=True)
class Engine:
    """An engine as the tables name it."""

    host: str
    target: str
    model_name: str


def spool_lengths(landing: Landing, engines: Collection[Engine]) -> FromHistograms | None:
    """Lengths of the newest requests of these engines: of each file and process, what its last scrape counted more than
    its first. None where no scrape of theirs has histograms.
    """
    deliveries = [one for one in landing.contents().deliveries if one.source == "nvml_spool"]
    files = (landed for one in sorted(deliveries, key=lambda one: one.said_at, reverse=True) for landed in one.objects)
    found: list[Pair] = []
    seen: set[str] = set()
    for landed in files:
        if landed.sha256 in seen:
            continue
        seen.add(landed.sha256)
        # What cannot be read is listed by others.
        with contextlib.suppress(DamagedObjectError, RedactedError, QuarantineError):
            found += _counted_in(landing.read_object(landed), engines)
        if len(seen) >= _MOST_FILES or sum(prompt.request_count for prompt, _ in found) >= _ENOUGH_REQUESTS:
            break
    return together(found)


def together(pairs: Iterable[Pair]) -> FromHistograms | None:
    """All of them as one, of those with the same edges as most requests have; None where they counted none."""
    sums: dict[tuple[tuple[int, ...], ...], Pair] = {}
    for prompt, output in pairs:
        edges = (prompt.edges, output.edges)
        known = sums.get(edges)
        sums[edges] = (prompt, output) if known is None else (known[0].plus(prompt), known[1].plus(output))
    counted = [(prompt, output) for prompt, output in sums.values() if prompt.tokens and output.tokens]
    if not counted:
        return None
    prompt, output = max(counted, key=lambda pair: (pair[0].request_count, pair[0].edges, pair[1].edges))
    return FromHistograms(prompt=prompt, output=output)


def _counted_in(content: bytes, engines: Collection[Engine]) -> list[Pair]:
    """Per process of these engines, what came between its first and its last scrape of a spool file."""
    lines = split_spool(content).lines
    if not any(PROMPT_LENGTHS.encode() in line for line in lines):
        return []
    found: list[Pair] = []
    names = {engine.model_name for engine in engines}
    for bodies in _bodies(lines, {(engine.host, engine.target) for engine in engines}).values():
        with contextlib.suppress(ExpositionError):
            first, last = (read_request_lengths(body) for body in (bodies[0], bodies[-1]))
            found += [
                pair
                for engine in first.keys() & last.keys()
                if engine[0] in names and (pair := _between(first[engine], last[engine])) is not None
            ]
    return found


def _between(first: Pair, last: Pair) -> Pair | None:
    prompt, output = last[0].since(first[0]), last[1].since(first[1])
    return None if prompt is None or output is None else (prompt, output)


def _bodies(lines: Iterable[bytes], targets: Collection[tuple[str, str]]) -> Mapping[tuple[str, str, str], list[str]]:
    """(host, target, process start) -> the first and the last answer of that process."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for host, scrape in _scrapes(lines):
        body, target = scrape.get("body"), str(scrape.get("target"))
        if isinstance(body, str) and (host, target) in targets:
            started = next((line for line in body.split("\n") if line.startswith("process_start_time_seconds")), "")
            found.setdefault((host, target, started), []).append(body)
            del found[host, target, started][1:-1]
    return found


def _scrapes(lines: Iterable[bytes]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    host = ""
    for line in lines:
        if not any(mark in line for mark in _MARKS):
            continue
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        if isinstance(fields, dict) and fields.get("record") == "header":
            host = str(fields.get("host"))
        elif isinstance(fields, dict) and fields.get("record") == "scrape":
            yield host, fields
