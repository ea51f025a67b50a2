"""`breakeven landing redact` and `breakeven collect` as a person calls them."""

import json
import shutil
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import group
from pipeline.decisions.quarantine import quarantine_history
from pipeline.errors import BreakevenError, BuildError
from pipeline.landing.landing import COLLECT_EVENT, REDACT_EVENT, REPORT_EVENT
from pipeline.reports.monthly import write_report
from tests.build.test_collect import grow_old
from tests.models.cloud_harness import FOCUS, MART, focus, focus_csv, line
from tests.pipeline.small_project import CONSOLE, CONSOLE_NAME, NOW, SmallProject, source, three_days

LATER = NOW + timedelta(hours=1)
RESTATED = CONSOLE_NAME.replace("exported_2026_11_04", "exported_2026_11_05")


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory, warm_cache: Path) -> SmallProject:
    """Three days that were exported twice: 6.50, then 8.00."""
    folder = tmp_path_factory.mktemp("landed") / "project"
    made = SmallProject(folder, [source(CONSOLE, "acme")], warm_cache=warm_cache)
    made.drop(CONSOLE, "acme", CONSOLE_NAME, three_days("1.00", "2.00", "3.50"))
    made.run()
    made.drop(CONSOLE, "acme", RESTATED, three_days("1.00", "2.00", "5.00"))
    made.run(now=LATER)
    return made


@pytest.fixture
def project(landed: SmallProject, tmp_path: Path) -> SmallProject:
    shutil.copytree(landed.folder, tmp_path / "project", symlinks=True)
    return SmallProject(tmp_path / "project", landed.sources)


def said(project: SmallProject, *words: str) -> str:
    """What a command prints, on one line."""
    result: Result = CliRunner().invoke(group, [*words, "--project", str(project.folder)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return " ".join(result.output.split())


def shas(project: SmallProject) -> dict[str, str]:
    """Name -> sha256 of what has landed."""
    deliveries = project.project.landing.contents().deliveries
    return {item.name: item.sha256 for delivery in deliveries for item in delivery.objects}


def test_a_dry_run_says_what_moves_and_moves_nothing(project: SmallProject) -> None:
    before = set(project.landing.rglob("*"))
    printed = said(project, "landing", "redact", RESTATED)
    assert "fct_api_costs_daily.billed_cost" in printed
    assert "5.00" in printed
    assert "3.50" in printed
    assert "-1.50" in printed
    assert "Snapshots that may still hold rows and figures from it" in printed
    assert "Nothing was deleted" in printed
    assert set(project.landing.rglob("*")) == before
    assert project.build(now=LATER).api_cost("acme") == 8


def test_what_is_redacted_counts_no_more_and_is_listed_with_its_reason(project: SmallProject) -> None:
    sha256 = shas(project)[RESTATED]
    printed = said(project, "landing", "redact", sha256[:12], "--reason", "payroll inside", "--yes")
    assert "Deleted. Run `breakeven run`" in printed
    assert project.build(now=LATER).api_cost("acme") == Decimal("6.5")
    assert not [path for path in project.folder.rglob("*") if sha256 in str(path)]
    (entry,) = quarantine_history(project.project, as_of=LATER)
    assert (entry.ended, entry.why, entry.sha256) == ("redacted", "payroll inside", sha256)
    assert project.quarantine(now=LATER) == []
    status = said(project, "status")
    assert f"REDACTED {CONSOLE}/acme {RESTATED} ({sha256[:12]}): redacted on" in status
    assert "payroll inside" in status
    assert "0 files in quarantine" in status
    assert "redacted" in said(project, "quarantine", "--all")
    # The file still lies in the inbox, and is not landed again.
    assert [one.deliveries for one in project.ingest(now=LATER + timedelta(hours=1))] == [()]
    (event,) = project.project.landing.events(REDACT_EVENT)
    assert event.body["names"] == [RESTATED]


def test_without_any_other_delivery_the_days_have_no_data(project: SmallProject) -> None:
    for name in (RESTATED, CONSOLE_NAME):
        said(project, "landing", "redact", name, "--reason", "r", "--yes")
    built = project.build(now=LATER)
    assert built.api_cost("acme") is None
    assert built.one("select count(*) from fct_api_costs_daily") == 0


def test_the_same_bytes_under_another_name_are_refused_and_the_rest_of_the_inbox_lands(project: SmallProject) -> None:
    content = (project.inbox(CONSOLE, "acme") / RESTATED).read_bytes()
    said(project, "landing", "redact", RESTATED, "--reason", "payroll inside", "--yes")
    renamed = RESTATED.replace("2026_11_05", "2026_11_06")
    project.drop(CONSOLE, "acme", renamed, content)
    project.drop(CONSOLE, "acme", RESTATED.replace("2026_11_05", "2026_11_07"), three_days("7.00", "7.00", "7.00"))
    (brought,) = project.ingest(now=LATER + timedelta(days=3))
    assert brought.error is not None
    assert renamed in brought.error
    assert "payroll inside" in brought.error
    assert [item.name for delivery in brought.deliveries for item in delivery.objects] == [
        RESTATED.replace("2026_11_05", "2026_11_07")
    ]
    assert project.build(now=LATER + timedelta(days=3)).api_cost("acme") == 21


def test_a_redaction_that_was_stopped_is_finished_by_saying_it_again(project: SmallProject) -> None:
    sha256 = shas(project)[RESTATED]
    project.project.landing.record(kind=REDACT_EVENT, subject=sha256, body={"reason": "payroll"}, now=LATER)
    printed = said(project, "landing", "redact", sha256[:12], "--yes")
    assert "redacted on 2026-11-05: payroll" in printed
    assert not [path for path in project.folder.rglob("*") if sha256 in str(path)]
    assert len(project.project.landing.events(REDACT_EVENT)) == 1


@pytest.mark.parametrize(("which", "words"), [("nothing.csv", "0 landed objects"), ("0000000000", "0 landed objects")])
def test_what_is_not_one_landed_object_is_refused(project: SmallProject, which: str, words: str) -> None:
    with pytest.raises(BreakevenError, match=words):
        said(project, "landing", "redact", which, "--reason", "r", "--yes")
    assert project.project.landing.events(REDACT_EVENT) == []


def test_a_file_is_known_by_its_bytes_and_a_reason_is_needed(project: SmallProject, tmp_path: Path) -> None:
    copy = tmp_path / "copy.csv"
    copy.write_bytes((project.inbox(CONSOLE, "acme") / RESTATED).read_bytes())
    assert "Say why" in said(project, "landing", "redact", str(copy), "--yes")
    assert RESTATED in said(project, "landing", "redact", str(copy))
    assert project.project.landing.events(REDACT_EVENT) == []


def test_a_bill_restated_under_another_provider_name_is_one_again_once_the_older_is_redacted(
    tmp_path: Path, warm_cache: Path
) -> None:
    """B9: what the law cloud_book_of_record advises is so."""
    made = SmallProject(tmp_path / "project", [focus()], warm_cache=warm_cache)
    older, newer = "11-20261106T000000Z.csv", "11-20261107T000000Z.csv"
    made.drop(FOCUS, "cloudy", older, focus_csv([line(ProviderName="Cloudy", BilledCost="3")]))
    made.drop(FOCUS, "cloudy", newer, focus_csv([line(ProviderName="Cloudy Inc", BilledCost="2.5")]))
    now = NOW + timedelta(days=4)
    twice = made.run(now=now)
    assert twice.one(f"select sum(billed_cost) from {MART}") == Decimal("5.5")
    (law,) = twice.rows("select detail from check_cloud_book_of_record")
    assert "redact the older" in law["detail"]
    said(made, "landing", "redact", older, "--reason", "restated under another name", "--yes")
    once = made.run(now=now)
    assert once.one(f"select sum(billed_cost) from {MART}") == Decimal("2.5")
    assert once.rows("select detail from check_cloud_book_of_record") == []


# --- collect ---------------------------------------------------------------------------------------------------------


def test_a_report_keeps_its_snapshot_and_the_same_report_is_issued_once(project: SmallProject) -> None:
    snapshot = project.build(now=LATER).result.snapshot
    for _ in range(2):
        write_report(project.project, snapshot, month="2026-11", now=LATER)
    (event,) = project.project.landing.events(REPORT_EVENT)
    assert event.subject == "2026-11"
    assert event.body["snapshot_id"] == snapshot.snapshot_id
    assert project.build(now=LATER).result.snapshot.snapshot_id == snapshot.snapshot_id


def test_a_collection_says_what_it_would_do_and_a_collected_snapshot_says_how_it_comes_again(
    project: SmallProject,
) -> None:
    past = project.build(now=NOW).result.snapshot
    reported = project.build(now=LATER).result.snapshot
    write_report(project.project, reported, month="2026-11", now=LATER)
    current = project.build(now=LATER + timedelta(days=1)).result.snapshot
    grow_old(project.folder / ".breakeven")
    rows = {row["snapshot_id"]: row for row in json.loads(said(project, "collect", "--format", "json"))}
    assert rows[past.snapshot_id]["is_kept"] is False
    assert rows[reported.snapshot_id]["why"] == "cited by the report of 2026-11"
    assert rows[current.snapshot_id]["why"] == "current here"
    assert "Nothing was deleted" in said(project, "collect")
    assert said(project, "sql", "select 1 as one", "--as-of", past.snapshot_id)
    assert "deleted" in said(project, "collect", "--yes")
    with pytest.raises(BuildError, match=r"was collected on .* --as-of 2026-11-05T06:00"):
        said(project, "sql", "select 1 as one", "--as-of", past.snapshot_id)
    with pytest.raises(BuildError, match="No snapshot 0123456789abcdef"):
        said(project, "sql", "select 1 as one", "--as-of", "0123456789abcdef")
    for kept, cost in ((reported, "8"), (current, "8")):
        words = ("sql", "select sum(billed_cost) as cost from fct_api_costs_daily", "--as-of", kept.snapshot_id)
        assert cost in said(project, *words)
    again = project.build(now=NOW).result.snapshot
    assert again.snapshot_id == past.snapshot_id
    (event,) = project.project.landing.events(COLLECT_EVENT)
    assert past.snapshot_id in event.body["snapshots"]
