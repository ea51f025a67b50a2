"""A month's accruals, issued once, corrected where somebody says so, and settled as its bills arrive: what is landed of
them, and the journal of it.

What is issued stays issued: the events hold whole minor units, so a journal that is written again has the same bytes,
whatever was restated since; what was issued too much or too little is a posting of its own. A thing (a resource, or an
API's account) is settled once a bill charges for days of it and none of its accrued days is accrued any more. Where
days are gone and no bill is there, somebody has to say why: nothing is reversed by itself.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.config.whole import Config
from pipeline.decisions.api_side import key_of
from pipeline.decisions.charge_parts import UNASSIGNED
from pipeline.decisions.owner_costs import RuleBooks, fields_of
from pipeline.economics.accrual import (
    ACCRUAL,
    BILLED,
    CORRECTION,
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
from pipeline.landing.landing import ACCRUAL_CORRECTED_EVENT, ACCRUAL_ISSUED_EVENT, ACCRUAL_SETTLED_EVENT
from pipeline.landing.records import Event, digest
from pipeline.reports.closing import next_month
from pipeline.reports.figures import counted
from pipeline.reports.words import inert

API, GPU = "api", "gpu"
COLUMNS = (
    "posting_date", "entry", "gl_account", "cost_centre", "debit", "credit", "currency", "basis", "source",
    "receipt_id",
)  # fmt: skip
_MS_PER_HOUR = 3_600_000
# `accrual_basis` of a resource's day -> whose count its hours are.
_WHOSE_HOURS = {"reported": "GPU-hours reported by the issuer", "agreed": "GPU-hours of the resource"}
Row = Mapping[str, Any]
Ask = Callable[..., pl.DataFrame]


@dataclass
class _Sum:
    """What is accrued of one thing, cost centre and currency. `quantity`: tokens; `hours`: GPU-milliseconds, by
    whether they are agreed or reported.
    """

    cost: Fraction = Fraction(0)
    days: set[date] = field(default_factory=set)
    quantity: int = 0
    hours: dict[str, int] = field(default_factory=dict)
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
class Corrected:
    """What was accrued more or less than had been issued, as it was landed. `days`: which are accrued after it, of the
    things that it corrects.
    """

    posting_date: date
    receipt_id: str
    lines: tuple[Line, ...]
    days: Mapping[Thing, frozenset[date]]


@dataclass(frozen=True)
class Settled:
    """What the bill of some things of it came to, as it was landed."""

    posting_date: date
    receipt_id: str
    accrued: tuple[Line, ...]
    billed: tuple[Line, ...]

    @property
    def things(self) -> frozenset[Thing]:
        return frozenset(line.thing for line in (*self.accrued, *self.billed))


@dataclass(frozen=True)
class Books:
    """An accrual with all that followed, in the order in which it landed."""

    issued: Issued
    steps: tuple[Corrected | Settled, ...] = ()

    @property
    def settled(self) -> frozenset[Thing]:
        return frozenset[Thing]().union(*(one.things for one in self.steps if isinstance(one, Settled)))

    @property
    def lines(self) -> tuple[Line, ...]:
        """What is accrued of each thing as far as it was posted, corrections as lines of their own."""
        corrections = (one.lines for one in self.steps if isinstance(one, Corrected))
        return (*self.issued.lines, *(line for lines in corrections for line in lines))

    @property
    def days(self) -> Mapping[Thing, frozenset[date]]:
        """Which days that is."""
        found = dict(self.issued.days)
        for one in self.steps:
            if isinstance(one, Corrected):
                found |= one.days
        return found

    @property
    def open(self) -> Mapping[Thing, frozenset[date]]:
        """The things that no bill has settled, with their days."""
        return {thing: days for thing, days in self.days.items() if thing not in self.settled}

    @property
    def state(self) -> str:
        """Of two that correct or settle it at once, only one can have seen this."""
        return digest([self.issued.receipt_id, *([one.receipt_id, one.posting_date.isoformat()] for one in self.steps)])


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
        basis = row["accrual_basis"]
        held.hours[basis] = held.hours.get(basis, 0) + (row["gpu_milliseconds"] or 0)
    books = RuleBooks(ownership=ownership, workloads=workloads)
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
        owners = books.on(day).owner_of(fields_of(known_by), {})
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
    hours = (
        f"{float(Fraction(held.hours[basis], _MS_PER_HOUR)):.2f} {whose}"
        for basis, whose in _WHOSE_HOURS.items()
        if basis in held.hours
    )
    return f"{' and '.join(hours)} at the agreed rate, {days}"


def issue_body(accrued: Accrued, *, month: date, config: Config, about: Mapping[str, str]) -> dict[str, Any]:
    """What is landed of an accrual. `about`: which snapshot it is of, and who issued it."""
    said = {
        "month": f"{month:%Y-%m}",
        "posting_date": (next_month(month) - timedelta(days=1)).isoformat(),
        "accounts": config.accounting.model_dump(mode="json"),
        "lines": [_line_body(line) for line in accrued.lines],
        "days": _days_body(accrued.days),
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
        days=_days_of(body["days"]),
    )


def books_of(events: Iterable[Event], month: date) -> Books | None:
    """A month's accrual with what was corrected and settled of it; None where none was issued.

    A thing is settled once. What was landed by somebody who had not seen the step before it does not count.
    """
    events = list(events)
    issued = issued_of(events, month)
    if issued is None:
        return None
    books = Books(issued)
    kinds = (ACCRUAL_SETTLED_EVENT, ACCRUAL_CORRECTED_EVENT)
    found = [event for event in events if event.kind in kinds and event.body["of"] == issued.receipt_id]
    for event in sorted(found, key=lambda event: (event.at, event.event_id)):
        step = _step(event, books)
        if step is not None:
            books = Books(issued, (*books.steps, step))
    return books


def _step(event: Event, books: Books) -> Corrected | Settled | None:
    body = event.body
    if body.get("state", books.state) != books.state:
        return None
    posting_date, receipt_id = date.fromisoformat(body["posting_date"]), body["receipt_id"]
    if event.kind == ACCRUAL_CORRECTED_EVENT:
        return Corrected(posting_date, receipt_id, tuple(map(_line_of, body["lines"])), _days_of(body["days"]))
    accrued, billed = (
        tuple(line for line in map(_line_of, body[name]) if line.thing not in books.settled)
        for name in ("accrued", "billed")
    )
    return Settled(posting_date, receipt_id, accrued, billed) if accrued or billed else None


def settle_body(
    books: Books, now: Accrued, ask: Ask, *, posting_date: date, about: Mapping[str, str], names: Mapping[str, str]
) -> dict[str, Any] | None:
    """What is landed of the things whose bill is there since; None where there is none. `now`: what is accrued now."""
    month = books.issued.month
    period: dict[str, Any] = {"from_date": month, "to_date": next_month(month)}
    over = {thing: days for thing, days in books.open.items() if days and not days & now.owed_days(thing)}
    sums: dict[tuple[Thing, str, str | None], tuple[Fraction, str]] = {}
    due: set[Thing] = set()
    for row in ask("billed_since", **period).to_dicts() if over else ():
        thing = next((one for one, days in over.items() if _is_of(row, one) and row["usage_date"] in days), None)
        if thing is None:
            continue
        due.add(thing)
        if row["cost"] is not None:
            key = (thing, row["billing_currency"], names.get(row["cost_centre"], row["cost_centre"]))
            before_it = sums.get(key, (Fraction(0), ""))[0]
            sums[key] = before_it + Fraction(row["cost"]), "what the bill charges for the days that were accrued"
    if not due:
        return None
    invoices = {
        row["invoice_id"]
        for row in ask("invoices_of_resources", **period).to_dicts()
        if any(
            (one.issuer, one.resource_id) == (row["issuer"], row["resource_id"]) and row["usage_date"] in over[one]
            for one in due
        )
    }
    said = {
        "of": books.issued.receipt_id,
        "state": books.state,
        "posting_date": posting_date.isoformat(),
        "accrued": [_line_body(line) for line in books.lines if line.thing in due],
        "billed": [_line_body(line) for line in _rounded(sums)],
    }
    receipt = " ".join([*sorted(invoices)]) or f"{books.issued.receipt_id}-{digest(said)[:6]}"
    return {**said, "receipt_id": receipt, **about}


@dataclass(frozen=True)
class Drift:
    """What is accrued now and was not posted, of a thing; or days that are gone. `lines`: the difference; `days`: those
    that are accrued now.
    """

    thing: Thing
    lines: tuple[Line, ...]
    days: frozenset[date]


def drifts_of(books: Books, now: Accrued, ask: Ask, *, names: Mapping[str, str]) -> tuple[list[Drift], list[str]]:
    """Things of which something else is accrued now than was posted; and of which nobody can say so yet, in words.

    A thing of which a bill charges some days waits for the others: what is accrued now is not what was.
    """
    month = books.issued.month
    billed = ask("billed_since", from_date=month, to_date=next_month(month)).to_dicts()
    things = {thing: thing for thing in books.days}
    for one in (*now.days, *now.unpriced):
        things.setdefault(one, next((other for other in books.days if _is_same(one, other)), one))
    found = []
    waiting = [
        f"{_named(thing)}: {counted(len(days), 'day')} from {min(days)} to {max(days)} "
        f"{'is' if len(days) == 1 else 'are'} accrued since its bill was booked; book it with the bill of it"
        for thing, days in ((one, now.owed_days(one)) for one in sorted(books.settled, key=str))
        if days
    ]
    for thing in sorted(set(things.values()) - books.settled, key=str):
        posted = books.days.get(thing, frozenset())
        if any(_is_of(row, thing) and row["usage_date"] in posted for row in billed):
            if posted & now.owed_days(thing):
                waiting.append(f"{_named(thing)}: a bill charges some of its days, and it waits for the others")
            continue
        if any(_is_same(thing, one) for one in now.unpriced):
            continue
        lines = [
            Line(thing, line.currency, line.cost_centre, line.minor_units) for line in now.lines
            if _is_same(thing, line.thing)
        ]  # fmt: skip
        # A cost centre that has another name since is the same one.
        own = [
            replace(line, cost_centre=names.get(line.cost_centre or "", line.cost_centre))
            for line in books.lines
            if line.thing == thing
        ]
        days = frozenset[date]().union(*(days for one, days in now.days.items() if _is_same(thing, one)))
        basis = f"accrued now ({counted(len(days), 'day')}) less what was posted ({counted(len(posted), 'day')})"
        more = differences(own, lines, basis=basis)
        # An account is rounded once: without what is billed since, a coin of it may stand with another of its things.
        is_rounding = days == posted and all(abs(line.minor_units) <= 1 for line in more)
        if more and not is_rounding:
            found.append(Drift(thing, tuple(more), days))
    return found, waiting


def drift_in_words(drift: Drift) -> str:
    """`srv-1: $2.00 more is accrued than was posted`."""
    sums: dict[str, int] = {}
    for line in drift.lines:
        sums[line.currency] = sums.get(line.currency, 0) + line.minor_units
    said = [
        f"{money(amount(abs(units), currency), currency)} {'more' if units > 0 else 'less'} is accrued than was posted"
        if units
        else f"its {currency} are accrued to other cost centres than was posted"
        for currency, units in sums.items()
    ]
    gone = "" if drift.days else ", and no bill is there: what was agreed or metered is gone"
    return f"{_named(drift.thing)}: {', '.join(said)}{gone}"


def correct_body(
    books: Books, drifts: Sequence[Drift], *, posting_date: date, reason: str, about: Mapping[str, str]
) -> dict[str, Any]:
    """What is landed of a correction: the differences, and of what days each thing is accrued after it."""
    said = {
        "of": books.issued.receipt_id,
        "state": books.state,
        "posting_date": posting_date.isoformat(),
        "reason": reason,
        "lines": [_line_body(line) for drift in drifts for line in drift.lines],
        "days": _days_body({drift.thing: drift.days for drift in drifts}),
    }
    return {**said, "receipt_id": f"{books.issued.receipt_id}-C{digest(said)[:6]}", **about}


def _named(thing: Thing) -> str:
    return " of ".join(part for part in (thing.resource_id, thing.account or thing.issuer) if part is not None)


def _is_same(thing: Thing, other: Thing) -> bool:
    """Of a resource the account may become known with its bill."""
    if thing.lane == API:
        return thing == other
    return (thing.lane, thing.issuer, thing.resource_id) == (other.lane, other.issuer, other.resource_id)


def _is_of(row: Row, thing: Thing) -> bool:
    return _is_same(thing, Thing(row["lane"], row["issuer"], row["account"], row["resource_id"]))


def journal_of(books: Books) -> list[Posting]:
    """All entries of a month's accrual, in the order in which they were issued."""
    issued = books.issued
    about: dict[str, Any] = {"accounts": issued.accounts}
    rows = list(
        postings(issued.lines, entry=ACCRUAL, posting_date=issued.posting_date, receipt_id=issued.receipt_id, **about)
    )
    for one in books.steps:
        about["posting_date"] = one.posting_date
        if isinstance(one, Corrected):
            rows += postings(one.lines, entry=CORRECTION, receipt_id=one.receipt_id, **about)
            continue
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


def _days_body(days: Mapping[Thing, frozenset[date]]) -> list[dict[str, Any]]:
    return [
        {**_thing_body(thing), "days": sorted(day.isoformat() for day in its)}
        for thing, its in sorted(days.items(), key=lambda item: str(item[0]))
    ]


def _days_of(said: Iterable[Row]) -> dict[Thing, frozenset[date]]:
    return {_thing_of(one): frozenset(map(date.fromisoformat, one["days"])) for one in said}


def _line_body(line: Line) -> dict[str, Any]:
    about = {"currency": line.currency, "cost_centre": line.cost_centre, "basis": line.basis}
    return {**_thing_body(line.thing), **about, "minor_units": line.minor_units}


def _line_of(said: Row) -> Line:
    return Line(_thing_of(said), said["currency"], said["cost_centre"], said["minor_units"], said["basis"])
