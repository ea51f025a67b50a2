"""The alert fold: boundaries, freeze, cooldown, and that yesterday's state is enough."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.alerts import AlertDay, AlertRule, AlertState, DemandDay, alert_states

FIRST_DAY = date(2025, 11, 1)
ABOVE, BETWEEN, BELOW = Decimal("1.2"), Decimal("1.0"), Decimal("0.8")


def on(offset: int) -> date:
    return FIRST_DAY + timedelta(days=offset)


def settled(*ratios: Decimal | None, begin: int = 0) -> list[DemandDay]:
    return [DemandDay(day=on(begin + offset), ratio=ratio, is_settled=True) for offset, ratio in enumerate(ratios)]


def fired_offsets(days: tuple[AlertDay, ...]) -> list[int]:
    return [(day.day - FIRST_DAY).days for day in days if day.is_fired]


def test_the_seventh_day_above_fires_and_the_sixth_does_not() -> None:
    days = alert_states(settled(*[ABOVE] * 8))
    assert fired_offsets(days) == [6]
    assert [day.state.run_days for day in days] == [1, 2, 3, 4, 5, 6, 0, 0]
    assert [day.state.side for day in days] == ["api"] * 6 + ["self_host"] * 2
    assert days[6].dwell_completed_on == on(6)
    assert "7 days towards self_host" in days[6].reason


@pytest.mark.parametrize(
    ("side", "ratio", "fires"),
    [
        ("api", "1.10", True),
        ("api", "1.0999999999", False),
        ("self_host", "0.90", True),
        ("self_host", "0.9000000001", False),
    ],
)
def test_the_thresholds_themselves_count(side: str, ratio: str, fires: bool) -> None:
    start = AlertState(side=side)  # type: ignore[arg-type]
    days = alert_states(settled(*[Decimal(ratio)] * 7), start=start)
    assert fired_offsets(days) == ([6] if fires else [])


def test_one_day_between_the_thresholds_starts_the_run_again() -> None:
    days = alert_states(settled(*[ABOVE] * 6, BETWEEN, *[ABOVE] * 7))
    assert days[6].state.run_days == 0
    assert fired_offsets(days) == [13]


@pytest.mark.parametrize("pause", ["gap", "unsettled", "missing date"])
def test_a_gap_or_an_unsettled_day_freezes_the_run_and_never_fires(pause: str) -> None:
    before, after = settled(*[ABOVE] * 6), settled(ABOVE, begin=9)
    frozen = {
        "gap": settled(None, None, None, begin=6),
        "unsettled": [DemandDay(day=on(offset), ratio=ABOVE, is_settled=False) for offset in (6, 7, 8)],
        "missing date": [],
    }[pause]
    days = alert_states([*before, *frozen, *after])
    assert [day.state.run_days for day in days] == [1, 2, 3, 4, 5, 6, *[6] * len(frozen), 0]
    assert [day.is_frozen for day in days] == [False] * 6 + [True] * len(frozen) + [False]
    assert fired_offsets(days) == [9]


def test_without_a_crossing_nothing_fires_and_the_day_says_so() -> None:
    without = [DemandDay(day=on(6), ratio=None, is_settled=True, has_crossing=False)]
    days = alert_states([*settled(*[ABOVE] * 6), *without, *settled(ABOVE, begin=7)])
    assert fired_offsets(days) == []
    assert "no break-even volume" in days[6].reason
    assert not days[6].is_frozen
    assert [day.state.run_days for day in days[5:]] == [6, 0, 1]


def test_a_ratio_without_a_crossing_cannot_fire_either() -> None:
    days = alert_states(
        DemandDay(day=on(offset), ratio=ABOVE, is_settled=True, has_crossing=False) for offset in range(30)
    )
    assert fired_offsets(days) == []


def test_the_cooldown_delays_the_announcement_and_keeps_the_day_of_the_dwell() -> None:
    """Up on day 6; down from day 7, so the dwell completes on day 13; 14 days after day 6 is day 20."""
    days = alert_states(settled(*[ABOVE] * 7, *[BELOW] * 14))
    assert fired_offsets(days) == [6, 20]
    assert days[20].dwell_completed_on == on(13)
    assert [day.dwell_completed_on for day in days[12:15]] == [None, on(13), on(13)]
    assert "no earlier than 14 days" in days[13].reason
    assert days[20].state == AlertState(side="api", last_fired_on=on(20), last_day=on(20))


def test_the_cooldown_adds_no_delay_once_it_is_over() -> None:
    days = alert_states(settled(*[ABOVE] * 7, *[BETWEEN] * 20, *[BELOW] * 7))
    assert fired_offsets(days) == [6, 33]
    assert days[33].dwell_completed_on == on(33)


def test_a_run_that_ends_during_the_cooldown_is_forgotten() -> None:
    days = alert_states(settled(*[ABOVE] * 7, *[BELOW] * 8, *[BETWEEN] * 10))
    assert fired_offsets(days) == [6]
    assert days[-1].dwell_completed_on is None
    assert days[-1].state.dwell_completed_on is None


def test_firing_resets_the_run_so_the_same_days_count_once() -> None:
    rule = AlertRule(dwell_days=2, cooldown_days=0)
    days = alert_states(settled(ABOVE, ABOVE, BELOW, BELOW, ABOVE, ABOVE), rule=rule)
    assert fired_offsets(days) == [1, 3, 5]


def test_traffic_that_stays_above_is_announced_once() -> None:
    assert fired_offsets(alert_states(settled(*[ABOVE] * 365))) == [6]


def test_scale_down_takes_a_dwell_of_fourteen() -> None:
    days = alert_states(settled(*[BELOW] * 14), start=AlertState(side="self_host"), rule=AlertRule(dwell_days=14))
    assert fired_offsets(days) == [13]


demand = st.lists(
    st.tuples(
        st.sampled_from([None, *map(Decimal, ("0.5", "0.9", "0.95", "1", "1.05", "1.1", "1.3"))]),
        st.sampled_from([True, True, True, False]),
        st.sampled_from([True, True, True, False]),
        st.integers(1, 2),
    ),
    max_size=60,
)
rules = st.builds(AlertRule, dwell_days=st.integers(1, 4), cooldown_days=st.integers(0, 8))


def as_days(rows: list[tuple[Decimal | None, bool, bool, int]]) -> list[DemandDay]:
    days, offset = [], 0
    for ratio, is_settled, has_crossing, step in rows:
        offset += step
        days.append(DemandDay(day=on(offset), ratio=ratio, is_settled=is_settled, has_crossing=has_crossing))
    return days


@settings(max_examples=300, deadline=None)
@given(rows=demand, rule=rules, cut=st.integers(0, 60))
def test_folding_in_two_parts_equals_folding_once(
    rows: list[tuple[Decimal | None, bool, bool, int]], rule: AlertRule, cut: int
) -> None:
    days = as_days(rows)
    once = alert_states(days, rule=rule)
    head = alert_states(days[:cut], rule=rule)
    tail = alert_states(days[cut:], rule=rule, start=head[-1].state if head else None)
    assert head + tail == once


@settings(max_examples=300, deadline=None)
@given(rows=demand, rule=rules)
def test_the_side_changes_only_by_firing_after_a_full_dwell_and_cooldown(
    rows: list[tuple[Decimal | None, bool, bool, int]], rule: AlertRule
) -> None:
    days = as_days(rows)
    result = alert_states(days, rule=rule)
    previous_side, last_fired = "api", None
    for index, (given_day, concluded) in enumerate(zip(days, result, strict=True)):
        assert concluded.is_fired == (concluded.state.side != previous_side)
        if concluded.is_fired:
            assert given_day.is_settled
            assert given_day.has_crossing
            assert last_fired is None or (concluded.day - last_fired).days >= rule.cooldown_days
            # The last `dwell` days that count are all on the other side.
            counted = [
                d.ratio for d in days[: index + 1] if d.is_settled and (d.ratio is not None or not d.has_crossing)
            ][-rule.dwell_days :]
            assert len(counted) == rule.dwell_days
            limit = rule.enter_ratio if previous_side == "api" else rule.exit_ratio
            sign = 1 if previous_side == "api" else -1
            assert all(ratio is not None and sign * (ratio - limit) >= 0 for ratio in counted)
            last_fired = concluded.day
        previous_side = concluded.state.side


@pytest.mark.parametrize("second", [0, -1])
def test_days_out_of_order_or_twice_are_refused(second: int) -> None:
    with pytest.raises(ValueError, match="in order of its date"):
        alert_states([*settled(ABOVE), *settled(ABOVE, begin=second)])


def test_a_resumed_fold_refuses_a_day_it_has_seen() -> None:
    state = alert_states(settled(ABOVE))[-1].state
    with pytest.raises(ValueError, match="2025-11-01 comes after 2025-11-01"):
        alert_states(settled(ABOVE), start=state)


def test_a_negative_ratio_is_refused() -> None:
    with pytest.raises(ValueError, match="ratio of 2025-11-01"):
        alert_states(settled(Decimal(-1)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exit_ratio": Decimal("1.10")}, "exit below the entry"),
        ({"dwell_days": 0}, "dwell_days is 0"),
        ({"cooldown_days": -1}, "cooldown_days"),
    ],
)
def test_a_rule_that_cannot_decide_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AlertRule(**changes)  # type: ignore[arg-type]
