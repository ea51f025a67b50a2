"""What one outlet knows: its own messages, and what people said. So each outlet says each case once, by itself.

Slack's events came first and name no outlet; those of any other name it in `to`, and its claims begin with its name.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pipeline.alerts.told import ACKNOWLEDGED, DONE, SNOOZED, WRONG, EventLike, Events

_SAID_BY_PEOPLE = frozenset({ACKNOWLEDGED, DONE, SNOOZED, WRONG})


class OutletEvents:
    """Landing's events as one outlet sees them. `name`: None is Slack."""

    def __init__(self, events: Events, *, name: str | None) -> None:
        self._events = events
        self._name = name

    def claim(self, *, name: str, body: Mapping[str, Any], now: datetime) -> bool:
        return self._events.claim(name=self._claim(name), body=body, now=now)

    def claimed(self, name: str) -> Mapping[str, Any] | None:
        return self._events.claimed(self._claim(name))

    def record(self, *, kind: str, subject: str, body: Mapping[str, Any], now: datetime) -> EventLike:
        to = {} if self._name is None else {"to": self._name}
        return self._events.record(kind=kind, subject=subject, body={**body, **to}, now=now)

    def events(self, kind: str | None = None) -> Sequence[EventLike]:
        return [
            event
            for event in self._events.events(kind)
            if event.kind in _SAID_BY_PEOPLE or event.body.get("to") == self._name
        ]

    def _claim(self, name: str) -> str:
        return name if self._name is None else f"to.{self._name}.{name}"
