-- How sure one published verdict is.
select *
from fct_verdict_intervals_daily
where workload = $workload and usage_date = cast($usage_date as date)
