"""The regret meter: ski rental's bound, frozen by gaps, and that yesterday's state is enough."""

from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.economics.regret import CostDay, RegretDay, RegretRule, RegretState, regret_states

FIRST = date(2026, 1, 1)
RULE = RegretRule(one_off=100)


def days(*costs: tuple[int, int], begin: int = 0) -> list[CostDay]:
    return [
        CostDay(day=FIRST + timedelta(days=begin + offset), api_cost=api, self_host_cost=own, is_settled=True)
        for offset, (api, own) in enumerate(costs)
    ]


def fired(told: tuple[RegretDay, ...]) -> list[int]:
    return [(day.day - FIRST).days for day in told if day.is_fired]


def test_it_moves_on_the_day_that_staying_has_cost_as_much_as_moving() -> None:
    told = regret_states(days(*[(30, 10)] * 8), rule=RULE)
    assert fired(told) == [4]
    assert [day.state.meter for day in told[:5]] == [20, 40, 60, 80, 0]
    assert told[4].state.side == "self_host"
    assert "80.00 of the 100.00 of moving" in told[3].reason
    assert fired(regret_states(days(*[(30, 10)] * 20), rule=RegretRule(one_off=100, alpha=2))) == [9]


def test_days_that_went_the_other_way_are_set_against_it_and_never_below_nothing() -> None:
    told = regret_states(days((60, 10), (10, 40), (10, 99), (60, 10), (60, 10)), rule=RULE)
    assert [day.state.meter for day in told] == [50, 20, 0, 50, 0]
    assert fired(told) == [4]


def test_after_a_move_the_other_side_is_the_one_that_is_measured() -> None:
    told = regret_states(days((200, 10), (200, 10), (10, 70), (10, 70)), rule=RULE)
    assert fired(told) == [0, 3]
    assert [day.state.side for day in told] == ["self_host", "self_host", "self_host", "api"]


@pytest.mark.parametrize("kind", ["unsettled", "gap"])
def test_a_gap_or_an_unsettled_day_leaves_the_meter_and_never_fires(kind: str) -> None:
    before = days((60, 10))
    frozen = CostDay(
        day=FIRST + timedelta(days=1),
        api_cost=None if kind == "gap" else 999,
        self_host_cost=1,
        is_settled=kind == "gap",
    )
    told = regret_states([*before, frozen, *days((60, 10), begin=2)], rule=RULE)
    assert [day.is_frozen for day in told] == [False, True, False]
    assert (told[1].state.meter, fired(told)) == (50, [2])
    assert "Frozen" in told[1].reason


costs = st.tuples(st.integers(0, 60), st.integers(0, 60))


@given(st.lists(costs, max_size=60), st.integers(0, 60))
def test_yesterdays_state_is_enough(drawn: list[tuple[int, int]], cut: int) -> None:
    found = days(*drawn)
    whole = regret_states(found, rule=RULE)
    first = regret_states(found[:cut], rule=RULE)
    start = first[-1].state if first else RegretState()
    assert whole == (*first, *regret_states(found[cut:], rule=RULE, start=start))


@given(st.lists(costs, max_size=60), st.lists(costs, max_size=20))
def test_later_days_change_no_earlier_one(drawn: list[tuple[int, int]], later: list[tuple[int, int]]) -> None:
    assert regret_states(days(*drawn, *later), rule=RULE)[: len(drawn)] == regret_states(days(*drawn), rule=RULE)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=80), st.integers(1, 300))
def test_while_the_sign_holds_the_total_is_at_most_twice_the_clairvoyants(
    drawn: list[tuple[int, int]], one_off: int
) -> None:
    """Own GPUs never dearer: who knew would move at once or never. A day's overshoot is the step of the days."""
    found = days(*[(own + more, own) for own, more in drawn])
    told = regret_states(found, rule=RegretRule(one_off=one_off))
    paid, side = Fraction(0), "api"
    for day, verdict in zip(found, told, strict=True):
        paid += Fraction((day.api_cost if side == "api" else day.self_host_cost) or 0)
        paid += one_off if verdict.is_fired else 0
        side = verdict.state.side
    api, own = (
        sum(Fraction(cost or 0) for cost in of)
        for of in ([d.api_cost for d in found], [d.self_host_cost for d in found])
    )
    knew = min(api, one_off + own)
    assert paid <= 2 * knew + max(more for _, more in drawn)


def test_a_wrong_rule_or_order_is_refused() -> None:
    with pytest.raises(ValueError, match="one_off is 0"):
        RegretRule(one_off=0)
    with pytest.raises(ValueError, match="alpha"):
        RegretRule(one_off=1, alpha=0)
    twice = days((1, 1)) * 2
    with pytest.raises(ValueError, match="pass each day once"):
        regret_states(twice, rule=RULE)
