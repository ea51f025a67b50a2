"""What counters say between scrapes: tokens by class, GPU time, three unit costs, and two list prices beside them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.check.comparison import api_bill, equal_tokens_per_second
from pipeline.check.engine import CheckError, Reading, Tokens, observed, priced, since_start
from pipeline.check.engine_answer import document, engine_answer
from pipeline.check.watching import Watched
from pipeline.formats.exposition import VllmRow
from tests.models.gpu_harness import DAY, SCRAPES, at, build_tables, rows_of, scrape

START = datetime(2026, 11, 29, 5, tzinfo=UTC)
BORN = datetime.fromisoformat("2026-11-01")


def row(prompt: int | None, output: int | None, **fields: object) -> VllmRow:
    """One engine's counters since it started, long ago unless said otherwise."""
    said: dict[str, object] = {
        "model_name": "chat",
        "engine_rank": "0",
        "prompt_tokens": prompt,
        "prompt_tokens_cached": 0,
        "generation_tokens": output,
        "requests_success": 0,
        "requests_running": 0,
        "requests_waiting": 0,
        "process_started_at": BORN,
        "engine_version": None,
    }
    return VllmRow(**(said | fields))  # type: ignore[arg-type]


def reading(seconds: float, *rows: VllmRow) -> Reading:
    return Reading(at=START + timedelta(seconds=seconds), rows=rows)


GROWTH = st.tuples(
    st.integers(1, 20_000),
    st.integers(0, 50_000),
    st.integers(0, 60_000),
    st.integers(0, 9_000),
    st.integers(0, 40),
    st.integers(0, 3),
)


def history(steps: Sequence[tuple[int, int, int, int, int, int]], *, is_odd: bool = False) -> list[Reading]:
    """Scrapes of one process. Only an odd one says more cache hits than prompts."""
    milliseconds, prompt, cached, output, requests = 0, 1_000, 10, 100, 5
    readings = [reading(0, row(prompt, output, prompt_tokens_cached=cached, requests_success=requests))]
    for length, more_prompt, more_cached, more_output, more_requests, running in steps:
        milliseconds += length
        prompt, output, requests = prompt + more_prompt, output + more_output, requests + more_requests
        cached += more_cached if is_odd else min(more_cached, more_prompt)
        said = row(prompt, output, prompt_tokens_cached=cached, requests_success=requests, requests_running=running)
        readings.append(reading(milliseconds / 1000, said))
    return readings


@given(steps=st.lists(GROWTH, min_size=1, max_size=12))
def test_what_lies_between_the_first_and_the_last_scrape_is_counted_once_however_many_lie_between(steps) -> None:
    """B15: more scrapes tell when it served, never how much."""
    readings = history(steps)
    fine, coarse = observed(readings), observed([readings[0], readings[-1]])
    assert fine.tokens == coarse.tokens
    assert fine.milliseconds == coarse.milliseconds == sum(step[0] for step in steps)
    assert fine.tokens.total == sum(fine.tokens.by_class().values())
    assert 0 <= (fine.serving_ms or 0) <= (coarse.serving_ms or 0) or not coarse.tokens.total


@given(
    steps=st.lists(GROWTH, min_size=1, max_size=8), rate=st.decimals("0.01", "99", places=4), gpus=st.integers(1, 16)
)
def test_active_never_costs_more_than_full_and_the_three_are_what_they_say(steps, rate, gpus) -> None:
    one = priced(observed(history(steps)), rate_per_gpu_hour=rate, gpu_count=gpus)
    window, units = one.window, one.units
    assert one.gpu_ms == window.milliseconds * gpus
    exact = Fraction(rate) * one.gpu_ms / 3_600_000
    assert one.cost is not None
    assert abs(Fraction(one.cost) - exact) <= Fraction(1, 2 * 10**18)
    if not window.tokens.total:
        assert (units.full_per_mtok, units.active_per_mtok, units.marginal_per_mtok) == (None, None, None)
        return
    assert units.full_per_mtok is not None
    assert units.active_per_mtok is not None
    assert units.active_per_mtok <= units.full_per_mtok
    assert units.marginal_per_mtok == (0 if window.serving_ms < window.milliseconds else None)


@settings(max_examples=8)
@given(steps=st.lists(GROWTH, min_size=1, max_size=6), reset=st.integers(0, 6), forgets_start=st.booleans())
def test_a_check_counts_what_the_pipeline_counts_of_the_same_scrapes(
    tmp_path_factory, steps, reset, forgets_start
) -> None:
    """B15: one rule in two places would be two rules; the counters fall once, said or not said.

    A fall that says no start is judged by the minute after it, which a check may not see: here a scrape takes longer.
    """
    apart = timedelta(seconds=61 if forgets_start else 0)
    readings = [replace(one, at=one.at + number * apart) for number, one in enumerate(history(steps, is_odd=True))]
    moment = at(12)
    rows = [scraped.rows[0] for scraped in readings]
    if 0 < reset < len(rows):
        low = rows[reset]
        born = None if forgets_start else readings[reset - 1].at.replace(tzinfo=None)
        for place in range(reset, len(rows)):
            rows[place] = replace(
                rows[place],
                prompt_tokens=rows[place].prompt_tokens - low.prompt_tokens,
                prompt_tokens_cached=rows[place].prompt_tokens_cached - low.prompt_tokens_cached,
                generation_tokens=rows[place].generation_tokens - low.generation_tokens,
                requests_success=rows[place].requests_success - low.requests_success,
                process_started_at=born,
            )
        if forgets_start:
            rows[:reset] = [replace(early, process_started_at=None) for early in rows[:reset]]
    offset = moment.replace(tzinfo=UTC) - START
    window = observed([Reading(at=one.at, rows=(each,)) for one, each in zip(readings, rows, strict=True)])
    scrapes = [
        scrape(
            (one.at + offset).replace(tzinfo=None),
            20_000 + apart // timedelta(milliseconds=1),
            each.prompt_tokens,
            each.generation_tokens,
            prompt_tokens_cached=each.prompt_tokens_cached,
            requests_success=each.requests_success,
            requests_running=each.requests_running,
            process_started_at=None
            if each.process_started_at is None
            else at(day=date(2025, 10, 1))
            if each.process_started_at == BORN
            else (each.process_started_at.replace(tzinfo=UTC) + offset).replace(tzinfo=None),
        )
        for one, each in zip(readings, rows, strict=True)
    ]
    built = build_tables(tmp_path_factory.mktemp("cache"), {SCRAPES: scrapes}, ["int_engine_intervals"])
    counted = [one for one in rows_of(built, "int_engine_intervals") if one["baseline"] != "unknown"]
    assert {one["usage_date"] for one in counted} == {DAY}
    assert len(counted) == window.interval_count
    assert sum(one["input_uncached_tokens"] for one in counted) == window.tokens.computed
    assert sum(one["input_cache_read_tokens"] for one in counted) == window.tokens.cache_read
    assert sum(one["output_tokens"] for one in counted) == window.tokens.output
    assert sum(one["request_count"] for one in counted) == window.tokens.requests
    if not window.is_lower_bound:
        served = [one["scraped_at"] - one["counted_from_at"] for one in counted if one["is_serving"]]
        assert sum(served, timedelta()) == timedelta(milliseconds=window.serving_ms or 0)


def test_no_tokens_have_no_price_and_the_window_still_costs() -> None:
    """B14: undefined, never 0."""
    one = priced(observed([reading(0, row(5, 5)), reading(20, row(5, 5))]), rate_per_gpu_hour=Decimal(3), gpu_count=2)
    assert (one.units.full_per_mtok, one.units.active_per_mtok, one.units.marginal_per_mtok) == (None, None, None)
    assert one.cost == Decimal("0.033333333333333333")
    assert one.window.serving_ms == 0


def test_without_a_rate_there_is_no_cost_and_tokens_are_counted_all_the_same() -> None:
    one = priced(observed([reading(0, row(5, 5)), reading(20, row(50, 50))]), rate_per_gpu_hour=None, gpu_count=1)
    assert (one.cost, one.units.full_per_mtok, one.units.marginal_per_mtok) == (None, None, None)
    assert one.window.tokens.total == 90


def test_a_request_that_runs_without_a_token_is_serving() -> None:
    """A long prefill moves no counter: running says it."""
    running = row(5, 5, requests_running=1)
    window = observed([reading(0, row(5, 5)), reading(1, running), reading(2, running), reading(4, row(90, 9))])
    assert window.serving_ms == 4000
    assert observed([reading(0, running), reading(1, row(5, 5)), reading(3, row(5, 5))]).serving_ms == 1000


def test_a_restart_in_the_window_counts_from_zero_and_is_a_lower_bound() -> None:
    """B15."""
    born_again = (START + timedelta(seconds=7)).replace(tzinfo=None)
    window = observed([reading(0, row(900, 90)), reading(5, row(950, 95)),
                       reading(10, row(30, 3, process_started_at=born_again))])  # fmt: skip
    assert window.tokens.total == 50 + 5 + 30 + 3
    assert window.is_lower_bound
    assert "restarted at 05:00:07" in window.notes[0]


def test_two_processes_behind_one_address_are_refused_not_added() -> None:
    """B15: a load balancer's answers look like endless resets."""
    other = row(40, 4, process_started_at=datetime.fromisoformat("2026-11-02"))
    with pytest.raises(CheckError, match="load balancer"):
        observed([reading(0, row(900, 90)), reading(5, other)])


def test_counters_that_fall_without_a_start_are_a_reset() -> None:
    silent = {"process_started_at": None}
    window = observed([reading(0, row(900, 90, **silent)), reading(5, row(40, 95, **silent))])
    assert (window.tokens.prompt, window.tokens.output, window.is_lower_bound) == (40, 95, True)
    assert since_start(reading(0, row(900, 90, **silent))) is None


def test_counters_that_fall_again_and_again_without_a_start_are_two_processes() -> None:
    """Each fall would count a whole life of the other one."""
    silent = {"process_started_at": None}
    in_turn = [reading(second, row(900 if second % 2 else 700, 90, **silent)) for second in range(6)]
    with pytest.raises(CheckError, match="load balancer"):
        observed(in_turn)


def test_a_process_that_says_when_it_began_never_counts_backwards() -> None:
    """Two servers of a pair stamp with their own clocks: the first reading of the second may be the older one."""
    window = observed(
        [reading(0, row(900, 90)), reading(5, row(980, 95)), reading(6, row(970, 95)), reading(9, row(990, 99))]
    )
    assert (window.tokens.prompt, window.tokens.output, window.is_lower_bound) == (90, 9, False)


def test_cache_hits_that_are_not_counted_leave_one_class_of_input() -> None:
    """B1: not told apart is not all computed."""
    first, last = row(0, 0, prompt_tokens_cached=None), row(60, 6, prompt_tokens_cached=None)
    tokens = observed([reading(0, first), reading(1, last)]).tokens
    assert tokens.by_class() == {"input": 60, "output": 6}
    assert api_bill(tokens, api="gpt-5-mini", day=START.date()).cached_cost is None


def test_the_ranks_of_an_engine_add_and_serve_together() -> None:
    ranks = [row(0, 0), row(0, 0, engine_rank="1")]
    later = [row(10, 1), row(20, 2, engine_rank="1")]
    watched = Watched(readings=(reading(0, *ranks), reading(2, *later), reading(4, *later)))
    answer = engine_answer([watched], subject="x", rate=Decimal(2), currency="USD", gpu_count=None, apis=())
    assert answer.gpu_count == 2
    assert answer.windows["observed"].window.tokens.total == 33
    assert answer.windows["observed"].window.serving_ms == 2000
    assert any("2, one for each engine rank" in said for said in answer.unknown)


def test_a_life_is_priced_from_its_start() -> None:
    """B16: the counters of a life are of the time of that life."""
    window = since_start(reading(0, row(600, 400)))
    assert window is not None
    assert window.from_at == BORN.replace(tzinfo=UTC)
    one = priced(window, rate_per_gpu_hour=Decimal("2.69"), gpu_count=1)
    hours = (START - window.from_at) / timedelta(hours=1)
    assert one.units.full_per_mtok == Decimal("2.69") * int(hours) * 1000
    assert (one.units.active_per_mtok, one.units.marginal_per_mtok) == (None, None)


def test_tokens_at_list_are_each_class_at_its_own_price() -> None:
    """B1: bracketed from no cache hit to the engine's own."""
    tokens = Tokens(prompt=1_000_000, cache_read=400_000, output=200_000, requests=1)
    bill = api_bill(tokens, api="anthropic/claude-haiku-4-5", day=date(2026, 11, 29))
    assert bill.uncached_cost == Decimal(1) + Decimal("0.2") * 5
    assert bill.cached_cost == Decimal("0.6") + Decimal("0.4") * Decimal("0.1") + Decimal("0.2") * 5
    assert bill.uncached_per_mtok == Decimal("1.666666666666666667")
    # At 1.2M tokens for $2.00, a GPU at $3.00 an hour is matched by 500 tokens a second.
    equal = equal_tokens_per_second(cost_per_hour=Decimal(3), api_per_mtok=bill.uncached_per_mtok)
    assert equal is not None
    assert round(equal, 9) == 500


def test_prices_are_those_of_the_day() -> None:
    """B6: history is not repriced."""
    tokens = Tokens(prompt=1_000_000, cache_read=0, output=0, requests=1)
    before, after = (api_bill(tokens, api="gpt-5.6-luna", day=day) for day in (date(2026, 7, 29), date(2026, 7, 30)))
    assert (before.uncached_cost, after.uncached_cost) == (Decimal(1), Decimal("0.2"))


@pytest.mark.parametrize(
    ("api", "words"),
    [
        ("gpt-9-imaginary", "no such model"),
        ("text-embedding-3-small", "no list price for output"),
        ("openai/claude-haiku-4-5", "no such model"),
        ("", "no such model"),
    ],
)
def test_what_has_no_price_is_unpriced_with_the_reason(api: str, words: str) -> None:
    bill = api_bill(Tokens(prompt=10, cache_read=0, output=1, requests=1), api=api, day=date(2026, 11, 29))
    assert (bill.uncached_cost, bill.cached_cost, bill.uncached_per_mtok) == (None, None, None)
    assert words in str(bill.why)


def test_another_currency_is_never_compared_with_dollars() -> None:
    """B23."""
    watched = Watched(readings=(reading(0, row(5, 5)), reading(20, row(50, 50))))
    answer = engine_answer(
        [watched], subject="x", rate=Decimal(2), currency="EUR", gpu_count=1, apis=["openai/gpt-5-mini"]
    )
    (bill,) = document(answer)["apis"]["bills"]
    assert bill["equal_tokens_per_second"] is None
    assert bill["no_cache_hits_cost"] is not None
    assert any("not converted" in said for said in answer.unknown)


def test_a_gap_makes_an_engine_no_slower_and_its_gpus_no_cheaper() -> None:
    """Nobody watched for most of two hours: what is a second or an hour on average is of the time that was watched."""
    moved = [(0, 1_000), (60, 61_000), (7_200, 61_000), (7_260, 121_000)]
    watched = Watched(readings=tuple(reading(second, row(count, 0)) for second, count in moved), gap_seconds=300.0)
    answer = engine_answer([watched], subject="x", rate=Decimal(2), currency="USD", gpu_count=1, apis=["gpt-5-mini"])
    (window,) = [one for one in document(answer)["windows"] if one["window"] == "observed"]
    assert Decimal(window["tokens_per_second"]) == 1_000
    assert round(answer.windows["observed"].cost_per_hour or 0, 9) == 2


def test_an_address_that_is_left_out_is_left_out_with_its_gpus() -> None:
    seen = Watched(readings=(reading(0, row(0, 0)), reading(60, row(600, 0))), name="a")
    once = Watched(readings=(reading(0, row(0, 0)),), name="b")
    answer = engine_answer([seen, once], subject="x", rate=Decimal(2), currency="USD", gpu_count=4, apis=["gpt-5-mini"])
    assert answer.gpu_count == 4
    assert answer.windows["observed"].gpu_ms == 4 * 60_000
    assert any(said.startswith("b is left out") for said in answer.unknown)


def test_scrapes_out_of_order_are_no_window() -> None:
    with pytest.raises(CheckError, match="later than the first"):
        observed([reading(5, row(1, 1)), reading(5, row(2, 2))])
    assert all(later.at > earlier.at for earlier, later in pairwise(history([(1, 0, 0, 0, 0, 0)] * 3)))
