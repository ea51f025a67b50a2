"""The published warehouse: brought up to date in place, it holds what a new one would."""

import duckdb
import pytest

from pipeline.build import publish as publishing
from tests.build.small_graph import MODELS, SmallProject, noon

TABLES = ("fct_costs_daily", "fct_totals", "fct_trailing_daily", "fct_readings_daily")


def day(project: SmallProject, date: str, amount: str, hour: int) -> None:
    following = f"{date[:-2]}{int(date[-2:]) + 1:02d}"
    stated = noon("2026-11-10").replace(hour=hour)
    project.land_costs([(date, "a", amount)], days=(date, following), stated=stated)


def in_warehouse(project: SmallProject) -> dict[str, list[tuple]]:
    with duckdb.connect(str(project.paths.published / "warehouse.duckdb"), read_only=True) as connection:
        return {table: connection.execute(f"select * from {table} order by all").fetchall() for table in TABLES}


def in_snapshot(project: SmallProject, result) -> dict[str, list[tuple]]:
    return {table: project.rows(result, table) for table in TABLES}


def written_whole(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tables that are made anew from now on, by name."""
    made: list[str] = []
    replace = publishing._replace_days

    def watched(connection, node, held) -> bool:
        is_replaced = replace(connection, node, held)
        if not is_replaced:
            made.append(node.name)
        return is_replaced

    monkeypatch.setattr(publishing, "_replace_days", watched)
    return made


def test_a_restated_a_new_and_a_withdrawn_day_are_replaced_in_place(tmp_path, monkeypatch):
    project = SmallProject(tmp_path)
    day(project, "2026-10-10", "1", 1)
    day(project, "2026-11-01", "2", 1)
    project.build()
    made = written_whole(monkeypatch)
    day(project, "2026-10-10", "5", 2)
    day(project, "2026-11-02", "7", 2)
    assert in_snapshot(project, result := project.build()) == in_warehouse(project)
    assert made == ["fct_totals"]
    project.land_costs([], days=("2026-10-10", "2026-10-11"), stated=noon("2026-11-11"))
    assert in_snapshot(project, project.build()) == in_warehouse(project) != in_snapshot(project, result)


def test_only_the_day_that_changed_is_written_again(tmp_path):
    """The other day of its month keeps even what a stranger did to it."""
    project = SmallProject(tmp_path)
    day(project, "2026-10-10", "1", 1)
    day(project, "2026-10-20", "2", 1)
    project.build()
    with duckdb.connect(str(project.paths.published / "warehouse.duckdb")) as connection:
        connection.execute("update fct_costs_daily set row_count = 99 where usage_date = date '2026-10-10'")
    day(project, "2026-10-20", "5", 2)
    project.build()
    assert [row[2:] for row in in_warehouse(project)["fct_costs_daily"]] == [(1, 99), (5, 1)]


def test_a_model_with_another_column_is_published_anew(tmp_path):
    project = SmallProject(tmp_path)
    day(project, "2026-10-10", "1", 1)
    project.build()
    project.models["marts/fct_costs_daily"] = MODELS["marts/fct_costs_daily"].replace("row_count", "line_count")
    assert in_snapshot(project, project.build()) == in_warehouse(project)


def test_a_table_that_no_model_makes_any_more_is_gone(tmp_path):
    project = SmallProject(tmp_path)
    day(project, "2026-10-10", "1", 1)
    project.build()
    (tmp_path / "models" / "marts" / "fct_trailing_daily.sql").unlink()
    del project.models["marts/fct_trailing_daily"]
    project.build()
    with pytest.raises(duckdb.CatalogException, match="fct_trailing_daily"):
        in_warehouse(project)


@pytest.mark.parametrize("damage", [b"", b"not a database", None])
def test_a_warehouse_that_cannot_be_used_is_written_whole(tmp_path, damage):
    project = SmallProject(tmp_path)
    day(project, "2026-10-10", "1", 1)
    project.build()
    warehouse = project.paths.published / "warehouse.duckdb"
    if damage is None:
        with duckdb.connect(str(warehouse)) as connection:
            connection.execute("update publishing.held set format = 'breakeven.warehouse/0'")
            connection.execute("delete from fct_costs_daily")
    else:
        warehouse.write_bytes(damage)
    day(project, "2026-11-01", "2", 2)
    assert in_snapshot(project, project.build()) == in_warehouse(project)


def test_after_many_updates_the_file_is_written_whole_again(tmp_path, monkeypatch):
    monkeypatch.setattr(publishing, "_MOST_UPDATES_IN_PLACE", 1)
    project = SmallProject(tmp_path)
    made = written_whole(monkeypatch)
    for hour, in_place in ((1, 0), (2, 1), (3, 1), (4, 2)):
        day(project, "2026-10-10", f"{hour}", hour)
        assert in_snapshot(project, project.build()) == in_warehouse(project)
        assert made.count("fct_totals") == in_place
