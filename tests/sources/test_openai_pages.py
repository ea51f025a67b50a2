"""Reading OpenAI's cost and usage pages: every row, every digit, and nothing read as what it is not."""

import json
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import QuarantineError
from pipeline.sources import openai_costs_api, openai_usage_api
from pipeline.sources.source import Source
from tests.sources.openai_admin_api import bucket, page

COSTS = openai_costs_api.SOURCE
USAGE = openai_usage_api.SOURCE
WINDOW = {"window_from": "2026-09-01T00:00:00.000000Z", "window_to": "2026-10-01T00:00:00.000000Z"}

INPUT: dict[str, Any] = {
    "object": "organization.costs.result",
    "amount": {"value": 0.0178872, "currency": "usd"},
    "line_item": "gpt-5.6-sol, cached input",
    "project_id": "proj_01Search",
    "api_key_id": None,
    "user_id": None,
    "api_source": None,
    "quantity": 35774,
    "quantity_unit": "tokens",
}


def _parse(source: Source, content: bytes, dataset: str = "", window: dict[str, str] | None = None) -> pl.DataFrame:
    chosen = next(item for item in source.datasets if item.name == (dataset or source.datasets[0].name))
    frames = chosen.parse(content, window or {})
    (table,) = chosen.tables
    assert set(frames) == {table.name}
    assert dict(frames[table.name].schema) == table.schema
    return frames[table.name]


def _spelled(value: str) -> bytes:
    """A page with one result whose amount is spelled so."""
    return page(bucket("2026-09-02", {**INPUT, "amount": {"value": 777, "currency": "usd"}})).replace(
        b"777", value.encode()
    )


@pytest.mark.parametrize(
    ("spelled", "amount"),
    [
        ("0.0178872", "0.0178872"),
        ("0.34090000000000000", "0.34090000000000000"),
        ("5e-05", "0.00005"),
        ("1.5E+3", "1500"),
        ("-12.5", "-12.5"),
        ("0", "0"),
        ("0E-6176", "0"),
        ('"12.50"', "12.50"),
        ('"0.100000000001"', "0.100000000001"),
        ("0.123456789012345678", "0.123456789012345678"),
    ],
)
def test_an_amount_is_dollars_and_keeps_every_digit(spelled: str, amount: str) -> None:
    """B7: a JSON number is never a float here; OpenAI has sent text and the zero of a 128-bit decimal too."""
    frame = _parse(COSTS, _spelled(spelled))
    assert (frame["amount"].to_list(), frame["currency"].to_list()) == ([amount], ["USD"])
    assert frame["other_columns"].to_list() == [None]


@pytest.mark.parametrize(
    ("spelled", "amount"),
    [
        ("3.3000000000000003e-06", "0.000003300000000000"),
        ("0.0000000000000000005", "0.000000000000000000"),
        ("0.0000000000000000015", "0.000000000000000002"),
        ("-1.2345678901234567e-05", "-0.000012345678901235"),
    ],
)
def test_what_is_finer_than_is_held_is_rounded_and_kept_as_it_was_spelled(spelled: str, amount: str) -> None:
    """B7: the noise of a binary float below 10^-18 of a dollar neither loses the page nor its spelling."""
    row = _parse(COSTS, _spelled(spelled)).to_dicts()[0]
    assert row["amount"] == amount
    assert row["other_columns"] == f'{{"amount.value": {spelled}}}'


@pytest.mark.parametrize("spelled", ["null", "true", '""', '"$5"', '"1,5"', "{}", "1e30"])
def test_an_amount_that_is_no_number_is_refused_with_its_place(spelled: str) -> None:
    """B4: what cannot be read is never 0."""
    with pytest.raises(QuarantineError, match=r"page 1, bucket 1, result 1: amount\.value is"):
        _parse(COSTS, _spelled(spelled))


@pytest.mark.parametrize("amount", [None, 5, {"value": 1}, {"value": 1, "currency": None}])
def test_an_amount_without_its_currency_is_refused(amount: object) -> None:
    """B23: no currency is assumed."""
    with pytest.raises(QuarantineError, match=r"result 1: no (object `amount`|currency)"):
        _parse(COSTS, page(bucket("2026-09-02", {**INPUT, "amount": amount})))


def test_nulls_are_values_and_fields_of_a_later_day_are_kept() -> None:
    """B12, B24: a null project is one, and what no schema names stays beside its row."""
    result = {**INPUT, "project_id": None, "quantity": None, "quantity_unit": None, "region": {"b": 1, "a": None}}
    result["amount"] = {"value": 1, "currency": "usd", "tax": 0.2}
    row = _parse(COSTS, page({**bucket("2026-09-02", result), "note": "restated"})).to_dicts()[0]
    assert (row["project_id"], row["quantity"], row["quantity_unit"]) == (None, None, None)
    assert row["other_columns"] == '{"amount.tax": 0.2, "bucket.note": "restated", "region": {"a": null, "b": 1}}'


def test_rows_with_equal_dimensions_are_different_charges() -> None:
    """B9: a row is its place in its page, never its dimensions."""
    assert _parse(COSTS, page(bucket("2026-09-02", INPUT, INPUT))).height == 2


def test_a_bucket_is_the_utc_day_of_its_unix_seconds() -> None:
    """B8: 1788307199 is the last second of 1 September, 1788307200 the first of the 2nd."""
    content = page({"start_time": 1788307199, "end_time": 1788307200, "results": [INPUT]}, bucket("2026-09-02", INPUT))
    frame = _parse(COSTS, content)
    assert frame["usage_date"].to_list() == [date(2026, 9, 1), date(2026, 9, 2)]
    assert frame["start_time"].to_list() == [1788307199, 1788307200]


@pytest.mark.parametrize(
    "times",
    [
        {"start_time": 1788307200, "end_time": 1788307200},
        {"start_time": 1788307200, "end_time": 1788307200 + 86401},
        {"start_time": 1788307200000, "end_time": 1788393600000},
        {"start_time": "2026-09-02T00:00:00Z", "end_time": "2026-09-03T00:00:00Z"},
        {"start_time": True, "end_time": 1788393600},
        {"end_time": 1788393600},
    ],
)
def test_a_bucket_that_is_no_part_of_one_utc_day_is_refused(times: dict[str, Any]) -> None:
    """B8: milliseconds, months and texts are no day's Unix seconds."""
    with pytest.raises(QuarantineError, match=r"within one UTC day|not Unix seconds"):
        _parse(COSTS, page({**times, "results": [INPUT]}))


def test_a_row_of_another_month_and_a_bucket_that_comes_twice_are_refused() -> None:
    """B9: two fetches saved into one file would count twice."""
    with pytest.raises(QuarantineError, match="outside the window 2026-09-01 to 2026-09-30"):
        _parse(COSTS, page(bucket("2026-10-01", INPUT)), window=WINDOW)
    with pytest.raises(QuarantineError, match="twice"):
        _parse(COSTS, page(bucket("2026-09-02", INPUT)) + b"\n" + page(bucket("2026-09-02", INPUT)))


def test_counts_are_kept_as_they_come_and_a_missing_one_is_missing() -> None:
    """B1, B4: cached tokens stay inside the input here; staging takes them out."""
    result = {
        "object": "organization.usage.completions.result",
        "input_tokens": 1000,
        "input_cached_tokens": 600,
        "output_tokens": 50,
        "num_model_requests": 2,
        "model": "gpt-5-mini-2025-08-07",
        "batch": True,
        "service_tier": "flex",
        "input_thinking_tokens": 7,
    }
    row = _parse(USAGE, page(bucket("2026-09-02", result, hours=1, hour=23))).to_dicts()[0]
    assert (row["input_tokens"], row["input_cached_tokens"], row["input_uncached_tokens"]) == (1000, 600, None)
    assert (row["batch"], row["service_tier"], row["project_id"]) == (True, "flex", None)
    assert row["other_columns"] == '{"input_thinking_tokens": 7}'


@pytest.mark.parametrize(
    ("field", "value"),
    [("input_tokens", -1), ("input_tokens", 1.5), ("input_tokens", "9"), ("batch", "true"), ("model", 4)],
)
def test_a_field_of_another_kind_is_refused_with_its_place(field: str, value: object) -> None:
    with pytest.raises(QuarantineError, match=f"result 1: {field} is"):
        _parse(USAGE, page(bucket("2026-09-02", {field: value}, hours=1)))


OWN_NAMES = {"file_search_calls": "file_searches", "web_search_calls": "web_searches"}


@pytest.mark.parametrize("dataset", [dataset.name for dataset in USAGE.datasets])
def test_every_endpoints_page_is_recognised_by_what_its_results_call_themselves(dataset: str) -> None:
    """B24: searches are called file_searches and web_searches although their paths say calls."""
    name = f"organization.usage.{OWN_NAMES.get(dataset, dataset)}.result"
    content = page(bucket("2026-09-02", hours=1), bucket("2026-09-02", {"object": name}, hours=1, hour=1))
    assert USAGE.recognise("costs.json", content) == dataset
    assert COSTS.recognise("costs.json", content) is None
    assert USAGE.drop("x.json", content, {}).dataset == dataset
    assert _parse(USAGE, content, dataset).height == 1
    other = next(item.name for item in USAGE.datasets if item.name != dataset)
    with pytest.raises(QuarantineError, match="Drop each by itself"):
        _parse(USAGE, content, other)


def test_costs_are_recognised_and_others_pages_are_not() -> None:
    assert COSTS.recognise("x.json", page(bucket("2026-09-02", INPUT))) == "costs"
    assert USAGE.recognise("x.json", page(bucket("2026-09-02", INPUT))) is None
    anthropic = b'{"data": [{"starting_at": "2026-09-02T00:00:00Z", "results": [{"amount": "5", "currency": "USD"}]}]}'
    assert COSTS.recognise("x.json", anthropic) is None
    assert COSTS.recognise("x.csv", b"organization.costs.result") is None


def test_a_saved_page_has_the_window_of_its_buckets_and_closes_its_chain() -> None:
    dropped = COSTS.drop("page.json", page(bucket("2026-09-02", INPUT), bucket("2026-09-03")), {})
    assert (dropped.from_at, dropped.to_at) == (datetime(2026, 9, 2, tzinfo=UTC), datetime(2026, 9, 4, tzinfo=UTC))
    assert (dropped.complete, dropped.grouping) == (True, "project_id,line_item")
    assert not COSTS.drop("page.json", page(bucket("2026-09-02", INPUT), has_more=True), {}).complete


@pytest.mark.parametrize(
    ("left_out", "grouping"),
    [
        (("project_id",), "line_item"),
        (("line_item",), "project_id"),
        (("project_id", "line_item"), ""),
    ],
)
def test_a_page_grouped_otherwise_is_the_same_money_again(left_out: tuple[str, ...], grouping: str) -> None:
    """B22: the ungrouped total and the grouped rows are never both counted."""
    result = {**INPUT, **dict.fromkeys(left_out)}
    assert COSTS.drop("page.json", page(bucket("2026-09-02", result)), {}).grouping == grouping


def test_usage_that_was_not_grouped_by_model_is_another_dataset() -> None:
    """B22: one key's tokens of all models are no model's."""
    result = {"object": "organization.usage.completions.result", "input_tokens": 1, "api_key_id": "key_1"}
    assert USAGE.drop("x.json", page(bucket("2026-09-02", result, hours=1)), {}).grouping == "api_key_id"
    with_model = page(bucket("2026-09-02", {**result, "model": "gpt-5"}, hours=1))
    assert USAGE.drop("x.json", with_model, {}).grouping == USAGE.datasets[0].grouping


_doubles = st.floats(min_value=-1e9, max_value=1e9, allow_nan=False, allow_infinity=False)
_results = st.builds(
    lambda value, project: {**INPUT, "amount": {"value": value, "currency": "usd"}, "project_id": project},
    _doubles | st.integers(-(10**12), 10**12),
    st.none() | st.text(max_size=4),
)


@settings(max_examples=60, deadline=None)
@given(days=st.lists(st.lists(_results, max_size=4), min_size=1, max_size=6), order=st.randoms(use_true_random=False))
def test_every_row_is_kept_in_any_order_and_no_sum_is_off_by_more_than_rounding(
    days: list[list[dict[str, Any]]], order: Any
) -> None:
    """B7: each amount is within half of 10^-18 of what its double spells, whatever the order of the pages."""
    pages = [
        page(bucket(f"2026-09-{number:02d}", *results), has_more=number < len(days))
        for number, results in enumerate(days, start=1)
    ]
    one_by_one = pl.concat([_parse(COSTS, one) for one in pages])
    together = _parse(COSTS, b"\n".join(order.sample(pages, len(pages))))
    assert Counter(one_by_one.rows()) == Counter(together.rows())
    stated = [Decimal(json.dumps(result["amount"]["value"])) for results in days for result in results]
    assert len(one_by_one) == len(stated)
    for amount, exact in zip(map(Decimal, one_by_one["amount"]), stated, strict=True):
        assert abs(amount - exact) <= Decimal("0.5e-18")


@settings(max_examples=60, deadline=None)
@given(days=st.lists(st.lists(_results, max_size=3), min_size=1, max_size=4), data=st.data())
def test_a_page_cut_anywhere_is_refused(days: list[list[dict[str, Any]]], data: st.DataObject) -> None:
    whole = page(*[bucket(f"2026-09-{number:02d}", *results) for number, results in enumerate(days, start=1)])
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(QuarantineError):
        _parse(COSTS, cut)
    assert COSTS.drop("page.json", cut, {}).from_at is None
