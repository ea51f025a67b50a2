"""How long requests were, as a Prometheus has counted it: of these engines, a pair of servers once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.errors import QuarantineError, SourceError
from pipeline.formats.histogram import Histogram
from pipeline.sources.prometheus_answers import values_of
from pipeline.sources.prometheus_lengths import request_lengths
from pipeline.sources.source import FetchContext
from tests.sources.admin_api import Sleeps, serving
from tests.sources.prometheus_api import PrometheusApi, refused, samples
from tests.sources.prometheus_fleet import Series

NOW = datetime(2026, 11, 15, 6, tzinfo=UTC)
HOUR = 3_600_000
NAMES = {"prompt": "vllm:request_prompt_tokens", "output": "vllm:request_generation_tokens"}


def lengths(
    *, instance: str = "a:8000", model: str = "m", restarts: bool = False, ends_at: datetime = NOW, **more: str
) -> Series:
    """Two requests an hour for ten hours, of 5 and of 70 tokens, and answers of 3 and of 2,000."""
    own = {"job": "vllm", "instance": instance, "model_name": model, "engine": "0"} | more
    found: Series = []
    counted = [*range(6), *range(5)] if restarts else list(range(11))
    for side, by_edge, tokens in (
        ("prompt", {"10.0": 1, "100.0": 2, "+Inf": 2}, 75),
        ("output", {"10.0": 1, "100.0": 1, "+Inf": 2}, 2_003),
    ):
        start = ends_at - timedelta(hours=len(counted) - 1, minutes=1)
        for edge, each in by_edge.items():
            values = samples(start, [number * each for number in counted], every_ms=HOUR)
            found.append(({"__name__": f"{NAMES[side]}_bucket", "le": edge, **own}, values))
        sums = samples(start, [number * tokens for number in counted], every_ms=HOUR)
        found.append(({"__name__": f"{NAMES[side]}_sum", **own}, sums))
    return found


def asked(api: PrometheusApi, **more: Any) -> tuple[Histogram, Histogram] | None:
    context = FetchContext(
        account="main", settings={"base_url": api.url, **more}, from_at=None, to_at=NOW, now=NOW, environment={},
        sleep=Sleeps(),
    )  # fmt: skip
    return request_lengths(context, model_names=["m"], instances=["a:8000", "b:8000"])


def expected(hours: int) -> tuple[Histogram, Histogram]:
    return (
        Histogram(edges=(10, 100), counts=(hours, hours, 0), tokens=75 * hours),
        Histogram(edges=(10, 100), counts=(hours, 0, hours), tokens=2_003 * hours),
    )


def test_engines_add_up_and_others_do_not_count() -> None:
    series = [*lengths(), *lengths(instance="b:8000"), *lengths(instance="c:8000"), *lengths(model="n")]
    with serving(PrometheusApi(series=series)) as api:
        assert asked(api) == expected(20)
        assert asked(api, match='namespace="llm"') is None


def test_a_restart_counts_on_and_a_pair_of_servers_counts_once() -> None:
    series = [*lengths(restarts=True, prometheus_replica="x"), *lengths(restarts=True, prometheus_replica="y")]
    with serving(PrometheusApi(series=series)) as api:
        assert asked(api) == expected(9)


def test_what_ended_before_the_week_is_no_request_of_it() -> None:
    with serving(PrometheusApi(series=lengths(ends_at=NOW - timedelta(days=8)))) as api:
        assert asked(api) is None


@pytest.mark.parametrize("dropped", [*NAMES.values(), "le=+Inf", "_sum"])
def test_a_server_that_keeps_half_of_it_says_nothing(dropped: str) -> None:
    kept = [
        (labels, held)
        for labels, held in lengths()
        if dropped not in labels["__name__"] and f"le={labels.get('le')}" != dropped
    ]
    with serving(PrometheusApi(series=kept)) as api:
        assert asked(api) is None


def test_a_server_that_refuses_says_so() -> None:
    with serving(PrometheusApi(always=refused(422, "execution", "bad luck"))) as api, pytest.raises(SourceError):
        asked(api)


@pytest.mark.parametrize("value", [None, [], [1, "x"], {"a": 1}])
def test_a_value_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(QuarantineError):
        values_of({"resultType": "vector", "result": [{"metric": {}, "value": value}]})
