"""A row's place is found by what its object is, also for exports that nothing here has heard of."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from pipeline.explain import places
from pipeline.explain.places import PlaceOf, places_of
from pipeline.landing.dataset import Dataset, Table

TABLE = Table(name="costs", columns={"item": pl.String(), "amount": pl.String()})
DATASET = Dataset(
    source="unheard_of",
    name="costs",
    mode="replace",
    bucket="utc_day",
    measure="billed",
    tables=(TABLE,),
    parse=lambda content, settings: {},
)
ROWS = [("2026-11-03", "tea", "1.50", None), ("2026-11-03", "cake", "2.75", '{"note": "iced", "weight": 0.5}')]


def places_in(folder: Path, content: bytes, rows: list[tuple[str, str, str, str | None]] = ROWS) -> PlaceOf:
    file = folder / "costs.parquet"
    frame = pl.DataFrame(
        {
            "bucket": [day for day, *_ in rows],
            "usage_date": pl.Series([day for day, *_ in rows]).str.to_date(),
            "item": [item for _, item, *_ in rows],
            "amount": [amount for _, _, amount, _ in rows],
            "other_columns": pl.Series([other for *_, other in rows], dtype=pl.String()),
        }
    )
    frame.write_parquet(file)
    return places_of(lambda: content, dataset=DATASET, table=TABLE, settings={}, file=file)


def test_a_row_of_a_csv_is_numbered_as_a_spreadsheet_does_and_speaks_for_itself(tmp_path: Path) -> None:
    content = b'Item,Amount,Note\r\ntea,1.50,\r\n\r\n"cake, big",2.75,iced\r\n'
    for packed in (content, gzip.compress(content)):
        place_of = places_in(tmp_path, packed)
        assert (place_of(1).where, place_of(1).says) == ("row 2", {"Item": "tea", "Amount": "1.50"})
        assert (place_of(2).where, place_of(2).says["Item"]) == ("row 4", "cake, big")


def test_a_result_of_pages_is_numbered_by_page_bucket_and_result(tmp_path: Path) -> None:
    """Buckets that are empty count, and so does a null; the bucket's own times stand beside its result."""
    pages = [
        {"data": [{"start_time": 1, "results": []}, {"start_time": 2, "results": [{"amount": 1.50, "id": None}]}]},
        {"data": [{"start_time": 3, "object": "bucket", "results": [{"amount": "2.75", "object": "result"}]}]},
    ]
    place_of = places_in(tmp_path, json.dumps(pages).encode())
    assert (place_of(1).where, place_of(1).says) == (
        "page 1, bucket 2, result 1",
        {"start_time": 2, "amount": "1.5"},
    )
    assert (place_of(2).where, place_of(2).says) == (
        "page 2, bucket 1, result 1",
        {"start_time": 3, "amount": "2.75"},
    )


@pytest.mark.parametrize(
    "content",
    [
        b"PAR1 and what no text reader takes \xff\xfe",
        b"item,amount\ntea,1.50\n",
        b"\x1f\x8b cut",
        b'{"schema": "another"}',
        b'{"data": [1, {"results": [1, 2, 3]}]}',
        b"[1, 2",
    ],
    ids=["not text", "fewer records than rows", "not gzip", "no pages", "more records than rows", "cut"],
)
def test_where_records_and_rows_do_not_pair_the_rows_stand_as_they_were_read(tmp_path: Path, content: bytes) -> None:
    """No place is better than a wrong one."""
    place_of = places_in(tmp_path, content)
    assert (place_of(1).where, place_of(1).says) == ("record 1", {"item": "tea", "amount": "1.50"})
    assert place_of(2).says == {"item": "cake", "amount": "2.75", "note": "iced", "weight": "0.5"}


def test_a_bulk_object_is_not_read_record_by_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are fetched some thousands at a time, from anywhere."""
    monkeypatch.setattr(places, "_MOST_RECORDS", 1000)
    monkeypatch.setattr(places, "_records", None)  # to call it would fail
    rows = [("2026-11-03", f"item {number}", str(number), None) for number in range(1, 9_001)]
    place_of = places_in(tmp_path, b"", rows)
    for number in (1, 4096, 4097, 9000, 2):
        assert place_of(number).says == {"item": f"item {number}", "amount": str(number)}


def test_a_row_of_an_object_that_is_read_where_it_lies_speaks_in_the_objects_own_columns(tmp_path: Path) -> None:
    """Nobody reads such an object's bytes to find a row in it."""
    file = tmp_path / "object.parquet"
    pl.DataFrame({"line_item_unblended_cost": [0.5, 0.25], "Tags": [None, "a"], "n": [1, None]}).write_parquet(file)
    place_of = places_of(_never, dataset=DATASET, table=TABLE, settings={}, file=file, is_in_place=True)
    assert place_of(2).where == "record 2"
    assert place_of(2).says == {"line_item_unblended_cost": 0.25, "Tags": "a"}


def _never() -> bytes:
    raise AssertionError("the bytes are not asked for")
