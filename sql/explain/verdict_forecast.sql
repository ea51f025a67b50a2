-- Where the demand behind one published verdict goes.
select *
from fct_demand_forecasts_daily
where workload = $workload and usage_date = cast($usage_date as date)
