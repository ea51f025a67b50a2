"""What moves of several classes: against a linear programme that is solved here, exactly."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.hybrid import optimal_hybrid
from pipeline.economics.request_classes import RequestClass, hybrid_of_classes

small = st.integers(0, 60).map(lambda tenths: Decimal(tenths) / 10)


def most(values: list[Fraction], rows: list[list[int]], limits: list[Fraction]) -> Fraction:
    """max values . y with rows y <= limits, y >= 0: the simplex method with Bland's rule, in fractions."""
    count, slacks = len(values), len(rows)
    table = [
        [*map(Fraction, row), *(Fraction(int(i == j)) for j in range(slacks)), limits[i]] for i, row in enumerate(rows)
    ]
    cost = [*(-value for value in values), *[Fraction(0)] * slacks, Fraction(0)]
    basis = list(range(count, count + slacks))
    while (enter := next((j for j, value in enumerate(cost[:-1]) if value < 0), None)) is not None:
        steps = [(table[i][-1] / table[i][enter], basis[i], i) for i in range(slacks) if table[i][enter] > 0]
        leave = min(steps)[2]
        pivot = table[leave][enter]
        table[leave] = [cell / pivot for cell in table[leave]]
        for i in range(slacks):
            if i != leave:
                factor = table[i][enter]
                table[i] = [cell - factor * own for cell, own in zip(table[i], table[leave], strict=True)]
        cost = [cell - cost[enter] * own for cell, own in zip(cost, table[leave], strict=True)]
        basis[leave] = enter
    return cost[-1]


def displaced_by_programme(work: list[list[Decimal]], prices: list[Decimal], room: Decimal) -> Fraction:
    """One variable for each class and hour: at most its work, and all of an hour at most its room."""
    hours, classes = len(work[0]), len(work)
    values = [Fraction(price) for price in prices for _ in range(hours)]
    bounds = [[int(j == i) for j in range(classes * hours)] for i in range(classes * hours)]
    rooms = [[int(j % hours == hour) for j in range(classes * hours)] for hour in range(hours)]
    limits = [*(Fraction(x) for own in work for x in own), *[Fraction(room)] * hours]
    return most(values, [*bounds, *rooms], limits)


@st.composite
def companies(draw: st.DrawFn) -> tuple[list[list[Decimal]], list[Decimal]]:
    hours, classes = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    work = draw(st.lists(st.lists(small, min_size=hours, max_size=hours), min_size=classes, max_size=classes))
    return work, draw(st.lists(small, min_size=classes, max_size=classes))


@settings(max_examples=120, deadline=None)
@given(
    company=companies(),
    capacity=st.integers(10, 40).map(lambda tenths: Decimal(tenths) / 10),
    rent=small,
    fixed=small,
    maximum=st.one_of(st.none(), st.integers(0, 4)),
)
def test_every_count_displaces_what_the_linear_programme_displaces(
    company: tuple[list[list[Decimal]], list[Decimal]],
    capacity: Decimal,
    rent: Decimal,
    fixed: Decimal,
    maximum: int | None,
) -> None:
    work, prices = company
    plan = hybrid_of_classes(
        classes=[
            RequestClass(name=str(i), hourly_work=own, price_per_unit=price)
            for i, (own, price) in enumerate(zip(work, prices, strict=True))
        ],
        capacity_per_replica_hour=capacity,
        replica_cost=rent,
        fixed_cost=fixed,
        maximum_replicas=maximum,
    )
    everything = sum((Fraction(price) * Fraction(x) for own, price in zip(work, prices, strict=True) for x in own))
    totals = []
    for count, found in enumerate(plan.alternatives):
        api = everything - displaced_by_programme(work, prices, count * capacity)
        totals.append(count * Fraction(rent) + (Fraction(fixed) if count else 0) + api)
        assert (found.replicas, Fraction(found.api_cost), Fraction(found.total_cost)) == (count, api, totals[-1])
        assert sum((Fraction(part.api_cost) for part in found.classes), Fraction(0)) == api
        for part in found.classes:
            assert part.served_units + part.overflow_units == sum(work[int(part.name)])
    assert plan.best.replicas == totals.index(min(totals))
    assert len(plan.alternatives) == maximum + 1 if maximum is not None else not plan.alternatives[-1].api_cost


@settings(max_examples=100, deadline=None)
@given(hours=st.lists(small, min_size=1, max_size=20), rent=small, fixed=small, price=small)
def test_one_class_is_the_plain_hybrid(hours: list[Decimal], rent: Decimal, fixed: Decimal, price: Decimal) -> None:
    common = {"capacity_per_replica_hour": Decimal("1.5"), "replica_cost": rent, "fixed_cost": fixed}
    classes = [RequestClass(name="all", hourly_work=hours, price_per_unit=price)]
    plan = hybrid_of_classes(classes=classes, **common)  # type: ignore[arg-type]
    plain = optimal_hybrid(hourly_demand=hours, price_per_unit=price, headroom_ratio=0, **common)  # type: ignore[arg-type]
    assert [found.total_cost for found in plan.alternatives] == [found.total_cost for found in plain.alternatives]
    assert (plan.best.replicas, plan.next_replica) == (plain.best.replicas, plain.next_replica)


def test_the_requests_that_displace_most_per_replica_second_move_first() -> None:
    """Two hours, 10 of long answers at 3 and 10 of short ones at 1, one replica of 12 an hour at 40: the long ones and
    2 of the short ones move, which displaces 2 x (30 + 2) = 64. A second replica would displace 2 x 8 = 16."""
    plan = hybrid_of_classes(
        classes=[
            RequestClass(name="short", hourly_work=[10, 10], price_per_unit=1),
            RequestClass(name="long", hourly_work=[10, 10], price_per_unit=3),
        ],
        capacity_per_replica_hour=12,
        replica_cost=40,
        fixed_cost=0,
    )
    assert (plan.best.replicas, plan.best.total_cost) == (1, 40 + 16)
    assert [(part.name, part.served_units) for part in plan.best.classes] == [("long", 20), ("short", 4)]
    assert plan.next_replica.explanation == "Replica 2 would displace 16.00 of API cost for 40.00 of rent."


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([], "no class"),
        ([("a", [1], 1), ("a", [1], 1)], "name of its own"),
        ([("a", [1], 1), ("b", [1, 2], 1)], "Hours by class"),
        ([("a", [1], -1)], "price of a"),
        ([("a", [-1], 1)], "hourly_work of a"),
    ],
)
def test_classes_that_cannot_be_compared_are_refused_naming_them(
    classes: list[tuple[str, list[int], int]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        hybrid_of_classes(
            classes=[RequestClass(name=name, hourly_work=work, price_per_unit=price) for name, work, price in classes],
            capacity_per_replica_hour=1,
            replica_cost=1,
            fixed_cost=0,
        )
