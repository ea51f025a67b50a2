"""Usage in FOCUS's columns without cost, as CoreWeave exports it, accrued at the rate agreed."""

import json
from datetime import UTC, date, datetime, timedelta
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
    assert [row["bucket"] for row in used(content)] == ["2026-11-02T05", "2026-11-02T06", "2026-11-02T23"]
    landed = drop("usage_20261103T051122Z.csv", content, {})
    assert (landed.stated_at, landed.stated_by) == (datetime(2026, 11, 3, 5, 11, 22, tzinfo=UTC), "file_name")
    assert recognise_bytes("usage.csv", content).source == "focus_usage"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("2026-11-02T05:00:00Z,2026-11-02T07:00:00Z,,1,GPU Hours,h100,,", "row 2: .* is not within one hour"),
        ("2026-11-02T05:30:00Z,2026-11-02T06:30:00Z,,1,GPU Hours,h100,,", "row 2: .* is not within one hour"),
        ("2026-11-02T05:00:00Z,2026-11-02T05:00:00Z,,1,GPU Hours,h100,,", "row 2: .* is not within one hour"),
        ("9999-12-31T23:00:00Z,9999-12-31T23:59:00Z,,1,GPU Hours,h100,,", "row 2: ChargePeriodStart is '9999"),
        ("2026-11-02T05:00:00Z,2026-11-02T06:00:00Z,,-1,GPU Hours,h100,,", "row 2: ConsumedQuantity is -1, below 0"),
        (
            "2026-11-02T05:00:00Z,2026-11-02T06:00:00Z,,1e15,GPU Hours,h100,,",
            "row 2: ConsumedQuantity is .*, more than",
        ),
        ("yesterday,2026-11-03T06:00:00Z,,1,GPU Hours,h100,,", "row 2: ChargePeriodStart is 'yesterday'"),
        ("2026-11-02T05:00:00Z,2026-11-02T06:00:00Z,,,GPU Hours,h100,,", "row 2: ConsumedQuantity is ''"),
        ("2026-11-02T05:00:00Z,2026-11-02T06:00:00Z,,1,GPU Hours,,,", "row 2: none of ResourceId, SkuId, SkuMeter"),
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
    blank = usage(f"{row},", header=header)
    assert [one["quantity"] for one in used(blank)] == ["1"]
    assert recognise_bytes("usage.csv", blank).source == "focus_usage"
    assert recognise_bytes("usage.csv", usage(f"{row},", f"{row},0", header=header)).source != "focus_usage"
    assert recognise_bytes("usage.csv", usage(header=header)).source != "focus_usage"
    for cost in ("3.10", "0", "-1", "free"):
        with pytest.raises(
            QuarantineError, match=rf"row 2: BilledCost is {cost}\. What states its cost is source `focus`"
        ):
            parse(usage(f"{row},{cost}", header=header), {})


def test_a_row_that_is_there_twice_is_one_and_two_quantities_of_one_kind_are_refused() -> None:
    """Pages that overlap: B2. 8.5 and 8.50 are one number; another cluster is another row."""
    again, other = H100[1].replace("8.5", "8.50"), H100[1].replace("c-1", "c-2")
    assert [(row["quantity"], row["times_stated"]) for row in used(usage(*H100, again, other))] == [
        ("16", 1), ("8.5", 2), ("8.5", 1),
    ]  # fmt: skip
    with pytest.raises(QuarantineError, match=r"row 4: a second quantity of one hour and resource, 9 after 8\.5"):
        parse(usage(*H100, H100[1].replace("8.5", "9")), {})


SOLD = f"{HEADER},ProviderName,BillingPeriodStart"


def month_of(moment: str, *, seller: str = "CoreWeave", stated: str = "") -> date | None:
    end = datetime.fromisoformat(moment).replace(minute=59).isoformat()
    (row,) = used(usage(f"{moment},{end},,1,GPU Hours,h100,,,{seller},{stated}", header=SOLD))
    month: date | None = row["billing_month"]
    return month


def test_a_month_of_coreweave_ends_at_five_in_new_york() -> None:
    """Case 20, by CoreWeave's own calendar: 20:59Z is September's invoice and 21:30Z October's. B8."""
    assert month_of("2025-09-30T20:30:00+00:00") == date(2025, 9, 1)
    assert month_of("2025-09-30T21:30:00+00:00") == date(2025, 10, 1)
    first, hour = datetime(2025, 10, 30, tzinfo=UTC), timedelta(hours=1)
    november = [first + number * hour for number in range(34 * 24)]
    november = [moment for moment in november if month_of(moment.isoformat()) == date(2025, 11, 1)]
    assert (november[0], november[-1] + hour) == (
        datetime(2025, 10, 31, 21, tzinfo=UTC), datetime(2025, 11, 30, 22, tzinfo=UTC),
    )  # fmt: skip
    assert len(november) == 721
    # Whatever the file calls the month of CoreWeave's; of another issuer only the file knows.
    assert month_of("2025-09-30T21:30:00+00:00", stated="2025-09-01T00:00:00Z") == date(2025, 10, 1)
    assert month_of("2025-09-30T21:30:00+00:00", seller="Else", stated="2025-09-01T00:00:00Z") == date(2025, 9, 1)
    assert month_of("2025-09-30T21:30:00+00:00", seller="Else") is None


def test_hours_that_no_resource_has_are_unknown_and_never_a_sum_that_began_anew(tmp_path: Path) -> None:
    """What no hour has is refused; what no day of a resource has is unknown, however many lines say it."""
    hour, most = "2026-11-02T05:00:00Z,2026-11-02T06:00:00Z,", "99999999999999999999"
    with pytest.raises(QuarantineError, match="more than any"):
        parse(usage(f"{hour},{most},GPU Hours,h100,,"), {})
    made = SmallProject(tmp_path, [source("focus_usage", "coreweave")], {})
    lines = [f"{hour},{amount},GPU Hours,h100,,c-{amount}" for amount in ("999999999999", "999999999998", "5")]
    made.drop("focus_usage", "coreweave", "a.csv", usage(*lines))
    staged = "stg_focus_usage__gpu_hours_daily"
    answers = built(made, now=NOW, graph=cloud_graph([staged]))
    assert answers.rows(f"select used_hours, used_milliseconds, line_count from {staged}") == [
        {"used_hours": None, "used_milliseconds": None, "line_count": 3}
    ]


def node_hours(day: str, hours: range, quantity: str = "1") -> list[str]:
    return [f"{day}T{hour:02}:00:00Z,{day}T{hour:02}:59:59Z,,{quantity},Hours,,node," for hour in hours]


RATES = {"issuer": "coreweave", "gpu_count": 8, "contract_rate_per_gpu_hour": "2.40", "from": "2026-11-02",
         "to": "2026-11-04"}  # fmt: skip
LAWS = ["check_gpu_time_conserved", "check_gpu_hours_are_known", "check_owner_money_conserved"]


@pytest.fixture
def agreed(tmp_path: Path) -> SmallProject:
    """A SKU and a node of eight GPUs each, on 2 and 3 November."""
    return SmallProject(
        tmp_path,
        [source("focus_usage", "coreweave")],
        {"gpu_resources": [{**RATES, "resource_id": one, "host": one} for one in ("h100", "node")]},
    )


def accrued(made: SmallProject, *, now: datetime = NOW) -> list[tuple[Any, ...]]:
    answers = built(made, now=now, graph=cloud_graph(["fct_gpu_costs_daily", "fct_owner_costs_daily", *LAWS]))
    assert broken_laws(answers, LAWS) == []
    asked = """
    select usage_date, resource_id, cost_measure, sum(gpu_milliseconds) / 3600000 as hours, sum(realized_cost) as cost
    from fct_gpu_costs_daily group by all order by all
    """
    return [tuple(one.values()) for one in answers.rows(asked)]


def test_hours_that_the_issuer_says_are_accrued_at_the_rate_agreed_and_else_all_of_them(agreed: SmallProject) -> None:
    """B22: 24.5 GPU-hours and 3 h of an 8-GPU node at $2.40, exactly; what no file names is around the clock."""
    disk = "2026-11-02T05:00:00Z,2026-11-02T06:00:00Z,,900,GB Hours,h100,,"
    agreed.drop("focus_usage", "coreweave", "a.csv", usage(*H100, *node_hours("2026-11-02", range(5, 8)), disk))
    assert accrued(agreed) == [
        (date(2026, 11, 2), "h100", "accrued", 24.5, Decimal("58.80")),
        (date(2026, 11, 2), "node", "accrued", 24, Decimal("57.60")),
        (date(2026, 11, 3), "h100", "accrued", 192, Decimal("460.80")),
        (date(2026, 11, 3), "node", "accrued", 192, Decimal("460.80")),
    ]


def test_a_file_replaces_the_hours_of_which_it_has_rows_and_no_others(agreed: SmallProject) -> None:
    """B1, B2: the next month's file has the last hours of a day alone. A file again, and an hour anew, add nothing."""
    first, last = node_hours("2026-11-02", range(22)), node_hours("2026-11-02", range(22, 24))
    agreed.drop("focus_usage", "coreweave", "usage_20261104T060000Z.csv", usage(*first))
    agreed.drop("focus_usage", "coreweave", "usage_20261105T060000Z.csv", usage(*last))
    agreed.drop("focus_usage", "coreweave", "usage_20261106T060000Z.csv", usage(*first))
    assert (date(2026, 11, 2), "node", "accrued", 192, Decimal("460.80")) in accrued(agreed)
    half = node_hours("2026-11-02", range(1), "0.5")
    agreed.drop("focus_usage", "coreweave", "usage_20261107T060000Z.csv", usage(*half))
    later = accrued(agreed, now=datetime(2026, 11, 11, tzinfo=UTC))
    assert (date(2026, 11, 2), "node", "accrued", 188, Decimal("451.20")) in later
