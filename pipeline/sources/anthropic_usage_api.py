"""Anthropic Admin API, messages usage: token counts by hour, key, workspace, model and tier."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.formats.values import count, other_columns, text_or_none
from pipeline.landing.dataset import Dataset, Frames, Settings, Table
from pipeline.sources.asking import page_probe
from pipeline.sources.http import PagedApi, bucket_extras, dropped_pages, fetch_windows, paged_api, results_in
from pipeline.sources.source import FetchContext, Fetched, Probe, Source

NAME = "anthropic_usage_api"
GROUPING = "api_key_id,workspace_id,model,service_tier,context_window,inference_geo"

# Our column -> the path of the count in a result.
_COUNTS: dict[str, tuple[str, ...]] = {
    "uncached_input_tokens": ("uncached_input_tokens",),
    "cache_read_input_tokens": ("cache_read_input_tokens",),
    "cache_creation_5m_input_tokens": ("cache_creation", "ephemeral_5m_input_tokens"),
    "cache_creation_1h_input_tokens": ("cache_creation", "ephemeral_1h_input_tokens"),
    "output_tokens": ("output_tokens",),
    "web_search_requests": ("server_tool_use", "web_search_requests"),
}
_TEXTS = tuple(GROUPING.split(","))
# Never null in a report grouped by them; a key, a workspace or a geography may be.
_ALWAYS_NAMED = ("model", "service_tier", "context_window")
_NESTED = ("cache_creation", "server_tool_use")

USAGE = Table(
    name="usage",
    columns={
        "starting_at": pl.String(),
        "ending_at": pl.String(),
        **{name: pl.Int64() for name in _COUNTS},
        **{name: pl.String() for name in _TEXTS},
    },
)


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """The window in deliveries of at most 31 days of hour buckets, a week of them on a page."""
    api = _api(context)
    params = [("bucket_width", "1h"), ("limit", "168"), *(("group_by[]", name) for name in _TEXTS)]
    yield from fetch_windows(context, api, source=NAME, dataset="messages_usage", params=params, grouping=GROUPING)


def probe(context: FetchContext) -> tuple[Probe, ...]:
    """Whether the key may read the report."""
    return (page_probe(partial(_api, context), context=context, dataset="messages_usage"),)


def _api(context: FetchContext) -> PagedApi:
    return paged_api(
        context,
        source=NAME,
        base_url="https://api.anthropic.com",
        path="/v1/organizations/usage_report/messages",
        key_env="ANTHROPIC_ADMIN_KEY",
        key_header="x-api-key",
        permission="an Admin API key of the organization (sk-ant-admin...)",
        headers={"anthropic-version": "2023-06-01"},
    )


def recognise(name: str, head: bytes) -> str | None:
    """Only a messages usage report counts `uncached_input_tokens` in buckets."""
    if re.match(rb"(?:\xef\xbb\xbf)?\s*[\[{]", head) is None:
        return None
    fields = (b'"starting_at"', b'"results"', b'"uncached_input_tokens"')
    return "messages_usage" if all(field in head for field in fields) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A saved page, an array of pages or one page a line."""
    return dropped_pages(name, content, dataset="messages_usage", grouping_of=_grouping)


def parse(content: bytes, settings: Settings) -> Frames:
    """Every result as one row. A count the report does not state is null, not 0."""
    rows = []
    for where, day, bucket, result in results_in(content, settings):
        for name in _NESTED:
            if not isinstance(result.get(name), dict | None):
                raise QuarantineError(f"{where}: {name} is not an object of counts.")
        counts = [count(_at(result, path), name=".".join(path), where=where) for path in _COUNTS.values()]
        texts = [text_or_none(result.get(name), name=name, where=where) for name in _TEXTS]
        rows.append(
            (
                day.isoformat(),
                day,
                bucket["starting_at"],
                bucket["ending_at"],
                *counts,
                *texts,
                other_columns(_unknown(result) | bucket_extras(bucket)),
            )
        )
    return {USAGE.name: pl.DataFrame(rows, schema=USAGE.schema, orient="row")}


def _at(result: Mapping[str, Any], path: tuple[str, ...]) -> object:
    value: Any = result
    for name in path:
        value = value.get(name) if value is not None else None
    return value


def _unknown(result: Mapping[str, Any]) -> dict[str, object]:
    """Fields no column holds, nested ones by their path: a new cache lifetime is kept, not lost."""
    known = {".".join(path) for path in _COUNTS.values()} | set(_TEXTS)
    flat = {name: value for name, value in result.items() if name not in _NESTED}
    for parent in _NESTED:
        flat |= {f"{parent}.{name}": value for name, value in (result.get(parent) or {}).items()}
    return {name: value for name, value in flat.items() if name not in known}


def _grouping(results: Sequence[Mapping[str, Any]]) -> str:
    """The groups a saved report was fetched by, as far as it shows: a dimension not grouped by is null throughout."""
    named = [name for name in _TEXTS if any(result.get(name) is not None for result in results)]
    return GROUPING if not results or all(name in named for name in _ALWAYS_NAMED) else ",".join(named)


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            issuer="anthropic",
            name="messages_usage",
            mode="replace",
            bucket="utc_day",
            measure="metered",
            tables=(USAGE,),
            parse=parse,
            grouping=GROUPING,
        ),
    ),
    recognise=recognise,
    drop=drop,
    fetch=fetch,
    probe=probe,
)
