"""What ready time bought, in words, in a table that adds up to the bill, and as a fall of bars."""

from datetime import date
from decimal import Decimal
from typing import Any

from pipeline.reports.monthly import report_page
from pipeline.reports.pools import pool_lines
from pipeline.reports.receipts import all_receipted
from pipeline.reports.since_issued import differences

from .fake_snapshot import DAY, OCTOBER, config, hours, snapshot_of, tables
from .reading import section, table
from .test_monthly import page

LINES = "The GPU bill line by line: ready time by what it bought, then all that was not ready"
CASH = "Billed, cash-recoverable USD"
UNTIL = date(2027, 2, 1)
Row = dict[str, Any]


def line(name: str, gpu_hours: float | None, cost: str, **changes: Any) -> Row:
    return {
        "usage_date": DAY,
        "issuer": "gpu-cloud",
        "account": "gpu-cloud",
        "deployment_id": "llama",
        "line": name,
        "cost_measure": "billed",
        "billing_currency": "USD",
        "gpu_milliseconds": None if gpu_hours is None else hours(gpu_hours),
        "realized_cost": Decimal(cost),
        "realized_cost_rc": Decimal(cost),
        "cash_recoverable_cost": Decimal(0),
        "cash_recoverable_cost_rc": Decimal(0),
        "committed_until_date": None,
        "reason": None,
        **changes,
    }


WASTE = [
    line("useful", 10, "26.90"),
    line("headroom", 4, "10.76"),
    line("over_provisioned", 8, "21.52", cash_recoverable_cost_rc=Decimal("10.76"), committed_until_date=UNTIL),
    line("unobserved", 2, "5.38", cash_recoverable_cost_rc=None),
    line("tax", None, "6.45", deployment_id=None),
    line(
        "useful_or_headroom",
        24,
        "29.40",
        deployment_id="gemma",
        cost_measure="effective",
        reason="no capacity of it is declared or measured",
    ),
]


def test_the_bill_line_by_line_adds_up_and_says_what_stays_in_one_piece(tmp_path):
    """B13"""
    document = page(tmp_path, {**tables(), "fct_gpu_waste_daily": WASTE})
    rows = table(document, LINES)
    assert [found["Line"] for found in rows] == [
        "useful",
        "headroom",
        "too many replicas",
        "useful or headroom",
        "unobserved",
        "tax",
        "The GPU bill",
    ]
    whole = rows[-1]
    assert (whole["GPU-hours h"], whole["Billed USD"], whole["Effective USD"]) == ("48.00", "71.01", "29.40")
    for column in ("Billed USD", "Effective USD"):
        assert sum(Decimal(found[column] or 0) for found in rows[:-1]) == Decimal(whole[column])
    assert rows[-2]["GPU-hours h"] == ""
    assert [(found[CASH], found["Committed until"]) for found in rows] == [
        ("0.00", ""),
        ("0.00", ""),
        ("10.76", "1 Feb 2027"),
        ("", ""),
        ("unknown", ""),
        ("0.00", ""),
        ("unknown", "1 Feb 2027"),
    ]
    free = [{**row, "committed_until_date": None} for row in WASTE]
    assert "Committed until" not in table(page(tmp_path, {**tables(), "fct_gpu_waste_daily": free}), LINES)[0]
    said = section(document, "waste").text
    assert "Known of it: $10.76 billed." in said
    assert "Useful or headroom, not told apart: gemma: no capacity of it is declared or measured." in said
    assert "GPU-hours of the bill, line by line" in said


def test_the_end_of_a_commitment_names_no_row_and_cash_is_no_bill(tmp_path):
    """Else a receipt of a line would be another one each time its commitment is prolonged."""
    later = [{**row, "committed_until_date": row["committed_until_date"] and date(2028, 2, 1)} for row in WASTE]
    report, prolonged = (
        report_page(
            snapshot_of({**tables(), "fct_gpu_waste_daily": rows}, tmp_path / name),
            config=config(),
            quarantined=(),
            first_day=OCTOBER,
        )
        for name, rows in (("before", WASTE), ("after", later))
    )
    assert differences(report, prolonged) == []
    (found,) = [one for one in all_receipted(report) if one.table == LINES and one.names == ("too many replicas",)]
    assert [(one.title, one.measure) for one in found.readings][-1] == ("Billed, cash-recoverable", "cash-recoverable")


def test_a_line_without_a_price_makes_its_sum_unknown(tmp_path):
    unpriced = line("headroom", 1, "0", realized_cost=None, realized_cost_rc=None)
    rows = table(page(tmp_path, {**tables(), "fct_gpu_waste_daily": [WASTE[0], unpriced]}), LINES)
    assert [found["Billed USD"] for found in rows] == ["26.90", "unknown", "unknown"]


def test_pools_in_words_are_a_line_a_measure():
    asked = [{**found, "gpu_hours": (found["gpu_milliseconds"] or 0) / 3_600_000} for found in WASTE]
    assert pool_lines(asked, currency="USD") == [
        "gemma, ready for 24.00 GPU-hours, effective: useful or headroom 24.00 h ($29.40); not told apart: no capacity "
        "of it is declared or measured",
        "llama, ready for 22.00 GPU-hours, billed: useful 10.00 h ($26.90), headroom 4.00 h ($10.76), too many "
        "replicas 8.00 h ($21.52, $10.76 of it recoverable as cash); committed until 2027-02-01",
    ]
