"""Worked examples of cloud and GPU bills, each by its number (`tests.numbered_cases`): from landed rows to tables."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.build.closing_tables import TOTAL_EVENT
from pipeline.cli import group
from pipeline.decisions.restated_days import restated_days
from pipeline.economics.accrual import rounded_once
from pipeline.landing.landing import as_event
from tests.models import cloud_harness as cloud
from tests.models import gpu_harness as gpu
from tests.models.test_aws_cur2_charges import Row, added_up, charges
from tests.models.test_fx_rates import rate_rows
from tests.models.test_gpu_costs import serving
from tests.pipeline.small_project import Answers, SmallProject, source
from tests.sources import cur2, gcp

INVOICES = "fct_invoices_monthly"
LINES = "int_billed_lines_daily"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("numbered_cases")


def gpu_states(cache: Path, **tables: Sequence[gpu.Row]) -> dict[tuple[str | None, str], gpu.Row]:
    """(deployment, state) -> its row, over which every law of GPU money holds."""
    built = gpu.build_tables(cache, tables, ("fct_gpu_costs_daily", *gpu.GPU_CHECKS))
    assert gpu.broken_laws(built) == []
    return {(row["deployment_id"], row["state"]): row for row in gpu.rows_of(built, "fct_gpu_costs_daily")}


def two_deployments() -> dict[str, list[gpu.Row]]:
    return {
        "config_deployments": [gpu.deployment(deployment_id=name) for name in "ab"],
        "config_deployment_served_names": [{"deployment_id": name, "served_name": name} for name in "ab"],
    }


@pytest.mark.parametrize(
    ("told_of_slices", "rest"),
    [
        (3_000_000 // 7 + 2_000_000 // 7, "unallocated"),
        (1_000_000, "held_other"),  # something else is on the other slices
        (None, "held_other"),  # of an agent before it counted by slices: memory of the whole GPU is in use
    ],
)
def test_slices_of_a_gpu_cost_their_part_and_the_rest_is_no_deployments(
    cache: Path, told_of_slices: int | None, rest: str
) -> None:
    """Case 6: 3g and 2g of 7 for $12.29, and 3.51 of no deployment. B18. A slice is told in millionths of its GPU."""
    told = [
        *serving(0, 1, target="a", model_name="a", gpu_shares_ppm=f"[{3_000_000 // 7}]"),
        *serving(0, 1, target="b", model_name="b", gpu_shares_ppm=f"[{2_000_000 // 7}]"),
    ]
    bill = gpu.invoice_line("12.29", quantity="1", period_end=f"{gpu.DAY}T01:00:00Z")
    found = gpu_states(
        cache,
        **two_deployments(),
        **{
            gpu.SAMPLES: gpu.watched(
                0, 1, compute_process_count=None, sm_active_ppm=300_000, mig_held_ppm=told_of_slices
            ),
            gpu.SCRAPES: told,
            gpu.INVOICE_LINES: [bill],
        },
    )
    costs = {key: row["realized_cost"] for key, row in found.items()}
    assert sum(costs.values()) == Decimal("12.29")
    assert {key: round(cost, 2) for key, cost in costs.items()} == {
        ("a", "serving"): Decimal("5.27"),
        ("b", "serving"): Decimal("3.51"),
        (None, rest): Decimal("3.51"),
    }


def test_two_invoices_of_one_export_each_tie_but_for_their_rounding(tmp_path: Path) -> None:
    """Case 7: AWS's own, 14.4224271659 and a tax of 1.36, is paid as 15.78; the marketplace's, 0.0326516, as 0.03."""
    seller = {"bill_billing_entity": "AWS Marketplace", "bill_invoicing_entity": "Anthropic, PBC"}
    lines = [
        cur2.line(14.4224271659),
        cur2.tax(1.36),
        cur2.line(0.0326516, bill_invoice_id="EUINGB26-1", **seller),
    ]
    cur2.refresh(cur2.FolderPlace(tmp_path / cur2.NAME), [cur2.parquet(lines)], at=cur2.FIRST)
    acme = cur2.company(tmp_path, cur2.NAME)
    assert acme.fetch().error is None
    payable = {"2181117685": ("Amazon Web Services, Inc.", "15.78"), "EUINGB26-1": ("Anthropic, PBC", "0.03")}
    for invoice_id, (issuer, total) in payable.items():
        body = {
            "month": "2026-10", "issuer": issuer, "currency": "USD", "invoice_id": invoice_id, "total": total,
            "account": None, "reason": None, "by": "kim",
        }  # fmt: skip
        acme.small.project.landing.keep(as_event(kind=TOTAL_EVENT, subject=invoice_id, body=body, now=cur2.NOW))
    answers = acme.small.build(now=cur2.NOW + timedelta(hours=1), graph=cloud.cloud_graph([INVOICES]))
    rows = answers.rows(
        "select invoice_id, in_scope_cost + out_of_scope_cost as lines, invoice_cost, residual_cost, residual_name "
        f"from {INVOICES} order by invoice_id"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("2181117685", Decimal("15.7824271659"), Decimal("15.78"), Decimal("-0.0024271659"), "rounding"),
        ("EUINGB26-1", Decimal("0.0326516"), Decimal("0.03"), Decimal("-0.0026516"), "rounding"),
    ]


def test_an_export_by_the_hour_and_one_by_the_day_come_to_the_same(tmp_path: Path) -> None:
    """Case 9: to the last digit, day by day; only the number of lines differs. B8."""
    resources = {f"i-{number}": 0.0838333333 + number * 0.0000000007 for number in range(5)}
    hourly: list[cur2.Line] = []
    daily: list[cur2.Line] = []
    for day in range(1, 4):
        for name, cost in resources.items():
            for hour in range(24):
                at = {"line_item_usage_start_date": f"2026-10-{day:02d}T{hour:02d}:00:00Z"}
                hourly.append(cur2.line(round(cost, 10), line_item_resource_id=name, **at))
            whole = float(24 * Decimal(repr(round(cost, 10))))
            at = {"line_item_usage_start_date": f"2026-10-{day:02d}T00:00:00Z"}
            daily.append(cur2.line(whole, line_item_resource_id=name, line_item_usage_amount=24.0, **at))

    def by_day(rows: Sequence[Row]) -> dict[tuple[date, str], tuple[Decimal, Decimal]]:
        return {(row["usage_date"], row["resource_id"]): (row["billed_cost"], row["consumed_quantity"]) for row in rows}

    by_the_hour, by_the_day = (charges(tmp_path / name, said) for name, said in (("h", hourly), ("d", daily)))
    assert by_day(by_the_hour) == by_day(by_the_day)
    assert len(by_day(by_the_hour)) == 15
    assert [added_up(rows, "line_count") for rows in (by_the_hour, by_the_day)] == [360, 15]


def test_the_tax_of_a_month_is_on_the_instances_that_it_taxes(tmp_path: Path) -> None:
    """Case 12: 0.38 over five g6 by what they cost, .30/.01/.02/.04/.01; not over the disk, and no hour of any. B12."""
    costs = {"i-a": 2.91, "i-b": 0.09, "i-c": 0.19, "i-d": 0.387369336, "i-e": 0.08}
    lines = [
        *(cur2.line(cost, line_item_resource_id=name) for name, cost in costs.items()),
        cur2.line(7.0, line_item_resource_id="vol-1", line_item_usage_type="EBS:VolumeUsage.gp3"),
        cur2.tax(0.38),
    ]
    cur2.refresh(cur2.FolderPlace(tmp_path / cur2.NAME), [cur2.parquet(lines)], at=cur2.FIRST)
    acme = cur2.company(tmp_path, cur2.NAME)
    assert acme.fetch().error is None
    acme.small.build(now=cur2.NOW, graph=cloud.cloud_graph(["int_cloud_charges_daily", "dim_source"]))
    words = ["costs", "--taxes", "--from", "2026-10-01", "--to", "2026-11-01", "--project", str(acme.small.folder)]
    rows = json.loads(CliRunner().invoke(group, [*words, "--format", "json"], catch_exceptions=False).output)
    assert {row["resource_id"]: Decimal(row["tax_cost"]) for row in rows} == {
        "i-a": Decimal("0.30"), "i-b": Decimal("0.01"), "i-c": Decimal("0.02"), "i-d": Decimal("0.04"),
        "i-e": Decimal("0.01"), "vol-1": 0,
    }  # fmt: skip
    shown = CliRunner().invoke(group, words).output
    assert "$10.66 charged, $0.38 of taxes, $11.04 together" in shown


def test_the_tax_of_a_month_that_is_on_no_invoice_yet_is_on_that_month_alone(tmp_path: Path) -> None:
    """Case 12, B12: 20 on October's 100 and 10 on November's 100, and not 15 on each."""
    lines = [
        cloud.line(
            BilledCost=cost, ResourceId=name, ChargeCategory="Usage" if name else "Tax", InvoiceId="",
            BillingPeriodStart=f"2026-{month}-01T00:00:00Z", ChargePeriodStart=f"2026-{month}-02T00:00:00Z",
            ChargePeriodEnd=f"2026-{month}-02T01:00:00Z",
        )
        for month, name, cost in (("10", "i-a", "100"), ("10", "", "20"), ("11", "i-b", "100"), ("11", "", "10"))
    ]  # fmt: skip
    made = SmallProject(tmp_path, [cloud.focus()])
    made.drop(cloud.FOCUS, "cloudy", "focus.csv", cloud.focus_csv(lines))
    cloud.built(made, graph=cloud.cloud_graph(["int_cloud_charges_daily", "dim_source"]))
    words = ["costs", "--taxes", "--from", "2026-10-01", "--to", "2026-12-01", "--project", str(tmp_path)]
    rows = json.loads(CliRunner().invoke(group, [*words, "--format", "json"], catch_exceptions=False).output)
    assert {row["resource_id"]: Decimal(row["tax_cost"]) for row in rows} == {"i-a": 20, "i-b": 10}


def test_a_block_that_is_paid_in_advance_is_billed_when_bought_and_costs_while_it_lasts(cache: Path) -> None:
    """Case 14: 14 days bought in October for 13,214.88: 4,267.31 of it are October's and 8,947.57 November's. B20."""
    first, last = date(2025, 10, 20), date(2025, 11, 12)
    block = gpu.invoice_line(
        "13214.88", day=date(2025, 10, 27), gpu_count="8", quantity="336",
        period_start="2025-10-27T11:30:00Z", period_end="2025-11-10T11:30:00Z",
    )  # fmt: skip
    tables = {gpu.INVOICE_LINES: [block], "calendar": gpu.days_of(first, last)}
    built = gpu.build_tables(cache, tables, ("fct_gpu_costs_daily", "fct_reconciliation_invoice", *gpu.GPU_CHECKS))
    assert gpu.broken_laws(built) == []
    months = {10: Fraction(0), 11: Fraction(0)}
    for row in gpu.rows_of(built, "fct_gpu_costs_daily"):
        months[row["usage_date"].month] += Fraction(row["realized_cost"])
    assert rounded_once(list(months.values()), digits=2) == [4_267_31, 8_947_57]
    (bill,) = gpu.rows_of(built, "fct_reconciliation_invoice")
    assert (bill["period_start_date"], bill["lines_cost"]) == (date(2025, 10, 27), Decimal("13214.88"))


def test_what_google_corrects_later_is_on_the_later_bill_and_of_the_earlier_days(tmp_path: Path) -> None:
    """Case 15: October was billed 10; November's invoice takes 10 back and charges 5, both corrections. B10."""
    made = SmallProject(tmp_path, [source(gcp.NAME, gcp.ACCOUNT, settings={"files": "whole"})])
    used = {"usage_start_time": "2026-10-20 10:00:00 UTC", "usage_end_time": "2026-10-20 11:00:00 UTC"}
    made.drop(gcp.NAME, gcp.ACCOUNT, "october.json", gcp.json_lines([gcp.row(10, month="202610", **used)]))
    cloud.built(made, graph=cloud.cloud_graph([LINES]))
    adjusted = {"adjustment_info": {"id": "a-1", "mode": "PARTIAL_CORRECTION"}, "cost_type": "adjustment"}
    november = [gcp.row(cost, month="202611", **used, **adjusted) for cost in (-10, 5)]
    made.drop(gcp.NAME, gcp.ACCOUNT, "november.json", gcp.json_lines(november))
    answers = cloud.built(made, now=cloud.NOW + timedelta(hours=1), graph=cloud.cloud_graph([cloud.MART, LINES]))
    as_billed = answers.rows(
        "select date_trunc('month', period_date) as month, sum(in_scope_cost + out_of_scope_cost) as cost "
        f"from {LINES} group by all order by all"
    )
    assert [row["cost"] for row in as_billed] == [10, -5]
    rows = answers.rows(
        "select billing_period_start_date, usage_date, charge_class, billed_cost, line_count "
        f"from {cloud.MART} order by all"
    )
    assert [tuple(row.values()) for row in rows] == [
        (date(2026, 10, 1), date(2026, 10, 20), None, 10, 1),
        (date(2026, 11, 1), date(2026, 10, 20), "Correction", -5, 2),
    ]
    assert sum(row["billed_cost"] for row in rows) == 5


def test_an_open_month_that_is_stated_anew_shows_what_it_was_and_a_file_again_is_nothing_new(tmp_path: Path) -> None:
    """Case 16: 100.00, then 92.40, then that again: 92.40, 7.60 less than it was, and the first is kept. B9, B10."""
    made = SmallProject(tmp_path, [cloud.focus()])
    graph = cloud.cloud_graph([cloud.MART])
    amount = f"select sum(billed_cost) from {cloud.MART}"

    def delivered(name: str, cost: str, at: datetime) -> Answers:
        charge = cloud.line(BilledCost=cost, EffectiveCost=cost, ListCost=cost, ContractedCost=cost)
        made.drop(cloud.FOCUS, "cloudy", name, cloud.focus_csv([charge]))
        return cloud.built(made, now=at, graph=graph)

    first, second, third = (datetime(2026, 11, day, 6, tzinfo=UTC) for day in (10, 12, 14))
    assert delivered("11-20261110T000000Z.csv", "100.00", first).one(amount) == 100
    restated = delivered("11-20261112T000000Z.csv", "92.40", second)
    again = delivered("11-20261112T000000Z-again.csv", "92.40", third)
    assert restated.one(amount) == again.one(amount) == Decimal("92.40")
    assert restated.rows(f"select * from {cloud.MART}") == again.rows(f"select * from {cloud.MART}")
    assert made.build(now=first, graph=graph).one(amount) == 100
    (day,) = restated_days(made.project, as_of=third, from_date=date(2026, 11, 1), to_date=date(2026, 12, 1))
    assert (day.was, day.now, day.difference) == (Decimal(100), Decimal("92.4"), Decimal("-7.6"))


def test_a_bill_in_another_currency_is_converted_without_rounding_its_parts(cache: Path) -> None:
    """Case 18: $20,631.02 at 0.8640 is 17,825.20 euros once, and 4:2:2 of it. Three lines of 10.02 are 25.97. B23."""
    gpus = [f"GPU-{number}" for number in range(8)]
    per_euro = "1.15740741"
    found = gpu_states(
        cache,
        **two_deployments(),
        config_company=[{"company": "Acme", "reporting_currency": "EUR"}],
        **{
            gpu.RATES: rate_rows({str(gpu.DAY): {"USD": per_euro}}),
            gpu.INVOICE_LINES: [
                gpu.invoice_line("20631.02", gpu_count="8", quantity="1", period_end=f"{gpu.DAY}T01:00:00Z")
            ],
            gpu.SAMPLES: [
                row
                for number, name in enumerate(gpus)
                for row in gpu.watched(0, 1, gpu_uuid=name, compute_process_count=int(number < 6))
            ],
            gpu.SCRAPES: [
                *serving(0, 1, gpus=gpus[:4], target="a", model_name="a"),
                *serving(0, 1, gpus=gpus[4:6], target="b", model_name="b"),
            ],
        },
    )
    converted = {key: row["realized_cost_rc"] for key, row in found.items()}
    assert round(sum(converted.values()), 2) == Decimal("17825.20")
    assert {key: round(cost, 2) for key, cost in converted.items()} == {
        ("a", "serving"): Decimal("8912.60"),
        ("b", "serving"): Decimal("4456.30"),
        (None, "unallocated"): Decimal("4456.30"),
    }
    small = [gpu.invoice_line("10.02", line_number=number, resource_id=f"node-{number}") for number in (1, 2, 3)]
    tables: dict[str, Any] = {
        gpu.INVOICE_LINES: small,
        gpu.RATES: rate_rows({str(gpu.DAY): {"USD": per_euro}}),
        "config_company": [{"company": "Acme", "reporting_currency": "EUR"}],
    }
    built = gpu.build_tables(cache, tables, ("fct_gpu_costs_daily",))
    assert round(sum(row["realized_cost_rc"] for row in gpu.rows_of(built, "fct_gpu_costs_daily")), 2) == Decimal(
        "25.97"
    )


def test_a_month_that_begins_on_the_utc_day_before_is_that_month(tmp_path: Path) -> None:
    """Case 20: of months that begin at 21:00Z, 20:59Z is September's invoice and 21:30Z October's. B8."""
    months = {"2025-08-31T21:00:00Z": "2025-09-30T20:59:00Z", "2025-09-30T21:00:00Z": "2025-09-30T21:30:00Z"}
    ends = {"2025-08-31T21:00:00Z": "2025-09-30T21:00:00Z", "2025-09-30T21:00:00Z": "2025-10-31T21:00:00Z"}
    made = SmallProject(tmp_path, [cloud.focus()])
    lines = [
        cloud.line(
            BillingPeriodStart=begins, BillingPeriodEnd=ends[begins], ChargePeriodStart=at, ChargePeriodEnd=at,
            BilledCost=str(number),
        )
        for number, (begins, at) in enumerate(months.items(), start=1)
    ]  # fmt: skip
    made.drop(cloud.FOCUS, "cloudy", "both.csv", cloud.focus_csv(lines))
    answers = cloud.built(made, graph=cloud.cloud_graph([INVOICES]))
    rows = answers.rows(f"select billing_month_date, out_of_scope_cost from {INVOICES} order by all")
    assert [tuple(row.values()) for row in rows] == [(date(2025, 9, 1), 1), (date(2025, 10, 1), 2)]
