"""Models that keep their days apart: one query makes several days, and says of each what a query of its own says; and
of a month that changed only the days that did are made anew.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from pipeline.build import runner as runner_module
from pipeline.build.graph import _relations
from pipeline.build.landed_tables import read_landed
from pipeline.build.relations import DateRange, FrameRelation, NodePart, NodeRelation, Relation, empty_select, quoted
from pipeline.build.runner import Runner
from pipeline.build.snapshot import Snapshot
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
    ["-- partition: none, days apart", "-- partition: day, weeks apart"],
)  # fmt: skip
def test_a_header_that_cannot_be_so_is_refused(tmp_path, header):
    (tmp_path / "fct_x.sql").write_text(f"{header}\nselect usage_date from landed\n")
    with pytest.raises(BuildError, match="days apart"):
        load_models(tmp_path)


MONTHLY = replace(SUMMED, partition_by="month", lookback={"rows": 2}, sql="""
    select days.usage_date, rows.item, count(*) as rows_count
    from rows
    inner join (
        select cast(unnest(generate_series(from_date, to_date - 1, interval 1 day)) as date) as usage_date
        from this_partition
    ) as days on rows.usage_date between days.usage_date - 2 and days.usage_date
    group by all
""")  # fmt: skip


def months_of(
    tables: Mapping[str, Relation], cache: Path, before: Mapping[str, NodeRelation], model: SqlModel = MONTHLY
) -> NodeRelation:
    return Runner(models=[model], relations=tables, cache=cache, before=before).build().nodes[model.name]


def kept_rows(node: NodeRelation) -> list[tuple[Any, ...]]:
    return sorted(row for _, file in node.files(None) for row in pl.read_parquet(file).rows())


HISTORY = st.lists(st.tuples(st.integers(0, 40), st.sampled_from("abc")), max_size=25)


@given(st.lists(HISTORY, min_size=1, max_size=4))
@settings(max_examples=15, deadline=None)
def test_a_month_of_which_days_were_kept_is_the_month_made_anew(tmp_path_factory, histories):
    folder = tmp_path_factory.mktemp("cache")
    before: dict[str, NodeRelation] = {}
    for number, days in enumerate(histories):
        rows = {"rows": rows_of(days, folder)}
        kept = months_of(rows, folder / "kept", before)
        anew = months_of(rows, folder / f"anew {number}", {})
        assert kept.parts == anew.parts
        assert kept_rows(kept) == kept_rows(anew)
        before = {kept.name: kept}


def windows_asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[date, date]]:
    asked: list[tuple[date, date]] = []
    really = runner_module._over

    def noted(tables: Mapping[str, str], sql: str, window: DateRange) -> str:
        asked.append((window.from_date, window.to_date))
        return really(tables, sql, window)

    monkeypatch.setattr(runner_module, "_over", noted)
    return asked


def test_of_a_month_only_the_days_that_read_what_changed_are_made_anew(tmp_path, monkeypatch):
    before = months_of({"rows": rows_of([(5, "a"), (9, "a"), (20, "a")], tmp_path)}, tmp_path, {})
    asked = windows_asked(monkeypatch)
    months_of({"rows": rows_of([(5, "a"), (9, "b"), (20, "a")], tmp_path)}, tmp_path, {before.name: before})
    changed = FIRST + timedelta(days=9)
    assert asked == [(changed, changed + timedelta(days=3))]


@pytest.mark.parametrize("lost", ["*.parquet", "*.json"])
def test_a_month_of_which_nothing_can_be_had_is_made_whole(tmp_path, lost):
    before = months_of({"rows": rows_of([(5, "a"), (9, "a")], tmp_path)}, tmp_path, {})
    for file in (tmp_path / "nodes" / before.name).glob(lost):
        file.unlink()
    rows = {"rows": rows_of([(5, "a"), (9, "b")], tmp_path)}
    after = months_of(rows, tmp_path, {before.name: before})
    assert kept_rows(after) == kept_rows(months_of(rows, tmp_path / "anew", {}))


def test_days_of_another_query_are_not_kept(tmp_path):
    rows = {"rows": rows_of([(5, "a"), (9, "a")], tmp_path)}
    before = months_of(rows, tmp_path, {})
    edited = replace(MONTHLY, sql=MONTHLY.sql.replace("count(*)", "2 * count(*)"))
    after = months_of(rows, tmp_path, {before.name: before}, edited)
    assert {count for *_, count in kept_rows(after)} == {2}


def test_rows_outside_the_days_that_are_made_anew_are_refused(tmp_path):
    astray = replace(
        MONTHLY, lookback={}, sql="select cast(date_trunc('month', usage_date) as date) as usage_date from rows"
    )
    before = months_of({"rows": rows_of([(5, "a"), (9, "a")], tmp_path)}, tmp_path, {}, astray)
    rows = {"rows": rows_of([(5, "a"), (9, "a"), (9, "b")], tmp_path)}
    with pytest.raises(BuildError, match=r"partition 2026-11 from 2026-11-08: rows of 2026-11-01 are outside"):
        months_of(rows, tmp_path, {before.name: before}, astray)


def test_without_rows_of_what_it_is_made_of_no_query_runs(tmp_path, monkeypatch):
    asked = windows_asked(monkeypatch)
    rows, calendar = rows_of([(1, "a")], tmp_path), rows_of([(day, "c") for day in range(5)], tmp_path)
    model = replace(
        SUMMED,
        sql="select rows.usage_date, count(*) as rows_count from rows inner join days using (usage_date) group by all",
        inputs=("days", "rows"),
        rows_of=("rows",),
    )
    made = parts(model, {"rows": rows, "days": replace(calendar, name="days")}, tmp_path)
    assert {day: part.rows for day, part in made.items() if part.rows} == {str(FIRST + timedelta(days=1)): 1}
    assert len(made) == 5
    assert asked == [(FIRST + timedelta(days=1), FIRST + timedelta(days=2))]


def test_a_model_is_made_of_what_it_reads(tmp_path):
    (tmp_path / "fct_x.sql").write_text("-- partition: day\n-- rows of: elsewhere\nselect usage_date from landed\n")
    with pytest.raises(BuildError, match="rows of: elsewhere"):
        load_models(tmp_path)


def tables_of(project: Project) -> tuple[Snapshot, dict[str, Relation]]:
    """The snapshot, and all that its nodes read."""
    snapshot = current_snapshot(project)
    landed = read_landed(
        contents := project.landing.contents().as_of(snapshot.as_of),
        datasets=shipped_graph().datasets,
        landing=project.landing,
        cache=project.paths.cache,
        as_of=snapshot.as_of,
    )
    return snapshot, {**_relations(shipped_graph(), contents, landed, project.paths.cache), **snapshot.nodes}


def test_every_model_that_says_so_keeps_its_days_apart(demo_folder: Path) -> None:
    """The demo's were made a week or a month at a time; a few of their days once more, each by itself."""
    project = Project(demo_folder)
    snapshot, tables = tables_of(project)
    checked = set()
    with closing(duckdb.connect()) as connection:
        connection.execute("set timezone = 'UTC'")
        for model in shipped_graph().models(project.paths.cache):
            if not isinstance(model, SqlModel) or not model.days_are_apart:
                continue
            node = snapshot.node(model.name)
            made = {day: said for part in node.parts.values() for day, said in part.by_day.items()}
            busiest = sorted(made, key=lambda day: (-int(made[day].partition(".")[0]), day))[:2]
            for day in {*busiest, *sorted(made)[:1], *sorted(made)[-1:]}:
                window = DateRange(day, day + timedelta(days=1))
                for name in model.inputs:
                    days = runner_module._days_read(model, tables[name], window)
                    connection.execute(f"create or replace temp view {quoted(name)} as {tables[name].sql(days)}")
                runner_module._set_partition(connection, window)
                found = runner_module._hashed(connection, model, node.columns, f"({model.sql})")
                assert {day: said for day, (_, said) in found.items()} == {day: made[day]}, (model.name, day)
            checked.add(model.name)
    assert {"int_api_costs_allocated_daily", "int_api_usage_hourly", "stg_nvml_spool__gpu_hours"} <= checked
    assert {"fct_api_costs_daily", "int_gpu_seen_hours", "fct_unit_costs_daily"} <= checked


def test_no_model_that_keeps_its_days_apart_speaks_of_a_week_or_a_month() -> None:
    speaks = re.compile(r"date_trunc\('(week|month|quarter|year)'")
    models = [model for model in shipped_graph().models(None) if isinstance(model, SqlModel)]
    assert [model.name for model in models if model.days_are_apart and speaks.search(model.sql)] == []


_THE_DAY = re.compile(r"\b(usage|rate)_date\b|_number\b")


def _over_days(query: exp.Expr) -> Iterator[str]:
    """What of a query puts rows together without their day: its groups, what it makes distinct, its windows."""
    for select in query.find_all(exp.Select):
        tables = [table.name for table in select.find_all(exp.Table)]
        columns = " ".join("usage_date" if column.is_star else column.alias_or_name for column in select.expressions)
        group = select.args.get("group")
        keys = "usage_date"
        if group is not None:
            keys = columns if group.args.get("all") else group.sql()
        elif select.args.get("distinct"):
            keys = columns
        if not _THE_DAY.search(keys) and not all(table.startswith("config_") for table in tables):
            yield f"{', '.join(tables)}: {keys}"
    for window in query.find_all(exp.Window):
        by = " ".join(key.sql() for key in window.args.get("partition_by") or [])
        if not window.alias and not _THE_DAY.search(by or window.sql()):
            yield window.sql()


def test_no_model_that_keeps_its_days_apart_puts_rows_of_two_days_together() -> None:
    """Groups, distinct rows and windows name the day, or a number that was given within one; of dated rows, that is."""
    models = [model for model in shipped_graph().models(None) if isinstance(model, SqlModel) and model.days_are_apart]
    found = [(model.name, list(_over_days(sqlglot.parse_one(model.sql, read="duckdb")))) for model in models]
    assert [one for one in found if one[1]] == []


def test_every_model_yields_nothing_without_the_rows_that_it_says_it_is_made_of(demo_folder: Path) -> None:
    project = Project(demo_folder)
    _, tables = tables_of(project)
    checked = set()
    with closing(duckdb.connect()) as connection:
        connection.execute("set timezone = 'UTC'")
        runner_module._set_partition(connection, DateRange(date(2020, 1, 1), date(2030, 1, 1)))
        for model in shipped_graph().models(project.paths.cache):
            if not isinstance(model, SqlModel) or not model.rows_of:
                continue
            for name in model.inputs:
                rows = empty_select(tables[name].columns) if name in model.rows_of else tables[name].sql(None)
                connection.execute(f"create or replace temp view {quoted(name)} as {rows}")
            assert connection.execute(f"select count(*) from ({model.sql})").fetchone() == (0,), model.name
            checked.add(model.name)
    assert {"int_gpu_shares_interval", "int_engine_tokens_hourly"} <= checked
