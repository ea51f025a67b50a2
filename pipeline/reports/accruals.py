"""A month's accruals, issued once and settled as its bills arrive: what is landed of them, and the journal of it.

What is issued stays issued: the events hold whole minor units, so a journal that is written again has the same bytes,
whatever was restated since. A thing (a resource, or an API's account) is settled once none of the days that were
accrued is accrued any more: then the bill has superseded them, or has ended what was agreed.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.config import Config
from pipeline.decisions.api_side import key_of
from pipeline.decisions.owner_costs import UNASSIGNED, fields_of, rules_on
from pipeline.economics.accrual import (
    ACCRUAL,
    BILLED,
    REVERSAL,
    TRUE_UP,
    Accounts,
    Group,
    Line,
    Posting,
    Thing,
    differences,
    postings,
    rounded_once,
)
from pipeline.economics.prices import PriceList
from pipeline.formats.currency import minor_digits, money
from pipeline.landing.landing import ACCRUAL_ISSUED_EVENT, ACCRUAL_SETTLED_EVENT
from pipeline.landing.records import Event, digest
from pipeline.ownership import owner_of
from pipeline.reports.closing import next_month
from pipeline.reports.figures import counted
from pipeline.reports.words import inert

API, GPU = "api", "gpu"
COLUMNS = (
    "posting_date", "entry", "gl_account", "cost_centre", "debit", "credit", "currency", "basis", "source",
    "receipt_id",
)  # fmt: skip
_MS_PER_HOUR = 3_600_000
Row = Mapping[str, Any]
Ask = Callable[..., pl.DataFrame]


@dataclass
class _Sum:
    """What is accrued of one thing, cost centre and currency."""

    cost: Fraction = Fraction(0)
    days: set[date] = field(default_factory=set)
    quantity: int = 0
    rates: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Accrued:
    """What a month has accrued by now. `days`: which of them, by thing; `unpriced`: those of which nobody knows how
    much is owed; `left_out`: the same in words.
    """

    lines: tuple[Line, ...]
    days: Mapping[Thing, frozenset[date]]
    unpriced: Mapping[Thing, frozenset[date]]
    left_out: tuple[str, ...]

    def owed_days(self, thing: Thing) -> frozenset[date]:
        """Of which of its days no bill is there."""
        found = (days for held in (self.days, self.unpriced) for other, days in held.items() if _is_same(thing, other))
        return frozenset[date]().union(*found)


@dataclass(frozen=True)
class Issued:
    """An accrual as it was landed."""

    month: date
    posting_date: date
    receipt_id: str
    accounts: Accounts
    lines: tuple[Line, ...]
    days: Mapping[Thing, frozenset[date]]


@dataclass(frozen=True)
class Settled:
    """What the bill of some things of it came to, as it was landed."""

    posting_date: date
    receipt_id: str
    accrued: tuple[Line, ...]
    billed: tuple[Line, ...]


def accrued_of(
    ask: Ask,
    *,
    month: date,
    prices: PriceList,
    ownership: Sequence[Row],
    workloads: Sequence[Row],
    names: Mapping[str, str],
) -> Accrued:
    """What of a month (its first day) is agreed or metered and not billed, in whole minor units.

    `ownership`, `workloads`: rows of `config_ownership` and `config_workloads`, for what an API metered. `names`: of
    past cost centres, what they are called now.
    """
    period: dict[str, Any] = {"from_date": month, "to_date": next_month(month)}
    sums: dict[tuple[Thing, str, str | None], _Sum] = {}
    unknown: dict[str, set[date]] = {}
    unpriced: dict[Thing, set[date]] = {}
    for row in ask("accrued", **period).to_dicts():
        thing = Thing(GPU, row["issuer"], row["account"], row["resource_id"])
        if row["cost"] is None:
            unknown.setdefault(f"{row['resource_id']} of {row['issuer']}: no rate is agreed", set()).add(
                row["usage_date"]
            )
            unpriced.setdefault(thing, set()).add(row["usage_date"])
            continue
        centre = names.get(row["cost_centre"], row["cost_centre"])
        held = sums.setdefault((thing, row["billing_currency"], centre), _Sum())
        held.cost += Fraction(row["cost"])
        held.days.add(row["usage_date"])
        held.quantity += row["gpu_milliseconds"] or 0
    for row in ask("metered_only", **period).to_dicts():
        day, key = row["usage_date"], key_of(row)
        thing = Thing(API, row["issuer"], row["account"], None)
        price = None if key is None else prices.on(day, prices.held(key))
        if price is None:
            what = f"{row['model'] or 'no model'}, {row['token_class']} of {row['account']}: no price is known"
            unknown.setdefault(what, set()).add(day)
            unpriced.setdefault(thing, set()).add(day)
            continue
        known_by = {**row, "lane": API, "workload": None if row["workload"] == UNASSIGNED else row["workload"]}
        owners = owner_of(fields_of(known_by), {}, rules_on(day, ownership=ownership, workloads=workloads))
        said, _ = owners.get("cost_centre", (None, ""))
        held = sums.setdefault((thing, price.currency, None if said is None else names.get(said, said)), _Sum())
        held.cost += Fraction(price.per_mtok) * row["tokens"] / 1_000_000
        held.days.add(day)
        held.quantity += row["tokens"]
        held.rates.add("list price" if price.basis == "list" else "contract rate")
    days: dict[Thing, set[date]] = {}
    for (thing, _, _), held in sums.items():
        days.setdefault(thing, set()).update(held.days)
    return Accrued(
        lines=tuple(_rounded({key: (held.cost, _basis(key[0], held)) for key, held in sums.items()})),
        days={thing: frozenset(found) for thing, found in days.items()},
        unpriced={thing: frozenset(found) for thing, found in unpriced.items()},
        left_out=tuple(f"{what} ({counted(len(found), 'day')})" for what, found in sorted(unknown.items())),
    )


def _rounded(sums: Mapping[tuple[Thing, str, str | None], tuple[Fraction, str]]) -> Iterator[Line]:
    """Each group rounded once; its lines in one order, so that the same amounts round alike."""
    by_group: dict[Group, list[tuple[Thing, str, str | None]]] = {}
    for key in sorted(sums, key=lambda key: (key[0].lane, key[0].resource_id or "", key[2] is None, key[2] or "")):
        thing, currency, _ = key
        by_group.setdefault(Group(thing.issuer, thing.account, currency), []).append(key)
    for group, keys in by_group.items():
        parts = rounded_once([sums[key][0] for key in keys], digits=minor_digits(group.currency))
        for (thing, currency, centre), units in zip(keys, parts, strict=True):
            yield Line(thing, currency, centre, units, sums[thing, currency, centre][1])


def _basis(thing: Thing, held: _Sum) -> str:
    days = f"{counted(len(held.days), 'day')} from {min(held.days)} to {max(held.days)}"
    if thing.lane == API:
        return f"{held.quantity} metered tokens at {' and '.join(sorted(held.rates))}, {days}"
    hours = Fraction(held.quantity, _MS_PER_HOUR)
    return f"{float(hours):.2f} GPU-hours of the resource at the agreed rate, {days}"


def issue_body(accrued: Accrued, *, month: date, config: Config, about: Mapping[str, str]) -> dict[str, Any]:
    """What is landed of an accrual. `about`: which snapshot it is of, and who issued it."""
    said = {
        "month": f"{month:%Y-%m}",
        "posting_date": (next_month(month) - timedelta(days=1)).isoformat(),
        "accounts": config.accounting.model_dump(mode="json"),
        "lines": [_line_body(line) for line in accrued.lines],
        "days": [
            {**_thing_body(thing), "days": sorted(day.isoformat() for day in days)}
            for thing, days in sorted(accrued.days.items(), key=lambda item: str(item[0]))
        ],
    }
    return {**said, "receipt_id": f"ACC-{said['month']}-{digest(said)[:10]}", **about}


def issued_of(events: Iterable[Event], month: date) -> Issued | None:
    """The accrual of a month as it was issued: the first that landed. What was issued at once by two is one."""
    found = [event for event in events if event.kind == ACCRUAL_ISSUED_EVENT and event.subject == f"{month:%Y-%m}"]
    if not found:
        return None
    body = min(found, key=lambda event: (event.at, event.event_id)).body
    named = body["accounts"]
    return Issued(
        month=month,
        posting_date=date.fromisoformat(body["posting_date"]),
        receipt_id=body["receipt_id"],
        accounts=Accounts(
            expense={API: named["api_expense"], GPU: named["gpu_expense"]},
            accrued=named["accrued_liabilities"],
            payable=named["accounts_payable"],
        ),
        lines=tuple(map(_line_of, body["lines"])),
        days={_thing_of(one): frozenset(map(date.fromisoformat, one["days"])) for one in body["days"]},
    )


def settled_of(events: Iterable[Event], issued: Issued) -> list[Settled]:
    """What was settled of it, in the order in which it landed; a thing is settled once."""
    found = [event for event in events if event.kind == ACCRUAL_SETTLED_EVENT and event.body["of"] == issued.receipt_id]
    seen: set[Thing] = set()
    settled = []
    for event in sorted(found, key=lambda event: (event.at, event.event_id)):
        accrued = tuple(line for line in map(_line_of, event.body["accrued"]) if line.thing not in seen)
        billed = tuple(line for line in map(_line_of, event.body["billed"]) if line.thing not in seen)
        seen |= {line.thing for line in (*accrued, *billed)}
        if accrued or billed:
            posting_date = date.fromisoformat(event.body["posting_date"])
            settled.append(Settled(posting_date, event.body["receipt_id"], accrued, billed))
    return settled


def settle_body(
    issued: Issued,
    before: Sequence[Settled],
    now: Accrued,
    ask: Ask,
    *,
    posting_date: date,
    about: Mapping[str, str],
    names: Mapping[str, str],
) -> dict[str, Any] | None:
    """What is landed of the things whose bill is there since; None where there is none. `now`: what is accrued now."""
    done = {line.thing for one in before for line in one.accrued}
    due = {thing for thing, days in issued.days.items() if thing not in done and not days & now.owed_days(thing)}
    if not due:
        return None
    period: dict[str, Any] = {"from_date": issued.month, "to_date": next_month(issued.month)}
    sums: dict[tuple[Thing, str, str | None], tuple[Fraction, str]] = {}
    for row in ask("billed_since", **period).to_dicts():
        thing = next((one for one in due if _is_of(row, one) and row["usage_date"] in issued.days[one]), None)
        if thing is not None and row["cost"] is not None:
            key = (thing, row["billing_currency"], names.get(row["cost_centre"], row["cost_centre"]))
            before_it = sums.get(key, (Fraction(0), ""))[0]
            sums[key] = before_it + Fraction(row["cost"]), "what the bill charges for the days that were accrued"
    invoices = {
        row["invoice_id"]
        for row in ask("invoices_of_resources", **period).to_dicts()
        if any(
            (one.issuer, one.resource_id) == (row["issuer"], row["resource_id"])
            and row["usage_date"] in issued.days[one]
            for one in due
        )
    }
    said = {
        "of": issued.receipt_id,
        "posting_date": posting_date.isoformat(),
        "accrued": [_line_body(line) for line in issued.lines if line.thing in due],
        "billed": [_line_body(line) for line in _rounded(sums)],
    }
    receipt = " ".join([*sorted(invoices)]) or f"{issued.receipt_id}-{digest(said)[:6]}"
    return {**said, "receipt_id": receipt, **about}


def accrued_since(issued: Issued, now: Accrued) -> Iterator[str]:
    """What is accrued now and was not when the journal was issued, in words: it stays as it was issued."""
    for line in now.lines:
        if not any(_is_same(line.thing, other) for other in issued.days):
            what = line.thing.resource_id or line.thing.account
            owed = money(amount(line.minor_units, line.currency), line.currency)
            yield f"{owed} of {what} is accrued since it was issued as {issued.receipt_id}"


def _is_same(thing: Thing, other: Thing) -> bool:
    """Of a resource the account may become known with its bill."""
    if thing.lane == API:
        return thing == other
    return (thing.lane, thing.issuer, thing.resource_id) == (other.lane, other.issuer, other.resource_id)


def _is_of(row: Row, thing: Thing) -> bool:
    return _is_same(thing, Thing(row["lane"], row["issuer"], row["account"], row["resource_id"]))


def journal_of(issued: Issued, settled: Iterable[Settled]) -> list[Posting]:
    """All entries of a month's accrual, in the order in which they were issued."""
    about: dict[str, Any] = {"accounts": issued.accounts}
    rows = list(
        postings(issued.lines, entry=ACCRUAL, posting_date=issued.posting_date, receipt_id=issued.receipt_id, **about)
    )
    for one in settled:
        about["posting_date"] = one.posting_date
        rows += postings(one.accrued, entry=REVERSAL, receipt_id=issued.receipt_id, **about)
        rows += postings(one.accrued, entry=BILLED, receipt_id=one.receipt_id, **about)
        rows += postings(differences(one.accrued, one.billed), entry=TRUE_UP, receipt_id=one.receipt_id, **about)
    return rows


def as_csv(rows: Iterable[Posting]) -> str:
    """The journal: amounts in the currency's minor unit, and nothing that a spreadsheet takes for a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(row, name) for name in COLUMNS] for row in rows)
    return text.getvalue()


def amount(minor_units: int, currency: str) -> Decimal:
    """Whole minor units as the currency writes them."""
    return Decimal(minor_units).scaleb(-minor_digits(currency))


def _cell(row: Posting, name: str) -> str:
    value = getattr(row, name)
    if name in ("debit", "credit"):
        return format(amount(value, row.currency), "f") if value else ""
    return "" if value is None else str(inert(str(value)))


def _thing_body(thing: Thing) -> dict[str, Any]:
    return {"lane": thing.lane, "issuer": thing.issuer, "account": thing.account, "resource_id": thing.resource_id}


def _thing_of(said: Row) -> Thing:
    return Thing(said["lane"], said["issuer"], said["account"], said["resource_id"])


def _line_body(line: Line) -> dict[str, Any]:
    about = {"currency": line.currency, "cost_centre": line.cost_centre, "basis": line.basis}
    return {**_thing_body(line.thing), **about, "minor_units": line.minor_units}


def _line_of(said: Row) -> Line:
    return Line(_thing_of(said), said["currency"], said["cost_centre"], said["minor_units"], said["basis"])
