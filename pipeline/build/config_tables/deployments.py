"""What is declared of deployments: what they serve, where, under which names, and what more GPUs would rent for."""

from collections.abc import Iterator
from decimal import Decimal

import polars as pl

from pipeline.build.config_tables.columns import DEPLOYMENT_COLUMNS, MONEY, VALID
from pipeline.build.config_tables.table import ConfigTable, Row
from pipeline.config.deployments import ASSUMED_PEAK_ALLOWANCE, Deployment
from pipeline.config.whole import Config
from pipeline.config.workloads import Candidate


def served_row(said: Deployment | Candidate) -> Row:
    """Hardware and model of a replica."""
    return {
        "gpu_type": said.gpu,
        "parameters_billions": said.parameters_billions,
        "active_parameters_billions": said.active_parameters_billions,
        "bytes_per_parameter": said.bytes_per_parameter,
        "kv_bytes_per_token": said.kv_bytes_per_token,
        "context_tokens": said.context_tokens,
        "requests_at_once_count": said.requests_at_once,
        "tokens_per_step": said.tokens_per_step,
    }


def peak_allowance(declared: Decimal | None) -> Decimal:
    """The one declared, else the one assumed."""
    return ASSUMED_PEAK_ALLOWANCE if declared is None else declared


def _deployments(config: Config) -> Iterator[Row]:
    for deployment in config.deployments:
        capacity = deployment.capacity
        yield {
            "deployment_id": deployment.deployment,
            "model": deployment.model,
            "gpus_per_replica": deployment.gpus_per_replica,
            "minimum_replicas": deployment.minimum_replicas,
            "spare_replicas": deployment.spare_replicas,
            "tokens_per_second": capacity and capacity.tokens_per_second,
            "prefill_tokens_per_second": capacity and capacity.prefill_tokens_per_second,
            "cached_tokens_per_second": capacity and capacity.cached_tokens_per_second,
            "decode_tokens_per_second": capacity and capacity.decode_tokens_per_second,
            "peak_allowance": capacity and peak_allowance(capacity.peak_allowance),
            "is_peak_allowance_declared": None if capacity is None else capacity.peak_allowance is not None,
            "measured_on": capacity and capacity.measured_on,
            "capacity_source": capacity and capacity.source,
            **served_row(deployment),
            "token_cost_split": deployment.token_costs.split,
            "token_cost_api_model": deployment.token_costs.api_model,
            "input_uncached_weight_ratio": deployment.token_costs.input_uncached,
            "input_cache_read_weight_ratio": deployment.token_costs.input_cache_read,
            "output_weight_ratio": deployment.token_costs.output,
            "valid_from_date": deployment.valid_from,
        }


def _rents(config: Config) -> Iterator[Row]:
    for deployment in config.deployments:
        if deployment.rent is not None:
            yield {
                "deployment_id": deployment.deployment,
                "on_demand_gpu_hour_rate": deployment.rent.on_demand_gpu_hour,
                "reserved_gpu_hour_rate": deployment.rent.reserved_gpu_hour,
                "warm_up_minutes": deployment.rent.warm_up_minutes,
                "start_cost": deployment.rent.start_cost,
                "currency": deployment.rent.currency,
                "valid_from_date": deployment.valid_from,
            }


def _deployment_hosts(config: Config) -> Iterator[Row]:
    for deployment in config.deployments:
        for host in deployment.hosts:
            yield {"deployment_id": deployment.deployment, "host": host, "valid_from_date": deployment.valid_from}


def _deployment_served_names(config: Config) -> Iterator[Row]:
    for deployment in config.deployments:
        for served_name in deployment.served_names:
            yield {
                "deployment_id": deployment.deployment,
                "served_name": served_name,
                "valid_from_date": deployment.valid_from,
            }


def _deployment_roles(config: Config) -> Iterator[Row]:
    for deployment in config.deployments:
        for engine_role, names in (("prefill", deployment.prefill), ("decode", deployment.decode)):
            for name in names:
                yield {
                    "deployment_id": deployment.deployment,
                    "engine_name": name,
                    "engine_role": engine_role,
                    "valid_from_date": deployment.valid_from,
                }


def _deployment_adapters(config: Config) -> Iterator[Row]:
    for deployment in config.deployments:
        for adapter in deployment.adapters:
            yield {
                "deployment_id": deployment.deployment,
                "adapter": adapter,
                "valid_from_date": deployment.valid_from,
            }


DEPLOYMENTS = ConfigTable(
    "config_deployments",
    _deployments,
    DEPLOYMENT_COLUMNS,
    owner=("deployment_id",),
)

RENTS = ConfigTable(
    "config_rents",
    _rents,
    {
        "deployment_id": pl.String(),
        "on_demand_gpu_hour_rate": MONEY,
        "reserved_gpu_hour_rate": MONEY,
        "warm_up_minutes": pl.Int64(),
        "start_cost": MONEY,
        "currency": pl.String(),
        **VALID,
    },
)

DEPLOYMENT_HOSTS = ConfigTable(
    "config_deployment_hosts",
    _deployment_hosts,
    {"deployment_id": pl.String(), "host": pl.String(), **VALID},
    owner=("deployment_id",),
    further=("host",),
)

DEPLOYMENT_SERVED_NAMES = ConfigTable(
    "config_deployment_served_names",
    _deployment_served_names,
    {"deployment_id": pl.String(), "served_name": pl.String(), **VALID},
    owner=("deployment_id",),
    further=("served_name",),
)

DEPLOYMENT_ROLES = ConfigTable(
    "config_deployment_roles",
    _deployment_roles,
    {
        "deployment_id": pl.String(),
        "engine_name": pl.String(),
        "engine_role": pl.String(),
        **VALID,
    },
    owner=("deployment_id",),
    further=("engine_name", "engine_role"),
)

DEPLOYMENT_ADAPTERS = ConfigTable(
    "config_deployment_adapters",
    _deployment_adapters,
    {"deployment_id": pl.String(), "adapter": pl.String(), **VALID},
    owner=("deployment_id",),
    further=("adapter",),
)

TABLES = (DEPLOYMENTS, RENTS, DEPLOYMENT_HOSTS, DEPLOYMENT_SERVED_NAMES, DEPLOYMENT_ROLES, DEPLOYMENT_ADAPTERS)
