"""Work that may wait: against every schedule of small cases."""

from collections.abc import Iterator
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.deferrable import Waiting, most_served
from pipeline.economics.request_classes import ClassPlan, RequestClass, hybrid_of_classes

HOURS = 3
Unit = tuple[int, int, int]  # the hour it comes in, its deadline in hours, its price


def schedules(units: list[Unit], capacity: int) -> Iterator[list[Unit]]:
    """What is left to the API in every assignment of every unit to an hour within its deadline, or to no hour."""

    def assign(index: int, used: list[int], left: list[Unit]) -> Iterator[list[Unit]]:
        if index == len(units):
            yield left
            return
        hour, deadline, _ = units[index]
        yield from assign(index + 1, used, [*left, units[index]])
        for at in range(hour, min(hour + deadline, HOURS - 1) + 1):
            if used[at] < capacity:
                used[at] += 1
                yield from assign(index + 1, used, left)
                used[at] -= 1

    yield from assign(0, [0] * HOURS, [])


unit = st.tuples(st.integers(0, HOURS - 1), st.integers(0, 3), st.integers(0, 3))


def classes_of(units: list[Unit]) -> list[RequestClass]:
    """One class for each deadline and price."""
    found: dict[tuple[int, int], list[int]] = {}
    for hour, deadline, price in units:
        found.setdefault((deadline, price), [0] * HOURS)[hour] += 1
    return [
        RequestClass(
            name=f"within {deadline} at {price}", hourly_work=work, price_per_unit=price, deadline_hours=deadline
        )
        for (deadline, price), work in found.items()
    ]


@settings(max_examples=150, deadline=None)
@given(units=st.lists(unit, min_size=1, max_size=6), rent=st.integers(0, 6), fixed=st.integers(0, 4))
def test_what_may_wait_is_served_as_well_as_by_the_best_of_all_schedules(
    units: list[Unit], rent: int, fixed: int
) -> None:
    plan = hybrid_of_classes(
        classes=classes_of(units), capacity_per_replica_hour=1, replica_cost=rent, fixed_cost=fixed, maximum_replicas=3
    )
    totals = []
    for count, found in enumerate(plan.alternatives):
        least = min(sum(price for *_, price in left) for left in schedules(units, count))
        assert found.api_cost == least
        totals.append(count * rent + (fixed if count else 0) + least)
        assert found.total_cost == totals[-1]
    assert plan.best.replicas == totals.index(min(totals))


@settings(max_examples=150, deadline=None)
@given(units=st.lists(unit, min_size=1, max_size=6), capacity=st.integers(0, 3))
def test_earliest_deadline_first_serves_the_most_units(units: list[Unit], capacity: int) -> None:
    waiting = [
        Waiting(
            [sum(1 for hour, found, _ in units if (hour, found) == (at, deadline)) for at in range(HOURS)], deadline
        )
        for deadline in {deadline for _, deadline, _ in units}
    ]
    most = max(len(units) - len(left) for left in schedules(units, capacity))
    assert most_served(waiting, capacity_per_hour=capacity) == most


def company(*, deadline_hours: int, price_of_batch: int = 1) -> ClassPlan:
    """A day and a night of two hours each: 10 an hour by day, and 5 an hour of documents that come by day."""
    return hybrid_of_classes(
        classes=[
            RequestClass(name="chat", hourly_work=[10, 10, 0, 0], price_per_unit=2),
            RequestClass(
                name="documents",
                hourly_work=[5, 5, 0, 0],
                price_per_unit=price_of_batch,
                deadline_hours=deadline_hours,
            ),
        ],
        capacity_per_replica_hour=10,
        replica_cost=30,
        fixed_cost=0,
    )


def test_work_that_may_wait_for_the_night_needs_no_second_replica() -> None:
    at_once, by_night = company(deadline_hours=0), company(deadline_hours=2)
    assert len(at_once.alternatives) == 3  # 0, 1, 2: of which the second serves 5 an hour
    assert len(by_night.alternatives) == 2
    assert (at_once.best.total_cost, by_night.best.total_cost) == (30 + 10, 30)
    assert by_night.best.classes[1].served_units == 10


def test_a_deadline_that_ends_before_the_night_helps_half_way() -> None:
    """Within one hour only the documents of the second hour reach the night, and all 5 of them fit."""
    plan = company(deadline_hours=1)
    assert plan.best.classes[1].served_units == 5


def test_the_dearer_work_has_the_replica_even_if_the_cheaper_may_wait() -> None:
    """Documents dearer than chat: within their hour they go first and chat has what is left, 5 an hour."""
    plan = company(deadline_hours=0, price_of_batch=3)
    one = plan.alternatives[1]
    assert [(part.name, part.served_units) for part in one.classes] == [("documents", 10), ("chat", 10)]
    waiting = company(deadline_hours=2, price_of_batch=3).alternatives[1]
    assert [part.served_units for part in waiting.classes] == [10, 20]


def test_a_fraction_of_a_unit_is_served_exactly() -> None:
    plan = hybrid_of_classes(
        classes=[
            RequestClass(name="batch", hourly_work=[Fraction(1, 3), Fraction(1, 7)], price_per_unit=1, deadline_hours=1)
        ],
        capacity_per_replica_hour=Fraction(1, 5),
        replica_cost=0,
        fixed_cost=0,
        maximum_replicas=1,
    )
    assert Fraction(plan.alternatives[1].classes[0].served_units) == Fraction(2, 5)
