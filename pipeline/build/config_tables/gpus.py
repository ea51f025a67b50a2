"""What is declared of GPUs that are paid for: resources, pools, and blocks that were bought ahead."""

from collections.abc import Iterator

import polars as pl

from pipeline.build.config_tables.columns import MONEY, VALID
from pipeline.build.config_tables.table import ConfigTable, Row
from pipeline.config.whole import Config

CAPACITY_BLOCKS: dict[str, pl.DataType] = {
    "account": pl.String(),
    "reservation_id": pl.String(),
    "invoice_id": pl.String(),
    "block_start_at": pl.Datetime("us"),
    "block_end_at": pl.Datetime("us"),
}


def capacity_blocks(config: Config) -> Iterator[Row]:
    """As they are declared now: what was bought lasts as long as it does, whenever somebody wrote it down."""
    for block in config.capacity_blocks:
        yield {
            "account": block.account,
            "reservation_id": block.reservation,
            "invoice_id": block.invoice,
            "block_start_at": block.starts_at.replace(tzinfo=None),
            "block_end_at": block.ends_at.replace(tzinfo=None),
        }


def _gpu_resources(config: Config) -> Iterator[Row]:
    for resource in config.gpu_resources:
        yield {
            "issuer": resource.issuer,
            "resource_id": resource.resource_id,
            "host": resource.host,
            "gpu_count": resource.gpu_count,
            "contract_rate_per_gpu_hour": resource.contract_rate_per_gpu_hour,
            "currency": resource.currency,
            "committed_until_date": resource.committed_until,
            "scope": resource.scope,
            "valid_from_date": resource.valid_from,
            "valid_to_date": resource.valid_to,
        }


def _gpu_pool_hosts(config: Config) -> Iterator[Row]:
    for resource in config.gpu_resources:
        for host in resource.pool:
            yield {
                "issuer": resource.issuer,
                "resource_id": resource.resource_id,
                "host": host,
                "valid_from_date": resource.valid_from,
                "valid_to_date": resource.valid_to,
            }


GPU_RESOURCES = ConfigTable(
    "config_gpu_resources",
    _gpu_resources,
    {
        "issuer": pl.String(),
        "resource_id": pl.String(),
        "host": pl.String(),
        "gpu_count": pl.Int64(),
        "contract_rate_per_gpu_hour": MONEY,
        "currency": pl.String(),
        "committed_until_date": pl.Date(),
        "scope": pl.String(),
        **VALID,
    },
    owner=("issuer", "resource_id"),
)

GPU_POOL_HOSTS = ConfigTable(
    "config_gpu_pool_hosts",
    _gpu_pool_hosts,
    {
        "issuer": pl.String(),
        "resource_id": pl.String(),
        "host": pl.String(),
        **VALID,
    },
    owner=("issuer", "resource_id"),
    further=("host",),
)

TABLES = (GPU_RESOURCES, GPU_POOL_HOSTS)
