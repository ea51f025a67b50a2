-- A workload's demand by hour of the settled days and class.
select
    usage_hour_at,
    token_class,
    sum(tokens) as tokens
from fct_demand_hourly
where workload = $workload and list_contains($days, usage_date)
group by usage_hour_at, token_class
order by usage_hour_at, token_class
