"""Mistral's usage: what each model's tokens, pages and seconds cost by day, from its Admin API a month at a time.

`GET https://console.mistral.ai/api/admin/usage?month=11&year=2026` with an Admin API key in x-api-key (docs.mistral.ai,
usage-metrics; Enterprise plans, in preview; read 2026-11-30). The generated reference names the fields: categories
(chat, completion, ocr, audio, audio_characters, connectors, libraries_api, fine_tuning, vibe_code), start_date,
end_date, currency, prices. What stands in them no page says; **it is read as the console's own answer of the same
fields has it** (a genuine month in the tests of the public repository steipete/CodexBar): below a category `models`, by
name `alias::model`, lanes input, output and cached, each a list of entries with billing_metric, billing_group,
timestamp (a day), value (what was used) and value_paid (what of it is paid, beyond what a plan includes); and a price
by metric and group, of one unit, as decimal text. An answer that says anything else in these places is refused with its
place: a mapping that somebody declares (`api_bill_csv`) reads what Mistral's console exports until then.

An entry costs value_paid x price, exactly: at Mistral's own prices, before taxes and credits. A price has to be the one
that fits the entry, by every field that both state; where none or two different ones do, nobody knows what it cost, and
the month is refused. `vibe_usage` is a legacy of 0 and anything else is refused.

**The lanes are billed each at its own price**, so they are disjoint: input is input that was not cached. Tokens are
those of completion, chat and vibe_code's completion; of all else (pages, seconds, characters, training, storage) the
count is kept beside the cost. Days are the entries' own. An answer is all of its month: a later one replaces its days.
What it says of itself, start_date and end_date, is what it is taken for, not what was asked: another month's is
refused, and of a day after its end nothing is said.
"""

from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

from pipeline.errors import QuarantineError, SourceError
from pipeline.formats.values import (
    count,
    decimal_text,
    exact_json,
    instant,
    iso_date,
    nearest_decimal_text,
    text_or_none,
)
from pipeline.landing.dataset import Dataset, Frames, Settings
from pipeline.landing.times import DAY, as_utc, believed, day_start
from pipeline.sources.api_bill import DATASET, LINES, Charge, frame_of
from pipeline.sources.asking import page_probe
from pipeline.sources.dropped import dropped_days
from pipeline.sources.http import (
    PagedApi,
    Params,
    check_in_window,
    day_windows,
    fetch_answer,
    paged_api,
    window_settings,
)
from pipeline.sources.openai_costs_api import is_json
from pipeline.sources.source import FetchContext, Fetched, Payload, Probe, Source

NAME = "mistral_usage"
BASE_URL = "https://console.mistral.ai/api/admin"
_PROVIDER = "mistral"
# Category -> its parts that are maps of models themselves; none: what stands below `models`.
_CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "chat": (),
    "completion": (),
    "ocr": (),
    "audio": (),
    "audio_characters": (),
    "connectors": (),
    "libraries_api": ("pages", "tokens", "audio_seconds"),
    "vibe_code": ("completion", "ocr", "connectors", "audio", "audio_characters"),
    "fine_tuning": ("training", "storage"),
}
_OF_REQUESTS = frozenset({"chat", "completion", "vibe_code completion"})
_LANES: Mapping[str, str] = {"input": "input_uncached", "cached": "input_cache_read", "output": "output"}
_MARKS = (b'"billing_metric"', b'"value_paid"')
_NAMED_BY = ("billing_metric", "billing_group")
_PRICED_BY = (*_NAMED_BY, "event_type", "api_zone", "service_tier")
_READ = ("billing_metric", "timestamp", "value", "value_paid")
_MAPPING = "Until this release reads it, export the bill as CSV and declare its columns (source api_bill_csv)."


@dataclass(frozen=True)
class _Entry:
    """One entry: where it stands, of which category and model, in which lane."""

    where: str
    category: str
    model: str
    lane: str
    said: Mapping[str, Any]


@dataclass(frozen=True)
class _Price:
    """What one unit costs, and what of an entry it is for."""

    amount: Decimal
    fits: Mapping[str, Any]


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """Each month of the window, whole, as one delivery: the answer of a month says all of its days. Where the answer is
    another month's it is none, and SourceError says so when all have been asked for.
    """
    api, now = _api(context), as_utc(context.now)
    days = day_windows(context, source=NAME, dataset=DATASET, days=1)
    others = []
    for year, month in dict.fromkeys((start.year, start.month) for start, _ in days):
        first = date(year, month, 1)
        content, stated_at = fetch_answer(api, _asked(first), is_answer=_is_answer)
        said = _said_days(content)
        if said is None or said[0] != first:
            others.append(f"{year}-{month:02d}, and that of {said[0] if said else 'no month'} came")
            continue
        # It says all that was used until it was said, whatever window was wanted.
        said_at = max(now, believed(as_utc(stated_at or now), landed_at=now))
        from_at, to_at = day_start(first), day_start(min(said[1], said_at.date())) + DAY
        yield Fetched(
            dataset=DATASET,
            payloads=(Payload(name=f"{year}-{month:02d}.json", content=content, media_type="application/json"),),
            from_at=from_at,
            to_at=to_at,
            stated_at=stated_at,
            stated_by="http_date" if stated_at else "landed_at",
            settings=window_settings(from_at, to_at),
            request={"url": api.url, "params": [list(pair) for pair in _asked(first)]},
        )
    if others:
        raise SourceError(
            f"{NAME} of {context.account}: asked for the usage of {'; of '.join(others)}. Nothing of it is counted. "
            "Every other month is landed; these are asked for again by the next run."
        )


def probe(context: FetchContext) -> tuple[Probe, ...]:
    """Whether the key may read this month's usage."""
    asked, api_of = _asked(as_utc(context.now).date()), partial(_api, context)
    return (page_probe(api_of, context=context, dataset=DATASET, params=asked, is_answer=_is_answer),)


def _asked(day: date) -> Params:
    return [("month", str(day.month)), ("year", str(day.year))]


def _said_days(content: bytes) -> tuple[date, date] | None:
    """The first and the last day that an answer says it is of; None where it does not say."""
    try:
        return _days_of(_checked(exact_json(content)))
    except QuarantineError:
        return None


def _is_answer(answer: object) -> bool:
    return isinstance(answer, dict) and {"start_date", "end_date", "completion"} <= {*answer}


def _api(context: FetchContext) -> PagedApi:
    return paged_api(
        context,
        source=NAME,
        base_url=BASE_URL,
        path="/usage",
        key_env="MISTRAL_ADMIN_API_KEY",
        key_header="x-api-key",
        permission="an Admin API key of the organization (Enterprise plans; keys for inference may not read usage)",
        headers={},
    )


def recognise(name: str, head: bytes) -> str | None:
    """By what only its entries have."""
    return DATASET if is_json(head) and all(mark in head for mark in _MARKS) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A saved answer. It speaks for the month that it states."""
    return dropped_days(
        dataset=DATASET,
        name=name,
        content=content,
        media_type="application/json",
        days=lambda: _days_of(_checked(exact_json(content))),
        settings={},
        is_window=True,
    )


def parse(content: bytes, settings: Settings) -> Frames:
    """Every entry as a line of `api_bill`. Raises QuarantineError, naming the place of what is not as it was read."""
    return {LINES.name: frame_of(_charges(content, settings))}


def _charges(content: bytes, settings: Settings) -> Iterator[tuple[str, Charge]]:
    answer = _checked(exact_json(content))
    prices, currency = _prices(answer), answer.get("currency")
    check_in_window(_days_of(answer)[0], settings=settings, where="start_date")
    for entry in _entries(answer):
        day = _day(entry.said.get("timestamp"), where=entry.where)
        check_in_window(day, settings=settings, where=entry.where)
        if not isinstance(currency, str) or len(currency) != 3 or not currency.isalpha() or not currency.isascii():
            raise QuarantineError(f"{entry.where}: the currency is {currency!r}, not a code of three letters.")
        yield entry.where, _charge(entry, day, prices=prices, currency=currency.upper())


def _charge(entry: _Entry, day: date, *, prices: Sequence[_Price], currency: str) -> Charge:
    said, where = entry.said, entry.where
    used, paid = _count(said, "value", where=where), _count(said, "value_paid", where=where)
    is_of_requests = entry.category in _OF_REQUESTS
    others = {name: value for name, value in said.items() if name not in _READ and value is not None}
    if not is_of_requests or paid != used:
        others |= {"value": used, "value_paid": paid}
    tier = text_or_none(said.get("service_tier"), name="service_tier", where=where)
    return Charge(
        day=day,
        provider=_PROVIDER,
        amount=_cost(paid, _price(entry, prices), where=where) if paid else "0",
        currency=currency,
        counts={_LANES[entry.lane]: used} if is_of_requests else {},
        model=entry.model.rpartition("::")[2] or None,
        service_tier=tier or "standard",
        description=None if is_of_requests else f"{entry.category} {entry.lane}",
        others={**others, "category": entry.category},
    )


def _count(said: Mapping[str, Any], name: str, *, where: str) -> int:
    counted = count(said.get(name), name=name, where=where)
    if counted is None:
        raise QuarantineError(f"{where}: no {name}, and what was used is not what is paid. {_MAPPING}")
    return counted


def _cost(paid: int, price: Decimal, *, where: str) -> str:
    return nearest_decimal_text(format(paid * price, "f"), name="value_paid x price", where=where)


def _price(entry: _Entry, prices: Sequence[_Price]) -> Decimal:
    """Of one unit, by every field that the entry and the price both state."""
    fitting = {
        price.amount
        for price in prices
        if all(entry.said.get(name) in (None, value) for name, value in price.fits.items())
    }
    if len(fitting) != 1:
        named = " ".join(str(entry.said.get(name)) for name in _NAMED_BY)
        raise QuarantineError(f"{entry.where}: {len(fitting)} prices fit {named}, so nobody knows its cost. {_MAPPING}")
    return fitting.pop()


def _prices(answer: Mapping[str, Any]) -> list[_Price]:
    stated = answer.get("prices") or []
    if not isinstance(stated, list) or not all(isinstance(price, dict) for price in stated):
        raise QuarantineError(f"`prices` is no list of prices. {_MAPPING}")
    found = []
    for number, price in enumerate(stated, start=1):
        amount = Decimal(decimal_text(price.get("price"), name="price", where=f"price {number}"))
        fits = {name: price[name] for name in _PRICED_BY if price.get(name) is not None}
        if absent := [name for name in _NAMED_BY if name not in fits]:
            raise QuarantineError(f"price {number}: no {', '.join(absent)}. {_MAPPING}")
        found.append(_Price(amount, fits))
    return found


# --- what stands where ------------------------------------------------------------------------------------------------


def _checked(answer: object) -> Mapping[str, Any]:
    if not isinstance(answer, dict) or not _is_answer(answer):
        raise QuarantineError(f"No completion, start_date and end_date: this is not Mistral's usage. {_MAPPING}")
    legacy = answer.get("vibe_usage")
    if legacy is not None and (isinstance(legacy, bool) or not _is_zero(legacy)):
        raise QuarantineError(f"vibe_usage is {legacy!r}, and nobody knows of what. {_MAPPING}")
    for name, value in answer.items():
        if name not in _CATEGORIES and name != "prices" and isinstance(value, dict | list) and value:
            raise QuarantineError(f"{name}: a category that nobody has heard of. {_MAPPING}")
    return answer


def _is_zero(value: object) -> bool:
    return isinstance(value, str | int) and not Decimal(decimal_text(value, name="vibe_usage", where="answer"))


def _entries(answer: Mapping[str, Any]) -> Iterator[_Entry]:
    for category, parts in _CATEGORIES.items():
        below = _object(answer.get(category), where=category)
        unknown = below.keys() - (parts or {"models"})
        if any(below[name] for name in unknown):
            raise QuarantineError(f"{category}: {', '.join(sorted(unknown))}, which nobody has heard of. {_MAPPING}")
        if not parts:
            yield from _of_models(below.get("models"), category)
        for part in parts:
            held = _object(below.get(part), where=f"{category} {part}")
            yield from _of_models(held if category == "fine_tuning" else held.get("models"), f"{category} {part}")


def _of_models(models: object, category: str) -> Iterator[_Entry]:
    for model, lanes in _object(models, where=category).items():
        for lane, entries in _object(lanes, where=f"{category} {model}").items():
            if entries is None or entries == []:
                continue
            if lane not in _LANES or not isinstance(entries, list):
                raise QuarantineError(f"{category} {model}: {lane}, which nobody has heard of. {_MAPPING}")
            for number, said in enumerate(entries, start=1):
                where = f"{category} {model}, {lane} {number}"
                yield _Entry(where, category, model, lane, _object(said, where=where))


def _object(value: object, *, where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise QuarantineError(f"{where}: {type(value).__name__} where an object should be. {_MAPPING}")
    return value


def _day(timestamp: object, *, where: str) -> date:
    if timestamp is None:
        raise QuarantineError(f"{where}: no timestamp, so nobody knows of which day it is. {_MAPPING}")
    if isinstance(timestamp, str) and "T" in timestamp:
        return instant(timestamp, name="timestamp", where=where).date()
    return iso_date(timestamp, name="timestamp", where=where)


def _days_of(answer: Mapping[str, Any]) -> tuple[date, date]:
    """The first and the last day of it, of one month. Where its end is the first moment of a day is not documented."""
    start, end = (_day(answer[name], where=name) for name in ("start_date", "end_date"))
    last = min(end, start.replace(day=monthrange(start.year, start.month)[1]))
    if last < start:
        raise QuarantineError(f"It is of {start} to {end}, which is no time.")
    return start, last


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
)
