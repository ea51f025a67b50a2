"""GPU time: a sweep over each GPU's observed runs and its engines' claims gives every millisecond one state."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from typing import NamedTuple

from tests.oracle.engines import Claim
from tests.oracle.spool import DAY_MS, HOUR_MS, GpuPlace, Run, Spool, day_of


class StateCell(NamedTuple):
    usage_date: date
    place: GpuPlace
    target: str | None
    state: str


class Sighting(NamedTuple):
    """A GPU seen on a day: from when to when, and for how many milliseconds."""

    first_ms: int
    last_ms: int
    observed_ms: int


def states_by_day(spool: Spool, claims: dict[tuple[str, str], list[Claim]], *, days: set[date]) -> dict[StateCell, int]:
    """Observed GPU-milliseconds by state. Unhealthy first; then what the engine says; then whether a process was there.

    An engine that is starting holds its GPU: where no process is there, nothing is starting.
    """
    cells: dict[StateCell, int] = defaultdict(int)
    for place, runs in spool.runs.items():
        gpu_claims = claims.get((place.host, place.gpu_uuid), [])
        if any(first.to_ms > second.from_ms for first, second in pairwise(gpu_claims)):
            raise ValueError(f"engines share {place.gpu_uuid}: the oracle does not divide it")
        for from_ms, to_ms, target, state in pieces(runs, gpu_claims):
            for day, milliseconds in _by_day(from_ms, to_ms):
                if day in days:
                    cells[StateCell(day, place, target, state)] += milliseconds
    return cells


def pieces(runs: list[Run], claims: list[Claim]) -> Iterator[tuple[int, int, str | None, str]]:
    """(from, to, engine, state) of a GPU's observed time, one after the other."""
    position = 0
    for run_from, run_to, evidence in runs:
        if evidence == "unhealthy":
            yield run_from, run_to, None, "unhealthy"
            continue
        rest = "held_other" if evidence == "held" else "unallocated"
        while position and claims[position - 1].to_ms > run_from:
            position -= 1
        while position < len(claims) and claims[position].to_ms <= run_from:
            position += 1
        reached = run_from
        while position < len(claims) and claims[position].from_ms < run_to:
            claim = claims[position]
            start, end = max(claim.from_ms, reached), min(claim.to_ms, run_to)
            if start > reached:
                yield reached, start, None, rest
            if claim.state == "starting" and evidence == "free":
                yield start, end, None, rest
            else:
                yield start, end, claim.target, claim.state
            reached = end
            position += 1
        if reached < run_to:
            yield reached, run_to, None, rest


def _by_day(from_ms: int, to_ms: int) -> Iterator[tuple[date, int]]:
    while from_ms < to_ms:
        end = min(to_ms, (from_ms // DAY_MS + 1) * DAY_MS)
        yield day_of(from_ms), end - from_ms
        from_ms = end


def sightings(spool: Spool, *, days: set[date]) -> dict[tuple[date, GpuPlace], Sighting]:
    """Where each GPU was seen on each day, by samples and by agents' inventories."""
    seen: dict[tuple[date, GpuPlace], Sighting] = {}

    def add(place: GpuPlace, from_ms: int, to_ms: int, day_ms: int, observed_ms: int) -> None:
        day = day_of(day_ms)
        if day in days:
            known = seen.get((day, place), Sighting(from_ms, to_ms, 0))
            seen[day, place] = Sighting(
                min(known.first_ms, from_ms), max(known.last_ms, to_ms), known.observed_ms + observed_ms
            )

    for place, runs in spool.runs.items():
        for from_ms, to_ms, _ in runs:
            for start in range(from_ms // DAY_MS * DAY_MS, to_ms, DAY_MS):
                part_from, part_to = max(from_ms, start), min(to_ms, start + DAY_MS)
                add(place, part_from, part_to, start, part_to - part_from)
    for place, moments in spool.inventory.items():
        for at in moments:
            add(place, at, at, at, 0)
    return seen


def watched_by_host(spool: Spool) -> dict[tuple[date, str], int]:
    """For how long a host was observed: in each hour as long as its best observed GPU."""
    by_hour: dict[tuple[str, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for place, runs in spool.runs.items():
        for from_ms, to_ms, _ in runs:
            for hour in range(from_ms // HOUR_MS, (to_ms - 1) // HOUR_MS + 1):
                part = min(to_ms, (hour + 1) * HOUR_MS) - max(from_ms, hour * HOUR_MS)
                by_hour[place.host, hour][place.gpu_uuid] += part
    watched: dict[tuple[date, str], int] = defaultdict(int)
    for (host, hour), by_gpu in by_hour.items():
        watched[day_of(hour * HOUR_MS), host] += max(by_gpu.values())
    return watched
