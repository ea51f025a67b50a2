"""Budgets in words, for the terminal and the report: one row a budget, and how its forecast was made."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from pipeline.reports import figures

STATUSES: Mapping[str, str] = {"within": "within", "at_risk": "at risk", "over": "over", "unknown": "unknown"}
# The first and the last hold words, and the one of days two counts; all others money of the reporting currency.
COLUMNS = (
    "Budget", "A month", "Spent, settled", "Of which accrued", "Provisional beside it", "Days settled",
    "Forecast of the month", "Status",
)  # fmt: skip
MONEY_COLUMNS = frozenset(COLUMNS) - {"Budget", "Days settled", "Status"}
_SPENT = "billed, else effective or accrued"
# What the money of a column is, where its head does not say so.
MEASURES: Mapping[str, str] = {
    "A month": "budget",
    "Spent, settled": f"{_SPENT}; settled",
    "Provisional beside it": f"{_SPENT}; provisional",
    "Forecast of the month": "forecast",
}


def budget_name(row: Mapping[str, Any]) -> str:
    """`organisation`, or `cost centre 4711`."""
    kind = str(row["scope"]).replace("_", " ")
    return kind if row["scope_name"] is None else f"{kind} {figures.visible(row['scope_name'])}"


def budget_cells(row: Mapping[str, Any], *, currency: str, money: Callable[[Decimal | None], str]) -> tuple[str, ...]:
    """In the order of COLUMNS. `currency`: the reporting one, in which `money` writes an amount.

    A sum of which a charge has no amount is at least what is known of it.
    """
    own = (
        "" if row["budget_currency"] == currency else f", {figures.priced(row['budget_cost'], row['budget_currency'])}"
    )
    spent = money(row["settled_cost_rc"])
    if row["settled_cost_rc"] is None and row["settled_known_cost_rc"] is not None:
        spent = f"at least {money(row['settled_known_cost_rc'])}"
    return (
        budget_name(row) + own,
        money(row["budget_cost_rc"]),
        spent,
        money(row["of_which_accrued_cost_rc"]),
        money(row["provisional_cost_rc"]),
        f"{row['settled_days_count']} of {row['month_days_count']}",
        money(row["forecast_cost_rc"]),
        STATUSES[row["status"]],
    )


def how_forecast(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """How the forecasts were made, or why there is none: each reason once, with the budgets that it is of."""
    by_reason: dict[str, list[str]] = {}
    for row in rows:
        by_reason.setdefault(row["reason"], []).append(budget_name(row))
    if len(by_reason) == 1:
        return [f"Forecast: {reason}." for reason in by_reason]
    return [f"Forecast of {', '.join(names)}: {reason}." for reason, names in by_reason.items()]
