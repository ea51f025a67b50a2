"""Declared and no longer on the bill: nothing accrues where the issuer has billed without it, and that is said."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.models.gpu_harness import (
    DAY,
    GPU_CHECKS,
    INVOICE_LINES,
    NODE,
    SAMPLES,
    SOURCES,
    Row,
    broken,
    broken_laws,
    build_tables,
    days_of,
    invoice_line,
    rows_of,
    watched,
)

LAST = DAY + timedelta(days=9)
GONE = {**NODE, "resource_id": "node-9", "host": "host-9", "gpu_count": 2}
RATED = {**GONE, "contract_rate_per_gpu_hour": Decimal("2.50")}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu_ended")


def accrued_days(cache: Path, lines: Sequence[Row], *, resource: Row = RATED, **tables: Sequence[Row]) -> list[date]:
    """On which of the ten days from DAY the resource accrues; it is a leftover on the others, and no law is broken."""
    given = {
        INVOICE_LINES: lines,
        "config_gpu_resources": [resource],
        "calendar": days_of(DAY, LAST),
        **tables,
    }
    built = build_tables(cache, given, ("fct_gpu_costs_daily", "fct_gpu_leftovers_daily", *GPU_CHECKS))
    assert broken_laws(built) == []
    own = [row for row in rows_of(built, "fct_gpu_costs_daily") if row["resource_id"] == "node-9"]
    assert {row["cost_measure"] for row in own} <= {"accrued"}
    days = [row["usage_date"] for row in own]
    ended = [row for row in rows_of(built, "fct_gpu_leftovers_daily") if row["kind"] == "no_longer_billed"]
    assert {(row["resource_id"], row["host"], row["gpu_milliseconds"]) for row in ended} <= {("node-9", "host-9", None)}
    assert sorted([*days, *(row["usage_date"] for row in ended)]) == [row["usage_date"] for row in days_of(DAY, LAST)]
    return days


def after(days: int) -> list[date]:
    return [DAY + timedelta(days=offset) for offset in range(days, 10)]


@pytest.mark.parametrize("resource", [GONE, RATED], ids=["without a rate", "with one"])
def test_a_released_node_accrues_nothing_where_its_issuer_has_billed_without_it(cache: Path, resource: Row) -> None:
    """B4, B17: its cost there is not unknown, it is none; days that no invoice has reached accrue as agreed."""
    assert accrued_days(cache, [invoice_line("96.00", days=4)], resource=resource) == after(4)


def test_a_day_that_the_invoice_covers_in_part_accrues(cache: Path) -> None:
    """B8: what the rest of the day costs is another invoice's to say."""
    line = invoice_line("84.00", days=4, period_end=f"{DAY + timedelta(days=3)}T12:00:00Z", quantity="84")
    assert accrued_days(cache, [line]) == after(3)


def test_invoices_that_meet_within_a_day_cover_it_together(cache: Path) -> None:
    """B8: months in another zone meet at seven o'clock; no day between them is left to accrue."""
    seam = f"{DAY + timedelta(days=4)}T07:00:00Z"
    lines = [
        invoice_line("10.00", period_end=seam),
        invoice_line("10.00", invoice_id="INV-2", period_start=seam, period_end=f"{LAST}T07:00:00Z", quantity="99"),
    ]
    lines[1]["usage_date"] = DAY + timedelta(days=4)
    assert accrued_days(cache, lines) == [LAST]
    assert accrued_days(cache, [lines[0], {**lines[1], "period_start": f"{DAY + timedelta(days=4)}T08:00:00Z"}]) == [
        DAY + timedelta(days=4),
        LAST,
    ]


@pytest.mark.parametrize("kind", ["storage", "network", "support", "tax", "credit", "discount"])
def test_an_invoice_without_gpus_says_nothing_of_them(cache: Path, kind: str) -> None:
    """B4: a bill for the month's storage does not end the month's node."""
    line = invoice_line("5.00", days=4, charge_kind=kind, resource_id=None, gpu_count=None)
    assert accrued_days(cache, [line]) == after(0)


def test_what_is_paid_ahead_says_nothing_of_other_nodes(cache: Path) -> None:
    """B17: of an invoice stated on the fourth day, only what was over then speaks for what it leaves out."""
    lines = [
        invoice_line("72.00", days=3),
        invoice_line("999.00", day=DAY + timedelta(days=3), days=6, line_number=2, resource_id="node-2"),
    ]
    stated = {
        "usage_date": DAY,
        "source": "invoice_csv",
        "account": "gpucloud",
        "dataset": "invoice",
        "bucket": "INV-1",
        "stated_at": datetime.combine(DAY + timedelta(days=3), datetime.min.time()),
    }
    assert accrued_days(cache, lines, landed_coverage=[stated]) == after(3)


def test_of_an_issuer_with_two_accounts_both_must_have_billed(cache: Path) -> None:
    """B22: which account pays for the node is not said; the second's invoice may still bring it."""
    second = {**SOURCES[1], "account": "gpucloud-2"}
    lines = [invoice_line("96.00", days=4)]
    assert accrued_days(cache, lines, config_sources=[*SOURCES, second]) == after(0)
    both = [*lines, invoice_line("48.00", days=2, account="gpucloud-2", resource_id="node-5")]
    assert accrued_days(cache, both, config_sources=[*SOURCES, second]) == after(2)


def test_a_cloud_bill_ends_a_node_on_the_days_that_it_has_settled_without_it(cache: Path) -> None:
    """B17: it grows by the day and comes late; a day that may still change says nothing of what it leaves out."""
    cloud = {
        "source": "aws_cur2",
        "account": "gpucloud",
        "dataset": "cost_and_usage",
        "issuer": "gpucloud",
        "role": "book",
        "settle_lag_hours": 48,
    }
    stated_at = datetime.combine(DAY + timedelta(days=6), datetime.min.time())
    covered = [
        {
            "usage_date": DAY + timedelta(days=offset),
            "source": "aws_cur2",
            "account": "gpucloud",
            "dataset": "cost_and_usage",
            "bucket": "2025-11",
            "stated_at": stated_at,
        }
        for offset in range(6)
    ]
    sources = [source for source in SOURCES if source["source"] != "invoice_csv"]
    assert accrued_days(cache, [], landed_coverage=covered, config_sources=[*sources, cloud]) == after(4)
    control = {**cloud, "role": "control"}
    assert accrued_days(cache, [], landed_coverage=covered, config_sources=[*SOURCES, control]) == after(0)


def test_a_credit_that_comes_before_the_bill_stands_beside_what_is_agreed(cache: Path) -> None:
    """B10, B17: 5.00 given back for a day is not the day's whole cost; on a day billed without the node it is all."""
    credit = invoice_line(
        "-5.00", invoice_id="CN-1", charge_kind="credit", resource_id="node-9", gpu_count=None, quantity=None
    )
    tables = {"config_gpu_resources": [RATED], "calendar": days_of(DAY, DAY)}
    for lines, accrued in (([credit], Decimal(120)), ([credit, invoice_line("24.00")], None)):
        built = build_tables(cache, {**tables, INVOICE_LINES: lines}, ("fct_gpu_costs_daily", *GPU_CHECKS))
        assert broken_laws(built) == []
        costs: dict[str, Decimal] = {}
        for row in rows_of(built, "fct_gpu_costs_daily"):
            if row["resource_id"] == "node-9":
                costs[row["cost_measure"]] = costs.get(row["cost_measure"], Decimal(0)) + row["realized_cost"]
        assert (costs["billed"], costs.get("accrued")) == (Decimal(-5), accrued)


def test_a_node_that_is_back_on_the_bill_is_billed(cache: Path) -> None:
    """B17: it is ended in the periods that leave it out, not for good."""
    later = DAY + timedelta(days=5)
    lines = [
        invoice_line("24.00", resource_id="node-9", gpu_count="2"),
        invoice_line("96.00", day=DAY + timedelta(days=1), days=4, invoice_id="INV-2"),
        invoice_line("24.00", day=later, invoice_id="INV-3", resource_id="node-9", gpu_count="2"),
    ]
    tables = {
        INVOICE_LINES: lines,
        SAMPLES: watched(0, 1, day=later, provider_resource_id="node-9", host="host-9"),
        "config_gpu_resources": [RATED],
        "calendar": days_of(DAY, LAST),
    }
    built = build_tables(cache, tables, ("fct_gpu_costs_daily", "fct_gpu_leftovers_daily"))
    own = [row for row in rows_of(built, "fct_gpu_costs_daily") if row["resource_id"] == "node-9"]
    measures = {row["usage_date"]: row["cost_measure"] for row in own}
    assert measures == {DAY: "billed", later: "billed", **dict.fromkeys(after(6), "accrued")}


def test_gpus_that_are_seen_after_the_bill_ends_are_seen_and_not_billed(cache: Path) -> None:
    """B12: the hours are shown by GPU; that they are on no bill is not that they were not there."""
    tables = {
        INVOICE_LINES: [invoice_line("96.00", days=4)],
        SAMPLES: watched(0, 2, provider_resource_id="node-9", host="host-9"),
        "config_gpu_resources": [RATED],
        "calendar": days_of(DAY, LAST),
    }
    built = build_tables(cache, tables, ("fct_gpu_leftovers_daily",))
    found = {
        (row["kind"], row["gpu_uuid"], row["gpu_hours"])
        for row in rows_of(built, "fct_gpu_leftovers_daily")
        if row["usage_date"] == DAY and row["resource_id"] == "node-9"
    }
    assert found == {("no_longer_billed", None, None), ("seen_never_billed", "GPU-1", 2.0)}


# Commitments: lines of years


STARTED = date(2023, 11, 3)
CHECK = "check_gpu_money_conserved"


def prepaid(days: int) -> dict[str, list[Row]]:
    """One GPU for so many days from STARTED, paid at once."""
    return {INVOICE_LINES: [invoice_line("26280.01", day=STARTED, days=days)]}


def test_a_line_of_more_than_a_year_is_booked_to_the_quantum(cache: Path) -> None:
    """B8, B17: 26,280.01 over 431 days, every one of them, whichever month looks for it; the law of money holds."""
    days = 431
    calendar = days_of(STARTED, STARTED + timedelta(days=days))
    built = build_tables(cache, {**prepaid(days), "calendar": calendar}, ("int_gpu_charges_daily", CHECK))
    assert broken_laws(built, [CHECK]) == []
    rows = rows_of(built, "int_gpu_charges_daily")
    assert len(rows) == days
    assert sum(row["realized_cost"] for row in rows) == Decimal("26280.01")
    assert sum(row["gpu_milliseconds"] for row in rows) == days * 86_400_000
    assert max(row["realized_cost"] for row in rows) - min(row["realized_cost"] for row in rows) <= Decimal("1e-18")


@pytest.mark.parametrize("known_days", [400, 395], ids=["over", "still running"])
def test_a_long_line_of_which_days_are_missing_breaks_the_law_of_money(cache: Path, known_days: int) -> None:
    """B8: also while its period goes on, when its sum cannot be compared yet."""
    calendar = days_of(STARTED, STARTED + timedelta(days=known_days))
    near = broken("int_gpu_charges_daily", "int_gpu_long_invoice_lines", "int_gpu_bill_lines")
    tables = {**prepaid(400), "calendar": calendar}
    laws = broken_laws(build_tables(cache, tables, [CHECK], replaced=[near]), [CHECK])
    assert [law for law in laws if "days of its period have begun" in law]
