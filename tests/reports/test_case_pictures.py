"""Pictures of waste and of budgets say the sums of their rows, and draw no day of which nothing is known."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.charts.money import BudgetBars
from pipeline.reports.case_pictures import anomaly_picture, budget_picture, runway_picture, waste_picture

SINCE = date(2026, 10, 1)
WHOSE = {"lane": "api", "account": "acme", "sub_account_id": "w-1", "api_key_id": "chat", "deployment_id": None}
AMOUNT = st.none() | st.decimals(min_value=0, max_value=1000, places=2)


@given(st.lists(st.none() | st.tuples(AMOUNT, AMOUNT), min_size=1, max_size=28))
def test_a_day_that_is_not_settled_or_not_priced_has_no_bar_and_is_in_no_sum(days):
    rows = [
        {"usage_date": SINCE + timedelta(days=number), "bill_cost_rc": of_day[0], "waste_cost_rc": of_day[1]}
        for number, of_day in enumerate(days)
        if of_day is not None
    ]
    found = waste_picture(rows, since=SINCE, until=SINCE + timedelta(days=len(days) - 1), name="chat", currency="EUR")
    if not rows:
        assert found is None
        return
    drawn = found.drawn.days
    assert [day.usage_date for day in drawn] == [SINCE + timedelta(days=number) for number in range(len(days))]
    expected = [None if of_day is None or of_day[0] is None else float(of_day[0]) for of_day in days]
    assert [day.cost for day in drawn] == expected
    assert all(0 <= day.of_which <= (day.cost or 0) for day in drawn)
    bought_nothing = sum((of_day[1] for of_day in days if of_day and of_day[1] is not None), Decimal(0))
    assert f"{bought_nothing:,.2f} bought nothing." in found.says


@pytest.mark.parametrize(("settled", "forecast"), [(Decimal(700), Decimal(1200)), (None, None)])
def test_a_budget_whose_forecast_is_unknown_has_no_bar_for_it(settled, forecast):
    row = {
        "scope": "team", "scope_name": "search", "settled_cost_rc": settled, "settled_known_cost_rc": Decimal(700),
        "forecast_cost_rc": forecast, "budget_cost_rc": Decimal(1000), "settled_days_count": 17,
        "month_days_count": 31, "month_from_date": SINCE,
    }  # fmt: skip
    found = budget_picture(row, currency="USD")
    assert found.drawn == BudgetBars(
        spent=700.0, forecast=None if forecast is None else 1200.0, budget=1000.0, currency="USD"
    )
    assert found.says.startswith("At least $700.00" if settled is None else "$700.00")
    assert ("is unknown" in found.says) == (forecast is None)
    assert found.png().startswith(b"\x89PNG")


@given(st.lists(st.lists(st.tuples(st.booleans(), AMOUNT, AMOUNT), max_size=3), min_size=1, max_size=28))
def test_an_unusual_day_is_drawn_beside_what_was_expected_and_no_other_is(days):
    rows = [
        {
            **WHOSE,
            "usage_date": SINCE + timedelta(days=number),
            "is_unusual": unusual,
            "cost_rc": cost,
            "expected_cost_rc": usual,
        }
        for number, of_day in enumerate(days)
        for unusual, cost, usual in of_day
        if None not in (cost, usual)
    ]
    until = SINCE + timedelta(days=len(days) - 1)
    found = anomaly_picture(rows, since=SINCE, until=until, currency="USD")
    told = [row for row in rows if row["is_unusual"]]
    if not told:
        assert found is None
        return
    drawn = {day.usage_date: day for day in found.drawn.days}
    assert [*drawn] == [SINCE + timedelta(days=number) for number in range(len(days))]
    for day, one in drawn.items():
        of_day = [row for row in told if row["usage_date"] == day]
        assert one.is_marked == bool(of_day)
        assert one.cost == (float(sum(row["cost_rc"] for row in of_day)) if of_day else None)
        assert one.expected == (float(sum(row["expected_cost_rc"] for row in of_day)) if of_day else None)
    assert f"cost ${sum(row['cost_rc'] for row in told):,.2f}, where" in found.says
    assert found.title == "chat: unusual days"


def test_a_balance_that_is_not_known_has_no_bar_and_the_newest_is_said():
    rows = [
        {**WHOSE, "usage_date": SINCE + timedelta(days=number), "account": "router", "billing_currency": "EUR",
         "closing_balance_cost": Decimal(left)}
        for number, left in ((0, 90), (2, 50), (9, 10))
    ]  # fmt: skip
    found = runway_picture(rows, since=SINCE, until=SINCE + timedelta(days=3))
    assert [day.cost for day in found.drawn.days] == [90.0, None, 50.0, None]
    assert "50.00 were left after 2026-10-03 UTC" in found.says
    assert found.png().startswith(b"\x89PNG")
    assert runway_picture(rows, since=SINCE + timedelta(days=20), until=SINCE + timedelta(days=30)) is None


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**WHOSE, "api_key_id": None}, "w-1"),
        ({**WHOSE, "api_key_id": None, "sub_account_id": None}, "acme"),
        ({**WHOSE, "lane": "gpu", "deployment_id": "chat-llama"}, "GPUs of chat-llama"),
        ({**WHOSE, "lane": "gpu"}, "GPUs of no deployment"),
        ({**WHOSE, "lane": "all"}, "All costs"),
    ],
)
def test_unusual_days_are_those_of_their_key_or_deployment(row, said):
    told = {**row, "usage_date": SINCE, "is_unusual": True, "cost_rc": Decimal(9), "expected_cost_rc": Decimal(3)}
    found = anomaly_picture([told], since=SINCE, until=SINCE, currency="USD")
    assert found.title == f"{said}: unusual days"
