"""Engines: what their counters moved by, in which hours, and when each was serving, idle or starting."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from itertools import groupby
from typing import NamedTuple

from tests.oracle.spool import DAY_MS, HOUR_MS, LONGEST_MS, Scrape, day_of

_WATCHED_BACK_DAYS = 7
_MINUTE_MS = 60_000


class Interval(NamedTuple):
    """What one scrape adds to the one before it. Tokens are None where a count cannot be known."""

    scrape: Scrape
    baseline: str
    is_timed: bool
    from_ms: int
    to_ms: int
    tokens: dict[str, int | None]
    is_serving: bool


class Claim(NamedTuple):
    """[from_ms, to_ms) in which an engine was in a state on its GPUs."""

    from_ms: int
    to_ms: int
    target: str
    state: str


class HourTokens(NamedTuple):
    hour: int
    host: str
    target: str
    served_name: str
    token_class: str


def intervals(scrapes: list[Scrape]) -> list[Interval]:
    """Counter increments between scrapes of one process; nothing extrapolated, what was lost stays lost."""
    instants: dict[tuple[str, str], list[int]] = defaultdict(list)
    for host, target, at in sorted({(scrape.host, scrape.target, scrape.at) for scrape in scrapes}):
        instants[host, target].append(at)
    before = {
        (*engine, at): ats[index - 1] if index else None
        for engine, ats in instants.items()
        for index, at in enumerate(ats)
    }
    valid = sorted((scrape for scrape in scrapes if scrape.is_valid), key=lambda one: (*_process(one), one.at))
    found = []
    for _, readings in groupby(valid, key=_process):
        process = _in_order(list(readings))
        previous: Scrape | None = None
        read_at = -1
        highest = (0, 0)
        for scrape in process:
            if scrape.at == read_at:
                continue  # two agents, or one upload twice, read the same instant
            read_at = scrape.at
            is_behind = scrape.prompt < highest[0] or scrape.generated < highest[1]
            highest = max(highest[0], scrape.prompt), max(highest[1], scrape.generated)
            if is_behind and scrape.started_at is not None:
                continue  # one process never counts backwards: another server's clock, or a late answer
            found.append(_interval(scrape, previous, before[scrape.host, scrape.target, scrape.at]))
            previous = scrape
    return found


def _in_order(process: list[Scrape]) -> list[Scrape]:
    """Of a process that does not say when it began: without what is late, and without a second fall within a minute."""
    if process[0].started_at is not None:
        return process
    kept: list[Scrape] = []
    fell_at = -_MINUTE_MS
    for scrape in process:
        before = _highest([one for one in process if 0 < scrape.at - one.at < _MINUTE_MS])
        after = _highest([one for one in process if 0 < one.at - scrape.at < _MINUTE_MS])
        is_below = before is not None and (scrape.prompt < before[0] or scrape.generated < before[1])
        is_regained = after is None or (before is not None and after[0] >= before[0] and after[1] >= before[1])
        if is_below and is_regained:
            continue
        last = kept[-1] if kept else None
        if last is not None and (scrape.prompt < last.prompt or scrape.generated < last.generated):
            is_second = scrape.at - fell_at < _MINUTE_MS
            fell_at = scrape.at
            if is_second:
                continue
        kept.append(scrape)
    return kept


def _highest(scrapes: list[Scrape]) -> tuple[int, int] | None:
    return (max(one.prompt for one in scrapes), max(one.generated for one in scrapes)) if scrapes else None


def _process(scrape: Scrape) -> tuple[str, str, str, str, str, int]:
    started_at = -1 if scrape.started_at is None else scrape.started_at
    return scrape.host, scrape.target, scrape.replica_id, scrape.served_name, scrape.rank, started_at


def _first_day(scrape: Scrape) -> int:
    """The number of the day on which the scrape's own interval began."""
    return (scrape.at - scrape.interval) // DAY_MS


def _interval(scrape: Scrape, previous: Scrape | None, target_before: int | None) -> Interval:
    if previous is not None and _first_day(scrape) - _first_day(previous) > _WATCHED_BACK_DAYS:
        previous = None
    baseline = _baseline(scrape, previous, target_before)
    if baseline == "previous_scrape" and previous is not None:
        prompt: int | None = scrape.prompt - previous.prompt
        generated: int | None = scrape.generated - previous.generated
        cached = _moved(scrape.cached, previous.cached)
        requests = _moved(scrape.requests, previous.requests)
    elif baseline == "unknown":
        prompt = generated = cached = requests = None
    else:
        prompt, generated, cached, requests = scrape.prompt, scrape.generated, scrape.cached, scrape.requests
    counted_from: int | None = None
    if previous is not None:
        counted_from = previous.at
    elif baseline == "process_start" and scrape.started_at is not None:
        counted_from = scrape.started_at // 1000
    is_timed = (
        counted_from is not None
        and scrape.interval <= LONGEST_MS
        and scrape.at - counted_from <= min(3 * scrape.interval, LONGEST_MS)
    )
    if is_timed and counted_from is not None:
        from_ms, to_ms = max(counted_from, _first_day(scrape) * DAY_MS), scrape.at
    else:
        # Booked to the start of the scrape's own interval, over what a reading may vouch for.
        from_ms = scrape.at - scrape.interval
        to_ms = min(scrape.at, from_ms + LONGEST_MS)
    from_ms = min(from_ms, scrape.at - 1)
    hits = None if cached is None or prompt is None else min(cached, prompt)
    moved = is_timed and any((count or 0) > 0 for count in (prompt, generated, requests))
    went_on = baseline == "previous_scrape" and previous is not None and (previous.running or 0) > 0
    return Interval(
        scrape=scrape,
        baseline=baseline,
        is_timed=is_timed,
        from_ms=from_ms,
        to_ms=to_ms,
        tokens={
            "input_uncached": None if prompt is None else prompt - (hits or 0),
            "input_cache_read": hits,
            "output": generated,
        },
        is_serving=(scrape.running or 0) > 0 or went_on or moved,
    )


def _baseline(scrape: Scrape, previous: Scrape | None, target_before: int | None) -> str:
    if previous is not None:
        fell = scrape.prompt < previous.prompt or scrape.generated < previous.generated
        return "counter_fell" if fell else "previous_scrape"
    if scrape.started_at is None:
        return "unknown"
    watched_from = [_first_day(scrape) * DAY_MS, scrape.at - 3 * scrape.interval]
    if target_before is not None:
        watched_from.append(target_before)
    return "process_start" if scrape.started_at >= min(watched_from) * 1000 else "unknown"


def _moved(now: int | None, before: int | None) -> int | None:
    return now - before if now is not None and before is not None and now >= before else None


def tokens_by_hour(found: list[Interval], *, days: set[date]) -> dict[HourTokens, list[int]]:
    """[tokens, of which untimed] of each hour. An interval over a full hour is split by its milliseconds."""
    hours: dict[HourTokens, list[int]] = defaultdict(lambda: [0, 0])
    for one in found:
        if one.baseline == "unknown":
            continue
        for token_class, tokens in one.tokens.items():
            if tokens is None:
                continue
            for hour, part in _hour_parts(one, tokens):
                if day_of(hour * HOUR_MS) in days:
                    scrape = one.scrape
                    cell = hours[HourTokens(hour, scrape.host, scrape.target, scrape.served_name, token_class)]
                    cell[0] += part
                    cell[1] += 0 if one.is_timed else part
    return hours


def _hour_parts(one: Interval, tokens: int) -> Iterator[tuple[int, int]]:
    """(hour, tokens). By largest remainder; of two equal ones the earlier hour's is first."""
    first, last = one.from_ms // HOUR_MS, (one.to_ms - 1) // HOUR_MS
    if first == last:
        yield first, tokens
        return
    later_ms = one.to_ms - (first + 1) * HOUR_MS
    later, remainder = divmod(tokens * later_ms, one.to_ms - one.from_ms)
    later += 2 * remainder > one.to_ms - one.from_ms
    yield first, tokens - later
    yield last, later


def served_names(found: list[Interval], *, days: set[date]) -> set[tuple[date, str, str, str]]:
    """(day, host, target, served name) of every day that an interval touches."""
    names = set()
    for one in found:
        scrape = one.scrape
        for day_number in range(one.from_ms // DAY_MS, (one.to_ms - 1) // DAY_MS + 1):
            day = day_of(day_number * DAY_MS)
            if day in days:
                names.add((day, scrape.host, scrape.target, scrape.served_name))
    return names


def claims_by_gpu(scrapes: list[Scrape], found: list[Interval]) -> dict[tuple[str, str], list[Claim]]:
    """(host, GPU) -> in which state its engine was, when. A target's claims follow each other without overlap.

    An engine that a scrape could not read, but whose GPUs are known, is starting.
    """
    stated: dict[tuple[str, str, int], tuple[str, int, tuple[str, ...]]] = {}
    for one in found:
        scrape = one.scrape
        from_ms = one.from_ms if one.is_timed else scrape.at - min(scrape.interval, LONGEST_MS)
        state = "serving" if one.is_serving else "loaded_idle"
        if (scrape.host, scrape.target, scrape.at) in stated:
            raise ValueError("one answer of several engines: the oracle does not unite them")
        stated[scrape.host, scrape.target, scrape.at] = (state, from_ms, scrape.gpu_uuids)
    for scrape in scrapes:
        if not scrape.is_valid and scrape.gpu_uuids:
            from_ms = scrape.at - min(scrape.interval, LONGEST_MS)
            stated.setdefault((scrape.host, scrape.target, scrape.at), ("starting", from_ms, scrape.gpu_uuids))
    claims: dict[tuple[str, str], list[Claim]] = defaultdict(list)
    last: dict[tuple[str, str], int] = {}
    for (host, target, at), (state, from_ms, gpu_uuids) in sorted(stated.items()):
        if not gpu_uuids:
            raise ValueError(f"{target} on {host} names no GPU: the oracle does not guess them")
        start = max(from_ms, last.get((host, target), from_ms))
        last[host, target] = at
        for gpu_uuid in gpu_uuids if start < at else ():
            claims[host, gpu_uuid].append(Claim(start, at, target, state))
    return {gpu: sorted(found_claims) for gpu, found_claims in claims.items()}
