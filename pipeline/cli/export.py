"""`export`: what other tools read."""

from pathlib import Path

import click
import polars as pl

from pipeline.build.closing_tables import parse_month
from pipeline.cli.groups import WholeSentences
from pipeline.cli.options import as_of_option, console, emit, open_project, project_option, snapshot_for
from pipeline.decisions.graph import config_of
from pipeline.formats.writing import printable
from pipeline.reports.figures import counted
from pipeline.reports.focus_export import VERSIONS, FileFormat, FocusExport, Version, focus_rows, write_focus
from pipeline.reports.questions import Questions


@click.group(cls=WholeSentences)
def export() -> None:
    """Write what other tools read: every bill in FOCUS's columns.

    \b
    Example:
      breakeven export focus --month 2026-10
    """


@export.command()
@project_option
@as_of_option
@click.option("--month", required=True, metavar="YYYY-MM", help="The billing month.")
@click.option(
    "--focus-version",
    "version",
    type=click.Choice(VERSIONS),
    default="1.2",
    show_default=True,
    help="Columns of which FOCUS. The split by GPU time is in its own columns from 1.3 on, and in x_ ones before.",
)
@click.option("--format", "file_format", type=click.Choice(["parquet", "csv"]), default="parquet", show_default=True)
@click.option(
    "--to", "file", type=click.Path(dir_okay=False, path_type=Path), default=None,
    help="The file. [default: focus-YYYY-MM.parquet or .csv, here]",
)  # fmt: skip
def focus(
    folder: Path | None, as_of: str | None, month: str, version: Version, file_format: FileFormat, file: Path | None
) -> None:
    """Write a billing month as FOCUS Cost and Usage: API, cloud and GPU bills, and owned hardware.

    BilledCost adds up to the bills, invoice by invoice, else nothing is written. What is charged for a GPU is split by
    the time that each deployment had of it, serving and idle. In a CSV, what a spreadsheet would run begins with '.

    \b
    Examples:
      breakeven export focus --month 2026-10
      breakeven export focus --month 2026-10 --format csv --focus-version 1.3 --to october.csv
    """
    try:
        first = parse_month(month)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--month") from None
    project = open_project(folder)
    snapshot = snapshot_for(project, as_of)
    with Questions(snapshot) as questions:
        currency = config_of(project, snapshot).reporting_currency
        rows = focus_rows(questions, month=first, version=version, reporting_currency=currency)
    if rows.is_empty():
        raise click.UsageError(f"No bill of {month} has landed. `breakeven status` shows which days have.")
    _print(write_focus(rows, file or Path(f"focus-{month}.{file_format}"), file_format))


def _print(written: FocusExport) -> None:
    emit(pl.DataFrame([vars(charged) for charged in written.charged]), "table")
    console().print(printable(f"{written.file}: {counted(written.rows, 'row')}"), markup=False)
