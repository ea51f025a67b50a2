"""The life of a file in quarantine: listed, mended by a new file, dismissed by a person, read by a new reader."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import click
import pytest

from pipeline.build.graph import Graph
from pipeline.cli.events import dismiss
from pipeline.cli.show import status
from pipeline.decisions import quarantine
from pipeline.decisions.graph import shipped_graph
from pipeline.errors import BreakevenError
from pipeline.landing.dataset import Dataset
from pipeline.landing.fetched import Fetched, Payload
from tests.pipeline import forgiving_reader
from tests.pipeline.conftest import MakeProject, PersonAt
from tests.pipeline.small_project import (
    CONSOLE,
    CONSOLE_NAME,
    COST_API,
    DAYS,
    NOW,
    SPOOL,
    SmallProject,
    api_page,
    cost_result,
    source,
    spool_file,
    three_days,
)

GOOD = three_days("1.00", "2.00", "3.50")
CUT = GOOD[:-10]
LATER = NOW + timedelta(hours=1)
RENAMED = CONSOLE_NAME.replace("exported_2026_11_04", "exported_2026_11_05")


@pytest.fixture
def project(make_project: MakeProject) -> SmallProject:
    """`labs` has one file in quarantine."""
    made = make_project([source(CONSOLE, "labs"), source(CONSOLE, "acme")])
    made.drop(CONSOLE, "labs", CONSOLE_NAME, CUT)
    made.run()
    assert [entry.name for entry in made.quarantine()] == [CONSOLE_NAME]
    return made


def names(project: SmallProject) -> list[str]:
    return [entry.name for entry in project.quarantine(now=LATER)]


def test_a_good_file_for_the_same_days_mends_it(project: SmallProject) -> None:
    """Under the same name or another; what counts is what it speaks for."""
    project.drop(CONSOLE, "labs", RENAMED, GOOD)
    assert project.run(now=LATER).api_cost("labs") == Decimal("6.50")
    assert names(project) == []


def test_a_good_file_of_fewer_days_or_of_another_account_mends_nothing(project: SmallProject) -> None:
    first_day = "claude_api_cost_2026_11_01_to_2026_11_01_exported_2026_11_05.csv"
    project.drop(CONSOLE, "labs", first_day, GOOD.splitlines(keepends=True)[0] + GOOD.splitlines(keepends=True)[1])
    project.drop(CONSOLE, "acme", RENAMED, GOOD)
    project.run(now=LATER)
    assert names(project) == [CONSOLE_NAME]


def test_an_older_file_that_comes_later_mends_nothing(project: SmallProject) -> None:
    """B10: what the cut file says about its last day is newer than what the good one says."""
    project.drop(CONSOLE, "labs", CONSOLE_NAME.replace("_exported_2026_11_04", ""), GOOD)
    assert project.run(now=LATER).api_cost("labs") is not None
    assert names(project) == [CONSOLE_NAME]


def test_where_a_cut_file_does_not_say_its_days_the_same_name_mends_it(make_project: MakeProject) -> None:
    made = make_project([source(COST_API, "org"), source(SPOOL, "fleet")])
    page = api_page({day: [cost_result("100")] for day in DAYS})
    made.drop(COST_API, "org", "a.json", page[:-9])
    made.drop(COST_API, "org", "b.json", page[:-9] + b" ")
    made.drop(SPOOL, "fleet", "s.jsonl", spool_file(DAYS[0])[:40])
    made.run()
    assert names(made) == ["a.json", "b.json", "s.jsonl"]
    made.drop(COST_API, "org", "a.json", page)
    made.drop(SPOOL, "fleet", "s.jsonl", spool_file(DAYS[0]))
    assert made.run(now=LATER).api_cost("org") == Decimal(3)
    assert names(made) == ["b.json"]


def test_a_dismissed_file_is_listed_no_more_and_its_bytes_stay(
    project: SmallProject, person_at: PersonAt, capsys: pytest.CaptureFixture[str]
) -> None:
    person_at(LATER)
    (entry,) = project.quarantine()
    where = ["--project", str(project.folder)]
    with pytest.raises(SystemExit):
        status.main(where, standalone_mode=False)
    assert f"QUARANTINE anthropic_console_csv/labs {CONSOLE_NAME}" in " ".join(capsys.readouterr().out.split())
    for unclear in ("ffffffffffff", entry.sha256[:4]):
        with pytest.raises(BreakevenError, match="Give at least 8 digits of exactly one"):
            dismiss.main([*where, unclear, "--why", "a test"], standalone_mode=False)
    dismiss.main([*where, entry.sha256[:12], "--why", "a test upload"], standalone_mode=False)
    assert project.quarantine() == []
    status.main(where, standalone_mode=False)
    assert (project.landing / "objects" / entry.sha256[:2] / entry.sha256).read_bytes() == CUT
    (event,) = project.project.landing.events(quarantine.DISMISS_EVENT)
    assert event.body["why"] == "a test upload"


def test_one_dismissal_is_enough_for_the_same_bytes_in_two_accounts(project: SmallProject, person_at: PersonAt) -> None:
    person_at(LATER)
    project.drop(CONSOLE, "acme", CONSOLE_NAME, CUT)
    project.run(now=LATER)
    (first, second) = project.quarantine(now=LATER)
    assert (first.sha256, first.account != second.account) == (second.sha256, True)
    arguments = ["--project", str(project.folder), first.sha256[:12], "--why", "a test"]
    dismiss.main(arguments, standalone_mode=False)
    assert names(project) == []


def test_a_file_landed_by_two_runs_at_once_is_one_entry(project: SmallProject) -> None:
    """Their deliveries differ in the moment only."""
    landing = project.project.landing
    (delivery,) = [one for one in landing.contents().deliveries if one.account == "labs"]
    twin = replace(delivery, landed_at=delivery.landed_at + timedelta(milliseconds=3))
    landing.store.put_if_absent(twin.key, twin.to_json())
    assert names(project) == [CONSOLE_NAME]


def test_a_changed_reader_is_offered_the_file_again(project: SmallProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict is kept under the reader's own code; another reader's is another verdict."""
    assert project.build().api_cost("labs") is None
    graph = _with_reader(shipped_graph())
    monkeypatch.setattr(quarantine, "shipped_graph", lambda: graph)
    assert project.build(graph=graph).api_cost("labs") == Decimal("3.00")
    assert project.quarantine() == []
    monkeypatch.undo()
    assert [entry.name for entry in project.quarantine()] == [CONSOLE_NAME]


def _with_reader(graph: Graph) -> Graph:
    """The graph with a reader of Console exports that lives in another module, so that its code is another's."""

    def mended(dataset: Dataset) -> Dataset:
        return replace(dataset, parse=forgiving_reader.parse) if dataset.source == CONSOLE else dataset

    return replace(graph, datasets=tuple(mended(dataset) for dataset in graph.datasets))


def test_dismissing_needs_a_reason(project: SmallProject) -> None:
    with pytest.raises(click.MissingParameter):
        dismiss.main(["--project", str(project.folder), "ab" * 6], standalone_mode=False)


def test_what_landed_of_a_dataset_that_this_release_does_not_know_is_listed(project: SmallProject) -> None:
    """Renamed or taken away since: it is said, not passed over in silence; and it stops nothing else."""
    landing = project.project.landing
    (landed, *_) = landing.contents().deliveries
    (thing,) = landed.objects
    payload = Payload(name="day.json", content=landing.read_object(thing))
    landing.land(Fetched(dataset="costs_v0", payloads=(payload,)), source=CONSOLE, account="labs", now=LATER)
    project.drop(CONSOLE, "acme", RENAMED, GOOD)
    assert project.run(now=LATER).api_cost("acme") == Decimal("6.50")
    assert {entry.name: entry.reason for entry in project.quarantine(now=LATER)}["day.json"].startswith(
        f"this release knows no dataset 'costs_v0' of {CONSOLE}, only "
    )
