"""What a replica cannot exceed, whoever serves on it: the ceilings beside which a claimed throughput is read.

A roofline is a bound, never a throughput: own hardware stays below it, mostly far below. Source: economics.md 0,
finding 5 (a published throughput stood 8.7x above it); Williams, Waterman and Patterson, "Roofline", CACM 52(4), 2009;
for the cost of reading weights and cache, Pope et al., "Efficiently Scaling Transformer Inference", MLSys 2023.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from pipeline.economics.exact import Exact, not_negative, positive, to_decimal

# A weight is multiplied and added once for each token that is computed.
FLOP_PER_PARAMETER_AND_TOKEN = 2
# What a maker calls a gigabyte of its GPU's memory is 2^30 bytes: NVML reads 85,520,809,984 on an H100 of 80 GB.
BYTES_PER_GIGABYTE_OF_MEMORY = 2**30
_BYTES_OF_BF16 = 2
_TERA, _GIGA = 10**12, 10**9
# Tokens whose keys and values lie in a cache are read, not computed.
_CACHED_CLASSES = frozenset({"input_cache_read"})
_WRITTEN = "output"


@dataclass(frozen=True, kw_only=True)
class GpuType:
    """What one GPU's maker states of it, dense (without structured sparsity), and where that was read on which day.

    `eight_bit_teraops`, `four_bit_teraops`: the fastest arithmetic of so many bits, float or integer; None has none.
    """

    gpu_type: str
    bf16_teraflops: Exact
    memory_terabytes_per_second: Exact
    memory_gigabytes: Exact
    source: str
    read_on: date
    eight_bit_teraops: Exact | None = None
    four_bit_teraops: Exact | None = None

    def teraops(self, bytes_per_parameter: Exact) -> Exact:
        """The fastest arithmetic that weights of so many bytes allow, in 10^12 operations per second."""
        size = Fraction(bytes_per_parameter)
        if size >= _BYTES_OF_BF16:
            return self.bf16_teraflops
        narrow = self.eight_bit_teraops if size >= 1 else self.four_bit_teraops or self.eight_bit_teraops
        return self.bf16_teraflops if narrow is None else narrow

    @property
    def memory_bytes(self) -> Fraction:
        return positive(self.memory_gigabytes, "memory_gigabytes") * BYTES_PER_GIGABYTE_OF_MEMORY


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A model's size. Of a mixture of experts a token computes `active_parameters` and `total_parameters` are held.

    kv_bytes_per_token: what keys and values of one token take over all layers: 2 x layers x key-value heads x head
        dimension x bytes. None: nobody has said.
    """

    active_parameters: Exact
    total_parameters: Exact
    bytes_per_parameter: Exact = _BYTES_OF_BF16
    kv_bytes_per_token: Exact | None = None

    def __post_init__(self) -> None:
        positive(self.bytes_per_parameter, "bytes_per_parameter")
        if self.kv_bytes_per_token is not None:
            positive(self.kv_bytes_per_token, "kv_bytes_per_token")
        if positive(self.active_parameters, "active_parameters") > positive(self.total_parameters, "total_parameters"):
            raise ValueError(
                f"active_parameters is {self.active_parameters} and total_parameters {self.total_parameters}: "
                "what a token computes is a part of what is held."
            )

    @property
    def weight_bytes(self) -> Fraction:
        return Fraction(self.total_parameters) * Fraction(self.bytes_per_parameter)

    @property
    def active_weight_bytes(self) -> Fraction:
        """What every step of decoding reads at least."""
        return Fraction(self.active_parameters) * Fraction(self.bytes_per_parameter)

    @property
    def weight_gigabytes(self) -> Decimal:
        """What the weights alone take, in 10^9 bytes."""
        return to_decimal(self.weight_bytes / _GIGA)


@dataclass(frozen=True, kw_only=True)
class Requests:
    """What is known of the requests of one replica. None: nobody has said.

    context_tokens: how many tokens of its own (not shared with others) a request holds in the cache while its answer is
        written, on the mean over the tokens that are written: its own prompt and half of the answer.
    at_once: the most requests it works on at once; None: as many as its memory holds.
    tokens_per_step: tokens that one step writes for a request; above 1 only with speculative decoding.
    """

    context_tokens: Exact | None = None
    at_once: Exact | None = None
    tokens_per_step: Exact = 1

    def __post_init__(self) -> None:
        for name in ("context_tokens", "at_once", "tokens_per_step"):
            value = getattr(self, name)
            if value is not None:
                positive(value, name)


UNKNOWN_REQUESTS = Requests()


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """The ceilings of one replica at a mix, in tokens per second of all classes together, unrounded.

    compute: None where nothing of the mix is computed (all of it read from a cache): no bound is known.
    bandwidth: None where nothing is written, or neither the requests at once nor their cache are known: however much a
        step reads, it could be shared by any number of requests.
    computed_share, written_share: of the tokens, those that are computed and those that are written.
    read_bytes: what each written token reads at least; 0 where nothing bounds it.
    weight_bytes, cache_bytes, memory_bytes: what it holds, for `at_once` requests or else for one, and what there is.
    """

    compute: Fraction | None
    bandwidth: Fraction | None
    computed_share: Fraction
    written_share: Fraction
    read_bytes: Fraction
    weight_bytes: Fraction
    cache_bytes: Fraction
    memory_bytes: Fraction

    @property
    def tokens_per_second(self) -> Decimal | None:
        """The lower one of what is known."""
        known = [bound for bound in (self.compute, self.bandwidth) if bound is not None]
        return to_decimal(min(known)) if known else None

    @property
    def is_fitting(self) -> bool:
        """Whether weights and cache fit into its GPUs' memory: a replica that they do not fit into serves nothing."""
        return self.weight_bytes + self.cache_bytes <= self.memory_bytes


def replica_roofline(
    *,
    gpu: GpuType,
    gpus_per_replica: int,
    model: ServedModel,
    mix: Mapping[str, Exact],
    requests: Requests = UNKNOWN_REQUESTS,
) -> Roofline:
    """Two bounds of a mix (tokens or shares by class), and whether the model fits.

    compute: GPUs x operations/s / (2 x active parameters x the share of tokens that is computed).
    bandwidth: GPUs x bytes/s / (the share that is written x (active weight bytes / B + context x cache bytes a token)),
        since a step reads the active weights once for the B requests in it and the own cache of each. B is `at_once`,
        or what fits beside the weights. `tokens_per_step` tokens share a reading.

    Attention, communication, prefill and the SLO only lower what is reached. Raises ValueError for an empty mix or a
    number out of its range. Source: economics.md 0, finding 5.
    """
    gpus = positive(gpus_per_replica, "gpus_per_replica")
    shares = {name: not_negative(share, f"share of {name}") for name, share in mix.items()}
    total = sum(shares.values(), Fraction(0))
    if total == 0:
        raise ValueError(f"The mix {dict(mix)} holds no tokens: pass the classes that the traffic is made of.")
    computed = sum((share for name, share in shares.items() if name not in _CACHED_CLASSES), Fraction(0)) / total
    operations = gpus * Fraction(gpu.teraops(model.bytes_per_parameter)) * _TERA
    memory = gpus * gpu.memory_bytes
    read = _bytes_read_per_token(model, requests, room=memory - model.weight_bytes)
    written = shares.get(_WRITTEN, Fraction(0)) / total
    bandwidth = gpus * positive(gpu.memory_terabytes_per_second, "memory_terabytes_per_second") * _TERA
    return Roofline(
        compute=None
        if computed == 0
        else operations / (FLOP_PER_PARAMETER_AND_TOKEN * Fraction(model.active_parameters) * computed),
        bandwidth=None if not written or not read else bandwidth / (written * read),
        computed_share=computed,
        written_share=written,
        read_bytes=read,
        weight_bytes=model.weight_bytes,
        cache_bytes=(_cache_bytes_of_a_request(model, requests) or Fraction(0)) * Fraction(requests.at_once or 1),
        memory_bytes=memory,
    )


def gpus_that_hold(*, gpu: GpuType, model: ServedModel, requests: Requests = UNKNOWN_REQUESTS) -> int:
    """The fewest GPUs whose memory holds the weights and the cache of `at_once` requests, or else of one."""
    cache = (_cache_bytes_of_a_request(model, requests) or Fraction(0)) * Fraction(requests.at_once or 1)
    return math.ceil((model.weight_bytes + cache) / gpu.memory_bytes)


def _cache_bytes_of_a_request(model: ServedModel, requests: Requests) -> Fraction | None:
    if model.kv_bytes_per_token is None or requests.context_tokens is None:
        return None
    return Fraction(model.kv_bytes_per_token) * Fraction(requests.context_tokens)


def _bytes_read_per_token(model: ServedModel, requests: Requests, *, room: Fraction) -> Fraction:
    """At least so many bytes are read for each token that is written; 0 where nothing bounds it.

    `room`: bytes beside the weights. What is held at once is at most that, so at most room / cache requests share a
    step, exactly, whatever the lengths are: summed over steps, cache held <= steps x room.
    """
    cache = _cache_bytes_of_a_request(model, requests)
    held = [] if requests.at_once is None else [Fraction(requests.at_once)]
    if cache is not None and room > 0:
        held.append(room / cache)
    weights = model.active_weight_bytes / min(held) if held else Fraction(0)
    return (weights + (cache or 0)) / Fraction(requests.tokens_per_step)
