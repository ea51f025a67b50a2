"""`collect`: throw away what is made again from landing, and that nothing cites."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import polars as pl

from pipeline.build.collect import Held, Plan, plan_collection
from pipeline.build.collect import collect as delete_planned
from pipeline.cli.events import who
from pipeline.cli.options import console, emit, format_option, open_project, project_option
from pipeline.decisions.graph import shipped_graph
from pipeline.landing.landing import COLLECT_EVENT
from pipeline.landing.times import stamp

_SCHEMA = {"snapshot_id": pl.String(), "as_of": pl.String(), "is_kept": pl.Boolean(), "why": pl.String()}
_MEGABYTE = 1_000_000


@click.command()
@project_option
@click.option(
    "--keep-days",
    type=click.IntRange(min=1),
    default=90,
    show_default=True,
    help="Keep every snapshot that was made within so many days.",
)
@click.option("--yes", "is_meant", is_flag=True, help="Delete. Without this nothing is deleted.")
@format_option
def collect(folder: Path | None, keep_days: int, is_meant: bool, output_format: str) -> None:
    """Delete snapshots and cached files that nothing needs any more, here and, with `state` on S3, there.

    Kept are the snapshot that is current on this machine, each that an issued report or a sent message cites, those
    made within --keep-days, and every file that one of them names. A file younger than a day always stays, so a build
    may run beside this. Landing is never collected: `--as-of` builds any past moment again.

    \b
    Examples:
      breakeven collect
      breakeven collect --keep-days 30 --yes
    """
    project = open_project(folder)
    now = datetime.now(UTC)
    plan = plan_collection(
        project.landing.contents(),
        datasets=shipped_graph().datasets,
        paths=project.paths,
        shared=project.shared,
        keep=timedelta(days=keep_days),
        now=now,
    )
    if is_meant:
        if plan.going:
            # First, so that whoever asks for one of them is told what became of it.
            body = {"snapshots": {one.snapshot_id: stamp(one.as_of) for one in plan.going}, "by": who()}
            project.landing.record(kind=COLLECT_EVENT, subject="snapshots", body=body, now=now)
        delete_planned(plan, paths=project.paths, shared=project.shared, now=now)
    emit(_rows(plan), output_format, title="Snapshots")
    if output_format == "table":
        out = console()
        for place in ("here", "shared") if project.shared is not None else ("here",):
            count, megabytes = len(plan.files[place]), plan.size_bytes(place) / _MEGABYTE
            out.print(f"{place}: {count:,} files, {megabytes:,.1f} MB {'deleted' if is_meant else 'would go'}.")
        if not is_meant:
            out.print("Nothing was deleted. With --yes it is.")


def _rows(plan: Plan) -> pl.DataFrame:
    def row(one: Held, why: str | None) -> tuple[str, str, bool, str | None]:
        return one.snapshot_id, stamp(one.as_of), why is not None, why

    rows = [*(row(one, why) for one, why in plan.kept.items()), *(row(one, None) for one in plan.going)]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row").sort("as_of", "snapshot_id")
