"""What a workload says of moving: a pin has a cost in the stead of advice, and a move pays back what it costs once."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from pipeline.decisions import verdict_intervals
from pipeline.decisions.window import evidence_on
from tests.decisions.test_verdict_conditions import on_gpus_tables
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


SAID = ("migration_one_off_cost", "migration_payback_months", "movable_share_ratio", "tokens_per_api_token")


def interval(**said: Any) -> dict[str, Any]:
    """How sure the verdict of a workload is that is billed so much more every day, and that says so much of moving."""
    costs = [
        {**api_cost(day), "billing_currency": "USD", "billed_cost_rc": Decimal(400 + 20 * number)}
        for number, day in enumerate(DAYS)
    ]
    return interval_of({"config_workloads": pinned(None), "fct_api_costs_daily": costs}, **said)


def interval_of(tables: Mapping[str, Sequence[Any]], **said: Any) -> dict[str, Any]:
    """The same of a workload that these marts are of."""
    [workload] = tables["config_workloads"]
    billed = [{**gpu_cost(day), "billing_currency": "USD"} for day in DAYS]
    changed = [{**workload, **dict.fromkeys(SAID), **said}]
    tables = {**tables, "config_workloads": changed, "fct_gpu_costs_daily": billed}
    inputs = inputs_with(**tables)
    [workload], [deployment] = inputs["config_workloads"], inputs["config_deployments"]
    asked = verdict_intervals._Asked(workload, deployment, verdict(**tables), evidence_on(LAST, inputs), inputs)
    [row] = verdict_intervals._rows([asked])
    return row


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


@pytest.mark.parametrize(("share", "tokens"), [("1", "1"), ("0.5", None), (None, "3"), ("0.25", "1.5")])
def test_what_is_declared_of_quality_decides_once_more(share: str | None, tokens: str | None) -> None:
    """The second route: other marts and another throughput, decided as they stand."""
    told = interval(
        movable_share_ratio=None if share is None else Decimal(share),
        tokens_per_api_token=None if tokens is None else Decimal(tokens),
    )
    part = Fraction(share or 1)
    [deployment] = inputs_with()["config_deployments"]
    rates = {name: value / Decimal(tokens or 1) for name, value in deployment.items() if value and "per_second" in name}
    asked = {
        "config_deployments": [deployment | rates],
        "fct_api_costs_daily": [
            {**api_cost(day), "tokens": int(1_000_000 * part), "billed_cost_rc": cost * Decimal(share or 1)}
            for day, cost in zip(DAYS, range(400, 400 + 20 * len(DAYS), 20), strict=True)
        ],
        "fct_demand_daily": [{**row, "tokens": int(row["tokens"] * part)} for row in demand_daily()],
        "fct_demand_hourly": [{**row, "tokens": int(row["tokens"] * part)} for row in demand_hourly()],
    }  # fmt: skip
    expected = verdict(**asked)
    assert told["quality_best_replica_count"] == expected["best_replica_count"]
    assert told["quality_recommendation"] == expected["recommendation"]
    assert told["quality_breakeven_tokens_per_day"] == pytest.approx(expected["breakeven_first_tokens_per_day"])
    assert told["quality_saving_rc_per_month"] == pytest.approx(expected["saving_rc_per_month"], rel=Decimal("1e-9"))
    if (share, tokens) == ("1", "1"):
        free = interval()
        assert free.items() <= told.items()


def test_an_advice_that_quality_turns_is_not_sure() -> None:
    assert interval()["is_sure"]
    told = interval(tokens_per_api_token=Decimal(10_000))
    assert told["quality_recommendation"] != "switch_to_self_host"
    assert told["is_sure"] is False


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"movable_share_ratio": Decimal("0.5")}, "what of it may not move is served there too"),
        ({"tokens_per_api_token": Decimal(3)}, "its tokens are counted as these serve them"),
        ({"movable_share_ratio": Decimal("0.01"), "tokens_per_api_token": Decimal(1)}, "counted as these serve them"),
    ],
)
def test_a_verdict_whose_quality_cannot_be_decided_is_not_sure(said: dict[str, Any], why: str) -> None:
    """All of it on one own replica at 1,344, which an API serves for 1,545.60: half of it needs the replica too."""
    free = interval_of(on_gpus_tables())
    assert (free["is_sure"], free["best_p50_replica_count"]) == (True, 1)
    told = interval_of(on_gpus_tables(), **said)
    assert (told["is_sure"], told["quality_status"]) == (False, "unknown")
    assert why in told["quality_reason"]
    assert "quality_best_replica_count" not in told


def demand_daily() -> list[dict[str, Any]]:
    of_a_day = {"workload": "chat", "lane": "api", "token_class": "output", "tokens": 1_000_000, "evidence": "hourly"}
    return [{"usage_date": day, **of_a_day} for day in DAYS]


def demand_hourly() -> list[dict[str, Any]]:
    at_noon = [datetime(day.year, day.month, day.day, 12) for day in DAYS]  # noqa: DTZ001 - marts hold UTC
    return [
        {"usage_date": at.date(), "usage_hour_at": at, "workload": "chat", "token_class": "output", "tokens": 1_000_000}
        for at in at_noon
    ]
