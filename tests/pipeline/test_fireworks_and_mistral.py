"""Fireworks' two exports and a month of Mistral's, to costs, demand by the hour, prices and a trace."""

import json
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import group
from pipeline.decisions.graph import shipped_graph
from pipeline.explain.api_costs import CostFigure, explain_cost
from pipeline.explain.evidence import Evidence
from tests.sources.fireworks import MODEL, costs_csv, event, metrics
from tests.sources.mistral import entry, month, used

from .small_project import Answers, SmallProject, source

DAY = date(2026, 11, 3)
COSTS = costs_csv(
    f"acme-team,2026-11-03,model,{MODEL},8.400000000,USD",
    "acme-team,2026-11-03,model,unknown_model,0.000000001,USD",
)
DEPLOYMENT = event(
    usage_type="DEPLOYMENT", accelerator_type="NVIDIA_H100_80GB", accelerator_seconds="7200.5", prompt_tokens="",
    completion_tokens="", cached_prompt_tokens="", uncached_prompt_tokens="",
)  # fmt: skip
METRICS = metrics(
    event(), event(), event(start_time="2026-11-03 18:00:00 UTC", end_time="2026-11-03 18:00:01 UTC"), DEPLOYMENT
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallProject, Answers]:
    project = SmallProject(
        tmp_path_factory.mktemp("fireworks"),
        [source("fireworks_costs", "team"), source("mistral_usage", "lab")],
        other_sections={"workloads": [{"workload": "web", "match": {"account": "team"}}]},
    )
    project.drop("fireworks_costs", "team", "usage_costs.csv", COSTS)
    project.drop("fireworks_costs", "team", "billing_metrics.csv", METRICS)
    usage = month(used(input=[entry("input", 1_000_000)], output=[entry("output", 200_000)]), currency="USD")
    project.drop("mistral_usage", "lab", "usage.json", json.dumps(usage).encode())
    return project, project.run()


def test_each_dollar_and_each_token_is_counted_once(built: tuple[SmallProject, Answers]) -> None:
    """B12. The meter has no money, and the costs no tokens: neither is made up."""
    project, answers = built
    assert project.quarantine() == []
    assert answers.api_cost("team") == Decimal("8.400000001")
    rows = answers.rows("select * from fct_api_costs_daily where account = 'team' order by all")
    assert {(row["charge_kind"], row["token_class"], row["tokens"], row["billed_cost"]) for row in rows} == {
        ("other", None, None, Decimal("8.4")),
        ("other", None, None, Decimal("0.000000001")),
        ("tokens", "input_cache_read", 600, None),
        ("tokens", "input_uncached", 1809, None),
        ("tokens", "output", 327, None),
    }
    for name in ("api_money_conserved", "api_allocation_conserved", "api_tokens_conserved", "api_book_of_record"):
        assert answers.rows(f"select * from check_{name}") == []


def test_a_month_of_mistral_gives_the_price_of_each_class(built: tuple[SmallProject, Answers]) -> None:
    """By hand: a million at 1.70 and 200,000 at 5.10 a million."""
    _, answers = built
    assert answers.api_cost("lab") == Decimal("2.72")
    rows = answers.rows("select * from fct_unit_costs_daily where provider = 'mistral'")
    assert {row["token_class"]: (row["full_cost_rc"], row["tokens"], row["class_weight_method"]) for row in rows} == {
        "input_uncached": (Decimal("1.7"), 1_000_000, "billed_by_class"),
        "output": (Decimal("1.02"), 200_000, "billed_by_class"),
        "blended": (Decimal("2.72"), 1_200_000, "billed_by_class"),
    }


def test_demand_is_by_the_hour_and_a_gpu_by_the_second_is_no_token(built: tuple[SmallProject, Answers]) -> None:
    _, answers = built
    hours = answers.rows(
        "select usage_hour_at, sum(tokens) as tokens from fct_demand_hourly where tokens > 0 group by all order by all"
    )
    assert [(row["usage_hour_at"].hour, row["tokens"]) for row in hours] == [(17, 2 * 912), (18, 912)]
    (deployment,) = answers.rows("select * from stg_fireworks_costs__usage_hourly where charge_kind = 'other'")
    assert (deployment["accelerator_type"], deployment["accelerator_seconds"], deployment["other_input_tokens"]) == (
        "NVIDIA_H100_80GB",
        Decimal("7200.5"),
        None,
    )


def test_the_money_is_traced_to_the_bytes_it_came_from(built: tuple[SmallProject, Answers]) -> None:
    project, answers = built
    opened = project.project
    with Evidence(
        answers.result.snapshot, landing=opened.landing, datasets=shipped_graph().datasets, cache=opened.paths.cache
    ) as evidence:
        figure = CostFigure(from_date=DAY, to_date=date(2026, 11, 4), account="team")
        explanation = explain_cost(evidence, figure)
    assert explanation.holds, explanation.equalities
    lines = next(table for table in explanation.objects if table.title == "Bill lines")
    at = lines.columns.index("amount")
    assert sum(Fraction(row[at]) for row in lines.rows) == Fraction("8.400000001")


def test_check_says_what_both_files_hold(tmp_path: Path) -> None:
    for name, content in (("usage_costs.csv", COSTS), ("billing_metrics.csv", METRICS)):
        (tmp_path / name).write_bytes(content)
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    told = CliRunner().invoke(group, ["check", "--bill", *files], env={"COLUMNS": "240"})
    said = " ".join(told.output.split())
    assert told.exit_code == 0, told.output
    assert "usage costs of Fireworks" in said
    assert "NVIDIA_H100_80GB for 7,200.50 s" in said
    assert "$8.40" in said
