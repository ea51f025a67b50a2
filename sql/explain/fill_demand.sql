-- Traffic on an API of each workload that asks for a deployment, by hour and class.
select
    usage_hour_at,
    workload,
    token_class,
    cast(sum(tokens) as bigint) as tokens
from fct_demand_hourly
where lane = 'api' and list_contains($workloads, workload) and list_contains($days, usage_date)
group by usage_hour_at, workload, token_class
order by usage_hour_at, workload, token_class
