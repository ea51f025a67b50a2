"""Small providers' bills, from their inboxes to a price per million tokens: DeepSeek, OpenRouter and a declared CSV."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli import group
from pipeline.decisions.graph import shipped_graph
from pipeline.explain.api_costs import CostFigure, explain_cost
from pipeline.explain.evidence import Evidence
from tests.sources.small_bills import (
    ZIP_NAME,
    deepseek_amount,
    deepseek_cost,
    deepseek_zip,
    openrouter_answer,
    openrouter_row,
)

from .small_project import Answers, SmallProject, source

DAY = date(2026, 11, 2)
GROQ = {
    "provider": "groq",
    "currency": "USD",
    "columns": {"date": "day", "model": "model", "api_key": "key", "amount": "cost", "input_uncached": "in",
                "output": "out"},
}  # fmt: skip
GROQ_FILE = (
    b"day,model,key,cost,in,out,region\n"
    b"2026-11-02,llama-3.3-70b-versatile,web,0.09,100,20,us\n"
    b"2026-11-02,llama-3.3-70b-versatile,web,0.09,100,20,us\n"
    b"2026-11-02,llama-3.3-70b-versatile,jobs,0.10,0,50,us\n"
    b"2026-11-02,,web,1.00,,,us\n"
)
CREDITS = (
    b"date,entry,amount,currency,reference\n2026-11-01,balance,10.00,USD,\n2026-11-02,purchase,5.00,USD,R-1\n"
    b"2026-11-02,receipt,5.50,USD,R-1\n"
)
HIT, MISS, OUT = "input_cache_hit_tokens", "input_cache_miss_tokens", "output_tokens"
API_CHECKS = ("api_money_conserved", "api_allocation_conserved", "api_tokens_conserved", "api_one_workload_per_cell",
              "api_book_of_record")  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallProject, Answers]:
    sources = [
        source("deepseek_usage", "deepseek"),
        source("openrouter_activity", "router"),
        source("api_bill_csv", "groq", settings=GROQ),
        source("prepaid_csv", "router", settings={"issuer": "openrouter"}),
    ]
    workloads = [
        {"workload": "web", "match": [{"account": "groq", "api_key": "web"}, {"account": "router"}]},
        {"workload": "jobs", "match": [{"account": "groq", "api_key": "jobs"}, {"account": "deepseek"}]},
    ]
    folder: Path = tmp_path_factory.mktemp("small_bills")
    project = SmallProject(folder, sources, other_sections={"workloads": workloads})
    day = DAY.isoformat()
    zipped = deepseek_zip(
        [
            deepseek_amount(HIT, "0.000000028", 1_000_000, day=day),
            deepseek_amount(MISS, "0.00000028", 200_000, day=day),
            deepseek_amount(OUT, "0.00000042", 100_000, day=day, key="batch"),
        ],
        [deepseek_cost("0.1260000000000001", day=day), deepseek_cost("0.001", day=day, wallet="Granted")],
    )
    project.drop("deepseek_usage", "deepseek", ZIP_NAME, zipped)
    mine = openrouter_row(usage=0.02, byok_usage_inference=0.4, endpoint_id="e-2")
    project.drop("openrouter_activity", "router", "activity.json", openrouter_answer(openrouter_row(), mine))
    project.drop("api_bill_csv", "groq", "bill.csv", GROQ_FILE)
    project.drop("prepaid_csv", "router", "credits.csv", CREDITS)
    return project, project.run()


def costs(answers: Answers, account: str) -> list[dict[str, Any]]:
    return answers.rows(f"select * from fct_api_costs_daily where account = '{account}' order by all")


def test_every_dollar_of_each_bill_is_in_one_place_and_every_law_holds(built: tuple[SmallProject, Answers]) -> None:
    """B12."""
    project, answers = built
    assert project.quarantine() == []
    assert answers.api_cost("deepseek") == Decimal("0.1270000000000001")
    assert answers.api_cost("router") == Decimal("0.37")
    assert answers.api_cost("groq") == Decimal("1.28")
    for name in API_CHECKS:
        assert answers.rows(f"select * from check_{name}") == []


def test_a_bill_of_classes_gives_the_price_of_each(built: tuple[SmallProject, Answers]) -> None:
    """By hand: 0.028, 0.056 and 0.042 dollars for a million, 200,000 and 100,000 tokens."""
    _, answers = built
    prices = {
        row["token_class"]: (row["full_cost_rc"], row["tokens"], row["full_rc_per_mtok"], row["class_weight_method"])
        for row in answers.rows("select * from fct_unit_costs_daily where provider = 'deepseek'")
    }
    assert prices == {
        "input_cache_read": (Decimal("0.028"), 1_000_000, pytest.approx(0.028), "billed_by_class"),
        "input_uncached": (Decimal("0.056"), 200_000, pytest.approx(0.28), "billed_by_class"),
        "output": (Decimal("0.042"), 100_000, pytest.approx(0.42), "billed_by_class"),
        "blended": (Decimal("0.126"), 1_300_000, pytest.approx(0.126 / 1.3), "billed_by_class"),
    }
    (beside,) = [row for row in costs(answers, "deepseek") if row["charge_kind"] == "other"]
    assert (beside["billed_cost"], beside["tokens"]) == (Decimal("0.0010000000000001"), None)
    assert {row["api_key_id"] for row in costs(answers, "deepseek") if row["tokens"]} == {"search", "batch"}


def test_a_bill_of_one_amount_says_that_its_classes_were_split_by_count(built: tuple[SmallProject, Answers]) -> None:
    """By hand: 0.35 dollars for 350 + 250 + 100 tokens are 500 a million of each; an own key's tokens are elsewhere."""
    _, answers = built
    rows = answers.rows("select * from fct_unit_costs_daily where provider = 'openrouter'")
    assert {row["class_weight_method"] for row in rows} == {"token_count"}
    assert {row["token_class"]: row["tokens"] for row in rows} == {
        "input_uncached": 350,
        "input_cache_read": 250,
        "output": 100,
        "blended": 700,
    }
    assert {round(row["full_rc_per_mtok"], 6) for row in rows} == {500.0}
    (fee,) = [row for row in costs(answers, "router") if row["charge_kind"] == "other"]
    assert (fee["billed_cost"], fee["tokens"]) == (Decimal("0.02"), None)


def test_a_declared_bill_is_by_key_and_has_list_prices_beside_it(built: tuple[SmallProject, Answers]) -> None:
    """B9: two rows that are alike are two; a fee without tokens is in no price."""
    _, answers = built
    told = {
        (row["api_key_id"], row["token_class"]): (
            row["billed_cost"],
            row["tokens"],
            row["workload"],
            row["attribution"],
        )
        for row in costs(answers, "groq")
    }
    assert told == {
        ("web", "input_uncached"): (Decimal("0.15"), 200, "web", "direct"),
        ("web", "output"): (Decimal("0.03"), 40, "web", "direct"),
        ("jobs", "output"): (Decimal("0.10"), 50, "jobs", "direct"),
        ("web", None): (Decimal("1.00"), None, "web", "direct"),
    }
    priced = [row for row in costs(answers, "groq") if row["tokens"]]
    assert {row["price_status"] for row in priced} == {"priced"}
    demand = answers.rows("select workload, sum(tokens) as tokens from fct_demand_daily group by all order by all")
    assert [(row["workload"], row["tokens"]) for row in demand] == [("jobs", 1_300_050), ("web", 940)]


def test_credits_are_used_by_what_the_bill_charges_and_by_nothing_else(built: tuple[SmallProject, Answers]) -> None:
    """By hand: 10.00 + 5.00 - 0.37; the third of November nobody has billed yet, so that its balance is unknown."""
    _, answers = built
    rows = answers.rows("select * from fct_prepaid_balances_daily order by usage_date")
    assert [(row["usage_date"].day, row["closing_balance_cost"]) for row in rows[:2]] == [
        (1, Decimal("10")),
        (2, Decimal("14.63")),
    ]
    assert {row["closing_balance_cost"] for row in rows[2:]} <= {None}
    assert (rows[1]["used_cost"], rows[1]["receipt_cost"]) == (Decimal("0.37"), Decimal("5.5"))


def test_costs_and_doctor_say_what_is_left(built: tuple[SmallProject, Answers]) -> None:
    project, _ = built
    folder = str(project.folder)
    told = CliRunner().invoke(group, ["costs", "--project", folder, "--from", "2026-11-01", "--to", "2026-11-04"])
    said = " ".join(told.output.split())
    assert told.exit_code == 0, told.output
    assert "Prepaid accounts, each in its own currency" in said
    assert "$14.63" in said
    examined = CliRunner().invoke(group, ["doctor", "--project", folder, "--offline"])
    assert "openrouter router: $14.63 left, lasts unknown: usage of 7 days to 2026-11-02 is not known" in " ".join(
        examined.output.split()
    )


@pytest.mark.parametrize(
    ("account", "cost"), [("deepseek", "0.1270000000000001"), ("router", "0.37"), ("groq", "1.28")]
)
def test_each_figure_is_traced_to_the_bytes_it_came_from(
    built: tuple[SmallProject, Answers], account: str, cost: str
) -> None:
    project, answers = built
    opened = project.project
    with Evidence(
        answers.result.snapshot,
        landing=opened.landing,
        datasets=shipped_graph().datasets,
        cache=opened.paths.cache,
    ) as evidence:
        figure = CostFigure(from_date=DAY, to_date=date(2026, 11, 3), account=account)
        explanation = explain_cost(evidence, figure)
    assert explanation.holds, explanation.equalities
    lines = next(table for table in explanation.objects if table.title == "Bill lines")
    at = lines.columns.index("amount")
    assert sum(Fraction(row[at]) for row in lines.rows) == Fraction(cost)
