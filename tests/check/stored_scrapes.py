"""Bodies of `/metrics` as a Prometheus stores them: one sample a series and scrape, under the target's own labels."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pipeline.formats.exposition import parse_exposition

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Stored = tuple[dict[str, str], list[tuple[int, str | None]]]


def stored(bodies: Sequence[tuple[datetime, str]], **target: str) -> list[Stored]:
    """Every series of the bodies, with a sample at each moment."""
    series: dict[str, Stored] = {}
    for at, body in bodies:
        at_ms = (at - _EPOCH) // timedelta(milliseconds=1)
        for sample in parse_exposition(body).samples:
            labels = {"__name__": sample.series.name, **dict(sample.series.labels), **target}
            series.setdefault(sample.series.key, (labels, []))[1].append((at_ms, sample.text))
    return list(series.values())
