"""It earns the channel: so many posts a week whatever happens, the rest in a digest; quiet hours; each team its own."""

import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.alerts.answers import Answers
from pipeline.alerts.manners import DIGEST_LIMIT, QuietHours, week_of
from pipeline.alerts.problems import open_problems
from pipeline.alerts.sending import Found, Posted, Uncertain
from pipeline.config.alerts import Slack
from pipeline.doctor.slack import slack_findings
from pipeline.landing.landing import Contents

from .fake_events import MemoryEvents
from .fake_slack import DROP_AFTER_ACCEPTING, Failure
from .rows import DAY, NOW, Clock, alert, verdict
from .test_findings import HOSTILE, runway
from .test_outbox import bot, outbox, results, webhook

BERLIN = ZoneInfo("Europe/Berlin")


def rows(*names, day=DAY, state="above", **changes):
    return {
        "verdicts": [verdict(workload=name, usage_date=day, **changes) for name in names],
        "alerts": [alert(workload=name, usage_date=day, state=state) for name in names],
    }


def announce(events, outlet, clock, said, **manners):
    return outbox(events, outlet, clock, **{"posts_per_week": 2, **manners}).announce(**said)


def told_of(events):
    """Subjects of which somebody was told, by a post of their own or by a digest."""
    posted = [event.body for event in events.events("message.posted")]
    return Counter(
        [facts["case_key"] for body in posted for facts in body.get("cases", ())]
        + [body["case_key"] for body in posted if "cases" not in body]
    )


# Two posts a week, the rest in a digest


def test_more_cases_than_posts_are_one_post_and_a_digest_of_the_rest(slack, events, clock):
    said = {"verdicts": [], "alerts": []}
    for number, name in enumerate("abcd"):
        one = rows(name, saving_rc_per_month=1000 + number)
        said = {key: [*said[key], *one[key]] for key in said}
    outcomes = announce(events, bot(slack), clock, said)
    assert [(outcome.case_key, outcome.result) for outcome in outcomes] == [
        (f"digest:C0COSTS00#{week_of(NOW)}", "posted"),
        ("workload:d#1", "posted"),
    ]
    assert len(slack.messages) == 2
    digest = json.dumps(slack.messages[1]["blocks"], ensure_ascii=False)
    assert "3 more cases of this week" in digest
    assert "a: move to self-hosting, $1,000.00 a month (case workload:a#1)" in digest
    assert told_of(events) == dict.fromkeys([f"workload:{name}#1" for name in "abcd"], 1)
    for _ in range(5):
        clock.pass_time(hours=1)
        announce(events, bot(slack), clock, said)
    assert slack.count("chat.postMessage") == 2
    assert slack.rejections == []


def test_a_case_told_by_a_digest_can_be_acknowledged_and_its_next_state_is_a_next_case(slack, events, clock):
    announce(events, bot(slack), clock, rows("a", "b", "c"))
    Answers(events, clock).acknowledge("workload:c", by="ana")
    clock.pass_time(days=7)
    back = rows("c", day=DAY + timedelta(days=7), state="below")
    assert [one.case_key for one in announce(events, bot(slack), clock, back)] == ["workload:c#2"]


@settings(max_examples=40, deadline=None)
@given(
    days=st.lists(st.lists(st.sampled_from(["above", "below"]), min_size=5, max_size=5), min_size=1, max_size=10),
    lost=st.lists(st.booleans(), min_size=40, max_size=40),
)
def test_in_no_week_a_channel_has_more_posts_than_it_may_and_nothing_is_told_twice(days, lost):
    """Five workloads that change state as they like, and an outlet that loses answers as it likes."""
    events, clock, posts = MemoryEvents(), Clock(datetime(2026, 1, 9, 8, tzinfo=UTC)), []

    class Channel:
        kind, channel, can_read_history, can_show_pictures = "test", "C0", True, False

        def post(self, *, message, claim_id, channel=None):
            posts.append((week_of(clock()), message.case_key, claim_id))
            if lost and lost.pop():
                return Uncertain(code="connection_lost", detail="lost")
            return Posted(channel="C0", timestamp=claim_id)

        def update(self, *, message, claim_id, channel, timestamp):
            return Posted(channel="C0", timestamp=timestamp)

        def find(self, *, case_key, claim_id, channel, oldest):
            return Found(channel="C0", timestamp=claim_id)

    for number, states in enumerate(days):
        day = DAY + timedelta(days=number)
        said = {"verdicts": [], "alerts": []}
        for name, state in zip("abcde", states, strict=True):
            one = rows(name, day=day, state=state)
            said = {key: [*said[key], *one[key]] for key in said}
        announce(events, Channel(), clock, said)
        clock.pass_time(days=1)
    assert max(Counter(week for week, _, _ in posts).values(), default=0) <= 2
    assert set(told_of(events).values()) <= {1}


def test_what_did_not_fit_is_told_when_the_next_week_begins_if_it_still_holds(slack, events, clock):
    announce(events, bot(slack), clock, rows("a"))
    announce(events, bot(slack), clock, rows("a", "b"))
    late = announce(events, bot(slack), clock, rows("a", "b", "c"))
    assert [(one.case_key, one.result) for one in late] == [("workload:c#1", "deferred")]
    assert "The week's posts are used up" in late[0].detail
    clock.pass_time(days=3)  # NOW is a Friday
    assert results(announce(events, bot(slack), clock, rows("a", "b", "c"))) == ["posted"]


def test_what_runs_out_waits_for_no_week_and_takes_none_of_its_posts(slack, events, clock):
    announce(events, bot(slack), clock, rows("a"))
    announce(events, bot(slack), clock, rows("b"))
    urgent = {"verdicts": [], "alerts": [], "findings": runway(2)}
    assert results(announce(events, bot(slack), clock, urgent)) == ["posted"]


def test_three_workers_at_once_keep_to_the_weeks_posts_and_tell_each_case_once(slack, events):
    barrier, errors = threading.Barrier(3), []

    def work():
        try:
            barrier.wait(timeout=30)
            for _ in range(5):
                announce(events, bot(slack), Clock(), rows("a", "b", "c", "d"))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == []
    assert len(slack.messages) == 2
    assert told_of(events) == dict.fromkeys([f"workload:{name}#1" for name in "abcd"], 1)


def test_a_digest_whose_answer_was_lost_is_adopted_with_all_that_it_told(slack, events, clock):
    announce(events, bot(slack), clock, rows("z", saving_rc_per_month=9000))
    slack.fail("chat.postMessage", DROP_AFTER_ACCEPTING)
    assert results(announce(events, bot(slack), clock, rows("a", "b", "c"))) == ["adopted"]
    assert announce(events, bot(slack), clock, rows("a", "b", "c")) == []
    assert len(slack.messages) == 2
    assert set(told_of(events).values()) == {1}


def test_a_digest_that_was_refused_is_tried_again_and_nothing_is_lost(slack, events, clock):
    slack.is_revoked = True
    announce(events, bot(slack), clock, rows("a", "b", "c"))
    assert [problem.code for problem in open_problems(events.events())] == ["token_revoked"]
    slack.is_revoked = False
    clock.pass_time(hours=1)
    announce(events, bot(slack), clock, rows("a", "b", "c"))
    assert set(told_of(events)) == {f"workload:{name}#1" for name in "abc"}
    assert len(slack.messages) == 2


def test_what_a_digest_would_have_told_is_not_told_until_it_is_posted(slack, events, clock):
    announce(events, bot(slack), clock, rows("z", saving_rc_per_month=9000))
    slack.fail("chat.postMessage", Failure(error="is_archived"))
    assert results(announce(events, bot(slack), clock, rows("a", "b"))) == ["refused"]
    assert set(told_of(events)) == {"workload:z#1"}
    assert results(announce(events, bot(slack), clock, rows("a", "b"))) == ["posted"]
    assert set(told_of(events)) == {"workload:z#1", "workload:a#1", "workload:b#1"}


def test_the_longest_digest_of_hostile_names_is_within_slacks_limits(slack, events, clock):
    names = [f"{HOSTILE * 9} {number}" for number in range(DIGEST_LIMIT + 5)]
    outcomes = announce(events, bot(slack), clock, rows(*names))
    assert Counter(results(outcomes)) == {"posted": 2, "deferred": 4}
    assert slack.rejections == []
    said = json.dumps([[message["text"], message["blocks"]] for message in slack.messages], ensure_ascii=False)
    for live in ("<!channel>", "\u202e"):
        assert live not in said


# Quiet hours


@given(
    hours=st.tuples(st.integers(0, 1439), st.integers(0, 1439)).filter(lambda pair: pair[0] != pair[1]),
    weekends=st.booleans(),
    at=st.integers(0, 364 * 1440).map(lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)),
)
@settings(max_examples=60)
def test_quiet_hours_end_at_the_first_minute_that_is_not_quiet(hours, weekends, at):
    """Minute by minute, in local time with its changes of clock."""
    quiet = QuietHours(from_minute=hours[0], to_minute=hours[1], zone=BERLIN, weekends=weekends)
    now = at
    until = quiet.until(now)
    moment = now
    while quiet.holds(moment):
        moment += timedelta(minutes=1)
    assert until == (None if moment == now else moment)


@pytest.mark.parametrize(
    ("moment", "is_quiet"),
    [
        ("2026-01-09T16:59Z", False),
        ("2026-01-09T17:00Z", True),
        ("2026-01-12T06:59Z", True),
        ("2026-01-12T07:00Z", False),
        ("2026-01-10T11:00Z", True),  # a Saturday
        ("2026-07-10T15:59Z", False),  # summer
        ("2026-07-10T16:00Z", True),
    ],
)
def test_quiet_hours_are_local_and_go_over_midnight(moment, is_quiet):
    quiet = QuietHours(from_minute=18 * 60, to_minute=8 * 60, zone=BERLIN, weekends=True)
    assert quiet.holds(datetime.fromisoformat(moment)) == is_quiet


def test_in_quiet_hours_only_what_runs_out_is_posted_and_the_rest_after_them(slack, events, clock):
    quiet = QuietHours(from_minute=7 * 60, to_minute=9 * 60, zone=ZoneInfo("UTC"))  # NOW is eight
    said = {**rows("a"), "findings": runway(2)}
    outcomes = announce(events, bot(slack), clock, said, quiet=quiet)
    assert [(one.case_key, one.result) for one in outcomes] == [
        ("runway:openrouter/router/USD#1", "posted"),
        ("workload:a#1", "deferred"),
    ]
    assert "Quiet hours until 2026-01-09 09:00 UTC" in outcomes[1].detail
    clock.pass_time(hours=1)
    assert results(announce(events, bot(slack), clock, said, quiet=quiet)) == ["posted"]


def test_a_run_that_always_falls_in_quiet_hours_is_seen_by_doctor_and_one_after_them_ends_that(slack, events, clock):
    quiet = QuietHours(from_minute=0, to_minute=12 * 60, zone=ZoneInfo("UTC"))
    said = Slack(channel="#x", quiet_hours={"from": "00:00", "to": "12:00"})

    def seen():
        contents = Contents(deliveries=(), events=tuple(events.events()))
        found = slack_findings(said, None, contents, environment={}, until=0, now=clock())
        return [one.said for one in found if one.check == "quiet hours"]

    for day in range(4):
        assert seen() == []
        for _ in range(2):
            assert results(announce(events, bot(slack), clock, rows("support-chat"), quiet=quiet)) == ["deferred"]
            clock.pass_time(minutes=5)
        if day >= 2:
            (text,) = seen()
            assert f"every run of {day + 1} days to 2026-01-{9 + day:02}" in text
            assert "workload:support-chat#1 waits since 2026-01-09" in text
            break
        clock.pass_time(hours=23, minutes=50)
    assert len(events.events("message.kept_quiet")) == 3
    clock.pass_time(hours=8)
    assert results(announce(events, bot(slack), clock, rows("support-chat"), quiet=quiet)) == ["posted"]
    assert seen() == []


def test_an_edit_disturbs_nobody_and_waits_for_nothing(slack, events, clock):
    announce(events, bot(slack), clock, rows("a"))
    quiet = QuietHours(from_minute=7 * 60, to_minute=9 * 60, zone=ZoneInfo("UTC"))
    moved = rows("a", demand_tokens_per_day=71_000_000)
    assert results(announce(events, bot(slack), clock, moved, quiet=quiet)) == ["updated"]


# Each team its channel


def test_a_case_goes_to_the_channel_of_its_team_and_the_week_of_each_channel_is_its_own(slack, events, clock):
    slack.channels["C0SEARCH0"] = "search-costs"
    said = {
        "verdicts": [*rows("a", "b")["verdicts"], *rows("s", "t", team="search")["verdicts"]],
        "alerts": rows("a", "b", "s", "t")["alerts"],
    }
    announce(events, bot(slack), clock, said, channels={"search": "#search-costs"})
    by_channel = Counter(message["channel"] for message in slack.messages)
    assert by_channel == {"C0COSTS00": 2, "C0SEARCH0": 2}
    later = rows("s", day=DAY + timedelta(days=1), team="search", demand_tokens_per_day=71_000_000)
    assert results(announce(events, bot(slack), clock, later, channels={"search": "#search-costs"})) == ["updated"]


def test_a_channel_that_is_gone_keeps_no_other_from_being_told(slack, events, clock):
    said = {
        "verdicts": [*rows("a")["verdicts"], *rows("s", "t", team="search")["verdicts"]],
        "alerts": rows("a", "s", "t")["alerts"],
    }
    outcomes = announce(events, bot(slack), clock, said, channels={"search": "#nowhere"})
    assert {one.case_key: one.result for one in outcomes} == {
        "workload:a#1": "posted",
        "workload:s#1": "refused",
        "workload:t#1": "deferred",
    }
    slack.channels["C0NOWHERE"] = "nowhere"
    assert results(announce(events, bot(slack), clock, said, channels={"search": "#nowhere"})) == ["posted", "posted"]


def test_a_webhook_has_one_channel_and_its_week_is_counted_too(slack, events, clock):
    said = rows("a", "b", "c", team="search")
    outcomes = announce(events, webhook(slack), clock, said, channels={"search": "#search-costs"})
    assert results(outcomes) == ["posted", "posted"]
    slack.fail("webhook", Failure(status=500))
    assert announce(events, webhook(slack), clock, said) == []
    assert len(slack.messages) == 2
