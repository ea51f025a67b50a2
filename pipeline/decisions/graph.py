"""The graph of this release: every source's datasets, every SQL model, every Python node."""

from dataclasses import replace
from datetime import datetime
from types import ModuleType

from pipeline.build.config_tables.versions import config_versions
from pipeline.build.graph import BuildResult, Graph, build
from pipeline.build.redactions import finish_redactions
from pipeline.build.runner import Progress, PythonModel, TellBuilt, silent, untold
from pipeline.build.snapshot import Snapshot, Snapshots
from pipeline.build.sql_models import PartitionBy
from pipeline.config.whole import Config
from pipeline.decisions import (
    adapter_tokens,
    alert_states,
    anomalies,
    api_prices,
    budgets,
    cloud_model_costs,
    commitment_scopes,
    demand_forecasts,
    deployment_plans,
    driver_costs,
    gpu_waste,
    idle_fills,
    invoices_monthly,
    list_prices,
    model_matches,
    owner_costs,
    peak_allowances,
    per_use_costs,
    prepaid_balances,
    rental_plans,
    scale_downs,
    token_class_weights,
    tuned_models,
    verdict_intervals,
    verdicts,
    window,
)
from pipeline.errors import BuildError
from pipeline.landing.landing import COLLECT_EVENT
from pipeline.landing.project import Project
from pipeline.sources import SOURCES


def _node(
    name: str, module: ModuleType, partition_by: PartitionBy, *, reading: ModuleType | None = None
) -> PythonModel:
    """The node that a module of this package is: its `build` and SCHEMA; INPUTS, LOOKBACK, READS and PREPARE as far as
    it has them, or those of `reading`; DATE_COLUMN where its days are in another column.
    """
    read = reading or module
    return PythonModel(
        name=name,
        build=module.build,
        schema=module.SCHEMA,
        partition_by=partition_by,
        inputs=read.INPUTS,
        lookback=getattr(read, "LOOKBACK", {}),
        reads=getattr(read, "READS", {}),
        prepare=getattr(read, "PREPARE", {}),
        date_column=getattr(module, "DATE_COLUMN", "usage_date"),
    )


PYTHON_MODELS = (
    _node("list_prices", list_prices, "none"),
    _node("api_prices", api_prices, "none"),
    _node("fct_model_matches_daily", model_matches, "month"),
    _node("fct_token_class_weights_daily", token_class_weights, "day"),
    _node("fct_peak_allowances_daily", peak_allowances, "day"),
    _node("fct_verdicts_daily", verdicts, "day", reading=window),
    _node("fct_tuned_models_daily", tuned_models, "month"),
    _node("fct_verdict_intervals_daily", verdict_intervals, "month"),
    _node("fct_scale_downs_daily", scale_downs, "day"),
    _node("fct_commitment_scopes_daily", commitment_scopes, "day"),
    _node("fct_idle_fill_daily", idle_fills, "day"),
    _node("fct_deployment_plans_daily", deployment_plans, "day"),
    _node("fct_rental_plans_daily", rental_plans, "day"),
    _node("fct_alert_states_daily", alert_states, "none"),
    _node("fct_demand_forecasts_daily", demand_forecasts, "month"),
    _node("fct_gpu_waste_daily", gpu_waste, "day"),
    _node("fct_budgets_monthly", budgets, "month"),
    _node("fct_anomalies_daily", anomalies, "day"),
    _node("fct_adapter_tokens_daily", adapter_tokens, "month"),
    _node("fct_per_use_costs_daily", per_use_costs, "month"),
    _node("fct_cloud_model_costs_daily", cloud_model_costs, "month"),
    _node("fct_owner_costs_daily", owner_costs, "day"),
    _node("fct_driver_costs_period", driver_costs, "month"),
    _node("fct_invoices_monthly", invoices_monthly, "none"),
    _node("fct_prepaid_balances_daily", prepaid_balances, "none"),
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
    built: TellBuilt = untold,
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
        built=built,
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
