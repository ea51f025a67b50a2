"""Reading the usage dashboard's exports: a header that varies, buckets without use, counts printed as floats."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import QuarantineError
from pipeline.landing.fetched import Fetched
from pipeline.sources.openai_dashboard_csv import SOURCE

TIMES = ("start_time", "end_time", "start_time_iso", "end_time_iso")
COST = (*TIMES, "amount_value", "amount_currency", "line_item", "project_id", "organization_id", "organization_name")
COMPLETIONS = (
    *TIMES,
    *("project_id", "num_model_requests", "user_id", "api_key_id", "model", "batch", "service_tier"),
    *("input_tokens", "output_tokens", "input_cached_tokens", "input_uncached_tokens", "input_text_tokens"),
)
COST_NAME = "cost_2026-11-01_2026-11-03.csv"
USAGE_NAME = "completions_usage_2026-11-01_2026-11-03.csv"


def _csv(header: tuple[str, ...], *rows: dict[str, str], line_end: str = "\n") -> bytes:
    lines = [",".join(header), *(",".join(row.get(name, "") for name in header) for row in rows)]
    return "".join(f"{line}{line_end}" for line in lines).encode()


def _times(day: int, *, hour: int = 0, minutes: int = 24 * 60) -> dict[str, str]:
    start = datetime(2026, 11, day, hour, tzinfo=UTC)
    stop = start + timedelta(minutes=minutes)
    spelled = {
        f"{name}_iso": f"{at:%Y-%m-%dT%H:%M:%S}+00:00" for name, at in (("start_time", start), ("end_time", stop))
    }
    return {"start_time": str(int(start.timestamp())), "end_time": str(int(stop.timestamp())), **spelled}


def _cost(day: int, amount: str, **fields: str) -> dict[str, str]:
    return {**_times(day), "amount_value": amount, "amount_currency": "usd", "organization_name": "Personal", **fields}


def _used(day: int, **fields: str) -> dict[str, str]:
    counts = {"input_tokens": "59200.0", "output_tokens": "12.0", "num_model_requests": "3.0"}
    return {**_times(day), "model": "gpt-5-mini-2025-08-07", "batch": "FALSE", **counts, **fields}


def _quiet(*days: int) -> list[dict[str, str]]:
    return [_times(day) for day in days]


def _dropped(name: str, content: bytes) -> tuple[Fetched, pl.DataFrame]:
    delivery = SOURCE.drop(name, content, {})
    dataset = next(dataset for dataset in SOURCE.datasets if dataset.name == delivery.dataset)
    frame = dataset.parse(content, delivery.settings)[dataset.tables[0].name]
    assert dict(frame.schema) == dataset.tables[0].schema
    return delivery, frame


def _days(delivery: Fetched) -> tuple[date, date]:
    assert delivery.from_at is not None
    assert delivery.to_at is not None
    return delivery.from_at.date(), delivery.to_at.date()


def test_an_amount_keeps_its_17_decimals_and_a_quiet_day_has_no_row() -> None:
    """B7: dollars as they are printed."""
    content = _csv(COST, _cost(1, "0.34090000000000000"), *_quiet(2), _cost(3, "0.072054", project_id="proj_a"))
    delivery, frame = _dropped(COST_NAME, content)
    assert frame["amount"].to_list() == ["0.34090000000000000", "0.072054"]
    assert frame["currency"].to_list() == ["USD", "USD"]
    assert frame["project_id"].to_list() == [None, "proj_a"]
    assert (delivery.dataset, _days(delivery)) == ("cost", (date(2026, 11, 1), date(2026, 11, 4)))


def test_counts_printed_as_floats_are_counts() -> None:
    """B7: "59200.0" is 59200, and FALSE is no text."""
    _, frame = _dropped(USAGE_NAME, _csv(COMPLETIONS, *_quiet(1, 2), _used(3), _used(3, batch="TRUE", model="")))
    assert frame["input_tokens"].to_list() == [59200, 59200]
    assert frame["batch"].to_list() == [False, True]
    assert frame["model"].to_list() == ["gpt-5-mini-2025-08-07", None]
    assert frame["input_cached_tokens"].to_list() == [None, None]


@pytest.mark.parametrize(
    ("field", "value"), [("input_tokens", "0.5"), ("input_tokens", "-1"), ("input_tokens", "many"), ("batch", "maybe")]
)
def test_a_count_that_is_no_count_is_refused_with_its_row(field: str, value: str) -> None:
    """B4: what cannot be read is never 0."""
    with pytest.raises(QuarantineError, match=f"row 4: {field} is"):
        _dropped(USAGE_NAME, _csv(COMPLETIONS, *_quiet(1, 2), _used(3, **{field: value})))


@pytest.mark.parametrize(("name", "dataset"), [(COST_NAME, "cost"), (USAGE_NAME, "completions")])
def test_an_export_of_idle_days_has_four_columns_and_vouches_for_them(name: str, dataset: str) -> None:
    """B4: the same bytes for cost and for usage: the name says which, and nothing used is a statement."""
    content = _csv(TIMES, *_quiet(1, 2, 3))
    assert SOURCE.recognise(name, content) == dataset
    delivery, frame = _dropped(name, content)
    assert (delivery.dataset, frame.height, _days(delivery)) == (dataset, 0, (date(2026, 11, 1), date(2026, 11, 4)))


@pytest.mark.parametrize("dataset", [dataset.name for dataset in SOURCE.datasets if dataset.name != "cost"])
def test_each_activity_is_a_dataset_of_its_own(dataset: str) -> None:
    """B9, B12: an export of embeddings replaces no day of completions."""
    assert SOURCE.recognise(f"{dataset}_usage_2026-11-01_2026-11-03 (1).csv", _csv(TIMES)) == dataset


def test_several_rows_a_bucket_and_buckets_of_a_minute_are_all_kept() -> None:
    """B9: one row a key; equal rows are different use."""
    minutes = [{**_used(3, api_key_id=key), **_times(3, hour=7, minutes=1)} for key in ("a", "b", "b")]
    _, frame = _dropped(USAGE_NAME, _csv(COMPLETIONS, *_quiet(1, 2), *minutes))
    assert frame["api_key_id"].to_list() == ["a", "b", "b"]
    assert frame["end_time"].to_list() == [int(minutes[0]["start_time"]) + 60] * 3


def test_columns_of_a_later_export_are_kept() -> None:
    """B24: quantity is one we know, a region is not."""
    header = (*COST, "quantity", "project_name", "region")
    row = _cost(3, "1", quantity="35774.0", project_name="Search", region="eu")
    _, frame = _dropped(COST_NAME, _csv(header, *_quiet(1, 2), row))
    assert frame.select("quantity", "project_name", "other_columns").row(0) == ("35774.0", "Search", '{"region": "eu"}')


def test_an_amount_without_its_currency_and_a_row_without_an_amount_are_refused() -> None:
    """B23, B4: neither dollars nor zero is assumed."""
    for row in (_cost(3, "1", amount_currency=""), _cost(3, "", line_item="gpt-5 input")):
        with pytest.raises(QuarantineError, match="row 4: no amount_value with its amount_currency"):
            _dropped(COST_NAME, _csv(COST, *_quiet(1, 2), row))


def test_a_file_of_another_kind_under_a_usage_name_is_refused() -> None:
    """B22: a cost export renamed to usage is no usage."""
    with pytest.raises(QuarantineError, match="not an export of completions"):
        _dropped(USAGE_NAME, _csv(COST, *_quiet(1, 2), _cost(3, "1")))


@pytest.mark.parametrize("missing", [(1,), (3,), (2, 3)])
def test_days_that_the_name_states_and_the_file_lacks_mean_that_it_is_cut(missing: tuple[int, ...]) -> None:
    """B12: a file cut between two rows looks whole; every bucket of the range is in a whole one."""
    content = _csv(COST, *(_cost(day, "1") for day in (1, 2, 3) if day not in missing))
    with pytest.raises(QuarantineError, match=f"No bucket of 2026-11-0{missing[0]}"):
        _dropped(COST_NAME, content)


def test_a_row_outside_the_range_in_the_name_is_refused() -> None:
    with pytest.raises(QuarantineError, match="outside the window 2026-11-01 to 2026-11-03"):
        _dropped(COST_NAME, _csv(COST, *(_cost(day, "1") for day in (1, 2, 3, 4))))


def test_without_a_range_in_its_name_a_file_speaks_for_the_days_of_its_buckets() -> None:
    delivery, _ = _dropped("export.csv", _csv(COST, *_quiet(2), _cost(3, "1")))
    assert (delivery.dataset, _days(delivery)) == ("cost", (date(2026, 11, 2), date(2026, 11, 4)))
    assert (delivery.stated_at, delivery.stated_by) == (None, "landed_at")
    assert SOURCE.drop("export.csv", _csv(TIMES), {}).from_at is None


def test_the_last_day_of_the_range_stays_provisional_until_a_stamp_says_otherwise() -> None:
    """B10, B28: such a file is mostly saved during the last day that it names."""
    content = _csv(COST, *(_cost(day, "1") for day in (1, 2, 3)))
    assert SOURCE.drop(COST_NAME, content, {}).stated_at == datetime(2026, 11, 3, 0, 0, 1, tzinfo=UTC)
    stamped = SOURCE.drop("cost_2026-11-01_2026-11-03_20261108T060000Z.csv", content, {})
    assert (stamped.stated_at, stamped.stated_by) == (datetime(2026, 11, 8, 6, tzinfo=UTC), "file_name")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"start_time,end_time\n1,\n",
        b"start_time,end_time\nx,y\n",
        b"start_time,end_time\n1793491200,1793750400\n",
        b"start_time\n1793491200\n",
        _csv(COST, _cost(1, "1"))[:-3],
    ],
)
def test_what_is_no_export_is_refused_and_still_lands(content: bytes) -> None:
    delivery = SOURCE.drop(COST_NAME, content, {})
    assert delivery.payloads[0].content == content
    with pytest.raises(QuarantineError):
        SOURCE.datasets[0].parse(content, delivery.settings)


def test_files_of_others_are_not_recognised() -> None:
    assert SOURCE.recognise("cost_2026-11-01_2026-11-03.csv", b"usage_date_utc,cost_usd\n") is None
    assert SOURCE.recognise("other.csv", _csv(TIMES)) is None
    assert SOURCE.recognise("unknown_usage_2026-11-01_2026-11-03.csv", _csv(TIMES)) is None
    assert SOURCE.recognise("usage.csv", _csv(COMPLETIONS)) == "completions"


_amounts = st.decimals(min_value=-(10**6), max_value=10**6, places=17, allow_nan=False, allow_infinity=False)


@settings(max_examples=40, deadline=None)
@given(days=st.lists(st.lists(_amounts, max_size=3), min_size=3, max_size=3), windows=st.booleans())
def test_every_amount_is_kept_exactly_whatever_is_idle(days: list[list[Decimal]], windows: bool) -> None:
    """B7: the sum of the file is the sum of what is read."""
    rows: list[dict[str, Any]] = []
    for day, amounts in enumerate(days, start=1):
        rows += [_cost(day, format(amount, "f")) for amount in amounts] or _quiet(day)
    header = COST if any(days) else TIMES
    _, frame = _dropped(COST_NAME, _csv(header, *rows, line_end="\r\n" if windows else "\n"))
    assert [Decimal(amount) for amount in frame["amount"]] == [amount for amounts in days for amount in amounts]
