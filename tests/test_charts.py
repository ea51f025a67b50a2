"""Charts are drawn the same everywhere, fetch nothing, and show text from data as text."""

import os
import subprocess
import sys
from datetime import date, timedelta
from xml.etree import ElementTree

import altair
import pytest

from pipeline.charts import drawing, palette
from pipeline.charts.demand import DemandDay, demand_chart
from pipeline.charts.gpu_hours import BillLine, StateHours, gpu_states_chart, waterfall_chart

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</svg><script>alert(1)</script>" onload="x() id="clip0" url(#clip0) & \' \x00\u202e=1+1'
STATES = [
    StateHours(deployment="llama", state="unobserved", gpu_hours=2),
    StateHours(deployment="llama", state="serving", gpu_hours=10),
    StateHours(deployment="gemma", state="loaded_idle", gpu_hours=24),
]


def states(rows=STATES, chart_id="chart-1", title="GPU-hours"):
    return drawing.as_svg(gpu_states_chart(rows), chart_id=chart_id, title=title, description="as described")


def demand(days, chart_id="chart-2"):
    drawn = demand_chart(days, first_day=date(2026, 10, 1), days_count=31)
    return drawing.as_svg(drawn, chart_id=chart_id, title="Demand", description="as described")


def october(days, millions=100.0):
    return [DemandDay(date(2026, 10, 1) + timedelta(days=day - 1), millions * 1e6, 128e6, 130e6) for day in days]


def paths(svg, colour):
    return [path for path in ElementTree.fromstring(svg).iter(f"{SVG}path") if path.get("stroke") == colour]


def clipped():
    """A chart for which vl-convert makes an id of its own."""
    drawn = altair.Chart(altair.InlineData(values=[{"x": 1}])).mark_point(clip=True).encode(x="x:Q")
    return drawing.as_svg(altair.LayerChart(layer=[drawn]), chart_id="chart-3", title="Clipped", description="")


def test_a_chart_does_not_depend_on_what_was_drawn_before():
    """vl-convert's own ids count up within a process."""
    first = [demand(october(range(1, 8))), states(), clipped()]
    assert [demand(october(range(1, 8))), states(), clipped()] == first


def test_a_rewritten_id_is_still_the_one_that_is_pointed_at():
    root = ElementTree.fromstring(clipped())
    pointed = {element.get("clip-path") for element in root.iter() if element.get("clip-path")}
    assert pointed == {f"url(#{element.get('id')})" for element in root.iter(f"{SVG}clipPath")}
    assert len(pointed) == 1


def test_a_chart_does_not_depend_on_the_process_its_zone_or_its_locale():
    code = (
        "import sys; from tests.test_charts import demand, october, states;"
        "sys.stdout.buffer.write((demand(october(range(1, 8))) + states()).encode())"
    )
    drawn = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "TZ": zone, "LANG": locale, "LC_ALL": locale, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for zone, locale, seed in (("Pacific/Kiritimati", "C.UTF-8", "1"), ("America/Los_Angeles", "de_DE.UTF-8", "2"))
    ]
    assert drawn[0] == drawn[1] == (demand(october(range(1, 8))) + states()).encode()


def test_ids_are_unique_in_a_page_of_charts():
    page = states(chart_id="a") + states(chart_id="b") + demand(october(range(1, 8)), chart_id="c")
    ids = [element.get("id") for element in ElementTree.fromstring(f"<page>{page}</page>").iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert {name.partition("-")[0] for name in ids} == {"a", "b", "c"}


def test_a_chart_has_a_name_and_a_description_for_those_who_do_not_see_it():
    root = ElementTree.fromstring(states())
    named = {element.get("id"): element.text for element in root}
    assert root.get("role") == "img"
    assert [named[name] for name in root.get("aria-labelledby").split()] == ["GPU-hours", "as described"]


def test_a_chart_fetches_nothing_and_brings_no_font():
    svg = states() + demand(october(range(1, 8)))
    outside = svg.replace("http://www.w3.org/2000/svg", "").replace("http://www.w3.org/1999/xlink", "")
    assert "http" not in outside
    for word in ("font-family", "<image", "<style", "@import", "href"):
        assert word not in outside


def test_hostile_names_are_shown_as_text():
    svg = states([StateHours(deployment=HOSTILE, state=HOSTILE, gpu_hours=1)], title=HOSTILE)
    root = ElementTree.fromstring(svg)
    assert not [element for element in root.iter() if element.tag.rpartition("}")[2] not in known_tags()]
    assert not [name for element in root.iter() for name in element.attrib if name.startswith("on")]
    assert "<script" not in svg
    assert "\x00" not in svg
    assert any("alert(1)" in (element.text or "") for element in root.iter(f"{SVG}title"))


def known_tags():
    return {"svg", "g", "path", "line", "text", "rect", "title", "desc", "defs", "clipPath"}


def test_states_are_stacked_in_the_order_in_which_an_hour_is_claimed():
    fills = [path.get("fill") for path in ElementTree.fromstring(states()).iter(f"{SVG}path")]
    llama = [fill for fill in fills if fill in ("#0b5fa5", "#a7adb5")]
    assert llama == [palette.state_colour("serving"), palette.state_colour("unobserved")]


def test_an_unknown_state_keeps_its_name_and_its_hours():
    svg = states([StateHours(deployment="llama", state="dreaming", gpu_hours=3)])
    assert palette.OTHER_STATE_COLOUR in svg
    assert palette.state_label("dreaming") == "dreaming"


def test_a_day_without_demand_is_a_gap_and_not_a_zero():
    """B19: a gap is not drawn through and not drawn as nothing."""
    days = [*october(range(1, 8)), DemandDay(date(2026, 10, 8), None, 128e6, 130e6), *october(range(9, 12))]
    whole, broken = demand(october(range(1, 12))), demand(days)
    assert len(paths(whole, palette.DEMAND_COLOUR)) == 1
    assert len(paths(broken, palette.DEMAND_COLOUR)) == 2


def test_a_single_known_day_is_a_dot():
    assert len(paths(demand(october([5])), palette.DEMAND_COLOUR)) == 2


@pytest.mark.parametrize("days", [[], [DemandDay(date(2026, 10, 1), None, None, None)]])
def test_a_chart_of_nothing_is_still_a_chart(days):
    assert ElementTree.fromstring(demand(days)).tag == f"{SVG}svg"


@pytest.mark.parametrize("first", list(palette.GPU_STATES))
def test_no_two_states_share_a_colour(first):
    others = {palette.state_colour(state) for state in palette.GPU_STATES if state != first}
    assert palette.state_colour(first) not in others | {palette.OTHER_STATE_COLOUR}


def test_a_bill_falls_line_by_line_to_its_end():
    lines = [BillLine("useful", "#0b5fa5", 10), BillLine("headroom", "#63b7e6", 4), BillLine("tax & <b>", "#d3d7dc", 2)]
    drawn = waterfall_chart(lines)
    said = drawn.to_dict()
    (steps,) = said["datasets"].values()
    assert [(step["from_hours"], step["to_hours"]) for step in steps] == [(0, 10), (10, 14), (14, 16)]
    svg = drawing.as_svg(drawn, chart_id="c", title="lines", description="GPU-hours")
    assert {"62%", "25%", "12%"} <= {element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")}
    fills = [path.get("fill") for path in ElementTree.fromstring(svg).iter(f"{SVG}path")]
    assert [fill for fill in fills if fill in {line.colour for line in lines}] == [line.colour for line in lines]
