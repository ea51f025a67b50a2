"""The report as a PDF: what the page says and nothing else, the same bytes each time, names inert."""

import hashlib
import os
import re
import subprocess
import sys
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from pipeline.reports.monthly import report_page
from pipeline.reports.page import Card, Column, Fact, Figure, Legend, Note, Page, Row, Section, Table, Tile, Tiles
from pipeline.reports.pdf import as_pdf

from .fake_snapshot import AS_OF, OCTOBER, config, snapshot_of, tables
from .pdf_text import pages, squeezed

HOSTILE = '#eval("panic()") $sum_x$ @label <label> `raw` [link] *bold* _it_ = // /* ~ -- "quoted" #read("/etc/passwd")'
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 360 40"><title>Chart of it</title><desc>From 1 to 2.</desc>'
    '<rect width="99" height="9" fill="#0b5fa5"/></svg>'
)


def pdf(page):
    return as_pdf(page, snapshot_id="5" * 16, as_of=AS_OF)


def small(text="plain", rows=2):
    table = Table(
        name="t",
        caption=f"Table {text}",
        columns=(Column("Name"), Column("Cost", "USD", is_number=True), Column("Why", is_prose=True)),
        rows=tuple(
            Row((f"{text} {number}", f"{number}.00", text), refused=(text,), kind=kind, swatch="#0b5fa5")
            for number, kind in zip(range(rows), ["line", "part", "total"] * rows, strict=False)
        ),
        note=f"Note {text}",
    )
    figure = Figure(svg=Markup(SVG), caption=f"Seen {text}", legend=(Legend(text, "#c4511a"),))
    card = Card("a", f"Card {text}", f"Lead {text}", (Fact("Title", text),), (figure,), (text,))
    tiles = Tiles((Tile(f"Tile {text}", "1.00", "USD", text, (text,)),))
    blocks = (tiles, table, figure, Note(text, is_warning=True), Note(text), card)
    section = Section("s", f"Section {text}", f"Says {text}", blocks)
    return Page(text, "October 2026", f"Period {text}", "State", (section,), (Fact("Snapshot", text),), text, (text,))


def digest():
    return hashlib.sha256(pdf(small(HOSTILE, rows=90))).hexdigest()


def test_the_same_page_gives_the_same_bytes_in_any_process_zone_locale_and_hash_order():
    code = "from tests.reports.test_pdf import digest; print(digest())"
    environment = {**os.environ, "TZ": "Pacific/Kiritimati", "LANG": "de_DE.UTF-8", "PYTHONHASHSEED": "7"}
    said = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert said.stdout.strip() == digest()


def test_text_is_never_markup_and_every_piece_of_the_page_is_there():
    """Ten places in which a name can stand, and a chart's words for whoever does not see it."""
    made = pdf(small(HOSTILE))
    text = squeezed("".join(pages(made)))
    for piece in ("Table", "Note", "Seen", "Card", "Lead", "Tile", "Section", "Says", "Period"):
        assert squeezed(f"{piece} {HOSTILE}") in text, piece
    assert text.count(squeezed(HOSTILE)) >= 20
    assert "root:" not in text
    assert re.findall(rb"/URI|/JavaScript|/Launch|/EmbeddedFile|/GoToR", made) == []
    assert b"/Alt(Chart of it. From 1 to 2)" in made


def test_a_table_goes_on_over_pages_under_its_head_and_no_row_is_left_out():
    found = pages(pdf(small(rows=150)))
    assert len(found) > 2
    assert [text.count("Name") for text in found][1:3] == [1, 1]
    whole = squeezed("".join(found))
    assert [number for number in range(150) if f"plain{number}" not in whole] == []


def test_a_report_that_a_person_reads_is_tagged_and_one_of_thousands_of_rows_stays_small():
    assert b"/StructTreeRoot" in pdf(small(rows=90))
    large = pdf(small(rows=3000))
    assert b"/StructTreeRoot" not in large
    assert len(large) < 1_000_000


def test_a_name_without_a_space_breaks_within_its_column():
    made = pages(pdf(small("arn:aws:bedrock:us-east-1:123456789012:inference_profile/" + "x" * 140)))
    assert "x" * 140 in squeezed("".join(made))
    assert not re.search("x{30}", "".join(made))
    assert "DGC-\u200b2026-\u200b10-\u200b0042" in "".join(pages(pdf(small("DGC-2026-10-0042"))))


def test_what_no_font_has_is_written_by_its_number_and_refuses_no_report():
    with patch(f"{__name__}.SVG", SVG.replace("<rect", "<text x='1' y='9'>研究</text><rect")):
        text = squeezed("".join(pages(pdf(small("研究 команда 😀\t\x00")))))
    assert "Table[U+7814][U+7A76]команда[U+1F600][U+0000]" in text


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=6))
@example("\n\r\t")
@example("👩\u200d👩\u200d👧 e\u0301 नमस्ते 가각 \u0301")
def test_no_text_refuses_a_report(text):
    assert pdf(small(text, rows=1)).startswith(b"%PDF")


def test_the_pdf_of_the_month_says_every_sentence_and_every_cell_that_the_page_has(tmp_path):
    """A number that the page does not have cannot be in it: there is no second computation. Charts' own words aside."""
    page = report_page(snapshot_of(tables(), tmp_path), config=config(), quarantined=(), first_day=OCTOBER)
    text = squeezed("".join(pages(pdf(page))))
    # The command that writes this file is copied as it is: no place to break is in it.
    copied = "".join(pages(pdf(page))).replace("\n", "")
    assert f"{page.reproduce} --format pdf" in copied
    for section in page.sections:
        assert squeezed(section.says) in text, section.title
        for block in section.blocks:
            if isinstance(block, Table):
                for row in block.rows:
                    proven = f"notproven:{', '.join(row.refused)}" if row.refused else ""
                    assert squeezed("".join((row.cells[0], proven, *row.cells[1:]))) in text, row
            elif isinstance(block, Tiles):
                for tile in block.tiles:
                    assert squeezed(f"{tile.figure}{tile.unit}{tile.detail}") in text, tile
            elif isinstance(block, Card):
                for fact in block.facts:
                    assert squeezed(f"{fact.title}{fact.text}") in text, fact


def test_fonts_are_those_that_typst_brings():
    fonts = set(re.findall(rb"/BaseFont/[A-Z]{6}\+([A-Za-z]+)", pdf(small())))
    assert fonts <= {b"LibertinusSerif", b"DejaVuSansMono"}
