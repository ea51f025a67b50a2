"""Charts as inline SVG: Altair says what, vl-convert draws. Same rows, same bytes, on any machine and in any order.

Nothing is fetched: the drawing's letters are measured with the font that vl-convert brings, and shown in the page's.
Colours are names of this palette; a page that has a dark side maps them by `[fill="#..."]` rules.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    import altair

# Apart for every common colour blindness (after Okabe and Ito 2008), in the order in which a GPU-hour is claimed.
GPU_STATES: Mapping[str, tuple[str, str]] = {
    "serving": ("serving", "#0b5fa5"),
    "loaded_idle": ("loaded, idle", "#e8a33d"),
    "starting": ("starting", "#63b7e6"),
    "held_other": ("held by other work", "#2f8f6f"),
    "unallocated": ("unallocated", "#c4511a"),
    "unhealthy": ("unhealthy", "#b5679a"),
    "not_present": ("paid, not present", "#5d4777"),
    "unobserved": ("unobserved", "#a7adb5"),
}
OTHER_STATE_COLOUR = "#d3d7dc"
DEMAND_COLOUR = "#0b5fa5"
FIRST_BREAKEVEN_COLOUR = "#c4511a"
STABLE_BREAKEVEN_COLOUR = "#2f8f6f"

_INK = "#1c2430"
_QUIET = "#5b6675"
_LINE = "#d8dde3"
_PAPER = "#fffffe"
_ON_DARK_FILL = "#fffffd"
_ON_LIGHT_FILL = "#14181f"
_LIGHT_FILLS = {"#e8a33d", "#63b7e6", "#a7adb5", "#d3d7dc"}
# Liberation Sans ships inside vl-convert: the layout does not depend on the fonts of the machine.
_MEASURED_WITH = "Liberation Sans"
_SHARE_WORTH_A_LABEL = 0.08
# d3-format: thousands apart, no trailing zeros, never an exponent.
_PLAIN = ",~r"

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
# Characters that no XML text may hold.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class StateHours:
    """GPU-hours of one deployment in one state."""

    deployment: str
    state: str
    gpu_hours: float


@dataclass(frozen=True)
class DemandDay:
    """One day of a workload: mean tokens a day of its trailing window and the break-even volumes. None is unknown."""

    usage_date: date
    demand_tokens: float | None
    breakeven_first_tokens: float | None
    breakeven_stable_tokens: float | None


def state_colour(state: str) -> str:
    return GPU_STATES[state][1] if state in GPU_STATES else OTHER_STATE_COLOUR


def state_label(state: str) -> str:
    return GPU_STATES[state][0] if state in GPU_STATES else state.replace("_", " ")


def gpu_states_chart(rows: Sequence[StateHours]) -> "altair.LayerChart":
    """GPU-hours of each deployment, one bar each, split by state. Deployments in the order they come in."""
    import altair

    rows = [replace(row, deployment=_xml_text(row.deployment)) for row in rows]
    deployments = list(dict.fromkeys(row.deployment for row in rows))
    bars = [segment for deployment in deployments for segment in _segments(deployment, rows)]
    base = altair.Chart(altair.InlineData(values=bars), width=360, height=34 * max(1, len(deployments)))
    places = altair.Y(
        "deployment:N",
        sort=None,
        scale=altair.Scale(domain=deployments, paddingInner=0.3, paddingOuter=0.15),
        axis=altair.Axis(title=None, labelLimit=150, ticks=False, domain=False, labelPadding=8),
    )
    hours = altair.X("from_hours:Q", axis=altair.Axis(title="GPU-hours", tickCount=5, format=_PLAIN))
    drawn = base.mark_bar(stroke=_PAPER, strokeWidth=1).encode(
        x=hours, x2="to_hours:Q", y=places, color=altair.Color("colour:N", scale=None, legend=None)
    )
    shares = base.mark_text(fontSize=12).encode(
        x=altair.X("middle_hours:Q"),
        y=places,
        text="share:N",
        color=altair.Color("ink:N", scale=None, legend=None),
    )
    return altair.LayerChart(layer=[drawn, shares])


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
        axis=altair.Axis(title="million tokens a day", tickCount=4, format=_PLAIN),
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


def as_svg(chart: "altair.LayerChart", *, chart_id: str, title: str, description: str) -> str:
    """The chart as an `<svg>` element for inside HTML, named to readers who do not see it.

    `chart_id` must be unique in the page; every id inside begins with it. All text is escaped.
    """
    import vl_convert

    drawn = vl_convert.vegalite_to_svg(chart.properties(**_looks()).to_dict(validate=False))
    return _for_a_page(drawn, chart_id=chart_id, title=title, description=description)


def _looks() -> dict[str, Any]:
    axis = {
        "labelColor": _QUIET,
        "titleColor": _QUIET,
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "gridColor": _LINE,
        "domainColor": _LINE,
        "tickColor": _LINE,
    }
    return {
        "background": "transparent",
        "padding": 2,
        "config": {
            "font": _MEASURED_WITH,
            "aria": False,
            "view": {"stroke": None},
            "axis": axis,
            "axisY": {"labelColor": _INK},
        },
    }


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


def _for_a_page(drawn: str, *, chart_id: str, title: str, description: str) -> str:
    """Ids rewritten (vl-convert's count up within a process), the page's font, a name and a description."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(drawn)
    renamed: dict[str, str] = {}
    for element in root.iter():
        if "id" in element.attrib:
            renamed[element.attrib["id"]] = f"{chart_id}-{len(renamed) + 1}"
            element.attrib["id"] = renamed[element.attrib["id"]]
    for element in root.iter():
        for key, value in element.attrib.items():
            if "url(#" in value:
                element.attrib[key] = _REFERENCE.sub(lambda found: f"url(#{renamed[found.group(1)]})", value)
        if element.attrib.get("font-family") == _MEASURED_WITH:
            del element.attrib["font-family"]
        for noise in ("role", "aria-roledescription", "aria-hidden", "pointer-events"):
            element.attrib.pop(noise, None)
    for parent in root.iter():
        for child in list(parent):
            if child.tag == f"{{{_SVG}}}path" and child.attrib.get("class") in ("background", "foreground"):
                parent.remove(child)
    root.attrib.update({"class": "chart", "role": "img", "id": chart_id})
    root.attrib.update({"aria-labelledby": f"{chart_id}-title {chart_id}-description"})
    for tag, text in (("desc", description), ("title", title)):
        element = ElementTree.Element(
            f"{{{_SVG}}}{tag}", {"id": f"{chart_id}-{'title' if tag == 'title' else 'description'}"}
        )
        element.text = _xml_text(text)
        root.insert(0, element)
    return ElementTree.tostring(root, encoding="unicode")


def _xml_text(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
