"""The small version of `benchmarks.cur`: both sides do the same, and the month is what it says. Nothing is timed."""

from pathlib import Path

import duckdb
import pytest

from benchmarks.cur import Export, differences, measured_lines
from pipeline.build.relations import literal

LINES = 1_440


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    export = Export(tmp_path_factory.mktemp("cur"), LINES, chunk_lines=500)
    export.write()
    return export


def test_the_build_of_the_lines_is_what_duckdb_alone_makes_of_them(export: Export) -> None:
    """B7."""
    assert differences(export) == 0


def test_the_month_has_its_lines_once_each_in_chunks_without_an_order(export: Export) -> None:
    objects = [str(path) for path in (export.folder / "landing" / "objects").rglob("*") if path.is_file()]
    assert len(objects) == 3
    files = f"read_parquet([{', '.join(map(literal, objects))}])"
    counted = duckdb.sql(
        "select count(*), count(distinct identity_line_item_id), count(distinct line_item_usage_start_date) "
        f"from {files}"
    ).fetchall()
    assert counted == [(LINES, LINES, 720)]
    assert len(duckdb.sql(f"describe select * from {files}").fetchall()) >= 60
    days = duckdb.sql(
        "select filename, count(distinct cast(line_item_usage_start_date as date)) "
        f"from {files[:-1]}, filename = true) group by all"
    ).fetchall()
    assert {found for _, found in days} == {30}


def test_both_sides_are_measured_in_processes_of_their_own(tmp_path: Path) -> None:
    figures = measured_lines(Export(tmp_path, 720 + 672, months=9))
    assert figures["daily_charges"] >= 30
    assert figures["parse_and_build_over_bare_duckdb_in_cpu"] > 0
    assert figures["build_peak_memory_gib"] > 0
