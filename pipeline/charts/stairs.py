"""What each lane costs over volume: stairs of replicas, the line of the API."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.charts.palette import API_COLOUR, PAPER, SELF_HOST_COLOUR, STABLE_BREAKEVEN_COLOUR
from pipeline.charts.rules import upright
from pipeline.charts.words import PLAIN

if TYPE_CHECKING:
    import altair


@dataclass(frozen=True)
class Stair:
    """One linear piece of what self-hosting costs over a horizon: two volumes, in tokens a day, and their costs."""

    from_tokens: float
    to_tokens: float
    from_cost: float
    to_cost: float


@dataclass(frozen=True)
class Stairs:
    """Cost over volume: of self-hosting in stairs, of the API as points of a line; crossings and where demand is."""

    stairs: Sequence[Stair]
    api: Sequence[tuple[float, float]]
    crossings: Sequence[tuple[float, float]]
    demand_tokens: float | None
    currency: str


def stairs_chart(found: Stairs) -> "altair.LayerChart":
    """What each lane costs at each volume; where they cross; where demand is."""
    import altair

    most = max([0.0, *(stair.to_tokens for stair in found.stairs)]) / 1e6
    across = altair.X(
        "millions:Q",
        scale=altair.Scale(domain=[0, most], nice=False),
        axis=altair.Axis(title="million tokens a day", tickCount=6, format=PLAIN, grid=False),
    )
    up = altair.Y(
        "cost:Q",
        scale=altair.Scale(zero=True, nice=4),
        axis=altair.Axis(title=f"{found.currency} over the window", tickCount=4, format=PLAIN),
    )

    def drawn(values: list[dict[str, Any]]) -> altair.Chart:
        return altair.Chart(altair.InlineData(values=values), width=360, height=150)

    steps = [
        {"millions": tokens / 1e6, "cost": cost, "order": 2 * number + end}
        for number, stair in enumerate(found.stairs)
        for end, (tokens, cost) in enumerate(((stair.from_tokens, stair.from_cost), (stair.to_tokens, stair.to_cost)))
    ]
    api = [{"millions": tokens / 1e6, "cost": cost, "order": place} for place, (tokens, cost) in enumerate(found.api)]
    marks = [{"millions": tokens / 1e6, "cost": cost} for tokens, cost in found.crossings]
    layers: list[Any] = [
        drawn(api)
        .mark_line(color=API_COLOUR, strokeWidth=2.2, strokeDash=[6, 4])
        .encode(x=across, y=up, order="order:Q"),
        drawn(steps).mark_line(color=SELF_HOST_COLOUR, strokeWidth=2.2).encode(x=across, y=up, order="order:Q"),
        drawn(marks)
        .mark_point(color=PAPER, fill=STABLE_BREAKEVEN_COLOUR, size=70, strokeWidth=1.5, opacity=1)
        .encode(x=across, y=up),
    ]
    if found.demand_tokens is not None and found.demand_tokens / 1e6 <= most:
        layers.append(upright(found.demand_tokens / 1e6, "millions", "demand", of=most))
    return altair.LayerChart(layer=layers)
