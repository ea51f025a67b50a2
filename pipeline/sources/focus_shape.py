"""Charges in FOCUS's words, a table that several readers yield: one staging model and one law of money serve them all.

An issuer's own export is read in its own file, which says what each of FOCUS's columns is there; `charges_frame` makes
the rows of it. Every dataset of them is called `cost_and_usage`.
"""

import re
from collections.abc import Collection, Mapping, Sequence

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.landing.dataset import Money, Table
from pipeline.sources.bulk import MONEY, Bulk, Kind

DATASET = "cost_and_usage"

# FOCUS's own names; deprecated ones last.
NAMES = (
    "BillingAccountId", "BillingAccountName", "BillingAccountType", "SubAccountId", "SubAccountName",
    "SubAccountType", "BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd", "InvoiceId",
    "InvoiceDetailId", "InvoiceIssuerName", "ServiceProviderName", "HostProviderName", "ChargeCategory",
    "ChargeClass", "ChargeDescription", "ChargeFrequency", "BilledCost", "EffectiveCost", "ListCost",
    "ContractedCost", "BillingCurrency", "ListUnitPrice", "ContractedUnitPrice", "PricingCategory", "PricingQuantity",
    "PricingUnit", "PricingCurrency", "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice",
    "PricingCurrencyContractedUnitPrice", "ConsumedQuantity", "ConsumedUnit", "ServiceCategory", "ServiceSubcategory",
    "ServiceName", "SkuId", "SkuMeter", "SkuPriceId", "SkuPriceDetails", "ResourceId", "ResourceName", "ResourceType",
    "RegionId", "RegionName", "AvailabilityZone", "CommitmentDiscountId", "CommitmentDiscountName",
    "CommitmentDiscountCategory", "CommitmentDiscountType", "CommitmentDiscountStatus", "CommitmentDiscountQuantity",
    "CommitmentDiscountUnit", "CommitmentProgramEligibilityDetails", "ContractApplied", "CapacityReservationId",
    "CapacityReservationStatus", "AllocatedMethodId", "AllocatedMethodDetails", "AllocatedResourceId",
    "AllocatedResourceName", "AllocatedTags", "Tags", "ProviderName", "PublisherName",
)  # fmt: skip
COSTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
QUANTITIES = ("ConsumedQuantity", "PricingQuantity")
INSTANTS = ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd")
# Without these there is no charge: how much, to whom, in which money, in which period, for what kind of thing.
REQUIRED = (
    "BilledCost",
    "BillingAccountId",
    "BillingCurrency",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargePeriodStart",
)

_TYPES: dict[Kind, pl.DataType] = {
    "text": pl.String(),
    "decimal": MONEY,
    "quantity": MONEY,
    "instant": pl.Datetime("us"),
}


def snake(name: str) -> str:
    """FOCUS's name of a column as the table spells it."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def kind_of(name: str) -> Kind:
    """What a column of FOCUS's name holds."""
    if name in COSTS:
        return "decimal"
    if name in QUANTITIES:
        return "quantity"
    return "instant" if name in INSTANTS else "text"


CHARGES = Table(
    name="charges",
    columns={snake(name): _TYPES[kind_of(name)] for name in NAMES},
    money=Money(home="cloud", amount="billed_cost", currency_column="billing_currency"),
    view="landed_focus__charges",
)


def folded(header: str) -> str:
    """A header whatever its casing and its separators."""
    return re.sub(r"[^a-z0-9]", "", header.casefold())


def charges_frame(
    bulk: Bulk, said: Mapping[str, pl.Expr], *, restates: Sequence[pl.Expr], read: Collection[str]
) -> pl.DataFrame:
    """The file's rows in their order, as rows of `CHARGES`. `said`: FOCUS's name -> what it is of the file's columns.

    `restates`: what a newer file replaces together, the bucket. `read`: headers that are wholly in what is said; what
    others say is kept in `other_columns`. Raises QuarantineError naming the row that leaves out what a charge needs.
    """
    known = bulk.frame.select(
        *(value.cast(CHARGES.columns[snake(name)]).alias(snake(name)) for name, value in said.items())
    ).with_columns(pl.col("billing_currency").str.strip_chars().str.to_uppercase())
    refuse_nothing(known, {snake(name): name for name in REQUIRED})
    return known.select(
        bulk.frame.with_columns(pl.concat_str(list(restates), separator="|").alias("bucket"))["bucket"],
        pl.col("charge_period_start").dt.date().alias("usage_date"),
        *(
            pl.col(name) if name in known.columns else pl.lit(None, dtype=kind).alias(name)
            for name, kind in CHARGES.columns.items()
        ),
        other_columns(bulk, set(bulk.frame.columns) - set(read)),
    )


def refuse_nothing(frame: pl.DataFrame, named: Mapping[str, str]) -> None:
    """QuarantineError for the first row in which one of these columns (column -> its name) says nothing."""
    for column, name in named.items():
        nothing = frame[column].null_count()
        if nothing:
            row = (frame[column].is_null().arg_max() or 0) + 2
            raise QuarantineError(
                f"row {row}: no {name}, as in {nothing} of {frame.height} rows. A charge without it cannot be booked: "
                "ask for the file again."
            )


def other_columns(bulk: Bulk, unknown: Collection[str]) -> pl.Series:
    """A JSON object of what FOCUS does not name, and of the spelling of amounts that were rounded; null where none."""
    kept = bulk.frame.select(sorted(unknown))
    texts = _as_json(kept, height=bulk.frame.height)
    if not bulk.rounded:
        return texts
    spelled = [bulk.rounded[header].alias(header) for header in sorted(bulk.rounded)]
    is_rounded = pl.DataFrame(spelled).select(pl.any_horizontal(pl.all().is_not_null())).to_series()
    both = pl.DataFrame([*(column for column in kept if column.name not in bulk.rounded), *spelled])
    return _as_json(both, height=bulk.frame.height).zip_with(is_rounded, texts)


def _as_json(frame: pl.DataFrame, *, height: int) -> pl.Series:
    if not frame.width:
        return pl.repeat(None, height, dtype=pl.String(), eager=True).alias("other_columns")
    says_something = pl.any_horizontal(pl.all().is_not_null())
    encoded = pl.when(says_something).then(pl.struct(pl.all()).struct.json_encode())
    return frame.select(encoded.alias("other_columns")).to_series()
