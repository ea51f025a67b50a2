"""What is drawn of a case, whichever it is."""

from typing import TYPE_CHECKING

from pipeline.charts.load import LoadCurve, load_chart
from pipeline.charts.money import BudgetBars, MoneyByDay, budget_chart, money_by_day_chart
from pipeline.charts.stairs import Stairs, stairs_chart

if TYPE_CHECKING:
    import altair


Drawable = LoadCurve | Stairs | MoneyByDay | BudgetBars


def curve_chart(drawn: Drawable) -> "altair.LayerChart":
    """The chart of what is to be drawn."""
    if isinstance(drawn, MoneyByDay):
        return money_by_day_chart(drawn)
    if isinstance(drawn, BudgetBars):
        return budget_chart(drawn)
    return load_chart(drawn) if isinstance(drawn, LoadCurve) else stairs_chart(drawn)
