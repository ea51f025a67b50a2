"""The small version of `make bench`: what is timed is right. Nothing here depends on how long it takes."""

import resource
from pathlib import Path

import pytest

from benchmarks.builds import Cold, cold_build, differences, measured_builds
from benchmarks.year import Shape, Year
from pipeline.landing.project import Project

SHAPE = Shape(days=4, samples=4 * 48 * 24, usage_rows=4 * 24 * 6, charge_rows=4 * 40)


def silent(text: str) -> None:
    """Progress that nobody reads."""


def test_the_build_of_the_year_yields_what_duckdb_alone_yields_and_a_dirty_day_rebuilds_part_of_it(tmp_path: Path):
    """B29."""
    figures = measured_builds(Year(Project(tmp_path), SHAPE), say=silent)
    assert figures["telemetry_samples"] == SHAPE.samples
    assert figures["unit_cost_rows"]
    assert 0 < figures["one_dirty_day_parts"] < figures["cold_build_parts"]


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> Cold:
    year = Year(Project(tmp_path_factory.mktemp("year")), SHAPE)
    year.write()
    return cold_build(year, say=silent)


def test_the_year_has_the_rows_it_promises(cold: Cold):
    counted = cold.bare.connection.execute(
        "select (select count(*) from landed_nvml_spool__gpu_samples), "
        "(select count(*) from landed_anthropic_usage_api__usage), "
        "(select count(*) from landed_anthropic_cost_api__costs)"
    ).fetchall()
    late_file = 8 * 24
    assert counted == [(SHAPE.samples - late_file, SHAPE.usage_rows, SHAPE.charge_rows)]


def test_every_node_that_ran_says_how_long_and_the_peak_is_the_builds_own(cold: Cold):
    assert cold.core_seconds.keys() == cold.result.ran.keys()
    assert min(cold.core_seconds.values()) > 0
    assert 0 < cold.python_nodes < sum(cold.core_seconds.values())
    assert 0 < cold.peak_memory_gib <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def test_the_year_reaches_every_kind_of_answer(cold: Cold):
    answers = ("fct_api_costs_daily", "fct_gpu_costs_daily", "fct_unit_costs_daily", "fct_demand_hourly")
    for table in (*answers, "fct_cloud_charges_daily", "fct_control_differences_daily"):
        assert cold.result.snapshot.node(table).files(None), table


def test_every_law_holds_in_the_year_and_its_two_exports_of_the_cloud_bill_say_the_same(cold: Cold):
    snapshot = cold.result.snapshot
    laws = [name for name in snapshot.nodes if name.startswith("check_")]
    assert {name: sum(part.rows for part in snapshot.node(name).parts.values()) for name in laws} == dict.fromkeys(
        laws, 0
    )
    apart = cold.bare.connection.execute(
        "select status, sum(difference_cost), min(book_cost) > 0 from fct_control_differences_daily group by all"
    ).fetchall()
    assert apart == [("compared", 0, True)]


def test_a_table_that_differs_is_named(cold: Cold):
    cold.bare.connection.execute("delete from fct_demand_daily where usage_date = date '2025-12-16'")
    (difference,) = differences(cold)
    assert difference.startswith("fct_demand_daily: ")
