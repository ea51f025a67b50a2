"""Prometheus text exposition, read strictly: a body that could be cut is refused, never read as a smaller number.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4; a closing `# EOF` is allowed).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from itertools import repeat
from typing import NamedTuple

from pipeline.errors import BreakevenError

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*[ \t]*=[ \t]*"(?:[^"\\\n]|\\[\\"n])*"'
_SERIES = re.compile(rf"({_NAME})(?:[ \t]*\{{[ \t]*((?:{_LABEL}[ \t]*,[ \t]*)*(?:{_LABEL})?)[ \t]*\}})?")
_LABEL_PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\\n]|\\[\\"n])*)"')
_ESCAPE = re.compile(r'\\([\\"n])')
# ASCII digits only: \d would also take other scripts' digits, which a number in this format never has.
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]{1,60}\.?[0-9]{0,60}(?:[eE][+-]?[0-9]{1,3})?|\.[0-9]{1,60}(?:[eE][+-]?[0-9]{1,3})?|Inf|NaN)"
)
_WITH_TIMESTAMP = re.compile(r"(.*\S)[ \t]+(\S+)[ \t]+(-?[0-9]+)[ \t]*")
_TYPES = frozenset({"counter", "gauge", "histogram", "summary", "untyped", "unknown", "info", "stateset"})

# A thousand tokens a millisecond for thirty years. Thousands of such counts can be added up in 64 bits.
_MOST_COUNTED = 10**15
# dcgm_structs.h: DCGM_INT64_BLANK and its three reasons (not found, not supported, not permissioned); a Go float
# prints them rounded up, so everything from the first one on is blank. No counter of ours gets there.
_INT64_BLANK = 0x7FFFFFFFFFFFFFF0
_INT32_BLANKS = range(0x7FFFFFF0, 0x7FFFFFF4)
_FLOAT_BLANKS = range(140737488355328, 140737488355332)


class ExpositionError(BreakevenError):
    """A body is not what a whole `/metrics` answer looks like. The message is the reason, with the line."""


@dataclass(frozen=True, eq=False, slots=True)
class Series:
    """A metric name and its labels, sorted by label name. `key` is their one canonical spelling: compare that."""

    name: str
    labels: tuple[tuple[str, str], ...]
    key: str


class Sample(NamedTuple):
    """One line. `text` is the value as printed; `timestamp_ms` is null unless the line carries one."""

    series: Series
    text: str
    timestamp_ms: int | None

    @property
    def value(self) -> int | Decimal | None:
        return number(self.text)


@dataclass(frozen=True)
class Exposition:
    """A whole body. `types` and `helps` are by the name of their `# TYPE` / `# HELP` line."""

    samples: tuple[Sample, ...]
    types: Mapping[str, str]
    helps: Mapping[str, str]
    has_eof: bool
    layout: "_Layout | None" = field(default=None, repr=False, compare=False)

    def type_of(self, name: str) -> str | None:
        """The declared type of a sample's name; null where the body declares none."""
        declared = self.types.get(name)
        if declared is None and name.endswith("_total"):
            return self.types.get(name.removesuffix("_total"))  # OpenMetrics names the counter without its suffix
        return declared

    def help_of(self, name: str) -> str | None:
        found = self.helps.get(name)
        return self.helps.get(name.removesuffix("_total")) if found is None and name.endswith("_total") else found


def number(text: str) -> int | Decimal | None:
    """A printed value, exactly: an int where it is whole, else a Decimal; null for NaN, infinities and DCGM blanks."""
    whole = text[:-2] if text.endswith(".0") else text
    if whole.isdigit():
        found = int(whole)
        return None if found >= _INT64_BLANK else found
    if text.endswith(("Inf", "NaN")):
        return None
    exact = Decimal(text)
    if exact >= _INT64_BLANK:
        return None
    return int(exact) if exact == exact.to_integral_value() else exact


def parse_exposition(body: str) -> Exposition:
    """Every sample of a body. ExpositionError where it is cut, quoted, not exposition text or says a series twice."""
    _refuse_unfinished(body)
    lines = body[:-1].split("\n")
    return _parse_known_layout(lines) or _parse_lines(lines)


def _parse_lines(lines: list[str]) -> Exposition:
    samples: list[Sample] = []
    types: dict[str, str] = {}
    helps: dict[str, str] = {}
    has_eof = False
    for line_number, line in enumerate(lines, start=1):
        if has_eof:
            raise ExpositionError(f"line {line_number} follows `# EOF`: {_shown(line)}")
        if line.startswith("#"):
            keyword, name, text = _comment(line)
            if keyword == "EOF":
                has_eof = True
            elif keyword == "HELP":
                helps[name] = text
            elif keyword == "TYPE" and (types.setdefault(name, text) != text or text not in _TYPES):
                raise ExpositionError(f"line {line_number} declares {name} as {text!r}, a type it cannot have here")
            continue
        series_text, _, value_text = line.rpartition(" ")
        series = _series(series_text)
        if series is not None and _NUMBER.fullmatch(value_text):
            samples.append(Sample(series, value_text, None))
        elif line.strip():
            samples.append(_odd_line(line, line_number))
    _refuse_duplicates(samples)
    return Exposition(samples=tuple(samples), types=types, helps=helps, has_eof=has_eof)


@dataclass(frozen=True, eq=False, slots=True)
class _Layout:
    """All that a body says besides its values. A target says the same at every scrape, so it is read once."""

    series: tuple[Series, ...]
    types: Mapping[str, str]
    helps: Mapping[str, str]
    has_eof: bool


def _parse_known_layout(lines: list[str]) -> Exposition | None:
    """What `_parse_lines` would say where every line is a comment or plainly `series value`; null where one is not."""
    texts: list[str] = []
    values: list[str] = []
    for line in lines:
        if line.startswith("#"):
            texts.append(line)
        else:
            series_text, _, value_text = line.rpartition(" ")
            texts.append(series_text)
            values.append(value_text)
    layout = _layout(tuple(texts))
    if layout is None or not all(map(_NUMBER.fullmatch, values)):
        return None
    samples = tuple(map(Sample._make, zip(layout.series, values, repeat(None))))
    return Exposition(samples, layout.types, layout.helps, layout.has_eof, layout)


@lru_cache(maxsize=64)
def _layout(texts: tuple[str, ...]) -> _Layout | None:
    """Read comment lines and the series of the other lines. Null where a line is odd or the body must be refused."""
    try:
        read = _parse_lines([text if text.startswith("#") else f"{text} 0" for text in texts])
    except ExpositionError:
        return None
    series = tuple(sample.series for sample in read.samples)
    is_plain = len(series) == sum(not text.startswith("#") for text in texts)
    is_plain = is_plain and all(sample.timestamp_ms is None for sample in read.samples)
    return _Layout(series, read.types, read.helps, read.has_eof) if is_plain else None


def _refuse_unfinished(body: str) -> None:
    if not body.strip():
        raise ExpositionError("the body is empty")
    if body.lstrip().startswith('"'):
        # llama.cpp build 7010 answered so (issue 17384).
        raise ExpositionError("the body is one JSON-quoted string, not exposition text")
    if not body.endswith("\n"):
        raise ExpositionError(f"the body is cut: its last line does not end: {_shown(body.rpartition(chr(10))[2])}")


def _refuse_duplicates(samples: list[Sample]) -> None:
    if len({sample.series.key for sample in samples}) == len(samples):
        return
    seen: set[str] = set()
    for sample in samples:
        if sample.series.key in seen:
            raise ExpositionError(f"the body says one series twice: {_shown(sample.series.key)}")
        seen.add(sample.series.key)


def _odd_line(line: str, line_number: int) -> Sample:
    """A line with a timestamp or with tabs; or none at all, which refuses the body."""
    stripped = line.strip(" \t")
    with_timestamp = _WITH_TIMESTAMP.fullmatch(stripped)
    candidates: list[tuple[str, str, int | None]] = []
    if with_timestamp is not None:
        candidates.append((with_timestamp[1], with_timestamp[2], int(with_timestamp[3])))
    parts = re.split(r"[ \t]+(?=\S+$)", stripped)
    if len(parts) == 2:
        candidates.append((parts[0], parts[1], None))
    for series_text, value_text, timestamp_ms in candidates:
        series = _series(series_text.rstrip(" \t"))
        if series is not None and _NUMBER.fullmatch(value_text):
            return Sample(series, value_text, timestamp_ms)
    raise ExpositionError(f"line {line_number} is not exposition text: {_shown(line)}")


# A target prints the same series at every scrape, so the two readers of a line's constant part remember what they read.
@lru_cache(maxsize=65_536)
def _series(text: str) -> Series | None:
    found = _SERIES.fullmatch(text)
    if found is None:
        return None
    pairs = _LABEL_PAIR.findall(found[2] or "")
    labels = tuple(sorted((name, _unescape(value)) for name, value in pairs))
    if len({name for name, _ in labels}) != len(labels):
        return None
    return Series(found[1], labels, f"{found[1]}{labels!r}")


@lru_cache(maxsize=16_384)
def _comment(line: str) -> tuple[str, str, str]:
    if line.rstrip() == "# EOF":
        return "EOF", "", ""
    words = line[1:].split(maxsplit=2)
    if len(words) >= 2 and words[0] in {"HELP", "TYPE"}:
        return words[0], words[1], words[2].strip() if len(words) == 3 else ""
    return "", "", ""


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], text) if "\\" in text else text


def _shown(text: str) -> str:
    return repr(text if len(text) <= 120 else f"{text[:117]}...")


# --- vLLM ------------------------------------------------------------------------------------------------------------

_PROMPT = "vllm:prompt_tokens_total"
_GENERATION = "vllm:generation_tokens_total"
_CACHED = "vllm:prompt_tokens_cached_total"
_BY_SOURCE = "vllm:prompt_tokens_by_source_total"
_RECOMPUTED = "vllm:prompt_tokens_recomputed_total"
_SUCCESS = "vllm:request_success_total"
_CREATED = "vllm:prompt_tokens_created"
_STARTED = "process_start_time_seconds"
_ITERATIONS = "vllm:iteration_tokens_total_sum"
_PREEMPTIONS = "vllm:num_preemptions_total"
_VLLM_TYPES = {
    _PROMPT: "counter",
    _GENERATION: "counter",
    _CACHED: "counter",
    _BY_SOURCE: "counter",
    _RECOMPUTED: "counter",
    _SUCCESS: "counter",
    "vllm:num_requests_running": "gauge",
    "vllm:num_requests_waiting": "gauge",
    _CREATED: "gauge",
    _STARTED: "gauge",
    _ITERATIONS: "histogram",
    _PREEMPTIONS: "counter",
}
_TOKEN_COUNTERS = (_PROMPT, _GENERATION, _CACHED, _BY_SOURCE, _RECOMPUTED)
# Families whose series are added up: where one ends the body, its missing half would read as a smaller number.
_SUMMED = {_BY_SOURCE: "source", _SUCCESS: "finished_reason"}


@dataclass(frozen=True, kw_only=True)
class VllmRow:
    """One engine of one scrape: cumulative counters since `process_started_at` (naive UTC). Null = not exposed.

    `prompt_tokens` is prompt length and includes `prompt_tokens_cached` (local and external cache hits), of which
    `prompt_tokens_transferred` came from another process: a cache outside, or the one that computed the prompt.
    `engine_rank` is vLLM V1's label `engine` (the data-parallel rank); V0 has one engine and no label, here '0'.
    `identity_gap_tokens`: by how much the counters that must agree differ at most; null where there is but one of each.
    """

    model_name: str
    engine_rank: str
    prompt_tokens: int | None
    prompt_tokens_cached: int | None
    generation_tokens: int | None
    requests_success: int | None
    requests_running: int | None
    requests_waiting: int | None
    process_started_at: datetime | None
    engine_version: str | None
    identity_gap_tokens: int | None = None
    prompt_tokens_transferred: int | None = None
    engine_role: str | None = None


def read_vllm(body: str) -> list[VllmRow]:
    """One row per (model_name, engine rank), sorted. ExpositionError where the body cannot be trusted as a whole.

    A body cut between two lines still ends in a newline; it is refused where an engine it names lacks either token
    counter, and a family that ends the body is not added up (null), since its other half may be missing.
    """
    exposition = parse_exposition(body)
    if exposition.layout is None:
        plan = _vllm_plan(exposition, tuple(sample.series for sample in exposition.samples))
    else:
        plan = _known_vllm_plan(exposition.layout)
    samples = exposition.samples
    started_at = None if plan.started_at is None else instant(samples[plan.started_at].value)
    return [
        _vllm_row(
            engine=engine,
            families={name: {part: samples[at] for part, at in parts.items()} for name, parts in families.items()},
            started_at=started_at,
            last_name=plan.last_name,
        )
        for engine, families in plan.engines
    ]


@dataclass(frozen=True)
class _VllmPlan:
    """Where in a body's samples the figures of each engine stand: engine -> family -> part -> place."""

    engines: tuple[tuple[tuple[str, str], Mapping[str, Mapping[str, int]]], ...]
    started_at: int | None
    last_name: str


@lru_cache(maxsize=64)
def _known_vllm_plan(layout: _Layout) -> _VllmPlan:
    exposition = Exposition((), layout.types, layout.helps, layout.has_eof)
    return _vllm_plan(exposition, layout.series)


def _vllm_plan(exposition: Exposition, every_series: tuple[Series, ...]) -> _VllmPlan:
    """Whose every series is. ExpositionError where that is not sure."""
    _check_vllm_families(exposition)
    started_at: int | None = None
    found: list[tuple[_VllmPlace, int, Series]] = []
    for at, series in enumerate(every_series):
        place = _vllm_place(series)
        if place is not None:
            found.append((place, at, series))
        elif series.name == _STARTED:
            started_at = at
    # A model's series without the label `engine` are an engine (V0) only where none of them carries it.
    labelled = {place.model_name for place, _, _ in found if place.rank is not None}
    figures: dict[tuple[str, str], dict[str, dict[str, int]]] = {}
    for place, at, series in found:
        if place.rank is None and place.model_name in labelled:
            if series.name in _VLLM_TYPES:
                raise ExpositionError(f"{_shown(series.key)} names no engine beside others that do")
            continue
        families = figures.setdefault((place.model_name, place.rank or "0"), {})
        if series.name in _VLLM_TYPES and families.setdefault(series.name, {}).setdefault(place.part, at) != at:
            raise ExpositionError(
                f"two series of {series.name} belong to model {place.model_name!r}, engine {place.rank!r}"
            )
    if not figures:
        raise ExpositionError("no vllm:* series that names a model: the engine is starting, or this is not vLLM")
    return _VllmPlan(
        engines=tuple((engine, figures[engine]) for engine in sorted(figures)),
        started_at=started_at,
        last_name="" if exposition.has_eof else every_series[-1].name,
    )


class _VllmPlace(NamedTuple):
    model_name: str
    rank: str | None
    part: str  # the label value over which a summed family is split


@lru_cache(maxsize=65_536)
def _vllm_place(series: Series) -> _VllmPlace | None:
    """Whose a series is; null for one of no engine, such as vllm:cache_config_info."""
    if not series.name.startswith("vllm:"):
        return None
    labels = dict(series.labels)
    if "model_name" in labels:
        return _VllmPlace(labels["model_name"], labels.get("engine"), labels.get(_SUMMED.get(series.name, ""), ""))
    if series.name in _VLLM_TYPES:
        raise ExpositionError(f"{_shown(series.key)} has no label model_name")
    return None


def _check_vllm_families(exposition: Exposition) -> None:
    for name, expected in _VLLM_TYPES.items():
        declared = exposition.type_of(name)
        if declared is not None and declared != expected:
            raise ExpositionError(f"{name} is declared a {declared}; it is only read as a {expected}")
    for name in _TOKEN_COUNTERS:
        told = exposition.help_of(name)
        # vLLM has moved a counter from blocks to tokens under one name before (PR 18003).
        if told is not None and "token" not in told.lower():
            raise ExpositionError(f"{name} says it counts {_shown(told)}; it is only read as tokens")


def _vllm_row(
    *,
    engine: tuple[str, str],
    families: Mapping[str, Mapping[str, Sample]],
    started_at: datetime | None,
    last_name: str,
) -> VllmRow:
    for name in (_PROMPT, _GENERATION):
        if name not in families:
            raise ExpositionError(
                f"model {engine[0]!r}, engine {engine[1]!r} has no {name}: the body is cut between lines"
            )

    def one(name: str) -> int | None:
        return whole_count(families[name][""]) if name in families else None

    def total(name: str, parts: tuple[str, ...] | None = None) -> int | None:
        if name == last_name or name not in families:
            return None
        chosen = [whole_count(sample) for part, sample in families[name].items() if parts is None or part in parts]
        known = [figure for figure in chosen if figure is not None]
        return sum(known) if known and len(known) == len(chosen) else None

    by_cache = found_in_caches(
        total(_BY_SOURCE, ("local_cache_hit", "external_kv_transfer")),
        recomputed=one(_RECOMPUTED),
    )
    cached = one(_CACHED)
    if cached is None:
        # The same quantity under its older name: HELP of prompt_tokens_cached_total says "(local + external)".
        cached = by_cache
    if started_at is None and _CREATED in families:
        started_at = instant(families[_CREATED][""].value)
    return VllmRow(
        model_name=engine[0],
        engine_rank=engine[1],
        prompt_tokens=one(_PROMPT),
        prompt_tokens_cached=cached,
        generation_tokens=one(_GENERATION),
        requests_success=total(_SUCCESS),
        requests_running=one("vllm:num_requests_running"),
        requests_waiting=one("vllm:num_requests_waiting"),
        process_started_at=started_at,
        engine_version=_label(families[_PROMPT][""].series, "version"),
        identity_gap_tokens=_identity_gap(
            prompt=one(_PROMPT),
            generated=one(_GENERATION),
            cached=cached,
            by_cache=by_cache,
            computed=total(_BY_SOURCE, ("local_compute",)),
            # Tokens that are computed again, or found in a cache, are in no or in more than one step.
            iterations=one(_ITERATIONS) if cached == 0 and one(_PREEMPTIONS) in (None, 0) else None,
        ),
        prompt_tokens_transferred=total(_BY_SOURCE, ("external_kv_transfer",)),
    )


def found_in_caches(by_source: int | None, *, recomputed: int | None) -> int | None:
    """Prompt tokens that nothing was computed for, of those that vLLM counts as found by source: the last token of a
    prompt that was found whole is computed again, `recomputed` of them (null: an engine that does not print them)."""
    return None if by_source is None else max(by_source - (recomputed or 0), 0)


def _identity_gap(
    *,
    prompt: int | None,
    generated: int | None,
    cached: int | None,
    by_cache: int | None,
    computed: int | None,
    iterations: int | None,
) -> int | None:
    """Tokens by which computed + found in caches differ from the prompts, the two counts of what was found from each
    other, or what all steps worked on from prompts + generated: the most of them."""
    gaps = []
    if prompt is not None and computed is not None and by_cache is not None:
        gaps.append(abs(computed + by_cache - prompt))
    if cached is not None and by_cache is not None:
        gaps.append(abs(cached - by_cache))
    if prompt is not None and generated is not None and iterations is not None:
        gaps.append(abs(iterations - prompt - generated))
    return max(gaps, default=None)


def whole_count(sample: Sample) -> int | None:
    """A cumulative count or a gauge of whole things. ExpositionError where it is none; null for NaN and blanks."""
    text = sample.text
    if text.endswith(".0") and text[:-2].isdigit() and len(text) < 18:
        return int(text[:-2])
    value = sample.value
    if value is not None and (not isinstance(value, int) or not 0 <= value <= _MOST_COUNTED):
        raise ExpositionError(f"{_shown(sample.series.key)} is {sample.text}, not a count of at most 10^15")
    return value


@lru_cache(maxsize=1_024)
def instant(seconds: int | Decimal | None) -> datetime | None:
    """Seconds since the epoch as naive UTC, rounded to microseconds; null where it is no date."""
    # 9999-12-31T23:59:59: what is rounded up from the last second would be in a year that is no date's.
    if seconds is None or not 0 < seconds < 253_402_300_799:
        return None
    microseconds = int((Decimal(seconds) * 1_000_000).to_integral_value(ROUND_HALF_EVEN))
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)).replace(tzinfo=None)


def _label(series: Series, name: str) -> str | None:
    return next((value for label, value in series.labels if label == name), None)


# --- dcgm-exporter ---------------------------------------------------------------------------------------------------

# DCGM field: (our column, factor from DCGM's unit, type). MiB, W, mJ and ratios: dcgm-exporter's own HELP lines.
_DCGM_FIELDS = {
    "DCGM_FI_DEV_GPU_UTIL": ("util_gpu_pct", 1, "gauge"),
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": ("gr_engine_active_ppm", 1_000_000, "gauge"),
    "DCGM_FI_PROF_SM_ACTIVE": ("sm_active_ppm", 1_000_000, "gauge"),
    "DCGM_FI_DEV_POWER_USAGE": ("power_milliwatts", 1_000, "gauge"),
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": ("energy_millijoules", 1, "counter"),
    "DCGM_FI_DEV_FB_USED": ("memory_used_bytes", 1_048_576, "gauge"),
    "DCGM_FI_DEV_XID_ERRORS": ("xid", 1, "gauge"),
}


@dataclass(frozen=True, kw_only=True)
class DcgmRow:
    """One GPU, or one MIG instance of it (`gpu_instance_id`), of one scrape. Null = not exposed or blank, never 0."""

    gpu_uuid: str
    gpu_instance_id: str | None
    gpu_index: str | None
    gpu_name: str | None
    host: str | None
    util_gpu_pct: int | None
    gr_engine_active_ppm: int | None
    sm_active_ppm: int | None
    power_milliwatts: int | None
    energy_millijoules: int | None
    memory_used_bytes: int | None
    xid: int | None


def read_dcgm(body: str) -> list[DcgmRow]:
    """One row per GPU (or MIG instance) in the body's order. Time-slicing prints a device once per pod: read once."""
    exposition = parse_exposition(body)
    devices: dict[tuple[str, str | None], tuple[dict[str, str], dict[str, int | None]]] = {}
    for sample in exposition.samples:
        if not sample.series.name.startswith("DCGM_FI_"):
            continue
        labels = dict(sample.series.labels)
        if "UUID" not in labels:
            raise ExpositionError(f"{_shown(sample.series.key)} has no label UUID")
        device = (labels["UUID"], labels.get("GPU_I_ID") or None)
        _, figures = devices.setdefault(device, (labels, {}))
        field = _DCGM_FIELDS.get(sample.series.name)
        if field is None:
            continue
        column, factor, expected = field
        declared = exposition.type_of(sample.series.name)
        if declared not in (None, expected):
            raise ExpositionError(f"{sample.series.name} is declared a {declared}; it is only read as a {expected}")
        value = _dcgm_figure(sample.value, factor=factor, is_counter=expected == "counter")
        if figures.setdefault(column, value) != value:
            raise ExpositionError(f"{sample.series.name} has two values for GPU {device[0]}")
    if not devices:
        raise ExpositionError("no DCGM_FI_* series: this is not dcgm-exporter, or it watches no GPU")
    return [
        DcgmRow(
            gpu_uuid=device[0],
            gpu_instance_id=device[1],
            gpu_index=labels.get("gpu"),
            gpu_name=labels.get("modelName"),
            host=labels.get("Hostname"),
            **{column: figures.get(column) for column, _, _ in _DCGM_FIELDS.values()},
        )
        for device, (labels, figures) in devices.items()
    ]


def _dcgm_figure(value: int | Decimal | None, *, factor: int, is_counter: bool) -> int | None:
    if value is None or value in _FLOAT_BLANKS or (value in _INT32_BLANKS and not is_counter):
        return None
    return int((Decimal(value) * factor).to_integral_value(ROUND_HALF_EVEN))
