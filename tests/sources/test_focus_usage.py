"""Usage in FOCUS's columns without cost, as CoreWeave exports it, accrued at the rate agreed."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import QuarantineError
from pipeline.sources.focus_usage import TABLE, drop, parse
from pipeline.sources.recognise import recognise_bytes
from tests.models.cloud_harness import broken_laws, built, cloud_graph
from tests.pipeline.small_project import SmallProject, source

HEADER = "ChargePeriodStart,ChargePeriodEnd,ChargeClass,ConsumedQuantity,ConsumedUnit,SkuId,SkuMeter,x_Cluster"
H100 = ("2026-11-02T05:00:00Z,2026-11-02T06:00:00Z,,16,GPU Hours,h100,,c-1",
        "2026-11-02T06:00:00Z,2026-11-02T07:00:00Z,,8.5,GPU Hours,h100,,c-1")  # fmt: skip
NOW = datetime(2026, 11, 10, tzinfo=UTC)


def usage(*rows: str, header: str = HEADER) -> bytes:
    return "".join(f"{line}\n" for line in (header, *rows)).encode()


def as_json(content: bytes) -> bytes:
    header, *rows = (line.split(",") for line in content.decode().splitlines())
    return json.dumps([{name: text or None for name, text in zip(header, row, strict=True)} for row in rows]).encode()


def used(content: bytes) -> list[dict[str, Any]]:
    return parse(content, drop("usage.csv", content, {}).settings)[TABLE.name].to_dicts()


@pytest.mark.parametrize("spelled", [bytes, as_json], ids=["csv", "json"])
def test_a_row_is_a_quantity_of_its_hour_whatever_the_file_is(spelled: Any) -> None:
    content = spelled(usage(*H100, "2026-11-03T00:00:00+01:00,2026-11-03T01:00:00+01:00,,2,Hours,,node,"))
    names = ("usage_date", "resource_id", "quantity", "unit", "other_columns")
    assert [tuple(row[name] for name in names) for row in used(content)] == [
        (date(2026, 11, 2), "h100", "16", "GPU Hours", '{"x_Cluster": "c-1"}'),
        (date(2026, 11, 2), "h100", "8.5", "GPU Hours", '{"x_Cluster": "c-1"}'),
        (date(2026, 11, 2), "node", "2", "Hours", None),
    ]
    assert [row["period_start"].hour for row in used(content)] == [5, 6, 23]
    landed = drop("usage.csv", content, {})
    assert (landed.from_at, landed.to_at) == (datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC))
    assert recognise_bytes("usage.csv", content).source == "focus_usage"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("2026-11-02T05:00:00Z,2026-11-03T06:00:00Z,,1,GPU Hours,h100,,", "row 2: .* is no part of one UTC day"),
        ("yesterday,2026-11-03T06:00:00Z,,1,GPU Hours,h100,,", "row 2: ChargePeriodStart is 'yesterday'"),
        ("2026-11-02T05:00:00Z,2026-11-02T06:00:00Z,,,GPU Hours,h100,,", "row 2: ConsumedQuantity is ''"),
        ("2026-11-02T05:00:00Z,2026-11-02T06:00:00Z,,1,GPU Hours,,,", "row 2: none of ResourceId, SkuId, SkuMeter"),
        ("9999-12-31T05:00:00Z,9999-12-31T05:00:00Z,,1,GPU Hours,h100,,", "row 2: .* is no part of one UTC day"),
    ],
)
def test_what_cannot_be_so_is_refused(row: str, words: str) -> None:
    with pytest.raises(QuarantineError, match=words):
        parse(usage(row), {})


@pytest.mark.parametrize("spelled", [bytes, as_json], ids=["csv", "json"])
def test_a_column_that_is_there_twice_in_other_letters_is_refused_and_not_the_last_taken(spelled: Any) -> None:
    twice = spelled(usage(f"{H100[0]},99", header=f"{HEADER},consumed_quantity"))
    with pytest.raises(QuarantineError, match="'ConsumedQuantity' and 'consumed_quantity' are one column of FOCUS"):
        parse(twice, {})


def test_a_row_of_json_without_its_quantity_is_named_and_what_is_no_text_is_kept_as_json() -> None:
    [row] = json.loads(as_json(usage(H100[0])))
    del row["ConsumedQuantity"]
    with pytest.raises(QuarantineError, match="row 1: ConsumedQuantity is ''"):
        parse(json.dumps(row).encode(), {})
    [kept] = used(json.dumps(row | {"ConsumedQuantity": 2, "Tags": {"team": "search"}, "x_Cluster": None}).encode())
    assert json.loads(json.loads(kept["other_columns"])["Tags"]) == {"team": "search"}


def test_a_column_of_cost_may_be_empty_and_what_states_a_cost_is_a_bill() -> None:
    header, row = f"{HEADER},BilledCost", "2026-11-02T05:00:00Z,2026-11-02T06:00:00Z,,1,GPU Hours,h100,,"
    assert [one["quantity"] for one in used(usage(f"{row},", header=header))] == ["1"]
    with pytest.raises(QuarantineError, match=r"row 2: BilledCost is 3\.10\. What states its cost is source `focus`"):
        parse(usage(f"{row},3.10", header=header), {})


def test_hours_that_no_resource_has_are_unknown_and_never_a_sum_that_began_anew(tmp_path: Path) -> None:
    """Four that come to 2^128 quanta and five hours more: as a decimal of 38 digits five hours."""
    made = SmallProject(tmp_path, [source("focus_usage", "coreweave")], {})
    most = ["99999999999999999999"] * 3 + ["40282366920938463468.374607431768211456"]
    hour = "2026-11-02T05:00:00Z,2026-11-02T06:00:00Z,"
    made.drop("focus_usage", "coreweave", "a.csv", usage(*(f"{hour},{one},GPU Hours,h100,," for one in most)))
    staged = "stg_focus_usage__gpu_hours_daily"
    answers = built(made, now=NOW, graph=cloud_graph([staged]))
    assert answers.rows(f"select used_milliseconds, line_count from {staged}") == [
        {"used_milliseconds": None, "line_count": 4}
    ]


def test_hours_that_the_issuer_says_are_accrued_at_the_rate_agreed_and_else_all_of_them(tmp_path: Path) -> None:
    """B22: 24.5 GPU-hours and 3 h of an 8-GPU node at $2.40, exactly; what no file names is around the clock."""
    rates = {"issuer": "coreweave", "gpu_count": 8, "contract_rate_per_gpu_hour": "2.40", "from": "2026-11-02",
             "to": "2026-11-04"}  # fmt: skip
    made = SmallProject(
        tmp_path,
        [source("focus_usage", "coreweave")],
        {"gpu_resources": [{**rates, "resource_id": one, "host": one} for one in ("h100", "node")]},
    )
    node = "2026-11-02T05:00:00Z,2026-11-02T08:00:00Z,,3,Hours,,node,"
    disk = "2026-11-02T05:00:00Z,2026-11-02T08:00:00Z,,900,GB Hours,h100,,"
    made.drop("focus_usage", "coreweave", "a.csv", usage(*H100, node, disk))
    laws = ["check_gpu_time_conserved", "check_gpu_hours_are_known", "check_owner_money_conserved"]
    answers = built(made, now=NOW, graph=cloud_graph(["fct_gpu_costs_daily", "fct_owner_costs_daily", *laws]))
    assert broken_laws(answers, laws) == []
    asked = """
    select usage_date, resource_id, cost_measure, sum(gpu_milliseconds) / 3600000 as hours, sum(realized_cost) as cost
    from fct_gpu_costs_daily group by all order by all
    """
    assert [tuple(one.values()) for one in answers.rows(asked)] == [
        (date(2026, 11, 2), "h100", "accrued", 24.5, Decimal("58.80")),
        (date(2026, 11, 2), "node", "accrued", 24, Decimal("57.60")),
        (date(2026, 11, 3), "h100", "accrued", 192, Decimal("460.80")),
        (date(2026, 11, 3), "node", "accrued", 192, Decimal("460.80")),
    ]
