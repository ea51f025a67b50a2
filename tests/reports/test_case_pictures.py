"""Pictures of waste and of budgets say the sums of their rows, and draw no day of which nothing is known."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.charts import BudgetBars
from pipeline.reports.case_pictures import budget_picture, waste_picture

SINCE = date(2026, 10, 1)
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
