"""A bill that names its keys by label beside a meter that names them by id: money where it was put, tokens once."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.models.api_harness import (
    API_CHECKS,
    CONSOLE,
    USAGES,
    Row,
    Rows,
    broken,
    broken_laws,
    build_tables,
    configured_sources,
    console_line,
    rows_of,
    usage_row,
)

DAY = date(2026, 7, 3)
MART = "fct_api_costs_daily"
CONSOLE_IS_BOOK = configured_sources(
    {"source": "anthropic_console_csv", "issuer": "anthropic", "role": "book"},
    {"source": "anthropic_usage_api", "issuer": "anthropic", "role": "metered"},
)


def mart(cache: Path, lines: Sequence[Row], usage: Sequence[Row]) -> Rows:
    """fct_api_costs_daily with the Console's export as the book and every API law holding."""
    tables = {CONSOLE: lines, USAGES: usage, "config_sources": CONSOLE_IS_BOOK}
    built = build_tables(cache, tables, [MART, *API_CHECKS])
    assert broken_laws(built) == []
    return rows_of(built, MART)


def told(rows: Rows) -> dict[str | None, tuple[Any, ...]]:
    """key -> how it is known, its money, the tokens beside it and whose they are."""
    return {
        row["api_key_id"]: (row["attribution"], row["billed_cost"], row["tokens"], row["tokens_matched_by"])
        for row in rows
    }


def test_the_tokens_of_a_cell_stand_beside_the_label_that_paid_for_it(tmp_path: Path) -> None:
    """B12: the one label of the cell, whatever ids used it; no token is said to be on no bill."""
    usage = [
        usage_row(DAY, api_key_id=key, output_tokens=tokens) for key, tokens in (("apikey_1", 30), ("apikey_2", 7))
    ]
    assert told(mart(tmp_path, [console_line(DAY, "5.00")], usage)) == {"nightly": ("direct", Decimal(5), 37, "cell")}


def test_labels_share_the_tokens_of_their_cell_by_what_each_paid(tmp_path: Path) -> None:
    """B12: one price holds for a cell, so a third of the money is a third of the tokens; whole tokens, none lost."""
    lines = [console_line(DAY, cost, api_key=key) for key, cost in (("a", "0.01"), ("b", "0.01"), ("c", "0.01"))]
    usage = [usage_row(DAY, api_key_id="apikey_1", output_tokens=1001)]
    assert told(mart(tmp_path, lines, usage)) == {
        "a": ("direct", Decimal("0.01"), 334, "cell"),
        "b": ("direct", Decimal("0.01"), 334, "cell"),
        "c": ("direct", Decimal("0.01"), 333, "cell"),
    }


def test_money_that_was_rounded_to_nothing_still_has_its_tokens(tmp_path: Path) -> None:
    """B7, B14: a cell of 0.00 used tokens all the same; a label of 0.00 beside one that paid is given none of them."""
    usage = [usage_row(DAY, api_key_id="apikey_1", output_tokens=9)]
    nothing = mart(tmp_path / "1", [console_line(DAY, "0.00", api_key=key) for key in "ab"], usage)
    assert [row["tokens"] for row in nothing] == [5, 4]
    some = mart(
        tmp_path / "2", [console_line(DAY, cost, api_key=key) for key, cost in (("a", "0.00"), ("b", "2.00"))], usage
    )
    assert [row["tokens"] for row in some] == [0, 9]


def test_use_without_a_key_meets_its_own_charge_and_the_labels_the_rest(tmp_path: Path) -> None:
    """B12: the Console's own use has no key on either side: that proves nothing of how the others are spelled."""
    lines = [console_line(DAY, "1.00", api_key=""), console_line(DAY, "4.00")]
    usage = [usage_row(DAY, api_key_id=None, output_tokens=10), usage_row(DAY, api_key_id="apikey_1", output_tokens=90)]
    assert told(mart(tmp_path, lines, usage)) == {
        None: ("direct", Decimal(1), 10, "key"),
        "nightly": ("direct", Decimal(4), 90, "cell"),
    }


def test_where_one_key_is_spelled_alike_the_others_are_not_guessed(tmp_path: Path) -> None:
    """B12: with ids on both sides, a key that is only billed and one that is only metered are two keys."""
    lines = [console_line(DAY, cost, api_key_id=key) for key, cost in (("k1", "5.00"), ("k2", "7.00"))]
    usage = [usage_row(DAY, api_key_id=key, output_tokens=tokens) for key, tokens in (("k1", 10), ("k3", 1))]
    elsewhere = usage_row(DAY, api_key_id="k4", workspace_id="wrkspc_1", output_tokens=2)
    assert told(mart(tmp_path, lines, [*usage, elsewhere])) == {
        "k1": ("direct", Decimal(5), 10, "key"),
        "k2": ("direct", Decimal(7), None, None),
        "k3": ("metered_only", None, 1, None),
        "k4": ("metered_only", None, 2, None),
    }


@pytest.mark.parametrize(
    ("on_the_bill", "metered"),
    [
        ({"workspace": "Production"}, {"workspace_id": "wrkspc_1"}),
        ({"inference_geo": None, "speed": None}, {"inference_geo": "global"}),
        ({"context_window": ""}, {"context_window": "0-200k"}),
    ],
    ids=["a workspace by name", "a file of before 2026", "no context window"],
)
def test_what_the_bill_spells_otherwise_or_not_at_all_meets_in_the_model_class_and_tier_of_the_day(
    tmp_path: Path, on_the_bill: dict[str, Any], metered: dict[str, Any]
) -> None:
    """B12: the account's day x model x class x tier is what both sides always state."""
    lines = [console_line(DAY, "5.00", **on_the_bill), console_line(DAY, "1.00", usage_type="batch", **on_the_bill)]
    usage = [usage_row(DAY, api_key_id="apikey_1", output_tokens=10, **metered)]
    rows = mart(tmp_path, lines, usage)
    assert {(row["service_tier"], row["tokens"], row["tokens_matched_by"]) for row in rows} == {
        ("standard", 10, "account_day"),
        ("batch", None, None),
    }


def test_searches_meet_as_tokens_do(tmp_path: Path) -> None:
    """B24: a search is no token, on either side."""
    blank = {"model": None, "usage_type": "", "context_window": "", "token_type": "", "inference_geo": ""}
    lines = [console_line(DAY, "0.03", cost_type="web_search", **blank)]
    (row,) = mart(tmp_path, lines, [usage_row(DAY, api_key_id="apikey_1", web_search_requests=3)])
    assert (row["web_search_request_count"], row["tokens"], row["tokens_matched_by"]) == (3, None, "cell")


def test_a_refund_takes_part_by_its_size(tmp_path: Path) -> None:
    """B10: money given back was money for tokens too; the sums stay exact."""
    lines = [console_line(DAY, cost, api_key=key) for key, cost in (("a", "-1.00"), ("b", "3.00"))]
    rows = mart(tmp_path, lines, [usage_row(DAY, api_key_id="apikey_1", output_tokens=8)])
    assert {row["api_key_id"]: row["tokens"] for row in rows} == {"a": 2, "b": 6}


MODELS = st.sampled_from([("Claude Opus 4.8", "claude-opus-4-8"), ("Claude Haiku 4.5", "claude-haiku-4-5-20251001")])
WORKSPACES = st.sampled_from([("Default", None), ("Production", "wrkspc_1"), ("Staging", "wrkspc_2")])
DAYS = st.integers(0, 3).map(lambda offset: date(2026, 6, 29) + timedelta(days=offset))
TIERS = st.sampled_from([("message", "standard"), ("batch", "batch")])


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    lines=st.lists(
        st.tuples(DAYS, MODELS, WORKSPACES, TIERS, st.sampled_from(["", "a", "b"]), st.integers(-200, 10**9)),
        max_size=14,
    ),
    usage=st.lists(
        st.tuples(DAYS, MODELS, WORKSPACES, TIERS, st.sampled_from([None, "apikey_1"]), st.integers(1, 10**15)),
        max_size=14,
    ),
    order=st.randoms(use_true_random=False),
)
def test_under_any_names_money_stays_put_and_every_token_is_counted_once(
    tmp_path_factory: pytest.TempPathFactory, lines: list, usage: list, order: Any
) -> None:
    """B12, B7, B9: by label to the cent, by model, class and tier to the token; no price is left out that both know."""
    landed_lines = [
        console_line(day, str(Decimal(cents).scaleb(-2)), model=model, workspace=space, usage_type=tier, api_key=label)
        for day, (model, _), (space, _), (tier, _), label, cents in lines
    ]
    landed_usage = [
        usage_row(day, model=model, workspace_id=space, service_tier=tier, api_key_id=key, output_tokens=tokens)
        for day, (_, model), (_, space), (_, tier), key, tokens in usage
    ]
    rows = mart(tmp_path_factory.mktemp("first"), landed_lines, landed_usage)
    order.shuffle(landed_lines)
    order.shuffle(landed_usage)
    assert mart(tmp_path_factory.mktemp("second"), landed_lines, landed_usage) == rows

    stated: dict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
    for day, (_, model), (space, _), (_, tier), label, cents in lines:
        known = (day, undated(model), None if space == "Default" else space, tier, label or None)
        stated[known] += Decimal(cents).scaleb(-2)
    named = ("usage_date", "model", "sub_account_id", "service_tier", "api_key_id")
    direct = [row for row in rows if row["attribution"] == "direct"]
    assert {tuple(row[name] for name in named): row["billed_cost"] for row in direct} == stated

    metered: dict[tuple[Any, ...], int] = defaultdict(int)
    for day, (_, model), _, (_, tier), _, tokens in usage:
        metered[day, undated(model), tier] += tokens
    counted: dict[tuple[Any, ...], int] = defaultdict(int)
    unbilled, unmetered = set(), set()
    for row in rows:
        price = (row["usage_date"], row["model"], row["service_tier"])
        counted[price] += row["tokens"] or 0
        if row["attribution"] == "metered_only":
            unbilled.add(price)
        elif row["tokens"] is None:
            unmetered.add(price)
    assert {price: tokens for price, tokens in counted.items() if tokens} == metered
    assert not unbilled & unmetered


def undated(model: str) -> str:
    return model.removesuffix("-20251001")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("else meetings.cost_quanta // 1000000000000\n", "else 0\n"),
        ("<= units - sum(floor_units)", "< units - sum(floor_units)"),
        ("and meetings.usage_number is null", ""),
    ],
    ids=["no weight", "a leftover lost", "counted twice"],
)
def test_tokens_that_meet_a_charge_wrongly_break_their_law(tmp_path: Path, old: str, new: str) -> None:
    """B12, B9: the law of tokens is able to fail here."""
    lines = [console_line(DAY, "0.01", api_key=key) for key in "abc"]
    usage = [usage_row(DAY, api_key_id="apikey_1", output_tokens=1001)]
    tables = {CONSOLE: lines, USAGES: usage, "config_sources": CONSOLE_IS_BOOK}
    check = "check_api_tokens_conserved"
    faulty = build_tables(tmp_path, tables, [check], replaced=[broken("int_api_costs_allocated_daily", old, new)])
    assert broken_laws(faulty, [check]) != []
