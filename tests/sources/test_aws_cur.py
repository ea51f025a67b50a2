"""AWS's legacy Cost and Usage Report: the lines of CUR 2.0 in older words, through the same SQL."""

import io
import re
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import QuarantineError
from pipeline.sources.aws_cur import parse, recognise
from pipeline.sources.aws_cur2 import LINES
from pipeline.sources.aws_cur2 import parse as parse_newer
from tests.models.cloud_harness import MART, broken_laws, cloud_graph
from tests.pipeline.small_project import SmallProject
from tests.sources import cur2
from tests.sources.cur2 import FIRST, NAME, NOW, PERIOD, FolderPlace, Line, line, tax, usage
from tests.sources.cur_legacy import company, csv_gz, legacy, refresh, staged

PLAN = "arn:aws:savingsplans::111122223333:savingsplan/one"
UNDER_PLAN = {"savings_plan_savings_plan_a_r_n": PLAN, "resource_tags": {}}


def test_every_kind_of_line_is_staged_as_that_of_cur_2(tmp_path: Path) -> None:
    """B20, B24: a second spelling, one answer. Covered use, negation, fee, unused part, reservation, tax, credit."""
    lines = [
        line(1.5),
        tax(0.38),
        usage("Credit", -0.25),
        usage("Refund", -1.0),
        usage("SavingsPlanCoveredUsage", 12.0, savings_plan_savings_plan_effective_cost=8.0, **UNDER_PLAN),
        usage("SavingsPlanNegation", -12.0, **UNDER_PLAN),
        usage(
            "SavingsPlanRecurringFee", 10.0, savings_plan_total_commitment_to_date=10.0,
            savings_plan_used_commitment=8.0, **UNDER_PLAN,
        ),
        usage("DiscountedUsage", 0.0, reservation_effective_cost=0.7, reservation_reservation_a_r_n="arn:r"),
        usage(
            "RIFee", 3.0, reservation_reservation_a_r_n="arn:r",
            reservation_unused_amortized_upfront_fee_for_billing_period=0.1, reservation_unused_recurring_fee=0.2,
        ),
    ]  # fmt: skip
    header = list(dict.fromkeys(name for one in lines for name in one))
    newer, older = FolderPlace(tmp_path / "cur2"), FolderPlace(tmp_path / "cur")
    cur2.refresh(newer, [cur2.csv_gz(lines, columns=header)], at=FIRST)
    refresh(older, [csv_gz(lines)], at=FIRST)
    said = [
        staged(made.run())
        for made in (
            cur2.company(tmp_path / "one", str(newer.folder)),
            company(tmp_path / "other", str(older.folder)),
        )
    ]
    assert said[0] == said[1]
    assert sum(row["line_count"] for row in said[1]) == len(lines)
    assert sum(row["billed_cost"] for row in said[1]) == Decimal("13.63")


@given(costs=st.lists(st.decimals(-999, 99999, places=10), min_size=1, max_size=5))
@settings(max_examples=12)
def test_a_line_says_what_it_says_in_cur_2(costs: Sequence[Decimal]) -> None:
    """B7."""
    lines: list[Line] = [line(float(cost), pricing_public_on_demand_cost=float(cost)) for cost in costs]
    said = parse(csv_gz(lines), {"billing_period": PERIOD})[LINES.name]
    expected = parse_newer(cur2.csv_gz(lines), {"billing_period": PERIOD})[LINES.name]
    kept = [name for name in LINES.schema if name not in ("resource_tags", "cost_category")]
    assert said.select(kept).equals(expected.select(kept))
    assert set(said["resource_tags"]) == {'{"user:team":"search"}'}


def test_an_attribute_of_a_product_stays_in_the_object_and_a_new_column_is_kept() -> None:
    """B24."""
    said = {**legacy(line()), "product/volumeType": "x", "product/region": "y", "brandNew/Column": "z"}
    content = cur2.csv_gz([said], columns=list(said))
    frame = parse(content, {"billing_period": PERIOD})[LINES.name]
    assert frame["other_columns"].to_list() == ['{"brand_new_column":"z"}']
    assert frame["product_gpu"].to_list() == ["1"]


def test_tags_of_a_parquet_report_are_columns_too_and_say_the_same() -> None:
    """B24: a machine is found by its tag, whichever file AWS was asked for."""
    said = {_in_parquet(name): value for name, value in legacy(line(1.25)).items()}
    file = io.BytesIO()
    pl.DataFrame([said, {**said, "resource_tags_user_team": None}]).write_parquet(file)
    frame = parse(file.getvalue(), {"billing_period": PERIOD})[LINES.name]
    assert frame["line_item_unblended_cost"].to_list() == [Decimal("1.25")] * 2
    assert frame["resource_tags"].to_list() == ['{"user_team":"search"}', None]


def _in_parquet(header: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", header).replace("/", "_").replace(":", "_").lower()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (csv_gz([line()])[:-20], "Not a readable gzip"),
        (csv_gz([line(), line(None)]), "row 3: line_item_unblended_cost says nothing"),
        (csv_gz([line(bill_billing_period_start_date="2026-09-01T00:00:00Z")]), "is not in 2026-10"),
        (csv_gz([line(line_item_currency_code=None)]), "line_item_currency_code says nothing"),
        (cur2.csv_gz([{"lineItem/UnblendedCost": 1}], columns=["lineItem/UnblendedCost"]), "No column"),
    ],
)
def test_what_cannot_be_a_file_of_its_month_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(QuarantineError, match=words):
        parse(content, {"billing_period": PERIOD})


def test_of_a_month_only_what_its_manifest_lists_counts(tmp_path: Path) -> None:
    """B9, B10: every refresh since the first lies in a folder of its own."""
    place = FolderPlace(tmp_path / "report")
    refresh(place, [csv_gz([line(10.5)]), csv_gz([line(9.25)])], at=FIRST, assembly="first")
    refresh(place, [csv_gz([line(14.0)])], at=FIRST + timedelta(days=1), assembly="second")
    refresh(place, [csv_gz([_september(3.0)])], at=FIRST, month="20260901-20261001")
    made = company(tmp_path / "acme", str(place.folder))
    assert sum(row["billed_cost"] for row in staged(made.run())) == 17
    refresh(place, [csv_gz([line(12.0)])], at=FIRST + timedelta(days=2), assembly="third")
    assert sum(row["billed_cost"] for row in staged(made.run(now=NOW + timedelta(days=1)))) == 15


def _september(cost: float) -> dict[str, Any]:
    return line(
        cost, bill_billing_period_start_date="2026-09-01T00:00:00Z",
        line_item_usage_start_date="2026-09-02T03:00:00Z", line_item_usage_end_date="2026-09-02T04:00:00Z",
    )  # fmt: skip


@pytest.mark.parametrize(
    "listed", ["20261101-20261201/2f6e/x.csv.gz", "../breakeven.yaml", f"exports/{NAME}/20261001-20261101/gone.csv.gz"]
)
def test_a_manifest_leads_nowhere_but_to_its_month_s_files(listed: str, tmp_path: Path) -> None:
    place = FolderPlace(tmp_path / "report")
    refresh(place, [csv_gz([line(1.0)])], at=FIRST, listed=[listed])
    done = company(tmp_path / "acme", str(place.folder)).fetch()
    assert done.deliveries == ()
    assert done.error is not None


def test_both_reports_of_one_company_are_summed_once_and_a_law_names_them(tmp_path: Path) -> None:
    """B9: CUR and CUR 2.0 of one bill."""
    newer, older = FolderPlace(tmp_path / "cur2"), FolderPlace(tmp_path / "cur")
    cur2.refresh(newer, [cur2.csv_gz([line(10.5)])], at=FIRST)
    refresh(older, [csv_gz([line(10.5)])], at=FIRST)
    made = SmallProject(
        tmp_path / "acme",
        [
            {"source": name, "account": "aws", "settings": {"export": str(place.folder)}}
            for name, place in (("aws_cur2", newer), ("aws_cur", older))
        ],
    )
    assert [one.error for one in made.ingest(now=NOW)] == [None, None]
    answers = made.build(now=NOW, graph=cloud_graph())
    asked = f"select source, is_book, sum(billed_cost) as cost from {MART} group by all order by 1"
    assert [tuple(one.values()) for one in answers.rows(asked)] == [
        ("aws_cur", False, Decimal("10.5")),
        ("aws_cur2", True, Decimal("10.5")),
    ]
    (law,) = broken_laws(answers)
    assert "aws_cur and aws_cur2 are both the book of record" in law


def test_it_is_known_by_its_slashes() -> None:
    assert recognise("x", csv_gz([line()])) == "cost_and_usage"
    assert recognise("x", cur2.csv_gz([line()])) is None
