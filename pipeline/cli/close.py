"""`close`: a month's invoices against their lines. What ties is closed, and from then on changes only by adjustment."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import polars as pl
from babel.numbers import list_currencies

from pipeline.build.closing_tables import (
    ADJUSTMENT_EVENT,
    CLOSE_EVENT,
    KINDS,
    RATE_EVENT,
    TOTAL_EVENT,
    Close,
    Closing,
    EnteredAdjustment,
    EnteredRate,
    EnteredTotal,
    InvoiceName,
    close_body,
    closing_of,
    is_about,
    parse_amount,
    parse_month,
    parse_name,
    parse_reason,
)
from pipeline.build.snapshot import Snapshot
from pipeline.cli.events import who
from pipeline.cli.options import console, emit, format_option, moment, open_project, project_option
from pipeline.decisions.check_results import check_results
from pipeline.decisions.graph import build_project, current_snapshot
from pipeline.decisions.invoices_monthly import SCHEMA
from pipeline.decisions.restated_days import RestatedDay, restated_days
from pipeline.economics.closing import LATE
from pipeline.errors import BreakevenError, BuildError
from pipeline.formats.writing import one_line, printable
from pipeline.landing.landing import as_event
from pipeline.landing.project import Project
from pipeline.landing.records import Event
from pipeline.landing.times import stamp
from pipeline.reports.closing import (
    OFF,
    UNKNOWN,
    Group,
    Tolerances,
    exact_money,
    groups_of,
    invoice_in_words,
    is_late,
    next_month,
    runs_of,
    state_of,
)
from pipeline.reports.figures import counted
from pipeline.reports.invoice_rates import Converted, kept, month_conversions, rates_in_words, why_inverted
from pipeline.reports.questions import Questions

# Without these, sums of lines are not those of the bills. That an invoice's lines add up is what a close is for.
LAWS_OF_MONEY = frozenset(
    {
        "api_book_of_record",
        "api_money_conserved",
        "cloud_book_of_record",
        "cloud_money_conserved",
        "gpu_money_conserved",
    }
)
_MOST_SHOWN = 3
# Less than how far landing looks back behind the newest that it knows.
_LISTED_FOR = timedelta(days=1)
_LIST_SCHEMA: dict[str, pl.DataType] = {
    "month": pl.String(),
    "what": pl.String(),
    "issuer": pl.String(),
    "invoice_id": pl.String(),
    "amount": pl.String(),
    "billing_currency": pl.String(),
    "said": pl.String(),
    "at": pl.String(),
    "by": pl.String(),
    "id": pl.String(),
}

_as_of = click.option("--as-of", "as_of", default=None, metavar="MOMENT", help="Pretend that now is this moment (UTC).")
_invoice_options = (
    click.option("--month", required=True, metavar="YYYY-MM", help="The month that the invoice bills."),
    click.option("--issuer", required=True, help="Who sends it, as `breakeven close --month` names them."),
    click.option("--currency", required=True, metavar="CODE", help="Currency of the invoice, as USD."),
    click.option("--invoice-id", "invoice_id", required=True, help="As the invoice says it."),
)


def _of_an_invoice(command: Any) -> Any:
    for option in reversed(_invoice_options):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@project_option
@_as_of
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
        _print_list(project, now, output_format)
        return
    allowed = _tolerances(project, tolerances)
    of = None if issuer is None else _name(issuer, "--issuer")
    _Closing(project, _month(month), of, now, allowed, output_format, as_of is not None).run(dry_run=dry_run)


@close.command()
@project_option
@_as_of
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
        _reason(reason)
    entry = _Entry.of(folder, as_of, month=month, issuer=issuer, currency=currency, invoice_id=invoice_id)
    amount = _amount(total, "--total")
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
    body = {"total": total, "account": None if account is None else _name(account, "--account"), "reason": reason}
    entry.land(TOTAL_EVENT, body)
    was = "" if before is None else f"; it was {exact_money(before.amount, entry.name.currency)}"
    _say(f"Entered: {invoice_id} of {issuer} comes to {exact_money(amount, entry.name.currency)}{was}.")
    entry.say_what_is_odd(account=account)


@close.command()
@project_option
@_as_of
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
    _amount(amount, "--amount")
    _reason(reason)
    body = {
        "kind": kind,
        "amount": amount,
        "reason": reason,
        "replaces": None if replaces is None else _name(replaces, "--replaces"),
    }
    adjustment_id = entry.land(ADJUSTMENT_EVENT, body)
    shown = exact_money(Decimal(amount), entry.name.currency)
    _say(f"Entered: {kind} of {shown} on {invoice_id} of {issuer}. Its id is {adjustment_id}.")
    entry.say_what_is_odd()


@close.command()
@project_option
@_as_of
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
    amount = _amount(rate, "--rate")
    try:
        day = date.fromisoformat(rate_date)
    except ValueError:
        raise click.BadParameter(f"{rate_date!r} is not a date like 2026-11-02.", param_hint="--date") from None
    reporting = entry.project.config.reporting_currency
    if not insist:
        _refuse_inverted(entry, amount, day, reporting)
    entry.land(RATE_EVENT, {"rate": rate, "reporting_currency": reporting, "rate_date": day.isoformat()})
    _say(f"Entered: {invoice_id} of {issuer} is converted at {format(amount, 'f')} {reporting} of {day}.")
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
        first_day = _month(month)
        if first_day > now.date():
            raise click.BadParameter(f"{month} has not begun.", param_hint="--month")
        project = open_project(folder)
        name = InvoiceName(
            first_day, _name(issuer, "--issuer"), _currency(project, currency), _name(invoice_id, "--invoice-id")
        )
        # All of them: what is entered of an earlier moment would count for nothing in a month that is closed since.
        closing = closing_of(project.landing.events())
        closed = closing.close_of(first_day, name.issuer)
        if closed is not None:
            raise BreakevenError(
                printable(
                    f"{_what_is_closed(closed)} was closed on {closed.at:%Y-%m-%d} and stays as it was. Enter it in "
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
        _refuse_before_others(events, name.month, self.now, is_as_of=self.is_as_of)
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
            _say(f"No bill is by {self.name.issuer} yet. Those there are: {', '.join(map(str, issuers))}.")
        elif accounts and account is not None and account not in accounts:
            _say(
                f"No bill by {self.name.issuer} is of account {account} yet. Those there are: "
                f"{', '.join(map(str, accounts))}."
            )


def _refuse_before_others(events: Iterable[Event], month: date, now: datetime, *, is_as_of: bool) -> None:
    """Entries and closes count in the order of their moments: one that is dated before another would undo it, unseen.

    Raises BreakevenError: the clocks of two machines differ, somebody enters something while a month is looked at, or
    `--as-of` is in the past. What is dated long before all else would not even be listed by whoever looked since.
    """
    later = [
        event
        for event in events
        if event.at > now and (is_about(event, month) or (is_as_of and event.at > now + _LISTED_FOR))
    ]
    last = max(later, key=lambda event: event.at, default=None)
    if last is not None:
        raise BreakevenError(
            printable(
                f"Nothing was landed: this is dated {now:%Y-%m-%d %H:%M:%S} UTC, before {last.kind} of "
                f"{last.at:%Y-%m-%d %H:%M:%S} by {last.body.get('by') or 'nobody named'}. Look at `breakeven close "
                "--list`, then try again, with no --as-of in the past."
            )
        )


def _say(text: str, style: str | None = None) -> None:
    console().print(one_line(text), markup=False, style=style)


def _month(text: str) -> date:
    try:
        return parse_month(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--month") from None


def _name(text: str, option: str) -> str:
    try:
        return parse_name(text, option)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint=option) from None


def _amount(text: str, option: str) -> Decimal:
    try:
        return parse_amount(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint=option) from None


def _reason(text: str) -> str:
    try:
        return parse_reason(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--reason") from None


def _currency(project: Project, text: str, *, option: str = "--currency") -> str:
    """A code of ISO 4217, or a currency that a bill that was built has: a virtual one has no such code."""
    if text in list_currencies():
        return text
    try:
        with Questions(current_snapshot(project)) as questions:
            billed = questions.select("select distinct billing_currency from int_billed_lines_daily")
    except BuildError:
        billed = pl.DataFrame({"billing_currency": []})
    if text in billed["billing_currency"].to_list():
        return text
    raise click.BadParameter(
        printable(f"{text!r} is no currency of ISO 4217, and no bill is in it. Write its three letters, as USD."),
        param_hint=option,
    )


_TOLERANCE = re.compile(r"(?:([^=]+)=)?(.*)", re.DOTALL)


def _tolerances(project: Project, texts: Sequence[str]) -> Tolerances:
    """Raises BadParameter for one that would be of nothing: below zero, of no currency, or given another time."""
    found_for: dict[str | None, Decimal] = {}
    for text in texts:
        found = _TOLERANCE.fullmatch(text)
        assert found is not None
        amount = _amount(found[2], "--tolerance")
        if amount < 0:
            raise click.BadParameter(f"{text!r} is below zero.", param_hint="--tolerance")
        currency = None if found[1] is None else _currency(project, found[1], option="--tolerance")
        if currency in found_for:
            raise click.BadParameter(f"{currency or 'all'} has two of them.", param_hint="--tolerance")
        found_for[currency] = amount
    of_all = found_for.pop(None, Tolerances().of_all)
    return Tolerances(of_all, {str(currency): amount for currency, amount in found_for.items()})


def _what_is_closed(closed: Close) -> str:
    return f"{closed.month:%Y-%m}" if closed.issuer is None else f"{closed.month:%Y-%m} of {closed.issuer}"


@dataclass(frozen=True)
class _Closing:
    """One month, looked at now. issuer: whose invoices alone."""

    project: Project
    month: date
    issuer: str | None
    now: datetime
    tolerances: Tolerances
    output_format: str
    is_as_of: bool

    @property
    def period(self) -> dict[str, date]:
        return {"from_date": self.month, "to_date": next_month(self.month)}

    def run(self, *, dry_run: bool) -> None:
        is_over = next_month(self.month) <= self.now.date()
        if not is_over and not dry_run:
            raise BreakevenError(
                f"{self.month:%Y-%m} is not over on {self.now:%Y-%m-%d}. With --dry-run it shows what has come."
            )
        closing = closing_of(self.project.landing.contents().as_of(self.now).events)
        closed = closing.close_of(self.month, self.issuer)
        # What was entered has to be in it; what was fetched since is none of its business, so readers keep theirs.
        snapshot = build_project(self.project, as_of=self.now, make_current=False).snapshot
        with Questions(snapshot) as questions:
            rows = [row for row in questions.ask("close_invoices", **self.period).to_dicts() if self._is_meant(row)]
            groups = groups_of(rows, self.tolerances)
            if closed is not None:
                self._print(groups)
                self._say_closed(closed, questions)
                return
            if not is_over:
                self._print(groups)
                self._conversions(questions, closing, is_over=is_over)
                self._tell(f"{self.month:%Y-%m} is not over on {self.now:%Y-%m-%d}, and cannot be closed yet.")
                return
            if not rows:
                of = "" if self.issuer is None else f" by {self.issuer}"
                raise BreakevenError(printable(f"No bill{of} of {self.month:%Y-%m} has come: nothing to close."))
            self._print(groups)
            still_open = [row for row in rows if closing.close_of(self.month, row["issuer"]) is None]
            for (month, _), before in closing.closes.items():
                self._say_converted(filter(self._is_meant, before.conversions if month == self.month else ()))
            conversions = self._conversions(questions, closing, is_over=is_over)
            self._refuse_unproven(snapshot, questions)
            held_up = [group for group in groups_of(still_open, self.tolerances) if group.holds_up]
            if held_up:
                if self.output_format == "table":
                    for text in self._what_to_look_at(questions, held_up):
                        _say(f"  {text}")
                    _say(f"{self._named} is not closed.", style="red")
                raise SystemExit(1)
            days = [
                day
                for day in self._days(questions)
                if self._is_meant(day) and closing.close_of(self.month, day["issuer"]) is None
            ]
        if dry_run:
            self._tell(f"{self._named} would be closed. Nothing was landed.")
            return
        body = close_body(
            month=self.month,
            issuer=self.issuer,
            snapshot_id=snapshot.snapshot_id,
            as_of=stamp(snapshot.as_of),
            by=who(),
            tolerances=self.tolerances.as_text(),
            invoices=still_open,
            days=days,
            conversions=[one.body() for one in conversions],
        )
        self._refuse_what_came_meanwhile(closing)
        self.project.landing.record(kind=CLOSE_EVENT, subject=f"{self.month:%Y-%m}", body=body, now=self.now)
        self._tell(
            f"{self._named} is closed: snapshot {snapshot.snapshot_id}, sha256 {body['sha256'][:12]}. From now on it "
            "changes only by adjustments in the first month after it that is open."
        )

    def _conversions(self, questions: Questions, closing: Closing, *, is_over: bool) -> list[Converted]:
        """Invoices in another currency than the reporting one, in that; what has no rate is said and stops nothing.
        Returns those that no close has kept yet.
        """
        found, lacking = month_conversions(
            questions.ask,
            closing,
            month=self.month,
            reporting_currency=self.project.config.reporting_currency,
            is_over=is_over,
            is_meant=self._is_of,
        )
        still_open = [one for one in found if closing.close_of(self.month, one.issuer) is None]
        line = rates_in_words(found)
        for text in (*(one.in_words() for one in still_open), *lacking, *filter(None, [line])):
            self._tell(f"  {text}")
        return still_open

    @property
    def _named(self) -> str:
        return f"{self.month:%Y-%m}" if self.issuer is None else f"{self.month:%Y-%m} of {self.issuer}"

    def _is_meant(self, row: Mapping[str, Any]) -> bool:
        return self._is_of(row["issuer"])

    def _is_of(self, issuer: str) -> bool:
        return self.issuer in (None, issuer)

    def _refuse_what_came_meanwhile(self, before: Closing) -> None:
        """Somebody may have closed the month, or entered something of it, while this was built."""
        events = self.project.landing.events()
        _refuse_before_others(events, self.month, self.now, is_as_of=self.is_as_of)
        closed_since = {
            issuer for month, issuer in closing_of(events).closes.keys() - before.closes if month == self.month
        }
        if closed_since if self.issuer is None else closed_since & {None, self.issuer}:
            raise BreakevenError(
                printable(f"{self._named} was closed meanwhile, and stays as it was closed: breakeven close --list.")
            )

    def _tell(self, text: str) -> None:
        """For people only: a program reads the rows."""
        if self.output_format == "table":
            _say(text)

    def _print(self, groups: Sequence[Group]) -> None:
        if self.output_format != "table":
            rows = [{**row, "state": state_of(row, self.tolerances)} for group in groups for row in group.rows]
            emit(pl.DataFrame(rows, schema={**SCHEMA, "state": pl.String()}, orient="row"), self.output_format)
            return
        for group in groups:
            _say(group.in_words())

    def _refuse_unproven(self, snapshot: Snapshot, questions: Questions) -> None:
        """A law that is broken for another issuer's account holds up no close of this one."""
        billed = questions.select("select distinct issuer, account from int_billed_lines_daily order by all").to_dicts()
        others = {f"account:{row['account']}" for row in billed} - {
            f"account:{row['account']}" for row in billed if self._is_meant(row)
        }
        broken = [
            one
            for one in check_results(snapshot)
            if not one.passed and one.law in LAWS_OF_MONEY and one.scope not in others
        ]
        if broken:
            raise BreakevenError(
                printable(
                    f"{self._named} is not closed: {broken[0].law} is broken for {broken[0].scope} "
                    f"({broken[0].detail}) See infra/RUNBOOK.md, Checks."
                )
            )

    def _days(self, questions: Questions) -> list[dict[str, Any]]:
        """What is booked: the month's own days, and what of closed months is due in it."""
        own = questions.ask("close_days", **self.period).to_dicts()
        changes = questions.ask("close_changes", **self.period).to_dicts()
        due = [
            {**change, "booked_cost": change["difference_cost"]}
            for change in changes
            if change["due_month_date"] == self.month
        ]
        return [*own, *due]

    def _say_converted(self, conversions: Iterable[Mapping[str, str]]) -> None:
        """What a close keeps of invoices in another currency, whatever rates are published since."""
        for one in conversions:
            total = exact_money(Decimal(one["total"]), one["reporting_currency"])
            self._tell(
                f"  {one['invoice_id']} of {one['issuer']} came to {total} at {float(Fraction(one['rate'])):.8g} of "
                f"{one['rate_date']} ({one['rate_source']})."
            )

    def _say_closed(self, closed: Close, questions: Questions) -> None:
        self._tell(
            f"{_what_is_closed(closed)} was closed by {closed.by} on {closed.at:%Y-%m-%d %H:%M} UTC, sha256 "
            f"{closed.sha256[:12]}; the figures above are those of then. All of them: breakeven report --month "
            f"{self.month:%Y-%m} --as-of {closed.snapshot_id}"
        )
        conversions = list(filter(self._is_meant, closed.conversions))
        self._say_converted(conversions)
        if (line := rates_in_words([kept(one) for one in conversions])) is not None:
            self._tell(f"  {line}")
        for late in filter(self._is_meant, questions.ask("close_restated", **self.period).to_dicts()):
            if late["status"] != LATE:
                self._tell(f"  Since then, in {late['billing_month_date']:%Y-%m}: {invoice_in_words(late)}.")
                continue
            amount = exact_money(late["adjustments_cost"], late["billing_currency"])
            days = counted(late["line_count"], "day")
            self._tell(f"  Since then, in {late['billing_month_date']:%Y-%m}: {amount} on {days} of {late['account']}.")
        changes = questions.ask("close_changes", **self.period).to_dicts()
        for change in (one for one in changes if one["billing_month_date"] == self.month and self._is_meant(one)):
            money = [exact_money(change[name], change["billing_currency"]) for name in ("booked_cost", "stated_cost")]
            self._tell(
                f"  {change['usage_date']} of {change['account']} was {money[0]}, is {money[1]}: due in "
                f"{change['due_month_date']:%Y-%m}."
            )

    def _what_to_look_at(self, questions: Questions, groups: Sequence[Group]) -> Iterator[str]:
        """Of each group that holds the close up: its invoices, then where the difference may lie."""
        days = questions.ask("close_days", **self.period).to_dicts()
        lines = questions.ask("close_largest_lines", **self.period).to_dicts()
        controls = questions.ask("close_control_differences", **self.period).to_dicts()
        restated = restated_days(self.project, as_of=self.now, **self.period)
        for group in groups:
            yield f"{group.issuer}, {group.currency}:"
            for row in group.of(OFF, self.tolerances):
                yield f"  {invoice_in_words(row)}"
            has_several = sum(row["invoice_id"] is None for row in group.rows if not is_late(row)) > 1
            for row in group.of(UNKNOWN, self.tolerances):
                yield f"  {invoice_in_words(row)}. {how_to_enter(row, has_several=has_several)}"
            own_days = [day for day in days if _is_of(day, group)]
            if group.of(OFF, self.tolerances):
                for line in (line for line in lines if _is_of(line, group)):
                    yield f"  {_line_in_words(line)}"
            for control in (one for one in controls if _is_of(one, group)):
                yield f"  {_control_in_words(control)}"
            yield from (f"  {text}" for text in self._days_without_lines(own_days))
            accounts = {(day["source"], day["account"]) for day in own_days}
            its = [one for one in restated if (one.source, one.account) in accounts and one.currency == group.currency]
            yield from (f"  {_restated_in_words(one)}" for one in its[:_MOST_SHOWN])
            if len(its) > _MOST_SHOWN:
                yield f"  {len(its) - _MOST_SHOWN} more days were restated by less."

    def _days_without_lines(self, days: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        """Of accounts that bill by the day; an invoice bills by its lines."""
        by_account: dict[str, set[date]] = {}
        for day in days:
            if not day["is_by_lines"]:
                by_account.setdefault(day["account"], set()).add(day["usage_date"])
        first, end = self.period["from_date"], self.period["to_date"]
        of_month = [date.fromordinal(number) for number in range(first.toordinal(), end.toordinal())]
        for account, having in sorted(by_account.items()):
            lacking = [day for day in of_month if day not in having]
            if lacking:
                yield f"{account} has no line on {len(lacking)} of {len(of_month)} days: {runs_of(lacking)}."


def _is_of(row: Mapping[str, Any], group: Group) -> bool:
    return bool(row["issuer"] == group.issuer and row["billing_currency"] == group.currency)


def how_to_enter(row: Mapping[str, Any], *, has_several: bool) -> str:
    """The line to type. `has_several`: accounts of its issuer, of which each may have an invoice of its own."""
    invoice = row["invoice_id"] if row["invoice_id"] is not None else "ID"
    account, more = "", ""
    if has_several and row["invoice_id"] is None:
        account, more = f" --account {_quoted(row['account'])}", " (one invoice for all accounts: without --account)"
    return (
        f"To enter it: breakeven close enter --month {row['billing_month_date']:%Y-%m} "
        f"--issuer {_quoted(row['issuer'])} --currency {_quoted(row['billing_currency'])} "
        f"--invoice-id {_quoted(invoice)} --total AMOUNT{account}{more}"
    )


def _quoted(text: str) -> str:
    """As a shell takes it for one word."""
    return shlex.quote(text)


def _line_in_words(line: Mapping[str, Any]) -> str:
    amount = exact_money(line["billed_cost"], line["billing_currency"])
    why = "exactly what an invoice is off by" if line["is_exactly_off"] else "one of the largest lines"
    return f"{line['usage_date']} {line['what']}: {amount}, {why}."


def _control_in_words(control: Mapping[str, Any]) -> str:
    names = ("book_cost", "control_cost", "difference_cost")
    book, other, difference = (exact_money(control[name], control["billing_currency"]) for name in names)
    return (
        f"{control['usage_date']} {control['model'] or 'all but models that both name'}: {book} here, {other} as "
        f"{control['control_source']} of {control['control_account']} has it, {difference} apart."
    )


def _restated_in_words(one: RestatedDay) -> str:
    was, now = (exact_money(amount, str(one.currency)) for amount in (one.was, one.now))
    return (
        f"{one.usage_date} of {one.account} was restated: {was} on {one.was_stated_at:%Y-%m-%d}, {now} on "
        f"{one.now_stated_at:%Y-%m-%d}."
    )


def _print_list(project: Project, now: datetime, output_format: str) -> None:
    closing = closing_of(project.landing.contents().as_of(now).events)
    rows = [
        *(_listed_total(total) for _, total in sorted(closing.totals.items())),
        *(_listed_adjustment(one) for one in closing.adjustments),
        *(_listed_rate(one) for _, one in sorted(closing.rates.items())),
        *(_listed_replaced(one) for one in closing.replaced),
        *(
            {
                "month": f"{one.month:%Y-%m}",
                "what": "closed",
                "issuer": one.issuer,
                "said": f"snapshot {one.snapshot_id}, {len(one.invoices)} rows, sha256 {one.sha256[:12]}",
                "at": f"{one.at:%Y-%m-%d %H:%M}",
                "by": one.by,
            }
            for one in closing.closes.values()
        ),
        *(
            {
                **{name: _text_of(event, said) for name, said in _SAID_OF_LEFT_OUT.items()},
                "what": f"not counted, {event.kind}",
                "said": reason,
                "at": f"{event.at:%Y-%m-%d %H:%M}",
            }
            for event, reason in closing.left_out
        ),
    ]
    filled = [{name: row.get(name) for name in _LIST_SCHEMA} for row in rows]
    filled.sort(key=lambda row: (row["month"] or "", row["at"]))
    if not filled and output_format == "table":
        _say("Nothing was entered, and no month is closed.")
        return
    if output_format != "table":
        emit(pl.DataFrame(filled, schema=_LIST_SCHEMA, orient="row"), output_format)
        return
    for row in filled:
        _say(_listed_in_words(row))


_SAID_OF_LEFT_OUT = {
    "month": "month",
    "issuer": "issuer",
    "invoice_id": "invoice_id",
    "billing_currency": "currency",
    "by": "by",
}


def _text_of(event: Event, name: str) -> str | None:
    """What does not count may say anything: only what is text is shown of it."""
    said = event.body.get(name)
    return said if isinstance(said, str) else None


def _listed_in_words(row: Mapping[str, Any]) -> str:
    """`2026-10 anthropic INV-77: tax 0.50 USD (VAT), root on 2026-11-06 06:00, id 3fa9c01b22de`"""
    named = " ".join(row[name] for name in ("month", "issuer", "invoice_id") if row[name] is not None)
    amount = "" if row["amount"] is None else f" {row['amount']} {row['billing_currency']}"
    said = "" if row["said"] is None else f" ({row['said']})"
    by = "" if row["by"] is None else f", {row['by']}"
    its_id = "" if row["id"] is None else f", id {row['id']}"
    return f"{named or 'Of no month'}: {row['what']}{amount}{said}{by} on {row['at']}{its_id}"


def _listed_total(total: EnteredTotal) -> dict[str, Any]:
    was = "" if total.previous is None else f"before: {format(total.previous, 'f')}"
    why = total.reason or ""
    of = f"lines of {total.account}" if total.account is not None else ""
    return {
        **_listed_name(total.name),
        "what": "total",
        "amount": format(total.amount, "f"),
        "said": "; ".join(filter(None, (of, was, why))) or None,
        "at": f"{total.at:%Y-%m-%d %H:%M}",
        "by": total.by,
    }


def _listed_adjustment(one: EnteredAdjustment) -> dict[str, Any]:
    return {
        **_listed_name(one.name),
        "what": one.kind,
        "amount": format(one.amount, "f"),
        "said": one.reason,
        "at": f"{one.at:%Y-%m-%d %H:%M}",
        "by": one.by,
        "id": one.adjustment_id,
    }


def _listed_rate(one: EnteredRate) -> dict[str, Any]:
    return {
        **_listed_name(one.name),
        "what": "rate",
        "said": f"{format(one.rate, 'f')} {one.reporting_currency} of {one.rate_date}",
        "at": f"{one.at:%Y-%m-%d %H:%M}",
        "by": one.by,
    }


def _listed_replaced(one: EnteredTotal | EnteredAdjustment | EnteredRate) -> dict[str, Any]:
    if isinstance(one, EnteredRate):
        row = _listed_rate(one)
    else:
        row = _listed_total(one) if isinstance(one, EnteredTotal) else _listed_adjustment(one)
    return {**row, "what": f"replaced {row['what']}"}


def _listed_name(name: InvoiceName) -> dict[str, Any]:
    return {
        "month": f"{name.month:%Y-%m}",
        "issuer": name.issuer,
        "invoice_id": name.invoice_id,
        "billing_currency": name.currency,
    }
