"""The graph of this release: every source's datasets, every SQL model, every Python node."""

from datetime import datetime

from pipeline.build.graph import BuildResult, Graph, build
from pipeline.build.runner import Progress, PythonModel, silent
from pipeline.build.snapshot import Snapshot, Snapshots
from pipeline.decisions import alert_states, list_prices, verdicts
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
        inputs=verdicts.INPUTS,
        schema=verdicts.SCHEMA,
        partition_by="day",
        lookback=verdicts.LOOKBACK,
        reads=verdicts.READS,
    ),
    PythonModel(
        name="fct_alert_states_daily",
        build=alert_states.build,
        inputs=alert_states.INPUTS,
        schema=alert_states.SCHEMA,
        partition_by="none",
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
