-- Which exchange rates the ECB's files among the files hold.
select
    account,
    min(rate_date) as from_date,
    max(rate_date) as last_date,
    count(distinct currency) as currencies_count,
    count(*) as rates_count
from stg_ecb_rates__rates_daily
group by all
order by all
