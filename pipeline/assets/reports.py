"""The monthly report, in a job of its own: daily and monthly partitions cannot share one."""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from pipeline.assets.landing import first_day
from pipeline.assets.resources import ProjectResource, moment_of
from pipeline.config import Config
from pipeline.decisions.graph import current_snapshot
from pipeline.reports.monthly import write_report


def monthly_report(config: Config, marts: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    """`reports/monthly`: one self-contained HTML file a month, the month under way included."""
    first = first_day(config, datetime.now(UTC).date()).replace(day=1)
    partitions = dg.MonthlyPartitionsDefinition(start_date=first.isoformat(), timezone="UTC", end_offset=1)

    @dg.asset(
        key=dg.AssetKey(["reports", "monthly"]),
        partitions_def=partitions,
        deps=marts,
        group_name="reports",
        description="Spend, unit costs, waste, verdicts, reconciliation, coverage of one month, tied to a snapshot.",
    )
    def report(context: dg.AssetExecutionContext, project: dg.ResourceParam[ProjectResource]) -> dg.MaterializeResult:  # type: ignore[type-arg]
        snapshot = current_snapshot(project.project)
        now = moment_of(context.run.tags)
        path = write_report(project.project, snapshot, month=context.partition_key[:7], now=now)
        return dg.MaterializeResult(
            metadata={
                "report": dg.MetadataValue.path(str(path)),
                "bytes": path.stat().st_size,
                "snapshot": snapshot.snapshot_id,
            }
        )

    return report
