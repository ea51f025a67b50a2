"""demo-aws: a Cost and Usage Report 2.0 as Data Exports deliver it, and the FOCUS 1.2 export of the same account.

One cheap GPU instance with its disk and traffic, on demand at first, then under a savings plan that was bought for
two instances: what it leaves unused is money that bought nothing. A credit, tax, and everything AWS's layout allows to
go wrong: a chunk of an earlier refresh lies beside October's, and November was restated in a folder of its own.
Amounts are integers of 10^-10 dollars, as fine as AWS states them.
"""

import csv
import io
import json
import random
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from pipeline.demo import company
from pipeline.demo.truth import BilledDay, ControlDifference, GpuDay, InvoiceLine, InvoiceTotal

EXPORT = "demo-cur2"
EXPORT_FOLDER = f"exports/{company.AWS}/{EXPORT}"
FOCUS_OCTOBER = "demo-aws-focus_2026-10_20261104T070000Z.csv.gz"
FOCUS_NOVEMBER = "demo-aws-focus_2026-11_20261115T050000Z.csv.gz"
INVOICE_ID = "DEMO-AWS-2026-10-7731"
PLAN_FROM = date(2026, 10, 15)
OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)
FIRST_REFRESH_AT = datetime(2026, 11, 8, 4, 20, tzinfo=UTC)
LAST_REFRESH_AT = datetime(2026, 11, 15, 4, 35, tzinfo=UTC)

ON_DEMAND_HOUR, COVERED_HOUR, COMMITTED_HOUR = 8_048_000_000, 5_232_000_000, 8_000_000_000

_OCTOBER_AT = datetime(2026, 11, 5, 4, 10, tzinfo=UTC)
_STALE_AT = datetime(2026, 11, 2, 4, 5, tzinfo=UTC)
_FIRST_SEEN = 7  # days of November that the first refresh knew, the last of them in part
_UNITS = 10**10
_PAYER, _USER = "999900001111", "999900002222"
_ENTITY = "Amazon Web Services, Inc."
_PLAN = f"arn:aws:savingsplans::{_PAYER}:savingsplan/de300000-0000-4000-8000-000000000001"
_INSTANCE = company.NODE_4.resource_id or ""
_VOLUME = "vol-0de3000000000004a"
_DISK_GB = 200
_LATE_GB = 74 * _UNITS // 10
_TAX_PERCENT = 6
_CREDIT = -25 * _UNITS

Row = dict[str, str]


@dataclass(frozen=True)
class ExportFile:
    """One file of the export, below `EXPORT_FOLDER`, last modified when it says."""

    name: str
    content: bytes
    at: datetime


@dataclass(frozen=True)
class Bill:
    """What both exports say, and what is true of it."""

    export: tuple[ExportFile, ...]
    focus: tuple[tuple[str, bytes], ...]
    billed_days: tuple[BilledDay, ...]
    superseded_days: tuple[BilledDay, ...]
    invoice: InvoiceTotal
    gpu_days: tuple[GpuDay, ...]
    control_differences: tuple[ControlDifference, ...]


@dataclass(frozen=True)
class _Charge:
    """One thing that is charged. `cost` and `quantity` in 10^-10; `cost` is that on demand where a plan covers it."""

    kind: str
    start: date
    stop: date
    cost: int
    quantity: int = 0
    is_covered: bool = False


@dataclass(frozen=True)
class _Thing:
    """How a kind of charge is spelled."""

    line_type: str
    product: str
    service: str
    usage_type: str
    operation: str
    unit: str
    resource_id: str
    sku: str
    category: str
    description: str


_EC2 = ("AmazonEC2", "Amazon Elastic Compute Cloud")
_PLANS = ("ComputeSavingsPlans", "Savings Plans for AWS Compute usage")
_THINGS = {
    "instance": _Thing(
        "Usage", *_EC2, "BoxUsage:g6.xlarge", "RunInstances", "Hrs", _INSTANCE, "DEMOSKUG6XL", "Usage",
        "$0.8048 per On Demand Linux g6.xlarge Instance Hour",
    ),
    "option": _Thing(
        "Usage", *_EC2, "EBSOptimized:g6.xlarge", "Hourly", "Hrs", _INSTANCE, "DEMOSKUEBSOPT", "Usage",
        "$0.00 for Optimized EBS per g6.xlarge instance-hour",
    ),
    "disk": _Thing(
        "Usage", *_EC2, "EBS:VolumeUsage.gp3", "CreateVolume-Gp3", "GB-Mo", _VOLUME, "DEMOSKUGP3", "Usage",
        "$0.08 per GB-month of General Purpose (gp3) provisioned storage",
    ),
    "transfer": _Thing(
        "Usage", *_EC2, "DataTransfer-Out-Bytes", "RunInstances", "GB", _INSTANCE, "DEMOSKUOUT", "Usage",
        "$0.09 per GB data transfer out",
    ),
    "plan": _Thing(
        "SavingsPlanRecurringFee", *_PLANS, "ComputeSP:1yrNoUpfront", "", "Hrs", "", "DEMOSKUSP", "Purchase",
        "1 year No Upfront Compute Savings Plan",
    ),
    "credit": _Thing(
        "Credit", *_EC2, "", "", "", "", "", "Credit", "Demo credit for an interrupted instance",
    ),
    "tax": _Thing(
        "Tax", *_EC2, "", "", "", "", "", "Tax", "Tax for product code AmazonEC2",
    ),
}  # fmt: skip

# What the export's query selects, in its order.
_CUR_COLUMNS = (
    "bill_bill_type", "bill_billing_entity", "bill_billing_period_end_date", "bill_billing_period_start_date",
    "bill_invoice_id", "bill_invoicing_entity", "bill_payer_account_id", "identity_line_item_id",
    "identity_time_interval", "line_item_currency_code", "line_item_legal_entity", "line_item_line_item_description",
    "line_item_line_item_type", "line_item_operation", "line_item_product_code", "line_item_resource_id",
    "line_item_unblended_cost", "line_item_usage_account_id", "line_item_usage_amount", "line_item_usage_end_date",
    "line_item_usage_start_date", "line_item_usage_type", "pricing_public_on_demand_cost", "pricing_term",
    "pricing_unit", "product", "product_instance_type", "product_region_code", "product_sku",
    "reservation_effective_cost", "reservation_reservation_a_r_n",
    "reservation_unused_amortized_upfront_fee_for_billing_period", "reservation_unused_recurring_fee",
    "savings_plan_savings_plan_a_r_n", "savings_plan_savings_plan_effective_cost",
    "savings_plan_total_commitment_to_date", "savings_plan_used_commitment",
)  # fmt: skip
_FOCUS_COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency",
    "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency",
    "ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountId", "CommitmentDiscountStatus",
    "CommitmentDiscountType", "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "EffectiveCost", "InvoiceId",
    "InvoiceIssuerName", "ListCost", "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName",
    "PublisherName", "RegionId", "ResourceId", "ServiceCategory", "ServiceName", "SkuId", "SkuMeter", "SubAccountId",
    "x_Operation", "x_UsageType",
)  # fmt: skip


def bill() -> Bill:
    """Everything, made once."""
    october, november = list(_month(OCTOBER)), list(_month(NOVEMBER))
    late = _transfer(date(2026, 10, 31), _LATE_GB)
    first = list(_as_first_seen(november))
    closed = [*october, late]
    counted = [*closed, *november]
    return Bill(
        export=tuple(_export_files(closed=closed, first=first, last=november)),
        focus=(
            (FOCUS_OCTOBER, _csv_gz(_FOCUS_COLUMNS, _focus_rows(october, invoice_id=INVOICE_ID))),
            (FOCUS_NOVEMBER, _csv_gz(_FOCUS_COLUMNS, _focus_rows(november, invoice_id=""))),
        ),
        billed_days=(*_days(counted, "billed"), *_days(counted, "effective")),
        superseded_days=_restated_days(first, november),
        invoice=_invoice(closed),
        gpu_days=tuple(_gpu_days(counted)),
        control_differences=(
            ControlDifference(
                account=company.AWS,
                billing_period=f"{OCTOBER:%Y-%m}",
                book="aws_cur2",
                control="focus",
                currency="USD",
                book_minus_control=_decimal(late.cost),
                why="one line of data transfer that came after the FOCUS export was written",
            ),
        ),
    )


# --- what is charged -------------------------------------------------------------------------------------------------


def _month(first: date) -> Iterator[_Charge]:
    """A month as far as the demo goes. Tax and credit stand on its first day."""
    rng = random.Random(f"{company.SEED}/{company.AWS}/{first}")
    days = [day for day in company.DAYS if (day.year, day.month) == (first.year, first.month)]
    charges = [charge for day in days for charge in _day(rng, day)]
    yield from charges
    stop = _month_after(first)
    if first == OCTOBER:
        yield _Charge("credit", first, stop, _CREDIT)
    yield _tax(charges, first)


def _day(rng: random.Random, day: date) -> Iterator[_Charge]:
    following, hours = day + timedelta(days=1), 24 * _UNITS
    is_covered = day >= PLAN_FROM
    yield _Charge("instance", day, following, 24 * ON_DEMAND_HOUR, hours, is_covered=is_covered)
    yield _Charge("option", day, following, 0, hours)
    if is_covered:
        yield _Charge("plan", day, following, 24 * COMMITTED_HOUR, hours)
    month_days = (_month_after(day) - day.replace(day=1)).days
    gigabyte_months = _rounded(Fraction(_DISK_GB * _UNITS, month_days))
    yield _Charge("disk", day, following, _rounded(Fraction(gigabyte_months * 8, 100)), gigabyte_months)
    yield _transfer(day, rng.randrange(60 * _UNITS, 140 * _UNITS) // 10)


def _transfer(day: date, gigabytes: int) -> _Charge:
    return _Charge("transfer", day, day + timedelta(days=1), _rounded(Fraction(gigabytes * 9, 100)), gigabytes)


def _tax(charges: Sequence[_Charge], first: date) -> _Charge:
    """Of what is invoiced, in whole cents: a covered hour is not, the plan's fee is."""
    invoiced = sum(charge.cost for charge in charges if not charge.is_covered)
    cents = _rounded(Fraction(invoiced * _TAX_PERCENT, _UNITS))
    return _Charge("tax", first, _month_after(first), cents * _UNITS // 100)


def _as_first_seen(november: Sequence[_Charge]) -> Iterator[_Charge]:
    """The first week: the traffic of its last day was known by a third, and tax was of what was known."""
    last = NOVEMBER + timedelta(days=_FIRST_SEEN - 1)
    seen = [
        _transfer(charge.start, charge.quantity // 3) if charge.kind == "transfer" and charge.start == last else charge
        for charge in november
        if charge.start <= last and charge.kind != "tax"
    ]
    yield from seen
    yield _tax(seen, NOVEMBER)


def _month_after(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def _rounded(value: Fraction) -> int:
    """To a whole number, halves up."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


# --- the Cost and Usage Report ---------------------------------------------------------------------------------------


def _export_files(
    *, closed: Sequence[_Charge], first: Sequence[_Charge], last: Sequence[_Charge]
) -> Iterator[ExportFile]:
    """October as its last refresh left it, written over; from November on a folder for each refresh.

    October's refreshes before the last had two chunks. The second one is still there, and no manifest lists it.
    """
    october = f"BILLING_PERIOD={OCTOBER:%Y-%m}/"
    # Written before the last line came.
    yield _chunk(october, 2, closed[len(closed) // 2 : -1], invoice_id="", at=_STALE_AT)
    yield from _refresh(october, closed, invoice_id=INVOICE_ID, at=_OCTOBER_AT)
    for charges, at in ((first, FIRST_REFRESH_AT), (last, LAST_REFRESH_AT)):
        folder = f"BILLING_PERIOD={NOVEMBER:%Y-%m}/{at:%Y%m%dT%H%M%S}.000Z-demo/"
        yield from _refresh(folder, charges, invoice_id="", at=at)


def _refresh(folder: str, charges: Sequence[_Charge], *, invoice_id: str, at: datetime) -> Iterator[ExportFile]:
    """The data, then the manifest that lists it."""
    chunk = _chunk(folder, 1, charges, invoice_id=invoice_id, at=at)
    yield chunk
    manifest = {
        "executionId": f"{at:%Y%m%dT%H%M%S}-demo",
        "exportArn": f"arn:aws:bcm-data-exports:us-east-1:{_PAYER}:export/{EXPORT}",
        "dataFiles": [f"s3://demo-aws-billing/{EXPORT_FOLDER}/{chunk.name}"],
    }
    content = (json.dumps(manifest, indent=2) + "\n").encode()
    yield ExportFile(f"metadata/{folder}{EXPORT}-Manifest.json", content, at + timedelta(seconds=2))


def _chunk(folder: str, number: int, charges: Sequence[_Charge], *, invoice_id: str, at: datetime) -> ExportFile:
    rows = [line for charge in charges for line in _cur_lines(charge, invoice_id=invoice_id)]
    return ExportFile(f"data/{folder}{EXPORT}-{number:05d}.csv.gz", _csv_gz(_CUR_COLUMNS, rows), at)


def _cur_lines(charge: _Charge, *, invoice_id: str) -> Iterator[Row]:
    """A covered hour is two lines: as on demand, and taken back."""
    thing = _THINGS[charge.kind]
    period = charge.start.replace(day=1)
    is_use = thing.line_type == "Usage"
    line = {
        "bill_bill_type": "Anniversary",
        "bill_billing_entity": "AWS",
        "bill_billing_period_end_date": _moment(_month_after(period)),
        "bill_billing_period_start_date": _moment(period),
        "bill_invoice_id": invoice_id,
        "bill_invoicing_entity": _ENTITY,
        "bill_payer_account_id": _PAYER,
        # One id for all days of a thing, as AWS has it: no key.
        "identity_line_item_id": f"{zlib.crc32(thing.description.encode()):08x}demo",
        "identity_time_interval": f"{_moment(charge.start)}/{_moment(charge.stop)}",
        "line_item_currency_code": "USD",
        "line_item_legal_entity": _ENTITY,
        "line_item_line_item_description": thing.description,
        "line_item_line_item_type": "SavingsPlanCoveredUsage" if charge.is_covered else thing.line_type,
        "line_item_operation": thing.operation,
        "line_item_product_code": thing.product,
        "line_item_resource_id": thing.resource_id,
        "line_item_unblended_cost": _decimal(charge.cost),
        "line_item_usage_account_id": _USER,
        # A tax line says 1 of nothing.
        "line_item_usage_amount": _decimal(charge.quantity or _UNITS),
        "line_item_usage_end_date": _moment(charge.stop),
        "line_item_usage_start_date": _moment(charge.start),
        "line_item_usage_type": thing.usage_type,
        "pricing_public_on_demand_cost": _decimal(charge.cost if is_use else 0),
        "pricing_term": "OnDemand" if is_use and not charge.is_covered else "",
        "pricing_unit": thing.unit,
        "product": json.dumps({"product_name": thing.service}, separators=(",", ":")),
        "product_instance_type": "g6.xlarge" if charge.kind in ("instance", "option") else "",
        "product_region_code": "us-east-1",
        "product_sku": thing.sku,
        "reservation_effective_cost": "0.0",
        "reservation_unused_amortized_upfront_fee_for_billing_period": "0.0",
        "reservation_unused_recurring_fee": "0.0",
        "savings_plan_savings_plan_a_r_n": _PLAN if charge.is_covered or charge.kind == "plan" else "",
        "savings_plan_savings_plan_effective_cost": _decimal(24 * COVERED_HOUR if charge.is_covered else 0),
        "savings_plan_total_commitment_to_date": _decimal(charge.cost if charge.kind == "plan" else 0),
        "savings_plan_used_commitment": _decimal(24 * COVERED_HOUR if charge.kind == "plan" else 0),
    }
    yield line
    if charge.is_covered:
        yield {
            **line,
            "line_item_line_item_description": f"SavingsPlanNegation used by AccountId : {_USER}",
            "line_item_line_item_type": "SavingsPlanNegation",
            "line_item_resource_id": "",
            "line_item_unblended_cost": _decimal(-charge.cost),
            "pricing_public_on_demand_cost": "0.0",
            "savings_plan_savings_plan_effective_cost": "0.0",
        }


# --- FOCUS -----------------------------------------------------------------------------------------------------------


def _focus_rows(charges: Iterable[_Charge], *, invoice_id: str) -> Iterator[Row]:
    """A plan's day is the purchase, and the use that was not made of it."""
    for charge in charges:
        thing = _THINGS[charge.kind]
        period = charge.start.replace(day=1)
        is_use, is_plan = thing.category == "Usage", charge.is_covered or charge.kind == "plan"
        row = {
            "BilledCost": _decimal(_billed(charge)),
            "BillingAccountId": _PAYER,
            "BillingAccountName": company.AWS,
            "BillingAccountType": "Payer",
            "BillingCurrency": "USD",
            "BillingPeriodEnd": _moment(_month_after(period)),
            "BillingPeriodStart": _moment(period),
            "ChargeCategory": thing.category,
            "ChargeDescription": thing.description,
            "ChargeFrequency": "Usage-Based" if is_use else "Recurring" if charge.kind == "plan" else "One-Time",
            "ChargePeriodEnd": _moment(charge.stop),
            "ChargePeriodStart": _moment(charge.start),
            "CommitmentDiscountId": _PLAN if is_plan else "",
            "CommitmentDiscountStatus": "Used" if charge.is_covered else "",
            "CommitmentDiscountType": "Compute Savings Plan" if is_plan else "",
            "ConsumedQuantity": _decimal(charge.quantity) if is_use else "",
            "ConsumedUnit": thing.unit if is_use else "",
            "ContractedCost": _decimal(charge.cost),
            "EffectiveCost": _decimal(0 if charge.kind == "plan" else _effective(charge)),
            "InvoiceId": invoice_id,
            "InvoiceIssuerName": _ENTITY,
            "ListCost": _decimal(charge.cost),
            "PricingCategory": ("Committed" if charge.is_covered else "Standard") if is_use else "",
            "PricingQuantity": _decimal(charge.quantity) if charge.quantity else "",
            "PricingUnit": thing.unit,
            "ProviderName": "AWS",
            "PublisherName": "AWS",
            "RegionId": "us-east-1",
            "ResourceId": thing.resource_id or (_PLAN if charge.kind == "plan" else ""),
            "ServiceCategory": "Compute",
            "ServiceName": thing.service,
            "SkuId": thing.sku,
            "SkuMeter": thing.usage_type,
            "SubAccountId": _USER,
            "x_Operation": thing.operation,
            "x_UsageType": thing.usage_type,
        }
        yield row
        if charge.kind == "plan":
            yield {
                **row,
                "BilledCost": "0.0",
                "ChargeCategory": "Usage",
                "ChargeFrequency": "Usage-Based",
                "CommitmentDiscountStatus": "Unused",
                "ContractedCost": "0.0",
                "EffectiveCost": _decimal(_effective(charge)),
                "ListCost": "0.0",
                "PricingCategory": "Committed",
            }


# --- what is true ----------------------------------------------------------------------------------------------------


def _billed(charge: _Charge) -> int:
    return 0 if charge.is_covered else charge.cost


def _effective(charge: _Charge) -> int:
    """What the charge costs once the plan is spread over its use; of the plan itself, what it left unused."""
    if charge.is_covered:
        return 24 * COVERED_HOUR
    return charge.cost - 24 * COVERED_HOUR if charge.kind == "plan" else charge.cost


def _days(charges: Iterable[_Charge], measure: str) -> tuple[BilledDay, ...]:
    sums: dict[date, int] = defaultdict(int)
    for charge in charges:
        sums[charge.start] += _billed(charge) if measure == "billed" else _effective(charge)
    return tuple(
        BilledDay(
            usage_date=day,
            source="aws_cur2",
            account=company.AWS,
            measure=measure,
            currency="USD",
            amount=_decimal(amount),
        )
        for day, amount in sorted(sums.items())
    )


def _restated_days(first: Sequence[_Charge], last: Sequence[_Charge]) -> tuple[BilledDay, ...]:
    """Days of the first refresh that the last one says otherwise."""
    now = set(_days(last, "billed"))
    return tuple(day for day in _days(first, "billed") if day not in now)


def _invoice(closed: Sequence[_Charge]) -> InvoiceTotal:
    sums: dict[tuple[str, str | None], int] = defaultdict(int)
    for charge in closed:
        thing = _THINGS[charge.kind]
        sums[thing.category.lower(), thing.resource_id or None] += _billed(charge)
    return InvoiceTotal(
        account=company.AWS,
        invoice_id=INVOICE_ID,
        currency="USD",
        period_start=OCTOBER,
        period_end=NOVEMBER,
        total=_decimal(sum(sums.values())),
        lines=tuple(
            InvoiceLine(charge_kind=category, resource_id=resource_id, gpu_hours=None, amount=_decimal(amount))
            for (category, resource_id), amount in sorted(sums.items(), key=str)
        ),
    )


def _gpu_days(charges: Iterable[_Charge]) -> Iterator[GpuDay]:
    for charge in charges:
        if charge.kind == "instance":
            yield GpuDay(
                usage_date=charge.start,
                account=company.AWS,
                resource_id=_INSTANCE,
                measure="effective" if charge.is_covered else "billed",
                currency="USD",
                gpu_hours="24",
                amount=_decimal(_effective(charge)),
            )


# --- spelling --------------------------------------------------------------------------------------------------------


def _csv_gz(columns: Sequence[str], rows: Iterable[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    packer = zlib.compressobj(level=6, method=zlib.DEFLATED, wbits=31)
    return packer.compress(text.getvalue().encode()) + packer.flush()


def _moment(day: date) -> str:
    return f"{day}T00:00:00.000Z"


def _decimal(units: int) -> str:
    """10^-10 as decimal text, without the zeros that say nothing."""
    whole, fraction = divmod(abs(units), _UNITS)
    return f"{'-' if units < 0 else ''}{whole}.{f'{fraction:010d}'.rstrip('0') or '0'}"
