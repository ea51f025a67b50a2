-- The settled days that a verdict of this day may read.
select
    usage_date,
    status,
    blocked_count
from fct_day_status_daily
where
    usage_date > cast($usage_date as date) - 28
    and usage_date <= cast($usage_date as date)
    and status = 'settled'
    and blocked_count = 0
order by usage_date
