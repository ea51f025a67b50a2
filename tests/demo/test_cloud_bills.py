"""The demo's cloud bill, its FOCUS copy, its euro invoice and its rates, recounted from the files by hand."""

import csv
import gzip
import io
import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.demo import AS_OF, BilledDay, Truth, cloud_bills, company, euro_bills

Row = dict[str, str]
EXPORT = cloud_bills.EXPORT_FOLDER


@pytest.fixture(scope="module")
def demo(demo_folder: Path, demo_truth: Truth) -> tuple[Path, Truth]:
    return demo_folder, demo_truth


def _rows(path: Path) -> list[Row]:
    return list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode("utf-8"), newline="")))


def _manifests(folder: Path, period: str) -> list[Path]:
    """Oldest first."""
    found = (folder / EXPORT / "metadata" / f"BILLING_PERIOD={period}").rglob("*Manifest.json")
    return sorted(found, key=lambda path: path.stat().st_mtime)


def _listed(folder: Path, manifest: Path) -> list[Path]:
    names = json.loads(manifest.read_text())["dataFiles"]
    return [folder / EXPORT / name.removeprefix(f"s3://demo-aws-billing/{EXPORT}/") for name in names]


def _counted(folder: Path) -> list[Row]:
    """What the newest manifest of each month lists."""
    return [
        row
        for period in ("2026-10", "2026-11")
        for path in _listed(folder, _manifests(folder, period)[-1])
        for row in _rows(path)
    ]


def _by_day(rows: list[Row], cost: str, day: str) -> dict[date, Decimal]:
    sums: dict[date, Decimal] = defaultdict(Decimal)
    for row in rows:
        sums[date.fromisoformat(row[day][:10])] += Decimal(row[cost])
    return dict(sums)


def _told(days: tuple[BilledDay, ...], measure: str) -> dict[date, Decimal]:
    return {row.usage_date: Decimal(row.amount) for row in days if (row.source, row.measure) == ("aws_cur2", measure)}


def test_listed_lines_sum_to_the_billed_days(demo: tuple[Path, Truth]) -> None:
    folder, truth = demo
    billed = _by_day(_counted(folder), "line_item_unblended_cost", "line_item_usage_start_date")
    assert billed == _told(truth.billed_days, "billed")
    assert len(billed) == 45


def test_effective_days_are_what_was_used_under_the_plan_and_what_it_left_unused(demo: tuple[Path, Truth]) -> None:
    """B20: AWS, amortized cost: covered use at the plan's rate, its fee and the negation nothing, the unused rest."""
    folder, truth = demo
    sums: dict[date, Decimal] = defaultdict(Decimal)
    for row in _counted(folder):
        kind, day = row["line_item_line_item_type"], date.fromisoformat(row["line_item_usage_start_date"][:10])
        if kind == "SavingsPlanCoveredUsage":
            sums[day] += Decimal(row["savings_plan_savings_plan_effective_cost"])
        elif kind == "SavingsPlanRecurringFee":
            committed, used = row["savings_plan_total_commitment_to_date"], row["savings_plan_used_commitment"]
            sums[day] += Decimal(committed) - Decimal(used)
        elif kind != "SavingsPlanNegation":
            sums[day] += Decimal(row["line_item_unblended_cost"])
    assert sums == _told(truth.billed_days, "effective")
    assert sum(sums.values()) == sum(_told(truth.billed_days, "billed").values())


def test_a_day_under_the_plan_is_the_schoolbooks(demo: tuple[Path, Truth]) -> None:
    """0.80 an hour is committed, 0.5232 of it used: 24 x 0.5232 = 12.5568 of 19.20; on demand it was 19.3152."""
    _, truth = demo
    days = {row.usage_date: row for row in truth.gpu_days}
    before, under = days[cloud_bills.PLAN_FROM - timedelta(days=1)], days[cloud_bills.PLAN_FROM]
    assert (before.measure, before.amount, before.gpu_hours) == ("billed", "19.3152", "24")
    assert (under.measure, under.amount, under.gpu_hours) == ("effective", "12.5568", "24")
    assert len(days) == 45


def test_a_stale_chunk_lies_beside_october_and_no_manifest_lists_it(demo: tuple[Path, Truth]) -> None:
    """B9"""
    folder, truth = demo
    there = set((folder / EXPORT / "data" / "BILLING_PERIOD=2026-10").rglob("*.csv.gz"))
    (manifest,) = _manifests(folder, "2026-10")
    listed = set(_listed(folder, manifest))
    (stale,) = there - listed
    keys = [
        {(row["identity_line_item_id"], row["identity_time_interval"]) for row in _rows(path)}
        for path in (stale, *listed)
    ]
    assert keys[0]
    assert keys[0] <= keys[1]
    assert "stale_chunk" in {fault.kind for fault in truth.faults}


def test_november_was_restated_and_the_files_times_say_which_is_newer(demo: tuple[Path, Truth]) -> None:
    """B10"""
    folder, truth = demo
    first, last = (
        [row for path in _listed(folder, manifest) for row in _rows(path)] for manifest in _manifests(folder, "2026-11")
    )
    cost, day = "line_item_unblended_cost", "line_item_usage_start_date"
    before, after = _by_day(first, cost, day), _by_day(last, cost, day)
    restated = {day: amount for day, amount in before.items() if after[day] != amount}
    assert restated == _told(truth.superseded_days, "billed")
    assert set(restated) == {date(2026, 11, 1), date(2026, 11, 7)}
    assert {row["bill_invoice_id"] for row in (*first, *last)} == {""}
    for path in (folder / EXPORT).rglob("*"):
        if path.is_file():
            assert datetime.fromtimestamp(path.stat().st_mtime, UTC) < AS_OF
    for manifest in (*_manifests(folder, "2026-10"), *_manifests(folder, "2026-11")):
        assert all(path.stat().st_mtime <= manifest.stat().st_mtime for path in _listed(folder, manifest))


def test_lines_that_name_the_invoice_sum_to_it(demo: tuple[Path, Truth]) -> None:
    folder, truth = demo
    (invoice,) = [one for one in truth.invoices if one.account == company.AWS]
    own = [row for row in _counted(folder) if row["bill_invoice_id"] == invoice.invoice_id]
    assert {row["bill_billing_period_start_date"][:10] for row in own} == {"2026-10-01"}
    total = sum((Decimal(row["line_item_unblended_cost"]) for row in own), Decimal())
    assert total == Decimal(invoice.total) == sum(Decimal(line.amount) for line in invoice.lines)


def test_an_option_of_the_instance_is_metered_in_hours_at_no_cost(demo: tuple[Path, Truth]) -> None:
    """B15: whoever counts hours by instance type alone counts them twice."""
    folder, _ = demo
    hours: dict[str, Decimal] = defaultdict(Decimal)
    for row in _counted(folder):
        if row["product_instance_type"] and row["line_item_line_item_type"] != "SavingsPlanNegation":
            hours[row["line_item_usage_type"].split(":")[0]] += Decimal(row["line_item_usage_amount"])
    assert hours == {"BoxUsage": 45 * 24, "EBSOptimized": 45 * 24}


def _focus(folder: Path) -> list[Row]:
    return [row for path in sorted((folder / "inbox/focus/demo-aws").iterdir()) for row in _rows(path)]


def test_the_control_says_the_same_but_for_one_late_line(demo: tuple[Path, Truth]) -> None:
    """B22"""
    folder, truth = demo
    (difference,) = truth.control_differences
    for focus_cost, measure in (("BilledCost", "billed"), ("EffectiveCost", "effective")):
        book = _told(truth.billed_days, measure)
        control = _by_day(_focus(folder), focus_cost, "ChargePeriodStart")
        apart = {day: book[day] - control[day] for day in book if book[day] != control[day]}
        assert apart == {date(2026, 10, 31): Decimal(difference.book_minus_control)}
    assert Decimal(difference.book_minus_control) == Decimal("7.4") * Decimal("0.09")


def test_rates_are_of_working_days_and_spelled_as_the_ecb_does(demo: tuple[Path, Truth]) -> None:
    folder, truth = demo
    (path,) = (folder / "inbox/ecb_rates/ecb").iterdir()
    lines = path.read_text(encoding="ascii").splitlines()
    assert all(line.endswith(",") for line in lines)
    days = [date.fromisoformat(line[:10]) for line in lines[1:]]
    assert days == sorted(days, reverse=True)
    assert all(day.weekday() < 5 for day in days)
    assert (days[-1], days[0]) == (date(2026, 9, 21), date(2026, 11, 13))
    read = {
        (date.fromisoformat(row["Date"]), currency): row[currency]
        for row in csv.DictReader(lines)
        for currency in ("USD", "JPY", "GBP", "CHF")
    }
    assert read == {(rate.rate_date, rate.currency): rate.per_euro for rate in truth.rates}
    dollars = {text for (_, currency), text in read.items() if currency == "USD"}
    assert all(Decimal("1.1") < Decimal(text) < Decimal("1.25") for text in dollars)
    assert len(dollars) > 25


def test_the_euro_invoice_adds_up_in_its_own_spelling(demo: tuple[Path, Truth]) -> None:
    folder, truth = demo
    (path,) = (folder / f"inbox/invoice_csv/{company.NORD}").iterdir()
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines(), delimiter=";"))
    (invoice,) = [one for one in truth.invoices if one.account == company.NORD]
    amounts = [Decimal(row["Betrag"].replace(",", ".")) for row in rows]
    assert amounts[-1] == sum(amounts[:-1]) == Decimal(invoice.total)
    assert rows[-1]["Position"] == euro_bills.INVOICE_TOTAL_TEXT
    assert amounts[0] == 744 * Decimal(truth.contract_euros_per_gpu_hour)
    assert {(row["Von"], row["Bis"]) for row in rows[:-1]} == {("01.10.2026", "31.10.2026")}
    assert invoice.currency == "EUR"


def test_every_file_of_the_export_has_the_time_that_aws_gave_it(demo: tuple[Path, Truth]) -> None:
    """The newest manifest is told by its time: a demo written tomorrow says the same."""
    folder, _ = demo
    for file in cloud_bills.bill().export:
        path = folder / EXPORT / file.name
        assert (path.read_bytes(), path.stat().st_mtime) == (file.content, file.at.timestamp())
