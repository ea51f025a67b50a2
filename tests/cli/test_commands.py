"""The commands a person types: what they print, in every format, and what their exit codes mean."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import _COMMANDS, group
from pipeline.cli.summary import messages_so_far, print_answers, print_told, told_by_snapshot
from pipeline.decisions.graph import build_project, current_snapshot
from pipeline.demo import AS_OF
from pipeline.landing.project import Project
from tests.pipeline.small_project import (
    CONSOLE,
    CONSOLE_NAME,
    INVOICE,
    SmallProject,
    invoice_csv,
    source,
    three_days,
)

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


def test_costs_say_what_changed_since_the_month_before(demo_folder):
    """Effects of both lanes lead from the earlier days' cost to the later ones'; without an earlier month, none."""
    asked = ["costs", "--bridge", "--project", str(demo_folder)]
    table = breakeven(*asked).output
    assert "What changed from 1 to 14 Oct 2026 to 1 to 14 Nov 2026" in table
    rows = json.loads(breakeven(*asked, "--format", "json").output)
    sums = [
        f"select (select sum(billed_cost_rc) from fct_api_costs_daily where {days}) + "
        f"(select sum(realized_cost_rc) from fct_gpu_costs_daily where {days}) as cost_rc"
        for days in (
            "usage_date between '2026-10-01' and '2026-10-14'",
            "usage_date between '2026-11-01' and '2026-11-14'",
        )
    ]
    costs = [json.loads(breakeven("sql", sql, *asked[2:], "--format", "json").output)[0]["cost_rc"] for sql in sums]
    assert sum(Decimal(row["change_cost_rc"]) for row in rows) == Decimal(costs[1]) - Decimal(costs[0])
    assert "No cost of September 2026" in breakeven(*asked, "--to", "2026-11-01").output


def test_json_carries_money_exactly(demo_folder):
    query = "select sum(billed_cost_rc) as billed_cost_rc from fct_api_costs_daily where account = 'demo-org'"
    (row,) = json.loads(breakeven("sql", query, "--project", str(demo_folder), "--format", "json").output)
    assert row["billed_cost_rc"] == "7413.437496555000000000"


def test_waste_is_the_whole_gpu_bill(demo_folder):
    """B13."""
    rows = json.loads(breakeven("waste", "--project", str(demo_folder), "--format", "json").output)
    hours = sum(row["gpu_milliseconds"] for row in rows if row["gpu_milliseconds"] is not None) / 3_600_000
    assert hours == 15 * 24 * 30


def test_waste_by_line_is_the_same_bill(demo_folder):
    """B13: what ready time bought is told apart, hours and money of each measure stay what they are."""
    asked = ["waste", "--project", str(demo_folder), "--format", "json"]
    sums: list[dict[str, tuple[Decimal, Decimal]]] = []
    lines = json.loads(breakeven(*asked, "--by", "line").output)
    for rows in (json.loads(breakeven(*asked).output), lines):
        by_measure: dict[str, tuple[Decimal, Decimal]] = {}
        for row in rows:
            hours, cost = by_measure.get(row["cost_measure"], (Decimal(0), Decimal(0)))
            hours += Decimal(row["gpu_hours"] or 0)
            by_measure[row["cost_measure"]] = (hours, cost + Decimal(row["realized_cost_rc"]))
        sums.append({name: (round(hours, 3), cost) for name, (hours, cost) in by_measure.items()})
    assert sums[0] == sums[1]
    assert {row["line"] for row in lines if row["deployment_id"] == "chat-llama"} >= {"useful", "headroom"}
    told = " ".join(breakeven("waste", "--project", str(demo_folder)).output.split())
    assert "What ready GPUs bought: batch-gemma, ready for" in told
    assert "not told apart: no capacity of it is declared or measured" in told


def test_the_summary_answers_what_the_readme_promises(demo_folder, capsys):
    project = Project(demo_folder)
    snapshot = current_snapshot(project)
    print_answers(project, snapshot)
    print_told(project, told_by_snapshot(project, snapshot, landed=None), before=())
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


def test_a_message_is_shown_by_the_run_that_made_it_and_by_no_later_one(demo_folder, capsys):
    """Who runs it each morning reads what is new; what was said before is in landing."""
    project = Project(demo_folder)
    told = told_by_snapshot(project, current_snapshot(project), landed=None)
    print_told(project, told, before=messages_so_far(project))
    printed = capsys.readouterr().out
    assert "Nothing new to tell Slack." in printed
    assert "Slack would be told" not in printed


def test_a_verdict_is_of_the_newest_settled_day_and_says_what_the_later_days_wait_for(demo_folder):
    """B28: a day that can still change has no verdict; until it settles the last one that is sure is told."""
    asked = ["verdict", "--project", str(demo_folder), "--as-of", "2026-11-17T06:00Z"]
    rows = json.loads(breakeven(*asked, "--format", "json").output)
    assert {(row["usage_date"], row["later_unsettled_days_count"]) for row in rows} == {("2026-11-14", 3)}
    assert {row["status"] for row in rows} == {"decided", "no_hourly_evidence", "conditions"}
    told = " ".join(breakeven(*asked).output.split())
    sources = "anthropic_console_csv of demo-labs is missing, anthropic_cost_api of demo-org is missing, "
    assert f"NOT SETTLED 2026-11-15 UTC: {sources}" in told
    assert "nvml_spool of demo-fleet is provisional" in told.split("2026-11-16 UTC")[0]
    assert "NOT SETTLED 2026-11-17 UTC: not over yet." in told
    assert "invoice_csv" not in told
    assert "NOT PROVEN" not in told


def test_a_verdict_made_from_a_broken_law_says_so(tmp_path):
    """B12: two workloads claim one account's traffic; what is told of either is not proven, of the third it is."""
    rules = {"chat": {"account": "acme"}, "batch": {"model": "Claude Haiku 4.5"}, "search": {"account": "other"}}
    said = [{"workload": name, "match": [rule]} for name, rule in rules.items()]
    made = SmallProject(tmp_path, [source(CONSOLE, "acme")], {"workloads": said})
    made.drop(CONSOLE, "acme", CONSOLE_NAME, three_days("1.00", "2.00", "3.00"))
    made.run()
    told = breakeven("verdict", "--project", str(tmp_path)).output
    assert re.findall(r"NOT PROVEN (\S+): (\S+) broken", told) == [
        ("batch", "api_one_workload_per_cell"),
        ("chat", "api_one_workload_per_cell"),
    ]


def test_status_says_up_to_when_invoices_have_come(demo_folder):
    """B19: the invoice of October has come and ties; that it is of no later day is no gap."""
    told = breakeven("status", "--project", str(demo_folder)).output
    invoices = told.split("Invoices that have come")[1]
    for words in ("2026-10-01", "2026-11-01", "ties", "18,866.19"):
        assert words in invoices
    assert "2026-10-02" not in told


def test_status_names_what_is_declared_and_no_longer_billed(tmp_path):
    """B17: an instance that was released stays in breakeven.yaml until somebody gives it an end."""
    nodes = [
        {"issuer": "gpucloud", "resource_id": name, "gpu_count": 1, "from": "2026-10-01"}
        for name in ("node-1", "node-2")
    ]
    made = SmallProject(tmp_path, [source(INVOICE, "gpucloud")], {"gpu_resources": nodes})
    made.drop(INVOICE, "gpucloud", "invoice.csv", invoice_csv([("GPU server", "node-1", "72.00")], total="72.00"))
    made.run()
    told = " ".join(breakeven("status", "--project", str(tmp_path)).output.split())
    assert "DECLARED node-2 of gpucloud: no longer on the bill since 1 Nov 2026: give it a `to` under" in told
    assert "DECLARED node-1" not in told


def test_costs_tell_the_budgets_of_the_month_in_which_the_period_ends(demo_folder):
    told = breakeven("costs", "--project", str(demo_folder)).output.split("Budgets, 2026-11 (UTC)")[1]
    assert all(
        name in told for name in ("organisation", "team demo-support", "€13,000.00", "Forecast: settled days, and")
    )
    asked = ["costs", "--project", str(demo_folder), "--from", "2026-10-01", "--to", "2026-11-01"]
    assert "31 of 31" in breakeven(*asked).output.split("Budgets, 2026-10 (UTC)")[1]


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
        (["snooze", "workload:chat", "--until", "2026-12-01"], 2, "Write it like 2026-12-01T08:00Z"),
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
    """B27: nothing outside landing is needed. Of the telemetry the newest days: the rest is read no differently."""
    folder = tmp_path / "demo"
    left_out = shutil.ignore_patterns("dagster", "catalog", "published", "reports")
    shutil.copytree(demo_folder, folder, symlinks=True, copy_function=os.link, ignore=left_out)
    for manifest in (folder / ".breakeven" / "landing" / "deliveries").glob("*/*.json"):
        delivery = json.loads(manifest.read_bytes())
        if delivery["source"] == "nvml_spool" and not re.search(r"_2026-11-1[0-4]_", delivery["objects"][0]["name"]):
            manifest.unlink()
    project = Project(folder)
    before = build_project(project, as_of=AS_OF).snapshot
    assert breakeven("ack", "workload:support-chat", "--project", str(folder)).exit_code == 0
    said = [event.event_id for event in project.landing.events()]
    done = breakeven("rebuild", "--project", str(folder), "--as-of", f"{AS_OF:%Y-%m-%dT%H:%MZ}")
    assert done.exit_code == 0, done.output
    again = Project(folder)
    assert current_snapshot(again).nodes == before.nodes
    assert sum(part.rows for part in before.node("stg_nvml_spool__gpu_hours").parts.values()) > 0
    assert [event.event_id for event in again.landing.events()] == said


def test_the_readme_names_only_commands_and_targets_that_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"(?:^|[`$] ?)breakeven ([a-z]+)", readme, flags=re.MULTILINE):
        assert name in _COMMANDS, name
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for name in re.findall(r"make ([a-z]+)", readme):
        assert name in targets, name
