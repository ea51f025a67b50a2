"""What is declared of workloads: what is theirs of the traffic, who may serve it, and what else could."""

from collections.abc import Iterator

import polars as pl

from pipeline.build.config_tables.columns import CANDIDATE_COLUMNS, MONEY, VALID
from pipeline.build.config_tables.deployments import peak_allowance, served_row
from pipeline.build.config_tables.table import ConfigTable, Row
from pipeline.config.whole import Config


def _workloads(config: Config) -> Iterator[Row]:
    for workload in config.workloads:
        yield {
            "workload": workload.workload,
            "team": workload.team,
            "deployment_id": workload.deployment,
            "api_model": workload.api_model,
            "comparator_model": config.comparator,
            "sampled_week_from_date": config.demand.sampled_week,
            "pinned_to": workload.pinned_to,
            "pin_reason": workload.pin_reason,
            "migration_one_off_cost": workload.migration and workload.migration.one_off,
            "migration_payback_months": workload.migration and workload.migration.payback_months,
            "may_wait_hours": workload.may_wait_hours,
            "movable_share_ratio": workload.movable_share,
            "tokens_per_api_token": workload.tokens_per_api_token,
        }


def _candidates(config: Config) -> Iterator[Row]:
    for workload in config.workloads:
        candidate = workload.candidate
        if candidate is None:
            continue
        yield {
            "workload": workload.workload,
            **served_row(candidate),
            "gpus_per_replica": candidate.gpus_per_replica,
            "gpu_hour_rate": candidate.gpu_hour,
            "tokens_per_second": candidate.tokens_per_second,
            "tokens_per_api_token": candidate.tokens_per_api_token,
            "engineering_hours_per_month": candidate.engineering_hours_per_month,
            "engineering_hour_rate": candidate.engineering_hour,
            "peak_allowance": peak_allowance(candidate.peak_allowance),
            "currency": candidate.currency,
        }


def _workload_rules(config: Config) -> Iterator[Row]:
    for workload in config.workloads:
        for number, match in enumerate(workload.match, start=1):
            yield {
                "rule_id": f"{workload.workload}#{number}",
                "workload": workload.workload,
                "provider": match.provider,
                "account": match.account,
                "sub_account": match.sub_account,
                "api_key": match.api_key,
                "gateway_key": match.gateway_key,
                "gateway_team": match.gateway_team,
                "model": match.model,
                "served_name": match.served_name,
                "deployment_id": match.deployment,
            }


WORKLOADS = ConfigTable(
    "config_workloads",
    _workloads,
    {
        "workload": pl.String(),
        "team": pl.String(),
        "deployment_id": pl.String(),
        "api_model": pl.String(),
        "comparator_model": pl.String(),
        "sampled_week_from_date": pl.Date(),
        "pinned_to": pl.String(),
        "pin_reason": pl.String(),
        "migration_one_off_cost": MONEY,
        "migration_payback_months": pl.Int64(),
        "may_wait_hours": pl.Int64(),
        "movable_share_ratio": MONEY,
        "tokens_per_api_token": MONEY,
        **VALID,
    },
)

CANDIDATES = ConfigTable(
    "config_candidates",
    _candidates,
    CANDIDATE_COLUMNS,
)

WORKLOAD_RULES = ConfigTable(
    "config_workload_rules",
    _workload_rules,
    {
        "rule_id": pl.String(),
        "workload": pl.String(),
        "provider": pl.String(),
        "account": pl.String(),
        "sub_account": pl.String(),
        "api_key": pl.String(),
        "gateway_key": pl.String(),
        "gateway_team": pl.String(),
        "model": pl.String(),
        "served_name": pl.String(),
        "deployment_id": pl.String(),
        **VALID,
    },
)

TABLES = (WORKLOADS, CANDIDATES, WORKLOAD_RULES)
