"""Vast.ai's charges: a day at a time, every page of it, and lines that come to what each row costs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import QuarantineError, SourceError
from pipeline.landing.fetched import Fetched
from pipeline.sources.gpu_bill import LINES
from pipeline.sources.http import window_settings
from pipeline.sources.ingest import ingest
from pipeline.sources.recognise import recognise_bytes
from pipeline.sources.vast_charges import SOURCE, drop, fetch, parse
from tests.pipeline.small_project import SmallProject, source
from tests.sources.admin_api import KEY, NOW, Answer, Sleeps, context, serving
from tests.sources.test_digitalocean_invoices import invoice_explained

DAY = int(datetime(2026, 11, 13, tzinfo=UTC).timestamp())
OF_DAY = window_settings(datetime(2026, 11, 13, tzinfo=UTC), datetime(2026, 11, 14, tzinfo=UTC))


def part(kind: str, description: str, amount: float, **fields: Any) -> dict[str, Any]:
    said = {"start": DAY, "end": DAY, "type": kind, "source": None, "description": description, "amount": amount}
    return {**said, "metadata": {}, "items": [], **fields}


def row(number: int = 12345678, *, at: int = DAY, **fields: Any) -> dict[str, Any]:
    """A day of an instance: 24 hours at 0.389 are 9.336; with storage and bandwidth 9.605."""
    items = [
        part("gpu", "24.000 hours at $0.389/hour", 9.336, start=at, end=at),
        part("disk", "40 GB", 0.25, start=at, end=at),
        part("bwd", "1.9 GB", 0.019, start=at, end=at),
    ]
    said = {
        "start": at, "end": at, "type": "instance", "source": f"instance-{number}",
        "description": f"Instance {number} Charges - 1 day", "amount": 9.605,
        "metadata": {"label": "train", "template_id": 101}, "items": items,
    }  # fmt: skip
    return {**said, **fields}


def page(*rows: Mapping[str, Any], token: str | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "success": True, "count": len(rows), "total": len(rows), "next_token": token, "results": list(rows), **fields,
    }  # fmt: skip


@dataclass
class Vast:
    """Charges by the first second of their day; `faults` are answered first."""

    days: dict[int, list[dict[str, Any]]] = field(default_factory=lambda: {DAY: [row()]})
    most: int = 100
    never_closes: bool = False
    faults: list[Answer] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    base_url: str = ""

    def answer(self, path: str, params: list[tuple[str, str]], headers: Mapping[str, str]) -> Answer:
        asked = dict(params)
        self.asked.append(asked)
        if self.faults:
            return self.faults.pop(0)
        if headers.get("authorization") != f"Bearer {KEY}" or path != "/api/v0/charges/":
            return Answer(status=401, body=b'{"success": false, "error": "auth_error", "msg": "Invalid user key"}')
        days = json.loads(asked["select_filters"])["day"]
        rows = [
            one for start, found in sorted(self.days.items()) if days["gte"] <= start <= days["lte"] for one in found
        ]
        first, size = int(asked.get("after_token", "0")), min(int(asked["limit"]), self.most)
        more = first + size < len(rows) or self.never_closes
        body = page(*rows[first : first + size], token=str(first + size) if more else None)
        return Answer(body=json.dumps(body, indent=1).encode())


def fetched(api: Vast, *, first: int = 13, sleeps: Sleeps | None = None, **more: Any) -> list[Fetched]:
    with serving(api):
        return list(fetch(context(api, from_at=datetime(2026, 11, first, tzinfo=UTC), sleeps=sleeps, **more)))


def lines_in(content: bytes, settings: Mapping[str, Any] = OF_DAY) -> list[dict[str, Any]]:
    frame = parse(content, settings)[LINES.name]
    assert dict(frame.schema) == LINES.schema
    return frame.to_dicts()


def lines_of(*rows: Mapping[str, Any]) -> list[dict[str, Any]]:
    return lines_in(json.dumps([page(*rows)]).encode())


def test_each_day_is_asked_for_by_itself_with_both_ends_inside() -> None:
    """B2: what a row's end means is only known where one day was asked for."""
    api = Vast()
    deliveries = fetched(api)
    assert [json.loads(asked["select_filters"])["day"] for asked in api.asked] == [
        {"gte": DAY + 86_400 * number, "lte": DAY + 86_400 * (number + 1) - 1} for number in range(3)
    ]
    assert {asked["limit"] for asked in api.asked} == {"100"}
    assert [(one.from_at, one.to_at, one.complete, one.stated_at) for one in deliveries] == [
        (datetime(2026, 11, day, tzinfo=UTC), datetime(2026, 11, day + 1, tzinfo=UTC), True, NOW)
        for day in (13, 14, 15)
    ]


def test_pages_are_followed_by_their_token_and_a_chain_that_goes_round_never_counts() -> None:
    api = Vast(days={DAY: [row(number) for number in range(1, 6)]}, most=2)
    first, *_ = fetched(api)
    assert [asked.get("after_token") for asked in api.asked[:3]] == [None, "2", "4"]
    lines = lines_in(next(iter(first.payloads)).content)
    assert [line["line_number"] for line in lines] == [13_000_000 + number for number in range(1, 16)]
    assert [line["resource_id"] for line in lines][::3] == ["1", "2", "3", "4", "5"]
    (endless,) = {one.complete for one in fetched(Vast(never_closes=True, days={}, most=0))}
    assert not endless


def test_a_rows_items_are_lines_with_their_kind_and_their_hours() -> None:
    gpu, disk, network = lines_of(row())
    assert (gpu["charge_kind"], gpu["resource_id"], gpu["amount"]) == ("gpu_instance", "12345678", "9.336")
    assert (gpu["quantity"], gpu["unit"], gpu["unit_price"], gpu["gpu_count"]) == ("24.000", "hours", "0.389", None)
    assert [(line["charge_kind"], line["amount"]) for line in (disk, network)] == [
        ("storage", "0.25"), ("network", "0.019"),
    ]  # fmt: skip
    assert {line["invoice_id"] for line in (gpu, disk, network)} == {"2026-11"}
    assert {line["bucket"] for line in (gpu, disk, network)} == {"2026-11-13"}


amounts = st.decimals(Decimal("-999.9999"), Decimal("999.9999"), places=4)


@given(whole=amounts, parts=st.lists(st.tuples(st.sampled_from(["gpu", "disk", "bwu", "tax", "odd"]), amounts)))
def test_lines_come_to_what_the_row_costs_whatever_its_items_say(whole: Decimal, parts: list[Any]) -> None:
    """B24: nothing is lost where items leave some of it out, and nothing is added."""
    items = [part(kind, "", float(amount)) for kind, amount in parts]
    lines = lines_of(row(amount=float(whole), items=items))
    assert sum(Decimal(line["amount"]) for line in lines) == whole
    assert len(lines) in (len(parts), len(parts) + 1)


def test_what_no_item_says_is_a_line_of_its_own() -> None:
    *_, rest = lines_of(row(amount=9.7))
    assert (rest["charge_kind"], rest["amount"]) == ("other", "0.095")
    assert rest["description"].endswith("what no item says")


def test_hours_that_do_not_come_to_the_amount_are_no_quantity() -> None:
    """B7."""
    (line,) = lines_of(row(items=[part("gpu", "24.000 hours at $0.389/hour", 4.0)], amount=4.0))
    assert line["quantity"] is None
    assert line["description"].endswith("24.000 hours at $0.389/hour")


@pytest.mark.parametrize(
    ("start", "end", "period"),
    [
        (DAY, DAY, ("2026-11-13T00:00:00Z", "2026-11-14T00:00:00Z")),
        (DAY, DAY + 86_400, ("2026-11-13T00:00:00Z", "2026-11-14T00:00:00Z")),
        (DAY + 3_600, DAY + 7_200, ("2026-11-13T01:00:00Z", "2026-11-13T02:00:00Z")),
        (DAY + 0.5, DAY + 7_200.25, ("2026-11-13T00:00:00Z", "2026-11-13T02:00:00Z")),
    ],
)
def test_a_time_within_the_day_is_taken_as_it_is_said(start: float, end: float, period: tuple[str, str]) -> None:
    (line,) = lines_of(row(start=start, end=end, items=[]))
    assert (line["period_start"], line["period_end"]) == period


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"amount": None}, "page 1, row 1: amount is missing"),
        ({"amount": "n/a"}, "amount is 'n/a'"),
        ({"start": None}, "start is missing"),
        ({"start": DAY * 1000}, "not Unix seconds"),
        ({"end": DAY + 3 * 86_400}, "more than one UTC day"),
        ({"start": DAY + 86_400, "end": DAY + 86_400, "items": []}, "outside the window"),
        ({"items": [7]}, "items is no list of objects"),
        ({"items": [part("gpu", "", 1, start=DAY - 86_400, end=DAY - 86_400)]}, "outside the window"),
        ({"source": 7}, "source is 7, not text"),
        ({"currency": "EUR"}, "row 1: the currency is 'EUR', and its amounts are taken for USD"),
        ({"items": [part("gpu", "", 1, currency="eur")]}, "item 1: the currency is 'eur'"),
    ],
)
def test_a_row_that_drifted_is_refused_with_its_place(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(QuarantineError, match=words):
        lines_of(row(**fields))


def test_a_later_field_is_kept_and_so_is_a_type_that_nobody_knows() -> None:
    (line,) = lines_of(row(type="reserved", items=[], discount="spring", currency="usd"))
    assert line["charge_kind"] == "other"
    assert '"discount": "spring"' in line["other_columns"]
    assert '"type": "reserved"' in line["other_columns"]


def test_a_row_on_two_pages_is_refused_and_so_is_a_page_that_says_there_are_more() -> None:
    """B12."""
    twice = json.dumps([page(row(), token="t"), page(row())]).encode()
    with pytest.raises(QuarantineError, match="twice, and would count twice"):
        lines_in(twice)
    with pytest.raises(QuarantineError, match="the last alone has no next_token"):
        lines_in(json.dumps(page(row(), token="t")).encode())
    with pytest.raises(QuarantineError, match="Host users do not have instance charges"):
        lines_in(json.dumps(page(success=False, msg="Host users do not have instance charges")).encode())


def test_a_limit_is_waited_out_and_a_key_that_is_refused_is_not_printed() -> None:
    sleeps = Sleeps()
    faults = [Answer(status=429, headers={"Retry-After": "7"}), Answer(body=b'{"success": false, "msg": "day"}')]
    assert len(fetched(Vast(faults=faults), sleeps=sleeps)) == 3
    assert sleeps.seconds == [7.0, 2.0]
    with pytest.raises(SourceError, match=r"Vast\.ai API key") as refused:
        fetched(Vast(), environment={"ACME_ADMIN_KEY": "vast_NEVER-PRINT-ME"})
    assert "NEVER-PRINT-ME" not in str(refused.value)


def test_doctor_asks_for_one_charge_of_yesterday() -> None:
    assert SOURCE.probe is not None
    api = Vast()
    with serving(api):
        (probe,) = SOURCE.probe(context(api))
        assert probe.ask(5).access == "allowed"
    (asked,) = api.asked
    assert asked["limit"] == "1"
    assert json.loads(asked["select_filters"])["day"]["gte"] == DAY + 86_400


OLD = [
    {"type": "charge", "description": "Instance 123 GPU charge: hours * $/hr", "timestamp": DAY + 5,
     "quantity": "10.000", "rate": "0.1000", "amount": "1.000", "instance_id": 123},
    {"type": "charge", "description": "Instance 123 storage charge", "timestamp": DAY + 6, "quantity": "40.0",
     "rate": "0.001", "amount": "0.04", "instance_id": 123},
    {"type": "payment", "description": "Stripe", "timestamp": DAY + 7, "quantity": "1", "rate": "1", "amount": "-50.00",
     "instance_id": None},
    {"type": "adjustment", "description": "", "timestamp": DAY + 8, "amount": "0.5"},
]  # fmt: skip


def test_rows_of_the_older_invoices_are_of_their_day_and_payments_are_no_charges() -> None:
    content = json.dumps(OLD).encode()
    assert recognise_bytes("x.json", content).source == "vast_charges"
    delivery = drop("invoices.json", content, {})
    assert delivery.from_at == datetime(2026, 11, 13, tzinfo=UTC)
    gpu, disk, odd = lines_in(content, delivery.settings)
    assert (gpu["charge_kind"], gpu["resource_id"], gpu["quantity"], gpu["unit_price"]) == (
        "gpu_instance", "123", "10.000", "0.1000",
    )  # fmt: skip
    assert (gpu["period_start"], gpu["period_end"]) == ("2026-11-13T00:00:00Z", "2026-11-14T00:00:00Z")
    assert (disk["charge_kind"], disk["quantity"], odd["charge_kind"], odd["amount"]) == (
        "storage",
        None,
        "other",
        "0.5",
    )


def test_a_saved_answer_of_a_day_speaks_for_it_and_one_of_several_is_refused() -> None:
    """B12: what days beside the first cost would count again once they are asked for."""
    content = json.dumps(page(row())).encode()
    assert recognise_bytes("x.json", content).source == "vast_charges"
    delivery = drop("x.json", content, {})
    assert (delivery.from_at, delivery.to_at) == (
        datetime(2026, 11, 13, tzinfo=UTC),
        datetime(2026, 11, 14, tzinfo=UTC),
    )
    several = json.dumps(page(row(start=DAY - 3 * 86_400))).encode()
    with pytest.raises(QuarantineError, match="Save each day by itself"):
        parse(several, drop("x.json", several, {}).settings)


def test_a_declared_instance_has_gpu_hours_and_all_else_is_beside_it(tmp_path: Path) -> None:
    """By hand: an instance of two GPUs for 24 hours is 48 GPU-hours at 9.336 a day; the rest of the day is 0.269."""
    instance = {"issuer": "vast", "resource_id": "12345678", "host": "train-1", "gpu_count": 2, "from": "2026-11-01"}
    days = {DAY + 86_400 * number: [row(at=DAY + 86_400 * number)] for number in (0, 1)}
    with serving(Vast(days=days)) as api:
        said = source("vast_charges", "vast", key_env="VAST_KEY", base_url=api.base_url, horizon="2026-11-13")
        project = SmallProject(
            tmp_path, [{name: value for name, value in said.items() if name != "inbox"}],
            other_sections={"gpu_resources": [instance]},
        )  # fmt: skip
        opened = project.project
        opened.land_config(NOW)
        (brought,) = ingest(opened, now=NOW, environment={"VAST_KEY": KEY}, sleep=Sleeps())
    assert brought.error is None
    answers = project.build(now=NOW)
    assert answers.rows(
        "select usage_date, sum(realized_cost) as cost, sum(gpu_milliseconds) as ms from fct_gpu_costs_daily "
        "where resource_id = '12345678' and deployment_id is null and state = 'unobserved' group by 1 order by 1"
    ) == [
        {"usage_date": date(2026, 11, day), "cost": Decimal("9.336"), "ms": 48 * 3_600_000} for day in (13, 14)
    ]  # fmt: skip
    assert answers.rows(
        "select invoice_id, in_scope_cost, out_of_scope_cost, status from fct_invoices_monthly"
    ) == [
        {"invoice_id": "2026-11", "in_scope_cost": Decimal("18.672"), "out_of_scope_cost": Decimal("0.538"),
         "status": "no_total"}
    ]  # fmt: skip
    assert answers.rows("select usage_date, status from fct_source_coverage_daily order by 1") == [
        {"usage_date": date(2026, 11, 13), "status": "settled"},
        {"usage_date": date(2026, 11, 14), "status": "settled"},
        {"usage_date": date(2026, 11, 15), "status": "open"},
    ]
    explained = invoice_explained(answers, project, "2026-11")
    assert explained.holds, explained.equalities
    for check in ("cloud_book_of_record", "gpu_money_conserved", "gpu_time_conserved", "owner_money_conserved"):
        assert answers.rows(f"select * from check_{check}") == []
