"""Fireworks' usage costs and billing metrics, generated in their exact forms, and the API that answers them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.sources.admin_api import KEY, Answer

COSTS_HEADER = "account_id,date,group_by_dimension,group_by_value,subtotal_usd,currency"
METRICS_HEADER = (
    "email,start_time,end_time,usage_type,accelerator_type,accelerator_seconds,base_model_name,model_bucket,"
    "parameter_count,prompt_tokens,completion_tokens,cached_prompt_tokens,uncached_prompt_tokens"
)
MODEL = "accounts/fireworks/models/glm-5p2"
PATH = "/v1/accounts/acme-team/usageCosts:query"


def money(amount: str, currency: str = "USD") -> dict[str, Any]:
    """A google.type.Money as JSON has it: what is 0 is left out."""
    quanta = int(Decimal(amount).scaleb(9))
    sign = -1 if quanta < 0 else 1
    units, nanos = divmod(abs(quanta), 10**9)
    said: dict[str, Any] = {"currencyCode": currency}
    return said | ({"units": str(sign * units)} if units else {}) | ({"nanos": sign * nanos} if nanos else {})


def cost_row(day: str, amount: str, **dimensions: Any) -> dict[str, Any]:
    said = dimensions or {"model": MODEL}
    return {"dimensions": {"startTime": f"{day}T00:00:00Z", **said}, "subtotal": money(amount)}


def answer(*rows: Mapping[str, Any], subtotal: str | None = None, **more: Any) -> dict[str, Any]:
    """A page; its subtotal is the whole question's, that of these rows unless said otherwise."""
    whole = sum((_amount(row["subtotal"]) for row in rows), Decimal(0))
    return {
        "rows": list(rows),
        "subtotal": money(f"{whole:f}" if subtotal is None else subtotal),
        "attributionCompleteness": "COMPLETE",
        "evaluationTime": "2026-11-15T05:59:59.123Z",
        "nextPageToken": "",
        **more,
    }


def _amount(said: Mapping[str, Any]) -> Decimal:
    return Decimal(said.get("units", 0)) + Decimal(said.get("nanos", 0)).scaleb(-9)


def event(**fields: Any) -> str:
    """A row of the meter: one request of text inference, unless said otherwise."""
    said = {
        "email": "somebody@acme.example",
        "start_time": "2026-11-03 17:16:48 UTC",
        "end_time": "2026-11-03 17:16:49 UTC",
        "usage_type": "TEXT_COMPLETION_INFERENCE_USAGE",
        "accelerator_type": "",
        "accelerator_seconds": "",
        "base_model_name": MODEL,
        "model_bucket": "GLM 5.2",
        "parameter_count": "401583781376",
        "prompt_tokens": "803",
        "completion_tokens": "109",
        "cached_prompt_tokens": "200",
        "uncached_prompt_tokens": "603",
        **{name: str(value) for name, value in fields.items()},
    }
    return ",".join(said.values())


def metrics(*events: str, header: str = METRICS_HEADER) -> bytes:
    return "".join(f"{line}\n" for line in (header, *events)).encode()


def costs_csv(*rows: str) -> bytes:
    return "".join(f"{line}\n" for line in (COSTS_HEADER, *rows)).encode()


@dataclass
class Fireworks:
    """The endpoint: `rows` by pages of `page_rows`, each with the subtotal of all; `faults` are answered first."""

    rows: Sequence[Mapping[str, Any]] = ()
    page_rows: int = 1000
    said: Mapping[str, Any] = field(default_factory=dict)
    faults: list[Answer] = field(default_factory=list)
    never_closes: bool = False
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    base_url: str = ""

    def answer(self, path: str, params: list[tuple[str, str]], headers: Mapping[str, str]) -> Answer:
        question = json.loads(dict(params)["body"])
        self.asked.append((path, question))
        if self.faults:
            return self.faults.pop(0)
        if headers.get("authorization") != f"Bearer {KEY}":
            return Answer(status=401, body=b'{"error": {"message": "invalid key"}}')
        if headers.get("content-type") != "application/json" or path != PATH:
            return Answer(status=404, body=b'{"message": "Not Found"}')
        at = int(question.get("pageToken", "at-0").partition("-")[2])
        size = min(self.page_rows, question["pageSize"])
        page = self.rows[at : at + size]
        token = f"at-{at + size}" if at + size < len(self.rows) else "at-0" if self.never_closes else ""
        whole = sum((_amount(row["subtotal"]) for row in self.rows), Decimal(0))
        return Answer(
            body=json.dumps(answer(*page, subtotal=f"{whole:f}", nextPageToken=token) | dict(self.said)).encode()
        )
