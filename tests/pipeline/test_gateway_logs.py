"""A gateway's log from its inbox to the hours of a bill: what was said in it is nowhere in what a project keeps."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.cli.doubts import print_grain
from pipeline.decisions.graph import shipped_graph
from pipeline.explain.api_costs import CostFigure, explain_cost
from pipeline.explain.evidence import Evidence
from pipeline.reports.questions import Questions

from .small_project import COST_API, USAGE_API, Answers, SmallProject, api_page, cost_result, source, usage_result

GATEWAY = "litellm_spend_logs"
SECRET, KEY = "tell nobody that the merger is off", "sk-live-abcdefghijklmnopqrstuvwxyz"
WORKLOADS = [{"workload": "chat", "match": [{"account": "main"}]}]


def request(number: int, hour: int, prompt: int, completion: int) -> dict[str, object]:
    return {
        "request_id": f"{SECRET} {number}",
        "call_type": "acompletion",
        "api_key": KEY,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "startTime": f"2026-11-02T{hour:02d}:30:00.000Z",
        "model": "anthropic/claude-haiku-4-5-20251001",
        "custom_llm_provider": "anthropic",
        "cache_hit": "False",
        "messages": [{"role": "user", "content": SECRET}],
        "metadata": {"user_api_key": KEY},
    }


def kept_in(project: SmallProject) -> bytes:
    """All bytes below the state folder."""
    files = [path for path in (project.folder / ".breakeven").rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in files)


@pytest.fixture
def project(tmp_path: Path, warm_cache: Path) -> SmallProject:
    sources = [source(USAGE_API, "main"), source(GATEWAY, "gateway", settings={"bills": {"anthropic": "main"}})]
    project = SmallProject(tmp_path, sources, other_sections={"workloads": WORKLOADS}, warm_cache=warm_cache)
    usage = {"2026-11-02": [usage_result(uncached_input_tokens=1000, output_tokens=100)]}
    usage["2026-11-03"] = [usage_result(uncached_input_tokens=500, output_tokens=50)]
    project.drop(USAGE_API, "main", "usage_20261105T050000Z.json", api_page(usage))
    return project


def hours(answers: Answers) -> list[tuple[object, ...]]:
    rows = answers.rows("select * from fct_demand_hourly where token_class = 'output' order by usage_hour_at")
    return [(row["usage_hour_at"].hour, row["tokens"], row["shape_from"]) for row in rows]


def test_a_days_sum_gets_its_hours_and_nothing_that_was_said_is_kept(
    project: SmallProject, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gateway saw 2 November and not the 3rd; the same log twice, once more by line, counts once."""
    log = [request(1, 9, 600, 70), request(2, 20, 390, 32)]
    project.drop(GATEWAY, "gateway", "log.json", json.dumps(log).encode())
    project.drop(GATEWAY, "gateway", "again.jsonl", b"".join(json.dumps(one).encode() + b"\n" for one in log))
    answers = project.run()
    assert project.quarantine() == []
    assert hours(answers) == [(9, 69, "gateway"), (20, 31, "gateway")]
    evidence = answers.rows("select distinct usage_date, evidence from fct_demand_daily order by usage_date")
    assert [row["evidence"] for row in evidence] == ["gateway_shape", "daily"]
    kept = kept_in(project)
    assert SECRET.encode() not in kept
    assert KEY.encode() not in kept
    with Questions(answers.result.snapshot) as questions:
        print_grain(questions)
    assert "chat: Demand: 1 day has its hours from a gateway's log" in " ".join(capsys.readouterr().out.split())


def test_openrouters_generations_give_a_day_its_hours(tmp_path: Path, warm_cache: Path) -> None:
    """2 November: 900 and 90 with a key of one's own, as many again in credits. Who asked is nowhere."""
    settings = {"bills": {"anthropic": "main"}}
    sources = [source(USAGE_API, "main"), source("openrouter_generations", "router", settings=settings)]
    project = SmallProject(tmp_path, sources, other_sections={"workloads": WORKLOADS}, warm_cache=warm_cache)
    usage = {"2026-11-02": [usage_result(uncached_input_tokens=900, output_tokens=90)]}
    project.drop(USAGE_API, "main", "usage_20261104T050000Z.json", api_page(usage))
    columns = "generation_id,created_at,byok_usage_inference,tokens_prompt,tokens_completion,model_permaslug"
    header = f"{columns},provider_name,user"
    rows = (
        f"gen-{number},2026-11-02 {hour:02d}:30:00.5,{paid},{prompt},{completion},"
        f"anthropic/claude-4.5-haiku-20251001,Anthropic,{SECRET}"
        for number, (hour, paid, prompt, completion) in enumerate(
            [(9, "0.01", 600, 30), (20, "0.02", 300, 60), (3, "0", 900, 90)]
        )
    )
    project.drop("openrouter_generations", "router", "activity.csv", "\n".join([header, *rows, ""]).encode())
    answers = project.run()
    assert project.quarantine() == []
    assert hours(answers) == [(9, 30, "gateway"), (20, 60, "gateway")]
    assert SECRET.encode() not in kept_in(project)


def test_a_bill_is_split_by_the_gateways_teams_and_each_share_is_explained(tmp_path: Path, warm_cache: Path) -> None:
    """The provider bills two keys without naming them; the gateway behind both knows who asked."""
    sources = [
        source(COST_API, "main"),
        source(USAGE_API, "main"),
        source(GATEWAY, "gateway", settings={"bills": {"anthropic": "main"}}),
    ]
    teams = [
        {"workload": name, "match": {"account": "main", "gateway_team": f"t-{name}"}} for name in ("chat", "search")
    ]
    project = SmallProject(tmp_path, sources, other_sections={"workloads": teams}, warm_cache=warm_cache)
    used = [usage_result(output_tokens=count, api_key_id=key) for count, key in ((70, "key-1"), (33, "key-2"))]
    project.drop(USAGE_API, "main", "usage_20261105T050000Z.json", api_page({"2026-11-02": used}))
    project.drop(COST_API, "main", "cost_20261105T050000Z.json", api_page({"2026-11-02": [cost_result("1001")]}))
    log = [
        {**request(number, hour, 0, count), "team_id": team}
        for number, (hour, count, team) in enumerate([(9, 51, "t-chat"), (10, 40, "t-search"), (11, 12, None)])
    ]
    project.drop(GATEWAY, "gateway", "log.json", json.dumps(log).encode())
    answers = project.run()
    assert project.quarantine() == []
    told = answers.rows(
        "select workload, attribution, sum(tokens) as tokens, sum(billed_cost) as cost from fct_api_costs_daily "
        "group by all order by all"
    )
    assert [(row["workload"], row["attribution"], row["tokens"]) for row in told] == [
        ("chat", "gateway", 51),
        ("search", "gateway", 40),
        ("unassigned", "gateway", 12),
    ]
    assert sum(row["cost"] for row in told) == Decimal("10.01")
    opened, datasets = project.project, shipped_graph().datasets
    days = {"from_date": date(2026, 11, 2), "to_date": date(2026, 11, 3)}
    with Evidence(
        answers.result.snapshot, landing=opened.landing, datasets=datasets, cache=opened.paths.cache
    ) as evidence:
        for workload in (None, "chat", "search", "unassigned"):
            explanation = explain_cost(evidence, CostFigure(workload=workload, **days))
            assert [equality for equality in explanation.equalities if not equality.holds] == []
            assert any("gateway's own count" in line for line in explanation.formula)
            assert any("all parts of them" in equality.claim for equality in explanation.equalities)


def test_a_log_that_is_cut_is_quarantined_without_its_bytes(project: SmallProject) -> None:
    path = project.drop(GATEWAY, "gateway", "log.json", json.dumps([request(1, 9, 1000, 100)]).encode()[:-30])
    answers = project.run()
    (entry,) = project.quarantine()
    assert "The file may be cut" in entry.reason
    assert hours(answers) == []
    kept = kept_in(project)
    assert SECRET.encode() not in kept
    assert KEY.encode() not in kept
    assert path.exists()
