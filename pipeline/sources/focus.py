"""FOCUS Cost and Usage, 1.0 to 1.4, of any provider: CSV (gzipped or not) or Parquet, from an inbox or a Data Export.
With `settings.columns` any other table of charges, whose columns somebody says in FOCUS's words.

Columns in any order and casing. What FOCUS does not name (`x_...`, a vendor's own) is kept in `other_columns`. FOCUS
1.0 has no SkuMeter, which says what was metered: AWS's export has it as x_UsageType (its "FOCUS 1.0 with AWS columns"),
Microsoft's as x_SkuMeterName (microsoft/finops-toolkit); where a file has no SkuMeter, that is it. The four costs are
kept apart; a column the file lacks is null, never 0. Amounts are exact: CSV text as spelled, Parquet decimals as they
are, doubles as the shortest text that reads as them. A double that reaches beyond 10^-18 is rounded there and its
spelling kept in `other_columns`.

**What a file restates.** The bucket is provider, billing account and billing period: a newer file that has a row of
them replaces all that an older one said of them. The provider is ProviderName, or ServiceProviderName where 1.4 dropped
it; not the issuer, since a restatement may move a charge from one legal entity's invoice to another's. A correction of
a closed period is a row of a later one and simply counts.

**Exports of several files.** A file that is one of several cannot be told from a restatement by looking at it, and
counting it alone would lose the others or count an old one twice. So:
- `settings.export` (AWS, without an inbox): a Data Export, `s3://...` or the folder of a synced copy. The files that a
  billing period's manifest lists are one delivery.
- an inbox, as it is: every file states its billing periods whole. A file whose name numbers it as a part (`-00001`,
  `part_0_0001`) is quarantined, and so is one that holds a single later day of a period, which may be all there is
  (`settings.files: whole` says so) or one day's file of many.
- an inbox with `settings.files: parts`: each file name is a part of its own that counts until a file of the same name
  replaces it. For exports that write each name once, as OCI's reports and daily files do.

Settings: files (whole, parts); date_format (strptime, where dates are not ISO 8601); last_line_end (required,
optional); defaults {BillingAccountId, BillingCurrency, ChargeCategory, InvoiceIssuerName, ProviderName: for a file that
lacks the column}; columns {FOCUS's name: the file's own header}; measure (billed): a file that somebody rated is
refused, as is a gateway's export by its shape: its source is `litellm_focus`.

**Any other table.** For vendors that export no FOCUS (Lambda, Vast.ai, Modal, DigitalOcean, Together and whoever comes)
`columns` says which of their headers is what; every file of the inbox is then such a table. What no header says may be
a default; without a BillingPeriodStart the billing period is the UTC month of ChargePeriodStart (so a file that begins
within a month and ends in a later one, as the last thirty days do, is quarantined unless `files` says what it holds),
and the charge is Usage where no category is said. Columns that are not named are kept in `other_columns`, as ever.

A file is stated when its name says so (`20241102T051122Z`), else when it was last modified, else when it landed.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from pathlib import PurePath
from typing import Any

import polars as pl

from pipeline.errors import ConfigError, QuarantineError
from pipeline.landing.dataset import Dataset, Frames, Settings
from pipeline.landing.times import DAY
from pipeline.sources.bulk import bulk_header, read_bulk
from pipeline.sources.data_exports import export_probe, fetch_export
from pipeline.sources.focus_shape import CHARGES, DATASET, NAMES, REQUIRED, folded, kind_of, other_columns, snake
from pipeline.sources.http import stamp_in_name
from pipeline.sources.source import FetchContext, Fetched, Payload, Probe, Source

NAME = "focus"
_WHO = ("ProviderName", "ServiceProviderName", "InvoiceIssuerName")
_WITH_DEFAULTS = ("BillingAccountId", "BillingCurrency", "ChargeCategory", "InvoiceIssuerName", "ProviderName")
_SETTINGS = ("files", "date_format", "last_line_end", "defaults", "columns", "measure")
_CATEGORIES = ("Usage", "Purchase", "Tax", "Credit", "Adjustment")

_PART_OF_SEVERAL = re.compile(
    r"(?<![a-z])part[-_]?\d+|[-_.](?:0\d{4}|0000\d{8})$|\d+[-_]of[-_]\d+", re.ASCII | re.IGNORECASE
)
_SUFFIXES = re.compile(r"(?:\.(?:csv|gz|gzip|snappy|parquet))+$", re.ASCII | re.IGNORECASE)
_API_KEY_HASH = r"^[0-9a-f]{64}$"
_NOT_BILLED = (
    "What somebody rated is no bill and is never summed as one: take the provider's own (anthropic_cost_api, "
    "openai_costs_api, aws_cur2, ...), and this file out of the inbox."
)
_AS_A_CONTROL = (
    "To see it beside the provider's bill, configure source litellm_focus with an inbox of its own and settings.bills, "
    "which says whose bill it estimates, and drop it there."
)


_KNOWN = {folded(name): name for name in NAMES}
# FOCUS's name -> what vendors call it where they have no column of that name.
_ELSE: Mapping[str, tuple[str, ...]] = {"SkuMeter": (folded("x_UsageType"), folded("x_SkuMeterName"))}


def recognise(name: str, head: bytes) -> str | None:
    """The header names what every FOCUS charge has. Parquet names its columns at its end: its reader looks."""
    header = bulk_header(head)
    if header is None:
        return None
    return DATASET if not header or {"billedcost", "chargecategory"} <= set(map(folded, header)) else None


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """The billing periods of an AWS Data Export whose newest manifest has not landed yet, each as one delivery."""
    return fetch_export(context, source=NAME, dataset=DATASET)


def probe(context: FetchContext) -> tuple[Probe, ...]:
    """Whether the export's manifests can be listed and read."""
    return (export_probe(context, source=NAME, dataset=DATASET),)


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped file. The reader never sees its name, so what the name says goes with the settings."""
    declared = {key: value for key, value in settings.items() if key in _SETTINGS}
    stem = _SUFFIXES.sub("", name)
    if declared.get("files") == "parts":
        declared["part"] = stem
    elif _PART_OF_SEVERAL.search(PurePath(stem).name):
        declared["numbered_part"] = name
    stated_at = stamp_in_name(name)
    return Fetched(
        dataset=DATASET,
        payloads=(Payload(name=name, content=content),),
        stated_at=stated_at,
        stated_by="file_name" if stated_at else "landed_at",
        settings=declared,
    )


def parse(content: bytes, settings: Settings) -> Frames:
    """Every row of the file under FOCUS's names, amounts and instants typed, anything else as text."""
    _check_declared(settings)
    declared = {header: name for name, header in _declared_columns(settings).items()}
    bulk = read_bulk(
        content,
        kind_of=lambda header: kind_of(declared.get(header) or _KNOWN.get(folded(header), header)),
        date_format=_text(settings, "date_format"),
        last_line_end_required=_choice(settings, "last_line_end", ("required", "optional")) == "required",
    )
    headers = _headers_by_name(bulk.frame.columns, declared)
    columns = {name: bulk.frame[header].alias(snake(name)) for name, header in headers.items()}
    for name, value in _defaults(settings).items():
        columns.setdefault(name, pl.repeat(value, bulk.frame.height, dtype=pl.String(), eager=True).alias(snake(name)))
    takes_months = bool(declared) and "ChargePeriodStart" in columns and "BillingPeriodStart" not in columns
    if takes_months:
        months = columns["ChargePeriodStart"].dt.month_start().dt.truncate("1d")
        columns["BillingPeriodStart"] = months.alias("billing_period_start")
    _check_is_a_bill(columns)
    _check_columns(columns)
    _check_period(columns["BillingPeriodStart"], settings)
    _check_is_whole(columns["ChargePeriodStart"], columns["BillingPeriodStart"], settings)
    if takes_months:
        _check_begins_with_a_month(columns["ChargePeriodStart"], settings)
    known = pl.DataFrame(list(columns.values())).with_columns(
        pl.col("billing_currency").str.strip_chars().str.to_uppercase()
    )
    # ProviderName first: where a file gives both, 1.2 and 1.3 agree on the bucket.
    provider = pl.coalesce(*(snake(name) for name in _WHO if name in columns))
    if known.select(provider.is_null().any()).item():
        raise QuarantineError(f"A row names no {', '.join(_WHO)}. Set defaults.ProviderName to who sends this file.")
    part = settings.get("part")
    bucket = [provider, pl.col("billing_account_id"), pl.col("billing_period_start").dt.date().cast(pl.String)]
    frame = known.select(
        pl.concat_str([*bucket, *([pl.lit(part)] if part else [])], separator="|").alias("bucket"),
        pl.col("charge_period_start").dt.date().alias("usage_date"),
        *(
            pl.col(name) if name in known.columns else pl.lit(None, dtype=kind).alias(name)
            for name, kind in CHARGES.columns.items()
        ),
        other_columns(bulk, set(bulk.frame.columns) - set(headers.values())),
    )
    return {CHARGES.name: frame}


def _headers_by_name(headers: list[str], declared: Mapping[str, str]) -> dict[str, str]:
    """FOCUS name -> the file's own header. `declared`: header -> FOCUS name, which goes before what it looks like.

    Refuses a file without a header that was declared: it is of another kind, and would lose what that column says.
    """
    absent = [header for header in declared if header not in headers]
    if absent:
        raise QuarantineError(
            f"row 1: no column {', '.join(map(repr, absent))}, which settings.columns names. The file has "
            f"{', '.join(map(repr, headers))}."
        )
    found = {name: header for header, name in declared.items()}
    for header in headers:
        name = _KNOWN.get(folded(header))
        if name is None or header in declared or name in declared.values():
            continue
        if name in found:
            raise QuarantineError(f"row 1: {found[name]!r} and {header!r} are both {name}. Keep one of them.")
        found[name] = header
    for name, others in _ELSE.items():
        theirs = [one for other in others for one in headers if folded(one) == other and one not in declared]
        if name not in found and theirs:
            found[name] = theirs[0]
    return found


def _check_columns(columns: Mapping[str, pl.Series]) -> None:
    """Refuses a file that lacks what a charge cannot be without, or a row that leaves it out."""
    absent = [name for name in REQUIRED if name not in columns]
    if not any(name in columns for name in _WHO):
        absent.append(" or ".join(_WHO))
    if absent:
        raise QuarantineError(
            f"row 1: no column {', '.join(absent)}. This is not FOCUS Cost and Usage; where only a constant is missing,"
            f" set defaults (for {', '.join(_WITH_DEFAULTS)})."
        )
    for name in REQUIRED:
        row = columns[name].is_null().arg_max() if columns[name].null_count() else None
        if row is not None:
            raise QuarantineError(
                f"row {row + 2}: no {name}, as in {columns[name].null_count()} of {len(columns[name])} rows. "
                "A charge without it cannot be booked: ask for the file again."
            )


def _check_is_a_bill(columns: Mapping[str, pl.Series]) -> None:
    """Refuses a gateway's export: it has FOCUS's columns and prices every request itself."""
    nothing = pl.Series([], dtype=pl.String())
    signs = {
        "BillingAccountType is an API key": (columns.get("BillingAccountType", nothing) == "API Key").any(),
        "Tags name a custom_llm_provider": columns.get("Tags", nothing)
        .str.contains('"custom_llm_provider"', literal=True)
        .any(),
        "BillingAccountId is the hash of a key, and requests are what is consumed": (
            (columns.get("ConsumedUnit", nothing) == "Requests").any()
            and columns.get("BillingAccountId", nothing).str.contains(_API_KEY_HASH).any()
        ),
    }
    for sign, is_so in signs.items():
        if is_so:
            raise QuarantineError(f"{sign}: a gateway (as LiteLLM) wrote this. {_NOT_BILLED} {_AS_A_CONTROL}")


def _check_period(starts: pl.Series, settings: Settings) -> None:
    """Refuses rows of another billing period than the one the export's manifest lists the file for."""
    listed = settings.get("billing_period")
    if listed is None:
        return
    other = starts.filter(starts.dt.strftime("%Y-%m") != str(listed))
    if len(other):
        raise QuarantineError(
            f"{len(other)} rows are of the billing period that starts {other[0]}, yet the manifest lists the file for "
            f"{listed}."
        )


def _check_is_whole(charged: pl.Series, period: pl.Series, settings: Settings) -> None:
    """Refuses one day of a period under way where nobody said what a file holds: counted alone it would replace the
    days before it. The first days of a period look like all of it and are.
    """
    if "files" in settings or "billing_period" in settings or not len(charged):
        return
    day, first = charged.dt.date(), period.dt.date()
    if day.n_unique() == 1 and ((day - first) > DAY).all():
        raise QuarantineError(
            f"All {len(day)} rows are charges of {day[0]}, in a billing period that starts {first[0]}. Where every "
            "file holds a part of its period, set files: parts; where this is all there is, files: whole."
        )


def _check_begins_with_a_month(charged: pl.Series, settings: Settings) -> None:
    """Refuses the last so many days where nobody said what a file holds: they go on from a month of which they have
    the end alone, and would replace all of it.
    """
    days = charged.dt.date()
    first, last = days.min(), days.max()
    if "files" in settings or not isinstance(first, date) or not isinstance(last, date):
        return
    month = first.replace(day=1)
    if first - month > DAY and last.replace(day=1) != month:
        raise QuarantineError(
            f"Charges are from {first} to {last}, and a month is taken as a billing period: is this all of "
            f"{month:%Y-%m}, or its end alone? Ask for files that begin with a month. Where a file holds all there is "
            "of its months, set files: whole."
        )


class _WrongSettingError(QuarantineError):
    """A setting that cannot be so. `key` is below `settings`."""

    def __init__(self, key: str, value: object, fix: str) -> None:
        super().__init__(f"settings.{key} is {value!r}. {fix}")
        self.key, self.value, self.fix = key, value, fix


def _check_declared(settings: Settings) -> None:
    """Refuses settings, and a file under them, that cannot be so."""
    if settings.get("measure", "billed") != "billed":
        raise _WrongSettingError("measure", settings["measure"], _NOT_BILLED)
    _choice(settings, "files", ("whole", "parts"))
    _choice(settings, "last_line_end", ("required", "optional"))
    _text(settings, "date_format")
    if settings.get("numbered_part") is not None:
        raise QuarantineError(
            f"{settings['numbered_part']!r} is numbered as one of several files. Alone it would replace the others. "
            "Point settings.export at an AWS Data Export, or join the files into one; where every name is written "
            "once, set files: parts."
        )


def _defaults(settings: Settings) -> dict[str, str]:
    defaults = {} if settings.get("defaults") is None else settings["defaults"]
    if not isinstance(defaults, Mapping):
        raise _WrongSettingError("defaults", defaults, "It maps columns to text.")
    for name, value in defaults.items():
        if name not in _WITH_DEFAULTS or not isinstance(value, str) or not value:
            fix = f"Defaults give text for {', '.join(_WITH_DEFAULTS)}, nothing else."
            raise _WrongSettingError(f"defaults.{name}", value, fix)
    if (category := defaults.get("ChargeCategory", _CATEGORIES[0])) not in _CATEGORIES:
        raise _WrongSettingError("defaults.ChargeCategory", category, f"It is one of {', '.join(_CATEGORIES)}.")
    return {**({"ChargeCategory": _CATEGORIES[0]} if settings.get("columns") else {}), **defaults}


def _declared_columns(settings: Settings) -> dict[str, str]:
    """FOCUS name -> the header that settings.columns gives for it."""
    said = {} if settings.get("columns") is None else settings["columns"]
    if not isinstance(said, Mapping):
        raise _WrongSettingError("columns", said, "It maps FOCUS's names to headers of the file.")
    for name, header in said.items():
        fix = "It gives the file's own header for a column of FOCUS, as in `BilledCost: Amount`."
        if name not in NAMES or not isinstance(header, str) or not header:
            raise _WrongSettingError(f"columns.{name}", header, fix)
        if list(said.values()).count(header) > 1:
            raise _WrongSettingError(f"columns.{name}", header, "So is another one: a header is one column.")
    return dict(said)


def check(settings: Mapping[str, Any], accounts: Collection[str]) -> None:
    """Raises ConfigError where what is declared of files cannot be so, whatever the files."""
    try:
        _check_declared(settings)
        _declared_columns(settings)
        _defaults(settings)
    except _WrongSettingError as error:
        raise ConfigError(key=f"settings.{error.key}", value=error.value, fix=error.fix) from None


def takes_any(settings: Settings) -> bool:
    """Where columns are declared every file is a table of them, whatever its header looks like."""
    return bool(settings.get("columns"))


def _text(settings: Settings, name: str) -> str | None:
    value = settings.get(name)
    if value is not None and not isinstance(value, str):
        raise _WrongSettingError(name, value, "It is text.")
    return value or None


def _choice(settings: Settings, name: str, known: tuple[str, ...]) -> str:
    value = _text(settings, name) or known[0]
    if value not in known:
        raise _WrongSettingError(name, value, f"It is {' or '.join(map(repr, known))}.")
    return value


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
    takes_any=takes_any,
    check=check,
    fetch=fetch,
    probe=probe,
    # Manifests say what is new. The window only has to reach back over the period that has not ended.
    trailing_days=62,
)
