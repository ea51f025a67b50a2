"""Oracle Cloud's cost reports: parts that are written once, corrections as rows of their own, GPU-hours by the GPU."""

import gzip
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import QuarantineError
from pipeline.sources.focus_shape import CHARGES
from pipeline.sources.oci_cost_report import parse
from tests.models.cloud_harness import MART, broken_laws, built, cloud_graph
from tests.pipeline.small_project import SmallProject, source
from tests.sources.oci import ACCOUNT, NAME, NODE, TENANT, report, row

NOW = datetime(2026, 12, 9, 6, tzinfo=UTC)
PART = {"part": "0001000000000001"}
SUM = f"select billing_currency, sum(billed_cost) as cost, sum(line_count) as lines from {MART} group by 1 order by 1"
GPUS = "select usage_date, charge_kind, gpu_milliseconds, realized_cost from int_gpu_charges_daily order by all"


def parsed(content: bytes, settings: Mapping[str, Any] = PART) -> pl.DataFrame:
    return parse(content, settings)[CHARGES.name]


def refused(content: bytes, settings: Mapping[str, Any] = PART) -> str:
    with pytest.raises(QuarantineError) as caught:
        parse(content, settings)
    return str(caught.value)


def project(folder: Path, **sections: Any) -> SmallProject:
    return SmallProject(folder, [source(NAME, ACCOUNT)], sections)


def drop(made: SmallProject, name: str, content: bytes) -> None:
    made.drop(NAME, ACCOUNT, name, content)


amounts = st.decimals(-(10**6), 10**6, allow_nan=False, places=18).map(lambda number: format(number, "f"))
rows = st.lists(
    st.tuples(amounts, st.sampled_from(["10-31T23", "11-01T00", "11-30T23"]), st.sampled_from(["USD", "eur"])),
    min_size=1,
    max_size=6,
)


@given(said=rows)
@settings(max_examples=30)
def test_every_row_is_a_charge_of_its_own_amount_month_and_currency(said: list[tuple[str, str, str]]) -> None:
    """B7, B8, B12: 18 decimals, both spellings of an instant, and no month but that of UTC."""
    content = report(
        [
            row(cost, intervalUsageStart=f"2026-{hour}:00Z", intervalUsageEnd=f"2026-{hour}:59:59Z", currencyCode=money)
            for cost, hour, money in said
        ]
    )
    frame = parsed(content)
    assert dict(frame.schema) == CHARGES.schema
    assert frame["billed_cost"].to_list() == [Decimal(cost) for cost, _, _ in said]
    assert frame["billing_currency"].to_list() == [money.upper() for _, _, money in said]
    assert frame["usage_date"].cast(pl.String).to_list() == [f"2026-{hour[:5]}" for _, hour, _ in said]
    assert [bucket.split("|")[1:] for bucket in frame["bucket"]] == [
        [TENANT, f"2026-{hour[:2]}-01", PART["part"]] for _, hour, _ in said
    ]


def test_what_focus_has_no_column_for_is_kept(tmp_path: Path) -> None:
    """B24: tags, overage, and a column that Oracle adds one day."""
    frame = parsed(report([{**row(), "cost/newThing": "7"}]))
    assert all(said in frame["other_columns"][0] for said in ('"cost/newThing":"7"', "CreatedBy", "overageFlag"))


def test_overage_is_a_part_of_the_cost_and_never_added(tmp_path: Path) -> None:
    """B22: myCost has it in."""
    frame = parsed(report([row("80", myCostOverage="30", unitPriceOverage="10", billedQuantityOverage="3")]))
    assert frame["billed_cost"].sum() == 80
    assert frame["consumed_quantity"].sum() == 8


def test_an_amount_beyond_18_decimals_is_rounded_there_and_its_spelling_kept() -> None:
    """B7."""
    frame = parsed(report([row("6.266090E-12"), row("1.2345E-20")]))
    assert frame["billed_cost"].to_list() == [Decimal("0.00000000000626609"), Decimal(0)]
    assert ['"cost/myCost":"1.2345E-20"' in said for said in frame["other_columns"]] == [False, True]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (report([row()])[:-30], "row 2"),
        (gzip.compress(report([row()]))[:-20], "Not a readable gzip"),
        (report([row(), row("")]), "row 3: no cost/myCost"),
        (report([row(currencyCode="")]), "row 2: no cost/currencyCode"),
        (report([row("eighty")]), "cost/myCost is 'eighty'"),
        (report([row(intervalUsageStart="yesterday")]), "lineItem/intervalUsageStart is 'yesterday'"),
        (report([row()]).replace(b"cost/myCost,", b"cost/yourCost,"), "no column cost/myCost"),
    ],
)
def test_a_report_that_is_cut_or_says_no_amount_is_refused_with_its_row(content: bytes, words: str) -> None:
    assert words in refused(content)


def test_a_report_without_its_number_waits_in_quarantine(tmp_path: Path) -> None:
    """B9: under another name the same report would be counted twice."""
    made = project(tmp_path)
    drop(made, "0001000000000001.csv.gz", report([row()], is_packed=True))
    drop(made, "november.csv", report([row()]))
    answers = built(made, now=NOW)
    assert answers.rows(SUM) == [{"billing_currency": "USD", "cost": Decimal(80), "lines": 1}]
    (left,) = made.quarantine(now=NOW)
    assert "no number of a report" in left.reason


def test_a_report_counts_once_and_a_correction_beside_what_it_corrects(tmp_path: Path) -> None:
    """B9, B10: packed and unpacked, copied, split and restated."""
    made = project(tmp_path)
    drop(made, "0001000000000001-00001.csv.gz", report([row()], is_packed=True))
    made.ingest(now=NOW - timedelta(hours=1))
    drop(made, "reports_cost-csv_0001000000000001-00001.csv", report([row("79")]))
    drop(made, "0001000000000001-00002.csv", report([row("1", referenceNo="b")]))
    correction = row("-5", referenceNo="c", isCorrection="true", backreferenceNo="b")
    drop(made, "0001000000000002-00001 (1).csv", report([correction]))
    answers = built(made, now=NOW)
    assert answers.rows(SUM) == [{"billing_currency": "USD", "cost": Decimal(79 + 1 - 5), "lines": 3}]
    assert broken_laws(answers) == []
    asked = f"select charge_class, sum(billed_cost) as cost from {MART} group by 1 order by 2"
    assert [tuple(one.values()) for one in answers.rows(asked)] == [("Correction", Decimal(-5)), (None, Decimal(80))]
    assert made.quarantine(now=NOW) == []


def test_gpu_hours_are_counted_by_the_gpu_and_hours_of_a_server_times_its_gpus(tmp_path: Path) -> None:
    """B18: eight an hour of the one, one an hour of the other."""
    node = {"issuer": ACCOUNT, "resource_id": NODE, "host": "node-1", "gpu_count": 8, "from": "2026-01-01"}
    made = project(tmp_path, gpu_resources=[node])
    drop(made, "0001000000000001.csv", report([row("80", billedQuantity="8")]))
    by_server = row("40", billedQuantity="0.5", skuUnitDescription="Hours", intervalUsageStart="2026-11-03T10:00Z")
    drop(made, "0001000000000002.csv", report([by_server]))
    answers = built(made, now=NOW, graph=cloud_graph(["int_gpu_charges_daily"]))
    assert [tuple(one.values()) for one in answers.rows(GPUS)] == [
        (date(2026, 11, 2), "gpu_instance", 8 * 3_600_000, Decimal(80)),
        (date(2026, 11, 3), "gpu_instance", 4 * 3_600_000, Decimal(40)),
    ]


def test_a_day_in_parts_is_settled_once_the_last_part_says_so(tmp_path: Path) -> None:
    """B28: the part with the morning was written at noon, and nothing will ever replace it."""
    made = project(tmp_path)
    graph = cloud_graph(["fct_source_coverage_daily"])
    asked = "select usage_date, status from fct_source_coverage_daily where usage_date < '2026-11-04' order by 1"
    noon = datetime(2026, 11, 2, 12, tzinfo=UTC)
    drop(made, "0001000000000001.csv", report([row()]))
    assert [one["status"] for one in built(made, now=noon, graph=graph).rows(asked)] == ["open"]
    later = row("1", intervalUsageStart="2026-11-03T23:00Z", intervalUsageEnd="2026-11-04T00:00Z")
    drop(made, "0001000000000002.csv", report([later]))
    at = noon + timedelta(days=1, hours=13)
    assert [one["status"] for one in built(made, now=at, graph=graph).rows(asked)] == ["settled", "settled"]
