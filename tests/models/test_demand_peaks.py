"""Minutes of served tokens, and how far they rise above their hour's mean: against a plain recount of the scrapes."""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.paths import models_root
from tests.models.gpu_harness import DAY, SCRAPES, Row, at, build_tables, days_of, deployment, rows_of, scrape

HOUR_MS, MINUTE_MS = 3_600_000, 60_000
SUNDAY = DAY + timedelta(days=6)
PREFILL, CACHED, DECODE = Decimal(9000), Decimal(90000), Decimal("2200.5")
DEPLOYMENT = deployment(
    prefill_tokens_per_second=PREFILL, cached_tokens_per_second=CACHED, decode_tokens_per_second=DECODE
)
TABLES: Mapping[str, Sequence[Row]] = {
    "config_deployments": [DEPLOYMENT],
    "config_deployment_served_names": [{"deployment_id": "chat", "served_name": "llama"}],
    "config_workload_rules": [{"rule_id": "chat#1", "workload": "support", "deployment_id": "chat"}],
    "calendar": days_of(DAY - timedelta(days=1), SUNDAY + timedelta(days=1)),
}
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - rows hold UTC


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demand_peaks")


def engine(moments: Sequence[datetime], moved: Sequence[tuple[int, int, int]], **fields: Any) -> list[Row]:
    """Scrapes at these moments. `moved`: (prompt, of which cached, generated) up to each of them but the first."""
    prompt, cached, generated = 1_000_000, 10_000, 50_000
    rows: list[Row] = []
    for index, moment in enumerate(moments):
        if index:
            prompt, cached, generated = (
                count + more for count, more in zip((prompt, cached, generated), moved[index - 1], strict=True)
            )
        gap = round((moment - moments[index - 1]).total_seconds() * 1000) if index else 30_000
        usual = {"prompt_tokens_cached": cached, "requests_waiting": 0}
        rows.append(scrape(moment, min(gap, 120_000), prompt, generated, **{**usual, **fields}))
    return rows


def steadily(from_hour: float, to_hour: float, *, seconds: int, day: date = DAY) -> list[datetime]:
    count = round((to_hour - from_hour) * 3600 / seconds)
    return [at(from_hour, day=day) + timedelta(seconds=seconds * step) for step in range(count + 1)]


def peaks(cache: Path, scrapes: Sequence[Row], **tables: Any) -> dict[str, Any]:
    built = build_tables(cache, {**TABLES, SCRAPES: scrapes, **tables}, ("fct_demand_peaks_weekly",))
    (row,) = rows_of(built, "fct_demand_peaks_weekly")
    return row


def test_a_named_week_is_there_once_each_of_its_days_is_settled() -> None:
    """However often it was named, and no other week with it."""
    wanted = (models_root() / "intermediate" / "int_sampled_weeks.sql").read_text(encoding="utf-8")
    with duckdb.connect() as con:
        con.execute("create table config_workloads (workload varchar, sampled_week_from_date date)")
        con.execute("insert into config_workloads values ('support', ?), ('support', ?), ('other', null)", [DAY, DAY])
        con.execute("create table fct_day_status_daily (usage_date date, status varchar, blocked_count bigint)")
        con.execute(
            "create table fct_demand_peaks_weekly as select *, 168 as served_hours_count, 168 as minute_hours_count, "
            "0 as queued_hours_count, 80 as busy_hours_count, 15000 as longest_gap_milliseconds, "
            "2000000 as p99_minute_to_hour_ppm, 1 as overflow_within_hours_ppm from (values "
            "(?::date, 'chat', 'support', ?::date), (?, 'chat', 'other', ?), (?, 'chat', 'support', ?)) as weeks "
            "(usage_date, deployment_id, workload, week_from_date)",
            [SUNDAY, DAY, SUNDAY, DAY, SUNDAY - timedelta(days=7), DAY - timedelta(days=7)],
        )
        for back in range(16):
            blocked = int(back == 3)
            day = SUNDAY + timedelta(days=1 - back)
            con.execute("insert into fct_day_status_daily values (?, 'settled', ?)", [day, blocked])
        assert con.execute(wanted).fetchall() == []
        con.execute("update fct_day_status_daily set blocked_count = 0")
        assert [row[:4] for row in con.execute(wanted).fetchall()] == [(SUNDAY, "chat", "support", DAY)]
        con.execute("delete from fct_day_status_daily where usage_date = ?", [DAY])
        assert con.execute(wanted).fetchall() == []


# --- the second route -------------------------------------------------------------------------------------------------


def _ms(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


def _after(tokens: int, left: int, whole: int) -> int:
    """What of an interval's tokens lies in its last `left` of `whole` milliseconds; a half goes to the earlier part."""
    return math.ceil(Fraction(tokens * left, whole) - Fraction(1, 2))


def _recount(engines: Sequence[Sequence[Row]]) -> tuple[dict[int, Counter[int]], dict[int, list[bool]]]:
    """Work of each minute of the watched hours, by hour; and of each of these whether requests waited, by scrape."""
    work: dict[int, Counter[int]] = defaultdict(Counter)
    waited: dict[int, list[bool]] = defaultdict(list)
    covered: dict[tuple[int, int], int] = Counter()
    spoilt: set[int] = set()
    touched: set[tuple[int, int]] = set()
    seconds = [Fraction(1) / Fraction(rate) for rate in (PREFILL, CACHED, DECODE)]
    femtoseconds = [math.floor(10**15 * one) for one in seconds]
    for number, rows in enumerate(engines):
        # Of a first reading nobody knows what was before it.
        first = _ms(rows[0]["at"])
        spoilt.update(range((first - rows[0]["interval_ms"]) // HOUR_MS, (first - 1) // HOUR_MS + 1))
        for before, row in pairwise(rows):
            start, end = _ms(before["at"]), _ms(row["at"])
            hours = range(start // HOUR_MS, (end - 1) // HOUR_MS + 1)
            if end - start > 75_000:
                spoilt.update(hours)
                continue
            cached = row["prompt_tokens_cached"] - before["prompt_tokens_cached"]
            prompt = row["prompt_tokens"] - before["prompt_tokens"]
            counts = (prompt - cached, cached, row["generation_tokens"] - before["generation_tokens"])
            for hour in hours:
                touched.add((number, hour))
                covered[number, hour] += min(end, (hour + 1) * HOUR_MS) - max(start, hour * HOUR_MS)
                waited[hour].append(row["requests_waiting"] > 0)
            for minute in range(start // MINUTE_MS, (end - 1) // MINUTE_MS + 1):
                left = min(end - minute * MINUTE_MS, end - start)
                after = max(end - (minute + 1) * MINUTE_MS, 0)
                work[minute // 60][minute] += sum(
                    each * (_after(count, left, end - start) - _after(count, after, end - start))
                    for count, each in zip(counts, femtoseconds, strict=True)
                )
    short = {hour for number, hour in touched if covered[number, hour] < 3_525_000}
    kept = {hour: minutes for hour, minutes in work.items() if hour not in spoilt | short and minutes.total()}
    return kept, {hour: waited[hour] for hour in kept}


def _expected(engines: Sequence[Sequence[Row]]) -> dict[str, Any]:
    hours, waited = _recount(engines)
    kept = {hour: minutes for hour, minutes in hours.items() if 20 * sum(waited[hour]) <= len(waited[hour])}
    sums = {hour: sum(minutes.values()) for hour, minutes in kept.items()}
    busy = [hour for hour in kept if 2 * sums[hour] >= max(sums.values())]
    ratios = sorted(Fraction(kept[hour][hour * 60 + minute] * 60, sums[hour]) for hour in busy for minute in range(60))
    row: dict[str, Any] = {
        "minute_hours_count": len(hours),
        "queued_hours_count": len(hours) - len(kept),
        "busy_hours_count": len(busy),
        "p99_minute_to_hour_ppm": None,
        "mean_replica_count": None,
        "overflow_within_hours_ppm": None,
    }
    if kept:
        count = math.ceil(Fraction(max(sums.values()), 3600 * 10**15))
        above = sum(max(0, one - count * 60 * 10**15) for minutes in kept.values() for one in minutes.values())
        row["p99_minute_to_hour_ppm"] = max(
            10**6, math.ceil(10**6 * ratios[math.ceil(Fraction(99, 100) * len(ratios)) - 1])
        )
        row["mean_replica_count"] = count
        row["overflow_within_hours_ppm"] = math.ceil(Fraction(10**6 * above, sum(sums.values())))
    return row


def _random_engine(rng: random.Random, number: int) -> list[Row]:
    """A week's worth of some hours: steady, bursty, with gaps, now and then with a queue."""
    moment = at(rng.uniform(0, 20), day=DAY + timedelta(days=rng.randrange(6)))
    moments, moved = [moment], []
    for _ in range(rng.randrange(1, 5)):
        step = rng.choice((15_000, 30_000, 60_000, 60_000, 80_000))
        level = rng.choice((10, 1_000, 400_000))
        for _ in range(rng.randrange(1, 3 * HOUR_MS // step)):
            moment += timedelta(milliseconds=step + rng.choice((0, 0, 7, -3)))
            burst = rng.choice((0, 1, 1, 1, 1, 9))
            prompt = rng.randrange(level) * burst
            moved.append((prompt, rng.randrange(prompt + 1), rng.randrange(level) * burst // 8))
            moments.append(moment)
        if rng.random() < 0.3:
            moment += timedelta(seconds=rng.randrange(100, 4000))
            moments.append(moment)
            moved.append((rng.randrange(level), 0, rng.randrange(level)))
    rows = engine(moments, moved, target=f"http://127.0.0.1:800{number}/metrics", agent_start_id=f"agent-{number}")
    queue = rng.choice((0, 0.02, 0.5))
    return [{**row, "requests_waiting": int(rng.random() < queue)} for row in rows]


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_peaks_are_those_of_a_plain_recount(cache: Path, seed: int) -> None:
    """And each watched hour's minutes sum to what the hour served, to the token."""
    rng = random.Random(seed)
    engines = [_random_engine(rng, number) for number in range(rng.randrange(1, 4))]
    scrapes = [row for rows in engines for row in rows]
    built = build_tables(
        cache, {**TABLES, SCRAPES: scrapes}, ("fct_demand_peaks_weekly", "int_self_host_tokens_hourly")
    )
    expected = _expected(engines)
    hours = {
        (row["usage_hour_at"], row["token_class"]): row["tokens"]
        for row in rows_of(built, "int_self_host_tokens_hourly")
    }
    served = {hour for (hour, _), count in hours.items() if count}
    for row in rows_of(built, "fct_demand_peaks_weekly"):
        assert {name: row[name] for name in expected} == expected
        assert (row["usage_date"], row["week_from_date"], row["workload"]) == (SUNDAY, DAY, "support")
        assert row["served_hours_count"] == len(served)
    assert len(rows_of(built, "fct_demand_peaks_weekly")) == bool(served)
    minutes: Counter[tuple[datetime, str]] = Counter()
    for row in rows_of(built, "int_served_minutes"):
        minutes[row["minute_at"].replace(minute=0), row["token_class"]] += row["tokens"]
    assert {hour: hours[hour] for hour in minutes} == dict(minutes)
    assert {_ms(hour) // HOUR_MS for hour, _ in minutes} == _recount(engines)[0].keys()


# --- claims -----------------------------------------------------------------------------------------------------------


def watched_hours(*hours: Sequence[int], seconds: int = 30, **fields: Any) -> list[Row]:
    """Hours one after the other from 10:00, read every so often, with five quiet minutes at either end."""
    step = 3600 // seconds
    moved = [0] * (300 // seconds) + [hour[index % len(hour)] for hour in hours for index in range(step)]
    moved += [0] * (300 // seconds)
    moments = steadily(10 - 1 / 12, 10 + len(hours) + 1 / 12, seconds=seconds)
    return engine(moments, [(0, 0, count) for count in moved], **fields)


def test_an_even_hour_has_no_peak(cache: Path) -> None:
    found = peaks(cache, watched_hours([500]))
    assert (found["minute_hours_count"], found["busy_hours_count"]) == (1, 1)
    assert found["p99_minute_to_hour_ppm"] == 1_000_000
    assert found["overflow_within_hours_ppm"] == 0


def test_a_minute_of_twice_the_mean_is_a_peak_of_two(cache: Path) -> None:
    """Every second minute holds nothing, the others all of it."""
    assert peaks(cache, watched_hours([500, 500, 0, 0]))["p99_minute_to_hour_ppm"] == 2_000_000


def test_what_minutes_overflow_is_counted_though_the_hours_mean_fits(cache: Path) -> None:
    """One replica generates 2,200.5 a second: 132,030 a minute. Of two minutes one asks for 200,000: the mean fits."""
    found = peaks(cache, watched_hours([100_000, 100_000, 0, 0]))
    assert found["mean_replica_count"] == 1
    share = Fraction(200_000 - 132_030, 200_000)
    assert abs(found["overflow_within_hours_ppm"] - share * 10**6) <= 1
    assert found["work_method"] == "declared_throughput"


def test_work_is_weighed_as_the_replica_feels_it(cache: Path) -> None:
    """A minute of 90,000 cached tokens is one second of a replica, one of as many generated ones forty."""
    moments = steadily(10 - 1 / 12, 11 + 1 / 12, seconds=30)
    moved = [(90_000, 90_000, 0) if step % 4 < 2 else (0, 0, 90_000) for step in range(len(moments) - 1)]
    cached, generated = (Fraction(90_000) / Fraction(rate) for rate in (CACHED, DECODE))
    expected = generated / ((cached + generated) / 2)
    assert abs(peaks(cache, engine(moments, moved))["p99_minute_to_hour_ppm"] - expected * 10**6) <= 2


def test_without_a_declared_throughput_all_tokens_are_alike(cache: Path) -> None:
    found = peaks(cache, watched_hours([500, 500, 0, 0]), config_deployments=[deployment()])
    assert (found["work_method"], found["p99_minute_to_hour_ppm"]) == ("tokens", 2_000_000)
    assert (found["mean_replica_count"], found["overflow_within_hours_ppm"]) == (None, None)


def test_readings_five_minutes_apart_show_no_minute(cache: Path) -> None:
    """Missing is not zero: no peak is not a peak of one. B14"""
    found = peaks(cache, watched_hours([500, 0], seconds=300))
    assert (found["served_hours_count"], found["minute_hours_count"]) == (1, 0)
    assert (found["p99_minute_to_hour_ppm"], found["overflow_within_hours_ppm"]) == (None, None)


def test_an_hour_in_which_requests_queued_shows_no_demand(cache: Path) -> None:
    found = peaks(cache, watched_hours([500, 500, 0, 0], requests_waiting=3))
    assert (found["minute_hours_count"], found["queued_hours_count"], found["busy_hours_count"]) == (1, 1, 0)
    assert found["p99_minute_to_hour_ppm"] is None


def test_an_engine_that_does_not_say_whether_requests_wait_is_not_taken_for_one_where_none_do(cache: Path) -> None:
    """B14"""
    found = peaks(cache, watched_hours([500], requests_waiting=None))
    assert (found["queued_hours_count"], found["p99_minute_to_hour_ppm"]) == (1, None)


def test_an_hour_with_a_gap_is_not_read_minute_by_minute(cache: Path) -> None:
    """B14: three minutes without a reading in the second hour."""
    rows = watched_hours([500], [500])
    kept = [row for row in rows if not at(11.5) < row["at"] < at(11.55)]
    assert len(kept) < len(rows)
    assert peaks(cache, kept)["minute_hours_count"] == 1


def test_quiet_hours_are_not_busy_ones(cache: Path) -> None:
    """A peak of few requests is no peak of capacity: hours below half of the busiest one's work are left out."""
    found = peaks(cache, watched_hours([500], [249 * 2, 0]))
    assert (found["minute_hours_count"], found["busy_hours_count"]) == (2, 1)
    assert found["p99_minute_to_hour_ppm"] == 1_000_000


@pytest.mark.parametrize("name", ["int_served_minutes", "fct_demand_peaks_weekly"])
def test_a_table_is_what_it_is_described_to_be(cache: Path, name: str) -> None:
    """B12, B23: its columns and types, and one row a grain."""
    (path,) = models_root().rglob(f"{name}.yml")
    about = yaml.safe_load(path.read_text(encoding="utf-8"))
    built = build_tables(cache, {**TABLES, SCRAPES: watched_hours([500, 0], [300])}, (name,))
    assert built.nodes[name].columns == tuple((column, said["type"]) for column, said in about["columns"].items())
    grains = [tuple(row[column] for column in about["grain"]) for row in rows_of(built, name)]
    assert grains
    assert len(set(grains)) == len(grains)
