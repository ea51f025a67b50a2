"""A chart as inline SVG for a page, or as a PNG that stands alone: vl-convert draws what Altair says."""

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from pipeline.charts.palette import INK, LINE, QUIET
from pipeline.charts.words import xml_text

if TYPE_CHECKING:
    import altair


# Liberation Sans ships inside vl-convert: the layout does not depend on the fonts of the machine.
_MEASURED_WITH = "Liberation Sans"
_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def as_svg(chart: "altair.LayerChart", *, chart_id: str, title: str, description: str) -> str:
    """The chart as an `<svg>` element for inside HTML, named to readers who do not see it.

    `chart_id` must be unique in the page; every id inside begins with it. All text is escaped.
    """
    import vl_convert

    drawn = vl_convert.vegalite_to_svg(chart.properties(**_looks()).to_dict(validate=False))
    return _for_a_page(drawn, chart_id=chart_id, title=title, description=description)


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
    key = [{"label": xml_text(label), "colour": colour, "place": place} for place, (label, colour) in enumerate(legend)]
    rows = altair.Y("place:O", axis=None)
    base = altair.Chart(altair.InlineData(values=key), width=360, height=18 * max(1, len(key)))
    swatches = base.mark_square(size=110, opacity=1).encode(
        x=altair.value(6), y=rows, color=altair.Color("colour:N", scale=None, legend=None)
    )
    labels = base.mark_text(align="left", fontSize=12, color=INK).encode(x=altair.value(18), y=rows, text="label:N")
    page = altair.VConcatChart(vconcat=[chart, altair.LayerChart(layer=[swatches, labels])], spacing=8)
    heading = altair.TitleParams(
        text=xml_text(title), subtitle=_wrapped(xml_text(says)), anchor="start", fontSize=15, subtitleFontSize=12,
        color=INK, subtitleColor=QUIET, offset=10,
    )  # fmt: skip
    drawn = page.properties(title=heading, **looks).to_dict(validate=False)
    return bytes(vl_convert.vegalite_to_png(drawn, scale=scale))


def _wrapped(text: str) -> list[str]:
    """Lines that are as wide as a chart."""
    return textwrap.wrap(text, width=68) or [""]


def _looks() -> dict[str, Any]:
    axis = {
        "labelColor": QUIET,
        "titleColor": QUIET,
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "gridColor": LINE,
        "domainColor": LINE,
        "tickColor": LINE,
    }
    return {
        "background": "transparent",
        "padding": 2,
        "config": {
            "font": _MEASURED_WITH,
            "aria": False,
            "view": {"stroke": None},
            "axis": axis,
            "axisY": {"labelColor": INK},
        },
    }


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
        element.text = xml_text(text)
        root.insert(0, element)
    return ElementTree.tostring(root, encoding="unicode")
