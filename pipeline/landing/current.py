"""Which delivery counts: for every bucket of every dataset, exactly one. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from pipeline.landing.dataset import Dataset
from pipeline.landing.records import Delivery
from pipeline.landing.times import DAY, day_start, days_between


@dataclass(frozen=True, order=True)
class BucketKey:
    """An issuer's own unit of restatement."""

    source: str
    account: str
    dataset: str
    bucket: str


@dataclass(frozen=True)
class Current:
    """The delivery whose rows of a bucket count. `is_open`: the bucket had not ended when it was stated."""

    delivery: Delivery
    is_open: bool
    is_withdrawn: bool


@dataclass(frozen=True)
class NotCounted:
    """A delivery that is never current, and why."""

    delivery: Delivery
    reason: str


def may_count(delivery: Delivery, dataset: Dataset, unreadable: Mapping[str, str]) -> str | None:
    """None when the delivery may vouch for buckets; else the reason why it never does."""
    if not delivery.is_complete:
        return "the page chain did not close"
    if delivery.grouping != dataset.grouping:
        return f"grouped by {delivery.grouping!r}, not by {dataset.grouping!r}"
    if dataset.bucket == "utc_day" and (delivery.from_at is None or delivery.to_at is None):
        return "nobody knows which days it speaks for: neither its name nor its request says so"
    return unreadable.get(delivery.delivery_id)


def emptied(delivery: Delivery, before: Iterable[tuple[str, int, Delivery]]) -> str | None:
    """What a delivery without a row leaves unsaid: None where nothing of what it may restate counted before it.

    `before`: what counted of its dataset and account until then: bucket, its rows, the delivery that brought them.
    Where its manifest or its name says of which months or of which part it is, only those are meant. It does not
    replace them: an export that was emptied looks like one that failed, and a month must not come to 0 in silence.
    """
    meant = [(bucket, rows, brought) for bucket, rows, brought in before if rows and _may_restate(delivery, bucket)]
    if not meant:
        return None
    first, *others = sorted(bucket for bucket, _, _ in meant)
    rows = sum(rows for _, rows, _ in meant)
    brought_at = max(meant, key=lambda one: _newness(one[2]))[2].landed_at
    return (
        f"it holds no row. {rows:,} rows of {first}{f' and {len(others)} more' if others else ''}, which landed until "
        f"{brought_at:%Y-%m-%d %H:%M} UTC, count as before: nothing is taken for 0. Export it again; where they are "
        "really gone, take out what said them: `breakeven landing redact`"
    )


def _may_restate(delivery: Delivery, bucket: str) -> bool:
    """Whether a bucket is of what the delivery says that it is of: the bucket names its parts between bars."""
    segments = bucket.split("|")
    period = delivery.settings.get("billing_period")
    named = [delivery.settings[name] for name in ("part", "cost", "scope") if delivery.settings.get(name)]
    return all(name in segments for name in named) and (
        period is None or any(segment.startswith(str(period)) for segment in segments)
    )


def unknown_dataset(delivery: Delivery, datasets: Mapping[tuple[str, str], Dataset]) -> str:
    """Why a delivery that no dataset of this release can read does not count, and what could be done about it."""
    known = sorted({dataset.name for (source, _), dataset in datasets.items() if source == delivery.source})
    if not known:
        return f"this release reads no source {delivery.source!r}: the release that landed it does"
    return (
        f"this release knows no dataset {delivery.dataset!r} of {delivery.source}, only {', '.join(known)}: the "
        "release that landed it reads it"
    )


def vouched_days(delivery: Delivery) -> tuple[list[date], date | None]:
    """UTC days wholly inside [max(from, horizon), min(to, said_at)), and the open day it speaks for, if any."""
    if delivery.from_at is None or delivery.to_at is None:
        return [], None
    start = max(delivery.from_at, delivery.horizon_at or delivery.from_at)
    first = start.date() if start == day_start(start.date()) else start.date() + DAY
    end = min(delivery.to_at, delivery.said_at)
    last = end.date()
    closed = days_between(first, last) if last > first else []
    speaks_for_open_day = first <= last and delivery.said_at < delivery.to_at and end > day_start(last)
    return closed, last if speaks_for_open_day else None


def _newness(delivery: Delivery) -> tuple[datetime, datetime, str]:
    return delivery.said_at, delivery.landed_at, delivery.delivery_id


def current_buckets(
    deliveries: Iterable[Delivery],
    *,
    datasets: Mapping[tuple[str, str], Dataset],
    rows_per_bucket: Mapping[str, Mapping[str, int]],
    unreadable: Mapping[str, str],
) -> tuple[dict[BucketKey, Current], list[NotCounted]]:
    """Per (source, account, dataset, bucket) the delivery with the greatest (said_at, landed_at, sha256).

    `rows_per_bucket`: delivery id -> bucket -> rows, from parsing. `unreadable`: delivery id -> reason.
    `datasets`: by every name that a delivery of theirs may carry; a bucket is of the name that it has now.
    Append-mode datasets are not decided here: every object of theirs counts. What no dataset is called does not.
    """
    chosen: dict[BucketKey, Current] = {}
    had_rows: set[BucketKey] = set()
    counted_of: dict[tuple[str, str, str], dict[str, tuple[int, Delivery]]] = {}
    not_counted: list[NotCounted] = []
    for delivery in sorted(deliveries, key=_newness):
        dataset = datasets.get((delivery.source, delivery.dataset))
        if dataset is None:
            not_counted.append(NotCounted(delivery, unknown_dataset(delivery, datasets)))
            continue
        if dataset.mode != "replace":
            continue
        reason = may_count(delivery, dataset, unreadable)
        if reason is not None:
            not_counted.append(NotCounted(delivery, reason))
            continue
        present = rows_per_bucket.get(delivery.delivery_id, {})
        if dataset.bucket != "utc_day":
            whose = counted_of.setdefault((delivery.source, delivery.account, dataset.name), {})
            said = None if any(present.values()) else emptied(delivery, ((one, *had) for one, had in whose.items()))
            if said is not None:
                not_counted.append(NotCounted(delivery, said))
                continue
            whose |= {bucket: (rows, delivery) for bucket, rows in present.items()}
        for bucket, is_open in _buckets(delivery, dataset, present):
            key = BucketKey(delivery.source, delivery.account, dataset.name, bucket)
            has_rows = present.get(bucket, 0) > 0
            chosen[key] = Current(delivery, is_open, is_withdrawn=key in had_rows and not has_rows)
            if has_rows:
                had_rows.add(key)
    return chosen, not_counted


def _buckets(delivery: Delivery, dataset: Dataset, present: Mapping[str, int]) -> Iterable[tuple[str, bool]]:
    """The buckets a delivery vouches for. Invoices and billing periods vouch for those they contain."""
    if dataset.bucket != "utc_day":
        return [(bucket, False) for bucket in sorted(present)]
    closed, open_day = vouched_days(delivery)
    buckets = [(day.isoformat(), False) for day in closed]
    if open_day is not None:
        buckets.append((open_day.isoformat(), True))
    return buckets
