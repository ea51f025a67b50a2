"""The engines that a Prometheus has scraped, as scrapes: each address by itself, every stored sample once."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeline.check.engine import CheckError, Reading
from pipeline.check.watching import Watched
from pipeline.formats.exposition import VllmRow, instant, number
from pipeline.sources.prometheus_http import Prometheus, RawSeries, matrix_in, raw_windows

_PROMPT = "vllm:prompt_tokens_total"
_GENERATION = "vllm:generation_tokens_total"
_CACHED = "vllm:prompt_tokens_cached_total"
_BY_SOURCE = "vllm:prompt_tokens_by_source_total"
_SUCCESS = "vllm:request_success_total"
_RUNNING = "vllm:num_requests_running"
_CREATED = "vllm:prompt_tokens_created"
_NAMES = (_PROMPT, _GENERATION, _CACHED, _BY_SOURCE, _SUCCESS, _RUNNING, _CREATED)
_FROM_CACHE = ("local_cache_hit", "external_kv_transfer")
# What tells the parts of one engine apart, not the engines.
_OF_ENGINE = frozenset({"__name__", "model_name", "engine", "source", "finished_reason"})
# Two servers of a pair store one scrape each; which of them did is no part of whose scrape it was.
_OF_SERVER = ("prometheus_replica", "__replica__", "prometheus", "receive_replica")
_SHOWN_FIRST = ("namespace", "pod", "instance")
_LONGEST_QUESTION = timedelta(hours=1)
# As long as Prometheus itself takes a sample to stand for (its lookback): beyond it nobody knows.
_GAP_SECONDS = 300.0
_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Labels = Mapping[str, str]


def selector(match: str) -> str:
    """The selector of all that is read, narrowed by `match`: further matchers as they stand between braces."""
    names = "|".join(re.sub(r"^vllm:", "", name) for name in _NAMES)
    return f'{{__name__=~"vllm:({names})"{f",{match}" if match else ""}}}'


def watched_by(server: Prometheus, *, start: datetime, stop: datetime, match: str = "") -> list[Watched]:
    """Every engine's address with samples in [start, stop), by name. SourceError; CheckError where there is none."""
    series: dict[tuple[tuple[str, str], ...], dict[int, str]] = {}
    warnings: list[str] = []
    for begin, end, said in raw_windows(server, selector(match), start=start, stop=stop, longest=_LONGEST_QUESTION):
        bounds = {"start_ms": _milliseconds(begin), "stop_ms": _milliseconds(end)}
        warnings += said.warnings
        for one in matrix_in(said.content, **bounds):
            _add(series, one)
    addresses: dict[tuple[tuple[str, str], ...], _Address] = {}
    for labels, samples in sorted(series.items()):
        own = tuple((name, value) for name, value in labels if name not in _OF_ENGINE and name not in _OF_SERVER)
        server_labels = tuple((name, value) for name, value in labels if name in _OF_SERVER)
        addresses.setdefault(own, _Address({})).by_server.setdefault(server_labels, []).append((dict(labels), samples))
    if not addresses:
        raise CheckError(
            f"{server.host} has no sample of vLLM's token counters between {start:%Y-%m-%d %H:%M} and "
            f"{stop:%Y-%m-%d %H:%M} UTC. Does it scrape the engines? Name another time with --window."
        )
    found = [
        Watched(readings=readings, name=_name(dict(own), addresses), notes=notes, gap_seconds=_GAP_SECONDS)
        for own, (readings, notes) in ((own, address.read()) for own, address in addresses.items())
        if readings
    ]
    if not found:
        raise CheckError(
            f"{server.host} has samples of vLLM, and none with both token counters. Is a rule dropping some?"
        )
    return [*found[:-1], _with_notes(found[-1], warnings)] if warnings else found


def _with_notes(one: Watched, warnings: Iterable[str]) -> Watched:
    said = tuple(f"the server says of its own answer: {text}" for text in dict.fromkeys(warnings))
    return Watched(readings=one.readings, name=one.name, notes=(*one.notes, *said), gap_seconds=one.gap_seconds)


def _add(series: dict[tuple[tuple[str, str], ...], dict[int, str]], one: RawSeries) -> None:
    samples = series.setdefault(tuple(sorted(one.labels.items())), {})
    samples.update(zip(one.at_ms, one.values, strict=True))


_Series = tuple[_Labels, Mapping[int, str]]


@dataclass(frozen=True)
class _Address:
    """One target's series, by the server that stored them."""

    by_server: dict[tuple[tuple[str, str], ...], list[_Series]]

    def read(self) -> tuple[tuple[Reading, ...], tuple[str, ...]]:
        """Its scrapes, as one server of a pair stored them: the one that has more of them. Never both added up."""
        readings = [_readings(series) for _, series in sorted(self.by_server.items())]
        best = max(readings, key=len)
        others = len(readings) - 1
        notes = (f"{others + 1} servers stored its samples: those of one are read, never added up",) if others else ()
        return tuple(best), notes


def _readings(series: Sequence[_Series]) -> list[Reading]:
    """What one scrape stored has one time in every series of its target."""
    by_time: dict[int, dict[tuple[str, str], dict[str, list[tuple[_Labels, str]]]]] = {}
    for labels, samples in series:
        engine = (labels.get("model_name", ""), labels.get("engine", "0"))
        for at_ms, text in samples.items():
            families = by_time.setdefault(at_ms, {}).setdefault(engine, {})
            families.setdefault(labels["__name__"], []).append((labels, text))
    readings = []
    for at_ms, engines in sorted(by_time.items()):
        rows = [row for engine, families in sorted(engines.items()) if (row := _row(engine, families)) is not None]
        if rows:
            readings.append(Reading(at=_EPOCH + at_ms * _MILLISECOND, rows=tuple(rows)))
    return readings


def _row(engine: tuple[str, str], families: Mapping[str, Sequence[tuple[_Labels, str]]]) -> VllmRow | None:
    """None where either token counter is missing at that moment."""

    def total(name: str, sources: tuple[str, ...] | None = None) -> int | None:
        values = [
            _count(text)
            for labels, text in families.get(name, ())
            if sources is None or labels.get("source") in sources
        ]
        known = [value for value in values if value is not None]
        return sum(known) if known and len(known) == len(values) else None

    prompt, output = total(_PROMPT), total(_GENERATION)
    if prompt is None or output is None:
        return None
    cached = total(_CACHED)
    created = [number(text) for _, text in families.get(_CREATED, ())]
    return VllmRow(
        model_name=engine[0],
        engine_rank=engine[1],
        prompt_tokens=prompt,
        prompt_tokens_cached=total(_BY_SOURCE, _FROM_CACHE) if cached is None else cached,
        generation_tokens=output,
        requests_success=total(_SUCCESS),
        requests_running=total(_RUNNING),
        requests_waiting=None,
        process_started_at=instant(created[0]) if created else None,
        engine_version=None,
    )


def _count(text: str) -> int | None:
    try:
        value = number(text)
    except ArithmeticError:
        return None
    return value if isinstance(value, int) and value >= 0 else None


def _name(own: _Labels, addresses: Iterable[tuple[tuple[str, str], ...]]) -> str:
    """What tells an address from the others, the telling labels first."""
    everywhere = set.intersection(*(set(labels) for labels in addresses)) if addresses else set()
    telling = {name: value for name, value in own.items() if (name, value) not in everywhere}
    # A pod's address says nothing that its name does not.
    chosen = [
        telling[name] for name in _SHOWN_FIRST if name in telling and (name != "instance" or "pod" not in telling)
    ]
    return "/".join(chosen or list(telling.values()) or [own.get("instance", "the only one")])


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND
