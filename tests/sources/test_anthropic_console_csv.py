"""The Console's cost export in all its ages, and what a file's name and a cut file may say."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import QuarantineError
from pipeline.sources.anthropic_console_csv import SOURCE

HEADER = (
    "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,"
    "inference_geo,speed"
)
ROW = "2026-06-24,Claude Opus 4.8,Default,bench,message,≤ 200k,output,{cost},{cost},token,global,"
WINDOW = {"window_from": "2026-06-18T00:00:00.000000Z", "window_to": "2026-07-06T00:00:00.000000Z"}


def _file(*rows: str, header: str = HEADER, end: str = "\r\n") -> bytes:
    return (end.join([header, *rows]) + end).encode()


def _parse(content: bytes, window: dict[str, str] | None = None) -> pl.DataFrame:
    (dataset,) = SOURCE.datasets
    frame = dataset.parse(content, window or {})["costs"]
    assert dict(frame.schema) == dataset.tables[0].schema
    return frame


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_rows_with_equal_dimensions_and_different_amounts_are_both_kept() -> None:
    """Class B9: a key without the row's place would lose one of them."""
    frame = _parse(_file(ROW.format(cost="16.50"), ROW.format(cost="44.40"), ROW.format(cost="44.40")))
    assert frame["cost_usd"].to_list() == ["16.50", "44.40", "44.40"]


@pytest.mark.parametrize("end", ["\r\n", "\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_a_byte_order_mark_do_not_matter(end: str, mark: bytes) -> None:
    frame = _parse(mark + _file(ROW.format(cost="1.25"), end=end))
    row = frame.to_dicts()[0]
    assert (row["usage_date_utc"], row["context_window"], row["cost_usd"]) == ("2026-06-24", "≤ 200k", "1.25")
    assert (row["bucket"], row["usage_date"]) == ("2026-06-24", date(2026, 6, 24))


@pytest.mark.parametrize(
    "absent",
    [
        ("api_key_id", "api_key_status"),
        ("api_key_id", "api_key_status", "list_price_usd"),
        ("api_key_id", "api_key_status", "list_price_usd", "inference_geo", "speed"),
        (),
    ],
)
def test_every_age_of_the_header_is_read_and_what_it_lacks_is_null(absent: tuple[str, ...]) -> None:
    columns = [name for name in f"{HEADER},api_key_id,api_key_status".split(",") if name not in absent]
    values = {**dict.fromkeys(columns, "x"), "usage_date_utc": "2026-06-24", "cost_usd": "2.50", "list_price_usd": "3"}
    row = _parse(_file(",".join(values[name] for name in columns), header=",".join(columns))).to_dicts()[0]
    assert row["cost_usd"] == "2.50"
    assert {name for name in row if row[name] is None} == {*absent, "other_columns"}


def test_unknown_columns_are_kept() -> None:
    frame = _parse(_file(ROW.format(cost="1") + ",eu-1", header=f"{HEADER},zone"))
    assert frame["other_columns"].to_list() == ['{"zone": "eu-1"}']


def test_a_refund_stays_negative_and_a_blank_list_price_is_missing() -> None:
    """Class B10."""
    row = _parse(_file("2026-06-24,M,W,K,message,c,output,-3.10,,token,global,")).to_dicts()[0]
    assert (row["cost_usd"], row["list_price_usd"]) == ("-3.10", None)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (ROW.format(cost="12,5"), "row 3: 14 cells where the header has 12"),
        ("2026-06-24,Claude Opus 4.8,Default", "row 3: 3 cells where the header has 12"),
        (ROW.format(cost="n/a"), "row 3: cost_usd is 'n/a'"),
        (ROW.format(cost=""), "row 3: cost_usd is ''"),
        (ROW.format(cost="1").replace("2026-06-24", "24/06/2026"), "row 3: usage_date_utc is '24/06/2026'"),
        (ROW.format(cost="1").replace("2026-06-24", "2026-06-31"), "row 3: usage_date_utc is '2026-06-31'"),
        (ROW.format(cost="1").replace("2026-06-24", "2026-08-01"), "row 3: dated 2026-08-01, outside the window"),
        ('"2026-06-24,Claude', "Not a readable CSV"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_with_its_number(row: str, says: str) -> None:
    with pytest.raises(QuarantineError, match=says):
        _parse(_file(ROW.format(cost="1"), row), WINDOW)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (_file(header="usage_date_utc,model\r\n2026-06-24,x"), "no column token_type, cost_usd"),
        (_file(header="usage_date_utc,model,token_type,cost_usd,cost_usd"), "names 'cost_usd' more than once"),
        (_file(ROW.format(cost="1")).decode().encode("utf-16"), "not UTF-8"),
    ],
)
def test_what_is_no_cost_export_is_refused_with_its_reason(content: bytes, says: str) -> None:
    with pytest.raises(QuarantineError, match=says):
        _parse(content)


def test_the_range_in_the_name_includes_its_last_day() -> None:
    dropped = SOURCE.drop("in/claude_api_cost_2026_06_18_to_2026_07_05 (1).csv", _file(ROW.format(cost="1")), {})
    assert (dropped.from_at, dropped.to_at) == (_utc("2026-06-18"), _utc("2026-07-06"))
    assert dropped.stated_by == "file_name"
    assert dropped.settings == WINDOW


def test_the_last_day_named_is_still_open() -> None:
    """Class B28: an export made during its last day holds a part of that day's charges."""
    dropped = SOURCE.drop("claude_api_cost_2026_02_01_to_2026_02_01.csv", _file(), {})
    assert dropped.stated_at is not None
    assert dropped.to_at is not None
    assert _utc("2026-02-01") < dropped.stated_at < dropped.to_at


def test_a_name_may_say_when_the_file_was_exported() -> None:
    dropped = SOURCE.drop("claude_api_cost_2026_06_01_to_2026_06_30_exported_2026_07_02.csv", _file(), {})
    assert dropped.stated_at is not None
    assert dropped.stated_at.date() == date(2026, 7, 2)
    assert dropped.to_at == _utc("2026-07-01")


@pytest.mark.parametrize(
    "name",
    ["costs.csv", "claude_api_cost_2026_06_31_to_2026_07_05.csv", "claude_api_cost_2026_07_05_to_2026_06_01.csv"],
)
def test_without_a_range_in_the_name_only_the_days_with_rows_are_vouched_for(name: str) -> None:
    rows = [ROW.format(cost="1"), ROW.format(cost="1").replace("06-24", "06-26")]
    dropped = SOURCE.drop(name, _file(*rows), {})
    assert (dropped.from_at, dropped.to_at) == (_utc("2026-06-24"), _utc("2026-06-27"))
    assert (dropped.stated_at, dropped.stated_by) == (None, "landed_at")


def test_an_unreadable_drop_still_lands() -> None:
    dropped = SOURCE.drop("costs.csv", b"usage_date_utc,cost_usd\n1", {})
    assert (dropped.from_at, len(dropped.payloads)) == (None, 1)


def test_files_are_recognised_by_their_header() -> None:
    assert SOURCE.recognise("whatever.txt", _file(ROW.format(cost="1"))[:300]) == "console_cost"
    assert SOURCE.recognise("whatever.txt", b"\xef\xbb\xbf" + _file()) == "console_cost"
    tokens = b"usage_date_utc,model_version,api_key,workspace,usage_input_tokens_no_cache\r\n"
    assert SOURCE.recognise("claude_api_cost_2026_06_18_to_2026_07_05.csv", tokens) is None
    assert SOURCE.recognise("x", b"\x89PNG") is None


_cells = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)
_costs = st.decimals(min_value=-999, max_value=999, places=2, allow_nan=False, allow_infinity=False)
_rows = st.lists(st.tuples(_costs, _cells, _cells), min_size=1, max_size=5)


def _generated(rows: list[tuple[Decimal, str, str]]) -> bytes:
    lines = ["2026-06-24,{},{},{},message,≤ 200k,output,{},1.00,token,global,fast"]
    quoted = [
        lines[0].format(*('"' + cell.replace('"', '""') + '"' for cell in ("M", one, two)), cost)
        for cost, one, two in rows
    ]
    return _file(*quoted)


@settings(max_examples=80, deadline=None)
@given(rows=_rows)
def test_every_row_is_kept_and_the_sum_is_exact(rows: list[tuple[Decimal, str, str]]) -> None:
    """Hostile labels, quotes and line breaks in cells included."""
    frame = _parse(_generated(rows))
    assert [Decimal(cost) for cost in frame["cost_usd"]] == [cost for cost, _, _ in rows]
    assert frame["workspace"].to_list() == [workspace for _, workspace, _ in rows]


@settings(max_examples=150, deadline=None)
@given(rows=_rows, data=st.data())
def test_a_file_cut_anywhere_but_between_two_rows_is_refused(rows: list[tuple[Decimal, str, str]], data: Any) -> None:
    """A cut exactly between two rows leaves a file that looks whole: only the Console's own total can tell."""
    content = _generated(rows)
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    try:
        read = [Decimal(cost) for cost in _parse(cut)["cost_usd"]]
    except QuarantineError:
        return
    assert cut.endswith((b"\r\n", b"\r"))
    assert read == [cost for cost, _, _ in rows][: len(read)]
