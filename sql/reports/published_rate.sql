-- The rate that was published for a day: of the reporting currency for one unit of another.
select
    rate_date,
    multiplier,
    divisor
from int_fx_rates_daily
where currency = $currency and reporting_currency = $reporting_currency and usage_date = $day
