"""The engines that a Prometheus has scraped, as scrapes: asked and read as source `prometheus` asks and reads them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.check.engine import CheckError, Reading
from pipeline.check.watching import Watched
from pipeline.formats.engines import EngineRow
from pipeline.sources.prometheus import ENGINES, check, payload_of
from pipeline.sources.prometheus_http import Prometheus, raw_windows
from pipeline.sources.prometheus_tables import ENGINE_SAMPLES, parse_engines

_SHOWN_FIRST = ("namespace", "pod", "instance")
_LONGEST_QUESTION = timedelta(hours=1)
# As long as Prometheus itself takes a sample to stand for (its lookback): beyond it nobody knows.
_GAP_SECONDS = 300.0

_Row = Mapping[str, Any]


def watched_by(server: Prometheus, *, start: datetime, stop: datetime, match: str = "") -> list[Watched]:
    """Every engine's address with samples in [start, stop), by name. `match`: further matchers, without braces.

    Of a pair of servers one is read, for each address and hour. Raises SourceError; ConfigError for a `match` that is
    none; CheckError where there is no engine.
    """
    settings = {"match": match} if match else {}
    check(settings, ())
    warnings: list[str] = []
    by_target: dict[str, list[_Row]] = {}
    for row in _rows(server, ENGINES.selector(settings), start, stop, warnings):
        by_target.setdefault(row["target_labels"], []).append(row)
    by_address = _by_address(by_target)
    if not by_address:
        raise CheckError(
            f"{server.host} has no sample of an engine's token counters between {start:%Y-%m-%d %H:%M} and "
            f"{stop:%Y-%m-%d %H:%M} UTC. Does it scrape the engines? Name another time with --window."
        )
    readings = {address: _readings(rows) for address, rows in sorted(by_address.items())}
    if not any(readings.values()):
        raise CheckError(
            f"{server.host} has samples of engines, none with both token counters. Is a rule dropping some?"
        )
    known = {address: json.loads(address) for address in readings}
    found = [
        Watched(
            readings=its,
            name=_name(known[address], known.values()),
            notes=_notes(by_address[address], warnings),
            gap_seconds=_GAP_SECONDS,
        )
        for address, its in readings.items()
        if its
    ]
    return sorted(found, key=lambda one: one.name)


def _rows(
    server: Prometheus, selector: str, start: datetime, stop: datetime, warnings: list[str]
) -> Iterator[dict[str, Any]]:
    for begin, end, said in raw_windows(server, selector, start=start, stop=stop, longest=_LONGEST_QUESTION):
        warnings += said.warnings
        payload = payload_of(ENGINES, selector, begin, end, said.content)
        yield from parse_engines(payload.content, {})[ENGINE_SAMPLES.name].iter_rows(named=True)


def _by_address(by_target: Mapping[str, Sequence[_Row]]) -> dict[str, list[_Row]]:
    """The first labels of an address -> its rows. Two monitors of one pod differ in their job, and are one address.

    Without a pod an address may be a name that every machine has for itself: then it is one where it is one process.
    """
    labels: dict[object, str] = {}
    found: dict[str, list[_Row]] = {}
    for target, rows in sorted(by_target.items()):
        row = rows[0]
        starts = frozenset(one["process_started_at"] for one in rows) - {None}
        process = row["pod"] or starts or target
        place = (row["cluster"], row["namespace"], row["instance"], process)
        found.setdefault(labels.setdefault(place, target), []).extend(rows)
    return found


def _readings(rows: Sequence[_Row]) -> tuple[Reading, ...]:
    """What one scrape stored has one time in every series of its address. Without both counters it says nothing."""
    by_time: dict[datetime, list[EngineRow]] = {}
    for row in rows:
        if row["prompt_tokens"] is not None and row["generation_tokens"] is not None:
            by_time.setdefault(row["at"], []).append(_engine_row(row))
    return tuple(Reading(at=at.replace(tzinfo=UTC), rows=tuple(its)) for at, its in sorted(by_time.items()))


def _engine_row(row: _Row) -> EngineRow:
    return EngineRow(
        engine=row["serving_engine"],
        prompt_counts=row["prompt_counts"],
        model_name=row["model_name"],
        engine_rank=row["engine"],
        prompt_tokens=row["prompt_tokens"],
        prompt_tokens_cached=row["prompt_tokens_cached"],
        generation_tokens=row["generation_tokens"],
        requests_success=row["requests_success"],
        requests_running=row["requests_running"],
        requests_waiting=row["requests_waiting"],
        process_started_at=row["process_started_at"],
        engine_version=None,
        identity_gap_tokens=row["identity_gap_tokens"],
        prompt_tokens_transferred=row["prompt_tokens_transferred"],
        engine_role=row["engine_role"],
    )


def _notes(rows: Sequence[_Row], warnings: Iterable[str]) -> tuple[str, ...]:
    said = [f"the server says of its own answer: {text}" for text in dict.fromkeys(warnings)]
    if any(row["replica"] for row in rows):
        said.append("of a pair of servers that both scrape, one is read for each address and hour, never both")
    return tuple(said)


def _name(own: Mapping[str, str], everyone: Iterable[Mapping[str, str]]) -> str:
    """What tells an address from the others, the telling labels first."""
    everywhere = set.intersection(*(set(labels.items()) for labels in everyone))
    telling = {name: value for name, value in own.items() if (name, value) not in everywhere}
    # A pod's address says nothing that its name does not.
    shown = [name for name in _SHOWN_FIRST if name in telling and (name != "instance" or "pod" not in telling)]
    chosen = [telling[name] for name in shown]
    return "/".join(chosen or list(telling.values()) or [own.get("instance", "the only one")])
