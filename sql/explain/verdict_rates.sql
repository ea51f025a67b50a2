-- The exchange rates of the currencies that overheads, prices and contracts are declared in, by settled day.
select
    rates.usage_date,
    rates.currency,
    rates.reporting_currency,
    rates.rate_date,
    rates.multiplier,
    rates.divisor
from int_fx_rates_daily as rates
where
    list_contains($days, rates.usage_date)
    and (
        rates.currency in (select config_overheads.currency from config_overheads)
        or rates.currency in (select api_prices.currency from api_prices)
        or rates.currency in (select config_contracts.currency from config_contracts)
    )
order by rates.usage_date, rates.currency
