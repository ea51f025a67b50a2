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

DAYS = (date(2026, 10, 31), date(2026, 11, 1))


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
        ],
        CONSOLE: [
            console_line(day, "1.10", api_key=key, api_key_id=key_id)
            for day in DAYS
            for key in ("", "nightly", "nightly")
            for key_id in (None, "k")
        ],
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
        ],
        "calendar": days_until(DAYS[0], as_of=utc("2026-11-02 06:00")),
        "config_sources": configured_sources(
            {"source": "anthropic_cost_api", "issuer": "anthropic", "role": "book"},
            {"source": "anthropic_console_csv", "issuer": "anthropic", "role": "book"},
        ),
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
    assert empty.nodes[name].columns == (("law", "VARCHAR"), ("scope", "VARCHAR"), ("detail", "VARCHAR"))
    assert rows_of(empty, name) == []
