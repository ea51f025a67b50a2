"""A view of several sources: whose a row is stands in it, and in what identifies it."""

from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl
import pytest

from pipeline.build.landed_tables import _landed_relations
from pipeline.build.relations import CountedPart, LandedRelation, landed_columns
from pipeline.errors import BuildError
from pipeline.landing.dataset import Dataset, Table

DAY = date(2026, 11, 2)
ROWS = Table(name="rows", columns={"cost": pl.String()}, view="landed_rows")
NO_PARSED_TABLE: Any = None


def relation(source: str, table: Table) -> LandedRelation:
    part = CountedPart(
        source=source, dataset="bill", account="a", table=NO_PARSED_TABLE, bucket="b", usage_date=DAY, content="c"
    )
    return LandedRelation(name="landed_rows", table=table, parts={DAY: (part,)})


def test_equal_rows_of_two_sources_are_two_contents_where_a_view_says_whose_they_are() -> None:
    """B29: a file that moves from one source's inbox to another's builds what reads it anew."""
    one, other = (relation(name, ROWS).content(None) for name in ("one", "other"))
    assert one != other
    alone = replace(ROWS, view=None)
    assert relation("one", alone).content(None) == relation("other", alone).content(None)
    assert [name for name, _ in landed_columns(ROWS)][:2] == ["account", "source"]
    assert [name for name, _ in landed_columns(alone)][:2] == ["account", "bucket"]


def test_tables_that_differ_have_no_view_together() -> None:
    def dataset(source: str, table: Table) -> Dataset:
        return Dataset(source, "bill", "append", "utc_day", "metered", (table,), parse=lambda *_: {})

    wider = replace(ROWS, columns={**ROWS.columns, "unit": pl.String()})
    both = [dataset("one", ROWS), dataset("other", wider)]
    nothing: Any = {(one.source, one.name): {} for one in both}
    with pytest.raises(BuildError, match="other yields another one"):
        _landed_relations(both, {}, nothing, None)
    assert set(_landed_relations([both[0], dataset("other", ROWS)], {}, nothing, None)) == {"landed_rows"}
