"""A load-duration curve: hours in the order of their load, and where it is cut."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.charts.palette import OVERFLOW_COLOUR, SERVED_COLOUR
from pipeline.charts.rules import level, upright
from pipeline.charts.words import PLAIN

if TYPE_CHECKING:
    import altair


# A chart is 360 units wide.
_MOST_STEPS = 160


@dataclass(frozen=True)
class LoadCurve:
    """A load-duration curve: tokens of each hour, greatest first, and where it is cut.

    capacity_tokens: what the best count of replicas serves in an hour; 0 with none. hours_that_pay: h*, None where
    there is none.
    """

    hourly_tokens: Sequence[float]
    capacity_tokens: float
    hours_that_pay: float | None


def load_chart(curve: LoadCurve) -> "altair.LayerChart":
    """Hours in the order of their load: what replicas serve below their capacity, what the API takes above it."""
    import altair

    hours = len(curve.hourly_tokens)
    below, above = [], []
    for rank, tokens in thinned(curve.hourly_tokens):
        served = min(tokens, curve.capacity_tokens)
        below.append({"hours": rank, "low": 0.0, "high": served / 1e6})
        above.append({"hours": rank, "low": served / 1e6, "high": tokens / 1e6})
    across = altair.X(
        "hours:Q",
        scale=altair.Scale(domain=[0, hours], nice=False),
        axis=altair.Axis(title="hours with at least this load", tickCount=6, format=PLAIN, grid=False),
    )
    up = altair.Y(
        "high:Q",
        scale=altair.Scale(zero=True, nice=4),
        axis=altair.Axis(title="million tokens an hour", tickCount=4, format=PLAIN),
    )

    def area(values: list[dict[str, float]], colour: str) -> altair.Chart:
        drawn: altair.Chart = (
            altair.Chart(altair.InlineData(values=values), width=360, height=150)
            .mark_area(color=colour, interpolate="step-before")
            .encode(x=across, y=up, y2="low:Q")
        )
        return drawn

    layers: list[Any] = [area(below, SERVED_COLOUR), area(above, OVERFLOW_COLOUR)]
    if curve.hours_that_pay is not None and 0 < curve.hours_that_pay <= hours:
        layers.append(upright(curve.hours_that_pay, "hours", f"{curve.hours_that_pay:,.0f} h pay a replica", of=hours))
    if curve.capacity_tokens and curve.capacity_tokens < 1.3 * max(curve.hourly_tokens, default=0.0):
        layers.append(level(curve.capacity_tokens / 1e6))
    return altair.LayerChart(layer=layers)


def thinned(loads: Sequence[float], *, most: int = _MOST_STEPS) -> list[tuple[int, float]]:
    """(hours, load) of the steps that a curve of this width can show: every change up to so many, the last of a stretch
    of hours beyond.
    """
    every = max(1, math.ceil(len(loads) / most))
    ranks = sorted({*range(every, len(loads) + 1, every), *([len(loads)] if loads else []), *([1] if loads else [])})
    return [(0, loads[0]) if loads else (0, 0.0), *((rank, loads[rank - 1]) for rank in ranks)]
