"""A hand-made page of Bedrock lines in the shape of CUR 2.0 (MIT, sedai77/tokenbill), against its own text."""

import csv
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from pipeline.sources.aws_cur2 import LINES, SOURCE

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "api_billing" / "aws_bedrock"
NAME = "cur2_bedrock_2026-09-01_handmade.csv"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/data/api_billing/aws_bedrock is not here")


@pytest.fixture(scope="module")
def text() -> list[dict[str, str]]:
    with (FOLDER / NAME).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def lines() -> pl.DataFrame:
    (dataset,) = SOURCE.datasets
    return dataset.parse((FOLDER / NAME).read_bytes(), {"billing_period": "2026-09"})[LINES.name]


def test_every_line_is_read_and_the_total_is_that_of_the_text(text: list[dict[str, str]], lines: pl.DataFrame) -> None:
    """B7."""
    assert lines.height == len(text)
    for name in ("line_item_unblended_cost", "line_item_net_unblended_cost", "line_item_usage_amount"):
        spelled = [Decimal(row[name]) for row in text if row[name]]
        assert lines[name].drop_nulls().to_list() == spelled
        assert lines[name].sum() == sum(spelled)


def test_what_tells_the_models_apart_is_kept(text: list[dict[str, str]], lines: pl.DataFrame) -> None:
    for name in ("line_item_usage_type", "line_item_operation", "line_item_product_code", "pricing_unit"):
        assert lines[name].to_list() == [row[name] or None for row in text]
    assert set(lines["bucket"]) == {"2026-09"}
    assert lines["usage_date"].to_list() == [
        date for row in text for date in pl.Series([row["line_item_usage_start_date"][:10]]).str.to_date()
    ]
    assert lines["other_columns"].null_count() == lines.height
