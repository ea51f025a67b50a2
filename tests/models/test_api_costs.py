"""API bills from landed rows to fct_api_costs_daily: every cent once, every token once, the unknown left unknown."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal, localcontext
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.sources.anthropic_cost_api import SOURCE as COST_API
from tests.models.api_harness import (
    API_CHECKS,
    CONSOLE,
    COSTS,
    USAGES,
    Row,
    Rows,
    broken,
    broken_laws,
    build_tables,
    configured_sources,
    console_line,
    cost_line,
    rows_of,
    usage_row,
)

DAY = date(2026, 11, 3)
MART = "fct_api_costs_daily"
QUANTUM = Decimal("1e-18")


def mart(cache: Path, **tables: Sequence[Row]) -> Rows:
    """fct_api_costs_daily over landed rows, with every API law holding."""
    built = build_tables(cache, tables, [MART, *API_CHECKS])
    assert broken_laws(built) == []
    return rows_of(built, MART)


def billed(rows: Rows) -> Decimal:
    return sum((row["billed_cost"] for row in rows if row["billed_cost"] is not None), Decimal(0))


def test_cents_of_the_api_are_dollars_and_keep_every_digit(tmp_path: Path) -> None:
    """B7: "123.45" is 1.2345 dollars, and 16 decimals of a cent survive."""
    rows = mart(tmp_path, **{COSTS: [cost_line(DAY, "123.45"), cost_line(DAY, "0.0000000000000001", model="m")]})
    assert {row["model"]: row["billed_cost"] for row in rows} == {"claude-opus-4-8": Decimal("1.2345"), "m": QUANTUM}


def test_amounts_of_every_width_are_exact(tmp_path: Path) -> None:
    """B7: short amounts take a fast way to a decimal, long ones a slow one; neither loses a digit."""
    amounts = [
        "5",
        "-0.5",
        "41280.000000",
        "0.00000001",
        "0.000000001",
        "999999999.99999999",
        "-1234567890.12345678",
        "12345678901234567890.1234567890123456",
    ]
    rows = mart(tmp_path, **{COSTS: [cost_line(DAY, amount, model=f"m{at}") for at, amount in enumerate(amounts)]})
    with localcontext(prec=40):
        dollars = {f"m{at}": Decimal(amount).scaleb(-2) for at, amount in enumerate(amounts)}
    assert {row["model"]: row["billed_cost"] for row in rows} == dollars


def test_a_console_amount_is_dollars_already(tmp_path: Path) -> None:
    """B7: the two exports of one issuer differ by 100 in their unit."""
    book = configured_sources({"source": "anthropic_console_csv", "issuer": "anthropic", "role": "book"})
    rows = mart(tmp_path, config_sources=book, **{CONSOLE: [console_line(DAY, "9.22")]})
    assert [row["billed_cost"] for row in rows] == [Decimal("9.22")]


def test_equal_lines_are_two_charges(tmp_path: Path) -> None:
    """B9: the genuine Console export has two pairs of rows alike in all ten dimensions; both are money."""
    book = configured_sources({"source": "anthropic_console_csv", "issuer": "anthropic", "role": "book"})
    lines = [console_line(DAY, "9.22"), console_line(DAY, "11.63"), console_line(DAY, "11.63")]
    rows = mart(tmp_path, config_sources=book, **{CONSOLE: lines})
    assert billed(rows) == Decimal("32.48")


def test_a_charge_is_split_exactly_by_the_usage_of_its_own_cell(tmp_path: Path) -> None:
    """B12: a third of a cent has no end, yet the three parts are the whole; another cell's usage takes no part."""
    usage = [usage_row(DAY, api_key_id=key, output_tokens=1) for key in ("a", "b", "c")]
    other = usage_row(DAY, api_key_id="d", output_tokens=10**9, workspace_id="wrkspc_other")
    rows = mart(tmp_path, **{COSTS: [cost_line(DAY, "100.01")], USAGES: [*usage, other]})
    shares = {row["api_key_id"]: row["billed_cost"] for row in rows}
    third = Decimal("0.333366666666666666")
    assert shares == {"a": third + QUANTUM, "b": third + QUANTUM, "c": third, "d": None}
    assert Counter(row["attribution"] for row in rows) == {"allocated": 3, "metered_only": 1}


def test_a_refund_is_split_like_a_charge_and_stays_negative(tmp_path: Path) -> None:
    """B10: a negative day survives, exactly."""
    usage = [usage_row(DAY, api_key_id=key, output_tokens=tokens) for key, tokens in (("a", 1), ("b", 2))]
    rows = mart(tmp_path, **{COSTS: [cost_line(DAY, "-1")], USAGES: usage})
    assert {row["api_key_id"]: row["billed_cost"] for row in rows} == {
        "a": Decimal("-0.003333333333333333"),
        "b": Decimal("-0.006666666666666667"),
    }


def test_batch_usage_takes_no_part_of_a_standard_charge(tmp_path: Path) -> None:
    """B5: tiers never mix: the batch key pays the batch charge, the other the standard one."""
    rows = mart(
        tmp_path,
        **{
            COSTS: [cost_line(DAY, "1000"), cost_line(DAY, "10", service_tier="batch")],
            USAGES: [
                usage_row(DAY, api_key_id="live", output_tokens=10),
                usage_row(DAY, api_key_id="nightly", service_tier="batch", output_tokens=10**6),
            ],
        },
    )
    assert {row["api_key_id"]: row["billed_cost"] for row in rows} == {"live": Decimal(10), "nightly": Decimal("0.1")}


def test_usage_of_the_priority_tier_has_no_cost_rather_than_a_cost_of_zero(tmp_path: Path) -> None:
    """B24, B4: the cost report never shows the priority tier: metered, cost unknown, list price unknown."""
    rows = mart(tmp_path, **{USAGES: [usage_row(DAY, api_key_id="a", service_tier="priority", output_tokens=7)]})
    assert [(row["attribution"], row["tokens"], row["billed_cost"], row["billed_cost_rc"]) for row in rows] == [
        ("metered_only", 7, None, None)
    ]
    assert [(row["list_cost_rc"], row["price_status"]) for row in rows] == [(None, "unpriced")]


def test_a_charge_without_usage_is_kept_and_said_to_belong_to_no_key(tmp_path: Path) -> None:
    """B21: billed but unmetered is a line of its own, with no count of tokens rather than none."""
    rows = mart(tmp_path, **{COSTS: [cost_line(DAY, "250")]})
    assert [(row["attribution"], row["api_key_id"], row["tokens"], row["billed_cost"]) for row in rows] == [
        ("unattributed", None, None, Decimal("2.5"))
    ]


def test_usage_without_a_key_and_the_default_workspace_are_values_like_others(tmp_path: Path) -> None:
    """B12: null keys and workspaces join; they neither drop nor spread to named ones."""
    rows = mart(
        tmp_path,
        **{
            COSTS: [cost_line(DAY, "100"), cost_line(DAY, "900", workspace_id="wrkspc_1")],
            USAGES: [
                usage_row(DAY, output_tokens=1),
                usage_row(DAY, api_key_id="a", output_tokens=3),
                usage_row(DAY, workspace_id="wrkspc_1", output_tokens=1),
            ],
        },
    )
    assert {(row["sub_account_id"], row["api_key_id"]): row["billed_cost"] for row in rows} == {
        (None, None): Decimal("0.25"),
        (None, "a"): Decimal("0.75"),
        ("wrkspc_1", None): Decimal(9),
    }


def test_a_geography_the_usage_leaves_out_is_the_only_one_billed(tmp_path: Path) -> None:
    """B12: with one geography billed the cell is found; with two nobody knows, and nothing is guessed."""
    usage = [usage_row(DAY, api_key_id="a", inference_geo=None, output_tokens=5)]
    one = mart(tmp_path, **{COSTS: [cost_line(DAY, "100")], USAGES: usage})
    assert [(row["attribution"], row["tokens"]) for row in one] == [("allocated", 5)]
    two = mart(tmp_path, **{COSTS: [cost_line(DAY, "100"), cost_line(DAY, "1", inference_geo="us")], USAGES: usage})
    assert Counter(row["attribution"] for row in two) == {"unattributed": 2, "metered_only": 1}


def test_cached_input_is_outside_uncached_input_and_both_cache_writes_are_classes(tmp_path: Path) -> None:
    """B1, B2, B3: five disjoint classes that sum to what the report says; none contains another."""
    usage = usage_row(
        DAY,
        api_key_id="a",
        uncached_input_tokens=100,
        cache_read_input_tokens=20,
        cache_creation_5m_input_tokens=3,
        cache_creation_1h_input_tokens=4,
        output_tokens=50,
    )
    rows = mart(tmp_path, **{USAGES: [usage]})
    assert {row["token_class"]: row["tokens"] for row in rows} == {
        "input_uncached": 100,
        "input_cache_read": 20,
        "input_cache_write_5m": 3,
        "input_cache_write_1h": 4,
        "output": 50,
    }


def test_an_unknown_token_type_model_and_charge_keep_their_money_and_their_names(tmp_path: Path) -> None:
    """B4, B24: nothing is dropped for being new: it is unpriced, or no tokens, and billed all the same."""
    rows = mart(
        tmp_path,
        **{
            COSTS: [
                cost_line(DAY, "100", token_type="cache_creation.ephemeral_12h_input_tokens"),
                cost_line(DAY, "200", model="claude-opus-4-15"),
                cost_line(DAY, "300", cost_type="session_usage", model=None, token_type=None),
                cost_line(DAY, "400", cost_type="code_execution", model=None, token_type=None),
            ]
        },
    )
    assert {(row["charge_kind"], row["model"], row["token_class"]): row["price_status"] for row in rows} == {
        ("tokens", "claude-opus-4-8", "cache_creation.ephemeral_12h_input_tokens"): "unpriced",
        ("tokens", "claude-opus-4-15", "output"): "unpriced",
        ("other", None, None): "not_tokens",
        ("code_execution", None, None): "not_tokens",
    }
    assert billed(rows) == Decimal(10)


def test_searches_are_split_by_searches_and_not_by_tokens(tmp_path: Path) -> None:
    """B24: a search is billed without a model; who searched is who pays."""
    search = {"cost_type": "web_search", "model": None, "token_type": None}
    nothing = {"service_tier": None, "context_window": None, "inference_geo": None}
    rows = mart(
        tmp_path,
        **{
            COSTS: [cost_line(DAY, "4", **search, **nothing)],
            USAGES: [
                usage_row(DAY, api_key_id="a", web_search_requests=3, output_tokens=10**6),
                usage_row(DAY, api_key_id="b", web_search_requests=1, model="claude-haiku-4-5"),
            ],
        },
    )
    searches = [row for row in rows if row["charge_kind"] == "web_search"]
    assert {row["api_key_id"]: (row["billed_cost"], row["web_search_request_count"]) for row in searches} == {
        "a": (Decimal("0.03"), 3),
        "b": (Decimal("0.01"), 1),
    }


def test_display_names_and_snapshot_dates_are_the_same_model(tmp_path: Path) -> None:
    """B12: the cost file says "Claude Haiku 4.5", the usage claude-haiku-4-5-20251001: one model, one cell."""
    rows = mart(
        tmp_path,
        **{
            COSTS: [cost_line(DAY, "100", model="claude-haiku-4-5")],
            USAGES: [usage_row(DAY, api_key_id="a", model="claude-haiku-4-5-20251001", output_tokens=4)],
            CONSOLE: [console_line(DAY, "1.00", model="Claude Haiku 4.5")],
        },
    )
    assert [(row["model"], row["attribution"], row["tokens"]) for row in rows] == [("claude-haiku-4-5", "allocated", 4)]


def test_a_control_is_never_added_to_the_book(tmp_path: Path) -> None:
    """B22, B9: the Console's file beside the API says the same money again."""
    rows = mart(tmp_path, **{COSTS: [cost_line(DAY, "100")], CONSOLE: [console_line(DAY, "1.00")]})
    assert [(row["source"], row["billed_cost"]) for row in rows] == [("anthropic_cost_api", Decimal(1))]


def test_two_books_of_one_month_are_named_and_only_one_is_summed(tmp_path: Path) -> None:
    """B22: equal rank is a configuration error that names both; the money is not doubled meanwhile."""
    both = configured_sources(
        {"source": "anthropic_cost_api", "issuer": "anthropic", "role": "book"},
        {"source": "anthropic_console_csv", "issuer": "anthropic", "role": "book"},
    )
    tables = {COSTS: [cost_line(DAY, "100")], CONSOLE: [console_line(DAY, "1.00")], "config_sources": both}
    built = build_tables(tmp_path, tables, [MART, *API_CHECKS])
    assert billed(rows_of(built, MART)) == Decimal(1)
    said = broken_laws(built, ["check_api_book_of_record"])
    assert said == [
        "one_dollar_one_home account:acme: anthropic_console_csv and anthropic_cost_api are both the book of record of "
        "issuer "
        "anthropic in 2026-11. Only the finer one is summed: give the other `role: control` in breakeven.yaml."
    ]


def test_the_bill_that_names_keys_is_taken_at_its_word(tmp_path: Path) -> None:
    """B12: a Console charge stays on its key whatever the meters say; the key's own tokens stand beside it."""
    book = configured_sources(
        {"source": "anthropic_console_csv", "issuer": "anthropic", "role": "book"},
        {"source": "anthropic_usage_api", "issuer": "anthropic", "role": "metered"},
    )
    rows = mart(
        tmp_path,
        config_sources=book,
        **{
            CONSOLE: [console_line(DAY, "5.00", api_key_id="k1"), console_line(DAY, "7.00", api_key_id="k2")],
            USAGES: [
                usage_row(DAY, api_key_id="k1", output_tokens=10),
                usage_row(DAY, api_key_id="k3", output_tokens=1),
            ],
        },
    )
    assert {row["api_key_id"]: (row["attribution"], row["tokens"], row["billed_cost"]) for row in rows} == {
        "k1": ("direct", 10, Decimal(5)),
        "k2": ("direct", None, Decimal(7)),
        "k3": ("metered_only", 1, None),
    }


def test_currencies_are_never_added_and_what_is_not_converted_says_so(tmp_path: Path) -> None:
    """B23: euros stay euros, their reporting amount is unknown, and the tokens beside them are counted once."""
    rows = mart(
        tmp_path,
        **{
            COSTS: [cost_line(DAY, "100"), cost_line(DAY, "300", currency="EUR")],
            USAGES: [usage_row(DAY, api_key_id="a", output_tokens=8)],
        },
    )
    assert {
        row["billing_currency"]: (row["billed_cost"], row["billed_cost_rc"], row["list_cost_rc"], row["price_status"])
        for row in rows
    } == {
        "USD": (Decimal(1), Decimal(1), None, "unpriced"),
        "EUR": (Decimal(3), None, Decimal("0.0002"), "unconverted"),
    }
    assert [row["tokens"] for row in rows if row["tokens"] is not None] == [8]


def test_another_reporting_currency_leaves_dollars_unconverted(tmp_path: Path) -> None:
    """B23: without a rate there is no amount in the reporting currency, neither billed nor list."""
    tables = {COSTS: [cost_line(DAY, "100")], USAGES: [usage_row(DAY, api_key_id="a", output_tokens=8)]}
    company = [{"company": "Acme", "reporting_currency": "EUR"}]
    rows = mart(tmp_path, config_company=company, **tables)
    assert [(row["billed_cost_rc"], row["list_cost_rc"], row["price_status"]) for row in rows] == [
        (None, None, "unconverted")
    ]


def test_list_cost_is_tokens_times_the_dated_price_of_their_tier(tmp_path: Path) -> None:
    """B5, B4: standard and batch have their own list price; before the book knew a batch price there is none."""
    early, late = date(2026, 10, 13), date(2026, 10, 14)
    usage = [
        usage_row(day, api_key_id="a", service_tier=tier, output_tokens=1_000_001)
        for day in (early, late)
        for tier in ("standard", "batch")
    ]
    rows = mart(tmp_path, **{USAGES: usage})
    assert {(row["usage_date"], row["service_tier"]): row["list_cost_rc"] for row in rows} == {
        (early, "standard"): Decimal("25.000025"),
        (early, "batch"): None,
        (late, "standard"): Decimal("25.000025"),
        (late, "batch"): Decimal("12.5000125"),
    }


def test_a_premium_the_price_book_does_not_know_leaves_the_row_unpriced(tmp_path: Path) -> None:
    """B4, B5: inference in one country and fast mode cost more than the standard list price."""
    rows = mart(
        tmp_path,
        **{
            COSTS: [
                cost_line(DAY, "100", inference_geo="us"),
                cost_line(DAY, "600", model="claude-opus-5", speed="fast"),
            ],
            USAGES: [
                usage_row(DAY, api_key_id="a", inference_geo="us", output_tokens=10**6),
                usage_row(DAY, api_key_id="a", model="claude-opus-5", output_tokens=10**6),
            ],
        },
    )
    assert {row["model"]: (row["list_cost_rc"], row["price_status"]) for row in rows} == {
        "claude-opus-4-8": (None, "unpriced"),
        "claude-opus-5": (Decimal(50), "priced"),
    }


def test_a_cell_that_holds_fast_and_standard_charges_has_no_one_list_price(tmp_path: Path) -> None:
    """B5: the meter does not say which tokens were fast."""
    rows = mart(
        tmp_path,
        **{
            COSTS: [
                cost_line(DAY, "100", model="claude-opus-5"),
                cost_line(DAY, "9", model="claude-opus-5", speed="fast"),
            ],
            USAGES: [usage_row(DAY, api_key_id="a", model="claude-opus-5", output_tokens=10)],
        },
    )
    assert [(row["billed_cost"], row["tokens"], row["price_status"]) for row in rows] == [
        (Decimal("1.09"), 10, "unpriced")
    ]


def test_a_list_price_that_the_bill_states_is_used_and_never_in_part(tmp_path: Path) -> None:
    """B4: one line without its list price leaves the sum unknown, not smaller."""
    book = configured_sources({"source": "anthropic_console_csv", "issuer": "anthropic", "role": "book"})
    lines = [
        console_line(DAY, "4.00", list_price_usd="5.00"),
        console_line(DAY, "1.00", api_key="b", list_price_usd="1.00"),
        console_line(DAY, "1.00", api_key="b", list_price_usd=None),
    ]
    rows = mart(tmp_path, config_sources=book, **{CONSOLE: lines})
    assert {row["api_key_id"]: (row["list_cost_rc"], row["price_status"]) for row in rows} == {
        "nightly": (Decimal(5), "priced"),
        "b": (None, "unpriced"),
    }


def test_every_day_is_counted_in_its_own_month(tmp_path: Path) -> None:
    """B8, B29: the last day of a month and the first of the next stay apart; a month rebuilt alone says the same."""
    last, first = date(2026, 10, 31), date(2026, 11, 1)
    both = mart(tmp_path / "both", **{COSTS: [cost_line(last, "100"), cost_line(first, "200")]})
    alone = mart(tmp_path / "alone", **{COSTS: [cost_line(first, "200")]})
    assert [row for row in both if row["usage_date"] == first] == alone
    assert billed(both) == Decimal(3)


KEYS = st.sampled_from([None, "a", "b", "c"])
CELLS = st.sampled_from([("claude-opus-4-8", None), ("claude-opus-4-8", "wrkspc_1"), ("claude-haiku-4-5", None)])
DAYS = st.integers(0, 40).map(lambda offset: date(2026, 10, 10) + timedelta(days=offset))


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    amounts=st.lists(
        st.tuples(DAYS, CELLS, st.integers(-(10**20), 10**20).map(lambda quanta: Decimal(quanta).scaleb(-16))),
        max_size=8,
    ),
    usages=st.lists(st.tuples(DAYS, CELLS, KEYS, st.integers(0, 10**15)), max_size=12),
    order=st.randoms(use_true_random=False),
)
def test_money_and_tokens_are_conserved_whatever_comes_in_whatever_order(
    tmp_path_factory: pytest.TempPathFactory, amounts: list, usages: list, order: object
) -> None:
    """B12, B7, B9: exact sums for random charges, refunds and usage, and the same table for any order of rows."""
    costs = [
        cost_line(day, str(amount), model=model, workspace_id=workspace) for day, (model, workspace), amount in amounts
    ]
    usage = [
        usage_row(day, model=model, workspace_id=workspace, api_key_id=key, output_tokens=tokens)
        for day, (model, workspace), key, tokens in usages
    ]
    first = mart(tmp_path_factory.mktemp("first"), **{COSTS: costs, USAGES: usage})
    order.shuffle(costs)  # type: ignore[attr-defined]
    order.shuffle(usage)  # type: ignore[attr-defined]
    second = mart(tmp_path_factory.mktemp("second"), **{COSTS: costs, USAGES: usage})
    assert first == second
    assert billed(first) == sum((amount for *_, amount in amounts), Decimal(0)) / 100
    assert sum(row["tokens"] or 0 for row in first) == sum(tokens for *_, tokens in usages)


FAULTS = {
    "check_api_money_conserved": ("stg_anthropic_cost_api__costs_daily", "* 0.01", "* 1"),
    "check_api_allocation_conserved": (
        "int_api_costs_allocated_daily",
        "then 1 else 0 end as quanta",
        "then 0 else 0 end as quanta",
    ),
    "check_api_tokens_conserved": ("stg_anthropic_usage_api__usage_hourly", "sum(output_tokens)", "max(output_tokens)"),
    "check_api_book_of_record": ("int_api_charges_daily", "owned.role = 'book'", "owned.role != ''"),
}


@pytest.mark.parametrize("check", FAULTS)
def test_a_planted_fault_breaks_the_check_of_its_law(tmp_path: Path, check: str) -> None:
    """B7, B12, B22: each law is able to fail."""
    model, old, new = FAULTS[check]
    tables = {
        COSTS: [cost_line(DAY, "100")],
        CONSOLE: [console_line(DAY + timedelta(days=30), "1.00")],
        USAGES: [usage_row(DAY, hour=hour, api_key_id=key, output_tokens=1) for key in "abc" for hour in (0, 0, 1)],
    }
    if check == "check_api_book_of_record":
        old, new = "coalesce(owned.role = 'book' and owned.source_rank = books.book_rank, false)", "true"
    sound = build_tables(tmp_path / "sound", tables, [check])
    faulty = build_tables(tmp_path / "faulty", tables, [check], replaced=[broken(model, old, new)])
    assert broken_laws(sound, [check]) == []
    assert broken_laws(faulty, [check]) != []


def test_the_cost_report_is_landed_under_the_name_its_staging_reads() -> None:
    """B12: a renamed dataset would read as an empty one."""
    [dataset] = COST_API.datasets
    assert dataset.table_view(dataset.tables[0]) == COSTS
