"""Landing as relations: the rows that count, which buckets are covered, the calendar up to the as-of moment."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Context, Decimal, Inexact
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.build.known import KnownObjects
from pipeline.build.object_index import Part
from pipeline.build.parsed import (
    ParsedObject,
    Unread,
    parse_objects,
    reader_key,
    remembered_object,
    share_object,
    shared_objects,
)
from pipeline.build.relations import CountedPart, FrameRelation, LandedRelation, Relation
from pipeline.errors import BuildError
from pipeline.landing.current import BucketKey, Current, NotCounted, current_buckets
from pipeline.landing.dataset import Dataset, datasets_by_name
from pipeline.landing.landing import Contents, DamagedObjectError, Landing, RedactedError, redacted_words
from pipeline.landing.records import Delivery, LandedObject
from pipeline.landing.shared import SharedFiles
from pipeline.landing.times import DAY, day_start, days_between

ACCEPT_EVENT = "accept"

_COVERAGE_SCHEMA: dict[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "source": pl.String(),
    "account": pl.String(),
    "dataset": pl.String(),
    "bucket": pl.String(),
    "is_complete": pl.Boolean(),
    "is_withdrawn": pl.Boolean(),
    "is_accepted": pl.Boolean(),
    "row_count": pl.Int64(),
    "stated_at": pl.Datetime("us"),
    "landed_at": pl.Datetime("us"),
}
MONEY_SCHEMA: dict[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "source": pl.String(),
    "dataset": pl.String(),
    "account": pl.String(),
    "home": pl.String(),
    "billing_currency": pl.String(),
    "stated_amount": pl.Decimal(38, 18),
}
_CALENDAR_SCHEMA: dict[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "day_start_at": pl.Datetime("us"),
    "day_end_at": pl.Datetime("us"),
    "is_over": pl.Boolean(),
}
# DECIMAL(38,18): quanta of 10^-18 of the currency, 38 digits of them.
_MONEY_SCALE = 18
_TOO_MANY_QUANTA = 10**38
_EXACT = Context(prec=38, traps=[Inexact])
# A feed that goes on says nothing new about a day that ended this long ago.
_FEED_MATURES = timedelta(days=7)

ParsedByDelivery = Mapping[str, Mapping[str, ParsedObject]]


@dataclass(frozen=True)
class Quarantined:
    """An object that cannot be read: kept, listed, not counted; offered again when its reader changes."""

    delivery: Delivery
    landed: LandedObject
    reason: str


@dataclass(frozen=True)
class Landed:
    """Everything visible in landing, read and decided: what the graph is built from.

    `quarantined`: what cannot be read, also where that is because it was redacted.
    `damaged`: what of landing's own is gone or altered, by sha256. What is built meanwhile is not what landing says.
    """

    relations: Mapping[str, Relation]
    current: Mapping[BucketKey, Current]
    parsed: ParsedByDelivery
    quarantined: tuple[Quarantined, ...]
    not_counted: tuple[NotCounted, ...]
    damaged: frozenset[str] = frozenset()


def read_landed(
    contents: Contents,
    *,
    datasets: Sequence[Dataset],
    landing: Landing,
    cache: Path,
    as_of: datetime,
    shared: SharedFiles | None = None,
    anew: bool = False,
) -> Landed:
    """Parse what is new, decide what counts, and describe it as relations for the runner.

    `shared`: where other machines have left what they read, and are told of what is read now. `anew`: take from it
    nothing, nor from an index here whose tables are not here too.
    """
    by_name = datasets_by_name(datasets)
    parsed, damaged = _parse(contents, by_name, landing, cache, shared, anew=anew)
    quarantined = tuple(_quarantined(contents.deliveries, parsed))
    unreadable = {item.delivery.delivery_id: f"{item.landed.name}: {item.reason}" for item in quarantined}
    current, not_counted = current_buckets(
        contents.deliveries,
        datasets=by_name,
        rows_per_bucket={delivery_id: _rows_per_bucket(objects.values()) for delivery_id, objects in parsed.items()},
        unreadable=unreadable,
    )
    accepted = {event.subject for event in contents.events if event.kind == ACCEPT_EVENT}
    counted = {
        (dataset.source, dataset.name): _counted(dataset, contents.deliveries, current, parsed) for dataset in datasets
    }
    relations: dict[str, Relation] = {**_landed_relations(datasets, current, counted, shared)}
    coverage = [
        *_replace_coverage(current, by_name, counted, accepted),
        *_append_coverage(
            [delivery for delivery in contents.deliveries if delivery.delivery_id not in unreadable], by_name, counted
        ),
    ]
    relations["landed_coverage"] = FrameRelation(
        name="landed_coverage",
        frame=pl.DataFrame(coverage, schema=_COVERAGE_SCHEMA, orient="row"),
        folder=cache,
        date_column="usage_date",
    )
    relations["landed_money"] = FrameRelation(
        name="landed_money",
        frame=pl.DataFrame(list(_money(datasets, counted)), schema=MONEY_SCHEMA, orient="row"),
        folder=cache,
        date_column="usage_date",
    )
    relations["calendar"] = _calendar((row["usage_date"] for row in coverage), as_of=as_of, cache=cache)
    return Landed(
        relations=relations,
        current=current,
        parsed=parsed,
        quarantined=quarantined,
        not_counted=tuple(not_counted),
        damaged=damaged,
    )


def _landed_relations(
    datasets: Sequence[Dataset],
    current: Mapping[BucketKey, Current],
    counted: Mapping[tuple[str, str], "CountedTables"],
    shared: SharedFiles | None,
) -> dict[str, LandedRelation]:
    """View -> the rows that count of every dataset that it is a view of."""
    relations: dict[str, LandedRelation] = {}
    for dataset in datasets:
        vouched = frozenset(
            date.fromisoformat(key.bucket)
            for key in current
            if (key.source, key.dataset) == (dataset.source, dataset.name) and dataset.bucket == "utc_day"
        )
        for table in dataset.tables:
            parts = dict(counted[dataset.source, dataset.name].get(table.name, {}))
            name = dataset.table_view(table)
            if (others := relations.get(name)) is not None:
                if others.table != table:
                    raise BuildError(f"{name} is a view of tables that differ: {dataset.source} yields another one.")
                for day, held in others.parts.items():
                    parts[day] = (*held, *parts.get(day, ()))
                vouched |= others.vouched
            relations[name] = LandedRelation(name=name, table=table, parts=parts, vouched=vouched, shared=shared)
    return relations


def _parse(
    contents: Contents,
    by_name: Mapping[tuple[str, str], Dataset],
    landing: Landing,
    cache: Path,
    shared: SharedFiles | None,
    *,
    anew: bool,
) -> tuple[dict[str, dict[str, ParsedObject]], frozenset[str]]:
    """Delivery id -> object sha256 -> what it contains; and which objects are damaged.

    What was read before counts from the cache, whatever became of the object: its bytes had the sha256 that names them
    when they were read, so they are what landing says, and a build that changes nothing opens no object. Only what was
    redacted is not looked for.
    """
    found: dict[tuple[str, str], ParsedObject | Unread] = {}
    remembered = KnownObjects(cache)
    readers: dict[tuple[str, str, str], str] = {}
    for delivery in contents.deliveries:
        dataset = by_name.get((delivery.source, delivery.dataset))
        if dataset is None:
            continue
        alike = delivery.source, delivery.dataset, repr(delivery.settings)
        reader = readers.get(alike) or readers.setdefault(alike, reader_key(dataset, delivery.settings))
        for item in delivery.objects:
            tombstone = contents.redacted.get(item.sha256)
            found[delivery.delivery_id, item.sha256] = (
                remembered_object(
                    item,
                    dataset=dataset,
                    settings=delivery.settings,
                    cache=cache,
                    whole=anew,
                    reader=reader,
                    known=remembered,
                )
                if tombstone is None
                else ParsedObject(sha256=item.sha256, error=redacted_words(tombstone))
            )
    if landing.remembers:
        remembered.keep()
    unread = {item.folder: item for item in found.values() if isinstance(item, Unread)}
    read = {} if shared is None or anew else shared_objects(list(unread.values()), shared)
    rest = [item for folder, item in unread.items() if folder not in read]
    for made, result in zip(rest, _read(rest, landing), strict=True):
        read[made.folder] = result
        if shared is not None and not isinstance(result, _Damaged):
            share_object(made, result, shared)
    parsed: dict[str, dict[str, ParsedObject]] = {}
    for (delivery_id, sha256), known in found.items():
        parsed.setdefault(delivery_id, {})[sha256] = read[known.folder] if isinstance(known, Unread) else known
    return parsed, frozenset(item.sha256 for item in read.values() if isinstance(item, _Damaged))


class _Damaged(ParsedObject):
    """Nothing, with the reason why. Kept in no cache, so that the object is read as soon as it is there again."""


def _read(unread: Sequence[Unread], landing: Landing) -> list[ParsedObject]:
    """Read objects. One that is gone or altered is quarantined and keeps no other from being read."""
    try:
        return parse_objects(unread, landing=landing)
    except (DamagedObjectError, RedactedError):
        # Rare enough to look at each of them once more. Redacted: since landing was listed.
        damaged = {item.folder: _damage(item, landing) for item in unread}
    whole = [item for item in unread if damaged[item.folder] is None]
    read = {item.folder: parsed for item, parsed in zip(whole, parse_objects(whole, landing=landing), strict=True)}
    return [damaged[item.folder] or read[item.folder] for item in unread]


def _damage(item: Unread, landing: Landing) -> _Damaged | None:
    try:
        landing.read_object(item.landed)
    except (DamagedObjectError, RedactedError) as error:
        return _Damaged(sha256=item.landed.sha256, error=str(error))
    return None


def _quarantined(deliveries: Iterable[Delivery], parsed: ParsedByDelivery) -> Iterable[Quarantined]:
    for delivery in deliveries:
        for landed in delivery.objects:
            item = parsed.get(delivery.delivery_id, {}).get(landed.sha256)
            if item is not None and item.error is not None:
                yield Quarantined(delivery, landed, item.error)


def _rows_per_bucket(objects: Iterable[ParsedObject]) -> dict[str, int]:
    rows: dict[str, int] = {}
    for item in objects:
        for bucket, count in item.rows_per_bucket().items():
            rows[bucket] = rows.get(bucket, 0) + count
    return rows


CountedTables = dict[str, dict[date, tuple[CountedPart, ...]]]


def _counted(
    dataset: Dataset, deliveries: Iterable[Delivery], current: Mapping[BucketKey, Current], parsed: ParsedByDelivery
) -> CountedTables:
    """Table -> day -> the parts that count."""
    found: dict[str, dict[date, list[CountedPart]]] = {}
    seen: set[tuple[str, str, str]] = set()
    for delivery in deliveries:
        if not dataset.is_called(delivery.source, delivery.dataset):
            continue
        for landed in delivery.objects:
            item = parsed[delivery.delivery_id][landed.sha256]
            if dataset.mode == "append":
                identity = (delivery.account, landed.sha256, repr(sorted(delivery.settings.items())))
                if identity in seen:
                    continue
                seen.add(identity)
            for name, table in item.tables.items():
                for part in table.parts:
                    key = BucketKey(delivery.source, delivery.account, dataset.name, part.bucket)
                    counts = dataset.mode == "append" or (key in current and current[key].delivery == delivery)
                    if counts:
                        counted = CountedPart(
                            source=dataset.source,
                            dataset=dataset.name,
                            account=delivery.account,
                            table=table,
                            bucket=part.bucket,
                            usage_date=part.usage_date,
                            content=part.content,
                        )
                        found.setdefault(name, {}).setdefault(part.usage_date, []).append(counted)
    return {name: {day: tuple(parts) for day, parts in days.items()} for name, days in found.items()}


def _money(
    datasets: Sequence[Dataset], counted: Mapping[tuple[str, str], CountedTables]
) -> Iterable[tuple[object, ...]]:
    """What the rows that count charge, as it was added up when they were read: rows of MONEY_SCHEMA.

    Raises BuildError where a day of an account comes to more than can be held exactly.
    """
    for dataset in datasets:
        for table in dataset.tables:
            if table.money is None:
                continue
            for day, parts in counted[dataset.source, dataset.name].get(table.name, {}).items():
                quanta: dict[tuple[str, str | None], int] = {}
                for part in parts:
                    for stated in _read_part(part).money:
                        key = part.account, stated.currency
                        quanta[key] = quanta.get(key, 0) + stated.quanta
                for (account, currency), total in quanta.items():
                    if abs(total) >= _TOO_MANY_QUANTA:
                        raise BuildError(
                            f"{dataset.source}/{account}: {day} comes to {total // 10**_MONEY_SCALE} {currency}, more "
                            "than can be held exactly. Look at that day's export."
                        )
                    amount = Decimal(total).scaleb(-_MONEY_SCALE, _EXACT)
                    yield day, dataset.source, dataset.name, account, table.money.home, currency, amount


def _replace_coverage(
    current: Mapping[BucketKey, Current],
    by_name: Mapping[tuple[str, str], Dataset],
    counted: Mapping[tuple[str, str], CountedTables],
    accepted: set[str],
) -> Iterable[dict[str, Any]]:
    rows: dict[tuple[str, str, str, str], dict[date, int]] = {}
    for (source, dataset), tables in counted.items():
        if by_name[source, dataset].measure == "reference":
            continue
        for days in tables.values():
            for day, parts in days.items():
                for part in parts:
                    per_day = rows.setdefault((source, part.account, dataset, part.bucket), {})
                    per_day[day] = per_day.get(day, 0) + _part_rows(part)
    last_part = _last_part(current)
    for key, chosen in current.items():
        if by_name[key.source, key.dataset].measure == "reference":
            continue
        is_part = "part" in chosen.delivery.settings
        stated_at = last_part[key.source, key.account, key.dataset] if is_part else chosen.delivery.said_at
        per_day = rows.get((key.source, key.account, key.dataset, key.bucket), {})
        if by_name[key.source, key.dataset].bucket == "utc_day":
            per_day = {date.fromisoformat(key.bucket): sum(per_day.values())}
        for day, row_count in per_day.items():
            yield {
                "usage_date": day,
                "source": key.source,
                "account": key.account,
                "dataset": key.dataset,
                "bucket": key.bucket,
                "is_complete": True,
                "is_withdrawn": chosen.is_withdrawn,
                "is_accepted": accept_subject(key) in accepted,
                "row_count": row_count,
                "stated_at": stated_at.replace(tzinfo=None),
                "landed_at": chosen.delivery.landed_at.replace(tzinfo=None),
            }


def _last_part(current: Mapping[BucketKey, Current]) -> dict[tuple[str, str, str], datetime]:
    """Of an export in parts that are written once (settings `part`): when the last of them was stated.

    Each tells what had come when it was written, so it is the last one that says that a day is all there: a part with
    the morning of a day would else leave that day open for ever.
    """
    last: dict[tuple[str, str, str], datetime] = {}
    for key, chosen in current.items():
        if "part" in chosen.delivery.settings:
            whose = key.source, key.account, key.dataset
            last[whose] = max(last.get(whose, chosen.delivery.said_at), chosen.delivery.said_at)
    return last


def accept_subject(key: BucketKey) -> str:
    """How an `accept` event names a bucket."""
    return f"{key.source}/{key.account}/{key.dataset}/{key.bucket}"


def _part_rows(part: CountedPart) -> int:
    return _read_part(part).rows


def _read_part(part: CountedPart) -> Part:
    return part.table.by_bucket_and_day[part.bucket, part.usage_date]


def _append_coverage(
    deliveries: Sequence[Delivery],
    by_name: Mapping[tuple[str, str], Dataset],
    counted: Mapping[tuple[str, str], CountedTables],
) -> Iterable[dict[str, Any]]:
    """A feed covers every day from its first row to what it last stated, also days on which it brought nothing."""
    for source, name in counted:
        dataset = by_name[source, name]
        if dataset.mode != "append":
            continue
        rows: dict[str, dict[date, int]] = {}
        for days in counted[source, name].values():
            for day, parts in days.items():
                for part in parts:
                    per_day = rows.setdefault(part.account, {})
                    per_day[day] = per_day.get(day, 0) + _part_rows(part)
        for account, per_day in rows.items():
            stated = max(
                (
                    delivery.said_at
                    for delivery in deliveries
                    if dataset.is_called(delivery.source, delivery.dataset) and delivery.account == account
                ),
                default=day_start(max(per_day)),
            )
            last = max(stated.date(), max(per_day))
            for day in days_between(min(per_day), last + DAY):
                yield {
                    "usage_date": day,
                    "source": source,
                    "account": account,
                    "dataset": name,
                    "bucket": day.isoformat(),
                    "is_complete": True,
                    "is_withdrawn": False,
                    "is_accepted": False,
                    "row_count": per_day.get(day, 0),
                    "stated_at": min(stated, day_start(day) + DAY + _FEED_MATURES).replace(tzinfo=None),
                }


def _calendar(days: Iterable[date], *, as_of: datetime, cache: Path) -> FrameRelation:
    first = min(days, default=as_of.date())
    rows = [
        {
            "usage_date": day,
            "day_start_at": day_start(day).replace(tzinfo=None),
            "day_end_at": (day_start(day) + DAY).replace(tzinfo=None),
            "is_over": day_start(day) + DAY <= as_of,
        }
        for day in days_between(first, as_of.date() + DAY)
    ]
    frame = pl.DataFrame(rows, schema=_CALENDAR_SCHEMA, orient="row")
    return FrameRelation(name="calendar", frame=frame, folder=cache, date_column="usage_date")
