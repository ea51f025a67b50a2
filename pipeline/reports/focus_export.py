"""A billing month in FOCUS's columns, for other tools: every bill, owned hardware, and idle GPU time as parts of them.

Columns and their rules are those of the FOCUS specification (focus.finops.org): 1.2 of May 2025, 1.3 of December 2025,
1.4 of June 2026. What the specification does not know is prefixed `x_`.
"""

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Literal

import polars as pl

from pipeline.build.files import swapped
from pipeline.errors import BuildError
from pipeline.reports.closing import exact_money, next_month
from pipeline.reports.questions import Questions
from pipeline.reports.words import inert

Version = Literal["1.2", "1.3", "1.4"]
VERSIONS: tuple[Version, ...] = ("1.2", "1.3", "1.4")
FileFormat = Literal["parquet", "csv"]

_ALLOCATED_BY = "gpu-time"
_Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of the export. `since` and `until`: the versions of FOCUS that have it; an `x_` column is in all."""

    name: str
    kind: pl.DataType
    said: Callable[[_Row], Any]
    since: Version = "1.2"
    until: Version = "1.4"

    def is_in(self, version: Version) -> bool:
        return self.since <= version <= self.until


@dataclass(frozen=True)
class Charged:
    """What an export adds up to on one invoice: `billed` and `effective` in its currency."""

    invoice_issuer: str
    invoice_id: str | None
    currency: str
    billed: Decimal
    effective: Decimal
    rows: int


@dataclass(frozen=True)
class FocusExport:
    """A written file, and what is in it by invoice."""

    file: Path
    rows: int
    charged: tuple[Charged, ...]


def _of(name: str) -> Callable[[_Row], Any]:
    return lambda row: row[name]


def _at(name: str) -> Callable[[_Row], datetime]:
    return lambda row: _midnight(row[name])


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())


def _month_end(row: _Row) -> datetime:
    return _midnight(next_month(row["billing_month_date"]))


def _allocated_details(row: _Row) -> str | None:
    if row["allocated_ratio"] is None:
        return None
    ratio = format(row["allocated_ratio"], "f")
    element = f'{{"AllocatedRatio":{ratio},"UsageUnit":"GPU-milliseconds","UsageQuantity":{row["gpu_ms"]}}}'
    return f'{{"Elements":[{element}]}}'


def _allocated_method(row: _Row) -> str | None:
    return None if row["allocated_ratio"] is None else _ALLOCATED_BY


def _tags(row: _Row) -> str | None:
    tags = {name: row[name] for name in ("workload", "team") if row[name] is not None}
    return json.dumps(tags, ensure_ascii=False, sort_keys=True) if tags else None


def _unknown(_: _Row) -> None:
    """Of no charge here it is known."""


_MONEY = pl.Decimal(38, 18)
_TEXT = pl.String()
_TIME = pl.Datetime("us")

COLUMNS: tuple[Column, ...] = (
    Column("AllocatedMethodDetails", _TEXT, _allocated_details, since="1.3"),
    Column("AllocatedMethodId", _TEXT, _allocated_method, since="1.3"),
    Column("AllocatedResourceId", _TEXT, _of("deployment_id"), since="1.3"),
    Column("AllocatedResourceName", _TEXT, _of("deployment_id"), since="1.3"),
    Column("AllocatedTags", _TEXT, _unknown, since="1.3"),
    Column("AvailabilityZone", _TEXT, _unknown),
    Column("BilledCost", _MONEY, _of("billed_cost")),
    Column("BillingAccountId", _TEXT, _of("billing_account_id")),
    Column("BillingAccountName", _TEXT, _of("account")),
    Column("BillingAccountType", _TEXT, lambda row: "account"),
    Column("BillingCurrency", _TEXT, _of("billing_currency")),
    Column("BillingPeriodEnd", _TIME, _month_end),
    Column("BillingPeriodStart", _TIME, _at("billing_month_date")),
    Column("CapacityReservationId", _TEXT, _unknown),
    Column("CapacityReservationStatus", _TEXT, _unknown),
    Column("ChargeCategory", _TEXT, _of("charge_category")),
    Column("ChargeClass", _TEXT, _of("charge_class")),
    Column("ChargeDescription", _TEXT, _of("charge_description")),
    Column("ChargeFrequency", _TEXT, _of("charge_frequency")),
    Column("ChargePeriodEnd", _TIME, _at("to_date")),
    Column("ChargePeriodStart", _TIME, _at("usage_date")),
    Column("CommitmentDiscountCategory", _TEXT, _unknown),
    Column("CommitmentDiscountId", _TEXT, _of("commitment_discount_id")),
    Column("CommitmentDiscountName", _TEXT, _unknown),
    Column("CommitmentDiscountQuantity", _MONEY, _unknown),
    Column("CommitmentDiscountStatus", _TEXT, _of("commitment_discount_status")),
    Column("CommitmentDiscountType", _TEXT, _unknown),
    Column("CommitmentDiscountUnit", _TEXT, _unknown),
    Column("ConsumedQuantity", _MONEY, _of("consumed_quantity")),
    Column("ConsumedUnit", _TEXT, _of("consumed_unit")),
    Column("ContractedCost", _MONEY, _of("contracted_cost")),
    Column("ContractedUnitPrice", _MONEY, _unknown),
    Column("EffectiveCost", _MONEY, _of("effective_cost")),
    Column("HostProviderName", _TEXT, _of("provider"), since="1.3"),
    Column("InvoiceId", _TEXT, _of("invoice_id")),
    Column("InvoiceIssuerName", _TEXT, _of("invoice_issuer")),
    Column("ListCost", _MONEY, _of("list_cost")),
    Column("ListUnitPrice", _MONEY, _unknown),
    Column("PricingCategory", _TEXT, _of("pricing_category")),
    Column("PricingCurrency", _TEXT, _of("billing_currency")),
    Column("PricingCurrencyContractedUnitPrice", _MONEY, _unknown),
    Column("PricingCurrencyEffectiveCost", _MONEY, _of("effective_cost")),
    Column("PricingCurrencyListUnitPrice", _MONEY, _unknown),
    Column("PricingQuantity", _MONEY, _of("pricing_quantity")),
    Column("PricingUnit", _TEXT, _of("pricing_unit")),
    Column("ProviderName", _TEXT, _of("provider"), until="1.3"),
    Column("PublisherName", _TEXT, _of("provider"), until="1.3"),
    Column("RegionId", _TEXT, _of("region_id")),
    Column("RegionName", _TEXT, _of("region_id")),
    Column("ResourceId", _TEXT, _of("resource_id")),
    Column("ResourceName", _TEXT, _of("resource_id")),
    Column("ResourceType", _TEXT, lambda row: None if row["resource_id"] is None else row["service_category"]),
    Column("ServiceCategory", _TEXT, _of("service_category")),
    Column("ServiceName", _TEXT, _of("service_name")),
    Column("ServiceProviderName", _TEXT, _of("provider"), since="1.3"),
    Column("ServiceSubcategory", _TEXT, _of("service_subcategory")),
    Column("SkuId", _TEXT, _of("sku_id")),
    Column("SkuMeter", _TEXT, _of("sku_meter")),
    Column("SkuPriceDetails", _TEXT, _unknown),
    Column("SkuPriceId", _TEXT, _unknown),
    Column("SubAccountId", _TEXT, _of("sub_account_id")),
    Column("SubAccountName", _TEXT, _of("sub_account_id")),
    Column("SubAccountType", _TEXT, lambda row: None if row["sub_account_id"] is None else "sub account"),
    Column("Tags", _TEXT, _tags),
    Column("x_AllocatedRatio", _MONEY, _of("allocated_ratio")),
    Column("x_ApiKeyId", _TEXT, _of("api_key_id")),
    Column("x_Attribution", _TEXT, _of("attribution")),
    Column("x_CostBasis", _TEXT, _of("cost_basis")),
    Column("x_DeploymentId", _TEXT, _of("deployment_id")),
    Column("x_GpuState", _TEXT, _of("state")),
    Column("x_Model", _TEXT, _of("model")),
    Column("x_Source", _TEXT, _of("source")),
    Column("x_Team", _TEXT, _of("team")),
    Column("x_TokenClass", _TEXT, _of("token_class")),
    Column("x_Workload", _TEXT, _of("workload")),
)


def focus_rows(questions: Questions, *, month: date, version: Version, reporting_currency: str) -> pl.DataFrame:
    """One row per charge, day and part, with FOCUS's columns of that version.

    `month`: the first day of the billing month. Costs in BillingCurrency; ChargePeriod in UTC days, its end exclusive.
    """
    following = next_month(month)
    found = questions.ask(
        "focus_charges", from_date=month, to_date=following, reporting_currency=reporting_currency
    ).to_dicts()
    columns = [column for column in COLUMNS if column.is_in(version)]
    frame = pl.DataFrame(
        {column.name: [column.said(row) for row in found] for column in columns},
        schema={column.name: column.kind for column in columns},
    )
    _refuse_what_does_not_tie(frame, questions.ask("focus_billed", from_date=month, to_date=following))
    return frame


def _refuse_what_does_not_tie(frame: pl.DataFrame, bills: pl.DataFrame) -> None:
    """Two ways to one sum: the rows that are written, and the lines that close the month."""
    lines = {(issuer, invoice_id, currency): billed for issuer, invoice_id, currency, billed in bills.iter_rows()}
    for charged in charged_in(frame):
        billed = lines.pop((charged.invoice_issuer, charged.invoice_id, charged.currency), Decimal(0))
        if billed != charged.billed:
            raise _does_not_tie(charged.invoice_issuer, charged.invoice_id, charged.currency, charged.billed, billed)
    for (issuer, invoice_id, currency), billed in lines.items():
        if billed:
            raise _does_not_tie(issuer, invoice_id, currency, Decimal(0), billed)


def _does_not_tie(issuer: str, invoice_id: str | None, currency: str, written: Decimal, billed: Decimal) -> BuildError:
    return BuildError(
        f"The export of {issuer}'s {'charges' if invoice_id is None else f'invoice {invoice_id}'} would add up to "
        f"{exact_money(written, currency)}, and its lines are {exact_money(billed, currency)}: nothing is written. "
        "Please report this as a bug of breakeven, with both figures."
    )


def write_focus(frame: pl.DataFrame, file: Path, file_format: FileFormat) -> FocusExport:
    """Write an export, whole or not at all, and say what it adds up to."""
    file.parent.mkdir(parents=True, exist_ok=True)
    swapped(file, lambda aside: frame.write_parquet(aside) if file_format == "parquet" else _write_csv(frame, aside))
    return FocusExport(file=file, rows=len(frame), charged=tuple(charged_in(frame)))


def charged_in(frame: pl.DataFrame) -> Iterable[Charged]:
    """What an export adds up to, invoice by invoice."""
    by = ["InvoiceIssuerName", "InvoiceId", "BillingCurrency"]
    sums = frame.group_by(by).agg(pl.col("BilledCost").sum(), pl.col("EffectiveCost").sum(), pl.len().alias("rows"))
    for issuer, invoice_id, currency, billed, effective, rows in sums.sort(by, nulls_last=True).iter_rows():
        yield Charged(issuer, invoice_id, currency, billed, effective, rows)


def _write_csv(frame: pl.DataFrame, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        _write_rows(frame, file)


def _write_rows(frame: pl.DataFrame, file: IO[str]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(frame.columns)
    writer.writerows([_cell(value) for value in row] for row in frame.iter_rows())


def _cell(value: Any) -> str:
    """As FOCUS writes it: no exponent, instants with a Z; and nothing that a spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text.rstrip("0").removesuffix(".") if "." in text else text
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    return str(inert(str(value)))
