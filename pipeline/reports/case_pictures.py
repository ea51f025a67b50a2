"""What a message about money is shown with: waste day by day, a budget beside what its month comes to, unusual days
beside what days like them cost, a prepaid balance as it fell.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from pipeline.charts import palette
from pipeline.charts.money import BudgetBars, DayMoney, MoneyByDay
from pipeline.formats.currency import money
from pipeline.reports import figures
from pipeline.reports.budgets import budget_name
from pipeline.reports.curves import Drawing

Row = Mapping[str, Any]


def waste_picture(rows: Sequence[Row], *, since: date, until: date, name: str, currency: str) -> Drawing | None:
    """`rows`: those of alert_waste.sql of one deployment; the days from `since` to `until`, both included. None where
    nothing is known of them.
    """
    of_day = {row["usage_date"]: row for row in rows if since <= row["usage_date"] <= until}
    if not of_day:
        return None
    days = []
    for day in _days(since, until):
        bill, waste = (_amount(of_day.get(day), column) for column in ("bill_cost_rc", "waste_cost_rc"))
        days.append(DayMoney(usage_date=day, cost=bill, of_which=min(waste or 0.0, bill or 0.0)))
    bill_sum, waste_sum = (
        sum(row[column] for row in of_day.values() if row[column] is not None)
        for column in ("bill_cost_rc", "waste_cost_rc")
    )
    says = (
        f"Of {money(bill_sum, currency)} that its GPUs cost on {figures.counted(len(of_day), 'settled day')}, "
        f"{money(waste_sum, currency)} bought nothing. A day without a bar is not settled."
    )
    return Drawing(
        name="waste",
        title=f"{figures.name(name)}: what its GPUs cost, and what of it bought nothing",
        says=says,
        legend=(("needed", palette.SERVED_COLOUR), ("bought nothing", palette.OVERFLOW_COLOUR)),
        drawn=MoneyByDay(days=days, currency=currency),
    )


def budget_picture(row: Row, *, currency: str) -> Drawing:
    """`row`: of fct_budgets_monthly, with a budget that is known in the reporting currency."""
    spent = row["settled_cost_rc"] if row["settled_cost_rc"] is not None else row["settled_known_cost_rc"]
    forecast, budget = row["forecast_cost_rc"], row["budget_cost_rc"]
    whose = budget_name(row)
    comes_to = "is unknown" if forecast is None else f"comes to {money(forecast, currency)}"
    at_least = "" if row["settled_cost_rc"] is not None else "at least "
    says = (
        f"{at_least}{money(spent, currency)} are spent on {row['settled_days_count']} settled days of "
        f"{row['month_days_count']}; the month {comes_to}, its budget is {money(budget, currency)}."
    )
    return Drawing(
        name="budget",
        title=f"{whose}, {row['month_from_date']:%Y-%m}: budget and spend",
        says=f"{says[:1].upper()}{says[1:]}",
        legend=(),
        drawn=BudgetBars(
            spent=float(spent),
            forecast=None if forecast is None else float(forecast),
            budget=float(budget),
            currency=currency,
        ),
    )


def anomaly_picture(rows: Sequence[Row], *, since: date, until: date, currency: str) -> Drawing | None:
    """`rows`: those of anomalies.sql of one subject; the days from `since` to `until`, both included. None where none
    of them is unusual.
    """
    costs: dict[date, Decimal] = {}
    expected: dict[date, Decimal] = {}
    for row in rows:
        if row["is_unusual"] and since <= row["usage_date"] <= until:
            day = row["usage_date"]
            costs[day] = costs.get(day, Decimal(0)) + row["cost_rc"]
            expected[day] = expected.get(day, Decimal(0)) + row["expected_cost_rc"]
    if not costs:
        return None
    days = [
        DayMoney(
            usage_date=day,
            cost=float(costs[day]) if day in costs else None,
            expected=float(expected[day]) if day in costs else None,
            is_marked=day in costs,
        )
        for day in _days(since, until)
    ]
    says = (
        f"{figures.counted(len(costs), 'unusual day')} cost {money(sum(costs.values()), currency)}, where "
        f"{money(sum(expected.values()), currency)} were expected. A day without a bar was as usual, or is not settled."
    )
    return Drawing(
        name="anomaly",
        title=f"{_whose(rows[-1])}: unusual days",
        says=f"{says[:1].upper()}{says[1:]}",
        legend=(("what an unusual day cost; the tick: what was expected", palette.MORE_COLOUR),),
        drawn=MoneyByDay(days=days, currency=currency),
    )


def runway_picture(rows: Sequence[Row], *, since: date, until: date) -> Drawing | None:
    """`rows`: those of alert_prepaid.sql of one account and currency; the days from `since` to `until`, both included.
    None where no balance of them is known.
    """
    of_day = {row["usage_date"]: row for row in rows if since <= row["usage_date"] <= until}
    if not of_day:
        return None
    last = of_day[max(of_day)]
    currency = last["billing_currency"]
    days = [
        DayMoney(usage_date=day, cost=_amount(of_day.get(day), "closing_balance_cost")) for day in _days(since, until)
    ]
    return Drawing(
        name="runway",
        title=f"{figures.name(last['account'])}: what is left of what was paid in advance",
        says=f"{money(last['closing_balance_cost'], currency)} were left after {last['usage_date']} UTC. "
        "The balance of a day without a bar is not known.",
        legend=(),
        drawn=MoneyByDay(days=days, currency=currency, measure="left"),
    )


def _days(since: date, until: date) -> list[date]:
    """From the first to the last, both included."""
    return [since + timedelta(days=number) for number in range((until - since).days + 1)]


def _whose(row: Row) -> str:
    """The subject of an unusual day: of a key its name, else that of its workspace or account."""
    if row["lane"] == "all":
        return "All costs"
    if row["lane"] == "gpu":
        return f"GPUs of {figures.name(row['deployment_id'])}" if row["deployment_id"] else "GPUs of no deployment"
    if row["lane"] == "cloud_model":
        return f"models that {figures.name(row['account'])} hosts"
    return figures.name(row["api_key_id"] or row["sub_account_id"] or row["account"])


def _amount(row: Row | None, column: str) -> float | None:
    return None if row is None or row[column] is None else float(row[column])
