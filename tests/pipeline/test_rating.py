"""A bill rated again: a day that was rated twice is found among the others, and goes to the provider as a packet."""

import csv
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import group
from tests.pipeline.conftest import MakeProject
from tests.pipeline.small_project import (
    CONSOLE,
    CONSOLE_NAME,
    COST_API,
    USAGE_API,
    SmallProject,
    api_page,
    console_csv,
    console_row,
    cost_result,
    source,
    usage_result,
)

NOW = datetime(2026, 11, 12, 6, tzinfo=UTC)
DAYS = [f"2026-11-{number:02d}" for number in range(1, 9)]


def rating(made: SmallProject, *words: str) -> Result:
    days = ("--from", "2026-11-01", "--to", "2026-11-10")
    answer = CliRunner().invoke(group, ["rating", "--project", str(made.folder), *days, *words])
    assert answer.exit_code == 0, answer.output
    return answer


@pytest.fixture(scope="module")
def rated(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A million output tokens a day, agreed at 4.00: billed so, twice on the 4th, not on the 6th; and 2.50 on a 9th day
    of which nothing but other tokens is metered.
    """
    made = SmallProject(tmp_path_factory.mktemp("rated") / "p", [source(COST_API, "main"), source(USAGE_API, "main")])
    rates = [
        {"model": "claude-haiku-4-5", "token_class": "output", "per_mtok": "4.00"},
        {"model": "claude-haiku-4-5", "token_class": "input_uncached", "per_mtok": "1.00"},
    ]
    made.configure(contracts=[{"provider": "anthropic", "from": "2026-01-01", "rates": rates}])
    used = {day: [usage_result(output_tokens=1_000_000)] for day in DAYS}
    used["2026-11-09"] = [usage_result(uncached_input_tokens=1_000_000)]
    billed = {day: [cost_result("400")] for day in DAYS if day != "2026-11-06"}
    billed["2026-11-04"] = [cost_result("800")]
    billed["2026-11-09"] = [cost_result("250")]
    made.drop(USAGE_API, "main", "usage.json", api_page(used))
    made.drop(COST_API, "main", "cost.json", api_page(billed))
    made.ingest(now=NOW)
    made.build(now=NOW)
    return made


def test_a_day_that_was_rated_twice_is_claimed_and_nothing_else_is(rated: SmallProject, tmp_path: Path) -> None:
    """B24. By hand: 8.00 was billed on the 4th for what comes to 4.00."""
    rows = json.loads(rating(rated, "--format", "json").output)
    kinds = {row["usage_date"]: row["kind"] for row in rows if row["token_class"] == "output"}
    assert kinds == {
        **dict.fromkeys(DAYS, "agrees"),
        "2026-11-04": "duplicate", "2026-11-06": "unbilled", "2026-11-09": "unmetered",
    }  # fmt: skip
    rating(rated, "--packet", str(tmp_path / "claim"))
    [row] = csv.DictReader((tmp_path / "claim" / "overbilling.csv").open())
    assert (row["usage_date"], row["what_it_is"], row["metered_tokens"]) == (
        "2026-11-04", "rated more than once (2 times)", "1000000",
    )  # fmt: skip
    assert (row["price_per_million"], row["rated"], row["billed"], row["overbilled_at_least"]) == (
        "4", "4", "8", "3.999999",
    )  # fmt: skip
    said = (tmp_path / "claim" / "explanation.md").read_text()
    assert "- anthropic: at least 3.999999 USD" in said
    assert "rated more than once" in said
    assert "2.5 USD is billed for usage that no report meters" in said


def test_list_prices_are_another_question(rated: SmallProject) -> None:
    """At list a million output tokens of this model are 5.00: what is agreed is a persistent discount of it."""
    rows = json.loads(rating(rated, "--prices", "list", "--format", "json").output)
    kinds = {row["usage_date"]: row["kind"] for row in rows if row["token_class"] == "output"}
    assert kinds["2026-11-01"] == kinds["2026-11-08"] == "discount"
    assert kinds["2026-11-04"] == "duplicate"
    assert "0.8000" in rating(rated, "--prices", "list").output


def test_a_workspace_that_nobody_meters_is_no_claim(make_project: MakeProject) -> None:
    """One workspace is metered and billed at its price; what another one is billed says nothing of that price."""
    made = make_project([source(COST_API, "main"), source(USAGE_API, "main")])
    rates = [{"model": "claude-haiku-4-5", "token_class": "output", "per_mtok": "4.00"}]
    made.configure(contracts=[{"provider": "anthropic", "from": "2026-01-01", "rates": rates}])
    one, other = cost_result("400", workspace_id="w1"), cost_result("400", workspace_id="w2")
    used = usage_result(output_tokens=1_000_000, workspace_id="w1")
    made.drop(USAGE_API, "main", "usage.json", api_page({day: [used] for day in DAYS}))
    made.drop(COST_API, "main", "cost.json", api_page({day: [one, other] if day > DAYS[3] else [one] for day in DAYS}))
    made.ingest(now=NOW)
    made.build(now=NOW)
    rows = json.loads(rating(made, "--format", "json").output)
    assert sorted((row["usage_date"], row["kind"]) for row in rows) == sorted(
        [*((day, "agrees") for day in DAYS), *((day, "unmetered") for day in DAYS[4:])]
    )
    assert {Decimal(str(row["over_at_least_cost"])) for row in rows} == {0}


def test_a_day_that_is_not_settled_is_not_rated(make_project: MakeProject) -> None:
    """Half a day's usage beside a bill of the whole day would be a claim."""
    lag = {"settle_lag_hours": 9 * 24}
    used = usage_result(output_tokens=500_000)
    made = make_project([source(COST_API, "main"), source(USAGE_API, "main", **lag)])
    made.drop(USAGE_API, "main", "usage.json", api_page({day: [used] for day in DAYS}))
    made.drop(COST_API, "main", "cost.json", api_page({day: [cost_result("500")] for day in DAYS}))
    made.ingest(now=NOW)
    made.build(now=NOW)
    rows = json.loads(rating(made, "--format", "json").output)
    assert {row["usage_date"] for row in rows} == {"2026-11-01", "2026-11-02"}


def test_tokens_that_lines_of_several_prices_share_are_not_rated(make_project: MakeProject) -> None:
    """5.00 for a million anywhere, 5.50 in the US, and the meter does not say where: the bill is right."""
    made = make_project([source(CONSOLE, "main"), source(USAGE_API, "main")])
    rates = [{"model": "claude-haiku-4-5", "token_class": "output", "per_mtok": "5.00"}]
    made.configure(contracts=[{"provider": "anthropic", "from": "2026-01-01", "rates": rates}])
    used = usage_result(output_tokens=2_000_000, inference_geo=None)
    lines = [console_row(day, "5.00") for day in DAYS[:3]]
    lines += [console_row(day, "5.50").replace("global", "us") for day in DAYS[:3]]
    made.drop(USAGE_API, "main", "usage.json", api_page({day: [used] for day in DAYS[:3]}))
    made.drop(CONSOLE, "main", CONSOLE_NAME, console_csv(lines))
    made.ingest(now=NOW)
    made.build(now=NOW)
    rows = json.loads(rating(made, "--format", "json").output)
    assert {row["kind"] for row in rows} == {"unpriced"}
    assert len(rows) == 6


def test_whoever_meters_nothing_is_told_so(make_project: MakeProject) -> None:
    made = make_project([source(COST_API, "main")])
    made.drop(COST_API, "main", "cost.json", api_page({"2026-11-01": [cost_result("400")]}))
    made.ingest(now=NOW)
    made.build(now=NOW)
    assert "nothing is both billed and metered" in rating(made).output
