"""demo-openai: its projects, models and prices, and who asked for how many tokens when.

Integers and a seeded generator only, so every machine makes the same demand.
"""

import random
from dataclasses import dataclass
from datetime import date

from pipeline.demo import company

ACCOUNT = "demo-openai"
ORGANIZATION = "org-01DemoOpenAI"

TRIAGE_PROJECT = "proj_01DemoTickets"
DOCUMENTS_PROJECT = "proj_01DemoDocuments"
MAIL_KEY = "key_01DemoTicketsMail"
WEB_KEY = "key_01DemoTicketsWeb"
NIGHT_KEY = "key_01DemoTicketsNight"
INDEXER_KEY = "key_01DemoIndexer"
TRIAL_KEY = "key_01DemoTrials"

MINI = "gpt-5-mini-2025-08-07"
MINI_5_4 = "gpt-5.4-mini-2026-03-17"
EMBEDDING = "text-embedding-3-small"
# The model behind a dated snapshot.
MODELS = {MINI: "gpt-5-mini", MINI_5_4: "gpt-5.4-mini", EMBEDDING: "text-embedding-3-small"}

# List price in thousandths of a US dollar per 1M tokens, as published; read in genai-prices 0.2.3 on 2026-11-29.
LIST_PRICE_MILLS_PER_MTOK: dict[str, dict[str, int]] = {
    MINI: {"input_uncached": 250, "input_cache_read": 25, "output": 2000},
    MINI_5_4: {"input_uncached": 750, "input_cache_read": 75, "output": 4500},
    EMBEDDING: {"input_uncached": 20},
}
BATCH_PERCENT_OF_LIST = 50

# From this day on the tickets of the evening wait for a batch job at night.
BATCH_SINCE = date(2026, 10, 15)
_BATCH_HOURS = (1, 2, 3, 4)

_TICKET_TOKENS_PER_DAY = 14_000_000
_BATCH_TOKENS_PER_DAY = 5_000_000
_DOCUMENT_TOKENS_PER_DAY = 30_000_000
_TRIAL_TOKENS_PER_DAY = 400_000
_KEY_SHARES = {MAIL_KEY: 600, WEB_KEY: 400}

# Thousandths of the traffic by token class. More than half of the output is reasoning, which the vendor counts inside
# output and nowhere else.
_TICKET_MIX = {"input_uncached": 450, "input_cache_read": 250, "output": 300}
_BATCH_MIX = {"input_uncached": 650, "output": 350}
_TRIAL_MIX = {"input_uncached": 700, "output": 300}
_EMBEDDING_MIX = {"input_uncached": 1000}


@dataclass(frozen=True)
class Used:
    """One row of the hourly usage: tokens by class, disjoint. `project_id` None: usage that belongs to no project."""

    usage_date: date
    hour: int
    workload: str | None
    project_id: str | None
    api_key_id: str
    model: str
    is_batch: bool
    tokens: dict[str, int]
    requests: int

    @property
    def service_tier(self) -> str | None:
        """None: the meter of embeddings states no tier."""
        return None if self.model == EMBEDDING else "batch" if self.is_batch else "standard"


def usage() -> list[Used]:
    """Every row of demo-openai's usage, in time order."""
    rng = random.Random(f"{company.SEED}/openai")
    return [row for day in company.DAYS for hour in range(24) for row in _hour(rng, day=day, hour=hour)]


def _hour(rng: random.Random, *, day: date, hour: int) -> list[Used]:
    is_weekday, is_working_hour = day.weekday() < 5, 7 <= hour < 19
    rows = []
    if 6 <= hour < 22:
        waits = _BATCH_TOKENS_PER_DAY if day >= BATCH_SINCE else 0
        live = (_TICKET_TOKENS_PER_DAY - waits) * (1000 if is_weekday else 600) // 1000 // 16
        for key, share in _KEY_SHARES.items():
            tokens = _by_class(rng, live * share // 1000, _TICKET_MIX)
            rows.append(_used(day, hour, "mail-sorting", TRIAGE_PROJECT, key, MINI, tokens, request_tokens=2_600))
    if hour in _BATCH_HOURS and day >= BATCH_SINCE:
        tokens = _by_class(rng, _BATCH_TOKENS_PER_DAY // len(_BATCH_HOURS), _BATCH_MIX)
        rows.append(
            _used(day, hour, "mail-sorting", TRIAGE_PROJECT, NIGHT_KEY, MINI, tokens, request_tokens=3_100, batch=True)
        )
    if is_weekday and is_working_hour:
        tokens = _by_class(rng, _TRIAL_TOKENS_PER_DAY // 12, _TRIAL_MIX)
        rows.append(_used(day, hour, None, None, TRIAL_KEY, MINI_5_4, tokens, request_tokens=1_900))
    if is_working_hour:
        tokens = _by_class(rng, _DOCUMENT_TOKENS_PER_DAY * (10 if is_weekday else 1) // 120, _EMBEDDING_MIX)
        rows.append(
            _used(day, hour, "document-search", DOCUMENTS_PROJECT, INDEXER_KEY, EMBEDDING, tokens, request_tokens=6_000)
        )
    return rows


def _used(
    day: date,
    hour: int,
    workload: str | None,
    project: str | None,
    key: str,
    model: str,
    tokens: dict[str, int],
    *,
    request_tokens: int,
    batch: bool = False,
) -> Used:
    requests = max(1, sum(tokens.values()) // request_tokens)
    return Used(day, hour, workload, project, key, model, batch, tokens, requests)


def _by_class(rng: random.Random, tokens: int, mix: dict[str, int]) -> dict[str, int]:
    """Tokens split by the mix, each class with up to 5% of noise of its own."""
    return {name: tokens * share // 1000 * rng.randrange(950, 1051) // 1000 for name, share in mix.items()}
