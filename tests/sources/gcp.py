"""Rows of Google Cloud's detailed billing export in its three spellings: nested lines of JSON, flat CSV, Parquet with
structs. All generated.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

Row = Mapping[str, Any]

NAME = "gcp_billing_export"
ACCOUNT = "google"
BILLING_ACCOUNT = "0X0X0X-0X0X0X-0X0X0X"
NODE = "//compute.googleapis.com/projects/acme/zones/us-east5-a/instances/12345"
ROW: Row = {
    "billing_account_id": BILLING_ACCOUNT,
    "service": {"id": "6F81-5844-456A", "description": "Compute Engine"},
    "sku": {"id": "A1B2-0001", "description": "Nvidia H100 80GB GPU running in Americas"},
    "usage_start_time": "2026-11-02 10:00:00 UTC",
    "usage_end_time": "2026-11-02 11:00:00 UTC",
    "project": {"id": "acme-serving", "name": "serving", "labels": [{"key": "env", "value": "prod"}]},
    "labels": [{"key": "team", "value": "search"}],
    "location": {"location": "us-east5", "region": "us-east5", "zone": "us-east5-a"},
    "resource": {"name": "a3-1", "global_name": NODE},
    "export_time": "2026-11-02 15:00:00 UTC",
    "cost": 80.5,
    "cost_at_list": 88.0,
    "currency": "AUD",
    "currency_conversion_rate": 1.4389,
    "usage": {"amount": 28800.0, "unit": "seconds", "amount_in_pricing_units": 8.0, "pricing_unit": "hour"},
    "credits": [],
    "invoice": {"month": "202611", "publisher_type": "GOOGLE"},
    "cost_type": "regular",
    "adjustment_info": {"id": None, "mode": None},
}
CREDIT = {
    "name": "Committed use discount", "full_name": "Committed use discount: GPU", "id": "cud-1", "type": "DISCOUNT",
}  # fmt: skip


def row(cost: float | str = 80.5, *, month: str = "202611", **said: Any) -> dict[str, Any]:
    """An hour of eight GPUs."""
    return {**ROW, "cost": cost, "invoice": {"month": month, "publisher_type": "GOOGLE"}, **said}


def credit(amount: float | str, kind: str = "DISCOUNT") -> dict[str, Any]:
    return {**CREDIT, "amount": amount, "type": kind}


def json_lines(rows: Sequence[Row]) -> bytes:
    """As BigQuery extracts it."""
    return "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in rows).encode()


def flat_csv(rows: Sequence[Row], *, dot: str = ".") -> bytes:
    """What nests under dotted names, lists as JSON."""
    flat = [
        {
            name: value
            for top, said in one.items()
            for name, value in (
                {f"{top}{dot}{key}": inner for key, inner in said.items()}.items()
                if isinstance(said, Mapping)
                else [(top, said)]
            )
        }
        for one in rows
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        [{name: json.dumps(value) if isinstance(value, list) else value for name, value in one.items()} for one in flat]
    )
    return text.getvalue().encode()


def parquet(rows: Sequence[Row]) -> bytes:
    """Structs, lists of structs and doubles."""
    credit_type = pl.List(
        pl.Struct({"name": pl.String, "full_name": pl.String, "id": pl.String, "type": pl.String, "amount": pl.Float64})
    )
    frame = pl.DataFrame(
        [{**one, "cost": float(one["cost"])} for one in rows],
        schema_overrides={"credits": credit_type, "adjustment_info": pl.Struct({"id": pl.String, "mode": pl.String})},
        infer_schema_length=None,
    ).with_columns(
        pl.col("usage_start_time", "usage_end_time").str.to_datetime("%Y-%m-%d %H:%M:%S UTC", time_zone="UTC")
    )
    file = io.BytesIO()
    frame.write_parquet(file)
    return file.getvalue()
