"""`backtest`: what each way to decide would have cost on a project's own days, knowing only what was known each day."""

import json
from decimal import Decimal
from pathlib import Path

import click

from pipeline.cli.options import as_of_option, console, open_project, print_table, project_option, snapshot_for
from pipeline.decisions.graph import config_of
from pipeline.formats.writing import printable
from pipeline.reports import figures
from pipeline.reports.backtest import Replayed, replayed, table_rows
from pipeline.reports.questions import Questions

_COLUMNS = ("policy", "cost", "above the best", "of it", "changes", "false alerts", "delay, days", "missed")


@click.command()
@project_option
@as_of_option
@click.option("--workload", default=None, help="Only this one.")
@click.option(
    "--one-off", type=click.FloatRange(min=0), default=0.0, show_default=True, help="What a change of side costs."
)
@click.option("--alpha", type=click.FloatRange(min=0.01), default=1.0, show_default=True, help="Of the regret meter.")
@click.option(
    "--known-after",
    "settle_days",
    type=click.IntRange(0, 60),
    default=2,
    show_default=True,
    metavar="DAYS",
    help="Days after a day is over until it is known.",
)
@click.option("--format", "output_format", type=click.Choice(["table", "json"]), default="table", show_default=True)
def backtest(
    folder: Path | None,
    as_of: str | None,
    workload: str | None,
    one_off: float,
    alpha: float,
    settle_days: int,
    output_format: str,
) -> None:
    """What the configured rule, and published rules of thumb, would have cost on your own days.

    Each day is decided with what was known by then, and held against who knew all of them. A false alert is a change to
    a side that was not the cheaper one over the 30 days after it; a delay counts from the clairvoyant's change.

    \b
    Examples:
      breakeven backtest
      breakeven backtest --workload support-chat --one-off 5000 --format json
    """
    project = open_project(folder)
    snapshot = snapshot_for(project, as_of)
    config = config_of(project, snapshot)
    with Questions(snapshot) as questions:
        found = replayed(
            questions,
            config,
            workload=workload,
            one_off=Decimal(str(one_off)),
            alpha=Decimal(str(alpha)),
            settle_days=settle_days,
        )
    if output_format == "json":
        click.echo(json.dumps([_as_json(one) for one in found], indent=2))
        return
    if not found:
        console().print("No workload has a verdict with a replica count to replay yet.")
    for one in found:
        _print(one, config.reporting_currency)


def _as_json(found: Replayed) -> dict[str, object]:
    return {
        "workload": found.workload,
        "from_date": found.days[0].day.isoformat(),
        "days_count": len(found.days),
        "starts_on": found.start,
        "policies": table_rows(found),
        "left_out": list(found.left_out),
    }


def _print(found: Replayed, currency: str) -> None:
    days = figures.counted(len(found.days), "decided day")
    title = f"{found.workload}: {days} from {found.days[0].day}, {currency}, starting on the {found.start} side"
    print_table(
        _COLUMNS,
        [
            [
                row["policy"],
                figures.money(row["cost_rc"], currency),
                figures.money(row["above_best_rc"], currency),
                figures.percent(row["above_best_ratio"], 1),
                str(row["change_count"]),
                str(row["false_alert_count"]),
                figures.UNKNOWN if row["median_delay_days"] is None else f"{row['median_delay_days']:g}",
                str(row["missed_count"]),
            ]
            for row in table_rows(found)
        ],
        printable(title),
    )
    if found.left_out:
        console().print(printable(f"Left out, being in dollars: {', '.join(found.left_out)}."), markup=False)
