"""OpenRouter's activity: thirty days and no more, credits that are dollars, and keys of one's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from pipeline.errors import QuarantineError, SourceError
from pipeline.landing.fetched import Fetched
from pipeline.sources.openrouter_activity import LINES, SOURCE, drop, fetch, parse
from pipeline.sources.recognise import recognise_bytes
from tests.sources.admin_api import KEY, NOW, Answer, Sleeps, context, serving
from tests.sources.small_bills import OPENROUTER_HEADER, openrouter_answer, openrouter_row


@dataclass
class Router:
    """The activity endpoint: no pages, and every completed day of the last thirty."""

    rows: list[dict[str, Any]]
    faults: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)
    base_url: str = ""

    def answer(self, path: str, params: list[tuple[str, str]], headers: Mapping[str, str]) -> Answer:
        self.asked.append((path, params))
        if self.faults:
            return self.faults.pop(0)
        if headers.get("authorization") != f"Bearer {KEY}":
            return Answer(status=401, body=b'{"error": {"message": "no management key", "code": 401}}')
        return Answer(body=openrouter_answer(*self.rows))


def fetched(router: Router, *, sleeps: Sleeps | None = None) -> Fetched:
    with serving(router) as api:
        (delivery,) = fetch(context(api, sleeps=sleeps))
    return delivery


def lines(content: bytes, settings: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    return parse(content, settings or {})[LINES.name].to_dicts()


def days(delivery: Fetched) -> tuple[date, date]:
    assert delivery.from_at is not None
    assert delivery.to_at is not None
    return delivery.from_at.date(), delivery.to_at.date()


def test_all_completed_days_are_one_delivery_by_workspace() -> None:
    """The day under way is not in it; a day beyond the horizon is not taken for one without use."""
    first = NOW.date() - timedelta(days=20)
    router = Router([openrouter_row(date=f"{first} 00:00:00", workspace_id="w-1"), openrouter_row()])
    delivery = fetched(router)
    assert router.asked == [("/api/v1/activity", [("group_by", "workspace")])]
    assert days(delivery) == (date(2026, 10, 26), NOW.date())
    assert (delivery.stated_at, delivery.complete) == (NOW, True)
    (payload,) = delivery.payloads
    assert {row["sub_account_id"] for row in lines(payload.content, delivery.settings)} == {"w-1", None}
    assert days(fetched(Router([]))) == (NOW.date() - timedelta(days=29), NOW.date())


def test_a_server_whose_clock_is_ahead_speaks_for_no_day_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.sources.admin_api.SERVER_DATE", "Fri, 31 Dec 9999 23:59:59 GMT")
    assert days(fetched(Router([openrouter_row()])))[1] == NOW.date()


def test_credits_are_dollars_and_one_amount_is_split_by_count() -> None:
    """B1, B3, B7: cached tokens are part of the prompt, reasoning of the completion."""
    rows = lines(openrouter_answer(openrouter_row()))
    assert [(row["token_class"], row["tokens"], row["class_split"]) for row in rows] == [
        ("input_uncached", 350, "token_count"),
        ("input_cache_read", 250, "token_count"),
        ("output", 100, "token_count"),
    ]
    assert sum(Decimal(row["amount"]) for row in rows) == Decimal("0.35")
    assert {row["currency"] for row in rows} == {"USD"}
    assert {row["model"] for row in rows} == {"meta-llama/llama-3.3-70b-instruct"}
    assert '"reasoning_tokens": 40' in rows[0]["other_columns"]


def test_a_replayed_response_counts_more_cached_tokens_than_its_prompt_and_stays_whole() -> None:
    rows = lines(openrouter_answer(openrouter_row(cached_tokens=601)))
    assert [(row["token_class"], row["tokens"]) for row in rows] == [("input", 600), ("output", 100)]


def test_what_a_key_of_ones_own_paid_is_on_the_providers_bill_and_only_the_fee_is_here() -> None:
    """B8: the same tokens are metered by the provider too."""
    (row,) = lines(openrouter_answer(openrouter_row(usage=0.02, byok_usage_inference=0.4)))
    assert (row["amount"], row["tokens"], row["charge_kind"]) == ("0.02", None, "other")
    assert '"prompt_tokens": 600' in row["other_columns"]
    assert '"byok_usage_inference": 0.4' in row["other_columns"]


def test_a_floats_last_digits_are_no_money_and_are_kept() -> None:
    content = openrouter_answer(openrouter_row(usage=3.3333333333333335e-07, completion_tokens=0, cached_tokens=None))
    (row,) = lines(content)
    assert row["amount"] == "0.000000333333333333"
    assert "3.3333333333333335e-07" in row["other_columns"]


def test_the_export_says_the_same_under_other_names_and_fills_days_that_the_api_has_lost() -> None:
    content = (
        f"{OPENROUTER_HEADER}\n2026-09-01,openai/gpt-5-mini,0.5,0,3,100,25,5\n"
        "2026-09-03,openai/gpt-5-mini,0.25,,1,10,0,0\n"
    ).encode()
    delivery = drop("activity.csv", content, {})
    assert days(delivery) == (date(2026, 9, 1), date(2026, 9, 4))
    rows = lines(content, delivery.settings)
    assert [(row["usage_date"].day, row["token_class"], row["tokens"]) for row in rows] == [
        (1, "input", 100),
        (1, "output", 25),
        (3, "input", 10),
    ]
    assert sum(Decimal(row["amount"]) for row in rows) == Decimal("0.75")
    assert recognise_bytes("x.csv", content).source == "openrouter_activity"
    assert recognise_bytes("x.json", openrouter_answer(openrouter_row())).source == "openrouter_activity"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"usage": None}, "answer 1, row 1: usage is missing"),
        ({"prompt_tokens": -1}, "prompt_tokens is -1, not a count"),
        ({"completion_tokens": None}, "no prompt_tokens and completion_tokens"),
        ({"date": "2026-11-02 07:00:00"}, "not a UTC day"),
        ({"date": None}, "date is missing"),
        ({"model_permaslug": 3}, "model_permaslug is 3, not text"),
    ],
)
def test_a_row_that_drifted_is_refused_with_its_place(row: dict[str, Any], words: str) -> None:
    """B4, B24."""
    with pytest.raises(QuarantineError, match=words):
        lines(openrouter_answer(openrouter_row(**row)))


def test_a_column_of_a_later_release_is_kept() -> None:
    rows = lines(openrouter_answer(openrouter_row(region="eu")))
    assert '"region": "eu"' in rows[0]["other_columns"]


def test_a_limit_is_waited_out_and_a_wrong_key_is_said_without_the_key() -> None:
    sleeps = Sleeps()
    router = Router([openrouter_row()], faults=[Answer(status=429, headers={"Retry-After": "9"}), Answer(status=502)])
    assert len(list(fetched(router, sleeps=sleeps).payloads)) == 1
    assert sleeps.seconds == [9.0, 2.0]
    with serving(Router([])) as api, pytest.raises(SourceError, match="a management key") as refused:
        list(fetch(context(api, environment={"ACME_ADMIN_KEY": "sk-or-v1-NEVER-PRINT-ME"})))
    assert "NEVER-PRINT-ME" not in str(refused.value)


def test_doctor_asks_for_yesterday_once() -> None:
    assert SOURCE.probe is not None
    router = Router([])
    with serving(router) as api:
        (probe,) = SOURCE.probe(context(api))
        assert probe.ask(5).access == "allowed"
    assert router.asked == [("/api/v1/activity", [("date", "2026-11-14")])]
