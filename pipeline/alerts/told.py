"""What somebody was told of a subject, and what they did about it: a fold over landed events. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Protocol

from pipeline.formats.cases import CASE_DONE

POSTED = "message.posted"
PRINTED = "message.printed"
OPENED = "case.opened"
ACKNOWLEDGED = "case.acknowledged"
SNOOZED = "case.snoozed"
WRONG = "case.wrong"
DONE = CASE_DONE
CLOSED = "case.closed"
# A run would have posted it and was in quiet hours; once a case and UTC day.
KEPT_QUIET = "message.kept_quiet"
# Of no event: what a case was told by that is held by a digest's.
DIGESTED = "case.digested"

# The state of whatever needs nobody: it opens no case, and ends one.
CALM = "calm"
# What was done shows in a window of four weeks only when these days are over: until then it is not asked for again.
RESTS_FOR = timedelta(days=28)

_SAYS_OF_A_CASE = frozenset({POSTED, ACKNOWLEDGED, WRONG, DONE, CLOSED, DIGESTED})


class EventLike(Protocol):
    """What is read of a landed event."""

    @property
    def kind(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def body(self) -> Mapping[str, Any]: ...


class Events(Protocol):
    """The part of landing that alerts need (pipeline/landing/landing.py): what was said, and who may say it."""

    def claim(self, *, name: str, body: Mapping[str, Any], now: datetime) -> bool: ...
    def claimed(self, name: str) -> Mapping[str, Any] | None: ...
    def record(self, *, kind: str, subject: str, body: Mapping[str, Any], now: datetime) -> EventLike: ...
    def events(self, kind: str | None = None) -> Sequence[EventLike]: ...


@dataclass(frozen=True, kw_only=True)
class Settled:
    """The last state of a subject that somebody was told of, or spoke of, and what was done about it since.

    is_posted: there is a post that can be edited. snoozed_until: of the subject, whatever its case.
    """

    ordinal: int
    state: str
    usage_date: date
    previous_state: str | None
    is_posted: bool = False
    saving_rc_per_month: str | None = None
    acknowledged_by: str | None = None
    wrong_by: str | None = None
    done_by: str | None = None
    done_at: datetime | None = None

    def rests(self, now: datetime) -> bool:
        """Whether it was done too short a while ago for figures to show it."""
        return self.done_at is not None and now < self.done_at + RESTS_FOR


@dataclass(frozen=True)
class _Digested:
    kind: str
    subject: str
    body: Mapping[str, Any] = field(repr=False)


def events_by_subject(events: Sequence[EventLike]) -> dict[str, list[EventLike]]:
    """In order; a digest that was posted has told of each case that it holds."""
    found: dict[str, list[EventLike]] = {}
    for event in events:
        found.setdefault(event.subject, []).append(event)
        if event.kind == POSTED:
            for facts in event.body.get("cases", ()):
                told = _Digested(DIGESTED, facts["subject"], facts)
                found.setdefault(told.subject, []).append(told)
    return found


def last_settled(events: Sequence[EventLike]) -> Settled | None:
    """Of one subject's events, in order."""
    newest: Settled | None = None
    for event in events:
        if event.kind not in _SAYS_OF_A_CASE:
            continue
        if newest is not None and event.body["ordinal"] < newest.ordinal:
            continue
        newest = _after(event, newest if newest is not None and newest.ordinal == event.body["ordinal"] else None)
    return newest


def _after(event: EventLike, known: Settled | None) -> Settled:
    """The case once this is said of it. `known`: as it stood before, where anything was said of it."""
    body, kind = event.body, event.kind
    # An adopted post or a second confirm of the same case says nothing new about what was said first.
    case = known or Settled(
        ordinal=body["ordinal"],
        state=body.get("state", CALM),
        usage_date=date.fromisoformat(body["usage_date"]),
        previous_state=body.get("previous_state"),
        saving_rc_per_month=body.get("saving_rc_per_month"),
    )
    if kind == CLOSED:
        return replace(
            case, state=CALM, usage_date=date.fromisoformat(body["usage_date"]), is_posted=False, acknowledged_by=None
        )
    if case.state == CALM:
        return case
    if kind == POSTED:
        return replace(case, is_posted=True)
    if kind == ACKNOWLEDGED:
        return replace(case, acknowledged_by=body["by"])
    if kind == WRONG:
        return replace(case, wrong_by=body["by"])
    if kind == DONE:
        done_at = datetime.fromisoformat(body["done_at"])
        return replace(case, state=CALM, done_by=body["by"], done_at=done_at)
    return case


def resting_pools(events: Sequence[EventLike], now: datetime) -> dict[str, str]:
    """GPUs about which something was done too short a while ago for figures to show it -> the subject of that."""
    return {
        event.body["pool"]: event.subject
        for event in events
        if event.kind == DONE
        and event.body.get("pool") is not None
        and now < datetime.fromisoformat(event.body["done_at"]) + RESTS_FOR
    }


def snoozed_until(events: Sequence[EventLike], now: datetime) -> datetime | None:
    """By one subject's events; None where it is over."""
    until: datetime | None = None
    for event in events:
        if event.kind == SNOOZED:
            until = datetime.fromisoformat(event.body["until"])
    return until if until is not None and now < until else None


@dataclass(frozen=True, kw_only=True)
class KeptQuiet:
    """A case that runs would have posted and none did: all of them were in quiet hours. Both days included."""

    case_key: str
    first_day: date
    last_day: date
    days_count: int


def kept_quiet(events: Sequence[EventLike], *, today: date) -> list[KeptQuiet]:
    """Cases that are still kept quiet, as of the last two days, and on how many days a run could have told them."""
    days: dict[str, list[date]] = {}
    told = {event.body["case_key"] for event in events if event.kind == POSTED}
    told |= {one["case_key"] for event in events if event.kind == POSTED for one in event.body.get("cases", ())}
    for event in events:
        if event.kind == KEPT_QUIET and event.body["case_key"] not in told:
            days.setdefault(event.body["case_key"], []).append(date.fromisoformat(event.body["day"]))
    return [
        KeptQuiet(case_key=key, first_day=min(of_case), last_day=max(of_case), days_count=len(set(of_case)))
        for key, of_case in sorted(days.items())
        if max(of_case) >= today - timedelta(days=1)
    ]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A case as `breakeven status` shows it."""

    case_key: str
    state: str
    told_of: date
    saving_rc_per_month: str | None
    standing: str


def standing(events: Sequence[EventLike], now: datetime) -> list[Standing]:
    """Every case that somebody was told of and that is not over, and those done whose saving is still measured."""
    found = []
    for subject, of_one in sorted(events_by_subject(events).items()):
        case = last_settled(of_one)
        if case is None or subject.startswith("digest:"):
            continue
        words = _standing_in_words(case, snoozed_until(of_one, now), now)
        if words is not None:
            found.append(
                Standing(
                    case_key=f"{subject}#{case.ordinal}",
                    state=case.state if case.done_by is None else "done",
                    told_of=case.usage_date,
                    saving_rc_per_month=case.saving_rc_per_month,
                    standing=words,
                )
            )
    return found


def _standing_in_words(case: Settled, until: datetime | None, now: datetime) -> str | None:
    if case.done_by is not None:
        return f"done, says {case.done_by}: its saving is being measured" if case.rests(now) else None
    if case.state == CALM:
        return None
    said = [
        f"called wrong by {case.wrong_by}" if case.wrong_by else "",
        f"acknowledged by {case.acknowledged_by}" if case.acknowledged_by else "",
        f"snoozed until {until:%Y-%m-%d %H:%M} UTC" if until else "",
    ]
    return ", ".join(filter(None, said)) or "open"
