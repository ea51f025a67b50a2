"""The gate as data: what held, what did not, and where."""

from datetime import UTC, datetime

from pipeline.build.relations import NodePart, NodeRelation
from pipeline.build.snapshot import Snapshot
from pipeline.decisions.check_results import CheckResult, check_results
from tests.build.small_graph import SmallProject, noon

BROKEN = """-- One row per broken scope.
-- partition: none
select 'money_is_whole' as law, 'account:' || item as scope, 'planted' as detail
from fct_totals
where billed_cost < 0
"""


def test_a_law_is_broken_in_each_scope_with_a_row_and_holds_without(tmp_path):
    project = SmallProject(tmp_path)
    project.models["marts/check_money_is_whole"] = BROKEN
    project.land_costs([("2026-10-30", "a", "1")], days=("2026-10-30", "2026-10-31"), stated=noon("2026-11-01"))
    assert check_results(project.build().snapshot) == [CheckResult("money_is_whole", "all", True, "")]
    faults = [("2026-10-30", "b", "-1"), ("2026-10-30", "a", "-2")]
    project.land_costs(faults, days=("2026-10-30", "2026-10-31"), stated=noon("2026-11-02"))
    assert check_results(project.build().snapshot) == [
        CheckResult("money_is_whole", "account:a", False, "planted"),
        CheckResult("money_is_whole", "account:b", False, "planted"),
    ]


def test_laws_that_hold_are_known_without_a_look_into_any_file(tmp_path):
    held = NodeRelation(
        name="check_a_law",
        columns=(("law", "VARCHAR"), ("scope", "VARCHAR"), ("detail", "VARCHAR")),
        partition_by="none",
        date_column="usage_date",
        parts={"all": NodePart(key="no file has this key", rows=0, content="")},
        folder=tmp_path / "there is none",
    )
    snapshot = Snapshot(
        graph_key="",
        as_of=datetime(2026, 11, 1, tzinfo=UTC),
        release="",
        landing_identity="",
        delivery_count=0,
        event_count=0,
        nodes={"check_a_law": held},
        folders={},
    )
    assert check_results(snapshot) == [CheckResult("a_law", "all", True, "")]
