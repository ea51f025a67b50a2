"""OpenAI's endpoints through ingest: one that fails is told, and asked again from where it stopped."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from unittest.mock import patch

import pytest

from pipeline.landing.records import canonical
from pipeline.sources.ingest import Ingested, ingest
from tests.pipeline.small_project import SmallProject
from tests.sources.admin_api import KEY, serving
from tests.sources.openai_admin_api import OpenAIAdminApi, refusal

NOW = datetime(2026, 11, 5, 6, tzinfo=UTC)


@pytest.fixture
def api() -> Iterator[OpenAIAdminApi]:
    with serving(OpenAIAdminApi()) as served:
        yield served


def _ingest(folder: Path, api: OpenAIAdminApi, *, now: datetime, server_says: datetime | None = None) -> Ingested:
    """`server_says`: the time by the server's own clock."""
    usage = {
        "source": "openai_usage_api",
        "account": "acme",
        "key_env": "ACME_KEY",
        "base_url": api.base_url,
        "horizon": "2026-11-01",
    }
    project = SmallProject(folder, [usage]).project
    with patch("tests.sources.admin_api.SERVER_DATE", format_datetime(server_says or now, usegmt=True)):
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


def _as_landed_earlier(project: SmallProject) -> None:
    """The records as a release wrote them that did not mark what was dropped."""
    for record in (project.project.paths.landing / "deliveries").rglob("*.json"):
        record.write_bytes(canonical({**json.loads(record.read_bytes()), "request": {}}))
    shutil.rmtree(project.cache)
    assert {str(one.request) for one in project.project.landing.contents().deliveries} == {"{}"}


@pytest.mark.parametrize("is_marked", [True, False])
@pytest.mark.parametrize("day", [datetime(2026, 11, 3, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)])
def test_a_dropped_file_moves_no_fetch_forward(
    tmp_path: Path, api: OpenAIAdminApi, day: datetime, is_marked: bool
) -> None:
    """B10: what lies before it, or between it and today, was fetched by nobody, wherever its days are. Of what an
    earlier release landed too, which marked nothing: what was fetched says what was asked for, a drop cannot.
    """
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
    if not is_marked:
        _as_landed_earlier(project)
    (fetched,) = project.ingest(environment={"ACME_KEY": KEY})
    assert fetched.deliveries
    assert min(_asked_from(api, "costs")) == datetime(2026, 6, 1, tzinfo=UTC)


def test_a_server_whose_clock_is_behind_is_asked_again_for_what_it_did_not_speak_for(
    tmp_path: Path, api: OpenAIAdminApi
) -> None:
    """B10: its answers of days that it says are still to come count for none, and the week that trails would pass."""
    for day in (0, 10, 20):
        now = NOW + timedelta(days=day)
        _ingest(tmp_path, api, now=now, server_says=now - timedelta(days=400))
    api.asked.clear()
    _ingest(tmp_path, api, now=NOW + timedelta(days=21))
    assert min(_asked_from(api, "completions")) == datetime(2026, 11, 1, tzinfo=UTC)


def test_machines_that_are_declared_are_not_declared_anew_for_the_days_before(tmp_path: Path) -> None:
    """They are asked of nobody: what an earlier release landed of them says so by its name alone."""
    machine = {"asset_id": "node-1", "host": "h-1", "gpu_count": 8, "capex": "100", "residual": "0", "months": 48,
               "in_service": "2026-01-01", "currency": "USD"}  # fmt: skip
    project = SmallProject(tmp_path, [{"source": "owned_gpus", "account": "own", "settings": {"assets": [machine]}}])
    (first,) = project.ingest()
    assert [one.request for one in first.deliveries] == [{"declared": "owned_gpus"}]
    _as_landed_earlier(project)
    (later,) = project.ingest(now=NOW + timedelta(days=30))
    (delivery,) = later.deliveries
    assert first.deliveries[0].from_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert delivery.from_at == first.deliveries[0].to_at


def test_a_key_that_is_unknown_is_said_once(tmp_path: Path, api: OpenAIAdminApi) -> None:
    api.always["completions"] = refusal(401, "Incorrect API key provided")
    brought = _ingest(tmp_path, api, now=NOW)
    assert brought.deliveries == ()
    assert brought.error is not None
    assert "ACME_KEY" in brought.error
    assert len(api.asked) == 1
