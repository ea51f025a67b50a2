"""Which weights both lanes of a workload have, day by day, and what an API model costs under each of its names."""

import csv
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.build.config_tables.frames import config_frames
from pipeline.build.config_tables.versions import Version
from pipeline.config.file import parse_config
from pipeline.decisions import api_prices, list_prices, model_matches
from pipeline.decisions.price_book import PROVIDERS, find_model
from pipeline.errors import ConfigError
from pipeline.paths import models_root

SEEDS = models_root() / "seeds"
DAY = date(2026, 11, 3)
DAYS = [DAY + timedelta(days=offset) for offset in range(3)]
SAID_AT = datetime(2026, 1, 1, tzinfo=UTC)


def seed(name: str) -> list[dict[str, Any]]:
    with (SEEDS / f"{name}.csv").open(newline="", encoding="utf-8") as handle:
        rows = [{key: value or None for key, value in row.items()} for row in csv.DictReader(handle)]
    for row in rows:
        for key in row:
            row[key] = date.fromisoformat(row[key]) if key.endswith("_date") and row[key] else row[key]
    return rows


def frames_of(text: str) -> dict[str, pl.DataFrame]:
    return dict(config_frames([Version(SAID_AT, parse_config(f"company: x\n{text}"))], []))


def matches(
    text: str,
    *,
    billed: Sequence[tuple[date, str, str, str]] = (),
    sold: Sequence[tuple[str, str]] = (),
    days: Sequence[date] = (DAY,),
    shipped: Sequence[Mapping[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    names = {"usage_date": pl.Date(), "workload": pl.String(), "provider": pl.String(), "model": pl.String()}
    schema = {name: pl.Date() if name.endswith("_date") else pl.String() for name in seed("model_weights")[0]}
    built = model_matches.build(
        {
            **frames_of(text),
            "api_prices": pl.DataFrame(list(sold), schema=["provider", "model"], orient="row").cast(pl.String),
            "fct_api_costs_daily": pl.DataFrame(list(billed), schema=names, orient="row"),
            "fct_day_status_daily": pl.DataFrame({"usage_date": list(days)}, schema={"usage_date": pl.Date()}),
            "model_weights": pl.DataFrame(
                list(seed("model_weights") if shipped is None else shipped), schema=schema, orient="row"
            ),
        }
    )
    assert dict(built.schema) == dict(model_matches.SCHEMA)
    return built.to_dicts()


CHAT = """
deployments:
  - {deployment: llama, model: llama-3.3-70b, served_names: meta-llama/Llama-3.3-70B-Instruct, gpus_per_replica: 2}
workloads: [{workload: chat, deployment: llama, match: [{account: main}]%s}]
"""


def test_an_api_of_closed_weights_is_never_the_model_that_is_served() -> None:
    [row] = matches(CHAT % "", billed=[(DAY, "chat", "anthropic", "claude-haiku-4-5")])
    assert (row["relation"], row["api_weights"], row["served_weights"], row["served_precision"]) == (
        "other_weights",
        "not published",
        "meta-llama/Llama-3.3-70B-Instruct",
        "bf16",
    )


def test_the_same_weights_in_a_precision_that_nobody_states_are_not_called_the_same() -> None:
    text = CHAT % ", api_model: groq/llama-3.3-70b-versatile"
    sold = [("groq", "groq/llama-3.3-70b-versatile"), ("groq", "llama-3.3-70b-versatile")]
    [row] = matches(text, sold=sold)
    assert (row["relation"], row["api_model_basis"], row["api_provider"]) == ("precision_unknown", "api_model", "groq")
    assert "precision of the API's copy is not known" in row["reason"]
    said = text + "models: [{model: llama-3.3-70b-versatile, provider: groq, weights: %s, precision: %s}]"
    for precision, relation in (("BF16", "same"), ("fp8", "other_precision")):
        [row] = matches(said % ("meta-llama/Llama-3.3-70B-Instruct", precision), sold=sold)
        assert (row["relation"], row["api_weights_source"]) == (relation, "breakeven.yaml")


def test_what_was_billed_goes_before_what_would_be_bought() -> None:
    text = CHAT % ", api_model: gpt-5-mini"
    billed = [(DAY, "chat", "anthropic", "claude-haiku-4-5"), (DAY, "chat", "anthropic", "claude-sonnet-4-5")]
    rows = matches(text, billed=billed, sold=[("openai", "gpt-5-mini")], days=[DAY, DAYS[1]])
    assert [(row["usage_date"], row["api_model"], row["api_model_basis"]) for row in rows] == [
        (DAY, "claude-haiku-4-5", "billed"),
        (DAY, "claude-sonnet-4-5", "billed"),
        (DAYS[1], "gpt-5-mini", "api_model"),
    ]


def test_names_that_disagree_are_unknown() -> None:
    text = """
deployments: [{deployment: two, model: m, served_names: [Qwen/Qwen3-32B, google/gemma-3-27b-it], gpus_per_replica: 1}]
workloads: [{workload: chat, deployment: two, api_model: gpt-5-mini, match: [{account: main}]}]
"""
    [row] = matches(text, sold=[("groq", "gpt-5-mini")])
    assert (row["relation"], row["served_weights"]) == ("unknown", None)
    assert "the API's model and the served one" in row["reason"]


NAMES = ("one", "two")
ENTRIES = st.lists(
    st.fixed_dictionaries(
        {
            "model": st.sampled_from(NAMES),
            "provider": st.sampled_from([None, "openai"]),
            "weights": st.sampled_from(["w/a", "w/b"]),
            "precision": st.sampled_from([None, "fp8"]),
            "from": st.sampled_from([None, *DAYS]),
            "to": st.sampled_from([None, *DAYS[1:]]),
        }
    ),
    max_size=4,
)


def _holds(entry: Mapping[str, Any], day: date) -> bool:
    return (entry["from"] is None or entry["from"] <= day) and (entry["to"] is None or day < entry["to"])


@settings(max_examples=60, deadline=None)
@given(entries=ENTRIES, api=st.sampled_from(NAMES), served=st.sampled_from(NAMES))
def test_every_day_has_what_was_declared_of_it(entries: list[dict[str, Any]], api: str, served: str) -> None:
    """The second route: each day looks through the text of breakeven.yaml; what ended or begins later says nothing."""
    kept: list[dict[str, Any]] = []
    for entry in entries:
        if entry["from"] is not None and entry["to"] is not None and entry["to"] <= entry["from"]:
            continue
        alike = [one for one in kept if (one["model"], one["provider"]) == (entry["model"], entry["provider"])]
        if not any(any(_holds(one, day) and _holds(entry, day) for day in _all_days()) for one in alike):
            kept.append(entry)
    text = yaml.safe_dump(
        {
            "deployments": [{"deployment": "d", "model": served, "gpus_per_replica": 1}],
            "workloads": [{"workload": "chat", "deployment": "d", "match": [{"account": "main"}]}],
            "models": kept,
        }
    )
    rows = matches(text, billed=[(day, "chat", "openai", api) for day in DAYS], days=DAYS, shipped=[])
    assert [row["usage_date"] for row in rows] == DAYS
    for row in rows:
        sides = {}
        for side, name, provider in (("api", api, "openai"), ("served", served, None)):
            found = [
                (entry["weights"], entry["precision"])
                for entry in kept
                if (entry["model"], entry["provider"]) == (name, provider) and _holds(entry, row["usage_date"])
            ]
            sides[side] = found[0] if found else (None, None)
        assert (row["api_weights"], row["api_precision"]) == sides["api"]
        assert (row["served_weights"], row["served_precision"]) == sides["served"]
        assert (row["relation"] == "same") == (sides["api"] == sides["served"] and None not in sides["api"])


def _all_days() -> list[date]:
    return [DAYS[0] - timedelta(days=1), *DAYS, DAYS[-1] + timedelta(days=1)]


def test_a_name_is_declared_once_a_day() -> None:
    twice = "models: [{model: m, weights: w/a}, {model: M, weights: w/b, from: 2026-11-01}]"
    with pytest.raises(ConfigError, match="It overlaps the one from always"):
        parse_config(f"company: x\n{twice}")
    parse_config(
        "company: x\nmodels: [{model: m, weights: w/a, to: 2026-11-01}, {model: m, weights: w/b, from: 2026-11-01}]"
    )


def test_no_two_shipped_aliases_of_a_name_hold_on_one_day_and_each_says_where_it_was_read() -> None:
    rows = seed("model_weights")
    for one, other in combinations(rows, 2):
        if (one["provider"], one["raw_name"].lower()) == (other["provider"], other["raw_name"].lower()):
            assert (one["valid_to_date"] or date.max) <= (other["valid_from_date"] or date.min)
    for row in rows:
        assert row["source"], row
        assert row["read_on_date"] <= date(2026, 11, 29), row
        if row["provider"] is not None and row["raw_name"] != "*":
            assert find_model(row["provider"], row["raw_name"]) is not None, f"{row['raw_name']} has no list price"


# --- prices under another name ---------------------------------------------------------------------------------------


def prices_of(text: str, seen: Sequence[tuple[str, str]], aliases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    models = pl.DataFrame(
        [(provider, model, "0-200k") for provider, model in seen],
        schema=["provider", "model", "context_window"],
        orient="row",
    )
    schema = {name: pl.Date() if name.endswith("_date") else pl.String() for name in seed("model_aliases")[0]}
    return api_prices.build(
        {
            **frames_of(text),
            "int_api_models_seen": models,
            "list_prices": list_prices.build({"int_api_models_seen": models}),
            "model_aliases": pl.DataFrame(list(aliases), schema=schema, orient="row"),
        }
    ).to_dicts()


def models_seen(text: str, folder: Path) -> list[tuple[str, str]]:
    """(provider, model) of int_api_models_seen before anything is billed or metered."""
    used = {name: pl.String() for name in ("provider", "model", "context_window", "charge_kind")}
    aliases = seed("model_aliases")
    tables = {
        "config_workloads": frames_of(text)["config_workloads"],
        "int_api_charges_daily": pl.DataFrame(schema=used),
        "int_api_usage_daily": pl.DataFrame(schema=used),
        "model_aliases": pl.DataFrame(aliases, schema=dict.fromkeys(aliases[0], pl.String())),
    }
    with duckdb.connect() as connection:
        for name, frame in tables.items():
            frame.write_parquet(folder / f"{name}.parquet")
            connection.execute(f"create view {name} as from '{folder / name}.parquet'")
        sql = (models_root() / "intermediate" / "int_api_models_seen.sql").read_text(encoding="utf-8")
        return connection.execute(f"select provider, model from ({sql})").fetchall()


HAIKU = ("anthropic", "claude-haiku-4-5")
CONTRACT = """
workloads: [{workload: chat, api_model: %s, match: [{account: main}]}]
contracts:
  - provider: anthropic
    from: 2026-06-01
    rates: [{model: claude-haiku-4-5, token_class: output, per_mtok: 4}]
"""


@pytest.mark.parametrize(
    "name",
    [
        "Claude Haiku 4.5",
        "anthropic/Claude Haiku 4.5",
        "anthropic/claude-haiku-4-5",
        "claude-haiku-4-5-20251001",
        "anthropic/claude-haiku-4-5-20251001",
        "claude-haiku-4-5-latest",
        "anthropic/claude-haiku-4-5-latest",
    ],
)
def test_a_model_has_its_prices_under_each_of_its_names_agreed_ones_too(name: str, tmp_path: Path) -> None:
    """A snapshot has list prices of its own in the book, and the model's on a bill."""
    rows = prices_of(CONTRACT % name, models_seen(CONTRACT % name, tmp_path), seed("model_aliases"))

    def under(model: str) -> list[dict[str, Any]]:
        return [{**row, "model": None} for row in rows if (row["provider"], row["model"]) == ("anthropic", model)]

    assert under(name) == under("claude-haiku-4-5")
    assert {row["cost_per_mtok"] for row in under(name) if row["price_basis"] == "rate"} == {Decimal(4)}
    assert {row["token_class"] for row in under(name)} > {"input_uncached", "output"}


def test_a_snapshot_that_a_contract_names_has_the_rate_of_the_snapshot() -> None:
    snapshot = "claude-haiku-4-5-20251001"
    text = (CONTRACT % snapshot).replace("4}]\n", f"4}}, {{model: {snapshot}, token_class: output, per_mtok: 3}}]\n")
    rows = prices_of(text, [HAIKU, (HAIKU[0], snapshot)], [])
    rates = {(row["model"], row["cost_per_mtok"]) for row in rows if row["price_basis"] == "rate"}
    assert rates == {(HAIKU[1], Decimal(4)), (snapshot, Decimal(3))}


def test_a_name_that_ends_in_latest_and_is_no_other_models_is_a_model() -> None:
    """The book knows chatgpt-4o-latest, and no chatgpt-4o that it could be the latest of."""
    own = ("openai", "chatgpt-4o-latest")
    text = (CONTRACT % own[1]).replace("claude-haiku-4-5", "chatgpt-4o").replace("anthropic", "openai")
    rows = prices_of(text, [own], [])
    assert {row["price_basis"] for row in rows if row["model"] == own[1]} == {"list"}


def haiku(ends: date) -> list[tuple[date, date, Decimal]]:
    """From when to when it costs what, under a name that is an alias from March to a day. In June a contract begins."""
    alias = {
        "provider": "anthropic", "raw_name": "haiku", "model": "claude-haiku-4-5",
        "valid_from_date": date(2026, 3, 1), "valid_to_date": ends,
    }  # fmt: skip
    return sorted(
        (row["valid_from_date"], row["valid_to_date"], row["cost_per_mtok"])
        for row in prices_of(CONTRACT % "haiku", [HAIKU], [alias])
        if (row["model"], row["token_class"], row["mode"]) == ("haiku", "output", "standard")
    )


def test_an_alias_prices_only_the_days_on_which_it_is_one() -> None:
    june, august = date(2026, 6, 1), date(2026, 8, 1)
    assert haiku(august) == [(date(2026, 3, 1), june, Decimal(5)), (june, august, Decimal(4))]
    assert haiku(june) == [(date(2026, 3, 1), june, Decimal(5))], "of a price that begins when it ends nothing is left"


def test_a_name_that_is_a_models_own_is_no_alias() -> None:
    alias = {
        "provider": "anthropic", "raw_name": "claude-haiku-4-5", "model": "claude-opus-4-8",
        "valid_from_date": None, "valid_to_date": None,
    }  # fmt: skip
    rows = prices_of(CONTRACT % "claude-haiku-4-5", [HAIKU, ("anthropic", "claude-opus-4-8")], [alias])
    output = [row for row in rows if row["model"] == HAIKU[1] and row["token_class"] == "output"]
    assert {row["list_cost_per_mtok"] for row in output} == {Decimal(5), Decimal("2.5")}


def test_a_seller_of_open_weights_has_list_prices_and_no_class_that_the_book_does_not_price() -> None:
    rows = list_prices.build(
        {
            "int_api_models_seen": pl.DataFrame(
                [("groq", "llama-3.3-70b-versatile", "0-200k"), ("groq", "openai/gpt-oss-120b", "0-200k")],
                schema=["provider", "model", "context_window"],
                orient="row",
            )
        }
    ).to_dicts()
    classes = {(row["model"], row["token_class"], row["mode"]) for row in rows}
    assert classes == {
        ("llama-3.3-70b-versatile", "input_uncached", "standard"),
        ("llama-3.3-70b-versatile", "output", "standard"),
        ("openai/gpt-oss-120b", "input_uncached", "standard"),
        ("openai/gpt-oss-120b", "input_cache_read", "standard"),
        ("openai/gpt-oss-120b", "output", "standard"),
    }


def test_a_declared_name_is_looked_for_at_every_provider_with_prices() -> None:
    text = (models_root() / "intermediate" / "int_api_models_seen.sql").read_text(encoding="utf-8")
    named = "[" + ", ".join(f"'{provider}'" for provider in sorted(PROVIDERS)) + "]"
    assert f"unnest({named})" in text


def test_served_weights_that_an_api_sells_are_found_for_a_comparator() -> None:
    found = model_matches.sellers_of(["META-LLAMA/llama-3.3-70b-instruct"], day=DAY)
    assert [f"{one.provider}/{one.name}" for one in found] == [
        "cerebras/llama-3.3-70b",
        "groq/llama-3.3-70b-versatile",
        "together/meta-llama/Llama-3.3-70B-Instruct-Turbo",
    ]
    assert model_matches.sellers_of(["my-own-finetune"], day=DAY) == []
