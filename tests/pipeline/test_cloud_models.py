"""Models that a cloud hosts and bills by the token: a price by class, and every dollar of theirs once."""

from datetime import date
from decimal import Decimal
from pathlib import Path

from click.testing import CliRunner

from pipeline.cli import group
from tests.models.cloud_harness import focus_csv, line
from tests.models.test_aws_cur2_charges import charges
from tests.pipeline.small_project import SmallProject, source
from tests.sources.cur2 import line as cur2_line

DAYS = {"from_date": date(2026, 11, 1), "to_date": date(2026, 11, 5)}
OPUS = "Claude Opus 5 (Amazon Bedrock Edition)"


def used(service: str, meter: str, unit: str, quantity: str, cost: str, **fields: str) -> dict[str, str]:
    costs = dict.fromkeys(("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"), cost)
    named = {"ServiceName": service, "SkuMeter": meter, "ConsumedUnit": unit, "ConsumedQuantity": quantity}
    return line(ProviderName="AWS", InvoiceIssuerName="AWS", **named, **costs, **fields)


LINES = [
    used(OPUS, "USE1-MP:USE1_InputTokenCount-Units", "1K tokens", "1234.567", "6.7901185"),
    used(OPUS, "USE1-MP:USE1_InputTokenCount-Units", "Units", "0.765433", "4.2098815"),
    used(OPUS, "USE1-MP:USE1_OutputTokenCount-Units", "1M tokens", "0.1", "2.75"),
    used(OPUS, "USE1-MP:USE1_CacheReadInputTokenCount_Global-Units", "Units", "5.5", "2.75"),
    used("AmazonBedrock", "USE1-Nova2.0Lite-output-tokens-flex", "1K tokens", "2000", "3.00", ResourceId="arn:profile"),
    used("AmazonBedrock", "USE1-Nova2.0Lite-input-tokens", "Furlongs", "3", "0.50"),
    used("AmazonBedrock", "USE1-Guardrail-TextUnitContentPolicy", "1K Text Units", "7", "0.25"),
    used("Amazon Elastic Compute Cloud", "USE1-BoxUsage:m7i.large", "Hrs", "1", "40.00"),
    used("AmazonBedrock", "USE1-Nova2.0Lite-output-tokens-flex", "1K tokens", "0", "-1.25", ChargeCategory="Credit"),
]  # fmt: skip


def test_models_on_a_clouds_bill_have_a_price_by_class_and_every_dollar_of_theirs_is_there_once(
    tmp_path: Path, warm_cache: Path
) -> None:
    """B24."""
    project = SmallProject(tmp_path, [source("focus", "aws")], {}, warm_cache=warm_cache)
    project.drop("focus", "aws", "november.csv", focus_csv(LINES))
    answers = project.run()
    assert project.quarantine() == []
    rows = answers.rows(
        "select model, token_class, service_tier, status, tokens, billed_cost_rc, resource_id "
        "from fct_cloud_model_costs_daily order by billed_cost desc, token_class"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("Claude Opus 5", "input_uncached", "standard", "known", 1_234_567, Decimal("6.7901185"), None),
        ("Claude Opus 5", "input_uncached", "standard", "known", 765_433, Decimal("4.2098815"), None),
        ("Nova2.0Lite", "output", "flex", "known", 2_000_000, Decimal("3.00"), "arn:profile"),
        ("Claude Opus 5", "input_cache_read", "standard", "known", 5_500_000, Decimal("2.75"), None),
        ("Claude Opus 5", "output", "standard", "known", 100_000, Decimal("2.75"), None),
        ("Nova2.0Lite", "input_uncached", "standard", "no_unit", None, Decimal("0.50"), None),
        (None, None, "standard", "not_tokens", None, Decimal("0.25"), None),
    ]
    by_class = {
        (row["model"], row["token_class"]): (row["tokens"], row["full_rc_per_mtok"])
        for row in answers.ask("unit_costs_by_class", **DAYS).to_dicts()
        if row["lane"] == "cloud_model"
    }
    assert by_class["Claude Opus 5", "input_uncached"] == (2_000_000, 5.5)
    assert by_class["Claude Opus 5", "output"] == (100_000, 27.5)
    # What of a model has no count has a cost, and is in no price.
    (nova,) = (row for row in answers.ask("unit_costs", **DAYS).to_dicts() if row["model"] == "Nova2.0Lite")
    assert (nova["full_cost_rc"], nova["tokens"], nova["full_rc_per_mtok"]) == (Decimal("3.50"), 2_000_000, 1.5)
    explored = {
        row["model"]: row for row in answers.ask("explore_units", **DAYS).to_dicts() if row["lane"] == "cloud_model"
    }
    assert (explored["Claude Opus 5"]["tokens"], explored["Claude Opus 5"]["cost_rc"]) == (7_600_000, Decimal("16.50"))
    assert (explored["Nova2.0Lite"]["tokens"], explored["Nova2.0Lite"]["unknown_count"]) == (2_000_000, 1)
    of_lanes = "select lane, sum(realized_cost_rc) as cost_rc from fct_owner_costs_daily group by lane order by lane"
    assert answers.rows(of_lanes) == [
        {"lane": "cloud", "cost_rc": Decimal("38.75")}, {"lane": "cloud_model", "cost_rc": Decimal("20.25")},
    ]  # fmt: skip
    assert answers.ask("headline", **DAYS).rows() == [("cloud_model", "billed", Decimal("20.25"))]
    spent = {row["model"]: row for row in answers.ask("spend_hosted", **DAYS).to_dicts()}
    assert [(name, spent[name]["tokens"], spent[name]["uncounted_count"]) for name in spent] == [
        ("Claude Opus 5", 7_600_000, 0), ("Nova2.0Lite", 2_000_000, 1), (None, None, 1),
    ]  # fmt: skip
    assert sum(row["billed_cost_rc"] for row in spent.values()) == Decimal("20.25")
    assert answers.rows("select detail from check_cloud_models_conserved") == []
    assert answers.one("select sum(billed_cost_rc) from fct_cloud_charges_daily") == Decimal("59.00")
    made = ["report", "--project", str(tmp_path), "--month", "2026-11", "--format", "md"]
    assert CliRunner().invoke(group, made).exit_code == 0
    (report,) = (tmp_path / ".breakeven" / "reports").glob("*.md")
    assert "Money went to 1 cloud that hosts models." in report.read_text()
    shown = CliRunner().invoke(group, ["costs", "--project", str(tmp_path), "--from", "2026-11-01", "--format", "csv"])
    assert "cloud_model,Claude Opus 5,bedrock,billed,7600000,16.5" in shown.output


def test_a_focus_export_of_each_cloud_names_models_by_its_own_meters(tmp_path: Path, warm_cache: Path) -> None:
    """B24: of 1.0, which has no SkuMeter: AWS's usage type, Microsoft's meter name, Google's SKU as the description."""
    aws = [
        {**one, "x_UsageType": one["SkuMeter"], "ServiceName": "Amazon Bedrock"}
        for one in (
            used("", "USE1-Nova2.0Lite-output-tokens-flex", "1K tokens", "2000", "3.00"),
            used("", "USE1-Llama3-ProvisionedThroughput-ModelUnits", "Hrs", "2", "40.00"),
        )
    ]
    azure = {
        **used("Azure AI Services", "", "Units", "3", "0.75"), "x_SkuMeterName": "5.4 opt Gl 1M Tokens",
        "ProviderName": "Microsoft",
    }  # fmt: skip
    google = {
        **used("Vertex AI", "", "count", "1000000", "2.50"), "ProviderName": "Google Cloud",
        "ChargeDescription": "Gemini 2.5 Pro Thinking Text Output - Predictions",
    }  # fmt: skip
    sources = [source("focus", name) for name in ("aws", "azure", "gcp")]
    project = SmallProject(tmp_path, sources, {}, warm_cache=warm_cache)
    for name, lines in (("aws", aws), ("azure", [azure]), ("gcp", [google])):
        told = [{column: said for column, said in one.items() if column != "SkuMeter"} for one in lines]
        project.drop("focus", name, "november.csv", focus_csv(told))
    answers = project.run()
    assert project.quarantine() == []
    rows = answers.rows(
        "select provider, model, token_class, service_tier, status, tokens from fct_cloud_model_costs_daily "
        "order by billed_cost desc"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("bedrock", None, None, "standard", "not_tokens", None),
        ("bedrock", "Nova2.0Lite", "output", "flex", "known", 2_000_000),
        ("vertex_ai", "Gemini 2.5 Pro", "output", "standard", "known", 1_000_000),
        # Its quantity counts blocks of a unit that its FOCUS export does not say: never guessed.
        ("azure", "5.4", "output", "standard", "no_unit", None),
    ]
    assert answers.rows("select detail from check_cloud_models_conserved") == []


def test_a_listing_of_the_marketplace_names_the_model_that_its_usage_type_leaves_out(tmp_path: Path) -> None:
    bedrock = {
        "line_item_product_code": "AmazonBedrockFoundationModels",
        "line_item_usage_type": "USE1-MP:USE1_InputTokenCount-Units",
        "pricing_unit": "Units",
    }
    lines = [
        cur2_line(5.5, product={"product_name": OPUS}, **bedrock),
        cur2_line(1.0, product={"product_name": "Amazon Bedrock"}, **bedrock),
    ]
    found = charges(tmp_path, lines)
    assert {row["service"]: row["billed_cost"] for row in found} == {
        OPUS: Decimal("5.5"),
        "AmazonBedrockFoundationModels": Decimal(1),
    }
