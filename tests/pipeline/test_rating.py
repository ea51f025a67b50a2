"""A bill rated again: a day that was rated twice is found among the others, and goes to the provider as a packet."""

import csv
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import group
from pipeline.cli.rating import LAWS
from pipeline.decisions.check_results import CheckResult
from pipeline.errors import BreakevenError
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


def test_a_packet_rests_on_no_broken_law(rated: SmallProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an account whose sums do not hold nothing is written that could be sent; the screen says so too."""

    def rated_beside(law: str, scope: str) -> Result:
        broken = CheckResult(law, scope, False, "the parts say 1, the whole 2.")
        monkeypatch.setattr("pipeline.cli.rating.check_results", lambda snapshot: [broken])
        days = ["--from", "2026-11-01", "--to", "2026-11-10", "--packet", str(tmp_path / scope.replace(":", "-"))]
        return CliRunner().invoke(group, ["rating", "--project", str(rated.folder), *days])

    for law in ("api_money_conserved", "api_tokens_conserved", "api_allocation_conserved", "api_book_of_record"):
        refused = rated_beside(law, "account:main")
        assert isinstance(refused.exception, BreakevenError)
        assert f"{law} is broken for account:main" in str(refused.exception)
        assert "rated more than once" in refused.output
    assert not (tmp_path / "account-main").exists()
    # Another account's law, and one that says nothing of tokens and money, hold up no claim.
    assert rated_beside("api_money_conserved", "account:other").exit_code == 0
    assert rated_beside("owner_money_conserved", "account:main").exit_code == 0


def test_the_laws_that_hold_up_a_packet_are_laws_that_there_are() -> None:
    """One that was renamed would hold up nothing."""
    assert {path.stem for path in (Path(__file__).parents[2] / "sql" / "checks").glob("*.sql")} >= LAWS


def test_fast_and_standard_tokens_of_one_meter_are_not_rated(make_project: MakeProject) -> None:
    """Six times the price for the fast half, and the meter counts both: the bill is right, and nothing is claimed."""
    made = make_project([source(COST_API, "main"), source(USAGE_API, "main")])
    rates = [{"model": "claude-haiku-4-5", "token_class": "output", "per_mtok": "5.00"}]
    made.configure(contracts=[{"provider": "anthropic", "from": "2026-01-01", "rates": rates}])
    used = usage_result(output_tokens=2_000_000)
    lines = [cost_result("500", speed="standard"), cost_result("3000", speed="fast")]
    made.drop(USAGE_API, "main", "usage.json", api_page({day: [used] for day in DAYS}))
    made.drop(COST_API, "main", "cost.json", api_page({day: lines if day > DAYS[2] else lines[:1] for day in DAYS}))
    made.ingest(now=NOW)
    made.build(now=NOW)
    rows = json.loads(rating(made, "--format", "json").output)
    of_both = [row for row in rows if row["usage_date"] > DAYS[2]]
    assert {row["kind"] for row in of_both} == {"unpriced"}
    assert [Decimal(str(row["billed_cost"])) for row in of_both] == [Decimal(35)] * 5
    assert {Decimal(str(row["over_at_least_cost"])) for row in rows} == {0}


def test_whoever_meters_nothing_is_told_so(make_project: MakeProject) -> None:
    made = make_project([source(COST_API, "main")])
    made.drop(COST_API, "main", "cost.json", api_page({"2026-11-01": [cost_result("400")]}))
    made.ingest(now=NOW)
    made.build(now=NOW)
    assert "nothing is both billed and metered" in rating(made).output
