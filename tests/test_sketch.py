"""A sketch has the figures of its curve, is an image of its own, and loads no drawing library."""

import re
import subprocess
import sys
from base64 import b64decode
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.assets.markdown import markdown_image
from pipeline.charts.load import LoadCurve
from pipeline.charts.stairs import Stair, Stairs
from pipeline.sketch import sketch

SVG = "{http://www.w3.org/2000/svg}"
LEFT, RIGHT, TOP, BOTTOM = 58, 440 - 14, 34, 200 - 34


def drawn(svg: str, name: str) -> str:
    [path] = [one for one in ElementTree.fromstring(svg).iter(f"{SVG}path") if one.get("class") == name]
    return path.attrib["d"]


def heights(path: str) -> list[tuple[float, float]]:
    """(share of the width that a step ends at, share of the height that it has), read back from the drawing."""
    steps = re.findall(r"V([0-9.]+)H([0-9.]+)", path)
    return [((float(x) - LEFT) / (RIGHT - LEFT), (BOTTOM - float(y)) / (BOTTOM - TOP)) for y, x in steps]


@settings(max_examples=40, deadline=None)
@given(
    loads=st.lists(st.integers(0, 10**9), min_size=1, max_size=60).map(lambda found: sorted(found, reverse=True)),
    capacity=st.integers(0, 10**9),
)
def test_every_hour_is_as_high_as_its_load_and_served_up_to_the_capacity(loads: list[int], capacity: int) -> None:
    svg = sketch(LoadCurve([float(load) for load in loads], float(capacity), None))
    most = max(loads) or 1
    taken, served = heights(drawn(svg, "taken")), heights(drawn(svg, "served"))
    assert len(taken) == len(served) == len(loads) + 1
    for rank, load in enumerate(loads, start=1):
        for (across, up), tokens in ((taken[rank], load), (served[rank], min(load, capacity))):
            assert abs(across - rank / len(loads)) < 0.002
            assert abs(up - tokens / most) < 0.002


def stairs(**changes: object) -> Stairs:
    found = {
        "stairs": [Stair(0, 10e6, 400, 400), Stair(10e6, 20e6, 800, 800)],
        "api": [(0.0, 0.0), (20e6, 1000.0)],
        "crossings": [(8e6, 400.0)],
        "demand_tokens": 15e6,
        "currency": "USD",
    }
    return Stairs(**{**found, **changes})  # type: ignore[arg-type]


def test_stairs_and_the_api_end_where_their_costs_are_and_cross_where_they_cross() -> None:
    svg = sketch(stairs())
    assert drawn(svg, "own") == "M58 113.2L242 113.2L242 60.4L426 60.4"
    assert drawn(svg, "api") == "M58 166L426 34"
    [circle] = ElementTree.fromstring(svg).iter(f"{SVG}circle")
    assert (circle.get("cx"), circle.get("cy")) == (f"{58 + 0.4 * 368:.1f}", "113.2")
    assert drawn(svg, "mark") == "M334 34V166"
    assert "mark" not in sketch(stairs(demand_tokens=None))


def test_what_data_says_is_text_and_the_picture_is_inside_the_metadata() -> None:
    hostile = '</svg><script>"&'
    svg = sketch(stairs(currency=hostile))
    assert hostile in "".join(ElementTree.fromstring(svg).itertext())
    text = markdown_image(svg, "a](javascript:x) curve")
    alt, image = re.fullmatch(r"!\[(.*)\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", text).groups()  # type: ignore[union-attr]
    assert b64decode(image).decode() == svg
    assert alt == "a\\](javascript:x) curve"


def test_nothing_to_draw_is_drawn() -> None:
    for empty in (LoadCurve([], 0.0, None), LoadCurve([0.0], 0.0, None), Stairs([], [], [], None, "USD")):
        ElementTree.fromstring(sketch(empty))


def test_a_sketch_loads_no_drawing_library() -> None:
    """The first drawing of Altair and vl-convert takes a second or three, which no morning has."""
    code = (
        "import sys; from pipeline.charts.load import LoadCurve; from pipeline.sketch import sketch; "
        "sketch(LoadCurve([3.0, 2.0], 2.0, 1.0)); print(sorted({'altair', 'vl_convert'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.strip() == "[]"
