"""A price that breakeven.yaml dates decides from its day on: in builds, in `explain`, in `whatif`; and no earlier."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

from click.testing import CliRunner

from pipeline.cli import group
from pipeline.decisions.graph import build_project
from tests.pipeline.conftest import MakeProject
from tests.pipeline.small_project import (
    COST_API,
    DAYS,
    NOW,
    USAGE_API,
    Answers,
    SmallProject,
    api_page,
    cost_result,
    source,
    usage_result,
)

WORKLOADS = [{"workload": "chat", "match": {"account": "org"}, "api_model": "claude-haiku-4-5"}]
LATER = NOW + timedelta(days=1)
AGREED = [
    {
        "provider": "anthropic",
        "from": DAYS[2],
        "rates": [{"model": "claude-haiku-4-5", "token_class": "output", "per_mtok": "1.25"}],
    }
]


def billed_at_list(project: SmallProject) -> Answers:
    """A million output tokens a day, each billed at the list price of 5 dollars."""
    costs = {day: [cost_result("500")] for day in DAYS}
    usage = {day: [usage_result(output_tokens=1_000_000)] for day in DAYS}
    project.drop(COST_API, "org", "costs-20261104T060000Z.json", api_page(costs))
    project.drop(USAGE_API, "org", "usage-20261104T060000Z.json", api_page(usage))
    project.configure(workloads=WORKLOADS)
    return project.run()


def verdicts(built: Answers) -> dict[str, dict[str, Any]]:
    rows = built.rows("select * from fct_verdicts_daily order by usage_date")
    return {str(row["usage_date"]): row for row in rows}


def breakeven(project: SmallProject, *arguments: str) -> str:
    result = CliRunner().invoke(group, [*arguments, "--project", str(project.folder)])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_dated_price_decides_from_its_day_on_and_leaves_history_as_it_was(make_project: MakeProject) -> None:
    """B6: landed a day later, dated to the third; the first two days read to the last digit as before."""
    project = make_project([source(COST_API, "org"), source(USAGE_API, "org")])
    before = verdicts(billed_at_list(project))
    assert {row["status"] for day, row in before.items() if day in DAYS} == {"conditions"}
    assert before[DAYS[2]]["api_price_rc_per_mtok"] == 5
    project.configure(workloads=WORKLOADS, contracts=AGREED)
    built = project.run(now=LATER)
    after = verdicts(built)
    assert [after[day] for day in DAYS[:2]] == [before[day] for day in DAYS[:2]]
    # Two days at a quarter of what they were billed, and the third as it was billed: under the contract already.
    assert after[DAYS[2]]["api_price_rc_per_mtok"] == Decimal("2.5")
    assert after[DAYS[2]]["api_price_basis"] == "repriced+realized"
    assert built.rows(
        "select cost_per_mtok, price_basis, cast(valid_from_date as varchar) as since from api_prices "
        "where token_class = 'output' and mode = 'standard' and context_window = '0-200k' order by since nulls first"
    ) == [
        {"cost_per_mtok": Decimal(5), "price_basis": "list", "since": None},
        {"cost_per_mtok": Decimal("1.25"), "price_basis": "rate", "since": DAYS[2]},
    ]
    assert built.one("select count(*) from fct_api_costs_daily where list_price_source like 'genai-prices %'") == 3
    # Rebuilt from nothing it is the same.
    assert verdicts(Answers(build_project(project.project, as_of=LATER, anew=True))) == after


def test_what_is_committed_is_explained_and_what_ends_it_is_foreseen(make_project: MakeProject) -> None:
    project = make_project([source(COST_API, "org"), source(USAGE_API, "org")])
    billed_at_list(project)
    committed = {"provider": "anthropic", "from": DAYS[0], "to": "2026-12-01", "commitment": 300, "per": "month"}
    project.configure(workloads=WORKLOADS, contracts=[committed])
    built = project.run(now=LATER)
    build_project(project.project, as_of=LATER)
    row = verdicts(built)[DAYS[2]]
    # 10 dollars a day are due and 5 are used: if all of it left, the bill would be what it is.
    assert row["status"] == "conditions"
    assert row["most_replica_hour_rc"] == 0
    explained = breakeven(project, "explain", "verdict", "chat", "--date", DAYS[2])
    assert "K, what of it other traffic does not use up = max(0, 30 - 0) = 30" in explained
    assert "avoidable: what the API's bill falls by if all of it leaves = max(30, 15) - 30 = 0" in explained
    prices = json.loads(breakeven(project, "prices", "--format", "json"))
    [found] = prices["prices"]
    assert [Decimal(str(found[f"{name}_rc_per_mtok"])) for name in ("list", "realized", "avoidable")] == [5, 5, 0]
    [due] = prices["commitments"]
    assert (due["from_date"], due["to_date"], Decimal(str(due["used_cost"]))) == (DAYS[0], "2026-12-01", 15)
    assert [change["day"] for change in prices["price_changes"]] == [DAYS[0], "2026-12-01"]
    freed = json.loads(breakeven(project, "whatif", "--prices-as-of", "2026-12-01", "--format", "json"))
    [chat] = freed["workloads"]
    assert Decimal(str(chat["before"]["most_replica_hour_rc"])) == 0
    assert abs(Decimal(str(chat["after"]["most_replica_hour_rc"])) - Decimal(15) / 72) < Decimal("1e-17")
