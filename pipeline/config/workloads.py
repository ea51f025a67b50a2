"""Workloads: traffic that either lane could serve."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pipeline.config.deployments import Served
from pipeline.config.values import Day, Money, Name, Section, one_or_more


class WorkloadMatch(Section):
    """All named fields must match. A field left out matches anything. `workspace` and `project` are one vendor's or the
    other's word for the same thing: a rule names one of them. `gateway_key` and `gateway_team` are a gateway's own: the
    traffic that the other fields match is split by the gateway's count of each.
    """

    provider: str | None = None
    account: str | None = None
    workspace: str | None = None
    project: str | None = None
    api_key: str | None = None
    gateway_key: str | None = None
    gateway_team: str | None = None
    model: str | None = None
    served_name: str | None = None
    deployment: str | None = None

    @property
    def sub_account(self) -> str | None:
        """The vendor's own division of the account that must match (FOCUS: SubAccountId)."""
        return self.project if self.workspace is None else self.workspace


class Candidate(Served):
    """A deployment that does not exist yet: whatever is known of it. What is left out is solved for."""

    gpus_per_replica: int | None = Field(default=None, ge=1, le=1024)
    gpu_hour: Money | None = Field(default=None, ge=0)
    tokens_per_second: Money | None = Field(default=None, gt=0)
    tokens_per_api_token: Money | None = Field(default=None, gt=0)
    engineering_hours_per_month: Money | None = Field(default=None, ge=0)
    engineering_hour: Money | None = Field(default=None, ge=0)
    peak_allowance: Money | None = Field(default=None, gt=0, le=1)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")


class Migration(Section):
    """What moving a workload costs once, in the reporting currency, and within how many months that has to be paid back
    for a move to be sure enough.
    """

    one_off: Money = Field(gt=0)
    payback_months: int = Field(ge=1, le=120)


Rules = Annotated[tuple[WorkloadMatch, ...], Field(min_length=1)]


class Workload(Section):
    """Traffic that either lane could serve: what a decision is about.

    `movable_share`: how much of it own GPUs could serve well enough; `tokens_per_api_token`: how many tokens they need
    for one of the API's, for the same task. A verdict takes all of it, token for token; with these it is decided once
    more, where it is on an API alone: of tokens that own GPUs served neither is known, and no verdict sure.
    """

    workload: Name
    team: str | None = None
    match: Annotated[Rules, BeforeValidator(one_or_more, json_schema_input_type=WorkloadMatch | Rules)]
    deployment: Name | None = None
    candidate: Candidate | None = None
    api_model: str | None = None
    pinned_to: Literal["api", "self_host"] | None = None
    pin_reason: str | None = None
    migration: Migration | None = None
    movable_share: Money | None = Field(default=None, gt=0, le=1)
    tokens_per_api_token: Money | None = Field(default=None, gt=0)
    # Whole hours after the one in which a request came, until which it may be served; a batch of the APIs has 24.
    may_wait_hours: int | None = Field(default=None, ge=1, le=168)


class Demand(Section):
    """`sampled_week`: the Monday of the week whose minutes say how high demand rises inside the hour, once it is over.

    Left out, it is the newest whole week: name one where the newest is no ordinary one, or where one alone was read
    every half minute or finer.
    """

    sampled_week: Day | None = None
