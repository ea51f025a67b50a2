"""The marts' conversion into the reporting currency, run as they run it: their own SQL over a few amounts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb

from pipeline.build.sql_models import SqlModel, load_models
from pipeline.paths import models_root
from tests.models import api_harness, gpu_harness

PLACES = 18
DAY = date(2026, 11, 3)
OWN, REPORTING = "XTS", "EUR"


@dataclass(frozen=True)
class Mart:
    """One amount of one mart: where it is put in, and the column in which it comes out converted."""

    name: str
    table: str
    amount: str
    converted: str
    row: Mapping[str, Any]


MARTS = (
    Mart(
        name="fct_gpu_costs_daily",
        table="int_gpu_costs_daily",
        amount="realized_cost",
        converted="realized_cost_rc",
        row={"issuer": "gpucloud", "account": "gpucloud", "state": "serving", "cost_measure": "billed"},
    ),
    *(
        Mart(
            name="fct_api_costs_daily",
            table="int_api_costs_allocated_daily",
            amount=amount,
            converted=converted,
            row={"provider": "anthropic", "issuer": "anthropic", "account": "acme", "charge_kind": "tokens"},
        )
        for amount, converted in (("billed_cost", "billed_cost_rc"), ("stated_list_cost", "list_cost_rc"))
    ),
    *(
        Mart(
            name="fct_cloud_charges_daily",
            table="int_cloud_charges_daily",
            amount=f"{measure}_cost",
            converted=f"{measure}_cost_rc",
            row={"source": "focus", "dataset": "charges", "account": "acme"},
        )
        for measure in ("billed", "effective", "list", "contracted")
    ),
)
# The column that tells the amounts of one question apart, in the table and in the mart.
_PLACES = {
    "int_gpu_costs_daily": "resource_id",
    "int_api_costs_allocated_daily": "api_key_id",
    "int_cloud_charges_daily": "resource_id",
}


class Converter:
    """Asks one mart what amounts of the currency XTS are in EUR at multiplier / divisor."""

    def __init__(self, mart: Mart, cache: Path) -> None:
        harness = api_harness if mart.name.startswith("fct_api") else gpu_harness
        built = harness.build_tables(cache, {"calendar": []}, [mart.name])
        [model] = [model for model in load_models(models_root()) if model.name == mart.name]
        assert isinstance(model, SqlModel)
        self._mart, self._sql = mart, model.sql
        self._connection = duckdb.connect()
        columns = {name: built.nodes[name].columns for name in model.inputs if name in built.nodes}
        columns |= {name: relation.columns for name, relation in harness.relations_of(cache).items()}
        for name in model.inputs:
            declared = ", ".join(f'"{column}" {kind}' for column, kind in columns[name])
            self._connection.execute(f'create table "{name}" ({declared})')
        self._insert("config_company", [{"company": "Acme", "reporting_currency": REPORTING}])

    def convert(
        self,
        amounts: Sequence[int | None],
        *,
        multiplier: int | None,
        divisor: int | None,
        currency: str = OWN,
    ) -> list[int | None]:
        """Whole quanta of 10^-18, in the order of the amounts. Without a multiplier the day has no rate."""
        place = _PLACES[self._mart.table]
        self._connection.execute("delete from int_fx_rates_daily")
        self._connection.execute(f"delete from {self._mart.table}")
        if multiplier is not None:
            rate = {"usage_date": DAY, "currency": OWN, "multiplier": multiplier, "divisor": divisor}
            self._insert("int_fx_rates_daily", [rate])
        rows = [
            {
                **self._mart.row,
                "usage_date": DAY,
                "billing_currency": currency,
                place: f"{number:06d}",
                self._mart.amount: None if amount is None else as_text(amount),
            }
            for number, amount in enumerate(amounts)
        ]
        self._insert(self._mart.table, rows)
        asked = f"select {self._mart.converted} from ({self._sql}) order by {place}"
        return [None if found is None else quanta(found) for (found,) in self._connection.execute(asked).fetchall()]

    def _insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            return
        names = list(rows[0])
        values = ", ".join(f"({', '.join('?' for _ in names)})" for _ in rows)
        parameters = [row[name] for row in rows for name in names]
        self._connection.execute(f"insert into {table} ({', '.join(names)}) values {values}", parameters)


def as_text(count: int) -> str:
    """Quanta as a decimal's text: no float and no rounding context on the way."""
    whole, rest = divmod(abs(count), 10**PLACES)
    return f"{'-' if count < 0 else ''}{whole}.{rest:0{PLACES}d}"


def quanta(amount: Decimal) -> int:
    found = Fraction(amount) * 10**PLACES
    assert found.denominator == 1
    return found.numerator


def exactly(count: int, *, multiplier: int, divisor: int) -> int:
    """The quotient of fractions, rounded half away from zero: the second route."""
    size = Fraction(abs(count) * multiplier, divisor)
    whole = size.numerator // size.denominator
    nearest = whole + 1 if size - whole >= Fraction(1, 2) else whole
    return nearest if count >= 0 else -nearest
