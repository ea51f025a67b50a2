"""`breakeven.yaml` as dated tables: every version that was landed, each row valid from when it was said."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import polars as pl

from pipeline.config import Config
from pipeline.landing.dataset import Dataset
from pipeline.landing.project import CONFIG_EVENT
from pipeline.landing.records import Event

Row = dict[str, Any]
_MONEY = pl.Decimal(38, 18)
_VALID = {"valid_from_date": pl.Date(), "valid_to_date": pl.Date()}

SCHEMAS: dict[str, dict[str, pl.DataType]] = {
    "config_sources": {
        "source": pl.String(),
        "account": pl.String(),
        "dataset": pl.String(),
        "issuer": pl.String(),
        "role": pl.String(),
        "settle_lag_hours": pl.Int64(),
        "settles_days": pl.Boolean(),
        "currency": pl.String(),
    },
    "config_gpu_resources": {
        "issuer": pl.String(),
        "resource_id": pl.String(),
        "host": pl.String(),
        "gpu_count": pl.Int64(),
        "contract_rate_per_gpu_hour": _MONEY,
        "currency": pl.String(),
        **_VALID,
    },
    "config_deployments": {
        "deployment_id": pl.String(),
        "model": pl.String(),
        "gpus_per_replica": pl.Int64(),
        "minimum_replicas": pl.Int64(),
        "spare_replicas": pl.Int64(),
        "prefill_tokens_per_second": _MONEY,
        "cached_tokens_per_second": _MONEY,
        "decode_tokens_per_second": _MONEY,
        "peak_allowance": _MONEY,
        "measured_on": pl.Date(),
        "capacity_source": pl.String(),
        **_VALID,
    },
    "config_deployment_hosts": {"deployment_id": pl.String(), "host": pl.String(), **_VALID},
    "config_deployment_served_names": {"deployment_id": pl.String(), "served_name": pl.String(), **_VALID},
    "config_workloads": {
        "workload": pl.String(),
        "team": pl.String(),
        "deployment_id": pl.String(),
        "api_model": pl.String(),
        "pinned_to": pl.String(),
        "pin_reason": pl.String(),
        **_VALID,
    },
    "config_workload_rules": {
        "rule_id": pl.String(),
        "workload": pl.String(),
        "provider": pl.String(),
        "account": pl.String(),
        "sub_account": pl.String(),
        "api_key": pl.String(),
        "model": pl.String(),
        "served_name": pl.String(),
        "deployment_id": pl.String(),
        **_VALID,
    },
    "config_overheads": {
        "item": pl.String(),
        "monthly_cost": _MONEY,
        "currency": pl.String(),
        "deployment_id": pl.String(),
        **_VALID,
    },
    "config_company": {
        "company": pl.String(),
        "reporting_currency": pl.String(),
        "enter_ratio": _MONEY,
        "exit_ratio": _MONEY,
        "dwell_days": pl.Int64(),
        "cooldown_days": pl.Int64(),
        **_VALID,
    },
}


def config_versions(events: Iterable[Event]) -> list[tuple[datetime, Config]]:
    """Every configuration that was landed, oldest first."""
    return [(event.at, Config.model_validate(event.body["config"])) for event in events if event.kind == CONFIG_EVENT]


def config_frames(versions: Sequence[tuple[datetime, Config]], datasets: Iterable[Dataset]) -> dict[str, pl.DataFrame]:
    """One frame per config table. An undated edit applies from the day it landed; the first version from always."""
    datasets = tuple(datasets)
    rows: dict[str, list[Row]] = {name: [] for name in SCHEMAS}
    for name, extract in _EXTRACTS.items():
        rows[name] = _dated(versions, extract)
    if versions:
        rows["config_sources"] = list(_sources(versions[-1][1], datasets))
    return {name: pl.DataFrame(rows[name], schema=schema, orient="row") for name, schema in SCHEMAS.items()}


def _dated(versions: Sequence[tuple[datetime, Config]], extract: Callable[[Config], Iterator[Row]]) -> list[Row]:
    """Rows of each version with the interval in which that version spoke; equal neighbours are one row."""
    open_rows: dict[str, Row] = {}
    closed: list[Row] = []
    for position, (landed_at, config) in enumerate(versions):
        starts = landed_at.date() if position else None
        now = {repr(sorted(row.items(), key=lambda item: item[0])): row for row in extract(config)}
        for key in [key for key in open_rows if key not in now]:
            closed.append({**open_rows.pop(key), "_ends": starts})
        for key, row in now.items():
            open_rows.setdefault(key, {**row, "_starts": starts})
    every = [*closed, *open_rows.values()]
    return [valid for row in every if (valid := _valid(row)) is not None]


def _valid(row: Row) -> Row | None:
    """The row's own `from`/`to` cut by the days on which the configuration said so; None when nothing is left."""
    starts = [day for day in (row.pop("_starts", None), row.get("valid_from_date")) if day is not None]
    ends = [day for day in (row.pop("_ends", None), row.get("valid_to_date")) if day is not None]
    valid_from: date | None = max(starts) if starts else None
    # A row that carries its own `from` says since when it is so: it does not wait for the edit that said it.
    if row.get("valid_from_date") is not None:
        valid_from = row["valid_from_date"]
    valid_to: date | None = min(ends) if ends else None
    if valid_from is not None and valid_to is not None and valid_from >= valid_to:
        return None
    return {**row, "valid_from_date": valid_from, "valid_to_date": valid_to}


def _sources(config: Config, datasets: Sequence[Dataset]) -> Iterator[Row]:
    for source in config.sources:
        for dataset in datasets:
            if dataset.source != source.source:
                continue
            lag = source.settle_lag_hours
            yield {
                "source": source.source,
                "account": source.account,
                "dataset": dataset.name,
                "issuer": dataset.issuer or source.account,
                "role": source.role if dataset.measure in ("billed", "effective") else "metered",
                "settle_lag_hours": int(dataset.settle_lag.total_seconds() // 3600) if lag is None else lag,
                "settles_days": dataset.bucket == "utc_day",
                "currency": source.settings.get("currency"),
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
            "valid_from_date": resource.valid_from,
            "valid_to_date": resource.valid_to,
        }


def _deployments(config: Config) -> Iterator[Row]:
    for deployment in config.deployments:
        capacity = deployment.capacity
        yield {
            "deployment_id": deployment.deployment,
            "model": deployment.model,
            "gpus_per_replica": deployment.gpus_per_replica,
            "minimum_replicas": deployment.minimum_replicas,
            "spare_replicas": deployment.spare_replicas,
            "prefill_tokens_per_second": capacity and capacity.prefill_tokens_per_second,
            "cached_tokens_per_second": capacity and capacity.cached_tokens_per_second,
            "decode_tokens_per_second": capacity and capacity.decode_tokens_per_second,
            "peak_allowance": capacity and capacity.peak_allowance,
            "measured_on": capacity and capacity.measured_on,
            "capacity_source": capacity and capacity.source,
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


def _workloads(config: Config) -> Iterator[Row]:
    for workload in config.workloads:
        yield {
            "workload": workload.workload,
            "team": workload.team,
            "deployment_id": workload.deployment,
            "api_model": workload.api_model,
            "pinned_to": workload.pinned_to,
            "pin_reason": workload.pin_reason,
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
                "model": match.model,
                "served_name": match.served_name,
                "deployment_id": match.deployment,
            }


def _overheads(config: Config) -> Iterator[Row]:
    for overhead in config.overheads:
        yield {
            "item": overhead.item,
            "monthly_cost": overhead.monthly,
            "currency": overhead.currency,
            "deployment_id": overhead.deployment,
        }


def _company(config: Config) -> Iterator[Row]:
    yield {
        "company": config.company,
        "reporting_currency": config.reporting_currency,
        "enter_ratio": config.alerts.enter_ratio,
        "exit_ratio": config.alerts.exit_ratio,
        "dwell_days": config.alerts.dwell_days,
        "cooldown_days": config.alerts.cooldown_days,
    }


_EXTRACTS: Mapping[str, Callable[[Config], Iterator[Row]]] = {
    "config_gpu_resources": _gpu_resources,
    "config_deployments": _deployments,
    "config_deployment_hosts": _deployment_hosts,
    "config_deployment_served_names": _deployment_served_names,
    "config_workloads": _workloads,
    "config_workload_rules": _workload_rules,
    "config_overheads": _overheads,
    "config_company": _company,
}
