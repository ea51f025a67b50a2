"""What an explanation may read: a snapshot's tables, and the landed rows they were counted from.

A landed row is found by the rule that counts it (object, bucket, day of `Landed.relations`) in the parsed Parquet of
its object, in the object's own order. Nothing here decides again what counts.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb

from pipeline.build.config_tables.frames import config_frames
from pipeline.build.config_tables.versions import config_versions
from pipeline.build.landed_tables import Landed, read_landed
from pipeline.build.object_index import rows_of
from pipeline.build.publish import open_snapshot
from pipeline.build.relations import (
    Columns,
    CountedPart,
    FrameRelation,
    LandedRelation,
    empty_select,
    literal,
    quoted,
)
from pipeline.build.seeds import load_seeds
from pipeline.build.snapshot import Snapshot
from pipeline.build.sql_models import load_models
from pipeline.errors import BreakevenError, BuildError
from pipeline.explain.places import Place, PlaceOf, places_of
from pipeline.explain.tracing import route_to, traced_name, traced_select
from pipeline.landing.current import BucketKey
from pipeline.landing.dataset import Dataset, Table
from pipeline.landing.landing import Landing
from pipeline.landing.records import Delivery, Event, LandedObject
from pipeline.landing.shared import SharedFiles
from pipeline.landing.times import stamp
from pipeline.paths import models_root, sql_root

Record = dict[str, Any]

_MONEY_COLUMNS: Columns = (
    ("object_number", "BIGINT"),
    ("object_row", "BIGINT"),
    ("stated_amount", "VARCHAR"),
    ("decimal_places", "INTEGER"),
)


class NothingToExplainError(BreakevenError):
    """There is no such figure. The message says what there is instead."""


@dataclass(frozen=True)
class Source:
    """A landed object, the delivery that brought it, the table and dataset its rows were read into.

    `file`: where these rows lie; `is_in_place`: in the object's own columns.
    """

    delivery: Delivery
    landed: LandedObject
    dataset: Dataset
    table: Table
    file: Path
    is_in_place: bool


class Evidence:
    """One snapshot opened for explanations. Close it, or use it in a `with`.

    `models_folder`: the SQL models it was built with; None: this release's.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        landing: Landing,
        datasets: Sequence[Dataset],
        cache: Path,
        models_folder: Path | None = None,
        shared: SharedFiles | None = None,
    ) -> None:
        self.snapshot = snapshot
        self._landing = landing
        contents = landing.contents().as_of(snapshot.as_of)
        if len(contents.deliveries) != snapshot.delivery_count:
            raise NothingToExplainError(
                f"Snapshot {snapshot.snapshot_id} was built from {snapshot.delivery_count} deliveries and landing has "
                f"{len(contents.deliveries)} of that time. Run: breakeven run --offline"
            )
        if contents.redacted and contents.identity() != snapshot.landing_identity:
            raise NothingToExplainError(
                f"Bytes that snapshot {snapshot.snapshot_id} may have been built from were redacted since. "
                "Run: breakeven run --offline"
            )
        self._landed: Landed = read_landed(
            contents, datasets=datasets, landing=landing, cache=cache, as_of=snapshot.as_of, shared=shared
        )
        self._datasets = {(dataset.source, dataset.name): dataset for dataset in datasets}
        self.config_event = max((event for event in contents.events if event.kind == "config"), key=_at, default=None)
        self._deliveries = contents.deliveries
        self._sources: list[Source] = []
        self._numbers: dict[tuple[str, str, str], int] = {}
        self._places: dict[int, PlaceOf] = {}
        self._connection: duckdb.DuckDBPyConnection = open_snapshot(snapshot)
        self._connection.execute("set preserve_insertion_order = true")
        models_folder = models_folder or models_root()
        self._models = {model.name: model for model in load_models(models_folder, cache=cache)}
        self._columns: dict[str, Columns] = {name: node.columns for name, node in snapshot.nodes.items()}
        for relation in self._landed.relations.values():
            if isinstance(relation, FrameRelation):
                self._given(relation)
        for seed in load_seeds(models_folder / "seeds", cache=cache):
            self._given(seed)
        for name, frame in config_frames(config_versions(contents.events), datasets).items():
            self._given(FrameRelation(name=name, frame=frame, folder=cache))

    def __enter__(self) -> "Evidence":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def _given(self, relation: FrameRelation) -> None:
        self._columns[relation.name] = relation.columns
        self._view(relation.name, relation.sql(None))

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

    def trace(self, view: str, days: Iterable[date] | None = None, *, sources: Collection[str] | None = None) -> None:
        """Make `traced_<source>__<table>` for these days (None: all): the rows that count, with whence each came.

        `sources`: those whose rows are wanted (None: all that the view has).
        Columns beside the landed ones: `object_number` (see `source`) and `object_row`, 1-based, the row's place in
        what the reader made of the object.
        """
        relation = self._landed.relations[view]
        if not isinstance(relation, LandedRelation):
            raise TypeError(f"{view} is not landed")
        wanted = None if days is None else set(days)
        parts = [
            part
            for day, of_day in sorted(relation.parts.items())
            if wanted is None or day in wanted
            for part in of_day
            if sources is None or part.source in sources
        ]
        name = traced_name(view)
        relation.bring(parts)
        if not parts:
            columns = (*relation.columns, ("object_number", "BIGINT"), ("object_row", "BIGINT"))
            self._view(name, empty_select(columns))
            return
        by_object: dict[tuple[int, str], list[CountedPart]] = {}
        for part in parts:
            by_object.setdefault((self._number(relation.table, part), relation.said_of(part)), []).append(part)
        union = " union all ".join(
            self._object_rows(relation.table, number, said, held) for (number, said), held in by_object.items()
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

    def trace_model(self, name: str, days: Iterable[date], *, sources: Collection[str] | None = None) -> None:
        """Make `traced_<name>`: what a SQL model makes of each landed row of these days alone, with whence it came.

        `sources`: those whose rows are wanted (None: all that the model reads).
        Columns beside the model's own: `object_number` and `object_row` as in `trace`, and of a row that charges
        `stated_amount`, the amount in its own spelling, and `decimal_places`, by how many of them it is smaller than
        the currency's unit. Raises BuildError naming a model on the way that does not carry `account` through.
        """
        wanted = sorted(set(days))
        landed = {view: one for view, one in self._landed.relations.items() if isinstance(one, LandedRelation)}
        route = route_to(name, wanted, models=self._models, columns=self._columns, landed=landed)
        for view, view_days in route.landed.items():
            self.trace(view, view_days, sources=sources)
        self._view("traced_money", self._stated({view: landed[view].table for view in route.landed}))
        rows = traced_select(route, wanted, money="traced_money")
        self._connection.execute(f"create or replace temp table {quoted(traced_name(name))} as {rows}")
        lost = self.select(f"select count(*) as n from {quoted(traced_name(name))} where object_number is null")  # noqa: S608 - our own name
        if lost[0]["n"]:
            names = ", ".join(model.name for model in route.models)
            raise BuildError(f"One of {names} does not carry `account` through unchanged: its rows cannot be traced.")

    def _stated(self, views: Mapping[str, Table]) -> str:
        """What the traced rows of these landed views charge, in their own spelling."""
        selects = [
            f"select object_number, object_row, cast({quoted(money.amount)} as varchar) as stated_amount, "  # noqa: S608 - quoted names
            f"{money.decimal_places} as decimal_places from {quoted(traced_name(view))}"
            for view, table in views.items()
            if (money := table.money) is not None
        ]
        return " union all ".join(selects) or empty_select(_MONEY_COLUMNS)

    def _object_rows(self, table: Table, number: int, said: str, parts: Sequence[CountedPart]) -> str:
        names = ", ".join(quoted(name) for name in table.schema)
        counted = ", ".join(f"({literal(part.bucket)}, date '{part.usage_date}')" for part in parts)
        rows = rows_of([parts[0].table.file], table, parts[0].table.columns, row_number="object_row")
        return (
            f"select {said}, {names}, {number} as object_number, object_row "  # noqa: S608 - quoted names
            f"from ({rows}) where (bucket, usage_date) in ({counted})"
        )

    def _number(self, table: Table, part: CountedPart) -> int:
        dataset = self._datasets[part.source, part.dataset]
        if dataset.mode == "append":
            deliveries: Iterable[Delivery] = self._deliveries
        else:
            key = BucketKey(dataset.source, part.account, dataset.name, part.bucket)
            deliveries = [self._landed.current[key].delivery]
        for delivery in deliveries:
            if not dataset.is_called(delivery.source, delivery.dataset) or delivery.account != part.account:
                continue
            known = self._numbers.get((delivery.delivery_id, table.name, str(part.table.file)))
            if known is not None:
                return known
            for landed in delivery.objects:
                read = self._landed.parsed[delivery.delivery_id][landed.sha256].tables.get(table.name)
                if read is not None and read.file == part.table.file:
                    is_in_place = part.table.columns is not None
                    self._sources.append(Source(delivery, landed, dataset, table, part.table.file, is_in_place))
                    number = len(self._sources) - 1
                    self._numbers[delivery.delivery_id, table.name, str(part.table.file)] = number
                    return number
        raise NothingToExplainError(
            f"No landed object holds {part.bucket} of {part.source}/{part.account}. Run: breakeven rebuild"
        )

    def source(self, number: int) -> Source:
        """The object behind an `object_number`."""
        return self._sources[number]

    def place(self, number: int, row: int) -> Place:
        """Where a row stands in its object as the reader numbers rows, and what it says there in the vendor's words."""
        if number not in self._places:
            source = self._sources[number]
            self._places[number] = places_of(
                lambda: self._landing.read_object(source.landed),
                dataset=source.dataset,
                table=source.table,
                settings=source.delivery.settings,
                file=source.file,
                is_in_place=source.is_in_place,
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
