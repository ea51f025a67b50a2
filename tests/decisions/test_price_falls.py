"""How long replicas pay while API prices fall, worked out by hand and by another route."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.decisions.price_falls import LOOKED_AHEAD_MONTHS, price_fall


def verdict(**changes: Any) -> dict[str, Any]:
    """28 days of a month of 28: 3,000 at the API alone; best is 2 replicas at 900 beside 400 of API, 100 fixed."""
    return {
        "workload": "chat",
        "usage_date": date(2026, 2, 28),
        "window_days_count": 28,
        "best_replica_count": 2,
        "api_only_cost_rc": Decimal(3000),
        "best_cost_rc": Decimal(2300),
        "replica_cost_rc": Decimal(900),
        "fixed_cost_rc": Decimal(100),
        **changes,
    }


def workload(one_off: int | None) -> dict[str, Any]:
    return {"workload": "chat", "migration_one_off_cost": None if one_off is None else Decimal(one_off)}


def test_replicas_pay_until_the_price_has_fallen_to_what_they_cost() -> None:
    """1,900 of own in the place of 2,600 of API; at 50% a year 2,600 x 0.5^(k/12) is below 1,900 from k = 6 on."""
    found = price_fall(verdict(), workload(1000), yearly_fall=Fraction(1, 2))
    assert found is not None
    assert (found.replicas, found.self_host_cost, found.api_cost) == (2, 1900, 2600)
    assert found.saves_months == 6
    # 700 in month 1, 554.1 in month 2: what is spent once is back after 1 + 300/554.1 months.
    assert found.payback.months is not None
    assert round(found.payback.months, 4) == Decimal("1.5414")


def test_what_is_spent_once_may_never_come_back_while_prices_fall() -> None:
    gone = price_fall(verdict(), workload(2500), yearly_fall=Fraction(1, 2))
    assert gone is not None
    assert gone.payback.months is None
    assert gone.payback.explanation.startswith("Never within 60 months: the cumulative saving comes to 2,")
    stays = price_fall(verdict(), workload(2500), yearly_fall=Fraction(0))
    assert stays is not None
    assert stays.saves_months is None
    assert stays.payback.months is not None
    assert round(stays.payback.months, 9) == round(Decimal(2500) / 700, 9)


def test_a_window_is_brought_to_the_verdicts_month() -> None:
    found = price_fall(verdict(usage_date=date(2026, 3, 31)), workload(None), yearly_fall=Fraction(0))
    assert found is not None
    assert (found.self_host_cost, found.api_cost) == (Fraction(1900 * 31, 28), Fraction(2600 * 31, 28))
    assert found.payback.months == 0


@pytest.mark.parametrize("lacking", [{"best_replica_count": 0}, {"best_replica_count": None}, {"best_cost_rc": None}])
def test_without_replicas_there_is_nothing_to_lose(lacking: dict[str, Any]) -> None:
    assert price_fall(verdict(**lacking), workload(None), yearly_fall=Fraction(1, 2)) is None


@given(st.integers(0, 99), st.integers(1901, 10_000))
def test_the_month_is_the_one_that_a_loop_over_months_finds(percent: int, displaced: int) -> None:
    row = verdict(api_only_cost_rc=Decimal(400 + displaced))
    found = price_fall(row, workload(None), yearly_fall=Fraction(percent, 100))
    assert found is not None
    months = [k for k in range(LOOKED_AHEAD_MONTHS) if displaced * (1 - percent / 100) ** (k / 12) - 1900 <= 1e-9]
    assert found.saves_months == min(months, default=None)
