"""What a person did, landed as an event: `accept`, `dismiss`, `ack`, `snooze`, `wrong`, `done`; and `quarantine`."""

import getpass
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import polars as pl

from pipeline.alerts.answers import Answers
from pipeline.build.landed_tables import ACCEPT_EVENT
from pipeline.cli.options import console, emit, format_option, open_project, project_option
from pipeline.decisions.quarantine import DISMISS_EVENT, QuarantineEntry, quarantine_history, quarantine_list
from pipeline.errors import BreakevenError
from pipeline.formats.writing import printable
from pipeline.landing.project import Project
from pipeline.landing.times import parse_stamp


@click.command()
@project_option
@click.argument("bucket")
@click.option("--why", required=True, help="Why the provider's word is right; kept with the event.")
def accept(folder: Path | None, bucket: str, why: str) -> None:
    """Accept that a bucket which had rows now has none, so that decisions use it again.

    \b
    BUCKET is source/account/dataset/bucket, as `breakeven status` prints it.

    \b
    Example:
      breakeven accept anthropic_cost_api/acme/cost_report/2026-11-03 --why "refunded in full, see ticket 123"
    """
    if bucket.count("/") != 3:
        raise click.BadParameter(
            "BUCKET is source/account/dataset/bucket, e.g. anthropic_cost_api/acme/cost_report/2026-11-03"
        )
    project = open_project(folder)
    project.landing.record(kind=ACCEPT_EVENT, subject=bucket, body={"why": why, "by": who()}, now=datetime.now(UTC))
    console().print(f"Accepted: {bucket}. Run `breakeven run` to use it.", markup=False)


@click.command()
@project_option
@format_option
@click.option("--all", "with_ended", is_flag=True, help="Also what has ended: superseded, dismissed or redacted.")
def quarantine(folder: Path | None, output_format: str, with_ended: bool) -> None:
    """List what is kept and not counted, with the reason.

    \b
    It ends when newer deliveries count for everything it speaks for (superseded), when it can be read after all (a new
    release, bytes put back into landing), or when somebody dismisses it. It does not end by itself.

    \b
    Examples:
      breakeven quarantine
      breakeven quarantine --all --format json
    """
    entries = quarantine_history(open_project(folder), as_of=datetime.now(UTC))
    rows = [asdict(entry) for entry in entries if with_ended or entry.ended is None]
    frame = pl.DataFrame(rows, schema={field.name: pl.String() for field in fields(QuarantineEntry)}, orient="row")
    shown = frame if with_ended else frame.drop("ended", "why")
    emit(shown.sort(shown.columns), output_format, title="Quarantine")


@click.command()
@project_option
@click.argument("sha256")
@click.option("--why", required=True, help="Why this file needs no mending; kept with the event.")
def dismiss(folder: Path | None, sha256: str, why: str) -> None:
    """Stop listing a quarantined file (its bytes stay in landing).

    \b
    Example:
      breakeven dismiss 3fa9c01b22de --why "a test upload"
    """
    project = open_project(folder)
    now = datetime.now(UTC)
    found = [entry for entry in quarantine_list(project, as_of=now) if entry.sha256.startswith(sha256)]
    # The same bytes may have come under several names or accounts: they are one file to a person.
    matching = {entry.sha256 for entry in found}
    if len(matching) != 1 or len(sha256) < 8:
        raise BreakevenError(
            f"{len(matching)} quarantined files start with {sha256!r}. Give at least 8 digits of exactly one."
        )
    project.landing.record(kind=DISMISS_EVENT, subject=found[0].sha256, body={"why": why, "by": who()}, now=now)
    console().print(printable(f"Dismissed: {found[0]}"), markup=False)


@click.command()
@project_option
@click.argument("case")
def ack(folder: Path | None, case: str) -> None:
    """Say that somebody took note of a case: it is not announced again.

    \b
    Example:
      breakeven ack workload:support-chat
    """
    answers_of(open_project(folder)).acknowledge(case, by=who())
    console().print(printable(f"Acknowledged: {case}."), markup=False)


@click.command()
@project_option
@click.argument("case")
@click.option("--why", required=True, help="What it should be, or what it lacks; kept with the event.")
def wrong(folder: Path | None, case: str, why: str) -> None:
    """Say that the figure of a case is wrong: somebody has to compare, which is a case of its own.

    It ends with `breakeven alerts done dispute:CASE`.

    \b
    Example:
      breakeven alerts wrong workload:support-chat --why "half of this traffic moved on the 3rd"
    """
    answers_of(open_project(folder)).call_wrong(case, by=who(), why=why)
    console().print(printable(f"Called wrong: {case}. The next run asks for a comparison."), markup=False)


@click.command()
@project_option
@click.argument("case")
def done(folder: Path | None, case: str) -> None:
    """Say that what a case recommends was carried out: it is over, and what it saves is measured from now on.

    About the same GPUs nothing else is recommended for four weeks: that is how far back a verdict looks.

    \b
    Example:
      breakeven alerts done workload:support-chat
    """
    answers_of(open_project(folder)).done(case, by=who())
    said = f"Done: {case}. The report says what it saves once a week of it is settled."
    console().print(printable(said), markup=False)


@click.command()
@project_option
@click.argument("subject")
@click.option("--days", type=click.IntRange(1, 365), default=None, help="For so many days from now.")
@click.option("--until", default=None, metavar="INSTANT", help="Until an instant, like 2026-12-01T08:00Z.")
def snooze(folder: Path | None, subject: str, days: int | None, until: str | None) -> None:
    """Keep a case quiet until a moment.

    \b
    Example:
      breakeven snooze workload:support-chat --days 14
    """
    if (days is None) == (until is None):
        raise click.UsageError("Give either --days or --until.")
    now = datetime.now(UTC)
    try:
        moment = now + timedelta(days=days) if days is not None else parse_stamp(str(until))
    except ValueError as error:
        raise click.BadParameter(
            f"{until!r} is not an instant with a time zone. Write it like 2026-12-01T08:00Z."
        ) from error
    answers_of(open_project(folder)).snooze(subject, until=moment, by=who())
    console().print(printable(f"Snoozed: {subject} until {moment:%Y-%m-%d %H:%M} UTC."), markup=False)


def answers_of(project: Project) -> Answers:
    """Where what people say of the project's cases is recorded."""
    return Answers(project.landing, lambda: datetime.now(UTC))


def who() -> str:
    """Who speaks, as the operating system knows them."""
    try:
        return getpass.getuser()
    except OSError:
        return "unknown"
