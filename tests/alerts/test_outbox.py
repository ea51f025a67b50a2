"""A message is said once: claim, post, confirm against a real HTTP server, and nothing but events is remembered."""

import json
import logging
import multiprocessing
import threading
from datetime import timedelta

import pytest

from pipeline.alerts.answers import Answers
from pipeline.alerts.attempts import GRACE
from pipeline.alerts.case import Case
from pipeline.alerts.message import message_for
from pipeline.alerts.outbox import Outbox
from pipeline.alerts.problems import open_problems
from pipeline.alerts.sending import AlertError, Picture, Uncertain
from pipeline.alerts.slack import SlackOutlet, WebhookOutlet, outlet_from_config
from pipeline.config.alerts import Slack

from .fake_events import FolderEvents, MemoryEvents
from .fake_slack import DROP_AFTER_ACCEPTING, DROP_BEFORE_ACCEPTING, Failure, FakeSlack, serving
from .rows import DAY, NOW, Clock, alert, verdict
from .worker import announce_often

SUBJECT = "workload:support-chat"


def bot(slack, *, channel="C0COSTS00", token=None):
    return SlackOutlet(token=token or slack.token, channel=channel, api_url=slack.api_url, timeout_seconds=5)


def webhook(slack):
    return WebhookOutlet(url=slack.webhook_url, timeout_seconds=5)


def outbox(events, outlet, clock, **settings):
    return Outbox(
        events=events,
        outlet=outlet,
        clock=clock,
        sleep=getattr(clock, "sleep", None),
        company="Acme",
        currency="USD",
        **settings,
    )


def announce(events, outlet, clock, *, verdicts=None, alerts=None, **settings):
    box = outbox(events, outlet, clock, **settings)
    return box.announce(verdicts=verdicts or [verdict()], alerts=alerts or [alert()])


def results(outcomes):
    return [outcome.result for outcome in outcomes]


def kinds(events):
    return [event.kind for event in events.events()]


@pytest.fixture(params=["memory", "folder"])
def any_events(request, tmp_path):
    return MemoryEvents() if request.param == "memory" else FolderEvents(tmp_path / "events")


# Once


def test_state_change_produces_one_post(slack, any_events, clock):
    assert results(announce(any_events, bot(slack), clock)) == ["posted"]
    [message] = slack.messages
    assert message["metadata"]["event_type"] == "breakeven_case"
    assert message["metadata"]["event_payload"]["case_key"] == "workload:support-chat#1"
    assert kinds(any_events) == ["case.opened", "message.posted"]
    assert slack.rejections == []


def test_twenty_runs_produce_one_post(slack, any_events, clock):
    """B27: the key is the case, the memory is landed."""
    for _ in range(20):
        announce(any_events, bot(slack), clock)
        clock.pass_time(hours=1)
    assert slack.count("chat.postMessage") == 1
    assert slack.count("chat.update") == 0
    assert kinds(any_events) == ["case.opened", "message.posted"]


def test_fifty_runs_of_three_workers_at_once_are_one_post_and_an_edit_a_day(slack, events):
    """B27: 3 workers, 1 case whose facts move every day: the post is edited, and who comes late edits nothing back."""
    barrier = threading.Barrier(3)
    errors = []

    def run(number):
        day = DAY + timedelta(days=number)
        row = verdict(usage_date=day, demand_tokens_per_day=70_000_000 + number * 1_000_000)
        alerts = [alert(), *([alert(usage_date=day, is_fired=False)] if number else [])]
        return announce(events, bot(slack), Clock(), verdicts=[row], alerts=alerts)

    def work():
        try:
            for number in range(50):
                barrier.wait(timeout=30)
                run(number)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == []
    assert slack.count("chat.postMessage") == 1
    # The first day's facts are the post's own; of each other day at least one worker edits, and no other text is sent.
    assert 49 <= slack.count("chat.update") <= 49 * 3
    [message] = slack.messages
    assert "119M tokens/day" in message["blocks"][2]["text"]["text"]
    for number in (49, 10):
        assert run(number) == []


def test_three_processes_twenty_runs_each_produce_one_post(slack, tmp_path):
    """B27: across processes that share nothing but the folder of events."""
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=announce_often, args=(str(tmp_path), slack.api_url, slack.token, 20)) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert slack.count("chat.postMessage") == 1
    assert len(FolderEvents(tmp_path).events("message.posted")) == 1


def test_next_change_of_state_is_a_next_case(slack, events, clock):
    announce(events, bot(slack), clock)
    tomorrow = DAY + timedelta(days=1)
    later = [alert(), alert(usage_date=tomorrow, state="below")]
    announce(events, bot(slack), clock, alerts=later, verdicts=[verdict(), verdict(usage_date=tomorrow)])
    keys = [message["metadata"]["event_payload"]["case_key"] for message in slack.messages]
    assert keys == ["workload:support-chat#1", "workload:support-chat#2"]


def test_rebuild_from_events_sends_nothing_and_keeps_the_acknowledgement(slack, tmp_path, clock):
    """B27: no restart amnesia."""
    folder = tmp_path / "events"
    announce(FolderEvents(folder), bot(slack), clock)
    Answers(FolderEvents(folder), clock).acknowledge(SUBJECT, by="ana")
    announce(FolderEvents(folder), bot(slack), clock)
    assert "acknowledged by ana" in slack.messages[0]["blocks"][-1]["elements"][0]["text"]
    sent = list(slack.requests)
    for _ in range(3):
        assert announce(FolderEvents(folder), bot(slack), clock) == []
    assert slack.requests == sent
    assert slack.count("chat.postMessage") == 1
    assert [event.body["by"] for event in FolderEvents(folder).events("case.acknowledged")] == ["ana"]


# Uncertain: history can be read


def test_connection_dropped_after_acceptance_gives_no_second_post(slack, any_events, clock):
    slack.fail("chat.postMessage", DROP_AFTER_ACCEPTING)
    assert results(announce(any_events, bot(slack), clock)) == ["adopted"]
    for _ in range(5):
        clock.pass_time(hours=1)
        assert announce(any_events, bot(slack), clock) == []
    assert len(slack.messages) == 1
    [posted] = any_events.events("message.posted")
    assert (posted.body["how"], posted.body["timestamp"]) == ("adopted", slack.messages[0]["ts"])


def test_server_error_after_acceptance_gives_no_second_post(slack, events, clock):
    slack.fail("chat.postMessage", Failure(status=500, body="<html>oops</html>", is_accepted=True))
    assert results(announce(events, bot(slack), clock)) == ["adopted"]
    assert slack.count("chat.postMessage") == 1


@pytest.mark.parametrize(
    "failure",
    [
        DROP_BEFORE_ACCEPTING,
        Failure(status=503),
        Failure(status=502, error="bad_gateway"),
        Failure(error="internal_error"),
    ],
)
def test_message_that_surely_is_not_there_is_sent_again_after_the_grace(slack, events, clock, failure):
    slack.fail("chat.postMessage", failure)
    assert results(announce(events, bot(slack), clock)) == ["uncertain"]
    clock.pass_time(minutes=1)
    assert results(announce(events, bot(slack), clock)) == ["uncertain"]
    assert slack.messages == []
    assert [problem.kind for problem in open_problems(events.events())] == ["message.uncertain"]
    clock.pass_time(minutes=10)
    assert results(announce(events, bot(slack), clock)) == ["posted"]
    assert len(slack.messages) == 1
    assert open_problems(events.events()) == []


def test_worker_killed_between_claim_and_send_loses_nothing(slack, events, clock):
    class Killed(SlackOutlet):
        def post(self, **_):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        announce(events, Killed(token=slack.token, channel="C0COSTS00", api_url=slack.api_url), clock)
    assert results(announce(events, bot(slack), clock)) == ["in_flight"]
    clock.pass_time(seconds=GRACE.total_seconds())
    assert results(announce(events, bot(slack), clock)) == ["posted"]
    assert len(slack.messages) == 1


def test_worker_killed_between_send_and_confirm_is_adopted(slack, events, clock):
    class Killed(SlackOutlet):
        def post(self, **arguments):
            super().post(**arguments)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        announce(events, Killed(token=slack.token, channel="C0COSTS00", api_url=slack.api_url), clock)
    clock.pass_time(hours=1)
    announce(events, bot(slack), clock)
    assert len(slack.messages) == 1
    assert [event.body["how"] for event in events.events("message.posted")] == ["adopted"]


def test_post_taken_before_the_state_went_back_is_adopted_and_then_corrected(slack, events, clock):
    class Killed(SlackOutlet):
        def post(self, **arguments):
            super().post(**arguments)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        announce(events, Killed(token=slack.token, channel="C0COSTS00", api_url=slack.api_url), clock)
    clock.pass_time(hours=1)
    back = [alert(usage_date=DAY - timedelta(days=1), state="below", is_fired=False), alert(state="below")]
    assert results(announce(events, bot(slack), clock, alerts=back)) == ["posted"]
    assert [message["metadata"]["event_payload"]["case_key"][-2:] for message in slack.messages] == ["#1", "#2"]


def test_channel_given_by_name_is_looked_up_for_its_history(slack, events, clock):
    slack.fail("chat.postMessage", DROP_AFTER_ACCEPTING)
    assert results(announce(events, bot(slack, channel="#llm-costs"), clock)) == ["adopted"]


def test_history_is_read_over_pages_within_a_bound(slack, events, clock):
    slack.page_size = 10
    slack.fail("chat.postMessage", DROP_AFTER_ACCEPTING, DROP_AFTER_ACCEPTING)

    class Busy(SlackOutlet):
        chatter = 0

        def post(self, **arguments):
            answer = super().post(**arguments)
            for _ in range(self.chatter):
                slack.keep(channel="C0COSTS00", payload={"text": "chatter"})
            return answer

    busy = Busy(token=slack.token, channel="C0COSTS00", api_url=slack.api_url)
    busy.chatter = 55
    assert results(announce(events, busy, clock)) == ["adopted"]
    busy.chatter = 500
    elsewhere = MemoryEvents()
    assert results(announce(elsewhere, busy, clock)) == ["held"]
    assert len(elsewhere.events("message.held")) == 1


def test_post_of_another_installation_in_the_channel_is_not_adopted(slack, events, clock):
    announce(MemoryEvents(), bot(slack), clock)
    slack.fail("chat.postMessage", DROP_BEFORE_ACCEPTING)
    assert results(announce(events, bot(slack), clock)) == ["uncertain"]
    clock.pass_time(hours=1)
    assert results(announce(events, bot(slack), clock)) == ["posted"]


def test_history_that_may_not_be_read_is_held(slack, events, clock):
    slack.scopes.discard("channels:history")
    slack.fail("chat.postMessage", DROP_AFTER_ACCEPTING)
    for _ in range(3):
        assert results(announce(events, bot(slack), clock)) == ["held"]
        clock.pass_time(hours=1)
    assert len(slack.messages) == 1
    assert len(events.events("message.held")) == 1
    [problem] = open_problems(events.events())
    assert "channels:history" in problem.detail


def test_history_that_fails_for_a_moment_is_read_again(slack, events, clock):
    slack.fail("chat.postMessage", DROP_AFTER_ACCEPTING)
    slack.fail("conversations.history", Failure(status=429, retry_after_seconds=3), DROP_BEFORE_ACCEPTING)
    assert results(announce(events, bot(slack), clock)) == ["uncertain"]
    announce(events, bot(slack), clock)
    assert results(announce(events, bot(slack), clock)) in (["adopted"], [])
    assert len(slack.messages) == 1
    assert len(events.events("message.posted")) == 1


# Pictures

CURVES = [
    Picture(
        name=name, title=f"support-chat: {name}", says=f"Self-hosting is cheaper, says {name}.", png=b"\x89PNG" * size
    )
    for name, size in (("load", 3000), ("breakeven", 2000))
]


def curves(case):
    return CURVES


def test_curves_follow_the_post_in_its_thread_once_with_their_words(slack, events, clock):
    for _ in range(4):
        announce(events, bot(slack), clock, pictures=curves)
        clock.pass_time(hours=1)
    [message] = slack.messages
    assert [(file["filename"], file["alt_txt"], file["content"]) for file in slack.files.values()] == [
        (f"{curve.name}.png", curve.says, curve.png) for curve in CURVES
    ]
    assert {file["shared"] for file in slack.files.values()} == {("C0COSTS00", message["ts"])}
    assert slack.count("files.completeUploadExternal") == 1
    assert kinds(events) == ["case.opened", "message.posted", "picture.posted"]


@pytest.mark.parametrize("step", ["files.getUploadURLExternal", "upload", "files.completeUploadExternal"])
@pytest.mark.parametrize(
    "failure",
    [
        DROP_BEFORE_ACCEPTING,
        DROP_AFTER_ACCEPTING,
        Failure(status=500, error="internal_error"),
        Failure(error="ratelimited"),
    ],
    ids=["dropped before", "dropped after", "500", "refused"],
)
def test_a_picture_that_fails_neither_loses_nor_repeats_a_message_and_is_not_tried_again(
    slack, events, clock, step, failure
):
    slack.fail(step, failure)
    [outcome] = announce(events, bot(slack), clock, pictures=curves)
    assert (outcome.result, outcome.detail.startswith("Posted. Without its pictures: ")) == ("posted", True)
    sent = list(slack.requests)
    for _ in range(3):
        clock.pass_time(hours=1)
        assert announce(events, bot(slack), clock, pictures=curves) == []
    assert slack.requests == sent
    assert slack.count("chat.postMessage") == len(slack.messages) == 1
    assert slack.count("files.completeUploadExternal") <= 1
    assert kinds(events)[:2] == ["case.opened", "message.posted"]
    assert len(events.events("picture.refused")) == 1
    assert "/upload/" not in events.everything()
    assert open_problems(events.events()) == []


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("files.getUploadURLExternal", {}),
        ("files.getUploadURLExternal", {"file_id": "F1", "upload_url": "no-url?secret=1"}),
        ("files.getUploadURLExternal", {"file_id": "F1", "upload_url": "http://[half/?secret=1"}),
        ("files.completeUploadExternal", {}),
        ("files.completeUploadExternal", {"files": 3}),
    ],
)
def test_what_slack_answers_of_a_picture_ends_no_run(slack, events, clock, step, said):
    slack.fail(step, Failure(status=200, body=json.dumps({"ok": True, **said})))
    [outcome] = announce(events, bot(slack), clock, pictures=curves)
    assert outcome.detail == "Posted. Without its pictures: Slack's answer about them cannot be read."
    assert len(events.events("picture.refused")) == 1
    assert "secret" not in events.everything()


def test_without_the_scope_for_files_the_message_is_posted_and_the_scope_named(slack, events, clock):
    slack.scopes.discard("files:write")
    [outcome] = announce(events, bot(slack), clock, pictures=curves)
    assert outcome.detail == (
        "Posted. Without its pictures: Slack refused them (missing_scope). It needs files:write: install "
        "infra/slack/manifest.json again."
    )
    assert slack.count("chat.postMessage") == 1


def test_what_cannot_be_drawn_is_said_and_the_message_posted(slack, events, clock):
    def cannot(case):
        raise AlertError("the curves of support-chat could not be drawn (ValueError).")

    [outcome] = announce(events, bot(slack), clock, pictures=cannot)
    assert outcome.detail == "Posted. Without its pictures: the curves of support-chat could not be drawn (ValueError)."
    assert slack.count("chat.postMessage") == 1


def test_a_post_that_is_found_again_gets_its_curves_too(slack, events, clock):
    slack.fail("chat.postMessage", DROP_AFTER_ACCEPTING)
    assert results(announce(events, bot(slack), clock, pictures=curves)) == ["adopted"]
    assert len(slack.messages) == 1
    assert {file["shared"] for file in slack.files.values()} == {("C0COSTS00", slack.messages[0]["ts"])}


def test_two_workers_that_find_one_post_show_its_curves_once(slack, clock):
    """The second one has not seen yet that the first one confirmed."""

    class Late(MemoryEvents):
        is_late = False

        def events(self, kind=None):
            return [event for event in super().events(kind) if not (self.is_late and event.kind == "message.posted")]

    events = Late()
    slack.fail("chat.postMessage", DROP_AFTER_ACCEPTING)
    assert results(announce(events, bot(slack), clock, pictures=curves)) == ["adopted"]
    events.is_late = True
    assert results(announce(events, bot(slack), clock, pictures=curves)) == ["adopted"]
    assert slack.count("files.completeUploadExternal") == 1


def test_nothing_is_drawn_for_a_webhook_or_a_terminal(slack, events, clock):
    def never(case):
        raise AssertionError("drawing takes seconds, and nobody would see it")

    assert results(announce(events, webhook(slack), clock, pictures=never)) == ["posted"]
    assert results(announce(MemoryEvents(), None, clock, pictures=never)) == ["printed"]


# Uncertain: webhooks


def test_webhook_posts_once(slack, events, clock):
    for _ in range(5):
        announce(events, webhook(slack), clock)
    assert slack.count("webhook") == 1


def test_webhook_dropped_after_acceptance_is_held_by_default(slack, events, clock):
    slack.fail("webhook", DROP_AFTER_ACCEPTING)
    for _ in range(3):
        assert results(announce(events, webhook(slack), clock)) == ["held"]
        clock.pass_time(hours=1)
    assert len(slack.messages) == 1
    [problem] = open_problems(events.events())
    assert "slack.on_uncertain: repost" in problem.detail


def test_webhook_dropped_is_reposted_where_that_is_wished_for(slack, events, clock):
    slack.fail("webhook", DROP_BEFORE_ACCEPTING)
    assert results(announce(events, webhook(slack), clock, on_uncertain="repost")) == ["uncertain"]
    clock.pass_time(hours=1)
    assert results(announce(events, webhook(slack), clock, on_uncertain="repost")) == ["posted"]
    assert announce(events, webhook(slack), clock, on_uncertain="repost") == []
    assert len(slack.messages) == 1


def test_webhook_that_always_drops_does_not_fill_the_channel(slack, events, clock):
    slack.fail("webhook", *[DROP_AFTER_ACCEPTING] * 20)
    for _ in range(20):
        announce(events, webhook(slack), clock, on_uncertain="repost")
        clock.pass_time(hours=1)
    assert len(slack.messages) == 3


def test_uncertain_webhook_post_is_not_called_absent_by_a_bot_that_cannot_recognise_it(slack, events, clock):
    slack.fail("webhook", DROP_AFTER_ACCEPTING)
    announce(events, webhook(slack), clock)
    clock.pass_time(hours=1)
    assert results(announce(events, bot(slack), clock)) == ["held"]
    assert len(slack.messages) == 1


# Refused


def test_retry_after_is_waited_for_within_the_run(slack, events, clock):
    slack.fail("chat.postMessage", Failure(status=429, error="ratelimited", retry_after_seconds=7))
    assert results(announce(events, bot(slack), clock)) == ["posted"]
    assert clock.slept_seconds == [7]
    assert len(slack.messages) == 1


def test_long_retry_after_is_left_to_a_later_run(slack, events, clock):
    slack.fail("chat.postMessage", Failure(status=429, error="ratelimited", retry_after_seconds=900))
    names = ["alpha", "beta"]
    rows = {"verdicts": [verdict(workload=n) for n in names], "alerts": [alert(workload=n) for n in names]}
    assert results(announce(events, bot(slack), clock, **rows)) == ["refused", "deferred"]
    assert slack.count("chat.postMessage") == 1
    clock.pass_time(minutes=5)
    assert results(announce(events, bot(slack), clock, **rows))[0] == "waiting"
    clock.pass_time(minutes=11)
    announce(events, bot(slack), clock, **rows)
    assert len(slack.messages) == 2
    assert clock.slept_seconds == []


def test_revoked_token_is_told_once_a_run_and_nothing_is_lost(slack, events, clock):
    slack.is_revoked = True
    names = ["alpha", "beta", "gamma"]
    rows = {"verdicts": [verdict(workload=n) for n in names], "alerts": [alert(workload=n) for n in names]}
    assert results(announce(events, bot(slack), clock, **rows)) == ["refused", "deferred", "deferred"]
    assert slack.count("chat.postMessage") == 1
    [problem] = open_problems(events.events())
    assert (problem.code, "Reinstall the app" in problem.detail) == ("token_revoked", True)
    slack.is_revoked = False
    assert results(announce(events, bot(slack), clock, **rows)) == ["posted"] * 3
    assert open_problems(events.events()) == []


@pytest.mark.parametrize("case", ["archived", "unknown_channel", "no_connection"])
def test_refusal_says_what_to_do_and_is_tried_again(slack, events, clock, case):
    if case == "archived":
        slack.archived.add("C0COSTS00")
        outlet = bot(slack)
    elif case == "unknown_channel":
        outlet = bot(slack, channel="C0NOTHERE")
    else:
        with serving(FakeSlack()) as gone:
            outlet = bot(gone)
    [outcome] = announce(events, outlet, clock)
    assert outcome.result == "refused"
    hint = {"archived": "Unarchive it", "unknown_channel": "invite the app", "no_connection": "nothing was sent"}
    assert hint[case] in outcome.detail
    slack.archived.clear()
    assert results(announce(events, bot(slack), clock)) == ["posted"]
    assert len(slack.messages) == 1


@pytest.mark.parametrize("code", ["msg_blocks_too_long", "invalid_blocks", "metadata_too_large"])
def test_a_message_that_slack_takes_never_keeps_no_other_from_being_told(slack, events, clock, code):
    slack.fail("chat.postMessage", Failure(error=code))
    names = ["alpha", "beta"]
    rows = {"verdicts": [verdict(workload=n) for n in names], "alerts": [alert(workload=n) for n in names]}
    assert results(announce(events, bot(slack), clock, **rows)) == ["refused", "posted"]
    assert [problem.code for problem in open_problems(events.events())] == [code]


def test_webhook_refusal_is_recorded_with_its_code(slack, events, clock):
    outlet = WebhookOutlet(url=slack.webhook_url + "-gone")
    [outcome] = announce(events, outlet, clock)
    assert outcome.result == "refused"
    assert "no_service" in outcome.detail


def test_worker_suspended_between_claim_and_send_does_not_send(slack, events, clock):
    class Slow(MemoryEvents):
        is_slow = True

        def claim(self, **arguments):
            taken = super().claim(**arguments)
            if self.is_slow:
                clock.pass_time(hours=3)
                self.is_slow = False
            return taken

    slow = Slow()
    announce(slow, bot(slack), clock)
    assert [event.body["code"] for event in slow.events("message.refused")] == ["suspended"]
    assert len(slack.messages) == 1


# Without a token


def test_without_a_token_the_message_is_printed_and_stored_and_not_claimed(any_events, clock):
    for _ in range(20):
        [outcome] = announce(any_events, None, clock)
        assert outcome.result == "printed"
        assert "Do: Move to self-hosting" in outcome.message.plain
    assert kinds(any_events) == ["message.printed"]
    assert any_events.events()[0].body["plain"] == outcome.message.plain


def test_without_a_token_a_case_is_stored_again_when_something_else_is_to_be_done_and_not_when_figures_move(
    events, clock
):
    for number, change in enumerate([{}, {"demand_tokens_per_day": 71_000_000}, {"recommendation": "fill"}, {}]):
        day = DAY + timedelta(days=number)
        announce(events, None, clock, verdicts=[verdict(usage_date=day, **change)], alerts=[alert(usage_date=day)])
    stored = [event.body["gist"] for event in events.events("message.printed")]
    assert stored == ["above: switch_to_self_host", "above: fill", "above: switch_to_self_host"]


def test_printed_message_is_posted_once_a_token_is_there(slack, events, clock):
    announce(events, None, clock)
    assert results(announce(events, bot(slack), clock)) == ["posted"]


def test_acknowledged_print_is_not_posted_later(slack, events, clock):
    announce(events, None, clock)
    Answers(events, clock).acknowledge(SUBJECT, by="ana")
    assert announce(events, bot(slack), clock) == []
    assert slack.requests == []


# Acknowledge, snooze, edit


def test_nothing_said_cannot_be_acknowledged(events, clock):
    with pytest.raises(AlertError, match="There is no case 'workload:nobody'"):
        Answers(events, clock).acknowledge("workload:nobody", by="ana")


def test_snoozed_subject_is_quiet_until_then_and_speaks_after(slack, events, clock):
    announce(events, None, clock)
    Answers(events, clock).snooze(SUBJECT, until=NOW + timedelta(days=7), by="ana")
    assert announce(events, bot(slack), clock) == []
    clock.pass_time(days=6)
    assert announce(events, bot(slack), clock) == []
    clock.pass_time(days=1)
    assert results(announce(events, bot(slack), clock)) == ["posted"]


def test_snooze_without_a_time_zone_is_refused(events, clock):
    with pytest.raises(AlertError, match="time zone"):
        Answers(events, clock).snooze(SUBJECT, until=NOW.replace(tzinfo=None), by="ana")


def test_snooze_until_what_is_over_is_refused_and_lands_nothing(events, clock):
    """A day that is chosen in Slack is its first moment: today's is over."""
    with pytest.raises(AlertError, match="Name a later moment"):
        Answers(events, clock).snooze(SUBJECT, until=NOW.replace(hour=0), by="ana")
    assert events.events() == []


def test_a_snooze_of_what_nobody_was_told_is_refused_and_lands_nothing(slack, events, clock):
    announce(events, bot(slack), clock)
    known = events.events()
    with pytest.raises(AlertError, match=r"There is no case 'workload:suport-chat'.* Cases: workload:support-chat\."):
        Answers(events, clock).snooze("workload:suport-chat", until=NOW + timedelta(days=7), by="ana")
    assert events.events() == known


def test_later_facts_edit_the_post_in_place(slack, events, clock):
    announce(events, bot(slack), clock)
    tomorrow = DAY + timedelta(days=1)
    later = {
        "verdicts": [verdict(usage_date=tomorrow, demand_tokens_per_day=71_000_000)],
        "alerts": [alert(), alert(usage_date=tomorrow, is_fired=False)],
    }
    assert results(announce(events, bot(slack), clock, **later)) == ["updated"]
    assert announce(events, bot(slack), clock, **later) == []
    assert announce(events, bot(slack), clock) == []  # an older snapshot does not edit back
    assert (len(slack.messages), slack.count("chat.update")) == (1, 1)
    assert "71.0M tokens/day" in slack.messages[0]["blocks"][2]["text"]["text"]


def test_post_deleted_by_a_person_is_left_alone(slack, events, clock):
    announce(events, bot(slack), clock)
    slack.messages.clear()
    changed = [verdict(demand_tokens_per_day=71_000_000)]
    assert results(announce(events, bot(slack), clock, verdicts=changed)) == ["refused"]
    for _ in range(3):
        assert announce(events, bot(slack), clock, verdicts=changed) == []
    assert (slack.count("chat.update"), slack.messages) == (1, [])
    assert [problem.code for problem in open_problems(events.events())] == ["message_not_found"]


def test_edit_that_was_dropped_is_made_again(slack, events, clock):
    announce(events, bot(slack), clock)
    slack.fail("chat.update", DROP_AFTER_ACCEPTING, Failure(status=429, retry_after_seconds=5))
    changed = [verdict(demand_tokens_per_day=71_000_000)]
    seen = [results(announce(events, bot(slack), clock, verdicts=changed)) for _ in range(4)]
    assert seen == [["refused"], ["refused"], ["updated"], []]
    assert open_problems(events.events()) == []


# Secrets


@pytest.mark.parametrize(
    "failure",
    [
        DROP_AFTER_ACCEPTING,
        DROP_BEFORE_ACCEPTING,
        Failure(status=429, retry_after_seconds=1),
        Failure(status=500, body="token xoxb-fake-0000-right at /services/T000/B000/webhook-secret-part"),
        Failure(status=200, body="not json xoxb-fake-0000-right webhook-secret-part"),
        Failure(error="xoxb-fake-0000-right webhook-secret-part"),
        Failure(error="invalid_auth"),
    ],
)
@pytest.mark.parametrize("kind", ["bot", "webhook"])
def test_token_and_webhook_url_are_in_no_event_log_or_outcome(slack, events, clock, caplog, capfd, kind, failure):
    caplog.set_level(logging.DEBUG)
    method = "chat.postMessage" if kind == "bot" else "webhook"
    slack.fail(method, failure)
    outlet = bot(slack) if kind == "bot" else webhook(slack)
    outcomes = [announce(events, outlet, clock) for _ in range(2)]
    captured = capfd.readouterr()
    said = " ".join([events.everything(), str(outcomes), repr(outlet), caplog.text, captured.out, captured.err])
    assert slack.token not in said
    assert "webhook-secret-part" not in said
    assert slack.count(method) >= 1


# Configuration


def test_without_token_or_channel_there_is_no_outlet():
    assert outlet_from_config(Slack(channel="C0COSTS00"), environment={}) is None
    assert outlet_from_config(Slack(), environment={"SLACK_BOT_TOKEN": "xoxb-1"}) is None


def test_token_goes_before_webhook(slack):
    settings = Slack(channel="C0COSTS00", webhook_env="HOOK", api_url=slack.api_url)
    both = {"SLACK_BOT_TOKEN": slack.token, "HOOK": slack.webhook_url}
    assert isinstance(outlet_from_config(settings, environment=both), SlackOutlet)
    assert isinstance(outlet_from_config(settings, environment={"HOOK": slack.webhook_url}), WebhookOutlet)


@pytest.mark.parametrize("value", ["xoxb-secret\nX-Header: 1", "xoxb-secret more", "xoxb-sécret"])
def test_token_that_is_none_is_refused_without_being_shown(value):
    with pytest.raises(AlertError, match="SLACK_BOT_TOKEN") as raised:
        outlet_from_config(Slack(channel="C0COSTS00"), environment={"SLACK_BOT_TOKEN": value})
    assert "xoxb" not in str(raised.value)


@pytest.mark.parametrize("value", ["hooks.slack.example/secret", "file:///secret", "https://a/\nsecret"])
def test_webhook_url_that_is_none_is_refused_without_being_shown(value):
    with pytest.raises(AlertError, match="HOOK") as raised:
        outlet_from_config(Slack(webhook_env="HOOK"), environment={"HOOK": value})
    assert "secret" not in str(raised.value)


def test_outlet_that_answers_ok_without_a_timestamp_is_uncertain(slack, events, clock):
    slack.fail("chat.postMessage", Failure(body='{"ok": true}'))
    box = bot(slack).post(message=_message(), claim_id="c1")
    assert isinstance(box, Uncertain)


def _message():
    case = Case(subject=SUBJECT, ordinal=1, state="above", previous_state="below", about=verdict())
    return message_for(case, currency="USD", company="Acme")
