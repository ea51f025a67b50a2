"""What a workload says of moving: a pin has a cost in the stead of advice, and a move pays back what it costs once."""

import re
from decimal import Decimal
from typing import Any

import pytest

from pipeline.decisions import verdict_intervals
from pipeline.decisions.window import evidence_on
from tests.decisions.test_verdict_rates import DAYS, LAST, api_cost, gpu_cost, inputs_with, verdict


def pinned(lane: str | None, **changes: Any) -> list[dict[str, Any]]:
    [row] = inputs_with()["config_workloads"]
    return [{**row, "pinned_to": lane, "pin_reason": lane and "residency", **changes}]


@pytest.mark.parametrize("billed", ["4.59", "500"])
@pytest.mark.parametrize(("lane", "column"), [("api", "api_only_cost_rc"), ("self_host", "all_self_host_cost_rc")])
def test_the_pin_costs_its_lane_less_the_best_mix(lane: str, column: str, billed: str) -> None:
    costs = [{**api_cost(day), "billed_cost_rc": Decimal(billed)} for day in DAYS]
    free = verdict(config_workloads=pinned(None), fct_api_costs_daily=costs)
    told = verdict(config_workloads=pinned(lane), fct_api_costs_daily=costs)
    assert (told["status"], told["recommendation"]) == ("pinned", None)
    assert told["reason"].startswith(f"pinned to {lane}: residency. ")
    cost = told[column] - told["best_cost_rc"]
    if cost == 0:
        assert "The pin costs nothing: no mix is cheaper." in told["reason"]
    else:
        [amount] = re.findall(r"The pin costs ([0-9,.]+) over the window", told["reason"])
        assert Decimal(amount.replace(",", "")) == round(cost, 2) > 0
        count = 0 if lane == "api" else told["all_self_host_replica_count"]
        assert "the API alone" in told["reason"] if lane == "api" else f"({count} replicas)" in told["reason"]
    assert (cost == 0) == (lane == "api" and billed == "4.59"), "each of both happens here"
    # A pin changes what is advised, and no figure.
    words = ("status", "recommendation", "reason")
    assert {name: told[name] for name in told if name not in words} == {
        name: free[name] for name in free if name not in words
    }


def test_a_pin_whose_cost_is_not_known_is_still_told() -> None:
    told = verdict(config_workloads=pinned("api", deployment_id=None))
    assert told["status"] != "pinned"
    assert told["reason"].startswith(
        "pinned to api: residency; what that costs is not known: no deployment is declared"
    )
    assert told["recommendation"] is None


def interval(**said: Any) -> dict[str, Any]:
    """How sure the verdict of a workload is that is billed so much more every day, and that says so much of moving."""
    costs = [
        {**api_cost(day), "billing_currency": "USD", "billed_cost_rc": Decimal(400 + 20 * number)}
        for number, day in enumerate(DAYS)
    ]
    never = {"migration_one_off_cost": None, "migration_payback_months": None}
    tables = {"config_workloads": pinned(None, **never | said), "fct_api_costs_daily": costs}
    tables["fct_gpu_costs_daily"] = [{**gpu_cost(day), "billing_currency": "USD"} for day in DAYS]
    inputs = inputs_with(**tables)
    [workload], [deployment] = inputs["config_workloads"], inputs["config_deployments"]
    asked = verdict_intervals._Asked(workload, deployment, verdict(**tables), evidence_on(LAST, inputs), inputs)
    return verdict_intervals._row(asked)


def test_a_move_is_sure_where_the_cautious_saving_pays_it_back_in_time() -> None:
    free = interval()
    saving = Decimal(free["saving_p20_rc_per_month"])
    assert (free["is_sure"], free.get("migration_one_off_rc")) == (True, None)
    for share, is_sure in (("0.99", True), ("1.01", False)):
        told = interval(migration_one_off_cost=6 * saving * Decimal(share), migration_payback_months=6)
        assert told["is_sure"] == is_sure
        assert (told["pays_back_probability_ratio"] >= 0.8) == is_sure, "the 20% quantile is what four of five reach"
        assert {name: told[name] for name in free if name not in ("is_sure", "pays_back_probability_ratio")} == {
            name: value for name, value in free.items() if name not in ("is_sure", "pays_back_probability_ratio")
        }


def test_what_does_not_move_pays_nothing_back() -> None:
    told = interval(pinned_to="api", pin_reason="x", migration_one_off_cost=Decimal(1), migration_payback_months=1)
    assert told["is_sure"] is None
    assert "migration_one_off_rc" not in told
