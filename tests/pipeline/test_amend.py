"""`breakeven amend`: what it would move is printed, what it lands moves that and nothing else."""

import csv
import io
import json
import shutil
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.build.config_tables.versions import config_left_out
from pipeline.cli import group
from pipeline.errors import ConfigError
from pipeline.landing.project import AMEND_EVENT, CONFIG_EVENT
from tests.pipeline.small_project import CONSOLE, CONSOLE_NAME, NOW, SPOOL, SmallProject, source, spool_file, three_days

EDITED = NOW + timedelta(days=1)
AMENDED = NOW + timedelta(days=2)
Lines = list[dict[str, Any]]


def server(rate: str, **fields: Any) -> dict[str, Any]:
    agreed = {"issuer": "gpucloud", "resource_id": "server-1", "host": "host-1", "gpu_count": 1, "from": "2026-11-01"}
    return {**agreed, "contract_rate_per_gpu_hour": rate, **fields}


def sections(rate: str, team: str = "early") -> dict[str, Any]:
    return {
        "gpu_resources": [server(rate)],
        "deployments": [{"deployment": "chat", "model": "m", "gpus_per_replica": 1, "hosts": ["host-1"]}],
        "workloads": [{"workload": "everything", "team": team, "match": [{"account": "acme"}]}],
    }


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory, warm_cache: Path) -> SmallProject:
    """Four days at 2.00 an hour were reported; then breakeven.yaml says 3.00 and another team, undated."""
    folder = tmp_path_factory.mktemp("reported") / "project"
    sources = [source(CONSOLE, "acme"), source(SPOOL, "fleet")]
    made = SmallProject(folder, sources, sections("2.00"), warm_cache=warm_cache)
    made.drop(CONSOLE, "acme", CONSOLE_NAME, three_days("1.00", "2.00", "3.50"))
    made.drop(SPOOL, "fleet", "spool.jsonl", spool_file("2026-11-01"))
    made.run()
    made.configure(**sections("3.00", "late"))
    made.run(now=EDITED)
    return made


@pytest.fixture
def project(reported: SmallProject, tmp_path: Path) -> SmallProject:
    """A copy of it to do things to."""
    shutil.copytree(reported.folder, tmp_path / "project", symlinks=True)
    copy = SmallProject(tmp_path / "project", reported.sources, reported.other_sections)
    copy.configure(**sections("3.00", "late"))
    return copy


def amend(project: SmallProject, *arguments: str, now: datetime = AMENDED) -> Result:
    where = ["amend", "--project", str(project.folder), "--as-of", now.isoformat()]
    return CliRunner().invoke(group, [*where, *arguments])


def told(project: SmallProject, *arguments: str, now: datetime = AMENDED) -> Lines:
    done = amend(project, *arguments, "--format", "json", now=now)
    assert done.exit_code == 0, done.output
    lines: Lines = json.loads(done.output)
    return lines


def state(project: SmallProject) -> dict[str, bytes]:
    """Everything that lies in the project but its cache."""
    root = project.folder / ".breakeven"
    files = [path for path in root.rglob("*") if path.is_file() and "cache" not in path.relative_to(root).parts]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def cost_of_days(project: SmallProject, now: datetime = AMENDED) -> dict[str, Decimal]:
    query = (
        "select usage_date::varchar as day, sum(realized_cost) as cost from fct_gpu_costs_daily "
        "where usage_date < date '2026-11-07' group by 1 order by 1"
    )
    return {row["day"][-2:]: row["cost"] for row in project.build(now=now).rows(query)}


def test_an_undated_edit_moves_no_day_before_it_landed(project: SmallProject) -> None:
    """B6, B12: the new price holds from its day, and the old days cost once what they cost."""
    assert cost_of_days(project) == {"01": 48, "02": 48, "03": 48, "04": 48, "05": 48, "06": 72}


def test_without_yes_it_says_what_would_move_and_lands_nothing(project: SmallProject) -> None:
    before = state(project)
    lines = told(project, "--from", "2026-11-03")
    assert state(project) == before
    costs = [line for line in lines if line["table_name"] == "fct_gpu_costs_daily"]
    assert {(line["changed_days_count"], line["first_changed_date"], line["last_changed_date"]) for line in costs} == {
        (3, "2026-11-03", "2026-11-05")
    }
    assert {
        (
            *(line[name] for name in ("amount", "per", "name", "cost_measure", "currency")),
            *(Decimal(line[name]) for name in ("before_cost", "after_cost", "difference_cost")),
        )
        for line in costs
    } == {
        (amount, per, name, "accrued", "USD", 144, 216, 72)
        for amount in ("realized_cost", "realized_cost_rc")
        for per, name in (("account", None), ("deployment_id", "chat"))
    }


def test_a_table_whose_rows_move_and_whose_totals_do_not_is_named_with_its_rows(project: SmallProject) -> None:
    """Another team has the money of the third day; it is the same money."""
    (line,) = [line for line in told(project, "--from", "2026-11-03") if line["table_name"] == "fct_api_costs_daily"]
    assert (line["changed_days_count"], line["removed_rows_count"], line["added_rows_count"]) == (1, 1, 1)
    assert line["amount"] is None


def test_money_that_moves_to_another_workload_is_told_by_workload(project: SmallProject) -> None:
    project.configure(**{**sections("3.00", "late"), "workloads": [{"workload": "other", "match": [{}]}]})
    lines = [line for line in told(project, "--from", "2026-11-02") if line["table_name"] == "fct_api_costs_daily"]
    assert {
        (line["per"], line["name"], line["before_cost"] and Decimal(line["before_cost"]), line["after_cost"])
        for line in lines
        if line["amount"] == "billed_cost"
    } == {("workload", "everything", Decimal("5.5"), None), ("workload", "other", None, "5.500000000000000000")}


def test_amounts_that_are_unknown_are_counted_and_are_no_zero(project: SmallProject) -> None:
    """B4: with the rate taken out, the days have no cost: not a cost of nothing."""
    unpriced = sections("3.00")
    del unpriced["gpu_resources"][0]["contract_rate_per_gpu_hour"]
    project.configure(**unpriced)
    (line,) = [
        line
        for line in told(project, "--from", "2026-11-01")
        if (line["amount"], line["per"]) == ("realized_cost", "account")
    ]
    assert (line["after_cost"], line["difference_cost"], line["before_unknown_rows_count"]) == (None, None, 0)
    assert line["after_unknown_rows_count"] > 0


def test_with_yes_it_says_the_same_and_the_next_build_says_it_too(project: SmallProject) -> None:
    would = told(project, "--from", "2026-11-03")
    assert told(project, "--from", "2026-11-03", "--reason", "renegotiated", "--yes") == would
    (event,) = project.project.landing.events(AMEND_EVENT)
    assert (event.at, event.body["from"], event.body["why"]) == (AMENDED, "2026-11-03", "renegotiated")
    assert event.body["by"]
    assert cost_of_days(project) == {"01": 48, "02": 48, "03": 72, "04": 72, "05": 72, "06": 72}
    assert told(project, "--from", "2026-11-03") == []


def test_a_moment_before_the_amendment_has_every_figure_it_had(project: SmallProject) -> None:
    """B6, laws 6 and 10: a report of then comes back, to the last row of every table."""
    before = project.build(now=EDITED).tables()
    amend(project, "--from", "2026-11-01", "--yes")
    amended = project.build(now=AMENDED)
    assert amended.tables() != before
    assert project.build(now=EDITED).tables() == before


def test_the_tables_after_an_amendment_are_those_of_a_build_from_scratch(project: SmallProject) -> None:
    """B29."""
    amend(project, "--from", "2026-11-03", "--yes")
    incremental = project.build(now=AMENDED).tables()
    shutil.rmtree(project.cache)
    assert project.build(now=AMENDED).tables() == incremental


def test_an_edit_that_has_not_landed_lands_with_its_amendment(project: SmallProject) -> None:
    """`as it stands now` is the file, not what was landed of it last."""
    project.configure(**sections("5.00"))
    would = told(project, "--from", "2026-11-06")
    assert len(project.project.landing.events(CONFIG_EVENT)) == 2
    assert told(project, "--from", "2026-11-06", "--yes") == would
    assert len(project.project.landing.events(CONFIG_EVENT)) == 3
    assert cost_of_days(project) == {"01": 48, "02": 48, "03": 48, "04": 48, "05": 48, "06": 120}
    assert project.project.config_event(AMENDED) is None


def test_two_amendments_and_an_edit_after_them(project: SmallProject) -> None:
    """Each holds from its own day on; of a day that two speak of, the one that was said last."""
    amend(project, "--from", "2026-11-02", "--yes")
    project.configure(**sections("4.00"))
    amend(project, "--from", "2026-11-04", "--yes", now=AMENDED + timedelta(hours=1))
    project.configure(**sections("6.00"))
    project.run(now=AMENDED + timedelta(hours=2))
    later = AMENDED + timedelta(hours=3)
    assert cost_of_days(project, later) == {"01": 48, "02": 72, "03": 72, "04": 96, "05": 96, "06": 96}


def test_from_before_the_first_version_it_speaks_of_every_day_there_is(project: SmallProject) -> None:
    amend(project, "--from", "2020-01-01", "--yes")
    assert set(cost_of_days(project).values()) == {Decimal(72)}


@pytest.mark.parametrize(
    ("since", "words"), [("2026-11-08", "is still to come"), ("soon", "is not a date"), ("2026-13-01", "is not a date")]
)
def test_a_day_to_come_and_a_day_that_is_none_are_refused(project: SmallProject, since: str, words: str) -> None:
    before = state(project)
    done = amend(project, "--from", since, "--yes")
    assert done.exit_code == 2
    assert words in " ".join(done.output.split())
    assert state(project) == before


def test_today_moves_what_the_edit_moves(project: SmallProject) -> None:
    """Of an edit that has landed an amendment from its own day or later says nothing new."""
    assert told(project, "--from", "2026-11-06") == []
    assert told(project, "--from", "2026-11-07") == []


def test_a_file_that_cannot_be_is_refused_and_nothing_is_landed(project: SmallProject) -> None:
    project.configure(sources=[{"source": "anthropic_cost", "account": "a"}])
    before = state(project)
    done = amend(project, "--from", "2026-11-03", "--yes")
    assert isinstance(done.exception, ConfigError)
    assert "No such source" in str(done.exception)
    assert state(project) == before


def test_it_amends_what_cannot_be_read_any_more(project: SmallProject) -> None:
    """The way out for a version of an older release: once nothing it says is left to say, it is told no more."""
    landing = project.project.landing
    older = dict(landing.events(CONFIG_EVENT)[-1].body["config"])
    older["overheads"] = [{"item": "rack"}]
    landing.record(kind=CONFIG_EVENT, subject="breakeven.yaml", body={"config": older}, now=EDITED + timedelta(hours=1))
    assert "overheads.0.monthly is missing" in str(project.quarantine(now=AMENDED))
    amend(project, "--from", "2026-11-06", "--yes")
    assert project.quarantine(now=AMENDED) == []
    assert len(config_left_out(landing.events()[:-2])) == 1


def test_every_format_says_the_same(project: SmallProject) -> None:
    lines = told(project, "--from", "2026-11-03")
    rows = list(csv.DictReader(io.StringIO(amend(project, "--from", "2026-11-03", "--format", "csv").output)))
    assert [list(row) for row in rows] == [list(line) for line in lines]
    assert [row["difference_cost"] for row in rows] == [line["difference_cost"] or "" for line in lines]
    text = " ".join(amend(project, "--from", "2026-11-03").output.split())
    for words in ("fct_gpu_costs_daily", "deployment:chat", "account:(none)", "144.00", "216.00", "72.00"):
        assert words in text
    assert "Nothing was landed" in text
    assert "Landed." in amend(project, "--from", "2026-11-03", "--yes").output
    assert "Nothing moves." in amend(project, "--from", "2026-11-03").output
