"""A page of OpenAI's costs endpoint as its schema has it, made by hand; its amounts are of a genuine day's shape."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from pipeline.sources.openai_costs_api import SOURCE
from tests.models.api_harness import API_CHECKS, broken_laws, build_tables, rows_of
from tests.models.openai_rows import COSTS, openai_sources

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "api_billing" / "openai"
NAME = "costs_page_handmade.json"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/data/api_billing/openai is not here")


@pytest.fixture(scope="module")
def costs() -> pl.DataFrame:
    content = (FOLDER / NAME).read_bytes()
    assert SOURCE.recognise(NAME, content) == "costs"
    dropped = SOURCE.drop(NAME, content, {})
    assert (dropped.complete, dropped.grouping) == (True, SOURCE.datasets[0].grouping)
    return SOURCE.datasets[0].parse(content, dropped.settings)["costs"]


def test_the_four_amounts_keep_their_digits(costs: pl.DataFrame) -> None:
    """Class B7: exact, as text."""
    assert costs["amount"].to_list() == ["0.067855", "0.0178872", "0.255156", "3.61548"]
    assert sum(map(Decimal, costs["amount"])) == Decimal("3.9563782")
    assert costs["usage_date"].unique().to_list() == [date(2026, 9, 1)]


def test_its_line_items_are_four_classes_of_one_model(costs: pl.DataFrame, tmp_path: Path) -> None:
    """Classes B1, B3: cache writes and cached input are classes of their own, each with its money."""
    rows = [{"account": "acme", **row} for row in costs.to_dicts()]
    built = build_tables(
        tmp_path, {"config_sources": openai_sources(), COSTS: rows}, ["fct_api_costs_daily", *API_CHECKS]
    )
    assert broken_laws(built) == []
    told = rows_of(built, "fct_api_costs_daily")
    assert {row["token_class"]: row["billed_cost"] for row in told} == {
        "input_cache_write_30m": Decimal("0.067855"),
        "input_cache_read": Decimal("0.0178872"),
        "input_uncached": Decimal("0.255156"),
        "output": Decimal("3.61548"),
    }
    assert {(row["model"], row["sub_account_id"]) for row in told} == {("gpt-5.6-sol", "proj_01Search")}
