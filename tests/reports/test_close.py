"""The report's section on the month's close: what ties, what is unknown, what a closed month was restated by."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pipeline.decisions import invoices_monthly
from tests.reports.fake_snapshot import OCTOBER
from tests.reports.reading import table
from tests.reports.test_monthly import HOSTILE, changed, html, page, says

INVOICES = "Invoices of the month: in scope + out of scope + adjustments + residual = total"
LATE = "Adjustments of months that are closed, due in this one"


def invoice(**fields: Any) -> dict[str, Any]:
    return dict.fromkeys(invoices_monthly.SCHEMA) | {
        "billing_month_date": OCTOBER,
        "issuer": "anthropic",
        "account": "acme",
        "billing_currency": "USD",
        "invoice_id": "INV-1",
        "invoice_count": 1,
        "line_count": 3,
        "in_scope_cost": Decimal("15.0024271659"),
        "out_of_scope_cost": Decimal(0),
        "adjustments_cost": Decimal(0),
        "invoice_cost": Decimal("15"),
        "residual_cost": Decimal("-0.0024271659"),
        "residual_name": "rounding",
        "status": "residual",
        **fields,
    }


UNKNOWN = {"invoice_cost": None, "residual_cost": None, "residual_name": None, "status": "no_total"}


def test_what_is_unknown_is_a_dash_and_what_is_off_says_so(tmp_path):
    off = {"invoice_cost": Decimal("15.02"), "residual_cost": Decimal("0.0175728341"), "invoice_id": "INV-2"}
    rows = [invoice(), invoice(**off), invoice(invoice_id=None, **UNKNOWN)]
    document = page(tmp_path, changed(fct_invoices_monthly=rows))
    assert says(document, "close") == (
        "Not closed. Of 3 invoices 1 ties, 1 does not tie and 1 has no total that is known."
    )
    told = {line["Invoice"]: line for line in table(document, INVOICES)}
    assert told["INV-1"]["Result"] == "ties"
    assert told["INV-2"]["Result"] == "does not tie"
    unknown = told["—"]
    assert unknown["Result"] == "no invoice total known"
    assert next(cell for head, cell in unknown.items() if head.startswith("Total")) == "—"


def test_a_closed_month_says_when_and_from_what_and_hostile_names_are_text(tmp_path):
    closed = {"closed_at": datetime(2026, 11, 5, 6), "closed_snapshot_id": "5" * 16}  # noqa: DTZ001
    late = {
        **invoice(issuer=HOSTILE, invoice_id=None, adjustments_cost=Decimal("-3.5"), line_count=2),
        **UNKNOWN,
        "status": "late",
        "restated_month_date": date(2026, 9, 1),
    }
    filled = changed(fct_invoices_monthly=[invoice(**closed), late])
    document = page(tmp_path, filled)
    assert says(document, "close").startswith(
        "Closed on 5 Nov 2026 from snapshot 5555555555555555: these are the figures"
    )
    (row,) = table(document, LATE)
    assert row["Closed month"] == "September 2026"
    assert next(cell for head, cell in row.items() if head.startswith("Adjustment")) == "−3.50"
    assert "<script src" not in html(tmp_path, filled)
