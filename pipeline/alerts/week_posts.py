"""A channel's posts of one calendar week: which case has which, over all workers, and the digest of the rest."""

from collections.abc import Callable, Sequence
from datetime import datetime

from pipeline.alerts.attempts import name_in_claims
from pipeline.alerts.case import Case
from pipeline.alerts.finding import Finding
from pipeline.alerts.manners import Week, plan, week_of
from pipeline.alerts.told import POSTED, Events


class WeekPosts:
    """So many posts of the calendar week of `clock`'s now. channel: None is a webhook's."""

    def __init__(
        self, events: Events, clock: Callable[[], datetime], *, channel: str | None, posts_per_week: int
    ) -> None:
        self._events = events
        self._clock = clock
        self._week = week_of(clock())
        self._digest = f"digest:{channel or 'webhook'}"
        self._names = {
            number: f"slack.{name_in_claims(channel or 'webhook')}.week.{self._week}.{number}"
            for number in range(1, posts_per_week + 1)
        }

    def planned(self, cases: Sequence[Case]) -> Week:
        """Which of them are posted alone, which in the digest, and which wait."""
        claims = {number: self._events.claimed(name) for number, name in self._names.items()}
        slots = {number: None if claim is None else str(claim["case_key"]) for number, claim in claims.items()}
        key = f"{self._digest}#{self._week}"
        is_told = any(event.body["case_key"] == key for event in self._events.events(POSTED))
        return plan(cases, slots=slots, digest_key=key, is_digest_open=not is_told)

    def has_slot(self, case: Case) -> bool:
        """Whether one of the week's posts is this case's; a free one is taken for it, by one worker of all."""
        for name in self._names.values():
            claim = self._events.claimed(name)
            if claim is None and self._events.claim(name=name, body={"case_key": case.key}, now=self._clock()):
                return True
            if (claim or self._events.claimed(name) or {}).get("case_key") == case.key:
                return True
        return False

    def digest_of(self, cases: Sequence[Case]) -> Case:
        """Several cases as one, of the week."""
        day = max(case.usage_date for case in cases)
        about = Finding.of_several(subject=self._digest, usage_date=day, team=cases[0].team)
        return Case(
            subject=self._digest, ordinal=self._week, state="told", previous_state=None, about=about, holds=tuple(cases)
        )
