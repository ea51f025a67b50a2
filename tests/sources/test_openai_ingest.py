"""OpenAI's endpoints through ingest: one that fails is told, and asked again from where it stopped."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.sources.ingest import Ingested, ingest
from tests.pipeline.small_project import SmallProject
from tests.sources.admin_api import KEY, serving
from tests.sources.openai_admin_api import OpenAIAdminApi, refusal

NOW = datetime(2026, 11, 5, 6, tzinfo=UTC)


@pytest.fixture
def api() -> Iterator[OpenAIAdminApi]:
    with serving(OpenAIAdminApi()) as served:
        yield served


def _ingest(folder: Path, api: OpenAIAdminApi, *, now: datetime) -> Ingested:
    usage = {
        "source": "openai_usage_api",
        "account": "acme",
        "key_env": "ACME_KEY",
        "base_url": api.base_url,
        "horizon": "2026-11-01",
    }
    project = SmallProject(folder, [usage]).project
    (brought,) = ingest(project, now=now, environment={"ACME_KEY": KEY}, sleep=lambda seconds: None)
    return brought


def _asked_from(api: OpenAIAdminApi, endpoint: str) -> list[datetime]:
    starts = [dict(params)["start_time"] for name, params in api.asked if name == endpoint]
    return [datetime.fromtimestamp(int(start), UTC) for start in starts]


def test_an_endpoint_that_failed_is_told_and_asked_for_all_it_missed(tmp_path: Path, api: OpenAIAdminApi) -> None:
    """B10, B12: the others go on; when it answers again, its gap is filled although theirs was trailing only a week."""
    api.always["images"] = refusal(403, "Missing scopes")
    for day in (0, 20):
        brought = _ingest(tmp_path, api, now=NOW + timedelta(days=day))
        assert len(brought.deliveries) == 10
        assert brought.error is not None
        assert "not read: images: the key is refused (HTTP 403: Missing scopes)" in brought.error
    del api.always["images"]
    api.asked.clear()
    brought = _ingest(tmp_path, api, now=NOW + timedelta(days=21))
    assert brought.error is None
    assert {delivery.dataset for delivery in brought.deliveries} >= {"images", "completions"}
    assert min(_asked_from(api, "images")) == datetime(2026, 11, 1, tzinfo=UTC)
    assert min(_asked_from(api, "completions")) == datetime(2026, 11, 19, tzinfo=UTC)


@pytest.mark.parametrize("day", [datetime(2026, 11, 3, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)])
def test_a_dropped_file_moves_no_fetch_forward(tmp_path: Path, api: OpenAIAdminApi, day: datetime) -> None:
    """B10: what lies before it, or between it and today, was fetched by nobody, wherever its days are."""
    project = SmallProject(
        tmp_path,
        [
            {
                "source": "openai_costs_api", "account": "acme", "key_env": "ACME_KEY", "base_url": api.base_url,
                "horizon": "2026-06-01", "inbox": "inbox/costs",
            }
        ],
    )  # fmt: skip
    result = {"object": "organization.costs.result", "amount": {"value": 1.5, "currency": "usd"}}
    bucket = {"object": "bucket", "start_time": int(day.timestamp()), "end_time": int(day.timestamp()) + 86_400}
    page = {"object": "page", "data": [bucket | {"results": [result]}], "has_more": False, "next_page": None}
    (tmp_path / "inbox" / "costs").mkdir(parents=True, exist_ok=True)
    (tmp_path / "inbox" / "costs" / "page.json").write_text(json.dumps(page))
    (dropped,) = project.ingest()
    assert [(one.from_at, one.request) for one in dropped.deliveries] == [(day, {"dropped": True})]
    (fetched,) = project.ingest(environment={"ACME_KEY": KEY})
    assert fetched.deliveries
    assert min(_asked_from(api, "costs")) == datetime(2026, 6, 1, tzinfo=UTC)


def test_a_key_that_is_unknown_is_said_once(tmp_path: Path, api: OpenAIAdminApi) -> None:
    api.always["completions"] = refusal(401, "Incorrect API key provided")
    brought = _ingest(tmp_path, api, now=NOW)
    assert brought.deliveries == ()
    assert brought.error is not None
    assert "ACME_KEY" in brought.error
    assert len(api.asked) == 1
