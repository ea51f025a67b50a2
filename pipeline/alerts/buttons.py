"""The verbs as buttons under a post, and what a press of one says. Pure: slack.py shows and hears them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from pipeline.alerts.text import inert, utf16_units

_PREFIX = "breakeven."
ACK, SNOOZE, WRONG, DONE = "ack", "snooze", "wrong", "done"
_LABELS: Mapping[str, str] = {ACK: "Acknowledge", WRONG: "Wrong number", DONE: "Done"}
# A block's id holds the case, so that a date picker, which has no value, knows it too (Slack: at most 255 characters).
_CASE_PREFIX = "case:"
_BLOCK_ID_LIMIT = 255


@dataclass(frozen=True, kw_only=True)
class Pressed:
    """What somebody chose. `until`: of a snooze, when the chosen day begins in UTC."""

    verb: str
    case_key: str
    by: str
    until: datetime | None = None


def buttons_of(case_key: str) -> Mapping[str, Any] | None:
    """An actions block for a case; None where its name is too long for Slack to give back."""
    block_id = f"{_CASE_PREFIX}{case_key}"
    if utf16_units(block_id) > _BLOCK_ID_LIMIT:
        return None
    elements: list[Mapping[str, Any]] = [
        {"type": "button", "action_id": f"{_PREFIX}{verb}", "text": _plain(label)} for verb, label in _LABELS.items()
    ]
    picker = {"type": "datepicker", "action_id": f"{_PREFIX}{SNOOZE}"}
    elements.append({**picker, "placeholder": _plain("Snooze until")})
    return {"type": "actions", "block_id": block_id, "elements": elements}


def _plain(text: str) -> Mapping[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def pressed(payload: Mapping[str, Any]) -> list[Pressed]:
    """What a `block_actions` payload of Slack says about cases; nothing where it is about something else.

    It comes from outside: what is not as documented is no press.
    """
    if payload.get("type") != "block_actions" or not isinstance(payload.get("actions"), list):
        return []
    user = payload.get("user")
    names = [user.get(name) for name in ("username", "name", "id")] if isinstance(user, Mapping) else []
    by = next((inert(name, 80) for name in names if isinstance(name, str) and name), None)
    found = [None if by is None else _pressed(action, by) for action in payload["actions"]]
    return [one for one in found if one is not None]


def _pressed(action: object, by: str) -> Pressed | None:
    if not isinstance(action, Mapping):
        return None
    verb, block_id = action.get("action_id"), action.get("block_id")
    if not isinstance(verb, str) or not isinstance(block_id, str) or not block_id.startswith(_CASE_PREFIX):
        return None
    name, case_key = verb.removeprefix(_PREFIX), block_id.removeprefix(_CASE_PREFIX)
    if name in _LABELS:
        return Pressed(verb=name, case_key=case_key, by=by)
    try:
        day = date.fromisoformat(action["selected_date"]) if name == SNOOZE else None
    except (KeyError, TypeError, ValueError):
        return None
    return (
        None
        if day is None
        else Pressed(verb=SNOOZE, case_key=case_key, by=by, until=datetime.combine(day, time(0), tzinfo=UTC))
    )
