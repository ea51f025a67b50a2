"""The monthly report, in a job of its own: daily and monthly partitions cannot share one."""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg

from pipeline.assets.landing import first_day
from pipeline.assets.markdown import markdown_table
from pipeline.assets.resources import ProjectResource, moment_of
from pipeline.build.snapshot import Snapshot
from pipeline.config.whole import Config
from pipeline.decisions.graph import current_snapshot
from pipeline.landing.project import Project
from pipeline.mail import MailError
from pipeline.reports.issuing import mail_report, publish
from pipeline.reports.monthly import Made, make_reports, owners_in
from pipeline.reports.page import Tiles


def monthly_report(config: Config, marts: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    """`reports/monthly`: the month in every format that `reports` names, the month under way included; published where
    it says, and mailed once the month is over and every day of it settled, and once more when it is closed.
    """
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
        month = context.partition_key[:7]
        said = project.project.config.reports
        made = make_reports(project.project, snapshot, month=month, now=now, formats=said.formats)
        links = [] if said.publish is None else [publish(project.project, made, said.publish, now=now)]
        statements = list(_statements(project.project, snapshot, month, now) if made.page.is_settled else ())
        return dg.MaterializeResult(
            metadata={
                **{path.name: dg.MetadataValue.path(str(path)) for path in made.paths},
                "bytes": sum(len(content) for content in made.files().values()),
                "snapshot": snapshot.snapshot_id,
                "days": made.page.state,
                "headline": dg.MetadataValue.md(_headline(made)),
                **({"published": links[0]} if links else {}),
                **({"statements": dg.MetadataValue.md(_said_of(statements))} if statements else {}),
                **({"mail": _mailed(project.project, made, now=now, links=links)} if said.mail_to else {}),
            }
        )

    return report


def _statements(project: Project, snapshot: Snapshot, month: str, now: datetime) -> Iterator[Made]:
    """Those that `reports` names, each published where the report is."""
    said = project.config.reports
    for by in dict.fromkeys(said.statements):
        for owned in owners_in(project, snapshot, month=month, by=by):
            made = make_reports(project, snapshot, month=month, now=now, formats=said.formats, owned=owned)
            if said.publish is not None:
                publish(project, made, said.publish, now=now)
            yield made


def _said_of(statements: Sequence[Made]) -> str:
    """What each begins with, and where it lies."""
    rows = [(made.page.sections[0].says, str(made.paths[0])) for made in statements]
    return markdown_table(("Statement", "File"), rows)


def _headline(made: Made) -> str:
    """The figures that the report begins with, each with its receipt."""
    tiles = [
        tile
        for section in made.page.sections
        for block in section.blocks
        if isinstance(block, Tiles)
        for tile in block.tiles
    ]
    rows = [
        (tile.title, f"{tile.figure} {tile.unit}", tile.measure, ", ".join(tile.refused), tile.receipt)
        for tile in tiles
    ]
    return markdown_table(("What", "Figure", "Measure", "Not proven", "Receipt"), rows)


def _mailed(project: Project, made: Made, *, now: datetime, links: Sequence[str]) -> str:
    """What came of the mail, in a line. What could not be mailed fails no report: the next run tries again."""
    if not made.page.is_settled:
        return "not yet: the month is not over, or a day of it is not settled"
    recipients = project.config.reports.mail_to
    once_for = "closed" if made.page.is_final else "settled"
    try:
        return mail_report(project, made, recipients, now=now, environment=os.environ, links=links, once_for=once_for)
    except MailError as error:
        return str(error)
