"""Prompts computed by one engine and answered by another: a deployment's tokens are its requests', once each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.models.gpu_harness import DAY, SCRAPES, Row, answer, at, broken, build_tables, deployment, rows_of, scrape

MINUTE = 60_000
# A build takes most of a second: what fails is not made smaller.
FAST = (Phase.explicit, Phase.generate)
SERVED = {
    "config_deployments": [deployment()],
    "config_deployment_served_names": [{"deployment_id": "chat", "served_name": "llama"}],
}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine_roles")


@dataclass(frozen=True)
class Request:
    """Its prompt, of which the computing engine has `cached`, and its answer. Which engines it went to, by number."""

    prompt: int
    cached: int
    answer: int
    prefill: int
    decode: int


@dataclass
class Engine:
    """A vLLM engine's counters, moved as its PromptTokenStats moves them."""

    name: str
    role: str | None = None
    prompt: int = 0
    cached: int = 0
    transferred: int = 0
    generated: int = 0
    requests: int = 0
    readings: list[Row] = field(default_factory=list)

    def take(self, prompt: int, *, cached: int, transferred: int, generated: int) -> None:
        self.prompt += prompt
        self.cached += cached
        self.transferred += transferred
        self.generated += generated
        self.requests += 1

    def read(self, minute: int) -> None:
        self.readings.append(
            scrape(
                at(minute / 60),
                MINUTE,
                self.prompt,
                self.generated,
                prompt_tokens_cached=self.cached,
                prompt_tokens_transferred=self.transferred,
                requests_success=self.requests,
                engine_role=self.role,
                host=f"host-{self.name}",
                target=f"http://{self.name}:8000/metrics",
                replica_id=self.name,
                gpus=(f"GPU-{self.name}",),
            )
        )


def disaggregated(requests: Sequence[Request], *, says: bool = False) -> list[Row]:
    """What engines print that serve these: the prompt on one of two, the answer on one of two others."""
    computing = [Engine(f"p{number}", "prefill" if says else None) for number in (0, 1)]
    generating = [Engine(f"d{number}", "decode" if says else None) for number in (0, 1)]
    engines = (*computing, *generating)
    for engine in engines:
        engine.read(10)
    for minute, request in enumerate(requests, start=11):
        computing[request.prefill].take(request.prompt, cached=request.cached, transferred=0, generated=1)
        # All of the prompt comes from there but the last token, which is computed again.
        generating[request.decode].take(
            request.prompt, cached=request.prompt - 1, transferred=request.prompt, generated=request.answer
        )
        for engine in engines:
            engine.read(minute)
    return [row for engine in engines for row in engine.readings]


def tokens(cache: Path, scrapes: Sequence[Row], **tables: Sequence[Row]) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """token_class -> the deployment's tokens; and the engines whose role is known."""
    built = build_tables(
        cache, {SCRAPES: scrapes, **SERVED, **tables}, ("fct_self_host_tokens_daily", "int_engine_roles_daily")
    )
    rows = rows_of(built, "fct_self_host_tokens_daily")
    assert {row["deployment_id"] for row in rows} <= {"chat"}
    return {row["token_class"]: row["tokens"] for row in rows}, rows_of(built, "int_engine_roles_daily")


REQUESTS = st.lists(
    st.builds(
        lambda prompt, share, answer, prefill, decode: Request(prompt, prompt * share // 100, answer, prefill, decode),
        st.integers(2, 5_000),
        st.integers(0, 99),
        st.integers(2, 2_000),
        st.integers(0, 1),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=6, deadline=None, phases=FAST)
@given(requests=REQUESTS, says=st.booleans())
def test_a_deployments_tokens_are_the_prompts_computed_and_the_answers_generated(
    cache: Path, requests: list[Request], says: bool
) -> None:
    """B1, B15: added up request by request, whoever counted what."""
    found, roles = tokens(cache, disaggregated(requests, says=says))
    assert found == {
        "input_uncached": sum(request.prompt - request.cached for request in requests),
        "input_cache_read": sum(request.cached for request in requests),
        "output": sum(request.answer for request in requests),
    }
    known = {row["target"]: (row["engine_role"], row["role_method"]) for row in roles}
    busy = {f"http://p{request.prefill}:8000/metrics" for request in requests}
    assert all(known[target] == ("prefill", "stated" if says else "counted") for target in busy)


def test_a_role_that_is_declared_goes_before_what_counters_show(cache: Path) -> None:
    """One engine of each side, of which the counters say nothing: an answer of one token may be anybody's."""
    computing, generating = Engine("p0"), Engine("d0")
    for engine in (computing, generating):
        engine.read(10)
    computing.take(100, cached=0, transferred=0, generated=1)
    generating.take(100, cached=99, transferred=100, generated=1)
    for engine in (computing, generating):
        engine.read(11)
    scrapes = [*computing.readings, *generating.readings]
    undeclared, _ = tokens(cache, scrapes)
    assert undeclared == {"input_uncached": 101, "input_cache_read": 99, "output": 2}
    roles = [
        {"deployment_id": "chat", "engine_name": "host-p0", "engine_role": "prefill"},
        {"deployment_id": "chat", "engine_name": "http://d0:8000/metrics", "engine_role": "decode"},
    ]
    found, told = tokens(cache, scrapes, config_deployment_roles=roles)
    assert found == {"input_uncached": 100, "input_cache_read": 0, "output": 1}
    assert [row["role_method"] for row in told] == ["declared", "declared"]
    # Of a side that nobody sees the other side is all there is.
    alone, _ = tokens(cache, generating.readings, config_deployment_roles=roles)
    assert alone == {"input_uncached": 1, "input_cache_read": 99, "output": 1}


def test_a_cache_outside_of_the_engines_is_read_and_not_computed_elsewhere(cache: Path) -> None:
    """LMCache and the like: most of a prompt comes from another process, and nobody else has counted it."""
    engine = Engine("solo")
    engine.read(10)
    engine.take(1_000, cached=900, transferred=900, generated=50)
    engine.read(11)
    found, roles = tokens(cache, engine.readings)
    assert found == {"input_uncached": 100, "input_cache_read": 900, "output": 50}
    assert roles == []


def test_what_both_sides_count_is_shown_and_not_dropped(cache: Path) -> None:
    _, roles = tokens(cache, disaggregated([Request(100, 40, 7, 0, 1)]))
    left_out = {row["engine_role"]: row for row in roles}
    assert (left_out["decode"]["prompt_tokens"], left_out["decode"]["of_which_transferred_tokens"]) == (100, 100)
    assert (left_out["prefill"]["output_tokens"], left_out["prefill"]["counts_outputs"]) == (1, False)


def test_a_prompt_would_count_twice_without_the_roles(cache: Path) -> None:
    """The law can fail: with the roles taken out of the model, both sides count."""
    fault = broken("int_self_host_tokens_hourly", "roles.usage_date is null\n        or case", "true\n        or case")
    scrapes = disaggregated([Request(100, 40, 7, 0, 1)])
    built = build_tables(cache, {SCRAPES: scrapes, **SERVED}, ("fct_self_host_tokens_daily",), replaced=[fault])
    found = {row["token_class"]: row["tokens"] for row in rows_of(built, "fct_self_host_tokens_daily")}
    assert found == {"input_uncached": 61, "input_cache_read": 139, "output": 8}


def test_what_is_counted_once_is_said(cache: Path) -> None:
    scrapes = disaggregated([Request(100, 40, 7, 0, 1), Request(50, 0, 9, 0, 1)])
    found = build_tables(cache, {SCRAPES: scrapes, **SERVED}, ("int_engine_roles_daily",))
    (row,) = answer(found, "engine_roles", from_date=DAY, to_date=DAY + timedelta(days=1))
    assert row == {
        "deployment_id": "chat",
        "prefill_count": 1,
        "decode_count": 1,
        "role_methods": "counted",
        "prefill_prompt_tokens": 150,
        "decode_prompt_tokens": 150,
        "repeated_prompt_tokens": 150,
        "repeated_output_tokens": 2,
    }


def test_a_cache_outside_and_a_replica_that_answered_one_request_are_no_roles(cache: Path) -> None:
    """What came from elsewhere was computed by nobody who is seen: a warm-up's few tokens are not it."""
    warm, busy = Engine("e0"), Engine("e1")
    for engine in (warm, busy):
        engine.read(10)
    warm.take(20, cached=0, transferred=0, generated=1)
    busy.take(5_000, cached=4_000, transferred=4_000, generated=300)
    for engine in (warm, busy):
        engine.read(11)
    found, roles = tokens(cache, [*warm.readings, *busy.readings])
    assert found == {"input_uncached": 1_020, "input_cache_read": 4_000, "output": 301}
    assert roles == []
