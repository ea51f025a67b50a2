"""A whole company fits on a page that a person likes to read, and the short forms say what the long ones do."""

from pathlib import Path

import pytest
import yaml

from pipeline.config.file import load_config, parse_config
from pipeline.config.whole import Config
from pipeline.errors import ConfigError
from pipeline.landing.records import canonical
from pipeline.sources.ingest import check_sources

FILE = Path(__file__).parent / "whole_company.yaml"


def landed(config: Config) -> str:
    return canonical(config.model_dump(mode="json", by_alias=True))


def test_a_whole_company_fits_in_about_forty_lines() -> None:
    lines = [line for line in FILE.read_text().splitlines() if line.strip()]
    assert len(lines) <= 42
    assert max(map(len, lines)) <= 140
    config = load_config(FILE)
    check_sources(config)
    by_source = [source.source for source in config.sources]
    assert sum(name in ("anthropic_cost_api", "openai_costs_api") for name in by_source) == 3
    assert {source.account for source in config.sources if source.source in ("aws_cur2", "invoice_csv")} == {
        "aws",
        "gpu-cloud",
    }
    assert "owned_gpus" in by_source
    usage = next(source for source in config.sources if source.source == "focus_usage")
    assert usage.account in {resource.issuer for resource in config.gpu_resources}, "what it counts has a rate"
    assert (len(config.deployments), len(config.workloads)) == (6, 4)
    assert {workload.team for workload in config.workloads} == {"support", "search", "engineering"}
    assert [workload.pinned_to for workload in config.workloads if workload.pin_reason] == ["api"]
    assert len(config.overheads) == 3
    assert [budget.scope for budget in config.budgets] == [
        ("organisation", None), ("team", "support"), ("workload", "coding")
    ]  # fmt: skip
    assert config.slack.channel == "#llm-costs"


def test_an_entry_for_both_exports_of_an_api_is_these_two() -> None:
    short = "company: a\nsources:\n  - {source: anthropic_api, account: main, key_env: K, horizon: 2026-10-01}\n"
    long = "company: a\nsources:\n" + "".join(
        f"  - {{source: {name}, account: main, key_env: K, horizon: 2026-10-01}}\n"
        for name in ("anthropic_cost_api", "anthropic_usage_api")
    )
    assert landed(parse_config(short)) == landed(parse_config(long))
    with pytest.raises(ConfigError, match=r"sources is 'anthropic_cost_api/main'\. Declared twice"):
        parse_config(short + "  - {source: anthropic_cost_api, account: main}\n")
    with pytest.raises(ConfigError, match=r"sources\.1\.horizn"):
        parse_config(short + "  - {source: openai_api, account: main, horizn: 2026-10-01}\n")
    with pytest.raises(ConfigError, match=r"There are: .*anthropic_api.*openai_api"):
        check_sources(parse_config(short.replace("anthropic_api", "antropic_api")))


def test_one_name_or_one_rule_stands_for_a_list_of_it() -> None:
    said = {
        "company": "a",
        "deployments": [{"deployment": "d", "model": "m", "gpus_per_replica": 1, "served_names": "n", "hosts": "h"}],
        "workloads": [{"workload": "w", "match": {"deployment": "d"}}],
    }
    listed = {
        "company": "a",
        "deployments": [
            {"deployment": "d", "model": "m", "gpus_per_replica": 1, "served_names": ["n"], "hosts": ["h"]}
        ],
        "workloads": [{"workload": "w", "match": [{"deployment": "d"}]}],
    }
    assert landed(parse_config(yaml.safe_dump(said))) == landed(parse_config(yaml.safe_dump(listed)))
    for wrong, words in (
        ({"match": {"deploymnt": "d"}}, "Did you mean 'deployment'"),
        ({"match": 3}, "match is 3"),
        ({"match": []}, r"match is \[\]"),
    ):
        with pytest.raises(ConfigError, match=words):
            parse_config(yaml.safe_dump({**listed, "workloads": [{"workload": "w", **wrong}]}))
