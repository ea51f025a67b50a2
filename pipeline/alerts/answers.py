"""What people say of a case, landed: that it is known, wrong, done, or shall be quiet. Nothing is sent by it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pipeline.alerts.message import utc_text
from pipeline.alerts.sending import AlertError
from pipeline.alerts.told import (
    ACKNOWLEDGED,
    DIGESTED,
    DONE,
    OPENED,
    POSTED,
    PRINTED,
    SNOOZED,
    WRONG,
    EventLike,
    Events,
    events_by_subject,
)

_TELLING = (OPENED, PRINTED, POSTED, DIGESTED)


class Answers:
    """Recorded about a subject's newest case, named by its subject or by itself. `clock` returns an aware datetime.

    AlertError where nothing was told of it, or where a snooze would keep nothing quiet.
    """

    def __init__(self, events: Events, clock: Callable[[], datetime]) -> None:
        self._events = events
        self._clock = clock

    def acknowledge(self, case: str, *, by: str) -> EventLike:
        """Record that somebody took note of a subject's newest case: it is not announced (again)."""
        return self._say(ACKNOWLEDGED, case, {"by": by})

    def call_wrong(self, case: str, *, by: str, why: str) -> EventLike:
        """Record that somebody does not believe the figure: a case of its own, until that is done."""
        return self._say(WRONG, case, {"by": by, "why": why, "said_at": utc_text(self._clock())})

    def done(self, case: str, *, by: str) -> EventLike:
        """Record that what it recommends was carried out: it is over, and from now on what it saves is measured."""
        return self._say(DONE, case, {"by": by, "done_at": utc_text(self._clock())})

    def snooze(self, subject: str, *, until: datetime, by: str) -> EventLike:
        """Keep quiet about the subject until then. What still differs after that is announced."""
        if until.tzinfo is None:
            raise AlertError(f"Snooze until {until.isoformat()} has no time zone. Give one, for instance +00:00.")
        if until <= self._clock():
            raise AlertError(f"Snooze until {utc_text(until)} keeps nothing quiet: it is over. Name a later moment.")
        subject = self._newest_of(subject).subject
        body = {"until": utc_text(until), "by": by}
        return self._events.record(kind=SNOOZED, subject=subject, body=body, now=self._clock())

    def _say(self, kind: str, case: str, body: Mapping[str, Any]) -> EventLike:
        newest = self._newest_of(case)
        names = ("case_key", "ordinal", "state", "previous_state", "usage_date")
        facts = {name: newest.body[name] for name in names}
        facts |= {name: newest.body.get(name) for name in ("saving_rc_per_month", "pool", "team")}
        return self._events.record(kind=kind, subject=newest.subject, body={**facts, **body}, now=self._clock())

    def _newest_of(self, case: str) -> EventLike:
        """What was told last of a subject, by its name or its case's."""
        by_subject = events_by_subject(self._events.events())
        subject = _subject_of(case, by_subject)
        newest: EventLike | None = None
        for event in by_subject.get(subject, ()):
            if event.kind in _TELLING:
                newest = event if newest is None or event.body["ordinal"] >= newest.body["ordinal"] else newest
        if newest is None:
            told = [name for name, of_one in by_subject.items() if any(event.kind in _TELLING for event in of_one)]
            raise AlertError(
                f"There is no case {case!r}: no message about it was posted or printed yet. "
                f"Cases: {', '.join(sorted(told)) or 'none'}."
            )
        return newest


def _subject_of(case: str, by_subject: Mapping[str, Sequence[EventLike]]) -> str:
    """The subject that a person means by its name, or by the name of one of its cases (`...#2`)."""
    without = case.rpartition("#")[0]
    return without if case not in by_subject and without in by_subject else case
