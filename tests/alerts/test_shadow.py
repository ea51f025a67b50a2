"""Nothing is posted before somebody says so, having seen what would have been; and who was told before goes on."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.alerts.rehearsal import rehearse
from pipeline.alerts.sending import Posted
from pipeline.alerts.shadow import DISABLED, ENABLED, speaking

from .fake_events import MemoryEvents
from .rows import DAY, NOW, Clock, alert, verdict
from .test_outbox import announce, bot

WORKLOADS = ("a", "b")


def said(events, kind, by="ana"):
    events.record(kind=kind, subject="alerts", body={"by": by}, now=NOW)


def test_nobody_has_enabled_it_until_somebody_does_and_the_last_word_counts(events):
    assert not speaking(events.events()).is_enabled
    said(events, ENABLED)
    assert (speaking(events.events()).is_enabled, speaking(events.events()).by) == (True, "ana")
    said(events, DISABLED, by="bo")
    assert speaking(events.events()).in_words == "disabled by bo"
    said(events, ENABLED)
    assert speaking(events.events()).is_enabled


def test_an_installation_that_has_posted_before_goes_on(slack, events, clock):
    """Nobody would notice a channel that fell silent with a release."""
    announce(events, None, clock)
    assert not speaking(events.events()).is_enabled  # printed is not posted
    announce(events, bot(slack), clock)
    assert speaking(events.events()).is_enabled
    said(events, DISABLED)
    assert not speaking(events.events()).is_enabled


def rehearsed(days, *, first, last):
    """`days`: per workload its states from the day before `first` on; None is frozen."""
    alerts, verdicts = [], []
    for workload, states in days.items():
        known = None
        for offset, state in enumerate(states):
            day = first + timedelta(days=offset - 1)
            known = state or known
            facts = {"state": known or "api", "is_frozen": state is None, "is_fired": False}
            alerts.append(alert(workload=workload, usage_date=day, **facts))
            verdicts.append(verdict(workload=workload, usage_date=day))
    return rehearse(verdicts=verdicts, alerts=alerts, first_day=first, last_day=last, company="Acme", currency="USD")


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.sampled_from(["api", "self_host", None])] * len(WORKLOADS)), min_size=2, max_size=20))
def test_each_change_of_an_unfrozen_day_is_one_post_on_that_day(rows):
    """Counted by hand: of the days that speak, each that differs from the one before it."""
    states = {name: [row[number] for row in rows] for number, name in enumerate(WORKLOADS)}
    last = DAY + timedelta(days=len(rows) - 2)
    told = rehearsed(states, first=DAY, last=last)
    expected = set()
    for name, of_days in states.items():
        spoken = [(number, state) for number, state in enumerate(of_days) if state is not None]
        changes = [(number, state) for (_, before), (number, state) in pairwise(spoken) if state != before]
        expected |= {
            (DAY + timedelta(days=number - 1), f"workload:{name}#{ordinal}", state)
            for ordinal, (number, state) in enumerate(changes, start=1)
        }
    assert {(post.day, post.case_key, post.state) for post in told.posts} == expected


@settings(max_examples=20)
@given(states=st.lists(st.sampled_from(["api", "self_host"]), min_size=2, max_size=15))
def test_the_posts_are_those_that_a_run_a_day_makes(states):
    """Against the outbox itself on each morning, as a run would have called it."""
    told = rehearsed({"a": states}, first=DAY, last=DAY + timedelta(days=len(states) - 2))
    events, clock, live = MemoryEvents(), Clock(), []

    class Channel:
        kind, channel, can_read_history, can_show_pictures = "test", "C0", True, False

        def post(self, *, message, claim_id, channel=None):
            live.append(message.plain)
            return Posted(channel="C0", timestamp=str(len(live)))

        def update(self, **_):
            return Posted(channel="C0", timestamp="1")

    for number in range(1, len(states)):
        days = [DAY + timedelta(days=offset - 1) for offset in range(number + 1)]
        announce(
            events,
            Channel(),
            clock,
            verdicts=[verdict(workload="a", usage_date=day) for day in days],
            alerts=[
                alert(workload="a", usage_date=day, state=state, is_fired=False)
                for day, state in zip(days, states, strict=False)
            ],
        )
        clock.pass_time(days=1)
    assert [post.first_line for post in told.posts] == [text.splitlines()[0] for text in live]


def test_what_was_so_before_the_stretch_is_no_news_of_it():
    long_ago = rehearsed({"a": ["self_host"] * 10}, first=DAY, last=DAY + timedelta(days=8))
    assert (long_ago.posts, long_ago.posts_per_week) == ((), 0)


@pytest.mark.parametrize(("days", "per_week"), [(7, "1.0"), (14, "0.5"), (90, "0.1")])
def test_posts_a_week_are_over_all_days_of_the_stretch(days, per_week):
    told = rehearsed({"a": ["api", "self_host"]}, first=DAY, last=DAY + timedelta(days=days - 1))
    assert str(told.posts_per_week) == per_week


def test_money_of_a_post_is_the_saving_of_its_day():
    states = {"a": ["api", "self_host"]}
    (post,) = rehearsed(states, first=DAY, last=date(2026, 3, 1)).posts
    assert post.saving_rc_per_month == verdict().saving_rc_per_month
    assert post.first_line == "a: move to self-hosting"
