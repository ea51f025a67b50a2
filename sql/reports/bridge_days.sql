-- How far days are known: the last of them, the newest settled one, how many are not over, and how many are known only
-- in part or not at all.
select
    max(usage_date) as last_usage_date,
    max(usage_date) filter (where status = 'settled') as settled_to_date,
    count(*) filter (where status = 'open') as open_days_count,
    count(*) filter (where status != 'settled') as unsettled_days_count
from fct_day_status_daily
where usage_date >= $from_date and usage_date < $to_date
