-- Tokens of each workload in each hour of the days, by class, whichever lane served them.
select
    usage_hour_at,
    workload,
    token_class,
    cast(sum(tokens) as bigint) as tokens
from fct_demand_hourly
where list_contains($workloads, workload) and list_contains($days, usage_date)
group by usage_hour_at, workload, token_class
order by usage_hour_at, workload, token_class
