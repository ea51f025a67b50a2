"""`advice`: what to do, in the order in which to do it."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import click

from pipeline.cli.doubts import print_plans
from pipeline.cli.options import (
    as_of_option,
    console,
    emit,
    format_option,
    open_project,
    print_table,
    project_option,
    snapshot_for,
)
from pipeline.decisions.graph import config_of
from pipeline.formats.writing import printable
from pipeline.reports.questions import Questions
from pipeline.reports.words import million, money

_COLUMNS = ("advice", "deployment", "workload", "replicas", "tokens a day", "saves a month", "as of")


@click.command()
@project_option
@as_of_option
@format_option
def advice(folder: Path | None, as_of: str | None, output_format: str) -> None:
    """Fill what is paid for, then release what nothing needs, then switch, then buy: what each would save.

    Of the newest settled day. A release that is refused says why. `breakeven explain release DEPLOYMENT` and
    `breakeven explain fill DEPLOYMENT` show each number's arithmetic.

    \b
    Examples:
      breakeven advice
      breakeven advice --format json
    """
    project = open_project(folder)
    snapshot = snapshot_for(project, as_of)
    with Questions(snapshot) as questions:
        frame = questions.ask("advice", to_date=date.max)
        config = config_of(project, snapshot)
        if output_format != "table":
            emit(frame, output_format)
            return
        rows = frame.to_dicts()
        if rows:
            title = "What to do, in this order; what one saves is not what it saves after another"
            print_table(_COLUMNS, [_cells(row, config.reporting_currency) for row in rows], title)
        else:
            console().print(
                "Nothing to fill, to release, to switch or to buy: or nothing is known yet of what is paid for."
            )
        for row in rows:
            console().print(printable(f"{_about(row)}: {row['reason']}"), markup=False)
        print_plans(questions)


def _cells(row: Mapping[str, Any], currency: str) -> list[str]:
    count = row["replica_count"]
    return [
        row["advice"] if row["status"] not in ("refused", "pinned") else f"{row['advice']}: {row['status']}",
        row["deployment_id"] or "—",
        row["workload"] or "—",
        "—" if count is None else str(count),
        million(row["fit_tokens_per_day"]),
        money(row["saving_rc_per_month"], currency),
        str(row["usage_date"]),
    ]


def _about(row: Mapping[str, Any]) -> str:
    about = " ".join(name for name in (row["deployment_id"], row["workload"]) if name)
    return f"{row['advice']} {about}"
