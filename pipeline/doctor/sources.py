"""Each source: can it be reached, is it permitted, how far back and how late is it, what waits in its inbox."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from pipeline.config.sources import SourceConfig
from pipeline.decisions.quarantine import QuarantineEntry
from pipeline.doctor.findings import Cost, Finding
from pipeline.doctor.side_by_side import Asked, NoAnswerError
from pipeline.errors import BreakevenError, ConfigError
from pipeline.landing.landing import Contents
from pipeline.landing.project import Project
from pipeline.reports.figures import counted
from pipeline.sources import source_named
from pipeline.sources.inbox import Waiting, not_looked_into, waiting_files
from pipeline.sources.ingest import context_for_probe, is_fetched, not_landed
from pipeline.sources.source import Probe, Probed, Source

_AREA = "sources"
_FINE = ("allowed", "throttled", "not_asked")
_MOST_DAYS_NAMED = 3


@dataclass(frozen=True)
class Inbox:
    """What lies in an inbox, and which links there lead out of it."""

    files: tuple[Waiting, ...]
    links: tuple[str, ...]


@dataclass(frozen=True)
class AskedSource:
    """One configured source, its questions under way. `datasets`: those that are asked for; None: what comes, comes."""

    configured: SourceConfig
    source: Source
    probes: tuple[tuple[str, Asked[Probed]], ...] = ()
    inbox: Asked[Inbox] | None = None
    problem: BreakevenError | None = None

    @property
    def name(self) -> str:
        return f"{self.configured.source} of {self.configured.account}"

    @property
    def is_skipped(self) -> bool:
        """An inbox that is on S3, and nobody may ask."""
        return self.configured.inbox is not None and self.inbox is None

    def found(self, check: str, state: Any, said: str, **more: Any) -> Finding:
        """A finding about this source."""
        about = {"source": self.configured.source, "account": self.configured.account}
        return Finding(_AREA, self.name, check, state, said, **{**about, **more})


def ask_source(
    project: Project,
    configured: SourceConfig,
    *,
    now: datetime,
    environment: Mapping[str, str],
    seconds: float | None,
) -> AskedSource:
    """Begin to ask one source, each dataset by itself. `seconds`: how long an answer may take; None: stay offline."""
    source = source_named(configured.source)
    assert source is not None, "checked before anything is asked"
    probes: Sequence[Probe] = ()
    problem: BreakevenError | None = None
    if source.probe is not None and is_fetched(configured, source):
        try:
            probes = source.probe(context_for_probe(project, configured, now=now, environment=environment))
        except BreakevenError as error:
            problem = error
    inbox = None
    if configured.inbox is not None and (seconds is not None or not configured.inbox.startswith("s3://")):
        inbox = Asked(partial(_look_into, project, configured))
    return AskedSource(
        configured=configured,
        source=source,
        probes=tuple((probe.dataset, Asked(partial(probe.ask, seconds))) for probe in probes),
        inbox=inbox,
        problem=problem,
    )


def _look_into(project: Project, configured: SourceConfig) -> Inbox:
    if not str(configured.inbox).startswith("s3://"):
        folder = project.folder / str(configured.inbox)
        if folder.is_dir():
            # Raises where it may not be listed; walking it would pass over that in silence.
            with os.scandir(folder) as entries:
                next(entries, None)
    files = tuple(waiting_files(project, configured))
    return Inbox(files, tuple(not_looked_into(project, configured)))


def access_findings(asked: AskedSource, *, until: float, seconds: float) -> list[Finding]:
    """What the probes showed, a finding a dataset; what gave no answer in time says that."""
    if asked.problem is not None:
        return [_access(asked, None, _of_error(asked.problem))]
    return [_access(asked, dataset, _answer(probe, until=until, seconds=seconds)) for dataset, probe in asked.probes]


def _answer(probe: Asked[Probed], *, until: float, seconds: float) -> Probed:
    try:
        return probe.answer(until=until)
    except NoAnswerError:
        return Probed("unreachable", f"no answer within {seconds:g} s", "Try again with a longer --timeout")
    except BreakevenError as error:
        return _of_error(error)
    except Exception as error:
        # Whatever a client makes of a hostile answer stops no other source. Its text may hold anything.
        return Probed("odd", f"asking failed ({type(error).__name__})", "Report it with that name")


def _of_error(error: BreakevenError) -> Probed:
    if isinstance(error, ConfigError):
        return Probed("misconfigured", f"breakeven.yaml: {error.key} is {error.value!r}", error.fix)
    return Probed("odd", str(error))


def _access(asked: AskedSource, dataset: str | None, probed: Probed) -> Finding:
    state = {"allowed": "ok", "throttled": "note", "not_asked": "skipped"}.get(probed.access, "fix")
    cost = Cost.NOTHING if probed.access in _FINE else Cost.SOURCE_GIVES_NOTHING
    return asked.found("access", state, probed.said, fix=probed.fix, cost=cost, dataset=dataset)


def inbox_findings(
    asked: AskedSource, project: Project, contents: Contents | None, *, until: float, seconds: float
) -> list[Finding]:
    """What lies in the inbox and has not landed. `contents` is None where landing could not be read."""
    where = asked.configured.inbox
    if asked.is_skipped:
        return [asked.found("inbox", "skipped", f"{where}: not asked")]
    if asked.inbox is None:
        return []
    nothing: Any = {"cost": Cost.SOURCE_GIVES_NOTHING}
    try:
        inbox = asked.inbox.answer(until=until)
    except NoAnswerError:
        said = f"{where} is not listed within {seconds:g} s"
        return [asked.found("inbox", "fix", said, fix="Try again with a longer --timeout", **nothing)]
    except BreakevenError as error:
        probed = _of_error(error)
        return [asked.found("inbox", "fix", probed.said, fix=probed.fix, **nothing)]
    except OSError as error:
        fix = "Let the user that runs breakeven read it"
        return [asked.found("inbox", "fix", f"{where} cannot be read: {error.strerror}", fix=fix, **nothing)]
    links = [
        asked.found(
            "inbox",
            "fix",
            f"{where}: {link}",
            fix="Copy what it leads to, or take it away",
            cost=Cost.FILES_NOT_COUNTED,
        )
        for link in inbox.links
    ]
    return [*links, _of_files(asked, inbox, project, contents)]


def _of_files(asked: AskedSource, inbox: Inbox, project: Project, contents: Contents | None) -> Finding:
    files = counted(len(inbox.files), "file")
    if contents is None:
        return asked.found("inbox", "skipped", f"{files} in the inbox; what of them has landed is not known")
    waiting = not_landed(project, asked.configured, inbox.files, contents)
    if waiting:
        said = f"{len(waiting):,} of {files} in the inbox not landed yet"
        return asked.found("inbox", "note", said, fix="breakeven run", cost=Cost.NOT_RUN_YET)
    if not inbox.files:
        return asked.found("inbox", "ok", "the inbox is empty")
    return asked.found("inbox", "ok", f"{files} in the inbox, all landed")


def days_findings(
    asked: AskedSource,
    rows: Sequence[Mapping[str, Any]],
    invoices: Sequence[Mapping[str, Any]],
    *,
    as_of: datetime,
    is_old: bool,
) -> list[Finding]:
    """How far back and how late each dataset is, as of the build (`is_old`: nobody has built for days).

    `rows`, `invoices`: of the questions `source_days` and `invoices`; an invoice comes when it comes: never late.
    """
    if any(dataset.bucket == "invoice" for dataset in asked.source.datasets):
        return [_last_invoice(asked, row) for row in invoices if _is_of(asked.configured, row)]
    mine = {row["dataset"]: row for row in rows if _is_of(asked.configured, row)}
    delivered = [name for name, row in mine.items() if row["last_usage_date"] is not None]
    expected = [dataset for dataset, _ in asked.probes]
    if not delivered:
        return [asked.found("days", "note", "nothing has come yet")]
    findings = [
        asked.found("days", "note", "nothing has come yet", dataset=name) for name in expected if name not in delivered
    ]
    for dataset in asked.source.datasets:
        if dataset.name in delivered:
            row = mine[dataset.name]
            lag = asked.configured.settle_lag_hours
            settle_lag = dataset.settle_lag if lag is None else timedelta(hours=lag)
            findings += [*_reach(asked, row), *_late(asked, row, as_of, settle_lag, is_old), *_blocked(asked, row)]
    return findings


def _last_invoice(asked: AskedSource, row: Mapping[str, Any]) -> Finding:
    count, end = row["invoice_count"], row["period_end_date"]
    if not count:
        return asked.found("days", "note", "no invoice has come yet")
    said = f"{counted(count, 'invoice')}, the last one {row['last_invoice_id']}"
    if end is None:
        return asked.found("days", "ok", said)
    last = end - timedelta(days=1)
    return asked.found("days", "ok", f"{said}, up to {last}", to_date=last)


def _is_of(configured: SourceConfig, row: Mapping[str, Any]) -> bool:
    return (row["source"], row["account"]) == (configured.source, configured.account)


def _reach(asked: AskedSource, row: Mapping[str, Any]) -> list[Finding]:
    first, last, horizon = row["first_usage_date"], row["last_usage_date"], asked.configured.horizon
    covers: Any = {"dataset": row["dataset"], "from_date": first, "to_date": last}
    if horizon is None or first <= horizon:
        return [asked.found("days", "ok", f"{first} to {last}", **covers)]
    fix = (
        "If the provider still has them: breakeven ui, its landing asset, Materialize those days; else move `horizon`"
        if is_fetched(asked.configured, asked.source)
        else "Drop the exports of those days, or move `horizon`"
    )
    missing = counted((first - horizon).days, "day")
    said = f"{first} to {last}; {missing} short of its horizon {horizon}"
    return [asked.found("days", "note", said, fix=fix, cost=Cost.REACHES_LESS_FAR, **covers)]


def last_day_due(as_of: datetime, settle_lag: timedelta) -> date:
    """The last UTC day that ended at least the settle lag ago."""
    return (as_of - settle_lag).date() - timedelta(days=1)


def _late(
    asked: AskedSource, row: Mapping[str, Any], as_of: datetime, settle_lag: timedelta, is_old: bool
) -> list[Finding]:
    due = last_day_due(as_of, settle_lag)
    about: Any = {"dataset": row["dataset"]}
    late = late_days(row, due)
    if not late:
        said = "on time when last built" if is_old else "on time"
        return [asked.found("late", "ok", said, late_days_count=0, **about)]
    hours = f"{settle_lag.total_seconds() / 3600:g} h"
    said = f"{counted(len(late), 'day')} late: {_named(late)} (settled {hours} after a day's end)"
    if not row["is_waited_for"]:
        said = f"silent since {late[0]}, {counted(len(late), 'day')}"
    state = "note" if row["role"] == "control" else "fix"
    fix = (
        "breakeven run, and read what it says of this source"
        if is_fetched(asked.configured, asked.source)
        else f"See that exports still reach {asked.configured.inbox}, then: breakeven run"
    )
    return [asked.found("late", state, said, fix=fix, cost=Cost.SOURCE_IS_LATE, late_days_count=len(late), **about)]


def late_days(row: Mapping[str, Any], due: date) -> list[date]:
    """Days that should be settled and are not; of what settles no days (cloud bills, rates), the days without any."""
    if row["is_waited_for"]:
        return [day for day in row["unsettled_dates"] or () if day <= due]
    since = row["silent_since_date"]
    if since is None or since > due:
        return []
    return [since + timedelta(days=number) for number in range((due - since).days + 1)]


def _named(days: Sequence[date]) -> str:
    """`2026-11-01, 2026-11-02`, and of many the first, the last and no more."""
    if len(days) <= _MOST_DAYS_NAMED:
        return ", ".join(map(str, days))
    is_a_run = (days[-1] - days[0]).days + 1 == len(days)
    return f"{days[0]} to {days[-1]}" if is_a_run else f"{days[0]} ... {days[-1]}, with gaps"


def _blocked(asked: AskedSource, row: Mapping[str, Any]) -> list[Finding]:
    days = row["blocked_dates"] or []
    if not days:
        return []
    bucket = f"{row['source']}/{row['account']}/{row['dataset']}/{days[0]}"
    return [
        asked.found(
            "blocked", "fix", f"had money and now has none: {_named(days)}", dataset=row["dataset"],
            fix=f'If that is right: breakeven accept {bucket} --why "..."', cost=Cost.FILES_NOT_COUNTED,
        )
    ]  # fmt: skip


def quarantine_findings(asked: AskedSource, entries: Sequence[QuarantineEntry]) -> list[Finding]:
    """Each file of this source that is kept and not counted."""
    return [
        asked.found(
            "quarantine",
            "fix",
            f"in quarantine: {entry.name} ({entry.sha256[:12]}): {entry.reason}",
            fix="infra/RUNBOOK.md, Quarantine, says what to do for that reason",
            cost=Cost.FILES_NOT_COUNTED,
        )
        for entry in entries
        if (entry.source, entry.account) == (asked.configured.source, asked.configured.account)
    ]


def with_stake(findings: Sequence[Finding], at_stake_rc: Decimal | None) -> list[Finding]:
    """The same, each with the money that depends on it where it needs somebody."""
    return [replace(found, at_stake_rc=at_stake_rc) if found.state == "fix" else found for found in findings]
