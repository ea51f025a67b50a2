"""The small version of `benchmarks.fleet_hours`: all three sides say the same. Nothing is timed."""

from pathlib import Path

from benchmarks.fleet_hours import Fleet, alone, differences


def test_the_build_of_a_fleets_hours_is_what_duckdb_alone_makes_of_them(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "samples", gpus=16, days=2, ticks=288)
    fleet.write()
    assert differences(fleet, tmp_path / "cache") == 0
    connection = alone(fleet, "select sum(interval_ms) as covered_ms, count(*) as samples from " + fleet.relation.name)
    assert connection.execute("from hours").fetchall() == [(16 * 2 * 86_400_000, fleet.samples)]
    connection.close()
