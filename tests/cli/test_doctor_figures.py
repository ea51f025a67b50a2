"""What belongs to nobody, the line of breakeven.yaml worth writing next, and the order in which things are fixed."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.whole import Config
from pipeline.doctor.figures import api_lines, budget_findings, gpu_lines
from pipeline.doctor.findings import Cost, Finding, next_step
from pipeline.doctor.sources import last_day_due
from tests.cli import examined
from tests.cli.examined import chosen, of
from tests.models import cloud_harness as cloud
from tests.pipeline.conftest import MakeProject
from tests.pipeline.small_project import (
    CONSOLE,
    COST_API,
    DAYS,
    INVOICE,
    SPOOL,
    SmallProject,
    api_page,
    cost_result,
    invoice_csv,
    source,
    spool_file,
)

# The morning after the last of `DAYS`: nothing is late yet.
BUILT = datetime(2026, 11, 4, 6, tzinfo=UTC)


def rows(folder: Any) -> list[dict[str, Any]]:
    return examined.rows(folder, as_of=BUILT.isoformat())


# --- properties ------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b"])
MAYBE = st.none() | NAMES
CELLS = st.lists(
    st.fixed_dictionaries(
        {
            "provider": st.sampled_from(["anthropic", "openai"]),
            "account": NAMES,
            "sub_account_id": st.none() | st.sampled_from(["Default", "w1", "yes", "=1", "é\u202e\n\x1b: {#"]),
            "api_key_id": MAYBE,
            "model": MAYBE,
            "of_which_unassigned_cost_rc": st.none() | st.decimals(-5, 50, places=2),
            "claiming_workload_count": st.sampled_from([0, 0, 0, 1, 2]),
        }
    ),
    max_size=12,
)


def is_claimed(cell: Mapping[str, Any], rule: Mapping[str, str]) -> bool:
    """As the SQL of the workload rules says it, in other words."""
    said = {"provider": "provider", "account": "account", "api_key": "api_key_id", "model": "model"}
    division = rule.get("workspace", rule.get("project"))
    return (division is None or (cell["sub_account_id"] or "Default") == division) and all(
        cell[said[name]] == value for name, value in rule.items() if name in said
    )


@given(cells=CELLS)
def test_a_proposed_line_is_yaml_that_claims_what_it_says_and_nothing_that_is_claimed(
    cells: list[dict[str, Any]],
) -> None:
    for line in api_lines(cells):
        assert line.text.isprintable()
        (rule,) = yaml.safe_load(line.text)
        workload = {"workload": "new", "match": [rule]}
        config = Config.model_validate({"company": "acme", "workloads": [workload]})
        assert config.workloads[0].match[0].sub_account == rule.get("workspace", rule.get("project"))
        claimed = [cell for cell in cells if is_claimed(cell, rule)]
        assert line.cost_rc == sum(cell["of_which_unassigned_cost_rc"] or 0 for cell in claimed)
        assert line.cost_rc > 0
        assert {cell["claiming_workload_count"] for cell in claimed} == {0}


@given(cells=CELLS)
def test_a_division_that_nobody_claims_and_that_costs_something_is_always_proposed(cells: list[dict[str, Any]]) -> None:
    proposed = {line.cost_rc for line in api_lines(cells)}
    for cell in cells:
        mates = [
            one
            for one in cells
            if (one["provider"], one["account"], one["sub_account_id"] or "Default")
            == (cell["provider"], cell["account"], cell["sub_account_id"] or "Default")
        ]
        cost = sum(one["of_which_unassigned_cost_rc"] or Decimal(0) for one in mates)
        if cost > 0 and all(one["claiming_workload_count"] == 0 for one in mates):
            assert cost in proposed


FINDINGS = st.lists(
    st.builds(
        Finding,
        area=st.just("sources"), subject=st.just("x"), check=st.just("access"), said=st.just("so"),
        state=st.sampled_from(["ok", "note", "fix", "skipped"]), fix=st.sampled_from(["", "do"]),
        cost=st.sampled_from(list(Cost)), at_stake_rc=st.none() | st.integers(0, 3).map(Decimal),
    ),
    max_size=8,
)  # fmt: skip


@given(findings=FINDINGS)
def test_what_is_fixed_next_is_the_dearest_and_no_note_goes_before_it(findings: list[Finding]) -> None:
    found = next_step(findings)
    actionable = [one for one in findings if one.fix and one.cost != Cost.NOTHING]
    broken = [one for one in actionable if one.state == "fix"]
    candidates = broken or [one for one in actionable if one.state == "note"]
    if found is None:
        assert candidates == []
        return
    assert found in candidates
    assert all((found.cost, -(found.at_stake_rc or 0)) <= (one.cost, -(one.at_stake_rc or 0)) for one in candidates)


MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds


@given(as_of=MOMENTS, hours=st.integers(0, 24 * 60))
def test_the_last_day_due_has_had_its_settle_lag_and_the_next_has_not(as_of: datetime, hours: int) -> None:
    due = last_day_due(as_of, timedelta(hours=hours))
    ended = datetime(due.year, due.month, due.day, tzinfo=UTC) + timedelta(days=1, hours=hours)
    assert ended <= as_of < ended + timedelta(days=1)


def test_a_host_is_proposed_only_where_none_of_its_time_has_a_deployment() -> None:
    def row(host: str | None, hours: int, unassigned: int | None, cost: str | None = "5") -> dict[str, Any]:
        return {
            "host": host,
            "gpu_milliseconds": hours * 3_600_000,
            "of_which_unassigned_gpu_milliseconds": None if unassigned is None else unassigned * 3_600_000,
            "unassigned_cost_rc": None if cost is None else Decimal(cost),
        }

    declared = {"deployment": "d", "model": "m", "hosts": ["two-meant"], "gpus_per_replica": 1}
    config = Config.model_validate({"company": "acme", "deployments": [declared]})
    found = gpu_lines(
        [row("free", 2, 2), row("free", 1, 1, None), row("shared", 4, 3), row("two-meant", 4, 4), row(None, 9, 9)],
        config,
    )
    assert [(line.text, line.cost_rc, line.gpu_milliseconds) for line in found] == [
        ("hosts: [free]", None, 3 * 3_600_000)
    ]


# --- real builds -----------------------------------------------------------------------------------------------------


def an_api_project(make_project: MakeProject, workloads: list[dict[str, Any]]) -> SmallProject:
    """30.00 of wrkspc_a, 60.00 of wrkspc_b (of which 15.00 sonnet), 3.00 of the default one."""
    made = make_project([source(COST_API, "org")], workloads=workloads)
    results = [
        cost_result("1000", workspace_id="wrkspc_a"),
        cost_result("1500", workspace_id="wrkspc_b"),
        cost_result("500", workspace_id="wrkspc_b", model="claude-sonnet-4-5", description="Claude Sonnet 4.5 Usage"),
        cost_result("100"),
    ]
    made.drop(COST_API, "org", "costs-20261104T060000Z.json", api_page(dict.fromkeys(DAYS, results)))
    made.run(now=BUILT)
    return made


def test_the_line_that_covers_most_is_proposed_and_once_written_it_covers_just_that(make_project: MakeProject) -> None:
    """Written, built, and looked at again, until nothing belongs to nobody; no law breaks on the way."""
    workloads: list[dict[str, Any]] = [{"workload": "first", "match": [{"account": "org", "workspace": "wrkspc_a"}]}]
    project = an_api_project(make_project, workloads)
    (share,) = of(rows(project.folder), "workloads")
    assert share["said"] == "32.3% of $93.00 of API cost in 30 days belongs to a workload"
    # More than any line covers has no count of its tokens yet.
    (lacking,) = of(rows(project.folder), "inputs")
    assert lacking["fix"].startswith("anthropic_usage_api of account org ->")
    expected = [
        ("$60.00", "- {provider: anthropic, account: org, workspace: wrkspc_b}"),
        ("$3.00", "- {provider: anthropic, account: org, workspace: Default}"),
    ]
    for number, (money, text) in enumerate(expected):
        (share,) = of(rows(project.folder), "workloads")
        assert share["fix"] == f"In breakeven.yaml, under a workload's match, this covers {money} of the last 30 days:"
        assert share["line"] == text
        workloads.append({"workload": f"more-{number}", "match": yaml.safe_load(text)})
        again = an_api_project(make_project_anew(make_project, number), workloads)
        found = rows(again.folder)
        assert of(found, "laws")[0]["state"] == "ok"
        project = again
    assert (
        of(rows(project.folder), "workloads")[0]["said"] == "all of $93.00 of API cost in 30 days belongs to a workload"
    )


def make_project_anew(make_project: MakeProject, number: int) -> MakeProject:
    """Another folder: an undated edit of the same project would hold from its own day on only."""
    return lambda sources, **sections: make_project(sources, name=f"again-{number}", **sections)


def test_where_a_rule_would_claim_twice_the_finer_one_is_proposed(make_project: MakeProject) -> None:
    """One model of the workspace is claimed: a line for the whole of it would break a law."""
    taken = {"workspace": "wrkspc_b", "model": "claude-haiku-4-5"}
    everything_else = [{"workspace": "wrkspc_a"}, {"workspace": "Default"}]
    project = an_api_project(make_project, [{"workload": "taken", "match": [taken, *everything_else]}])
    (share,) = of(rows(project.folder), "workloads")
    text = "- {provider: anthropic, account: org, workspace: wrkspc_b, model: claude-sonnet-4-5}"
    assert (share["line"], "$15.00" in share["fix"]) == (text, True)


def test_two_workloads_that_claim_the_same_are_a_broken_law_and_no_proposal(make_project: MakeProject) -> None:
    both = [{"workload": name, "match": [{"account": "org"}]} for name in ("one", "two")]
    found = rows(an_api_project(make_project, both).folder)
    (share,) = of(found, "workloads")
    assert (share["said"], share["fix"]) == ("0.0% of $93.00 of API cost in 30 days belongs to a workload", "")
    assert chosen(found)["said"].startswith("api_one_workload_per_cell is broken for ")
    assert chosen(found)["fix"] == "infra/RUNBOOK.md, Checks, api_one_workload_per_cell"


def test_a_line_that_was_just_written_is_not_proposed_again(make_project: MakeProject) -> None:
    """What the figures do not know yet waits for a run."""
    project = an_api_project(make_project, [])
    project.configure(workloads=[{"workload": "new", "match": [{"account": "org"}]}])
    found = rows(project.folder)
    assert of(found, "workloads")[0]["fix"] == ""
    assert chosen(found)["check"] == "config"


def test_a_host_of_no_deployment_is_proposed_with_its_hours_and_its_cost(make_project: MakeProject) -> None:
    declared = {"issuer": "gpucloud", "resource_id": "server-1", "gpu_count": 1, "from": "2026-11-01", "host": "host-1"}
    project = make_project([source(INVOICE, "gpucloud"), source(SPOOL, "fleet")], gpu_resources=[declared])
    project.drop(INVOICE, "gpucloud", "invoice.csv", invoice_csv([("GPU server", "server-1", "72.00")], total="72.00"))
    for day in (*DAYS, "2026-11-04"):
        project.drop(SPOOL, "fleet", f"{day}.jsonl", spool_file(day))
    project.run(now=BUILT)
    found = rows(project.folder)
    (share,) = of(found, "deployments")
    assert share["said"] == "0.0% of 72.0 GPU-hours in 30 days belong to a deployment"
    said = "In breakeven.yaml, under a deployment, this covers 72.0 GPU-hours ($72.00) of the last 30 days:"
    assert (share["fix"], share["line"]) == (said, "hosts: [host-1]")


@pytest.fixture
def demo_rows(demo_folder: Any) -> list[dict[str, Any]]:
    return examined.rows(demo_folder, "--offline", as_of="2026-11-15T06:00:00+00:00")


def test_gpus_on_a_cloud_bill_that_nobody_declares_are_named_with_the_line_that_does(make_project: MakeProject) -> None:
    """A p5.48xlarge for 2 hours is 16 GPU-hours; another is declared with 4 GPUs, and has 8."""

    def used(resource: str, meter: str, hours: str) -> dict[str, str]:
        when = {"ChargePeriodStart": "2026-11-02T04:00:00Z", "ChargePeriodEnd": "2026-11-02T06:00:00Z"}
        return cloud.line(ProviderName="AWS", ResourceId=resource, SkuMeter=meter, ConsumedUnit="Hours",
                    ConsumedQuantity=hours, BilledCost="90", **when)  # fmt: skip

    node = {"issuer": "aws", "resource_id": "i-1", "gpu_count": 4, "from": "2026-10-01"}
    made = make_project([source("focus", "aws")], gpu_resources=[node])
    lines = [used(name, "USE1-BoxUsage:p5.48xlarge", "2") for name in ("i-1", "i-2")]
    made.drop("focus", "aws", "november.csv", cloud.focus_csv([*lines, used("i-3", "BoxUsage:m7i.large", "2")]))
    made.run(now=BUILT)
    found = {row["said"]: row for row in of(rows(made.folder), "inputs")}
    (said,) = [text for text in found if "nobody declares" in text]
    assert said == "16.0 GPU-hours of 1 instance on cloud bills, which nobody declares (i-2 p5.48xlarge)"
    assert yaml.safe_load(found[said]["line"]) == [
        {"issuer": "aws", "resource_id": "i-2", "gpu_count": 8, "from": date(2026, 11, 2)}
    ]
    assert "i-1 of aws is a p5.48xlarge, which has 8 GPUs, and gpu_resources says 4" in found


def test_hours_that_an_issuer_reports_and_no_rate_is_agreed_for_are_named(make_project: MakeProject) -> None:
    """What has a rate is not among them, nor what is counted in no hours of GPUs."""
    agreed = {"issuer": "gc", "gpu_count": 8, "contract_rate_per_gpu_hour": 2, "from": "2026-11-02"}
    made = make_project([source("focus_usage", "gc")], gpu_resources=[{**agreed, "resource_id": "h100"}])
    header = "ChargePeriodStart,ChargePeriodEnd,ConsumedQuantity,ConsumedUnit,SkuId"
    used = [("h100", "8", "GPU Hours"), ("b200", "16", "GPU Hours"), ("disk", "99", "GiB Hours"), ("cpu", "9", "Hours")]
    rows_of_it = [f"2026-11-02T05:00:00Z,2026-11-02T06:00:00Z,{hours},{unit},{sku}" for sku, hours, unit in used]
    made.drop("focus_usage", "gc", "usage.csv", "".join(f"{row}\n" for row in (header, *rows_of_it)).encode())
    made.run(now=BUILT)
    said = {row["said"]: row["fix"] for row in of(rows(made.folder), "inputs")}
    (found,) = [text for text in said if "no rate is agreed" in text]
    assert found == "16.0 GPU-hours of 1 resource are reported, and no rate is agreed (b200 of gc)"
    assert said[found].startswith("Under gpu_resources, each of them")


def test_the_demo_is_well(demo_rows: list[dict[str, Any]]) -> None:
    assert [row["said"] for row in demo_rows if row["state"] == "fix"] == []
    assert json.dumps(demo_rows)
    assert CONSOLE in {row["source"] for row in demo_rows}
    (budgets,) = of(demo_rows, "budgets")
    assert budgets["said"].startswith("of 4 budgets of 2026-11: ")


def test_a_budget_of_which_nothing_can_be_said_names_its_line_and_the_reason() -> None:
    rows = [
        {"scope": "organisation", "scope_name": None, "status": "at_risk", "reason": "as every day"},
        {"scope": "model", "scope_name": "claude-hiku", "status": "unknown", "reason": "nothing is called so"},
    ]
    asked: dict[str, Any] = {}

    def ask(name: str, **days: Any) -> pl.DataFrame:
        asked[name] = days
        return pl.DataFrame(rows)

    questions: Any = SimpleNamespace(ask=ask)
    (found,) = budget_findings(questions, to_date=date(2026, 12, 1))
    assert asked == {"budgets": {"from_date": date(2026, 11, 1), "to_date": date(2026, 12, 1)}}
    assert (found.state, found.said) == ("note", "of 2 budgets of 2026-11: 1 at risk, 1 unknown")
    assert found.fix == "model claude-hiku: nothing is called so"
    del rows[1]
    assert [one.state for one in budget_findings(questions, to_date=date(2026, 12, 1))] == ["ok"]
    rows.clear()
    assert budget_findings(questions, to_date=date(2026, 12, 1)) == []
