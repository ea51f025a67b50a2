"""What deliveries charge, added up when they are read: exactly, by what counts, and beside every SQL model."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.build import object_index
from pipeline.build.landed_tables import Landed, read_landed
from pipeline.build.object_index import Stated, index_parquet
from pipeline.build.parsed import Unread, parse_object
from pipeline.errors import BuildError, QuarantineError
from pipeline.landing.dataset import Frames, Money, Table
from pipeline.landing.fetched import Fetched, Payload
from pipeline.landing.records import LandedObject
from tests.build.small_graph import BILLS, COSTS, SmallProject, noon

DOLLARS = Money(home="api", amount="amount", currency="USD")
CENTS = Money(home="api", amount="amount", currency_column="currency", decimal_places=2)
LINES = Table(name="lines", columns={"amount": pl.String(), "currency": pl.String()}, money=CENTS)
DAY = date(2026, 11, 3)

Line = tuple[str, date, str | None, str | None]


def indexed(folder: Path, lines: Sequence[Line], table: Table = LINES) -> dict[tuple[str, date], tuple[Stated, ...]]:
    """(bucket, day) -> what its lines (bucket, day, amount, currency) charge."""
    rows = [(bucket, day, amount, currency, None) for bucket, day, amount, currency in lines]
    file = folder / "lines.parquet"
    pl.DataFrame(rows, schema=table.schema, orient="row").write_parquet(file)
    return {(part.bucket, part.usage_date): part.money for part in index_parquet(file, table).parts}


def test_cents_are_added_up_as_quanta_of_their_currency_by_bucket_and_day(tmp_path: Path) -> None:
    """B7, B23: "123.45" cents is 1.2345 dollars; currencies, days and buckets stay apart; a null charges nothing."""
    lines: list[Line] = [
        ("a", DAY, "123.45", "USD"),
        ("a", DAY, "-0.0000000000000001", "USD"),
        ("a", DAY, "7", "EUR"),
        ("a", DAY, None, "GBP"),
        ("b", DAY, "+.5", None),
        ("b", date(2026, 11, 4), None, "USD"),
    ]
    assert indexed(tmp_path, lines) == {
        ("a", DAY): (Stated("EUR", 7 * 10**16), Stated("USD", 12345 * 10**14 - 1)),
        ("b", DAY): (Stated(None, 5 * 10**15),),
        ("b", date(2026, 11, 4)): (),
    }


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    lines=st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.integers(1, 3).map(lambda day: date(2026, 11, day)),
            st.one_of(
                st.none(),
                st.integers(-(10**9), 10**9).map(str),
                st.integers(-(10**17), 10**17).map(lambda number: f"{Decimal(number).scaleb(-8):f}"),
                st.integers(-(10**30), 10**30).map(lambda number: f"{Decimal(f'{number}e-16'):f}"),
            ),
            st.sampled_from(["USD", "EUR"]),
        ),
        max_size=30,
    )
)
def test_the_sum_of_any_texts_is_the_sum_of_fractions(tmp_path_factory: pytest.TempPathFactory, lines: list) -> None:
    """B7, B9: short and long texts, refunds, equal lines; nothing is rounded, merged or lost."""
    expected: dict[tuple[str, date], dict[str, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for bucket, day, amount, currency in lines:
        expected[bucket, day]
        if amount is not None:
            expected[bucket, day][currency] += Fraction(amount) / 100
    found = indexed(tmp_path_factory.mktemp("lines"), lines)
    assert {
        key: {stated.currency: Fraction(stated.quanta, 10**18) for stated in held} for key, held in found.items()
    } == (expected)


def test_ten_million_rows_sum_exactly(tmp_path: Path) -> None:
    """B7: where a float would have lost the cents."""
    table = replace(LINES, money=replace(CENTS, decimal_places=0))
    file = tmp_path / "lines.parquet"
    line = pl.DataFrame([("a", DAY, "0.1", "USD", None)], schema=table.schema, orient="row")
    line.select(pl.all().repeat_by(10_000_000).explode()).write_parquet(file)
    assert index_parquet(file, table).parts[0].money == (Stated("USD", 10**24),)


def test_decimal_columns_are_added_up_as_they_are(tmp_path: Path) -> None:
    """B7: an export whose amounts arrive as decimals declares the same."""
    table = Table(name="lines", columns={"amount": pl.Decimal(38, 18), "currency": pl.String()}, money=CENTS)
    rows = [("a", DAY, Decimal("1.5"), "USD", None), ("a", DAY, Decimal("99999999999.25"), "USD", None)]
    file = tmp_path / "lines.parquet"
    pl.DataFrame(rows, schema=table.schema, orient="row").write_parquet(file)
    assert index_parquet(file, table).parts[0].money == (Stated("USD", 100000000000_75 * 10**14),)


@pytest.mark.parametrize(
    "amounts",
    [
        ["1.0000000000000000001"],
        ["123456789012345678901"],
        ["0.00000000000000001"],
        ["99999999999999999999"] * 3,
        ["1,50"],
        ["1e5"],
        ["NaN"],
        [""],
    ],
    ids=["19 places", "21 digits", "17 places of a cent", "the sum", "comma", "exponent", "not a number", "empty"],
)
def test_an_amount_that_cannot_be_held_exactly_is_refused_rather_than_rounded(
    tmp_path: Path, amounts: list[str]
) -> None:
    """B7: neither a reader that let it pass nor a sum may round money in silence."""
    with pytest.raises(QuarantineError, match=r"lines.*amount.*at most 20 digits before and 18 after"):
        indexed(tmp_path, [("a", DAY, amount, "USD") for amount in amounts])


@pytest.mark.parametrize("amounts", [["999999999999999.99", "0.01"], ["1000000000000000", "-1000000000000000"]])
def test_an_amount_and_a_sum_that_no_bill_says_are_refused(tmp_path: Path, amounts: list[str]) -> None:
    """B12: sums of what no table holds would end every build; also where the lines cancel on their day."""
    dollars = replace(LINES, money=replace(CENTS, decimal_places=0))
    with pytest.raises(QuarantineError, match="amount comes to 1,000,000,000,000,000 USD, more than any bill says"):
        indexed(tmp_path, [("a", DAY, amount, "USD") for amount in amounts], dollars)


# --- what counts -----------------------------------------------------------------------------------------------------


def landed_of(project: SmallProject, *, as_of: str = "2026-11-15", money: Money | None = DOLLARS) -> Landed:
    bills = replace(BILLS, tables=(replace(COSTS, money=money),))
    return read_landed(
        project.landing.contents().as_of(noon(as_of)),
        datasets=(bills,),
        landing=project.landing,
        cache=project.paths.cache,
        as_of=noon(as_of),
    )


def money_of(landed: Landed) -> list[tuple[object, ...]]:
    frame = landed.relations["landed_money"].frame  # type: ignore[attr-defined]
    return sorted(frame.rows())


def row(day: int, account: str, amount: str) -> tuple[object, ...]:
    return date(2026, 11, day), "bills", "bill", account, "api", "USD", Decimal(amount)


def land(project: SmallProject, rows: Iterable[tuple[str, str]], *, stated: str, account: str = "acme") -> None:
    lines = [(day, "item", amount) for day, amount in rows]
    project.land_costs(lines, days=("2026-11-01", "2026-11-04"), stated=noon(stated), account=account)


def test_only_the_rows_that_count_are_money(tmp_path: Path) -> None:
    """B9, B10: of two deliveries of the same days the newer is the bill; a past moment sees the one before."""
    project = SmallProject(tmp_path)
    land(project, [("2026-11-01", "10"), ("2026-11-02", "5")], stated="2026-11-05")
    land(project, [("2026-11-01", "10"), ("2026-11-02", "4.50"), ("2026-11-02", "-1")], stated="2026-11-06")
    land(project, [("2026-11-01", "3")], stated="2026-11-05", account="labs")
    assert money_of(landed_of(project)) == [row(1, "acme", "10"), row(1, "labs", "3"), row(2, "acme", "3.5")]
    before = money_of(landed_of(project, as_of="2026-11-06"))
    assert before == [row(1, "acme", "10"), row(1, "labs", "3"), row(2, "acme", "5")]


@pytest.mark.parametrize(
    "error",
    [
        TypeError("no Int64"),
        OverflowError("date value out of range"),
        ValueError("surrogates not allowed"),
        RecursionError("nested"),
        IndexError("no such row"),
        InvalidOperation("quantize"),
        pl.exceptions.ColumnNotFoundError("usage_start_time"),
    ],
)
def test_an_object_that_no_reader_foresaw_is_quarantined_and_ends_nothing(tmp_path: Path, error: Exception) -> None:
    def parse(content: bytes, settings: object) -> Frames:
        raise error

    landed = LandedObject(sha256="0" * 64, size_bytes=1, name="bill", media_type="")
    unread = Unread(landed=landed, dataset=replace(BILLS, parse=parse), settings={}, folder=tmp_path / "0")
    said = parse_object(unread, b"x")
    assert said.tables == {}
    assert f"{type(error).__name__}: {error}" in str(said.error)


def test_an_object_with_an_inexact_amount_is_quarantined_and_the_others_count(tmp_path: Path) -> None:
    """B7: the account's bad file is listed with its reason; what was stated before still counts."""
    project = SmallProject(tmp_path)
    land(project, [("2026-11-01", "10")], stated="2026-11-05")
    land(project, [("2026-11-01", "0.0000000000000000001")], stated="2026-11-06")
    landed = landed_of(project)
    assert money_of(landed) == [row(1, "acme", "10")]
    assert "amount '0.0000000000000000001' cannot be held exactly" in landed.quarantined[0].reason


def test_a_day_of_several_objects_that_is_too_much_names_its_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B7: never a wrapped sum, also if nobody refused the amounts of each object, as readers do long before."""
    monkeypatch.setattr(object_index, "TOO_MUCH_MONEY", 10**20)
    project = SmallProject(tmp_path)
    most = "99999999999999999999"
    fetched = [json.dumps([{"day": "2026-11-01", "item": name, "amount": most}]).encode() for name in "ab"]
    project.landing.land(
        Fetched(
            dataset="bill",
            payloads=tuple(Payload(name=f"{at}.json", content=content) for at, content in enumerate(fetched)),
            from_at=noon("2026-10-31"),
            to_at=noon("2026-11-03"),
            stated_at=noon("2026-11-05"),
        ),
        source="bills",
        account="acme",
        now=noon("2026-11-05"),
    )
    with pytest.raises(BuildError, match="bills/acme: 2026-11-01 comes to 199999999999999999998 USD"):
        landed_of(project)


def test_a_table_that_declares_its_money_later_is_read_again(tmp_path: Path) -> None:
    """B11: an index made without the declaration, or by an older release, knows no money: it is not taken for none."""
    project = SmallProject(tmp_path)
    land(project, [("2026-11-01", "10")], stated="2026-11-05")
    assert money_of(landed_of(project, money=None)) == []
    assert money_of(landed_of(project)) == [row(1, "acme", "10")]
    assert money_of(landed_of(project, money=replace(DOLLARS, decimal_places=2))) == [row(1, "acme", "0.1")]


def test_an_index_of_an_older_format_is_made_again_without_being_asked(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    land(project, [("2026-11-01", "10")], stated="2026-11-05")
    landed_of(project)
    [index] = project.paths.cache.glob("parsed/*/*/*/parsed.json")
    old = json.loads(index.read_bytes())
    old["format"] = "breakeven.parsed/1"
    for table in old["tables"].values():
        table["parts"] = [part[:4] for part in table["parts"]]
    index.write_text(json.dumps(old))
    assert money_of(landed_of(project)) == [row(1, "acme", "10")]
