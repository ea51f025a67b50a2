"""How long the requests of some engines were, as a Prometheus knows it: asked when somebody measures, never landed."""

import math
from collections.abc import Sequence
from datetime import timedelta
from itertools import accumulate

from pipeline.formats.histogram import OUTPUT_LENGTHS, PROMPT_LENGTHS, Histogram, histogram_of
from pipeline.landing.times import as_utc
from pipeline.sources.prometheus import quoted, selector_of, server_of
from pipeline.sources.prometheus_answers import values_of
from pipeline.sources.prometheus_http import Prometheus, ask
from pipeline.sources.prometheus_tables import labels_named
from pipeline.sources.source import FetchContext

# As long as a week has its weekend. Growth is counted by the server (`increase`), which knows restarts.
_WINDOW = timedelta(days=7)


def request_lengths(
    context: FetchContext, *, model_names: Sequence[str], instances: Sequence[str]
) -> tuple[Histogram, Histogram] | None:
    """Lengths of prompts and of answers over the last week; None where the server has no histogram of both.

    Raises SourceError, ConfigError and KeyMissingError as a fetch does; QuarantineError for an odd answer.
    """
    server = server_of(context, attempts=2)
    only = [f'model_name=~"{"|".join(map(quoted, model_names))}"']
    only += [f'instance=~"{"|".join(map(quoted, instances))}"'] if instances else []
    prompt, output = (_one(server, context, name, ",".join(only)) for name in (PROMPT_LENGTHS, OUTPUT_LENGTHS))
    return None if prompt is None or output is None else (prompt, output)


def _one(server: Prometheus, context: FetchContext, name: str, only: str) -> Histogram | None:
    buckets = _grown(server, context, f"{name}_bucket", only, by="le")
    tokens = sum(_grown(server, context, f"{name}_sum", only, by="").values())
    edges = sorted(float(edge) for edge in buckets)
    if not edges or edges[-1] != math.inf or not tokens:
        return None
    counts = {float(edge): count for edge, count in buckets.items()}
    # What a server extrapolates need not rise from edge to edge.
    rising = accumulate((counts[edge] for edge in edges), max)
    try:
        found = histogram_of(dict(zip(edges, rising, strict=True)), tokens=tokens)
    except ValueError:
        return None
    return found if found.request_count else None


def _grown(server: Prometheus, context: FetchContext, name: str, only: str, *, by: str) -> dict[str, float]:
    """By how much a metric's series grew, by the value of a label. Of a pair of servers the one that saw more."""
    selector = selector_of([name], context.settings, more=only)
    window_ms = _WINDOW // timedelta(milliseconds=1)
    replicas = ",".join(labels_named(context.settings).replica)
    grown = f"sum by ({','.join(filter(None, (by, replicas)))}) (increase({selector}[{window_ms}ms]))"
    said = ask(server, f"max by ({by}) ({grown})", at=as_utc(context.now))
    found = values_of(said.data)
    return {labels.get(by, ""): value for labels, value in found if math.isfinite(value)}
