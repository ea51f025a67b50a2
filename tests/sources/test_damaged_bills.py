"""Exports of every format with bytes lost, doubled, changed, spliced: refused, or read as exactly what they say."""

import random
from dataclasses import replace
from typing import Any

import pytest

from pipeline.errors import QuarantineError
from pipeline.landing.dataset import Dataset, Frames, Settings
from pipeline.sources import SOURCES, source_named
from pipeline.sources.bulk import read_bulk
from tests.sources.damage import damage_files, formats
from tests.sources.damage_says import Format, MisreadError

FORMATS = formats()
# A reader of Parquet takes ten times as long as one of text. `make soak` reads 10,000.
_FILES = {True: 40, False: 12}


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_refused_or_comes_to_what_its_text_says(name: str) -> None:
    """B7, B12: no crash, no row lost in silence, no other total."""
    files = _FILES[FORMATS[name].is_text]
    assert damage_files(random.Random(name), files=files, names=[name])["damaged_files"] == files


@pytest.mark.parametrize("name", FORMATS)
def test_an_undamaged_file_is_read(name: str) -> None:
    export = FORMATS[name]
    whole = export.pack(export.text)
    assert export.check(whole)
    if name != "kube_api":
        tables = {table.name for table in _dataset(name, export).tables}
        assert {*export.parse(whole, export.settings)} == tables, (
            "its tables are those of the dataset that it is said of"
        )


def test_every_dataset_is_damaged() -> None:
    """Also what is no vendor's export: the agent's spool, declared machines, and answers to questions of ours. A new
    dataset joins `tests/sources/damage.py`: nothing is known of how its reader takes what it was not made for.
    """
    damaged = [_dataset(name, one) for name, one in FORMATS.items() if name != "kube_api"]
    every = {f"{dataset.source}: {dataset.name}" for source in SOURCES for dataset in source.datasets}
    assert {f"{dataset.source}: {dataset.name}" for dataset in damaged} == every


def _dataset(name: str, export: Format) -> Dataset:
    source = source_named(name.partition(",")[0])
    assert source is not None
    named = export.dataset or source.datasets[0].name
    return next(dataset for dataset in source.datasets if dataset.name == named)


@pytest.mark.parametrize("header", [b'a,b "c,d', b'a,"b,d', b'"a,b,d'])
def test_a_quotation_mark_that_does_not_close_in_the_header_takes_no_row_with_it(header: bytes) -> None:
    """B7: the rows below were taken for the rest of a name, and the file for one without a row."""
    with pytest.raises(QuarantineError, match="quotation mark in the header that does not close"):
        read_bulk(header + b"\n1,2,3\n4,5,6\n", kind_of=lambda name: "text")
    read = read_bulk(b'a,"b ""c""",d\n1,2,3\n4,5,6\n', kind_of=lambda name: "text")
    assert read.frame['b "c"'].to_list() == ["2", "5"]


def _loses_a_row(export: Format) -> Format:
    def parse(content: bytes, settings: Settings) -> Frames:
        return {name: frame.head(-1) for name, frame in export.parse(content, settings).items()}

    return replace(export, parse=parse)


def _breaks(export: Format) -> Format:
    def parse(content: bytes, settings: Settings) -> Frames:
        try:
            return export.parse(content, settings)
        except QuarantineError as error:
            raise KeyError("nobody thought of this") from error

    return replace(export, parse=parse)


@pytest.mark.parametrize(("fault", "words"), [(_loses_a_row, "and its text says"), (_breaks, "KeyError")])
def test_a_reader_that_loses_a_row_or_breaks_is_found(fault: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.sources.damage.formats", lambda: {"focus": fault(FORMATS["focus"])})
    with pytest.raises(MisreadError, match=words):
        damage_files(random.Random(1), files=40)
