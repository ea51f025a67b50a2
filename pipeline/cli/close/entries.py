"""What somebody enters about an invoice: what it comes to, what it holds beside its lines, how it is converted."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import polars as pl

from pipeline.build.closing_tables import (
    ADJUSTMENT_EVENT,
    KINDS,
    RATE_EVENT,
    TOTAL_EVENT,
    Closing,
    InvoiceName,
    closing_of,
)
from pipeline.cli.close.order import refuse_before_others
from pipeline.cli.close.saying import say, what_is_closed
from pipeline.cli.close.values import amount_of, currency_of, month_of, name_of, now_option, reason_of
from pipeline.cli.events import who
from pipeline.cli.options import moment, open_project, project_option
from pipeline.decisions.graph import current_snapshot
from pipeline.errors import BreakevenError, BuildError
from pipeline.formats.writing import printable
from pipeline.landing.landing import as_event
from pipeline.landing.project import Project
from pipeline.reports.closing import exact_money
from pipeline.reports.invoice_rates import why_inverted
from pipeline.reports.questions import Questions

_INVOICE_OPTIONS = (
    click.option("--month", required=True, metavar="YYYY-MM", help="The month that the invoice bills."),
    click.option("--issuer", required=True, help="Who sends it, as `breakeven close --month` names them."),
    click.option("--currency", required=True, metavar="CODE", help="Currency of the invoice, as USD."),
    click.option("--invoice-id", "invoice_id", required=True, help="As the invoice says it."),
)


def _of_an_invoice(command: Any) -> Any:
    for option in reversed(_INVOICE_OPTIONS):
        command = option(command)
    return command


@click.command()
@project_option
@now_option
@_of_an_invoice
@click.option("--total", required=True, metavar="AMOUNT", help="What it comes to, tax included, like 1234.56.")
@click.option("--account", default=None, help="Whose lines it bills, where its issuer bills several accounts apart.")
@click.option("--reason", default=None, help="Why it is another total than was entered before; needed then.")
def enter(
    folder: Path | None,
    as_of: str | None,
    month: str,
    issuer: str,
    currency: str,
    invoice_id: str,
    total: str,
    account: str | None,
    reason: str | None,
) -> None:
    """Say what an invoice comes to. A later entry corrects an earlier one; both stay known.

    \b
    Examples:
      breakeven close enter --month 2026-10 --issuer anthropic --currency USD --invoice-id INV-77 --total 15.78
      breakeven close enter --month 2026-10 --issuer openai --currency USD --invoice-id B-3 --total 9.10 --reason typo
    """
    if reason is not None:
        reason_of(reason)
    entry = _Entry.of(folder, as_of, month=month, issuer=issuer, currency=currency, invoice_id=invoice_id)
    amount = amount_of(total, "--total")
    before = entry.closing.totals.get(entry.name)
    if before is not None and (before.amount, before.account) == (amount, account):
        raise BreakevenError(
            printable(
                f"{invoice_id} is {exact_money(amount, currency)} already, as {before.by} said on {before.at:%Y-%m-%d}."
            )
        )
    if before is not None and reason is None:
        raise BreakevenError(
            printable(
                f"{invoice_id} was entered as {exact_money(before.amount, entry.name.currency)} by {before.by} on "
                f"{before.at:%Y-%m-%d}. To correct it, say why: --reason TEXT."
            )
        )
    body = {"total": total, "account": None if account is None else name_of(account, "--account"), "reason": reason}
    entry.land(TOTAL_EVENT, body)
    was = "" if before is None else f"; it was {exact_money(before.amount, entry.name.currency)}"
    say(f"Entered: {invoice_id} of {issuer} comes to {exact_money(amount, entry.name.currency)}{was}.")
    entry.say_what_is_odd(account=account)


@click.command()
@project_option
@now_option
@_of_an_invoice
@click.option("--kind", required=True, type=click.Choice(KINDS), help="What it is.")
@click.option("--amount", required=True, metavar="AMOUNT", help="With its sign: a credit is below zero.")
@click.option("--reason", required=True, help="What it is for; kept with it.")
@click.option("--replaces", default=None, metavar="ID", help="The adjustment that this one corrects (`close --list`).")
def adjust(
    folder: Path | None,
    as_of: str | None,
    month: str,
    issuer: str,
    currency: str,
    invoice_id: str,
    kind: str,
    amount: str,
    reason: str,
    replaces: str | None,
) -> None:
    """Say what an invoice holds beside its lines: tax, a credit, a refund, rounding, fx, late or unmetered use.

    \b
    Examples:
      breakeven close adjust --month 2026-10 --issuer openai --currency USD --invoice-id B-3 --kind tax --amount 1.36 --reason VAT
      breakeven close adjust --month 2026-10 --issuer openai --currency USD --invoice-id B-3 --kind fx --amount -0.2 --reason card
    """  # noqa: E501
    entry = _Entry.of(folder, as_of, month=month, issuer=issuer, currency=currency, invoice_id=invoice_id)
    amount_of(amount, "--amount")
    reason_of(reason)
    body = {
        "kind": kind,
        "amount": amount,
        "reason": reason,
        "replaces": None if replaces is None else name_of(replaces, "--replaces"),
    }
    adjustment_id = entry.land(ADJUSTMENT_EVENT, body)
    shown = exact_money(Decimal(amount), entry.name.currency)
    say(f"Entered: {kind} of {shown} on {invoice_id} of {issuer}. Its id is {adjustment_id}.")
    entry.say_what_is_odd()


@click.command()
@project_option
@now_option
@_of_an_invoice
@click.option("--rate", required=True, metavar="RATE", help="Of the reporting currency for one unit of the invoice's.")
@click.option("--date", "rate_date", required=True, metavar="YYYY-MM-DD", help="The day that the rate is of.")
@click.option("--insist", is_flag=True, help="It is meant, though it is nearer to the published rate turned round.")
def rate(
    folder: Path | None,
    as_of: str | None,
    month: str,
    issuer: str,
    currency: str,
    invoice_id: str,
    rate: str,
    rate_date: str,
    insist: bool,
) -> None:
    """Say at which rate the issuer converts an invoice: it goes before AWS's own and before the published one, and is
    kept with the close.

    \b
    Examples:
      breakeven close rate --month 2026-10 --issuer aws --currency USD --invoice-id 21 --rate 0.8640 --date 2026-11-02
    """
    entry = _Entry.of(folder, as_of, month=month, issuer=issuer, currency=currency, invoice_id=invoice_id)
    amount = amount_of(rate, "--rate")
    try:
        day = date.fromisoformat(rate_date)
    except ValueError:
        raise click.BadParameter(f"{rate_date!r} is not a date like 2026-11-02.", param_hint="--date") from None
    reporting = entry.project.config.reporting_currency
    if not insist:
        _refuse_inverted(entry, amount, day, reporting)
    entry.land(RATE_EVENT, {"rate": rate, "reporting_currency": reporting, "rate_date": day.isoformat()})
    say(f"Entered: {invoice_id} of {issuer} is converted at {format(amount, 'f')} {reporting} of {day}.")
    entry.say_what_is_odd()


def _refuse_inverted(entry: "_Entry", rate: Decimal, day: date, reporting_currency: str) -> None:
    """Raises BreakevenError for a rate that what was built knows to be the other way round."""
    of = {"currency": entry.name.currency, "reporting_currency": reporting_currency}
    if rate <= 0:
        return
    try:
        with Questions(current_snapshot(entry.project)) as questions:
            published = questions.ask("published_rate", day=day, **of).to_dicts()
    except BuildError:
        return
    if (why := why_inverted(rate, published, **of)) is not None:
        raise BreakevenError(printable(f"Not entered: {why}"))


@dataclass(frozen=True)
class _Entry:
    """An entry about an invoice, looked at before it is landed."""

    project: Project
    name: InvoiceName
    closing: Closing
    now: datetime
    is_as_of: bool

    @classmethod
    def of(
        cls, folder: Path | None, as_of: str | None, *, month: str, issuer: str, currency: str, invoice_id: str
    ) -> "_Entry":
        now = moment(as_of, now=datetime.now(UTC))
        first_day = month_of(month)
        if first_day > now.date():
            raise click.BadParameter(f"{month} has not begun.", param_hint="--month")
        project = open_project(folder)
        name = InvoiceName(
            first_day, name_of(issuer, "--issuer"), currency_of(project, currency), name_of(invoice_id, "--invoice-id")
        )
        # All of them: what is entered of an earlier moment would count for nothing in a month that is closed since.
        closing = closing_of(project.landing.events())
        closed = closing.close_of(first_day, name.issuer)
        if closed is not None:
            raise BreakevenError(
                printable(
                    f"{what_is_closed(closed)} was closed on {closed.at:%Y-%m-%d} and stays as it was. Enter it in "
                    "the first month after it that is open."
                )
            )
        return cls(project, name, closing, now, as_of is not None)

    def land(self, kind: str, said: Mapping[str, Any]) -> str:
        """Land it, and return its id. Raises BreakevenError where it would not count."""
        name = self.name
        about = {"month": f"{name.month:%Y-%m}", "issuer": name.issuer, "currency": name.currency}
        body = {**about, "invoice_id": name.invoice_id, **said, "by": who()}
        subject = f"{name.month:%Y-%m} {name.issuer} {name.currency} {name.invoice_id}"
        event = as_event(kind=kind, subject=subject, body=body, now=self.now)
        events = self.project.landing.events()
        refuse_before_others(events, name.month, self.now, is_as_of=self.is_as_of)
        refused = [reason for left, reason in closing_of([*events, event]).left_out if left is event]
        if refused:
            raise BreakevenError(printable(f"Not entered: {refused[0]}."))
        self.project.landing.keep(event)
        return event.event_id[:12]

    def say_what_is_odd(self, *, account: str | None = None) -> None:
        """No bill that was built knows such an issuer, or such an account of it: perhaps it is spelled otherwise."""
        try:
            with Questions(current_snapshot(self.project)) as questions:
                billed = questions.select("select distinct issuer, account from int_billed_lines_daily order by all")
        except BuildError:
            return
        issuers = billed["issuer"].unique(maintain_order=True).to_list()
        accounts = billed.filter(pl.col("issuer") == self.name.issuer)["account"].to_list()
        if issuers and not accounts:
            say(f"No bill is by {self.name.issuer} yet. Those there are: {', '.join(map(str, issuers))}.")
        elif accounts and account is not None and account not in accounts:
            say(
                f"No bill by {self.name.issuer} is of account {account} yet. Those there are: "
                f"{', '.join(map(str, accounts))}."
            )
