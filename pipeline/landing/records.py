"""The small immutable records of landing: deliveries (what arrived) and events (what people or the world did)."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from pipeline.errors import LandingError
from pipeline.landing.times import believed, compact, parse_stamp, stamp

DELIVERY_FORMAT = "breakeven.delivery/1"
EVENT_FORMAT = "breakeven.event/1"


# Made once: a year's records are spelled by the ten thousand whenever landing is looked at.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def canonical(value: object) -> bytes:
    """One spelling for equal JSON values: sorted keys, no spaces, UTF-8."""
    return _ENCODER.encode(value).encode()


def digest(value: object) -> str:
    """sha256 of the canonical spelling, as 64 hex digits."""
    return hashlib.sha256(value if isinstance(value, bytes) else canonical(value)).hexdigest()


def object_key(sha256: str) -> str:
    """Where the bytes of this sha256 lie in landing."""
    return f"objects/{sha256[:2]}/{sha256}"


@dataclass(frozen=True)
class LandedObject:
    """Bytes in landing, named by what they are."""

    sha256: str
    size_bytes: int
    name: str
    media_type: str

    @property
    def key(self) -> str:
        return object_key(self.sha256)


@dataclass(frozen=True)
class Delivery:
    """What one fetch or one drop brought. `said_at` decides which is newer, `landed_at` what is visible.

    `stated_at`: when it was said by the issuer's own clock, or by a file's name, as it came.
    """

    source: str
    account: str
    dataset: str
    objects: tuple[LandedObject, ...]
    landed_at: datetime
    stated_at: datetime
    stated_by: str
    from_at: datetime | None = None
    to_at: datetime | None = None
    horizon_at: datetime | None = None
    is_complete: bool = True
    grouping: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def said_at(self) -> datetime:
        """When it was said, as far as that can be: a statement from the future is of the moment at which it landed."""
        return believed(self.stated_at, landed_at=self.landed_at)

    @cached_property
    def content_id(self) -> str:
        """The same for the same bytes delivered for the same window: a file dropped twice."""
        return digest(
            [
                self.source,
                self.account,
                self.dataset,
                self.grouping,
                _optional_stamp(self.from_at),
                _optional_stamp(self.to_at),
                dict(self.settings),
                sorted(landed.sha256 for landed in self.objects),
                self.is_complete,
            ]
        )

    @cached_property
    def delivery_id(self) -> str:
        return digest([self.content_id, stamp(self.stated_at), stamp(self.landed_at)])

    @property
    def key(self) -> str:
        return f"deliveries/{self.landed_at:%Y-%m-%d}/{compact(self.landed_at)}-{self.delivery_id[:16]}.json"

    def to_json(self) -> bytes:
        return canonical(
            {
                "format": DELIVERY_FORMAT,
                "delivery_id": self.delivery_id,
                "source": self.source,
                "account": self.account,
                "dataset": self.dataset,
                "landed_at": stamp(self.landed_at),
                "stated_at": stamp(self.stated_at),
                "stated_by": self.stated_by,
                "from_at": _optional_stamp(self.from_at),
                "to_at": _optional_stamp(self.to_at),
                "horizon_at": _optional_stamp(self.horizon_at),
                "is_complete": self.is_complete,
                "grouping": self.grouping,
                "settings": dict(self.settings),
                "request": dict(self.request),
                "objects": [vars(landed) for landed in self.objects],
            }
        )


@dataclass(frozen=True)
class Event:
    """What a person or the outside world did, once."""

    kind: str
    subject: str
    body: Mapping[str, Any]
    at: datetime

    @property
    def event_id(self) -> str:
        return digest([self.kind, self.subject, dict(self.body), stamp(self.at)])

    @property
    def key(self) -> str:
        return f"events/{self.at:%Y-%m-%d}/{compact(self.at)}-{self.event_id[:16]}.json"

    def to_json(self) -> bytes:
        return canonical(
            {
                "format": EVENT_FORMAT,
                "kind": self.kind,
                "subject": self.subject,
                "at": stamp(self.at),
                "body": dict(self.body),
            }
        )


def _optional_stamp(moment: datetime | None) -> str | None:
    return None if moment is None else stamp(moment)


def _optional_moment(text: str | None) -> datetime | None:
    return None if text is None else parse_stamp(text)


def _delivery_1(record: Mapping[str, Any]) -> Delivery:
    return Delivery(
        source=record["source"],
        account=record["account"],
        dataset=record["dataset"],
        objects=tuple(LandedObject(**landed) for landed in record["objects"]),
        landed_at=parse_stamp(record["landed_at"]),
        stated_at=parse_stamp(record["stated_at"]),
        stated_by=record["stated_by"],
        from_at=_optional_moment(record["from_at"]),
        to_at=_optional_moment(record["to_at"]),
        horizon_at=_optional_moment(record["horizon_at"]),
        is_complete=record["is_complete"],
        grouping=record["grouping"],
        settings=record["settings"],
        request=record["request"],
    )


def _event_1(record: Mapping[str, Any]) -> Event:
    if not isinstance(record["body"], dict):
        raise TypeError("`body` is not a mapping")
    return Event(kind=record["kind"], subject=record["subject"], body=record["body"], at=parse_stamp(record["at"]))


# Readers are only ever added: a manifest written by any release stays readable.
_READERS: dict[str, Callable[[Mapping[str, Any]], Delivery | Event]] = {
    DELIVERY_FORMAT: _delivery_1,
    EVENT_FORMAT: _event_1,
}


def read_record(content: bytes) -> Delivery | Event:
    """A delivery or an event from its bytes. Raises LandingError that says what is wrong with them."""
    try:
        record = json.loads(content)
        wanted = record["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise LandingError("not a landing record (no readable JSON with a `format`)") from None
    reader = _READERS.get(wanted)
    if reader is None:
        raise LandingError(f"format {wanted!r} is unknown to this release. Upgrade breakeven to read it.")
    try:
        return reader(record)
    except (KeyError, TypeError, ValueError) as error:
        raise LandingError(f"{wanted} with a missing or misshapen field: {error}") from None
