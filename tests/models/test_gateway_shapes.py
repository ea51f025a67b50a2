"""A bill's day gets its hours from a gateway's log: its sum stays the meter's, to the token, or it stays a sum."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.models.api_harness import USAGES, Row, build_tables, rows_of, usage_row

LOGS = "landed_litellm_spend_logs__requests"
GENERATIONS = "landed_openrouter_generations__generations"
DAY = date(2026, 11, 3)
MODEL, GATEWAY_MODEL = "claude-opus-4-8", "anthropic/claude-opus-4-8"
RULES = [
    {"rule_id": "chat#1", "workload": "chat", "account": "acme", "sub_account": "Default"},
    {"rule_id": "search#1", "workload": "search", "account": "acme", "sub_account": "wrkspc_search"},
]
BILLS = [
    {
        "source": "litellm_spend_logs", "account": "gateway", "provider": "anthropic", "bill_issuer": "anthropic",
        "bill_account": "acme",
    }
]  # fmt: skip
TARGETS = ("fct_demand_hourly", "fct_demand_daily")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway_shapes")


def request(number: int, hour: int, prompt: int, completion: int, *, day: date = DAY, **fields: Any) -> Row:
    row: dict[str, Any] = {
        "account": "gateway",
        "bucket": day.isoformat(),
        "usage_date": day,
        "request_hash": f"{number:032x}",
        "started_at": datetime.combine(day, datetime.min.time()) + timedelta(hours=hour, minutes=number % 60),
        "custom_llm_provider": "anthropic",
        "model": GATEWAY_MODEL,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "is_cache_hit": False,
    }
    return {**row, **fields}


def generation(number: int, hour: int, prompt: int, completion: int, **fields: Any) -> Row:
    """A request of OpenRouter's activity, sent out with a key of one's own."""
    row: dict[str, Any] = {
        "account": "router",
        "bucket": DAY.isoformat(),
        "usage_date": DAY,
        "request_hash": f"{number:032x}",
        "started_at": datetime.combine(DAY, datetime.min.time()) + timedelta(hours=hour, minutes=number % 60),
        "provider_name": "Anthropic",
        "model_permaslug": "anthropic/claude-4.8-opus",
        "tokens_prompt": prompt,
        "tokens_completion": completion,
        "is_own_key": True,
    }
    return {**row, **fields}


def day_sum(prompt: int, completion: int, *, cached: int = 0, **fields: Any) -> Row:
    """What the meter knows: a bucket of a day."""
    said = {"uncached_input_tokens": prompt, "cache_read_input_tokens": cached, "output_tokens": completion}
    return usage_row(DAY, hours=24, **said, **fields)


def demand(cache: Path, usage: Sequence[Row], logs: Sequence[Row], **tables: Any) -> Mapping[str, list[dict[str, Any]]]:
    given: dict[str, Any] = {"config_workload_rules": RULES, "config_estimated_bills": BILLS, **tables}
    built = build_tables(cache, {USAGES: usage, LOGS: logs, **given}, TARGETS)
    return {name: rows_of(built, name) for name in TARGETS}


def hours(found: Mapping[str, list[dict[str, Any]]], token_class: str = "output") -> dict[int, int]:
    rows = found["fct_demand_hourly"]
    return {row["usage_hour_at"].hour: row["tokens"] for row in rows if row["token_class"] == token_class}


def evidence(found: Mapping[str, list[dict[str, Any]]]) -> set[str]:
    return {row["evidence"] for row in found["fct_demand_daily"]}


def test_a_day_is_laid_over_the_hours_in_which_the_gateway_passed_it_on(cache: Path) -> None:
    """Input by its prompts, output by its answers; cached input, which a gateway does not tell, by prompts too."""
    found = demand(
        cache,
        [day_sum(300, 90, cached=700)],
        [request(1, 9, 250, 60), request(2, 9, 500, 0), request(3, 22, 250, 30)],
    )
    assert hours(found) == {9: 60, 22: 30}
    assert hours(found, "input_uncached") == {9: 225, 22: 75}
    assert hours(found, "input_cache_read") == {9: 525, 22: 175}
    assert evidence(found) == {"gateway_shape"}
    assert {row["shape_from"] for row in found["fct_demand_hourly"]} == {"gateway"}


def test_a_gateway_is_never_the_total(cache: Path) -> None:
    """B5: it counts a twentieth more than the meter; the meter's day stands."""
    found = demand(cache, [day_sum(1000, 100)], [request(1, 9, 1050, 105)])
    assert (hours(found), hours(found, "input_uncached")) == ({9: 100}, {9: 1000})


@pytest.mark.parametrize(
    ("prompt", "completion", "is_covered"),
    [(900, 90, True), (899, 90, False), (900, 89, False), (1111, 111, True), (1112, 111, False), (0, 100, False)],
)
def test_a_day_that_the_gateway_did_not_see_whole_stays_a_sum(
    cache: Path, prompt: int, completion: int, is_covered: bool
) -> None:
    """B8: a log that is cut, and traffic past the gateway, have no shape to give. A tenth on either side."""
    found = demand(cache, [day_sum(1000, 100)], [request(1, 9, prompt, completion)])
    assert evidence(found) == {"gateway_shape" if is_covered else "daily"}
    assert hours(found) == ({9: 100} if is_covered else {})


def test_a_request_in_two_files_counts_once(cache: Path) -> None:
    """B1"""
    twice = [request(1, 9, 500, 50), request(1, 9, 500, 50), request(2, 10, 500, 50)]
    assert hours(demand(cache, [day_sum(1000, 100)], twice)) == {9: 50, 10: 50}


def test_of_a_request_that_two_files_tell_differently_the_one_with_more_tokens_counts(cache: Path) -> None:
    told = [request(1, 9, 500, 0), request(1, 9, 500, 50), request(2, 10, 500, 50)]
    assert hours(demand(cache, [day_sum(1000, 100)], told)) == {9: 50, 10: 50}
    assert hours(demand(cache, [day_sum(1000, 100)], told[::-1])) == {9: 50, 10: 50}


def test_what_the_gateway_answered_from_its_own_cache_reached_no_provider(cache: Path) -> None:
    logs = [request(1, 9, 1000, 100), request(2, 10, 1000, 100, is_cache_hit=True)]
    assert hours(demand(cache, [day_sum(1000, 100)], logs)) == {9: 100}


def test_whose_request_it_was_is_not_guessed(cache: Path) -> None:
    """B12: two workloads on one model of one account: neither has hours. On models of their own each has."""
    both = [day_sum(500, 50), day_sum(500, 50, workspace_id="wrkspc_search")]
    assert evidence(demand(cache, both, [request(1, 9, 1000, 100)])) == {"daily"}
    other = "claude-haiku-4-5"
    apart = [both[0], {**both[1], "model": other}]
    logs = [request(1, 9, 500, 50), request(2, 10, 500, 50, model=other)]
    found = demand(cache, apart, logs)
    rows = found["fct_demand_hourly"]
    assert {(row["workload"], row["usage_hour_at"].hour) for row in rows} == {("chat", 9), ("search", 10)}


def test_hours_that_the_meter_knows_are_the_meters(cache: Path) -> None:
    known = usage_row(DAY, hour=3, output_tokens=100)
    found = demand(cache, [known], [request(1, 9, 0, 100)])
    assert (hours(found), evidence(found)) == ({3: 100}, {"hourly"})


@pytest.mark.parametrize("bill", [{"bill_account": None, "bill_issuer": None}, {"bill_account": "labs"}])
def test_a_log_shapes_the_bill_that_it_was_said_to_shape(cache: Path, bill: dict[str, Any]) -> None:
    found = demand(cache, [day_sum(1000, 100)], [request(1, 9, 1000, 100)], config_estimated_bills=[BILLS[0] | bill])
    assert evidence(found) == {"daily"}


ROUTER = BILLS[0] | {"source": "openrouter_generations", "account": "router"}


@pytest.mark.parametrize(
    "slug",
    [
        "anthropic/claude-opus-4.8", "anthropic/claude-opus-4-8", "anthropic/claude-4.8-opus",
        "anthropic/claude-4.8-opus-20260514", "anthropic/claude-opus-4-8-20260514",
    ],
)  # fmt: skip
def test_a_day_is_laid_over_the_hours_that_openrouter_saw(cache: Path, slug: str) -> None:
    """However it spells the model. The same generation in two exports counts once."""
    logs = [generation(1, 9, 250, 60, model_permaslug=slug), generation(2, 22, 750, 30, model_permaslug=slug)]
    found = demand(
        cache, [day_sum(1000, 90)], [], **{GENERATIONS: [*logs, logs[0]], "config_estimated_bills": [ROUTER]}
    )
    assert (hours(found), hours(found, "input_uncached")) == ({9: 60, 22: 30}, {9: 250, 22: 750})
    assert evidence(found) == {"gateway_shape"}


def test_what_was_paid_in_credits_is_on_nobodys_bill_to_us(cache: Path) -> None:
    logs = [generation(1, 9, 1000, 100), generation(2, 10, 1000, 100, is_own_key=False)]
    found = demand(cache, [day_sum(1000, 100)], [], **{GENERATIONS: logs, "config_estimated_bills": [ROUTER]})
    assert hours(found) == {9: 100}
    found = demand(cache, [day_sum(1000, 100)], [], **{GENERATIONS: logs[1:], "config_estimated_bills": [ROUTER]})
    assert evidence(found) == {"daily"}


def test_two_gateways_before_one_bill_shape_it_together(cache: Path) -> None:
    given = {GENERATIONS: [generation(1, 9, 400, 40)], "config_estimated_bills": [*BILLS, ROUTER]}
    found = demand(cache, [day_sum(1000, 100)], [request(1, 20, 600, 60)], **given)
    assert hours(found) == {9: 40, 20: 60}


def test_what_a_gateways_count_leaves_and_what_it_does_not_split_have_hours_of_their_own(cache: Path) -> None:
    """Of one workload, a key that is split by teams and one that is not: each is laid out to its last token."""
    rules = [
        {"rule_id": "w#1", "workload": "w", "account": "acme"},
        {"rule_id": "w#2", "workload": "w", "account": "acme", "api_key": "key-a", "gateway_team": "t-search"},
    ]
    usage = [day_sum(0, 1000, api_key_id="key-a"), day_sum(0, 100, api_key_id="key-b")]
    logs = [request(hour, hour, 0, 41 + hour % 3, team_id="t-search" if hour % 2 else "t-chat") for hour in range(24)]
    found = demand(cache, usage, logs, config_workload_rules=rules)
    assert sum(hours(found).values()) == 1100
    assert evidence(found) == {"gateway_shape"}


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    day=st.tuples(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**12)),
    shape=st.dictionaries(
        st.integers(0, 23), st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=24
    ),
)
def test_the_hours_of_a_day_sum_to_the_meters_day(
    cache: Path, day: tuple[int, int, int], shape: dict[int, tuple[int, int]]
) -> None:
    """And no hour is further than one token from its share. The log is scaled to see the whole day."""
    uncached, cached, output = day
    sides = (uncached + cached, output)
    logs = []
    for side, total in enumerate(sides):
        weights = {hour: counts[side] for hour, counts in shape.items()}
        whole = sum(weights.values())
        for hour, weight in weights.items():
            scaled = -(-total * weight // whole) if whole else 0
            counts = (scaled, 0) if side == 0 else (0, scaled)
            logs.append(request(100 * side + hour, hour, *counts))
    found = demand(cache, [day_sum(uncached, output, cached=cached)], logs)
    said = {"input_uncached": uncached, "input_cache_read": cached, "output": output}
    for row in found["fct_demand_daily"]:
        assert row["tokens"] == said[row["token_class"]]
        laid = hours(found, row["token_class"])
        if row["evidence"] == "daily":
            continue
        assert sum(laid.values()) == row["tokens"]
        side = int(row["token_class"] == "output")
        gateway: Counter[int] = Counter()
        for one in logs:
            gateway[one["started_at"].hour] += (one["prompt_tokens"], one["completion_tokens"])[side]
        for hour, tokens in gateway.items():
            assert abs(laid.get(hour, 0) - Fraction(row["tokens"] * tokens, gateway.total())) < 1
