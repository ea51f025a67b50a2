"""Questions asked of a snapshot that another release built: a sentence, where DuckDB would print what it looked for."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import BuildError
from pipeline.reports.questions import Questions
from tests.reports.fake_snapshot import AS_OF, OCTOBER, snapshot_of, tables


@pytest.mark.parametrize("lacking", ["the table", "a column"])
def test_a_snapshot_of_another_release_says_to_run_again(tmp_path: Path, lacking: str) -> None:
    snapshot = snapshot_of(tables(), tmp_path)
    nodes = dict(snapshot.nodes)
    unit_costs = nodes.pop("fct_unit_costs_daily")
    if lacking == "a column":
        nodes["fct_unit_costs_daily"] = replace(unit_costs, columns=unit_costs.columns[:1], parts={})
    with Questions(snapshot) as questions:
        assert len(questions.ask("unit_costs", from_date=OCTOBER, to_date=AS_OF.date()))
    with (
        Questions(replace(snapshot, nodes=nodes, known_as="abc")) as questions,
        pytest.raises(
            BuildError, match=r"^Snapshot abc of 2026-11-05 06:00 UTC lacks .*\(unit_costs\).*Run: breakeven run"
        ),
    ):
        questions.ask("unit_costs", from_date=OCTOBER, to_date=AS_OF.date())
