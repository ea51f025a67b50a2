"""`alerts/slack`: one case at a time, said once. What is not settled or not proven is not said."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime

import dagster as dg

from pipeline.alerts.case import AlertRow, VerdictRow, first_day_to_say
from pipeline.alerts.outbox import Outbox, Outcome
from pipeline.alerts.slack import outlet_from_config
from pipeline.assets.markdown import plain_text
from pipeline.assets.resources import ProjectResource, moment_of
from pipeline.build.snapshot import Snapshot
from pipeline.decisions.check_results import check_results
from pipeline.decisions.graph import config_of, current_snapshot
from pipeline.landing.project import Project
from pipeline.reports.proof import Proof
from pipeline.reports.questions import Questions


def announce(
    project: Project,
    snapshot: Snapshot,
    *,
    now: datetime,
    environment: Mapping[str, str],
    sleep: Callable[[float], None],
) -> list[Outcome]:
    """Say what changed, once. A workload that draws on anything whose law is broken stays unsaid; the others do not."""
    with Questions(snapshot) as questions:
        feeds = questions.ask("scope_feeds", from_date=date.min, to_date=date.max).to_dicts()
        proof = Proof.of(check_results(snapshot), feeds)
        states = questions.ask("alert_rows").to_dicts()
    alerts = [AlertRow.from_row(row) for row in states]
    with Questions(snapshot, from_date=first_day_to_say(alerts) or date.max) as questions:
        verdicts = questions.ask("verdict_rows").to_dicts()
    outbox = Outbox(
        events=project.landing,
        outlet=outlet_from_config(project.config.slack, environment=environment),
        clock=lambda: now,
        sleep=sleep,
        company=project.config.company,
        currency=config_of(project, snapshot).reporting_currency,
        on_uncertain=project.config.slack.on_uncertain,
        snapshot_id=snapshot.snapshot_id,
    )
    deployments = {row["workload"]: row["deployment_id"] for row in verdicts}
    proven = {
        workload
        for workload, deployment_id in deployments.items()
        if not proof.of_workload(workload, deployment_id=deployment_id)
    }
    return outbox.announce(
        verdicts=[VerdictRow.from_row(row) for row in verdicts if row["workload"] in proven],
        alerts=[row for row in alerts if row.workload in proven],
    )


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
