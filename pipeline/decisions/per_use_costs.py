"""Node `fct_per_use_costs_daily`: what an LLM cost on workers that are billed while they work, and what it served.

A service of `per_use` in breakeven.yaml: serverless GPUs, an endpoint billed by the worker-second. Its cost is what its
rules claim of the bills, its tokens are what its gateway logged; nobody rents it by the hour, so no part of it is ever
idle, and no GPU state, no waste and no replica knows it. A charge that two services claim is neither's, and is shown as
that. Missing is not zero: of a day without a log of its gateway no token is known, of one without a charge no cost.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.decisions import rates
from pipeline.decisions.cloud_model_costs import IS_HOSTED
from pipeline.decisions.window import Row, Rows, valid_on
from pipeline.economics.exact import to_places

_CLOUD, _INVOICES, _FX = "fct_cloud_charges_daily", "int_gpu_charges_daily", "int_fx_rates_daily"
_LOGS = "stg_litellm_spend_logs__usage_hourly"
# Hours or seconds that no day's workers take, however many: such a line does not say its time.
_NO_TIME = 10**12
# Of a row of it, in SQL: whether it is what a service of `per_use` cost, and no more: models that a cloud hosts are in
# a table of their own, taxes and what buys a commitment stand beside. And whether a commitment says what it cost.
IS_PER_USE = (
    f"(per_use_service is not null and charge_category not in ('Tax', 'Purchase') and not coalesce({IS_HOSTED}, false))"
)
IS_COVERED = "pricing_category is not distinct from 'Committed'"
_UNDATED = ("config_per_use", "config_per_use_charges", "config_per_use_tokens")
INPUTS = (*_UNDATED, _CLOUD, _INVOICES, _FX, _LOGS)
# What a commitment covers is billed as 0: its cost is the commitment's, amortised. What buys one is in that already.
READS: Mapping[str, str] = {
    _CLOUD: """
        select
            usage_date, issuer, account, resource_id, service, sku, sub_account_id, consumed_unit, billing_currency,
            consumed_quantity,
            case
                when charge_category in ('Tax', 'Purchase') then 'beside'
                when charge_category = 'Usage' then 'usage'
                else 'given_back'
            end as kind,
            per_use_service,
            case when pricing_category = 'Committed' then 'effective' else 'billed' end as cost_measure,
            case when pricing_category = 'Committed' then effective_cost else billed_cost end as cost,
            case when pricing_category = 'Committed' then effective_cost_rc else billed_cost_rc end as cost_rc
        from fct_cloud_charges_daily
        where is_book and per_use_service is not null""",
    _INVOICES: """
        select
            usage_date, issuer, account, resource_id, billing_currency, gpu_milliseconds, realized_cost as cost
        from int_gpu_charges_daily
        where charge_kind = 'per_use'""",
    _FX: rates.READ,
    _LOGS: """
        select
            usage_date, account, provider, raw_model,
            cast(sum(request_count) as bigint) as request_count,
            cast(sum(prompt_tokens) as bigint) as prompt_tokens,
            cast(sum(completion_tokens) as bigint) as completion_tokens
        from stg_litellm_spend_logs__usage_hourly
        group by usage_date, account, provider, raw_model""",
}
PREPARE: Mapping[str, Any] = {
    **dict.fromkeys((*_UNDATED, _CLOUD, _INVOICES, _LOGS), pl.DataFrame.to_dicts),
    _FX: rates.rates_of_day,
}
_MONEY = pl.Decimal(38, 18)
_PLACES = 18
SCHEMA: Mapping[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "per_use_service": pl.String(),
    "model": pl.String(),
    "provider": pl.String(),
    "status": pl.String(),
    "reason": pl.String(),
    "cost_measure": pl.String(),
    "charge_count": pl.Int64(),
    "worker_milliseconds": pl.Int64(),
    "full_cost_rc": _MONEY,
    "of_which_worker_time_cost_rc": _MONEY,
    "beside_cost_rc": _MONEY,
    "request_count": pl.Int64(),
    "prompt_tokens": pl.Int64(),
    "completion_tokens": pl.Int64(),
    "tokens": pl.Int64(),
    "full_rc_per_mtok": pl.Float64(),
}
KNOWN, CLAIMED_TWICE, NO_TOKENS, NO_CHARGE, UNPRICED = (
    "known", "claimed_twice", "no_tokens", "no_charge", "unpriced",
)  # fmt: skip

# Whose time it is, before the unit of time: `GPU-Hours`, `worker seconds`. A core's or a gigabyte's is no worker's, and
# `M` may be a million. A unit of several (`100 Hours`) counts what a bill multiplies, or does not: it says no time.
_TIME = re.compile(
    r"1?(?:gpu|worker|instance|container|node|endpoint)?"
    r"(?P<unit>ms|milliseconds?|s|secs?|seconds?|mins?|minutes?|h|hrs?|hours?)"
)
_MILLISECONDS = {"m": 60_000, "h": 3_600_000, "s": 1_000}


def milliseconds_per_unit(unit: str | None) -> int | None:
    """Of a unit of worker time as a bill spells it; None where it is no unit of that."""
    found = _TIME.fullmatch(re.sub(r"[^a-z0-9.]", "", (unit or "").lower()))
    if found is None:
        return None
    name = found["unit"]
    return 1 if name.startswith(("ms", "milli")) else _MILLISECONDS[name[0]]


@dataclass(frozen=True)
class _Charge:
    """One line of a day. `worker_ms`: None where it states none; `is_worker_time`: it bills time, or says not what."""

    services: tuple[str, ...]
    issuer: str
    kind: str
    cost_measure: str
    cost_rc: Fraction | None
    worker_ms: Fraction | None
    is_worker_time: bool


def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
    """One row per UTC day and service of which that day anything is billed or logged.

    full_cost_rc: what its lines charge, less what was given back, without taxes and purchases (`beside_cost_rc`).
    worker_milliseconds: what its lines state of it; null where one that bills time does not say how much.
    full_rc_per_mtok: reporting currency per million tokens, prompt and completion together; null without either.
    """
    rows: list[dict[str, Any]] = []
    this = inputs["this_partition"].row(0, named=True)
    # Of a company that uses no such service nothing further is read.
    if any(_may_hold(row, this["from_date"], this["to_date"]) for row in inputs["config_per_use"]):
        cloud, invoices, logs = (inputs[name] for name in (_CLOUD, _INVOICES, _LOGS))
        for day in sorted({*cloud, *invoices, *logs}):
            if this["from_date"] <= day < this["to_date"]:
                rows.extend(_rows_of(day, inputs, cloud.get(day, ()), invoices.get(day, ()), logs.get(day, ())))
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def _may_hold(row: Row, from_date: date, to_date: date) -> bool:
    valid_from, valid_to = row["valid_from_date"], row["valid_to_date"]
    return (valid_from is None or valid_from < to_date) and (valid_to is None or valid_to > from_date)


def _rows_of(day: date, inputs: Mapping[str, Any], cloud: Rows, invoices: Rows, logs: Rows) -> Iterable[dict[str, Any]]:
    services = {row["per_use_service"]: row["model"] for row in valid_on(day, inputs["config_per_use"])}
    rules = valid_on(day, inputs["config_per_use_charges"])
    sought = valid_on(day, inputs["config_per_use_tokens"])
    fx = inputs[_FX].get(day)
    charges = [
        *map(_cloud_charge, cloud),
        *(charge for row in invoices if (charge := _invoice_charge(row, rules, fx)) is not None),
    ]
    found: dict[tuple[str, ...], list[_Charge]] = {}
    for charge in charges:
        found.setdefault(charge.services, []).append(charge)
    served = {name: _Served.of(name, sought, logs) for name in services}
    for name, model in sorted(services.items()):
        own = found.pop((name,), [])
        if own or served[name].request_count is not None:
            yield {"usage_date": day, "per_use_service": name, "model": model, **_row(own, served[name])}
    for names, shared in sorted(found.items()):
        about = {"usage_date": day, "per_use_service": " + ".join(names), "model": None}
        reason = f"{' and '.join(names)} claim the same charges: narrow the rules of one of them"
        yield about | _row(shared, _Served()) | {"status": CLAIMED_TWICE, "reason": reason}


# What rules name of a cloud's charges alone.
_OF_CLOUDS = ("service", "sku", "sub_account_id")


def _cloud_charge(row: Row) -> _Charge:
    per_unit = milliseconds_per_unit(row["consumed_unit"])
    quantity = row["consumed_quantity"]
    if quantity is not None and abs(quantity) >= _NO_TIME:
        quantity = None
    is_time = row["kind"] == "usage" and (per_unit is not None or row["consumed_unit"] is None)
    return _Charge(
        services=tuple(row["per_use_service"].split(" + ")),
        issuer=row["issuer"],
        kind=row["kind"],
        cost_measure=row["cost_measure"],
        cost_rc=_fraction(row["cost_rc"]),
        worker_ms=Fraction(quantity) * per_unit if is_time and per_unit and quantity is not None else None,
        is_worker_time=is_time,
    )


def _invoice_charge(row: Row, rules: Rows, fx: rates.RatesOfDay | None) -> _Charge | None:
    services = tuple(
        sorted(
            {
                rule["per_use_service"]
                for rule in rules
                if rule["account"] == row["account"]
                and rule["resource_id"] in (None, row["resource_id"])
                and not any(rule[name] for name in _OF_CLOUDS)
            }
        )
    )
    if not services:
        return None
    cost, is_given_back = _fraction(row["cost"]), row["cost"] is not None and row["cost"] < 0
    rate = None if fx is None else fx.by_currency.get(row["billing_currency"])
    return _Charge(
        services=services,
        issuer=row["issuer"],
        kind="given_back" if is_given_back else "usage",
        cost_measure="billed",
        cost_rc=None if cost is None or rate is None else Fraction(to_places(cost * rate, _PLACES)),
        worker_ms=None if row["gpu_milliseconds"] is None else Fraction(row["gpu_milliseconds"]),
        is_worker_time=not is_given_back,
    )


@dataclass(frozen=True)
class _Served:
    """What a gateway logged of a service in a day; all None where it logged nothing of anything."""

    request_count: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    why: str = "no rule names its gateway: say under tokens which requests are its"

    @classmethod
    def of(cls, service: str, rules: Rows, logs: Rows) -> "_Served":
        own = [rule for rule in rules if rule["per_use_service"] == service]
        if not own:
            return cls()
        watched = {row["account"] for row in logs}
        missing = sorted({rule["gateway_account"] for rule in own} - watched)
        if missing:
            return cls(why=f"nothing is logged of {' or '.join(missing)} that day")
        counted = [row for row in logs if any(_is_sought(row, rule) for rule in own)]
        others = {
            rule["per_use_service"]
            for rule in rules
            if rule["per_use_service"] != service and any(_is_sought(row, rule) for row in counted)
        }
        if others:
            return cls(why=f"{' and '.join(sorted({service, *others}))} claim the same requests")
        return cls(*(sum(row[name] for row in counted) for name in ("request_count", "prompt_tokens",
                                                                     "completion_tokens")))  # fmt: skip


def _is_sought(row: Row, rule: Row) -> bool:
    return (
        row["account"] == rule["gateway_account"]
        and row["raw_model"] == rule["raw_model"]
        and (rule["provider"] is None or rule["provider"] == row["provider"])
    )


def _row(charges: Sequence[_Charge], served: _Served) -> dict[str, Any]:
    own = [charge for charge in charges if charge.kind != "beside"]
    timed = [charge for charge in own if charge.is_worker_time]
    cost = _sum(charge.cost_rc for charge in own)
    tokens = None
    if served.prompt_tokens is not None and served.completion_tokens is not None:
        tokens = served.prompt_tokens + served.completion_tokens
    status, reason = _status(own, cost, tokens, served)
    return {
        "provider": "+".join(sorted({charge.issuer for charge in charges})) or None,
        "status": status,
        "reason": reason,
        # The least certain part says what the whole is, as of a deployment's GPUs.
        "cost_measure": max((charge.cost_measure for charge in own), default=None),
        "charge_count": len(charges),
        "worker_milliseconds": _whole(_sum(charge.worker_ms for charge in timed)),
        "full_cost_rc": _money(cost),
        "of_which_worker_time_cost_rc": _money(_sum(charge.cost_rc for charge in timed)),
        "beside_cost_rc": _money(_sum(charge.cost_rc for charge in charges if charge.kind == "beside")),
        "request_count": served.request_count,
        "prompt_tokens": served.prompt_tokens,
        "completion_tokens": served.completion_tokens,
        "tokens": tokens,
        "full_rc_per_mtok": float(cost * 1_000_000 / tokens) if cost is not None and tokens else None,
    }


def _status(
    own: Sequence[_Charge], cost: Fraction | None, tokens: int | None, served: _Served
) -> tuple[str, str | None]:
    if not own:
        return NO_CHARGE, "no line of the bills is its that day: not billed yet, or its rules under charges miss it"
    if cost is None:
        return UNPRICED, "a line has no amount in the reporting currency"
    if tokens is None:
        return NO_TOKENS, served.why
    return KNOWN, None


def _sum(parts: Iterable[Fraction | None]) -> Fraction | None:
    """None where there is no part, or one is unknown."""
    known = list(parts)
    whole = [part for part in known if part is not None]
    return sum(whole, Fraction(0)) if known and len(whole) == len(known) else None


def _fraction(value: Decimal | None) -> Fraction | None:
    return None if value is None else Fraction(value)


def _money(value: Fraction | None) -> Decimal | None:
    return None if value is None else to_places(value, _PLACES)


def _whole(value: Fraction | None) -> int | None:
    return None if value is None else round(value)
