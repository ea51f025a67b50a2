"""demo-openai's Admin API pages (costs and usage) and its dashboard's cost exports, in the vendor's own spelling.

Formats: OpenAI's organization costs (day buckets, at most 31 a page here, grouped by project and line item) and usage
(hour buckets, at most 168 a page); the dashboard's export of cost (17 decimals). The vendor holds amounts as binary
floats that it added up hour by hour, so their last digits are no money: what counts is the amount to 10^-18.
"""

import csv
import io
import json
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from pipeline.demo import company
from pipeline.demo.api_bills import FIRST_PULL, LAST_PULL, Window
from pipeline.demo.openai_traffic import (
    ACCOUNT,
    BATCH_PERCENT_OF_LIST,
    DOCUMENTS_PROJECT,
    EMBEDDING,
    LIST_PRICE_MILLS_PER_MTOK,
    MINI_5_4,
    MODELS,
    ORGANIZATION,
    Used,
)
from pipeline.demo.truth import UNASSIGNED, BilledDay, ControlDay, Fault, TokenTotal

COSTS, USAGE, DASHBOARD = "openai_costs_api", "openai_usage_api", "openai_dashboard_csv"

# The costs of the night's batch job came later than the first pull, and than the dashboard's export of October.
RESTATED_DAY = date(2026, 10, 30)
# A Friday's usage without a project is on Saturday's bill, where nothing metered it.
LATE_DAY = date(2026, 10, 23)
BILLED_ON = date(2026, 10, 24)

OCTOBER_EXPORT = "cost_2026-10-01_2026-10-31_20261103T083000Z.csv"
NOVEMBER_EXPORT = "cost_2026-11-01_2026-11-14_20261115T053000Z.csv"
_NOVEMBER = date(2026, 11, 1)

_CLASS_WORDS = {"input_uncached": "input", "input_cache_read": "cached input", "output": "output"}
_STORED_GIBIBYTES = 12
_GIBIBYTE_DAY_DOLLARS = 0.1
_API_DECIMALS, _CSV_DECIMALS = Decimal(1).scaleb(-18), Decimal(1).scaleb(-17)


@dataclass(frozen=True)
class Line:
    """One line of the bill of a day. `value`: dollars, as the vendor's float."""

    usage_date: date
    project_id: str | None
    line_item: str
    value: float
    quantity: int
    quantity_unit: str

    @property
    def amount(self) -> Decimal:
        """What the float is worth to 10^-18."""
        return Decimal(repr(self.value)).quantize(_API_DECIMALS, rounding=ROUND_HALF_EVEN)

    @property
    def csv_amount(self) -> Decimal:
        return Decimal(repr(self.value)).quantize(_CSV_DECIMALS, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True)
class Export:
    """A file of one inbox."""

    source: str
    name: str
    content: bytes


def lines(usage: Sequence[Used]) -> list[Line]:
    """The bill: tokens x list price (batch at half of it), by day, project and line item; storage by the day."""
    values: dict[tuple[date, str, str], float] = defaultdict(float)
    tokens: dict[tuple[date, str, str], int] = defaultdict(int)
    for row in usage:
        day = BILLED_ON if row.project_id is None and row.usage_date == LATE_DAY else row.usage_date
        percent = BATCH_PERCENT_OF_LIST if row.is_batch else 100
        for token_class, count in row.tokens.items():
            item = f"{'batch | ' if row.is_batch else ''}{row.model}, {_CLASS_WORDS[token_class]}"
            key = (day, row.project_id or "", item)
            values[key] += count * LIST_PRICE_MILLS_PER_MTOK[row.model][token_class] * percent / 10**11
            tokens[key] += count
    bill = [
        Line(day, project or None, item, value, tokens[day, project, item], "tokens")
        for (day, project, item), value in values.items()
    ]
    for number, day in enumerate(company.DAYS):
        stored = _STORED_GIBIBYTES + number // 5
        bill.append(
            Line(
                day, DOCUMENTS_PROJECT, "Vector storage", stored * _GIBIBYTE_DAY_DOLLARS, stored * 24, "gibibyte_hours"
            )
        )
        # The vendor lists what it might have charged for, at nothing.
        bill.append(Line(day, None, f"{MINI_5_4}, cached input", 0.0, 0, "tokens"))
    return sorted(bill, key=lambda line: (line.usage_date, line.project_id or "~", line.line_item))


def not_yet_restated(bill: Iterable[Line]) -> list[Line]:
    """The same bill as it was before the restated day's batch job was charged."""
    return [line for line in bill if line.usage_date != RESTATED_DAY or not line.line_item.startswith("batch")]


def exports(usage: Sequence[Used], bill: Sequence[Line]) -> list[Export]:
    """Two pulls of the API's costs and usage, and the dashboard's two exports of cost."""
    first_bill = not_yet_restated(bill)
    files = []
    for window, seen in ((FIRST_PULL, first_bill), (LAST_PULL, bill)):
        files.append(Export(COSTS, f"costs_{window.stamp}.json", _cost_pages(seen, window)))
        for endpoint in ("completions", "embeddings"):
            name = f"{endpoint}_usage_{window.stamp}.json"
            files.append(Export(USAGE, name, _usage_pages(usage, window, endpoint)))
    october = [line for line in first_bill if line.usage_date < _NOVEMBER]
    november = [line for line in bill if line.usage_date >= _NOVEMBER]
    files.append(Export(DASHBOARD, OCTOBER_EXPORT, _dashboard_csv(october)))
    files.append(Export(DASHBOARD, NOVEMBER_EXPORT, _dashboard_csv(november)))
    return files


# --- the API's pages -------------------------------------------------------------------------------------------------


def _cost_pages(bill: Iterable[Line], window: Window) -> bytes:
    results: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for line in bill:
        results[_seconds(line.usage_date)].append(
            {
                "object": "organization.costs.result",
                "amount": {"value": line.value, "currency": "usd"},
                "line_item": line.line_item,
                "project_id": line.project_id,
                "user_id": None,
                "api_key_id": None,
                "quantity": line.quantity,
                "quantity_unit": line.quantity_unit,
            }
        )
    return _pages(results, window, bucket_hours=24, per_page=31, label="costs")


def _usage_pages(usage: Iterable[Used], window: Window, endpoint: str) -> bytes:
    results: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in usage:
        if (row.model == EMBEDDING) == (endpoint == "embeddings"):
            results[_seconds(row.usage_date, row.hour)].append(
                {"object": f"organization.usage.{endpoint}.result", **_counts(row)}
            )
    return _pages(results, window, bucket_hours=1, per_page=168, label=endpoint)


def _counts(row: Used) -> dict[str, Any]:
    cached = row.tokens.get("input_cache_read", 0)
    dimensions = {
        "num_model_requests": row.requests,
        "project_id": row.project_id,
        "user_id": None,
        "api_key_id": row.api_key_id,
        "model": row.model,
    }
    if row.model == EMBEDDING:
        return {"input_tokens": row.tokens["input_uncached"], **dimensions}
    return {
        "input_tokens": row.tokens["input_uncached"] + cached,
        "output_tokens": row.tokens["output"],
        "input_cached_tokens": cached,
        "input_audio_tokens": 0,
        "output_audio_tokens": 0,
        **dimensions,
        "batch": row.is_batch,
        "service_tier": "default",
    }


def _pages(
    results: Mapping[int, list[dict[str, Any]]], window: Window, *, bucket_hours: int, per_page: int, label: str
) -> bytes:
    """A closed chain of pages as one JSON array, every bucket of the window in it, the way a downloader keeps it."""
    width = bucket_hours * 3600
    buckets = [
        {"object": "bucket", "start_time": start, "end_time": start + width, "results": results.get(start, [])}
        for start in range(_seconds(window.from_day), _seconds(window.to_day), width)
    ]
    pages = []
    for start in range(0, len(buckets), per_page):
        has_more = start + per_page < len(buckets)
        token = b64encode(f"demo-{label}-{window.stamp}-{start + per_page}".encode()).decode()
        pages.append(
            {
                "object": "page",
                "data": buckets[start : start + per_page],
                "has_more": has_more,
                "next_page": f"page_{token}" if has_more else None,
            }
        )
    return (json.dumps(pages, separators=(",", ":")) + "\n").encode()


def _seconds(day: date, hour: int = 0) -> int:
    return int(datetime(day.year, day.month, day.day, hour, tzinfo=UTC).timestamp())


# --- the dashboard's export ------------------------------------------------------------------------------------------

_CSV_HEADER = (
    *("start_time", "end_time", "start_time_iso", "end_time_iso", "amount_value", "amount_currency"),
    *("line_item", "project_id", "organization_id", "organization_name"),
)


def _dashboard_csv(bill: Iterable[Line]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_HEADER)
    for line in bill:
        day, next_day = line.usage_date, line.usage_date + timedelta(days=1)
        times = (_seconds(day), _seconds(next_day), f"{day}T00:00:00+00:00", f"{next_day}T00:00:00+00:00")
        money = (f"{line.csv_amount:f}", "usd")
        writer.writerow([*times, *money, line.line_item, line.project_id or "", ORGANIZATION, ACCOUNT])
    return text.getvalue().encode()


# --- what is true of it ----------------------------------------------------------------------------------------------


def billed_days(bill: Iterable[Line]) -> list[BilledDay]:
    """What the API's costs say of each day: the book of record."""
    sums = _by_day((line.usage_date, line.amount) for line in bill)
    return [
        BilledDay(
            usage_date=day, source=COSTS, account=ACCOUNT, measure="billed", currency="USD", amount=f"{sums[day]:f}"
        )
        for day in company.DAYS
    ]


def superseded_days(bill: Iterable[Line]) -> list[BilledDay]:
    """What the first pull said of the restated day."""
    return [day for day in billed_days(not_yet_restated(bill)) if day.usage_date == RESTATED_DAY]


def control_days(bill: Sequence[Line]) -> list[ControlDay]:
    """What the dashboard's exports say of each day beside the book, and by how much: beyond the 17th decimal, and by
    the batch job of the day that was restated after October's export.
    """
    books = _by_day((line.usage_date, line.amount) for line in bill)
    controls = _by_day((line.usage_date, line.csv_amount) for line in not_yet_restated(bill))
    return [
        ControlDay(
            usage_date=day,
            source=DASHBOARD,
            account=ACCOUNT,
            book_source=COSTS,
            currency="USD",
            control_amount=f"{controls[day]:f}",
            book_amount=f"{books[day]:f}",
            difference=f"{controls[day] - books[day]:f}",
        )
        for day in company.DAYS
    ]


def _by_day(amounts: Iterable[tuple[date, Decimal]]) -> dict[date, Decimal]:
    sums: dict[date, Decimal] = defaultdict(Decimal)
    for day, amount in amounts:
        sums[day] += amount
    return sums


def token_totals(usage: Sequence[Used]) -> tuple[TokenTotal, ...]:
    """What was used on each day, by workload, model, class and tier."""
    sums: dict[tuple[date, str, str, str, str], int] = defaultdict(int)
    for row in usage:
        for token_class, count in row.tokens.items():
            workload, tier = row.workload or UNASSIGNED, row.service_tier or ""
            sums[row.usage_date, workload, MODELS[row.model], token_class, tier] += count
    return tuple(
        TokenTotal(
            usage_date=day,
            lane="api",
            account=ACCOUNT,
            deployment=None,
            workload=workload,
            model=model,
            token_class=token_class,
            service_tier=tier or None,
            tokens=count,
        )
        for (day, workload, model, token_class, tier), count in sorted(sums.items())
    )


def faults() -> list[Fault]:
    """What is odd on purpose about this bill."""
    told = (
        (
            "billed_a_day_late",
            LATE_DAY,
            "usage without a project that has no charge on its day; Saturday's charge for it has no usage",
        ),
        ("cost_restated", RESTATED_DAY, "the later pull counts; the earlier one lacked the batch job of the night"),
        (
            "control_is_older",
            RESTATED_DAY,
            "the dashboard's export of October lacks that batch job: a difference that is shown, and summed nowhere",
        ),
    )
    return [
        Fault(
            kind=kind,
            where=ACCOUNT,
            from_at=datetime(day.year, day.month, day.day, tzinfo=UTC),
            to_at=datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1),
            expect=expect,
        )
        for kind, day, expect in told
    ]
