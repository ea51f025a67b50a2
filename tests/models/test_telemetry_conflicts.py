"""Feeds about one GPU that cannot both be right are named, and what they disagree about is never called idle."""

from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest

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
    invoice_line,
    rows_of,
    scrape,
    watched,
)
from tests.sources.prometheus_fleet import Fleet, Gpu, landed

TABLE = "fct_telemetry_conflicts_daily"
BILL = {INVOICE_LINES: [invoice_line("6.00", quantity="1", period_end=f"{DAY}T01:00:00Z")]}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conflicts")


def _built(cache: Path, tables: Mapping[str, Sequence[Row]]) -> tuple[list[dict[str, Any]], set[str]]:
    """The conflicts, and the states of the hour that is billed."""
    built = build_tables(cache, {**BILL, **tables}, (TABLE, "fct_gpu_costs_daily", *GPU_CHECKS))
    assert broken_laws(built) == []
    return rows_of(built, TABLE), {row["state"] for row in rows_of(built, "fct_gpu_costs_daily")}


def _engine(*, serves: bool) -> list[Row]:
    return [scrape(at(n / 6), 600_000, 100 * n if serves else 0, 0) for n in range(7)]


def test_utilization_of_99_beside_profiling_of_0_is_a_conflict_and_not_idle(cache: Path) -> None:
    """Profiling fields that stand still for weeks are a known fault of a driver. B18, B19."""
    (row,), states = _built(cache, {SAMPLES: watched(0, 1, util_gpu_pct=99, sm_active_ppm=0)})
    assert (row["conflict"], row["hour_count"], row["gpu_hours"]) == ("utilization_and_profiling", 1, 1.0)
    assert row["feeds"] == "utilization says kernels ran, profiling says none did"
    assert states == {"held_other"}


def test_what_two_agents_saw_at_once_is_one_time(cache: Path) -> None:
    """Twenty minutes that both tell are not forty: half of an hour is a conflict, a third is none."""
    odd = {"util_gpu_pct": 99, "sm_active_ppm": 0}
    both = [
        *watched(0, 1 / 3, boot_id="boot-1", agent_start_id="agent-1", **odd),
        *watched(0, 1 / 3, boot_id="boot-2", agent_start_id="agent-2", **odd),
    ]
    rows, _ = _built(cache, {SAMPLES: both})
    assert rows == []


def test_tokens_that_move_on_a_gpu_that_does_nothing_are_a_conflict_and_not_idle(cache: Path) -> None:
    """The engine runs somewhere else, or the sampler looks at another GPU."""
    (row,), states = _built(cache, {SAMPLES: watched(0, 1, util_gpu_pct=0), SCRAPES: _engine(serves=True)})
    assert (row["conflict"], row["gpu_uuid"]) == ("tokens_and_activity", "GPU-1")
    assert row["feeds"] == "engine counters moved, the GPU says that nothing ran"
    assert "serving" in states
    assert "loaded_idle" not in states


@pytest.mark.parametrize(
    ("fields", "serves"),
    [
        ({"util_gpu_pct": 99, "sm_active_ppm": 300_000}, True),
        ({"util_gpu_pct": 40, "sm_active_ppm": 0}, False),  # small kernels: a spot reading between two of them
        ({"util_gpu_pct": None, "sm_active_ppm": None}, True),  # MIG: nothing says that it did nothing
        ({"util_gpu_pct": 0, "sm_active_ppm": 0}, False),
        ({"util_gpu_pct": 99, "sm_active_ppm": None}, True),
    ],
)
def test_feeds_that_agree_or_say_nothing_are_no_conflict(cache: Path, fields: Row, serves: bool) -> None:
    rows, _ = _built(cache, {SAMPLES: watched(0, 1, **fields), SCRAPES: _engine(serves=serves)})
    assert rows == []


def test_a_prometheus_shows_the_same_conflict(cache: Path) -> None:
    start = at(1).replace(tzinfo=UTC)
    series = Fleet(start=start, stop=start + timedelta(hours=2), gpus=[Gpu("GPU-1", util=99)]).series()
    still = [
        (labels, [(moment, "0") for moment, _ in samples] if "PROF" in labels["__name__"] else samples)
        for labels, samples in series
    ]
    frames = landed(still, start=start, stop=start + timedelta(hours=2), window=timedelta(hours=1))
    tables = {
        f"landed_prometheus__{name}": [{**row, "account": "main"} for row in frame.to_dicts()]
        for name, frame in frames.items()
    }
    (row,) = rows_of(build_tables(cache, tables, (TABLE,)), TABLE)
    assert (row["conflict"], row["hour_count"]) == ("utilization_and_profiling", 2)
