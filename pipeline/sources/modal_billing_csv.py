"""Modal's billing report, `modal billing report --for "last month" --csv`: what each app cost by day or hour.

Columns (Modal's SDK 1.6.4 and its CLI's pages, read 2026-11-29): Object ID, Description, Environment, Interval Start,
Cost, and with options Resource and Tags (JSON). Intervals are UTC unless `--tz` said otherwise, which the file does not
say: leave it out. Cost is decimal text, in US dollars (from memory: the report names no currency). Only full intervals
are reported, so the last day of a report that reached into today is missing, not empty.

The report says cost and no quantity: which GPU, and for how many seconds, is not in it. A row is a line of the bill.

**One file is the whole workspace for the days it states**, from its first row to its last, or as two dates in its name
say (the last day included): a later file replaces those days.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import PurePath
from typing import Any

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.formats.values import BLANKS, csv_header, other_columns, read_csv
from pipeline.landing.dataset import Dataset, Frames, Settings
from pipeline.sources.api_bill_csv import days_in_name
from pipeline.sources.dropped import dropped_days
from pipeline.sources.focus_shape import CHARGES, DATASET
from pipeline.sources.http import check_in_window
from pipeline.sources.openai_costs_api import amount_text
from pipeline.sources.source import Fetched, Source

NAME = "modal_billing_csv"
_SELLER = "Modal"
_CURRENCY = "USD"
_REQUIRED = ("Object ID", "Environment", "Interval Start", "Cost")
_READ = (*_REQUIRED, "Description", "Resource", "Tags")


def recognise(name: str, head: bytes) -> str | None:
    """By its columns."""
    return DATASET if set(_REQUIRED) <= set(csv_header(head)) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped report. It speaks for the range in its name, or else from its first row's day to its last."""
    return dropped_days(
        dataset=DATASET,
        name=name,
        content=content,
        media_type="text/csv",
        days=lambda: days_in_name(PurePath(name).name) or [start.date() for _, start, _ in _rows(content)],
        settings={},
        is_window=True,
    )


def parse(content: bytes, settings: Settings) -> Frames:
    """Every row under FOCUS's names; a column that nobody has heard of is kept in `other_columns`."""
    rows = [_charge(where, start, record, settings) for where, start, record in _rows(content)]
    return {CHARGES.name: pl.DataFrame(rows, schema=CHARGES.schema, orient="row")}


def _rows(content: bytes) -> Iterator[tuple[str, datetime, Mapping[str, str]]]:
    file = read_csv(content, last_line_end_required=False)
    if absent := [name for name in _REQUIRED if name not in file.header]:
        raise QuarantineError(f"row 1: no column {', '.join(absent)}. This is not Modal's billing report.")
    for number, record in file.records():
        where = f"row {number}"
        yield where, _start(record["Interval Start"].strip(), where=where), record


def _charge(where: str, start: datetime, record: Mapping[str, str], settings: Settings) -> dict[str, Any]:
    day = start.date()
    check_in_window(day, settings=settings, where=where)
    amount, rounded = amount_text(record["Cost"].strip(BLANKS), name="Cost", where=where)
    others: dict[str, object] = {name: text for name, text in record.items() if name not in _READ and text}
    said: dict[str, Any] = {
        "bucket": day.isoformat(),
        "usage_date": day,
        "billing_account_id": _SELLER,
        "billing_currency": _CURRENCY,
        "billing_period_start": start.replace(day=1, hour=0, minute=0, second=0, microsecond=0),
        "charge_period_start": start,
        "invoice_issuer_name": _SELLER,
        "provider_name": _SELLER,
        "charge_category": "Usage",
        "pricing_category": "Standard",
        "charge_description": record.get("Description") or None,
        "billed_cost": Decimal(amount),
        "effective_cost": Decimal(amount),
        "service_name": _SELLER,
        "sku_meter": record.get("Resource") or None,
        "sub_account_id": record["Environment"] or None,
        "resource_id": record["Object ID"] or None,
        "tags": record.get("Tags") or None,
        "other_columns": other_columns(others | rounded),
    }
    return {name: said.get(name) for name in CHARGES.schema}


def _start(text: str, *, where: str) -> datetime:
    """In UTC, without saying so, as every instant of a table is."""
    try:
        if ":" not in text:
            return datetime.combine(date.fromisoformat(text), datetime.min.time())
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise QuarantineError(f"{where}: Interval Start is {text!r}, not a date or an instant.") from None


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            name=DATASET,
            mode="replace",
            bucket="utc_day",
            measure="billed",
            tables=(CHARGES,),
            parse=parse,
        ),
    ),
    recognise=recognise,
    drop=drop,
)
