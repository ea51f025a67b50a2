"""What an engine's counters moved by between scrapes, and what a million of those tokens cost. No I/O, no clock.

The rules are those of `int_engine_intervals`, for one address: nothing is extrapolated; a process that restarted counts
from zero, and what the old one served after its last scrape is lost, so that the sum is a lower bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from pipeline.economics.exact import to_places
from pipeline.economics.units import UnitCosts, unit_costs
from pipeline.errors import BreakevenError
from pipeline.formats.engines import EngineRow
from pipeline.formats.exposition import VllmRow

_MILLISECOND = timedelta(milliseconds=1)
_HOUR_MS = 3_600_000
_MONEY_PLACES = 18
# Between two starts a model is loaded, which takes longer.
_FASTEST_START = timedelta(minutes=1)

EngineRead = EngineRow | VllmRow


class CheckError(BreakevenError):
    """What was given cannot be checked; the message says what is so and what to do next."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One scrape of one address: when, in UTC, and a row for each engine behind it."""

    at: datetime
    rows: tuple[EngineRead, ...]


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Tokens served. `cache_read`: of the prompt, found in a cache; None where the engine does not count them.

    `requests`: ended successfully, None where not counted.
    """

    prompt: int
    cache_read: int | None
    output: int
    requests: int | None

    @property
    def total(self) -> int:
        return self.prompt + self.output

    @property
    def computed(self) -> int | None:
        """Prompt tokens that were really prefilled."""
        return None if self.cache_read is None else self.prompt - self.cache_read

    def by_class(self) -> dict[str, int]:
        """Disjoint token class -> tokens. Where cache hits are not counted all prompt tokens are `input`."""
        if self.cache_read is None:
            return {"input": self.prompt, "output": self.output}
        return {
            "input_uncached": self.prompt - self.cache_read,
            "input_cache_read": self.cache_read,
            "output": self.output,
        }


@dataclass(frozen=True, kw_only=True)
class Window:
    """What one address served in [from_at, to_at), or several did: the figures are of all engines behind them.

    `spans`: when any of them was watched, apart and in order. `observed_ms`: how long each was, added up.
    `serving_ms`: of it, the intervals between scrapes in which a request ran or a counter moved; None where the scrapes
    cannot tell. `interval_count`: how many there are. `is_lower_bound`: tokens were lost to a restart.
    """

    from_at: datetime
    to_at: datetime
    tokens: Tokens
    observed_ms: int
    serving_ms: int | None
    interval_count: int
    spans: tuple[tuple[datetime, datetime], ...]
    is_lower_bound: bool = False
    notes: tuple[str, ...] = ()

    @property
    def watched_ms(self) -> int:
        """How long any of them was watched: what is a second or an hour on average is over this, gaps left out."""
        return sum(((end - begin) // _MILLISECOND for begin, end in self.spans), 0)

    @property
    def milliseconds(self) -> int:
        return (self.to_at - self.from_at) // _MILLISECOND

    @property
    def idle_ms(self) -> int | None:
        return None if self.serving_ms is None else self.observed_ms - self.serving_ms


@dataclass(frozen=True, kw_only=True)
class Priced:
    """A window at a rate. `cost` is accrued (GPU-hours x rate), None without a rate; `active_cost` its serving part."""

    window: Window
    gpu_ms: int
    cost: Decimal | None
    active_cost: Decimal | None
    units: UnitCosts

    @property
    def cost_per_hour(self) -> Fraction | None:
        """Of all GPUs together, on average while any was watched; None without a rate."""
        milliseconds = self.window.watched_ms
        return None if self.cost is None or not milliseconds else Fraction(self.cost) * _HOUR_MS / milliseconds


def engines_of(readings: Sequence[Reading]) -> list[tuple[str, str]]:
    """(served name, rank) of every engine in any of the scrapes, sorted."""
    return sorted({(row.model_name, row.engine_rank) for reading in readings for row in reading.rows})


def observed(readings: Sequence[Reading]) -> Window:
    """From the first scrape to the last. Raises CheckError where they are not of one process at a time.

    At least two scrapes, of which each is later than the one before.
    """
    if len(readings) < 2 or any(later.at <= earlier.at for earlier, later in pairwise(readings)):
        raise CheckError("A window needs two scrapes, the second later than the first.")
    readings = _never_backwards(readings)
    _refuse_in_turn(readings)
    moves = [_Move.between(earlier, later) for earlier, later in pairwise(readings)]
    serving = [later.at - earlier.at for (earlier, later), m in zip(pairwise(readings), moves, strict=True) if m.served]
    return Window(
        from_at=readings[0].at,
        to_at=readings[-1].at,
        tokens=_sum([move.tokens for move in moves]),
        observed_ms=(readings[-1].at - readings[0].at) // _MILLISECOND,
        serving_ms=sum(serving, timedelta()) // _MILLISECOND,
        interval_count=len(moves),
        spans=((readings[0].at, readings[-1].at),),
        is_lower_bound=any(move.is_lower_bound for move in moves),
        notes=tuple(dict.fromkeys(note for move in moves for note in move.notes)),
    )


def since_start(reading: Reading) -> Window | None:
    """From the start of the process to a scrape, by the counters' whole value; None where its start is not said.

    The process's first minutes, in which it loads the model, are in it. When it served in between is not known.
    """
    starts = [row.process_started_at for row in reading.rows]
    known = [start.replace(tzinfo=UTC) for start in starts if start is not None]
    if not known or len(known) < len(starts) or not min(known) < reading.at:
        return None
    tokens = [
        Tokens(
            prompt=row.prompt_tokens,
            cache_read=_at_most(row.prompt_tokens_cached, row.prompt_tokens),
            output=row.generation_tokens,
            requests=row.requests_success,
        )
        for row in reading.rows
        if row.prompt_tokens is not None and row.generation_tokens is not None
    ]
    if len(tokens) < len(reading.rows):
        return None
    return Window(
        from_at=min(known),
        to_at=reading.at,
        tokens=_sum(tokens),
        observed_ms=(reading.at - min(known)) // _MILLISECOND,
        serving_ms=None,
        interval_count=1,
        spans=((min(known), reading.at),),
    )


def joined(windows: Sequence[Window]) -> Window:
    """Windows of one address with gaps between them, or of several addresses, as one. At least one."""
    serving = [window.serving_ms for window in windows if window.serving_ms is not None]
    return Window(
        from_at=min(window.from_at for window in windows),
        to_at=max(window.to_at for window in windows),
        tokens=_sum([window.tokens for window in windows]),
        observed_ms=sum(window.observed_ms for window in windows),
        serving_ms=sum(serving) if len(serving) == len(windows) else None,
        interval_count=sum(window.interval_count for window in windows),
        spans=_together([span for window in windows for span in window.spans]),
        is_lower_bound=any(window.is_lower_bound for window in windows),
        notes=tuple(dict.fromkeys(note for window in windows for note in window.notes)),
    )


def _together(spans: Sequence[tuple[datetime, datetime]]) -> tuple[tuple[datetime, datetime], ...]:
    """The same times, apart and in order."""
    found: list[tuple[datetime, datetime]] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return tuple(found)


def priced(window: Window, *, rate_per_gpu_hour: Decimal | None, gpu_count: int) -> Priced:
    """Full, active and marginal cost per million tokens of a window; each None where undefined or unknown.

    full: all GPU time of the window. active: only its serving time. marginal: 0 where the engine was seen idle, since a
    GPU that is paid by the hour costs no more for one more token; else unknown, since its capacity is.
    Source: economics.md 0, finding 3; the accrued cost is house.md 2.
    """
    cost = _cost(window.observed_ms * gpu_count, rate_per_gpu_hour)
    active = None if window.serving_ms is None else _cost(window.serving_ms * gpu_count, rate_per_gpu_hour)
    return _priced(window, gpu_ms=window.observed_ms * gpu_count, cost=cost, active_cost=active)


def added(parts: Sequence[Priced]) -> Priced:
    """Several addresses together, each on its own GPUs. At least one."""
    costs = [part.cost for part in parts if part.cost is not None]
    active = [part.active_cost for part in parts if part.active_cost is not None]
    return _priced(
        joined([part.window for part in parts]),
        gpu_ms=sum(part.gpu_ms for part in parts),
        cost=sum(costs, Decimal(0)) if len(costs) == len(parts) else None,
        active_cost=sum(active, Decimal(0)) if len(active) == len(parts) else None,
    )


def _priced(window: Window, *, gpu_ms: int, cost: Decimal | None, active_cost: Decimal | None) -> Priced:
    return Priced(
        window=window,
        gpu_ms=gpu_ms,
        cost=cost,
        active_cost=active_cost,
        units=unit_costs(
            bill_cost=cost,
            serving_cost=active_cost,
            variable_cost=0 if window.idle_ms and cost is not None else None,
            served_tokens=window.tokens.total,
        ),
    )


def _cost(gpu_ms: int, rate: Decimal | None) -> Decimal | None:
    return None if rate is None else to_places(Fraction(rate) * gpu_ms / _HOUR_MS, _MONEY_PLACES)


@dataclass(frozen=True, kw_only=True)
class _Move:
    """What all engines of an address moved by between two scrapes."""

    tokens: Tokens
    served: bool
    is_lower_bound: bool
    notes: tuple[str, ...]

    @classmethod
    def between(cls, earlier: Reading, later: Reading) -> "_Move":
        before = _by_engine(earlier)
        parts: list[Tokens] = []
        notes: list[str] = []
        served = is_lower_bound = False
        for engine, row in _by_engine(later).items():
            base = _baseline(before.pop(engine, None), row, earlier=earlier.at, later=later.at)
            notes += base.notes
            is_lower_bound |= base.is_lower_bound
            moved = _moved(base.row, row)
            parts.append(moved)
            served |= moved.total > 0 or bool(moved.requests) or (row.requests_running or 0) > 0
            served |= base.is_same_process and base.row is not None and (base.row.requests_running or 0) > 0
        for model, rank in before:
            notes.append(f"engine {rank} of {model!r} was not shown any more at {later.at:%H:%M:%S} UTC")
            is_lower_bound = True
        return cls(tokens=_sum(parts), served=served, is_lower_bound=is_lower_bound, notes=tuple(notes))


@dataclass(frozen=True, kw_only=True)
class _Baseline:
    """What a reading is counted from. `row` None: from zero, the process being new."""

    row: EngineRead | None
    is_same_process: bool = False
    is_lower_bound: bool = False
    notes: tuple[str, ...] = ()


def _never_backwards(readings: Sequence[Reading]) -> list[Reading]:
    """The scrapes, of which one below an earlier one of its process says what that said: nothing was served since.

    A process that says when it began never counts backwards. Two servers of one pair stamp with their own clocks, and
    one may answer late: where one takes over from the other, its first readings may be the older ones.
    """
    latest: dict[tuple[str, str, datetime], EngineRead] = {}
    ordered = []
    for reading in readings:
        rows = []
        for row in reading.rows:
            if row.process_started_at is not None:
                process = (row.model_name, row.engine_rank, row.process_started_at)
                before = latest.get(process)
                row = before if before is not None and _fell(before, row) else row
                latest[process] = row
            rows.append(row)
        ordered.append(Reading(at=reading.at, rows=tuple(rows)))
    return ordered


def _refuse_in_turn(readings: Sequence[Reading]) -> None:
    """Raises CheckError where counters fall twice within a minute: no engine starts as fast as that."""
    fallen: dict[tuple[str, str], datetime] = {}
    for earlier, later in pairwise(readings):
        before = _by_engine(earlier)
        for engine, row in _by_engine(later).items():
            if engine not in before or row.process_started_at is not None or not _fell(before[engine], row):
                continue
            if engine in fallen and later.at - fallen[engine] < _FASTEST_START:
                raise CheckError(
                    f"The counters of engine {row.engine_rank} of {row.model_name!r} fell at {fallen[engine]:%H:%M:%S} "
                    f"and again at {later.at:%H:%M:%S} UTC: two processes answer at this address in turn, and do not "
                    "say when they started. Is it a load balancer? Name a replica's own address."
                )
            fallen[engine] = later.at


def _baseline(before: EngineRead | None, row: EngineRead, *, earlier: datetime, later: datetime) -> _Baseline:
    started = None if row.process_started_at is None else row.process_started_at.replace(tzinfo=UTC)
    is_new = started is not None and started >= earlier
    if before is None:
        if is_new:
            return _Baseline(row=None)
        note = f"engine {row.engine_rank} of {row.model_name!r} is first shown at {later:%H:%M:%S} UTC: what it served "
        return _Baseline(row=row, is_lower_bound=True, notes=(f"{note}before that is not counted",))
    if before.process_started_at != row.process_started_at:
        if not is_new:
            raise CheckError(
                f"Two processes answer at this address: the scrape of {earlier:%H:%M:%S} UTC is of one that started at "
                f"{_shown(before.process_started_at)}, that of {later:%H:%M:%S} of one that started at "
                f"{_shown(row.process_started_at)}. Is it a load balancer? Name a replica's own address."
            )
        note = (
            f"the engine restarted at {started:%H:%M:%S} UTC: what it served between the last scrape before that and "
        )
        note += "its end is lost, so the tokens are a lower bound, the unit costs an upper one"
        return _Baseline(row=None, is_lower_bound=True, notes=(note,))
    if _fell(before, row):
        note = f"the counters were reset between {earlier:%H:%M:%S} and {later:%H:%M:%S} UTC, so the tokens are a "
        note += "lower bound, the unit costs an upper one"
        return _Baseline(row=None, is_lower_bound=True, notes=(note,))
    return _Baseline(row=before, is_same_process=True)


def _fell(before: EngineRead, row: EngineRead) -> bool:
    pairs = ((before.prompt_tokens, row.prompt_tokens), (before.generation_tokens, row.generation_tokens))
    return any(was is not None and now is not None and now < was for was, now in pairs)


def _moved(base: EngineRead | None, row: EngineRead) -> Tokens:
    def grown(name: str) -> int | None:
        return _grown(getattr(row, name), 0 if base is None else getattr(base, name))

    prompt, output = grown("prompt_tokens"), grown("generation_tokens")
    if prompt is None or output is None:
        raise CheckError(
            f"Engine {row.engine_rank} of {row.model_name!r} says no number of tokens (NaN, or it counts none, as "
            "Triton does): nothing can be counted. Where it runs another engine, name that one's own address."
        )
    cache_read = _at_most(grown("prompt_tokens_cached"), prompt)
    return Tokens(prompt=prompt, cache_read=cache_read, output=output, requests=grown("requests_success"))


def _grown(now: int | None, was: int | None) -> int | None:
    """By how much a counter grew; None where either value is unknown, or where it fell by itself."""
    return None if now is None or was is None or now < was else now - was


def _at_most(cached: int | None, prompt: int | None) -> int | None:
    """A prompt cannot be cached for more than its length."""
    return cached if cached is None or prompt is None else min(cached, prompt)


def _sum(parts: Sequence[Tokens]) -> Tokens:
    """Of all parts. One that does not tell cache hits apart leaves the whole untold."""
    cached = [part.cache_read for part in parts if part.cache_read is not None]
    requests = [part.requests for part in parts if part.requests is not None]
    return Tokens(
        prompt=sum(part.prompt for part in parts),
        cache_read=sum(cached) if len(cached) == len(parts) else None,
        output=sum(part.output for part in parts),
        requests=sum(requests) if len(requests) == len(parts) else None,
    )


def _by_engine(reading: Reading) -> dict[tuple[str, str], EngineRead]:
    return {(row.model_name, row.engine_rank): row for row in reading.rows}


def _shown(started_at: datetime | None) -> str:
    return "a moment it does not say" if started_at is None else f"{started_at:%Y-%m-%d %H:%M:%S} UTC"


def tokens_per_second(window: Window) -> Fraction | None:
    """Tokens served a second in which anybody watched; None for an empty window."""
    return Fraction(window.tokens.total * 1000, window.watched_ms) if window.watched_ms else None


def share_cached(tokens: Tokens) -> Fraction | None:
    """Of the prompt tokens, the part that was found in the cache; None where not counted, or without any."""
    return None if tokens.cache_read is None or not tokens.prompt else Fraction(tokens.cache_read, tokens.prompt)
