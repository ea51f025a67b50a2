"""OpenAI Admin API, organization usage: what every endpoint counted, by hour, project, key and model.

Each endpoint is a dataset of its own, since each is asked for, answered and restated by itself: one that this key may
not read, or that this organization's server does not know yet, takes nothing from the others.

`input_tokens` include cached and cache-write tokens; `input_text_tokens`, `input_audio_tokens` and `input_image_tokens`
are parts of the uncached ones only. Landing keeps the counts as they come; staging makes disjoint classes of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl

from pipeline.errors import ConfigError, QuarantineError, SourceError
from pipeline.formats.values import count, other_columns, text_or_none
from pipeline.landing.dataset import Dataset, Frames, Settings, Table
from pipeline.sources.asking import page_probe
from pipeline.sources.http import (
    UNIX_SECONDS,
    EndpointError,
    PagedApi,
    bucket_extras,
    dropped_pages,
    fetch_windows,
    results_in,
)
from pipeline.sources.openai_costs_api import is_json, openai_api
from pipeline.sources.source import FetchContext, Fetched, Probe, Source

NAME = "openai_usage_api"

_TOKEN_COUNTS = (
    "input_tokens",
    "input_cached_tokens",
    "input_uncached_tokens",
    "input_cache_write_tokens",
    "input_cache_write_30m_tokens",
    "input_cache_write_12h_tokens",
    "input_text_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "input_cached_text_tokens",
    "input_cached_audio_tokens",
    "input_cached_image_tokens",
    "output_tokens",
    "output_text_tokens",
    "output_audio_tokens",
    "output_image_tokens",
    "num_model_requests",
)
# Dimensions that a result may name though it was not grouped by them: null then, as in every page of ours.
_UNGROUPED = ("user_id", "api_source")
_BY_MODEL = ("project_id", "api_key_id", "model")


@dataclass(frozen=True)
class Endpoint:
    """One usage endpoint: its path is its name. `counts` and `groups` are the vendor's fields, `groups` as asked for.

    `result`: what its results call themselves, where that is not the path's name.
    """

    name: str
    counts: tuple[str, ...]
    groups: tuple[str, ...]
    result: str = ""

    @property
    def object_name(self) -> str:
        return f"organization.usage.{self.result or self.name}.result"

    @property
    def grouping(self) -> str:
        return ",".join(self.groups)

    @property
    def table(self) -> Table:
        texts = (*(name for name in self.groups if name != "batch"), *_UNGROUPED)
        return Table(
            name=self.name,
            columns={
                "start_time": pl.Int64(),
                "end_time": pl.Int64(),
                **{name: pl.Int64() for name in self.counts},
                **{name: pl.String() for name in texts},
                **({"batch": pl.Boolean()} if "batch" in self.groups else {}),
            },
        )

    def parse(self, content: bytes, settings: Settings) -> Frames:
        """Every result as one row. A count that is not stated is null, not 0."""
        table = self.table
        rows = []
        for where, day, bucket, result in results_in(content, settings, UNIX_SECONDS):
            stated = result.get("object")
            if stated is not None and stated != self.object_name:
                raise QuarantineError(f"{where}: a result of {stated!r}, not of {self.name}. Drop each by itself.")
            unknown = {name: value for name, value in result.items() if name not in (*table.columns, "object")}
            rows.append(
                (
                    day.isoformat(),
                    day,
                    bucket["start_time"],
                    bucket["end_time"],
                    *typed_values(table, result, where=where),
                    other_columns(unknown | bucket_extras(bucket, UNIX_SECONDS)),
                )
            )
        return {table.name: pl.DataFrame(rows, schema=table.schema, orient="row")}


ENDPOINTS = (
    Endpoint("completions", _TOKEN_COUNTS, (*_BY_MODEL, "batch", "service_tier")),
    Endpoint("decisions", _TOKEN_COUNTS, (*_BY_MODEL, "batch", "service_tier")),
    Endpoint("embeddings", ("input_tokens", "num_model_requests"), _BY_MODEL),
    Endpoint("moderations", ("input_tokens", "num_model_requests"), _BY_MODEL),
    Endpoint("images", ("images", "num_model_requests"), (*_BY_MODEL, "size", "source")),
    Endpoint("audio_speeches", ("characters", "num_model_requests"), _BY_MODEL),
    Endpoint("audio_transcriptions", ("seconds", "num_model_requests"), _BY_MODEL),
    Endpoint("vector_stores", ("usage_bytes",), ("project_id",)),
    Endpoint("code_interpreter_sessions", ("num_sessions",), ("project_id",)),
    Endpoint("file_search_calls", ("num_requests",), ("project_id", "api_key_id", "vector_store_id"), "file_searches"),
    Endpoint("web_search_calls", ("num_requests", "num_model_requests"), (*_BY_MODEL, "context_level"), "web_searches"),
)


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """Every endpoint's window in deliveries of at most 31 days of hour buckets, a week of them on a page.

    What an endpoint answers is yielded before the next is asked. One that refuses is left behind; when all have been
    asked, SourceError names it and what it said.
    """
    refused: dict[str, list[str]] = {}
    for endpoint in _asked(context):
        api = _api(context, endpoint)
        groups = [("group_by[]", name) for name in endpoint.groups]
        params = [("bucket_width", "1h"), ("limit", "168"), *groups]
        try:
            yield from fetch_windows(
                context, api, source=NAME, dataset=endpoint.name, params=params, grouping=endpoint.grouping
            )
        except EndpointError as error:
            refused.setdefault(error.problem, []).append(endpoint.name)
    if refused:
        told = "; ".join(f"{', '.join(names)}: {problem}" for problem, names in refused.items())
        raise SourceError(
            f"{NAME} of {context.account}: not read: {told}. The other datasets are landed. Name in settings.leave_out "
            "what this organization does not have, or this key is not meant to read."
        )


def probe(context: FetchContext) -> list[Probe]:
    """Whether the key may read each endpoint that is asked for."""
    return [
        page_probe(partial(_api, context, endpoint), context=context, dataset=endpoint.name)
        for endpoint in _asked(context)
    ]


def _api(context: FetchContext, endpoint: Endpoint) -> PagedApi:
    return openai_api(context, source=NAME, path=f"/v1/organization/usage/{endpoint.name}")


def _asked(context: FetchContext) -> list[Endpoint]:
    """The endpoints, less those that `leave_out` names."""
    left_out = context.settings.get("leave_out", [])
    known = [endpoint.name for endpoint in ENDPOINTS]
    if not isinstance(left_out, list) or not all(name in known for name in left_out):
        raise ConfigError(
            key=f"sources.{NAME}.settings.leave_out", value=left_out, fix=f"It is a list of some of {', '.join(known)}."
        )
    return [endpoint for endpoint in ENDPOINTS if endpoint.name not in left_out]


def recognise(name: str, head: bytes) -> str | None:
    """A usage page's results call themselves by their endpoint."""
    if not is_json(head):
        return None
    return next((item.name for item in ENDPOINTS if f'"{item.object_name}"'.encode() in head), None)


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A saved page of one endpoint, an array of pages or one page a line."""
    dataset = recognise(name, content) or ENDPOINTS[0].name
    endpoint = next(item for item in ENDPOINTS if item.name == dataset)
    return dropped_pages(name, content, dataset=dataset, grouping_of=partial(_grouping, endpoint), times=UNIX_SECONDS)


def _grouping(endpoint: Endpoint, results: Sequence[Mapping[str, Any]]) -> str:
    """The groups a saved page was fetched by, as far as it shows: a dimension not grouped by is null throughout.

    A model is never null where it is grouped by; a project, a key and a tier may be.
    """
    named = [name for name in endpoint.groups if any(result.get(name) is not None for result in results)]
    is_canonical = not results or "model" not in endpoint.groups or "model" in named
    return endpoint.grouping if is_canonical else ",".join(named)


def typed_values(table: Table, result: Mapping[str, object], *, where: str) -> list[object]:
    """A result's fields as the table types them, behind the two of its bucket: counts, texts, yes or no."""
    return [
        count(result.get(name), name=name, where=where)
        if kind == pl.Int64()
        else text_or_none(result.get(name), name=name, where=where)
        if kind == pl.String()
        else _flag(result.get(name), name=name, where=where)
        for name, kind in list(table.columns.items())[2:]
    ]


def _flag(value: object, *, name: str, where: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise QuarantineError(f"{where}: {name} is {value!r}, neither true nor false.")


SOURCE = Source(
    name=NAME,
    datasets=tuple(
        Dataset(
            source=NAME,
            issuer="openai",
            name=endpoint.name,
            mode="replace",
            bucket="utc_day",
            measure="metered",
            tables=(endpoint.table,),
            parse=endpoint.parse,
            grouping=endpoint.grouping,
        )
        for endpoint in ENDPOINTS
    ),
    recognise=recognise,
    drop=drop,
    fetch=fetch,
    probe=probe,
)
