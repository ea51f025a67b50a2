"""What is worth a person's attention."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.economics.worth_saying import NO_FLOOR, Floor

amounts = st.decimals(min_value=0, max_value=10**9, places=2)
shares = st.decimals(min_value=0, max_value=1, places=3)


@given(absolute=amounts, share=shares, whole=amounts, money=amounts)
def test_the_floor_is_the_larger_of_an_amount_and_a_share(absolute, share, whole, money):
    """Both have to be reached, which is the larger one."""
    both = Fraction(money) >= Fraction(absolute) and Fraction(money) >= Fraction(share) * Fraction(whole)
    assert Floor(absolute=absolute, share=share).is_reached(money, whole=whole) == both


@given(absolute=amounts, share=shares, whole=st.none() | amounts, money=amounts.filter(lambda money: money > 0))
def test_what_was_said_is_not_taken_back_while_it_is_worth_saying(absolute, share, whole, money):
    floor = Floor(absolute=absolute, share=share)
    assert not (floor.is_reached(money, whole=whole) and floor.is_left(money, whole=whole))


def test_between_half_the_floor_and_the_floor_nothing_changes():
    floor = Floor(absolute=Decimal(100), share=Decimal("0.05"))
    assert [floor.is_reached(Decimal(money), whole=Decimal(10_000)) for money in (499, 500)] == [False, True]
    assert [floor.is_left(Decimal(money), whole=Decimal(10_000)) for money in (249, 250)] == [True, False]
    assert floor.is_reached(Decimal(100), whole=None)
    assert floor.is_reached(Decimal(100), whole=Decimal(-5))


def test_without_a_floor_nothing_at_all_is_no_saving():
    assert NO_FLOOR.is_left(Decimal(0), whole=None)
    assert not NO_FLOOR.is_left(Decimal("0.01"), whole=None)


@pytest.mark.parametrize("wrong", [{"absolute": Decimal(-1)}, {"share": Decimal("1.5")}, {"share": Decimal(-1)}])
def test_a_floor_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="pass"):
        Floor(**wrong)
