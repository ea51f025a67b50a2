"""Usage in FOCUS's columns without cost: CoreWeave's export, which says how many hours and no price.

What a day of such a resource costs is its hours at the rate agreed for it (`gpu_resources:
contract_rate_per_gpu_hour`), accrued until an invoice bills it. Where no file says the hours of a day, or said them
before the day was over, it is all of the GPUs agreed, around the clock.

CoreWeave's Cost and Usage export (docs.coreweave.com, "Export usage with the FOCUS API", read 2026-11-30: FOCUS 1.2,
public preview since 2026-09-11; the billable usage of Billing insights by the hour, JSON or CSV) is aggregated, has no
rows of nodes and leaves BillingAccountName, ChargeClass, ChargeDescription, RegionName and ResourceType blank. **No
sample of it was seen**, nor its address, its pages and what is around the rows in JSON: nothing is fetched. The columns
read are FOCUS's own (ChargePeriodStart, ChargePeriodEnd, ConsumedQuantity, ConsumedUnit, PricingQuantity, PricingUnit,
ChargeCategory, and of ResourceId, SkuId, SkuMeter the first that is said, which is the resource that `gpu_resources`
names), in any order and casing; all others are kept. What the price is of (PricingQuantity) goes before what was
consumed. What is not Usage was bought, and is no time.

A unit that names GPUs ("GPU Hours") counts these; hours alone are an instance's, of `gpu_count` GPUs, or of a pool's
by host; any other (GB, vCPU) is no GPU time. Its account is that of the issuer's invoices, where there are any.

CoreWeave's months end at 17:00 US Eastern ("Billing insights": its billing day is from 17:00 to 17:00), so that a row
of it belongs to the month of its hour seven hours later; a row of anybody else is of the month of its
BillingPeriodStart. A row wholly of one hour is taken, longer ones are refused: a day of UTC has hours of two months.
**A newer file replaces the hours of which it has rows**, each wholly. Export whole hours of the whole account, without
a filter, in one file. A row that is there twice is one (`times_stated`), as where pages overlap: what is aggregated has
one row of a kind. Rows that differ in their quantity alone are refused, and so is a row that states a cost, 0 too: a
bill is source `focus`.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.formats.values import (
    BLANKS,
    canonical_json,
    csv_header,
    decimal_text,
    json_documents,
    other_columns,
    read_csv,
)
from pipeline.landing.dataset import Dataset, Frames, Settings, Table
from pipeline.sources.focus_shape import folded
from pipeline.sources.gpu_bill import check_size
from pipeline.sources.http import stamp_in_name
from pipeline.sources.openai_costs_api import is_json
from pipeline.sources.source import Fetched, Payload, Source

NAME = "focus_usage"
DATASET = "usage"
_REQUIRED = ("ChargePeriodStart", "ChargePeriodEnd", "ConsumedQuantity", "ConsumedUnit")
_RESOURCE = ("ResourceId", "SkuId", "SkuMeter")
_COSTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
_QUANTITIES = {"ConsumedQuantity": "ConsumedUnit", "PricingQuantity": "PricingUnit"}
_READ = frozenset(map(folded, (*_REQUIRED, *_QUANTITIES, *_QUANTITIES.values(), *_RESOURCE, *_COSTS, "ChargeCategory")))
_SELLERS = ("ProviderName", "ServiceProviderName", "InvoiceIssuerName", "PublisherName")
_COREWEAVE = "coreweave"
_EASTERN = ZoneInfo("America/New_York")
_TO_MIDNIGHT = timedelta(hours=7)
_HOUR = timedelta(hours=1)
_FIRST_YEAR, _LAST_YEAR = 1970, 2199
# More than anybody uses of anything in an hour; sums of a year can be held.
_TOO_MUCH = 10**12

_Record = Mapping[str, str]

TABLE = Table(
    name=DATASET,
    columns={
        "period_start": pl.Datetime("us"),
        "billing_month": pl.Date(),
        "charge_category": pl.String(),
        "resource_id": pl.String(),
        "quantity": pl.String(),
        "unit": pl.String(),
        "pricing_quantity": pl.String(),
        "pricing_unit": pl.String(),
        "times_stated": pl.Int64(),
    },
)


def recognise(name: str, head: bytes) -> str | None:
    """By columns of usage beside none of cost, or with no cost in any row that is seen: a file with one is a bill."""
    if is_json(head):
        text = folded(head.decode(errors="replace"))
        named = {folded(column) for column in (*_REQUIRED, "BilledCost") if folded(column) in text}
        return DATASET if set(map(folded, _REQUIRED)) <= named and folded("BilledCost") not in named else None
    header = csv_header(head)
    named = set(map(folded, header))
    if not set(map(folded, _REQUIRED)) <= named:
        return None
    costs = [column for column in header if folded(column) in set(map(folded, _COSTS))]
    return DATASET if not costs or _are_blank(head, costs) else None


def _are_blank(head: bytes, columns: list[str]) -> bool:
    """Of the whole lines of a file's first bytes: there is one, and none says anything in these columns."""
    try:
        rows = [record for _, record in read_csv(head[: head.rfind(b"\n") + 1]).records()]
    except QuarantineError:
        return False
    return bool(rows) and not any(record[column].strip(BLANKS) for record in rows for column in columns)


def takes_any(settings: Settings) -> bool:
    """Every file of its inbox: an empty column of cost tells it from no bill."""
    return True


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped export, stated when its name says so (`20261102T051122Z`), else when it landed."""
    stated_at = stamp_in_name(name)
    return Fetched(
        dataset=DATASET,
        payloads=(
            Payload(name=name, content=content, media_type="application/json" if is_json(content) else "text/csv"),
        ),
        stated_at=stated_at,
        stated_by="file_name" if stated_at else "landed_at",
    )


def parse(content: bytes, settings: Settings) -> Frames:
    """Every row that repeats none, quantities as spelled. Raises QuarantineError, naming the row that cannot be so."""
    rows: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for where, record in _records(content):
        said = _said(record, where=where)
        row = _used(where, record, said)
        counted = {folded(name) for name in _QUANTITIES}
        kind = tuple(sorted((name, text) for name, text in record.items() if folded(name) not in counted and text))
        before = rows.setdefault(kind, row)
        if any(_number(before[name]) != _number(row[name]) for name in ("quantity", "pricing_quantity")):
            raise QuarantineError(
                f"{where}: a second quantity of one hour and resource, {row['quantity']} after {before['quantity']}. "
                "Where pages were joined, export again."
            )
        before["times_stated"] += 1
    return {TABLE.name: pl.DataFrame(list(rows.values()), schema=TABLE.schema, orient="row")}


def _records(content: bytes) -> Iterator[tuple[str, dict[str, str]]]:
    """(where, column -> text) of every row."""
    if not is_json(content):
        file = read_csv(content, last_line_end_required=False)
        if absent := [name for name in _REQUIRED if folded(name) not in set(map(folded, file.header))]:
            raise QuarantineError(f"row 1: no column {', '.join(absent)}. This is no usage in FOCUS's columns.")
        for number, record in file.records():
            yield f"row {number}", dict(record)
        return
    for number, document in enumerate(json_documents(content), start=1):
        if not isinstance(document, dict):
            raise QuarantineError(f"row {number}: it is no object of FOCUS's columns.")
        yield f"row {number}", {name: _text(value) for name, value in document.items()}


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else canonical_json(value)


def _said(record: _Record, *, where: str) -> dict[str, str]:
    """Folded column -> text; "" for one that is required and not there."""
    spelled: dict[str, str] = {}
    for name in record:
        first = spelled.setdefault(folded(name), name)
        if first != name and folded(name) in _READ:
            raise QuarantineError(f"{where}: {first!r} and {name!r} are one column of FOCUS. Keep one of them.")
    absent = dict.fromkeys(map(folded, _REQUIRED), "")
    return absent | {column: record[name].strip(BLANKS) for column, name in spelled.items()}


def _period(said: _Record, *, where: str) -> datetime:
    """The start of what it counts."""
    start, end = (_instant(said.get(folded(name), ""), name=name, where=where) for name in _REQUIRED[:2])
    if not start < end <= _hour(start) + _HOUR:
        raise QuarantineError(f"{where}: {start} to {end} is not within one hour. Export it by the hour.")
    return start


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _used(where: str, record: _Record, said: _Record) -> dict[str, Any]:
    start = _period(said, where=where)
    for name in _COSTS:
        if cost := said.get(folded(name), ""):
            raise QuarantineError(f"{where}: {name} is {cost[:40]}. What states its cost is source `focus`.")
    category = said.get(folded("ChargeCategory")) or None
    resource = next((said[folded(name)] for name in _RESOURCE if said.get(folded(name))), None)
    if resource is None:
        raise QuarantineError(f"{where}: none of {', '.join(_RESOURCE)}: nobody knows what was used.")
    row: dict[str, Any] = {
        "bucket": _hour(start).isoformat(timespec="hours"),
        "usage_date": start.date(),
        "period_start": start,
        "billing_month": _billing_month(start, said, where=where),
        "charge_category": category,
        "resource_id": resource,
        "quantity": _quantity(said, "ConsumedQuantity", where=where, is_needed=category in (None, "Usage")),
        "unit": said.get(folded("ConsumedUnit")) or None,
        "pricing_quantity": _quantity(said, "PricingQuantity", where=where, is_needed=False),
        "pricing_unit": said.get(folded("PricingUnit")) or None,
        "times_stated": 0,
        "other_columns": other_columns(
            {name: text for name, text in record.items() if folded(name) not in _READ and text}
        ),
    }
    return {name: row[name] for name in TABLE.schema}


def _quantity(said: _Record, name: str, *, where: str, is_needed: bool) -> str | None:
    text = said.get(folded(name), "")
    if not text and not is_needed:
        return None
    number = check_size(decimal_text(text, name=name, where=where), name=name, where=where, below=_TOO_MUCH)
    if Decimal(number) < 0:
        raise QuarantineError(f"{where}: {name} is {number}, below 0. What is given back is on the invoice.")
    return number


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _billing_month(start: datetime, said: _Record, *, where: str) -> date | None:
    """The first day of the month that bills it. Of CoreWeave's, that of its calendar, whatever the file calls it."""
    if any(_COREWEAVE in folded(said.get(folded(name), "")) for name in _SELLERS):
        return (
            (start.replace(tzinfo=UTC).astimezone(_EASTERN).replace(tzinfo=None) + _TO_MIDNIGHT).date().replace(day=1)
        )
    text = said.get(folded("BillingPeriodStart"))
    return _instant(text, name="BillingPeriodStart", where=where).date().replace(day=1) if text else None


def _instant(text: str, *, name: str, where: str) -> datetime:
    """In UTC, without saying so, as every instant of a table is."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
        if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
            raise ValueError
        return moment
    except (ValueError, OverflowError):
        raise QuarantineError(f"{where}: {name} is {text!r}, not an instant of any bill.") from None


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            name=DATASET,
            mode="replace",
            bucket="billing_period",
            measure="metered",
            tables=(TABLE,),
            parse=parse,
        ),
    ),
    recognise=recognise,
    takes_any=takes_any,
    drop=drop,
)
