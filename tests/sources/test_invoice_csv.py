"""Any provider's invoice by a declared mapping: lines, periods, kinds, the control total, and what is refused."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import QuarantineError
from pipeline.sources.invoice_csv import SOURCE

MAPPING: dict[str, Any] = {
    "columns": {
        "invoice_id": "Invoice",
        "description": "Item",
        "charge_kind": "Type",
        "resource_id": "Node",
        "gpu_count": "GPUs",
        "quantity": "Hours",
        "unit_price": "Rate",
        "amount": "Total",
        "period_start": "From",
        "period_end": "To",
    },
    "currency": "USD",
    "charge_kind": {"Instance": "gpu_instance", "VAT": "tax"},
}
HEADER = "Invoice,Item,Type,Node,GPUs,Hours,Rate,Total,From,To"
NODE = "INV-7,8x H100,Instance,node-3,8,24,3.25,624.00,2026-10-01,2026-10-02"


def _file(*rows: str, header: str = HEADER) -> bytes:
    return ("\n".join([header, *rows]) + "\n").encode()


def _parse(content: bytes, **changed: Any) -> dict[str, pl.DataFrame]:
    (dataset,) = SOURCE.datasets
    frames = dataset.parse(content, {**MAPPING, **changed})
    assert {table.name: table.schema for table in dataset.tables} == {
        name: dict(frame.schema) for name, frame in frames.items()
    }
    return frames


def _line(content: bytes, **changed: Any) -> dict[str, Any]:
    (row,) = _parse(content, **changed)["lines"].to_dicts()
    return row


def test_a_line_is_kept_in_the_vendors_words_under_our_names() -> None:
    assert _line(_file(NODE)) == {
        "bucket": "INV-7",
        "usage_date": date(2026, 10, 1),
        "invoice_id": "INV-7",
        "line_number": 2,
        "description": "8x H100",
        "charge_kind": "gpu_instance",
        "resource_id": "node-3",
        "gpu_count": "8",
        "quantity": "24",
        "unit": None,
        "unit_price": "3.25",
        "amount": "624.00",
        "currency": "USD",
        "period_start": "2026-10-01T00:00:00Z",
        "period_end": "2026-10-02T00:00:00Z",
        "other_columns": '{"Type": "Instance"}',
    }


def test_equal_lines_are_different_charges() -> None:
    """Class B9: identical rows are legal on an invoice."""
    assert _parse(_file(NODE, NODE))["lines"]["line_number"].to_list() == [2, 3]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("INV-7,Sales tax,VAT,,,,,12.5,2026-10-01,2026-11-01", "tax"),
        ("INV-7,Refund,credit,,,,,-500.00,2026-10-01,2026-11-01", "credit"),
        ("INV-7,Disk,Volume,vol-1,,,,3,2026-10-01,2026-11-01", "other"),
        ("INV-7,GPU of nobody,Instance,,,,,3,2026-10-01,2026-11-01", "other"),
        ("INV-7,Says nothing,,node-1,,,,3,2026-10-01,2026-11-01", "other"),
    ],
)
def test_a_line_of_an_unknown_kind_or_a_gpu_line_without_resource_is_other(row: str, kind: str) -> None:
    """Class B24: tax, credits and disks are on the invoice too."""
    line = _line(_file(row))
    assert line["charge_kind"] == kind
    theirs = row.split(",")[2]
    assert line["other_columns"] == (None if theirs in ("", kind) else f'{{"Type": "{theirs}"}}')


def test_a_kind_may_be_declared_for_lines_that_say_none() -> None:
    columns = {name: header for name, header in MAPPING["columns"].items() if name != "charge_kind"}
    assert _line(_file(NODE), columns=columns, charge_kind={"": "gpu_instance"})["charge_kind"] == "gpu_instance"


def test_the_total_row_is_a_control_and_not_a_line() -> None:
    """Class B22: the total and its lines are the same money."""
    frames = _parse(
        _file(NODE, NODE, ",Amount due,,,,,,1248.00,,"), total_row={"column": "Item", "equals": "Amount due"}
    )
    assert frames["lines"].height == 2
    (total,) = frames["totals"].to_dicts()
    assert (total["bucket"], total["total_amount"], total["currency"]) == ("INV-7", "1248.00", "USD")
    assert (total["period_start"], total["period_end"]) == ("2026-10-01T00:00:00Z", "2026-10-02T00:00:00Z")


def test_a_second_total_or_one_of_another_invoice_is_refused() -> None:
    total = {"column": "Item", "equals": "Sum"}
    with pytest.raises(QuarantineError, match="row 4: a second total for invoice 'INV-7'"):
        _parse(_file(NODE, ",Sum,,,,,,624,,", ",Sum,,,,,,624,,"), total_row=total)
    with pytest.raises(QuarantineError, match="row 3: a total for invoice 'INV-8'"):
        _parse(_file(NODE, "INV-8,Sum,,,,,,624,,"), total_row=total)


def test_unmapped_columns_are_kept() -> None:
    line = _line(_file(f"{NODE},eu,b-1", header=f"{HEADER},Zone,Batch"))
    assert line["other_columns"] == '{"Batch": "b-1", "Type": "Instance", "Zone": "eu"}'


@pytest.mark.parametrize(
    ("text", "changed", "amount"),
    [
        ("-1.5", {}, "-1.5"),
        ('"1.234,56"', {"decimal": ",", "thousands": "."}, "1234.56"),
        ('"1,234,567.8"', {"thousands": ","}, "1234567.8"),
        ('"12,50"', {"decimal": ","}, "12.50"),
        ("0.123456789012345678", {}, "0.123456789012345678"),
    ],
)
def test_amounts_are_read_as_declared(text: str, changed: dict[str, str], amount: str) -> None:
    assert _line(_file(NODE.replace("3.25", "3").replace("624.00", text)), **changed)["amount"] == amount


@pytest.mark.parametrize(
    ("text", "changed", "says"),
    [
        ("$624", {}, "Total is '\\$624', not a decimal"),
        ("", {}, "row 2: Total is blank"),
        ('"12,50"', {}, "Total is '12,50', not a decimal"),
        ('"12,50"', {"thousands": ","}, "not grouped in thousands"),
        ("1.234", {"decimal": ","}, "declared as ','"),
        ("(624.00)", {}, "not a decimal"),
        ("6e2x", {}, "not a decimal"),
    ],
)
def test_an_amount_that_does_not_read_as_declared_is_refused(text: str, changed: dict[str, str], says: str) -> None:
    """Class B7: a decimal comma taken for a separator is a bill 100 times too high."""
    with pytest.raises(QuarantineError, match=says):
        _parse(_file(NODE.replace("3.25", "3").replace("624.00", text)), **changed)


def test_the_currency_is_the_lines_own_else_the_declared_one() -> None:
    """Class B23."""
    columns = {**MAPPING["columns"], "currency": "Cur"}
    frames = _parse(_file(f"{NODE},EUR", f"{NODE},", header=f"{HEADER},Cur"), columns=columns)
    assert frames["lines"]["currency"].to_list() == ["EUR", "USD"]
    with pytest.raises(QuarantineError, match="row 2: the currency is 'dollars'"):
        _parse(_file(f"{NODE},dollars", header=f"{HEADER},Cur"), columns=columns)
    with pytest.raises(QuarantineError, match="the currency is None"):
        _parse(_file(NODE), currency=None)


def test_periods_are_the_issuers_and_become_utc() -> None:
    """Class B8: a month that runs from 17:00 to 17:00 Eastern; 20:59Z and 21:30Z lie in different invoices."""
    row = NODE.replace("2026-10-01,2026-10-02", "2026-09-30 17:00,2026-10-31 17:00")
    line = _line(_file(row), timezone="America/New_York")
    assert (line["period_start"], line["period_end"]) == ("2026-09-30T21:00:00Z", "2026-10-31T21:00:00Z")
    assert line["usage_date"] == date(2026, 9, 30)


@pytest.mark.parametrize(
    ("zone", "start", "stop", "hours"),
    [
        ("America/Los_Angeles", "2026-03-01", "2026-04-01", 743),
        ("America/Los_Angeles", "2026-11-01", "2026-12-01", 721),
        ("UTC", "2026-11-01", "2026-12-01", 720),
    ],
)
def test_a_month_with_a_clock_change_has_its_own_hours(zone: str, start: str, stop: str, hours: int) -> None:
    """Class B8: daylight saving. Case 21."""
    line = _line(_file(NODE.replace("2026-10-01,2026-10-02", f"{start},{stop}")), timezone=zone)
    period = datetime.fromisoformat(line["period_end"]) - datetime.fromisoformat(line["period_start"])
    assert period.total_seconds() == hours * 3600


def test_whether_the_end_is_the_last_day_is_declared() -> None:
    month = NODE.replace("2026-10-01,2026-10-02", "2026-10-01,2026-10-31")
    assert _line(_file(month), period_end="inclusive")["period_end"] == "2026-11-01T00:00:00Z"
    assert _line(_file(month))["period_end"] == "2026-10-31T00:00:00Z"
    with pytest.raises(QuarantineError, match=r"is empty\. If period_end names the last day"):
        _parse(_file(NODE.replace("2026-10-02", "2026-10-01")))


def test_a_period_of_a_mistyped_year_is_refused_and_twenty_years_are_not() -> None:
    """Spread over 180 years, a bill has next to nothing in its own month, and each build a thousand months more."""
    assert _line(_file(NODE.replace("2026-10-02", "2046-10-02")))["period_end"] == "2046-10-02T00:00:00Z"
    with pytest.raises(QuarantineError, match=r"2206-11-01T00:00:00Z is longer than 20 years"):
        _parse(_file(NODE.replace("2026-10-02", "2206-11-01")))


def test_a_line_of_one_day_needs_one_date() -> None:
    columns = {"amount": "Total", "date": "From", "invoice_id": "Invoice"}
    line = _line(_file(NODE), columns=columns)
    assert (line["period_start"], line["period_end"]) == ("2026-10-01T00:00:00Z", "2026-10-02T00:00:00Z")


def test_dates_are_read_by_the_declared_format() -> None:
    row = NODE.replace("2026-10-01,2026-10-02", "10/01/2026,10/31/2026")
    line = _line(_file(row), date_format="%m/%d/%Y", period_end="inclusive")
    assert (line["period_start"], line["period_end"]) == ("2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z")
    with pytest.raises(QuarantineError, match="row 2: From is '10/01/2026', not a date as ISO 8601"):
        _parse(_file(row))


def test_an_hour_the_clock_skipped_is_refused() -> None:
    row = NODE.replace("2026-10-01,2026-10-02", "2026-03-08 02:30,2026-03-09 00:00")
    with pytest.raises(QuarantineError, match="skipped"):
        _parse(_file(row), timezone="America/New_York")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"columns": {"amount": "Sum", "date": "From"}}, "row 1: no column 'Sum'.*The file has: 'Invoice', 'Item'"),
        ({"columns": {"amount": "Total"}}, "map at least amount, and period_start or date"),
        ({"columns": {"amout": "Total"}}, "settings.columns.amout: no such column of ours"),
        ({"columns": ["Total"]}, "settings.columns is"),
        ({"charge_kind": {"Instance": "gpu"}}, "'Instance' is mapped to 'gpu'. Known: gpu_instance"),
        ({"timezone": "Mars/Olympus"}, "settings.timezone is 'Mars/Olympus'"),
        ({"decimal": ";"}, "settings.decimal is ';'"),
        ({"thousands": "."}, "the same as decimal"),
        ({"delimiter": "::"}, "one character"),
        ({"total_row": {"column": "Item"}}, "exactly `column` and `equals`"),
        ({"total_row": {"column": "Nope", "equals": "x"}}, "no column 'Nope'"),
    ],
)
def test_a_mapping_that_cannot_be_so_names_the_setting(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(QuarantineError, match=says):
        _parse(_file(NODE), **changed)


def test_a_last_row_without_a_line_end_may_be_cut_unless_declared_otherwise() -> None:
    cut = _file(NODE)[:-1]
    with pytest.raises(QuarantineError, match="row 2: the last row has no line end"):
        _parse(cut)
    assert _line(cut, last_line_end="optional")["period_end"] == "2026-10-02T00:00:00Z"


def test_a_dropped_invoice_without_an_id_is_known_by_its_file_name() -> None:
    columns = {name: header for name, header in MAPPING["columns"].items() if name != "invoice_id"}
    dropped = SOURCE.drop("in/2026-10 node.csv", _file(NODE), {**MAPPING, "columns": columns, "base_url": None})
    assert dropped.settings == {**MAPPING, "columns": columns, "invoice_id": "2026-10 node"}
    assert dropped.from_at == datetime(2026, 10, 1, tzinfo=UTC)
    assert dropped.to_at == datetime(2026, 10, 2, tzinfo=UTC)
    (dataset,) = SOURCE.datasets
    assert dataset.parse(_file(NODE), dropped.settings)["lines"]["bucket"].to_list() == ["2026-10 node"]


def test_an_unreadable_drop_still_lands() -> None:
    dropped = SOURCE.drop("inv.csv", b"Invoice,Item\n1", MAPPING)
    assert (dropped.from_at, len(dropped.payloads)) == (None, 1)


def test_delimited_text_is_recognised_and_json_is_not() -> None:
    assert SOURCE.recognise("x", _file(NODE)) == "invoice"
    assert SOURCE.recognise("x", b"a;b;c\n1;2;3\n") == "invoice"
    assert SOURCE.recognise("invoice.csv", b'{"a": 1, "b": 2}') is None
    assert SOURCE.recognise("invoice.csv", b"\x89PNG,\xff") is None


_amounts = st.decimals(min_value=-(10**6), max_value=10**6, places=4, allow_nan=False, allow_infinity=False)


@settings(max_examples=80, deadline=None)
@given(amounts=st.lists(_amounts, min_size=1, max_size=6), data=st.data())
def test_the_sum_is_exact_and_a_cut_that_changes_a_row_is_refused(amounts: list[Decimal], data: st.DataObject) -> None:
    """The amount stands last: a file cut inside it would be a smaller bill."""
    columns = {"invoice_id": "Invoice", "date": "From", "amount": "Total"}
    content = _file(*(f"INV-7,2026-10-01,{amount}" for amount in amounts), header="Invoice,From,Total")
    lines = _parse(content, columns=columns)["lines"]
    assert sum(map(Decimal, lines["amount"])) == sum(amounts)
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    try:
        read = [Decimal(amount) for amount in _parse(cut, columns=columns)["lines"]["amount"]]
    except QuarantineError:
        return
    assert cut.endswith(b"\n")
    assert read == amounts[: len(read)]
