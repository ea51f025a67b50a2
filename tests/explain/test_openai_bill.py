"""OpenAI's bill and meters are traced to their pages by what traces every other."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from pipeline.decisions.graph import shipped_graph
from pipeline.explain.api_costs import CostFigure, explain_cost
from pipeline.explain.evidence import Evidence
from pipeline.explain.explanation import Explanation
from tests.pipeline.small_project import SmallProject, source

COSTS, USAGE = "openai_costs_api", "openai_usage_api"
DAY = date(2026, 11, 2)
MODEL = "gpt-5-mini-2025-08-07"


def page(kind: str, results: Sequence[Mapping[str, Any]], *, hours: int) -> bytes:
    """The page of a day and the one before: an empty bucket, one with the results, and the day's last one."""
    start = int(datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC).timestamp())
    named = [{"object": f"organization.{kind}.result", **result} for result in results]
    buckets = [
        {"object": "bucket", "start_time": start + 3600 * at, "end_time": start + 3600 * (at + hours), "results": held}
        for at, held in ((-24, []), (0, named), *(() if hours == 24 else ((24 - hours, []),)))
    ]
    return json.dumps({"object": "page", "data": buckets, "has_more": False, "next_page": None}).encode()


def charged(value: float, line_item: str, **fields: Any) -> dict[str, Any]:
    return {"amount": {"value": value, "currency": "usd"}, "line_item": line_item, "project_id": "proj_1", **fields}


BILL = [
    charged(0.12, f"{MODEL}, output"),
    charged(3.3333333333333335e-07, f"{MODEL}, cached input"),
    charged(0.5, f"flex | {MODEL}, output"),
    charged(2.5, "web search tool calls | " + MODEL),
]
METER = [
    {"model": MODEL, "input_tokens": 100, "input_cached_tokens": 100, "output_tokens": 10, "service_tier": "default"},
    {"model": MODEL, "input_tokens": 0, "output_tokens": 20, "service_tier": "default", "api_key_id": "key_2"},
    {"model": MODEL, "input_tokens": 0, "output_tokens": 7, "service_tier": "flex", "api_key_id": "key_2"},
]


@pytest.fixture(scope="module")
def explanation(tmp_path_factory: pytest.TempPathFactory) -> Explanation:
    folder: Path = tmp_path_factory.mktemp("openai")
    small = SmallProject(folder, [source(COSTS, "org"), source(USAGE, "org")])
    common = {"project_id": "proj_1", "api_key_id": "key_1", "batch": False, "num_model_requests": 1}
    small.drop(COSTS, "org", "costs.json", page("costs", BILL, hours=24))
    small.drop(USAGE, "org", "completions.json", page("usage.completions", [common | row for row in METER], hours=1))
    snapshot, opened = small.run().result.snapshot, small.project
    datasets = shipped_graph().datasets
    with Evidence(snapshot, landing=opened.landing, datasets=datasets, cache=opened.paths.cache) as evidence:
        return explain_cost(evidence, CostFigure(from_date=DAY, to_date=DAY + timedelta(days=1)))


def rows(explanation: Explanation, title: str) -> list[dict[str, Any]]:
    found = next(table for table in explanation.objects if table.title == title)
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def test_every_line_of_the_bill_is_traced_to_its_result(explanation: Explanation) -> None:
    """B7, B12: amounts as they are held and as they are spelled, at their page, bucket and result."""
    assert explanation.holds, explanation.equalities
    lines = rows(explanation, "Bill lines")
    assert {line["where"] for line in lines} == {f"page 1, bucket 2, result {at}" for at in range(1, 5)}
    assert sum(Fraction(line["amount"]) for line in lines) == Fraction("3.120000333333333333")
    spelled = {str(line["says"]["amount"]["value"]) for line in lines}
    assert spelled == {"0.12", "3.3333333333333335e-07", "0.5", "2.5"}


def test_every_metered_count_is_traced_to_its_result(explanation: Explanation) -> None:
    """B1: what was cached is inside the input that the meter counts, and beside it here."""
    counts = {(row["where"], row["token_class"]): row["metered_count"] for row in rows(explanation, "Metered rows")}
    assert counts == {
        ("page 1, bucket 2, result 1", "input_cache_read"): 100,
        ("page 1, bucket 2, result 1", "output"): 10,
        ("page 1, bucket 2, result 2", "output"): 20,
        ("page 1, bucket 2, result 3", "output"): 7,
    }


def test_where_to_look_outside_is_said_without_knowing_the_vendors_pages(explanation: Explanation) -> None:
    bill, meter = explanation.outside_check
    assert bill.startswith("openai_costs_api, org: 4 lines of costs.json, days 2026-11-02 to 2026-11-02")
    assert "expect 3.12 USD; their amounts sum to 3.120000333333333333." in bill
    assert meter.endswith("same days and filters: expect input_cache_read 100, output 37.")
