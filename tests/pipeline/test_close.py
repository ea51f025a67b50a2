"""`breakeven close`: what ties is closed and stays; what does not is refused, with where to look."""

import json
import shlex
import shutil
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.build.closing_tables import CLOSE_EVENT, TOTAL_EVENT, closing_of
from pipeline.build.collect import plan_collection
from pipeline.cli import group
from pipeline.cli.close.differences import how_to_enter
from pipeline.cli.close.month import LAWS_OF_MONEY
from pipeline.decisions.graph import build_project, kept_snapshot, shipped_graph
from pipeline.errors import BreakevenError
from pipeline.reports.monthly import write_report
from tests.models.cloud_harness import FOCUS, focus, focus_csv, line
from tests.pipeline.small_project import CONSOLE, INVOICE, SmallProject, console_csv, console_row, invoice_csv, source

HOSTILE = '=HYPERLINK("http://localhost/")<script>[red]\x1b[2J'
CLOSED_AT = "2026-11-06T06:00:00Z"
OCTOBER = ("2026-10-01", "2026-10-02", "2026-10-03")


def console_name(exported: str) -> str:
    return f"claude_api_cost_2026_10_01_to_2026_10_03_exported_{exported}.csv"


def october(*costs: str) -> bytes:
    return console_csv(console_row(day, cost) for day, cost in zip(OCTOBER, costs, strict=True))


@pytest.fixture(scope="module")
def billed(tmp_path_factory: pytest.TempPathFactory, warm_cache: Path) -> SmallProject:
    """October of three bills: an API's, restated on 4 November; a GPU invoice that states its total; a cloud's."""
    made = SmallProject(
        tmp_path_factory.mktemp("billed") / "project",
        [source(CONSOLE, "acme"), source(INVOICE, "gpucloud"), focus()],
        warm_cache=warm_cache,
    )
    made.drop(CONSOLE, "acme", console_name("2026_10_05"), october("1.00", "2.00", "3.00"))
    made.drop(CONSOLE, "acme", console_name("2026_11_04"), october("1.00", "2.50", "3.00"))
    period = ("2026-10-01", "2026-10-04")
    lines = [("GPU server", "server-1", "60.00"), ("VAT", "", "12.00")]
    made.drop(INVOICE, "gpucloud", "invoice.csv", invoice_csv(lines, total="72.00", period=period))
    of_cloud = line(
        InvoiceIssuerName=HOSTILE, InvoiceId="21", BilledCost="15.0024271659",
        BillingPeriodStart="2026-10-01T00:00:00Z",
        ChargePeriodStart="2026-10-02T04:00:00Z", ChargePeriodEnd="2026-10-02T05:00:00Z",
    )  # fmt: skip
    made.drop(FOCUS, "cloudy", "focus.csv", focus_csv([of_cloud]))
    made.run()
    return made


@pytest.fixture
def project(billed: SmallProject, tmp_path: Path) -> SmallProject:
    """A copy of it to do things to."""
    shutil.copytree(billed.folder, tmp_path / "project", symlinks=True)
    return SmallProject(tmp_path / "project", billed.sources)


def close(project: SmallProject, *words: str, now: str = CLOSED_AT) -> Result:
    """`breakeven close WORDS`; a subcommand comes first."""
    sub = list(words[:1]) if words and words[0] in ("enter", "adjust", "rate") else []
    where = ["--project", str(project.folder), "--as-of", now]
    return CliRunner().invoke(group, ["close", *sub, *where, *words[len(sub) :]])


def a_minute_later(project: SmallProject) -> str:
    """People do one thing after the other."""
    return f"2026-11-06T05:{len(project.project.landing.events()):02}:00Z"


def enter(project: SmallProject, issuer: str, invoice_id: str, total: str, *more: str, **how: str) -> Result:
    month = how.get("month", "2026-10")
    about = ["--month", month, "--issuer", issuer, "--currency", how.get("currency", "USD"), "--invoice-id", invoice_id]
    return close(project, "enter", *about, "--total", total, *more, now=how.get("now") or a_minute_later(project))


def adjust(project: SmallProject, issuer: str, invoice_id: str, amount: str, *more: str) -> Result:
    about = ["--month", "2026-10", "--issuer", issuer, "--currency", "USD", "--invoice-id", invoice_id]
    return close(project, "adjust", *about, "--amount", amount, *more, now=a_minute_later(project))


def words_of(done: Result) -> str:
    return " ".join(f"{done.output} {done.exception or ''}".split())


def rows_of(project: SmallProject, month: str, now: str) -> list[dict[str, Any]]:
    done = close(project, "--month", month, "--dry-run", "--format", "json", now=now)
    rows: list[dict[str, Any]] = json.loads(done.output)
    return rows


def events(project: SmallProject, kind: str) -> list[Any]:
    return project.project.landing.events(kind)


def entered(project: SmallProject) -> SmallProject:
    """With totals with which every invoice ties: the API's holds tax."""
    assert enter(project, "anthropic", "INV-77", "7.00").exit_code == 0
    assert adjust(project, "anthropic", "INV-77", "0.50", "--kind", "tax", "--reason", "VAT").exit_code == 0
    assert enter(project, HOSTILE, "21", "15").exit_code == 0
    return project


def test_what_nobody_states_is_unknown_and_nothing_is_closed(project: SmallProject) -> None:
    """Law 3: the line to type is printed, and typing it is enough."""
    done = close(project, "--month", "2026-10")
    said = words_of(done)
    assert done.exit_code == 1
    assert "anthropic, USD: no invoice total known. Lines come to $6.50 in scope + $0.00 out of scope" in said
    assert "gpucloud, USD: ties. 1 invoice: $72.00 = $60.00 in scope + $12.00 out of scope + $0.00 adjustments" in said
    assert "2026-10 is not closed." in said
    assert "acme has no line on 28 of 31 days: 2026-10-04 to 2026-10-31." in said
    assert "2026-10-02 of acme was restated: $2.00 on 2026-10-05, $2.50 on 2026-11-04." in said
    (command,) = [text for text in done.output.splitlines() if "--issuer anthropic" in text]
    typed = shlex.split(command.partition("To enter it: breakeven ")[2])
    typed = [{"ID": "INV-77", "AMOUNT": "6.50"}.get(word, word) for word in typed]
    assert CliRunner().invoke(group, [*typed, "--project", str(project.folder), "--as-of", CLOSED_AT]).exit_code == 0
    assert "anthropic, USD: ties." in words_of(close(project, "--month", "2026-10"))
    assert events(project, CLOSE_EVENT) == []


def test_what_does_not_tie_is_refused_with_the_lines_to_look_at(project: SmallProject) -> None:
    entered(project)
    assert enter(project, "anthropic", "INV-77", "6.00", "--reason", "misread").exit_code == 0
    done = close(project, "--month", "2026-10")
    said = words_of(done)
    assert done.exit_code == 1
    assert "anthropic, USD: does not tie. 1 invoice: $6.00 = $6.50 in scope" in said
    assert (
        "INV-77 of acme: $6.00 entered (also stated: $7.00), 3 lines $6.50, adjustments $0.50: −$1.00 unexplained"
        in said
    )
    assert "2026-10-01 claude-haiku-4-5, output, tokens: $1.00, exactly what an invoice is off by." in said
    assert "2026-10-03 claude-haiku-4-5, output, tokens: $3.00, one of the largest lines." in said
    assert events(project, CLOSE_EVENT) == []
    # A wider tolerance is a person's to give, for one currency or for all; it is kept with the close.
    assert close(project, "--month", "2026-10", "--tolerance", "JPY=1").exit_code == 1
    assert close(project, "--month", "2026-10", "--tolerance", "USD=1", "--dry-run").exit_code == 0
    assert close(project, "--month", "2026-10", "--tolerance", "1").exit_code == 0
    (event,) = events(project, CLOSE_EVENT)
    assert event.body["tolerances"] == {"": "1"}


def test_a_month_in_which_all_ties_is_closed_once_with_its_snapshot_and_hash(project: SmallProject) -> None:
    entered(project)
    said = words_of(close(project, "--month", "2026-10", "--dry-run"))
    assert "2026-10 would be closed. Nothing was landed." in said
    assert events(project, CLOSE_EVENT) == []
    done = close(project, "--month", "2026-10")
    assert done.exit_code == 0, done.output
    assert "residual (rounding)" in done.output
    (event,) = events(project, CLOSE_EVENT)
    assert event.subject == "2026-10"
    assert (
        f"2026-10 is closed: snapshot {event.body['snapshot_id']}, sha256 {event.body['sha256'][:12]}." in done.output
    )
    rows = kept_snapshot(project.project, event.body["snapshot_id"]).node("fct_invoices_monthly")
    assert sum(part.rows for part in rows.parts.values()) == len(event.body["invoices"]) == 3
    again = close(project, "--month", "2026-10")
    assert again.exit_code == 0
    assert "2026-10 was closed by" in again.output
    assert events(project, CLOSE_EVENT) == [event]
    listed = words_of(close(project, "--list"))
    for words in ("INV-77", "VAT", "closed", event.body["snapshot_id"]):
        assert words in listed
    refused = enter(project, "anthropic", "INV-78", "1.00", now="2026-11-07T06:00:00Z")
    assert (refused.exit_code, "2026-10 was closed on 2026-11-06" in words_of(refused)) == (1, True)


def test_an_issuer_is_closed_alone_while_another_does_not_tie(project: SmallProject) -> None:
    """Law 10: its figures stay, the month is closed with what is left, and nothing of it is booked twice."""
    assert enter(project, "anthropic", "INV-77", "6.50").exit_code == 0
    nobody = close(project, "--month", "2026-10", "--issuer", "anthropc")
    assert "No bill by anthropc of 2026-10 has come" in words_of(nobody)
    assert "2026-10 of anthropic would be closed." in words_of(
        close(project, "--month", "2026-10", "--issuer", "anthropic", "--dry-run")
    )
    done = close(project, "--month", "2026-10", "--issuer", "anthropic")
    assert (done.exit_code, "2026-10 of anthropic is closed: snapshot" in words_of(done)) == (0, True), done.output
    assert "gpucloud" not in done.output
    (event,) = events(project, CLOSE_EVENT)
    assert {row["issuer"] for row in (*event.body["invoices"], *event.body["days"])} == {"anthropic"}
    again = close(project, "--month", "2026-10", "--issuer", "anthropic", now="2026-11-06T06:01:00Z")
    assert "2026-10 of anthropic was closed by" in words_of(again)
    refused = enter(project, "anthropic", "INV-78", "1.00", now="2026-11-06T06:02:00Z")
    assert "2026-10 of anthropic was closed on 2026-11-06" in words_of(refused)
    # The rest is open: the month is not closed while it is unknown, and then closed without what is closed already.
    whole = close(project, "--month", "2026-10", now="2026-11-06T06:03:00Z")
    assert (whole.exit_code, "2026-10 is not closed." in words_of(whole)) == (1, True)
    assert "No month is closed yet but 2026-10 of anthropic" in words_of(
        CliRunner().invoke(group, ["doctor", "--offline", "--project", str(project.folder), "--as-of", "2026-11-07"])
    )
    assert enter(project, HOSTILE, "21", "15", now="2026-11-06T06:04:00Z").exit_code == 0
    done = close(project, "--month", "2026-10", now="2026-11-06T06:05:00Z")
    assert done.exit_code == 0, done.output
    bodies = [event.body for event in events(project, CLOSE_EVENT)]
    days = [(day["issuer"], day["usage_date"]) for body in bodies for day in body["days"]]
    assert len(days) == len(set(days)) == 5
    assert {row["issuer"] for body in bodies for row in body["invoices"]} == {"anthropic", "gpucloud", HOSTILE}


def test_an_invoice_in_another_currency_is_converted_once_at_its_own_rate_which_the_close_keeps(
    project: SmallProject,
) -> None:
    """Case 18, B23, law 3: what has no rate stays in its currency and stops nothing; 7.00 at 0.8640 is 6.05 euros."""
    project.configure(reporting_currency="EUR")
    project.project.land_config(datetime(2026, 11, 6, 4, 30, tzinfo=UTC))
    made = entered(project)
    about = ["--month", "2026-10", "--issuer", "anthropic", "--currency", "USD", "--invoice-id", "INV-77"]

    def rate(amount: str, day: str = "2026-11-02", *, currency: str = "USD") -> Result:
        named = [currency if word == "USD" else word for word in about]
        return close(made, "rate", *named, "--rate", amount, "--date", day, now=a_minute_later(made))

    said = words_of(close(made, "--month", "2026-10", "--dry-run"))
    assert "INV-77 of anthropic: no rate from USD to EUR is published. `breakeven close rate` enters" in said
    assert "2026-10 would be closed." in said
    assert "above zero" in words_of(rate("0"))
    assert "is not a date like" in words_of(rate("0.9", "2.11.2026"))
    assert "needs no rate" in words_of(rate("0.9", currency="EUR"))
    assert rate("0.9").exit_code == 0
    assert "is converted at 0.8640 EUR of 2026-11-02." in words_of(rate("0.8640"))
    done = close(made, "--month", "2026-10")
    assert done.exit_code == 0, done.output
    assert "INV-77 of anthropic: €6.05 at 0.864 of 2026-11-02 (the issuer's own)." in words_of(done)
    (event,) = events(made, CLOSE_EVENT)
    (kept,) = event.body["conversions"]
    assert (kept["total"], kept["in_scope_cost"], kept["adjustments_cost"], kept["rate_date"], kept["rate_source"]) == (
        "6.05", "5.62", "0.43", "2026-11-02", "issuer",
    )  # fmt: skip
    assert "INV-77 of anthropic came to €6.05 at 0.864 of 2026-11-02 (issuer)." in words_of(
        close(made, "--month", "2026-10", now="2026-11-06T07:00:00Z")
    )
    listed = words_of(close(made, "--list"))
    assert "INV-77: rate (0.8640 EUR of 2026-11-02)" in listed
    assert "INV-77: replaced rate (0.9 EUR of 2026-11-02)" in listed


def test_what_an_issuers_own_close_converted_is_said_as_it_was_kept(project: SmallProject) -> None:
    """Law 10: a rate that is published or entered since moves nothing of it."""
    project.configure(reporting_currency="EUR")
    project.project.land_config(datetime(2026, 11, 6, 4, 30, tzinfo=UTC))
    made = entered(project)
    about = ["--month", "2026-10", "--issuer", "anthropic", "--currency", "USD", "--invoice-id", "INV-77"]
    words = (
        ["rate", *about, "--rate", "0.8640", "--date", "2026-11-02"],
        ["--month", "2026-10", "--issuer", "anthropic"],
    )
    assert [close(made, *words[0], now=a_minute_later(made)).exit_code, close(made, *words[1]).exit_code] == [0, 0]
    said = words_of(close(made, "--month", "2026-10", "--dry-run", now="2026-11-06T07:00:00Z"))
    assert "INV-77 of anthropic came to €6.05 at 0.864 of 2026-11-02 (issuer)." in said
    assert "INV-77 of anthropic: €" not in said
    assert "21 of =HYPERLINK" in said


def test_a_closed_month_is_restated_by_a_row_of_the_month_in_which_it_came(project: SmallProject) -> None:
    """Law 10, B10: the closed figures come back the same, from the close and from its snapshot. Case 17."""
    entered(project)
    close(project, "--month", "2026-10")
    (event,) = events(project, CLOSE_EVENT)
    closed = rows_of(project, "2026-10", CLOSED_AT)
    project.drop(CONSOLE, "acme", console_name("2026_11_07"), october("1.00", "2.50", "4.25"))
    project.ingest(now=datetime(2026, 11, 7, 6, tzinfo=UTC))
    later = "2026-11-07T07:00:00Z"
    assert rows_of(project, "2026-10", later) == closed
    (late,) = rows_of(project, "2026-11", later)
    assert (late["state"], late["adjustments_cost"], late["restated_month_date"]) == (
        "restates a closed month", "1.250000000000000000", "2026-10-01",
    )  # fmt: skip
    told = words_of(close(project, "--month", "2026-10", now=later))
    assert "2026-10-03 of acme was $3.00, is $4.25: due in 2026-11." in told
    # The report of then, and the report of now, which says that it is closed.
    now = datetime(2026, 11, 7, 8, tzinfo=UTC)
    then = kept_snapshot(project.project, event.body["snapshot_id"])
    before = write_report(project.project, then, month="2026-10", now=now).read_text()
    assert "Not closed. Of 3 invoices 3 tie." in before
    snapshot = build_project(project.project, as_of=now).snapshot
    after = write_report(project.project, snapshot, month="2026-10", now=now).read_text()
    assert f"Closed on 6 Nov 2026 from snapshot {event.body['snapshot_id']}" in after
    assert "What this month was restated by since it was closed" in after
    assert "<script>" not in after
    # What it was closed from is kept; status and doctor say up to when months are closed.
    plan = plan_collection(
        project.project.landing.contents(), datasets=shipped_graph().datasets, paths=project.project.paths, shared=None,
        keep=now - now, now=datetime(2027, 12, 1, tzinfo=UTC),
    )  # fmt: skip
    assert "cited by the close of 2026-10" in plan.kept.values()
    line_of_close = "Closed to 2026-10 (on 6 Nov 2026"
    where = ["--project", str(project.folder)]
    assert line_of_close in CliRunner().invoke(group, ["status", *where]).output
    doctor = CliRunner().invoke(group, ["doctor", *where, "--offline", "--as-of", "2026-11-07T08:00:00Z"])
    assert line_of_close in words_of(doctor)


def test_a_filtered_export_ties_to_itself_and_the_month_can_be_closed(project: SmallProject) -> None:
    entered(project)
    sources = [{**one, "filtered": True} if one["source"] == FOCUS else one for one in project.sources]
    filtered = SmallProject(project.folder, sources)
    filtered.project.land_config(datetime(2026, 11, 6, 5, tzinfo=UTC))
    assert enter(filtered, HOSTILE, "21", "20", "--reason", "the invoice").exit_code == 0
    done = close(filtered, "--month", "2026-10")
    assert done.exit_code == 0, done.output
    assert "ties to export, not invoice. 1 invoice: $20.00" in words_of(done)
    assert "residual (outside the export)" in words_of(done)


def test_an_issuers_name_is_text_wherever_it_is_shown(project: SmallProject) -> None:
    done = close(project, "--month", "2026-10")
    assert "\x1b" not in done.output
    assert '=HYPERLINK("http://localhost/")<script>[red]\ufffd[2J, USD: no invoice total known.' in done.output
    entered(project)
    table = close(project, "--list", "--format", "csv").output
    assert "'=HYPERLINK" in table
    assert not [cell for cell in table.replace('"', ",").split(",") if cell.startswith("=")]


@pytest.mark.parametrize(
    ("total", "words"),
    [
        ("1,234.56", "no thousands separator"),
        ("1.234,56", "no thousands separator"),
        ("9" * 40, "at most 15 digits"),
        ("1e9", "is not an amount"),
        ("", "is not an amount"),
    ],
)
def test_a_total_that_can_be_read_in_two_ways_is_not_read(project: SmallProject, total: str, words: str) -> None:
    """B7."""
    done = enter(project, "anthropic", "INV-77", total)
    assert (done.exit_code, words in words_of(done)) == (2, True)
    assert events(project, TOTAL_EVENT) == []


def test_a_wrong_month_currency_or_issuer_is_refused_or_named(project: SmallProject) -> None:
    assert "has not begun" in words_of(enter(project, "anthropic", "I", "1", month="2026-12"))
    assert "is not a month" in words_of(enter(project, "anthropic", "I", "1", month="2026-1"))
    assert "no currency of ISO 4217" in words_of(enter(project, "anthropic", "I", "1", currency="XQX"))
    assert "no currency of ISO 4217" in words_of(enter(project, "anthropic", "I", "1", currency="usd"))
    assert "1 to 200 characters" in words_of(enter(project, " ", "I", "1"))
    assert events(project, TOTAL_EVENT) == []
    assert "No bill is by anthropc yet. Those there are:" in words_of(enter(project, "anthropc", "I", "1"))
    not_over = close(project, "--month", "2026-11")
    assert (not_over.exit_code, "2026-11 is not over on 2026-11-06" in words_of(not_over)) == (1, True)
    assert "No bill of 2026-08 has come" in words_of(close(project, "--month", "2026-08"))
    assert close(project).exit_code == 2
    assert close(project, "--list", "--dry-run").exit_code == 2
    assert close(project, "--month", "2026-10", "--tolerance", "-1").exit_code == 2


def test_an_entry_is_corrected_aloud_and_never_by_chance(project: SmallProject) -> None:
    entered(project)
    assert "is $7.00 already" in words_of(enter(project, "anthropic", "INV-77", "7.00"))
    silent = enter(project, "anthropic", "INV-77", "8.00")
    assert (silent.exit_code, "To correct it, say why" in words_of(silent)) == (1, True)
    done = enter(project, "anthropic", "INV-77", "8.00", "--reason", "page 2")
    assert "comes to $8.00; it was $7.00." in done.output
    twice = adjust(project, "anthropic", "INV-77", "0.50", "--kind", "tax", "--reason", "VAT")
    assert (twice.exit_code, "counts once" in words_of(twice)) == (1, True)
    (tax,) = closing_of(project.project.landing.events()).adjustments
    more = ["--kind", "tax", "--reason", "VAT, corrected", "--replaces", tax.adjustment_id]
    assert adjust(project, "anthropic", "INV-77", "1.50", *more).exit_code == 0
    assert [one.amount for one in closing_of(project.project.landing.events()).adjustments] == [Decimal("1.50")]
    assert "before: 7.00" in words_of(close(project, "--list"))
    assert close(project, "--month", "2026-10").exit_code == 0


def test_nothing_is_dated_before_what_was_landed(project: SmallProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 10: entries and closes count in the order of their moments, so a close dated earlier would be the close."""
    entered(project)
    early = enter(project, "anthropic", "INV-77", "9.00", "--reason", "typo", now="2026-11-06T05:00:00Z")
    assert (early.exit_code, "Nothing was landed: this is dated 2026-11-06 05:00:00" in words_of(early)) == (1, True)
    assert close(project, "--month", "2026-10", now="2026-11-06T05:01:30Z").exit_code == 1
    assert events(project, CLOSE_EVENT) == []
    assert close(project, "--month", "2026-10").exit_code == 0
    (event,) = events(project, CLOSE_EVENT)
    again = close(project, "--month", "2026-10", "--tolerance", "5", now="2026-11-06T05:59:00Z")
    assert (again.exit_code, "before close of 2026-11-06 06:00:00" in words_of(again)) == (1, True)
    assert events(project, CLOSE_EVENT) == [event]
    # Of another month, and long before: who has looked since would not list it.
    long_ago = enter(project, "anthropic", "INV-60", "1.00", month="2026-09", now="2026-11-01T00:00:00Z")
    assert (long_ago.exit_code, "Nothing was landed" in words_of(long_ago)) == (1, True)


@pytest.mark.parametrize(("second", "words"), [("05", "before invoice.total of"), ("00", "was closed meanwhile")])
def test_what_somebody_lands_while_a_month_is_looked_at_is_in_no_close_unseen(
    project: SmallProject, monkeypatch: pytest.MonkeyPatch, second: str, words: str
) -> None:
    """An entry of that time would count for nothing, and of two closes the earlier one, whoever was told what."""
    entered(project)

    def build_slowly(*given: Any, **how: Any) -> Any:
        monkeypatch.undo()
        if second == "00":
            assert close(project, "--month", "2026-10").exit_code == 0
        else:
            more = ["--reason", "page 2"]
            assert enter(project, "anthropic", "INV-77", "8", *more, now=f"2026-11-06T06:00:{second}Z").exit_code == 0
        return build_project(*given, **how)

    monkeypatch.setattr("pipeline.cli.close.month.build_project", build_slowly)
    done = close(project, "--month", "2026-10", "--tolerance", "5")
    assert (done.exit_code, words in words_of(done)) == (1, True)
    assert len(events(project, CLOSE_EVENT)) == (1 if second == "00" else 0)


def test_what_no_text_can_be_is_refused_before_anything_is_landed(project: SmallProject) -> None:
    half = "a\udcff"
    tax = ["--kind", "tax"]
    for done in (
        enter(project, "anthropic", "INV-77", "7.00", "--reason", half),
        enter(project, "anthropic", "INV-77", "7.00", "--reason", " "),
        enter(project, "anthropic", "INV-77", "7.00", "--reason", "x" * 601),
        adjust(project, "anthropic", "INV-77", "0.50", *tax, "--reason", "VAT", "--replaces", half),
        close(project, "--month", "9999-12", "--dry-run"),
        close(project, "--list", now="9999-12-31"),
        close(project, "--month", "2026-10", "--tolerance", f"{half}=1"),
        close(project, "--month", "2026-10", "--tolerance", "usd=5"),
        close(project, "--month", "2026-10", "--tolerance", "1", "--tolerance", "5"),
    ):
        assert (done.exit_code, "Error: Invalid value" in done.output) == (2, True), done.exception
    assert events(project, TOTAL_EVENT) == []


def test_the_list_says_why_and_of_what_month_each_entry_is(project: SmallProject) -> None:
    entered(project)
    assert enter(project, "anthropic", "INV-77", "7.01", "--reason", "page 2").exit_code == 0
    body = {"month": "2026-10", "issuer": "anthropic", "invoice_id": 7, "by": "kim", "total": "1"}
    now = datetime(2026, 11, 6, 5, 30, tzinfo=UTC)
    project.project.landing.record(kind=TOTAL_EVENT, subject="s", body=body, now=now)
    listed = json.loads(close(project, "--list", "--format", "json").output)
    assert {row["month"] for row in listed} == {"2026-10"}
    assert "before: 7.00; page 2" in [row["said"] for row in listed]
    # What somebody entered first stays known too, with who and when.
    (first,) = [row for row in listed if row["what"] == "replaced total"]
    assert (first["amount"], first["at"], bool(first["by"])) == ("7.00", "2026-11-06 05:01", True)
    (wrong,) = [row for row in listed if row["what"] == "not counted, invoice.total"]
    assert "2026-10 anthropic: not counted, invoice.total ('currency' is missing)" in close(project, "--list").output
    assert (wrong["issuer"], wrong["invoice_id"], wrong["by"]) == ("anthropic", None, "kim")


def test_an_account_that_no_bill_of_the_issuer_has_is_named(project: SmallProject) -> None:
    done = enter(project, "anthropic", "INV-77", "6.50", "--account", "acmee")
    assert "No bill by anthropic is of account acmee yet. Those there are: acme." in words_of(done)
    assert "No bill" not in words_of(enter(project, "anthropic", "INV-78", "1", "--account", "acme"))


def test_of_several_accounts_the_line_to_type_names_the_account() -> None:
    row = {
        "billing_month_date": date(2026, 10, 1), "issuer": "openai", "billing_currency": "USD", "invoice_id": None,
        "account": "team b",
    }  # fmt: skip
    assert "--account" not in how_to_enter(row, has_several=False)
    assert "--total AMOUNT --account 'team b' (one invoice" in how_to_enter(row, has_several=True)


def test_the_laws_that_hold_up_a_close_are_laws_that_there_are() -> None:
    """One that was renamed would hold up nothing."""
    assert {path.stem for path in (Path(__file__).parents[2] / "sql" / "checks").glob("*.sql")} >= LAWS_OF_MONEY


def test_a_month_is_not_closed_over_a_broken_law_of_money(
    project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.decisions.check_results import CheckResult

    entered(project)
    broken = CheckResult("api_money_conserved", "account:acme", False, "the parts say 1, the whole 2.")
    monkeypatch.setattr("pipeline.cli.close.month.check_results", lambda snapshot: [broken])
    done = close(project, "--month", "2026-10")
    assert isinstance(done.exception, BreakevenError)
    assert "api_money_conserved is broken for account:acme" in str(done.exception)
    own = close(project, "--month", "2026-10", "--issuer", "anthropic")
    assert "2026-10 of anthropic is not closed: api_money_conserved is broken" in str(own.exception)
    assert events(project, CLOSE_EVENT) == []
    # Another issuer's law holds up none but its own.
    assert close(project, "--month", "2026-10", "--issuer", "gpucloud").exit_code == 0
