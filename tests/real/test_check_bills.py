"""`breakeven check --bill` on real exports: each total is the sum of the file's own strings, taken by other means."""

import csv
import json
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.check.bill_answer import BillAnswer, Told, bill_answer
from pipeline.check.bills import read_bills

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "data"
NOW = datetime(2026, 11, 29, 5, tzinfo=UTC)

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"needs the folder {FOLDER}")

CONSOLE = "api_billing/anthropic/claude_api_cost_2026_06_18_to_2026_07_05.csv"
EXPORTS = (
    CONSOLE,
    "api_billing/anthropic/cost_report_page_handmade.json",
    "api_billing/openai/costs_page_handmade.json",
    "api_billing/aws_bedrock/cur2_bedrock_2026-09-01_handmade.csv",
    "api_billing/litellm/focus_export_litellm_1.109.1_generated.csv",
    "api_billing/litellm/focus_export_litellm_1.109.1_generated.parquet",
    "focus/focus_1.0_anonymised_real_1000.csv",
    "focus/focus_1.3_synthetic_costandusage_aws.csv",
    "gpu_invoices/aws_cur_legacy/sample-anonymous-aws-export-dataset.csv",
    "gpu_invoices/azure/sample-anonymous-ea-export-dataset.csv",
    "gpu_invoices/oci/reports_cost-csv_0000000030000269.csv",
    "api_billing/gcp_billing_2026-09_handmade.csv",
)
NOT_READ = {
    "telemetry/k8s_ai_conformance/kops_vllm.prom": "a saved scrape of vLLM",
    "telemetry/vllm_single_gpu_runs/vllm_log_scale100_prompt500.csv": "a table without a column of money",
    "focus/focus_1_4_model.json": "no export breakeven reads",
    "focus/spec_examples/saas_examples__virtual_currency_pricing_model_a2.csv": "add the line end",
}


@pytest.fixture(scope="module")
def answer() -> BillAnswer:
    bills = read_bills([FOLDER / name for name in (*EXPORTS, *NOT_READ)], now=NOW)
    return bill_answer(bills, rate=Decimal("2.69"), currency="USD", gpu_count=2)


def told(answer: BillAnswer, name: str) -> Told:
    (found,) = [one for one in answer.told if one.title == Path(name).name]
    return found


def lines(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def sums(rows: list[dict[str, str]], amount: str, currency: str) -> dict[str, Decimal]:
    found: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        if row[amount] not in ("", "NULL"):
            found[row[currency]] += Decimal(row[amount])
    return dict(found)


@pytest.mark.parametrize(
    ("name", "amount", "currency"),
    [
        ("focus/focus_1.0_anonymised_real_1000.csv", "BilledCost", "BillingCurrency"),
        ("focus/focus_1.3_synthetic_costandusage_aws.csv", "BilledCost", "BillingCurrency"),
        (EXPORTS[3], "line_item_unblended_cost", "line_item_currency_code"),
        (EXPORTS[4], "BilledCost", "BillingCurrency"),
        (EXPORTS[8], "lineItem/UnblendedCost", "lineItem/CurrencyCode"),
        (EXPORTS[9], "CostInBillingCurrency", "BillingCurrencyCode"),
        (EXPORTS[10], "cost/myCost", "cost/currencyCode"),
    ],
)
def test_a_csv_s_totals_are_the_sums_of_its_strings(answer, name: str, amount: str, currency: str) -> None:
    """B7, B12: not a row is lost, and no float is between."""
    found, rows = told(answer, name), lines(name)
    assert found.totals() == sums(rows, amount, currency)
    assert found.file is not None
    assert found.file.rows == len(rows)


def test_the_genuine_console_export_sums_by_model_and_class(answer) -> None:
    """B12: two pairs of its rows share every dimension, and are four charges."""
    found, rows = told(answer, CONSOLE), lines(CONSOLE)
    assert found.totals() == {"USD": Decimal("190.34")}
    classes = {"input_no_cache": "input_uncached", "output": "output"}
    expected: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in rows:
        token_class = classes.get(row["token_type"], row["token_type"])
        model = row["model"].lower().replace(" ", "-").replace(".", "-")
        expected[model, token_class] += Decimal(row["cost_usd"])
    assert {(one.subject, one.line_class): one.amount for one in found.lines} == dict(expected)
    assert found.list_total == sum(Decimal(row["list_price_usd"]) for row in rows)


def test_pages_are_totalled_in_their_own_units(answer) -> None:
    """B7: Anthropic's amounts are cents, OpenAI's dollars."""
    page = json.loads((FOLDER / EXPORTS[1]).read_text())
    cents = sum(Decimal(row["amount"]) for bucket in page["data"] for row in bucket["results"])
    assert told(answer, EXPORTS[1]).totals() == {"USD": cents / 100}
    page = json.loads((FOLDER / EXPORTS[2]).read_text(), parse_float=Decimal)
    dollars = sum(row["amount"]["value"] for bucket in page["data"] for row in bucket["results"])
    assert told(answer, EXPORTS[2]).totals() == {"USD": dollars}


def test_a_gateway_s_two_formats_say_the_same_and_are_no_bill(answer) -> None:
    """B22: what somebody rated is no second bill."""
    one, other = told(answer, EXPORTS[4]), told(answer, EXPORTS[5])
    assert one.lines == other.lines
    assert {line.measure for line in one.lines} == {"rated"}


def test_what_is_not_read_says_what_it_is_instead(answer) -> None:
    problems = {file.name: str(file.problem) for file in answer.unread}
    assert set(problems) == {Path(name).name for name in NOT_READ}
    for name, words in NOT_READ.items():
        assert words in problems[Path(name).name], name


def test_each_provider_learns_what_self_hosting_may_cost(answer) -> None:
    said = {text.partition(":")[0]: text for text in answer.self_hosting}
    assert set(said) == {"anthropic", "openai"}
    assert "Self-hosting pays only if" in said["anthropic"]
