"""Pictures of a case follow its post, in its thread, once: claimed before they are drawn, and never tried again.

So whatever becomes of them, no message is lost or said twice for them.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from pipeline.alerts.attempts import name_in_claims
from pipeline.alerts.case import Case
from pipeline.alerts.sending import AlertError, Outlet, Picture, Posted, Refused
from pipeline.alerts.told import Events

PICTURED = "picture.posted"
PICTURE_REFUSED = "picture.refused"


def no_pictures(_: Case) -> Sequence[Picture]:
    return ()


class Pictures:
    """`drawn`: those of a case; AlertError says why it cannot. `snapshot_id`: what they are drawn from."""

    def __init__(
        self,
        events: Events,
        clock: Callable[[], datetime],
        *,
        drawn: Callable[[Case], Sequence[Picture]],
        snapshot_id: str | None,
    ) -> None:
        self._events = events
        self._clock = clock
        self._drawn = drawn
        self._snapshot_id = snapshot_id

    def show(self, case: Case, outlet: Outlet, *, channel: str | None, timestamp: str | None) -> str:
        """Put a posted case's pictures into its thread, once for all runs; says what became of them."""
        if not outlet.can_show_pictures or channel is None or timestamp is None:
            return ""
        now, facts = self._clock(), {"case_key": case.key, "channel": channel, "timestamp": timestamp}
        if not self._events.claim(name=f"slack.{name_in_claims(case.key)}.pictures", body=facts, now=now):
            return ""
        try:
            pictures = self._drawn(case)
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
