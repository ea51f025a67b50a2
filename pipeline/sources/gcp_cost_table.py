"""Google Cloud's cost table as the console's billing pages export it: the lines of one invoice, as CSV, from an inbox.

The format is documented nowhere that was found; what is read here is what a public reconciliation of genuine tables
says of it (2026-11-21): lines of a name and a value (Invoice number, Currency, Exchange rate, ...), then a header with
Service description, SKU description, Cost type (Usage, Tax, ...), Usage start date, Usage end date, Usage amount, Usage
unit and Unrounded cost, whose sign in brackets is no currency: that is what the line `Currency` says. A table of any
other shape is quarantined with what it lacks. Days are those of Pacific time, as on the invoice.

**A file is one invoice** and replaces what an older one said of it: the bucket is the billing account and the invoice's
number, else the month of the usage. A month that is counted both ways breaks a law: redact the table without a number.
It names no resource, so it serves best beside `gcp_billing_export`, as `role: control`: what both say of a month is
compared, and one of them is summed.

Settings: billing_account_id, for a table that names none.
"""

import re
from collections.abc import Mapping
from typing import Any

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.formats.values import csv_header
from pipeline.landing.dataset import Dataset, Frames, Settings
from pipeline.sources.bulk import Bulk, Kind, read_bulk
from pipeline.sources.focus_shape import CHARGES, DATASET, charges_frame, folded, refuse_nothing
from pipeline.sources.source import Fetched, Payload, Source

NAME = "gcp_cost_table"

_COST = "unroundedcost"
_START, _END = "usagestartdate", "usageenddate"
_AMOUNT = "usageamount"
_REQUIRED = (_COST, "costtype", "skudescription", "servicedescription", _START)
_SAYS: Mapping[str, str] = {
    "BilledCost": _COST,
    "EffectiveCost": _COST,
    "SubAccountId": "projectid",
    "SubAccountName": "projectname",
    "ServiceName": "servicedescription",
    "SkuId": "skuid",
    "SkuMeter": "skudescription",
}
_CHARGED = {"usage": "Usage", "tax": "Tax", "adjustment": "Adjustment", "roundingerror": "Adjustment"}
_PACIFIC = "America/Los_Angeles"
_MOST_LINES_BEFORE = 40
_BOM = b"\xef\xbb\xbf"


def recognise(name: str, head: bytes) -> str | None:
    """One of its first lines is the header: a SKU, a cost type and an unrounded cost."""
    return DATASET if _header_at(head) is not None else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped file."""
    declared = {key: value for key, value in settings.items() if key == "billing_account_id"}
    return Fetched(dataset=DATASET, payloads=(Payload(name=name, content=content),), settings=declared)


def parse(content: bytes, settings: Settings) -> Frames:
    """Every line below the header as a charge of the invoice that the lines above it name."""
    at = _header_at(content)
    if at is None:
        raise QuarantineError(
            "No header with SKU description, Cost type and Unrounded cost. This is not Google Cloud's cost table."
        )
    said = _said_above(content[:at])
    theirs = read_bulk(content[at:], kind_of=_kind, last_line_end_required=False)
    names = [_name(header) for header in theirs.frame.columns]
    absent = [name for name in _REQUIRED if name not in names]
    if absent or len(set(names)) < len(names):
        raise QuarantineError(f"No column {', '.join(absent)}, or one of them twice. Export the table again.")
    renamed = dict(zip(theirs.frame.columns, names, strict=True))
    bulk = Bulk(
        frame=theirs.frame.rename(renamed),
        rounded={renamed[header]: text.alias(renamed[header]) for header, text in theirs.rounded.items()},
    )
    refuse_nothing(bulk.frame, {name: name for name in (_COST, "costtype", _START)})
    currency = said.get("currency")
    if currency is None:
        raise QuarantineError("No line says its Currency, and a sign like $ is that of many. Export the table again.")
    if re.fullmatch(r"[A-Za-z]{3}", currency, re.ASCII) is None:
        raise QuarantineError(f"The line `Currency` says {currency!r}, not a code of three letters.")
    account = said.get("billingaccountid") or settings.get("billing_account_id")
    if "billingaccountid" in names:
        whose = pl.col("billingaccountid").fill_null(pl.lit(account, dtype=pl.String()))
    elif isinstance(account, str):
        whose = pl.lit(account)
    else:
        raise QuarantineError("Nothing says whose account it is: set settings.billing_account_id.")
    invoice = said.get("invoicenumber")
    month = pl.col(_START).dt.month_start()
    # What came late stands on the invoice of the month that is over last.
    billed_in = month.max() if invoice else month
    frame = charges_frame(
        bulk,
        _charges(names, currency=currency, whose=whose, invoice=invoice, billed_in=billed_in),
        restates=[pl.lit("Google"), whose, pl.lit(invoice) if invoice else month.dt.date().cast(pl.String)],
        read={*_SAYS.values(), _COST, _AMOUNT, _START, _END, "usageunit", "costtype", "billingaccountid"},
    )
    return {CHARGES.name: frame}


def _charges(
    names: list[str], *, currency: str, whose: pl.Expr, invoice: str | None, billed_in: pl.Expr
) -> dict[str, pl.Expr]:
    kind = pl.col("costtype").str.to_lowercase().str.replace_all(r"[^a-z]", "")
    is_credit = pl.col("credittype").is_not_null() if "credittype" in names else pl.lit(value=False)
    is_use = ~is_credit & (kind == "usage")
    charged: dict[str, pl.Expr] = {name: pl.col(header) for name, header in _SAYS.items() if header in names}
    charged["BillingAccountId"] = whose
    charged["BillingCurrency"] = pl.lit(currency)
    charged["BillingPeriodStart"] = _instant(billed_in)
    charged["ChargePeriodStart"] = _instant(pl.col(_START))
    charged["ChargeCategory"] = (
        pl.when(is_credit).then(pl.lit("Credit")).otherwise(kind.replace_strict(_CHARGED, default=pl.col("costtype")))
    )
    if "credittype" in names:
        charged["ChargeDescription"] = pl.col("credittype")
    if _END in names:
        charged["ChargePeriodEnd"] = _instant(pl.col(_END).dt.offset_by("1d"))
    if "usageamount" in names and "usageunit" in names:
        charged["ConsumedQuantity"] = pl.when(is_use).then("usageamount")
        charged["ConsumedUnit"] = pl.when(is_use).then("usageunit")
    if invoice:
        charged["InvoiceId"] = pl.lit(invoice)
    charged["InvoiceIssuerName"] = pl.lit("Google")
    charged["ProviderName"] = pl.lit("Google Cloud")
    return charged


def _instant(day: pl.Expr) -> pl.Expr:
    """Midnight of a Pacific day, in UTC."""
    return day.dt.replace_time_zone(_PACIFIC).dt.convert_time_zone("UTC").dt.replace_time_zone(None)


def _name(header: str) -> str:
    """A header without what stands in brackets, which is the sign of a currency."""
    return folded(header.partition("(")[0])


def _kind(header: str) -> Kind:
    if _name(header) == _COST:
        return "decimal"
    if _name(header) == _AMOUNT:
        return "quantity"
    return "instant" if _name(header) in (_START, _END) else "text"


def _header_at(content: bytes) -> int | None:
    """Where the header's line begins."""
    at = 0
    for line in content.split(b"\n", _MOST_LINES_BEFORE)[:_MOST_LINES_BEFORE]:
        if {_COST, "costtype", "skudescription"} <= set(map(_name, csv_header(line + b"\n"))):
            return at
        at += len(line) + 1
    return None


def _said_above(head: bytes) -> dict[str, str]:
    """What the lines above the header name."""
    said: dict[str, str] = {}
    for line in head.removeprefix(_BOM).split(b"\n"):
        cells = [cell.strip() for cell in csv_header(line + b"\n")]
        if len(cells) > 1 and cells[0] and cells[1]:
            said.setdefault(_name(cells[0]), cells[1])
    return said


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            name=DATASET,
            mode="replace",
            bucket="invoice",
            measure="billed",
            tables=(CHARGES,),
            parse=parse,
        ),
    ),
    recognise=recognise,
    drop=drop,
)
