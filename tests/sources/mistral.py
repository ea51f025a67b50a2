"""Mistral's usage of a month, generated as its console answers it, and the Admin API that gives it."""

import json
from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.sources.admin_api import KEY, Answer

LARGE = "mistral-large-2411"
PRICES = {"input": "0.0000017000", "output": "0.0000051000", "cached": "1.70E-7"}


def entry(lane: str, value: int, *, day: str = "2026-11-03", metric: str = LARGE, **more: Any) -> dict[str, Any]:
    return {
        "usage_type": "usage",
        "event_type": "api_tokens",
        "billing_metric": metric,
        "billing_display_name": "mistral-large-latest",
        "billing_group": lane,
        "timestamp": day,
        "value": value,
        "value_paid": value,
        **more,
    }


def month(models: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]] | None = None, **more: Any) -> dict[str, Any]:
    """An answer: its completions by model and lane; every other category empty."""
    return {
        "completion": {"models": {} if models is None else models},
        "ocr": {"models": {}},
        "connectors": {"models": {}},
        "libraries_api": {"pages": {"models": {}}, "tokens": {"models": {}}},
        "fine_tuning": {"training": {}, "storage": {}},
        "audio": {"models": {}},
        "vibe_usage": 0.0,
        "date": "2026-11-01T00:00:00Z",
        "previous_month": "2026-10",
        "next_month": "2026-12",
        "start_date": "2026-11-01T00:00:00Z",
        "end_date": "2026-11-30T23:59:59.999Z",
        "currency": "EUR",
        "currency_symbol": "€",
        "prices": [
            {"event_type": "api_tokens", "billing_metric": LARGE, "billing_group": lane, "price": price}
            for lane, price in PRICES.items()
        ],
        **more,
    }


def days(year: int, number: int) -> dict[str, str]:
    """Of which month an answer says that it is."""
    start = f"{year}-{number:02d}"
    end = f"{start}-{monthrange(year, number)[1]}T23:59:59.999Z"
    return {"start_date": f"{start}-01T00:00:00Z", "end_date": end}


def used(**lanes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {f"mistral-large-latest::{LARGE}": lanes}


@dataclass
class Mistral:
    """`answers` by (month, year); a month that is not among them is empty. `faults` are answered first."""

    answers: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    faults: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    base_url: str = ""

    def answer(self, path: str, params: list[tuple[str, str]], headers: Mapping[str, str]) -> Answer:
        asked = dict(params)
        self.asked.append((path, asked))
        if self.faults:
            return self.faults.pop(0)
        if headers.get("x-api-key") != KEY:
            return Answer(status=401, body=b'{"error": {"message": "unauthorized"}}')
        year, number = int(asked["year"]), int(asked["month"])
        said = self.answers.get((asked["month"], asked["year"]), month(prices=[], currency=None, **days(year, number)))
        return Answer(body=json.dumps(said).encode())
