"""The GPU half of the SQL graph over hand-made rows: every input typed as its source does, empty unless given."""

import functools
import json
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
from pipeline.build.runner import Built, Model, Runner
from pipeline.build.seeds import load_seeds
from pipeline.build.sql_models import SqlModel, load_models
from pipeline.decisions.token_class_weights import SCHEMA as TOKEN_CLASS_WEIGHTS
from pipeline.paths import models_root, sql_root
from pipeline.sources import SOURCES as SHIPPED
from pipeline.sources.ecb_rates import RATES as ECB_RATES
from pipeline.sources.gpu_bill import LINES, TOTALS
from pipeline.sources.owned_gpus import CHARGES
from tests.models.landed_money import landed_money
from tests.schemas import with_shared_schemas

Row = Mapping[str, Any]
Rows = list[dict[str, Any]]

SAMPLES = "landed_nvml_spool__gpu_samples"
SCRAPES = "landed_nvml_spool__engine_scrapes"
RECORDS = "landed_nvml_spool__agent_records"
INVOICE_LINES = "landed_gpu_bills__lines"
INVOICE_TOTALS = "landed_gpu_bills__totals"
OWNED = "landed_owned_gpus__charges"
RATES = "landed_ecb_rates__rates"
API_COSTS = "fct_api_costs_daily"

GPU_CHECKS = (
    "check_gpu_deployment_is_one",
    "check_gpu_hours_are_known",
    "check_gpu_invoice_reconciles",
    "check_gpu_money_conserved",
    "check_gpu_one_workload_per_cell",
    "check_gpu_seen_within_bill",
    "check_gpu_shares_fit",
    "check_gpu_time_conserved",
    "check_gpu_unit_cost_needs_tokens",
)

TEXT, WHOLE, MOMENT = pl.String(), pl.Int64(), pl.Datetime("us")
_DATED = {"account": TEXT, "bucket": TEXT, "usage_date": pl.Date()}
_AGENT = {"host": TEXT, "boot_id": TEXT, "agent_start_id": TEXT}
_ACCOUNT: dict[str, pl.DataType] = {"account": TEXT}

_SCHEMAS: dict[str, dict[str, pl.DataType]] = {
    # Every landed table, so that a model may read one more source without a line here.
    **{
        dataset.table_view(table): _ACCOUNT | ({} if table.view is None else {"source": pl.String()}) | table.schema
        for source in SHIPPED
        for dataset in source.datasets
        for table in dataset.tables
    },
    SAMPLES: {
        **_DATED,
        **_AGENT,
        "sequence_number": WHOLE,
        "at": MOMENT,
        "interval_ms": WHOLE,
        "gpu_uuid": TEXT,
        "provider_resource_id": TEXT,
        "util_gpu_pct": WHOLE,
        "util_memory_pct": WHOLE,
        "memory_used_bytes": WHOLE,
        "energy_millijoules": WHOLE,
        "power_milliwatts": WHOLE,
        "sm_active_ppm": WHOLE,
        "tensor_active_ppm": WHOLE,
        "dram_active_ppm": WHOLE,
        "clocks_event_reasons": WHOLE,
        "compute_process_count": WHOLE,
        "mig_held_ppm": WHOLE,
        "health": TEXT,
        "samples_lost": WHOLE,
        "other_columns": TEXT,
    },
    SCRAPES: {
        **_DATED,
        **_AGENT,
        "model_name": TEXT,
        "engine_rank": TEXT,
        "sequence_number": WHOLE,
        "at": MOMENT,
        "interval_ms": WHOLE,
        "target": TEXT,
        "replica_id": TEXT,
        "engine": TEXT,
        "engine_version": TEXT,
        "process_started_at": MOMENT,
        "prompt_tokens": WHOLE,
        "prompt_counts": TEXT,
        "prompt_tokens_cached": WHOLE,
        "generation_tokens": WHOLE,
        "requests_success": WHOLE,
        "requests_running": WHOLE,
        "requests_waiting": WHOLE,
        "identity_gap_tokens": WHOLE,
        "prompt_tokens_transferred": WHOLE,
        "engine_role": TEXT,
        "gpu_uuids": TEXT,
        "gpu_shares_ppm": TEXT,
        "gpu_memory_bytes": TEXT,
        "gpu_method": TEXT,
        "http_status": WHOLE,
        "duration_ms": WHOLE,
        "scrape_error": TEXT,
        "other_columns": TEXT,
    },
    RECORDS: {
        **_DATED,
        **_AGENT,
        "sequence_number": WHOLE,
        "at": MOMENT,
        "record": TEXT,
        "gpu_uuid": TEXT,
        "interval_ms": WHOLE,
        "provider_resource_id": TEXT,
        "reason": TEXT,
        "detail": TEXT,
        "other_columns": TEXT,
    },
    INVOICE_LINES: _ACCOUNT | {"source": TEXT} | LINES.schema,
    INVOICE_TOTALS: _ACCOUNT | {"source": TEXT} | TOTALS.schema,
    OWNED: _ACCOUNT | CHARGES.schema,
    RATES: _ACCOUNT | ECB_RATES.schema,
    "landed_money": MONEY_SCHEMA,
    "landed_coverage": {
        "usage_date": pl.Date(),
        "source": TEXT,
        "account": TEXT,
        "dataset": TEXT,
        "bucket": TEXT,
        "stated_at": MOMENT,
    },
    API_COSTS: {
        "class_split": TEXT,
        "usage_date": pl.Date(),
        "account": TEXT,
        "billing_currency": TEXT,
        "provider": TEXT,
        "model": TEXT,
        "token_class": TEXT,
        "charge_kind": TEXT,
        "tokens": WHOLE,
        "billed_cost": pl.Decimal(38, 18),
        "billed_cost_rc": pl.Decimal(38, 18),
    },
    "fct_api_other_charges_daily": {
        "usage_date": pl.Date(),
        "account": TEXT,
        "billing_currency": TEXT,
        "billed_cost": pl.Decimal(38, 18),
        "billed_cost_rc": pl.Decimal(38, 18),
    },
    "fct_token_class_weights_daily": dict(TOKEN_CLASS_WEIGHTS),
    "calendar": {"usage_date": pl.Date(), "day_start_at": MOMENT, "day_end_at": MOMENT, "is_over": pl.Boolean()},
}

DAY = date(2025, 11, 3)
COMPANY = {"company": "Acme", "reporting_currency": "USD"}
SOURCES = (
    {"source": "nvml_spool", "account": "fleet", "dataset": "spool", "issuer": "fleet", "role": "metered"},
    {"source": "invoice_csv", "account": "gpucloud", "dataset": "invoice", "issuer": "gpucloud", "role": "book"},
    {"source": "owned_gpus", "account": "rack", "dataset": "owned_charges", "issuer": "rack", "role": "book"},
)
NODE = {"issuer": "gpucloud", "resource_id": "node-1", "host": "host-1", "gpu_count": 1, "currency": "USD"}


def at(hour: float = 0, *, day: date = DAY) -> datetime:
    """A moment of the day, hours after its UTC start; whole milliseconds."""
    return datetime.combine(day, datetime.min.time()) + timedelta(milliseconds=round(hour * 3_600_000))


def sample(ended_at: datetime, interval_ms: int, **fields: Any) -> Row:
    """A sample of a healthy GPU that a process holds, whose utilization nobody reads."""
    row: dict[str, Any] = {
        "account": "fleet",
        "usage_date": (ended_at - timedelta(milliseconds=interval_ms)).date(),
        "host": "host-1",
        "boot_id": "boot-1",
        "agent_start_id": "agent-1",
        "sequence_number": int((ended_at - at(day=date(2025, 1, 1))).total_seconds() * 1000),
        "at": ended_at,
        "interval_ms": interval_ms,
        "gpu_uuid": "GPU-1",
        "provider_resource_id": "node-1",
        "memory_used_bytes": 60_000_000_000,
        "compute_process_count": 1,
        "health": "ok",
        "samples_lost": 0,
    }
    return {**row, **fields}


def watched(from_hour: float, to_hour: float, *, step_ms: int = 600_000, day: date = DAY, **fields: Any) -> list[Row]:
    """Samples back to back over a part of the day."""
    rows: list[Row] = []
    start, end = at(from_hour, day=day), at(to_hour, day=day)
    while start < end:
        stop = min(start + timedelta(milliseconds=step_ms), end)
        rows.append(sample(stop, round((stop - start).total_seconds() * 1000), **fields))
        start = stop
    return rows


def scrape(scraped_at: datetime, interval_ms: int, prompt: int | None, output: int | None, **fields: Any) -> Row:
    """A valid scrape of a vLLM engine on GPU-1 that started long before the day."""
    gpus = fields.pop("gpus", ("GPU-1",))
    row: dict[str, Any] = {
        "account": "fleet",
        "usage_date": (scraped_at - timedelta(milliseconds=interval_ms)).date(),
        "host": "host-1",
        "boot_id": "boot-1",
        "agent_start_id": "agent-1",
        "model_name": "llama",
        "engine_rank": "0",
        "sequence_number": int((scraped_at - at(day=date(2025, 1, 1))).total_seconds() * 1000) + 1,
        "at": scraped_at,
        "interval_ms": interval_ms,
        "target": "http://127.0.0.1:8000/metrics",
        "replica_id": "r-1",
        "engine": "vllm",
        "process_started_at": at(day=date(2025, 10, 1)),
        "prompt_tokens": prompt,
        "prompt_tokens_cached": 0 if prompt is not None else None,
        "generation_tokens": output,
        "requests_running": 0,
        "gpu_uuids": json.dumps(sorted(gpus)) if gpus is not None else None,
        "gpu_method": "compute_pids",
        "http_status": 200,
    }
    return {**row, **fields}


def invoice_line(amount: str, *, day: date = DAY, days: int = 1, **fields: Any) -> Row:
    """A line for node-1 of whole days."""
    row: dict[str, Any] = {
        "source": "invoice_csv",
        "account": "gpucloud",
        "bucket": fields.get("invoice_id", "INV-1"),
        "usage_date": day,
        "invoice_id": "INV-1",
        "line_number": 1,
        "charge_kind": "gpu_instance",
        "resource_id": "node-1",
        "gpu_count": "1",
        "quantity": str(24 * days),
        "unit": "hours",
        "amount": amount,
        "currency": "USD",
        "period_start": f"{day.isoformat()}T00:00:00Z",
        "period_end": f"{(day + timedelta(days=days)).isoformat()}T00:00:00Z",
    }
    return {**row, **fields}


def invoice_total(amount: str, *, day: date = DAY, days: int = 1, **fields: Any) -> Row:
    row: dict[str, Any] = {
        "source": "invoice_csv",
        "account": "gpucloud",
        "bucket": fields.get("invoice_id", "INV-1"),
        "usage_date": day,
        "invoice_id": "INV-1",
        "total_amount": amount,
        "currency": "USD",
        "period_start": f"{day.isoformat()}T00:00:00Z",
        "period_end": f"{(day + timedelta(days=days)).isoformat()}T00:00:00Z",
    }
    return {**row, **fields}


def stated_invoices(tables: Mapping[str, Sequence[Row]]) -> Rows:
    """landed_coverage of the invoices in `tables`: each stated when the last period that it bills was over."""
    ends: dict[tuple[str, str, str], datetime] = {}
    days: dict[tuple[str, str, str], date] = {}
    for line in tables.get(INVOICE_LINES, ()):
        invoice = line["source"], line["account"], line["bucket"]
        end = datetime.fromisoformat(line["period_end"]).replace(tzinfo=None)
        ends[invoice] = max(end, ends.get(invoice, end))
        days[invoice] = min(line["usage_date"], days.get(invoice, line["usage_date"]))
    return [
        {
            "usage_date": days[source, account, bucket],
            "source": source,
            "account": account,
            "dataset": "invoice",
            "bucket": bucket,
            "stated_at": stated_at,
        }
        for (source, account, bucket), stated_at in ends.items()
    ]


def owned_charge(kind: str, amount: str, *, day: date = DAY, **fields: Any) -> Row:
    row: dict[str, Any] = {
        "account": "rack",
        "bucket": day.isoformat(),
        "usage_date": day,
        "asset_id": "dgx-1",
        "host": "host-1",
        "gpu_count": "1",
        "charge_kind": kind,
        "quantity": "1",
        "unit": "day",
        "amount": amount,
        "currency": "USD",
    }
    return {**row, **fields}


def deployment(**fields: Any) -> Row:
    row: dict[str, Any] = {"deployment_id": "chat", "model": "llama-70b", "gpus_per_replica": 1, "minimum_replicas": 1}
    return {**row, **fields}


def days_of(first: date, last: date, *, as_of: datetime | None = None) -> list[Row]:
    """The calendar of [first, last]; all days are over unless an as-of says otherwise."""
    rows: list[Row] = []
    for offset in range((last - first).days + 1):
        start = at(day=first + timedelta(days=offset))
        end = start + timedelta(days=1)
        over = as_of is None or end <= as_of
        rows.append({"usage_date": start.date(), "day_start_at": start, "day_end_at": end, "is_over": over})
    return rows


@functools.cache
def _models() -> tuple[SqlModel, ...]:
    return (*load_models(models_root()), *load_models(sql_root() / "checks", prefix="check_"))


def _needed(targets: Iterable[str]) -> list[Model]:
    by_name: dict[str, Model] = {model.name: model for model in _models() if model.name not in _SCHEMAS}
    needed: dict[str, Model] = {}
    waiting = list(targets)
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in needed:
            needed[name] = by_name[name]
            waiting.extend(by_name[name].inputs)
    return list(needed.values())


def _relations(tables: Mapping[str, Sequence[Row]], cache: Path) -> dict[str, Relation]:
    schemas = {**_SCHEMAS, **CONFIG_SCHEMAS}
    seeds = load_seeds(models_root() / "seeds", cache=cache)
    relations: dict[str, Relation] = {seed.name: seed for seed in seeds}
    for name, rows in tables.items():
        stray = {column for row in rows for column in row} - set(schemas[name])
        if stray:
            raise KeyError(f"{name} has no column {', '.join(sorted(stray))}")
    for name, schema in schemas.items():
        rows = [{column: row.get(column) for column in schema} for row in tables.get(name, ())]
        relations[name] = FrameRelation(
            name=name,
            frame=pl.DataFrame(rows, schema=schema, orient="row"),
            folder=cache,
            date_column="usage_date" if name in _SCHEMAS else None,
        )
    return relations


def relations_of(cache: Path) -> dict[str, Relation]:
    """Every input the models may read, typed and empty."""
    return _relations({}, cache)


def build_tables(
    cache: Path,
    tables: Mapping[str, Sequence[Row]],
    targets: Iterable[str],
    *,
    replaced: Sequence[Model] = (),
    before: Built | None = None,
) -> Built:
    """Run what `targets` need, after another build or as the first one. The calendar is DAY and its neighbours; one
    company and its sources are configured.
    """
    given = {
        "config_company": [COMPANY],
        "config_sources": SOURCES,
        "calendar": days_of(DAY - timedelta(days=2), DAY + timedelta(days=2)),
        "landed_money": landed_money(tables),
        "landed_coverage": stated_invoices(tables),
        **tables,
    }
    models = [next((other for other in replaced if other.name == model.name), model) for model in _needed(targets)]
    nodes = before.nodes if before is not None else {}
    relations = _relations(given, cache)
    return Runner(models, relations, with_shared_schemas(cache), before=nodes, threads=1).build()


@functools.cache
def _reader() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def rows_of(built: Built, name: str) -> Rows:
    """Every row of a built table, in order of all its columns."""
    result = _reader().execute(f"select * from ({built.nodes[name].sql(None)}) order by all")
    columns = [column[0] for column in result.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]


def answer(built: Built, question: str, **parameters: Any) -> Rows:
    """A question of `sql/reports`, asked of built tables."""
    connection = duckdb.connect()
    for name, node in built.nodes.items():
        connection.execute(f"create view {name} as {node.sql(None)}")
    result = connection.execute((sql_root() / "reports" / f"{question}.sql").read_text(encoding="utf-8"), parameters)
    columns = [column[0] for column in result.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]


def broken_laws(built: Built, names: Iterable[str] = GPU_CHECKS) -> list[str]:
    """What the checks found, as sentences."""
    return [f"{row['law']} {row['scope']}: {row['detail']}" for name in names for row in rows_of(built, name)]


def broken(name: str, old: str, new: str) -> Model:
    """The model with a fault planted: `old` in its text made `new`."""
    model = next(model for model in _models() if model.name == name)
    if old not in model.sql:
        raise KeyError(f"{name} does not say {old!r}")
    return replace(model, sql=model.sql.replace(old, new))
