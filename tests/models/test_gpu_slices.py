"""GPUs in MIG, each layout drawn at random: every slice's time is its engine's, another's or nobody's."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.gpu_harness import (
    GPU_CHECKS,
    SAMPLES,
    SCRAPES,
    Row,
    at,
    broken_laws,
    build_tables,
    rows_of,
    sample,
    scrape,
)

WHOLE = 1_000_000
SECOND = 1_000
HOUR = 3_600 * SECOND


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu_slices")


class Slice(NamedTuple):
    """`holder`: the target of its engine, `other` or `nobody`."""

    count: int
    holder: str

    @property
    def part_ppm(self) -> int:
        return WHOLE * self.count // 7


class Host(NamedTuple):
    """One GPU. `samples_ms`, `scrapes_ms`: how long each interval is; they fill one hour."""

    name: str
    slices: list[Slice]
    is_told: bool
    samples_ms: list[int]
    scrapes_ms: list[int]


def intervals(dice: random.Random, *, about_ms: int) -> list[int]:
    found: list[int] = []
    while (left := HOUR - sum(found)) > 0:
        found.append(min(left, dice.randint(about_ms // 2, about_ms)))
    return found


def fleet(dice: random.Random) -> Iterator[Host]:
    """Twelve GPUs of up to seven slices, with engines, processes of others, and nothing on them."""
    for number in range(12):
        slices: list[Slice] = []
        while sum(one.count for one in slices) < 7 and dice.random() < 0.9:
            count = dice.randint(1, min(4, 7 - sum(one.count for one in slices)))
            slices.append(
                Slice(count, dice.choice([f"engine-{len(slices)}", f"engine-{len(slices)}", "other", "nobody"]))
            )
        yield Host(
            f"host-{number}",
            slices,
            dice.random() < 0.8,
            intervals(dice, about_ms=dice.choice([60, 300, 900]) * SECOND),
            intervals(dice, about_ms=dice.choice([30, 300]) * SECOND),
        )


def samples_of(host: Host) -> Iterator[Row]:
    held_ppm = sum(one.part_ppm for one in host.slices if one.holder != "nobody")
    reached = 0
    for number, interval_ms in enumerate(host.samples_ms):
        reached += interval_ms
        yield sample(
            at(reached / HOUR),
            interval_ms,
            host=host.name,
            agent_start_id=host.name,
            sequence_number=number,
            gpu_uuid=f"GPU-{host.name}",
            compute_process_count=None,
            sm_active_ppm=held_ppm // 2,
            mig_held_ppm=held_ppm if host.is_told else None,
        )


def scrapes_of(host: Host, dice: random.Random) -> Iterator[Row]:
    for place, one in enumerate(host.slices):
        if one.holder in ("other", "nobody"):
            continue
        reached = tokens = 0
        for number, interval_ms in enumerate([1, *host.scrapes_ms]):
            reached += interval_ms if number else 0
            tokens += dice.choice([0, 100])
            yield scrape(
                at(reached / HOUR),
                interval_ms,
                tokens,
                0,
                host=host.name,
                target=one.holder,
                agent_start_id=host.name,
                sequence_number=10_000 * (place + 1) + number,
                gpus=[f"GPU-{host.name}"],
                gpu_shares_ppm=f"[{one.part_ppm}]",
            )


@settings(max_examples=2, deadline=None)
@given(st.integers(0, 2**32))
def test_every_slice_is_its_engines_anothers_or_nobodys_and_all_of_them_are_the_gpu(cache: Path, seed: int) -> None:
    """Exact to the millisecond over the GPU; of each holder but for what rounding an interval takes. Case 6. B18."""
    dice = random.Random(seed)
    hosts = list(fleet(dice))
    tables = {
        SAMPLES: [row for host in hosts for row in samples_of(host)],
        SCRAPES: [row for host in hosts for row in scrapes_of(host, dice)],
    }
    built = build_tables(cache, tables, ("int_gpu_states_hourly", "int_gpu_observed_states_daily", *GPU_CHECKS))
    assert [law for law in broken_laws(built) if law.startswith("gpu_time_conserved")] == []
    hourly = rows_of(built, "int_gpu_states_hourly")
    for host in hosts:
        check(host, [row for row in hourly if row["host"] == host.name], hour=at())


def check(host: Host, rows: Sequence[Row], *, hour: datetime) -> None:
    assert {row["usage_hour_at"] for row in rows} == {hour}
    assert sum(row["gpu_milliseconds"] for row in rows) == HOUR
    found: dict[str, int] = defaultdict(int)
    for row in rows:
        assert row["gpu_milliseconds"] > 0
        found[row["target"] or row["state"]] += row["gpu_milliseconds"]
    of_slices: dict[str, Fraction] = defaultdict(Fraction)
    for one in host.slices:
        of_slices[one.holder] += Fraction(HOUR * one.part_ppm, WHOLE)
    engines = {name: time for name, time in of_slices.items() if name.startswith("engine")}
    rounded = 3 * len(host.scrapes_ms) * len(engines) + 2
    assert set(found) - {"held_other", "unallocated"} == set(engines)
    assert all(abs(found[name] - time) <= rounded for name, time in engines.items())
    others = of_slices["other"] if host.is_told else HOUR - sum(engines.values())
    assert abs(found.get("held_other", 0) - others) <= rounded + 2 * SECOND
    assert not host.is_told or ("held_other" in found) == (others > 0)
    free = HOUR - sum(engines.values()) - others
    assert abs(found.get("unallocated", 0) - free) <= rounded + 2 * SECOND
