"""Verdicts where something is not in the reporting currency: converted day by day, or left open with the reason."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
import pytest

from pipeline.decisions import verdicts, window
from pipeline.decisions.api_prices import price_list

Row = Mapping[str, Any]
LAST = date(2026, 11, 10)
DAYS = [LAST - timedelta(days=back) for back in reversed(range(window.WINDOW_DAYS))]
ALWAYS = {"valid_from_date": None, "valid_to_date": None}
# A rate is units of the reporting currency over units of the other, both in 10^-8 per euro; each day another.
UNIT = 10**8


def rates(*, without: Iterable[tuple[str, date]] = (), reporting: str = "USD") -> list[Row]:
    lacking = set(without)
    said = [
        (currency, day, (divisor + number * 10**5) if currency != reporting else UNIT)
        for number, day in enumerate(DAYS)
        for currency, divisor in (("USD", UNIT), ("EUR", 90_000_000), ("CHF", 97_000_000))
    ]
    return [
        {
            "usage_date": day,
            "currency": currency,
            "reporting_currency": reporting,
            "multiplier": UNIT,
            "divisor": divisor,
        }
        for currency, day, divisor in said
        if (currency, day) not in lacking
    ]


def rate_of(currency: str, day: date) -> Fraction:
    [row] = [row for row in rates() if (row["currency"], row["usage_date"]) == (currency, day)]
    return Fraction(row["multiplier"], row["divisor"])


def api_cost(day: date, *, unconverted: str | None = None) -> Row:
    return {
        "usage_date": day,
        "workload": "chat",
        "provider": "anthropic",
        "account": "main",
        "model": "claude-opus-4-8",
        "token_class": "output",
        "price_mode": "standard",
        "context_window": "0-200k",
        "inference_geo": None,
        "unconverted_currency": unconverted,
        "is_of_a_period": False,
        "tokens": 1_000_000,
        "billed_cost_rc": Decimal("15") if unconverted is None else None,
    }


def gpu_cost(day: date, *, unconverted: str | None = None) -> Row:
    return {
        "usage_date": day,
        "deployment_id": "llama",
        "cost_measure": "billed",
        "unconverted_currency": unconverted,
        "gpu_milliseconds": 86_400_000,
        "realized_cost_rc": Decimal("48") if unconverted is None else None,
    }


# A deployment that says nothing of its hardware.
UNSTATED: Row = {
    **dict.fromkeys(
        (
            "gpu_type", "parameters_billions", "active_parameters_billions", "kv_bytes_per_token", "context_tokens",
            "requests_at_once_count",
        )
    ),
    "bytes_per_parameter": Decimal(2),
    "tokens_per_step": Decimal(1),
}  # fmt: skip


def inputs_with(**tables: Sequence[Row]) -> dict[str, Any]:
    """As the node makes them ready."""
    return as_prepared(tables_with(**tables))


def tables_with(**tables: Sequence[Row]) -> dict[str, Sequence[Row]]:
    """The inputs of a workload whose traffic is all on the API, on 28 settled days, but for the tables given."""
    return {
        "config_deployments": [
            {
                "deployment_id": "llama",
                "gpus_per_replica": 1,
                "minimum_replicas": 1,
                "spare_replicas": 0,
                "tokens_per_second": None,
                "prefill_tokens_per_second": Decimal(1000),
                "cached_tokens_per_second": None,
                "decode_tokens_per_second": Decimal(100),
                "peak_allowance": Decimal("0.85"),
                "measured_on": date(2026, 9, 1),
                "capacity_source": "own load test",
                **UNSTATED,
                **ALWAYS,
            }
        ],
        "config_candidates": [],
        "config_contracts": [],
        "config_overheads": [],
        "config_workloads": [
            {
                "workload": "chat",
                "team": None,
                "deployment_id": "llama",
                "api_model": "claude-opus-4-8",
                "comparator_model": None,
                "pinned_to": None,
                "pin_reason": None,
                **ALWAYS,
            }
        ],
        "fct_api_costs_daily": [api_cost(day) for day in DAYS],
        "fct_day_status_daily": [{"usage_date": day, "status": "settled", "blocked_count": 0} for day in DAYS],
        "fct_demand_daily": [
            {
                "usage_date": day,
                "workload": "chat",
                "lane": "api",
                "token_class": "output",
                "tokens": 1_000_000,
                "evidence": "hourly",
            }
            for day in DAYS
        ],
        "fct_demand_hourly": [
            {
                "usage_date": day,
                "usage_hour_at": datetime(day.year, day.month, day.day, 12),  # noqa: DTZ001 - marts hold UTC
                "workload": "chat",
                "token_class": "output",
                "tokens": 1_000_000,
            }
            for day in DAYS
        ],
        "fct_gpu_costs_daily": [gpu_cost(day) for day in DAYS],
        "fct_peak_allowances_daily": [],
        "int_fx_rates_daily": rates(),
        "gpu_types": [],
        "int_self_host_tokens_hourly": [],
        "api_prices": [],
        **tables,
    }


def as_prepared(given: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """What the node makes of its inputs before it is asked."""
    inputs: dict[str, Any] = {"this_partition": pl.DataFrame({"from_date": [LAST]})}
    for name, rows in given.items():
        prepare = window.PREPARE[name]
        if name not in window.LOOKBACK:
            inputs[name] = price_list(rows) if name == "api_prices" else list(rows)
            continue
        by_day = {day: [row for row in rows if row["usage_date"] == day] for day in DAYS}
        inputs[name] = {day: prepare(pl.DataFrame(found)) for day, found in by_day.items() if found}
    return inputs


def verdict(**tables: Sequence[Row]) -> dict[str, Any]:
    """The verdict of the last day of 28 settled ones on a workload whose traffic is all on the API."""
    [row] = verdicts.build(inputs_with(**tables)).to_dicts()
    return row


def overhead(currency: str, monthly: str = "310") -> Row:
    return {"monthly_cost": Decimal(monthly), "currency": currency, "deployment_id": None, **ALWAYS}


def listed(currency: str, cost_per_mtok: str = "25") -> Row:
    return {
        "provider": "anthropic",
        "account": None,
        "model": "claude-opus-4-8",
        "mode": "standard",
        "context_window": "0-200k",
        "region": None,
        "token_class": "output",
        "list_cost_per_mtok": Decimal(cost_per_mtok),
        "cost_per_mtok": Decimal(cost_per_mtok),
        "price_basis": "list",
        "price_source": "the book",
        "currency": currency,
        **ALWAYS,
    }


def unbilled() -> list[Row]:
    """Metered, and on no bill of this workload's."""
    return [{**api_cost(day), "billed_cost_rc": None} for day in DAYS]


def test_overheads_are_converted_at_the_rate_of_each_of_their_days() -> None:
    """B6, B23: October's days at October's rates."""
    found = verdict(config_overheads=[overhead("EUR"), overhead("USD", "30")])
    expected = sum((Fraction(310) * rate_of("EUR", day) + 30) / (31 if day.month == 10 else 30) for day in DAYS)
    assert found["status"] == "decided"
    assert abs(Fraction(found["fixed_cost_rc"]) - expected) <= Fraction(1, 10**18)


def test_list_prices_are_converted_at_the_rate_of_the_verdicts_day() -> None:
    """B6, B23"""
    found = verdict(fct_api_costs_daily=unbilled(), api_prices=[listed("EUR")])
    assert found["api_price_basis"] == "list"
    expected = Fraction(25) * rate_of("EUR", LAST)
    assert abs(Fraction(found["api_price_rc_per_mtok"]) - expected) <= Fraction(1, 10**18)


@pytest.mark.parametrize(
    ("days", "when"),
    [
        (DAYS[-3:], f"since {DAYS[-3]}"),
        (DAYS[4:5], f"on {DAYS[4]}"),
        (DAYS[4:7], f"on 3 days from {DAYS[4]}"),
        (DAYS, f"since {DAYS[0]}"),
    ],
)
def test_overheads_without_a_rate_leave_the_verdict_open(days: list[date], when: str) -> None:
    """B4, B23: not left out, not one for one; a day without one is enough."""
    gone = [("EUR", day) for day in days]
    found = verdict(config_overheads=[overhead("EUR")], int_fx_rates_daily=rates(without=gone))
    assert (found["status"], found["fixed_cost_rc"], found["recommendation"]) == ("prices_only", None, None)
    assert found["reason"] == f"overheads are not converted: no rate from EUR to USD {when}"
    untouched = verdict(config_overheads=[overhead("CHF")], int_fx_rates_daily=rates(without=gone))
    assert untouched["status"] == "decided"


def test_a_bill_without_a_rate_is_not_replaced_by_a_list_price() -> None:
    """B4, B23: nor is the price made of the part that is converted."""
    costs = [*(api_cost(day) for day in DAYS[:-2]), *(api_cost(day, unconverted="CHF") for day in DAYS[-2:])]
    gone = rates(without=[("CHF", day) for day in DAYS[-2:]])
    found = verdict(fct_api_costs_daily=costs, api_prices=[listed("USD")], int_fx_rates_daily=gone)
    assert (found["status"], found["api_price_rc_per_mtok"]) == ("prices_only", None)
    assert found["reason"] == f"its API bill is not converted: no rate from CHF to USD since {DAYS[-2]}"
    assert found["current_lane"] == "api"


def test_gpu_money_without_a_rate_leaves_the_rate_of_an_hour_open() -> None:
    """B4, B23"""
    costs = [*(gpu_cost(day) for day in DAYS[:-1]), gpu_cost(LAST, unconverted="EUR")]
    gone = rates(without=[("EUR", LAST)])
    found = verdict(fct_gpu_costs_daily=costs, int_fx_rates_daily=gone)
    assert (found["status"], found["gpu_hour_rate_rc"]) == ("prices_only", None)
    assert found["reason"] == f"the GPU cost of llama is not converted: no rate from EUR to USD since {LAST}"
    unpriced = [*(gpu_cost(day) for day in DAYS[:-1]), {**gpu_cost(LAST), "realized_cost_rc": None}]
    assert verdict(fct_gpu_costs_daily=unpriced)["reason"] == "part of the GPU cost of llama is unpriced"


def test_list_prices_without_a_rate_are_no_prices() -> None:
    """B4, B23: yesterday's rate is not today's."""
    gone = rates(without=[("EUR", LAST)])
    found = verdict(fct_api_costs_daily=unbilled(), api_prices=[listed("EUR")], int_fx_rates_daily=gone)
    assert (found["status"], found["api_price_rc_per_mtok"]) == ("prices_only", None)
    assert found["reason"] == f"list prices are not converted: no rate from EUR to USD since {LAST}"


def test_an_hour_is_put_to_the_replicas_that_were_there_on_its_day() -> None:
    """Five replicas once served four times what the one of today does in an hour: that is no capacity of one."""
    trial = DAYS[3]
    undeclared = {**inputs_with()["config_deployments"][0], "tokens_per_second": None}
    undeclared |= {"prefill_tokens_per_second": None, "decode_tokens_per_second": None, "measured_on": None}
    served = [
        {
            "usage_date": day,
            "usage_hour_at": datetime(day.year, day.month, day.day, 12),  # noqa: DTZ001 - marts hold UTC
            "deployment_id": "llama",
            "workload": "chat",
            "tokens": 4_000_000 if day == trial else 1_000_000,
        }
        for day in DAYS
    ]
    paid = [gpu_cost(day) | ({"gpu_milliseconds": 5 * 86_400_000} if day == trial else {}) for day in DAYS]
    row = verdict(config_deployments=[undeclared], int_self_host_tokens_hourly=served, fct_gpu_costs_daily=paid)
    assert (row["capacity_basis"], row["capacity_tokens_per_replica_hour"]) == ("at_least", 1_000_000)


def test_what_is_in_the_reporting_currency_needs_no_rate() -> None:
    with_rates = verdict(config_overheads=[overhead("USD")])
    own_alone = [row for row in rates() if row["currency"] == "USD"]
    assert verdict(config_overheads=[overhead("USD")], int_fx_rates_daily=own_alone) == with_rates
