"""The small version of `benchmarks.fleet_hours`: all three sides say the same. Nothing is timed."""

from pathlib import Path

from benchmarks.fleet_hours import Fleet, alone, differences, hours_model


def test_the_build_of_a_fleets_hours_is_what_duckdb_alone_makes_of_them(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "samples", gpus=16, days=2, ticks=288)
    fleet.write()
    assert differences(fleet, tmp_path / "cache") == 0
    connection = alone(fleet, "select sum(interval_ms) as covered_ms, count(*) as samples from " + fleet.relation.name)
    assert connection.execute("from hours").fetchall() == [(16 * 2 * 86_400_000, fleet.samples)]
    connection.close()


def test_no_plan_keeps_the_samples_in_memory(tmp_path: Path) -> None:
    """Two steps read them, and a CTE that both share would hold a day of every GPU."""
    fleet = Fleet(tmp_path / "samples", gpus=8, days=1, ticks=288)
    fleet.write()
    connection = alone(fleet, "select 1 as one")

    def plan(sql: str) -> str:
        return "".join(map(str, connection.execute(f"explain {sql}").fetchall()))

    sql = hours_model().sql
    assert "gpu_samples" not in plan(sql)
    assert "gpu_samples" in plan(sql.replace("gpu_samples as not materialized", "gpu_samples as materialized"))
    connection.close()
