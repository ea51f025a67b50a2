"""`owners`, and `costs --by`: whose the spend is, and what to write where it is nobody's."""

from decimal import Decimal
from functools import partial
from pathlib import Path

import click
import polars as pl

from pipeline.cli.options import (
    as_of_option,
    console,
    emit,
    format_option,
    open_project,
    period,
    period_options,
    print_table,
    project_option,
    snapshot_for,
)
from pipeline.decisions.graph import config_of
from pipeline.formats.writing import printable
from pipeline.ownership import ATTRIBUTES
from pipeline.reports.figures import counted
from pipeline.reports.owners import (
    DRIVER_COLUMNS,
    MEASURES,
    NOTE,
    TITLES,
    WITHOUT,
    driver_cells,
    driver_reasons,
    measures_in,
    owner_cells,
    owner_rows,
    owners_of,
    ownership_line,
)
from pipeline.reports.questions import Questions
from pipeline.reports.words import money

DRIVER = "driver"
CHOICES = tuple(name.replace("_", "-") for name in ATTRIBUTES)
_SHOWN = 20


def answer_by_owner(
    by: str, folder: Path | None, as_of: str | None, from_text: str | None, to_text: str | None, output_format: str
) -> None:
    """What each team, cost centre or environment cost, or a unit of what the business did."""
    if by == DRIVER:
        _answer_by_driver(folder, as_of, from_text, to_text, output_format)
        return
    attribute = by.replace("-", "_")
    project = open_project(folder)
    snapshot = snapshot_for(project, as_of)
    config = config_of(project, snapshot)
    from_date, to_date = period(snapshot, from_text, to_text)
    with Questions(snapshot) as questions:
        frame = owner_rows(questions.ask, config, by=attribute, from_date=from_date, to_date=to_date)
    if output_format != "table":
        emit(frame, output_format)
        return
    owners = owners_of(frame.to_dicts())
    days = f"{from_date} to {to_date} UTC (end excluded)"
    if not owners:
        console().print(f"Spend by {TITLES[attribute]}, {days}: nothing was charged.")
        return
    measures = measures_in(owners)
    write = partial(money, currency=config.reporting_currency)
    cells = [owner_cells(owner, measures, money=write) for owner in owners]
    headers = [TITLES[attribute], *measures, "unconverted"]
    if not any(row[-1] for row in cells):
        headers, cells = headers[:-1], [row[:-1] for row in cells]
    title = f"Spend by {TITLES[attribute]}, {days}, in {config.reporting_currency}, snapshot {snapshot.snapshot_id}"
    print_table(headers, cells, title)
    console().print(NOTE, markup=False)
    if owners[-1].name is None:
        said = "" if attribute == "team" else f" --by {by}"
        console().print(f"What nobody owns: breakeven owners{said}", markup=False)


def _answer_by_driver(
    folder: Path | None, as_of: str | None, from_text: str | None, to_text: str | None, output_format: str
) -> None:
    """What a unit of each business driver cost: months, and in the other formats their days too."""
    project = open_project(folder)
    snapshot = snapshot_for(project, as_of)
    config = config_of(project, snapshot)
    from_date, to_date = period(snapshot, from_text, to_text)
    with Questions(snapshot) as questions:
        frame = questions.ask("driver_costs", from_date=from_date, to_date=to_date)
        left_out = questions.ask("driver_left_out", from_date=from_date, to_date=to_date).row(0, named=True)
    if output_format != "table":
        emit(frame, output_format)
        return
    rows = [row for row in frame.to_dicts() if row["period"] == "month"]
    title = f"Cost per driver, months of {from_date} to {to_date}, in {config.reporting_currency}"
    if not rows:
        console().print(f"{title}: nobody has written down a driver. A source drivers_csv reads date,driver,value.")
        return
    currency = config.reporting_currency
    write = partial(money, currency=currency)
    print_table(DRIVER_COLUMNS, [driver_cells(row, money=write, currency=currency) for row in rows], title)
    for text in driver_reasons(rows):
        console().print(printable(f"Unknown: {text}."), markup=False)
    if left_out["charge_count"]:
        least = "" if left_out["is_whole"] else "at least "
        of_clouds = write(left_out["known_cost_rc"] or Decimal(0))
        said = (
            f"In none of them: {least}{of_clouds} that clouds charged from {from_date} to {to_date} beside GPUs, "
            "the models that they host and services billed by use."
        )
        console().print(printable(said), markup=False)


@click.command()
@project_option
@as_of_option
@period_options
@format_option
@click.option(
    "--by", "by", type=click.Choice(CHOICES), default="team", show_default=True, help="What nobody has said of it."
)
def owners(
    folder: Path | None, as_of: str | None, from_text: str | None, to_text: str | None, output_format: str, by: str
) -> None:
    """Spend that nobody owns, biggest first, and the line of `ownership` in breakeven.yaml that says whose it is.

    A line takes all that it matches and no narrower line does: an account's takes what is left of the account.

    \b
    Examples:
      breakeven owners
      breakeven owners --by cost-centre --from 2026-10-01 --to 2026-11-01
    """
    attribute = by.replace("-", "_")
    project = open_project(folder)
    snapshot = snapshot_for(project, as_of)
    config = config_of(project, snapshot)
    from_date, to_date = period(snapshot, from_text, to_text)
    with Questions(snapshot) as questions:
        frame = questions.ask("unattributed", attribute=attribute, from_date=from_date, to_date=to_date)
    lines = [ownership_line(row, by=attribute) for row in frame.to_dicts()]
    if output_format != "table":
        emit(frame.with_columns(pl.Series("line", lines, dtype=pl.String())), output_format)
        return
    title = f"Spend {WITHOUT[attribute]}, {from_date} to {to_date} UTC (end excluded)"
    rows = frame.to_dicts()
    if not rows:
        console().print(f"{title}: none.")
        return
    write = partial(money, currency=config.reporting_currency)
    measures = [name for name in MEASURES if any(row[f"{name}_cost_rc"] is not None for row in rows)]
    cells = [
        [
            row["issuer"],
            row["account"] or "—",
            row["known_by"].removesuffix("_id").replace("_", " "),
            row["known_as"] or "—",
            *("" if row[f"{name}_cost_rc"] is None else write(row[f"{name}_cost_rc"]) for name in measures),
            str(row["unknown_charge_count"] or ""),
        ]
        for row in rows[:_SHOWN]
    ]
    print_table(["issuer", "account", "known by", "known as", *measures, "no amount or no rate"], cells, title)
    if len(rows) > _SHOWN:
        console().print(f"And {counted(len(rows) - _SHOWN, 'more line')}: --format csv has all.", markup=False)
    console().print("Under `ownership:` in breakeven.yaml, with a name for NAME and a `from:` where it began:")
    for line in lines[:_SHOWN]:
        if line is not None:
            console().print(f"  {printable(line)}", markup=False)
