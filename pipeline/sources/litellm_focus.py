"""LiteLLM's FOCUS export: what the gateway thinks its traffic cost at the providers. CSV or Parquet, from an inbox.

Its BilledCost is tokens x the gateway's own prices: `rated`, never an invoice. The providers bill the same money
themselves, so it is a control by its nature: never summed, compared with the bill that it estimates.
`settings.bills` says which that is, for each provider as the export names it (custom_llm_provider):

    bills:
      anthropic: main                         # the bill that issuer anthropic sends to account main
      text-completion-openai: {issuer: openai, account: main}
      ollama: null                            # nobody's bill of it is read here

One row per UTC day, key, user, model, model group and provider (LiteLLM's DailyUserSpend), with the day's spend so far.
**A file holds the rows that were updated in its window**, of whatever day, each as it then was; a row that did not
change is in no later file, and a busy key's row of a day comes once more after midnight. So nothing replaces a day:
every file counts, and of a row the newest statement does. Which is newer says the window's end in the name that LiteLLM
gives the file, `usage_20261101T000000Z_20261102T000000Z.parquet`; a file named otherwise is quarantined. Rows written
before the window's start are all there, so that is the moment at which the file is stated.

Rows that differ only in what the export leaves out (endpoint, tool) are told apart within a file by `row_of_several`,
across files not: where one of them alone changed, the newer file is short of the others, and so is the estimate.
ConsumedQuantity is a number of requests, not of tokens; BillingPeriod is the day, not a month.

Read from LiteLLM's source, `litellm/integrations/focus`, 1.109.1.
"""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

import polars as pl

from pipeline.errors import ConfigError, QuarantineError
from pipeline.landing.dataset import Dataset, Frames, Settings, Table
from pipeline.sources.bulk import MONEY, Kind, bulk_header, read_bulk
from pipeline.sources.source import Fetched, Payload, Source

NAME = "litellm_focus"
DATASET = "daily_spend"

_INSTANT = pl.Datetime("us")
_DECIMALS = ("BilledCost", "ConsumedQuantity")
_DAY = "ChargePeriodStart"
# The export's columns that say something of their own; the others repeat them or are constants.
_NAMES: Mapping[str, str] = {
    "BilledCost": "billed_cost",
    "BillingCurrency": "billing_currency",
    "BillingAccountId": "billing_account_id",
    "BillingAccountName": "billing_account_name",
    "BillingAccountType": "billing_account_type",
    "ChargePeriodStart": "charge_period_start",
    "ConsumedQuantity": "consumed_quantity",
    "ConsumedUnit": "consumed_unit",
    "ProviderName": "provider_name",
    "ResourceId": "resource_id",
    "ServiceName": "service_name",
    "SubAccountId": "sub_account_id",
    "Tags": "tags",
}
_REQUIRED = ("BilledCost", "BillingCurrency", "ChargePeriodStart", "ConsumedUnit", "ProviderName", "ResourceId")
# What one row of DailyUserSpend is, as far as the export says. Teams are joined on when it is written, and may change.
_ROW_OF = ("usage_date", "billing_account_id", "user_id", "resource_id", "service_name", "provider_name")
_WINDOW = re.compile(r"^usage_([0-9]{8}T[0-9]{6}Z)_([0-9]{8}T[0-9]{6}Z)\.(?:csv|parquet)(?:\.gz)?$", re.ASCII)
_STAMP = "%Y%m%dT%H%M%SZ"

ESTIMATES = Table(
    name="estimates",
    columns={
        "exported_until_at": _INSTANT,
        "row_of_several": pl.Int64(),
        "user_id": pl.String(),
        **{
            ours: MONEY if theirs in _DECIMALS else _INSTANT if theirs == _DAY else pl.String()
            for theirs, ours in _NAMES.items()
        },
    },
)


def recognise(name: str, head: bytes) -> str | None:
    """Its columns are FOCUS's, its name is LiteLLM's. Parquet names its columns at its end: its reader looks."""
    header = bulk_header(head)
    if header is None:
        return None
    return DATASET if not header or set(_REQUIRED) <= set(header) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped file. The reader never sees its name, so the window that it states goes with the settings."""
    window = _window(PurePath(name).name)
    return Fetched(
        dataset=DATASET,
        payloads=(Payload(name=name, content=content),),
        stated_at=window and window[0],
        stated_by="file_name" if window else "landed_at",
        settings={"exported_until": window[1].strftime(_STAMP)} if window else {},
    )


def _window(name: str) -> tuple[datetime, datetime] | None:
    found = _WINDOW.match(name)
    if found is None:
        return None
    try:
        start, end = (datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC) for stamp in found.groups())
    except ValueError:
        return None
    return (start, end) if start <= end else None


def parse(content: bytes, settings: Settings) -> Frames:
    """Every row of the file. What it says beyond `ESTIMATES` is kept in `other_columns`."""
    frame = read_bulk(content, kind_of=_kind).frame
    absent = [name for name in _REQUIRED if name not in frame.columns]
    if absent:
        raise QuarantineError(f"row 1: no column {', '.join(absent)}. This is not LiteLLM's FOCUS export.")
    _refuse_null(frame, ("BilledCost", "BillingCurrency", _DAY))
    _check_is_daily(frame["ConsumedUnit"])
    until = settings.get("exported_until")
    if not isinstance(until, str):
        raise QuarantineError(
            "Its name does not say which window it exports, so nobody knows which of two files is newer. Keep the name "
            "that LiteLLM gives it: usage_<from>_<to>.csv or .parquet, as usage_20261101T000000Z_20261102T000000Z.csv."
        )
    known = frame.select(
        pl.col(_DAY).dt.date().cast(pl.String).alias("bucket"),
        pl.col(_DAY).dt.date().alias("usage_date"),
        pl.lit(until).str.to_datetime(_STAMP, time_unit="us").alias("exported_until_at"),
        _user_id(frame).alias("user_id"),
        *(
            (pl.col(theirs) if theirs in frame.columns else pl.lit(None)).cast(ESTIMATES.columns[ours]).alias(ours)
            for theirs, ours in _NAMES.items()
        ),
        _other_columns(frame),
    )
    # By their spend, so that two exports of the same rows number them alike, in whatever order they list them.
    numbered = known.with_columns(
        pl.col("billed_cost").rank("ordinal").over(_ROW_OF).cast(pl.Int64).alias("row_of_several"),
        pl.col("billing_currency").str.to_uppercase(),
    )
    return {ESTIMATES.name: numbered.select(list(ESTIMATES.schema))}


def _kind(header: str) -> Kind:
    if header in _DECIMALS:
        return "decimal"
    return "instant" if header == _DAY else "text"


def _refuse_null(frame: pl.DataFrame, names: tuple[str, ...]) -> None:
    for name in names:
        if frame[name].null_count():
            raise QuarantineError(f"row {(frame[name].is_null().arg_max() or 0) + 2}: no {name}. Export it again.")


def _check_is_daily(units: pl.Series) -> None:
    """Refuses another shape of the export: single requests (sku_breakdown), the same spend in many rows."""
    other = units.fill_null("nothing").filter(units.ne_missing("Requests"))
    if len(other):
        raise QuarantineError(
            f"{len(other)} rows consume {other[0]}, not Requests. Export the daily spend, without a breakdown by SKU."
        )


def _user_id(frame: pl.DataFrame) -> pl.Expr:
    """Tags are JSON text; a user's id stands nowhere else."""
    if "Tags" not in frame.columns:
        return pl.lit(None, dtype=pl.String())
    return pl.col("Tags").str.extract(r'"user_id": ?"((?:[^"\\]|\\.)*)"')


def _other_columns(frame: pl.DataFrame) -> pl.Expr:
    unknown = sorted(set(frame.columns) - set(_NAMES))
    if not unknown:
        return pl.lit(None, dtype=pl.String()).alias("other_columns")
    says_something = pl.any_horizontal(pl.col(unknown).is_not_null())
    return pl.when(says_something).then(pl.struct(unknown).struct.json_encode()).alias("other_columns")


def check(settings: Mapping[str, Any], accounts: Collection[str]) -> None:
    """Raises ConfigError where `settings.bills` is missing, or names an account that no other source has."""
    bills = settings.get("bills")
    key = "settings.bills"
    if not isinstance(bills, Mapping) or not bills:
        raise ConfigError(
            key=key,
            value="missing" if bills is None else bills,
            fix="Say whose bill it estimates: for each provider that the gateway calls the account of that bill, "
            "as `bills: {anthropic: main}`, or null where no bill of it is read here.",
        )
    for provider, bill in bills.items():
        if bill is None:
            continue
        account = bill.get("account") if isinstance(bill, Mapping) and set(bill) == {"issuer", "account"} else bill
        if not isinstance(account, str):
            fix = "Write the account of its bill, or {issuer: ..., account: ...}, or null."
            raise ConfigError(key=f"{key}.{provider}", value=bill, fix=fix)
        if account not in accounts:
            fix = f"No other source has this account. There are: {', '.join(sorted(accounts)) or 'none'}."
            raise ConfigError(key=f"{key}.{provider}", value=account, fix=fix)


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            name=DATASET,
            mode="append",
            bucket="utc_day",
            measure="rated",
            tables=(ESTIMATES,),
            parse=parse,
        ),
    ),
    recognise=recognise,
    drop=drop,
    check=check,
)
