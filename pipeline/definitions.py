"""Dagster's table of contents: what is configured in `breakeven.yaml`, and nothing that is not."""

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg

from pipeline.assets.alerts import alerts_asset
from pipeline.assets.daily import daily_assets
from pipeline.assets.landing import daily_partitions, first_day, landing_assets, landing_key
from pipeline.assets.reports import monthly_report
from pipeline.assets.resources import ProjectResource
from pipeline.assets.sql_models import model_key, sql_graph
from pipeline.config.whole import Config
from pipeline.errors import BreakevenError
from pipeline.landing.project import Project
from pipeline.landing.records import digest
from pipeline.sources import SOURCES
from pipeline.sources.inbox import waiting_files
from pipeline.sources.ingest import Ingested

PROJECT_VARIABLE = "BREAKEVEN_PROJECT"
DAILY_JOB = "daily"
REPORT_JOB = "monthly_report"
_EMPTY = digest([])


def definitions_for(
    folder: Path, *, now: datetime | None = None, brought: Sequence[Ingested] | None = None
) -> dg.Definitions:
    """All assets, jobs, schedules and sensors of one project.

    `now`: the moment a run in this process speaks for, where that is not the wall clock's. `brought`: what this process
    has fetched; the daily job then fetches nothing and has the landing assets of these sources only.
    """
    with warnings.catch_warnings():
        # Backfill policies are in beta; Dagster's integrations are pinned as a set, so a change cannot surprise.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return _definitions(folder, now, None if brought is None else {(it.source, it.account): it for it in brought})


def _definitions(
    folder: Path, now: datetime | None, brought: Mapping[tuple[str, str], Ingested] | None
) -> dg.Definitions:
    project = Project(folder)
    partitions = daily_partitions(project.config, now=now)
    landing = landing_assets(project.config, partitions)
    landing_keys: dict[str, list[dg.AssetKey]] = {}
    for configured in project.config.sources:
        landing_keys.setdefault(configured.source, []).append(landing_key(configured))
    graph = sql_graph(landing_keys, SOURCES, project.paths.cache)
    marts = [key for key in graph.keys if key.path[0] in ("marts", "decisions")]
    verdicts = [model_key("fct_verdicts_daily", "decisions"), model_key("fct_alert_states_daily", "decisions")]
    daily = daily_assets(partitions, marts)
    alerts = alerts_asset(verdicts)
    report = monthly_report(project.config, marts)
    landed_by_the_job = [
        asset
        for configured, asset in zip(project.config.sources, landing, strict=True)
        if brought is None or (configured.source, configured.account) in brought
    ]
    daily_job = dg.define_asset_job(
        DAILY_JOB,
        selection=dg.AssetSelection.assets(*landed_by_the_job, graph, *daily, alerts),
    )
    report_job = dg.define_asset_job(REPORT_JOB, selection=dg.AssetSelection.assets(report))
    return dg.Definitions(
        assets=[*landing, graph, *daily, alerts, report],
        jobs=[daily_job, report_job],
        schedules=[_every_morning(), _every_month(project.config)],
        sensors=[_new_files(project)],
        resources={"project": ProjectResource(folder=folder, brought=brought or {})},
        executor=dg.in_process_executor,
    )


def _every_morning() -> dg.ScheduleDefinition:
    """Off until it is switched on: `breakeven run` from cron or systemd does the same, and one of them is enough."""

    @dg.schedule(job_name=DAILY_JOB, cron_schedule="15 6 * * *", execution_timezone="UTC", name="every_morning")
    def every_morning(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        day = _day_before(context.scheduled_execution_time)
        return dg.RunRequest(run_key=day, partition_key=day)

    return every_morning


def _every_month(config: Config) -> dg.ScheduleDefinition:
    """Each morning the report of the month that yesterday belongs to, and for three weeks of the month before it, whose
    bills come and which is closed then.
    """

    @dg.schedule(job_name=REPORT_JOB, cron_schedule="45 6 * * *", execution_timezone="UTC", name="this_months_report")
    def this_months_report(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        day = date.fromisoformat(_day_before(context.scheduled_execution_time))
        months = [day.replace(day=1)]
        before = (months[0] - timedelta(days=1)).replace(day=1)
        if day.day <= 21 and before >= first_day(config, datetime.now(UTC).date()).replace(day=1):
            months.insert(0, before)
        return [dg.RunRequest(run_key=f"report-{month:%Y-%m}-{day}", partition_key=str(month)) for month in months]

    return this_months_report


def _day_before(moment: datetime) -> str:
    """The newest day that is over: what a person reviews in the morning."""
    return (moment.astimezone(UTC).date() - timedelta(days=1)).isoformat()


def _new_files(project: Project) -> dg.SensorDefinition:
    """Polls the inboxes, folders and S3 prefixes alike; what is new asks for one run of the newest whole day."""

    @dg.sensor(job_name=DAILY_JOB, name="new_files", minimum_interval_seconds=60)
    def new_files(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        before = json.loads(context.cursor) if context.cursor else {}
        now, problems = inbox_states(project, before)
        for problem in problems:
            context.log.warning(problem)
        if now == before or not any(state != _EMPTY for state in now.values()):
            context.update_cursor(json.dumps(now))
            return dg.SkipReason("; ".join(problems) or "no new file in any inbox")
        day = _day_before(datetime.now(UTC))
        request = dg.RunRequest(run_key=f"files-{digest(now)[:32]}", partition_key=day)
        return dg.SensorResult(run_requests=[request], cursor=json.dumps(now))

    return new_files


def inbox_states(project: Project, before: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Per source with an inbox, one text for the names and versions in it; and which could not be looked at.

    An inbox that cannot be looked at keeps the state it had: it must not hide what is new in others.
    """
    states: dict[str, str] = {}
    problems: list[str] = []
    for configured in project.config.sources:
        if configured.inbox is None:
            continue
        name = f"{configured.source}/{configured.account}"
        try:
            states[name] = digest([[file.name, file.version] for file in waiting_files(project, configured)])
        except BreakevenError as error:
            states[name] = before.get(name, _EMPTY)
            problems.append(str(error))
    return states, problems


def build_definitions() -> dg.Definitions:
    """For `dagster dev` and the workspace: the project named by BREAKEVEN_PROJECT, else this folder."""
    return definitions_for(Path(os.environ.get(PROJECT_VARIABLE, ".")).resolve())
