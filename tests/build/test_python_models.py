"""Nodes written in Python: what they are handed, what they may yield, and that its content is what SQL would say."""

from collections.abc import Mapping
from datetime import date, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.build.relations import DateRange, FrameRelation, NodeRelation
from pipeline.build.runner import PythonModel, Runner
from pipeline.build.sql_models import SqlModel
from pipeline.errors import BuildError

FIRST = date(2026, 10, 30)
SCHEMA = {"usage_date": pl.Date(), "item": pl.String(), "amount": pl.Decimal(38, 18), "share": pl.Float64()}


def frame(rows: list[tuple[int, str | None, str | None, float | None]]) -> pl.DataFrame:
    """rows: (days after the first, item, amount, share)."""
    return pl.DataFrame(
        [(FIRST + timedelta(days=day), item, amount, share) for day, item, amount, share in rows],
        schema={**SCHEMA, "amount": pl.String()},
        orient="row",
    ).with_columns(pl.col("amount").cast(SCHEMA["amount"]))


def built(model: PythonModel | SqlModel, rows: pl.DataFrame, folder: Path) -> tuple[NodeRelation, list[str]]:
    relation = FrameRelation(name="rows", frame=rows, folder=folder, date_column="usage_date")
    result = Runner(models=[model], relations={"rows": relation}, cache=folder).build()
    return result.nodes[model.name], result.ran.get(model.name, [])


def same(inputs: Mapping[str, Any]) -> pl.DataFrame:
    rows: pl.DataFrame = inputs["rows"]
    return rows


def python_model(build=same, **how: Any) -> PythonModel:
    settled = {"name": "fct_rows", "inputs": ("rows",), "schema": SCHEMA, "partition_by": "day"}
    return PythonModel(build=build, **{**settled, **how})


ANY_ROWS = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3),
        st.none() | st.decimals(-(10**9), 10**9, places=18).map(str),
        st.none() | st.floats(allow_nan=False),
    ),
    max_size=12,
)


@given(ANY_ROWS, st.sampled_from(["day", "month"]))
@settings(max_examples=15, deadline=None)
def test_equal_rows_have_equal_content_whether_python_or_sql_made_them(tmp_path_factory, rows, partition_by):
    """B29. A part is hashed with others or alone, from a frame or from a table: what it says is what counts."""
    folder = tmp_path_factory.mktemp("cache")
    whole, half = frame(rows), frame(rows).head(len(rows) // 2)
    sql = SqlModel(name="fct_rows", sql="select * from rows", partition_by=partition_by, inputs=("rows",))
    said_by_sql, _ = built(sql, whole, folder / "sql")
    at_once, _ = built(python_model(partition_by=partition_by), whole, folder / "at once")
    built(python_model(partition_by=partition_by), half, folder / "in two")
    in_two, _ = built(python_model(partition_by=partition_by), whole, folder / "in two")

    def contents(node: NodeRelation) -> dict[str, tuple[str, int, Mapping[date, str]]]:
        return {partition: (part.content, part.rows, part.by_day) for partition, part in node.parts.items()}

    assert contents(at_once) == contents(in_two) == contents(said_by_sql)


def test_a_day_is_prepared_once_and_handed_to_every_partition_that_reads_it(tmp_path):
    prepared: list[list[date]] = []
    handed: dict[date, list[date]] = {}

    def items(rows: pl.DataFrame) -> list[str]:
        prepared.append(rows["usage_date"].unique().to_list())
        return rows["item"].to_list()

    def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
        day = inputs["this_partition"]["from_date"][0]
        handed[day] = list(inputs["rows"])
        return frame([((day - FIRST).days, "".join(chain(*inputs["rows"].values())), None, None)])

    rows = frame([(0, "a", None, None), (1, "b", None, None), (1, "c", None, None), (3, "d", None, None)])
    model = python_model(build, prepare={"rows": items}, lookback={"rows": 1})
    node, _ = built(model, rows, tmp_path)
    first, second, fourth = (FIRST + timedelta(days=day) for day in (0, 1, 3))
    assert sorted(prepared) == [[first], [second], [fourth]]
    assert handed == {first: [first], second: [first, second], fourth: [fourth]}
    files = [file for _, file in node.files(None)]
    assert pl.read_parquet(files).sort("usage_date")["item"].to_list() == ["a", "abc", "d"]


def test_what_a_model_does_not_ask_for_is_not_read(tmp_path, monkeypatch):
    read: list[str] = []
    really = FrameRelation.sql
    monkeypatch.setattr(FrameRelation, "sql", lambda self, days: read.append(self.name) or really(self, days))
    tables = {
        name: FrameRelation(name=name, frame=frame([(0, "a", None, None)]), folder=tmp_path, date_column="usage_date")
        for name in ("rows", "seldom")
    }

    def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
        assert sorted(inputs) == ["rows", "seldom", "this_partition"]
        return inputs["rows"] if len(inputs["rows"]) == 1 else inputs["seldom"]

    Runner(models=[python_model(build, inputs=("rows", "seldom"))], relations=tables, cache=tmp_path).build()
    assert read == ["rows"]


def test_only_partitions_whose_window_changed_are_made_again(tmp_path):
    rows = [(day, "a", None, None) for day in range(6)]
    model = python_model(lambda inputs: frame([]), prepare={"rows": len}, lookback={"rows": 1})
    assert len(built(model, frame(rows), tmp_path)[1]) == 6
    rows[2] = (2, "restated", None, None)
    changed = [str(FIRST + timedelta(days=day)) for day in (2, 3)]
    assert built(model, frame(rows), tmp_path)[1] == changed


@pytest.mark.parametrize("day", [-1, 1, 31])
def test_rows_outside_their_partition_are_refused(tmp_path, day):
    """Also where another partition of the same build would own them."""
    rows = frame([(0, "a", None, None), (1, "b", None, None)])
    model = python_model(lambda inputs: frame([(day, "a", None, None)]))
    with pytest.raises(BuildError, match=r"fct_rows, partition .* are outside it"):
        built(model, rows, tmp_path)


def test_columns_that_were_not_declared_are_refused(tmp_path):
    model = python_model(lambda inputs: inputs["rows"].drop("share"))
    with pytest.raises(BuildError, match="fct_rows returned columns"):
        built(model, frame([(0, "a", None, None)]), tmp_path)


def test_two_models_that_ask_alike_are_handed_what_was_read_once(tmp_path, monkeypatch):
    """The second may ask for fewer days. Who reads or prepares otherwise reads for itself; then nothing is kept."""
    read: list[DateRange | None] = []
    prepared: list[date] = []
    really = FrameRelation.sql
    monkeypatch.setattr(FrameRelation, "sql", lambda self, days: read.append(days) or really(self, days))

    def items(rows: pl.DataFrame) -> list[str]:
        prepared.append(rows["usage_date"][0])
        return rows["item"].to_list()

    def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
        day = inputs["this_partition"]["from_date"][0]
        return frame([((day - FIRST).days, "".join(chain(*inputs["rows"].values())), None, None)])

    rows = frame([(day, item, None, None) for day, item in enumerate("abcd")])
    relation = FrameRelation(name="rows", frame=rows, folder=tmp_path, date_column="usage_date")
    alike = {"prepare": {"rows": items}, "reads": {"rows": "select usage_date, item from rows"}}
    two = [
        python_model(build, **alike, lookback={"rows": 2}),
        python_model(build, name="fct_after", inputs=("rows", "fct_rows"), **alike, lookback={"rows": 1}),
    ]
    result = Runner(models=two, relations={"rows": relation}, cache=tmp_path, threads=1).build()
    assert len([days for days in read if days is not None]) == 1
    assert sorted(prepared) == [FIRST + timedelta(days=day) for day in range(4)]
    found = {
        name: pl.read_parquet([file for _, file in node.files(None)]).sort("usage_date")["item"].to_list()
        for name, node in result.nodes.items()
    }
    assert found == {"fct_rows": ["a", "ab", "abc", "bcd"], "fct_after": ["a", "ab", "bc", "cd"]}

    read.clear()
    other = {**alike, "reads": {"rows": "select usage_date, item from rows where item < 'd'"}}
    two[1] = python_model(build, name="fct_after", inputs=("rows", "fct_rows"), **other, lookback={"rows": 1})
    Runner(models=two, relations={"rows": relation}, cache=tmp_path / "other", threads=1).build()
    assert len([days for days in read if days is not None]) == 2


def test_of_a_long_input_only_the_days_between_are_read(tmp_path, monkeypatch):
    read: list[DateRange | None] = []
    really = FrameRelation.sql
    monkeypatch.setattr(FrameRelation, "sql", lambda self, days: read.append(days) or really(self, days))

    last = FIRST + timedelta(days=30)

    def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
        if inputs["this_partition"]["to_date"][0] <= last:
            return frame([])
        found = inputs["rows"].between(last - timedelta(days=1), last)
        return frame([(30, "".join(found.values()), None, None)])

    rows = frame([(day, str(day % 10), None, None) for day in range(32)])
    digits = {"rows": lambda of_day: of_day["item"][0]}
    model = python_model(build, partition_by="month", lookback={"rows": 27}, prepare=digits)
    node, _ = built(model, rows, tmp_path)
    assert {days for days in read if days is not None} == {
        DateRange(last - timedelta(days=1), last + timedelta(days=1))
    }
    assert pl.read_parquet([file for _, file in node.files(None)])["item"].to_list() == ["90"]
