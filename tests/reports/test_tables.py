"""The report's tables for other programs: the same bytes each time, values as what they are, nothing that runs."""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import date
from decimal import Decimal
from xml.etree import ElementTree

import polars as pl
import pytest

from pipeline.landing.landing import REPORT_EVENT
from pipeline.landing.project import Project
from pipeline.reports import monthly
from pipeline.reports.figures import Written
from pipeline.reports.monthly import report_page
from pipeline.reports.page import Column, Page, Row, Section, Table
from pipeline.reports.sheets import sheets_of
from pipeline.reports.summary import as_markdown
from pipeline.reports.tabular import as_csv, as_parquet, as_xlsx, folder_of

from .fake_snapshot import AS_OF, OCTOBER, api_cost, config, snapshot_of, tables
from .golden_month import FOLDER, golden_month
from .test_monthly import HOSTILE, changed

NUMBER = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def page(tmp_path, filled=None, company="Acme"):
    snapshot = snapshot_of(tables() if filled is None else filled, tmp_path)
    return report_page(snapshot, config=config(company), quarantined=(), first_day=OCTOBER)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The page of a plain month, made once."""
    return page(tmp_path_factory.mktemp("plain"))


def xlsx(found):
    return as_xlsx(sheets_of(found), title="LLM costs", as_of=AS_OF)


def parts_of(book):
    with zipfile.ZipFile(io.BytesIO(book)) as archive:
        return {entry: archive.read(entry) for entry in archive.namelist()}


def cells(book, name):
    """Cells of a sheet by their place: numbers as the file spells them, text as it is read."""
    parts = parts_of(book)
    names = [found.attrib["name"] for found in ElementTree.fromstring(parts["xl/workbook.xml"]).iter(f"{NUMBER}sheet")]
    shared = [
        "".join(text.text or "" for text in found.iter(f"{NUMBER}t"))
        for found in ElementTree.fromstring(parts["xl/sharedStrings.xml"]).iter(f"{NUMBER}si")
    ]
    sheet = ElementTree.fromstring(parts[f"xl/worksheets/sheet{names.index(name) + 1}.xml"])
    return {
        cell.attrib["r"]: shared[int(value.text)] if cell.attrib.get("t") == "s" else value.text
        for cell in sheet.iter(f"{NUMBER}c")
        for value in cell.iter(f"{NUMBER}v")
    }


def every_file():
    """Of a page whose own bytes test_monthly compares."""
    found = made_of(Row(("a", Written("2.00", 2)), refused=("law",)), Row(("b", "unknown")), Row((HOSTILE, "")))
    files = {"xlsx": xlsx(found), "md": as_markdown(found).encode()}
    for suffix in ("csv", "parquet"):
        files |= {f"{suffix}/{name}": text for name, text in folder_of(sheets_of(found), suffix, facts={}).items()}
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def test_the_same_page_gives_the_same_bytes_of_every_file_in_any_process_zone_and_hash_order():
    code = "import json; from tests.reports.test_tables import every_file; print(json.dumps(every_file()))"
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TZ": "Pacific/Kiritimati", "LANG": "de_DE.UTF-8", "PYTHONHASHSEED": "7"},
        check=True,
        capture_output=True,
    ).stdout
    assert json.loads(said) == every_file()


def test_every_table_of_the_report_is_a_sheet_under_a_name_of_its_own(plain):
    found = plain
    blocks = [block for section in found.sections for block in section.blocks if isinstance(block, Table)]
    assert all(block.name for block in blocks)
    names = [sheet.name for sheet in sheets_of(found)]
    assert len(names) == len(set(names))
    assert set(names) == {block.name for block in blocks} | {"about", "headline", "workloads"}
    assert max(map(len, names)) <= 31


def test_a_workbook_has_numbers_as_numbers_with_their_currency_days_as_days_and_its_heads_frozen(plain):
    book = xlsx(plain)
    spend = cells(book, "api_spend")
    assert (spend["F1"], spend["F2"]) == ("Billed\nUSD", "90.1")
    assert cells(book, "coverage")["I2"] == str((date(2026, 11, 4) - date(1899, 12, 30)).days)
    parts = parts_of(book)
    styles = parts["xl/styles.xml"].decode()
    assert "[$USD] #,##0.00" in styles
    assert "yyyy-mm-dd" in styles
    sheets = [text.decode() for name, text in parts.items() if name.startswith("xl/worksheets/sheet")]
    assert all('state="frozen"' in text for text in sheets)
    assert "2026-11-05T06:00:00Z" in parts["docProps/core.xml"].decode()


def test_files_hold_all_digits_and_what_a_row_is(tmp_path):
    """A third of a cent is in the file, where the page writes cents; sums are rows that a program can leave out."""
    cost = Decimal("90.100000000000000001")
    [sheet] = [
        one
        for one in sheets_of(page(tmp_path, changed(fct_api_costs_daily=[api_cost(billed_cost=cost)])))
        if one.name == "api_spend"
    ]
    rows = list(csv.DictReader(io.StringIO(as_csv(sheet).decode())))
    assert [(row["Billed (USD)"], row["Row"]) for row in rows] == [(str(cost), "line"), (str(cost), "total")]
    frame = pl.read_parquet(as_parquet(sheet))
    assert frame["Billed (USD)"].to_list() == [cost, cost]
    assert frame.schema["Billed (USD)"] == pl.Decimal(38, 18)
    assert [row["Tokens (million)"] for row in rows] == ["20", ""]


def made_of(*rows, number=True):
    table = Table(name="t", caption="T", columns=(Column("Name"), Column("Cost", "USD", is_number=number)), rows=rows)
    section = Section("s", "S", "Says.", (table,))
    return Page(company="Acme", month="October 2026", period="", state="", sections=(section,), facts=(), reproduce="")


def test_unknown_is_a_word_in_a_workbook_and_stands_beside_its_column_in_parquet_never_zero():
    found = made_of(Row(("a", Written("2.00", 2))), Row(("b", "unknown")), Row(("c", Written("—", None))))
    assert {key: value for key, value in cells(xlsx(found), "t").items() if key[0] == "B"} == {
        "B1": "Cost\nUSD",
        "B2": "2",
        "B3": "unknown",
    }
    sheet = sheets_of(found)[-1]
    assert as_csv(sheet) == b"Name,Cost (USD)\na,2\nb,unknown\nc,\n"
    frame = pl.read_parquet(as_parquet(sheet))
    assert frame["Cost (USD)"].to_list() == [2, None, None]
    assert frame["Cost (USD), in words"].to_list() == [None, "unknown", None]


def test_a_broken_law_stands_beside_the_row_it_refuses():
    found = made_of(Row(("a", Written("2.00", 2)), refused=("money_is_conserved",)), Row(("b", Written("3.00", 3))))
    assert as_csv(sheets_of(found)[-1]) == b"Name,Cost (USD),Not proven\na,2,money_is_conserved\nb,3,\n"


@pytest.mark.parametrize(
    "text", [HOSTILE, '=HYPERLINK("https://evil.invalid")', "+1", "@SUM(A1)", "-2+3", "{=1}", "https://evil.invalid/x"]
)
def test_text_is_never_a_formula_or_a_link(text):
    """A name that begins one is written with an apostrophe in CSV; in a workbook every text is of the type text."""
    found = made_of(Row((text, text)), number=False)
    parts = parts_of(xlsx(found))
    sheets = b"".join(content for name, content in parts.items() if name.startswith("xl/worksheets"))
    assert b"<f>" not in sheets
    assert b"hyperlink" not in sheets.lower()
    assert not [name for name in parts if "externalLinks" in name or "_rels/sheet" in name]
    [row] = list(csv.reader(io.StringIO(as_csv(sheets_of(found)[-1]).decode())))[1:]
    assert not [cell for cell in row if cell.startswith(("=", "+", "@", "-"))]


def test_a_summary_in_markdown_is_neither_markup_nor_mention_nor_link(tmp_path):
    name = "=1 | <b> [x](https://evil.invalid) @channel `a` *b* _c_ www.evil.invalid #1 $x_1$"
    filled = changed(fct_api_costs_daily=[api_cost(model=name)])
    text = as_markdown(page(tmp_path, filled, company=name))
    for begun in ("[x]", "<b>", "@channel", "`a`", "*b*", " _c_", "https://", "www.evil"):
        assert begun not in text.replace(f"\\{begun[0]}", ""), begun
    # Between two dollars GitHub reads mathematics, of amounts too.
    assert "\\$" in text
    assert "$" not in text.replace("\\$", "")
    assert "## What changed, and why" in text
    assert "| chat |" in text
    blocks = [[line for line in block.splitlines() if line.startswith("|")] for block in text.split("\n\n")]
    assert max(map(len, blocks)) > 3
    for block in blocks:
        assert len({line.replace("\\|", "").count("|") for line in block}) <= 1


def test_a_command_with_a_hostile_name_stays_code_in_markdown():
    found = replace(made_of(Row(("a", "b"))), reproduce="breakeven report --team 'a``<b>`'")
    assert "Made again by ``` breakeven report --team 'a``<b>`' ```" in as_markdown(found)


def test_each_format_is_written_whole_and_landed_once_for_one_content(tmp_path, monkeypatch, plain):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "breakeven.yaml").write_text("company: Acme\n")
    project = Project(tmp_path / "project")
    snapshot = snapshot_of(tables(), tmp_path)
    monkeypatch.setattr(monthly, "config_of", lambda *_: config())
    monkeypatch.setattr(monthly, "report_page", lambda *_, **__: plain)
    left = project.paths.reports / "2026-10-csv" / "no_longer_a_table.csv"
    for _ in range(2):
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_text("old")
        paths = monthly.write_reports(
            project, snapshot, month="2026-10", now=AS_OF, formats=("html", "xlsx", "csv", "md", "csv")
        )
    assert [path.name for path in paths] == ["2026-10.html", "2026-10.xlsx", "2026-10-csv", "2026-10.md"]
    assert not left.exists()
    manifest = json.loads((paths[2] / "manifest.json").read_text())
    assert manifest["snapshot_id"] == snapshot.snapshot_id
    for table in manifest["tables"]:
        content = (paths[2] / table["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == table["sha256"]
    assert {table["file"] for table in manifest["tables"]} | {"manifest.json"} == {
        one.name for one in paths[2].iterdir()
    }
    events = project.landing.events(REPORT_EVENT)
    assert sorted(event.body.get("format", "html") for event in events) == ["csv", "html", "md", "xlsx"]


def test_a_month_filled_by_hand_says_what_somebody_has_read():
    """`python -m tests.reports.golden_month` writes it anew, for the change to be read."""
    found = golden_month()
    assert {path.name for path in FOLDER.iterdir()} == found.keys()
    for name, text in found.items():
        assert text == (FOLDER / name).read_text(encoding="utf-8"), name
