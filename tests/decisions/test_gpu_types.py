"""The shipped GPU types: each is sourced and dated, and the build reads what a command reads without one."""

from datetime import date
from pathlib import Path

import pytest

from pipeline.build.seeds import load_seeds
from pipeline.decisions.gpu_types import gpu_type_named, gpu_types, shipped_gpu_types
from pipeline.paths import models_root

TYPES = shipped_gpu_types()


@pytest.mark.parametrize("name", sorted(TYPES))
def test_each_type_says_where_and_when_it_was_read(name: str) -> None:
    found = TYPES[name]
    assert found.source.startswith("https://")
    assert found.read_on >= date(2026, 1, 1)


@pytest.mark.parametrize("name", sorted(TYPES))
def test_arithmetic_is_dense_and_of_the_right_size(name: str) -> None:
    """Half the bits, twice the arithmetic, where there is any; a figure with sparsity, or in giga, would not pass."""
    found = TYPES[name]
    assert 50 <= found.bf16_teraflops <= 3000
    for ops, times in ((found.eight_bit_teraops, 2), (found.four_bit_teraops, 4)):
        assert ops is None or float(ops) == pytest.approx(times * float(found.bf16_teraflops), rel=0.04)
    assert float(found.memory_terabytes_per_second) == pytest.approx(0.3 if name == "l4" else 4.6, rel=0.9)
    assert 20 <= found.memory_gigabytes <= 300


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("H100", "H100-SXM"),
        ("h100-pcie", "H100-PCIe"),
        ("A100", "A100-80GB-SXM"),
        ("L4", "L4"),
        ("H", None),
        ("", None),
    ],
)
def test_a_name_without_its_variant_is_the_fastest_of_them(name: str, found: str | None) -> None:
    """A ceiling of each. L4 is not an L40S, and H is nothing."""
    named = gpu_type_named(TYPES, name)
    assert (None if named is None else named.gpu_type) == found


def test_the_build_reads_the_same_types(tmp_path: Path) -> None:
    seeds = {seed.name: seed for seed in load_seeds(models_root() / "seeds", cache=tmp_path)}
    assert gpu_types(seeds["gpu_types"].frame.to_dicts()) == TYPES


def test_each_instance_type_says_how_many_gpus_it_has_and_where_that_was_read(tmp_path: Path) -> None:
    """By hand: 8 of a p5.48xlarge, 1 of a g6.xlarge, 2 of an NC80adis."""
    seeds = {seed.name: seed for seed in load_seeds(models_root() / "seeds", cache=tmp_path)}
    rows = seeds["gpu_instance_types"].frame.to_dicts()
    counts = {row["instance_type"]: row["gpu_count"] for row in rows}
    assert len(counts) == len(rows)
    assert [counts[name] for name in ("p5.48xlarge", "g6.xlarge", "g5.12xlarge", "Standard_NC80adis_H100_v5")] == [
        8, 1, 4, 2,
    ]  # fmt: skip
    for row in rows:
        assert row["cloud"] in ("aws", "azure")
        assert row["gpu_count"] in (1, 2, 4, 8)
        assert row["source"].startswith("https://")
        assert row["read_on_date"] >= date(2026, 11, 1)
