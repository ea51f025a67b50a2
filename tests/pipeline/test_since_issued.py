"""A report that was issued: it comes back to the byte, and what a later one says otherwise is told figure by figure."""

import shutil
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.build.graph import Graph
from pipeline.build.runner import Model
from pipeline.cli import group
from pipeline.cli.report import _MOST_CHANGES
from pipeline.decisions.graph import shipped_graph
from pipeline.landing.landing import REPORT_EVENT
from pipeline.reports import since_issued
from pipeline.reports.sheets import Sheet, SheetColumn
from tests.models.cloud_harness import broken
from tests.pipeline.small_project import CONSOLE, SmallProject, console_csv, console_row, source

STAGED = "stg_anthropic_console_csv__costs_daily"
OLD, NEW = "sum(billed_cost)", "sum(billed_cost * 1.1)"
DAYS = ("2026-10-01", "2026-10-02", "2026-10-03")


def bill(*costs: str) -> bytes:
    return console_csv(console_row(day, cost) for day, cost in zip(DAYS, costs, strict=True))


def name(exported: str) -> str:
    return f"claude_api_cost_2026_10_01_to_2026_10_03_exported_{exported}.csv"


def report(made: SmallProject, *words: str) -> str:
    done = CliRunner().invoke(group, ["report", "--month", "2026-10", "--project", str(made.folder), *words])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, warm_cache: Path) -> SmallProject:
    """October, reported on 5 November."""
    folder = tmp_path_factory.mktemp("issued") / "p"
    made = SmallProject(folder, [source(CONSOLE, "acme")], warm_cache=warm_cache)
    made.drop(CONSOLE, "acme", name("2026_10_05"), bill("1.00", "2.00", "3.00"))
    made.run(now=datetime(2026, 11, 5, 6, tzinfo=UTC))
    assert "report of" not in report(made)
    return made


@pytest.fixture
def issued(once: SmallProject, tmp_path: Path) -> SmallProject:
    """A copy of it to do things to."""
    shutil.copytree(once.folder, tmp_path / "p", symlinks=True)
    return SmallProject(tmp_path / "p", once.sources)


def test_a_past_report_comes_back_to_the_byte_and_a_later_one_says_what_moved(issued: SmallProject) -> None:
    """Was 6.00 in October, is 6.50: said beside the new report; the old one is written again from its snapshot."""
    page = issued.project.paths.reports / "2026-10.html"
    before = page.read_bytes()
    (event,) = issued.project.landing.events(REPORT_EVENT)
    assert "The same, to the byte, as issued on" in report(issued)
    issued.drop(CONSOLE, "acme", name("2026_11_07"), bill("1.00", "2.50", "3.00"))
    issued.run(now=datetime(2026, 11, 8, 6, tzinfo=UTC))
    said = report(issued)
    assert "not as in the report of" in said
    assert f"(snapshot {event.body['snapshot_id']}, release " in said
    assert "API spend, billed · acme, anthropic, claude-haiku-4-5" in said
    assert "was 6, is 6.5" in said
    assert page.read_bytes() != before
    assert f"snapshot {event.body['snapshot_id']}" not in report(issued, "--as-of", event.body["snapshot_id"])
    assert page.read_bytes() == before


@dataclass(frozen=True)
class NextRelease(Graph):
    """The shipped graph, but that a Console bill is a tenth more."""

    def models(self, cache: Path | None) -> list[Model]:
        dearer = broken(STAGED, OLD, NEW)
        return [dearer if one.name == STAGED else one for one in super().models(cache)]


def test_after_an_upgrade_that_works_a_figure_out_otherwise_the_difference_is_told(issued: SmallProject) -> None:
    """Nothing arrived since: the same landing under another release, and the report says what moved, and from where."""
    shipped = shipped_graph()
    upgraded = NextRelease(**{one.name: getattr(shipped, one.name) for one in fields(shipped)})
    issued.build(now=datetime(2026, 11, 6, 6, tzinfo=UTC), graph=upgraded)
    said = report(issued)
    assert "was 6, is 6.6" in said


SHEET = Sheet(
    "spend", "Spend", "", (SheetColumn("Account", "", "text"), SheetColumn("Billed", "USD", "number")),
    (("a", None), ("a", "unknown"), ("b", None)),
)  # fmt: skip


def test_rows_of_one_name_are_told_apart_by_their_order() -> None:
    rows = since_issued._rows(SHEET)
    assert [(key, list(row.values())) for key, row in rows.items()] == [
        ((("a",), 1), [None]), ((("a",), 2), ["unknown"]), ((("b",), 1), [None]),
    ]  # fmt: skip
    assert since_issued._rows(None) == {}
    assert _MOST_CHANGES == 10
