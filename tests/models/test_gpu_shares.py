"""Which engine had which part of which GPU: against a walk over every moment in plain Python."""

import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.gpu_harness import SAMPLES, SCRAPES, Row, at, build_tables, rows_of, scrape, watched

MINUTE = 60_000
HOUR = 3_600_000
WHOLE = 1_000_000


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu_shares")


class Stretch(NamedTuple):
    """What one engine did on one GPU: milliseconds since the day began."""

    from_ms: int
    to_ms: int
    state: str


class Engine(NamedTuple):
    host: str
    target: str
    part_ppm: int
    memory: int | None
    stretches: list[Stretch]


def fleet(dice: random.Random) -> list[Engine]:
    """Twelve hosts of one GPU with up to four engines on it: whole, on slices, or more slices than there are."""
    engines = []
    for number in range(12):
        for place in range(dice.randint(1, 4)):
            part = dice.choice([WHOLE, WHOLE, WHOLE * dice.randint(1, 7) // 7])
            memory = dice.choice([None, 10**9, dice.randint(0, 80 * 10**9)])
            engines.append(Engine(f"host-{number}", f"engine-{place}", part, memory, list(life(dice))))
    return engines


def life(dice: random.Random) -> Iterator[Stretch]:
    """Scrapes back to back, or with a pause (or a start) that is too long to be spread over: nobody knows more."""
    now, is_told = dice.randint(0, 2 * HOUR), False
    for _ in range(dice.randint(1, 9)):
        length = dice.choice([MINUTE, 15_000, dice.randint(1, 10 * MINUTE)])
        state = dice.choice(["serving", "serving", "loaded_idle", "starting"] if is_told else ["loaded_idle"])
        yield Stretch(now, now + length, state)
        is_paused = dice.random() < 0.2
        is_told = not is_paused and state != "starting"
        now += length + (HOUR if is_paused else 0)


def scrapes_of(engines: Sequence[Engine]) -> Iterator[Row]:
    for number, engine in enumerate(engines):
        tokens = 0
        for place, stretch in enumerate(engine.stretches):
            tokens += 100 if stretch.state == "serving" else 0
            failed = {"scrape_error": "refused", "model_name": "", "engine_rank": "", "process_started_at": None}
            yield scrape(
                at(stretch.to_ms / HOUR),
                stretch.to_ms - stretch.from_ms,
                None if stretch.state == "starting" else tokens,
                None if stretch.state == "starting" else 0,
                host=engine.host,
                target=engine.target,
                replica_id=engine.target,
                agent_start_id=engine.host,
                sequence_number=1000 * number + place,
                gpu_shares_ppm=f"[{engine.part_ppm}]",
                gpu_memory_bytes=None if engine.memory is None else f"[{engine.memory}]",
                **(failed if stretch.state == "starting" else {}),
            )


def shares_at(moment: int, engines: Sequence[Engine]) -> dict[str, tuple[str, Fraction, str]]:
    """target -> (state, its part of the GPU, why) at one moment of one host."""
    there = {
        engine.target: (engine, stretch.state)
        for engine in engines
        for stretch in engine.stretches
        if stretch.from_ms <= moment < stretch.to_ms
    }
    serving = [engine for engine, state in there.values() if state == "serving"]
    waiting = [engine for engine, state in there.values() if state != "serving"]
    parts = sum(engine.part_ppm for engine, _ in there.values())
    served = sum(engine.part_ppm for engine in serving)
    left = max(WHOLE - served, 0)
    wanted = sum(engine.part_ppm for engine in waiting)
    memories = [engine.memory for engine in waiting if engine.memory is not None]
    is_known = len(memories) == len(waiting) and sum(memories) > 0
    found = {}
    for engine, state in there.values():
        if state == "serving":
            share = Fraction(engine.part_ppm, max(served, WHOLE))
        elif wanted <= left:
            share = Fraction(engine.part_ppm, WHOLE)
        elif is_known:
            own = Fraction(left, WHOLE) * Fraction(engine.memory or 0, sum(memories))
            share = min(own, Fraction(engine.part_ppm, WHOLE))
        else:
            share = Fraction(left, WHOLE) * Fraction(engine.part_ppm, wanted)
        if parts <= WHOLE:
            why = "alone" if engine.part_ppm == WHOLE else "mig_fraction"
        elif state == "serving" or served >= WHOLE:
            why = "useful_gpu_seconds"
        else:
            why = "reserved_memory" if is_known else "equal_parts"
        found[engine.target] = (state, share, why)
    return found


def milliseconds(moment: datetime) -> int:
    return (moment - at()) // timedelta(milliseconds=1)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**32))
def test_no_moment_of_a_gpu_is_given_out_twice_and_each_engine_has_what_is_its_own(cache: Path, seed: int) -> None:
    """Shares add up to one at most, exactly; each engine's time is that of the walk, to the millisecond. B18."""
    engines = fleet(random.Random(seed))
    built = build_tables(cache, {SCRAPES: list(scrapes_of(engines))}, ("int_gpu_shares_interval", "int_engine_hours"))
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows_of(built, "int_gpu_shares_interval"):
        rows[row["host"]].append(row)
    for host in {engine.host for engine in engines}:
        own = [engine for engine in engines if engine.host == host]
        edges = sorted(
            {edge for engine in own for stretch in engine.stretches for edge in stretch[:2]}
            | {HOUR * hour for hour in range(48)}
        )
        expected: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
        for start, end in pairwise(edges):
            walked = shares_at(start, own)
            shown = [
                row for row in rows[host] if milliseconds(row["from_at"]) < end and milliseconds(row["to_at"]) > start
            ]
            assert {row["target"]: row["state"] for row in shown} == {t: state for t, (state, _, _) in walked.items()}
            assert sum(_share(row) for row in shown) <= 1
            assert sum(row["share_ppm"] for row in shown) <= WHOLE
            for row in shown:
                _, share, why = walked[row["target"]]
                length = milliseconds(row["to_at"]) - milliseconds(row["from_at"])
                assert abs(row["gpu_milliseconds"] - share * length) < 2, row
                assert row["share_method"] == why, row
            for target, (state, share, _) in walked.items():
                expected[target, state] += share * (end - start)
        told: dict[tuple[str, str], int] = defaultdict(int)
        for row in rows[host]:
            told[row["target"], row["state"]] += row["gpu_milliseconds"]
        assert set(told) == set(expected)
        assert all(abs(told[key] - expected[key]) < 2 * len(rows[host]) for key in told)
    hours = rows_of(built, "int_engine_hours")
    assert sum(row["gpu_milliseconds"] for found in rows.values() for row in found) == sum(
        row["serving_milliseconds"] + row["loaded_idle_milliseconds"] + row["starting_milliseconds"] for row in hours
    )


def _share(row: dict[str, Any]) -> Fraction:
    return Fraction(row["gpu_milliseconds"], milliseconds(row["to_at"]) - milliseconds(row["from_at"]))


def _hour(*, moves: bool, target: str, **fields: Any) -> list[Row]:
    """An engine that is read every ten minutes from minute 10 to 60, and serves throughout or not at all."""
    return [
        scrape(at(n / 6), 10 * MINUTE, 100 * n if moves else 0, 0, target=target, replica_id=target, **fields)
        for n in range(1, 7)
    ]


def _told(cache: Path, scrapes: Sequence[Row], **tables: Sequence[Row]) -> dict[str, tuple[str, int, str]]:
    """target -> (state, share in ppm, method) in the second half of the hour."""
    built = build_tables(cache, {SCRAPES: scrapes, **tables}, ("int_gpu_shares_interval",))
    return {
        row["target"]: (row["state"], row["share_ppm"], row["share_method"])
        for row in rows_of(built, "int_gpu_shares_interval")
        if row["from_at"] <= at(0.75) < row["to_at"]
    }


def test_a_gpu_on_which_one_serves_and_another_waits_served(cache: Path) -> None:
    """The GPU's time was useful to one of them, whatever memory the other holds."""
    big, small = {"gpu_memory_bytes": "[70000000000]"}, {"gpu_memory_bytes": "[10000000000]"}
    assert _told(cache, [*_hour(moves=True, target="a", **small), *_hour(moves=False, target="b", **big)]) == {
        "a": ("serving", 1_000_000, "useful_gpu_seconds"),
        "b": ("loaded_idle", 0, "useful_gpu_seconds"),
    }


def test_what_nobody_serves_on_is_shared_by_the_memory_that_is_held(cache: Path) -> None:
    big, small = {"gpu_memory_bytes": "[60000000000]"}, {"gpu_memory_bytes": "[20000000000]"}
    assert _told(cache, [*_hour(moves=False, target="a", **small), *_hour(moves=False, target="b", **big)]) == {
        "a": ("loaded_idle", 250_000, "reserved_memory"),
        "b": ("loaded_idle", 750_000, "reserved_memory"),
    }
    # Of one of them nobody says what it holds: it is not 0.
    assert _told(cache, [*_hour(moves=False, target="a"), *_hour(moves=False, target="b", **big)]) == {
        "a": ("loaded_idle", 500_000, "equal_parts"),
        "b": ("loaded_idle", 500_000, "equal_parts"),
    }


def test_what_was_held_the_day_before_has_no_part_in_the_day(cache: Path) -> None:
    """An engine that was restarted with less memory than it had yesterday."""
    now = {"gpu_memory_bytes": "[20000000000]"}
    before = scrape(
        at(-2), 10 * MINUTE, 0, 0, target="a", replica_id="a", sequence_number=1, gpu_memory_bytes="[60000000000]"
    )
    assert _told(cache, [before, *_hour(moves=False, target="a", **now), *_hour(moves=False, target="b", **now)]) == {
        "a": ("loaded_idle", 500_000, "reserved_memory"),
        "b": ("loaded_idle", 500_000, "reserved_memory"),
    }


def test_a_slice_serves_with_its_own_part_beside_one_that_waits(cache: Path) -> None:
    """MIG keeps them apart: who serves takes nothing of the other's slice."""
    four, three = {"gpu_shares_ppm": "[571428]"}, {"gpu_shares_ppm": "[428571]"}
    assert _told(cache, [*_hour(moves=True, target="a", **four), *_hour(moves=False, target="b", **three)]) == {
        "a": ("serving", 571_428, "mig_fraction"),
        "b": ("loaded_idle", 428_571, "mig_fraction"),
    }


def test_an_engine_of_which_no_gpu_is_known_has_all_of_its_hosts_and_that_is_said(cache: Path) -> None:
    samples = [*watched(0, 1), *watched(0, 1, gpu_uuid="GPU-2")]
    scrapes = _hour(moves=True, target="a", gpus=None, gpu_method=None)
    built = build_tables(cache, {SCRAPES: scrapes, SAMPLES: samples}, ("int_gpu_shares_interval",))
    assert {(row["gpu_uuid"], row["gpu_method"]) for row in rows_of(built, "int_gpu_shares_interval")} == {
        ("GPU-1", "whole_host"),
        ("GPU-2", "whole_host"),
    }


def test_each_replica_is_published_with_its_gpus_and_its_deployment(cache: Path) -> None:
    """Two GPUs each; an hour in which nothing changes is one interval."""
    declared = {
        "config_deployment_served_names": [
            {"deployment_id": "chat", "served_name": "llama"},
            {"deployment_id": "code", "served_name": "qwen"},
        ]
    }
    chat = _hour(moves=True, target="a", gpus=("GPU-1", "GPU-2"))
    code = _hour(moves=False, target="b", gpus=("GPU-3",), model_name="qwen")
    built = build_tables(cache, {SCRAPES: [*chat, *code], **declared}, ("fct_gpu_shares_interval",))
    assert [
        (row["replica_id"], row["deployment_id"], row["gpu_uuid"], row["state"], row["from_at"], row["to_at"])
        for row in rows_of(built, "fct_gpu_shares_interval")
        if row["to_at"] == at(1)
    ] == [
        ("a", "chat", "GPU-1", "serving", at(1 / 6), at(1)),
        ("a", "chat", "GPU-2", "serving", at(1 / 6), at(1)),
        ("b", "code", "GPU-3", "loaded_idle", at(0), at(1)),
    ]


def test_adapters_of_one_process_are_one_engine_of_one_deployment(cache: Path) -> None:
    """A base model and two adapters answer at one address: one part of the GPU, whoever of them serves."""
    scrapes = [
        {**row, "model_name": name, "sequence_number": row["sequence_number"] + place}
        for place, name in enumerate(("llama", "llama-support", "llama-legal"))
        for row in _hour(moves=name == "llama-legal", target="a")
    ]
    declared = {
        "config_deployment_served_names": [
            {"deployment_id": "chat", "served_name": name} for name in ("llama", "llama-support", "llama-legal")
        ]
    }
    built = build_tables(cache, {SCRAPES: scrapes, **declared}, ("fct_gpu_shares_interval",))
    rows = [row for row in rows_of(built, "fct_gpu_shares_interval") if row["from_at"] <= at(0.75) < row["to_at"]]
    assert [(row["deployment_id"], row["state"], row["share_ppm"], row["share_method"]) for row in rows] == [
        ("chat", "serving", 1_000_000, "alone")
    ]
    assert json.loads(scrapes[0]["gpu_uuids"]) == ["GPU-1"]
