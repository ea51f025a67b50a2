"""What a bill is beyond its hours at the agreed rate: a figure beside the lines, exact, unknown where either is."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.models.gpu_harness import DAY, INVOICE_LINES, NODE, Row, answer, build_tables, invoice_line, rows_of

TABLE = "fct_billing_residual_daily"
QUANTUM = Decimal("1e-18")
RATED = {**NODE, "contract_rate_per_gpu_hour": Decimal("2.69"), "valid_from_date": None, "valid_to_date": None}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("billing_residual")


def _built(cache: Path, lines: Sequence[Row], agreed: Sequence[Mapping[str, Any]] = (RATED,)) -> Any:
    return build_tables(cache, {INVOICE_LINES: lines, "config_gpu_resources": agreed}, (TABLE,))


def _rows(cache: Path, lines: Sequence[Row], agreed: Sequence[Mapping[str, Any]] = (RATED,)) -> list[dict[str, Any]]:
    return rows_of(_built(cache, lines, agreed), TABLE)


def test_a_bill_is_its_hours_at_the_rate_and_a_residual(cache: Path) -> None:
    """24 GPU-hours at 2.69 are 64.56: a bill of 70 has 5.44 beyond them, and a discount of 10 takes more than that."""
    (row,) = _rows(cache, [invoice_line("70.00")])
    assert (row["gpu_milliseconds"], row["rated_cost"]) == (86_400_000, Decimal("64.56"))
    assert row["billing_residual_cost"] == Decimal("5.44")
    discount = invoice_line("-10.00", line_number=2, charge_kind="discount")
    (row,) = _rows(cache, [invoice_line("70.00"), discount])
    assert row["billing_residual_cost"] == Decimal("-4.56")


def test_each_day_has_the_rate_that_was_agreed_for_it(cache: Path) -> None:
    cheaper = {**RATED, "contract_rate_per_gpu_hour": Decimal("2"), "valid_from_date": DAY + timedelta(days=1)}
    agreed = [{**RATED, "valid_to_date": DAY + timedelta(days=1)}, cheaper]
    built = _built(cache, [invoice_line("129.12", days=2)], agreed)
    assert [row["billing_residual_cost"] for row in rows_of(built, TABLE)] == [Decimal(0), Decimal("16.56")]
    (told,) = answer(built, "billing_residuals", from_date=DAY, to_date=DAY + timedelta(days=2))
    assert (told["contract_rate_per_gpu_hour"], told["gpu_hours"], told["billed_cost"]) == (2, 24, Decimal("64.56"))


@pytest.mark.parametrize(
    "agreed",
    [
        [],
        [{**RATED, "contract_rate_per_gpu_hour": None}],
        [{**RATED, "currency": "EUR"}],
        [{**RATED, "valid_to_date": date(2020, 1, 1)}],
        [{**RATED, "resource_id": "node-2"}],
    ],
)
def test_without_a_rate_in_the_bills_currency_on_that_day_there_is_none(cache: Path, agreed: list[Row]) -> None:
    assert _rows(cache, [invoice_line("70.00")], agreed) == []


def test_what_is_accrued_at_the_rate_has_none_and_hours_that_nobody_knows_leave_it_unknown(cache: Path) -> None:
    assert _rows(cache, []) == []
    credit = invoice_line("-3.00", charge_kind="credit", quantity=None, unit=None)
    (row,) = _rows(cache, [credit])
    assert (row["billed_cost"], row["rated_cost"], row["billing_residual_cost"]) == (Decimal(-3), None, None)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cents=st.integers(0, 10**11),
    hours=st.decimals(min_value=Decimal("0.001"), max_value=24, places=3),
    rate=st.decimals(min_value=0, max_value=10**6, places=18),
)
def test_billed_is_hours_at_the_rate_and_the_residual_exactly(
    cache: Path, cents: int, hours: Decimal, rate: Decimal
) -> None:
    lines = [invoice_line(f"{cents // 100}.{cents % 100:02d}", quantity=str(hours))]
    (row,) = _rows(cache, lines, [{**RATED, "contract_rate_per_gpu_hour": rate}])
    assert Fraction(row["billed_cost"]) == Fraction(row["rated_cost"]) + Fraction(row["billing_residual_cost"])
    exact = Fraction(rate) * Fraction(row["gpu_milliseconds"], 3_600_000)
    assert abs(Fraction(row["rated_cost"]) - exact) <= Fraction(QUANTUM) / 2
