"""Lines as AWS's legacy Cost and Usage Report spells those of CUR 2.0, and its refreshes with their manifests."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.pipeline.small_project import Answers, SmallProject
from tests.sources import cur2
from tests.sources.cur2 import NAME, STAGED, Company, Line, Place

MONTH = "20261001-20261101"
# CUR 2.0's name -> the legacy one.
SPELLED: Mapping[str, str] = {
    "identity_line_item_id": "identity/LineItemId",
    "bill_bill_type": "bill/BillType",
    "bill_billing_entity": "bill/BillingEntity",
    "bill_billing_period_start_date": "bill/BillingPeriodStartDate",
    "bill_invoice_id": "bill/InvoiceId",
    "bill_invoicing_entity": "bill/InvoicingEntity",
    "bill_payer_account_id": "bill/PayerAccountId",
    "line_item_currency_code": "lineItem/CurrencyCode",
    "line_item_line_item_type": "lineItem/LineItemType",
    "line_item_operation": "lineItem/Operation",
    "line_item_product_code": "lineItem/ProductCode",
    "line_item_resource_id": "lineItem/ResourceId",
    "line_item_unblended_cost": "lineItem/UnblendedCost",
    "line_item_usage_account_id": "lineItem/UsageAccountId",
    "line_item_usage_amount": "lineItem/UsageAmount",
    "line_item_usage_start_date": "lineItem/UsageStartDate",
    "line_item_usage_end_date": "lineItem/UsageEndDate",
    "line_item_usage_type": "lineItem/UsageType",
    "pricing_public_on_demand_cost": "pricing/publicOnDemandCost",
    "pricing_term": "pricing/term",
    "pricing_unit": "pricing/unit",
    "product_instance_type": "product/instanceType",
    "product_region_code": "product/regionCode",
    "product_sku": "product/sku",
    "reservation_reservation_a_r_n": "reservation/ReservationARN",
    "reservation_effective_cost": "reservation/EffectiveCost",
    "reservation_unused_amortized_upfront_fee_for_billing_period": (
        "reservation/UnusedAmortizedUpfrontFeeForBillingPeriod"
    ),
    "reservation_unused_recurring_fee": "reservation/UnusedRecurringFee",
    "savings_plan_savings_plan_a_r_n": "savingsPlan/SavingsPlanARN",
    "savings_plan_savings_plan_effective_cost": "savingsPlan/SavingsPlanEffectiveCost",
    "savings_plan_total_commitment_to_date": "savingsPlan/TotalCommitmentToDate",
    "savings_plan_used_commitment": "savingsPlan/UsedCommitment",
}
_OF_PRODUCT = {"product_name": "product/ProductName", "gpu": "product/gpu"}


def legacy(line: Line) -> dict[str, Any]:
    """A line of CUR 2.0 as the legacy report says it: what 2.0 keeps in maps are columns."""
    said = {SPELLED[name]: value for name, value in line.items() if name in SPELLED}
    said |= {_OF_PRODUCT[name]: value for name, value in (line.get("product") or {}).items() if name in _OF_PRODUCT}
    said |= {f"resourceTags/{name.replace('_', ':', 1)}": value for name, value in line["resource_tags"].items()}
    return said


def csv_gz(lines: Sequence[Line]) -> bytes:
    """A chunk."""
    spelled = [legacy(one) for one in lines]
    return cur2.csv_gz(spelled, columns=list(dict.fromkeys(name for one in spelled for name in one)))


def refresh(
    place: Place,
    chunks: Sequence[bytes],
    *,
    at: datetime,
    month: str = MONTH,
    assembly: str = "2f6e",
    listed: Sequence[str] | None = None,
) -> None:
    """What AWS does each time it restates a month: the files, and the manifest beside them and for the month."""
    names = [f"{month}/{assembly}/{NAME}-{number:05d}.csv.gz" for number in range(1, len(chunks) + 1)]
    for name, content in zip(names, chunks, strict=True):
        place.put(name, content, at)
    root = place.root.removeprefix("s3://").partition("/")[2]
    said = {
        "assemblyId": assembly,
        "billingPeriod": {"start": f"{month[:8]}T000000.000Z", "end": f"{month[9:]}T000000.000Z"},
        "reportName": NAME,
        "reportKeys": [f"{root}/{name}" for name in names] if listed is None else list(listed),
    }
    for folder in (f"{month}/{assembly}", month):
        place.put(f"{folder}/{NAME}-Manifest.json", json.dumps(said).encode(), at + timedelta(seconds=2))


def company(folder: Path, export: str, **fields: Any) -> Company:
    """A project with one legacy report."""
    return Company(
        SmallProject(folder, [{"source": "aws_cur", "account": "aws", "settings": {"export": export}, **fields}])
    )


def staged(answers: Answers) -> list[dict[str, Any]]:
    """What SQL made of the lines, whichever export they came in."""
    return answers.rows(f"select * exclude (source) from {STAGED} order by all")
