"""`alerts`: whether Slack is told anything, and what it would have been told."""

import os
import sys
from dataclasses import asdict, fields
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import click
import polars as pl

from pipeline.alerts.rehearsal import Rehearsal, Rehearsed
from pipeline.alerts.shadow import DISABLED, ENABLED, SUBJECT, speaking
from pipeline.alerts.slack import outlet_from_config
from pipeline.cli.events import who
from pipeline.cli.options import console, emit, format_option, open_project, print_table, project_option, snapshot_for
from pipeline.decisions.graph import config_of
from pipeline.formats.writing import printable
from pipeline.landing.project import Project
from pipeline.reports.figures import counted
from pipeline.reports.words import money


@click.group()
def alerts() -> None:
    """What Slack is told: nothing before `enable`, which says first what it would have been.

    \b
    Example:
      breakeven alerts enable
    """


@alerts.command()
@project_option
@click.option("--days", type=click.IntRange(1, 400), default=90, show_default=True, help="How far back to look.")
@click.option("--yes", "is_meant", is_flag=True, help="Do not ask.")
@format_option
def enable(folder: Path | None, days: int, is_meant: bool, output_format: str) -> None:
    """Let messages be posted, having seen what the last 90 days would have posted.

    Until then a run keeps each message and prints it (shadow mode). The list is made by what posts them, day by day,
    from the figures as they are known now.

    \b
    Examples:
      breakeven alerts enable
      breakeven alerts enable --yes
    """
    # Dagster is what this module costs: nothing else here needs it.
    from pipeline.assets.alerts import rehearsal

    project = open_project(folder)
    snapshot = snapshot_for(project, None)
    rehearsed = rehearsal(project, snapshot, days=days)
    _print_rehearsal(rehearsed, output_format, currency=config_of(project, snapshot).reporting_currency)
    now = speaking(project.landing.events())
    if now.is_enabled and now.by is not None:
        _say(f"Messages are {now.in_words}.", output_format)
        return
    if not is_meant and not _is_agreed(output_format):
        _say("Nothing is enabled. With --yes messages are posted from the next run on.", output_format)
        return
    _record(project, ENABLED)
    _say(_enabled(project), output_format)


@alerts.command()
@project_option
def disable(folder: Path | None) -> None:
    """Post nothing any more; messages are kept and printed, and what was posted stays.

    \b
    Example:
      breakeven alerts disable
    """
    _record(open_project(folder), DISABLED)
    console().print("Nothing is posted any more. `breakeven alerts enable` posts again.")


def _record(project: Project, kind: str) -> None:
    project.landing.record(kind=kind, subject=SUBJECT, body={"by": who()}, now=datetime.now(UTC))


def _enabled(project: Project) -> str:
    outlet = outlet_from_config(project.config.slack, environment=os.environ)
    if outlet is None:
        return "Enabled. Nothing can be posted yet: no channel with a token, and no webhook, is set. `breakeven doctor`"
    return f"Enabled: what is new is posted from the next run on{f', to {outlet.channel}' if outlet.channel else ''}."


def _is_agreed(output_format: str) -> bool:
    is_asked = output_format == "table" and sys.stdin.isatty() and sys.stdout.isatty()
    return is_asked and click.confirm("Post such messages from the next run on?", default=False)


def _say(text: str, output_format: str) -> None:
    """Beside a table on the output; beside data on the error stream."""
    if output_format == "table":
        console().print(printable(text), markup=False)
    else:
        click.echo(printable(text), err=True)


def _print_rehearsal(rehearsed: Rehearsal, output_format: str, *, currency: str) -> None:
    if output_format != "table":
        types = {date: pl.Date(), str: pl.String(), Decimal | None: pl.Decimal(38, 18)}
        schema = {field.name: types[field.type] for field in fields(Rehearsed)}  # type: ignore[index]
        emit(pl.DataFrame([asdict(post) for post in rehearsed.posts], schema=schema, orient="row"), output_format)
        return
    stretch = f"{rehearsed.first_day} to {rehearsed.last_day} UTC"
    if rehearsed.posts:
        cells = [
            [str(post.day), post.case_key, post.state, post.first_line, money(post.saving_rc_per_month, currency)]
            for post in rehearsed.posts
        ]
        headers = ["day", "case", "state", "first line", "saving a month"]
        print_table(headers, cells, f"Would have been posted, {stretch}")
    said = (
        f"{counted(len(rehearsed.posts), 'post')} in {stretch}, {rehearsed.posts_per_week} a week; "
        f"{counted(rehearsed.edits_count, 'silent edit')} of them."
    )
    _say(f"{said} From today's figures: what was restated since may have read otherwise then.", output_format)
