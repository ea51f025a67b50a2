"""LiteLLM's FOCUS export as its transformer writes it: 44 columns, a row per day, key, user, model, group, provider."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

Row = Mapping[str, str]
GATEWAY = "litellm_focus"
HEADER = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceIssuerName",
    "InvoiceId",
    "ListCost",
    "ListUnitPrice",
    "AvailabilityZone",
    "PricingCurrency",
    "PricingCategory",
    "PricingQuantity",
    "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceSubcategory",
    "ServiceName",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
]


def row(
    day: str,
    cost: str,
    *,
    key: str = "ab" * 32,
    user: str = "u-1",
    model: str = "claude-haiku-4-5",
    group: str = "small",
    provider: str = "anthropic",
    team: str = "team-1",
    requests: str = "3.0",
) -> dict[str, str]:
    """A day's spend so far of a key on a model. Costs are whole micro-dollars."""
    tags = {"team_id": team, "user_id": user, "model": model, "custom_llm_provider": provider}
    said = {
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), cost),
        "PricingCurrencyEffectiveCost": cost,
        "BillingAccountId": key,
        "BillingAccountType": "API Key",
        **dict.fromkeys(("BillingCurrency", "PricingCurrency"), "USD"),
        **dict.fromkeys(("BillingPeriodStart", "ChargePeriodStart"), f"{day}T00:00:00Z"),
        "ChargeCategory": "Usage",
        **dict.fromkeys(("ChargeDescription", "ResourceId", "ResourceName", "ResourceType"), model),
        "ChargeFrequency": "Usage-Based",
        **dict.fromkeys(("ConsumedQuantity", "PricingQuantity"), requests),
        **dict.fromkeys(("ConsumedUnit", "PricingUnit"), "Requests"),
        **dict.fromkeys(("InvoiceIssuerName", "ProviderName", "PublisherName"), provider),
        "ServiceName": group,
        "SubAccountId": team,
        "Tags": json.dumps(tags),
    }
    return {name: said.get(name, "") for name in HEADER}


def export_csv(rows: Sequence[Row]) -> bytes:
    file = io.BytesIO()
    pl.DataFrame([dict(one) for one in rows], schema=dict.fromkeys(HEADER, pl.String())).write_csv(file)
    return file.getvalue()


def export_parquet(rows: Sequence[Row]) -> bytes:
    """Amounts as DECIMAL(18,6), as the transformer casts them; empty text as nothing."""
    frame = pl.DataFrame([dict(one) for one in rows], schema=dict.fromkeys(HEADER, pl.String()))
    amounts = [name for name in HEADER if name.endswith(("Cost", "Quantity"))]
    typed = frame.with_columns(pl.when(pl.all() != "").then(pl.all()).name.keep())
    file = io.BytesIO()
    typed.with_columns(pl.col(amounts).cast(pl.Decimal(18, 6))).write_parquet(file)
    return file.getvalue()


def window_name(from_day: str, to_day: str, *, suffix: str = "csv") -> str:
    """As LiteLLM names the file of [00:00 of a day, 00:00 of another)."""
    start, end = (f"{day.replace('-', '')}T000000Z" for day in (from_day, to_day))
    return f"usage_{start}_{end}.{suffix}"


def gateway(account: str = "gateway", **fields: Any) -> dict[str, Any]:
    """One entry of `sources:`."""
    bills = fields.pop("bills", {"anthropic": "main"})
    return {
        "source": GATEWAY,
        "account": account,
        "inbox": f"inbox/{GATEWAY}/{account}",
        "settings": {"bills": bills},
        **fields,
    }
