"""`report`: the month as one self-contained HTML file, and its tables for other programs."""

import re
from datetime import UTC, datetime
from pathlib import Path

import click

from pipeline.cli.options import as_of_option, console, open_project, project_option, snapshot_for
from pipeline.reports.monthly import FORMATS, write_reports


@click.command()
@project_option
@as_of_option
@click.option("--month", required=True, metavar="YYYY-MM", help="The UTC month to report.")
@click.option(
    "--format",
    "formats",
    type=click.Choice(FORMATS),
    multiple=True,
    default=("html",),
    show_default=True,
    help="Several, if given several times. pdf: the same on pages that print; xlsx: a sheet a table; csv, parquet: a "
    "folder, a file a table, with a manifest; md: a summary for a channel.",
)
def report(folder: Path | None, as_of: str | None, month: str, formats: tuple[str, ...]) -> None:
    """Write the month's report: spend, unit costs, waste, verdicts, reconciliation, coverage and gaps.

    \b
    Examples:
      breakeven report --month 2026-10
      breakeven report --month 2026-10 --format pdf --format xlsx
      breakeven report --month 2026-10 --as-of 2026-11-05      as it was known then
    """
    if re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", month) is None:
        raise click.BadParameter(f"{month!r} is not a month like 2026-10.", param_hint="--month")
    project = open_project(folder)
    snapshot = snapshot_for(project, as_of)
    for path in write_reports(project, snapshot, month=month, now=datetime.now(UTC), formats=formats):
        console().print(str(path), markup=False)
