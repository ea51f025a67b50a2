"""Accrued beside posted: a coin that rounding moves is nothing to correct, and no late day is unsaid."""

from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.economics.accrual import Accounts, Line, Thing, rounded_once
from pipeline.reports.accruals import Accrued, Books, Issued, Settled, drifts_of

FIRST = date(2026, 11, 1)
SERVERS = [Thing("gpu", "gc", "main", f"srv-{number}") for number in range(6)]


def owed(costs: list[Fraction], things: list[Thing], day: date = FIRST) -> Accrued:
    """What each of these things owes for a day, in cents that sum to the rounded sum."""
    cents = rounded_once(costs, digits=2)
    lines = tuple(Line(thing, "USD", None, units) for thing, units in zip(things, cents, strict=True))
    return Accrued(lines=lines, days={thing: frozenset({day}) for thing in things}, unpriced={}, left_out=())


def posted(accrued: Accrued, *, billed: int) -> Books:
    """Issued as it is, and the bill of the first so many booked."""
    accounts = Accounts({"gpu": "6110", "api": "6120"}, "2150", "2000")
    issued = Issued(FIRST, date(2026, 11, 30), "ACC", accounts, accrued.lines, accrued.days)
    return Books(issued, (Settled(date(2026, 12, 9), "INV-1", accrued.lines[:billed], ()),))


def no_bill(question: str, **period: Any) -> pl.DataFrame:
    return pl.DataFrame(schema={"usage_date": pl.Date()})


@given(costs=st.lists(st.fractions(0, 3, max_denominator=1000), min_size=2, max_size=6), data=st.data())
def test_what_is_billed_of_an_account_leaves_nothing_to_correct_of_the_rest(costs: list[Fraction], data: Any) -> None:
    """Three servers of 33.5 cents are 34 + 33 + 33; without the first, the others come to 34 + 33."""
    things = SERVERS[: len(costs)]
    billed = data.draw(st.integers(1, len(costs) - 1))
    books = posted(owed(costs, things), billed=billed)
    rest = owed(costs[billed:], things[billed:])
    assert drifts_of(books, rest, no_bill, names={}) == ([], [])
    # Three cents are no rounding.
    dearer = owed([cost + Fraction(3, 100) for cost in costs[billed:]], things[billed:])
    assert drifts_of(books, dearer, no_bill, names={})[0]


def test_a_day_that_is_accrued_after_the_bill_was_booked_is_said() -> None:
    """Nothing corrects it any more: what was booked of the server was its bill."""
    cost = [Fraction(5)]
    late = owed(cost, SERVERS[:1], FIRST + timedelta(days=4))
    found, said = drifts_of(posted(owed(cost, SERVERS[:1]), billed=1), late, no_bill, names={})
    assert found == []
    assert said == [
        "srv-0 of main: 1 day from 2026-11-05 to 2026-11-05 is accrued since its bill was booked; book it with the "
        "bill of it"
    ]
