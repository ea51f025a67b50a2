"""What an issuer reports as used, without a price, accrues at the agreed rate of its day until a bill is there."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.models.gpu_harness import (
    DAY,
    GPU_CHECKS,
    INVOICE_LINES,
    NODE,
    SOURCES,
    Row,
    Rows,
    at,
    broken,
    broken_laws,
    build_tables,
    invoice_line,
    rows_of,
    stated_invoices,
)

REPORTED = "landed_focus_usage__usage"
COSTS = "int_gpu_resource_costs_daily"
USAGE = {
    "source": "focus_usage",
    "account": "gpucloud",
    "dataset": "usage",
    "issuer": "gpucloud",
    "role": "metered",
}
AGREED = {**NODE, "host": None, "gpu_count": 2, "contract_rate_per_gpu_hour": Decimal("2.5")}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reported_accruals")


def hour(number: int, amount: str, *, day: date = DAY, **fields: Any) -> Row:
    """What is reported of node-1 for one hour of the day."""
    return {
        "account": "gpucloud",
        "bucket": f"{day}T{number:02}",
        "usage_date": day,
        "period_start": at(number, day=day),
        "billing_month": day.replace(day=1),
        "charge_category": "Usage",
        "resource_id": "node-1",
        "quantity": amount,
        "unit": "GPU-Hours",
        "times_stated": 1,
        **fields,
    }


def whole_day(amount: str, *, day: date = DAY, **fields: Any) -> list[Row]:
    return [hour(number, amount, day=day, **fields) for number in range(24)]


def coverage(day: date, *, stated_at: datetime | None = None) -> Row:
    """That the export of a day was stated, when the day was over unless said otherwise."""
    stated = stated_at or at(24, day=day)
    return {"usage_date": day, "source": "focus_usage", "account": "gpucloud", "dataset": "usage", "stated_at": stated}


def costs(cache: Path, tables: Mapping[str, Sequence[Row]], *more: str, **options: Any) -> tuple[Rows, Any]:
    said = {row["usage_date"] for row in tables.get(REPORTED, ())}
    given_tables = {
        "config_sources": [*SOURCES, USAGE],
        "config_gpu_resources": [AGREED],
        "landed_coverage": [*stated_invoices(tables), *(coverage(day) for day in said)],
        **tables,
    }
    built = build_tables(cache, given_tables, (COSTS, "fct_gpu_costs_daily", *GPU_CHECKS, *more), **options)
    assert broken_laws(built) == []
    return rows_of(built, COSTS), built


def on(rows: Rows, day: date = DAY) -> tuple[str, str | None, int | None, Decimal | None]:
    (row,) = (row for row in rows if row["usage_date"] == day)
    return row["cost_measure"], row["accrual_basis"], row["gpu_milliseconds"], row["realized_cost"]


def test_a_day_that_is_reported_accrues_what_was_used_and_others_what_is_agreed(cache: Path) -> None:
    """By hand: 24 x 1.25 GPU-hours x 2.5 = 75, where two GPUs for a day would be 120."""
    rows, _ = costs(cache, {REPORTED: whole_day("1.25")})
    assert on(rows) == ("accrued", "reported", 108_000_000, Decimal(75))
    assert on(rows, DAY + timedelta(days=1)) == ("accrued", "agreed", 172_800_000, Decimal(120))


def test_what_was_said_of_a_day_before_it_was_over_is_not_all_of_it(cache: Path) -> None:
    """The hours until noon look like a quiet day. A day that is over may be one: two of its hours are what was used."""
    until_noon = [hour(number, "1.25") for number in range(12)]
    early = [coverage(DAY, stated_at=at(12))]
    rows, _ = costs(cache, {REPORTED: until_noon, "landed_coverage": early})
    assert on(rows) == ("accrued", "agreed", 172_800_000, Decimal(120))
    rows, _ = costs(cache, {REPORTED: until_noon[:2], "landed_coverage": [*early, coverage(DAY)]})
    assert on(rows) == ("accrued", "reported", 9_000_000, Decimal("6.25"))


def test_a_bill_supersedes_what_was_reported_whole(cache: Path) -> None:
    """One cent for the day is the day's cost: nothing of the 75 stays beside it. B4."""
    rows, _ = costs(cache, {REPORTED: whole_day("1.25"), INVOICE_LINES: [invoice_line("0.01")]})
    assert [(row["cost_measure"], row["realized_cost"]) for row in rows if row["usage_date"] == DAY] == [
        ("billed", Decimal("0.01"))
    ]
    # A credit takes nothing of it away.
    credit = invoice_line("-1", charge_kind="credit", quantity=None)
    rows, _ = costs(cache, {REPORTED: whole_day("1.25"), INVOICE_LINES: [credit]})
    assert {row["cost_measure"]: row["realized_cost"] for row in rows if row["usage_date"] == DAY} == {
        "billed": -1, "accrued": 75,
    }  # fmt: skip


def test_what_is_reported_and_has_no_rate_is_a_quantity_of_unknown_cost(cache: Path) -> None:
    rows, built = costs(
        cache, {REPORTED: whole_day("1.25"), "config_gpu_resources": [{**AGREED, "contract_rate_per_gpu_hour": None}]}
    )
    assert on(rows) == ("accrued", "reported", 108_000_000, None)
    (state,) = (row for row in rows_of(built, "fct_gpu_costs_daily") if row["usage_date"] == DAY)
    assert (state["realized_cost"], state["gpu_hours"]) == (None, 30.0)


def test_nothing_used_is_nothing_owed(cache: Path) -> None:
    """A count of 0 that the issuer states is one, other than silence."""
    rows, _ = costs(cache, {REPORTED: whole_day("0")})
    assert on(rows) == ("accrued", "reported", 0, Decimal(0))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"pricing_quantity": "2", "pricing_unit": "GPU-Hours"}, ("reported", Decimal(120))),
        ({"pricing_quantity": "2"}, ("reported", Decimal(60))),
        ({"pricing_quantity": "2", "pricing_unit": "Credits"}, ("reported", Decimal(60))),
        ({"unit": "Instance-Hours"}, ("reported", Decimal(120))),
        ({"unit": "GiB-Hours"}, ("agreed", Decimal(120))),
        ({"unit": None}, ("agreed", Decimal(120))),
        ({"charge_category": None}, ("reported", Decimal(60))),
        ({"charge_category": "Purchase"}, ("agreed", Decimal(120))),
        ({"resource_id": "node-9"}, ("agreed", Decimal(120))),
        ({"quantity": "99999999999"}, ("agreed", Decimal(120))),
    ],
)
def test_hours_count_where_they_are_known_to_be_of_this_gpu(
    cache: Path, fields: Row, expected: tuple[str, Decimal]
) -> None:
    """By hand, of 1 an hour: what the price is of goes before it; two GPUs an instance; no other unit is time. B6."""
    rows, _ = costs(cache, {REPORTED: whole_day("1", **fields)})
    assert (on(rows)[1], on(rows)[3]) == expected


@pytest.mark.parametrize(("hosts", "expected"), [(2, ("reported", Decimal(240))), (3, ("agreed", Decimal(240)))])
def test_an_instance_of_a_pool_has_its_part_of_the_pools_gpus(
    cache: Path, hosts: int, expected: tuple[str, Decimal]
) -> None:
    """Two instances of two GPUs each, all day, are four GPUs; four on three hosts, and nobody knows one's. B13."""
    valid = {"valid_from_date": None, "valid_to_date": None}
    tables = {
        REPORTED: whole_day("2", unit="Hours"),
        "config_gpu_resources": [{**AGREED, "gpu_count": 4}],
        "config_gpu_pool_hosts": [
            {"issuer": "gpucloud", "resource_id": "node-1", "host": f"host-{number}", **valid}
            for number in range(hosts)
        ],
    }
    rows, _ = costs(cache, tables)
    assert (on(rows)[1], on(rows)[3]) == expected


def test_a_control_accrues_nothing(cache: Path) -> None:
    sources = [*SOURCES, {**USAGE, "role": "control"}]
    rows, _ = costs(cache, {REPORTED: whole_day("1.25"), "config_sources": sources})
    assert on(rows)[1] == "agreed"


QUANTITY = st.decimals(min_value=0, max_value=4000, places=9, allow_nan=False)
RATE = st.decimals(min_value=0, max_value=200, places=18, allow_nan=False)


@given(
    quantities=st.lists(QUANTITY, min_size=24, max_size=24),
    rates=st.tuples(RATE, RATE),
    is_billed=st.booleans(),
)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_accrued_is_the_sum_of_what_is_reported_at_the_rate_of_its_day(
    cache: Path, quantities: list[Decimal], rates: tuple[Decimal, Decimal], is_billed: bool
) -> None:
    """To 10^-18, each day at its own rate; and nothing of it where the day is billed. B4, B9."""
    days = (DAY, DAY + timedelta(days=1))
    reported = [hour(number, str(quantity), day=day) for day in days for number, quantity in enumerate(quantities)]
    agreed = [
        {**AGREED, "contract_rate_per_gpu_hour": rates[0], "valid_to_date": days[1]},
        {**AGREED, "contract_rate_per_gpu_hour": rates[1], "valid_from_date": days[1]},
    ]
    bill = {INVOICE_LINES: [invoice_line("5", day=days[0])]} if is_billed else {}
    rows, built = costs(cache, {REPORTED: reported, "config_gpu_resources": agreed, **bill})
    used = sum(map(Fraction, quantities), Fraction(0))
    for day, rate in zip(days, rates, strict=True):
        own = [row for row in rows if row["usage_date"] == day]
        if is_billed and day == days[0]:
            assert [(row["cost_measure"], row["realized_cost"]) for row in own] == [("billed", 5)]
            continue
        (row,) = own
        assert (row["cost_measure"], row["accrual_basis"]) == ("accrued", "reported")
        assert abs(Fraction(row["realized_cost"]) - used * Fraction(rate)) <= Fraction(1, 2 * 10**18)
        states = [one for one in rows_of(built, "fct_gpu_costs_daily") if one["usage_date"] == day]
        assert sum(one["realized_cost"] for one in states) == row["realized_cost"]


def test_hours_that_are_taken_from_the_agreement_are_found(cache: Path) -> None:
    fault = broken(
        COSTS, "case when agreed_quanta.used_gpu_hours is null then 'agreed'", "case when true then 'agreed'"
    )
    rows, _ = costs(cache, {REPORTED: whole_day("1.25")}, replaced=[fault])
    assert on(rows)[1] == "agreed"
