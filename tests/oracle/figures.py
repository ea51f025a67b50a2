"""Every published figure the oracle knows, from a state folder: table -> grain -> columns."""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from tests.oracle import cloud, coverage, engines, gpu_time, openai, peaks, releases, served, verdicts
from tests.oracle.api import api_figures
from tests.oracle.controls import control_rows, openai_dashboard
from tests.oracle.gpu_bills import Seen, gpu_figures
from tests.oracle.gpu_shares import share_rows
from tests.oracle.idle_runs import idle_run_rows
from tests.oracle.landed import Project, read_project
from tests.oracle.spool import read_spool
from tests.oracle.token_weights import weight_rows
from tests.oracle.unit_costs import unit_costs
from tests.oracle.waste import waste_rows

Rows = dict[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Figures:
    project: Project
    days: list[date]
    seen: Seen
    tables: dict[str, Rows]


def figures(state: Path, *, as_of: datetime) -> Figures:
    """The whole second route, once."""
    project = read_project(state, as_of=as_of)
    spool = read_spool(project)
    covered = coverage.covered_days(project, spool)
    days = coverage.calendar_days(project, covered)
    known_days = set(days)

    found = engines.intervals(spool.scrapes)
    claims = engines.claims_by_gpu(spool.scrapes, found)
    seen = Seen(
        states=gpu_time.states_by_day(spool, claims, days=known_days),
        sightings=gpu_time.sightings(spool, days=known_days),
        watched_ms=gpu_time.watched_by_host(spool),
        engine_names=engines.served_names(found, days=known_days),
    )
    hours = served.served_hours(project, engines.tokens_by_hour(found, days=known_days))
    served_days = served.served_days(hours)
    served_hourly, served_daily = served.served_demand(hours)
    api = api_figures(project)
    cloud_lines = cloud.cloud_lines(project)
    gpu = gpu_figures(project, seen, cloud_lines, days=days)
    idle_runs = idle_run_rows(project, spool, claims, gpu, days=known_days)
    source_days = coverage.source_days(project, covered, days=days)
    tables = {
        "dim_gpu_holding": gpu.holdings,
        "dim_source": coverage.sources(project, covered),
        "fct_api_costs_daily": api.costs,
        "fct_cloud_charges_daily": cloud.cloud_rows(project, cloud_lines),
        # The demo's AWS export has no containers; tests/models/test_container_costs.py has.
        "fct_container_costs_daily": {},
        "fct_day_status_daily": coverage.day_statuses(project, source_days, days=days),
        "fct_demand_daily": api.demand_daily | served_daily,
        "fct_demand_hourly": api.demand_hourly | served_hourly,
        "fct_gpu_costs_daily": gpu.costs,
        "fct_gpu_leftovers_daily": gpu.leftovers,
        "fct_gpu_shares_interval": share_rows(project, spool.scrapes, claims, seen.engine_names, days=known_days),
        "fct_gpu_waste_daily": waste_rows(project, spool, claims, seen.engine_names, hours, gpu, idle_runs),
        "fct_idle_runs_daily": idle_runs,
        "fct_billing_residual_daily": gpu.residuals,
        "fct_reconciliation_invoice": gpu.reconciliation | cloud.cloud_reconciliation(cloud_lines),
        "fct_self_host_tokens_daily": served_days,
        "fct_source_coverage_daily": source_days,
        "fct_token_class_weights_daily": weight_rows(project, spool.scrapes, served_days),
        # The demo has no Prometheus beside its agents; tests/models/test_telemetry_differences.py has.
        "fct_telemetry_differences_daily": {},
        # No two feeds of the demo contradict each other; tests/models/test_telemetry_conflicts.py has some that do.
        "fct_telemetry_conflicts_daily": {},
        "fct_api_other_charges_daily": openai.other_charges(project),
        "fct_unit_costs_daily": unit_costs(project, api_costs=api.costs, gpu_costs=gpu.costs, served=served_days),
    }
    tables["fct_control_differences_daily"] = control_rows(
        project,
        covered,
        api_costs=api.costs,
        cloud_charges=tables["fct_cloud_charges_daily"],
        api_controls=openai_dashboard(openai.control_lines(project)),
    )
    tables["fct_demand_peaks_weekly"] = peaks.peak_rows(found, hours, days=days)
    tables["fct_peak_allowances_daily"] = peaks.allowance_rows(project, tables, days=days)
    tables["fct_verdicts_daily"] = verdicts.verdict_rows(project, tables, hours, days=days)
    tables["fct_scale_downs_daily"] = releases.release_rows(project, tables, hours, days=days)
    # The demo is under no commitment; tests/decisions/test_commitment_scopes.py has some.
    tables["fct_commitment_scopes_daily"] = {}
    tables["fct_idle_fill_daily"] = releases.fill_rows(project, tables, hours, days=days)
    tables["fct_alert_states_daily"] = verdicts.alert_rows(project, tables["fct_verdicts_daily"])
    return Figures(project=project, days=days, seen=seen, tables=tables)
