"""The list price of a row is one figure: the mart's list cost and the rating beside the bill agree."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from pipeline.paths import sql_root
from tests.models.api_harness import COSTS, USAGES, Rows, build_tables, cost_line, rows_of, usage_row

DAY = date(2026, 11, 3)
MART = "fct_api_costs_daily"
ALLOCATED = "int_api_costs_allocated_daily"
# Million tokens of output each: how they were bought, as the bill says it.
BOUGHT = [
    {"service_tier": "standard"},
    {"service_tier": "batch"},
    {"service_tier": "priority"},
    {"service_tier": "flex", "inference_geo": "us"},
]


def rated(cache: Path) -> tuple[Rows, dict[str, dict[str, Any]], Rows]:
    """Rows of the mart; the rating by tier; the rows that both are made from."""
    tables = {
        COSTS: [cost_line(DAY, "100", **how) for how in BOUGHT],
        USAGES: [usage_row(DAY, api_key_id="a", output_tokens=10**6, **how) for how in BOUGHT],
    }
    built = build_tables(cache, tables, [MART, ALLOCATED, "list_prices"])
    connection = duckdb.connect()
    for name in (ALLOCATED, "list_prices"):
        connection.execute(f"create view {name} as {built.nodes[name].sql(None)}")
    question = (sql_root() / "reports" / "rating_variance.sql").read_text(encoding="utf-8")
    found = connection.execute(question, {"from_date": DAY, "to_date": date(2026, 11, 4)})
    columns = [column[0] for column in found.description]
    ratings = [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
    return rows_of(built, MART), {row["service_tier"]: row for row in ratings}, rows_of(built, ALLOCATED)


def test_what_is_rated_beside_the_bill_is_the_list_cost_of_the_mart(tmp_path: Path) -> None:
    """B5, B4: standard and batch have their own price; of a tier or a place the price book does not know, neither says
    one.
    """
    mart, ratings, allocated = rated(tmp_path)
    listed = {row["service_tier"]: row["list_cost_rc"] for row in mart}
    assert listed == {"standard": Decimal(25), "batch": Decimal("12.5"), "priority": None, "flex": None}
    assert {tier: row["rated_cost"] for tier, row in ratings.items()} == listed
    assert {row["service_tier"]: row["price_mode"] for row in allocated} == {
        "standard": "standard",
        "batch": "batch",
        "priority": "priority",
        "flex": "flex",
    }


def test_how_tokens_were_bought_is_decided_in_one_place() -> None:
    """B5: a second copy would drift, and the rating would differ from the list cost for no reason of the bill's."""
    deciding = "when service_tier = 'standard' and speed = 'fast' then 'fast'"
    models = sql_root().parent / "dbt_like_models"
    homes = [path.name for root in (models, sql_root()) for path in root.rglob("*.sql") if deciding in path.read_text()]
    assert homes == [f"{ALLOCATED}.sql"]
