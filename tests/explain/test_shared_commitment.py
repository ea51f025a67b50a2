"""What `explain fill` prints of workloads under one commitment recomputes each part, and all of them together."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import polars as pl

from pipeline.decisions import commitment_scopes, idle_fills, peak_allowances
from pipeline.explain.evidence import Evidence
from pipeline.explain.explanation import Explanation
from pipeline.explain.releases import explain_fill
from tests.decisions.test_scale_downs import (
    _RELEASE,
    DAYS,
    LAST,
    asked,
    billed,
    deployment,
    fills,
    hours,
    price,
    served,
    workload,
)
from tests.explain.asked import Asked

Row = Mapping[str, Any]
PLACES = {"chat": "llama", "code": "llama", "mail": "qwen"}


def tables() -> dict[str, Sequence[Row]]:
    """Three workloads on two deployments under one commitment; what each stands for ends in no decimal."""
    return {
        "config_deployments": [
            {**deployment(deployment_id=name, tokens_per_second=Decimal("0.27")), "is_peak_allowance_declared": True}
            for name in ("llama", "qwen")
        ],
        "config_workloads": [workload(name, deployment_id=place) for name, place in PLACES.items()],
        "fct_commitment_scopes_daily": [
            billed(name, cost, due="300")
            for name, cost in (("chat", "91"), ("code", "200"), ("mail", "77"), ("unassigned", "33.35"))
        ],
        "fct_day_status_daily": [{"usage_date": day, "status": "settled", "blocked_count": 0} for day in DAYS[-7:]],
        # Of mail more is known by the day than by the hour.
        "fct_demand_daily": [
            {"usage_date": day, "workload": name, "lane": "api", "tokens": 1700 if name == "mail" else 1400}
            for day in DAYS[-7:]
            for name in PLACES
        ],
        "fct_demand_hourly": [{**asked(day, name, 1400), "lane": "api"} for day in DAYS[-7:] for name in PLACES],
        "fct_scale_downs_daily": [
            {"usage_date": LAST, **_RELEASE, "deployment_id": name} for name in ("llama", "qwen")
        ],
        "fct_verdicts_daily": [price("chat", "3333"), price("code", "7001"), price("mail", "5000")],
        "int_self_host_tokens_hourly": [
            {**row, "deployment_id": name}
            for name in ("llama", "qwen")
            for day in DAYS[-7:]
            for row in served(day, hours(2401))
        ],
    }


def explained(name: str, rows: Mapping[str, Row], given: Mapping[str, Sequence[Row]], folder: Path) -> Explanation:
    frames = {table: pl.DataFrame(found, infer_schema_length=None) for table, found in given.items()}
    frames["fct_peak_allowances_daily"] = pl.DataFrame(schema=dict(peak_allowances.SCHEMA))
    frames["fct_idle_fill_daily"] = pl.DataFrame(list(rows.values()), schema=dict(idle_fills.SCHEMA), orient="row")
    frames["fct_commitment_scopes_daily"] = pl.DataFrame(
        given["fct_commitment_scopes_daily"], schema=dict(commitment_scopes.SCHEMA), orient="row"
    )
    return explain_fill(cast("Evidence", Asked(frames, folder)), deployment=name, usage_date=LAST)


def test_parts_of_a_commitment_on_two_deployments_recompute_and_add_up(tmp_path: Path) -> None:
    given = tables()
    rows = fills(**given)
    for name in ("llama", "qwen"):
        found = explained(name, rows, given, tmp_path)
        assert [one for one in found.equalities if not one.holds] == []
        claims = {one.claim.split(":")[0] for one in found.equalities}
        for asking in (one for one, place in PLACES.items() if place == name):
            assert f"{asking} avoided_under_commitment_cost_rc" in claims
            assert f"{asking} api_headroom_cost_rc" in claims
    assert any(line.startswith("what stays of mail, as tokens that may not move or ") for line in found.formula)
    assert any(line.startswith("what deployments before qwen leave of it = ") for line in found.formula)
    # Something of it is left to the second deployment, and less than it would avoid alone.
    assert 0 < rows["mail"]["avoided_cost_rc"] < rows["mail"]["avoided_alone_cost_rc"]
    parts = sum(row["avoided_cost_rc"] for row in rows.values())
    assert {row["avoided_under_commitment_cost_rc"] for row in rows.values()} == {parts}


def test_what_may_move_and_its_own_tokens_recompute_from_what_is_printed(tmp_path: Path) -> None:
    given = tables()
    some = {"movable_share_ratio": Decimal("0.7"), "tokens_per_api_token": Decimal("1.2")}
    given["config_workloads"] = [
        workload(name, deployment_id=place, **(some if name == "code" else {})) for name, place in PLACES.items()
    ]
    rows = fills(**given)
    assert (rows["code"]["api_tokens"], rows["code"]["movable_tokens"]) == (9800, 6860)
    found = explained("llama", rows, given, tmp_path)
    assert [one for one in found.equalities if not one.holds] == []
    assert "a token of code is 1.20 own ones, as declared: its work is as many times as much" in found.formula
    rows["code"] = {**rows["code"], "movable_tokens": 9800}
    wrong = {one.claim.split(":")[0] for one in explained("llama", rows, given, tmp_path).equalities if not one.holds}
    assert "code movable_tokens" in wrong


def test_a_part_that_was_counted_twice_is_seen(tmp_path: Path) -> None:
    given = tables()
    rows = fills(**given)
    rows["mail"] = {**rows["mail"], "avoided_cost_rc": rows["mail"]["avoided_alone_cost_rc"]}
    wrong = {one.claim.split(":")[0] for one in explained("qwen", rows, given, tmp_path).equalities if not one.holds}
    assert "mail avoided_cost_rc" in wrong
