-- The last published rate of the period of each currency to the reporting one, with the day that it was published on.
select
    currency,
    reporting_currency,
    usage_date,
    rate_date,
    multiplier,
    divisor
from int_fx_rates_daily
where usage_date >= $from_date and usage_date < $to_date
qualify row_number() over (partition by currency order by usage_date desc) = 1
order by currency
