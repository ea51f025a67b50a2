"""Lines of a Cost and Usage Report 2.0 as AWS writes them, and exports of them in S3 or a folder. All generated."""

import gzip
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from pipeline.build.runner import Model
from pipeline.sources import aws_cur2
from pipeline.sources.ingest import Ingested, ingest
from tests.models.cloud_harness import cloud_graph
from tests.pipeline.small_project import Answers, SmallProject

Line = Mapping[str, Any]

STAGED = "stg_aws_cur2__charges_daily"
NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)
FIRST = datetime(2026, 10, 20, 4, tzinfo=UTC)
PERIOD = "2026-10"
NAME = "company-cur2"
_MAP = pl.Map(pl.String(), pl.String())
_MAPS = ("product", "resource_tags", "cost_category", "discount")
_EXTRA_DOUBLES = (
    "line_item_blended_cost", "line_item_normalization_factor", "discount_total_discount",
    "reservation_net_effective_cost", "savings_plan_net_savings_plan_effective_cost",
)  # fmt: skip

LINE: Line = {
    "identity_line_item_id": "k3j5v2",
    "bill_bill_type": "Anniversary",
    "bill_billing_entity": "AWS",
    "bill_billing_period_start_date": "2026-10-01T00:00:00Z",
    "bill_invoice_id": "2181117685",
    "bill_invoicing_entity": "Amazon Web Services, Inc.",
    "bill_payer_account_id": "111122223333",
    "line_item_currency_code": "USD",
    "line_item_line_item_type": "Usage",
    "line_item_operation": "RunInstances",
    "line_item_product_code": "AmazonEC2",
    "line_item_resource_id": "i-04fb6a4afc04d1e71",
    "line_item_unblended_cost": 1.0,
    "line_item_usage_account_id": "444455556666",
    "line_item_usage_amount": 1.0,
    "line_item_usage_start_date": "2026-10-02T03:00:00Z",
    "line_item_usage_end_date": "2026-10-02T04:00:00Z",
    "line_item_usage_type": "BoxUsage:g6.xlarge",
    "pricing_public_on_demand_cost": 1.0,
    "pricing_term": "OnDemand",
    "pricing_unit": "Hrs",
    "product": {"product_name": "Amazon Elastic Compute Cloud", "gpu": "1"},
    "product_instance_type": "g6.xlarge",
    "product_region_code": "us-east-1",
    "product_sku": "SKU1",
    "resource_tags": {"user_team": "search"},
    "cost_category": {},
}
TAX: Line = {
    "line_item_line_item_type": "Tax",
    "line_item_operation": None,
    "line_item_resource_id": None,
    "line_item_usage_start_date": "2026-10-01T00:00:00Z",
    "line_item_usage_end_date": "2026-11-01T00:00:00Z",
    "pricing_term": None,
    "pricing_unit": None,
}


def line(cost: float | None = 1.0, **fields: Any) -> dict[str, Any]:
    """An hour of a GPU instance."""
    return {**LINE, "line_item_unblended_cost": cost, **fields}


def usage(kind: str, cost: float, **fields: Any) -> dict[str, Any]:
    """A line of another type than Usage."""
    return line(cost, line_item_line_item_type=kind, **fields)


def tax(cost: float, **fields: Any) -> dict[str, Any]:
    """A month's tax: no resource, and a quantity of 1 that is no hour."""
    return line(cost, **{**TAX, **fields})


def parquet(lines: Sequence[Line], *, columns: Iterable[str] | None = None) -> bytes:
    """A chunk: doubles, timestamps in milliseconds, maps."""
    header = _header(lines, columns)
    frame = pl.DataFrame(
        {name: pl.Series(name, [_typed(name, one) for one in lines], dtype=_type(name)) for name in header}
    )
    file = io.BytesIO()
    frame.write_parquet(file, compression="snappy")
    return file.getvalue()


def csv_gz(lines: Sequence[Line], *, columns: Iterable[str] | None = None) -> bytes:
    """A chunk: everything as text, maps as JSON, gzipped."""
    header = _header(lines, columns)
    rows = [header, *([_spelled(one.get(name)) for name in header] for one in lines)]
    return gzip.compress("".join(",".join(map(_cell, row)) + "\n" for row in rows).encode(), mtime=0)


def _header(lines: Sequence[Line], columns: Iterable[str] | None) -> list[str]:
    return list(columns or dict.fromkeys(name for one in (LINE, *lines) for name in one))


def _type(name: str) -> pl.DataType:
    if name in _MAPS:
        return _MAP
    if name in aws_cur2.LINES.columns:
        kind = aws_cur2.LINES.columns[name]
        if isinstance(kind, pl.Decimal):
            return pl.Float64()
        if isinstance(kind, pl.Datetime):
            return pl.Datetime("ms")
    return pl.Float64() if name in _EXTRA_DOUBLES else pl.String()


def _typed(name: str, one: Line) -> Any:
    value = one.get(name)
    if isinstance(value, str) and isinstance(_type(name), pl.Datetime):
        return datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None)
    return value


def _spelled(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(value, separators=(",", ":")) if isinstance(value, Mapping) else str(value)


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


# --- exports ---------------------------------------------------------------------------------------------------------


class Place(Protocol):
    """Where an export lies: a file under its name below the export, last modified when it is said to be."""

    @property
    def root(self) -> str: ...

    def put(self, name: str, content: bytes, at: datetime) -> None: ...


@dataclass(frozen=True)
class FolderPlace:
    """A synced copy, times and all."""

    folder: Path

    @property
    def root(self) -> str:
        return f"s3://elsewhere/exports/{NAME}"

    def put(self, name: str, content: bytes, at: datetime) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (at.timestamp(), at.timestamp()))


@dataclass(frozen=True)
class S3Place:
    """An export in a bucket of moto's server, whose clock is set back and forth."""

    client: Any
    bucket: str

    @property
    def root(self) -> str:
        return f"s3://{self.bucket}/exports/{NAME}"

    def put(self, name: str, content: bytes, at: datetime) -> None:
        from moto.core import DEFAULT_ACCOUNT_ID
        from moto.s3.models import s3_backends

        key = f"exports/{NAME}/{name}"
        self.client.put_object(Bucket=self.bucket, Key=key, Body=content)
        kept = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[self.bucket].keys[key]
        kept.last_modified = at.replace(tzinfo=None)


def refresh(
    place: Place,
    chunks: Sequence[bytes],
    *,
    at: datetime,
    period: str = PERIOD,
    execution: str = "",
    partition: str = "BILLING_PERIOD",
    listed: Sequence[str] | None = None,
) -> None:
    """What AWS does each time it restates a month: the files, then the manifest that lists them."""
    folder = f"{partition}={period}/{execution and execution + '/'}"
    suffix = "snappy.parquet" if not chunks or chunks[0].startswith(b"PAR1") else "csv.gz"
    names = [f"data/{folder}{NAME}-{number:05d}.{suffix}" for number in range(1, len(chunks) + 1)]
    for name, content in zip(names, chunks, strict=True):
        place.put(name, content, at)
    said = {
        "executionId": execution or "2f6e",
        "columns": [{"name": "line_item_unblended_cost", "type": "double"}],
        "dataFiles": [f"{place.root}/{name}" for name in names] if listed is None else list(listed),
    }
    place.put(f"metadata/{folder}{NAME}-Manifest.json", json.dumps(said).encode(), at + timedelta(seconds=2))


# --- a company that has one -------------------------------------------------------------------------------------------


@dataclass
class Company:
    """A project with one export. `waits`: what was slept between attempts, instead of sleeping."""

    small: SmallProject
    waits: list[float] = field(default_factory=list)

    def fetch(self, *, now: datetime = NOW, **window: Any) -> Ingested:
        project = self.small.project
        project.land_config(now)
        (done,) = ingest(project, now=now, environment={}, sleep=self.waits.append, **window)
        return done

    def build(self, *, now: datetime = NOW, replaced: Sequence[Model] = ()) -> Answers:
        """The daily charges as of a moment."""
        return self.small.build(now=now, graph=cloud_graph([STAGED], replaced=replaced))

    def run(self, *, now: datetime = NOW) -> Answers:
        done = self.fetch(now=now)
        assert done.error is None
        return self.build(now=now)


def company(folder: Path, export: str, **fields: Any) -> Company:
    source = {"source": "aws_cur2", "account": "aws", "settings": {"export": export}, **fields}
    return Company(SmallProject(folder, [source]))
