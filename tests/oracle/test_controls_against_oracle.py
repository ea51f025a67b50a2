"""A Console CSV beside the API's bill: both routes to their differences, from the same bytes."""

from fractions import Fraction
from pathlib import Path

import yaml

from pipeline.paths import models_root
from tests.models.cloud_harness import cloud_graph
from tests.oracle import api
from tests.oracle.compare import differences
from tests.oracle.controls import Export, Stated, control_rows
from tests.oracle.coverage import covered_days
from tests.oracle.landed import Project, read_project
from tests.oracle.spool import read_spool
from tests.pipeline.small_project import (
    CONSOLE,
    CONSOLE_NAME,
    COST_API,
    DAYS,
    NOW,
    SmallProject,
    api_page,
    console_csv,
    console_row,
    cost_result,
    source,
)

MART = "fct_control_differences_daily"


def _stated(project: Project) -> list[Stated]:
    """What either export states, the API's being the book."""
    of_api = Export("anthropic", "main", COST_API, "cost_report")
    of_console = Export("anthropic", "main", CONSOLE, "console_cost")
    return [
        *(
            Stated(cell.usage_date, of_api, True, cell.model, charge.currency, Fraction(charge.quanta, 10**18))
            for (cell, _), charge in api._cost_report(project).items()
        ),
        *(
            Stated(cell.usage_date, of_console, False, cell.model, charge.currency, Fraction(charge.quanta, 10**18))
            for (cell, _), charge in api._console(project).items()
        ),
    ]


def test_every_difference_is_the_second_routes(tmp_path: Path) -> None:
    """B9, B22: a model that only one of them names, a day that only one states."""
    made = SmallProject(tmp_path, [source(COST_API, "main"), source(CONSOLE, "main", role="control")])
    search = cost_result("50.5", cost_type="web_search", model=None, token_type=None)
    page = {DAYS[0]: [cost_result("123.4567"), search], DAYS[1]: [cost_result("7")], DAYS[2]: [cost_result("300")]}
    made.drop(COST_API, "main", "costs-20261104T060000Z.json", b"[" + api_page(page) + b"]")
    rows = [
        console_row(DAYS[0], "1.23"),
        console_row(DAYS[0], "0.40", model="Claude Sonnet 4.6"),
        console_row(DAYS[1], "0.07"),
    ]
    made.drop(CONSOLE, "main", CONSOLE_NAME.replace("11_03", "11_02"), console_csv(rows))
    made.ingest()
    answers = made.build(graph=cloud_graph([MART]))
    project = read_project(made.project.paths.root, as_of=NOW)
    coverage = covered_days(project, read_spool(project))
    expected = control_rows(project, coverage, api_costs={}, cloud_charges={}, api_controls=_stated(project))
    assert len(expected) == 4
    grain = tuple(yaml.safe_load((models_root() / "marts" / f"{MART}.yml").read_text(encoding="utf-8"))["grain"])
    assert differences(published=answers.rows(f"select * from {MART}"), expected=expected, grain=grain) == []
