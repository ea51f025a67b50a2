"""A month's invoices beside their lines: exact, nothing left out, nothing twice, the unknown unknown."""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.economics.closing import Adjustment, Invoice, Lines, Total, invoices_of, is_within

OCTOBER = date(2026, 10, 1)
money = st.decimals(-(10**15) + 1, 10**15 - 1, allow_nan=False, places=18)
months = st.sampled_from([OCTOBER, date(2026, 11, 1)])
issuers = st.sampled_from(["anthropic", "AWS, Inc."])
currencies = st.sampled_from(["USD", "JPY", "EUR"])
accounts = st.sampled_from(["a", "b"])
ids = st.sampled_from(["INV-1", "INV-2", "INV-3"])
lines_of_bills = st.builds(
    Lines,
    month=months,
    issuer=issuers,
    account=accounts,
    currency=currencies,
    invoice_id=st.none() | ids,
    in_scope=money,
    out_of_scope=money,
    line_count=st.integers(1, 9),
    charged_count=st.integers(0, 9),
    is_filtered=st.booleans(),
)
stated_totals = st.builds(
    Total,
    month=months,
    issuer=issuers,
    account=st.none() | accounts,
    currency=currencies,
    invoice_id=ids,
    amount=money,
    basis=st.sampled_from(["entered", "export"]),
)
entered = st.builds(Adjustment, month=months, issuer=issuers, currency=currencies, invoice_id=ids, amount=money)


def one_each(totals: Iterable[Total]) -> list[Total]:
    return list({(one.month, one.issuer, one.currency, one.invoice_id): one for one in totals}.values())


def exactly(amounts: Iterable[Decimal]) -> Fraction:
    return sum(map(Fraction, amounts), Fraction(0))


def per_group(pairs: Iterable[tuple[Any, Decimal]]) -> dict[tuple[date, str, str], Fraction]:
    """(month, issuer, currency) -> sum."""
    found: dict[tuple[date, str, str], Fraction] = {}
    for one, amount in pairs:
        key = one.month, one.issuer, one.currency
        found[key] = found.get(key, Fraction(0)) + Fraction(amount)
    return {key: amount for key, amount in found.items() if amount}


@given(
    st.lists(lines_of_bills, max_size=8),
    st.lists(stated_totals, max_size=6).map(one_each),
    st.lists(entered, max_size=6),
)
def test_lines_and_adjustments_and_residual_are_the_total_and_all_of_each_is_there_once(
    lines: list[Lines], totals: list[Total], adjustments: list[Adjustment]
) -> None:
    """B22, B23: for any months, currencies and invoices; nothing is added over two of them."""
    rows = invoices_of(lines, totals, adjustments)
    for row in rows:
        if row.total is None:
            assert (row.residual, row.residual_name) == (None, None)
        else:
            assert row.residual is not None
            said = exactly([row.in_scope, row.out_of_scope, row.adjustments, row.residual])
            assert said == Fraction(row.total)
    assert per_group((row, row.in_scope) for row in rows) == per_group((one, one.in_scope) for one in lines)
    assert per_group((row, row.out_of_scope) for row in rows) == per_group((one, one.out_of_scope) for one in lines)
    assert per_group((row, row.adjustments) for row in rows) == per_group((one, one.amount) for one in adjustments)
    assert per_group((row, row.total) for row in rows if row.total is not None) == per_group(
        (one, one.amount) for one in totals
    )
    assert sum(row.line_count for row in rows) == sum(one.line_count for one in lines)
    keys = [(row.month, row.issuer, row.account, row.currency, row.invoice_id) for row in rows]
    assert len(set(keys)) == len(keys)


@given(st.lists(lines_of_bills, max_size=8), st.lists(stated_totals, max_size=6).map(one_each), st.randoms())
def test_the_order_in_which_things_are_said_changes_nothing(
    lines: list[Lines], totals: list[Total], order: Any
) -> None:
    before = invoices_of(lines, totals, ())
    order.shuffle(lines)
    order.shuffle(totals)
    assert invoices_of(lines, totals, ()) == before


def line(amount: str, **fields: Any) -> Lines:
    given_fields = {"account": "a", "invoice_id": None, "out_of_scope": Decimal(0), "line_count": 1, "charged_count": 1}
    return Lines(
        month=OCTOBER, issuer="anthropic", currency="USD", in_scope=Decimal(amount), **{**given_fields, **fields}
    )


def total(amount: str, invoice_id: str = "INV-1", **fields: Any) -> Total:
    about = {"month": OCTOBER, "issuer": "anthropic", "currency": "USD", "basis": "entered", **fields}
    return Total(invoice_id=invoice_id, amount=Decimal(amount), **about)


def adjustment(amount: str, invoice_id: str = "INV-1") -> Adjustment:
    return Adjustment(month=OCTOBER, issuer="anthropic", currency="USD", invoice_id=invoice_id, amount=Decimal(amount))


def said(rows: Sequence[Invoice]) -> list[tuple[str | None, str | None, str, str | None]]:
    return [(row.invoice_id, row.account, row.status, row.residual_name) for row in rows]


@pytest.mark.parametrize(
    ("in_scope", "adjusted", "stated", "status", "name"),
    [
        ("14.4224271659", "1.36", "15.78", "residual", "rounding"),
        ("0.0326516", "0", "0.03", "residual", "rounding"),
        ("632.2026750", "0", "632.20", "residual", "rounding"),
        ("15.00", "0.78", "15.78", "ties", "none"),
        ("15.00", "0", "15.78", "residual", "unexplained"),
        ("15.7699", "0", "15.78", "residual", "unexplained"),
    ],
)
def test_a_residual_is_named(in_scope: str, adjusted: str, stated: str, status: str, name: str) -> None:
    """Case 7, two invoices of AWS that lines sum to with ten decimals; and Case 23, metered energy."""
    (row,) = invoices_of([line(in_scope)], [total(stated)], [adjustment(adjusted)])
    assert (row.status, row.residual_name) == (status, name)
    assert row.residual == Decimal(stated) - Decimal(in_scope) - Decimal(adjusted)


def test_an_invoice_without_a_total_is_not_one_over_nothing() -> None:
    """Law 3: and one over nothing is."""
    assert said(invoices_of([line("5")], [], [])) == [(None, "a", "no_total", None)]
    assert said(invoices_of([line("0")], [total("0")], [])) == [("INV-1", "a", "ties", "none")]
    assert said(invoices_of([], [total("5")], [])) == [("INV-1", None, "residual", "no_line_of_it")]
    assert said(invoices_of([], [], [adjustment("5")])) == [("INV-1", None, "no_total", None)]


def test_lines_that_charge_nothing_need_no_invoice() -> None:
    assert said(invoices_of([line("0", charged_count=0)], [], [])) == [(None, "a", "nothing_billed", None)]
    # Two charges that cancel are billed.
    assert said(invoices_of([line("0", charged_count=2)], [], [])) == [(None, "a", "no_total", None)]


def test_lines_that_name_no_invoice_are_on_those_that_no_line_names() -> None:
    lines = [line("5"), line("7", account="b"), line("1", invoice_id="INV-9")]
    together = invoices_of(lines, [total("10"), total("2", "INV-2"), total("1", "INV-9")], [])
    assert said(together) == [("INV-1 + INV-2", None, "ties", "none"), ("INV-9", "a", "ties", "none")]
    apart = invoices_of(lines, [total("5", account="a"), total("7", "INV-2", account="b")], [])
    assert said(apart) == [
        ("INV-1", "a", "ties", "none"), ("INV-2", "b", "ties", "none"), ("INV-9", "a", "no_total", None)
    ]  # fmt: skip
    rest = invoices_of(lines, [total("5", account="a")], [])
    assert said(rest)[0] == (None, "b", "no_total", None)


def test_the_largest_amount_that_can_be_entered_ties_to_the_last_digit() -> None:
    """B7: 33 digits, where a decimal of Python rounds to 28 at every step."""
    largest = "999999999999999.999999999999999999"
    (row,) = invoices_of([line(largest)], [total(largest)], [])
    assert (row.status, row.residual) == ("ties", 0)
    (row,) = invoices_of([line(largest)], [total("0")], [adjustment("0.000000000000000001")])
    assert row.residual == Decimal("-1000000000000000")


def test_a_filtered_export_ties_to_itself_and_says_so() -> None:
    (row,) = invoices_of([line("5", is_filtered=True)], [total("9")], [])
    assert (row.status, row.residual_name, row.residual) == ("ties_to_export", "outside_the_export", Decimal(4))
    (row,) = invoices_of([line("5", is_filtered=True)], [], [])
    assert (row.status, row.residual) == ("ties_to_export", None)


def test_what_two_invoices_were_rounded_by_together_is_rounding() -> None:
    """Each of them a cent at most, where no line says which of the two it is on; beyond that somebody has to look."""
    (row,) = invoices_of([line("20")], [total("10.01", invoice_id="INV-1"), total("10.01", invoice_id="INV-2")], [])
    assert (row.invoice_id, row.residual, row.residual_name) == ("INV-1 + INV-2", Decimal("0.02"), "rounding")
    (row,) = invoices_of([line("20")], [total("10.01", invoice_id="INV-1"), total("10.02", invoice_id="INV-2")], [])
    assert row.residual_name == "unexplained"


def test_the_tolerance_is_per_invoice_and_its_edge_is_within() -> None:
    cent = Decimal("0.01")
    assert is_within(Decimal("-0.01"), tolerance=cent, invoice_count=1)
    assert not is_within(Decimal("0.010000000000000001"), tolerance=cent, invoice_count=1)
    assert is_within(Decimal("0.02"), tolerance=cent, invoice_count=2)
    assert not is_within(cent, tolerance=Decimal(0), invoice_count=1)
