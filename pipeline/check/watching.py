"""Scrapes of one address over a window: from the network, or as they were saved."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.check.engine import CheckError, Reading
from pipeline.errors import BreakevenError
from pipeline.formats.engines import UNNAMED, EngineRow, read_engine
from pipeline.formats.exposition import ExpositionError
from pipeline.telemetry.scrape import ScrapeError, scrape, shown_url
from pipeline.telemetry.targets import model_named_at

_MOST_SCRAPES = 20
_SHORTEST_STEP_SECONDS = 1.0
_STAMP = re.compile(r"(?<![0-9])([0-9]{4})-?([0-9]{2})-?([0-9]{2})T([0-9]{2}):?([0-9]{2}):?([0-9]{2})Z(?![A-Za-z0-9])")
_MOST_BYTES = 32 * 1024**2


@dataclass(frozen=True)
class Clock:
    """The time as it is handed in: the date of a moment, a steady count of seconds, and a way to wait."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]


@dataclass(frozen=True, kw_only=True)
class Watched:
    """Scrapes of one address in their order, and what a person should know of how they came.

    `gap_seconds`: two scrapes further apart than this leave the time between them, and its tokens, unobserved.
    """

    readings: tuple[Reading, ...]
    notes: tuple[str, ...] = ()
    name: str = ""
    gap_seconds: float | None = None

    def segments(self) -> list[tuple[Reading, ...]]:
        """The runs of two scrapes and more without a gap between them."""
        runs: list[list[Reading]] = [[]]
        for reading in self.readings:
            before = runs[-1][-1] if runs[-1] else None
            apart = 0.0 if before is None else (reading.at - before.at).total_seconds()
            if self.gap_seconds is not None and apart > self.gap_seconds:
                runs.append([])
            runs[-1].append(reading)
        return [tuple(run) for run in runs if len(run) > 1]


def watch(url: str, *, seconds: float, timeout_seconds: float, clock: Clock) -> Watched:
    """Scrape an address now and over so many seconds, about once a second; once, where it is 0.

    More than two scrapes: they say when the engine served and when it stood idle. One that fails is noted, and the
    window goes on; SourceError or ExpositionError where the first one fails, CheckError where no other one came.
    """
    wall, start = clock.now(), clock.monotonic()
    named: list[str | None] = []

    def read() -> Reading:
        body = scrape(url, seconds=timeout_seconds, monotonic=clock.monotonic)
        # A steady clock between scrapes: setting the host's time moves no window.
        at = wall + timedelta(seconds=clock.monotonic() - start)
        try:
            rows = read_engine(body)
        except ExpositionError as error:
            raise ExpositionError(f"{shown_url(url)}: {error}") from None
        if any(row.model_name == UNNAMED for row in rows):
            # TGI and llama.cpp say at another path of theirs which model these counters are of: asked once.
            if not named:
                named.append(model_named_at(url, seconds=timeout_seconds))
            rows = read_engine(body, served_model=named[0])
        return Reading(at=at, rows=tuple(rows))

    readings = [read()]
    if seconds <= 0:
        return Watched(readings=tuple(readings))
    step_count = max(1, min(_MOST_SCRAPES, int(seconds / _SHORTEST_STEP_SECONDS)))
    failures: list[BreakevenError] = []
    begun = clock.monotonic()
    for number in range(1, step_count + 1):
        clock.sleep(max(0.0, begun + seconds * number / step_count - clock.monotonic()))
        try:
            readings.append(read())
        except (ScrapeError, ExpositionError) as error:
            failures.append(error)
    if len(readings) == 1:
        raise CheckError(f"After the first scrape none came in {seconds:g} s. The last said: {failures[-1]}")
    notes = [f"{len(failures)} of {step_count + 1} scrapes failed, the last: {failures[-1]}"] if failures else []
    return Watched(readings=tuple(readings), notes=tuple(notes))


def saved_pair(first: Path, second: Path, *, seconds: float | None) -> Watched:
    """Two saved `/metrics` answers, the earlier one first.

    When they were taken: `seconds` apart where that is given, else by the stamp in both names (20261129T052000Z), else
    by when the files were last written; which of these it was is the first note. CheckError where that is no window.
    """
    bodies = [_saved(path) for path in (first, second)]
    stamps = [_stamp(path.name) for path in (first, second)]
    written = [datetime.fromtimestamp(path.stat().st_mtime, tz=UTC) for path in (first, second)]
    if seconds is not None:
        to_at = stamps[1] or written[1]
        times = [to_at - timedelta(seconds=seconds), to_at]
        said = f"the two scrapes are {seconds:g} s apart because --seconds says so"
    elif stamps[0] is not None and stamps[1] is not None:
        times = [stamps[0], stamps[1]]
        said = "when the scrapes were taken is what their names say"
    else:
        times = written
        said = "when the scrapes were taken is when their files were last written: a copy changes that; give --seconds"
    if not times[0] < times[1]:
        raise CheckError(
            f"{second.name} is of {times[1]:%Y-%m-%d %H:%M:%S} UTC, not later than {first.name} of "
            f"{times[0]:%Y-%m-%d %H:%M:%S} UTC. Give the earlier one first, or --seconds for the time between them."
        )
    pairs = zip(times, bodies, (first, second), strict=True)
    return Watched(readings=tuple(Reading(at=at, rows=_rows(body, path)) for at, body, path in pairs), notes=(said,))


def _saved(path: Path) -> str:
    try:
        content = path.read_bytes() if path.stat().st_size <= _MOST_BYTES else None
    except OSError as error:
        raise CheckError(f"{path}: {error.strerror}. Give the two saved answers of /metrics.") from None
    if content is None:
        raise CheckError(f"{path}: larger than {_MOST_BYTES} bytes, which no /metrics answer is.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckError(f"{path}: byte {error.start} is not UTF-8, so this is no saved /metrics answer.") from None


def _rows(body: str, path: Path) -> tuple[EngineRow, ...]:
    try:
        return tuple(read_engine(body))
    except ExpositionError as error:
        raise ExpositionError(f"{path}: {error}") from None


def _stamp(name: str) -> datetime | None:
    found = _STAMP.search(name)
    if found is None:
        return None
    try:
        year, month, day, hour, minute, second = map(int, found.groups())
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
