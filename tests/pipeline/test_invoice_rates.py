"""An invoice of AWS's in euros: at the rate that AWS states, at one that somebody enters, and what is no rate of it."""

import shutil
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.build.closing_tables import CLOSE_EVENT, EnteredRate, InvoiceName
from pipeline.cli import group
from pipeline.decisions.graph import current_snapshot
from pipeline.formats.currency import minor_digits
from pipeline.reports.invoice_rates import converted_invoices
from pipeline.reports.monthly import write_report
from pipeline.reports.questions import Questions
from tests.pipeline.small_project import SmallProject, source
from tests.sources import cur2
from tests.sources.cur2 import FolderPlace
from tests.sources.test_aws_invoices import answered, summary

NOW = datetime(2026, 11, 6, 6, tzinfo=UTC)
AWS = "Amazon Web Services, Inc."
# Dollars for one euro: on 5 October 1.25, on 20 October 1.16, on the last of the month that has one 1.1574.
RATES = "Date,USD,\n2026-10-30,1.1574,\n2026-10-20,1.16,\n2026-10-05,1.25,\n"


def of_day(cost: float, day: int) -> dict[str, Any]:
    moments = dict.fromkeys(("line_item_usage_start_date", "line_item_usage_end_date"), f"2026-10-{day:02}T03:00:00Z")
    return cur2.line(cost, bill_invoice_id="21", **moments)


def paid(total: str, rate: str) -> dict[str, Any]:
    exchange = {"SourceCurrencyCode": "USD", "TargetCurrencyCode": "EUR", "Rate": rate}
    return {"PaymentCurrencyAmount": {"TotalAmount": total, "CurrencyCode": "EUR", "CurrencyExchangeDetails": exchange}}


@pytest.fixture(scope="module")
def billed(tmp_path_factory: pytest.TempPathFactory, warm_cache: Path) -> SmallProject:
    """October in dollars, 10,000.00 and 10,631.02 on two days, and rates of euros by day."""
    folder = tmp_path_factory.mktemp("rates")
    place = FolderPlace(folder / "export")
    cur2.refresh(place, [cur2.csv_gz([of_day(10000.0, 5), of_day(10631.02, 20)])], at=datetime(2026, 11, 4, tzinfo=UTC))
    sources = [
        {"source": "aws_cur2", "account": "aws", "settings": {"export": str(place.folder)}},
        source("aws_invoices", "aws", settings={"account_id": "111122223333"}),
        source("ecb_rates", "ecb"),
    ]
    made = SmallProject(folder / "project", sources, {"reporting_currency": "EUR"}, warm_cache=warm_cache)
    made.drop("ecb_rates", "ecb", "eurofxref.csv", RATES.encode())
    return made


@pytest.fixture
def project(billed: SmallProject, tmp_path: Path) -> SmallProject:
    shutil.copytree(billed.folder, tmp_path / "project", symlinks=True)
    return SmallProject(tmp_path / "project", billed.sources, billed.other_sections)


def stated(project: SmallProject, *summaries: Any) -> SmallProject:
    """With what AWS says of its invoices, landed and built."""
    project.drop("aws_invoices", "aws", "answer.json", answered(*summaries))
    project.run(now=NOW)
    return project


def close(project: SmallProject, *words: str, now: str = "2026-11-06T07:00:00Z") -> Result:
    sub = list(words[:1]) if words[0] in ("enter", "rate") else []
    where = ["--project", str(project.folder), "--as-of", now]
    return CliRunner().invoke(group, ["close", *sub, *where, *words[len(sub) :]])


def words_of(done: Result) -> str:
    return " ".join(f"{done.output} {done.exception or ''}".split())


def rate(project: SmallProject, amount: str, *more: str, minute: int = 0, day: str = "2026-10-31") -> Result:
    about = ["--month", "2026-10", "--issuer", AWS, "--currency", "USD", "--invoice-id", "21"]
    now = f"2026-11-06T06:{minute:02}:30Z"
    return close(project, "rate", *about, "--rate", amount, "--date", day, *more, now=now)


def test_aws_own_rate_converts_where_nobody_entered_one(project: SmallProject) -> None:
    """Case 18: $20,631.02 at 0.8640 is 17,825.20; what somebody enters goes before it. The close keeps whose it was."""
    made = stated(project, summary("21", "20631.02", **paid("17825.20", "0.8640")))
    said = words_of(close(made, "--month", "2026-10", "--dry-run"))
    assert f"21 of {AWS}: €17,825.20 at 0.864 of 2026-11-03 (AWS's own)." in said
    assert rate(made, "0.9000").exit_code == 0
    assert "€18,567.92 at 0.9 of 2026-10-31 (the issuer's own)." in words_of(
        close(made, "--month", "2026-10", "--dry-run")
    )
    assert rate(made, "0.8641", minute=1).exit_code == 0
    assert close(made, "--month", "2026-10").exit_code == 0
    (event,) = made.project.landing.events(CLOSE_EVENT)
    (kept,) = event.body["conversions"]
    assert (kept["rate_source"], kept["rate"], kept["total"]) == ("issuer", "8641/10000", "17827.26")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (paid("17825.20", "1.1574074074"), "€17,825.20 at 0.864 of 2026-11-03 (AWS's own)."),
        (paid("17830.20", "0.8642"), "€17,830.20 at 0.8642 of 2026-11-03 (AWS's own)."),
        (paid("17825.20", "0.7"), "AWS states a rate of 0.7, which is not what it converted its total at"),
        (paid("20631.02", "1") | {"IssuedDate": None}, "is not what it converted"),
    ],
    ids=["the other way round", "written short", "of neither amount", "of no day"],
)
def test_a_rate_of_aws_counts_as_far_as_its_two_amounts_bear_it_out(
    project: SmallProject, said: dict[str, Any], words: str
) -> None:
    found = words_of(close(stated(project, summary("21", "20631.02", **said)), "--month", "2026-10", "--dry-run"))
    assert words in found
    if "AWS's own" not in words:
        assert "(published, the last of the month)" in found


def test_a_rate_that_is_turned_round_is_refused_with_both_figures(project: SmallProject) -> None:
    """0.864 is published of the day before; 1.157 dollars are one euro. Who means it says so."""
    made = stated(project, summary("21", "20631.02"))
    refused = rate(made, "1.157")
    assert refused.exit_code == 1
    said = words_of(refused)
    assert (
        "Not entered: 1.157 is not what is published of 2026-10-30: one USD is 0.864006 EUR, and one EUR is 1.1574"
        in said
    )
    assert "--insist" in said
    assert rate(made, "0.88").exit_code == 0
    assert rate(made, "1.157", "--insist", minute=1).exit_code == 0
    assert "at 1.157 of 2026-10-31" in words_of(close(made, "--month", "2026-10", "--dry-run"))
    # Of a day of which nothing is published nobody can tell.
    assert rate(made, "1.157", minute=2, day="2019-01-01").exit_code == 0


def test_one_line_ties_the_marts_by_day_to_the_ledger_at_the_invoices_rate(project: SmallProject) -> None:
    """Case 18: 10,000.00 / 1.25 + 10,631.02 / 1.16 = 17,164.67; 20,631.02 x 0.8640 = 17,825.20; 660.53 apart."""
    made = stated(project, summary("21", "20631.02", **paid("17825.20", "0.8640")))
    line = "Rates: marts by day €17,164.67, ledger at the invoices' rates €17,825.20, difference €660.53."
    assert line in words_of(close(made, "--month", "2026-10", "--dry-run"))
    snapshot = current_snapshot(made.project)
    with Questions(snapshot) as questions:
        (marts,) = questions.select("select sum(billed_cost_rc) as cost from fct_cloud_charges_daily").to_dicts()
    assert round(marts["cost"], 2) == Decimal("17164.67")
    before = write_report(made.project, snapshot, month="2026-10", now=NOW).read_text()
    for said in ("17,164.67", "660.53", "17,825.20", "0.864 of 2026-11-03, AWS"):
        assert said in before, said
    assert close(made, "--month", "2026-10").exit_code == 0
    (event,) = made.project.landing.events(CLOSE_EVENT)
    (kept,) = event.body["conversions"]
    assert (kept["by_day"], kept["in_scope_cost"], kept["out_of_scope_cost"]) == ("17164.67", "0.00", "17825.20")
    # A rate that is published anew moves the marts, and not what was closed.
    made.drop("ecb_rates", "ecb", "eurofxref-hist.csv", RATES.replace("1.25", "1.2").encode())
    later = datetime(2026, 11, 6, 9, tzinfo=UTC)
    made.run(now=later)
    assert line in words_of(close(made, "--month", "2026-10", now="2026-11-06T09:30:00Z"))
    after = write_report(made.project, current_snapshot(made.project), month="2026-10", now=later).read_text()
    assert "660.53" in after


def test_where_a_day_has_no_rate_the_marts_have_no_sum_and_the_line_says_so(project: SmallProject) -> None:
    """Law 3: the ledger's figure stands, and no difference is made of half of the days."""
    made = stated(project, summary("21", "20631.02", **paid("17825.20", "0.8640")))
    made.drop("ecb_rates", "ecb", "eurofxref-hist.csv", b"Date,USD,\n2026-10-05,N/A,\n2026-10-20,1.16,\n")
    made.run(now=datetime(2026, 11, 6, 9, tzinfo=UTC))
    said = words_of(close(made, "--month", "2026-10", "--dry-run", now="2026-11-06T09:30:00Z"))
    assert "€17,825.20 at 0.864 of 2026-11-03 (AWS's own)." in said
    assert "Rates: no invoice in another currency has a rate on each of its days" in said


PART = st.decimals(-(10**7), 10**7, places=6)


@settings(max_examples=60)
@given(
    days=st.lists(st.tuples(PART, st.integers(1, 10**9), st.integers(1, 10**9)), min_size=1, max_size=6),
    adjustments=PART, residual=PART, rate=st.integers(1, 10**6),
    currency=st.sampled_from(["EUR", "JPY", "KWD"]),
)  # fmt: skip
def test_days_rates_adjustments_and_residual_are_the_total_in_whole_minor_units(
    days: list[tuple[Decimal, int, int]], adjustments: Decimal, residual: Decimal, rate: int, currency: str
) -> None:
    """Exactly, whatever the rates of the days and of the invoice are."""
    billed = sum((cost for cost, _, _ in days), Decimal(0))
    row = {
        "billing_month_date": date(2026, 10, 1), "issuer": "i", "account": "a", "billing_currency": "USD",
        "invoice_id": "1", "in_scope_cost": billed, "out_of_scope_cost": Decimal(0), "adjustments_cost": adjustments,
        "residual_cost": residual, "invoice_cost": billed + adjustments + residual, "other_total_cost": None,
    }  # fmt: skip
    name = InvoiceName(date(2026, 10, 1), "i", "USD", "1")
    entered = EnteredRate(name, Decimal(rate) / 1000, currency, date(2026, 10, 31), NOW, "kim")
    lines = [
        {"issuer": "i", "account": "a", "billing_currency": "USD", "invoice_id": "1", "usage_date": date(2026, 10, day),
         "cost": cost, "multiplier": multiplier, "divisor": divisor}
        for day, (cost, multiplier, divisor) in enumerate(days, start=1)
    ]  # fmt: skip
    (found,), lacking = converted_invoices(
        [row], reporting_currency=currency, entered={name: entered}, stated=[], published=[], is_over=True, days=lines
    )
    assert lacking == []
    assert found.by_day is not None
    assert found.of_rates is not None
    assert found.by_day + found.of_rates + found.parts["adjustments_cost"] + found.parts["residual_cost"] == found.total
    exact = sum((Fraction(cost) * multiplier / divisor for cost, multiplier, divisor in days), Fraction(0))
    unit = Fraction(1, 10 ** minor_digits(currency))
    assert abs(Fraction(found.by_day) - exact) <= unit / 2
    (short,), _ = converted_invoices(
        [row], reporting_currency=currency, entered={name: entered}, stated=[], published=[], is_over=True,
        days=[{**line, "cost": line["cost"] + 1} for line in lines[:1]] + lines[1:],
    )  # fmt: skip
    assert short.by_day is None
