"""`doctor`: is everything there, allowed, whole and on time; and which one thing to fix next."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import click
import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli.options import console, emit, format_option, moment, open_project, print_without_ends, project_option
from pipeline.doctor.examine import examine
from pipeline.doctor.findings import Finding, State, needs_fixing, next_step
from pipeline.reports.figures import counted

_HEADINGS = {
    "sources": "Sources", "landing": "Landing", "state": "This machine", "slack": "Slack", "figures": "Figures",
}  # fmt: skip
_MARKS: dict[State, tuple[str, str]] = {
    "ok": ("ok", "green"), "note": ("note", "yellow"), "fix": ("FIX", "bold red"), "skipped": ("skip", "dim"),
}  # fmt: skip
_WORST_FIRST: tuple[State, ...] = ("fix", "note", "ok", "skipped")
_COLUMNS: dict[str, pl.DataType] = {
    "area": pl.String(),
    "subject": pl.String(),
    "source": pl.String(),
    "account": pl.String(),
    "dataset": pl.String(),
    "check": pl.String(),
    "state": pl.String(),
    "said": pl.String(),
    "fix": pl.String(),
    "line": pl.String(),
    "from_date": pl.Date(),
    "to_date": pl.Date(),
    "late_days_count": pl.Int64(),
    "is_next": pl.Boolean(),
}


@click.command()
@project_option
@click.option(
    "--timeout", "seconds", type=click.FloatRange(min=0.1, max=600), default=20.0, show_default=True, metavar="SECONDS",
    help="How long to wait for answers from elsewhere, all of them together.",
)  # fmt: skip
@click.option("--offline", is_flag=True, help="Ask nothing of the network.")
@click.option("--full", is_flag=True, help="Read every landed object, not only a sample. Takes as long as it takes.")
@click.option("--as-of", "as_of", default=None, metavar="MOMENT", help="Pretend that now is this moment (UTC).")
@format_option
def doctor(
    folder: Path | None, seconds: float, offline: bool, full: bool, as_of: str | None, output_format: str
) -> None:
    """Sources, landing, formats, cache, Slack, laws: what is wrong, and the one thing to fix next.

    Asks each source one small question and changes nothing anywhere.

    \b
    Exit code 0 when all is well, 1 when something needs fixing (FIX); notes do not count.

    \b
    Examples:
      breakeven doctor
      breakeven doctor --offline --format json
    """
    project = replace(open_project(folder), is_read_only=True)
    now = moment(as_of, now=datetime.now(UTC))
    findings = examine(project, now=now, environment=os.environ, seconds=seconds, offline=offline, full=full)
    if output_format == "table":
        title = f"breakeven doctor, {project.config.company}, {now:%Y-%m-%d %H:%M} UTC"
        print_findings(console(), title, findings)
    else:
        emit(as_frame(findings), output_format)
    if needs_fixing(findings):
        raise SystemExit(1)


def as_frame(findings: Sequence[Finding]) -> pl.DataFrame:
    """One row a finding."""
    chosen = next_step(findings)
    named = [field.name for field in fields(Finding) if field.name in _COLUMNS]
    rows = [{**{name: getattr(found, name) for name in named}, "is_next": found is chosen} for found in findings]
    return pl.DataFrame(rows, schema=_COLUMNS, orient="row")


def print_findings(out: Console, title: str, findings: Sequence[Finding]) -> None:
    """By area and subject: the worst first word, what is well in one line, each other thing with what to do."""
    out.print(Text(title, style="bold"))
    width = min(max((len(found.subject) for found in findings), default=0), out.width * 3 // 10)
    for area, of_area in groupby(findings, key=lambda found: found.area):
        out.print()
        out.print(Text(_HEADINGS[area], style="bold"))
        table = Table.grid(padding=(0, 2))
        table.add_column(width=4)
        table.add_column(width=width, overflow="fold")
        table.add_column(overflow="fold")
        for subject, of_subject in groupby(of_area, key=lambda found: found.subject):
            about = list(of_subject)
            word, style = _MARKS[min((found.state for found in about), key=_WORST_FIRST.index)]
            table.add_row(Text(word, style=style), Text(subject), _lines(about))
        print_without_ends(out, table)
    out.print()
    out.print(_last_line(findings))


def _lines(findings: Sequence[Finding]) -> Text:
    """What is well on one line, then the rest, each on its own with what to do about it."""
    well = "; ".join(_merged(found for found in findings if found.state in ("ok", "skipped")))
    lines = [Text(well)] if well else []
    for state in ("fix", "note"):
        for said, fix, line in _troubles(found for found in findings if found.state == state):
            lines.append(Text(said, style=_MARKS[state][1]))
            lines += [Text(text) for text in (f"-> {fix}" if fix else "", line) if text]
    return Text("\n").join(lines)


def _merged(findings: Iterable[Finding]) -> list[str]:
    """Each thing once, whichever datasets it is said of."""
    return list(dict.fromkeys(found.said for found in findings))


def _troubles(findings: Iterable[Finding]) -> list[tuple[str, str, str]]:
    """(what is so, what to do, the line to write), the datasets of which the same is so together."""
    of: dict[tuple[str, str, str], list[str]] = {}
    for found in findings:
        of.setdefault((found.said, found.fix, found.line), []).extend([found.dataset] if found.dataset else [])
    return [(f"{', '.join(names)}: {said}" if names else said, fix, line) for (said, fix, line), names in of.items()]


def _last_line(findings: Sequence[Finding]) -> Text:
    count = sum(found.state == "fix" for found in findings)
    found = next_step(findings)
    said = f"{counted(count, 'thing needs', 'things need')} fixing. " if count else "Nothing needs fixing. "
    if found is None:
        return Text(said, style="green")
    about = f"{found.subject}: {found.said}" if count else found.said
    todo = f"{found.fix} {found.line}".strip()
    return Text.assemble(said, ("Next: ", "bold"), todo, (f"  ({about})", "dim"))
