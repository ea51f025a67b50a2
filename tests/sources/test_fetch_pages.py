"""Fetching from the Admin API: paging, windows, retries, refusals, and a key that is never printed."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from pipeline.errors import BreakevenError, ConfigError, SourceError
from pipeline.landing.fetched import Fetched
from pipeline.sources import anthropic_cost_api, anthropic_usage_api
from pipeline.sources.source import FetchContext, Source
from tests.sources.admin_api import KEY, NOW, AdminApi, Answer, Sleeps, context, serving

COST = anthropic_cost_api.SOURCE
USAGE = anthropic_usage_api.SOURCE


def _cost(at: datetime) -> list[Mapping[str, Any]]:
    return [{"amount": f"{at.day}.5", "currency": "USD", "description": "Output", "workspace_id": None}]


def _usage(at: datetime) -> list[Mapping[str, Any]]:
    return [{"uncached_input_tokens": at.hour, "output_tokens": 1, "model": "claude-opus-5"}]


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _fetch(source: Source, asked: FetchContext) -> list[Fetched]:
    assert source.fetch is not None
    return list(source.fetch(asked))


def _rows(source: Source, delivery: Fetched) -> list[dict[str, Any]]:
    dataset = source.datasets[0]
    table = dataset.tables[0].name
    frames = [dataset.parse(payload.content, delivery.settings)[table] for payload in delivery.payloads]
    return [row for frame in frames for row in frame.to_dicts()]


def test_first_run_fetches_from_the_horizon_in_windows_of_31_days() -> None:
    with serving(AdminApi(_cost)) as api:
        deliveries = _fetch(COST, context(api, horizon="2026-09-01"))
    assert [(delivery.from_at, delivery.to_at) for delivery in deliveries] == [
        (_day("2026-09-01"), _day("2026-10-02")),
        (_day("2026-10-02"), _day("2026-11-02")),
        (_day("2026-11-02"), _day("2026-11-16")),
    ]
    days = [row["bucket"] for delivery in deliveries for row in _rows(COST, delivery)]
    assert days == [f"{_day('2026-09-01') + timedelta(days=offset):%Y-%m-%d}" for offset in range(76)]


def test_the_limit_counts_buckets_and_the_chain_is_followed_with_other_parameters_unchanged() -> None:
    """The default limit cuts a month to a week (class B12: the rest is dropped without a word)."""
    with serving(AdminApi(_cost, largest_limit=7)) as api:
        (delivery,) = _fetch(COST, context(api, from_at=_day("2026-10-01"), to_at=_day("2026-11-01")))
    assert len(delivery.payloads) == 5
    assert delivery.complete
    assert sum(Decimal(row["amount"]) for row in _rows(COST, delivery)) == sum(range(1, 32)) + Decimal("15.5")
    without_page = [[pair for pair in params if pair[0] != "page"] for params in api.asked]
    assert all(params == without_page[0] for params in without_page)
    assert ("limit", "31") in without_page[0]
    assert [value for name, value in without_page[0] if name == "group_by[]"] == ["workspace_id", "description"]
    assert delivery.grouping == COST.datasets[0].grouping == "workspace_id,description"


def test_usage_is_asked_by_the_hour_a_week_on_a_page() -> None:
    with serving(AdminApi(_usage)) as api:
        (delivery,) = _fetch(USAGE, context(api, from_at=_day("2026-10-01"), to_at=_day("2026-10-31")))
    assert len(delivery.payloads) == 5
    rows = _rows(USAGE, delivery)
    assert len(rows) == 30 * 24
    assert sum(row["uncached_input_tokens"] for row in rows) == 30 * sum(range(24))
    assert set(api.paths) == {"/v1/organizations/usage_report/messages"}


def test_the_day_under_way_is_asked_for_and_stated_at_is_the_http_date() -> None:
    with serving(AdminApi(_cost)) as api:
        (delivery,) = _fetch(COST, context(api, from_at=_day("2026-11-14"), to_at=NOW))
    assert (delivery.to_at, delivery.stated_at, delivery.stated_by) == (_day("2026-11-16"), NOW, "http_date")


def test_what_was_fetched_before_an_error_can_be_landed_and_the_next_run_goes_on_from_there() -> None:
    with serving(AdminApi(_cost)) as api:
        fetching = anthropic_cost_api.fetch(context(api, horizon="2026-09-01"))
        first = next(fetching)
        api.always = Answer(status=500)
        with pytest.raises(SourceError, match="HTTP 500, 6 times"):
            next(fetching)
        api.always = None
        rest = _fetch(COST, context(api, from_at=first.to_at))
    assert rest[0].from_at == first.to_at
    assert len(rest) == 2


def test_a_limit_is_waited_out_as_long_as_the_server_asks() -> None:
    sleeps = Sleeps()
    faults = [
        Answer(status=429, headers={"Retry-After": "17"}),
        Answer(status=429, headers={"Retry-After": "Sun, 15 Nov 2026 06:00:40 GMT"}),
        Answer(status=529),
    ]
    with serving(AdminApi(_cost, faults=faults)) as api:
        (delivery,) = _fetch(COST, context(api, from_at=_day("2026-11-14"), sleeps=sleeps))
    assert sleeps.seconds == [17.0, 40.0, 4.0]
    assert len(_rows(COST, delivery)) == 2


def test_a_wait_of_an_hour_is_an_error_now_not_a_run_that_hangs() -> None:
    sleeps = Sleeps()
    with (
        serving(AdminApi(_cost, always=Answer(status=429, headers={"Retry-After": "3600"}))) as api,
        pytest.raises(SourceError, match="asks to wait 3600 s"),
    ):
        _fetch(COST, context(api, from_at=_day("2026-11-14"), sleeps=sleeps))
    assert sleeps.seconds == []


def test_server_errors_end_after_six_tries() -> None:
    sleeps = Sleeps()
    with (
        serving(AdminApi(_cost, always=Answer(status=503))) as api,
        pytest.raises(SourceError, match="HTTP 503, 6 times"),
    ):
        _fetch(COST, context(api, from_at=_day("2026-11-14"), sleeps=sleeps))
    assert len(api.asked) == 6
    assert sleeps.seconds == [1.0, 2.0, 4.0, 8.0, 16.0]


@pytest.mark.parametrize("cut_to", [0, 1, 40, 120])
def test_a_connection_dropped_in_a_body_is_asked_again(cut_to: int) -> None:
    whole = b'{"data": [], "has_more": false, "next_page": null, "padding": "' + b"x" * 100 + b'"}'
    with serving(AdminApi(_cost, faults=[Answer(body=whole, cut_to=cut_to)])) as api:
        (delivery,) = _fetch(COST, context(api, from_at=_day("2026-11-14")))
    assert len(_rows(COST, delivery)) == 2


def test_a_body_always_cut_is_an_error_and_never_a_shorter_page() -> None:
    body = b'{"data": [], "has_more": false}'
    with (
        serving(AdminApi(_cost, always=Answer(body=body, cut_to=20))) as api,
        pytest.raises(SourceError, match="connection failed"),
    ):
        _fetch(COST, context(api, from_at=_day("2026-11-14")))
    assert len(api.asked) == 6


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b'{"data": [', b"[]", b'{"data": null}', b""])
def test_an_answer_that_is_no_page_is_asked_again_then_refused(body: bytes) -> None:
    with serving(AdminApi(_cost, always=Answer(body=body))) as api, pytest.raises(SourceError, match="6 times"):
        _fetch(COST, context(api, from_at=_day("2026-11-14")))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_names_the_variable_and_the_permission_and_is_not_tried_again(status: int) -> None:
    body = f'{{"error": {{"message": "bad key {KEY}"}}}}'.encode()
    with (
        serving(AdminApi(_cost, always=Answer(status=status, body=body))) as api,
        pytest.raises(SourceError) as raised,
    ):
        _fetch(COST, context(api, from_at=_day("2026-11-14")))
    assert len(api.asked) == 1
    assert "ACME_ADMIN_KEY" in str(raised.value)
    assert "Admin API key" in str(raised.value)
    _assert_no_key(raised.value)


def test_another_refusal_says_what_the_vendor_said() -> None:
    body = f'{{"error": {{"message": "group_by is not supported for {KEY}"}}}}'.encode()
    with (
        serving(AdminApi(_cost, always=Answer(status=400, body=body))) as api,
        pytest.raises(SourceError, match="HTTP 400: group_by is not supported") as raised,
    ):
        _fetch(COST, context(api, from_at=_day("2026-11-14")))
    assert len(api.asked) == 1
    _assert_no_key(raised.value)


def test_a_redirect_does_not_carry_the_key_elsewhere() -> None:
    with serving(AdminApi(_cost)) as elsewhere:
        moved = Answer(status=302, headers={"Location": f"{elsewhere.base_url}/v1/organizations/cost_report"})
        with serving(AdminApi(_cost, always=moved)) as api, pytest.raises(SourceError, match="redirect"):
            _fetch(COST, context(api, from_at=_day("2026-11-14")))
    assert elsewhere.asked == []


def test_a_chain_that_never_closes_is_delivered_as_incomplete() -> None:
    with serving(AdminApi(_cost, never_closes=True)) as api:
        (delivery,) = _fetch(COST, context(api, from_at=_day("2026-11-14")))
    assert not delivery.complete
    assert len(delivery.payloads) == 2


def test_a_chain_of_ever_new_pages_ends_and_is_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sources.http._MOST_PAGES", 5)
    with serving(AdminApi(_cost, largest_limit=1)) as api:
        (delivery,) = _fetch(COST, context(api, from_at=_day("2026-11-01")))
    assert (delivery.complete, len(delivery.payloads)) == (False, 5)


@pytest.mark.parametrize("end", [{"has_more": True, "next_page": None}, {"next_page": None}, {"has_more": "false"}])
def test_a_chain_whose_end_is_unclear_is_incomplete(end: dict[str, Any]) -> None:
    page = Answer(body=json.dumps({"data": [], **end}).encode())
    with serving(AdminApi(_cost, faults=[page])) as api:
        (delivery,) = _fetch(COST, context(api, from_at=_day("2026-11-14")))
    assert not delivery.complete


def test_a_bucket_on_two_pages_is_not_counted_twice() -> None:
    """Class B9: overlapping pages."""
    data = [{"starting_at": "2026-11-14T00:00:00Z", "ending_at": "2026-11-15T00:00:00Z", "results": [{}]}]
    faults = [
        Answer(body=json.dumps({"data": data, "has_more": True, "next_page": "page_x"}).encode()),
        Answer(body=json.dumps({"data": data, "has_more": False, "next_page": None}).encode()),
    ]
    with serving(AdminApi(_cost, faults=faults)) as api, pytest.raises(SourceError, match="two pages of one chain"):
        _fetch(COST, context(api, from_at=_day("2026-11-14")))


def test_a_server_that_is_not_there_is_a_clear_error() -> None:
    with serving(AdminApi(_cost)) as api:
        asked = context(api, from_at=_day("2026-11-14"))
    with pytest.raises(SourceError, match=r"connection failed.*refused") as raised:
        _fetch(COST, asked)
    _assert_no_key(raised.value)


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({}, "ACME_ADMIN_KEY is not set"),
        ({"ACME_ADMIN_KEY": "  "}, "ACME_ADMIN_KEY is not set"),
        ({"ACME_ADMIN_KEY": f"{KEY}\nX-Evil: 1"}, "ACME_ADMIN_KEY holds spaces"),
        ({"ACME_ADMIN_KEY": f"{KEY}\N{EM DASH}"}, "ACME_ADMIN_KEY holds spaces"),
    ],
)
def test_an_unusable_key_is_named_by_its_variable(environment: dict[str, str], says: str) -> None:
    with serving(AdminApi(_cost)) as api, pytest.raises(SourceError, match=says) as raised:
        _fetch(COST, context(api, from_at=_day("2026-11-14"), environment=environment))
    assert api.asked == []
    _assert_no_key(raised.value)


def test_a_line_break_after_the_key_does_not_matter() -> None:
    with serving(AdminApi(_cost)) as api:
        assert _fetch(COST, context(api, from_at=_day("2026-11-14"), environment={"ACME_ADMIN_KEY": f"{KEY}\n"}))


def test_the_key_is_in_no_delivery() -> None:
    with serving(AdminApi(_cost)) as api:
        deliveries = _fetch(COST, context(api, horizon="2026-10-01"))
    assert KEY not in repr(deliveries)
    assert deliveries[0].request["url"].endswith("/v1/organizations/cost_report")


def test_a_base_url_with_a_password_is_refused_without_printing_it() -> None:
    with serving(AdminApi(_cost)) as api, pytest.raises(ConfigError, match="base_url") as raised:
        _fetch(COST, context(api, from_at=_day("2026-11-14"), base_url="https://me:hunter2@example.com"))
    assert "hunter2" not in str(raised.value)


def test_a_first_run_without_a_horizon_says_to_declare_one() -> None:
    with serving(AdminApi(_cost)) as api, pytest.raises(ConfigError, match="horizon"):
        _fetch(COST, context(api))


def test_a_window_already_fetched_asks_for_nothing() -> None:
    with serving(AdminApi(_cost)) as api:
        assert _fetch(COST, context(api, from_at=_day("2026-11-16"), to_at=_day("2026-11-16"))) == []
    assert api.asked == []


def _assert_no_key(error: BaseException | None) -> None:
    """Neither the error nor what a traceback would show as its causes holds the key."""
    assert isinstance(error, BreakevenError)
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
    assert KEY not in repr(error)
    assert KEY not in str(error)
