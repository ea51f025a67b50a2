"""Who used what of a commitment: added up by hand, and the same that each verdict keeps as due whatever moves."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decisions import commitment_scopes
from pipeline.decisions.commitment_scopes import Scope, scopes_by_workload
from tests.decisions.test_contracts import contract, invoiced_shortfall, other_workload
from tests.decisions.test_verdict_conditions import FLAT, on_api
from tests.decisions.test_verdict_rates import DAYS, LAST, Row, rates, verdict


def rows_of(costs: Sequence[Row], contracts: Sequence[Row], **tables: Sequence[Row]) -> list[dict[str, Any]]:
    given: dict[str, Sequence[Row]] = {
        "fct_api_costs_daily": [{**row, "unconverted_count": 0, "is_of_tokens": bool(row["tokens"])} for row in costs],
        "fct_day_status_daily": [{"usage_date": day, "status": "settled", "blocked_count": 0} for day in DAYS],
        "int_fx_rates_daily": rates(),
        **tables,
    }
    inputs: dict[str, Any] = {
        "this_partition": pl.DataFrame({"from_date": [LAST]}),
        "config_contracts": list(contracts),
    }
    for name, rows in given.items():
        by_day = {day: [row for row in rows if row["usage_date"] == day] for day in DAYS}
        prepare = commitment_scopes.PREPARE[name]
        inputs[name] = {day: prepare(pl.DataFrame(found)) for day, found in by_day.items() if found}
    return commitment_scopes.build(inputs).to_dicts()


def scopes(rows: Sequence[Row]) -> dict[str, Scope]:
    return scopes_by_workload(pl.DataFrame(rows, schema=dict(commitment_scopes.SCHEMA), orient="row"))


@settings(max_examples=20, deadline=None)
@given(
    due=st.integers(0, 40_000),
    others=st.integers(0, 900),
    labs=st.integers(0, 900),
    searches=st.integers(0, 300),
    is_own=st.booleans(),
    euros=st.booleans(),
)
def test_what_is_due_beside_one_workload_is_what_its_verdict_keeps(
    due: int, others: int, labs: int, searches: int, is_own: bool, euros: bool
) -> None:
    """And by hand: the share of 28 days of November's 30, at the rate of the day, less what the others were billed."""
    own = on_api(FLAT)["fct_api_costs_daily"]
    # Of which a shortfall, or searches: billed to the workload, and no tokens of it.
    beside = [{**row, "tokens": None, "token_class": None, "billed_cost_rc": Decimal(searches)} for row in own[:28]]
    costs = [
        *own,
        *beside,
        *(other_workload(day, str(others)) for day in DAYS),
        *({**other_workload(day, str(labs), "labs"), "workload": "unassigned"} for day in DAYS),
    ]
    agreed = [
        contract(account="main" if is_own else None, commitment_cost=Decimal(due), currency="EUR" if euros else "USD")
    ]
    rows = rows_of(costs, agreed)
    published = verdict(**{**on_api(FLAT), "fct_api_costs_daily": costs}, config_contracts=agreed)
    if not due:
        assert rows == []
        return
    found = scopes(rows)["chat"]
    assert (found.name, "unassigned" in found.tokens_per_day) == (
        "anthropic/main" if is_own else "anthropic",
        not is_own,
    )
    [rate] = (
        {Fraction(1)}
        if not euros
        else {
            Fraction(row["multiplier"], row["divisor"])
            for row in rates()
            if (row["currency"], row["usage_date"]) == ("EUR", LAST)
        }
    )
    committed = max(Fraction(0), (Fraction(due, 30) * rate - others - searches - (0 if is_own else labs)) * len(DAYS))
    assert abs(found.committed_beside(["chat"]) * len(DAYS) - committed) < Fraction(1, 10**15)
    assert abs(Fraction(published["api_committed_cost_rc"]) - committed) < Fraction(1, 10**15)
    everyone = found.committed_beside(["chat", "others", "unassigned"]) * len(DAYS)
    assert abs(
        everyone - Fraction(due, 30) * rate * len(DAYS) + min(Fraction(due, 30) * rate, searches) * len(DAYS)
    ) < Fraction(1, 10**15)


def test_a_shortfall_of_a_quarter_is_none_of_its_28_days_alone() -> None:
    """500 a day of 92 are due, 360 used, 92 x 140 invoiced: of the 28 days' 14,000 the invoice uses up 28 x 140."""
    agreed = contract(commitment_cost=Decimal(46_000), commitment_period="quarter")
    costs = [*on_api(FLAT)["fct_api_costs_daily"], invoiced_shortfall(date(2026, 11, 1), str(92 * 140))]
    rows = rows_of(costs, [agreed])
    assert {row["workload"]: row["other_billed_cost_rc"] for row in rows} == {"chat": 0, "unassigned": 28 * 140}
    found = scopes(rows)["chat"]
    assert (found.due_per_day, found.committed_beside(["chat"])) == (500, 360)


def test_a_commitment_without_a_rate_has_no_amount_and_is_no_scope() -> None:
    rows = rows_of(on_api(FLAT)["fct_api_costs_daily"], [contract(commitment_cost=Decimal(100), currency="SEK")])
    assert [(row["workload"], row["due_cost_rc"]) for row in rows] == [("chat", None)]
    assert scopes(rows) == {}


def test_only_what_is_in_force_and_only_its_own_accounts_count() -> None:
    costs = on_api(FLAT)["fct_api_costs_daily"]
    over = contract(commitment_cost=Decimal(100), valid_to_date=date(2026, 11, 1))
    assert rows_of(costs, [over, contract(account="labs", commitment_cost=Decimal(100))]) == []
    [row] = rows_of([{**row, "billed_cost_rc": None} for row in costs], [contract(minimum_monthly_cost=Decimal(30))])
    assert (row["due_cost_rc"], row["token_billed_cost_rc"], row["window_days_count"]) == (28, 0, 28)
