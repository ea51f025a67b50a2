"""A workload that is pinned to a lane has what the pin costs in the stead of a recommendation."""

import re
from decimal import Decimal
from typing import Any

import pytest

from tests.decisions.test_verdict_rates import DAYS, api_cost, inputs_with, verdict


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
