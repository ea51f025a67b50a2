"""What a file is, by its content alone: every source's own files, real exports, and what only looks like one."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from pipeline.sources import SOURCES
from pipeline.sources.recognise import recognise_bytes, recognise_file
from tests.pipeline.small_project import (
    api_page,
    cost_result,
    invoice_csv,
    spool_file,
    three_days,
    usage_result,
)

REAL = Path(__file__).parents[3] / "shared" / "data"
FOCUS = (
    "BilledCost,BillingAccountId,BillingCurrency,BillingPeriodStart,ChargeCategory,ChargePeriodStart,ConsumedUnit,"
    "ProviderName,ResourceId,Tags\n"
)
GATEWAY_TAGS = '{"custom_llm_provider": "anthropic"}'


def by_content(content: bytes) -> tuple[str | None, str | None]:
    found = recognise_bytes("whatever", content)
    return found.source, found.dataset


def parquet(columns: str, *values: str, folder: Path) -> bytes:
    names = columns.strip().split(",")
    pl.DataFrame({name: [value] for name, value in zip(names, values, strict=True)}).write_parquet(folder / "x")
    return (folder / "x").read_bytes()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (three_days("1.00", "2.00", "3.00"), ("anthropic_console_csv", "console_cost")),
        (api_page({"2026-11-01": [cost_result("12")]}), ("anthropic_cost_api", "cost_report")),
        (api_page({"2026-11-01": [usage_result()]}), ("anthropic_usage_api", "messages_usage")),
        (b'{"data": [{"results": [{"object": "organization.costs.result"}]}]}', ("openai_costs_api", "costs")),
        (spool_file("2026-11-01"), ("nvml_spool", "spool")),
        (gzip.compress(spool_file("2026-11-01")), ("nvml_spool", "spool")),
        (b"start_time,end_time,amount_value,amount_currency\n", ("openai_dashboard_csv", "cost")),
        (b"generation_id,created_at,cost_total,model_permaslug\n", ("openrouter_generations", "generations")),
        (b"bill_bill_type,line_item_unblended_cost\n", ("aws_cur2", "cost_and_usage")),
        (b"lineItem/UnblendedCost,lineItem/UsageAccountId\n", ("aws_cur", "cost_and_usage")),
        (b"CostInBillingCurrency,MeterCategory\n", ("azure_cost_details", "cost_and_usage")),
        (b"lineItem/referenceNo,cost/myCost\n", ("oci_cost_report", "cost_and_usage")),
        (b"billing_account_id,service.description,cost\n", ("gcp_billing_export", "cost_and_usage")),
        (b'{"billing_account_id":"a","service":{},"cost":1}\n', ("gcp_billing_export", "cost_and_usage")),
        (FOCUS.encode(), ("focus", "cost_and_usage")),
        (gzip.compress(FOCUS.encode()), ("focus", "cost_and_usage")),
        (f'{FOCUS}1,a,USD,,Usage,,Requests,x,y,"{GATEWAY_TAGS}"\n'.encode(), ("litellm_focus", "daily_spend")),
        (b"Date,USD,JPY\n2026-11-02,1.1,160\n", ("ecb_rates", "reference_rates")),
        (invoice_csv([("GPU server", "node-1", "72.00")], total="72.00"), ("invoice_csv", "invoice")),
        (
            b"product,group_description,description,hours,start,end,USD,project_name,category\n",
            ("digitalocean_invoices", "invoice"),
        ),
        (b'{"success": true, "next_token": null, "results": [{"source": "instance-1"}]}', ("vast_charges", "invoice")),
        (b"Rechnung;Posten;Betrag\n1;Server;72,00\n", ("invoice_csv", "invoice")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_an_export_is_known_by_its_content_whatever_it_is_called(content, expected):
    assert by_content(content) == expected


def test_parquet_is_known_by_the_columns_at_its_end(tmp_path):
    tmp_path = tmp_path / "exports [a]"
    tmp_path.mkdir()
    cur = parquet("bill_bill_type,line_item_unblended_cost", "Anniversary", "1.0", folder=tmp_path)
    assert by_content(cur) == ("aws_cur2", "cost_and_usage")
    bill = ("1", "a", "USD", "", "Usage", "", "Hours", "x", "y")
    assert by_content(parquet(FOCUS, *bill, '{"team": "a"}', folder=tmp_path)) == ("focus", "cost_and_usage")
    assert by_content(parquet(FOCUS, *bill, GATEWAY_TAGS, folder=tmp_path)) == ("litellm_focus", "daily_spend")
    other = recognise_file(tmp_path / "x").reason
    assert "litellm_focus" in other
    assert by_content(parquet("a,b", "1", "2", folder=tmp_path)) == (None, None)
    assert by_content(b"PAR1 and then nothing") == (None, None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"%PDF-1.7 ...", "a PDF"),
        (b"PK\x03\x04 xl/workbook.xml", "a zip or a spreadsheet"),
        (b"\x89PNG\r\n", "a picture"),
        (b"# TYPE vllm:prompt_tokens_total counter\nvllm:prompt_tokens_total 3\n", "a saved scrape of vLLM"),
        (b'{"dataFiles": ["s3://b/x"]}', "the manifest of an AWS Data Export"),
        (b'{"reportKeys": ["b/x"]}', "the manifest of a legacy AWS report"),
        (b"day,requests\n2026-11-01,3\n", "a table without a column of money (day, requests)"),
        (b"{}", "JSON that is no export"),
        (b"dear all\nplease find", "no export"),
        (b"\x00\x01\x02", "no export"),
    ],
)
def test_what_is_no_export_is_told_why_not(content, words):
    found = recognise_bytes("november.csv", content)
    assert found.source is None
    assert words in found.reason


def test_every_file_of_the_demo_is_known_by_the_source_whose_inbox_it_lies_in(demo_folder):
    wrong = [
        (file.relative_to(demo_folder), recognise_file(file))
        for file in sorted((demo_folder / "inbox").rglob("*"))
        if file.is_file() and recognise_file(file).source != file.relative_to(demo_folder).parts[1]
    ]
    assert wrong == []
    assert {folder.name for folder in (demo_folder / "inbox").iterdir()} <= {source.name for source in SOURCES}


def test_real_exports_are_known():
    if not REAL.is_dir():
        pytest.skip("no ../shared/data")
    expected = {
        "api_billing/anthropic/claude_api_cost_2026_06_18_to_2026_07_05.csv": "anthropic_console_csv",
        "api_billing/anthropic/cost_report_page_handmade.json": "anthropic_cost_api",
        "api_billing/aws_bedrock/cur2_bedrock_2026-09-01_handmade.csv": "aws_cur2",
        "api_billing/litellm/focus_export_litellm_1.109.1_generated.csv": "litellm_focus",
        "api_billing/litellm/focus_export_litellm_1.109.1_generated.parquet": "litellm_focus",
        "api_billing/openai/costs_page_handmade.json": "openai_costs_api",
        "focus/focus_1.0_anonymised_real_1000.csv": "focus",
        "focus/focus_1.3_synthetic_costandusage_aws.csv": "focus",
        "api_billing/gcp_billing_2026-09_handmade.csv": "gcp_billing_export",
        "gpu_invoices/aws_cur_legacy/sample-anonymous-aws-export-dataset.csv": "aws_cur",
        "gpu_invoices/azure/sample-anonymous-ea-export-dataset.csv": "azure_cost_details",
        "gpu_invoices/oci/reports_cost-csv_0000000030000269.csv": "oci_cost_report",
        "telemetry/k8s_ai_conformance/kops_vllm.prom": None,
    }
    assert {name: recognise_file(REAL / name).source for name in expected} == expected
