-- How far the days of a month are known: whether it is over, and its newest settled day.
select
    max(usage_date) as last_usage_date,
    max(usage_date) filter (where status = 'settled') as settled_to_date,
    count(*) filter (where status = 'open') as open_days_count
from fct_day_status_daily
where usage_date >= $from_date and usage_date < $to_date
