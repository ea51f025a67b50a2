-- Each feed of exchange rates: the dates of its first and its newest rate.
select
    account,
    first_usage_date as first_rate_date,
    last_usage_date as last_rate_date
from dim_source
where source = 'ecb_rates'
order by account
