"""Oracle Cloud's cost reports (`reports/cost-csv/0001000000012345-00001.csv.gz`), from an inbox. Its FOCUS reports are
read by `focus`, with settings.files: parts.

Read in Oracle's "Cost Reports" and in one genuine report of 2023 (on 2026-11-29): every six hours a report of the last
six hours of use, and of what came late. **A file is a part of its month and is written once**; its number names it,
so a file of that number replaces it, wherever it was copied and whether or not it was unpacked, and a file without a
number is quarantined: under another name it would be counted twice. A correction of an earlier line is a row of a later
report (`lineItem/isCorrection`, `lineItem/backreferenceNo`) and counts as what it says.

`cost/myCost` is what is charged, to 18 decimals, overage in it (`myCostOverage` is a part and never added). Rows are
hours in UTC, `2023-11-13T10:00Z` or with seconds; the invoice's month is that of UTC. There is no cost of unused
commitment, no list price and no invoice number: what a month's rows come to is held against the invoice that was sent.
GPU shapes are billed by the GPU and hour (from memory: `skuUnitDescription` "GPU Per Hour").
"""

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.landing.dataset import Dataset, Frames, Settings
from pipeline.sources.bulk import Kind, bulk_header, read_bulk
from pipeline.sources.focus_shape import CHARGES, DATASET, charges_frame, refuse_nothing
from pipeline.sources.source import Fetched, Payload, Source

NAME = "oci_cost_report"

_COST = "cost/myCost"
_START = "lineItem/intervalUsageStart"
_END = "lineItem/intervalUsageEnd"
_QUANTITY = "usage/billedQuantity"
_TENANT = "lineItem/tenantId"
_CURRENCY = "cost/currencyCode"
_IS_CORRECTION = "lineItem/isCorrection"
_REQUIRED = (_COST, _START, _TENANT, _CURRENCY, "lineItem/referenceNo")
# FOCUS's name -> the header that says just that.
_SAYS: Mapping[str, str] = {
    "BilledCost": _COST,
    "EffectiveCost": _COST,
    "BillingAccountId": _TENANT,
    "BillingCurrency": _CURRENCY,
    "ChargePeriodStart": _START,
    "ChargePeriodEnd": _END,
    "SubAccountId": "product/compartmentId",
    "SubAccountName": "product/compartmentName",
    "ServiceName": "product/service",
    "SkuId": "cost/productSku",
    "SkuMeter": "product/Description",
    "ResourceId": "product/resourceId",
    "RegionId": "product/region",
    "AvailabilityZone": "product/availabilityDomain",
    "ConsumedQuantity": _QUANTITY,
    "ConsumedUnit": "cost/skuUnitDescription",
    "PricingQuantity": _QUANTITY,
    "PricingUnit": "cost/skuUnitDescription",
    "ContractedUnitPrice": "cost/unitPrice",
}
_NUMBER = re.compile(r"(?<!\d)(\d{13,19}(?:-\d{5})?)(?!\d)", re.ASCII)


def recognise(name: str, head: bytes) -> str | None:
    """The header names Oracle's line number and what the line costs."""
    header = bulk_header(head)
    return DATASET if header is not None and {"lineItem/referenceNo", _COST} <= set(header) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped file. The reader never sees its name, so the report's number goes with the settings."""
    number = _NUMBER.search(PurePath(name).name)
    return Fetched(
        dataset=DATASET,
        payloads=(Payload(name=name, content=content),),
        settings={"part": number[1]} if number else {},
    )


def parse(content: bytes, settings: Settings) -> Frames:
    """Every row of one report under FOCUS's names; its tags, flags and overage are kept in `other_columns`."""
    part = settings.get("part")
    if not isinstance(part, str):
        raise QuarantineError(
            "Its name has no number of a report, so nobody knows which it is: under another name it would be counted "
            "twice. Keep the name that Oracle gives it, as 0001000000012345-00001.csv.gz."
        )
    bulk = read_bulk(content, kind_of=_kind)
    absent = [name for name in _REQUIRED if name not in bulk.frame.columns]
    if absent:
        raise QuarantineError(f"row 1: no column {', '.join(absent)}. This is not Oracle Cloud's cost report.")
    refuse_nothing(bulk.frame, {name: name for name in _REQUIRED})
    month = pl.col(_START).dt.month_start().dt.truncate("1d")
    said = {
        **{name: pl.col(header) for name, header in _SAYS.items() if header in bulk.frame.columns},
        "BillingPeriodStart": month,
        "BillingPeriodEnd": month.dt.offset_by("1mo"),
        "ChargeCategory": pl.lit("Usage"),
        "InvoiceIssuerName": pl.lit("Oracle"),
        "ProviderName": pl.lit("Oracle Cloud"),
        "PricingCategory": pl.lit("Standard"),
    }
    if _IS_CORRECTION in bulk.frame.columns:
        said["ChargeClass"] = pl.when(pl.col(_IS_CORRECTION).str.to_lowercase() == "true").then(pl.lit("Correction"))
    frame = charges_frame(
        bulk,
        said,
        restates=[pl.lit("Oracle"), pl.col(_TENANT), month.dt.date().cast(pl.String), pl.lit(part)],
        read=_SAYS.values(),
    )
    return {CHARGES.name: frame}


def _kind(header: str) -> Kind:
    if header == _COST:
        return "decimal"
    if header == _QUANTITY:
        return "quantity"
    return "instant" if header in (_START, _END) else "text"


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            name=DATASET,
            mode="replace",
            bucket="billing_period",
            measure="billed",
            tables=(CHARGES,),
            parse=parse,
        ),
    ),
    recognise=recognise,
    drop=drop,
)
