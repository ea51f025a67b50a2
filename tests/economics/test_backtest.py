"""Replays: no look-ahead, a clairvoyant that nothing beats, and dollars that add up by hand."""

from collections.abc import Sequence
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.alerts import AlertRule
from pipeline.economics.backtest import (
    Policy,
    ReplayDay,
    always,
    backtest,
    default_policies,
    hysteresis,
    regret_meter,
    spend_above,
    spend_above_own,
    tokens_above,
)
from pipeline.economics.regret import RegretRule

FIRST = date(2026, 1, 1)
RULE = AlertRule(dwell_days=3, cooldown_days=2)


def replay(costs: Sequence[tuple[int, ...]], *, settle: int = 2, tokens: int = 10) -> list[ReplayDay]:
    """Days by what they cost with 0, 1, ... replicas; the ratio is that of the API to the first replica."""
    return [
        ReplayDay(
            day=FIRST + timedelta(days=day),
            known_on=FIRST + timedelta(days=day + 1 + settle),
            tokens=tokens,
            costs=tuple(map(Fraction, of_day)),
            ratio=Fraction(of_day[0], of_day[1]) if of_day[1] else None,
        )
        for day, of_day in enumerate(costs)
    ]


def policies() -> dict[str, Policy]:
    return {
        **default_policies(RULE, one_off=50),
        "spend": spend_above(900),
        "tokens": tokens_above(290),
        "factor": spend_above_own(Fraction(3, 2)),
    }


day_costs = st.lists(st.tuples(*[st.integers(1, 60)] * 3), min_size=1, max_size=45)


@settings(max_examples=60)
@given(day_costs, st.integers(0, 4), st.integers(1, 45))
def test_truncating_the_future_leaves_the_past_decisions_unchanged(
    costs: list[tuple[int, ...]], settle: int, until: int
) -> None:
    whole, past = replay(costs, settle=settle), replay(costs[:until], settle=settle)
    told, before = (backtest(days, policies(), one_off=50) for days in (whole, past))
    for later, earlier in zip(told.verdicts, before.verdicts, strict=True):
        assert later.replay.replicas[: len(past)] == earlier.replay.replicas, later.name


@settings(max_examples=60)
@given(day_costs, day_costs, st.integers(0, 4))
def test_what_is_not_known_yet_decides_nothing(
    costs: list[tuple[int, ...]], other: list[tuple[int, ...]], settle: int
) -> None:
    """The last days before a decision that have not settled may be any other days."""
    settled = replay([*costs, *other[: settle + 1]], settle=settle)
    changed = replay([*costs, *[(99, 1, 98)] * len(other[: settle + 1])], settle=settle)
    for one, two in zip(
        backtest(settled, policies(), one_off=50).verdicts,
        backtest(changed, policies(), one_off=50).verdicts,
        strict=True,
    ):
        assert one.replay.replicas == two.replay.replicas


@settings(max_examples=40)
@given(st.lists(st.tuples(*[st.integers(0, 30)] * 3), min_size=1, max_size=6), st.integers(0, 40), st.booleans())
def test_the_clairvoyant_is_the_cheapest_of_all_paths(costs: list[tuple[int, ...]], one_off: int, is_own: bool) -> None:
    days, start = replay(costs), is_own
    told = backtest(days, {}, one_off=one_off, start="self_host" if is_own else "api").best

    def cost(path: tuple[int, ...]) -> int:
        sides = [start, *(count > 0 for count in path)]
        changes = sum(a != b for a, b in pairwise(sides))
        return sum(of_day[count] for of_day, count in zip(costs, path, strict=True)) + one_off * changes

    assert told.cost == min(map(cost, product(range(3), repeat=len(costs)))) == cost(told.replicas)


@settings(max_examples=40)
@given(day_costs, st.integers(0, 200))
def test_no_policy_is_cheaper_than_the_clairvoyant(costs: list[tuple[int, ...]], one_off: int) -> None:
    for verdict in backtest(replay(costs), policies(), one_off=one_off).verdicts:
        assert verdict.above_best >= 0
        assert verdict.replay.cost - verdict.above_best >= 0


def test_a_step_worked_out_by_hand() -> None:
    """Ten quiet days, then forty busy ones: own GPUs cost 20, the API 10 and then 40; moving costs 50."""
    days = replay([(10, 20, 99)] * 10 + [(40, 20, 99)] * 40, settle=2)
    told = backtest(
        days, {"hysteresis": hysteresis(RULE), "api": always("api"), "own": always("self_host")}, one_off=50
    )
    assert told.best.replicas == (0,) * 10 + (1,) * 40
    assert told.best.cost == 10 * 10 + 40 * 20 + 50
    slow, api, own = told.verdicts
    # Three busy days make the dwell, the third of them is known two days after it is over.
    assert slow.replay.replicas.index(1) == 15
    assert (slow.delays, slow.missed, slow.false_alerts) == ((5,), 0, 0)
    assert slow.above_best == 5 * 20
    assert (api.missed, api.median_delay, api.above_best) == (1, None, 40 * 20 - 50)
    # Nothing is known on the first three days; the other seven quiet ones cost ten too much each.
    assert (own.false_alerts, own.above_best) == (0, 7 * 10)


def test_an_alert_is_false_when_its_side_was_not_the_cheaper_one_after_it() -> None:
    blip = [(10, 20, 99)] * 10 + [(40, 20, 99)] * 4 + [(10, 20, 99)] * 40
    (told,) = backtest(replay(blip, settle=0), {"hysteresis": hysteresis(RULE)}, one_off=5).verdicts
    assert (told.replay.changes, told.false_alerts) == (2, 1)


def test_published_rules_look_at_thirty_days_and_move_at_their_threshold() -> None:
    days = replay([(10, 20, 99)] * 30 + [(40, 20, 99)] * 30, settle=0, tokens=7)
    named = {"spend": spend_above(600), "tokens": tokens_above(210), "more": tokens_above(211), "x": spend_above_own(1)}
    spend, tokens, more, factor = backtest(days, named, one_off=0).verdicts
    # 300 + 30 a busy day reach 600 with the tenth of them; it is known the day after.
    assert spend.replay.replicas.index(1) == 40
    assert tokens.replay.replicas[:3] == (0, 1, 1)
    assert set(more.replay.replicas) == {0}
    assert factor.replay.replicas.index(1) == 41


def test_every_policy_takes_the_count_that_was_best_over_the_days_known() -> None:
    days = replay([(90, 50, 40)] * 5 + [(90, 50, 70)] * 40, settle=1)
    (own,) = backtest(days, {"own": always("self_host")}, one_off=0).verdicts
    assert own.replay.replicas[:3] == (0, 0, 2)
    assert own.replay.replicas[-1] == 1


def test_the_meter_is_one_of_the_policies_where_moving_costs_anything() -> None:
    assert "regret meter" in default_policies(RULE, one_off=1)
    assert "regret meter" not in default_policies(RULE, one_off=0)
    days = replay([(40, 20, 99)] * 20, settle=0)
    (meter,) = backtest(days, {"meter": regret_meter(RegretRule(one_off=50))}, one_off=50).verdicts
    assert meter.replay.replicas.index(1) == 3


def test_disorder_is_refused() -> None:
    with pytest.raises(ValueError, match="no days"):
        backtest([], {}, one_off=0)
    with pytest.raises(ValueError, match="in order"):
        backtest(replay([(1, 1, 1)]) * 2, {}, one_off=0)
    with pytest.raises(ValueError, match="known when it is over"):
        backtest(replay([(1, 1, 1)], settle=-1), {}, one_off=0)
    with pytest.raises(ValueError, match="same counts"):
        backtest([*replay([(1, 1, 1)]), *replay([(1, 1, 1), (1, 1)])[1:]], {}, one_off=0)
