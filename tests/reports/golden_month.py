"""The report of a month filled by hand, written out for reading: what it says, and every table with all its digits.

`python -m tests.reports.golden_month` writes it anew; what then differs is what a reader of the report will see.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.reports.monthly import report_page
from pipeline.reports.sheets import sheets_of
from pipeline.reports.summary import as_markdown
from pipeline.reports.tabular import as_csv

from .fake_snapshot import OCTOBER, config, snapshot_of, tables

FOLDER = Path(__file__).parent / "golden"


def golden_month() -> dict[str, str]:
    """File name -> text."""
    with TemporaryDirectory() as folder:
        page = report_page(snapshot_of(tables(), Path(folder)), config=config(), quarantined=(), first_day=OCTOBER)
    sheets = "\n".join(f"# {sheet.name}\n{as_csv(sheet).decode()}" for sheet in sheets_of(page))
    return {"october.md": as_markdown(page), "october_tables.csv": sheets}


if __name__ == "__main__":
    for name, text in golden_month().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
