"""Rents otherwise than billed: every count tried by hand, and every path of counts, over one day's hours."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decisions import rental_plans
from tests.decisions.test_commitment_scopes import rates
from tests.decisions.test_deployment_plans import HOURS, as_read, asked, verdict, workload
from tests.decisions.test_scale_downs import ALWAYS, LAST, Row, _inputs, deployment

# A replica takes nine tokens an hour, and its two GPUs cost twice what one does.
REPLICA = {"tokens_per_second": Decimal("0.0025")}


def rent(**changes: Any) -> Row:
    row = {
        "deployment_id": "llama",
        "on_demand_gpu_hour_rate": Decimal(2),
        "reserved_gpu_hour_rate": Decimal(1),
        "warm_up_minutes": None,
        "start_cost": Decimal(0),
        "currency": "USD",
    }
    return {**row, **ALWAYS, **changes}


def plans(tokens: Sequence[int], *rents: Row, fixed: int = 0, **tables: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Of one settled day; a token costs a dollar at the API."""
    given: dict[str, Sequence[Row]] = {
        "config_deployments": [deployment(**REPLICA)],
        "config_rents": list(rents),
        "config_workloads": [workload("chat")],
        "fct_day_status_daily": [{"usage_date": LAST, "status": "settled", "blocked_count": 0}],
        "fct_demand_daily": [],
        "fct_peak_allowances_daily": [],
        "fct_scale_downs_daily": [],
        "fct_verdicts_daily": [verdict("chat", "1000000", 96, fixed)],
        "int_fx_rates_daily": [row for row in rates() if row["usage_date"] == LAST],
        **tables,
        "fct_demand_hourly": as_read([row for row in asked("chat", tokens) if row["usage_date"] == LAST]),
    }
    undated = ("config_deployments", "config_rents", "config_workloads")
    inputs = _inputs(rental_plans, given, [name for name in given if name not in undated])
    return {row["plan"]: row for row in rental_plans.build(inputs).to_dicts()}


@settings(max_examples=20, deadline=None)
@given(
    tokens=st.lists(st.integers(0, 40), min_size=HOURS, max_size=HOURS).filter(any),
    on_demand=st.integers(0, 9),
    reserved=st.integers(0, 4),
    fixed=st.integers(0, 30),
)
def test_a_reserved_plan_is_the_best_of_every_count_with_every_hour_decided_by_itself(
    tokens: list[int], on_demand: int, reserved: int, fixed: int
) -> None:
    found = plans(
        tokens,
        rent(on_demand_gpu_hour_rate=Decimal(on_demand), reserved_gpu_hour_rate=Decimal(reserved) / 8),
        fixed=fixed,
    )["reserved"]
    best: Fraction | None = Fraction(sum(tokens))
    for count in range(6):
        for is_alone in (True, False):
            extra = range(1) if is_alone else range(6)
            hours = [min(more * 2 * on_demand + max(0, came - 9 * (count + more)) for more in extra) for came in tokens]
            total = count * 24 * Fraction(2 * reserved, 8) + sum(hours) + (fixed if count or not is_alone else 0)
            best = min(best, total)
    assert found["total_cost_rc"] == best
    parts = ("rent_cost_rc", "fixed_cost_rc", "api_cost_rc")
    assert sum(found[name] for name in parts) == found["total_cost_rc"]
    assert found["saving_rc_per_month"] == Decimal(round((5000 - best) * 30 * 10**18)).scaleb(-18)


@settings(max_examples=15, deadline=None)
@given(
    tokens=st.lists(st.integers(0, 20), min_size=HOURS, max_size=HOURS).filter(any),
    on_demand=st.integers(1, 9),
    start=st.integers(0, 6),
    minutes=st.sampled_from([0, 20, 60]),
    fixed=st.integers(0, 30),
)
def test_a_plan_that_starts_and_stops_is_the_best_of_every_path(
    tokens: list[int], on_demand: int, start: int, minutes: int, fixed: int
) -> None:
    """After the last hour with traffic nothing runs, so the paths of the first hours are all there are."""
    found = plans(
        tokens,
        rent(
            on_demand_gpu_hour_rate=Decimal(on_demand) / 2,
            reserved_gpu_hour_rate=None,
            warm_up_minutes=minutes,
            start_cost=Decimal(start),
        ),
        fixed=fixed,
    )
    assert set(found) == {"start_stop"}
    warm = Fraction(minutes, 60)
    totals = []
    for path in product(range(4), repeat=HOURS):
        total = Fraction(fixed if any(path) else 0)
        for before, now, came in zip((0, *path), path, tokens, strict=False):
            started = max(0, now - before)
            total += now * on_demand + started * start + max(Fraction(0), came - 9 * (now - started * warm))
        totals.append(total)
    row = found["start_stop"]
    assert Fraction(row["total_cost_rc"]) <= min(totals)
    if minutes != 20:
        # A share of an hour served by more replicas than the busiest hour needs may pay beyond three of them.
        assert Fraction(row["total_cost_rc"]) == min(totals)
    parts = ("rent_cost_rc", "start_cost_rc", "fixed_cost_rc", "api_cost_rc")
    assert sum(row[name] for name in parts) == row["total_cost_rc"]


def test_without_a_rent_nothing_is_said() -> None:
    assert plans([9]) == {}


def test_a_rent_in_another_currency_counts_at_the_rate_of_the_day() -> None:
    [rate] = [
        Fraction(row["multiplier"], row["divisor"])
        for row in rates()
        if (row["currency"], row["usage_date"]) == ("EUR", LAST)
    ]
    row = plans([9] * HOURS, rent(currency="EUR"))["reserved"]
    assert abs(Fraction(row["on_demand_replica_hour_rate_rc"]) - 4 * rate) < Fraction(1, 10**17)


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({"fct_verdicts_daily": []}, "chat has no verdict to weigh it by"),
        (
            {"fct_verdicts_daily": [{**verdict("chat", "1", 1), "api_committed_cost_rc": Decimal(3)}]},
            "its API traffic is under a commitment",
        ),
        (
            {"fct_verdicts_daily": [{**verdict("chat", "1", 1), "status": "bracketed"}]},
            "the verdict on chat is bracketed: ",
        ),
        ({"int_fx_rates_daily": []}, "the rent of llama is in USD, which has no rate on 2026-11-10"),
        ({"config_workloads": [workload("chat", pinned_to="api", pin_reason="residency")]}, "pinned to api: residency"),
        ({"config_deployments": [deployment(tokens_per_second=None)]}, "what a replica of llama sustains is unknown"),
    ],
)
def test_what_cannot_be_rented_otherwise_says_why(tables: Mapping[str, Sequence[Row]], reason: str) -> None:
    row = plans([9], rent(), **tables)["reserved"]
    assert (row["status"], row["total_cost_rc"]) == ("unknown", None)
    assert row["reason"].startswith(reason)


def test_days_that_do_not_follow_one_another_are_no_hours_in_a_row() -> None:
    """The hours after a missing day are no next hours: nothing is said of starts; a reservation needs no order."""
    settled = [{"usage_date": day, "status": "settled", "blocked_count": 0} for day in (LAST - timedelta(days=2), LAST)]
    found = plans([9] * HOURS, rent(warm_up_minutes=20), fct_day_status_daily=settled)
    assert (found["reserved"]["status"], found["start_stop"]["status"]) == ("decided", "unknown")
    assert found["start_stop"]["reason"].startswith("2026-11-09 is not settled, and what starts and stops is followed ")
