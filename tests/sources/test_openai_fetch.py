"""Fetching from OpenAI's Admin API: buckets, chains, refusals of one endpoint, and a key that is never printed."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from pipeline.errors import ConfigError, SourceError
from pipeline.landing.fetched import Fetched
from pipeline.sources import openai_costs_api, openai_usage_api
from pipeline.sources.source import FetchContext, Source
from tests.sources.admin_api import KEY, NOW, Answer, Sleeps, context, serving
from tests.sources.openai_admin_api import GROUPS, OpenAIAdminApi, refusal

COSTS = openai_costs_api.SOURCE
USAGE = openai_usage_api.SOURCE
ENDPOINTS = [dataset.name for dataset in USAGE.datasets]


def _results(endpoint: str, at: datetime) -> Sequence[Mapping[str, Any]]:
    if endpoint == "costs":
        return [{"amount": {"value": at.day + 0.5, "currency": "usd"}, "line_item": "gpt-5, output", "project_id": "p"}]
    if endpoint == "completions":
        return [{"input_tokens": at.hour, "output_tokens": 1, "num_model_requests": 1, "model": "gpt-5"}]
    return []


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _fetch(source: Source, asked: FetchContext) -> list[Fetched]:
    assert source.fetch is not None
    return list(source.fetch(asked))


def _fetch_until_refused(asked: FetchContext) -> tuple[list[Fetched], str]:
    assert USAGE.fetch is not None
    deliveries: list[Fetched] = []
    with pytest.raises(SourceError) as raised:
        deliveries.extend(USAGE.fetch(asked))
    return deliveries, str(raised.value)


def _rows(source: Source, delivery: Fetched) -> list[dict[str, Any]]:
    dataset = next(dataset for dataset in source.datasets if dataset.name == delivery.dataset)
    frames = [
        dataset.parse(payload.content, delivery.settings)[dataset.tables[0].name] for payload in delivery.payloads
    ]
    return [row for frame in frames for row in frame.to_dicts()]


def test_a_month_of_costs_is_a_month_not_the_default_week() -> None:
    """B12: `limit` counts buckets and defaults to 7: without it, three quarters of a month are dropped silently."""
    with serving(OpenAIAdminApi(_results)) as api:
        (delivery,) = _fetch(COSTS, context(api, from_at=_day("2026-10-01"), to_at=_day("2026-11-01")))
    rows = _rows(COSTS, delivery)
    assert len(rows) == 31
    assert sum(Decimal(row["amount"]) for row in rows) == sum(range(1, 32)) + Decimal("15.5")
    assert delivery.complete
    assert delivery.grouping == COSTS.datasets[0].grouping == "project_id,line_item"
    ((_, params),) = api.asked
    assert ("start_time", str(int(_day("2026-10-01").timestamp()))) in params
    assert [value for name, value in params if name == "group_by[]"] == ["project_id", "line_item"]


def test_the_chain_is_followed_with_all_other_parameters_unchanged() -> None:
    """B12, B9: the server refuses a page token of another question."""
    with serving(OpenAIAdminApi(_results, largest_page=4)) as api:
        (delivery,) = _fetch(COSTS, context(api, from_at=_day("2026-10-01"), to_at=_day("2026-11-01")))
    assert len(delivery.payloads) == 8
    assert [row["bucket"] for row in _rows(COSTS, delivery)] == [
        f"{_day('2026-10-01') + timedelta(days=offset):%Y-%m-%d}" for offset in range(31)
    ]
    rest = [[pair for pair in params if pair[0] != "page"] for _, params in api.asked]
    assert all(params == rest[0] for params in rest)


def test_every_endpoint_is_asked_by_the_hour_with_the_groups_it_knows() -> None:
    """B1, B24: none of the eleven is forgotten, and none is asked for a group that it would refuse."""
    with serving(OpenAIAdminApi(_results)) as api:
        deliveries = _fetch(USAGE, context(api, from_at=_day("2026-11-01"), to_at=_day("2026-11-15")))
    assert [delivery.dataset for delivery in deliveries] == ENDPOINTS
    assert set(ENDPOINTS) == set(GROUPS) - {"costs"}
    assert all(delivery.complete for delivery in deliveries)
    completions = _rows(USAGE, deliveries[0])
    assert len(completions) == 14 * 24
    assert sum(row["input_tokens"] for row in completions) == 14 * sum(range(24))
    assert all(("limit", "168") in params and ("bucket_width", "1h") in params for _, params in api.asked)


def test_a_quiet_endpoint_still_vouches_for_its_days() -> None:
    """B4: nothing used is a statement, not a gap."""
    with serving(OpenAIAdminApi()) as api:
        deliveries = _fetch(USAGE, context(api, from_at=_day("2026-11-14")))
    assert len(deliveries) == len(ENDPOINTS)
    assert all((delivery.from_at, delivery.complete) == (_day("2026-11-14"), True) for delivery in deliveries)
    assert [row for delivery in deliveries for row in _rows(USAGE, delivery)] == []


@pytest.mark.parametrize(
    "answer",
    [
        refusal(403, "You have insufficient permissions"),
        refusal(404, "Unknown request URL"),
        refusal(400, "Invalid value for group_by"),
        Answer(status=500),
    ],
)
def test_an_endpoint_that_refuses_loses_no_other(answer: Answer) -> None:
    """B12: it alone is reported, with what it said; all others are landed."""
    api = OpenAIAdminApi(_results, always={"decisions": answer, "images": answer})
    with serving(api):
        deliveries, said = _fetch_until_refused(context(api, from_at=_day("2026-11-14")))
    assert [delivery.dataset for delivery in deliveries] == [
        name for name in ENDPOINTS if name not in ("decisions", "images")
    ]
    assert "not read: decisions, images:" in said
    assert f"HTTP {answer.status}" in said
    assert "leave_out" in said


def test_what_is_left_out_is_not_asked_for() -> None:
    with serving(OpenAIAdminApi(_results, always={"decisions": refusal(404, "Unknown request URL")})) as api:
        deliveries = _fetch(USAGE, context(api, from_at=_day("2026-11-14"), leave_out=["decisions"]))
    assert len(deliveries) == len(ENDPOINTS) - 1
    assert "decisions" not in [endpoint for endpoint, _ in api.asked]


@pytest.mark.parametrize("left_out", ["decisions", ["decision"], [["decisions"]], {"decisions": True}])
def test_leaving_out_what_there_is_not_is_an_error_that_lists_what_there_is(left_out: object) -> None:
    with serving(OpenAIAdminApi()) as api, pytest.raises(ConfigError, match="web_search_calls"):
        _fetch(USAGE, context(api, from_at=_day("2026-11-14"), leave_out=left_out))
    assert api.asked == []


def test_an_unknown_key_ends_the_fetch_at_once_and_is_never_printed() -> None:
    """B12: what one endpoint says of the key holds for all of them."""
    with serving(OpenAIAdminApi(_results, always={name: refusal(401, f"bad {KEY}") for name in ENDPOINTS})) as api:
        deliveries, said = _fetch_until_refused(context(api, from_at=_day("2026-11-14")))
    assert (deliveries, len(api.asked)) == ([], 1)
    assert "ACME_ADMIN_KEY" in said
    assert "sk-admin" in said
    assert KEY not in said


def test_a_key_in_a_refusal_is_not_passed_on() -> None:
    with serving(OpenAIAdminApi(always={"images": refusal(403, f"{KEY} may not")})) as api:
        deliveries, said = _fetch_until_refused(context(api, from_at=_day("2026-11-14")))
    assert KEY not in said
    assert KEY not in repr(deliveries)
    assert "(key) may not" in said


def test_a_limit_and_server_errors_are_waited_out() -> None:
    sleeps = Sleeps()
    faults = [Answer(status=429, headers={"Retry-After": "9"}), Answer(status=502), Answer(status=200, cut_to=1)]
    with serving(OpenAIAdminApi(_results, faults={"costs": faults})) as api:
        (delivery,) = _fetch(COSTS, context(api, from_at=_day("2026-11-14"), sleeps=sleeps))
    assert sleeps.seconds == [9.0, 2.0, 4.0]
    assert len(_rows(COSTS, delivery)) == 2


def test_a_server_that_is_gone_ends_the_fetch_and_what_was_read_before_stays() -> None:
    """B12: eleven endpoints are not waited for one after the other."""
    with serving(OpenAIAdminApi(_results)) as api:
        assert USAGE.fetch is not None
        sleeps = Sleeps()
        fetching = USAGE.fetch(context(api, from_at=_day("2026-11-14"), sleeps=sleeps))
        assert next(fetching).dataset == "completions"
    with pytest.raises(SourceError, match="connection failed"):
        list(fetching)
    assert len(sleeps.seconds) == 5


def test_a_page_token_that_comes_again_leaves_the_delivery_incomplete() -> None:
    """B9: a chain that never closes is never counted."""
    with serving(OpenAIAdminApi(repeats_token=True)) as api:
        (delivery,) = _fetch(COSTS, context(api, from_at=_day("2026-11-14")))
    assert not delivery.complete
    assert len(delivery.payloads) == 2


def test_a_bucket_on_two_pages_is_not_counted_twice() -> None:
    """B9: overlapping pages; of the usage endpoints, only the one that repeats itself is lost."""
    with serving(OpenAIAdminApi(_results, repeats_token=True)) as api:
        deliveries, said = _fetch_until_refused(context(api, from_at=_day("2026-11-14")))
    assert "completions: the bucket of 2026-11-14T00:00:00.000000Z came on two pages" in said
    assert [delivery.dataset for delivery in deliveries] == ENDPOINTS[1:]


def test_each_dataset_is_asked_from_where_its_own_last_answer_ended() -> None:
    """B10: an endpoint that failed for a month is asked for that month, whatever the others brought meanwhile."""
    starts = {"completions": _day("2026-11-08"), "images": _day("2026-10-20")}
    with serving(OpenAIAdminApi(_results)) as api:
        deliveries = _fetch(USAGE, context(api, from_at=_day("2026-11-10"), starts=starts))
    began = {delivery.dataset: delivery.from_at for delivery in deliveries}
    assert (began["completions"], began["images"], began["embeddings"]) == (
        _day("2026-11-08"),
        _day("2026-10-20"),
        _day("2026-11-10"),
    )


def test_costs_are_asked_again_for_the_open_month_and_the_one_before() -> None:
    """B10: they move until the invoice is closed."""
    assert COSTS.trailing_days >= 62
    assert USAGE.trailing_days >= 7
    assert NOW - timedelta(days=COSTS.trailing_days) <= _day("2026-10-01")
