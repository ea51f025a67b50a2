"""Sendings of a case: each is an attempt that exactly one worker claims, and what became of it is landed."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from pipeline.alerts.sending import Found, NotFound, Outlet, Unreadable
from pipeline.alerts.told import POSTED, EventLike, Events

REFUSED = "message.refused"
UNCERTAIN = "message.uncertain"
ABSENT = "message.absent"
HELD = "message.held"
UPDATED = "message.updated"
UPDATE_REFUSED = "message.update_refused"

# Longer than any HTTP timeout and clock difference: within it another worker may still be sending.
GRACE = timedelta(minutes=10)
# History is read from a little before the claim: the two clocks are not the same.
HISTORY_MARGIN = timedelta(hours=1)


@dataclass(frozen=True)
class Attempt:
    """One sending: its number among those of its case, and what its worker claimed."""

    number: int
    claim: Mapping[str, Any]

    @property
    def at(self) -> datetime:
        return datetime.fromisoformat(self.claim["claimed_at"])


class Attempts:
    """Landing's events as attempts. `clock` returns an aware datetime."""

    def __init__(self, events: Events, clock: Callable[[], datetime]) -> None:
        self._events = events
        self._clock = clock

    def journal(self, case_key: str) -> list[EventLike]:
        """What is known of a case, oldest first."""
        return [event for event in self._events.events() if event.body.get("case_key") == case_key]

    def newest(self, case_key: str, journal: Sequence[EventLike]) -> Attempt | None:
        """The last one that somebody claimed."""
        newest: Attempt | None = None
        number = max((event.body["attempt"] for event in journal if "attempt" in event.body), default=1)
        while (claim := self._events.claimed(attempt_name(case_key, number))) is not None:
            newest = Attempt(number=number, claim=claim)
            number += 1
        return newest

    def confirm(self, subject: str, attempt: Attempt, *, channel: str | None, timestamp: str | None, how: str) -> None:
        body = {**attempt.claim, "channel": channel, "timestamp": timestamp, "how": how}
        self._events.record(kind=POSTED, subject=subject, body=body, now=self._clock())

    def note(self, kind: str, subject: str, attempt: Attempt, body: Mapping[str, Any]) -> None:
        facts = {"case_key": attempt.claim["case_key"], "attempt": attempt.number}
        self._events.record(kind=kind, subject=subject, body={**facts, **body}, now=self._clock())


def look_up(outlet: Outlet, attempt: Attempt) -> Found | NotFound | Unreadable:
    """What became of it, as the channel's history tells."""
    # A message that went through a webhook carries no metadata: not finding it would prove nothing.
    if outlet.can_read_history and attempt.claim["outlet"] != outlet.kind:
        detail = "The message may or may not have been taken: it went another way, of which no history can be read."
        return Unreadable(code="no_history", detail=detail, is_passing=False)
    return outlet.find(
        case_key=attempt.claim["case_key"],
        claim_id=attempt.claim["claim_id"],
        channel=attempt.claim["channel"],
        oldest=attempt.at - HISTORY_MARGIN,
    )


def last_of(events: Sequence[EventLike], *kinds: str, attempt: int | None = None) -> EventLike | None:
    """The newest event of these kinds, of this attempt where one is named."""
    for event in reversed(events):
        if event.kind in kinds and (attempt is None or event.body.get("attempt") == attempt):
            return event
    return None


def attempt_name(case_key: str, number: int) -> str:
    return f"slack.{name_in_claims(case_key)}.attempt.{number}"


def name_in_claims(case_key: str) -> str:
    """The case key as a name without separators, whatever the workload is called."""
    name = quote(case_key, safe="")
    return name if len(name) <= 150 else hashlib.sha256(case_key.encode()).hexdigest()
