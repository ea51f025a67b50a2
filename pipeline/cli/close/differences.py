"""What holds a close up, and where the difference may lie."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from pipeline.decisions.restated_days import RestatedDay, restated_days
from pipeline.landing.project import Project
from pipeline.reports.closing import OFF, UNKNOWN, Group, Tolerances, exact_money, invoice_in_words, is_late, runs_of
from pipeline.reports.questions import Questions

_MOST_SHOWN = 3


def what_to_look_at(
    project: Project,
    questions: Questions,
    groups: Sequence[Group],
    *,
    now: datetime,
    tolerances: Tolerances,
    period: Mapping[str, date],
) -> Iterator[str]:
    """Of each group that holds the close up: its invoices, then where the difference may lie.

    period: `from_date` and `to_date` of the month, for what asks.
    """
    days = questions.ask("close_days", **period).to_dicts()
    lines = questions.ask("close_largest_lines", **period).to_dicts()
    controls = questions.ask("close_control_differences", **period).to_dicts()
    restated = restated_days(project, as_of=now, **period)
    for group in groups:
        yield f"{group.issuer}, {group.currency}:"
        for row in group.of(OFF, tolerances):
            yield f"  {invoice_in_words(row)}"
        has_several = sum(row["invoice_id"] is None for row in group.rows if not is_late(row)) > 1
        for row in group.of(UNKNOWN, tolerances):
            yield f"  {invoice_in_words(row)}. {how_to_enter(row, has_several=has_several)}"
        own_days = [day for day in days if _is_of(day, group)]
        if group.of(OFF, tolerances):
            for line in (line for line in lines if _is_of(line, group)):
                yield f"  {_line_in_words(line)}"
        for control in (one for one in controls if _is_of(one, group)):
            yield f"  {_control_in_words(control)}"
        yield from (f"  {text}" for text in _days_without_lines(own_days, period))
        accounts = {(day["source"], day["account"]) for day in own_days}
        its = [one for one in restated if (one.source, one.account) in accounts and one.currency == group.currency]
        yield from (f"  {_restated_in_words(one)}" for one in its[:_MOST_SHOWN])
        if len(its) > _MOST_SHOWN:
            yield f"  {len(its) - _MOST_SHOWN} more days were restated by less."


def _days_without_lines(days: Sequence[Mapping[str, Any]], period: Mapping[str, date]) -> Iterator[str]:
    """Of accounts that bill by the day; an invoice bills by its lines."""
    by_account: dict[str, set[date]] = {}
    for day in days:
        if not day["is_by_lines"]:
            by_account.setdefault(day["account"], set()).add(day["usage_date"])
    first, end = period["from_date"], period["to_date"]
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
