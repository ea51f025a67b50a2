"""AWS's own totals in the close: nobody has to enter what an invoice comes to."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.pipeline.small_project import SmallProject
from tests.sources import cur2
from tests.sources.admin_api import serving
from tests.sources.cur2 import FolderPlace
from tests.sources.test_aws_invoices import PAYER, Invoicing, summary

_ROWS = """
    select billing_month_date, invoice_id, issuer, invoice_cost, residual_cost, total_basis
    from fct_invoices_monthly order by all
"""
_SELLER = {
    "bill_invoice_id": "M-1",
    "bill_invoicing_entity": "Anthropic, PBC",
    "bill_billing_entity": "AWS Marketplace",
}


def _november(cost: float, invoice: str | None) -> dict[str, object]:
    moments = dict.fromkeys(("line_item_usage_start_date", "line_item_usage_end_date"), "2026-11-02T03:00:00Z")
    month = {"bill_billing_period_start_date": "2026-11-01T00:00:00Z", "bill_invoice_id": invoice}
    return cur2.line(cost, **month, **moments)


def test_an_invoice_ties_to_its_lines_without_anybody_entering_it(
    tmp_path: Path, warm_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 7, B15: two invoices of October, of AWS and of a marketplace's seller, whose residual is the rounding. In
    November lines that name no invoice yet are not put on one whose lines are not read.
    """
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    place, at = FolderPlace(tmp_path / "export"), datetime(2026, 11, 10, tzinfo=UTC)
    october = [cur2.line(14.4224271659), cur2.tax(1.36), cur2.line(0.0326516, **_SELLER)]
    cur2.refresh(place, [cur2.csv_gz(october)], at=at)
    cur2.refresh(place, [cur2.csv_gz([_november(3.0, "N-1"), _november(4.0, None)])], at=at, period="2026-11")
    seller = {"InvoicingEntity": "Anthropic PBC (seller)", "BillingEntity": "AWS_MARKETPLACE"}
    summaries = [
        summary("2181117685", "15.78"),
        summary("M-1", "0.03", Entity=seller),
        summary("R-1", "15.78", InvoiceType="PAYMENT_RECEIPT"),
        summary("S-1", "99", ReceiverRole="SELLER"),
        summary("N-1", "3.00", month="2026-11"),
        summary("X-1", "4.00", month="2026-11"),
    ]
    with serving(Invoicing(summaries)) as api:
        sources = [
            {"source": "aws_cur2", "account": "aws", "settings": {"export": str(place.folder)}},
            {"source": "aws_invoices", "account": "aws", "horizon": "2026-10-01", "base_url": api.base_url,
             "settings": {"account_id": PAYER}},
        ]  # fmt: skip
        project = SmallProject(tmp_path / "project", sources, warm_cache=warm_cache)
        errors = [one.error for one in project.ingest(now=cur2.NOW)]
    assert errors == [None, None]
    answers = project.build(now=cur2.NOW)
    assert project.quarantine(now=cur2.NOW) == []
    rows = answers.rows(_ROWS)
    said = {row["invoice_id"]: (row["issuer"], row["invoice_cost"], row["residual_cost"]) for row in rows}
    aws = "Amazon Web Services, Inc."
    assert said == {
        "2181117685": (aws, Decimal("15.78"), Decimal("-0.0024271659")),
        "M-1": ("Anthropic, PBC", Decimal("0.03"), Decimal("-0.0026516")),
        "N-1": (aws, Decimal("3.00"), Decimal(0)),
        "X-1": (aws, Decimal("4.00"), Decimal("4.00")),
        None: (aws, None, None),
    }
    assert {row["total_basis"] for row in rows if row["invoice_id"]} == {"export"}
