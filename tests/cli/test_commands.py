"""The commands a person types: what they print, in every format, and what their exit codes mean."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import _COMMANDS, group
from pipeline.cli.summary import print_summary
from pipeline.landing.project import Project

ROOT = Path(__file__).parents[2]


def breakeven(*arguments: str) -> Result:
    return CliRunner().invoke(group, list(arguments))


@pytest.mark.parametrize("command", ["costs", "waste", "verdict", "status", "sql"])
def test_every_view_speaks_table_json_and_csv(demo_folder, command):
    asked = [command, "--project", str(demo_folder)]
    table = breakeven(*asked)
    assert table.exit_code == 0, table.output
    rows = json.loads(breakeven(*asked, "--format", "json").output)
    assert rows
    text = breakeven(*asked, "--format", "csv").output
    parsed = list(csv.DictReader(io.StringIO(text)))
    assert len(parsed) == len(rows)
    assert list(parsed[0]) == list(rows[0])


def test_json_carries_money_exactly(demo_folder):
    query = "select sum(billed_cost_rc) as billed_cost_rc from fct_api_costs_daily where account = 'demo-org'"
    (row,) = json.loads(breakeven("sql", query, "--project", str(demo_folder), "--format", "json").output)
    assert row["billed_cost_rc"] == "7413.437496555000000000"


def test_waste_is_the_whole_gpu_bill(demo_folder):
    """B13."""
    rows = json.loads(breakeven("waste", "--project", str(demo_folder), "--format", "json").output)
    hours = sum(row["gpu_milliseconds"] for row in rows if row["gpu_milliseconds"] is not None) / 3_600_000
    assert hours == 12 * 24 * 30


def test_the_summary_answers_what_the_readme_promises(demo_folder, capsys):
    print_summary(Project(demo_folder))
    printed = capsys.readouterr().out
    for words in (
        "What a million tokens really cost",
        "What idle GPUs cost",
        "unobserved is never called idle",
        "What each workload's own traffic says",
        "Slack would be told",
        "laws held",
    ):
        assert words in printed
    assert "fill" in printed
    assert "switch to api" in printed


def test_a_past_moment_is_shown_without_moving_the_present(demo_folder):
    asked = ["costs", "--project", str(demo_folder), "--from", "2026-10-01", "--to", "2026-11-01", "--format", "json"]
    now = breakeven(*asked).output
    before = breakeven(*asked, "--as-of", "2026-11-14")
    assert json.loads(before.output) == []
    assert breakeven(*asked).output == now


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["costs", "--project", "/nonexistent"], 2, "No such file"),
        (["costs", "--from", "yesterday"], 2, "is not a date"),
        (["cost"], 2, "Did you mean 'costs'"),
        (["sql", "select * from nothing_here"], 1, "DuckDB says"),
        (["report", "--month", "2026-13"], 2, "not a month"),
        (["accept", "acme", "--why", "x"], 2, "BUCKET is source/account/dataset/bucket"),
        (["snooze", "workload:chat"], 2, "either --days or --until"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_and_exits_with_its_code(demo_folder, arguments, code, words):
    done = subprocess.run(
        [sys.executable, "-c", "from pipeline.cli import main; main()", *arguments],
        cwd=demo_folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_every_command_has_help_with_an_example():
    for name in _COMMANDS:
        done = breakeven(name, "--help")
        assert done.exit_code == 0, done.output
        assert re.search(rf"breakeven {name}", done.output), name


def test_rebuild_gives_the_same_snapshot_sends_nothing_and_forgets_no_acknowledgement(demo_folder, tmp_path):
    """B27: nothing outside landing is needed."""
    folder = tmp_path / "demo"
    shutil.copytree(demo_folder, folder, symlinks=True)
    project = Project(folder)
    tables = "select usage_date, workload, recommendation, best_cost_rc from fct_verdicts_daily order by all"
    before = breakeven("sql", tables, "--project", str(folder), "--format", "json").output
    assert breakeven("ack", "workload:support-chat", "--project", str(folder)).exit_code == 0
    said = [event.event_id for event in project.landing.events()]
    done = breakeven("rebuild", "--project", str(folder), "--as-of", "2026-11-15T06:00Z")
    assert done.exit_code == 0, done.output
    assert breakeven("sql", tables, "--project", str(folder), "--format", "json").output == before
    assert [event.event_id for event in Project(folder).landing.events()] == said


def test_the_readme_names_only_commands_and_targets_that_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"(?:^|[`$] ?)breakeven ([a-z]+)", readme, flags=re.MULTILINE):
        assert name in _COMMANDS, name
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for name in re.findall(r"make ([a-z]+)", readme):
        assert name in targets, name
