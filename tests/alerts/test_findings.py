"""What there is to say beside verdicts: when a case of it opens, holds and ends, and that it is said once."""

import json
from calendar import monthrange
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.alerts.anomaly_findings import anomaly_findings
from pipeline.alerts.answers import Answers
from pipeline.alerts.case import Case
from pipeline.alerts.findings import (
    budget_findings,
    ended_findings,
    restated_findings,
    runway_findings,
    source_findings,
    waste_findings,
)
from pipeline.alerts.message import message_for
from pipeline.alerts.sending import Posted
from pipeline.alerts.told import standing
from pipeline.economics.worth_saying import Floor

from .fake_events import MemoryEvents
from .fake_slack import error_in
from .rows import DAY, NOW, Clock, alert, verdict
from .test_outbox import SUBJECT, bot, outbox, results

GOLDEN = Path(__file__).parent / "golden"
FLOOR = Floor(absolute=Decimal(100), share=Decimal("0.05"))
HOSTILE = "<!channel> *a* _b_ `c` :rocket: @here \u202e &lt;&#64;channel"


def wasted(day, cost, *, bill="400", pool="chat", unknown=0):
    return {
        "usage_date": day,
        "deployment_id": pool,
        "waste_gpu_milliseconds": 36_000_000,
        "waste_cost_rc": None if cost is None else Decimal(cost),
        "bill_cost_rc": Decimal(bill),
        "unknown_count": unknown,
    }


def of_waste(rows, *, day=DAY, floor=FLOOR):
    return waste_findings(rows, day=day, floor=floor, currency="USD", teams={"chat": "helpdesk"})


def days_back(count, last=DAY):
    return [last - timedelta(days=back) for back in reversed(range(count))]


# Waste


@given(
    costs=st.lists(st.none() | st.decimals(min_value=0, max_value=1000, places=2), min_size=7, max_size=40),
    late=st.integers(0, 3),
)
def test_a_months_waste_is_that_of_28_days_carried_to_the_month(costs, late):
    """By hand: the mean of the last 28 settled days, times the days of the month; no day after the one asked counts."""
    rows = [wasted(day, cost) for day, cost in zip(days_back(len(costs)), costs, strict=True)]
    later = [wasted(DAY + timedelta(days=1 + number), "99999") for number in range(late)]
    (found,) = of_waste([*rows, *later])
    last = costs[-28:]
    mean = sum((Fraction(cost) for cost in last if cost is not None), Fraction(0)) / len(last)
    expected = mean * monthrange(DAY.year, DAY.month)[1]
    assert abs(Fraction(found.saving_rc_per_month) - expected) <= Fraction(1, 10**18)
    assert found.opens == (expected >= max(100, Fraction("0.05") * 400 * monthrange(DAY.year, DAY.month)[1]))
    assert found.is_calm == (expected < max(50, Fraction("0.025") * 400 * monthrange(DAY.year, DAY.month)[1]))


def test_the_window_is_of_28_days_no_more_and_no_fewer():
    """Of 30 days the oldest of the 28 counts and the one before it does not."""
    costs = ["5000", "5000", "2800", *["0"] * 27]
    rows = [wasted(day, cost) for day, cost in zip(days_back(30), costs, strict=True)]
    assert [found.saving_rc_per_month for found in of_waste(rows)] == [100 * 31]


def test_less_than_a_week_says_nothing():
    assert of_waste([wasted(day, "50") for day in days_back(6)]) == []
    assert len(of_waste([wasted(day, "50") for day in days_back(7)])) == 1


def test_days_that_are_not_settled_are_no_part_of_the_window_and_it_begins_where_the_command_does():
    """Seven settled days among fifteen: a sum of them is found again by the command only from the first of them on."""
    days = days_back(15)[::2]
    (found,) = of_waste([wasted(day, "50") for day in days])
    assert f"8 settled days from {days[0]} UTC" in found.why
    assert found.command == f"breakeven waste --by line --from {days[0]} --to {DAY + timedelta(days=1)}"


def test_gpus_of_no_deployment_are_a_case_of_their_own_and_rival_nobody():
    rows = [wasted(day, "50", pool=pool) for day in days_back(7) for pool in ("chat", None)]
    nobodys, chats = of_waste(rows)
    assert (nobodys.subject, nobodys.pool, nobodys.team) == ("waste:(no deployment)", None, None)
    assert (chats.subject, chats.pool, chats.team) == ("waste:chat", "chat", "helpdesk")


def test_what_has_no_price_is_named_and_not_called_zero():
    (found,) = of_waste([wasted(day, "50", unknown=2) for day in days_back(7)])
    assert found.unknown == "The cost of 14 charges."


# Runway


def prepaid(day, runway, *, account="router"):
    return {
        "usage_date": day,
        "issuer": "openrouter",
        "account": account,
        "billing_currency": "USD",
        "closing_balance_cost": Decimal(120),
        "daily_used_cost": Decimal(10),
        "runway_days_count": runway,
    }


@given(runway=st.integers(0, 60), age=st.integers(0, 60))
def test_a_balance_lasts_from_the_day_it_is_of(runway, age):
    """Days that passed since it was known are used up, whether a bill of them has come or not."""
    (found,) = runway_findings([prepaid(DAY - timedelta(days=age), runway)], day=DAY)
    left = max(runway - age, 0)
    assert found.opens == (left <= 14)
    assert found.is_calm == (left > 28)
    if age > 7:
        assert (found.state, found.is_urgent) == ("not_known", False)
        assert found.headline == f"openrouter router: prepaid balance not known since {DAY - timedelta(days=age)} UTC"
        return
    assert found.is_urgent == (left <= 3)
    empty = DAY + timedelta(days=runway - age)
    assert (f"lasts {left} day" if runway >= age else f"should be used up since {empty} UTC") in found.headline


def test_a_stale_balance_is_told_once_as_not_known_and_wakes_nobody(slack, events, clock):
    """B27: a bill that stopped a month ago is no account that runs out today; what was told before is edited."""

    def told(age):
        found = runway_findings([prepaid(DAY, 12)], day=DAY + timedelta(days=age))
        clock.now = NOW + timedelta(days=age)
        return results(announce(events, bot(slack), clock, found))

    assert [told(age) for age in (0, 8, 9, 30)] == [["posted"], ["updated"], ["updated"], ["updated"]]
    assert "not known since" in slack.messages[0]["blocks"][0]["text"]["text"]
    assert "lasts 0 days" not in json.dumps(slack.messages)


def test_of_an_account_the_newest_known_balance_counts_and_an_unknown_runway_says_nothing():
    rows = [prepaid(DAY - timedelta(days=1), 5), prepaid(DAY, 40), prepaid(DAY + timedelta(days=1), 1)]
    assert [found.is_calm for found in runway_findings(rows, day=DAY)] == [True]
    assert runway_findings([prepaid(DAY, None)], day=DAY) == []


# Budgets


def budget(status, *, forecast="1200", spent="700", **changes):
    row = {
        "month_from_date": DAY.replace(day=1),
        "scope": "team",
        "scope_name": "search",
        "status": status,
        "reason": "28 settled days to 2026-01-08",
        "budget_cost_rc": Decimal(1000),
        "settled_cost_rc": Decimal(spent),
        "settled_known_cost_rc": Decimal(spent),
        "unknown_charge_count": 0,
        "settled_days_count": 7,
        "month_days_count": 31,
        "forecast_cost_rc": None if forecast is None else Decimal(forecast),
    }
    return {**row, **changes}


def of_budgets(*rows):
    return budget_findings(rows, day=DAY, floor=FLOOR, currency="USD")


@pytest.mark.parametrize(
    ("row", "opens", "is_calm", "state"),
    [
        (budget("over", spent="1001", forecast="1001"), True, False, "over"),
        (budget("over", spent="1100", forecast=None), True, False, "over"),
        (budget("at_risk", forecast="1100"), True, False, "at_risk"),
        (budget("at_risk", forecast="1099.99"), False, False, "at_risk"),
        (budget("within", forecast="1000"), False, True, "at_risk"),
    ],
)
def test_a_budget_is_told_when_it_is_spent_or_its_forecast_is_above_the_floor(row, opens, is_calm, state):
    (found,) = of_budgets(row)
    assert (found.opens, found.is_calm, found.state, found.team) == (opens, is_calm, state, "search")
    assert found.subject == "overspend:2026-01/team/search"


def test_an_unknown_budget_and_older_months_say_nothing():
    assert of_budgets(budget("unknown"), budget("over", month_from_date=date(2025, 11, 1))) == []


def test_a_budget_that_goes_over_when_the_months_last_days_settle_is_told_in_the_next_month(slack, events, clock):
    december = {"month_from_date": date(2025, 12, 1), "forecast": "1040", "spent": "1040", "settled_days_count": 31}
    at_risk = of_budgets(budget("at_risk", **{**december, "spent": "990"}))
    assert [found.opens for found in at_risk] == [False]  # a forecast of days that are over: nothing to prevent
    (over,) = of_budgets(budget("over", **december))
    assert (over.opens, over.headline) == (True, "team search, 2025-12: the month is over, $40.00 above its budget")
    assert results(announce(events, bot(slack), clock, at_risk)) == []
    assert results(announce(events, bot(slack), clock, [over])) == ["posted"]
    both = of_budgets(budget("over", **december), budget("over", spent="1100", forecast="1100"))
    assert [(found.subject, found.opens) for found in both] == [
        ("overspend:2025-12/team/search", False),
        ("overspend:2026-01/team/search", True),
    ]
    assert both[1].why.endswith("Last month, 2025-12: $40.00 above the budget.")
    still = ended_findings(events.events(), known=(), declared={"team/search"}, day=DAY)
    assert still == []
    (ended,) = ended_findings(events.events(), known=(), declared={"team/search"}, day=date(2026, 2, 1))
    assert ended.is_calm


def test_what_is_spent_of_it_at_least_says_so():
    (found,) = of_budgets(budget("over", settled_cost_rc=None, spent="1100", unknown_charge_count=3, forecast=None))
    assert found.why.startswith("At least $1,100.00 of $1,000.00")
    assert found.why.endswith("what the month comes to is unknown.")
    assert found.headline == "team search, 2026-01: budget spent, $100.00 above it so far"
    assert found.unknown == "The cost of 3 charges."


# Sources


def source(*, late=(), blocked=(), **changes):
    row = {"source": "litellm", "account": "proxy", "dataset": "logs", "last_usage_date": DAY}
    return {**row, "late_dates": list(late), "blocked_dates": list(blocked), **changes}


def of_sources(*rows):
    return source_findings(rows, day=DAY, owners={("litellm", "proxy"): "platform"})


@pytest.mark.parametrize(
    ("row", "opens", "is_calm", "state"),
    [
        (source(), False, True, "late"),
        (source(late=[DAY]), False, False, "late"),
        (source(late=[DAY - timedelta(days=1), DAY]), True, False, "late"),
        (source(blocked=[DAY]), True, False, "lost"),
    ],
)
def test_a_source_is_told_to_its_owner_when_it_is_two_days_late_or_lost_money(row, opens, is_calm, state):
    (found,) = of_sources(row)
    assert (found.opens, found.is_calm, found.state, found.team) == (opens, is_calm, state, "platform")
    assert "$" not in json.dumps([found.headline, found.why, found.at_stake])
    assert found.saving_rc_per_month is None


def test_what_has_never_come_is_no_news():
    assert of_sources(source(last_usage_date=None, late=[DAY, DAY])) == []


# Restated months


def restated(*, due=date(2026, 1, 1), cost=Decimal("3.50")):
    row = {"billing_month_date": date(2025, 10, 1), "billing_currency": "USD"}
    return {**row, "due_month_date": due, "difference_cost": cost}


def test_a_restated_month_is_told_once_a_month_in_which_it_is_due():
    rows = [restated(due=date(2025, 12, 1)), restated(cost=Decimal("-1.25"))]
    (found,) = restated_findings(rows, day=DAY)
    assert (found.subject, found.state, found.opens) == ("restated:2025-10", "restated_in_2026-01", True)
    assert found.headline == "2025-10 was closed; of what its bills moved by since, −$1.25 is due in 2026-01"
    (nothing,) = restated_findings([{**rows[1], "difference_cost": Decimal(0)}], day=DAY)
    assert (nothing.opens, nothing.is_calm) == (False, True)


# As cases


def announce(events, outlet, clock, findings, **settings):
    return outbox(events, outlet, clock, **settings).announce(verdicts=[], alerts=[], findings=findings)


def runway(days, age=0):
    return runway_findings([prepaid(DAY + timedelta(days=age), days)], day=DAY + timedelta(days=age))


def test_a_case_is_opened_once_escalated_once_ended_by_an_edit_and_opened_again(slack, events, clock):
    def told(days, age):
        found = results(announce(events, bot(slack), clock, runway(days, age)))
        clock.pass_time(days=1)
        return found

    assert told(40, 0) == []
    assert told(14, 1) == ["posted"]
    assert told(9, 2) == ["updated"]
    assert told(3, 3) == ["posted"]
    assert told(10, 4) == ["updated"]  # milder than what was said: no news, and it says so in place
    assert told(20, 5) == ["updated"]
    assert told(90, 6) == ["updated"]
    assert told(90, 7) == []
    assert told(12, 8) == ["posted"]
    keys = [message["metadata"]["event_payload"]["case_key"] for message in slack.messages]
    assert keys == [f"runway:openrouter/router/USD#{number}" for number in (1, 2, 3)]
    assert slack.messages[1]["blocks"][0]["text"]["text"].startswith("Over: openrouter router: ")
    assert len(events.events("case.closed")) == 1
    assert slack.rejections == []


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12))
def test_whatever_a_balance_does_no_two_posts_in_a_row_say_the_same_and_none_is_of_one_that_lasts(days):
    said = []

    class Channel:
        kind, channel, can_read_history, can_show_pictures = "test", "C0", True, False

        def post(self, *, message, claim_id, channel=None):
            said.append(message.case_key)
            return Posted(channel="C0", timestamp=str(len(said)))

        def update(self, **_):
            return Posted(channel="C0", timestamp="1")

    events, clock, known, expected = MemoryEvents(), Clock(), None, 0
    for age, left in enumerate(days):
        announce(events, Channel(), clock, runway(left, age))
        state = "last" if left <= 3 else "low" if left <= 14 else "calm" if left > 28 else None
        if state == "last" and known != "last":
            expected, known = expected + 1, "last"
        elif state == "low" and known is None:
            expected, known = expected + 1, "low"
        elif state == "calm":
            known = None
        clock.pass_time(days=1)
    assert len(said) == len(set(said)) == expected


def test_what_is_found_no_more_is_ended_and_no_case_stays_open_for_ever(slack, events, clock):
    """A restated month that was booked has no row, and a budget is asked for in its month only."""
    said = [*restated_findings([restated()], day=DAY), *of_budgets(budget("over", spent="1100"))]
    assert results(announce(events, bot(slack), clock, said)) == ["posted", "posted"]

    def ended(day, *known):
        return ended_findings(events.events(), known=known, declared={"team/search"}, day=day)

    assert [found.subject for found in ended(DAY)] == ["restated:2025-10"]
    assert ended(DAY, "restated:2025-10") == []
    clock.pass_time(days=30)
    assert [found.subject for found in ended(date(2026, 2, 1))] == ["restated:2025-10"]
    after = ended(date(2026, 3, 1))
    assert results(announce(events, bot(slack), clock, after)) == ["updated", "updated"]
    heads = [message["blocks"][0]["text"]["text"] for message in slack.messages]
    assert sorted(heads) == [
        "Over: 2025-10: nothing is left to book",
        "Over: 2026-01: the month is over for team search",
    ]
    assert ended(date(2026, 3, 2)) == []
    assert [one.case_key for one in standing(events.events(), clock())] == []


def test_what_is_declared_no_more_is_ended_and_what_only_is_silent_is_not(slack, events, clock):
    kinds = ("waste", "runway", "overspend", "source", "restated")
    said = [found for kind in kinds for found in EVERY_KIND[kind]("chat")]
    subjects = {found.subject for found in said} | {SUBJECT}
    rows = {"verdicts": [verdict()], "alerts": [alert()]}
    outbox(events, bot(slack), clock).announce(**rows, findings=said)
    gone = {"waste:chat", "runway:openrouter/chat/USD", "overspend:2026-01/team/chat", "source:chat/chat", SUBJECT}

    def ended(*, declared):
        return ended_findings(events.events(), known=("restated:2025-10",), declared=declared, day=DAY)

    assert subjects >= gone
    assert ended(declared={*gone, "team/chat"}) == []
    found = ended(declared=())
    assert {one.subject for one in found} == gone
    clock.pass_time(days=1)
    assert set(results(announce(events, bot(slack), clock, found))) == {"updated"}
    assert {one.case_key for one in standing(events.events(), clock())} == {"restated:2025-10#1"}
    clock.pass_time(days=1)
    assert ended(declared=()) == []
    assert slack.rejections == []


def test_what_is_about_to_run_out_is_told_though_its_low_balance_was_snoozed(slack, events, clock):
    announce(events, bot(slack), clock, runway(12))
    Answers(events, clock).snooze("runway:openrouter/router/USD", until=clock() + timedelta(days=30), by="ana")
    assert "posted" not in results(announce(events, bot(slack), clock, runway(11, 1)))
    assert results(announce(events, bot(slack), clock, runway(3, 9))) == ["posted"]
    assert "posted" not in results(announce(events, bot(slack), clock, runway(2, 10)))


def test_what_was_done_is_not_asked_for_again_by_a_balance_from_before(slack, events, clock):
    """The newest known balance is of the day before: the next run cannot know that somebody topped it up."""
    announce(events, bot(slack), clock, runway(2))
    clock.pass_time(hours=2)
    Answers(events, clock).done("runway:openrouter/router/USD", by="ana")
    assert results(announce(events, bot(slack), clock, runway(2))) == ["updated"]
    clock.pass_time(days=1)
    assert results(announce(events, bot(slack), clock, runway(2, 1))) == ["posted"]


def test_a_calm_case_of_which_nothing_can_be_edited_is_ended_all_the_same(slack, events, clock):
    announce(events, bot(slack), clock, runway(5))
    slack.messages.clear()
    assert results(announce(events, bot(slack), clock, runway(90, 1))) == ["refused"]
    assert announce(events, bot(slack), clock, runway(90, 2)) == []
    assert len(events.events("case.closed")) == 1
    assert results(announce(events, bot(slack), clock, runway(5, 3))) == ["posted"]


# One recommendation about the same GPUs


def on_chat(workload, saving, **changes):
    return verdict(
        workload=workload, deployment_id="chat", saving_rc_per_month=Decimal(saving), best_cost_rc=None, **changes
    )


def test_of_several_recommendations_about_the_same_gpus_the_largest_saving_is_posted(slack, events, clock):
    box = outbox(events, bot(slack), clock)
    waste = of_waste([wasted(day, "50") for day in days_back(7)])  # 1,550 a month
    rows = {"verdicts": [on_chat("a", 900), on_chat("b", 5000)], "alerts": [alert(workload=name) for name in "ab"]}
    ranked = {"chat": ["fill b: $5,000.00 a month", "release 1 replica: $1,550.00 a month"]}
    assert [outcome.case_key for outcome in box.announce(**rows, findings=waste, ranked=ranked)] == ["workload:b#1"]
    said = json.dumps(slack.messages[0], ensure_ascii=False)
    assert "1. fill b: $5,000.00 a month; 2. release 1 replica: $1,550.00 a month. They do not add up." in said


@given(
    st.lists(
        st.tuples(*[st.sampled_from([0, 60, 150, 200, 400])] * 3),
        min_size=1,
        max_size=8,
    )
)
def test_at_no_time_are_two_recommendations_about_the_same_gpus_open(savings):
    """Counted from the events alone: a case is open from its post to its end."""
    events, clock = MemoryEvents(), Clock()

    class Channel:
        kind, channel, can_read_history, can_show_pictures = "test", "C0", True, False

        def post(self, *, message, claim_id, channel=None):
            return Posted(channel="C0", timestamp=message.case_key)

        def update(self, *, message, claim_id, channel, timestamp):
            return Posted(channel=channel, timestamp=timestamp)

    for number, of_day in enumerate(savings):
        day = DAY + timedelta(days=number)
        rows = [on_chat(name, saving, usage_date=day) for name, saving in zip("abc", of_day, strict=True)]
        outbox(events, Channel(), clock, floor=Floor(absolute=Decimal(100))).announce(
            verdicts=rows, alerts=[alert(workload=row.workload, usage_date=day) for row in rows]
        )
        clock.pass_time(days=1)
        opened = {event.body["case_key"] for event in events.events("message.posted")}
        ended = {event.body["case_key"] for event in events.events("case.closed")}
        assert len(opened - ended) <= 1
        if max(of_day) >= 100:
            assert opened - ended


def test_a_stronger_recommendation_takes_over_and_the_weaker_post_says_that_it_is_over(slack, events, clock):
    def told(a, b, number):
        day = DAY + timedelta(days=number)
        rows = [on_chat("a", a, usage_date=day), on_chat("b", b, usage_date=day)]
        found = outbox(events, bot(slack), clock).announce(
            verdicts=rows, alerts=[alert(workload=name, usage_date=day) for name in "ab"]
        )
        clock.pass_time(days=1)
        return [(outcome.case_key, outcome.result) for outcome in found]

    assert told(1000, 900, 0) == [("workload:a#1", "posted")]
    assert told(1000, 1499, 1) == [("workload:a#1", "updated")]
    assert told(1000, 1500, 2) == [("workload:b#1", "posted"), ("workload:a#1", "updated")]
    assert slack.messages[0]["blocks"][0]["text"]["text"].startswith("Overtaken: a: ")
    assert "nobody has to do anything" not in json.dumps(slack.messages[0])
    assert "what to do about these GPUs is said of workload:b" in json.dumps(slack.messages[0])
    assert told(1000, 1500, 3) == [("workload:b#1", "updated")]


def test_of_two_savings_that_nobody_knows_neither_takes_over_the_other_day_by_day(slack, events, clock):
    for number in range(6):
        day = DAY + timedelta(days=number)
        rows = [verdict(workload=name, deployment_id="chat", saving_rc_per_month=None, usage_date=day) for name in "ab"]
        outbox(events, bot(slack), clock).announce(
            verdicts=rows, alerts=[alert(workload=name, usage_date=day) for name in "ab"]
        )
        clock.pass_time(days=1)
    assert slack.count("chat.postMessage") == 1
    assert events.events("case.closed") == []


def test_a_weaker_recommendation_is_not_over_before_somebody_is_told_of_the_stronger_one(slack, events, clock):
    """The week's posts are used up: until the next week the old post is all that the channel has of these GPUs."""

    def told(a, b, number):
        day = DAY + timedelta(days=number)
        rows = [on_chat("a", a, usage_date=day), on_chat("b", b, usage_date=day)]
        found = outbox(events, bot(slack), clock, posts_per_week=1).announce(
            verdicts=rows, alerts=[alert(workload=name, usage_date=day) for name in "ab"]
        )
        clock.pass_time(days=1)
        return [(outcome.case_key, outcome.result) for outcome in found]

    assert told(1000, 900, 0) == [("workload:a#1", "posted")]
    assert told(1000, 1500, 1) == [("workload:b#1", "deferred"), ("workload:a#1", "updated")]
    assert not slack.messages[0]["blocks"][0]["text"]["text"].startswith("Over")
    clock.pass_time(days=5)
    assert told(1000, 1500, 2) == [("workload:b#1", "posted"), ("workload:a#1", "updated")]
    assert slack.messages[0]["blocks"][0]["text"]["text"].startswith("Overtaken: a: ")


# What Slack is handed


EVERY_KIND = {
    "waste": lambda name: waste_findings(
        [wasted(day, "50", pool=name) for day in days_back(7)], day=DAY, floor=FLOOR, currency="USD", teams={name: name}
    ),
    "runway": lambda name: runway_findings([prepaid(DAY, 2, account=name)], day=DAY),
    "overspend": lambda name: of_budgets(budget("over", spent="1100", scope_name=name, reason=name)),
    "source": lambda name: source_findings(
        [source(blocked=[DAY], source=name, account=name, dataset=name)], day=DAY, owners={(name, name): name}
    ),
    "restated": lambda name: restated_findings([restated()], day=DAY),
    "stale": lambda name: runway_findings([prepaid(DAY - timedelta(days=12), 14, account=f"{name}-old")], day=DAY),
    "late_budget": lambda name: of_budgets(
        budget(
            "over",
            spent="1040",
            forecast="1040",
            month_from_date=date(2025, 12, 1),
            settled_days_count=31,
            scope_name=name,
        )
    ),
    "anomaly": lambda name: anomaly_findings(
        [
            unusual_day(DAY, "250", "50", key=name),
            unusual_day(DAY, "5", "205", key=f"{name}-2"),
            unusual_day(DAY, "500", "500", key=None, lane="all", is_unusual=False),
        ],
        day=DAY,
        floor=FLOOR,
        currency="USD",
        teams={},
    ),
}


def unusual_day(day, cost, expected, *, key, **changes):
    said = {"lane": "api", "account": "acme", "sub_account_id": "ws", "api_key_id": key, "model": "opus", "team": key}
    said |= {"deployment_id": None, "is_unusual": True, "usage_date": day}
    return {**said, "cost_rc": Decimal(cost), "expected_cost_rc": Decimal(expected), **changes}


def payload_of(finding):
    case = Case(subject=finding.subject, ordinal=1, state=finding.state, previous_state=None, about=finding)
    said = message_for(case, currency="USD", company="Acme")
    return {"text": said.text, "blocks": list(said.blocks), "plain": said.plain.splitlines()}


def test_payloads_of_every_subject_are_the_golden_ones():
    payloads = {kind: payload_of(make("chat")[0]) for kind, make in EVERY_KIND.items()}
    assert payloads == json.loads((GOLDEN / "findings.json").read_text(encoding="utf-8"))
    assert [error_in(payload, needs_metadata=False) for payload in payloads.values()] == [None] * len(EVERY_KIND)


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("name", [HOSTILE, "x" * 5000, "𝔘" * 2000, "a\nb\x00c"])
def test_hostile_names_stay_within_slacks_limits_and_are_inert(kind, name):
    found = EVERY_KIND[kind](name)[0]
    payload = payload_of(found)
    assert error_in(payload, needs_metadata=False) is None
    said = json.dumps(payload["blocks"], ensure_ascii=False) + payload["text"]
    for live in ("<!channel>", ":rocket:", " @here", "\u202e", "\x00", "*a*"):
        assert live not in said
