"""What is in quarantine: objects that no reader of this release can read, each with its reason.

An entry ends in one of five ways, and in no other: waiting long is none, for a bill does not become readable by it.
Superseded: everything it speaks for is counted from newer deliveries. Read: its reader changed, or its bytes are back
in landing. Amended: of a configuration that nothing can be read of, what was said in its place. Dismissed: by a person,
with a reason. Redacted: its bytes were taken out of landing, with a reason. These and superseded ones stay known.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from pipeline.build.closing_tables import closing_left_out
from pipeline.build.config_tables.versions import config_left_out
from pipeline.build.landed_tables import Landed, read_landed
from pipeline.decisions.graph import shipped_graph
from pipeline.landing.current import BucketKey, Current, vouched_days
from pipeline.landing.dataset import Dataset, datasets_by_name
from pipeline.landing.landing import Contents
from pipeline.landing.project import CONFIG_FILE, Project
from pipeline.landing.records import Delivery, Event

DISMISS_EVENT = "quarantine.dismissed"
SUPERSEDED = "superseded"
DISMISSED = "dismissed"
REDACTED = "redacted"
_MOST_REASONS = 3


@dataclass(frozen=True)
class QuarantineEntry:
    """One object (or delivery) that does not count. `str()` is the line a person reads.

    `ended`: None while it needs somebody, else `superseded`, `dismissed` or `redacted`; `why`: as the person said it.
    """

    source: str
    account: str
    name: str
    sha256: str
    reason: str
    ended: str | None = None
    why: str | None = None

    def __str__(self) -> str:
        return f"{self.source}/{self.account} {self.name} ({self.sha256[:12]}): {self.reason}"


def quarantine_list(project: Project, *, as_of: datetime, landed: Landed | None = None) -> list[QuarantineEntry]:
    """What needs somebody: unreadable objects, deliveries that never count, unreadable records and configurations.

    `landed`: landing as of the moment, where it has been read already.
    """
    everything = project.landing.contents()
    entries = quarantine_within(everything, project=project, as_of=as_of, landed=landed)
    return [entry for entry in entries if entry.ended is None]


def quarantine_history(project: Project, *, as_of: datetime) -> list[QuarantineEntry]:
    """The same with what has ended. A dismissal counts at once, whatever the moment: it is no figure."""
    return quarantine_within(project.landing.contents(), project=project, as_of=as_of)


def quarantine_within(
    everything: Contents, *, project: Project, as_of: datetime, landed: Landed | None = None
) -> list[QuarantineEntry]:
    """The same of a part of landing."""
    contents = everything.as_of(as_of)
    landed = landed or read_landed(
        contents,
        datasets=shipped_graph().datasets,
        landing=project.landing,
        cache=project.paths.cache,
        as_of=as_of,
        shared=None if project.is_read_only else project.shared,
    )
    dismissed = _dismissed(everything.events)
    # A file that was landed twice (two runs at once) is one file.
    entries = {(entry.source, entry.account, entry.name, entry.sha256): entry for entry in _entries(contents, landed)}
    return [
        entry
        if entry.ended in (REDACTED, SUPERSEDED) or entry.sha256 not in dismissed
        else replace(entry, ended=DISMISSED, why=dismissed[entry.sha256])
        for entry in entries.values()
    ]


def _entries(contents: Contents, landed: Landed) -> Iterator[QuarantineEntry]:
    datasets = datasets_by_name(shipped_graph().datasets)
    unread = {item.delivery.delivery_id for item in landed.quarantined}
    unusable = unread | {item.delivery.delivery_id for item in landed.not_counted}
    usable = [_as_named_now(one, datasets) for one in contents.deliveries if one.delivery_id not in unusable]

    def entry(delivery: Delivery, name: str, sha256: str, reason: str) -> QuarantineEntry:
        if (tombstone := contents.redacted.get(sha256)) is not None:
            why = str(tombstone.body.get("reason"))
            return QuarantineEntry(delivery.source, delivery.account, name, sha256, reason, REDACTED, why)
        broken = _as_named_now(delivery, datasets)
        is_superseded = _is_counted_anew(broken, landed.current) or _is_mended(broken, usable)
        ended = SUPERSEDED if is_superseded else None
        return QuarantineEntry(delivery.source, delivery.account, name, sha256, reason, ended)

    for found in landed.quarantined:
        yield entry(found.delivery, found.landed.name, found.landed.sha256, found.reason)
    for item in landed.not_counted:
        if item.delivery.delivery_id in unread:
            continue
        first = item.delivery.objects[0] if item.delivery.objects else None
        name, sha256 = (first.name, first.sha256) if first else ("(no object)", item.delivery.delivery_id)
        yield entry(item.delivery, name, sha256, item.reason)
    for record in contents.unreadable:
        yield QuarantineEntry("landing", "-", record.key, record.key, record.reason)
    for said in config_left_out(contents.events):
        name = f"{said.event.kind} of {said.event.at:%Y-%m-%d %H:%M} UTC"
        more = f"; and {len(said.reasons) - _MOST_REASONS} more" if len(said.reasons) > _MOST_REASONS else ""
        reason = f"left out: {'; '.join(said.reasons[:_MOST_REASONS])}{more}. Say it anew with `breakeven amend`"
        yield QuarantineEntry(CONFIG_FILE, "-", name, said.event.event_id, reason)
    for event, reason in closing_left_out(contents.events):
        name = f"{event.kind} of {event.at:%Y-%m-%d %H:%M} UTC"
        yield QuarantineEntry("close", "-", name, event.event_id, f"not counted: {reason}")


def _as_named_now(delivery: Delivery, datasets: Mapping[tuple[str, str], Dataset]) -> Delivery:
    """The delivery under the name that its dataset has in this release, which is that of what replaces it."""
    dataset = datasets.get((delivery.source, delivery.dataset))
    return delivery if dataset is None or dataset.name == delivery.dataset else replace(delivery, dataset=dataset.name)


def _is_counted_anew(broken: Delivery, current: Mapping[BucketKey, Current]) -> bool:
    """Every day it speaks for is counted from a newer delivery, be it one or several."""
    closed, open_day = vouched_days(broken)
    days = [*closed, open_day] if open_day is not None else closed
    keys = [BucketKey(broken.source, broken.account, broken.dataset, day.isoformat()) for day in days]
    return bool(keys) and all(key in current and _stated(current[key].delivery) >= _stated(broken) for key in keys)


def _stated(delivery: Delivery) -> tuple[datetime, datetime]:
    return delivery.said_at, delivery.landed_at


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
    return later.from_at <= broken.from_at and broken.to_at <= later.to_at and _stated(later) >= _stated(broken)


def _has_its_name(later: Delivery, broken: Delivery) -> bool:
    names = {found.name for found in later.objects}
    return later.landed_at >= broken.landed_at and all(found.name in names for found in broken.objects)


def _dismissed(events: tuple[Event, ...]) -> dict[str, str]:
    return {event.subject: str(event.body.get("why", "")) for event in events if event.kind == DISMISS_EVENT}
