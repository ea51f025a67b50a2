"""Vast.ai's charges by UTC day and contract, each with what of it was GPU, storage and bandwidth.

`GET https://console.vast.ai/api/v0/charges/` (its OpenAPI and the CLI's `show invoices-v1 --charges`; read 2026-11-30)
answers `{"success", "count", "total", "results", "next_token"}`; the next page is asked for with `after_token`, until
the token is null. A row is a contract: type (instance, volume, serverless), source (`instance-123`), description,
amount in US dollars, start, end, metadata, and `items` of the same form, of type gpu or another.

**Times.** `select_filters` takes a range of `day` in Unix seconds, both ends included. What start and end of a row mean
is not written down. In the documentation's own example four days (96.000 hours) run from the first moment of the first
to the first moment of the last, so that the end is a day, included; other rows state moments. So a day is asked for at
a time: a row's amount is what the range asked for cost, and a row of another day is refused. One moment twice is the
whole day.

**Items.** They are the lines; what a row's amount has beyond them is a line of its own, so that a row's lines come to
its amount. A quantity is taken from a description (`96.000 hours at $0.389/hour`) where its product is the amount, to
what its digits round. How many GPUs an instance has nobody says here: `gpu_resources` does (resource_id: its number).

Lines of a month are an invoice of its name; `line_number` is the day of the month x 10^6 + the line of the day. Tax is
in no answer, and credits bought are none of it (`/api/v1/invoices/`): `prepaid_csv`, with the account as the issuer.

An inbox takes saved answers of one day, and rows of the older `/api/v0/invoices` (numbers as text; `timestamp` is all
that it says of time, so that a row is of that day). Rows of payments there are no charges.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from pipeline.economics.closing import exact_sum
from pipeline.errors import QuarantineError
from pipeline.formats.values import (
    JsonNumber,
    canonical_json,
    count,
    decimal_text,
    exact_json,
    json_documents,
    text_or_none,
    unix_instant,
)
from pipeline.landing.dataset import Dataset, Frames, Settings
from pipeline.landing.times import DAY, as_utc, day_start, stamp
from pipeline.sources.asking import page_probe
from pipeline.sources.dropped import dropped_days
from pipeline.sources.gpu_bill import DATASET, LINES, Line, check_currency, check_size, kind_of, lines_frame
from pipeline.sources.http import (
    PagedApi,
    Params,
    check_in_window,
    day_windows,
    fetch_answer,
    paged_api,
    window_settings,
)
from pipeline.sources.openai_costs_api import amount_text, is_json
from pipeline.sources.source import FetchContext, Fetched, Payload, Probe, Source

NAME = "vast_charges"
BASE_URL = "https://console.vast.ai"
_CURRENCY = "USD"
_PAGE = 100
_MOST_PAGES = 1000
_LINES_OF_A_DAY = 10**6
_KINDS: tuple[tuple[str, str], ...] = (
    ("gpu_instance", r"gpus?"),
    ("storage", r"disk|storage|volume"),
    ("network", r"bw[ud]|bandwidth|inet.*|internet.*|upload|download|network"),
    ("credit", r"credits?|refunds?"),
    ("tax", r"tax(?:es)?"),
)
_ROW = ("start", "end", "type", "source", "description", "amount", "items")
_OLD_ROW = ("type", "description", "timestamp", "quantity", "rate", "amount", "instance_id")
# Money that is put in or paid out. What a row of another type is nobody says, and it stays on the bill.
_PAYMENTS = ("payment", "payout", "transfer")
_HOURS_AT = re.compile(r"([0-9][0-9,]*(?:\.[0-9]+)?) hours? at \$([0-9]+(?:\.[0-9]+)?)/(?:hour|hr|h)\b", re.ASCII)
_MARKS = (b'"next_token"', b'"source"')
_OLD_MARKS = (b'"instance_id"', b'"rate"', b'"timestamp"')

# --- asking -----------------------------------------------------------------------------------------------------------


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """A delivery for each day of the window, the day under way included. Raises SourceError."""
    api = _api(context)
    for start, stop in day_windows(context, source=NAME, dataset=DATASET, days=1):
        pages, is_whole, stated_at = _pages(api, start, stop)
        yield Fetched(
            dataset=DATASET,
            payloads=(
                Payload(
                    name=f"{start:%Y-%m-%d}.json",
                    content=b"[" + b",\n".join(pages) + b"]",
                    media_type="application/json",
                ),
            ),
            from_at=start,
            to_at=stop,
            complete=is_whole,
            stated_at=stated_at,
            stated_by="http_date" if stated_at else "landed_at",
            settings=window_settings(start, stop),
            request={"url": api.url, "params": [list(pair) for pair in _asked(start, stop)]},
        )


def probe(context: FetchContext) -> tuple[Probe, ...]:
    """Whether the key may read billing: one charge of yesterday."""
    today = day_start(as_utc(context.now).date())
    asked = [*(pair for pair in _asked(today - DAY, today) if pair[0] != "limit"), ("limit", "1")]
    return (page_probe(partial(_api, context), context=context, dataset=DATASET, params=asked, is_answer=_is_page),)


def _asked(start: datetime, stop: datetime) -> Params:
    """Both ends of the range are in it."""
    days = {"day": {"gte": int(start.timestamp()), "lte": int(stop.timestamp()) - 1}}
    return [
        ("select_filters", json.dumps(days, separators=(",", ":"))),
        ("format", "table"),
        ("latest_first", "false"),
        ("limit", str(_PAGE)),
    ]


def _pages(api: PagedApi, start: datetime, stop: datetime) -> tuple[list[bytes], bool, datetime | None]:
    """The pages of a day, whether their chain closed, and when the last was said."""
    pages: list[bytes] = []
    tokens: set[str] = set()
    asked, stated_at = list(_asked(start, stop)), None
    while len(pages) < _MOST_PAGES:
        content, stated_at = fetch_answer(api, asked, is_answer=_is_page)
        pages.append(content)
        token = exact_json(content).get("next_token")
        if token is None:
            return pages, True, stated_at
        if not isinstance(token, str) or not token or token in tokens:
            break
        tokens.add(token)
        asked = [*_asked(start, stop), ("after_token", token)]
    return pages, False, stated_at


def _api(context: FetchContext) -> PagedApi:
    return paged_api(
        context,
        source=NAME,
        base_url=BASE_URL,
        path="/api/v0/charges/",
        key_env="VAST_API_KEY",
        key_header="authorization",
        key_scheme="Bearer ",
        permission="a Vast.ai API key that may read billing (billing_read), of an account that rents",
        headers={},
    )


def _is_page(answer: object) -> bool:
    """A range that is missing, and an account that only rents out, are answered with HTTP 200 and without success."""
    return isinstance(answer, dict) and answer.get("success") is True and isinstance(answer.get("results"), list)


# --- files ------------------------------------------------------------------------------------------------------------


def recognise(name: str, head: bytes) -> str | None:
    """By what only its answers have."""
    known = any(all(mark in head for mark in marks) for marks in (_MARKS, _OLD_MARKS))
    return DATASET if is_json(head) and known else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A saved answer speaks for the days of its rows."""
    return dropped_days(
        dataset=DATASET,
        name=name,
        content=content,
        media_type="application/json",
        days=lambda: [line.start.date() for line in _lines(content, {})],
        settings={},
        is_window=True,
    )


# --- rows -------------------------------------------------------------------------------------------------------------


def parse(content: bytes, settings: Settings) -> Frames:
    """Every charge as lines. Raises QuarantineError, naming the place."""
    return {LINES.name: lines_frame(_lines(content, settings))}


def _lines(content: bytes, settings: Settings) -> list[Line]:
    found: list[_Charge] = []
    rows: set[str] = set()
    documents = json_documents(content)
    _check_chain([page for page in documents if isinstance(page, dict) and "results" in page])
    for number, document in enumerate(documents, start=1):
        if not isinstance(document, dict):
            raise QuarantineError(f"document {number}: neither a page of charges nor a row of the older invoices.")
        if "results" not in document:
            found += _old_row(document, where=f"row {number}")
            continue
        for place, row in _rows(document, where=f"page {number}"):
            said = canonical_json({name: row.get(name) for name in ("type", "source", "start", "end")})
            if said in rows:
                raise QuarantineError(
                    f"{place}: {said} stands in it twice, and would count twice. Ask for the day again."
                )
            rows.add(said)
            found += _charges(row, _Above(), where=place)
    by_day: dict[date, int] = {}
    lines = []
    for charge in found:
        day = charge.start.date()
        check_in_window(day, settings=settings, where=charge.where)
        by_day[day] = by_day.get(day, 0) + 1
        lines.append(charge.line(by_day[day]))
    return lines


def _check_chain(pages: list[Mapping[str, Any]]) -> None:
    if pages and [page.get("next_token") for page in pages].count(None) != 1:
        raise QuarantineError(
            "Of the pages of one answer the last alone has no next_token, and that is not so here. Save all of them in "
            "one file, one a line."
        )


def _rows(page: Mapping[str, Any], *, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if page.get("success") is not True or not isinstance(page["results"], list):
        raise QuarantineError(f"{where}: no list of charges; it says {str(page.get('msg', 'nothing'))[:200]!r}.")
    for number, row in enumerate(page["results"], start=1):
        if not isinstance(row, dict):
            raise QuarantineError(f"{where}, row {number}: not an object.")
        yield f"{where}, row {number}", row


@dataclass(frozen=True)
class _Above:
    """What an item has of the row that it stands in."""

    resource_id: str | None = None
    kind: str | None = None
    description: str | None = None
    start: datetime | None = None
    stop: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class _Charge:
    """One line to be, still without its number."""

    where: str
    start: datetime
    stop: datetime
    amount: str
    kind: str
    resource_id: str | None
    description: str | None
    quantity: str | None = None
    unit_price: str | None = None
    others: Mapping[str, object]

    def line(self, number: int) -> Line:
        if number >= _LINES_OF_A_DAY:
            raise QuarantineError(f"{self.where}: more than {_LINES_OF_A_DAY:,} lines of a day.")
        return Line(
            bucket=self.start.date().isoformat(),
            invoice_id=f"{self.start:%Y-%m}",
            number=self.start.day * _LINES_OF_A_DAY + number,
            start=self.start,
            stop=self.stop,
            amount=self.amount,
            currency=_CURRENCY,
            charge_kind=kind_of(self.kind, resource_id=self.resource_id),
            description=self.description,
            resource_id=self.resource_id,
            quantity=self.quantity,
            unit=None if self.quantity is None else "hours",
            unit_price=self.unit_price,
            others=self.others,
        )


def _charges(row: Mapping[str, Any], above: _Above, *, where: str) -> Iterator[_Charge]:
    """A row's items, and what its amount has beyond them; a row without items by itself."""
    check_currency(row, _CURRENCY, where=where)
    amount, rounded = amount_text(row.get("amount"), name="amount", where=where)
    start, stop = _period(row, above, where=where)
    kind = _text(row, "type", where)
    description = _text(row, "description", where)
    own = _Above(
        resource_id=_resource(_text(row, "source", where)) or above.resource_id,
        kind=kind,
        description=", ".join(text for text in (above.description, description) if text) or None,
        start=start,
        stop=stop,
    )
    items = row.get("items") or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise QuarantineError(f"{where}: items is no list of objects.")
    parts = [
        charge
        for number, item in enumerate(items, start=1)
        for charge in _charges(item, own, where=f"{where}, item {number}")
    ]
    yield from parts
    rest = exact_sum((Decimal(amount), *(Decimal(part.amount).copy_negate() for part in parts)))
    if parts and not rest:
        return
    hours = (None, None) if parts else _hours(description, Decimal(amount))
    others = {name: value for name, value in row.items() if name not in _ROW and value not in (None, "", {}, [])}
    yield _Charge(
        where=where,
        start=start,
        stop=stop,
        amount=format(rest, "f"),
        kind="other" if parts else _kind(kind),
        resource_id=own.resource_id,
        description=f"{own.description or kind}: what no item says" if parts else own.description,
        quantity=hours[0],
        unit_price=hours[1],
        others={**({"type": kind} if kind else {}), **others, **rounded},
    )


def _period(row: Mapping[str, Any], above: _Above, *, where: str) -> tuple[datetime, datetime]:
    """Within one UTC day. An item that says no time has the row's."""
    if above.start is not None and above.stop is not None and row.get("start") is None and row.get("end") is None:
        return above.start, above.stop
    start, stop = (_moment(row.get(name), name=name, where=where) for name in ("start", "end"))
    if not start <= stop <= day_start(start.date()) + DAY:
        raise QuarantineError(
            f"{where}: {stamp(start)} to {stamp(stop)} is more than one UTC day, and whether the last is in it is not "
            "documented. Save each day by itself, or give the source a key (key_env)."
        )
    return start, stop


def _moment(value: object, *, name: str, where: str) -> datetime:
    """Unix seconds; a fraction of one is left off."""
    if isinstance(value, JsonNumber):
        value = int(Decimal(decimal_text(value, name=name, where=where)))
    return unix_instant(value, name=name, where=where)


def _text(row: Mapping[str, Any], name: str, where: str) -> str | None:
    return text_or_none(row.get(name), name=name, where=where) or None


def _resource(source: str | None) -> str | None:
    """An instance by its number, as its container knows itself; anything else by its whole name."""
    return source.removeprefix("instance-") if source else None


def _kind(said: str | None) -> str:
    return next((kind for kind, words in _KINDS if re.fullmatch(words, (said or "").lower(), re.ASCII)), "other")


def _hours(description: str | None, amount: Decimal) -> tuple[str | None, str | None]:
    """(hours, price of one) that a description states, where they come to the amount as far as their digits go."""
    found = _HOURS_AT.search(description or "")
    if found is None:
        return None, None
    hours, price = found[1].replace(",", ""), found[2]
    if max(len(hours), len(price)) > 15:
        return None, None
    # Half of the last digit of each, times the other, and a tenth of a cent for the amount's own rounding.
    off = _half(hours) * Decimal(price) + _half(price) * Decimal(hours) + Decimal("0.001")
    return (hours, price) if abs(Decimal(hours) * Decimal(price) - amount) <= off else (None, None)


def _half(text: str) -> Decimal:
    return Decimal(5).scaleb(-len(text.partition(".")[2]) - 1)


def _old_row(row: Mapping[str, Any], *, where: str) -> Iterator[_Charge]:
    """A row of `/api/v0/invoices`."""
    kind, description = _text(row, "type", where), _text(row, "description", where)
    if kind in _PAYMENTS:
        return
    check_currency(row, _CURRENCY, where=where)
    moment = _moment(row.get("timestamp"), name="timestamp", where=where)
    start = day_start(moment.astimezone(UTC).date())
    instance = count(row.get("instance_id"), name="instance_id", where=where)
    numbers = {
        name: check_size(decimal_text(row[name], name=name, where=where), name=name, where=where)
        for name in ("quantity", "rate")
        if row.get(name) is not None
    }
    words = re.findall("[a-z]+", (description or "").lower())
    is_hours = "hours" in words
    yield _Charge(
        where=where,
        start=start,
        stop=start + DAY,
        amount=decimal_text(row.get("amount"), name="amount", where=where),
        kind=next((found for found in map(_kind, words) if found != "other"), "other") if kind == "charge" else "other",
        resource_id=None if instance is None else str(instance),
        description=description,
        quantity=numbers.get("quantity") if is_hours else None,
        unit_price=numbers.get("rate") if is_hours else None,
        others={
            **({} if kind == "charge" or kind is None else {"type": kind}),
            **({} if is_hours else numbers),
            **{name: value for name, value in row.items() if name not in _OLD_ROW and value not in (None, "")},
        },
    )


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
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
