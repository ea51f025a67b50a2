"""What made a sum of money more or less, cause by cause."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.charts.palette import CHANGE_COLOUR, LESS_COLOUR, MORE_COLOUR, QUIET
from pipeline.charts.words import PLAIN, xml_text

if TYPE_CHECKING:
    import altair


@dataclass(frozen=True)
class ChangeStep:
    """What one cause made a sum of money more or less."""

    label: str
    change: float


def changes_chart(steps: Sequence[ChangeStep], *, currency: str) -> "altair.LayerChart":
    """Causes of a change one after the other, each beginning where the one before it ends, and the change itself."""
    import altair

    rows: list[dict[str, Any]] = []
    reached = 0.0
    for step in steps:
        ends = reached + step.change
        rows.append(_change_bar(step.label, reached, ends, MORE_COLOUR if step.change > 0 else LESS_COLOUR))
        reached = ends
    rows.append(_change_bar("Change", 0.0, reached, CHANGE_COLOUR))
    least = min(min(row["low"] for row in rows), 0.0)
    most = max(max(row["high"] for row in rows), 0.0)
    # Room for the figures at either end, which are drawn beside their bars.
    room = 0.22 * ((most - least) or 1.0)
    base = altair.Chart(altair.InlineData(values=rows), width=360, height=24 * len(rows))
    places = altair.Y(
        "cause:N",
        sort=None,
        scale=altair.Scale(domain=[row["cause"] for row in rows], paddingInner=0.25, paddingOuter=0.15),
        axis=altair.Axis(title=None, labelLimit=190, ticks=False, domain=False, labelPadding=8),
    )
    across = altair.X(
        "low:Q",
        scale=altair.Scale(domain=[least - room, most + room], nice=False),
        axis=altair.Axis(title=f"{currency} more or less", tickCount=5, format=PLAIN),
    )
    zero = altair.Chart(altair.InlineData(values=[{"low": 0}])).mark_rule(color=QUIET).encode(x="low:Q")
    bars = base.mark_bar().encode(
        x=across, x2="high:Q", y=places, color=altair.Color("colour:N", scale=None, legend=None)
    )
    figures = [
        base.transform_filter(f"datum.align == '{align}'")
        .mark_text(fontSize=11, align=align, dx=4 if align == "left" else -4, color=QUIET)
        .encode(x=altair.X("at:Q"), y=places, text="text:N")
        for align in ("left", "right")
    ]
    return altair.LayerChart(layer=[bars, zero, *figures])


def _change_bar(cause: str, begins: float, ends: float, colour: str) -> dict[str, Any]:
    """Its figure stands where the bar points to."""
    change = ends - begins
    sign = "+" if change > 0 else "−" if change < 0 else ""
    figure = "<1" if 0 < abs(change) < 1 else f"{abs(change):,.0f}"
    return {
        "cause": xml_text(cause), "low": min(begins, ends), "high": max(begins, ends), "colour": colour,
        "at": ends, "align": "left" if change >= 0 else "right", "text": f"{sign}{figure}",
    }  # fmt: skip
