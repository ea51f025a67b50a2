"""`report`: the month as one self-contained HTML file, and its tables for other programs."""

import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from pipeline.build.snapshot import Snapshot
from pipeline.cli.options import as_of_option, console, open_project, project_option, snapshot_for
from pipeline.config.mail import ADDRESS
from pipeline.errors import BreakevenError
from pipeline.formats.writing import printable
from pipeline.landing.project import Project
from pipeline.reports.figures import visible
from pipeline.reports.issuing import mail_report, publish
from pipeline.reports.monthly import FORMATS, make_reports, owners_in
from pipeline.reports.owners import TITLES
from pipeline.reports.sections.statement import By, Owned
from pipeline.reports.since_issued import last_issued, since_issued

_MOST_CHANGES = 10


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
@click.option("--team", "teams", multiple=True, metavar="NAME", help="The statement of this team instead.")
@click.option("--cost-centre", "cost_centres", multiple=True, metavar="NAME", help="The statement of this cost centre.")
@click.option("--teams", "is_of_teams", is_flag=True, help="A statement of each team, and of what no team owns.")
@click.option(
    "--cost-centres", "is_of_cost_centres", is_flag=True, help="A statement of each cost centre, and of what none owns."
)
@click.option(
    "--publish",
    "places",
    multiple=True,
    metavar="PLACE",
    help="Put it there too: s3://bucket/prefix or a folder; each snapshot has its own. Nothing is overwritten.",
)
@click.option(
    "--mail",
    "recipients",
    multiple=True,
    metavar="ADDRESS",
    help="Mail PDF, workbook and page, as far as made, by the server that `mail` of breakeven.yaml names. Once only.",
)
def report(
    folder: Path | None,
    as_of: str | None,
    month: str,
    formats: tuple[str, ...],
    teams: tuple[str, ...],
    cost_centres: tuple[str, ...],
    is_of_teams: bool,
    is_of_cost_centres: bool,
    places: tuple[str, ...],
    recipients: tuple[str, ...],
) -> None:
    """Write the month's report: spend, unit costs, waste, verdicts, reconciliation, coverage and gaps.

    Where it was issued before, what is not as it was then is said: figures that moved, with what they were.

    \b
    Examples:
      breakeven report --month 2026-10
      breakeven report --month 2026-10 --format pdf --format xlsx
      breakeven report --month 2026-10 --as-of 2026-11-05      as it was known then
      breakeven report --month 2026-10 --team search --format pdf
      breakeven report --month 2026-10 --publish s3://example-reports/llm --mail finance@example.com
    """
    if re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", month) is None:
        raise click.BadParameter(f"{month!r} is not a month like 2026-10.", param_hint="--month")
    project = open_project(folder)
    snapshot = snapshot_for(project, as_of)
    if not all(re.fullmatch(ADDRESS, one) for one in recipients):
        raise click.BadParameter("is not an address like finance@example.com.", param_hint="--mail")
    now = datetime.now(UTC)
    statements: list[Owned | None] = [
        *_chosen(project, snapshot, month, "team", teams, is_all=is_of_teams),
        *_chosen(project, snapshot, month, "cost_centre", cost_centres, is_all=is_of_cost_centres),
    ]
    issued = None if statements else last_issued(project, month)
    for owned in statements or [None]:
        made = make_reports(project, snapshot, month=month, now=now, formats=formats, owned=owned)
        for path in made.paths:
            console().print(str(path), markup=False)
        for text in () if issued is None else since_issued(project, made, issued, most=_MOST_CHANGES):
            console().print(printable(text), markup=False)
        links = []
        for place in places:
            where = place if place.startswith("s3://") else str(Path(place).absolute())
            links.append(publish(project, made, where, now=now))
            console().print(f"published {links[-1]}", markup=False)
        if recipients:
            told = mail_report(project, made, recipients, now=now, environment=os.environ, links=links)
            console().print(told, markup=False)


def _chosen(
    project: Project, snapshot: Snapshot, month: str, by: By, names: Sequence[str], *, is_all: bool
) -> list[Owned]:
    """Whose statements are asked for. Raises BreakevenError for a name to which nothing was charged."""
    if not names and not is_all:
        return []
    known = owners_in(project, snapshot, month=month, by=by)
    there = sorted(owned.name for owned in known if owned.name is not None)
    for name in names:
        if name not in there:
            raise BreakevenError(
                f"Nothing of {month} is charged to the {TITLES[by]} {name!r}. "
                f"Charged to: {', '.join(map(visible, there)) or 'nobody; `breakeven owners` says how to name one'}."
            )
    return known if is_all else [Owned(by, name) for name in dict.fromkeys(names)]
