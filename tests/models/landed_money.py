"""`landed_money` for hand-made rows: what their declared money columns say, added up in plain Python."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pipeline.build.landed_tables import MONEY_SCHEMA
from pipeline.sources import SOURCES

Row = Mapping[str, Any]


def landed_money(tables: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Rows of MONEY_SCHEMA for those of `tables` that are landed ones of a source that charges."""
    sums: dict[tuple[date, str, str, str, str, str | None], Fraction] = {}
    for source in SOURCES:
        for dataset in source.datasets:
            for table in dataset.tables:
                money = table.money
                if money is None:
                    continue
                for row in tables.get(dataset.table_view(table), ()):
                    if row[money.amount] is None or (table.view is not None and row["source"] != source.name):
                        continue
                    currency = money.currency if money.currency_column is None else row.get(money.currency_column)
                    key = (row["usage_date"], source.name, dataset.name, row["account"], money.home, currency)
                    amount = Fraction(str(row[money.amount])) / 10**money.decimal_places
                    sums[key] = sums.get(key, Fraction(0)) + amount
    return [dict(zip(MONEY_SCHEMA, (*key, _decimal(amount)), strict=True)) for key, amount in sums.items()]


def _decimal(amount: Fraction) -> Decimal:
    quanta = amount * 10**18
    if quanta.denominator != 1:
        raise ValueError(f"{amount} needs more than 18 digits after the point: parsing would quarantine it")
    return Decimal(f"{quanta.numerator}e-18")
