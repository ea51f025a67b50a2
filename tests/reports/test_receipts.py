"""Every figure of a report has a receipt, and `explain` gives the same figure back from the rows that landed."""

import json
import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from pipeline.cli import group
from pipeline.decisions.graph import current_snapshot, shipped_graph
from pipeline.errors import BreakevenError
from pipeline.explain.evidence import Evidence
from pipeline.explain.traced import Named
from pipeline.landing.project import Project
from pipeline.reports import monthly
from pipeline.reports.figures import Written
from pipeline.reports.monthly import page_of, report_page
from pipeline.reports.page import Card, Column, Page, Row, Section, Table, Tiles, render
from pipeline.reports.receipts import (
    all_receipted,
    explained_receipt,
    is_money,
    measure_of,
    parsed,
    receipted,
    with_receipts,
)
from pipeline.reports.sheets import sheets_of

from .fake_snapshot import OCTOBER, config, snapshot_of, tables
from .reading import read

ID = "0123456789abcdef"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    snapshot = snapshot_of(tables(), tmp_path_factory.mktemp("plain"))
    return report_page(snapshot, config=config(), quarantined=(), first_day=OCTOBER)


def blocks(page, kind):
    return [block for section in page.sections for block in section.blocks if isinstance(block, kind)]


def small(*rows):
    table = Table(name="t", caption="T", columns=(Column("Name"), Column("Cost", "USD", is_number=True)), rows=rows)
    page = Page("Acme", "October 2026", "", "", (Section("s", "S", "Says.", (table,)),), (), "again")
    return with_receipts(page, snapshot_id=ID, first_day=OCTOBER)


def test_every_row_tile_and_workload_has_a_receipt_of_its_own_in_page_and_sheets(plain):
    """In the page a row is also an anchor; in a sheet the receipt is the last column."""
    found = list(all_receipted(plain))
    assert len(found) == sum(len(table.rows) for table in blocks(plain, Table)) + sum(
        len(tiles.tiles) for tiles in blocks(plain, Tiles)
    ) + len(blocks(plain, Card))
    assert len({one.receipt for one in found}) == len(found) > 40
    text = render(plain)
    for one in found:
        assert f'title="Receipt {one.receipt}"' in text
    document = read(text)
    assert len(document.every("tr")) - len(document.every("thead")) == sum(len(t.rows) for t in blocks(plain, Table))
    in_sheets = {row[-1] for sheet in sheets_of(plain) if sheet.columns[-1].title == "Receipt" for row in sheet.rows}
    assert in_sheets == {one.receipt for one in found}


def test_every_amount_of_money_says_what_it_is(plain):
    """Billed, effective, accrued, list, expected, ...: by its column, or by a cell of its row."""
    silent = [
        (table.name, column.title, row.cells[0])
        for table in blocks(plain, Table)
        for column, place in zip(table.columns, range(99), strict=False)
        if is_money(column)
        for row in table.rows
        if isinstance(row.cells[place], Written) and not measure_of(table, column, row)
    ]
    assert silent == []
    assert [
        tile.title for tiles in blocks(plain, Tiles) for tile in tiles.tiles if "USD" in tile.unit and not tile.measure
    ] == []


def test_rows_of_the_same_names_have_two_receipts_and_the_same_page_the_same():
    rows = (Row(("a", Written("1.00", 1))), Row(("a", Written("2.00", 2))), Row(("b", Written("2.00", 2))))
    receipts = [one.receipt for one in all_receipted(small(*rows))]
    assert len(set(receipts)) == 3
    assert receipts == [one.receipt for one in all_receipted(small(*rows))]
    assert receipted(small(*rows), receipts[1].upper()).readings[0].value == 2


def test_a_receipt_names_its_snapshot_and_month_and_what_is_none_is_refused():
    [one] = all_receipted(small(Row(("a", Written("1.00", 1)))))
    assert (parsed(one.receipt).snapshot_id, parsed(one.receipt).first_day) == (ID, OCTOBER)
    for text in ("", "abc", f"{ID}-2026-13-0123456789", f"{ID}-2026-10-012345678", f"../{one.receipt}"):
        with pytest.raises(BreakevenError, match="is no receipt"):
            parsed(text)
    with pytest.raises(BreakevenError, match="has no row"):
        receipted(small(), one.receipt)


# The demo


@pytest.fixture(scope="module")
def november(demo_folder):
    """Without its charts, which have no receipts and take most of the time."""
    project = Project(demo_folder)
    with patch("pipeline.charts.drawing.as_svg", return_value=""):
        return page_of(project, current_snapshot(project), first_day=date(2026, 11, 1))


def explanation(demo_folder, page, one):
    project = Project(demo_folder)
    with Evidence(
        current_snapshot(project),
        landing=project.landing,
        datasets=shipped_graph().datasets,
        cache=project.paths.cache,
        shared=project.shared,
    ) as evidence:
        return explained_receipt(evidence, page=page, found=one)


def gives_back(demo_folder, page, one):
    """The claims that a figure of the report is its rows added up; all hold, and every sum of rows is among them."""
    found = explanation(demo_folder, page, one)
    assert found.holds, [claim for claim in found.equalities if not claim.holds]
    assert [row[1] for row in found.figures[0].rows] == [reading.text for reading in one.readings]
    return [claim for claim in found.equalities if claim.claim.startswith("the report's")]


def test_figures_of_the_demo_come_back_from_the_rows_that_landed(demo_folder, november):
    """One of each kind; `make soak` asks for all."""
    found = list(all_receipted(november))
    for table, names, figures in (
        ("API spend, billed", ("demo-org", "anthropic", "claude-haiku-4-5"), 3),
        ("GPU spend, by who sends the bill", ("demo-aws", "demo-aws", "GPUs"), 2),
        ("Headline", ("GPUs, accrued",), 1),
    ):
        one = next(one for one in found if one.table == table and one.names[: len(names)] == names)
        claims = gives_back(demo_folder, november, one)
        assert len(claims) == figures
        assert all(claim.left for claim in claims)


def test_a_figure_that_its_rows_do_not_make_is_told(demo_folder, november):
    one = next(one for one in all_receipted(november) if one.table == "GPU spend, by who sends the bill")
    wrong = [replace(reading, value=Decimal("1.23")) if reading.measure else reading for reading in one.readings]
    assert not explanation(demo_folder, november, replace(one, readings=tuple(wrong))).holds


def test_explain_takes_a_receipt_and_reads_what_the_report_reads(demo_folder, november, monkeypatch):
    monkeypatch.setattr(monthly, "page_of", lambda *_, **__: november)
    tile = next(one for one in all_receipted(november) if one.names == ("Largest saving found",))
    asked = ["explain", "receipt", tile.receipt, "--project", str(demo_folder)]
    said = CliRunner().invoke(group, [*asked, "--format", "json"])
    assert said.exit_code == 0, said.output
    [row] = json.loads(said.output)["figures"][0]["rows"]
    assert (row["reads"], row["measure"]) == (tile.readings[0].text, "expected")
    assert re.search(r"sql/reports/advice\.sql", said.output)
    printed = CliRunner().invoke(group, asked)
    assert tile.readings[0].text in printed.output
    assert "provisional: the month is not closed" in printed.output
    unknown = CliRunner().invoke(
        group, ["explain", "receipt", f"{'f' * 16}-2026-10-0123456789", "--project", str(demo_folder)]
    )
    assert unknown.exit_code != 0


def test_what_has_no_rows_to_follow_is_told_as_the_report_has_it_and_why(demo_folder, november):
    """As an invoice whose total somebody entered."""
    one = next(one for one in all_receipted(november) if one.section.anchor == "close")
    found = explanation(demo_folder, november, replace(one, traced=Named(subject="invoice", name="nobody's")))
    assert [row[1] for row in found.figures[0].rows] == [reading.text for reading in one.readings]
    assert found.holds
    assert "nobody's" in found.outside_check[0]


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_every_receipt_of_the_demo_gives_its_figures_back(demo_folder, november):
    project = Project(demo_folder)
    october = page_of(project, current_snapshot(project), first_day=date(2026, 10, 1))
    summed = 0
    for page in (october, november):
        # A card is the verdict of its row again; what is no sum of rows is read off the page alone.
        for one in (one for one in all_receipted(page) if one.traced is not None and one.table != "Verdicts"):
            summed += len(gives_back(demo_folder, page, one))
    assert summed > 100
