"""Node `fct_token_class_weights_daily`: what a token of each class weighs in a deployment's joint bill, and whence.

By default GPU-seconds, fitted to the deployment's own saturated hours of the last 28 days; where these are too few or
do not tell the classes apart, `fct_unit_costs_daily` goes by the declared throughput, else by the count of tokens, and
the reason stands here. The exact split itself is that table's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from functools import reduce
from operator import add
from typing import Any

import polars as pl

from pipeline.decisions.window import WINDOW_DAYS, Row, Rows, valid_on
from pipeline.economics.exact import to_places
from pipeline.economics.joint_cost import (
    CLASSES,
    Fit,
    HourSums,
    Method,
    SaturatedHour,
    fit_gpu_seconds,
    hour_sums,
    units_per_token,
)

INPUTS = ("config_deployments", "fct_self_host_tokens_daily", "int_deployment_hours", "list_prices")
LOOKBACK = {"int_deployment_hours": WINDOW_DAYS - 1}
READS: Mapping[str, str] = {
    "fct_self_host_tokens_daily": """
        select usage_date, deployment_id, token_class, cast(sum(tokens) as bigint) as tokens
        from fct_self_host_tokens_daily
        where deployment_id is not null
        group by usage_date, deployment_id, token_class""",
    # Of every hour whether cache reads are counted: what the day's own tokens mean has to be what those of a fit do.
    "int_deployment_hours": """
        select
            usage_date, deployment_id, is_saturated, cache_reads_counted, serving_gpu_milliseconds,
            input_uncached_tokens, input_cache_read_tokens, output_tokens
        from int_deployment_hours
        where is_saturated or cache_reads_counted is not null""",
    "list_prices": """
        select model, token_class, list_cost_per_mtok, valid_from_date, valid_to_date
        from list_prices
        where mode = 'standard' and context_window = '0-200k'""",
}
SCHEMA: Mapping[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "deployment_id": pl.String(),
    "token_class": pl.String(),
    "tokens": pl.Int64(),
    "token_cost_split": pl.String(),
    "class_weight_method": pl.String(),
    "token_weight_units": pl.Int64(),
    "gpu_seconds_per_mtok": pl.Decimal(38, 18),
    "saturated_hours_count": pl.Int64(),
    "left_out_hours_count": pl.Int64(),
    "r_squared_ratio": pl.Decimal(38, 18),
    "condition_ratio": pl.Float64(),
    "reason": pl.String(),
}
# What of a deployment's declaration makes its hours those of another thing.
_SAME_THING = ("model", "gpus_per_replica", "gpu_type", "bytes_per_parameter")
_PLACES = 18

_CACHE_READ = "input_cache_read"


@dataclass(frozen=True)
class _Hours:
    """Of one deployment: the sums of its saturated hours by whether cache reads are counted in them, and of all hours
    whether they are. None: an hour without a prompt token, which tells either way.
    """

    saturated: Mapping[str | None, HourSums]
    counted: frozenset[str]


@dataclass(frozen=True)
class _Weights:
    """What was chosen; `method` and `units` None where it is left to the declared throughput, and why."""

    method: Method | None
    units: Mapping[str, int] | None
    reason: str | None


def _hours_of_day(frame: pl.DataFrame) -> dict[str, _Hours]:
    """One day's hours, by deployment."""
    saturated: dict[str, dict[str | None, list[SaturatedHour]]] = {}
    counted: dict[str, set[str]] = {}
    for row in frame.to_dicts():
        name, is_counted = row["deployment_id"], row["cache_reads_counted"]
        of_deployment, told = saturated.setdefault(name, {}), counted.setdefault(name, set())
        if is_counted is not None:
            told.add(is_counted)
        if row["is_saturated"]:
            # A class that is not counted has no part in a fit; hours that count it are no hours of that fit.
            tokens = {one: row[f"{one}_tokens"] or 0 for one in CLASSES}
            found = SaturatedHour(busy_gpu_milliseconds=row["serving_gpu_milliseconds"], tokens_by_class=tokens)
            of_deployment.setdefault(is_counted, []).append(found)
    return {
        name: _Hours({key: hour_sums(found) for key, found in hours.items()}, frozenset(counted[name]))
        for name, hours in saturated.items()
    }


def _rows(frame: pl.DataFrame) -> Rows:
    return frame.to_dicts()


PREPARE = {
    "config_deployments": _rows,
    "fct_self_host_tokens_daily": _rows,
    "int_deployment_hours": _hours_of_day,
    "list_prices": _rows,
}


def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
    """One row per deployment and token class that was served on the partition's day. `inputs`: as `PREPARE` made it.

    Evidence are the saturated hours that count cache reads as the day does. left_out_hours_count: those that do not.
    """
    day: date = inputs["this_partition"]["from_date"][0]
    served: dict[str, dict[str, int]] = {}
    for row in inputs["fct_self_host_tokens_daily"].get(day, ()):
        served.setdefault(row["deployment_id"], {})[row["token_class"]] = row["tokens"]
    declared = {row["deployment_id"]: row for row in valid_on(day, inputs["config_deployments"])}
    rows = [
        row
        for deployment_id in sorted(served.keys() & declared.keys())
        for row in _of_deployment(day, declared[deployment_id], served[deployment_id], inputs)
    ]
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def _of_deployment(
    day: date, declared: Row, tokens: Mapping[str, int], inputs: Mapping[str, Any]
) -> list[dict[str, Any]]:
    counted = "all" if _CACHE_READ in tokens else "none"
    sums = _sums(declared, inputs)
    left_out = sum(found.hours for key, found in sums.items() if key not in (None, counted))
    fit = fit_gpu_seconds(reduce(add, (found for key, found in sums.items() if key in (None, counted)), hour_sums([])))
    of_day = inputs["int_deployment_hours"].get(day, {}).get(declared["deployment_id"])
    problem = fit.problem
    if of_day is not None and of_day.counted - {counted}:
        problem = f"on {day} cache reads are counted of a part of its prompt tokens: what these took is not one thing"
    elif problem is not None and left_out:
        problem = f"{problem}; {left_out} more count cache reads otherwise than {day} does"
    chosen = _chosen(declared, tokens, fit, problem, valid_on(day, inputs["list_prices"]))
    return [
        {
            "usage_date": day,
            "deployment_id": declared["deployment_id"],
            "token_class": name,
            "tokens": tokens[name],
            "token_cost_split": declared["token_cost_split"],
            "class_weight_method": chosen.method,
            "token_weight_units": None if chosen.units is None else chosen.units[name],
            "gpu_seconds_per_mtok": _per_mtok(fit, name),
            "saturated_hours_count": fit.hours,
            "left_out_hours_count": left_out,
            "r_squared_ratio": None if fit.r_squared is None else to_places(fit.r_squared, _PLACES),
            "condition_ratio": fit.condition,
            "reason": chosen.reason,
        }
        for name in sorted(tokens)
    ]


def _per_mtok(fit: Fit, name: str) -> Any:
    taken = fit.gpu_seconds_per_token.get(name)
    return None if taken is None else to_places(taken * 10**6, _PLACES)


def _sums(declared: Row, inputs: Mapping[str, Any]) -> dict[str | None, HourSums]:
    """Saturated hours of the window, of the days on which the same thing was declared under this name; by whether cache
    reads are counted in them.
    """
    name = declared["deployment_id"]
    own = [row for row in inputs["config_deployments"] if row["deployment_id"] == name]
    found: dict[str | None, HourSums] = {}
    for day_of_hours, hours in inputs["int_deployment_hours"].items():
        if name in hours and any(_is_same(row, declared) for row in valid_on(day_of_hours, own)):
            for counted, sums in hours[name].saturated.items():
                found[counted] = found[counted] + sums if counted in found else sums
    return found


def _is_same(row: Row, declared: Row) -> bool:
    return all(row[field] == declared[field] for field in _SAME_THING)


def _chosen(declared: Row, tokens: Mapping[str, int], fit: Fit, problem: str | None, prices: Rows) -> _Weights:
    """`problem`: why the fit is not to be used; None where it is."""
    split = declared["token_cost_split"]
    if split == "token_count":
        return _Weights("token_count", dict.fromkeys(tokens, 1), None)
    if split == "fixed_ratio":
        ratio = {name: declared[f"{name}_weight_ratio"] for name in tokens}
        return _weighed("fixed_ratio", ratio)
    if split == "api_prices":
        return _like_prices(declared["token_cost_api_model"], tokens, prices)
    if problem is not None:
        return _Weights(None, None, problem)
    unseen = sorted(name for name, count in tokens.items() if count and name not in fit.gpu_seconds_per_token)
    if unseen:
        return _Weights(None, None, f"no saturated hour has tokens of {', '.join(unseen)}")
    return _weighed("fitted_gpu_seconds", {name: fit.gpu_seconds_per_token.get(name, Fraction(0)) for name in tokens})


def _like_prices(model: str, tokens: Mapping[str, int], prices: Rows) -> _Weights:
    listed = {row["token_class"]: row["list_cost_per_mtok"] for row in prices if row["model"] == model}
    unpriced = sorted(name for name, count in tokens.items() if count and name not in listed)
    if unpriced:
        return _Weights(
            None, None, f"no list price of {model} for {', '.join(unpriced)}: name it as a workload's api_model, too"
        )
    return _weighed("api_prices", {name: listed.get(name, 0) for name in tokens})


def _weighed(method: Method, weights: Mapping[str, Any]) -> _Weights:
    units = units_per_token(weights)
    return _Weights(None, None, f"{method}: all weights are 0") if units is None else _Weights(method, units, None)
