"""Anthropic Admin API, cost report: billed cents by UTC day, workspace and description."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.formats.values import decimal_text, other_columns, text_or_none
from pipeline.landing.dataset import Dataset, Frames, Money, Settings, Table
from pipeline.sources.asking import page_probe
from pipeline.sources.http import PagedApi, bucket_extras, dropped_pages, fetch_windows, paged_api, results_in
from pipeline.sources.source import FetchContext, Fetched, Probe, Source

NAME = "anthropic_cost_api"
GROUPING = "workspace_id,description"
# Amounts are in cents: two of the 18 digits that are held after the point go to the conversion.
_FRACTION_DIGITS_OF_CENTS = 16

_TEXTS = (
    "workspace_id",
    "description",
    "cost_type",
    "model",
    "token_type",
    "service_tier",
    "context_window",
    "inference_geo",
    "speed",
)
COSTS = Table(
    name="costs",
    columns={name: pl.String() for name in ("starting_at", "ending_at", "amount", "currency", *_TEXTS)},
    money=Money(home="api", amount="amount", currency_column="currency", decimal_places=2),
)


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """The window in deliveries of at most 31 day buckets, grouped by workspace and description."""
    api = _api(context)
    params = [("bucket_width", "1d"), ("limit", "31"), *(("group_by[]", name) for name in GROUPING.split(","))]
    yield from fetch_windows(context, api, source=NAME, dataset="cost_report", params=params, grouping=GROUPING)


def probe(context: FetchContext) -> tuple[Probe, ...]:
    """Whether the key may read the report."""
    return (page_probe(partial(_api, context), context=context, dataset="cost_report"),)


def _api(context: FetchContext) -> PagedApi:
    return paged_api(
        context,
        source=NAME,
        base_url="https://api.anthropic.com",
        path="/v1/organizations/cost_report",
        key_env="ANTHROPIC_ADMIN_KEY",
        key_header="x-api-key",
        permission="an Admin API key of the organization (sk-ant-admin...)",
        headers={"anthropic-version": "2023-06-01"},
    )


def recognise(name: str, head: bytes) -> str | None:
    """A cost report's results name an amount and its currency; `list_amount` is the Enterprise Analytics report."""
    if re.match(rb"(?:\xef\xbb\xbf)?\s*[\[{]", head) is None or b'"list_amount"' in head:
        return None
    fields = (b'"starting_at"', b'"results"', b'"amount"', b'"currency"')
    return "cost_report" if all(field in head for field in fields) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A saved page, an array of pages or one page a line."""
    return dropped_pages(name, content, dataset="cost_report", grouping_of=_grouping)


def parse(content: bytes, settings: Settings) -> Frames:
    """Every result as one row, amounts in the vendor's cents."""
    rows = []
    for where, day, bucket, result in results_in(content, settings):
        amount = decimal_text(
            result.get("amount"), name="amount", where=where, fraction_digits=_FRACTION_DIGITS_OF_CENTS
        )
        currency = text_or_none(result.get("currency"), name="currency", where=where)
        if not currency:
            raise QuarantineError(f"{where}: no currency beside the amount {amount}.")
        texts = [text_or_none(result.get(name), name=name, where=where) for name in _TEXTS]
        unknown = {key: value for key, value in result.items() if key not in COSTS.columns} | bucket_extras(bucket)
        rows.append(
            (
                day.isoformat(),
                day,
                bucket["starting_at"],
                bucket["ending_at"],
                amount,
                currency,
                *texts,
                other_columns(unknown),
            )
        )
    return {COSTS.name: pl.DataFrame(rows, schema=COSTS.schema, orient="row")}


def _grouping(results: Sequence[Mapping[str, Any]]) -> str:
    """A report fetched without groups nulls every dimension: it is a control total, not this dataset."""
    return GROUPING if any(result.get("description") is not None for result in results) or not results else ""


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            issuer="anthropic",
            name="cost_report",
            mode="replace",
            bucket="utc_day",
            measure="billed",
            tables=(COSTS,),
            parse=parse,
            grouping=GROUPING,
        ),
    ),
    recognise=recognise,
    drop=drop,
    fetch=fetch,
    probe=probe,
)
