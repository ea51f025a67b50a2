"""Anthropic Console, cost export: billed dollars by UTC day, key label, displayed model and token type.

The file's name gives its range, `claude_api_cost_2026_06_18_to_2026_07_05.csv`, last day included: exports named
`_2026_02_01_to_2026_02_01` and `_2026_06_05_to_2026_06_11` hold charges of 1 February and 11 June (files described in
public repositories, read 2026-11-21). Such a file is mostly exported during the last day it names, so the name says no
more than that it was stated on that day: the last day stays provisional until a file that reaches further, or a file
whose name ends in `_exported_2026_07_07`, counts it. Rows with equal dimensions are different charges.

A file cut exactly between two rows looks whole. The total that the Console shows for the range tells.
"""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import PurePath
from typing import Any

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.formats.values import csv_header, decimal_text, iso_date, other_columns, read_csv
from pipeline.landing.dataset import Dataset, Frames, Money, Settings, Table
from pipeline.landing.times import DAY, day_start
from pipeline.sources.http import check_in_window, window_settings
from pipeline.sources.source import Fetched, Payload, Source

NAME = "anthropic_console_csv"

# The columns of every age of the export: list_price_usd since 2026, then inference_geo and speed, then api_key_id.
_COLUMNS = (
    "usage_date_utc",
    "model",
    "workspace",
    "api_key",
    "usage_type",
    "context_window",
    "token_type",
    "cost_usd",
    "list_price_usd",
    "cost_type",
    "inference_geo",
    "speed",
    "api_key_id",
    "api_key_status",
)
_REQUIRED = ("usage_date_utc", "model", "token_type", "cost_usd")

COSTS = Table(
    name="costs",
    columns={name: pl.String() for name in _COLUMNS},
    money=Money(home="api", amount="cost_usd", currency="USD"),
)

_DAY = r"(\d{4})_(\d{2})_(\d{2})"
_RANGE = re.compile(rf"claude_api_cost_{_DAY}_to_{_DAY}(?:.*_exported_{_DAY})?", re.ASCII)
# A date in a name stands for some moment of that day; just after its start is the least it can mean.
_WITHIN_THE_DAY = timedelta(seconds=1)


def recognise(name: str, head: bytes) -> str | None:
    """The header names a UTC usage date and a cost in dollars."""
    return "console_cost" if {"usage_date_utc", "cost_usd"} <= set(csv_header(head)) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped export. Window and stated_at come from its name; without a range there, the window is its rows'."""
    payloads = (Payload(name=name, content=content, media_type="text/csv"),)
    named = _range_in(PurePath(name).name)
    if named is None:
        window = _range_of_rows(content)
        if window is None:
            return Fetched(dataset="console_cost", payloads=payloads)
        first, last, stated_at = *window, None
    else:
        first, last, stated_on = named
        stated_at = day_start(stated_on) + _WITHIN_THE_DAY
    start, stop = day_start(first), day_start(last) + DAY
    return Fetched(
        dataset="console_cost",
        payloads=payloads,
        from_at=start,
        to_at=stop,
        stated_at=stated_at,
        stated_by="file_name" if stated_at else "landed_at",
        settings=window_settings(start, stop),
    )


def parse(content: bytes, settings: Settings) -> Frames:
    """Every row, in dollars as spelled. Columns that this file's age lacks are null; unknown ones are kept."""
    file = read_csv(content)
    absent = [name for name in _REQUIRED if name not in file.header]
    if absent:
        raise QuarantineError(f"row 1: no column {', '.join(absent)}. This is not a cost export of the Console.")
    rows = []
    for number, record in file.records():
        where = f"row {number}"
        day = iso_date(record["usage_date_utc"], name="usage_date_utc", where=where)
        check_in_window(day, settings=settings, where=where)
        values: dict[str, str | None] = {name: record.get(name) for name in _COLUMNS}
        values["cost_usd"] = decimal_text(record["cost_usd"], name="cost_usd", where=where)
        if values["list_price_usd"] is not None:
            values["list_price_usd"] = _optional_decimal(record["list_price_usd"], where=where)
        unknown = {name: value for name, value in record.items() if name not in COSTS.columns}
        rows.append((day.isoformat(), day, *values.values(), other_columns(unknown)))
    return {COSTS.name: pl.DataFrame(rows, schema=COSTS.schema, orient="row")}


def _optional_decimal(text: str, *, where: str) -> str | None:
    return decimal_text(text, name="list_price_usd", where=where) if text.strip() else None


def _range_in(name: str) -> tuple[date, date, date] | None:
    """(first day, last day, day the file speaks of at least) that a file name states."""
    match = _RANGE.search(name)
    if match is None:
        return None
    parts = [int(part) for part in match.groups() if part is not None]
    try:
        days = [date(*parts[at : at + 3]) for at in range(0, len(parts), 3)]
    except ValueError:
        return None
    return (days[0], days[1], days[-1]) if days[0] <= days[1] <= days[-1] else None


def _range_of_rows(content: bytes) -> tuple[date, date] | None:
    try:
        days = parse(content, {})[COSTS.name]["usage_date"].to_list()
    except QuarantineError:
        return None
    return (min(days), max(days)) if days else None


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            issuer="anthropic",
            name="console_cost",
            mode="replace",
            bucket="utc_day",
            measure="billed",
            tables=(COSTS,),
            parse=parse,
        ),
    ),
    recognise=recognise,
    drop=drop,
)
