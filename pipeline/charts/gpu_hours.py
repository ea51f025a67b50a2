"""GPU-hours: of each deployment by state, and of a bill line by line."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline.charts.palette import GPU_STATES, PAPER, QUIET, state_colour
from pipeline.charts.words import PLAIN, xml_text

if TYPE_CHECKING:
    import altair


_ON_DARK_FILL = "#fffffd"
_ON_LIGHT_FILL = "#14181f"
_LIGHT_FILLS = {"#e8a33d", "#63b7e6", "#e0d03c", "#a7adb5", "#d3d7dc"}
_SHARE_WORTH_A_LABEL = 0.08


@dataclass(frozen=True)
class StateHours:
    """GPU-hours of one deployment in one state."""

    deployment: str
    state: str
    gpu_hours: float


@dataclass(frozen=True)
class BillLine:
    """GPU-hours of one line of a bill, in its colour. Lines of a bill add up to it, in the order they come in."""

    label: str
    colour: str
    gpu_hours: float


def gpu_states_chart(rows: Sequence[StateHours]) -> "altair.LayerChart":
    """GPU-hours of each deployment, one bar each, split by state. Deployments in the order they come in."""
    import altair

    rows = [replace(row, deployment=xml_text(row.deployment)) for row in rows]
    deployments = list(dict.fromkeys(row.deployment for row in rows))
    bars = [segment for deployment in deployments for segment in _segments(deployment, rows)]
    base = altair.Chart(altair.InlineData(values=bars), width=360, height=34 * max(1, len(deployments)))
    places = altair.Y(
        "deployment:N",
        sort=None,
        scale=altair.Scale(domain=deployments, paddingInner=0.3, paddingOuter=0.15),
        axis=altair.Axis(title=None, labelLimit=150, ticks=False, domain=False, labelPadding=8),
    )
    hours = altair.X("from_hours:Q", axis=altair.Axis(title="GPU-hours", tickCount=5, format=PLAIN))
    drawn = base.mark_bar(stroke=PAPER, strokeWidth=1).encode(
        x=hours, x2="to_hours:Q", y=places, color=altair.Color("colour:N", scale=None, legend=None)
    )
    shares = base.mark_text(fontSize=12).encode(
        x=altair.X("middle_hours:Q"),
        y=places,
        text="share:N",
        color=altair.Color("ink:N", scale=None, legend=None),
    )
    return altair.LayerChart(layer=[drawn, shares])


def waterfall_chart(lines: Sequence[BillLine]) -> "altair.LayerChart":
    """GPU-hours of a bill: each line begins where the one before it ends, and the last one ends at the bill."""
    import altair

    whole = sum(line.gpu_hours for line in lines)
    steps: list[dict[str, Any]] = []
    reached = 0.0
    for line in lines:
        ends = reached + line.gpu_hours
        share = f"{line.gpu_hours / whole:.0%}" if whole else ""
        is_late = ends > whole / 2
        steps.append(
            {"line": xml_text(line.label), "from_hours": reached, "to_hours": ends, "colour": line.colour}
            | {"share": share, "share_at": reached if is_late else ends, "align": "right" if is_late else "left"}
        )
        reached = ends
    base = altair.Chart(altair.InlineData(values=steps), width=360, height=22 * max(1, len(steps)))
    places = altair.Y(
        "line:N",
        sort=None,
        scale=altair.Scale(domain=[step["line"] for step in steps], paddingInner=0.25, paddingOuter=0.15),
        axis=altair.Axis(title=None, labelLimit=170, ticks=False, domain=False, labelPadding=8),
    )
    drawn = base.mark_bar().encode(
        x=altair.X("from_hours:Q", axis=altair.Axis(title="GPU-hours", tickCount=5, format=PLAIN)),
        x2="to_hours:Q",
        y=places,
        color=altair.Color("colour:N", scale=None, legend=None),
    )
    shares = [
        base.transform_filter(f"datum.align == '{align}'")
        .mark_text(fontSize=11, align=align, dx=4 if align == "left" else -4, color=QUIET)
        .encode(x=altair.X("share_at:Q"), y=places, text="share:N")
        for align in ("left", "right")
    ]
    return altair.LayerChart(layer=[drawn, *shares])


def _segments(deployment: str, rows: Sequence[StateHours]) -> list[dict[str, Any]]:
    order = {state: place for place, state in enumerate(GPU_STATES)}
    own = [row for row in rows if row.deployment == deployment and row.gpu_hours > 0]
    own.sort(key=lambda row: (order.get(row.state, len(order)), row.state))
    whole = sum(row.gpu_hours for row in own)
    widest = max(
        (sum(row.gpu_hours for row in rows if row.deployment == name) for name in {row.deployment for row in rows}),
        default=0.0,
    )
    segments, reached = [], 0.0
    for row in own:
        colour = state_colour(row.state)
        is_wide = row.gpu_hours >= _SHARE_WORTH_A_LABEL * widest
        segments.append(
            {
                "deployment": deployment,
                "from_hours": reached,
                "to_hours": reached + row.gpu_hours,
                "middle_hours": reached + row.gpu_hours / 2,
                "colour": colour,
                "ink": _ON_LIGHT_FILL if colour in _LIGHT_FILLS else _ON_DARK_FILL,
                "share": f"{100 * row.gpu_hours / whole:.0f}%" if is_wide else "",
            }
        )
        reached += row.gpu_hours
    return segments
