"""Accruals as a journal: what is agreed or metered and not billed yet, its reversal, and the bill with its true-up.

Five entries, each balanced by itself, in whole minor units of its currency. `accrual`: expense against what is owed and
not billed; `correction`: what that is more or less by now, where somebody says so. When the bill is there: `reversal`,
both mirrored; `billed`, the bill as far as it was accrued; and `true_up`, what it was more or less. Together they are
the bill, account by account; who books invoices by another way takes the first three alone.

Rounded once: a group (one issuer's account in one currency) to its minor unit, and its lines then share that by largest
remainder.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from math import floor

ACCRUAL, CORRECTION, REVERSAL = "accrual", "correction", "reversal"
BILLED, TRUE_UP = "billed", "true_up"


@dataclass(frozen=True)
class Group:
    """What is owed to one issuer for one account, in one currency."""

    issuer: str
    account: str | None
    currency: str


@dataclass(frozen=True)
class Thing:
    """What is accrued: a billed resource, or (None) an API's account."""

    lane: str
    issuer: str
    account: str | None
    resource_id: str | None


@dataclass(frozen=True)
class Line:
    """An amount of one cost centre, in whole minor units."""

    thing: Thing
    currency: str
    cost_centre: str | None
    minor_units: int
    basis: str = ""

    @property
    def group(self) -> Group:
        return Group(self.thing.issuer, self.thing.account, self.currency)


@dataclass(frozen=True)
class Accounts:
    """General-ledger accounts as the journal names them."""

    expense: Mapping[str, str]
    accrued: str
    payable: str


@dataclass(frozen=True)
class Posting:
    """One row of the journal. Of `debit` and `credit` one is 0 and none is below; whole minor units."""

    posting_date: date
    entry: str
    gl_account: str
    cost_centre: str | None
    debit: int
    credit: int
    currency: str
    basis: str
    source: str
    receipt_id: str


def rounded_once(amounts: Sequence[Fraction], *, digits: int) -> list[int]:
    """Amounts of one group in whole minor units (10^-digits) that sum to the rounded sum of the amounts.

    The sum is rounded half to even; each part is its floor, and the units left over go to the largest remainders, the
    earlier first.
    """
    exact = [amount * 10**digits for amount in amounts]
    parts = [floor(amount) for amount in exact]
    left = round(sum(exact, Fraction(0))) - sum(parts)
    by_remainder = sorted(range(len(exact)), key=lambda index: (parts[index] - exact[index], index))
    for index in by_remainder[:left]:
        parts[index] += 1
    return parts


def postings(
    lines: Iterable[Line],
    *,
    entry: str,
    posting_date: date,
    accounts: Accounts,
    receipt_id: str,
) -> Iterator[Posting]:
    """The rows of one entry: each line's expense, and one row a group on the other side. Lines of nothing have none.

    Of a reversal the sides are changed. An amount below zero stands on the other side, never with a sign.
    """
    against = accounts.accrued if entry in (ACCRUAL, CORRECTION, REVERSAL) else accounts.payable
    sign = -1 if entry == REVERSAL else 1
    by_group: dict[Group, list[Line]] = {}
    for line in lines:
        by_group.setdefault(line.group, []).append(line)
    for group, own in sorted(by_group.items(), key=lambda item: _key(item[0])):
        for line in sorted(own, key=_line_key):
            yield from _posting(
                sign * line.minor_units,
                (posting_date, entry, accounts.expense[line.thing.lane], line.cost_centre),
                (group.currency, line.basis, _source(line.thing), receipt_id),
            )
        total = sum(line.minor_units for line in own)
        source = _source(Thing("", group.issuer, group.account, None))
        about = (group.currency, "the sum of the lines above", source, receipt_id)
        yield from _posting(-sign * total, (posting_date, entry, against, None), about)


def _posting(
    amount: int, first: tuple[date, str, str, str | None], last: tuple[str, str, str, str]
) -> Iterator[Posting]:
    if amount:
        yield Posting(*first, max(amount, 0), max(-amount, 0), *last)


def differences(
    before: Iterable[Line], after: Iterable[Line], *, basis: str = "the bill less what was accrued"
) -> list[Line]:
    """What the later is more than the earlier, by thing, cost centre and currency; below zero where it is less."""
    found: dict[tuple[Thing, str, str | None], int] = {}
    for sign, lines in ((-1, before), (1, after)):
        for line in lines:
            key = (line.thing, line.currency, line.cost_centre)
            found[key] = found.get(key, 0) + sign * line.minor_units
    return [Line(thing, currency, centre, units, basis) for (thing, currency, centre), units in found.items() if units]


def _key(group: Group) -> tuple[str, str, str]:
    return group.issuer, group.account or "", group.currency


def _line_key(line: Line) -> tuple[str, str, bool, str, str]:
    thing = line.thing
    return thing.lane, thing.resource_id or "", line.cost_centre is None, line.cost_centre or "", line.basis


def _source(thing: Thing) -> str:
    return "/".join(part for part in (thing.issuer, thing.account, thing.resource_id) if part is not None)
