"""Charts as inline SVG: Altair says what, vl-convert draws. Same rows, same bytes, on any machine and in any order.

Nothing is fetched: the drawing's letters are measured with the font that vl-convert brings, and shown in the page's.
Colours are names of this palette; a page that has a dark side maps them by `[fill="#..."]` rules.
"""

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Literal
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
    "conflict": ("feeds disagree", "#e0d03c"),
    "not_present": ("paid, not present", "#5d4777"),
    "unobserved": ("unobserved", "#a7adb5"),
}
OTHER_STATE_COLOUR = "#d3d7dc"
DEMAND_COLOUR = "#0b5fa5"
FIRST_BREAKEVEN_COLOUR = "#c4511a"
STABLE_BREAKEVEN_COLOUR = "#2f8f6f"
SERVED_COLOUR = "#0b5fa5"
OVERFLOW_COLOUR = "#e8a33d"
API_COLOUR = "#c4511a"
SELF_HOST_COLOUR = "#0b5fa5"
MARK_COLOUR = "#5b6675"
MORE_COLOUR = "#c4511a"
LESS_COLOUR = "#2f8f6f"
CHANGE_COLOUR = "#5b6675"

_INK = "#1c2430"
_QUIET = "#5b6675"
_LINE = "#d8dde3"
_PAPER = "#fffffe"
_ON_DARK_FILL = "#fffffd"
_ON_LIGHT_FILL = "#14181f"
_LIGHT_FILLS = {"#e8a33d", "#63b7e6", "#e0d03c", "#a7adb5", "#d3d7dc"}
# Liberation Sans ships inside vl-convert: the layout does not depend on the fonts of the machine.
_MEASURED_WITH = "Liberation Sans"
_SHARE_WORTH_A_LABEL = 0.08
# A chart is 360 units wide.
_MOST_STEPS = 160
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
class BillLine:
    """GPU-hours of one line of a bill, in its colour. Lines of a bill add up to it, in the order they come in."""

    label: str
    colour: str
    gpu_hours: float


@dataclass(frozen=True)
class ChangeStep:
    """What one cause made a sum of money more or less."""

    label: str
    change: float


@dataclass(frozen=True)
class DemandDay:
    """One day of a workload: mean tokens a day of its trailing window and the break-even volumes. None is unknown."""

    usage_date: date
    demand_tokens: float | None
    breakeven_first_tokens: float | None
    breakeven_stable_tokens: float | None


@dataclass(frozen=True)
class LoadCurve:
    """A load-duration curve: tokens of each hour, greatest first, and where it is cut.

    capacity_tokens: what the best count of replicas serves in an hour; 0 with none. hours_that_pay: h*, None where
    there is none.
    """

    hourly_tokens: Sequence[float]
    capacity_tokens: float
    hours_that_pay: float | None


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


Drawable = LoadCurve | Stairs | MoneyByDay | BudgetBars


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
            {"line": _xml_text(line.label), "from_hours": reached, "to_hours": ends, "colour": line.colour}
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
        x=altair.X("from_hours:Q", axis=altair.Axis(title="GPU-hours", tickCount=5, format=_PLAIN)),
        x2="to_hours:Q",
        y=places,
        color=altair.Color("colour:N", scale=None, legend=None),
    )
    shares = [
        base.transform_filter(f"datum.align == '{align}'")
        .mark_text(fontSize=11, align=align, dx=4 if align == "left" else -4, color=_QUIET)
        .encode(x=altair.X("share_at:Q"), y=places, text="share:N")
        for align in ("left", "right")
    ]
    return altair.LayerChart(layer=[drawn, *shares])


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
        axis=altair.Axis(title=f"{currency} more or less", tickCount=5, format=_PLAIN),
    )
    zero = altair.Chart(altair.InlineData(values=[{"low": 0}])).mark_rule(color=_QUIET).encode(x="low:Q")
    bars = base.mark_bar().encode(
        x=across, x2="high:Q", y=places, color=altair.Color("colour:N", scale=None, legend=None)
    )
    figures = [
        base.transform_filter(f"datum.align == '{align}'")
        .mark_text(fontSize=11, align=align, dx=4 if align == "left" else -4, color=_QUIET)
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
        "cause": _xml_text(cause), "low": min(begins, ends), "high": max(begins, ends), "colour": colour,
        "at": ends, "align": "left" if change >= 0 else "right", "text": f"{sign}{figure}",
    }  # fmt: skip


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


def curve_chart(drawn: Drawable) -> "altair.LayerChart":
    """The chart of what is to be drawn."""
    if isinstance(drawn, MoneyByDay):
        return money_by_day_chart(drawn)
    if isinstance(drawn, BudgetBars):
        return budget_chart(drawn)
    return load_chart(drawn) if isinstance(drawn, LoadCurve) else stairs_chart(drawn)


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
        axis=altair.Axis(title=f"{found.currency} {found.measure}", tickCount=4, format=_PLAIN),
    )
    expected = [
        {"day": day.usage_date.isoformat(), "low": day.expected} for day in found.days if day.expected is not None
    ]
    drawn = altair.Chart(altair.InlineData(values=bars), width=360, height=150)
    layers: list[Any] = [
        drawn.mark_bar().encode(x=across, y=up, y2="high:Q", color=altair.Color("colour:N", scale=None, legend=None)),
        altair.Chart(altair.InlineData(values=expected), width=360, height=150)
        .mark_tick(color=_INK, thickness=2, size=9)
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
        axis=altair.Axis(title=f"{found.currency} of the month", tickCount=5, format=_PLAIN),
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
    return altair.LayerChart(layer=[drawn, _upright(found.budget, "cost", "budget", of=most)])


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
        axis=altair.Axis(title="hours with at least this load", tickCount=6, format=_PLAIN, grid=False),
    )
    up = altair.Y(
        "high:Q",
        scale=altair.Scale(zero=True, nice=4),
        axis=altair.Axis(title="million tokens an hour", tickCount=4, format=_PLAIN),
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
        layers.append(_upright(curve.hours_that_pay, "hours", f"{curve.hours_that_pay:,.0f} h pay a replica", of=hours))
    if curve.capacity_tokens and curve.capacity_tokens < 1.3 * max(curve.hourly_tokens, default=0.0):
        layers.append(_level(curve.capacity_tokens / 1e6))
    return altair.LayerChart(layer=layers)


def stairs_chart(found: Stairs) -> "altair.LayerChart":
    """What each lane costs at each volume; where they cross; where demand is."""
    import altair

    most = max([0.0, *(stair.to_tokens for stair in found.stairs)]) / 1e6
    across = altair.X(
        "millions:Q",
        scale=altair.Scale(domain=[0, most], nice=False),
        axis=altair.Axis(title="million tokens a day", tickCount=6, format=_PLAIN, grid=False),
    )
    up = altair.Y(
        "cost:Q",
        scale=altair.Scale(zero=True, nice=4),
        axis=altair.Axis(title=f"{found.currency} over the window", tickCount=4, format=_PLAIN),
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
        .mark_point(color=_PAPER, fill=STABLE_BREAKEVEN_COLOUR, size=70, strokeWidth=1.5, opacity=1)
        .encode(x=across, y=up),
    ]
    if found.demand_tokens is not None and found.demand_tokens / 1e6 <= most:
        layers.append(_upright(found.demand_tokens / 1e6, "millions", "demand", of=most))
    return altair.LayerChart(layer=layers)


def _upright(at: float, field: str, text: str, *, of: float) -> "altair.LayerChart":
    """A rule from top to bottom with its name above it, outside of what is filled."""
    import altair

    data = altair.InlineData(values=[{field: at, "text": text}])
    rule = altair.Chart(data).mark_rule(color=MARK_COLOUR, strokeDash=[2, 3], strokeWidth=1.4).encode(x=f"{field}:Q")
    align: Literal["left", "center", "right"] = "left" if at < 0.25 * of else "right" if at > 0.75 * of else "center"
    name = (
        altair.Chart(data)
        .mark_text(align=align, baseline="bottom", y=-4, color=_INK, fontSize=12)
        .encode(x=f"{field}:Q", text="text:N")
    )
    return altair.LayerChart(layer=[rule, name])


def _level(high: float) -> "altair.Chart":
    """A rule from left to right."""
    import altair

    drawn: altair.Chart = (
        altair.Chart(altair.InlineData(values=[{"high": high}]))
        .mark_rule(color=MARK_COLOUR, strokeDash=[2, 3], strokeWidth=1.4)
        .encode(y="high:Q")
    )
    return drawn


def thinned(loads: Sequence[float], *, most: int = _MOST_STEPS) -> list[tuple[int, float]]:
    """(hours, load) of the steps that a curve of this width can show: every change up to so many, the last of a stretch
    of hours beyond.
    """
    every = max(1, math.ceil(len(loads) / most))
    ranks = sorted({*range(every, len(loads) + 1, every), *([len(loads)] if loads else []), *([1] if loads else [])})
    return [(0, loads[0]) if loads else (0, 0.0), *((rank, loads[rank - 1]) for rank in ranks)]


def as_png(
    chart: "altair.LayerChart", *, title: str, says: str, legend: Sequence[tuple[str, str]], scale: float = 2
) -> bytes:
    """The chart as a PNG that stands alone, on white: with its title, a sentence, and its key. Same rows, same bytes.

    legend: (label, colour). scale: pixels a unit, of which it is 420 and more wide. A PNG has no description: whoever
    shows it says the sentence beside it too.
    """
    import altair
    import vl_convert

    looks = _looks() | {"background": "#ffffff", "padding": 16}
    key = [
        {"label": _xml_text(label), "colour": colour, "place": place} for place, (label, colour) in enumerate(legend)
    ]
    rows = altair.Y("place:O", axis=None)
    base = altair.Chart(altair.InlineData(values=key), width=360, height=18 * max(1, len(key)))
    swatches = base.mark_square(size=110, opacity=1).encode(
        x=altair.value(6), y=rows, color=altair.Color("colour:N", scale=None, legend=None)
    )
    labels = base.mark_text(align="left", fontSize=12, color=_INK).encode(x=altair.value(18), y=rows, text="label:N")
    page = altair.VConcatChart(vconcat=[chart, altair.LayerChart(layer=[swatches, labels])], spacing=8)
    heading = altair.TitleParams(
        text=_xml_text(title), subtitle=_wrapped(_xml_text(says)), anchor="start", fontSize=15, subtitleFontSize=12,
        color=_INK, subtitleColor=_QUIET, offset=10,
    )  # fmt: skip
    drawn = page.properties(title=heading, **looks).to_dict(validate=False)
    return bytes(vl_convert.vegalite_to_png(drawn, scale=scale))


def _wrapped(text: str) -> list[str]:
    """Lines that are as wide as a chart."""
    return textwrap.wrap(text, width=68) or [""]


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
