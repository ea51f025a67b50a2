"""LiteLLM's daily activity: what a gateway thinks a day's traffic cost at each provider, by its API.

`GET /user/daily/activity?start_date&end_date&page&page_size` with a key of a proxy admin, without `timezone`, so that a
day is a UTC day (`common_daily_activity.py` of litellm 1.110.2, read 2026-11-30; LiteLLM calls it beta). Spend is
tokens x the gateway's own prices: `rated`, never an invoice, compared with the bill that `settings.bills` names, as of
`litellm_focus`. Every table of daily spend holds the same requests (by user, team, tag), so this one alone is asked; a
gateway whose FOCUS export is read needs none of it.

**By provider.** A day's breakdowns by model, key and provider each hold all of it and say nothing of one another; a
bill is a provider's, so that one is read. What a day's spend has beyond its providers is a row that names none. A page
holds part of the rows of its days: what pages say of a day adds up.

Spend is a binary float: what is finer than 10^-18 is rounded away.
"""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import polars as pl

from pipeline.errors import QuarantineError, SourceError
from pipeline.formats.values import TOO_MUCH_MONEY, count, exact_json, iso_date, nearest_decimal_text, other_columns
from pipeline.landing.dataset import Dataset, Frames, Settings, Table
from pipeline.landing.times import DAY, as_utc
from pipeline.sources import litellm_focus
from pipeline.sources.asking import page_probe
from pipeline.sources.dropped import dropped_days
from pipeline.sources.http import PagedApi, check_in_window, day_windows, fetch_answer, paged_api, window_settings
from pipeline.sources.openai_costs_api import is_json
from pipeline.sources.source import FetchContext, Fetched, Payload, Probe, Source

NAME = "litellm_activity"
DATASET = "daily_activity"

_PAGE_SIZE = 1000
_MOST_PAGES = 1000
_CURRENCY = "USD"
_COUNTS = (
    "prompt_tokens", "completion_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "api_requests",
)  # fmt: skip
# A sum of floats is another float than the sum: below this nothing is left over.
_FLOATS_DIFFER = Decimal("1e-9")

TABLE = Table(
    name="activity",
    columns={
        "custom_llm_provider": pl.String(),
        "spend": pl.String(),
        "currency": pl.String(),
        **dict.fromkeys(_COUNTS, pl.Int64()),
    },
)


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """The window in deliveries of at most 31 days, each with all of its pages."""
    api = _api(context)
    for start, stop in day_windows(context, source=NAME, dataset=DATASET, days=31):
        asked = [("start_date", f"{start:%Y-%m-%d}"), ("end_date", f"{stop - DAY:%Y-%m-%d}")]
        pages, stated_at = _pages(api, asked)
        yield Fetched(
            dataset=DATASET,
            payloads=tuple(
                Payload(name=f"page-{number:04d}.json", content=content, media_type="application/json")
                for number, content in enumerate(pages, start=1)
            ),
            from_at=start,
            to_at=stop,
            stated_at=stated_at,
            stated_by="http_date" if stated_at else "landed_at",
            settings=window_settings(start, stop),
            request={"url": api.url, "params": [list(pair) for pair in asked]},
        )


def probe(context: FetchContext) -> tuple[Probe, ...]:
    """Whether the key may read the activity of all users."""
    yesterday = (as_utc(context.now) - DAY).date().isoformat()
    asked = [("start_date", yesterday), ("end_date", yesterday), ("page_size", "1")]
    return (page_probe(partial(_api, context), context=context, dataset=DATASET, params=asked, is_answer=_is_answer),)


def _api(context: FetchContext) -> PagedApi:
    return paged_api(
        context,
        source=NAME,
        base_url="http://localhost:4000",
        path="/user/daily/activity",
        key_env="LITELLM_ADMIN_KEY",
        key_header="authorization",
        key_scheme="Bearer ",
        permission="a key of a LiteLLM proxy admin (another's shows its own spend alone)",
        headers={},
    )


def _pages(api: PagedApi, asked: list[tuple[str, str]]) -> tuple[list[bytes], datetime | None]:
    pages: list[bytes] = []
    while len(pages) < _MOST_PAGES:
        params = [*asked, ("page", str(len(pages) + 1)), ("page_size", str(_PAGE_SIZE))]
        content, stated_at = fetch_answer(api, params, is_answer=_is_answer)
        pages.append(content)
        said = exact_json(content)["metadata"]
        # A proxy between that answers from its memory would have a page there twice, and add it up. What does not say
        # which page it is may be the first.
        if said.get("page", 1) != len(pages):
            raise SourceError(
                f"{api.source}: page {len(pages)} of {asked[0][1]} to {asked[1][1]} was asked for, and another "
                "answered. Ask the gateway itself: what stands before it must not keep its answers."
            )
        if said["has_more"] is False:
            return pages, stated_at
    raise SourceError(f"{api.source}: the pages of {asked[0][1]} to {asked[1][1]} do not end.")


def _is_answer(answer: object) -> bool:
    """Whether it is `{"results": [...], "metadata": {"has_more": ...}}`."""
    return (
        isinstance(answer, dict)
        and isinstance(answer.get("results"), list)
        and isinstance(answer.get("metadata"), dict)
        and isinstance(answer["metadata"].get("has_more"), bool)
    )


def recognise(name: str, head: bytes) -> str | None:
    """A saved answer."""
    fields = (b'"results"', b'"metrics"', b'"spend"', b'"breakdown"')
    return DATASET if is_json(head) and all(field in head for field in fields) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A saved answer of one page speaks for its days."""
    return dropped_days(
        dataset=DATASET,
        name=name,
        content=content,
        media_type="application/json",
        days=lambda: parse(content, {})[TABLE.name]["usage_date"].to_list(),
        settings={},
        is_window=True,
    )


def parse(content: bytes, settings: Settings) -> Frames:
    """A row for each day and provider, and one for what a day has beyond them."""
    answer = exact_json(content)
    if not _is_answer(answer):
        raise QuarantineError("No `results` and `metadata`. This is no answer of LiteLLM's daily activity.")
    if "window_from" not in settings and (answer["metadata"]["has_more"] or answer["metadata"].get("page", 1) != 1):
        raise QuarantineError(
            "It is one of several pages: by itself it is a part of its days. Save them with a larger page_size."
        )
    rows: list[tuple[Any, ...]] = []
    days: set[date] = set()
    for number, result in enumerate(answer["results"], start=1):
        where = f"result {number}"
        day = iso_date(_object(result, where).get("date"), name="date", where=where)
        if day in days:
            raise QuarantineError(f"{where}: {day} stands in the page twice.")
        days.add(day)
        check_in_window(day, settings=settings, where=where)
        rows += _rows_of(result, day, where)
    return {TABLE.name: pl.DataFrame(rows, schema=TABLE.schema, orient="row")}


def _rows_of(result: Mapping[str, Any], day: date, where: str) -> Iterator[tuple[Any, ...]]:
    whole = _object(result.get("metrics"), f"{where}: metrics")
    spent = Decimal(_spend(whole, where))
    providers = _object(_object(result.get("breakdown"), f"{where}: breakdown").get("providers", {}), where)
    of_providers = Decimal(0)
    for provider, said in providers.items():
        place = f"{where}, {provider}"
        metrics = _object(_object(said, place).get("metrics"), place)
        spend = _spend(metrics, place)
        of_providers += Decimal(spend)
        yield _row(day, provider or None, spend, metrics, place)
    if abs(spent - of_providers) > _FLOATS_DIFFER * max(1, len(providers)):
        yield (day.isoformat(), day, None, format(spent - of_providers, "f"), _CURRENCY, *(None for _ in _COUNTS), None)


def _row(day: date, provider: str | None, spend: str, metrics: Mapping[str, Any], where: str) -> tuple[Any, ...]:
    others = {name: value for name, value in metrics.items() if name not in ("spend", *_COUNTS) and _says(value)}
    counts = (count(metrics.get(name), name=name, where=where) for name in _COUNTS)
    return (day.isoformat(), day, provider, spend, _CURRENCY, *counts, other_columns(others))


def _says(value: object) -> bool:
    """Whether a metric is anything but nothing and 0, however that is spelled."""
    return value is not None and str(value).strip("0.") != ""


def _spend(metrics: Mapping[str, Any], where: str) -> str:
    text = nearest_decimal_text(metrics.get("spend"), name="spend", where=where)
    if abs(Decimal(text)) >= TOO_MUCH_MONEY:
        raise QuarantineError(f"{where}: spend is {text}, more than any gateway rates.")
    return text


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise QuarantineError(f"{where}: no object.")
    return value


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            name=DATASET,
            mode="replace",
            bucket="utc_day",
            measure="rated",
            tables=(TABLE,),
            parse=parse,
        ),
    ),
    recognise=recognise,
    drop=drop,
    fetch=fetch,
    probe=probe,
    check=litellm_focus.check,
)
