"""Fireworks' usage costs: what serverless models cost by UTC day, from its API or the CSV of `firectl`; and its meter.

`POST https://api.fireworks.ai/v1/accounts/{account}/usageCosts:query` with an administrator's key (docs.fireworks.ai,
query-usage-costs and exporting-usage-costs; the fields as SDKs generated from its OpenAPI have them; read 2026-11-30):
the body says startTime, endTime, scope ACCOUNT, groupBy (DAY and one of MODEL, USER, API_KEY), pageSize and pageToken;
the answer rows of `dimensions` and `subtotal`, the `subtotal` of the whole question on each page, nextPageToken and
attributionCompleteness (COMPLETE, INCOMPLETE, UNKNOWN). At most 31 days are asked for at once, and none that began more
than 100 days ago. `settings.account_id` is the account in the address; `settings.group_by` is model (unless said
otherwise), api_key or user: one of them, since a cost grouped twice would be counted twice.

An amount is a google.type.Money: whole units as text and billionths (`nanos`) of the same sign, of which JSON leaves
out what is 0; an amount without its currency is none. A row of no dimension says so (`unattributedDimensions`,
`unknownModel`; `unattributed` and `unknown_model` in the CSV) and counts as any other.

**Rows that come to less than the question's subtotal are not taken for all of it**: the answer is kept and refused with
both sums and what it says of its attribution, and what was stated before still counts. What INCOMPLETE leaves out is
not documented; where the rows come to the subtotal it is told beside them and changes nothing.

`firectl billing export-usage-costs` writes the same as six columns: account_id, date, group_by_dimension (also
model_tier), group_by_value, subtotal_usd, currency. A day that cost nothing is in neither: a file speaks for the days
from its first row to its last.

**Rated, not invoiced**: at the account's own prices, before fixed fees, discounts of the invoice, minimums, credits and
taxes; deployments by the second and training are in neither. They are the bill's usage, and the only one by day.
Tokens are not in them: `metrics` (`pipeline.sources.fireworks_metrics`) counts these, and deployments' GPU seconds.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import quote

from pipeline.errors import ConfigError, QuarantineError
from pipeline.formats.values import (
    JsonNumber,
    csv_header,
    decimal_text,
    exact_json,
    instant,
    iso_date,
    json_documents,
    read_csv,
    text_or_none,
)
from pipeline.landing.dataset import Dataset, Frames, Settings
from pipeline.landing.times import DAY, as_utc, day_start
from pipeline.sources import fireworks_metrics
from pipeline.sources.api_bill import DATASET, LINES, Charge, frame_of
from pipeline.sources.asking import page_probe
from pipeline.sources.dropped import dropped_days
from pipeline.sources.http import (
    RFC3339,
    PagedApi,
    check_in_window,
    day_windows,
    fetch_answer,
    paged_api,
    window_settings,
)
from pipeline.sources.openai_costs_api import is_json
from pipeline.sources.source import FetchContext, Fetched, Payload, Probe, Source

NAME = "fireworks_costs"
BASE_URL = "https://api.fireworks.ai"
_PROVIDER = "fireworks"
# What is asked for by, in breakeven.yaml -> in the question -> in the answer.
_DIMENSIONS: Mapping[str, tuple[str, str]] = {
    "model": ("MODEL", "model"),
    "api_key": ("API_KEY", "apiKeyId"),
    "user": ("USER", "user"),
}
_READ = ("startTime", *(field for _, field in _DIMENSIONS.values()))
_CSV_COLUMNS = ("account_id", "date", "group_by_dimension", "group_by_value", "subtotal_usd", "currency")
_CSV_DIMENSIONS = (*_DIMENSIONS, "model_tier")
# What stands in group_by_value where there is none.
_NO_VALUE = frozenset({"unattributed", "unknown_model"})
_MARKS = (b'"dimensions"', b'"currencyCode"')
_REACH = timedelta(days=99)
_PAGE_ROWS = 1000
_MOST_PAGES = 1000
_UNITS = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_NANOS = 10**9


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """The window, as far as the API reaches back, in deliveries of at most 31 days."""
    api, dimension = _api(context), _dimension(context.settings)
    first = day_start((as_utc(context.now) - _REACH).date())
    start = context.start_of(DATASET)
    begins = context if start is None else replace(context, starts={DATASET: max(start, first)})
    for from_at, to_at in day_windows(begins, source=NAME, dataset=DATASET, days=31):
        yield _delivery(api, dimension, from_at, to_at)


def _delivery(api: PagedApi, dimension: str, from_at: datetime, to_at: datetime) -> Fetched:
    pages, is_whole, stated_at = _pages(api, dimension, from_at, to_at)
    short = _short(pages) if is_whole else None
    return Fetched(
        dataset=DATASET,
        payloads=tuple(
            Payload(name=f"page-{number:04d}.json", content=content, media_type="application/json")
            for number, content in enumerate(pages, start=1)
        ),
        from_at=from_at,
        to_at=to_at,
        complete=is_whole,
        stated_at=stated_at,
        stated_by="http_date" if stated_at else "landed_at",
        settings=window_settings(from_at, to_at) | ({} if short is None else {"short": short}),
        request={"url": api.url, "body": _question(dimension, from_at, to_at, page_rows=_PAGE_ROWS).decode()},
    )


def _pages(
    api: PagedApi, dimension: str, from_at: datetime, to_at: datetime
) -> tuple[list[bytes], bool, datetime | None]:
    """The pages of a question, whether their chain closed, and when the last was said."""
    pages: list[bytes] = []
    tokens: set[str] = set()
    token, stated_at = "", None
    while len(pages) < _MOST_PAGES and token not in tokens:
        tokens.add(token)
        asked = _question(dimension, from_at, to_at, page_rows=_PAGE_ROWS, token=token)
        content, stated_at = fetch_answer(api, [], is_answer=_is_answer, body=asked)
        pages.append(content)
        following = exact_json(content).get("nextPageToken")
        if following in (None, ""):
            return pages, True, stated_at
        if not isinstance(following, str):
            break
        token = following
    return pages, False, stated_at


def _question(dimension: str, from_at: datetime, to_at: datetime, *, page_rows: int, token: str = "") -> bytes:
    asked: dict[str, Any] = {
        "startTime": RFC3339.spell(from_at),
        "endTime": RFC3339.spell(to_at),
        "scope": "ACCOUNT",
        "groupBy": ["DAY", _DIMENSIONS[dimension][0]],
        "pageSize": page_rows,
    }
    return json.dumps(asked | ({"pageToken": token} if token else {})).encode()


def _is_answer(answer: object) -> bool:
    """Of an account without usage it may leave its rows out, not its subtotal."""
    return (
        isinstance(answer, dict)
        and isinstance(answer.get("rows", []), list)
        and ("rows" in answer or "subtotal" in answer)
    )


def _short(pages: Sequence[bytes]) -> str | None:
    """What is wrong with a chain whose rows do not come to the subtotal of its question; None where they do.

    A page whose rows cannot be read says so itself, when it is parsed; a subtotal that cannot be read is told by none.
    """
    try:
        answers = [
            _checked(exact_json(content), where=f"page {number}") for number, content in enumerate(pages, start=1)
        ]
        rows = [_money(row.get("subtotal"), where=where) for answer in answers for where, row in _rows(answer)]
    except QuarantineError:
        return None
    come_to: dict[str, Decimal] = {}
    for amount, currency in rows:
        come_to[currency] = come_to.get(currency, Decimal(0)) + amount
    stated = {found for answer in answers if (found := _stated(answer)) is not None}
    if not rows and all(not whole for whole, _ in stated):
        return None
    if stated == {(whole, currency) for currency, whole in come_to.items()} and len(stated) == 1:
        return None
    attribution = sorted({str(answer.get("attributionCompleteness", "not said")) for answer in answers})
    rows_told = _told((amount, name) for name, amount in come_to.items())
    return (
        f"its rows come to {rows_told}, its subtotal to {_told(stated)}, attribution {' and '.join(attribution)}. "
        "Nobody knows of which day the rest is, so that none of it counts; what was stated before does. Run again "
        "later, or group by another dimension (settings.group_by)"
    )


def _stated(answer: Mapping[str, Any]) -> tuple[Decimal, str] | None:
    try:
        return _money(answer.get("subtotal"), where="the subtotal")
    except QuarantineError:
        return None


def _told(amounts: Iterable[tuple[Decimal, str]]) -> str:
    return " and ".join(f"{currency} {amount:f}" for amount, currency in sorted(amounts)) or "nothing"


def probe(context: FetchContext) -> tuple[Probe, ...]:
    """Whether the key may read the account's costs: one row of yesterday's."""
    today = day_start(as_utc(context.now).date())
    asked = _question(_dimension(context.settings), today - DAY, today, page_rows=1)
    api_of = partial(_api, context)
    return (page_probe(api_of, context=context, dataset=DATASET, params=(), is_answer=_is_answer, body=asked),)


def _api(context: FetchContext) -> PagedApi:
    account_id = context.settings.get("account_id")
    if not isinstance(account_id, str) or not account_id.strip() or account_id in (".", ".."):
        raise ConfigError(
            key=f"sources.{NAME}.settings.account_id",
            value="missing" if account_id is None else account_id,
            fix="Say the account's name at Fireworks, as in accounts/<name>.",
        )
    return paged_api(
        context,
        source=NAME,
        base_url=BASE_URL,
        path=f"/v1/accounts/{quote(account_id.strip(), safe='')}/usageCosts:query",
        key_env="FIREWORKS_API_KEY",
        key_header="authorization",
        key_scheme="Bearer ",
        permission="an API key of an administrator of the Fireworks account",
        headers={"content-type": "application/json"},
    )


def _dimension(settings: Mapping[str, Any]) -> str:
    named = settings.get("group_by", "model")
    if named not in _DIMENSIONS:
        raise ConfigError(
            key=f"sources.{NAME}.settings.group_by", value=named, fix=f"It is one of {', '.join(_DIMENSIONS)}."
        )
    return str(named)


def recognise(name: str, head: bytes) -> str | None:
    """The costs by what only their rows and columns have; the meter by its columns."""
    if is_json(head):
        return DATASET if all(mark in head for mark in _MARKS) else None
    header = set(csv_header(head))
    return DATASET if {"group_by_dimension", "subtotal_usd"} <= header else fireworks_metrics.recognise(header)


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A saved answer or an export. It speaks for the days from its first row to its last."""
    dataset = recognise(name, content) or DATASET
    days = fireworks_metrics.days if dataset == fireworks_metrics.DATASET else _days
    return dropped_days(
        dataset=dataset,
        name=name,
        content=content,
        media_type="application/json" if is_json(content) else "text/csv",
        days=lambda: days(content),
        settings={},
        is_window=True,
    )


def parse(content: bytes, settings: Settings) -> Frames:
    """Every row of costs as a line of `api_bill`, without tokens."""
    if short := settings.get("short"):
        raise QuarantineError(f"This is not all that the account cost: {short}.")
    return {LINES.name: frame_of(_charges(content, settings))}


def _days(content: bytes) -> list[date]:
    return [charge.day for _, charge in _charges(content, {})]


def _charges(content: bytes, settings: Settings) -> Iterator[tuple[str, Charge]]:
    for where, charge in _of_answers(content) if is_json(content) else _of_export(content):
        check_in_window(charge.day, settings=settings, where=where)
        yield where, charge


# --- the API's answers ------------------------------------------------------------------------------------------------


def _of_answers(content: bytes) -> Iterator[tuple[str, Charge]]:
    for number, document in enumerate(json_documents(content), start=1):
        answer = _checked(document, where=f"page {number}")
        for where, row in _rows(answer):
            yield f"page {number}, {where}", _of_row(row, answer, where=f"page {number}, {where}")


def _checked(document: object, *, where: str) -> Mapping[str, Any]:
    if not isinstance(document, dict) or not _is_answer(document):
        raise QuarantineError(f"{where}: no list `rows`. This is not an answer of Fireworks' usage costs.")
    return document


def _rows(answer: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, row in enumerate(answer.get("rows", []), start=1):
        if not isinstance(row, dict) or not isinstance(row.get("dimensions"), dict):
            raise QuarantineError(f"row {number}: no `dimensions`.")
        yield f"row {number}", row


def _of_row(row: Mapping[str, Any], answer: Mapping[str, Any], *, where: str) -> Charge:
    said = row["dimensions"]
    if "startTime" not in said:
        raise QuarantineError(f"{where}: no startTime, so nobody knows of which day it is. Group by DAY.")
    amount, currency = _money(row.get("subtotal"), where=where)
    values = {name: text_or_none(said.get(field), name=field, where=where) for name, (_, field) in _DIMENSIONS.items()}
    others = {name: value for name, value in said.items() if name not in _READ}
    completeness = answer.get("attributionCompleteness")
    if completeness != "COMPLETE":
        others["attributionCompleteness"] = completeness
    return Charge(
        day=instant(said["startTime"], name="startTime", where=where).date(),
        provider=_PROVIDER,
        amount=f"{amount:f}",
        currency=currency,
        sub_account_id=values["user"] or None,
        api_key_id=values["api_key"] or None,
        model=values["model"] or None,
        others=others,
    )


def _money(money: object, *, where: str) -> tuple[Decimal, str]:
    """(amount, currency) of a google.type.Money. Missing is not zero: an object without a currency is no amount."""
    if not isinstance(money, dict) or not isinstance(money.get("currencyCode"), str):
        raise QuarantineError(f"{where}: no subtotal with a currencyCode. A cost that is not said is not 0.")
    currency, units, nanos = money["currencyCode"], money.get("units", "0"), money.get("nanos", 0)
    if re.fullmatch(r"[A-Z]{3}", currency, re.ASCII) is None:
        raise QuarantineError(f"{where}: the currency is {currency!r}, not a code of three capitals.")
    if isinstance(units, bool | JsonNumber) or _UNITS.fullmatch(str(units)) is None:
        raise QuarantineError(f"{where}: units is {units!r}, not a whole number.")
    if not isinstance(nanos, int) or isinstance(nanos, bool) or abs(nanos) >= _NANOS:
        raise QuarantineError(f"{where}: nanos is {nanos!r}, not billionths of a unit.")
    whole = int(units)
    if whole * nanos < 0:
        raise QuarantineError(f"{where}: units is {whole} and nanos is {nanos}: of two signs nobody knows the amount.")
    return Decimal(whole * _NANOS + nanos).scaleb(-9), currency


# --- the CSV ----------------------------------------------------------------------------------------------------------


def _of_export(content: bytes) -> Iterator[tuple[str, Charge]]:
    file = read_csv(content)
    if absent := [name for name in _CSV_COLUMNS if name not in file.header]:
        raise QuarantineError(f"row 1: no column {', '.join(absent)}. Export Fireworks' usage costs again.")
    first: tuple[str, str] | None = None
    grouped: set[tuple[str, ...]] = set()
    for number, record in file.records():
        where = f"row {number}"
        dimension = record["group_by_dimension"].strip()
        if dimension not in _CSV_DIMENSIONS:
            raise QuarantineError(f"{where}: grouped by {dimension!r}. Known: {', '.join(_CSV_DIMENSIONS)}.")
        of_whom = record["account_id"].strip(), dimension
        first = first or of_whom
        if of_whom != first:
            raise QuarantineError(
                f"{where}: account {of_whom[0]} by {of_whom[1]}, where row 2 is account {first[0]} by {first[1]}. One "
                "file is one account by one dimension: what is grouped twice would be counted twice."
            )
        group = tuple(record[name].strip() for name in ("date", "group_by_value", "currency"))
        if group in grouped:
            raise QuarantineError(
                f"{where}: {' '.join(group)} stands in it twice, and would count twice. Export again."
            )
        grouped.add(group)
        yield where, _of_record(dimension, record, where=where)


def _of_record(dimension: str, record: Mapping[str, str], *, where: str) -> Charge:
    currency, value = record["currency"].strip(), record["group_by_value"].strip()
    if re.fullmatch(r"[A-Z]{3}", currency, re.ASCII) is None:
        raise QuarantineError(f"{where}: the currency is {currency!r}, not a code of three capitals.")
    known = None if value in _NO_VALUE else value or None
    return Charge(
        day=iso_date(record["date"].strip(), name="date", where=where),
        provider=_PROVIDER,
        amount=decimal_text(record["subtotal_usd"], name="subtotal_usd", where=where),
        currency=currency,
        sub_account_id=known if dimension == "user" else None,
        api_key_id=known if dimension == "api_key" else None,
        model=known if dimension == "model" else None,
        description=value if dimension == "model_tier" or known is None else None,
        others={name: text for name, text in record.items() if name not in _CSV_COLUMNS and text},
    )


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
            # Costs lag the traffic by a day or more.
            settle_lag=timedelta(days=2),
            tables=(LINES,),
            parse=parse,
        ),
        Dataset(
            source=NAME,
            issuer=_PROVIDER,
            name=fireworks_metrics.DATASET,
            mode="replace",
            bucket="utc_day",
            measure="metered",
            tables=(fireworks_metrics.USAGE,),
            parse=fireworks_metrics.parse,
        ),
    ),
    recognise=recognise,
    drop=drop,
    fetch=fetch,
    probe=probe,
)
