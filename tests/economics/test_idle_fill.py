"""What fits on what is paid for: hour by hour, and what releasing would take away from it."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.idle_fill import IdleFill, Movable, idle_fill, release_beside_filling
from pipeline.economics.scale_down import LoadHour

units = st.integers(0, 40)


def movable(name: str, work: list[int], price: int, tokens_per_unit: int = 100) -> Movable:
    return Movable(
        name=name,
        hours=[LoadHour(work=units, tokens=units * tokens_per_unit) for units in work],
        price_per_unit=price,
    )


def fill(served: list[int | None], *candidates: Movable, replicas: int = 2, spare: int = 0) -> IdleFill:
    return idle_fill(
        served=served, movable=candidates, replicas=replicas, spare_replicas=spare, capacity_per_replica_hour=10
    )


def test_the_dearest_traffic_of_an_hour_goes_first_and_an_unwatched_hour_takes_nothing() -> None:
    """Room of 2 x 10: 15 served leaves 5, nobody watched, nothing served leaves 20."""
    found = fill([15, None, 0], movable("chat", [3, 9, 30], 1), movable("code", [4, 9, 12], 5))
    chat, code = found.filled
    assert (code.tokens, code.work, code.avoided_cost, code.hours) == (1600, 16, 80, 2)
    assert (chat.tokens, chat.work, chat.avoided_cost, chat.hours) == (900, 1 + 8, 9, 2)
    assert [hour.room for hour in found.hours] == [5, None, 20]
    assert [dict(hour.tokens) for hour in found.hours] == [{"chat": 100, "code": 400}, {}, {"chat": 800, "code": 1200}]
    assert found.avoided_cost == 89


def under(scope: str | None, name: str, work: list[int], price: int) -> Movable:
    return Movable(
        name=name, hours=[LoadHour(work=units, tokens=units) for units in work], price_per_unit=price, scope=scope
    )


def filled_under(headroom: int, served: list[int | None], *candidates: Movable, replicas: int = 2) -> IdleFill:
    return idle_fill(
        served=served,
        movable=candidates,
        replicas=replicas,
        spare_replicas=0,
        capacity_per_replica_hour=10,
        headroom={"deal": headroom},
    )


def test_what_is_committed_anyway_is_not_avoided_and_goes_last() -> None:
    """20 at 5 are 100, of which 60 are due: moving all avoids 40, 2 a unit. 20 at 3 with nothing due go first."""
    committed = under("deal", "committed", [20], 5)
    found = filled_under(40, [0], committed, movable("free", [20], 3), replicas=3)
    assert [(one.name, one.work, one.avoided_cost) for one in found.filled] == [("committed", 10, 40), ("free", 20, 60)]
    alone = filled_under(40, [0], committed, replicas=1).filled[0]
    assert (alone.work, alone.moved_cost, alone.avoided_cost) == (10, 50, 40)
    little = filled_under(40, [16], committed).filled[0]
    assert (little.work, little.avoided_cost) == (4, 20)
    assert filled_under(0, [0], committed).avoided_cost == 0


def test_a_mean_over_committed_units_may_stand_behind_what_avoids_less_and_nothing_is_overstated() -> None:
    """Two units at 10 of which 10 are due, one free unit at 6, room for one: 6 is said and avoided, 10 could be."""
    asking = under("deal", "a", [2], 10), under(None, "b", [1], 6)
    found = filled_under(10, [19], *asking)
    assert [(one.work, one.avoided_cost) for one in found.filled] == [(0, 0), (1, 6)]
    assert filled_under(10, [19], asking[0]).avoided_cost == 10


def test_two_workloads_under_one_commitment_avoid_what_is_above_it_once() -> None:
    """80 and 80 on a bill of which 100 are due: each alone avoids 60, both together no more than that."""
    one, other = under("deal", "a", [20], 4), under("deal", "b", [20], 4)
    assert filled_under(60, [0], one, replicas=4).avoided_cost == 60
    both = filled_under(60, [0], one, other, replicas=4)
    assert [(found.moved_cost, found.avoided_cost) for found in both.filled] == [(80, 60), (80, 0)]


@settings(max_examples=150, deadline=None)
@given(
    served=st.lists(st.one_of(units, st.none()), min_size=1, max_size=4),
    data=st.data(),
    due=st.integers(0, 900),
    others=st.integers(0, 400),
)
def test_what_a_bill_avoids_is_what_it_falls_by_however_many_share_it(
    served: list[int | None], data: st.DataObject, due: int, others: int
) -> None:
    """The bill is the greater of what is due and what is used: before less after, of each scope by itself."""
    size = len(served)
    work = st.lists(units, min_size=size, max_size=size)
    scopes = st.sampled_from(["deal", "other deal", None])
    asking = [under(data.draw(scopes), name, data.draw(work), data.draw(st.integers(0, 6))) for name in "abcd"]
    used = {
        scope: others
        + sum(one.price_per_unit * sum(hour.work for hour in one.hours) for one in asking if one.scope == scope)
        for scope in ("deal", "other deal")
    }
    found = idle_fill(
        served=served,
        movable=asking,
        replicas=4,
        spare_replicas=0,
        capacity_per_replica_hour=10,
        headroom={scope: max(due, whole) - max(due, others) for scope, whole in used.items()},
    )
    by_name = {one.name: one for one in found.filled}
    for scope, whole in used.items():
        theirs = [one for one in asking if one.scope == scope]
        moved = sum(one.price_per_unit * by_name[one.name].work for one in theirs)
        fall = max(due, whole) - max(due, whole - moved)
        assert sum(by_name[one.name].avoided_cost for one in theirs) == fall
    for one in asking:
        filled = by_name[one.name]
        assert filled.moved_cost == filled.work * one.price_per_unit
        assert 0 <= filled.avoided_cost <= filled.moved_cost
        assert one.scope is not None or filled.avoided_cost == filled.moved_cost


def test_a_spare_replica_is_not_filled() -> None:
    assert fill([5], movable("chat", [30], 1), spare=1).filled[0].work == 5
    assert fill([15], movable("chat", [30], 1), spare=1).filled[0].work == 0


def test_a_share_of_an_hour_is_whole_tokens_never_more_than_fit() -> None:
    found = idle_fill(
        served=[Fraction(19, 3)],
        movable=[Movable(name="chat", hours=[LoadHour(work=7, tokens=100)], price_per_unit=Decimal("0.5"))],
        replicas=1,
        spare_replicas=0,
        capacity_per_replica_hour=10,
    )
    room = 10 - Fraction(19, 3)
    assert (found.filled[0].work, found.filled[0].tokens) == (room, int(100 * room / 7))
    assert found.filled[0].avoided_cost == room / 2


@settings(max_examples=200, deadline=None)
@given(
    served=st.lists(st.one_of(units, st.none()), min_size=1, max_size=8),
    data=st.data(),
    replicas=st.integers(0, 5),
    spare=st.integers(0, 2),
)
def test_no_hour_holds_more_than_its_room_and_no_work_waits_beside_room(
    served: list[int | None], data: st.DataObject, replicas: int, spare: int
) -> None:
    """B: capacity is used once, and what could have been avoided was."""
    size = len(served)
    one, two = (data.draw(st.lists(units, min_size=size, max_size=size)) for _ in range(2))
    found = fill(served, movable("a", one, 3), movable("b", two, 2), replicas=replicas, spare=spare)
    for hour, load in enumerate(served):
        moved = sum(tokens // 100 for tokens in found.hours[hour].tokens.values())
        if load is None:
            assert moved == 0
            continue
        room = max(0, max(0, replicas - spare) * 10 - load)
        assert moved == min(room, one[hour] + two[hour])
    best = sum(
        (3 * min(room, x) + 2 * min(room - min(room, x), y))
        for load, x, y in zip(served, one, two, strict=True)
        if load is not None and (room := max(0, max(0, replicas - spare) * 10 - load)) >= 0
    )
    assert found.avoided_cost == best


def test_releasing_goes_on_while_a_replicas_rent_exceeds_what_filling_it_avoids() -> None:
    """Filled it avoids 90, 80 with one less, 30 with two less; a replica's rent is 20: 90, 100, 70."""
    assert release_beside_filling(avoided_cost_by_released=[90, 80, 30], replica_cost=20) == (1, (90, 100, 70))


def test_a_tie_fills_rather_than_releases() -> None:
    count, savings = release_beside_filling(avoided_cost_by_released=[20, 0], replica_cost=20)
    assert (count, savings) == (0, (20, 20))


def test_hours_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="chat has 2 hours and the replicas 1"):
        fill([0], movable("chat", [1, 1], 1))
    with pytest.raises(ValueError, match="price of chat"):
        fill([0], movable("chat", [1], -1))
    with pytest.raises(ValueError, match="a is under 'deal', of which no headroom is given"):
        fill([0], under("deal", "a", [1], 1))
    with pytest.raises(ValueError, match="no count"):
        release_beside_filling(avoided_cost_by_released=[], replica_cost=1)
