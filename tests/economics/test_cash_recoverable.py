"""What of a line could come back as cash: whole units, of what nothing binds, never more than the line costs."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.economics.cash_recoverable import HeldPart, cash_recoverable, share_given_back, whole_unit_time
from pipeline.economics.idle_breakdown import PARTS

SHARES = st.fractions(0, 1, max_denominator=1000)
PART = st.builds(
    HeldPart,
    cost=st.none() | st.integers(-(10**24), 10**24),
    share=st.none() | SHARES,
    is_bound=st.booleans(),
)


def part(cost: int | None = 100, share: Fraction | None = Fraction(1, 2), is_bound: bool = False) -> HeldPart:
    return HeldPart(cost=cost, share=share, is_bound=is_bound)


@pytest.mark.parametrize(
    ("time", "unit", "whole"),
    [(40, 16, 32), (16, 16, 16), (15, 16, 0), (152, 160, 152), (151, 160, 0), (312, 160, 312), (0, 16, 0)],
)
def test_an_hour_holds_so_many_whole_units(time: int, unit: int, whole: int) -> None:
    """152 of 160 is 95%: nobody watches every second."""
    assert whole_unit_time(time, unit) == whole


@given(time=st.integers(0, 10**12), unit=st.integers(1, 10**12), scale=st.integers(1, 100))
def test_whole_units_never_exceed_the_line_and_leave_less_than_a_unit(time: int, unit: int, scale: int) -> None:
    whole = whole_unit_time(time, unit)
    assert 0 <= whole <= time
    assert time - whole < unit
    assert whole == 0 or 100 * whole >= 95 * unit
    assert whole_unit_time(time * scale, unit * scale) == whole * scale
    assert whole_unit_time(Fraction(time, 3), Fraction(unit, 3)) == Fraction(whole, 3)


@given(st.lists(PART, max_size=5))
def test_cash_is_none_of_what_is_bound_and_at_most_the_line(parts: list[HeldPart]) -> None:
    found = cash_recoverable(parts)
    costs = [one.cost for one in parts]
    if found is not None:
        assert found >= 0
        if None not in costs:
            assert found <= max(0, sum(cost or 0 for cost in costs))
    assert cash_recoverable([part(one.cost, one.share, is_bound=True) for one in parts]) == 0
    assert cash_recoverable([part(one.cost, Fraction(0), one.is_bound) for one in parts]) == 0
    might = [one for one in parts if not one.is_bound and one.share != 0 and (one.cost is None or one.cost > 0)]
    if not might:
        assert found == 0
    elif any(one.cost is None or one.share is None for one in might):
        assert found is None


@given(st.lists(st.builds(HeldPart, cost=st.integers(0, 10**24), share=SHARES, is_bound=st.booleans()), max_size=5))
def test_cash_of_positive_costs_is_the_free_ones_whole_part_of_them(parts: list[HeldPart]) -> None:
    free = sum((one.cost or 0) * (one.share or Fraction(0)) for one in parts if not one.is_bound)
    assert cash_recoverable(parts) == free // 1


def test_all_of_a_line_comes_back_to_the_last_quantum_where_all_of_it_is_whole_and_free() -> None:
    thirds = [part(Fraction(100, 3), Fraction(1))] * 3  # type: ignore[arg-type]
    assert cash_recoverable(thirds) == 100


def test_a_price_that_is_unknown_leaves_only_a_known_none_known() -> None:
    assert cash_recoverable([part(None)]) is None
    assert cash_recoverable([part(None, is_bound=True)]) == 0
    # What is given back is known; what the line costs is not.
    assert cash_recoverable([part(), part(None, is_bound=True)]) is None
    assert cash_recoverable([part(share=None), part()]) is None


def test_money_given_back_on_one_resource_lowers_what_can_come_back_of_the_line() -> None:
    assert cash_recoverable([part(100, Fraction(1)), part(-30, Fraction(1), is_bound=True)]) == 70
    assert cash_recoverable([part(100, Fraction(1)), part(-130, Fraction(1))]) == 0


def test_only_what_nothing_needs_is_given_back() -> None:
    half = Fraction(1, 2)
    told = {line: share_given_back(line, half) for line in (*PARTS, "unallocated", "unobserved", "starting", "tax")}
    assert told == {
        "useful": 0, "headroom": 0, "failover_reserve": 0, "over_provisioned": half, "scale_to_zero": half,
        "useful_or_headroom": None, "unallocated": half, "unobserved": None, "starting": 0, "tax": 0,
    }  # fmt: skip


@pytest.mark.parametrize(("time", "unit"), [(-1, 1), (1, 0), (1, -1)])
def test_what_is_negative_or_no_unit_is_refused(time: int, unit: int) -> None:
    with pytest.raises(ValueError, match="is"):
        whole_unit_time(time, unit)


def test_a_share_beyond_all_is_refused() -> None:
    with pytest.raises(ValueError, match="share is 2"):
        cash_recoverable([part(share=Fraction(2))])
