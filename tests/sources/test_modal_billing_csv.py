"""Modal's billing report: cost by app and interval, and no quantity."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import QuarantineError
from pipeline.sources.modal_billing_csv import CHARGES, drop, parse
from pipeline.sources.recognise import recognise_bytes
from tests.pipeline.small_project import SmallProject, source

HEADER = "Object ID,Description,Environment,Interval Start,Resource,Cost,Tags"
DAILY = ("ap-1,embed,main,2026-11-02,,1.25,", "ap-2,train,dev,2026-11-03,,10.000000000000000000,")


def report(*rows: str, header: str = HEADER) -> bytes:
    return "".join(f"{line}\n" for line in (header, *rows)).encode()


def charges(content: bytes, name: str = "report.csv") -> list[dict[str, Any]]:
    return parse(content, drop(name, content, {}).settings)[CHARGES.name].to_dicts()


def test_a_row_is_a_charge_of_its_day_and_hours_belong_to_theirs() -> None:
    rows = charges(
        report(
            *DAILY,
            'ap-1,embed,main,2026-11-03T23:00:00+00:00,A100,0.5,"{""team"": ""x""}"',
            "ap-1,,,2026-11-03 05:00:00,CPU,0,",
        )
    )
    names = ("usage_date", "resource_id", "sub_account_id", "sku_meter", "billed_cost", "tags")
    assert [tuple(row[name] for name in names) for row in rows] == [
        (date(2026, 11, 2), "ap-1", "main", None, Decimal("1.25"), None),
        (date(2026, 11, 3), "ap-2", "dev", None, Decimal(10), None),
        (date(2026, 11, 3), "ap-1", "main", "A100", Decimal("0.5"), '{"team": "x"}'),
        (date(2026, 11, 3), "ap-1", None, "CPU", Decimal(0), None),
    ]
    assert {row["consumed_quantity"] for row in rows} == {None}


def test_a_report_speaks_for_the_days_in_its_name_else_for_those_of_its_rows() -> None:
    content = report(*DAILY)
    by_rows, by_name = drop("x.csv", content, {}), drop("modal_2026-11-01_2026-11-30.csv", content, {})
    assert (by_rows.from_at, by_rows.to_at) == (datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 4, tzinfo=UTC))
    assert (by_name.from_at, by_name.to_at) == (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    assert recognise_bytes("x.csv", content).source == "modal_billing_csv"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("ap-1,,,yesterday,,1,", "row 2: Interval Start is 'yesterday'"),
        ("ap-1,,,2026-11-02,,,", "row 2: Cost is ''"),
        ("ap-1,,,2026-11-02,,$1,", "row 2: Cost is '\\$1'"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused(row: str, words: str) -> None:
    """B4: a cost that is not there is not 0."""
    with pytest.raises(QuarantineError, match=words):
        charges(report(row))
    with pytest.raises(QuarantineError, match="no column Environment"):
        charges(report("ap-1,2026-11-02,1", header="Object ID,Interval Start,Cost"))


def test_a_column_of_a_later_release_is_kept() -> None:
    (row,) = charges(report("ap-1,,,2026-11-02,,1,,eu", header=f"{HEADER},Region"))
    assert row["other_columns"] == '{"Region": "eu"}'


def test_every_dollar_of_a_report_is_a_line_of_the_bill(tmp_path: Path) -> None:
    """B12: and a later report of one day replaces that day alone."""
    project = SmallProject(tmp_path, [source("modal_billing_csv", "modal")])
    project.drop("modal_billing_csv", "modal", "a_20261104T000000Z.csv", report(*DAILY))
    project.drop("modal_billing_csv", "modal", "b_20261105T000000Z.csv", report("ap-2,train,dev,2026-11-03,,11,"))
    answers = project.run()
    assert project.quarantine() == []
    assert answers.one("select sum(billed_cost) from fct_cloud_charges_daily where is_book") == Decimal("12.25")
    assert answers.rows("select * from check_cloud_money_conserved") == []
