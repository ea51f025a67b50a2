"""What makers state of their GPUs: the seed `gpu_types` as ceilings. A type that it does not list has none."""

import csv
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from pipeline.economics.roofline import GpuType
from pipeline.paths import models_root


def gpu_types(rows: Iterable[Mapping[str, Any]]) -> dict[str, GpuType]:
    """By name in lower case, of the rows of the seed as the build reads them or as its CSV holds them."""
    return {str(row["gpu_type"]).lower(): _gpu_type(row) for row in rows}


def shipped_gpu_types() -> dict[str, GpuType]:
    """The types that this release ships, where there is no build to read them from."""
    with (models_root() / "seeds" / "gpu_types.csv").open(newline="", encoding="utf-8") as handle:
        return gpu_types(csv.DictReader(handle))


def gpu_type_named(types: Mapping[str, GpuType], name: str) -> GpuType | None:
    """The type of this name. `H100` alone is the fastest H100 that is listed: a ceiling of each. None: not listed."""
    wanted = name.lower()
    if wanted in types:
        return types[wanted]
    variants = [found for key, found in types.items() if key.startswith(f"{wanted}-")]
    return max(variants, key=lambda found: (found.bf16_teraflops, found.memory_gigabytes), default=None)


def _gpu_type(row: Mapping[str, Any]) -> GpuType:
    read_on = row["read_on_date"]
    return GpuType(
        gpu_type=row["gpu_type"],
        bf16_teraflops=Decimal(row["bf16_teraflops"]),
        eight_bit_teraops=Decimal(row["eight_bit_teraops"]) if row["eight_bit_teraops"] else None,
        four_bit_teraops=Decimal(row["four_bit_teraops"]) if row["four_bit_teraops"] else None,
        memory_terabytes_per_second=Decimal(row["memory_terabytes_per_second"]),
        memory_gigabytes=Decimal(row["memory_gigabytes"]),
        source=row["source"],
        read_on=read_on if isinstance(read_on, date) else date.fromisoformat(read_on),
    )
