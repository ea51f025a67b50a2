"""What is declared of a deployment's capacity, as the economics take it, and what its hardware forbids."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pipeline.decisions.gpu_types import gpu_type_named
from pipeline.economics.plausibility import Hardware, why_it_does_not_fit, why_it_is_too_fast
from pipeline.economics.roofline import GpuType, Requests, ServedModel
from pipeline.economics.work import Capacity, Provenance, replica_hour_work_seconds, tokens_per_replica_hour

_BILLION = 10**9


def declared_capacity(deployment: Mapping[str, Any]) -> Capacity | None:
    """Of a row of `config_deployments`: rates by class, or one for all; None where neither is declared."""
    prefill, decode = deployment["prefill_tokens_per_second"], deployment["decode_tokens_per_second"]
    blended, by_class = deployment["tokens_per_second"], None
    if prefill is not None and decode is not None:
        blended, by_class = None, _by_class(prefill, deployment["cached_tokens_per_second"] or prefill, decode)
    if blended is None and by_class is None:
        return None
    return Capacity(
        maximum_utilization_ratio=deployment["peak_allowance"],
        provenance=Provenance(
            kind="declared", stated_on=deployment["measured_on"], source=deployment["capacity_source"]
        ),
        blended_tokens_per_second=blended,
        tokens_per_second_by_class=by_class,
    )


def _by_class(prefill: Decimal, cached: Decimal, decode: Decimal) -> dict[str, Decimal]:
    """What is written to a cache is computed like any other prompt."""
    return {
        "input_uncached": prefill,
        "input_cache_write_5m": prefill,
        "input_cache_write_30m": prefill,
        "input_cache_write_1h": prefill,
        "input_cache_write_12h": prefill,
        "input_cache_read": cached,
        "output": decode,
    }


def hardware_of(row: Mapping[str, Any], types: Mapping[str, GpuType], *, gpus: int | None) -> Hardware | None:
    """A row of config_deployments or config_candidates; None where GPU, their number or the model's size is unknown."""
    gpu = None if row["gpu_type"] is None else gpu_type_named(types, row["gpu_type"])
    if gpu is None or gpus is None or row["parameters_billions"] is None:
        return None
    total = Fraction(row["parameters_billions"]) * _BILLION
    active = row["active_parameters_billions"]
    return Hardware(
        gpu=gpu,
        gpus_per_replica=gpus,
        model=ServedModel(
            active_parameters=total if active is None else Fraction(active) * _BILLION,
            total_parameters=total,
            bytes_per_parameter=row["bytes_per_parameter"],
            kv_bytes_per_token=row["kv_bytes_per_token"],
        ),
        requests=Requests(
            context_tokens=row["context_tokens"],
            at_once=row["requests_at_once_count"],
            tokens_per_step=row["tokens_per_step"],
        ),
    )


def why_impossible(
    capacity: Capacity, *, deployment: Mapping[str, Any], mix: Mapping[str, int], types: Mapping[str, GpuType]
) -> str | None:
    """Why a capacity is none at this mix, whoever says so; None where nothing that is known forbids it."""
    hardware = hardware_of(deployment, types, gpus=int(deployment["gpus_per_replica"]))
    if hardware is None or not any(mix.values()):
        return None
    per_second = Fraction(tokens_per_replica_hour(mix=mix, capacity=capacity)) / Fraction(
        replica_hour_work_seconds(capacity)
    )
    impossible = why_it_does_not_fit(hardware) or why_it_is_too_fast(hardware, tokens_per_second=per_second, mix=mix)
    if impossible is None:
        return None
    return f"the capacity of {deployment['deployment_id']} ({capacity.provenance.source}) is impossible: {impossible}"
