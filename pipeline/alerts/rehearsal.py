"""What would have been posted: the outbox itself, day by day, over events and a channel that nobody else sees.

The figures are those that are known today of each day; what a source has restated since may have read otherwise then.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from pipeline.alerts.case import AlertRow, VerdictRow
from pipeline.alerts.finding import Finding
from pipeline.alerts.message import Message
from pipeline.alerts.outbox import Outbox
from pipeline.alerts.sending import NotFound, Picture, Posted, Refused
from pipeline.alerts.told import POSTED, EventLike
from pipeline.economics.worth_saying import NO_FLOOR, Floor

# A day speaks on the morning after it.
_MORNING = time(8, 0, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """One post that would have been. `day`: the newest day it knew; money in the reporting currency a month."""

    day: date
    case_key: str
    state: str
    first_line: str
    saving_rc_per_month: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """The posts of a stretch of days, and how many silent edits of them there would have been."""

    first_day: date
    last_day: date
    posts: tuple[Rehearsed, ...]
    edits_count: int

    @property
    def posts_per_week(self) -> Decimal:
        days = (self.last_day - self.first_day).days + 1
        return (Decimal(len(self.posts)) * 7 / days).quantize(Decimal("0.1"))


def rehearse(
    *,
    verdicts: Iterable[VerdictRow],
    alerts: Iterable[AlertRow],
    first_day: date,
    last_day: date,
    company: str,
    currency: str,
    findings: Callable[[date], Iterable[Finding]] = lambda _: (),
    floor: Floor = NO_FLOOR,
    posts_per_week: int | None = None,
    channels: Mapping[str, str] = MappingProxyType({}),
) -> Rehearsal:
    """Both days included. What was so on the day before `first_day` is taken for known, as it is where alerts begin.

    findings: what there was to say on a day beside verdicts.
    """
    verdicts = sorted(verdicts, key=lambda row: row.usage_date)
    alerts = sorted(
        (row for row in alerts if row.usage_date >= first_day - timedelta(days=1)), key=lambda row: row.usage_date
    )
    events, channel = _Events(), _Channel()
    day = first_day
    while day <= last_day:
        now = datetime.combine(day + timedelta(days=1), _MORNING)
        channel.day = day
        Outbox(
            events=events,
            outlet=channel,
            clock=lambda now=now: now,  # type: ignore[misc]
            sleep=lambda seconds: None,
            company=company,
            currency=currency,
            floor=floor,
            posts_per_week=posts_per_week,
            channels=channels,
        ).announce(
            verdicts=[row for row in verdicts if row.usage_date <= day],
            alerts=[row for row in alerts if row.usage_date <= day],
            findings=findings(day),
        )
        day += timedelta(days=1)
    return Rehearsal(
        first_day=first_day,
        last_day=last_day,
        posts=tuple(_rehearsed(event, channel) for event in events.events(POSTED)),
        edits_count=channel.edits_count,
    )


def _rehearsed(event: EventLike, channel: "_Channel") -> Rehearsed:
    day, message = channel.posts[event.body["timestamp"]]
    saving = event.body["saving_rc_per_month"]
    held = [facts["case_key"] for facts in event.body.get("cases", ())]
    first_line = message.plain.splitlines()[0]
    return Rehearsed(
        day=day,
        case_key=event.body["case_key"],
        state=event.body["state"],
        first_line=f"{first_line}: {', '.join(held)}" if held else first_line,
        saving_rc_per_month=None if saving is None else Decimal(saving),
    )


@dataclass(frozen=True)
class _Event:
    kind: str
    subject: str
    body: Mapping[str, Any]


class _Events:
    """Landing's events, of this rehearsal only."""

    def __init__(self) -> None:
        self._claims: dict[str, Mapping[str, Any]] = {}
        self._events: list[_Event] = []

    def claim(self, *, name: str, body: Mapping[str, Any], now: datetime) -> bool:
        return self._claims.setdefault(name, body) is body

    def claimed(self, name: str) -> Mapping[str, Any] | None:
        return self._claims.get(name)

    def record(self, *, kind: str, subject: str, body: Mapping[str, Any], now: datetime) -> EventLike:
        # Through JSON, as landing keeps it: what is read back is what would be.
        event = _Event(kind, subject, json.loads(json.dumps(body)))
        self._events.append(event)
        return event

    def events(self, kind: str | None = None) -> Sequence[EventLike]:
        return [event for event in self._events if kind is None or event.kind == kind]


class _Channel:
    """An outlet that takes everything and shows it to nobody."""

    kind = "rehearsal"
    channel = "rehearsal"
    can_read_history = True
    can_show_pictures = False

    def __init__(self) -> None:
        self.day = date.min
        self.posts: dict[str, tuple[date, Message]] = {}
        self.edits_count = 0

    def post(self, *, message: Message, claim_id: str, channel: str | None = None) -> Posted:
        timestamp = str(len(self.posts))
        self.posts[timestamp] = self.day, message
        return Posted(channel=channel or self.channel, timestamp=timestamp)

    def update(self, *, message: Message, claim_id: str, channel: str, timestamp: str) -> Posted:
        self.edits_count += 1
        return Posted(channel=channel, timestamp=timestamp)

    def find(self, *, case_key: str, claim_id: str, channel: str | None, oldest: datetime) -> NotFound:
        return NotFound()

    def show(self, *, pictures: Sequence[Picture], channel: str, timestamp: str) -> Refused:
        return Refused(code="no_pictures", detail="A rehearsal shows nothing.")
