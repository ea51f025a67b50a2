"""List, realized and avoidable prices, kept apart; commitments in force; and what a new price turns, all else alike."""

import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli import group
from pipeline.decisions.price_view import ClassPrice, class_prices, commitments, impact_of, price_change_days
from pipeline.decisions.what_if import Case
from tests.decisions.test_contracts import contract, other_workload
from tests.decisions.test_verdict_conditions import FLAT, on_api
from tests.decisions.test_verdict_rates import DAYS, LAST, api_cost, inputs_with, listed, unbilled
from tests.decisions.test_what_if import dated


def priced(**tables: Any) -> ClassPrice:
    [found] = class_prices(Case(LAST, inputs_with(**tables)))
    return found


def test_list_realized_and_avoidable_are_three_figures() -> None:
    """Billed below list; some of it is due whether it stays or leaves; the price falls by a fifth on the 21st day."""
    found = priced(
        **on_api(FLAT),
        api_prices=dated("25", "20", DAYS[20]),
        config_contracts=[contract(commitment_cost=Decimal(6 * 24 * 30))],
    )
    assert found.realized_rc_per_mtok == 15
    # 20 days at 25, 8 at 20.
    assert found.list_rc_per_mtok is not None
    assert abs(found.list_rc_per_mtok - Decimal(660) / 28) < Decimal("1e-17")
    # The 20 days before the change count a fifth less.
    decides = (20 * 15 * Decimal("0.8") + 8 * 15) / Decimal(28)
    assert found.decides_rc_per_mtok is not None
    assert abs(found.decides_rc_per_mtok - decides) < Decimal("1e-17")
    # 24M tokens a day; 144 a day are committed and nobody else uses them up.
    assert found.avoidable_rc_per_mtok is not None
    assert abs(found.avoidable_rc_per_mtok - (decides - 6)) < Decimal("1e-16")


def test_what_has_no_list_price_is_counted_and_not_taken_to_be_free() -> None:
    """B5: two tokens of three have one; the price is that of these two."""
    costs = [
        {**api_cost(day), "price_mode": "standard" if number % 3 else "priority"}
        for number, day in enumerate(DAYS[:27])
    ]
    found = priced(fct_api_costs_daily=costs, api_prices=[listed("USD", "25")])
    assert (found.list_rc_per_mtok, found.unlisted_tokens) == (25, 9_000_000)


def test_an_unbilled_workload_has_the_list_price_of_what_it_would_buy() -> None:
    agreed = {**listed("USD", "25"), "cost_per_mtok": Decimal(20), "price_basis": "discount"}
    found = priced(fct_api_costs_daily=unbilled(), api_prices=[agreed])
    assert (found.list_rc_per_mtok, found.realized_rc_per_mtok, found.decides_rc_per_mtok) == (25, None, 20)


def test_a_new_price_is_named_with_what_it_turns_and_days_before_it_are_what_they_were() -> None:
    """B6: of the price to come nothing is in a verdict of today; asked for its day, it turns this one."""
    coming = LAST + timedelta(days=20)
    tables: dict[str, Any] = {**on_api(FLAT), "api_prices": dated("25", "2", coming)}
    case = Case(LAST, inputs_with(**tables))
    assert price_change_days(case, after=DAYS[0], until=LAST) == []
    assert price_change_days(case, after=DAYS[0], until=coming) == [coming]
    [turned] = impact_of(case, coming)
    assert turned.is_flipped
    assert (turned.before["recommendation"], turned.after["recommendation"]) == ("switch_to_self_host", "stay")
    [before] = impact_of(case, coming - timedelta(days=1))
    assert not before.is_flipped
    unused = {**tables, "api_prices": [{**row, "model": "another"} for row in tables["api_prices"]]}
    assert price_change_days(Case(LAST, inputs_with(**unused)), after=DAYS[0], until=coming) == []


def test_a_contract_that_ends_is_a_change_of_price() -> None:
    ends = LAST + timedelta(days=3)
    agreed = {**contract(commitment_cost=Decimal(10**6)), "valid_from_date": date(2026, 1, 1), "valid_to_date": ends}
    case = Case(LAST, inputs_with(**on_api(FLAT), config_contracts=[agreed]))
    assert price_change_days(case, after=LAST, until=ends) == [ends]
    [turned] = impact_of(case, ends)
    assert (turned.before["recommendation"], turned.after["recommendation"]) == ("stay", "switch_to_self_host")


def test_a_commitment_is_of_the_accounts_that_have_no_contract_of_their_own() -> None:
    costs = [
        *on_api(FLAT)["fct_api_costs_daily"],
        other_workload(LAST, "1", account="labs"),
        other_workload(LAST, "1", account="third"),
    ]
    agreed = [
        contract(commitment_cost=Decimal(900), commitment_period="quarter", agreed_from_date=date(2026, 2, 1)),
        contract(account="labs"),
    ]
    case = Case(LAST, inputs_with(**{**on_api(FLAT), "fct_api_costs_daily": costs}, config_contracts=agreed))
    [found] = commitments(case)
    assert (found.from_date, found.to_date) == (date(2026, 11, 1), date(2027, 2, 1))
    assert found.accounts == ("main", "third")


@pytest.mark.parametrize("output_format", ["table", "json"])
def test_the_command_lists_what_is_unpriced(demo_folder: Path, output_format: str) -> None:
    """B5: embeddings whose meter states no tier, and a tier that the price book does not know."""
    result = CliRunner().invoke(group, ["prices", "--project", str(demo_folder), "--format", output_format])
    assert result.exit_code == 0, result.output
    if output_format == "table":
        assert "Without a list price: unpriced, not free" in result.output
        return
    found = json.loads(result.output)
    by_model = {(row["model"], row["token_class"]): row["tokens"] for row in found["unpriced"]}
    assert by_model["text-embedding-3-small", "input_uncached"] == 623_366_500
    assert found["price_changes"] == []
    chat = [one for one in found["prices"] if one["workload"] == "support-chat"]
    assert {one["basis"] for one in chat} == {"realized"}
    assert all(Decimal(str(one["list_rc_per_mtok"])) > Decimal(str(one["realized_rc_per_mtok"])) for one in chat)
