"""Ten kinds of change: each rebuilds what lineage says and no more, and gives what a build from nothing gives."""

import pytest

from pipeline.build.graph import Graph
from pipeline.build.relations import LandedRelation
from pipeline.decisions.graph import current_snapshot
from tests.build.ten_changes import CHANGES, COMMAND, GOLDEN, LATER, Outcome, State, cold, outcomes_in, table
from tests.pipeline.small_project import SmallProject

# What reads samples and scrapes, and what is made of them and of GPU bills.
TELEMETRY = (
    *(
        "stg_nvml_spool",
        "stg_prometheus",
        "stg_gpu_bills",
        "int_engine_",
        "int_gpu_hours",
        "int_gpu_states",
        "int_gpu_observed",
        "int_gpu_sightings",
    ),
    *("int_gpu_charges", "int_gpu_resource", "int_gpu_costs", "fct_gpu_costs", "fct_self_host", "fct_gpu_leftovers"),
)

# A build from nothing takes seconds of a core: the check makes two of them, `pytest -m soak` all.
COLD = [
    pytest.param(change.name, marks=() if change.name in ("a new GPU", "a withdrawn row") else pytest.mark.soak)
    for change in CHANGES
    if change.name != "a config typo"
]

Changed = tuple[Outcome, SmallProject, Graph]


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Changed]:
    """Change -> what it did to a copy of the company."""
    found = outcomes_in(tmp_path_factory.mktemp("ten"))
    return {outcome.change.name: (outcome, project, graph) for outcome, project, graph in found}


@pytest.mark.parametrize("name", [change.name for change in CHANGES])
def test_what_runs_is_what_reads_another_row(changed: dict[str, Changed], name: str) -> None:
    """B29: partition by partition, nothing more and nothing less."""
    outcome = changed[name][0]
    assert sorted(outcome.ran - outcome.expected) == [], "ran, though nothing that it reads is another"
    assert sorted(outcome.expected - outcome.ran) == [], "stayed, though it reads another row"


@pytest.mark.parametrize("name", COLD)
def test_a_changed_build_is_the_build_from_nothing(changed: dict[str, Changed], name: str) -> None:
    """B29, B6, B10: table by table, row by row."""
    _, project, graph = changed[name]
    incremental = project.build(now=LATER, graph=graph).tables()
    assert cold(project, graph).tables() == incremental


def test_an_unchanged_result_stops_the_rebuild(changed: dict[str, Changed]) -> None:
    """B29: files that a fixed reader reads alike were read, and nothing behind them ran."""
    outcome, _, _ = changed["a parser fix"]
    assert outcome.after is not None
    then, now = (_files_read(state) for state in (outcome.before, outcome.after))
    assert len(now) == len(then) > 0
    assert now.isdisjoint(then)
    assert outcome.ran == frozenset()


def _files_read(state: State) -> set[str]:
    """The parsed files of Console exports, by the key of what read them."""
    relation = state.relations["landed_anthropic_console_csv__costs"]
    assert isinstance(relation, LandedRelation)
    return {part.table.file.parent.name for parts in relation.parts.values() for part in parts}


def test_a_typo_leaves_the_snapshot_that_is(changed: dict[str, Changed]) -> None:
    """B29: nothing is landed, nothing is built, and what is read stays."""
    outcome, project, _ = changed["a config typo"]
    assert outcome.error is not None
    assert "Did you mean 'workloads'?" in outcome.error
    file = project.folder / "breakeven.yaml"
    file.write_text(file.read_text().replace("worklaods:", "workloads:"))
    assert current_snapshot(project.project).snapshot_id == outcome.before.snapshot.snapshot_id


def test_an_api_bill_rebuilds_no_gpu(changed: dict[str, Changed]) -> None:
    """B29: a restated day of an API leaves samples, states and GPU money alone. Only what asks who has stated what
    looks, and finds nothing new.
    """
    for name in ("a restated day", "a late old file", "a withdrawn row"):
        ran = {node for node, _ in changed[name][0].ran}
        assert [node for node in ran if node.startswith(TELEMETRY)] == []


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("a restated day", "2026-10-10", "2026-10-10"),
        ("a new price", "2026-11-02", "2026-11-05"),
        ("a late old file", "2026-09-05", "2026-09-05"),
        ("a withdrawn row", "2026-10-20", "2026-10-20"),
    ],
)
def test_money_moves_on_the_days_that_changed_and_no_other(
    changed: dict[str, Changed], name: str, first: str, last: str
) -> None:
    """B6, B10: history is not repriced."""
    moved = changed[name][0].moved()
    days = {str(day) for mart in ("fct_api_costs_daily", "fct_gpu_costs_daily") for day in moved.get(mart, ())}
    assert days
    assert first <= min(days) <= max(days) <= last


def test_the_written_table_is_what_is_found(changed: dict[str, Changed]) -> None:
    """The file that people read."""
    found = table([outcome for outcome, _, _ in changed.values()])
    assert found == GOLDEN.read_text(encoding="utf-8"), f"Read the difference; where it is meant, run: {COMMAND}"
