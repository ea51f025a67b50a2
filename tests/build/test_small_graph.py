"""Builds of the small graph: what rebuilds, what does not, and that nothing depends on how it came to be."""

from decimal import Decimal

import pytest

from pipeline.errors import BuildError
from tests.build.small_graph import MODELS, SmallProject, noon


def test_a_month_sees_its_days_and_the_total_is_the_sum_of_the_current_deliveries(tmp_path):
    project = SmallProject(tmp_path)
    project.land_costs(
        [("2026-10-30", "a", "1.10"), ("2026-10-31", "a", "2.20"), ("2026-11-01", "b", "3.30")],
        days=("2026-10-30", "2026-11-02"),
        stated=noon("2026-11-03"),
    )
    result = project.build()
    assert project.rows(result, "fct_totals") == [("a", Decimal("3.3")), ("b", Decimal("3.3"))]
    assert result.ran["fct_costs_daily"] == ["2026-10", "2026-11"]


def test_a_restated_day_rebuilds_that_day_its_month_and_what_reads_them_only(tmp_path):
    project = SmallProject(tmp_path)
    for day in ("2026-10-10", "2026-10-11", "2026-11-01"):
        following = f"{day[:-2]}{int(day[-2:]) + 1:02d}"
        project.land_costs([(day, "a", "1")], days=(day, following), stated=noon(following))
    project.build()
    project.land_costs([("2026-10-11", "a", "5")], days=("2026-10-11", "2026-10-12"), stated=noon("2026-11-10"))
    result = project.build()
    assert result.ran["stg_costs"] == ["2026-10-11"]
    assert result.ran["fct_costs_daily"] == ["2026-10"]
    assert "2026-11" not in result.ran["fct_trailing_daily"]
    assert project.rows(result, "fct_totals") == [("a", Decimal("7"))]


def test_nothing_changed_runs_nothing(tmp_path):
    project = SmallProject(tmp_path)
    project.land_costs([("2026-10-10", "a", "1")], days=("2026-10-10", "2026-10-11"), stated=noon("2026-10-12"))
    first = project.build()
    second = project.build()
    assert second.ran == {}
    assert second.snapshot.snapshot_id == first.snapshot.snapshot_id
    assert (project.paths.published / "warehouse.duckdb").exists()


def test_a_whole_number_that_parquet_would_round_is_refused_by_name(tmp_path):
    """Class B7: a sum of 64-bit integers has 128 bits, and becomes a float in Parquet."""
    project = SmallProject(tmp_path)
    project.land_costs([("2026-10-10", "a", "1")], days=("2026-10-10", "2026-10-11"), stated=noon("2026-10-12"))
    rounded = MODELS["marts/fct_totals"].replace("sum(billed_cost) as billed_cost", "sum(row_count) as row_count")
    project.models["marts/fct_totals"] = rounded
    with pytest.raises(BuildError, match=r"fct_totals yields row_count \(HUGEINT\)"):
        project.build()
    project.models["marts/fct_totals"] = rounded.replace("sum(row_count)", "cast(sum(row_count) as bigint)")
    assert project.rows(project.build(), "fct_totals") == [("a", 1)]
