"""The graph of this release: every source's datasets, every SQL model, every Python node."""

from datetime import datetime

from pipeline.build.config_tables import config_versions
from pipeline.build.graph import BuildResult, Graph, build
from pipeline.build.runner import Progress, PythonModel, silent
from pipeline.build.snapshot import Snapshot, Snapshots
from pipeline.config import Config
from pipeline.decisions import alert_states, list_prices, verdicts, window
from pipeline.errors import BuildError
from pipeline.landing.project import Project
from pipeline.sources import SOURCES

PYTHON_MODELS = (
    PythonModel(
        name="list_prices",
        build=list_prices.build,
        inputs=list_prices.INPUTS,
        schema=list_prices.SCHEMA,
        partition_by="none",
    ),
    PythonModel(
        name="fct_verdicts_daily",
        build=verdicts.build,
        inputs=window.INPUTS,
        schema=verdicts.SCHEMA,
        partition_by="day",
        lookback=window.LOOKBACK,
        reads=window.READS,
        prepare=window.PREPARE,
    ),
    PythonModel(
        name="fct_alert_states_daily",
        build=alert_states.build,
        inputs=alert_states.INPUTS,
        schema=alert_states.SCHEMA,
        partition_by="none",
        reads=alert_states.READS,
    ),
)


def shipped_graph() -> Graph:
    return Graph.shipped(
        datasets=[dataset for source in SOURCES for dataset in source.datasets], python_models=PYTHON_MODELS
    )


def build_project(
    project: Project, *, as_of: datetime, progress: Progress = silent, make_current: bool = True
) -> BuildResult:
    """Bring a project's snapshot up to date with its landing."""
    return build(
        shipped_graph(),
        landing=project.landing,
        paths=project.paths,
        as_of=as_of,
        progress=progress,
        make_current=make_current,
    )


def current_snapshot(project: Project) -> Snapshot:
    """The snapshot readers see. BuildError says how to make one where there is none."""
    snapshot = Snapshots(folder=project.paths.snapshots, cache=project.paths.cache).current()
    if snapshot is None:
        raise BuildError("Nothing has been built here yet. Run: breakeven run")
    return snapshot


def config_of(project: Project, snapshot: Snapshot) -> Config:
    """The configuration that the snapshot was built with: the last one landed by then.

    breakeven.yaml may have been edited since: its reporting currency is then not that of the snapshot's figures.
    """
    versions = config_versions(project.landing.contents().as_of(snapshot.as_of).events)
    return versions[-1].config if versions else project.config
