"""Run the daily job in this process, without a server, on the project's persistent Dagster instance."""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster import AssetCheckEvaluation
from dagster._core.instance.ref import InstanceRef

from pipeline.assets.landing import FETCHED
from pipeline.assets.resources import AS_OF_TAG, LIVE_TAG, Built, BuiltTable, ProjectResource
from pipeline.cli.daily_order import DailyOrder
from pipeline.definitions import DAILY_JOB, definitions_for
from pipeline.errors import BuildError
from pipeline.landing.project import Project
from pipeline.sources.ingest import Ingested

_RANGE_START = "dagster/asset_partition_range_start"
_RANGE_END = "dagster/asset_partition_range_end"
_INSTANCE = """# Written by breakeven; the instance keeps the runs and the asset history of this project.
# infra/dagster.yaml shows what else can be set, PostgreSQL among it.
telemetry:
  enabled: false
nux:
  enabled: false
"""
_STORAGES = ("storage", "run_storage", "event_log_storage", "schedule_storage", "instance_class")
_WhatIsBuilt = Callable[[], Iterator[BuiltTable | Built] | None]
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def prepare_dagster_home(home: Path) -> Path:
    """One persistent DAGSTER_HOME a project, with telemetry off."""
    home.mkdir(parents=True, exist_ok=True)
    instance = home / "dagster.yaml"
    if not instance.exists():
        instance.write_text(_INSTANCE)
    return home.resolve()


def run_daily(
    project: Project, *, first: date, last: date, now: datetime, brought: Sequence[Ingested] | None = None
) -> list[str]:
    """The daily job over the UTC days [first, last]. Returns what asset checks found wrong.

    `brought`: what this process has just fetched and told; landing assets record that instead of fetching again, and
    those that it does not name are left out (`()`: nothing is fetched). None: every landing asset fetches.
    Raises BuildError when a step failed, in the words of what failed.
    """
    with ready_to_run(DailyOrder(project.folder, first=first, last=last, now=now, brought=brought)) as job:
        return job(lambda: None)


@contextmanager
def ready_to_run(order: DailyOrder) -> Iterator[Callable[[_WhatIsBuilt], list[str]]]:
    """The daily job, resolved, with its instance open. Called with what tells it what is built (`ProjectResource`)."""
    home = prepare_dagster_home(Project(order.folder).paths.dagster_home)
    with _instance(home) as instance:
        definitions = definitions_for(order.folder.resolve(), now=order.now, brought=order.brought)
        resource: ProjectResource = (definitions.resources or {})["project"]
        job = definitions.resolve_job_def(DAILY_JOB)
        days = {_RANGE_START: order.first.isoformat(), _RANGE_END: order.last.isoformat()}
        tags = {AS_OF_TAG: order.now.isoformat(), **days, **({LIVE_TAG: "yes"} if order.is_live else {})}
        told = {FETCHED} if order.brought is not None else set()

        def run(built: _WhatIsBuilt) -> list[str]:
            resource.built = built
            result = job.execute_in_process(instance=instance, run_config=_QUIET, tags=tags, raise_on_error=False)
            if not result.success:
                raise BuildError(_first_failure(result))
            checks = result.get_asset_check_evaluations()
            return [_in_words(check) for check in checks if not check.passed and check.check_name not in told]

        yield run


@contextmanager
def _instance(home: Path) -> Iterator[dg.DagsterInstance]:
    before = os.environ.get("DAGSTER_HOME")
    os.environ["DAGSTER_HOME"] = str(home)
    try:
        with opened_instance(home) as instance:
            yield instance
    finally:
        if before is None:
            del os.environ["DAGSTER_HOME"]
        else:
            os.environ["DAGSTER_HOME"] = before


def opened_instance(home: Path) -> dg.DagsterInstance:
    """The project's instance. One process at a time opens it: two that both create its tables break each other."""
    with (home / "opening.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        instance = dg.DagsterInstance.from_ref(_reference(home))
        # Each storage makes its tables when it is first asked.
        instance.get_runs_count()
        instance.all_asset_keys()
        return instance


def _reference(home: Path) -> InstanceRef:
    """The instance that `dagster.yaml` describes. The default event log, if it is that, with its connections held.

    What steps print goes where `breakeven run` prints, unless `dagster.yaml` says otherwise: copying it as well takes
    Dagster four processes, for lines that nobody writes.
    """
    try:
        declared = yaml.safe_load((home / "dagster.yaml").read_text()) or {}
    except yaml.YAMLError as error:
        raise BuildError(f"{home / 'dagster.yaml'} is not YAML: {error}. Mend it or remove it.") from None
    overrides: dict[str, Any] = {}
    if "compute_logs" not in declared:
        overrides["compute_logs"] = {
            "module": "dagster._core.storage.noop_compute_log_manager",
            "class": "NoOpComputeLogManager",
        }
    if not any(name in declared for name in _STORAGES):
        overrides["event_log_storage"] = {
            "module": "pipeline.assets.event_log",
            "class": "HeldSqliteEventLog",
            "config": {"base_dir": str(home / "history" / "runs")},
        }
    return InstanceRef.from_dir(str(home), overrides=overrides)


def _first_failure(result: dg.ExecuteInProcessResult) -> str:
    """The innermost cause of the first step that failed, in its own words."""
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            if error is not None:
                return error.message.split(":", 1)[-1].strip()
    return "The run failed before any step. Look at it with: breakeven ui"


def _in_words(check: AssetCheckEvaluation) -> str:
    """`marts/x some_law: Broken for account:acme`"""
    return f"{check.asset_key.to_user_string()} {check.check_name}: {check.description}"
