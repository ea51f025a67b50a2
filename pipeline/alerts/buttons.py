"""The verbs as buttons under a post, and what a press of one says. Pure: slack.py shows and hears them.

Who presses *Wrong number* is asked what it should be: the press names a form to open, and its answer says the verb.
"""

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
_FORM = f"{_PREFIX}why"
# Slack takes 3,000 characters; a reason is a paragraph.
REASON_LIMIT = 500


@dataclass(frozen=True, kw_only=True)
class Pressed:
    """What somebody chose. `until`: of a snooze, when the chosen day begins in UTC. `why`: of what is called wrong."""

    verb: str
    case_key: str
    by: str
    until: datetime | None = None
    why: str | None = None


@dataclass(frozen=True, kw_only=True)
class FormAsked:
    """A form that has to be opened within three seconds of the press, by Slack's `trigger_id`."""

    trigger_id: str
    view: Mapping[str, Any]


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


def form_asked(payload: Mapping[str, Any]) -> FormAsked | None:
    """The form for the reason, where a press asks for one; None where it says all there is."""
    trigger_id = payload.get("trigger_id")
    wrong = next((one for one in pressed(payload) if one.verb == WRONG), None)
    if wrong is None or not isinstance(trigger_id, str) or not trigger_id:
        return None
    view = {
        "type": "modal",
        "callback_id": _FORM,
        # What Slack gives back with the answer.
        "private_metadata": wrong.case_key,
        "title": _plain("Wrong number"),
        "submit": _plain("Send"),
        "close": _plain("Cancel"),
        "blocks": [
            {
                "type": "input",
                "block_id": _FORM,
                "label": _plain("What should it be, or what does it lack?"),
                "element": {
                    "type": "plain_text_input",
                    "action_id": _FORM,
                    "multiline": True,
                    "max_length": REASON_LIMIT,
                },
            },
        ],
    }
    return FormAsked(trigger_id=trigger_id, view=view)


def answered(payload: Mapping[str, Any]) -> Pressed | None:
    """What a form that was sent says; None where it is another app's, or none."""
    view = payload.get("view")
    by = _who(payload)
    if payload.get("type") != "view_submission" or not isinstance(view, Mapping) or by is None:
        return None
    case_key, value = view.get("private_metadata"), view.get("state")
    for name in ("values", _FORM, _FORM, "value"):
        value = value.get(name) if isinstance(value, Mapping) else None
    if view.get("callback_id") != _FORM or not isinstance(case_key, str) or not case_key:
        return None
    if not isinstance(value, str) or not value.strip():
        return None
    return Pressed(verb=WRONG, case_key=case_key, by=by, why=inert(value, REASON_LIMIT))


def _plain(text: str) -> Mapping[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def pressed(payload: Mapping[str, Any]) -> list[Pressed]:
    """What a `block_actions` payload of Slack says about cases; nothing where it is about something else.

    It comes from outside: what is not as documented is no press.
    """
    if payload.get("type") != "block_actions" or not isinstance(payload.get("actions"), list):
        return []
    by = _who(payload)
    found = [None if by is None else _pressed(action, by) for action in payload["actions"]]
    return [one for one in found if one is not None]


def _who(payload: Mapping[str, Any]) -> str | None:
    user = payload.get("user")
    names = [user.get(name) for name in ("username", "name", "id")] if isinstance(user, Mapping) else []
    return next((inert(name, 80) for name in names if isinstance(name, str) and name), None)


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
