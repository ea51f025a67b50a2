"""A project small enough to build in a blink: a `breakeven.yaml` with the sources a test needs, and their inboxes."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from pipeline.build.graph import BuildResult, Graph, build
from pipeline.decisions.graph import shipped_graph
from pipeline.decisions.quarantine import QuarantineEntry, quarantine_list
from pipeline.formats.spool import Gpu, Header, Record, Sample, encode_record
from pipeline.landing.project import Project
from pipeline.reports.questions import Questions
from pipeline.sources.ingest import Ingested, ingest
from tests.schemas import with_shared_schemas

NOW = datetime(2026, 11, 5, 6, tzinfo=UTC)
DAYS = ("2026-11-01", "2026-11-02", "2026-11-03")
# Content-addressed, so that one project's results are another's, where both read the same.
_SHARED_CACHE = ("lineage", "schemas", "nodes", "inputs")

Rows = list[dict[str, Any]]

CONSOLE = "anthropic_console_csv"
COST_API = "anthropic_cost_api"
USAGE_API = "anthropic_usage_api"
INVOICE = "invoice_csv"
SPOOL = "nvml_spool"
# As `claude_api_cost_...` is named by the Console: the days it holds, and the day on which it was exported.
CONSOLE_NAME = "claude_api_cost_2026_11_01_to_2026_11_03_exported_2026_11_04.csv"

INVOICE_SETTINGS: Mapping[str, Any] = {
    "timezone": "UTC",
    "columns": {
        "invoice_id": "Invoice",
        "charge_kind": "Item",
        "resource_id": "Server",
        "gpu_count": "GPUs",
        "amount": "Amount",
        "currency": "Currency",
        "period_start": "From",
        "period_end": "To",
    },
    "charge_kind": {"GPU server": "gpu_instance", "VAT": "tax"},
    "total_row": {"column": "Item", "equals": "TOTAL"},
}


def source(name: str, account: str, **fields: Any) -> dict[str, Any]:
    """One entry of `sources:`, with an inbox of its own."""
    settings = {"settings": dict(INVOICE_SETTINGS)} if name == INVOICE else {}
    return {
        "source": name,
        "account": account,
        "inbox": f"inbox/{name}/{account}",
        "settle_lag_hours": 0,
        **settings,
        **fields,
    }


@dataclass
class SmallProject:
    """`sources` as in breakeven.yaml. Writing the configuration makes the inboxes.

    `shares_parsed_sql`: what the shipped SQL reads, column by column, is found once a process and not once a project;
    to parse it takes longer than all that a job has to compute here.
    """

    folder: Path
    sources: Sequence[Mapping[str, Any]]
    other_sections: Mapping[str, Any] = field(default_factory=dict)
    warm_cache: Path | None = None
    shares_parsed_sql: bool = False

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.configure()
        if self.shares_parsed_sql:
            with_shared_schemas(self.cache)
        if self.warm_cache is not None:
            for name in _SHARED_CACHE:
                if (self.warm_cache / name).is_dir() and not (self.cache / name).exists():
                    shutil.copytree(self.warm_cache / name, self.cache / name, copy_function=os.link)

    def configure(self, **sections: Any) -> None:
        """Write breakeven.yaml."""
        said = {"company": "acme", "sources": [dict(one) for one in self.sources], **self.other_sections, **sections}
        (self.folder / "breakeven.yaml").write_text(yaml.safe_dump(said, sort_keys=False))
        for one in self.sources:
            if one.get("inbox"):
                (self.folder / one["inbox"]).mkdir(parents=True, exist_ok=True)

    @property
    def project(self) -> Project:
        """Opened anew, as another process would."""
        return Project(self.folder)

    @property
    def cache(self) -> Path:
        return self.folder / ".breakeven" / "cache"

    @property
    def landing(self) -> Path:
        return self.folder / ".breakeven" / "landing"

    def inbox(self, name: str, account: str) -> Path:
        return self.folder / "inbox" / name / account

    def drop(self, name: str, account: str, file_name: str, content: bytes) -> Path:
        path = self.inbox(name, account) / file_name
        path.write_bytes(content)
        return path

    def ingest(self, *, now: datetime = NOW, environment: Mapping[str, str] | None = None) -> list[Ingested]:
        project = self.project
        project.land_config(now)
        return ingest(project, now=now, environment=environment or {}, sleep=_never)

    def build(self, *, now: datetime = NOW, graph: Graph | None = None) -> "Answers":
        project = self.project
        result = build(graph or shipped_graph(), landing=project.landing, paths=project.paths, as_of=now, threads=1)
        return Answers(result)

    def run(self, *, now: datetime = NOW) -> "Answers":
        """Ingest, which must go well, and build."""
        errors = [one.error for one in self.ingest(now=now) if one.error is not None]
        assert errors == []
        return self.build(now=now)

    def quarantine(self, *, now: datetime = NOW) -> list[QuarantineEntry]:
        return quarantine_list(self.project, as_of=now)


@dataclass(frozen=True)
class Answers:
    """What a build says."""

    result: BuildResult

    def rows(self, query: str) -> Rows:
        with Questions(self.result.snapshot) as questions:
            return questions.select(query).to_dicts()

    def ask(self, question: str, **parameters: Any) -> pl.DataFrame:
        with Questions(self.result.snapshot) as questions:
            return questions.ask(question, **parameters)

    def one(self, query: str) -> Any:
        (row,) = self.rows(query)
        (value,) = row.values()
        return value

    def api_cost(self, account: str) -> Decimal | None:
        return self.one(f"select sum(billed_cost) from fct_api_costs_daily where account = '{account}'")

    def gpu_cost(self, account: str) -> Decimal | None:
        return self.one(f"select sum(realized_cost) from fct_gpu_costs_daily where account = '{account}'")

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every table of the snapshot, in one order."""
        with Questions(self.result.snapshot) as questions:
            return {
                name: questions.select(f"select * from {name} order by all").rows()
                for name in sorted(self.result.snapshot.nodes)
            }


def _never(seconds: float) -> None:
    raise AssertionError(f"nothing here waits, least of all {seconds} s")


# --- files in the vendors' formats -----------------------------------------------------------------------------------

CONSOLE_HEADER = (
    "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,"
    "inference_geo,speed"
)


def console_row(
    day: str,
    cost: str,
    *,
    model: str = "Claude Haiku 4.5",
    workspace: str = "Default",
    api_key: str = "key-1",
    token_type: str = "output",
    cost_type: str = "token",
) -> str:
    cells = (day, model, workspace, api_key, "message", "≤ 200k", token_type, cost, cost, cost_type, "global", "")
    return ",".join(_csv_cell(cell) for cell in cells)


def console_csv(rows: Iterable[str], *, header: str = CONSOLE_HEADER) -> bytes:
    return ("\r\n".join([header, *rows]) + "\r\n").encode()


def _csv_cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def three_days(*costs: str, **fields: str) -> bytes:
    """A Console export of `DAYS`, one row a day."""
    return console_csv(console_row(day, cost, **fields) for day, cost in zip(DAYS, costs, strict=True))


def invoice_csv(
    lines: Iterable[tuple[str, str, str]],
    *,
    invoice: str = "INV-1",
    currency: str = "USD",
    period: tuple[str, str] = ("2026-11-01", "2026-11-04"),
    total: str | None = None,
) -> bytes:
    """lines: (item, server, amount). Each over the whole period."""
    said = [*lines, *([("TOTAL", "", total)] if total is not None else [])]
    rows = [f"{invoice},{item},{server},1,{amount},{currency},{period[0]},{period[1]}" for item, server, amount in said]
    return "".join(f"{row}\n" for row in ["Invoice,Item,Server,GPUs,Amount,Currency,From,To", *rows]).encode()


def api_page(
    days: Mapping[str, Sequence[Mapping[str, Any]]], *, has_more: bool = False, next_page: str | None = None
) -> bytes:
    """A page of the Admin API with one bucket a day: day -> results."""
    buckets = [
        {"starting_at": f"{day}T00:00:00Z", "ending_at": f"{_day_after(day)}T00:00:00Z", "results": list(results)}
        for day, results in days.items()
    ]
    return json.dumps({"data": buckets, "has_more": has_more, "next_page": next_page}).encode()


def _day_after(day: str) -> str:
    return pl.Series([day]).str.to_date().dt.offset_by("1d").cast(pl.String)[0]


def cost_result(amount: str, **fields: Any) -> dict[str, Any]:
    """`amount` in cents, as the API spells it."""
    return {
        "amount": amount,
        "currency": "USD",
        "workspace_id": None,
        "description": "Claude Haiku 4.5 Usage - Output Tokens",
        "cost_type": "tokens",
        "model": "claude-haiku-4-5-20251001",
        "token_type": "output_tokens",
        "service_tier": "standard",
        "context_window": "0-200k",
        "inference_geo": "global",
        **fields,
    }


def usage_result(**fields: Any) -> dict[str, Any]:
    return {
        "uncached_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 0,
        "server_tool_use": {"web_search_requests": 0},
        "api_key_id": "key-1",
        "workspace_id": None,
        "model": "claude-haiku-4-5-20251001",
        "service_tier": "standard",
        "context_window": "0-200k",
        "inference_geo": "global",
        **fields,
    }


def spool_file(
    day: str, *, host: str = "host-1", resource_id: str = "server-1", samples: int = 6, start: str | None = None
) -> bytes:
    """`samples` readings of ten minutes each of one GPU that serves nobody, from the start of the day."""
    began = datetime.fromisoformat(f"{day}T00:00:00+00:00")
    records: list[Record] = [
        Header(
            host=host,
            boot_id=f"boot-{host}",
            agent_start_id=start or f"start-{host}-{day}",
            agent_version="1",
            provider_resource_id=resource_id,
        ),
        Gpu(gpu_uuid=f"GPU-{host}", gpu_index=0, memory_total_bytes=80 * 1024**3),
    ]
    reading = Sample(
        interval_ms=600_000,
        gpu_uuid=f"GPU-{host}",
        util_gpu_pct=0,
        memory_used_bytes=0,
        compute_process_count=0,
        health="ok",
        samples_lost=0,
    )
    lines = [encode_record(record, seq=seq, at=began, mono_ms=0) for seq, record in enumerate(records)]
    for number in range(1, samples + 1):
        at = datetime.fromtimestamp(began.timestamp() + 600 * number, tz=UTC)
        lines.append(encode_record(reading, seq=number + 1, at=at, mono_ms=600_000 * number))
    return b"".join(line if line.endswith(b"\n") else line + b"\n" for line in lines)
