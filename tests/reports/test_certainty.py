"""How sure a verdict is, in words: never is said as never, unknown as unknown, a watch as a quiet line."""

from datetime import date
from decimal import Decimal
from typing import Any

from pipeline.decisions import demand_forecasts, verdict_intervals
from pipeline.reports import certainty
from tests.reports.fake_snapshot import DAY
from tests.reports.test_monthly import changed, facts, page


def interval(**changes: Any) -> dict[str, Any]:
    """A row of fct_verdict_intervals_daily."""
    row: dict[str, Any] = dict.fromkeys(verdict_intervals.SCHEMA, 0.0)
    row |= {
        "usage_date": DAY,
        "workload": "chat",
        "status": "known",
        "reason": None,
        "days_count": 28,
        "resample_count": 1000,
        "advised_replica_count": 1,
        "breakeven_p05_tokens_per_day": 120e6,
        "breakeven_p95_tokens_per_day": 137.5e6,
        "exceeded_probability_ratio": 0.75,
        "saving_rc_per_month": 300.0,
        "saving_p05_rc_per_month": -20.0,
        "saving_p95_rc_per_month": 500.5,
        "saving_probability_ratio": 0.7,
        "self_host_probability_ratio": 0.9,
        "saving_at_traffic_p05_rc_per_month": -10.0,
        "saving_at_traffic_p95_rc_per_month": 450.0,
        "foreign_currencies": None,
        "best_without_overheads_replica_count": 2,
        "overheads_rc_per_month": 600.0,
        "breakeven_overheads_rc_per_month": 900.0,
        "is_sure": False,
        "pinned_to": None,
        "migration_one_off_rc": None,
        "training_one_off_rc": None,
        "movable_share_ratio": None,
        "tokens_per_api_token": None,
        **{f"best_{share}_replica_count": 1 for share in ("p05", "p50", "p95", "at_fx_less", "at_fx_more")},
    }
    return row | changes


def forecast(**changes: Any) -> dict[str, Any]:
    """A row of fct_demand_forecasts_daily."""
    return {
        **dict.fromkeys(demand_forecasts.SCHEMA),
        "usage_date": DAY,
        "workload": "chat",
        "status": "known",
        "crosses_to": "self_host",
        "p05_crosses_on_date": None,
        "p50_crosses_on_date": date(2026, 12, 20),
        "p95_crosses_on_date": date(2026, 12, 2),
        "crosses_within_30_days_probability_ratio": 0.55,
        "is_watch": True,
    } | changes


def answer(**changes: Any) -> dict[str, Any]:
    """A row of the question `verdict_certainty`."""
    told = forecast()
    joined = {name: told[name] for name in told if name not in ("usage_date", "workload", "status", "reason")}
    return interval() | joined | {"forecast_status": "known", "forecast_reason": None} | changes


def test_what_is_not_sure_enough_says_so_with_what_it_depends_on() -> None:
    assert certainty.lines(answer(), "USD") == [
        "first break-even 120.00 to 137.50 million tokens a day (5 to 95%); the next 30 days reach it in 75.0%",
        "the advice saves −$20.00 to $500.50 a month, above zero in 70.0%: NOT SURE ENOUGH; "
        "most depends on traffic (−$10.00 at its 5%, $450.00 at its 95%)",
        "demand crosses towards own GPUs on 20 Dec 2026 "
        "(5% path not within 180 days, 95% path on 2 Dec 2026; within 30 days in 55.0%)",
    ]


def test_never_is_said_as_never() -> None:
    half = answer(breakeven_p95_tokens_per_day=None, no_breakeven_probability_ratio=0.12)
    assert certainty.breakeven(half) == "120.00 to never million tokens a day (5 to 95%, none at all in 12.0%)"
    assert certainty.breakeven(answer(breakeven_p05_tokens_per_day=None)) == "at no volume in 95% of resamples"
    not_soon = answer(p50_crosses_on_date=None, p95_crosses_on_date=None, crosses_within_30_days_probability_ratio=0.0)
    assert certainty.crossing(not_soon) == (
        "demand crosses to own GPUs not within 180 days, nor do its 5% and 95% paths"
    )


def test_what_is_not_known_says_why() -> None:
    unknown = answer(status="unknown", reason="13 settled days: two blocks of 7 are the least")
    assert certainty.lines(unknown, "USD") == ["no interval: 13 settled days: two blocks of 7 are the least"]
    frozen = answer(forecast_status="frozen", forecast_reason="Frozen, no demand ratio.")
    assert certainty.crossing(frozen) == "no crossing is forecast: Frozen, no demand ratio."
    short = answer(crosses_within_30_days_probability_ratio=None, forecast_reason="too short")
    assert certainty.crossing(short).endswith("on 20 Dec 2026, by its level and trend alone: too short")


def test_a_watch_is_a_line_and_no_watch_is_none() -> None:
    line = certainty.watch(answer())
    assert line is not None
    assert line.startswith("WATCH chat: demand crosses towards own GPUs on 20 Dec 2026")
    assert certainty.watch(answer(is_watch=False)) is None
    assert certainty.watch(answer(is_watch=None)) is None


def test_exchange_rates_and_overheads_are_told_where_they_turn_the_count() -> None:
    assert certainty.exchange_rates(answer()) is None
    euros = answer(foreign_currencies="EUR", best_at_fx_less_replica_count=2)
    assert certainty.exchange_rates(euros) == "EUR 5% less: 2 replicas; 5% more: 1"
    assert certainty.exchange_rates(answer(foreign_currencies="EUR")) == "EUR 5% less or more: 1 replica either way"
    assert certainty.overheads(answer(), "USD") == (
        "$600.00 a month declared; the API alone is as cheap at $900.00; at none, 2 replicas would be best"
    )
    assert "would not pay without any" in certainty.overheads(answer(breakeven_overheads_rc_per_month=-3.0), "USD")


def test_the_report_shows_how_sure_a_verdict_is_beside_it(tmp_path) -> None:
    filled = changed(fct_verdict_intervals_daily=[interval()], fct_demand_forecasts_daily=[forecast()])
    told = facts(page(tmp_path, filled), "chat")
    assert told["First break-even, 5 to 95%"].startswith("120.00 to 137.50 million tokens a day")
    assert told["How sure"] == "1,000 resamples of 28 days in blocks of seven"
    assert told["Crossing"].startswith("demand crosses towards own GPUs on 20 Dec 2026")
    without = facts(page(tmp_path / "without", changed()), "chat")
    assert "Crossing" not in without


def test_a_pin_has_a_cost_and_no_advice() -> None:
    pinned = interval(
        pinned_to="api", is_sure=None, pin_cost_rc_per_month=250.0, pin_cost_p05_rc_per_month=-10.0,
        pin_cost_p95_rc_per_month=400.0, pin_cost_probability_ratio=0.93,
    )  # fmt: skip
    said = "the pin to the API costs $250.00 a month (−$10.00 to $400.00), more than nothing in 93.0%"
    assert certainty.advice(pinned, "USD") == said
    unknown = certainty.advice({**pinned, "pinned_to": "self_host", "pin_cost_rc_per_month": None}, "USD")
    assert unknown == "pinned to own GPUs: what that costs is not known"


def test_what_a_move_costs_once_is_told_with_when_it_is_paid_back() -> None:
    moved = interval(
        migration_one_off_rc=Decimal(900), migration_payback_months=6, pays_back_probability_ratio=0.85,
        saving_p20_rc_per_month=200.0,
    )  # fmt: skip
    end = "; $900.00 spent once is paid back within 6 months in 85.0%, after 4.5 months at its 20%"
    assert certainty.advice(moved, "USD").endswith(end)
    never = certainty.advice({**moved, "saving_p20_rc_per_month": 0.0}, "USD")
    assert never.endswith("in 85.0%, never at its 20%")


def test_what_is_declared_of_quality_has_a_line_of_its_own() -> None:
    told = answer(
        movable_share_ratio=Decimal("0.6"), tokens_per_api_token=Decimal("1.2"), quality_status="decided",
        quality_recommendation="stay", quality_best_replica_count=0, quality_breakeven_tokens_per_day=150e6,
        quality_saving_rc_per_month=Decimal(0),
    )  # fmt: skip
    assert certainty.lines(told, "USD")[2] == (
        "with 60.0% of it moving and 1.2 own tokens for one of the API, as declared: stay; first break-even 150.00 "
        "million tokens a day, 0 replicas best, which saves $0.00 a month"
    )
    unknown = {**told, "quality_best_replica_count": None, "quality_reason": "it is served by own GPUs"}
    assert certainty.quality(unknown, "USD") == (
        "with 60.0% of it moving and 1.2 own tokens for one of the API, as declared: it is served by own GPUs"
    )
