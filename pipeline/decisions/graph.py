"""The graph of this release: every source's datasets, every SQL model, every Python node."""

from dataclasses import replace
from datetime import datetime

from pipeline.build.config_tables import config_versions
from pipeline.build.graph import BuildResult, Graph, build
from pipeline.build.redactions import finish_redactions
from pipeline.build.runner import Progress, PythonModel, silent
from pipeline.build.snapshot import Snapshot, Snapshots
from pipeline.config import Config
from pipeline.decisions import (
    alert_states,
    api_prices,
    commitment_scopes,
    demand_forecasts,
    deployment_plans,
    idle_fills,
    list_prices,
    model_matches,
    peak_allowances,
    scale_downs,
    token_class_weights,
    verdict_intervals,
    verdicts,
    window,
)
from pipeline.errors import BuildError
from pipeline.landing.landing import COLLECT_EVENT
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
        name="api_prices",
        build=api_prices.build,
        inputs=api_prices.INPUTS,
        schema=api_prices.SCHEMA,
        partition_by="none",
    ),
    PythonModel(
        name="fct_model_matches_daily",
        build=model_matches.build,
        inputs=model_matches.INPUTS,
        schema=model_matches.SCHEMA,
        partition_by="month",
        reads=model_matches.READS,
    ),
    PythonModel(
        name="fct_token_class_weights_daily",
        build=token_class_weights.build,
        inputs=token_class_weights.INPUTS,
        schema=token_class_weights.SCHEMA,
        partition_by="day",
        lookback=token_class_weights.LOOKBACK,
        reads=token_class_weights.READS,
        prepare=token_class_weights.PREPARE,
    ),
    PythonModel(
        name="fct_peak_allowances_daily",
        build=peak_allowances.build,
        inputs=peak_allowances.INPUTS,
        schema=peak_allowances.SCHEMA,
        partition_by="day",
        lookback=peak_allowances.LOOKBACK,
        reads=peak_allowances.READS,
        prepare=peak_allowances.PREPARE,
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
        name="fct_verdict_intervals_daily",
        build=verdict_intervals.build,
        inputs=verdict_intervals.INPUTS,
        schema=verdict_intervals.SCHEMA,
        partition_by="month",
        lookback=verdict_intervals.LOOKBACK,
        reads=verdict_intervals.READS,
    ),
    PythonModel(
        name="fct_scale_downs_daily",
        build=scale_downs.build,
        inputs=scale_downs.INPUTS,
        schema=scale_downs.SCHEMA,
        partition_by="day",
        lookback=scale_downs.LOOKBACK,
        reads=scale_downs.READS,
        prepare=scale_downs.PREPARE,
    ),
    PythonModel(
        name="fct_commitment_scopes_daily",
        build=commitment_scopes.build,
        inputs=commitment_scopes.INPUTS,
        schema=commitment_scopes.SCHEMA,
        partition_by="day",
        lookback=commitment_scopes.LOOKBACK,
        reads=commitment_scopes.READS,
        prepare=commitment_scopes.PREPARE,
    ),
    PythonModel(
        name="fct_idle_fill_daily",
        build=idle_fills.build,
        inputs=idle_fills.INPUTS,
        schema=idle_fills.SCHEMA,
        partition_by="day",
        lookback=idle_fills.LOOKBACK,
        reads=idle_fills.READS,
        prepare=idle_fills.PREPARE,
    ),
    PythonModel(
        name="fct_deployment_plans_daily",
        build=deployment_plans.build,
        inputs=deployment_plans.INPUTS,
        schema=deployment_plans.SCHEMA,
        partition_by="day",
        lookback=deployment_plans.LOOKBACK,
        reads=deployment_plans.READS,
        prepare=deployment_plans.PREPARE,
    ),
    PythonModel(
        name="fct_alert_states_daily",
        build=alert_states.build,
        inputs=alert_states.INPUTS,
        schema=alert_states.SCHEMA,
        partition_by="none",
    ),
    PythonModel(
        name="fct_demand_forecasts_daily",
        build=demand_forecasts.build,
        inputs=demand_forecasts.INPUTS,
        schema=demand_forecasts.SCHEMA,
        partition_by="month",
        lookback=demand_forecasts.LOOKBACK,
        reads=demand_forecasts.READS,
    ),
)


def shipped_graph() -> Graph:
    return Graph.shipped(
        datasets=[dataset for source in SOURCES for dataset in source.datasets], python_models=PYTHON_MODELS
    )


def build_project(
    project: Project,
    *,
    as_of: datetime,
    progress: Progress = silent,
    make_current: bool = True,
    anew: bool = False,
) -> BuildResult:
    """Bring a project's snapshot up to date with its landing. `anew`: also what other machines have built already."""
    result = build(
        shipped_graph(),
        landing=project.landing,
        paths=project.paths,
        as_of=as_of,
        progress=progress,
        make_current=make_current,
        shared=project.shared,
        anew=anew,
    )
    if not make_current:
        return result
    left = finish_redactions(project.landing, cache=project.paths.cache, shared=project.shared)
    return replace(result, notes=(*result.notes, *left)) if left else result


def snapshots_of(project: Project) -> Snapshots:
    """What was built for a project, on whichever machine."""
    return Snapshots(folder=project.paths.snapshots, cache=project.paths.cache, shared=project.shared)


def current_snapshot(project: Project) -> Snapshot:
    """The snapshot readers see. BuildError says how to make one where there is none."""
    snapshot = snapshots_of(project).current()
    if snapshot is None:
        raise BuildError("Nothing has been built here yet. Run: breakeven run")
    return snapshot


def kept_snapshot(project: Project, snapshot_id: str) -> Snapshot:
    """A snapshot by its id. BuildError says how its figures come again where it is not kept."""
    found = snapshots_of(project).load(snapshot_id)
    if found is not None:
        return found
    for event in project.landing.events(COLLECT_EVENT):
        as_of = event.body.get("snapshots", {}).get(snapshot_id)
        if as_of is not None:
            raise BuildError(
                f"Snapshot {snapshot_id} was collected on {event.at:%Y-%m-%d}. What was known then is built again by "
                f"--as-of {as_of}"
            )
    raise BuildError(
        f"No snapshot {snapshot_id} is kept here. Give --as-of the moment that it speaks for: whatever cites it names "
        "that too."
    )


def config_of(project: Project, snapshot: Snapshot) -> Config:
    """The configuration that the snapshot was built with: the last one landed by then.

    breakeven.yaml may have been edited since: its reporting currency is then not that of the snapshot's figures.
    """
    versions = config_versions(project.landing.contents().as_of(snapshot.as_of).events)
    return versions[-1].config if versions else project.config
