"""Genuine and official FOCUS files through the whole line (FOCUS-Sample-Data and the specification, CC BY 4.0)."""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.models.cloud_harness import MART, broken_laws, built, cloud_graph, focus
from tests.pipeline.small_project import COST_API, Answers, SmallProject, source
from tests.sources.litellm import gateway, window_name

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FOLDER = DATA / "focus"
STAGED = "stg_litellm_focus__estimates_daily"
GATEWAY = DATA / "api_billing" / "litellm"
REAL = "focus_1.0_anonymised_real_1000.csv"
SYNTHETIC = "focus_1.3_synthetic_costandusage_aws.csv"
COSTS = {
    "BilledCost": "billed_cost",
    "EffectiveCost": "effective_cost",
    "ListCost": "list_cost",
    "ContractedCost": "contracted_cost",
}

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/data/focus is not here")


def rows_of(content: bytes) -> list[dict[str, str]]:
    """The file's own strings, by the reader of the standard library."""
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def sums(rows: Iterable[Mapping[str, str]], by: str) -> dict[tuple[str, str, str], Decimal]:
    """(what `by` says, currency, cost) -> the Decimal sum of what is stated."""
    found: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    for row in rows:
        for cost in COSTS:
            if row.get(cost, "") not in ("", "NULL", "null"):
                found[row[by], row.get("BillingCurrency", "USD"), cost] += Decimal(row[cost])
    return dict(found)


def told(answers: Answers, by: str, where: str = "true") -> dict[tuple[str, str, str], Decimal]:
    columns = ", ".join(f"sum({ours}) as {ours}" for ours in COSTS.values())
    rows = answers.rows(f"select {by}, billing_currency, {columns} from {MART} where {where} group by all")
    return {
        (row[by], row["billing_currency"], theirs): row[ours]
        for row in rows
        for theirs, ours in COSTS.items()
        if row[ours] is not None
    }


def charged(folder: Path, name: str, **fields: Any) -> Answers:
    project = SmallProject(folder, [focus(**fields)])
    project.drop("focus", "cloudy", name, (FOLDER / name).read_bytes())
    return built(project, now=datetime(2026, 6, 10, tzinfo=UTC))


@pytest.mark.parametrize("name", [REAL, SYNTHETIC])
def test_all_1000_rows_land_and_sum_to_what_the_files_own_strings_do(name: str, tmp_path: Path) -> None:
    """Classes B7, B9, B24: literal NULLs, an extra column, odd casing; AWS, Microsoft and Oracle; per currency."""
    rows = rows_of((FOLDER / name).read_bytes())
    answers = charged(tmp_path, name)
    assert len(rows) == 1000
    assert answers.one(f"select sum(line_count) from {MART}") == 1000
    assert told(answers, "service_provider") == sums(rows, "ProviderName")
    assert told(answers, "charge_category") == sums(rows, "ChargeCategory")
    assert broken_laws(answers) == []


def test_the_genuine_file_comes_to_20_52_billed_and_14_98_effective(tmp_path: Path) -> None:
    """Class B20: two measures that are never one figure."""
    answers = charged(tmp_path, REAL)
    assert answers.rows(f"select sum(billed_cost) as b, sum(effective_cost) as e from {MART}") == [
        {"b": Decimal("20.52022672899"), "e": Decimal("14.97651418586")}
    ]


def test_the_synthetic_files_invoices_are_listed_with_their_lines(tmp_path: Path) -> None:
    rows = rows_of((FOLDER / SYNTHETIC).read_bytes())
    answers = charged(tmp_path, SYNTHETIC)
    invoices = answers.rows(f"select invoice_id, sum(billed_cost) as cost from {MART} group by all order by 1")
    expected: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        expected[row["InvoiceId"]] += Decimal(row["BilledCost"])
    assert {row["invoice_id"]: row["cost"] for row in invoices} == dict(expected)


# The examples are cut to the columns they explain, and spelled for a reader: what FOCUS demands is put back.
_DECLARED = {"BillingCurrency": "USD", "ProviderName": "Example"}


def mended(content: bytes) -> bytes:
    """`$10,000.00` as a number, and the end of an hour that no day has (an hour 30, of a charge that starts at 20)."""
    text = re.sub(r'"?\$([\d,]+\.\d\d) ?"?', lambda found: found[1].replace(",", ""), content.decode("utf-8-sig"))
    return text.replace("T30:00:00Z", "T23:59:59Z").encode()


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Answers, dict[str, list[dict[str, str]]]]:
    """Every worked example of the specification, each as an account of its own; and its rows."""
    contents = {path.stem: mended(path.read_bytes()) for path in sorted((FOLDER / "spec_examples").glob("*.csv"))}
    sources = []
    for number, content in enumerate(contents.values()):
        has_dates_of_saas = b"/25," in content or b"/26," in content
        # Two of them tell the same year of the same server: each is the bill of a company of its own.
        declared = {**_DECLARED, "BillingAccountId": f"example-{number}"}
        dates = {"date_format": "%m/%d/%y"} if has_dates_of_saas else {}
        settings = {"files": "whole", "last_line_end": "optional", "defaults": declared, **dates}
        sources.append(focus(f"example-{number}", settings=settings))
    project = SmallProject(tmp_path_factory.mktemp("examples"), sources)
    for number, (name, content) in enumerate(contents.items()):
        project.drop("focus", f"example-{number}", f"{name}.csv", content)
    answers = built(project, now=datetime(2026, 6, 10, tzinfo=UTC))
    assert project.quarantine(now=datetime(2026, 6, 10, tzinfo=UTC)) == []
    return answers, {name: rows_of(content) for name, content in contents.items()}


def test_the_specifications_examples_give_their_billed_and_effective_totals(
    examples: tuple[Answers, dict[str, list[dict[str, str]]]],
) -> None:
    """Classes B7, B20: commitments bought, used and unused; SaaS agreements; each cost apart, to the last digit."""
    answers, rows = examples
    assert len(rows) == 26
    stated = [{**row, "account": f"example-{number}"} for number, said in enumerate(rows.values()) for row in said]
    assert told(answers, "account") == sums(stated, "account")
    assert answers.one(f"select sum(line_count) from {MART}") == len(stated)
    assert broken_laws(answers) == []


@pytest.mark.parametrize(
    ("example", "billed", "effective"),
    [
        ("commitment_discount_scenarios__commitment_discount_purchase_scenario_1", "8760", "0"),
        ("commitment_discount_scenarios__commitment_discount_purchase_scenario_3", "4381.5", "0"),
        ("commitment_discount_scenarios__commitment_discount_usage_scenario_3", "0", "1"),
        ("commitment_discount_scenarios__commitment_discount_usage_scenario_4", "0.5", "1.5"),
        (
            "commitment_discount_flexibility__one_hundred_percent_utilization_with_commitment_discount_flexibility_with"
            "_1_resource",
            "2.75",
            "2.75",
        ),
        ("saas_examples__spend_agreements__saas_spend_agreements_b2", "1200", "1200"),
        ("saas_examples__virtual_currency_pricing_model_a1", "200000", "0"),
        ("saas_examples__virtual_currency_pricing_model_a2", "0", "1230"),
        ("saas_examples__virtual_currency_pricing_model_c", "53000", "0"),
    ],
)
def test_an_example_gives_the_totals_its_text_speaks_of(
    example: str, billed: str, effective: str, examples: tuple[Answers, dict[str, list[dict[str, str]]]]
) -> None:
    """Class B20: what is bought is billed once, and is cost where it is used."""
    answers, rows = examples
    account = f"example-{list(rows).index(example)}"
    figures = told(answers, "account", f"account = '{account}'")
    assert (figures[account, "USD", "BilledCost"], figures[account, "USD", "EffectiveCost"]) == (
        Decimal(billed),
        Decimal(effective),
    )


def test_tokens_of_a_virtual_currency_stay_out_of_money(
    examples: tuple[Answers, dict[str, list[dict[str, str]]]],
) -> None:
    """Class B23: tokens stand in the pricing currency alone: no sum of money holds them."""
    answers, rows = examples
    tokens = [row for said in rows.values() for row in said if row.get("PricingCurrency") == "Token"]
    assert sum(Decimal(row["PricingCurrencyEffectiveCost"]) for row in tokens) > 0
    assert answers.rows(f"select distinct billing_currency from {MART}") == [{"billing_currency": "USD"}]


@pytest.mark.skipif(not GATEWAY.is_dir(), reason="../shared/data/api_billing/litellm is not here")
def test_a_gateways_export_is_refused_as_billed(tmp_path: Path) -> None:
    """Class B22: LiteLLM's BilledCost is its own estimate of what the providers bill themselves."""
    project = SmallProject(tmp_path, [focus()])
    for path in sorted(GATEWAY.glob("focus_export_*")):
        project.drop("focus", "cloudy", path.name, path.read_bytes())
    now = datetime(2026, 11, 5, tzinfo=UTC)
    answers = built(project, now=now)
    assert answers.rows(f"select * from {MART}") == []
    reasons = [entry.reason for entry in project.quarantine(now=now)]
    assert len(reasons) == 2
    assert all("a gateway (as LiteLLM) wrote this" in reason for reason in reasons)
    assert all("configure source litellm_focus" in reason for reason in reasons)


@pytest.mark.skipif(not GATEWAY.is_dir(), reason="../shared/data/api_billing/litellm is not here")
def test_a_gateways_export_lands_as_its_estimate_in_either_format(tmp_path: Path) -> None:
    """Class B9, B22: the same window as CSV and as Parquet, row by row once; 2.61 and 0.569788."""
    project = SmallProject(tmp_path, [source(COST_API, "main"), gateway()])
    for path in sorted(GATEWAY.glob("focus_export_*")):
        name = window_name("2026-11-01", "2026-11-02", suffix=path.suffix.removeprefix("."))
        project.drop("litellm_focus", "gateway", name, path.read_bytes())
    answers = built(project, now=datetime(2026, 11, 5, tzinfo=UTC), graph=cloud_graph([STAGED]))
    rows = answers.rows(
        f"select provider, raw_model, api_key_id is null as no_key, rated_cost from {STAGED} order by 1"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("anthropic", "claude-sonnet-5", False, Decimal("2.61")),
        ("openai", "gpt-5-mini-2025-08-07", True, Decimal("0.569788")),
    ]
