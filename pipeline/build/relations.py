"""What a node may read: named, typed, and identified by content for exactly the days it is asked for."""

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from pipeline.build.files import written_once
from pipeline.build.object_index import ParsedTable, rows_of
from pipeline.landing.dataset import Table
from pipeline.landing.records import digest
from pipeline.landing.shared import SharedFiles

Columns = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class DateRange:
    """[from_date, to_date)."""

    from_date: date
    to_date: date

    def __contains__(self, day: date) -> bool:
        return self.from_date <= day < self.to_date


# [first day, end), as ordinals of dates.
Ordinals = tuple[int, int]
ALL_DAYS: Ordinals = (date.min.toordinal(), date.max.toordinal())

# What a dated relation without rows in a range says of it.
NO_ROWS = digest(b"")


class _ContentByDay:
    """Hashes in the order of their days: a partition of a long history looks only at its own few days."""

    def __init__(self, hashes: Mapping[date, str]) -> None:
        days = sorted(hashes)
        self._ordinals = [day.toordinal() for day in days]
        # Neither holds a line break: one text, one meaning.
        self._said = [f"{day} {hashes[day]}" for day in days]
        self._answers: dict[tuple[int, int], str] = {}

    def of(self, days: DateRange | None) -> str:
        """Equal for equal hashes of equal days in the range."""
        (found,) = self.of_each([ALL_DAYS if days is None else (days.from_date.toordinal(), days.to_date.toordinal())])
        return found

    def of_each(self, ranges: Iterable[Ordinals]) -> list[str]:
        """`of` each of many ranges: a year's build asks for forty thousand. Several models ask for the same ones."""
        ordinals, answers = self._ordinals, self._answers
        found: list[str] = []
        for first, end in ranges:
            places = bisect_left(ordinals, first), bisect_left(ordinals, end)
            answer = answers.get(places)
            if answer is None:
                answer = answers[places] = digest("\n".join(self._said[places[0] : places[1]]).encode())
            found.append(answer)
        return found


class Relation(Protocol):
    """A table that nodes read. Dated ones are asked for a range of days, undated ones for all (None)."""

    @property
    def name(self) -> str: ...

    @property
    def columns(self) -> Columns: ...

    @property
    def is_dated(self) -> bool: ...

    @property
    def date_column(self) -> str | None:
        """The column that dates its rows; says nothing where the table is not dated."""
        ...

    def days(self) -> Iterable[date]:
        """Days that have something to say, also if what they say is that there are no rows."""
        ...

    def content(self, days: DateRange | None) -> str:
        """Equal for equal rows (as a multiset) in the range; NO_ROWS where a dated one has none."""
        ...

    def contents(self, ranges: Sequence[Ordinals]) -> list[str]:
        """`content` of each of many ranges of a dated relation."""
        ...

    def sql(self, days: DateRange | None) -> str:
        """A SELECT of exactly those rows, with exactly `columns`."""
        ...


def empty_select(columns: Columns) -> str:
    """A SELECT of no rows with the declared types."""
    return f"select {', '.join(f'cast(null as {kind}) as {quoted(name)}' for name, kind in columns)} where false"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def read_parquet(files: Sequence[Path]) -> str:
    return f"read_parquet([{', '.join(literal(str(file)) for file in files)}])"


_DUCKDB_TYPES: dict[type[pl.DataType], str] = {
    pl.String: "VARCHAR",
    pl.Int64: "BIGINT",
    pl.Int32: "INTEGER",
    pl.Boolean: "BOOLEAN",
    pl.Date: "DATE",
    pl.Datetime: "TIMESTAMP",
    pl.Float64: "DOUBLE",
}


def duckdb_type(kind: pl.DataType) -> str:
    """DuckDB's name of a declared polars type."""
    if isinstance(kind, pl.Decimal):
        return f"DECIMAL({kind.precision},{kind.scale})"
    return _DUCKDB_TYPES[type(kind)]


def landed_columns(table: Table) -> Columns:
    """The columns of a landed table as SQL models read it."""
    whose = ("account",) if table.view is None else ("account", "source")
    return (
        *((name, "VARCHAR") for name in whose),
        *((name, duckdb_type(kind)) for name, kind in table.schema.items()),
    )


@dataclass(frozen=True)
class CountedPart:
    """One part of one object that counts, under the account that delivered it, and its source and dataset."""

    source: str
    dataset: str
    account: str
    table: ParsedTable
    bucket: str
    usage_date: date
    content: str


@dataclass(frozen=True)
class LandedRelation:
    """The rows of a landed table that count: of the current delivery of every bucket, or all that were appended.

    Of a table that several sources share each row says its source.
    `shared`: from where a file that does not lie here is fetched when it is read.
    """

    name: str
    table: Table
    parts: Mapping[date, tuple[CountedPart, ...]]
    vouched: frozenset[date] = frozenset()
    shared: SharedFiles | None = None

    is_dated = True
    date_column = "usage_date"

    @cached_property
    def columns(self) -> Columns:
        return landed_columns(self.table)

    def days(self) -> Iterable[date]:
        return self.vouched | set(self.parts)

    @cached_property
    def _content_by_day(self) -> _ContentByDay:
        return _ContentByDay(
            {
                day: digest(
                    [sorted([*self._whose(part), part.bucket, part.content] for part in parts), self._repeats(parts)]
                )
                for day, parts in self.parts.items()
            }
        )

    def content(self, days: DateRange | None) -> str:
        return self._content_by_day.of(days)

    def contents(self, ranges: Sequence[Ordinals]) -> list[str]:
        return self._content_by_day.of_each(ranges)

    @cached_property
    def _days_in_order(self) -> list[date]:
        return sorted(self.parts)

    def _repeats(self, parts: Sequence[CountedPart]) -> bool:
        """Whether two objects may hold the same declared key: their ranges of one stream overlap."""
        if not self.table.key:
            return False
        spans: dict[tuple[str, ...], list[tuple[int, int]]] = {}
        for table in {part.table.place: part.table for part in parts}.values():
            for stream in table.streams:
                spans.setdefault(stream.values, []).append((stream.first, stream.last))
        return any(_overlap(stream_spans) for stream_spans in spans.values())

    def _rows(self, parts: Sequence[CountedPart]) -> str:
        """The rows of files that are read alike."""
        files, read_as = [part.table.file for part in parts], parts[0].table.columns
        return read_parquet(files) if read_as is None else f"({rows_of(files, self.table, read_as)})"

    def sql(self, days: DateRange | None) -> str:
        chosen = [part for day in _cut(self._days_in_order, days) for part in self.parts[day]]
        if not chosen:
            return empty_select(self.columns)
        self.bring(chosen)
        names = ", ".join(quoted(name) for name in self.table.schema)
        alike: dict[tuple[str, str, str], list[CountedPart]] = {}
        by_file: dict[tuple[str, str], list[CountedPart]] = {}
        for part in chosen:
            by_file.setdefault((self.said_of(part), part.table.place), []).append(part)
        for (whose, _), parts in by_file.items():
            read_as = parts[0].table.columns
            alike.setdefault((whose, _row_filter(parts, days), repr(read_as)), []).append(parts[0])
        union = " union all ".join(
            f"select {whose}, {names} from {self._rows(parts)}{condition}"
            for (whose, condition, _), parts in alike.items()
        )
        if not self._repeats(chosen):
            return union
        key = ", ".join(quoted(column) for column in ("account", *self.table.key))
        everything = ", ".join(quoted(column) for column, _ in self.columns)
        return f"select * from ({union}) qualify row_number() over (partition by {key} order by {everything}) = 1"

    def _whose(self, part: CountedPart) -> tuple[str, ...]:
        """What every row of a part says beside its own columns, in the order of `columns`."""
        return (part.account,) if self.table.view is None else (part.account, part.source)

    def said_of(self, part: CountedPart) -> str:
        """The same as it is selected."""
        names = [name for name, _ in self.columns]
        return ", ".join(f"{literal(said)} as {name}" for said, name in zip(self._whose(part), names, strict=False))

    def bring(self, parts: Iterable[CountedPart]) -> None:
        """Have the files of these parts lie here."""
        if self.shared is not None:
            keys = {part.table.file: part.table.object_key for part in parts}
            self.shared.bring(keys, keys={file: key for file, key in keys.items() if key is not None})


def _cut(ordered: Sequence[date], days: DateRange | None) -> Sequence[date]:
    if days is None:
        return ordered
    return ordered[bisect_left(ordered, days.from_date) : bisect_left(ordered, days.to_date)]


def _overlap(spans: list[tuple[int, int]]) -> bool:
    ordered = sorted(spans)
    return any(later[0] <= earlier[1] for earlier, later in pairwise(ordered))


def _row_filter(parts: Sequence[CountedPart], days: DateRange | None) -> str:
    """The condition that picks the counted parts of one file: nothing, a range of days, or bucket by bucket."""
    counted = {(part.bucket, part.usage_date) for part in parts}
    whole = {(part.bucket, part.usage_date) for part in parts[0].table.parts}
    if counted == whole:
        return ""
    if days is not None and counted == {pair for pair in whole if pair[1] in days}:
        return f" where usage_date >= date '{days.from_date}' and usage_date < date '{days.to_date}'"
    pairs = ", ".join(f"({literal(bucket)}, date '{day}')" for bucket, day in sorted(counted))
    return f" where (bucket, usage_date) in ({pairs})"


@dataclass(frozen=True)
class FrameRelation:
    """A small table made in Python: configuration, calendar, coverage, a seed. Kept as one Parquet file by content."""

    name: str
    frame: pl.DataFrame
    folder: Path
    date_column: str | None = None

    @property
    def is_dated(self) -> bool:
        return self.date_column is not None

    @cached_property
    def columns(self) -> Columns:
        return tuple((name, duckdb_type(kind)) for name, kind in self.frame.schema.items())

    @cached_property
    def _rows_by_day(self) -> dict[date, list[tuple[Any, ...]]]:
        rows: dict[date, list[tuple[Any, ...]]] = {}
        for row, day in zip(self.frame.rows(), self.frame[self.date_column or ""], strict=True):
            rows.setdefault(day, []).append(row)
        return rows

    @cached_property
    def _content_by_day(self) -> _ContentByDay:
        return _ContentByDay({day: digest(sorted(map(repr, rows))) for day, rows in self._rows_by_day.items()})

    def days(self) -> Iterable[date]:
        return self._rows_by_day

    def content(self, days: DateRange | None) -> str:
        return self._content_by_day.of(days) if self.is_dated else self._whole

    def contents(self, ranges: Sequence[Ordinals]) -> list[str]:
        return self._content_by_day.of_each(ranges)

    @cached_property
    def _whole(self) -> str:
        return digest([self.columns, sorted(map(repr, self.frame.rows()))])

    @cached_property
    def _file(self) -> Path:
        file = self.folder / "inputs" / self.name / f"{self._whole}.parquet"
        try:
            # In use again: a collection leaves alone what is young.
            os.utime(file)
        except FileNotFoundError:
            with written_once(file) as aside:
                self.frame.write_parquet(aside)
        return file

    def sql(self, days: DateRange | None) -> str:
        if self.frame.is_empty():
            return empty_select(self.columns)
        base = f"select * from {read_parquet([self._file])}"
        if days is None or self.date_column is None:
            return base
        column = quoted(self.date_column)
        return f"{base} where {column} >= date '{days.from_date}' and {column} < date '{days.to_date}'"


@dataclass(frozen=True)
class NodePart:
    """One immutable result: a Parquet file, named by the hash of all it was made from."""

    key: str
    rows: int
    content: str
    by_day: Mapping[date, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeRelation:
    """The result of a node, as others read it. `shared`: from where a file that does not lie here is fetched."""

    name: str
    columns: Columns
    partition_by: str
    date_column: str
    parts: Mapping[str, NodePart]
    folder: Path
    shared: SharedFiles | None = None

    @property
    def is_dated(self) -> bool:
        return self.partition_by != "none"

    def days(self) -> Iterable[date]:
        for partition, part in self.parts.items():
            yield from part.by_day or [partition_range(partition).from_date]

    def content(self, days: DateRange | None) -> str:
        if not self.is_dated:
            return digest([part.content for part in self.parts.values()])
        return self._content_by_day.of(days)

    def contents(self, ranges: Sequence[Ordinals]) -> list[str]:
        return self._content_by_day.of_each(ranges)

    @cached_property
    def _content_by_day(self) -> _ContentByDay:
        return _ContentByDay({day: hashed for part in self.parts.values() for day, hashed in part.by_day.items()})

    @cached_property
    def _in_order(self) -> tuple[list[str], list[date], list[date]]:
        """Partitions in the order of their days, and where each begins and ends: they never overlap."""
        partitions = sorted(self.parts)
        ranges = [partition_range(partition) for partition in partitions]
        return partitions, [window.from_date for window in ranges], [window.to_date for window in ranges]

    def _chosen(self, days: DateRange | None) -> list[tuple[str, NodePart]]:
        if days is None or not self.is_dated:
            return list(self.parts.items())
        partitions, begin, end = self._in_order
        chosen = partitions[bisect_right(end, days.from_date) : bisect_left(begin, days.to_date)]
        return [(partition, self.parts[partition]) for partition in chosen]

    def files(self, days: DateRange | None) -> list[tuple[str, Path]]:
        """Partition and file of those that have rows, which then lie here."""
        files = self.named_files(days)
        if self.shared is not None:
            self.shared.bring([file for _, file in files])
        return files

    def named_files(self, days: DateRange | None) -> list[tuple[str, Path]]:
        """The same, wherever the files lie."""
        return [(partition, self.file_of(partition)) for partition, part in self._chosen(days) if part.rows]

    def file_of(self, partition: str) -> Path:
        return self._own_folder / f"{self.parts[partition].key}.parquet"

    @cached_property
    def _own_folder(self) -> Path:
        return self.folder / "nodes" / self.name

    def sql(self, days: DateRange | None) -> str:
        files = self.files(days)
        if not files:
            return empty_select(self.columns)
        base = f"select * from {read_parquet([file for _, file in files])}"
        if days is None or not self.is_dated or all(_covers(days, partition_range(name)) for name, _ in files):
            return base
        column = quoted(self.date_column)
        return f"{base} where {column} >= date '{days.from_date}' and {column} < date '{days.to_date}'"


def _covers(days: DateRange, inner: DateRange) -> bool:
    return days.from_date <= inner.from_date and inner.to_date <= days.to_date


def partition_of(day: date, partition_by: str) -> str:
    """`2026-10-03`, `2026-10` or `all`."""
    if partition_by == "none":
        return "all"
    return day.isoformat() if partition_by == "day" else day.isoformat()[:7]


@cache
def partition_ordinals(partition: str) -> Ordinals:
    """The days of a partition's name."""
    days = partition_range(partition)
    return days.from_date.toordinal(), days.to_date.toordinal()


@cache
def partition_range(partition: str) -> DateRange:
    """The days of a partition's name."""
    if partition == "all":
        return DateRange(date.min, date.max)
    if len(partition) == 7:
        first = date.fromisoformat(f"{partition}-01")
        following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        return DateRange(first, following)
    day = date.fromisoformat(partition)
    return DateRange(day, date.fromordinal(day.toordinal() + 1))
