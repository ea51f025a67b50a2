"""The hourly guard: far above the same hour of the week, told once and at once, corrected by the bill, and off by
default."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.alerts.answers import Answers
from pipeline.alerts.spend_guard import guard_findings
from pipeline.alerts.told import standing
from pipeline.config.file import parse_config
from pipeline.decisions.graph import current_snapshot
from pipeline.economics.hourly_guard import burst
from pipeline.errors import ConfigError
from pipeline.landing.project import Project
from pipeline.reports.questions import Questions

from .rows import NOW
from .test_findings import announce
from .test_outbox import bot, results

HOUR = datetime(2026, 1, 9, 7, tzinfo=UTC).replace(tzinfo=None)
MULTIPLE, FLOOR = Fraction(3), Fraction(50)
SUBJECT = "guard:acme/ws/key_1/opus"


def hour(at, cost, *, key="key_1", rate="1", **changes):
    """`cost`: tokens of a class that costs one a token."""
    return {
        "usage_date": at.date(), "usage_hour_at": at, "account": "acme", "sub_account_id": "ws", "api_key_id": key,
        "model": "opus", "token_class": "output", "tokens": cost,
        "rate_cost_rc": None if rate is None else Decimal(rate), "rate_tokens": 1, **changes,
    }  # fmt: skip


def weeks(cost, at=HOUR):
    return [hour(at - timedelta(weeks=back), cost) for back in range(1, 5)]


def of(hours, days=(), events=()):
    return guard_findings(hours, days, events, multiple=MULTIPLE, floor=FLOOR, currency="USD")


@given(
    st.lists(st.none() | st.fractions(0, 1000), min_size=5, max_size=5),
    st.fractions(1, 10),
    st.fractions(0, 100),
)
def test_an_hour_fires_by_the_rule_as_it_is_written(costs, multiple, floor):
    known = {HOUR - timedelta(weeks=back): cost for back, cost in enumerate(costs) if cost is not None}
    found = burst(HOUR, known, multiple=multiple, floor=floor)
    before = [cost for cost in costs[1:] if cost is not None]
    if costs[0] is None or len(before) < 3:
        assert found is None
        return
    level = Fraction(median(before))
    assert (found is not None) == (costs[0] >= multiple * level and costs[0] - level >= floor)
    assert found is None or (found.cost, found.level) == (costs[0], level)


def test_at_the_multiple_and_at_the_floor_it_fires_and_below_either_it_does_not():
    known = {HOUR - timedelta(weeks=back): Fraction(20) for back in range(1, 5)}

    def fires(cost, multiple, floor):
        return (
            burst(HOUR, known | {HOUR: Fraction(cost)}, multiple=Fraction(multiple), floor=Fraction(floor)) is not None
        )

    assert [fires(60, 3, 40), fires(59, 3, 0), fires(60, 2, 41)] == [True, False, False]


@given(st.lists(st.fractions(0, 1000), min_size=5, max_size=5), st.integers(2, 10**6))
def test_in_another_currency_the_same_hours_fire(costs, rate):
    known = {HOUR - timedelta(weeks=back): cost for back, cost in enumerate(costs)}
    other = {at: cost * rate for at, cost in known.items()}
    one = burst(HOUR, known, multiple=MULTIPLE, floor=FLOOR)
    assert (one is None) == (burst(HOUR, other, multiple=MULTIPLE, floor=FLOOR * rate) is None)


def test_it_names_key_and_model_and_says_that_it_is_no_bill():
    (found,) = of([*weeks(20), hour(HOUR, 300)])
    assert (found.subject, found.is_urgent) == (SUBJECT, True)
    assert found.headline == "key_1 of acme, opus: $300.00 in one hour, at list prices"
    assert "2026-01-09 07:00 UTC, where the same hour of the four weeks before had $20.00" in found.why
    assert "provisional, no bill" in found.how_sure


def test_the_same_hour_of_the_week_is_what_counts_and_an_hour_without_use_is_nothing_where_others_had_some():
    assert of([*weeks(200), hour(HOUR, 300)]) == []
    assert of([hour(HOUR, 300)]) == []  # nothing is known of the weeks before
    others = [hour(HOUR - timedelta(weeks=back), 1, key="key_2") for back in range(1, 5)]
    assert [found.subject for found in of([*others, hour(HOUR, 300)])] == [SUBJECT]


def test_tokens_without_a_list_price_are_named_and_fire_nothing():
    rows = [*weeks(20), hour(HOUR, 300), hour(HOUR, 7_000, rate=None, token_class="input_uncached")]
    (found,) = of(rows)
    assert found.headline.startswith("key_1 of acme, opus: $300.00")
    assert found.unknown == "The price of 7,000 tokens."
    assert of([*weeks(20), hour(HOUR, 300, rate=None)]) == []


def test_it_is_told_once_in_quiet_hours_too_and_corrected_when_it_is_billed(slack, events, clock):
    def run(hours, days=()):
        return results(announce(events, bot(slack), clock, of(hours, days, events.events()), posts_per_week=1))

    rows = [*weeks(20), hour(HOUR, 300)]
    assert run(rows) == ["posted"]
    assert run(rows) == []
    next_hour = HOUR + timedelta(hours=1)
    assert run([*rows, *weeks(20, next_hour), hour(next_hour, 400)]) == ["updated"]
    clock.pass_time(days=2)
    quiet = [*weeks(20), hour(HOUR + timedelta(days=2), 20)]
    assert run(quiet) == []  # nobody has billed it yet: it stays as it was told
    assert [one.case_key for one in standing(events.events(), clock())] == [f"{SUBJECT}#1"]
    billed = {"usage_date": HOUR.date(), "account": "acme", "sub_account_id": "ws", "api_key_id": "key_1"}
    billed |= {"model": "opus", "list_cost_rc": Decimal(700), "billed_cost_rc": Decimal("630.50")}
    assert run(quiet, [billed]) == ["updated"]
    head = slack.messages[0]["blocks"][0]["text"]["text"]
    assert head == "Over: acme/ws/key_1/opus: $630.50 were billed for 2026-01-09 UTC ($700.00 at list prices)"
    assert run(quiet, [billed]) == []
    assert (len(slack.messages), standing(events.events(), clock())) == (1, [])
    assert slack.rejections == []


def test_acknowledged_it_is_quiet_until_it_is_billed(slack, events, clock):
    rows = [*weeks(20), hour(HOUR, 300)]
    announce(events, bot(slack), clock, of(rows))
    Answers(events, clock).acknowledge(SUBJECT, by="ana")
    clock.now = NOW + timedelta(hours=3)
    assert "posted" not in results(announce(events, bot(slack), clock, of(rows, (), events.events())))


def test_what_somebody_said_is_done_is_told_again_by_hours_that_began_later_alone(slack, events, clock):
    def run(hours):
        return results(announce(events, bot(slack), clock, of(hours, (), events.events())))

    clock.now = HOUR.replace(tzinfo=UTC) + timedelta(minutes=70)
    rows = [*weeks(20), hour(HOUR, 300)]
    assert run(rows) == ["posted"]
    Answers(events, clock).done(SUBJECT, by="ana")
    this_hour, next_hour = HOUR + timedelta(hours=1), HOUR + timedelta(hours=2)
    rows += [*weeks(20, this_hour), hour(this_hour, 400)]
    assert [run(rows), run(rows)] == [["updated"], []]
    assert slack.messages[0]["blocks"][0]["text"]["text"].startswith("Done: key_1")
    assert run([*rows, *weeks(20, next_hour), hour(next_hour, 400)]) == ["posted"]
    assert len(slack.messages) == 2


def test_what_went_on_over_midnight_is_corrected_once_each_day_that_was_told_is_billed(slack, events, clock):
    def run(hours, days=()):
        return results(announce(events, bot(slack), clock, of(hours, days, events.events())))

    late, early = HOUR.replace(hour=23), HOUR.replace(hour=23) + timedelta(hours=1)
    rows = [*weeks(20, late), hour(late, 300)]
    assert [run(rows), run([*rows, *weeks(20, early), hour(early, 400)])] == [["posted"], ["updated"]]
    of_key = {"account": "acme", "sub_account_id": "ws", "api_key_id": "key_1", "model": "opus"}
    billed = [
        {"usage_date": at.date(), **of_key, "list_cost_rc": Decimal(700), "billed_cost_rc": Decimal(cost)}
        for at, cost in ((late, "300.25"), (early, "400.50"))
    ]
    quiet = [*weeks(20), hour(HOUR + timedelta(days=3), 20)]
    assert [run(quiet, billed[:1]), run(quiet, billed), run(quiet, billed)] == [[], ["updated"], []]
    said = "acme/ws/key_1/opus: $700.75 were billed for 2026-01-09 to 2026-01-10 UTC ($1,400.00 at list prices)"
    assert slack.messages[0]["blocks"][0]["text"]["text"] == f"Over: {said}"
    assert (len(slack.messages), standing(events.events(), clock())) == (1, [])


def test_a_bill_without_an_amount_is_not_called_one_that_names_no_such_use(slack, events, clock):
    announce(events, bot(slack), clock, of([*weeks(20), hour(HOUR, 300)]))
    row = {"usage_date": HOUR.date(), "account": "acme", "sub_account_id": "ws", "api_key_id": "key_1", "model": "opus"}
    said = []
    for billed in ({**row, "billed_cost_rc": None, "list_cost_rc": None}, {**row, "account": "another"}):
        (found,) = of([], [billed], events.events())
        said.append(found.at_stake)
    assert said == [
        "2026-01-09 UTC is settled, and what was billed has no amount in USD.",
        "2026-01-09 UTC is settled, and no bill names such use.",
    ]


def test_it_is_off_by_default_and_a_guard_that_always_fires_is_refused():
    assert parse_config("company: Acme").spend_guard is None
    said = parse_config("company: Acme\nspend_guard: {multiple: 4}").spend_guard
    assert (said.multiple, said.floor) == (4, 50)
    for wrong in ("{multiple: 1}", "{floor: 0}"):
        with pytest.raises(ConfigError):
            parse_config(f"company: Acme\nspend_guard: {wrong}")


def test_the_demos_hours_at_list_prices_are_those_of_a_second_route(demo_folder: Path) -> None:
    today = date(2026, 11, 14)
    since, until = today - timedelta(days=30), today + timedelta(days=1)
    with Questions(current_snapshot(Project(demo_folder))) as questions:
        asked = questions.ask("spend_guard_hours", from_date=since, to_date=until).to_dicts()
        usage, costs = (
            questions.select(f"select * from {name}").to_dicts()
            for name in ("int_api_usage_hourly", "fct_api_costs_daily")
        )
        days = questions.ask("spend_guard_days", from_date=since, to_date=until).to_dicts()
    days_meant = {today - timedelta(days=back) for back in (0, 1, 7, 8, 14, 15, 21, 22, 28, 29)}
    hand: dict[tuple[object, ...], int] = defaultdict(int)
    for row in usage:
        if row["usage_hour_at"] is not None and row["charge_kind"] == "tokens" and row["usage_date"] in days_meant:
            names = ("usage_hour_at", "account", "sub_account_id", "api_key_id", "model", "token_class")
            hand[tuple(row[name] for name in names)] += row["tokens"]
    names = ("usage_hour_at", "account", "sub_account_id", "api_key_id", "model", "token_class")
    assert {tuple(row[name] for name in names): row["tokens"] for row in asked} == hand
    assert len(asked) == len(hand) > 0
    listed: dict[tuple[object, ...], list[Fraction]] = defaultdict(lambda: [Fraction(0), Fraction(0)])
    for row in costs:
        if row["list_cost_rc"] is not None and row["tokens"] and since <= row["usage_date"] < until:
            of_class = listed[row["model"], row["token_class"]]
            of_class[0] += Fraction(row["list_cost_rc"])
            of_class[1] += row["tokens"]
    for row in asked:
        if row["rate_cost_rc"] is not None:
            cost, tokens = listed[row["model"], row["token_class"]]
            assert (Fraction(row["rate_cost_rc"]), row["rate_tokens"]) == (cost, tokens)
    assert any(row["rate_cost_rc"] for row in asked)
    billed = sum((Fraction(row["billed_cost_rc"]) for row in days if row["billed_cost_rc"] is not None), Fraction(0))
    assert billed > 0
