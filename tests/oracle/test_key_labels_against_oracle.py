"""A Console bill beside the usage API, whose keys have other names: both routes, from the same bytes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.paths import models_root
from tests.oracle.api import api_figures
from tests.oracle.compare import differences
from tests.oracle.landed import read_project
from tests.oracle.unit_costs import unit_costs
from tests.pipeline.small_project import (
    CONSOLE,
    CONSOLE_NAME,
    DAYS,
    NOW,
    USAGE_API,
    Answers,
    SmallProject,
    api_page,
    console_csv,
    console_row,
    source,
    usage_result,
)

ACCOUNT = "acme"
HAIKU, SONNET = "claude-haiku-4-5-20251001", "claude-sonnet-4-6"
LINES = [
    # One label for two ids; three labels for one.
    console_row(DAYS[0], "9.99", api_key="web"),
    *(console_row(DAYS[0], "0.01", api_key=label, token_type="input_cache_read") for label in ("web", "app", "ops")),
    # Without a key, as without a key; a workspace by its name; nothing used; rounded to nothing.
    console_row(DAYS[1], "1.00", api_key=""),
    console_row(DAYS[1], "2.00", api_key="web"),
    console_row(DAYS[1], "7.13", model="Claude Sonnet 4.6", workspace="Production", api_key="web"),
    console_row(DAYS[1], "3.37", model="Claude Sonnet 4.6", workspace="Staging", api_key="ops"),
    console_row(DAYS[1], "0.50", token_type="input_no_cache"),
    console_row(DAYS[2], "0.00", api_key="web"),
    console_row(DAYS[2], "0.00", api_key="app"),
    # The same name on both sides: the others of the day are other keys.
    console_row(DAYS[2], "4.00", model="Claude Sonnet 4.6", api_key="key-1"),
    console_row(DAYS[2], "5.00", model="Claude Sonnet 4.6", api_key="web"),
]
USAGE = {
    DAYS[0]: [
        usage_result(output_tokens=1_000_003, cache_read_input_tokens=1_001),
        usage_result(api_key_id="key-2", output_tokens=700_001),
    ],
    DAYS[1]: [
        usage_result(api_key_id=None, output_tokens=200_000),
        usage_result(output_tokens=400_000),
        usage_result(model=SONNET, workspace_id="wrkspc_1", output_tokens=700_007),
        usage_result(model=SONNET, workspace_id="wrkspc_2", api_key_id="key-2", output_tokens=11),
    ],
    DAYS[2]: [
        usage_result(output_tokens=9),
        usage_result(model=SONNET, output_tokens=260_000),
        usage_result(model=SONNET, api_key_id="key-2", output_tokens=5),
    ],
}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Answers, dict[str, Any]]:
    """What was published, and what the second route makes of the same landing."""
    made = SmallProject(tmp_path_factory.mktemp("labels"), [source(CONSOLE, ACCOUNT), source(USAGE_API, ACCOUNT)])
    made.drop(CONSOLE, ACCOUNT, CONSOLE_NAME, console_csv(LINES))
    made.drop(USAGE_API, ACCOUNT, "usage-20261104T060000Z.json", api_page(USAGE))
    published = made.run()
    project = read_project(Path(made.project.paths.root), as_of=NOW)
    costs = api_figures(project).costs
    prices = unit_costs(project, api_costs=costs, gpu_costs={}, served={})
    return published, {"fct_api_costs_daily": costs, "fct_unit_costs_daily": prices}


@pytest.mark.parametrize("table", ["fct_api_costs_daily", "fct_unit_costs_daily"])
def test_both_routes_put_the_same_tokens_beside_the_same_money(
    both: tuple[Answers, dict[str, Any]], table: str
) -> None:
    """B12: names that differ between bill and meter change whose tokens are known, and no sum."""
    published, expected = both
    grain = yaml.safe_load((models_root() / "marts" / f"{table}.yml").read_text(encoding="utf-8"))["grain"]
    rows = published.rows(f"select * from {table}")
    assert not differences(published=rows, expected=expected[table], grain=tuple(grain), shown=30)
    assert {row["tokens_matched_by"] for row in published.rows("select * from fct_api_costs_daily")} == {
        "key",
        "cell",
        "account_day",
        None,
    }


def test_a_million_tokens_cost_what_the_bill_says_over_what_was_metered(both: tuple[Answers, dict[str, Any]]) -> None:
    """B12, B30: 9.99 for 1,700,004 tokens of output, whoever asked for them under whichever name."""
    published, _ = both
    (price,) = published.rows(
        f"select tokens, full_cost_rc, full_rc_per_mtok from fct_unit_costs_daily "
        f"where usage_date = '{DAYS[0]}' and token_class = 'output'"
    )
    assert (price["tokens"], str(price["full_cost_rc"])) == (1_700_004, "9.990000000000000000")
    assert price["full_rc_per_mtok"] == pytest.approx(9.99 * 1e6 / 1_700_004, rel=1e-12)
