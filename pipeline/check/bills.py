"""Exports as they lie in a folder, through the project's own readers and tables, and nothing of it kept.

Each file is landed under an account of its own, so that no file replaces another and each is totalled by itself. API
exports of one provider are landed once more under one account, where tokens meet the bill they belong to.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from io import BytesIO
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import polars as pl

from pipeline.build.config_tables.frames import config_frames
from pipeline.build.config_tables.versions import Version
from pipeline.build.landed_tables import Landed, read_landed
from pipeline.build.relations import FrameRelation, Relation, quoted
from pipeline.build.runner import Built, Runner
from pipeline.build.seeds import load_seeds
from pipeline.build.sql_models import load_needed
from pipeline.check.invoice_mapping import guessed_mapping
from pipeline.check.same_lines import same_lines
from pipeline.config.sources import SourceConfig
from pipeline.config.whole import Config
from pipeline.decisions.graph import PYTHON_MODELS
from pipeline.errors import QuarantineError
from pipeline.landing.dataset import UNFORESEEN, Dataset
from pipeline.landing.fetched import Fetched
from pipeline.landing.landing import Landing
from pipeline.landing.store import FolderStore
from pipeline.landing.times import DAY, day_start, days_between
from pipeline.paths import models_root, sql_root
from pipeline.sources import GPU_BILLS, SOURCES, source_named
from pipeline.sources.recognise import recognise_bytes

REPORTING_CURRENCY = "USD"
_MOST_BYTES = 2 * 1024**3
_FIRST_YEAR, _LAST_YEAR = 1990, 2200
_TOGETHER = "together"
# GPUs and engines are told apart by their host and not by whose spool file it was: all of them are one answer.
SPOOL = "spool"
_PERIOD_STARTS = {"aws_cur2": "bill_billing_period_start_date", "aws_cur": "bill/BillingPeriodStartDate"}

# Whose exports meet, where several of a provider are given.
_PROVIDERS = ("anthropic", "openai", "openrouter", "deepseek", "fireworks", "mistral")
# Which question below sql/bills each source answers, and the tables that the question reads.
_API = frozenset({"anthropic_cost_api", "anthropic_usage_api", "anthropic_console_csv", "openai_costs_api",
                  "openai_usage_api", "openai_dashboard_csv",
                  "anthropic_enterprise_costs", "openrouter_activity", "deepseek_usage",
                  "fireworks_costs", "mistral_usage"})  # fmt: skip
CLOUD = frozenset(
    dataset.source for source in SOURCES for dataset in source.datasets for table in dataset.tables
    if table.money is not None and table.money.home == "cloud"
)  # fmt: skip
QUESTIONS: Mapping[str, tuple[frozenset[str], tuple[str, ...]]] = {
    "api": (_API, ("fct_api_costs_daily",)),
    "api_hours": (_API, ("int_api_usage_hourly",)),
    "cloud": (CLOUD, ("fct_cloud_charges_daily",)),
    "cloud_models": (CLOUD, ("fct_cloud_model_costs_daily",)),
    "estimates": (
        frozenset({"litellm_focus", "litellm_activity"}),
        ("stg_litellm_focus__estimates_daily", "stg_litellm_activity__estimates_daily"),
    ),
    "gateways": (
        frozenset({"litellm_spend_logs", "openrouter_generations"}),
        ("stg_litellm_spend_logs__usage_hourly", "stg_openrouter_generations__usage_hourly"),
    ),
    "metered": (frozenset({"fireworks_costs"}), ("stg_fireworks_costs__usage_hourly",)),
    "invoices": (GPU_BILLS, ("stg_gpu_bills__lines",)),
    "gpus": (frozenset({"nvml_spool"}), ("stg_nvml_spool__gpu_hours",)),
    "engines": (frozenset({"nvml_spool"}), ("int_engine_intervals",)),
    "prepaid": (frozenset({"prepaid_csv"}), ("stg_prepaid_csv__entries_daily",)),
    "invoice_totals": (frozenset({"aws_invoices"}), ("stg_aws_invoices__totals",)),
    "drivers": (frozenset({"drivers_csv"}), ("stg_drivers_csv__values_daily",)),
    "used_hours": (frozenset({"focus_usage"}), ("stg_focus_usage__gpu_hours_daily",)),
    "rates": (frozenset({"ecb_rates"}), ("stg_ecb_rates__rates_daily",)),
}
# Which Python nodes are asked for, where a file of such a source is among them.
_PYTHON_MODELS: Mapping[str, frozenset[str]] = {"list_prices": _API, "fct_cloud_model_costs_daily": CLOUD}
# Where an export itself says whose account it is.
_ACCOUNTS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(CLOUD, ("charges", "select distinct billing_account_id from landed where account = ?")),
    **dict.fromkeys(
        ("aws_cur", "aws_cur2"), ("lines", "select distinct bill_payer_account_id from landed where account = ?")
    ),
    "openai_dashboard_csv": ("cost", "select distinct organization_id from landed where account = ?"),
}

Row = dict[str, Any]
_DATASETS = tuple(dataset for source in SOURCES for dataset in source.datasets)
_DATASETS_BY_NAME = {(dataset.source, dataset.name): dataset for dataset in _DATASETS}


@dataclass(frozen=True, kw_only=True)
class CheckedFile:
    """One file. `source` None: no export that is read here; `problem` then says what it is instead.

    A recognised file with a `problem` could not be read. `account`: the one it was landed under, none of its own.
    `own_accounts`: whose it is, as far as it says. `rows`: kept, all of them. `unknown_columns`: kept, read by nothing.
    """

    name: str
    source: str | None = None
    dataset: str | None = None
    measure: str | None = None
    account: str = ""
    problem: str | None = None
    from_date: date | None = None
    last_date: date | None = None
    own_accounts: tuple[str, ...] = ()
    rows: int = 0
    unknown_columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Bills:
    """All files, and the answers to the questions of `sql/bills`, by question.

    `together`: provider -> the account under which its files met, which is a file's own where there is only one.
    `days`: account -> the days its files speak for, also where all they say of one is nothing; None: some do not say.
    """

    files: tuple[CheckedFile, ...]
    answers: Mapping[str, list[Row]]
    together: Mapping[str | None, str] = field(default_factory=dict)
    days: Mapping[str, frozenset[date] | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def of(self, question: str, account: str) -> list[Row]:
        return [row for row in self.answers.get(question, ()) if row["account"] == account]


@dataclass(frozen=True)
class _Recognised:
    """A file that a source takes, with the settings under which it is read."""

    file: CheckedFile
    fetched: Fetched
    source: str


def read_bills(paths: Sequence[Path], *, now: datetime, currency: str = REPORTING_CURRENCY) -> Bills:
    """Recognise, read and total files. None of them stops another: what is wrong with one is its `problem`.

    `currency`: of an invoice without a column for it.
    """
    files: list[CheckedFile] = []
    recognised: list[_Recognised] = []
    for number, path in enumerate(paths, start=1):
        found = _recognised(path, account=f"file-{number}", currency=currency)
        files.append(found.file if isinstance(found, _Recognised) else found)
        if isinstance(found, _Recognised):
            recognised.append(found)
    if not recognised:
        return Bills(files=tuple(files), answers={})
    with TemporaryDirectory(prefix="breakeven-check-") as folder:
        read = _Reading(Path(folder), now=max([now, *(one.fetched.to_at or now for one in recognised)]) + DAY)
        return read.bills(files, recognised)


# --- which file is what ----------------------------------------------------------------------------------------------


def _recognised(path: Path, *, account: str, currency: str) -> "_Recognised | CheckedFile":
    name = path.name.encode(errors="surrogateescape").decode(errors="backslashreplace")
    try:
        if path.stat().st_size > _MOST_BYTES:
            return CheckedFile(
                name=name, problem=f"larger than {_MOST_BYTES} bytes: exports of this size come in parts"
            )
        content = path.read_bytes()
    except OSError as error:
        return CheckedFile(name=name, problem=f"cannot be opened: {error.strerror}")
    found = recognise_bytes(name, content)
    source = None if found.source is None else source_named(found.source)
    if source is None or found.dataset is None:
        return CheckedFile(name=name, problem=found.reason)
    dataset = next(one for one in source.datasets if one.name == found.dataset)
    file = CheckedFile(name=name, source=source.name, dataset=dataset.name, measure=dataset.measure, account=account)
    try:
        settings, notes = _settings(source.name, name, content, currency=currency)
        fetched = source.drop(name, content, settings)
    except QuarantineError as error:
        return replace(file, problem=str(error))
    except UNFORESEEN as error:
        said = str(error).partition("\n")[0]
        return replace(file, problem=f"it holds what its reader cannot take ({type(error).__name__}: {said})")
    if fetched.from_at is not None and fetched.to_at is not None and not _is_calendar(fetched.from_at, fetched.to_at):
        said = f"it speaks of {fetched.from_at:%Y-%m-%d} to {fetched.to_at:%Y-%m-%d}, which no bill does"
        return replace(file, problem=said)
    file = replace(file, notes=(*notes, *_what_run_would_say(fetched, dataset)))
    settings = {**fetched.settings, **settings}
    if source.name in ("focus", "azure_cost_details"):
        settings.pop("numbered_part", None)
    return _Recognised(file, _whole(replace(fetched, settings=settings, grouping=dataset.grouping)), source.name)


def _settings(source: str, name: str, content: bytes, *, currency: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The settings without which a file cannot be read by itself, and what had to be taken for granted."""
    if source in _PERIOD_STARTS:
        note = "one file of a Data Export: whether it is all of its month, only the export's manifest says"
        return {"billing_period": _billing_period(content, _PERIOD_STARTS[source])}, (note,)
    if source == "focus":
        return {"files": "parts", "part": PurePath(name).name}, ()
    if source in ("azure_cost_details", "gcp_billing_export"):
        return {"files": "whole"}, ()
    if source == "gcp_cost_table":
        return {"billing_account_id": "of no account it names"}, ()
    if source == "oci_cost_report":
        note = "its name has no number of a report: `breakeven run` needs that, to count it once"
        known = source_named(source)
        has_number = known is not None and "part" in known.drop(name, content, {}).settings
        return {"part": PurePath(name).name}, () if has_number else (note,)
    if source == "litellm_focus":
        # Of one file every row is the newest; only beside others does its window matter.
        until = re.search(r"_(\d{8}T\d{6}Z)\.", name)
        note = "its name does not say which window it exports: `breakeven run` needs that, to know the newer of two"
        return {"exported_until": until[1] if until else "20991231T000000Z"}, () if until else (note,)
    if source == "prepaid_csv":
        return {"issuer": "check"}, ("how long it lasts, `breakeven run` says beside the bill that is paid from it",)
    if source == "invoice_csv":
        mapping = guessed_mapping(content, currency=currency)
        return {**mapping.settings, "invoice_id": PurePath(name).stem}, (mapping.words,)
    return {}, ()


def _billing_period(content: bytes, column: str) -> str:
    """The month that the first line of a CUR file names."""
    try:
        if content.startswith(b"PAR1"):
            first = pl.read_parquet(BytesIO(content), columns=[column], n_rows=1)
        else:
            first = pl.read_csv(content, columns=[column], n_rows=1, infer_schema=False)
        text = str(first.item())[:7]
    except (pl.exceptions.PolarsError, ValueError, OSError) as error:
        raise QuarantineError(f"no {column} in its first line ({type(error).__name__}). Export it again.") from None
    if re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text, re.ASCII) is None:
        raise QuarantineError(f"{column} is {text!r} in its first line, not a month. Export it again.")
    return text


def _what_run_would_say(fetched: Fetched, dataset: Dataset) -> list[str]:
    """Why the file alone would not be counted in a project."""
    said = []
    if not fetched.complete:
        said.append("pages of a chain that does not end in it: the rest is in another file, or was not saved")
    if fetched.from_at is not None and fetched.grouping != dataset.grouping:
        grouped = f"grouped by {fetched.grouping}" if fetched.grouping else "not grouped"
        said.append(f"fetched {grouped}; a project reads it grouped by {dataset.grouping}")
    return said


def _is_calendar(start: datetime, stop: datetime) -> bool:
    """Whether a window is one that people are billed for; beyond it every day would be looked at, one by one."""
    return start.year >= _FIRST_YEAR and stop.year <= _LAST_YEAR


def _whole(fetched: Fetched) -> Fetched:
    """The delivery such that every row counts: whole days, stated when all of them were over."""
    start, stop = fetched.from_at, fetched.to_at
    if start is not None and stop is not None:
        start = day_start(start.date())
        stop = stop if stop == day_start(stop.date()) else day_start(stop.date()) + DAY
    return replace(fetched, complete=True, from_at=start, to_at=stop, stated_at=None, stated_by="landed_at")


def _days_of(fetched: Fetched) -> frozenset[date] | None:
    """The days that a file speaks for; None where it does not say."""
    if fetched.from_at is None or fetched.to_at is None:
        return None
    return frozenset(days_between(fetched.from_at.date(), fetched.to_at.date()))


# --- through landing and the graph -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Reading:
    """One pass through a landing and a cache that are thrown away. `now`: after everything that the files speak of."""

    folder: Path
    now: datetime

    def bills(self, files: Sequence[CheckedFile], recognised: Sequence[_Recognised]) -> Bills:
        landing = Landing(store=FolderStore(self.folder / "landing"), remembers=False)
        together, left_out = _met(recognised)
        accounts = {(one.source, one.file.account) for one in recognised}
        landed_as: dict[str, str] = {}
        days: dict[str, frozenset[date] | None] = {}
        for one in recognised:
            delivery = landing.land(one.fetched, source=one.source, account=one.file.account, now=self.now)
            landed_as[one.file.account] = delivery.delivery_id
            its_days = days[one.file.account] = _days_of(one.fetched)
            met = together.get(provider_of(one.source), one.file.account)
            if met != one.file.account and one.file.account not in left_out:
                landing.land(one.fetched, source=one.source, account=met, now=self.now)
                accounts.add((one.source, met))
                before = days.get(met, frozenset())
                days[met] = before | its_days if before is not None and its_days is not None else None
        landed = self._landed(landing)
        checked = [
            self._described(file, landed, landed_as[file.account]) if file.account in landed_as else file
            for file in files
        ]
        return Bills(
            files=tuple(checked),
            answers=self._answers(landed, accounts),
            together=together,
            days=days,
            notes=(*left_out.values(), *_two_exports(recognised), *same_lines(_by_month(checked, recognised))),
        )

    def _landed(self, landing: Landing) -> Landed:
        return read_landed(
            landing.contents(), datasets=_DATASETS, landing=landing, cache=self.folder / "cache", as_of=self.now + DAY
        )

    def _described(self, file: CheckedFile, landed: Landed, delivery_id: str) -> CheckedFile:
        """What is in a file: rows, days, whose account, which columns nothing reads; or why it could not be read."""
        quarantined = (item.reason for item in landed.quarantined if item.delivery.delivery_id == delivery_id)
        not_counted = (item.reason for item in landed.not_counted if item.delivery.delivery_id == delivery_id)
        tables = [table for parsed in landed.parsed[delivery_id].values() for table in parsed.tables.values()]
        parts = [part for table in tables for part in table.parts]
        # Of a file without a row nothing is left out.
        problem = next(quarantined, None) or (next(not_counted, None) if parts else None)
        if problem is not None:
            return replace(file, problem=problem)
        unknown, accounts = self._said(landed, file)
        return replace(
            file,
            rows=sum(part.rows for part in parts),
            from_date=min((part.usage_date for part in parts), default=None),
            last_date=max((part.usage_date for part in parts), default=None),
            own_accounts=accounts,
            unknown_columns=unknown,
        )

    def _said(self, landed: Landed, file: CheckedFile) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(columns that nothing reads, accounts as the export names them)."""
        unknown: set[str] = set()
        accounts: set[str] = set()
        named = _ACCOUNTS.get(str(file.source))
        dataset = _DATASETS_BY_NAME[str(file.source), str(file.dataset)]
        with _connected() as connection:
            for table in dataset.tables:
                relation = landed.relations[dataset.table_view(table)]
                connection.execute(f"create or replace view landed as {relation.sql(None)}")
                unknown |= _distinct(connection, _UNKNOWN_COLUMNS, file.account)
                if named is not None and table.name == named[0]:
                    accounts |= _distinct(connection, named[1], file.account)
        return tuple(sorted(unknown)), tuple(sorted(accounts))

    def _answers(self, landed: Landed, accounts: Iterable[tuple[str, str]]) -> dict[str, list[Row]]:
        accounts = sorted(accounts)
        sources = {source for source, _ in accounts}
        asked = {name: tables for name, (its, tables) in QUESTIONS.items() if its & sources}
        python_models = [model for model in PYTHON_MODELS if sources & _PYTHON_MODELS.get(model.name, frozenset())]
        wanted = [table for tables in asked.values() for table in tables]
        wanted += [table for model in python_models for table in model.inputs]
        runner = Runner(
            models=[*load_needed(models_root(), wanted), *python_models],
            relations=self._relations(landed, accounts),
            cache=self.folder / "cache",
        )
        built = runner.build()
        return {name: _ask(built, name, tables) for name, tables in asked.items()}

    def _relations(self, landed: Landed, accounts: Iterable[tuple[str, str]]) -> dict[str, Relation]:
        cache = self.folder / "cache"
        sources = tuple(SourceConfig(source=source, account=account) for source, account in accounts)
        config = Config(company="check", reporting_currency=REPORTING_CURRENCY, sources=sources)
        frames = config_frames([Version(self.now, config, date.min)], _DATASETS)
        return {
            **landed.relations,
            **{seed.name: seed for seed in load_seeds(models_root() / "seeds", cache=cache)},
            **{name: FrameRelation(name=name, frame=frame, folder=cache) for name, frame in frames.items()},
        }


def provider_of(source: str) -> str | None:
    """Whose API an export is of; None for one of another kind."""
    return source.partition("_")[0] if source in _API else None


def _met(recognised: Sequence[_Recognised]) -> tuple[dict[str | None, str], dict[str, str]]:
    """Provider -> the account under which its files meet; and the files that are kept out of it, with the reason.

    Two files of one dataset that speak for a day both would replace each other: they may be of two accounts.
    """
    together: dict[str | None, str] = {}
    left_out: dict[str, str] = {}
    for provider in _PROVIDERS:
        its = [one for one in recognised if provider_of(one.source) == provider]
        if its:
            together[provider] = its[0].file.account if len(its) == 1 else f"{_TOGETHER}-{provider}"
        kept: dict[tuple[str, str], list[_Recognised]] = {}
        for one in its:
            others = kept.setdefault((one.source, one.fetched.dataset), [])
            other = next((other for other in others if _overlap(one.fetched, other.fetched)), None)
            if other is None:
                others.append(one)
                continue
            left_out[one.file.account] = (
                f"{one.file.name} speaks for days that {other.file.name} speaks for too: another account's, or another "
                "copy. It is totalled by itself, and left out of what is said of all files together."
            )
    return together, left_out


def _two_exports(recognised: Sequence[_Recognised]) -> list[str]:
    """Where two exports of one bill meet, the book of record of each month is one of them."""
    said = []
    for provider in _PROVIDERS:
        billed = {
            one.source for one in recognised if provider_of(one.source) == provider and one.file.measure == "billed"
        }
        if len(billed) > 1:
            said.append(
                f"{' and '.join(sorted(billed))} are two exports of {provider}'s bill: of a month that both state only "
                "the API's counts in what is said of all files together."
            )
    return said


def _by_month(files: Sequence[CheckedFile], recognised: Sequence[_Recognised]) -> Mapping[str, list[tuple[str, bytes]]]:
    """Billing month -> the files of AWS's reports that are of it and can be read."""
    readable = {file.account for file in files if file.problem is None}
    months: dict[str, list[tuple[str, bytes]]] = {}
    for one in recognised:
        if one.source in _PERIOD_STARTS and one.file.account in readable:
            (payload,) = one.fetched.payloads
            months.setdefault(one.fetched.settings["billing_period"], []).append((one.file.name, payload.content))
    return months


def _overlap(one: Fetched, other: Fetched) -> bool:
    if one.from_at is None or one.to_at is None or other.from_at is None or other.to_at is None:
        return True
    return one.from_at < other.to_at and other.from_at < one.to_at


_UNKNOWN_COLUMNS = """
select distinct unnest(json_keys(other_columns)) from landed where account = ? and other_columns is not null
"""


def _distinct(connection: duckdb.DuckDBPyConnection, query: str, account: str) -> set[str]:
    return {str(value) for (value,) in connection.execute(query, [account]).fetchall() if value is not None}


def _ask(built: Built, question: str, tables: Sequence[str]) -> list[Row]:
    text = (sql_root() / "bills" / f"{question}.sql").read_text(encoding="utf-8")
    with _connected() as connection:
        for table in tables:
            connection.execute(f"create view {quoted(table)} as {built.nodes[table].sql(None)}")
        return pl.DataFrame(connection.sql(text)).to_dicts()


def _connected() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    return connection
