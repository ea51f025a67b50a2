"""What one kind of delivery contains, in the vendor's own words, and how its versions replace each other."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Literal

import polars as pl

Mode = Literal["replace", "append"]
Bucket = Literal["utc_day", "billing_period", "invoice"]
# `reference` is nobody's bill and nobody's usage (exchange rates, when a gateway passed requests on): it begins no
# calendar and settles no day.
Measure = Literal["billed", "effective", "rated", "metered", "reference"]
Home = Literal["api", "gpu", "cloud"]

Frames = dict[str, pl.DataFrame]
Settings = Mapping[str, object]

# What else than QuarantineError a reader raises of a file that nobody thought of: no file ends a build, or a poll.
# A panic of Polars over damaged Parquet is no Exception.
UNFORESEEN: tuple[type[BaseException], ...] = (
    TypeError, ValueError, LookupError, ArithmeticError, RecursionError, pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
)  # fmt: skip


@dataclass(frozen=True)
class Money:
    """What the rows of a table charge, as landed: the law of money follows it past every SQL model.

    `home`: the cost table that has to hold it: fct_api_costs_daily, fct_gpu_costs_daily or fct_cloud_charges_daily.
    `amount`: the column, decimal text or a decimal; x 10^-`decimal_places` it is in the currency's unit (cents: 2).
    A null charges nothing. Its currency stands in `currency_column`, or is `currency` where the export knows but one.
    """

    home: Home
    amount: str
    currency_column: str | None = None
    currency: str | None = None
    decimal_places: int = 0

    def __post_init__(self) -> None:
        if (self.currency_column is None) == (self.currency is None):
            raise ValueError(f"{self.amount}: give the column that names its currency, or else the one currency.")


@dataclass(frozen=True)
class Table:
    """One frame that parsing a dataset's objects yields.

    `columns` are the vendor's own, in order, without the two that every table starts with:
    `bucket` (String, the issuer's unit of restatement the row belongs to) and `usage_date` (Date, UTC).
    The last column of every table is `other_columns` (String: a JSON object of unknown columns, or null).
    Ids, money and anything with decimals are String here; staging types them.
    `key` (append mode only): the columns that identify a row; all but the last name a stream,
    the last is an Int64 that never repeats within it.
    `money`: what its rows charge. A billed or effective dataset (mode `replace`) has exactly one table that says so.
    `view`: where readers of several exports yield this very table, the one name under which SQL models read all their
    rows, beside a column `source`: an export that says the same in other words needs no SQL of its own.
    """

    name: str
    columns: Mapping[str, pl.DataType]
    key: tuple[str, ...] = ()
    money: Money | None = None
    view: str | None = None

    @property
    def schema(self) -> dict[str, pl.DataType]:
        return {"bucket": pl.String(), "usage_date": pl.Date(), **self.columns, "other_columns": pl.String()}


@dataclass(frozen=True)
class InPlace:
    """How a table is read from an object that is Parquet itself. Its bytes stay as they are: to write a bulk export's
    columns anew takes three times as long as to add them up.

    `columns`: each column of `Table.schema` -> the DuckDB expression over the object's own columns that yields it, of
    exactly the declared type. `reads`: expressions over them whose values are all that these are made of.
    `refused`: what is wrong -> the condition over the object's columns that says so; one such row quarantines it.
    """

    columns: Mapping[str, str]
    reads: tuple[str, ...]
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """One landed dataset of one source: how its deliveries replace each other and how its objects are read.

    `parse(payload, settings)` is pure: bytes and the delivery's declared settings in, one frame per table out,
    columns exactly `Table.schema`. `issuer`: who sends the invoice; None = the configured account is the issuer.
    It raises QuarantineError when the bytes are not what they claim to be.
    `in_place(file, settings)`: for an object that can be read where it lies, table -> how; None for one that has to
    be parsed. Both say the same rows in the same order. It is asked of objects that are named `.parquet`.
    `former_names`: under which earlier releases landed it. What they landed is read, and restated, as its own.
    """

    source: str
    name: str
    mode: Mode
    bucket: Bucket
    measure: Measure
    tables: tuple[Table, ...]
    parse: Callable[[bytes, Settings], Frames] = field(compare=False)
    in_place: Callable[[Path, Settings], Mapping[str, InPlace] | None] | None = field(default=None, compare=False)
    issuer: str | None = None
    grouping: str = ""
    settle_lag: timedelta = timedelta(days=1)
    schema_version: int = 1
    former_names: tuple[str, ...] = ()

    def is_called(self, source: str, name: str) -> bool:
        """Whether a delivery of that source and dataset is one of these, by the name of today or a former one."""
        return source == self.source and (name == self.name or name in self.former_names)

    @cached_property
    def declared_tables(self) -> str:
        """Changes with a column, a type or what is money. Worked out once: it is part of every object's key."""
        schemas = {table.name: {name: str(kind) for name, kind in table.schema.items()} for table in self.tables}
        money = {table.name: asdict(table.money) for table in self.tables if table.money is not None}
        return repr((schemas, money))

    def table_view(self, table: Table) -> str:
        """Name of the view under which SQL models read the rows that count: `landed_<source>__<table>`, or its own."""
        return table.view or f"landed_{self.source}__{table.name}"


def datasets_by_name(datasets: Iterable[Dataset]) -> dict[tuple[str, str], Dataset]:
    """(source, name that a delivery of it may carry) -> dataset; of two that claim a name, the one called so now."""
    known = tuple(datasets)
    former = {(dataset.source, name): dataset for dataset in known for name in dataset.former_names}
    return former | {(dataset.source, dataset.name): dataset for dataset in known}
