"""Node `fct_cloud_model_costs_daily`: what models cost that a cloud hosts and bills by the token, and how many tokens.

Bedrock, Azure OpenAI (Foundry) and Vertex AI charge by meters on a cloud's own bill, so that the model, the class of
token and the unit are in a meter's name: `pipeline.formats.model_meters` reads it. Each charge of such a service is
here once, whether its meter counts tokens or not. All of it is in `fct_cloud_charges_daily` too: never add the two.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from typing import Any

import polars as pl

from pipeline.formats.model_meters import SERVICES, ModelMeter, model_meter

_CLOUD = "fct_cloud_charges_daily"
# Of a row of it, in SQL: whether it is here.
IS_HOSTED = f"(not is_gpu_resource and charge_category = 'Usage' and regexp_matches(lower(service), '{SERVICES}'))"
INPUTS = (_CLOUD,)
READS: Mapping[str, str] = {
    _CLOUD: """
        select
            usage_date, issuer, account, sub_account_id, resource_id, service, sku_meter, consumed_unit,
            billing_currency,
            case
                when count(*) = count(consumed_quantity) filter (abs(consumed_quantity) < $most)
                    then cast(sum(consumed_quantity) filter (abs(consumed_quantity) < $most) as decimal(38, 18))
            end as consumed_quantity,
            case when count(*) = count(billed_cost) then cast(sum(billed_cost) as decimal(38, 18)) end as billed_cost,
            case when count(*) = count(billed_cost_rc) then cast(sum(billed_cost_rc) as decimal(38, 18)) end
                as billed_cost_rc,
            case when count(*) = count(list_cost_rc) then cast(sum(list_cost_rc) as decimal(38, 18)) end as list_cost_rc
        from fct_cloud_charges_daily
        where is_book and $hosted
        group by
            usage_date, issuer, account, sub_account_id, resource_id, service, sku_meter, consumed_unit,
            billing_currency""".replace("$hosted", IS_HOSTED).replace("$most", "1000000000000000")
}
PREPARE: Mapping[str, Any] = {_CLOUD: pl.DataFrame.to_dicts}
_MONEY = pl.Decimal(38, 18)
SCHEMA: Mapping[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "issuer": pl.String(),
    "account": pl.String(),
    "sub_account_id": pl.String(),
    "resource_id": pl.String(),
    "service": pl.String(),
    "sku_meter": pl.String(),
    "consumed_unit": pl.String(),
    "billing_currency": pl.String(),
    "provider": pl.String(),
    "model": pl.String(),
    "token_class": pl.String(),
    "service_tier": pl.String(),
    "inference_geo": pl.String(),
    "context_window": pl.String(),
    "status": pl.String(),
    "tokens": pl.Int64(),
    "billed_cost": _MONEY,
    "billed_cost_rc": _MONEY,
    "list_cost_rc": _MONEY,
    "billed_rc_per_mtok": pl.Float64(),
}
KNOWN, NOT_TOKENS, NO_QUANTITY, NO_UNIT, NOT_A_MODEL = (
    "known", "not_tokens", "no_quantity", "no_unit", "not_a_model",
)  # fmt: skip
_LARGEST = 2**63 - 1
_EXACT = Context(prec=80)


def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
    """One row per UTC day, issuer, account, sub-account, resource, service, meter, unit and currency.

    tokens: whole, the half to even; null where the meter counts none (`not_tokens`: provisioned units, guardrails,
    images), the bill states no quantity, or a unit that nobody knows. billed_rc_per_mtok: null without either.
    """
    this = inputs["this_partition"].row(0, named=True)
    rows = [
        _row(line)
        for day, lines in sorted(inputs[_CLOUD].items())
        if this["from_date"] <= day < this["to_date"]
        for line in lines
    ]
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def _row(line: Mapping[str, Any]) -> dict[str, Any]:
    meter = _meter(line["service"], line["sku_meter"], line["consumed_unit"])
    tokens = None if meter is None else _tokens(line["consumed_quantity"], meter.tokens_per_unit)
    cost = line["billed_cost_rc"]
    return {
        **{name: line[name] for name in SCHEMA if name in line},
        "provider": None if meter is None else meter.provider,
        "model": None if meter is None else meter.model,
        "token_class": None if meter is None else meter.token_class,
        "service_tier": None if meter is None else meter.service_tier,
        "inference_geo": None if meter is None else meter.inference_geo,
        "context_window": None if meter is None else meter.context_window,
        "status": _status(meter, tokens, line["consumed_quantity"]),
        "tokens": tokens,
        "billed_rc_per_mtok": None if cost is None or not tokens else _per_mtok(cost, tokens),
    }


def _per_mtok(cost: Decimal, tokens: int) -> float:
    return float(_EXACT.divide(_EXACT.multiply(cost, Decimal(1_000_000)), Decimal(tokens)))


@lru_cache(maxsize=10_000)
def _meter(service: str | None, meter: str | None, unit: str | None) -> ModelMeter | None:
    return model_meter(service=service, meter=meter, unit=unit)


def _tokens(quantity: Decimal | None, per_unit: int | None) -> int | None:
    if quantity is None or per_unit is None:
        return None
    found = int(_EXACT.multiply(quantity, Decimal(per_unit)).to_integral_value(ROUND_HALF_EVEN))
    return found if abs(found) <= _LARGEST else None


def _status(meter: ModelMeter | None, tokens: int | None, quantity: Decimal | None) -> str:
    if meter is None:
        return NOT_A_MODEL
    if meter.token_class is None:
        return NOT_TOKENS
    if tokens is not None:
        return KNOWN
    return NO_QUANTITY if quantity is None else NO_UNIT
