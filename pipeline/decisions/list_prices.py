"""Node `list_prices`: what each token class of each API model costs at list, from when to when, as `price_book` says.

What has no price has no row: it is unpriced, not free.
"""

from collections.abc import Mapping

import polars as pl

from pipeline.decisions.price_book import CURRENCY, PRICE_BOOK, book_version, prices

INPUTS = ("int_api_models_seen",)
PARTITION = "none"
GRAIN = ("provider", "model", "context_window", "token_class", "mode", "valid_from_date")
SCHEMA: Mapping[str, pl.DataType] = {
    "provider": pl.String(),
    "model": pl.String(),
    "context_window": pl.String(),
    "token_class": pl.String(),
    "mode": pl.String(),
    "list_cost_per_mtok": pl.Decimal(38, 18),
    "currency": pl.String(),
    "valid_from_date": pl.Date(),
    "valid_to_date": pl.Date(),
    "price_book": pl.String(),
    "price_book_version": pl.String(),
}


def build(frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """List prices in USD per million tokens for every (provider, model, context_window) of `int_api_models_seen`."""
    release = book_version()
    seen = frames["int_api_models_seen"].select("provider", "model", "context_window").unique()
    rows = [
        {
            "provider": provider,
            "model": model,
            "context_window": context_window,
            "token_class": token_class,
            "mode": mode,
            "list_cost_per_mtok": price,
            "currency": CURRENCY,
            "valid_from_date": interval.from_date,
            "valid_to_date": interval.to_date,
            "price_book": PRICE_BOOK,
            "price_book_version": release,
        }
        for provider, model, context_window in seen.sort("provider", "model", "context_window").iter_rows()
        for mode, token_class, interval, price in prices(provider, model, context_window)
    ]
    return pl.DataFrame(rows, schema=dict(SCHEMA))
