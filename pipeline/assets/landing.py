"""`landing/*`: one asset per configured source. The partition says which days to fetch."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from pipeline.assets.resources import ProjectResource, moment_of
from pipeline.config.sources import SourceConfig
from pipeline.config.whole import Config
from pipeline.decisions.plausible import land_config
from pipeline.landing.times import DAY, day_start, stamp
from pipeline.reports.figures import visible
from pipeline.sources.ingest import Ingested, ingest

MOST_DAYS_A_RUN = 31
FETCHED = "fetched"


def daily_partitions(config: Config, *, now: datetime | None = None) -> dg.DailyPartitionsDefinition:
    """One definition for every daily asset, from the earliest horizon: different starts make a job unresolvable.

    It ends with the day under way, or with that of `now` when a run speaks for a moment that is still to come.
    """
    today = datetime.now(UTC).date()
    ahead = max((now.date() - today).days, 0) if now is not None else 0
    return dg.DailyPartitionsDefinition(
        start_date=first_day(config, today).isoformat(), timezone="UTC", end_offset=1 + ahead
    )


def first_day(config: Config, today: date) -> date:
    """The earliest horizon, and at least yesterday; without any horizon the year before, so that it rarely moves."""
    horizons = [source.horizon for source in config.sources if source.horizon is not None]
    return min([*horizons, today - timedelta(days=1)]) if horizons else date(today.year - 1, 1, 1)


def landing_key(configured: SourceConfig) -> dg.AssetKey:
    name = f"{configured.source}__{configured.account}"
    return dg.AssetKey(["landing", "".join(character if character.isalnum() else "_" for character in name)])


def landing_assets(config: Config, partitions: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """One asset a source; a source that is not configured is absent."""
    return [_landing_asset(configured, partitions) for configured in config.sources]


def _landing_asset(configured: SourceConfig, partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    key = landing_key(configured)
    place = f"dropped in `{configured.inbox}`" if configured.inbox is not None else "fetched"

    @dg.asset(
        key=key,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.multi_run(MOST_DAYS_A_RUN),
        group_name="landing",
        description=f"Deliveries of {configured.source}, account {configured.account}, {place}.",
        check_specs=[
            dg.AssetCheckSpec(FETCHED, asset=key, description="The source answered, and every file could be read.")
        ],
    )
    def land(context: dg.AssetExecutionContext, project: dg.ResourceParam[ProjectResource]) -> dg.MaterializeResult:  # type: ignore[type-arg]
        brought = project.brought.get((configured.source, configured.account))
        if brought is None:
            brought = _fetch(context, project, configured)
        return dg.MaterializeResult(metadata=_told(brought), check_results=[_check(brought)])

    return land


def _fetch(context: dg.AssetExecutionContext, project: ProjectResource, configured: SourceConfig) -> Ingested:
    days = [date.fromisoformat(partition) for partition in context.partition_keys]
    now = moment_of(context.run.tags)
    land_config(project.project, now)
    (brought,) = ingest(
        project.project,
        now=now,
        environment=project.environment(),
        sleep=project.sleep,
        from_at=day_start(min(days)),
        to_at=day_start(max(days)) + DAY,
        only=[configured],
    )
    return brought


def _told(brought: Ingested) -> dict[str, Any]:
    deliveries = brought.deliveries
    told: dict[str, Any] = {
        "deliveries": len(deliveries),
        "objects": sum(len(delivery.objects) for delivery in deliveries),
        "bytes": sum(landed.size_bytes for delivery in deliveries for landed in delivery.objects),
        "incomplete deliveries": sum(not delivery.is_complete for delivery in deliveries),
    }
    if deliveries:
        told["newest statement"] = stamp(max(delivery.said_at for delivery in deliveries))
    return told


def _check(brought: Ingested) -> dg.AssetCheckResult:
    """A failed source is a failed check, not a failed step: what others brought is built all the same."""
    if brought.error is None:
        return dg.AssetCheckResult(check_name=FETCHED, passed=True)
    return dg.AssetCheckResult(
        check_name=FETCHED,
        passed=False,
        description=visible(brought.error, limit=600),
        metadata={
            "what is so": visible(brought.error, limit=2000),
            "what to do": "What landed before still counts; the other sources are built. Put it right: breakeven run",
        },
    )
