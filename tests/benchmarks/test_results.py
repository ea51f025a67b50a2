"""Results are dated, rounded and readable, and the tables of the README are made anew each time."""

import json
import re
from datetime import date

from benchmarks import results
from benchmarks.measure import machine

FIGURES = {"builds": {"cold_build_seconds": 101.2345, "slowest": {"stg_one": [1.23456, 2]}}}


def written(folder, **figures: float) -> str:
    (folder / "README.md").write_text("# B\n\n<!-- bench: written by the command -->\n<!-- bench: end -->\n\n## Soak\n")
    results.keep("bench", on=date(2026, 11, 15), machine={"cores": 2}, figures=FIGURES, folder=folder)
    return (folder / "README.md").read_text()


def test_a_result_is_dated_and_says_what_it_was_measured_on(tmp_path):
    written(tmp_path)
    record = json.loads((tmp_path / "results" / "2026-11-15-bench.json").read_text())
    assert record["machine"] == {"cores": 2}
    assert record["builds"] == {"cold_build_seconds": 101.0, "slowest": {"stg_one": [1.23, 2]}}


def test_the_tables_are_replaced_and_the_words_around_them_stay(tmp_path):
    once = written(tmp_path)
    results.keep("bench", on=date(2026, 11, 16), machine={"cores": 2}, figures=FIGURES, folder=tmp_path)
    twice = (tmp_path / "README.md").read_text()
    assert twice == once.replace("2026-11-15", "2026-11-16")
    assert "| cold build seconds | 101.0 |" in twice
    assert "Slowest: `stg_one` 1.23 / 2." in twice
    assert twice.endswith("\n\n## Soak\n")


def test_the_shipped_readme_has_a_place_for_each_kind():
    text = (results.FOLDER / "README.md").read_text()
    for kind in ("bench", "soak"):
        assert re.search(rf"<!-- {kind}: written by the command -->.*<!-- {kind}: end -->", text, re.DOTALL)


def test_the_machine_is_described_without_names_or_paths():
    described = machine()
    assert {"cores", "memory_gib", "duckdb", "python"} <= set(described)
    assert not any("/" in str(value) for value in described.values())
