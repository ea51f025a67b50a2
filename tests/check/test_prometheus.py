"""Engines read from a Prometheus: the same scrapes give the same figures, each once, and a gap is no idleness."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.check.engine import CheckError, Reading, observed
from pipeline.check.engine_answer import EngineAnswer, document, engine_answer
from pipeline.check.prometheus import watched_by
from pipeline.check.watching import Watched
from pipeline.errors import SourceError
from pipeline.formats.exposition import read_vllm
from pipeline.sources.prometheus_http import prometheus_at
from tests.check.stored_scrapes import Stored, stored
from tests.check.vllm_server import vllm_body
from tests.sources.admin_api import Answer, serving
from tests.sources.prometheus_api import TOKEN, PrometheusApi

NOW = datetime(2026, 11, 29, 5, tzinfo=UTC)
START = NOW - timedelta(hours=1)
HALF_AN_HOUR = round((NOW - timedelta(minutes=30)).timestamp() * 1000)


def watched(api: PrometheusApi, *, match: str = "", hours: float = 1, token: str | None = None) -> list[Watched]:
    with serving(api) as served:
        server = prometheus_at(
            served.base_url,
            whose="prometheus",
            environment={} if token is None else {"TOKEN": token},
            sleep=lambda _: None,
            token_env=None if token is None else "TOKEN",
            attempts=2,
        )
        return watched_by(server, start=NOW - timedelta(hours=hours), stop=NOW, match=match)


def answer(found: Sequence[Watched], *, gpus: int | None = 1, rate: str = "3.60") -> EngineAnswer:
    return engine_answer(found, subject="x", rate=Decimal(rate), currency="USD", gpu_count=gpus, apis=())


def scrapes(*counts: tuple[float, int, int], **fields: float) -> list[tuple[datetime, str]]:
    """(seconds after START, prompt tokens, output tokens)."""
    return [
        (START + timedelta(seconds=at), vllm_body(prompt=prompt, output=output, cached=0, **fields))  # type: ignore[arg-type]
        for at, prompt, output in counts
    ]


STEPS = st.lists(
    st.tuples(st.integers(1, 200), st.integers(0, 9_000), st.integers(0, 900), st.integers(0, 2)),
    min_size=1,
    max_size=9,
)


@settings(max_examples=15)
@given(steps=STEPS, is_closed=st.booleans(), servers=st.integers(1, 2))
def test_what_a_prometheus_stored_says_what_the_scrapes_said(steps, is_closed, servers) -> None:
    """B15: whichever Prometheus it is, and however many stored it."""
    at, prompt, output = START, 1_000, 100
    bodies = [(at, vllm_body(prompt=prompt, output=output, cached=7))]
    for seconds, more_prompt, more_output, running in steps:
        at, prompt, output = at + timedelta(seconds=seconds), prompt + more_prompt, output + more_output
        bodies.append((at, vllm_body(prompt=prompt, output=output, cached=7 + more_prompt // 3, running=running)))
    bodies = [(moment, body) for moment, body in bodies if moment < NOW]
    series = [one for number in range(servers) for one in stored(bodies, instance="a", prometheus_replica=str(number))]
    (found,) = watched(PrometheusApi(series=series, is_closed=is_closed))
    said = observed([Reading(at=moment, rows=tuple(read_vllm(body))) for moment, body in bodies])
    (segment,) = found.segments()
    assert observed(segment) == said


def test_every_engine_is_its_own_and_they_add_up() -> None:
    series = [
        *stored(scrapes((0, 0, 0), (60, 600, 60), (120, 600, 60)), namespace="chat", pod="chat-0"),
        *stored(scrapes((5, 50, 0), (65, 950, 100)), namespace="chat", pod="chat-1"),
    ]
    found = answer(watched(PrometheusApi(series=series)), gpus=2)
    assert list(found.replicas) == ["chat-0", "chat-1"]
    total = found.windows["observed"]
    assert total.window.tokens.total == 660 + 1000
    assert total.gpu_ms == 2 * (120_000 + 60_000)
    # $3.60 an hour is a tenth of a cent a second: 360 GPU-seconds are $0.36, of which 240 served.
    assert (total.cost, total.active_cost) == (Decimal("0.36"), Decimal("0.24"))
    assert total.units.marginal_per_mtok == 0
    assert found.gpu_count == 4
    assert [one["replica"] for one in document(found)["replicas"]] == ["chat-0", "chat-1"]


def by_source(computed: int, transferred: int) -> str:
    name = "vllm:prompt_tokens_by_source_total"
    parts = (("local_compute", computed), ("local_cache_hit", 0), ("external_kv_transfer", transferred))
    labels = 'engine="0",model_name="acme/chat-8b"'
    return "".join([f"# TYPE {name} counter\n", *(f'{name}{{{labels},source="{one}"}} {n}\n' for one, n in parts)])


def one_of_two(pod: str, *, prompt: int, output: int, transferred: int, label: dict[str, str]) -> list[Stored]:
    bodies = [
        (
            START + timedelta(seconds=60 * step),
            by_source(step * (prompt - transferred), step * transferred)
            + vllm_body(prompt=step * prompt, output=step * output, cached=step * transferred, requests=step * 3),
        )
        for step in (0, 1, 2)
    ]
    return stored(bodies, namespace="chat", pod=pod, **label)


@pytest.mark.parametrize("is_said", [True, False])
def test_a_prompt_that_one_engine_computes_for_another_is_counted_once(is_said: bool) -> None:
    """By their labels where they have them, else by what both counted; each token, each request and each GPU once."""
    told = [{"engine_type": role} if is_said else {} for role in ("prefill", "decode")]
    first = one_of_two("chat-0", prompt=900, output=3, transferred=0, label=told[0])
    # Few enough from elsewhere that the counters alone would not show it.
    second = one_of_two("chat-1", prompt=900, output=300, transferred=100 if is_said else 890, label=told[1])
    found = answer(watched(PrometheusApi(series=[*first, *second])))
    total = found.windows["observed"].window.tokens
    assert (total.prompt, total.output, total.requests) == (1800, 600, 6)
    assert [one.window.tokens.total for one in found.replicas.values()] == [1800, 600]
    assert found.windows["observed"].gpu_ms == 2 * 120_000
    assert any(note.startswith("chat-0 computes prompts for chat-1: ") for note in found.unknown)


def test_what_only_looks_like_one_side_counts_whole() -> None:
    """A cache outside of the engines transfers as well: then nobody else has counted the prompt."""
    alike = [one_of_two(pod, prompt=900, output=300, transferred=890, label={}) for pod in ("chat-0", "chat-1")]
    total = answer(watched(PrometheusApi(series=[*alike[0], *alike[1]]))).windows["observed"].window.tokens
    assert (total.prompt, total.output, total.requests) == (3600, 1200, 12)
    # Answers of one token beside it, and too few prompts to be those that came from elsewhere.
    short = one_of_two("chat-0", prompt=100, output=3, transferred=0, label={})
    total = answer(watched(PrometheusApi(series=[*short, *alike[1]]))).windows["observed"].window.tokens
    assert (total.prompt, total.output, total.requests) == (2000, 606, 12)


@pytest.mark.parametrize("where", [{"namespace": "llm", "pod": "chat-0"}, {}])
def test_two_monitors_of_one_engine_are_one_address(where: dict[str, str]) -> None:
    """B19: neither its tokens nor its GPUs are there twice."""
    first, second = scrapes((0, 0, 0), (60, 600, 60)), scrapes((7, 70, 7), (67, 670, 67))
    series = [
        *stored(first, instance="10.0.0.5:8000", job="vllm", **where),
        *stored(second, instance="10.0.0.5:8000", job="svc", endpoint="http", **where),
    ]
    found = answer(watched(PrometheusApi(series=series)))
    assert found.windows["observed"].window.tokens.total == 737
    assert (found.gpu_count, found.engine_count) == (1, 1)


def test_one_name_that_two_machines_have_is_two_addresses() -> None:
    first, second = (scrapes((0, 0, 0), (60, 600, 60), started=at) for at in (1_795_000_000.5, 1_795_000_100.5))
    series = [*stored(first, instance="localhost:8000", machine="a"),
              *stored(second, instance="localhost:8000", machine="b")]  # fmt: skip
    found = answer(watched(PrometheusApi(series=series)))
    assert (found.windows["observed"].window.tokens.total, found.gpu_count) == (1_320, 2)


def test_a_gap_is_neither_time_nor_tokens_and_never_idle() -> None:
    """B19: a server that was down for twenty minutes has seen nothing."""
    series = stored(scrapes((0, 0, 0), (60, 100, 10), (1260, 9_000, 900), (1320, 9_100, 910)), instance="a")
    found = answer(watched(PrometheusApi(series=series)))
    window = found.windows["observed"].window
    assert (window.observed_ms, window.serving_ms, window.tokens.total) == (120_000, 120_000, 220)
    assert any("not observed for 20.0 min" in said for said in found.unknown)


def test_one_address_that_two_processes_share_is_left_out_by_name() -> None:
    """B15: answers of two in turn look like resets."""
    shared = [scrapes((0, 100, 0), started=1_795_000_000.5), scrapes((30, 7, 0), started=1_795_500_000.5)]
    series = [
        *stored([body for one in shared for body in one], instance="balancer"),
        *stored(scrapes((0, 0, 0), (60, 600, 60)), instance="a"),
    ]
    found = answer(watched(PrometheusApi(series=series)))
    assert found.windows["observed"].window.tokens.total == 660
    assert any(said.startswith("balancer is left out") for said in found.unknown)


def test_a_narrower_match_and_a_token_are_handed_on(caplog) -> None:
    series: list[Stored] = [
        *stored(scrapes((0, 0, 0), (60, 600, 60)), namespace="chat", instance="a"),
        *stored(scrapes((0, 0, 0), (60, 5, 5)), namespace="test", instance="b"),
    ]
    found = watched(PrometheusApi(series=series, token=TOKEN), match='namespace="chat"', token=TOKEN)
    assert [one.name for one in found] == ["a"]
    with pytest.raises(SourceError, match="401") as caught:
        watched(PrometheusApi(series=series, token=TOKEN), token="wrong-token-123456")
    assert "wrong-token" not in str(caught.value)


@pytest.mark.parametrize(
    ("api", "error", "words"),
    [
        (PrometheusApi(), CheckError, "has no sample of an engine's token counters"),
        (PrometheusApi(always=Answer(body=b"<html>")), SourceError, "none of Prometheus' HTTP API"),
        (PrometheusApi(always=Answer(status=404, body=b"")), SourceError, "HTTP 404"),
        (
            PrometheusApi(
                series=[
                    (
                        {"__name__": "vllm:prompt_tokens_total", "model_name": "m", "instance": "a"},
                        [(HALF_AN_HOUR, "5")],
                    )
                ]
            ),
            CheckError,
            "none with both token counters",
        ),
    ],
)
def test_a_server_without_an_answer_says_why(api: PrometheusApi, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        watched(api)
