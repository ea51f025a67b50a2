"""What people say to a case: acknowledged, snoozed, wrong, done. Each an event, shown in the post and in `status`."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.alerts.answers import Answers
from pipeline.alerts.findings import dispute_findings
from pipeline.alerts.sending import AlertError, Posted
from pipeline.alerts.told import RESTS_FOR, last_settled, standing

from .fake_events import MemoryEvents
from .rows import DAY, NOW, Clock, alert, verdict
from .test_outbox import SUBJECT, bot, outbox, results


def told(events, slack, clock, *, number=0, state="above", workload="support-chat", findings=(), **facts):
    day = DAY + timedelta(days=number)
    rows = {
        "verdicts": [verdict(workload=workload, deployment_id="chat", usage_date=day, **facts)],
        "alerts": [alert(workload=workload, usage_date=day, state=state)],
    }
    return results(outbox(events, bot(slack), clock).announce(**rows, findings=findings))


def footer(message):
    return message["blocks"][-1]["elements"][0]["text"]


def stands(events, clock):
    return [(one.case_key, one.state, one.standing) for one in standing(events.events(), clock())]


def test_done_says_so_in_the_post_once_and_its_figures_stay_as_they_were(slack, events, clock):
    told(events, slack, clock)
    Answers(events, clock).done(f"{SUBJECT}#1", by="ana")
    assert told(events, slack, clock, number=1, demand_tokens_per_day=71_000_000) == ["updated"]
    assert slack.messages[0]["blocks"][0]["text"]["text"].startswith("Done: support-chat: ")
    assert "done, says ana" in footer(slack.messages[0])
    for number in range(2, 5):
        assert told(events, slack, clock, number=number, demand_tokens_per_day=80_000_000 + number) == []
    assert stands(events, clock) == [(f"{SUBJECT}#1", "done", "done, says ana: its saving is being measured")]


def test_what_was_done_is_not_asked_for_again_until_figures_can_show_it(slack, events, clock):
    told(events, slack, clock)
    Answers(events, clock).done(SUBJECT, by="ana")
    told(events, slack, clock, number=1)
    clock.now = NOW + RESTS_FOR - timedelta(minutes=1)
    assert told(events, slack, clock, number=2) == []
    # Another recommendation about the same GPUs is read off the same weeks.
    assert told(events, slack, clock, number=2, workload="other", saving_rc_per_month=Decimal(99_999)) == []
    clock.now = NOW + RESTS_FOR
    assert told(events, slack, clock, number=3) == ["posted"]
    assert stands(events, clock)[-1] == (f"{SUBJECT}#2", "above", "open")


def test_while_one_rests_nothing_else_about_the_same_gpus_is_posted(slack, events, clock):
    told(events, slack, clock)
    Answers(events, clock).done(SUBJECT, by="ana")
    rows = {
        "verdicts": [verdict(workload=name, deployment_id="chat") for name in ("support-chat", "other")],
        "alerts": [alert(workload=name) for name in ("support-chat", "other")],
    }
    assert results(outbox(events, bot(slack), clock).announce(**rows)) == ["updated"]
    assert slack.count("chat.postMessage") == 1


def test_wrong_opens_a_case_of_its_own_that_ends_when_it_is_done(slack, events, clock):
    told(events, slack, clock)
    Answers(events, clock).call_wrong(SUBJECT, by="<!here> bo", why="half of it moved *away*")
    disputed = dispute_findings(events.events())
    assert told(events, slack, clock, findings=disputed) == ["posted", "updated"]
    assert "called wrong by" in footer(slack.messages[0])
    dispute = slack.messages[1]
    assert dispute["metadata"]["event_payload"]["case_key"] == f"dispute:{SUBJECT}#1"
    assert "half of it moved ∗away∗" in dispute["blocks"][1]["text"]["text"]
    assert "<!here>" not in str(dispute["blocks"])
    assert "breakeven explain verdict support-chat --date 2026-01-08" in dispute["blocks"][3]["text"]["text"]
    assert stands(events, clock) == [
        (f"dispute:{SUBJECT}#1", "disputed_1", "open"),
        (f"{SUBJECT}#1", "above", "called wrong by <!here> bo"),
    ]
    clock.pass_time(hours=1)
    Answers(events, clock).done(f"dispute:{SUBJECT}", by="cy")
    assert told(events, slack, clock, findings=dispute_findings(events.events())) == ["updated"]
    assert [found.opens for found in dispute_findings(events.events())] == [False]
    clock.pass_time(hours=1)
    Answers(events, clock).call_wrong(SUBJECT, by="bo", why="still")
    assert told(events, slack, clock, findings=dispute_findings(events.events())) == ["posted", "updated"]
    assert slack.rejections == []


def test_snoozed_is_said_in_the_post_and_ends_by_itself(slack, events, clock):
    told(events, slack, clock)
    Answers(events, clock).snooze(f"{SUBJECT}#1", until=NOW + timedelta(days=7), by="ana")
    assert told(events, slack, clock) == ["updated"]
    assert "snoozed until 2026-01-16 08:00 UTC" in footer(slack.messages[0])
    assert stands(events, clock) == [(f"{SUBJECT}#1", "above", "snoozed until 2026-01-16 08:00 UTC")]
    clock.pass_time(days=7)
    assert told(events, slack, clock) == ["updated"]
    assert stands(events, clock) == [(f"{SUBJECT}#1", "above", "open")]


def test_all_that_was_said_stands_side_by_side(slack, events, clock):
    told(events, slack, clock)
    box = Answers(events, clock)
    box.acknowledge(SUBJECT, by="ana")
    box.call_wrong(SUBJECT, by="bo", why="no")
    assert stands(events, clock) == [(f"{SUBJECT}#1", "above", "called wrong by bo, acknowledged by ana")]


@pytest.mark.parametrize("verb", ["acknowledge", "call_wrong", "done"])
def test_of_what_nobody_was_told_nothing_can_be_said(slack, events, clock, verb):
    told(events, slack, clock)
    more = {"why": "no"} if verb == "call_wrong" else {}
    with pytest.raises(AlertError, match=r"There is no case 'workload:nobody'.* Cases: workload:support-chat\."):
        getattr(Answers(events, clock), verb)("workload:nobody", by="ana", **more)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["acknowledge", "call_wrong", "done", "above", "below", "wait"]), max_size=14))
def test_whatever_people_say_a_case_is_posted_once_and_no_word_is_lost(said):
    """Each word is one event; a post is one case; what is done stays done until it is announced anew."""
    events, clock, posted, words, number = MemoryEvents(), Clock(), [], 0, 0

    class Channel:
        kind, channel, can_read_history, can_show_pictures = "test", "C0", True, False

        def post(self, *, message, claim_id, channel=None):
            posted.append(message.case_key)
            return Posted(channel="C0", timestamp=message.case_key)

        def update(self, *, message, claim_id, channel, timestamp):
            return Posted(channel=channel, timestamp=timestamp)

    for word in ["above", *said]:
        box = outbox(events, Channel(), clock)
        if word == "wait":
            clock.pass_time(days=15)
        elif word in ("above", "below"):
            day = DAY + timedelta(days=number)
            box.announce(verdicts=[verdict(usage_date=day)], alerts=[alert(usage_date=day, state=word)])
            number += 1
        else:
            getattr(Answers(events, clock), word)(SUBJECT, by="ana", **({"why": "no"} if word == "call_wrong" else {}))
            words += 1
            if word == "done":
                assert last_settled(events.events()).done_by == "ana"
    kinds = [event.kind for event in events.events()]
    assert len(posted) == len(set(posted))
    assert sum(kind in ("case.acknowledged", "case.wrong", "case.done") for kind in kinds) == words
