"""Claude Enterprise's analytics, cost report: what an organization's seats used, by UTC day, product and model.

`GET /v1/organizations/analytics/cost_report?beta=true` with a key of the scope `read:analytics` (generated SDK
anthropic 2.14.0, read 2026-11-30, which calls it legacy and keeps it). An organization of the Enterprise plan has it;
what a Platform organization's keys cost is `anthropic_cost_api`.

**Amounts** are decimal text in cents, after discounts and before credits: a credit is an adjustment of the invoice.
`list_amount`, before discounts, and the number of requests are kept in `other_columns`.

**Grouped by product and model, and no further.** Of a day the 100 largest groups are answered and nothing of the rest:
a day of 100 rows may lack some, and is refused. Groups of people (`rbac_group_id`) overlap, and rows by token type
would be eight times as many. A product is the sub-account, so that `match: {workspace: claude_code}` finds it.

**Its horizon**: nothing before 2026-01-01, and nothing older than 365 days.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from pipeline.errors import QuarantineError
from pipeline.formats.values import decimal_text, text_or_none
from pipeline.landing.dataset import Dataset, Frames, Settings
from pipeline.landing.times import as_utc, day_start
from pipeline.sources.api_bill import DATASET, LINES, Charge, frame_of
from pipeline.sources.asking import page_probe
from pipeline.sources.http import PagedApi, bucket_extras, dropped_pages, fetch_windows, paged_api, results_in
from pipeline.sources.openai_costs_api import is_json
from pipeline.sources.source import FetchContext, Fetched, Probe, Source

NAME = "anthropic_enterprise_costs"
GROUPING = "product,model"
MOST_GROUPS = 100

_PROVIDER = "anthropic"
_BETA = ("beta", "true")
_FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
_HORIZON = timedelta(days=364)
# Amounts are in cents: two of the 18 digits that are held after the point go to the conversion.
_FRACTION_DIGITS_OF_CENTS = 16
_FINER = ("cost_type", "token_type", "context_window", "speed", "inference_geo", "rbac_group_id", "slack_channel_id",
          "claude_tag_category", "claude_tag_user_id")  # fmt: skip
_READ = ("amount", "currency", "product", "model")


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """The window, as far as the API reaches back, in deliveries of at most 31 day buckets."""
    api = _api(context)
    params = [_BETA, ("bucket_width", "1d"), ("limit", "31"), *(("group_by[]", name) for name in GROUPING.split(","))]
    first = max(_FIRST_DAY, day_start((as_utc(context.now) - _HORIZON).date()))
    start = context.start_of(DATASET)
    begins = context if start is None else replace(context, starts={DATASET: max(start, first)})
    yield from fetch_windows(begins, api, source=NAME, dataset=DATASET, params=params, grouping=GROUPING)


def probe(context: FetchContext) -> tuple[Probe, ...]:
    """Whether the key may read the report."""
    return (page_probe(partial(_api, context), context=context, dataset=DATASET),)


def _api(context: FetchContext) -> PagedApi:
    return paged_api(
        context,
        source=NAME,
        base_url="https://api.anthropic.com",
        path="/v1/organizations/analytics/cost_report",
        key_env="ANTHROPIC_ANALYTICS_KEY",
        key_header="x-api-key",
        permission="a key of the Enterprise organization with the scope read:analytics",
        headers={"anthropic-version": "2023-06-01"},
    )


def recognise(name: str, head: bytes) -> str | None:
    """Pages whose results have an amount at list price beside the amount."""
    fields = (b'"starting_at"', b'"results"', b'"amount"', b'"list_amount"')
    return DATASET if is_json(head) and all(field in head for field in fields) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A saved page, an array of pages or one page a line."""
    return dropped_pages(name, content, dataset=DATASET, grouping_of=_grouping)


def parse(content: bytes, settings: Settings) -> Frames:
    """Every result as one row, amounts in the currency's unit. Raises QuarantineError where a day may lack groups."""
    found = list(results_in(content, settings))
    largest = Counter(day for _, day, _, _ in found).most_common(1)
    if largest and largest[0][1] >= MOST_GROUPS:
        raise QuarantineError(
            f"{largest[0][0]} has {largest[0][1]} rows: of a day the report has its {MOST_GROUPS} largest groups and "
            "says nothing of the rest. Ask the issuer, or enter the month's total by hand (`breakeven close enter`)."
        )
    return {LINES.name: frame_of((where, _charge(where, day, bucket, result)) for where, day, bucket, result in found)}


def _charge(where: str, day: Any, bucket: Mapping[str, Any], result: Mapping[str, Any]) -> Charge:
    cents = decimal_text(result.get("amount"), name="amount", where=where, fraction_digits=_FRACTION_DIGITS_OF_CENTS)
    currency = text_or_none(result.get("currency"), name="currency", where=where)
    if not currency:
        raise QuarantineError(f"{where}: no currency beside the amount {cents}.")
    product, model = (text_or_none(result.get(name), name=name, where=where) for name in ("product", "model"))
    kept = {name: value for name, value in result.items() if name not in _READ and value is not None}
    return Charge(
        day=day,
        provider=_PROVIDER,
        amount=_in_units(cents),
        currency=currency.upper(),
        sub_account_id=product,
        model=model,
        description="Claude Enterprise",
        others=kept | bucket_extras(bucket),
    )


def _in_units(cents: str) -> str:
    """Two places to the left, to the last digit."""
    sign, digits, exponent = Decimal(cents).as_tuple()
    return format(Decimal((sign, digits, int(exponent) - 2)), "f")


def _grouping(results: Sequence[Mapping[str, Any]]) -> str:
    """The groups a saved page was fetched by, as far as it shows: a dimension not grouped by is null throughout."""
    finer = [name for name in _FINER if any(result.get(name) is not None for result in results)]
    named = [name for name in GROUPING.split(",") if any(result.get(name) is not None for result in results)]
    return ",".join([*(GROUPING.split(",") if named or not results else ()), *finer])


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            issuer=_PROVIDER,
            name=DATASET,
            mode="replace",
            bucket="utc_day",
            measure="billed",
            tables=(LINES,),
            parse=parse,
            grouping=GROUPING,
        ),
    ),
    recognise=recognise,
    drop=drop,
    fetch=fetch,
    probe=probe,
)
