"""Column lineage: what a column is made from, through CTEs, joins and `*`."""

import sqlglot

from pipeline.build.lineage import column_lineage
from pipeline.build.sql_models import SqlModel

INPUTS = {"bills": (("usage_date", "DATE"), ("cost", "DECIMAL(38,18)"), ("account", "VARCHAR"))}
SQL = """
with
bills_of_a_day as (
    select *
    from bills
    where usage_date >= (select from_date from this_partition)
),

summed as (
    select
        account,
        sum(cost) as billed_cost
    from bills_of_a_day
    group by account
)

select
    summed.account,
    summed.billed_cost / rates.rate as converted_cost,
    'USD' as currency
from summed
inner join rates on summed.account = rates.account
"""
MODEL = SqlModel(name="m", sql=SQL, partition_by="none", inputs=("bills", "rates"))
COLUMNS = (("account", "VARCHAR"), ("converted_cost", "DOUBLE"), ("currency", "VARCHAR"))


def test_a_column_is_traced_to_the_tables_it_is_made_from():
    traced = column_lineage(MODEL, COLUMNS, inputs=INPUTS, cache=None)
    assert traced == {
        "account": (("bills", "account"),),
        "converted_cost": (("bills", "cost"), ("rates", "rate")),
        "currency": (),
    }


def test_lineage_is_read_from_the_cache_until_the_sql_changes(tmp_path, monkeypatch):
    first = column_lineage(MODEL, COLUMNS, inputs=INPUTS, cache=tmp_path)
    monkeypatch.setattr(sqlglot, "parse_one", _refuse)
    assert column_lineage(MODEL, COLUMNS, inputs=INPUTS, cache=tmp_path) == first


def _refuse(*_: object, **__: object) -> None:
    raise AssertionError("parsed again")


def test_sql_that_cannot_be_traced_stops_nothing():
    model = SqlModel(name="m", sql="select from from", partition_by="none", inputs=())
    assert column_lineage(model, (("a", "VARCHAR"),), inputs={}, cache=None) == {}
