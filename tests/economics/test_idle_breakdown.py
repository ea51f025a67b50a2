"""What ready time bought, against marking every second of it by hand."""

import math
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.economics.idle_breakdown import PARTS, PoolHour, PoolRule, Time, idle_breakdown


def rule(**changes: Any) -> PoolRule:
    """A replica is ready for ten units an hour, and may be asked for eight of them."""
    terms: dict[str, Any] = {
        "replica_hour": 10,
        "work_per_replica_hour": 8,
        "minimum_replicas": 0,
        "spare_replicas": 0,
        "hours_to_come_back": None,
    }
    return PoolRule(**terms | changes)


def split(ready: Time, work: Time | None, **changes: Any) -> dict[str, Time]:
    [found] = idle_breakdown([PoolHour(ready=ready, work=work)], rule(**changes))
    return found


def test_four_replicas_with_the_work_of_one_and_a_half() -> None:
    """12 of 40 are useful; two replicas are needed for it, one is kept in reserve, and one is too many."""
    assert split(40, 12, spare_replicas=1) == {
        "useful": 12, "headroom": 8, "failover_reserve": 10, "over_provisioned": 10,
    }  # fmt: skip


def test_what_no_hour_asks_for_is_kept_where_a_minimum_is_declared() -> None:
    assert split(40, 0, minimum_replicas=2) == {"headroom": 20, "over_provisioned": 20}


def test_work_beyond_what_is_ready_is_no_more_than_all_of_it() -> None:
    assert split(10, 13, spare_replicas=2) == {"useful": 10}


@pytest.mark.parametrize(("work", "capacity"), [(None, 8), (12, None), (None, None)])
def test_where_work_or_capacity_is_unknown_useful_and_headroom_stay_one(work: Time | None, capacity: Time) -> None:
    assert split(40, work, work_per_replica_hour=capacity) == {"useful_or_headroom": 40}


def test_a_pool_without_demand_for_longer_than_it_takes_to_come_back_could_have_been_off() -> None:
    """Two quiet hours between busy ones; one alone is not longer than an hour. An hour that nobody counted is no quiet
    one.
    """
    hours = [PoolHour(ready=10, work=work) for work in (5, 0, 0, 5, 0, 5, None, 0)]
    quiet = [set(found) == {"scale_to_zero"} for found in idle_breakdown(hours, rule(hours_to_come_back=1))]
    assert quiet == [False, True, True, False, False, False, False, False]
    quiet = [
        set(found) == {"scale_to_zero"} for found in idle_breakdown(hours, rule(hours_to_come_back=Decimal("0.5")))
    ]
    assert quiet == [False, True, True, False, True, False, False, True]


@given(
    hours=st.lists(st.tuples(st.integers(0, 60), st.one_of(st.none(), st.integers(0, 70))), min_size=1, max_size=12),
    per_replica=st.one_of(st.none(), st.integers(1, 10)),
    minimum=st.integers(0, 4),
    spare=st.integers(0, 3),
    back=st.one_of(st.none(), st.integers(0, 4)),
)
def test_every_unit_of_ready_time_is_in_one_part(
    hours: list[tuple[int, int | None]], per_replica: int | None, minimum: int, spare: int, back: int | None
) -> None:
    """Each unit marked by hand, the useful ones first; and the same in thirds of a unit."""
    terms = {
        "work_per_replica_hour": per_replica,
        "minimum_replicas": minimum,
        "spare_replicas": spare,
        "hours_to_come_back": back,
    }
    found = idle_breakdown([PoolHour(ready=ready, work=work) for ready, work in hours], rule(**terms))
    works = [work for _, work in hours]
    for place, ((ready, work), parts) in enumerate(zip(hours, found, strict=True)):
        assert sum(parts.values()) == ready
        assert all(part > 0 for part in parts.values())
        assert parts == {name: count for name, count in _marked(place, ready, works, terms).items() if count}, work
    thirds = idle_breakdown(
        [
            PoolHour(ready=Fraction(ready, 3), work=None if work is None else Fraction(work, 3))
            for ready, work in hours
        ],
        rule(**terms, replica_hour=Fraction(10, 3)) if per_replica is None else rule(
            **{**terms, "work_per_replica_hour": Fraction(per_replica, 3)}, replica_hour=Fraction(10, 3)
        ),
    )  # fmt: skip
    assert thirds == [{name: Fraction(part, 3) for name, part in parts.items()} for parts in found]


def _marked(place: int, ready: int, works: list[int | None], terms: dict[str, Any]) -> Counter[str]:
    back, per_replica, work = terms["hours_to_come_back"], terms["work_per_replica_hour"], works[place]
    first = last = place
    while first and works[first - 1] == 0:
        first -= 1
    while last + 1 < len(works) and works[last + 1] == 0:
        last += 1
    if back is not None and work == 0 and last - first + 1 > back:
        return Counter({"scale_to_zero": ready})
    if work is None or per_replica is None:
        return Counter({"useful_or_headroom": ready})
    replicas = max(terms["minimum_replicas"], math.ceil(work / per_replica))
    marks = []
    for unit in range(ready):
        if unit < work:
            marks.append("useful")
        elif unit < 10 * replicas:
            marks.append("headroom")
        elif unit < max(10 * replicas, work) + 10 * terms["spare_replicas"]:
            marks.append("failover_reserve")
        else:
            marks.append("over_provisioned")
    return Counter(marks)


@pytest.mark.parametrize(
    ("hour", "changes", "said"),
    [
        ((-1, 0), {}, "ready is -1"),
        ((1, -1), {}, "work is -1"),
        ((1, 1), {"replica_hour": 0}, "replica_hour is 0"),
        ((1, 1), {"work_per_replica_hour": 11}, "work_per_replica_hour is 11"),
        ((1, 1), {"spare_replicas": -1}, "spare_replicas is -1"),
    ],
)
def test_what_is_negative_or_impossible_is_refused(hour: tuple[int, int], changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        split(*hour, **changes)


def test_parts_are_named_once() -> None:
    assert len(set(PARTS)) == 6
