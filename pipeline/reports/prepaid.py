"""Prepaid accounts in words, for the terminal and the report: one row an account, and what to do about one."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from pipeline.economics.prepaid import HISTORY_DAYS, LEAST_DAYS
from pipeline.reports import figures

COLUMNS = ("Account", "Opening", "Bought", "Granted", "Used", "Expired", "Refunded", "Unexplained", "Balance", "Lasts")
# These hold words; all others money of the account's own currency.
WORDS = frozenset({"Account", "Lasts"})
_MOVED = ("opening_balance", "purchased", "granted", "used", "expired", "refunded", "unexplained", "closing_balance")
NOTE = (
    "Opening + bought + granted - used - expired - refunded + unexplained = balance. Used is what settled days are "
    f"billed; lasts at the mean of the days known among {HISTORY_DAYS}, where {LEAST_DAYS} are. A day that is not "
    "settled leaves the balance unknown from there until one is stated, and what was used over it unknown."
)


def prepaid_name(row: Mapping[str, Any]) -> str:
    """`openrouter router`, or one name where both are the same."""
    names = dict.fromkeys((row["issuer"], row["account"]))
    return " ".join(figures.visible(name) for name in names)


def prepaid_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """In the order of COLUMNS, each amount in the account's own currency."""
    amounts = [row[f"{name}_cost"] for name in _MOVED]
    return (prepaid_name(row), *(_money(amount, row["billing_currency"]) for amount in amounts), lasts(row))


def lasts(row: Mapping[str, Any]) -> str:
    """How long the balance lasts, and of which day it is."""
    day: date | None = row["balance_date"]
    if day is None:
        return "balance unknown"
    if row["runway_days_count"] is not None:
        return f"{figures.counted(row['runway_days_count'], 'day')} after {day}{_as_read(row)}"
    if row["daily_used_cost"] is None:
        return f"unknown: usage of {LEAST_DAYS} days to {day} is not known{_as_read(row)}"
    return f"nothing is used of it ({day}){_as_read(row)}"


def _as_read(row: Mapping[str, Any]) -> str:
    """When the provider was asked, and what somebody wrote down of the same day where that is something else."""
    if row["read_at"] is None:
        return ""
    read = _money(row["read_balance_cost"], row["billing_currency"])
    said = f"; {read} read {row['read_at']:%Y-%m-%d %H:%M} UTC"
    written = row["written_balance_cost"]
    return (
        said
        if written in (None, row["read_balance_cost"])
        else (f"{said}, {_money(written, row['billing_currency'])} written down")
    )


def _money(amount: Decimal | None, currency: str) -> str:
    return "unknown" if amount is None else figures.Written(figures.priced(amount, currency), amount)
