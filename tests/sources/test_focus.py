"""FOCUS files: what is read, exactly; what is refused, with its reason. All of them made here."""

import csv
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, QuarantineError
from pipeline.sources.bulk import exact_decimals
from pipeline.sources.focus import SOURCE
from pipeline.sources.focus_shape import CHARGES
from tests.models.cloud_harness import LINE, focus_csv, line

COSTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
QUANTUM = Decimal(1).scaleb(-18)


def parsed(content: bytes, **settings: Any) -> pl.DataFrame:
    return SOURCE.datasets[0].parse(content, settings)["charges"]


def refused(content: bytes, **settings: Any) -> str:
    with pytest.raises(QuarantineError) as error:
        parsed(content, **settings)
    return str(error.value)


def parquet(columns: Mapping[str, str], folder: Path) -> bytes:
    """A Parquet file of one row: column -> SQL expression."""
    file = folder / "export.parquet"
    said = ", ".join(f'{value} as "{name}"' for name, value in columns.items())
    duckdb.sql(f"copy (select {said}) to '{file}' (format parquet)")
    return file.read_bytes()


def typed_line(**columns: str) -> dict[str, str]:
    """LINE as AWS types it: doubles and timestamps."""
    said = {name: f"'{value}'" for name, value in LINE.items()}
    said |= {name: f"{LINE[name]}::double" for name in COSTS}
    said |= {name: f"timestamp '{value[:-1]}'" for name, value in LINE.items() if name.endswith(("Start", "End"))}
    return {**said, **columns}


# --- what a file is --------------------------------------------------------------------------------------------------


def test_a_file_is_recognised_by_its_header_whatever_packs_or_spells_it(tmp_path: Path) -> None:
    content = focus_csv([line()])
    spellings = (content, content.lower(), b"\xef\xbb\xbf" + content, content.replace(b"BilledCost", b'"Billed Cost"'))
    for spelled in spellings:
        assert SOURCE.recognise("anything", spelled) == "cost_and_usage"
        assert SOURCE.recognise("anything", gzip.compress(spelled)[:200]) == "cost_and_usage"
    assert SOURCE.recognise("anything", parquet(typed_line(), tmp_path)[:100]) == "cost_and_usage"
    for other in (b"Invoice,Item,Amount\n1,2,3\n", b'{"BilledCost": 1}', gzip.compress(b"a,b\n"), b"\x1f\x8bcut"):
        assert SOURCE.recognise("anything", other) is None


cells = st.lists(st.sampled_from(["a", ",", '"', "\n", "\r\n", "\t", "é", " ", "NULL"]), max_size=6).map("".join)
amounts = st.decimals(-(10**9), 10**9, allow_nan=False, places=10).map(lambda number: format(number, "f"))


@given(
    rows=st.lists(st.tuples(amounts, amounts, cells, cells), max_size=8),
    order=st.randoms(use_true_random=False),
    packed=st.booleans(),
    line_end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    respell=st.sampled_from([str, str.lower, str.upper, lambda name: f" {name}"]),
)
def test_a_row_reads_the_same_whatever_the_order_casing_and_packing_of_its_columns(
    rows: list[tuple[str, ...]], order: Any, packed: bool, line_end: str, quoting: Any, respell: Any
) -> None:
    """Class B7: amounts to the last digit, descriptions with commas, quotes and line ends, nulls as nulls."""
    names = ("BilledCost", "EffectiveCost", "ChargeDescription", "x_Note")
    given_lines = [line(**dict(zip(names, row, strict=True))) for row in rows]
    header = [*LINE, "ChargeDescription", "x_Note"]
    order.shuffle(header)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=line_end, quoting=quoting)
    writer.writerow([name if name.startswith("x_") else respell(name) for name in header])
    writer.writerows([one[name] for name in header] for one in given_lines)
    content = text.getvalue().encode()
    frame = parsed(gzip.compress(content) if packed else content)
    assert dict(frame.schema) == CHARGES.schema
    nothing = ("", "NULL", "null")
    assert frame["billed_cost"].to_list() == [Decimal(row[0]) for row in rows]
    assert frame["effective_cost"].to_list() == [Decimal(row[1]) for row in rows]
    assert frame["charge_description"].to_list() == [None if row[2] in nothing else row[2] for row in rows]
    notes = [None if text is None else json.loads(text)["x_Note"] for text in frame["other_columns"]]
    assert notes == [None if row[3] in nothing else row[3] for row in rows]
    assert frame["list_unit_price"].null_count() == len(rows)


def test_a_column_the_file_lacks_is_null_and_never_zero() -> None:
    """Class B20: a cost that is not stated is unknown."""
    billed_only = {name: value for name, value in LINE.items() if name not in COSTS[1:]}
    row = parsed(focus_csv([billed_only])).to_dicts()[0]
    assert (row["billed_cost"], row["effective_cost"], row["list_cost"], row["contracted_cost"]) == (
        1,
        None,
        None,
        None,
    )


def test_what_focus_does_not_name_is_kept() -> None:
    frame = parsed(focus_csv([line(x_Discounts='{"a": "b"}', Id="7"), line()]))
    assert [text and json.loads(text) for text in frame["other_columns"]] == [
        {"Id": "7", "x_Discounts": '{"a": "b"}'},
        None,
    ]


@pytest.mark.parametrize("theirs", ["x_UsageType", "x_SkuMeterName"])
def test_what_is_metered_is_found_where_focus_1_0_has_no_column_for_it(theirs: str) -> None:
    """AWS's usage type, Microsoft's meter name. Where a file has a SkuMeter, that is the meter and both are kept."""
    (found,) = parsed(focus_csv([line(**{theirs: "BoxUsage:g6.xlarge", "x_Note": "1"})])).to_dicts()
    assert (found["sku_meter"], json.loads(found["other_columns"])) == ("BoxUsage:g6.xlarge", {"x_Note": "1"})
    (both,) = parsed(focus_csv([line(**{theirs: "one", "SkuMeter": "other"})])).to_dicts()
    assert (both["sku_meter"], json.loads(both["other_columns"])) == ("other", {theirs: "one"})
    declared = {"columns": {"ResourceId": theirs}}
    assert parsed(focus_csv([line(**{theirs: "i-1"})]), **declared)["sku_meter"].to_list() == [None]


def test_two_columns_of_one_name_are_refused() -> None:
    content = focus_csv([line(billed_cost="2.00")])
    assert refused(content) == "row 1: 'BilledCost' and 'billed_cost' are both BilledCost. Keep one of them."


# --- numbers ---------------------------------------------------------------------------------------------------------

spelled_numbers = st.one_of(
    st.decimals(-(10**20) + 1, 10**20 - 1, allow_nan=False, places=18).map(lambda number: format(number, "f")),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"\A[+-]?[0-9]{1,4}\.?[0-9]{0,4}([eE][+-]?[0-9]{1,2})?\Z"),
)


def decimals_of(*texts: str) -> tuple[list[Decimal], list[str | None] | None] | str:
    """What is read, and the spelling of what was rounded; or why it is refused."""
    try:
        amounts, spelled = exact_decimals(pl.Series("BilledCost", texts))
    except QuarantineError as error:
        return str(error)
    return amounts.to_list(), spelled if spelled is None else spelled.to_list()


@given(spelled_numbers)
def test_a_number_is_read_exactly_or_refused_and_a_double_rounded_at_the_18th_digit(text: str) -> None:
    """Class B7: what DECIMAL(38,18) holds is held; a double's longer spelling is rounded there and handed on."""
    with localcontext() as context:
        context.prec = 2000
        number = Decimal(text)
        significant = len("".join(map(str, number.as_tuple().digits)).strip("0"))
        _, _, exponent = text.upper().partition("E")
        is_spelled_so = len(exponent.lstrip("+-")) <= 3
        rounded = number.quantize(QUANTUM, rounding=ROUND_HALF_EVEN) if is_spelled_so else number
        fits = is_spelled_so and abs(number) < 10**15 and (number == rounded or significant <= 17)
    read = decimals_of("1", text)
    if not fits:
        assert str(read).startswith("row 3: BilledCost is ")
    elif number == rounded:
        assert read == ([1, number], None)
    else:
        assert read == ([1, rounded], [None, text])


def test_a_rounded_double_keeps_its_own_spelling(tmp_path: Path) -> None:
    """Class B7: nothing of what a provider wrote is lost without a trace."""
    tiny = "1.2345678901234567e-05"
    frames = (
        parsed(focus_csv([line(BilledCost=tiny, x_Note="n"), line(x_Note="n")])),
        parsed(parquet(typed_line(BilledCost=f"'{tiny}'::double", x_Note="'n'"), tmp_path)),
    )
    for frame in frames:
        assert frame["billed_cost"][0] == Decimal("0.000012345678901235")
        said = json.loads(frame["other_columns"][0])
        assert said["x_Note"] == "n"
        assert float(said["BilledCost"]) == float(tiny)
    assert json.loads(frames[0]["other_columns"][1]) == {"x_Note": "n"}


def test_a_cost_that_is_left_out_is_unknown_beside_one_with_an_exponent(tmp_path: Path) -> None:
    """Missing is not zero, however the others of its column are spelled."""
    double = "1.2345678901234567e-05"
    frames = (
        parsed(focus_csv([line(ListCost="1e-9"), line(ListCost="")])),
        parsed(parquet(typed_line(ListCost=f"unnest([{double}::double, null])"), tmp_path)),
    )
    for frame in frames:
        assert frame["list_cost"].is_null().to_list() == [False, True]


@pytest.mark.parametrize("text", ["$1.00", "1,000.00", "1.0.0", "1e", "٣", "--1", "nan", "1_000", "0x10", "."])
def test_what_is_no_number_is_refused_with_its_row(text: str) -> None:
    content = focus_csv([line(), line(ListCost=text)])
    assert refused(content) == f"row 3: ListCost is {text!r}, not a decimal number."


def test_a_number_that_cannot_be_held_exactly_is_refused() -> None:
    """Class B7."""
    content = focus_csv([line(BilledCost="0.1234567890123456789")])
    assert refused(content).startswith("row 2: BilledCost is '0.1234567890123456789', which cannot be held exactly")
    assert "which cannot be held exactly" in refused(focus_csv([line(BilledCost="100000000000000000000")]))


@given(st.lists(st.floats(-(10.0**12), 10.0**12).map(lambda number: round(number, 10)), min_size=1, max_size=30))
def test_a_parquet_double_is_the_shortest_decimal_that_reads_as_it(doubles: list[float]) -> None:
    """Class B7: also above 600,000, where ten digits after the point of a product of doubles are no longer exact."""
    frame = pl.DataFrame({**{name: [LINE[name]] * len(doubles) for name in LINE}, "BilledCost": doubles})
    written = io.BytesIO()
    frame.write_parquet(written)
    assert parsed(written.getvalue())["billed_cost"].to_list() == [Decimal(repr(number)) for number in doubles]


@pytest.mark.parametrize(
    ("expression", "amount"),
    [
        ("886470.6717::double", "886470.6717"),
        ("98765432.1::double", "98765432.1"),
        ("15.8150787659::double", "15.8150787659"),
        ("1e-7::double", "0.0000001"),
        ("1.1::float", "1.1"),
        ("0.123456789012345678::decimal(38, 18)", "0.123456789012345678"),
        ("12.5::decimal(5, 1)", "12.5"),
        ("7::integer", "7"),
        ("7::hugeint", "7"),
        ("'-0.00000000729'", "-0.00000000729"),
        ("1.50::decimal(38, 24)", "1.5"),
    ],
)
def test_a_parquet_amount_of_any_type_is_exact(expression: str, amount: str, tmp_path: Path) -> None:
    """Class B7."""
    frame = parsed(parquet(typed_line(BilledCost=expression), tmp_path))
    assert frame["billed_cost"].to_list() == [Decimal(amount)]
    assert frame["other_columns"].to_list() == [None]


def test_a_parquet_amount_that_is_none_is_refused(tmp_path: Path) -> None:
    assert refused(parquet(typed_line(BilledCost="'nan'::double"), tmp_path)).startswith("row 2: BilledCost is 'nan'")
    assert "no BilledCost" in refused(parquet(typed_line(BilledCost="null::double"), tmp_path))
    long = "0.123456789012345678901::decimal(38, 21)"
    assert "cannot be held exactly" in refused(parquet(typed_line(BilledCost=long), tmp_path))


def test_parquet_maps_lists_and_times_read_as_their_csv_does(tmp_path: Path) -> None:
    columns = typed_line(
        Tags="map{'team': 'chat'}",
        x_Discounts="map{'a': 1.5::double}",
        ChargePeriodStart="timestamptz '2026-11-02 06:00:00+02'",
        ChargePeriodEnd="timestamp_ns '2026-11-02 05:00:00'",
        BillingPeriodStart="date '2026-11-01'",
        ListUnitPrice="0.8048::double",
    )
    row = parsed(parquet(columns, tmp_path)).to_dicts()[0]
    assert json.loads(row["tags"]) == {"team": "chat"}
    assert json.loads(json.loads(row["other_columns"])["x_Discounts"]) == {"a": 1.5}
    assert str(row["charge_period_start"]) == "2026-11-02 04:00:00"
    assert str(row["charge_period_end"]) == "2026-11-02 05:00:00"
    assert row["list_unit_price"] == "0.8048"
    assert row["bucket"] == "Cloudy|111122223333|2026-11-01"


# --- times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-02T04:00:00Z", "2026-11-02 04:00:00"),
        ("2026-11-02 04:00:00", "2026-11-02 04:00:00"),
        ("2026-11-02 04:00:00 UTC", "2026-11-02 04:00:00"),
        ("2026-11-02T04:00:00.123Z", "2026-11-02 04:00:00.123000"),
        ("2026-11-02T04:00Z", "2026-11-02 04:00:00"),
        ("2026-11-02T04:00:00+00:00", "2026-11-02 04:00:00"),
        ("2026-11-02T00:30:00+02:00", "2026-11-01 22:30:00"),
        ("2026-11-01T20:00:00-0700", "2026-11-02 03:00:00"),
        ("2026-11-02", "2026-11-02 00:00:00"),
    ],
)
def test_a_moment_is_in_utc_however_it_is_spelled(text: str, moment: str) -> None:
    """Class B8: the day of a charge is the UTC day on which its period starts."""
    row = parsed(focus_csv([line(ChargePeriodStart=text), line()])).to_dicts()[0]
    assert str(row["charge_period_start"]) == moment
    assert str(row["usage_date"]) == moment[:10]


@pytest.mark.parametrize("text", ["11/02/2026", "2026-02-30", "2026-11-02T25:00:00Z", "20261102", "0001-01-01", "soon"])
def test_what_is_no_moment_is_refused_with_its_row(text: str) -> None:
    assert refused(focus_csv([line(), line(ChargePeriodStart=text)])).startswith("row 3: ChargePeriodStart is '")


def test_dates_may_be_spelled_as_declared() -> None:
    said = {name: "11/1/26" for name in LINE if name.endswith(("Start", "End"))}
    assert parsed(focus_csv([line(**said)]), date_format="%m/%d/%y")["usage_date"].to_list() == [date(2026, 11, 1)]
    assert "not a moment as %d.%m.%Y" in refused(focus_csv([line(**said)]), date_format="%d.%m.%Y")


# --- what is refused -------------------------------------------------------------------------------------------------


def test_missing_columns_are_named() -> None:
    absent = ("BilledCost", "BillingCurrency", "ProviderName", "InvoiceIssuerName")
    content = focus_csv([{name: value for name, value in LINE.items() if name not in absent}])
    assert refused(content).startswith(
        "row 1: no column BilledCost, BillingCurrency, ProviderName or ServiceProviderName or InvoiceIssuerName."
    )


def test_a_constant_that_a_file_lacks_may_be_declared() -> None:
    absent = ("BillingAccountId", "BillingCurrency", "ProviderName", "InvoiceIssuerName")
    content = focus_csv([{name: value for name, value in LINE.items() if name not in absent}])
    defaults = {"BillingAccountId": "acme", "BillingCurrency": "eur", "ProviderName": "Neo"}
    row = parsed(content, defaults=defaults).to_dicts()[0]
    assert (row["bucket"], row["billing_currency"]) == ("Neo|acme|2026-11-01", "EUR")
    assert "nothing else" in refused(content, defaults={"BilledCost": "1"})


# What a GPU cloud without FOCUS might hand out.
RENTED = b"""Instance,Type,Started,Ended,GPU hours,Amount,Note
i-1,8x H100 SXM,2026-11-02T04:00:00Z,2026-11-02T05:00:00Z,8.00,21.52,
i-1,8x H100 SXM,2026-12-01T00:00:00Z,2026-12-01T01:00:00Z,8.00,21.52,late
"""
COLUMNS = {
    "ResourceId": "Instance", "SkuMeter": "Type", "ChargePeriodStart": "Started", "ChargePeriodEnd": "Ended",
    "ConsumedQuantity": "GPU hours", "BilledCost": "Amount",
}  # fmt: skip
DEFAULTS = {"BillingAccountId": "acme", "BillingCurrency": "USD", "ProviderName": "Rented"}


def test_any_table_is_read_by_what_somebody_says_of_its_columns() -> None:
    rows = parsed(RENTED, columns=COLUMNS, defaults=DEFAULTS).to_dicts()
    assert [row["billed_cost"] for row in rows] == [Decimal("21.52")] * 2
    assert [(row["usage_date"], row["bucket"]) for row in rows] == [
        (date(2026, 11, 2), "Rented|acme|2026-11-01"),
        (date(2026, 12, 1), "Rented|acme|2026-12-01"),
    ]
    first = rows[0]
    assert (first["resource_id"], first["sku_meter"], first["consumed_quantity"]) == ("i-1", "8x H100 SXM", 8)
    assert {row["charge_category"] for row in rows} == {"Usage"}
    assert first["effective_cost"] is None
    assert [row["other_columns"] and json.loads(row["other_columns"]) for row in rows] == [None, {"Note": "late"}]


def test_the_last_thirty_days_do_not_replace_the_month_in_which_they_begin() -> None:
    """Nobody said what a file holds, and a month is taken as the billing period: of November it has the end alone."""
    late = RENTED.replace(b"2026-11-02", b"2026-11-15")
    message = refused(late, columns=COLUMNS, defaults=DEFAULTS)
    assert message.startswith("Charges are from 2026-11-15 to 2026-12-01, and a month is taken as a billing period")
    assert parsed(late, columns=COLUMNS, defaults=DEFAULTS, files="whole").height == 2
    # What says its billing period says what it is of.
    billed = b"".join(
        row + (b",Billed\n" if number == 0 else b",2026-12-01T00:00:00Z\n")
        for number, row in enumerate(late.splitlines())
    )
    assert parsed(billed, columns={**COLUMNS, "BillingPeriodStart": "Billed"}, defaults=DEFAULTS).height == 2


def test_what_a_header_says_goes_before_what_it_looks_like() -> None:
    """A column of FOCUS's name may hold something else; what it holds is kept."""
    content = focus_csv([line(BilledCost="119.00", net="100.00")])
    (row,) = parsed(content, columns={"BilledCost": "net"}).to_dicts()
    assert row["billed_cost"] == 100
    assert Decimal(json.loads(row["other_columns"])["BilledCost"]) == 119


@given(st.permutations([*COLUMNS.values(), "Note"]), st.data())
def test_the_order_of_declared_columns_changes_nothing(order: list[str], data: st.DataObject) -> None:
    rows = list(csv.DictReader(io.StringIO(RENTED.decode())))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, order)
    writer.writeheader()
    writer.writerows(rows)
    columns = dict(data.draw(st.permutations(list(COLUMNS.items()))))
    again = parsed(text.getvalue().encode(), columns=columns, defaults=DEFAULTS)
    assert again.equals(parsed(RENTED, columns=COLUMNS, defaults=DEFAULTS))


def test_a_file_of_another_kind_is_refused_by_what_it_lacks() -> None:
    message = refused(RENTED.replace(b"Amount", b"Total"), columns=COLUMNS, defaults=DEFAULTS)
    assert message.startswith(
        "row 1: no column 'Amount', which settings.columns names. The file has 'Instance', 'Type'"
    )
    without = {name: header for name, header in COLUMNS.items() if name != "BilledCost"}
    assert refused(RENTED, columns=without, defaults=DEFAULTS).startswith("row 1: no column BilledCost.")
    spelled = refused(RENTED.replace(b"21.52", b"x", 1), columns=COLUMNS, defaults=DEFAULTS)
    assert spelled == "row 2: Amount is 'x', not a decimal number."


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"columns": ["BilledCost"]}, "It maps FOCUS's names to headers of the file."),
        ({"columns": {"Amount": "BilledCost"}}, "settings.columns.Amount is 'BilledCost'. It gives the file's own"),
        ({"columns": {"BilledCost": ""}}, "settings.columns.BilledCost is ''"),
        ({"columns": {"BilledCost": "Sum", "ListCost": "Sum"}}, "settings.columns.BilledCost is 'Sum'. So is another"),
        ({"columns": COLUMNS, "defaults": {"ChargeCategory": "Rent"}}, "ChargeCategory is 'Rent'. It is one of Usage,"),
        ({"columns": COLUMNS, "measure": "rated"}, "settings.measure is 'rated'."),
        ({"columns": False}, "It maps FOCUS's names to headers of the file."),
        ({"defaults": []}, "It maps columns to text."),
        ({"date_format": 5}, "settings.date_format is 5. It is text."),
        ({"last_line_end": "no"}, "settings.last_line_end is 'no'. It is 'required' or 'optional'."),
    ],
)
def test_what_cannot_be_declared_is_refused_before_any_file_comes(settings: dict[str, Any], why: str) -> None:
    assert why in refused(RENTED, **settings)
    assert SOURCE.check is not None
    with pytest.raises(ConfigError) as error:
        SOURCE.check(settings, ())
    assert why in " ".join(str(error.value).split())


@pytest.mark.parametrize("name", ["BilledCost", "BillingCurrency", "BillingAccountId", "ChargeCategory"])
def test_a_row_that_leaves_out_what_a_charge_needs_is_refused(name: str) -> None:
    """B23, B24: no amount is booked in a guessed currency or as 0."""
    content = focus_csv([line(), line(**{name: "NULL"}), line(**{name: ""})])
    assert refused(content).startswith(f"row 3: no {name}, as in 2 of 3 rows.")


def test_only_whole_files_are_read() -> None:
    """B24: a file cut at any byte is refused, or ends between two rows: that cannot be seen."""
    content = focus_csv([line(ChargeDescription="a, b", x_Note="z"), line(BilledCost="22.50", x_Note="y"), line()])
    whole = {}
    for length in range(len(content)):
        try:
            whole[length] = parsed(content[:length]).height
        except QuarantineError:
            continue
    ends = [at + 2 for at in range(len(content)) if content[at : at + 2] == b"\r\n"]
    assert {length for length in whole if content[:length].endswith(b"\r\n")} == set(ends) - {len(content)}
    assert all(whole[length] in (0, 1, 2) for length in whole)
    packed = gzip.compress(content)
    assert {refused(packed[:length])[:10] for length in range(2, len(packed))} == {"Not a read"}


def test_a_row_with_fewer_or_more_cells_than_the_header_is_refused() -> None:
    content = focus_csv([line(Tags=""), line(Tags=""), line(Tags="")])
    rows = content.split(b"\r\n")
    short = b"\r\n".join([*rows[:2], rows[2][:-1], *rows[3:]])
    assert refused(short).startswith("row 3: 14 cells where the header has 15.")
    assert refused(content.replace(rows[2], rows[2] + b",", 1)).startswith("row 2: 16 cells")
    assert parsed(content.replace(b"\r\n", b"\r\n\r\n")).height == 3


@given(st.data())
def test_no_bytes_crash_the_reader(data: st.DataObject) -> None:
    """What cannot be read is quarantined, whatever it is: a whole file with a few bytes changed, or anything at all."""
    content = focus_csv([line(Tags='{"a": "b, c"}'), line(ChargeDescription="x\ny")])
    at = data.draw(st.integers(0, len(content)))
    noise = data.draw(
        st.binary(max_size=4) | st.sampled_from([b'"', b"\n", b",", b"\r", b"\x00", b"PAR1", b"\x1f\x8b"])
    )
    mangled = data.draw(st.sampled_from([content[:at] + noise + content[at:], content[:at] + noise, noise + content]))
    try:
        frame = parsed(mangled)
    except QuarantineError:
        return
    assert dict(frame.schema) == CHARGES.schema


def gateway_lines() -> list[dict[str, str]]:
    """As LiteLLM exports what it thinks was spent: a key is the billing account, requests are what is consumed."""
    estimate = {"BillingAccountType": "API Key", "ConsumedUnit": "Requests", "ConsumedQuantity": "112.0"}
    return [
        line(**estimate, BillingAccountId="ab" * 32, Tags='{"model": "m", "custom_llm_provider": "anthropic"}'),
        line(**estimate, BillingAccountId="", Tags="{}"),
    ]


@pytest.mark.parametrize("kept", [{"BillingAccountType"}, {"Tags"}, {"ConsumedUnit", "ConsumedQuantity"}])
def test_what_a_gateway_rated_is_refused_as_a_bill_and_says_what_to_do(kept: set[str]) -> None:
    """Class B22: a gateway's estimate beside the provider's bill would be the same money twice."""
    lines = [{name: value for name, value in one.items() if name in LINE or name in kept} for one in gateway_lines()]
    message = refused(focus_csv(lines))
    assert "a gateway (as LiteLLM) wrote this" in message
    assert "take the provider's own (anthropic_cost_api, openai_costs_api, aws_cur2, ...)" in message
    assert "What somebody rated is no bill" in refused(focus_csv([line()]), measure="rated")


def test_requests_of_a_provider_are_no_gateway() -> None:
    """The genuine FOCUS files bill requests too (queues, load balancers)."""
    assert parsed(focus_csv([line(ConsumedUnit="Requests", BillingAccountType="Payer Account")])).height == 1


# --- what a file restates --------------------------------------------------------------------------------------------


def dropped(name: str, content: bytes = b"", **settings: Any) -> Mapping[str, Any]:
    return SOURCE.drop(name, content, settings).settings


@pytest.mark.parametrize(
    "name",
    [
        "e-00001.csv.gz",
        "run/part_0_0001.parquet",
        "part-00003-uuid.snappy.parquet",
        "x-000000000002.csv",
        "x_1_of_3.csv",
    ],
)
def test_a_file_numbered_as_one_of_several_is_refused_unless_declared_a_part(name: str) -> None:
    """Class B9: alone it would replace the other parts, or count beside a stale one."""
    content = focus_csv([line()])
    assert refused(content, **dropped(name)).startswith(f"{name!r} is numbered as one of several files.")
    buckets = parsed(content, **dropped(name, files="parts"))["bucket"].to_list()
    assert [bucket.split("|")[:3] for bucket in buckets] == [["Cloudy", "111122223333", "2026-11-01"]]
    assert buckets[0].split("|")[3] in name


@pytest.mark.parametrize("name", ["focus-2026-11.csv", "focus_202611.csv", "department2.csv", "b-20261102T051122Z.csv"])
def test_a_month_or_a_stamp_in_a_name_is_no_part_number(name: str) -> None:
    assert parsed(focus_csv([line()]), **dropped(name)).height == 1


def test_one_later_day_of_a_period_is_refused_until_somebody_says_what_it_is() -> None:
    """Class B9, B24: one day's file of many would silently replace the days before it."""
    content = focus_csv([line(ChargePeriodStart=f"2026-11-17T{hour:02d}:00:00Z") for hour in range(3)])
    assert "All 3 rows are charges of 2026-11-17, in a billing period that starts 2026-11-01." in refused(content)
    assert parsed(content, files="whole")["bucket"].unique().to_list() == ["Cloudy|111122223333|2026-11-01"]
    assert parsed(content, **dropped("a/2026-11-17.csv", files="parts"))["bucket"][0].endswith("|a/2026-11-17")
    assert parsed(content + focus_csv([line()]).split(b"\r\n", 1)[1]).height == 4


def test_the_provider_stays_the_same_bucket_from_1_0_to_1_4() -> None:
    """Class B9: 1.3 names the service's provider too, 1.4 no other; an issuer may change and the bucket must not."""
    without = {name: value for name, value in LINE.items() if name != "ProviderName"}
    files: Sequence[Mapping[str, str]] = (
        line(),
        line(InvoiceIssuerName="Cloudy EMEA SARL"),
        line(ServiceProviderName="Cloudy"),
        {**without, "ServiceProviderName": "Cloudy"},
    )
    assert {parsed(focus_csv([one]))["bucket"][0] for one in files} == {"Cloudy|111122223333|2026-11-01"}


def test_a_file_listed_for_another_billing_period_is_refused() -> None:
    message = refused(focus_csv([line()]), billing_period="2026-10")
    assert message.startswith("1 rows are of the billing period that starts 2026-11-01 00:00:00")
    assert parsed(focus_csv([line()]), billing_period="2026-11").height == 1


def test_a_file_is_stated_when_its_name_says_so() -> None:
    stamped = SOURCE.drop("run-20261102T051122Z/focus.csv", b"", {})
    assert (stamped.stated_at, stamped.stated_by) == (datetime(2026, 11, 2, 5, 11, 22, tzinfo=UTC), "file_name")
    assert SOURCE.drop("focus-2026-11.csv", b"", {}).stated_at is None


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"files": "some"}, "settings.files is 'some'. It is 'whole' or 'parts'."),
        ({"last_line_end": True}, "settings.last_line_end is True. It is text."),
        ({"defaults": "USD"}, "settings.defaults is 'USD'. It maps columns to text."),
        ({"date_format": 7}, "settings.date_format is 7. It is text."),
    ],
)
def test_a_setting_that_cannot_be_so_is_named(settings: dict[str, Any], why: str) -> None:
    assert refused(focus_csv([line()]), **settings) == why
