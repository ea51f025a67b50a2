"""The counters of a serving engine out of one of its `/metrics` answers, whichever of the known engines it is.

Only names of `engine_table` are read, each with its declared TYPE and the words of its HELP checked.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pipeline.formats.engine_names import engines_of
from pipeline.formats.engine_table import ENGINE_METRICS, EngineMetric, Figure
from pipeline.formats.exposition import (
    Exposition,
    ExpositionError,
    Sample,
    instant,
    parse_exposition,
    read_vllm,
    whole_count,
)

UNNAMED = "unnamed"
# One process computes prompts, another generates: each for the other.
ROLES = frozenset({"prefill", "decode"})
_STARTED = "process_start_time_seconds"
# Of a sample that has no other labels there is no second one that would be added to it.
_WHOLE = frozenset({"model_name", "engine_type"})
# Ranks of one replica see the same requests; those of data parallelism each their own.
SAME_REQUESTS = frozenset({"tp_rank", "pp_rank", "moe_ep_rank", "pid"})


@dataclass(frozen=True, kw_only=True)
class EngineRow:
    """One model of one scrape: cumulative counters since the engine's process began. Null = not told, never 0.

    `prompt_counts` says what `prompt_tokens` counts: `delivered`, the prompts' length with cache hits, of which
    `prompt_tokens_cached`; or `computed`, without them, where the engine tells no more. Both null with the counter.
    `identity_gap_tokens`, `prompt_tokens_transferred`: as `VllmRow` has them; no other engine prints these.
    `engine_role`: prefill or decode, where the engine says that it does one of the two for another process.
    """

    engine: str
    model_name: str
    engine_rank: str
    prompt_tokens: int | None
    prompt_counts: Literal["delivered", "computed"] | None
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


def read_engine(body: str, *, served_model: str | None = None) -> list[EngineRow]:
    """One row per model (and rank) of whichever engine it is. ExpositionError where it cannot be trusted as a whole.

    `served_model`: whose counters these are where the engine names no model; `unnamed` where nobody does.
    """
    engine = _the_engine(body)
    if engine == "vllm":
        return [
            EngineRow(
                engine=engine,
                prompt_counts=None if row.prompt_tokens is None else "delivered",
                **vars(row),
            )
            for row in read_vllm(body)
        ]
    exposition = parse_exposition(body)
    metrics = [metric for metric in ENGINE_METRICS if metric.engine == engine]
    _check_families(exposition, metrics)
    started_at = next((instant(found.value) for found in exposition.samples if found.series.name == _STARTED), None)
    return [
        _row(engine, model, families, exposition, started_at=started_at)
        for model, families in sorted(_by_model(exposition, metrics, otherwise=served_model or UNNAMED).items())
    ]


def _the_engine(body: str) -> str:
    found = engines_of(body)
    if not found:
        if body.lstrip().startswith(("[", "{")):
            raise ExpositionError("the body is JSON: trtllm-serve prints its counters at /prometheus/metrics instead")
        parse_exposition(body)  # what is no exposition at all is refused as that
        raise ExpositionError("no series of a known engine: it is starting, or this is another server's address")
    engines = found[:-1] if len(found) > 1 and found[-1] == "triton" else found
    if len(engines) > 1:
        raise ExpositionError(f"the body names {' and '.join(engines)}: one address must be one engine's")
    return engines[0]


def _check_families(exposition: Exposition, metrics: list[EngineMetric]) -> None:
    for metric in metrics:
        declared = exposition.type_of(metric.name)
        if declared not in (None, metric.kind):
            raise ExpositionError(f"{metric.name} is declared a {declared}; it is only read as a {metric.kind}")
        told = exposition.help_of(metric.name)
        if metric.says is not None and told is not None and metric.says not in told.lower():
            raise ExpositionError(f"{metric.name} says it counts {told[:120]!r}; it is only read as {metric.says}s")


def _by_model(
    exposition: Exposition, metrics: list[EngineMetric], *, otherwise: str
) -> dict[str, dict[Figure, list[Sample]]]:
    """The samples of each figure of each model. A model is whatever the label `model_name` (Triton: `model`) says."""
    figures = {metric.sample_name: metric.figure for metric in metrics}
    found: dict[str, dict[Figure, list[Sample]]] = {}
    for sample in exposition.samples:
        if sample.series.name not in figures:
            continue
        labels = dict(sample.series.labels)
        model = labels.get("model_name") or labels.get("model") or otherwise
        found.setdefault(model, {}).setdefault(figures[sample.series.name], []).append(sample)
    return found or {otherwise: {}}  # an engine that has counted nothing yet prints no family


def _row(
    engine: str,
    model: str,
    families: dict[Figure, list[Sample]],
    exposition: Exposition,
    *,
    started_at: datetime | None,
) -> EngineRow:
    last_name = "" if exposition.has_eof else exposition.samples[-1].series.name

    def total(figure: Figure) -> int | None:
        samples = families.get(figure, [])
        if any(sample.series.name == last_name and _is_a_part(sample) for sample in samples):
            return None  # added up, and where its family ends the body the other half may be missing
        counts = [whole_count(sample) for sample in samples]
        known = [count for count in counts if count is not None]
        return sum(known) if known and len(known) == len(counts) else None

    delivered, computed = total("prompt_tokens_delivered"), total("prompt_tokens_computed")
    cached, generated = total("prompt_tokens_cached"), total("generation_tokens")
    if computed is not None and cached is not None:
        delivered, computed = computed + cached, None
    prompt = delivered if delivered is not None else computed
    return EngineRow(
        engine=engine,
        model_name=model,
        engine_rank="0",
        prompt_tokens=prompt,
        prompt_counts=None if prompt is None else "delivered" if delivered is not None else "computed",
        prompt_tokens_cached=cached,
        generation_tokens=generated,
        requests_success=total("requests_success"),
        requests_running=_gauge(families.get("requests_running", [])),
        requests_waiting=_gauge(families.get("requests_waiting", [])),
        process_started_at=started_at,
        engine_version=None,
        engine_role=role_in(label for sample in exposition.samples for label in sample.series.labels),
    )


def role_in(labels: Iterable[tuple[str, str]]) -> str | None:
    """What the label `engine_type` says of a disaggregated engine (SGLang: prefill, decode, else unified)."""
    said = {value for name, value in labels if name == "engine_type" and value in ROLES}
    return said.pop() if len(said) == 1 else None


def _is_a_part(sample: Sample) -> bool:
    return any(name not in _WHOLE for name, _ in sample.series.labels)


def _gauge(samples: list[Sample]) -> int | None:
    """Of the ranks that see the same requests the highest, of the others the sum; null where one cannot be read.

    A series of one priority alone is a part of another's or of nothing that is printed, so it says nothing here.
    """
    highest: dict[tuple[tuple[str, str], ...], int] = {}
    for sample in samples:
        labels = dict(sample.series.labels)
        count = whole_count(sample)
        if count is None:
            return None
        if labels.pop("priority", ""):
            continue
        place = tuple(sorted((name, value) for name, value in labels.items() if name not in SAME_REQUESTS))
        highest[place] = max(highest.get(place, 0), count)
    return sum(highest.values()) if highest else None
