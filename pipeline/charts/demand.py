"""Demand of a month, day by day, against the break-even volumes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from pipeline.charts.palette import DEMAND_COLOUR, FIRST_BREAKEVEN_COLOUR, STABLE_BREAKEVEN_COLOUR
from pipeline.charts.words import PLAIN

if TYPE_CHECKING:
    import altair


@dataclass(frozen=True)
class DemandDay:
    """One day of a workload: mean tokens a day of its trailing window and the break-even volumes. None is unknown."""

    usage_date: date
    demand_tokens: float | None
    breakeven_first_tokens: float | None
    breakeven_stable_tokens: float | None


def demand_chart(days: Sequence[DemandDay], *, first_day: date, days_count: int) -> "altair.LayerChart":
    """Demand of each day of a month against the break-even volumes, in millions of tokens a day. A gap stays a gap."""
    import altair

    demand = _runs([(day, day.demand_tokens) for day in days], first_day)
    first = _runs([(day, day.breakeven_first_tokens) for day in days], first_day)
    stable = _runs([(day, day.breakeven_stable_tokens) for day in days], first_day)
    across = altair.X(
        "day:Q",
        scale=altair.Scale(domain=[1, days_count], nice=False),
        axis=altair.Axis(
            title=f"day of {first_day.year}-{first_day.month:02d}, UTC",
            values=[1, 5, 10, 15, 20, 25, days_count],
            format="d",
            grid=False,
        ),
    )
    up = altair.Y(
        "millions:Q",
        scale=altair.Scale(zero=True, nice=4),
        axis=altair.Axis(title="million tokens a day", tickCount=4, format=PLAIN),
    )

    def line(values: list[dict[str, Any]], colour: str, dash: list[int], width: float) -> altair.Chart:
        drawn: altair.Chart = (
            altair.Chart(altair.InlineData(values=values), width=360, height=150)
            .mark_line(color=colour, strokeDash=dash, strokeWidth=width, strokeCap="butt")
            .encode(x=across, y=up, detail="run:N")
        )
        return drawn

    alone = [value for value in demand if value["is_alone"]]
    dots = (
        altair.Chart(altair.InlineData(values=alone), width=360, height=150)
        .mark_point(color=DEMAND_COLOUR, fill=DEMAND_COLOUR, size=20)
        .encode(x=across, y=up)
    )
    layers = [
        line(stable, STABLE_BREAKEVEN_COLOUR, [2, 3], 1.6),
        line(first, FIRST_BREAKEVEN_COLOUR, [6, 4], 1.6),
        line(demand, DEMAND_COLOUR, [1, 0], 2.4),
        dots,
    ]
    return altair.LayerChart(layer=layers)


def _runs(days: Sequence[tuple[DemandDay, float | None]], first_day: date) -> list[dict[str, Any]]:
    """Points of a line that breaks where a day is missing or unknown."""
    points: list[dict[str, Any]] = []
    run, before = 0, None
    for day, value in days:
        if value is None:
            continue
        if before is not None and (day.usage_date - before).days != 1:
            run += 1
        before = day.usage_date
        points.append({"day": (day.usage_date - first_day).days + 1, "millions": value / 1e6, "run": run})
    lengths = [point["run"] for point in points]
    return [{**point, "is_alone": lengths.count(point["run"]) == 1} for point in points]
