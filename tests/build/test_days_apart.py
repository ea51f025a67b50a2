"""Models that keep their days apart: one query makes several days, and says of each what a query of its own says."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.build import runner as runner_module
from pipeline.build.graph import _relations
from pipeline.build.landed_tables import read_landed
from pipeline.build.relations import FrameRelation, NodePart, Relation
from pipeline.build.runner import Runner
from pipeline.build.sql_models import SqlModel, load_models
from pipeline.decisions.graph import current_snapshot, shipped_graph
from pipeline.errors import BuildError
from pipeline.landing.project import Project

FIRST = date(2026, 10, 30)
SCHEMA = {"usage_date": pl.Date(), "item": pl.String()}
SUMMED = SqlModel(
    name="fct_rows",
    sql="select usage_date, item, count(*) as rows_count from rows group by all",
    partition_by="day",
    inputs=("rows",),
    days_are_apart=True,
)


def parts(model: SqlModel, tables: Mapping[str, Relation], cache: Path) -> dict[str, NodePart]:
    return dict(Runner(models=[model], relations=tables, cache=cache).build().nodes[model.name].parts)


def rows_of(days: list[tuple[int, str]], folder: Path) -> FrameRelation:
    frame = pl.DataFrame([(FIRST + timedelta(days=day), item) for day, item in days], schema=SCHEMA, orient="row")
    return FrameRelation(name="rows", frame=frame, folder=folder, date_column="usage_date")


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from("abc")), min_size=1, max_size=30))
@settings(max_examples=15, deadline=None)
def test_days_made_together_are_the_days_made_one_by_one(tmp_path_factory, days):
    folder = tmp_path_factory.mktemp("cache")
    rows = rows_of(days, folder)
    apart = parts(SUMMED, {"rows": rows}, folder / "together")
    assert apart == parts(replace(SUMMED, days_are_apart=False), {"rows": rows}, folder / "one by one")
    for day, part in apart.items():
        kept = pl.read_parquet(folder / "together" / "nodes" / "fct_rows" / f"{part.key}.parquet")
        assert {str(found) for found in kept["usage_date"]} == {day}
        assert len(kept) == part.rows


def test_a_week_in_a_row_is_one_query_and_a_gap_begins_another(tmp_path, monkeypatch):
    asked: list[list[str]] = []
    really = Runner._run_sql

    def run(self: Runner, model: SqlModel, keys: Mapping[str, str], *rest: Any) -> Mapping[str, NodePart]:
        asked.append(sorted(keys))
        return really(self, model, keys, *rest)

    monkeypatch.setattr(Runner, "_run_sql", run)
    days = [0, 1, 2, 4, *range(6, 16)]
    parts(SUMMED, {"rows": rows_of([(day, "a") for day in days], tmp_path)}, tmp_path)
    assert sorted([(date.fromisoformat(day) - FIRST).days for day in together] for together in asked) == [
        [0, 1, 2], [4], [6, 7, 8, 9, 10, 11, 12], [13, 14, 15],
    ]  # fmt: skip


def test_rows_of_no_day_that_was_asked_for_are_refused(tmp_path):
    astray = replace(SUMMED, sql="select usage_date + 30 as usage_date, item, 1 as rows_count from rows")
    with pytest.raises(BuildError, match=r"partitions 2026-10-30 to 2026-10-31: rows of 2026-11-29 are outside"):
        parts(astray, {"rows": rows_of([(0, "a"), (1, "b")], tmp_path)}, tmp_path)


@pytest.mark.parametrize(
    "header",
    ["-- partition: month, days apart", "-- partition: day, weeks apart",
     "-- partition: day, days apart\n-- lookback: landed 1 days"],
)  # fmt: skip
def test_a_header_that_cannot_be_so_is_refused(tmp_path, header):
    (tmp_path / "fct_x.sql").write_text(f"{header}\nselect usage_date from landed\n")
    with pytest.raises(BuildError, match="days apart"):
        load_models(tmp_path)


def test_every_model_that_says_so_keeps_its_days_apart(demo_folder: Path, tmp_path: Path, monkeypatch) -> None:
    """The demo's were made a week at a time; a few of their days once more, each by itself."""
    monkeypatch.setattr(runner_module, "_MOST_DAYS_TOGETHER", 1)
    project = Project(demo_folder)
    snapshot = current_snapshot(project)
    landed = read_landed(
        contents := project.landing.contents().as_of(snapshot.as_of),
        datasets=shipped_graph().datasets,
        landing=project.landing,
        cache=project.paths.cache,
        as_of=snapshot.as_of,
    )
    tables = {**_relations(shipped_graph(), contents, landed, project.paths.cache), **snapshot.nodes}
    checked = set()
    for model in shipped_graph().models(project.paths.cache):
        if not isinstance(model, SqlModel) or not model.days_are_apart:
            continue
        made = snapshot.node(model.name).parts
        busiest = sorted(made, key=lambda day: -made[day].rows)[:4]
        known = {part.key: part for day, part in made.items() if day not in busiest}
        built = Runner(models=[model], relations=tables, cache=tmp_path, known=known).build()
        assert built.ran[model.name] == sorted(busiest), model.name
        assert built.nodes[model.name].parts == made, model.name
        checked.add(model.name)
    assert {"int_api_costs_allocated_daily", "int_api_usage_hourly", "stg_nvml_spool__gpu_hours"} <= checked
