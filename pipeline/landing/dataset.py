"""What one kind of delivery contains, in the vendor's own words, and how its versions replace each other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

import polars as pl

Mode = Literal["replace", "append"]
Bucket = Literal["utc_day", "billing_period", "invoice"]
Measure = Literal["billed", "effective", "rated", "metered"]

Frames = dict[str, pl.DataFrame]
Settings = Mapping[str, object]


@dataclass(frozen=True)
class Table:
    """One frame that parsing a dataset's objects yields.

    `columns` are the vendor's own, in order, without the two that every table starts with:
    `bucket` (String, the issuer's unit of restatement the row belongs to) and `usage_date` (Date, UTC).
    The last column of every table is `other_columns` (String: a JSON object of unknown columns, or null).
    Ids, money and anything with decimals are String here; staging types them.
    `key` (append mode only): the columns that identify a row; all but the last name a stream,
    the last is an Int64 that never repeats within it.
    """

    name: str
    columns: Mapping[str, pl.DataType]
    key: tuple[str, ...] = ()

    @property
    def schema(self) -> dict[str, pl.DataType]:
        return {"bucket": pl.String(), "usage_date": pl.Date(), **self.columns, "other_columns": pl.String()}


@dataclass(frozen=True)
class Dataset:
    """One landed dataset of one source: how its deliveries replace each other and how its objects are read.

    `parse(payload, settings)` is pure: bytes and the delivery's declared settings in, one frame per table out,
    columns exactly `Table.schema`. `issuer`: who sends the invoice; None = the configured account is the issuer.
    It raises QuarantineError when the bytes are not what they claim to be.
    """

    source: str
    name: str
    mode: Mode
    bucket: Bucket
    measure: Measure
    tables: tuple[Table, ...]
    parse: Callable[[bytes, Settings], Frames] = field(compare=False)
    issuer: str | None = None
    grouping: str = ""
    settle_lag: timedelta = timedelta(days=1)
    schema_version: int = 1

    def table_view(self, table: Table) -> str:
        """Name of the view under which SQL models read the rows that count: `landed_<source>__<table>`."""
        return f"landed_{self.source}__{table.name}"
