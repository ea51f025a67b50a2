"""Owned machines: a declaration becomes charges that sum to the cent, each day exact."""

from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, QuarantineError
from pipeline.sources.owned_gpus import SOURCE, monthly_depreciation
from pipeline.sources.source import FetchContext, Fetched

ASSET: dict[str, Any] = {
    "asset_id": "dgx-1",
    "host": "node-9",
    "gpu_count": 8,
    "capex": 280000,
    "residual": 28000,
    "months": 60,
    "in_service": date(2026, 1, 1),
    "currency": "USD",
}
POWERED = {**ASSET, "power_watts": 6500, "power_tariff_per_kwh": 0.1425, "pue": 1.3}


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _fetch(*assets: dict[str, Any], start: str | None, stop: str, **settings: Any) -> list[Fetched]:
    assert SOURCE.fetch is not None
    context = FetchContext(
        account="own",
        settings={"assets": list(assets), **settings},
        from_at=_utc(start) if start else None,
        to_at=_utc(stop),
        now=_utc(stop),
        environment={},
        sleep=lambda seconds: None,
    )
    return list(SOURCE.fetch(context))


def _charges(*assets: dict[str, Any], start: str | None, stop: str) -> pl.DataFrame:
    (dataset,) = SOURCE.datasets
    (delivery,) = _fetch(*assets, start=start, stop=stop)
    frame = dataset.parse(delivery.payloads[0].content, delivery.settings)["charges"]
    assert dict(frame.schema) == dataset.tables[0].schema
    return frame


def _by_month(frame: pl.DataFrame) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in frame.to_dicts():
        sums[row["bucket"][:7]] += Decimal(row["amount"])
    return dict(sums)


def test_252_thousand_over_60_months_is_4200_each() -> None:
    """Class B25, worked example: 280,000 less 28,000 over 60 months. Case 22."""
    months = _by_month(_charges(ASSET, start=None, stop="2031-06-01"))
    assert list(months.values()) == [Decimal("4200.00")] * 60
    assert (min(months), max(months)) == ("2026-01", "2030-12")


def test_a_total_that_does_not_divide_gives_the_first_months_a_cent_more() -> None:
    """Class B25, worked example: 279,999.99 over 36 months is 27 x 7,777.78 and 9 x 7,777.77. Case 22."""
    asset = {**ASSET, "capex": 279999.99, "residual": 0, "months": 36}
    months = list(_by_month(_charges(asset, start=None, stop="2030-01-01")).values())
    assert months == [Decimal("7777.78")] * 27 + [Decimal("7777.77")] * 9
    assert sum(months) == Decimal("279999.99")


def test_power_is_watts_times_24_hours_times_pue_times_tariff_exactly() -> None:
    """Class B25: PUE counts, and a day has 24 hours. 6.5 kW x 24 h x 1.3 x 0.1425 = 28.899."""
    frame = _charges(POWERED, start="2026-02-01", stop="2026-02-02").filter(pl.col("charge_kind") == "power")
    (row,) = frame.to_dicts()
    assert Decimal(row["amount"]) == Decimal("28.899")
    assert (Decimal(row["quantity"]), row["unit"]) == (Decimal("202.8"), "kWh")


def test_energy_of_the_worked_example_is_exact() -> None:
    """Class B25, worked example: 3,412.7 kWh x 1.30 x 0.1425 = 632.2026750. Case 23."""
    asset = {**POWERED, "power_watts": "34127", "power_tariff_per_kwh": "0.1425", "pue": "1.30"}
    frame = _charges(asset, start="2026-02-01", stop="2026-02-02").filter(pl.col("charge_kind") == "power")
    # 34,127 W for 24 h are 819.048 kWh: the example's quantity x 0.24.
    assert Decimal(frame["amount"][0]) == Decimal("632.2026750") * Decimal("0.24")


def test_hosting_of_a_calendar_month_sums_to_it_whatever_its_length() -> None:
    asset = {**ASSET, "hosting_monthly": "1000.01", "months": 1}
    frame = _charges(asset, start="2026-01-01", stop="2027-01-01").filter(pl.col("charge_kind") == "hosting")
    assert _by_month(frame) == {f"2026-{month:02d}": Decimal("1000.01") for month in range(1, 13)}


def test_a_month_counted_from_the_31st_ends_where_the_next_begins() -> None:
    """Class B29: no day is skipped or counted twice at a month's edge."""
    asset = {**ASSET, "in_service": "2026-01-31", "months": 3}
    frame = _charges(asset, start=None, stop="2027-01-01")
    days = frame["usage_date"].to_list()
    assert (days[0], days[-1], len(days)) == (date(2026, 1, 31), date(2026, 4, 29), 89)
    assert len(set(days)) == 89
    assert sum(map(Decimal, frame["amount"])) == Decimal(252000)


def test_depreciation_ends_and_power_goes_on_until_the_machine_is_out_of_service() -> None:
    asset = {**POWERED, "months": 2, "out_of_service": "2026-03-03"}
    kinds = _charges(asset, start="2026-02-28", stop="2026-03-10").select("bucket", "charge_kind").rows()
    assert kinds == [
        ("2026-02-28", "depreciation"),
        ("2026-02-28", "power"),
        ("2026-03-01", "power"),
        ("2026-03-02", "power"),
    ]


def test_days_before_the_machine_was_in_service_cost_nothing() -> None:
    assert _charges(POWERED, start="2025-12-01", stop="2026-01-01").height == 0


def test_a_zero_decimal_currency_has_no_cents() -> None:
    """Case 1."""
    asset = {**ASSET, "capex": 1000, "residual": 0, "months": 3, "currency": "JPY"}
    assert list(_by_month(_charges(asset, start=None, stop="2026-05-01")).values()) == [334, 333, 333]


def test_the_first_run_starts_with_the_first_machine_or_the_horizon() -> None:
    (delivery,) = _fetch(ASSET, start=None, stop="2026-02-01T06:00:00")
    assert (delivery.from_at, delivery.to_at) == (_utc("2026-01-01"), _utc("2026-02-02"))
    (delivery,) = _fetch(ASSET, start=None, stop="2026-02-01", horizon=date(2026, 1, 15))
    assert delivery.from_at == _utc("2026-01-15")
    assert _fetch(ASSET, start="2026-02-01", stop="2026-02-01") == []


def test_the_same_declaration_is_the_same_bytes_in_any_order() -> None:
    other = {**ASSET, "asset_id": "dgx-0"}
    (one,) = _fetch(ASSET, other, start="2026-02-01", stop="2026-02-02")
    (two,) = _fetch(other, dict(reversed(ASSET.items())), start="2026-02-01", stop="2026-02-02")
    assert one.payloads == two.payloads


def test_a_delivery_dropped_as_a_file_reads_the_same() -> None:
    (delivery,) = _fetch(POWERED, start="2026-02-01", stop="2026-02-08")
    content = delivery.payloads[0].content
    assert SOURCE.recognise("x", content[:4096]) == "owned_charges"
    dropped = SOURCE.drop("owned.json", content, {})
    assert (dropped.from_at, dropped.to_at) == (delivery.from_at, delivery.to_at)
    assert SOURCE.drop("owned.json", content[:-5], {}).from_at is None
    assert SOURCE.recognise("x", b'{"schema": "another/1"}') is None


def test_what_a_person_adds_is_kept() -> None:
    assert _charges({**ASSET, "rack": "B4"}, start="2026-02-01", stop="2026-02-02")["other_columns"].to_list() == [
        '{"rack": "B4"}'
    ]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"capex": None}, "assets.0: capex missing"),
        ({"capex": "280,000"}, "capex is '280,000'"),
        ({"capex": True}, "capex is True"),
        ({"capex": -1, "residual": 0}, "capex is -1"),
        ({"residual": 300000}, "residual 300000 exceeds capex 280000"),
        ({"capex": "280000.001"}, "not a whole number of USD units"),
        ({"months": 0}, "months is 0"),
        ({"months": 12.5}, "months is"),
        ({"currency": "usd"}, "currency is 'usd'"),
        ({"in_service": "1 Jan"}, "in_service is '1 Jan'"),
        ({"out_of_service": "2026-01-01"}, "not after in_service"),
        ({"power_watts": 5000}, "power_watts without power_tariff_per_kwh, pue"),
        (
            {"power_watts": "0.123456789", "power_tariff_per_kwh": "0.123456789", "pue": "1.1"},
            "more than 18 digits",
        ),
    ],
)
def test_a_declaration_that_cannot_be_so_names_the_machine_the_field_and_the_value(
    changed: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        _fetch({**ASSET, **changed}, start=None, stop="2026-02-01")


def test_the_same_machine_twice_is_refused() -> None:
    """Class B22: one machine, one home."""
    with pytest.raises(ConfigError, match="'dgx-1' is declared twice"):
        _fetch(ASSET, {**ASSET, "host": "node-10"}, start=None, stop="2026-02-01")
    with pytest.raises(ConfigError, match=r"settings\.assets"):
        _fetch(start=None, stop="2026-02-01")


def test_a_file_of_another_kind_is_refused() -> None:
    (dataset,) = SOURCE.datasets
    for content in (b"{}", b'{"schema": "breakeven.owned_gpus/1"}', b"[", b"{"):
        with pytest.raises(QuarantineError):
            dataset.parse(content, {})


_assets = st.fixed_dictionaries(
    {
        "capex": st.integers(0, 10**9).map(lambda cents: str(Decimal(cents) / 100)),
        "months": st.integers(1, 30),
        "in_service": st.dates(date(2024, 1, 1), date(2026, 12, 31)),
    }
)


@settings(max_examples=40, deadline=None)
@given(declared=_assets, cuts=st.lists(st.dates(date(2024, 1, 1), date(2029, 12, 31)), max_size=3))
def test_days_sum_to_the_whole_however_the_window_is_cut(declared: dict[str, Any], cuts: list[date]) -> None:
    """Class B29: full rebuild = any sequence of windows."""
    asset = {**ASSET, "residual": 0, **declared}
    edges = sorted({date(2024, 1, 1), *cuts, date(2030, 1, 1)})
    parts = [_charges(asset, start=start.isoformat(), stop=stop.isoformat()) for start, stop in pairwise(edges)]
    rows = pl.concat(parts).rows()
    assert rows == _charges(asset, start="2024-01-01", stop="2030-01-01").rows()
    assert sum(Decimal(row[8]) for row in rows) == Decimal(asset["capex"])
    assert len({row[1] for row in rows}) == len(rows)


@given(units=st.integers(0, 10**12), months=st.integers(1, 120))
def test_months_sum_to_the_whole_and_differ_by_at_most_a_unit(units: int, months: int) -> None:
    split = monthly_depreciation(depreciable_units=units, months=months)
    assert sum(split) == units
    assert max(split) - min(split) <= 1
