"""Claude Enterprise's cost report: cents by product and model, in pages, and no day of which groups may be missing."""

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from pipeline.errors import QuarantineError, SourceError
from pipeline.sources.anthropic_enterprise_costs import GROUPING, LINES, SOURCE, drop, fetch, parse, recognise
from pipeline.sources.recognise import recognise_bytes
from tests.sources.admin_api import AdminApi, Answer, Sleeps, context, serving

DAY = datetime(2026, 11, 3, tzinfo=UTC)


def result(amount: str = "1691.3875", **said: Any) -> dict[str, Any]:
    """A row as the SDK's model names its fields: what is not grouped by is null."""
    return {
        "amount": amount, "list_amount": "1800", "currency": "USD", "product": "claude_code", "model": "claude-opus-5",
        "cost_type": None, "token_type": None, "context_window": None, "speed": None, "inference_geo": None,
        "rbac_group_id": None, "slack_channel_id": None, "claude_tag_category": None, "claude_tag_user_id": None,
        "requests": 12, **said,
    }  # fmt: skip


def page(*results: dict[str, Any], day: datetime = DAY) -> bytes:
    times = {"starting_at": f"{day:%Y-%m-%dT%H:%M:%SZ}", "ending_at": f"{day + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"}
    return json.dumps({"data": [{**times, "results": list(results)}], "has_more": False, "next_page": None}).encode()


@dataclass
class Analytics(AdminApi):
    """The same pages under another path."""

    keys: list[str] = field(default_factory=list)


def test_a_window_is_asked_by_product_and_model_in_pages_of_whole_days() -> None:
    """B9: a page of few days is not the end of a month."""
    api = Analytics(results=lambda at: [result(f"{at.day}.5")], largest_limit=4)
    with serving(api):
        (fetched,) = fetch(context(api, from_at=datetime(2026, 11, 1, tzinfo=UTC)))
    assert len(fetched.payloads) == 4
    assert (fetched.complete, fetched.grouping) == (True, GROUPING)
    rows = [row for one in fetched.payloads for row in parse(one.content, fetched.settings)[LINES.name].to_dicts()]
    assert (
        sum(Decimal(row["amount"]) for row in rows) == sum(Decimal(day) + Decimal("0.5") for day in range(1, 16)) / 100
    )
    assert api.paths[0] == "/v1/organizations/analytics/cost_report"
    asked = api.asked[0]
    assert ("beta", "true") in asked
    assert [value for name, value in asked if name == "group_by[]"] == ["product", "model"]


@pytest.mark.parametrize("start", [datetime(2025, 6, 1, tzinfo=UTC), datetime(2025, 12, 31, tzinfo=UTC)])
def test_nothing_is_asked_of_before_the_report_began(start: datetime) -> None:
    api = Analytics(results=lambda at: [])
    with serving(api):
        windows = list(fetch(context(api, from_at=start)))
    assert windows[0].from_at == datetime(2026, 1, 1, tzinfo=UTC)
    with serving(api):
        asked = replace(
            context(api, from_at=start, to_at=datetime(2027, 6, 1, tzinfo=UTC)), now=datetime(2027, 6, 1, tzinfo=UTC)
        )
        assert next(iter(fetch(asked))).from_at == datetime(2026, 6, 2, tzinfo=UTC)


def test_throttling_is_waited_for_and_a_refusal_names_the_scope() -> None:
    throttled = Answer(status=429, headers={"retry-after": "7"})
    api, sleeps = Analytics(results=lambda at: [result()], faults=[throttled]), Sleeps()
    with serving(api):
        assert len(list(fetch(context(api, from_at=DAY, sleeps=sleeps)))) == 1
    assert sleeps.seconds == [7]
    api.always = Answer(status=403, body=b'{"error": {"message": "scope"}}')
    with serving(api), pytest.raises(SourceError, match="read:analytics"):
        list(fetch(context(api, from_at=DAY)))


def test_a_row_is_its_cents_as_dollars_of_a_product_and_a_model() -> None:
    content = page(result(), result("0.0000000000000001", product=None, model=None), result("-5", model="claude-x"))
    first, second, third = parse(content, {})[LINES.name].to_dicts()
    assert (first["amount"], first["currency"], first["provider"]) == ("16.913875", "USD", "anthropic")
    assert (first["sub_account_id"], first["model"], first["charge_kind"]) == ("claude_code", "claude-opus-5", "other")
    assert json.loads(first["other_columns"]) == {"list_amount": "1800", "requests": 12}
    assert (second["amount"], second["sub_account_id"]) == ("0.000000000000000001", None)
    assert third["amount"] == "-0.05"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (page(*(result("1", model=f"m-{number}") for number in range(100))), "has 100 rows: of a day the report has"),
        (page(result("0.00000000000000001")), "cannot be held exactly"),
        (page(result(currency=None)), "no currency beside"),
        (page(result(amount=None)), "amount is missing"),
        (page(result(model=7)), "model is 7, not text"),
    ],
)
def test_what_may_lack_groups_or_cannot_be_so_is_refused(content: bytes, words: str) -> None:
    """B12."""
    with pytest.raises(QuarantineError, match=words):
        parse(content, {})


def test_a_saved_page_is_known_by_its_list_amount_and_by_what_it_was_grouped_by() -> None:
    """B13: rows by groups of people overlap: they are another question's, and are not summed."""
    assert recognise("a.json", page(result())) == SOURCE.datasets[0].name
    assert recognise_bytes("a.json", page(result())).source == SOURCE.name
    for said, grouping in (
        ({}, GROUPING),
        ({"product": None, "model": None}, ""),
        ({"rbac_group_id": "rbac_group_1"}, f"{GROUPING},rbac_group_id"),
        ({"token_type": "output_tokens"}, f"{GROUPING},token_type"),
    ):
        assert drop("a.json", page(result(**said)), {}).grouping == grouping
