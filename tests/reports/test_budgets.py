"""Budgets as a reader of the report meets them."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.file import parse_config
from pipeline.reports.budgets import budget_cells, how_forecast
from pipeline.reports.monthly import report_text
from pipeline.reports.words import money

from .fake_snapshot import OCTOBER, broken, config, snapshot_of, tables
from .reading import Element, read, section, table


def budget(**said: Any) -> dict[str, Any]:
    row = {
        "month_from_date": OCTOBER, "scope": "organisation", "scope_name": None, "status": "at_risk",
        "reason": "settled days, and for 3 others the mean of the same weekday",
        "budget_cost": Decimal(500), "budget_currency": "USD", "budget_cost_rc": Decimal(500),
        "settled_cost_rc": Decimal("420.5"), "settled_known_cost_rc": Decimal("420.5"),
        "of_which_effective_cost_rc": Decimal(0), "of_which_accrued_cost_rc": Decimal(7), "unknown_charge_count": 0,
        "provisional_cost_rc": Decimal(9), "settled_days_count": 28, "month_days_count": 31,
        "forecast_cost_rc": Decimal("512.25"),
    }  # fmt: skip
    return {**row, **said}


UNKNOWN = budget(
    scope="team", scope_name="support", status="unknown", settled_cost_rc=None, forecast_cost_rc=None,
    provisional_cost_rc=None, budget_currency="EUR", budget_cost=Decimal(450), reason="2 charges have no amount",
)  # fmt: skip


WORKLOADS = parse_config("""
company: Acme
workloads: [{workload: chat, team: support, match: {account: acme}}, {workload: lab, match: {account: lab}}]
""").workloads


def page(tmp_path: Path, *rows: dict[str, Any], **filled: Any) -> Element:
    snapshot = snapshot_of({**tables(), "fct_budgets_monthly": rows, **filled}, tmp_path)
    said = config().model_copy(update={"workloads": WORKLOADS})
    return read(report_text(snapshot, config=said, quarantined=(), first_day=OCTOBER))


def test_a_budget_says_what_is_settled_what_is_beside_it_and_what_the_month_comes_to(tmp_path: Path) -> None:
    document = page(tmp_path, budget(), UNKNOWN, budget(month_from_date=date(2026, 9, 1), scope_name="before"))
    assert [tuple(row.values()) for row in table(document, "Budgets")] == [
        ("organisation", "500.00", "420.50", "7.00", "9.00", "28 of 31", "512.25", "at risk"),
        ("team support, €450.00", "500.00", "at least 420.50", "7.00", "—", "28 of 31", "—", "unknown"),
    ]
    said = section(document, "budget").text
    assert "Forecast of organisation: settled days, and for 3 others the mean of the same weekday." in said
    assert "Forecast of team support: 2 charges have no amount." in said
    assert "Overheads are not in it." in said


def test_without_a_budget_there_is_no_table(tmp_path: Path) -> None:
    assert "Budgets" not in {found.text for found in page(tmp_path).every("caption")}


def test_a_broken_law_refuses_the_budgets_that_it_is_of(tmp_path: Path) -> None:
    rows = [budget(), *(budget(scope="workload", scope_name=name) for name in ("chat", "lab"))]
    document = page(tmp_path, *rows, check_money_is_conserved=[broken("money_is_conserved", "workload:lab")])
    marked = [row["Budget"] for row in table(document, "Budgets") if "not proven" in row["Budget"]]
    assert marked == ["workload lab not proven: money_is_conserved"]


@pytest.mark.parametrize(
    ("scope", "refused"),
    [
        ("workload:chat", {"team support"}),
        ("workload:lab", set()),
        ("deployment:llama", {"team support", "model llama-70b"}),
        ("account:acme", {"organisation", "team support", "model claude-haiku-4-5"}),
    ],
)
def test_a_law_of_what_a_team_or_a_model_is_spent_on_refuses_its_budget(
    tmp_path: Path, scope: str, refused: set[str]
) -> None:
    named = [("team", "support"), ("team", "ops"), ("model", "llama-70b"), ("model", "claude-haiku-4-5")]
    rows = [budget(), *(budget(scope=of, scope_name=name) for of, name in named)]
    document = page(tmp_path, *rows, check_money_is_conserved=[broken("money_is_conserved", scope)])
    shown = [row["Budget"] for row in table(document, "Budgets")]
    assert {text.partition(" not proven")[0] for text in shown if " not proven" in text} == refused


def test_one_reason_for_all_is_said_once() -> None:
    assert how_forecast([budget(), budget(scope="team", scope_name="x")]) == [
        "Forecast: settled days, and for 3 others the mean of the same weekday."
    ]
    cells = budget_cells(budget(), currency="USD", money=lambda amount: money(amount, "USD"))
    assert cells[1:3] == ("$500.00", "$420.50")
