"""OpenAI's pages from delivery to mart: restated, overlapping, out of order, and every bucket once."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.build.landed_tables import read_landed
from pipeline.landing.landing import Landing
from pipeline.landing.store import FolderStore
from pipeline.sources import openai_costs_api, openai_usage_api
from pipeline.sources.source import Source
from tests.models.api_harness import API_CHECKS, Row, broken_laws, build_tables, rows_of
from tests.models.openai_rows import COMPLETIONS, COSTS, openai_sources
from tests.sources.openai_admin_api import bucket, page

FIRST = date(2026, 11, 1)
NOW = datetime(2026, 11, 20, tzinfo=UTC)
MART = "fct_api_costs_daily"
# (first day, days, stated on day, what each of its days is said to be)
Delivery = tuple[int, int, int, int]


def _day(offset: int) -> str:
    return (FIRST + timedelta(days=offset)).isoformat()


def _pages(kind: str, delivery: Delivery) -> bytes:
    first, days, _, amount = delivery
    results: dict[str, dict[str, Any]] = {
        "costs": {
            "object": "organization.costs.result",
            "amount": {"value": amount, "currency": "usd"},
            "line_item": "gpt-5-mini, output",
            "project_id": "proj_a",
        },
        "completions": {
            "object": "organization.usage.completions.result",
            "input_tokens": 0,
            "output_tokens": amount,
            "model": "gpt-5-mini-2025-08-07",
            "project_id": "proj_a",
        },
    }
    return page(*(bucket(_day(first + offset), *([results[kind]] if amount else [])) for offset in range(days)))


def _landed_rows(cache: Path, source: Source, kind: str, deliveries: Sequence[Delivery]) -> list[Row]:
    """The rows that count of the pages, dropped one after the other, each an hour after the one before."""
    landing = Landing(FolderStore(cache / "landing"))
    for number, delivery in enumerate(deliveries):
        stamp = datetime.combine(FIRST, datetime.min.time(), tzinfo=UTC) + timedelta(days=delivery[2], hours=12)
        fetched = source.drop(f"{kind}_{stamp:%Y%m%dT%H%M%S}Z.json", _pages(kind, delivery), {})
        landing.land(fetched, source=source.name, account="acme", now=NOW + timedelta(hours=number))
    landed = read_landed(
        landing.contents(), datasets=source.datasets, landing=landing, cache=cache, as_of=NOW + timedelta(days=9)
    )
    assert landed.quarantined == ()
    view = next(name for name in landed.relations if name.endswith(f"__{kind}"))
    result = duckdb.connect().execute(landed.relations[view].sql(None))
    columns = [column[0] for column in result.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]


def _expected(deliveries: Sequence[Delivery]) -> dict[date, int]:
    """By the words of the rule: a day is what the last statement made after its end, by who was asked for it, says."""
    said: dict[int, tuple[tuple[int, int], int]] = {}
    for number, (first, days, stated, amount) in enumerate(deliveries):
        for day in range(first, first + days):
            newness = stated, number
            if day <= stated and (day not in said or said[day][0] < newness):
                said[day] = newness, amount
    return {FIRST + timedelta(days=day): amount for day, (_, amount) in said.items() if amount}


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    deliveries=st.lists(
        st.tuples(st.integers(0, 6), st.integers(1, 6), st.integers(0, 14), st.integers(0, 99)).filter(
            lambda delivery: delivery[0] <= delivery[2]
        ),
        min_size=1,
        max_size=6,
        unique_by=lambda delivery: delivery[2],
    )
)
def test_whatever_overlaps_in_whatever_order_each_bucket_counts_once(
    tmp_path_factory: pytest.TempPathFactory, deliveries: list[Delivery]
) -> None:
    """B9, B10: trailing windows, a month beside them, late files and restated days: the newest word on each day."""
    cache = tmp_path_factory.mktemp("deliveries")
    costs = _landed_rows(cache / "costs", openai_costs_api.SOURCE, "costs", deliveries)
    usage = _landed_rows(cache / "usage", openai_usage_api.SOURCE, "completions", deliveries)
    tables = {"config_sources": openai_sources(), COSTS: costs, COMPLETIONS: usage}
    built = build_tables(cache / "built", tables, [MART, *API_CHECKS])
    assert broken_laws(built) == []
    rows = rows_of(built, MART)
    assert {row["usage_date"]: row["billed_cost"] for row in rows} == {
        day: Decimal(amount) for day, amount in _expected(deliveries).items()
    }
    assert {row["usage_date"]: row["tokens"] for row in rows} == _expected(deliveries)
    assert {row["attribution"] for row in rows} <= {"allocated"}


def test_a_trailing_week_beside_a_month_is_the_month(tmp_path: Path) -> None:
    """B9: seven daily pulls of a week and one of a month are seven days once, as last said."""
    pulls: list[Delivery] = [(max(0, day - 6), min(day, 6) + 1, day + 1, 100 + day) for day in range(7)]
    month: Delivery = (0, 7, 9, 5)
    costs = _landed_rows(tmp_path, openai_costs_api.SOURCE, "costs", [month, *pulls])
    assert [(row["usage_date"], row["amount"]) for row in sorted(costs, key=lambda row: row["usage_date"])] == [
        (FIRST + timedelta(days=day), "5") for day in range(7)
    ]
