"""A cloud's export delivered again with a header and nothing below it: never a month at 0, and never in silence."""

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline.build.landed_tables import read_landed
from pipeline.decisions.graph import shipped_graph
from tests.models import cloud_harness
from tests.pipeline.small_project import SmallProject, source
from tests.sources import azure, cur2, cur_legacy, gcp, oci
from tests.sources.cur2 import FolderPlace
from tests.sources.test_gcp_cost_table import table

NOW = datetime(2026, 12, 9, 6, tzinfo=UTC)


def _header(content: bytes) -> bytes:
    return content.splitlines(keepends=True)[0]


@dataclass(frozen=True)
class Export:
    """A source, its file, and the same without a row."""

    source: str
    file: str
    full: bytes
    empty: bytes
    settings: Mapping[str, Any] = field(default_factory=dict)


_FOCUS = cloud_harness.focus_csv([cloud_harness.line(BilledCost="7.25"), cloud_harness.line(BilledCost="1")])
_AZURE = azure.details([azure.row("8.25")])
_GOOGLE = gcp.flat_csv([gcp.row(8.25)])
_ORACLE = oci.report([oci.row("8.25")])
_TABLE = table()
DROPPED = {
    "focus": Export("focus", "november.csv", _FOCUS, _header(_FOCUS)),
    "focus, parts": Export("focus", "november.csv", _FOCUS, _header(_FOCUS), {"files": "parts"}),
    "azure": Export("azure_cost_details", "november.csv", _AZURE, _header(_AZURE)),
    "google": Export("gcp_billing_export", "november.csv", _GOOGLE, _header(_GOOGLE), {"files": "whole"}),
    "google's table": Export(
        "gcp_cost_table", "november.csv", _TABLE, _TABLE[: _TABLE.index(b"\n", _TABLE.index(b"SKU description")) + 1]
    ),
    "oracle": Export("oci_cost_report", "0001000000000001.csv", _ORACLE, _header(_ORACLE)),
}


def _money(project: SmallProject, *, now: datetime) -> Decimal:
    landed = read_landed(
        project.project.landing.contents().as_of(now),
        datasets=shipped_graph().datasets,
        landing=project.project.landing,
        cache=project.project.paths.cache,
        as_of=now,
    )
    frame = landed.relations["landed_money"].frame  # type: ignore[attr-defined]
    return sum(frame["stated_amount"].to_list(), Decimal(0))


@pytest.mark.parametrize("name", DROPPED)
def test_a_dropped_export_that_was_emptied_says_what_still_counts(name: str, tmp_path: Path) -> None:
    export = DROPPED[name]
    entry = source(export.source, "cloud", **({"settings": dict(export.settings)} if export.settings else {}))
    project = SmallProject(tmp_path, [entry])
    project.drop(export.source, "cloud", export.file, export.full)
    assert [one.error for one in project.ingest(now=NOW)] == [None]
    assert project.quarantine(now=NOW) == []
    before = _money(project, now=NOW)
    assert before
    later = NOW + timedelta(hours=1)
    project.drop(export.source, "cloud", export.file, export.empty)
    assert [one.error for one in project.ingest(now=later)] == [None]
    (said,) = project.quarantine(now=later)
    assert said.reason.startswith("it holds no row. ")
    assert "count as before: nothing is taken for 0" in said.reason
    assert _money(project, now=later) == before
    # Delivered whole again, there is nothing to say.
    whole = later + timedelta(hours=1)
    project.drop(export.source, "cloud", export.file, export.full + b"\n" * (b"\n" in export.full))
    project.ingest(now=whole)
    assert project.quarantine(now=whole) == []


_AWS: Mapping[str, tuple[Any, Callable[..., bytes], bytes]] = {
    "aws_cur2": (cur2, cur2.csv_gz, gzip.compress(_header(gzip.decompress(cur2.csv_gz([cur2.line()]))))),
    "aws_cur2, Parquet": (cur2, cur2.parquet, cur2.parquet([])),
    "aws_cur": (
        cur_legacy,
        cur_legacy.csv_gz,
        gzip.compress(_header(gzip.decompress(cur_legacy.csv_gz([cur2.line()])))),
    ),
}


@pytest.mark.parametrize("name", _AWS)
def test_a_month_of_aws_that_was_emptied_says_what_still_counts(name: str, tmp_path: Path) -> None:
    """The manifest says which month it is: of another, of which nothing was there, nothing is said."""
    helper, write, empty = _AWS[name]
    place, at = FolderPlace(tmp_path / "export"), datetime(2026, 11, 5, 4, tzinfo=UTC)
    settings = {"export": str(place.folder)}
    project = SmallProject(tmp_path / "p", [{"source": name.partition(",")[0], "account": "aws", "settings": settings}])
    helper.refresh(place, [write([cur2.line(7.25), cur2.line(1.0)])], at=at)
    later = {"month": "20261101-20261201"} if helper is cur_legacy else {"period": "2026-11"}
    helper.refresh(place, [empty], at=at, **later)
    assert [one.error for one in project.ingest(now=at + timedelta(hours=1))] == [None]
    assert project.quarantine(now=at + timedelta(hours=1)) == []
    helper.refresh(place, [empty], at=at + timedelta(hours=2))
    assert [one.error for one in project.ingest(now=at + timedelta(hours=3))] == [None]
    (said,) = project.quarantine(now=at + timedelta(hours=3))
    assert said.reason.startswith("it holds no row. 2 rows of 2026-10, which landed until 2026-11-05 05:00 UTC, count")
    assert _money(project, now=at + timedelta(hours=3)) == Decimal("8.25")
