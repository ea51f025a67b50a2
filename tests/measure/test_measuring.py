"""A measurement over HTTP against an engine of known capacity, and what is landed of it."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from pipeline.decisions.gpu_types import shipped_gpu_types
from pipeline.economics.plausibility import Hardware
from pipeline.economics.roofline import ServedModel
from pipeline.errors import BreakevenError
from pipeline.measure.arrival import arrivals
from pipeline.measure.endpoint import Endpoint, EndpointRefusedError
from pipeline.measure.measuring import Measured, Plan, event_body, measure, refuse_impossible
from pipeline.measure.requests import Lengths, Prompts, lengths_like
from pipeline.measure.search import Bounds, ServiceLevel
from tests.measure.chat_server import Engine, served

LENGTHS = Lengths(prompt_tokens=200, shared_prompt_tokens=100, output_tokens=20)


def plan(*, seconds: float = 18, requests: int = 1000, tokens: int = 10**6, first_token: float = 1.5) -> Plan:
    return Plan(
        lengths=LENGTHS,
        level=ServiceLevel(first_token_seconds=first_token, seconds_per_output_token=None),
        bounds=Bounds(seconds=seconds, requests=requests, tokens=tokens),
        replicas=1,
        gpus=2,
        gpu_hour=Decimal("2.50"),
        currency="USD",
    )


def measured(engine: Engine, planned: Plan, *, key: str | None = None) -> tuple[Endpoint, Measured]:
    with served(engine) as url:
        return measure(Endpoint(url, "chat", key, time.monotonic), planned, clock=time.monotonic)


def test_a_known_capacity_is_measured_within_40_percent_and_never_exceeded() -> None:
    """10 requests a second of 220 tokens: 2,200 tokens/s. Trials of 1.5 s see at least 60% of it."""
    engine = Engine(slots=2, service_seconds=0.2)
    endpoint, found = measured(engine, plan(), key="sk-secret-of-the-endpoint")
    assert 1320 <= found.tokens_per_second <= 2200
    assert found.found.broken_per_second is not None
    assert engine.keys == {"Bearer sk-secret-of-the-endpoint"}
    body = event_body(
        found, plan(), endpoint=endpoint, workload="chat", began=datetime(2026, 11, 29, 10, tzinfo=UTC),
        ended=datetime(2026, 11, 29, 10, 5, tzinfo=UTC), by="somebody",
    )  # fmt: skip
    assert body["capacity"]["measured_on"] == "2026-11-29"
    assert body["capacity"]["source"].startswith(
        "measured on 2026-11-29 from 10:00 to 10:05 UTC like chat: first token within 1.5 s for 95% of "
    )
    assert sum(body["tokens_per_second_by_class"].values()) == pytest.approx(float(found.tokens_per_second), rel=0.01)
    assert "secret" not in json.dumps(body)
    # The GPUs were held for as long as it took: half a minute of two of them.
    assert 0 < Decimal(body["cost"]) <= Decimal("0.05")
    # Prompts have the length that was asked for, as the server counts it, and half of their words are the same.
    prompts = [asked["messages"][0]["content"].split() for asked in engine.asked[2:]]
    assert {len(words) for words in prompts} == {100}
    assert len({tuple(words[:50]) for words in prompts}) == 1
    assert len({tuple(words[50:]) for words in prompts}) == len(prompts)
    assert {asked["max_tokens"] for asked in engine.asked} == {20}


def test_what_one_replica_cannot_have_done_is_refused_with_the_arithmetic() -> None:
    """Two replicas behind an endpoint that is measured as one, or another model than is declared."""
    engine = Engine(slots=8, service_seconds=0.02)
    planned = plan(seconds=12, requests=60)
    _, found = measured(engine, planned)
    l4 = shipped_gpu_types()["l4"]
    model = ServedModel(active_parameters=8 * 10**9, total_parameters=8 * 10**9, kv_bytes_per_token=131072)
    possible = Hardware(gpu=l4, gpus_per_replica=1, model=model)
    refuse_impossible(found, planned, possible)
    refuse_impossible(found, planned, None)
    slower = replace(possible, gpu=replace(l4, bf16_teraflops=1))
    with pytest.raises(BreakevenError, match=r"cannot do what was measured: .* compute of a 1xL4 .* Nothing was"):
        refuse_impossible(found, planned, slower)
    narrower = replace(possible, gpu=replace(l4, memory_terabytes_per_second=Decimal("0.00001")))
    with pytest.raises(BreakevenError, match="memory bandwidth of a 1xL4 replica"):
        refuse_impossible(found, planned, narrower)


def test_no_more_is_sent_than_was_allowed() -> None:
    engine = Engine(slots=8, service_seconds=0.02)
    _, found = measured(engine, plan(seconds=12, requests=60))
    assert len(engine.asked) <= 60 + 2 + 25
    assert found.found.broken_per_second is None


def test_an_engine_that_does_not_know_how_to_go_on_is_asked_without() -> None:
    engine = Engine(slots=8, service_seconds=0.02, refuses="ignore_eos")
    endpoint, _ = measured(engine, plan(seconds=12, requests=40))
    assert not endpoint.ignores_eos
    assert all("ignore_eos" not in asked for asked in engine.asked[1:])


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (Engine(status=401), "answered with HTTP 401"),
        (Engine(has_usage=False), "no usage: without it tokens cannot be counted"),
    ],
)
def test_an_endpoint_that_cannot_be_measured_says_why(engine: Engine, said: str) -> None:
    with pytest.raises(EndpointRefusedError, match=said):
        measured(engine, plan())


def test_an_endpoint_that_is_not_there_says_so() -> None:
    endpoint = Endpoint("http://127.0.0.1:9", "chat", None, time.monotonic)
    with pytest.raises(EndpointRefusedError, match=r"127\.0\.0\.1:9/v1/chat/completions"):
        measure(endpoint, plan(), clock=time.monotonic)


def test_a_level_that_holds_under_no_load_is_said_with_what_was_seen() -> None:
    with pytest.raises(BreakevenError, match=r"does not hold at .* requests a second"):
        measured(Engine(slots=1, service_seconds=0.3), plan(seconds=12, first_token=0.01))


def test_bounds_that_leave_no_room_are_said() -> None:
    with pytest.raises(BreakevenError, match="no room for one trial"):
        measured(Engine(slots=8, service_seconds=0.02), plan(requests=1))


def test_lengths_follow_the_mix() -> None:
    mix = {"input_uncached": 300, "input_cache_read": 600, "input_cache_write_5m": 100, "output": 250}
    assert lengths_like(mix, prompt_tokens=2000) == Lengths(
        prompt_tokens=2000, shared_prompt_tokens=1200, output_tokens=500
    )
    with pytest.raises(ValueError, match="no input or no output"):
        lengths_like({"input_uncached": 300}, prompt_tokens=10)


def test_prompts_and_arrivals_are_the_same_for_a_seed() -> None:
    prompts = Prompts(lengths=LENGTHS, tokens_per_word=1.0, seed=7)
    assert prompts.text(3) == prompts.text(3) != prompts.text(4)
    first = list(arrivals(per_second=50, seconds=100, seed=1))
    assert first == list(arrivals(per_second=50, seconds=100, seed=1))
    assert len(first) == pytest.approx(5000, rel=0.06)
    assert first == sorted(first)


def _streamed(*events: object) -> bytes:
    return b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in events)


_TOKEN = {"choices": [{"delta": {"content": "a"}}]}


@pytest.mark.parametrize(
    "stream",
    [
        _streamed(_TOKEN, {"usage": {"prompt_tokens": "many", "completion_tokens": 3}}),
        _streamed(_TOKEN, {"usage": [1]}),
        _streamed({"choices": "abc"}),
        _streamed({"choices": [{"delta": "a"}]}),
        _streamed({"error": {"message": "out of memory"}}),
        b"data: " + b"x" * 8_000_000,
    ],
)
def test_what_is_no_stream_of_tokens_is_refused_at_once(stream: bytes) -> None:
    began = time.monotonic()
    with served(Engine(stream=stream)) as url, pytest.raises(EndpointRefusedError):
        Endpoint(url, "chat", None, time.monotonic).ask("hi", output_tokens=3, due_at=0)
    assert time.monotonic() - began < 10


def test_thoughts_are_tokens_and_no_more_is_cached_than_was_asked() -> None:
    """A reasoning model may think for all of a short answer; its first thought is its first token."""
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 50}}
    stream = _streamed({"choices": [{"delta": {"reasoning_content": "hm"}}]}, {"choices": [], "usage": usage})
    with served(Engine(stream=stream)) as url:
        answer = Endpoint(url, "chat", None, time.monotonic).ask("hi", output_tokens=3, due_at=0)
    assert answer.tokens_by_class == {"input_uncached": 0, "input_cache_read": 5, "output": 3}
