"""`explain` of what accrues of usage that an issuer reports: from the figure to the rows of its export."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from pipeline.decisions.graph import shipped_graph
from pipeline.explain.evidence import Evidence
from pipeline.explain.explanation import Explanation
from pipeline.explain.gpu_costs import WasteFigure, explain_waste
from tests.pipeline.small_project import SmallProject, source

DAY = date(2026, 11, 2)
HEADER = "ChargePeriodStart,ChargePeriodEnd,ConsumedQuantity,ConsumedUnit,SkuId"
ROWS = (
    f"{DAY}T05:00:00Z,{DAY}T06:00:00Z,16.333333333,GPU Hours,h100",
    f"{DAY}T06:00:00Z,{DAY}T07:00:00Z,0.1,GPU Hours,h100",
    f"{DAY}T06:00:00Z,{DAY}T07:00:00Z,2,Instance Hours,h100",
    f"{DAY}T06:00:00Z,{DAY}T07:00:00Z,900,GB Hours,h100",
)
POOL = {
    "issuer": "coreweave", "resource_id": "h100", "pool": ["n-1", "n-2"], "gpu_count": 16,
    "contract_rate_per_gpu_hour": "2.123456789123", "from": str(DAY),
}  # fmt: skip


@pytest.fixture(scope="module")
def explanation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explanation]:
    made = SmallProject(
        tmp_path_factory.mktemp("reported") / "p",
        [source("focus_usage", "coreweave")],
        {"gpu_resources": [POOL]},
    )
    made.drop("focus_usage", "coreweave", "usage.csv", "".join(f"{row}\n" for row in (HEADER, *ROWS)).encode())
    now = datetime(2026, 11, 4, 6, tzinfo=UTC)
    snapshot = made.run(now=now).result.snapshot
    project = made.project
    with Evidence(
        snapshot, landing=project.landing, datasets=shipped_graph().datasets, cache=project.paths.cache
    ) as evidence:
        yield explain_waste(evidence, WasteFigure(from_date=DAY, to_date=DAY + timedelta(days=2)))


def rows(explanation: Explanation, title: str) -> list[dict[str, Any]]:
    found = next(table for table in (*explanation.inputs, *explanation.objects) if table.title == title)
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def test_what_accrues_is_recomputed_from_the_rows_that_say_what_was_used(explanation: Explanation) -> None:
    """By hand: 16.433333333 and two instances of eight are 32.433333333 GPU-hours; the 3rd is around the clock."""
    assert explanation.holds, explanation.equalities
    used = rows(explanation, "Usage that the issuer reports")
    assert [(row["where"], row["reported_gpu_hours"]) for row in used] == [
        ("row 2", Decimal("16.333333333")),
        ("row 3", Decimal("0.1")),
        ("row 4", Decimal(16)),
    ]
    steps = {row["usage_date"]: row for row in rows(explanation, "From the bill to the resource-day")}
    assert steps[DAY]["arithmetic"] == (
        "2.123456789123 per GPU-hour x 32.433333333 GPU-hours that the issuer reports (no bill yet)"
    )
    assert steps[DAY]["cost"] == Decimal("68.870781859848147737")
    assert "16 GPUs x 24 h" in steps[DAY + timedelta(days=1)]["arithmetic"]
    assert any("GPU-hours that it reports" in line for line in explanation.formula)
