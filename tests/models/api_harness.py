"""The API half of the SQL graph over hand-made rows, every input typed as declared and empty unless given."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from pipeline.build.config_tables.frames import SCHEMAS as CONFIG_SCHEMAS
from pipeline.build.landed_tables import MONEY_SCHEMA
from pipeline.build.relations import FrameRelation, Relation
from pipeline.build.runner import Built, Model, PythonModel, Runner
from pipeline.build.seeds import load_seeds
from pipeline.build.sql_models import SqlModel, load_models
from pipeline.decisions import list_prices
from pipeline.paths import models_root, sql_root
from pipeline.sources.anthropic_console_csv import COSTS as CONSOLE_COSTS
from pipeline.sources.anthropic_cost_api import COSTS as API_COSTS
from pipeline.sources.anthropic_usage_api import USAGE
from pipeline.sources.ecb_rates import RATES as ECB_RATES
from pipeline.sources.fireworks_costs import SOURCE as FIREWORKS_COSTS
from pipeline.sources.litellm_focus import SOURCE as LITELLM_FOCUS
from pipeline.sources.litellm_spend_logs import SOURCE as LITELLM_SPEND_LOGS
from pipeline.sources.openai_costs_api import SOURCE as OPENAI_COSTS_API
from pipeline.sources.openai_dashboard_csv import SOURCE as OPENAI_DASHBOARD_CSV
from pipeline.sources.openai_usage_api import SOURCE as OPENAI_USAGE_API
from pipeline.sources.openrouter_activity import SOURCE as OPENROUTER_ACTIVITY
from pipeline.sources.openrouter_generations import SOURCE as OPENROUTER_GENERATIONS
from tests.models.landed_money import landed_money
from tests.schemas import with_shared_schemas

Row = Mapping[str, Any]
Rows = list[dict[str, Any]]

COSTS = "landed_anthropic_cost_api__costs"
CONSOLE = "landed_anthropic_console_csv__costs"
USAGES = "landed_anthropic_usage_api__usage"
RATES = "landed_ecb_rates__rates"
SELF_HOST = "int_self_host_tokens_hourly"

API_CHECKS = (
    "check_api_money_conserved",
    "check_api_allocation_conserved",
    "check_api_tokens_conserved",
    "check_api_one_workload_per_cell",
    "check_api_book_of_record",
    "check_day_status_monotone",
)
API_TABLES = (
    "stg_anthropic_cost_api__costs_daily",
    "stg_anthropic_usage_api__usage_hourly",
    "stg_anthropic_console_csv__costs_daily",
    "stg_openai__line_items_daily",
    "stg_openai_costs_api__costs_daily",
    "stg_openai_dashboard_csv__costs_daily",
    "stg_openai__usage_hourly",
    "stg_litellm_spend_logs__usage_hourly",
    "stg_openrouter_generations__usage_hourly",
    "stg_api_bills__charges_daily",
    "stg_api_bills__usage_daily",
    "stg_fireworks_costs__usage_hourly",
    "int_api_model_names_daily",
    "int_openai_tiers_daily",
    "int_api_charges_daily",
    "int_api_usage_hourly",
    "int_api_usage_daily",
    "int_api_usage_parts_hourly",
    "int_api_costs_allocated_daily",
    "int_api_workloads_daily",
    "int_api_models_seen",
    "int_gateway_usage_hourly",
    "int_api_tokens_shaped_hourly",
    "int_api_tokens_hourly",
    "int_api_tokens_daily",
    "int_source_first_days",
    "fct_api_costs_daily",
    "fct_demand_hourly",
    "fct_demand_daily",
    "fct_source_coverage_daily",
    "fct_day_status_daily",
    "dim_source",
)

GATEWAYS_AND_OPENAI = (
    OPENAI_COSTS_API, OPENAI_USAGE_API, OPENAI_DASHBOARD_CSV, LITELLM_FOCUS, LITELLM_SPEND_LOGS, OPENROUTER_GENERATIONS,
)  # fmt: skip

_ACCOUNT: dict[str, pl.DataType] = {"account": pl.String()}
_SOURCE: dict[str, pl.DataType] = {"source": pl.String()}
_DATED_SCHEMAS: dict[str, dict[str, pl.DataType]] = {
    COSTS: _ACCOUNT | API_COSTS.schema,
    CONSOLE: _ACCOUNT | CONSOLE_COSTS.schema,
    USAGES: _ACCOUNT | USAGE.schema,
    RATES: _ACCOUNT | ECB_RATES.schema,
    **{
        dataset.table_view(table): _ACCOUNT | ({} if table.view is None else _SOURCE) | table.schema
        for source in (*GATEWAYS_AND_OPENAI, OPENROUTER_ACTIVITY, FIREWORKS_COSTS)
        for dataset in source.datasets
        for table in dataset.tables
    },
    "landed_money": MONEY_SCHEMA,
    "landed_coverage": {
        "usage_date": pl.Date(),
        "source": pl.String(),
        "account": pl.String(),
        "dataset": pl.String(),
        "bucket": pl.String(),
        "is_complete": pl.Boolean(),
        "is_withdrawn": pl.Boolean(),
        "is_accepted": pl.Boolean(),
        "row_count": pl.Int64(),
        "stated_at": pl.Datetime("us"),
    },
    "calendar": {
        "usage_date": pl.Date(),
        "day_start_at": pl.Datetime("us"),
        "day_end_at": pl.Datetime("us"),
        "is_over": pl.Boolean(),
    },
    SELF_HOST: {
        "usage_date": pl.Date(),
        "usage_hour_at": pl.Datetime("us"),
        "deployment_id": pl.String(),
        "workload": pl.String(),
        "model": pl.String(),
        "token_class": pl.String(),
        "tokens": pl.Int64(),
    },
}
COMPANY = {"company": "Acme", "reporting_currency": "USD"}
DATASETS = {
    "anthropic_cost_api": "cost_report",
    "anthropic_usage_api": "messages_usage",
    "anthropic_console_csv": "console_cost",
    "invoice_csv": "invoice",
}
SOURCES = (
    {"source": "anthropic_cost_api", "issuer": "anthropic", "role": "book"},
    {"source": "anthropic_usage_api", "issuer": "anthropic", "role": "metered"},
    {"source": "anthropic_console_csv", "issuer": "anthropic", "role": "control"},
)


def utc(text: str) -> datetime:
    """A moment as the tables hold it: UTC, without a zone."""
    return datetime.fromisoformat(text)


def configured_sources(*sources: Row, account: str = "acme") -> list[Row]:
    """Rows of config_sources, a day's settle lag unless said otherwise."""
    common = {"account": account, "settle_lag_hours": 24, "settles_days": True}
    return [{**common, "dataset": DATASETS[source["source"]], **source} for source in sources or SOURCES]


def cost_line(usage_date: date, amount_cents: str, **fields: Any) -> Row:
    """A line of the cost report: output tokens of one model on the standard tier unless said otherwise."""
    line: dict[str, Any] = {
        "account": "acme",
        "bucket": usage_date.isoformat(),
        "usage_date": usage_date,
        "amount": amount_cents,
        "currency": "USD",
        "description": "Claude Opus 4.8 Usage - Output Tokens",
        "cost_type": "tokens",
        "model": "claude-opus-4-8",
        "token_type": "output_tokens",
        "service_tier": "standard",
        "context_window": "0-200k",
        "inference_geo": "global",
    }
    return {**line, **fields}


def usage_row(usage_date: date, *, hour: int = 0, hours: int = 1, **fields: Any) -> Row:
    """A result of the usage report in one bucket."""
    start = datetime.combine(usage_date, datetime.min.time()) + timedelta(hours=hour)
    row: dict[str, Any] = {
        "account": "acme",
        "bucket": usage_date.isoformat(),
        "usage_date": usage_date,
        "starting_at": start.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "ending_at": (start + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "model": "claude-opus-4-8",
        "service_tier": "standard",
        "context_window": "0-200k",
        "inference_geo": "global",
    }
    return {**row, **fields}


def console_line(usage_date: date, cost_usd: str, **fields: Any) -> Row:
    """A line of the Console's cost export."""
    line: dict[str, Any] = {
        "account": "acme",
        "bucket": usage_date.isoformat(),
        "usage_date": usage_date,
        "usage_date_utc": usage_date.isoformat(),
        "model": "Claude Opus 4.8",
        "workspace": "Default",
        "api_key": "nightly",
        "usage_type": "message",
        "context_window": "≤ 200k",
        "token_type": "output",
        "cost_usd": cost_usd,
        "list_price_usd": cost_usd,
        "cost_type": "token",
        "inference_geo": "global",
        "speed": "",
    }
    return {**line, **fields}


def covered(usage_date: date, source: str, dataset: str, *, stated_at: datetime, **fields: Any) -> Row:
    """A bucket that a complete delivery vouches for."""
    row: dict[str, Any] = {
        "usage_date": usage_date,
        "source": source,
        "account": "acme",
        "dataset": dataset,
        "bucket": usage_date.isoformat(),
        "is_complete": True,
        "is_withdrawn": False,
        "is_accepted": False,
        "row_count": 1,
        "stated_at": stated_at,
    }
    return {**row, **fields}


def days_until(first: date, *, as_of: datetime) -> list[Row]:
    """The calendar from a day to the as-of day."""
    rows: list[Row] = []
    for offset in range((as_of.date() - first).days + 1):
        start = datetime.combine(first, datetime.min.time()) + timedelta(days=offset)
        end = start + timedelta(days=1)
        rows.append({"usage_date": start.date(), "day_start_at": start, "day_end_at": end, "is_over": end <= as_of})
    return rows


@functools.cache
def _models() -> tuple[Model, ...]:
    prices = PythonModel(
        name="list_prices",
        build=list_prices.build,
        inputs=list_prices.INPUTS,
        schema=list_prices.SCHEMA,
    )
    return (*load_models(models_root()), *load_models(sql_root() / "checks", prefix="check_"), prices)


def _needed(targets: Iterable[str], given: Iterable[str]) -> list[Model]:
    by_name = {model.name: model for model in _models() if model.name not in set(given)}
    needed: dict[str, Model] = {}
    waiting = list(targets)
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in needed:
            needed[name] = by_name[name]
            waiting.extend(by_name[name].inputs)
    return list(needed.values())


@functools.cache
def _seeds() -> tuple[FrameRelation, ...]:
    return tuple(load_seeds(models_root() / "seeds", cache=Path()))


def _relations(tables: Mapping[str, Sequence[Row]], cache: Path) -> dict[str, Relation]:
    unknown = set(tables) - set(_DATED_SCHEMAS) - set(CONFIG_SCHEMAS)
    if unknown:
        raise KeyError(f"no such input: {', '.join(sorted(unknown))}")
    relations: dict[str, Relation] = {seed.name: replace(seed, folder=cache) for seed in _seeds()}
    for name, schema in {**_DATED_SCHEMAS, **CONFIG_SCHEMAS}.items():
        rows = [{column: row.get(column) for column in schema} for row in tables.get(name, ())]
        stray = {column for row in tables.get(name, ()) for column in row} - set(schema)
        if stray:
            raise KeyError(f"{name} has no column {', '.join(sorted(stray))}")
        relations[name] = FrameRelation(
            name=name,
            frame=pl.DataFrame(rows, schema=schema, orient="row"),
            folder=cache,
            date_column="usage_date" if name in _DATED_SCHEMAS else None,
        )
    return relations


def relations_of(cache: Path) -> dict[str, Relation]:
    """Every input the models may read, typed and empty."""
    return _relations({}, cache)


def build_tables(
    cache: Path, tables: Mapping[str, Sequence[Row]], targets: Iterable[str], *, replaced: Sequence[Model] = ()
) -> Built:
    """Run what `targets` need. One company and its three sources are configured unless `tables` says otherwise."""
    given = {
        "config_company": [COMPANY],
        "config_sources": configured_sources(),
        "landed_money": landed_money(tables),
        **tables,
    }
    models = [
        next((other for other in replaced if other.name == model.name), model)
        for model in _needed(targets, _DATED_SCHEMAS)
    ]
    relations = _relations(given, cache)
    return Runner(models=models, relations=relations, cache=with_shared_schemas(cache), threads=1).build()


@functools.cache
def _reader() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def rows_of(built: Built, name: str) -> Rows:
    """Every row of a built table, in order of all its columns."""
    result = _reader().execute(f"select * from ({built.nodes[name].sql(None)}) order by all")
    columns = [column[0] for column in result.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]


def broken_laws(built: Built, names: Iterable[str] = API_CHECKS) -> list[str]:
    """What the checks found, as sentences."""
    return [f"{row['law']} {row['scope']}: {row['detail']}" for name in names for row in rows_of(built, name)]


def broken(name: str, old: str, new: str) -> Model:
    """The model with a fault planted: `old` in its text made `new`."""
    model = next(model for model in _models() if model.name == name)
    if not isinstance(model, SqlModel) or old not in model.sql:
        raise KeyError(f"{name} does not say {old!r}")
    return replace(model, sql=model.sql.replace(old, new))
