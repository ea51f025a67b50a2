"""Clouds' own exports with bytes lost, doubled or changed: refused, or read as exactly what they say."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import QuarantineError
from pipeline.landing.dataset import Frames, Settings, Table
from pipeline.sources import aws_cur, azure_cost_details, gcp_billing_export, oci_cost_report
from pipeline.sources.aws_cur2 import LINES
from pipeline.sources.focus_shape import CHARGES
from tests.sources import azure, cur_legacy, gcp, oci
from tests.sources.cur2 import PERIOD, line, tax


@dataclass(frozen=True)
class Format:
    """An export as it should be, its reader, and where it says what is billed."""

    content: bytes
    parse: Callable[[bytes, Settings], Frames]
    settings: Mapping[str, Any]
    cost: str
    table: Table = CHARGES
    credits: str | None = None

    def billed(self, content: bytes) -> Decimal | None:
        """What it comes to; None where it is refused."""
        try:
            frame: pl.DataFrame = self.parse(content, self.settings)[self.table.name]
        except QuarantineError:
            return None
        assert dict(frame.schema) == self.table.schema
        assert self.table.money is not None
        return sum(frame[self.table.money.amount].drop_nulls(), Decimal(0))

    def says(self, content: bytes) -> Decimal:
        """The same by the text alone."""
        total = Decimal(0)
        for row in csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")):
            if any(row.values()):
                total += Decimal(row[self.cost])
                credited = json.loads(row[self.credits] or "[]", parse_float=str) if self.credits else []
                total += sum((Decimal(one["amount"]) for one in credited), Decimal(0))
        return total


FORMATS = {
    "oci": Format(
        oci.report([oci.row("1.25"), oci.row("-0.5", isCorrection="true"), oci.row("2E-9")]),
        oci_cost_report.parse, {"part": "0001000000000001"}, "cost/myCost",
    ),
    "azure": Format(
        azure.details([azure.row("1.25"), azure.row("3.5", Date="11/2/2026"), azure.bought("480")]),
        azure_cost_details.parse, {}, "CostInBillingCurrency",
    ),
    "gcp": Format(
        gcp.flat_csv([gcp.row(1.25, credits=[gcp.credit(-0.25)]), gcp.row(3.5)]),
        gcp_billing_export.parse, {"files": "whole"}, "cost", credits="credits",
    ),
    "cur": Format(
        gzip.decompress(cur_legacy.csv_gz([line(1.25), line(3.5), tax(0.5)])),
        aws_cur.parse, {"billing_period": PERIOD}, "lineItem/UnblendedCost", LINES,
    ),
}  # fmt: skip


def damaged(content: bytes, at: float, length: int, kind: str) -> bytes:
    start = int(at * len(content))
    held = content[start : start + length]
    if kind == "cut":
        return content[:start]
    if kind == "lost":
        return content[:start] + content[start + length :]
    if kind == "doubled":
        return content[:start] + held + content[start:]
    return content[:start] + bytes((byte + length) % 128 for byte in held[:1]) + content[start + 1 :]


@pytest.mark.parametrize("name", FORMATS)
@given(
    at=st.floats(0, 1, exclude_max=True),
    length=st.integers(1, 400),
    kind=st.sampled_from(["cut", "lost", "doubled", "changed"]),
)
@settings(max_examples=60, deadline=None)
def test_a_damaged_file_is_refused_or_comes_to_what_its_text_says(name: str, at: float, length: int, kind: str) -> None:
    """B7, B12: no crash, no row lost in silence, no other total."""
    export = FORMATS[name]
    content = damaged(export.content, at, length, kind)
    billed = export.billed(content)
    assert billed is None or billed == export.says(content)


@pytest.mark.parametrize("name", FORMATS)
def test_an_undamaged_file_is_read(name: str) -> None:
    export = FORMATS[name]
    assert export.billed(export.content) == export.says(export.content)
