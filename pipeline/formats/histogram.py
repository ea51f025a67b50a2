"""How many requests were how long: Prometheus histograms (`_bucket`, `_sum`) as vLLM prints them of tokens.

Their buckets are cumulative (`le`), their edges inclusive; https://prometheus.io/docs/concepts/metric_types/#histogram.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.formats.exposition import parse_exposition

PROMPT_LENGTHS, OUTPUT_LENGTHS = "vllm:request_prompt_tokens", "vllm:request_generation_tokens"


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Requests by length in tokens: `counts[i]` of at most `edges[i]` and more than the edge before it.

    `counts` has one more: those beyond the last edge. `tokens`: of all of them together.
    """

    edges: tuple[int, ...]
    counts: tuple[int, ...]
    tokens: int

    def __post_init__(self) -> None:
        is_rising = all(lower < upper for lower, upper in zip(self.edges, self.edges[1:], strict=False))
        if not self.edges or not is_rising or len(self.counts) != len(self.edges) + 1 or min(self.counts) < 0:
            raise ValueError(f"{self.edges} and {self.counts} are no histogram.")

    @property
    def request_count(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float:
        return self.tokens / self.request_count

    def plus(self, other: "Histogram") -> "Histogram":
        """Both together. ValueError where their edges differ."""
        if self.edges != other.edges:
            raise ValueError(f"{self.edges} and {other.edges} are other edges.")
        counts = tuple(own + its for own, its in zip(self.counts, other.counts, strict=True))
        return Histogram(edges=self.edges, counts=counts, tokens=self.tokens + other.tokens)

    def since(self, earlier: "Histogram") -> "Histogram | None":
        """What was counted after an earlier reading of the same counters; None where they fell or are others."""
        if self.edges != earlier.edges or self.tokens < earlier.tokens:
            return None
        counts = tuple(own - its for own, its in zip(self.counts, earlier.counts, strict=True))
        if min(counts) < 0:
            return None
        return Histogram(edges=self.edges, counts=counts, tokens=self.tokens - earlier.tokens)


def histogram_of(up_to: Mapping[float, float], *, tokens: float) -> Histogram:
    """From cumulative counts by upper edge, infinity among them, and the sum of all. ValueError where they are none."""
    edges = sorted(up_to)
    if len(edges) < 2 or edges[-1] != math.inf or any(edge != round(edge) for edge in edges[:-1]):
        raise ValueError(f"{edges} are no edges of token counts with infinity as the last.")
    sums = [round(up_to[edge]) for edge in edges]
    counts = tuple(upper - lower for lower, upper in zip([0, *sums], sums, strict=False))
    return Histogram(edges=tuple(int(edge) for edge in edges[:-1]), counts=counts, tokens=round(tokens))


def read_request_lengths(body: str) -> dict[tuple[str, str], tuple[Histogram, Histogram]]:
    """(model name, engine rank) -> lengths of prompts and of answers, of a vLLM `/metrics` answer.

    An engine that prints no whole histogram of both is left out. ExpositionError for a body that is none.
    """
    found: dict[tuple[str, str], dict[str, float]] = {}
    for sample in parse_exposition(body).samples:
        name = sample.series.name
        if name.startswith((PROMPT_LENGTHS, OUTPUT_LENGTHS)) and isinstance(sample.value, int):
            labels = dict(sample.series.labels)
            engine = labels.get("model_name", ""), labels.get("engine", "0")
            found.setdefault(engine, {})[f"{name}/{labels.get('le', '')}"] = sample.value
    read = ((engine, _pair(figures)) for engine, figures in sorted(found.items()))
    return {engine: pair for engine, pair in read if pair is not None}


def _pair(figures: Mapping[str, float]) -> tuple[Histogram, Histogram] | None:
    prompt, output = (_one(figures, name) for name in (PROMPT_LENGTHS, OUTPUT_LENGTHS))
    return None if prompt is None or output is None else (prompt, output)


def _one(figures: Mapping[str, float], name: str) -> Histogram | None:
    up_to = {float(edge): figures[key] for key, edge in _edges(figures, f"{name}_bucket/")}
    # A body that was cut between two lines lacks what comes last: the count, or the sum.
    count, tokens = figures.get(f"{name}_count/"), figures.get(f"{name}_sum/")
    if tokens is None or count is None or up_to.get(math.inf) != count:
        return None
    try:
        return histogram_of(up_to, tokens=tokens)
    except ValueError:
        return None


def _edges(figures: Iterable[str], prefix: str) -> list[tuple[str, str]]:
    return [(key, key.removeprefix(prefix)) for key in figures if key.startswith(prefix)]
