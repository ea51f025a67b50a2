"""A small project whose daily job runs in this process, on an instance in memory."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipeline.assets.resources import AS_OF_TAG
from pipeline.definitions import DAILY_JOB, definitions_for
from tests.pipeline.small_project import CONSOLE, CONSOLE_NAME, NOW, SmallProject, source, three_days

_SQL = ("staging", "intermediate", "marts", "decisions")
LAST_DAY = date(2026, 11, 3)


@dataclass
class Job:
    """Runs the daily job of a project and remembers its instance, as a server would."""

    project: SmallProject
    instance: dg.DagsterInstance

    def run(
        self, first: date = LAST_DAY, last: date = LAST_DAY, *, now: datetime = NOW, select: Sequence[str] | None = None
    ) -> dg.ExecuteInProcessResult:
        job = definitions_for(self.project.folder, now=now).resolve_job_def(DAILY_JOB)
        result = job.execute_in_process(
            instance=self.instance,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            asset_selection=None if select is None else [dg.AssetKey(name.split("/")) for name in select],
            tags={
                AS_OF_TAG: now.isoformat(),
                "dagster/asset_partition_range_start": first.isoformat(),
                "dagster/asset_partition_range_end": last.isoformat(),
            },
        )
        assert result.success
        return result


def materialized(result: dg.ExecuteInProcessResult) -> dict[str, dict[str | None, Mapping[str, Any]]]:
    """asset -> partition -> what its metadata says."""
    found: dict[str, dict[str | None, Mapping[str, Any]]] = {}
    for event in result.get_asset_materialization_events():
        told = event.step_materialization_data.materialization
        values = {name: value.value for name, value in told.metadata.items()}
        found.setdefault(told.asset_key.to_user_string(), {})[told.partition] = values
    return found


def data_versions(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """SQL asset -> its data version."""
    return {
        event.step_materialization_data.materialization.asset_key.to_user_string(): str(
            event.step_materialization_data.materialization.tags["dagster/data_version"]
        )
        for event in result.get_asset_materialization_events()
        if event.step_materialization_data.materialization.asset_key.path[0] in _SQL
    }


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {
        f"{check.asset_key.to_user_string()} {check.check_name}": check
        for check in result.get_asset_check_evaluations()
    }


MakeJob = Callable[..., Job]


@pytest.fixture(scope="session")
def warm_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the usual small project computed once: content-addressed, so sharing it changes no result."""
    first = SmallProject(tmp_path_factory.mktemp("warm"), [source(CONSOLE, "acme")], shares_parsed_sql=True)
    first.drop(CONSOLE, "acme", CONSOLE_NAME, three_days("1.00", "2.00", "3.00"))
    first.run()
    return first.cache


@pytest.fixture
def make_job(tmp_path: Path, warm_cache: Path) -> Iterator[MakeJob]:
    with dg.DagsterInstance.ephemeral() as instance:

        def make(sources: Sequence[Mapping[str, Any]] = (source(CONSOLE, "acme"),)) -> Job:
            project = SmallProject(tmp_path / "project", sources, warm_cache=warm_cache, shares_parsed_sql=True)
            if any(one["source"] == CONSOLE for one in sources):
                project.drop(CONSOLE, "acme", CONSOLE_NAME, three_days("1.00", "2.00", "3.00"))
            return Job(project, instance)

        yield make


@pytest.fixture
def silent_demo(demo_folder: Path, tmp_path: Path) -> Path:
    """The demo's company before it was told anything, or declared anything: its first configuration is always valid."""
    folder = tmp_path / "demo"
    left_out = shutil.ignore_patterns("dagster", "claims", "events", "catalog")
    shutil.copytree(demo_folder, folder, symlinks=True, copy_function=os.link, ignore=left_out)
    return folder
