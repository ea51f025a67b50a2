"""A bill that names its keys by labels beside a meter of key ids: the explanation follows tokens that charges share."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from pipeline.decisions.graph import shipped_graph
from pipeline.explain.api_costs import CostFigure, explain_cost
from pipeline.explain.evidence import Evidence
from pipeline.explain.explanation import Explanation
from tests.pipeline.small_project import (
    CONSOLE,
    CONSOLE_NAME,
    USAGE_API,
    SmallProject,
    api_page,
    console_csv,
    console_row,
    source,
    usage_result,
)

DAY = date(2026, 11, 2)
BILL = [
    console_row("2026-11-02", "3.00", api_key="nightly"),
    console_row("2026-11-02", "1.00", api_key="daily"),
    console_row("2026-11-02", "0.50", api_key="apikey_9", token_type="input_no_cache"),
    console_row("2026-11-03", "0.25", api_key="daily"),
]
METER = {
    "2026-11-02": [
        usage_result(api_key_id="apikey_1", output_tokens=30),
        usage_result(api_key_id="apikey_2", output_tokens=11),
        usage_result(api_key_id="apikey_9", uncached_input_tokens=500),
    ]
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    folder: Path = tmp_path_factory.mktemp("labels")
    small = SmallProject(folder, [source(CONSOLE, "main"), source(USAGE_API, "main")])
    small.drop(CONSOLE, "main", CONSOLE_NAME, console_csv(BILL))
    small.drop(USAGE_API, "main", "usage.json", api_page(METER))
    return small


def explained(project: SmallProject, **filters: str) -> Explanation:
    snapshot = project.run().result.snapshot
    opened = project.project
    with Evidence(
        snapshot, landing=opened.landing, datasets=shipped_graph().datasets, cache=opened.paths.cache
    ) as evidence:
        figure = CostFigure(from_date=DAY, to_date=DAY + timedelta(days=1), account="main", **filters)  # type: ignore[arg-type]
        return explain_cost(evidence, figure)


@pytest.mark.parametrize("filters", [{}, {"api_key": "nightly"}, {"token_class": "output"}])
def test_tokens_that_charges_share_are_traced_to_all_of_the_meter_that_they_share(
    project: SmallProject, filters: dict[str, str]
) -> None:
    """B12: a label has no tokens of its own; those of its cell add up over the rows that share them."""
    explanation = explained(project, **filters)
    assert explanation.holds, explanation.equalities
    shared = [found for found in explanation.equalities if "share them" in found.claim]
    assert [found.left for found in shared] == [41]
    metered = next(rows for rows in explanation.objects if rows.title == "Metered rows")
    assert len(metered.rows) == (2 if filters else 3)
    assert any("by its part of their money" in line for line in explanation.formula)


def test_tokens_of_a_key_spelled_alike_are_its_own(project: SmallProject) -> None:
    """B12: nothing is shared where the bill and the meter say the same key."""
    explanation = explained(project, api_key="apikey_9")
    assert explanation.holds, explanation.equalities
    assert not [found for found in explanation.equalities if "share them" in found.claim]
    assert [found.left for found in explanation.equalities if "1 metered counts" in found.claim] == [500]
