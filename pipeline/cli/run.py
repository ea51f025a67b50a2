"""`demo`, `run`, `rebuild`: bring everything up to date and say what is so."""

import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from pipeline.assets.resources import Built, BuiltTable
from pipeline.build.graph import BuildResult
from pipeline.build.publish import publish
from pipeline.build.relations import NodeRelation
from pipeline.cli.beside import DailyJob
from pipeline.cli.daily_order import DailyOrder
from pipeline.cli.garbage import cycles_seldom_sought
from pipeline.cli.options import console, moment, open_project, project_option
from pipeline.cli.summary import messages_so_far, print_answers, print_told, told_by_snapshot
from pipeline.decisions.graph import build_project
from pipeline.decisions.plausible import land_config
from pipeline.errors import BreakevenError
from pipeline.formats.writing import printable
from pipeline.landing.project import Project
from pipeline.landing.records import Delivery
from pipeline.landing.times import DAY
from pipeline.reports.figures import counted
from pipeline.reports.monthly import write_report
from pipeline.sources.ingest import Ingested, ingest


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path("demo"))
def demo(folder: Path) -> None:
    """Generate a labelled demo company and run the whole pipeline on it.

    \b
    Examples:
      breakeven demo              into ./demo
      breakeven demo /some/place  elsewhere
    """
    from pipeline.demo import AS_OF, generate

    out = console()
    started = time.monotonic()
    if folder.exists() and not (folder / "truth.json").exists() and any(folder.iterdir()):
        raise click.BadParameter(f"{folder} holds something that is not a demo. Name an empty folder.")
    shutil.rmtree(folder, ignore_errors=True)
    out.print(
        f"[dim]Generating a demo company in {folder}/ (all data is generated; the company does not exist) ...[/dim]"
    )
    generate(folder)
    project = Project(folder)
    bring_up_to_date(project, now=AS_OF, days=7)
    report = write_report(project, build_project(project, as_of=AS_OF).snapshot, month="2026-10", now=AS_OF)
    out.print(f"\n[bold]Report[/bold]     {report}")
    out.print(f"[bold]Took[/bold]       {time.monotonic() - started:.1f} s")
    out.print("[bold]Next[/bold]       breakeven explain cost --model claude-haiku-4-5     where a figure comes from")
    out.print(
        "[bold]Your own[/bold]   breakeven init FOLDER   finds keys, exports and GPUs, writes a first breakeven.yaml"
    )


@click.command()
@project_option
@click.option("--as-of", "as_of", default=None, metavar="MOMENT", help="Pretend that now is this moment (UTC).")
@click.option("--offline", is_flag=True, help="Build from what has landed; fetch and poll nothing.")
def run(folder: Path | None, as_of: str | None, offline: bool) -> None:
    """Fetch and poll every source, bring the snapshot up to date, say what changed.

    \b
    Examples:
      breakeven run
      breakeven run --project /srv/breakeven
      breakeven run --offline
    """
    project = open_project(folder)
    now = moment(as_of, now=datetime.now(UTC))
    bring_up_to_date(project, now=now, offline=offline, is_live=as_of is None)


@click.command()
@project_option
@click.option("--as-of", "as_of", default=None, metavar="MOMENT", help="Pretend that now is this moment (UTC).")
def rebuild(folder: Path | None, as_of: str | None) -> None:
    """Throw the cache away and build everything again from landing. Sends nothing.

    \b
    Example:
      breakeven rebuild
    """
    project = open_project(folder)
    shutil.rmtree(project.paths.cache, ignore_errors=True)
    result = build_with_progress(project, now=moment(as_of, now=datetime.now(UTC)), anew=True)
    publish(result.snapshot, project.paths.published)
    console().print(f"Snapshot {result.snapshot.snapshot_id}: {sum(map(len, result.ran.values()))} parts built.")


def bring_up_to_date(
    project: Project, *, now: datetime, offline: bool = False, days: int = 1, is_live: bool = False
) -> None:
    """Land, build with a bar, then the daily job for the newest complete days: review assets, laws, messages.

    What the new snapshot answers is printed while the job runs, then what the job found and said. is_live: `now` is
    the time, and not a moment that is pretended.
    """
    land_config(project, now)
    before = messages_so_far(project)
    with cycles_seldom_sought(), DailyJob() as daily:
        brought = [] if offline else ingest_with_progress(project, now=now)
        for source in brought:
            _print_ingested(source)
        last = now.date() - timedelta(days=1)
        first = last - timedelta(days=days - 1)
        daily.begin(DailyOrder(project.folder, first=first, last=last, now=now, brought=brought, is_live=is_live))
        try:
            result = build_with_progress(project, now=now, built=daily.tell)
        except BreakevenError as error:
            daily.give_up(error)
            raise
        daily.go_on(Built(result.snapshot.snapshot_id, result.ran))
        publish(result.snapshot, project.paths.published)
        print_answers(project, result.snapshot)
        told = told_by_snapshot(project, result.snapshot, landed=result.landed)
        for problem in daily.result():
            console().print(problem, style="red", markup=False)
    print_told(project, told, before=before)


def _print_ingested(brought: Ingested) -> None:
    out = console()
    name = f"{brought.source}/{brought.account}"
    if brought.error is not None:
        out.print(printable(f"  {name}: {brought.error}"), style="red", markup=False)
    if brought.deliveries:
        deliveries = counted(len(brought.deliveries), "delivery", "deliveries")
        objects = counted(sum(len(delivery.objects) for delivery in brought.deliveries), "object")
        out.print(f"  landed {name}: {deliveries}, {objects}", style="dim", markup=False)


def ingest_with_progress(project: Project, *, now: datetime) -> list[Ingested]:
    """Fetch and poll: on a terminal a bar for what comes day by day, in a pipe nothing."""
    out = console()
    if not out.is_terminal:
        return ingest(project, now=now, environment=os.environ, sleep=time.sleep)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task("fetching", total=None)
        firsts: dict[str, datetime] = {}

        def landed(delivery: Delivery) -> None:
            name = f"{delivery.source}/{delivery.account} {delivery.dataset}"
            if name not in firsts:
                bar.reset(task, total=None, description=name)
            if delivery.from_at is None or delivery.to_at is None:
                return
            first = firsts.setdefault(name, delivery.from_at)
            done, all_of_it = delivery.to_at - first, max(delivery.to_at, now) - first
            total = math.ceil(all_of_it / DAY)
            bar.update(task, description=f"{name}, days", completed=math.ceil(done / DAY), total=total)

        return ingest(project, now=now, environment=os.environ, sleep=time.sleep, landed=landed)


def build_with_progress(
    project: Project, *, now: datetime, anew: bool = False, built: Callable[[BuiltTable], None] = lambda _: None
) -> BuildResult:
    """Build with a bar on a terminal, and nothing but the result in a pipe; and what a person should know of it."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console(), transient=True) as bar:
        task = bar.add_task("reading landing", total=None)

        def watch(*, node: str, done: int, total: int) -> None:
            bar.update(task, description=node, completed=done, total=total)

        def tell(node: NodeRelation, folder: str, ran: Sequence[str]) -> None:
            built(BuiltTable.of(node, folder, ran))

        result = build_project(project, as_of=now, progress=watch, anew=anew, built=tell)
    for note in result.notes:
        console().print(printable(note), style="yellow", markup=False)
    return result
