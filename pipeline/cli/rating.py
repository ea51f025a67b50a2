"""`rating`: metered usage rated again beside the bill, and a packet of what is above its price."""

from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path

import click
import polars as pl

from pipeline.build.files import swapped
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
from pipeline.decisions.api_prices import price_list
from pipeline.decisions.check_results import CheckResult, check_results
from pipeline.decisions.graph import config_of
from pipeline.economics.exact import to_places
from pipeline.economics.rating import AGREES
from pipeline.errors import BreakevenError
from pipeline.formats.currency import money
from pipeline.formats.writing import printable
from pipeline.reports.figures import counted
from pipeline.reports.questions import Questions
from pipeline.reports.rating import (
    Prices,
    RatedLine,
    explanation,
    kind_in_words,
    line_name,
    packet_csv,
    rated_lines,
    totals,
)

# Without these, a line's tokens or its bill are not what its provider said.
LAWS = frozenset({"api_allocation_conserved", "api_book_of_record", "api_money_conserved", "api_tokens_conserved"})
_SHOWN = 20


@click.command()
@project_option
@as_of_option
@period_options
@format_option
@click.option(
    "--prices", "by", type=click.Choice(["contract", "list"]), default="contract", show_default=True,
    help="Rate at what is agreed (list where nothing is), or at list.",
)  # fmt: skip
@click.option(
    "--packet", "packet", type=click.Path(file_okay=False, path_type=Path), default=None, metavar="FOLDER",
    help="Write what is above its price there, to be sent to a provider: overbilling.csv and explanation.md. Not while "
    "a law is broken for an account that claims.",
)  # fmt: skip
def rating(
    folder: Path | None,
    as_of: str | None,
    from_text: str | None,
    to_text: str | None,
    output_format: str,
    by: Prices,
    packet: Path | None,
) -> None:
    """What metered tokens come to at their price, beside what the bill says, per day and line.

    Told apart: a persistent discount or surcharge, a price that moved, a day that was rated more than once, usage that
    is billed and was not metered, and what was metered and is not on the bill. Of an account that meters nothing, of a
    day that is not settled, and of a line without a price, nothing is said.

    \b
    Examples:
      breakeven rating
      breakeven rating --prices list --format csv
      breakeven rating --from 2026-10-01 --to 2026-11-01 --packet claim
    """
    project = open_project(folder)
    snapshot = snapshot_for(project, as_of)
    from_date, to_date = period(snapshot, from_text, to_text)
    with Questions(snapshot) as questions:
        prices = price_list(questions.select("select * from api_prices").to_dicts())
        lines = rated_lines(questions.ask, prices, by=by, from_date=from_date, to_date=to_date)
    if output_format != "table":
        emit(_frame(lines), output_format)
    else:
        _print(lines, title=f"Rated at {by} prices beside the bill, {from_date} to {to_date} UTC (end excluded)")
    broken = [one for one in check_results(snapshot) if not one.passed and one.law in LAWS]
    for one in broken:
        said = f"{one.law} is broken for {one.scope}: what is rated of it is no evidence ({one.detail})"
        click.echo(printable(said), err=output_format != "table")
    if packet is not None:
        _refuse_on_broken_laws(lines, broken)
        packet.mkdir(parents=True, exist_ok=True)
        company = config_of(project, snapshot).company
        said = explanation(
            lines, by=by, company=company, from_date=from_date, to_date=to_date, snapshot_id=snapshot.snapshot_id
        )
        for name, text in (("overbilling.csv", packet_csv(lines, by=by)), ("explanation.md", said)):
            swapped(packet / name, partial(_write, text))
        click.echo(printable(f"{packet}: overbilling.csv, explanation.md"), err=output_format != "table")


def _refuse_on_broken_laws(lines: list[RatedLine], broken: list[CheckResult]) -> None:
    """Nothing is sent to a provider that rests on sums which do not hold. An account without a claim holds up none."""
    claiming = {f"account:{line.key.account}" for line in lines if line.over}
    for one in broken:
        if not one.scope.startswith("account:") or one.scope in claiming:
            raise BreakevenError(
                printable(
                    f"No packet is written: {one.law} is broken for {one.scope} ({one.detail}) Mend that first: see "
                    "infra/RUNBOOK.md, Checks."
                )
            )


def _print(lines: list[RatedLine], *, title: str) -> None:
    if not lines:
        console().print(f"{title}: nothing is both billed and metered.")
        return
    odd = [line for line in lines if line.kinds != [AGREES]]
    cells = []
    for line in odd[:_SHOWN]:
        rated, billed = totals(line)
        currency = line.key.currency or ""
        amounts = [money(to_places(one, 18), currency) if currency else "" for one in (rated, billed, line.over)]
        cells.append([line_name(line.key), kind_in_words(line), *amounts])
    if cells:
        print_table(["line", "what it is", "rated", "billed", "over, at least"], cells, title)
    else:
        console().print(printable(f"{title}."), markup=False)
    more = f"; {counted(len(odd) - _SHOWN, 'more line')} in --format csv" if len(odd) > _SHOWN else ""
    agreeing = len(lines) - len(odd)
    console().print(f"{counted(agreeing, 'line')} of {len(lines)} agree on every day{more}.", markup=False)


def _frame(lines: list[RatedLine]) -> pl.DataFrame:
    """One row for each day and line."""
    rows = [
        {
            "usage_date": one.day.day, "provider": line.key.provider, "account": line.key.account,
            "model": line.key.model, "token_class": line.key.token_class, "service_tier": line.key.service_tier,
            "context_window": line.key.context_window, "inference_geo": line.key.region,
            "billing_currency": line.key.currency, "kind": one.kind, "times_count": one.times,
            "tokens": one.day.tokens, "rated_cost": _decimal(one.day.rated), "billed_cost": _decimal(one.day.billed),
            "over_at_least_cost": _decimal(one.over),
        }
        for line in lines
        for one in line.days
    ]  # fmt: skip
    schema = {
        **dict.fromkeys(
            ("usage_date", "provider", "account", "model", "token_class", "service_tier", "context_window",
             "inference_geo", "billing_currency", "kind"), pl.String()
        ),
        "usage_date": pl.Date(), "times_count": pl.Int64(), "tokens": pl.Int64(),
        **dict.fromkeys(("rated_cost", "billed_cost", "over_at_least_cost"), pl.Decimal(38, 18)),
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def _decimal(amount: Fraction | None) -> Decimal | None:
    return None if amount is None else to_places(amount, 18)


def _write(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
