"""`alerts`: whether Slack is told anything, and what it would have been told."""

import copy
import os
import signal
import sys
import threading
from dataclasses import asdict, fields
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import click
import polars as pl

from pipeline.alerts.buttons import DONE, SNOOZE, WRONG, Pressed
from pipeline.alerts.outlets import outlets_set
from pipeline.alerts.rehearsal import Rehearsal, Rehearsed
from pipeline.alerts.sending import AlertError
from pipeline.alerts.shadow import DISABLED, ENABLED, SUBJECT, speaking
from pipeline.alerts.slack import app_token_of, outlet_from_config
from pipeline.alerts.slack import listen as listen_to_slack
from pipeline.alerts.told import Standing, standing
from pipeline.cli.cases import print_cases
from pipeline.cli.events import ack, answers_of, done, snooze, who, wrong
from pipeline.cli.groups import WholeSentences
from pipeline.cli.options import console, emit, format_option, open_project, print_table, project_option, snapshot_for
from pipeline.decisions.graph import config_of
from pipeline.errors import BreakevenError
from pipeline.formats.writing import printable
from pipeline.landing.project import Project
from pipeline.reports.figures import counted
from pipeline.reports.words import money


@click.group(cls=WholeSentences)
def alerts() -> None:
    """What Slack is told, and what people say to it. Nothing is told before `enable`, which shows what would have been.

    \b
    Examples:
      breakeven alerts enable
      breakeven alerts done workload:support-chat
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


@alerts.command(name="list")
@project_option
@format_option
def listed(folder: Path | None, output_format: str) -> None:
    """Every case that is open or whose saving is being measured, and how it stands.

    \b
    Example:
      breakeven alerts list
    """
    now = datetime.now(UTC)
    cases = standing(open_project(folder).landing.events(), now)
    if output_format != "table":
        schema = dict.fromkeys((field.name for field in fields(Standing)), pl.String()) | {"told_of": pl.Date()}
        emit(pl.DataFrame([asdict(case) for case in cases], schema=schema, orient="row"), output_format)
    elif cases:
        print_cases(cases)
    else:
        console().print("No case is open.")


@alerts.command()
@project_option
def listen(folder: Path | None) -> None:
    """Hear the buttons under Slack's posts, until it is ended (Ctrl-C, TERM). Opens no port: Slack's socket mode.

    Posts have buttons where SLACK_APP_TOKEN is set beside the bot token. A press is landed as by `alerts ack`,
    `snooze`, `wrong` (which asks what it should be) and `done`; the next run writes it into the post.

    \b
    Example:
      breakeven alerts listen
    """
    project = open_project(folder)
    token = app_token_of(project.config.slack, environment=os.environ)
    if token is None:
        raise BreakevenError("No buttons are heard: set SLACK_APP_TOKEN (an app token), a bot token and slack.channel.")
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    listen_to_slack(
        project.config.slack,
        app_token=token,
        bot_token=os.environ.get(project.config.slack.token_env or "", "").strip(),
        handle=lambda one: console().print(printable(apply_pressed(project, one)), markup=False),
        is_over=ended.wait,
    )


def apply_pressed(project: Project, one: Pressed) -> str:
    """Land what a button says, and what became of it in a sentence."""
    answers = answers_of(project)
    try:
        if one.verb == SNOOZE and one.until is not None:
            answers.snooze(one.case_key, until=one.until, by=one.by)
        elif one.verb == WRONG:
            answers.call_wrong(one.case_key, by=one.by, why=one.why or "pressed in Slack; ask what it should be")
        elif one.verb == DONE:
            answers.done(one.case_key, by=one.by)
        else:
            answers.acknowledge(one.case_key, by=one.by)
    except AlertError as error:
        return f"{one.verb} of {one.case_key} by {one.by}: {error}"
    return f"{one.verb} of {one.case_key} by {one.by}: landed."


def _below_alerts(verb: click.Command) -> click.Command:
    """The same command, whose examples call it by this name."""
    found = copy.copy(verb)
    found.help = (verb.help or "").replace(f"breakeven {verb.name}", f"breakeven alerts {verb.name}")
    return found


for verb in (ack, snooze, wrong, done):
    alerts.add_command(_below_alerts(verb))


def _record(project: Project, kind: str) -> None:
    project.landing.record(kind=kind, subject=SUBJECT, body={"by": who()}, now=datetime.now(UTC))


def _enabled(project: Project) -> str:
    outlet = outlet_from_config(project.config.slack, environment=os.environ)
    names = outlets_set(project.config, environment=os.environ)
    if outlet is None and not names:
        return "Enabled. Nothing can be posted yet: no channel with a token, and no webhook, is set. `breakeven doctor`"
    places = [] if outlet is None else [outlet.channel or "Slack"]
    return f"Enabled: what is new is posted from the next run on, to {', '.join([*places, *names])}."


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
