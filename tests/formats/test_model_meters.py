"""Meters of hosted models, as Bedrock, Azure and Google spell them: whose model, which token, and how many a unit."""

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.formats.model_meters import SERVICES, ModelMeter, model_meter

SHARED = Path(__file__).parents[3] / "shared" / "data" / "api_billing"
BEDROCK, EDITION = "AmazonBedrock", "Claude Opus 5 (Amazon Bedrock Edition)"
# service, meter, unit -> model, class, tier, geography, context, tokens a unit
METERS: list[tuple[str, str, str | None, tuple[str | None, str | None, str, str | None, str | None, int | None]]] = [
    (BEDROCK, "USE1-openai.gpt-oss-120b-mantle-input-tokens-standard", "1K tokens",
     ("openai.gpt-oss-120b", "input_uncached", "standard", "regional", None, 1_000)),
    (BEDROCK, "USE1-Nova2.0Lite-input-tokens-cross-region-global-batch", "1K tokens",
     ("Nova2.0Lite", "input_uncached", "batch", "global", None, 1_000)),
    (BEDROCK, "USE1-Nova2.0Pro-text-input-tokens-priority-cross-region-global", "1K tokens",
     ("Nova2.0Pro", "input_uncached", "priority", "global", None, 1_000)),
    (BEDROCK, "EUC1-gpt-oss-120b-output-tokens-flex", "1K tokens",
     ("gpt-oss-120b", "output", "flex", "regional", None, 1_000)),
    ("AmazonBedrockService", "USE1-Claude4.6Sonnet-cache-read-input-token-count", "1K tokens",
     ("Claude4.6Sonnet", "input_cache_read", "standard", "regional", None, 1_000)),
    ("AmazonBedrockService", "USW2-anthropic.claude-opus-4-8-mantle-cache-write-tokens-global-standard", "1K tokens",
     ("anthropic.claude-opus-4-8", "input_cache_write_5m", "standard", "global", None, 1_000)),
    ("AmazonBedrockService", "USE1-Claude4.6Sonnet-cache-write-1h-input-token-count", "1K tokens",
     ("Claude4.6Sonnet", "input_cache_write_1h", "standard", "regional", None, 1_000)),
    (EDITION, "USE1-MP:USE1_InputTokenCount_Global_Batch-Units", "Units",
     ("Claude Opus 5", "input_uncached", "batch", "global", None, 1_000_000)),
    # The unit is what the line says, whatever its usage type ends with.
    (EDITION, "USE1-MP:USE1_OutputTokenCount-Units", "1K tokens",
     ("Claude Opus 5", "output", "standard", "regional", None, 1_000)),
    (EDITION, "USE1-MP:USE1_CacheWrite1hInputTokenCount-Units", "Units",
     ("Claude Opus 5", "input_cache_write_1h", "standard", "regional", None, 1_000_000)),
    (EDITION, "USW2-MP:USW2_input_tokens_long_ctx_global_standard-Units", "Units",
     ("Claude Opus 5", "input_uncached", "standard", "global", "long", 1_000_000)),
    ("AmazonBedrockFoundationModels", "USE1_input_tokens_standard-Units", "Units",
     (None, "input_uncached", "standard", "regional", None, 1_000_000)),
    (BEDROCK, "USE1-Llama3-ProvisionedThroughput-ModelUnits", "Hrs", (None, None, "standard", None, None, None)),
    (BEDROCK, "USE1-Guardrail-TextUnitContentPolicy", "1K Text Units", (None, None, "standard", None, None, None)),
    (BEDROCK, "USE1-Nova2.0Lite-input-tokens-flex", "Furlongs",
     ("Nova2.0Lite", "input_uncached", "flex", "regional", None, None)),
    ("Azure OpenAI", "gpt 4o 1120 cached Inp glbl Tokens", "1K",
     ("gpt 4o 1120", "input_cache_read", "standard", "global", None, 1_000)),
    ("Cognitive Services", "gpt 4o 0513 Input Data Zone Tokens", "1K",
     ("gpt 4o 0513", "input_uncached", "standard", "data_zone", None, 1_000)),
    ("Foundry Models", "GPT 5 outpt Glbl 1M Tokens", "1M",
     ("GPT 5", "output", "standard", "global", None, 1_000_000)),
    ("Foundry Models", "5 mini pp cd Inp Dz", "1M",
     ("5 mini", "input_cache_read", "priority", "data_zone", None, 1_000_000)),
    ("Foundry Models", "5.5 ShortCo inp Gl 1M Tokens", "1M",
     ("5.5", "input_uncached", "standard", "global", "short", 1_000_000)),
    ("Foundry Models", "GPT 5.6 Sol short context cache writes input Global", "1M",
     ("GPT 5.6 Sol", "input_cache_write_5m", "standard", "global", "short", 1_000_000)),
    ("Foundry Models", "Phi-4-Input Tokens", "1K", ("Phi-4", "input_uncached", "standard", None, None, 1_000)),
    ("Azure OpenAI", "gpt-4o-0806-Inp-glbl Tokens", "1K",
     ("gpt-4o-0806", "input_uncached", "standard", "global", None, 1_000)),
    ("Azure OpenAI", "gpt-4o-mini-0718-cached-Inp-Data-Zone Tokens", "1K",
     ("gpt-4o-mini-0718", "input_cache_read", "standard", "data_zone", None, 1_000)),
    # What Microsoft's FOCUS export calls the service.
    ("Azure AI Services", "gpt 4o 1120 cached Inp glbl Tokens", "1K",
     ("gpt 4o 1120", "input_cache_read", "standard", "global", None, 1_000)),
    ("Azure OpenAI Service", "GPT 5 outpt Glbl 1M Tokens", "Units",
     ("GPT 5", "output", "standard", "global", None, None)),
    ("Cognitive Services", "S1 Text Translation input characters", "1M", (None, None, "standard", None, None, None)),
    ("Cognitive Services", "Standard Input Images", "1K", (None, None, "standard", None, None, None)),
    ("Azure OpenAI", "GPT 5 Inp glbl Tokens", "0", ("GPT 5", "input_uncached", "standard", "global", None, None)),
    ("Azure OpenAI", "Provisioned Managed Global Unit", "1 Hour", (None, None, "standard", "global", None, None)),
    ("Gemini API", "Generate content output token count gemini 2.5 flash short input text", "count",
     ("gemini 2.5 flash", "output", "standard", None, "short", 1)),
    ("Gemini API", "Generate_content cached text input token count for gemini 3 flash", "count",
     ("gemini 3 flash", "input_cache_read", "standard", None, None, 1)),
    ("Gemini API", "GenerateContent text input token count for Gemini 2.0 Flash", "requests",
     ("Gemini 2.0 Flash", "input_uncached", "standard", None, None, 1)),
    ("Vertex AI", "Gemini 2.5 Pro Thinking Text Output - Predictions", "count",
     ("Gemini 2.5 Pro", "output", "standard", None, None, 1)),
    ("Vertex AI", " Gemini 2.5 Flash GA Input Text Caching (Long)", "count",
     ("Gemini 2.5 Flash", "input_cache_read", "standard", None, "long", 1)),
    ("Vertex AI", "Gemini 2.5 Flash Lite Text Input - Predictions", "count",
     ("Gemini 2.5 Flash Lite", "input_uncached", "standard", None, None, 1)),
    ("Vertex AI", "Claude Haiku 4.5 Input Tokens", "count",
     ("Claude Haiku 4.5", "input_uncached", "standard", None, None, 1)),
    ("Vertex AI", "Claude Haiku 4.5 Output Tokens", "1M tokens",
     ("Claude Haiku 4.5", "output", "standard", None, None, 1_000_000)),
    ("Vertex AI", "Claude Opus 5 Output Tokens", "h", ("Claude Opus 5", "output", "standard", None, None, None)),
    ("Vertex AI", "Gemini 2.5 Flash Cache Storage hours", "h",
     ("Gemini 2.5 Flash", None, "standard", None, None, None)),
    ("Vertex AI", "Online prediction A100 in Iowa", "h", (None, None, "standard", None, None, None)),
]  # fmt: skip


def said(found: ModelMeter) -> tuple[str | None, str | None, str, str | None, str | None, int | None]:
    return (
        found.model, found.token_class, found.service_tier, found.inference_geo, found.context_window,
        found.tokens_per_unit,
    )  # fmt: skip


@pytest.mark.parametrize(("service", "meter", "unit", "expected"), METERS, ids=[meter for _, meter, *_ in METERS])
def test_a_meter_says_whose_token_it_counts(service: str, meter: str, unit: str | None, expected: object) -> None:
    found = model_meter(service=service, meter=meter, unit=unit)
    assert found is not None
    assert said(found) == expected


@given(*[st.one_of(st.none(), st.text(max_size=60)) for _ in range(3)])
def test_no_name_is_too_strange(service: str | None, meter: str | None, unit: str | None) -> None:
    """A name is somebody else's: whatever it is, a price is not made up of it."""
    for hosts in (service, BEDROCK, EDITION, "Azure OpenAI", "Vertex AI"):
        found = model_meter(service=hosts, meter=meter, unit=unit)
        assert found is None or found.tokens_per_unit is None or found.token_class is not None


def test_other_services_are_no_models() -> None:
    assert model_meter(service="AmazonEC2", meter="USE1-BoxUsage:m7i.large", unit="Hrs") is None
    assert model_meter(service=None, meter="input-tokens", unit="1K tokens") is None


def test_every_service_that_hosts_models_is_asked_for() -> None:
    services = {service for service, *_ in METERS}
    assert all(re.search(SERVICES, service.lower()) for service in services)


def test_the_collected_names_of_bedrock_and_azure_are_read_as_they_were_told() -> None:
    if not SHARED.is_dir():
        pytest.skip(f"no collected names in {SHARED.name}")
    classes = {"input": "input_uncached", "cache_read": "input_cache_read", "cache_write": "input_cache_write_5m",
               "cache_write_1h": "input_cache_write_1h", "output": "output"}  # fmt: skip
    with (SHARED / "aws_bedrock" / "usage_type_strings.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            unit = row["unit"].split(" (")[0]
            found = model_meter(service=row["offer_or_product_code"], meter=row["usage_type"], unit=unit)
            assert found is not None
            assert found.token_class == classes[row["token_class"]], row
            assert (found.model is not None) == (row["model_where"] == "in usage type"), row
            assert (found.inference_geo == "global") == ("global" in row["tier"]), row
            assert found.service_tier == next(
                (t for t in ("batch", "flex", "priority") if t in row["tier"]), "standard"
            )
            assert found.tokens_per_unit == (1_000 if unit == "1K tokens" else 1_000_000), row
    with (SHARED / "azure" / "meter_names.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            found = model_meter(service="Foundry Models", meter=row["meter_name"], unit=row["unit_of_measure"])
            assert found is not None
            assert found.token_class is not None, row
            assert found.model, row
            assert found.tokens_per_unit in (1_000, 1_000_000), row
