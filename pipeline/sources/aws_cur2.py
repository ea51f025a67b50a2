"""AWS Cost and Usage Report 2.0, as Data Exports deliver it: Parquet or CSV, whole billing periods by manifest.

Settings: export: s3://<bucket>/<prefix>/<export name>, or the folder of a synced copy (see data_exports.py).

**What counts.** The bucket is the billing period: a manifest speaks for all of it, whichever payer and invoice its
lines are of. An open month is restated with every refresh until AWS closes it, and `bill_invoice_id` is null until
then. The bill is the sum of `line_item_unblended_cost` over all line types, tax included.

**What a row is.** Its place: the object and the row in it. `identity_line_item_id` is not unique (386 ids for 13,357
rows of one real month) and is not the same line in the next refresh, so it is no column here; the object has it.

**Columns.** Those that a SQL model reads are typed here. Others that AWS documents stay in the object, which is kept as
it came; only columns that AWS does not document are repeated in `other_columns`. A column that the export leaves out is
null, never 0.

**Amounts.** Parquet has doubles. What they spell in ten decimals or fewer is exact; anything longer is rounded at the
18th, far below what a double can tell of an amount that an invoice shows.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.formats.values import TOO_MUCH_MONEY
from pipeline.landing.dataset import Dataset, Frames, InPlace, Money, Settings, Table
from pipeline.sources.bulk import MONEY, NULLS, Kind, bulk_header, is_parquet, read_bulk, refuse_rows_beyond_bytes
from pipeline.sources.data_exports import export_probe, fetch_export, month_of
from pipeline.sources.source import FetchContext, Fetched, Payload, Probe, Source

NAME = "aws_cur2"
DATASET = "cost_and_usage"

_PERIOD_START = "bill_billing_period_start_date"
_USAGE_START = "line_item_usage_start_date"
_COST = "line_item_unblended_cost"
_SPLIT_PARENT = "split_line_item_parent_resource_id"

_INSTANTS = (_PERIOD_START, _USAGE_START, "line_item_usage_end_date")
_AMOUNTS = (
    _COST,
    "line_item_net_unblended_cost",
    "line_item_usage_amount",
    "pricing_public_on_demand_cost",
    "reservation_effective_cost",
    "reservation_unused_amortized_upfront_fee_for_billing_period",
    "reservation_unused_recurring_fee",
    "savings_plan_savings_plan_effective_cost",
    "savings_plan_total_commitment_to_date",
    "savings_plan_used_commitment",
    "split_line_item_split_cost",
    "split_line_item_unused_cost",
)
_TEXTS = (
    "bill_bill_type", "bill_billing_entity", "bill_invoice_id", "bill_invoicing_entity", "bill_payer_account_id",
    "line_item_currency_code", "line_item_iam_principal", "line_item_legal_entity", "line_item_line_item_type",
    "line_item_operation", "line_item_product_code", "line_item_resource_id", "line_item_usage_account_id",
    "line_item_usage_type",
    "pricing_term", "pricing_unit",
    "product_instance_type", "product_region_code", "product_servicecode", "product_sku",
    "reservation_reservation_a_r_n", "savings_plan_savings_plan_a_r_n",
    "capacity_reservation_capacity_reservation_arn", "capacity_reservation_capacity_reservation_status",
    _SPLIT_PARENT,
    "resource_tags", "cost_category",
)  # fmt: skip
# Of the product map; an export may also have spread it into columns of these names.
_OF_PRODUCT = {"product_gpu": "gpu", "product_product_name": "product_name"}
_REQUIRED = (_PERIOD_START, _USAGE_START, _COST, "line_item_currency_code", "line_item_line_item_type")

LINES = Table(
    name="lines",
    columns={
        **{name: pl.Datetime("us") for name in _INSTANTS},
        **{name: pl.String() for name in (*_TEXTS, *_OF_PRODUCT)},
        **dict.fromkeys(_AMOUNTS, MONEY),
    },
    money=Money(home="cloud", amount=_COST, currency_column="line_item_currency_code"),
    view="landed_aws_cur2__lines",
)

# AWS, "Cost and Usage Report (CUR) 2.0" table dictionary, read 2026-11-21; what is not among the columns above.
_ALSO_DOCUMENTED = frozenset(
    {
        "bill_billing_period_end_date", "bill_payer_account_name",
        "capacity_reservation_capacity_reservation_type",
        "discount", "discount_bundled_discount", "discount_total_discount",
        "identity_line_item_id", "identity_time_interval",
        "line_item_availability_zone", "line_item_blended_cost", "line_item_blended_rate",
        "line_item_line_item_description", "line_item_net_unblended_rate", "line_item_normalization_factor",
        "line_item_normalized_usage_amount", "line_item_tax_type", "line_item_unblended_rate",
        "line_item_usage_account_name", "line_item_user_identifier",
        "pricing_currency", "pricing_lease_contract_length", "pricing_offering_class", "pricing_public_on_demand_rate",
        "pricing_purchase_option", "pricing_rate_code", "pricing_rate_id",
        "product", "product_comment", "product_fee_code", "product_fee_description", "product_from_location",
        "product_from_location_type", "product_from_region_code", "product_instance_family", "product_instancesku",
        "product_location", "product_location_type", "product_operation", "product_pricing_unit",
        "product_product_family", "product_to_location", "product_to_location_type", "product_to_region_code",
        "product_usagetype",
        "reservation_amortized_upfront_cost_for_usage", "reservation_amortized_upfront_fee_for_billing_period",
        "reservation_availability_zone", "reservation_end_time", "reservation_modification_status",
        "reservation_net_amortized_upfront_cost_for_usage", "reservation_net_amortized_upfront_fee_for_billing_period",
        "reservation_net_effective_cost", "reservation_net_recurring_fee_for_usage",
        "reservation_net_unused_amortized_upfront_fee_for_billing_period", "reservation_net_unused_recurring_fee",
        "reservation_net_upfront_value", "reservation_normalized_units_per_reservation",
        "reservation_number_of_reservations", "reservation_recurring_fee_for_usage", "reservation_start_time",
        "reservation_subscription_id", "reservation_total_reserved_normalized_units",
        "reservation_total_reserved_units", "reservation_units_per_reservation",
        "reservation_unused_normalized_unit_quantity", "reservation_unused_quantity", "reservation_upfront_value",
        "savings_plan_amortized_upfront_commitment_for_billing_period", "savings_plan_end_time",
        "savings_plan_instance_type_family", "savings_plan_net_amortized_upfront_commitment_for_billing_period",
        "savings_plan_net_recurring_commitment_for_billing_period", "savings_plan_net_savings_plan_effective_cost",
        "savings_plan_offering_type", "savings_plan_payment_option", "savings_plan_purchase_term",
        "savings_plan_recurring_commitment_for_billing_period", "savings_plan_region",
        "savings_plan_savings_plan_rate", "savings_plan_start_time",
        "split_line_item_actual_usage", "split_line_item_net_split_cost", "split_line_item_net_unused_cost",
        "split_line_item_public_on_demand_split_cost", "split_line_item_public_on_demand_unused_cost",
        "split_line_item_reserved_usage", "split_line_item_split_usage", "split_line_item_split_usage_ratio",
        "tags",
    }
)  # fmt: skip
_MAPS = ("resource_tags", "cost_category", "product")

_Columns = Mapping[str, pl.DataType]
# A billing period, and its first moment and that of the next.
Listed = tuple[str, tuple[datetime, datetime]]


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """One delivery for each billing period whose newest manifest has not landed yet."""
    return fetch_export(context, source=NAME, dataset=DATASET)


def probe(context: FetchContext) -> tuple[Probe, ...]:
    """Whether the export's manifests can be listed and read."""
    return (export_probe(context, source=NAME, dataset=DATASET),)


def recognise(name: str, head: bytes) -> str | None:
    """A file that was dropped by itself. Its reader says why that is not enough."""
    header = bulk_header(head)
    return DATASET if header is not None and (not header or _COST in header) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped file lands and is quarantined: whether it is all of its month, only the manifest beside it says."""
    return Fetched(dataset=DATASET, payloads=(Payload(name=name, content=content),))


def parse(content: bytes, settings: Settings) -> Frames:
    """Every line of one file, typed, in the file's order."""
    listed = period_of(settings)
    return lines_frame(read_bulk(content, kind_of=kind_of).frame, listed, is_known=is_documented)


def lines_frame(frame: pl.DataFrame, listed: Listed, *, is_known: Callable[[str], bool]) -> Frames:
    """Lines under the names of CUR 2.0, amounts and instants typed, as rows of `LINES`.

    `listed`: what their manifest speaks for. `is_known`: whether AWS says what a column is; others are kept.
    """
    period, (start, stop) = listed
    _check_header(frame.columns)
    for name in _REQUIRED:
        if name != _COST:
            _refuse(frame, pl.col(name).is_null(), _nothing_in(name))
    _refuse(frame, (pl.col(_PERIOD_START) < start) | (pl.col(_PERIOD_START) >= stop), _other_period(period))
    is_split = pl.col(_SPLIT_PARENT).is_not_null() if _SPLIT_PARENT in frame.columns else pl.lit(value=False)
    _refuse(frame, pl.col(_COST).is_null() & ~is_split, _nothing_in(_COST))
    unknown = [name for name in frame.columns if not is_known(name)]
    return {
        LINES.name: frame.select(
            pl.lit(period).alias("bucket"),
            pl.col(_USAGE_START).dt.date().alias("usage_date"),
            *(_read(name, frame.columns).cast(kind).alias(name) for name, kind in LINES.columns.items()),
            _other_columns(unknown).alias("other_columns"),
        )
    }


def in_place(file: Path, settings: Settings) -> Mapping[str, InPlace] | None:
    """A Parquet file as AWS writes it is read where it lies. None for another, and for types that AWS does not use."""
    period, (start, stop) = period_of(settings)
    if not is_parquet(file):
        return None
    try:
        theirs: _Columns = dict(pl.scan_parquet(file, glob=False).collect_schema())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = str(error).splitlines()[0].replace(str(file), "the file")
        raise QuarantineError(f"Not a readable Parquet file ({reason}). Export it again.") from None
    refuse_rows_beyond_bytes(file)
    _check_header(theirs)
    if not all(_is_usual(name, kind) for name, kind in theirs.items()):
        return None
    unknown = {name: kind for name, kind in theirs.items() if not is_documented(name)}
    read = {name: _expression(name, kind, theirs) for name, kind in LINES.columns.items()}
    made_of = dict.fromkeys(_raw(name, theirs) for name in (*LINES.columns, *unknown))
    return {
        LINES.name: InPlace(
            columns={
                "bucket": f"'{period}'",
                "usage_date": f"cast({read[_USAGE_START]} as date)",
                **read,
                "other_columns": _unknown_as_json(unknown),
            },
            reads=tuple(raw for raw in made_of if raw != "null"),
            refused=_refused(read, theirs, period=period, start=start, stop=stop),
        )
    }


def _refused(
    read: Mapping[str, str], theirs: _Columns, *, period: str, start: datetime, stop: datetime
) -> dict[str, str]:
    """What is wrong with a line -> the condition that says so. The same as `parse` refuses."""
    first, last = (f"timestamp '{moment:%Y-%m-%d}'" for moment in (start, stop))
    # A line of a split allocation is the view of another line's cost: it charges nothing itself.
    is_split = f"{read[_SPLIT_PARENT]} is not null"
    return {
        **{_nothing_in(name): f"{read[name]} is null" for name in _REQUIRED if name != _COST},
        _nothing_in(_COST): f"{_quoted(_COST)} is null and not ({is_split})",
        _other_period(period): f"not ({read[_PERIOD_START]} >= {first} and {read[_PERIOD_START]} < {last})",
        f"{_USAGE_START} is beyond the calendar of any bill": (
            f"extract(year from {read[_USAGE_START]}) not between 1970 and 2199"
        ),
        **{
            f"{name} is no number, or more than any line of a bill is for": (
                f"not (abs({_quoted(name)}) < {TOO_MUCH_MONEY}::double)"
            )
            for name in _AMOUNTS
            if name in theirs
        },
    }


def period_of(settings: Settings) -> Listed:
    """The billing period that the manifest speaks for, and its first moment and that of the next, UTC without zone."""
    period = settings.get("billing_period")
    if not isinstance(period, str):
        raise QuarantineError(
            "A file of a Data Export by itself: whether it is all of its month, only the export's manifest says. Give "
            "settings.export the folder that holds `data` and `metadata`, and take the file out of the inbox."
        )
    start, stop = month_of(period)
    return period, (start.replace(tzinfo=None), stop.replace(tzinfo=None))


def _check_header(names: Any) -> None:
    absent = [name for name in _REQUIRED if name not in names]
    if absent:
        raise QuarantineError(f"No column {', '.join(absent)}. Put it into the export's query, or choose CUR 2.0.")


def _nothing_in(name: str) -> str:
    return f"{name} says nothing"


def _other_period(period: str) -> str:
    return f"{_PERIOD_START} is not in {period}, the billing period of its manifest"


def kind_of(name: str) -> Kind:
    """What a column of CUR 2.0 holds."""
    if name in _AMOUNTS:
        return "decimal"
    return "instant" if name in _INSTANTS else "text"


def is_documented(name: str) -> bool:
    """Whether AWS says what a column of CUR 2.0 is."""
    return name in LINES.columns or name in _ALSO_DOCUMENTED


# --- a file that has to be parsed ------------------------------------------------------------------------------------


def _refuse(frame: pl.DataFrame, is_bad: pl.Expr, reason: str) -> None:
    bad = frame.select(is_bad.fill_null(value=False).arg_true()).to_series()
    if not bad.is_empty():
        raise QuarantineError(f"row {bad[0] + 2}: {reason}.")


def _read(name: str, names: list[str]) -> pl.Expr:
    if name in names:
        return pl.col(name)
    if name in _OF_PRODUCT and "product" in names:
        value = pl.col("product").str.json_path_match(f"$.{_OF_PRODUCT[name]}")
        return pl.when(~value.is_in(NULLS)).then(value)
    return pl.lit(None)


def _other_columns(unknown: list[str]) -> pl.Expr:
    if not unknown:
        return pl.lit(None, dtype=pl.String)
    named = sorted(unknown)
    return pl.when(pl.any_horizontal(pl.col(named).is_not_null())).then(pl.struct(named).struct.json_encode())


# --- a file that is read where it lies -------------------------------------------------------------------------------


def _is_usual(name: str, kind: pl.DataType) -> bool:
    """Whether a column has a type that AWS gives it."""
    if name in _AMOUNTS:
        return isinstance(kind, pl.Float64)
    if name in _INSTANTS:
        return isinstance(kind, pl.Datetime) and kind.time_zone in (None, "UTC")
    if name in _MAPS:
        return kind.is_nested()
    return name not in (*_TEXTS, *_OF_PRODUCT) or isinstance(kind, pl.String)


def _expression(name: str, kind: pl.DataType, theirs: _Columns) -> str:
    """The DuckDB expression that reads one of our columns from theirs."""
    raw = _raw(name, theirs)
    if raw == "null":
        return f"cast(null as {_DUCKDB_TYPES[type(kind)]})"
    if name in _AMOUNTS:
        # A double's product with 10^10 is exact only while it is well below 2^53 (886470.6717 would become
        # 886470.6716999999, duckdb 1.5.5): beyond, the shortest text that reads as this double. Most amounts are 0.
        tenths = f"try_cast({raw} as decimal(18, 10))"
        return (
            f"case when {raw} = 0 then cast(0 as decimal(38, 18)) "
            f"when abs({raw}) < 100000 and cast({tenths} as double) = {raw} then cast({tenths} as decimal(38, 18)) "
            f"else cast(cast({raw} as varchar) as decimal(38, 18)) end"
        )
    if name in _INSTANTS:
        kind_there = theirs[name]
        is_zoned = isinstance(kind_there, pl.Datetime) and kind_there.time_zone is not None
        # Its microseconds since 1970: a cast would ask for the session's zone.
        return f"make_timestamp(epoch_us({raw}))" if is_zoned else f"cast({raw} as timestamp)"
    return _text(raw, theirs.get(name))


def _text(raw: str, kind: pl.DataType | None) -> str:
    if kind is not None and not isinstance(kind, pl.String):
        return f"cast(to_json({raw}) as varchar)" if kind.is_nested() else f"cast({raw} as varchar)"
    for nothing in NULLS:
        raw = f"nullif({raw}, '{nothing}')"
    return raw


def _raw(name: str, theirs: _Columns) -> str:
    """What one of our columns is made of, as their file says it."""
    if name in theirs:
        return _quoted(name)
    if name in _OF_PRODUCT and "product" in theirs:
        return f"product['{_OF_PRODUCT[name]}']"
    return "null"


def _unknown_as_json(unknown: _Columns) -> str:
    if not unknown:
        return "cast(null as varchar)"
    values = {name: _text(_quoted(name), unknown[name]) for name in sorted(unknown)}
    packed = ", ".join(f"{_quoted(name)} := {value}" for name, value in values.items())
    says_something = f"coalesce({', '.join(values.values())}) is not null"
    return f"case when {says_something} then cast(to_json(struct_pack({packed})) as varchar) end"


_DUCKDB_TYPES: dict[type[pl.DataType], str] = {
    pl.Datetime: "timestamp",
    pl.String: "varchar",
    pl.Decimal: "decimal(38, 18)",
}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            name=DATASET,
            mode="replace",
            bucket="billing_period",
            measure="billed",
            tables=(LINES,),
            parse=parse,
            in_place=in_place,
        ),
    ),
    recognise=recognise,
    drop=drop,
    fetch=fetch,
    probe=probe,
    # Longer than a month, so that an export is looked at before its period ends, and after.
    trailing_days=62,
)
