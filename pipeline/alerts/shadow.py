"""Whether anything is posted at all: until somebody enabled it, messages are kept and shown to whoever runs it.

An installation that has posted before it could be asked goes on: it would fall silent otherwise, and nobody would know.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.alerts.told import OPENED, POSTED, EventLike

ENABLED = "alerts.enabled"
DISABLED = "alerts.disabled"
SUBJECT = "alerts"


@dataclass(frozen=True, kw_only=True)
class Speaking:
    """Whether messages are posted. `by`: who said so last; None where nobody did."""

    is_enabled: bool
    by: str | None = None

    @property
    def in_words(self) -> str:
        if self.by is None:
            return (
                "posted: they were before it could be asked" if self.is_enabled else "not posted: nobody has enabled it"
            )
        return f"{'enabled' if self.is_enabled else 'disabled'} by {self.by}"


def speaking(events: Sequence[EventLike]) -> Speaking:
    """What was said last of it, of events in landed order; else whether anything was ever sent to a channel."""
    for event in reversed(events):
        if event.kind in (ENABLED, DISABLED):
            return Speaking(is_enabled=event.kind == ENABLED, by=str(event.body.get("by")))
    # `case.opened` is written only where there is an outlet.
    return Speaking(is_enabled=any(event.kind in (OPENED, POSTED) for event in events))
