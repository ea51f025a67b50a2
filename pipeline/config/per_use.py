"""LLMs on workers that are billed while they work."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from pipeline.config.values import Day, Name, Section, one_or_more


class PerUseCharges(Section):
    """Which lines of a bill are of a service that is billed by use. All named fields must match; `account` is that of
    the bill's source, the others are its own columns (of an invoice by lines only `resource_id`).
    """

    account: Name
    resource_id: str | None = Field(default=None, min_length=1, max_length=200)
    service: str | None = Field(default=None, min_length=1, max_length=200)
    sku: str | None = Field(default=None, min_length=1, max_length=200)
    sub_account: str | None = Field(default=None, min_length=1, max_length=200)


class PerUseTokens(Section):
    """Whose requests in a gateway's log (`litellm_spend_logs`, or an endpoint's own in that form) it served: the log's
    account, and the model as the log names it, less a provider before it.
    """

    gateway: Name
    model: str = Field(min_length=1, max_length=200)
    provider: str | None = Field(default=None, min_length=1, max_length=200)


class PerUse(Section):
    """An LLM on workers that are billed while they work: serverless GPUs, an endpoint by the worker-second. It is no
    rented GPU: it has no idle hours. Valid [from, to).
    """

    service: Name
    model: str = Field(min_length=1, max_length=200)
    charges: Annotated[
        tuple[PerUseCharges, ...],
        Field(min_length=1),
        BeforeValidator(one_or_more, json_schema_input_type=PerUseCharges | tuple[PerUseCharges, ...]),
    ]
    tokens: Annotated[
        tuple[PerUseTokens, ...],
        BeforeValidator(one_or_more, json_schema_input_type=PerUseTokens | tuple[PerUseTokens, ...]),
    ] = ()
    valid_from: Day | None = Field(default=None, alias="from")
    valid_to: Day | None = Field(default=None, alias="to")
