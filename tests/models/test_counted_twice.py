"""Exports that state one bill in two ways: the law of one home names both, and two halves of a bill are no fault."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.models.cloud_harness import broken_laws, built, cloud_graph
from tests.pipeline.small_project import Answers, SmallProject, source
from tests.sources import azure, gcp, small_bills
from tests.sources.test_gcp_cost_table import ABOVE, table

NOW = datetime(2026, 12, 9, 6, tzinfo=UTC)
SUBSCRIPTION = "/subscriptions/e18e1552"
ENROLMENT = "/providers/Microsoft.Billing/billingAccounts/12345678"


def test_a_month_of_google_s_export_is_whole_or_in_parts(tmp_path: Path) -> None:
    """An extract of all of November, and next week what came since: both hold the first week."""

    def dropped(files: str, name: str) -> Answers:
        made = SmallProject(tmp_path, [source(gcp.NAME, gcp.ACCOUNT, settings={"files": files})])
        made.drop(gcp.NAME, gcp.ACCOUNT, name, gcp.json_lines([gcp.row()]))
        return built(made, now=NOW)

    assert broken_laws(dropped("whole", "november.json")) == []
    (law,) = broken_laws(dropped("parts", "since.json"))
    assert "counted twice, from whole files and parts" in law


def test_an_invoice_of_google_s_is_counted_once_with_and_without_its_number(tmp_path: Path) -> None:
    """The table of a month that is not over has no number yet, and the invoice's would stand beside it."""
    made = SmallProject(tmp_path, [source("gcp_cost_table", "google")])
    made.drop("gcp_cost_table", "google", "so far.csv", table(above=ABOVE.replace("Invoice number,5123456789\n", "")))
    assert broken_laws(built(made, now=NOW)) == []
    made.drop("gcp_cost_table", "google", "invoice.csv", table())
    (law,) = broken_laws(built(made, now=NOW))
    assert "2026-11-01" in law
    assert "without an invoice number and invoice 5123456789" in law


def azure_runs(folder: Path, *scopes: str, **more: Any) -> Answers:
    made = SmallProject(folder, [{"source": azure.NAME, "account": "azure", "settings": {"export": "copy"}}])
    for number, scope in enumerate(scopes):
        content = azure.details([azure.row()])
        run = azure.run(folder / "copy", {"part_0_0001.csv": content}, execution=f"run-{number}", **more)
        said = json.loads((run / "manifest.json").read_text())
        said["exportConfig"]["resourceId"] = f"{scope}/providers/Microsoft.CostManagement/exports/costs"
        (run / "manifest.json").write_text(json.dumps(said))
    return built(made, now=NOW)


def test_an_enrolment_of_azure_s_holds_its_subscriptions_and_two_of_these_are_two(tmp_path: Path) -> None:
    assert broken_laws(azure_runs(tmp_path / "two", SUBSCRIPTION, "/subscriptions/f2")) == []
    (law,) = broken_laws(azure_runs(tmp_path / "both", ENROLMENT, SUBSCRIPTION))
    assert "exports of /providers/microsoft.billing/billingaccounts/12345678 and of /subscriptions/e18e1552" in law
    (law,) = broken_laws(azure_runs(tmp_path / "group", SUBSCRIPTION, f"{SUBSCRIPTION}/resourceGroups/serving"))
    assert "which is in it" in law


def test_an_inbox_of_azure_s_is_not_summed_beside_an_export(tmp_path: Path) -> None:
    """Somebody began with an inbox: what it brought stays, and the export states the same month."""
    made = SmallProject(tmp_path, [source(azure.NAME, "azure")])
    made.drop(azure.NAME, "azure", "november.csv", azure.details([azure.row()]))
    assert broken_laws(built(made, now=NOW)) == []
    (law,) = broken_laws(azure_runs(tmp_path, SUBSCRIPTION))
    assert "what an inbox brought" in law


def test_a_declared_bill_is_not_summed_beside_that_of_its_provider(tmp_path: Path) -> None:
    """B9: DeepSeek's own export, and somebody's table of it: two issuers by their sources, one bill."""

    check = "check_api_book_of_record"

    def said(role: str) -> list[str]:
        declared = {"provider": "deepseek", "currency": "USD", "columns": {"date": "day", "amount": "cost"}}
        sources = [
            source("deepseek_usage", "labs"), source("api_bill_csv", "labs", settings=declared, role=role),
        ]  # fmt: skip
        made = SmallProject(tmp_path / role, sources)
        made.drop("deepseek_usage", "labs", small_bills.ZIP_NAME, small_bills.deepseek_zip(
            [small_bills.deepseek_amount("output_tokens", "0.000001", 10**6)], [small_bills.deepseek_cost("1")]
        ))  # fmt: skip
        made.drop("api_bill_csv", "labs", "bill.csv", b"day,cost\n2026-11-01,1\n")
        return broken_laws(built(made, now=NOW, graph=cloud_graph([check])), [check])

    (law,) = said("book")
    assert "api_bill_csv and deepseek_usage both bill deepseek to the account in 2026-11" in law
    assert said("control") == []
