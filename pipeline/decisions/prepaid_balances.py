"""Node `fct_prepaid_balances_daily`: each prepaid account day by day, from its first stated balance or entry on.

What came in, somebody wrote down (`prepaid_csv`); what the provider showed, somebody wrote down too, or its API
answered (`prepaid_balance`); what was used is what the account's bill charges, in the same currency, on days that are
settled. The rule: `pipeline.economics.prepaid`. A purchase is what was credited; its receipt is what was paid, told
beside it and in no balance. A balance that is written down is of its day's end, a reading of its moment: of one day the
later counts.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.economics.exact import to_places
from pipeline.economics.prepaid import Balance, Movements, balances

INPUTS = ("int_account_spend_daily", "stg_prepaid_balance__readings_daily", "stg_prepaid_csv__entries_daily")
GRAIN = ("usage_date", "issuer", "account", "billing_currency")
_MONEY = pl.Decimal(38, 18)
SCHEMA: Mapping[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "issuer": pl.String(),
    "account": pl.String(),
    "billing_currency": pl.String(),
    "opening_balance_cost": _MONEY,
    "purchased_cost": _MONEY,
    "granted_cost": _MONEY,
    "used_cost": _MONEY,
    "expired_cost": _MONEY,
    "refunded_cost": _MONEY,
    "unexplained_cost": _MONEY,
    "closing_balance_cost": _MONEY,
    "stated_balance_cost": _MONEY,
    "written_balance_cost": _MONEY,
    "read_balance_cost": _MONEY,
    "read_at": pl.Datetime("us"),
    "known_from_date": pl.Date(),
    "receipt_cost": _MONEY,
    "unreceipted_purchase_cost": _MONEY,
    "unpurchased_receipt_cost": _MONEY,
    "daily_used_cost": _MONEY,
    "runway_days_count": pl.Int64(),
}

_Ledger = tuple[str, str, str]
_Row = Mapping[str, Any]
_NOTHING = Decimal(0)


def build(frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """One row per day and prepaid account, to the newest day of which anything is known."""
    entries: dict[_Ledger, list[_Row]] = defaultdict(list)
    readings: dict[_Ledger, dict[date, _Row]] = defaultdict(dict)
    for row in frames["stg_prepaid_csv__entries_daily"].to_dicts():
        entries[_ledger(row)].append(row)
    for row in frames["stg_prepaid_balance__readings_daily"].to_dicts():
        readings[_ledger(row)][row["usage_date"]] = row
    ledgers = sorted({*entries, *readings})
    if not ledgers:
        return pl.DataFrame([], schema=dict(SCHEMA), orient="row")
    spend: dict[tuple[str, str], list[_Row]] = defaultdict(list)
    for row in frames["int_account_spend_daily"].to_dicts():
        spend[row["issuer"], row["account"]].append(row)
    rows = [
        row
        for ledger in ledgers
        for row in _rows(ledger, entries[ledger], readings[ledger], spend[ledger[:2]])
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def _ledger(row: _Row) -> _Ledger:
    return row["issuer"], row["account"], row["billing_currency"]


def _rows(
    ledger: _Ledger, entries: Sequence[_Row], readings: Mapping[date, _Row], spend: Sequence[_Row]
) -> Iterator[dict[str, Any]]:
    issuer, account, currency = ledger
    usage = _usage(spend, currency)
    days = _days([*(row["usage_date"] for row in entries), *readings], usage)
    by_day: dict[date, list[_Row]] = defaultdict(list)
    for row in entries:
        by_day[row["usage_date"]].append(row)
    receipted = _references(entries, "receipt")
    purchased = _references(entries, "purchase")
    moved = [(day, _movements(day, by_day[day], readings.get(day), usage.get(day))) for day in days]
    for balance in balances(moved):
        of_day, reading = by_day[balance.day], readings.get(balance.day)
        yield {
            "usage_date": balance.day,
            "issuer": issuer,
            "account": account,
            "billing_currency": currency,
            **_told(balance),
            "written_balance_cost": _written(of_day),
            "read_balance_cost": None if reading is None else reading["read_balance_cost"],
            "read_at": None if reading is None else reading["read_at"],
            "receipt_cost": _sum(of_day, "receipt"),
            "unreceipted_purchase_cost": _sum(
                [row for row in of_day if row["reference"] not in receipted], "purchase"
            ),
            "unpurchased_receipt_cost": _sum([row for row in of_day if row["reference"] not in purchased], "receipt"),
        }  # fmt: skip


def _told(balance: Balance) -> dict[str, Any]:
    moved = balance.movements
    return {
        "opening_balance_cost": _held(balance.opening),
        "purchased_cost": _held(moved.purchases),
        "granted_cost": _held(moved.grants),
        "used_cost": _held(moved.usage),
        "expired_cost": _held(moved.expiries),
        "refunded_cost": _held(moved.refunds),
        "unexplained_cost": _held(balance.unexplained),
        "closing_balance_cost": _held(balance.closing),
        "stated_balance_cost": _held(moved.stated),
        "known_from_date": balance.known_from,
        "daily_used_cost": _held(balance.daily_usage),
        "runway_days_count": balance.runway_days,
    }


def _usage(spend: Sequence[_Row], currency: str) -> dict[date, Fraction]:
    """Day -> what was used, of days that are settled. A charge in another currency is paid from another account."""
    found: dict[date, Fraction] = {}
    unknown: set[date] = set()
    for row in spend:
        day = row["usage_date"]
        if not row["is_settled"]:
            continue
        found.setdefault(day, Fraction(0))
        if row["billing_currency"] != currency:
            continue
        if row["billed_cost"] is None:
            unknown.add(day)
        else:
            found[day] += Fraction(row["billed_cost"])
    return {day: used for day, used in found.items() if day not in unknown}


def _days(entries: Sequence[date], usage: Iterable[date]) -> list[date]:
    """Every day from the first entry or reading to the newest day of which one, or a settled bill, is known."""
    first, last = min(entries), max([*entries, *usage])
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


def _movements(day: date, entries: Sequence[_Row], reading: _Row | None, usage: Fraction | None) -> Movements:
    stated = [row["entry_amount"] for row in entries if row["entry"] == "balance"]
    if reading is not None and (not stated or reading["read_at"].date() > day):
        stated = [reading["read_balance_cost"]]
    return Movements(
        purchases=Fraction(_sum(entries, "purchase")),
        grants=Fraction(_sum(entries, "grant")),
        expiries=Fraction(_sum(entries, "expiry")),
        refunds=Fraction(_sum(entries, "refund")),
        usage=usage,
        stated=Fraction(stated[0]) if stated and stated[0] is not None else None,
        is_disputed=None in stated,
    )


def _written(entries: Sequence[_Row]) -> Decimal | None:
    return next((row["entry_amount"] for row in entries if row["entry"] == "balance"), None)


def _references(entries: Iterable[_Row], entry: str) -> set[str]:
    """References that some entry of a kind has; one without a reference ties to nothing."""
    return {row["reference"] for row in entries if row["entry"] == entry and row["reference"] is not None}


def _sum(entries: Iterable[_Row], entry: str) -> Decimal:
    return sum((row["entry_amount"] for row in entries if row["entry"] == entry), _NOTHING)


def _held(amount: Fraction | None) -> Decimal | None:
    return None if amount is None else to_places(amount, 18)
