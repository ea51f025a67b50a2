"""Feeds about one GPU that cannot both be right: the time is in a state of its own, never idle, never useful."""

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
    deployment,
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


def _built(cache: Path, tables: Mapping[str, Sequence[Row]]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The conflicts, and the minutes of the hour that is billed by state: those in conflict are the conflicts' own."""
    built = build_tables(cache, {**BILL, **tables}, (TABLE, "fct_gpu_costs_daily", *GPU_CHECKS))
    assert broken_laws(built) == []
    rows = rows_of(built, TABLE)
    states = {row["state"]: row["gpu_milliseconds"] for row in rows_of(built, "fct_gpu_costs_daily")}
    assert sum(row["gpu_milliseconds"] for row in rows) == states.get("conflict", 0)
    return rows, {state: milliseconds // 60_000 for state, milliseconds in states.items()}


def _engine(*, serves: bool) -> list[Row]:
    return [scrape(at(n / 6), 600_000, 100 * n if serves else 0, 0) for n in range(7)]


def test_utilization_of_99_beside_profiling_of_0_is_a_conflict_and_not_idle(cache: Path) -> None:
    """Profiling fields that stand still for weeks are a known fault of a driver. B18, B19."""
    (row,), states = _built(cache, {SAMPLES: watched(0, 1, util_gpu_pct=99, sm_active_ppm=0)})
    assert (row["conflict"], row["hour_count"], row["gpu_hours"]) == ("utilization_and_profiling", 1, 1.0)
    assert row["feeds"] == "utilization says kernels ran, profiling says none did"
    assert states == {"conflict": 60}


def test_of_an_hour_in_which_profiling_stood_still_for_a_part_that_part_alone_is_a_conflict(cache: Path) -> None:
    """It is taken from what would be idle before anything else: utilization says that kernels ran."""
    odd = {"util_gpu_pct": 99, "sm_active_ppm": 0}
    samples = [*watched(0, 2 / 3, **odd), *watched(2 / 3, 1, util_gpu_pct=0, sm_active_ppm=0)]
    _, states = _built(cache, {SAMPLES: samples, SCRAPES: _engine(serves=False)})
    assert states == {"conflict": 40, "loaded_idle": 20}
    scrapes = [*_engine(serves=True)[:4], *[scrape(at(n / 6), 600_000, 300, 0) for n in range(4, 7)]]
    _, states = _built(cache, {SAMPLES: samples, SCRAPES: scrapes})
    assert states == {"conflict": 40, "serving": 20}


def test_less_than_half_an_hour_is_no_conflict(cache: Path) -> None:
    samples = [*watched(0, 1 / 3, util_gpu_pct=99, sm_active_ppm=0), *watched(1 / 3, 1, util_gpu_pct=0)]
    assert _built(cache, {SAMPLES: samples}) == ([], {"held_other": 60})


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
    assert states == {"conflict": 60}


def _three_hours(*, power: int | None, running: int = 3, waiting_power: int = 120_000) -> dict[str, list[Row]]:
    """An hour in which a loaded engine waits, one of load, and one more of load that draws `power`, in milliwatts."""
    samples = [
        *watched(0, 1, util_gpu_pct=0, power_milliwatts=waiting_power),
        *watched(1, 2, util_gpu_pct=95, power_milliwatts=400_000),
        *watched(2, 3, util_gpu_pct=95, power_milliwatts=power),
    ]
    counts = [0] * 7 + [100 * n for n in range(1, 13)]
    return {
        SAMPLES: samples,
        SCRAPES: [
            scrape(at(n / 6), 600_000, count, 0, requests_running=running if n > 6 else 0)
            for n, count in enumerate(counts)
        ],
        INVOICE_LINES: [invoice_line("6.00", quantity="3", period_end=f"{DAY}T03:00:00Z")],
    }


def test_power_of_waiting_while_tokens_move_is_a_conflict_and_not_useful(cache: Path) -> None:
    """The engine runs on another GPU than the one that is sampled: requests run at every reading."""
    (row,), states = _built(cache, _three_hours(power=125_000))
    assert (row["conflict"], row["hour_count"], row["gpu_hours"]) == ("tokens_and_power", 1, 1.0)
    assert row["feeds"] == "engine counters moved, the GPU's power is that of waiting"
    assert states == {"loaded_idle": 60, "serving": 60, "conflict": 60}


@pytest.mark.parametrize(
    "hours",
    [
        {"power": 140_000},  # a sixth above waiting
        {"power": None},  # nobody read it
        {"power": 125_000, "running": 0},  # a request now and then: the mean of the hour is that of waiting
        {"power": 125_000, "waiting_power": None},  # what it draws waiting is not known
    ],
)
def test_power_that_says_nothing_is_no_conflict(cache: Path, hours: dict[str, Any]) -> None:
    assert _built(cache, _three_hours(**hours)) == ([], {"loaded_idle": 60, "serving": 120})


def test_on_a_day_with_a_conflict_nobody_knows_what_useful_work_cost(cache: Path) -> None:
    tables = {
        **_three_hours(power=125_000),
        "config_deployments": [deployment()],
        "config_deployment_served_names": [{"deployment_id": "chat", "served_name": "llama"}],
    }
    (row,) = [
        row
        for row in rows_of(build_tables(cache, tables, ("fct_unit_costs_daily",)), "fct_unit_costs_daily")
        if row["token_class"] == "blended"
    ]
    assert (row["deployment_id"], row["full_cost_rc"], row["active_cost_rc"]) == ("chat", 6, None)


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


@pytest.mark.parametrize("milliwatts", [2**62, -1, 2**32])
def test_a_power_that_no_driver_can_state_is_no_reading_and_stops_nothing(cache: Path, milliwatts: int) -> None:
    """NVML states it in 32 bits. One damaged record is of its GPU alone."""
    samples = [*watched(6, 7, power_milliwatts=milliwatts), *watched(7, 8, power_milliwatts=300_000)]
    hours = rows_of(build_tables(cache, {SAMPLES: samples}, ("int_gpu_seen_hours",)), "int_gpu_seen_hours")
    assert [row["mean_power_milliwatts"] for row in hours] == [None, 300_000]
