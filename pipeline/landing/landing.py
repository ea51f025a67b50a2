"""Landing: put what arrived, list what is visible. Objects first, the record that names them last."""

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.errors import LandingError
from pipeline.landing.fetched import Fetched, Payload
from pipeline.landing.records import Delivery, Event, LandedObject, canonical, digest, read_record
from pipeline.landing.store import FolderStore, Store
from pipeline.landing.times import as_utc, stamp

_CATALOG_FORMAT = "breakeven.catalog/1"
# Clocks of several writers disagree; a record may be written this much after its own landed date.
_LISTING_MARGIN = timedelta(days=2)


REDACT_EVENT = "redact"
REPORT_EVENT = "report"
REPORT_PUBLISHED_EVENT, REPORT_MAILED_EVENT, REPORT_UNMAILED_EVENT = (
    "report.published",
    "report.mailed",
    "report.unmailed",
)
COLLECT_EVENT = "collect"
ACCRUAL_ISSUED_EVENT, ACCRUAL_SETTLED_EVENT = "accrual.issued", "accrual.settled"
ACCRUAL_CORRECTED_EVENT = "accrual.corrected"
# What was told and what was put away: no build reads it, and the build it tells of must not become another by it.
_SAYS_NOTHING_TO_A_BUILD = frozenset({REPORT_EVENT, COLLECT_EVENT, "quarantine.dismissed"})
_SAYS_NOTHING_PREFIXES = ("message.", "case.", "picture.", "alerts.", "accrual.", "report.")


class DamagedObjectError(LandingError):
    """An object that a manifest names is gone, or has other bytes. What else has landed is not in question."""


class RedactedError(LandingError):
    """These bytes were taken out of landing on purpose: they are not read, and do not land again."""


def redacted_words(event: Event) -> str:
    """`redacted on 2026-11-05: reason`."""
    return f"redacted on {event.at:%Y-%m-%d}: {event.body.get('reason')}"


@dataclass(frozen=True)
class Unreadable:
    """A record of landing that this release cannot read. Listed, never guessed at."""

    key: str
    reason: str


@dataclass(frozen=True)
class Contents:
    """Everything visible in landing at one moment, in landed order.

    `redacted`: sha256 -> the event that took those bytes out. They are gone of every moment, also of one before it.
    """

    deliveries: tuple[Delivery, ...] = ()
    events: tuple[Event, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    redacted: Mapping[str, Event] = field(default_factory=dict)

    def as_of(self, moment: datetime) -> "Contents":
        """What had landed by then. The filter behind `--as-of`."""
        return Contents(
            deliveries=tuple(delivery for delivery in self.deliveries if delivery.landed_at <= moment),
            events=tuple(event for event in self.events if event.at <= moment),
            unreadable=self.unreadable,
            redacted=self.redacted,
        )

    def identity(self) -> str:
        """One hash for this set of deliveries, of the events that a build may read, and of what was redacted."""
        return digest(
            [
                sorted(delivery.delivery_id for delivery in self.deliveries),
                sorted(event.event_id for event in self.events if _is_read_by_a_build(event)),
                sorted(self.redacted),
            ]
        )


def _is_read_by_a_build(event: Event) -> bool:
    told = event.kind in _SAYS_NOTHING_TO_A_BUILD or event.kind.startswith(_SAYS_NOTHING_PREFIXES)
    return not told and event.kind != REDACT_EVENT


def _redacted(events: Sequence[Event]) -> dict[str, Event]:
    """sha256 -> the first event that redacted it."""
    found: dict[str, Event] = {}
    for event in events:
        if event.kind == REDACT_EVENT:
            found.setdefault(event.subject, event)
    return found


@dataclass
class Landing:
    """One landing root. `catalog` is a local file that remembers records already read; it may be deleted.

    `remembers`: what is read is written to the catalog. `proposed`: events that are read as if they had landed last,
    for a look at what they would change. `today`: only says from where to list: a clock that once ran ahead, or a look
    into the future, hides nothing that lands after it.
    """

    store: Store
    catalog: Path | None = None
    proposed: tuple[Event, ...] = ()
    remembers: bool = True
    today: Callable[[], date] = lambda: datetime.now(UTC).date()
    _known: dict[str, bytes] = field(default_factory=dict)
    _loaded: bool = False
    _parsed: dict[str, Delivery | Event | Unreadable] = field(default_factory=dict)
    _redacted: Mapping[str, Event] | None = None

    def land(self, fetched: Fetched, *, source: str, account: str, now: datetime) -> Delivery:
        """Store the objects, then the delivery that names them. Safe to repeat, safe to kill anywhere.

        Each object is stored before the next is asked for: a delivery larger than memory lands too.
        Raises RedactedError, and lands no delivery, where one of them was redacted.
        """
        objects = tuple(map(self._stored, fetched.payloads))
        delivery = _delivery_of(fetched, objects, source=source, account=account, now=now)
        self._put_record(delivery.key, delivery.to_json())
        return delivery

    def _stored(self, payload: Payload) -> LandedObject:
        landed = _landed_object(payload)
        # One that is redacted at this very moment is taken out by the next run.
        tombstone = self.redactions().get(landed.sha256)
        if tombstone is not None:
            raise RedactedError(f"{payload.name} ({landed.sha256[:12]}) was {redacted_words(tombstone)}. It stays out.")
        self.store.put_if_absent(landed.key, payload.content)
        return landed

    def read_object(self, landed: LandedObject) -> bytes:
        """The object's bytes, checked against their name. DamagedObjectError where they are gone or others.

        RedactedError where they were taken out on purpose.
        """
        content = self.store.find(landed.key)
        if content is None:
            raise self._gone(landed)
        if digest(content) != landed.sha256:
            raise _altered(landed)
        return content

    def put_object(self, landed: LandedObject, target: Path) -> None:
        """The object as a new file, checked likewise, without ever being in memory as a whole.

        Linked where landing is on the same disk, so that it holds the bytes once.
        """
        if not self._linked(landed, target) and not self.store.copy_to(landed.key, target):
            raise self._gone(landed)
        with target.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != landed.sha256:
                raise _altered(landed)

    def _linked(self, landed: LandedObject, target: Path) -> bool:
        if isinstance(self.store, FolderStore):
            with suppress(OSError):
                os.link(self.store.file_of(landed.key), target)
                return True
        return False

    def _gone(self, landed: LandedObject) -> LandingError:
        tombstone = self.contents().redacted.get(landed.sha256)
        if tombstone is not None:
            return RedactedError(f"{landed.name} ({landed.sha256[:12]}) was {redacted_words(tombstone)}")
        return DamagedObjectError(
            f"{landed.key} is named by a manifest but is not in landing any more: restore it from a backup"
        )

    def record(self, *, kind: str, subject: str, body: Mapping[str, Any], now: datetime) -> Event:
        """Land an event."""
        event = as_event(kind=kind, subject=subject, body=body, now=now)
        self.keep(event)
        return event

    def keep(self, event: Event) -> None:
        """Land an event that was made before."""
        self._put_record(event.key, event.to_json())

    def _put_record(self, key: str, content: bytes) -> None:
        """Store it. One that is dated long before what is known is remembered at once: it is not come by when it is
        listed from there on. A clock that went back, or a run as of an earlier moment, writes such.
        """
        self.store.put_if_absent(key, content)
        prefix, today = key.partition("/")[0], self.today()
        if key >= f"{prefix}/{today - _LISTING_MARGIN:%Y-%m-%d}":
            return
        self._load_catalog()
        if key < _margin_before(prefix, self._newest(prefix), today):
            self._known[key] = content
            self._save_catalog()

    def proposing(self, events: Sequence[Event]) -> "Landing":
        """The same landing as it would be with these events. Nothing is written."""
        return replace(self, proposed=(*self.proposed, *events))

    def events(self, kind: str | None = None) -> list[Event]:
        """Events in landed order, all or of one kind."""
        return [event for event in self.contents().events if kind is None or event.kind == kind]

    def redactions(self) -> Mapping[str, Event]:
        """sha256 -> the event that took those bytes out, as landing was last seen."""
        return self.contents().redacted if self._redacted is None else self._redacted

    def keep_issued(self, content: bytes) -> str:
        """Keep the bytes of what was given to somebody, as they were given. Returns their sha256."""
        sha256 = digest(content)
        self.store.put_if_absent(f"issued/{sha256}", content)
        return sha256

    def claim(self, *, name: str, body: Mapping[str, Any], now: datetime) -> bool:
        """Exactly one caller, on any machine, ever gets True for a name."""
        content = canonical({"name": name, "at": stamp(now), "body": dict(body)})
        return self.store.put_if_absent(_claim_key(name), content)

    def claimed(self, name: str) -> Mapping[str, Any] | None:
        """The body given by whoever claimed this name, or None."""
        content = self.store.find(_claim_key(name))
        if content is None:
            return None
        body: Mapping[str, Any] = json.loads(content)["body"]
        return body

    def contents(self) -> Contents:
        """Everything landed, reading only what the catalog does not know yet."""
        self._load_catalog()
        known_before = len(self._known)
        for prefix in ("deliveries", "events"):
            new = [
                key
                for key in self.store.keys(prefix, after=_margin_before(prefix, self._newest(prefix), self.today()))
                if key not in self._known
            ]
            self._known.update(zip(new, self.store.read_all(new), strict=True))
        if len(self._known) != known_before:
            self._save_catalog()
        records = [self._record(key) for key in sorted(self._known, key=lambda key: key.partition("/")[2])]
        events = (*(record for record in records if isinstance(record, Event)), *self.proposed)
        self._redacted = _redacted(events)
        return Contents(
            deliveries=tuple(record for record in records if isinstance(record, Delivery)),
            events=events,
            unreadable=tuple(record for record in records if isinstance(record, Unreadable)),
            redacted=self._redacted,
        )

    def _newest(self, prefix: str) -> str:
        return max((key for key in self._known if key.startswith(f"{prefix}/")), default="")

    def _record(self, key: str) -> Delivery | Event | Unreadable:
        if key not in self._parsed:
            try:
                self._parsed[key] = read_record(self._known[key])
            except LandingError as error:
                self._parsed[key] = Unreadable(key=key, reason=str(error))
        return self._parsed[key]

    def _load_catalog(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        if self.catalog is None or not self.catalog.exists():
            return
        lines = self.catalog.read_bytes().split(b"\n")
        if lines[0] != _CATALOG_FORMAT.encode() or lines[-1] != b"end":
            return
        self._known.update(
            (key.decode(), content) for key, _, content in (line.partition(b"\t") for line in lines[1:-1])
        )

    def _save_catalog(self) -> None:
        if self.catalog is None or not self.remembers:
            return
        single_line = [(key, content) for key, content in sorted(self._known.items()) if b"\n" not in content]
        lines = [key.encode() + b"\t" + content for key, content in single_line]
        aside = self.catalog.with_suffix(f".{os.getpid()}.{secrets.token_hex(4)}")
        # It only remembers: on a disk that is full, or may not be written, what landed can still be read.
        with suppress(OSError):
            try:
                self.catalog.parent.mkdir(parents=True, exist_ok=True)
                aside.write_bytes(b"\n".join([_CATALOG_FORMAT.encode(), *lines, b"end"]))
                aside.replace(self.catalog)
            finally:
                aside.unlink(missing_ok=True)


def _altered(landed: LandedObject) -> DamagedObjectError:
    return DamagedObjectError(f"{landed.key} does not have the sha256 it is named by: restore it from a backup")


def _claim_key(name: str) -> str:
    return f"claims/{digest(name.encode())}.json"


def _margin_before(prefix: str, newest_key: str, today: date) -> str:
    """Where to list from: a little before the newest record known, or before today; or from the start."""
    if not newest_key:
        return ""
    newest_date = date.fromisoformat(newest_key.split("/")[1])
    return f"{prefix}/{min(newest_date, today) - _LISTING_MARGIN:%Y-%m-%d}"


def as_event(*, kind: str, subject: str, body: Mapping[str, Any], now: datetime) -> Event:
    """The event that recording this would write, without writing it."""
    return Event(kind=kind, subject=subject, body=json.loads(canonical(dict(body))), at=as_utc(now))


def as_delivery(fetched: Fetched, *, source: str, account: str, now: datetime) -> Delivery:
    """The delivery that landing this would write, without writing it."""
    objects = tuple(map(_landed_object, fetched.payloads))
    return _delivery_of(fetched, objects, source=source, account=account, now=now)


def _landed_object(payload: Payload) -> LandedObject:
    return LandedObject(
        sha256=digest(payload.content),
        size_bytes=len(payload.content),
        name=payload.name,
        media_type=payload.media_type,
    )


def _delivery_of(
    fetched: Fetched, objects: tuple[LandedObject, ...], *, source: str, account: str, now: datetime
) -> Delivery:
    now = as_utc(now)
    return Delivery(
        source=source,
        account=account,
        dataset=fetched.dataset,
        objects=objects,
        landed_at=now,
        stated_at=as_utc(fetched.stated_at) if fetched.stated_at else now,
        stated_by=fetched.stated_by if fetched.stated_at else "landed_at",
        from_at=fetched.from_at and as_utc(fetched.from_at),
        to_at=fetched.to_at and as_utc(fetched.to_at),
        horizon_at=fetched.horizon_at and as_utc(fetched.horizon_at),
        is_complete=fetched.complete,
        grouping=fetched.grouping,
        settings=json.loads(canonical(dict(fetched.settings))),
        request=json.loads(canonical(dict(fetched.request))),
    )
