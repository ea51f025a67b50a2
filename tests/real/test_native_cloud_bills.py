"""Genuine exports of clouds' own formats (MIT, finopsfoundation/focus_converters), against their own text."""

import csv
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.sources import SOURCES
from pipeline.sources.aws_cur2 import LINES
from pipeline.sources.focus_shape import CHARGES
from tests.models.cloud_harness import MART, broken_laws, built
from tests.pipeline.small_project import SmallProject, source

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
OCI = DATA / "gpu_invoices/oci/reports_cost-csv_0000000030000269.csv"
AZURE = DATA / "gpu_invoices/azure/sample-anonymous-ea-export-dataset.csv"
CUR = DATA / "gpu_invoices/aws_cur_legacy/sample-anonymous-aws-export-dataset.csv"
GCP = DATA / "api_billing/gcp_billing_2026-09_handmade.csv"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")


def text(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8-sig") as opened:
        return list(csv.DictReader(opened))


def read(name: str, file: Path, settings: Mapping[str, Any]) -> pl.DataFrame:
    source_of = {one.name: one for one in SOURCES}
    (dataset,) = source_of[name].datasets
    (table,) = dataset.tables
    frame = dataset.parse(file.read_bytes(), settings)[table.name]
    assert dict(frame.schema) == table.schema
    return frame


def test_oracle_s_506_lines_keep_their_18_decimals() -> None:
    """B7, B12."""
    rows, frame = text(OCI), read("oci_cost_report", OCI, {"part": "0000000030000269"})
    assert frame["billed_cost"].to_list() == [Decimal(row["cost/myCost"]) for row in rows]
    assert (frame.height, frame["billed_cost"].sum()) == (506, Decimal("2.523589325400648027"))
    assert frame["consumed_quantity"].to_list() == [Decimal(row["usage/billedQuantity"]) for row in rows]
    assert frame["charge_period_start"].min() == datetime(2023, 11, 13, 5)  # noqa: DTZ001
    assert frame["other_columns"].null_count() == 0


def test_oracle_s_report_is_a_month_of_an_account_through_the_whole_line(tmp_path: Path) -> None:
    """B12: in scope and out of it together are the bill."""
    made = SmallProject(tmp_path, [source("oci_cost_report", "oracle")])
    made.drop("oci_cost_report", "oracle", OCI.name, OCI.read_bytes())
    answers = built(made, now=datetime(2023, 12, 9, tzinfo=UTC))
    (sums,) = answers.rows(f"select sum(billed_cost) as cost, sum(line_count) as lines from {MART}")
    assert tuple(sums.values()) == (Decimal("2.523589325400648027"), 506)
    assert broken_laws(answers) == []


def test_azure_s_27_lines_are_canadian_dollars_of_one_american_date() -> None:
    """B7, B8, B23."""
    rows, frame = text(AZURE), read("azure_cost_details", AZURE, {})
    assert frame["billed_cost"].to_list() == [Decimal(row["CostInBillingCurrency"]) for row in rows]
    assert (frame.height, frame["billed_cost"].sum()) == (27, Decimal("1.26136926505726"))
    assert set(frame["billing_currency"]) == {"CAD"}
    assert frame["usage_date"].cast(pl.String).unique().to_list() == ["2023-09-02"]
    assert Counter(frame["pricing_category"]) == {"Standard": 24, "Dynamic": 3}
    assert set(frame["tags"]) == {'{"tagA": "valueA","tagB": "valueB","tagC": "valueC"}'}


def test_the_legacy_report_s_lines_are_1269_of_use_and_12_of_tax() -> None:
    """B7, B12: identity/LineItemId is on 388 of 1,281 lines, and all of them are charges."""
    rows, frame = text(CUR), read("aws_cur", CUR, {"billing_period": "2023-11"})
    assert frame["line_item_unblended_cost"].to_list() == [Decimal(row["lineItem/UnblendedCost"]) for row in rows]
    assert (frame.height, frame["line_item_unblended_cost"].sum()) == (1281, Decimal("1.68230869740"))
    assert Counter(frame["line_item_line_item_type"]) == {"Usage": 1269, "Tax": 12}
    assert frame["line_item_usage_type"].to_list() == [row["lineItem/UsageType"] or None for row in rows]
    assert frame["product_region_code"].to_list() == [row["product/regionCode"] or None for row in rows]
    assert frame["other_columns"].null_count() == 1281
    assert LINES.schema == dict(frame.schema)


def test_google_s_hand_made_page_nets_its_credits_apart() -> None:
    """B20: 10.00 less a credit of 0.50 is two charges."""
    rows, frame = text(GCP), read("gcp_billing_export", GCP, {"files": "whole"})
    costs = [Decimal(row["cost"]) for row in rows]
    assert frame["billed_cost"].to_list()[: len(rows)] == costs
    assert frame.filter(pl.col("charge_category") == "Credit")["billed_cost"].to_list() == [
        Decimal("-0.5"),
        Decimal("-0.20625"),
    ]
    assert Counter(frame["charge_category"]) == {"Usage": 3, "Tax": 1, "Credit": 2}
    assert frame["consumed_unit"].to_list()[:2] == ["tokens", "tokens"]
    assert dict(frame.schema) == CHARGES.schema
