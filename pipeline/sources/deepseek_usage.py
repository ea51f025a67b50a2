"""DeepSeek's usage export: the ZIP that the platform's usage page gives for a month, as it came.

`usage_data_2026_7.zip` holds two CSVs (files in public repositories, described 2026-11-21; DeepSeek documents none):
- `amount-2026-7.csv`: user_id, utc_date, model, api_key_name, api_key, type, price, amount. The types are
  output_tokens, input_cache_hit_tokens, input_cache_miss_tokens and request_count; the price is of one token, in
  several rows where it changed within the day, and blank for requests.
- `cost-2026-7.csv`: user_id, utc_date, model, wallet_type (Paid or Granted), cost, currency (USD or CNY).

Since about August 2026 start_time_iso and end_time_iso stand for utc_date, with the account's own offset, and the names
are `amount-<from>_<to>.csv`. A byte order mark, CRLF and a utc_date like 20260701 are met too. **A day is the
account's own**, as the export's offset has it: it is restated as one, and is not cut at midnight UTC.

The cost names no key and no class, so it is told by price x amount: these are the lines of the bill, and what the cost
of a model's day says more or less than they do is a line of its own, so that all lines sum to the cost file. Where it
says a day's cost in two currencies, or says none, nobody can tell which amounts cost what: the tokens then have no
cost of their own. What came out of which wallet is kept beside the lines; both are cost. `api_key` may be the key
itself in part: the key is known by its name.
"""

import io
import lzma
import re
import zipfile
import zlib
from calendar import monthrange
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import PurePath
from typing import Any

from pipeline.errors import QuarantineError
from pipeline.formats.values import (
    BLANKS,
    CsvFile,
    JsonNumber,
    count,
    csv_header,
    decimal_text,
    nearest_decimal_text,
    read_csv,
)
from pipeline.landing.dataset import Dataset, Frames, Settings
from pipeline.sources.api_bill import DATASET, LINES, Charge, frame_of
from pipeline.sources.dropped import dropped_days
from pipeline.sources.http import check_in_window
from pipeline.sources.source import Fetched, Source

NAME = "deepseek_usage"
_PROVIDER = "deepseek"

_CLASSES = {
    "output_tokens": "output",
    "input_cache_hit_tokens": "input_cache_read",
    "input_cache_miss_tokens": "input_uncached",
}
_REQUESTS = "request_count"
_AMOUNT_COLUMNS = ("model", "api_key_name", "type", "price", "amount")
_COST_COLUMNS = ("model", "wallet_type", "cost", "currency")
_READ = {*_AMOUNT_COLUMNS, *_COST_COLUMNS, "utc_date", "start_time_iso", "end_time_iso", "api_key"}
_DAY = r"(\d{4})-?(\d{1,2})-?(\d{1,2})"
_MONTH_NAME = re.compile(r"^(?:amount|cost)-(\d{4})-(\d{1,2})\.csv$", re.ASCII)
_RANGE_NAME = re.compile(rf"^(?:amount|cost)-{_DAY}_{_DAY}\.csv$", re.ASCII)
_MEMBER = re.compile(rb"(?:amount|cost)-\d{4}[-_0-9]*\.csv", re.ASCII)
_ZIP = b"PK\x03\x04"
# A month of a large account is a few megabytes: what unpacks to more is no export.
_MOST_BYTES = 512 * 1024**2
_ALONE = "One of the two files alone is no bill. Drop the ZIP as it came, amounts and costs together."

_Day = tuple[date, str]


def recognise(name: str, head: bytes) -> str | None:
    """A ZIP whose first file is one of the two, or either of them unpacked (which is then refused with its reason)."""
    if head.startswith(_ZIP):
        return DATASET if _MEMBER.search(head[:512]) else None
    header = set(csv_header(head))
    is_ours = {"wallet_type", "cost", "model"} <= header or {"api_key_name", "type", "price", "amount"} <= header
    return DATASET if is_ours else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped export. It speaks for the month, or the days, that the files in it are named for."""
    return dropped_days(
        dataset=DATASET,
        name=name,
        content=content,
        media_type="application/zip",
        days=lambda: _days_named([PurePath(member).name for member in _members(content)]),
        settings={},
        is_window=True,
    )


def parse(content: bytes, settings: Settings) -> Frames:
    """The lines of the bill: price x amount by model, key and class, and what the cost file says beside them."""
    members = _members(content)
    amounts = _only(members, "amount", _AMOUNT_COLUMNS)
    costs = _only(members, "cost", _COST_COLUMNS)
    wallets: dict[_Day, list[Charge]] = defaultdict(list)
    for where, day, record in _records(costs, "cost", settings):
        wallets[day, record["model"]].append(_wallet(day, record, where=where))
    charges: list[tuple[str, Charge]] = []
    rated: dict[_Day, Decimal] = defaultdict(Decimal)
    for where, day, record in _records(amounts, "amount", settings):
        of_day = day, record["model"]
        charge = _amount(day, record, currency=_one_currency(wallets.get(of_day, [])), where=where)
        rated[of_day] += Decimal(charge.amount or 0)
        charges.append((where, charge))
    for of_day, stated in wallets.items():
        charges += [("cost file", charge) for charge in _beside(of_day, stated, rated[of_day])]
    return {LINES.name: frame_of(charges)}


def _wallet(day: date, record: Mapping[str, str], *, where: str) -> Charge:
    """What one wallet paid of a model's day."""
    currency = record["currency"].strip()
    if re.fullmatch(r"[A-Z]{3}", currency, re.ASCII) is None:
        raise QuarantineError(f"{where}: the currency is {currency!r}, not a code of three letters.")
    return Charge(
        day=day,
        provider=_PROVIDER,
        amount=nearest_decimal_text(record["cost"], name="cost", where=where),
        currency=currency,
        model=record["model"].strip() or None,
        description=record["wallet_type"].strip() or None,
        others={"cost": record["cost"], **_unread(record)},
    )


def _amount(day: date, record: Mapping[str, str], *, currency: str | None, where: str) -> Charge:
    """A row of amounts; it costs price x amount where its model's day has a cost in one currency."""
    kind, priced = record["type"].strip(), record["price"].strip(BLANKS)
    stated = count(JsonNumber(record["amount"].strip(BLANKS)), name="amount", where=where) or 0
    token_class = _CLASSES.get(kind)
    rated = None
    if currency is not None and priced and kind != _REQUESTS:
        price = decimal_text(priced, name="price", where=where)
        rated = nearest_decimal_text(format(Decimal(price) * stated, "f"), name="price x amount", where=where)
    others: dict[str, object] = {} if token_class is not None else {kind: stated}
    return Charge(
        day=day,
        provider=_PROVIDER,
        amount=rated,
        currency=currency,
        counts={} if token_class is None else {token_class: stated},
        api_key_id=record["api_key_name"].strip() or None,
        model=record["model"].strip() or None,
        service_tier="standard",
        description=None if token_class is not None else kind,
        others={**others, **({"price": priced} if priced else {}), **_unread(record)},
    )


def _beside(of_day: _Day, stated: list[Charge], rated: Decimal) -> Iterator[Charge]:
    """What the cost file says of a model's day that price x amount does not; and what came out of which wallet."""
    day, _ = of_day
    currency = _one_currency(stated)
    if currency is None:
        yield from stated
        return
    left = sum((Decimal(charge.amount or 0) for charge in stated), Decimal(0)) - rated
    model = stated[0].model
    if left:
        yield Charge(
            day=day,
            provider=_PROVIDER,
            amount=format(left, "f"),
            currency=currency,
            model=model,
            description="cost less price x amount",
        )
    for charge in stated:
        yield Charge(day=day, provider=_PROVIDER, model=model, description=charge.description, others=charge.others)


def _one_currency(stated: list[Charge]) -> str | None:
    currencies = {charge.currency for charge in stated}
    return currencies.pop() if len(currencies) == 1 else None


def _unread(record: Mapping[str, str]) -> dict[str, object]:
    """Columns that are not read, but for the key."""
    kept: dict[str, object] = {name: text for name, text in record.items() if name not in _READ and text}
    if record.get("start_time_iso"):
        kept["start_time_iso"] = record["start_time_iso"]
    return kept


def _records(file: CsvFile, kind: str, settings: Settings) -> Iterator[tuple[str, date, dict[str, str]]]:
    """(where, the account's own day, row), each within the delivery's window."""
    for number, record in file.records():
        where = f"{kind} row {number}"
        day = _day(record, where=where)
        check_in_window(day, settings=settings, where=where)
        yield where, day, record


def _day(record: Mapping[str, str], *, where: str) -> date:
    text = (record.get("start_time_iso") or record.get("utc_date") or "").strip()
    try:
        if "T" in text or " " in text:
            # The day that the account calls so, whatever its offset.
            return datetime.fromisoformat(text).date()
        return date.fromisoformat(text)
    except ValueError:
        raise QuarantineError(f"{where}: its day is {text!r}, neither a date nor an instant.") from None


def _only(members: Mapping[str, bytes], kind: str, columns: tuple[str, ...]) -> CsvFile:
    """The one file of a kind, with the columns that it cannot be read without."""
    named = [name for name in members if PurePath(name).name.startswith(f"{kind}-")]
    if len(named) != 1:
        raise QuarantineError(f"The ZIP holds {len(named)} files `{kind}-....csv`, not one. {_ALONE}")
    # The archive's own checksum says whether it is whole.
    file = read_csv(members[named[0]], last_line_end_required=False)
    absent = [name for name in columns if name not in file.header]
    if "utc_date" not in file.header and "start_time_iso" not in file.header:
        absent.append("utc_date or start_time_iso")
    if absent:
        raise QuarantineError(f"{named[0]}: no column {', '.join(absent)}. The file has {', '.join(file.header)}.")
    return file


def _members(content: bytes) -> dict[str, bytes]:
    """The CSVs of the archive, unpacked and checked."""
    if not content.startswith(_ZIP):
        raise QuarantineError(_ALONE)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = [member for member in archive.infolist() if member.filename.endswith(".csv")]
            if sum(member.file_size for member in files) > _MOST_BYTES:
                raise QuarantineError(
                    f"The ZIP unpacks to more than {_MOST_BYTES // 1024**2} MiB, which no month does."
                )
            return {member.filename: archive.read(member) for member in files}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError, MemoryError,
            zlib.error, lzma.LZMAError) as error:  # fmt: skip
        raise QuarantineError(f"The ZIP cannot be unpacked ({type(error).__name__}). Export it again.") from None


def _days_named(names: list[str]) -> tuple[date, date]:
    """(first, last) of the days that the names in the archive state; they must agree."""
    found = {days for name in names if (days := _days_in(name)) is not None}
    if len(found) != 1:
        raise QuarantineError("The names of the files in the ZIP do not say which days they are of.")
    return found.pop()


def _days_in(name: str) -> tuple[date, date] | None:
    try:
        if month := _MONTH_NAME.match(name):
            year, number = int(month[1]), int(month[2])
            return date(year, number, 1), date(year, number, monthrange(year, number)[1])
        if between := _RANGE_NAME.match(name):
            parts = [int(part) for part in between.groups()]
            first, last = date(*parts[:3]), date(*parts[3:])
            return (first, last) if first <= last else None
    except ValueError:
        return None
    return None


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
)
