"""What an outlet of cases is asked to do, and what can come of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pipeline.alerts.message import Message
from pipeline.errors import BreakevenError


class AlertError(BreakevenError):
    """An acknowledgement or a snooze that cannot be recorded, or a Slack setting that cannot be used."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class Posted:
    """The outlet took the message. `timestamp` identifies it where it can be edited later.

    `detail`: who of its readers did not get it.
    """

    channel: str | None
    timestamp: str | None
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The outlet surely did not take the message (or the edit). `is_outlet_wide`: no other message can pass either;
    `is_channel_wide`: none in that channel.
    """

    code: str
    detail: str
    retry_after_seconds: int | None = None
    is_outlet_wide: bool = False
    is_channel_wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Uncertain:
    """The connection ended, or the server failed, after the request may have been taken."""

    code: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """A message in the channel's history that carries this claim."""

    channel: str
    timestamp: str


@dataclass(frozen=True, kw_only=True)
class NotFound:
    """History was read without a gap back to the time asked for, and the message is not in it."""


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """History could not be read, or not far enough. `is_passing`: another run may be able to."""

    code: str
    detail: str
    is_passing: bool


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A PNG that belongs to a case. `says`: the same in words, for whoever does not see it."""

    name: str
    title: str
    says: str
    png: bytes


class Outlet(Protocol):
    """Where messages go. It returns outcomes; it does not raise for what the other side says."""

    @property
    def kind(self) -> str: ...
    @property
    def channel(self) -> str | None: ...
    @property
    def can_read_history(self) -> bool: ...
    @property
    def can_show_pictures(self) -> bool: ...
    def post(self, *, message: Message, claim_id: str, channel: str | None = None) -> Posted | Refused | Uncertain: ...
    def update(
        self, *, message: Message, claim_id: str, channel: str, timestamp: str
    ) -> Posted | Refused | Uncertain: ...
    def find(
        self, *, case_key: str, claim_id: str, channel: str | None, oldest: datetime
    ) -> Found | NotFound | Unreadable: ...
    def show(self, *, pictures: Sequence[Picture], channel: str, timestamp: str) -> Posted | Refused | Uncertain: ...
