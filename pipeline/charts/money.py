"""Money by day, and a month's budget beside what is spent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from pipeline.charts.palette import INK, MORE_COLOUR, OVERFLOW_COLOUR, SERVED_COLOUR
from pipeline.charts.rules import upright
from pipeline.charts.words import PLAIN

if TYPE_CHECKING:
    import altair


@dataclass(frozen=True)
class DayMoney:
    """One day's money; None is unknown. of_which: the part that is told apart, at the foot of its bar. expected: what
    days like it came to. is_marked: the day that is spoken of.
    """

    usage_date: date
    cost: float | None
    of_which: float = 0.0
    expected: float | None = None
    is_marked: bool = False


@dataclass(frozen=True)
class MoneyByDay:
    """Days in order, each once. measure: what a day's amount is, after its currency."""

    days: Sequence[DayMoney]
    currency: str
    measure: str = "a day"


@dataclass(frozen=True)
class BudgetBars:
    """A month's budget beside what is spent of it and what it comes to; None is unknown."""

    spent: float
    forecast: float | None
    budget: float
    currency: str


def money_by_day_chart(found: MoneyByDay) -> "altair.LayerChart":
    """A bar a day, its told-apart part at its foot, and a tick where days like it lie. An unknown day has no bar."""
    import altair

    every = [day.usage_date.isoformat() for day in found.days]
    bars: list[dict[str, Any]] = []
    for day in found.days:
        if day.cost is not None:
            name, plain = day.usage_date.isoformat(), MORE_COLOUR if day.is_marked else SERVED_COLOUR
            bars.append({"day": name, "low": day.of_which, "high": day.cost, "colour": plain})
            if day.of_which:
                bars.append({"day": name, "low": 0.0, "high": day.of_which, "colour": OVERFLOW_COLOUR})
    across = altair.X(
        "day:O",
        scale=altair.Scale(domain=every, paddingInner=0.2),
        axis=altair.Axis(title="day, UTC", values=every[::7], labelAngle=0, labelOverlap=True, grid=False),
    )
    up = altair.Y(
        "low:Q",
        scale=altair.Scale(zero=True, nice=4),
        axis=altair.Axis(title=f"{found.currency} {found.measure}", tickCount=4, format=PLAIN),
    )
    expected = [
        {"day": day.usage_date.isoformat(), "low": day.expected} for day in found.days if day.expected is not None
    ]
    drawn = altair.Chart(altair.InlineData(values=bars), width=360, height=150)
    layers: list[Any] = [
        drawn.mark_bar().encode(x=across, y=up, y2="high:Q", color=altair.Color("colour:N", scale=None, legend=None)),
        altair.Chart(altair.InlineData(values=expected), width=360, height=150)
        .mark_tick(color=INK, thickness=2, size=9)
        .encode(x=across, y=up),
    ]
    return altair.LayerChart(layer=layers)


def budget_chart(found: BudgetBars) -> "altair.LayerChart":
    """What is spent, what the month comes to, and the budget as a rule through both."""
    import altair

    known = [
        ("spent, settled days", found.spent, SERVED_COLOUR),
        ("the month comes to", found.forecast, OVERFLOW_COLOUR),
    ]
    bars = [{"line": name, "cost": cost, "colour": colour} for name, cost, colour in known if cost is not None]
    # A budget of 0 of which nothing is spent still has an axis.
    most = 1.08 * max(found.budget, found.spent, found.forecast or 0.0) or 1.0
    across = altair.X(
        "cost:Q",
        scale=altair.Scale(domain=[0, most], nice=False),
        axis=altair.Axis(title=f"{found.currency} of the month", tickCount=5, format=PLAIN),
    )
    drawn = (
        altair.Chart(altair.InlineData(values=bars), width=360, height=32 * len(bars))
        .mark_bar()
        .encode(
            x=across,
            y=altair.Y("line:N", sort=None, axis=altair.Axis(title=None, labelLimit=150, ticks=False, domain=False)),
            color=altair.Color("colour:N", scale=None, legend=None),
        )
    )
    return altair.LayerChart(layer=[drawn, upright(found.budget, "cost", "budget", of=most)])
