"""Services that are paid by use: which charges and which tokens are theirs."""

from collections.abc import Iterator

import polars as pl

from pipeline.build.config_tables.columns import VALID
from pipeline.build.config_tables.table import ConfigTable, Row, days_of
from pipeline.config.whole import Config


def _per_use(config: Config) -> Iterator[Row]:
    for one in config.per_use:
        yield {"per_use_service": one.service, "model": one.model, **days_of(one)}


def _per_use_charges(config: Config) -> Iterator[Row]:
    for one in config.per_use:
        for charges in one.charges:
            yield {
                "per_use_service": one.service,
                "account": charges.account,
                "resource_id": charges.resource_id,
                "service": charges.service,
                "sku": charges.sku,
                "sub_account_id": charges.sub_account,
                **days_of(one),
            }


def _per_use_tokens(config: Config) -> Iterator[Row]:
    for one in config.per_use:
        for tokens in one.tokens:
            yield {
                "per_use_service": one.service,
                "gateway_account": tokens.gateway,
                "provider": tokens.provider,
                "raw_model": tokens.model,
                **days_of(one),
            }


PER_USE = ConfigTable(
    "config_per_use",
    _per_use,
    {"per_use_service": pl.String(), "model": pl.String(), **VALID},
    owner=("per_use_service",),
)

PER_USE_CHARGES = ConfigTable(
    "config_per_use_charges",
    _per_use_charges,
    {
        "per_use_service": pl.String(),
        "account": pl.String(),
        "resource_id": pl.String(),
        "service": pl.String(),
        "sku": pl.String(),
        "sub_account_id": pl.String(),
        **VALID,
    },
    owner=("per_use_service",),
    further=("account", "resource_id", "service", "sku", "sub_account_id"),
)

PER_USE_TOKENS = ConfigTable(
    "config_per_use_tokens",
    _per_use_tokens,
    {
        "per_use_service": pl.String(),
        "gateway_account": pl.String(),
        "provider": pl.String(),
        "raw_model": pl.String(),
        **VALID,
    },
    owner=("per_use_service",),
    further=("gateway_account", "provider", "raw_model"),
)

TABLES = (PER_USE, PER_USE_CHARGES, PER_USE_TOKENS)
