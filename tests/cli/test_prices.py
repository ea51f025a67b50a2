"""What is said of a commitment: what no bill says is no amount, and what is not counted is named."""

from datetime import date
from decimal import Decimal

import duckdb
import pytest

from pipeline.cli.prices import _committed
from pipeline.decisions.price_view import Commitment
from pipeline.paths import sql_root

ONE = Commitment(
    provider="anthropic",
    account=None,
    from_date=date(2026, 11, 1),
    to_date=date(2026, 12, 1),
    committed_cost=Decimal(300),
    minimum_monthly_cost=None,
    currency="USD",
    accounts=("org",),
)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "billed so far nothing yet."),
        ([("5", "USD"), ("2.5", "USD")], "billed so far 7.50 USD."),
        ([("5", "EUR")], "billed so far nothing yet, and 1 rows in other currencies, which are not counted."),
        ([(None, None), ("5", "USD")], "billed so far 5.00 USD, and 1 rows that are metered and not billed yet."),
    ],
)
def test_what_no_bill_says_of_a_commitment_is_no_zero(rows: list[tuple[str | None, str | None]], said: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "create table fct_api_costs_daily (provider varchar, account varchar, usage_date date,"
            " billed_cost decimal(38, 18), billing_currency varchar)"
        )
        for cost, currency in rows:
            connection.execute(
                "insert into fct_api_costs_daily values ('anthropic', 'org', date '2026-11-02', ?, ?)", [cost, currency]
            )
        answer = connection.execute(
            (sql_root() / "reports" / "commitment_use.sql").read_text(encoding="utf-8"),
            {
                "provider": "anthropic",
                "accounts": ["org"],
                "currency": "USD",
                "from_date": ONE.from_date,
                "to_date": ONE.to_date,
            },
        )
        names = [column[0] for column in answer.description]
        [row] = answer.fetchall()
    assert _committed(ONE, dict(zip(names, row, strict=True)), date(2026, 11, 10)).endswith(said)
