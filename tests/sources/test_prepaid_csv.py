"""What somebody writes down of a prepaid account: read as it stands, or refused with its row."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigError, QuarantineError
from pipeline.sources.prepaid_csv import SOURCE, check, drop, parse
from pipeline.sources.recognise import recognise_bytes
from tests.pipeline.small_project import SmallProject, source

HEADER = "date,entry,amount,currency,reference,note\n"


def entries(*rows: str) -> list[dict[str, Any]]:
    content = "".join((HEADER, *(f"{row}\n" for row in rows))).encode()
    return parse(content, {"issuer": "openrouter", "file": "2026"})["entries"].to_dicts()


def test_every_entry_is_kept_as_it_is_spelled() -> None:
    rows = entries("2026-10-31,balance,-1.50,USD,,", "2026-11-03,purchase,500.00,USD,R-1,card of marketing")
    assert [(row["usage_date"], row["entry"], row["amount"], row["reference"]) for row in rows] == [
        (date(2026, 10, 31), "balance", "-1.50", None),
        (date(2026, 11, 3), "purchase", "500.00", "R-1"),
    ]
    assert {(row["issuer"], row["bucket"]) for row in rows} == {("openrouter", "2026")}
    assert rows[1]["other_columns"] == '{"note": "card of marketing"}'


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("2026-11-03,bought,1,USD,,", "row 2: entry is 'bought'. It is one of balance, purchase"),
        ("2026-11-03,purchase,-1,USD,,", "row 2: purchase is -1, below 0"),
        ("2026-11-03,purchase,,USD,,", "row 2: amount is ''"),
        ("2026-11-03,purchase,1,dollars,,", "row 2: the currency is 'dollars'"),
        ("3.11.2026,purchase,1,USD,,", "row 2: date is '3.11.2026'"),
    ],
)
def test_an_entry_that_cannot_be_so_is_refused_with_its_row(row: str, words: str) -> None:
    with pytest.raises(QuarantineError, match=words):
        entries(row)


def test_a_day_ends_with_one_balance_a_currency() -> None:
    assert len(entries("2026-11-03,balance,1,USD,,", "2026-11-03,balance,1,EUR,,")) == 2
    with pytest.raises(QuarantineError, match="row 3: a second balance of 2026-11-03 in USD"):
        entries("2026-11-03,balance,1,USD,,", "2026-11-03,balance,1,USD,,")


def test_a_file_is_what_it_says_until_one_of_its_name_says_otherwise() -> None:
    content = f"{HEADER}2026-11-03,purchase,1,USD,,\n2026-11-05,grant,1,USD,,\n".encode()
    delivery = drop("2026/openrouter.csv", content, {"issuer": "openrouter"})
    assert delivery.settings == {"issuer": "openrouter", "file": "2026/openrouter"}
    assert (delivery.from_at, delivery.to_at) == (datetime(2026, 11, 3, tzinfo=UTC), datetime(2026, 11, 6, tzinfo=UTC))
    assert SOURCE.datasets[0].bucket == "invoice"
    assert recognise_bytes("x", content).source == "prepaid_csv"
    assert drop("x.csv", b"date,entry,amount,currency\nx", {"issuer": "openrouter"}).from_at is None


def test_files_of_one_name_in_two_folders_are_two(tmp_path: Path) -> None:
    """B9: a folder a year, a file an account: next year's is no restatement of this one's."""
    project = SmallProject(tmp_path, [source("prepaid_csv", "openai", settings={"issuer": "openai"})])
    for year, entry in (("2026", "2026-11-01,balance,10,USD,,"), ("2027", "2026-11-02,purchase,5,USD,,")):
        (project.inbox("prepaid_csv", "openai") / year).mkdir(parents=True)
        project.drop("prepaid_csv", "openai", f"{year}/openai.csv", f"{HEADER}{entry}\n".encode())
    asked = "select entry from stg_prepaid_csv__entries_daily order by entry"
    assert [row["entry"] for row in project.run().rows(asked)] == ["balance", "purchase"]


def test_a_file_without_entries_takes_nothing_back_and_says_so() -> None:
    with pytest.raises(QuarantineError, match="what a file of its name said before still counts"):
        entries()


def test_whose_bill_is_paid_in_advance_has_to_be_said() -> None:
    check({"issuer": "openrouter"}, ())
    for said in ({}, {"issuer": ""}, {"issuer": 3}):
        with pytest.raises(ConfigError, match=r"settings\.issuer"):
            check(said, ())
        with pytest.raises(QuarantineError, match=r"settings\.issuer"):
            parse(HEADER.encode(), said)
