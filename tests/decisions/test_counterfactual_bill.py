"""The bills that a month as it was is held to, and what a commitment adds to every row."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import duckdb
import pytest

from pipeline.decisions.counterfactual_bill import _BILLS, Bill, BillLine, _actual, _counted, _staying
from pipeline.decisions.supposing import Supposed
from pipeline.decisions.verdicts import Grounds, grounds_of
from pipeline.decisions.what_if import Case, supposing
from tests.decisions.test_contracts import contract
from tests.decisions.test_verdict_conditions import on_api
from tests.decisions.test_verdict_rates import DAYS, LAST, api_cost, inputs_with

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


def rows_under(
    commitment_a_day: int, *, shortfall_a_day: int = 0, owner: str = "chat", movable_share: Fraction = Fraction(1)
) -> list[BillLine]:
    """As it was, and by replicas: a workload of 360 a day, and nobody else, for 28 days of a 30-day month.

    A shortfall that is invoiced is a line without tokens, and may be anybody's.
    """
    agreed = [contract(commitment_cost=Decimal(commitment_a_day * 30))]
    tables = on_api([1_000_000] * 24)
    line = {"workload": owner, "tokens": None, "token_class": None, "billed_cost_rc": Decimal(shortfall_a_day)}
    tables["fct_api_costs_daily"] = [*tables["fct_api_costs_daily"], *({**api_cost(day), **line} for day in DAYS)]
    case = Case(LAST, inputs_with(**tables, config_contracts=agreed))
    [workload] = case.workloads()
    subject, deployment, evidence = supposing(case, workload, Supposed(movable_share=movable_share))
    found = grounds_of(subject, deployment, evidence)
    assert isinstance(found, Grounds)
    spent = Decimal(360 * len(DAYS))
    everything = spent + 77 + shortfall_a_day * len(DAYS)
    actual = _actual(case, workload, everything, spent, Decimal(0))
    return [actual, *_counted(found, actual.other_cost + _staying(evidence, "chat"))]


def test_what_a_commitment_leaves_unused_is_in_every_row_and_in_the_actual_one() -> None:
    """720 a day are due: on the API as it was, and with whatever replicas, the API takes 720 in the end."""
    actual, *counted = rows_under(720)
    assert (actual.api_cost, actual.unused_commitment_cost) == (360 * 28, 360 * 28)
    assert (counted[0].api_cost, counted[0].unused_commitment_cost) == (360 * 28, 360 * 28)
    assert counted[0].total_cost == actual.total_cost == 720 * 28 + 77
    assert actual.billed_cost == 360 * 28 + 77
    for line in counted:
        assert line.unused_commitment_cost is not None
        assert line.api_cost + line.unused_commitment_cost == 720 * 28
    assert counted[-1].api_cost == 0


@pytest.mark.parametrize("owner", ["chat", "others", "unassigned"])
def test_a_shortfall_that_is_invoiced_is_counted_once_in_every_row(owner: str) -> None:
    """Due are 720 a day: 360 used, 360 invoiced beside, whoever is billed for them. With replicas it is 720 still."""
    actual, *counted = rows_under(720, shortfall_a_day=360, owner=owner)
    assert actual.unused_commitment_cost == counted[0].unused_commitment_cost == 0
    assert actual.total_cost == counted[0].total_cost == 720 * 28 + 77
    for line in counted:
        assert line.total_cost is not None
        assert line.total_cost - line.gpu_cost - (line.overhead_cost or 0) == 720 * 28 + 77
    # A part of it is not invoiced yet.
    actual, *_ = rows_under(720, shortfall_a_day=200, owner=owner)
    assert (actual.unused_commitment_cost, actual.total_cost) == (160 * 28, 720 * 28 + 77)


def test_a_commitment_that_is_used_up_leaves_nothing_unused_until_traffic_leaves() -> None:
    actual, *counted = rows_under(300)
    assert actual.unused_commitment_cost == counted[0].unused_commitment_cost == 0
    assert counted[-1].unused_commitment_cost == 300 * 28
    assert all(line.unused_commitment_cost == 0 for line in rows_under(0))


@pytest.mark.parametrize("commitment_a_day", [0, 300, 720])
def test_what_is_supposed_not_to_move_is_billed_in_every_row(commitment_a_day: int) -> None:
    """A quarter may move: without a replica the month is what it was, and no replica avoids the other 270 a day."""
    actual, *counted = rows_under(commitment_a_day, movable_share=Fraction(1, 4))
    assert (counted[0].billed_cost, counted[0].total_cost) == (actual.billed_cost, actual.total_cost)
    assert counted[-1].api_cost == 0
    assert {line.other_cost for line in counted} == {270 * 28 + 77}
