"""What if: the verdict's own functions over other inputs, and a month's bill whose actual row is the bills."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decisions.counterfactual_bill import counterfactual_bill
from pipeline.decisions.graph import current_snapshot
from pipeline.decisions.supposing import Amount, Supposed, WhatIfError
from pipeline.decisions.what_if import Case, outcomes, verdict_case
from pipeline.landing.project import Project
from pipeline.reports.questions import Questions
from tests.decisions.test_contracts import contract, other_workload
from tests.decisions.test_verdict_conditions import (
    FLAT,
    GPUS,
    by_day_tables,
    candidate,
    on_api,
    on_gpus_tables,
    workload,
)
from tests.decisions.test_verdict_rates import (
    DAYS,
    LAST,
    Row,
    gpu_cost,
    inputs_with,
    listed,
    overhead,
    unbilled,
    verdict,
)

BUSY = [0] * 8 + [400_000] * 8 + [50_000] * 8
Tables = Mapping[str, Sequence[Row]]


def supposing(supposed: Supposed, **tables: Sequence[Row]) -> dict[str, Any]:
    """The verdict of `chat` with what is supposed; without it, it is the node's own."""
    case = Case(LAST, inputs_with(**tables))
    [outcome] = outcomes(case, supposed, only="chat")
    assert dict(outcome.before) == verdict(**tables)
    return dict(outcome.after)


def times(tables: Tables, factor: int) -> dict[str, list[Row]]:
    """The same traffic, so many times over."""

    def scaled(row: Row) -> Row:
        cost = row.get("billed_cost_rc")
        return {
            **row,
            "tokens": row["tokens"] * factor,
            **({} if cost is None else {"billed_cost_rc": cost * factor}),
        }

    return {name: [scaled(row) for row in rows] for name, rows in tables.items()}


@pytest.mark.parametrize("tables", [on_api(BUSY), on_gpus_tables(), by_day_tables(3_600_000)])
def test_supposing_nothing_is_the_published_verdict(tables: dict[str, Any]) -> None:
    assert supposing(Supposed(), **tables) == verdict(**tables)


@settings(max_examples=15, deadline=None)
@given(factor=st.integers(1, 40))
def test_a_volume_is_supposed_as_if_it_had_been_metered(factor: int) -> None:
    """As dear a token, as fast a replica, so many more of them."""
    tables = on_api(BUSY)
    assert supposing(Supposed(volume=Fraction(factor)), **tables) == verdict(**times(tables, factor))


def test_more_of_a_workload_is_a_greater_share_of_the_gpus_that_it_shares() -> None:
    """Another workload is served too: what this one costs today grows with its part of the bill."""

    def shared(factor: int) -> dict[str, Any]:
        tables = dict(on_gpus_tables())
        [own] = tables["int_self_host_tokens_hourly"]
        demand = {name: tables[name] for name in ("fct_demand_daily", "fct_demand_hourly")}
        served = [{**own, "tokens": own["tokens"] * factor}, {**own, "workload": "other"}]
        return {**tables, **times(demand, factor), "int_self_host_tokens_hourly": served}

    assert supposing(Supposed(volume=Fraction(3)), **shared(1)) == verdict(**shared(3))


@settings(max_examples=15, deadline=None)
@given(cents=st.integers(1, 5000))
def test_a_price_is_supposed_as_if_it_had_been_billed(cents: int) -> None:
    price = Fraction(cents, 100)
    billed = on_api(BUSY)
    costs = [
        {**row, "billed_cost_rc": row["tokens"] * Decimal(cents) / 100 / 10**6} for row in billed["fct_api_costs_daily"]
    ]
    wanted = verdict(**{**billed, "fct_api_costs_daily": costs})
    assert supposing(Supposed(api_prices={"output": Amount(absolute=price)}), **billed) == wanted
    assert supposing(Supposed(api_prices={"": Amount(factor=price / 15)}), **billed) == wanted
    unlisted = {**billed, "fct_api_costs_daily": unbilled()}
    by_list = supposing(
        Supposed(api_prices={"output": Amount(absolute=price)}), **unlisted, api_prices=[listed("USD", "25")]
    )
    assert by_list == verdict(**unlisted, api_prices=[listed("USD", str(Decimal(cents) / 100))])


def test_rates_overheads_and_throughput_are_supposed_as_if_they_had_been_declared() -> None:
    tables = on_api(BUSY)
    twice = {**tables, "fct_gpu_costs_daily": [{**gpu_cost(day), "realized_cost_rc": Decimal(96)} for day in DAYS]}
    assert supposing(Supposed(gpu_hour=Amount(factor=Fraction(2))), **tables) == verdict(**twice)
    assert supposing(Supposed(gpu_hour=Amount(absolute=Fraction(4))), **tables) == verdict(**twice)
    fixed = verdict(**tables, config_overheads=[overhead("USD", "62")])
    assert supposing(Supposed(overheads=Amount(absolute=Fraction(62))), **tables) == fixed
    assert (
        supposing(
            Supposed(overheads=Amount(factor=Fraction(1, 5))), **tables, config_overheads=[overhead("USD", "310")]
        )
        == fixed
    )
    faster = supposing(Supposed(tokens_per_second=Decimal(1000)), **tables)
    assert faster["capacity_source"] == "supposed, not measured"
    assert faster["capacity_tokens_per_replica_hour"] == 1000 * 3600 * 0.85
    # Two self-hosted tokens for each of the API's are half the capacity.
    half = supposing(Supposed(self_tokens_per_api_token=Fraction(2)), **tables)
    assert half["capacity_tokens_per_replica_hour"] * 2 == verdict(**tables)["capacity_tokens_per_replica_hour"]


def test_a_mix_keeps_the_tokens_of_every_hour() -> None:
    mixed = supposing(
        Supposed(mix={"input_uncached": Fraction(3, 4), "output": Fraction(1, 4)}),
        **on_api(BUSY),
        api_prices=[{**listed("USD", "5"), "token_class": "input_uncached"}],
    )
    # A quarter at 15 as billed, the rest at 5 as listed; and a replica prefills ten times as fast as it decodes.
    assert mixed["api_price_rc_per_mtok"] == Decimal("7.5")
    assert mixed["demand_tokens_per_day"] == sum(BUSY)
    assert mixed["capacity_tokens_per_replica_hour"] == pytest.approx(3600 * 0.85 / (0.75 / 1000 + 0.25 / 100))
    alone = supposing(Supposed(mix={"input_uncached": Fraction(1)}), **on_api(BUSY))
    assert alone["status"] == "prices_only"
    assert "no API price for input_uncached" in alone["reason"]


def test_a_share_that_may_not_move_is_left_out_of_what_is_weighed() -> None:
    movable = supposing(Supposed(movable_share=Fraction(1, 2)), **times(on_api(BUSY), 2))
    assert movable == verdict(**on_api(BUSY))


def test_the_share_that_may_not_move_still_uses_up_a_commitment() -> None:
    """216 a day are due and 180 stay: 36 are left of it, 1,008 over the window. As if another workload were billed."""
    agreed = [contract(commitment_cost=Decimal(216 * 30))]
    found = supposing(Supposed(movable_share=Fraction(1, 2)), **on_api(FLAT), config_contracts=agreed)
    assert (found["api_committed_cost_rc"], found["recommendation"]) == (1008, "fill")
    assert (found["best_replica_count"], found["saving_rc_per_month"]) == (1, Decimal("1864.80"))
    for supposed, price in ((Supposed(), 15), (Supposed(api_prices={"": Amount(factor=Fraction(2))}), 30)):
        half = on_api([500_000] * 24, price_per_mtok=price)
        costs = [*half["fct_api_costs_daily"], *(other_workload(day, str(12 * price)) for day in DAYS)]
        apart = verdict(**half | {"fct_api_costs_daily": costs}, config_contracts=agreed)
        share = replace(supposed, movable_share=Fraction(1, 2))
        assert supposing(share, **on_api(FLAT), config_contracts=agreed) == apart


def test_gpus_that_do_not_exist_are_decided_once_rate_and_throughput_are_supposed() -> None:
    """Of those it has nothing of, a replica is not there to be filled; and nothing is known that nobody supposed."""
    tables = {**on_api(FLAT), "config_deployments": [], "fct_gpu_costs_daily": [], "config_workloads": [workload()]}
    supposed = Supposed(gpu_hour=Amount(absolute=Fraction(2)), tokens_per_second=Decimal(400))
    found = supposing(supposed, **tables)
    assert (found["status"], found["recommendation"], found["best_replica_count"]) == (
        "decided",
        "switch_to_self_host",
        1,
    )
    assert found["gpu_rate_basis"] == "supposed"
    open_still = supposing(replace(supposed, tokens_per_second=None), **tables)
    assert open_still["status"] == "conditions"
    assert open_still["needed_tokens_per_second"] is not None


def test_another_gpu_has_no_throughput_until_somebody_says_it() -> None:
    """No published throughput stands in for it: what is left is what it would have to sustain."""
    tables = {**on_api(FLAT), "config_overheads": [overhead("USD", "0")]}
    found = supposing(Supposed(gpu="H200-SXM", gpu_hour=Amount(absolute=Fraction(3))), **tables)
    assert found["status"] == "conditions"
    assert found["needed_tokens_per_second"] is not None
    assert found["capacity_tokens_per_replica_hour"] is None


def test_what_makes_no_sense_is_refused_with_what_to_suppose_instead() -> None:
    with pytest.raises(WhatIfError, match="counted as these serve them"):
        supposing(Supposed(self_tokens_per_api_token=Fraction(2)), **on_gpus_tables())
    with pytest.raises(WhatIfError, match="what of it may not move is served there too"):
        supposing(Supposed(movable_share=Fraction(1, 2)), **on_gpus_tables())
    assert supposing(Supposed(movable_share=Fraction(1)), **on_gpus_tables()) == verdict(**on_gpus_tables())
    nothing_known = {
        **on_api(FLAT),
        "config_deployments": [],
        "fct_gpu_costs_daily": [],
        "config_workloads": [workload()],
        "config_candidates": [candidate()],
    }
    with pytest.raises(WhatIfError, match="No GPU-hour rate of chat is known to change"):
        supposing(Supposed(gpu_hour=Amount(factor=Fraction(1, 2))), **nothing_known)


def test_a_name_that_nothing_has_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(WhatIfError, match=r"no token class 'outputs'. Did you mean 'output'\?"):
        supposing(Supposed(api_prices={"outputs": Amount(absolute=Fraction(5))}), **on_api(FLAT))
    with pytest.raises(WhatIfError, match=r"no token class 'nosuch'. Known: input_cache_read, "):
        supposing(Supposed(mix={"nosuch": Fraction(1)}), **on_api(FLAT))
    with pytest.raises(WhatIfError, match="No GPU type 'nosuch' is listed"):
        supposing(Supposed(gpu="nosuch"), **on_api(FLAT), gpu_types=GPUS)
    # What it sustains is all that a verdict needs of it.
    supposing(Supposed(gpu="nosuch", tokens_per_second=Decimal(100)), **on_api(FLAT), gpu_types=GPUS)


# --- prices of another day -------------------------------------------------------------------------------------------


def dated(before: str, now: str, on: date) -> list[Row]:
    return [
        {**listed("USD", before), "valid_from_date": None, "valid_to_date": on},
        {**listed("USD", now), "valid_from_date": on, "valid_to_date": None},
    ]


def test_a_price_to_come_decides_nothing_before_its_day_and_what_it_will_flip_can_be_asked() -> None:
    """B6: history is untouched by a price that is declared for later."""
    coming = LAST + timedelta(days=5)
    tables: dict[str, Any] = {**on_api(FLAT), "api_prices": dated("25", "2", coming)}
    today = verdict(**tables)
    assert today == verdict(**{**tables, "api_prices": [listed("USD")]})
    then = supposing(Supposed(price_day=coming), **tables)
    assert then["api_price_rc_per_mtok"] == Decimal("1.2")
    assert (today["recommendation"], then["recommendation"]) == ("switch_to_self_host", "stay")
    case = Case(LAST, inputs_with(**tables))
    [before] = outcomes(case, Supposed(price_day=coming - timedelta(days=1)))
    assert not before.is_flipped


def test_a_price_that_changed_can_be_undone_to_see_what_it_flipped() -> None:
    costs = [
        {**row, "billed_cost_rc": row["billed_cost_rc"] * (1 if row["usage_date"] < DAYS[20] else Decimal("0.08"))}
        for row in on_api(FLAT)["fct_api_costs_daily"]
    ]
    tables: dict[str, Any] = {
        **on_api(FLAT),
        "fct_api_costs_daily": costs,
        "api_prices": dated("25", "2", DAYS[20]),
    }
    now, before = verdict(**tables), supposing(Supposed(price_day=DAYS[19]), **tables)
    assert now["api_price_rc_per_mtok"] == Decimal("1.2")
    assert before["api_price_rc_per_mtok"] == Decimal(15)


def test_a_contract_to_come_is_in_force_for_who_asks() -> None:
    agreed = contract(commitment_cost=Decimal(10**6))
    agreed |= {"valid_from_date": LAST + timedelta(days=1)}
    costs = [*on_api(FLAT)["fct_api_costs_daily"], other_workload(LAST, "1")]
    tables = {**on_api(FLAT), "fct_api_costs_daily": costs, "config_contracts": [agreed]}
    assert verdict(**tables)["recommendation"] == "switch_to_self_host"
    assert supposing(Supposed(price_day=LAST + timedelta(days=1)), **tables)["recommendation"] == "stay"


# --- on the demo -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("day", [date(2026, 11, 14), date(2026, 10, 20)])
def test_without_a_supposition_every_verdict_of_the_demo_is_the_published_one(demo_folder: Path, day: date) -> None:
    project = Project(demo_folder)
    snapshot = current_snapshot(project)
    with Questions(snapshot) as questions:
        published = questions.select(
            "select * from fct_verdicts_daily where usage_date = $day order by workload", {"day": day}
        ).to_dicts()
    found = [dict(outcome.before) for outcome in outcomes(verdict_case(project, snapshot, day), Supposed())]
    assert len(found) == 8
    assert found == published


def test_the_actual_row_of_a_month_is_its_bills_and_so_is_api_only_for_who_is_on_the_api(demo_folder: Path) -> None:
    """To the last quantum; whatever workload is looked at, and whatever is supposed of it."""
    project = Project(demo_folder)
    snapshot = current_snapshot(project)
    with Questions(snapshot) as questions:
        [row] = questions.select(
            """
            select sum(cost) as total
            from (
                select usage_date, billed_cost_rc as cost from fct_api_costs_daily
                union all
                select usage_date, realized_cost_rc from fct_gpu_costs_daily
            ) where usage_date between '2026-10-01' and '2026-10-31'
            """
        ).to_dicts()
    totals = set()
    for name, supposed in (
        ("support-chat", Supposed()),
        ("support-chat", Supposed(volume=Fraction(3), api_prices={"": Amount(factor=Fraction(1, 2))})),
        ("coding-assistant", Supposed()),
        ("document-search", Supposed(gpu_hour=Amount(absolute=Fraction(5, 2)), tokens_per_second=Decimal(3000))),
    ):
        bill = counterfactual_bill(
            project,
            snapshot,
            workload=name,
            from_date=date(2026, 10, 1),
            to_date=date(2026, 11, 1),
            supposed=supposed,
        )
        assert bill.is_equal_to_the_bills
        assert bill.days == 31
        totals.add(bill.actual.billed_cost)
        if name in ("coding-assistant", "document-search"):
            assert abs(bill.counted[0].billed_cost - bill.actual.billed_cost) < Decimal("1e-15")
        assert [line.replicas for line in bill.counted] == list(range(len(bill.counted)))
        assert sum(line.is_best for line in bill.counted) == 1
    assert totals == {row["total"]}


def test_a_month_that_is_not_settled_is_not_weighed(demo_folder: Path) -> None:
    project = Project(demo_folder)
    bill = counterfactual_bill(
        project,
        current_snapshot(project),
        workload="support-chat",
        from_date=date(2026, 11, 1),
        to_date=date(2026, 12, 1),
    )
    assert bill.counted == ()
    assert bill.plans_reason is not None
    assert "of the period cannot be read: not settled" in bill.plans_reason
