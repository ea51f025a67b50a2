"""Options that several commands share, and how results are printed."""

import csv
import json
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.formats.writing import printable

# `breakeven check` prints by this module within a second of its start: what is heavy is imported where it is used.
if TYPE_CHECKING:
    import polars as pl

    from pipeline.build.snapshot import Snapshot
    from pipeline.landing.project import Project

Command = TypeVar("Command", bound=Callable[..., Any])

_DEMO_PROJECT = Path("demo")
_SNAPSHOT_ID = re.compile(r"[0-9a-f]{16}")


def project_option(command: Command) -> Command:
    return click.option(
        "--project",
        "folder",
        type=click.Path(file_okay=False, path_type=Path),
        default=None,
        help="Folder with a breakeven.yaml. [default: this folder, else ./demo]",
    )(command)


def format_option(command: Command) -> Command:
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(["table", "json", "csv"]),
        default="table",
        show_default=True,
        help="How to print.",
    )(command)


def as_of_option(command: Command) -> Command:
    return click.option(
        "--as-of",
        "as_of",
        default=None,
        metavar="MOMENT",
        help="As known at a past moment: 2026-11-01 (end of that UTC day) or 2026-11-01T06:00Z; or a snapshot's id.",
    )(command)


def period_options(command: Command, *, days: int = 30) -> Command:
    command = click.option(
        "--from", "from_text", metavar="DATE", default=None, help=f"First UTC day. [default: {days} days]"
    )(command)
    return click.option("--to", "to_text", metavar="DATE", default=None, help="Day after the last. [default: the end]")(
        command
    )


def open_project(folder: Path | None) -> "Project":
    """The project asked for, the one in this folder, or the demo below it."""
    from pipeline.landing.project import Project

    if folder is None:
        here = Path()
        folder = _DEMO_PROJECT if not (here / "breakeven.yaml").exists() and _DEMO_PROJECT.is_dir() else here
    return Project(folder)


def moment(text: str | None, *, now: datetime) -> datetime:
    """`--as-of` as an instant: a bare date means the end of that UTC day."""
    if text is None:
        return now
    try:
        if len(text) == 10:
            return datetime.combine(date.fromisoformat(text), datetime.min.time(), tzinfo=UTC) + timedelta(days=1)
        parsed = datetime.fromisoformat(text)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is not a date or an instant, like 2026-11-01 or 2026-11-01T06:00Z."
        ) from None


def snapshot_for(project: "Project", as_of: str | None) -> "Snapshot":
    """The current snapshot, the one of an id, or the one that a past moment would have had."""
    from pipeline.decisions.graph import build_project, current_snapshot, kept_snapshot

    if as_of is None:
        return current_snapshot(project)
    if _SNAPSHOT_ID.fullmatch(as_of):
        return kept_snapshot(project, as_of)
    return build_project(project, as_of=moment(as_of, now=datetime.now(UTC)), make_current=False).snapshot


def period(snapshot: "Snapshot", from_text: str | None, to_text: str | None) -> tuple[date, date]:
    """[from, to): as given, else the 30 days that end with the last day that is over."""
    to_date = _day(to_text, "--to") if to_text else snapshot.as_of.date()
    from_date = _day(from_text, "--from") if from_text else to_date - timedelta(days=30)
    if from_date >= to_date:
        raise click.BadParameter(f"--from {from_date} is not before --to {to_date}.")
    return from_date, to_date


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a date like 2026-11-01.", param_hint=option) from None


def console() -> Console:
    """Coloured and as wide as it is on a terminal. In a pipe plain, a sentence on one line, tables of one width."""
    is_terminal = sys.stdout.isatty()
    return Console(width=None if is_terminal else 140, highlight=False, soft_wrap=not is_terminal)


def emit(frame: "pl.DataFrame", output_format: str, *, title: str = "") -> None:
    """A frame as a table for people, JSON for programs or CSV for spreadsheets."""
    from pipeline.reports.words import inert, plain, shown

    if output_format == "json":
        click.echo(json.dumps([{k: plain(v) for k, v in row.items()} for row in frame.to_dicts()], indent=2))
    elif output_format == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(frame.columns)
        for row in frame.iter_rows():
            writer.writerow([inert(plain(value)) for value in row])
    else:
        print_table(
            frame.columns, [[shown(name, value) for name, value in row.items()] for row in frame.to_dicts()], title
        )


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """A rich table; text from data is never read as markup."""
    table = Table(title=Text(title, style="bold") if title else None, title_justify="left", header_style="bold")
    for number, header in enumerate(headers):
        numeric = all(_is_number(row[number]) for row in rows) and bool(rows)
        table.add_column(Text(header.replace("_", " ")), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    print_without_ends(console(), table)


def print_without_ends(out: Console, table: Table) -> None:
    """Without the blanks that a table fills its lines with: in a pipe they are text."""
    with out.capture() as captured:
        out.print(table)
    out.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


# What is too small to be written, a sign and a currency: <, >−, -$, €, CA$, or CHF and a space that does not break.
_BEFORE_DIGITS = re.compile(r"^[<>]?[-\u2212]?(?:[A-Z]{3}\u00a0|[A-Z]{0,3}[^\w\s.,%-])?")

# A currency without a symbol: 12.00 CHF.
_AFTER_DIGITS = re.compile(r"\s[A-Z]{3}$")

# What stands in a column of numbers where there is none.
_NO_NUMBERS = ("", "—", "unknown", "undefined", "unpriced")


def _is_number(cell: str) -> bool:
    amount = _AFTER_DIGITS.sub("", cell.removeprefix("≤ ").removeprefix("≥ "))
    digits = _BEFORE_DIGITS.sub("", amount)
    return cell in _NO_NUMBERS or digits.replace(",", "").replace(".", "").replace("%", "").strip().isdigit()
