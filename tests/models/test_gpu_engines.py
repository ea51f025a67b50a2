"""What engines served, from their counters: resets, restarts, gaps, shared addresses."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.gpu_harness import (
    DAY,
    GPU_CHECKS,
    INVOICE_LINES,
    SAMPLES,
    SCRAPES,
    Row,
    at,
    broken_laws,
    build_tables,
    deployment,
    invoice_line,
    rows_of,
    scrape,
    watched,
)

MINUTE = 60_000


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu_engines")


def tokens(cache: Path, scrapes: Sequence[Row], **tables: Sequence[Row]) -> dict[str, int]:
    """token_class -> tokens of all days."""
    found: dict[str, int] = {}
    built = build_tables(cache, {SCRAPES: scrapes, **tables}, ("fct_self_host_tokens_daily",))
    for row in rows_of(built, "fct_self_host_tokens_daily"):
        found[row["token_class"]] = found.get(row["token_class"], 0) + row["tokens"]
    return found


def minute_scrape(
    minute: float, prompt: int | None, output: int | None, *, interval_ms: int = MINUTE, **fields: Any
) -> Row:
    return scrape(at(minute / 60), interval_ms, prompt, output, **fields)


def test_a_lifetime_counter_is_a_baseline_not_a_days_tokens(cache: Path) -> None:
    """The first reading of an engine that has run for a month counts nothing. B16."""
    scrapes = [minute_scrape(10, 9_000_000, 500_000), minute_scrape(11, 9_000_100, 500_007)]
    assert tokens(cache, scrapes) == {"input_uncached": 100, "input_cache_read": 0, "output": 7}


def test_an_engine_that_counts_no_tokens_claims_no_time_and_is_not_called_starting(cache: Path) -> None:
    """TensorRT-LLM before 1.3 is read and tells no tokens; what cannot be read and holds GPUs is starting."""

    def claimed(**fields: Any) -> list[Row]:
        scrapes = [minute_scrape(minute, None, None, requests_running=2, **fields) for minute in (10, 11)]
        return rows_of(build_tables(cache, {SCRAPES: scrapes}, ("int_engine_hours",)), "int_engine_hours")

    assert claimed(engine="trtllm", scrape_error=None) == []
    assert [row["starting_milliseconds"] for row in claimed(scrape_error="HTTP 503")] == [2 * MINUTE]


@settings(max_examples=5)
@given(st.lists(st.lists(st.integers(1, 7), min_size=1, max_size=7), min_size=20, max_size=20))
def test_engines_on_slices_of_a_gpu_have_their_parts_of_its_time_and_never_more_than_all(
    cache: Path, slices: list[list[int]]
) -> None:
    """Each host has one GPU in sevenths; what is given out beyond seven (time-sliced) is cut in proportion."""
    ppm = [[1_000_000 * count // 7 for count in counts] for counts in slices]
    scrapes = [
        minute_scrape(
            minute,
            100 * minute,
            minute,
            requests_running=1,
            host=f"host-{number}",
            target=f"http://127.0.0.1:{8000 + place}/metrics",
            gpu_shares_ppm=f"[{share}]",
        )
        for number, shares in enumerate(ppm)
        for place, share in enumerate(shares)
        for minute in (10, 11)
    ]
    found: dict[str, list[int]] = {}
    for row in rows_of(build_tables(cache, {SCRAPES: scrapes}, ("int_engine_hours",)), "int_engine_hours"):
        found.setdefault(row["host"], []).append(row["serving_milliseconds"])
    for number, shares in enumerate(ppm):
        served, fits = sorted(found[f"host-{number}"]), min(sum(shares), 1_000_000) / sum(shares)
        fair = sorted(2 * MINUTE * share * fits / 1_000_000 for share in shares)  # of two minutes
        assert 0 <= 2 * MINUTE * min(sum(shares), 1_000_000) / 1_000_000 - sum(served) <= len(shares)
        assert all(abs(one - part) < 2 for one, part in zip(served, fair, strict=True))


def test_a_single_first_reading_is_unknown_not_zero(cache: Path) -> None:
    """No row: nothing is known. Missing is not zero. B14, B16."""
    assert tokens(cache, [minute_scrape(10, 9_000_000, 500_000)]) == {}


def test_an_engine_that_started_while_watched_counts_from_zero(cache: Path) -> None:
    """Tokens before the first scrape of a process begun today are today's. B15."""
    started = {"process_started_at": at(9 / 60)}
    assert tokens(cache, [minute_scrape(10, 120, 30, **started)]) == {
        "input_uncached": 120,
        "input_cache_read": 0,
        "output": 30,
    }


def test_a_restart_counts_the_new_process_from_zero(cache: Path) -> None:
    """1000 -> 1500, restart, 40 -> 90: 500 + 40 + 50; also where the new counter is above the old one. B15."""
    new = {"process_started_at": at(11.5 / 60)}
    scrapes = [
        minute_scrape(10, 1000, 0),
        minute_scrape(11, 1500, 0),
        minute_scrape(12, 40, 0, **new),
        minute_scrape(13, 90, 0, **new),
        minute_scrape(14, 9000, 0, process_started_at=at(13.5 / 60)),
    ]
    assert tokens(cache, scrapes)["input_uncached"] == 500 + 40 + 50 + 9000


def test_a_counter_that_falls_in_one_process_restarts_at_its_new_value(cache: Path) -> None:
    """Without a process start the fall alone says so. B15."""
    silent = {"process_started_at": None}
    scrapes = [minute_scrape(m, v, 0, **silent) for m, v in ((10, 1000), (11, 1400), (12, 30), (13, 50))]
    assert tokens(cache, scrapes)["input_uncached"] == 400 + 30 + 20


def test_two_pods_behind_one_address_are_not_endless_resets(cache: Path) -> None:
    """Values alternate between two processes: nothing is said of either, and that they do is. B15."""
    first, second = {"process_started_at": at(-30)}, {"process_started_at": at(-20)}
    scrapes = [
        minute_scrape(10, 5000, 0, **first),
        minute_scrape(11, 800, 0, **second),
        minute_scrape(12, 5010, 0, **first),
        minute_scrape(13, 820, 0, **second),
        minute_scrape(14, 5020, 0, **first),
    ]
    assert tokens(cache, scrapes) == {}
    shared = build_tables(cache, {SCRAPES: scrapes}, ("int_engine_shared_addresses_daily",))
    (row,) = rows_of(shared, "int_engine_shared_addresses_daily")
    assert (row["method"], row["from_at"], row["to_at"]) == ("process_starts", at(11 / 60), at(14 / 60))


def test_a_second_reading_of_the_same_instant_counts_once(cache: Path) -> None:
    """Two agents, one instant. B9, B15."""
    scrapes = [minute_scrape(10, 1000, 0), minute_scrape(11, 1500, 0)]
    again = [{**row, "agent_start_id": "agent-2"} for row in scrapes]
    assert tokens(cache, [*again, *scrapes])["input_uncached"] == 500


def test_tokens_of_a_gap_are_booked_untimed_and_not_extrapolated(cache: Path) -> None:
    """Two hours without a scrape: the counter's difference is kept whole, in one hour, and flagged. B15."""
    scrapes = [minute_scrape(10, 1000, 0), minute_scrape(130, 8000, 0)]
    built = build_tables(cache, {SCRAPES: scrapes}, ("int_engine_tokens_hourly",))
    rows = [r for r in rows_of(built, "int_engine_tokens_hourly") if r["token_class"] == "input_uncached"]
    assert [(row["usage_hour_at"], row["tokens"], row["of_which_untimed_tokens"]) for row in rows] == [
        (at(2), 7000, 7000)
    ]


def test_failed_scrapes_lose_no_tokens_and_invent_none(cache: Path) -> None:
    """A failed scrape is a gap in the readings, not a counter of 0. B15, B19."""
    failed = minute_scrape(
        11, None, None, scrape_error="timeout", model_name="", engine_rank="", process_started_at=None
    )
    scrapes = [minute_scrape(10, 1000, 0), failed, minute_scrape(12, 1700, 0)]
    assert tokens(cache, scrapes)["input_uncached"] == 700


def test_cached_prompt_tokens_are_a_class_of_their_own(cache: Path) -> None:
    """Cached is a part of the prompt: the classes are disjoint and sum to it. B1."""
    scrapes = [
        minute_scrape(10, 0, 0, prompt_tokens_cached=0),
        minute_scrape(11, 1000, 50, prompt_tokens_cached=640),
    ]
    assert tokens(cache, scrapes) == {"input_uncached": 360, "input_cache_read": 640, "output": 50}


@pytest.mark.parametrize(
    ("gaps", "is_broken"), [((5, 9, 7), True), ((5, 0, 7), False), ((5, 9), False), ((None,) * 4, False)]
)
def test_counters_that_never_agree_break_a_law_and_one_that_was_read_in_between_does_not(
    cache: Path, gaps: tuple[int | None, ...], is_broken: bool
) -> None:
    scrapes = [minute_scrape(10 + n, 100 * n, 0, identity_gap_tokens=gap) for n, gap in enumerate(gaps)]
    built = build_tables(cache, {SCRAPES: scrapes}, ("check_gpu_engine_counters_agree",))
    laws = broken_laws(built, ("check_gpu_engine_counters_agree",))
    assert bool(laws) is is_broken
    assert not laws or "differ by 5 tokens or more in each of 3 scrapes" in laws[0]


def test_an_engine_without_a_cache_counter_has_no_cached_class(cache: Path) -> None:
    """Unknown is not zero: all of the prompt is uncached and the class is absent. B1, B17."""
    scrapes = [minute_scrape(m, v, 0, prompt_tokens_cached=None) for m, v in ((10, 0), (11, 1000))]
    assert tokens(cache, scrapes) == {"input_uncached": 1000, "output": 0}


def test_the_hours_of_an_interval_share_its_tokens_exactly(cache: Path) -> None:
    """[10:59:40, 11:00:40) moved by 101: a third before the hour, 34 + 67. B8."""
    scrapes = [minute_scrape(659 + 40 / 60, 1000, 0), minute_scrape(660 + 40 / 60, 1101, 0)]
    built = build_tables(cache, {SCRAPES: scrapes}, ("int_engine_tokens_hourly",))
    rows = [r for r in rows_of(built, "int_engine_tokens_hourly") if r["token_class"] == "input_uncached"]
    assert [(row["usage_hour_at"], row["tokens"]) for row in rows] == [(at(10), 34), (at(11), 67)]


def test_midnight_splits_tokens_between_days_and_loses_none(cache: Path) -> None:
    """The first scrape of a day continues the last of the day before. B8, B29."""
    scrapes = [minute_scrape(1439.5, 1000, 0), minute_scrape(1440.5, 1101, 0), minute_scrape(1441.5, 1201, 0)]
    built = build_tables(cache, {SCRAPES: scrapes}, ("fct_self_host_tokens_daily",))
    rows = [r for r in rows_of(built, "fct_self_host_tokens_daily") if r["token_class"] == "input_uncached"]
    assert [(row["usage_date"], row["tokens"]) for row in rows] == [(DAY, 51), (DAY + timedelta(days=1), 150)]


def test_a_quiet_engine_served_nothing_and_an_unwatched_one_is_unknown(cache: Path) -> None:
    """A row with 0 tokens is a measurement; no row is none. B14."""
    scrapes = [minute_scrape(10, 1000, 10), minute_scrape(11, 1000, 10)]
    assert tokens(cache, scrapes) == {"input_uncached": 0, "input_cache_read": 0, "output": 0}


def test_tokens_go_to_the_one_workload_whose_rule_names_them(cache: Path) -> None:
    rules = [
        {"rule_id": "chat#1", "workload": "chat", "served_name": "llama"},
        {"rule_id": "api#1", "workload": "api", "provider": "anthropic"},
    ]
    tables = {
        SCRAPES: [minute_scrape(10, 0, 0), minute_scrape(11, 5, 5)],
        "config_workload_rules": rules,
        "config_deployments": [deployment()],
        "config_deployment_served_names": [{"deployment_id": "chat", "served_name": "llama"}],
    }
    built = build_tables(cache, tables, ("fct_self_host_tokens_daily", *GPU_CHECKS))
    assert {row["workload"] for row in rows_of(built, "fct_self_host_tokens_daily")} == {"chat"}
    assert broken_laws(built) == []


@pytest.mark.parametrize("of_a_gateway", [{"gateway_team": "t-search"}, {"gateway_key": "a" * 64}])
def test_a_rule_of_a_gateways_traffic_claims_no_engine(cache: Path, of_a_gateway: Row) -> None:
    """Neither alone, nor beside the rule of the workload whose tokens they are."""
    searching = {"rule_id": "search#1", "workload": "search", **of_a_gateway}
    chatting = {"rule_id": "chat#1", "workload": "chat", "served_name": "llama"}
    for rules, owner in (([searching], "unassigned"), ([searching, chatting], "chat")):
        tables = {
            SCRAPES: [minute_scrape(10, 0, 0), minute_scrape(11, 100, 7)],
            "config_workload_rules": rules,
            "config_deployment_served_names": [{"deployment_id": "chat", "served_name": "llama"}],
        }
        built = build_tables(cache, tables, ("fct_self_host_tokens_daily",))
        assert {row["workload"] for row in rows_of(built, "fct_self_host_tokens_daily")} == {owner}


def test_tokens_that_two_workloads_claim_are_unassigned_and_named(cache: Path) -> None:
    """Both rules are named, and the law is broken for each who loses them and for no other workload. B12."""
    rules = [
        {"rule_id": "chat#1", "workload": "chat", "served_name": "llama"},
        {"rule_id": "batch#1", "workload": "batch", "deployment_id": "chat"},
        {"rule_id": "search#1", "workload": "search", "served_name": "qwen"},
    ]
    tables = {
        SCRAPES: [minute_scrape(10, 0, 0), minute_scrape(11, 5, 5)],
        "config_workload_rules": rules,
        "config_deployment_served_names": [{"deployment_id": "chat", "served_name": "llama"}],
    }
    built = build_tables(cache, tables, ("fct_self_host_tokens_daily", *GPU_CHECKS))
    rows = rows_of(built, "fct_self_host_tokens_daily")
    assert {(row["workload"], row["tokens"]) for row in rows} == {("unassigned", 0), ("unassigned", 5)}
    assert len(rows) == 3
    laws = broken_laws(built)
    assert [law.split(": ")[0] for law in sorted(laws)] == [
        f"one_workload_per_served_model workload:{workload}" for workload in ("batch", "chat", "unassigned")
    ]
    assert all("claimed by batch#1, chat#1" in law for law in laws)


def test_two_deployments_that_mean_the_same_engine_get_none_of_it(cache: Path) -> None:
    """And the law is broken for both and for their host, not for every deployment there is. B12."""
    tables = {
        SCRAPES: [minute_scrape(10, 0, 0), minute_scrape(11, 5, 5)],
        "config_deployment_served_names": [
            {"deployment_id": "one", "served_name": "llama"},
            {"deployment_id": "two", "served_name": "llama"},
        ],
    }
    built = build_tables(cache, tables, ("fct_self_host_tokens_daily", *GPU_CHECKS))
    assert {row["deployment_id"] for row in rows_of(built, "fct_self_host_tokens_daily")} == {None}
    laws = broken_laws(built)
    assert all("one, two" in law for law in laws)
    assert [law.split(": ")[0] for law in sorted(laws)] == [
        f"gpu_deployment_is_one {scope}" for scope in ("deployment:one", "deployment:two", "host:host-1")
    ]


def hours_by_state(cache: Path, tables: Mapping[str, Sequence[Row]]) -> dict[tuple[str | None, str], float]:
    built = build_tables(cache, tables, ("fct_gpu_costs_daily", *GPU_CHECKS))
    assert broken_laws(built) == []
    return {(row["deployment_id"], row["state"]): row["gpu_hours"] for row in rows_of(built, "fct_gpu_costs_daily")}


def test_loaded_without_requests_is_idle_and_with_tokens_is_serving(cache: Path) -> None:
    """Utilisation says nothing about either. B18."""
    counters = [0, 0, 0, 0, 500, 900]
    tables = {
        SAMPLES: watched(0, 1, util_gpu_pct=100),
        SCRAPES: [minute_scrape(10 * (n + 1), value, 0, interval_ms=10 * MINUTE) for n, value in enumerate(counters)],
        INVOICE_LINES: [invoice_line("6.00", quantity="1", period_end=f"{DAY}T01:00:00Z")],
        "config_deployment_served_names": [{"deployment_id": "chat", "served_name": "llama"}],
    }
    assert hours_by_state(cache, tables) == {
        ("chat", "loaded_idle"): pytest.approx(40 / 60),
        ("chat", "serving"): pytest.approx(20 / 60),
    }


def test_an_engine_that_does_not_answer_yet_is_starting(cache: Path) -> None:
    failed = {"scrape_error": "connection refused", "model_name": "", "engine_rank": "", "process_started_at": None}
    tables = {
        SAMPLES: watched(0, 1),
        SCRAPES: [
            *[minute_scrape(10 * n, None, None, interval_ms=10 * MINUTE, **failed) for n in (1, 2, 3)],
            *[minute_scrape(10 * n, 0, 0, interval_ms=10 * MINUTE) for n in (4, 5, 6)],
        ],
        INVOICE_LINES: [invoice_line("6.00", quantity="1", period_end=f"{DAY}T01:00:00Z")],
        "config_deployment_served_names": [{"deployment_id": "chat", "served_name": "llama"}],
    }
    assert hours_by_state(cache, tables) == {("chat", "loaded_idle"): 0.5, ("chat", "starting"): 0.5}


def test_a_declared_engine_without_a_process_is_not_starting(cache: Path) -> None:
    """Nothing holds the GPU: it is unallocated, whatever the declaration says."""
    failed = {"scrape_error": "connection refused", "model_name": "", "engine_rank": "", "gpu_method": "declared"}
    tables = {
        SAMPLES: watched(0, 1, compute_process_count=0),
        SCRAPES: [minute_scrape(10 * n, None, None, interval_ms=10 * MINUTE, **failed) for n in range(1, 7)],
        INVOICE_LINES: [invoice_line("6.00", quantity="1", period_end=f"{DAY}T01:00:00Z")],
    }
    assert hours_by_state(cache, tables) == {(None, "unallocated"): 1.0}


def test_an_engine_starts_in_the_time_that_a_process_held_beyond_those_that_answer(cache: Path) -> None:
    """Half an hour of an empty GPU, then an engine that is loaded: nothing was starting. A real H200 went this way."""
    failed = {"scrape_error": "connection refused", "model_name": "", "engine_rank": "", "process_started_at": None}
    scrapes = [
        *[minute_scrape(10 * n, None, None, interval_ms=10 * MINUTE, **failed) for n in (1, 2, 3)],
        *[minute_scrape(10 * n, 0, 0, interval_ms=10 * MINUTE) for n in (4, 5, 6)],
    ]
    others = [
        minute_scrape(10 * n, None, None, interval_ms=10 * MINUTE, target=target, **failed)
        for target in ("second", "third")
        for n in range(1, 7 if target == "second" else 4)
    ]
    tables = {
        SAMPLES: [*watched(0, 0.5, compute_process_count=0), *watched(0.5, 1)],
        INVOICE_LINES: [invoice_line("6.00", quantity="1", period_end=f"{DAY}T01:00:00Z")],
        "config_deployment_served_names": [{"deployment_id": "chat", "served_name": "llama"}],
    }
    assert hours_by_state(cache, {**tables, SCRAPES: scrapes}) == {
        ("chat", "loaded_idle"): 0.5,
        (None, "unallocated"): 0.5,
    }
    built = build_tables(cache, {**tables, SCRAPES: others}, ("int_gpu_states_hourly", *GPU_CHECKS))
    assert broken_laws(built) == []
    assert {
        (row["target"], row["state"]): row["gpu_milliseconds"] for row in rows_of(built, "int_gpu_states_hourly")
    } == {
        ("second", "starting"): 22.5 * MINUTE,  # half of the first half hour, all of the second: cut to what was held
        ("third", "starting"): 7.5 * MINUTE,
        (None, "unallocated"): 30 * MINUTE,
    }


def test_engines_that_share_a_gpu_share_its_hour(cache: Path) -> None:
    """One serves for its first half, one waits, both are loaded throughout: one GPU-hour in all. B18."""
    tables = {
        SAMPLES: watched(0, 1),
        SCRAPES: [
            row
            for n in range(1, 7)
            for row in (
                minute_scrape(10 * n, 100 * min(n, 3), 0, interval_ms=10 * MINUTE, requests_running=int(n < 3)),
                minute_scrape(10 * n, 0, 0, interval_ms=10 * MINUTE, target="second", model_name="qwen"),
            )
        ],
        INVOICE_LINES: [invoice_line("6.00", quantity="1", period_end=f"{DAY}T01:00:00Z")],
        "config_deployment_served_names": [
            {"deployment_id": "chat", "served_name": "llama"},
            {"deployment_id": "code", "served_name": "qwen"},
        ],
    }
    assert hours_by_state(cache, tables) == {
        ("chat", "serving"): 0.5,
        ("chat", "loaded_idle"): 0.25,
        ("code", "loaded_idle"): 0.25,
    }


def test_the_ranks_of_one_process_are_one_engine(cache: Path) -> None:
    """Data-parallel ranks add their tokens, not their GPU time. B15."""
    tables = {
        SAMPLES: watched(0, 1),
        SCRAPES: [
            minute_scrape(10 * n, 100 * n, 0, interval_ms=10 * MINUTE, engine_rank=rank, requests_running=1)
            for n in range(1, 7)
            for rank in ("0", "1")
        ],
        INVOICE_LINES: [invoice_line("6.00", quantity="1", period_end=f"{DAY}T01:00:00Z")],
        "config_deployment_served_names": [{"deployment_id": "chat", "served_name": "llama"}],
    }
    assert hours_by_state(cache, tables) == {("chat", "serving"): 1.0}
    assert tokens(cache, tables[SCRAPES])["input_uncached"] == 2 * 500


def test_a_restart_in_a_gap_over_midnight_is_counted_from_zero(cache: Path) -> None:
    """Last read at 22:00, restarted at 23:00, read again at 01:00: whatever the new process counts is new. B15, B29."""
    scrapes = [
        minute_scrape(22 * 60, 1000, 0),
        minute_scrape(25 * 60, 300, 0, process_started_at=at(23)),
    ]
    built = build_tables(cache, {SCRAPES: scrapes}, ("fct_self_host_tokens_daily",))
    rows = [r for r in rows_of(built, "fct_self_host_tokens_daily") if r["token_class"] == "input_uncached"]
    assert [(row["usage_date"], row["tokens"]) for row in rows] == [(DAY + timedelta(days=1), 300)]
