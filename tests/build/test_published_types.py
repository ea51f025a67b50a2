"""What readers of the published Parquet get: whole numbers as whole numbers, every type as the table has it."""

import re
from pathlib import Path

import duckdb
import pytest

from pipeline.build.publish import published_tables
from pipeline.build.snapshot import Snapshot
from pipeline.decisions.graph import current_snapshot
from pipeline.landing.project import Project

# What may have a fraction says so in its name: so much per something, a ratio, hours. The mean of a day's replicas too.
MAY_HAVE_A_FRACTION = re.compile(r"_per_|_ratio$|_hours$|^current_replica_count$")


def not_whole(columns: list[tuple[str, str]]) -> list[str]:
    """Columns that Parquet would round: it has no integer of 128 bits, and a float holds 53 of them."""
    return [
        f"{name} {kind}"
        for name, kind in columns
        if "HUGEINT" in kind or (kind in ("DOUBLE", "FLOAT") and not MAY_HAVE_A_FRACTION.search(name))
    ]


@pytest.fixture(scope="module")
def snapshot(demo_folder: Path) -> Snapshot:
    return current_snapshot(Project(demo_folder))


def test_no_published_table_holds_a_whole_number_as_anything_else(snapshot: Snapshot) -> None:
    """B7: also those that have no row in the demo."""
    found = {name: not_whole(list(snapshot.node(name).columns)) for name in published_tables(snapshot)}
    assert {name: columns for name, columns in found.items() if columns} == {}
    assert {"fct_api_costs_daily", "fct_verdicts_daily", "check_api_money_conserved"} <= found.keys()


def test_published_parquet_has_the_types_of_its_table(snapshot: Snapshot, demo_folder: Path) -> None:
    """B7: a sum of 64-bit integers has 128 bits, and is a float in Parquet without a word."""
    files = sorted((demo_folder / ".breakeven" / "published" / "parquet").glob("*/*.parquet"))
    assert files
    connection = duckdb.connect()
    for file in files:
        told = connection.execute("describe select * from read_parquet($file)", {"file": str(file)}).fetchall()
        assert [(row[0], row[1]) for row in told] == list(snapshot.node(file.parent.name).columns), file.parent.name


@pytest.mark.parametrize(
    ("column", "kind", "is_wrong"),
    [
        ("tokens", "HUGEINT", True),
        ("tokens", "DOUBLE", True),
        ("row_count", "FLOAT", True),
        ("tokens", "BIGINT", False),
        ("gpu_hours", "DOUBLE", False),
        ("full_rc_per_mtok", "DOUBLE", False),
        ("billed_cost", "DECIMAL(38,18)", False),
        ("gpu_milliseconds", "DOUBLE", True),
    ],
)
def test_a_whole_number_that_would_be_rounded_is_found(column: str, kind: str, is_wrong: bool) -> None:
    assert bool(not_whole([(column, kind)])) is is_wrong


def test_an_integer_of_128_bits_is_a_float_in_parquet(tmp_path: Path) -> None:
    """Why this is looked for: two neighbours are one number there."""
    connection = duckdb.connect()
    file = tmp_path / "sums.parquet"
    connection.execute(f"copy (select sum(tokens) as tokens from (values (9007199254740993)) as t(tokens)) to '{file}'")
    assert connection.execute(f"select typeof(tokens), tokens from '{file}'").fetchall() == [("DOUBLE", 2.0**53)]
