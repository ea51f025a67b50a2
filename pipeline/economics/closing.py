"""A month's invoices beside their lines: lines in scope + out of scope + adjustments + residual = total, exactly.

Pure. What nobody states stays unknown: an invoice without a total has no residual, and is not one over 0.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal, Inexact, InvalidOperation

# DECIMAL(38,18) has 38 digits; sums of many of them are exact, or refused aloud.
_EXACT = Context(prec=80, traps=[Inexact, InvalidOperation])
# Of the currency's unit, per invoice: what rounding a sum of lines to what can be paid leaves.
TOLERANCE = Decimal("0.01")

TIES = "ties"
RESIDUAL = "residual"
NO_TOTAL = "no_total"
TIES_TO_EXPORT = "ties_to_export"
NOTHING_BILLED = "nothing_billed"
LATE = "late"
# An invoice of a closed month that came since, where no line of that month says which invoice it is on.
LATE_INVOICE = "late_invoice"


@dataclass(frozen=True, kw_only=True)
class Lines:
    """What a book of record bills on one invoice. month: first day of the billing month; invoice_id: None where no line
    names one. Costs in the bill's currency. charged_count: of the lines, those that charge something.
    is_filtered: the export is declared to leave lines of the invoice out.
    """

    month: date
    issuer: str
    account: str
    currency: str
    invoice_id: str | None
    in_scope: Decimal
    out_of_scope: Decimal
    line_count: int
    charged_count: int
    is_filtered: bool = False


@dataclass(frozen=True, kw_only=True)
class Total:
    """What an invoice comes to. account: whose lines it bills, where they do not name it. basis: entered, export."""

    month: date
    issuer: str
    currency: str
    invoice_id: str
    amount: Decimal
    basis: str
    account: str | None = None
    # What else was stated of it: the export's total beside one that was entered, or the entry before.
    other_amount: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class Adjustment:
    """What an invoice holds beside the lines of its bill, with its sign."""

    month: date
    issuer: str
    currency: str
    invoice_id: str
    amount: Decimal


@dataclass(frozen=True, kw_only=True)
class Invoice:
    """One invoice (or several that only together have lines) and whether it is what its lines say.

    invoice_id: several are joined by ` + `; None where no line names one and none was entered. account: None where its
    lines are of several. residual = total - in_scope - out_of_scope - adjustments, None where the total is unknown.
    """

    month: date
    issuer: str
    account: str | None
    currency: str
    invoice_id: str | None
    invoice_count: int
    in_scope: Decimal
    out_of_scope: Decimal
    adjustments: Decimal
    total: Decimal | None
    residual: Decimal | None
    residual_name: str | None
    status: str
    total_basis: str | None
    other_total: Decimal | None
    line_count: int


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    """The sum without rounding, whatever the precision in force; decimal.Inexact where 80 digits cannot hold it."""
    total = Decimal(0)
    for amount in amounts:
        total = _EXACT.add(total, amount)
    return total


def invoices_of(lines: Iterable[Lines], totals: Iterable[Total], adjustments: Iterable[Adjustment]) -> list[Invoice]:
    """Every line, total and adjustment on exactly one invoice, ordered by month, issuer, currency, invoice, account.

    Lines that name an invoice are on it. Those that name none are on the invoices of which no line speaks: of an
    account on those entered for that account, else all such lines together on those entered for no account. Nobody
    knows how they are split over several of them: these are one row. Where there is none, they are a row a account
    whose invoice is unknown.
    """
    groups: dict[tuple[date, str, str], _Group] = defaultdict(_Group)
    for line in lines:
        groups[line.month, line.issuer, line.currency].lines.append(line)
    for total in totals:
        groups[total.month, total.issuer, total.currency].totals.append(total)
    for adjustment in adjustments:
        groups[adjustment.month, adjustment.issuer, adjustment.currency].adjustments.append(adjustment)
    rows = [row for key in sorted(groups) for row in groups[key].invoices(*key)]
    return sorted(rows, key=lambda row: (row.month, row.issuer, row.currency, row.invoice_id or "", row.account or ""))


class _Group:
    """All that is known of one issuer's month in one currency."""

    def __init__(self) -> None:
        self.lines: list[Lines] = []
        self.totals: list[Total] = []
        self.adjustments: list[Adjustment] = []

    def invoices(self, month: date, issuer: str, currency: str) -> Iterable[Invoice]:
        for ids, lines in self._rows():
            totals = [total for total in self.totals if total.invoice_id in ids]
            adjustments = [one.amount for one in self.adjustments if one.invoice_id in ids]
            accounts: set[str | None] = {line.account for line in lines}
            of = accounts or {total.account for total in totals}
            yield _invoice(month, issuer, currency, ids, of, lines=lines, totals=totals, adjustments=adjustments)

    def _rows(self) -> Iterable[tuple[tuple[str, ...], Sequence[Lines]]]:
        named: dict[str, list[Lines]] = defaultdict(list)
        nameless: dict[str, list[Lines]] = defaultdict(list)
        for line in self.lines:
            if line.invoice_id is None:
                nameless[line.account].append(line)
            else:
                named[line.invoice_id].append(line)
        yield from (((invoice_id,), found) for invoice_id, found in named.items())
        unclaimed = [total for total in self.totals if total.invoice_id not in named]
        for account in sorted(nameless):
            own = _ids(total for total in unclaimed if total.account == account)
            if own:
                yield own, nameless.pop(account)
        of_all = _ids(total for total in unclaimed if total.account is None)
        if nameless and of_all:
            yield of_all, [line for found in nameless.values() for line in found]
            nameless.clear()
            of_all = ()
        yield from (((), found) for found in nameless.values())
        accounts = {line.account for line in self.lines if line.invoice_id is None}
        without_lines = {*of_all, *(one.invoice_id for one in unclaimed if one.account not in {None, *accounts})}
        stated = {total.invoice_id for total in self.totals}
        without_lines |= {one.invoice_id for one in self.adjustments} - stated - named.keys()
        yield from (((invoice_id,), ()) for invoice_id in without_lines)


def _ids(totals: Iterable[Total]) -> tuple[str, ...]:
    return tuple(sorted(total.invoice_id for total in totals))


def _invoice(
    month: date,
    issuer: str,
    currency: str,
    ids: Sequence[str],
    accounts: Iterable[str | None],
    *,
    lines: Sequence[Lines],
    totals: Sequence[Total],
    adjustments: Sequence[Decimal],
) -> Invoice:
    of = set(accounts)
    in_scope = exact_sum(line.in_scope for line in lines)
    out_of_scope = exact_sum(line.out_of_scope for line in lines)
    adjusted = exact_sum(adjustments)
    total = exact_sum(one.amount for one in totals) if totals else None
    said = exact_sum((in_scope, out_of_scope, adjusted))
    residual = None if total is None else exact_sum((total, said.copy_negate()))
    is_filtered = any(line.is_filtered for line in lines)
    charges_nothing = not any(line.charged_count for line in lines) and said == 0
    others = [one.other_amount for one in totals if one.other_amount is not None]
    return Invoice(
        month=month,
        issuer=issuer,
        account=of.pop() if len(of) == 1 else None,
        currency=currency,
        invoice_id=" + ".join(ids) or None,
        invoice_count=len(ids),
        in_scope=in_scope,
        out_of_scope=out_of_scope,
        adjustments=adjusted,
        total=total,
        residual=residual,
        residual_name=_named(residual, invoice_count=len(ids), has_lines=bool(lines), is_filtered=is_filtered),
        status=_status(residual, is_filtered=is_filtered, charges_nothing=charges_nothing),
        total_basis=None if total is None else min(one.basis for one in totals),
        other_total=exact_sum(others) if others and len(totals) == 1 else None,
        line_count=sum(line.line_count for line in lines),
    )


def _status(residual: Decimal | None, *, is_filtered: bool, charges_nothing: bool) -> str:
    if is_filtered:
        return TIES_TO_EXPORT
    if residual is None:
        return NOTHING_BILLED if charges_nothing else NO_TOTAL
    return TIES if residual == 0 else RESIDUAL


def _named(residual: Decimal | None, *, invoice_count: int, has_lines: bool, is_filtered: bool) -> str | None:
    """What is left over, by its likely cause; None where it is unknown."""
    if residual is None:
        return None
    if residual == 0:
        return "none"
    if is_filtered:
        return "outside_the_export"
    if residual.copy_abs() <= TOLERANCE * invoice_count:
        return "rounding"
    return "unexplained" if has_lines else "no_line_of_it"


def is_within(residual: Decimal, *, tolerance: Decimal, invoice_count: int) -> bool:
    """Whether so many invoices, each rounded, may leave this much. Tolerance in the currency's unit per invoice."""
    return residual.copy_abs() <= tolerance * invoice_count
