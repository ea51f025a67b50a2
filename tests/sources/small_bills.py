"""Exports of small providers, generated in their exact forms."""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

AMOUNT_HEADER = "user_id,utc_date,model,api_key_name,api_key,type,price,amount"
COST_HEADER = "user_id,utc_date,model,wallet_type,cost,currency"
OPENROUTER_HEADER = "Date,Slug,Usage,BYOK Usage,Requests,Prompt Tokens,Completion Tokens,Reasoning Tokens"
ZIP_NAME = "usage_data_2026_11.zip"


def deepseek_zip(
    amounts: Sequence[str],
    costs: Sequence[str],
    *,
    span: str = "2026-11",
    headers: tuple[str, str] = (AMOUNT_HEADER, COST_HEADER),
    line_end: str = "\n",
    mark: str = "",
) -> bytes:
    """The two files of a month as the platform packs them: amounts first."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for kind, header, rows in (("amount", headers[0], amounts), ("cost", headers[1], costs)):
            text = mark + "".join(f"{line}{line_end}" for line in (header, *rows))
            archive.writestr(zipfile.ZipInfo(f"{kind}-{span}.csv", (2026, 12, 1, 8, 0, 0)), text)
    return packed.getvalue()


def deepseek_amount(
    kind: str, price: str, amount: int, *, day: str = "2026-11-01", key: str = "search", model: str = "deepseek-chat"
) -> str:
    return f"u-1,{day},{model},{key},sk-a****z,{kind},{price},{amount}"


def deepseek_cost(
    cost: str, *, day: str = "2026-11-01", wallet: str = "Paid", currency: str = "USD", model: str = "deepseek-chat"
) -> str:
    return f"u-1,{day},{model},{wallet},{cost},{currency}"


def openrouter_row(**fields: Any) -> dict[str, Any]:
    """A row of the activity API, every field that the SDK names."""
    row = {
        "date": "2026-11-02 00:00:00",
        "model": "meta-llama/llama-3.3-70b-instruct",
        "model_permaslug": "meta-llama/llama-3.3-70b-instruct",
        "endpoint_id": "e-1",
        "provider_name": "DeepInfra",
        "usage": 0.35,
        "byok_usage_inference": 0,
        "requests": 12,
        "prompt_tokens": 600,
        "completion_tokens": 100,
        "reasoning_tokens": 40,
        "cached_tokens": 250,
    }
    return {**row, **fields}


def openrouter_answer(*rows: Mapping[str, Any]) -> bytes:
    return json.dumps({"data": list(rows)}).encode()
