"""OpenAI Admin API, organization costs: billed money by UTC day, project and line item.

Amounts are in the currency's unit, exclude tax, and are binary floats at OpenAI: they come as JSON numbers of 22 or so
digits after the point, or as text. What is finer than 10^-18 is rounded away, and the spelling kept beside the row.
A line item is free text ("gpt-5.6-sol, cached input"); staging reads it. `limit` counts buckets and defaults to 7.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.formats.values import nearest_decimal_text, other_columns, text_or_none
from pipeline.landing.dataset import Dataset, Frames, Money, Settings, Table
from pipeline.sources.asking import page_probe
from pipeline.sources.http import (
    UNIX_SECONDS,
    PagedApi,
    bucket_extras,
    dropped_pages,
    fetch_windows,
    paged_api,
    results_in,
)
from pipeline.sources.source import FetchContext, Fetched, Probe, Source

NAME = "openai_costs_api"
BASE_URL = "https://api.openai.com"
GROUPING = "project_id,line_item"
# The open month and the one before it: costs are restated without notice until the invoice is closed.
_TRAILING_DAYS = 62

_TOO_LARGE_A_QUANTITY = 10**15
_TEXTS = ("line_item", "project_id", "user_id", "api_key_id", "api_source", "quantity_unit")
COSTS = Table(
    name="costs",
    columns={
        "start_time": pl.Int64(),
        "end_time": pl.Int64(),
        "amount": pl.String(),
        "currency": pl.String(),
        "quantity": pl.String(),
        **{name: pl.String() for name in _TEXTS},
    },
    money=Money(home="api", amount="amount", currency_column="currency"),
)


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """The window in deliveries of at most 31 day buckets, grouped by project and line item."""
    api = _api(context)
    params = [("bucket_width", "1d"), ("limit", "31"), *(("group_by[]", name) for name in GROUPING.split(","))]
    yield from fetch_windows(context, api, source=NAME, dataset="costs", params=params, grouping=GROUPING)


def probe(context: FetchContext) -> tuple[Probe, ...]:
    """Whether the key may read costs."""
    return (page_probe(partial(_api, context), context=context, dataset="costs"),)


def _api(context: FetchContext) -> PagedApi:
    return openai_api(context, source=NAME, path="/v1/organization/costs")


def openai_api(context: FetchContext, *, source: str, path: str) -> PagedApi:
    """An endpoint of OpenAI's Admin API, which counts time in Unix seconds."""
    return paged_api(
        context,
        source=source,
        base_url=BASE_URL,
        path=path,
        key_env="OPENAI_ADMIN_KEY",
        key_header="authorization",
        key_scheme="Bearer ",
        permission="an Admin API key of the organization (sk-admin...) that may read usage",
        headers={},
        times=UNIX_SECONDS,
    )


def recognise(name: str, head: bytes) -> str | None:
    """A costs page's results call themselves one."""
    return "costs" if is_json(head) and b'"organization.costs.result"' in head else None


def is_json(head: bytes) -> bool:
    """Whether a file begins as a JSON document does."""
    return re.match(rb"(?:\xef\xbb\xbf)?\s*[\[{]", head) is not None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A saved page, an array of pages or one page a line."""
    return dropped_pages(name, content, dataset="costs", grouping_of=_grouping, times=UNIX_SECONDS)


def parse(content: bytes, settings: Settings) -> Frames:
    """Every result as one row, amounts in the unit of their currency, whose code is upper case as ISO 4217 has it."""
    rows = []
    for where, day, bucket, result in results_in(content, settings, UNIX_SECONDS):
        stated = result.get("amount")
        if not isinstance(stated, dict):
            raise QuarantineError(f"{where}: no object `amount` with a value and a currency.")
        amount, spelled = amount_text(stated.get("value"), name="amount.value", where=where)
        currency = text_or_none(stated.get("currency"), name="amount.currency", where=where)
        if not currency:
            raise QuarantineError(f"{where}: no currency beside the amount {amount}.")
        quantity = None
        if result.get("quantity") is not None:
            quantity = quantity_text(result["quantity"], name="quantity", where=where)
        texts = [text_or_none(result.get(name), name=name, where=where) for name in _TEXTS]
        unknown = {name: value for name, value in result.items() if name not in (*COSTS.columns, "object")}
        unknown |= {f"amount.{name}": value for name, value in stated.items() if name not in ("value", "currency")}
        rows.append(
            (
                day.isoformat(),
                day,
                bucket["start_time"],
                bucket["end_time"],
                amount,
                currency.upper(),
                quantity,
                *texts,
                other_columns(unknown | spelled | bucket_extras(bucket, UNIX_SECONDS)),
            )
        )
    return {COSTS.name: pl.DataFrame(rows, schema=COSTS.schema, orient="row")}


def amount_text(value: object, *, name: str, where: str) -> tuple[str, dict[str, object]]:
    """A float's decimal text to 10^-18, and its spelling as another column where that is not the whole of it."""
    text = nearest_decimal_text(value, name=name, where=where)
    return text, {} if Decimal(text) == Decimal(str(value)) else {name: value}


def quantity_text(value: object, *, name: str, where: str) -> str:
    """A float's decimal text to 10^-18. Raises QuarantineError for what no bill counts, of which sums are not held."""
    text = nearest_decimal_text(value, name=name, where=where)
    if abs(Decimal(text)) >= _TOO_LARGE_A_QUANTITY:
        raise QuarantineError(f"{where}: {name} is {text}, more than any bill counts. Export it again.")
    return text


def _grouping(results: Sequence[Mapping[str, Any]]) -> str:
    """The groups a saved page was fetched by, as far as it shows: a dimension not grouped by is null throughout."""
    groups = GROUPING.split(",")
    named = [name for name in groups if not results or any(result.get(name) is not None for result in results)]
    return ",".join(named)


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            issuer="openai",
            name="costs",
            mode="replace",
            bucket="utc_day",
            measure="billed",
            tables=(COSTS,),
            parse=parse,
            grouping=GROUPING,
            settle_lag=timedelta(days=2),
        ),
    ),
    recognise=recognise,
    drop=drop,
    fetch=fetch,
    probe=probe,
    trailing_days=_TRAILING_DAYS,
)
