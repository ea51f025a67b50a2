"""The law of money holds for every API bill and stops holding for every way of getting its sum wrong."""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline.landing.dataset import Money
from pipeline.sources import SOURCES
from tests.models.api_harness import (
    CONSOLE,
    COSTS,
    Row,
    broken,
    broken_laws,
    build_tables,
    configured_sources,
    console_line,
    cost_line,
)

DAY = date(2026, 11, 3)
CHECK = "check_api_money_conserved"
TABLES: dict[str, Any] = {
    COSTS: [cost_line(DAY, "100"), cost_line(DAY, "100"), cost_line(DAY, "-7.25", cost_type="web_search")],
    CONSOLE: [
        console_line(DAY + timedelta(days=30), "9.22"),
        console_line(DAY + timedelta(days=30), "11.63"),
        console_line(DAY + timedelta(days=30), "11.63"),
        console_line(DAY + timedelta(days=30), "-1.07", api_key="refunded"),
    ],
    "config_sources": configured_sources(
        {"source": "anthropic_cost_api", "issuer": "anthropic", "role": "book"},
        {"source": "anthropic_console_csv", "issuer": "anthropic", "role": "book"},
    ),
}
STAGINGS = ("stg_anthropic_cost_api__costs_daily", "stg_anthropic_console_csv__costs_daily")


def laws(cache: Path, *faults: tuple[str, str, str], tables: dict[str, Any] = TABLES) -> list[str]:
    replaced = [broken(*fault) for fault in faults]
    return broken_laws(build_tables(cache, tables, [CHECK], replaced=replaced), [CHECK])


def test_the_law_of_money_holds_over_both_bills_of_one_issuer(tmp_path: Path) -> None:
    """B7, B9: cents and dollars, equal lines and refunds, each counted as the file says it."""
    assert laws(tmp_path) == []


@pytest.mark.parametrize("staging", STAGINGS)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("select * from final", "select * from final where charge_kind != 'tokens'"),
        ("select * from final", "select * from final union all select * from final"),
        ("sum(billed_cost)", "max(billed_cost)"),
        ("sum(billed_cost)", "100 * sum(billed_cost)"),
        ("sum(billed_cost)", "round(sum(billed_cost), 1)"),
        ("sum(billed_cost)", "abs(sum(billed_cost))"),
    ],
    ids=["drops a row", "doubles a row", "merges equal lines", "takes cents for dollars", "rounds", "loses a sign"],
)
def test_a_staging_model_that_gets_a_sum_wrong_breaks_the_law_of_money(
    tmp_path: Path, staging: str, old: str, new: str
) -> None:
    """B7, B9, B10, B12: the other side of the comparison was added up before any SQL model."""
    assert laws(tmp_path, (staging, old, new)) != []


def test_a_fan_out_on_the_way_to_the_mart_breaks_the_law_of_money(tmp_path: Path) -> None:
    """B12: not staging alone: the whole way is compared."""
    fault = ("int_api_charges_daily", "sum(owned.billed_cost)", "2 * sum(owned.billed_cost)")
    assert len(laws(tmp_path, fault)) == 2


def test_a_bill_that_no_model_lists_is_missed_by_name(tmp_path: Path) -> None:
    """B12, B24: a whole source left out of the union of bills is not a law without rows to compare."""
    listed = "from stg_anthropic_console_csv__costs_daily"
    [said] = laws(tmp_path, ("int_api_charges_daily", listed, f"{listed} where false"))
    assert said == (
        "money_is_conserved account:acme: anthropic_console_csv 2026-12-03: the files say 31.410000000000000000 USD, "
        "fct_api_costs_daily holds nothing."
    )


def test_a_control_says_nothing_to_the_law_of_money_and_only_its_own_dataset_is_one(tmp_path: Path) -> None:
    """B22: roles are read by source, dataset and account."""
    cost, console = TABLES["config_sources"]
    other_dataset = {**console, "dataset": "activity", "role": "control"}
    assert laws(tmp_path / "other", tables={**TABLES, "config_sources": [cost, console, other_dataset]}) == []
    control: list[Row] = [cost, {**console, "role": "control"}]
    assert laws(tmp_path / "control", tables={**TABLES, "config_sources": control}) == []


def test_currencies_are_compared_apart(tmp_path: Path) -> None:
    """B23: 1 EUR made 1 USD is a EUR that is missing and a USD that nobody stated."""
    tables = {COSTS: [cost_line(DAY, "100", currency="EUR")]}
    fault = (STAGINGS[0], "lines.currency as billing_currency", "'USD' as billing_currency")
    assert laws(tmp_path / "sound", tables=tables) == []
    assert len(laws(tmp_path / "faulty", fault, tables=tables)) == 2


def test_every_dataset_that_charges_declares_its_money_in_exactly_one_table() -> None:
    """B12, B24: a bill without a declaration would be a bill that no law adds up."""
    for source in SOURCES:
        for dataset in source.datasets:
            declared = [table for table in dataset.tables if table.money is not None]
            charges = dataset.measure in ("billed", "effective")
            assert len(declared) == charges, f"{source.name}/{dataset.name}: declare Table.money where it is charged"
            assert not (declared and dataset.mode == "append"), f"{dataset.name}: repeated rows would be added twice"


def test_every_declared_money_column_is_a_column_that_adds_up_exactly() -> None:
    """B7: decimal text or a decimal, never a float; the currency is text."""
    for source in SOURCES:
        for dataset in source.datasets:
            for table in dataset.tables:
                if table.money is None:
                    continue
                amount = table.columns[table.money.amount]
                assert str(amount) == "String" or str(amount).startswith("Decimal"), f"{dataset.name}: {amount}"
                if table.money.currency_column is not None:
                    assert str(table.columns[table.money.currency_column]) == "String"


@pytest.mark.parametrize("currencies", [{}, {"currency": "USD", "currency_column": "currency"}])
def test_money_has_one_way_of_saying_its_currency(currencies: dict[str, str]) -> None:
    """B23."""
    with pytest.raises(ValueError, match="give the column that names its currency, or else the one currency"):
        Money(home="api", amount="amount", **currencies)


def test_the_sum_the_law_compares_with_is_exact(tmp_path: Path) -> None:
    """B7: a quantum of 10^-18 too much is told."""
    told = {**TABLES, COSTS: [cost_line(DAY, "12345678901234567890.1234567890123456")]}
    fault = (STAGINGS[0], "sum(billed_cost)", f"sum(billed_cost) + {Decimal('1e-18'):f}")
    assert laws(tmp_path / "sound", tables=told) == []
    assert len(laws(tmp_path / "faulty", fault, tables=told)) == 1
