"""Google Cloud's cost table: one invoice, whose currency and number stand above its lines. All generated."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import QuarantineError
from pipeline.sources.focus_shape import CHARGES
from pipeline.sources.gcp_cost_table import parse, recognise
from tests.models.cloud_harness import MART, broken_laws, built
from tests.pipeline.small_project import SmallProject, source

NOW = datetime(2026, 12, 9, 6, tzinfo=UTC)
ABOVE = "Invoice number,5123456789\nCurrency,AUD\nExchange rate,1.4389\nBilling account ID,0X0X0X-0X0X0X-0X0X0X\n\n"
HEADER = (
    "Project name,Project ID,Service description,SKU description,SKU ID,Credit type,Cost type,Usage start date,"
    "Usage end date,Usage amount,Usage unit,Unrounded cost ($)\n"
)
LINES = (
    "serving,acme-serving,Gemini API,Generate content output token count gemini 3 flash,A1,,Usage,2026-11-01,"
    "2026-11-30,62430515,count,270.123456789\n"
    "serving,acme-serving,Gemini API,Generate content output token count gemini 3 flash,A1,PROMOTION,Usage,2026-11-01,"
    "2026-11-30,,,-20.5\n"
    ",,Invoice,Tax,A2,,Tax,2026-11-01,2026-11-30,,,24.96\n"
)


def table(*, above: str = ABOVE, header: str = HEADER, lines: str = LINES) -> bytes:
    return f"{above}{header}{lines}".encode()


def test_every_line_is_a_charge_in_the_currency_that_is_named_above() -> None:
    """B7, B23: the sign in the header is that of twenty currencies."""
    frame = parse(table(), {})[CHARGES.name]
    assert dict(frame.schema) == CHARGES.schema
    assert frame.select("charge_category", "billed_cost", "consumed_quantity", "billing_currency").rows() == [
        ("Usage", Decimal("270.123456789"), 62430515, "AUD"),
        ("Credit", Decimal("-20.5"), None, "AUD"),
        ("Tax", Decimal("24.96"), None, "AUD"),
    ]
    assert set(frame["invoice_id"]) == {"5123456789"}
    assert set(frame["usage_date"]) == {date(2026, 11, 1)}
    assert frame["charge_period_start"][0] == datetime(2026, 11, 1, 7)  # noqa: DTZ001
    assert frame["charge_period_end"][0] == datetime(2026, 12, 1, 8)  # noqa: DTZ001


def test_usage_that_came_late_is_of_the_invoice_it_stands_on() -> None:
    """B21: of October's, on November's invoice; without a number it is no invoice, and months are its days'."""
    late = LINES + LINES.splitlines()[0].replace("2026-11-01", "2026-10-30").replace("2026-11-30", "2026-10-31") + "\n"
    starts = parse(table(lines=late), {})[CHARGES.name]
    assert starts["billing_period_start"].to_list() == [datetime(2026, 11, 1, 7)] * 4  # noqa: DTZ001
    assert starts["usage_date"].to_list()[-1] == date(2026, 10, 30)
    above = ABOVE.replace("Invoice number,5123456789\n", "")
    months = parse(table(above=above, lines=late), {})[CHARGES.name]["billing_period_start"].dt.month()
    assert months.to_list() == [11, 11, 11, 10]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (table(above="Invoice number,5\n"), "No line says its Currency"),
        (table(above="Currency,AUD\n"), "whose account"),
        (table(header=HEADER.replace("Unrounded cost ($)", "Cost")), "No header"),
        (table(lines=LINES + ",,,,,,,,,,,274.58\n"), "row 5: no costtype"),
        (table(lines=LINES.replace("24.96", "")), "row 4: no unroundedcost"),
        (table(lines="short\n"), "row 2"),
    ],
)
def test_a_table_that_does_not_say_what_a_charge_needs_is_refused(content: bytes, words: str) -> None:
    """B12: a total at its end would double the invoice."""
    with pytest.raises(QuarantineError, match=words):
        parse(content, {})


def test_a_newer_table_of_an_invoice_replaces_it_and_as_a_control_it_is_never_summed(tmp_path: Path) -> None:
    """B9, B22."""
    asked = f"select is_book, sum(billed_cost) as cost from {MART} group by 1"
    for role, is_book in (("book", True), ("control", False)):
        made = SmallProject(tmp_path / role, [source("gcp_cost_table", "google", role=role)])
        made.drop("gcp_cost_table", "google", "november.csv", table())
        built(made, now=NOW)
        made.drop("gcp_cost_table", "google", "november (1).csv", table(lines=LINES.replace("24.96", "24.97")))
        answers = built(made, now=NOW + timedelta(hours=1))
        said: list[dict[str, Any]] = answers.rows(asked)
        assert said == [{"is_book": is_book, "cost": Decimal("274.593456789")}]
        assert broken_laws(answers) == []


def test_it_is_known_by_its_header_below_the_lines_above() -> None:
    assert recognise("x", table()) == "cost_and_usage"
    assert recognise("x", LINES.encode()) is None
