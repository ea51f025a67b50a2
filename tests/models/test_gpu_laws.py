"""Laws of the GPU half over random small fleets, against plain Python."""

import functools
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.paths import models_root
from tests.models.gpu_harness import (
    DAY,
    GPU_CHECKS,
    INVOICE_LINES,
    NODE,
    SAMPLES,
    SCRAPES,
    Row,
    at,
    broken_laws,
    build_tables,
    days_of,
    invoice_line,
    rows_of,
    sample,
    scrape,
)

FEW = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
GPU_TABLES = re.compile(
    r"(stg_(nvml|invoice|owned)|int_(gpu|engine|self_host)|dim_gpu|fct_(gpu|self_host|unit|reconciliation))"
)
STATES_WITH_HOURS = {
    "serving",
    "loaded_idle",
    "starting",
    "held_other",
    "unallocated",
    "unhealthy",
    "conflict",
    "not_present",
    "unobserved",
}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu_laws")


# Dense fleets by seed: drawn field by field they would hardly ever overlap, restart and gap at once.
SEEDS = st.integers(0, 2**32)


def _fleet(dice: random.Random) -> dict[str, list[Row]]:
    """Up to two nodes of up to two GPUs over two days: gaps, overlaps, two agents, engines that share or fail."""
    samples: list[Row] = []
    scrapes: list[Row] = []
    lines: list[Row] = []
    for node in range(dice.randint(1, 2)):
        gpus = [f"GPU-{node}-{number}" for number in range(dice.randint(1, 2))]
        for gpu in gpus:
            start = dice.randint(0, 26)
            for agent in range(dice.randint(1, 2)):
                samples += _samples(dice, node=node, gpu=gpu, agent=agent, start_hour=start + dice.randint(0, 1))
        for engine in range(dice.randint(0, 2)):
            scrapes += _engine(dice, node=node, engine=engine, gpus=gpus)
        for number in range(dice.randint(0, 2)):
            lines.append(
                invoice_line(
                    str(Decimal(dice.randint(-(10**6), 10**10)) / 10**4),
                    line_number=10 * node + number,
                    resource_id=f"node-{node}",
                    gpu_count=str(len(gpus)),
                    quantity=str(dice.randint(0, 60)),
                    days=dice.randint(1, 2),
                )
            )
    return {SAMPLES: samples, SCRAPES: scrapes, INVOICE_LINES: lines}


def _samples(dice: random.Random, *, node: int, gpu: str, agent: int, start_hour: int) -> Iterator[Row]:
    moment = at(start_hour)
    for index in range(dice.randint(0, 30)):
        moment += timedelta(milliseconds=dice.choice([0, 0, dice.randint(0, 2_000_000)]))
        interval = dice.randint(1, 900_000)
        moment += timedelta(milliseconds=interval)
        yield sample(
            moment,
            interval,
            host=f"host-{node}",
            provider_resource_id=f"node-{node}",
            gpu_uuid=gpu,
            agent_start_id=f"agent-{node}-{agent}",
            sequence_number=1000 * int(gpu[-1]) + index,
            compute_process_count=dice.choice([0, 1, None]),
            mig_held_ppm=dice.choice([None, None, 1_000_000 * dice.randint(0, 7) // 7]),
            util_gpu_pct=dice.choice([0, 50, 95, 95, None]),
            sm_active_ppm=dice.choice([None, 0, 0, 300_000]),
            power_milliwatts=dice.choice([None, 100_000, 400_000]),
            memory_used_bytes=dice.choice([0, 60_000_000_000, None]),
            health=dice.choice(["ok", "ok", "ok", "gpu_is_lost"]),
        )


def _engine(dice: random.Random, *, node: int, engine: int, gpus: list[str]) -> Iterator[Row]:
    moment = at(dice.randint(0, 26))
    started = at(day=date(2025, 10, 1))
    prompt = output = dice.randint(0, 10**6)
    for index in range(dice.randint(0, 40)):
        before = moment
        interval = dice.randint(1, 900_000)
        moment += timedelta(milliseconds=interval)
        if dice.randint(0, 6) == 0:
            moment += timedelta(hours=dice.randint(0, 5))
        if dice.randint(0, 6) == 0 and moment > started + timedelta(seconds=1):
            # It may have begun while the one before still answered, but not before that one did.
            began = moment - (moment - before) * dice.random() * dice.choice([1, 1, 1.5])
            started = max(began.replace(microsecond=0), started + timedelta(seconds=1))
            prompt, output = dice.randint(0, 500), 0
        prompt += dice.choice([0, 0, 1, 1000, 12345])
        output += dice.choice([0, 0, 1, 77])
        fields: dict[str, Any] = {
            "host": f"host-{node}",
            "agent_start_id": f"agent-{node}-0",
            "target": f"engine-{engine}",
            "model_name": f"model-{engine}",
            "sequence_number": 10_000 * (engine + 1) + index,
            "gpus": dice.choice([gpus, gpus[:1]]),
            "requests_running": dice.choice([0, 0, 3]),
        }
        if dice.randint(0, 5) == 0:
            failed = {**fields, "model_name": "", "engine_rank": "", "process_started_at": None}
            yield scrape(moment, interval, None, None, scrape_error="timeout", **failed)
        else:
            yield scrape(moment, interval, prompt, output, process_started_at=started, **fields)


@FEW
@given(seed=SEEDS)
def test_hours_and_money_of_any_fleet_are_conserved(cache: Path, seed: int) -> None:
    """Every paid millisecond in one state, none negative; every quantum of every line in one place. B13, B18, B29."""
    fleet = _fleet(random.Random(seed))
    tables = {
        **fleet,
        "calendar": days_of(DAY, DAY + timedelta(days=3)),
        "config_gpu_resources": [{**NODE, "resource_id": "node-1", "host": "host-1", "gpu_count": 2}],
        "config_deployment_served_names": [{"deployment_id": "one", "served_name": "model-0"}],
    }
    built = build_tables(cache, tables, ("fct_gpu_costs_daily", "fct_gpu_leftovers_daily", *GPU_CHECKS))
    laws = [law for law in broken_laws(built) if not law.startswith("gpu_seen_is_paid_for")]
    assert laws == []
    rows = rows_of(built, "fct_gpu_costs_daily")
    assert sum((row["realized_cost"] for row in rows if row["cost_measure"] == "billed"), Decimal(0)) == sum(
        (Decimal(line["amount"]) for line in fleet[INVOICE_LINES]), Decimal(0)
    )
    assert all(row["gpu_milliseconds"] is None or row["gpu_milliseconds"] >= 0 for row in rows)
    assert {row["state"] for row in rows} <= STATES_WITH_HOURS | {"overhead", "tax", "credit"}
    observed = _covered_milliseconds(fleet[SAMPLES])
    seen: dict[tuple[str, date], int] = defaultdict(int)
    for row in rows_of(built, "int_gpu_observed_states_daily"):
        seen[row["gpu_uuid"], row["usage_date"]] += row["gpu_milliseconds"]
    of_hours: dict[tuple[str, datetime], int] = defaultdict(int)
    for row in rows_of(built, "int_gpu_states_hourly"):
        assert row["gpu_milliseconds"] > 0
        assert (row["conflict"] is not None) == (row["state"] == "conflict")
        of_hours[row["gpu_uuid"], row["usage_hour_at"]] += row["gpu_milliseconds"]
    assert of_hours == {
        (row["gpu_uuid"], row["usage_hour_at"]): row["observed_milliseconds"]
        for row in rows_of(built, "int_gpu_seen_hours")
        if row["observed_milliseconds"]
    }
    torn = _overlapping_at_midnight(fleet[SAMPLES])
    assert {key: ms for key, ms in seen.items() if key not in torn} == {
        key: ms for key, ms in observed.items() if key not in torn
    }
    assert all(observed[key] - 900_000 <= seen[key] <= observed[key] for key in torn)


def _overlapping_at_midnight(samples: list[Row]) -> set[tuple[str, date]]:
    """Days whose first hour two agents saw, one of them from the day before on: it may be counted short, not twice."""
    found: set[tuple[str, date]] = set()
    for row in samples:
        midnight = datetime.combine(row["at"].date(), datetime.min.time())
        if row["usage_date"] < row["at"].date() and row["at"] > midnight:
            others = {
                other["agent_start_id"]
                for other in samples
                if other["gpu_uuid"] == row["gpu_uuid"] and other["at"] > midnight
            }
            if others != {row["agent_start_id"]}:
                found.add((row["gpu_uuid"], row["at"].date()))
    return found


def _covered_milliseconds(samples: list[Row]) -> dict[tuple[str, date], int]:
    """The union of each GPU's sample intervals, by UTC day, in a sweep over sorted ends."""
    by_gpu: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for row in samples:
        said = ("util_gpu_pct", "sm_active_ppm", "compute_process_count")
        if row["health"] == "ok" and all(row[name] is None for name in said):
            continue
        by_gpu[row["gpu_uuid"]].append((row["at"] - timedelta(milliseconds=row["interval_ms"]), row["at"]))
    found: dict[tuple[str, date], int] = defaultdict(int)
    for gpu, intervals in by_gpu.items():
        reached = at(day=date(2000, 1, 1))
        for start, end in sorted(intervals):
            start = max(start, reached)
            while start < end:
                midnight = datetime.combine(start.date(), datetime.min.time()) + timedelta(days=1)
                stop = min(end, midnight)
                found[gpu, start.date()] += (stop - start) // timedelta(milliseconds=1)
                start = stop
            reached = max(reached, end)
    return dict(found)


@FEW
@given(seed=SEEDS)
def test_tokens_of_any_fleet_equal_a_walk_over_its_scrapes(cache: Path, seed: int) -> None:
    """Per process, difference by difference; hours and days only move them. B15, B16, B29."""
    fleet = _fleet(random.Random(seed))
    tables = {SCRAPES: fleet[SCRAPES], "calendar": days_of(DAY, DAY + timedelta(days=6))}
    built = build_tables(cache, tables, ("fct_self_host_tokens_daily",))
    found: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows_of(built, "fct_self_host_tokens_daily"):
        if row["token_class"] != "input_cache_read":
            found[row["model"], row["token_class"]] += row["tokens"]
    expected: dict[tuple[str, str], int] = defaultdict(int)
    for (model, token_class), moved in _moved(fleet[SCRAPES]):
        expected[model, token_class] += moved
    assert dict(found) == dict(expected)


def _moved(scrapes: list[Row]) -> Iterator[tuple[tuple[str, str], int]]:
    engines: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in scrapes:
        engines[row["host"], row["target"]].append(row)
    for rows in engines.values():
        last: dict[datetime, Row] = {}
        previous_at: datetime | None = None
        for row in sorted(rows, key=lambda one: one["at"]):
            if "scrape_error" not in row:
                started = row["process_started_at"]
                before = last.get(started)
                midnight = datetime.combine(row["usage_date"], datetime.min.time())
                is_watched = (
                    started >= midnight
                    or (previous_at is not None and started >= previous_at)
                    or started >= row["at"] - timedelta(milliseconds=3 * row["interval_ms"])
                )
                for token_class, column in (("input_uncached", "prompt_tokens"), ("output", "generation_tokens")):
                    if before is not None:
                        yield (row["model_name"], token_class), row[column] - before[column]
                    elif is_watched:
                        yield (row["model_name"], token_class), row[column]
                last[started] = row
            previous_at = row["at"]


@functools.cache
def _catalog() -> dict[str, Any]:
    """GPU table -> what its .yml says."""
    return {
        path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in models_root().rglob("*.yml")
        if GPU_TABLES.match(path.stem)
    }


@FEW
@given(seed=SEEDS)
def test_every_grain_line_is_true(cache: Path, seed: int) -> None:
    """What a .yml calls one row is one row, and the columns it names are the table's, with their types. B12."""
    catalog = _catalog()
    tables = {**_fleet(random.Random(seed)), "calendar": days_of(DAY, DAY + timedelta(days=3))}
    built = build_tables(cache, tables, catalog)
    for name, said in catalog.items():
        assert {column: said["columns"][column]["type"] for column in said["columns"]} == dict(
            built.nodes[name].columns
        )
        rows = rows_of(built, name)
        keys = [tuple(row[column] for column in said["grain"]) for row in rows]
        assert len(set(keys)) == len(keys), name
        never_null = set(said["grain"]) - set(said.get("nullable_grain", ()))
        assert all(row[column] is not None for row in rows for column in never_null), name
