"""The bills that a month as it was is held to."""

from datetime import date
from decimal import Decimal

import duckdb

from pipeline.decisions.counterfactual_bill import _BILLS, Bill

OCTOBER = {"from_date": date(2026, 10, 1), "to_date": date(2026, 11, 1)}


def bills(*, stated: list[str | None], told: list[str | None]) -> dict[str | None, Bill]:
    """By account: each has a line of 100.00 on its bill, or in the marts, or in both."""
    connection = duckdb.connect()
    connection.execute(
        "create table int_api_charges_daily (is_book boolean, usage_date date, issuer text, account text, "
        "billing_currency text, billed_cost decimal(38, 18));"
        "create table fct_api_costs_daily (usage_date date, issuer text, account text, billing_currency text, "
        "billed_cost decimal(38, 18), billed_cost_rc decimal(38, 18));"
        "create table int_gpu_charges_daily (usage_date date, issuer text, account text, cost_measure text, "
        "billing_currency text, realized_cost decimal(38, 18));"
        "create table fct_gpu_costs_daily (usage_date date, issuer text, account text, cost_measure text, "
        "billing_currency text, realized_cost decimal(38, 18), realized_cost_rc decimal(38, 18))"
    )
    for account in stated:
        connection.execute(
            "insert into int_api_charges_daily values (true, '2026-10-02', 'anthropic', ?, 'USD', 100)", [account]
        )
    for account in told:
        connection.execute(
            "insert into fct_api_costs_daily values ('2026-10-02', 'anthropic', ?, 'USD', 100, 100)", [account]
        )
    found = connection.execute(_BILLS, OCTOBER)
    names = [column[0] for column in found.description]
    rows = [Bill(**dict(zip(names, row, strict=True))) for row in found.fetchall()]
    connection.close()
    return {bill.account: bill for bill in rows}


def test_a_bill_that_the_marts_lost_is_shown_and_is_not_equal() -> None:
    found = bills(stated=["here", "lost"], told=["here"])
    assert found["here"].is_equal
    assert (found["lost"].stated_cost, found["lost"].told_cost) == (Decimal(100), None)
    assert (found["lost"].issuer, found["lost"].lane, found["lost"].billing_currency) == ("anthropic", "api", "USD")
    assert not found["lost"].is_equal


def test_a_cost_that_no_bill_states_is_shown_and_is_not_equal() -> None:
    found = bills(stated=["here"], told=["here", "invented"])
    assert (found["invented"].stated_cost, found["invented"].told_cost) == (None, Decimal(100))
    assert not found["invented"].is_equal


def test_a_bill_without_an_account_is_one_bill() -> None:
    found = bills(stated=[None], told=[None])
    assert len(found) == 1
    assert found[None].is_equal
