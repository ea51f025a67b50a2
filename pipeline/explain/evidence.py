"""What an explanation may read: a snapshot's tables, and the landed rows they were counted from.

A landed row is found by the rule that counts it (object, bucket, day of `Landed.relations`) in the parsed Parquet of
its object, in the object's own order. Nothing here decides again what counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb

from pipeline.build.config_tables import config_frames, config_versions
from pipeline.build.landed_tables import Landed, read_landed
from pipeline.build.publish import open_snapshot
from pipeline.build.relations import (
    CountedPart,
    FrameRelation,
    LandedRelation,
    empty_select,
    literal,
    quoted,
    read_parquet,
)
from pipeline.build.seeds import load_seeds
from pipeline.build.snapshot import Snapshot
from pipeline.errors import BreakevenError
from pipeline.explain.places import Place, PlaceOf, places_of
from pipeline.landing.current import BucketKey
from pipeline.landing.dataset import Dataset, Table
from pipeline.landing.landing import Landing
from pipeline.landing.records import Delivery, Event, LandedObject
from pipeline.landing.times import stamp
from pipeline.paths import models_root, sql_root

Record = dict[str, Any]


class NothingToExplainError(BreakevenError):
    """There is no such figure. The message says what there is instead."""


@dataclass(frozen=True)
class Source:
    """A landed object, the delivery that brought it, the table and dataset its rows were read into."""

    delivery: Delivery
    landed: LandedObject
    dataset: Dataset
    table: Table
    file: Path


class Evidence:
    """One snapshot opened for explanations. Close it, or use it in a `with`."""

    def __init__(self, snapshot: Snapshot, *, landing: Landing, datasets: Sequence[Dataset], cache: Path) -> None:
        self.snapshot = snapshot
        self._landing = landing
        contents = landing.contents().as_of(snapshot.as_of)
        if len(contents.deliveries) != snapshot.delivery_count:
            raise NothingToExplainError(
                f"Snapshot {snapshot.snapshot_id} was built from {snapshot.delivery_count} deliveries and landing has "
                f"{len(contents.deliveries)} of that time. Run: breakeven run --offline"
            )
        self._landed: Landed = read_landed(
            contents, datasets=datasets, landing=landing, cache=cache, as_of=snapshot.as_of
        )
        self._tables = {dataset.table_view(table): (dataset, table) for dataset in datasets for table in dataset.tables}
        self.config_event = max((event for event in contents.events if event.kind == "config"), key=_at, default=None)
        self._deliveries = contents.deliveries
        self._sources: list[Source] = []
        self._numbers: dict[tuple[str, str, str], int] = {}
        self._places: dict[int, PlaceOf] = {}
        self._connection: duckdb.DuckDBPyConnection = open_snapshot(snapshot)
        self._connection.execute("set preserve_insertion_order = true")
        for seed in load_seeds(models_root() / "seeds", cache=cache):
            self._view(seed.name, seed.sql(None))
        for name, frame in config_frames(config_versions(contents.events), datasets).items():
            self._view(name, FrameRelation(name=name, frame=frame, folder=cache).sql(None))
        self._view("calendar", self._landed.relations["calendar"].sql(None))

    def __enter__(self) -> "Evidence":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def _view(self, name: str, rows: str) -> None:
        self._connection.execute(f"create or replace temp view {quoted(name)} as {rows}")

    def ask(self, name: str, **parameters: Any) -> list[Record]:
        """The rows of `sql/explain/<name>.sql`; parameters it does not name are ignored."""
        text = _text(name)
        return self.select(text, {key: value for key, value in parameters.items() if f"${key}" in text})

    def select(self, text: str, parameters: Mapping[str, Any] | None = None) -> list[Record]:
        """Any SELECT over the snapshot, the traced rows and the kept tables."""
        relation = self._connection.sql(text, params=dict(parameters or {}) or None)
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]

    def keep(self, table: str, name: str, **parameters: Any) -> list[Record]:
        """Ask, and let later questions read the answer as a table of this name."""
        text = _text(name)
        known = {key: value for key, value in parameters.items() if f"${key}" in text}
        self._connection.execute(f"create or replace temp table {quoted(table)} as {text}", known or None)
        return self.select(f"from {quoted(table)}")

    def trace(self, view: str, days: Iterable[date] | None = None) -> None:
        """Make `traced_<source>__<table>` for these days (None: all): the rows that count, with whence each came.

        Columns beside the landed ones: `object_number` (see `source`) and `object_row`, 1-based, the row's place in
        what the reader made of the object.
        """
        relation = self._landed.relations[view]
        if not isinstance(relation, LandedRelation):
            raise TypeError(f"{view} is not landed")
        wanted = None if days is None else set(days)
        parts = [
            part for day, of_day in sorted(relation.parts.items()) if wanted is None or day in wanted for part in of_day
        ]
        name = view.replace("landed_", "traced_", 1)
        if not parts:
            columns = (*relation.columns, ("object_number", "BIGINT"), ("object_row", "BIGINT"))
            self._view(name, empty_select(columns))
            return
        by_object: dict[tuple[int, str], list[CountedPart]] = {}
        for part in parts:
            by_object.setdefault((self._number(view, part), part.account), []).append(part)
        union = " union all ".join(
            self._object_rows(relation.table, number, account, held) for (number, account), held in by_object.items()
        )
        if relation.table.key:
            # The same record shipped twice counts once, as the build counts it.
            key = ", ".join(quoted(column) for column in ("account", *relation.table.key))
            everything = ", ".join(quoted(column) for column, _ in relation.columns)
            union = (
                f"select * from ({union}) qualify row_number() over "  # noqa: S608 - quoted names
                f"(partition by {key} order by {everything}, object_number, object_row) = 1"
            )
        self._view(name, union)

    def _object_rows(self, table: Table, number: int, account: str, parts: Sequence[CountedPart]) -> str:
        names = ", ".join(quoted(name) for name in table.schema)
        counted = ", ".join(f"({literal(part.bucket)}, date '{part.usage_date}')" for part in parts)
        files = read_parquet([self._sources[number].file])[:-1] + ", file_row_number = true)"
        return (
            f"select {literal(account)} as account, {names}, {number} as object_number, "  # noqa: S608 - quoted names
            f"file_row_number + 1 as object_row from {files} where (bucket, usage_date) in ({counted})"
        )

    def _number(self, view: str, part: CountedPart) -> int:
        dataset, table = self._tables[view]
        if dataset.mode == "append":
            deliveries: Iterable[Delivery] = self._deliveries
        else:
            key = BucketKey(dataset.source, part.account, dataset.name, part.bucket)
            deliveries = [self._landed.current[key].delivery]
        for delivery in deliveries:
            if (delivery.source, delivery.dataset, delivery.account) != (dataset.source, dataset.name, part.account):
                continue
            known = self._numbers.get((delivery.delivery_id, table.name, str(part.table.file)))
            if known is not None:
                return known
            for landed in delivery.objects:
                read = self._landed.parsed[delivery.delivery_id][landed.sha256].tables.get(table.name)
                if read is not None and read.file == part.table.file:
                    self._sources.append(Source(delivery, landed, dataset, table, part.table.file))
                    number = len(self._sources) - 1
                    self._numbers[delivery.delivery_id, table.name, str(part.table.file)] = number
                    return number
        raise NothingToExplainError(f"No landed object holds {part.bucket} of {view}. Run: breakeven rebuild")

    def source(self, number: int) -> Source:
        """The object behind an `object_number`."""
        return self._sources[number]

    def place(self, number: int, row: int) -> Place:
        """Where a row stands in its object as the reader numbers rows, and what it says there in the vendor's words."""
        if number not in self._places:
            source = self._sources[number]
            content = self._landing.read_object(source.landed)
            self._places[number] = places_of(
                content, dataset=source.dataset, table=source.table, settings=source.delivery.settings, file=source.file
            )
        return self._places[number](row)

    def object_record(self, number: int) -> Record:
        """What names an object: enough to find its bytes in landing and to ask the issuer for them again."""
        source = self._sources[number]
        delivery = source.delivery
        return {
            "source": f"{delivery.source}/{delivery.account}",
            "file": source.landed.name,
            "sha256": source.landed.sha256,
            "stated_at": stamp(delivery.stated_at),
            "stated_by": delivery.stated_by,
            "landed_at": stamp(delivery.landed_at),
        }


def _at(event: Event) -> datetime:
    return event.at


def _text(name: str) -> str:
    return (sql_root() / "explain" / f"{name}.sql").read_text(encoding="utf-8")
