"""OpenAI dashboard, usage page: its exports of cost and of activity, one row a bucket and group.

`cost_2026-06-07_2026-07-07.csv`, `completions_usage_2026-06-07_2026-07-07.csv` and so on: the name gives the range, its
last day included (a file of 12 July to 11 August holds 31 day buckets; files described in public repositories, read
2026-11-21). It lists every bucket of the range, one without any use as a row of its four times only, and leaves out the
columns that no row fills: an export of an idle month is four columns, the same bytes for cost and for activity. So the
name says what it is, and a range of which days are missing is a cut file.

A name's date stands for some moment of its last day: that day stays provisional until a file that reaches further, or
one whose name carries a stamp such as `20260808T060000Z`, counts it. What the page was filtered by is not in the file:
export the whole organization.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import PurePath
from typing import Any

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.formats.values import JsonNumber, csv_header, other_columns, read_csv
from pipeline.landing.dataset import Dataset, Frames, Money, Settings, Table
from pipeline.landing.times import DAY, day_start, days_between
from pipeline.sources.http import (
    UNIX_SECONDS,
    bucket_start,
    check_in_window,
    stamp_in_name,
    window_of,
    window_settings,
)
from pipeline.sources.openai_costs_api import amount_text, quantity_text
from pipeline.sources.openai_usage_api import ENDPOINTS, Endpoint, typed_values
from pipeline.sources.source import Fetched, Payload, Source

NAME = "openai_dashboard_csv"

_TIMES = ("start_time", "end_time", "start_time_iso", "end_time_iso")
_TEXTS = (
    "line_item",
    "project_id",
    "project_name",
    "organization_id",
    "organization_name",
    "user_id",
    "api_key_id",
    "quantity_unit",
)
COST = Table(
    name="cost",
    columns={
        "start_time": pl.Int64(),
        "end_time": pl.Int64(),
        "amount": pl.String(),
        "currency": pl.String(),
        "quantity": pl.String(),
        **{name: pl.String() for name in _TEXTS},
    },
    money=Money(home="api", amount="amount", currency_column="currency"),
)

_DAY = r"(\d{4}-\d{2}-\d{2})"
_RANGE = re.compile(rf"(?<![a-z])(cost|[a-z_]+_usage)_{_DAY}_{_DAY}(?![0-9])", re.ASCII)
# A date in a name stands for some moment of that day; just after its start is the least it can mean.
_WITHIN_THE_DAY = timedelta(seconds=1)


@dataclass(frozen=True)
class _Row:
    """One row that says more than its times: its place, its UTC day, its times, its other cells but for blank ones."""

    where: str
    day: date
    start_time: int
    end_time: int
    cells: Mapping[str, str]


def recognise(name: str, head: bytes) -> str | None:
    """By its name; by its header where that has what only a cost or a completions export has."""
    header = csv_header(head)
    if not {"start_time", "end_time"} <= set(header):
        return None
    named = _named(name)
    if named is not None:
        return named[0]
    if {"amount_value", "amount_currency"} <= set(header):
        return "cost"
    return "completions" if {"input_tokens", "output_tokens"} <= set(header) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped export. Its window is the range in its name, or else what its buckets cover."""
    payloads = (Payload(name=name, content=content, media_type="text/csv"),)
    dataset = recognise(name, content) or COST.name
    named = _named(name)
    if named is None:
        covered = _covered_days(content)
        if not covered:
            return Fetched(dataset=dataset, payloads=payloads)
        first, last, stated_at = min(covered), max(covered), stamp_in_name(name)
    else:
        _, first, last = named
        stated_at = stamp_in_name(name) or day_start(last) + _WITHIN_THE_DAY
    start, stop = day_start(first), day_start(last) + DAY
    return Fetched(
        dataset=dataset,
        payloads=payloads,
        from_at=start,
        to_at=stop,
        stated_at=stated_at,
        stated_by="file_name" if stated_at else "landed_at",
        settings=window_settings(start, stop),
    )


def parse_cost(content: bytes, settings: Settings) -> Frames:
    """Every row with an amount, in the unit of its currency, whose code is upper case as ISO 4217 has it."""
    rows = []
    for row in _rows(content, settings):
        if "amount_value" not in row.cells or "amount_currency" not in row.cells:
            raise QuarantineError(f"{row.where}: no amount_value with its amount_currency. This is not a cost export.")
        amount, spelled = amount_text(row.cells["amount_value"], name="amount_value", where=row.where)
        quantity = None
        if "quantity" in row.cells:
            quantity = quantity_text(row.cells["quantity"], name="quantity", where=row.where)
        known = (*COST.columns, "amount_value", "amount_currency")
        unknown: dict[str, object] = {name: text for name, text in row.cells.items() if name not in known}
        rows.append(
            (
                row.day.isoformat(),
                row.day,
                row.start_time,
                row.end_time,
                amount,
                row.cells["amount_currency"].upper(),
                quantity,
                *(row.cells.get(name) for name in _TEXTS),
                other_columns(unknown | spelled),
            )
        )
    return {COST.name: pl.DataFrame(rows, schema=COST.schema, orient="row")}


@dataclass(frozen=True)
class Activity:
    """The export of one kind of activity: the fields of that usage endpoint, as columns."""

    endpoint: Endpoint

    def parse(self, content: bytes, settings: Settings) -> Frames:
        """Every row with a count. Counts come as floats, "59200.0"; a fraction of one is refused."""
        table = self.endpoint.table
        rows = []
        for row in _rows(content, settings):
            if not any(name in row.cells for name in self.endpoint.counts):
                raise QuarantineError(
                    f"{row.where}: none of {', '.join(self.endpoint.counts)}. This is not an export of "
                    f"{self.endpoint.name}."
                )
            values: dict[str, object] = {
                **row.cells,
                **{name: JsonNumber(row.cells[name]) for name in self.endpoint.counts if name in row.cells},
            }
            if "batch" in values:
                values["batch"] = _flag(row.cells["batch"], where=row.where)
            unknown = {name: text for name, text in row.cells.items() if name not in table.columns}
            rows.append(
                (
                    row.day.isoformat(),
                    row.day,
                    row.start_time,
                    row.end_time,
                    *typed_values(table, values, where=row.where),
                    other_columns(unknown),
                )
            )
        return {table.name: pl.DataFrame(rows, schema=table.schema, orient="row")}


def _flag(text: str, *, where: str) -> bool:
    flag = {"true": True, "false": False}.get(text.lower())
    if flag is None:
        raise QuarantineError(f"{where}: batch is {text!r}, neither TRUE nor FALSE.")
    return flag


def _rows(content: bytes, settings: Settings) -> Iterator[_Row]:
    """The rows that say more than their times. Raises QuarantineError when days of the window have no bucket at all."""
    window = window_of(settings)
    missing = set(days_between(*window)) if window is not None else set()
    for where, day, record in _buckets(content):
        check_in_window(day, settings=settings, where=where)
        missing.discard(day)
        cells = {name: text for name, text in record.items() if name not in _TIMES and text.strip()}
        if cells:
            start_time, end_time = int(record["start_time"]), int(record["end_time"])
            yield _Row(where=where, day=day, start_time=start_time, end_time=end_time, cells=cells)
    if missing:
        raise QuarantineError(
            f"No bucket of {min(missing)}{f' and {len(missing) - 1} more days' if len(missing) > 1 else ''}, which the "
            "file's name says it covers. It may be cut: export it again."
        )


def _buckets(content: bytes) -> Iterator[tuple[str, date, dict[str, str]]]:
    """(where, UTC day, cells) of every row."""
    file = read_csv(content)
    absent = [name for name in ("start_time", "end_time") if name not in file.header]
    if absent:
        raise QuarantineError(f"row 1: no column {', '.join(absent)}. This is not an export of the usage dashboard.")
    for number, record in file.records():
        where = f"row {number}"
        times: dict[str, object] = {name: _whole(record[name]) for name in ("start_time", "end_time")}
        yield where, bucket_start(times, times=UNIX_SECONDS, where=where).date(), record


def _whole(text: str) -> object:
    return int(text) if text.isascii() and text.isdigit() else text


def _covered_days(content: bytes) -> set[date]:
    try:
        return {day for _, day, _ in _buckets(content)}
    except QuarantineError:
        return set()


def _named(name: str) -> tuple[str, date, date] | None:
    """(dataset, first day, last day) that a file name states."""
    found = _RANGE.search(PurePath(name).name)
    if found is None:
        return None
    dataset = found.group(1).removesuffix("_usage")
    try:
        first, last = date.fromisoformat(found.group(2)), date.fromisoformat(found.group(3))
    except ValueError:
        return None
    known = dataset == COST.name or any(endpoint.name == dataset for endpoint in ENDPOINTS)
    return (dataset, first, last) if known and first <= last else None


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            issuer="openai",
            name=COST.name,
            mode="replace",
            bucket="utc_day",
            measure="billed",
            tables=(COST,),
            parse=parse_cost,
            settle_lag=timedelta(days=2),
        ),
        *(
            Dataset(
                source=NAME,
                issuer="openai",
                name=endpoint.name,
                mode="replace",
                bucket="utc_day",
                measure="metered",
                tables=(endpoint.table,),
                parse=Activity(endpoint).parse,
            )
            for endpoint in ENDPOINTS
        ),
    ),
    recognise=recognise,
    drop=drop,
)
