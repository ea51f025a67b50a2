"""Payback, against adding the months up one by one."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.payback import OneOff, payback, savings_with_falling_prices

money = st.integers(-500, 2000).map(lambda cents: Decimal(cents) / 10)


@settings(max_examples=300, deadline=None)
@given(
    savings=st.lists(money, min_size=1, max_size=24),
    one_off=st.integers(0, 5000),
    rate=st.sampled_from([Decimal(0), Decimal("0.01"), Decimal("0.25")]),
)
def test_it_is_the_first_time_at_which_the_savings_add_up_to_the_one_off(
    savings: list[Decimal], one_off: int, rate: Decimal
) -> None:
    found = payback(monthly_savings=savings, one_offs=[OneOff(item="move", amount=one_off)], monthly_discount_rate=rate)
    present = [Fraction(saving) / (1 + Fraction(rate)) ** (month + 1) for month, saving in enumerate(savings)]
    sums = [sum(present[:months], Fraction(0)) for months in range(len(present) + 1)]
    reached = next((month for month, total in enumerate(sums) if total >= one_off), None)
    assert (found.months is None) == (reached is None)
    if found.months is None:
        assert len(found.path) == len(savings)
        return
    assert reached is not None
    months = Fraction(found.months)
    assert reached - 1 < months <= reached if reached else months == 0
    if reached:
        # Linear inside the month: so much of it saves what was still missing at its beginning.
        earned = sums[reached - 1] + (months - (reached - 1)) * present[reached - 1]
        assert abs(earned - one_off) < Fraction(1, 10**40)


def test_a_saving_of_400_a_month_pays_1000_back_in_two_and_a_half_months() -> None:
    found = payback(monthly_savings=[400] * 12, one_offs=[OneOff(item="migration", amount=1000)])
    assert found.months == Decimal("2.5")
    assert [month.cumulative for month in found.path] == [400, 800, 1200]
    assert found.explanation == "1,000.00 spent once is paid back after 2.5 months."


def test_hardware_that_the_monthly_cost_amortises_is_not_paid_twice() -> None:
    parts = [
        OneOff(item="migration", amount=1000),
        OneOff(item="8 GPUs", amount=240_000, is_in_self_host_cost=True),
    ]
    found = payback(monthly_savings=[1000], one_offs=parts)
    assert (found.one_off, found.months, found.left_out) == (1000, 1, ("8 GPUs",))
    assert found.explanation.endswith("Without 8 GPUs: its price is in the monthly cost.")


def test_falling_prices_can_turn_a_payback_into_never() -> None:
    """1,000 a month that falls by a tenth each month, against 700: it saves 300, 200, 110, 29, and then loses."""
    falling = savings_with_falling_prices(
        api_cost=1000, self_host_cost=700, monthly_price_fall=Decimal("0.1"), months=36
    )
    assert falling[:5] == [300, 200, 110, 29, Decimal("-43.9")]
    constant = payback(monthly_savings=[300] * 36, one_offs=[OneOff(item="migration", amount=900)])
    assert constant.months == 3
    found = payback(monthly_savings=falling, one_offs=[OneOff(item="migration", amount=900)])
    assert found.months is None
    assert found.explanation == (
        "Never within 36 months: the cumulative saving comes to 639.00 at most, of 900.00 spent once."
    )


def test_a_month_that_loses_is_made_up_for_before_it_is_paid_back() -> None:
    found = payback(monthly_savings=[-100, 200, 200], one_offs=[OneOff(item="migration", amount=200)])
    assert found.months == Decimal("2.5")


def test_nothing_spent_once_is_paid_back_at_once() -> None:
    found = payback(monthly_savings=[], one_offs=[])
    assert (found.months, found.path) == (0, ())


def test_discounting_makes_it_later() -> None:
    """100 / 1.25 = 80 and 100 / 1.5625 = 64: 112 is reached halfway through the second month."""
    found = payback(
        monthly_savings=[100, 100], one_offs=[OneOff(item="move", amount=112)], monthly_discount_rate=Decimal("0.25")
    )
    assert found.months == Decimal("1.5")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"monthly_savings": [], "one_offs": [OneOff(item="move", amount=1)]}, "no month of savings"),
        ({"monthly_savings": [1], "one_offs": [OneOff(item="move", amount=-1)]}, "one-off move"),
        ({"monthly_savings": [1.5], "one_offs": []}, "saving of month 1"),
        ({"monthly_savings": [1], "one_offs": [], "monthly_discount_rate": -1}, "monthly_discount_rate"),
    ],
)
def test_what_cannot_be_added_up_is_refused_naming_it(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        payback(**arguments)  # type: ignore[arg-type]


def test_a_price_that_falls_by_all_of_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="monthly_price_fall"):
        savings_with_falling_prices(api_cost=1, self_host_cost=1, monthly_price_fall=1, months=1)
