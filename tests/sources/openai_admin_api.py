"""A small OpenAI Admin API on loopback: costs and every usage endpoint, paged by buckets, failing on request."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.sources.admin_api import KEY, Answer

WIDTHS = {"1m": 60, "1h": 3600, "1d": 86400}
# bucket width -> (default limit, largest limit), in buckets
USAGE_LIMITS = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
COSTS_LIMITS = {"1d": (7, 180)}
_BY_MODEL = {"project_id", "user_id", "api_key_id", "model"}
GROUPS = {
    "costs": {"project_id", "user_id", "line_item", "api_key_id", "api_source"},
    "completions": {*_BY_MODEL, "batch", "service_tier", "api_source"},
    "decisions": {*_BY_MODEL, "batch", "service_tier", "api_source"},
    "embeddings": _BY_MODEL,
    "moderations": _BY_MODEL,
    "images": {*_BY_MODEL, "size", "source"},
    "audio_speeches": _BY_MODEL,
    "audio_transcriptions": _BY_MODEL,
    "vector_stores": {"project_id"},
    "code_interpreter_sessions": {"project_id"},
    "file_search_calls": {"project_id", "user_id", "api_key_id", "vector_store_id"},
    "web_search_calls": {*_BY_MODEL, "context_level"},
}
_RESULT_NAMES = {"file_search_calls": "file_searches", "web_search_calls": "web_searches"}

Results = Callable[[str, datetime], Sequence[Mapping[str, Any]]]


def no_results(endpoint: str, at: datetime) -> Sequence[Mapping[str, Any]]:
    """A quiet organization: every bucket is there and empty."""
    return []


@dataclass
class OpenAIAdminApi:
    """`results(endpoint, bucket start)` are a bucket's rows. `faults`: endpoint -> answers given first, one a request;
    `always`: endpoint -> what it answers whatever is asked."""

    results: Results = no_results
    faults: dict[str, list[Answer]] = field(default_factory=dict)
    always: dict[str, Answer] = field(default_factory=dict)
    repeats_token: bool = False
    largest_page: int = 10_000
    asked: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)
    base_url: str = ""
    _chains: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def answer(self, path: str, params: list[tuple[str, str]], headers: Mapping[str, str]) -> Answer:
        endpoint = path.rpartition("/")[2]
        self.asked.append((endpoint, params))
        if endpoint in self.always:
            return self.always[endpoint]
        if self.faults.get(endpoint):
            return self.faults[endpoint].pop(0)
        if headers.get("authorization") != f"Bearer {KEY}":
            return refusal(401, "Incorrect API key provided")
        is_costs = path == "/v1/organization/costs"
        if not is_costs and path != f"/v1/organization/usage/{endpoint}":
            return refusal(404, "Unknown request URL")
        return self._page(endpoint, params, COSTS_LIMITS if is_costs else USAGE_LIMITS)

    def _page(self, endpoint: str, params: list[tuple[str, str]], limits: Mapping[str, tuple[int, int]]) -> Answer:
        rest = [pair for pair in params if pair[0] != "page"]
        asked = dict(rest)
        groups = {value for name, value in rest if name in ("group_by", "group_by[]")}
        if not groups <= GROUPS[endpoint]:
            return refusal(400, f"Invalid value for group_by: {sorted(groups - GROUPS[endpoint])[0]}")
        width = asked.get("bucket_width", "1d")
        if width not in limits:
            return refusal(400, f"Invalid bucket_width: {width}")
        default, largest = limits[width]
        limit = int(asked.get("limit", default))
        if not 1 <= limit <= largest:
            return refusal(400, f"limit must be between 1 and {largest}")
        token, offset = dict(params).get("page"), 0
        if token is not None:
            if self._chains.get(token) != rest:
                return refusal(400, "page token of another question")
            offset = int(token.rpartition("-")[2])
        starts = range(int(asked["start_time"]), int(asked["end_time"]), WIDTHS[width])
        stop = min(offset + min(limit, self.largest_page), len(starts))
        has_more = stop < len(starts)
        next_page = f"page_AAAA-{0 if self.repeats_token else stop}" if has_more or self.repeats_token else None
        if next_page is not None:
            self._chains[next_page] = rest
        body = {
            "object": "page",
            "data": [self._bucket(endpoint, start, start + WIDTHS[width]) for start in starts[offset:stop]],
            "has_more": next_page is not None,
            "next_page": next_page,
        }
        return Answer(body=json.dumps(body).encode())

    def _bucket(self, endpoint: str, start: int, stop: int) -> dict[str, Any]:
        name = _RESULT_NAMES.get(endpoint, endpoint)
        kind = "organization.costs.result" if endpoint == "costs" else f"organization.usage.{name}.result"
        results = [{"object": kind, **result} for result in self.results(endpoint, datetime.fromtimestamp(start, UTC))]
        return {"object": "bucket", "start_time": start, "end_time": stop, "results": results}


def refusal(status: int, message: str) -> Answer:
    """An error as OpenAI words it."""
    return Answer(status=status, body=json.dumps({"error": {"message": message, "type": "invalid_request"}}).encode())


def bucket(day: str, *results: Any, hours: int = 24, hour: int = 0) -> dict[str, Any]:
    """A bucket of a page."""
    start = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(hours=hour)
    times = {"start_time": int(start.timestamp()), "end_time": int((start + timedelta(hours=hours)).timestamp())}
    return {"object": "bucket", **times, "results": list(results)}


def page(*buckets: Any, has_more: bool = False) -> bytes:
    """A page as it is saved."""
    next_page = "page_AAAA-1" if has_more else None
    body = {"object": "page", "data": list(buckets), "has_more": has_more, "next_page": next_page}
    return json.dumps(body, ensure_ascii=False).encode()
