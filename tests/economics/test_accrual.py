"""A journal that balances to the cent, and whose entries together are the bill."""

from collections.abc import Sequence
from datetime import date
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pipeline.economics.accrual import (
    ACCRUAL,
    BILLED,
    CORRECTION,
    REVERSAL,
    TRUE_UP,
    Accounts,
    Line,
    Posting,
    Thing,
    differences,
    postings,
    rounded_once,
)

ACCOUNTS = Accounts(expense={"gpu": "6110", "api": "6120"}, accrued="2150", payable="2000")
THINGS = st.builds(
    Thing, st.sampled_from(["gpu", "api"]), st.sampled_from(["cloud", "nord"]), st.sampled_from(["a", None]),
    st.sampled_from(["srv-1", "srv-2", None]),
)  # fmt: skip
LINES = st.lists(
    st.builds(
        Line, THINGS, st.sampled_from(["USD", "JPY"]), st.sampled_from(["CC-1", "CC-2", None]),
        st.integers(-(10**6), 10**6),
    ),
    max_size=8,
)  # fmt: skip
EXACT = st.fractions(min_value=-1000, max_value=1000, max_denominator=10**6)


def posted(entry: str, lines: Sequence[Line]) -> list[Posting]:
    return list(postings(lines, entry=entry, posting_date=date(2026, 10, 31), accounts=ACCOUNTS, receipt_id="R"))


@given(st.lists(EXACT, max_size=8), st.sampled_from([0, 2, 3]))
def test_a_group_is_rounded_once_and_its_lines_share_that(amounts: list[Fraction], digits: int) -> None:
    parts = rounded_once(amounts, digits=digits)
    assert sum(parts) == round(sum(amounts, Fraction(0)) * 10**digits)
    assert all(abs(part - amount * 10**digits) < 1 for part, amount in zip(parts, amounts, strict=True))
    assert rounded_once(amounts, digits=digits) == parts


def test_leftover_cents_go_to_the_largest_remainders() -> None:
    thirds = [Fraction(100, 3)] * 3
    assert rounded_once(thirds, digits=2) == [3334, 3333, 3333]
    assert rounded_once([Fraction("0.004"), Fraction("0.007"), Fraction("-0.003")], digits=2) == [0, 1, 0]


@given(LINES, LINES, LINES)
def test_every_entry_balances_and_together_they_are_the_bill(
    issued: list[Line], known_later: list[Line], billed: list[Line]
) -> None:
    """B22: expense is the bill by cost centre, what was owed and not billed is nothing, what is payable is the bill.
    With its correction, what was issued is what is known later.
    """
    corrections = differences(issued, known_later)
    accrued = [*issued, *corrections]
    assert differences(accrued, known_later) == []
    entries = {
        ACCRUAL: posted(ACCRUAL, issued),
        CORRECTION: posted(CORRECTION, corrections),
        REVERSAL: posted(REVERSAL, accrued),
        BILLED: posted(BILLED, accrued),
        TRUE_UP: posted(TRUE_UP, differences(accrued, billed)),
    }
    for rows in entries.values():
        for currency in ("USD", "JPY"):
            own = [row for row in rows if row.currency == currency]
            assert sum(row.debit for row in own) == sum(row.credit for row in own)
    rows = [row for own in entries.values() for row in own]
    assert all(min(row.debit, row.credit) == 0 < max(row.debit, row.credit) for row in rows)
    for currency in ("USD", "JPY"):
        for lane, account in ACCOUNTS.expense.items():
            for centre in ("CC-1", "CC-2", None):
                booked = sum(
                    row.debit - row.credit
                    for row in rows
                    if (row.currency, row.gl_account, row.cost_centre) == (currency, account, centre)
                )
                assert booked == sum(
                    line.minor_units
                    for line in billed
                    if (line.currency, line.thing.lane, line.cost_centre) == (currency, lane, centre)
                )
        sides = {
            name: sum(row.credit - row.debit for row in rows if (row.currency, row.gl_account) == (currency, name))
            for name in ("2150", "2000")
        }
        assert sides == {"2150": 0, "2000": sum(line.minor_units for line in billed if line.currency == currency)}


@given(LINES, st.randoms(use_true_random=False))
def test_the_order_in_which_lines_come_changes_nothing(lines: list[Line], random: object) -> None:
    mixed = list(lines)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    key = str
    assert sorted(posted(ACCRUAL, mixed), key=key) == sorted(posted(ACCRUAL, lines), key=key)
