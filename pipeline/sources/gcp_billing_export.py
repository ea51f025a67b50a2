"""Google Cloud's billing export (the detailed one, `gcp_billing_export_resource_v1_...`, or the standard one) as it is
extracted from BigQuery: lines of JSON as they nest there, Parquet with structs, or a CSV with dotted or underscored
names; packed or not, from an inbox. Its FOCUS view is read by `focus`.

Columns by Google's "Structure of Detailed data export" and a hand-made page in its shape (read 2026-11-29; that Compute
Engine bills a GPU server as GPUs, cores and memory apart, in seconds, is from memory).

**A row is a charge, and each of its credits another**: what is invoiced is the sum of `cost` and of `credits.amount`,
over every cost_type (regular, tax, adjustment, rounding_error). A correction is a row that takes an earlier one back.
Amounts are in the account's currency; `currency_conversion_rate` is kept, and nothing is converted here.

**The invoice's month is `invoice.month`, which is Pacific time's**: usage that came late is on the next one. Without
that column, which every export of Google's has, it is the Pacific month of the usage. Times are UTC.

**Settings: files**, which has to be said, since rows are only ever added to the table and an extract does not show
what it holds:
- `whole`: each file is all of its invoice months so far (`where invoice.month = '202611'`); a newer one replaces them.
- `parts`: each file is what was exported since the one before (by `export_time`), under a name of its own.

**Commitments.** Since 2026 usage is at its discounted price and FEE_UTILIZATION_OFFSET credits take back of the fee
what was used: effective is what is billed, and what stays of the fee was not used. Before, COMMITTED_USAGE_DISCOUNT
took the usage off, and the fee stands on no resource: what such usage effectively cost is unknown, all of it, and says
so.
"""

import json
import re
import zlib
from collections.abc import Collection, Mapping
from typing import Any

import polars as pl

from pipeline.errors import ConfigError, QuarantineError
from pipeline.formats.values import exact_json
from pipeline.landing.dataset import Dataset, Frames, Settings
from pipeline.sources.bulk import Bulk, Kind, bulk_header, exact_decimals, read_bulk, unpacked, utc_instants
from pipeline.sources.focus_shape import CHARGES, DATASET, charges_frame, refuse_nothing
from pipeline.sources.source import Fetched, Payload, Source

NAME = "gcp_billing_export"

_START, _END = "usage_start_time", "usage_end_time"
_NUMBERS: Mapping[str, Kind] = {
    "cost": "decimal",
    "cost_at_list": "decimal",
    "usage.amount": "quantity",
    "usage.amount_in_pricing_units": "quantity",
}
_REQUIRED = ("billing_account_id", "cost", "currency", _START, "service.description")
_PATHS = (
    "billing_account_id", "currency", "cost", "cost_at_list", "cost_type", "credits", "labels", "seller_name",
    "transaction_type",
    "service.description", "sku.id", "sku.description", "project.id", "project.name",
    "location.region", "location.location", "location.zone",
    "resource.name", "resource.global_name",
    "usage.amount", "usage.unit", "usage.amount_in_pricing_units", "usage.pricing_unit",
    "invoice.month", "adjustment_info.id", "adjustment_info.mode",
)  # fmt: skip
# Columns of which nothing is left to be kept. Others hold more than is read of them, or are not read.
_WHOLLY_READ = frozenset(
    {"billing_account_id", "currency", "cost", "cost_at_list", "cost_type", "credits", "labels", _START, _END,
     "usage", "sku"}
)  # fmt: skip
_SAYS: Mapping[str, str] = {
    "BillingAccountId": "billing_account_id",
    "BillingCurrency": "currency",
    "ChargePeriodStart": _START,
    "ChargePeriodEnd": _END,
    "SubAccountId": "project.id",
    "SubAccountName": "project.name",
    "ServiceName": "service.description",
    "SkuId": "sku.id",
    "SkuMeter": "sku.description",
    "ResourceName": "resource.name",
    "AvailabilityZone": "location.zone",
    "Tags": "labels",
}
_CHARGED = {"regular": "Usage", "tax": "Tax", "adjustment": "Adjustment", "rounding_error": "Adjustment"}
_COMMITTED = "COMMITTED_USAGE_DISCOUNT"
_PACIFIC = "America/Los_Angeles"
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_HEAD_BYTES = 65_536
_MONTH = r"^(19[7-9][0-9]|20[0-9]{2}|21[0-9]{2})(0[1-9]|1[0-2])$"
_SUFFIXES = re.compile(r"(?:\.(?:csv|json|jsonl|ndjson|gz|gzip|snappy|parquet))+$", re.ASCII | re.IGNORECASE)
_FILES = ("whole", "parts")


def recognise(name: str, head: bytes) -> str | None:
    """The header, or the first line of JSON, names a billing account, a service and a cost."""
    text = _opened(head).removeprefix(_BOM).lstrip()
    if text[:1] == b"{":
        first = text.split(b"\n", 1)[0]
        return DATASET if all(mark in first for mark in (b'"billing_account_id"', b'"service"', b'"cost"')) else None
    header = bulk_header(head)
    if header is None:
        return None
    names = {name.replace(".", "_") for name in header}
    has_service = bool(names & {"service", "service_description"})
    return DATASET if not header or ({"billing_account_id", "cost"} <= names and has_service) else None


def _opened(head: bytes) -> bytes:
    if not head.startswith(_GZIP):
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _HEAD_BYTES)
    except zlib.error:
        return b""


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped file. The reader never sees its name, so where files are parts the name goes with the settings."""
    declared: dict[str, Any] = {key: value for key, value in settings.items() if key == "files"}
    if declared.get("files") == "parts":
        declared["part"] = _SUFFIXES.sub("", name)
    return Fetched(dataset=DATASET, payloads=(Payload(name=name, content=content),), settings=declared)


def check(settings: Mapping[str, Any], accounts: Collection[str]) -> None:
    """Raises ConfigError where nobody says whether a file is all of its months."""
    if settings.get("files") not in _FILES:
        raise ConfigError(
            key="settings.files",
            value=settings.get("files", "missing"),
            fix="Say `whole` where each file is all of its invoice months so far, or `parts` where each is what was "
            "exported since the one before.",
        )


def parse(content: bytes, settings: Settings) -> Frames:
    """Every row as a charge, in the file's order, and after them the credits of all rows, each a charge."""
    if settings.get("files") not in _FILES:
        raise QuarantineError("Nobody says whether it is all of its invoice months: set files to whole or parts.")
    if not _is_json(content):
        return _charges(_table(content), settings)
    try:
        return _charges(_lines_of_json(content), settings)
    except QuarantineError as error:
        # Rows are counted as those below a header, which lines of JSON have not.
        said = re.sub(r"^row (\d+)", lambda found: f"line {int(found[1]) - 1}", str(error))
        raise QuarantineError(said) from None


def _charges(theirs: pl.DataFrame, settings: Settings) -> Frames:
    bulk = _under_paths(theirs)
    absent = [name for name in _REQUIRED if name not in bulk.frame.columns]
    if absent:
        raise QuarantineError(f"row 1: no column {', '.join(absent)}. This is not Google Cloud's billing export.")
    refuse_nothing(bulk.frame, {name: name for name in _REQUIRED if name != "service.description"})
    part = settings.get("part")
    restates = [
        pl.lit("Google"),
        pl.col("billing_account_id"),
        pl.col("invoice_month_start").dt.date().cast(pl.String),
        *([pl.lit(part)] if part else []),
    ]
    said = _said(bulk.frame.columns)
    charges = charges_frame(bulk, said, restates=restates, read=_read(bulk.frame.columns))
    credited = _credits(bulk.frame)
    if not credited.frame.height:
        return {CHARGES.name: charges}
    of_credits = charges_frame(credited, _said_of_credits(said), restates=restates, read=credited.frame.columns)
    return {CHARGES.name: pl.concat([charges, of_credits])}


# --- three spellings of one table ------------------------------------------------------------------------------------


def _is_json(content: bytes) -> bool:
    return _opened(content).removeprefix(_BOM).lstrip()[:1] == b"{"


def _lines_of_json(content: bytes) -> pl.DataFrame:
    """Each line's fields as text, what nests as JSON. Numbers keep their spelling."""
    text = unpacked(content) if content.startswith(_GZIP) else content
    columns: dict[str, list[str | None]] = {}
    count = 0
    for number, line in enumerate(text.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            said = exact_json(line)
        except QuarantineError as error:
            raise QuarantineError(f"line {number}: not a JSON object that can be read. {error}") from None
        if not isinstance(said, dict):
            raise QuarantineError(f"line {number}: not a JSON object. Extract the table again as lines of JSON.")
        for name, value in said.items():
            held = columns.setdefault(name, [])
            held.extend([None] * (count - len(held)))
            held.append(_as_text(value))
        count += 1
    for held in columns.values():
        held.extend([None] * (count - len(held)))
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String()))


def _as_text(value: object) -> str | None:
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _table(content: bytes) -> pl.DataFrame:
    return read_bulk(content, kind_of=lambda header: "instant" if _path(header) in (_START, _END) else "text").frame


def _path(header: str) -> str:
    """Google's dotted name of a column whose name could hold no dots."""
    return next((path for path in _PATHS if header in (path, path.replace(".", "_"))), header)


def _under_paths(theirs: pl.DataFrame) -> Bulk:
    """Their columns, and what is read of them under Google's dotted names, typed."""
    paths = [_path(header) for header in theirs.columns]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise QuarantineError(f"row 1: two columns are both {twice}. Keep one of them.")
    if _START not in paths:
        raise QuarantineError(f"row 1: no column {_START}. This is not Google Cloud's billing export.")
    named = theirs.rename({header: _path(header) for header in theirs.columns if _path(header) != header})
    read: dict[str, pl.Series] = {}
    for path in _PATHS:
        top, _, rest = path.partition(".")
        if path in named.columns:
            read[path] = named[path]
        elif rest and top in named.columns:
            found = named[top].str.json_path_match(f"$.{rest}").alias(path)
            read[path] = pl.select(pl.when(~found.is_in(["", "null"])).then(found)).to_series().alias(path)
    rounded: dict[str, pl.Series] = {}
    for path, kind in _NUMBERS.items():
        if path in read:
            read[path], spelled = exact_decimals(read[path], kind=kind)
            if spelled is not None:
                rounded[path] = spelled
    for name in (_START, _END):
        if name in named.columns and named[name].dtype == pl.String():
            read[name] = utc_instants(named[name])
    if "invoice.month" in read:
        _refuse_odd_months(read["invoice.month"])
    if "labels" in read:
        read["labels"] = _tags(read["labels"])
    frame = named.with_columns(list(read.values()))
    return Bulk(frame=frame.with_columns(_invoice_month(frame.columns).alias("invoice_month_start")), rounded=rounded)


def _tags(labels: pl.Series) -> pl.Series:
    """Lists of {key, value} as the object that FOCUS calls Tags; labels of another shape stay as they are."""
    spelled = {text: _as_object(text) for text in labels.unique() if text is not None}
    return labels.replace_strict(spelled, default=None, return_dtype=pl.String())


def _as_object(text: str) -> str:
    try:
        labels = exact_json(text.encode())
        pairs = [(label["key"], label["value"]) for label in labels if set(label) == {"key", "value"}]
    except (QuarantineError, TypeError, KeyError):
        return text
    tags = dict(pairs)
    return json.dumps(tags, ensure_ascii=False, separators=(",", ":")) if len(tags) == len(labels) else text


def _refuse_odd_months(months: pl.Series) -> None:
    odd = (~months.str.contains(_MONTH)).fill_null(value=False)
    if odd.any():
        row = odd.arg_max() or 0
        raise QuarantineError(f"row {row + 2}: invoice.month is {months[row]!r}, not a month as 202611.")


def _invoice_month(columns: list[str]) -> pl.Expr:
    """The moment (UTC) at which the invoice's month begins, which is midnight in Pacific time."""
    used = pl.col(_START).dt.replace_time_zone("UTC").dt.convert_time_zone(_PACIFIC).dt.replace_time_zone(None)
    month = used.dt.month_start().dt.truncate("1d")
    if "invoice.month" in columns:
        month = (pl.col("invoice.month") + "01").str.to_datetime("%Y%m%d", time_unit="us").fill_null(month)
    return month.dt.replace_time_zone(_PACIFIC).dt.convert_time_zone("UTC").dt.replace_time_zone(None)


# --- charges and credits ---------------------------------------------------------------------------------------------


def _read(columns: Collection[str]) -> set[str]:
    """Columns that are wholly in what is said, and those that were only made to be read."""
    return {*_WHOLLY_READ, "invoice_month_start", *(path for path in _PATHS if "." in path)} & set(columns)


def _said(columns: list[str]) -> dict[str, pl.Expr]:
    said: dict[str, pl.Expr] = {name: pl.col(path) for name, path in _SAYS.items() if path in columns}
    said["BilledCost"] = said["EffectiveCost"] = pl.col("cost")
    if "credits" in columns:
        is_covered = pl.col("credits").str.contains(_COMMITTED, literal=True).fill_null(value=False)
        said["EffectiveCost"] = pl.when(~is_covered).then("cost")
        said["PricingCategory"] = pl.when(is_covered).then(pl.lit("Committed"))
    said["BillingPeriodStart"] = pl.col("invoice_month_start")
    said["ChargeCategory"] = (
        pl.col("cost_type").str.to_lowercase().replace_strict(_CHARGED, default=pl.col("cost_type")).fill_null("Usage")
        if "cost_type" in columns
        else pl.lit("Usage")
    )
    is_use = said["ChargeCategory"] == "Usage"
    corrects = [
        pl.col(name).is_not_null() for name in ("adjustment_info.id", "adjustment_info.mode") if name in columns
    ]
    if corrects:
        said["ChargeClass"] = pl.when(pl.any_horizontal(corrects)).then(pl.lit("Correction"))
    if resources := [name for name in ("resource.global_name", "resource.name") if name in columns]:
        said["ResourceId"] = pl.coalesce(resources)
    if regions := [name for name in ("location.region", "location.location") if name in columns]:
        said["RegionId"] = pl.coalesce(regions)
    if "cost_at_list" in columns:
        said["ListCost"] = pl.when(is_use).then("cost_at_list")
    for name, amount, unit in (
        ("Consumed", "usage.amount", "usage.unit"),
        ("Pricing", "usage.amount_in_pricing_units", "usage.pricing_unit"),
    ):
        if amount in columns and unit in columns:
            said[f"{name}Quantity"] = pl.when(is_use).then(amount)
            said[f"{name}Unit"] = pl.when(is_use).then(unit)
    said["InvoiceIssuerName"] = pl.lit("Google")
    said["ProviderName"] = pl.lit("Google Cloud")
    seller = ["seller_name"] if "seller_name" in columns else []
    said["ServiceProviderName"] = pl.coalesce(*seller, pl.lit("Google Cloud"))
    return said


def _credits(frame: pl.DataFrame) -> Bulk:
    """Each credit beside the columns of its row. Raises QuarantineError where one has no amount."""
    if "credits" not in frame.columns:
        return Bulk(frame=frame.head(0), rounded={})
    rows: list[int] = []
    said: dict[str, list[str | None]] = {"credit.amount": [], "credit.type": [], "credit.name": [], "credit.id": []}
    for row, text in enumerate(frame["credits"]):
        if text is None or text in ("[]", "{}"):
            continue
        try:
            found = exact_json(text.encode())
        except QuarantineError as error:
            raise QuarantineError(f"row {row + 2}: credits is no JSON list ({text[:80]!r}): {error}") from None
        for credit in found if isinstance(found, list) else [found]:
            if not isinstance(credit, dict) or credit.get("amount") in (None, ""):
                raise QuarantineError(f"row {row + 2}: a credit without an amount ({text[:80]!r}).")
            rows.append(row)
            for column, held in said.items():
                value = credit.get(column.partition(".")[2])
                held.append(None if value is None else str(value))
    credited = frame[rows] if rows else frame.head(0)
    columns = [pl.Series(name, held, dtype=pl.String()) for name, held in said.items()]
    amounts, spelled = exact_decimals(columns[0])
    rounded = {} if spelled is None else {spelled.name: spelled}
    return Bulk(frame=credited.with_columns(amounts, *columns[1:]), rounded=rounded)


def _said_of_credits(said: Mapping[str, pl.Expr]) -> dict[str, pl.Expr]:
    """A credit stands beside what it is for: same service, SKU, resource and day, without its quantity."""
    is_commitment = pl.col("credit.type").str.starts_with(_COMMITTED).fill_null(value=False)
    left_out = ("ConsumedQuantity", "ConsumedUnit", "PricingQuantity", "PricingUnit", "ListCost")
    return {
        **{name: value for name, value in said.items() if name not in left_out},
        "BilledCost": pl.col("credit.amount"),
        "EffectiveCost": pl.when(~is_commitment).then("credit.amount"),
        "ChargeCategory": pl.lit("Credit"),
        "ChargeDescription": pl.coalesce("credit.name", "credit.type"),
        "PricingCategory": pl.when(is_commitment).then(pl.lit("Committed")),
        "CommitmentDiscountId": pl.when(is_commitment).then(pl.coalesce("credit.id", "credit.name")),
        "CommitmentDiscountStatus": pl.when(is_commitment).then(pl.lit("Used")),
    }


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
    check=check,
)
