"""Money that no bill says: overheads, contracts and their rates, budgets."""

from collections.abc import Iterator

import polars as pl

from pipeline.build.config_tables.columns import MONEY, VALID
from pipeline.build.config_tables.table import ConfigTable, Row
from pipeline.config.whole import Config


def _overheads(config: Config) -> Iterator[Row]:
    for overhead in config.overheads:
        yield {
            "item": overhead.item,
            "monthly_cost": overhead.monthly,
            "currency": overhead.currency,
            "deployment_id": overhead.deployment,
        }


def _contracts(config: Config) -> Iterator[Row]:
    for contract in config.contracts:
        yield {
            "provider": contract.provider,
            "account": contract.account,
            "discount_ratio": contract.discount,
            "commitment_cost": contract.commitment,
            "commitment_period": contract.per,
            "minimum_monthly_cost": contract.minimum_monthly,
            "agreed_from_date": contract.valid_from,
            "currency": contract.currency,
            "valid_from_date": contract.valid_from,
            "valid_to_date": contract.valid_to,
        }


def _contract_rates(config: Config) -> Iterator[Row]:
    for contract in config.contracts:
        for rate in contract.rates:
            yield {
                "provider": contract.provider,
                "account": contract.account,
                "model": rate.model,
                "token_class": rate.token_class,
                "mode": rate.mode,
                "context_window": rate.context_window,
                "region": rate.region,
                "cost_per_mtok": rate.per_mtok,
                "currency": contract.currency,
                "valid_from_date": contract.valid_from,
                "valid_to_date": contract.valid_to,
            }


def _budgets(config: Config) -> Iterator[Row]:
    for budget in config.budgets:
        scope, name = budget.scope
        yield {
            "scope": scope,
            "scope_name": name,
            "monthly_cost": budget.monthly,
            "currency": budget.currency,
            "valid_from_date": budget.valid_from,
            "valid_to_date": budget.valid_to,
        }


OVERHEADS = ConfigTable(
    "config_overheads",
    _overheads,
    {
        "item": pl.String(),
        "monthly_cost": MONEY,
        "currency": pl.String(),
        "deployment_id": pl.String(),
        **VALID,
    },
)

CONTRACTS = ConfigTable(
    "config_contracts",
    _contracts,
    {
        "provider": pl.String(),
        "account": pl.String(),
        "discount_ratio": MONEY,
        "commitment_cost": MONEY,
        "commitment_period": pl.String(),
        "minimum_monthly_cost": MONEY,
        "agreed_from_date": pl.Date(),
        "currency": pl.String(),
        **VALID,
    },
    owner=("provider", "account"),
)

CONTRACT_RATES = ConfigTable(
    "config_contract_rates",
    _contract_rates,
    {
        "provider": pl.String(),
        "account": pl.String(),
        "model": pl.String(),
        "token_class": pl.String(),
        "mode": pl.String(),
        "context_window": pl.String(),
        "region": pl.String(),
        "cost_per_mtok": MONEY,
        "currency": pl.String(),
        **VALID,
    },
    owner=("provider", "account"),
    further=("model", "token_class", "mode", "context_window", "region"),
)

BUDGETS = ConfigTable(
    "config_budgets",
    _budgets,
    {
        "scope": pl.String(),
        "scope_name": pl.String(),
        "monthly_cost": MONEY,
        "currency": pl.String(),
        **VALID,
    },
    owner=("scope", "scope_name"),
)

TABLES = (OVERHEADS, CONTRACTS, CONTRACT_RATES, BUDGETS)
