"""Dagster's table of contents: what is configured and nothing else; when it asks for runs, and for which day."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml

from pipeline.config.file import load_config
from pipeline.decisions.graph import shipped_graph
from pipeline.definitions import DAILY_JOB, PROJECT_VARIABLE, REPORT_JOB, definitions_for
from pipeline.demo.settings import breakeven_yaml
from tests.pipeline.small_project import CONSOLE, COST_API, SmallProject, source, three_days


def yesterday() -> str:
    return (datetime.now(UTC).date() - timedelta(days=1)).isoformat()


YESTERDAY = yesterday()


def assets_of(definitions: dg.Definitions) -> set[str]:
    return {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}


@pytest.fixture
def small(tmp_path: Path) -> SmallProject:
    return SmallProject(tmp_path / "project", [source(CONSOLE, "acme"), source(CONSOLE, "labs-2.eu")])


def test_the_demo_loads_with_each_of_its_sources(tmp_path):
    (tmp_path / "breakeven.yaml").write_text(breakeven_yaml())
    names = assets_of(definitions_for(tmp_path))
    configured = load_config(tmp_path / "breakeven.yaml").sources
    assert len([name for name in names if name.startswith("landing/")]) == len(configured) > 6
    assert {"daily/costs", "daily/waste", "daily/verdicts", "alerts/slack", "reports/monthly"} <= names


def test_an_empty_configuration_loads_without_any_landing_asset(tmp_path):
    SmallProject(tmp_path / "project", [])
    definitions = definitions_for(tmp_path / "project")
    names = assets_of(definitions)
    assert not any(name.startswith("landing/") for name in names)
    assert "marts/fct_unit_costs_daily" in names
    assert definitions.resolve_job_def(DAILY_JOB).partitions_def.has_partition_key(YESTERDAY)


def test_every_sql_model_is_one_asset_with_its_code_version_and_every_law_one_check(small):
    definitions = definitions_for(small.folder)
    graph = definitions.resolve_asset_graph()
    models = [model for model in shipped_graph().models(None) if model.folder != "checks"]
    for model in models:
        node = graph.get(dg.AssetKey([model.folder, model.name]))
        assert node.code_version == model.code_hash[:16]
        assert node.partitions_def is None
        assert node.description
    laws = [key.name for key in graph.asset_check_keys if key.name != "fetched"]
    assert sorted(laws) == sorted(
        model.name.removeprefix("check_") for model in shipped_graph().models(None) if model.folder == "checks"
    )


def test_daily_and_monthly_assets_are_in_jobs_of_their_own(small):
    definitions = definitions_for(small.folder)
    daily = definitions.resolve_job_def(DAILY_JOB)
    monthly = definitions.resolve_job_def(REPORT_JOB)
    assert isinstance(daily.partitions_def, dg.DailyPartitionsDefinition)
    assert isinstance(monthly.partitions_def, dg.MonthlyPartitionsDefinition)
    assert dg.AssetKey(["reports", "monthly"]) not in daily.asset_layer.executable_asset_keys
    assert set(monthly.asset_layer.executable_asset_keys) == {dg.AssetKey(["reports", "monthly"])}


def test_all_daily_assets_share_the_partitions_of_the_earliest_horizon(tmp_path):
    early = {"source": COST_API, "account": "main", "key_env": "K", "horizon": "2025-03-01"}
    late = source(CONSOLE, "acme", horizon="2026-06-01")
    definitions = definitions_for(SmallProject(tmp_path / "project", [early, late]).folder)
    graph = definitions.resolve_asset_graph()
    starts = {
        graph.get(key).partitions_def.get_first_partition_key()
        for key in graph.get_all_asset_keys()
        if key.path[0] in ("landing", "daily")
    }
    assert starts == {"2025-03-01"}


def test_each_morning_asks_for_the_day_that_is_over(small):
    definitions = definitions_for(small.folder)
    at = datetime(2026, 11, 15, 6, 15, tzinfo=UTC)
    asked = {}
    repository = definitions.get_repository_def()
    for schedule in definitions.schedules or ():
        data = schedule.evaluate_tick(dg.build_schedule_context(scheduled_execution_time=at, repository_def=repository))
        asked[schedule.name] = [request.partition_key for request in data.run_requests]
        assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert asked == {"every_morning": ["2026-11-14"], "this_months_report": ["2026-10-01", "2026-11-01"]}


def look(definitions: dg.Definitions, cursor: str | None) -> tuple[list[dg.RunRequest], str | None]:
    (sensor,) = definitions.sensors or ()
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, cursor=cursor, definitions=definitions)
        data = sensor.evaluate_tick(context)
    return list(data.run_requests), data.cursor


def test_a_new_file_asks_for_one_run_and_for_none_afterwards(small):
    definitions = definitions_for(small.folder)
    requests, cursor = look(definitions, None)
    assert requests == []
    dropped = small.drop(CONSOLE, "acme", "a.csv", three_days("1.00", "2.00", "3.00"))
    before = yesterday()
    requests, cursor = look(definitions, cursor)
    assert [request.partition_key for request in requests] in ([before], [yesterday()])
    assert look(definitions, cursor) == ([], cursor)
    os.utime(dropped, ns=(1, 1))
    assert len(look(definitions, cursor)[0]) == 1


def test_an_inbox_that_cannot_be_looked_at_hides_no_other(small):
    definitions = definitions_for(small.folder)
    _, cursor = look(definitions, None)
    small.drop(CONSOLE, "acme", "a.csv", three_days("1.00", "2.00", "3.00"))
    small.inbox(CONSOLE, "labs-2.eu").rmdir()
    requests, cursor = look(definitions, cursor)
    assert len(requests) == 1
    assert look(definitions, cursor) == ([], cursor)


def test_half_written_and_hidden_files_wait(small):
    definitions = definitions_for(small.folder)
    _, cursor = look(definitions, None)
    for name in (".a.csv", "a.csv.part", "a.csv.tmp"):
        small.drop(CONSOLE, "acme", name, b"x")
    assert look(definitions, cursor)[0] == []


def test_the_workspace_names_the_project_by_its_variable(small, monkeypatch):
    from pipeline.definitions import build_definitions

    monkeypatch.setenv(PROJECT_VARIABLE, str(small.folder))
    assert f"landing/{CONSOLE}__labs_2_eu" in assets_of(build_definitions())
    declared = yaml.safe_load((Path(__file__).parents[1] / "workspace.yaml").read_text())
    assert declared == {
        "load_from": [{"python_module": {"module_name": "pipeline.workspace", "location_name": "breakeven"}}]
    }
    assert json.dumps(declared)
