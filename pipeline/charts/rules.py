"""Rules through a chart: a value that is not a bar of it."""

from typing import TYPE_CHECKING, Literal

from pipeline.charts.palette import INK, MARK_COLOUR

if TYPE_CHECKING:
    import altair


def upright(at: float, field: str, text: str, *, of: float) -> "altair.LayerChart":
    """A rule from top to bottom with its name above it, outside of what is filled."""
    import altair

    data = altair.InlineData(values=[{field: at, "text": text}])
    rule = altair.Chart(data).mark_rule(color=MARK_COLOUR, strokeDash=[2, 3], strokeWidth=1.4).encode(x=f"{field}:Q")
    align: Literal["left", "center", "right"] = "left" if at < 0.25 * of else "right" if at > 0.75 * of else "center"
    name = (
        altair.Chart(data)
        .mark_text(align=align, baseline="bottom", y=-4, color=INK, fontSize=12)
        .encode(x=f"{field}:Q", text="text:N")
    )
    return altair.LayerChart(layer=[rule, name])


def level(high: float) -> "altair.Chart":
    """A rule from left to right."""
    import altair

    drawn: altair.Chart = (
        altair.Chart(altair.InlineData(values=[{"high": high}]))
        .mark_rule(color=MARK_COLOUR, strokeDash=[2, 3], strokeWidth=1.4)
        .encode(y="high:Q")
    )
    return drawn
