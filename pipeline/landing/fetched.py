"""What one fetch or one drop brought, before it is landed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Payload:
    """One object's bytes as received. `name` is the page or file name, never used to read the content."""

    name: str
    content: bytes
    media_type: str = "application/octet-stream"


@dataclass(frozen=True)
class Fetched:
    """What one fetch or one drop brought for one dataset: the argument of a landing.

    `payloads`: walked once. Where they are large they are made while they are walked, so that one is in memory at a
    time; landing then raises what making them raises, and lands no delivery.
    `from_at` / `to_at` (UTC): the window asked for, to_at exclusive; None where only the content can say.
    `complete`: the page chain closed. `stated_at`: when the issuer said it; None = unknown (landed_at then).
    `stated_by`: http_date | last_modified | file_name | landed_at. `request`: parameters without secrets.
    """

    dataset: str
    payloads: Iterable[Payload]
    from_at: datetime | None = None
    to_at: datetime | None = None
    horizon_at: datetime | None = None
    complete: bool = True
    stated_at: datetime | None = None
    stated_by: str = "landed_at"
    grouping: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
