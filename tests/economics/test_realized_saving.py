"""What a recommendation saved: old price per token times tokens since, less what they cost."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pipeline.economics.realized_saving import ServedDay, realized_saving

ASKED = date(2026, 1, 31)
DONE = date(2026, 2, 10)


def served(first, *, days, cost, tokens):
    return [
        ServedDay(day=first + timedelta(days=number), cost=None if cost is None else Decimal(cost), tokens=tokens)
        for number in range(days)
    ]


def score(days):
    return realized_saving(days, recommended_on=ASKED, done_on=DONE)


BEFORE = served(ASKED - timedelta(days=27), days=28, cost=100, tokens=1000)


def test_half_the_price_at_the_same_volume_saves_half():
    found = score([*BEFORE, *served(DONE + timedelta(days=1), days=14, cost=50, tokens=1000)])
    assert (found.realized_per_month, found.days_count, found.why) == (1500, 14, None)


def test_more_traffic_at_the_old_price_saves_nothing_and_less_traffic_neither():
    for tokens, cost in ((2000, 200), (500, 50)):
        assert (
            score([*BEFORE, *served(DONE + timedelta(days=1), days=7, cost=cost, tokens=tokens)]).realized_per_month
            == 0
        )


def test_what_cost_more_afterwards_is_a_negative_saving():
    assert score([*BEFORE, *served(DONE + timedelta(days=1), days=7, cost=110, tokens=1000)]).realized_per_month == -300


def test_the_days_between_and_the_day_it_was_done_are_neither():
    between = served(ASKED + timedelta(days=1), days=10, cost=10_000, tokens=1)
    since = served(DONE + timedelta(days=1), days=28, cost=50, tokens=1000)
    late = served(DONE + timedelta(days=29), days=9, cost=0, tokens=9)
    assert score([*BEFORE, *between, *since, *late]) == score([*BEFORE, *since])


@given(
    before=st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**9)), min_size=7, max_size=28),
    since=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**9)), min_size=7, max_size=28),
)
def test_cost_since_plus_what_was_saved_is_what_it_would_have_cost(before, since):
    days = [
        *(
            ServedDay(day=ASKED - timedelta(days=number), cost=cost, tokens=n)
            for number, (cost, n) in enumerate(before)
        ),
        *(
            ServedDay(day=DONE + timedelta(days=number + 1), cost=cost, tokens=n)
            for number, (cost, n) in enumerate(since)
        ),
    ]
    saved = score(days).realized_per_month * len(since) / 30
    would_have = Fraction(sum(c for c, _ in before), sum(n for _, n in before)) * sum(n for _, n in since)
    assert saved + sum(c for c, _ in since) == would_have


def test_what_is_not_known_is_said_and_not_zero():
    since = served(DONE + timedelta(days=1), days=7, cost=50, tokens=1000)
    assert score([*BEFORE, *since[:6]]).why == "6 of 7 days are settled since it was done"
    assert score([*BEFORE[:6], *since]).why == "6 of 7 days are settled before it was recommended"
    assert score([*BEFORE, *served(DONE + timedelta(days=1), days=7, cost=None, tokens=1)]).why == (
        "a cost since it was done is unknown"
    )
    nothing = served(ASKED - timedelta(days=27), days=28, cost=100, tokens=0)
    assert score([*nothing, *since]).why == "nothing was served before it was recommended"
