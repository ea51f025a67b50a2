"""How an entry of quarantine ends: superseded, read after all, or dismissed; never by waiting."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from click.testing import CliRunner

from pipeline.cli import group
from pipeline.cli.events import dismiss
from pipeline.decisions.quarantine import DISMISSED, SUPERSEDED, QuarantineEntry, quarantine_history
from pipeline.landing.project import CONFIG_EVENT
from tests.pipeline.conftest import MakeProject, PersonAt
from tests.pipeline.small_project import (
    CONSOLE,
    CONSOLE_NAME,
    DAYS,
    NOW,
    SmallProject,
    console_csv,
    console_row,
    source,
    three_days,
)

CUT = three_days("1.00", "2.00", "3.50")[:-10]
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def project(make_project: MakeProject) -> SmallProject:
    """A file of three days that is cut."""
    made = make_project([source(CONSOLE, "labs")])
    made.drop(CONSOLE, "labs", CONSOLE_NAME, CUT)
    made.run()
    return made


def history(project: SmallProject) -> list[QuarantineEntry]:
    return quarantine_history(project.project, as_of=LATER)


def drop_day(project: SmallProject, day: str, cost: str, *, exported: str = "2026_11_05") -> None:
    name = f"claude_api_cost_{day.replace('-', '_')}_to_{day.replace('-', '_')}_exported_{exported}.csv"
    project.drop(CONSOLE, "labs", name, console_csv([console_row(day, cost)]))


def test_days_that_are_counted_from_several_newer_deliveries_supersede_it(project: SmallProject) -> None:
    """B10: until the last of its days is counted anew it needs somebody."""
    for number, day in enumerate(DAYS, start=1):
        assert [entry.ended for entry in history(project)] == [None]
        drop_day(project, day, f"{number}.00")
        project.run(now=LATER)
    (entry,) = history(project)
    assert (entry.name, entry.ended, entry.why) == (CONSOLE_NAME, SUPERSEDED, None)
    assert project.quarantine(now=LATER) == []
    assert project.build(now=LATER).api_cost("labs") == Decimal(6)


def test_days_that_are_counted_from_older_deliveries_supersede_nothing(project: SmallProject) -> None:
    """B10: what cannot be read is the newest word on these days."""
    for day in DAYS:
        drop_day(project, day, "1.00", exported="2026_11_03")
    project.run(now=LATER)
    assert [entry.ended for entry in history(project)] == [None]


def test_what_was_dismissed_stays_known_as_that_with_its_reason(project: SmallProject, person_at: PersonAt) -> None:
    person_at(LATER)
    (entry,) = project.quarantine()
    where = ["--project", str(project.folder)]
    dismiss.main([*where, entry.sha256[:12], "--why", "a test upload"], standalone_mode=False)
    assert project.quarantine() == []
    assert [(found.ended, found.why) for found in history(project)] == [(DISMISSED, "a test upload")]


def test_nothing_ends_by_waiting(project: SmallProject) -> None:
    assert len(project.quarantine(now=NOW + timedelta(days=3650))) == 1


def test_the_list_has_what_needs_somebody_and_on_demand_what_has_ended(
    project: SmallProject, person_at: PersonAt
) -> None:
    person_at(LATER)

    def listed(*options: str) -> list[dict[str, str]]:
        done = CliRunner().invoke(group, ["quarantine", "--project", str(project.folder), "--format", "json", *options])
        assert done.exit_code == 0, done.output
        rows: list[dict[str, str]] = json.loads(done.output)
        return rows

    (row,) = listed()
    assert (row["source"], row["account"], row["name"]) == (CONSOLE, "labs", CONSOLE_NAME)
    assert "ended" not in row
    project.drop(CONSOLE, "labs", CONSOLE_NAME.replace("11_04.csv", "11_05.csv"), three_days("1.00", "2.00", "3.50"))
    project.run(now=LATER)
    assert listed() == []
    assert [entry["ended"] for entry in listed("--all")] == [SUPERSEDED]


def test_a_configuration_of_an_older_release_is_read_as_far_as_it_can_be(
    make_project: MakeProject, person_at: PersonAt
) -> None:
    """Today's rules hold for the file of today. What they refuse of history is told, and a person may dismiss it."""
    project = make_project([source(CONSOLE, "acme")], overheads=[{"item": "rack", "monthly": "100"}])
    project.drop(CONSOLE, "acme", CONSOLE_NAME, three_days("1.00", "2.00", "3.50"))
    landing, said = project.project.landing, project.project.config.model_dump(mode="json", by_alias=True)
    older = {
        **said,
        "colour": "a key that was taken away",
        "workloads": [{"workload": "chat", "team": "t", "match": [{"account": "acme"}], "priority": 1}],
        "overheads": [*said["overheads"], {"item": "on-call", "monthly": "-5"}],
    }
    landing.record(kind=CONFIG_EVENT, subject="breakeven.yaml", body={"config": older}, now=NOW - timedelta(days=9))
    built = project.run()
    assert built.api_cost("acme") == Decimal("6.50")
    teams = "select distinct team from fct_api_costs_daily order by team"
    assert built.rows(teams) == [{"team": "t"}]
    (entry,) = project.quarantine()
    assert (entry.source, entry.name) == ("breakeven.yaml", "config of 2026-10-27 06:00 UTC")
    assert "overheads.1.monthly is '-5'" in entry.reason
    person_at(LATER)
    dismiss.main(["--project", str(project.folder), entry.sha256, "--why", "known"], standalone_mode=False)
    assert project.quarantine() == []
