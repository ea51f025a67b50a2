"""demo-org's Admin API pages (usage and costs) and demo-labs' Console CSV, in the vendor's own spelling.

Formats: Anthropic's Usage and Cost API (usage_report/messages in hourly buckets, at most 168 a page; cost_report in
daily buckets, at most 31 a page, amounts in cents as decimal strings) and the Console's cost export (in dollars,
rounded to the cent).
"""

import csv
import io
import json
import random
from base64 import b64encode
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pipeline.demo import company
from pipeline.demo.traffic import UsageRow
from pipeline.demo.truth import BilledDay

_QUANTA_PER_CENT = 10**9

_COST_TOKEN_TYPES = {
    "input_uncached": ("uncached_input_tokens", "Input Tokens"),
    "input_cache_read": ("cache_read_input_tokens", "Cache Read Tokens"),
    "input_cache_write_5m": ("cache_creation.ephemeral_5m_input_tokens", "Cache Write Tokens (5m)"),
    "output": ("output_tokens", "Output Tokens"),
}
_CONSOLE_TOKEN_TYPES = {
    "input_uncached": "input_no_cache",
    "input_cache_read": "input_cache_read",
    "input_cache_write_5m": "input_cache_write_5m",
    "output": "output",
}


@dataclass(frozen=True)
class Window:
    """One pull: the days asked for (end exclusive) and the stamp of its answer."""

    from_day: date
    to_day: date
    stamp: str


FIRST_PULL = Window(from_day=company.FIRST_DAY, to_day=date(2026, 11, 4), stamp="20261104T060000Z")
LAST_PULL = Window(from_day=date(2026, 10, 25), to_day=date(2026, 11, 15), stamp="20261115T050000Z")


@dataclass(frozen=True)
class CostCell:
    """One row of the cost report. `quanta`: 10^-9 cents, so that every amount is an exact integer."""

    usage_date: date
    workspace_id: str | None
    model: str | None
    token_class: str | None
    quanta: int


def cost_cells(usage: Sequence[UsageRow]) -> list[CostCell]:
    """Tokens x list price less the contract's 10%, by day, workspace and description.

    Priority tier is left out: the vendor never shows it in its cost report.
    """
    sums: dict[tuple[date, str | None, str | None, str | None], int] = defaultdict(int)
    for row in usage:
        if row.service_tier == "priority":
            continue
        for token_class, tokens in row.tokens.items():
            price = company.LIST_PRICE_CENTS_PER_MTOK[row.model][token_class]
            # cents = tokens x price / 10^6 x percent / 100; in quanta of 10^-9 cents: x 10.
            quanta = tokens * price * company.CONTRACT_PERCENT_OF_LIST * 10
            if quanta:
                sums[row.usage_date, row.workspace_id, row.model, token_class] += quanta
        if row.web_searches:
            charge = row.web_searches * company.WEB_SEARCH_LIST_CENTS * company.CONTRACT_PERCENT_OF_LIST
            sums[row.usage_date, row.workspace_id, None, None] += charge * _QUANTA_PER_CENT // 100
    cells = [CostCell(*key, quanta=quanta) for key, quanta in sums.items()]
    return sorted(cells, key=lambda cell: (cell.usage_date, cell.workspace_id or "", cell.model or "~", _order(cell)))


def _order(cell: CostCell) -> int:
    return company.TOKEN_CLASSES.index(cell.token_class) if cell.token_class else len(company.TOKEN_CLASSES)


def understated(cells: Sequence[CostCell]) -> list[CostCell]:
    """The same cells as the first pull saw them: the restated day had only 70% of its money yet."""
    return [
        CostCell(
            usage_date=cell.usage_date,
            workspace_id=cell.workspace_id,
            model=cell.model,
            token_class=cell.token_class,
            quanta=cell.quanta * 7 // 10 if cell.usage_date == company.RESTATED_DAY else cell.quanta,
        )
        for cell in cells
    ]


def cost_pages(cells: Sequence[CostCell], *, window: Window) -> bytes:
    """The pages of one cost_report pull: daily buckets, 31 a page, grouped by workspace_id and description."""
    results: dict[date, list[dict[str, Any]]] = defaultdict(list)
    for cell in cells:
        results[cell.usage_date].append(_cost_result(cell))
    buckets = [_bucket(_midnight(day), _midnight(day + timedelta(days=1)), results[day]) for day in _days(window)]
    return _pages(buckets, per_page=31, label=f"cost-{window.stamp}")


def usage_pages(usage: Sequence[UsageRow], *, window: Window) -> bytes:
    """The pages of one usage_report/messages pull: hourly buckets, 168 a page."""
    results: dict[tuple[date, int], list[dict[str, Any]]] = defaultdict(list)
    for row in usage:
        results[row.usage_date, row.hour].append(_usage_result(row))
    buckets = []
    for day in _days(window):
        for hour in range(24):
            end = _midnight(day + timedelta(days=1)) if hour == 23 else f"{day.isoformat()}T{hour + 1:02d}:00:00Z"
            buckets.append(_bucket(f"{day.isoformat()}T{hour:02d}:00:00Z", end, results[day, hour]))
    return _pages(buckets, per_page=168, label=f"usage-{window.stamp}")


def dollars(quanta: int) -> str:
    """Quanta of 10^-9 cents as an exact decimal string in dollars."""
    return _decimal(quanta, places=11)


def billed_days(cells: Sequence[CostCell]) -> list[BilledDay]:
    """What demo-org was billed for each day."""
    sums: dict[date, int] = defaultdict(int)
    for cell in cells:
        sums[cell.usage_date] += cell.quanta
    return [
        BilledDay(
            usage_date=day,
            source="anthropic_cost_api",
            account=company.API_ACCOUNT,
            measure="billed",
            currency="USD",
            amount=dollars(sums[day]),
        )
        for day in company.DAYS
    ]


def _cost_result(cell: CostCell) -> dict[str, Any]:
    amount = _decimal(cell.quanta, places=9)
    if cell.model is None or cell.token_class is None:
        return {
            "amount": amount,
            "context_window": None,
            "cost_type": "web_search",
            "currency": "USD",
            "description": "Web Search Usage",
            "inference_geo": None,
            "model": None,
            "service_tier": None,
            "token_type": None,
            "workspace_id": cell.workspace_id,
        }
    token_type, words = _COST_TOKEN_TYPES[cell.token_class]
    return {
        "amount": amount,
        "context_window": "0-200k",
        "cost_type": "tokens",
        "currency": "USD",
        "description": f"{company.DISPLAY_NAMES[cell.model]} Usage - {words}",
        "inference_geo": company.INFERENCE_GEO[cell.model],
        "model": cell.model,
        "service_tier": "standard",
        "token_type": token_type,
        "workspace_id": cell.workspace_id,
    }


def _usage_result(row: UsageRow) -> dict[str, Any]:
    return {
        "uncached_input_tokens": row.tokens["input_uncached"],
        "cache_creation": {
            "ephemeral_1h_input_tokens": 0,
            "ephemeral_5m_input_tokens": row.tokens["input_cache_write_5m"],
        },
        "cache_read_input_tokens": row.tokens["input_cache_read"],
        "output_tokens": row.tokens["output"],
        "server_tool_use": {"web_search_requests": row.web_searches},
        "api_key_id": row.api_key_id,
        "workspace_id": row.workspace_id,
        "model": row.model,
        "service_tier": row.service_tier,
        "context_window": "0-200k",
        "inference_geo": None,
    }


def _days(window: Window) -> list[date]:
    return [window.from_day + timedelta(days=offset) for offset in range((window.to_day - window.from_day).days)]


def _midnight(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"


def _bucket(starting_at: str, ending_at: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    return {"starting_at": starting_at, "ending_at": ending_at, "results": results}


def _pages(buckets: Sequence[Mapping[str, Any]], *, per_page: int, label: str) -> bytes:
    """A closed chain of pages as one JSON array, the way a downloader keeps it."""
    pages = []
    for start in range(0, len(buckets), per_page):
        is_last = start + per_page >= len(buckets)
        token = b64encode(f"demo-{label}-{start + per_page}".encode()).decode()
        pages.append(
            {
                "data": list(buckets[start : start + per_page]),
                "has_more": not is_last,
                "next_page": None if is_last else f"page_{token}",
            }
        )
    return (json.dumps(pages, separators=(",", ":")) + "\n").encode()


def _decimal(quanta: int, *, places: int) -> str:
    """An integer of 10^-places as a decimal string without trailing zeros."""
    whole, part = divmod(quanta, 10**places)
    return f"{whole}.{part:0{places}d}".rstrip("0").rstrip(".")


# The Console names the days a file covers; the day it was downloaded is the downloader's addition.
CONSOLE_NAME = "claude_api_cost_2026_10_01_to_2026_11_14_exported_2026_11_15.csv"
_CONSOLE_HEADER = (
    "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,"
    "inference_geo,speed,api_key_id,api_key_status"
)
_TWIN_DAY = date(2026, 10, 14)  # two rows equal in every dimension, as genuine exports have


def console_csv() -> tuple[bytes, list[BilledDay]]:
    """demo-labs' Console export (every cell rounded to the cent) and what it says each day cost."""
    rng = random.Random(f"{company.SEED}/labs")
    text = io.StringIO()
    text.write(_CONSOLE_HEADER + "\n")
    writer = csv.writer(text, lineterminator="\n")
    days: list[BilledDay] = []
    for day in company.DAYS:
        cells = _console_cells(rng, day=day)
        for model, token_class, cents in cells:
            writer.writerow(_console_row(day=day, model=model, token_class=token_class, cents=cents))
        days.append(
            BilledDay(
                usage_date=day,
                source="anthropic_console_csv",
                account=company.LABS_ACCOUNT,
                measure="billed",
                currency="USD",
                amount=_cents(sum(cents for _, _, cents in cells)),
            )
        )
    return text.getvalue().encode(), days


def _console_cells(rng: random.Random, *, day: date) -> list[tuple[str, str, int]]:
    """(model, token class, cents) of one day. demo-labs pays list."""
    size = 25 if day.weekday() >= 5 else 100
    mix = {"input_uncached": 1_800_000, "input_cache_read": 900_000, "input_cache_write_5m": 60_000, "output": 260_000}
    cells = []
    for model in (company.HAIKU, company.SONNET):
        for token_class, mean in mix.items():
            tokens = mean * size // 100 * rng.randrange(600, 1401) // 1000
            price = company.LIST_PRICE_CENTS_PER_MTOK[model][token_class]
            cents = (2 * tokens * price + 10**6) // (2 * 10**6)  # half up
            if day == _TWIN_DAY and model == company.SONNET and token_class == "output":
                cells.append((model, token_class, cents // 3))
                cents -= cents // 3
            cells.append((model, token_class, cents))
    return cells


def _console_row(*, day: date, model: str, token_class: str, cents: int) -> list[str]:
    return [
        day.isoformat(),
        company.DISPLAY_NAMES[model],
        "Default",
        "demo-labs-notebooks",
        "message",
        "≤ 200k",
        _CONSOLE_TOKEN_TYPES[token_class],
        _cents(cents),
        _cents(cents),
        "token",
        company.INFERENCE_GEO[model],
        "",
        "apikey_01DemoLabs",
        "active",
    ]


def _cents(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
