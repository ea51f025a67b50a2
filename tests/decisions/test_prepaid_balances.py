"""`fct_prepaid_balances_daily` beside a second route: the last balance stated, plus all that moved since."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decisions import prepaid_balances

FIRST = date(2026, 11, 1)
_MONEY = pl.Decimal(38, 18)
_ENTRIES = {
    "usage_date": pl.Date(),
    **dict.fromkeys(("account", "issuer", "entry", "reference", "billing_currency"), pl.String()),
    "entry_amount": _MONEY,
}
_SPEND = {
    "usage_date": pl.Date(),
    **dict.fromkeys(("issuer", "account", "billing_currency"), pl.String()),
    "billed_cost": _MONEY,
    "is_settled": pl.Boolean(),
}
_READINGS = {
    "usage_date": pl.Date(),
    **dict.fromkeys(("account", "issuer", "billing_currency", "provider"), pl.String()),
    "read_at": pl.Datetime("us"),
    "read_balance_cost": _MONEY,
}
Rows = list[dict[str, Any]]
_IN = {"purchase": 1, "grant": 1, "expiry": -1, "refund": -1, "receipt": 0}


def entry(day: int, kind: str, amount: str, *, account: str = "a", reference: str | None = None) -> dict[str, Any]:
    return {
        "usage_date": FIRST + timedelta(days=day),
        "account": account,
        "issuer": "openrouter",
        "entry": kind,
        "reference": reference,
        "billing_currency": "USD",
        "entry_amount": Decimal(amount),
    }


def spent(day: int, amount: str | None, *, currency: str | None = "USD", **more: Any) -> dict[str, Any]:
    return {
        "usage_date": FIRST + timedelta(days=day),
        "issuer": "openrouter",
        "account": "a",
        "billing_currency": currency,
        "billed_cost": None if amount is None else Decimal(amount),
        "is_settled": True,
        **more,
    }


def read(day: int, amount: str, *, hour: int = 30, account: str = "a") -> dict[str, Any]:
    """`hour`: after the day began; from 24 on it is past its end."""
    return {
        "usage_date": FIRST + timedelta(days=day),
        "account": account,
        "issuer": "openrouter",
        "billing_currency": "USD",
        "provider": "openrouter",
        "read_at": datetime.combine(FIRST, time()) + timedelta(days=day, hours=hour),
        "read_balance_cost": Decimal(amount),
    }


def built(
    entries: Sequence[Mapping[str, Any]],
    spend: Sequence[Mapping[str, Any]],
    readings: Sequence[Mapping[str, Any]] = (),
) -> Rows:
    frames = {
        "stg_prepaid_balance__readings_daily": pl.DataFrame(list(readings), schema=_READINGS, orient="row"),
        "stg_prepaid_csv__entries_daily": pl.DataFrame(list(entries), schema=_ENTRIES, orient="row"),
        "int_account_spend_daily": pl.DataFrame(list(spend), schema=_SPEND, orient="row"),
    }
    return prepaid_balances.build(frames).to_dicts()


def second_route(entries: Sequence[Mapping[str, Any]], spend: Sequence[Mapping[str, Any]], day: date) -> Decimal | None:
    """The newest stated balance, then every amount after it, one by one; None where a day between is not known."""
    stated = [row for row in entries if row["entry"] == "balance" and row["usage_date"] <= day]
    if not stated:
        return None
    newest = max(stated, key=lambda row: row["usage_date"])
    balance: Decimal = newest["entry_amount"]
    at = newest["usage_date"] + timedelta(days=1)
    while at <= day:
        bills = [row for row in spend if row["usage_date"] == at and row["is_settled"]]
        if not bills or any(row["billed_cost"] is None and row["billing_currency"] == "USD" for row in bills):
            return None
        balance -= sum((row["billed_cost"] for row in bills if row["billing_currency"] == "USD"), Decimal(0))
        for row in entries:
            if row["usage_date"] == at and row["entry"] != "balance":
                balance += _IN[row["entry"]] * row["entry_amount"]
        at += timedelta(days=1)
    return balance


AMOUNTS = st.integers(0, 10**6).map(lambda cents: str(Decimal(cents) / 100))
ENTRIES = st.lists(
    st.builds(entry, st.integers(0, 9), st.sampled_from(list(_IN)), AMOUNTS, reference=st.sampled_from([None, "r"])),
    max_size=8,
    unique_by=lambda row: (row["usage_date"], row["entry"], row["reference"]),
)
BALANCES = st.lists(
    st.builds(entry, st.integers(0, 9), st.just("balance"), AMOUNTS),
    max_size=3,
    unique_by=lambda row: row["usage_date"],
)
SPEND = st.lists(
    st.one_of(
        st.builds(spent, st.integers(0, 9), AMOUNTS, is_settled=st.booleans()),
        st.builds(spent, st.integers(0, 9), st.none(), currency=st.sampled_from([None, "USD"])),
        st.builds(spent, st.integers(0, 9), AMOUNTS, currency=st.just("CNY")),
    ),
    max_size=12,
    unique_by=lambda row: (row["usage_date"], row["billing_currency"]),
)


@settings(max_examples=60, deadline=None)
@given(entries=ENTRIES, stated=BALANCES, spend=SPEND)
def test_every_balance_is_the_last_one_stated_and_all_that_moved_since(
    entries: Rows, stated: Rows, spend: Rows
) -> None:
    """Receipts and usage in another currency move nothing; a day that is not settled is not one of nothing."""
    rows = built([*entries, *stated], spend)
    assert bool(rows) == bool(entries or stated)
    for row in rows:
        assert row["closing_balance_cost"] == second_route([*entries, *stated], spend, row["usage_date"])
    days = [row["usage_date"] for row in rows]
    assert days == [days[0] + timedelta(days=number) for number in range(len(days))] if days else True


def test_each_kind_of_entry_moves_the_balance_its_own_way() -> None:
    """By hand: 100 + 50 bought + 5 given - 7 used - 2 ended - 10 given back = 136; what was paid moves nothing."""
    moved = {"purchase": "50", "grant": "5", "expiry": "2", "refund": "10", "receipt": "60"}
    rows = built([entry(0, "balance", "100"), *(entry(1, *one) for one in moved.items())], [spent(1, "7")])
    assert rows[1]["closing_balance_cost"] == 136
    said = ("purchased_cost", "granted_cost", "expired_cost", "refunded_cost", "receipt_cost", "used_cost")
    assert [rows[1][name] for name in said] == [50, 5, 2, 10, 60, 7]


@settings(max_examples=60, deadline=None)
@given(
    entries=ENTRIES,
    stated=BALANCES,
    spend=SPEND,
    readings=st.lists(
        st.builds(read, st.integers(0, 9), AMOUNTS, hour=st.integers(12, 35)), max_size=4,
        unique_by=lambda row: row["usage_date"],
    ),
)  # fmt: skip
def test_a_reading_is_a_balance_of_its_day_and_of_two_of_a_day_the_later_counts(
    entries: Rows, stated: Rows, spend: Rows, readings: Rows
) -> None:
    """The same ledger as if somebody had written the readings down, but for days that have both."""
    past_the_end = {row["usage_date"] for row in readings if row["read_at"].date() > row["usage_date"]}
    written = {row["usage_date"] for row in stated}
    counted = [row for row in stated if row["usage_date"] not in past_the_end]
    counted += [
        {**entry(0, "balance", "0"), "usage_date": row["usage_date"], "entry_amount": row["read_balance_cost"]}
        for row in readings
        if row["usage_date"] in past_the_end or row["usage_date"] not in written
    ]
    rows = built([*entries, *stated], spend, readings)
    as_written = built([*entries, *counted], spend)
    kept = [
        name for name in prepaid_balances.SCHEMA if name not in ("written_balance_cost", "read_balance_cost", "read_at")
    ]
    assert [[row[name] for name in kept] for row in rows] == [[row[name] for name in kept] for row in as_written]
    both = {row["usage_date"]: (row["written_balance_cost"], row["read_balance_cost"]) for row in rows}
    for row in readings:
        assert both[row["usage_date"]][1] == row["read_balance_cost"]
    for row in stated:
        assert both[row["usage_date"]][0] == row["entry_amount"]


def test_what_a_reading_is_apart_from_the_sum_is_named_that_day() -> None:
    """By hand: 10 - 3 = 7, of which 6 are read: 1 was used after midnight, and comes back on the next day."""
    rows = built([], [spent(day, "3") for day in range(3)], [read(0, "10"), read(1, "6"), read(2, "4")])
    told = [(row["closing_balance_cost"], row["unexplained_cost"]) for row in rows]
    assert told == [(10, None), (6, -1), (4, 1)]


def test_accounts_stand_apart_and_one_without_entries_is_none() -> None:
    entries = [entry(0, "balance", "10"), entry(0, "balance", "20", account="b"), entry(2, "grant", "1", account="b")]
    rows = built(entries, [spent(1, "3"), spent(1, "7", account="c")])
    assert [(row["account"], row["usage_date"].day, row["closing_balance_cost"]) for row in rows] == [
        ("a", 1, 10),
        ("a", 2, 7),
        ("b", 1, 20),
        ("b", 2, None),
        ("b", 3, None),
    ]
    assert built([], [spent(1, "3")]) == []


def test_a_balance_that_two_files_state_differently_is_unknown_until_one_is_stated() -> None:
    """The sum would be a third figure that neither shows."""
    disputed = {**entry(1, "balance", "0"), "entry_amount": None}
    rows = built([entry(0, "balance", "10"), disputed, entry(3, "balance", "4")], [spent(day, "3") for day in range(5)])
    assert [row["closing_balance_cost"] for row in rows] == [10, None, None, 4, 1]
    assert [row["unexplained_cost"] for row in rows] == [None, None, None, None, 0]


def test_a_receipt_ties_to_the_purchases_of_its_reference_and_to_no_usage() -> None:
    """545 paid for 500 of credits: 45 of tax and fees are in no balance; what ties to nothing is told."""
    rows = built(
        [
            entry(0, "balance", "0"),
            entry(1, "purchase", "500", reference="r-1"),
            entry(1, "receipt", "545", reference="r-1"),
            entry(1, "purchase", "20"),
            entry(1, "receipt", "33", reference="r-2"),
        ],
        [spent(1, "33")],
    )
    names = ("receipt_cost", "unreceipted_purchase_cost", "unpurchased_receipt_cost", "closing_balance_cost")
    assert [tuple(rows[1][name] for name in names)] == [(578, 20, 33, 487)]


def test_the_runway_is_of_what_is_left_at_the_mean_of_the_days_known() -> None:
    """By hand: eight days of 12.50, 87.50 left: seven days."""
    rows = built([entry(0, "balance", "187.5")], [spent(day, "12.5") for day in range(9)])
    assert (rows[-1]["closing_balance_cost"], rows[-1]["daily_used_cost"], rows[-1]["runway_days_count"]) == (
        Decimal("87.5"), Decimal("12.5"), 7,
    )  # fmt: skip
    assert (rows[0]["opening_balance_cost"], rows[0]["unexplained_cost"], rows[0]["runway_days_count"]) == (
        None, None, None,
    )  # fmt: skip
