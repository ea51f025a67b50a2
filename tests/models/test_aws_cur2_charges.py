"""Daily charges of AWS's cost and usage lines: commitments, GPU hours, taxes, refunds, and what they sum to."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.build.runner import Model
from pipeline.paths import models_root
from tests.models.cloud_harness import broken, broken_laws, cloud_graph
from tests.pipeline.small_project import Answers
from tests.sources.cur2 import FIRST, NAME, NOW, STAGED, FolderPlace, Line, company, line, parquet, refresh, tax, usage

Row = Mapping[str, Any]
PLAN = {"savings_plan_savings_plan_a_r_n": "arn:aws:savingsplans::111122223333:savingsplan/one"}
RESERVATION = {"reservation_reservation_a_r_n": "arn:aws:ec2:us-east-1:111122223333:reserved-instances/one"}
NOTHING_USED = {"line_item_resource_id": None, "pricing_unit": None, "pricing_term": None}


def charges(folder: Path, lines: Sequence[Line], *, replaced: Sequence[Model] = ()) -> list[Row]:
    """The daily charges that one export of these lines comes to."""
    refresh(FolderPlace(folder / NAME), [parquet(lines)], at=FIRST)
    acme = company(folder, NAME)
    assert acme.fetch().error is None
    return acme.build(replaced=replaced).rows(f"select * from {STAGED} order by all")


def added_up(rows: Sequence[Row], column: str, **wanted: Any) -> Decimal:
    """The sum of a column over the rows that say so."""
    found = [row[column] for row in rows if all(row[name] == value for name, value in wanted.items())]
    assert found, wanted
    return sum(found, Decimal(0))


def a_plan_for_a_day() -> list[Line]:
    """A plan of $20 an hour, used for 420 of its 480, covering what would have cost 600 on demand."""
    lines: list[Line] = []
    for hour in range(24):
        at = {"line_item_usage_start_date": f"2026-10-02T{hour:02d}:00:00Z", **PLAN}
        fee = {"savings_plan_total_commitment_to_date": 20.0, "savings_plan_used_commitment": 17.5}
        covered = {"savings_plan_savings_plan_effective_cost": 17.5, "pricing_public_on_demand_cost": 25.0}
        lines.append(usage("SavingsPlanRecurringFee", 20.0, **at, **fee, **NOTHING_USED))
        lines.append(usage("SavingsPlanCoveredUsage", 25.0, **at, **covered))
        lines.append(usage("SavingsPlanNegation", -25.0, **at, line_item_resource_id=None))
    return lines


def test_a_savings_plan_is_billed_once_and_spread_over_what_it_covered(tmp_path: Path) -> None:
    """B20. Billed 480; effective 420 used and 60 unused; a utilisation of 87.5 %. Case 13."""
    rows = charges(tmp_path, a_plan_for_a_day())
    assert added_up(rows, "billed_cost") == 480
    assert added_up(rows, "billed_cost", charge_category="Purchase") == 480
    assert added_up(rows, "effective_cost", charge_category="Purchase") == 0
    assert added_up(rows, "effective_cost", commitment_discount_status="Used") == 420
    assert added_up(rows, "effective_cost", commitment_discount_status="Unused") == 60
    assert added_up(rows, "billed_cost", commitment_discount_status="Used") == 0
    assert added_up(rows, "list_cost", commitment_discount_status="Used") == 600
    assert added_up(rows, "effective_cost") == added_up(rows, "billed_cost")
    # Of list, what is unused counted: 20 % saved, not the 30 % of what is used alone.
    assert 1 - added_up(rows, "effective_cost") / added_up(
        rows, "list_cost", charge_category="Usage", commitment_discount_status="Used"
    ) == Decimal("0.2")
    assert added_up(rows, "line_count") == 72
    assert {row["commitment_discount_id"] for row in rows} == set(PLAN.values())


def test_what_a_plan_covers_costs_its_resource_nothing_on_the_invoice(tmp_path: Path) -> None:
    """B20. The negation that takes the on-demand price back names no resource."""
    rows = charges(tmp_path, a_plan_for_a_day())
    assert added_up(rows, "billed_cost", resource_id="i-04fb6a4afc04d1e71") == 0
    assert added_up(rows, "effective_cost", resource_id="i-04fb6a4afc04d1e71") == 420
    assert added_up(rows, "consumed_quantity", resource_id="i-04fb6a4afc04d1e71") == 24


def test_what_a_negation_does_not_take_back_stays_in_the_sum(tmp_path: Path) -> None:
    """B20. Each line is rounded by itself: the sum is the invoice's, to the last digit."""
    covered = {**PLAN, "savings_plan_savings_plan_effective_cost": 0.5}
    lines = [
        usage("SavingsPlanCoveredUsage", 0.0000000004, **covered),
        usage("SavingsPlanCoveredUsage", 0.0000000004, **covered, line_item_resource_id="i-2"),
        usage("SavingsPlanNegation", -0.0000000007, **PLAN, line_item_resource_id=None),
    ]
    rows = charges(tmp_path, lines)
    assert added_up(rows, "billed_cost") == Decimal("0.0000000001")
    assert added_up(rows, "billed_cost", resource_id=None) == Decimal("0.0000000001")
    assert added_up(rows, "billed_cost", commitment_discount_status="Used") == 0


def test_a_reservation_is_spread_over_what_it_covered(tmp_path: Path) -> None:
    """B20. Paid in advance 1,000, monthly 100; of the latter 7.5 for hours that nothing ran in."""
    lines = [
        usage("Fee", 1000.0, **RESERVATION, **NOTHING_USED),
        usage(
            "RIFee",
            100.0,
            **RESERVATION,
            **NOTHING_USED,
            reservation_unused_amortized_upfront_fee_for_billing_period=5.0,
            reservation_unused_recurring_fee=2.5,
        ),
        usage("DiscountedUsage", 0.0, **RESERVATION, reservation_effective_cost=0.6),
        usage("Fee", 9.0, line_item_product_code="OCBPremiumSupport", **NOTHING_USED),
    ]
    rows = charges(tmp_path, lines)
    assert added_up(rows, "billed_cost") == 1109
    assert added_up(rows, "effective_cost", commitment_discount_status="Used") == Decimal("0.6")
    assert added_up(rows, "effective_cost", commitment_discount_status="Unused") == Decimal("7.5")
    assert added_up(rows, "effective_cost", charge_category="Purchase", service="AmazonEC2") == 0
    assert added_up(rows, "effective_cost", charge_category="Purchase", service="OCBPremiumSupport") == 9


def test_an_export_without_the_plans_columns_does_not_know_the_effective_cost(tmp_path: Path) -> None:
    """B20. Unknown is not 0: a covered line would be free."""
    lines = [usage("SavingsPlanCoveredUsage", 25.0, **PLAN), usage("SavingsPlanRecurringFee", 20.0, **PLAN), line(3.0)]
    rows = charges(tmp_path, lines)
    (covered,) = [row for row in rows if row["commitment_discount_status"] == "Used"]
    (unused,) = [row for row in rows if row["commitment_discount_status"] == "Unused"]
    assert covered["effective_cost"] is None
    assert unused["effective_cost"] is None
    assert added_up(rows, "effective_cost", commitment_discount_id=None) == 3


def test_gpu_hours_are_those_of_the_instance_and_not_counted_twice(tmp_path: Path) -> None:
    """Case 11, B24. EBSOptimized lines carry the instance's hours and GPU at no cost; a tax line a quantity of 1."""
    hours = {"i-1": (0.771945, 0.621261336), "i-2": (3.7725, 3.036108)}
    lines = [
        *(line(cost, line_item_usage_amount=n, line_item_resource_id=name) for name, (n, cost) in hours.items()),
        *(
            line(
                0.0,
                line_item_usage_amount=n,
                line_item_resource_id=name,
                line_item_usage_type="EBSOptimized:g6.xlarge",
                line_item_operation="Hourly",
            )
            for name, (n, _) in hours.items()
        ),
        tax(0.38, line_item_usage_type="BoxUsage:g6.xlarge", line_item_usage_amount=1.0),
    ]
    rows = charges(tmp_path, lines)
    assert added_up(rows, "consumed_quantity", sku_meter="BoxUsage:g6.xlarge", charge_category="Usage") == Decimal(
        "4.544445"
    )
    assert added_up(rows, "billed_cost", sku_meter="BoxUsage:g6.xlarge", charge_category="Usage") == Decimal(
        "3.657369336"
    )
    (levied,) = [row for row in rows if row["charge_category"] == "Tax"]
    assert levied["consumed_quantity"] is None
    assert (levied["resource_id"], levied["usage_date"]) == (None, date(2026, 10, 1))


@pytest.mark.parametrize(
    ("line_type", "fields", "expected"),
    [
        ("Usage", {}, ("Usage", None, "Standard")),
        ("Usage", {"line_item_usage_type": "USE2-SpotUsage:p5.48xlarge"}, ("Usage", None, "Dynamic")),
        ("Usage", {"pricing_term": None}, ("Usage", None, None)),
        ("DiscountedUsage", {"pricing_term": "Reserved"}, ("Usage", None, "Committed")),
        ("SavingsPlanUpfrontFee", {}, ("Purchase", None, None)),
        ("Tax", {}, ("Tax", None, None)),
        ("Credit", {}, ("Credit", None, None)),
        ("Refund", {}, ("Adjustment", "Correction", None)),
        ("Usage", {"bill_bill_type": "Refund"}, ("Usage", "Correction", "Standard")),
        ("EdpDiscount", {}, ("Adjustment", None, None)),
        ("BundledDiscount", {}, ("Adjustment", None, None)),
        ("SomethingNew", {}, ("SomethingNew", None, None)),
    ],
)
def test_a_line_type_is_told_in_focus_words(
    tmp_path: Path, line_type: str, fields: dict[str, Any], expected: tuple[str | None, ...]
) -> None:
    """B10. Refunds and credits keep their sign."""
    (row,) = charges(tmp_path, [usage(line_type, -2.5, **fields)])
    assert (row["charge_category"], row["charge_class"], row["pricing_category"]) == expected
    assert row["billed_cost"] == Decimal("-2.5")
    assert row["list_cost"] == (1 if line_type in ("Usage", "DiscountedUsage") else None)
    assert row["contracted_cost"] is None


def test_a_discount_on_a_line_of_its_own_is_counted_once(tmp_path: Path) -> None:
    """B20. The line's net cost holds the discount too: billed is the one or the other, never both."""
    lines = [line(10.0, line_item_net_unblended_cost=9.0), usage("EdpDiscount", -1.0, line_item_net_unblended_cost=0.0)]
    rows = charges(tmp_path, lines)
    assert added_up(rows, "billed_cost") == 9
    assert added_up(rows, "effective_cost") == 9


def test_no_net_column_moves_a_cost_and_what_is_billed_is_the_invoice(tmp_path: Path) -> None:
    """B20. A private discount of 10 % on everything, with its line: $10 on demand, a plan's fee of $20, a
    reservation's of $5. The net columns say once more, line by line, what that line takes off: $31.50 in all.
    """
    discounted = [
        (usage("Usage", 10.0), {"line_item_net_unblended_cost": 9.0}),
        (usage("SavingsPlanRecurringFee", 20.0, **PLAN, savings_plan_total_commitment_to_date=20.0,
               savings_plan_used_commitment=20.0, **NOTHING_USED), {"line_item_net_unblended_cost": 18.0}),
        (usage("SavingsPlanCoveredUsage", 25.0, **PLAN, savings_plan_savings_plan_effective_cost=20.0),
         {"line_item_net_unblended_cost": 22.5, "savings_plan_net_savings_plan_effective_cost": 18.0}),
        (usage("SavingsPlanNegation", -25.0, **PLAN, line_item_resource_id=None),
         {"line_item_net_unblended_cost": -22.5}),
        (usage("RIFee", 5.0, **RESERVATION, reservation_unused_amortized_upfront_fee_for_billing_period=0.0,
               reservation_unused_recurring_fee=0.0, **NOTHING_USED), {"line_item_net_unblended_cost": 4.5}),
        (usage("DiscountedUsage", 0.0, **RESERVATION, reservation_effective_cost=5.0),
         {"line_item_net_unblended_cost": 0.0, "reservation_net_effective_cost": 4.5}),
        (usage("EdpDiscount", -3.5, **NOTHING_USED), {"line_item_net_unblended_cost": 0.0}),
    ]  # fmt: skip
    without = charges(tmp_path / "without", [one for one, _ in discounted])
    rows = charges(tmp_path / "with", [{**one, **net} for one, net in discounted])
    assert rows == without
    assert added_up(rows, "billed_cost") == Decimal("31.5")
    assert added_up(rows, "effective_cost") == Decimal("31.5")


_TYPES = (
    "Usage", "DiscountedUsage", "SavingsPlanCoveredUsage", "SavingsPlanNegation", "SavingsPlanRecurringFee",
    "SavingsPlanUpfrontFee", "RIFee", "Fee", "Tax", "Credit", "Refund", "EdpDiscount", "SomethingNew",
)  # fmt: skip
_AMOUNTS = st.decimals(-99, 9999, places=10).map(float)
_ANY_LINES = st.lists(
    st.builds(
        lambda kind, cost, other, day, plan, invoice, resource: usage(
            kind,
            cost,
            line_item_usage_start_date=f"2026-10-{day:02d}T05:00:00Z",
            savings_plan_savings_plan_a_r_n=plan,
            bill_invoice_id=invoice,
            line_item_resource_id=resource,
            savings_plan_savings_plan_effective_cost=other,
            savings_plan_total_commitment_to_date=other,
            savings_plan_used_commitment=1.5,
            reservation_unused_recurring_fee=other,
            reservation_unused_amortized_upfront_fee_for_billing_period=0.0,
            reservation_effective_cost=other,
        ),
        st.sampled_from(_TYPES),
        _AMOUNTS,
        _AMOUNTS,
        st.integers(1, 2),
        st.sampled_from([None, "plan-1", "plan-2"]),
        st.sampled_from([None, "1"]),
        st.sampled_from([None, "i-1", "i-2"]),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=15)
@given(lines=_ANY_LINES)
def test_billed_is_the_sum_of_all_lines_and_every_line_is_counted(tmp_path_factory: Any, lines: list[Line]) -> None:
    """B9, B20. Whatever types meet, and the table has one row for each grain."""
    rows = charges(tmp_path_factory.mktemp("any"), lines)
    assert added_up(rows, "billed_cost") == sum(Decimal(str(one["line_item_unblended_cost"])) for one in lines)
    assert added_up(rows, "line_count") == len(lines)
    said = yaml.safe_load((models_root() / "staging" / f"{STAGED}.yml").read_text())
    grains = [tuple(row[name] for name in said["grain"]) for row in rows]
    assert len(grains) == len(set(grains))
    required = [name for name in said["grain"] if name not in said["nullable_grain"]]
    assert all(row[name] is not None for row in rows for name in required)
    assert list(rows[0]) == list(said["columns"])


FAULTS = [
    ("case when is_covered then 0 else line_item_unblended_cost end", "line_item_unblended_cost"),
    ("or covered_cost is not null", ""),
    ("where charge_category != 'SavingsPlanNegation'", ""),
]


def through_the_line(folder: Path, *, replaced: Sequence[Model] = ()) -> Answers:
    """A day of a plan, a tax and an hour, from the objects in landing to the mart and its laws."""
    refresh(FolderPlace(folder / NAME), [parquet([*a_plan_for_a_day(), tax(1.36), line(0.1)])], at=FIRST)
    acme = company(folder, NAME)
    assert acme.fetch().error is None
    return acme.small.build(now=NOW, graph=cloud_graph(replaced=replaced))


def test_the_mart_holds_what_the_files_say(tmp_path: Path) -> None:
    """B9, B20. Past every SQL model."""
    answers = through_the_line(tmp_path)
    (held,) = answers.rows("select sum(billed_cost) as billed from fct_cloud_charges_daily")
    assert held["billed"] == Decimal("481.46")
    assert broken_laws(answers) == []


@pytest.mark.parametrize(("old", "new"), FAULTS)
def test_a_plan_that_is_not_netted_breaks_the_law_of_money(tmp_path: Path, old: str, new: str) -> None:
    """B20."""
    laws = broken_laws(through_the_line(tmp_path, replaced=[broken(STAGED, old, new)]))
    assert any("money_is_conserved" in law for law in laws)
