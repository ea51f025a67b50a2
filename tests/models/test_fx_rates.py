"""Which rate speaks for a day, and what the marts make of it: one account without a rate stops no other."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from pipeline.paths import models_root
from tests.models import api_harness as api
from tests.models import gpu_harness as gpu

FX = "int_fx_rates_daily"
Rates = Mapping[str, Mapping[str, str]]
# Thursday to Tuesday: Good Friday and Easter Monday are TARGET holidays.
BEFORE_EASTER, AFTER_EASTER = date(2026, 4, 2), date(2026, 4, 7)


def rate_rows(rates: Rates, *, account: str = "ecb") -> list[api.Row]:
    """{rate date: {currency: units for one euro}} as landed."""
    return [
        {
            "account": account,
            "bucket": day,
            "usage_date": date.fromisoformat(day),
            "currency": currency,
            "rate": rate,
        }
        for day, said in rates.items()
        for currency, rate in said.items()
    ]


def fx(
    cache: Path, rates: Rates, *, first: date, days: int, reporting: str = "USD", more: Sequence[api.Row] = ()
) -> dict[tuple[date, str], dict[str, Any]]:
    """int_fx_rates_daily by usage date and currency."""
    tables = {
        api.RATES: [*rate_rows(rates), *more],
        "calendar": api.days_until(
            first, as_of=datetime.combine(first, datetime.min.time()) + timedelta(days=days - 1)
        ),
        "config_company": [{"company": "Acme", "reporting_currency": reporting}],
    }
    found = api.rows_of(api.build_tables(cache, tables, [FX]), FX)
    keyed = {(row["usage_date"], row["currency"]): row for row in found}
    assert len(keyed) == len(found)
    return keyed


def rate_dates(rows: Mapping[tuple[date, str], Mapping[str, Any]], currency: str) -> dict[int, date]:
    """Day of the month -> rate date."""
    return {day.day: row["rate_date"] for (day, found), row in rows.items() if found == currency}


def test_weekends_and_holidays_take_the_rate_before_them(tmp_path: Path) -> None:
    """B8: four days without a rate over Easter, in UTC days."""
    rates = {"2026-04-02": {"USD": "1.10"}, "2026-04-07": {"USD": "1.20"}}
    rows = fx(tmp_path, rates, first=BEFORE_EASTER, days=6)
    assert rate_dates(rows, "EUR") == {**dict.fromkeys(range(2, 7), BEFORE_EASTER), 7: AFTER_EASTER}
    assert (rows[date(2026, 4, 6), "EUR"]["multiplier"], rows[date(2026, 4, 6), "EUR"]["divisor"]) == (
        110_000_000,
        10**8,
    )


def test_a_rate_of_the_month_before_serves_the_first_days_of_a_month(tmp_path: Path) -> None:
    """B8: no partition edge loses a rate: 31 December is a Thursday, 1 January a holiday, then a weekend."""
    rows = fx(tmp_path, {"2026-12-31": {"USD": "1.10"}}, first=date(2027, 1, 1), days=4)
    assert rate_dates(rows, "EUR") == dict.fromkeys(range(1, 5), date(2026, 12, 31))


def test_a_rate_serves_seven_days_and_no_eighth(tmp_path: Path) -> None:
    """B4: what is older than that is no rate, and no row: not the last one known, not one for one."""
    rows = fx(tmp_path, {"2026-10-01": {"USD": "1.10", "GBP": "0.80"}}, first=date(2026, 9, 30), days=12)
    assert set(rate_dates(rows, "GBP")) == set(rate_dates(rows, "EUR")) == set(range(1, 9))


def test_a_rate_never_speaks_for_days_before_it(tmp_path: Path) -> None:
    """B6: a price has a first day."""
    rows = fx(tmp_path, {"2026-10-05": {"USD": "1.10"}}, first=date(2026, 10, 1), days=6)
    assert set(rate_dates(rows, "EUR")) == {5, 6}


def test_both_legs_are_of_one_rate_date(tmp_path: Path) -> None:
    """B23: a cross rate of two days would be a rate that nobody ever published."""
    rates = {
        "2026-10-01": {"USD": "1.10", "GBP": "0.80"},
        "2026-10-02": {"USD": "1.30"},
        "2026-10-05": {"GBP": "0.70"},
    }
    rows = fx(tmp_path, rates, first=date(2026, 10, 1), days=5)
    assert set(rate_dates(rows, "GBP").values()) == {date(2026, 10, 1)}
    assert rate_dates(rows, "EUR") == {1: date(2026, 10, 1), **dict.fromkeys(range(2, 6), date(2026, 10, 2))}
    pound = rows[date(2026, 10, 5), "GBP"]
    assert (pound["multiplier"], pound["divisor"]) == (110_000_000, 80_000_000)


def test_the_euro_is_one_on_either_side(tmp_path: Path) -> None:
    rates = {"2026-10-01": {"USD": "1.25", "JPY": "175.68"}}
    rows = fx(tmp_path, rates, first=date(2026, 10, 1), days=1, reporting="EUR")
    said = {currency: (row["multiplier"], row["divisor"]) for (_, currency), row in rows.items()}
    assert said == {"EUR": (1, 1), "USD": (10**8, 125_000_000), "JPY": (10**8, 17_568_000_000)}


def test_the_reporting_currency_needs_no_rate(tmp_path: Path) -> None:
    """Also where the ECB never published it, and where there are no rates at all."""
    for reporting in ("USD", "XTS"):
        rows = fx(tmp_path / reporting, {}, first=date(2026, 10, 1), days=2, reporting=reporting)
        assert set(rows) == {(date(2026, 10, day), reporting) for day in (1, 2)}
    rates = {"2026-10-01": {"USD": "1.25"}}
    rows = fx(tmp_path / "unknown", rates, first=date(2026, 10, 1), days=1, reporting="XTS")
    assert {currency for _, currency in rows} == {"XTS"}


def test_two_feeds_of_the_same_rates_are_one(tmp_path: Path) -> None:
    """B12: an amount is converted once, by the feed whose account is first by name."""
    second = rate_rows({"2026-10-01": {"USD": "9.99", "GBP": "9.99"}}, account="other")
    rows = fx(tmp_path, {"2026-10-01": {"USD": "1.10"}}, first=date(2026, 10, 1), days=1, more=second)
    assert rows[date(2026, 10, 1), "EUR"]["reporting_per_eur"] == Decimal("1.10")
    assert rows[date(2026, 10, 1), "GBP"]["currency_per_eur"] == Decimal("9.99")


@pytest.mark.parametrize(
    ("late", "spoken_for"),
    [
        ({"2026-10-07": {"USD": "1.50"}}, {7, 8}),
        ({"2026-10-05": {"USD": "1.11"}}, {5, 6, 7, 8}),
        ({"2026-10-02": {"USD": "1.09"}, "2026-10-07": {"USD": "1.50"}}, {2, 3, 4, 7, 8}),
    ],
    ids=["published later", "restated", "both"],
)
def test_a_later_or_restated_rate_changes_only_the_days_it_speaks_for(
    tmp_path: Path, late: Rates, spoken_for: set[int]
) -> None:
    """B6: history is not repriced; B11: a rate that arrives after the cost converts it. From 1 to 8 October."""
    early = {"2026-10-01": {"USD": "1.10"}, "2026-10-02": {"USD": "1.12"}, "2026-10-05": {"USD": "1.13"}}
    before = fx(tmp_path / "before", early, first=date(2026, 10, 1), days=8)
    after = fx(tmp_path / "after", {**early, **late}, first=date(2026, 10, 1), days=8)
    assert {day.day for (day, currency), row in after.items() if row != before[day, currency]} == spoken_for


@pytest.mark.parametrize("name", ["stg_ecb_rates__rates_daily", FX])
def test_a_table_of_rates_is_what_it_describes(tmp_path: Path, name: str) -> None:
    [path] = models_root().rglob(f"{name}.yml")
    about = yaml.safe_load(path.read_text(encoding="utf-8"))
    tables = {
        api.RATES: rate_rows({"2026-10-01": {"USD": "1.1", "GBP": "0.8"}}),
        "calendar": api.days_until(date(2026, 10, 1), as_of=datetime(2026, 10, 3)),  # noqa: DTZ001 - marts hold UTC
    }
    built = api.build_tables(tmp_path, tables, [name])
    declared = [(column, said["type"]) for column, said in about["columns"].items()]
    assert list(built.nodes[name].columns) == declared
    # As it is kept: Parquet has no 128-bit whole numbers and would keep them as floats.
    kept = duckdb.sql(f"describe {built.nodes[name].sql(None)}").fetchall()
    assert [(row[0], row[1]) for row in kept] == declared
    rows = api.rows_of(built, name)
    grains = [tuple(row[column] for column in about["grain"]) for row in rows]
    assert rows
    assert len(set(grains)) == len(grains)
    assert all(None not in grain for grain in grains)


# --- what the marts make of it ---------------------------------------------------------------------------------------

DAY = date(2026, 10, 1)
CALENDAR = api.days_until(DAY, as_of=datetime(2026, 10, 3))  # noqa: DTZ001 - marts hold UTC
API_COST = "fct_api_costs_daily"
CHECK = "check_conversion_is_exact"


def api_tables(*lines: api.Row, rates: Rates, reporting: str = "USD") -> dict[str, Sequence[api.Row]]:
    return {
        api.COSTS: lines,
        api.RATES: rate_rows(rates),
        "calendar": CALENDAR,
        "config_company": [{"company": "Acme", "reporting_currency": reporting}],
        "config_sources": [
            *api.configured_sources(),
            *api.configured_sources(account="europe"),
        ],
    }


def test_an_account_without_a_rate_is_left_unconverted_and_no_other_is_touched(tmp_path: Path) -> None:
    """B4, B23: its cost stays in its own currency, without an amount in the reporting one. Case 19."""
    lines = (
        api.cost_line(DAY, "100", currency="USD"),
        api.cost_line(DAY, "200", currency="CHF", account="europe"),
        api.cost_line(DAY, "-50", currency="EUR", account="europe", model="claude-haiku-4-5"),
    )
    built = api.build_tables(tmp_path, api_tables(*lines, rates={str(DAY): {"USD": "1.1172"}}), [API_COST])
    said = {
        row["billing_currency"]: (row["billed_cost"], row["billed_cost_rc"], row["price_status"])
        for row in api.rows_of(built, API_COST)
    }
    assert said == {
        "USD": (Decimal(1), Decimal(1), "unpriced"),
        "CHF": (Decimal(2), None, "unconverted"),
        "EUR": (Decimal("-0.5"), Decimal("-0.5586"), "unpriced"),
    }


def test_list_prices_are_converted_at_the_rate_of_the_day(tmp_path: Path) -> None:
    """B6, B23: list prices are in USD, whatever is reported; a day without a rate has no list cost."""
    tables = {
        **api_tables(
            api.cost_line(DAY, "2000", currency="EUR"),
            api.cost_line(DAY + timedelta(days=1), "2000", currency="EUR"),
            rates={str(DAY): {"USD": "1.25"}, str(DAY + timedelta(days=1)): {"USD": "1.6"}},
            reporting="EUR",
        ),
        api.USAGES: [
            api.usage_row(DAY + timedelta(days=day), output_tokens=1_000_000, api_key_id="key") for day in (0, 1)
        ],
    }
    [first, second] = api.rows_of(api.build_tables(tmp_path, tables, [API_COST]), API_COST)
    assert (first["billed_cost_rc"], first["price_status"]) == (Decimal(20), "priced")
    # 25 USD per million output tokens.
    assert (first["list_cost_rc"], second["list_cost_rc"]) == (Decimal(20), Decimal("15.625"))
    without = {**tables, api.RATES: []}
    for row in api.rows_of(api.build_tables(tmp_path / "without", without, [API_COST]), API_COST):
        assert (row["billed_cost_rc"], row["list_cost_rc"], row["price_status"]) == (Decimal(20), None, "unconverted")


def gpu_tables(*, rates: Rates, reporting: str = "EUR") -> dict[str, Sequence[gpu.Row]]:
    """A node invoiced in USD, another on its contract rate in USD, an owned one in EUR, one in CHF."""
    contract = {
        **gpu.NODE,
        "issuer": "agreedcloud",
        "resource_id": "node-2",
        "host": "host-2",
        "contract_rate_per_gpu_hour": Decimal("2.5"),
    }
    return {
        gpu.INVOICE_LINES: [
            gpu.invoice_line("48.000000000000000001"),
            gpu.invoice_line("5", resource_id="node-4", line_number=2, currency="CHF"),
        ],
        gpu.OWNED: [gpu.owned_charge("hosting", "3.33", currency="EUR")],
        gpu.RATES: rate_rows(rates),
        "config_gpu_resources": [gpu.NODE, contract],
        "config_company": [{"company": "Acme", "reporting_currency": reporting}],
        "calendar": gpu.days_of(gpu.DAY, gpu.DAY),
    }


def test_bills_contract_rates_and_owned_machines_convert_alike(tmp_path: Path) -> None:
    """B23: in the reporting currency, each from its own; the one without a rate alone stays as it is."""
    tables = gpu_tables(rates={str(gpu.DAY): {"USD": "1.25"}})
    rows = gpu.rows_of(gpu.build_tables(tmp_path, tables, ["fct_gpu_costs_daily"]), "fct_gpu_costs_daily")
    said = {row["resource_id"]: (row["realized_cost"], row["realized_cost_rc"]) for row in rows}
    assert said == {
        # 38.4000000000000000008, rounded.
        "node-1": (Decimal("48.000000000000000001"), Decimal("38.400000000000000001")),
        "node-2": (Decimal(60), Decimal(48)),
        "dgx-1": (Decimal("3.33"), Decimal("3.33")),
        "node-4": (Decimal(5), None),
    }


def test_a_currency_never_published_and_a_rate_not_yet_published_are_alike_unconverted(tmp_path: Path) -> None:
    """B4, B11: until the rate comes; then what waited for it is converted."""
    waiting = gpu_tables(rates={str(gpu.DAY - timedelta(days=8)): {"USD": "1.25"}})
    rows = gpu.rows_of(gpu.build_tables(tmp_path, waiting, ["fct_gpu_costs_daily"]), "fct_gpu_costs_daily")
    assert {row["billing_currency"] for row in rows if row["realized_cost_rc"] is None} == {"USD", "CHF"}
    assert {row["realized_cost_rc"] for row in rows if row["billing_currency"] == "EUR"} == {Decimal("3.33")}


def api_cost(currency: str, cost: str | None, cost_rc: str | None) -> gpu.Row:
    """A row of fct_api_costs_daily, as far as the law reads it."""
    return {
        "usage_date": gpu.DAY,
        "account": "acme",
        "billing_currency": currency,
        "billed_cost": None if cost is None else Decimal(cost),
        "billed_cost_rc": None if cost_rc is None else Decimal(cost_rc),
    }


RATES = {str(gpu.DAY): {"USD": "1.25", "GBP": "0.8"}}
CONVERTED = (("USD", "1", "0.8"), ("GBP", "-0.000000000000000001", "-0.000000000000000001"), ("EUR", "7", "7"))


@pytest.mark.parametrize("reporting", ["EUR", "USD", "CHF"])
def test_the_law_holds_on_converted_and_unconverted_money(tmp_path: Path, reporting: str) -> None:
    """Refunds, amounts of one quantum, unpriced hours and a currency without a rate among them."""
    tables = {
        **gpu_tables(rates=RATES, reporting=reporting),
        gpu.API_COSTS: [*(api_cost(*said) for said in CONVERTED if reporting == "EUR"), api_cost("CHF", None, None)],
    }
    unpriced = {**gpu.NODE, "issuer": "agreedcloud", "resource_id": "node-3", "host": "host-3"}
    tables["config_gpu_resources"] = [*tables["config_gpu_resources"], unpriced]
    built = gpu.build_tables(tmp_path, tables, [CHECK])
    assert len(gpu.rows_of(built, "fct_gpu_costs_daily")) == 5
    assert gpu.broken_laws(built, [CHECK]) == []


@pytest.mark.parametrize(
    ("currency", "cost", "cost_rc", "problem"),
    [
        ("EUR", "7", "7.000000000000000001", "differs from the bill"),
        ("EUR", "7", None, "differs from the bill"),
        ("USD", "7", None, "has a rate and is not converted"),
        ("CHF", "7", "7", "converted without a rate"),
        ("USD", None, "7", "without a rate or an amount"),
        ("USD", "7", "8.75", "not what the rate makes of it"),
        ("USD", "7", "7", "not what the rate makes of it"),
        ("USD", "7", "-5.6", "not what the rate makes of it"),
        ("USD", "7", "5.600000000000000002", "not what the rate makes of it"),
        ("USD", "7", "99999999999999999999.999999999999999999", "not what the rate makes of it"),
    ],
)
def test_the_law_names_the_account_of_a_wrong_conversion(
    tmp_path: Path, currency: str, cost: str | None, cost_rc: str | None, problem: str
) -> None:
    """B4, B23: one for one, the rate upside down, the sign, a quantum too many."""
    tables = {**gpu_tables(rates=RATES), gpu.API_COSTS: [api_cost(currency, cost, cost_rc)]}
    [found] = gpu.broken_laws(gpu.build_tables(tmp_path, tables, [CHECK]), [CHECK])
    assert found.startswith("conversion_is_exact account:acme: 2025-11-03 billed API cost of ")
    assert problem in found


FAULTS: Mapping[str, tuple[str, str, str]] = {
    "upside down": (
        "fct_gpu_costs_daily",
        "// rates.divisor * rates.multiplier",
        "// rates.multiplier * rates.divisor",
    ),
    "one for one": ("fct_gpu_costs_daily", "costs.billing_currency = companies.reporting_currency", "true"),
    "not at all": ("fct_gpu_costs_daily", "as decimal(38, 0)\n", "as decimal(38, 0)) * nullif(1, 1\n"),
    "from the future": (FX, "days.usage_date >= own.rate_date", "days.usage_date + 3 >= own.rate_date"),
    "too old": (FX, "own.rate_date + 7", "own.rate_date + 9"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_law_sees_a_fault_in_the_models(tmp_path: Path, fault: str) -> None:
    """The check can fail: each fault is planted in the SQL itself."""
    rates = {
        "from the future": {str(gpu.DAY + timedelta(days=2)): {"USD": "1.25"}},
        "too old": {str(gpu.DAY - timedelta(days=8)): {"USD": "1.25"}},
    }.get(fault, RATES)
    tables = gpu_tables(rates=rates)
    built = gpu.build_tables(tmp_path, tables, [CHECK], replaced=[gpu.broken(*FAULTS[fault])])
    assert gpu.broken_laws(built, [CHECK]) != []
