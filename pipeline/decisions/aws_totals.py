"""What AWS's invoicing says that invoices come to, and which lines and which closed months they are of.

AWS states a total by the invoice's number. Whose lines that is, its exports say, each in its own spelling; and a month
may have been closed before anybody read these totals, under numbers that somebody made up.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

from pipeline.economics.closing import Lines, Total, exact_sum

Row = Mapping[str, Any]
Named = tuple[date, str, str, str]
EXPORT_BASIS, ENTERED_BASIS = "export", "entered"
_AWS_INVOICES = "aws_invoices"
_AWS_EXPORTS = ("aws_cur", "aws_cur2")
_FOCUS = "focus"


class ClosedMonths(Protocol):
    """What is closed, by month and issuer, and what people entered for it."""

    def is_closed(self, month: date, issuer: str) -> bool: ...

    def closed_on(self, month: date, issuer: str) -> date: ...

    def entered(self, month: date, issuer: str, currency: str, *, but: set[str]) -> list[Decimal]: ...


def totals_of_aws(
    rows: Iterable[Row], billed: Sequence[Row], lines: Sequence[Lines]
) -> Iterable[tuple[Total, date | None]]:
    """Totals that AWS's invoicing states, each with the day of issue: of AWS's lines that name the invoice, whose
    issuer is spelled as they do.

    One that no line names is of its issuer, or of AWS, in its own month. Where lines of that month name their invoices,
    those that name none yet are not on it; where an export names none at all, they are.
    """
    named: dict[tuple[str, str], list[tuple[str, Lines]]] = defaultdict(list)
    for said, line in zip(billed, lines, strict=True):
        if line.invoice_id is not None:
            named[line.invoice_id, line.currency].append((said["source"], line))
    naming = months_naming(lines)
    # Two sources that ask for one account say the same; where they do not, the later answer is beside the first.
    for row in sorted(rows, key=lambda row: (row["billing_month_date"], row["invoice_id"], row["payable_cost"])):
        its = _its_line(row, named.get((row["invoice_id"], row["billing_currency"]), ()))
        month, issuer, account = row["billing_month_date"], row["invoice_issuer"] or "AWS", None
        if its is not None:
            month, issuer, account = its.month, its.issuer, its.account
        elif (month, issuer, row["billing_currency"]) in naming:
            # No account's own lines.
            account = f"{_AWS_INVOICES}/{row['account']}"
        total = Total(
            month=month,
            issuer=issuer,
            account=account,
            currency=row["billing_currency"],
            invoice_id=row["invoice_id"],
            amount=row["payable_cost"],
            basis=EXPORT_BASIS,
        )
        yield total, row["issued_on_date"]


def months_naming(lines: Iterable[Lines]) -> set[tuple[date, str, str]]:
    """Issuers' months in which lines say which invoice they are on."""
    return {(line.month, line.issuer, line.currency) for line in lines if line.invoice_id is not None}


def _its_line(row: Row, named: Iterable[tuple[str, Lines]]) -> Lines | None:
    """The lines of an invoice of AWS's, of those that name its number: other issuers number theirs alike.

    First those of its issuer; then any of AWS's own exports, which spell a marketplace's seller otherwise; then those
    of its month in an export in FOCUS, whoever it is of.
    """
    ranked = []
    for source, line in named:
        if _spelled(line.issuer) == _spelled(row["invoice_issuer"] or "AWS"):
            rank = 0
        elif source in _AWS_EXPORTS:
            rank = 1
        elif source == _FOCUS and line.month == row["billing_month_date"]:
            rank = 2
        else:
            continue
        ranked.append(((rank, line.month, line.issuer, line.account), line))
    return min(ranked, key=lambda one: one[0], default=(None, None))[1]


def _spelled(name: str) -> str:
    """A company's name without what its spellings differ by."""
    return "".join(character for character in name.casefold() if character.isalnum())


def known_at_close(
    of_aws: Iterable[tuple[Total, date | None]], lines: Sequence[Lines], closed: ClosedMonths
) -> set[Named]:
    """Invoices of AWS's that a close has booked under another name: somebody entered what they come to before AWS's
    totals were read, in a month whose lines name no invoice, and could not know their numbers.

    Those that were issued by the day of the close are of it; where none was, those that come to what was entered, one
    by one or together.
    """
    naming = months_naming(lines)
    groups: dict[tuple[date, str, str], list[tuple[Total, date | None]]] = defaultdict(list)
    for total, issued in of_aws:
        key = total.month, total.issuer, total.currency
        if closed.is_closed(total.month, total.issuer) and key not in naming:
            groups[key].append((total, issued))
    found: set[Named] = set()
    for key, stated in groups.items():
        entered = closed.entered(*key, but={total.invoice_id for total, _ in stated})
        if not entered:
            continue
        closed_on = closed.closed_on(key[0], key[1])
        in_time = {_named(total) for total, issued in stated if issued is not None and issued <= closed_on}
        found |= in_time
        # Where some were issued in time, what was entered is what they come to, and no later one's.
        rest = [total for total, issued in stated if _named(total) not in in_time and not (in_time and issued)]
        if rest and exact_sum(one.amount for one in rest) == exact_sum(entered):
            found |= {_named(total) for total in rest}
            continue
        for total in rest:
            if total.amount in entered:
                entered.remove(total.amount)
                found.add(_named(total))
    return found


def _named(total: Total) -> Named:
    return total.month, total.issuer, total.currency, total.invoice_id
