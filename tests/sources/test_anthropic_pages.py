"""Reading cost and usage pages: every row, every digit, and nothing read as what it is not."""

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import QuarantineError
from pipeline.sources import anthropic_cost_api, anthropic_usage_api
from pipeline.sources.source import Source

COST = anthropic_cost_api.SOURCE
USAGE = anthropic_usage_api.SOURCE
WINDOW = {"window_from": "2026-08-01T00:00:00.000000Z", "window_to": "2026-09-01T00:00:00.000000Z"}

OUTPUT = {
    "amount": "1691.3875",
    "currency": "USD",
    "cost_type": "tokens",
    "description": "Claude Opus 5 Usage - Output Tokens",
    "model": "claude-opus-5",
    "token_type": "output_tokens",
    "service_tier": "standard",
    "context_window": "0-200k",
    "inference_geo": "global",
    "workspace_id": "wrkspc_01PaymentsProd",
}


def _bucket(day: str, *results: Any, hours: int = 24) -> dict[str, Any]:
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return {
        "starting_at": f"{start:%Y-%m-%dT%H:%M:%SZ}",
        "ending_at": f"{start + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}",
        "results": list(results),
    }


def _page(*buckets: Any, has_more: bool = False) -> bytes:
    next_page = "page_1" if has_more else None
    return json.dumps(
        {"data": list(buckets), "has_more": has_more, "next_page": next_page}, ensure_ascii=False
    ).encode()


def _parse(source: Source, content: bytes, window: dict[str, str] | None = None) -> pl.DataFrame:
    dataset = source.datasets[0]
    frames = dataset.parse(content, window or {})
    (table,) = dataset.tables
    assert set(frames) == {table.name}
    frame = frames[table.name]
    assert dict(frame.schema) == table.schema
    return frame


def test_cents_keep_their_spelling_and_their_digits() -> None:
    """Class B7: cents as a decimal string, never a float and never dollars at this place."""
    frame = _parse(COST, _page(_bucket("2026-08-10", OUTPUT, {**OUTPUT, "amount": "41280.000000"})))
    assert frame["amount"].to_list() == ["1691.3875", "41280.000000"]
    assert frame["bucket"].to_list() == ["2026-08-10"] * 2
    assert frame["usage_date"].to_list() == [date(2026, 8, 10)] * 2


def test_a_json_number_is_not_rounded_through_a_float() -> None:
    content = _page(_bucket("2026-08-10", OUTPUT)).replace(b'"1691.3875"', b"0.1000000000000055")
    assert _parse(COST, content)["amount"].to_list() == ["0.1000000000000055"]


def test_credits_stay_negative() -> None:
    """Class B10: refunds and negative days survive."""
    assert _parse(COST, _page(_bucket("2026-08-10", {**OUTPUT, "amount": "-12.5"})))["amount"].to_list() == ["-12.5"]


def test_rows_with_equal_dimensions_are_different_charges() -> None:
    """Class B9: a row is its place in its file, never its dimensions."""
    assert _parse(COST, _page(_bucket("2026-08-10", OUTPUT, OUTPUT))).height == 2


def test_null_dimensions_stay_null() -> None:
    frame = _parse(COST, _page(_bucket("2026-08-10", {"amount": "5", "currency": "USD", "workspace_id": None})))
    assert frame.select("workspace_id", "model", "token_type", "speed").row(0) == (None, None, None, None)


def test_unknown_types_classes_models_and_fields_are_kept() -> None:
    """Class B24: a charge of a kind this release has never seen is still money."""
    strange = {
        **OUTPUT,
        "cost_type": "session_usage",
        "token_type": "cache_creation.ephemeral_30m_input_tokens",
        "model": "claude-nova-9",
        "list_amount": 2.5000,
        "zone": {"b": 1, "a": [None]},
    }
    bucket = {**_bucket("2026-08-10", strange), "note": "restated"}
    row = _parse(COST, _page(bucket).replace(b"2.5,", b"2.5000,")).to_dicts()[0]
    assert (row["cost_type"], row["model"]) == ("session_usage", "claude-nova-9")
    assert row["token_type"] == "cache_creation.ephemeral_30m_input_tokens"
    assert row["other_columns"] == '{"bucket.note": "restated", "list_amount": 2.5000, "zone": {"a": [null], "b": 1}}'


def test_the_currency_is_the_one_named() -> None:
    """Class B23: no currency is assumed."""
    content = _page(_bucket("2026-08-10", {**OUTPUT, "currency": "EUR"}))
    assert _parse(COST, content)["currency"].to_list() == ["EUR"]
    with pytest.raises(QuarantineError, match="result 1: no currency"):
        _parse(COST, _page(_bucket("2026-08-10", {**OUTPUT, "currency": None})))


@pytest.mark.parametrize(
    ("amount", "says"),
    [
        ("12,50", "not a decimal"),
        ("$5", "not a decimal"),
        ("", "not a decimal"),
        ("NaN", "not a decimal"),
        ("Infinity", "not a decimal"),
        ("١٢", "not a decimal"),
        (None, "missing"),
        (True, "not a decimal"),
        ({"value": 5}, "not a decimal"),
        ("0.12345678901234567", "cannot be held exactly"),
        ("1" * 21, "cannot be held exactly"),
    ],
)
def test_an_amount_that_is_no_number_is_refused_with_its_place(amount: object, says: str) -> None:
    """Class B4: what cannot be read is never 0."""
    with pytest.raises(QuarantineError, match=f"page 1, bucket 2, result 2: amount is .*{says}"):
        _parse(COST, _page(_bucket("2026-08-10"), _bucket("2026-08-11", OUTPUT, {**OUTPUT, "amount": amount})))


def test_an_exponent_is_written_out() -> None:
    content = _page(_bucket("2026-08-10", OUTPUT)).replace(b'"1691.3875"', b"1e-7")
    assert _parse(COST, content)["amount"].to_list() == ["0.0000001"]


@pytest.mark.parametrize("rows", [(OUTPUT,), ()], ids=["used", "unused"])
def test_a_bucket_of_another_month_is_refused(rows: tuple[dict[str, Any], ...]) -> None:
    """Also where nothing is in it: that is not that nothing was used in this one."""
    with pytest.raises(QuarantineError, match="dated 2026-09-01, outside the window 2026-08-01 to 2026-08-31"):
        _parse(COST, _page(_bucket("2026-09-01", *rows)), WINDOW)


@pytest.mark.parametrize("hours", [0, 25, 24 * 31])
def test_a_bucket_that_is_no_part_of_one_utc_day_is_refused(hours: int) -> None:
    """Class B8: a day bucket is the issuer's UTC day."""
    with pytest.raises(QuarantineError, match="does not lie within one UTC day"):
        _parse(COST, _page(_bucket("2026-08-10", OUTPUT, hours=hours)))


def test_a_bucket_twice_in_one_file_is_refused() -> None:
    """Class B9: two fetches saved into one file."""
    page = _page(_bucket("2026-08-10", OUTPUT))
    with pytest.raises(QuarantineError, match="twice"):
        _parse(COST, page + b"\n" + page)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "Not complete JSON"),
        (b"null", "not a page"),
        (b'{"data": {}}', "not a page"),
        (b'{"data": [1]}', "no list `results`"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"data": [], "data": []}', "'data' twice"),
        (b'{"data": [NaN]}', "NaN"),
        (b"[" * 100_000, "nested deeper|Not complete JSON"),
        (b'{"data": [], "x": "\\ud800"}', "surrogate"),
        (b'{"data": [], "x": ' + b"9" * 5000 + b"}", "cannot be read"),
    ],
)
def test_what_is_no_page_is_refused_with_its_reason(content: bytes, says: str) -> None:
    with pytest.raises(QuarantineError, match=says):
        _parse(COST, content)


def test_hostile_strings_are_only_strings() -> None:
    hostile = "'; drop table costs; -- \u202e\x00 =HYPERLINK(1) \N{SNOWMAN}"
    row = _parse(COST, _page(_bucket("2026-08-10", {**OUTPUT, "description": hostile}))).to_dicts()[0]
    assert row["description"] == hostile


def test_cache_writes_are_nested_and_a_flat_field_is_not_mistaken_for_them() -> None:
    """Classes B3 and B7: a flat field with default 0 once made every cache write vanish."""
    nested = {"cache_creation": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 7}}
    flat = {"cache_creation_input_tokens": 507}
    rows = _parse(USAGE, _page(_bucket("2026-08-10", nested, flat, hours=1))).to_dicts()
    five_minutes, one_hour = "cache_creation_5m_input_tokens", "cache_creation_1h_input_tokens"
    assert [(row[five_minutes], row[one_hour]) for row in rows] == [(500, 7), (None, None)]
    assert rows[1]["other_columns"] == '{"cache_creation_input_tokens": 507}'


def test_a_count_the_report_does_not_state_is_missing_not_zero() -> None:
    result = {"output_tokens": 0, "server_tool_use": None, "model": "claude-opus-5"}
    row = _parse(USAGE, _page(_bucket("2026-08-10", result, hours=1))).to_dicts()[0]
    assert row["output_tokens"] == 0
    assert row["uncached_input_tokens"] is row["web_search_requests"] is row["cache_creation_5m_input_tokens"] is None


def test_a_new_cache_lifetime_is_kept_by_its_path() -> None:
    """Class B3: another time to live is another class, not a part of a known one."""
    result = {"cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_30m_input_tokens": 9}}
    row = _parse(USAGE, _page(_bucket("2026-08-10", result, hours=1))).to_dicts()[0]
    assert row["cache_creation_5m_input_tokens"] == 1
    assert row["other_columns"] == '{"cache_creation.ephemeral_30m_input_tokens": 9}'


@pytest.mark.parametrize("tokens", ["12", -1, 1.5, True, 2**63])
def test_a_count_that_is_no_count_is_refused(tokens: object) -> None:
    with pytest.raises(QuarantineError, match=r"result 1: output_tokens is .*not a count"):
        _parse(USAGE, _page(_bucket("2026-08-10", {"output_tokens": tokens}, hours=1)))


def test_a_whole_number_printed_with_a_point_is_a_count() -> None:
    assert _parse(USAGE, _page(_bucket("2026-08-10", {"output_tokens": 59200.0})))["output_tokens"].to_list() == [59200]


def test_files_are_recognised_by_content_never_by_name() -> None:
    cost, usage = _page(_bucket("2026-08-10", OUTPUT)), _page(_bucket("2026-08-10", {"uncached_input_tokens": 1}))
    assert COST.recognise("usage.json", cost[:400]) == "cost_report"
    assert USAGE.recognise("cost_report.json", usage) == "messages_usage"
    assert COST.recognise("cost_report.json", usage) is None
    assert USAGE.recognise("x.json", cost) is None
    openai = b'{"object":"page","data":[{"object":"bucket","start_time":1,"results":[{"amount":{"currency":"usd"}}]}]}'
    assert COST.recognise("cost_report.json", openai) is None
    assert COST.recognise("cost_report.json", b"usage_date_utc,cost_usd\n") is None


def test_a_dropped_page_has_the_window_of_its_buckets() -> None:
    dropped = COST.drop("page.json", _page(_bucket("2026-08-10", OUTPUT), _bucket("2026-08-11")), {})
    assert (dropped.from_at, dropped.to_at) == (datetime(2026, 8, 10, tzinfo=UTC), datetime(2026, 8, 12, tzinfo=UTC))
    assert dropped.complete
    assert dropped.grouping == COST.datasets[0].grouping


def test_a_dropped_page_that_has_more_is_never_complete() -> None:
    first = _page(_bucket("2026-08-10", OUTPUT), has_more=True)
    last = _page(_bucket("2026-08-11", OUTPUT))
    assert not COST.drop("page.json", first, {}).complete
    assert COST.drop("pages.jsonl", first + b"\n" + last + b"\n", {}).complete
    assert COST.drop("pages.json", b"[" + last + b"," + first + b"]", {}).complete
    assert not COST.drop("page.json", last.replace(b'"has_more": false, ', b""), {}).complete
    assert not COST.drop("two_chains.jsonl", last + b"\n" + _page(_bucket("2026-08-20", OUTPUT)), {}).complete


def test_an_ungrouped_report_is_another_dataset() -> None:
    """Class B22: the ungrouped total and the grouped rows are the same money."""
    ungrouped = {"amount": "5", "currency": "USD", "description": None, "workspace_id": None}
    assert COST.drop("page.json", _page(_bucket("2026-08-10", ungrouped)), {}).grouping == ""
    by_model = {"uncached_input_tokens": 1, "model": "claude-opus-5"}
    assert USAGE.drop("page.json", _page(_bucket("2026-08-10", by_model)), {}).grouping == "model"


def test_an_unreadable_drop_still_lands() -> None:
    dropped = COST.drop("page.json", b'{"data": [', {})
    assert dropped.payloads[0].content == b'{"data": ['
    assert dropped.from_at is None


_amounts = st.decimals(min_value=-(10**9), max_value=10**9, places=6, allow_nan=False, allow_infinity=False)
_results = st.builds(
    lambda amount, workspace, description: {
        "amount": format(amount, "f"),
        "currency": "USD",
        "workspace_id": workspace,
        "description": description,
    },
    _amounts,
    st.none() | st.text(max_size=5),
    st.sampled_from(["Output", "Input", 'quote " comma ,', "\u2028"]),
)
_pages = st.lists(st.lists(_results, max_size=4), min_size=1, max_size=6)


def _whole(days: list[list[dict[str, Any]]]) -> list[bytes]:
    return [
        _page(_bucket(f"2026-08-{number:02d}", *results), has_more=number < len(days))
        for number, results in enumerate(days, start=1)
    ]


@settings(max_examples=60, deadline=None)
@given(days=_pages, seed=st.randoms(use_true_random=False))
def test_every_row_of_every_page_is_kept_in_any_order_and_the_sum_is_exact(
    days: list[list[dict[str, Any]]], seed: Any
) -> None:
    """Class B7: no digit is lost in reading."""
    pages = _whole(days)
    one_by_one = pl.concat([_parse(COST, page) for page in pages])
    shuffled = seed.sample(pages, len(pages))
    together = _parse(COST, b"\n".join(shuffled))
    assert Counter(one_by_one.rows()) == Counter(together.rows())
    stated = [Decimal(result["amount"]) for results in days for result in results]
    assert [Decimal(amount) for amount in one_by_one["amount"]] == stated
    assert sum(map(Decimal, together["amount"]), Decimal(0)) == sum(stated, Decimal(0))


@settings(max_examples=60, deadline=None)
@given(days=_pages, data=st.data())
def test_a_page_cut_anywhere_is_refused(days: list[list[dict[str, Any]]], data: st.DataObject) -> None:
    page = _page(*[_bucket(f"2026-08-{number:02d}", *results) for number, results in enumerate(days, start=1)])
    cut = page[: data.draw(st.integers(0, len(page) - 1))]
    with pytest.raises(QuarantineError):
        _parse(COST, cut)
    assert COST.drop("page.json", cut, {}).from_at is None


@settings(max_examples=60, deadline=None)
@given(days=_pages, data=st.data())
def test_a_file_of_pages_cut_anywhere_is_refused_or_incomplete(
    days: list[list[dict[str, Any]]], data: st.DataObject
) -> None:
    """A cut exactly between two pages leaves pages that are whole; without the last one they are never current."""
    pages = b"\n".join(_whole(days))
    cut = pages[: data.draw(st.integers(0, len(pages) - 1))]
    try:
        _parse(COST, cut)
    except QuarantineError:
        return
    assert not COST.drop("pages.jsonl", cut, {}).complete
