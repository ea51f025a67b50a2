"""GPU cost and invoices of a cloud bill are traced to the file's rows by what traces every other."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from pipeline.decisions.graph import shipped_graph
from pipeline.explain.evidence import Evidence
from pipeline.explain.explanation import Explanation
from pipeline.explain.gpu_costs import WasteFigure, explain_waste
from pipeline.explain.invoices import explain_invoice
from tests.pipeline.small_project import SmallProject, source

DAY = date(2026, 11, 2)
HEADER = (
    "BillingAccountId,BillingCurrency,BillingPeriodStart,BillingPeriodEnd,InvoiceIssuerName,InvoiceId,ServiceName,"
    "ChargeCategory,ChargePeriodStart,ChargePeriodEnd,ResourceId,PricingCategory,ConsumedQuantity,ConsumedUnit,"
    "BilledCost,EffectiveCost,ListCost,ContractedCost"
)
BILL = "1111,USD,2026-11-01T00:00:00Z,2026-12-01T00:00:00Z,Cloudy,INV-7,Compute"


def row(category: str, hour: int, resource: str, pricing: str, billed: str, effective: str) -> str:
    period = f"2026-11-02T{hour:02d}:00:00Z,2026-11-02T{hour + 1:02d}:00:00Z"
    return f"{BILL},{category},{period},{resource},{pricing},1,Hours,{billed},{effective},9.00,9.00"


FILE = "\n".join(
    [
        HEADER,
        row("Usage", 0, "i-gpu", "Standard", "2.125", "2.125"),
        row("Usage", 0, "i-gpu", "Standard", "2.125", "2.125"),
        row("Usage", 1, "i-gpu", "Committed", "0", "1.50"),
        row("Usage", 1, "i-web", "Standard", "77", "77"),
        row("Tax", 2, "i-gpu", "", "0.40", "0.40"),
        row("Usage", 3, "i-web", "Standard", "1000", "1000").replace("INV-7", "INV-8"),
        "",
    ]
)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    folder: Path = tmp_path_factory.mktemp("cloud")
    owned = {"issuer": "cloudy", "resource_id": "i-gpu", "host": "gpu-1", "gpu_count": 1, "from": "2026-10-01"}
    small = SmallProject(folder, [source("focus", "cloudy")], {"gpu_resources": [owned]})
    small.drop("focus", "cloudy", "november.csv", FILE.encode())
    snapshot, opened = small.run().result.snapshot, small.project
    datasets = shipped_graph().datasets
    with Evidence(snapshot, landing=opened.landing, datasets=datasets, cache=opened.paths.cache) as evidence:
        yield evidence


@pytest.fixture(scope="module")
def explanation(evidence: Evidence) -> Explanation:
    return explain_waste(evidence, WasteFigure(from_date=DAY, to_date=DAY + timedelta(days=1)))


def rows(explanation: Explanation, title: str) -> list[dict[str, Any]]:
    found = next(table for table in explanation.objects if table.title == title)
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def test_gpu_charges_of_a_cloud_bill_are_traced_to_its_rows(explanation: Explanation) -> None:
    """B9, B12, B20: equal rows are two; what a commitment covers is its effective cost; other resources stay out."""
    assert explanation.holds, explanation.equalities
    charges = rows(explanation, "Charges of a day")
    assert sorted((row["where"], row["amount"]) for row in charges) == [
        ("row 2", Decimal("2.125")),
        ("row 3", Decimal("2.125")),
        ("row 4", Decimal("1.5")),
        ("row 6", Decimal("0.4")),
    ]
    assert {row["file"] for row in charges} == {"november.csv"}
    assert {row["says"]["ResourceId"] for row in charges} == {"i-gpu"}


def test_the_figure_is_the_sum_of_those_rows(explanation: Explanation) -> None:
    """B20: billed and effective stand apart, each whole."""
    [figure] = explanation.figures
    said = [dict(zip(figure.columns, found, strict=True)) for found in figure.rows]
    by_measure = {row["cost_measure"]: row["realized_cost"] for row in said if row["state"] == "all"}
    assert by_measure == {"billed": Decimal("4.65"), "effective": Decimal("1.5")}


def test_an_invoice_of_a_cloud_bill_is_the_sum_of_the_rows_that_name_it(evidence: Evidence) -> None:
    """B7, B9, B24: every row, also of what is no GPU; only the document knows a total."""
    explanation = explain_invoice(evidence, "INV-7")
    assert explanation.holds, explanation.equalities
    assert {found.left for found in explanation.equalities} == {Fraction("81.65"), 5}
    [title] = [table.title for table in explanation.objects if table.title.startswith("The largest")]
    assert title == "The largest 5 of 5 rows that name it"
    shown = rows(explanation, title)
    assert (shown[0]["where"], shown[0]["amount"]) == ("row 5", "77.000000000000000000")
    assert "its total in USD should be 81.65 USD (exactly 81.65)" in explanation.outside_check[0]
