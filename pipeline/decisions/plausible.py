"""The plausibility gate: what breakeven.yaml declares, or `measure` has found, against what its hardware can do.

Without a listed GPU and a size of the model nothing is known to be impossible, and nothing is refused.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from pipeline.build.config_tables.deployments import served_row
from pipeline.config.deployments import Capacity
from pipeline.config.whole import Config
from pipeline.decisions.capacities import hardware_of
from pipeline.decisions.gpu_types import shipped_gpu_types
from pipeline.economics.plausibility import Hardware, why_it_does_not_fit, why_it_is_too_fast
from pipeline.economics.roofline import GpuType
from pipeline.errors import ConfigError
from pipeline.landing.project import Project
from pipeline.sources import ingest


@dataclass(frozen=True)
class _Impossible:
    """A value that cannot be, where it stands, and why."""

    key: str
    value: object
    why: str


def refuse_impossible(config: Config) -> None:
    """ConfigError for the first deployment or candidate that does not fit its GPUs or exceeds what they can do.

    A throughput of all classes together is judged at the mix of its traffic, which only a verdict knows.
    """
    for found in _impossible(config, shipped_gpu_types()):
        raise ConfigError(key=found.key, value=found.value, fix=f"That is impossible: {found.why}.")


def land_config(project: Project, now: datetime) -> bool:
    """As `ingest.land_config`, of a configuration that nothing physical forbids. Raises ConfigError else."""
    refuse_impossible(project.config)
    return ingest.land_config(project, now)


def _impossible(config: Config, types: Mapping[str, GpuType]) -> Iterator[_Impossible]:
    for index, deployment in enumerate(config.deployments):
        hardware = hardware_of(served_row(deployment), types, gpus=deployment.gpus_per_replica)
        if hardware is not None:
            yield from _too_large(f"deployments.{index}", hardware)
            yield from _too_fast(f"deployments.{index}.capacity", hardware, deployment.capacity)
    for index, workload in enumerate(config.workloads):
        candidate = workload.candidate
        if candidate is None:
            continue
        hardware = hardware_of(served_row(candidate), types, gpus=candidate.gpus_per_replica)
        if hardware is not None:
            yield from _too_large(f"workloads.{index}.candidate", hardware)


def _too_large(where: str, hardware: Hardware) -> Iterator[_Impossible]:
    why = why_it_does_not_fit(hardware)
    if why is not None:
        yield _Impossible(f"{where}.gpus_per_replica", hardware.gpus_per_replica, why)


def _too_fast(where: str, hardware: Hardware, capacity: Capacity | None) -> Iterator[_Impossible]:
    """By class: a replica that does nothing but prefill, or nothing but decode, is bounded by itself."""
    if capacity is None:
        return
    for name, token_class in (("prefill_tokens_per_second", "input_uncached"), ("decode_tokens_per_second", "output")):
        rate: Decimal | None = getattr(capacity, name)
        if rate is None:
            continue
        why = why_it_is_too_fast(hardware, tokens_per_second=rate, mix={token_class: 1})
        if why is not None:
            yield _Impossible(f"{where}.{name}", f"{rate}", why)
