"""Say it once: claim, post, confirm. Everything it knows comes from landed events, so a rebuild sends nothing.

Each sending is an *attempt* with a name of its own (`slack.<case>.attempt.<n>`) that exactly one worker can claim.
A claim that was neither confirmed nor refused is *uncertain*: Slack may have taken the message. Where the channel's
history can be read it is looked up by its metadata and adopted; where it surely is not there, the next attempt is
claimed. Where history cannot be read, the outlet's `on_uncertain` decides. Promise: never lost silently, and at most
one post where history can be read, as long as no worker is suspended between claim and send for longer than `GRACE`.

Pictures of a case follow its post, in its thread, once: they are claimed before they are drawn and never tried again,
so that whatever becomes of them, no message is lost or said twice for them.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal, Protocol
from urllib.parse import quote

from pipeline.alerts.case import (
    NOTHING_RANKED,
    AlertRow,
    Case,
    Ranked,
    VerdictRow,
    cases_to_announce,
    cases_to_update,
)
from pipeline.alerts.finding import Finding
from pipeline.alerts.manners import QuietHours, plan, week_of
from pipeline.alerts.message import Message, message_for, utc_text
from pipeline.alerts.sending import AlertError, Found, NotFound, Outlet, Picture, Posted, Refused, Uncertain, Unreadable
from pipeline.alerts.told import (
    ACKNOWLEDGED,
    CLOSED,
    DIGESTED,
    DONE,
    KEPT_QUIET,
    OPENED,
    POSTED,
    PRINTED,
    SNOOZED,
    WRONG,
    EventLike,
    events_by_subject,
)
from pipeline.economics.worth_saying import NO_FLOOR, Floor

REFUSED = "message.refused"
UNCERTAIN = "message.uncertain"
ABSENT = "message.absent"
HELD = "message.held"
UPDATED = "message.updated"
UPDATE_REFUSED = "message.update_refused"
PICTURED = "picture.posted"
PICTURE_REFUSED = "picture.refused"

# Longer than any HTTP timeout and clock difference: within it another worker may still be sending.
GRACE = timedelta(minutes=10)
# History is read from a little before the claim: the two clocks are not the same.
HISTORY_MARGIN = timedelta(hours=1)
# A webhook that drops every connection must not fill the channel, even where a repost is wished for.
UNCERTAIN_REPOST_LIMIT = 3
ATTEMPTS_PER_RUN = 3

_TELLING = (OPENED, PRINTED, POSTED, DIGESTED)

OnUncertain = Literal["hold", "repost"]
Result = Literal[
    "posted", "adopted", "printed", "updated", "unchanged", "in_flight", "waiting", "uncertain", "held", "refused",
    "deferred",
]  # fmt: skip


class Events(Protocol):
    """The part of landing's events that the outbox needs (pipeline/landing/events.py)."""

    def claim(self, *, name: str, body: Mapping[str, Any], now: datetime) -> bool: ...
    def claimed(self, name: str) -> Mapping[str, Any] | None: ...
    def record(self, *, kind: str, subject: str, body: Mapping[str, Any], now: datetime) -> EventLike: ...
    def events(self, kind: str | None = None) -> Sequence[EventLike]: ...


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one case in this run, in a sentence a person can act on."""

    case_key: str
    result: Result
    detail: str
    message: Message


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A case that somebody should know is not, or not surely, in the channel. `to`: an outlet's name; None is Slack."""

    case_key: str
    kind: str
    code: str
    detail: str
    at: str
    to: str | None = None

    @property
    def in_words(self) -> str:
        return f"{self.case_key}{'' if self.to is None else f' to {self.to}'}: {self.detail}"


@dataclass(frozen=True)
class _Attempt:
    number: int
    claim: Mapping[str, Any]

    @property
    def at(self) -> datetime:
        return datetime.fromisoformat(self.claim["claimed_at"])


def _new_claim_id() -> str:
    return uuid.uuid4().hex


def _no_pictures(_: Case) -> Sequence[Picture]:
    return ()


class Outbox:
    """Delivers cases to one outlet. `outlet=None` prints: the message is stored, nothing is claimed as posted, and
    `why_printed` says why.

    `clock` returns an aware datetime; `sleep` waits for a Retry-After of at most `wait_limit` in all of a run.
    `floor`: what is worth a post. `posts_per_week`: so many a channel and calendar week, the last one a digest where
    they are more; None counts none. `channels`: team -> channel, else the outlet's. `quiet`: when nothing but what is
    urgent is posted.
    `has_buttons`: somebody listens to them (`breakeven alerts listen`).
    `snapshot_id`: what the messages are made from: events name it, so that it is kept. `pictures` draws those of a case
    once its message is posted; AlertError says why it cannot.
    """

    def __init__(
        self,
        *,
        events: Events,
        outlet: Outlet | None,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        company: str,
        currency: str,
        on_uncertain: OnUncertain = "hold",
        wait_limit: timedelta = timedelta(seconds=60),
        new_claim_id: Callable[[], str] = _new_claim_id,
        snapshot_id: str | None = None,
        why_printed: str = "No Slack token",
        has_buttons: bool = False,
        floor: Floor = NO_FLOOR,
        posts_per_week: int | None = None,
        channels: Mapping[str, str] = MappingProxyType({}),
        quiet: QuietHours | None = None,
        pictures: Callable[[Case], Sequence[Picture]] = _no_pictures,
    ) -> None:
        self._events = events
        self._outlet = outlet
        self._clock = clock
        self._sleep = sleep
        self._company = company
        self._currency = currency
        self._on_uncertain = on_uncertain
        self._wait_left = wait_limit.total_seconds()
        self._new_claim_id = new_claim_id
        self._snapshot_id = snapshot_id
        self._why_printed = why_printed
        self._has_buttons = has_buttons
        self._floor = floor
        self._posts_per_week = posts_per_week
        self._channels = channels
        self._quiet = quiet
        self._pictures = pictures
        # By channel; None: of all of them.
        self._refusals: dict[str | None, Refused] = {}

    def announce(
        self,
        *,
        verdicts: Iterable[VerdictRow],
        alerts: Iterable[AlertRow],
        findings: Iterable[Finding] = (),
        ranked: Ranked = NOTHING_RANKED,
    ) -> list[Outcome]:
        """Adopt what is uncertain, post the cases that are new, edit the posts whose facts moved. Order of subject.

        ranked: per deployment, all that could be done about its GPUs, best first.
        """
        found: dict[str, Any] = {"verdicts": list(verdicts), "alerts": list(alerts), "findings": list(findings)}
        found |= {"floor": self._floor, "ranked": ranked, "now": self._clock()}
        self._adopt_pending()
        new = cases_to_announce(**found, events=self._events.events())
        outcomes = [self.deliver(case) for case in new] if self._outlet is None else self._post(new, self._outlet)
        events = self._events.events()
        announced = {case.key for case in new}
        for case in cases_to_update(**found, events=events):
            outcome = None if case.key in announced else self._follow(case, events)
            if outcome is not None:
                outcomes.append(outcome)
        return outcomes

    def _post(self, new: Sequence[Case], outlet: Outlet) -> list[Outcome]:
        """What may be posted now is; the rest waits, or is told in the week's digest."""
        quiet_until = None if self._quiet is None else self._quiet.until(self._clock())
        outcomes: list[Outcome] = []
        by_channel: dict[str | None, list[Case]] = {}
        for case in new:
            if case.is_urgent:
                outcomes.append(self.deliver(case))
            elif quiet_until is not None:
                why = f"Quiet hours until {quiet_until:%Y-%m-%d %H:%M} UTC: a run after that"
                self._keep_quiet(case, quiet_until)
                outcomes.append(self._wait(case, why))
            else:
                by_channel.setdefault(self._channel_of(case, outlet), []).append(case)
        for channel, cases in sorted(by_channel.items(), key=lambda one: one[0] or ""):
            outcomes += self._post_within_the_week(cases, channel)
        return sorted(outcomes, key=lambda outcome: outcome.case_key)

    def _post_within_the_week(self, cases: Sequence[Case], channel: str | None) -> list[Outcome]:
        if self._posts_per_week is None:
            return [self.deliver(case) for case in cases]
        now = self._clock()
        names = {number: _slot_name(channel, week_of(now), number) for number in range(1, self._posts_per_week + 1)}
        claims = {number: self._events.claimed(name) for number, name in names.items()}
        slots = {number: None if claim is None else str(claim["case_key"]) for number, claim in claims.items()}
        digest = _digest_subject(channel)
        key = f"{digest}#{week_of(now)}"
        is_told = any(event.body["case_key"] == key for event in self._events.events(POSTED))
        week = plan(cases, slots=slots, digest_key=key, is_digest_open=not is_told)
        outcomes = [self._wait(case, "The week's posts are used up: a run of the next week") for case in week.waiting]
        for case in (*week.alone, *([_digest_of(week.digest, digest, week_of(now))] if week.digest else ())):
            if self._has_slot(case, names):
                outcomes.append(self.deliver(case))
            else:
                outcomes.append(self._wait(case, "Another worker has taken the week's last post: a later run"))
        return outcomes

    def _has_slot(self, case: Case, names: Mapping[int, str]) -> bool:
        """Whether one of the week's posts is this case's; a free one is taken for it, by one worker of all."""
        for name in names.values():
            claim = self._events.claimed(name)
            if claim is None and self._events.claim(name=name, body={"case_key": case.key}, now=self._clock()):
                return True
            if (claim or self._events.claimed(name) or {}).get("case_key") == case.key:
                return True
        return False

    def _wait(self, case: Case, why: str) -> Outcome:
        message = self._message(case)
        return _outcome(message, "deferred", f"{why} posts it, if it still holds.")

    def _keep_quiet(self, case: Case, until: datetime) -> None:
        """Leave a trace, once a day: where every run is in quiet hours nobody is ever told."""
        now = self._clock()
        day = now.astimezone(UTC).date().isoformat()
        before = {event.body["day"] for event in self._events.events(KEPT_QUIET) if event.body["case_key"] == case.key}
        if day not in before:
            body = {"case_key": case.key, "ordinal": case.ordinal, "day": day, "until": utc_text(until)}
            self._events.record(kind=KEPT_QUIET, subject=case.subject, body=body, now=now)

    def _channel_of(self, case: Case, outlet: Outlet) -> str | None:
        if outlet.channel is None or case.team is None:
            return outlet.channel
        return self._channels.get(case.team, outlet.channel)

    def _refusal_of(self, channel: str | None) -> Refused | None:
        return self._refusals.get(None) or self._refusals.get(channel)

    def _follow(self, case: Case, events: Sequence[EventLike]) -> Outcome | None:
        """Edit what was posted of a case, and end it where it is over. None: nothing to say."""
        shown = _last([event for event in events if event.body.get("case_key") == case.key], UPDATED, POSTED)
        if shown is not None and case.usage_date < date.fromisoformat(shown.body["usage_date"]):
            return None  # An older snapshot than the one that spoke last.
        if case.done_by and _was_edited_since_done(case.key, events):
            return None
        outcome = None if self._outlet is None or not case.is_posted else self._update(case, self._outlet, events)
        if case.is_over and not case.done_by and (outcome is None or outcome.result == "updated"):
            body = {"case_key": case.key, "ordinal": case.ordinal, "previous_state": case.previous_state}
            body["usage_date"] = case.usage_date.isoformat()
            self._events.record(kind=CLOSED, subject=case.subject, body=body, now=self._clock())
        return outcome

    def deliver(self, case: Case) -> Outcome:
        """Post one case at most once."""
        message = self._message(case)
        if self._outlet is None:
            return self._print(case, message)
        outcome = _outcome(message, "deferred", "Not sent.")
        for _ in range(ATTEMPTS_PER_RUN):
            refusal = self._refusal_of(self._channel_of(case, self._outlet))
            if refusal is not None:
                return _outcome(message, "deferred", f"Not sent: {refusal.detail}")
            outcome, wait_seconds = self._step(case, message, self._outlet)
            if wait_seconds is None or wait_seconds > self._wait_left:
                return outcome
            self._wait_left -= wait_seconds
            self._sleep(wait_seconds)
        return outcome

    def _message(self, case: Case) -> Message:
        return message_for(case, currency=self._currency, company=self._company, has_buttons=self._has_buttons)

    def acknowledge(self, case: str, *, by: str) -> EventLike:
        """Record that somebody took note of a subject's newest case: it is not announced (again)."""
        return self._say(ACKNOWLEDGED, case, {"by": by})

    def call_wrong(self, case: str, *, by: str, why: str) -> EventLike:
        """Record that somebody does not believe the figure: a case of its own, until that is done."""
        return self._say(WRONG, case, {"by": by, "why": why, "said_at": utc_text(self._clock())})

    def done(self, case: str, *, by: str) -> EventLike:
        """Record that what it recommends was carried out: it is over, and from now on what it saves is measured."""
        return self._say(DONE, case, {"by": by, "done_at": utc_text(self._clock())})

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

    def snooze(self, subject: str, *, until: datetime, by: str) -> EventLike:
        """Keep quiet about the subject until then. What still differs after that is announced."""
        if until.tzinfo is None:
            raise AlertError(f"Snooze until {until.isoformat()} has no time zone. Give one, for instance +00:00.")
        if until <= self._clock():
            raise AlertError(f"Snooze until {utc_text(until)} keeps nothing quiet: it is over. Name a later moment.")
        subject = self._newest_of(subject).subject
        body = {"until": utc_text(until), "by": by}
        return self._events.record(kind=SNOOZED, subject=subject, body=body, now=self._clock())

    # One step of the protocol

    def _step(self, case: Case, message: Message, outlet: Outlet) -> tuple[Outcome, int | None]:
        """The outcome, and how long to wait for another try in this run (None: no other try)."""
        now = self._clock()
        if self._events.claimed(_attempt_name(case.key, 1)) is None:
            # Recorded before the claim, so that a worker killed right after it leaves a trace to follow.
            self._events.record(kind=OPENED, subject=case.subject, body=self._facts(case, message), now=now)
            return self._send(case, message, outlet, number=1)
        journal = self._journal(case.key)
        if _last(journal, POSTED) is not None:
            return _outcome(message, "unchanged", "Posted before."), None
        attempt = self._newest_attempt(case.key, journal)
        if attempt is None:
            return _outcome(message, "in_flight", "Another worker is sending it."), None
        verdict = _last(journal, REFUSED, ABSENT, attempt=attempt.number)
        if verdict is not None:
            not_before = verdict.body.get("not_before")
            if not_before is not None and now < datetime.fromisoformat(not_before):
                return _outcome(message, "waiting", f"The other side asked to wait until {not_before}."), None
            return self._send(case, message, outlet, number=attempt.number + 1)
        gave_up = _last(journal, UNCERTAIN, HELD, attempt=attempt.number) is not None
        is_old = now - attempt.at >= GRACE
        if not gave_up and not is_old:
            return _outcome(message, "in_flight", "Another worker is sending it."), None
        return self._reconcile(case, message, outlet, attempt=attempt, journal=journal, is_old=is_old)

    def _reconcile(
        self,
        case: Case,
        message: Message,
        outlet: Outlet,
        *,
        attempt: _Attempt,
        journal: Sequence[EventLike],
        is_old: bool,
    ) -> tuple[Outcome, int | None]:
        found = _look_up(outlet, attempt)
        if isinstance(found, Found):
            self._confirm(case.subject, attempt, channel=found.channel, timestamp=found.timestamp, how="adopted")
            shown = self._show(case, outlet, channel=found.channel, timestamp=found.timestamp)
            return _outcome(message, "adopted", f"Slack had taken it: found in the channel's history.{shown}"), None
        if isinstance(found, NotFound):
            if not is_old:
                return _outcome(message, "uncertain", "Not in the channel's history yet; looked up again later."), None
            self._note(ABSENT, case.subject, attempt, {"detail": "Not in the channel's history."})
            return self._send(case, message, outlet, number=attempt.number + 1)
        if found.is_passing:
            return _outcome(message, "uncertain", found.detail), None
        uncertain_count = len({event.body["attempt"] for event in journal if event.kind in (UNCERTAIN, HELD)})
        if self._on_uncertain == "repost" and uncertain_count < UNCERTAIN_REPOST_LIMIT:
            if not is_old:
                return _outcome(message, "uncertain", f"{found.detail} It is sent again after {GRACE}."), None
            if _last(journal, UNCERTAIN, attempt=attempt.number) is None:
                self._note(UNCERTAIN, case.subject, attempt, {"code": "no_confirm", "detail": "The worker stopped."})
            return self._send(case, message, outlet, number=attempt.number + 1)
        setting = "slack.on_uncertain: repost"
        if not outlet.kind.startswith("slack"):
            setting = "on_uncertain: repost on that outlet of breakeven.yaml"
        detail = f"{found.detail} Look there. If it did not arrive, set {setting} and run again."
        if _last(journal, HELD, attempt=attempt.number) is None:
            self._note(HELD, case.subject, attempt, {"code": found.code, "detail": detail})
        return _outcome(message, "held", detail), None

    def _send(self, case: Case, message: Message, outlet: Outlet, *, number: int) -> tuple[Outcome, int | None]:
        now = self._clock()
        claim = {
            **self._facts(case, message),
            "attempt": number,
            "claim_id": self._new_claim_id(),
            "claimed_at": utc_text(now),
            "outlet": outlet.kind,
            "channel": self._channel_of(case, outlet),
        }
        if not self._events.claim(name=_attempt_name(case.key, number), body=claim, now=now):
            return _outcome(message, "in_flight", "Another worker is sending it."), None
        attempt = _Attempt(number=number, claim=claim)
        if self._clock() - now >= GRACE / 2:
            detail = "This worker was suspended after its claim and did not send."
            self._note(REFUSED, case.subject, attempt, {"code": "suspended", "detail": detail})
            return _outcome(message, "refused", detail), 0
        answer = outlet.post(message=message, claim_id=claim["claim_id"], channel=claim["channel"])
        if isinstance(answer, Posted):
            self._confirm(case.subject, attempt, channel=answer.channel, timestamp=answer.timestamp, how="posted")
            shown = self._show(case, outlet, channel=answer.channel, timestamp=answer.timestamp)
            return _outcome(message, "posted", f"Posted.{shown} {answer.detail}".rstrip()), None
        if isinstance(answer, Uncertain):
            self._note(UNCERTAIN, case.subject, attempt, {"code": answer.code, "detail": answer.detail})
            journal = self._journal(case.key)
            return self._reconcile(case, message, outlet, attempt=attempt, journal=journal, is_old=False)
        body: dict[str, Any] = {"code": answer.code, "detail": answer.detail}
        wait_seconds = answer.retry_after_seconds
        if wait_seconds is not None:
            body["not_before"] = utc_text(self._clock() + timedelta(seconds=wait_seconds))
        self._note(REFUSED, case.subject, attempt, body)
        if answer.is_channel_wide:
            self._refusals[claim["channel"]] = answer
        elif answer.is_outlet_wide or (wait_seconds is not None and wait_seconds > self._wait_left):
            self._refusals[None] = answer
        return _outcome(message, "refused", answer.detail), wait_seconds

    def _show(self, case: Case, outlet: Outlet, *, channel: str | None, timestamp: str | None) -> str:
        """Put a posted case's pictures into its thread, once for all runs; says what became of them."""
        if not outlet.can_show_pictures or channel is None or timestamp is None:
            return ""
        now, facts = self._clock(), {"case_key": case.key, "channel": channel, "timestamp": timestamp}
        if not self._events.claim(name=f"slack.{_name_of(case.key)}.pictures", body=facts, now=now):
            return ""
        try:
            pictures = self._pictures(case)
            if not pictures:
                return ""
            answer = outlet.show(pictures=pictures, channel=channel, timestamp=timestamp)
        except AlertError as error:
            answer = Refused(code="not_drawn", detail=str(error))
        if isinstance(answer, Posted):
            said = {"pictures": [picture.name for picture in pictures], "snapshot_id": self._snapshot_id}
            self._events.record(kind=PICTURED, subject=case.subject, body={**facts, **said}, now=self._clock())
            return " Its pictures are in its thread."
        body = {**facts, "code": answer.code, "detail": answer.detail}
        self._events.record(kind=PICTURE_REFUSED, subject=case.subject, body=body, now=self._clock())
        return f" Without its pictures: {answer.detail}"

    def _update(self, case: Case, outlet: Outlet, events: Sequence[EventLike]) -> Outcome | None:
        """Edit the case's post where its text moved on. None: nothing to say."""
        journal = [event for event in events if event.body.get("case_key") == case.key]
        posted = _last(journal, POSTED)
        if posted is None or posted.body["timestamp"] is None or posted.body["outlet"] != outlet.kind:
            return None
        message = self._message(case)
        shown = _last(journal, UPDATED) or posted
        if shown.body["text_hash"] == message.text_hash:
            return None
        known = self._refusal_of(posted.body["channel"])
        if known is not None:
            return _outcome(message, "deferred", f"Not edited: {known.detail}")
        refusal = _last(journal, UPDATE_REFUSED)
        if refusal is not None and refusal.body["is_final"]:
            return None
        channel, timestamp = posted.body["channel"], posted.body["timestamp"]
        answer = outlet.update(message=message, claim_id=posted.body["claim_id"], channel=channel, timestamp=timestamp)
        facts = {**self._facts(case, message), "channel": channel, "timestamp": timestamp}
        if isinstance(answer, Posted):
            self._events.record(kind=UPDATED, subject=case.subject, body=facts, now=self._clock())
            return _outcome(message, "updated", "The post was edited: same state, newer facts.")
        # An edit that may or may not have been taken is simply made again: it is the same text.
        is_wide = isinstance(answer, Refused) and (answer.is_outlet_wide or answer.is_channel_wide)
        is_final = isinstance(answer, Refused) and not is_wide and answer.retry_after_seconds is None
        if isinstance(answer, Refused) and is_wide:
            self._refusals[channel if answer.is_channel_wide else None] = answer
        body = {**facts, "code": answer.code, "detail": answer.detail, "is_final": is_final}
        if refusal is None or refusal.body["code"] != answer.code:
            self._events.record(kind=UPDATE_REFUSED, subject=case.subject, body=body, now=self._clock())
        return _outcome(message, "refused", answer.detail)

    def _print(self, case: Case, message: Message) -> Outcome:
        printed = [event.body for event in self._journal(case.key) if event.kind == PRINTED]
        # Figures move every day; who reads them each morning is told again when something else is to be done.
        last = printed[-1] if printed else {}
        if last.get("gist") != case.gist and last.get("text_hash") != message.text_hash:
            body = {**self._facts(case, message), "plain": message.plain, "gist": case.gist}
            self._events.record(kind=PRINTED, subject=case.subject, body=body, now=self._clock())
        return _outcome(message, "printed", f"{self._why_printed}: printed and stored, not posted.")

    # What is known

    def _adopt_pending(self) -> None:
        """Find posts that were taken without a confirm, also those whose state no longer holds."""
        outlet = self._outlet
        if outlet is None or not outlet.can_read_history:
            return
        events = self._events.events()
        posted = {event.body["case_key"] for event in events if event.kind == POSTED}
        opened = {event.body["case_key"]: event.subject for event in events if event.kind == OPENED}
        for case_key, subject in sorted(opened.items()):
            if case_key in posted:
                continue
            journal = [event for event in events if event.body.get("case_key") == case_key]
            attempt = self._newest_attempt(case_key, journal)
            if attempt is None:
                continue
            if _last(journal, REFUSED, ABSENT, attempt=attempt.number) is not None:
                continue
            gave_up = _last(journal, UNCERTAIN, HELD, attempt=attempt.number) is not None
            is_old = self._clock() - attempt.at >= GRACE
            if not gave_up and not is_old:
                continue
            found = _look_up(outlet, attempt)
            if isinstance(found, Found):
                self._confirm(subject, attempt, channel=found.channel, timestamp=found.timestamp, how="adopted")
            elif isinstance(found, NotFound) and is_old:
                self._note(ABSENT, subject, attempt, {"detail": "Not in the channel's history."})

    def _newest_attempt(self, case_key: str, journal: Sequence[EventLike]) -> _Attempt | None:
        newest: _Attempt | None = None
        number = max((event.body["attempt"] for event in journal if "attempt" in event.body), default=1)
        while (claim := self._events.claimed(_attempt_name(case_key, number))) is not None:
            newest = _Attempt(number=number, claim=claim)
            number += 1
        return newest

    def _journal(self, case_key: str) -> list[EventLike]:
        return [event for event in self._events.events() if event.body.get("case_key") == case_key]

    def _facts(self, case: Case, message: Message) -> dict[str, Any]:
        """What every event of a sending says of it; of a digest also what it says of each case."""
        held = {"cases": [{"subject": one.subject, **self._facts(one, message)} for one in case.holds]}
        return {
            **(held if case.holds else {}),
            "case_key": case.key,
            "ordinal": case.ordinal,
            "state": case.state,
            "previous_state": case.previous_state,
            "usage_date": case.usage_date.isoformat(),
            "pool": case.pool,
            "team": case.team,
            "saving_rc_per_month": None if case.saving_rc_per_month is None else str(case.saving_rc_per_month),
            "text_hash": message.text_hash,
            "snapshot_id": self._snapshot_id,
        }

    def _confirm(
        self, subject: str, attempt: _Attempt, *, channel: str | None, timestamp: str | None, how: str
    ) -> None:
        body = {**attempt.claim, "channel": channel, "timestamp": timestamp, "how": how}
        self._events.record(kind=POSTED, subject=subject, body=body, now=self._clock())

    def _note(self, kind: str, subject: str, attempt: _Attempt, body: Mapping[str, Any]) -> None:
        facts = {"case_key": attempt.claim["case_key"], "attempt": attempt.number}
        self._events.record(kind=kind, subject=subject, body={**facts, **body}, now=self._clock())


def open_problems(events: Sequence[EventLike]) -> list[Problem]:
    """What `breakeven status` shows: cases refused, uncertain or held, and posts that could not be edited."""
    posted = {_where(event) for event in events if event.kind == POSTED}
    settled = {event.body["case_key"] for event in events if event.kind == ACKNOWLEDGED}
    problems: dict[tuple[str, str], Problem] = {}
    for event in events:
        case_key = event.body.get("case_key")
        if case_key is None:
            continue
        key = _where(event)
        is_send = event.kind in (REFUSED, UNCERTAIN, HELD) and key not in posted and case_key not in settled
        if is_send or event.kind == UPDATE_REFUSED:
            at = getattr(event, "at", None)
            problems[key] = Problem(
                case_key=case_key,
                to=event.body.get("to"),
                kind=event.kind,
                code=event.body.get("code", ""),
                detail=event.body.get("detail", ""),
                at=at.astimezone(UTC).isoformat() if isinstance(at, datetime) else "",
            )
        elif event.kind == UPDATED or (event.kind == ABSENT and key not in posted):
            problems.pop(key, None)
    return [problem for _, problem in sorted(problems.items())]


def _where(event: EventLike) -> tuple[str, str]:
    """A case, and the outlet that it is told to: "" is Slack."""
    return event.body["case_key"], event.body.get("to") or ""


def _subject_of(case: str, by_subject: Mapping[str, Sequence[EventLike]]) -> str:
    """The subject that a person means by its name, or by the name of one of its cases (`...#2`)."""
    without = case.rpartition("#")[0]
    return without if case not in by_subject and without in by_subject else case


def _was_edited_since_done(case_key: str, events: Sequence[EventLike]) -> bool:
    """Whether the post says that it is done: then its figures stay as they were."""
    for event in reversed(events):
        if event.body.get("case_key") == case_key and event.kind in (DONE, UPDATED):
            return event.kind == UPDATED
    return False


def _digest_subject(channel: str | None) -> str:
    return f"digest:{channel or 'webhook'}"


def _digest_of(cases: Sequence[Case], subject: str, week: int) -> Case:
    """Several cases as one, of the week."""
    day = max(case.usage_date for case in cases)
    about = Finding.of_several(subject=subject, usage_date=day, team=cases[0].team)
    return Case(subject=subject, ordinal=week, state="told", previous_state=None, about=about, holds=tuple(cases))


def _slot_name(channel: str | None, week: int, number: int) -> str:
    return f"slack.{_name_of(channel or 'webhook')}.week.{week}.{number}"


def _attempt_name(case_key: str, number: int) -> str:
    return f"slack.{_name_of(case_key)}.attempt.{number}"


def _name_of(case_key: str) -> str:
    """The case key as a name without separators, whatever the workload is called."""
    name = quote(case_key, safe="")
    return name if len(name) <= 150 else hashlib.sha256(case_key.encode()).hexdigest()


def _look_up(outlet: Outlet, attempt: _Attempt) -> Found | NotFound | Unreadable:
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


def _last(events: Sequence[EventLike], *kinds: str, attempt: int | None = None) -> EventLike | None:
    for event in reversed(events):
        if event.kind in kinds and (attempt is None or event.body.get("attempt") == attempt):
            return event
    return None


def _outcome(message: Message, result: Result, detail: str) -> Outcome:
    return Outcome(case_key=message.case_key, result=result, detail=detail, message=message)
