"""`prices`: what API tokens cost at list, as billed and avoidably; what has no price; and what a new price flips."""

import json
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click
import polars as pl

from pipeline.cli.options import (
    as_of_option,
    console,
    emit,
    open_project,
    print_table,
    project_option,
    snapshot_for,
)
from pipeline.cli.whatif import answer_of, newest_settled
from pipeline.config.whole import Config
from pipeline.decisions.graph import config_of
from pipeline.decisions.price_view import (
    ClassPrice,
    Commitment,
    class_prices,
    commitments,
    impact_of,
    price_change_days,
)
from pipeline.decisions.what_if import Case, Outcome, verdict_case
from pipeline.decisions.window import WINDOW_DAYS
from pipeline.formats.writing import printable
from pipeline.reports.questions import Questions
from pipeline.reports.words import plain

_AHEAD_DAYS = 366


@click.command()
@project_option
@as_of_option
@click.option("--format", "output_format", type=click.Choice(["table", "json"]), default="table", show_default=True)
def prices(folder: Path | None, as_of: str | None, output_format: str) -> None:
    """What a million API tokens cost at list, as billed, and avoidably; what is unpriced; what a new price flips.

    Of the 28 days up to the newest settled one. Only the avoidable price enters a decision: what is committed is due
    whether the traffic stays or leaves, and what was billed before a price changed counts at the new one. A price or
    a contract that begins or ends within these days, or within a year from now, is named with the workloads it turns;
    `breakeven whatif --prices-as-of` says of each how.

    \b
    Examples:
      breakeven prices
      breakeven prices --format json
    """
    project = open_project(folder)
    snapshot = snapshot_for(project, as_of)
    config = config_of(project, snapshot)
    day = newest_settled(snapshot)
    case = verdict_case(project, snapshot, day)
    found = class_prices(case)
    first = day - timedelta(days=WINDOW_DAYS - 1)
    turned = [
        (changed, [outcome for outcome in impact_of(case, changed) if outcome.is_flipped])
        for changed in price_change_days(case, after=first, until=day + timedelta(days=_AHEAD_DAYS))
    ]
    with Questions(snapshot) as questions:
        unpriced = questions.ask("unpriced_tokens", from_date=first, to_date=day + timedelta(days=1))
        used = [(one, _use(questions, one, day)) for one in commitments(case)]
    if output_format == "json":
        click.echo(json.dumps(_as_json(case, found, turned, unpriced, used, config), indent=2))
        return
    _print(case, found, turned, unpriced, used, config)


def _use(questions: Questions, one: Commitment, day: date) -> dict[str, Any]:
    [row] = questions.ask(
        "commitment_use",
        provider=one.provider,
        accounts=list(one.accounts),
        currency=one.currency,
        from_date=one.from_date,
        to_date=min(one.to_date, day + timedelta(days=1)),
    ).to_dicts()
    return row


def _print(
    case: Case,
    found: list[ClassPrice],
    turned: list[tuple[date, list[Outcome]]],
    unpriced: pl.DataFrame,
    used: list[tuple[Commitment, dict[str, Any]]],
    config: Config,
) -> None:
    out = console()
    if found:
        title = f"API prices per 1M tokens in {config.reporting_currency}, {WINDOW_DAYS} days to {case.day}"
        print_table(_HEADERS, [_cells(one) for one in found], title)
    else:
        out.print("No workload has tokens that could be priced yet.")
    for reason in dict.fromkeys(f"{one.workload}: {one.reason}." for one in found if one.reason):
        out.print(printable(reason), markup=False)
    for one, use in used:
        out.print(printable(_committed(one, use, case.day)), markup=False)
    if not unpriced.is_empty():
        emit(unpriced, "table", title="Without a list price: unpriced, not free")
    for day, outcomes in turned:
        when = "changes" if day > case.day else "changed"
        said = "; ".join(
            f"{outcome.after['workload']}: {answer_of(outcome.before)} -> {answer_of(outcome.after)}"
            for outcome in outcomes
        )
        out.print(printable(f"A price {when} on {day}: {said or 'no verdict turns'}."), markup=False)


_HEADERS = ("workload", "token class", "M tokens", "at list", "unlisted", "as billed", "decides", "avoidable", "basis")


def _cells(one: ClassPrice) -> list[str]:
    """A price with four digits after the point; a dash where it is unknown."""
    amounts = [
        "—" if amount is None else f"{amount:,.4f}"
        for amount in (one.realized_rc_per_mtok, one.decides_rc_per_mtok, one.avoidable_rc_per_mtok)
    ]
    at_list = "—" if one.list_rc_per_mtok is None else f"{one.list_rc_per_mtok:,.4f}"
    tokens, unlisted = (f"{count / 1_000_000:,.1f}" for count in (one.tokens, one.unlisted_tokens))
    return [one.workload, one.token_class, tokens, at_list, unlisted, *amounts, one.basis or "unpriced"]


def _committed(one: Commitment, use: dict[str, Any], day: date) -> str:
    of = one.provider if one.account is None else f"{one.provider}/{one.account}"
    over = (min(one.to_date, day + timedelta(days=1)) - one.from_date).days
    period = (
        f"{one.from_date} to {one.to_date} (end excluded, {over} of {(one.to_date - one.from_date).days} days over)"
    )
    said = f"Due to {of}, {period}: "
    parts = [
        f"{amount:,.2f} {one.currency} {what}"
        for amount, what in ((one.committed_cost, "committed"), (one.minimum_monthly_cost, "at least a month"))
        if amount
    ]
    billed = "nothing yet" if use["used_cost"] is None else f"{use['used_cost']:,.2f} {one.currency}"
    said += ", ".join(parts) + f"; billed so far {billed}"
    if use["other_currency_rows_count"]:
        said += f", and {use['other_currency_rows_count']} rows in other currencies, which are not counted"
    if use["unbilled_rows_count"]:
        said += f", and {use['unbilled_rows_count']} rows that are metered and not billed yet"
    return f"{said}."


def _as_json(
    case: Case,
    found: list[ClassPrice],
    turned: list[tuple[date, list[Outcome]]],
    unpriced: pl.DataFrame,
    used: list[tuple[Commitment, dict[str, Any]]],
    config: Config,
) -> dict[str, Any]:
    return {
        "day": case.day.isoformat(),
        "reporting_currency": config.reporting_currency,
        "prices": [{name: plain(value) for name, value in asdict(one).items()} for one in found],
        "unpriced": [{name: plain(value) for name, value in row.items()} for row in unpriced.to_dicts()],
        "commitments": [
            {name: plain(value) for name, value in {**asdict(one), **use, "accounts": list(one.accounts)}.items()}
            for one, use in used
        ],
        "price_changes": [
            {
                "day": day.isoformat(),
                "flips": [
                    {
                        "workload": outcome.after["workload"],
                        "before": answer_of(outcome.before),
                        "after": answer_of(outcome.after),
                    }
                    for outcome in outcomes
                ],
            }
            for day, outcomes in turned
        ],
    }
