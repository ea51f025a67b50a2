"""Text chosen to be run, rendered or followed: it comes out as the text it is, everywhere it is shown."""

import csv
import io
import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.cli.show import sql, status
from pipeline.decisions.quarantine import QuarantineEntry
from pipeline.formats.writing import printable
from pipeline.reports.monthly import write_report
from tests.pipeline.conftest import MakeProject
from tests.pipeline.small_project import (
    CONSOLE,
    CONSOLE_NAME,
    COST_API,
    DAYS,
    INVOICE,
    NOW,
    Answers,
    SmallProject,
    api_page,
    console_csv,
    console_row,
    cost_result,
    invoice_csv,
    source,
    three_days,
)

HOSTILE = {
    "sql": "x'; drop table fct_api_costs_daily; --",
    "html": "<script>alert('x')</script>&lt;",
    "formula": '=HYPERLINK("http://localhost/"&A1)',
    "mrkdwn": "<!channel> *bold* <http://localhost/|free money>",
    "path": "../../../../etc/passwd",
    "nul": "before\x00after",
    "escape": "\x1b]0;owned\x07\x1b[2J",
    "long": "m" * 20_000,
    "right to left": "claude\u202egnp.exe",
    "markup": "[red]not red[/red]",
    "lines": "one\ntwo\ttab",
}
MODELS = list(HOSTILE.values())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, warm_cache: Path) -> tuple[SmallProject, Answers]:
    """One project in which every name that a bill may choose is hostile: models, keys, workspaces, servers, files."""
    made = SmallProject(
        tmp_path_factory.mktemp("hostile"),
        [source(COST_API, "org"), source(CONSOLE, "acme"), source(INVOICE, "gpucloud")],
        warm_cache=warm_cache,
    )
    results = [cost_result("100", model=text, workspace_id=text, description=text) for text in MODELS]
    made.drop(COST_API, "org", "costs-20261104T060000Z.json", api_page(dict.fromkeys(DAYS, results)))
    rows = [console_row(DAYS[0], "1.00", model=text, api_key=text, workspace=text) for text in MODELS]
    made.drop(CONSOLE, "acme", CONSOLE_NAME, console_csv(rows))
    servers = [
        ("GPU server", '"' + text.replace('"', '""') + '"', "24.00")
        for name, text in HOSTILE.items()
        if name not in ("long", "nul")
    ]
    made.drop(INVOICE, "gpucloud", "invoice.csv", invoice_csv(servers))
    return made, made.run()


def test_hostile_names_change_no_sum_and_come_back_as_they_came(shared: tuple[SmallProject, Answers]) -> None:
    """B12: no name merges with another, none is cut, none is dropped."""
    _, built = shared
    assert built.api_cost("org") == Decimal(3 * len(MODELS))
    assert built.api_cost("acme") == Decimal(len(MODELS))
    assert built.gpu_cost("gpucloud") == Decimal(24 * (len(MODELS) - 2))
    named = built.rows("select distinct model, sub_account_id from fct_api_costs_daily where account = 'org'")
    assert sorted(row["model"] for row in named) == sorted(MODELS)
    assert sorted(row["sub_account_id"] for row in named) == sorted(MODELS)
    assert built.rows("select law, scope, detail from check_api_money_conserved") == []


def test_the_report_shows_hostile_names_as_text(shared: tuple[SmallProject, Answers]) -> None:
    project, built = shared
    page = write_report(project.project, built.result.snapshot, month="2026-11", now=NOW).read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "<!channel>" not in page
    assert "\x00" not in page
    assert "\x1b" not in page


def test_a_spreadsheet_gets_no_formula(
    shared: tuple[SmallProject, Answers], capsys: pytest.CaptureFixture[str]
) -> None:
    project, _ = shared
    query = "select distinct model from fct_api_costs_daily where account = 'org' order by model"
    sql.main(["--project", str(project.folder), "--format", "csv", query], standalone_mode=False)
    cells = [row[0] for row in csv.reader(io.StringIO(capsys.readouterr().out.replace("\x00", "")))][1:]
    assert len(cells) == len(MODELS)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_json_carries_hostile_names_whole(
    shared: tuple[SmallProject, Answers], capsys: pytest.CaptureFixture[str]
) -> None:
    project, _ = shared
    query = "select distinct model from fct_api_costs_daily where account = 'org'"
    sql.main(["--project", str(project.folder), "--format", "json", query], standalone_mode=False)
    assert sorted(row["model"] for row in json.loads(capsys.readouterr().out)) == sorted(MODELS)


def test_a_terminal_is_not_steered(shared: tuple[SmallProject, Answers], capsys: pytest.CaptureFixture[str]) -> None:
    project, _ = shared
    query = "select distinct left(model, 60) as model from fct_api_costs_daily where account = 'org'"
    sql.main(["--project", str(project.folder), query], standalone_mode=False)
    said = capsys.readouterr().out
    assert not set(said) & {"\x00", "\x07", "\x1b", "\u202e"}
    assert "\\x1b" in said
    assert "[red]not red[/red]" in said


def test_what_is_printed_of_a_quarantined_file_is_one_plain_line() -> None:
    entry = QuarantineEntry("s", "a", "in\x1b[2Jvoice\u202e.csv", "ab" * 32, "row 2: \x07")
    assert printable(str(entry)) == "s/a in\\x1b[2Jvoice\\u202e.csv (abababababab): row 2: \\x07"


HOSTILE_FILE_NAMES = [
    "..csv",
    "a\nb.csv",
    "-rf.csv",
    "$(touch owned).csv",
    "'; drop table x; --.csv",
    "\x1b[2J.csv",
    "%2e%2e%2fescape.csv",
    "f" * 240 + ".csv",
]


def test_a_hostile_file_name_lands_nothing_outside_landing_and_loses_nothing(
    make_project: MakeProject, capsys: pytest.CaptureFixture[str]
) -> None:
    """B9: names are kept as text and never used as a path; each of these files counts, and once."""
    project = make_project([source(INVOICE, "gpucloud"), source(CONSOLE, "labs")])
    names = [name for name in HOSTILE_FILE_NAMES if not name.startswith(".")]
    for number, name in enumerate(HOSTILE_FILE_NAMES):
        lines = invoice_csv([("GPU server", f"server-{number}", "24.00")], invoice=f"INV-{number}")
        project.drop(INVOICE, "gpucloud", name, lines)
    project.drop(CONSOLE, "labs", "a\x1b[2Jbroken.csv", three_days("1.00", "2.00", "3.00")[:-9])
    before = {path for path in project.folder.rglob("*") if ".breakeven" not in path.parts}
    built = project.run()
    assert built.gpu_cost("gpucloud") == Decimal(24 * len(names))
    assert {path for path in project.folder.rglob("*") if ".breakeven" not in path.parts} == before
    assert built.result.snapshot.delivery_count == len(names) + 1
    again = project.run(now=NOW + timedelta(hours=1))
    assert again.result.snapshot.delivery_count == len(names) + 1
    with pytest.raises(SystemExit):
        status.main(["--project", str(project.folder)], standalone_mode=False)
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\\x1b[2Jbroken.csv" in said.replace("\n", "")
