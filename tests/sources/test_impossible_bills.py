"""Bills that say what no bill can: refused with the row and the reason, and no other file is kept from being read."""

import gzip
import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from pipeline.errors import QuarantineError
from pipeline.landing.dataset import Frames
from pipeline.sources import (
    api_bill_csv,
    aws_cur2,
    azure_cost_details,
    bulk,
    deepseek_usage,
    ecb_rates,
    gcp_billing_export,
    gcp_cost_table,
    ingest,
    litellm_spend_logs,
    prepaid_csv,
    runpod_billing,
)
from pipeline.sources.focus_shape import CHARGES
from pipeline.sources.http import window_settings
from pipeline.sources.recognise import recognise_bytes
from tests.pipeline.small_project import SmallProject, source
from tests.sources import azure, cur2, gcp
from tests.sources.test_gcp_cost_table import table

_NOVEMBER = window_settings(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
_BY_ROW = {
    "provider": "groq", "currency": "USD", "unit": "1000000_tokens", "token_classes": {"in": "input"},
    "columns": {"date": "d", "amount": "a", "token_class": "c", "quantity": "q"},
}  # fmt: skip
_BY_COLUMN = {"provider": "groq", "currency": "USD", "columns": {"date": "d", "amount": "a", "input": "i"}}


def _gcp(content: bytes) -> Frames:
    return gcp_billing_export.parse(content, {"files": "whole"})


def _spoilt_lzma() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("amount-2026-11.csv", "x" * 500)
    content = bytearray(packed.getvalue())
    # Behind the member's 30 bytes, its name and the four bytes that name the coder.
    content[30 + len("amount-2026-11.csv") + 4] = 0xFF
    return bytes(content)


IMPOSSIBLE: dict[str, tuple[Callable[[], Frames], str]] = {
    "nested": (lambda: _gcp(b'{"billing_account_id":' + b"[" * 100_000 + b"\n"), "line 1: .*nested deeper"),
    "half a character": (lambda: _gcp(gcp.json_lines([gcp.row(1, cost_type="\ud800")])), "line 1: .*surrogate"),
    "a cost twice": (
        lambda: _gcp(gcp.json_lines([gcp.row(1.5)]).replace(b'"cost":1.5', b'"cost":1.5,"cost":2.5')),
        "line 1: .*'cost' twice",
    ),
    "no number": (lambda: _gcp(gcp.json_lines([gcp.row(float("nan"))])), "line 1: .*NaN"),
    "an infinite credit": (
        lambda: _gcp(gcp.flat_csv([gcp.row(1, credits=[gcp.credit(float("inf"))])])), "row 2: credits .*Infinity"),
    "no fields": (lambda: _gcp(b"{}\n"), "no column usage_start_time"),
    "one column in two spellings": (
        lambda: _gcp(gcp.flat_csv([gcp.row(1)]).replace(b"service.id", b"service_description")),
        "both service.description",
    ),
    "a month before the calendar": (lambda: _gcp(gcp.json_lines([gcp.row(1, month="000001")])), "not a month"),
    "a day before the calendar": (
        lambda: _gcp(gcp.json_lines([gcp.row(1, usage_start_time="0001-01-01 00:00:00 UTC")])), "beyond the calendar"),
    "a day after the calendar": (
        lambda: azure_cost_details.parse(azure.details([azure.row(Date="9999-12-31")]), {}), "beyond the calendar"),
    "tokens of a row that no integer holds": (
        lambda: api_bill_csv.parse(b"d,a,c,q\n2026-11-01,1,in,99999999999999999999\n", _BY_ROW), "row 2: 9+0+ tokens"),
    "tokens whose sum no integer holds": (
        lambda: api_bill_csv.parse(b"d,a,i\n2026-11-01,1,9223372036854775807\n", _BY_COLUMN),
        "row 2: i is 92.*, not a count",
    ),
    "time without end": (
        lambda: runpod_billing.parse(
            b'[{"amount":1,"time":"2026-11-03T00:00:00Z","timeBilledMs":9223372036854775807,"podId":"p"}]', _NOVEMBER
        ),
        "record 1: timeBilledMs",
    ),
    "a spoilt archive": (lambda: deepseek_usage.parse(_spoilt_lzma(), _NOVEMBER), "cannot be unpacked .LZMAError"),
    "more credits than money": (
        lambda: prepaid_csv.parse(
            b"date,entry,amount,currency\n2026-11-01,purchase,99999999999999999999,USD\n", {"issuer": "openai"}
        ),
        "row 2: purchase is 9+, more than any account holds",
    ),
    "a header without an end": (lambda: _gcp(gzip.compress(b"cost,currency")), "no column usage_start_time"),
    "names of columns that are no text": (
        lambda: _gcp(gcp.parquet([gcp.row(1)]).replace(b"currency_conversion_rate", b"\xc8urrency_conversion_rate")),
        "Not a readable Parquet file",
    ),
    "a cut file, and no path of ours": (
        lambda: _gcp(gcp.parquet([gcp.row(1)])[:-9]),
        r"Not a readable Parquet file \([^/]*\). Export it again",
    ),
    "a control character where a digit was": (
        lambda: ecb_rates.parse(b"Date,JPY,\n2026-11-19,\x0b75.1,\n", {}), "not a decimal number"),
    "the same in a bulk file": (
        lambda: azure_cost_details.parse(azure.details([azure.row("\x0b75.1")]), {}), "not a decimal number"),
    "a log of no log's columns": (
        lambda: litellm_spend_logs.parse(litellm_spend_logs.reduced(b"6-11-04,qwen,2.25\n"), {}),
        "no column request_id",
    ),
    "a currency in words": (lambda: gcp_cost_table.parse(table().replace(b"AUD", b"dollars"), {}), "says 'dollars'"),
}  # fmt: skip


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_no_bill_says_is_refused_with_its_place(name: str) -> None:
    """B12: never another error, which would end the build of every other file."""
    parse, words = IMPOSSIBLE[name]
    with pytest.raises(QuarantineError, match=words):
        parse()


def test_a_gzip_that_unpacks_to_what_no_export_is_is_refused_before_it_fills_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bulk, "_LEAST_LIMIT_BYTES", 1024**2)
    for content in (gzip.compress(b"x" * 4 * 1024**2), gzip.compress(b"x" * 700_000) * 2):
        with pytest.raises(QuarantineError, match="unpacks to more than 100 times"):
            bulk.unpacked(content)


@pytest.mark.parametrize(
    "read", [gcp_billing_export.parse, aws_cur2.parse, aws_cur2.in_place], ids=["google", "aws", "aws, where it lies"]
)
def test_a_parquet_of_more_rows_than_bytes_is_refused_before_it_fills_the_memory(read: Any, tmp_path: Path) -> None:
    """A constant is told once: a kilobyte says thirty million rows."""
    file = tmp_path / "bomb.parquet"
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"copy (select 1.5 as cost from range(1000001)) to '{file}' (row_group_size 1000001)")
    content = file.read_bytes()
    assert len(content) < 10_000
    with pytest.raises(QuarantineError, match=r"says that it holds 1,000,001 rows: more than 1,000,000, and more than"):
        read(file if read is aws_cur2.in_place else content, {"files": "whole", "billing_period": "2026-10"})


def test_a_parquet_over_which_polars_panics_is_refused_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A panic is no Exception: met with one byte of a footer changed, it would end the build of every other file."""

    def panics(*_: Any, **__: Any) -> Any:
        raise pl.exceptions.PanicException("called `Option::unwrap()` on a `None` value")

    content = cur2.parquet([cur2.line()])
    monkeypatch.setattr(pl, "scan_parquet", panics)
    assert "a Parquet file that cannot be read" in recognise_bytes("a.parquet", content).reason
    file = tmp_path / "chunk.parquet"
    file.write_bytes(content)
    with pytest.raises(QuarantineError, match="Not a readable Parquet file"):
        aws_cur2.in_place(file, {"billing_period": "2026-10"})

    spoilt = replace(prepaid_csv.SOURCE, drop=panics)
    monkeypatch.setattr(ingest, "source_named", lambda _: spoilt)
    project = SmallProject(tmp_path, [source("prepaid_csv", "openai", settings={"issuer": "openai"})])
    project.drop("prepaid_csv", "openai", "a.csv", b"date,entry,amount,currency\n2026-11-01,balance,1,USD\n")
    assert [one.error for one in project.ingest()] == [None]


def test_every_member_of_a_gzip_is_read_and_a_cut_one_is_refused() -> None:
    both = gzip.compress(b"one\n") + gzip.compress(b"two\n") + b"\0" * 8
    assert bulk.unpacked(both) == b"one\ntwo\n"
    for cut in range(1, len(both) - 8):
        if cut != len(gzip.compress(b"one\n")):
            with pytest.raises(QuarantineError, match="Not a readable gzip"):
                bulk.unpacked(both[:cut])


def test_lines_of_json_may_begin_with_a_byte_order_mark() -> None:
    content = b"\xef\xbb\xbf" + gcp.json_lines([gcp.row("1.5")])
    assert gcp_billing_export.recognise("x", content) == "cost_and_usage"
    assert _gcp(content)[CHARGES.name]["billed_cost"].to_list() == [Decimal("1.5")]


def test_a_credit_finer_than_money_is_rounded_and_keeps_its_spelling() -> None:
    content = gcp.json_lines([gcp.row("1.5", credits=[gcp.credit(-1.5e-20)])])
    row = _gcp(content)[CHARGES.name].filter(charge_category="Credit").row(0, named=True)
    assert row["billed_cost"] == 0
    assert "-1.5e-20" in row["other_columns"]


def test_a_file_whose_days_no_reader_can_tell_lands_and_keeps_no_other_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B12: what a name says is read before a file lands; that may fail in ways nobody thought of."""

    def drop(name: str, content: bytes, settings: Any) -> Any:
        if name == "a.csv":
            raise ValueError("nobody thought of this")
        return prepaid_csv.drop(name, content, settings)

    spoilt = replace(prepaid_csv.SOURCE, drop=drop)
    monkeypatch.setattr(ingest, "source_named", lambda _: spoilt)
    project = SmallProject(tmp_path, [source("prepaid_csv", "openai", settings={"issuer": "openai"})])
    for name in ("a.csv", "b.csv"):
        project.drop("prepaid_csv", "openai", name, b"date,entry,amount,currency\n2026-11-01,balance,1,USD\n")
    (ingested,) = project.ingest()
    assert ingested.error is None
    assert len(ingested.deliveries) == 2
