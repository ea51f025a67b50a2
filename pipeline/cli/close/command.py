"""The command itself: it closes a month, or lists what was closed."""

from datetime import UTC, datetime
from pathlib import Path

import click

from pipeline.cli.close.entries import adjust, enter, rate
from pipeline.cli.close.listing import print_list
from pipeline.cli.close.month import MonthlyClose
from pipeline.cli.close.values import month_of, name_of, now_option, tolerances_of
from pipeline.cli.groups import WholeSentences
from pipeline.cli.options import format_option, moment, open_project, project_option


@click.group(cls=WholeSentences, invoke_without_command=True)
@project_option
@now_option
@click.option("--month", default=None, metavar="YYYY-MM", help="The month to close: one that is over.")
@click.option("--issuer", default=None, help="Close this issuer's invoices of the month alone.")
@click.option("--dry-run", is_flag=True, help="Say whether it ties, and close nothing.")
@click.option("--list", "is_list", is_flag=True, help="What was entered and closed, by whom and when.")
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    metavar="[CODE=]AMOUNT",
    help="What an invoice may be off by, in its currency's unit; CODE= for one currency. [default: 0.01]",
)
@format_option
@click.pass_context
def close(
    context: click.Context,
    folder: Path | None,
    as_of: str | None,
    month: str | None,
    issuer: str | None,
    dry_run: bool,
    is_list: bool,
    tolerances: tuple[str, ...],
    output_format: str,
) -> None:
    """Close a month: every invoice's total against its lines and adjustments, per issuer and currency.

    lines in scope + lines out of scope + adjustments + residual = total. A total is what the bill's export or AWS's
    invoicing states, or what `close enter` says; without one it is unknown, never 0. Where every invoice ties within
    the tolerance the month is closed: its figures stay, and what is restated later shows in the first month after it
    that is still open. With --issuer one issuer is closed before the others; a month is closed once all are.

    \b
    Exit code 1 when something does not tie or is unknown: then nothing is closed, and it says what to look at.

    \b
    Examples:
      breakeven close --month 2026-10 --dry-run
      breakeven close --month 2026-10
      breakeven close --month 2026-10 --issuer anthropic
      breakeven close --month 2026-10 --tolerance 0.01 --tolerance JPY=1
      breakeven close --list
    """
    if context.invoked_subcommand is not None:
        given = [name for name in ("month", "issuer", "folder", "as_of", "tolerances") if context.params[name]]
        if given or dry_run or is_list:
            raise click.UsageError(f"Options go after `{context.invoked_subcommand}`.")
        return
    if (month is None) == (not is_list):
        raise click.UsageError("Give either --month YYYY-MM or --list.")
    if is_list and (dry_run or tolerances or issuer is not None):
        raise click.UsageError("--list closes nothing: it takes no --dry-run, --tolerance or --issuer.")
    project = open_project(folder)
    now = moment(as_of, now=datetime.now(UTC))
    if month is None:
        print_list(project, now, output_format)
        return
    allowed = tolerances_of(project, tolerances)
    of = None if issuer is None else name_of(issuer, "--issuer")
    MonthlyClose(project, month_of(month), of, now, allowed, output_format, as_of is not None).run(dry_run=dry_run)


close.add_command(enter)
close.add_command(adjust)
close.add_command(rate)
