"""Node `fct_adapter_tokens_daily`: which of a deployment's tokens its tuned adapters served, where a gateway tells.

An engine counts all of its adapters together, under its model's name: to its counters they are one deployment. A
gateway's log names each. Of a day whose prompt and whose completion tokens it has each within a tenth of what the
engines count, each class of the deployment's tokens, and what the class cost, is split by the gateway's count: prompts
by prompts, answers by answers. Parts add up to the deployment's, exactly. Other days are not told apart, and say why.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.decisions.window import QUANTA, Row, Rows, valid_on
from pipeline.economics.exact import to_places
from pipeline.economics.split import split_exactly

_LOGS = "stg_litellm_spend_logs__usage_hourly"
_TOKENS, _COSTS = "fct_self_host_tokens_daily", "fct_unit_costs_daily"
_UNDATED = ("config_deployment_adapters", "config_deployment_served_names")
INPUTS = (*_UNDATED, _TOKENS, _COSTS, _LOGS)
READS: Mapping[str, str] = {
    _TOKENS: """
        select usage_date, deployment_id, token_class, cast(sum(tokens) as bigint) as tokens
        from fct_self_host_tokens_daily
        where deployment_id is not null
        group by usage_date, deployment_id, token_class""",
    _COSTS: """
        select usage_date, deployment_id, token_class, full_cost_rc
        from fct_unit_costs_daily
        where lane = 'self_host' and token_class != 'blended'""",
    _LOGS: """
        select
            usage_date, raw_model,
            cast(sum(prompt_tokens) as bigint) as prompt_tokens,
            cast(sum(completion_tokens) as bigint) as completion_tokens
        from stg_litellm_spend_logs__usage_hourly
        group by usage_date, raw_model""",
}
PREPARE: Mapping[str, Any] = dict.fromkeys((*_UNDATED, _TOKENS, _COSTS, _LOGS), pl.DataFrame.to_dicts)
SCHEMA: Mapping[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "deployment_id": pl.String(),
    "adapter": pl.String(),
    "token_class": pl.String(),
    "status": pl.String(),
    "reason": pl.String(),
    "tokens": pl.Int64(),
    "full_cost_rc": pl.Decimal(38, 18),
}
TOLD, NOT_TOLD = "told", "not_told_apart"
# What a gateway counts may differ from the engines' count by one part in so many, for it to have seen the day.
_TOLERANCE = 10
_PLACES = 18


def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
    """One row per UTC day, deployment with declared adapters, adapter and token class.

    `adapter` null: what was asked for under the deployment's own names; on days that are not told apart, all of it.
    full_cost_rc: the adapter's part of what the class cost that day; null where that is unknown.
    """
    rows: list[dict[str, Any]] = []
    this = inputs["this_partition"].row(0, named=True)
    # Of a company that declares no adapter nothing further is read.
    if inputs["config_deployment_adapters"]:
        served, costs, logs = (inputs[name] for name in (_TOKENS, _COSTS, _LOGS))
        for day in sorted(served):
            if this["from_date"] <= day < this["to_date"]:
                rows.extend(_rows_of(day, inputs, served[day], costs.get(day, ()), logs.get(day, ())))
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def _rows_of(
    day: date, inputs: Mapping[str, Any], served: Rows, costs: Rows, logs: Sequence[Row]
) -> Iterable[dict[str, Any]]:
    adapters = _names(valid_on(day, inputs["config_deployment_adapters"]), "adapter")
    own_names = _names(valid_on(day, inputs["config_deployment_served_names"]), "served_name")
    money = {(row["deployment_id"], row["token_class"]): row["full_cost_rc"] for row in costs}
    for deployment in sorted(adapters):
        tokens = {row["token_class"]: row["tokens"] for row in served if row["deployment_id"] == deployment}
        if not tokens:
            continue
        parts = _Logged.of(adapters[deployment], own_names.get(deployment, set()) - adapters[deployment], logs)
        reason = parts.why_not(tokens)
        about = {"usage_date": day, "deployment_id": deployment, "status": NOT_TOLD if reason else TOLD,
                 "reason": reason}  # fmt: skip
        for token_class, count in sorted(tokens.items()):
            cost = money.get((deployment, token_class))
            if reason:
                yield about | {"adapter": None, "token_class": token_class, "tokens": count, "full_cost_rc": cost}
                continue
            weights = parts.weights(token_class)
            shares = _split(count, weights)
            amounts = _split(None if cost is None else int(Fraction(cost) * QUANTA), weights)
            for name, share, amount in zip(parts.names, shares, amounts, strict=True):
                yield about | {
                    "adapter": name,
                    "token_class": token_class,
                    "tokens": share,
                    "full_cost_rc": None if amount is None else _money(amount),
                }


def _names(rows: Iterable[Row], column: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["deployment_id"], set()).add(row[column])
    return found


@dataclass(frozen=True)
class _Logged:
    """What a gateway logged of a deployment that day: of each adapter, then of its own names (None)."""

    names: tuple[str | None, ...]
    prompts: tuple[int, ...]
    completions: tuple[int, ...]
    is_any: bool

    @classmethod
    def of(cls, adapters: set[str], own_names: set[str], logs: Sequence[Row]) -> "_Logged":
        named: list[tuple[str | None, set[str]]] = [*((name, {name}) for name in sorted(adapters)), (None, own_names)]

        def counted(column: str) -> tuple[int, ...]:
            return tuple(sum(row[column] for row in logs if row["raw_model"] in names) for _, names in named)

        return cls(
            names=tuple(name for name, _ in named),
            prompts=counted("prompt_tokens"),
            completions=counted("completion_tokens"),
            is_any=any(row["raw_model"] in names for row in logs for _, names in named),
        )

    def weights(self, token_class: str) -> tuple[int, ...]:
        return self.completions if token_class == "output" else self.prompts

    def why_not(self, tokens: Mapping[str, int]) -> str | None:
        """Why its parts are not those of the deployment's tokens; None where they are."""
        if not self.is_any:
            return "no gateway's log of the day names the deployment or one of its adapters"
        generated = tokens.get("output", 0)
        for what, logged, count in (
            ("prompt", sum(self.prompts), sum(tokens.values()) - generated),
            ("completion", sum(self.completions), generated),
        ):
            if abs(logged - count) * _TOLERANCE > count:
                return f"the gateway's log has {logged:,} {what} tokens of the day, its engines count {count:,}"
        return None


def _split(whole: int | None, weights: Sequence[int]) -> Sequence[int | None]:
    """By largest remainder. What is unknown is unknown of each; what nothing was logged of is the own names'."""
    if whole is None:
        return [None] * len(weights)
    if sum(weights) == 0:
        return [*[0] * (len(weights) - 1), whole]
    return list(split_exactly(whole, list(weights), [str(place) for place in range(len(weights))]))


def _money(quanta: int) -> Decimal:
    return to_places(Fraction(quanta, QUANTA), _PLACES)
