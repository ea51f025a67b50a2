"""DeepSeek's ZIP: two files of which neither is the bill alone, and a cost that names no key."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import QuarantineError
from pipeline.sources.deepseek_usage import LINES, SOURCE, drop, parse
from pipeline.sources.recognise import recognise_bytes
from tests.sources.small_bills import (
    AMOUNT_HEADER,
    COST_HEADER,
    ZIP_NAME,
    deepseek_amount,
    deepseek_cost,
    deepseek_zip,
)

HIT, MISS, OUT, ASKED = "input_cache_hit_tokens", "input_cache_miss_tokens", "output_tokens", "request_count"
DAY = date(2026, 11, 1)


def lines(content: bytes) -> list[dict[str, Any]]:
    return parse(content, drop(ZIP_NAME, content, {}).settings)[LINES.name].to_dicts()


def charged(rows: list[dict[str, Any]]) -> Decimal:
    return sum((Decimal(row["amount"]) for row in rows if row["amount"] is not None), Decimal(0))


def test_amounts_at_their_prices_are_the_lines_of_the_bill_by_key_and_class() -> None:
    """B1, B7: cached input is a type of its own; a price that changed within the day is two rows."""
    content = deepseek_zip(
        [
            deepseek_amount(HIT, "0.000000028", 1_000_000),
            deepseek_amount(MISS, "0.00000028", 200_000),
            deepseek_amount(MISS, "0.00000014", 200_000),
            deepseek_amount(OUT, "0.00000042", 100_000, key="batch"),
            deepseek_amount(ASKED, "", 31),
        ],
        [deepseek_cost("0.1500", wallet="Paid"), deepseek_cost("0.0040", wallet="Granted")],
    )
    rows = lines(content)
    assert [(row["token_class"], row["api_key_id"], row["tokens"], Decimal(row["amount"])) for row in rows[:4]] == [
        ("input_cache_read", "search", 1_000_000, Decimal("0.028")),
        ("input_uncached", "search", 200_000, Decimal("0.056")),
        ("input_uncached", "search", 200_000, Decimal("0.028")),
        ("output", "batch", 100_000, Decimal("0.042")),
    ]
    assert charged(rows) == Decimal("0.154")
    assert [row["description"] for row in rows[4:]] == [ASKED, "Paid", "Granted"]
    assert all(row["amount"] is None and row["tokens"] is None for row in rows[4:])
    assert "sk-a" not in str(rows)


@settings(max_examples=40, deadline=None)
@given(
    amounts=st.lists(
        st.tuples(
            st.sampled_from([HIT, MISS, OUT]),
            st.integers(1, 10**9),
            st.integers(0, 10**10),
            st.sampled_from(["a", "b"]),
        ),
        max_size=6,
    ),
    costs=st.lists(
        st.tuples(st.integers(0, 10**20), st.sampled_from(["Paid", "Granted"]), st.sampled_from(["a", "b"])), max_size=5
    ),
)
def test_all_lines_sum_to_the_cost_file_whatever_the_amounts_say(amounts: list, costs: list) -> None:
    """B12: what price x amount does not explain is a line of its own; nothing is billed that the cost file lacks."""
    content = deepseek_zip(
        [deepseek_amount(kind, f"{Decimal(price).scaleb(-13):f}", count, model=model) for kind, price, count, model in
         amounts],
        [deepseek_cost(f"{Decimal(cost).scaleb(-16):f}", wallet=wallet, model=model) for cost, wallet, model in costs],
    )  # fmt: skip
    rows = lines(content)
    for model in ("a", "b"):
        stated = sum((Decimal(cost).scaleb(-16) for cost, _, its in costs if its == model), Decimal(0))
        assert charged([row for row in rows if row["model"] == model]) == stated
    assert sum(row["tokens"] or 0 for row in rows) == sum(count for _, _, count, _ in amounts)


def test_a_cost_that_amounts_do_not_explain_is_a_line_of_its_own() -> None:
    """B30: named, not spread."""
    content = deepseek_zip([deepseek_amount(OUT, "0.000001", 100)], [deepseek_cost("0.0002")])
    rated, beside, wallet = lines(content)
    assert (rated["amount"], beside["amount"], beside["charge_kind"]) == ("0.000100", "0.000100", "other")
    assert beside["description"] == "cost less price x amount"
    assert wallet["amount"] is None


def test_tokens_whose_day_has_no_cost_or_one_in_two_currencies_have_no_cost_of_their_own() -> None:
    """B23, B4: neither is assumed; both currencies stay charges."""
    content = deepseek_zip(
        [deepseek_amount(OUT, "0.000001", 100), deepseek_amount(OUT, "0.000001", 5, model="deepseek-reasoner")],
        [deepseek_cost("0.5", currency="CNY"), deepseek_cost("0.0001", wallet="Granted", currency="USD")],
    )
    rows = lines(content)
    assert [(row["tokens"], row["amount"]) for row in rows[:2]] == [(100, None), (5, None)]
    assert [(row["amount"], row["currency"]) for row in rows[2:]] == [("0.5", "CNY"), ("0.0001", "USD")]


def test_the_accounts_own_offset_says_which_day_it_is() -> None:
    """B10, B24: since August 2026 the day starts at 16:00 UTC for an account in China; BOM and CRLF as ever."""
    headers = tuple(header.replace("utc_date", "start_time_iso,end_time_iso") for header in
                    (AMOUNT_HEADER, COST_HEADER))  # fmt: skip
    day = "2026-11-03T00:00:00+08:00,2026-11-04T00:00:00+08:00"
    content = deepseek_zip(
        [deepseek_amount(OUT, "0.000001", 100, day=day)],
        [deepseek_cost("0.0001", day=day)],
        span="2026-11-01_2026-11-15",
        headers=(headers[0], headers[1]),
        line_end="\r\n",
        mark="\ufeff",
    )
    dropped = drop("usage.zip", content, {})
    assert (dropped.from_at, dropped.to_at) == (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 16, tzinfo=UTC))
    assert {row["usage_date"] for row in lines(content)} == {date(2026, 11, 3)}


def test_a_month_is_vouched_for_whole_and_a_compact_date_is_one() -> None:
    content = deepseek_zip(
        [deepseek_amount(OUT, "0.000001", 1, day="20261101")], [deepseek_cost("0.000001", day="20261101")]
    )
    dropped = drop(ZIP_NAME, content, {})
    assert (dropped.from_at, dropped.to_at) == (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    assert {row["usage_date"] for row in lines(content)} == {DAY}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"{COST_HEADER}\n{deepseek_cost('1')}\n".encode(), "One of the two files alone is no bill"),
        (deepseek_zip([], [])[:-30], "cannot be unpacked"),
        (deepseek_zip([], [], headers=("user_id,utc_date,model", COST_HEADER)), "amount-2026-11.csv: no column"),
        (deepseek_zip([], [deepseek_cost("1", currency="$")]), "the currency is '\\$'"),
        (deepseek_zip([], [deepseek_cost("much")]), "cost row 2: cost is 'much'"),
        (deepseek_zip([deepseek_amount(OUT, "1", 1, day="May")], []), "amount row 2: its day is 'May'"),
        (deepseek_zip([], [deepseek_cost("1", day="2026-12-01")]), "outside the window 2026-11-01 to 2026-11-30"),
    ],
)
def test_what_is_no_whole_export_is_refused_with_what_to_do(content: bytes, words: str) -> None:
    with pytest.raises(QuarantineError, match=words):
        parse(content, {"window_from": "2026-11-01T00:00:00Z", "window_to": "2026-12-01T00:00:00Z"})


def test_every_byte_of_a_cut_or_altered_zip_is_read_or_refused() -> None:
    """Nothing else may happen to a file that somebody drops."""
    content = deepseek_zip([deepseek_amount(OUT, "0.000001", 100)], [deepseek_cost("0.0001")])
    for at in range(0, len(content), 3):
        for broken in (content[:at], content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :]):
            SOURCE.drop(ZIP_NAME, broken, {})
            try:
                parse(broken, {})
            except QuarantineError:
                continue


def test_the_zip_is_known_by_the_files_in_it_and_another_zip_is_not() -> None:
    content = deepseek_zip([], [])
    assert recognise_bytes("x", content).source == "deepseek_usage"
    assert recognise_bytes("x", f"{COST_HEADER}\n".encode()).source == "deepseek_usage"
    assert recognise_bytes("x", b"PK\x03\x04 xl/workbook.xml").source is None
