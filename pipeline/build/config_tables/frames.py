"""Every table of the configuration, as frames: what a build reads of it."""

from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from pipeline.build.config_tables import (
    company,
    deployments,
    gpus,
    models,
    money,
    ownership,
    per_use,
    sources,
    workloads,
)
from pipeline.build.config_tables.history import History
from pipeline.build.config_tables.table import ConfigTable
from pipeline.build.config_tables.versions import Version
from pipeline.landing.dataset import Dataset

_DATED: tuple[ConfigTable, ...] = (
    *gpus.TABLES,
    *deployments.TABLES,
    *workloads.TABLES,
    *money.TABLES,
    *models.TABLES,
    *per_use.TABLES,
    *ownership.TABLES,
    *company.TABLES,
)
SCHEMAS: Mapping[str, Mapping[str, pl.DataType]] = {
    "config_sources": sources.SOURCES,
    "config_estimated_bills": sources.ESTIMATED_BILLS,
    "config_capacity_blocks": gpus.CAPACITY_BLOCKS,
    **{table.name: table.schema for table in _DATED},
}


def config_frames(versions: Sequence[Version], datasets: Iterable[Dataset]) -> dict[str, pl.DataFrame]:
    """One frame per config table. An undated edit applies from the day it landed; the first version from always."""
    datasets = tuple(datasets)
    versions = _in_one_currency(versions)
    rows = {table.name: History(table).of(versions) for table in _DATED}
    if versions:
        now = versions[-1].config
        rows["config_sources"] = list(sources.sources(now, datasets))
        rows["config_estimated_bills"] = list(sources.estimated_bills(now, datasets))
        rows["config_capacity_blocks"] = list(gpus.capacity_blocks(now))
    return {name: pl.DataFrame(rows.get(name, []), schema=schema, orient="row") for name, schema in SCHEMAS.items()}


def _in_one_currency(versions: Sequence[Version]) -> list[Version]:
    """The versions with the newest one's reporting currency: a sum over days on both sides of a change of it would add
    two currencies. It is how money is shown, not what anything cost: every day keeps its own rate.
    """
    newest = {"reporting_currency": versions[-1].config.reporting_currency} if versions else {}
    return [version._replace(config=version.config.model_copy(update=newest)) for version in versions]
