"""List prices from the bundled price book: dated, by class and mode, and none where the book has none."""

import csv
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.decisions import list_prices, price_book
from pipeline.decisions.api_prices import _meanings
from pipeline.paths import models_root
from tests.models.api_harness import build_tables, rows_of
from tests.models.openai_rows import COMPLETIONS, used

CLASSES = {"input_uncached", "input_cache_read", "input_cache_write_5m", "input_cache_write_1h", "output"}


def prices(*seen: tuple[str, str, str | None]) -> list[dict[str, Any]]:
    schema = {"provider": pl.String(), "model": pl.String(), "context_window": pl.String()}
    frame = list_prices.build({"int_api_models_seen": pl.DataFrame(list(seen), schema=schema, orient="row")})
    assert dict(frame.schema) == dict(list_prices.SCHEMA)
    return frame.to_dicts()


def anthropic(model: str, context_window: str | None = "0-200k", **wanted: object) -> list[dict[str, Any]]:
    rows = prices(("anthropic", model, context_window))
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def timeline(rows: Iterable[dict[str, Any]]) -> list[tuple[date | None, date | None, Decimal]]:
    return [(row["valid_from_date"], row["valid_to_date"], row["list_cost_per_mtok"]) for row in rows]


def test_every_class_has_its_own_price_and_every_row_names_its_book() -> None:
    """B3: the two cache writes differ by their lifetime."""
    rows = anthropic("claude-opus-4-8", mode="standard")
    assert {row["token_class"]: row["list_cost_per_mtok"] for row in rows} == {
        "input_uncached": Decimal(5),
        "input_cache_read": Decimal("0.5"),
        "input_cache_write_5m": Decimal("6.25"),
        "input_cache_write_1h": Decimal(10),
        "output": Decimal(25),
    }
    assert {(row["price_book"], row["price_book_version"], row["currency"]) for row in rows} == {
        ("genai-prices", version("genai-prices"), "USD")
    }


@pytest.mark.parametrize(
    "model", ["claude-opus-4-15", "claude-opus-4-8-turbo", "claude", "gpt-4o", "", "Claude Opus 4.8"]
)
def test_a_model_the_book_does_not_know_by_name_has_no_row(model: str) -> None:
    """B4: the book would price claude-opus-4-15 as claude-opus-4-1, whose name it begins with."""
    assert anthropic(model) == []


def test_a_provider_the_book_does_not_know_has_no_row() -> None:
    """B4: nor is one provider's model priced at another's."""
    assert prices(("nobody", "claude-opus-4-8", "0-200k"), ("aws-like", "claude-opus-4-8", "0-200k")) == []


@pytest.mark.parametrize(
    "model", ["claude-haiku-4-5", "claude-haiku-4-5-20251001", "claude-3-5-haiku", "claude-sonnet-4"]
)
def test_a_snapshot_date_or_a_missing_latest_is_the_same_model(model: str) -> None:
    """B4: the names our own tables use are found."""
    assert {row["token_class"] for row in anthropic(model, mode="standard")} == CLASSES


def test_batch_has_a_price_only_from_the_day_the_book_has_one() -> None:
    """B5: asked for batch on an earlier day, the package answers with the standard price."""
    rows = anthropic("claude-opus-4-8", mode="batch", token_class="output")
    assert timeline(rows) == [(date(2026, 10, 14), None, Decimal("12.5"))]


def test_a_mode_without_an_override_has_no_row_rather_than_the_standard_price() -> None:
    """B5: claude-opus-4-1 has neither a batch nor a fast price in the book."""
    assert {row["mode"] for row in anthropic("claude-opus-4-1")} == {"standard"}
    assert {row["mode"] for row in anthropic("claude-opus-5")} == {"standard", "batch", "fast"}


def test_a_long_context_is_the_tier_its_window_names() -> None:
    """B5: the tier is the request's, so a window above 200k has the upper price and one below the lower."""
    short = anthropic("claude-sonnet-4-5", "0-200k", mode="standard", token_class="input_uncached")
    long = anthropic("claude-sonnet-4-5", "200k-1M", mode="standard", token_class="input_uncached")
    assert timeline(short) == [(None, None, Decimal(3))]
    assert timeline(long) == [(None, None, Decimal(6))]


@pytest.mark.parametrize("context_window", [None, "everything", "0-1M"])
def test_a_window_that_holds_several_tiers_or_is_unknown_has_no_price(context_window: str | None) -> None:
    """B5, B4: a sum over requests of unknown length is not one tier."""
    assert anthropic("claude-sonnet-4-5", context_window) == []
    assert anthropic("claude-opus-4-8", context_window, mode="standard") != []


def test_a_tier_that_starts_inside_the_window_leaves_it_unpriced() -> None:
    """B5: claude-haiku-5-5 costs five times as much above 100k, which the window 0-200k does not tell apart."""
    assert anthropic("claude-haiku-5-5", "0-200k") == []
    below = anthropic("claude-haiku-5-5", "0-100k", mode="standard", token_class="output")
    above = anthropic("claude-haiku-5-5", "100k-200k", mode="standard", token_class="output")
    assert (timeline(below), timeline(above)) == ([(None, None, Decimal("0.5"))], [(None, None, Decimal("2.5"))])


def test_a_price_change_cuts_the_timeline_on_its_day() -> None:
    """B6: claude-opus-4-6's long context became as cheap as its short one on 13 March 2026."""
    rows = anthropic("claude-opus-4-6", "200k-1M", mode="standard", token_class="input_uncached")
    change = date(2026, 3, 13)
    assert timeline(rows) == [(None, change, Decimal(10)), (change, None, Decimal(5))]


def test_intervals_of_one_price_never_overlap_for_any_model_of_the_book() -> None:
    """B6, B12: at most one price a day, so that the join cannot multiply rows."""
    from genai_prices.data import providers

    [book] = [provider for provider in providers if provider.id == "anthropic"]
    rows = prices(*(("anthropic", info.id, window) for info in book.models for window in ("0-200k", "200k-1M")))
    spans: dict[tuple[object, ...], list[tuple[date, date]]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("model", "context_window", "token_class", "mode"))
        spans.setdefault(key, []).append((row["valid_from_date"] or date.min, row["valid_to_date"] or date.max))
    assert len(spans) > 200
    for found in spans.values():
        ordered = sorted(found)
        assert all(start < end for start, end in ordered)
        assert all(left[1] <= right[0] for left, right in pairwise(ordered))


def test_prices_agree_with_what_the_book_charges_for_one_short_request() -> None:
    """B5: an outside reading of the same book, request by request, on days around every change."""
    from genai_prices import Usage, calc_price

    for model in ("claude-opus-4-6", "claude-sonnet-4-5", "claude-opus-5", "claude-3-haiku"):
        for day in (date(2026, 3, 12), date(2026, 3, 13), date(2026, 11, 1)):
            for token_class, usage in (
                ("input_uncached", Usage(input_tokens=1000)),
                ("output", Usage(input_tokens=0, output_tokens=1000)),
            ):
                [row] = [
                    row
                    for row in anthropic(model, mode="standard", token_class=token_class)
                    if (row["valid_from_date"] or date.min) <= day < (row["valid_to_date"] or date.max)
                ]
                noon = datetime.combine(day, time(12), tzinfo=UTC)
                charged = calc_price(usage, model, provider_id="anthropic", genai_request_timestamp=noon).total_price
                assert row["list_cost_per_mtok"] / 1000 == charged


def openai(model: str, context_window: str | None = None, **wanted: object) -> list[dict[str, Any]]:
    rows = prices(("openai", model, context_window))
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def test_openai_tiers_have_their_own_prices_from_the_day_the_book_has_them() -> None:
    """B5: flex is half of standard, priority twice; before the book knew them they have none."""
    modes = {row["mode"]: row for row in openai("gpt-5", token_class="output")}
    assert {mode: (row["list_cost_per_mtok"], row["valid_from_date"]) for mode, row in modes.items()} == {
        "standard": (Decimal(10), None),
        "batch": (Decimal(5), date(2026, 10, 14)),
        "flex": (Decimal(5), date(2026, 10, 12)),
        "priority": (Decimal(20), date(2026, 10, 12)),
    }


def test_openai_classes_have_their_own_prices_and_a_long_cache_write_has_none() -> None:
    """B3, B4: the book knows one lifetime of cache writes, the shorter."""
    rows = openai("gpt-5.6-sol", "0-200k", mode="standard")
    latest = {row["token_class"]: row["list_cost_per_mtok"] for row in rows if row["valid_to_date"] is None}
    assert latest == {
        "input_uncached": Decimal(4),
        "input_cache_read": Decimal("0.4"),
        "input_cache_write_30m": Decimal(5),
        "output": Decimal(20),
    }


def test_audio_is_priced_apart_and_a_class_that_mixes_images_with_text_is_not_priced() -> None:
    """B4, B5: the meter does not say which input of gpt-realtime was images; that of gpt-audio holds none."""
    audio = {row["token_class"]: row["list_cost_per_mtok"] for row in openai("gpt-audio", mode="standard")}
    assert audio == {
        "input_uncached": Decimal("2.5"),
        "input_uncached_audio": Decimal(32),
        "output": Decimal(10),
        "output_audio": Decimal(64),
    }
    mixed = {row["token_class"] for row in openai("gpt-realtime", mode="standard")}
    assert mixed == {"input_uncached_audio", "input_cache_read_audio", "output", "output_audio"}


def test_requests_of_unknown_length_have_no_price_where_long_ones_cost_more() -> None:
    """B5: OpenAI's meter does not tell requests above 272k tokens apart."""
    assert openai("gpt-5.6-luna", None) == []
    assert openai("gpt-5-mini", None, mode="standard") != []


def test_every_dated_name_of_the_book_means_the_model_that_our_tables_call_it(tmp_path: Path) -> None:
    """B5, B6: stripping a date never moves tokens to another price: gpt-4o-2024-05-13 is a model of its own."""
    from genai_prices.data import providers
    from genai_prices.types import ClauseEquals, ClauseOr

    [book] = [provider for provider in providers if provider.id == "openai"]
    clauses = [clause for info in book.models for clause in getattr(info.match, "or_", [info.match])]
    assert any(isinstance(info.match, ClauseOr) for info in book.models)
    # Spelled with a dash for the point, as another provider does and OpenAI does not.
    names = sorted(
        clause.equals
        for clause in clauses
        if isinstance(clause, ClauseEquals) and re.search(r"-20\d\d-\d\d-\d\d$", clause.equals)
        if not re.match(r"gpt-5-\d-", clause.equals)
    )
    assert len(names) > 30
    usage = [used(date(2026, 11, 3), model=name, output_tokens=1) for name in names]
    built = build_tables(tmp_path, {COMPLETIONS: usage}, ["int_api_model_names_daily"])
    with (models_root() / "seeds" / "model_aliases.csv").open(newline="", encoding="utf-8") as handle:
        aliases = [{key: value or None for key, value in row.items()} for row in csv.DictReader(handle)]
    for row in rows_of(built, "int_api_model_names_daily"):
        named, dated = (
            price_book.find_model("openai", row["model"]),
            price_book.find_model("openai", row["raw_model"]),
        )
        assert named is not None
        assert named is dated, row["raw_model"]
        # Declared for a workload it means what it does on a bill.
        [(model, _, _)] = _meanings("openai", row["raw_model"], aliases)
        assert model == row["model"]
