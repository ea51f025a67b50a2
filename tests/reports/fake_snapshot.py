"""A snapshot filled by hand: two API accounts, one GPU issuer, one owned machine, two workloads, in October 2026."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.build.relations import NodePart, NodeRelation, duckdb_type
from pipeline.build.snapshot import Snapshot
from pipeline.config.file import parse_config
from pipeline.config.whole import Config
from pipeline.decisions import (
    anomalies,
    budgets,
    cloud_model_costs,
    demand_forecasts,
    deployment_plans,
    driver_costs,
    gpu_waste,
    idle_fills,
    invoices_monthly,
    model_matches,
    owner_costs,
    per_use_costs,
    prepaid_balances,
    scale_downs,
    verdict_intervals,
)
from pipeline.decisions.token_class_weights import SCHEMA as TOKEN_CLASS_WEIGHTS

MONEY = pl.Decimal(38, 18)
AS_OF = datetime(2026, 11, 5, 6, tzinfo=UTC)
OCTOBER = date(2026, 10, 1)
HOURLY_TOKENS = 8_000_000
DAY = date(2026, 10, 20)

Rows = Sequence[Mapping[str, Any]]
Tables = dict[str, list[dict[str, Any]]]

SCHEMAS: dict[str, dict[str, Any]] = {
    "fct_api_costs_daily": {
        **dict.fromkeys(
            ("provider", "issuer", "account", "model", "token_class", "charge_kind", "attribution", "billing_currency"),
            pl.String(),
        ),
        **dict.fromkeys(("team", "workload", "price_status"), pl.String()),
        **dict.fromkeys(("service_tier", "context_window", "inference_geo", "list_price_source"), pl.String()),
        "usage_date": pl.Date(),
        **dict.fromkeys(("tokens", "web_search_request_count"), pl.Int64()),
        **dict.fromkeys(("billed_cost", "billed_cost_rc", "list_cost_rc"), MONEY),
    },
    "fct_gpu_costs_daily": {
        **dict.fromkeys(
            ("issuer", "account", "resource_id", "deployment_id", "state", "cost_measure", "host", "billing_currency"),
            pl.String(),
        ),
        "usage_date": pl.Date(),
        "gpu_milliseconds": pl.Int64(),
        **dict.fromkeys(("realized_cost", "realized_cost_rc"), MONEY),
    },
    "fct_anomalies_daily": dict(anomalies.SCHEMA),
    "fct_gpu_waste_daily": dict(gpu_waste.SCHEMA),
    "fct_billing_residual_daily": {
        "usage_date": pl.Date(),
        **dict.fromkeys(("issuer", "account", "resource_id", "billing_currency"), pl.String()),
        "gpu_milliseconds": pl.Int64(),
        **dict.fromkeys(("contract_rate_per_gpu_hour", "billed_cost", "rated_cost", "billing_residual_cost"), MONEY),
    },
    "int_gpu_charges_daily": {
        **dict.fromkeys(("issuer", "account", "cost_measure", "billing_currency"), pl.String()),
        "usage_date": pl.Date(),
        "realized_cost": MONEY,
    },
    "int_fx_rates_daily": {
        "usage_date": pl.Date(),
        "currency": pl.String(),
        **dict.fromkeys(("multiplier", "divisor"), pl.Int64()),
    },
    "fct_cloud_charges_daily": {
        **dict.fromkeys(("issuer", "account", "source", "billing_currency", "commitment_discount_status"), pl.String()),
        **dict.fromkeys(("is_book", "is_gpu_resource"), pl.Boolean()),
        "usage_date": pl.Date(),
        **dict.fromkeys(("billed_cost", "effective_cost"), MONEY),
    },
    "fct_unit_costs_daily": {
        **dict.fromkeys(
            ("lane", "provider", "deployment_id", "model", "token_class", "cost_measure", "class_weight_method"),
            pl.String(),
        ),
        "usage_date": pl.Date(),
        "tokens": pl.Int64(),
        **dict.fromkeys(("full_cost_rc", "active_cost_rc"), MONEY),
        "marginal_rc_per_mtok": pl.Float64(),
    },
    "fct_token_class_weights_daily": dict(TOKEN_CLASS_WEIGHTS),
    "fct_budgets_monthly": dict(budgets.SCHEMA),
    "fct_prepaid_balances_daily": dict(prepaid_balances.SCHEMA),
    "fct_owner_costs_daily": dict(owner_costs.SCHEMA),
    "fct_driver_costs_period": dict(driver_costs.SCHEMA),
    "fct_per_use_costs_daily": dict(per_use_costs.SCHEMA),
    "fct_cloud_model_costs_daily": dict(cloud_model_costs.SCHEMA),
    "fct_self_host_tokens_daily": {
        "usage_date": pl.Date(),
        **dict.fromkeys(("deployment_id", "workload", "model", "token_class"), pl.String()),
        "tokens": pl.Int64(),
    },
    "fct_gpu_leftovers_daily": {
        "usage_date": pl.Date(),
        **dict.fromkeys(("kind", "issuer", "resource_id", "host", "gpu_uuid"), pl.String()),
        "gpu_milliseconds": pl.Int64(),
    },
    "fct_source_coverage_daily": {
        "usage_date": pl.Date(),
        **dict.fromkeys(("source", "account", "dataset", "status"), pl.String()),
        "is_blocked": pl.Boolean(),
    },
    "fct_control_differences_daily": {
        "usage_date": pl.Date(),
        **dict.fromkeys(
            ("issuer", "account", "book_source", "control_source", "control_account", "control_measure"), pl.String()
        ),
        **dict.fromkeys(("model", "billing_currency", "status"), pl.String()),
        **dict.fromkeys(("book_cost", "control_cost", "difference_cost"), MONEY),
    },
    "fct_day_status_daily": {"usage_date": pl.Date(), "status": pl.String(), "blocked_count": pl.Int64()},
    "fct_demand_daily": {
        "usage_date": pl.Date(),
        **dict.fromkeys(("workload", "lane", "token_class", "evidence"), pl.String()),
        "tokens": pl.Int64(),
    },
    "fct_demand_hourly": {
        "usage_date": pl.Date(),
        "usage_hour_at": pl.Datetime("us"),
        **dict.fromkeys(("workload", "lane", "token_class"), pl.String()),
        "tokens": pl.Int64(),
    },
    "dim_source": {
        **dict.fromkeys(("source", "account", "dataset", "issuer", "role"), pl.String()),
        "is_invoice": pl.Boolean(),
        **dict.fromkeys(("first_usage_date", "last_usage_date", "silent_since_date"), pl.Date()),
    },
    "stg_gpu_bills__lines": dict.fromkeys(("source", "account", "invoice_id"), pl.String()),
    "stg_gpu_bills__totals": dict.fromkeys(("source", "account", "invoice_id"), pl.String()),
    "fct_reconciliation_invoice": {
        **dict.fromkeys(("issuer", "account", "invoice_id", "billing_currency", "status"), pl.String()),
        **dict.fromkeys(("period_start_date", "period_end_date"), pl.Date()),
        **dict.fromkeys(("payable_cost", "lines_cost", "residual_cost", "allocated_cost", "unallocated_cost"), MONEY),
    },
    "fct_invoices_monthly": dict(invoices_monthly.SCHEMA),
    "fct_verdicts_daily": {
        **dict.fromkeys(("usage_date", "window_from_date"), pl.Date()),
        **dict.fromkeys(
            (
                "workload",
                "team",
                "status",
                "reason",
                "api_price_basis",
                "deployment_id",
                "gpu_rate_basis",
                "capacity_basis",
                "capacity_source",
                "current_lane",
                "recommendation",
            ),
            pl.String(),
        ),
        **dict.fromkeys(
            (
                "window_days_count",
                "all_self_host_replica_count",
                "best_replica_count",
                "breakeven_crossing_count",
            ),
            pl.Int64(),
        ),
        **dict.fromkeys(
            (
                "demand_tokens_per_day",
                "capacity_tokens_per_replica_hour",
                "breakeven_first_tokens_per_day",
                "breakeven_stable_tokens_per_day",
                "breakeven_utilization_ratio",
                "demand_ratio",
            ),
            pl.Float64(),
        ),
        **dict.fromkeys(
            (
                "api_price_rc_per_mtok",
                "gpu_hour_rate_rc",
                "api_only_cost_rc",
                "api_only_without_cache_cost_rc",
                "best_cost_least_rc",
                "best_cost_most_rc",
                "all_self_host_cost_rc",
                "best_cost_rc",
                "current_cost_rc",
                "full_replica_margin_rc",
                "saving_rc_per_month",
                "replica_cost_rc",
                "fixed_cost_rc",
            ),
            MONEY,
        ),
    },
    "fct_alert_states_daily": {
        "usage_date": pl.Date(),
        **dict.fromkeys(("workload", "state", "reason"), pl.String()),
        "is_fired": pl.Boolean(),
    },
    "fct_verdict_intervals_daily": dict(verdict_intervals.SCHEMA),
    "fct_demand_forecasts_daily": dict(demand_forecasts.SCHEMA),
    "fct_peak_allowances_daily": {
        "usage_date": pl.Date(),
        **dict.fromkeys(("workload", "peak_allowance_basis", "reason"), pl.String()),
        **dict.fromkeys(("peak_allowance_ratio", "measured_allowance_ratio"), MONEY),
        "week_from_date": pl.Date(),
        **dict.fromkeys(("week_served_hours_count", "week_minute_hours_count"), pl.Int64()),
    },
    "check_money_is_conserved": dict.fromkeys(("law", "scope", "detail"), pl.String()),
    "check_gpu_time_is_conserved": dict.fromkeys(("law", "scope", "detail"), pl.String()),
}
SCHEMAS["fct_scale_downs_daily"] = dict(scale_downs.SCHEMA)
SCHEMAS["fct_deployment_plans_daily"] = dict(deployment_plans.SCHEMA)
SCHEMAS["fct_model_matches_daily"] = dict(model_matches.SCHEMA)
SCHEMAS["fct_idle_fill_daily"] = dict(idle_fills.SCHEMA)
SCHEMAS["int_gpu_resource_costs_daily"] = SCHEMAS["int_gpu_charges_daily"]

CONFIG = parse_config("""
company: Acme
deployments: [{deployment: llama, model: llama-70b, gpus_per_replica: 1}]
""")


def hours(number: int | str) -> int:
    """Milliseconds."""
    return int(Decimal(number) * 3_600_000)


def api_cost(**changes: Any) -> dict[str, Any]:
    row = {
        "usage_date": DAY,
        "provider": "anthropic",
        "issuer": "anthropic",
        "account": "acme",
        "model": "claude-haiku-4-5",
        "token_class": "output",
        "charge_kind": "tokens",
        "attribution": "direct",
        "billing_currency": "USD",
        "team": "support",
        "workload": "chat",
        "price_status": "priced",
        "tokens": 20_000_000,
        "billed_cost": Decimal("90.10"),
        "list_cost_rc": Decimal("100"),
    }
    row["billed_cost_rc"] = changes.get("billed_cost", row["billed_cost"])
    return {**row, **changes}


def gpu_cost(**changes: Any) -> dict[str, Any]:
    row = {
        "usage_date": DAY,
        "issuer": "gpu-cloud",
        "account": "gpu-cloud",
        "resource_id": "i-1",
        "deployment_id": "llama",
        "state": "serving",
        "cost_measure": "billed",
        "host": "node-1",
        "billing_currency": "USD",
        "gpu_milliseconds": hours(10),
        "realized_cost": Decimal("26.90"),
    }
    row["realized_cost_rc"] = changes.get("realized_cost", row["realized_cost"])
    return {**row, **changes}


def charge(**changes: Any) -> dict[str, Any]:
    return {
        "usage_date": DAY,
        "issuer": "gpu-cloud",
        "account": "gpu-cloud",
        "cost_measure": "billed",
        "billing_currency": "USD",
        "realized_cost": Decimal("64.56"),
        **changes,
    }


def unit_cost(**changes: Any) -> dict[str, Any]:
    return {
        "usage_date": DAY,
        "lane": "self_host",
        "provider": "gpu-cloud",
        "deployment_id": "llama",
        "model": "llama-3.3-70b",
        "token_class": "blended",
        "cost_measure": "billed",
        "class_weight_method": "token_count",
        "tokens": 10_000_000,
        "full_cost_rc": Decimal("64.56"),
        "active_cost_rc": Decimal("26.90"),
        "marginal_rc_per_mtok": 0.0,
        **changes,
    }


def verdict(**changes: Any) -> dict[str, Any]:
    return {
        "usage_date": DAY,
        "workload": "chat",
        "team": "support",
        "status": "decided",
        "reason": "Replica 1 would displace 90 of API cost for 64 of rent.",
        "window_from_date": date(2026, 10, 1),
        "window_days_count": 20,
        "demand_tokens_per_day": 142_500_000.0,
        "api_price_rc_per_mtok": Decimal("1.161"),
        "api_price_basis": "realized",
        "deployment_id": "llama",
        "gpu_hour_rate_rc": Decimal("2.69"),
        "gpu_rate_basis": "billed",
        "capacity_basis": "declared",
        "capacity_source": "load test",
        "capacity_tokens_per_replica_hour": 24_240_000.0,
        "api_only_cost_rc": Decimal("3885.76"),
        "api_only_without_cache_cost_rc": None,
        "best_cost_least_rc": None,
        "best_cost_most_rc": None,
        "all_self_host_cost_rc": Decimal("4167.69"),
        "all_self_host_replica_count": 1,
        "best_cost_rc": Decimal("3885.76"),
        "best_replica_count": 0,
        "current_cost_rc": Decimal("4000"),
        "breakeven_first_tokens_per_day": 128_060_000.0,
        "breakeven_stable_tokens_per_day": 128_060_000.0,
        "breakeven_crossing_count": 1,
        "full_replica_margin_rc": Decimal("15314.45"),
        "breakeven_utilization_ratio": 0.191,
        "demand_ratio": 1.1128,
        "current_lane": "api",
        "recommendation": "switch_to_self_host",
        "saving_rc_per_month": Decimal("114.24"),
        **changes,
    }


def tables() -> Tables:
    """A plain month. Change what a test is about."""
    return {
        "fct_api_costs_daily": [
            api_cost(),
            api_cost(account="labs", workload="lab", team=None, billed_cost=Decimal("11.20")),
        ],
        "fct_gpu_costs_daily": [
            gpu_cost(),
            gpu_cost(state="loaded_idle", gpu_milliseconds=hours(12), realized_cost=Decimal("32.28")),
            gpu_cost(state="unobserved", gpu_milliseconds=hours(2), realized_cost=Decimal("5.38")),
            gpu_cost(
                issuer="basement",
                account="basement",
                resource_id="asset-1",
                deployment_id="gemma",
                host="node-2",
                cost_measure="effective",
                gpu_milliseconds=hours(24),
                realized_cost=Decimal("29.40"),
            ),
        ],
        "int_gpu_charges_daily": [
            charge(),
            charge(issuer="basement", account="basement", cost_measure="effective", realized_cost=Decimal("29.40")),
        ],
        "int_fx_rates_daily": [
            {"usage_date": date(2026, 10, day), "currency": "USD", "multiplier": 1, "divisor": 1}
            for day in range(1, 32)
        ],
        "fct_unit_costs_daily": [
            unit_cost(),
            unit_cost(token_class="output"),
            unit_cost(
                deployment_id="gemma",
                provider="basement",
                model="gemma-3-27b",
                cost_measure="effective",
                tokens=0,
                full_cost_rc=Decimal("29.40"),
                active_cost_rc=Decimal(0),
                marginal_rc_per_mtok=None,
            ),
            unit_cost(
                lane="api",
                provider="anthropic",
                deployment_id=None,
                model="claude-haiku-4-5",
                tokens=20_000_000,
                full_cost_rc=Decimal("90.10"),
                active_cost_rc=Decimal("90.10"),
                marginal_rc_per_mtok=4.505,
                class_weight_method="billed_by_class",
            ),
        ],
        "fct_self_host_tokens_daily": [
            {
                "usage_date": DAY,
                "deployment_id": "llama",
                "workload": "chat",
                "model": "llama-3.3-70b",
                "token_class": "output",
                "tokens": 10_000_000,
            }
        ],
        "fct_source_coverage_daily": [
            {
                "usage_date": date(2026, 10, day),
                "source": "anthropic_cost_api",
                "account": "acme",
                "dataset": "cost_report",
                "status": "settled",
                "is_blocked": False,
            }
            for day in range(1, 32)
        ],
        "fct_day_status_daily": [
            {"usage_date": date(2026, 10, day), "status": "settled", "blocked_count": 0} for day in range(1, 32)
        ],
        "fct_demand_hourly": [
            {
                "usage_date": date(2026, 10, day),
                "usage_hour_at": datetime(2026, 10, day, hour),  # noqa: DTZ001
                "workload": "chat",
                "lane": "api",
                "token_class": "output",
                "tokens": HOURLY_TOKENS * (3 if 8 <= hour < 16 else 0 if hour < 2 else 1) // 2,
            }
            for day in range(1, 21)
            for hour in range(24)
        ],
        "dim_source": [
            {
                "source": "anthropic_cost_api",
                "account": "acme",
                "dataset": "cost_report",
                "issuer": "anthropic",
                "role": "book",
                "is_invoice": False,
                "last_usage_date": date(2026, 11, 4),
            },
            {
                "source": "invoice_csv",
                "account": "gpu-cloud",
                "dataset": "invoice",
                "issuer": "gpu-cloud",
                "role": "book",
                "is_invoice": True,
                "last_usage_date": date(2026, 10, 1),
            },
        ],
        "stg_gpu_bills__lines": [{"source": "invoice_csv", "account": "gpu-cloud", "invoice_id": "INV-10"}] * 3,
        "fct_reconciliation_invoice": [
            {
                "issuer": "gpu-cloud",
                "account": "gpu-cloud",
                "invoice_id": "INV-10",
                "billing_currency": "USD",
                "status": "ties",
                "period_start_date": date(2026, 10, 1),
                "period_end_date": date(2026, 11, 1),
                "payable_cost": Decimal("64.56"),
                "lines_cost": Decimal("64.56"),
                "residual_cost": Decimal(0),
                "allocated_cost": Decimal("64.56"),
                "unallocated_cost": Decimal(0),
            }
        ],
        "fct_verdicts_daily": [
            verdict(usage_date=date(2026, 10, day), demand_tokens_per_day=day * 7_000_000.0) for day in (10, 11, 13)
        ]
        + [verdict(), verdict(workload="lab", team=None, deployment_id="gemma")],
        "fct_alert_states_daily": [
            {"usage_date": DAY, "workload": "chat", "state": "api", "is_fired": False, "reason": "Day 1 of 7."}
        ],
    }


def broken(law: str, scope: str, detail: str = "the parts say 1, the whole 2.") -> dict[str, Any]:
    return {"law": law, "scope": scope, "detail": detail}


def snapshot_of(filled: Mapping[str, Rows], folder: Path) -> Snapshot:
    """A snapshot whose nodes are exactly these tables; one that is not named is empty."""
    nodes = {}
    for name, schema in SCHEMAS.items():
        rows = [{column: row.get(column) for column in schema} for row in filled.get(name, ())]
        file = folder / "nodes" / name / "whole.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame(rows, schema=schema, orient="row").write_parquet(file)
        nodes[name] = NodeRelation(
            name=name,
            columns=tuple((column, duckdb_type(kind)) for column, kind in schema.items()),
            partition_by="none",
            date_column="usage_date",
            parts={"all": NodePart(key="whole", rows=len(rows), content=name)},
            folder=folder,
        )
    return Snapshot(
        graph_key="graph",
        as_of=AS_OF,
        release="0.1.0",
        landing_identity="landing-identity",
        delivery_count=3,
        event_count=1,
        nodes=nodes,
        folders=dict.fromkeys(nodes, "marts"),
    )


def config(company: str = "Acme") -> Config:
    return CONFIG.model_copy(update={"company": company})
