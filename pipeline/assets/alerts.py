"""`alerts/slack`: one case at a time, said once. What is not settled or not proven is not said."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import dagster as dg

from pipeline.alerts.case import AlertRow, Case, VerdictRow, first_day_to_say
from pipeline.alerts.outbox import AlertError, Outbox, Outcome, Picture
from pipeline.alerts.rehearsal import Rehearsal, rehearse
from pipeline.alerts.shadow import speaking
from pipeline.alerts.slack import outlet_from_config
from pipeline.assets.markdown import plain_text
from pipeline.assets.resources import ProjectResource, moment_of
from pipeline.build.snapshot import Snapshot
from pipeline.config import Config
from pipeline.decisions.check_results import check_results
from pipeline.decisions.graph import config_of, current_snapshot
from pipeline.landing.project import Project
from pipeline.reports.curves import curves_of
from pipeline.reports.proof import Proof
from pipeline.reports.questions import Questions

# So that it is 1,200 pixels and more wide: a phone shows it at its own width.
_PICTURE_SCALE = 3


@dataclass(frozen=True, kw_only=True)
class Sayable:
    """What of a snapshot may be said: nothing that a broken law, or declared quality, speaks against."""

    verdicts: Sequence[VerdictRow]
    alerts: Sequence[AlertRow]


def sayable(snapshot: Snapshot, *, from_date: date | None = None) -> Sayable:
    """Verdicts from `from_date` on; without it, those that can still be announced or edit a post.

    A workload that draws on anything whose law is broken stays unsaid; the others do not. So does one whose verdict
    turns, or cannot be decided, with what is declared of its quality.
    """
    with Questions(snapshot) as questions:
        feeds = questions.ask("scope_feeds", from_date=date.min, to_date=date.max).to_dicts()
        proof = Proof.of(check_results(snapshot), feeds)
        states = questions.ask("alert_rows").to_dicts()
        held = set(questions.ask("held_by_quality")["workload"])
    alerts = [AlertRow.from_row(row) for row in states]
    with Questions(snapshot, from_date=from_date or first_day_to_say(alerts) or date.max) as questions:
        verdicts = questions.ask("verdict_rows").to_dicts()
    deployments = {row["workload"]: row["deployment_id"] for row in verdicts}
    proven = {
        workload
        for workload, deployment_id in deployments.items()
        if workload not in held and not proof.of_workload(workload, deployment_id=deployment_id)
    }
    return Sayable(
        verdicts=[VerdictRow.from_row(row) for row in verdicts if row["workload"] in proven],
        alerts=[row for row in alerts if row.workload in proven],
    )


def rehearsal(project: Project, snapshot: Snapshot, *, days: int) -> Rehearsal:
    """What the last days of the snapshot that are over would have had posted."""
    last_day = snapshot.as_of.date() - timedelta(days=1)
    first_day = last_day - timedelta(days=days - 1)
    said = sayable(snapshot, from_date=first_day)
    return rehearse(
        verdicts=said.verdicts,
        alerts=said.alerts,
        first_day=first_day,
        last_day=last_day,
        company=project.config.company,
        currency=config_of(project, snapshot).reporting_currency,
    )


def announce(
    project: Project,
    snapshot: Snapshot,
    *,
    now: datetime,
    environment: Mapping[str, str],
    sleep: Callable[[float], None],
) -> list[Outcome]:
    """Say what changed, once; to nobody but the terminal until somebody has enabled it."""
    said = sayable(snapshot)
    config = config_of(project, snapshot)
    outlet = outlet_from_config(project.config.slack, environment=environment)
    is_shadow = outlet is not None and not speaking(project.landing.events()).is_enabled
    outbox = Outbox(
        events=project.landing,
        outlet=None if is_shadow else outlet,
        clock=lambda: now,
        sleep=sleep,
        company=project.config.company,
        currency=config.reporting_currency,
        on_uncertain=project.config.slack.on_uncertain,
        snapshot_id=snapshot.snapshot_id,
        why_printed="Not enabled (`breakeven alerts enable`)" if is_shadow else "No Slack token",
        pictures=lambda case: curves_as_pictures(case, snapshot, config),
    )
    return outbox.announce(verdicts=said.verdicts, alerts=said.alerts)


def curves_as_pictures(case: Case, snapshot: Snapshot, config: Config) -> list[Picture]:
    """The two curves of the verdict that a case speaks of; none where it has none to draw. AlertError: not drawn."""
    period: dict[str, date] = {"from_date": date.min, "to_date": case.usage_date + timedelta(days=1)}
    name = case.verdict.workload
    with Questions(snapshot) as questions:
        rows = {row["workload"]: row for row in questions.ask("workload_curves", **period).to_dicts()}
        lines = [row for row in questions.ask("verdicts", **period).to_dicts() if row["workload"] == name]
    try:
        return [
            Picture(name=found.name, title=found.title, says=found.says, png=found.png(scale=_PICTURE_SCALE))
            for line in lines
            if line["usage_date"] == case.usage_date
            for found in curves_of(line, rows.get(name), config)
        ]
    except (ImportError, ValueError) as error:
        raise AlertError(f"the curves of {name} could not be drawn ({type(error).__name__}).") from error


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
            now=moment_of(context.run.tags),
            environment=project.environment(),
            sleep=project.sleep,
        )
        said = "\n\n".join(f"**{outcome.result}**: {plain_text(outcome.message.text)}" for outcome in outcomes)
        return dg.MaterializeResult(
            metadata={"messages": dg.MetadataValue.md(said or "nothing new to say"), "count": len(outcomes)}
        )

    return slack
