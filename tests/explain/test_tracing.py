"""Landed rows go through the build's own SQL, each alone, and come out with their place."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import duckdb

from pipeline.build.sql_models import SqlModel
from pipeline.explain.tracing import Route, route_to, traced_select

DAY = date(2026, 11, 3)
ROLES = "select * from (values ('acme', 'book'), ('a\x1f1\x1f2', 'control')) as roles(account, role)"
COVERAGE = """select * from (
    values (date '2026-11-03', 'acme', 'covered'), (date '2026-11-02', 'acme', 'before')
) as covered(usage_date, account, role)"""
STAGING = """-- One row per usage_date, account, item.
with lines as (
    select * from landed_bills__costs
)

select usage_date, account, item, sum(cast(amount as decimal(18, 2))) as cost, count(*) as line_count
from lines
group by all -- each charge once
"""
CHARGES = """select staged.*, names.name, roles.role
from stg_bills as staged
left join names on staged.item = names.item
left join config_roles as roles on staged.account = roles.account
where staged.usage_date >= (select from_date from this_partition)
and staged.usage_date < (select to_date from this_partition)
-- the end"""
NAMES = "select distinct item, upper(item) as name from stg_bills"
COLUMNS = {
    "landed_bills__costs": (("account", "VARCHAR"), ("usage_date", "DATE")),
    "stg_bills": (("account", "VARCHAR"), ("usage_date", "DATE")),
    "names": (("item", "VARCHAR"), ("name", "VARCHAR")),
    "config_roles": (("account", "VARCHAR"),),
    "landed_coverage": (("account", "VARCHAR"), ("usage_date", "DATE")),
}
MODELS = {
    "stg_bills": SqlModel("stg_bills", STAGING, "month", ("landed_bills__costs",)),
    "names": SqlModel("names", NAMES, "month", ("stg_bills",)),
    "charges": SqlModel("charges", CHARGES, "month", ("config_roles", "names", "stg_bills")),
}


def route(days: Sequence[date] = (DAY,), models: Mapping[str, SqlModel] = MODELS) -> Route:
    return route_to("charges", days, models=models, columns=COLUMNS, landed=["landed_bills__costs"])


def traced(rows: Sequence[tuple[Any, ...]], models: Mapping[str, SqlModel] = MODELS) -> list[dict[str, Any]]:
    """rows: (account, item, amount, object_number, object_row), all of DAY."""
    connection = duckdb.connect()
    connection.execute("create temp table names as select 'tea' as item, 'Tea' as name")
    connection.execute(f"create temp view config_roles as {ROLES}")
    connection.execute(f"create temp view landed_coverage as {COVERAGE}")
    connection.execute(
        "create temp table traced_bills__costs (usage_date date, account varchar, item varchar, amount varchar, "
        "object_number bigint, object_row bigint)"
    )
    connection.executemany("insert into traced_bills__costs values (?, ?, ?, ?, ?, ?)", [(DAY, *row) for row in rows])
    connection.execute(
        "create temp view money as select object_number, object_row, amount as stated_amount, 2 as decimal_places "
        "from traced_bills__costs"
    )
    found = connection.sql(traced_select(route(models=models), [DAY], money="money") + " order by all")
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def test_equal_lines_are_two_rows_each_at_its_own_place() -> None:
    """B9: what the build adds up stands apart again, in the vendor's own spelling."""
    rows = traced([("acme", "tea", "1.5", 7, 1), ("acme", "tea", "1.50", 7, 2), ("labs", "tea", "1.5", 8, 1)])
    places = [(row["account"], row["object_number"], row["object_row"], row["stated_amount"]) for row in rows]
    assert places == [("acme", 7, 1, "1.5"), ("acme", 7, 2, "1.50"), ("labs", 8, 1, "1.5")]
    assert {row["line_count"] for row in rows} == {1}
    assert {row["decimal_places"] for row in rows} == {2}


def test_what_is_looked_up_by_account_is_found_for_every_row_and_what_names_mean_is_as_it_was_built() -> None:
    """B12: the model of names is not run again over single rows, and a role is not lost to a placed account."""
    rows = traced([("acme", "tea", "1.5", 7, 1), ("acme", "cake", "2", 7, 2), ("labs", "tea", "1", 8, 1)])
    assert [(row["item"], row["name"], row["role"]) for row in rows] == [
        ("cake", None, "book"),
        ("tea", "Tea", "book"),
        ("tea", "Tea", None),
    ]
    assert [model.name for model in route().models] == ["stg_bills", "charges"]
    assert route().by_account == {"config_roles": False}


def test_an_account_may_be_named_like_a_place() -> None:
    [row] = traced([("a\x1f1\x1f2", "tea", "1.5", 7, 30)])
    assert (row["account"], row["object_number"], row["object_row"], row["role"]) == ("a\x1f1\x1f2", 7, 30, "control")


def test_a_dated_table_is_looked_up_for_the_row_of_its_own_day() -> None:
    """B12: coverage of another day, or of another account, multiplies nothing."""
    charges = CHARGES.replace(
        "left join config_roles as roles on staged.account = roles.account",
        "left join landed_coverage as roles on staged.account = roles.account",
    )
    models = {**MODELS, "charges": SqlModel("charges", charges, "month", ("landed_coverage", "names", "stg_bills"))}
    rows = traced([("acme", "tea", "1.5", 7, 1), ("acme", "tea", "2", 7, 2), ("labs", "tea", "2", 8, 1)], models)
    assert [(row["object_number"], row["object_row"], row["role"]) for row in rows] == [
        (7, 1, "covered"),
        (7, 2, "covered"),
        (8, 1, None),
    ]


def test_a_model_that_loses_the_account_leaves_its_rows_without_a_place() -> None:
    """Evidence refuses on such a row; a made-up place would be worse."""
    changed = STAGING.replace("account, item", "'all' as account, item")
    models = {**MODELS, "stg_bills": SqlModel("stg_bills", changed, "month", ("landed_bills__costs",))}
    assert [row["object_number"] for row in traced([("acme", "tea", "1.5", 7, 1)], models)] == [None]


def test_a_route_reads_the_days_that_the_models_look_back_on() -> None:
    """B29: as the runner would hand them over."""
    two = [DAY, DAY + timedelta(days=4)]
    assert route(two).landed["landed_bills__costs"] == set(two)
    charges = SqlModel("charges", CHARGES, "month", ("names", "stg_bills"), lookback={"stg_bills": 2})
    looked_back = route(two, {**MODELS, "charges": charges}).landed["landed_bills__costs"]
    assert looked_back == {DAY + timedelta(days=number) for number in range(-2, 5)}


def test_a_route_through_a_model_of_no_partition_reads_every_day() -> None:
    """B29: what began years ago is found again, also where another way asks for single days."""
    long_ones = SqlModel("long_ones", "select * from stg_bills", "none", ("stg_bills",))
    charges = SqlModel("charges", CHARGES, "month", ("long_ones", "names", "stg_bills"))
    columns = {**COLUMNS, "long_ones": COLUMNS["stg_bills"]}
    models = {**MODELS, "charges": charges, "long_ones": long_ones}
    found = route_to("charges", [DAY], models=models, columns=columns, landed=["landed_bills__costs"])
    assert found.landed == {"landed_bills__costs": None}
    assert [model.name for model in found.models] == ["stg_bills", "long_ones", "charges"]
