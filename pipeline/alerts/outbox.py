"""Say it once: claim, post, confirm. Everything it knows comes from landed events, so a rebuild sends nothing.

Each sending is an *attempt* with a name of its own (`slack.<case>.attempt.<n>`) that exactly one worker can claim.
A claim that was neither confirmed nor refused is *uncertain*: Slack may have taken the message. Where the channel's
history can be read it is looked up by its metadata and adopted; where it surely is not there, the next attempt is
claimed. Where history cannot be read, the outlet's `on_uncertain` decides. Promise: never lost silently, and at most
one post where history can be read, as long as no worker is suspended between claim and send for longer than `GRACE`.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal

from pipeline.alerts.attempts import (
    ABSENT,
    GRACE,
    HELD,
    REFUSED,
    UNCERTAIN,
    UPDATE_REFUSED,
    UPDATED,
    Attempt,
    Attempts,
    attempt_name,
    last_of,
    look_up,
)
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
from pipeline.alerts.manners import QuietHours
from pipeline.alerts.message import Message, message_for, utc_text
from pipeline.alerts.pictures import Pictures, no_pictures
from pipeline.alerts.sending import Found, NotFound, Outlet, Picture, Posted, Refused, Uncertain
from pipeline.alerts.told import CLOSED, DONE, KEPT_QUIET, OPENED, POSTED, PRINTED, EventLike, Events
from pipeline.alerts.week_posts import WeekPosts
from pipeline.economics.worth_saying import NO_FLOOR, Floor

# A webhook that drops every connection must not fill the channel, even where a repost is wished for.
UNCERTAIN_REPOST_LIMIT = 3
ATTEMPTS_PER_RUN = 3

OnUncertain = Literal["hold", "repost"]
Result = Literal[
    "posted", "adopted", "printed", "updated", "unchanged", "in_flight", "waiting", "uncertain", "held", "refused",
    "deferred",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one case in this run, in a sentence a person can act on."""

    case_key: str
    result: Result
    detail: str
    message: Message


def _new_claim_id() -> str:
    return uuid.uuid4().hex


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
        pictures: Callable[[Case], Sequence[Picture]] = no_pictures,
    ) -> None:
        self._events = events
        self._attempts = Attempts(events, clock)
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
        self._pictures = Pictures(events, clock, drawn=pictures, snapshot_id=snapshot_id)
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
        posts = WeekPosts(self._events, self._clock, channel=channel, posts_per_week=self._posts_per_week)
        week = posts.planned(cases)
        outcomes = [self._wait(case, "The week's posts are used up: a run of the next week") for case in week.waiting]
        for case in (*week.alone, *([posts.digest_of(week.digest)] if week.digest else ())):
            if posts.has_slot(case):
                outcomes.append(self.deliver(case))
            else:
                outcomes.append(self._wait(case, "Another worker has taken the week's last post: a later run"))
        return outcomes

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
        shown = last_of([event for event in events if event.body.get("case_key") == case.key], UPDATED, POSTED)
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

    # One step of the protocol

    def _step(self, case: Case, message: Message, outlet: Outlet) -> tuple[Outcome, int | None]:
        """The outcome, and how long to wait for another try in this run (None: no other try)."""
        now = self._clock()
        if self._events.claimed(attempt_name(case.key, 1)) is None:
            # Recorded before the claim, so that a worker killed right after it leaves a trace to follow.
            self._events.record(kind=OPENED, subject=case.subject, body=self._facts(case, message), now=now)
            return self._send(case, message, outlet, number=1)
        journal = self._attempts.journal(case.key)
        if last_of(journal, POSTED) is not None:
            return _outcome(message, "unchanged", "Posted before."), None
        attempt = self._attempts.newest(case.key, journal)
        if attempt is None:
            return _outcome(message, "in_flight", "Another worker is sending it."), None
        verdict = last_of(journal, REFUSED, ABSENT, attempt=attempt.number)
        if verdict is not None:
            not_before = verdict.body.get("not_before")
            if not_before is not None and now < datetime.fromisoformat(not_before):
                return _outcome(message, "waiting", f"The other side asked to wait until {not_before}."), None
            return self._send(case, message, outlet, number=attempt.number + 1)
        gave_up = last_of(journal, UNCERTAIN, HELD, attempt=attempt.number) is not None
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
        attempt: Attempt,
        journal: Sequence[EventLike],
        is_old: bool,
    ) -> tuple[Outcome, int | None]:
        found = look_up(outlet, attempt)
        if isinstance(found, Found):
            self._attempts.confirm(
                case.subject, attempt, channel=found.channel, timestamp=found.timestamp, how="adopted"
            )
            shown = self._pictures.show(case, outlet, channel=found.channel, timestamp=found.timestamp)
            return _outcome(message, "adopted", f"Slack had taken it: found in the channel's history.{shown}"), None
        if isinstance(found, NotFound):
            if not is_old:
                return _outcome(message, "uncertain", "Not in the channel's history yet; looked up again later."), None
            self._attempts.note(ABSENT, case.subject, attempt, {"detail": "Not in the channel's history."})
            return self._send(case, message, outlet, number=attempt.number + 1)
        if found.is_passing:
            return _outcome(message, "uncertain", found.detail), None
        uncertain_count = len({event.body["attempt"] for event in journal if event.kind in (UNCERTAIN, HELD)})
        if self._on_uncertain == "repost" and uncertain_count < UNCERTAIN_REPOST_LIMIT:
            if not is_old:
                return _outcome(message, "uncertain", f"{found.detail} It is sent again after {GRACE}."), None
            if last_of(journal, UNCERTAIN, attempt=attempt.number) is None:
                self._attempts.note(
                    UNCERTAIN, case.subject, attempt, {"code": "no_confirm", "detail": "The worker stopped."}
                )
            return self._send(case, message, outlet, number=attempt.number + 1)
        setting = "slack.on_uncertain: repost"
        if not outlet.kind.startswith("slack"):
            setting = "on_uncertain: repost on that outlet of breakeven.yaml"
        detail = f"{found.detail} Look there. If it did not arrive, set {setting} and run again."
        if last_of(journal, HELD, attempt=attempt.number) is None:
            self._attempts.note(HELD, case.subject, attempt, {"code": found.code, "detail": detail})
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
        if not self._events.claim(name=attempt_name(case.key, number), body=claim, now=now):
            return _outcome(message, "in_flight", "Another worker is sending it."), None
        attempt = Attempt(number=number, claim=claim)
        if self._clock() - now >= GRACE / 2:
            detail = "This worker was suspended after its claim and did not send."
            self._attempts.note(REFUSED, case.subject, attempt, {"code": "suspended", "detail": detail})
            return _outcome(message, "refused", detail), 0
        answer = outlet.post(message=message, claim_id=claim["claim_id"], channel=claim["channel"])
        if isinstance(answer, Posted):
            self._attempts.confirm(
                case.subject, attempt, channel=answer.channel, timestamp=answer.timestamp, how="posted"
            )
            shown = self._pictures.show(case, outlet, channel=answer.channel, timestamp=answer.timestamp)
            return _outcome(message, "posted", f"Posted.{shown} {answer.detail}".rstrip()), None
        if isinstance(answer, Uncertain):
            self._attempts.note(UNCERTAIN, case.subject, attempt, {"code": answer.code, "detail": answer.detail})
            journal = self._attempts.journal(case.key)
            return self._reconcile(case, message, outlet, attempt=attempt, journal=journal, is_old=False)
        body: dict[str, Any] = {"code": answer.code, "detail": answer.detail}
        wait_seconds = answer.retry_after_seconds
        if wait_seconds is not None:
            body["not_before"] = utc_text(self._clock() + timedelta(seconds=wait_seconds))
        self._attempts.note(REFUSED, case.subject, attempt, body)
        if answer.is_channel_wide:
            self._refusals[claim["channel"]] = answer
        elif answer.is_outlet_wide or (wait_seconds is not None and wait_seconds > self._wait_left):
            self._refusals[None] = answer
        return _outcome(message, "refused", answer.detail), wait_seconds

    def _update(self, case: Case, outlet: Outlet, events: Sequence[EventLike]) -> Outcome | None:
        """Edit the case's post where its text moved on. None: nothing to say."""
        journal = [event for event in events if event.body.get("case_key") == case.key]
        posted = last_of(journal, POSTED)
        if posted is None or posted.body["timestamp"] is None or posted.body["outlet"] != outlet.kind:
            return None
        message = self._message(case)
        shown = last_of(journal, UPDATED) or posted
        if shown.body["text_hash"] == message.text_hash:
            return None
        known = self._refusal_of(posted.body["channel"])
        if known is not None:
            return _outcome(message, "deferred", f"Not edited: {known.detail}")
        refusal = last_of(journal, UPDATE_REFUSED)
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
        printed = [event.body for event in self._attempts.journal(case.key) if event.kind == PRINTED]
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
            attempt = self._attempts.newest(case_key, journal)
            if attempt is None:
                continue
            if last_of(journal, REFUSED, ABSENT, attempt=attempt.number) is not None:
                continue
            gave_up = last_of(journal, UNCERTAIN, HELD, attempt=attempt.number) is not None
            is_old = self._clock() - attempt.at >= GRACE
            if not gave_up and not is_old:
                continue
            found = look_up(outlet, attempt)
            if isinstance(found, Found):
                self._attempts.confirm(
                    subject, attempt, channel=found.channel, timestamp=found.timestamp, how="adopted"
                )
            elif isinstance(found, NotFound) and is_old:
                self._attempts.note(ABSENT, subject, attempt, {"detail": "Not in the channel's history."})

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


def _was_edited_since_done(case_key: str, events: Sequence[EventLike]) -> bool:
    """Whether the post says that it is done: then its figures stay as they were."""
    for event in reversed(events):
        if event.body.get("case_key") == case_key and event.kind in (DONE, UPDATED):
            return event.kind == UPDATED
    return False


def _outcome(message: Message, result: Result, detail: str) -> Outcome:
    return Outcome(case_key=message.case_key, result=result, detail=detail, message=message)
