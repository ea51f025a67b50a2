"""Cases that are not, or not surely, in their channel, and posts that could not be edited."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.alerts.attempts import ABSENT, HELD, REFUSED, UNCERTAIN, UPDATE_REFUSED, UPDATED
from pipeline.alerts.told import ACKNOWLEDGED, POSTED, EventLike


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
