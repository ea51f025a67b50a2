"""Azure's cost details as an EA enrolment exports them, and runs of an export with their manifests. All generated."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

Row = Mapping[str, str]

NAME = "azure_cost_details"
ACCOUNT = "azure"
ENROLMENT = "12345678"
VM = "/subscriptions/e18e1552/resourceGroups/serving/providers/Microsoft.Compute/virtualMachines/nd-1"
# The 55 columns of an EA export.
HEADER = (
    "InvoiceSectionName", "AccountName", "AccountOwnerId", "SubscriptionId", "SubscriptionName", "ResourceGroup",
    "ResourceLocation", "Date", "ProductName", "MeterCategory", "MeterSubCategory", "MeterId", "MeterName",
    "MeterRegion", "UnitOfMeasure", "Quantity", "EffectivePrice", "CostInBillingCurrency", "CostCenter",
    "ConsumedService", "ResourceId", "Tags", "OfferId", "AdditionalInfo", "ServiceInfo1", "ServiceInfo2",
    "ResourceName", "ReservationId", "ReservationName", "UnitPrice", "ProductOrderId", "ProductOrderName", "Term",
    "PublisherType", "PublisherName", "ChargeType", "Frequency", "PricingModel", "AvailabilityZone",
    "BillingAccountId", "BillingAccountName", "BillingCurrencyCode", "BillingPeriodStartDate", "BillingPeriodEndDate",
    "BillingProfileId", "BillingProfileName", "InvoiceSectionId", "IsAzureCreditEligible", "PartNumber", "PayGPrice",
    "PlanName", "ServiceFamily", "CostAllocationRuleName", "benefitId", "benefitName",
)  # fmt: skip
ROW: Row = {
    **dict.fromkeys(HEADER, ""),
    "SubscriptionId": "e18e1552",
    "SubscriptionName": "serving",
    "ResourceLocation": "westeurope",
    "Date": "11/1/2026",
    "ProductName": "Virtual Machines NDsr H100 v5 Series - ND96isr H100 v5 - EU West",
    "MeterCategory": "Virtual Machines",
    "MeterSubCategory": "NDsr H100 v5 Series",
    "MeterId": "59bc01e3",
    "MeterName": "ND96isr H100 v5",
    "UnitOfMeasure": "1 Hour",
    "Quantity": "24",
    "EffectivePrice": "98.32",
    "CostInBillingCurrency": "100.25",
    "ResourceId": VM,
    "Tags": '"team": "search"',
    "ResourceName": "nd-1",
    "UnitPrice": "98.32",
    "PublisherType": "Azure",
    "ChargeType": "Usage",
    "Frequency": "UsageBased",
    "PricingModel": "OnDemand",
    "BillingAccountId": ENROLMENT,
    "BillingAccountName": "Example",
    "BillingCurrencyCode": "EUR",
    "BillingPeriodStartDate": "11/1/2026",
    "BillingPeriodEndDate": "11/30/2026",
    "PartNumber": "AAH-1",
}
PLAN = "/providers/Microsoft.BillingBenefits/savingsPlanOrders/Plan-1"


def row(cost: str = "100.25", **said: str) -> dict[str, str]:
    """A day of a GPU server."""
    return {**ROW, "CostInBillingCurrency": cost, **said}


def covered(cost: str = "0", **said: str) -> dict[str, str]:
    """A day of it under a savings plan: without a cost in the actual costs."""
    return row(cost, PricingModel="SavingsPlan", benefitId=PLAN, **said)


def bought(cost: str, **said: str) -> dict[str, str]:
    """A savings plan bought: in the actual costs alone."""
    return row(
        cost, PricingModel="SavingsPlan", ChargeType="Purchase", Frequency="Recurring", benefitId=PLAN.upper(),
        ResourceId="", MeterCategory="Savings Plan", UnitOfMeasure="1 Hour", **said,
    )  # fmt: skip


def unused(cost: str, **said: str) -> dict[str, str]:
    """What of a plan nothing used: in the amortized costs alone."""
    return row(cost, PricingModel="SavingsPlan", ChargeType="UnusedSavingsPlan", benefitId=PLAN, ResourceId="", **said)


def details(rows: Sequence[Row], *, header: Sequence[str] = ()) -> bytes:
    """One file, as CSV in Windows' line ends."""
    text = io.StringIO()
    names = list(header) or list(dict.fromkeys(name for one in (ROW, *rows) for name in one))
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_mca(row: Row) -> dict[str, str]:
    """The same line as a customer agreement says it: other casing, other names, its invoice."""
    renamed = {"BillingCurrencyCode": "billingCurrency", "ResourceLocation": "resourceLocation"}
    said = {renamed.get(name, name[0].lower() + name[1:]): value for name, value in row.items()}
    return {
        **said,
        "invoiceId": "G012345678",
        "paygCostInBillingCurrency": "120.5",
        "exchangeRatePricingToBilling": "0.92",
    }


def run(
    root: Path,
    files: Mapping[str, bytes],
    *,
    cost: str = "ActualCost",
    submitted: str = "2026-11-20T06:00:00.1234567Z",
    execution: str = "run-1",
    start: str = "2026-11-01",
    end: str = "2026-11-30",
    listed: Sequence[tuple[str, int]] | None = None,
) -> Path:
    """One run of an export: its partitions and the manifest that lists them."""
    folder = root / f"{start.replace('-', '')}-{end.replace('-', '')}" / execution
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    blobs = [(name, len(content)) for name, content in files.items()] if listed is None else listed
    said = {
        "manifestVersion": "2024-04-01",
        "blobCount": len(blobs),
        "exportConfig": {"exportName": "costs", "type": cost, "granularity": "Daily"},
        "deliveryConfig": {"partitionData": True, "fileFormat": "Csv"},
        "runInfo": {"submittedTime": submitted, "startDate": f"{start}T00:00:00", "endDate": f"{end}T00:00:00"},
        "blobs": [
            {"blobName": f"root/costs/{folder.parent.name}/{execution}/{name}", "byteCount": size}
            for name, size in blobs
        ],
    }
    (folder / "manifest.json").write_text(json.dumps(said))
    return folder
