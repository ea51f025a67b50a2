"""Offers: counts, costs and regrets against plain enumeration; what is paid is what is accrued by the end of a term."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.economics.offers import Terms, Traffic, compare_offers

MONEY = st.integers(0, 60).map(Fraction)
SHARES = st.sampled_from([Fraction(0), Fraction(1, 4), Fraction(1)])
HOURS = st.lists(st.integers(0, 12), min_size=1, max_size=8)
PATH = st.lists(st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(1), Fraction(3)]), min_size=4, max_size=4)


def traffic(hours: Sequence[int], **given_values: Any) -> Traffic:
    paths = {"expected": [Fraction(1)] * 4, **given_values.pop("paths", {})}
    defaults: dict[str, Any] = {"capacity_per_replica_hour": 3, "price_per_unit": 2, "fixed_month": 0}
    return Traffic(hourly_demand=hours, paths=paths, **{**defaults, **given_values})


def paid(terms: Terms, count: int, hours: Sequence[int], path: Sequence[Fraction], *, fixed: Fraction) -> Fraction:
    """A ledger written month by month, hour by hour."""
    total = Fraction(0)
    for times in path:
        above = sum((max(Fraction(0), hour * times - 3 * count) for hour in hours), Fraction(0))
        total += max(Fraction(terms.api_commitment_month), above * 2 * (1 - Fraction(terms.api_discount)))
        total += count * Fraction(terms.replica_month) + (fixed if count else 0)
        if terms.months:
            total += (Fraction(terms.bought_for) - Fraction(terms.residual)) / terms.months
    return total


@given(hours=HOURS, rent=MONEY, fixed=MONEY, discount=SHARES, commitment=MONEY, low=PATH, high=PATH)
def test_costs_counts_and_regrets_are_those_of_a_ledger(
    hours: list[int],
    rent: Fraction,
    fixed: Fraction,
    discount: Fraction,
    commitment: Fraction,
    low: list[Fraction],
    high: list[Fraction],
) -> None:
    """Every count is tried for the expected path; then the same count is paid on every path."""
    offers = {
        "api": Terms(replicas=0),
        "rent": Terms(replica_month=rent + 1),
        "commit": Terms(replicas=0, api_discount=discount, api_commitment_month=commitment, months=4),
        "box": Terms(replicas=2, bought_for=rent * 10, residual=rent, months=3, replica_month=1),
    }
    paths = {"expected": [Fraction(1)] * 4, "low": low, "high": high}
    found = {one.name: one for one in compare_offers(offers, traffic(hours, fixed_month=fixed, paths=paths))}
    best = {}
    for name, terms in offers.items():
        counts = [terms.replicas] if terms.replicas is not None else range(6)
        best[name] = min(counts, key=lambda n: (paid(terms, n, hours, paths["expected"], fixed=fixed), n))
        assert found[name].replicas == best[name]
    for path, months in paths.items():
        wanted = {name: paid(terms, best[name], hours, months, fixed=fixed) for name, terms in offers.items()}
        for name, cost in wanted.items():
            assert abs(Fraction(found[name].accrued[path]) - cost) < Fraction(1, 10**20)
            assert abs(Fraction(found[name].regret[path]) - (cost - min(wanted.values()))) < Fraction(1, 10**20)
        assert min(one.regret[path] for one in found.values()) == 0
    order = [one.accrued["expected"] for one in compare_offers(offers, traffic(hours, fixed_month=fixed, paths=paths))]
    assert order == sorted(order)


@given(hours=HOURS, rent=MONEY, first=SHARES, months=st.sampled_from([1, 2, 4]), price=MONEY, residual=MONEY)
def test_by_the_end_of_a_term_what_was_paid_is_what_was_accrued(
    hours: list[int], rent: Fraction, first: Fraction, months: int, price: Fraction, residual: Fraction
) -> None:
    """However much of it is paid first: cash and accrual differ in time, not in sum."""
    offers = {
        "reserved": Terms(replica_month=rent, replicas=1, paid_first=first, months=months),
        "bought": Terms(replicas=1, bought_for=price, residual=min(price, residual), months=months, replica_month=rent),
    }
    for one in compare_offers(offers, traffic(hours)):
        assert abs(one.cash["expected"] - one.accrued["expected"]) < Decimal("1e-40")
        assert one.bound_after == 0


def test_what_binds_beyond_the_horizon_is_said() -> None:
    three_years = Terms(replica_month=100, replicas=2, paid_first=Fraction(1, 2), months=36)
    commitment = Terms(replicas=0, api_commitment_month=70, months=12)
    reserved, committed = (
        next(one for one in compare_offers({"a": three_years, "b": commitment}, traffic([1])) if one.name == name)
        for name in ("a", "b")
    )
    assert (reserved.first_payment, reserved.bound_after) == (3600, 32 * 2 * 50)
    assert reserved.cash["expected"] == 3600 + 4 * 2 * 50
    assert (committed.first_payment, committed.bound_after) == (0, 8 * 70)


@pytest.mark.parametrize(
    ("offers", "paths", "said"),
    [
        ({}, {}, "no offer"),
        ({"a": Terms(replica_month=-1)}, {}, "replica_month of a is -1"),
        ({"a": Terms(paid_first=2)}, {}, "it is a share, at most 1"),
        ({"a": Terms(bought_for=5, months=12)}, {}, "say how many replicas"),
        ({"a": Terms()}, {"low": [Fraction(1)]}, r"The paths have \[1, 4\] months"),
    ],
)
def test_what_cannot_be_compared_is_refused(offers: dict[str, Terms], paths: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        compare_offers(offers, traffic([1, 2], paths=paths))


def test_hardware_does_not_bring_back_more_than_it_cost() -> None:
    terms = {"box": Terms(replica_month=10, replicas=1, bought_for=1000, residual=1001, months=12)}
    traffic = Traffic(
        hourly_demand=[10] * 24,
        capacity_per_replica_hour=100,
        price_per_unit=1,
        fixed_month=0,
        paths={"expected": [1] * 12},
    )
    with pytest.raises(ValueError, match="residual of box is 1001, more than the 1000"):
        compare_offers(terms, traffic)
