"""Entries about invoices and closes of months: the last word counts, what cannot be so is left out."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from pipeline.build.closing_tables import (
    ADJUSTMENT_EVENT,
    CLOSE_EVENT,
    SCHEMAS,
    TOTAL_EVENT,
    InvoiceName,
    close_body,
    closing_frames,
    closing_of,
    parse_amount,
    parse_month,
)
from pipeline.landing.records import Event, digest
from pipeline.landing.times import parse_stamp

OCTOBER = date(2026, 10, 1)
NAME = InvoiceName(OCTOBER, "anthropic", "USD", "INV-1")
ABOUT = {"month": "2026-10", "issuer": "anthropic", "currency": "USD", "invoice_id": "INV-1", "by": "kim"}


def event(kind: str, body: Mapping[str, Any], *, at: str = "02") -> Event:
    return Event(kind=kind, subject="s", body={**ABOUT, **body}, at=parse_stamp(f"2026-11-{at}T09:00:00Z"))


def total(amount: object, *, at: str = "02", **body: Any) -> Event:
    return event(TOTAL_EVENT, {"total": amount, **body}, at=at)


def adjusted(amount: str, *, at: str = "02", **body: Any) -> Event:
    return event(ADJUSTMENT_EVENT, {"kind": "tax", "amount": amount, "reason": "VAT", **body}, at=at)


def invoice_row(**fields: Any) -> dict[str, Any]:
    return {**dict.fromkeys(SCHEMAS["closing_invoices"]), "issuer": "anthropic", "billing_currency": "USD", **fields}


def closed(at: str = "05", *, of: str | None = None, issuer: str = "anthropic", **replaced: Any) -> Event:
    day = {
        "billing_month_date": OCTOBER, "issuer": issuer, "account": "a", "billing_currency": "USD",
        "usage_date": date(2026, 10, 3), "booked_cost": Decimal("1.5"),
    }  # fmt: skip
    body = close_body(
        month=OCTOBER, issuer=of, snapshot_id="0" * 16, as_of="2026-11-05T09:00:00.000000Z", by="kim",
        tolerances={"": "0.01"}, days=[day],
        invoices=[invoice_row(issuer=issuer, in_scope_cost=Decimal("1.5"), invoice_count=1)],
    )  # fmt: skip
    return Event(
        kind=CLOSE_EVENT, subject="2026-10", body={**body, **replaced}, at=parse_stamp(f"2026-11-{at}T09:00:00Z")
    )


def reasons(*events: Event) -> list[str]:
    return [reason for _, reason in closing_of(events).left_out]


def test_a_later_total_counts_and_the_one_before_stays_known() -> None:
    found = closing_of([total("101.00", at="03"), total("100.00"), total("101.00", at="04")]).totals[NAME]
    assert (found.amount, found.previous) == (Decimal("101.00"), Decimal("100.00"))
    replaced = closing_of([total("101.00", at="03"), total("100.00")]).replaced
    assert [one.amount for one in replaced] == [Decimal("100.00")]


def test_adjustments_add_up_until_one_replaces_another() -> None:
    first, second = adjusted("1.36"), adjusted("0.10", kind="fx", reason="card")
    assert [one.amount for one in closing_of([first, second]).adjustments] == [Decimal("1.36"), Decimal("0.10")]
    third = adjusted("1.30", at="03", replaces=first.event_id[:12])
    found = closing_of([first, second, third])
    assert sorted(one.amount for one in found.adjustments) == [Decimal("0.10"), Decimal("1.30")]
    assert found.left_out == ()
    assert [one.amount for one in found.replaced] == [Decimal("1.36")]
    # One that is refused replaces nothing.
    found = closing_of(
        [first, second, adjusted("0.10", at="03", kind="fx", reason="card", replaces=first.event_id[:12])]
    )
    assert sorted(one.amount for one in found.adjustments) == [Decimal("0.10"), Decimal("1.36")]
    assert found.replaced == ()


def test_what_was_entered_twice_counts_once() -> None:
    """B9: the same word from two people, or one person twice."""
    found = closing_of([adjusted("1.36"), adjusted("1.36", at="03")])
    assert len(found.adjustments) == 1
    assert "counts once" in found.left_out[0][1]
    assert len(closing_of([adjusted("1.36"), adjusted("1.36", reason="city tax")]).adjustments) == 2


def test_a_correction_that_does_not_count_takes_nothing_away() -> None:
    """It is another adjustment said twice: what it would replace still counts."""
    first, second = adjusted("10.00"), adjusted("5.00")
    third = adjusted("5.00", at="03", replaces=first.event_id[:12])
    found = closing_of([first, second, third])
    assert sorted(one.amount for one in found.adjustments) == [5, 10]
    assert [event for event, _ in found.left_out] == [third]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (total("1,234.56"), "no thousands separator"),
        (total("9" * 40), "is not an amount"),
        (total("1e3"), "is not an amount"),
        (total("NaN"), "is not an amount"),
        (total("\u0661\u0662"), "is not an amount"),
        (total(100), "is not an amount"),
        (total("1", month="2026-13"), "is not a month"),
        (total("1", month="0000-10"), "is not a month"),
        (total("1", month="9999-12"), "is not a month"),
        (total("1", reason=" "), "reason is 1 to 600"),
        (total("1", issuer=""), "issuer is 1 to 200"),
        (total("1", issuer="x" * 201), "issuer is 1 to 200"),
        (total("1", invoice_id=None), "invoice_id is 1 to 200"),
        (adjusted("1", kind="gift"), "kind is 'gift'"),
        (adjusted("1", replaces="000000000000"), "no adjustment of this invoice"),
        (event(TOTAL_EVENT, {}), "'total' is missing"),
    ],
)
def test_what_cannot_be_so_is_left_out_with_its_reason(entry: Event, words: str) -> None:
    """B7: and the entry beside it counts."""
    found = closing_of([entry, total("5", at="04")])
    assert found.totals[NAME].amount == 5
    ((_, reason),) = found.left_out
    assert words in reason


def test_an_amount_is_what_was_written() -> None:
    assert parse_amount("-0.000000000000000001") == Decimal("-0.000000000000000001")
    assert parse_amount("999999999999999.999999999999999999") < 10**15
    assert str(parse_amount("-0")) == "0"
    assert parse_month("2026-10") == OCTOBER


def test_a_closed_month_takes_no_more_entries_and_no_second_close() -> None:
    """Law 10."""
    again = closed(at="07")
    found = closing_of([total("5"), closed(), total("6", at="06"), adjusted("1", at="06"), again])
    assert found.totals[NAME].amount == 5
    assert found.adjustments == ()
    assert found.closes[OCTOBER, None].at == parse_stamp("2026-11-05T09:00:00Z")
    assert [reason for _, reason in found.left_out] == [
        "2026-10 was closed before this was entered",
        "2026-10 was closed before this was entered",
        "2026-10 was closed before, and stays as it was closed",
    ]


def test_a_close_comes_back_as_it_was_written() -> None:
    frames = closing_frames(closing_of([closed()]))
    (row,) = frames["closing_invoices"].to_dicts()
    assert row == {**invoice_row(in_scope_cost=Decimal("1.5"), invoice_count=1), "billing_month_date": OCTOBER}
    (day,) = frames["closing_days"].to_dicts()
    assert (day["booked_in_month_date"], day["usage_date"], day["booked_cost"]) == (
        OCTOBER, date(2026, 10, 3), Decimal("1.5"),
    )  # fmt: skip
    assert {name: dict(frame.schema) for name, frame in frames.items()} == {
        name: dict(schema) for name, schema in SCHEMAS.items()
    }


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"issuer": 5}, "issuer of a row of it is 5"),
        ({"invoice_count": "1"}, "invoice_count of a row of it is '1'"),
        ({"in_scope_cost": "1e-19"}, "cannot be held exactly"),
        ({"in_scope_cost": "x"}, "in_scope_cost of a row of it is 'x'"),
        (None, "'account' is missing"),
    ],
)
def test_a_close_of_which_no_table_could_be_made_does_not_count(wrong: dict[str, Any] | None, words: str) -> None:
    """Whatever its hash says: one event would end every build."""
    body = closed().body
    rows = [{"issuer": "x"}] if wrong is None else [{**row, **wrong} for row in body["invoices"]]
    said = {name: value for name, value in body.items() if name != "sha256"}
    forged = closed(invoices=rows, sha256=digest({**said, "invoices": rows}))
    assert [words in reason for reason in reasons(forged)] == [True]
    assert closing_of([forged, total("5", at="06")]).totals[NAME].amount == 5


def test_a_close_whose_figures_were_altered_does_not_count() -> None:
    good = closed()
    (row,) = good.body["invoices"]
    altered = replace(good, body={**good.body, "invoices": [{**row, "in_scope_cost": "2.5"}]})
    assert reasons(altered) == [
        "its figures are not those that its hash was made of: what was closed was altered since"
    ]
    assert closing_of([altered, total("5", at="06")]).totals[NAME].amount == 5
    assert reasons(closed(days="none")) != []


@pytest.mark.parametrize(
    "said",
    [{"by": "somebody else"}, {"snapshot_id": "1" * 16}, {"as_of": "2026-11-01T00:00:00.000000Z"},
     {"tolerances": {"": "5"}}, {"issuer": "anthropic"}, {"hash_is_of": None}],
)  # fmt: skip
def test_who_closed_what_and_from_which_snapshot_is_in_the_hash(said: dict[str, Any]) -> None:
    good = closed()
    (reason,) = reasons(replace(good, body={**good.body, **said}))
    assert "altered since" in reason


def test_a_close_of_before_its_hash_was_of_everything_still_counts() -> None:
    body = {name: value for name, value in closed().body.items() if name not in ("hash_is_of", "issuer", "sha256")}
    figures = {name: body[name] for name in ("month", "invoices", "days")}
    (before,) = [replace(closed(), body={**body, "sha256": digest(figures)})]
    assert closing_of([before]).closes[OCTOBER, None].by == "kim"


def test_an_issuer_is_closed_once_alone_or_with_its_month() -> None:
    """Law 10: entries of the others still count; a month's close holds none that was closed before."""
    alone = closed(of="anthropic")
    other = total("7", at="06", issuer="openai")
    found = closing_of([alone, other, total("5", at="06"), closed(at="07", of="anthropic"), closed(at="08")])
    assert [name.issuer for name in found.totals] == ["openai"]
    assert [reason for _, reason in found.left_out] == [
        "2026-10 was closed before this was entered",
        "2026-10 of anthropic was closed before, and stays as it was closed",
        "2026-10 of anthropic was closed before, and stays as it was closed",
    ]
    assert found.close_of(OCTOBER, "openai") is None
    both = closing_of([alone, closed(at="08", issuer="openai"), closed(at="09", of="anthropic")])
    assert [(issuer, close.issuer) for (_, issuer), close in both.closes.items()] == [
        ("anthropic", "anthropic"),
        (None, None),
    ]
    assert list(both.months) == [OCTOBER]
    assert len(both.left_out) == 1
    (reason,) = reasons(closed(of="openai"))
    assert reason == "it is of openai, and holds rows of anthropic"
