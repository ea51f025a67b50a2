"""Azure Cost Management's cost details, actual and amortized, of an EA enrolment or a customer agreement: CSV, packed
or not, or Parquet. Its FOCUS export is read by `focus`.

Columns by Microsoft's names whatever their casing, which differs by agreement and version ("Cost details fields" in
Microsoft's documentation, a template-like EA file, microsoft/finops-toolkit's conversion to FOCUS; read 2026-11-29).

**Two exports state the same money.** The invoice is the sum of the actual costs. The amortized ones leave out the
purchase of a commitment (a reservation, a savings plan, provisioned throughput bought ahead) and state instead what it
covered and what it left unused. So an amortized file charges nothing: of a commitment its rows say the effective cost,
and any other row, which the actual costs state too, is kept as a line of nothing. What the actual costs know as covered
use has no effective cost until the amortized ones say it. With neither, nothing is amortized: the effective cost of
covered use is unknown, never 0.

Which of the two a file is, its manifest says (exportConfig.type), else settings.cost (actual, amortized), else the word
`actual` or `amortized` in its name, else its rows: purchases of commitments are in the one, unused ones in the other. A
file of both is refused. Without any sign it is taken for actual; then no row of it is of a commitment.

**What a file restates.** A run states its months whole: the bucket is billing account, billing period, which cost, and
the scope that was exported, where it is known.
- `settings.export`: a synced copy of the export's folder. Each run has a `manifest.json` beside its files, which lists
  them with their bytes; of a scope's month the run submitted last counts, and only whole. (The manifest's shape is
  Microsoft's of 2024-04-01.)
- an inbox: each file is all of its month. One that is numbered as a part, or that begins within its billing period, is
  quarantined, unless settings.files is `whole`. A file does not say what was exported: a second subscription or billing
  profile is a second account in breakeven.yaml, with an inbox of its own.

Amounts are the billing currency's. `Quantity` counts `UnitOfMeasure` ("1 Hour", "10K"); neither is converted. Dates are
ISO 8601 or MM/DD/YYYY, as Microsoft writes them in English.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import polars as pl

from pipeline.errors import ConfigError, QuarantineError, SourceError
from pipeline.landing.dataset import Dataset, Frames, Settings
from pipeline.landing.times import DAY, day_start
from pipeline.sources.bulk import Bulk, Kind, bulk_header, read_bulk, utc_instants
from pipeline.sources.focus_shape import CHARGES, DATASET, charges_frame, folded, refuse_nothing
from pipeline.sources.folder import listed
from pipeline.sources.source import FetchContext, Fetched, Payload, Probe, Probed, Source

NAME = "azure_cost_details"

_COST = "costinbillingcurrency"
_NUMBERS: Mapping[str, Kind] = {_COST: "decimal", "paygcostinbillingcurrency": "decimal", "quantity": "quantity"}
_DATES = ("date", "billingperiodstartdate", "billingperiodenddate")
_REQUIRED = (_COST, "date", "billingcurrency", "chargetype", "metercategory")
# EA's word -> the customer agreement's, for what both say.
_ALSO_CALLED: Mapping[str, str] = {
    "billingcurrencycode": "billingcurrency",
    "instanceid": "resourceid",
    "product": "productname",
    "resourcelocationnormalized": "resourcelocation",
    "subscriptionguid": "subscriptionid",
}
_KINDS = {"ActualCost": "actual", "AmortizedCost": "amortized"}
_PRICED = {"ondemand": "Standard", "spot": "Dynamic", "reservation": "Committed", "savingsplan": "Committed"}
_CHARGED = {
    "usage": "Usage",
    "purchase": "Purchase",
    "unusedreservation": "Usage",
    "unusedsavingsplan": "Usage",
    "roundingadjustment": "Adjustment",
    "tax": "Tax",
    "credit": "Credit",
}
_OFTEN = {"usagebased": "Usage-Based", "onetime": "One-Time", "recurring": "Recurring"}
_MONTH_FIRST = r"^(0?[1-9]|1[0-2])/(0?[1-9]|[12][0-9]|3[01])/[0-9]{4}$"
_NUMBERED = re.compile(r"part[-_]?\d+[-_]\d+", re.ASCII | re.IGNORECASE)
_SUFFIXES = re.compile(r"(?:\.(?:csv|gz|gzip|snappy|parquet))+$", re.ASCII | re.IGNORECASE)
_REPEATED = "as in the actual costs"
_SETTINGS = ("cost", "files")


def recognise(name: str, head: bytes) -> str | None:
    """The header names what a meter costs in the billing currency. Parquet names its columns at its end."""
    header = bulk_header(head)
    if header is None:
        return None
    return DATASET if not header or {_COST, "metercategory"} <= set(map(folded, header)) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped file. The reader never sees its name, so what the name says goes with the settings."""
    declared = {key: value for key, value in settings.items() if key in _SETTINGS}
    lowered = name.lower()
    if "cost" not in declared:
        said = [kind for kind, word in (("actual", "actual"), ("amortized", "amorti")) if word in lowered]
        if len(said) == 1:
            declared["cost"] = said[0]
    if _NUMBERED.search(PurePath(_SUFFIXES.sub("", name)).name) and "files" not in declared:
        declared["numbered_part"] = name
    return Fetched(dataset=DATASET, payloads=(Payload(name=name, content=content),), settings=declared)


def check(settings: Mapping[str, Any], accounts: Collection[str]) -> None:
    """Raises ConfigError where what is declared of files cannot be so."""
    for name, known in (("cost", ("actual", "amortized")), ("files", ("whole",))):
        if settings.get(name) not in (None, *known):
            raise ConfigError(
                key=f"settings.{name}", value=settings[name], fix=f"It is {' or '.join(known)}, or left out."
            )


# --- rows ------------------------------------------------------------------------------------------------------------


def parse(content: bytes, settings: Settings) -> Frames:
    """Every row of the file under FOCUS's names, with what of it is billed and what is effective."""
    if settings.get("numbered_part") is not None:
        raise QuarantineError(
            f"{settings['numbered_part']!r} is numbered as one of several files. Alone it would replace the others. "
            "Point settings.export at a copy of the export's folder, manifest.json and all; where each file is all of "
            "its month, set files: whole."
        )
    read = read_bulk(content, kind_of=lambda header: _NUMBERS.get(_name(header), "text"))
    bulk = _with_our_names(read)
    absent = [name for name in _REQUIRED if name not in bulk.frame.columns]
    if absent:
        raise QuarantineError(f"row 1: no column {', '.join(absent)}. These are not Azure's cost details.")
    refuse_nothing(bulk.frame, {name: name for name in ("date", "billingcurrency", "chargetype", _COST)})
    bulk = Bulk(frame=_with_dates(bulk.frame), rounded=bulk.rounded)
    _check_period(bulk.frame, settings)
    kind = _which_cost(bulk.frame, settings)
    period = _period().dt.date().cast(pl.String)
    scope = [pl.lit(settings["scope"])] if settings.get("scope") else []
    frame = charges_frame(
        bulk,
        _said(bulk.frame.columns, kind),
        restates=[pl.lit("Microsoft"), _account(bulk.frame.columns), period, pl.lit(kind), *scope],
        # Of a row that the actual costs state too, what it comes to is said nowhere else.
        read=_WHOLLY_READ if kind == "amortized" else _WHOLLY_READ | {_COST},
    )
    return {CHARGES.name: frame}


def _name(header: str) -> str:
    name = folded(header)
    return _ALSO_CALLED.get(name, name)


def _with_our_names(bulk: Bulk) -> Bulk:
    """The file's columns under Microsoft's names, lowered."""
    named: dict[str, str] = {}
    for header in bulk.frame.columns:
        name = _name(header)
        if name in named.values():
            other = next(theirs for theirs, ours in named.items() if ours == name)
            raise QuarantineError(f"row 1: {other!r} and {header!r} are both {name}. Keep one of them.")
        named[header] = name
    rounded = {named[header]: spelled.alias(named[header]) for header, spelled in bulk.rounded.items()}
    return Bulk(frame=bulk.frame.rename(named), rounded=rounded)


def _with_dates(frame: pl.DataFrame) -> pl.DataFrame:
    """Dates as instants. MM/DD/YYYY where the column is spelled so, else ISO 8601."""
    read = [
        utc_instants(
            frame[name], date_format="%m/%d/%Y" if frame[name].str.contains(_MONTH_FIRST).any() else None
        ).dt.truncate("1d")
        for name in _DATES
        if name in frame.columns
    ]
    dated = frame.with_columns(read)
    if "billingperiodstartdate" not in dated.columns:
        dated = dated.with_columns(pl.col("date").dt.month_start().alias("billingperiodstartdate"))
    return dated


def _period() -> pl.Expr:
    return pl.col("billingperiodstartdate").fill_null(pl.col("date").dt.month_start())


def _account(columns: list[str]) -> pl.Expr:
    """Who is invoiced; an export of one subscription alone may not say."""
    names = [name for name in ("billingaccountid", "subscriptionid") if name in columns]
    if not names:
        raise QuarantineError("row 1: no column billingaccountid or subscriptionid. Export it with all columns.")
    return pl.coalesce(names)


def _check_period(frame: pl.DataFrame, settings: Settings) -> None:
    """Refuses what cannot be all of its months: it would replace the days that it leaves out."""
    if not frame.height:
        return
    starts = frame.select(start=_period(), day=pl.col("date"))
    listed = settings.get("billing_period")
    if isinstance(listed, str):
        other = starts.filter(pl.col("start").dt.strftime("%Y-%m") != listed)
        if other.height:
            raise QuarantineError(
                f"{other.height} rows are of the billing period that starts {other['start'][0]:%Y-%m-%d}, yet the "
                f"manifest lists the file for {listed}."
            )
        return
    if settings.get("files") == "whole":
        return
    for start, first in starts.group_by("start").agg(pl.col("day").min()).sort("start").iter_rows():
        if first - start > DAY:
            raise QuarantineError(
                f"The first charge of the billing period that starts {start:%Y-%m-%d} is of {first:%Y-%m-%d}: is this "
                "all of it, or its end alone? Export month to date. Where it is all there is, set files: whole."
            )


def _which_cost(frame: pl.DataFrame, settings: Settings) -> str:
    """actual or amortized. Refuses a file whose rows contradict what is said of it, or each other."""
    told = settings.get("cost")
    if told not in (None, "actual", "amortized"):
        raise QuarantineError(f"settings.cost is {told!r}. It is actual or amortized.")
    is_committed = _is_committed(frame.columns)
    signs = frame.select(
        actual=((_charge_type() == "purchase") & is_committed).any(),
        amortized=(
            _charge_type().is_in(["unusedreservation", "unusedsavingsplan"])
            | ((_charge_type() == "usage") & is_committed & (pl.col(_COST) != 0))
        ).any(),
    ).row(0, named=True)
    if signs["actual"] and signs["amortized"]:
        raise QuarantineError(
            "Rows of both actual and amortized costs: a commitment's purchase, and what it covered. Together they "
            "count it twice. Export the two apart."
        )
    shown = next((kind for kind, is_so in signs.items() if is_so), None)
    if told is not None and shown is not None and told != shown:
        raise QuarantineError(f"It is said to be of {told} costs, and its rows of commitments are of {shown} ones.")
    return str(told or shown or "actual")


def _charge_type() -> pl.Expr:
    return pl.col("chargetype").str.to_lowercase().str.replace_all(r"[^a-z]", "")


def _is_committed(columns: list[str]) -> pl.Expr:
    if "pricingmodel" not in columns:
        return _charge_type().is_in(["unusedreservation", "unusedsavingsplan"])
    model = pl.col("pricingmodel").str.to_lowercase().str.replace_all(r"[^a-z]", "")
    return model.is_in(["reservation", "savingsplan"]).fill_null(value=False) | _charge_type().is_in(
        ["unusedreservation", "unusedsavingsplan"]
    )


# FOCUS's name -> the column that says just that, where nothing else has to be known.
_SAYS: Mapping[str, str] = {
    "BillingAccountName": "billingaccountname",
    "BillingCurrency": "billingcurrency",
    "BillingPeriodEnd": "billingperiodenddate",
    "ChargePeriodStart": "date",
    "InvoiceId": "invoiceid",
    "SubAccountId": "subscriptionid",
    "SubAccountName": "subscriptionname",
    "ServiceName": "metercategory",
    "ServiceSubcategory": "metersubcategory",
    "ChargeDescription": "productname",
    "SkuId": "meterid",
    "SkuMeter": "metername",
    "SkuPriceId": "partnumber",
    "ResourceId": "resourceid",
    "ResourceName": "resourcename",
    "RegionId": "resourcelocation",
    "AvailabilityZone": "availabilityzone",
    "ListCost": "paygcostinbillingcurrency",
    "ContractedUnitPrice": "unitprice",
    "PublisherName": "publishername",
}
_WHOLLY_READ = frozenset(
    {*_SAYS.values(), "billingaccountid", "billingperiodstartdate", "quantity", "unitofmeasure", "chargetype",
     "pricingmodel", "frequency", "tags"}
)  # fmt: skip
# Of a row that the actual costs state too, what tells whose and when it is.
_OF_A_REPEATED_ROW = ("BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "ChargePeriodStart")


def _said(columns: list[str], kind: str) -> dict[str, pl.Expr]:
    """FOCUS's name -> what it is of a file of one of the two costs."""
    charged, is_committed = _charge_type(), _is_committed(columns)
    is_amortized = kind == "amortized"
    is_commitment_bought = is_committed & charged.is_in(["purchase", "refund"])
    is_used = is_committed & (charged == "usage")
    is_unused = charged.is_in(["unusedreservation", "unusedsavingsplan"])
    is_repeated = pl.lit(value=is_amortized) & ~(is_used | is_unused)
    nothing = pl.lit(0).cast(CHARGES.columns["billed_cost"])
    is_use = charged.is_in(["usage", "unusedreservation", "unusedsavingsplan"])
    said: dict[str, pl.Expr] = {name: pl.col(header) for name, header in _SAYS.items() if header in columns}
    said["BillingAccountId"] = _account(columns)
    said["BillingPeriodStart"] = _period()
    said["ChargePeriodEnd"] = pl.col("date").dt.offset_by("1d")
    said["BilledCost"] = nothing if is_amortized else pl.col(_COST)
    said["EffectiveCost"] = (
        pl.when(is_repeated).then(nothing).otherwise(pl.col(_COST))
        if is_amortized
        # What a purchase covers is said where it is used; a covered hour without a cost has one that is not said here.
        else pl.when(is_commitment_bought).then(nothing).when(~is_used | (pl.col(_COST) != 0)).then(pl.col(_COST))
    )
    said["ChargeCategory"] = (
        pl.when(charged == "refund")
        .then(pl.when(is_committed).then(pl.lit("Purchase")).otherwise(pl.lit("Adjustment")))
        .otherwise(charged.replace_strict(_CHARGED, default=pl.col("chargetype")))
    )
    said["ChargeClass"] = pl.when(charged == "refund").then(pl.lit("Correction"))
    # The actual costs know that use is covered, and not at what: the amortized ones say that it used up a commitment.
    used = pl.when(is_used).then(pl.lit("Used")) if is_amortized else pl.lit(None, dtype=pl.String())
    said["CommitmentDiscountStatus"] = pl.when(is_unused).then(pl.lit("Unused")).otherwise(used)
    if "pricingmodel" in columns:
        model = pl.col("pricingmodel").str.to_lowercase().str.replace_all(r"[^a-z]", "")
        said["PricingCategory"] = model.replace_strict(_PRICED, default=pl.col("pricingmodel"))
    if "frequency" in columns:
        often = pl.col("frequency").str.to_lowercase().str.replace_all(r"[^a-z]", "")
        said["ChargeFrequency"] = often.replace_strict(_OFTEN, default=pl.col("frequency"))
    if commitments := [name for name in ("benefitid", "reservationid") if name in columns]:
        # Its casing differs from the resource's own.
        said["CommitmentDiscountId"] = pl.when(is_committed).then(pl.coalesce(commitments).str.to_lowercase())
    if named := [name for name in ("benefitname", "reservationname") if name in columns]:
        said["CommitmentDiscountName"] = pl.when(is_committed).then(pl.coalesce(named))
    if "tags" in columns:
        bare = pl.concat_str([pl.lit("{"), pl.col("tags"), pl.lit("}")])
        said["Tags"] = pl.when(pl.col("tags").str.starts_with("{")).then(pl.col("tags")).otherwise(bare)
    if "quantity" in columns and "unitofmeasure" in columns:
        for name in ("Consumed", "Pricing"):
            said[f"{name}Quantity"] = pl.when(is_use).then("quantity")
            said[f"{name}Unit"] = pl.when(is_use).then("unitofmeasure")
    of_marketplace = (
        pl.col("publishertype").str.to_lowercase() == "marketplace"
        if "publishertype" in columns
        else pl.lit(value=False)
    )
    publisher = pl.col("publishername") if "publishername" in columns else pl.lit(None, dtype=pl.String())
    said["InvoiceIssuerName"] = pl.lit("Microsoft")
    said["ProviderName"] = pl.lit("Microsoft")
    said["ServiceProviderName"] = pl.coalesce(pl.when(of_marketplace).then(publisher), pl.lit("Microsoft"))
    if not is_amortized:
        return said
    kept = {"BillingAccountId", "BillingPeriodStart", "ChargePeriodEnd", "BilledCost", "EffectiveCost",
            "InvoiceIssuerName", "ProviderName", *_OF_A_REPEATED_ROW}  # fmt: skip
    alone: dict[str, pl.Expr] = {"ServiceName": pl.lit(_REPEATED), "ChargeCategory": pl.lit("Usage"),
                                 "ServiceProviderName": pl.lit("Microsoft")}  # fmt: skip
    return {
        name: value if name in kept else pl.when(~is_repeated).then(value).otherwise(alone.get(name, pl.lit(None)))
        for name, value in said.items()
    }


# --- a folder of runs ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Run:
    """One run of an export: what its manifest says. `files`: (name, bytes or None), as listed."""

    manifest: Path
    cost: str
    scope: str
    period: str
    from_at: datetime
    to_at: datetime
    submitted_at: datetime
    files: tuple[tuple[str, int | None], ...]


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """For each month, cost and scope the run submitted last, where it has not landed yet, as one delivery."""
    root = _folder(context)
    landed = {
        (delivery.request.get("manifest"), delivery.stated_at)
        for delivery in context.landed
        if delivery.dataset == DATASET and delivery.is_complete
    }
    horizon = str(context.settings.get("horizon") or "")[:7]
    newest: dict[tuple[str, str, str], _Run] = {}
    for run in _runs(root, context):
        if run.period < horizon or run.from_at >= context.to_at:
            continue
        known = newest.get((run.period, run.cost, run.scope))
        if known is None or (known.submitted_at, str(known.manifest)) < (run.submitted_at, str(run.manifest)):
            newest[run.period, run.cost, run.scope] = run
    for (period, cost, scope), run in sorted(newest.items()):
        name = run.manifest.relative_to(root).as_posix()
        if (name, run.submitted_at) in landed:
            continue
        yield Fetched(
            dataset=DATASET,
            payloads=_files_of(run, root, context),
            from_at=run.from_at,
            to_at=run.to_at,
            stated_at=run.submitted_at,
            stated_by="file_name",
            settings={"billing_period": period, "cost": cost, **({"scope": scope} if scope else {})},
            request={"export": str(context.settings["export"]), "manifest": name},
        )


def _folder(context: FetchContext) -> Path:
    export = context.settings.get("export")
    key = f"sources ({NAME}/{context.account}).settings.export"
    if not isinstance(export, str) or not export:
        raise ConfigError(
            key=key, value=export, fix="Write the folder of a synced copy of the export, or use an inbox."
        )
    root = (context.folder / export).resolve()
    if not root.is_dir():
        raise ConfigError(key=key, value=export, fix="No such folder. It is the one that holds the export's runs.")
    return root


def _runs(root: Path, context: FetchContext) -> Iterator[_Run]:
    for path in listed(root):
        if path.name != "manifest.json" or not path.resolve().is_relative_to(root):
            continue
        try:
            said = json.loads(path.read_bytes())
            kind = _KINDS.get(str(said["exportConfig"]["type"]))
            if kind is None:
                continue
            start, end = (_moment(said["runInfo"][name]) for name in ("startDate", "endDate"))
            run = _Run(
                manifest=path,
                cost=kind,
                scope=str(said["exportConfig"].get("resourceId") or "")
                .lower()
                .partition("/providers/microsoft.costm")[0],
                period=f"{start:%Y-%m}",
                from_at=start,
                to_at=day_start(end.date()) + DAY,
                submitted_at=_moment(said["runInfo"]["submittedTime"]),
                files=tuple(
                    (PurePosixPath(str(blob["blobName"])).name, blob.get("byteCount")) for blob in said["blobs"]
                ),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _failure(context, path, f"cannot be read as a manifest ({type(error).__name__}: {error})") from None
        if start.day != 1 or (end - start) > timedelta(days=31):
            raise _failure(
                context, path, f"is of {start:%Y-%m-%d} to {end:%Y-%m-%d}, not of a month: export month to date"
            )
        if len(set(run.files)) != len(run.files):
            raise _failure(context, path, "lists a file twice: it would be counted twice")
        yield run


def _moment(text: str) -> datetime:
    # .NET writes seven digits of a second.
    moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _files_of(run: _Run, root: Path, context: FetchContext) -> Iterator[Payload]:
    """The files that the manifest lists, each read only when the one before it has been landed."""
    for name, size in run.files:
        path = run.manifest.parent / name
        if not name or not path.is_file() or not path.resolve().is_relative_to(root):
            raise _failure(context, run.manifest, f"lists {name!r}, which is not beside it: the copy is not whole")
        if size is not None and path.stat().st_size != size:
            raise _failure(
                context, run.manifest, f"says that {name} has {size} bytes, and it has {path.stat().st_size}"
            )
    for name, _ in run.files:
        path = run.manifest.parent / name
        yield Payload(name=path.relative_to(root).as_posix(), content=path.read_bytes())


def _failure(context: FetchContext, path: Path, problem: str) -> SourceError:
    return SourceError(
        f"{NAME} of {context.account}: {path.name} in {path.parent.name} {problem}. Nothing of this run counts; what "
        "was landed before still does. Copy the export again, and run again."
    )


def probe(context: FetchContext) -> tuple[Probe, ...]:
    """Whether the copy of the export is there, and which runs it has; nothing to ask where an inbox is read."""
    if context.settings.get("export") is None:
        return ()
    return (Probe(DATASET, lambda _: _look(context)),)


def _look(context: FetchContext) -> Probed:
    try:
        runs = list(_runs(_folder(context), context))
    except SourceError as error:
        return Probed("odd", str(error), "Copy the export again")
    except OSError as error:
        fix = "Let the user that runs breakeven read it"
        return Probed("not_permitted", f"{context.settings['export']} cannot be read: {error.strerror}", fix)
    if not runs:
        return Probed("not_found", f"{context.settings['export']} holds no manifest.json of actual or amortized costs",
                      "Correct settings.export, or wait for the first run")  # fmt: skip
    newest = max(run.submitted_at for run in runs)
    shown = f"{len(runs)} run{'' if len(runs) == 1 else 's'}, the newest of {newest:%Y-%m-%d %H:%M} UTC"
    return Probed("allowed", f"{context.settings['export']} may be read: {shown}")


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
    fetch=fetch,
    probe=probe,
    check=check,
    # A closed month is restated for up to three days; manifests say what is new.
    trailing_days=62,
)
