"""What people said of invoices, and what was closed, as tables: entered totals and adjustments, closed months.

Events of landing, read leniently: one that cannot be so is left out with its reason and holds up nothing. A later
total of an invoice counts in place of an earlier one; an adjustment counts until another says that it replaces it. Of a
closed month counts what its close says, and no entry made after it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import polars as pl

from pipeline.landing.records import Event, digest
from pipeline.landing.times import parse_stamp

TOTAL_EVENT = "invoice.total"
ADJUSTMENT_EVENT = "invoice.adjustment"
RATE_EVENT = "invoice.rate"
CLOSE_EVENT = "close"
_KINDS_OF_EVENT = (TOTAL_EVENT, ADJUSTMENT_EVENT, RATE_EVENT, CLOSE_EVENT)
KINDS = ("tax", "credit", "refund", "rounding", "fx", "late", "unmetered")
# What the hash of a close is of: all that the event says beside it.
_ALL = "everything"
LONGEST_NAME = 200
LONGEST_REASON = 600
# 15 digits before the point: sums of lines, totals and adjustments stay within DECIMAL(38,18).
_AMOUNT = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,18})?")
# Years of four digits, each with one after it.
_MONTH = re.compile(r"[12][0-9]{3}-(0[1-9]|1[0-2])")
_MONEY = pl.Decimal(38, 18)
_TOO_MUCH = Decimal(10) ** 20

SCHEMAS: Mapping[str, Mapping[str, pl.DataType]] = {
    "closing_totals": {
        "billing_month_date": pl.Date(),
        "issuer": pl.String(),
        "account": pl.String(),
        "billing_currency": pl.String(),
        "invoice_id": pl.String(),
        "invoice_cost": _MONEY,
        "previous_cost": _MONEY,
        "entered_at": pl.Datetime("us"),
        "entered_by": pl.String(),
    },
    "closing_adjustments": {
        "billing_month_date": pl.Date(),
        "issuer": pl.String(),
        "billing_currency": pl.String(),
        "invoice_id": pl.String(),
        "adjustment_id": pl.String(),
        "adjustment_kind": pl.String(),
        "adjustment_cost": _MONEY,
        "reason": pl.String(),
        "entered_at": pl.Datetime("us"),
        "entered_by": pl.String(),
    },
    "closing_months": {
        "billing_month_date": pl.Date(),
        "issuer": pl.String(),
        "closed_at": pl.Datetime("us"),
        "closed_by": pl.String(),
        "snapshot_id": pl.String(),
    },
    "closing_invoices": {
        "billing_month_date": pl.Date(),
        "issuer": pl.String(),
        "account": pl.String(),
        "billing_currency": pl.String(),
        "invoice_id": pl.String(),
        "restated_month_date": pl.Date(),
        "invoice_count": pl.Int64(),
        "line_count": pl.Int64(),
        "in_scope_cost": _MONEY,
        "out_of_scope_cost": _MONEY,
        "adjustments_cost": _MONEY,
        "invoice_cost": _MONEY,
        "residual_cost": _MONEY,
        "residual_name": pl.String(),
        "status": pl.String(),
        "total_basis": pl.String(),
        "other_total_cost": _MONEY,
    },
    "closing_days": {
        "booked_in_month_date": pl.Date(),
        "billing_month_date": pl.Date(),
        "issuer": pl.String(),
        "account": pl.String(),
        "billing_currency": pl.String(),
        "usage_date": pl.Date(),
        "booked_cost": _MONEY,
    },
}
_DAY_COLUMNS = tuple(name for name in SCHEMAS["closing_days"] if name != "booked_in_month_date")
_INVOICE_COLUMNS = tuple(name for name in SCHEMAS["closing_invoices"] if name != "billing_month_date")


@dataclass(frozen=True, order=True)
class InvoiceName:
    """Which invoice: month is the first day of the month that it bills."""

    month: date
    issuer: str
    currency: str
    invoice_id: str


@dataclass(frozen=True)
class EnteredTotal:
    """What somebody read off an invoice. previous: what was said of it before, if that was another amount; reason: why
    it is another.
    """

    name: InvoiceName
    amount: Decimal
    account: str | None
    at: datetime
    by: str
    previous: Decimal | None = None
    reason: str | None = None


@dataclass(frozen=True)
class EnteredAdjustment:
    """What an invoice holds beside the lines of its bill, and why."""

    name: InvoiceName
    adjustment_id: str
    kind: str
    amount: Decimal
    reason: str
    at: datetime
    by: str
    replaces: str | None = None


@dataclass(frozen=True)
class EnteredRate:
    """At what an invoice says that it is converted: `rate` of the reporting currency for one unit of its own."""

    name: InvoiceName
    rate: Decimal
    reporting_currency: str
    rate_date: date
    at: datetime
    by: str


@dataclass(frozen=True)
class Close:
    """A month that was closed, with everything that was: rows as `closing_invoices` and `closing_days` have them.

    issuer: whose invoices alone; None where the month was closed, for all whose were still open.
    """

    month: date
    issuer: str | None
    at: datetime
    by: str
    snapshot_id: str
    as_of: datetime
    sha256: str
    invoices: tuple[Mapping[str, Any], ...] = field(repr=False)
    days: tuple[Mapping[str, Any], ...] = field(repr=False)
    # Of invoices in another currency than the reporting one: what they came to in that, at which rate, as text.
    conversions: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Closing:
    """All that counts of what was entered and closed. `replaced`: entries in whose place a later one counts.

    `closes`: by month and issuer, None for what closed the month. `left_out`: events that never counted, each with its
    reason.
    """

    totals: Mapping[InvoiceName, EnteredTotal] = field(default_factory=dict)
    rates: Mapping[InvoiceName, EnteredRate] = field(default_factory=dict)
    adjustments: tuple[EnteredAdjustment, ...] = ()
    closes: Mapping[tuple[date, str | None], Close] = field(default_factory=dict)
    left_out: tuple[tuple[Event, str], ...] = ()
    replaced: tuple[EnteredTotal | EnteredAdjustment | EnteredRate, ...] = ()

    @property
    def months(self) -> Mapping[date, Close]:
        """Those that are closed for every issuer."""
        return {month: close for (month, issuer), close in self.closes.items() if issuer is None}

    def close_of(self, month: date, issuer: str | None) -> Close | None:
        """What closed an issuer's invoices of a month (None: the month)."""
        return closed_by(self.closes, month, issuer)


def closed_by(closes: Mapping[tuple[date, str | None], Close], month: date, issuer: str | None) -> Close | None:
    """Its own close, which came first, else the month's."""
    return closes.get((month, issuer)) or closes.get((month, None))


def parse_month(text: object) -> date:
    """`2026-10` as its first day. ValueError says what a month looks like."""
    if not isinstance(text, str) or _MONTH.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a month like 2026-10")
    return date.fromisoformat(f"{text}-01")


def parse_amount(text: object) -> Decimal:
    """An exact amount. ValueError says how to write one: thousands separators and exponents mean different things."""
    if not isinstance(text, str) or _AMOUNT.fullmatch(text) is None:
        shown = repr(text) if len(repr(text)) <= LONGEST_NAME else f"{repr(text)[:LONGEST_NAME]}…"
        raise ValueError(
            f"{shown} is not an amount. Write it like 1234.56: a point, no thousands separator, no currency, at most "
            "15 digits before the point and 18 after it"
        )
    amount = Decimal(text)
    return amount if amount else amount.copy_abs()


def parse_name(text: object, what: str) -> str:
    """A name as it was given. ValueError where it is none, or too long to be one."""
    return _parse_text(text, what, longest=LONGEST_NAME)


def parse_reason(text: object) -> str:
    """Why something was entered. ValueError where nothing is said, or too much."""
    return _parse_text(text, "reason", longest=LONGEST_REASON)


def _parse_text(text: object, what: str, *, longest: int) -> str:
    if not isinstance(text, str) or not text.strip() or len(text) > longest:
        raise ValueError(f"{what} is 1 to {longest} characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} is no text: it holds half a character") from None
    return text


def closing_of(events: Iterable[Event]) -> Closing:
    """What counts of these events, oldest first; of one moment in the order of their ids."""
    said = [event for event in events if event.kind in _KINDS_OF_EVENT]
    reading = _Reading()
    for event in sorted(said, key=lambda event: (event.at, event.event_id)):
        try:
            reading.read(event)
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            reading.left_out.append((event, reason))
    return Closing(
        totals=reading.totals,
        rates=reading.rates,
        adjustments=tuple(reading.adjustments.values()),
        closes=reading.closes,
        left_out=tuple(reading.left_out),
        replaced=tuple(reading.replaced),
    )


def is_about(event: Event, month: date) -> bool:
    """Whether it enters something of the month that begins on this day, or closes it."""
    return event.kind in _KINDS_OF_EVENT and event.body.get("month") == f"{month:%Y-%m}"


class _Reading:
    def __init__(self) -> None:
        self.totals: dict[InvoiceName, EnteredTotal] = {}
        self.rates: dict[InvoiceName, EnteredRate] = {}
        self.adjustments: dict[str, EnteredAdjustment] = {}
        self.closes: dict[tuple[date, str | None], Close] = {}
        self.left_out: list[tuple[Event, str]] = []
        self.replaced: list[EnteredTotal | EnteredAdjustment | EnteredRate] = []

    def read(self, event: Event) -> None:
        if event.kind == CLOSE_EVENT:
            close = _close(event)
            if closed_by(self.closes, close.month, close.issuer) is not None:
                of = "" if close.issuer is None else f" of {close.issuer}"
                raise ValueError(f"{close.month:%Y-%m}{of} was closed before, and stays as it was closed")
            self._refuse_closed_rows(close)
            self.closes[close.month, close.issuer] = close
            return
        body = event.body
        name = InvoiceName(
            parse_month(body["month"]),
            parse_name(body["issuer"], "issuer"),
            parse_name(body["currency"], "currency"),
            parse_name(body["invoice_id"], "invoice_id"),
        )
        if closed_by(self.closes, name.month, name.issuer) is not None:
            raise ValueError(f"{name.month:%Y-%m} was closed before this was entered")
        if event.kind == TOTAL_EVENT:
            self._total(event, name)
        elif event.kind == RATE_EVENT:
            self._rate(event, name)
        else:
            self._adjustment(event, name)

    def _refuse_closed_rows(self, close: Close) -> None:
        """Of each issuer a month has one close: what another says of it would stand there twice."""
        for row in (*close.invoices, *close.days):
            if close.issuer not in (None, row["issuer"]):
                raise ValueError(f"it is of {close.issuer}, and holds rows of {row['issuer']}")
            if (close.month, row["issuer"]) in self.closes:
                raise ValueError(
                    f"{close.month:%Y-%m} of {row['issuer']} was closed before, and stays as it was closed"
                )

    def _total(self, event: Event, name: InvoiceName) -> None:
        amount = parse_amount(event.body["total"])
        account = event.body.get("account")
        reason = event.body.get("reason")
        before = self.totals.get(name)
        made = EnteredTotal(
            name=name,
            amount=amount,
            account=None if account is None else parse_name(account, "account"),
            at=event.at,
            by=str(event.body.get("by")),
            previous=None if before is None else before.previous if before.amount == amount else before.amount,
            reason=None if reason is None else parse_reason(reason),
        )
        if before is not None:
            self.replaced.append(before)
        self.totals[name] = made

    def _rate(self, event: Event, name: InvoiceName) -> None:
        made = EnteredRate(
            name=name,
            rate=parse_amount(event.body["rate"]),
            reporting_currency=parse_name(event.body["reporting_currency"], "reporting_currency"),
            rate_date=date.fromisoformat(event.body["rate_date"]),
            at=event.at,
            by=str(event.body.get("by")),
        )
        if made.rate <= 0:
            raise ValueError(f"rate is {made.rate}: it is above zero")
        if made.reporting_currency == name.currency:
            raise ValueError(f"the invoice is in {name.currency}, which is the reporting currency: it needs no rate")
        if (before := self.rates.get(name)) is not None:
            self.replaced.append(before)
        self.rates[name] = made

    def _adjustment(self, event: Event, name: InvoiceName) -> None:
        made = EnteredAdjustment(
            name=name,
            adjustment_id=event.event_id[:12],
            kind=event.body["kind"],
            amount=parse_amount(event.body["amount"]),
            reason=parse_reason(event.body["reason"]),
            at=event.at,
            by=str(event.body.get("by")),
            replaces=event.body.get("replaces"),
        )
        if made.kind not in KINDS:
            raise ValueError(f"kind is {made.kind!r}, not one of {', '.join(KINDS)}")
        others = dict(self.adjustments)
        replaced = None if made.replaces is None else others.pop(made.replaces, None)
        if made.replaces is not None and (replaced is None or replaced.name != name):
            raise ValueError(f"it replaces {made.replaces!r}, which is no adjustment of this invoice that counts")
        if any(same_adjustment(made, other) for other in others.values()):
            raise ValueError("the same adjustment was entered before, and counts once")
        if replaced is not None:
            self.replaced.append(replaced)
        self.adjustments = {**others, made.adjustment_id: made}


def same_adjustment(one: EnteredAdjustment, other: EnteredAdjustment) -> bool:
    """Whether two entries are one thing said twice: same invoice, kind, amount and reason."""
    return (one.name, one.kind, one.amount, one.reason) == (other.name, other.kind, other.amount, other.reason)


def close_body(
    *,
    month: date,
    issuer: str | None = None,
    snapshot_id: str,
    as_of: str,
    by: str,
    tolerances: Mapping[str, str],
    invoices: Sequence[Mapping[str, Any]],
    days: Sequence[Mapping[str, Any]],
    conversions: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The body of a close event: rows of `closing_invoices` and `closing_days` as text, and a hash of all of it."""
    said = {
        "month": f"{month:%Y-%m}",
        "issuer": issuer,
        "invoices": [{name: _text(row[name]) for name in _INVOICE_COLUMNS} for row in invoices],
        "days": [{name: _text(row[name]) for name in _DAY_COLUMNS} for row in days],
        "snapshot_id": snapshot_id,
        "as_of": as_of,
        "by": by,
        "tolerances": dict(tolerances),
        "conversions": [dict(one) for one in conversions],
        "hash_is_of": _ALL,
    }
    return {**said, "sha256": digest(said)}


def _text(value: object) -> object:
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, date) else value


def _close(event: Event) -> Close:
    body = event.body
    # Closes of before this was so are hashed by their figures alone: who closed, and from what, is not in it.
    hashed = body.keys() - {"sha256"} if body.get("hash_is_of") == _ALL else {"month", "invoices", "days"}
    if digest({name: body[name] for name in hashed}) != body["sha256"]:
        raise ValueError("its figures are not those that its hash was made of: what was closed was altered since")
    issuer = body.get("issuer")
    return Close(
        month=parse_month(body["month"]),
        issuer=None if issuer is None else parse_name(issuer, "issuer"),
        at=event.at,
        by=str(body["by"]),
        snapshot_id=str(body["snapshot_id"]),
        as_of=parse_stamp(body["as_of"]),
        sha256=body["sha256"],
        invoices=tuple(_typed(row, "closing_invoices", _INVOICE_COLUMNS) for row in body["invoices"]),
        days=tuple(_typed(row, "closing_days", _DAY_COLUMNS) for row in body["days"]),
        conversions=tuple(body.get("conversions", ())),
    )


def _typed(row: Mapping[str, Any], table: str, columns: Sequence[str]) -> dict[str, Any]:
    """A landed row with the types of its table. Amounts keep their digits: these are no entries, and were held once."""
    return {name: _value(row[name], name, SCHEMAS[table][name]) for name in columns}


def _value(said: Any, name: str, kind: pl.DataType) -> Any:
    if said is None:
        return None
    if kind == _MONEY:
        try:
            return _held(Decimal(said))
        except InvalidOperation:
            raise ValueError(f"{name} of a row of it is {said!r}") from None
    if kind == pl.Date():
        return date.fromisoformat(said)
    if type(said) is not (int if kind == pl.Int64() else str):
        raise ValueError(f"{name} of a row of it is {said!r}")
    return said


def _held(amount: Decimal) -> Decimal:
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -18 or abs(amount) >= _TOO_MUCH:
        raise ValueError(f"{amount} cannot be held exactly")
    return amount


def closing_frames(closing: Closing) -> dict[str, pl.DataFrame]:
    """One frame per closing table."""
    rows: dict[str, list[dict[str, Any]]] = {
        "closing_totals": [_total_row(total) for total in closing.totals.values()],
        "closing_adjustments": [_adjustment_row(one) for one in closing.adjustments],
        "closing_months": [
            {
                "billing_month_date": close.month,
                "issuer": close.issuer,
                "closed_at": close.at.replace(tzinfo=None),
                "closed_by": close.by,
                "snapshot_id": close.snapshot_id,
            }
            for close in closing.closes.values()
        ],
        "closing_invoices": [
            {**row, "billing_month_date": close.month} for close in closing.closes.values() for row in close.invoices
        ],
        "closing_days": [
            {**row, "booked_in_month_date": close.month} for close in closing.closes.values() for row in close.days
        ],
    }
    return {name: pl.DataFrame(rows[name], schema=dict(schema), orient="row") for name, schema in SCHEMAS.items()}


def _name_row(name: InvoiceName) -> dict[str, Any]:
    return {
        "billing_month_date": name.month,
        "issuer": name.issuer,
        "billing_currency": name.currency,
        "invoice_id": name.invoice_id,
    }


def _total_row(total: EnteredTotal) -> dict[str, Any]:
    return {
        **_name_row(total.name),
        "account": total.account,
        "invoice_cost": total.amount,
        "previous_cost": total.previous,
        "entered_at": total.at.replace(tzinfo=None),
        "entered_by": total.by,
    }


def _adjustment_row(one: EnteredAdjustment) -> dict[str, Any]:
    return {
        **_name_row(one.name),
        "adjustment_id": one.adjustment_id,
        "adjustment_kind": one.kind,
        "adjustment_cost": one.amount,
        "reason": one.reason,
        "entered_at": one.at.replace(tzinfo=None),
        "entered_by": one.by,
    }


def closing_left_out(events: Iterable[Event]) -> Iterator[tuple[Event, str]]:
    """Entries and closes that do not count, each with its reason."""
    yield from closing_of(events).left_out
