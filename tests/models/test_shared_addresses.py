"""Two engine processes that answer behind one address in turn: what was read then is refused, and said to be."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.models.gpu_harness import DAY, SCRAPES, Row, answer, at, build_tables, rows_of, scrape

# A build takes most of a second: what fails is not made smaller.
FAST = (Phase.explicit, Phase.generate)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared_addresses")


def reading(second: int, prompt: int, output: int, *, started_s: int | None, every_s: int) -> Row:
    return scrape(
        at(second / 3600),
        every_s * 1000,
        prompt,
        output,
        process_started_at=None if started_s is None else at(started_s / 3600),
    )


def built(cache: Path, scrapes: Sequence[Row]) -> tuple[dict[str, int], list[dict[str, Any]], list[dict[str, Any]]]:
    """token_class -> tokens; addresses that two share; intervals."""
    names = ("fct_self_host_tokens_daily", "int_engine_shared_addresses_daily", "int_engine_intervals")
    found = build_tables(cache, {SCRAPES: scrapes}, names)
    tokens, shared, intervals = (rows_of(found, name) for name in names)
    by_class: dict[str, int] = {}
    for row in tokens:
        by_class[row["token_class"]] = by_class.get(row["token_class"], 0) + row["tokens"]
    return by_class, shared, intervals


TURNS = st.lists(st.booleans(), min_size=6, max_size=40)


@settings(max_examples=8, deadline=None, phases=FAST)
@given(turns=TURNS, every_s=st.integers(10, 300), speeds=st.tuples(st.integers(0, 500), st.integers(0, 500)))
def test_what_two_processes_with_a_start_moved_while_both_answered_is_refused(
    cache: Path, turns: list[bool], every_s: int, speeds: tuple[int, int]
) -> None:
    """B15: interval by interval, against what the readings say by hand."""
    starts = (-7200, -3600)
    times = [3600 + every_s * number for number in range(len(turns))]
    scrapes = [
        reading(
            second,
            1_000_000 * (1 + which) + speeds[which] * second,
            100_000 * (1 + which) + second,
            started_s=starts[which],
            every_s=every_s,
        )
        for second, which in zip(times, turns, strict=True)
    ]
    tokens, shared, intervals = built(cache, scrapes)
    seen = {
        which: [second for second, turn in zip(times, turns, strict=True) if turn is which] for which in (False, True)
    }
    is_shared = bool(seen[True]) and bool(seen[False]) and max(seen[False]) > min(seen[True]) + 60
    assert bool(shared) is is_shared
    expected = 0
    for which in (False, True):
        for earlier, later in zip(seen[which], seen[which][1:], strict=False):
            if not is_shared or later < min(seen[True]) or earlier >= max(seen[False]):
                expected += later - earlier
    assert tokens.get("output", 0) == expected
    if is_shared:
        (row,) = shared
        assert (row["method"], row["from_at"], row["to_at"]) == (
            "process_starts", at(min(seen[True]) / 3600), at(max(seen[False]) / 3600),
        )  # fmt: skip
        assert all(one["baseline"] == "unknown" for one in intervals if one["is_refused"])
        assert sum(one["is_refused"] for one in intervals) >= 2


@settings(max_examples=6, deadline=None, phases=FAST)
@given(every_s=st.sampled_from([15, 30, 60, 300]), speeds=st.tuples(st.integers(1, 50), st.integers(1, 50)))
def test_two_counters_behind_one_address_that_say_no_start_are_refused(
    cache: Path, every_s: int, speeds: tuple[int, int]
) -> None:
    """B15: neither a restart nor a late answer, however often they are read. Nothing is told of the day, not half."""
    scrapes = [
        reading(
            second,
            5_000_000 * (number % 2) + speeds[number % 2] * second,
            900_000 * (number % 2) + speeds[number % 2] * second,
            started_s=None,
            every_s=every_s,
        )
        for number, second in enumerate(range(3600, 3600 + 24 * every_s, every_s))
    ]
    tokens, shared, intervals = built(cache, scrapes)
    assert tokens == {}
    assert [row["method"] for row in shared] == ["counters"]
    assert all(row["is_refused"] for row in intervals)


def test_the_day_after_begins_with_a_baseline_and_then_counts(cache: Path) -> None:
    """The last reading of a day of two counters is of either: the first of the next day stands on nothing."""
    day = 24 * 3600
    shared = [
        reading(second, 5_000_000 * (number % 2) + second, 900_000 * (number % 2) + second, started_s=None, every_s=300)
        for number, second in enumerate(range(day - 24 * 300, day, 300))
    ]
    alone = [
        reading(second, 5_000_000 + second, 900_000 + second, started_s=None, every_s=300)
        for second in range(day + 300, day + 1500, 300)
    ]
    tokens, _, intervals = built(cache, [*shared, *alone])
    assert tokens["output"] == 900
    assert [row["is_refused"] for row in intervals if row["scraped_at"] > at(24)] == [True, False, False, False]


@pytest.mark.parametrize("started_s", [None, -7200])
def test_a_restart_a_crash_loop_and_a_late_answer_are_no_second_process(cache: Path, started_s: int | None) -> None:
    """Counters begin anew each time, at least twice; and one answer comes a scrape late."""
    lives = [(3600, 40), (4200, 10), (4500, 10), (4800, 60)]
    scrapes = [
        reading(
            start + 15 * number,
            1000 * number,
            100 * number,
            started_s=None if started_s is None else start - 1,
            every_s=15,
        )
        for start, count in lives
        for number in range(1, count)
    ]
    late = reading(4800 + 15 * 30 + 7, 1000 * 29, 100 * 29, started_s=None if started_s is None else 4799, every_s=15)
    tokens, shared, _ = built(cache, [*scrapes, late])
    assert shared == []
    # What came before the first reading of the first life is known only where it says when it began.
    assert tokens["output"] == 100 * sum(count - 1 for _, count in lives) - (100 if started_s is None else 0)


def test_what_is_refused_is_said_with_its_address_and_time(cache: Path) -> None:
    scrapes = [
        reading(second, 1_000 * number, 10 * number, started_s=-3600 * (1 + number % 2), every_s=300)
        for number, second in enumerate(range(3600, 3600 + 6 * 300, 300))
    ]
    names = ("int_engine_shared_addresses_daily", "int_engine_targets_daily")
    found = build_tables(cache, {SCRAPES: scrapes}, names)
    period = {"from_date": DAY, "to_date": DAY + timedelta(days=1)}
    (row,) = answer(found, "refused_addresses", **period)
    assert (row["host"], row["target"]) == ("host-1", "http://127.0.0.1:8000/metrics")
    assert (row["from_at"], row["to_at"], row["refused_count"]) == (at(1), at(1) + timedelta(seconds=1500), 6)
