"""From an agreed rate to a journal, and from the bill to its reversal and true-up: the same bytes whenever asked."""

import csv
import io
import shutil
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import group
from pipeline.economics.accrual import Accounts, Line, Thing, postings
from pipeline.reports.accruals import as_csv
from tests.pipeline.conftest import MakeProject
from tests.pipeline.small_project import (
    CONSOLE,
    CONSOLE_NAME,
    COST_API,
    INVOICE,
    USAGE_API,
    SmallProject,
    api_page,
    cost_result,
    invoice_csv,
    source,
    three_days,
    usage_result,
)

DECEMBER = datetime(2026, 12, 2, 6, tzinfo=UTC)
LATER = datetime(2026, 12, 9, 6, tzinfo=UTC)
RESOURCE = {
    "issuer": "gc", "resource_id": "srv-1", "gpu_count": 2, "contract_rate_per_gpu_hour": "1.115", "from": "2026-11-29",
}  # fmt: skip

OWNERSHIP = [{"cost_centre": "CC-7", "match": {"resource": "srv-1"}}]
GL = {"accounting": {"gpu_expense": "6110", "accrued_liabilities": "2150", "accounts_payable": "2000"}}


def accrue(made: SmallProject, *words: str) -> Result:
    return CliRunner().invoke(
        group, ["accrue", "--month", "2026-11", "--project", str(made.folder), *words], catch_exceptions=False
    )


def journal(made: SmallProject) -> tuple[str, list[dict[str, str]]]:
    file = made.folder / "journal.csv"
    answer = accrue(made, "--to", str(file))
    assert answer.exit_code == 0, answer.output
    text = file.read_text()
    return text, list(csv.DictReader(io.StringIO(text)))


def total(rows: list[dict[str, str]], account: str) -> Decimal:
    own = [row for row in rows if row["gl_account"] == account]
    return sum((Decimal(row["debit"] or 0) - Decimal(row["credit"] or 0) for row in own), Decimal(0))


@pytest.fixture
def owing(make_project: MakeProject) -> SmallProject:
    """A server of two GPUs from 29 November on, at an agreed rate and not billed yet: two days of that month."""
    made = make_project([source(CONSOLE, "main"), source(INVOICE, "gc")])
    made.drop(CONSOLE, "main", CONSOLE_NAME, three_days("1", "2", "3"))
    made.configure(gpu_resources=[RESOURCE], ownership=OWNERSHIP, **GL)
    return made


def test_what_is_agreed_is_accrued_and_the_bill_supersedes_it_to_the_cent(owing: SmallProject) -> None:
    """By hand: 2 days x 24 h x 2 GPUs x 1.115 = 107.04; the bill says 110.00 for the three days to 1 December."""
    owing.ingest(now=DECEMBER)
    owing.build(now=DECEMBER)
    first, rows = journal(owing)
    assert [(row["entry"], row["gl_account"], row["cost_centre"], row["debit"], row["credit"]) for row in rows] == [
        ("accrual", "6110", "CC-7", "107.04", ""),
        ("accrual", "2150", "", "", "107.04"),
    ]
    assert {row["posting_date"] for row in rows} == {"2026-11-30"}
    assert "96.00 GPU-hours" in rows[0]["basis"]
    assert journal(owing)[0] == first
    # What is declared after that is named, and not slipped into what was handed in.
    owing.configure(gpu_resources=[RESOURCE, {**RESOURCE, "resource_id": "srv-2"}], ownership=OWNERSHIP, **GL)
    owing.ingest(now=DECEMBER.replace(hour=9))
    owing.build(now=DECEMBER.replace(hour=9))
    said = accrue(owing, "--dry-run").output
    assert "srv-2 of gc: $107.04 more is accrued than was posted" in " ".join(said.split())

    bill = invoice_csv([("GPU server", "srv-1", "165.03")], period=("2026-11-29", "2026-12-02"))
    owing.drop(INVOICE, "gc", "invoice.csv", bill)
    owing.ingest(now=LATER)
    built = owing.build(now=LATER)
    shown = accrue(owing, "--dry-run").output
    assert "true_up" in shown
    text, rows = journal(owing)
    assert text.startswith(first)
    booked = built.one(
        "select sum(realized_cost) from fct_gpu_costs_daily where cost_measure = 'billed' and usage_date < '2026-12-01'"
    )
    assert total(rows, "6110") == -total(rows, "2000") == round(booked, 2) == Decimal("110.02")
    assert total(rows, "2150") == 0
    by_entry = {row["entry"]: row for row in rows if row["gl_account"] == "6110"}
    assert (by_entry["reversal"]["credit"], by_entry["billed"]["debit"], by_entry["true_up"]["debit"]) == (
        "107.04", "107.04", "2.98",
    )  # fmt: skip
    assert by_entry["true_up"]["receipt_id"] == "INV-1"
    assert {row["posting_date"] for row in rows} == {"2026-11-30", "2026-12-09"}
    # Whatever is restated later, what was issued stays.
    bill = invoice_csv([("GPU server", "srv-1", "999.00")], period=("2026-11-29", "2026-12-02"))
    owing.drop(INVOICE, "gc", "invoice.csv", bill)
    owing.ingest(now=datetime(2026, 12, 10, 6, tzinfo=UTC))
    owing.build(now=datetime(2026, 12, 10, 6, tzinfo=UTC))
    assert journal(owing)[0] == text


def test_hours_that_the_issuer_reports_are_accrued_as_reported_until_it_bills_them(make_project: MakeProject) -> None:
    """By hand, at 1.115: 3.5 GPU-hours of the 29th, which the export says, are 3.9025; 48 of the 30th are 53.52. B4."""
    made = make_project([source("focus_usage", "gc"), source(INVOICE, "gc")])
    made.configure(gpu_resources=[RESOURCE], ownership=OWNERSHIP, **GL)
    header = "ChargePeriodStart,ChargePeriodEnd,ConsumedQuantity,ConsumedUnit,SkuId,BilledCost"
    hours = [f"2026-11-29T{hour}:00:00Z,2026-11-29T{hour + 1}:00:00Z,1.75,GPU-Hours,srv-1," for hour in (14, 15)]
    made.drop("focus_usage", "gc", "usage.csv", "".join(f"{row}\n" for row in (header, *hours)).encode())
    made.ingest(now=DECEMBER)
    made.build(now=DECEMBER)
    _, rows = journal(made)
    assert [(row["gl_account"], row["debit"], row["credit"]) for row in rows] == [
        ("6110", "57.42", ""),
        ("2150", "", "57.42"),
    ]
    assert rows[0]["basis"] == (
        "3.50 GPU-hours reported by the issuer and 48.00 GPU-hours of the resource at the agreed rate, 2 days from "
        "2026-11-29 to 2026-11-30"
    )
    made.drop(
        INVOICE,
        "gc",
        "invoice.csv",
        invoice_csv([("GPU server", "srv-1", "4.00")], period=("2026-11-29", "2026-12-01")),
    )
    made.ingest(now=LATER)
    built = made.build(now=LATER)
    assert built.rows("select cost_measure, sum(realized_cost) as cost from fct_gpu_costs_daily "
                      "where usage_date < '2026-12-01' group by all") == [
        {"cost_measure": "billed", "cost": Decimal(4)}
    ]  # fmt: skip
    _, rows = journal(made)
    assert (total(rows, "6110"), total(rows, "2150"), total(rows, "2000")) == (Decimal(4), 0, Decimal(-4))


def test_tokens_that_were_metered_and_are_on_no_bill_are_accrued_at_their_price(make_project: MakeProject) -> None:
    """By hand: a million output tokens a day; on 1 November they are billed, on the 2nd they are not yet."""
    made = make_project([source(COST_API, "main"), source(USAGE_API, "main")])
    made.configure(
        contracts=[
            {"provider": "anthropic", "from": "2026-01-01",
             "rates": [{"model": "claude-haiku-4-5", "token_class": "output", "per_mtok": "4.25"}]},
        ],
    )  # fmt: skip
    used = usage_result(output_tokens=1_000_000)
    made.drop(USAGE_API, "main", "usage.json", api_page({"2026-11-01": [used], "2026-11-02": [used]}))
    made.drop(COST_API, "main", "cost.json", api_page({"2026-11-01": [cost_result("500")]}))
    made.ingest(now=DECEMBER)
    made.build(now=DECEMBER)
    first, rows = journal(made)
    assert [(row["gl_account"], row["debit"], row["credit"]) for row in rows] == [
        ("API expense", "4.25", ""),
        ("Accrued liabilities", "", "4.25"),
    ]
    assert "1000000 metered tokens at contract rate, 1 day from" in rows[0]["basis"]
    made.drop(COST_API, "main", "cost2.json", api_page({"2026-11-02": [cost_result("400")]}))
    made.ingest(now=LATER)
    made.build(now=LATER)
    text, rows = journal(made)
    assert text.startswith(first)
    assert (total(rows, "API expense"), total(rows, "Accounts payable")) == (Decimal("4.00"), Decimal("-4.00"))
    true_up = [row for row in rows if row["entry"] == "true_up" and row["gl_account"] == "API expense"]
    assert [(row["debit"], row["credit"]) for row in true_up] == [("", "0.25")]


@pytest.fixture(scope="module")
def issued_once(tmp_path_factory: pytest.TempPathFactory, warm_cache: Path) -> SmallProject:
    """A million tokens of 2 November, metered at an agreed 4.25 and on no bill: 4.25 are issued."""
    sources = [source(COST_API, "main"), source(USAGE_API, "main")]
    made = SmallProject(tmp_path_factory.mktemp("issued") / "p", sources, warm_cache=warm_cache)
    rates = [{"model": "claude-haiku-4-5", "token_class": "output", "per_mtok": "4.25"}]
    made.configure(contracts=[{"provider": "anthropic", "from": "2026-01-01", "rates": rates}])
    made.drop(USAGE_API, "main", "usage.json", api_page({"2026-11-02": [usage_result(output_tokens=1_000_000)]}))
    made.drop(COST_API, "main", "cost.json", api_page({"2026-11-01": [cost_result("500")]}))
    made.ingest(now=DECEMBER)
    made.build(now=DECEMBER)
    journal(made)
    return made


@pytest.fixture
def metered(issued_once: SmallProject, tmp_path: Path) -> SmallProject:
    """A copy of it to do things to."""
    shutil.copytree(issued_once.folder, tmp_path / "p", symlinks=True)
    return SmallProject(tmp_path / "p", issued_once.sources)


def test_what_was_issued_stays_and_its_correction_is_a_posting_of_its_own(metered: SmallProject) -> None:
    """By hand: 4.25 was issued, 5.10 is metered now, 4.00 is billed in the end. What was handed in stays each time."""
    made = metered
    first, _ = journal(made)
    made.drop(USAGE_API, "main", "again.json", api_page({"2026-11-02": [usage_result(output_tokens=1_200_000)]}))
    made.ingest(now=LATER)
    made.build(now=LATER)
    assert "main: $0.85 more is accrued than was posted. To post it: --correct" in accrue(made, "--dry-run").output
    assert journal(made)[0] == first
    assert accrue(made, "--correct").exit_code == 2
    shown = accrue(made, "--correct", "--reason", "late usage", "--dry-run").output
    assert "correction" in shown
    assert made.project.landing.events("accrual.corrected") == []
    file = made.folder / "corrected.csv"
    assert accrue(made, "--correct", "--reason", "late usage", "--to", str(file)).exit_code == 0
    corrected = file.read_text()
    assert corrected.startswith(first)
    rows = [row for row in csv.DictReader(io.StringIO(corrected)) if row["entry"] == "correction"]
    assert [(row["gl_account"], row["debit"], row["credit"], row["posting_date"]) for row in rows] == [
        ("API expense", "0.85", "", "2026-12-09"),
        ("Accrued liabilities", "", "0.85", "2026-12-09"),
    ]
    assert "Nothing to correct" in accrue(made, "--correct", "--reason", "late usage", "--to", str(file)).output
    assert (journal(made)[0], file.read_text()) == (corrected, corrected)
    made.drop(COST_API, "main", "cost2.json", api_page({"2026-11-02": [cost_result("400")]}))
    made.ingest(now=LATER.replace(hour=9))
    made.build(now=LATER.replace(hour=9))
    text, rows = journal(made)
    assert text.startswith(corrected)
    assert (total(rows, "API expense"), total(rows, "Accounts payable")) == (Decimal("4.00"), Decimal("-4.00"))
    assert total(rows, "Accrued liabilities") == 0
    assert journal(made)[0] == text


def test_an_accrual_whose_metering_is_gone_is_not_reversed_before_somebody_says_why(metered: SmallProject) -> None:
    """No bill has come: a feed that lost its days has not paid anybody."""
    made = metered
    first, _ = journal(made)
    made.drop(USAGE_API, "main", "none.json", api_page({"2026-11-02": [usage_result(output_tokens=0)]}))
    made.ingest(now=LATER)
    made.build(now=LATER)
    said = " ".join(accrue(made, "--dry-run").output.split())
    assert "main: $4.25 less is accrued than was posted, and no bill is there" in said
    assert journal(made)[0] == first
    file = made.folder / "corrected.csv"
    assert accrue(made, "--correct", "--reason", "refunded before it was billed", "--to", str(file)).exit_code == 0
    text, rows = journal(made)
    assert text == file.read_text()
    assert text.startswith(first)
    assert (total(rows, "API expense"), total(rows, "Accrued liabilities")) == (0, 0)
    (event,) = made.project.landing.events("accrual.corrected")
    assert event.body["reason"] == "refunded before it was billed"


def test_of_two_that_correct_at_once_one_counts(metered: SmallProject) -> None:
    """Both had seen the same books: the second would post the difference again."""
    made = metered
    made.drop(USAGE_API, "main", "again.json", api_page({"2026-11-02": [usage_result(output_tokens=1_200_000)]}))
    made.ingest(now=LATER)
    made.build(now=LATER)
    accrue(made, "--correct", "--reason", "late usage", "--to", str(made.folder / "c.csv"))
    once, _ = journal(made)
    (event,) = made.project.landing.events("accrual.corrected")
    made.project.landing.record(
        kind=event.kind, subject=event.subject, body={**event.body, "by": "another"}, now=event.at.replace(year=2030)
    )
    assert journal(made)[0] == once


def test_days_of_which_more_may_come_are_named_before_they_are_issued(make_project: MakeProject) -> None:
    """Usage of the 2nd was asked for before it settled; that of the 1st is whole."""
    lag = {"settle_lag_hours": 30 * 24}
    made = make_project([source(COST_API, "main"), source(USAGE_API, "main", **lag)])
    rates = [{"model": "claude-haiku-4-5", "token_class": "output", "per_mtok": "4.25"}]
    made.configure(contracts=[{"provider": "anthropic", "from": "2026-01-01", "rates": rates}])
    used = usage_result(output_tokens=1_000_000)
    made.drop(USAGE_API, "main", "usage.json", api_page({"2026-11-01": [used], "2026-11-02": [used]}))
    made.drop(COST_API, "main", "cost.json", api_page({"2026-11-01": [cost_result("500")]}))
    made.ingest(now=DECEMBER)
    made.build(now=DECEMBER)
    said = " ".join(accrue(made, "--dry-run").output.split())
    assert "Not settled: 1 day from 2026-11-02 (anthropic_usage_api of main)." in said


def test_what_has_lost_its_price_is_not_settled_at_nothing(make_project: MakeProject) -> None:
    """A contract ends earlier than was thought: no bill is there, and so nothing is reversed."""
    made = make_project([source(COST_API, "main"), source(USAGE_API, "main")])
    rates = [{"model": "house-model", "token_class": "output", "per_mtok": "4.25"}]
    contracts = [{"provider": "anthropic", "from": "2026-01-01", "rates": rates}]
    used = usage_result(output_tokens=1_000_000, model="house-model")
    made.drop(USAGE_API, "main", "usage.json", api_page({"2026-11-02": [used]}))
    made.drop(COST_API, "main", "cost.json", api_page({"2026-11-01": [cost_result("500")]}))
    made.configure(contracts=contracts)
    made.ingest(now=DECEMBER)
    made.build(now=DECEMBER)
    first, rows = journal(made)
    assert {row["debit"] for row in rows} == {"4.25", ""}
    made.configure(contracts=[{**contracts[0], "to": "2026-11-01"}])
    made.ingest(now=LATER)
    built = made.build(now=LATER)
    assert built.one("select count(*) from fct_api_costs_daily where usage_date = '2026-11-02' and tokens > 0") == 1
    assert journal(made)[0] == first
    assert "no price is known" in accrue(made, "--dry-run").output


def test_a_month_that_is_not_over_and_one_that_owes_nothing_are_said(owing: SmallProject) -> None:
    now = datetime(2026, 11, 30, 6, tzinfo=UTC)
    owing.ingest(now=now)
    owing.build(now=now)
    refused = CliRunner().invoke(group, ["accrue", "--month", "2026-11", "--project", str(owing.folder)])
    assert refused.exit_code != 0
    assert "not over" in str(refused.exception)
    assert "$53.52" in accrue(owing, "--dry-run").output
    nothing = CliRunner().invoke(group, ["accrue", "--month", "2026-10", "--project", str(owing.folder)])
    assert "nothing is accrued" in nothing.output
    assert owing.project.landing.events("accrual.issued") == []


def test_no_cell_of_the_journal_is_a_formula(tmp_path: Path) -> None:
    line = Line(Thing("gpu", "=cmd|' /C calc'!A0", "a", "@r"), "JPY", "+SUM(1)", 5, "-1+2")
    accounts = Accounts(expense={"gpu": "=6110"}, accrued="@2150", payable="2000")
    text = as_csv(
        postings([line], entry="accrual", posting_date=datetime(2026, 1, 1, tzinfo=UTC).date(), accounts=accounts,
                 receipt_id="\tR")
    )  # fmt: skip
    rows = list(csv.reader(io.StringIO(text)))
    assert [row[4:6] for row in rows[1:]] == [["5", ""], ["", "5"]]
    assert not [cell for row in rows for cell in row if cell[:1] in ("=", "+", "-", "@", "\t")]
