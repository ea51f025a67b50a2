"""Exchange rates of a verdict's days. An amount without one leaves the verdict open, and it says since when."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

import polars as pl

READ = "select usage_date, currency, reporting_currency, multiplier, divisor from int_fx_rates_daily"


@dataclass(frozen=True)
class RatesOfDay:
    """What one unit of each currency is in the reporting one. A currency without a rate that day is not in it."""

    reporting_currency: str
    by_currency: Mapping[str, Fraction]


def rates_of_day(frame: pl.DataFrame) -> RatesOfDay:
    """One day's rows of int_fx_rates_daily."""
    rows = frame.to_dicts()
    return RatesOfDay(
        reporting_currency=rows[0]["reporting_currency"],
        by_currency={row["currency"]: Fraction(row["multiplier"], row["divisor"]) for row in rows},
    )


@dataclass(frozen=True)
class Rates:
    """The rates of a window's days, in their order."""

    by_day: Mapping[date, RatesOfDay]

    def on(self, day: date, currency: str | None) -> Fraction | None:
        rates = self.by_day.get(day)
        return None if rates is None or currency is None else rates.by_currency.get(currency)

    def is_reporting(self, currency: str) -> bool:
        return all(rates.reporting_currency == currency for rates in self.by_day.values())

    def lacking(self, currency: str, days: Iterable[date]) -> str:
        """`no rate from EUR to USD since 2026-11-07`, or on which days where later ones have one again."""
        missing = sorted(set(days))
        reporting = (
            self.by_day[missing[0]].reporting_currency if missing[0] in self.by_day else "the reporting currency"
        )
        later = [day for day in self.by_day if day >= missing[0]]
        is_over = any(self.on(day, currency) is not None for day in later)
        on_days = f"on {missing[0]}" if len(missing) == 1 else f"on {len(missing)} days from {missing[0]}"
        return f"no rate from {currency} to {reporting} {on_days if is_over else f'since {missing[0]}'}"
