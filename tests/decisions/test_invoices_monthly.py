"""Closed months stay as they were closed, whatever is restated, and no amount is lost or there twice."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import duckdb
import polars as pl
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

MONTHS = (date(2026, 9, 1), date(2026, 10, 1), date(2026, 11, 1), date(2026, 12, 1))
_MONEY = pl.Decimal(38, 18)
_LINES: dict[str, Any] = {
    **dict.fromkeys(("usage_date", "period_date"), pl.Date()),
    **dict.fromkeys(("source", "account", "issuer", "billing_currency", "invoice_id"), pl.String()),
    **dict.fromkeys(("in_scope_cost", "out_of_scope_cost"), _MONEY),
    **dict.fromkeys(("line_count", "charged_line_count"), pl.Int64()),
}
_COVERAGE = {
    "usage_date": pl.Date(),
    **dict.fromkeys(("source", "account"), pl.String()),
    "landed_at": pl.Datetime("us"),
}
_SOURCES = {**dict.fromkeys(("source", "account", "role"), pl.String()), "is_filtered": pl.Boolean()}
_TOTALS = {
    **dict.fromkeys(("account", "invoice_id", "billing_currency"), pl.String()),
    "payable_cost": _MONEY,
    "period_start_date": pl.Date(),
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
    filtered: frozenset[tuple[str, str]] = frozenset()

    def state(
        self, day: date, amount: str, *, at: datetime, account: str = "a", currency: str = "USD", other: str = "0",
        issuer: str = "anthropic", invoice: str | None = None, source: str = "anthropic_cost_api",
    ) -> None:  # fmt: skip
        self.says[source, issuer, account, currency, day, invoice] = Decimal(amount), Decimal(other), at

    def enter(self, event_kind: str, at: datetime, **body: Any) -> None:
        about = {"issuer": "anthropic", "currency": "USD", "invoice_id": "INV-1", "by": "kim", **body}
        self.events.append(as_event(kind=event_kind, subject="s", body=about, now=at))

    def lines(self) -> Rows:
        return [
            {
                "usage_date": day, "source": source, "account": account, "issuer": issuer, "period_date": day,
                "billing_currency": currency, "invoice_id": invoice, "in_scope_cost": amount,
                "out_of_scope_cost": other, "line_count": 1, "charged_line_count": int(bool(amount or other)),
            }
            for (source, issuer, account, currency, day, invoice), (amount, other, _) in self.says.items()
        ]  # fmt: skip

    def look(self) -> "Look":
        """What the graph makes of it: the SQL model, what the node reads, the node."""
        given_tables: dict[str, pl.DataFrame] = {
            "int_billed_lines_daily": pl.DataFrame(self.lines(), schema=_LINES, orient="row"),
            "landed_coverage": pl.DataFrame(
                [
                    {"usage_date": day, "source": source, "account": account, "landed_at": at.replace(tzinfo=None)}
                    for (source, _, account, _, day, _), (_, _, at) in self.says.items()
                ],
                schema=_COVERAGE,
                orient="row",
            ),
            "config_sources": pl.DataFrame(
                [{"source": source, "account": account, "role": "book", "is_filtered": True}
                 for source, account in self.filtered],
                schema=_SOURCES, orient="row",
            ),
            "stg_invoice_csv__totals": pl.DataFrame(self.totals, schema=_TOTALS, orient="row"),
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

    def close(self, month: date, at: datetime) -> None:
        """As the command does it, tolerances aside."""
        look = self.look()
        body = close_body(
            month=month, snapshot_id="0" * 16, as_of="2026-12-31T00:00:00.000000Z", by="kim", tolerances={},
            invoices=[row for row in look.rows if row["billing_month_date"] == month], days=look.booked(month),
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
closes = st.tuples(st.just(CLOSE_EVENT), st.sampled_from(MONTHS[:3]))


@settings(max_examples=15)
@given(st.lists(statements | statements | gone | entries | closes, min_size=2, max_size=14))
def test_closed_figures_stay_and_what_came_since_is_an_adjustment(steps: list[Any]) -> None:
    """Laws 1, 3 and 10; B10, B22, B23: for any statements, restatements, entries and closes, in any order. Case 17."""
    company = Company()
    as_closed: dict[date, Rows] = {}
    for number, step in enumerate(steps):
        now = at(9) + timedelta(days=9 * number)
        if step[0] == CLOSE_EVENT:
            company.close(step[1], now)
            # A second close of a month counts for nothing.
            as_closed.setdefault(step[1], company.look().of(step[1]))
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
    for month, rows in as_closed.items():
        assert look.of(month) == rows
        assert all(row["closed_at"] is not None for row in rows)


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
