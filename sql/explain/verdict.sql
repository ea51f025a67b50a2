-- One published verdict.
select *
from fct_verdicts_daily
where workload = $workload and usage_date = cast($usage_date as date)
