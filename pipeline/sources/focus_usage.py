"""Usage in FOCUS's columns without cost: CoreWeave's export, which says how many hours and no price.

What a day of such a resource costs is its hours at the rate agreed for it (`gpu_resources:
contract_rate_per_gpu_hour`), accrued until an invoice bills it. Where no file says the hours of a day, it is all of the
GPUs agreed, around the clock.

CoreWeave's Cost and Usage export (FOCUS 1.2, public preview since 2026-09-11; JSON or CSV by the hour) is aggregated,
has no rows of nodes and leaves several columns blank. **No sample of it was seen**: the columns read are FOCUS's own
(ChargePeriodStart, ChargePeriodEnd, ConsumedQuantity, ConsumedUnit, and of ResourceId, SkuId, SkuMeter the first that
is said, which is the resource that `gpu_resources` names), in any order and casing; all others are kept.

A unit that names GPUs ("GPU Hours") counts these; hours alone are an instance's, of `gpu_count` GPUs; any other (GB,
vCPU) is no GPU time. Its account is that of the issuer's invoices, where there are any. A period of more than one UTC
day is refused, and so is a row that states a cost: a bill is source `focus`. **One file is the whole account for the
days from its first to its last**; a later one replaces them.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

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
from pipeline.sources.dropped import dropped_days
from pipeline.sources.focus_shape import folded
from pipeline.sources.http import check_in_window
from pipeline.sources.openai_costs_api import is_json
from pipeline.sources.source import Fetched, Source

NAME = "focus_usage"
DATASET = "usage"
_REQUIRED = ("ChargePeriodStart", "ChargePeriodEnd", "ConsumedQuantity", "ConsumedUnit")
_RESOURCE = ("ResourceId", "SkuId", "SkuMeter")
_COSTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
_READ = frozenset(map(folded, (*_REQUIRED, *_RESOURCE, *_COSTS)))
_INSTANT = timedelta(microseconds=1)

TABLE = Table(
    name=DATASET,
    columns={
        "period_start": pl.Datetime("us"),
        "resource_id": pl.String(),
        "quantity": pl.String(),
        "unit": pl.String(),
    },
)


def recognise(name: str, head: bytes) -> str | None:
    """By columns of usage beside none of cost. A file that has these, and nothing in them, is for its own inbox."""
    if is_json(head):
        text = folded(head.decode(errors="replace"))
        named = {folded(column) for column in (*_REQUIRED, "BilledCost") if folded(column) in text}
    else:
        named = set(map(folded, csv_header(head)))
    return DATASET if set(map(folded, _REQUIRED)) <= named and folded("BilledCost") not in named else None


def takes_any(settings: Settings) -> bool:
    """Every file of its inbox: an empty column of cost tells it from no bill."""
    return True


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped export. It speaks for the days from its first row's to its last's."""
    return dropped_days(
        dataset=DATASET,
        name=name,
        content=content,
        media_type="application/json" if is_json(content) else "text/csv",
        days=lambda: [start.date() for _, start, _, _ in _rows(content)],
        settings={},
        is_window=True,
    )


def parse(content: bytes, settings: Settings) -> Frames:
    """Every row's quantity as spelled. Raises QuarantineError, naming the row, for one that cannot be so."""
    rows = [_used(where, start, said, record, settings) for where, start, said, record in _rows(content)]
    return {TABLE.name: pl.DataFrame(rows, schema=TABLE.schema, orient="row")}


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


def _rows(content: bytes) -> Iterator[tuple[str, datetime, dict[str, str], dict[str, str]]]:
    """(where, its start, folded column -> text, the row as it came)."""
    for where, record in _records(content):
        said = _said(where, record)
        start, end = (_instant(said[folded(name)], name=name, where=where) for name in _REQUIRED[:2])
        if not start < end or (end - _INSTANT).date() != start.date():
            raise QuarantineError(f"{where}: {start} to {end} is no part of one UTC day. Export it by the hour or day.")
        yield where, start, said, record


def _said(where: str, record: Mapping[str, str]) -> dict[str, str]:
    """Folded column -> text; "" for one that is required and not there."""
    spelled: dict[str, str] = {}
    for name in record:
        first = spelled.setdefault(folded(name), name)
        if first != name and folded(name) in _READ:
            raise QuarantineError(f"{where}: {first!r} and {name!r} are one column of FOCUS. Keep one of them.")
    absent = dict.fromkeys(map(folded, _REQUIRED), "")
    return absent | {column: record[name].strip(BLANKS) for column, name in spelled.items()}


def _used(
    where: str, start: datetime, said: Mapping[str, str], record: Mapping[str, str], settings: Settings
) -> dict[str, Any]:
    check_in_window(start.date(), settings=settings, where=where)
    for name in _COSTS:
        if _is_amount(said.get(folded(name), "")):
            raise QuarantineError(f"{where}: {name} is {said[folded(name)]}. What states its cost is source `focus`.")
    resource = next((said[folded(name)] for name in _RESOURCE if said.get(folded(name))), None)
    if resource is None:
        raise QuarantineError(f"{where}: none of {', '.join(_RESOURCE)}: nobody knows what was used.")
    unread = {name: text for name, text in record.items() if folded(name) not in _READ and text}
    row: dict[str, Any] = {
        "bucket": start.date().isoformat(),
        "usage_date": start.date(),
        "period_start": start,
        "resource_id": resource,
        "quantity": decimal_text(said[folded("ConsumedQuantity")], name="ConsumedQuantity", where=where),
        "unit": said[folded("ConsumedUnit")] or None,
        "other_columns": other_columns(unread),
    }
    return {name: row[name] for name in TABLE.schema}


def _is_amount(text: str) -> bool:
    try:
        return bool(text) and Decimal(text) != 0
    except InvalidOperation:
        return True


def _instant(text: str, *, name: str, where: str) -> datetime:
    """In UTC, without saying so, as every instant of a table is."""
    try:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise QuarantineError(f"{where}: {name} is {text!r}, not an instant.") from None


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            name=DATASET,
            mode="replace",
            bucket="utc_day",
            measure="metered",
            tables=(TABLE,),
            parse=parse,
        ),
    ),
    recognise=recognise,
    takes_any=takes_any,
    drop=drop,
)
