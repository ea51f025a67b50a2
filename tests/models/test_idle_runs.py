"""Idle runs: where, how long, what they cost, and what of it could come back as cash; against an hour-by-hour walk."""

import random
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.gpu_harness import (
    DAY,
    INVOICE_LINES,
    NODE,
    OWNED,
    SAMPLES,
    SCRAPES,
    Row,
    at,
    build_tables,
    invoice_line,
    owned_charge,
    rows_of,
    scrape,
    watched,
)

TABLE = "fct_idle_runs_daily"
WAITS, FREE, SERVES, OTHER = "waits", "free", "serves", "other"
GPUS = ("GPU-1", "GPU-2")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idle_runs")


def _day(plan: Mapping[str, Sequence[str | None]]) -> dict[str, list[Row]]:
    """What each GPU did in each hour of the day; None: nobody watched."""
    samples: list[Row] = []
    scrapes: list[Row] = []
    for place, (gpu, hours) in enumerate(plan.items()):
        tokens = 0
        for hour, did in enumerate(hours):
            if did is not None:
                held = 0 if did == FREE else 1
                samples += watched(hour, hour + 1, gpu_uuid=gpu, compute_process_count=held, memory_used_bytes=0)
            if did in (WAITS, SERVES):
                # Four a quarter of an hour each: an hour that nobody scraped before it is a baseline.
                for quarter in range(1, 5):
                    tokens += 100 if did == SERVES else 0
                    scrapes.append(
                        scrape(
                            at(hour + quarter / 4),
                            900_000,
                            tokens,
                            0,
                            gpus=(gpu,),
                            target=f"engine-{place}",
                            model_name=f"model-{place}",
                            sequence_number=10_000 * place + 10 * hour + quarter,
                        )
                    )
    return {SAMPLES: samples, SCRAPES: scrapes}


def _bill(amount: str, gpus: int) -> dict[str, list[Row]]:
    return {INVOICE_LINES: [invoice_line(amount, gpu_count=str(gpus))]}


def _runs(cache: Path, tables: Mapping[str, Sequence[Row]]) -> list[dict[str, Any]]:
    return rows_of(build_tables(cache, tables, (TABLE,)), TABLE)


def test_a_run_is_where_a_gpu_did_nothing_for_how_long_and_what_it_cost(cache: Path) -> None:
    """Of a node of two at $48 a day, an hour of a GPU is a dollar; both were idle together for two of three hours."""
    first = [SERVES] * 10 + [WAITS] * 3 + [SERVES] * 11
    second = [SERVES] * 11 + [FREE] * 2 + [OTHER] * 11
    tables = {**_day(dict(zip(GPUS, (first, second), strict=True))), **_bill("48.00", 2)}
    found = {(row["gpu_uuid"], row["from_at"].hour, row["to_at"].hour): row for row in _runs(cache, tables)}
    assert set(found) == {("GPU-1", 10, 13), ("GPU-2", 11, 13)}
    waiting, free = found["GPU-1", 10, 13], found["GPU-2", 11, 13]
    hour = 3_600_000
    assert (waiting["gpu_milliseconds"], waiting["of_which_loaded_milliseconds"]) == (3 * hour, 3 * hour)
    assert (waiting["economic_cost"], waiting["cash_recoverable_cost"]) == (Decimal(3), Decimal(2))
    assert (free["of_which_loaded_milliseconds"], free["economic_cost_rc"]) == (0, Decimal(2))
    assert (free["cash_recoverable_cost_rc"], free["committed_until_date"]) == (Decimal(2), None)
    # One of them was held by an engine that waits, so never were both held by nobody.
    assert {row["of_which_unallocated_resource_milliseconds"] for row in found.values()} == {0}


def test_an_hour_in_which_the_host_rebooted_is_idle_as_its_halves_are(cache: Path) -> None:
    """Two rows tell it, as they do where midnight cuts a sample: states add them up, and so do runs."""
    free = {"compute_process_count": 0, "memory_used_bytes": 0}
    samples = [
        *watched(3, 4.5, boot_id="boot-1", agent_start_id="agent-1", **free),
        *watched(4.5, 6, boot_id="boot-2", agent_start_id="agent-2", **free),
    ]
    (row,) = _runs(cache, {SAMPLES: samples, **_bill("24.00", 1)})
    assert (row["from_at"].hour, row["to_at"].hour, row["gpu_milliseconds"]) == (3, 6, 3 * 3_600_000)


def test_runs_of_a_day_cost_no_more_than_its_idle_time_does_however_long_they_were_watched(cache: Path) -> None:
    """Twelve hours are billed at $24, and of 24 that were watched 20 were idle, in two runs, and a quarter beside."""
    idle = _day({"GPU-1": [FREE] * 10 + [SERVES] * 4 + [FREE] * 10})
    tables = {**idle, INVOICE_LINES: [invoice_line("24.00", quantity="12")]}
    built = build_tables(cache, tables, (TABLE, "int_gpu_costs_daily"))
    costs = rows_of(built, "int_gpu_costs_daily")
    whole = sum(row["realized_cost"] for row in costs if row["state"] in ("loaded_idle", "unallocated"))
    assert whole == Decimal("20.25")
    rows = rows_of(built, TABLE)
    assert [(row["from_at"].hour, row["economic_cost"]) for row in rows] == [(0, whole / 2), (14, whole / 2)]
    assert [row["cash_recoverable_cost"] for row in rows] == [whole / 2, whole / 2]


@pytest.mark.parametrize(("until", "cash", "told"), [(DAY + timedelta(days=30), 0, True), (DAY, 24, False)])
def test_nothing_comes_back_as_cash_before_the_commitment_ends_and_its_end_is_told(
    cache: Path, until: date, cash: int, told: bool
) -> None:
    """On the first day on which the node could be given back, all of it could."""
    tables = {
        **_day({"GPU-1": [WAITS] * 24}),
        **_bill("24.00", 1),
        "config_gpu_resources": [{**NODE, "committed_until_date": until}],
    }
    (row,) = _runs(cache, tables)
    assert (row["economic_cost"], row["cash_recoverable_cost"]) == (Decimal(24), Decimal(cash))
    assert row["committed_until_date"] == (until if told else None)


def test_of_owned_gpus_nothing_comes_back_and_without_a_bill_no_cost_is_known(cache: Path) -> None:
    idle = _day({"GPU-1": [FREE] * 24})
    owned = {OWNED: [owned_charge("depreciation", "12.00")], "config_gpu_resources": []}
    on_host = {
        name: [{**row, "provider_resource_id": None} if "at" in row else row for row in rows]
        for name, rows in idle.items()
    }
    (row,) = _runs(cache, {**on_host, **owned})
    assert (row["cost_measure"], row["economic_cost"], row["cash_recoverable_cost"]) == ("effective", 12, 0)
    (row,) = _runs(cache, idle)
    assert (row["cost_measure"], row["economic_cost"], row["cash_recoverable_cost"]) == (None, None, None)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**32))
def test_runs_are_those_of_an_hour_by_hour_walk(cache: Path, seed: int) -> None:
    """Unobserved hours, held and serving ones end a run; all its hours cost what idle hours of that GPU cost. B18."""
    dice = random.Random(seed)
    plan: dict[str, list[str | None]] = {}
    for gpu in GPUS:
        hours: list[str | None] = []
        while len(hours) < 24:
            hours += [dice.choice([WAITS, FREE, SERVES, OTHER, None])] * dice.randint(1, 5)
        plan[gpu] = hours[:24]
    cents = dice.randint(1, 10**6)
    found = _runs(cache, {**_day(plan), **_bill(f"{cents / 100:.2f}", 2)})
    expected = []
    for gpu, hours in plan.items():
        start = None
        for hour in range(25):
            is_idle = hour < 24 and hours[hour] in (WAITS, FREE)
            if is_idle and start is None:
                start = hour
            if not is_idle and start is not None:
                both = sum(all(one[h] in (WAITS, FREE) for one in plan.values()) for h in range(start, hour))
                held_by_nobody = sum(all(one[h] == FREE for one in plan.values()) for h in range(start, hour))
                expected.append((gpu, start, hour, hour - start, both, held_by_nobody))
                start = None
    per_hour = Fraction(cents, 100 * 48)
    shown = [
        (
            row["gpu_uuid"],
            _hour(row["from_at"]),
            _hour(row["to_at"]),
            row["gpu_milliseconds"] // 3_600_000,
            row["of_which_whole_resource_milliseconds"] // 3_600_000,
            row["of_which_unallocated_resource_milliseconds"] // 3_600_000,
        )
        for row in found
    ]
    assert sorted(shown) == sorted(expected)
    for row, (_, _, _, length, both, _) in zip(found, shown, strict=True):
        assert abs(Fraction(row["economic_cost"]) - per_hour * length) < Fraction(1, 10**12)
        assert abs(Fraction(row["cash_recoverable_cost"]) - per_hour * both) < Fraction(1, 10**12)


def _hour(moment: datetime) -> int:
    return (moment - at()) // timedelta(hours=1)
