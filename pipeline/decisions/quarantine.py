"""What is in quarantine: objects that no reader of this release can read, each with its reason."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from pipeline.build.landed_tables import Landed, read_landed
from pipeline.decisions.graph import shipped_graph
from pipeline.landing.landing import Contents
from pipeline.landing.project import Project
from pipeline.landing.records import Delivery, Event

DISMISS_EVENT = "quarantine.dismissed"


@dataclass(frozen=True)
class QuarantineEntry:
    """One object (or delivery) that does not count. `str()` is the line a person reads."""

    source: str
    account: str
    name: str
    sha256: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}/{self.account} {self.name} ({self.sha256[:12]}): {self.reason}"


def quarantine_list(project: Project, *, as_of: datetime) -> list[QuarantineEntry]:
    """Unreadable objects, deliveries that never count, unreadable records.

    Gone from it is what a later delivery mended, and what a person dismissed (at once: a dismissal is no figure).
    """
    everything = project.landing.contents()
    contents = everything.as_of(as_of)
    landed = read_landed(
        contents,
        datasets=shipped_graph().datasets,
        landing=project.landing,
        cache=project.paths.cache,
        as_of=as_of,
    )
    dismissed = _dismissed(everything.events)
    # A file that was landed twice (two runs at once) is one file.
    entries = {(entry.source, entry.account, entry.name, entry.sha256): entry for entry in _entries(contents, landed)}
    return [entry for entry in entries.values() if entry.sha256 not in dismissed]


def _entries(contents: Contents, landed: Landed) -> Iterator[QuarantineEntry]:
    unread = {item.delivery.delivery_id for item in landed.quarantined}
    unusable = unread | {item.delivery.delivery_id for item in landed.not_counted}
    usable = [delivery for delivery in contents.deliveries if delivery.delivery_id not in unusable]
    for found in landed.quarantined:
        if not _is_mended(found.delivery, usable):
            yield _entry(found.delivery, found.landed.name, found.landed.sha256, found.reason)
    for item in landed.not_counted:
        if item.delivery.delivery_id in unread or _is_mended(item.delivery, usable):
            continue
        first = item.delivery.objects[0] if item.delivery.objects else None
        name, sha256 = (first.name, first.sha256) if first else ("(no object)", item.delivery.delivery_id)
        yield _entry(item.delivery, name, sha256, item.reason)
    for record in contents.unreadable:
        yield QuarantineEntry("landing", "-", record.key, record.key, record.reason)


def _entry(delivery: Delivery, name: str, sha256: str, reason: str) -> QuarantineEntry:
    return QuarantineEntry(delivery.source, delivery.account, name, sha256, reason)


def _is_mended(broken: Delivery, usable: Iterable[Delivery]) -> bool:
    """A newer delivery that counts speaks for all the same days; where the days are unknown, it has the same name."""
    return any(
        (later.source, later.account, later.dataset) == (broken.source, broken.account, broken.dataset)
        and (_speaks_for_its_days(later, broken) if broken.from_at and broken.to_at else _has_its_name(later, broken))
        for later in usable
    )


def _speaks_for_its_days(later: Delivery, broken: Delivery) -> bool:
    if later.from_at is None or later.to_at is None or broken.from_at is None or broken.to_at is None:
        return False
    return (
        later.from_at <= broken.from_at
        and broken.to_at <= later.to_at
        and (later.stated_at, later.landed_at) >= (broken.stated_at, broken.landed_at)
    )


def _has_its_name(later: Delivery, broken: Delivery) -> bool:
    names = {found.name for found in later.objects}
    return later.landed_at >= broken.landed_at and all(found.name in names for found in broken.objects)


def _dismissed(events: tuple[Event, ...]) -> set[str]:
    return {event.subject for event in events if event.kind == DISMISS_EVENT}
