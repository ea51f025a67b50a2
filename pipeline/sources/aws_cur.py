"""AWS's legacy Cost and Usage Report: CSV (gzipped) or Parquet, whole billing periods by manifest.

Settings: export: s3://<bucket>/<prefix>/<report name>, or the folder of a synced copy (see data_exports.py).

A line says what one of CUR 2.0 says, in names with slashes (`lineItem/UnblendedCost`), in Parquet with underscores;
what a product is and which tags it has are columns each, where 2.0 has maps. So lines are read under the names of 2.0
and are rows of its table: `aws_cur2` says what counts, and its SQL is theirs. Attributes of products that no SQL model
reads stay in the object; tags and cost categories are one JSON text each, as in 2.0.

A company that has both exports has the same bill twice: one of them is `role: control`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.landing.dataset import Dataset, Frames, Settings
from pipeline.sources.aws_cur2 import LINES, is_documented, kind_of, lines_frame, period_of
from pipeline.sources.bulk import bulk_header, read_bulk
from pipeline.sources.data_exports import LEGACY_REPORT, export_probe, fetch_export
from pipeline.sources.source import FetchContext, Fetched, Payload, Probe, Source

NAME = "aws_cur"
DATASET = "cost_and_usage"

_COST = "lineItem/UnblendedCost"
# What 2.0 has as one map -> how the columns of it begin, in CSV and in Parquet.
_MAPS = {"resource_tags": ("resourceTags/", "resource_tags_"), "cost_category": ("costCategory/", "cost_category_")}
_SPREAD = ("product_",)


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """One delivery for each billing period whose newest manifest has not landed yet."""
    return fetch_export(context, source=NAME, dataset=DATASET, layout=LEGACY_REPORT)


def probe(context: FetchContext) -> tuple[Probe, ...]:
    """Whether the report's manifests can be listed and read."""
    return (export_probe(context, source=NAME, dataset=DATASET, layout=LEGACY_REPORT),)


def recognise(name: str, head: bytes) -> str | None:
    """A file that was dropped by itself. Its reader says why that is not enough."""
    header = bulk_header(head)
    return DATASET if header is not None and (not header or _COST in header) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped file lands and is quarantined: whether it is all of its month, only the manifest beside it says."""
    return Fetched(dataset=DATASET, payloads=(Payload(name=name, content=content),))


def parse(content: bytes, settings: Settings) -> Frames:
    """Every line of one file, in the file's order, under the names of CUR 2.0."""
    listed = period_of(settings)
    frame = read_bulk(content, kind_of=lambda header: kind_of(_name(header))).frame
    spread = {
        name: {header: key for header in frame.columns if (key := _key(header, begins))}
        for name, begins in _MAPS.items()
    }
    maps = [
        pl.when(pl.any_horizontal(pl.col(list(keys)).is_not_null()))
        .then(pl.struct(pl.col(header).alias(key) for header, key in keys.items()).struct.json_encode())
        .alias(name)
        for name, keys in spread.items()
        if keys
    ]
    theirs = frame.with_columns(maps).drop(header for keys in spread.values() for header in keys)
    names = [_name(header) for header in theirs.columns]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise QuarantineError(f"row 1: two columns are both {twice}. Keep one of them.")
    named = theirs.rename(dict(zip(theirs.columns, names, strict=True)))
    return lines_frame(named, listed, is_known=lambda name: is_documented(name) or name.startswith(_SPREAD))


def _key(header: str, begins: tuple[str, ...]) -> str | None:
    """Which tag a column holds; None for one that holds none."""
    return next((header.removeprefix(prefix) for prefix in begins if header.startswith(prefix)), None)


def _name(header: str) -> str:
    """CUR 2.0's name of a legacy column: `savingsPlan/SavingsPlanARN` is savings_plan_savings_plan_a_r_n."""
    if "/" not in header:
        return header
    return "_".join(re.sub(r"(?<!^)(?=[A-Z])", "_", part).lower() for part in header.split("/"))


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            name=DATASET,
            mode="replace",
            bucket="billing_period",
            measure="billed",
            tables=(LINES,),
            parse=parse,
        ),
    ),
    recognise=recognise,
    drop=drop,
    fetch=fetch,
    probe=probe,
    trailing_days=62,
)
