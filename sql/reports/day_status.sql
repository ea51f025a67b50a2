-- How many days of the period are in each state.
select
    status,
    count(*) as days_count
from fct_day_status_daily
where usage_date >= $from_date and usage_date < $to_date
group by status
order by status
