"""What each token class of an API model costs at list, from when to when, as the bundled price book says.

Read from the bundled data of genai-prices (https://github.com/pydantic/genai-prices, pinned), never fetched. The
package prices one request; this table prices sums over many, so some things are done otherwise here:

- a price tier is chosen by the length of a request, which a sum does not have: the tier is the one that the
  usage's own `context_window` lies in, and where a tier starts inside that window there is no price;
- a request context that the package does not know is priced as if it were standard: here a mode has a price only where
  the package has an override for exactly that mode, token class and day;
- tokens of several kinds in one class (text and images in input_uncached) have one price only where the package does
  not price the kinds apart;
- a model is found by the beginning of its name, so an unreleased `claude-opus-4-15` would get the price of
  `claude-opus-4-1`: here a name must be the model's own, with at most a snapshot date or `-latest` behind it.

What has no price is unpriced, not free.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version

from genai_prices.data_snapshot import find_provider_by_id
from genai_prices.types import (
    ClauseAnd,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    ModelInfo,
    ModelPrice,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

PRICE_BOOK = "genai-prices"
CURRENCY = "USD"
# Sellers of open weights: each request alike, in one mode; what of its prompt is found in a cache is a class of its own
# where the book has a price for it.
_PLAIN = {"input_uncached": "input_mtok", "input_cache_read": "cache_read_mtok", "output": "output_mtok"}
_SELLERS = ("cerebras", "fireworks", "groq", "together")
# The token classes of a provider and the price that each one has; a class that is not listed has none.
_PRICE_KEYS: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(_SELLERS, _PLAIN),
    "anthropic": {
        "input_uncached": "input_mtok",
        "input_cache_read": "cache_read_mtok",
        "input_cache_write_5m": "cache_write_mtok",
        "input_cache_write_1h": "cache_write_1h_mtok",
        "output": "output_mtok",
    },
    "openai": {
        "input_uncached": "input_mtok",
        "input_uncached_audio": "input_audio_mtok",
        "input_cache_read": "cache_read_mtok",
        "input_cache_read_audio": "cache_audio_read_mtok",
        "input_cache_write_30m": "cache_write_mtok",
        "output": "output_mtok",
        "output_audio": "output_audio_mtok",
        "output_image": "output_image_mtok",
    },
}
# A class that holds images too has no one price where the book has another price for those.
_IMAGES_IN: Mapping[str, str] = {"input_mtok": "input_image_mtok", "cache_read_mtok": "cache_image_read_mtok"}
# The only request contexts ever handed to the price book, by the mode they mean.
_MODE_CONTEXTS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "anthropic": {"standard": {}, "batch": {"processing": "batch"}, "fast": {"speed": "fast"}},
    "openai": {
        "standard": {},
        "batch": {"processing": "batch"},
        "flex": {"service_tier": "flex"},
        "priority": {"service_tier": "priority"},
    },
    **{seller: {"standard": {}} for seller in _SELLERS},
}
# Whose models have prices here.
PROVIDERS = tuple(_MODE_CONTEXTS)
_WINDOW = re.compile(r"^(?P<low>\d+)(?P<low_unit>[kM]?)-(?P<high>\d+)(?P<high_unit>[kM]?)$")
_UNITS = {"": 1, "k": 1_000, "M": 1_000_000}
_NAME_ENDINGS = re.compile(r"^(-latest|[-@]20\d{6}|-20\d{2}-\d{2}-\d{2})?$")


@dataclass(frozen=True)
class Interval:
    """[from_date, to_date); None is open."""

    from_date: date | None
    to_date: date | None

    def __contains__(self, day: date) -> bool:
        return (self.from_date or date.min) <= day and (self.to_date is None or day < self.to_date)


def book_version() -> str:
    """The release of the book, which is pinned."""
    return version(PRICE_BOOK)


def prices_on(day: date, *, provider: str, model: str, mode: str, context_window: str | None) -> dict[str, Decimal]:
    """Token class -> USD per million tokens on a day. A class without an entry is unpriced, not free."""
    return {
        token_class: price
        for its_mode, token_class, interval, price in prices(provider, model, context_window)
        if its_mode == mode and day in interval
    }


def prices(provider: str, model: str, context_window: str | None) -> Iterator[tuple[str, str, Interval, Decimal]]:
    """(mode, token class, interval, USD per million tokens) wherever the book has exactly one price for it."""
    info = find_model(provider, model) if provider in _MODE_CONTEXTS else None
    if info is None:
        return
    for mode, context in _MODE_CONTEXTS[provider].items():
        for token_class, price_key in _PRICE_KEYS[provider].items():
            dated = (
                (interval, _untiered(_price_at(info, context, price_key, interval), context_window))
                for interval in _intervals(info)
            )
            for interval, price in _merged(dated):
                yield mode, token_class, interval, price


def find_model(provider: str, model: str) -> ModelInfo | None:
    """The book's model of exactly this name at this provider, or None. Never another provider's, never a prefix."""
    from genai_prices.data import providers

    book = find_provider_by_id(providers, provider)
    if book is None or book.id != provider:
        return None
    return next((info for info in book.models if info.id == model or _names(info.match, model)), None)


def _names(clause: object, model: str) -> bool:
    """Whether the clause means this very name: a prefix counts with a snapshot date or `-latest` behind it."""
    if isinstance(clause, ClauseOr):
        return any(_names(part, model) for part in clause.or_)
    if isinstance(clause, ClauseAnd):
        return all(_names(part, model) for part in clause.and_)
    if isinstance(clause, ClauseEquals):
        return clause.equals == model
    if isinstance(clause, ClauseRegex):
        return bool(re.fullmatch(clause.regex, model))
    if isinstance(clause, ClauseStartsWith):
        return model.startswith(clause.starts_with) and bool(_NAME_ENDINGS.match(model[len(clause.starts_with) :]))
    return False


def _intervals(info: ModelInfo) -> list[Interval]:
    """The timeline cut wherever one of the model's prices starts."""
    conditional = [] if isinstance(info.prices, ModelPrice) else info.prices
    constraints = [*(price.constraint for price in conditional), *(v.constraint for v in info.price_variants or ())]
    cuts = sorted({constraint.start_date for constraint in constraints if isinstance(constraint, StartDateConstraint)})
    return [Interval(start, end) for start, end in zip([None, *cuts], [*cuts, None], strict=True)]


def _price_at(
    info: ModelInfo, context: Mapping[str, str], price_key: str, interval: Interval
) -> Decimal | TieredPrices | None:
    """What the book says throughout the interval: None before its first price, or when it depends on the hour."""
    first_day = interval.from_date or date.min
    noon = datetime(first_day.year, first_day.month, first_day.day, 12, tzinfo=UTC)
    if context:
        for variant in info.price_variants or ():
            if isinstance(variant.constraint, TimeOfDateConstraint):
                return None
            if variant.constraint is not None and not variant.constraint.active(noon):
                continue
            if variant.when == context and getattr(variant.prices, price_key) is not None:
                return _stored(variant.prices, price_key)
        return None
    if isinstance(info.prices, ModelPrice):
        return _stored(info.prices, price_key)
    if any(isinstance(price.constraint, TimeOfDateConstraint) for price in info.prices):
        return None
    # The book answers with its first price for days before any of them began; here those days have none.
    for conditional in reversed(info.prices):
        if conditional.constraint is None or conditional.constraint.active(noon):
            return _stored(conditional.prices, price_key)
    return None


def _stored(prices: ModelPrice, price_key: str) -> Decimal | TieredPrices | None:
    value: Decimal | TieredPrices | None = getattr(prices, price_key)
    of_images = getattr(prices, _IMAGES_IN[price_key]) if price_key in _IMAGES_IN else None
    return value if of_images in (None, value) else None


def _untiered(price: Decimal | TieredPrices | None, context_window: str | None) -> Decimal | None:
    """The one price of every request length in the window, or None where the window holds several or is unknown."""
    if not isinstance(price, TieredPrices):
        return price
    window = _window(context_window)
    if window is None:
        return None
    low, high = window
    # A tier holds for requests longer than its start (types.TieredPrices), so a window that ends there is below it.
    if any(low < tier.start < high for tier in price.tiers):
        return None
    below = [tier.price for tier in price.tiers if tier.start <= low]
    return below[-1] if below else price.base


def _window(context_window: str | None) -> tuple[int, int] | None:
    """`0-200k` as (0, 200000): the request lengths, in input tokens, that a context window stands for."""
    match = _WINDOW.match(context_window or "")
    if match is None:
        return None
    return int(match["low"]) * _UNITS[match["low_unit"]], int(match["high"]) * _UNITS[match["high_unit"]]


def _merged(dated: Iterable[tuple[Interval, Decimal | None]]) -> Iterator[tuple[Interval, Decimal]]:
    """Intervals with a price, neighbours of equal price made one."""
    open_interval: Interval | None = None
    open_price: Decimal | None = None
    for interval, price in dated:
        if open_interval is not None and open_price is not None:
            if price == open_price:
                open_interval = Interval(open_interval.from_date, interval.to_date)
                continue
            yield open_interval, open_price
        open_interval, open_price = interval, price
    if open_interval is not None and open_price is not None:
        yield open_interval, open_price
