"""Closed months stay as they were closed, whatever is restated, and no amount is lost or there twice."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.build.closing_tables import (
    ADJUSTMENT_EVENT,
    CLOSE_EVENT,
    TOTAL_EVENT,
    close_body,
    closing_frames,
    closing_of,
)
from pipeline.build.relations import duckdb_type
from pipeline.decisions import invoices_monthly
from pipeline.landing.landing import as_event
from pipeline.landing.records import Event
from pipeline.paths import models_root, sql_root
from pipeline.reports.closing import Tolerances, groups_of

MONTHS = (date(2026, 9, 1), date(2026, 10, 1), date(2026, 11, 1), date(2026, 12, 1))
_MONEY = pl.Decimal(38, 18)
_LINES: dict[str, Any] = {
    **dict.fromkeys(("usage_date", "period_date"), pl.Date()),
    **dict.fromkeys(("source", "account", "issuer", "billing_currency", "invoice_id"), pl.String()),
    **dict.fromkeys(("in_scope_cost", "out_of_scope_cost"), _MONEY),
    **dict.fromkeys(("line_count", "charged_line_count"), pl.Int64()),
    "is_by_lines": pl.Boolean(),
}
_SOURCES = {**dict.fromkeys(("source", "account", "role"), pl.String()), "is_filtered": pl.Boolean()}
_TOTALS = {
    **dict.fromkeys(("source", "account", "invoice_id", "billing_currency"), pl.String()),
    "payable_cost": _MONEY,
    "period_start_date": pl.Date(),
}
_AWS_TOTALS = {
    **dict.fromkeys(("source", "account", "invoice_id", "billing_currency", "invoice_issuer"), pl.String()),
    "payable_cost": _MONEY,
    **dict.fromkeys(("usage_date", "issued_on_date"), pl.Date()),
}
_CHANGES = (models_root() / "intermediate" / "int_closed_month_changes.sql").read_text()
_CLOSE_DAYS = (sql_root() / "reports" / "close_days.sql").read_text()

Rows = list[dict[str, Any]]
Key = tuple[str, str, str, str, date, str | None]  # source, issuer, account, currency, day, invoice


@dataclass
class Company:
    """What bills say now, day by day, and what people did. A month's invoice ends with it; one by lines may not."""

    says: dict[Key, tuple[Decimal, Decimal, datetime]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    totals: Rows = field(default_factory=list)
    aws_totals: Rows = field(default_factory=list)
    filtered: frozenset[tuple[str, str]] = frozenset()

    def state(
        self, day: date, amount: str, *, at: datetime, account: str = "a", currency: str = "USD", other: str = "0",
        issuer: str = "anthropic", invoice: str | None = None, source: str = "anthropic_cost_api",
    ) -> None:  # fmt: skip
        self.says[source, issuer, account, currency, day, invoice] = Decimal(amount), Decimal(other), at

    def enter(self, event_kind: str, at: datetime, **body: Any) -> None:
        about = {"issuer": "anthropic", "currency": "USD", "invoice_id": "INV-1", "by": "kim", **body}
        self.events.append(as_event(kind=event_kind, subject="s", body=about, now=at))

    def invoice(self, name: str, amount: str, *, total: str, at: datetime, day: date = date(2026, 10, 28)) -> None:
        """An invoice by lines that states its total; a later one of its name goes in its place."""
        self.state(day, amount, at=at, account="gpu", issuer="gpu", invoice=name, source="invoice_csv")
        self.totals = [one for one in self.totals if one["invoice_id"] != name]
        self.totals.append(
            {"source": "invoice_csv", "account": "gpu", "invoice_id": name, "billing_currency": "USD",
             "payable_cost": Decimal(total), "period_start_date": day}
        )  # fmt: skip

    def lines(self) -> Rows:
        return [
            {
                "usage_date": day, "source": source, "account": account, "issuer": issuer, "period_date": day,
                "billing_currency": currency, "invoice_id": invoice, "in_scope_cost": amount,
                "out_of_scope_cost": other, "line_count": 1, "is_by_lines": source == "invoice_csv",
                "charged_line_count": int(bool(amount or other)),
            }
            for (source, issuer, account, currency, day, invoice), (amount, other, _) in self.says.items()
        ]  # fmt: skip

    def look(self) -> "Look":
        """What the graph makes of it: the SQL model, what the node reads, the node."""
        given_tables: dict[str, pl.DataFrame] = {
            "int_billed_lines_daily": pl.DataFrame(self.lines(), schema=_LINES, orient="row"),
            "config_sources": pl.DataFrame(
                [{"source": source, "account": account, "role": "book", "is_filtered": True}
                 for source, account in self.filtered],
                schema=_SOURCES, orient="row",
            ),
            "stg_gpu_bills__totals": pl.DataFrame(self.totals, schema=_TOTALS, orient="row"),
            "stg_aws_invoices__totals": pl.DataFrame(self.aws_totals, schema=_AWS_TOTALS, orient="row"),
            **closing_frames(closing_of(self.events)),
        }  # fmt: skip
        connection = duckdb.connect(config={"threads": 1})
        for name, frame in given_tables.items():
            columns = ", ".join(f"{column} {duckdb_type(kind)}" for column, kind in frame.schema.items())
            connection.execute(f"create table {name} ({columns})")
            if rows_of := frame.rows():
                connection.executemany(f"insert into {name} values ({', '.join('?' * frame.width)})", rows_of)
        connection.execute(f"create table int_closed_month_changes as {_CHANGES}")
        frames = {
            name: pl.DataFrame(connection.sql(invoices_monthly.READS.get(name, f"select * from {name}")))
            for name in invoices_monthly.INPUTS
        }
        rows = invoices_monthly.build(frames)
        return Look(connection, rows.to_dicts())

    def close(self, month: date, at: datetime, issuer: str | None = None) -> None:
        """As the command does it, tolerances aside."""
        look = self.look()
        closing = closing_of(self.events)

        def is_open(row: Mapping[str, Any]) -> bool:
            return issuer in (None, row["issuer"]) and closing.close_of(month, row["issuer"]) is None

        body = close_body(
            month=month, issuer=issuer, snapshot_id="0" * 16, as_of="2026-12-31T00:00:00.000000Z", by="kim",
            tolerances={}, invoices=[row for row in look.of(month) if is_open(row)],
            days=[row for row in look.booked(month) if is_open(row)],
        )  # fmt: skip
        self.events.append(as_event(kind=CLOSE_EVENT, subject="s", body=body, now=at))


@dataclass
class Look:
    connection: duckdb.DuckDBPyConnection
    rows: Rows

    def of(self, month: date) -> Rows:
        return [row for row in self.rows if row["billing_month_date"] == month]

    def changes(self) -> Rows:
        query = "select * from int_closed_month_changes order by all"
        return pl.DataFrame(self.connection.sql(query)).to_dicts()

    def booked(self, month: date) -> Rows:
        following = (month + timedelta(days=32)).replace(day=1)
        own = pl.DataFrame(
            self.connection.sql(_CLOSE_DAYS, params={"from_date": month, "to_date": following})
        ).to_dicts()
        due = [
            {**row, "booked_cost": row["difference_cost"]} for row in self.changes() if row["due_month_date"] == month
        ]
        return [*own, *due]


def exactly(amounts: Iterator[Decimal]) -> Fraction:
    return sum(map(Fraction, amounts), Fraction(0))


def told(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Fraction]:
    """(issuer, currency) -> lines, and what closed months were restated by, of all months together."""
    found: dict[tuple[str, str], Fraction] = {}
    for row in rows:
        late = row["adjustments_cost"] if row["status"] == "late" else Decimal(0)
        key = row["issuer"], row["billing_currency"]
        amounts = (row["in_scope_cost"], row["out_of_scope_cost"], late)
        found[key] = found.get(key, Fraction(0)) + exactly(iter(amounts))
    return {key: amount for key, amount in found.items() if amount}


def stated(company: Company) -> dict[tuple[str, str], Fraction]:
    """The same from what bills say now."""
    found: dict[tuple[str, str], Fraction] = {}
    for (_, issuer, _, currency, _, _), (amount, other, _) in company.says.items():
        found[issuer, currency] = found.get((issuer, currency), Fraction(0)) + Fraction(amount) + Fraction(other)
    return {key: amount for key, amount in found.items() if amount}


def at(month: int, day: int = 3, hour: int = 6) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


money = st.decimals(-(10**9), 10**9, allow_nan=False, places=18)
days = st.dates(date(2026, 9, 1), date(2026, 11, 30))
statements = st.tuples(
    days, st.sampled_from(["a", "b"]), st.sampled_from(["USD", "JPY"]), st.sampled_from([None, "INV-1", "INV-2"]),
    money, money,
)  # fmt: skip
gone = st.tuples(st.just("gone"), st.integers(0, 30))
entries = st.tuples(st.sampled_from([TOTAL_EVENT, ADJUSTMENT_EVENT]), st.sampled_from(MONTHS[:3]), money)
closes = st.tuples(st.just(CLOSE_EVENT), st.sampled_from(MONTHS[:3]), st.sampled_from([None, None, "anthropic", "gpu"]))
INVOICED = {"W36": date(2026, 9, 3), "W44": date(2026, 10, 28), "W45": date(2026, 11, 3)}
by_lines = st.tuples(st.just("invoice"), st.sampled_from(sorted(INVOICED)), money, money)


@settings(max_examples=15)
@given(st.lists(statements | statements | by_lines | gone | entries | closes, min_size=2, max_size=14))
def test_closed_figures_stay_and_what_came_since_is_an_adjustment(steps: list[Any]) -> None:
    """Laws 1, 3 and 10; B10, B22, B23: for any statements, restatements, entries and closes, in any order. Case 17."""
    company = Company()
    as_closed: dict[tuple[date, str], Rows] = {}
    for number, step in enumerate(steps):
        now = at(9) + timedelta(days=9 * number)
        if step[0] == CLOSE_EVENT:
            _, month, of = step
            company.close(month, now, of)
            # A second close of a month counts for nothing.
            for issuer in ("anthropic", "gpu") if of is None else (of,):
                rows = [row for row in company.look().of(month) if row["issuer"] == issuer]
                as_closed.setdefault((month, issuer), rows)
        elif step[0] == "invoice":
            _, name, amount, total = step
            company.invoice(name, str(amount), total=str(total), at=now, day=INVOICED[name])
        elif step[0] == "gone":
            if company.says:
                company.says.pop(list(company.says)[step[1] % len(company.says)])
        elif step[0] in (TOTAL_EVENT, ADJUSTMENT_EVENT):
            kind, month, amount = step
            tax = {"kind": "tax", "amount": format(amount, "f"), "reason": f"reason {number}"}
            said = {"total": format(amount, "f")} if kind == TOTAL_EVENT else tax
            company.enter(kind, now, month=f"{month:%Y-%m}", **said)
        else:
            day, account, currency, invoice, amount, other = step
            company.state(
                day, str(amount), other=str(other), at=now, account=account, currency=currency, invoice=invoice
            )
    look = company.look()
    for row in look.rows:
        if row["invoice_cost"] is not None:
            names = ("in_scope_cost", "out_of_scope_cost", "adjustments_cost", "residual_cost")
            assert exactly(row[name] for name in names) == Fraction(row["invoice_cost"])
        else:
            assert row["residual_cost"] is None
    # Whatever is closed and whatever was restated: all that bills say now is there once.
    assert told(look.rows) == stated(company)
    for (month, issuer), rows in as_closed.items():
        assert [row for row in look.of(month) if row["issuer"] == issuer] == rows
        assert all(row["closed_at"] is not None for row in rows)
    # An invoice that states its total has come to that in all, whenever it came and whatever it was before.
    for one in company.totals:
        rows = [row for row in look.rows if row["invoice_id"] == one["invoice_id"]]
        assert exactly(row["invoice_cost"] for row in rows if row["invoice_cost"] is not None) == one["payable_cost"]


def test_a_restated_day_of_a_closed_month_shows_in_the_month_in_which_it_came() -> None:
    """B10, law 10: and in the one after that only what came since."""
    company = Company()
    company.state(date(2026, 10, 3), "100", at=at(11, 1))
    company.state(date(2026, 11, 3), "50", at=at(11, 4))
    company.close(MONTHS[1], at(11, 5))
    closed = company.look().of(MONTHS[1])
    company.state(date(2026, 10, 3), "105", at=at(11, 20))
    assert company.look().of(MONTHS[1]) == closed
    (late,) = [row for row in company.look().rows if row["status"] == "late"]
    assert (late["billing_month_date"], late["restated_month_date"]) == (MONTHS[2], MONTHS[1])
    assert (late["adjustments_cost"], late["line_count"], late["invoice_cost"]) == (5, 1, None)
    company.close(MONTHS[2], at(12, 2))
    company.state(date(2026, 10, 3), "103", at=at(12, 8))
    late = [
        (f"{row['billing_month_date']:%m}", row["adjustments_cost"])
        for row in company.look().rows
        if row["status"] == "late"
    ]
    assert late == [("11", 5), ("12", -2)]
    (change,) = company.look().changes()
    assert (change["booked_cost"], change["stated_cost"]) == (105, 103)


def test_a_restatement_stays_in_its_month_until_that_is_closed_however_often_the_bill_is_fetched() -> None:
    """B10, law 10. What is due in November does not leave it with the next fetch, while it is open."""
    company = Company()
    company.state(date(2026, 10, 3), "100", at=at(11, 1))
    company.close(MONTHS[1], at(11, 5))
    company.state(date(2026, 10, 3), "105", at=at(11, 20))
    for amount, day in (("105", 2), ("107", 3)):
        company.state(date(2026, 10, 3), amount, at=at(12, day))
        (late,) = [row for row in company.look().rows if row["status"] == "late"]
        assert (late["billing_month_date"], late["adjustments_cost"]) == (MONTHS[2], Decimal(amount) - 100)
    company.close(MONTHS[2], at(12, 4))
    company.state(date(2026, 10, 3), "108", at=at(12, 5))
    assert [
        (row["billing_month_date"], row["adjustments_cost"]) for row in company.look().rows if row["status"] == "late"
    ] == [(MONTHS[2], 7), (MONTHS[3], 1)]


def test_an_issuer_is_closed_alone_and_the_others_with_their_month() -> None:
    """Law 10: what is closed of one stays, the other changes, and neither is booked twice."""
    company = Company()
    company.state(date(2026, 10, 3), "100", at=at(11, 1))
    company.invoice("W44", "70", total="70", at=at(11, 2))
    company.close(MONTHS[1], at(11, 3), "gpu")
    company.state(date(2026, 10, 3), "101", at=at(11, 4))
    company.invoice("W44", "72", total="72", at=at(11, 4))
    found = {(row["issuer"], row["status"]): row for row in company.look().rows}
    assert found["anthropic", "no_total"]["in_scope_cost"] == 101
    assert (found["gpu", "ties"]["billing_month_date"], found["gpu", "ties"]["invoice_cost"]) == (MONTHS[2], 2)
    company.close(MONTHS[1], at(11, 6))
    assert closing_of(company.events).left_out == ()
    assert {(row["issuer"], row["closed_at"]) for row in company.look().of(MONTHS[1])} == {
        ("gpu", at(11, 3).replace(tzinfo=None)),
        ("anthropic", at(11, 6).replace(tzinfo=None)),
    }
    company.state(date(2026, 10, 3), "103", at=at(11, 7))
    assert [row["adjustments_cost"] for row in company.look().rows if row["status"] == "late"] == [2]


def test_a_late_invoice_by_lines_shows_its_total_too_and_is_not_closed_over_what_is_missing() -> None:
    """B10: lines of 60 and a total of 70 that come after October was closed are 10 apart in November."""
    company = Company()
    company.state(date(2026, 10, 3), "5", at=at(11, 1))
    company.close(MONTHS[1], at(11, 2))
    company.invoice("W44", "60", total="70", at=at(11, 8))
    (late,) = company.look().of(MONTHS[2])
    names = ("invoice_id", "restated_month_date", "in_scope_cost", "invoice_cost", "residual_cost", "residual_name")
    assert [late[name] for name in names] == ["W44", MONTHS[1], 60, 70, 10, "unexplained"]
    company.enter(
        ADJUSTMENT_EVENT, at(11, 9), month="2026-11", issuer="gpu", invoice_id="W44", kind="tax", amount="10",
        reason="VAT",
    )  # fmt: skip
    (late,) = company.look().of(MONTHS[2])
    assert (late["adjustments_cost"], late["residual_cost"], late["status"]) == (10, 0, "ties")
    company.close(MONTHS[2], at(12, 1))
    company.invoice("W44", "61", total="72", at=at(12, 8))
    (more,) = company.look().of(MONTHS[3])
    assert [more[name] for name in names[1:5]] == [MONTHS[1], 1, 2, 1]


def test_what_came_before_a_close_and_changed_after_it_is_due_in_the_first_open_month() -> None:
    """An upgrade that reads old files otherwise, or a file whose date is of a closed month."""
    company = Company()
    company.state(date(2026, 9, 3), "100", at=at(10, 1))
    company.close(MONTHS[0], at(10, 5))
    company.close(MONTHS[1], at(11, 5))
    company.state(date(2026, 9, 3), "101", at=at(10, 2))
    (late,) = [row for row in company.look().rows if row["status"] == "late"]
    assert (late["billing_month_date"], late["adjustments_cost"]) == (MONTHS[2], 1)
    # Of what is gone nobody says when: it is due as early.
    company.says.clear()
    (late,) = [row for row in company.look().rows if row["status"] == "late"]
    assert (late["billing_month_date"], late["adjustments_cost"]) == (MONTHS[2], -100)


def test_an_invoice_by_lines_is_of_the_month_in_which_it_begins() -> None:
    """B8, B22: a week over the end of a month is one invoice, in one month."""
    company = Company(
        totals=[{"account": "gpu", "invoice_id": "W44", "billing_currency": "USD", "payable_cost": Decimal(70),
                 "period_start_date": date(2026, 10, 28)}]
    )  # fmt: skip
    for day, amount in ((date(2026, 10, 28), "40"), (date(2026, 11, 2), "30")):
        company.state(day, amount, at=at(11, 5), account="gpu", issuer="gpu", invoice="W44", source="invoice_csv")
    company.state(
        date(2026, 11, 3),
        "5",
        at=at(11, 5),
        account="gpu",
        issuer="gpu",
        invoice="W44",
        source="invoice_csv",
        currency="EUR",
    )
    euros, row = company.look().rows
    assert (row["billing_month_date"], row["status"], row["total_basis"]) == (MONTHS[1], "ties", "export")
    assert (euros["billing_month_date"], euros["status"], euros["billing_currency"]) == (MONTHS[1], "no_total", "EUR")
    company.close(MONTHS[1], at(11, 6))
    assert company.look().changes() == []


def test_what_is_entered_goes_before_what_an_export_states_and_both_are_known() -> None:
    company = Company(
        totals=[{"account": "gpu", "invoice_id": "W44", "billing_currency": "USD", "payable_cost": Decimal(70),
                 "period_start_date": date(2026, 10, 28)}]
    )  # fmt: skip
    company.state(
        date(2026, 10, 28), "70", at=at(11, 5), account="gpu", issuer="gpu", invoice="W44", source="invoice_csv"
    )
    company.enter(TOTAL_EVENT, at(11, 6), month="2026-10", issuer="gpu", invoice_id="W44", total="71")
    (row,) = company.look().rows
    assert (row["invoice_cost"], row["total_basis"], row["other_total_cost"]) == (71, "entered", 70)
    assert (row["residual_cost"], row["status"]) == (1, "residual")


def test_a_source_that_is_declared_filtered_ties_to_its_export() -> None:
    company = Company(filtered=frozenset({("aws_cur2", "cloud")}))
    company.state(date(2026, 10, 3), "5", at=at(11), account="cloud", issuer="AWS", source="aws_cur2", invoice="7")
    company.state(date(2026, 10, 3), "5", at=at(11))
    assert [(row["issuer"], row["status"]) for row in company.look().rows] == [
        ("AWS", "ties_to_export"),
        ("anthropic", "no_total"),
    ]


def _of_aws(
    invoice: str, amount: str, *, issuer: str = "Amazon", issued: date | None = None, month: date = MONTHS[0]
) -> dict[str, Any]:
    return {"account": "totals", "invoice_id": invoice, "billing_currency": "USD", "invoice_issuer": issuer,
            "payable_cost": Decimal(amount), "usage_date": month, "issued_on_date": issued}  # fmt: skip


def test_where_an_export_names_no_invoice_the_totals_of_its_issuers_month_are_its() -> None:
    """FOCUS 1.0 has no InvoiceId: two invoices and all lines are one row, as nobody knows how they are split."""
    company = Company(aws_totals=[_of_aws("A-1", "7.00"), _of_aws("A-2", "3.00")])
    company.state(MONTHS[0], "9.99", at=datetime(2026, 10, 3, tzinfo=UTC), issuer="Amazon", source="focus")
    (row,) = company.look().rows
    assert (row["invoice_id"], row["invoice_cost"], row["residual_cost"]) == ("A-1 + A-2", Decimal(10), Decimal("0.01"))


def test_a_late_total_of_a_month_whose_lines_name_no_invoice_is_an_item_of_its_own_and_holds_nothing_up() -> None:
    """Law 7: its account is unknown, and not one that is called None; no line can ever be found of it. Booked once."""
    company = Company(aws_totals=[_of_aws("A-1", "7.00"), _of_aws("A-2", "3.00")])
    company.state(MONTHS[0], "10", at=datetime(2026, 10, 3, tzinfo=UTC), issuer="Amazon", source="focus")
    company.close(MONTHS[0], datetime(2026, 10, 6, tzinfo=UTC))
    company.aws_totals.append(_of_aws("A-9", "4.00"))
    (late,) = company.look().of(MONTHS[1])
    assert (late["invoice_id"], late["account"], late["restated_month_date"]) == ("A-9", None, MONTHS[0])
    assert (late["invoice_cost"], late["residual_cost"], late["residual_name"]) == (4, 4, "lines_name_none")
    (group,) = groups_of([late], Tolerances())
    assert (group.state, group.holds_up) == ("restates a closed month", False)
    assert "Of 2026-09, which is closed: invoice A-9 of $4.00 came since" in group.in_words()
    company.close(MONTHS[1], datetime(2026, 11, 6, tzinfo=UTC))
    assert company.look().of(MONTHS[2]) == []


def test_a_late_total_whose_lines_are_to_come_holds_its_month_up() -> None:
    """Where lines say which invoice they are on, an invoice without any lacks them."""
    company = Company(aws_totals=[_of_aws("A-1", "10.00")])
    company.state(
        MONTHS[0], "10", at=datetime(2026, 10, 3, tzinfo=UTC), issuer="Amazon", source="aws_cur2", invoice="A-1"
    )
    company.close(MONTHS[0], datetime(2026, 10, 6, tzinfo=UTC))
    company.aws_totals.append(_of_aws("A-9", "4.00"))
    (late,) = company.look().of(MONTHS[1])
    assert (late["invoice_id"], late["residual_cost"], late["status"]) == ("A-9", 4, "residual")


def _closed_under_other_names(*entered: str) -> Company:
    """September of an export that names no invoice, closed with totals that somebody read off the documents."""
    company = Company()
    company.state(MONTHS[0], "10", at=datetime(2026, 10, 3, tzinfo=UTC), issuer="Amazon", source="focus")
    for number, total in enumerate(entered, start=1):
        about = {"month": "2026-09", "issuer": "Amazon", "invoice_id": f"sept-{number}", "total": total}
        company.enter(TOTAL_EVENT, datetime(2026, 10, 5, number, tzinfo=UTC), **about)
    company.close(MONTHS[0], datetime(2026, 10, 6, tzinfo=UTC))
    return company


@pytest.mark.parametrize(
    ("entered", "stated", "late"),
    [
        (["10.00"], [("A-1", "10.00", None)], []),
        (["7.00", "3.00"], [("A-2", "3.00", None), ("A-1", "7.00", None)], []),
        (["10.00"], [("A-1", "7.00", None), ("A-2", "3.00", None)], []),
        (["10.00"], [("A-1", "10.01", date(2026, 10, 3))], []),
        (["10.00"], [("A-1", "10.00", None), ("A-9", "4.00", date(2026, 10, 20))], ["A-9"]),
        (["10.00"], [("A-1", "10.01", date(2026, 10, 3)), ("A-9", "10.00", date(2026, 10, 20))], ["A-9"]),
        (["10.00"], [("A-9", "4.00", None)], ["A-9"]),
    ],
)  # fmt: skip
def test_a_month_that_was_closed_under_made_up_numbers_has_its_invoices_already(
    entered: list[str], stated: list[tuple[str, str, date | None]], late: list[str]
) -> None:
    """AWS's totals are configured after the close: what was issued by then, or comes to what was entered, is of it."""
    company = _closed_under_other_names(*entered)
    company.aws_totals = [_of_aws(name, total, issued=issued) for name, total, issued in stated]
    look = company.look()
    assert [row["invoice_id"] for row in look.of(MONTHS[1])] == late
    assert exactly(row["invoice_cost"] for row in look.of(MONTHS[0])) == 10


def test_a_total_of_aws_is_of_aws_lines_and_of_no_other_issuers_of_that_number() -> None:
    """Numbers are an issuer's own: a GPU provider's 77 of the same month is another invoice."""
    company = Company(aws_totals=[_of_aws("77", "5.00", issuer="Amazon Web Services Inc")])
    seen = datetime(2026, 10, 3, tzinfo=UTC)
    company.invoice("77", "60.00", total="60.00", at=seen, day=MONTHS[0])
    company.state(MONTHS[0], "2", at=seen, issuer="Azure", source="azure_cost_details", invoice="77", account="z")
    rows = {row["issuer"]: row["invoice_cost"] for row in company.look().rows}
    assert rows == {"gpu": 60, "Azure": None, "Amazon Web Services Inc": 5}
    spelled = "Amazon Web Services, Inc."
    company.state(MONTHS[0], "5", at=seen, issuer=spelled, source="focus", invoice="77", account="b")
    rows = {row["issuer"]: row["invoice_cost"] for row in company.look().rows}
    assert rows == {"gpu": 60, "Azure": None, spelled: 5}
