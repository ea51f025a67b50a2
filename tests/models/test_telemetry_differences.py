"""What agents and a Prometheus both have is compared and never added: against a count of the samples one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pipeline.cli.show import _telemetry_cells
from pipeline.paths import sql_root
from tests.models.gpu_harness import SAMPLES, SCRAPES, Row, at, build_tables, rows_of, scrape, watched
from tests.models.test_prometheus import ENGINE, ENGINE_SAMPLES, GPU_SAMPLES
from tests.models.test_prometheus import _at as moment
from tests.models.test_prometheus import _tables as tables_of
from tests.sources.prometheus_fleet import Fleet, Gpu

TABLE = "fct_telemetry_differences_daily"
STARTED = at(9) + timedelta(milliseconds=280)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("differences")


def differences(cache: Path, tables: Mapping[str, Sequence[Row]]) -> dict[tuple[str, str, str], tuple[int, int, int]]:
    return {
        (str(row["usage_date"]), row["control_account"], row["measure"]): (
            row["compared_count"], row["book_quantity"], row["control_quantity"],
        )
        for row in rows_of(build_tables(cache, tables, (TABLE,)), TABLE)
    }  # fmt: skip


def agent_scrapes(first_s: int, every_s: int, count: int, *, lost: int = 0) -> list[Row]:
    """An agent that reads the same process, `lost` tokens short at its end."""
    rows = []
    for number in range(count):
        scraped_at = at(10) + timedelta(seconds=first_s + number * every_s)
        tokens = ENGINE.prompt_tokens(round((moment(10).timestamp() + first_s + number * every_s) * 1000))
        short = lost if number == count - 1 else 0
        rows.append(
            scrape(scraped_at, every_s * 1000, tokens - short, tokens // 2, host="node-1", process_started_at=STARTED)
        )
    return rows


def by_second(rows: Sequence[Row], *, is_busy: Any, hour: int) -> tuple[int, int]:
    """Milliseconds of an hour that samples vouch for, and of them those that one of use covers: second by second."""
    observed: set[int] = set()
    busy: set[int] = set()
    for row in rows:
        end = round((row["at"] - at(hour)).total_seconds())
        covered = set(range(max(end - row["interval_ms"] // 1000, 0), min(end, 3600)))
        observed |= covered
        busy |= covered if is_busy(row) else set()
    return len(observed) * 1000, len(busy) * 1000


@settings(max_examples=4, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(
    prometheus=st.tuples(st.integers(0, 40), st.integers(15, 60)),
    agent=st.tuples(st.integers(0, 900), st.integers(15, 120), st.integers(2, 20)),
    lost=st.integers(0, 50),
    seen=st.tuples(st.integers(0, 40), st.integers(10, 50)),
    util=st.sampled_from([0, 70]),
)
def test_what_both_saw_is_compared_as_the_samples_themselves_say(
    cache: Path,
    prometheus: tuple[int, int],
    agent: tuple[int, int, int],
    lost: int,
    seen: tuple[int, int],
    util: int,
) -> None:
    first_s, every_s = prometheus
    fleet = Fleet(
        start=moment(10) + timedelta(seconds=first_s), stop=moment(11), engines=[ENGINE], gpus=[Gpu("GPU-1")],
        every_ms=every_s * 1000,
    )  # fmt: skip
    kept = tables_of(fleet.series(), start=9, stop=12)
    own = agent_scrapes(*agent, lost=lost)
    samples = watched(
        10 + seen[0] / 60, 10 + (seen[0] + seen[1] % (60 - seen[0]) + 1) / 60, step_ms=60_000, util_gpu_pct=util
    )
    found = differences(cache, {**kept, SCRAPES: own, SAMPLES: samples})
    expected: dict[tuple[str, str, str], tuple[int, int, int]] = {}
    readings = sorted((row["at"], row["prompt_tokens"], row["generation_tokens"]) for row in kept[ENGINE_SAMPLES])
    theirs = sorted((row["at"], row["prompt_tokens"], row["generation_tokens"]) for row in own)
    begin, end = max(readings[0][0], theirs[0][0]), min(readings[-1][0], theirs[-1][0])
    for place, measure in ((1, "prompt_tokens"), (2, "output_tokens")):
        sums = [[reading[place] for reading in of if begin <= reading[0] <= end] for of in (theirs, readings)]
        if all(sums):
            moved = [max(of) - min(of) for of in sums]
            expected["2025-11-03", "main", measure] = (1, moved[0], moved[1])
    # The exporter's first sample speaks for an interval before ten o'clock too: that hour no agent saw.
    agent_ms = by_second(samples, is_busy=lambda row: row["util_gpu_pct"] > 0, hour=10)
    dcgm_ms = by_second(kept[GPU_SAMPLES], is_busy=lambda row: row["util_gpu_pct"] > 0, hour=10)
    for place, measure in ((0, "observed_gpu_time"), (1, "busy_gpu_time")):
        expected["2025-11-03", "main", measure] = (1, agent_ms[place], dcgm_ms[place])
    assert found == expected


def test_what_only_one_of_them_has_is_no_difference(cache: Path) -> None:
    kept = tables_of(Fleet(start=moment(10), stop=moment(11), engines=[ENGINE], gpus=[Gpu("GPU-1")]).series())
    assert differences(cache, kept) == {}
    own = {SCRAPES: agent_scrapes(0, 60, 5), SAMPLES: watched(10, 11)}
    assert differences(cache, own) == {}
    other = tables_of(
        Fleet(
            start=moment(10), stop=moment(11), engines=[replace(ENGINE, started=moment(9.5))], gpus=[Gpu("GPU-2")]
        ).series()
    )
    assert differences(cache, {**other, **own}) == {}


def test_status_shows_them_by_measure_in_gpu_hours_and_tokens(cache: Path) -> None:
    kept = tables_of(Fleet(start=moment(10), stop=moment(11), engines=[ENGINE], gpus=[Gpu("GPU-1")]).series())
    own = {SCRAPES: agent_scrapes(0, 60, 31, lost=100), SAMPLES: watched(10, 10.5)}
    built = rows_of(build_tables(cache, {**kept, **own}, (TABLE,)), TABLE)
    connection = duckdb.connect()
    numbers = ", ".join(f"{name} bigint" for name in built[0] if name.endswith(("_count", "_quantity")))
    connection.execute(
        f"create table {TABLE} (usage_date date, control_account text, measure text, unit text, {numbers})"
    )
    for row in built:
        connection.execute(f"insert into {TABLE} values ({', '.join('?' * len(row))})", list(row.values()))
    question = (sql_root() / "reports" / "telemetry_differences.sql").read_text(encoding="utf-8")
    period = {"from_date": "2025-11-01", "to_date": "2025-12-01"}
    shown = [_telemetry_cells(line) for line in pl.DataFrame(connection.sql(question, params=period)).to_dicts()]
    # Half an hour of 20 tokens a second; dcgm-exporter saw the whole hour but for its last interval.
    assert shown == [
        ["main", "busy_gpu_time (GPU-hours)", "1", "1 GPU-hour", "0.00", "1.00", "1.00", "—"],
        ["main", "observed_gpu_time (GPU-hours)", "1", "1 GPU-hour", "0.50", "1.00", "0.50", "99.2%"],
        ["main", "output_tokens", "1", "1 engine process", "18,000", "18,000", "0", "0.0%"],
        ["main", "prompt_tokens", "1", "1 engine process", "35,900", "36,000", "100", "0.3%"],
    ]
