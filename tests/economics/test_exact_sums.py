"""Sums of quotients that are worked out fast are the sums."""

from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.economics.exact import exact_sum, rounded_sum

TERMS = st.lists(st.tuples(st.integers(-(10**30), 10**30), st.integers(1, 10**18)), max_size=12)


@given(TERMS)
def test_a_sum_of_quotients_is_their_sum(terms):
    assert exact_sum(terms) == sum((Fraction(*term) for term in terms), Fraction(0))


@given(TERMS)
@example([(1, 2)])
@example([(1, 4), (1, 4)])
@example([(3, 2)])
@example([(1, 3), (1, 6)])
@example([(1, 3), (1, 6), (1, 10**18)])
@example([(-1, 3), (-1, 6)])
def test_a_rounded_sum_is_the_sum_rounded_once_half_to_even(terms):
    assert rounded_sum(terms) == round(sum((Fraction(*term) for term in terms), Fraction(0)))
