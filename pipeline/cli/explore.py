"""`explore`: one HTML page to slice costs, prices, GPU time and verdicts by day."""

from datetime import timedelta
from functools import partial
from pathlib import Path

import click

from pipeline.build.files import swapped
from pipeline.cli.options import (
    as_of_option,
    console,
    open_project,
    period,
    period_options,
    project_option,
    snapshot_for,
)
from pipeline.decisions.graph import config_of
from pipeline.reports.explore import explore_page
from pipeline.reports.questions import Questions

_DAYS = 90


@click.command()
@project_option
@as_of_option
@partial(period_options, days=_DAYS)
def explore(folder: Path | None, as_of: str | None, from_text: str | None, to_text: str | None) -> None:
    """Write a page that opens from disk: costs, prices, GPU time and verdicts by day, sliced as you like.

    It holds the last 90 days unless --from says more, and asks nothing of the network.

    \b
    Examples:
      breakeven explore
      breakeven explore --from 2026-01-01
    """
    project = open_project(folder)
    snapshot = snapshot_for(project, as_of)
    _, to_date = period(snapshot, None, to_text)
    from_date, to_date = period(snapshot, from_text or (to_date - timedelta(days=_DAYS)).isoformat(), to_text)
    with Questions(snapshot, from_date=from_date) as questions:
        page = explore_page(
            questions, snapshot, config=config_of(project, snapshot), from_date=from_date, to_date=to_date
        )
    target = project.paths.reports / "explore.html"
    swapped(target, partial(_write, text=page))
    console().print(str(target), markup=False)


def _write(path: Path, *, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
