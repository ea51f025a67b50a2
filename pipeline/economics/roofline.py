"""What a GPU cannot exceed, whoever serves on it: the ceiling beside which a claimed throughput is read.

A roofline is a bound, never a throughput: own hardware stays below it, mostly far below. Source: economics.md 0,
finding 5 (a published throughput stood 8.7x above it); Williams, Waterman and Patterson, "Roofline", CACM 52(4), 2009.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from pipeline.economics.exact import Exact, not_negative, positive, to_decimal

# A weight is multiplied and added once for each token that is computed.
FLOP_PER_PARAMETER_AND_TOKEN = 2
_BYTES_OF_BF16 = 2
_TERA, _GIGA = 10**12, 10**9
# Tokens whose keys and values lie in a cache are read, not computed.
_CACHED_CLASSES = frozenset({"input_cache_read"})


@dataclass(frozen=True, kw_only=True)
class GpuType:
    """What one GPU's maker states of it, dense (without structured sparsity), and where that was read on which day."""

    gpu_type: str
    bf16_teraflops: Exact
    fp8_teraflops: Exact | None
    memory_terabytes_per_second: Exact
    memory_gigabytes: Exact
    source: str
    read_on: date

    def teraflops(self, bytes_per_parameter: Exact) -> Exact:
        """The fastest arithmetic for weights of so many bytes: fp8 for one byte or less where the GPU has it."""
        if Fraction(bytes_per_parameter) >= _BYTES_OF_BF16 or self.fp8_teraflops is None:
            return self.bf16_teraflops
        return self.fp8_teraflops


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A model's size. Of a mixture of experts a token computes `active_parameters` and `total_parameters` are held."""

    active_parameters: Exact
    total_parameters: Exact
    bytes_per_parameter: Exact = _BYTES_OF_BF16

    def __post_init__(self) -> None:
        positive(self.bytes_per_parameter, "bytes_per_parameter")
        if positive(self.active_parameters, "active_parameters") > positive(self.total_parameters, "total_parameters"):
            raise ValueError(
                f"active_parameters is {self.active_parameters} and total_parameters {self.total_parameters}: "
                "what a token computes is a part of what is held."
            )

    @property
    def weight_gigabytes(self) -> Decimal:
        """What the weights alone take."""
        return to_decimal(Fraction(self.total_parameters) * Fraction(self.bytes_per_parameter) / _GIGA)


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """The ceiling of one replica at a mix, in tokens per second of all classes together.

    tokens_per_second: None where nothing of the mix is computed (all of it read from a cache): no bound is known.
    is_fitting: whether the weights fit into the memory of the replica's GPUs; a replica that they do not fit into
        serves nothing.
    """

    tokens_per_second: Decimal | None
    weight_gigabytes: Decimal
    memory_gigabytes: Decimal
    is_fitting: bool


def compute_roofline(*, gpu: GpuType, gpus_per_replica: int, model: ServedModel, mix: Mapping[str, Exact]) -> Roofline:
    """The compute bound of a mix: GPUs x FLOP/s / (2 x active parameters x the share of tokens that is computed).

    `mix` is tokens or shares by class. Attention, communication and the SLO only lower what is reached. Raises
    ValueError for an empty mix or a number out of its range. Source: economics.md 0, finding 5.
    """
    gpus = positive(gpus_per_replica, "gpus_per_replica")
    shares = {name: not_negative(share, f"share of {name}") for name, share in mix.items()}
    total = sum(shares.values(), Fraction(0))
    if total == 0:
        raise ValueError(f"The mix {dict(mix)} holds no tokens: pass the classes that the traffic is made of.")
    computed = sum((share for name, share in shares.items() if name not in _CACHED_CLASSES), Fraction(0)) / total
    flops = gpus * Fraction(gpu.teraflops(model.bytes_per_parameter)) * _TERA
    per_token = FLOP_PER_PARAMETER_AND_TOKEN * Fraction(model.active_parameters) * computed
    memory = gpus * positive(gpu.memory_gigabytes, "memory_gigabytes")
    return Roofline(
        tokens_per_second=None if computed == 0 else to_decimal(flops / per_token),
        weight_gigabytes=model.weight_gigabytes,
        memory_gigabytes=to_decimal(memory),
        is_fitting=Fraction(model.weight_gigabytes) <= memory,
    )


def single_stream_tokens_per_second(*, gpu: GpuType, gpus_per_replica: int, model: ServedModel) -> Decimal:
    """The bandwidth bound of one request alone: every token it writes reads the active weights once.

    What a request sees at best, not what a server does: many requests share each reading. Source: as above.
    """
    bandwidth = positive(gpus_per_replica, "gpus_per_replica") * Fraction(gpu.memory_terabytes_per_second) * _TERA
    return to_decimal(bandwidth / (Fraction(model.active_parameters) * Fraction(model.bytes_per_parameter)))
