"""The curves of a verdict: their figures by another way, their words, and that they are drawn alike everywhere."""

import os
import struct
import subprocess
import sys
from datetime import date
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest

from pipeline.charts.load import LoadCurve
from pipeline.charts.stairs import Stairs
from pipeline.config.file import parse_config
from pipeline.reports.curves import curves_of
from pipeline.reports.questions import Questions
from tests.reports.fake_snapshot import CONFIG, HOURLY_TOKENS, snapshot_of, tables, verdict
from tests.reports.test_monthly import changed, page

SVG = "{http://www.w3.org/2000/svg}"
# 20 days: 8 busy hours, 14 of a third of them, 2 of none.
HOURS = [HOURLY_TOKENS * (3 if 8 <= hour < 16 else 0 if hour < 2 else 1) // 2 for hour in range(24)] * 20
WHOLE = sum(HOURS)
CURVE = {"hourly_tokens": HOURS, "is_hourly": True}
SPARE = parse_config("""
company: Acme
deployments: [{deployment: llama, model: llama-70b, gpus_per_replica: 1, spare_replicas: 1}]
""")


def line(**changes: Any) -> dict[str, Any]:
    """A dollar a million tokens; a replica of 4 million tokens an hour costs 400 over 20 days, and 100 come on top."""
    known = {
        "api_price_rc_per_mtok": Decimal(1), "api_only_cost_rc": Decimal(WHOLE) / 10**6, "window_days_count": 20,
        "replica_cost_rc": Decimal(400), "fixed_cost_rc": Decimal(100), "capacity_tokens_per_replica_hour": 4e6,
        "best_replica_count": 2, "demand_tokens_per_day": WHOLE / 20, "breakeven_first_tokens_per_day": 25e6,
        "breakeven_stable_tokens_per_day": 25e6,
    }  # fmt: skip
    return verdict(**{**known, **changes})


def test_the_cut_is_where_the_rent_is_what_a_full_replica_displaces() -> None:
    load, stairs = curves_of(line(), CURVE, CONFIG)
    assert (load.name, stairs.name) == ("load", "breakeven")
    assert isinstance(load.drawn, LoadCurve)
    # 400 / (4M tokens x 1 per 1M) = 100 hours; the busy 8 hours of 20 days are 160, the others bear it too.
    assert load.drawn.hours_that_pay == 100
    assert list(load.drawn.hourly_tokens) == sorted(map(float, HOURS), reverse=True)
    assert load.drawn.capacity_tokens == 8e6
    served = sum(min(tokens, 8_000_000) for tokens in HOURS)
    assert load.says == (
        "A replica pays for the load that is there in 100 of 480 hours or more: up to 12.00 million tokens an hour. In "
        f"whole steps 2 replicas are best and serve {100 * served / WHOLE:.1f}% of the tokens."
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"best_replica_count": 0}, "In whole steps, and with what it costs besides, none is best."),
        (
            {"replica_cost_rc": Decimal(4000)},
            "Even a load that is always there does not pay: it would take 1,000 of",
        ),
        ({"api_price_rc_per_mtok": Decimal(0)}, "The API costs nothing that leaving would avoid"),
        ({"best_replica_count": 1}, "1 replica is best and serves "),
        ({"best_replica_count": 3}, "3 replicas are best and serve all of the tokens."),
    ],
)
def test_the_curve_says_what_it_shows(changes: dict[str, Any], said: str) -> None:
    assert said in curves_of(line(**changes), CURVE, CONFIG)[0].says


def test_stairs_and_line_cross_where_the_costs_are_equal() -> None:
    *_, stairs = curves_of(line(), CURVE, CONFIG)
    drawn = stairs.drawn
    assert isinstance(drawn, Stairs)
    # A stair is 4M x 24 h = 96M tokens a day; stair n costs 100 + 400 n over 20 days, the API 20 a million a day.
    assert [(step.to_tokens, step.to_cost) for step in drawn.stairs] == [(96e6, 500), (192e6, 900), (288e6, 1300)]
    assert drawn.api == [(0, 0), (288e6, 288 * 20)]
    assert drawn.crossings == [(25e6, 500)]
    assert drawn.demand_tokens == WHOLE / 20
    assert stairs.says == (
        "Each replica more costs $400.00 over 20 days. Self-hosting is cheaper from 25.00 million tokens a day, and "
        "stays so."
    )


def test_a_bill_that_is_no_price_times_a_volume_has_no_stairs() -> None:
    """Something is committed: the line through zero would be another contract's."""
    found = curves_of(line(api_only_cost_rc=Decimal(WHOLE) / 10**6 + 1), CURVE, CONFIG)
    assert [curve.name for curve in found] == ["load"]


def test_a_declaration_that_the_verdict_was_not_made_of_is_not_drawn_over_it() -> None:
    """With a spare replica the lanes cross at 45 million, and the verdict says 25."""
    assert [curve.name for curve in curves_of(line(), CURVE, SPARE)] == ["load"]
    agreeing = line(breakeven_first_tokens_per_day=45e6, breakeven_stable_tokens_per_day=45e6)
    *_, stairs = curves_of(agreeing, CURVE, SPARE)
    assert isinstance(stairs.drawn, Stairs)
    assert stairs.drawn.stairs[0].to_cost == 900
    assert [curve.name for curve in curves_of(line(deployment_id="gone"), CURVE, CONFIG)] == ["load"]


def test_what_is_known_by_the_day_or_not_decided_is_not_drawn() -> None:
    assert curves_of(line(), {**CURVE, "is_hourly": False}, CONFIG) == ()
    assert curves_of(line(), None, CONFIG) == ()
    assert curves_of(line(replica_cost_rc=None), CURVE, CONFIG) == ()
    assert [curve.name for curve in curves_of(line(best_replica_count=None), CURVE, CONFIG)] == ["breakeven"]


def test_the_question_finds_the_hours_of_settled_days_alone(tmp_path: Any) -> None:
    filled = tables()
    filled["fct_verdicts_daily"] = [line()]
    for row in filled["fct_day_status_daily"]:
        if row["usage_date"].day in (3, 4):
            row["status" if row["usage_date"].day == 3 else "blocked_count"] = (
                "provisional" if row["usage_date"].day == 3 else 1
            )
    days = {"from_date": date(2026, 10, 1), "to_date": date(2026, 11, 1)}
    with Questions(snapshot_of(filled, tmp_path)) as questions:
        (row,) = questions.ask("workload_curves", **days).to_dicts()
    assert row["hourly_tokens"] == HOURS[: 18 * 24]
    assert row["is_hourly"] is True


def test_the_report_draws_both_beside_the_demand(tmp_path: Any) -> None:
    document = page(tmp_path, changed(fct_verdicts_daily=[line()]))
    (card,) = document.every("article")
    assert [figure.every("title")[0].text for figure in card.every("figure")] == [
        "Demand of chat against its break-even",
        "chat: which load pays a replica",
        "chat: where self-hosting is cheaper",
    ]


def drawn() -> bytes:
    load, stairs = curves_of(line(), CURVE, CONFIG)
    return b"".join((load.svg("a").encode(), stairs.svg("b").encode(), load.png(), stairs.png()))


def test_curves_are_the_same_bytes_in_another_process_zone_and_locale() -> None:
    code = "import sys; from tests.reports.test_curves import drawn; sys.stdout.buffer.write(drawn())"
    elsewhere = {"TZ": "Pacific/Kiritimati", "LANG": "de_DE.UTF-8", "LC_ALL": "de_DE.UTF-8", "PYTHONHASHSEED": "7"}
    other = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **elsewhere}, check=True, capture_output=True
    ).stdout
    assert other == drawn()


def test_a_curve_is_named_and_described_and_fetches_nothing() -> None:
    for curve in curves_of(line(), CURVE, CONFIG):
        svg = curve.svg("x")
        root = ElementTree.fromstring(svg)
        named = {element.get("id"): element.text for element in root}
        assert root.get("role") == "img"
        assert [named[name] for name in (root.get("aria-labelledby") or "").split()] == [curve.title, curve.says]
        outside = svg.replace("http://www.w3.org/2000/svg", "").replace("http://www.w3.org/1999/xlink", "")
        assert "http" not in outside
        assert "font-family" not in svg


def test_a_png_stands_alone_and_is_as_wide_as_a_phone_shows() -> None:
    png = curves_of(line(workload="<b>&\x00"), CURVE, CONFIG)[0].png()
    assert png.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", png[16:24])
    assert 800 <= width <= 1000
    assert 500 <= height <= 800
