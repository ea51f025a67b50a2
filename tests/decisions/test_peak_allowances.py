"""Which share of a replica-hour a verdict fills, and that it fills that."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from pipeline.decisions import peak_allowances
from pipeline.decisions.window import WINDOW_DAYS
from tests.decisions.test_verdict_rates import ALWAYS, LAST, Row, verdict

# LAST is a Tuesday: the week before it ended on the Sunday.
SUNDAY = LAST - timedelta(days=2)
DAYS = [LAST - timedelta(days=back) for back in range(WINDOW_DAYS + 7)]


def sampled(sunday: date, ppm: int, **fields: Any) -> Row:
    return {
        "usage_date": sunday,
        "deployment_id": "llama",
        "workload": "chat",
        "week_from_date": sunday - timedelta(days=6),
        "served_hours_count": 168,
        "minute_hours_count": 168,
        "queued_hours_count": 0,
        "busy_hours_count": 80,
        "longest_gap_milliseconds": 15_000,
        "p99_minute_to_hour_ppm": ppm,
        "overflow_within_hours_ppm": 40_000,
        **fields,
    }


def allowance(
    *weeks: Row,
    declared: bool = False,
    api_days: Sequence[date] = (),
    settled: Sequence[date] = DAYS,
    monday: date | None = None,
    named: Sequence[Row] = (),
) -> dict[str, Any]:
    deployment = {
        "deployment_id": "llama", "peak_allowance": Decimal("0.7" if declared else "0.85"),
        "is_peak_allowance_declared": declared, **ALWAYS,
    }  # fmt: skip
    dated: dict[str, list[Row]] = {
        "fct_day_status_daily": [{"usage_date": day} for day in settled],
        "fct_demand_daily": [{"usage_date": day, "workload": "chat"} for day in api_days],
        "fct_demand_peaks_weekly": list(weeks),
    }
    inputs: dict[str, Any] = {
        "this_partition": pl.DataFrame({"from_date": [LAST]}),
        "config_deployments": [deployment],
        "config_workloads": [
            {"workload": "chat", "deployment_id": "llama", "sampled_week_from_date": monday, **ALWAYS},
            {"workload": "lost", "deployment_id": None, **ALWAYS},
        ],
        "int_sampled_weeks": list(named),
    }
    for name, rows in dated.items():
        inputs[name] = {
            day: [row for row in rows if row["usage_date"] == day] for day in {r["usage_date"] for r in rows}
        }
    [row] = peak_allowances.build(inputs).to_dicts()
    return row


def test_the_newest_whole_week_is_the_sampled_one() -> None:
    found = allowance(sampled(SUNDAY, 2_000_000), sampled(SUNDAY - timedelta(days=7), 4_000_000))
    assert (found["peak_allowance_ratio"], found["peak_allowance_basis"]) == (Decimal("0.5"), "measured")
    assert (found["week_from_date"], found["p99_minute_to_hour_ppm"]) == (SUNDAY - timedelta(days=6), 2_000_000)


def test_a_week_with_a_day_that_is_not_settled_is_passed_over() -> None:
    settled = [day for day in DAYS if day != SUNDAY - timedelta(days=3)]
    found = allowance(sampled(SUNDAY, 2_000_000), sampled(SUNDAY - timedelta(days=7), 4_000_000), settled=settled)
    assert found["peak_allowance_ratio"] == Decimal("0.25")


def test_the_week_that_is_named_is_the_sampled_one_however_long_ago() -> None:
    long_ago = SUNDAY - timedelta(days=28 * 7)
    monday = long_ago - timedelta(days=6)
    newest = sampled(SUNDAY, 2_000_000)
    found = allowance(newest, monday=monday, named=[sampled(long_ago, 4_000_000)])
    assert (found["peak_allowance_ratio"], found["week_from_date"]) == (Decimal("0.25"), monday)
    assert (found["peak_allowance_basis"], found["reason"]) == ("measured", "as `demand: sampled_week` names it")
    # Another that was named once, and none at all.
    assert allowance(newest, named=[sampled(long_ago, 4_000_000)])["peak_allowance_ratio"] == Decimal("0.5")


def test_a_named_week_that_nobody_served_is_replaced_by_no_other() -> None:
    monday = SUNDAY - timedelta(days=6 + 70)
    found = allowance(sampled(SUNDAY, 2_000_000), monday=monday)
    assert (found["peak_allowance_ratio"], found["peak_allowance_basis"]) == (Decimal("0.85"), "assumed")
    assert f"the week from {monday}" in found["reason"]
    assert found["measured_allowance_ratio"] is None


def test_a_named_week_says_nothing_before_it_is_over() -> None:
    """LAST is a Tuesday: the week it is in is named, and the newest whole one still counts."""
    found = allowance(sampled(SUNDAY, 2_000_000), monday=SUNDAY + timedelta(days=1))
    assert (found["peak_allowance_ratio"], found["reason"]) == (Decimal("0.5"), None)
    over = allowance(sampled(SUNDAY, 2_000_000), monday=SUNDAY - timedelta(days=6), named=[sampled(SUNDAY, 3_000_000)])
    assert over["p99_minute_to_hour_ppm"] == 3_000_000


def test_the_measured_share_stands_beside_a_declared_one() -> None:
    found = allowance(sampled(SUNDAY, 2_000_000), declared=True)
    assert (found["peak_allowance_ratio"], found["peak_allowance_basis"]) == (Decimal("0.7"), "declared")
    assert (found["measured_allowance_ratio"], found["overflow_within_hours_ppm"]) == (Decimal("0.5"), 40_000)


@pytest.mark.parametrize("days", [[SUNDAY], DAYS])
def test_traffic_on_an_api_keeps_the_assumption(days: list[date]) -> None:
    found = allowance(sampled(SUNDAY, 2_000_000), api_days=days)
    assert (found["peak_allowance_ratio"], found["peak_allowance_basis"]) == (Decimal("0.85"), "assumed")
    assert "whose minutes nobody read" in found["reason"]


def test_a_verdict_fills_what_its_peaks_leave() -> None:
    """Half of the hour instead of 0.85 of it: a replica serves so much less."""

    def said(ratio: str) -> Row:
        return {"usage_date": LAST, "workload": "chat", "peak_allowance_ratio": Decimal(ratio)}

    assumed, measured = verdict(), verdict(fct_peak_allowances_daily=[said("0.5")])
    served = measured["capacity_tokens_per_replica_hour"] / assumed["capacity_tokens_per_replica_hour"]
    assert served == pytest.approx(0.5 / 0.85)
    other = {**said("0.5"), "workload": "other"}
    assert verdict(fct_peak_allowances_daily=[other]) == assumed
