"""The small version of `make soak`: cuts are judged rightly. Kills and rivals have tests of their own."""

import random
from collections import Counter
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import settings

from benchmarks.cuts import MisreadCutError, cut_everything, read_cut, rows_of
from benchmarks.soak import LAWS_PROFILE, ROOT, BrokenLawError, same
from pipeline.config.file import load_config
from pipeline.errors import QuarantineError
from pipeline.landing.dataset import Dataset, Frames, Settings, Table
from pipeline.landing.project import CONFIG_FILE

AMOUNTS = Table(name="amounts", columns={"amount": pl.String()})


def frame(amounts: list[str]) -> Frames:
    rows = [{"bucket": "b", "usage_date": date(2026, 11, 1), "amount": amount} for amount in amounts]
    return {"amounts": pl.DataFrame(rows, schema=AMOUNTS.schema, orient="row")}


def careless(content: bytes, settings: Settings) -> Frames:
    return frame(content.decode().split("\n"))


def careful(content: bytes, settings: Settings) -> Frames:
    if not content.endswith(b"\n"):
        raise QuarantineError("cut")
    return frame(content.decode().split("\n")[:-1])


def dataset(parse) -> Dataset:
    return Dataset(
        source="s", name="d", mode="replace", bucket="utc_day", measure="billed", tables=(AMOUNTS,), parse=parse
    )


def test_a_number_cut_in_the_middle_is_caught():
    whole = rows_of(dataset(careful), careful(b"123\n456\n", {}))
    with pytest.raises(MisreadCutError, match="'45'"):
        read_cut(dataset(careless), b"123\n45", {}, whole, "file cut at byte 6")


def test_a_refusal_and_a_shorter_file_are_both_fine():
    whole = rows_of(dataset(careful), careful(b"123\n456\n", {}))
    read_cut(dataset(careful), b"123\n45", {}, whole, "file cut at byte 6")
    read_cut(dataset(careful), b"123\n", {}, whole, "file cut at byte 4")


def test_every_reader_of_the_demo_survives_a_cut(demo_folder: Path):
    with_inbox = [source for source in load_config(demo_folder / CONFIG_FILE).sources if source.inbox]
    cuts = cut_everything(demo_folder, random.Random(20261115), cuts_a_file=2, files_a_source=1)
    assert cuts == 2 * len(with_inbox)


def test_tables_that_differ_from_an_undisturbed_run_are_named():
    same({"fct_one": ["(1,)"]}, {"fct_one": ["(1,)"]}, "after nothing")
    with pytest.raises(BrokenLawError, match=r"after kill -9.*fct_one, fct_two"):
        same({"fct_one": ["(1,)"]}, {"fct_one": ["(2,)"], "fct_two": []}, "after kill -9")


def test_rows_are_counted_as_a_multiset():
    assert rows_of(dataset(careful), frame(["1", "1"])) != Counter(rows_of(dataset(careful), frame(["1"])))


def test_a_round_draws_examples_of_its_own() -> None:
    """A derandomized test is given the same examples whatever the seed: a round would only repeat the gate."""
    assert not settings.get_profile(LAWS_PROFILE).derandomize
    says_so_itself = [
        file.name
        for file in (ROOT / "tests").rglob("test_*.py")
        if file != Path(__file__) and "derandomize" in file.read_text(encoding="utf-8")
    ]
    assert says_so_itself == []
