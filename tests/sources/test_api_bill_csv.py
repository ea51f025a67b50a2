"""Any API's bill with tokens, by a declared mapping: nothing guessed, nothing dropped, every row's money kept whole."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, QuarantineError
from pipeline.sources.api_bill import Charge, frame_of
from pipeline.sources.api_bill_csv import LINES, SOURCE, check, drop, parse

ROOT = Path(__file__).parents[2]
WIDE: Mapping[str, Any] = {
    "provider": "groq",
    "currency": "usd",
    "columns": {
        "date": "Day", "model": "Model", "api_key": "Key", "project": "Project", "amount": "Cost",
        "input": "Prompt", "input_cache_read": "Cached", "output": "Completion",
    },
}  # fmt: skip
LONG: Mapping[str, Any] = {
    "provider": "xai",
    "amounts": "cents",
    "columns": {
        "date": "at", "model": "model", "amount": "cents", "currency": "ccy", "token_class": "kind",
        "quantity": "qty", "unit": "unit",
    },
    "token_classes": {"Prompt": "input_uncached", "Completion": "output", "Search": "other"},
    "units": {"tok": "tokens", "1M tok": "1000000_tokens"},
}  # fmt: skip
HEADER = "Day,Model,Key,Project,Cost,Prompt,Cached,Completion,Requests\n"


def wide(*rows: str, header: str = HEADER, **more: Any) -> list[dict[str, Any]]:
    return parse("".join((header, *(f"{row}\n" for row in rows))).encode(), {**WIDE, **more})[LINES.name].to_dicts()


def long(*rows: str) -> list[dict[str, Any]]:
    header = "at,model,cents,ccy,kind,qty,unit\n"
    return parse("".join((header, *(f"{row}\n" for row in rows))).encode(), LONG)[LINES.name].to_dicts()


def told(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def test_a_row_of_one_amount_is_a_line_a_class_and_says_that_it_was_split_by_count() -> None:
    """B1, B3: the prompt holds what is cached; the parts are the amount, to the last unit."""
    rows = wide("2026-11-03,llama-3.3-70b,k1,p1,0.10,600,250,50,7")
    assert told(rows, "token_class", "tokens", "class_split") == [
        ("input_uncached", 350, "token_count"),
        ("input_cache_read", 250, "token_count"),
        ("output", 50, "token_count"),
    ]
    assert sum(Decimal(row["amount"]) for row in rows) == Decimal("0.10")
    assert told(rows, "provider", "api_key_id", "sub_account_id", "currency", "charge_kind")[0] == (
        "groq", "k1", "p1", "USD", "tokens",
    )  # fmt: skip
    assert [row["other_columns"] for row in rows] == ['{"Requests": "7"}', None, None]


@settings(max_examples=60, deadline=None)
@given(
    quanta=st.integers(-(10**30), 10**30),
    counts=st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.integers(0, 10**12), max_size=4),
)
def test_the_lines_of_a_row_sum_to_its_amount_and_hold_its_tokens(quanta: int, counts: dict[str, int]) -> None:
    """B12: whatever the classes and the sign, no quantum is lost or made."""
    amount = format(Decimal(f"{quanta}e-18"), "f")
    charge = Charge(day=date(2026, 11, 3), provider="x", amount=amount, currency="USD", counts=counts)
    frame = frame_of([("row 2", charge)])
    assert sum(Decimal(part).scaleb(18) for part in frame["amount"]) == quanta
    assert frame["tokens"].sum() == sum(counts.values())
    assert frame["currency"].unique().to_list() == ["USD"]


def test_a_row_a_class_keeps_its_own_amount_and_units_are_converted() -> None:
    """B7: cents and millions; what is no token, or in a unit nobody declared, is money without tokens, and kept."""
    rows = long(
        "2026-11-03T01:00:00+02:00,grok-4,12.5,USD,Prompt,0.25,1M tok",
        "2026-11-03,grok-4,3,USD,Completion,1200,tok",
        "2026-11-03,grok-4,1,USD,Search,5,tok",
        "2026-11-03,grok-4,1,USD,Images,5,tok",
        "2026-11-03,grok-4,1,USD,Prompt,5,GB",
        "2026-11-03,grok-4,-2,USD,Prompt,-5,tok",
    )
    assert told(rows, "usage_date", "token_class", "tokens", "amount", "class_split", "description") == [
        (date(2026, 11, 2), "input_uncached", 250_000, "0.125", "billed", None),
        (date(2026, 11, 3), "output", 1200, "0.03", "billed", None),
        (date(2026, 11, 3), None, None, "0.01", None, "Search"),
        (date(2026, 11, 3), None, None, "0.01", None, "Images"),
        (date(2026, 11, 3), None, None, "0.01", None, "Prompt"),
        (date(2026, 11, 3), None, None, "-0.02", None, "Prompt"),
    ]
    assert rows[4]["other_columns"] == '{"kind": "Prompt", "qty": "5", "unit": "GB"}'


def test_more_cached_than_there_is_of_a_prompt_leaves_it_whole() -> None:
    """B3: nobody can say which part of it was cached."""
    rows = wide("2026-11-03,llama,,,1,10,11,0,")
    assert told(rows, "token_class", "tokens") == [("input", 10)]
    assert told(wide("2026-11-03,llama,,,1,10,,0,"), "token_class", "tokens") == [("input", 10)]


def test_a_row_without_tokens_is_a_charge_without_tokens() -> None:
    """B4: a minimum fee has no tokens, not 0 of them; a float's last digits are kept as they were spelled."""
    (row,) = wide("2026-11-03,,,,0.0000000000000000033,,,,")
    assert (row["charge_kind"], row["tokens"], row["model"]) == ("other", None, None)
    assert row["amount"] == "0.000000000000000003"
    assert "0.0000000000000000033" in row["other_columns"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("2026-11-03,m,,,,1,,1,", "row 2: Cost is blank. A row without an amount is not 0"),
        ("3 Nov,m,,,1,1,,1,", "row 2: Day is '3 Nov', not a date as ISO 8601"),
        ("2026-11-03,m,,,1,0.5,,1,", "row 2: Prompt is '0.5', not a count"),
        ("2026-11-03,m,,,$1,1,,1,", "row 2: Cost is '\\$1', not a decimal number"),
        ("2026-11-03,m,,,1,9223372036854775807,,1,", "not a count"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_row(row: str, words: str) -> None:
    with pytest.raises(QuarantineError, match=words):
        wide(row)


def test_more_tokens_than_a_day_has_are_refused_though_their_millions_are_a_number() -> None:
    with pytest.raises(QuarantineError, match="row 2: 2000000000000000 tokens, more than a day has"):
        long("2026-11-03,grok-4,1,USD,Prompt,2000000000,1M tok")


def test_a_file_that_lacks_a_declared_column_is_another_kind_of_file() -> None:
    """B24."""
    with pytest.raises(QuarantineError, match=r"no column 'Cached', which settings\.columns names"):
        wide("2026-11-03,m,,,1,1,1", header="Day,Model,Key,Project,Cost,Prompt,Completion\n")


def test_a_file_speaks_for_the_days_in_its_name_else_for_those_of_its_rows() -> None:
    content = f"{HEADER}2026-11-03,m,,,1,1,,1,\n2026-11-05,m,,,1,1,,1,\n".encode()
    by_rows = drop("usage.csv", content, WIDE)
    by_name = drop("usage_2026-11-01_2026-11-30_20261201T080000Z.csv", content, WIDE)
    assert (by_rows.from_at, by_rows.to_at) == (datetime(2026, 11, 3, tzinfo=UTC), datetime(2026, 11, 6, tzinfo=UTC))
    assert (by_name.from_at, by_name.to_at) == (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    assert by_name.stated_at == datetime(2026, 12, 1, 8, tzinfo=UTC)
    outside = drop("usage_2026-10-01_2026-10-31.csv", content, WIDE)
    with pytest.raises(QuarantineError, match="outside the window"):
        SOURCE.datasets[0].parse(content, outside.settings)


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ({"provider": "Groq"}, "provider"),
        ({"columns": {"date": "Day"}}, "columns"),
        ({"columns": {**WIDE["columns"], "price": "Price"}}, r"columns\.price"),
        ({"columns": {**WIDE["columns"], "input_uncached": "Fresh"}}, r"columns\.input"),
        ({"columns": {**WIDE["columns"], "output": "Prompt"}}, r"columns\.(input|output)"),
        ({"columns": {**WIDE["columns"], "token_class": "Kind", "quantity": "Q"}}, "columns"),
        ({"columns": {"date": "d", "amount": "a", "quantity": "q"}}, "columns"),
        ({"token_classes": {"Prompt": "prompts"}}, r"token_classes\.Prompt"),
        ({"unit": "kilotokens"}, "unit"),
        ({"units": {"tok": "tokens"}}, "units"),
        ({"amounts": "mills"}, "amounts"),
        ({"timezone": "Moon/Base"}, "timezone"),
        ({"delimiter": "::"}, "delimiter"),
    ],
)
def test_settings_that_cannot_be_so_are_refused_before_any_file(said: dict[str, Any], key: str) -> None:
    check(WIDE, ())
    check(LONG, ())
    with pytest.raises(ConfigError, match=rf"settings\.{key}"):
        check({**WIDE, **said}, ())


def test_a_declared_day_format_and_delimiter_are_read() -> None:
    content = b"Tag;Modell;Betrag;Ausgabe\n03.11.2026;m;1.5;10\n"
    said = {
        "provider": "other",
        "currency": "EUR",
        "date_format": "%d.%m.%Y",
        "delimiter": ";",
        "columns": {"date": "Tag", "model": "Modell", "amount": "Betrag", "output": "Ausgabe"},
    }
    frame = parse(content, said)[LINES.name]
    assert frame.select("usage_date", "amount", "currency", "tokens", "class_split").row(0) == (
        date(2026, 11, 3), "1.5", "EUR", 10, "billed",
    )  # fmt: skip
    assert dict(frame.schema) == LINES.schema
    assert isinstance(frame, pl.DataFrame)


def of_readme(account: str) -> dict[str, Any]:
    """The settings that the README gives as an example for this account."""
    blocks = (ROOT / "README.md").read_text(encoding="utf-8").split("```yaml\n")[1:]
    examples = [
        example
        for block in blocks
        if "api_bill_csv" in (text := block.partition("```")[0])
        for example in yaml.safe_load(text)["sources"]
        if example["account"] == account and example["source"] == SOURCE.name
    ]
    (found,) = examples
    return dict(found["settings"])


@pytest.mark.parametrize(
    ("account", "file", "classes", "total"),
    [
        (
            "groq",
            "Day,Model,Key,Cost,Prompt tokens,Completion tokens\n2026-11-03,m,k1,1.38,2000000,250000\n",
            [("input", 2_000_000), ("output", 250_000)],
            "1.38",
        ),
        (
            "together",
            "Date,Model,Project,Amount,Type,Millions\n2026-11-03,m,p1,1.76,Input,2.000001\n"
            "2026-11-03,m,p1,0.22,Output,0.25\n2026-11-03,m,p1,0.40,Fine-tuning,3\n",
            [("input_uncached", 2_000_001), ("output", 250_000), (None, None)],
            "2.38",
        ),
        (
            "xai",
            "Date,Model,Cents,Unit type,Units\n2026-11-03,m,600,Prompt,2000000\n2026-11-03,m,7.5,Cached prompt,100000\n"
            "2026-11-03,m,375,Completion,250000\n2026-11-03,m,2.5,Live search,1\n",
            [("input_uncached", 2_000_000), ("input_cache_read", 100_000), ("output", 250_000), (None, None)],
            "9.85",
        ),
    ],
)
def test_what_the_readme_declares_for_a_provider_reads_such_a_file(
    account: str, file: str, classes: list[tuple[str | None, int | None]], total: str
) -> None:
    said = of_readme(account)
    check(said, ())
    rows = parse(file.encode(), said)[LINES.name].to_dicts()
    assert told(rows, "token_class", "tokens") == classes
    assert sum(Decimal(row["amount"]) for row in rows) == Decimal(total)
    assert {(row["provider"], row["currency"]) for row in rows} == {(account, "USD")}
