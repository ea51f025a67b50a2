"""`alerts/slack`: one case at a time, said once. What is not settled or not proven is not said."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from pipeline.alerts.anomaly_findings import anomaly_findings, anomaly_subject
from pipeline.alerts.case import AlertRow, Case, VerdictRow, first_day_to_say, subject_of
from pipeline.alerts.finding import Finding
from pipeline.alerts.findings import (
    WINDOW_DAYS,
    Row,
    budget_findings,
    dispute_findings,
    ended_findings,
    month_before,
    overspend_subject,
    restated_findings,
    runway_findings,
    runway_subject,
    source_findings,
    waste_findings,
    waste_subject,
)
from pipeline.alerts.manners import QuietHours
from pipeline.alerts.outbox import Outbox, Outcome
from pipeline.alerts.outlets import outlet_of
from pipeline.alerts.rehearsal import Rehearsal, rehearse
from pipeline.alerts.sending import AlertError, Outlet, Picture
from pipeline.alerts.shadow import speaking
from pipeline.alerts.slack import app_token_of, outlet_from_config
from pipeline.alerts.spend_guard import guard_findings
from pipeline.alerts.text import inert, money
from pipeline.alerts.told import EventLike
from pipeline.alerts.view import OutletEvents
from pipeline.assets.markdown import plain_text
from pipeline.assets.resources import ProjectResource, clock_of
from pipeline.build.snapshot import Snapshot
from pipeline.config.whole import Config
from pipeline.decisions.check_results import check_results
from pipeline.decisions.graph import config_of, current_snapshot
from pipeline.doctor.sources import last_day_due, late_days
from pipeline.economics.worth_saying import Floor
from pipeline.landing.project import Project
from pipeline.landing.times import DAY
from pipeline.reports.case_pictures import anomaly_picture, budget_picture, runway_picture, waste_picture
from pipeline.reports.curves import Drawing, curves_of
from pipeline.reports.figures import counted
from pipeline.reports.proof import Proof
from pipeline.reports.questions import Questions
from pipeline.sources import SOURCES, prepaid_balance, prepaid_csv

# So that it is 1,200 pixels and more wide: a phone shows it at its own width.
_PICTURE_SCALE = 3
# What has settled nothing for longer than this is told as late; waste is then read off fewer days.
_MOST_DAYS_UNSETTLED = 31


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What there is to say beside verdicts: the rows of which it is made, and whose what is.

    declared: subjects of what breakeven.yaml has now.
    """

    waste: Sequence[Row]
    prepaid: Sequence[Row]
    anomalies: Sequence[Row]
    budgets: Sequence[Row]
    sources: Sequence[Row]
    restated: Sequence[Row]
    teams: Mapping[str | None, str | None]
    owners: Mapping[tuple[str, str], str | None]
    ranked: Mapping[str, Sequence[str]]
    declared: Collection[str]
    guard: "Guard | None"
    floor: Floor
    currency: str

    def with_history(self, day: date) -> list[Finding]:
        """Of what the tables say day by day, what was so on this day, by what is known now."""
        waste = waste_findings(self.waste, day=day, floor=self.floor, currency=self.currency, teams=self.teams)
        unusual = anomaly_findings(self.anomalies, day=day, floor=self.floor, currency=self.currency, teams=self.teams)
        return [*self._of_declared([*waste, *runway_findings(self.prepaid, day=day)]), *unusual]

    def _of_declared(self, found: Sequence[Finding]) -> list[Finding]:
        """What rows of four weeks say of what breakeven.yaml has no more is asked of nobody."""
        return [finding for finding in found if finding.subject in self.declared]

    def of_today(self, day: date) -> list[Finding]:
        """All of it. `day`: the last one that is over."""
        return [
            *self.with_history(day),
            *budget_findings(self.budgets, day=day, floor=self.floor, currency=self.currency),
            *source_findings(self.sources, day=day, owners=self.owners),
            *restated_findings(self.restated, day=day),
        ]


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What the hourly guard reads, and its rule: money an hour in the reporting currency."""

    hours: Sequence[Row]
    days: Sequence[Row]
    multiple: Fraction
    floor: Fraction

    def findings(self, events: Sequence[EventLike], *, currency: str) -> list[Finding]:
        return guard_findings(
            self.hours, self.days, events, multiple=self.multiple, floor=self.floor, currency=currency
        )


@dataclass(frozen=True, kw_only=True)
class Sayable:
    """What of a snapshot may be said: nothing that a broken law, or declared quality, speaks against."""

    verdicts: Sequence[VerdictRow]
    alerts: Sequence[AlertRow]
    findings: Findings


def floor_of(config: Config) -> Floor:
    """What is worth a message."""
    return Floor(absolute=config.slack.floor.absolute, share=config.slack.floor.share)


def quiet_hours_of(config: Config) -> QuietHours | None:
    """When nothing is posted but what stops a service."""
    said = config.slack.quiet_hours
    if said is None:
        return None
    zone = ZoneInfo(said.time_zone)
    return QuietHours(from_minute=said.from_minute, to_minute=said.to_minute, zone=zone, weekends=said.weekends)


def _findings(questions: Questions, proof: Proof, config: Config, *, as_of: datetime, from_date: date) -> Findings:
    today = as_of.date()
    every_law = proof.of_time()
    prepaid = questions.ask("alert_prepaid").to_dicts()
    waste = questions.ask("alert_waste", from_date=from_date).to_dicts()
    unusual = questions.ask("anomalies", from_date=from_date, to_date=today).to_dicts()
    refused = [row for row in unusual if _laws_about(row, proof)]
    return Findings(
        waste=[row for row in waste if not proof.of_time(deployment_id=row["deployment_id"])],
        prepaid=[row for row in prepaid if not proof.of_money(account=row["account"])],
        budgets=(
            [] if every_law else questions.ask("budgets", from_date=month_before(today - DAY), to_date=today).to_dicts()
        ),
        sources=_late(questions.ask("source_days").to_dicts(), config, as_of),
        restated=questions.ask("alert_restated").to_dicts(),
        teams=_team_of_each_deployment(config),
        owners={(source.source, source.account): source.owner for source in config.sources},
        anomalies=[row for row in unusual if row not in refused],
        declared={
            *_declared(config, waste=waste, prepaid=prepaid),
            *(anomaly_subject(row) for row in refused),
        },
        guard=_guard(questions, config, today),
        ranked=_ranked(questions.ask("advice", to_date=today).to_dicts(), currency=config.reporting_currency),
        floor=floor_of(config),
        currency=config.reporting_currency,
    )


def _ranked(rows: Sequence[Row], *, currency: str) -> dict[str, list[str]]:
    """Per deployment what `breakeven advice` says of it, by what each saves."""
    saving = [row for row in rows if row["saving_rc_per_month"] is not None and row["deployment_id"] is not None]
    ranked: dict[str, list[str]] = {}
    for row in sorted(
        saving, key=lambda row: (-row["saving_rc_per_month"], row["order_number"], row["workload"] or "")
    ):
        count = row["replica_count"]
        what = row["workload"] if row["workload"] is not None else counted(count, "replica")
        text = f"{row['advice']} {inert(what, 80)}: {money(row['saving_rc_per_month'], currency)} a month"
        ranked.setdefault(row["deployment_id"], []).append(text)
    return ranked


def _guard(questions: Questions, config: Config, today: date) -> Guard | None:
    said = config.spend_guard
    if said is None:
        return None
    period: dict[str, Any] = {"from_date": today - timedelta(days=7 * 4 + 2), "to_date": today + DAY}
    return Guard(
        hours=questions.ask("spend_guard_hours", **period).to_dicts(),
        days=questions.ask("spend_guard_days", **period).to_dicts(),
        multiple=Fraction(said.multiple),
        floor=Fraction(said.floor),
    )


def _laws_about(row: Row, proof: Proof) -> tuple[str, ...]:
    """The broken laws that speak against a row of fct_anomalies_daily."""
    if row["lane"] == "gpu":
        return proof.of_time(deployment_id=row["deployment_id"])
    return proof.of_money(account=row["account"]) if row["lane"] == "api" else proof.of_time()


def _declared(config: Config, *, waste: Sequence[Row], prepaid: Sequence[Row]) -> set[str]:
    """Subjects of which there may be something to say: what is declared, and GPUs of no deployment while there are any.

    A budget's is its scope and name, whatever the month.
    """
    balances = (prepaid_csv.NAME, prepaid_balance.NAME)
    prepaid_accounts = {source.account for source in config.sources if source.source in balances}
    return {
        *(waste_subject(one.deployment) for one in config.deployments),
        *(waste_subject(None) for row in waste if row["deployment_id"] is None),
        *(f"source:{one.source}/{one.account}" for one in config.sources),
        *(runway_subject(row) for row in prepaid if row["account"] in prepaid_accounts),
        *("/".join(filter(None, one.scope)) for one in config.budgets),
        *(subject_of(one.workload) for one in config.workloads),
    }


def _team_of_each_deployment(config: Config) -> dict[str | None, str | None]:
    """The team of its workloads, where they are of one."""
    teams: dict[str, set[str | None]] = {}
    for workload in config.workloads:
        if workload.deployment is not None:
            teams.setdefault(workload.deployment, set()).add(workload.team)
    return {name: next(iter(found)) for name, found in teams.items() if len(found) == 1}


def _late(rows: Sequence[Row], config: Config, as_of: datetime) -> list[Row]:
    """Of each dataset that is configured and no control, the days that should be settled by now and are not."""
    lags = {
        (source.source, source.account): source.settle_lag_hours for source in config.sources if source.role == "book"
    }
    datasets = {(dataset.source, dataset.name): dataset for source in SOURCES for dataset in source.datasets}
    found: list[Row] = []
    for row in rows:
        dataset = datasets.get((row["source"], row["dataset"]))
        if dataset is None or dataset.bucket == "invoice" or (row["source"], row["account"]) not in lags:
            continue
        lag = lags[row["source"], row["account"]]
        settle_lag = dataset.settle_lag if lag is None else timedelta(hours=lag)
        found.append({**row, "late_dates": late_days(row, last_day_due(as_of, settle_lag))})
    return found


def sayable(snapshot: Snapshot, config: Config, *, from_date: date | None = None) -> Sayable:
    """Verdicts from `from_date` on; without it, those that can still be announced or edit a post.

    A workload that draws on anything whose law is broken stays unsaid; the others do not. So does one whose verdict
    turns, or cannot be decided, with what is declared of its quality; and every other sum that a broken law refuses.
    """
    today = snapshot.as_of.date()
    with Questions(snapshot) as questions:
        feeds = questions.ask("scope_feeds", from_date=date.min, to_date=date.max).to_dicts()
        proof = Proof.of(check_results(snapshot), feeds)
        states = questions.ask("alert_rows").to_dicts()
        held = set(questions.ask("held_by_quality")["workload"])
    alerts = [AlertRow.from_row(row) for row in states]
    with Questions(snapshot, from_date=from_date or first_day_to_say(alerts) or date.max) as questions:
        verdicts = questions.ask("verdict_rows").to_dicts()
    # A year of most tables is a file a day: what is asked here has its answer in the last weeks.
    since = (from_date or today) - timedelta(days=WINDOW_DAYS + _MOST_DAYS_UNSETTLED)
    with Questions(snapshot, from_date=since) as questions:
        findings = _findings(questions, proof, config, as_of=snapshot.as_of, from_date=since)
    deployments = {row["workload"]: row["deployment_id"] for row in verdicts}
    proven = {
        workload
        for workload, deployment_id in deployments.items()
        if workload not in held and not proof.of_workload(workload, deployment_id=deployment_id)
    }
    return Sayable(
        verdicts=[VerdictRow.from_row(row) for row in verdicts if row["workload"] in proven],
        alerts=[row for row in alerts if row.workload in proven],
        findings=findings,
    )


def rehearsal(project: Project, snapshot: Snapshot, *, days: int) -> Rehearsal:
    """What the last days of the snapshot that are over would have had posted.

    Of budgets, sources and restated months the tables say what is so now: they are told on the last day.
    """
    config = config_of(project, snapshot)
    last_day = snapshot.as_of.date() - timedelta(days=1)
    first_day = last_day - timedelta(days=days - 1)
    said = sayable(snapshot, config, from_date=first_day)
    return rehearse(
        verdicts=said.verdicts,
        alerts=said.alerts,
        first_day=first_day,
        last_day=last_day,
        company=project.config.company,
        currency=config.reporting_currency,
        findings=lambda day: said.findings.of_today(day) if day == last_day else said.findings.with_history(day),
        floor=floor_of(config),
        posts_per_week=project.config.slack.posts_per_week,
        channels=project.config.slack.teams,
    )


def announce(
    project: Project,
    snapshot: Snapshot,
    *,
    clock: Callable[[], datetime],
    environment: Mapping[str, str],
    sleep: Callable[[float], None],
) -> list[Outcome]:
    """Say what changed, once; to nobody but the terminal until somebody has enabled it. clock: the time, each time."""
    config = config_of(project, snapshot)
    said = sayable(snapshot, config)
    outlet = outlet_from_config(project.config.slack, environment=environment)
    others, unusable = _others(project.config, environment=environment, now=clock())
    is_set = outlet is not None or bool(others)
    is_shadow = is_set and not speaking(project.landing.events()).is_enabled
    common: dict[str, Any] = {
        "clock": clock,
        "sleep": sleep,
        "company": project.config.company,
        "currency": config.reporting_currency,
        "snapshot_id": snapshot.snapshot_id,
        "floor": floor_of(config),
        "posts_per_week": project.config.slack.posts_per_week,
        "quiet": quiet_hours_of(project.config),
    }
    outcomes: list[Outcome] = []
    if outlet is not None or is_shadow or not others:
        view = OutletEvents(project.landing, name=None)
        outbox = Outbox(
            events=view,
            outlet=None if is_shadow else outlet,
            on_uncertain=project.config.slack.on_uncertain,
            has_buttons=app_token_of(project.config.slack, environment=environment) is not None,
            why_printed="Not enabled (`breakeven alerts enable`)" if is_shadow else "No Slack token",
            channels=project.config.slack.teams,
            pictures=lambda case: pictures_of(case, snapshot, config, said.findings),
            **common,
        )
        outcomes += _announce(said, outbox, view, as_of=snapshot.as_of)
    for name, other in () if is_shadow else others.items():
        declared = next(one for one in project.config.outlets if one.name == name)
        view = OutletEvents(project.landing, name=name)
        outbox = Outbox(events=view, outlet=other, on_uncertain=declared.on_uncertain, **common)
        of_teams = None if not declared.only_teams else frozenset(declared.only_teams)
        told = _announce(said, outbox, view, as_of=snapshot.as_of, of_teams=of_teams)
        outcomes += [replace(one, detail=f"To {name}: {one.detail}") for one in told]
    if unusable is not None:
        raise unusable
    return outcomes


def _others(
    config: Config, *, environment: Mapping[str, str], now: datetime
) -> tuple[dict[str, Outlet], AlertError | None]:
    """The outlets beside Slack that can be used, by name, and why one cannot, which ends the run once the others are
    told. One whose variable is not set is doctor's to tell.
    """
    found: dict[str, Outlet] = {}
    unusable: AlertError | None = None
    for declared in config.outlets:
        try:
            outlet = outlet_of(declared, config.mail, environment=environment, now=lambda: now)
        except AlertError as error:
            unusable = error
            continue
        if outlet is not None:
            found[declared.name] = outlet
    return found, unusable


def _announce(
    said: Sayable,
    outbox: Outbox,
    events: OutletEvents,
    *,
    as_of: datetime,
    of_teams: frozenset[str] | None = None,
) -> list[Outcome]:
    """What there is to say, to one outlet. of_teams: to nobody else; None is everybody."""
    day, told = as_of.date() - DAY, events.events()
    findings = [*said.findings.of_today(day), *dispute_findings(told)]
    if said.findings.guard is not None:
        findings += said.findings.guard.findings(told, currency=said.findings.currency)
    known, declared = {finding.subject for finding in findings}, said.findings.declared
    findings = [one for one in findings if of_teams is None or one.team in of_teams]
    # What this outlet was told of it, whoever's it was.
    findings += ended_findings(told, known=known, declared=declared, day=day)
    # The tables keep the last verdict of a workload that is declared no more.
    verdicts = [
        row
        for row in said.verdicts
        if subject_of(row.workload) in declared and (of_teams is None or row.team in of_teams)
    ]
    workloads = {row.workload for row in verdicts}
    return outbox.announce(
        verdicts=verdicts,
        alerts=[row for row in said.alerts if row.workload in workloads],
        findings=findings,
        ranked=said.findings.ranked,
    )


def pictures_of(case: Case, snapshot: Snapshot, config: Config, known: Findings) -> list[Picture]:
    """What a case is shown with; none where it has nothing to draw. AlertError: not drawn."""
    try:
        if isinstance(case.about, VerdictRow):
            found = _curves(case.about, snapshot, config)
        else:
            found = _of_finding(case.subject, case.about, known)
        return [
            Picture(name=one.name, title=one.title, says=one.says, png=one.png(scale=_PICTURE_SCALE)) for one in found
        ]
    except (ImportError, ValueError) as error:
        raise AlertError(f"the picture of {case.key} could not be drawn ({type(error).__name__}).") from error


def _of_finding(subject: str, about: Finding, known: Findings) -> list[Drawing]:
    """Of waste, unusual costs and a prepaid balance their days, of a budget its month; of a source nothing."""
    days = {"since": about.usage_date - timedelta(days=WINDOW_DAYS - 1), "until": about.usage_date}
    kind = subject.partition(":")[0]
    drawn: Drawing | None = None
    if kind == "waste":
        rows = [row for row in known.waste if row["deployment_id"] == about.pool]
        name = "GPUs of no deployment" if about.pool is None else about.pool
        drawn = waste_picture(rows, name=name, currency=known.currency, **days)
    elif kind == "anomaly":
        rows = [row for row in known.anomalies if anomaly_subject(row) == subject]
        drawn = anomaly_picture(rows, currency=known.currency, **days)
    elif kind == "runway":
        drawn = runway_picture([row for row in known.prepaid if runway_subject(row) == subject], **days)
    if drawn is not None:
        return [drawn]
    return [
        budget_picture(row, currency=known.currency)
        for row in known.budgets
        if overspend_subject(row) == subject and row["budget_cost_rc"] is not None
    ]


def _curves(about: VerdictRow, snapshot: Snapshot, config: Config) -> list[Drawing]:
    """The two curves of a verdict."""
    period: dict[str, date] = {"from_date": date.min, "to_date": about.usage_date + timedelta(days=1)}
    name = about.workload
    with Questions(snapshot) as questions:
        rows = {row["workload"]: row for row in questions.ask("workload_curves", **period).to_dicts()}
        lines = [row for row in questions.ask("verdicts", **period).to_dicts() if row["workload"] == name]
    return [
        found
        for line in lines
        if line["usage_date"] == about.usage_date
        for found in curves_of(line, rows.get(name), config)
    ]


def alerts_asset(verdicts: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    """The Slack outbox as an asset."""

    @dg.asset(
        key=dg.AssetKey(["alerts", "slack"]),
        deps=verdicts,
        group_name="alerts",
        description="Cases whose state differs from the last announced one: claimed, posted, confirmed.",
    )
    def slack(context: dg.AssetExecutionContext, project: dg.ResourceParam[ProjectResource]) -> dg.MaterializeResult:  # type: ignore[type-arg]
        opened = project.project
        outcomes = announce(
            opened,
            current_snapshot(opened),
            clock=clock_of(context.run.tags),
            environment=project.environment(),
            sleep=project.sleep,
        )
        said = "\n\n".join(f"**{outcome.result}**: {plain_text(outcome.message.text)}" for outcome in outcomes)
        return dg.MaterializeResult(
            metadata={"messages": dg.MetadataValue.md(said or "nothing new to say"), "count": len(outcomes)}
        )

    return slack
