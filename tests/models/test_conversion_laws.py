"""Laws of a conversion into the reporting currency, for every converted amount of the marts, by their own SQL.

Amounts are whole quanta of 10^-18, rates units of 10^-8: nothing here is rounded but what the marts round.
"""

from collections.abc import Callable
from fractions import Fraction

import duckdb
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.models.conversion import MARTS, REPORTING, Converter, Mart, exactly

# What DECIMAL(38,18) and DECIMAL(18,8) hold.
LARGEST = 10**38 - 1
STEEPEST = 10**18 - 1
AS_PUBLISHED = (10**8, 111_720_000, 17_568_000_000, 2_027_517_000_000)
RATES = st.one_of(st.integers(min_value=1, max_value=STEEPEST), st.sampled_from([1, *AS_PUBLISHED, STEEPEST]))
EVERY_AMOUNT = st.integers(min_value=-LARGEST, max_value=LARGEST)
# Up to 10^12 units, which no bill reaches.
AMOUNTS = st.one_of(st.integers(min_value=-(10**30), max_value=10**30), st.sampled_from([0, 1, -1, 10**30]))
FEW = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=MARTS, ids=lambda mart: f"{mart.name}-{mart.converted}")
def converter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Converter:
    mart: Mart = request.param
    return Converter(mart, tmp_path_factory.mktemp("conversion"))


def _fits(amount: int, multiplier: int, divisor: int) -> bool:
    return abs(exactly(amount, multiplier=multiplier, divisor=divisor)) <= LARGEST


@FEW
@given(amounts=st.lists(EVERY_AMOUNT | AMOUNTS, min_size=1, max_size=8), multiplier=RATES, divisor=RATES)
def test_an_amount_is_the_exact_quotient_rounded_once(
    converter: Converter, amounts: list[int], multiplier: int, divisor: int
) -> None:
    """B7, B23: whatever fits the column, against fractions: half away from zero at 10^-18, no digit lost on the way."""
    amounts = [amount for amount in amounts if _fits(amount, multiplier, divisor)]
    found = converter.convert(amounts, multiplier=multiplier, divisor=divisor)
    assert found == [exactly(amount, multiplier=multiplier, divisor=divisor) for amount in amounts]


@st.composite
def _too_large(draw: st.DrawFn) -> tuple[int, int, int]:
    """An amount that fits its column, and a rate that makes it one that does not."""
    divisor, multiplier = sorted(draw(st.tuples(RATES, RATES).filter(lambda rates: rates[0] != rates[1])))
    least = min(LARGEST * divisor // multiplier + 2, LARGEST)
    amount = draw(st.integers(min_value=least, max_value=LARGEST)) * draw(st.sampled_from([1, -1]))
    return amount, multiplier, divisor


@FEW
@given(too_large=_too_large())
def test_what_does_not_fit_stops_the_build_and_never_wraps(
    converter: Converter, too_large: tuple[int, int, int]
) -> None:
    """B7: an amount above DECIMAL(38,18) is an error, not another amount."""
    amount, multiplier, divisor = too_large
    assert not _fits(amount, multiplier, divisor)
    with pytest.raises(duckdb.Error):
        converter.convert([amount], multiplier=multiplier, divisor=divisor)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("multiplier", "divisor"), [(STEEPEST, 1), (STEEPEST, STEEPEST - 1), (100_000_001, 10**8)])
def test_the_largest_amount_cannot_grow(converter: Converter, sign: int, multiplier: int, divisor: int) -> None:
    with pytest.raises(duckdb.Error):
        converter.convert([sign * LARGEST], multiplier=multiplier, divisor=divisor)


@pytest.mark.parametrize("divisor", [1, *AS_PUBLISHED, STEEPEST])
@pytest.mark.parametrize("multiplier", [1, *AS_PUBLISHED, STEEPEST])
def test_a_million_million_units_convert_at_every_published_rate(
    converter: Converter, multiplier: int, divisor: int
) -> None:
    """B7: no product on the way overflows where the result itself fits."""
    if _fits(10**30, multiplier, divisor):
        expected = exactly(10**30, multiplier=multiplier, divisor=divisor)
        assert converter.convert([10**30], multiplier=multiplier, divisor=divisor) == [expected]


@FEW
@given(amounts=st.lists(EVERY_AMOUNT, min_size=1, max_size=8), rate=RATES)
def test_the_reporting_currency_is_left_as_it_is(converter: Converter, amounts: list[int], rate: int) -> None:
    """To the last digit, without any rate or with one for one."""
    assert converter.convert(amounts, multiplier=None, divisor=None, currency=REPORTING) == amounts
    assert converter.convert(amounts, multiplier=rate, divisor=rate) == amounts


@FEW
@given(parts=st.lists(AMOUNTS, min_size=1, max_size=20), multiplier=RATES, divisor=RATES)
def test_converted_parts_differ_from_the_converted_whole_by_a_quantum_each_at_most(
    converter: Converter, parts: list[int], multiplier: int, divisor: int
) -> None:
    """B23, B30: an allocated charge may be converted part by part."""
    assume(all(_fits(amount, multiplier, divisor) for amount in (sum(parts), *parts)))
    *found, whole = converter.convert([*parts, sum(parts)], multiplier=multiplier, divisor=divisor)
    assert whole is not None
    assert abs(sum(part for part in found if part is not None) - whole) <= len(parts)


@FEW
@given(amount=AMOUNTS, multiplier=RATES, divisor=RATES)
def test_there_and_back_is_the_amount_but_for_the_two_roundings(
    converter: Converter, amount: int, multiplier: int, divisor: int
) -> None:
    """Half a quantum each; the first one is as large as the rate makes it on the way back."""
    assume(_fits(amount, multiplier, divisor))
    [there] = converter.convert([amount], multiplier=multiplier, divisor=divisor)
    assert there is not None
    assume(_fits(there, divisor, multiplier))
    [back] = converter.convert([there], multiplier=divisor, divisor=multiplier)
    assert back is not None
    assert abs(back - amount) <= Fraction(1, 2) + Fraction(divisor, 2 * multiplier)


@FEW
@given(amounts=st.lists(AMOUNTS, min_size=1, max_size=8), multiplier=RATES, divisor=RATES)
def test_a_refund_converts_as_the_charge_it_gives_back(
    converter: Converter, amounts: list[int], multiplier: int, divisor: int
) -> None:
    """B10: negative amounts survive, and mirror positive ones."""
    amounts = [amount for amount in amounts if _fits(amount, multiplier, divisor)]
    charges = converter.convert(amounts, multiplier=multiplier, divisor=divisor)
    refunds = converter.convert([-amount for amount in amounts], multiplier=multiplier, divisor=divisor)
    assert [-charge for charge in charges if charge is not None] == refunds


def test_no_rate_is_no_amount_and_never_one_for_one(converter: Converter) -> None:
    """B4, B23: neither zero, nor the amount as it stands, nor another currency's rate; no amount stays none."""
    assert converter.convert([1, -2], multiplier=None, divisor=None) == [None, None]
    assert converter.convert([1], multiplier=2, divisor=1, currency="XXX") == [None]
    assert converter.convert([None, 3], multiplier=2, divisor=1) == [None, 6]


PLANTED: dict[str, Callable[[str], str]] = {
    "multiplier and divisor swapped": lambda sql: (
        sql.replace("divisor", "swapped").replace("multiplier", "divisor").replace("swapped", "multiplier")
    ),
    "cut, not rounded": lambda sql: sql.replace("multiplier * 2 + rates.divisor", "multiplier * 2").replace(
        "multiplier * 2 + list_rates.divisor", "multiplier * 2"
    ),
    "the sign forgotten": lambda sql: sql.replace("_cost < 0 then -1", "_cost < 0 then 1"),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_another_amount(converter: Converter, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison with fractions can fail."""
    amounts = [10**18 + 1, -25 * 10**17]
    expected = [exactly(amount, multiplier=7, divisor=8) for amount in amounts]
    assert converter.convert(amounts, multiplier=7, divisor=8) == expected
    monkeypatch.setattr(converter, "_sql", PLANTED[fault](converter._sql))
    assert converter.convert(amounts, multiplier=7, divisor=8) != expected
