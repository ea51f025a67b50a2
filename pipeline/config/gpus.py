"""GPUs that are paid for, and what was agreed about them."""

from typing import Literal

from pydantic import Field

from pipeline.config.values import Day, Instant, InvoiceNumber, Money, Name, Names, Section


class GpuResource(Section):
    """A billed resource (instance, node, owned machine) and what was agreed about it, valid [from, to).

    `committed_until`: the first day on which it could be given back; until then it is paid for, used or not.
    `pool`: the hosts of one that is billed for several; a GPU on one of them that nothing else tells is its own.
    `scope`: `training` where it is there to train models: what of its time no engine has is training, and no waste.
    """

    issuer: Name
    resource_id: str = Field(min_length=1, max_length=200)
    host: str | None = None
    pool: Names = ()
    gpu_count: int = Field(ge=1, le=1024)
    contract_rate_per_gpu_hour: Money | None = Field(default=None, ge=0)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    committed_until: Day | None = None
    scope: Literal["serving", "training"] = "serving"
    valid_from: Day = Field(alias="from")
    valid_to: Day | None = Field(default=None, alias="to")


class CapacityBlock(Section):
    """A capacity block of AWS's that was paid in advance, and when it lasts [from, to): the line of its fee says not.

    The fee is found by `reservation` (the id of the capacity reservation, or its ARN), by the `invoice` that it alone
    is on, or by both where one reservation has several fees.
    """

    account: Name
    reservation: str | None = Field(default=None, min_length=1, max_length=200)
    invoice: InvoiceNumber | None = None
    starts_at: Instant = Field(alias="from")
    ends_at: Instant = Field(alias="to")

    @property
    def named(self) -> str:
        """How a person names it."""
        said = (self.reservation, None if self.invoice is None else f"invoice {self.invoice}")
        return ", ".join(part for part in said if part is not None)
