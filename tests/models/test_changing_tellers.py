"""One engine process that an agent and a Prometheus tell in turn: every token once, whoever saw which day."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pipeline.build.runner import Built
from tests.models.gpu_harness import SCRAPES, Row, at, build_tables, days_of, rows_of, scrape
from tests.models.test_prometheus import _joined as joined
from tests.models.test_prometheus import _tables as tables_of
from tests.sources.prometheus_api import ms
from tests.sources.prometheus_fleet import Engine, Series

FIRST = -24 * 2
DAYS = 5
FAST = (Phase.explicit, Phase.generate)
# A day as one of the two saw it: from which hour to which; None is a day on which it saw nothing.
Seen = tuple[float, float] | None
WHOLE = (0.0, 24.0)
# What an agent reads at midnight itself is of the day before.
AGENTS = (1 / 12, 24.0)


def _at(hour: float) -> datetime:
    return at(hour).replace(tzinfo=UTC)


ENGINE = Engine(started=_at(FIRST + 1), ended=_at(24 * 20), model_name="llama")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tellers")


def _stamps(days: Sequence[Seen], every_s: int, *, first_s: int = 0, engine: Engine = ENGINE) -> list[int]:
    """Milliseconds at which it read, of its own rhythm over all days, on those that it saw."""
    found: list[int] = []
    for number, seen in enumerate(days):
        if seen is not None:
            begin, end = (ms(_at(FIRST + 24 * number + hour)) for hour in seen)
            every = every_s * 1000
            start = ms(_at(FIRST)) + first_s * 1000
            found += range(start + -(-(begin - start) // every) * every, end, every)
    return [stamp for stamp in found if stamp >= ms(engine.started)]


def _agent(stamps: Sequence[int], every_s: int, *, engine: Engine = ENGINE, **fields: Any) -> list[Row]:
    rows = []
    for stamp in stamps:
        prompt = engine.prompt_tokens(stamp)
        own = {"host": "gpu-host-1", "process_started_at": _began(engine), "prompt_tokens_cached": prompt // 4}
        moment = datetime.fromtimestamp(stamp / 1000, UTC).replace(tzinfo=None)
        rows.append(scrape(moment, every_s * 1000, prompt, prompt // 2, **own | fields))
    return rows


def _began(engine: Engine) -> datetime:
    return engine.started.replace(tzinfo=None) + timedelta(milliseconds=280)


def _kept(
    stamps: Sequence[int], *, engine: Engine = ENGINE, late_ms: int = 0, job: str = "vllm"
) -> dict[str, list[Row]]:
    """What a Prometheus kept that stamps `late_ms` before the engine answers."""
    read = engine.series([stamp + late_ms for stamp in stamps], {"job": job})
    series: Series = [(labels, [(moment - late_ms, value) for moment, value in held]) for labels, held in read]
    return tables_of(series, start=FIRST, stop=FIRST + 24 * DAYS, window=timedelta(days=1))


def _built(cache: Path, tables: Mapping[str, Sequence[Row]]) -> Built:
    calendar = days_of(_at(FIRST).date(), _at(FIRST + 24 * DAYS).date())
    return build_tables(
        cache, {**tables, "calendar": calendar}, ("int_engine_tokens_hourly", "int_engine_scrapes", "int_engine_hours")
    )


def _output(built: Built) -> int:
    return sum(row["tokens"] for row in rows_of(built, "int_engine_tokens_hourly") if row["token_class"] == "output")


SEEN: st.SearchStrategy[Seen] = st.one_of(
    st.none(),
    st.just(WHOLE),
    st.tuples(st.floats(0, 11.9), st.floats(12, 24)),
    st.tuples(st.just(0), st.floats(0.02, 0.5)),
)


@settings(max_examples=5, deadline=None, phases=FAST)
@given(
    by_agent=st.lists(SEEN, min_size=DAYS, max_size=DAYS),
    by_prometheus=st.lists(SEEN, min_size=DAYS, max_size=DAYS),
    every_s=st.tuples(st.integers(240, 800), st.integers(240, 800), st.integers(240, 800)),
    first_s=st.tuples(st.integers(0, 240), st.integers(0, 240)),
    late_ms=st.integers(-2_000, 4_000),
    has_second_job=st.booleans(),
)
def test_tokens_of_a_process_are_what_its_counter_rose_by_whoever_told_which_day(
    cache: Path,
    by_agent: list[Seen],
    by_prometheus: list[Seen],
    every_s: tuple[int, int, int],
    first_s: tuple[int, int],
    late_ms: int,
    has_second_job: bool,
) -> None:
    """From its start, or from the first reading that counts, to the highest that counts: never more, never less."""
    agent = _agent(_stamps(by_agent, every_s[0], first_s=first_s[0]), every_s[0])
    kept = _kept(_stamps(by_prometheus, every_s[1], first_s=first_s[1]), late_ms=late_ms)
    second = _kept(_stamps(by_prometheus, every_s[2]), job="svc") if has_second_job else {}
    built = _built(cache, {**joined(kept, second), SCRAPES: agent})
    told = rows_of(built, "int_engine_scrapes")
    found = _output(built)
    assert found <= ENGINE.prompt_tokens(ms(_at(FIRST + 24 * DAYS)) + 4_000) // 2
    if told:
        first = min(told, key=lambda row: (row["usage_date"], row["scraped_at"]))
        watched = first["usage_date"] == ENGINE.started.date()
        highest = max(row["generation_tokens_since_start"] for row in told)
        assert found == highest - (0 if watched else first["generation_tokens_since_start"])


@pytest.mark.parametrize("agent_days", ["x.x..", ".x...", ".xx.x"])
def test_a_day_that_the_other_told_is_not_told_again(cache: Path, agent_days: str) -> None:
    """A Prometheus throughout, an agent on some days: every day's own tokens, and none lost at a change."""
    seen: list[Seen] = [AGENTS if day == "x" else None for day in agent_days]
    stamps = _stamps([WHOLE] * DAYS, 300)
    built = _built(cache, {**_kept(stamps), SCRAPES: _agent(_stamps(seen, 300), 300)})
    by_day: dict[object, int] = {}
    for row in rows_of(built, "int_engine_tokens_hourly"):
        assert row["of_which_untimed_tokens"] == 0
        if row["token_class"] == "output":
            by_day[row["usage_date"]] = by_day.get(row["usage_date"], 0) + row["tokens"]
    edges = [max(stamp, ms(ENGINE.started)) for stamp in (ms(_at(FIRST + 24 * day)) for day in range(DAYS))]
    edges.append(stamps[-1])
    rose = [(ENGINE.prompt_tokens(after) - ENGINE.prompt_tokens(before)) // 2 for before, after in pairwise(edges)]
    assert sum(by_day.values()) == sum(rose)
    # What is between a last reading and midnight is of the day on which the other first says it.
    assert all(abs(found - said) <= 3_000 for found, said in zip(by_day.values(), rose, strict=True))


@pytest.mark.parametrize("kept_on", [(0, 2, 3), (2, 3)])
@pytest.mark.parametrize("count", [1, 2])
def test_of_several_processes_of_one_instant_none_is_taken_for_another(
    cache: Path, kept_on: tuple[int, ...], count: int
) -> None:
    """Two pods that began at one instant, told by agents for a day: who is who nobody says, so nothing is added."""
    engines = [
        replace(ENGINE, pod=f"vllm-{number}", instance=f"10.0.0.{number}:8000", per_second=20 + 400 * number)
        for number in range(count)
    ]
    seen: list[Seen] = [WHOLE if number in kept_on else None for number in range(DAYS)]
    kept = joined(*(_kept(_stamps(seen, 300), engine=engine) for engine in engines))
    agents = [
        row
        for number, engine in enumerate(engines)
        for row in _agent(_stamps([None, AGENTS, None, None, None], 300), 300, engine=engine,
                          host=f"gpu-host-{number}", agent_start_id=f"agent-{number}")
    ]  # fmt: skip
    found = _output(_built(cache, {**kept, SCRAPES: agents}))
    first = _stamps([WHOLE] * 4 if kept_on[0] == 0 else [None, *[WHOLE] * 3], 300)
    rose = 0
    for engine in engines:
        begin = 0 if kept_on[0] == 0 else engine.prompt_tokens(first[0] + 300_000)
        rose += (engine.prompt_tokens(first[-1]) - begin) // 2
    # Around each of two changes of teller the tokens of two intervals are nobody's.
    unknown = 0 if count == 1 else sum(2 * 600 * engine.per_second // 2 for engine in engines)
    assert rose - unknown <= found <= rose


@pytest.mark.parametrize("has_start", [(True, False), (False, True), (False, False)])
@pytest.mark.parametrize("agent_days", [".x...", "x.x.."])
def test_where_only_the_host_tells_a_process_a_change_of_teller_adds_nothing(
    cache: Path, has_start: tuple[bool, bool], agent_days: str
) -> None:
    by_agent, by_prometheus = has_start
    seen: list[Seen] = [AGENTS if day == "x" else None for day in agent_days]
    engine = replace(ENGINE, has_start=by_prometheus)
    own: dict[str, Any] = {} if by_agent else {"process_started_at": None}
    # Without dcgm-exporter an engine's host is its own address.
    agent = _agent(_stamps(seen, 300), 300, host="10.0.0.5", **own)
    stamps = _stamps([WHOLE] * DAYS, 300)
    found = _output(_built(cache, {**_kept(stamps, engine=engine), SCRAPES: agent}))
    rose = ENGINE.prompt_tokens(stamps[-1]) // 2
    # Its first reading may be where it began to be watched, and each change of teller too.
    assert rose - (1 + 3) * 600 * ENGINE.per_second // 2 <= found <= rose
