"""What a million tokens really cost a day, per class and blended, in either lane."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from fractions import Fraction
from typing import Any

from tests.oracle.landed import Project
from tests.oracle.money import QUANTA, money, split
from tests.oracle.rules import allowance, deployment

Rows = dict[tuple[Any, ...], dict[str, Any]]
_RATES = {
    "input_uncached": "prefill_tokens_per_second",
    "input_cache_read": "cached_tokens_per_second",
    "output": "decode_tokens_per_second",
}


def unit_costs(project: Project, *, api_costs: Rows, gpu_costs: Rows, served: Rows) -> Rows:
    """fct_unit_costs_daily."""
    rows: Rows = dict(_api_rows(api_costs))
    tokens: dict[tuple[date, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (day, deployment_id, _, _, token_class), row in served.items():
        if deployment_id is not None:
            tokens[day, deployment_id][token_class] += row["tokens"]
    costs: dict[tuple[date, str], list[tuple[tuple[Any, ...], dict[str, Any]]]] = defaultdict(list)
    for key, row in gpu_costs.items():
        if key[4] is not None:
            costs[key[0], key[4]].append((key, row))
    for day, deployment_id in tokens.keys() | costs.keys():
        by_class = dict(sorted(tokens.get((day, deployment_id), {}).items()))
        rows |= _self_host_rows(project, day, deployment_id, by_class, costs.get((day, deployment_id), []))
    return rows


def _api_rows(api_costs: Rows) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Cells that were both billed and metered."""
    sums: dict[tuple[date, str, str | None, str], list[Any]] = defaultdict(lambda: [0, Fraction(0)])
    for key, row in api_costs.items():
        day, provider, model, token_class, charge_kind = key[0], key[1], key[6], key[7], key[11]
        if charge_kind != "tokens" or row["billed_cost"] is None or row["tokens"] is None:
            continue
        for name in (token_class, "blended"):
            total = sums[day, provider, model, name]
            total[0] += row["tokens"]
            is_known = row["billed_cost_rc"] is not None and total[1] is not None
            total[1] = total[1] + row["billed_cost_rc"] if is_known else None
    for (day, provider, model, token_class), (tokens, cost) in sums.items():
        price = _per_million(cost, tokens)
        yield (
            (day, "api", provider, None, model, token_class, "billed"),
            {
                "tokens": tokens,
                "full_cost_rc": cost,
                "active_cost_rc": cost,
                "full_rc_per_mtok": price,
                "active_rc_per_mtok": price,
                "marginal_rc_per_mtok": price,
                "class_weight_method": "billed_by_class",
            },
        )


def _per_million(cost: Fraction | None, tokens: int | None) -> Fraction | None:
    return None if cost is None or not tokens else cost * 10**6 / tokens


def _self_host_rows(
    project: Project,
    day: date,
    deployment_id: str,
    tokens: dict[str, int],
    costs: list[tuple[tuple[Any, ...], dict[str, Any]]],
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    declared = deployment(project, deployment_id)
    measures = {key[6] for key, _ in costs}
    measure = next((one for one in ("accrued", "effective") if one in measures), "billed") if costs else None
    provider = "+".join(sorted({key[1] for key, _ in costs})) or None
    amounts = [row["realized_cost_rc"] for _, row in costs]
    is_known = bool(amounts) and None not in amounts
    full = sum(amounts, Fraction(0)) if is_known else None
    serving = [row["realized_cost_rc"] for key, row in costs if key[5] == "serving"]
    active = sum(serving, Fraction(0)) if is_known else None
    method, weights = _weights(declared, tokens)
    has_spare = _has_spare(declared, method, weights, costs)

    def row(name_tokens: int | None, full_cost: Fraction | None, active_cost: Fraction | None) -> dict[str, Any]:
        price = _per_million(full_cost, name_tokens)
        marginal = Fraction(0) if has_spare else None if has_spare is None else price
        return {
            "tokens": name_tokens,
            "full_cost_rc": full_cost,
            "active_cost_rc": active_cost,
            "full_rc_per_mtok": price,
            "active_rc_per_mtok": _per_million(active_cost, name_tokens),
            "marginal_rc_per_mtok": marginal if name_tokens else None,
            "class_weight_method": method,
        }

    def key(token_class: str) -> tuple[Any, ...]:
        return day, "self_host", provider, deployment_id, declared["model"], token_class, measure

    yield key("blended"), row(sum(tokens.values()) if tokens else None, full, active)
    if sum(weights.values()):
        full_shares = _shares(full, weights)
        active_shares = _shares(active, weights)
        for token_class, count in tokens.items():
            yield key(token_class), row(count, full_shares[token_class], active_shares[token_class])


def _shares(cost: Fraction | None, weights: dict[str, int]) -> dict[str, Fraction | None]:
    if cost is None:
        return dict.fromkeys(weights)
    return {name: money(share) for name, share in split(int(cost * QUANTA), weights).items()}


def _weights(declared: dict[str, Any], tokens: dict[str, int]) -> tuple[str | None, dict[str, int]]:
    """GPU-nanoseconds of each class by the declared throughput; else every token weighs the same."""
    if not tokens:
        return None, {}
    capacity = declared["capacity"] or {}
    rates = {name: Fraction(capacity.get(_RATES[name]) or 0) for name in tokens}
    if any(count and not rates[name] for name, count in tokens.items()):
        return "token_count", dict(tokens)
    weights = {name: max(int(count * 10**9 / rates[name]), 1) if count else 0 for name, count in tokens.items()}
    return "declared_throughput", weights


def _has_spare(
    declared: dict[str, Any],
    method: str | None,
    weights: dict[str, int],
    costs: list[tuple[tuple[Any, ...], dict[str, Any]]],
) -> bool | None:
    """Whether one token more is free: work below the allowed peak of what stood ready, else any idle time at all."""
    ready = [row["gpu_milliseconds"] for key, row in costs if key[5] in ("serving", "loaded_idle")]
    idle = [row["gpu_milliseconds"] for key, row in costs if key[5] == "loaded_idle"]
    if method == "declared_throughput":
        if not ready:
            return None
        allowed = sum(ready) * 10**6 * allowance(declared["capacity"]) / declared["gpus_per_replica"]
        return bool(sum(weights.values()) < allowed)
    return True if sum(idle) > 0 else None
