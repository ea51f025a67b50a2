"""Whether a claimed throughput, or a model on so many GPUs, is possible at all; if not, the arithmetic that says so.

Nothing here judges whether a claim is likely. Source: economics.md 0, finding 5; the ceilings: `roofline`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from pipeline.economics.exact import Exact, positive, to_places
from pipeline.economics.roofline import (
    FLOP_PER_PARAMETER_AND_TOKEN,
    UNKNOWN_REQUESTS,
    GpuType,
    Requests,
    Roofline,
    ServedModel,
    gpus_that_hold,
    replica_roofline,
)

_GIGA = 10**9


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """One replica as it is declared: its GPUs, the model on them, and what is known of its requests."""

    gpu: GpuType
    gpus_per_replica: int
    model: ServedModel
    requests: Requests = UNKNOWN_REQUESTS

    @property
    def name(self) -> str:
        return f"{self.gpus_per_replica}x{self.gpu.gpu_type}"

    @property
    def whence(self) -> str:
        return f"{self.gpu.gpu_type} as read on {self.gpu.read_on} at {self.gpu.source}"

    def roofline(self, mix: Mapping[str, Exact]) -> Roofline:
        return replica_roofline(
            gpu=self.gpu, gpus_per_replica=self.gpus_per_replica, model=self.model, mix=mix, requests=self.requests
        )


def why_it_does_not_fit(hardware: Hardware) -> str | None:
    """The sum that exceeds the memory, and how many GPUs would do; None where weights and cache fit."""
    found = hardware.roofline({"output": 1})
    if found.is_fitting:
        return None
    model, requests, gpu = hardware.model, hardware.requests, hardware.gpu
    weights = (
        f"weights {_plain(Fraction(model.total_parameters) / _GIGA)} x 10^9 x {_plain(model.bytes_per_parameter)} "
        f"bytes = {_gigabytes(found.weight_bytes)} GB"
    )
    cache = ""
    if found.cache_bytes:
        at_once = requests.at_once or 1
        cache = (
            f" and cache {_plain(at_once)} request{'' if at_once == 1 else 's'} x "
            f"{_plain(requests.context_tokens or 0)} tokens x {_plain(model.kv_bytes_per_token or 0)} bytes "
            f"= {_gigabytes(found.cache_bytes)} GB"
        )
    enough = gpus_that_hold(gpu=gpu, model=model, requests=requests)
    return (
        f"it does not fit a {hardware.name} replica: {weights}{cache}, and the memory is {hardware.gpus_per_replica} x "
        f"{_plain(gpu.memory_gigabytes)} GB of 2^30 bytes = {_gigabytes(found.memory_bytes)} GB ({hardware.whence}). "
        f"{enough} GPUs a replica would hold it"
    )


def why_it_is_too_fast(hardware: Hardware, *, tokens_per_second: Exact, mix: Mapping[str, Exact]) -> str | None:
    """The ceiling that a claimed throughput at a mix exceeds, with its arithmetic; None where it exceeds none.

    `tokens_per_second`: of one replica, all classes together. A claim that equals the ceiling is possible.
    """
    claimed, found = positive(tokens_per_second, "tokens_per_second"), hardware.roofline(mix)
    if found.compute is not None and claimed > found.compute:
        return _exceeds(hardware, claimed, found.compute, "compute", _compute_arithmetic(hardware, found))
    if found.bandwidth is not None and claimed > found.bandwidth:
        return _exceeds(hardware, claimed, found.bandwidth, "memory bandwidth", _bandwidth_arithmetic(hardware, found))
    return None


def _exceeds(hardware: Hardware, claimed: Fraction, bound: Fraction, kind: str, arithmetic: str) -> str:
    times = to_places(claimed / bound, 2)
    return (
        f"{_whole(claimed)} tokens/s are {times} times what the {kind} of a {hardware.name} replica allows at this "
        f"mix: {arithmetic} = {_whole(bound)} tokens/s ({hardware.whence})"
    )


def _compute_arithmetic(hardware: Hardware, found: Roofline) -> str:
    model = hardware.model
    return (
        f"{hardware.gpus_per_replica} x {_plain(hardware.gpu.teraops(model.bytes_per_parameter))} x 10^12 operations/s "
        f"/ ({FLOP_PER_PARAMETER_AND_TOKEN} x {_plain(Fraction(model.active_parameters) / _GIGA)} x 10^9 parameters x "
        f"{_plain(found.computed_share)} of the tokens computed)"
    )


def _bandwidth_arithmetic(hardware: Hardware, found: Roofline) -> str:
    return (
        f"{hardware.gpus_per_replica} x {_plain(hardware.gpu.memory_terabytes_per_second)} x 10^12 bytes/s / "
        f"({_plain(found.written_share)} of the tokens written x {_whole(found.read_bytes)} bytes read for each)"
    )


def _gigabytes(amount: Fraction) -> str:
    return f"{to_places(amount / _GIGA, 1):,f}"


def _whole(value: Fraction) -> str:
    return f"{to_places(value, 0):,f}"


def _plain(value: Exact) -> str:
    """At most six places, and no more zeros than it takes."""
    text = f"{to_places(Fraction(value), 6):,f}"
    return text.rstrip("0").rstrip(".")
