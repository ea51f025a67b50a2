"""Every API table is what its `.yml` says: columns, types, grain; with rows and without."""

from datetime import date
from typing import Any

import pytest
import yaml

from pipeline.build.runner import Built
from pipeline.paths import models_root
from tests.models.api_harness import (
    API_CHECKS,
    API_TABLES,
    CONSOLE,
    COSTS,
    SELF_HOST,
    USAGES,
    build_tables,
    configured_sources,
    console_line,
    cost_line,
    covered,
    days_until,
    rows_of,
    usage_row,
    utc,
)
from tests.models.openai_rows import (
    COMPLETIONS,
    CSV_COMPLETIONS,
    CSV_COSTS,
    CSV_DECISIONS,
    charge,
    of_project,
    openai_sources,
    usage_view,
    used,
)
from tests.models.openai_rows import COSTS as OPENAI_COSTS

DAYS = (date(2026, 10, 31), date(2026, 11, 1))
LOGS = "landed_litellm_spend_logs__requests"
GENERATIONS = "landed_openrouter_generations__generations"
ROUTER = "landed_api_bills__lines"
METER = "landed_fireworks_costs__usage"
# Known by the day only, and seen by a gateway: 2 x 2 x 6 requests of 2 and 1 tokens, each in two files.
SHAPED = {"model": "claude-sonnet-5", "service_tier": "standard"}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Built:
    nothing: dict[str, list[Any]] = {"config_company": [], "config_sources": []}
    return build_tables(tmp_path_factory.mktemp("empty"), nothing, [*API_TABLES, *API_CHECKS])


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Built:
    dims = [
        {"model": model, "workspace_id": workspace, "inference_geo": geography, "service_tier": tier}
        for model in ("claude-opus-4-8", "claude-haiku-4-5-20251001", "claude-haiku-4-5")
        for workspace in (None, "wrkspc_1")
        for geography in (None, "global")
        for tier in ("standard", "batch", "priority")
    ]
    tables: dict[str, list[Any]] = {
        COSTS: [
            cost_line(day, "1.1", currency=currency, speed=speed, **dim)
            for day in DAYS
            for dim in dims
            for currency in ("USD", "EUR")
            for speed in (None, "fast")
        ],
        USAGES: [
            usage_row(day, hour=hour, hours=hours, api_key_id=key, output_tokens=3, web_search_requests=1, **dim)
            for day in DAYS
            for dim in dims
            for key in (None, "a")
            for hour, hours in ((0, 1), (0, 1), (0, 24), (7, 1))
        ]
        + [usage_row(day, hours=24, uncached_input_tokens=48, output_tokens=24, **SHAPED) for day in DAYS],
        LOGS: [
            {
                "account": "gateway",
                "usage_date": day,
                "request_hash": f"{day}-{hour}-{key}-{team}",
                "started_at": utc(f"{day} 0{hour}:30"),
                "custom_llm_provider": "anthropic",
                "model": model,
                "api_key_hash": key,
                "team_id": team,
                "prompt_tokens": 2,
                "completion_tokens": 1,
                "is_cache_hit": False,
            }
            for day in DAYS
            for hour in range(6)
            for key in (None, "k")
            for team in (None, "t")
            for model in (SHAPED["model"], f"anthropic/{SHAPED['model']}")
            for _ in range(2)
        ],
        GENERATIONS: [
            {
                "account": "router",
                "usage_date": day,
                "request_hash": f"{day}-{hour}-{key}",
                "started_at": utc(f"{day} 0{hour}:30"),
                "provider_name": "Anthropic",
                "model_permaslug": model,
                "api_key_name": key,
                "tokens_prompt": 2,
                "tokens_completion": 1,
                "is_own_key": True,
            }
            for day in DAYS
            for hour in range(2)
            for key in (None, "k")
            for model in ("anthropic/claude-opus-4.5", "anthropic/claude-4.5-opus-20251124")
            for _ in range(2)
        ],
        ROUTER: [
            {
                "account": "router",
                "source": "openrouter_activity",
                "usage_date": day,
                "provider": "openrouter",
                "model": model,
                "charge_kind": "other" if token_class is None else "tokens",
                "token_class": token_class,
                "class_split": None if token_class is None or amount is None else split,
                "service_tier": "standard",
                "tokens": None if token_class is None else 5,
                "amount": amount,
                "currency": None if amount is None else currency,
            }
            for day in DAYS
            for model in (None, "llama")
            for token_class in (None, "output")
            for split in ("billed", "token_count")
            for amount in (None, "1.1", "1.1")
            for currency in ("USD", "EUR")
        ],
        METER: [
            {
                "account": "team",
                "usage_date": day,
                "usage_hour_at": utc(f"{day} 04:00"),
                "usage_type": kind,
                "accelerator_type": None if seconds is None else "H100",
                "base_model_name": model,
                "event_count": 2,
                "accelerator_seconds": seconds,
                "prompt_tokens": 5,
                "completion_tokens": 1,
                "cached_prompt_tokens": cached,
                "uncached_prompt_tokens": 3,
            }
            for day in DAYS
            for kind in (None, "TEXT_COMPLETION_INFERENCE_USAGE", "TRAINING")
            for seconds in (None, "0", "1.5")
            for model in (None, "llama")
            for cached in (None, 2, 3)
        ],
        CONSOLE: [
            console_line(day, "1.10", api_key=key, api_key_id=key_id)
            for day in DAYS
            for key in ("", "nightly", "nightly")
            for key_id in (None, "k")
        ],
        **{
            view: [
                charge(day, "1.1", line_item, currency=currency, project_id=project, quantity_unit=unit)
                for day in DAYS
                for line_item in (
                    None,
                    "gpt-5-mini, output",
                    "flex | gpt-5-mini, output",
                    "gpt-4o, input",
                    "Web search",
                )
                for currency in ("USD", "EUR")
                for project in (None, "proj_1")
                for unit in (None, "tokens", "tokens")
            ]
            for view in (OPENAI_COSTS, CSV_COSTS)
        },
        **{
            view: [
                used(day, hour=hour, hours=hours, project_id=project, model=model, **tier, **counts)
                for day in days
                for hour, hours in ((0, 1), (0, 1), (0, 24))
                for project in (None, "proj_1")
                for model in (None, "gpt-5-mini", "gpt-5-mini-2025-08-07")
                for tier in ({}, {"batch": True}, {"service_tier": "flex"}, {"service_tier": None})
                for counts in ({"input_tokens": 3}, {"input_tokens": 3, "input_cached_tokens": 9, "output_tokens": 1})
            ]
            for view, days in ((COMPLETIONS, DAYS[:1]), (CSV_COMPLETIONS, DAYS), (CSV_DECISIONS, DAYS))
        },
        usage_view("web_search_calls"): [of_project(day, num_requests=2, model="gpt-4o") for day in DAYS],
        usage_view("images"): [of_project(day, images=2, source="image.edit") for day in DAYS for _ in range(2)],
        SELF_HOST: [
            {
                "usage_date": DAYS[0],
                "usage_hour_at": utc("2026-10-31 04:00"),
                "deployment_id": deployment,
                "workload": "chat",
                "model": "llama",
                "token_class": "output",
                "tokens": 2,
            }
            for deployment in ("one", "two")
        ],
        "landed_coverage": [
            covered(day, source, "d", stated_at=utc("2026-11-02"), bucket=bucket)
            for day in DAYS
            for source in ("anthropic_cost_api", "invoice_csv")
            for bucket in ("one", "two")
        ]
        + [covered(DAYS[0], "openai_usage_api", "completions", stated_at=utc("2026-11-02"))],
        "calendar": days_until(DAYS[0], as_of=utc("2026-11-02 06:00")),
        "config_sources": [
            *configured_sources(
                {"source": "anthropic_cost_api", "issuer": "anthropic", "role": "book"},
                {"source": "anthropic_console_csv", "issuer": "anthropic", "role": "book"},
            ),
            *openai_sources(),
        ],
        "config_estimated_bills": [
            {
                "source": "litellm_spend_logs",
                "account": "gateway",
                "provider": "anthropic",
                "bill_issuer": "anthropic",
                "bill_account": "acme",
            }
        ],
        "config_workloads": [{"workload": "chat", "api_model": "claude-opus-5"}],
        "config_workload_rules": [{"rule_id": "chat#1", "workload": "chat", "api_key": "a"}],
    }
    return build_tables(tmp_path_factory.mktemp("filled"), tables, [*API_TABLES, *API_CHECKS])


def described(name: str) -> dict[str, Any]:
    [path] = models_root().rglob(f"{name}.yml")
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", API_TABLES)
def test_a_table_has_the_columns_and_types_it_describes(name: str, empty: Built, filled: Built) -> None:
    """B12, B23: nothing unnamed, nothing untyped, the same over nothing as over something."""
    declared = tuple((column, about["type"]) for column, about in described(name)["columns"].items())
    assert empty.nodes[name].columns == declared
    assert filled.nodes[name].columns == declared
    assert rows_of(empty, name) == []


@pytest.mark.parametrize("name", API_TABLES)
def test_a_table_has_one_row_per_grain(name: str, filled: Built) -> None:
    """B12: no join multiplies rows, over every mix of null and named dimensions."""
    about = described(name)
    rows = rows_of(filled, name)
    grains = [tuple(row[column] for column in about["grain"]) for row in rows]
    assert rows
    assert len(set(grains)) == len(grains)
    required = set(about["grain"]) - set(about.get("nullable_grain", []))
    assert [row for row in rows if any(row[column] is None for column in required)] == []


@pytest.mark.parametrize("name", API_CHECKS)
def test_a_check_over_nothing_finds_nothing(name: str, empty: Built) -> None:
    """B13: an empty installation breaks no law."""
    node = empty.nodes[name]
    dated = (("usage_date", "DATE"),) if node.is_dated else ()
    assert node.columns == (*dated, ("law", "VARCHAR"), ("scope", "VARCHAR"), ("detail", "VARCHAR"))
    assert rows_of(empty, name) == []
