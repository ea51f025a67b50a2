"""How an API would bill the tokens that an engine served: list prices of the pinned book, a named model, no judgement.

A price says nothing of quality, and another model's tokenizer makes another number of tokens of the same text.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from pipeline.check.engine import Tokens
from pipeline.decisions.price_book import CURRENCY, PRICE_BOOK, PROVIDERS, book_version, find_model, prices_on
from pipeline.economics.exact import Exact, to_places
from pipeline.economics.units import cost_of_tokens, cost_per_mtok

# Only named, never recommended: the small model of each provider whose prices the book has here. `--api` names others.
DEFAULT_APIS = ("openai/gpt-5-mini", "anthropic/claude-haiku-4-5")
# What the list prices are of: the standard tier, requests of up to 200k tokens.
MODE = "standard"
CONTEXT_WINDOW = "0-200k"
PRICES_CURRENCY = CURRENCY
_PLACES = 18


@dataclass(frozen=True, kw_only=True)
class ApiBill:
    """What one API model would charge, in USD at list. Both bounds None where unpriced, `why` then says why.

    `uncached`: as if no prompt token were found in the API's cache. `cached`: as many as the engine found in its own;
    None where those are not counted.
    """

    model: str
    provider: str | None
    uncached_cost: Decimal | None
    cached_cost: Decimal | None
    uncached_per_mtok: Decimal | None
    cached_per_mtok: Decimal | None
    why: str | None = None


def price_book_label() -> str:
    """Which book the prices are from."""
    return f"{PRICE_BOOK} {book_version()}"


def api_bill(tokens: Tokens, *, api: str, day: date) -> ApiBill:
    """The tokens of a window at the list prices of `model` or `provider/model` on a day."""
    found = _providers(api)
    if not found:
        why = f"{price_book_label()} has no such model of {' or '.join(PROVIDERS)}: unpriced, not free"
        return _unpriced(api, None, why)
    if len(found) > 1:
        return _unpriced(api, None, f"more than one provider has it: say which, as {found[0][0]}/{api}")
    ((provider, model),) = found
    prices = prices_on(day, provider=provider, model=model, mode=MODE, context_window=CONTEXT_WINDOW)
    without_hits = {"input_uncached": tokens.prompt, "output": tokens.output}
    lacking = [name for name, count in without_hits.items() if count and name not in prices]
    if lacking:
        why = f"no list price for {' and '.join(lacking)} on {day}: it bills something else than these tokens"
        return _unpriced(model, provider, why)
    uncached = cost_of_tokens(tokens_by_class=without_hits, price_per_mtok_by_class=prices)
    cached = None
    if tokens.cache_read is not None and (not tokens.cache_read or "input_cache_read" in prices):
        cached = cost_of_tokens(tokens_by_class=tokens.by_class(), price_per_mtok_by_class=prices)
    return ApiBill(
        model=model,
        provider=provider,
        uncached_cost=to_places(uncached, _PLACES),
        cached_cost=None if cached is None else to_places(cached, _PLACES),
        uncached_per_mtok=cost_per_mtok(cost=uncached, tokens=tokens.total),
        cached_per_mtok=cost_per_mtok(cost=cached, tokens=tokens.total),
    )


def equal_tokens_per_second(*, cost_per_hour: Exact, api_per_mtok: Decimal | None) -> Fraction | None:
    """Tokens a second, of the same mix, at which the API would charge what the GPUs cost; None where it never would."""
    if not api_per_mtok:
        return None
    return Fraction(cost_per_hour) / 3600 * 1_000_000 / Fraction(api_per_mtok)


def _providers(api: str) -> list[tuple[str, str]]:
    provider, slash, model = api.partition("/")
    if slash and provider in PROVIDERS:
        return [(provider, model)] if find_model(provider, model) is not None else []
    return [(name, api) for name in PROVIDERS if find_model(name, api) is not None]


def _unpriced(model: str, provider: str | None, why: str) -> ApiBill:
    return ApiBill(
        model=model, provider=provider, uncached_cost=None, cached_cost=None,
        uncached_per_mtok=None, cached_per_mtok=None, why=why,
    )  # fmt: skip
