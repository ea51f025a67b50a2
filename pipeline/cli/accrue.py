"""`accrue`: what a month owes and no bill says yet, as a journal; and once a bill says it, its reversal and true-up."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from pipeline.build.closing_tables import parse_month, parse_reason
from pipeline.build.config_tables.frames import config_frames
from pipeline.build.config_tables.versions import config_versions
from pipeline.build.files import swapped
from pipeline.build.snapshot import Snapshot
from pipeline.cli.events import who
from pipeline.cli.options import console, open_project, print_table, project_option
from pipeline.decisions.api_prices import price_list
from pipeline.decisions.check_results import check_results
from pipeline.decisions.graph import config_of, current_snapshot
from pipeline.economics.accrual import Posting
from pipeline.errors import BreakevenError
from pipeline.formats.currency import money
from pipeline.formats.writing import printable
from pipeline.landing.landing import (
    ACCRUAL_CORRECTED_EVENT,
    ACCRUAL_ISSUED_EVENT,
    ACCRUAL_SETTLED_EVENT,
    as_event,
)
from pipeline.landing.project import Project
from pipeline.landing.times import stamp
from pipeline.ownership import named_now
from pipeline.reports.accruals import (
    Accrued,
    Books,
    accrued_of,
    amount,
    as_csv,
    books_of,
    correct_body,
    drift_in_words,
    drifts_of,
    issue_body,
    journal_of,
    settle_body,
)
from pipeline.reports.closing import next_month
from pipeline.reports.figures import counted
from pipeline.reports.questions import Questions

# Without these, what is accrued is not what is agreed, or not whose it is said to be.
LAWS = frozenset({"gpu_money_conserved", "api_tokens_conserved", "owner_money_conserved"})


@click.command()
@project_option
@click.option("--month", required=True, metavar="YYYY-MM", help="The month, one that is over.")
@click.option("--dry-run", is_flag=True, help="Show what would be issued or settled; land and write nothing.")
@click.option(
    "--to", "file", type=click.Path(dir_okay=False, path_type=Path), default=None,
    help="The journal. [default: accruals-YYYY-MM.csv, here]",
)  # fmt: skip
@click.option("--correct", is_flag=True, help="Post what is accrued now and was not when it was issued.")
@click.option("--reason", default=None, help="Why it is corrected; kept with it, and needed for it.")
def accrue(
    folder: Path | None, month: str, dry_run: bool, file: Path | None, correct: bool, reason: str | None
) -> None:
    """Write a month's accruals as a journal CSV: what is agreed or metered, and on no bill yet.

    Issued once: what is written stays, to the byte, whatever is restated later; --correct posts the difference. When
    bills have come since, the same command adds their entries: `reversal` mirrors what was accrued, `billed` and
    `true_up` are the bill, as far as it was accrued and what it is more or less. Without a bill nothing is reversed.
    Accounts of the general ledger: `accounting` in breakeven.yaml; cost centres: `ownership`. In the CSV, what a
    spreadsheet would run begins with '.

    \b
    Examples:
      breakeven accrue --month 2026-10 --dry-run
      breakeven accrue --month 2026-10 --to october.csv
      breakeven accrue --month 2026-10 --correct --reason "usage of the 30th came late"
    """
    try:
        first = parse_month(month)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--month") from None
    if correct != (reason is not None):
        raise click.UsageError("--correct and --reason go together: what is corrected is kept with why.")
    if reason is not None:
        try:
            parse_reason(reason)
        except ValueError as error:
            raise click.BadParameter(f"{error}.", param_hint="--reason") from None
    project = open_project(folder)
    snapshot = current_snapshot(project)
    if not dry_run and snapshot.as_of.date() < next_month(first):
        raise BreakevenError(
            f"{month} is not over in snapshot {snapshot.snapshot_id} of {snapshot.as_of:%Y-%m-%d}: what it owes will "
            "grow. --dry-run shows what it is so far."
        )
    broken = sorted({one.law for one in check_results(snapshot) if not one.passed} & LAWS)
    if broken and not dry_run:
        raise BreakevenError(
            f"Laws are broken ({', '.join(broken)}): nothing is accrued. `breakeven status` says where."
        )
    rows = _brought_up_to_date(project, snapshot, first, reason=reason, dry_run=dry_run)
    if rows is None:
        return
    _print(rows)
    if not dry_run:
        target = file or Path(f"accruals-{month}.csv")
        target.parent.mkdir(parents=True, exist_ok=True)
        text = as_csv(rows)
        swapped(target, lambda aside: _write(aside, text))
        console().print(printable(f"{target}: {counted(len(rows), 'row')}"), markup=False)


def _brought_up_to_date(
    project: Project, snapshot: Snapshot, month: date, *, reason: str | None, dry_run: bool
) -> list[Posting] | None:
    """The journal as it is after this call, what is new of it landed; None where there is nothing to accrue."""
    about = {"snapshot_id": snapshot.snapshot_id, "as_of": stamp(snapshot.as_of), "by": who()}
    today = snapshot.as_of.date()
    subject = f"{month:%Y-%m}"
    with Questions(snapshot) as questions:
        config = config_of(project, snapshot)
        names = named_now((one.cost_centre, one.was) for one in config.owner_aliases if one.cost_centre is not None)
        now = _accrued(project, snapshot, questions, month, names)
        for text in now.left_out:
            console().print(printable(f"Not in the journal: {text}."), markup=False)
        events = project.landing.events()
        books = books_of(events, month)
        if books is None:
            if reason is not None:
                raise BreakevenError(
                    f"{subject} was not issued yet, so there is nothing to correct: without --correct."
                )
            if not now.lines:
                console().print(f"{subject}: nothing is accrued. What it owes is billed, or nothing is agreed.")
                return None
            _print_unsettled(questions, month)
            body = issue_body(now, month=month, config=config, about=about)
            events = _with(project, events, ACCRUAL_ISSUED_EVENT, subject, body, dry_run=dry_run)
            return journal_of(_held(events, month))
        found = settle_body(books, now, questions.ask, posting_date=today, about=about, names=names)
        if found is not None:
            events = _with(project, events, ACCRUAL_SETTLED_EVENT, subject, found, dry_run=dry_run)
            books = _held(events, month)
        drifts, waiting = drifts_of(books, now, questions.ask, names=names)
        if reason is not None and drifts:
            _print_unsettled(questions, month)
            said = correct_body(books, drifts, posting_date=today, reason=reason, about=about)
            events = _with(project, events, ACCRUAL_CORRECTED_EVENT, subject, said, dry_run=dry_run)
            books = _held(events, month)
        elif reason is not None:
            console().print("Nothing to correct: what is accrued now is what was posted.", markup=False)
        for text in waiting:
            console().print(printable(f"{text}."), markup=False)
        for drift in () if reason is not None else drifts:
            said_of_it = f"Not in the journal: {drift_in_words(drift)}. To post it: --correct --reason TEXT."
            console().print(printable(said_of_it), markup=False)
        return journal_of(books)


def _held(events: list[Any], month: date) -> Books:
    books = books_of(events, month)
    assert books is not None
    return books


def _print_unsettled(questions: Questions, month: date) -> None:
    """The days of which more may come: what is issued of them is too little for ever."""
    early = questions.ask("growing_days", from_date=month, to_date=next_month(month)).to_dicts()
    if early:
        first = early[0]
        said = (
            f"Not settled: {counted(len(early), 'day')} from {first['usage_date']} ({first['first_source']}). They may "
            "still grow, and what is issued stays: wait until `breakeven status` calls the month settled."
        )
        console().print(printable(said), markup=False)


def _with(
    project: Project, events: list[Any], kind: str, subject: str, body: dict[str, Any], *, dry_run: bool
) -> list[Any]:
    """The events with this one, which is landed unless it is only shown."""
    event = as_event(kind=kind, subject=subject, body=body, now=datetime.now(UTC))
    if dry_run:
        return [*events, event]
    project.landing.keep(event)
    # As it landed: of two that were issued at once the first one counts, for both.
    return project.landing.events()


def _accrued(
    project: Project, snapshot: Snapshot, questions: Questions, month: date, names: Mapping[str, str]
) -> Accrued:
    frames = config_frames(config_versions(project.landing.contents().as_of(snapshot.as_of).events), ())
    return accrued_of(
        questions.ask,
        month=month,
        prices=price_list(questions.select("select * from api_prices").to_dicts()),
        ownership=frames["config_ownership"].to_dicts(),
        workloads=frames["config_workloads"].to_dicts(),
        names=names,
    )


def _print(rows: list[Posting]) -> None:
    """What each entry comes to, by currency."""
    sums: dict[tuple[str, str, str], int] = {}
    for row in rows:
        key = (row.entry, row.posting_date.isoformat(), row.currency)
        sums[key] = sums.get(key, 0) + row.debit
    cells = [[entry, day, money(amount(units, currency), currency)] for (entry, day, currency), units in sums.items()]
    print_table(["entry", "posting date", "debited and credited"], cells)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
