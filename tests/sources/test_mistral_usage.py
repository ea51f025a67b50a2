"""Mistral's usage: a month whole, paid units at their own price, and nothing guessed of what no page says."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import QuarantineError, SourceError
from pipeline.landing.fetched import Fetched
from pipeline.sources.mistral_usage import LINES, SOURCE, drop, fetch, parse
from pipeline.sources.recognise import recognise_bytes
from tests.sources.admin_api import NOW, Answer, Sleeps, context, serving
from tests.sources.mistral import LARGE, PRICES, Mistral, entry, month, used


def fetched(mistral: Mistral, *, from_at: datetime = NOW, sleeps: Sleeps | None = None, **said: Any) -> list[Fetched]:
    with serving(mistral) as api:
        return list(fetch(context(api, from_at=from_at, sleeps=sleeps, **said)))


def lines(answer: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    frame = parse(json.dumps(answer).encode(), settings or {})[LINES.name]
    assert dict(frame.schema) == LINES.schema
    return frame.to_dicts()


def test_a_month_is_asked_for_whole_and_each_month_is_a_delivery() -> None:
    mistral = Mistral()
    earlier, now = fetched(mistral, from_at=datetime(2026, 10, 20, tzinfo=UTC))
    assert mistral.asked == [("/usage", {"month": "10", "year": "2026"}), ("/usage", {"month": "11", "year": "2026"})]
    assert (earlier.from_at, earlier.to_at) == (datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    assert (now.from_at, now.to_at) == (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 16, tzinfo=UTC))
    assert (now.stated_at, now.complete) == (NOW, True)
    december = Mistral()
    fetched(december, from_at=datetime(2025, 12, 31, tzinfo=UTC), to_at=datetime(2026, 1, 2, tzinfo=UTC))
    assert [asked for _, asked in december.asked] == [{"month": "12", "year": "2025"}, {"month": "1", "year": "2026"}]


def test_a_day_that_is_fetched_by_itself_lands_its_month_until_now() -> None:
    """A daily job asks for yesterday, and the answer says what was used today as well."""
    entries = [entry("input", value, day=f"2026-11-{day:02d}") for day, value in ((5, 1), (14, 2), (15, 4))]
    mistral = Mistral({("11", "2026"): month(used(input=entries))})
    yesterday, today = datetime(2026, 11, 14, tzinfo=UTC), datetime(2026, 11, 15, tzinfo=UTC)
    (delivery,) = fetched(mistral, from_at=yesterday, to_at=today)
    assert (delivery.from_at, delivery.to_at) == (
        datetime(2026, 11, 1, tzinfo=UTC),
        datetime(2026, 11, 16, tzinfo=UTC),
    )
    frame = parse(next(iter(delivery.payloads)).content, delivery.settings)[LINES.name]
    assert frame["tokens"].to_list() == [1, 2, 4]


def test_each_lane_costs_what_is_paid_of_it_at_its_own_price() -> None:
    """By hand: 11,121 x 0.0000017, 1,115 x 0.0000051 and 200 x 0.00000017 euros; B1: lanes are disjoint."""
    rows = lines(month(used(input=[entry("input", 11_121)], output=[entry("output", 1_115)],
                            cached=[entry("cached", 200, day="2026-11-04")])))  # fmt: skip
    told = {row["token_class"]: (row["tokens"], Decimal(row["amount"]), row["usage_date"].day) for row in rows}
    assert told == {
        "input_uncached": (11_121, Decimal("0.0189057"), 3),
        "output": (1_115, Decimal("0.0056865"), 3),
        "input_cache_read": (200, Decimal("0.000034"), 4),
    }
    assert {(row["model"], row["currency"], row["class_split"]) for row in rows} == {(LARGE, "EUR", "billed")}


@given(st.lists(st.tuples(st.integers(1, 28), st.sampled_from(sorted(PRICES)), st.integers(0, 10**9)), max_size=12))
def test_the_days_sum_to_the_month_to_the_last_quantum(said: list[tuple[int, str, int]]) -> None:
    lanes: dict[str, list[dict[str, Any]]] = {}
    for day, lane, value in said:
        lanes.setdefault(lane, []).append(entry(lane, value, day=f"2026-11-{day:02d}"))
    rows = lines(month(used(**lanes)))
    whole = sum((Decimal(PRICES[lane]) * value for _, lane, value in said), Decimal(0))
    assert sum((Decimal(row["amount"]) for row in rows), Decimal(0)) == whole
    assert sum(row["tokens"] for row in rows) == sum(value for _, _, value in said)


def test_what_a_plan_includes_is_used_and_not_paid() -> None:
    (row,) = lines(month(used(input=[{**entry("input", 1_000), "value_paid": 250}])))
    assert (row["tokens"], Decimal(row["amount"])) == (1_000, Decimal("0.000425"))
    assert '"value_paid": 250' in row["other_columns"]
    (free,) = lines(month(used(input=[{**entry("input", 1_000), "value_paid": 0}]), prices=[]))
    assert (free["tokens"], free["amount"]) == (1_000, "0")


def test_pages_and_training_cost_and_are_no_tokens() -> None:
    page = entry("input", 42, metric="pages", event_type="pages")
    hour = entry("input", 3, metric="storage", event_type="storage")
    prices = [
        {"billing_metric": "pages", "billing_group": "input", "price": "0.01"},
        {"billing_metric": "storage", "billing_group": "input", "price": "2"},
    ]
    library = {"pages": {"models": {"ocr": {"input": [page]}}}}
    tuned = {"training": {}, "storage": {"tuned": {"input": [hour]}}}
    rows = lines(month(libraries_api=library, fine_tuning=tuned, prices=prices))
    assert [(row["charge_kind"], row["tokens"], row["amount"], row["description"]) for row in rows] == [
        ("other", None, "0.42", "libraries_api pages input"),
        ("other", None, "6", "fine_tuning storage input"),
    ]
    assert '"value": 42' in rows[0]["other_columns"]


def test_tokens_of_chat_and_of_vibe_code_are_tokens_too() -> None:
    rows = lines(month(chat={"models": used(output=[entry("output", 5)])},
                       vibe_code={"completion": {"models": used(output=[entry("output", 7)])}}))  # fmt: skip
    assert sorted(row["tokens"] for row in rows) == [5, 7]


def test_a_price_fits_by_every_field_that_both_state() -> None:
    zones = [
        {"billing_metric": LARGE, "billing_group": "input", "api_zone": zone, "price": price}
        for zone, price in (("eu", "0.001"), ("us", "0.002"))
    ]
    (row,) = lines(month(used(input=[entry("input", 10, api_zone="us")]), prices=zones))
    assert row["amount"] == "0.020"
    (said,) = lines(month(used(input=[entry("input", 10, api_zone="us", service_tier=None)]), prices=[
        {**zone, "service_tier": "standard"} for zone in zones
    ]))  # fmt: skip
    assert said["amount"] == row["amount"]  # a field of null states nothing
    with pytest.raises(QuarantineError, match="2 prices fit mistral-large-2411 input"):
        lines(month(used(input=[entry("input", 10)]), prices=zones))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (month(used(input=[entry("input", 1)]), prices=[]), "0 prices fit.*api_bill_csv"),
        (month(used(input=[{**entry("input", 1), "timestamp": None}])), "input 1: no timestamp.*api_bill_csv"),
        (month(used(input=[{**entry("input", 1), "value_paid": None}])), "no value_paid"),
        (month(used(input=[entry("input", -1)])), "value is -1, not a count"),
        (month(used(input=[entry("input", 1, day="3 November")])), "timestamp is '3 November'"),
        (month(used(reasoning=[entry("input", 1)])), "reasoning, which nobody has heard of"),
        (month(used(input=[3])), "int where an object should be"),  # type: ignore[list-item]
        (month({"m": []}), "list where an object should be"),  # type: ignore[dict-item]
        (month(currency=None, completion={"models": used(input=[entry("input", 1)])}), "currency is None"),
        (month(vibe_usage=3.5), "vibe_usage is '3.5', and nobody knows of what"),
        (month(video={"models": {"m": {}}}), "video: a category that nobody has heard of"),
        (month(ocr={"models": {}, "total": 12}), "ocr: total, which nobody has heard of"),
        (month(prices={"input": 1}), "`prices` is no list"),
        ({"data": []}, "this is not Mistral's usage.*api_bill_csv"),
    ],
)
def test_what_no_page_says_is_refused_with_its_place_and_what_works_today(answer: Any, words: str) -> None:
    """B4, B24: a category that is not read would be money that is lost."""
    with pytest.raises(QuarantineError, match=words):
        lines(answer)


def test_an_entry_of_another_month_is_refused() -> None:
    november = {"window_from": "2026-11-01T00:00:00Z", "window_to": "2026-12-01T00:00:00Z"}
    with pytest.raises(QuarantineError, match="outside the window"):
        lines(month(used(input=[entry("input", 1, day="2026-10-31")])), november)


NOVEMBER = month(used(input=[entry("input", 1)]))


def test_an_answer_of_another_month_than_the_one_that_was_asked_for_is_none() -> None:
    """B9: `month=` ignored. Asked for October it would be November twice, or an October without a cent."""
    for ignored in (NOVEMBER, month()):
        mistral = Mistral({("10", "2026"): ignored, ("11", "2026"): ignored})
        with serving(mistral) as api:
            asking = fetch(context(api, from_at=datetime(2026, 10, 20, tzinfo=UTC)))
            assert next(asking).from_at == datetime(2026, 11, 1, tzinfo=UTC)
            with pytest.raises(SourceError, match="of 2026-10, and that of 2026-11-01 came"):
                next(asking)
        october = {"window_from": "2026-10-01T00:00:00Z", "window_to": "2026-11-01T00:00:00Z"}
        with pytest.raises(QuarantineError, match="start_date: dated 2026-11-01, outside the window"):
            lines(ignored, october)  # as an earlier release landed it


@pytest.mark.parametrize(("end", "last"), [("2026-10-20T12:00:00Z", 20), ("2026-12-31", 31), ("2026-11-01", 31)])
def test_of_days_after_its_end_an_answer_says_nothing(end: str, last: int) -> None:
    answer = month(prices=[], start_date="2026-10-01", end_date=end)
    earlier, _ = fetched(Mistral({("10", "2026"): answer}), from_at=datetime(2026, 10, 20, tzinfo=UTC))
    assert earlier.to_at == datetime(2026, 10, last, tzinfo=UTC) + timedelta(days=1)
    saved = drop("usage.json", json.dumps(answer).encode(), {})
    assert (saved.from_at, saved.to_at) == (earlier.from_at, earlier.to_at)
    later = drop("usage.json", json.dumps({**answer, "start_date": "2026-10-09"}).encode(), {})
    assert later.from_at == datetime(2026, 10, 9, tzinfo=UTC)
    assert lines(json.loads(json.dumps({**answer, "start_date": "2026-10-09"})), later.settings) == []


@pytest.mark.parametrize("said", [{"start_date": None}, {"start_date": "2026-11-03", "end_date": "2026-11-02"}])
def test_an_answer_that_does_not_say_of_which_days_it_is_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match="and that of no month came"):
        fetched(Mistral({("11", "2026"): month(**said)}))
    with pytest.raises(QuarantineError, match=r"start_date|which is no time"):
        lines(month(**said))


def test_a_saved_answer_speaks_for_its_month() -> None:
    content = json.dumps(month(used(input=[entry("input", 1)]))).encode()
    assert recognise_bytes("x.json", content).source == "mistral_usage"
    delivery = drop("usage.json", content, {})
    assert (delivery.from_at, delivery.to_at) == (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    assert lines(month(), delivery.settings) == []
    (row,) = parse(content, delivery.settings)[LINES.name].to_dicts()
    assert row["usage_date"] == date(2026, 11, 3)


def test_a_limit_is_waited_out_and_a_wrong_key_is_said_without_the_key() -> None:
    sleeps = Sleeps()
    faults = [Answer(status=429, headers={"Retry-After": "9"}), Answer(body=b'{"data": []}'), Answer(status=503)]
    assert len(fetched(Mistral(faults=faults), sleeps=sleeps)) == 1
    assert sleeps.seconds == [9.0, 2.0, 4.0]
    with pytest.raises(SourceError, match="an Admin API key") as refused:
        fetched(Mistral(), environment={"ACME_ADMIN_KEY": "NEVER-PRINT-ME"})
    assert "NEVER-PRINT-ME" not in str(refused.value)


def test_doctor_asks_for_this_month_once() -> None:
    assert SOURCE.probe is not None
    mistral = Mistral()
    with serving(mistral) as api:
        (probe,) = SOURCE.probe(context(api))
        assert probe.ask(5).access == "allowed"
    assert mistral.asked == [("/usage", {"month": "11", "year": "2026"})]
