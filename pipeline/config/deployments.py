"""Deployments: what serves which LLM, on what, and how much of it."""

from decimal import Decimal
from typing import Literal

from pydantic import Field

from pipeline.config.values import Day, Money, Name, Names, Section

# How much of a replica-hour may be filled where nobody declared it and nothing was measured: assumed, and called so.
ASSUMED_PEAK_ALLOWANCE = Decimal("0.85")


class Capacity(Section):
    """Tokens per second one replica sustains within its SLO. Declared with a date and a source, or not at all.

    `tokens_per_second` is of all classes together, at the mix it was measured at. By class is better known, and counts.
    `peak_allowance` is the share of an hour that may be filled so that peaks inside it fit.
    """

    tokens_per_second: Money | None = Field(default=None, gt=0)
    prefill_tokens_per_second: Money | None = Field(default=None, gt=0)
    cached_tokens_per_second: Money | None = Field(default=None, gt=0)
    decode_tokens_per_second: Money | None = Field(default=None, gt=0)
    measured_on: Day
    source: str
    peak_allowance: Money | None = Field(default=None, gt=0, le=1)


class Served(Section):
    """What hardware and model a replica is of: with it, what is impossible is refused. What is left out bounds nothing.

    `kv_bytes_per_token` is 2 x layers x key-value heads x head dimension x bytes; `context_tokens` what a request holds
    of its own while its answer is written (its prompt, less what it shares, and half of the answer).
    """

    gpu: str | None = None
    parameters_billions: Money | None = Field(default=None, gt=0)
    active_parameters_billions: Money | None = Field(default=None, gt=0)
    bytes_per_parameter: Money = Field(default=Decimal(2), gt=0, le=4)
    kv_bytes_per_token: Money | None = Field(default=None, gt=0)
    context_tokens: Money | None = Field(default=None, gt=0)
    requests_at_once: int | None = Field(default=None, ge=1, le=10**6)
    tokens_per_step: Money = Field(default=Decimal(1), ge=1, le=64)


class TokenCosts(Section):
    """How one bill is split over token classes. `gpu_seconds`: as long as each takes, fitted to own saturated hours."""

    split: Literal["gpu_seconds", "api_prices", "fixed_ratio", "token_count"] = "gpu_seconds"
    api_model: str | None = None
    input_uncached: Money | None = Field(default=None, ge=0)
    input_cache_read: Money | None = Field(default=None, ge=0)
    output: Money | None = Field(default=None, ge=0)


class Rent(Section):
    """How a deployment's GPUs could be rented otherwise than they are billed: by the hour, bound for the whole time,
    started and stopped. `start_cost` is of one replica, beyond its rent while it warms up.
    """

    on_demand_gpu_hour: Money = Field(ge=0)
    reserved_gpu_hour: Money | None = Field(default=None, ge=0)
    warm_up_minutes: int | None = Field(default=None, ge=0, le=60)
    start_cost: Money = Field(default=Decimal(0), ge=0)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")


class Deployment(Served):
    """One LLM served on a set of GPUs. A replica is `gpus_per_replica` of them serving one copy.

    `prefill`, `decode`: of a disaggregated one, which engines compute prompts and which generate, by their host, their
    address or what made their pods; where nobody says, their own labels or their counters do. `adapters`: the names
    under which a gateway asks it for its tuned models, beside its own.
    """

    deployment: Name
    model: str
    served_names: Names = ()
    hosts: Names = ()
    prefill: Names = ()
    decode: Names = ()
    adapters: Names = ()
    gpus_per_replica: int = Field(ge=1, le=1024)
    capacity: Capacity | None = None
    minimum_replicas: int = Field(default=1, ge=0, le=1024)
    spare_replicas: int = Field(default=0, ge=0, le=1024)
    token_costs: TokenCosts = TokenCosts()
    rent: Rent | None = None
    valid_from: Day | None = Field(default=None, alias="from")
