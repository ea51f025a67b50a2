"""Fireworks' usage costs: units and billionths, pages that come to their subtotal, and one dimension at a time."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, QuarantineError, SourceError
from pipeline.landing.fetched import Fetched
from pipeline.sources.fireworks_costs import LINES, SOURCE, drop, fetch, parse
from pipeline.sources.recognise import recognise_bytes
from tests.sources.admin_api import NOW, Answer, Sleeps, context, serving
from tests.sources.fireworks import MODEL, PATH, Fireworks, answer, cost_row, costs_csv, money

FROM = datetime(2026, 11, 3, tzinfo=UTC)
ACCOUNT = {"account_id": "acme-team"}


def fetched(
    fireworks: Fireworks, *, from_at: datetime = FROM, sleeps: Sleeps | None = None, **said: Any
) -> list[Fetched]:
    settings = {**ACCOUNT, **said.pop("settings", {})}
    with serving(fireworks) as api:
        return list(fetch(context(api, from_at=from_at, sleeps=sleeps, **{**settings, **said})))


def lines(content: bytes, settings: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    frame = parse(content, settings or {})[LINES.name]
    assert dict(frame.schema) == LINES.schema
    return frame.to_dicts()


def of(*rows: Mapping[str, Any], **more: Any) -> list[dict[str, Any]]:
    return lines(json.dumps(answer(*rows, **more)).encode())


def test_a_window_is_asked_for_by_the_day_and_one_dimension_of_the_whole_account() -> None:
    fireworks = Fireworks([cost_row("2026-11-03", "8.4")])
    (delivery,) = fetched(fireworks)
    assert fireworks.asked == [
        (
            PATH,
            {
                "startTime": "2026-11-03T00:00:00Z",
                "endTime": "2026-11-16T00:00:00Z",
                "scope": "ACCOUNT",
                "groupBy": ["DAY", "MODEL"],
                "pageSize": 1000,
            },
        )
    ]
    assert (delivery.stated_at, delivery.stated_by, delivery.complete) == (NOW, "http_date", True)
    (row,) = lines(next(iter(delivery.payloads)).content, delivery.settings)
    assert (row["usage_date"], row["amount"], row["currency"], row["model"]) == (
        date(2026, 11, 3), "8.400000000", "USD", MODEL,
    )  # fmt: skip
    assert (row["provider"], row["charge_kind"], row["token_class"], row["other_columns"]) == (
        "fireworks", "other", None, None,
    )  # fmt: skip


@given(amounts=st.lists(st.decimals(min_value="-1e6", max_value="1e9", places=9), min_size=1, max_size=12))
def test_units_and_billionths_are_the_amount_to_the_last_of_them(amounts: list[Decimal]) -> None:
    """B4, B9: rows that are alike are two."""
    rows = of(*(cost_row("2026-11-03", f"{amount:f}") for amount in amounts))
    assert [Decimal(row["amount"]) for row in rows] == amounts


def test_every_page_is_fetched_and_counted_once() -> None:
    rows = [cost_row(f"2026-11-{3 + number % 4:02d}", "0.000000001", model=f"m-{number}") for number in range(7)]
    fireworks = Fireworks(rows, page_rows=3)
    (delivery,) = fetched(fireworks)
    assert [question.get("pageToken") for _, question in fireworks.asked] == [None, "at-3", "at-6"]
    assert [payload.name for payload in delivery.payloads] == ["page-0001.json", "page-0002.json", "page-0003.json"]
    found = [row for payload in delivery.payloads for row in lines(payload.content, delivery.settings)]
    assert sorted(row["model"] for row in found) == [f"m-{number}" for number in range(7)]
    assert delivery.complete
    assert "short" not in delivery.settings


def test_a_chain_that_goes_round_is_never_current() -> None:
    (delivery,) = fetched(Fireworks([cost_row("2026-11-03", "1")] * 4, page_rows=2, never_closes=True))
    assert not delivery.complete


@pytest.mark.parametrize("token", [7, ["at-2"], {"at": 2}])
def test_a_token_that_is_no_text_is_never_asked_with(token: Any) -> None:
    api = Fireworks([cost_row("2026-11-03", "1")], said={"nextPageToken": token})
    (delivery,) = fetched(api)
    assert (delivery.complete, len(api.asked)) == (False, 1)


def test_rows_that_come_to_less_than_the_subtotal_are_refused_with_both() -> None:
    """Law 3: what is attributed to nobody's day is not 0."""
    said = {"subtotal": money("12.5"), "attributionCompleteness": "INCOMPLETE"}
    (delivery,) = fetched(Fireworks([cost_row("2026-11-03", "8.4")], said=said))
    words = "come to USD 8.400000000, its subtotal to USD 12.500000000, attribution INCOMPLETE"
    with pytest.raises(QuarantineError, match=words):
        lines(next(iter(delivery.payloads)).content, delivery.settings)
    other = Fireworks([cost_row("2026-11-03", "8.4")], said={"subtotal": money("8.4", "EUR")})
    (delivery,) = fetched(other)
    with pytest.raises(QuarantineError, match=r"come to USD 8\.400000000, its subtotal to EUR 8\.400000000"):
        lines(next(iter(delivery.payloads)).content, delivery.settings)


@pytest.mark.parametrize("subtotal", [None, {}, {"units": "8"}, {"currencyCode": "USD", "units": "8.4"}])
def test_rows_beside_a_subtotal_that_cannot_be_read_are_not_known_to_be_all(subtotal: Any) -> None:
    (delivery,) = fetched(Fireworks([cost_row("2026-11-03", "8.4")], said={"subtotal": subtotal}))
    with pytest.raises(QuarantineError, match=r"come to USD 8\.400000000, its subtotal to nothing"):
        lines(next(iter(delivery.payloads)).content, delivery.settings)


def test_an_attribution_that_is_not_complete_is_told_where_the_money_is_whole() -> None:
    (delivery,) = fetched(Fireworks([cost_row("2026-11-03", "8.4")], said={"attributionCompleteness": "INCOMPLETE"}))
    (row,) = lines(next(iter(delivery.payloads)).content, delivery.settings)
    assert (row["amount"], row["other_columns"]) == ("8.400000000", '{"attributionCompleteness": "INCOMPLETE"}')


def test_an_account_without_usage_says_so() -> None:
    (delivery,) = fetched(Fireworks([], said={"rows": []}))
    assert delivery.complete
    assert lines(next(iter(delivery.payloads)).content, delivery.settings) == []


def test_what_has_no_model_counts_under_none() -> None:
    rows = of(
        cost_row("2026-11-03", "1", unattributedDimensions=["MODEL"]),
        cost_row("2026-11-03", "2", unknownModel=True),
        cost_row("2026-11-03", "3", apiKeyId="key_4nMF"),
        cost_row("2026-11-03", "4", user="accounts/acme-team/users/alice"),
    )
    assert [(row["model"], row["api_key_id"], row["sub_account_id"]) for row in rows] == [
        (None, None, None),
        (None, None, None),
        (None, "key_4nMF", None),
        (None, None, "accounts/acme-team/users/alice"),
    ]
    assert '"unattributedDimensions": ["MODEL"]' in rows[0]["other_columns"]


def test_the_api_reaches_a_hundred_days_back_and_a_month_at_once() -> None:
    fireworks = Fireworks([])
    fetched(fireworks, from_at=datetime(2026, 1, 1, tzinfo=UTC), settings={"group_by": "api_key"})
    starts = [datetime.fromisoformat(question["startTime"]) for _, question in fireworks.asked]
    stops = [datetime.fromisoformat(question["endTime"]) for _, question in fireworks.asked]
    assert starts[0] == datetime(2026, 8, 8, tzinfo=UTC)
    assert NOW - starts[0] < timedelta(days=100)
    assert max(stop - start for start, stop in zip(starts, stops, strict=True)) == timedelta(days=31)
    assert starts[1:] == stops[:-1]
    assert {tuple(question["groupBy"]) for _, question in fireworks.asked} == {("DAY", "API_KEY")}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"subtotal": None}, "page 1, row 1: no subtotal with a currencyCode"),
        ({"subtotal": {}}, "is not said is not 0"),
        ({"subtotal": {"currencyCode": "usd", "units": "1"}}, "the currency is 'usd'"),
        ({"subtotal": {"currencyCode": "USD", "units": "1.5"}}, "units is '1.5', not a whole number"),
        ({"subtotal": {"currencyCode": "USD", "units": True}}, "units is True"),
        ({"subtotal": {"currencyCode": "USD", "units": "9" * 20}}, "not a whole number"),
        ({"subtotal": {"currencyCode": "USD", "nanos": 10**9}}, "nanos is 1000000000, not billionths"),
        ({"subtotal": {"currencyCode": "USD", "nanos": "5"}}, "nanos is '5'"),
        ({"subtotal": {"currencyCode": "USD", "units": "-1", "nanos": 5}}, "of two signs"),
        ({"dimensions": {"model": "m"}}, "no startTime.*Group by DAY"),
        ({"dimensions": {"startTime": "2026-11-03", "model": "m"}}, "startTime is '2026-11-03'"),
        ({"dimensions": {"startTime": "2026-11-03T00:00:00Z", "model": 3}}, "model is 3, not text"),
        ({"dimensions": None}, "row 1: no `dimensions`"),
    ],
)
def test_a_row_that_drifted_is_refused_with_its_place(row: dict[str, Any], words: str) -> None:
    """B4, B24."""
    content = json.dumps({"rows": [{**cost_row("2026-11-03", "1"), **row}], "subtotal": money("1")}).encode()
    with pytest.raises(QuarantineError, match=words):
        lines(content)


def test_a_row_of_another_month_is_refused() -> None:
    november = {"window_from": "2026-11-01T00:00:00Z", "window_to": "2026-12-01T00:00:00Z"}
    with pytest.raises(QuarantineError, match="outside the window"):
        lines(json.dumps(answer(cost_row("2026-10-31", "1"))).encode(), november)


def test_a_limit_is_waited_out_and_the_same_question_asked_again() -> None:
    sleeps = Sleeps()
    faults = [Answer(status=429, headers={"Retry-After": "9"}), Answer(body=b"[]"), Answer(body=b"{}", cut_to=1)]
    fireworks = Fireworks([cost_row("2026-11-03", "1")], faults=faults)
    (delivery,) = fetched(fireworks, sleeps=sleeps)
    assert sleeps.seconds == [9.0, 2.0, 4.0]
    assert len({json.dumps(question) for _, question in fireworks.asked}) == 1
    assert len(list(delivery.payloads)) == 1


def test_a_wrong_key_is_said_without_the_key_and_a_name_cannot_leave_the_path() -> None:
    with pytest.raises(SourceError, match="an administrator") as refused:
        fetched(Fireworks(), environment={"ACME_ADMIN_KEY": "fw_NEVER-PRINT-ME"})
    assert "NEVER-PRINT-ME" not in str(refused.value)
    fireworks = Fireworks(faults=[Answer(body=json.dumps(answer()).encode())])
    fetched(fireworks, settings={"account_id": "../x?y=1#z"})
    assert fireworks.asked[0][0] == "/v1/accounts/..%2Fx%3Fy%3D1%23z/usageCosts:query"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"account_id": None}, "account_id is 'missing'"),
        ({"account_id": " "}, "Say the account's name"),
        ({"account_id": ".."}, "Say the account's name"),
        ({"group_by": "hour"}, "group_by is .hour.*It is one of model, api_key, user"),
    ],
)
def test_a_setting_that_cannot_be_so_is_said_before_anything_is_asked(settings: dict[str, Any], words: str) -> None:
    fireworks = Fireworks()
    with pytest.raises(ConfigError, match=words):
        fetched(fireworks, settings=settings)
    assert fireworks.asked == []


def test_doctor_asks_for_one_row_of_yesterday() -> None:
    assert SOURCE.probe is not None
    fireworks = Fireworks()
    with serving(fireworks) as api:
        (probe,) = SOURCE.probe(context(api, **ACCOUNT))
        assert probe.ask(5).access == "allowed"
        fireworks.faults.append(Answer(status=403, body=b'{"error": {"message": "permission denied"}}'))
        assert probe.ask(5).access == "not_permitted"
    (path, question), _ = fireworks.asked
    assert (path, question["startTime"], question["pageSize"]) == (PATH, "2026-11-14T00:00:00Z", 1)


def test_the_export_says_the_same_by_its_six_columns() -> None:
    content = costs_csv(
        f"acme-team,2026-11-03,model,{MODEL},8.400000000,USD",
        "acme-team,2026-11-03,model,unknown_model,0.000000001,USD",
        "acme-team,2026-11-05,model,unattributed,1.000000000,USD",
    )
    assert recognise_bytes("x.csv", content).source == "fireworks_costs"
    assert recognise_bytes("x.json", json.dumps(answer(cost_row("2026-11-03", "1"))).encode()).dataset == "bill"
    delivery = drop("usage_costs.csv", content, {})
    assert (delivery.from_at, delivery.to_at) == (FROM, datetime(2026, 11, 6, tzinfo=UTC))
    assert [(row["usage_date"].day, row["model"], row["amount"], row["description"]) for row in lines(content)] == [
        (3, MODEL, "8.400000000", None),
        (3, None, "0.000000001", "unknown_model"),
        (5, None, "1.000000000", "unattributed"),
    ]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["a,2026-11-03,model,m,1,USD", "a,2026-11-03,api_key,k,1,USD"], "row 3: account a by api_key, where row 2"),
        (["a,2026-11-03,model,m,1,USD", "b,2026-11-03,model,m,1,USD"], "row 3: account b by model"),
        (["a,2026-11-03,team,m,1,USD"], "row 2: grouped by 'team'"),
        (["a,2026-11-03,model,m,,USD"], "subtotal_usd is '', not a decimal number"),
        (["a,2026-11-03,model,m,1,dollars"], "the currency is 'dollars'"),
        (["a,03.11.2026,model,m,1,USD"], "date is '03.11.2026'"),
        (["a,2026-11-03,model,m,1,USD"] * 2, "row 3: 2026-11-03 m USD stands in it twice"),
        (["a,2026-11-03,model,m,1"], "5 cells where the header has 6"),
    ],
)
def test_an_export_that_cannot_be_read_is_refused_with_its_row(rows: list[str], words: str) -> None:
    """B12: what is grouped by two dimensions would be counted twice."""
    with pytest.raises(QuarantineError, match=words):
        lines(costs_csv(*rows))


def test_a_tier_and_a_key_are_no_model() -> None:
    (tier,) = lines(costs_csv("a,2026-11-03,model_tier,GLM 5.2 (Fast),1.0,USD"))
    assert (tier["model"], tier["description"]) == (None, "GLM 5.2 (Fast)")
    (key,) = lines(costs_csv("a,2026-11-03,api_key,key_4nMF,1.0,USD"))
    assert (key["model"], key["api_key_id"]) == (None, "key_4nMF")
