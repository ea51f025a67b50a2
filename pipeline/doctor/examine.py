"""The whole examination: what takes an answer from elsewhere is asked at once, the rest is looked at meanwhile."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from pipeline.build.closing_tables import closing_of
from pipeline.build.config_tables.versions import config_versions
from pipeline.build.snapshot import Snapshot
from pipeline.config.whole import Config
from pipeline.decisions.plausible import refuse_impossible
from pipeline.doctor import figures, landing, state
from pipeline.doctor.findings import Cost, Finding
from pipeline.doctor.inputs import input_findings
from pipeline.doctor.landing import LandingLook
from pipeline.doctor.side_by_side import Asked, NoAnswerError
from pipeline.doctor.slack import ask_slack, outlet_findings, slack_findings
from pipeline.doctor.sources import (
    AskedSource,
    access_findings,
    ask_source,
    days_findings,
    inbox_findings,
    quarantine_findings,
    with_stake,
)
from pipeline.formats.masking import masked
from pipeline.formats.writing import one_line
from pipeline.landing.project import Project
from pipeline.landing.shared import LostFileError
from pipeline.reports.closing import closed_in_words
from pipeline.reports.questions import Questions
from pipeline.sources.ingest import check_sources

_MOST_CHARACTERS = 400
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|WEBHOOK|CREDENTIAL", re.IGNORECASE)
_NO_SECRET = re.compile(r"(FILE|DIR|PATH|SOCK|STORE)$", re.IGNORECASE)
_SHORTEST_SECRET = 8

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class ToldBySnapshot:
    """What the current snapshot says of sources: rows of `source_days` and `invoices`, account -> what it cost."""

    days: Rows = ()
    invoices: Rows = ()
    spend: Mapping[str, Decimal | None] = field(default_factory=dict)


def examine(
    project: Project,
    *,
    now: datetime,
    environment: Mapping[str, str],
    seconds: float,
    offline: bool = False,
    full: bool = False,
) -> list[Finding]:
    """Every finding, in the order of areas. Writes nothing, sends nothing, and repeats no secret.

    `seconds`: how long answers from elsewhere are waited for, all of them together; with `full`, landing is read
    however long that takes. Raises ConfigError where breakeven.yaml cannot be so.
    """
    check_sources(project.config)
    refuse_impossible(project.config)
    with _aside(project) as aside:
        return _examined(
            project, now=now, environment=environment, seconds=seconds, offline=offline, full=full, aside=aside
        )


@contextmanager
def _aside(project: Project) -> Iterator[Path | None]:
    """A folder for what has to be fetched; None where nothing may have to be, for then no room is needed."""
    if project.shared is None:
        yield None
        return
    # What is still being fetched when nobody waits for it any more may write there while it is taken away.
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _examined(
    project: Project,
    *,
    now: datetime,
    environment: Mapping[str, str],
    seconds: float,
    offline: bool,
    full: bool,
    aside: Path | None,
) -> list[Finding]:
    config = project.config
    until = time.monotonic() + seconds
    answer_within = None if offline else seconds
    sources = [
        ask_source(project, configured, now=now, environment=environment, seconds=answer_within)
        for configured in config.sources
    ]
    asked_slack = ask_slack(config.slack, environment=environment, seconds=answer_within)
    is_out_of_reach = offline and config.state.startswith("s3://")
    looking = None if is_out_of_reach else Asked(partial(landing.look_at_landing, project, now=now, full=full))

    snapshot, of_snapshot = state.look_at_snapshot(project, now=now, aside=aside, offline=offline)
    look, of_landing = _landing(looking, sources, until=None if full else until, seconds=seconds)
    of_figures, told_by = _of_snapshot(project, snapshot, look, until=until, seconds=seconds)
    of_sources = [
        found
        for asked in sources
        for found in _of_source(asked, project, look, told_by, snapshot, now=now, until=until, seconds=seconds)
    ]
    of_state = [
        *of_snapshot,
        *(state.built_findings(snapshot, look) if snapshot is not None and look is not None else ()),
        *(state.published_findings(project, snapshot) if snapshot is not None else ()),
        *state.disk_findings(project),
        *state.dagster_findings(project),
    ]
    contents = look.contents if look is not None else None
    of_slack = slack_findings(config.slack, asked_slack, contents, environment=environment, until=until, now=now)
    of_slack += outlet_findings(config, environment=environment)
    secrets = secrets_of(config, environment)
    every = (*of_sources, *of_landing, *of_state, *of_slack, *of_figures, *_closed(look, now=now))
    return [told(found, secrets) for found in every]


def _closed(look: LandingLook | None, *, now: datetime) -> list[Finding]:
    """Up to when months are closed, where somebody closes them."""
    said = None if look is None else closed_in_words(closing_of(look.contents.as_of(now).events), now=now)
    return [] if said is None else [Finding(figures.AREA, "months", "close", "ok", said)]


def _landing(
    looking: Asked[LandingLook] | None, sources: Iterable[AskedSource], *, until: float | None, seconds: float
) -> tuple[LandingLook | None, list[Finding]]:
    if looking is None:
        return None, [Finding(landing.AREA, "landing", "objects", "skipped", "on S3: not looked at")]
    try:
        look = looking.answer(until=until)
    except NoAnswerError:
        said = f"landing could not be looked through within {seconds:g} s"
        fix = "Try again with a longer --timeout"
        return None, [Finding(landing.AREA, "landing", "objects", "fix", said, fix=fix, cost=Cost.NOTHING_CAN_LAND)]
    except Exception as error:
        # It comes from a thread of its own and may be anything; without landing there is still much to say.
        return None, landing.no_landing(error)
    configured = [(asked.configured.source, asked.configured.account) for asked in sources]
    return look, [*landing.landing_findings(look, configured=configured), *landing.config_findings(look)]


def _of_snapshot(
    project: Project, snapshot: Snapshot | None, look: LandingLook | None, *, until: float, seconds: float
) -> tuple[list[Finding], ToldBySnapshot]:
    """Laws and what maps to nothing, and what it says of sources."""
    if snapshot is None:
        return [], ToldBySnapshot()
    if all(node.shared is None for node in snapshot.nodes.values()):
        return _read(project, snapshot, look)
    try:
        return Asked(partial(_read, project, snapshot, look)).answer(until=until)
    except NoAnswerError:
        said = f"what lies on S3 of the snapshot could not be read within {seconds:g} s"
        slow = Finding(
            state.AREA, "snapshot", "snapshot", "fix", said, fix="Try again with a longer --timeout",
            cost=Cost.FIGURES_OLD,
        )  # fmt: skip
        return [slow], ToldBySnapshot()
    except LostFileError as error:
        return [state.lost_files(str(error))], ToldBySnapshot()


def _read(project: Project, snapshot: Snapshot, look: LandingLook | None) -> tuple[list[Finding], ToldBySnapshot]:
    days: dict[str, Any] = {
        "from_date": snapshot.as_of.date() - timedelta(days=figures.DAYS),
        "to_date": snapshot.as_of.date(),
    }
    config = _config_of(project, snapshot, look)
    is_config_landed = look is not None and look.is_config_landed
    try:
        with Questions(snapshot) as questions:
            told_by = ToldBySnapshot(
                days=questions.ask("source_days").to_dicts(),
                invoices=questions.ask("invoices").to_dicts(),
                spend={row["account"]: row["cost_rc"] for row in questions.ask("account_spend", **days).to_dicts()},
            )
            mapping = [
                *input_findings(questions, config, **days),
                *figures.mapping_findings(questions, config, is_config_landed=is_config_landed, **days),
                *figures.engine_findings(questions, config, **days),
                *figures.budget_findings(questions, to_date=days["to_date"]),
                *figures.block_findings(questions, config, to_date=days["to_date"]),
                *figures.prepaid_findings(questions, **days),
            ]
        return [*figures.law_findings(snapshot), *mapping], told_by
    except duckdb.Error as error:
        said = f"the snapshot's tables cannot be read ({type(error).__name__})"
        damaged = Finding(
            state.AREA, "snapshot", "snapshot", "fix", said, fix="breakeven rebuild", cost=Cost.FIGURES_OLD
        )
        return [damaged], ToldBySnapshot()


def _config_of(project: Project, snapshot: Snapshot, look: LandingLook | None) -> Config:
    """The configuration that the snapshot was built with; without landing, what stands in breakeven.yaml now."""
    versions = config_versions(look.contents.as_of(snapshot.as_of).events) if look is not None else []
    return versions[-1].config if versions else project.config


def _of_source(
    asked: AskedSource,
    project: Project,
    look: LandingLook | None,
    told_by: ToldBySnapshot,
    snapshot: Snapshot | None,
    *,
    now: datetime,
    until: float,
    seconds: float,
) -> list[Finding]:
    holds_money = any(dataset.measure in ("billed", "effective") for dataset in asked.source.datasets)
    at_stake_rc = told_by.spend.get(asked.configured.account) if holds_money else None
    contents = look.contents if look is not None else None
    findings = [
        *access_findings(asked, until=until, seconds=seconds),
        *inbox_findings(asked, project, contents, until=until, seconds=seconds),
        *_days(asked, told_by, snapshot, now=now),
        *(quarantine_findings(asked, look.quarantined) if look is not None else ()),
    ]
    return with_stake(findings, at_stake_rc)


def _days(asked: AskedSource, told_by: ToldBySnapshot, snapshot: Snapshot | None, *, now: datetime) -> list[Finding]:
    if snapshot is None:
        return []
    is_old = state.is_old(snapshot, now=now)
    return days_findings(asked, told_by.days, told_by.invoices, as_of=snapshot.as_of, is_old=is_old)


def secrets_of(config: Config, environment: Mapping[str, str]) -> list[str]:
    """What must not be repeated: variables that breakeven.yaml names, and those whose name says they are secret."""
    named = {source.key_env for source in config.sources} | {outlet.url_env for outlet in config.outlets}
    named |= {config.slack.token_env, config.slack.webhook_env, config.mail.password_env if config.mail else None}
    return [
        value.strip()
        for name, value in environment.items()
        if len(value.strip()) >= _SHORTEST_SECRET
        and (name in named or (_SECRET.search(name) is not None and _NO_SECRET.search(name) is None))
    ]


def told(found: Finding, secrets: Sequence[str]) -> Finding:
    """A finding as it may be shown: on one line, bounded, nothing in it that steers a terminal, and no secret."""
    return replace(
        found,
        said=_inert(found.said, secrets),
        fix=_inert(found.fix, secrets),
        line=_inert(found.line, secrets),
    )


def _inert(text: str, secrets: Sequence[str]) -> str:
    line = one_line(masked(text, secrets))
    return line if len(line) <= _MOST_CHARACTERS else f"{line[: _MOST_CHARACTERS - 1]}…"
