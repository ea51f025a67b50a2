"""By what the bill of each deployment is split over its token classes, in a sentence a deployment."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from pipeline.reports import figures

_METHODS: Mapping[str, str] = {
    "fitted_gpu_seconds": "the GPU-seconds that each takes",
    "declared_throughput": "the declared throughput",
    "api_prices": "the prices of an API",
    "fixed_ratio": "a declared ratio",
    "token_count": "the count of tokens",
}


def splits_in_words(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """`rows`: of the question `token_class_weights`, in its order."""
    for deployment_id, classes in groupby(rows, key=lambda row: row["deployment_id"]):
        yield f"{figures.name(deployment_id)}: {_of_deployment(list(classes))}"


def _of_deployment(classes: Sequence[Mapping[str, Any]]) -> str:
    first = classes[0]
    method = first["split_method"]
    if method not in _METHODS:
        return "no cost to split."
    says = f"split by {_METHODS[method]}"
    if first["reason"] is not None:
        return f"{says}: {figures.visible(first['reason'], figures.TEXT_LIMIT)}."
    fitted = [row for row in classes if row["gpu_seconds_per_mtok"] is not None]
    if method != "fitted_gpu_seconds" or not fitted:
        return f"{says}, as declared."
    taken = ", ".join(
        f"{figures.name(row['token_class']).replace('_', ' ')} {figures.fixed(row['gpu_seconds_per_mtok'], 1)}"
        for row in fitted
    )
    return (
        f"{says}. GPU-seconds a million tokens: {taken}; fitted to "
        f"{figures.counted(first['saturated_hours_count'], 'hour')} in which requests always waited "
        f"(R squared {float(first['r_squared_ratio']):.3f}, condition number {first['condition_ratio']:.1f})."
    )
