"""Node `fct_model_matches_daily`: whether a workload's API models are the model that its deployment serves.

One row per day, workload with a deployment and API model: those that it was billed for that day; where it was billed
for none, the one that it would buy or is compared with. The names are looked up in the seed `model_weights` and in
`models` of breakeven.yaml, as both hold that day; no figure of a verdict depends on the answer.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from pipeline.decisions.price_book import PROVIDERS, find_model
from pipeline.decisions.window import Row, valid_on
from pipeline.economics.model_identity import Alias, Aliases, compare
from pipeline.paths import models_root

INPUTS = (
    "api_prices",
    "config_deployment_served_names",
    "config_deployments",
    "config_models",
    "config_workloads",
    "fct_api_costs_daily",
    "fct_day_status_daily",
    "model_weights",
)
READS: Mapping[str, str] = {
    "api_prices": "select distinct provider, model from api_prices",
    "fct_api_costs_daily": """
        select distinct usage_date, workload, provider, model
        from fct_api_costs_daily
        where charge_kind = 'tokens' and model is not null""",
    "fct_day_status_daily": "select usage_date from fct_day_status_daily",
}
SCHEMA: Mapping[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "workload": pl.String(),
    "deployment_id": pl.String(),
    "api_provider": pl.String(),
    "api_model": pl.String(),
    "api_model_basis": pl.String(),
    "api_weights": pl.String(),
    "api_precision": pl.String(),
    "api_weights_source": pl.String(),
    "served_model": pl.String(),
    "served_weights": pl.String(),
    "served_precision": pl.String(),
    "served_weights_source": pl.String(),
    "relation": pl.String(),
    "reason": pl.String(),
}


def build(frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Rows for each day of the partition of which anything is known."""
    aliases = aliases_of(frames["model_weights"].to_dicts(), frames["config_models"].to_dicts())
    sold_by: dict[str, list[str]] = {}
    for provider, model in frames["api_prices"].select("provider", "model").unique().sort("provider").iter_rows():
        sold_by.setdefault(model, []).append(provider)
    billed: dict[tuple[date, str], list[_ApiModel]] = {}
    columns = ("usage_date", "workload", "provider", "model")
    for day, workload, provider, model in frames["fct_api_costs_daily"].select(columns).sort(columns).iter_rows():
        billed.setdefault((day, workload), []).append(_ApiModel("billed", provider, model))
    config = {name: frames[name].to_dicts() for name in INPUTS if name.startswith("config_")}
    rows: list[dict[str, Any]] = []
    for day in sorted(frames["fct_day_status_daily"]["usage_date"].unique()):
        deployments = {row["deployment_id"]: row for row in valid_on(day, config["config_deployments"])}
        served_names = valid_on(day, config["config_deployment_served_names"])
        for workload in sorted(valid_on(day, config["config_workloads"]), key=lambda row: str(row["workload"])):
            deployment = deployments.get(workload["deployment_id"])
            if deployment is None:
                continue
            names = [deployment["model"], *(row["served_name"] for row in served_names if _is_of(row, deployment))]
            served = _served(aliases, names, day)
            for api in billed.get((day, workload["workload"])) or _would_buy(workload, sold_by):
                about = {"usage_date": day, "workload": workload["workload"]}
                rows.append(about | _row(api, api.alias(aliases, day), deployment, served))
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def aliases_of(shipped: Iterable[Row], declared: Iterable[Row] = ()) -> Aliases:
    """Of rows of the seed `model_weights`, and of `config_models`."""
    return Aliases(
        [
            *(_alias(row, name=row["raw_name"], source=row["source"]) for row in shipped),
            *(_alias(row, name=row["model"], source="breakeven.yaml", is_declared=True) for row in declared),
        ]
    )


def shipped_aliases() -> Aliases:
    """The aliases that this release ships, where there is no build to read them from."""
    with (models_root() / "seeds" / "model_weights.csv").open(newline="", encoding="utf-8") as handle:
        return aliases_of({name: value or None for name, value in row.items()} for row in csv.DictReader(handle))


def sellers_of(served_names: Sequence[str], *, day: date) -> list[Alias]:
    """API models with a list price whose weights are those of what is served under these names, as shipped."""
    aliases = shipped_aliases()
    served = _served(aliases, served_names, day)
    return [
        alias
        for alias in (() if served is None else aliases.sellers(served.weights, day=day))
        if alias.provider in PROVIDERS and find_model(alias.provider, alias.name) is not None
    ]


@dataclass(frozen=True)
class _ApiModel:
    """A model of an API, and how it comes to be compared. provider: None where nobody sells it, or several do."""

    basis: str
    provider: str | None
    model: str

    def alias(self, aliases: Aliases, day: date) -> Alias | None:
        if self.provider is None:
            return None
        # `groq/llama-3.3-70b-versatile` names the seller; a name of its own may hold a slash as well.
        of_seller = self.model.removeprefix(f"{self.provider}/")
        found = (aliases.known(name, day=day, provider=self.provider) for name in (self.model, of_seller))
        return next((alias for alias in found if alias is not None), None)


def _would_buy(workload: Row, sold_by: Mapping[str, Sequence[str]]) -> list[_ApiModel]:
    for basis, column in (("api_model", "api_model"), ("comparator", "comparator_model")):
        model = workload[column]
        if model is not None:
            providers = sold_by.get(model, ())
            return [_ApiModel(basis, providers[0] if len(providers) == 1 else None, model)]
    return []


def _served(aliases: Aliases, names: Sequence[str], day: date) -> Alias | None:
    """What a deployment serves, by any of its names; None where they disagree."""
    found = [alias for name in names if (alias := aliases.known(name, day=day)) is not None]
    counting = [alias for alias in found if alias.is_declared] or found
    stands_for = {(alias.weights.lower(), alias.precision) for alias in counting}
    return counting[0] if len(stands_for) == 1 else None


def _is_of(row: Row, deployment: Row) -> bool:
    return bool(row["deployment_id"] == deployment["deployment_id"])


def _row(api: _ApiModel, known: Alias | None, deployment: Row, served: Alias | None) -> dict[str, Any]:
    compared = compare(known, served)
    return {
        "deployment_id": deployment["deployment_id"],
        "api_provider": api.provider,
        "api_model": api.model,
        "api_model_basis": api.basis,
        "api_weights": known and known.weights,
        "api_precision": known and known.precision,
        "api_weights_source": known and known.source,
        "served_model": deployment["model"],
        "served_weights": served and served.weights,
        "served_precision": served and served.precision,
        "served_weights_source": served and served.source,
        "relation": compared.relation,
        "reason": compared.says,
    }


def _alias(row: Row, *, name: str, source: str, is_declared: bool = False) -> Alias:
    precision = row["precision"]
    return Alias(
        name=name,
        provider=row["provider"],
        weights=row["weights"],
        precision=None if precision is None else str(precision).lower(),
        from_date=_day(row["valid_from_date"]),
        to_date=_day(row["valid_to_date"]),
        source=source,
        is_declared=is_declared,
    )


def _day(value: date | str | None) -> date | None:
    """As the build reads it, or as the CSV holds it."""
    return date.fromisoformat(value) if isinstance(value, str) else value
