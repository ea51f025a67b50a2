"""Buttons say what the commands say, and what comes from outside is a press only where it looks like one."""

import threading
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.alerts.answers import Answers
from pipeline.alerts.buttons import Pressed, answered, buttons_of, form_asked, pressed
from pipeline.alerts.sending import AlertError
from pipeline.alerts.slack import app_token_of, listen
from pipeline.config.alerts import Slack

from .fake_slack import FakeSlack, error_in, serving
from .fake_socket import serving_socket
from .test_outbox import SUBJECT, announce, bot, results

CASE = f"{SUBJECT}#1"
BLOCK = buttons_of(CASE)


def action(verb, **more):
    return {"action_id": f"breakeven.{verb}", "block_id": BLOCK["block_id"], **more}


def payload(*actions, user=None):
    return {"type": "block_actions", "user": user or {"id": "U1", "username": "ana"}, "actions": list(actions)}


def test_every_button_of_a_post_comes_back_as_its_verb_with_its_case_and_who_pressed(slack, events, clock):
    announce(events, bot(slack), clock, has_buttons=True)
    [block] = [one for one in slack.messages[0]["blocks"] if one["type"] == "actions"]
    assert slack.rejections == []
    sent = [
        {"action_id": one["action_id"], "block_id": block["block_id"]}
        | ({"selected_date": "2026-01-20"} if one["type"] == "datepicker" else {})
        for one in block["elements"]
    ]
    heard = pressed(payload(*sent))
    assert [(one.verb, one.case_key, one.by) for one in heard] == [
        (verb, CASE, "ana") for verb in ("ack", "wrong", "done", "snooze")
    ]
    assert [one.until for one in heard] == [None, None, None, datetime(2026, 1, 20, tzinfo=UTC)]


def test_a_post_has_no_buttons_where_nobody_listens_and_none_once_it_is_done(slack, events, clock):
    announce(events, bot(slack), clock)
    assert "actions" not in [one["type"] for one in slack.messages[0]["blocks"]]
    assert results(announce(events, bot(slack), clock, has_buttons=True)) == ["updated"]
    assert "actions" in [one["type"] for one in slack.messages[0]["blocks"]]
    Answers(events, clock).done(SUBJECT, by="ana")
    announce(events, bot(slack), clock, has_buttons=True)
    assert "actions" not in [one["type"] for one in slack.messages[0]["blocks"]]


@pytest.mark.parametrize("name", ["x" * 251, "𝔘" * 126])
def test_a_case_whose_name_slack_would_not_give_back_has_none(name):
    assert buttons_of(name) is None
    shown = {"text": "a", "blocks": [buttons_of(name[:120])]}
    assert error_in(shown, needs_metadata=False) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60)
@given(
    base=st.sampled_from([payload(action("ack")), payload(action("snooze", selected_date="2026-01-20"))]),
    place=st.sampled_from(["type", "user", "actions", "action_id", "block_id", "selected_date", "whole action"]),
    value=json_values,
)
def test_whatever_else_comes_is_no_press_and_no_error(base, place, value):
    said = dict(base)
    if place in said:
        said[place] = value
    elif place == "whole action":
        said["actions"] = [value]
    else:
        said["actions"] = [{**base["actions"][0], place: value}]
    for one in pressed(said):
        assert one.verb in ("ack", "wrong", "done", "snooze")
        assert one.by
        assert isinstance(one.case_key, str)


def submitted(view, why, **changes):
    """As Slack sends what somebody wrote into a form."""
    (block,) = view["blocks"]
    values = {block["block_id"]: {block["element"]["action_id"]: {"type": "plain_text_input", "value": why}}}
    said = {name: view[name] for name in ("callback_id", "private_metadata")} | {"state": {"values": values}}
    return {"type": "view_submission", "user": {"id": "U1", "username": "ana"}, "view": said | changes}


@given(
    place=st.sampled_from(["callback_id", "private_metadata", "state", "values", "value"]),
    value=json_values,
)
def test_a_form_of_another_app_or_one_that_is_damaged_says_nothing_and_ends_nothing(place, value):
    view = form_asked(payload(action("wrong")) | {"trigger_id": "t1"}).view
    said = submitted(view, "because") if place != "value" else submitted(view, value)
    if place == "values":
        said["view"]["state"]["values"] = value
    elif place != "value":
        said["view"][place] = value
    found = answered(said)
    if found is not None:
        assert place in ("value", "private_metadata")
        assert (found.verb, found.by) == ("wrong", "ana")
        assert found.why


def test_a_press_over_the_socket_is_handled_and_then_confirmed():
    heard: list[Pressed] = []
    over = threading.Event()
    with serving_socket() as link, serving(FakeSlack(socket_url=link.url)) as slack:
        listener = threading.Thread(
            target=listen,
            args=(Slack(channel="C0COSTS00", api_url=slack.api_url),),
            kwargs={
                "app_token": slack.app_token,
                "bot_token": slack.token,
                "handle": heard.append,
                "is_over": lambda _: over.wait(0.05),
            },
        )
        listener.start()
        try:
            link.send({"type": "hello", "num_connections": 1})
            link.send({"type": "interactive", "envelope_id": "e1", "payload": payload(action("done"))})
            assert link.confirmed.get(timeout=20) == "e1"
            assert heard == [Pressed(verb="done", case_key=CASE, by="ana")]
            link.send({"type": "interactive", "envelope_id": "e2", "payload": {"type": "view_submission"}})
            assert link.confirmed.get(timeout=20) == "e2"
            assert len(heard) == 1
            # What is called wrong is asked for a reason: the press says nothing yet, the form's answer does.
            slack.triggers = {"t1"}
            asked = payload(action("wrong")) | {"trigger_id": "t1"}
            link.send({"type": "interactive", "envelope_id": "e3", "payload": asked})
            assert link.confirmed.get(timeout=20) == "e3"
            (view,) = slack.views
            assert (len(heard), slack.rejections) == (1, [])
            link.send(
                {"type": "interactive", "envelope_id": "e4", "payload": submitted(view, "half of it\u202e moved")}
            )
            assert link.confirmed.get(timeout=20) == "e4"
            assert heard[1:] == [Pressed(verb="wrong", case_key=CASE, by="ana", why="half of it� moved")]
            # The trigger is used up: where no form opens, the press is all there is.
            link.send({"type": "interactive", "envelope_id": "e5", "payload": asked})
            assert link.confirmed.get(timeout=20) == "e5"
            assert heard[2:] == [Pressed(verb="wrong", case_key=CASE, by="ana")]
        finally:
            over.set()
            listener.join(timeout=20)
        assert not listener.is_alive()
        assert slack.requests == ["apps.connections.open", "views.open", "views.open"]


def test_a_token_that_slack_does_not_know_is_said_without_showing_it():
    with serving(FakeSlack()) as slack:
        settings = Slack(channel="C0COSTS00", api_url=slack.api_url)
        with pytest.raises(AlertError, match="invalid_auth") as raised:
            listen(settings, app_token="xapp-secret", bot_token="", handle=print, is_over=lambda _: True)
    assert "secret" not in str(raised.value)


def test_buttons_need_an_app_token_a_bot_token_and_a_channel():
    settings = Slack(channel="C0COSTS00")
    both = {"SLACK_APP_TOKEN": "xapp-1", "SLACK_BOT_TOKEN": "xoxb-1"}
    assert app_token_of(settings, environment=both) == "xapp-1"
    assert app_token_of(Slack(), environment=both) is None
    for missing in both:
        assert app_token_of(settings, environment={k: v for k, v in both.items() if k != missing}) is None
