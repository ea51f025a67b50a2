"""OpenRouter's activity: what its credits paid for by UTC day, model and endpoint, from its API or an export of it.

`GET /api/v1/activity` with a management key (generated SDK openrouter 1.3.84, read 2026-11-21) has no pages and knows
**the last 30 completed UTC days and no others: what is not asked for by then is gone**. All of them are asked for each
time, by workspace. The Activity page exports the same as CSV (Date, Slug, Usage, BYOK Usage, Requests, Prompt Tokens,
Completion Tokens, Reasoning Tokens; seen in public code): dropped into an inbox it fills days that the API has lost.
A day counts once, as it was stated last.

`usage` is in credits, which are US dollars, and is a binary float: what is finer than 10^-18 is rounded away and the
spelling kept. It is one amount for a row's prompt and completion together, so a price by class is nobody's: it is split
by their number (`pipeline.sources.api_bill`). Cached tokens are part of the prompt (a replayed response may count more
of them than its prompt has: such input stays whole), reasoning of the completion.

**What went out with a key of one's own** (`byok_usage_inference` above zero) is on that provider's bill, tokens and
all; here only OpenRouter's fee for it is a charge, and its tokens are kept beside it, not counted twice. The fee on
buying credits is on the receipt, and in no row.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from pipeline.errors import QuarantineError
from pipeline.formats.values import (
    BLANKS,
    JsonNumber,
    count,
    csv_header,
    iso_date,
    json_documents,
    read_csv,
    text_or_none,
)
from pipeline.landing.dataset import Dataset, Frames, Settings
from pipeline.landing.times import DAY, as_utc, believed, day_start
from pipeline.sources.api_bill import DATASET, LINES, Charge, frame_of, of_prompt
from pipeline.sources.asking import page_probe
from pipeline.sources.dropped import dropped_days
from pipeline.sources.http import (
    PagedApi,
    check_in_window,
    fetch_answer,
    paged_api,
    window_settings,
)
from pipeline.sources.openai_costs_api import amount_text, is_json
from pipeline.sources.source import FetchContext, Fetched, Payload, Probe, Source

NAME = "openrouter_activity"
BASE_URL = "https://openrouter.ai"
HORIZON_DAYS = 30
_PROVIDER = "openrouter"
_CURRENCY = "USD"
_BY_WORKSPACE = ("group_by", "workspace")

_JSON_MARKS = (b'"model_permaslug"', b'"byok_usage_inference"')
_CSV_REQUIRED = ("Date", "Slug", "Usage", "Prompt Tokens", "Completion Tokens")
_CSV_NAMES = {
    "Date": "date",
    "Slug": "model_permaslug",
    "Usage": "usage",
    "BYOK Usage": "byok_usage_inference",
    "Requests": "requests",
    "Prompt Tokens": "prompt_tokens",
    "Completion Tokens": "completion_tokens",
    "Reasoning Tokens": "reasoning_tokens",
}
_READ = ("date", "model_permaslug", "model", "usage", "prompt_tokens", "completion_tokens", "cached_tokens",
         "workspace_id")  # fmt: skip


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """The completed days that the API still knows, as one delivery."""
    api = _api(context)
    content, stated_at = fetch_answer(api, [_BY_WORKSPACE])
    # The server's own day: a clock that is off here would take one of its days for another.
    today = believed(as_utc(stated_at or context.now), landed_at=as_utc(context.now)).date()
    start, stop = map(day_start, _window(content, today=today))
    yield Fetched(
        dataset=DATASET,
        payloads=(Payload(name="activity.json", content=content, media_type="application/json"),),
        from_at=start,
        to_at=stop,
        stated_at=stated_at,
        stated_by="http_date" if stated_at else "landed_at",
        settings=window_settings(start, stop),
        request={"url": api.url, "params": [list(_BY_WORKSPACE)]},
    )


def _window(content: bytes, *, today: date) -> tuple[date, date]:
    """[first, last) of the days that an answer speaks for. Days before its first row may be beyond the horizon, and
    would look as if their money had been withdrawn.
    """
    try:
        days = [row.day for row in _rows(content)]
    except QuarantineError:
        days = []
    first = min(days, default=today - timedelta(days=HORIZON_DAYS - 1))
    return first, max([today, *(day + DAY for day in days)])


def probe(context: FetchContext) -> tuple[Probe, ...]:
    """Whether the key may read the activity."""
    yesterday = (as_utc(context.now) - DAY).date().isoformat()
    asked = [("date", yesterday)]
    return (page_probe(partial(_api, context), context=context, dataset=DATASET, params=asked),)


def _api(context: FetchContext) -> PagedApi:
    return paged_api(
        context,
        source=NAME,
        base_url=BASE_URL,
        path="/api/v1/activity",
        key_env="OPENROUTER_MANAGEMENT_KEY",
        key_header="authorization",
        key_scheme="Bearer ",
        permission="a management key of the OpenRouter account (inference keys may not read activity)",
        headers={},
    )


def recognise(name: str, head: bytes) -> str | None:
    """By what only rows of activity have; the CSV by its header."""
    if is_json(head):
        return DATASET if all(mark in head for mark in _JSON_MARKS) else None
    return DATASET if {"Slug", "BYOK Usage", "Prompt Tokens"} <= set(csv_header(head)) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A saved answer or an export. It speaks for the days from its first row to its last."""
    return dropped_days(
        dataset=DATASET,
        name=name,
        content=content,
        media_type="application/json" if is_json(content) else "text/csv",
        days=lambda: [row.day for row in _rows(content)],
        settings={},
        is_window=True,
    )


def parse(content: bytes, settings: Settings) -> Frames:
    """Every row as the lines of `api_bill`."""
    return {LINES.name: frame_of(_charges(content, settings))}


@dataclass(frozen=True)
class _Row:
    """A row of either form: where it stands, its day, its fields under the API's names."""

    where: str
    day: date
    said: Mapping[str, Any]


def _charges(content: bytes, settings: Settings) -> Iterator[tuple[str, Charge]]:
    for row in _rows(content):
        check_in_window(row.day, settings=settings, where=row.where)
        yield row.where, _charge(row)


def _charge(row: _Row) -> Charge:
    said, where = row.said, row.where
    amount, spelled = amount_text(said.get("usage"), name="usage", where=where)
    others = {name: value for name, value in said.items() if name not in _READ and value is not None} | spelled
    counts = _counts(said, where=where)
    if is_own_key := _is_own_key(said, where=where):
        others |= {name: said[name] for name in ("prompt_tokens", "completion_tokens", "cached_tokens") if name in said}
    model = said.get("model_permaslug") or said.get("model")
    return Charge(
        day=row.day,
        provider=_PROVIDER,
        amount=amount,
        currency=_CURRENCY,
        counts={} if is_own_key else counts,
        sub_account_id=text_or_none(said.get("workspace_id"), name="workspace_id", where=where) or None,
        model=text_or_none(model, name="model_permaslug", where=where) or None,
        service_tier="standard",
        description="fee for requests with a key of one's own" if is_own_key else None,
        others=others,
    )


def _counts(said: Mapping[str, Any], *, where: str) -> dict[str, int]:
    tokens = {
        name: count(said.get(name), name=name, where=where)
        for name in ("prompt_tokens", "completion_tokens", "cached_tokens")
    }
    prompt, completion = tokens["prompt_tokens"], tokens["completion_tokens"]
    if prompt is None or completion is None:
        raise QuarantineError(f"{where}: no prompt_tokens and completion_tokens. This is not OpenRouter's activity.")
    return {**of_prompt(prompt, ("input_cache_read", tokens["cached_tokens"])), "output": completion}


def _is_own_key(said: Mapping[str, Any], *, where: str) -> bool:
    value = said.get("byok_usage_inference")
    if value is None or value == "":
        return False
    text, _ = amount_text(value, name="byok_usage_inference", where=where)
    return Decimal(text) > 0


def _rows(content: bytes) -> Iterator[_Row]:
    return _results(content) if is_json(content) else _lines(content)


def _results(content: bytes) -> Iterator[_Row]:
    for page_number, page in enumerate(json_documents(content), start=1):
        data = page.get("data") if isinstance(page, dict) else None
        if not isinstance(data, list):
            raise QuarantineError(f"answer {page_number}: no list `data`. This is not OpenRouter's activity.")
        for number, result in enumerate(data, start=1):
            where = f"answer {page_number}, row {number}"
            if not isinstance(result, dict):
                raise QuarantineError(f"{where}: not an object.")
            yield _Row(where, _day(result.get("date"), where=where), result)


def _lines(content: bytes) -> Iterator[_Row]:
    file = read_csv(content, last_line_end_required=False)
    if absent := [name for name in _CSV_REQUIRED if name not in file.header]:
        raise QuarantineError(f"row 1: no column {', '.join(absent)}. Export OpenRouter's activity again.")
    for number, record in file.records():
        where = f"row {number}"
        said: dict[str, Any] = {_CSV_NAMES.get(name, name): text for name, text in record.items() if text.strip()}
        for name in ("requests", "prompt_tokens", "completion_tokens", "reasoning_tokens"):
            if name in said:
                said[name] = JsonNumber(said[name].strip(BLANKS))
        yield _Row(where, _day(said.get("date"), where=where), said)


def _day(value: object, *, where: str) -> date:
    """The UTC day of "2026-01-16" or "2026-01-16 00:00:00"."""
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and len(text) > len("2026-01-16"):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.time() != datetime.min.time() or moment.utcoffset():
            raise QuarantineError(f"{where}: date is {text!r}, not a UTC day.")
        return moment.date()
    return iso_date(text, name="date", where=where)


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
        ),
    ),
    recognise=recognise,
    drop=drop,
    fetch=fetch,
    probe=probe,
    trailing_days=HORIZON_DAYS,
)
